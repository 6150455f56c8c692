//! Sample tables (ISO/IEC 14496-12, 8.6 and 8.7), written straight into the buffer: a clip may
//! have millions of samples.

use clipmill_media::{Leading, RandomAccess};

use crate::boxes::Boxes;
use crate::chunks::Chunk;
use crate::plan::{Facts, TrackPlan};
use crate::{LayoutError, MovieSample};

type Result<T> = std::result::Result<T, LayoutError>;

/// The rates that `btrt` states (8.5.2.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BitRate {
    /// Bytes that a decoder must be able to hold: those of the largest sample.
    pub(crate) buffer: u32,
    /// Bits per second over the busiest second.
    pub(crate) max: u32,
    /// Bits per second over all.
    pub(crate) average: u32,
}

/// The bit rate of the samples with each of `configs` configurations.
pub(crate) fn bit_rates(plan: &TrackPlan<'_>) -> Vec<BitRate> {
    #[derive(Clone, Copy, Default)]
    struct Sums {
        bytes: u64,
        duration: u64,
        busiest: u64,
        largest: u32,
    }
    let second = u64::from(plan.track.timescale);
    let mut sums = vec![Sums::default(); plan.track.configs.len()];
    // A stretch with one configuration at a time; in it a window of a second that slides.
    for stretch in plan.track.samples.chunk_by(|a, b| a.config == b.config) {
        let Some(sum) = stretch
            .first()
            .and_then(|first| sums.get_mut(usize::from(first.config)))
        else {
            continue;
        };
        let mut tail = stretch.iter();
        let (mut bytes, mut duration) = (0u64, 0u64);
        for sample in stretch {
            sum.bytes = sum.bytes.saturating_add(sample.size.into());
            sum.duration = sum.duration.saturating_add(sample.duration.into());
            sum.largest = sum.largest.max(sample.size);
            bytes = bytes.saturating_add(sample.size.into());
            duration = duration.saturating_add(sample.duration.into());
            while duration > second
                && let Some(gone) = tail.next()
            {
                bytes = bytes.saturating_sub(gone.size.into());
                duration = duration.saturating_sub(gone.duration.into());
            }
            sum.busiest = sum.busiest.max(bytes);
        }
    }
    let clamp = |value: u128| u32::try_from(value).unwrap_or(u32::MAX);
    let rate = |sum: &Sums| {
        let bits = u128::from(sum.bytes).saturating_mul(8);
        let average = bits
            .saturating_mul(second.into())
            .checked_div(sum.duration.into())
            .unwrap_or_default();
        let max = u128::from(sum.busiest).saturating_mul(8).max(average);
        BitRate {
            buffer: sum.largest,
            max: clamp(max),
            average: clamp(average),
        }
    };
    sums.iter().map(rate).collect()
}

/// Writes `(count, value)` for every stretch of equal values and says how many stretches.
fn runs<T: PartialEq>(
    b: &mut Boxes,
    samples: &[MovieSample],
    value: impl Fn(&MovieSample) -> T,
    put: impl Fn(&mut Boxes, T),
) -> u32 {
    let mut entries = 0u32;
    let mut flush = |b: &mut Boxes, count: u32, value: T| {
        b.u32(count);
        put(b, value);
        entries = entries.saturating_add(1);
    };
    let mut open: Option<(u32, T)> = None;
    for sample in samples {
        let value = value(sample);
        match &mut open {
            Some((count, same)) if *same == value => *count = count.saturating_add(1),
            _ => {
                if let Some((count, same)) = open.replace((1, value)) {
                    flush(b, count, same);
                }
            }
        }
    }
    if let Some((count, same)) = open {
        flush(b, count, same);
    }
    entries
}

/// `stts` (8.6.1.2).
pub(crate) fn decoding_times(b: &mut Boxes, samples: &[MovieSample]) -> Result<()> {
    b.table(b"stts", 0, |b| {
        Ok(runs(b, samples, |s| s.duration, Boxes::u32))
    })
}

