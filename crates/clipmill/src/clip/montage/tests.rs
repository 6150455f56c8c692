use std::sync::Arc;

use clipmill_media::{CodecConfig, Leading, RandomAccess};
use clipmill_mp4::Run;
use proptest::prelude::*;

use super::*;
use crate::cut::{Bounds, Cut};
use crate::testing::{FRAME, Picture, SOUND, audio, info, pictures_of, segment, sound_at, video};
use crate::timeline::{SegmentInfo, Timeline, to_ticks};

/// A stream with pictures that are reordered (I B B P B B P …), which begins at `start`.
fn stream(start: Ticks, segments: usize, gop: usize, sound_late: Ticks) -> Timeline {
    let mut timeline = Timeline::new();
    let (mut frames, mut sounds) = (0, 0);
    for number in 0..segments {
        let pictures = (0..50).map(|at| {
            let (picture, at) = (frames + at, (frames + at) as usize);
            let in_group = at % gop;
            // Two pictures of delay; each reference is displayed behind the two that follow it.
            let composition_offset = match in_group {
                0 => 2,
                _ if in_group % 3 == 1 && in_group + 2 < gop => 4,
                _ if in_group % 3 == 1 => 2,
                _ if gop - in_group <= (gop - 1) % 3 => 2,
                _ => 1,
            };
            Picture {
                dts: start + picture * FRAME,
                composition_offset: composition_offset * FRAME as i32,
                random_access: match in_group {
                    0 => RandomAccess::Closed,
                    _ => RandomAccess::None,
                },
                leading: Leading::No,
            }
        });
        let pictures = pictures_of(pictures);
        frames += 50;
        let until = (frames * FRAME) / SOUND;
        let times: Vec<Ticks> = (sounds..until)
            .map(|n| start + 2 * FRAME + sound_late + n * SOUND)
            .collect();
        sounds = until;
        let info = SegmentInfo {
            start_time: None,
            ..info(number as u64)
        };
        timeline.push(info, segment([pictures, sound_at(&times)]));
    }
    timeline
}

fn clip(timeline: &Timeline, from: Ticks, to: Ticks, cut: Cut) -> Clip {
    let bounds = Bounds {
        from: Some(from),
        to: Some(to),
    };
    Clip::new(timeline, bounds, cut).unwrap()
}

/// A sample of a clip: segment, track of it, and number.
type Name = (u32, u32, u32);

fn names(track: &Track) -> Vec<Name> {
    let run = |run: &Run| {
        let Run { segment, track, .. } = *run;
        (run.first_sample..run.first_sample + run.count).map(move |n| (segment, track, n))
    };
    track.runs.iter().flat_map(run).collect()
}

/// Each sample with its times of decoding and presentation in the media, in the order of decoding.
fn timed(track: &Track) -> Vec<(i64, i64, Name)> {
    let mut time = 0;
    let samples = track.samples.iter().zip(names(track));
    let timed = samples.map(|(sample, name)| {
        let dts = time;
        time += i64::from(sample.duration);
        (dts, dts + i64::from(sample.composition_offset), name)
    });
    timed.collect()
}

/// What a player that knows edit lists shows: when, and what.
fn shown(track: &Track) -> Vec<(Ticks, Name)> {
    let mut all = Vec::new();
    let mut at = 0;
    for edit in &track.edits {
        let lasting = edit.duration as Ticks;
        if let Some(media) = edit.media_time {
            let media = media as i64;
            let own = timed(track).into_iter().map(|(_, pts, name)| (pts, name));
            let mut own: Vec<_> = own
                .map(|(pts, name)| (to_ticks(pts - media, track.timescale), name))
                .filter(|(pts, _)| (0..lasting).contains(pts))
                .map(|(pts, name)| (at + pts, name))
                .collect();
            own.sort_unstable();
            all.extend(own);
        }
        at += lasting;
    }
    all
}

/// Where each frame of sound begins.
fn heard(track: &Track) -> Vec<(Ticks, Name)> {
    let mut at = 0;
    for edit in &track.edits {
        if let Some(media) = edit.media_time {
            let own = timed(track).into_iter();
            return own
                .map(|(_, pts, name)| (at + to_ticks(pts - media as i64, track.timescale), name))
                .collect();
        }
        at += edit.duration as Ticks;
    }
    Vec::new()
}

fn moved(list: Vec<(Ticks, Name)>, by: Ticks, segments: u32) -> Vec<(Ticks, Name)> {
    list.into_iter()
        .map(|(at, (segment, track, n))| (at + by, (segment + segments, track, n)))
        .collect()
}

