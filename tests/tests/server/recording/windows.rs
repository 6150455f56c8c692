//! Windows whose ends are open or lie ahead: they are played while they grow, and are clips when they have ended.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use clipmill_tests::binary::{finish, root};
use clipmill_tests::listing::date_of;
use clipmill_tests::replay::{Kind, Live, Piece, pieces};
use clipmill_tests::server::{eventually, request};
use clipmill_tests::tools::{ffprobe, installed};
use clipmill_tests::webdriver::Browser;
use serde_json::{Value, json};

use super::server::{Server, read_clip};
use super::sound::encode;
use super::{DATE, assert_same, expected, plan, play};

const SETTINGS: &str = "enabled = false\nrecording_patience = \"1s\"\n";

const CALL: &str = "/v1/apps/live/streams/cam/recordings";

/// An instant of the stream, as calls take and give it.
fn date(ms: i64) -> String {
    let at = std::time::UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs());
    date_of(at).replace("+0000", "Z")
}

fn millis(pieces: &[Piece]) -> i64 {
    let micros: u64 = pieces.iter().map(|piece| piece.micros).sum();
    i64::try_from(micros / 1000).unwrap()
}

/// Begins a recording; gives its id.
fn record(server: &Server, asked: &Value) -> String {
    let answer = server.send("POST", CALL, &asked.to_string());
    assert_eq!(answer.status, 201, "{}", answer.json());
    let clip = answer.json();
    let id = clip["id"].as_str().unwrap().to_owned();
    assert_eq!(clip["media"], format!("/live/streams/{id}.mp4"));
    assert_eq!(
        answer.header("location"),
        format!("/v1/apps/live/clips/{id}")
    );
    id
}

/// Waits until a recording is a clip; gives that.
fn ready(server: &Server, id: &str) -> Value {
    let path = format!("/v1/apps/live/clips/{id}");
    eventually("it is a clip", || {
        let (status, body) = server.get(&path)?;
        let clip: Value = serde_json::from_slice(&body).ok()?;
        (status == 200 && clip["state"] == "ready").then_some(clip)
    })
}

fn file(server: &Server, id: &str) -> Vec<u8> {
    let (status, body) = server.get(&format!("/live/streams/{id}.mp4")).unwrap();
    assert_eq!(status, 200);
    body
}

/// What a playlist lists, byte for byte.
fn listed(server: &Server, id: &str) -> (String, Vec<u8>) {
    let (status, text) = server.get(&format!("/live/streams/{id}.m3u8")).unwrap();
    assert_eq!(status, 200);
    let text = String::from_utf8(text).unwrap();
    let uris = text.lines().filter(|line| !line.starts_with('#'));
    let bytes = uris.flat_map(|uri| {
        let path = uri.replace("../dvr", "/live/dvr");
        let (status, bytes) = server.get(&path).unwrap();
        assert_eq!(status, 200, "{path}");
        bytes
    });
    let bytes = bytes.collect();
    (text, bytes)
}

