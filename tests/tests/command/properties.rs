//! What holds for any stream and any window.

use std::time::Duration;

use clipmill::{Clip, ClipRequest, Cut, Format, TimeSpec, WindowRequest};
use clipmill_fuzz::{Memory, cut, sound_file, ts_sequence};
use clipmill_tests::writer::{Plan, Segment, Unit};
use clipmill_tests::{es, mp4, ts};
use proptest::prelude::*;

fn plans() -> impl Strategy<Value = Plan> {
    let shape = (2usize..6, 1usize..16, 0usize..3, any::<bool>(), 1usize..3);
    let ticks = prop_oneof![
        Just(3_600u64),
        Just(3_003),
        Just(1_800),
        Just(1_501),
        Just(7_500)
    ];
    let start = prop_oneof![Just(126_000u64), Just(0), (1 << 33) - 900_000..(1u64 << 33)];
    let sound = (any::<bool>(), 1usize..8, 0u64..40_000);
    // Most encoders are right; some are late by a few pictures, or by a part of one.
    let late = prop_oneof![3 => Just(0u64), 1 => 0u64..5, 1 => 0u64..20_000];
    let more = (any::<bool>(), 0usize..400, any::<bool>(), late);
    (shape, ticks, start, sound, more).prop_map(|(shape, picture_ticks, start, sound, more)| {
        let (groups, group, reorder, delimiters, slices) = shape;
        let (with_sound, frames_per_pes, sound_delay) = sound;
        Plan {
            groups,
            group,
            picture_ticks,
            reorder: reorder > 0,
            slices,
            delimiters: delimiters || slices > 1,
            sound: with_sound || more.0,
            frames_per_pes,
            sound_delay,
            start,
            weight: more.1,
            sets_once: more.2,
            late: if more.3 < 5 {
                more.3 * picture_ticks
            } else {
                more.3
            },
        }
    })
}

fn modes() -> impl Strategy<Value = Cut> {
    prop_oneof![Just(Cut::Exact), Just(Cut::Keyframe), Just(Cut::Segment)]
}

/// From and to, as parts of the whole in thousandths.
fn window(plan: &Plan, from: u32, to: u32) -> WindowRequest {
    let whole = plan.segment_duration() * u32::try_from(plan.groups).unwrap();
    // Playlists, and so windows, are exact to the millisecond.
    let at = |part: u32| Duration::from_millis((whole * part / 1000).as_millis() as u64);
    WindowRequest {
        from: Some(TimeSpec::FromStart(at(from))),
        to: Some(TimeSpec::FromStart(at(to))),
        ..WindowRequest::default()
    }
}

/// The access units that came out, as positions in what went in.
struct Found {
    video: Vec<usize>,
    audio: Vec<usize>,
}

