//! The samples of a track, kept in as few bytes as they allow.
//!
//! Indexes outlive the segments that they are of: a server keeps those of hours of many streams, and
//! a clip of an hour is made of 280,000 samples. Written out, one takes 32 bytes, and 8 for each
//! [`Unit`]; see [`Store`] for what nearly all of them take.

use std::fmt;
use std::ops::Range;

use crate::{Leading, RandomAccess, Sample};

/// A stretch of elementary stream that belongs to a sample: a NAL unit, or an audio frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Unit {
    /// Position in the elementary stream.
    pub(crate) start: u32,
    /// Its length in bytes.
    pub(crate) len: u32,
}

impl Unit {
    fn end(self) -> u32 {
        self.start.saturating_add(self.len)
    }
}

/// Samples and their units. Which form it takes depends on the samples alone, so that equal ones
/// compare equal.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Store {
    /// Anything.
    Any {
        samples: Vec<Sample>,
        /// Where in `units` those of each sample end.
        ends: Vec<u32>,
        units: Vec<Unit>,
    },
    /// Pictures: 16 bytes each, 4 for where they begin, and 4 for each unit.
    Near {
        base: i64,
        /// Of each sample; where all are the same, of one.
        durations: Vec<u32>,
        samples: Vec<Near>,
        /// For each sample the start of its first unit, then a [`Near::word`] for each unit.
        words: Vec<u32>,
    },
    /// Frames of sound, each a unit, that last equally long and have as many bytes between them: 8
    /// bytes each.
    Even {
        base: i64,
        duration: u32,
        config: u16,
        /// Bytes between two frames, which are the header of the later one.
        gap: u32,
        /// One more than there are samples.
        frames: Vec<Even>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Near {
    /// Less the store's base.
    dts: u32,
    composition_offset: i32,
    /// Where in the words its own begin.
    first_word: u32,
    config: u16,
    /// Leading in the lowest two bits, random access above them.
    flags: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Even {
    /// Less the store's base.
    dts: u32,
    start: u32,
}

impl Near {
    /// A start code is three bytes long, and encoders that pad put zeros before it.
    const LONGEST_GAP: u32 = 0xff;
    const LONGEST_UNIT: u32 = 0x00ff_ffff;

    /// How many bytes lie before a unit, and its length.
    fn word(gap: u32, len: u32) -> Option<u32> {
        let fits = gap <= Self::LONGEST_GAP && len <= Self::LONGEST_UNIT;
        fits.then_some((gap << 24) | len)
    }

    fn gap(word: u32) -> u32 {
        word >> 24
    }

    fn len(word: u32) -> u32 {
        word & Self::LONGEST_UNIT
    }

    fn flags(sample: &Sample) -> Option<u16> {
        let access = match sample.random_access {
            RandomAccess::None => 0,
            RandomAccess::Closed => 1,
            RandomAccess::Open => 2,
            RandomAccess::Gradual(frames) => frames.checked_add(3)?,
        };
        let leading = match sample.leading {
            Leading::No => 0,
            Leading::Decodable => 1,
            Leading::Skipped => 2,
        };
        Some(access.checked_mul(4)? | leading)
    }

    fn random_access(self) -> RandomAccess {
        match self.flags >> 2 {
            0 => RandomAccess::None,
            1 => RandomAccess::Closed,
            2 => RandomAccess::Open,
            frames => RandomAccess::Gradual(frames.saturating_sub(3)),
        }
    }

    #[inline]
    fn written_out(self, base: i64, duration: u32, units: &[u32], prefix: u32) -> Sample {
        // Below 4 GiB, as it was when it was put in.
        let size = units.iter().fold(0u32, |size, &word| {
            size.wrapping_add(Self::len(word)).wrapping_add(prefix)
        });
        Sample {
            dts: base.wrapping_add(self.dts.into()),
            composition_offset: self.composition_offset,
            duration,
            size,
            config: self.config,
            random_access: self.random_access(),
            leading: self.leading(),
        }
    }

    fn leading(self) -> Leading {
        match self.flags & 3 {
            0 => Leading::No,
            1 => Leading::Decodable,
            _ => Leading::Skipped,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new(), Vec::new())
    }
}

impl Store {
    /// `ends` says where in `units` those of each sample end.
    pub(crate) fn new(samples: Vec<Sample>, ends: Vec<u32>, units: Vec<Unit>) -> Self {
        if let Some(even) = Self::even(&samples, &ends, &units) {
            return even;
        }
        if let Some(near) = Self::near(&samples, &ends, &units) {
            return near;
        }
        let (mut samples, mut ends, mut units) = (samples, ends, units);
        samples.shrink_to_fit();
        ends.shrink_to_fit();
        units.shrink_to_fit();
        Self::Any {
            samples,
            ends,
            units,
        }
    }

    fn even(samples: &[Sample], ends: &[u32], units: &[Unit]) -> Option<Self> {
        let (first, last) = (samples.first()?, *units.last()?);
        let base = samples.iter().map(|sample| sample.dts).min()?;
        let gap = match units {
            [a, b, ..] => b.start.checked_sub(a.end())?,
            _ => 0,
        };
        let one_each = ends.iter().zip(1..).all(|(&end, number)| end == number);
        let spaced = units.windows(2).all(|pair| match pair {
            [a, b] => b.start.checked_sub(a.end()) == Some(gap),
            _ => true,
        });
        let alike = samples.iter().zip(units).all(|(sample, unit)| {
            *sample
                == Sample {
                    dts: sample.dts,
                    composition_offset: 0,
                    duration: first.duration,
                    size: unit.len,
                    config: first.config,
                    random_access: RandomAccess::Closed,
                    leading: Leading::No,
                }
        });
        if !(one_each && spaced && alike && samples.len() == units.len()) {
            return None;
        }
        let mut frames = Vec::with_capacity(samples.len().saturating_add(1));
        for (sample, unit) in samples.iter().zip(units) {
            frames.push(Even {
                dts: u32::try_from(sample.dts.checked_sub(base)?).ok()?,
                start: unit.start,
            });
        }
        frames.push(Even {
            dts: 0,
            start: last.start.checked_add(last.len)?.checked_add(gap)?,
        });
        Some(Self::Even {
            base,
            duration: first.duration,
            config: first.config,
            gap,
            frames,
        })
    }

    fn near(samples: &[Sample], ends: &[u32], units: &[Unit]) -> Option<Self> {
        let base = samples.iter().map(|sample| sample.dts).min()?;
        let mut near = Vec::with_capacity(samples.len());
        let mut words = Vec::with_capacity(samples.len().saturating_add(units.len()));
        let mut begin = 0;
        for (sample, &end) in samples.iter().zip(ends) {
            near.push(Near {
                dts: u32::try_from(sample.dts.checked_sub(base)?).ok()?,
                composition_offset: sample.composition_offset,
                first_word: u32::try_from(words.len()).ok()?,
                config: sample.config,
                flags: Near::flags(sample)?,
            });
            let own = units.get(begin as usize..end as usize)?;
            let mut at = own.first().map_or(0, |unit| unit.start);
            words.push(at);
            for unit in own {
                words.push(Near::word(unit.start.checked_sub(at)?, unit.len)?);
                at = unit.end();
            }
            begin = end;
        }
        let mut durations: Vec<u32> = samples.iter().map(|sample| sample.duration).collect();
        if durations.windows(2).all(|pair| pair.first() == pair.last()) {
            durations.truncate(1);
            durations.shrink_to_fit();
        }
        Some(Self::Near {
            base,
            durations,
            samples: near,
            words,
        })
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Any { samples, .. } => samples.len(),
            Self::Near { samples, .. } => samples.len(),
            Self::Even { frames, .. } => frames.len().saturating_sub(1),
        }
    }

    /// A sample; `prefix` is what lies before each of its units when it is gathered.
    #[inline]
    fn sample(&self, number: usize, prefix: u32) -> Option<Sample> {
        match self {
            Self::Any { samples, .. } => samples.get(number).copied(),
            Self::Near {
                base,
                durations,
                samples,
                ..
            } => {
                let sample = samples.get(number)?;
                let (_, words) = self.words(number)?;
                let duration = match durations.as_slice() {
                    [duration] => *duration,
                    durations => durations.get(number).copied()?,
                };
                Some(sample.written_out(*base, duration, words, prefix))
            }
            Self::Even {
                base,
                duration,
                config,
                gap,
                frames,
            } => {
                let [frame, next] = frames.get(number..)?.first_chunk()?;
                Some(Sample {
                    dts: base.saturating_add(frame.dts.into()),
                    composition_offset: 0,
                    duration: *duration,
                    size: next.start.saturating_sub(frame.start).saturating_sub(*gap),
                    config: *config,
                    random_access: RandomAccess::Closed,
                    leading: Leading::No,
                })
            }
        }
    }

    /// Where the first unit of a sample begins, and the words of its units.
    fn words(&self, number: usize) -> Option<(u32, &[u32])> {
        let Self::Near { samples, words, .. } = self else {
            return None;
        };
        let first = samples.get(number)?.first_word as usize;
        let next = samples.get(number.saturating_add(1));
        let end = next.map_or(words.len(), |next| next.first_word as usize);
        let (start, units) = words.get(first..end)?.split_first()?;
        Some((*start, units))
    }

    /// The units of a sample.
    pub(crate) fn units(&self, number: usize) -> Units<'_> {
        let units = match self {
            Self::Any { ends, units, .. } => {
                let before = number.checked_sub(1).and_then(|before| ends.get(before));
                let begin = before.map_or(0, |&end| end as usize);
                let end = ends.get(number).map_or(0, |&end| end as usize);
                units
                    .get(begin..end)
                    .map(|units| Units::Listed(units.iter()))
            }
            Self::Near { .. } => self.words(number).map(|(at, words)| Units::Near {
                at,
                words: words.iter(),
            }),
            Self::Even { gap, frames, .. } => {
                let pair = frames.get(number..).and_then(|frames| frames.first_chunk());
                pair.map(|[frame, next]| {
                    Units::One(Some(Unit {
                        start: frame.start,
                        len: next.start.saturating_sub(frame.start).saturating_sub(*gap),
                    }))
                })
            }
        };
        units.unwrap_or(Units::One(None))
    }

    /// Takes the last sample away.
    pub(crate) fn drop_last(&mut self) {
        let Some(left) = self.len().checked_sub(1) else {
            return;
        };
        match self {
            Self::Any {
                samples,
                ends,
                units,
            } => {
                samples.truncate(left);
                ends.truncate(left);
                units.truncate(ends.last().map_or(0, |&end| end as usize));
            }
            Self::Near {
                durations,
                samples,
                words,
                ..
            } => {
                if let Some(last) = samples.get(left) {
                    words.truncate(last.first_word as usize);
                }
                samples.truncate(left);
                durations.truncate(left.max(1));
            }
            Self::Even { frames, .. } => {
                frames.truncate(left.saturating_add(1));
                // The one behind the last frame tells no time.
                if let Some(behind) = frames.last_mut() {
                    behind.dts = 0;
                }
            }
        }
    }

    /// Bytes of memory that it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        fn bytes<T>(list: &Vec<T>) -> usize {
            list.capacity().saturating_mul(size_of::<T>())
        }
        match self {
            Self::Any {
                samples,
                ends,
                units,
            } => bytes(samples)
                .saturating_add(bytes(ends))
                .saturating_add(bytes(units)),
            Self::Near {
                durations,
                samples,
                words,
                ..
            } => bytes(durations)
                .saturating_add(bytes(samples))
                .saturating_add(bytes(words)),
            Self::Even { frames, .. } => bytes(frames),
        }
    }
}

