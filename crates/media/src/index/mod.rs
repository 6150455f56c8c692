//! Where every sample of one media segment lies, as numbers alone.
//!
//! A track of a segment is a list of extents (which bytes of the segment, put one after the other,
//! make the elementary stream), a list of units (which stretches of that elementary stream are
//! kept) and a list of [`Sample`]s (which units make one access unit, and when it is due). An
//! MPEG-TS sample is thus a run of packet payloads; a CMAF sample is one stretch.
//! [`TrackIndex::gather`] copies the payload of samples out of the segment, once.

mod builder;
mod sample;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

pub use self::builder::TrackBuilder;
pub use self::sample::{Leading, RandomAccess, Sample, TrackTiming};
use crate::samples::{Samples, Store, Unit};
use crate::{CLOCK_90K, CodecConfig, DamageLog, DeclinedStream, Language, TimedEvent, TrackKind};

/// `count` pieces of `len` bytes each; the first at `offset`, the others one packet apart.
///
/// Offsets count from the start of the segment; those at or past its end point into the track's
/// literals: bytes that are not found in the segment in the form in which they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Extent {
    /// Position in the elementary stream.
    start: u32,
    /// Where the first piece begins.
    offset: u32,
    /// Bytes of each piece.
    len: u16,
    /// How many pieces.
    count: u16,
}

/// The segment that was given is not the one that was indexed: it is shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the segment ends before byte {offset}, where its index says that media lies")]
pub struct GatherError {
    /// The byte that is not there.
    pub offset: u64,
}

/// One track of a segment.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TrackIndex {
    id: u32,
    kind: TrackKind,
    language: Language,
    timing: TrackTiming,
    configs: Vec<Arc<CodecConfig>>,
    extents: Vec<Extent>,
    samples: Store,
    literals: Vec<u8>,
    segment_len: u32,
    stride: u16,
    length_prefixed: bool,
    captions: bool,
    open_ended: bool,
    follows_loss: bool,
}

impl TrackIndex {
    /// The MPEG-TS PID, or the MP4 track identifier.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Video or audio.
    #[must_use]
    pub fn kind(&self) -> TrackKind {
        self.kind
    }

    /// The language that the container states.
    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    /// Whether closed captions (CEA-608 or CEA-708) were seen in its samples, where they stay.
    #[must_use]
    pub fn captions(&self) -> bool {
        self.captions
    }

    /// Whether the last sample may be cut off by the end of the segment: nothing shows that there is no
    /// more of it.
    #[must_use]
    pub fn is_open_ended(&self) -> bool {
        self.open_ended
    }

    /// States that the last sample may be cut off.
    pub fn set_open_ended(&mut self) {
        self.open_ended = true;
    }

    /// Whether something is missing between the segment before and this one, as packets tell that
    /// otherwise go on from one segment to the next.
    #[must_use]
    pub fn follows_loss(&self) -> bool {
        self.follows_loss
    }

    /// States that something is missing between the segment before and this one.
    pub fn set_follows_loss(&mut self) {
        self.follows_loss = true;
    }

    /// Whether the last sample reaches to the end of the elementary stream in the segment, but for the
    /// zeros that may precede a start code.
    #[must_use]
    pub fn reaches_end(&self) -> bool {
        let last = self.samples.len().checked_sub(1);
        let unit = last.and_then(|last| self.samples.units(last).last());
        unit.zip(self.extents.last()).is_some_and(|(unit, extent)| {
            let bytes = u32::from(extent.len).saturating_mul(extent.count.into());
            let end = extent.start.saturating_add(bytes);
            end.saturating_sub(unit.start.saturating_add(unit.len)) <= 3
        })
    }

    /// Leaves out the last sample.
    pub fn drop_last_sample(&mut self) {
        self.samples.drop_last();
        self.open_ended = false;
    }

    /// What timestamps and durations are measured in.
    #[must_use]
    pub fn timing(&self) -> TrackTiming {
        self.timing
    }

    /// The codec configurations, in the order of their first use. Never empty where there are
    /// samples.
    #[must_use]
    pub fn configs(&self) -> &[Arc<CodecConfig>] {
        &self.configs
    }

