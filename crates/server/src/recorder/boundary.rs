//! Where periodic clips begin and end.
//!
//! The boundaries of a stream form a grid on its own clock: the first one is the instant of the
//! first sync sample seen while recording is on, each next one an interval later. A clip begins at
//! the first sync sample at or after its boundary, and the clip before it ends there: a [`Mark`] is
//! both. What is decided once is kept as a place on the timeline, so that later knowledge of
//! the clock cannot open a gap or make an overlap.

use std::time::Duration;

use clipmill::{Ticks, Timeline};

use crate::catalog::Boundary;

/// Sync samples nearer to one another than this are one.
const NEXT: Ticks = 180;

/// Where one clip ends and the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Of the sync sample, or the end of the stream.
    pub(crate) ticks: Ticks,
    /// The boundary on the grid, in milliseconds since 1970.
    pub(crate) grid_ms: i64,
}

impl Mark {
    /// Where the first clip begins: the first sync sample at or after `from`.
    pub(crate) fn first(timeline: &Timeline, from: Ticks) -> Option<Self> {
        let ticks = timeline.next_sync(from)?;
        Some(Self {
            ticks,
            grid_ms: time_ms(timeline, ticks)?,
        })
    }

    /// Where the clip that begins here ends. `None` while that is not known, or something that
    /// belongs to it may still come.
    pub(crate) fn next(&self, timeline: &Timeline, interval: Duration) -> Option<Self> {
        let (grid_ms, asked) = self.asked(timeline, interval)?;
        let ticks = timeline.next_sync(asked)?;
        let complete = timeline.complete_until()? >= ticks;
        complete.then_some(Self { ticks, grid_ms })
    }

    /// The next boundary on the grid, and where on the line it lies: the clip that begins here ends
    /// with the first sync sample from there on.
    pub(crate) fn asked(&self, timeline: &Timeline, interval: Duration) -> Option<(i64, Ticks)> {
        let interval = i64::try_from(interval.as_millis()).ok()?.max(1);
        // Where pictures that decode alone are rarer than boundaries, or the stream paused,
        // boundaries without media between them are passed over.
        let begun = time_ms(timeline, self.ticks)?;
        let steps = (begun - self.grid_ms).max(0) / interval + 1;
        let grid_ms = self.grid_ms.saturating_add(interval.saturating_mul(steps));
        let instant = chrono::DateTime::from_timestamp_millis(grid_ms)?;
        let asked = timeline.at_time(instant)?.max(self.ticks + NEXT);
        Some((grid_ms, asked))
    }

    /// The last sync sample up to which everything is there, if it is not this one: where a clip
    /// can be ended early without losing a frame.
    pub(crate) fn latest(&self, timeline: &Timeline) -> Option<Self> {
        let complete = timeline.complete_until()?;
        let mut latest = None;
        let mut from = self.ticks + NEXT;
        while let Some(ticks) = timeline.next_sync(from).filter(|&ticks| ticks <= complete) {
            latest = Some(ticks);
            from = ticks + NEXT;
        }
        let ticks = latest?;
        Some(Self {
            ticks,
            grid_ms: time_ms(timeline, ticks)?,
        })
    }

    /// The end of the timeline.
    pub(crate) fn end(timeline: &Timeline) -> Option<Self> {
        let ticks = timeline.end()?;
        Some(Self {
            ticks,
            grid_ms: time_ms(timeline, ticks)?,
        })
    }

    /// As it is written down.
    pub(crate) fn to_boundary(self, timeline: &Timeline, session: &str, ordinal: u64) -> Boundary {
        let within = |ticks: Ticks| {
            let segments = timeline.segments().iter();
            let begun = segments.filter_map(|s| Some((s, s.first_presented?)));
            begun.take_while(|(_, first)| *first <= ticks).last()
        };
        let at_end = timeline.end().is_some_and(|end| self.ticks >= end);
        let (sequence, offset) = match within(self.ticks) {
            // In the segment that is to come.
            Some((segment, _)) if at_end => (segment.info.sequence.saturating_add(1), 0),
            Some((segment, first)) => (segment.info.sequence, self.ticks - first),
            None => (0, 0),
        };
        Boundary {
            ordinal,
            session: session.to_owned(),
            time_ms: Some(self.grid_ms),
            cut_ms: time_ms(timeline, self.ticks),
            sequence,
            offset,
            ..Boundary::default()
        }
    }
}

/// Finds what was written down again. The second is false when its segment is not there: then it
/// is where the next one begins.
pub(crate) fn find(timeline: &Timeline, boundary: &Boundary) -> Option<(Mark, bool)> {
    let first = timeline.at_sequence(boundary.sequence)?;
    let mut of_sequence = timeline
        .segments()
        .iter()
        .filter(|segment| segment.info.sequence == boundary.sequence);
    let is_there = of_sequence.any(|segment| segment.first_presented == Some(first));
    let ticks = if is_there {
        first + boundary.offset
    } else {
        first
    };
    let mark = Mark {
        ticks,
        grid_ms: boundary.time_ms.or_else(|| time_ms(timeline, ticks))?,
    };
    Some((mark, is_there))
}

