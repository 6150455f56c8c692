//! The regions of a file, one behind the other: bytes of ours, or samples of a segment.

use bytes::Bytes;

use crate::LayoutError;
use crate::chunks::Chunk;

/// A region of the file.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    /// Where it ends in the file; it begins where the region before it ends.
    pub(crate) end: u64,
    pub(crate) content: RegionContent,
}

#[derive(Debug, Clone)]
pub(crate) enum RegionContent {
    Bytes(Bytes),
    Media(SampleRange),
}

/// Samples in a row, in the movie and in their segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SampleRange {
    /// Index of the track in the movie.
    pub(crate) track: usize,
    /// First sample, in the track.
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) segment: u32,
    /// Which track of that segment.
    pub(crate) source_track: u32,
    /// The first sample, there.
    pub(crate) source_first: u32,
    /// It is one sample, with which coding restarts.
    pub(crate) restart: bool,
}

impl SampleRange {
    /// The first of the samples, with which coding restarts, and the others.
    pub(crate) fn split_first(self) -> (Self, Self) {
        let first = Self {
            count: 1,
            restart: true,
            ..self
        };
        let rest = Self {
            first: self.first.saturating_add(1),
            count: self.count.saturating_sub(1),
            source_first: self.source_first.saturating_add(1),
            ..self
        };
        (first, rest)
    }
}

impl From<Chunk> for SampleRange {
    fn from(chunk: Chunk) -> Self {
        Self {
            track: chunk.track,
            first: chunk.first,
            count: chunk.count,
            segment: chunk.segment,
            source_track: chunk.source_track,
            source_first: chunk.source_first,
            restart: false,
        }
    }
}

/// Regions of a file, put one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Regions {
    regions: Vec<Region>,
    len: u64,
}

impl Regions {
    /// The regions, and the length of all of them in bytes.
    pub(crate) fn into_inner(self) -> (Vec<Region>, u64) {
        (self.regions, self.len)
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds what comes behind.
    pub(crate) fn append(&mut self, more: Self) -> Result<(), LayoutError> {
        let before = self.len;
        let moved = more.regions.into_iter().map(|region| {
            let end = before.checked_add(region.end);
            let end = end.ok_or(LayoutError::TooLarge { what: "the file" })?;
            self.len = end;
            Ok(Region { end, ..region })
        });
        let moved = moved.collect::<Result<Vec<_>, LayoutError>>()?;
        self.regions.extend(moved);
        Ok(())
    }

    /// Adds a region; `len` is that of media.
    pub(crate) fn push(
        &mut self,
        content: RegionContent,
        len: Option<u64>,
    ) -> Result<(), LayoutError> {
        let len = match &content {
            RegionContent::Bytes(bytes) => bytes.len() as u64,
            RegionContent::Media(_) => len.unwrap_or_default(),
        };
        self.len = self
            .len
            .checked_add(len)
            .ok_or(LayoutError::TooLarge { what: "the file" })?;
        if len > 0 {
            let end = self.len;
            self.regions.push(Region { end, content });
        }
        Ok(())
    }
}
