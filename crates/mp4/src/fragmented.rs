//! Cutting a whole movie into fragments, with an index of them before (`sidx`) and after
//! (`mfra`).

use std::ops::Range;

use clipmill_media::{RandomAccess, TimedEvent, TrackKind};

use crate::boxes::{self, Boxes, Reference};
use crate::events::message;
use crate::fragment::{BRANDS, CMAF_BRANDS};
use crate::moof::RawSpan;
use crate::plan::{self, TrackPlan};
use crate::regions::{RegionContent, Regions};
use crate::{
    FragmentOptions, FragmentTrack, Fragmenter, LayoutError, MOVIE_TIMESCALE, Movie, MovieSample,
    Run, Track,
};

type Result<T> = std::result::Result<T, LayoutError>;

/// `reference_count` of a `sidx` has 16 bits.
const MOST_REFERENCES: usize = 65_535;

/// The parts of a fragmented file.
pub(crate) fn lay_out(movie: &Movie, options: &FragmentOptions) -> Result<Regions> {
    let plans = plan::tracks_with_samples(movie, true)?;
    // What the fragments are cut by, and what the indexes speak of: pictures, if there are any.
    let is_video = |plan: &&TrackPlan<'_>| plan.track.kind == TrackKind::Video;
    let leader = plans.iter().find(is_video).or(plans.first());
    let leader = leader.ok_or(LayoutError::Empty)?;
    let mut duration = 0;
    for plan in &plans {
        duration = duration.max(end_of(plan)?);
    }
    let cuts = fragments(&plans, leader, options);
    let brands = if is_cmaf(&plans, &cuts) {
        CMAF_BRANDS.as_slice()
    } else {
        BRANDS.as_slice()
    };
    let mut fragmenter = Fragmenter::with_plans(movie, &plans, options, Some(duration), brands)?;
    let mut parts = Regions::default();
    let mut index = Vec::with_capacity(cuts.len());
    let mut events = movie.events.as_slice();
    for (at, cut) in cuts.iter().enumerate() {
        // Those that are due before the next fragment begins.
        let next = cuts
            .get(at.saturating_add(1))
            .and_then(|next| begin(&plans, next));
        let due = next.map_or(events.len(), |next| {
            events.partition_point(|event| i128::from(event.time) < next)
        });
        let (due, later) = events.split_at_checked(due).unwrap_or((events, &[]));
        events = later;
        index.push(add_fragment(&mut fragmenter, cut, leader, due, &mut parts)?);
    }
    let mut b = Boxes::default();
    b.bytes(&fragmenter.init());
    let (earliest, end) = earliest(leader, &index);
    segment_index(&mut b, leader, &index, &earliest, end)?;
    let head = b.into_bytes();
    let before = head.len() as u64;
    let mut whole = Regions::default();
    whole.push(RegionContent::Bytes(head.into()), None)?;
    whole.append(parts)?;
    if options.random_access_index {
        let mut points: Vec<(u64, u64)> = Vec::new();
        let access = index.iter().zip(&earliest);
        for (entry, &time) in access.filter(|(entry, _)| entry.sap_type != 0) {
            // Several may lie before all that is presented: the last of them is the one to begin at.
            points.pop_if(|last| last.0 >= time);
            points.push((time, entry.moof.saturating_add(before)));
        }
        let mut b = Boxes::default();
        boxes::random_access(&mut b, leader.id, &points)?;
        whole.push(RegionContent::Bytes(b.into_bytes().into()), None)?;
    }
    Ok(whole)
}

/// What one track gives to a fragment.
#[derive(Debug)]
struct CutTrack<'a> {
    /// Index of the track in the movie.
    track: usize,
    /// First sample, in the track.
    first: u32,
    start: u64,
    samples: &'a [MovieSample],
    runs: Vec<Run>,
    /// Numbers of the samples, here, that restart the coding.
    restarts: Vec<u32>,
}

/// What the indexes tell of a fragment.
#[derive(Debug, Clone, Copy)]
struct Indexed {
    /// Bytes.
    size: u64,
    /// Where its `moof` lies, counted from the first fragment.
    moof: u64,
    /// The earliest composition time of the leader, in its media; `None` where it has no sample.
    earliest: Option<i128>,
    /// When its last sample to be shown ends, by the same measure.
    latest: Option<i128>,
    /// `SAP_type`: 0 where it does not begin with a random access point of the leader.
    sap_type: u8,
}

