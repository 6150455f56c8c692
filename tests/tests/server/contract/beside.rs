//! What clients of Ant Media Server call beside its plugin, and what a broadcast offers: names, windows as
//! playlists, playlists as clips, the recording switch, scripts.

use super::*;

/// As it stands in a path or a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// What a browser makes of a relative reference: it lets a percent sign be, and parts the query and the
/// fragment off.
fn asked_for(reference: &str) -> String {
    let path = reference.split(['?', '#']).next().unwrap();
    let one = |byte: u8| match byte.is_ascii_graphic() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    path.bytes().map(one).collect()
}

/// A short stream, so that many of them can be written at once.
fn short() -> Live {
    let mut live = Live::default();
    live.plan.groups = 300;
    live.plan.weight = 20;
    live
}

/// The segments that a playlist lists, each as a player gets it.
fn played(server: &Server, folder: &str, playlist: &str) -> Vec<Vec<u8>> {
    let uris = playlist
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let get = |uri: &str| {
        let answer = server.get(&format!("{folder}{}", asked_for(uri)));
        assert_eq!(answer.status, 200, "{folder}{uri}");
        answer.body
    };
    uris.map(get).collect()
}

#[test]
fn streams_are_named_in_any_script() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::new(Vec::new(), None);
    let app = receiver.told_by("interval_seconds = 2");
    let streams = folder.path().join("streams");
    let ids = [
        "直播间",
        "with space",
        "a+b",
        "cam@home",
        "cam(1)",
        "naïve",
        "nai\u{308}ve",
        "50%",
        "a%20b",
        "a?b=c",
        "c#d",
        "é&'=;~",
    ];
    let producers: Vec<_> = ids.iter().map(|id| short().start(&streams, id)).collect();
    fs::write(streams.join("a..b.m3u8"), "#EXTM3U\n").unwrap();
    fs::write(streams.join("a\u{7}b.m3u8"), "#EXTM3U\n").unwrap();
    let server = Server::start(folder.path(), &app);
    let vods = |server: &Server, id: &str| server.vods(&encoded(id));
    let mut asked = Vec::new();
    for (id, producer) in ids.iter().zip(&producers) {
        let path = encoded(id);
        eventually(&format!("two clips of {id}"), || {
            (vods(&server, id).len() >= 2).then_some(())
        });
        let broadcast = server
            .get(&format!("/live/rest/v2/broadcasts/{path}"))
            .json();
        assert_eq!(broadcast["streamId"], *id);
        assert_eq!(broadcast["status"], "broadcasting");
        assert!(
            folder.path().join("data/spool/live").join(id).is_dir(),
            "{id}"
        );
        let (_, made) = server.call("POST", &format!("mp4/{path}"));
        let message = format!("MP4 created successfully for stream {id}");
        assert_eq!(made["message"], message);
        asked.push(made["dataId"].clone());
        let last = server.get(&format!("/live/streams/{path}.mp4?last=2s"));
        assert_eq!(last.status, 200, "{id}");
        assert!(pictures(producer, &last.body).len() >= 50);
        for query in ["", "?last=2s"] {
            let playlist = server.get(&format!("/live/streams/{path}.m3u8{query}"));
            assert_eq!(playlist.status, 200, "{id}");
            let listed = played(
                &server,
                "/live/streams/",
                &String::from_utf8(playlist.body).unwrap(),
            );
            assert!(listed.len() >= 2);
            for body in listed {
                assert!(
                    producer
                        .segments
                        .iter()
                        .any(|segment| segment.bytes == body),
                    "{id}"
                );
            }
        }
        eventually(&format!("a webhook of {id}"), || {
            let told = receiver.seen_of("vodReady");
            told.iter().find(|hook| hook.json()["id"] == *id).map(drop)
        });
    }
    // After a crash each goes on where it was.
    server.kill();
    let server = Server::start(folder.path(), &app);
    for (id, producer) in ids.iter().zip(&producers) {
        let known = vods(&server, id).len();
        eventually(&format!("two more clips of {id}"), || {
            (vods(&server, id).len() >= known + 2).then_some(())
        });
        let mut clips = vods(&server, id);
        // Those that were asked for lie beside them.
        clips.retain(|vod| !asked.contains(&vod["vodId"]));
        clips.sort_by_key(|vod| vod["startTime"].as_i64());
        assert_tiles(producer, &server, &clips);
    }
    let log = server.log();
    for bad in ["a..b.m3u8", "a\\u{7}b.m3u8"] {
        let told = log
            .lines()
            .filter(|line| line.contains(bad) && line.contains("WARN"));
        // Once by each of the two servers.
        assert_eq!(told.count(), 2, "{bad}");
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_window_of_a_stream_is_a_playlist_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = false\nmax_clip_seconds = 100");
    let streams = folder.path().join("streams");
    let mut cam = Live {
        window: None,
        ..short()
    }
    .start(&streams.join("sub"), "cam");
    cam.wait_for(6);
    eventually("six segments are known", || {
        let edge = server.get("/live/streams/cam.mp4?last=5900ms");
        (edge.status == 200).then_some(())
    });
    let began = millis(cam.began);
    // From the middle of the second segment to the middle of the fourth.
    let (from, to) = (began + 1500, began + 3500);
    let ask = |query: &str| server.get(&format!("/live/streams/sub/cam.m3u8?{query}"));
    let answer = ask(&format!("start={from}&end={to}"));
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    let text = String::from_utf8(answer.body).unwrap();
    assert!(
        text.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && text.ends_with("#EXT-X-ENDLIST\n"),
        "{text}"
    );
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:1\n"), "{text}");
    assert_eq!(text.matches("#EXT-X-PROGRAM-DATE-TIME").count(), 3);
    let whole: Vec<_> = cam.segments[1..4]
        .iter()
        .map(|segment| segment.bytes.clone())
        .collect();
    assert_eq!(played(&server, "/live/streams/sub/", &text), whole);
    // Instants in seconds, and as people write them; a part of the answer; the same again.
    let rfc = |ms: i64| {
        let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap());
        clipmill_tests::listing::date_of(at).replace('+', "%2B")
    };
    let same = ask(&format!("start={}&end={}", rfc(from), rfc(to)));
    assert_eq!(String::from_utf8(same.body).unwrap(), text);
    let seconds = ask(&format!("start={}&end={}", from / 1000, to / 1000));
    let listed = played(
        &server,
        "/live/streams/sub/",
        &String::from_utf8(seconds.body).unwrap(),
    );
    let first = usize::try_from((from / 1000 * 1000 - began).max(0) / 1000).unwrap();
    assert_eq!(listed[0], cam.segments[first].bytes);
    let etag = same
        .headers
        .iter()
        .find(|(name, _)| name == "etag")
        .unwrap()
        .1
        .clone();
    let path = format!("/live/streams/sub/cam.m3u8?start={from}&end={to}");
    assert_eq!(
        server
            .send("GET", &path, &[("If-None-Match", &etag)], "")
            .status,
        304
    );
    let part = server.send("GET", &path, &[("Range", "bytes=0-6")], "");
    assert_eq!((part.status, part.body.as_slice()), (206, &b"#EXTM3U"[..]));
    // By its id alone it is found in its folder, where its segments are named from.
    let led = server.get(&format!("/live/streams/cam.m3u8?start={from}&end={to}"));
    assert_eq!(led.status, 307);
    assert_eq!(led.header("location"), path);
    // The last so much before the live edge.
    cam.end();
    let last = eventually("the end", || {
        let last = String::from_utf8(ask("last=1500ms").body).unwrap();
        let listed = played(&server, "/live/streams/sub/", &last);
        (listed.last() == cam.segments[..cam.written()].last().map(|s| &s.bytes)).then_some(listed)
    });
    assert_eq!(last.len(), 2);
    // A segment that is gone is a gap.
    fs::remove_file(streams.join("sub/cam000000002.ts")).unwrap();
    let gap = String::from_utf8(ask(&format!("start={from}&end={to}")).body).unwrap();
    assert!(
        gap.contains("#EXT-X-GAP\n") && gap.contains("#EXT-X-VERSION:8\n"),
        "{gap}"
    );
    // What cannot be is answered as a clip of it is.
    let now = millis(SystemTime::now());
    for (query, status) in [
        (format!("start={from}"), 400),
        (format!("end={to}"), 400),
        (format!("start={to}&end={from}"), 400),
        (format!("start={from}&end={}", now + 60_000), 400),
        (format!("start={}&end={from}", from - 101_000), 400),
        (format!("start={}&end={}", from - 9_000, from - 5_000), 417),
        ("start=soon&end=later".to_owned(), 400),
        ("last=0s".to_owned(), 400),
    ] {
        assert_eq!(ask(&query).status, status, "{query}");
        let clip = server.get(&format!("/live/streams/cam.mp4?{query}"));
        let reason = |answer: &clipmill_tests::server::Answer| answer.json()["message"].clone();
        let own = ask(&query);
        let own = reason(&own).as_str().unwrap().replace("sub/cam", "cam");
        assert_eq!(
            (clip.status, reason(&clip)),
            (status, json!(own)),
            "{query}"
        );
    }
    assert_eq!(server.get("/live/streams/nobody.m3u8?last=5s").status, 404);
    assert_eq!(
        server
            .get("/live/streams/../../etc/passwd.m3u8?last=5s")
            .status,
        404
    );
    assert_eq!(
        server.get("/live/streams/%2e%2e/x.m3u8?last=5s").status,
        404
    );
    // A multivariant playlist passes the window on; what it lists is no stream of its own from then on.
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\ncam.m3u8\n";
    fs::write(streams.join("sub/top.m3u8"), master).unwrap();
    let top = server.get(&format!("/live/streams/sub/top.m3u8?start={from}&end={to}"));
    assert!(
        String::from_utf8(top.body)
            .unwrap()
            .ends_with(&format!("\ncam.m3u8?start={from}&end={to}\n"))
    );
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn all_that_a_playlist_lists_is_made_a_clip() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::new(Vec::new(), None);
    let app = receiver.told_by("enabled = false");
    let server = Server::start(folder.path(), &app);
    let streams = folder.path().join("streams");
    let id = "直播 1";
    let mut cam = Live {
        window: None,
        ..short()
    }
    .start(&streams, id);
    cam.wait_for(4);
    eventually("it is known", || {
        let path = format!("/live/rest/v2/broadcasts/{}", encoded(id));
        (server.get(&path).status == 200).then_some(())
    });
    let convert = |name: &str, query: &str| {
        let path = format!(
            "/live/rest/v2/broadcasts/{}/hls-to-mp4{query}",
            encoded(name)
        );
        server.send("POST", &path, &[], "")
    };
    let made = convert(id, "").json();
    assert_eq!(
        (&made["success"], &made["message"]),
        (&json!(true), &Value::Null)
    );
    let vod = server
        .get(&format!(
            "/live/rest/v2/vods/{}",
            made["dataId"].as_str().unwrap()
        ))
        .json();
    let held = pictures(&cam, &clip(&server, &vod));
    assert!(held.len() >= 100 && held == (0..held.len()).collect::<Vec<_>>());
    eventually("its webhook", || {
        receiver
            .seen_of("vodReady")
            .iter()
            .find(|hook| hook.json()["vodId"] == vod["vodId"])
            .map(drop)
    });
    let written = cam.end();
    eventually("the end", || {
        let path = format!("/live/rest/v2/broadcasts/{}", encoded(id));
        (server.get(&path).json()["status"] == "finished").then_some(())
    });
    let file = convert(&format!("{id}.m3u8"), "?download=true&deleteHLSFiles=true");
    assert_eq!(
        (file.status, file.header("content-type")),
        (200, "video/mp4")
    );
    assert_eq!(
        file.header("content-disposition"),
        "attachment; filename=\"__ 1.mp4\"; filename*=UTF-8''%E7%9B%B4%E6%92%AD%201.mp4"
    );
    assert_eq!(
        pictures(&cam, &file.body),
        (0..written * 25).collect::<Vec<_>>()
    );
    let vod = server
        .get(&format!("/live/rest/v2/vods/{}", file.header("x-vodid")))
        .json();
    assert_eq!(clip(&server, &vod), file.body);
    let left = fs::read_dir(&streams)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name());
    let left: Vec<_> = left.filter_map(|name| name.into_string().ok()).collect();
    assert!(left.iter().all(|name| !name.starts_with(id)), "{left:?}");
    let why = format!("HLS to MP4 conversion has failed: No m3u8 file found for stream {id}");
    eventually("its files are known to be gone", || {
        (convert(id, "").json() == result(false, &why)).then_some(())
    });
    assert_eq!(convert(id, "?download=perhaps").status, 400);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_recording_switch_of_a_broadcast() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::new(Vec::new(), None);
    // Periodic clips are made beside it, and hold nothing up.
    let app = receiver.told_by("interval_seconds = 2");
    let streams = folder.path().join("streams");
    let mut cam = Live {
        window: Some(3),
        ..short()
    }
    .start(&streams, "cam");
    let server = Server::start(folder.path(), &app);
    eventually("a clip", || server.vods("cam").pop());
    let switch = |server: &Server, id: &str, rest: &str| {
        let path = format!("/live/rest/v2/broadcasts/{id}/recording/{rest}");
        let answer = server.send("PUT", &path, &[], "");
        (answer.status, answer.json())
    };
    assert_eq!(
        switch(&server, "nobody", "true"),
        (200, result(false, "No stream for this id: nobody"))
    );
    let not_running = result(false, "mp4 recording couldn't be stopped");
    assert_eq!(switch(&server, "cam", "false"), (200, not_running));
    let (_, webm) = switch(&server, "cam", "true?recordType=webm");
    assert_eq!(webm, result(false, "webm recording couldn't be started"));
    assert_eq!(switch(&server, "cam", "perhaps").0, 400);

    let before = cam.written();
    let (status, started) = switch(&server, "cam", "true?recordType=mp4");
    assert_eq!(
        (status, &started["success"], &started["message"]),
        (200, &json!(true), &json!("0"))
    );
    let id = started["dataId"].as_str().unwrap().to_owned();
    let (_, again) = switch(&server, "cam", "true");
    assert_eq!(again, result(false, "mp4 recording couldn't be started"));
    let path = format!("/live/rest/v2/vods/{id}");
    assert_eq!(server.get(&path).status, 404);
    // It goes on after a crash, and after all that it began with has slid out of the playlist.
    cam.wait_for(before + 3);
    server.kill();
    let server = Server::start(folder.path(), &app);
    cam.wait_for(before + 7);
    eventually("it is recorded again", || {
        let edge = server.get("/live/streams/cam.mp4?last=1s");
        (edge.status == 200).then_some(())
    });
    let after = cam.written();
    let (_, stopped) = switch(&server, "cam", "false");
    assert_eq!(
        (&stopped["success"], &stopped["dataId"]),
        (&json!(true), &json!(id))
    );
    let told: i64 = stopped["message"].as_str().unwrap().parse().unwrap();
    let vod = eventually("its clip", || {
        let found = server.get(&path);
        (found.status == 200).then(|| found.json())
    });
    assert!(
        vod["duration"].as_i64().unwrap() >= told && told >= 5000,
        "{vod} {told}"
    );
    let held = pictures(&cam, &clip(&server, &vod));
    assert_eq!(held, (held[0]..held[0] + held.len()).collect::<Vec<_>>());
    // What had come may not have been taken in yet when it began.
    assert!(
        (before.saturating_sub(1) * 25..=(before + 1) * 25).contains(&held[0]),
        "{}",
        held[0]
    );
    assert!(held.last().unwrap() + 1 >= after * 25, "{held:?}");
    eventually("its webhook", || {
        receiver
            .seen_of("vodReady")
            .iter()
            .find(|hook| hook.json()["vodId"] == json!(id))
            .map(drop)
    });

    // Turned on while nothing is live it holds for the next session, from the beginning to the end.
    let over = cam.end();
    eventually("the end", || {
        let cam = server.get("/live/rest/v2/broadcasts/cam").json();
        (cam["status"] == "finished").then_some(())
    });
    let nothing = json!({"success": true, "message": null, "dataId": null, "errorId": 0});
    assert_eq!(switch(&server, "cam", "true"), (200, nothing));
    assert_eq!(
        server.get("/live/rest/v2/broadcasts/cam").json()["mp4Enabled"],
        1
    );
    for entry in fs::read_dir(&streams).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("cam") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let known = server.vods("cam");
    let mut plan = short();
    plan.plan.start = 90_000 * 5000;
    let mut again = plan.start(&streams, "cam");
    again.wait_for(5);
    let written = again.end();
    let whole = eventually("the recording of all of it", || {
        let mut clips = server.vods("cam");
        clips.retain(|vod| !known.contains(vod));
        let mut held = clips
            .iter()
            .map(|vod| pictures(&again, &clip(&server, vod)));
        held.rfind(|held| held.len() == written * 25)
    });
    assert_eq!(whole, (0..written * 25).collect::<Vec<_>>());
    assert!(over > 0);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_script_is_run_after_each_clip() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("after clip");
    let seen = folder.path().join("seen");
    // The first clip's fails, the second one's takes too long.
    let text = format!(
        "#!/bin/sh\nn=$(cat {0} 2>/dev/null | wc -l)\necho \"$1 $2 $# $(env | grep -c CLIPMILL)\" >> {0}\n\
         [ $n = 0 ] && echo broken >&2 && exit 7\n[ $n = 1 ] && sleep 600\nexit 0\n",
        seen.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let app = format!(
        "interval_seconds = 2\njwt_secret = \"\"\nmuxer_finish_script = \"{}\"\nmuxer_finish_timeout = \"2s\"",
        script.display()
    );
    let streams = folder.path().join("streams");
    let cam = short().start(&streams, "cam");
    let server = Server::start(folder.path(), &app);
    eventually("clips go on whatever becomes of it", || {
        (server.vods("cam").len() >= 5).then_some(())
    });
    let lines = eventually("it was run for the first four", || {
        let text = fs::read_to_string(&seen).ok()?;
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (lines.len() >= 4).then_some(lines)
    });
    let streams = streams.canonicalize().unwrap();
    for vod in &server.vods("cam")[..4] {
        let path = streams.join(vod["vodName"].as_str().unwrap());
        let own = lines
            .iter()
            .find(|line| line.contains(vod["vodId"].as_str().unwrap()))
            .unwrap();
        assert_eq!(*own, format!("{} live 2 0", path.display()));
    }
    eventually("its failures are told", || {
        let log = server.log();
        (log.contains("exit status: 7: broken") && log.contains("killed after 2 s")).then_some(())
    });
    assert!(cam.written() > 0);
    assert_eq!(server.stop(), Some(0));
}
