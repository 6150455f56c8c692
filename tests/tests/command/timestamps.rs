//! What senders do to timestamps, and what a clip makes of it: every picture is shown when it should
//! be, once, in step with the sound.

use std::fs;
use std::path::{Path, PathBuf};

use clipmill_tests::binary::{clipmill, root};
use clipmill_tests::mp4::{self, Movie, Track};
use clipmill_tests::mux;
use clipmill_tests::ts::Pes;
use clipmill_tests::writer::timestamp;
use serde_json::Value;

/// Ticks of a picture of the demo stream.
const FRAME: u64 = 3_600;

/// The first segments of the demo stream, two seconds each.
fn demo(count: usize) -> Vec<Vec<u8>> {
    let read = |n| fs::read(root().join(format!("fixtures/demo/seg{n:02}.ts"))).unwrap();
    (0..count).map(read).collect()
}

/// A segment with the PES packets of its pictures changed.
fn with_pictures(segment: &[u8], change: impl FnOnce(&mut Vec<Pes>)) -> Vec<u8> {
    let mut streams = mux::streams(segment);
    change(
        &mut streams
            .iter_mut()
            .find(|one| one.stream_type == 0x1b || one.stream_type == 0x24)
            .unwrap()
            .pes,
    );
    mux::segment(&streams)
}

/// Decoding times that rise evenly, and run late by so many pictures more than they should.
fn late(segment: &[u8], pictures: u64) -> Vec<u8> {
    with_pictures(segment, |pes| {
        for one in pes {
            one.dts = Some(one.dts.or(one.pts).unwrap() + pictures * FRAME);
        }
    })
}

