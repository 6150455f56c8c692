//! Several windows in one file: what a player shows of it is what it shows of each, one after the
//! other.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clipmill::{BoundClip, ClipRequest, Cut, Format, Input, WindowRequest};
use clipmill_tests::binary::root;
use clipmill_tests::tools;

use crate::players::{PLAY, browser_at};

fn fixture(name: &str) -> Input<'static> {
    Input::playlist(root().join("fixtures").join(name))
}

fn request(from: &str, to: &str, cut: Cut) -> ClipRequest {
    ClipRequest::new(WindowRequest {
        from: Some(from.parse().unwrap()),
        to: Some(to.parse().unwrap()),
        ..WindowRequest::default()
    })
    .with_cut(cut)
}

/// The lines of `framemd5`: when each frame is due, in seconds, and its hash.
fn frames(file: &Path, stream: &str, more: &[&str]) -> Vec<(f64, String)> {
    let file = file.to_str().unwrap();
    let mut args = vec![
        "-xerror",
        "-i",
        file,
        "-map",
        stream,
        "-vsync",
        "passthrough",
    ];
    args.extend(["-autoscale", "0"]);
    args.extend(more);
    args.extend(["-f", "framemd5", "-"]);
    let run = tools::ffmpeg(args);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{file}");
    let text = String::from_utf8(run.stdout).unwrap();
    let base = text.lines().find_map(|line| line.strip_prefix("#tb 0: "));
    let (num, den) = base.unwrap().split_once('/').unwrap();
    let tick = num.parse::<f64>().unwrap() / den.parse::<f64>().unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let mut fields = row.split(',').map(str::trim);
        let pts: f64 = fields.nth(2).unwrap().parse().unwrap();
        // Behind the hash of the frame there may be those of what goes with it.
        (pts * tick, fields.nth(2).unwrap().to_owned())
    })
    .collect()
}

/// When each picture is shown, in seconds.
fn times(file: &Path) -> Vec<f64> {
    let seen = tools::ffprobe(file, &["-select_streams", "v:0", "-show_frames"]);
    let frames = seen["frames"].as_array().unwrap().iter();
    let times = frames.map(|frame| frame["pts_time"].as_str().unwrap().parse().unwrap());
    times.collect()
}

/// The same frames, in the same order, and no other.
fn same(seen: &[(f64, String)], due: &[(f64, String)]) {
    assert_eq!(seen.len(), due.len());
    for (number, (seen, due)) in seen.iter().zip(due).enumerate() {
        assert_eq!(seen.1, due.1, "frame {number}");
    }
}