/// Reads a clip back and compares every sample with the unit that it is. Pictures are its first track.
fn read_back(plan: &Plan, segments: &[Segment], file: &[u8]) -> Found {
    let movie = mp4::read(file).unwrap();
    let mut found = Found {
        video: Vec::new(),
        audio: Vec::new(),
    };
    // Media time less presentation timestamp, in seconds, for each track.
    let mut shifts = Vec::new();
    for track in &movie.tracks {
        let units: Vec<&Unit> = if track.is_video() {
            segments.iter().flat_map(|segment| &segment.video).collect()
        } else {
            segments.iter().flat_map(|segment| &segment.audio).collect()
        };
        let ticks = 90_000.0 / f64::from(track.timescale);
        let mut positions: Vec<usize> = Vec::new();
        for (n, sample) in track.samples.iter().enumerate() {
            let data = track.data(file, n);
            let content: Vec<&[u8]> = if track.is_video() {
                let nals = es::length_prefixed(data).unwrap();
                nals.into_iter()
                    .filter(|nal| es::is_content(ts::Kind::H264, nal))
                    .collect()
            } else {
                vec![data]
            };
            let next = positions.last().map_or(0, |last| last + 1);
            let ahead = units[next..]
                .iter()
                .position(|unit| content.iter().eq(unit.content.iter()));
            let Some(ahead) = ahead else {
                panic!(
                    "sample {n} of track {} is no unit, or comes again",
                    track.id
                );
            };
            let unit = units[next + ahead];
            assert_eq!(sample.sync, unit.key);
            positions.push(next + ahead);
        }
        let offset =
            |n: usize| track.samples[n].pts as f64 - units[positions[n]].pts as f64 / ticks;
        let offsets: Vec<f64> = (0..positions.len()).map(offset).collect();
        let base = offsets.iter().copied().fold(f64::INFINITY, f64::min);
        for (n, sample) in track.samples.iter().enumerate() {
            let more = offsets[n] - base;
            let shown = track.presented(sample.pts, movie.timescale);
            // Sound is rounded to its own clock, video not at all. In the middle of a picture a clip begins
            // with that picture.
            let begins = track.is_video() && shown == Some(0.0) && more < plan.picture_ticks as f64;
            let tolerance = if track.is_video() { 0.0 } else { 2.0 };
            assert!(begins || more <= tolerance, "sample {n} is {more} late");
        }
        let run = positions.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert!(run, "units are missing inside track {}", track.id);
        let shown = track.samples.iter().find_map(|sample| {
            let shown = track.presented(sample.pts, movie.timescale)?;
            Some(shown - (sample.pts as f64 - base) / f64::from(track.timescale))
        });
        shifts.extend(shown);
        if track.is_video() {
            found.video = positions;
        } else {
            found.audio = positions;
        }
    }
    if let [picture, sound] = shifts[..] {
        let off = (picture - sound) * 1000.0;
        // A picture that is there alone may have begun before the window: with no other beside it, nothing
        // says how long before.
        let unknown = match found.video.len() {
            1 => plan.picture_ticks as f64 / 90.0,
            _ => 0.0,
        };
        assert!(
            off > -0.1 && off < unknown + 0.1,
            "sound and picture are {off} ms apart ({plan:?})"
        );
    }
    found
}

fn request(window: WindowRequest, cut: Cut) -> ClipRequest {
    ClipRequest::new(window).with_cut(cut)
}