/// Writes segments and a playlist of them; `tags` are lines before the segment of that number.
fn playlist(folder: &Path, segments: &[Vec<u8>], tags: &[(usize, &str)]) -> PathBuf {
    let names: Vec<String> = (0..segments.len()).map(|n| format!("{n}.ts")).collect();
    for (name, segment) in names.iter().zip(segments) {
        fs::write(folder.join(name), segment).unwrap();
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    listing(folder, &names, tags)
}

fn listing(folder: &Path, names: &[&str], tags: &[(usize, &str)]) -> PathBuf {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n".to_owned();
    for (number, name) in names.iter().enumerate() {
        for (_, tag) in tags.iter().filter(|(at, _)| *at == number) {
            text += &format!("{tag}\n");
        }
        text += &format!("#EXTINF:2.0,\n{name}\n");
    }
    let path = folder.join("index.m3u8");
    fs::write(&path, text + "#EXT-X-ENDLIST\n").unwrap();
    path
}

/// Cuts, and gives the report and the file.
fn cut(input: &Path, more: &[&str]) -> (Value, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("clip.mp4");
    let args = [
        "cut",
        input.to_str().unwrap(),
        "-o",
        out.to_str().unwrap(),
        "--json",
    ];
    let report = clipmill(args.iter().chain(more)).expect(0).json();
    let file = fs::read(&out).unwrap();
    assert_eq!(mp4::read(&file).unwrap().faults(&file), [""; 0]);
    (report, file)
}

fn warnings(report: &Value) -> Vec<&str> {
    let warnings = report["warnings"].as_array().unwrap();
    warnings.iter().map(|one| one.as_str().unwrap()).collect()
}

fn video(movie: &Movie) -> &Track {
    movie.tracks.iter().find(|track| track.is_video()).unwrap()
}

/// When pictures are shown, in ticks from the first one on, in that order.
fn shown(file: &[u8]) -> Vec<i64> {
    let movie = mp4::read(file).unwrap();
    let track = video(&movie);
    let times = track.samples.iter();
    let times = times.filter_map(|sample| track.presented(sample.pts, movie.timescale));
    let mut times: Vec<i64> = times.map(|time| (time * 90_000.0).round() as i64).collect();
    times.sort_unstable();
    let first = times[0];
    times.iter().map(|time| time - first).collect()
}

fn evenly(count: usize) -> Vec<i64> {
    (0..count as i64).map(|n| n * FRAME as i64).collect()
}

#[test]
fn pictures_that_are_decoded_late_are_shown_in_time() {
    for by in 1..=5 {
        let folder = tempfile::tempdir().unwrap();
        let segments: Vec<_> = demo(4).iter().map(|one| late(one, by)).collect();
        let input = playlist(folder.path(), &segments, &[]);
        for format in ["mp4", "fmp4"] {
            let (report, file) = cut(&input, &["--format", format]);
            assert_eq!(warnings(&report), [""; 0], "late by {by}");
            assert_eq!(report["discontinuities"], 0);
            assert_eq!(report["tracks"][0]["duration_ms"], 8_000);
            assert_eq!(shown(&file), evenly(200), "late by {by}, {format}");
        }
        // One segment by itself.
        let one = listing(folder.path(), &["1.ts"], &[]);
        let (report, file) = cut(&one, &[]);
        assert_eq!((warnings(&report), shown(&file)), (vec![], evenly(50)));
    }
}

/// In every mode, at every boundary between segments and in the middle of each, of both codecs: no
/// picture is lost or shown twice, and each is shown for its time.
#[test]
fn pictures_that_are_decoded_late_are_cut_where_they_are_shown() {
    for fixture in ["demo", "hevc"] {
        let folder = tempfile::tempdir().unwrap();
        let read = |n| fs::read(root().join(format!("fixtures/{fixture}/seg{n:02}.ts"))).unwrap();
        let segments: Vec<_> = (0..3).map(|n| late(&read(n), 3)).collect();
        let input = playlist(folder.path(), &segments, &[]);
        let (whole, file) = cut(&input, &["--cut", "segment"]);
        assert_eq!(warnings(&whole), [""; 0], "{fixture}");
        let count = shown(&file).len();
        assert_eq!(shown(&file), evenly(count), "{fixture}");
        for half in 1..6 {
            let edge = format!("+{half}s");
            for mode in ["exact", "keyframe", "segment"] {
                // No sync sample comes behind the last but one second.
                if mode == "keyframe" && half == 5 {
                    continue;
                }
                let (before, first) = cut(&input, &["--cut", mode, "--to", &edge]);
                let (after, second) = cut(&input, &["--cut", mode, "--from", &edge]);
                let name = format!("{fixture}, {mode} at {edge}");
                let (first, second) = (shown(&first), shown(&second));
                assert_eq!(first, evenly(first.len()), "{name}");
                assert_eq!(second, evenly(second.len()), "{name}");
                // The leading pictures of an open group are shown only behind others.
                if mode == "exact" || fixture == "demo" {
                    let twice = if mode == "segment" {
                        50 * (half % 2)
                    } else {
                        0
                    };
                    assert_eq!(first.len() + second.len(), count + twice, "{name}");
                }
                if mode == "exact" {
                    assert_eq!(first.len(), half * 25, "{name}");
                }
                for report in [before, after] {
                    assert_eq!(warnings(&report), [""; 0], "{name}");
                    assert_eq!(report["discontinuities"], 0, "{name}");
                }
            }
        }
    }
}

/// The boxes of a file of this kind: where their content begins, and where they end.
fn boxes(file: &[u8], kind: &[u8; 4]) -> Vec<(usize, usize)> {
    let word = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let at = (4..file.len() - 4).filter(|&at| &file[at..at + 4] == kind);
    at.map(|at| (at + 4, at - 4 + word(at - 4))).collect()
}

/// Negative composition offsets (ISO/IEC 14496-12, 8.8.8.2) in the tracks of `id`.
fn with_late_decoding(file: &[u8], id: u32, by: u32) -> Vec<u8> {
    let mut out = file.to_vec();
    let word = |out: &[u8], at: usize| u32::from_be_bytes(out[at..at + 4].try_into().unwrap());
    let mut changed = 0;
    for (begin, end) in boxes(file, b"traf") {
        let inside = |kind| {
            boxes(file, kind)
                .into_iter()
                .filter(|one| (begin..end).contains(&one.0))
        };
        let (tfhd, _) = inside(b"tfhd").next().unwrap();
        if word(file, tfhd + 4) != id {
            continue;
        }
        let (tfdt, _) = inside(b"tfdt").next().unwrap();
        let low = if file[tfdt] == 1 { tfdt + 8 } else { tfdt + 4 };
        let time = word(&out, low) + by;
        out[low..low + 4].copy_from_slice(&time.to_be_bytes());
        for (trun, _) in inside(b"trun") {
            let flags = word(file, trun) & 0xff_ffff;
            assert!(flags & 0x800 != 0, "has composition offsets");
            out[trun] = 1;
            let fields = (flags >> 8 & 15).count_ones() as usize * 4;
            let head = 8 + (flags & 5).count_ones() as usize * 4;
            for sample in 0..word(file, trun + 4) as usize {
                let at = trun + head + sample * fields + fields - 4;
                let offset = word(&out, at) as i32 - by as i32;
                out[at..at + 4].copy_from_slice(&offset.to_be_bytes());
                changed += 1;
            }
        }
    }
    assert!(changed > 0);
    out
}

#[test]
fn fragments_that_are_decoded_late_are_shown_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let input = playlist(folder.path(), &demo(3), &[]);
    let (_, file) = cut(&input, &["--format", "fmp4"]);
    // As late as every B-picture, and later.
    for pictures in [2, 4] {
        let late = with_late_decoding(&file, 1, pictures * FRAME as u32);
        fs::write(folder.path().join("late.mp4"), late).unwrap();
        let input = listing(folder.path(), &["late.mp4"], &[]);
        let text = fs::read_to_string(&input).unwrap();
        fs::write(&input, text.replace(":2.0", ":6.0")).unwrap();
        for format in ["mp4", "fmp4"] {
            let (report, file) = cut(&input, &["--format", format]);
            assert_eq!((warnings(&report), shown(&file)), (vec![], evenly(150)));
            for (from, to) in [(1, 3), (2, 4), (3, 6)] {
                let window = [format!("+{from}s"), format!("+{to}s")];
                let more = ["--format", format, "--from", &window[0], "--to", &window[1]];
                let (report, file) = cut(&input, &more);
                let count = (to - from) * 25;
                assert_eq!((warnings(&report), shown(&file)), (vec![], evenly(count)));
            }
        }
    }
}