    /// The samples, in decode order.
    #[must_use]
    pub fn samples(&self) -> Samples<'_> {
        Samples::new(&self.samples, self.prefix())
    }

    /// Whether any byte of its elementary stream was found, even if no sample came of it.
    #[must_use]
    pub fn has_bytes(&self) -> bool {
        !self.extents.is_empty()
    }

    /// Bytes in front of each unit.
    fn prefix(&self) -> u32 {
        if self.length_prefixed { 4 } else { 0 }
    }

    /// The same samples, of which none can be gathered: for whoever has written them, and needs
    /// to know their times and sizes.
    #[must_use]
    pub fn without_places(&self) -> Self {
        Self {
            configs: self.configs.clone(),
            extents: Vec::new(),
            samples: self.samples.clone(),
            literals: Vec::new(),
            ..*self
        }
    }

    /// Bytes of memory that this index holds.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let extents = self.extents.capacity().saturating_mul(size_of::<Extent>());
        extents
            .saturating_add(self.samples.heap_bytes())
            .saturating_add(self.literals.capacity())
    }

    /// Bytes that [`gather`](Self::gather) writes for `samples`.
    #[must_use]
    pub fn gathered_len(&self, samples: Range<usize>) -> u64 {
        let samples = self.samples().range(samples).into_iter();
        samples.map(|sample| u64::from(sample.size)).sum()
    }

    /// Appends the payload of `samples` to `out`: NAL units each behind their length in four bytes,
    /// anything else as it is.
    ///
    /// # Errors
    /// When `segment` is shorter than the segment that was indexed, or `samples` reaches past the
    /// last sample.
    pub fn gather(
        &self,
        segment: &[u8],
        samples: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), GatherError> {
        if samples.end > self.samples.len() && !samples.is_empty() {
            return Err(self.past_the_end());
        }
        let len = self.gathered_len(samples.clone());
        out.reserve(usize::try_from(len).unwrap_or_default());
        for sample in samples {
            for unit in self.samples.units(sample) {
                if self.length_prefixed {
                    out.extend_from_slice(&unit.len.to_be_bytes());
                }
                self.copy_unit(segment, unit, out)?;
            }
        }
        Ok(())
    }

    /// Where in the segment the payload of `samples` lies, if it lies there in one piece, as that of
    /// fragmented MP4 mostly does: [`gather`](Self::gather) would do no more than copy it.
    #[must_use]
    pub fn contiguous(&self, samples: Range<usize>) -> Option<Range<usize>> {
        if self.length_prefixed || samples.end > self.samples.len() {
            return None;
        }
        let mut all: Option<Range<u32>> = None;
        for unit in samples.flat_map(|sample| self.samples.units(sample)) {
            let end = unit.start.saturating_add(unit.len);
            match &mut all {
                None => all = Some(unit.start..end),
                Some(all) if all.end == unit.start => all.end = end,
                Some(_) => return None,
            }
        }
        self.stretch(all?)
    }

    /// Where in the segment a part of the elementary stream lies, if in one piece.
    fn stretch(&self, part: Range<u32>) -> Option<Range<usize>> {
        let after = self.extents.partition_point(|e| e.start <= part.start);
        let mut found: Option<Range<u32>> = None;
        let mut at = part.start;
        for extent in self.extents.get(after.checked_sub(1)?..)? {
            if at >= part.end {
                break;
            }
            if extent.count != 1 {
                // Headers of packets lie between.
                return None;
            }
            let skip = at.checked_sub(extent.start)?;
            let left = part.end.checked_sub(at)?;
            let len = u32::from(extent.len).checked_sub(skip)?.min(left);
            let begin = extent.offset.checked_add(skip)?;
            let end = begin.checked_add(len)?;
            match &mut found {
                None => found = Some(begin..end),
                Some(found) if found.end == begin => found.end = end,
                Some(_) => return None,
            }
            at = at.checked_add(len)?;
        }
        let found = found.filter(|found| at >= part.end && found.end <= self.segment_len)?;
        Some(found.start as usize..found.end as usize)
    }

    fn past_the_end(&self) -> GatherError {
        GatherError {
            offset: u64::from(self.segment_len),
        }
    }

    fn copy_unit(&self, segment: &[u8], unit: Unit, out: &mut Vec<u8>) -> Result<(), GatherError> {
        let mut left = unit.len as usize;
        let after = self.extents.partition_point(|e| e.start <= unit.start);
        let first = after.saturating_sub(1);
        let extents = self.extents.get(first..).unwrap_or_default();
        let start = extents.first().map_or(0, |extent| extent.start);
        let mut skip = unit.start.saturating_sub(start) as usize;
        for extent in extents {
            if left == 0 {
                break;
            }
            let len = usize::from(extent.len);
            let (Some(piece), Some(within)) = (skip.checked_div(len), skip.checked_rem(len)) else {
                continue;
            };
            let mut at = extent.offset as usize;
            let mut count = usize::from(extent.count).saturating_sub(piece);
            at = at.saturating_add(piece.saturating_mul(self.stride.into()));
            skip = 0;
            if within > 0 && count > 0 {
                let take = left.min(len.saturating_sub(within));
                out.extend_from_slice(self.bytes_at(segment, at.saturating_add(within), take)?);
                left = left.saturating_sub(take);
                at = at.saturating_add(self.stride.into());
                count = count.saturating_sub(1);
            }
            let whole = count.min(left.checked_div(len).unwrap_or_default());
            self.copy_pieces(segment, at, len, whole, out)?;
            left = left.saturating_sub(whole.saturating_mul(len));
            if whole < count && left > 0 {
                at = at.saturating_add(whole.saturating_mul(self.stride.into()));
                out.extend_from_slice(self.bytes_at(segment, at, left)?);
                left = 0;
            }
        }
        if left == 0 {
            return Ok(());
        }
        Err(self.past_the_end())
    }

    /// Copies `count` pieces of `len` bytes each, the first at `at`.
    fn copy_pieces(
        &self,
        segment: &[u8],
        at: usize,
        len: usize,
        count: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), GatherError> {
        /// What a packet holds that holds nothing but payload.
        const USUAL: usize = 184;
        /// As much as compilers copy without a call.
        const HEAD: usize = 128;
        let stride = usize::from(self.stride);
        let Some(before) = count.checked_sub(1) else {
            return Ok(());
        };
        let span = before.saturating_mul(stride).saturating_add(len);
        let bytes = self.bytes_at(segment, at, span)?;
        if len == USUAL && stride >= USUAL {
            // A copy whose length is known takes neither a call nor a branch.
            for piece in bytes.chunks(stride) {
                let whole = piece.first_chunk::<USUAL>();
                let halves = whole.and_then(|whole| whole.split_first_chunk::<HEAD>());
                let (head, tail) = halves.ok_or_else(|| self.past_the_end())?;
                let tail = tail.first_chunk::<{ USUAL - HEAD }>();
                out.extend_from_slice(head);
                out.extend_from_slice(tail.ok_or_else(|| self.past_the_end())?);
            }
            return Ok(());
        }
        for piece in 0..count {
            let start = piece.saturating_mul(stride);
            let piece = bytes.get(start..start.saturating_add(len));
            out.extend_from_slice(piece.ok_or_else(|| self.past_the_end())?);
        }
        Ok(())
    }

    fn bytes_at<'a>(
        &'a self,
        segment: &'a [u8],
        start: usize,
        len: usize,
    ) -> Result<&'a [u8], GatherError> {
        let segment_len = self.segment_len as usize;
        let (from, start) = match start.checked_sub(segment_len) {
            None => (segment, start),
            Some(start) => (self.literals.as_slice(), start),
        };
        from.get(start..start.saturating_add(len))
            .ok_or(GatherError {
                offset: start as u64,
            })
    }
}

