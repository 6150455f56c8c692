//! Movie fragments (ISO/IEC 14496-12, 8.8).

use bytes::Bytes;
use clipmill_media::Leading;

use crate::boxes::{self, Boxes, FragmentDefaults, media_data_header};
use crate::plan::Facts;
use crate::regions::SampleRange;
use crate::tables::{self, Groups};
use crate::{LayoutError, MovieSample};

type Result<T> = std::result::Result<T, LayoutError>;

/// A track fragment: samples of one track with one sample entry.
#[derive(Debug)]
pub(crate) struct Traf<'a> {
    pub(crate) track_id: u32,
    pub(crate) timescale: u32,
    pub(crate) opus: bool,
    /// Which sample entry; counts from 1.
    pub(crate) description: u32,
    /// Decode time of the first sample.
    pub(crate) start: u64,
    pub(crate) samples: &'a [MovieSample],
    pub(crate) truns: Vec<Trun>,
    /// Bytes that are put before a sample's own: the index of the sample, and they.
    pub(crate) prefixes: Vec<(usize, Bytes)>,
}

/// Samples of a track fragment that lie one behind the other: those of one segment.
#[derive(Debug)]
pub(crate) struct Trun {
    pub(crate) segment: u32,
    pub(crate) count: u32,
    pub(crate) spans: Vec<RawSpan>,
    pub(crate) len: u64,
}

/// A stretch of the `mdat`.
#[derive(Debug)]
pub(crate) enum RawSpan {
    Bytes(Bytes),
    /// Samples and their length in bytes; `SampleRange::first` counts from the first sample of the
    /// track in this fragment.
    Media(SampleRange, u64),
}

/// A fragment, with its media still in its segments.
#[derive(Debug)]
pub(crate) struct RawFragment {
    pub(crate) header: Bytes,
    /// Where the `moof` begins in the header.
    pub(crate) moof_at: u64,
    pub(crate) spans: Vec<RawSpan>,
    /// Bytes of all spans.
    pub(crate) media_len: u64,
}

/// Writes `styp` where asked for, `moof` and the header of `mdat`, and puts the media in order:
/// segment by segment, so that one is enough at a time.
pub(crate) fn fragment(
    mut trafs: Vec<Traf<'_>>,
    sequence: u32,
    segment_type: bool,
) -> Result<RawFragment> {
    let too_large = LayoutError::TooLarge {
        what: "the media of a fragment",
    };
    // Where the media of each run lies in the `mdat`.
    let mut order: Vec<(u32, usize, usize, u64)> = Vec::new();
    for (traf_at, traf) in trafs.iter().enumerate() {
        for (trun_at, trun) in traf.truns.iter().enumerate() {
            order.push((trun.segment, traf_at, trun_at, 0));
        }
    }
    order.sort_by_key(|&(segment, ..)| segment);
    let mut media_len = 0u64;
    let mut spans = Vec::new();
    for (_, traf, trun, offset) in &mut order {
        let trun = trafs.get_mut(*traf).and_then(|t| t.truns.get_mut(*trun));
        if let Some(trun) = trun {
            *offset = media_len;
            media_len = media_len.checked_add(trun.len).ok_or(too_large.clone())?;
            spans.append(&mut trun.spans);
        }
    }
    order.sort_by_key(|&(_, traf, trun, _)| (traf, trun));

    let mut b = Boxes::default();
    if segment_type {
        boxes::segment_type(&mut b)?;
    }
    let start = b.len();
    let mut places = Vec::with_capacity(order.len());
    b.boxed(b"moof", |b| {
        boxes::fragment_header(b, sequence)?;
        trafs
            .iter()
            .try_for_each(|traf| b.boxed(b"traf", |b| track_fragment(b, traf, &mut places)))
    })?;
    media_data_header(&mut b, media_len).ok_or(too_large.clone())?;
    // 8.8.7.1, default-base-is-moof: data offsets count from the first byte of `moof`.
    let base = b.len().saturating_sub(start) as u64;
    for ((.., offset), place) in order.into_iter().zip(places) {
        let offset = base.checked_add(offset).ok_or(too_large.clone())?;
        let offset = i32::try_from(offset).map_err(|_| too_large.clone())?;
        b.set(place, &offset.to_be_bytes());
    }
    Ok(RawFragment {
        header: b.into_bytes().into(),
        moof_at: start as u64,
        spans,
        media_len,
    })
}

