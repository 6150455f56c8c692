//! Which samples make a clip, and which part of them is presented.

use std::ops::Range;

use clipmill_media::{CLOCK_90K, RandomAccess, Sample, TrackKind, TrackTiming};

use crate::timeline::{LineSample, Ticks, Timeline, from_ticks, to_ticks};

/// `PROGRAM-DATE-TIME` and requests are rounded to milliseconds: a frame that lies up to this far
/// before an asked instant is the one that was meant.
pub(crate) const ROUNDING: Ticks = CLOCK_90K as Ticks / 1000;

/// A clip begins and ends with whole frames, unless an edge of the window is further away from the next
/// one than this: then it begins or ends in the middle of the frame on display.
const FRAME_LIMIT: Ticks = CLOCK_90K as Ticks / 2;

/// By how much decoding may lie behind presentation: negative composition offsets, in fragmented MP4.
const LATE: Ticks = 10 * CLOCK_90K as Ticks;

/// Where a clip may begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Cut {
    /// From the first sync sample at or after the beginning to the one at or after the end:
    /// windows that follow one another share no sample and lose none. Sound that is ahead of all
    /// pictures belongs to the window that begins before it.
    Keyframe,
    /// On the asked frames: what decoding needs before them is in the file, hidden by its edit
    /// list.
    #[default]
    Exact,
    /// Whole segments.
    Segment,
}

/// A window on a [`Timeline`]. An absent bound is the end of the line on that side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The first instant that is wanted.
    pub from: Option<Ticks>,
    /// The first instant that is no longer wanted.
    pub to: Option<Ticks>,
}

/// Consecutive samples of one track of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Position in [`Timeline::segments`].
    pub(crate) segment: usize,
    pub(crate) local: usize,
    pub(crate) samples: Range<usize>,
    /// In the track's clock.
    pub(crate) shift: i64,
}

/// The samples of a clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// For each track of the timeline.
    pub(crate) tracks: Vec<Vec<Chosen>>,
    /// The first instant that is presented; that of the earliest sample when `None`.
    pub(crate) start: Option<Ticks>,
    /// The first instant that is no longer presented; the end of the media when `None`.
    pub(crate) end: Option<Ticks>,
    /// The picture of the leading track in the middle of which the clip begins.
    pub(crate) shortened: Option<Shortened>,
}

/// A picture that is on display when a clip begins. An edit list that begins in the middle of a
/// sample is right, but players show nothing until the next one; so it is presented later instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shortened {
    /// When it is presented in the stream, on the line, in the track's clock.
    pub(crate) pts: i64,
    /// When it is presented in the clip.
    pub(crate) from: i64,
}

impl Selection {
    /// The picture of a track in the middle of which the clip begins.
    pub(crate) fn shortened(&self, timeline: &Timeline, track: usize) -> Option<Shortened> {
        let leads = timeline.leading_track() == Some(track);
        self.shortened.filter(|_| leads)
    }
}

/// Chooses the samples of a window. `None` when there is nothing in it.
pub(crate) fn select(timeline: &Timeline, bounds: Bounds, cut: Cut) -> Option<Selection> {
    let lead = timeline.leading_track()?;
    let edges = match cut {
        Cut::Keyframe => keyframe_edges(timeline, lead, bounds)?,
        Cut::Exact => exact_edges(timeline, lead, bounds)?,
        Cut::Segment => return segments(timeline, bounds),
    };
    let tracks = (0..timeline.tracks().len())
        .map(|track| {
            if track == lead {
                leading_samples(timeline, track, &edges.samples)
            } else {
                following_samples(timeline, track, edges.start, edges.end)
            }
        })
        .collect();
    Some(Selection {
        tracks,
        start: edges.start,
        end: edges.end,
        shortened: edges.shortened,
    })
}

/// What the leading track decides for all.
struct Edges {
    /// Its samples, numbered from the start of the timeline.
    samples: Range<usize>,
    start: Option<Ticks>,
    end: Option<Ticks>,
    shortened: Option<Shortened>,
}

