//! Time without media: what a window lacks, by its timestamps and by `EXTINF` (RFC 8216, 4.3.2.1),
//! whatever the cause: segments that are missing, cut off, damaged, or cannot be decrypted.
//!
//! That time passes between two pictures is no gap by itself: slides stand for seconds, encoders
//! pause. What speaks for one is that nothing else is presented meanwhile, that the stream nowhere else
//! makes such a step, and what was found damaged there.

use std::ops::Range;

use clipmill_media::{CLOCK_90K, TrackKind, TrackTiming};

use crate::timeline::{PlacedSegment, Remark, RemarkKind, Stretch, Ticks, Timeline, to_ticks};

/// Nobody misses less: encoders leave out single pictures, and playlists round.
const SHORTEST: Ticks = CLOCK_90K as Ticks / 10;

/// A step of so many usual ones is looked at.
const STEPS: Ticks = 3;

/// Pictures that are gone for as long as this are missed though there is sound, where the segments are
/// damaged.
const WITH_SOUND: Ticks = CLOCK_90K as Ticks / 2;

/// What `EXTINF` may be wrong by at the end of the line, where no next segment tells better: rounded to
/// seconds, or not.
const ROUNDED: Ticks = CLOCK_90K as Ticks * 3 / 4;
const EXACT: Ticks = CLOCK_90K as Ticks / 4;

/// A stretch of the line without media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) from: Ticks,
    pub(crate) to: Ticks,
    /// Number on the timeline of the segment with which media comes again; `None` at the end.
    pub(crate) behind: Option<u64>,
    /// Why.
    pub(crate) reason: String,
}

/// So many segments ahead of a window tell what is usual, and where its first one should begin.
const AHEAD: usize = 32;

/// The holes of a line in a `window` of it, in order.
pub(crate) fn holes(timeline: &Timeline, window: &Range<Ticks>) -> Vec<Hole> {
    let Some(lead) = timeline.leading_track() else {
        return Vec::new();
    };
    let looked_at = looked_at(timeline, window);
    let mut found = Search {
        timeline,
        lead,
        holes: Vec::new(),
        natural: None,
        edge: None,
        missing: 0,
        due: None,
        overshoot: 0,
    };
    for at in looked_at.clone() {
        let segment = &timeline.segments()[at];
        if found.is_beside(segment) {
            found.sound_beside(at, segment);
        } else {
            found.segment(at, segment);
        }
    }
    if looked_at.end == timeline.segments().len() {
        found.end();
    }
    let mut holes = found.holes;
    holes.retain(|hole| hole.from < window.end && hole.to > window.start);
    holes.sort_by_key(|hole| hole.from);
    // Sound may be missing where pictures are.
    let mut merged: Vec<Hole> = Vec::new();
    for hole in holes {
        match merged.last_mut() {
            Some(last) if hole.from < last.to => last.to = last.to.max(hole.to),
            _ => merged.push(hole),
        }
    }
    merged
}

/// The positions of the segments that tell what a window lacks: some ahead of it, and those up to the one
/// with which media comes again behind it.
fn looked_at(timeline: &Timeline, window: &Range<Ticks>) -> Range<usize> {
    let first = behind(timeline, window.start).saturating_sub(AHEAD);
    let segments = timeline.segments();
    let mut last = behind(timeline, window.end);
    // Sound of other playlists lies between those of the pictures.
    while segments
        .get(last)
        .is_some_and(|segment| segment.first_presented.is_none())
    {
        last += 1;
    }
    first..segments.len().min(last + 1)
}

/// The position of the first segment of the leading track that begins behind a place on the line.
fn behind(timeline: &Timeline, place: Ticks) -> usize {
    let segments = timeline.segments();
    let (mut first, mut last) = (0, segments.len());
    while first < last {
        let middle = first + (last - first) / 2;
        let mut right = segments.range(middle..last);
        match right.position(|segment| segment.first_presented.is_some()) {
            Some(ahead) if segments[middle + ahead].first_presented <= Some(place) => {
                first = middle + ahead + 1;
            }
            _ => last = middle,
        }
    }
    first
}

