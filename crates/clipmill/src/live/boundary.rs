//! Where periodic clips begin and end.
//!
//! The boundaries of a stream form a grid on its own clock: the first one is the instant of the first
//! sync sample seen while recording is on, each next one an interval later, or on the next multiple of the
//! interval since midnight ([`Period`]). A clip begins at the first
//! sync sample at or after its boundary, and the clip before it ends there: a [`Mark`] is both. What is
//! decided once is kept as a place on the timeline, so that later knowledge of the clock cannot open
//! a gap or make an overlap.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::event::LostMedia;
use super::taken_segment::TakenSegment;
use crate::timeline::{Ticks, Timeline};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Sync samples nearer to one another than this are one.
const NEXT: Ticks = 180;

/// Where the last periodic clip of a stream ended: all that has to survive for recording to go on
/// from there. It is to be stored in one transaction with the clip that it ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Boundary {
    /// Counts the periodic clips of the stream: of two boundaries, the later one has the greater.
    pub ordinal: u64,
    /// The session of the stream.
    pub session: String,
    /// The boundary on the grid of intervals, in milliseconds since the Unix epoch, on the stream's
    /// own clock.
    pub time_ms: Option<i64>,
    /// The instant of the sync sample at which the clip really ended.
    pub cut_ms: Option<i64>,
    /// Media sequence number of the segment that it lies in; that of the segment to come, at the end
    /// of a stream.
    pub sequence: u64,
    /// Name of that segment: the last part of its URI.
    pub segment: String,
    /// Ticks of 90 kHz from that segment's first presented frame.
    pub offset: i64,
    /// Nothing of the session is left to be cut: it ended, or recording was turned off.
    pub finished: bool,
    /// The last segments that were taken up to there: what a playlist lists of them, and before them,
    /// is never taken again.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub taken: Vec<TakenSegment>,
    /// What is lost before the clip that begins there.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "gap", skip_serializing_if = "Option::is_none")
    )]
    pub lost: Option<LostMedia>,
    /// That clip is the first of its session: sound ahead of its first picture belongs to it.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "std::ops::Not::not"))]
    pub from_the_start: bool,
}

/// How far the boundaries of a stream lie from one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// So far.
    pub interval: Duration,
    /// On its multiples since midnight UTC, instead of from the first one on: the first clip is shorter, and the last
    /// one of a day where the interval does not divide it.
    pub aligned: bool,
}

impl Period {
    /// The next boundary behind one at `grid_ms` whose clip began at `begun`, in milliseconds since 1970.
    fn next_ms(self, grid_ms: i64, begun: i64) -> Option<i64> {
        let interval = i64::try_from(self.interval.as_millis()).ok()?.max(1);
        let steps = |since: i64| begun.max(grid_ms).saturating_sub(since) / interval + 1;
        if !self.aligned {
            return Some(grid_ms.saturating_add(interval.saturating_mul(steps(grid_ms))));
        }
        let midnight = begun.max(grid_ms).div_euclid(DAY).saturating_mul(DAY);
        let next = interval.saturating_mul(steps(midnight)).min(DAY);
        Some(midnight.saturating_add(next))
    }
}

impl From<Duration> for Period {
    /// From the first boundary on.
    fn from(interval: Duration) -> Self {
        Self {
            interval,
            aligned: false,
        }
    }
}

/// A boundary as it lies on a timeline: where one clip ends and the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Of the sync sample, or the end of the stream.
    pub ticks: Ticks,
    /// The boundary on the grid, in milliseconds since 1970.
    pub grid_ms: i64,
}

impl Mark {
    /// Where the first clip begins: the first sync sample at or after `from`.
    #[must_use]
    pub fn first(timeline: &Timeline, from: Ticks) -> Option<Self> {
        let ticks = timeline.next_sync(from)?;
        let grid_ms = time_ms(timeline, ticks)?;
        Some(Self { ticks, grid_ms })
    }

    /// Where the clip that begins here ends. `None` while that is not known, or something that
    /// belongs to it may still come.
    #[must_use]
    pub fn next(&self, timeline: &Timeline, period: Period) -> Option<Self> {
        let (grid_ms, asked) = self.asked(timeline, period)?;
        let ticks = timeline.next_sync(asked)?;
        let complete = timeline.complete_until()? >= ticks;
        complete.then_some(Self { ticks, grid_ms })
    }