/// Some units, in order.
#[derive(Debug, Clone)]
pub(crate) enum Units<'a> {
    Listed(std::slice::Iter<'a, Unit>),
    Near {
        at: u32,
        words: std::slice::Iter<'a, u32>,
    },
    One(Option<Unit>),
}

impl Iterator for Units<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        match self {
            Self::Listed(units) => units.next().copied(),
            Self::Near { at, words } => {
                let word = *words.next()?;
                let unit = Unit {
                    start: at.saturating_add(Near::gap(word)),
                    len: Near::len(word),
                };
                *at = unit.end();
                Some(unit)
            }
            Self::One(unit) => unit.take(),
        }
    }
}

/// Samples of a track, in decode order.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    store: &'a Store,
    prefix: u32,
    begin: usize,
    end: usize,
}

impl<'a> Samples<'a> {
    pub(crate) fn new(store: &'a Store, prefix: u32) -> Self {
        let end = store.len();
        Self {
            store,
            prefix,
            begin: 0,
            end,
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.begin)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them; `None` past the last.
    #[must_use]
    #[inline]
    pub fn get(&self, number: usize) -> Option<Sample> {
        if number >= self.len() {
            return None;
        }
        self.store
            .sample(self.begin.saturating_add(number), self.prefix)
    }

    /// The first one.
    #[must_use]
    pub fn first(&self) -> Option<Sample> {
        self.get(0)
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<Sample> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Those at `range`, as far as they exist.
    #[must_use]
    pub fn range(&self, range: Range<usize>) -> Self {
        let end = range.end.min(self.len());
        let begin = range.start.min(end);
        Self {
            begin: self.begin.saturating_add(begin),
            end: self.begin.saturating_add(end),
            ..*self
        }
    }

    /// All of them, one by one.
    #[must_use]
    pub fn iter(&self) -> SamplesIter<'a> {
        SamplesIter(*self)
    }
}

impl<'a> IntoIterator for Samples<'a> {
    type Item = Sample;
    type IntoIter = SamplesIter<'a>;

