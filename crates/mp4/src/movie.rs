use std::sync::Arc;

use bytes::Bytes;
use clipmill_media::{CodecConfig, Language, Leading, RandomAccess, TimedEvent, TrackKind};

use crate::Chapter;

/// What an MP4 file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Movie {
    /// The tracks. A [`Layout`] leaves those without samples out.
    ///
    /// [`Layout`]: crate::Layout
    pub tracks: Vec<Track>,
    /// Timed metadata in the order of time, which is counted in ticks of
    /// [`MOVIE_TIMESCALE`](crate::MOVIE_TIMESCALE) from where the presentation begins: `emsg` in
    /// fragmented files, a track for each scheme in progressive ones.
    pub events: Vec<TimedEvent>,
    /// Chapters, in any order; those that begin when the movie is over are left out, and of several
    /// at one instant the last is written. In progressive files they are a text track that the media
    /// refers to, and a `chpl`, which has room for 255: where there are more it is left out. In fragmented
    /// files, whose tracks are those of their fragments, they are a `chpl` of the first 255.
    pub chapters: Vec<Chapter>,
    /// When the movie was made: seconds since the Unix epoch.
    pub creation_time: Option<u64>,
    /// The title (`©nam`).
    pub title: Option<String>,
    /// A comment (`©cmt`).
    pub comment: Option<String>,
    /// Opaque bytes, kept in a `uuid` box of Clipmill's own (ISO/IEC 14496-12, 4.2.2): what a
    /// server needs in order to rebuild its catalog from the file alone.
    pub metadata: Option<Bytes>,
}

/// One track of a [`Movie`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Its identifier (`tkhd`), which no other track has; `None`: one more than the greatest of the tracks
    /// before it, from 1 on.
    pub id: Option<u32>,
    /// Video or audio.
    pub kind: TrackKind,
    /// Ticks per second of the samples' durations and composition offsets. Never zero.
    pub timescale: u32,
    /// The language (`mdhd`).
    pub language: Language,
    /// The track's name (`hdlr`).
    pub name: Option<String>,
    /// Whether a player shows the track without being asked (`tkhd`).
    pub enabled: bool,
    /// The codec configurations: one sample entry each (ISO/IEC 14496-12, 8.5.2).
    pub configs: Vec<Arc<CodecConfig>>,
    /// The edit list (8.6.6). None: the media from its beginning to its end.
    pub edits: Vec<Edit>,
    /// The samples in decode order.
    pub samples: Vec<MovieSample>,
    /// Where the samples lie. Consecutive runs cover `samples` in order; the segments of one
    /// track never go backwards.
    pub runs: Vec<Run>,
    /// Samples, in order, from which on nothing refers to what lies before them, as they are the first of
    /// another part of a montage. Decoders must be told: see [`MediaSpan::restart`](crate::MediaSpan::restart).
    pub restarts: Vec<u32>,
    /// Decode time of the first sample in `timescale`: 0 for a progressive file, `tfdt` (8.8.12)
    /// for a fragmented one.
    pub start: u64,
}

/// One entry of an edit list (ISO/IEC 14496-12, 8.6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Edit {
    /// How long it lasts, in ticks of [`MOVIE_TIMESCALE`](crate::MOVIE_TIMESCALE); in fragmented
    /// files 0 means: to the end.
    pub duration: u64,
    /// Where it begins in the media, in the track's timescale; `None` shows nothing.
    pub media_time: Option<u64>,
}

/// One sample: numbers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MovieSample {
    /// Bytes that `TrackIndex::gather` writes for it.
    pub size: u32,
    /// How long it lasts, in the track's timescale.
    pub duration: u32,
    /// Composition time less decode time, in the track's timescale.
    pub composition_offset: i32,
    /// Which of [`Track::configs`] it is coded with.
    pub config: u16,
    /// Whether decoding can start here.
    pub random_access: RandomAccess,
    /// Whether it is a leading picture.
    pub leading: Leading,
}

/// Consecutive samples of one track of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// Which segment, in the numbering of whoever made the movie.
    pub segment: u32,
    /// Which of that segment's `SegmentIndex::tracks`.
    pub track: u32,
    /// The first sample, in that `TrackIndex`.
    pub first_sample: u32,
    /// How many samples.
    pub count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_small() {
        assert_eq!(size_of::<MovieSample>(), 20);
        assert_eq!(size_of::<Run>(), 16);
    }
}
