//! The periodic clips of a session that grows segment by segment.

use chrono::{DateTime, TimeDelta};

use super::*;
use crate::live::{Failure, LossReason};
use crate::testing::{FRAME, info, segment, video};
use crate::timeline::SegmentInfo;

const INTERVAL: Duration = Duration::from_secs(60);

/// A session that records, of which nothing has come yet.
struct Demo {
    line: Timeline,
    clips: PeriodicClips,
    progress: Progress,
    next: u64,
    ordinal: u64,
}

impl Demo {
    fn new() -> Self {
        let mut demo = Self {
            line: Timeline::new(),
            clips: PeriodicClips::new(INTERVAL),
            progress: Progress {
                front: true,
                ..Progress::default()
            },
            next: 0,
            ordinal: 0,
        };
        demo.record(INTERVAL);
        demo
    }

    /// The same, recording its first segment.
    fn recording() -> Self {
        let mut demo = Self::new();
        demo.grow();
        demo.begin();
        demo
    }

    /// A line of these segments, each of two seconds and with a sync sample every second.
    fn line(numbers: impl IntoIterator<Item = u64>) -> Timeline {
        let mut line = Timeline::new();
        for number in numbers {
            let at = i64::try_from(number).unwrap();
            let begins = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
            let info = SegmentInfo {
                start_time: Some(begins + TimeDelta::seconds(2 * at)),
                ..info(number)
            };
            line.push(info, segment([video(at * 50 * FRAME, 50, 25)]));
        }
        line
    }

    /// The next segment comes.
    fn grow(&mut self) {
        self.next += 1;
        self.line = Self::line(0..self.next);
        self.progress.taken = self.next;
    }

    fn record(&mut self, interval: Duration) {
        self.clips.turn_on(interval, &self.line, false);
    }

    /// Recording ends with what is there.
    fn stop(&mut self) {
        self.clips.turn_off(None);
        self.clips.listed_are_taken();
    }

    fn step(&mut self) -> Option<Step> {
        let step = self.clips.step(&self.line, self.progress);
        assert_eq!(self.clips.step(&self.line, self.progress), step);
        step
    }

    fn written(&self, mark: Mark, ordinal: u64) -> Boundary {
        mark.to_boundary(&self.line, "s", ordinal)
    }

    /// Recording begins with what is there.
    fn begin(&mut self) -> Mark {
        let Some(Step::Begin(mark)) = self.step() else {
            panic!("{:?}", self.clips);
        };
        let written = self.written(mark, self.ordinal);
        let stored = self.clips.begin(mark, &self.line, written);
        assert_eq!(self.clips.done(), Some(Done::Begun(stored)));
        mark
    }

    /// The clip that is due is begun to be cut.
    fn cut(&mut self) -> (PeriodicClip, Boundary) {
        let Some(Step::Cut(clip)) = self.step() else {
            panic!("{:?}", self.clips);
        };
        let written = self.written(clip.end, self.ordinal + 1);
        let boundary = self.clips.cut(clip, written);
        assert!(self.clips.is_under_way());
        assert_eq!(self.step(), None);
        (clip, boundary)
    }