/// Joins these clips in a file, and holds what ffmpeg makes of it against what it makes of each.
fn check(folder: &Path, parts: Vec<BoundClip<'_>>) -> PathBuf {
    let path = folder.join("part.mp4");
    let mut pictures = Vec::new();
    let mut shown = Vec::new();
    let mut packets = Vec::new();
    let mut begins = Vec::new();
    let mut begin = 0.0;
    for part in &parts {
        part.write_to_path(&path).unwrap();
        pictures.extend(frames(&path, "0:v:0", &[]));
        shown.extend(times(&path).into_iter().map(|at| begin + at));
        let own = frames(&path, "0:a:0", &["-c", "copy"]);
        packets.extend(own.into_iter().map(|(at, hash)| (begin + at, hash)));
        begins.push(begin);
        begin += part.clip().duration_ms as f64 / 1000.0;
    }
    let count = parts.len();
    let montage = BoundClip::montage(parts.into_iter().map(|part| (part, None))).unwrap();
    assert_eq!(montage.clip().chapters().len(), count);
    let path = folder.join("montage.mp4");
    montage.write_to_path(&path).unwrap();
    let seen = frames(&path, "0:v:0", &[]);
    same(&seen, &pictures);
    // Lengths of parts were added to the millisecond here.
    let near = 0.001 * count as f64;
    for (seen, due) in times(&path).iter().zip(&shown) {
        assert!((seen - due).abs() < near, "{seen} is due at {due}");
    }
    let seen = frames(&path, "0:a:0", &["-c", "copy"]);
    same(&seen, &packets);
    for (seen, due) in seen.iter().zip(&packets) {
        assert!(
            (seen.0 - due.0).abs() < 0.0125 + near,
            "{seen:?} is due at {due:?}"
        );
    }
    let chapters = tools::ffprobe(&path, &["-show_chapters"]);
    let chapters = chapters["chapters"].as_array().unwrap().iter();
    let starts: Vec<f64> = chapters
        .map(|chapter| chapter["start_time"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(starts.len(), begins.len());
    for (seen, due) in starts.iter().zip(&begins) {
        assert!((seen - due).abs() < near, "{starts:?}");
    }
    path
}

#[test]
fn ffmpeg_shows_each_frame_of_each_window() {
    if !tools::installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for cut in [Cut::Exact, Cut::Keyframe, Cut::Segment] {
        let input = fixture("demo/index.m3u8");
        let windows = [
            ("+5.28s", "+7.6s"),
            ("+11.04s", "+12.92s"),
            ("+1s", "+4.48s"),
        ];
        let parts = windows.map(|(from, to)| input.clip(&request(from, to, cut)).unwrap());
        check(folder.path(), parts.to_vec());
    }
}

/// Windows of a picture, of two, of nearly a group, at any place in it; the same twice.
#[test]
fn short_windows_at_any_place_are_exact() {
    if !tools::installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Those of H.265 begin with CRA pictures.
    for name in ["demo/index.m3u8", "hevc/index.m3u8"] {
        let input = fixture(name);
        let parts: Vec<_> = (0..14_u32)
            .map(|n| {
                let from = 0.04 * f64::from(n * 7 % 60);
                let to = from + 0.04 * f64::from(1 + n * 5 % 31);
                let window = request(&format!("+{from:.2}s"), &format!("+{to:.2}s"), Cut::Exact);
                input.clip(&window).unwrap()
            })
            .collect();
        check(folder.path(), parts);
    }
}

#[test]
fn chromium_plays_over_a_join() {
    if !tools::installed(&["ffmpeg", "ffprobe", "chromium", "chromedriver"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (server, browser) = browser_at(folder.path());
    let input = fixture("demo/index.m3u8");
    for cut in [Cut::Exact, Cut::Keyframe] {
        for format in [Format::Mp4, Format::Fmp4] {
            let windows = [("+5.28s", "+8.4s"), ("+12.44s", "+15.48s")];
            let parts =
                windows.map(|(from, to)| (input.clip(&request(from, to, cut)).unwrap(), None));
            let montage = BoundClip::montage(parts).unwrap();
            let name = format!("{cut:?}-{format:?}.mp4");
            montage.write_as(format, folder.path().join(&name)).unwrap();
            let join = montage.clip().chapters()[1].at as f64 / 90_000.0;
            let place = format!("{:.3}", join - 0.3);
            let seen = browser.run(PLAY, &[&server.url(&name), &place]);
            assert!(seen.get("error").is_none(), "{name}: {seen}");
            let duration = seen["duration"].as_f64().unwrap();
            let due = montage.clip().duration_ms as f64 / 1000.0;
            // The `sidx` counts what the first edit hides.
            assert!((duration - due).abs() < 1.3, "{name}: {seen}, {due} long");
            let (sound, pictures) = (&seen["sound"], &seen["pictures"]);
            assert!(sound == true && pictures == true, "{name}: {seen}");
        }
    }
}

/// Pictures of another size and sound of other channels are other sample descriptions of one track.
#[test]
fn streams_of_other_sizes_go_on_in_each_other() {
    if !tools::installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let inputs = [
        "ladder/master.m3u8",
        "demo/index.m3u8",
        "change/index.m3u8",
        "ladder/90p.m3u8",
    ];
    let inputs = inputs.map(fixture);
    let windows = [
        ("+1s", "+4.6s"),
        ("+7.4s", "+8.52s"),
        ("+1.2s", "+5.8s"),
        ("+0.04s", "+2.4s"),
    ];
    let cut = |cut: Cut| {
        let parts = inputs.iter().zip(windows);
        let parts = parts.map(|(input, (from, to))| input.clip(&request(from, to, cut)).unwrap());
        parts.collect::<Vec<_>>()
    };
    let path = check(folder.path(), cut(Cut::Keyframe));
    let streams = tools::ffprobe(&path, &["-show_streams"]);
    let shown = streams["streams"].as_array().unwrap().iter();
    let shown = shown.filter(|stream| stream["codec_type"] != "data");
    assert_eq!(shown.count(), 2);

    // Cut exactly, what is hidden is shown for a tick. Every picture is there all the same, and decodes.
    let mut due = Vec::new();
    for part in cut(Cut::Exact) {
        part.write_to_path(&path).unwrap();
        due.extend(frames(&path, "0:v:0", &[]));
    }
    let parts = cut(Cut::Exact).into_iter().map(|part| (part, None));
    let montage = BoundClip::montage(parts).unwrap();
    assert_eq!(montage.clip().warnings.len(), 1);
    montage.write_to_path(&path).unwrap();
    let seen = frames(&path, "0:v:0", &[]);
    let mut rest = seen.iter();
    for (number, (_, hash)) in due.iter().enumerate() {
        assert!(rest.any(|seen| seen.1 == *hash), "picture {number}");
    }
}

/// What is read back range by range is what is written, from the sources of all parts.
#[test]
fn a_reader_reads_from_the_inputs_of_all_parts() {
    let folder = tempfile::tempdir().unwrap();
    // Each may read its own folder alone.
    let inputs = [fixture("demo/index.m3u8"), fixture("ladder/180p.m3u8")];
    let parts = inputs.iter().map(|input| {
        let clip = input.clip(&request("+1.2s", "+3.4s", Cut::Exact)).unwrap();
        (clip, Some("Tor".to_owned()))
    });
    let montage = BoundClip::montage(parts).unwrap();
    for format in [Format::Mp4, Format::Fmp4] {
        let path = folder.path().join("montage.mp4");
        let len = montage.write_as(format, &path).unwrap();
        let file = std::fs::read(&path).unwrap();
        assert_eq!(file.len() as u64, len);
        let layout = Arc::new(montage.clip().layout(format).unwrap());
        assert_eq!(layout.len(), len);
        let mut reader = montage.reader(format).unwrap();
        for (from, to) in [(0, 100), (len / 3, len / 3 + 70_000), (len - 5_000, len)] {
            reader.seek(SeekFrom::Start(from)).unwrap();
            let mut part = vec![0; (to - from) as usize];
            reader.read_exact(&mut part).unwrap();
            assert!(part == file[from as usize..to as usize], "{from}..{to}");
        }
    }
}

#[test]
fn a_stream_of_another_codec_is_refused() {
    let inputs = [fixture("demo/index.m3u8"), fixture("hevc/index.m3u8")];
    let parts = inputs.iter().map(|input| {
        let clip = input.clip(&request("+1s", "+2s", Cut::Exact)).unwrap();
        (clip, None)
    });
    let error = BoundClip::montage(parts).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot join: part 2, track 1 (video): H.265, where H.264 goes before"
    );
}