/// `ctts` (8.6.1.3): version 1 where an offset is negative, left out where all are zero.
pub(crate) fn composition_offsets(
    b: &mut Boxes,
    samples: &[MovieSample],
    facts: &Facts,
) -> Result<()> {
    if !facts.any_offset {
        return Ok(());
    }
    b.table(b"ctts", u8::from(facts.any_negative_offset), |b| {
        Ok(runs(b, samples, |s| s.composition_offset, Boxes::i32))
    })
}

/// `stsz` (8.7.3.2): one number where all sizes are equal.
pub(crate) fn sizes(b: &mut Boxes, samples: &[MovieSample], facts: &Facts) -> Result<()> {
    b.full(b"stsz", 0, 0, |b| {
        // A size of 0 would announce a table.
        let equal = facts.equal_size.filter(|&size| size != 0);
        b.u32(equal.unwrap_or(0));
        b.count(samples.len(), "a count of samples")?;
        if equal.is_none() {
            let at = b.len();
            b.zeros(samples.len().saturating_mul(4));
            for (place, sample) in b.words_from(at).zip(samples) {
                *place = sample.size.to_be_bytes();
            }
        }
        Ok(())
    })
}

/// `stss` (8.6.2): left out where every sample is a random access point.
pub(crate) fn sync_samples(b: &mut Boxes, samples: &[MovieSample], facts: &Facts) -> Result<()> {
    if facts.all_sync {
        return Ok(());
    }
    b.table(b"stss", 0, |b| {
        let mut entries = 0u32;
        for (number, sample) in (1u32..).zip(samples) {
            if sample.random_access.is_sync() {
                b.u32(number);
                entries = entries.saturating_add(1);
            }
        }
        Ok(entries)
    })
}

/// `sdtp` (8.6.4): only where leading pictures are known, for which nothing else has a place.
pub(crate) fn dependencies(b: &mut Boxes, samples: &[MovieSample], facts: &Facts) -> Result<()> {
    if !facts.any_leading {
        return Ok(());
    }
    b.full(b"sdtp", 0, 0, |b| {
        b.reserve(samples.len());
        for sample in samples {
            let leading = match sample.leading {
                Leading::Skipped => 1u8,
                Leading::No => 2,
                Leading::Decodable => 3,
            };
            b.u8((leading << 6) | (depends_on(sample) << 4));
        }
        Ok(())
    })
}

/// `sample_depends_on` (8.6.4.3): 2 for an I-picture, 1 for one that needs others.
pub(crate) fn depends_on(sample: &MovieSample) -> u8 {
    match sample.random_access {
        RandomAccess::None => 1,
        RandomAccess::Closed | RandomAccess::Open => 2,
        RandomAccess::Gradual(_) => 0,
    }
}

/// Which sample groups a track needs, and how far an Opus decoder must roll.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Groups {
    /// `roll_distance` of every sample, for Opus.
    pub(crate) pre_roll: Option<i16>,
    /// Added to `group_description_index`: 0x10000 where the description lies in the same
    /// fragment (8.9.4).
    pub(crate) index_base: u32,
}

impl Groups {
    pub(crate) fn new(opus: bool, timescale: u32, facts: &Facts, in_fragment: bool) -> Self {
        let shortest = facts.shortest.filter(|_| opus);
        Self {
            pre_roll: shortest.map(|packet| opus_pre_roll(packet, timescale)),
            index_base: if in_fragment { 0x1_0000 } else { 0 },
        }
    }
}

/// How many packets lie in the 80 ms (3,840 samples at 48 kHz) that Opus needs to converge,
/// negative ("Encapsulation of Opus in ISO Base Media File Format", 4.3.6.2).
fn opus_pre_roll(packet: u32, timescale: u32) -> i16 {
    let needed = u64::from(timescale).saturating_mul(3_840).div_ceil(48_000);
    let packets = needed.div_ceil(u64::from(packet.max(1)));
    i16::try_from(packets).unwrap_or(i16::MAX).saturating_neg()
}

