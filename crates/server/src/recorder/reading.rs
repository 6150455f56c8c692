//! The segments of one playlist, read and indexed one after the other, and what lies between them.

use std::path::Path;

use clipmill::{
    Limits, Location, ReadSegment, SegmentError, SegmentIndex, SegmentReader, SegmentSource, Ticks,
};
use clipmill_playlist::Segment;

use crate::spool::Label;

/// Reads and indexes the segments of a playlist, and keeps account of what lies between them.
#[derive(Debug)]
pub(crate) struct Reading {
    reader: SegmentReader,
    missing: Ticks,
    discontinuity: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            reader: SegmentReader::new(None, &Limits::default()),
            missing: 0,
            discontinuity: false,
        }
    }
}

impl Reading {
    /// Length of the segments that are missing since the last one, in 90 kHz ticks.
    pub(crate) fn missing(&self) -> Ticks {
        self.missing
    }

    /// Media that will not come.
    pub(crate) fn miss(&mut self, duration: Ticks) {
        self.missing = self.missing.saturating_add(duration);
    }

    /// What reads the next segment.
    pub(crate) fn reader(&mut self) -> &mut SegmentReader {
        &mut self.reader
    }

    /// Reads the next segment, and decrypts it.
    pub(crate) fn read(
        &mut self,
        source: &dyn SegmentSource,
        segment: &Segment,
        playlist: &Path,
    ) -> Result<ReadSegment, SegmentError> {
        let playlist = Location::File(playlist.to_owned());
        self.reader.read(source, segment, &playlist)
    }

    /// Indexes the next segment.
    pub(crate) fn index(
        &mut self,
        read: &ReadSegment,
        discontinuity: bool,
    ) -> Result<SegmentIndex, SegmentError> {
        self.discontinuity |= discontinuity;
        if self.discontinuity || self.missing > 0 {
            self.reader.discontinuity();
        }
        self.reader.index(read)
    }

    /// Reads and indexes a segment that is of use only to those that follow: they may need parameter
    /// sets that come in it, and the rest of a PES packet.
    pub(crate) fn warm_up(
        &mut self,
        source: &dyn SegmentSource,
        segment: &Segment,
        playlist: &Path,
    ) {
        if let Ok(read) = self.read(source, segment, playlist) {
            let _ = self.reader.index(&read);
        }
    }

    /// The next segment is indexed already.
    pub(crate) fn known(&mut self, discontinuity: bool) {
        self.discontinuity |= discontinuity;
    }

    /// The label of the next segment, with what lies before it.
    pub(crate) fn label(&self, label: Label) -> Label {
        Label {
            discontinuity: self.discontinuity,
            missing_before: self.missing,
            ..label
        }
    }

    /// The next segment is taken: nothing lies behind it yet.
    pub(crate) fn taken(&mut self) {
        self.missing = 0;
        self.discontinuity = false;
    }
}