    fn into_iter(self) -> SamplesIter<'a> {
        SamplesIter(self)
    }
}

impl PartialEq for Samples<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Samples<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The iterator of [`Samples`].
#[derive(Debug, Clone)]
pub struct SamplesIter<'a>(Samples<'a>);

impl Iterator for SamplesIter<'_> {
    type Item = Sample;

    #[inline]
    fn next(&mut self) -> Option<Sample> {
        let sample = self.0.first()?;
        self.0.begin = self.0.begin.saturating_add(1);
        Some(sample)
    }

    /// Goes over pictures without looking for each where its own words begin and end.
    fn fold<B, F: FnMut(B, Sample) -> B>(self, init: B, mut fold: F) -> B {
        let Samples {
            store,
            prefix,
            begin,
            end,
        } = self.0;
        let Store::Near {
            base,
            durations,
            samples,
            words,
        } = store
        else {
            let numbers = (begin..end).filter_map(|number| store.sample(number, prefix));
            return numbers.fold(init, fold);
        };
        let own = samples.get(begin..end).unwrap_or_default();
        let equal = match durations.as_slice() {
            [duration] => Some(*duration),
            _ => None,
        };
        let mut all = init;
        let mut nexts = samples
            .get(begin.saturating_add(1)..)
            .unwrap_or_default()
            .iter();
        for (number, sample) in (begin..).zip(own) {
            let next = nexts.next();
            let end = next.map_or(words.len(), |next| next.first_word as usize);
            let units = words.get(sample.first_word as usize..end);
            let duration = equal.or_else(|| durations.get(number).copied());
            let Some(([_, units @ ..], duration)) = units.zip(duration) else {
                break;
            };
            all = fold(all, sample.written_out(*base, duration, units, prefix));
        }
        all
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }

    fn nth(&mut self, count: usize) -> Option<Sample> {
        self.0 = self.0.range(count..usize::MAX);
        self.next()
    }
}

