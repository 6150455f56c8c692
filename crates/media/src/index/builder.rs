//! How an index is made.

use std::ops::Range;
use std::sync::Arc;

use super::{Extent, Sample, TrackIndex, TrackTiming};
use crate::samples::{Store, Unit};
use crate::{CodecConfig, Language, LimitExceeded, Limits, TrackKind};

/// Makes a [`TrackIndex`], one piece, unit and sample after the other.
///
/// Positions in the elementary stream count the bytes of all pieces pushed so far.
#[derive(Debug)]
pub struct TrackBuilder {
    /// Without samples.
    index: TrackIndex,
    samples: Vec<Sample>,
    units: Vec<Unit>,
    /// Where the units of each sample end.
    ends: Vec<u32>,
    position: u64,
    limits: Limits,
}

impl TrackBuilder {
    /// A track without samples.
    ///
    /// `segment_len` is the length of the segment in bytes, `stride` the distance between two
    /// packets (188, 192 or 204; anything where the payload is contiguous), and `length_prefixed`
    /// whether each unit is a NAL unit that needs its length in front of it.
    ///
    /// # Errors
    /// When the segment is longer than `limits` allow.
    pub fn new(
        id: u32,
        kind: TrackKind,
        timing: TrackTiming,
        segment_len: u64,
        stride: u16,
        length_prefixed: bool,
        limits: &Limits,
    ) -> Result<Self, LimitExceeded> {
        let limit = limits.segment_bytes.min(u64::from(u32::MAX));
        LimitExceeded::check("segment size in bytes", segment_len, limit)?;
        Ok(Self {
            index: TrackIndex {
                id,
                kind,
                language: Language::UNDETERMINED,
                timing,
                configs: Vec::new(),
                extents: Vec::new(),
                samples: Store::default(),
                literals: Vec::new(),
                segment_len: u32::try_from(segment_len).unwrap_or(u32::MAX),
                stride,
                length_prefixed,
                captions: false,
                open_ended: false,
                follows_loss: false,
            },
            samples: Vec::new(),
            units: Vec::new(),
            ends: Vec::new(),
            position: 0,
            limits: limits.clone(),
        })
    }

    /// States the track's language.
    pub fn set_language(&mut self, language: Language) {
        self.index.language = language;
    }

    /// States that closed captions are in the samples.
    pub fn set_captions(&mut self) {
        self.index.captions = true;
    }

    /// Bytes of elementary stream pushed so far: the position of the next piece.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Samples pushed so far.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Appends `len` bytes of the segment, beginning at byte `offset`, to the elementary stream.
    ///
    /// # Errors
    /// When the piece does not lie inside the segment.
    pub fn push_piece(&mut self, offset: u64, len: usize) -> Result<(), LimitExceeded> {
        let end = offset.saturating_add(len as u64);
        LimitExceeded::check(
            "end of a piece in its segment",
            end,
            u64::from(self.index.segment_len),
        )?;
        self.push_extent(u32::try_from(offset).unwrap_or(u32::MAX), len);
        Ok(())
    }

    /// The same for `count` pieces of `len` bytes each, every one a packet behind the one before.
    ///
    /// # Errors
    /// When one of them does not lie inside the segment.
    pub fn push_pieces(&mut self, offset: u64, len: u16, count: u16) -> Result<(), LimitExceeded> {
        let Some(before) = count.checked_sub(1) else {
            return Ok(());
        };
        let before = u64::from(before).saturating_mul(self.index.stride.into());
        let end = offset.saturating_add(before).saturating_add(len.into());
        let segment_len = u64::from(self.index.segment_len);
        LimitExceeded::check("end of a piece in its segment", end, segment_len)?;
        if len > 0 {
            self.push_short_extent(u32::try_from(offset).unwrap_or(u32::MAX), len, count);
        }
        Ok(())
    }

    /// Appends bytes that are not in the segment to the elementary stream.
    ///
    /// # Errors
    /// When segment and literals together pass 4 GiB.
    pub fn push_literal(&mut self, bytes: &[u8]) -> Result<(), LimitExceeded> {
        let offset =
            u64::from(self.index.segment_len).saturating_add(self.index.literals.len() as u64);
        LimitExceeded::check(
            "segment and literals in bytes",
            offset.saturating_add(bytes.len() as u64),
            u64::from(u32::MAX),
        )?;
        self.index.literals.extend_from_slice(bytes);
        self.push_extent(u32::try_from(offset).unwrap_or(u32::MAX), bytes.len());
        Ok(())
    }