    /// It is made. Gives until when media is done with.
    fn made(&mut self) -> Ticks {
        match self.clips.done() {
            Some(Done::Clip {
                boundary, until, ..
            }) => {
                self.ordinal = boundary.ordinal;
                until
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn stopped_it_waits_for_what_is_listed_already() {
    let mut demo = Demo::recording();
    demo.clips.turn_off(None);
    assert_eq!(demo.step(), None);
    demo.grow();
    demo.clips.listed_are_taken();
    let (clip, boundary) = demo.cut();
    assert_eq!(clip.to, None);
    assert!(boundary.finished);
    demo.made();
    assert_eq!(demo.step(), None);
    assert_eq!(*demo.clips.state(), State::Off);
    assert!(demo.clips.has_no_orders());
}

#[test]
fn stopped_it_counts_what_is_to_be_taken() {
    let mut demo = Demo::recording();
    demo.clips.turn_off(Some(2));
    assert_eq!(demo.step(), None);
    demo.grow();
    assert_eq!(demo.cut().0.to, None);
}

#[test]
fn told_to_go_on_while_its_last_clip_is_made_it_goes_on_behind_it() {
    for over in [false, true] {
        let mut demo = Demo::recording();
        demo.stop();
        demo.cut();
        demo.record(INTERVAL);
        demo.grow();
        // Neither its end nor another order takes back what came since.
        if over {
            demo.clips.close();
            demo.progress.all_taken = true;
        }
        let end = demo.made();
        demo.begin();
        if !over {
            assert_eq!(demo.step(), None);
            demo.stop();
        }
        let (rest, boundary) = demo.cut();
        assert_eq!((rest.from.ticks, boundary.ordinal), (end, 2));
        demo.made();
        assert_eq!(demo.step(), over.then_some(Step::Finished));
        assert_eq!(*demo.clips.state(), State::Off);
    }
}

#[test]
fn off_and_on_again_at_once_it_ends_the_clip_and_goes_on() {
    let mut demo = Demo::recording();
    demo.grow();
    demo.clips.turn_off(None);
    demo.record(INTERVAL);
    let (early, boundary) = demo.cut();
    assert!(early.to.is_some() && !boundary.finished);
    demo.made();
    assert!(matches!(demo.clips.state(), State::Recording(_)));
    assert_eq!(demo.step(), None);
}

#[test]
fn what_comes_after_a_last_clip_is_in_none() {
    let mut demo = Demo::recording();
    demo.stop();
    demo.cut();
    demo.grow();
    demo.made();
    assert_eq!(demo.step(), None);
    // A new order begins at the live edge.
    let edge = demo.line.end().unwrap();
    demo.record(INTERVAL);
    assert_eq!(demo.step(), None);
    demo.grow();
    assert_eq!(demo.begin().ticks, edge);
}

#[test]
fn aligned_clips_end_on_multiples_of_the_interval() {
    // It begins at 22:13:20: 40 seconds before a minute.
    let mut demo = Demo::new();
    demo.clips.align(true);
    demo.grow();
    demo.begin();
    let mut ends = Vec::new();
    for _ in 0..100 {
        demo.grow();
        if let Some(Step::Cut(clip)) = demo.step() {
            ends.push(clip.end.ticks / 90_000);
            demo.cut();
            demo.made();
        }
    }
    assert_eq!(ends, [40, 100, 160]);
}

#[test]
fn a_new_interval_ends_what_is_in_the_making_at_a_sync_sample() {
    let mut demo = Demo::new();
    demo.grow();
    demo.grow();
    demo.begin();
    demo.record(INTERVAL * 2);
    let (early, _) = demo.cut();
    assert_eq!(early.regrid, Some(INTERVAL * 2));
    let end = demo.made();
    assert_eq!(early.to.map(|to| to.ticks), Some(end));
    assert!(demo.clips.has_no_orders());
    assert_eq!(demo.clips.interval(), INTERVAL * 2);
    assert_eq!(demo.step(), None);
}

#[test]
fn a_new_interval_with_no_place_to_end_the_clip_begins_its_grid_there() {
    let mut demo = Demo::recording();
    // The only sync sample behind the first may still get frames before it.
    demo.line = Timeline::new();
    let one = video(0, 50, 50);
    demo.line.push(info(0), segment([one]));
    demo.record(INTERVAL * 2);
    assert_eq!(demo.step(), None);
    assert_eq!(demo.clips.interval(), INTERVAL * 2);
    assert!(demo.clips.has_no_orders());
}

#[test]
fn what_failed_is_tried_again_after_a_pause_and_given_up_at_last() {
    let mut demo = Demo::recording();
    demo.stop();
    let mut now = Duration::ZERO;
    for _ in 1..4 {
        demo.cut();
        assert_eq!(demo.clips.failed(&Failure::Media, now), None);
        let until = demo.clips.paused_until().unwrap();
        assert!(until > now);
        assert_eq!(demo.step(), None);
        assert_eq!(demo.clips.try_again(now), None);
        assert!(demo.clips.paused_until().is_some());
        now = until;
        assert_eq!(demo.clips.try_again(now), None);
    }
    demo.cut();
    let boundary = demo.clips.failed(&Failure::Media, now).unwrap();
    assert_eq!((boundary.ordinal, boundary.finished), (0, true));
    // That cannot be stored at first.
    assert_eq!(demo.clips.failed(&Failure::NoRoom, now), None);
    let until = demo.clips.paused_until().unwrap();
    assert_eq!(demo.clips.try_again(until), Some(boundary));
    demo.made();
    assert_eq!((demo.ordinal, demo.step()), (0, None));
}

#[test]
fn without_lost_segments_it_goes_on_with_the_next_on_the_same_grid() {
    let mut demo = Demo::new();
    (0..3).for_each(|_| demo.grow());
    let mark = demo.begin();
    demo.grow();
    let left_off = demo.written(mark, 0);
    let after = Demo::line(1..4);
    demo.clips.lose(&demo.line, &after, Some(left_off));
    demo.line = after;
    let begins = demo.begin();
    assert_eq!(begins.grid_ms, mark.grid_ms);
    assert_eq!(
        begins.ticks,
        demo.line.segments()[0].first_presented.unwrap()
    );
    let lost = demo.clips.lost().unwrap();
    assert_eq!(lost.reason, LossReason::Missing);
    assert_eq!(lost.to.unwrap() - lost.from.unwrap(), TimeDelta::seconds(2));
}

#[test]
fn what_another_stream_has_is_in_no_clip_unless_one_is_made() {
    let mut demo = Demo::recording();
    demo.record(INTERVAL * 2);
    assert!(demo.clips.discard());
    demo.clips.close();
    demo.progress.all_taken = true;
    assert_eq!(demo.step(), Some(Step::Finished));

    let mut demo = Demo::recording();
    demo.stop();
    demo.cut();
    assert!(!demo.clips.discard());
    demo.made();
    assert!(!demo.clips.discard());
}

#[test]
fn a_pause_ends_where_recording_begins() {
    let mut demo = Demo::new();
    let from = DateTime::from_timestamp(1_600_000_000, 0);
    demo.clips.lack(LostMedia {
        from,
        to: None,
        reason: LossReason::Paused,
    });
    demo.grow();
    demo.begin();
    let lost = demo.clips.lost().unwrap();
    assert_eq!(lost.to, DateTime::from_timestamp(1_700_000_000, 0));
    demo.stop();
    demo.cut();
    demo.made();
    assert_eq!(demo.clips.lost(), None);
}