/// Holds a montage against its parts.
fn check(parts: &[Clip]) -> Clip {
    let montage = Clip::montage(parts.to_vec()).unwrap();
    let (mut pictures, mut sound) = (Vec::new(), Vec::new());
    let (mut begin, mut segments) = (0, 0);
    for part in parts {
        pictures.extend(moved(shown(&part.movie.tracks[0]), begin, segments));
        sound.extend(moved(heard(&part.movie.tracks[1]), begin, segments));
        begin += part.length();
        segments += part.segments.len() as u32;
    }
    let [video, audio] = &montage.movie.tracks[..] else {
        panic!("two tracks");
    };
    let seen = shown(video);
    let wrong = seen.iter().zip(&pictures).find(|(seen, due)| seen != due);
    assert_eq!(wrong, None, "pictures are where they were, to the tick");
    assert_eq!(seen.len(), pictures.len());
    let heard = heard(audio);
    assert_eq!(heard.len(), sound.len());
    for (heard, due) in heard.iter().zip(&sound) {
        assert_eq!(heard.1, due.1);
        assert!(
            (heard.0 - due.0).abs() <= SOUND / 2 + 2,
            "{heard:?} is due at {due:?}"
        );
    }
    for track in &montage.movie.tracks {
        let timed = timed(track);
        let late = timed.iter().find(|(dts, pts, _)| dts > pts);
        assert_eq!(late, None, "decoded in time");
        assert!(timed.is_sorted_by(|a, b| a.0 < b.0), "decoding goes on");
        let mut shown: Vec<_> = timed.iter().map(|(_, pts, _)| *pts).collect();
        shown.sort_unstable();
        shown.dedup();
        assert_eq!(shown.len(), timed.len(), "no two at once");
        let bytes: u64 = track.samples.iter().map(|s| u64::from(s.size)).sum();
        assert_eq!(
            bytes,
            parts
                .iter()
                .flat_map(|p| &p.tracks)
                .filter(|t| t.kind == track.kind)
                .map(|t| t.bytes)
                .sum::<u64>()
        );
    }
    // A player that knows the first edit alone stays in step, but for a tick for each hidden picture.
    let hidden = video.samples.len() - pictures.len();
    let all = timed(video);
    let media = |name| all.iter().find(|one| one.2 == name).unwrap().1;
    let (first, last) = (pictures[0], pictures[pictures.len() - 1]);
    let drift = media(last.1) - media(first.1) - (last.0 - first.0);
    assert!(drift <= (hidden + parts.len()) as i64, "{drift} ticks late");
    // ffmpeg places an edit by the first picture of it that is decoded.
    let edits = video.edits.iter().filter_map(|edit| {
        let from = edit.media_time? as i64;
        let inside = from..from + edit.duration as i64;
        let first = all.iter().find(|(_, pts, _)| inside.contains(pts))?;
        Some(from - first.0)
    });
    let leads: Vec<i64> = edits.collect();
    assert!(leads.iter().all(|lead| *lead == leads[0]), "{leads:?}");
    assert_eq!(montage.duration_ms, millis(begin));
    assert_eq!(montage.segments.len(), segments as usize);
    assert_eq!(montage.chapters().len(), parts.len());
    montage
}

/// Whole groups that follow one another need no edit of their own.
#[test]
fn parts_cut_at_sync_samples_go_on_without_an_edit() {
    let timeline = stream(900_000, 6, 25, 0);
    let at = |n: i64| 900_000 + (2 + 25 * n) * FRAME;
    let parts = [(0, 2), (5, 6), (3, 4), (8, 11)]
        .map(|(from, to)| clip(&timeline, at(from), at(to), Cut::Keyframe));
    let montage = check(&parts);
    let video = &montage.movie.tracks[0];
    assert_eq!(video.edits.len(), 1);
    assert!(
        video
            .samples
            .iter()
            .all(|sample| sample.duration == FRAME as u32)
    );
    assert_eq!(montage.movie.tracks[1].edits.len(), 1);
}

#[test]
fn hidden_pictures_take_a_tick_each() {
    let timeline = stream(0, 4, 50, 0);
    let part =
        |from: i64, to: i64| clip(&timeline, (2 + from) * FRAME, (2 + to) * FRAME, Cut::Exact);
    let montage = check(&[part(10, 31), part(77, 120), part(20, 21)]);
    let edits = &montage.movie.tracks[0].edits;
    assert_eq!(
        edits.iter().map(|edit| edit.duration).sum::<u64>(),
        65 * 3_600
    );
    assert_eq!(edits.len(), 3);
}

