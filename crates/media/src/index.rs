//! Where every sample of one media segment lies, as numbers alone.
//!
//! A track of a segment is a list of extents (which bytes of the segment, put one after the other,
//! make the elementary stream), a list of units (which stretches of that elementary stream are
//! kept) and a list of [`Sample`]s (which units make one access unit, and when it is due). An
//! MPEG-TS sample is thus a run of packet payloads; a CMAF sample is one stretch.
//! [`TrackIndex::gather`] copies the payload of samples out of the segment, once.

use std::ops::Range;
use std::sync::Arc;

use crate::samples::{Samples, Store, Unit};
use crate::{
    CodecConfig, DamageLog, DeclinedStream, Language, LimitExceeded, Limits, TimedEvent, TrackKind,
};

/// `count` pieces of `len` bytes each; the first at `offset`, the others one packet apart.
///
/// Offsets count from the start of the segment; those at or past its end point into the track's
/// literals: bytes that are not found in the segment in the form in which they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Whether decoding can start at a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RandomAccess {
    /// It cannot.
    #[default]
    None,
    /// Everything from here on decodes and nothing that follows is displayed earlier: IDR,
    /// BLA, every audio frame.
    Closed,
    /// Everything that is displayed from here on decodes; samples that follow in decode order and
    /// are displayed earlier may not: CRA, or an H.264 recovery point with a count of 0.
    Open,
    /// Right only after this many more frames have been decoded: gradual decoder refresh.
    Gradual(u16),
}

impl RandomAccess {
    /// Whether a clip may begin here.
    #[must_use]
    pub fn is_sync(self) -> bool {
        self != Self::None
    }
}

/// Pictures that follow a random access point in decode order and precede it in output order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Leading {
    /// Not a leading picture, or not known to be one.
    #[default]
    No,
    /// Decodes from the random access point alone (RADL).
    Decodable,
    /// Needs pictures before the random access point (RASL, or a B-picture of an open GOP).
    Skipped,
}

/// One access unit: numbers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Decoding timestamp, unrolled (it does not wrap), in the track's clock.
    pub dts: i64,
    /// Presentation timestamp less `dts`, in the track's clock.
    pub composition_offset: i32,
    /// How long it lasts, in the unit that [`TrackTiming`] says; 0 when only the next sample's
    /// `dts` can tell.
    pub duration: u32,
    /// Bytes that [`TrackIndex::gather`] writes for it.
    pub size: u32,
    /// Which of [`TrackIndex::configs`] it is coded with.
    pub config: u16,
    /// Whether decoding can start here.
    pub random_access: RandomAccess,
    /// Whether it is a leading picture.
    pub leading: Leading,
}

impl Sample {
    /// Presentation timestamp, in the track's clock.
    #[must_use]
    pub fn pts(self) -> i64 {
        self.dts.saturating_add(i64::from(self.composition_offset))
    }
}

/// What the timestamps and durations of a track are measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackTiming {
    /// Timestamps and durations are both exact, in this many ticks per second.
    Exact {
        /// Ticks per second.
        timescale: u32,
    },
    /// Timestamps are rounded to this many ticks per second; durations are PCM samples at the
    /// sampling rate of the sample's configuration. So is audio in MPEG-TS.
    Rounded {
        /// Ticks per second of the timestamps.
        clock: u32,
    },
}

impl TrackTiming {
    /// Ticks per second of the timestamps.
    #[must_use]
    pub fn clock(self) -> u32 {
        match self {
            Self::Exact { timescale } => timescale,
            Self::Rounded { clock } => clock,
        }
    }
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
#[derive(Debug, Clone, PartialEq, Default)]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MpegAudioConfig;

    fn builder(segment_len: u64) -> TrackBuilder {
        TrackBuilder::new(
            0x101,
            TrackKind::Audio,
            TrackTiming::Rounded { clock: 90_000 },
            segment_len,
            188,
            false,
            &Limits::default(),
        )
        .unwrap()
    }

    fn sample(dts: i64) -> Sample {
        Sample {
            dts,
            composition_offset: 0,
            duration: 1152,
            size: 0,
            config: 0,
            random_access: RandomAccess::Closed,
            leading: Leading::No,
        }
    }

    #[test]
    fn numbers_are_small() {
        assert_eq!(size_of::<Sample>(), 32);
        assert_eq!(size_of::<Extent>(), 12);
        assert_eq!(size_of::<Unit>(), 8);
    }

