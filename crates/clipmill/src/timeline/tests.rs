use super::*;
use chrono::TimeDelta;
use clipmill_media::{Leading, RandomAccess, Sample};

use crate::testing::{FRAME, Picture, SOUND, audio, info, pictures_of, segment, video};

fn starts(timeline: &Timeline) -> Vec<Option<Ticks>> {
    let segments = timeline.segments().iter();
    segments.map(|segment| segment.first_presented).collect()
}

#[test]
fn what_follows_keeps_its_timestamps() {
    let mut timeline = Timeline::new();
    for number in 0..3 {
        let start = 7_000 + number * 50 * FRAME;
        let tracks = [video(start, 50, 25), audio(start - 900, 83)];
        timeline.push(info(number as u64), segment(tracks));
    }
    assert_eq!(
        starts(&timeline),
        [Some(7_000), Some(187_000), Some(367_000)]
    );
    assert!(timeline.joins().is_empty());
    assert_eq!(timeline.end(), Some(7_000 + 150 * FRAME));
}

/// A segment that begins with an open group presents pictures of the group before: what
/// PROGRAM-DATE-TIME and EXTINF count from is the frame that it begins with.
#[test]
fn segments_are_dated_by_the_frame_that_they_begin_with() {
    let picture = |start: i64, (n, order): (i64, i64)| Picture {
        dts: start + n * FRAME,
        composition_offset: ((order - n + 2) * FRAME) as i32,
        random_access: match n {
            0 => RandomAccess::Open,
            _ => RandomAccess::None,
        },
        leading: match order {
            ..0 => Leading::Skipped,
            _ => Leading::No,
        },
    };
    let mut timeline = Timeline::new();
    for number in 0..2 {
        let start = number * 6 * FRAME;
        let order = [(0, 0), (1, -2), (2, -1), (3, 3), (4, 1), (5, 2)];
        let pictures = order.map(|order| picture(start, order));
        timeline.push(info(number as u64), segment([pictures_of(pictures)]));
    }
    assert_eq!(starts(&timeline), [Some(2 * FRAME), Some(8 * FRAME)]);
}

#[test]
fn the_next_sync_sample_and_what_is_complete() {
    let mut timeline = Timeline::new();
    assert_eq!(timeline.next_sync(0), None);
    assert_eq!(timeline.complete_until(), None);
    for number in 0..3 {
        let start = number * 50 * FRAME;
        // Sound comes half a second late.
        let tracks = [video(start, 50, 25), audio(start - 45_000, 83)];
        timeline.push(info(number as u64), segment(tracks));
    }
    assert_eq!(timeline.next_sync(Ticks::MIN), Some(0));
    assert_eq!(timeline.next_sync(0), Some(0));
    assert_eq!(timeline.next_sync(1), Some(0), "to the nearest millisecond");
    assert_eq!(timeline.next_sync(FRAME), Some(25 * FRAME));
    assert_eq!(timeline.next_sync(100 * FRAME), Some(100 * FRAME));
    assert_eq!(timeline.next_sync(126 * FRAME), None);
    let sound = 100 * FRAME - 45_000 + 83 * SOUND;
    assert_eq!(timeline.complete_until(), Some(sound));
    // Sound that ended long ago holds up nothing.
    for number in 3..10 {
        timeline.push(
            info(number as u64),
            segment([video(number * 50 * FRAME, 50, 25)]),
        );
    }
    assert_eq!(timeline.complete_until(), timeline.end());
}

#[test]
fn a_tag_joins_without_a_pause_and_keeps_the_offset_of_sound() {
    let mut timeline = Timeline::new();
    timeline.push(
        info(0),
        segment([video(1_000_000, 50, 25), audio(998_000, 83)]),
    );
    let mut next = info(1);
    next.discontinuity = true;
    let placed = timeline.push(next, segment([video(5_000, 50, 25), audio(3_000, 83)]));
    assert_eq!(placed.first_presented, Some(1_000_000 + 50 * FRAME));
    assert_eq!(placed.stretches[0].shift, placed.stretches[1].shift);
    assert_eq!(timeline.joins().len(), 1);
    assert_eq!(timeline.joins()[0].cause, JoinCause::Tagged);
}