/// What is between two parts was not asked for: it is neither a gap nor a discontinuity.
#[test]
fn what_is_known_holds_for_the_whole() {
    let mut timeline = Timeline::new();
    let time = |n: i64| chrono::DateTime::from_timestamp(1_795_356_000 + n, 0).unwrap();
    for n in 0..6_i64 {
        let lost = if n == 3 { 50 * FRAME } else { 0 };
        let start = n * 50 * FRAME + if n >= 3 { 50 * FRAME } else { 0 };
        let info = SegmentInfo {
            start_time: Some(time(start / 90_000)),
            missing_before: lost,
            ..info(n as u64)
        };
        timeline.push(info, segment([video(start, 50, 25), audio(start, 83)]));
    }
    let mut parts = [
        clip(&timeline, 450_000, 990_000, Cut::Exact),
        clip(&timeline, 90_000, 144_000, Cut::Exact),
    ];
    assert_eq!(parts[0].gaps.len(), 1);
    parts[0].warnings.push("damaged".to_owned());
    let montage = check(&parts);
    let gap = &montage.gaps[0];
    assert_eq!((gap.at_ms, gap.from), (1_000, Some(time(6))));
    assert_eq!(montage.gaps.len(), 1);
    assert!(montage.is_damaged());
    assert_eq!(montage.discontinuities, 0);
    assert_eq!(montage.start_time, Some(time(5)));
    assert_eq!(
        montage.end_time,
        Some(time(1) + chrono::TimeDelta::milliseconds(600))
    );
    let titles: Vec<_> = montage
        .chapters()
        .iter()
        .map(|c| (c.at, c.title.as_str()))
        .collect();
    assert_eq!(
        titles,
        [
            (0, "2026-11-22T14:00:05.000Z"),
            (540_000, "2026-11-22T14:00:01.000Z"),
        ]
    );
    // Instants lie where their part does; what no part holds lies nowhere.
    let position = |at| montage.position_of(time(at)).map(|at| at.as_millis());
    assert_eq!(
        [position(1), position(5), position(9)],
        [Some(6_000), Some(0), Some(4_000)]
    );
    assert_eq!([position(2), position(11), position(0)], [None; 3]);
    // Joined once more, it is a part as any other.
    let again = Clip::montage([montage.clone(), parts[1].clone()]).unwrap();
    assert_eq!(again.duration_ms, 7_200);
    assert_eq!(
        again.gaps,
        montage
            .gaps
            .iter()
            .map(|gap| Gap {
                behind: None,
                ..gap.clone()
            })
            .collect::<Vec<_>>()
    );
    assert_eq!(again.chapters().len(), 3);
    assert_eq!(again.warnings, ["part 1: part 1: damaged"]);
}

#[test]
fn a_track_that_does_not_fit_is_named() {
    let mut timeline = Timeline::new();
    timeline.push(info(0), segment([video(0, 50, 25), audio(0, 83)]));
    let pictures = clip(&timeline, 0, 90_000, Cut::Exact);
    let mut other = pictures.clone();
    {
        let movie = Arc::make_mut(&mut other.movie);
        movie.tracks[1].timescale = 44_100;
    }
    let error = Clip::montage([pictures.clone(), other.clone()]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "part 2, track 2 (audio): a timescale of 44100, where 48000 goes before"
    );
    Arc::make_mut(&mut other.movie).tracks.truncate(1);
    let montage = Clip::montage([pictures.clone(), other.clone(), pictures.clone()]).unwrap();
    assert_eq!(
        montage.warnings,
        ["part 2: it has no audio (MPEG audio layer II)"]
    );
    let sound = heard(&montage.movie.tracks[1]);
    assert!(sound.iter().all(|(at, (segment, ..))| match segment {
        0 => *at < 90_000 + SOUND,
        _ => *at >= 180_000 - SOUND,
    }));
    let languages = |codes: [&[u8]; 2]| {
        let parts = codes.map(|code| {
            let mut part = pictures.clone();
            let movie = Arc::make_mut(&mut part.movie);
            movie.tracks[1].language = Language::from_bytes(code);
            part
        });
        Clip::montage(parts).map(|montage| montage.tracks[1].language.to_string())
    };
    assert_eq!(languages([b"und", b"deu"]).unwrap(), "deu");
    assert_eq!(languages([b"deu", b"und"]).unwrap(), "deu");
    assert_eq!(
        languages([b"deu", b"eng"]).unwrap_err().to_string(),
        "part 2, track 2 (audio): language eng, where deu goes before"
    );
    let none: [Clip; 0] = [];
    assert_eq!(Clip::montage(none).unwrap_err(), MontageError::NoParts);
    let nothing = Clip::nothing("no".to_owned());
    let error = Clip::montage([pictures, nothing]).unwrap_err();
    assert_eq!(error, MontageError::Empty { part: 1 });
}

