//! Why clips cannot be joined.

use std::fmt;

use clipmill_media::{Language, TrackKind};

/// Why clips cannot be joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MontageError {
    /// There are none.
    #[error("there is nothing to join")]
    NoParts,
    /// A part holds no samples.
    #[error("part {} is empty", .part + 1)]
    Empty {
        /// Which part, from 0.
        part: usize,
    },
    /// A track of a part can't go on the track of the same kind in the parts before it.
    #[error("part {}, track {track} ({}): {mismatch}", .part + 1, kind_name(*.kind))]
    Track {
        /// Which part, from 0.
        part: usize,
        /// The track, by its identifier in that part, from 1.
        track: u32,
        /// What it holds.
        kind: TrackKind,
        /// Where it differs.
        mismatch: TrackMismatch,
    },
    /// The parts have more segments than can be numbered.
    #[error("the parts have more segments than can be numbered")]
    TooLong,
}

/// Where a track differs from the one that it should go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrackMismatch {
    /// In its codec.
    Codec {
        /// What it is coded with.
        found: &'static str,
        /// What the track before it is coded with.
        wanted: &'static str,
    },
    /// In how its time is counted: for sound, that is its sampling rate.
    Timescale {
        /// Ticks per second.
        found: u32,
        /// Ticks per second of the track before it.
        wanted: u32,
    },
    /// In its language; one that is not stated fits any.
    Language {
        /// Its language.
        found: Language,
        /// That of the track before it.
        wanted: Language,
    },
}

impl fmt::Display for TrackMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec { found, wanted } => write!(f, "{found}, where {wanted} goes before"),
            Self::Timescale { found, wanted } => {
                write!(f, "a timescale of {found}, where {wanted} goes before")
            }
            Self::Language { found, wanted } => {
                write!(f, "language {found}, where {wanted} goes before")
            }
        }
    }
}

pub(crate) fn kind_name(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
        TrackKind::Text => "text",
    }
}