/// `sgpd` and `sbgp` (8.9): `rap ` for open GOPs (10.4), `roll` for gradual refresh and for Opus
/// (10.1).
pub(crate) fn sample_groups(
    b: &mut Boxes,
    samples: &[MovieSample],
    facts: &Facts,
    groups: Groups,
) -> Result<()> {
    if let Some(distance) = groups.pre_roll {
        let index = groups.index_base.saturating_add(1);
        description(b, b"roll", 2, 1, |b| b.bytes(&distance.to_be_bytes()))?;
        return assignment(b, b"roll", samples, |_| index);
    }
    // In a fragment the flags of leading pictures tell, and ffmpeg has room for one `rap ` alone.
    if facts.any_open && groups.index_base == 0 {
        let index = groups.index_base.saturating_add(1);
        // num_leading_samples_known = 0.
        description(b, b"rap ", 1, 1, |b| b.u8(0))?;
        assignment(b, b"rap ", samples, |sample| {
            if sample.random_access == RandomAccess::Open {
                index
            } else {
                0
            }
        })?;
    }
    if facts.any_gradual {
        let mut distances: Vec<u16> = samples.iter().filter_map(distance).collect();
        distances.sort_unstable();
        distances.dedup();
        description(b, b"roll", 2, distances.len(), |b| {
            for &distance in &distances {
                b.u16(distance);
            }
        })?;
        assignment(b, b"roll", samples, |sample| {
            let Some(distance) = distance(sample) else {
                return 0;
            };
            let at = distances.binary_search(&distance).unwrap_or(0);
            let index = u32::try_from(at).unwrap_or(0).saturating_add(1);
            groups.index_base.saturating_add(index)
        })?;
    }
    Ok(())
}

/// `roll_distance` of a gradual refresh: a positive 16-bit number.
fn distance(sample: &MovieSample) -> Option<u16> {
    match sample.random_access {
        RandomAccess::Gradual(frames) => Some(frames.min(0x7fff)),
        _ => None,
    }
}

/// `sgpd` (8.9.3), version 1.
fn description(
    b: &mut Boxes,
    kind: &[u8; 4],
    length: u32,
    count: usize,
    body: impl FnOnce(&mut Boxes),
) -> Result<()> {
    b.full(b"sgpd", 1, 0, |b| {
        b.bytes(kind);
        b.u32(length);
        b.count(count, "a count of sample groups")?;
        body(b);
        Ok(())
    })
}

/// `sbgp` (8.9.2), version 0.
fn assignment(
    b: &mut Boxes,
    kind: &[u8; 4],
    samples: &[MovieSample],
    index: impl Fn(&MovieSample) -> u32,
) -> Result<()> {
    b.full(b"sbgp", 0, 0, |b| {
        b.bytes(kind);
        let at = b.len();
        b.u32(0);
        let entries = runs(b, samples, index, Boxes::u32);
        b.set_u32(at, entries);
        Ok(())
    })
}

/// `stsc` (8.7.4).
pub(crate) fn chunk_samples(b: &mut Boxes, chunks: &[Chunk]) -> Result<()> {
    b.table(b"stsc", 0, |b| {
        let mut entries = 0u32;
        let mut last = None;
        for (number, chunk) in (1u32..).zip(chunks) {
            let this = (chunk.count, u32::from(chunk.config).saturating_add(1));
            if last != Some(this) {
                last = Some(this);
                b.u32(number);
                b.u32(this.0);
                b.u32(this.1);
                entries = entries.saturating_add(1);
            }
        }
        Ok(entries)
    })
}

/// `stco`, or `co64` where `large` (8.7.5). Gives the place of the offsets, to be filled in once
/// it is known where they point.
pub(crate) fn chunk_offsets(b: &mut Boxes, count: usize, large: bool) -> Result<usize> {
    let (kind, width) = if large {
        (b"co64", 8usize)
    } else {
        (b"stco", 4)
    };
    let mut place = 0;
    b.full(kind, 0, 0, |b| {
        b.count(count, "a count of chunks")?;
        place = b.len();
        b.zeros(count.saturating_mul(width));
        Ok(())
    })?;
    Ok(place)
}