impl DoubleEndedIterator for SamplesIter<'_> {
    fn next_back(&mut self) -> Option<Sample> {
        let sample = self.0.last()?;
        self.0.end = self.0.end.saturating_sub(1);
        Some(sample)
    }
}

impl ExactSizeIterator for SamplesIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(dts: i64, size: u32) -> Sample {
        Sample {
            dts,
            composition_offset: 0,
            duration: 1024,
            size,
            config: 0,
            random_access: RandomAccess::Closed,
            leading: Leading::No,
        }
    }

    /// The same written out, with units that are `prefix` bytes longer in the samples.
    fn check(samples: &[Sample], ends: &[u32], units: &[Unit], prefix: u32) -> Store {
        let store = Store::new(samples.to_vec(), ends.to_vec(), units.to_vec());
        let seen: Vec<_> = Samples::new(&store, prefix).iter().collect();
        assert_eq!(seen, samples);
        let mut seen = Vec::new();
        Samples::new(&store, prefix)
            .iter()
            .for_each(|sample| seen.push(sample));
        assert_eq!(seen, samples);
        let seen: Vec<_> = Samples::new(&store, prefix).iter().rev().collect();
        assert_eq!(seen, samples.iter().rev().copied().collect::<Vec<_>>());
        let seen: Vec<Unit> = (0..samples.len()).flat_map(|n| store.units(n)).collect();
        assert_eq!(seen, units);
        store
    }

    #[test]
    fn sound_takes_eight_bytes_a_frame() {
        let (mut samples, mut units, mut at) = (Vec::new(), Vec::new(), 7);
        for n in 0..94u32 {
            let len = 300 + n % 50;
            samples.push(sample((1 << 40) + i64::from(n) * 1920, len));
            units.push(Unit { start: at, len });
            at += len + 7;
        }
        let ends: Vec<u32> = (1..=94).collect();
        let store = check(&samples, &ends, &units, 0);
        assert!(matches!(store, Store::Even { .. }));
        assert_eq!(store.heap_bytes(), 95 * 8);
        // One that lies elsewhere.
        units[50].start -= 1;
        let store = check(&samples, &ends, &units, 0);
        assert!(matches!(store, Store::Near { .. }));
    }

    #[test]
    fn pictures_of_three_units_take_thirty_two_bytes() {
        let (mut samples, mut units, mut ends, mut at) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for n in 0..60u32 {
            at += 6;
            let mut size = 0;
            for len in [30, 20_000 + n, 15_000] {
                units.push(Unit { start: at, len });
                at += len + 3;
                size += len + 4;
            }
            ends.push(units.len() as u32);
            samples.push(Sample {
                composition_offset: 6000,
                duration: 0,
                random_access: RandomAccess::None,
                ..sample(i64::from(n) * 3000 - 7, size)
            });
        }
        let store = check(&samples, &ends, &units, 4);
        assert!(matches!(store, Store::Near { .. }));
        assert_eq!(store.heap_bytes(), 60 * 32 + 4);
        // Two timelines in one segment.
        samples[59].dts = 1 << 33;
        let store = check(&samples, &ends, &units, 4);
        assert!(matches!(store, Store::Any { .. }));
    }

    prop_compose! {
        fn any_sample()(
            dts in prop_oneof![-1000i64..1000, any::<i64>()],
            composition_offset in any::<i32>(),
            duration in 0u32..2,
            config in 0u16..2,
            random_access in prop_oneof![
                Just(RandomAccess::None),
                Just(RandomAccess::Closed),
                Just(RandomAccess::Open),
                any::<u16>().prop_map(RandomAccess::Gradual),
            ],
            leading in prop::sample::select(vec![Leading::No, Leading::Decodable, Leading::Skipped]),
            units in prop::collection::vec((0u32..300, 0u32..1 << 25), 0..4),
            plain in any::<bool>(),
        ) -> (Sample, Vec<(u32, u32)>) {
            let sample = Sample {
                dts,
                composition_offset,
                duration,
                size: 0,
                config,
                random_access,
                leading,
            };
            if plain {
                return (self::sample(dts % 10_000, 0), vec![(7, units.len() as u32)]);
            }
            (sample, units)
        }
    }

    proptest! {
        #[test]
        fn every_form_gives_back_what_went_in(
            list in prop::collection::vec(any_sample(), 0..12),
            prefix in prop::sample::select(vec![0u32, 4]),
        ) {
            let (mut samples, mut units, mut ends, mut at) = (Vec::new(), Vec::new(), Vec::new(), 0);
            for (sample, own) in list {
                let mut size = 0;
                for (gap, len) in own {
                    units.push(Unit { start: at + gap, len });
                    at += gap + len;
                    size += len + prefix;
                }
                ends.push(units.len() as u32);
                samples.push(Sample { size, ..sample });
            }
            check(&samples, &ends, &units, prefix);
        }
    }
}