/// Pictures that are shown before the last ones of the segment before them, at a picture a second.
#[test]
fn a_segment_may_begin_with_pictures_of_the_group_before() {
    let folder = tempfile::tempdir().unwrap();
    let slow = |segment: &[u8]| {
        with_pictures(segment, |pes| {
            for one in pes {
                let slow = |time: u64| 126_000 + (time - 126_000) * 25;
                one.dts = Some(slow(one.dts.or(one.pts).unwrap()));
                one.pts = one.pts.map(slow);
            }
        })
    };
    let all: Vec<u8> = demo(2).concat();
    let whole = mux::streams(&slow(&all)).remove(0);
    // Parted wherever: before a B-picture as well.
    for at in 40..60 {
        let part = |pes: &[Pes]| {
            mux::segment(&[mux::Stream {
                pes: pes.to_vec(),
                ..whole.clone()
            }])
        };
        let segments = [part(&whole.pes[..at]), part(&whole.pes[at..])];
        let input = playlist(folder.path(), &segments, &[]);
        let (report, file) = cut(&input, &[]);
        assert_eq!(
            (warnings(&report), report["discontinuities"].as_u64()),
            (vec![], Some(0)),
            "{at}"
        );
        let wanted: Vec<i64> = evenly(100).into_iter().map(|time| time * 25).collect();
        assert_eq!(shown(&file), wanted, "{at}");
    }
}

