use std::collections::HashMap;

use super::*;
use crate::live::{TakenSegment, Version};

type Files = HashMap<String, Version>;

impl SegmentFiles for Files {
    fn version(&mut self, segment: &Segment) -> Option<Version> {
        self.get(&segment.uri).copied()
    }

    fn head(&mut self, _: &Segment) -> Option<u64> {
        None
    }
}

/// Two seconds each, named after `names` and numbered from `first` on.
fn list(first: u64, names: std::ops::Range<u64>) -> Vec<Segment> {
    let all = names.zip(first..).map(|(name, sequence)| {
        let mut segment = Segment::default();
        segment.uri = format!("seg{name}.ts");
        segment.sequence = sequence;
        segment.duration = Duration::from_secs(2);
        segment
    });
    all.collect()
}

fn write(names: std::ops::Range<u64>, tag: u64) -> Files {
    let version = |name| Version {
        tag: tag + name,
        len: 188,
    };
    let all = names.map(|name| (format!("seg{name}.ts"), version(name)));
    all.collect()
}

fn look() -> Circumstances {
    Circumstances {
        live: false,
        ended: false,
        age: Duration::ZERO,
        watched: Duration::from_secs(60),
        silence: Duration::from_secs(6),
        history: Duration::from_secs(10),
    }
}

const LIVE: fn() -> Circumstances = || Circumstances {
    live: true,
    ..look()
};

/// Decides, and does as decided. Everything from there on is taken.
fn see(
    continuity: &mut Continuity,
    listed: &[Segment],
    look: &Circumstances,
    files: &mut Files,
) -> Decision {
    let mut listed = listed.to_vec();
    let decision = continuity.decide(&listed, look, files);
    if decision.ends().is_some() {
        continuity.taken_mut().end();
    }
    continuity.follow(&decision, &mut listed, look, files);
    let (Decision::Begins { from, .. } | Decision::Continues { from, .. }) = decision else {
        return decision;
    };
    for segment in &listed[from..] {
        let version = files.version(segment);
        let taken = continuity.taken_mut();
        taken.saw(segment, version, None, segment.start_time);
    }
    decision
}

fn begins(from: usize, start: SessionStart, shift: Option<i64>) -> Decision {
    Decision::Begins { from, start, shift }
}

fn boundary(sequence: u64, taken: std::ops::Range<u64>, files: &mut Files) -> Boundary {
    let taken = list(taken.start, taken).into_iter().map(|segment| {
        let version = files.version(&segment);
        TakenSegment::of(&segment, version, None)
    });
    Boundary {
        session: "0000000000001-0".to_owned(),
        sequence,
        segment: format!("seg{sequence}.ts"),
        taken: taken.collect(),
        ..Boundary::default()
    }
}

#[test]
fn a_session_begins_goes_on_and_ends() {
    let mut files = write(0..30, 1000);
    let mut one = Continuity::default();
    // Ten seconds of what is listed already.
    let first = see(&mut one, &list(0, 0..20), &look(), &mut files);
    assert_eq!(first, begins(15, SessionStart::Anew, Some(0)));
    let same = see(&mut one, &list(0, 0..20), &LIVE(), &mut files);
    assert_eq!(same, Decision::Nothing);
    let next = Decision::Continues {
        from: 0,
        missing: 2,
        shift: 0,
    };
    assert_eq!(see(&mut one, &list(22, 22..25), &LIVE(), &mut files), next);
    let ended = Circumstances {
        ended: true,
        ..LIVE()
    };
    let last = see(&mut one, &list(22, 22..25), &ended, &mut files);
    assert_eq!(last.ends(), Some(EndReason::Ended));
    let over = Circumstances {
        ended: true,
        ..look()
    };
    let still = see(&mut one, &list(22, 22..25), &over, &mut files);
    assert_eq!(still, Decision::Nothing);
    let behind = see(&mut one, &list(22, 22..26), &look(), &mut files);
    assert_eq!(behind, begins(3, SessionStart::Behind, Some(0)));
}

#[test]
fn however_long_the_last_segment_is_it_is_taken() {
    let mut listed = list(0, 0..3);
    listed[2].duration = Duration::from_secs(3600);
    let mut files = write(0..3, 1000);
    let first = see(&mut Continuity::default(), &listed, &look(), &mut files);
    assert_eq!(first, begins(2, SessionStart::Anew, Some(0)));
}

