//! What is asked of the recorders, and what they answer.

use std::time::Duration;

use crate::domain::{ClipEntry, Instant};
use crate::storage::ClipBody;

/// Which part of a stream is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClipWindow {
    /// From the end of the last periodic clip, or an interval ago where there is none, to the
    /// live edge.
    SinceBoundary,
    /// From one instant to another, in milliseconds since the Unix epoch.
    Range {
        /// The first instant that is wanted.
        from_ms: i64,
        /// The first that is no longer wanted.
        to_ms: i64,
    },
    /// The last so much before the live edge.
    Last(Duration),
    /// All that the playlist lists.
    Listed,
}

impl ClipWindow {
    /// From when to when it is, where `edge_ms` is the live edge; `None` when it depends on more than that.
    pub(crate) fn range(self, edge_ms: i64) -> Option<(i64, i64)> {
        match self {
            Self::SinceBoundary | Self::Listed => None,
            Self::Range { from_ms, to_ms } => Some((from_ms, to_ms)),
            Self::Last(length) => {
                let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
                Some((edge_ms.saturating_sub(length), edge_ms))
            }
        }
    }
}

/// A window of a montage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MontageWindow {
    /// The stream.
    pub stream: String,
    /// Which part of it.
    pub window: ClipWindow,
    /// What its chapter is called; its first instant otherwise.
    pub title: Option<String>,
}

/// A clip that was asked for.
#[derive(Debug)]
pub struct MadeClip {
    /// Its entry. Where there is a body, it may still be on its way into the catalog.
    pub entry: ClipEntry,
    /// Its bytes, where they were asked for.
    pub body: Option<ClipBody>,
}

/// Why there is no clip.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnDemandError {
    /// Nobody knows the stream.
    #[error("No broadcast exists for stream {0}")]
    NoBroadcast(String),
    /// The stream is known, and has no playlist.
    #[error("No m3u8 file found for stream {0}")]
    NoPlaylist(String),
    /// It has a file with a playlist's name, which is none.
    #[error("No HLS playlist found for stream {0}")]
    NoHlsPlaylist(String),
    /// There is no media in the window.
    #[error("No segment file found for stream {stream} between {} and {}", Instant(*from_ms), Instant(*to_ms))]
    NoSegment {
        /// The stream.
        stream: String,
        /// The window's beginning, in milliseconds since the Unix epoch.
        from_ms: i64,
        /// Its end.
        to_ms: i64,
        /// Why, where that is known: the message says nothing of it.
        why: Option<String>,
    },
    /// Windows that make no montage.
    #[error("The windows cannot be joined: {0}")]
    Unfit(String),
    /// There is no room for the clip.
    #[error("No space left on the disk")]
    DiskFull,
    /// The server is shutting down.
    #[error("The server is shutting down")]
    Draining,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// How far back a stream can be clipped, whatever its source lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DvrReach {
    /// In milliseconds since 1970.
    pub from_ms: i64,
    /// In milliseconds since 1970.
    pub to_ms: i64,
    /// Of what no clip in the making needs.
    pub bytes: u64,
}

/// How the recorders stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecorderStatus {
    /// Streams that are live.
    pub live_streams: u64,
    /// Bytes of segments that are kept from deletion.
    pub spool_bytes: u64,
    /// Why recording stands still, where it does: the disk is full, a folder cannot be read.
    pub trouble: Option<String>,
}