#[test]
fn recordings_are_played_while_they_grow_and_are_clips_then() {
    let mut server = Server::start(SETTINGS);
    let pieces = pieces(&plan(), &[1, 2]);
    let third = pieces.len() / 3;
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(6), Some(DATE));
    play(&server, &mut live, &pieces[..third]);
    server.wait_for_segments(third as u64);
    // One from the very beginning, which the origin lists no more; one from in between on.
    let whole = record(&server, &json!({"from": date(DATE), "title": "All of it"}));
    let begin = DATE + 1480;
    let until = DATE + millis(&pieces[..2 * third]) - 520;
    let part = record(
        &server,
        &json!({"from": date(begin), "to": date(until), "tags": ["cup", "cup", "final"]}),
    );
    let listed_now = server.json(CALL)["items"].as_array().unwrap().len();
    assert_eq!(listed_now, 2);
    let grown: Vec<_> = [&whole, &part]
        .into_iter()
        .map(|id| {
            let (address, path) = (server.address(), format!("/live/streams/{id}.mp4"));
            thread::spawn(move || request(address, "GET", &path, &[], ""))
        })
        .collect();
    play(&server, &mut live, &pieces[third..2 * third]);
    let (text, bytes) = listed(&server, &whole);
    assert!(text.contains("#EXT-X-PLAYLIST-TYPE:EVENT\n"), "{text}");
    assert!(!text.contains("#EXT-X-ENDLIST"), "{text}");
    let all: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| piece.bytes.clone())
        .collect();
    assert!(bytes.len() > all.len() / 2 && all.starts_with(&bytes));
    play(&server, &mut live, &pieces[2 * third..]);
    // Its end has come while the stream goes on.
    let clip = ready(&server, &part);
    assert_eq!(clip["kind"], "recording");
    assert_eq!(clip["tags"], json!(["cup", "final"]));
    assert_eq!(clip["gaps"], json!([]));
    assert_eq!(
        (&clip["from"], &clip["to"]),
        (&json!(date(begin)), &json!(date(until)))
    );
    live.end();
    let clip = ready(&server, &whole);
    assert_eq!(clip["title"], "All of it");
    assert_eq!(clip["gaps"], json!([]));
    let end = DATE + millis(&pieces);
    assert_eq!(
        (&clip["from"], &clip["to"]),
        (&json!(date(DATE)), &json!(date(end)))
    );
    server.wait("they are over", || server.json(CALL)["items"] == json!([]));
    // Both have what the stream had; what was played while they grew is the same.
    let (video, audio) = expected(&pieces);
    let stored = read_clip(&file(&server, &whole), Value::Null);
    assert_same(&stored.video, &video, "pictures");
    // There is sound before the first picture, which the window begins with.
    assert_same(&stored.audio, &audio[2..], "sound");
    let grown: Vec<_> = grown.into_iter().map(|one| one.join().unwrap()).collect();
    for (answer, id) in grown.iter().zip([&whole, &part]) {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("accept-ranges"), "none");
        let grown = read_clip(&answer.body, Value::Null);
        let stored = read_clip(&file(&server, id), Value::Null);
        // The last segment comes whole.
        assert_same(&grown.video[..stored.video.len()], &stored.video, id);
        assert!(grown.video.len() < stored.video.len() + 60);
        assert!(
            grown
                .audio
                .starts_with(&stored.audio[..stored.audio.len() - 4])
        );
    }
    // Who plays the list sees the end of it.
    let (text, bytes) = listed(&server, &whole);
    assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
    assert!(bytes == all);
    // As the window would be cut from what a server with a DVR window keeps.
    server.assert_all_or_nothing();
    server.stop();
}

#[test]
fn recordings_survive_a_kill_at_any_moment() {
    let mut server = Server::start(SETTINGS);
    let pieces = pieces(&plan(), &[1, 2]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(8), Some(DATE));
    play(&server, &mut live, &pieces[..4]);
    server.wait_for_segments(4);
    let from = DATE + millis(&pieces[..2]);
    let open = record(&server, &json!({"from": date(from)}));
    let until = DATE + millis(&pieces[..20]);
    let closed = record(&server, &json!({"from": date(from), "to": date(until)}));
    for step in pieces[4..].chunks(7) {
        play(&server, &mut live, step);
        server.kill();
        server.run();
        server.wait_until_ready();
    }
    live.end();
    let (video, _) = expected(&pieces[2..]);
    let clip = ready(&server, &open);
    assert_eq!(clip["gaps"], json!([]), "{}", server.log());
    let stored = read_clip(&file(&server, &open), Value::Null);
    assert_same(&stored.video, &video, "pictures");
    ready(&server, &closed);
    let (video, _) = expected(&pieces[2..20]);
    let stored = read_clip(&file(&server, &closed), Value::Null);
    assert_same(&stored.video, &video, "pictures of a window");
    server.assert_all_or_nothing();
    // Nothing is kept of what nobody needs any more.
    server.kill();
    server.run();
    server.wait("nothing is kept", || {
        server.segments_in("dvr") + server.segments_in("spool") == 0
    });
}

