use std::io;
use std::path::PathBuf;

use clipmill_media::{DeclinedStream, GatherError, LimitExceeded, WebVttError};
use clipmill_mp4::{LayoutError, ReadError};
use clipmill_playlist::{LocationError, PlaylistError, VariantError, WindowError};
use clipmill_ts::IndexError;

use crate::mismatch::MontageError;
use crate::source::SourceError;

/// Why a clip could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// A playlist or segment could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The playlist makes no sense, or the window does not fit it.
    #[error("{playlist}: {error}")]
    Playlist {
        /// The playlist.
        playlist: String,
        /// What is wrong with it.
        error: PlaylistFailure,
    },
    /// A segment could not be read or indexed, and there is no other.
    #[error("{}", named(.segment, .error))]
    Segment {
        /// The segment, as in `segment live12.ts (sequence 1012)`.
        segment: String,
        /// What is wrong with it.
        error: SegmentError,
    },
    /// None of the segments could be read or indexed.
    #[error("{}; none of the {count} segments can be used", named(.segment, .error))]
    Segments {
        /// The first of them.
        segment: String,
        /// What is wrong with it.
        error: SegmentError,
        /// How many there are.
        count: usize,
    },
    /// The playlist of the variant that was chosen cannot be read.
    #[error("{playlist}: its variant {variant}: {error}{}", other_variants(.others))]
    Variant {
        /// The multivariant playlist.
        playlist: String,
        /// The variant.
        variant: String,
        /// What is wrong with its playlist.
        error: Box<Self>,
        /// The other variants.
        others: Vec<String>,
    },
    /// Something that HLS allows and this version cannot do.
    #[error("{what}: {feature} is not supported yet")]
    Unsupported {
        /// The playlist or segment.
        what: String,
        /// What is not supported.
        feature: String,
    },
    /// No audio rendition is the one that was asked for.
    #[error("{playlist}: there is no audio {wanted:?}; there is {found}")]
    NoAudio {
        /// The playlist.
        playlist: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// The window holds no sample.
    #[error("{playlist}: nothing in the window: {why}")]
    Empty {
        /// The playlist, or the first of the files.
        playlist: String,
        /// What there is instead, in words.
        why: String,
        /// Whether segments of the window are missing.
        missing: bool,
    },
    /// It is larger or longer than it may be.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The samples do not make an MP4.
    #[error("cannot lay out the clip: {0}")]
    Layout(#[from] LayoutError),
    /// The clips cannot be joined.
    #[error("cannot join: {0}")]
    Montage(#[from] MontageError),
    /// A segment changed between being indexed and being copied.
    #[error("{segment} changed while it was read: {error}")]
    Changed {
        /// The segment.
        segment: String,
        /// What is no longer there.
        error: GatherError,
    },
    /// The output could not be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The output.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The observer asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl ClipError {
    /// Whether what was asked for is damaged or missing, rather than impossible.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Segment { error, .. } | Self::Segments { error, .. } => {
                !matches!(error, SegmentError::Unsupported(_))
            }
            Self::Empty { missing, .. } => *missing,
            _ => false,
        }
    }

    /// The streams that would make a clip if they were not scrambled, where that is why there is
    /// none.
    #[must_use]
    pub fn scrambled(&self) -> Option<&[DeclinedStream]> {
        match self {
            Self::Segment { error, .. } | Self::Segments { error, .. } => match error {
                SegmentError::Index(IndexError::Scrambled { streams, .. }) => Some(streams),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A file that cannot be read is named by why not, too.
fn named(segment: &str, error: &SegmentError) -> String {
    let error = error.to_string();
    match error.strip_prefix(segment) {
        Some(rest) if rest.starts_with(": ") => error,
        _ => format!("{segment}: {error}"),
    }
}

fn other_variants(others: &[String]) -> String {
    if others.is_empty() {
        return String::new();
    }
    format!(" (there is also {})", others.join(", "))
}

/// What is wrong with a playlist, or with what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaylistFailure {
    /// Its text.
    #[error(transparent)]
    Text(#[from] PlaylistError),
    /// It is something else.
    #[error("not an M3U8 playlist but {0}")]
    Foreign(String),
    /// The window does not fit it.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// It has no such variant.
    #[error(transparent)]
    Variant(#[from] VariantError),
    /// A URI in it leads nowhere.
    #[error(transparent)]
    Location(#[from] LocationError),
}

impl PlaylistFailure {
    /// Whether the request contradicts itself, whatever the playlist holds.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        use WindowError::{EndsBeforeStart, LastWithOthers, TooManyBounds, ZeroLength};
        matches!(
            self,
            Self::Window(LastWithOthers | TooManyBounds | ZeroLength | EndsBeforeStart)
        )
    }
}

/// Why a segment could not be indexed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// It could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It is something else, which is known by how it begins: `an HTML page`.
    #[error("{0}, not a media segment")]
    NotMedia(String),
    /// Its key could not be read.
    #[error("its key {0}")]
    Key(SourceError),
    /// What has to be read before it could not be.
    #[error("its EXT-X-MAP {0}")]
    NoMap(SourceError),
    /// It holds no MPEG-TS, nor packed audio, that can be indexed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// It holds no fragmented MP4 that can be indexed.
    #[error(transparent)]
    Fragment(#[from] ReadError),
    /// It holds no subtitles that can be read.
    #[error(transparent)]
    WebVtt(#[from] WebVttError),
    /// It is encrypted, and cannot be decrypted.
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
    /// What has to be read before it is of no use.
    #[error("its EXT-X-MAP {map}: {error}")]
    Map {
        /// Where that is.
        map: String,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// Its pictures cannot be put together with their sound.
    #[error("its pictures and sound cannot be put together: {0}")]
    Compose(String),
    /// It is larger than it may be.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// It leads where a playlist may not lead.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// Sound whose discontinuities are others than those of the pictures, and whose timestamps are too.
    #[error("its sound fits no pictures, by its discontinuity sequence number and its timestamps")]
    NoPictures,
    /// It needs something that this version cannot do.
    #[error("{0} is not supported yet")]
    Unsupported(String),
}

impl SegmentError {
    /// Whether its bytes look like nothing that is known.
    pub(crate) fn is_no_container(&self) -> bool {
        matches!(
            self,
            Self::NotMedia(_) | Self::Index(IndexError::NoSync { .. })
        )
    }

    /// Whether it is of no use although nothing of it is missing: to read it again will not help.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Index(error) => matches!(
                error,
                IndexError::Scrambled { .. } | IndexError::NothingCarried { .. }
            ),
            Self::Fragment(error) => matches!(
                error,
                ReadError::NothingCarried { .. } | ReadError::Progressive
            ),
            Self::Map { error, .. } => error.is_final(),
            Self::Unsupported(_) => true,
            _ => false,
        }
    }
}

/// Why a segment could not be decrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// What lies where the key should be is none.
    #[error("the key {key} has {found} bytes instead of {wanted}")]
    KeySize {
        /// Where it lies.
        key: String,
        /// Its bytes.
        found: usize,
        /// As many as there should be.
        wanted: usize,
    },
    /// A `data:` URI that holds no bytes.
    #[error("a data: URI that cannot be read as a key")]
    KeyData,
    /// Ciphertext comes in blocks of 16 bytes.
    #[error(
        "its {len} bytes are no whole number of AES blocks: it is not complete, or not encrypted"
    )]
    Length {
        /// How many bytes there are.
        len: usize,
    },
    /// What of its samples is encrypted, the stream types of its program map say.
    #[error("no program map says which of its streams are encrypted (METHOD=SAMPLE-AES)")]
    NoProgramMap,
    /// The padding is wrong (that it is right by chance is one case in 256), or the samples are.
    #[error("the key {key} does not fit: wrong key or initialization vector, or a damaged segment")]
    WrongKey {
        /// Where the key lies.
        key: String,
    },
}