/// Walks over a track.
#[derive(Debug)]
struct Cursor<'a> {
    plan: &'a TrackPlan<'a>,
    /// The next sample.
    sample: u32,
    /// Its decode time.
    time: u64,
    /// The runs not yet used up.
    runs: &'a [Run],
    /// How many samples of the first of them are.
    used: u32,
}

impl<'a> Cursor<'a> {
    fn new(plan: &'a TrackPlan<'a>) -> Self {
        Self {
            plan,
            sample: 0,
            time: plan.start,
            runs: &plan.track.runs,
            used: 0,
        }
    }

    /// The segment of the next sample.
    fn segment(&mut self) -> Option<u32> {
        while let [first, rest @ ..] = self.runs {
            if self.used < first.count {
                return Some(first.segment);
            }
            self.runs = rest;
            self.used = 0;
        }
        None
    }

    /// The samples left of `segment`.
    fn left(&self, segment: u32) -> &'a [MovieSample] {
        let runs = self.runs.iter().take_while(|run| run.segment == segment);
        let count = runs.fold(0u32, |sum, run| sum.saturating_add(run.count));
        let count = count.saturating_sub(self.used);
        self.plan
            .samples(self.sample..self.sample.saturating_add(count))
    }

    /// Takes the next `count` samples.
    fn take(&mut self, count: u32) -> CutTrack<'a> {
        let end = self.sample.saturating_add(count);
        let samples = self.plan.samples(self.sample..end);
        let mut cut = CutTrack {
            track: self.plan.index,
            first: self.sample,
            start: self.time,
            samples,
            runs: Vec::new(),
            restarts: restarts(self.plan.track, self.sample..end),
        };
        let mut left = count;
        while left > 0
            && let [run, rest @ ..] = self.runs
        {
            let taken = left.min(run.count.saturating_sub(self.used));
            if taken > 0 {
                cut.runs.push(Run {
                    first_sample: run.first_sample.saturating_add(self.used),
                    count: taken,
                    ..*run
                });
            }
            left = left.saturating_sub(taken);
            self.used = self.used.saturating_add(taken);
            if self.used >= run.count {
                self.runs = rest;
                self.used = 0;
            }
        }
        for sample in samples {
            self.time = self.time.saturating_add(sample.duration.into());
        }
        self.sample = end;
        cut
    }
}

/// Which of the samples at `range` restart the coding, counted from the first of them.
fn restarts(track: &Track, range: Range<u32>) -> Vec<u32> {
    let inside = track
        .restarts
        .iter()
        .filter(|sample| range.contains(sample));
    let told = inside.filter(|sample| plan::is_restart(track, **sample));
    told.map(|sample| sample.saturating_sub(range.start))
        .collect()
}

/// Cuts all tracks: at each new segment, and inside one where the leader allows it.
fn fragments<'a>(
    plans: &'a [TrackPlan<'a>],
    leader: &TrackPlan<'_>,
    options: &FragmentOptions,
) -> Vec<Vec<CutTrack<'a>>> {
    let mut cursors: Vec<Cursor<'a>> = plans.iter().map(Cursor::new).collect();
    // In each fragment the leader comes first: the indexes point to it there.
    cursors.sort_by_key(|cursor| cursor.plan.index != leader.index);
    let mut fragments = Vec::new();
    while let Some(segment) = cursors.iter_mut().filter_map(Cursor::segment).min() {
        // The first track that has something here sets the pace.
        let pace = cursors
            .iter()
            .find(|cursor| !cursor.left(segment).is_empty());
        let mut ends = pace.map_or(Vec::new(), |pace| cut_times(pace, segment, options));
        ends.push(i128::MAX);
        for end in ends {
            let cut: Vec<CutTrack<'a>> = cursors
                .iter_mut()
                .map(|cursor| {
                    let count = count_before(cursor, segment, end);
                    cursor.take(count)
                })
                .filter(|cut| !cut.samples.is_empty())
                .collect();
            if !cut.is_empty() {
                fragments.push(cut);
            }
        }
    }
    fragments
}