    /// The next boundary on the grid, and where on the timeline it lies: the clip that begins here ends
    /// with the first sync sample from there on.
    #[must_use]
    pub fn asked(&self, timeline: &Timeline, period: Period) -> Option<(i64, Ticks)> {
        // Where pictures that decode alone are rarer than boundaries, or the stream paused,
        // boundaries without media between them are passed over.
        let begun = time_ms(timeline, self.ticks)?;
        let grid_ms = period.next_ms(self.grid_ms, begun)?;
        let instant = DateTime::from_timestamp_millis(grid_ms)?;
        let asked = timeline.at_time(instant)?.max(self.ticks + NEXT);
        Some((grid_ms, asked))
    }

    /// The last sync sample up to which everything is there, if it is not this one: where a clip can
    /// be ended early without losing a frame.
    #[must_use]
    pub fn latest(&self, timeline: &Timeline) -> Option<Self> {
        let complete = timeline.complete_until()?;
        let mut latest = None;
        let mut from = self.ticks + NEXT;
        while let Some(ticks) = timeline.next_sync(from).filter(|&ticks| ticks <= complete) {
            latest = Some(ticks);
            from = ticks + NEXT;
        }
        let ticks = latest?;
        let grid_ms = time_ms(timeline, ticks)?;
        Some(Self { ticks, grid_ms })
    }

    /// The end of the timeline.
    #[must_use]
    pub fn end(timeline: &Timeline) -> Option<Self> {
        let ticks = timeline.end()?;
        let grid_ms = time_ms(timeline, ticks)?;
        Some(Self { ticks, grid_ms })
    }

    /// As it is written down.
    #[must_use]
    pub fn to_boundary(self, timeline: &Timeline, session: &str, ordinal: u64) -> Boundary {
        let anchor = Anchor::of(timeline, self.ticks);
        Boundary {
            ordinal,
            session: session.to_owned(),
            time_ms: Some(self.grid_ms),
            cut_ms: time_ms(timeline, self.ticks),
            sequence: anchor.sequence,
            segment: String::new(),
            offset: anchor.offset,
            ..Boundary::default()
        }
    }
}

impl Boundary {
    /// Finds what was written down again. The second is false when its segment is not there: then the
    /// mark is where the next one begins.
    #[must_use]
    pub fn find(&self, timeline: &Timeline) -> Option<(Mark, bool)> {
        let anchor = Anchor {
            sequence: self.sequence,
            offset: self.offset,
        };
        let (ticks, is_there) = anchor.find(timeline)?;
        let grid_ms = self.time_ms.or_else(|| time_ms(timeline, ticks))?;
        Some((Mark { ticks, grid_ms }, is_there))
    }

    /// The instant from which on nothing has been cut.
    #[must_use]
    pub fn instant(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.cut_ms.or(self.time_ms)?)
    }
}

/// A place on a timeline relative to a segment: it means the same on another timeline of the same
/// segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) sequence: u64,
    /// Ticks from the segment's first presented frame.
    pub(super) offset: Ticks,
}

impl Anchor {
    pub(super) fn of(timeline: &Timeline, ticks: Ticks) -> Self {
        let within = |ticks: Ticks| {
            let segments = timeline.segments().iter();
            let begun = segments.filter_map(|s| Some((s, s.first_presented?)));
            begun.take_while(|(_, first)| *first <= ticks).last()
        };
        let at_end = timeline.end().is_some_and(|end| ticks >= end);
        let (sequence, offset) = match within(ticks) {
            // In the segment that is to come.
            Some((segment, _)) if at_end => (segment.info.sequence.saturating_add(1), 0),
            Some((segment, first)) => (segment.info.sequence, ticks - first),
            None => (0, 0),
        };
        Self { sequence, offset }
    }

    /// The second is false when the segment is not there: then it is where the next one begins.
    pub(super) fn find(&self, timeline: &Timeline) -> Option<(Ticks, bool)> {
        let first = timeline.at_sequence(self.sequence)?;
        let mut of_sequence = timeline
            .segments()
            .iter()
            .filter(|segment| segment.info.sequence == self.sequence);
        let is_there = of_sequence.any(|segment| segment.first_presented == Some(first));
        let offset = if is_there { self.offset } else { 0 };
        Some((first.saturating_add(offset), is_there))
    }
}