/// The end of what the leading track has so far.
#[derive(Clone, Copy)]
struct Edge {
    /// Greatest presentation timestamp.
    greatest: Ticks,
    /// From one picture to the next, on average, where that is known.
    usual: Option<Ticks>,
    /// Position of the segment.
    at: usize,
}

struct Search<'a> {
    timeline: &'a Timeline,
    lead: usize,
    holes: Vec<Hole>,
    /// The longest step inside segments that are whole, once it was asked for.
    natural: Option<Ticks>,
    edge: Option<Edge>,
    /// Length of the segments that are missing since.
    missing: Ticks,
    /// Where the media so far ends by `EXTINF`.
    due: Option<Ticks>,
    /// The most that `EXTINF` has promised beyond what came.
    overshoot: Ticks,
}

impl Search<'_> {
    /// Whether a segment is of a playlist beside that of the leading track.
    fn is_beside(&self, segment: &PlacedSegment) -> bool {
        let tracks = self.timeline.tracks();
        let own = tracks[self.lead].source();
        let first = segment.stretches.first();
        first.is_some_and(|stretch| tracks[stretch.track].source() != own)
    }

    fn ticks(&self, track: usize, time: i64) -> Ticks {
        to_ticks(time, self.timeline.tracks()[track].timing.clock())
    }

    fn segment(&mut self, at: usize, segment: &PlacedSegment) {
        let info = &segment.info;
        self.missing += info.missing_before;
        let mut begun = None;
        let lead = self.lead;
        for stretch in segment.stretches.iter().filter(|s| s.track == lead) {
            let least = self.ticks(self.lead, stretch.pts.0);
            let greatest = self.ticks(self.lead, stretch.pts.1);
            begun.get_or_insert(least);
            let steps = stretch.samples.len().saturating_sub(1) as Ticks;
            let usual = (greatest - least).checked_div(steps).filter(|_| steps > 0);
            match self.edge {
                Some(edge) => self.between(edge, at, segment, least, usual),
                None if self.missing > 0 => {
                    self.add(least - self.missing, least, segment, missing_segments());
                }
                None => {}
            }
            self.missing = 0;
            self.inside(at, segment, stretch, greatest - least);
            if self.edge.is_none_or(|edge| greatest >= edge.greatest) {
                let usual = usual.or(self.edge.and_then(|edge| edge.usual));
                self.edge = Some(Edge {
                    greatest,
                    usual,
                    at,
                });
            }
        }
        self.due = match (begun, self.due) {
            // `EXTINF` counts what was left out as a repetition.
            (None, due) if self.repeats(segment) => due,
            (Some(_), _) if self.repeats(segment) => None,
            (Some(begun), _) => Some(begun + info.duration),
            (None, Some(due)) => Some(due + info.missing_before + info.duration),
            (None, None) => None,
        };
        if info.duration == 0 {
            self.due = None;
        }
    }

    /// Whether something of a segment was there already.
    fn repeats(&self, segment: &PlacedSegment) -> bool {
        let repeated = |remark: &Remark| {
            remark.segment == segment.number && matches!(remark.kind, RemarkKind::Repeated { .. })
        };
        self.timeline.remarks().iter().any(repeated)
    }

    /// Looks at what lies between the end of what came before and a stretch that begins at `least`.
    fn between(
        &mut self,
        edge: Edge,
        at: usize,
        segment: &PlacedSegment,
        least: Ticks,
        usual: Option<Ticks>,
    ) {
        let step = edge.usual.or(usual);
        let end = edge.greatest + step.unwrap_or_default();
        if self.missing > 0 {
            let from = match least - end > SHORTEST {
                true => end,
                false => least - self.missing,
            };
            self.add(from, least, segment, missing_segments());
            return;
        }
        let Some(usual) = step.filter(|&usual| is_long(least - edge.greatest, usual)) else {
            // What a playlist promises where nothing is missing.
            if let Some(due) = self.due {
                self.overshoot = self.overshoot.max(due - least);
            }
            return;
        };
        let damaged = self.damage(edge.at, at);
        if self.is_missed(edge.greatest + usual, least, damaged.is_some()) {
            let reason = damaged.unwrap_or_else(|| {
                let before = &self.timeline.segments()[edge.at];
                format!("media is missing at the end of {}", before.info.name())
            });
            self.add(end, least, segment, reason);
        }
    }

    /// Looks for holes inside a segment that gives reason to: it is damaged, or takes longer than the
    /// playlist says.
    fn inside(&mut self, at: usize, segment: &PlacedSegment, stretch: &Stretch, length: Ticks) {
        let damaged = self.damage(at, at);
        let duration = segment.info.duration;
        let long = duration > 0 && length > duration + WITH_SOUND;
        if damaged.is_none() && !long {
            return;
        }
        let times = times(self.timeline, segment, stretch);
        let mut steps: Vec<Ticks> = times.windows(2).map(|two| two[1] - two[0]).collect();
        steps.sort_unstable();
        let Some(&usual) = steps.get(steps.len() / 2) else {
            return;
        };
        for two in times.windows(2) {
            let (before, next) = (two[0], two[1]);
            if is_long(next - before, usual)
                && self.is_missed(before + usual, next, damaged.is_some())
            {
                let reason = damaged.clone();
                let reason = reason
                    .unwrap_or_else(|| format!("media is missing in {}", segment.info.name()));
                self.add(before + usual, next, segment, reason);
            }
        }
    }

    /// Whether nothing explains that there are no pictures from `from` to `to`.
    fn is_missed(&mut self, from: Ticks, to: Ticks, damaged: bool) -> bool {
        if self.is_covered(from, to) && !(damaged && to - from > WITH_SOUND) {
            return false;
        }
        let timeline = self.timeline;
        let lead = self.lead;
        let natural = *self
            .natural
            .get_or_insert_with(|| longest_step(timeline, lead));
        to - from > natural + natural / 2
    }

    /// Whether other tracks present something for most of that time.
    fn is_covered(&self, from: Ticks, to: Ticks) -> bool {
        let tracks = self.timeline.tracks();
        (0..tracks.len())
            .filter(|&track| track != self.lead && tracks[track].kind == TrackKind::Audio)
            .any(|track| covered(self.timeline, track, from, to) > (to - from) / 2)
    }

    /// What is damaged in the segments from one position to another.
    fn damage(&self, from: usize, to: usize) -> Option<String> {
        let segments = self.timeline.segments().range(from..=to);
        let mut damaged = segments.filter(|segment| !segment.index.damage.is_empty());
        let segment = damaged.next()?;
        let name = segment.info.name();
        Some(match segment.index.damage.kept().first() {
            Some(first) => format!("{name}: {first}"),
            None => format!("{name}: damaged"),
        })
    }

    /// Segments of sound that are missing beside pictures that are there.
    fn sound_beside(&mut self, at: usize, segment: &PlacedSegment) {
        if segment.info.missing_before == 0 {
            return;
        }
        let Some(stretch) = segment.stretches.first() else {
            return;
        };
        let least = self.ticks(stretch.track, stretch.pts.0);
        let earlier = self.timeline.segments().range(..at).rev();
        let mut earlier = earlier.flat_map(|before| &before.stretches);
        let Some(before) = earlier.find(|before| before.track == stretch.track) else {
            return;
        };
        let greatest = self.ticks(stretch.track, before.pts.1);
        if least - greatest > STEPS * SHORTEST {
            let reason = "segments of sound are missing".to_owned();
            self.add(greatest, least, segment, reason);
        }
    }

    /// The end of the line, where only `EXTINF` tells what should have come.
    fn end(&mut self) {
        let (Some(due), Some(edge), Some(reached)) =
            (self.due, self.edge, self.timeline.latest_end())
        else {
            return;
        };
        let Some(last) = self.timeline.segments().get(edge.at) else {
            return;
        };
        let rounded = last.info.duration % Ticks::from(CLOCK_90K) == 0;
        let tolerated = (STEPS * edge.usual.unwrap_or_default())
            .max(self.overshoot * 3 / 2)
            .max(if rounded { ROUNDED } else { EXACT });
        if due - reached > tolerated {
            self.holes.push(Hole {
                from: reached,
                to: due,
                behind: None,
                reason: format!("media is missing at the end of {}", last.info.name()),
            });
        }
    }

    fn add(&mut self, from: Ticks, to: Ticks, behind: &PlacedSegment, reason: String) {
        self.holes.push(Hole {
            from,
            to,
            behind: Some(behind.number),
            reason,
        });
    }
}