/// When fragments of `segment` begin, but for the first, in nanoseconds of decode time on the
/// presentation's timeline.
fn cut_times(cursor: &Cursor<'_>, segment: u32, options: &FragmentOptions) -> Vec<i128> {
    // Three quarters are near enough: groups of pictures seldom last the exact time.
    let wanted = u128::from(options.duration)
        .saturating_mul(cursor.plan.track.timescale.into())
        .checked_div(u128::from(MOVIE_TIMESCALE).saturating_mul(4))
        .unwrap_or_default()
        .saturating_mul(3);
    let mut cuts = Vec::new();
    let (mut time, mut begin) = (cursor.time, cursor.time);
    let mut config = None;
    for sample in cursor.left(segment) {
        let lasting = u128::from(time.saturating_sub(begin));
        let changed = config.is_some_and(|config| config != sample.config);
        let enough = lasting >= wanted && sample.random_access.is_sync();
        if time > begin && (changed || enough) {
            cuts.push(cursor.plan.presented_at(time));
            begin = time;
        }
        config = Some(sample.config);
        time = time.saturating_add(sample.duration.into());
    }
    cuts
}

/// How many of the samples left of `segment` are decoded before `end`.
fn count_before(cursor: &Cursor<'_>, segment: u32, end: i128) -> u32 {
    let samples = cursor.left(segment);
    if end == i128::MAX {
        return u32::try_from(samples.len()).unwrap_or(u32::MAX);
    }
    let end = cursor.plan.decoded_at(end);
    let mut time = cursor.time;
    let mut count = 0u32;
    for sample in samples {
        if i128::from(time) >= end {
            break;
        }
        count = count.saturating_add(1);
        time = time.saturating_add(sample.duration.into());
    }
    count
}

/// When a fragment begins, in ticks of the movie's presentation.
fn begin(plans: &[TrackPlan<'_>], cut: &[CutTrack<'_>]) -> Option<i128> {
    let first = cut.first()?;
    let plan = plans.iter().find(|plan| plan.index == first.track)?;
    let nanos = plan.presented_at(first.start);
    nanos
        .checked_mul(MOVIE_TIMESCALE.into())?
        .checked_div(1_000_000_000)
}