#[test]
fn an_untagged_jump_is_found_in_both_directions() {
    for jump in [600 * 90_000, -600 * 90_000] {
        let mut timeline = Timeline::new();
        let start = 100_000_000;
        timeline.push(info(0), segment([video(start, 50, 25), audio(start, 83)]));
        let after = start + 50 * FRAME + jump;
        let placed = timeline.push(info(1), segment([video(after, 50, 25), audio(after, 83)]));
        assert_eq!(placed.first_presented, Some(start + 50 * FRAME));
        assert_eq!(timeline.joins()[0].cause, JoinCause::Jump);
    }
}

#[test]
fn a_stall_of_seconds_is_real_time() {
    let mut timeline = Timeline::new();
    timeline.push(info(0), segment([video(0, 50, 25), audio(0, 83)]));
    let later = 50 * FRAME + 8 * 90_000;
    timeline.push(info(1), segment([video(later, 50, 25), audio(later, 83)]));
    assert_eq!(starts(&timeline)[1], Some(later));
    assert!(timeline.joins().is_empty());
}

#[test]
fn missing_segments_leave_their_length() {
    // Timestamps that went on meanwhile stay; those that did not are put behind the gap.
    let went_on = 50 * FRAME + 120 * 90_000;
    for start in [went_on, 77] {
        let mut timeline = Timeline::new();
        timeline.push(info(0), segment([video(0, 50, 25), audio(0, 83)]));
        let mut next = info(61);
        next.missing_before = 120 * 90_000;
        timeline.push(next, segment([video(start, 50, 25), audio(start, 83)]));
        assert_eq!(starts(&timeline)[1], Some(went_on));
    }
}

#[test]
fn sound_that_comes_back_after_a_minute_is_where_the_pictures_are() {
    let mut timeline = Timeline::new();
    let second = 25 * FRAME;
    timeline.push(info(0), segment([video(0, 50, 25), audio(0, 83)]));
    for number in 1..30_u64 {
        let start = number as i64 * 2 * second;
        timeline.push(info(number), segment([video(start, 50, 25)]));
    }
    let start = 60 * second;
    let placed = timeline.push(info(30), segment([video(start, 50, 25), audio(start, 83)]));
    assert!(placed.stretches.iter().all(|stretch| stretch.shift == 0));
    assert!(timeline.joins().is_empty());
}

#[test]
fn a_jump_inside_one_segment_moves_both_tracks_alike() {
    let one = [video(0, 75, 25), audio(500, 125)];
    let two = [video(597 * 90_000, 75, 25), audio(597 * 90_000 + 500, 125)];
    let mut both = Vec::new();
    for (first, second) in one.iter().zip(&two) {
        both.push(concat(first, second));
    }
    let mut timeline = Timeline::new();
    let placed = timeline.push(info(0), segment(both));
    assert_eq!(placed.stretches.len(), 4);
    assert_eq!(placed.stretches[1].shift, placed.stretches[3].shift);
    let begins = 597 * 90_000 + placed.stretches[1].shift;
    let sound_ends = 500 + 125 * SOUND;
    assert_eq!(begins + 500, sound_ends.max(75 * FRAME + 500));
}

fn concat(first: &TrackIndex, second: &TrackIndex) -> TrackIndex {
    let mut track = clipmill_media::TrackBuilder::new(
        first.id(),
        first.kind(),
        first.timing(),
        1 << 20,
        188,
        false,
        &clipmill_media::Limits::default(),
    )
    .unwrap();
    let config = track.config(&first.configs()[0]).unwrap();
    for sample in first.samples().iter().chain(second.samples()) {
        let start = track.position();
        track.push_piece(0, 100).unwrap();
        track.push_unit(start..start + 100).unwrap();
        track.push_sample(Sample { config, ..sample }).unwrap();
    }
    track.finish()
}

#[test]
fn the_clock_on_the_wall() {
    let noon = DateTime::parse_from_rfc3339("2026-11-22T12:00:00Z").unwrap();
    let noon = noon.with_timezone(&Utc);
    let at = |millis| noon + TimeDelta::milliseconds(millis);
    let mut timeline = Timeline::new();
    for number in 0..2_u64 {
        let mut dated = info(number);
        // The stream pauses for an hour between the two.
        dated.start_time = Some(at(number as i64 * 3_602_000));
        dated.discontinuity = number == 1;
        timeline.push(dated, segment([video(9_000, 50, 25)]));
    }
    assert_eq!(timeline.at_time(at(0)), Some(9_000));
    assert_eq!(timeline.at_time(at(1_000)), Some(99_000));
    assert_eq!(timeline.at_time(at(60_000)), Some(189_000), "in the pause");
    assert_eq!(timeline.at_time(at(3_603_000)), Some(279_000));
    assert_eq!(timeline.time_at(99_000), Some(at(1_000)));
    assert_eq!(timeline.time_at(279_000), Some(at(3_603_000)));
}