/// Shifts the timestamps of some of the pictures of a segment, where they stand.
fn shift_pictures(segment: &mut [u8], numbers: &[usize], by: u64) {
    let mut number = 0;
    for packet in segment.chunks_exact_mut(188) {
        let (starts, pid) = (
            packet[1] & 0x40 != 0,
            u16::from(packet[1] & 31) << 8 | u16::from(packet[2]),
        );
        let at = match packet[3] & 0x20 {
            0 => 4,
            _ => 5 + usize::from(packet[4]),
        };
        if !starts || pid != 0x100 || packet[at..at + 4] != [0, 0, 1, 0xe0] {
            continue;
        }
        let fields = match packet[at + 7] >> 6 {
            3 => vec![(at + 9, 3), (at + 14, 1)],
            _ => vec![(at + 9, 2)],
        };
        for (at, prefix) in fields.into_iter().filter(|_| numbers.contains(&number)) {
            let field = &mut packet[at..at + 5];
            let bits = |byte: u8, by: u32| u64::from(byte >> 1) << by;
            let high = u64::from(field[0] >> 1 & 7) << 30 | u64::from(field[1]) << 22;
            let time = high | bits(field[2], 15) | u64::from(field[3]) << 7 | bits(field[4], 0);
            field.copy_from_slice(&timestamp(prefix, time + by));
        }
        number += 1;
    }
    assert_eq!(number, 50);
}

/// A single picture whose timestamps are of another day is no discontinuity.
#[test]
fn stray_timestamps_are_put_right() {
    let far = (1_u64 << 33) - 881_834_400;
    for by in [far, 300_000_000, 90_000 * 15, 90_000 * 3] {
        for stray in [&[10][..], &[10, 31], &[0], &[49], &[20, 21]] {
            let folder = tempfile::tempdir().unwrap();
            let segments = demo(3).into_iter().map(|mut segment| {
                shift_pictures(&mut segment, stray, by);
                segment
            });
            let segments: Vec<_> = segments.collect();
            let input = playlist(folder.path(), &segments, &[]);
            let (report, file) = cut(&input, &[]);
            let name = format!("{stray:?} by {by}");
            // Three seconds are no more than a pause, where nothing comes behind it.
            if by == 90_000 * 3 && stray == [49] {
                continue;
            }
            assert_eq!(shown(&file), evenly(150), "{name}: {report}");
            assert_eq!(report["discontinuities"], 0, "{name}");
            let said = warnings(&report);
            assert!(
                said.iter().all(|one| one.contains("stray timestamp")),
                "{said:?}"
            );
            assert_eq!(said.len(), 3, "{name}");
        }
    }
}

#[test]
fn sound_and_pictures_without_a_common_clock_begin_together() {
    for ahead in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let segments: Vec<_> = demo(3)
            .iter()
            .map(|segment| {
                let mut streams = mux::streams(segment);
                for one in &mut streams {
                    if (one.stream_type == 0x0f) == ahead {
                        for pes in &mut one.pes {
                            pes.pts = pes.pts.map(|pts| pts + 54_000_000);
                            pes.dts = pes.dts.map(|dts| dts + 54_000_000);
                        }
                    }
                }
                mux::segment(&streams)
            })
            .collect();
        let input = playlist(folder.path(), &segments, &[]);
        let (report, file) = cut(&input, &[]);
        assert_eq!(shown(&file), evenly(150));
        let duration = report["duration_ms"].as_u64().unwrap();
        assert!((5_990..6_100).contains(&duration), "{report}");
        let said = warnings(&report);
        let side = if ahead { "ahead of" } else { "behind" };
        assert!(
            said.len() == 1
                && said[0].contains(side)
                && ["599.9", "600.0"].iter().any(|by| said[0].contains(by)),
            "{said:?}"
        );
        let out = folder.path().join("strict.mp4");
        let args = [
            "cut",
            input.to_str().unwrap(),
            "-o",
            out.to_str().unwrap(),
            "--strict",
        ];
        clipmill(args).expect(3);
    }
}