#[test]
fn recordings_begin_and_end_when_they_are_told() {
    let server = Server::start(SETTINGS);
    let pieces = pieces(&plan(), &[1]);
    let answer = server.send("POST", CALL, "{}");
    assert_eq!(answer.status, 404, "nobody knows the stream");
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(6), Some(DATE));
    play(&server, &mut live, &pieces[..8]);
    server.wait_for_segments(8);
    let edge = DATE + millis(&pieces[..8]);
    for (asked, why) in [
        (
            json!({"to": date(edge - 1000)}),
            "to must be later than from",
        ),
        (json!({"from": "soon"}), "from is not an instant"),
        (json!({"until": "x"}), "unknown field"),
        (json!({"title": "a\nb"}), "control characters"),
        (json!({"tags": [""]}), "A tag has"),
    ] {
        let answer = server.send("POST", CALL, &asked.to_string());
        assert_eq!(answer.status, 400, "{asked}");
        let said = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(said.contains(why), "{said}");
    }
    // One that lies ahead, beyond this machine's clock too, is called off.
    let ahead = record(&server, &json!({"from": "2100-01-01T00:00:00Z"}));
    let found = server.json(&format!("/v1/apps/live/clips/{ahead}"));
    assert_eq!(found["state"], "scheduled");
    let answer = server.send("DELETE", &format!("{CALL}/{ahead}"), "");
    assert_eq!(answer.status, 204);
    server.wait("it is gone", || {
        let found = server.get(&format!("/v1/apps/live/clips/{ahead}"));
        found.is_some_and(|(status, _)| status == 404)
    });
    // From the live edge to the live edge.
    let now = record(&server, &json!({}));
    let found = server.json(&format!("{CALL}/{now}"));
    assert_eq!(
        (&found["state"], &found["from"]),
        (&json!("recording"), &json!(date(edge)))
    );
    play(&server, &mut live, &pieces[8..14]);
    server.wait_for_segments(14);
    let answer = server.send("DELETE", &format!("{CALL}/{now}"), "");
    assert_eq!(answer.status, 202);
    let stopped = date(DATE + millis(&pieces[..14]));
    assert_eq!(answer.json()["to"], stopped);
    // What comes behind its end tells that all of it is there.
    play(&server, &mut live, &pieces[14..16]);
    let clip = ready(&server, &now);
    assert_eq!(
        (&clip["from"], &clip["to"]),
        (&json!(date(edge)), &json!(stopped))
    );
    let (video, _) = expected(&pieces[8..14]);
    assert_same(
        &read_clip(&file(&server, &now), Value::Null).video,
        &video,
        "pictures",
    );
    let again = server.send("DELETE", &format!("{CALL}/{now}"), "");
    assert_eq!(again.status, 404);
    // A stream that comes back soon is one recording.
    let both = record(&server, &json!({}));
    play(&server, &mut live, &pieces[16..20]);
    live.end();
    server.wait("it has ended", || server.status("cam") == "finished");
    let later = DATE + millis(&pieces[..20]) + 5000;
    live.restart(Some(later));
    play(&server, &mut live, &pieces[20..24]);
    live.end();
    let clip = ready(&server, &both);
    let (mut video, _) = expected(&pieces[16..20]);
    video.extend(expected(&pieces[20..24]).0);
    assert_same(
        &read_clip(&file(&server, &both), Value::Null).video,
        &video,
        "of both",
    );
    assert_eq!(clip["gaps"].as_array().unwrap().len(), 1, "{clip}");
    server.assert_all_or_nothing();
}

#[test]
fn sound_in_playlists_of_its_own_is_played_while_it_grows() {
    if !installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let server = Server::start(SETTINGS);
    let mut sender = encode(&server.streams(), "cam", &[]);
    wait_until_live(&server);
    let id = record(&server, &json!({"from": "2000-01-01T00:00:00Z"}));
    assert!(sender.wait().unwrap().success());
    let clip = ready(&server, &id);
    let (status, text) = server.get(&format!("/live/streams/{id}.m3u8")).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("#EXT-X-MAP:"), "{text}");
    // Both are what players see: pictures and both languages, all of them.
    let stored = server.folder.path().join("stored.mp4");
    std::fs::write(&stored, file(&server, &id)).unwrap();
    let listed = server.folder.path().join("listed.mp4");
    let mut player = Command::new("ffmpeg");
    player.args("-v error -xerror -nostdin -i".split(' '));
    player.arg(format!(
        "http://{}/live/streams/{id}.m3u8",
        server.address()
    ));
    player.args("-map 0 -c copy".split(' ')).arg(&listed);
    let run = finish(player);
    assert_eq!(run.code, 0, "{}\n{text}", run.stderr);
    let frames = |path: &std::path::Path| {
        let seen = ffprobe(path, &["-count_packets", "-show_streams"]);
        let streams = seen["streams"].as_array().unwrap().clone();
        let counts = streams.iter().map(|one| {
            let count = one["nb_read_packets"].as_str().unwrap();
            (one["codec_name"].clone(), count.parse::<i64>().unwrap())
        });
        counts.collect::<Vec<_>>()
    };
    let (stored, listed) = (frames(&stored), frames(&listed));
    assert_eq!(stored.len(), 3, "{stored:?} {clip}");
    for (stored, listed) in stored.iter().zip(&listed) {
        assert_eq!(stored.0, listed.0);
        assert!((stored.1 - listed.1).abs() <= 3, "{stored:?} {listed:?}");
    }
}

