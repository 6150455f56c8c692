//! Segments, one after the other: read, indexed, and told what lies between them.

use std::path::Path;

use bytes::Bytes;
use clipmill_media::{Limits, SegmentIndex};

use crate::error::SegmentError;
use crate::item::Item;
use crate::reader::SegmentReader;
use crate::source::SegmentSource;
use crate::timeline::{SegmentInfo, Ticks, duration_ticks};

/// Reads and indexes segments in order, and keeps account of those that are missing.
pub(crate) struct Feed<'a> {
    source: &'a dyn SegmentSource,
    reader: SegmentReader,
    missing: Ticks,
    discontinuity: bool,
    bytes: Bytes,
}

/// An indexed segment; or nothing, with the reason unless the playlist says that it is a gap.
pub(crate) type Fed = Result<(SegmentInfo, SegmentIndex), Option<SegmentError>>;

impl<'a> Feed<'a> {
    /// A feed that looks for keys in `keys` first.
    pub(crate) fn new(
        source: &'a dyn SegmentSource,
        program: Option<u16>,
        limits: &Limits,
        keys: Option<&Path>,
    ) -> Self {
        Self {
            source,
            reader: SegmentReader::new(program, limits).with_keys(keys),
            missing: 0,
            discontinuity: false,
            bytes: Bytes::new(),
        }
    }

    /// The segment that was indexed last.
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Reads and indexes the next segment. That this cannot be done is no error of the whole, as the
    /// clip goes on without it.
    pub(crate) fn next(&mut self, item: &Item) -> Fed {
        self.discontinuity |= item.discontinuity;
        if item.gap {
            self.miss(item);
            return Err(None);
        }
        self.bytes = Bytes::new();
        self.read_and_index(item).map_err(|error| {
            self.miss(item);
            Some(error)
        })
    }

    fn read_and_index(&mut self, item: &Item) -> Result<(SegmentInfo, SegmentIndex), SegmentError> {
        let read = self.reader.read_item(self.source, item)?;
        if self.discontinuity || self.missing > 0 {
            self.reader.interrupted();
        }
        if item.last {
            self.reader.end_of_stream();
        }
        let index = self.reader.index(&read)?;
        self.bytes = read.bytes;
        let info = item.info(
            read.key,
            std::mem::take(&mut self.discontinuity),
            std::mem::take(&mut self.missing),
        );
        Ok((info, index))
    }

    /// Reads a segment, and decrypts it.
    pub(crate) fn read(&mut self, item: &Item) -> Result<Bytes, SegmentError> {
        Ok(self.reader.read_item(self.source, item)?.bytes)
    }

    fn miss(&mut self, item: &Item) {
        self.missing = self.missing.saturating_add(duration_ticks(item.duration));
    }
}
