//! Real senders.

use std::process::{Command, Stdio};

use clipmill_tests::binary::{finish, root};
use clipmill_tests::server::request;
use clipmill_tests::tools::{ffmpeg, ffprobe, installed};
use clipmill_tests::webdriver::Browser;
use clipmill_tests::{es, ts};

use super::{clips_of, pushed};
use crate::recording::assert_same;
use crate::recording::server::{MadeClip, Server};

/// Twenty seconds, pictures and sound.
fn source() -> Vec<u8> {
    let all = (0..10).map(|n| std::fs::read(root().join(format!("fixtures/demo/seg{n:02}.ts"))));
    all.flat_map(Result::unwrap).collect()
}

/// The NAL units that carry content and the frames of sound in MPEG-TS.
fn media(file: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut video, mut audio) = (Vec::new(), Vec::new());
    for stream in ts::read(file) {
        let bytes = stream.bytes();
        let own = |unit: &[u8]| unit.to_vec();
        match stream.kind {
            ts::Kind::H264 => {
                let units = es::annex_b(&bytes).into_iter();
                video.extend(
                    units
                        .filter(|unit| es::is_content(ts::Kind::H264, unit))
                        .map(own),
                );
            }
            _ => audio.extend(es::adts(&bytes).into_iter().map(own)),
        }
    }
    (video, audio)
}

fn assert_all_there(clips: &[MadeClip], what: &str) {
    assert_there(clips, what, 0);
}

/// Nothing is missing before the end.
fn assert_begins(clips: &[MadeClip], what: &str) {
    let (video, audio) = media(&source());
    let found: Vec<_> = clips
        .iter()
        .flat_map(|clip| clip.video.iter().flatten().cloned())
        .collect();
    let begins = video.get(..found.len()).unwrap_or(&video);
    assert_same(&found, begins, &format!("{what}: pictures"));
    let found: Vec<_> = clips.iter().flat_map(|clip| clip.audio.clone()).collect();
    let begins = audio.get(..found.len()).unwrap_or(&audio);
    assert_same(&found, begins, &format!("{what}: sound"));
}

/// All pictures, and all sound but at most so many last frames.
fn assert_there(clips: &[MadeClip], what: &str, beyond: usize) {
    let (video, audio) = media(&source());
    let found: Vec<_> = clips
        .iter()
        .flat_map(|clip| clip.video.iter().flatten().cloned())
        .collect();
    assert_same(&found, &video, &format!("{what}: pictures"));
    let found: Vec<_> = clips.iter().flat_map(|clip| clip.audio.clone()).collect();
    let least = audio.len() - beyond;
    let sound = &audio[..found.len().clamp(least, audio.len())];
    assert_same(&found, sound, &format!("{what}: sound"));
}