/// Where every sample of one media segment lies.
///
/// With the feature `serde` it can be written down, by whoever keeps segments, and read instead of the segment; what is
/// read is not checked, but no method panics on it. The form belongs to one version of this crate: it is not for exchange.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SegmentIndex {
    /// Length of the segment in bytes.
    pub segment_len: u64,
    /// Its tracks, in the order in which the container lists them; those without samples included
    /// where their configuration is known.
    pub tracks: Vec<TrackIndex>,
    /// Timed metadata, in the order in which it was found.
    pub events: Vec<TimedEvent>,
    /// The name of the service that the segment is of, where the container has one.
    pub service: Option<String>,
    /// Streams that give no samples: they cannot be carried, or are scrambled.
    pub declined: Vec<DeclinedStream>,
    /// What else a person should know of it.
    pub notes: Vec<String>,
    /// Whether a program was not taken because it is scrambled, and nobody chose.
    pub left_scrambled: bool,
    /// What was found broken.
    pub damage: DamageLog,
    /// Whether it has pictures that are left out because no parameter sets have come for them: those
    /// may lie in an earlier segment.
    pub lacks_parameter_sets: bool,
}

impl SegmentIndex {
    /// Presentation timestamp of the first frame of the track that leads (pictures, else the first that has
    /// samples), as the segment has it, in 90 kHz ticks.
    #[must_use]
    pub fn first_timestamp(&self) -> Option<i64> {
        let mut full = self.tracks.iter().filter(|t| !t.samples().is_empty());
        let video = full.clone().find(|track| track.kind() == TrackKind::Video);
        let track = video.or_else(|| full.next())?;
        let first = track.samples().iter().map(|sample| sample.pts()).min()?;
        let clock = i128::from(track.timing().clock().max(1));
        let ticks = i128::from(first).saturating_mul(CLOCK_90K.into());
        ticks.checked_div(clock)?.try_into().ok()
    }

    /// The same without where the samples lie: see [`TrackIndex::without_places`].
    #[must_use]
    pub fn without_places(&self) -> Self {
        Self {
            segment_len: self.segment_len,
            tracks: self.tracks.iter().map(TrackIndex::without_places).collect(),
            events: self.events.clone(),
            service: self.service.clone(),
            declined: self.declined.clone(),
            notes: self.notes.clone(),
            left_scrambled: self.left_scrambled,
            damage: self.damage.clone(),
            lacks_parameter_sets: self.lacks_parameter_sets,
        }
    }
}