#[test]
fn a_stream_starts_over() {
    let mut files = write(0..5, 1000);
    let mut one = Continuity::default();
    see(&mut one, &list(0, 0..5), &look(), &mut files);
    files.extend(write(0..2, 5000));
    let over = see(&mut one, &list(0, 0..2), &LIVE(), &mut files);
    assert_eq!(over, begins(0, SessionStart::Anew, None));
    assert_eq!(over.ends(), Some(EndReason::StartedOver));
    // A finished one that is older than whoever watches is nobody's.
    files.extend(write(0..2, 9000));
    let old = Circumstances {
        ended: true,
        age: Duration::from_secs(100),
        ..LIVE()
    };
    let old = see(&mut one, &list(0, 0..2), &old, &mut files);
    assert_eq!(old, Decision::Old { shift: None });
    files.extend(write(2..3, 9000));
    let anew = see(&mut one, &list(0, 0..3), &look(), &mut files);
    assert_eq!(anew, begins(2, SessionStart::Behind, Some(0)));
}

#[test]
fn numbers_begin_anew_and_the_session_goes_on() {
    let mut files = write(0..6, 1000);
    let mut one = Continuity::default();
    see(&mut one, &list(10, 0..5), &look(), &mut files);
    let mut listed = list(0, 3..6);
    let decision = one.decide(&listed, &LIVE(), &mut files);
    let shift = 13;
    assert_eq!(
        decision,
        Decision::Continues {
            from: 2,
            missing: 0,
            shift
        }
    );
    one.follow(&decision, &mut listed, &LIVE(), &mut files);
    let numbers: Vec<_> = listed.iter().map(|one| one.sequence).collect();
    assert_eq!(numbers, [13, 14, 15]);
}

#[test]
fn what_was_over_before_anybody_looked_is_remembered() {
    let aged = Circumstances {
        age: Duration::from_secs(60),
        ..look()
    };
    let finished = Circumstances {
        ended: true,
        age: Duration::from_secs(60),
        ..look()
    };
    for (over, next) in [(aged, 3), (finished, 3)] {
        let mut files = write(0..4, 1000);
        let mut one = Continuity::default();
        let seen = see(&mut one, &list(0, 0..3), &over, &mut files);
        assert_eq!(seen, Decision::Old { shift: Some(0) });
        let seen = see(&mut one, &list(0, 0..4), &look(), &mut files);
        assert_eq!(seen, begins(next, SessionStart::Behind, Some(0)));
    }
    // One that is known is live again however old its playlist is.
    let mut files = write(0..4, 1000);
    let mut one = Continuity::default();
    see(&mut one, &list(0, 0..3), &look(), &mut files);
    let seen = see(&mut one, &list(0, 0..4), &aged, &mut files);
    assert_eq!(seen, begins(3, SessionStart::Behind, Some(0)));
}

/// Whoever watches may be slow: that a playlist is not seen at once does not make it old.
#[test]
fn what_came_while_the_stream_was_watched_is_taken_however_late_that_is_seen() {
    for (age, ended) in [(30, false), (30, true), (59, false)] {
        let mut files = write(0..5, 1000);
        let mut one = Continuity::default();
        let late = Circumstances {
            age: Duration::from_secs(age),
            ended,
            ..look()
        };
        let seen = see(&mut one, &list(0, 0..5), &late, &mut files);
        assert_eq!(
            seen,
            begins(0, SessionStart::Anew, Some(0)),
            "{age} {ended}"
        );
    }
}

#[test]
fn a_finished_playlist_that_is_shorter_and_goes_on_is_a_new_one() {
    let mut one = Continuity::default();
    let mut files = Files::new();
    see(&mut one, &list(0, 0..4), &look(), &mut files);
    let ended = Circumstances {
        ended: true,
        ..LIVE()
    };
    see(&mut one, &list(0, 0..4), &ended, &mut files);
    let shorter = see(&mut one, &list(0, 0..2), &look(), &mut files);
    assert_eq!(shorter, begins(0, SessionStart::Anew, None));
    // Its files say that it is not.
    let mut one = Continuity::default();
    let mut files = write(0..4, 1000);
    see(&mut one, &list(0, 0..4), &look(), &mut files);
    see(&mut one, &list(0, 0..4), &ended, &mut files);
    let shorter = see(&mut one, &list(0, 0..2), &look(), &mut files);
    assert_eq!(shorter, Decision::Nothing);
    // Nor for those that it has, where the last ones were never there.
    let mut one = Continuity::default();
    let mut files = write(0..2, 1000);
    see(&mut one, &list(0, 0..4), &look(), &mut files);
    let shorter = see(&mut one, &list(0, 0..3), &look(), &mut files);
    assert_eq!(shorter, begins(2, SessionStart::Behind, None));
}

