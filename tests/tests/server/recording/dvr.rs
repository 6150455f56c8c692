//! The DVR window: any instant of it is a clip, though the origin lists it no more.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clipmill_tests::binary;
use clipmill_tests::listing::date_of;
use clipmill_tests::replay::{Kind, Live, Piece, pieces};
use clipmill_tests::writer::Plan;

use super::server::{Server, read_clip};
use super::{DATE, PACE, assert_same, expected, plan, play, wait_for_end};

/// Bytes of a window that is stored nowhere.
fn window(server: &Server, from: i64, to: i64, cut: &str) -> (u16, Vec<u8>) {
    let path = format!("/live/streams/cam.mp4?start={from}&end={to}{cut}");
    server
        .get(&path)
        .unwrap_or_else(|| panic!("{}", server.log()))
}

/// How many segments lie in the DVR window.
fn in_window(server: &Server) -> usize {
    server.segments_in("dvr")
}

fn run(server: &mut Server) {
    server.run();
    server.wait("it is ready", || {
        server
            .get("/readyz")
            .is_some_and(|(status, _)| status == 200)
    });
}

/// Length of pieces in milliseconds.
fn millis(pieces: &[Piece]) -> i64 {
    let micros: u64 = pieces.iter().map(|piece| piece.micros).sum();
    i64::try_from(micros / 1000).unwrap()
}

/// A server whose origin lists everything, to compare with.
fn listing_all(pieces: &[Piece]) -> Server {
    let server = Server::start("interval_seconds = 3\n");
    let mut live = Live::new(&server.streams(), "cam", Kind::Event, Some(DATE));
    play(&server, &mut live, pieces);
    server.wait_for_segments(pieces.len() as u64);
    server
}

#[test]
fn any_instant_of_the_dvr_window_is_a_clip() {
    let mut server = Server::start("interval_seconds = 3\ndvr_window = \"1h\"\n");
    let pieces = pieces(&plan(), &[1, 2]);
    let half = pieces.len() / 2;
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(6), Some(DATE));
    play(&server, &mut live, &pieces[..half]);
    server.wait_for_segments(half as u64);
    let all = listing_all(&pieces);
    let until = millis(&pieces[..half]);
    // Of its oldest moments, of some in between, of its latest, and all of it: what comes behind is known here and there.
    let windows = [
        (0, 2000),
        (1480, 5120),
        (until / 2, until / 2 + 3000),
        (until - 5000, until - 2000),
        (0, until - 2000),
    ];
    let same = |server: &Server| {
        for (from, to) in windows {
            for cut in ["", "&cut=keyframe"] {
                let wanted = window(&all, DATE + from, DATE + to, cut);
                let found = window(server, DATE + from, DATE + to, cut);
                assert_eq!(
                    (wanted.0, found.0),
                    (200, 200),
                    "{from} {to}: {}",
                    server.log()
                );
                assert!(wanted.1 == found.1, "{from} to {to}{cut}");
            }
        }
    };
    same(&server);
    server.wait("it is stored", || in_window(&server) > half / 2);
    same(&server);
    // Whoever is killed finds it again.
    server.kill();
    run(&mut server);
    same(&server);
    play(&server, &mut live, &pieces[half..]);
    live.end();
    wait_for_end(&server, "cam");
    same(&server);
    server.wait("all of it is stored", || in_window(&server) == pieces.len());
    let (status, clip) = window(&server, DATE, DATE + millis(&pieces), "");
    assert_eq!(status, 200);
    let clip = read_clip(&clip, serde_json::Value::Null);
    let (video, audio) = expected(&pieces);
    assert_same(&clip.video, &video, "pictures");
    // There is sound before the first picture, which the window begins with.
    assert_same(&clip.audio, &audio[2..], "sound");
    let stream = server.json("/v1/apps/live/streams/cam");
    let date = |ms: i64| {
        date_of(UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs())).replace("+0000", "Z")
    };
    let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    assert_eq!(stream["dvr"]["from"], date(DATE));
    assert_eq!(stream["dvr"]["to"], date(DATE + millis(&pieces)));
    assert_eq!(stream["dvr"]["bytes"], bytes);
    // And when the origin has nothing any more.
    server.stop();
    for entry in fs::read_dir(server.streams()).unwrap().flatten() {
        let path = entry.path();
        if path
            .extension()
            .is_some_and(|suffix| suffix == "ts" || suffix == "m3u8")
        {
            fs::remove_file(path).unwrap();
        }
    }
    run(&mut server);
    same(&server);
}