fn keyframe_edges(timeline: &Timeline, track: usize, bounds: Bounds) -> Option<Edges> {
    let (first, start) = match bounds.from {
        // The beginning of everything is wanted, whatever it begins with.
        None => (0, None),
        Some(from) => {
            let (at, pts) = first_sync_after(timeline, track, 0, from)?;
            if bounds.to.is_some_and(|to| pts + ROUNDING > to) {
                return None;
            }
            // What is heard ahead of the first picture is in the window that begins before
            // everything.
            (at, (!begins_before_all(timeline, from)).then_some(pts))
        }
    };
    let next = if bounds.from.is_some() { first + 1 } else { 0 };
    let last = bounds.to;
    let last = last.and_then(|to| first_sync_after(timeline, track, next, to));
    let (past, end) = match last {
        Some((at, pts)) => (at, Some(pts)),
        None => (usize::MAX, None),
    };
    if past <= first {
        return None;
    }
    Some(Edges {
        samples: first..past,
        start,
        end,
        shortened: None,
    })
}

/// Whether all samples lie behind an instant.
fn begins_before_all(timeline: &Timeline, from: Ticks) -> bool {
    let mut tracks = (0..).zip(timeline.tracks());
    tracks.all(|(track, known)| {
        let clock = known.timing.clock();
        let mut stretches = timeline.stretches(track);
        stretches.all(|(_, stretch, _)| to_ticks(stretch.pts.0, clock) > from)
    })
}

/// Number and instant of the first sync sample, from the sample `number` on, that lies at or after
/// `bound`.
pub(crate) fn first_sync_after(
    timeline: &Timeline,
    track: usize,
    number: usize,
    bound: Ticks,
) -> Option<(usize, Ticks)> {
    let clock = timeline.tracks()[track].timing.clock();
    let reaches = |pts: i64| to_ticks(pts, clock) + ROUNDING > bound;
    let stretches = timeline
        .stretches(track)
        .filter(|(first, stretch, samples)| {
            first + samples.len() > number && reaches(stretch.pts.1)
        });
    let mut syncs = stretches.flat_map(|(first, stretch, samples)| {
        let pts = move |sample: Sample| sample.pts() + stretch.shift;
        (first..)
            .zip(samples)
            .filter(|(_, sample)| sample.random_access.is_sync())
            .map(move |(at, sample)| (at, pts(sample)))
    });
    let found = syncs.find(|&(at, pts)| at >= number && reaches(pts));
    found.map(|(at, pts)| (at, to_ticks(pts, clock)))
}

