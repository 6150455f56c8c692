//! Clips play: ffprobe sees what was put in, another MP4 parser reads it, and a browser shows it.

use std::path::{Path, PathBuf};

use clipmill_tests::binary::{clipmill, root};
use clipmill_tests::http::FileServer;
use clipmill_tests::webdriver::Browser;
use clipmill_tests::{mp4 as plain, mux, tools};
use serde_json::{Value, json};

/// Cuts a fixture's playlist into `folder`.
fn cut(folder: &Path, fixture: &str, more: &[&str]) -> PathBuf {
    let playlist = root().join("fixtures").join(fixture);
    let out = folder.join("clip.mp4");
    let args = [
        "cut",
        playlist.to_str().unwrap(),
        "-o",
        out.to_str().unwrap(),
        "--json",
    ];
    clipmill(args.iter().chain(more)).expect(0);
    out
}

#[test]
fn ffprobe_sees_three_languages() {
    if !tools::installed(&["ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = cut(folder.path(), "languages/index.m3u8", &[]);
    let seen = tools::ffprobe(&out, &["-show_streams"]);
    let streams = seen["streams"].as_array().unwrap();
    let seen: Vec<Value> = streams
        .iter()
        .map(|stream| {
            json!([
                stream["codec_name"],
                stream["codec_tag_string"],
                stream["tags"]["language"]
            ])
        })
        .collect();
    // An `esds` does not say which layer of MPEG audio it is: ffprobe takes it for the third.
    assert_eq!(
        json!(seen),
        json!([
            ["h264", "avc1", "und"],
            ["aac", "mp4a", "eng"],
            ["ac3", "ac-3", "fra"],
            ["mp3", "mp4a", "deu"],
        ])
    );
}

#[test]
fn hevc_is_hvc1_and_decodes() {
    if !tools::installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = cut(folder.path(), "hevc/index.m3u8", &[]);
    let seen = tools::ffprobe(&out, &["-show_streams"]);
    assert_eq!(seen["streams"][0]["codec_tag_string"], "hvc1");
    assert_eq!(seen["streams"][0]["nb_frames"], "150");
    let (md5, errors) = tools::decoded_pictures(&out);
    assert!(md5.is_some());
    assert_eq!(errors, "");
}

/// The first frame that a player shows is the one that was asked for, to the frame, though it is no
/// key frame.
#[test]
fn an_exact_clip_begins_on_the_frame_asked_for() {
    if !tools::installed(&["ffmpeg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = cut(
        folder.path(),
        "demo/index.m3u8",
        &["--from", "+5s", "--to", "+9s"],
    );
    let clip = first_picture(&out, "0");
    let stream = folder.path().join("stream.ts");
    let segments = (0..10)
        .flat_map(|n| std::fs::read(root().join(format!("fixtures/demo/seg{n:02}.ts"))).unwrap());
    std::fs::write(&stream, segments.collect::<Vec<u8>>()).unwrap();
    // 25 frames per second: the picture of second 5 is number 125.
    assert_eq!(clip, first_picture(&stream, "125"));

    let file = std::fs::read(&out).unwrap();
    let movie = plain::read(&file).unwrap();
    assert_eq!(movie.faults(&file), [""; 0]);
    let video = movie.tracks.iter().find(|track| track.is_video()).unwrap();
    let shown = video
        .samples
        .iter()
        .filter(|sample| video.presented(sample.pts, movie.timescale).is_some());
    assert_eq!(shown.count(), 100, "four seconds are presented");
}

/// The MD5 of picture number `number` in presentation order.
fn first_picture(file: &Path, number: &str) -> String {
    let select = format!("select=eq(n\\,{number})");
    let args = [
        "-i",
        file.to_str().unwrap(),
        "-map",
        "0:v:0",
        "-vf",
        &select,
    ];
    let more = [
        "-frames:v",
        "1",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "yuv420p",
        "-f",
        "md5",
        "-",
    ];
    let run = tools::ffmpeg(args.into_iter().chain(more)).expect(0);
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn another_parser_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["mp4", "fmp4"] {
        let out = cut(folder.path(), "demo/index.m3u8", &["--format", format]);
        let bytes = std::fs::read(&out).unwrap();
        let len = bytes.len() as u64;
        let movie = mp4::Mp4Reader::read_header(std::io::Cursor::new(bytes), len).unwrap();
        assert_eq!(movie.tracks().len(), 2);
        if format == "mp4" {
            let video = &movie.tracks()[&1];
            assert_eq!((video.width(), video.height()), (640, 360));
            assert_eq!(video.sample_count(), 500);
            assert_eq!(video.duration().as_millis(), 20_000);
            assert_eq!(
                movie.tracks()[&2].sample_freq_index().unwrap().freq(),
                48_000
            );
        }
    }
}

#[test]
fn gstreamer_plays_it() {
    if !tools::installed(&["gst-launch-1.0"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for fixture in ["demo", "hevc", "languages"] {
        for format in ["mp4", "fmp4"] {
            let more = ["--format", format, "--from", "+1.5s"];
            let out = cut(folder.path(), &format!("{fixture}/index.m3u8"), &more);
            let complaints = tools::gstreamer_complaints(&out);
            assert_eq!(complaints, "", "{fixture} as {format}");
        }
    }
}

pub(super) const PLAY: &str = "
    const [url, done] = [arguments[0], arguments[arguments.length - 1]];
    const place = arguments.length > 2 ? Number(arguments[1]) : null;
    const video = document.createElement('video');
    const event = name => new Promise((yes, no) => {
        video.addEventListener(name, yes, { once: true });
        video.addEventListener('error', () => no(video.error.message), { once: true });
    });
    (async () => {
        const loaded = event('loadedmetadata');
        video.muted = true;
        video.src = url;
        document.body.append(video);
        await loaded;
        const seen = { duration: video.duration, width: video.videoWidth, height: video.videoHeight };
        const sought = event('seeked');
        video.currentTime = place ?? seen.duration / 2;
        await sought;
        seen.sought = video.currentTime;
        await video.play();
        for (let turns = 0; video.currentTime < seen.sought + 0.6; turns++) {
            if (video.error) throw video.error.message;
            if (turns > 500) throw 'stands still at ' + video.currentTime;
            await new Promise(go => setTimeout(go, 20));
        }
        video.pause();
        seen.sound = video.webkitAudioDecodedByteCount > 0;
        seen.pictures = video.getVideoPlaybackQuality().totalVideoFrames > 5;
        done(seen);
    })().catch(error => done({ error: String(error) }));
";

/// A browser that shows an empty page of a server of this folder.
pub(super) fn browser_at(folder: &Path) -> (FileServer, Browser) {
    std::fs::write(
        folder.join("page.html"),
        "<!doctype html><title>clip</title>",
    )
    .unwrap();
    let server = FileServer::new(folder);
    let browser = Browser::start();
    browser.open(&server.url("page.html"));
    (server, browser)
}

#[test]
fn chromium_plays_it() {
    if !tools::installed(&["chromium", "chromedriver"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (server, browser) = browser_at(folder.path());
    let window = ["--from", "+5s", "--to", "+13s"];
    for (format, cut_mode, duration) in [
        ("mp4", "exact", 8.0),
        // The `sidx` counts what the edit list hides: a second before the window.
        ("fmp4", "exact", 9.04),
        ("fmp4", "keyframe", 8.0),
        // From the first key frame at or after second 5 to the one at or after second 13.
        ("mp4", "keyframe", 8.0),
        ("mp4", "segment", 10.0),
    ] {
        let mut more = window.to_vec();
        more.extend(["--format", format, "--cut", cut_mode]);
        cut(folder.path(), "demo/index.m3u8", &more);
        let name = format!("{format}-{cut_mode}.mp4");
        std::fs::rename(folder.path().join("clip.mp4"), folder.path().join(&name)).unwrap();
        let seen = browser.run(PLAY, &[&server.url(&name)]);
        assert!(seen.get("error").is_none(), "{name}: {seen}");
        let number = |key: &str| {
            seen[key]
                .as_f64()
                .unwrap_or_else(|| panic!("{name}: {seen}"))
        };
        assert!(
            (number("duration") - duration).abs() < 0.1,
            "{name}: {seen}"
        );
        assert_eq!(
            (number("width"), number("height")),
            (640.0, 360.0),
            "{name}"
        );
        assert!(
            (number("sought") - number("duration") / 2.0).abs() < 0.1,
            "{name}: {seen}"
        );
        assert_eq!(
            (&seen["sound"], &seen["pictures"]),
            (&json!(true), &json!(true)),
            "{name}: {seen}"
        );
    }
}

/// What comes behind the discontinuity is from twelve seconds later.
#[test]
fn chromium_plays_across_a_discontinuity() {
    if !tools::installed(&["chromium", "chromedriver"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for number in [0, 1, 8, 9] {
        if number == 8 {
            playlist.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let segment = format!("seg0{number}.ts");
        let from = root().join("fixtures/demo").join(&segment);
        std::fs::copy(from, folder.path().join(&segment)).unwrap();
        playlist.push_str(&format!("#EXTINF:2,\n{segment}\n"));
    }
    playlist.push_str("#EXT-X-ENDLIST\n");
    let file = folder.path().join("index.m3u8");
    std::fs::write(&file, playlist).unwrap();
    let (server, browser) = browser_at(folder.path());
    for format in ["mp4", "fmp4"] {
        cut(folder.path(), file.to_str().unwrap(), &["--format", format]);
        let seen = browser.run(PLAY, &[&server.url("clip.mp4"), "3.7"]);
        assert!(seen.get("error").is_none(), "{format}: {seen}");
        let duration = seen["duration"].as_f64().unwrap();
        assert!((duration - 8.0).abs() < 0.1, "{format}: {seen}");
        assert_eq!(
            (&seen["sound"], &seen["pictures"]),
            (&json!(true), &json!(true)),
            "{format}: {seen}"
        );
    }
}

const FIRST_PICTURE: &str = "
    const [url, done] = [arguments[0], arguments[arguments.length - 1]];
    const video = document.createElement('video');
    const loaded = new Promise((yes, no) => {
        video.addEventListener('loadeddata', yes, { once: true });
        video.addEventListener('error', () => no(video.error.message), { once: true });
        setTimeout(() => no('no picture comes'), 20000);
    });
    (async () => {
        video.muted = true;
        video.preload = 'auto';
        video.src = url;
        document.body.append(video);
        await loaded;
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [16, 9];
        const context = canvas.getContext('2d');
        // That a picture is there is told before it can be drawn: until then nothing is.
        let pixels;
        do {
            await new Promise(later => setTimeout(later, 20));
            context.drawImage(video, 0, 0, 16, 9);
            pixels = [...context.getImageData(0, 0, 16, 9).data];
        } while (pixels[3] === 0);
        done({ at: video.currentTime, pixels });
    })().catch(error => done({ error: String(error) }));
";

/// Slides: a picture in four seconds. A clip that begins in the middle of one shows it at once.
#[test]
fn players_show_the_picture_on_display_at_once() {
    if !tools::installed(&["ffmpeg", "chromium", "chromedriver"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut list = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n".to_owned();
    for number in 0..3_u64 {
        let from = root().join(format!("fixtures/demo/seg0{}.ts", number * 4));
        let mut streams = mux::streams(&std::fs::read(from).unwrap());
        streams.retain(|one| one.stream_type == 0x1b);
        streams[0].pes.truncate(1);
        for pes in &mut streams[0].pes {
            (pes.pts, pes.dts) = (Some(126_000 + number * 360_000), None);
        }
        let name = format!("slide{number}.ts");
        std::fs::write(folder.path().join(&name), mux::segment(&streams)).unwrap();
        list.push_str(&format!("#EXTINF:4,\n{name}\n"));
    }
    let file = folder.path().join("index.m3u8");
    std::fs::write(&file, list + "#EXT-X-ENDLIST\n").unwrap();
    let (server, browser) = browser_at(folder.path());
    let seen = |name: &str, more: &[&str]| {
        let out = cut(folder.path(), file.to_str().unwrap(), more);
        std::fs::rename(out, folder.path().join(name)).unwrap();
        let seen = browser.run(FIRST_PICTURE, &[&server.url(name)]);
        assert!(seen.get("error").is_none(), "{name}: {seen}");
        assert_eq!(seen["at"], 0.0, "{name}");
        let first = first_picture(&folder.path().join(name), "0");
        (seen["pixels"].as_array().unwrap().clone(), first)
    };
    // Each under a name of its own: browsers may keep what a name gave.
    let whole: Vec<_> = ["+0s", "+4s", "+8s"]
        .iter()
        .map(|from| seen(&format!("whole{from}.mp4"), &["--from", from]))
        .collect();
    assert!(whole[0] != whole[1] && whole[1] != whole[2]);
    for format in ["mp4", "fmp4"] {
        for (from, to, slide) in [("+1s", "+3s", 0), ("+5s", "+7.5s", 1), ("+3s", "+9s", 0)] {
            let more = ["--format", format, "--from", from, "--to", to];
            let name = format!("{format}{from}.mp4");
            assert_eq!(seen(&name, &more), whole[slide], "{format} from {from}");
        }
    }
}

/// Every access unit before and behind the discontinuity decodes, at its own size.
#[test]
fn ffmpeg_decodes_across_a_discontinuity() {
    if !tools::installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = cut(folder.path(), "change/index.m3u8", &[]);
    let seen = tools::ffprobe(&file, &["-show_frames", "-select_streams", "v"]);
    let widths = seen["frames"].as_array().unwrap().iter();
    let widths: Vec<_> = widths.map(|frame| frame["width"].as_u64()).collect();
    let (small, large) = widths.split_at(100);
    assert!(small.iter().all(|width| *width == Some(160)));
    assert_eq!(large, [Some(320); 100]);
    // The same with keys that change.
    let plain = std::fs::read(&file).unwrap();
    let file = cut(folder.path(), "rotation/index.m3u8", &[]);
    assert!(plain == std::fs::read(file).unwrap());
}