#[test]
fn a_session_of_which_only_its_boundary_is_left_goes_on_where_that_is_listed() {
    for (uri, continues) in [
        ("seg6.ts", true),
        ("./seg%36.ts?x=1", true),
        ("x.ts", false),
    ] {
        let mut files = write(0..12, 1000);
        let lost = boundary(6, 0..7, &mut files);
        let mut one = Continuity::behind(lost.clone());
        let mut listed = list(3, 3..9);
        listed[3].uri = uri.to_owned();
        let decision = see(&mut one, &listed, &look(), &mut files);
        let lost = Box::new(lost);
        if continues {
            let expected = begins(1, SessionStart::Resumed(lost), Some(0));
            assert_eq!(decision, expected, "{uri}");
            // The clip that is to be made again has its media, and nothing older is taken.
            let older = see(&mut one, &list(0, 0..3), &LIVE(), &mut files);
            assert_eq!(older, Decision::Nothing);
        } else {
            assert!(matches!(
                decision,
                Decision::Begins {
                    start: SessionStart::Lost(_),
                    ..
                }
            ));
        }
    }
}

#[test]
fn nothing_is_taken_again_before_the_first_clip_of_a_session() {
    let mut files = write(0..12, 1000);
    let lost = Boundary {
        from_the_start: true,
        ..boundary(6, 0..6, &mut files)
    };
    let mut one = Continuity::behind(lost.clone());
    let start = SessionStart::Resumed(Box::new(lost));
    let decision = see(&mut one, &list(3, 3..9), &look(), &mut files);
    assert_eq!(decision, begins(3, start, Some(0)));
}

#[test]
fn what_came_after_a_boundary_that_is_not_listed_is_lost() {
    let mut files = write(0..30, 1000);
    let lost = boundary(6, 0..7, &mut files);
    let mut one = Continuity::behind(lost.clone());
    let start = SessionStart::Lost(Box::new(lost.clone()));
    let decision = see(&mut one, &list(20, 20..23), &look(), &mut files);
    assert_eq!(decision, begins(0, start.clone(), Some(0)));
    // An old playlist comes: all of that was taken.
    let old = see(&mut one, &list(4, 4..7), &LIVE(), &mut files);
    assert_eq!(old, Decision::Nothing);
    // Another file under the same name and number does not go on from there.
    let mut one = Continuity::behind(lost);
    files.extend(write(6..7, 9000));
    let decision = see(&mut one, &list(4, 4..8), &look(), &mut files);
    assert_eq!(decision, begins(2, start, Some(0)));
}

#[test]
fn how_long_missing_segments_were() {
    let start: DateTime<Utc> = "2026-11-22T14:00:00Z".parse().unwrap();
    let second = 90_000;
    let length = |before, listed: &[Segment], missing, passed| {
        missing_length(before, listed, 0, missing, Duration::from_secs(passed))
    };
    let undated = list(9, 9..12);
    assert_eq!(length(None, &undated, 3, 0), 6 * second);
    let mut dated = undated.clone();
    dated[0].start_time = Some(start + chrono::TimeDelta::seconds(20));
    assert_eq!(length(Some((start, 2 * second)), &dated, 3, 0), 18 * second);
    assert_eq!(length(Some((start, 30 * second)), &dated, 3, 0), 0);
    assert_eq!(
        length(Some((start, 2 * second)), &undated, 3, 0),
        6 * second
    );
    // Numbers may be wrong.
    assert_eq!(length(None, &undated, u64::MAX, 0), 600 * second);
    assert_eq!(length(None, &undated, u64::MAX, 1000), 2000 * second);
    assert_eq!(length(None, &undated, 500, 1000), 1000 * second);
}
