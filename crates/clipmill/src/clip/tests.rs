use clipmill_media::{RandomAccess, TrackIndex};

use super::*;
use crate::testing::{FRAME, Picture, SOUND, audio, info, pictures_of, segment, video};

fn line(segments: impl IntoIterator<Item = Vec<TrackIndex>>) -> Timeline {
    let mut timeline = Timeline::new();
    for (number, tracks) in segments.into_iter().enumerate() {
        timeline.push(info(number as u64), segment(tracks));
    }
    timeline
}

fn clip(timeline: &Timeline, from: Option<Ticks>, to: Option<Ticks>, cut: Cut) -> Clip {
    Clip::new(timeline, Bounds { from, to }, cut).unwrap()
}

/// Decode times of a track, in ticks from the first one on, and where the last sample ends.
fn times(clip: &Clip, track: usize) -> Vec<Ticks> {
    let track = &clip.movie.tracks[track];
    let mut time = 0;
    let mut times = vec![0];
    for sample in &track.samples {
        time += i64::from(sample.duration);
        times.push(to_ticks(time, track.timescale));
    }
    times
}

/// Encoders that are started anew overlap: the pictures go on, and sound comes again from a moment
/// that has been heard.
#[test]
fn sound_that_overlaps_is_on_time() {
    // The second segment's sound begins 90 ms before the first one's ends.
    let overlap = 8_100;
    let second = 83 * SOUND - overlap;
    let timeline = line([
        vec![video(0, 50, 25), audio(0, 83)],
        vec![video(50 * FRAME, 50, 25), audio(second, 83)],
    ]);
    let clip = clip(&timeline, None, None, Cut::Exact);
    let times = times(&clip, 1);
    assert_eq!(times.len(), 167, "every frame is there");
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    for (n, time) in times.iter().enumerate().take(166) {
        let due = match n {
            0..83 => n as i64 * SOUND,
            _ => second + (n as i64 - 83) * SOUND,
        };
        let overlapped = n < 83 && due + SOUND > second;
        // Frames that are heard over again make room; no other is moved.
        assert!(
            overlapped || (time - due).abs() <= 1,
            "frame {n} at {time} instead of {due}"
        );
    }
}

#[test]
fn windows_share_no_sound_where_it_overlaps() {
    let second = 83 * SOUND - 8_100;
    // All in one segment, as where an encoder is started anew in the middle of it.
    let mut sound = Vec::new();
    let joined = [audio(0, 83), audio(second, 83)];
    for track in &joined {
        sound.extend(track.samples().iter().map(|sample| sample.dts));
    }
    let timeline = line([vec![video(0, 100, 1), crate::testing::sound_at(&sound)]]);
    let edges = [None, Some(second + 3_000), Some(second + 6_600), None];
    let mut frames = 0;
    for pair in edges.windows(2) {
        let clip = clip(&timeline, pair[0], pair[1], Cut::Keyframe);
        frames += clip.movie.tracks[1].samples.len();
    }
    assert_eq!(frames, 166);
}

/// How long a picture lasts only the next one tells, and that may lie in the next clip.
#[test]
fn the_last_picture_lasts_until_the_next_clip() {
    let key = |dts| Picture {
        dts,
        random_access: RandomAccess::Closed,
        ..Picture::default()
    };
    let pictures = [0, 3_600, 7_200, 270_000, 273_600].map(key);
    let timeline = line([vec![pictures_of(pictures)]]);
    let first = clip(&timeline, None, Some(270_000), Cut::Keyframe);
    assert_eq!(times(&first, 0), [0, 3_600, 7_200, 270_000]);
    assert_eq!(first.duration_ms, 3_000);
    let second = clip(&timeline, Some(270_000), None, Cut::Keyframe);
    assert_eq!(second.duration_ms, 80);
    // One that lasts long ends where it was asked for.
    let exact = clip(&timeline, Some(0), Some(90_000), Cut::Exact);
    assert_eq!((exact.tracks[0].samples, exact.duration_ms), (3, 1_000));
}

