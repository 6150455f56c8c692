//! What a playlist lists at one moment.

use std::sync::Arc;
use std::time::Duration;

use clipmill_playlist::{MediaPlaylist, Segment};

/// A playlist that was not written to for this long is not half-written.
const WHOLE: Duration = Duration::from_secs(1);

/// What tells two contents of the same name apart: time of the last change, `ETag`, a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// Opaque: equal for the same content.
    pub tag: u64,
    /// Length in bytes: a file that is still written to grows.
    pub len: u64,
}

impl Version {
    pub(super) fn grew_to(&self, now: &Self) -> bool {
        now.len > self.len
    }
}

/// A segment that is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// As the playlist has it.
    pub segment: Segment,
    /// What its content is, as far as that is known without reading it. The two newest that were
    /// listed before, and all that are new, should have one.
    pub version: Option<Version>,
}

/// A media playlist at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// Which playlist: a stream that moves to another one begins a new session.
    pub playlist: Arc<str>,
    /// Its segments, oldest first.
    pub segments: Vec<Listed>,
    /// `EXT-X-TARGETDURATION`.
    pub target: Duration,
    /// `EXT-X-ENDLIST`.
    pub ended: bool,
    /// How long ago it was written.
    pub age: Duration,
}

impl Listing {
    /// What a parsed playlist lists, without the last segment while it may be half-written.
    pub fn new(
        playlist: impl Into<Arc<str>>,
        media: &MediaPlaylist,
        age: Duration,
        mut version: impl FnMut(&Segment) -> Option<Version>,
    ) -> Self {
        let mut segments = media.segments.as_slice();
        if media.truncated && age < WHOLE {
            segments = segments.split_last().map_or(segments, |(_, before)| before);
        }
        let listed = segments.iter().map(|segment| Listed {
            version: version(segment),
            segment: segment.clone(),
        });
        Self {
            playlist: playlist.into(),
            segments: listed.collect(),
            target: media.target_duration,
            ended: media.ended,
            age,
        }
    }
}