fn both_forms(plan: &Plan, segments: &[Segment], memory: &Memory, clip: &Clip) -> Found {
    let fragmented = sound_file(memory, clip, Format::Fmp4);
    let other = read_back(plan, segments, &fragmented);
    let found = read_back(plan, segments, &sound_file(memory, clip, Format::Mp4));
    assert_eq!(found.video, other.video);
    assert_eq!(found.audio, other.audio);
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// A clip of everything holds everything.
    #[test]
    fn the_whole_stream_comes_out(plan in plans()) {
        let segments = plan.segments();
        let memory = Memory::stream(&plan, &segments);
        let clip = cut(&memory, &ClipRequest::default()).unwrap();
        prop_assert_eq!(&clip.warnings, &Vec::<String>::new());
        let found = both_forms(&plan, &segments, &memory, &clip);
        prop_assert_eq!(found.video.len(), plan.groups * plan.group);
        let audio: usize = segments.iter().map(|segment| segment.audio.len()).sum();
        prop_assert_eq!(found.audio.len(), audio);
    }

    /// Any window in any mode holds each access unit at most once, in order, without holes, and
    /// with the differences of timestamps that went in.
    #[test]
    fn any_window_is_one_stretch(
        plan in plans(), mode in modes(), from in 0u32..1000, len in 1u32..1000,
    ) {
        let segments = plan.segments();
        let memory = Memory::stream(&plan, &segments);
        let window = window(&plan, from, (from + len).min(1000));
        let edges = (window.from, window.to);
        match cut(&memory, &request(window, mode)) {
            Ok(clip) => {
                let found = both_forms(&plan, &segments, &memory, &clip);
                prop_assert!(!found.video.is_empty());
            }
            // From one key frame to the next there may be none; and a window of less than a frame
            // may lie between two.
            Err(error) => {
                let (Some(TimeSpec::FromStart(from)), Some(TimeSpec::FromStart(to))) = edges else {
                    return Ok(());
                };
                let frame = Duration::from_micros(plan.picture_ticks * 100 / 9);
                // A segment of one picture does not say how long that lasts.
                let unsure = mode == Cut::Segment && plan.group == 1;
                prop_assert!(mode == Cut::Keyframe || to - from < frame || unsure, "{}", error);
            }
        }
    }

    /// Exact clips present exactly the frames of their window.
    #[test]
    fn an_exact_clip_presents_its_window(
        plan in plans(), from in 0u32..1000, len in 1u32..1000,
    ) {
        let segments = plan.segments();
        let memory = Memory::stream(&plan, &segments);
        let window = window(&plan, from, (from + len).min(1000));
        let (Some(TimeSpec::FromStart(from)), Some(TimeSpec::FromStart(to))) = (window.from, window.to) else {
            return Ok(());
        };
        let first = segments[0].video.iter().map(|unit| unit.pts).min().unwrap();
        let instant = |unit: &Unit| (unit.pts - first) as f64 / 90.0;
        let (from, to) = (from.as_secs_f64() * 1000.0, to.as_secs_f64() * 1000.0);
        let Ok(clip) = cut(&memory, &request(window, Cut::Exact)) else { return Ok(()) };
        let file = sound_file(&memory, &clip, Format::Mp4);
        let movie = mp4::read(&file).unwrap();
        let track = movie.tracks.iter().find(|track| track.is_video()).unwrap();
        let shown = track.samples.iter().filter(|s| track.presented(s.pts, movie.timescale).is_some());
        let shown = shown.count();
        let units = segments.iter().flat_map(|segment| &segment.video);
        // A frame at an edge may go either way: windows are in milliseconds, frames are not.
        let inside = |slack: f64| units.clone().filter(|unit| {
            let at = instant(unit);
            at >= from - slack && at < to + slack
        }).count();
        let duration = plan.picture_ticks as f64 / 90.0;
        prop_assert!(
            (inside(-1.5)..=inside(duration)).contains(&shown),
            "{} frames are shown, {} to {} lie in {}..{} ms", shown, inside(-1.5), inside(duration), from, to
        );
    }

    /// Back-to-back key frame windows share no access unit and lose none.
    #[test]
    fn keyframe_windows_partition_the_stream(
        plan in plans(), mut edges in prop::collection::vec(1u32..1000, 0..5),
    ) {
        let segments = plan.segments();
        let memory = Memory::stream(&plan, &segments);
        // An edge before the first picture would give the sound before it to a clip of nothing.
        let whole = plan.segment_duration() * u32::try_from(plan.groups).unwrap();
        edges.retain(|part| (whole * *part / 1000).as_millis() > 0);
        edges.extend([0, 1000]);
        edges.sort_unstable();
        edges.dedup();
        let (mut video, mut audio) = (Vec::new(), Vec::new());
        for (n, pair) in edges.windows(2).enumerate() {
            let mut window = window(&plan, pair[0], pair[1]);
            if n == 0 {
                window.from = None;
            }
            if n + 2 == edges.len() {
                window.to = None;
            }
            let Ok(clip) = cut(&memory, &request(window, Cut::Keyframe)) else { continue };
            let file = sound_file(&memory, &clip, Format::Mp4);
            let found = read_back(&plan, &segments, &file);
            let movie = mp4::read(&file).unwrap();
            prop_assert!(movie.tracks.iter().all(|track| track.samples[0].sync));
            video.extend(found.video);
            audio.extend(found.audio);
        }
        prop_assert!(video.iter().copied().eq(0..plan.groups * plan.group), "{:?}", video);
        let frames: usize = segments.iter().map(|segment| segment.audio.len()).sum();
        prop_assert!(audio.iter().copied().eq(0..frames), "{:?} of {}", audio, frames);
    }

    /// Whatever is lost on the way, what is left is a sound MP4.
    #[test]
    fn any_loss_leaves_a_sound_file(accidents in prop::collection::vec(any::<u8>(), 0..120)) {
        ts_sequence(&accidents);
    }
}