#[test]
fn the_last_picture_lasts_until_the_next_that_is_shown() {
    // Decoded I P B, and shown I B P.
    let shown = |n: i64, order: i64| Picture {
        dts: n * FRAME,
        composition_offset: ((order - n + 1) * FRAME) as i32,
        random_access: match n % 6 {
            0 => RandomAccess::Closed,
            _ => RandomAccess::None,
        },
        ..Picture::default()
    };
    let group = |start: i64| [0, 2, 1, 4, 3, 5].map(|order| (order, start));
    let pictures = group(0).into_iter().chain(group(6)).zip(0..);
    let pictures = pictures.map(|((order, start), n)| shown(n, start + order));
    let timeline = line([vec![pictures_of(pictures)]]);
    let first = clip(&timeline, None, Some(7 * FRAME), Cut::Keyframe);
    assert_eq!((first.tracks[0].samples, first.duration_ms), (6, 240));
}

/// Between two frames that are far apart there is one on display.
#[test]
fn a_window_inside_a_frame_shows_that_frame() {
    let slide = |dts| Picture {
        dts,
        random_access: RandomAccess::Closed,
        ..Picture::default()
    };
    let slides = [0, 360_000, 720_000].map(slide);
    let timeline = line([vec![pictures_of(slides), audio(0, 400)]]);
    let inside = clip(&timeline, Some(400_000), Some(500_000), Cut::Exact);
    let summary = |n: usize| (inside.tracks[n].samples, inside.tracks[n].duration_ms);
    assert_eq!(summary(0), (1, 1_111));
    // It is presented later than in the stream: where an edit list begins in the middle of a sample
    // players show nothing.
    let shown = |duration| Edit {
        duration,
        media_time: Some(0),
    };
    assert_eq!(inside.movie.tracks[0].edits.as_slice(), [shown(100_000)]);
    assert_eq!(summary(1).0, 46, "with the sound of the window");
    let across = clip(&timeline, Some(400_000), Some(730_000), Cut::Exact);
    assert_eq!((across.tracks[0].samples, across.duration_ms), (2, 3_667));
    assert_eq!(across.movie.tracks[0].edits.as_slice(), [shown(330_000)]);
    assert_eq!(times(&across, 0), [0, 320_000, 680_000]);
    // Where segments are missing nothing is on display.
    let mut timeline = line([vec![video(0, 50, 25)]]);
    let mut later = info(2);
    later.missing_before = 50 * FRAME;
    timeline.push(later, segment([video(100 * FRAME, 50, 25)]));
    let (from, to) = (Some(60 * FRAME), Some(90 * FRAME));
    assert!(Clip::new(&timeline, Bounds { from, to }, Cut::Exact).is_none());
}

/// The same, where it takes an earlier picture to decode the one on display.
#[test]
fn a_window_inside_a_frame_that_refers_to_another_shows_that_frame() {
    let slide = |dts| Picture {
        dts,
        composition_offset: 900,
        random_access: match dts {
            0 => RandomAccess::Closed,
            _ => RandomAccess::None,
        },
        ..Picture::default()
    };
    let timeline = line([vec![pictures_of([0, 360_000, 720_000].map(slide))]]);
    let inside = clip(&timeline, Some(400_000), Some(730_000), Cut::Exact);
    let track = &inside.movie.tracks[0];
    assert_eq!(track.samples.len(), 3);
    let offsets: Vec<_> = track
        .samples
        .iter()
        .map(|one| one.composition_offset)
        .collect();
    assert_eq!(offsets, [900, 40_000, 900]);
    let shown = Edit {
        duration: 330_000,
        media_time: Some(400_000),
    };
    assert_eq!(track.edits.as_slice(), [shown]);
}

/// Leading pictures of an open group refer to what comes before the clip.
#[test]
fn leading_pictures_at_the_beginning_are_not_presented() {
    let picture = |n: i64, order: i64, random_access, leading| Picture {
        dts: n * FRAME,
        composition_offset: ((order - n) * FRAME) as i32,
        random_access,
        leading,
    };
    let timeline = line([vec![pictures_of([
        picture(0, 4, RandomAccess::Open, Leading::No),
        picture(1, 2, RandomAccess::None, Leading::Skipped),
        picture(2, 3, RandomAccess::None, Leading::Skipped),
        picture(3, 5, RandomAccess::None, Leading::No),
        picture(4, 8, RandomAccess::Open, Leading::No),
        picture(5, 6, RandomAccess::None, Leading::Skipped),
        picture(6, 7, RandomAccess::None, Leading::Skipped),
    ])]]);
    let clip = clip(&timeline, None, None, Cut::Exact);
    let edits = &clip.movie.tracks[0].edits;
    let shown = Edit {
        duration: 5 * FRAME as u64,
        media_time: Some(4 * FRAME as u64),
    };
    assert_eq!(edits.as_slice(), [shown]);
    assert_eq!(clip.tracks[0].samples, 7, "they are kept all the same");
}