fn part(source: usize, track: TrackIndex, discontinuity: bool) -> PushedSegment {
    let info = SegmentInfo {
        discontinuity,
        ..info(source as u64)
    };
    PushedSegment {
        source,
        info,
        index: segment([track]),
    }
}

#[test]
fn playlists_on_either_side_of_the_wrap_meet() {
    for (pictures, sound) in [(WRAP - 100, 100), (100, WRAP - 100)] {
        let mut timeline = Timeline::new();
        timeline.push_together(vec![
            part(0, video(pictures, 50, 25), false),
            part(1, audio(sound, 83), false),
        ]);
        let first = |track| timeline.samples(track, 0).next().unwrap().pts;
        assert_eq!((first(1) - first(0)).abs(), 200);
        assert!(timeline.joins().is_empty());
    }
}

#[test]
fn a_jump_moves_all_playlists_alike() {
    let mut timeline = Timeline::new();
    timeline.push_together(vec![
        part(0, video(1_000, 50, 25), false),
        part(1, audio(1_300, 40), false),
        part(1, audio(1_300 + 40 * SOUND, 43), false),
    ]);
    timeline.push_together(vec![
        part(0, video(900_000, 50, 25), true),
        part(1, audio(900_300, 83), true),
    ]);
    let ends = |track| {
        let shifted = timeline.samples(track, 0).map(|sample| sample.pts);
        shifted.collect::<Vec<_>>()
    };
    assert_eq!((ends(0).len(), ends(1).len()), (100, 166));
    assert_eq!(ends(0)[50] - ends(1)[83], -300);
    assert_eq!(timeline.joins().len(), 1);
}

#[test]
fn a_playlist_that_pauses_keeps_its_track() {
    let mut timeline = Timeline::new();
    let group = |start: Ticks, sources: &[usize]| {
        let pictures = part(0, video(start, 50, 25), false);
        let sound = sources
            .iter()
            .map(|&one| part(one, audio(start, 83), false));
        std::iter::once(pictures).chain(sound).collect::<Vec<_>>()
    };
    timeline.push_together(group(0, &[1, 2]));
    timeline.push_together(group(50 * FRAME, &[2]));
    timeline.push_together(group(100 * FRAME, &[1, 2]));
    let counts: Vec<_> = (0..3)
        .map(|track| timeline.samples(track, 0).count())
        .collect();
    assert_eq!(counts, [150, 166, 249], "the same identifier in both");
}

/// A PES packet of sound whose timestamp is of another day.
#[test]
fn sound_with_a_stray_timestamp_stays_where_it_is() {
    for by in [-900_000_000, 900_000_000] {
        for stray in [0..4, 20..26, 70..76] {
            let mut timeline = Timeline::new();
            timeline.push(info(0), segment([video(0, 50, 25), audio(0, 83)]));
            let start = 50 * FRAME;
            let times: Vec<Ticks> = (0..83)
                .map(|n| 83 * SOUND + n as i64 * SOUND + if stray.contains(&n) { by } else { 0 })
                .collect();
            let tracks = [video(start, 50, 25), crate::testing::sound_at(&times)];
            timeline.push(info(1), segment(tracks));
            let found: Vec<_> = timeline.samples(1, 0).map(|sample| sample.pts).collect();
            let wanted: Vec<_> = (0..166).map(|n| n * SOUND).collect();
            assert_eq!(found, wanted, "{stray:?} by {by}");
            assert!(timeline.joins().is_empty());
            let kind = RemarkKind::Stray {
                kind: TrackKind::Audio,
                samples: stray.len() as u64,
            };
            assert_eq!(timeline.remarks(), [Remark { segment: 1, kind }]);
        }
    }
}

/// Just as long as what begins together may lie apart: the sound would be where it is, and the pictures
/// behind it.
#[test]
fn nothing_is_missing_before_the_first_segment() {
    for missing_before in [0, TOGETHER + 1_000, JUMP_FORWARD * 2] {
        let mut timeline = Timeline::new();
        let info = SegmentInfo {
            missing_before,
            ..info(0)
        };
        timeline.push(info, segment([video(900_000, 50, 25), audio(909_000, 80)]));
        let starts = |track| timeline.samples(track, 0).next().map(|first| first.pts);
        assert_eq!(starts(0), Some(900_000));
        assert_eq!(starts(1), Some(909_000));
    }
}