    #[test]
    fn gathers_across_packets_and_literals() {
        let segment: Vec<u8> = (0..188 * 4).map(|i| (i % 251) as u8).collect();
        let mut track = builder(segment.len() as u64);
        let mut stream = Vec::new();
        for packet in 0..3u64 {
            let at = packet * 188 + 4;
            track.push_piece(at, 184).unwrap();
            stream.extend_from_slice(&segment[at as usize..at as usize + 184]);
        }
        track.push_literal(b"literal").unwrap();
        stream.extend_from_slice(b"literal");
        track.push_piece(188 * 3 + 8, 100).unwrap();
        stream.extend_from_slice(&segment[188 * 3 + 8..188 * 3 + 108]);

        track.push_unit(10..200).unwrap();
        track.push_sample(sample(0)).unwrap();
        track.push_unit(200..540).unwrap();
        track.push_unit(540..600).unwrap();
        track.push_sample(sample(2_351)).unwrap();
        let track = track.finish();
        assert_eq!(track.extents.len(), 3, "equal pieces one stride apart join");

        let mut out = Vec::new();
        track.gather(&segment, 0..2, &mut out).unwrap();
        assert_eq!(out, stream[10..600]);
        out.clear();
        track.gather(&segment, 1..2, &mut out).unwrap();
        assert_eq!(out, stream[200..600]);
        assert_eq!(track.gathered_len(1..2), 400);
    }

    #[test]
    fn pieces_of_any_length_are_gathered() {
        let segment: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let mut track = builder(segment.len() as u64);
        let mut stream = Vec::new();
        for (offset, len) in [(0, 184), (188, 189), (376, 189), (600, 70_000), (90_000, 1)] {
            track.push_piece(offset, len).unwrap();
            stream.extend_from_slice(&segment[offset as usize..offset as usize + len]);
        }
        for (offset, len, count) in [(100_004, 184, 3), (101_000, 100, 5), (110_000, 300, 4)] {
            track.push_pieces(offset, len, count).unwrap();
            for piece in 0..usize::from(count) {
                let at = offset as usize + piece * 188;
                stream.extend_from_slice(&segment[at..at + usize::from(len)]);
            }
        }
        assert_eq!(track.position(), stream.len() as u64);
        for (begin, end) in [(0, stream.len()), (100, 400), (69_000, 71_500), (7, 8)] {
            track.push_unit(begin as u64..end as u64).unwrap();
            track.push_sample(sample(0)).unwrap();
        }
        let track = track.finish();
        for (at, range) in [0..stream.len(), 100..400, 69_000..71_500, 7..8]
            .into_iter()
            .enumerate()
        {
            let mut out = Vec::new();
            track.gather(&segment, at..at + 1, &mut out).unwrap();
            assert!(out == stream[range], "sample {at}");
        }
    }

    #[test]
    fn what_lies_in_one_piece_is_found() {
        let segment: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
        let mut track = builder(segment.len() as u64);
        for (offset, len) in [(1_000, 150_000), (151_000, 40_000), (200_000, 500)] {
            track.push_piece(offset, len).unwrap();
        }
        track.push_literal(b"literal").unwrap();
        let ends = [70_000, 150_000, 190_000, 190_500, 190_507];
        let mut begin = 0;
        for end in ends {
            track.push_unit(begin..end).unwrap();
            track.push_sample(sample(0)).unwrap();
            begin = end;
        }
        let mut track = track.finish();
        track.length_prefixed = false;
        for (samples, place) in [
            (0..1, Some(1_000..71_000)),
            (0..3, Some(1_000..191_000)),
            (1..3, Some(71_000..191_000)),
            (2..4, None),
            (3..4, Some(200_000..200_500)),
            (4..5, None),
            (0..0, None),
            (4..6, None),
        ] {
            assert_eq!(track.contiguous(samples.clone()), place, "{samples:?}");
            let Some(place) = place else { continue };
            let mut out = Vec::new();
            track.gather(&segment, samples, &mut out).unwrap();
            assert!(out == segment[place]);
        }
    }

    #[test]
    fn a_shorter_segment_is_an_error() {
        let mut track = builder(188);
        track.push_piece(4, 184).unwrap();
        track.push_unit(0..184).unwrap();
        track.push_sample(sample(0)).unwrap();
        let track = track.finish();
        let error = track.gather(&[0; 100], 0..1, &mut Vec::new()).unwrap_err();
        assert_eq!(error.offset, 4);
    }

    #[test]
    fn equal_configurations_are_one() {
        let mut track = builder(0);
        let config = |layer| {
            Arc::new(CodecConfig::MpegAudio(MpegAudioConfig {
                layer,
                sample_rate: 44_100,
                channels: 2,
                frame_samples: 1152,
            }))
        };
        assert_eq!(track.config(&config(2)).unwrap(), 0);
        assert_eq!(track.config(&config(3)).unwrap(), 1);
        assert_eq!(track.config(&config(2)).unwrap(), 0);
    }
}