/// Whole segments may begin in the middle of a group; and there may be no sync sample anywhere.
#[test]
fn a_clip_that_begins_without_a_sync_sample_says_so() {
    let grouped = |first: usize| {
        let pictures = (first..first + 25).map(|number| Picture {
            dts: number as i64 * FRAME,
            random_access: match number {
                0 | 60 => RandomAccess::Closed,
                _ => RandomAccess::None,
            },
            ..Picture::default()
        });
        vec![pictures_of(pictures)]
    };
    let timeline = line([grouped(0), grouped(25), grouped(50), grouped(75)]);
    let said = |from: i64, to: i64, cut| {
        let clip = clip(&timeline, Some(from * FRAME), Some(to * FRAME), cut);
        assert_eq!(clip.is_damaged(), !clip.warnings.is_empty());
        clip.warnings.join("; ")
    };
    let nothing_of = "the clip begins without a sync sample: players may show nothing of";
    for (from, to, which) in [
        (30, 40, "its pictures"),
        (30, 70, "its first 35 pictures"),
        (55, 70, "its first 10 pictures"),
        (80, 90, "its pictures"),
    ] {
        let warning = said(from, to, Cut::Segment);
        assert!(
            warning.ends_with(&format!("{nothing_of} {which}")),
            "{warning}"
        );
        assert_eq!(said(from, to, Cut::Exact), "");
    }
    assert_eq!(said(0, 40, Cut::Segment), "");
    assert_eq!(said(30, 100, Cut::Keyframe), "");
}

/// Where media was joined, a pause takes no time on the line: at the edge of two clips it belongs to the one
/// before it, and to no other.
#[test]
fn a_pause_at_the_edge_of_two_clips_is_in_one_of_them() {
    let second = 50 * FRAME;
    let date = |seconds: i64| DateTime::from_timestamp(1_000_000 + seconds, 0);
    // What the first clip's sound lacks or has too much of makes no difference.
    for frames in [80, 83, 86] {
        let mut timeline = Timeline::new();
        for (number, seconds) in (0..).zip([0, 2, 34, 36]) {
            let info = SegmentInfo {
                start_time: date(seconds),
                discontinuity: number == 2,
                ..info(number)
            };
            let start = number as i64 * second;
            let tracks = [video(start, 50, 25), audio(start, frames)];
            timeline.push(info, segment(tracks));
        }
        let joined = timeline.segments()[2].first_presented.unwrap();
        let syncs = |from: Ticks| timeline.next_sync(from).unwrap();
        for edge in [
            joined - FRAME,
            joined,
            joined + FRAME,
            joined - second,
            syncs(joined + 1),
        ] {
            let edge = syncs(edge);
            let clips = [(None, Some(edge)), (Some(edge), None)]
                .map(|(from, to)| clip(&timeline, from, to, Cut::Keyframe));
            let gaps: Vec<_> = clips.iter().flat_map(|clip| &clip.gaps).collect();
            let [gap] = gaps.as_slice() else {
                panic!("{frames}, {edge}: {gaps:?}");
            };
            let length = gap.to.unwrap() - gap.from.unwrap();
            assert!((length.num_milliseconds() - 30_000).abs() < 200, "{gap:?}");
            assert_eq!(gap.to, date(34));
            let first = &clips[0];
            assert_eq!(first.gaps.len(), usize::from(edge >= joined), "{edge}");
            if edge == joined {
                // It ends before the pause.
                let early = date(34).unwrap() - first.end_time.unwrap();
                assert!((early.num_milliseconds() - 30_000).abs() < 200, "{early}");
                assert_eq!(clips[1].start_time, date(34));
            }
        }
    }
}
