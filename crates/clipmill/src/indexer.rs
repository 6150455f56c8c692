//! Segments of any container, turned into the one index.

use clipmill_media::{Limits, SegmentIndex};
use clipmill_mp4::{FragmentIndexer, looks_like_mp4};
use clipmill_ts::{DemuxOptions, Demuxer, IndexError, PackedAudio, looks_like_ts};

use crate::error::SegmentError;
use crate::foreign;

/// Indexes the segments of one stream, one after the other, by what their first bytes say they are:
/// MPEG-TS, fragmented MP4 or packed audio.
#[derive(Debug)]
pub struct Indexer {
    demuxer: Demuxer,
    fragments: FragmentIndexer,
    packed: PackedAudio,
}

impl Indexer {
    /// An indexer that has seen nothing. `program` is the one to take of a transport stream with
    /// several; that with pictures in the clear by default.
    #[must_use]
    pub fn new(program: Option<u16>, limits: &Limits) -> Self {
        let mut options = DemuxOptions::default();
        options.program = program;
        options.limits = limits.clone();
        Self {
            demuxer: Demuxer::new(options),
            fragments: FragmentIndexer::new(limits),
            packed: PackedAudio::new(limits),
        }
    }

    /// Tells that the next segment does not follow the last one: a segment is missing, or the
    /// playlist says `EXT-X-DISCONTINUITY`.
    pub fn discontinuity(&mut self) {
        self.demuxer.discontinuity();
        self.fragments.discontinuity();
        self.packed.discontinuity();
    }

    /// Tells that nothing follows the next segment: a frame of sound that it does not hold to its end
    /// is cut off.
    pub fn end_of_stream(&mut self) {
        self.demuxer.end_of_stream();
        self.packed.end_of_stream();
    }

    /// Reads what `EXT-X-MAP` names (RFC 8216, 4.3.2.5): what the segments that follow need. The
    /// same again costs little.
    ///
    /// # Errors
    /// When it is not what it should be.
    pub fn init(&mut self, map: &[u8]) -> Result<(), SegmentError> {
        if looks_like_mp4(map) {
            return Ok(self.fragments.init(map)?);
        }
        // Of a transport stream it is the tables, which need not come with any media.
        self.transport_stream(map)?;
        Ok(())
    }

    /// Indexes the next segment.
    ///
    /// # Errors
    /// When it cannot be indexed.
    pub fn index(&mut self, segment: &[u8]) -> Result<SegmentIndex, SegmentError> {
        self.index_at(segment, None)
    }

    /// The same for a part of a file, which begins at byte `file` of it.
    ///
    /// # Errors
    /// As [`Self::index`].
    pub fn index_at(
        &mut self,
        segment: &[u8],
        file: Option<u64>,
    ) -> Result<SegmentIndex, SegmentError> {
        if looks_like_mp4(segment) {
            return Ok(self.fragments.index_at(segment, file)?);
        }
        let packed = PackedAudio::looks_like(segment) || self.packed.is_inside_frame();
        if packed && !looks_like_ts(segment) {
            return Ok(self.packed.index(segment)?);
        }
        self.transport_stream(segment)
    }

    fn transport_stream(&mut self, segment: &[u8]) -> Result<SegmentIndex, SegmentError> {
        self.demuxer.index(segment).map_err(|error| match error {
            IndexError::NoSync { .. } => match foreign::not_media(segment) {
                Some(what) => SegmentError::NotMedia(what),
                None => error.into(),
            },
            error => error.into(),
        })
    }
}