/// The content of a `traf` (8.8.6). Adds the place of each data offset to `places`.
fn track_fragment(b: &mut Boxes, traf: &Traf<'_>, places: &mut Vec<usize>) -> Result<()> {
    let facts = Facts::of(traf.samples);
    let defaults = FragmentDefaults {
        track_id: traf.track_id,
        description: traf.description,
        duration: facts.equal_duration,
        size: facts.equal_size.filter(|_| traf.prefixes.is_empty()),
        flags: traf.samples.last().map(sample_flags),
    };
    boxes::track_fragment_header(b, defaults, traf.start)?;
    let mut prefixes = traf.prefixes.iter().peekable();
    let mut samples = traf.samples.iter().enumerate();
    for trun in &traf.truns {
        let samples = samples.by_ref().take(trun.count as usize);
        let samples: Vec<(u32, &MovieSample)> = samples
            .map(|(at, sample)| {
                let prefix = prefixes.next_if(|(before, _)| *before == at);
                let more = prefix.map_or(0, |(_, bytes)| bytes.len());
                let size = u32::try_from(more)
                    .ok()
                    .and_then(|more| sample.size.checked_add(more))
                    .ok_or(LayoutError::TooLarge { what: "a sample" })?;
                Ok((size, sample))
            })
            .collect::<Result<_>>()?;
        places.push(track_run(b, &samples, &defaults, facts.any_offset)?);
    }
    let groups = Groups::new(traf.opus, traf.timescale, &facts, true);
    tables::sample_groups(b, traf.samples, &facts, groups)
}

/// `trun` (8.8.8). Gives the place of the data offset.
fn track_run(
    b: &mut Boxes,
    samples: &[(u32, &MovieSample)],
    defaults: &FragmentDefaults,
    offsets: bool,
) -> Result<usize> {
    let usual = |&(_, sample): &(u32, &MovieSample)| Some(sample_flags(sample)) == defaults.flags;
    // The first sample is often the only one that is special: a random access point.
    let first = samples
        .first()
        .filter(|first| !usual(first))
        .filter(|_| samples.iter().skip(1).all(usual));
    let each = first.is_none() && !samples.iter().all(usual);
    let mut flags = 0x1u32;
    for (bit, is) in [
        (0x4, first.is_some()),
        (0x100, defaults.duration.is_none()),
        (0x200, defaults.size.is_none()),
        (0x400, each),
        (0x800, offsets),
    ] {
        if is {
            flags |= bit;
        }
    }
    let mut place = 0;
    b.full(b"trun", 1, flags, |b| {
        b.count(samples.len(), "a count of samples")?;
        place = b.len();
        b.u32(0);
        if let Some((_, first)) = first {
            b.u32(sample_flags(first));
        }
        for (size, sample) in samples {
            if defaults.duration.is_none() {
                b.u32(sample.duration);
            }
            if defaults.size.is_none() {
                b.u32(*size);
            }
            if each {
                b.u32(sample_flags(sample));
            }
            if offsets {
                b.i32(sample.composition_offset);
            }
        }
        Ok(())
    })?;
    Ok(place)
}

/// The flags of a sample (8.8.3.1).
fn sample_flags(sample: &MovieSample) -> u32 {
    let leading = match sample.leading {
        Leading::No => 0u32,
        Leading::Skipped => 1,
        Leading::Decodable => 3,
    };
    let non_sync = u32::from(!sample.random_access.is_sync());
    (leading << 26) | (u32::from(tables::depends_on(sample)) << 24) | (non_sync << 16)
}