fn exact_edges(timeline: &Timeline, track: usize, bounds: Bounds) -> Option<Edges> {
    let clock = timeline.tracks()[track].timing.clock();
    let from = bounds.from.unwrap_or(Ticks::MIN);
    let to = bounds.to.unwrap_or(Ticks::MAX);
    let wanted = |pts: Ticks| pts.saturating_add(ROUNDING) > from;
    let over = |pts: Ticks| pts.saturating_add(ROUNDING) > to;
    // Up to here a random access point helps to decode the beginning.
    let lead_in = from.saturating_add(ROUNDING);

    let mut entrance = Entrance::at(lead_in);
    let mut start: Option<Ticks> = None;
    let mut end: Option<Ticks> = None;
    let mut last = None;
    // The frame before the first one: the one on display when the window begins.
    let mut before: Option<(usize, Ticks, i64)> = None;
    'line: for (first, stretch, samples) in timeline.stretches(track) {
        let (least, greatest) = (
            to_ticks(stretch.pts.0, clock),
            to_ticks(stretch.pts.1, clock),
        );
        // Most stretches lie between the edges, and need no look at their samples.
        let entered = entrance.found().is_some() || bounds.from.is_none();
        if entered && end.is_none() && least > lead_in && !over(greatest) {
            start = Some(start.map_or(least, |start| start.min(least)));
            last = Some(first + samples.len() - 1);
            continue;
        }
        for (at, sample) in (first..).zip(samples) {
            let own = sample.pts() + stretch.shift;
            let pts = to_ticks(own, clock);
            let dts = to_ticks(sample.dts + stretch.shift, clock);
            // Nothing that is decoded from here on is presented before the end, even where decoding
            // runs late.
            let early = dts.saturating_sub(LATE);
            if over(early) && end.is_some_and(|end| early >= end) {
                break 'line;
            }
            entrance.pass(at, sample.random_access, pts);
            if over(pts) {
                end = Some(end.map_or(pts, |end| end.min(pts)));
            } else if wanted(pts) {
                start = Some(start.map_or(pts, |start| start.min(pts)));
                last = Some(at);
            } else if before.is_none_or(|(_, earlier, _)| pts > earlier) {
                before = Some((at, pts, own));
            }
        }
    }
    let on_display = before.filter(|&(_, pts, _)| {
        let until = start.or(end).or(timeline.end()).unwrap_or(pts);
        timeline.tracks()[track].kind == TrackKind::Video
            && from < until
            && start.is_none_or(|start| start > from.saturating_add(FRAME_LIMIT))
            && !timeline.is_missing_between(pts, until)
    });
    let (start, last) = match on_display {
        Some((at, ..)) => (from, last.unwrap_or(at).max(at)),
        None => (start?, last?),
    };
    let first = match bounds.from {
        None => 0,
        // Without a sync sample anywhere there is no better place than the beginning.
        Some(_) => entrance.found().filter(|&sync| sync <= last).unwrap_or(0),
    };
    // Nothing of the leading track may lie behind the end, and much of others, or of its last frame.
    let limit = to.saturating_add(FRAME_LIMIT);
    let next = end.or(timeline.latest_end()).unwrap_or(to);
    let end = if next > limit {
        Some(to.max(start.saturating_add(1)))
    } else {
        end
    };
    let start = bounds
        .from
        .map(|_| presentable_start(timeline, track, first, start));
    let shortened = on_display
        .filter(|_| start == Some(from))
        .map(|(_, _, pts)| Shortened {
            pts,
            from: from_ticks(from, clock),
        });
    Some(Edges {
        samples: first..last + 1,
        start,
        end,
        shortened,
    })
}

/// Finds the sample at which decoding must begin for everything to be right from an instant on: the
/// last random access point before it. Those of a gradual refresh count once all of the picture has
/// been refreshed twice: the first time it may be right only nearly (Rec. ITU-T H.264, D.2.8,
/// `exact_match_flag`), and decoders exist that show nothing before the second.
#[derive(Debug)]
pub(crate) struct Entrance {
    at: Ticks,
    /// The best so far, and whether all is right in time behind it.
    found: Option<(usize, bool)>,
    /// Refreshes that are under way: where they began, and at which sample they end.
    refreshing: Vec<(usize, usize)>,
    /// Where the last refresh began that is over.
    refreshed: Option<usize>,
}

impl Entrance {
    /// One for the instant `at`.
    pub(crate) fn at(at: Ticks) -> Self {
        Self {
            at,
            found: None,
            refreshing: Vec::new(),
            refreshed: None,
        }
    }

    /// The sample `number` is passed, in decode order.
    pub(crate) fn pass(&mut self, number: usize, random_access: RandomAccess, pts: Ticks) {
        let in_time = pts <= self.at;
        if in_time {
            let ended = self.refreshing.iter().rfind(|(_, end)| *end <= number);
            if let Some(&(begun, _)) = ended
                && let Some(before) = self.refreshed.replace(begun)
            {
                self.found = self.found.max(Some((before, true)));
            }
        }
        self.refreshing.retain(|(_, end)| *end > number);
        match random_access {
            RandomAccess::None => {}
            RandomAccess::Gradual(frames) if frames > 0 => {
                self.found.get_or_insert((number, false));
                if in_time {
                    self.refreshing.push((number, number + usize::from(frames)));
                }
            }
            _ if in_time => self.found = Some((number, true)),
            _ => {
                self.found.get_or_insert((number, false));
            }
        }
    }