/// ffmpeg and ffprobe have nothing to complain of.
fn assert_sound(server: &Server, clips: &[MadeClip]) {
    for clip in clips {
        let path = server.path_of(&clip.vod);
        let probed = ffprobe(&path, &["-show_streams"]);
        assert_eq!(probed["streams"].as_array().unwrap().len(), 2);
        let path = path.to_str().unwrap();
        let run = ffmpeg(["-xerror", "-i", path, "-f", "null", "-"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{path}");
    }
}

/// What is played from here is what was pushed.
fn assert_plays(server: &Server, stream: &str) {
    let url = format!("http://{}/live/streams/{stream}.m3u8", server.address());
    let played = server.folder.path().join(format!("{stream}-played.ts"));
    let played = played.to_str().unwrap();
    let run = ffmpeg([
        "-xerror",
        "-live_start_index",
        "0",
        "-i",
        &url,
        "-c",
        "copy",
        "-f",
        "mpegts",
        played,
    ]);
    assert_eq!(run.code, 0, "{stream}: {}", run.stderr);
    let (video, audio) = media(&std::fs::read(played).unwrap());
    let (pushed_video, pushed_audio) = media(&source());
    assert_same(
        &video,
        &pushed_video,
        &format!("{stream}, played: pictures"),
    );
    assert_same(&audio, &pushed_audio, &format!("{stream}, played: sound"));
}

/// Has ffmpeg push the source, four times as fast as it is.
fn push(server: &Server, arguments: &str, to: &str) -> std::process::Child {
    let file = server.folder.path().join("source.ts");
    if !file.exists() {
        std::fs::write(&file, source()).unwrap();
    }
    let mut command = Command::new("ffmpeg");
    command
        .args("-v warning -nostdin -readrate 4 -i".split(' '))
        .arg(&file);
    command
        .args("-c copy -f hls -hls_time 2".split(' '))
        .args(arguments.split_whitespace());
    command.arg(format!("http://{}/live/ingest/{to}", server.address()));
    command.stdin(Stdio::null()).spawn().unwrap()
}

#[test]
fn ffmpeg_in_all_its_ways() {
    if !installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let server = pushed("");
    let fmp4 = "-bsf:a aac_adtstoasc -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4";
    let all = "-hls_list_size 0";
    let ways = [
        ("put", format!("{all} -method PUT")),
        (
            "post",
            format!("{all} -method POST -hls_flags program_date_time"),
        ),
        (
            "persistent",
            format!("{all} -method PUT -http_persistent 1"),
        ),
        ("fmp4", format!("{all} -method PUT {fmp4}")),
        (
            "fmp4-persistent",
            format!("{all} -method PUT -http_persistent 1 {fmp4}"),
        ),
    ];
    let senders: Vec<_> = ways
        .iter()
        .map(|(id, arguments)| push(&server, arguments, &format!("{id}/index.m3u8")))
        .collect();
    for (mut sender, (id, _)) in senders.into_iter().zip(&ways) {
        assert!(sender.wait().unwrap().success(), "{id}");
    }
    for (id, _) in &ways {
        // It leaves without a look at the answers to what it sent on a connection that stays open: that resets the
        // connection, and what the server has not read yet is lost with it, however late it is.
        if id.ends_with("persistent") {
            let half = media(&source()[..source().len() / 2]).0.len();
            let clips = clips_of(&server, id, half);
            assert_begins(&clips, id);
            assert_sound(&server, &clips);
            continue;
        }
        let clips = clips_of(&server, id, media(&source()).0.len());
        assert!(clips.len() >= 4, "{id}: {}", clips.len());
        assert_all_there(&clips, id);
        assert_sound(&server, &clips);
        assert_plays(&server, id);
    }
    server.assert_all_or_nothing();
}

#[test]
fn ffmpeg_that_deletes_what_it_no_longer_lists() {
    if !installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let server = pushed("ingest_token = \"s3:cret\"");
    let file = server.folder.path().join("source.ts");
    std::fs::write(&file, source()).unwrap();
    let mut command = Command::new("ffmpeg");
    command
        .args("-v warning -nostdin -re -i".split(' '))
        .arg(&file);
    command.args(
        "-c copy -f hls -hls_time 2 -method PUT -hls_list_size 4 -hls_delete_threshold 2"
            .split(' '),
    );
    command.args(["-hls_flags", "delete_segments+program_date_time"]);
    command.arg(format!(
        "http://any:s3%3Acret@{}/live/ingest/cam/index.m3u8",
        server.address()
    ));
    let mut sender = command.stdin(Stdio::null()).spawn().unwrap();
    // Somebody watches meanwhile.
    let playlist = "/live/streams/cam.m3u8";
    server.wait("live", || {
        server
            .get(playlist)
            .is_some_and(|(status, _)| status == 200)
    });
    let played = server.folder.path().join("played.ts");
    let mut player = Command::new("ffmpeg");
    player.args("-v error -nostdin -live_start_index 0 -i".split(' '));
    player.arg(format!("http://{}{playlist}", server.address()));
    let player = finish({
        player.args("-c copy -f mpegts".split(' ')).arg(&played);
        player
    });
    assert!(sender.wait().unwrap().success());
    assert_eq!(player.code, 0, "{}", player.stderr);
    let (watched, _) = media(&std::fs::read(&played).unwrap());
    let (pushed, _) = media(&source());
    // It may be too late for some segments, and shows the others in their order.
    let mut all = pushed.iter();
    let in_order = watched.iter().all(|unit| all.any(|other| other == unit));
    assert!(!watched.is_empty() && in_order, "{}", watched.len());
    let clips = clips_of(&server, "cam", media(&source()).0.len());
    assert_all_there(&clips, "cam");
    assert_sound(&server, &clips);
    let left = std::fs::read_dir(server.streams().join("cam")).unwrap();
    let left = left.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|e| e == "ts")
    });
    assert!(left.count() < 10, "it deleted none");
}