    fn push_extent(&mut self, mut offset: u32, mut len: usize) {
        while len > 0 {
            let piece = u16::try_from(len).unwrap_or(u16::MAX);
            self.push_short_extent(offset, piece, 1);
            offset = offset.saturating_add(u32::from(piece));
            len = len.saturating_sub(usize::from(piece));
        }
    }

    fn push_short_extent(&mut self, offset: u32, len: u16, count: u16) {
        let stride = u32::from(self.index.stride);
        let start = u32::try_from(self.position).unwrap_or(u32::MAX);
        let bytes = u64::from(len).saturating_mul(count.into());
        self.position = self.position.saturating_add(bytes);
        if let Some(last) = self.index.extents.last_mut() {
            let next = last
                .offset
                .saturating_add(stride.saturating_mul(u32::from(last.count)));
            if last.len == len
                && next == offset
                && let Some(more) = last.count.checked_add(count)
            {
                last.count = more;
                return;
            }
        }
        self.index.extents.push(Extent {
            start,
            offset,
            len,
            count,
        });
    }

    /// Adds the bytes at `range` of the elementary stream to the sample in the making.
    ///
    /// # Errors
    /// When the range reaches past the pieces pushed so far, or past 4 GiB.
    pub fn push_unit(&mut self, range: Range<u64>) -> Result<(), LimitExceeded> {
        LimitExceeded::check("end of a unit", range.end, self.position)?;
        LimitExceeded::check("end of a unit", range.end, u64::from(u32::MAX))?;
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        self.units.push(Unit {
            start: narrow(range.start),
            len: narrow(range.end.saturating_sub(range.start)),
        });
        Ok(())
    }

    /// The index of `config` among the track's configurations, which it joins if it is new.
    ///
    /// # Errors
    /// When there are more than `limits` allow.
    pub fn config(&mut self, config: &Arc<CodecConfig>) -> Result<u16, LimitExceeded> {
        let configs = &mut self.index.configs;
        if let Some(at) = configs.iter().rposition(|known| known == config) {
            return Ok(u16::try_from(at).unwrap_or(u16::MAX));
        }
        let at = configs.len();
        let limit = self.limits.configs.min(usize::from(u16::MAX));
        LimitExceeded::check(
            "codec configurations of a track",
            (at as u64).saturating_add(1),
            limit as u64,
        )?;
        configs.push(Arc::clone(config));
        Ok(u16::try_from(at).unwrap_or(u16::MAX))
    }

    /// Ends the sample in the making: the units pushed since the last one. `size` of `sample` is
    /// filled in here.
    ///
    /// # Errors
    /// When there are more samples than `limits` allow, or the sample is larger than 4 GiB.
    pub fn push_sample(&mut self, sample: Sample) -> Result<(), LimitExceeded> {
        LimitExceeded::check(
            "samples of a track",
            (self.samples.len() as u64).saturating_add(1),
            self.limits.samples as u64,
        )?;
        let begin = self.ends.last().map_or(0, |&end| end as usize);
        let units = self.units.get(begin..).unwrap_or_default();
        let prefix = u64::from(self.index.prefix());
        let size: u64 = units
            .iter()
            .map(|unit| u64::from(unit.len).saturating_add(prefix))
            .sum();
        LimitExceeded::check("sample size in bytes", size, u64::from(u32::MAX))?;
        let end = self.units.len();
        self.ends.push(u32::try_from(end).unwrap_or(u32::MAX));
        self.samples.push(Sample {
            size: u32::try_from(size).unwrap_or(u32::MAX),
            ..sample
        });
        Ok(())
    }

    /// Gives the last sample pushed another duration; nothing where there is none.
    pub fn set_last_duration(&mut self, duration: u32) {
        if let Some(last) = self.samples.last_mut() {
            last.duration = duration;
        }
    }

    /// The finished index.
    #[must_use]
    pub fn finish(mut self) -> TrackIndex {
        // Units of a sample that was never ended belong to nothing.
        let end = self.ends.last().map_or(0, |&end| end as usize);
        self.units.truncate(end);
        self.index.extents.shrink_to_fit();
        self.index.literals.shrink_to_fit();
        self.index.samples = Store::new(self.samples, self.ends, self.units);
        self.index
    }
}