    /// Where to begin; the first random access point of all when there is none in time.
    pub(crate) fn found(&self) -> Option<usize> {
        self.found.map(|(number, _)| number)
    }

    /// Whether all is right from the instant on.
    pub(crate) fn is_in_time(&self) -> bool {
        self.found.is_some_and(|(_, in_time)| in_time)
    }
}

/// A clip that can only begin later than asked is presented from its first sync sample on.
fn presentable_start(timeline: &Timeline, track: usize, number: usize, start: Ticks) -> Ticks {
    let clock = timeline.tracks()[track].timing.clock();
    let mut stretches = timeline.stretches(track);
    let found = stretches.find_map(|(first, stretch, samples)| {
        let sample = samples.get(number.checked_sub(first)?)?;
        Some((stretch.shift, sample))
    });
    match found {
        Some((shift, sample)) if sample.random_access.is_sync() => {
            to_ticks(sample.pts() + shift, clock).max(start)
        }
        _ => start,
    }
}

/// The samples of the leading track whose numbers lie in `range`.
fn leading_samples(timeline: &Timeline, track: usize, range: &Range<usize>) -> Vec<Chosen> {
    let mut chosen = Vec::new();
    let mut counted = 0_usize;
    for (segment, placed) in timeline.segments().iter().enumerate() {
        for stretch in placed.stretches.iter().filter(|s| s.track == track) {
            let first = counted;
            counted += stretch.samples.len();
            let from = range.start.clamp(first, counted) - first;
            let to = range.end.clamp(first, counted) - first;
            if from < to {
                chosen.push(Chosen {
                    segment,
                    local: stretch.local,
                    samples: stretch.samples.start + from..stretch.samples.start + to,
                    shift: stretch.shift,
                });
            }
        }
    }
    chosen
}

/// The samples of another track that lie nearer to this window than to its neighbours: those whose
/// middle is in it.
fn following_samples(
    timeline: &Timeline,
    track: usize,
    start: Option<Ticks>,
    end: Option<Ticks>,
) -> Vec<Chosen> {
    let all = 0..timeline.segments().len();
    all.flat_map(|segment| following_in(timeline, track, segment, start, end))
        .collect()
}

fn following_in(
    timeline: &Timeline,
    track: usize,
    segment: usize,
    start: Option<Ticks>,
    end: Option<Ticks>,
) -> impl Iterator<Item = Chosen> {
    let clock = timeline.tracks()[track].timing.clock();
    let placed = &timeline.segments()[segment];
    let own = placed.stretches.iter().filter(move |s| s.track == track);
    own.filter_map(move |stretch| {
        let local = &placed.index.tracks[stretch.local];
        let samples = local.samples();
        let inside = |number: usize| {
            let Some(sample) = samples.get(number) else {
                return false;
            };
            let unit = match local.timing() {
                TrackTiming::Exact { timescale } => Some(timescale),
                TrackTiming::Rounded { .. } => local
                    .configs()
                    .get(usize::from(sample.config))
                    .and_then(|config| config.sample_rate()),
            };
            let length = unit.map_or(0, |unit| to_ticks(i64::from(sample.duration), unit));
            let middle = to_ticks(sample.pts() + stretch.shift, clock) + length / 2;
            start.is_none_or(|start| middle >= start) && end.is_none_or(|end| middle < end)
        };
        let mut numbers = stretch.samples.clone().filter(|&number| inside(number));
        let first = numbers.next()?;
        let last = numbers.next_back().unwrap_or(first);
        Some(Chosen {
            segment,
            local: stretch.local,
            samples: first..last + 1,
            shift: stretch.shift,
        })
    })
}