/// The segments of a stream that came, in their order.
fn segments(server: &Server, stream: &str) -> Vec<std::path::PathBuf> {
    let folder = std::fs::read_dir(server.streams().join(stream));
    let paths = folder
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "ts"))
        .collect();
    segments.sort_by_key(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        name.trim_start_matches("index").parse::<u64>().unwrap()
    });
    segments
}

#[test]
fn a_server_that_is_killed_while_ffmpeg_pushes_has_all_that_came() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let mut server = pushed("");
    let file = server.folder.path().join("source.ts");
    std::fs::write(&file, source()).unwrap();
    let mut command = Command::new("ffmpeg");
    command.args("-v fatal -nostdin -readrate 2 -stream_loop -1 -i".split(' '));
    command.arg(&file);
    command.args("-c copy -f hls -hls_time 2 -hls_list_size 0 -method PUT".split(' '));
    // What it cannot send it passes over.
    command.args(["-ignore_io_errors", "1"]);
    command.arg(format!(
        "http://{}/live/ingest/cam/index.m3u8",
        server.address()
    ));
    let mut sender = command.stdin(Stdio::null()).spawn().unwrap();
    for round in 1..=3 {
        let before = segments(&server, "cam").len();
        server.wait("more segments", || {
            segments(&server, "cam").len() >= before + 3
        });
        if round < 3 {
            server.kill();
            server.run();
            server.wait("ready", || {
                server
                    .get("/readyz")
                    .is_some_and(|(status, _)| status == 200)
            });
        }
    }
    let interrupt = Command::new("kill")
        .args(["-s", "INT", &sender.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    let _ = sender.wait().unwrap();
    let all: Vec<u8> = segments(&server, "cam")
        .iter()
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect();
    let (video, audio) = media(&all);
    let clips = clips_of(&server, "cam", video.len());
    let found: Vec<_> = clips
        .iter()
        .flat_map(|clip| clip.video.iter().flatten().cloned())
        .collect();
    assert_same(&found, &video, "pictures");
    let found: Vec<_> = clips.iter().flat_map(|clip| clip.audio.clone()).collect();
    assert_same(&found, &audio, "sound");
    server.assert_all_or_nothing();
}

/// Plays a stream until a second of it was shown, or it fails.
const PLAY: &str = "
    const [url, done] = arguments;
    const video = document.createElement('video');
    if (!video.canPlayType('application/vnd.apple.mpegurl')) { done({unable: true}); return; }
    document.documentElement.append(video);
    video.muted = true;
    video.src = url;
    video.play().catch(() => {});
    const begun = Date.now();
    const look = () => {
        const shown = {from: video.seekable.length ? video.seekable.start(0) : 0, time: video.currentTime,
            width: video.videoWidth, failure: video.error?.message ?? null};
        const enough = video.videoWidth > 0 && video.played.length > 0 && video.played.end(0) - video.played.start(0) > 1;
        if (enough || video.error || Date.now() - begun > 35000) { done(shown); } else { setTimeout(look, 50); }
    };
    look();";

#[test]
fn chromium_plays_what_is_being_pushed() {
    if !installed(&["ffmpeg", "chromium", "chromedriver"]) {
        return;
    }
    let server = pushed("");
    let file = server.folder.path().join("source.ts");
    std::fs::write(&file, source()).unwrap();
    let mut command = Command::new("ffmpeg");
    command.args("-v warning -nostdin -re -stream_loop 5 -i".split(' '));
    command.arg(&file);
    command.args("-c copy -f hls -hls_time 2 -hls_list_size 6 -method PUT".split(' '));
    command.arg(format!(
        "http://{}/live/ingest/cam/index.m3u8",
        server.address()
    ));
    let mut sender = command.stdin(Stdio::null()).spawn().unwrap();
    let url = format!("http://{}/live/streams/cam.m3u8", server.address());
    // Players want three segments ahead of them.
    server.wait("three segments", || {
        let playlist = server.get("/live/streams/cam.m3u8");
        playlist
            .is_some_and(|(_, text)| String::from_utf8_lossy(&text).matches("#EXTINF").count() > 3)
    });
    let browser = Browser::start();
    browser.open(&format!("http://{}/healthz", server.address()));
    let shown = browser.run(PLAY, &[&url]);
    let _ = sender.kill();
    let _ = sender.wait();
    if shown["unable"] == true {
        eprintln!("skipped: this Chromium plays no HLS");
        return;
    }
    assert_eq!(shown["width"], 640, "{shown}");
    assert_eq!(shown["failure"], serde_json::Value::Null, "{shown}");
}

#[test]
fn gstreamer_pushes() {
    if !installed(&["gst-launch-1.0"]) {
        return;
    }
    let server = pushed("");
    let mut list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for n in 0..10 {
        let segment = root().join(format!("fixtures/demo/seg{n:02}.ts"));
        let source = format!("location={}", segment.display());
        let url = format!(
            "location=http://{}/live/ingest/gst/seg{n}.ts",
            server.address()
        );
        let mut command = Command::new("gst-launch-1.0");
        command.args(["-q", "filesrc", &source, "!", "curlhttpsink", &url]);
        let run = finish(command);
        assert_eq!(run.code, 0, "{}", run.stderr);
        list.push_str(&format!("#EXTINF:2,\nseg{n}.ts\n"));
        let end = if n == 9 { "#EXT-X-ENDLIST\n" } else { "" };
        let text = format!("{list}{end}");
        let path = "/live/ingest/gst/index.m3u8";
        let put = request(server.address(), "PUT", path, &[], text);
        assert!(matches!(put.status, 201 | 204), "{}", put.status);
    }
    let clips = clips_of(&server, "gst", media(&source()).0.len());
    assert_all_there(&clips, "gst");
}

#[test]
fn gstreamer_pushes_its_buffers_one_by_one() {
    if !installed(&["gst-launch-1.0"]) {
        return;
    }
    let server = pushed("");
    let segment = root().join("fixtures/demo/seg00.ts");
    let source = format!("location={}", segment.display());
    let url = format!("location=http://{}/live/ingest/gst/a.ts", server.address());
    let mut command = Command::new("gst-launch-1.0");
    let pace = ["identity", "sleep-time=50000"];
    command.args(["-q", "filesrc", &source, "blocksize=10000", "!"]);
    command.args(pace).args(["!", "souphttpclientsink", &url]);
    assert_eq!(finish(command).code, 0);
    // It does not wait for the last of them at the end.
    let came = std::fs::read(server.streams().join("gst/a.ts")).unwrap();
    let sent = std::fs::read(segment).unwrap();
    assert!(
        came.len() >= 20_000 && sent.starts_with(&came),
        "{}",
        came.len()
    );
}

#[test]
fn variants_with_their_multivariant_playlist_are_one_stream() {
    if !installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let server = pushed("");
    let shared = "-hls_list_size 0 -method PUT -master_pl_name master.m3u8";
    let file = server.folder.path().join("source.ts");
    std::fs::write(&file, source()).unwrap();
    let push = |maps: &str, map: &str, to: &str| {
        let mut command = Command::new("ffmpeg");
        command
            .args("-v warning -nostdin -readrate 4 -i".split(' '))
            .arg(&file);
        command
            .args(maps.split(' '))
            .args("-c copy -f hls -hls_time 2".split(' '));
        command
            .args(shared.split(' '))
            .args(["-var_stream_map", map]);
        command.arg(format!("http://{}/live/ingest/{to}", server.address()));
        command.stdin(Stdio::null()).spawn().unwrap()
    };
    let twice = "-map 0:v -map 0:a -map 0:v -map 0:a -b:v:0 2M -b:v:1 1M";
    let mut ladder = push(
        twice,
        "v:0,a:0,name:hi v:1,a:1,name:lo",
        "ladder/%v/index.m3u8",
    );
    let apart = "-map 0:v -map 0:a -b:v:0 2M -b:a:0 64k";
    let mut sound = push(
        apart,
        "v:0,agroup:s,name:video a:0,agroup:s,default:yes,name:audio",
        "sound/%v.m3u8",
    );
    assert!(ladder.wait().unwrap().success() && sound.wait().unwrap().success());
    // The last frame of sound has a segment of its own, beyond the last one of pictures: it may come too late.
    for (id, beyond) in [("ladder", 0), ("sound", 1)] {
        let clips = clips_of(&server, id, media(&source()).0.len());
        assert_there(&clips, id, beyond);
        assert_sound(&server, &clips);
    }
    let streams = server.json("/live/rest/v2/broadcasts/list/0/50");
    let mut ids: Vec<_> = streams
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["streamId"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    assert_eq!(ids, ["ladder", "sound"], "variants are no streams");
    assert_plays(&server, "ladder");
}