fn missing_segments() -> String {
    "segments are missing".to_owned()
}

fn is_long(step: Ticks, usual: Ticks) -> bool {
    step > SHORTEST + usual && step > STEPS * usual
}

/// Presentation times of a stretch, in order.
fn times(timeline: &Timeline, segment: &PlacedSegment, stretch: &Stretch) -> Vec<Ticks> {
    let clock = timeline.tracks()[stretch.track].timing.clock();
    let samples = segment.index.tracks[stretch.local].samples();
    let own = samples.range(stretch.samples.clone());
    let mut times: Vec<Ticks> = own
        .iter()
        .map(|sample| to_ticks(sample.pts() + stretch.shift, clock))
        .collect();
    times.sort_unstable();
    times
}

/// The longest step between two pictures inside segments in which nothing is damaged: what the stream
/// does by itself.
fn longest_step(timeline: &Timeline, track: usize) -> Ticks {
    let whole = timeline.segments().iter();
    let whole = whole.filter(|segment| segment.index.damage.is_empty());
    let steps = whole.flat_map(|segment| {
        let own = segment.stretches.iter().filter(|s| s.track == track);
        own.flat_map(|stretch| {
            let times = times(timeline, segment, stretch);
            let steps: Vec<Ticks> = times.windows(2).map(|two| two[1] - two[0]).collect();
            steps
        })
    });
    steps.max().unwrap_or_default()
}