#[test]
fn a_clip_whose_end_lies_ahead_is_recorded_until_then() {
    let server = Server::start(SETTINGS);
    let mut sender = ffmpeg(&server);
    let Some(sender) = &mut sender else { return };
    wait_until_live(&server);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let edge = i64::try_from(now.unwrap().as_millis()).unwrap();
    let asked =
        json!({"stream": "cam", "from": date(edge), "to": date(edge + 8000), "title": "Ahead"});
    let answer = server.send("POST", "/v1/apps/live/clips", &asked.to_string());
    assert_eq!(answer.status, 202, "{}", answer.json());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let now = json!({"stream": "cam", "last": "1s", "tags": ["now"]});
    let now = server.send("POST", "/v1/apps/live/clips", &now.to_string());
    assert_eq!(now.status, 201, "{}", now.json());
    let clip = ready(&server, &id);
    assert_eq!(clip["title"], "Ahead");
    // To the end of its last frame of sound.
    let long = clip["duration_ms"].as_i64().unwrap();
    assert!((8000..8050).contains(&long), "{clip}");
    let _ = sender.kill();
    let _ = sender.wait();
    let of_kind = |query: &str| {
        let page = server.json(&format!("/v1/apps/live/clips?{query}"));
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(of_kind("kind=recording"), 1);
    assert_eq!(of_kind("kind=on_demand&tag=now"), 1);
    assert_eq!(of_kind("q=ahead"), 1);
    assert_eq!(of_kind("stream=other"), 0);
    assert_eq!(of_kind("limit=1"), 1);
    let first = server.json("/v1/apps/live/clips?limit=1");
    let next = first["next"].as_str().unwrap();
    let second = server.json(&format!("/v1/apps/live/clips?limit=1&cursor={next}"));
    assert_ne!(first["items"], second["items"]);
    assert_eq!(second["next"], Value::Null);
    let deleted = server.send("DELETE", &format!("/v1/apps/live/clips/{id}"), "");
    assert_eq!(deleted.status, 204);
    assert_eq!(of_kind("kind=recording"), 0);
}

fn wait_until_live(server: &Server) {
    server.wait("it is live", || {
        let found = server.get("/v1/apps/live/streams/cam");
        let stream = found.and_then(|(_, body)| serde_json::from_slice::<Value>(&body).ok());
        stream.is_some_and(|stream| stream["live_edge"].is_string())
    });
}

/// A stream in real time, dated by this machine's clock.
fn ffmpeg(server: &Server) -> Option<std::process::Child> {
    if !installed(&["ffmpeg"]) {
        return None;
    }
    let list = server.folder.path().join("list.txt");
    let names = (0..10).map(|n| {
        format!(
            "file '{}'\n",
            root().join(format!("fixtures/demo/seg{n:02}.ts")).display()
        )
    });
    std::fs::write(&list, names.collect::<String>()).unwrap();
    let mut command = Command::new("ffmpeg");
    command.args("-v fatal -nostdin -re -stream_loop -1 -f concat -safe 0 -i".split(' '));
    command.arg(&list);
    command.args("-c copy -f hls -hls_time 2 -hls_list_size 5".split(' '));
    command.args("-hls_flags delete_segments+program_date_time".split(' '));
    command.arg(server.streams().join("cam.m3u8"));
    Some(command.stdin(Stdio::null()).spawn().unwrap())
}

/// Plays a file until so many seconds of it were shown, or it fails; where `seek` is given, from there on.
const PLAY: &str = "
    const [url, seconds, seek, done] = arguments;
    document.querySelectorAll('video').forEach(one => one.remove());
    const video = document.createElement('video');
    document.documentElement.append(video);
    video.muted = true;
    if (seek) { video.addEventListener('loadedmetadata', () => { video.currentTime = Number(seek); }); }
    video.src = url;
    video.play().catch(() => {});
    const begun = Date.now();
    const look = () => {
        const shown = {time: video.currentTime, width: video.videoWidth, duration: String(video.duration),
            failure: video.error?.message ?? null,
            played: video.played.length ? video.played.end(video.played.length - 1) - video.played.start(video.played.length - 1) : 0};
        if (shown.played >= Number(seconds) || video.error || Date.now() - begun > 35000) { done(shown); } else { setTimeout(look, 50); }
    };
    look();";

#[test]
fn ffplay_plays_a_recording_while_it_grows() {
    if !installed(&["ffplay"]) {
        return;
    }
    let server = Server::start(SETTINGS);
    let Some(mut sender) = ffmpeg(&server) else {
        return;
    };
    wait_until_live(&server);
    server.wait_for_segments(2);
    let id = record(&server, &json!({}));
    for suffix in ["mp4", "m3u8"] {
        // Whoever lists it has something to list.
        let url = format!("/live/streams/{id}.{suffix}");
        server.wait("something has come", || {
            let found = server.get(&format!("/live/streams/{id}.m3u8"));
            found.is_some_and(|(status, _)| status == 200)
        });
        // What grows has no end: it is stopped.
        let mut player = Command::new("timeout");
        player.args("14 ffplay -v warning -stats".split(' '));
        player.arg(format!("http://{}{url}", server.address()));
        player.env("SDL_VIDEODRIVER", "dummy");
        player.env("SDL_AUDIODRIVER", "dummy");
        player.env("SDL_RENDER_DRIVER", "software");
        let run = finish(player);
        assert!(!run.stderr.contains("rror"), "{suffix}: {}", run.stderr);
        // Its clock, again and again: how far it has come.
        let clocks = run.stderr.split("A-V:").filter_map(|said| {
            let clock = said.split_whitespace().next_back()?;
            clock.parse::<f64>().ok().filter(|clock| clock.is_finite())
        });
        let first_and_last = clocks.fold(None, |known: Option<(f64, f64)>, clock| {
            Some((known.map_or(clock, |(first, _)| first), clock))
        });
        let (first, last) = first_and_last.unwrap_or_default();
        assert!(
            last - first > 3.0,
            "{suffix}: {first} {last}: {}",
            run.stderr
        );
    }
    let _ = sender.kill();
    let _ = sender.wait();
}

#[test]
fn chromium_plays_a_recording_while_it_grows_and_seeks_in_it_then() {
    if !installed(&["chromium", "chromedriver"]) {
        return;
    }
    let server = Server::start(SETTINGS);
    let Some(mut sender) = ffmpeg(&server) else {
        return;
    };
    wait_until_live(&server);
    let id = record(&server, &json!({}));
    let url = format!("http://{}/live/streams/{id}.mp4", server.address());
    let browser = Browser::start();
    browser.open(&format!("http://{}/healthz", server.address()));
    // More than was there when it was asked for.
    let shown = browser.run(PLAY, &[&url, "6", ""]);
    assert_eq!(shown["failure"], Value::Null, "{shown}");
    assert_eq!(shown["width"], 640, "{shown}");
    assert!(shown["played"].as_f64().unwrap() >= 6.0, "{shown}");
    let answer = server.send("DELETE", &format!("{CALL}/{id}"), "");
    assert_eq!(answer.status, 202);
    let clip = ready(&server, &id);
    let _ = sender.kill();
    let _ = sender.wait();
    let shown = browser.run(PLAY, &[&url, "1", "4"]);
    assert_eq!(shown["failure"], Value::Null, "{shown}");
    assert!(shown["time"].as_f64().unwrap() >= 5.0, "{shown}");
    assert!(shown["played"].as_f64().unwrap() < 3.0, "{shown}");
    let long: f64 = shown["duration"].as_str().unwrap().parse().unwrap();
    let stored = clip["duration_ms"].as_f64().unwrap() / 1000.0;
    assert!((long - stored).abs() < 0.1, "{shown} {clip}");
}