impl Selection {
    /// What a selection without an end takes of one segment of a track, however far the timeline
    /// has grown since.
    pub(crate) fn of_segment(
        &self,
        timeline: &Timeline,
        track: usize,
        segment: usize,
    ) -> Vec<Chosen> {
        let begins = self
            .tracks
            .iter()
            .flatten()
            .map(|chosen| chosen.segment)
            .min();
        if begins.is_none_or(|begins| segment < begins) {
            return Vec::new();
        }
        if timeline.leading_track() != Some(track) {
            return following_in(timeline, track, segment, self.start, None).collect();
        }
        let Some(first) = self.tracks.get(track).and_then(|chosen| chosen.first()) else {
            return Vec::new();
        };
        let own = timeline.segments()[segment].stretches.iter();
        own.filter(|stretch| stretch.track == track)
            .filter_map(|stretch| {
                let begin = (segment, stretch.samples.end) > (first.segment, first.samples.start);
                let skipped = if segment == first.segment {
                    first.samples.start
                } else {
                    0
                };
                begin.then(|| Chosen {
                    segment,
                    local: stretch.local,
                    samples: stretch.samples.start.max(skipped)..stretch.samples.end,
                    shift: stretch.shift,
                })
            })
            .collect()
    }
}

/// Every sample of the segments that the window touches.
fn segments(timeline: &Timeline, bounds: Bounds) -> Option<Selection> {
    let placed = timeline.segments();
    let starts: Vec<_> = placed.iter().map(|s| s.first_presented).collect();
    let touched = |at: usize| {
        let Some(start) = starts[at] else {
            return false;
        };
        let next = starts.iter().skip(at + 1).find_map(|next| *next);
        let end = next.or(timeline.end()).unwrap_or(start);
        bounds.to.is_none_or(|to| start + ROUNDING <= to)
            && bounds.from.is_none_or(|from| end > from + ROUNDING)
    };
    let mut wanted = (0..placed.len()).filter(|&at| touched(at));
    let first = wanted.next()?;
    let last = wanted.next_back().unwrap_or(first);
    let start = bounds.from.and(starts[first]);
    let next = starts.iter().skip(last + 1).find_map(|next| *next);
    // What was pushed beside it comes behind it.
    let behind = starts.iter().skip(last + 1);
    let last = last + behind.take_while(|start| start.is_none()).count();
    let tracks = (0..timeline.tracks().len()).map(|track| {
        // Segments of other playlists begin and end elsewhere: what sounds with the pictures is wanted.
        if timeline.tracks()[track].source() > 0 {
            return following_samples(timeline, track, start, bounds.to.and(next));
        }
        let inside = placed.iter().enumerate().take(last + 1).skip(first);
        inside
            .flat_map(|(segment, placed)| {
                let own = placed.stretches.iter().filter(|s| s.track == track);
                own.map(move |stretch| Chosen {
                    segment,
                    local: stretch.local,
                    samples: stretch.samples.clone(),
                    shift: stretch.shift,
                })
            })
            .collect()
    });
    Some(Selection {
        tracks: tracks.collect(),
        start: None,
        end: None,
        shortened: None,
    })
}

impl Timeline {
    /// The first sync sample of the leading track at or after `from`: where a clip that is cut at
    /// keyframes begins, and the one before it ends.
    #[must_use]
    pub fn next_sync(&self, from: Ticks) -> Option<Ticks> {
        let lead = self.leading_track()?;
        first_sync_after(self, lead, 0, from).map(|(_, pts)| pts)
    }

    /// The samples of a track that follow some of its samples, as far as none is missing between them.
    pub(crate) fn samples_after(
        &self,
        track: usize,
        last: &Chosen,
    ) -> impl Iterator<Item = LineSample> + '_ {
        let placed = self.segments().get(last.segment);
        let own = placed.into_iter().flat_map(|segment| &segment.stretches);
        let before: usize = own
            .filter(|stretch| stretch.track == track)
            .map(|stretch| {
                let passed = stretch.samples.end.min(last.samples.end);
                passed.saturating_sub(stretch.samples.start)
            })
            .sum();
        let later = self.segments().iter().skip(last.segment + 1);
        let complete = later.take_while(|segment| segment.info.missing_before == 0);
        let until = last.segment + 1 + complete.count();
        let left = self.segments().iter().take(until).skip(last.segment);
        self.samples_of(left, track).skip(before)
    }
}

#[cfg(test)]
mod tests;