/// The instant of a place on the timeline, in milliseconds since 1970.
pub(super) fn time_ms(timeline: &Timeline, ticks: Ticks) -> Option<i64> {
    Some(timeline.time_at(ticks)?.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::clip::Clip;
    use crate::cut::{Bounds, Cut};
    use crate::testing::{FRAME, info, segment, video};
    use crate::timeline::SegmentInfo;

    fn begin() -> DateTime<Utc> {
        "2026-11-22T14:00:00Z".parse().unwrap()
    }

    /// Ten segments of two seconds each, with a sync sample every second, each dated `jitter`
    /// milliseconds off.
    fn timeline(jitter: &[i64]) -> Timeline {
        let mut timeline = Timeline::new();
        for number in 0..10_i64 {
            let off = jitter[usize::try_from(number).unwrap() % jitter.len()];
            let info = SegmentInfo {
                start_time: Some(begin() + TimeDelta::milliseconds(2000 * number + off)),
                ..info(1000 + number.unsigned_abs())
            };
            timeline.push(info, segment([video(number * 50 * FRAME, 50, 25)]));
        }
        timeline
    }

    fn marks(timeline: &Timeline, period: impl Into<Period>) -> Vec<Mark> {
        let period = period.into();
        let mut marks = vec![Mark::first(timeline, Ticks::MIN).unwrap()];
        while let Some(next) = marks[marks.len() - 1].next(timeline, period) {
            marks.push(next);
        }
        marks
    }

    #[test]
    fn a_grid_of_intervals() {
        let timeline = timeline(&[0]);
        let marks = marks(&timeline, Duration::from_secs(5));
        let start = begin().timestamp_millis();
        let grid: Vec<_> = marks.iter().map(|mark| mark.grid_ms - start).collect();
        assert_eq!(grid, [0, 5000, 10_000, 15_000]);
        let ticks: Vec<_> = marks.iter().map(|mark| mark.ticks).collect();
        assert_eq!(ticks, [0, 450_000, 900_000, 1_350_000]);
    }

    #[test]
    fn a_grid_on_multiples_of_the_interval() {
        let timeline = timeline(&[0]);
        let aligned = |interval| Period {
            interval: Duration::from_secs(interval),
            aligned: true,
        };
        // From 14:00:00 on: 50,400 seconds since midnight.
        let start = begin().timestamp_millis();
        for (interval, grid) in [
            (5, vec![0, 5000, 10_000, 15_000]),
            (9, vec![0, 9000, 18_000]),
            (11, vec![0, 2000, 13_000]),
        ] {
            let marks = marks(&timeline, aligned(interval));
            let found: Vec<_> = marks.iter().map(|mark| mark.grid_ms - start).collect();
            assert_eq!(found, grid, "{interval}");
            let ticks = marks.iter().map(|mark| mark.ticks / 90);
            assert_eq!(ticks.collect::<Vec<_>>(), grid, "{interval}");
        }
    }

    #[test]
    fn multiples_begin_anew_at_midnight() {
        let hours = |hours: i64| hours * 3_600_000;
        let aligned = Period {
            interval: Duration::from_secs(7 * 3600),
            aligned: true,
        };
        for (now, next) in [
            (0, 7),
            (6, 7),
            (7, 14),
            (20, 21),
            (21, 24),
            (23, 24),
            (24, 31),
        ] {
            assert_eq!(aligned.next_ms(hours(now), hours(now)), Some(hours(next)));
            // The sync sample may lie a while behind the boundary, or by jitter before it.
            assert_eq!(
                aligned.next_ms(hours(now), hours(now) + 300),
                Some(hours(next))
            );
            assert_eq!(
                aligned.next_ms(hours(now), hours(now) - 300),
                Some(hours(next))
            );
        }
        // Boundaries without a sync sample between them are passed over.
        assert_eq!(aligned.next_ms(hours(7), hours(15)), Some(hours(21)));
        assert_eq!(aligned.next_ms(hours(-1), hours(-1)), Some(0));
        let plain = Period::from(Duration::from_secs(7 * 3600));
        assert_eq!(plain.next_ms(hours(1), hours(15)), Some(hours(15 + 7)));
    }

    #[test]
    fn clips_tile_whatever_the_dates_say() {
        for jitter in [&[0][..], &[0, 3, -4, 1], &[0, 300, -250], &[-900, 900]] {
            let timeline = timeline(jitter);
            let marks = marks(&timeline, Duration::from_millis(2700));
            assert!(marks.len() >= 5, "{}", marks.len());
            let ends = marks[1..].iter().map(|mark| Some(mark.ticks)).chain([None]);
            let clips = marks.iter().zip(ends).map(|(from, to)| {
                let from = Some(from.ticks);
                Clip::new(&timeline, Bounds { from, to }, Cut::Keyframe).unwrap()
            });
            let samples = clips.map(|clip| clip.tracks[0].samples);
            assert_eq!(samples.sum::<u64>(), 500, "{jitter:?}");
        }
    }

    #[test]
    fn boundaries_more_often_than_sync_samples() {
        let timeline = timeline(&[0]);
        let marks = marks(&timeline, Duration::from_millis(100));
        let rises =
            |pair: &[Mark]| pair[0].ticks < pair[1].ticks && pair[0].grid_ms < pair[1].grid_ms;
        assert!(marks.windows(2).all(rises));
        assert!(marks.len() > 5);
    }

    #[test]
    fn what_is_written_down_is_found_again() {
        let timeline = timeline(&[0, 5]);
        for mark in marks(&timeline, Duration::from_millis(1500)) {
            let boundary = mark.to_boundary(&timeline, "s", 3);
            assert_eq!(boundary.find(&timeline), Some((mark, true)), "{boundary:?}");
        }
        let mut shorter = timeline.clone();
        shorter.forget_before(4);
        let early = Mark::first(&timeline, Ticks::MIN).unwrap();
        let (found, exact) = early.to_boundary(&timeline, "s", 3).find(&shorter).unwrap();
        assert!(!exact);
        assert_eq!(Some(found.ticks), shorter.segments()[0].first_presented);
    }

    #[test]
    fn the_end_belongs_to_the_segment_to_come() {
        let timeline = timeline(&[0]);
        let end = Mark::end(&timeline).unwrap().to_boundary(&timeline, "s", 3);
        assert_eq!((end.sequence, end.offset), (1010, 0));
        assert_eq!(end.find(&timeline), None);
    }

    #[test]
    fn the_latest_place_to_end_a_clip() {
        let timeline = timeline(&[0]);
        let first = Mark::first(&timeline, Ticks::MIN).unwrap();
        let latest = first.latest(&timeline).unwrap();
        assert_eq!(latest.ticks, 19 * 25 * FRAME);
        assert_eq!(latest.latest(&timeline), None);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn it_survives_as_text_and_lacks_what_was_not_written_then() {
        let timeline = timeline(&[0]);
        let first = Mark::first(&timeline, Ticks::MIN).unwrap();
        let mut boundary = first.to_boundary(&timeline, "s", 3);
        boundary.taken.push(TakenSegment {
            sequence: Some(1000),
            date_us: 5,
            file: (1, 2),
        });
        let text = serde_json::to_string(&boundary).unwrap();
        assert_eq!(serde_json::from_str::<Boundary>(&text).unwrap(), boundary);
        assert!(!text.contains("gap") && !text.contains("from_the_start"));
        boundary.lost = Some(LostMedia {
            from: Some(begin()),
            to: None,
            reason: crate::live::LossReason::Paused,
        });
        boundary.from_the_start = true;
        let text = serde_json::to_string(&boundary).unwrap();
        assert_eq!(serde_json::from_str::<Boundary>(&text).unwrap(), boundary);
        let gap = r#""gap":{"from":"2026-11-22T14:00:00Z","to":null,"reason":"the stream paused"}"#;
        assert!(text.contains(gap), "{text}");
        let early: Boundary = serde_json::from_str(r#"{"ordinal":7,"session":"s"}"#).unwrap();
        assert_eq!((early.ordinal, early.taken.len()), (7, 0));
    }
}