#[test]
fn what_is_set_for_one_stream_holds_for_it_alone_and_after_a_restart() {
    let settings = "enabled = false\ninterval_seconds = 3\n";
    let mut server = Server::start(settings);
    let long = Plan {
        groups: 120,
        ..plan()
    };
    let pieces = pieces(&long, &[1, 2]);
    let third = pieces.len() / 3;
    let mut live: Vec<_> = ["cam", "other"]
        .map(|id| Live::new(&server.streams(), id, Kind::Sliding(6), Some(DATE)))
        .into();
    let play_both = |server: &Server, live: &mut [Live], pieces: &[Piece]| {
        for piece in pieces {
            for live in &mut *live {
                server.keep_up();
                live.publish(piece, false);
            }
            std::thread::sleep(PACE);
        }
    };
    play_both(&server, &mut live, &pieces[..4]);
    server.wait_for_segments(8);
    let path = "/v1/apps/live/streams/cam";
    let set = r#"{"name": "Hall", "dvr_window": "1h", "periodic": {"enabled": true, "interval_seconds": 4}}"#;
    let answer = server.send("PATCH", path, set);
    assert_eq!(answer.status, 200, "{}", answer.json());
    play_both(&server, &mut live, &pieces[4..third]);
    // The oldest that came since is there, though the origin lists it no more.
    let from = DATE + millis(&pieces[..5]);
    let is_there = |server: &Server, id: &str| {
        let path = format!("/live/streams/{id}.mp4?start={from}&end={}", from + 2000);
        server.get(&path).is_some_and(|(status, _)| status == 200)
    };
    server.wait("clips are made of it", || server.vods().len() > 2);
    assert!(is_there(&server, "cam"), "{}", server.log());
    assert!(!is_there(&server, "other"));
    assert!(server.vods().iter().all(|vod| vod["streamId"] == "cam"));
    let title = server.vods()[0]["streamName"].clone();
    assert!(title.as_str().unwrap().starts_with("Hall"), "{title}");

    server.kill();
    run(&mut server);
    let stream = server.json(path);
    assert_eq!(
        (&stream["name"], &stream["dvr_window"]),
        (&"Hall".into(), &"1h".into())
    );
    assert_eq!(stream["periodic"]["interval_seconds"], 4);
    let known = server.vods().len();
    play_both(&server, &mut live, &pieces[third..2 * third]);
    server.wait("clips go on", || server.vods().len() > known + 1);
    assert!(is_there(&server, "cam"), "{}", server.log());
    assert!(server.vods().iter().all(|vod| vod["streamId"] == "cam"));

    // The configuration says something new of one of them.
    server.reconfigure("enabled = false\ninterval_seconds = 5\n");
    server.wait("the configuration is read", || {
        server.json(path)["set"] == serde_json::json!(["dvr_window"])
    });
    assert_eq!(server.json(path)["dvr_window"], "1h");
    let edge = DATE + millis(&pieces[..2 * third]);
    server.wait("its last clip is made", || {
        let last = server.vods().pop().unwrap();
        let (start, duration) = (&last["startTime"], &last["duration"]);
        start.as_i64().unwrap() + duration.as_i64().unwrap() > edge - 500
    });
    let known = server.vods().len();
    play_both(&server, &mut live, &pieces[2 * third..]);
    live.iter_mut().for_each(Live::end);
    wait_for_end(&server, "cam");
    wait_for_end(&server, "other");
    assert_eq!(server.vods().len(), known);
    // Back to what all have: nothing is kept.
    let answer = server.send("PATCH", path, r#"{"dvr_window": null}"#);
    assert_eq!(answer.json()["dvr_window"], serde_json::Value::Null);
    server.wait("it is gone", || in_window(&server) == 0);
}

#[test]
fn several_sessions_are_one_window() {
    let server = Server::start("interval_seconds = 3\ndvr_window = \"2h\"\n");
    let first = pieces(
        &Plan {
            groups: 20,
            ..plan()
        },
        &[2, 1],
    );
    let second = Plan {
        groups: 20,
        weight: 60,
        start: 5_000_000,
        ..plan()
    };
    let second = pieces(&second, &[1, 2]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(6), Some(DATE));
    play(&server, &mut live, &first);
    live.restart(Some(DATE + 600_000));
    play(&server, &mut live, &second);
    live.end();
    wait_for_end(&server, "cam");
    let count = first.len() + second.len();
    server.wait("all of it is stored", || in_window(&server) == count);
    let (status, clip) = window(&server, DATE, DATE + 600_000 + millis(&second), "");
    assert_eq!(status, 200);
    let clip = read_clip(&clip, serde_json::Value::Null);
    let (mut video, _) = expected(&first);
    video.extend(expected(&second).0);
    assert_same(&clip.video, &video, "pictures");
}

#[test]
fn what_has_had_its_time_goes() {
    let server = Server::start("interval_seconds = 3\ndvr_window = \"10s\"\n");
    let pieces = pieces(&plan(), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(6), Some(DATE));
    play(&server, &mut live, &pieces);
    server.wait_for_segments(pieces.len() as u64);
    let until = millis(&pieces);
    server.wait("the oldest are gone", || {
        (1..=15).contains(&in_window(&server))
    });
    let (status, answer) = window(&server, DATE, DATE + 5000, "");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert_ne!(status, 200, "{answer}");
    // On a slow machine the stream has fallen silent by now, and its playlist is all that is left.
    let says = ["lies from", "lists media from"];
    assert!(says.iter().any(|says| answer.contains(says)), "{answer}");
    let (status, _) = window(&server, DATE + until - 8000, DATE + until - 2000, "");
    assert_eq!(status, 200);
    live.end();
    wait_for_end(&server, "cam");
    server.wait("all of it is gone", || in_window(&server) == 0);
}

#[test]
fn the_dvr_window_is_played_as_hls() {
    let server = Server::start("interval_seconds = 3\ndvr_window = \"1h\"\n");
    let pieces = pieces(&plan(), &[1, 2]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(6), Some(DATE));
    play(&server, &mut live, &pieces);
    server.wait_for_segments(pieces.len() as u64);
    let until = millis(&pieces);
    let listed = |from: i64, to: i64| {
        let path = format!(
            "/live/streams/cam.m3u8?start={}&end={}",
            DATE + from,
            DATE + to
        );
        let (status, text) = server.get(&path).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(status, 200, "{text}");
        text
    };
    let text = listed(0, until);
    assert!(text.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && text.ends_with("#EXT-X-ENDLIST\n"));
    assert_eq!(text.matches("#EXTINF").count(), pieces.len());
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY").count(), 0, "{text}");
    let uris = text.lines().filter(|line| !line.starts_with('#'));
    for (uri, piece) in uris.zip(&pieces) {
        let path = format!("/live/streams/{uri}").replace("streams/../", "");
        let (status, bytes) = server.get(&path).unwrap();
        assert_eq!(status, 200, "{path}");
        assert!(bytes == piece.bytes, "{path}");
    }
    let text = listed(2500, 4500);
    // First and last segment whole.
    let mut begins = 0;
    let inside = pieces.iter().filter(|piece| {
        let begin = begins;
        begins += i64::try_from(piece.micros).unwrap();
        begins > 2_500_000 && begin < 4_500_000
    });
    assert_eq!(text.matches("#EXTINF").count(), inside.count(), "{text}");
    for path in [
        "1-0/0.ts",
        "1-0/x.ts",
        "../cam/0.ts",
        "%2e%2e/0.ts",
        "1-0/0.exe",
    ] {
        let (status, _) = server.get(&format!("/live/dvr/cam/{path}")).unwrap();
        assert_eq!(status, 404, "{path}");
    }
    // What is listed is played as the media server lists it.
    let text = listed(until - 2000, until);
    assert!(!text.contains("dvr/"), "{text}");
}

/// What `clipmill spool` says of the data folder, and its exit code.
fn spool(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let data = server.folder.path().join("data");
    let run = binary::command(binary::path())
        .arg("spool")
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .output()
        .unwrap();
    let said = [run.stdout, run.stderr].concat();
    (run.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn what_is_kept_is_listed_verified_and_trimmed() {
    let mut server = Server::start("interval_seconds = 3\ndvr_window = \"1h\"\n");
    let pieces = pieces(&plan(), &[1, 2]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(6), Some(DATE));
    play(&server, &mut live, &pieces);
    live.end();
    wait_for_end(&server, "cam");
    server.wait("all of it is stored", || in_window(&server) == pieces.len());
    let (code, said) = spool(&server, &["trim", "--keep", "1s"]);
    assert_eq!(code, Some(1), "a server runs: {said}");
    server.stop();
    let (code, said) = spool(&server, &["ls", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let listed: serde_json::Value = serde_json::from_str(&said).unwrap();
    let stream = &listed["streams"][0];
    assert_eq!(
        (&stream["app"], &stream["stream"]),
        (&"live".into(), &"cam".into())
    );
    assert_eq!(stream["segments_in_dvr_window"], pieces.len());
    assert_eq!(stream["from"], "2026-11-22T14:00:00.000Z");
    let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    assert_eq!(stream["bytes"], bytes);
    let (code, said) = spool(&server, &["verify"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with(&format!("{} segments are whole", pieces.len())));
    let (code, said) = spool(&server, &["trim", "--max-bytes", &(bytes / 2).to_string()]);
    assert_eq!(code, Some(0), "{said}");
    let left = in_window(&server);
    assert!((1..pieces.len()).contains(&left), "{said}");
    // The oldest went.
    run(&mut server);
    let (status, _) = window(&server, DATE, DATE + 2000, "");
    assert_ne!(status, 200);
    let until = millis(&pieces);
    let (status, _) = window(&server, DATE + until - 4000, DATE + until, "");
    assert_eq!(status, 200);
    server.stop();
    let (code, said) = spool(&server, &["trim", "--keep", "1ms"]);
    assert_eq!((code, in_window(&server)), (Some(0), 0), "{said}");
    let (code, said) = spool(&server, &["ls"]);
    assert_eq!(code, Some(0));
    assert!(said.starts_with("nothing is kept in "), "{said}");
}

#[test]
fn a_segment_that_is_damaged_is_found() {
    let mut server = Server::start("interval_seconds = 3\ndvr_window = \"1h\"\n");
    let pieces = pieces(
        &Plan {
            groups: 10,
            ..plan()
        },
        &[1],
    );
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(6), Some(DATE));
    play(&server, &mut live, &pieces);
    live.end();
    wait_for_end(&server, "cam");
    server.wait("all of it is stored", || in_window(&server) == pieces.len());
    server.stop();
    let damaged = first_in(&server.folder.path().join("data/dvr"));
    fs::write(&damaged, "no media").unwrap();
    let (code, said) = spool(&server, &["verify"]);
    assert_eq!(code, Some(1), "{said}");
    let found = format!(
        "{}: it was written to since it was kept\n",
        damaged.display()
    );
    assert!(said.contains(&found), "{said}");
    assert!(said.ends_with(&format!(
        "{} segments are whole, 1 are damaged\n",
        pieces.len() - 1
    )));
}

/// The first segment below a folder.
fn first_in(folder: &Path) -> PathBuf {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    let first = entries.first().unwrap();
    if first.is_dir() {
        first_in(first)
    } else {
        first.clone()
    }
}