/// The instant of a place on the timeline, in milliseconds since 1970.
pub(crate) fn time_ms(timeline: &Timeline, ticks: Ticks) -> Option<i64> {
    Some(timeline.time_at(ticks)?.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta, Utc};
    use clipmill::{Bounds, Clip, Cut, DemuxOptions, Demuxer, Location, SegmentInfo};
    use std::path::Path;
    use std::sync::Arc;

    fn begin() -> DateTime<Utc> {
        "2026-11-22T14:00:00Z".parse().unwrap()
    }

    /// The ten segments of the demo stream, two seconds each with a sync sample every second, each
    /// dated `jitter` milliseconds off.
    fn timeline(jitter: &[i64]) -> Timeline {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo");
        let mut demuxer = Demuxer::new(DemuxOptions::default());
        let mut timeline = Timeline::new();
        for number in 0..10_usize {
            let path = fixtures.join(format!("seg{number:02}.ts"));
            let bytes = std::fs::read(&path).unwrap();
            let off = jitter
                .get(number % jitter.len().max(1))
                .copied()
                .unwrap_or(0);
            let info = SegmentInfo {
                location: Location::File(path),
                byte_range: None,
                key: None,
                in_playlist: true,
                sequence: 1000 + number as u64,
                duration: 180_000,
                start_time: Some(begin() + TimeDelta::milliseconds(2000 * number as i64 + off)),
                discontinuity: false,
                missing_before: 0,
            };
            timeline.push(info, Arc::new(demuxer.index(&bytes).unwrap()));
        }
        timeline
    }

    fn marks(timeline: &Timeline, interval: Duration) -> Vec<Mark> {
        let mut marks = vec![Mark::first(timeline, Ticks::MIN).unwrap()];
        while let Some(next) = marks[marks.len() - 1].next(timeline, interval) {
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
        let ticks: Vec<_> = marks
            .iter()
            .map(|mark| mark.ticks - marks[0].ticks)
            .collect();
        for (ticks, grid) in ticks.iter().zip(&grid) {
            assert!(
                (0..180_000).contains(&(ticks - grid * 90)),
                "{ticks} {grid}"
            );
        }
    }

    #[test]
    fn clips_tile_whatever_the_dates_say() {
        for jitter in [&[0][..], &[0, 3, -4, 1], &[0, 300, -250], &[-900, 900]] {
            let timeline = timeline(jitter);
            let marks = marks(&timeline, Duration::from_millis(2700));
            assert!(marks.len() >= 5, "{}", marks.len());
            let mut samples = 0;
            let ends = marks[1..].iter().map(|mark| Some(mark.ticks)).chain([None]);
            for (from, to) in marks.iter().zip(ends) {
                let bounds = Bounds {
                    from: Some(from.ticks),
                    to,
                };
                let clip = Clip::new(&timeline, bounds, Cut::Keyframe).unwrap();
                samples += clip.tracks[0].samples;
            }
            assert_eq!(samples, 500, "{jitter:?}");
        }
    }

    #[test]
    fn boundaries_more_often_than_sync_samples() {
        let timeline = timeline(&[0]);
        let marks = marks(&timeline, Duration::from_millis(100));
        assert!(marks.windows(2).all(|pair| pair[0].ticks < pair[1].ticks));
        assert!(
            marks
                .windows(2)
                .all(|pair| pair[0].grid_ms < pair[1].grid_ms)
        );
        assert!(marks.len() > 5);
    }

    #[test]
    fn what_is_written_down_is_found_again() {
        let timeline = timeline(&[0, 5]);
        for mark in marks(&timeline, Duration::from_millis(1500)) {
            let boundary = mark.to_boundary(&timeline, "s", 3);
            assert_eq!(
                find(&timeline, &boundary),
                Some((mark, true)),
                "{boundary:?}"
            );
        }
        let mut shorter = timeline.clone();
        shorter.forget_before(4);
        let early = Mark::first(&timeline, Ticks::MIN).unwrap();
        let (found, exact) = find(&shorter, &early.to_boundary(&timeline, "s", 3)).unwrap();
        assert!(!exact);
        assert_eq!(Some(found.ticks), shorter.segments()[0].first_presented);
    }

    #[test]
    fn the_end_belongs_to_the_segment_to_come() {
        let timeline = timeline(&[0]);
        let end = Mark::end(&timeline).unwrap().to_boundary(&timeline, "s", 3);
        assert_eq!((end.sequence, end.offset), (1010, 0));
        assert_eq!(find(&timeline, &end), None);
    }

    #[test]
    fn the_latest_place_to_end_a_clip() {
        let timeline = timeline(&[0]);
        let first = Mark::first(&timeline, Ticks::MIN).unwrap();
        let latest = first.latest(&timeline).unwrap();
        assert!(latest.ticks <= timeline.complete_until().unwrap());
        assert_eq!(
            timeline
                .next_sync(latest.ticks + NEXT)
                .filter(|&t| t <= timeline.complete_until().unwrap()),
            None
        );
        assert_eq!(latest.latest(&timeline), None);
    }
}