/// A named chapter replaces one that a part has at its beginning.
#[test]
fn chapters_of_parts_are_kept() {
    let mut timeline = Timeline::new();
    timeline.push(info(0), segment([video(0, 50, 25), audio(0, 83)]));
    let mut part = clip(&timeline, 0, 90_000, Cut::Exact);
    part.add_chapter(std::time::Duration::ZERO, "own");
    part.add_chapter(std::time::Duration::from_millis(500), "later");
    let named = MontagePart {
        clip: part.clone(),
        title: Some("named".to_owned()),
    };
    let montage = Clip::montage([MontagePart::from(part), named]).unwrap();
    let chapters: Vec<_> = montage
        .chapters()
        .iter()
        .map(|c| (c.at, c.title.as_str()))
        .collect();
    assert_eq!(
        chapters,
        [
            (0, "own"),
            (45_000, "later"),
            (90_000, "own"),
            (135_000, "later"),
            (90_000, "named")
        ]
    );
}

/// Of parts with other parameter sets, what is shown is on time, and what is hidden takes the last ticks
/// before a part.
#[test]
fn parts_with_other_parameter_sets_need_one_edit() {
    let timeline = stream(0, 4, 50, 0);
    let part = |from: i64, to: i64, header: &'static [u8]| {
        let mut part = clip(&timeline, (2 + from) * FRAME, (2 + to) * FRAME, Cut::Exact);
        let movie = Arc::make_mut(&mut part.movie);
        let mut config = movie.tracks[0].configs[0].as_ref().clone();
        if let CodecConfig::Mpeg2Video(config) = &mut config {
            config.sequence_header = header.into();
        }
        movie.tracks[0].configs[0] = Arc::new(config);
        part
    };
    let parts = [
        part(10, 31, b"a"),
        part(77, 120, b"b"),
        part(20, 21, b"a"),
        part(60, 62, b"c"),
    ];
    let montage = Clip::montage(parts.clone()).unwrap();
    assert_eq!(montage.warnings.len(), 1);
    let video = &montage.movie.tracks[0];
    assert_eq!((video.edits.len(), video.configs.len()), (1, 3));
    let seen = shown(video);
    let (mut begin, mut segments) = (0, 0);
    for part in &parts {
        for due in moved(shown(&part.movie.tracks[0]), begin, segments) {
            assert!(seen.contains(&due), "{due:?}");
        }
        begin += part.length();
        segments += part.segments.len() as u32;
    }
    let timed = timed(video);
    assert!(timed.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(timed.iter().find(|(dts, pts, _)| dts > pts), None);
}

#[test]
fn nothing_drifts_over_hundreds_of_joins() {
    let timeline = stream(0, 20, 50, 777);
    let windows = (0..400_i64).map(|n| {
        let from = 2 * FRAME + (n * 7_919) % 3_000_000;
        clip(
            &timeline,
            from,
            from + 20_000 + (n * 104_729) % 60_000,
            Cut::Exact,
        )
    });
    check(&windows.collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_frame_is_where_it_was(
        gops in prop::collection::vec((1usize..60, 0i64..90_000, -3_000i64..3_000), 1..4),
        windows in prop::collection::vec((0usize..4, 0i64..1_000_000, 1i64..400_000, 0usize..3), 1..8),
    ) {
        let streams: Vec<Timeline> = gops
            .iter()
            .map(|(gop, start, late)| stream(*start, 7, *gop, *late))
            .collect();
        let parts: Vec<Clip> = windows
            .iter()
            .filter_map(|&(stream, from, length, cut)| {
                let timeline = &streams[stream % streams.len()];
                let start = gops[stream % streams.len()].1 + from;
                let bounds = Bounds { from: Some(start), to: Some(start + length) };
                let cut = [Cut::Exact, Cut::Keyframe, Cut::Segment][cut];
                let clip = Clip::new(timeline, bounds, cut)?;
                (clip.tracks.len() == 2).then_some(clip)
            })
            .collect();
        prop_assume!(!parts.is_empty());
        check(&parts);
    }
}