/// How much of `from..to` the samples of a track last.
fn covered(timeline: &Timeline, track: usize, from: Ticks, to: Ticks) -> Ticks {
    let clock = timeline.tracks()[track].timing.clock();
    let mut sum = 0;
    for segment in timeline.segments() {
        for stretch in segment.stretches.iter().filter(|s| s.track == track) {
            let (least, greatest) = (
                to_ticks(stretch.pts.0, clock),
                to_ticks(stretch.pts.1, clock),
            );
            if greatest < from || least >= to {
                continue;
            }
            let local = &segment.index.tracks[stretch.local];
            for sample in local.samples().range(stretch.samples.clone()).iter() {
                let unit = match local.timing() {
                    TrackTiming::Exact { timescale } => Some(timescale),
                    TrackTiming::Rounded { .. } => local
                        .configs()
                        .get(usize::from(sample.config))
                        .and_then(|config| config.sample_rate()),
                };
                let pts = to_ticks(sample.pts() + stretch.shift, clock);
                if let Some(unit) = unit.filter(|_| (from..to).contains(&pts)) {
                    sum += to_ticks(i64::from(sample.duration), unit);
                }
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FRAME, audio, info, segment, video};
    use crate::timeline::SegmentInfo;

    const LENGTH: Ticks = 50 * FRAME;

    /// So many segments, of which each tenth lacks its second half.
    fn long_line(count: i64, beside: bool) -> Timeline {
        let mut timeline = Timeline::new();
        for number in 0..count {
            let pictures = if number % 10 == 5 { 25 } else { 50 };
            let start = number * LENGTH;
            let sound = audio(start, 83 * pictures / 50);
            let tracks = video(start, pictures, 25);
            let info = info(number as u64);
            match beside {
                false => {
                    timeline.push(info, segment([tracks, sound]));
                }
                true => {
                    let pictures =
                        crate::timeline::PushedSegment::first(info.clone(), segment([tracks]));
                    let sound = crate::timeline::PushedSegment {
                        source: 1,
                        ..crate::timeline::PushedSegment::first(info, segment([sound]))
                    };
                    timeline.push_together(vec![pictures, sound]);
                }
            }
        }
        timeline
    }

    #[test]
    fn a_window_is_looked_at_and_not_all_of_the_line() {
        for beside in [false, true] {
            let timeline = long_line(3_000, beside);
            let all = holes(&timeline, &(Ticks::MIN..Ticks::MAX));
            assert_eq!(all.len(), 300);
            let parts = if beside { 2 } else { 1 };
            for from in (0..2_990 * LENGTH).step_by(77 * LENGTH as usize + 1_234) {
                for length in [1, LENGTH / 2, 3 * LENGTH, 11 * LENGTH] {
                    let window = from..from + length;
                    let looked = looked_at(&timeline, &window).len();
                    let within = usize::try_from(length / LENGTH).unwrap() + 3;
                    assert!(looked <= AHEAD + within * parts, "{looked} for {window:?}");
                    let inside = |hole: &&Hole| hole.from < window.end && hole.to > window.start;
                    let expected: Vec<_> = all.iter().filter(inside).cloned().collect();
                    assert_eq!(holes(&timeline, &window), expected, "{window:?}");
                }
            }
        }
    }

    /// Longer than what is taken for a jump elsewhere, but not by the playlist: the time is kept.
    #[test]
    fn holes_in_long_segments_are_no_jumps() {
        let lasting = |number: u64, pictures: i64| SegmentInfo {
            duration: pictures * FRAME,
            ..info(number)
        };
        let whole = Ticks::MIN..Ticks::MAX;
        // 4 s of 20 at the beginning of the first segment; twice, with one in which nothing is.
        for empty in [0, 1, 2] {
            let mut timeline = Timeline::new();
            timeline.push(lasting(0, 500), segment([video(0, 100, 25), audio(0, 166)]));
            for number in 1..=empty {
                timeline.push(lasting(number, 500), segment([]));
            }
            let start = 500 * FRAME * (1 + empty as i64);
            let tracks = [video(start, 500, 25), audio(start, 833)];
            timeline.push(lasting(empty + 1, 500), segment(tracks));
            assert!(timeline.joins().is_empty(), "{:?}", timeline.joins());
            let found = holes(&timeline, &whole);
            let [hole] = found.as_slice() else {
                panic!("{empty}: {found:?}");
            };
            assert_eq!((hole.from, hole.to), (100 * FRAME, start));
        }
        // In the middle of one: its time is kept.
        let mut timeline = Timeline::new();
        let pictures = (0..500).filter(|n| !(100..400).contains(n));
        let pictures = crate::testing::pictures_of(pictures.map(|n| crate::testing::Picture {
            dts: n * FRAME,
            random_access: if n % 25 == 0 {
                clipmill_media::RandomAccess::Closed
            } else {
                clipmill_media::RandomAccess::None
            },
            ..crate::testing::Picture::default()
        }));
        timeline.push(lasting(0, 500), segment([pictures]));
        timeline.push(lasting(1, 500), segment([video(500 * FRAME, 500, 25)]));
        assert!(timeline.joins().is_empty());
        let lead = timeline.samples(0, 0).last().unwrap();
        assert_eq!(lead.pts, 999 * FRAME);
        // What no playlist explains is a jump as before.
        for start in [50 * FRAME + 12 * 90_000, 500 * FRAME] {
            let mut timeline = Timeline::new();
            timeline.push(info(0), segment([video(0, 50, 25)]));
            timeline.push(info(1), segment([video(start, 50, 25)]));
            assert_eq!(timeline.joins().len(), 1);
        }
    }
}