/// What repeats byte for byte at the same timestamps is there once, however it is listed.
#[test]
fn nothing_is_there_twice() {
    let folder = tempfile::tempdir().unwrap();
    for (n, segment) in demo(4).iter().enumerate() {
        fs::write(folder.path().join(format!("{n}.ts")), segment).unwrap();
        fs::write(folder.path().join(format!("again-{n}.ts")), segment).unwrap();
    }
    let all = mux::streams(&demo(4).concat());
    let part = |range: std::ops::Range<u64>| {
        let inside = |pes: &&Pes| {
            let begin = 126_000 + range.start * 180_000;
            let end = 126_000 + range.end * 180_000;
            (begin..end).contains(&pes.dts.or(pes.pts).unwrap())
        };
        let streams: Vec<_> = all
            .iter()
            .map(|one| mux::Stream {
                pes: one.pes.iter().filter(inside).cloned().collect(),
                ..one.clone()
            })
            .collect();
        mux::segment(&streams)
    };
    // The last part of one is the beginning of the next.
    for (name, range) in [("a.ts", 0..2), ("b.ts", 1..3), ("c.ts", 2..4)] {
        fs::write(folder.path().join(name), part(range)).unwrap();
    }
    let (_, wanted) = cut(
        &listing(folder.path(), &["0.ts", "1.ts", "2.ts", "3.ts"], &[]),
        &[],
    );
    let counts = |file: &[u8]| {
        let movie = mp4::read(file).unwrap();
        let tracks = movie.tracks.iter();
        tracks.map(|track| track.samples.len()).collect::<Vec<_>>()
    };
    for names in [
        &["0.ts", "1.ts", "1.ts", "2.ts", "3.ts"][..],
        &["0.ts", "1.ts", "again-1.ts", "2.ts", "3.ts"],
        &["0.ts", "0.ts", "0.ts", "1.ts", "2.ts", "3.ts"],
        &["0.ts", "1.ts", "0.ts", "1.ts", "2.ts", "3.ts"],
        &["0.ts", "1.ts", "2.ts", "3.ts", "3.ts"],
        &["0.ts", "1.ts", "2.ts", "3.ts", "again-0.ts", "again-1.ts"],
        &["a.ts", "b.ts", "c.ts"],
    ] {
        let input = listing(folder.path(), names, &[]);
        for format in ["mp4", "fmp4"] {
            let (report, file) = cut(&input, &["--format", format]);
            assert_eq!(shown(&file), evenly(200), "{names:?}: {report}");
            assert_eq!(counts(&file), counts(&wanted), "{names:?}: {report}");
            assert_eq!(report["discontinuities"], 0, "{names:?}");
            let said = warnings(&report);
            assert!(!said.is_empty(), "{names:?}");
            assert!(
                said.iter().all(|one| one.contains("were there already")),
                "{said:?}"
            );
        }
    }
    // A loop that was meant.
    let looped = [(2, "#EXT-X-DISCONTINUITY"), (3, "#EXT-X-DISCONTINUITY")];
    let input = listing(
        folder.path(),
        &["0.ts", "1.ts", "1.ts", "2.ts", "3.ts"],
        &looped,
    );
    let (report, file) = cut(&input, &[]);
    assert_eq!((warnings(&report), shown(&file).len()), (vec![], 250));
    // Other media at the same timestamps.
    let other = with_pictures(&demo(2)[1], |pes| {
        for one in pes {
            let last = one.data.last_mut().unwrap();
            *last ^= 1;
        }
    });
    fs::write(folder.path().join("other.ts"), other).unwrap();
    let input = listing(folder.path(), &["0.ts", "1.ts", "other.ts", "2.ts"], &[]);
    let (report, file) = cut(&input, &[]);
    assert_eq!(shown(&file).len(), 200, "{report}");
}