/// Writes a fragment, with the events that are due in it, and adds it to the file.
fn add_fragment(
    fragmenter: &mut Fragmenter,
    cut: &[CutTrack<'_>],
    leader: &TrackPlan<'_>,
    events: &[TimedEvent],
    parts: &mut Regions,
) -> Result<Indexed> {
    let tracks: Vec<FragmentTrack<'_>> = cut
        .iter()
        .map(|cut| FragmentTrack {
            track: cut.track,
            start: cut.start,
            configs: &[],
            samples: cut.samples,
            runs: &cut.runs,
            restarts: &cut.restarts,
        })
        .collect();
    let raw = fragmenter.raw_fragment(&tracks)?;
    let begin = parts.len();
    let mut b = Boxes::default();
    for event in events {
        message(&mut b, event)?;
    }
    let messages = b.len() as u64;
    let head = usize::try_from(raw.moof_at)
        .unwrap_or(usize::MAX)
        .min(raw.header.len());
    // Behind the `styp`, where there is one.
    parts.push(RegionContent::Bytes(raw.header.slice(..head)), None)?;
    parts.push(RegionContent::Bytes(b.into_bytes().into()), None)?;
    let size = (raw.header.len() as u64)
        .saturating_add(raw.media_len)
        .saturating_add(messages);
    let moof = begin.saturating_add(messages).saturating_add(raw.moof_at);
    parts.push(RegionContent::Bytes(raw.header.slice(head..)), None)?;
    for span in raw.spans {
        match span {
            RawSpan::Bytes(bytes) => parts.push(RegionContent::Bytes(bytes), None)?,
            RawSpan::Media(mut source, len) => {
                let cut = cut.iter().find(|cut| cut.track == source.track);
                let first = cut.map_or(0, |cut| cut.first);
                source.first = source.first.saturating_add(first);
                parts.push(RegionContent::Media(source), Some(len))?;
            }
        }
    }
    let cut = cut.iter().find(|cut| cut.track == leader.index);
    Ok(Indexed {
        size,
        moof,
        earliest: cut.and_then(|cut| earliest_composition(cut.start, cut.samples)),
        latest: cut.and_then(|cut| {
            composition(cut.start, cut.samples)
                .map(|(_, end)| end)
                .max()
        }),
        sap_type: cut.map_or(0, |cut| sap_type(cut.start, cut.samples)),
    })
}

/// From when to when each sample is shown, the first of them decoded at `time`.
fn composition(mut time: u64, samples: &[MovieSample]) -> impl Iterator<Item = (i128, i128)> {
    samples.iter().map(move |sample| {
        let begin = i128::from(time).saturating_add(sample.composition_offset.into());
        time = time.saturating_add(sample.duration.into());
        (begin, begin.saturating_add(sample.duration.into()))
    })
}

fn earliest_composition(time: u64, samples: &[MovieSample]) -> Option<i128> {
    composition(time, samples).map(|(begin, _)| begin).min()
}

/// `SAP_type` (annex I) of the first sample.
fn sap_type(start: u64, samples: &[MovieSample]) -> u8 {
    let Some(first) = samples.first() else {
        return 0;
    };
    let composed = i128::from(start).saturating_add(first.composition_offset.into());
    let leads = earliest_composition(start, samples).is_some_and(|earliest| earliest < composed);
    match first.random_access {
        RandomAccess::None => 0,
        RandomAccess::Closed if leads => 2,
        RandomAccess::Closed => 1,
        RandomAccess::Open => 3,
        RandomAccess::Gradual(_) => 4,
    }
}

/// When each fragment begins in the presentation of the leader, in its timescale, and when the
/// last one ends.
fn earliest(leader: &TrackPlan<'_>, index: &[Indexed]) -> (Vec<u64>, u64) {
    let shift = leader.presentation_shift();
    let shown = |time: i128| u64::try_from(time.saturating_add(shift)).unwrap_or(0);
    let latest = index.iter().filter_map(|entry| entry.latest).max();
    let end = shown(latest.unwrap_or_default());
    // A fragment without samples of the leader lasts for no time.
    let mut next = end;
    let mut times: Vec<u64> = index
        .iter()
        .rev()
        .map(|entry| {
            next = entry.earliest.map_or(next, shown).min(next);
            next
        })
        .collect();
    times.reverse();
    (times, end)
}

/// `sidx` over all fragments. Where there are too many for its count, several make one reference.
fn segment_index(
    b: &mut Boxes,
    leader: &TrackPlan<'_>,
    index: &[Indexed],
    earliest: &[u64],
    end: u64,
) -> Result<()> {
    let group = index.len().div_ceil(MOST_REFERENCES).max(1);
    let begins: Vec<u64> = earliest.iter().step_by(group).copied().collect();
    let ends = begins.iter().skip(1).copied().chain([end]);
    let references: Vec<Reference> = index
        .chunks(group)
        .zip(begins.iter().zip(ends))
        .map(|(fragments, (begin, end))| Reference {
            size: fragments
                .iter()
                .fold(0u64, |sum, fragment| sum.saturating_add(fragment.size)),
            duration: end.saturating_sub(*begin),
            sap_type: fragments.first().map_or(0, |fragment| fragment.sap_type),
        })
        .collect();
    let first = earliest.first().copied().unwrap_or_default();
    boxes::segment_index(b, leader.id, leader.track.timescale, first, &references)
}

/// When the track ends in the presentation, in movie ticks.
fn end_of(plan: &TrackPlan<'_>) -> Result<u64> {
    let too_large = LayoutError::TooLarge {
        what: "a track's duration",
    };
    let media_end = plan
        .start
        .checked_add(plan.facts.duration)
        .ok_or(too_large.clone())?;
    let ticks = |media| plan::movie_ticks(media, plan.track.timescale);
    if plan.track.edits.is_empty() {
        return ticks(media_end).ok_or(too_large);
    }
    let lasting = plan.track.edits.iter().try_fold(0u64, |sum, edit| {
        let duration = match edit.media_time {
            // To the end.
            Some(begin) if edit.duration == 0 => ticks(media_end.saturating_sub(begin))?,
            _ => edit.duration,
        };
        sum.checked_add(duration)
    });
    lasting.ok_or(too_large)
}

/// Whether the file is a CMAF track file (ISO/IEC 23000-19, 7.3): one track, one sample entry,
/// and every fragment begins with a random access point of SAP type 1 or 2.
fn is_cmaf(plans: &[TrackPlan<'_>], cuts: &[Vec<CutTrack<'_>>]) -> bool {
    let [plan] = plans else { return false };
    plan.track.configs.len() == 1
        && cuts.iter().flatten().all(|cut| {
            let sap_type = sap_type(cut.start, cut.samples);
            matches!(sap_type, 1 | 2)
        })
}
