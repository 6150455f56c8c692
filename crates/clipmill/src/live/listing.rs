//! What a playlist lists at one moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clipmill_playlist::{MediaPlaylist, Segment};

use super::taken::SegmentFiles;
use super::taken_segment::name_of;

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
    /// What its content is, as far as that is known without reading it. It tells what was taken before
    /// where sequence numbers do not; without it, the date does.
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

/// The segments of a playlist that was written so long ago, without the last one while that may be
/// half-written.
#[must_use]
pub fn complete_segments(media: &MediaPlaylist, age: Duration) -> &[Segment] {
    let segments = media.segments.as_slice();
    match segments.split_last() {
        Some((_, before)) if media.truncated && age < WHOLE => before,
        _ => segments,
    }
}

impl Listing {
    /// What a parsed playlist lists, without the last segment while it may be half-written.
    pub fn new(
        playlist: impl Into<Arc<str>>,
        media: &MediaPlaylist,
        age: Duration,
        mut version: impl FnMut(&Segment) -> Option<Version>,
    ) -> Self {
        let listed = complete_segments(media, age).iter().map(|segment| Listed {
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

/// A listing that is looked at.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) playlist: Arc<str>,
    pub(super) segments: Vec<Segment>,
    pub(super) versions: Versions,
    pub(super) target: Duration,
    pub(super) ended: bool,
    pub(super) age: Duration,
}

/// What the files of a listing look like, by the name of the segment.
#[derive(Debug)]
pub(super) struct Versions(HashMap<u32, Version>);

impl From<Listing> for Looked {
    fn from(listing: Listing) -> Self {
        let listed = listing.segments.iter();
        let versions = listed.filter_map(|one| Some((name_of(&one.segment), one.version?)));
        Self {
            versions: Versions(versions.collect()),
            segments: listing
                .segments
                .into_iter()
                .map(|one| one.segment)
                .collect(),
            playlist: listing.playlist,
            target: listing.target,
            ended: listing.ended,
            age: listing.age,
        }
    }
}

impl Looked {
    /// A segment of it, as it is fetched.
    pub(super) fn listed(&self, segment: &Segment) -> Arc<Listed> {
        Arc::new(Listed {
            segment: segment.clone(),
            version: self.versions.get(segment),
        })
    }
}

impl Versions {
    pub(super) fn get(&self, segment: &Segment) -> Option<Version> {
        self.0.get(&name_of(segment)).copied()
    }
}

impl SegmentFiles for Versions {
    fn version(&mut self, segment: &Segment) -> Option<Version> {
        self.get(segment)
    }

    fn head(&mut self, _: &Segment) -> Option<u64> {
        None
    }
}