/// A clip that begins in the middle of a picture shows it from its first instant on, in players too.
#[test]
fn a_clip_may_begin_in_the_middle_of_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    // A picture in five seconds, and sound beside it.
    let slow = |segment: &[u8], from: u64| {
        let mut streams = mux::streams(segment);
        for one in &mut streams {
            if one.stream_type == 0x1b {
                one.pes.truncate(1);
            }
            for pes in &mut one.pes {
                let move_to = |time: u64| time - 126_000 + from;
                pes.pts = pes.pts.map(move_to);
                pes.dts = pes.dts.map(move_to);
            }
        }
        mux::segment(&streams)
    };
    let segments: Vec<_> = (0..3)
        .map(|n| slow(&demo(1)[0], 126_000 + n * 450_000))
        .collect();
    let input = playlist(folder.path(), &segments, &[]);
    let text = fs::read_to_string(&input).unwrap();
    fs::write(
        &input,
        text.replace("2.0", "5.0")
            .replace("TARGETDURATION:3", "TARGETDURATION:5"),
    )
    .unwrap();
    for format in ["mp4", "fmp4"] {
        for (from, to, wanted) in [
            ("+1s", "+4s", vec![0]),
            ("+3s", "+9s", vec![0, 2]),
            ("+7s", "+12s", vec![0, 3]),
        ] {
            let (report, file) = cut(&input, &["--format", format, "--from", from, "--to", to]);
            let wanted: Vec<i64> = wanted.iter().map(|second| second * 90_000).collect();
            assert_eq!(shown(&file), wanted, "{from}: {report}");
            let movie = mp4::read(&file).unwrap();
            let first = video(&movie).presented(video(&movie).samples[0].pts, movie.timescale);
            assert_eq!(first, Some(0.0), "{from}");
        }
    }
}

/// What changed, and when.
#[test]
fn a_codec_that_changes_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let hevc = fs::read(root().join("fixtures/hevc/seg00.ts")).unwrap();
    let mut segments = demo(2);
    segments.push(hevc);
    let input = playlist(folder.path(), &segments, &[(2, "#EXT-X-DISCONTINUITY")]);
    let (report, _) = cut(&input, &[]);
    let said = warnings(&report);
    let wanted = "segment 2.ts (sequence 2): H.264 changes to H.265 at 4.0";
    assert!(said.len() == 1 && said[0].starts_with(wanted), "{said:?}");
}

/// The media that was made for this, where it is at hand.
#[test]
fn inputs_of_the_field() {
    let inputs = root().join("../shared/field/inputs");
    if !inputs.is_dir() {
        println!("skipped: no {}", inputs.display());
        return;
    }
    for name in [
        "outlier/dvr.m3u8",
        "outlier/past.m3u8",
        "time-bases/wsplit.m3u8",
    ] {
        let (report, file) = cut(&inputs.join(name), &[]);
        assert_eq!(shown(&file), evenly(200), "{name}");
        assert_eq!(report["duration_ms"], 8_021, "{name}");
        assert_eq!(report["discontinuities"], 0, "{name}");
        let movie = mp4::read(&file).unwrap();
        let begins = |track: &Track| {
            let first = track.samples.iter();
            let mut shown = first.filter_map(|one| track.presented(one.pts, movie.timescale));
            shown.next().unwrap()
        };
        let starts: Vec<f64> = movie.tracks.iter().map(begins).collect();
        assert!((starts[0] - starts[1]).abs() < 0.03, "{name}: {starts:?}");
    }
    let slides = inputs.join("long-picture/i.m3u8");
    for (from, to, wanted) in [
        ("+11s", "+14s", vec![0]),
        ("+3s", "+17s", vec![0, 2, 7, 12]),
    ] {
        for format in ["mp4", "fmp4"] {
            let (_, file) = cut(&slides, &["--format", format, "--from", from, "--to", to]);
            let wanted: Vec<i64> = wanted.iter().map(|second| second * 90_000).collect();
            assert_eq!(shown(&file), wanted, "{from} as {format}");
        }
    }
}
