//! The clip server as its clients know it: the contract, call by call, against the real binary
//! and a live stream.

mod beside;
mod uploads;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clipmill_tests::binary::root;
use clipmill_tests::live::{Live, Producer};
use clipmill_tests::server::{Receiver, Server, eventually, free_address};
use clipmill_tests::ts::Kind;
use clipmill_tests::{es, mp4, mux};
use serde_json::{Value, json};

fn millis(at: SystemTime) -> i64 {
    i64::try_from(at.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn result(success: bool, message: &str) -> Value {
    json!({"success": success, "message": message, "dataId": null, "errorId": 0})
}

fn nothing_to_say() -> Value {
    json!({"success": true, "message": null, "dataId": null, "errorId": 0})
}

/// Which of the producer's pictures a clip holds: their numbers, in its order.
fn pictures(producer: &Producer, file: &[u8]) -> Vec<usize> {
    let movie = mp4::read(file).unwrap();
    assert_eq!(movie.faults(file), Vec::<String>::new());
    let track = movie.tracks.iter().find(|track| track.is_video()).unwrap();
    let all: Vec<_> = producer
        .segments
        .iter()
        .flat_map(|segment| &segment.video)
        .collect();
    let number_of = |sample: usize| {
        let units = es::length_prefixed(track.data(file, sample)).unwrap();
        let content = units
            .into_iter()
            .filter(|unit| es::is_content(Kind::H264, unit));
        let content: Vec<_> = content.collect();
        let found = all
            .iter()
            .position(|unit| content.iter().eq(unit.content.iter()));
        found.expect("a picture that was never written")
    };
    (0..track.samples.len()).map(number_of).collect()
}

fn clip(server: &Server, vod: &Value) -> Vec<u8> {
    let path = vod["filePath"].as_str().unwrap();
    let answer = server.get(&format!("/live/{path}"));
    assert_eq!(answer.status, 200, "{vod}");
    assert_eq!(answer.header("content-type"), "video/mp4");
    assert_eq!(answer.body.len() as u64, vod["fileSize"].as_u64().unwrap());
    answer.body
}

/// Every picture of the clips, in a row: none is missing, none twice.
fn assert_tiles(producer: &Producer, server: &Server, clips: &[Value]) -> std::ops::Range<usize> {
    let all: Vec<_> = clips
        .iter()
        .flat_map(|vod| pictures(producer, &clip(server, vod)))
        .collect();
    let expected = all[0]..all[0] + all.len();
    assert_eq!(all, expected.clone().collect::<Vec<_>>());
    expected
}

#[test]
fn clips_are_made_periodically_and_on_demand_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_address();
    fs::write(folder.path().join("port"), port.to_string()).unwrap();
    let receiver = Receiver::new(vec![500], Some(port));
    let own = Receiver::new(Vec::new(), Some(port));
    let app = receiver.told_by("enabled = false\nwebhook_secret = \"s3cret\"");
    let server = Server::start(folder.path(), &app);
    let streams = folder.path().join("streams");

    // A broadcast that was announced lends its name and metadata; one that appears has neither.
    let announced = json!({
        "streamId": "hall", "name": "Hall", "metaData": "{\"room\":7}", "description": "d",
        "latitude": "47.1", "longitude": "8.2", "altitude": "400", "listenerHookURL": own.url(),
    });
    let made = server.send(
        "POST",
        "/live/rest/v2/broadcasts/create",
        &[],
        &announced.to_string(),
    );
    assert_eq!(
        (made.status, &made.json()["status"]),
        (200, &json!("created"))
    );
    let unseen = result(false, "No m3u8 file found for stream hall");
    assert_eq!(server.call("POST", "mp4/hall"), (417, unseen));

    let hall = Live::default().start(&streams.join("sub"), "hall");
    let mut cam = Live::default().start(&streams, "cam");
    let status =
        |id: &str| server.get(&format!("/live/rest/v2/broadcasts/{id}")).json()["status"].clone();
    eventually("both are live", || {
        (status("cam") == "broadcasting" && status("hall") == "broadcasting").then_some(())
    });
    let live = server
        .get("/live/rest/v2/broadcasts/active-live-stream-count")
        .json();
    assert_eq!(live, json!({"number": 2}));
    let playlist = server.get("/live/streams/cam.m3u8");
    assert_eq!(
        playlist.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(server.get("/live/streams/sub/hall.m3u8").status, 200);

    // Nothing has begun yet.
    let none = result(
        false,
        "There is no active timer for Clip Creator Plugin in app: live",
    );
    assert_eq!(server.call("DELETE", "periodic-recording"), (200, none));
    assert_eq!(
        server.call("POST", "periodic-recording/3"),
        (200, nothing_to_say())
    );
    eventually("two clips of cam", || {
        (server.vods("cam").len() >= 2).then_some(())
    });

    // On demand, which moves no boundary.
    assert_clip_of_announced(&server, &hall);
    let stored = returned_clip(&server);
    let vod = clip_of_listed_range(&server, &cam);

    // Again, then off: each time the remainder is cut.
    let asked = [&stored, &vod].map(|vod| vod["vodId"].clone());
    assert_switched_over_and_off(&server, &cam, &asked);

    assert_all_told(&server, &receiver, &own);

    // A stream that ends is told of too.
    cam.end();
    eventually("cam has ended", || {
        (status("cam") == "finished").then_some(())
    });
    eventually("its webhook", || receiver.seen_of("liveStreamEnded").pop());
    assert_eq!(server.stop(), Some(0));
    assert_no_leftovers(&streams);
}

/// A clip on demand has the name and the metadata of its broadcast, and tells when it was.
fn assert_clip_of_announced(server: &Server, hall: &Producer) {
    let before = millis(SystemTime::now());
    let (status_code, made) = server.call("POST", "mp4/hall?returnFile=false");
    assert_eq!(status_code, 200);
    assert_eq!(made["message"], "MP4 created successfully for stream hall");
    let id = made["dataId"].as_str().unwrap();
    assert!(
        id.len() == 24 && id.chars().all(|c| c.is_ascii_alphanumeric()),
        "{id}"
    );
    let vod = server.get(&format!("/live/rest/v2/vods/{id}")).json();
    assert_eq!(vod["vodName"], format!("{id}.mp4"));
    assert_eq!(vod["filePath"], format!("streams/sub/{id}.mp4"));
    let name = vod["streamName"].as_str().unwrap();
    assert!(name.starts_with("Hall (") && name.ends_with("p)"), "{name}");
    for (field, value) in [
        ("streamId", "hall"),
        ("type", "streamVod"),
        ("metadata", "{\"room\":7}"),
        ("description", "d"),
        ("latitude", "47.1"),
        ("longitude", "8.2"),
        ("altitude", "400"),
    ] {
        assert_eq!(vod[field], value, "{field}");
    }
    assert!(vod["creationDate"].as_i64().unwrap() >= before);
    let held = pictures(hall, &clip(server, &vod));
    let starts = millis(hall.began) + held[0] as i64 * 40;
    assert!(
        (vod["startTime"].as_i64().unwrap() - starts).abs() <= 1,
        "{vod} {starts}"
    );
    assert_eq!(vod["duration"], held.len() as i64 * 40);
}

/// A clip that is the answer is stored as well. Gives its entry.
fn returned_clip(server: &Server) -> Value {
    let answer = server.send(
        "POST",
        "/live/rest/clip-creator/mp4/cam?returnFile=true",
        &[],
        "",
    );
    assert_eq!(answer.status, 200);
    let id = answer.header("x-vodid").to_owned();
    let disposition = format!("attachment; filename=\"{id}.mp4\"");
    assert_eq!(answer.header("content-disposition"), disposition);
    assert_eq!(
        answer.header("content-length"),
        answer.body.len().to_string()
    );
    let stored = eventually("its entry", || {
        let found = server.get(&format!("/live/rest/v2/vods/{id}"));
        (found.status == 200).then(|| found.json())
    });
    assert_eq!(clip(server, &stored), answer.body);
    stored
}

/// A range of what the playlist still lists, frame by frame, and in part. Gives its entry.
fn clip_of_listed_range(server: &Server, cam: &Producer) -> Value {
    let from = millis(cam.began) + (cam.written() as i64 - 3) * 1000 + 200;
    let path = format!(
        "mp4/cam/range?startTimestamp={from}&endTimestamp={}",
        from + 2_000
    );
    let (status_code, made) = server.call("POST", &path);
    assert_eq!(status_code, 200, "{made}");
    let id = made["dataId"].as_str().unwrap();
    let vod = server.get(&format!("/live/rest/v2/vods/{id}")).json();
    assert_eq!(
        (&vod["startTime"], &vod["duration"]),
        (&json!(from), &json!(2000))
    );
    let whole = clip(server, &vod);
    let path = format!("/live/streams/{id}.mp4");
    let part = server.send("GET", &path, &[("Range", "bytes=100-199")], "");
    assert_eq!((part.status, part.body.as_slice()), (206, &whole[100..200]));
    let head = server.send("HEAD", &path, &[], "");
    assert_eq!(head.header("content-length"), whole.len().to_string());
    vod
}

/// Periodic clips with another interval, then none: those of both timers follow on one another. The clips that
/// were `asked` for are none of them.
fn assert_switched_over_and_off(server: &Server, cam: &Producer, asked: &[Value]) {
    let old = "Old clip-creator timer is cancelled for app: live and new one will be created";
    assert_eq!(
        server.call("POST", "periodic-recording/2"),
        (200, result(true, old))
    );
    let known = server.vods("cam").len();
    eventually("two more clips", || {
        (server.vods("cam").len() >= known + 2).then_some(())
    });
    // What is the latest may not be taken in yet.
    let came = cam.written() - 1;
    assert_eq!(
        server.call("DELETE", "periodic-recording"),
        (200, nothing_to_say())
    );
    let periodic = || {
        let mut vods = server.vods("cam");
        vods.retain(|vod| !asked.contains(&vod["vodId"]));
        vods
    };
    let settled = eventually("the last clip", || {
        let clips = periodic();
        let last = pictures(cam, &clip(server, clips.last()?));
        (*last.last()? + 1 >= came * 25).then_some(clips)
    });
    assert!(settled.len() >= 4, "{settled:?}");
    let covered = assert_tiles(cam, server, &settled);
    assert!(covered.len() >= 25 * 8, "{covered:?}");
}

/// Every clip was told of, after it could be fetched, to whom its broadcast says.
fn assert_all_told(server: &Server, receiver: &Receiver, own: &Receiver) {
    let told = |receiver: &Receiver, stream: &str| {
        let mut missing: Vec<_> = server
            .vods(stream)
            .iter()
            .map(|vod| vod["vodId"].clone())
            .collect();
        for delivery in receiver.seen_of("vodReady") {
            missing.retain(|id| delivery.json()["vodId"] != *id);
        }
        missing.is_empty().then_some(())
    };
    eventually("cam's webhooks", || told(receiver, "cam"));
    eventually("hall's webhooks", || told(own, "hall"));
    let first = receiver.seen().remove(0);
    let again = receiver
        .seen()
        .iter()
        .filter(|d| d.body == first.body)
        .count();
    assert_eq!(again, 2, "the one that was refused, and the same again");
    let started = receiver.seen_of("liveStreamStarted").remove(0).json();
    assert_eq!(
        (&started["id"], &started["app"]),
        (&json!("cam"), &json!("live"))
    );
    for delivery in own
        .seen_of("vodReady")
        .iter()
        .chain(&receiver.seen_of("vodReady"))
    {
        assert_eq!(
            delivery
                .clip
                .filter(|_| !delivery.body.contains("hall"))
                .unwrap_or(200),
            200
        );
        assert_eq!(delivery.header("content-type"), "application/json");
        assert_eq!(delivery.header("x-clipmill-delivery").len(), 36);
        assert!(delivery.header("x-clipmill-signature").starts_with("t="));
        let hook = delivery.json();
        assert_eq!(hook["vodName"], hook["vodId"]);
        assert!(hook["timestamp"].is_string() && hook["duration"].is_string());
        assert!(hook.get("streamName").is_none());
        if hook["id"] == "hall" {
            assert_eq!(hook["metadata"], json!({"room": 7}));
        } else {
            assert!(hook.get("metadata").is_none());
        }
    }
}

/// No file of a clip that was never finished.
fn assert_no_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        assert!(!name.ends_with(".part"), "{name}");
        if entry.path().is_dir() {
            assert_no_leftovers(&entry.path());
        }
    }
}

/// The path of a call for a range of a stream, in milliseconds.
fn range(stream: &str, from: i64, to: i64) -> String {
    format!("mp4/{stream}/range?startTimestamp={from}&endTimestamp={to}")
}

/// A live stream that the server knows.
fn known_stream(streams: &Path, server: &Server) -> Producer {
    let cam = Live::default().start(streams, "cam");
    cam.wait_for(3);
    eventually("cam is known", || {
        (server.get("/live/rest/v2/broadcasts/cam").status == 200).then_some(())
    });
    cam
}

#[test]
fn what_cannot_be_done_is_said_as_the_contract_words_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = false\nmax_clip_seconds = 100");
    let now = millis(SystemTime::now());
    let unknown = "No broadcast exists for stream nobody";
    let calls = [
        ("mp4/nobody?returnFile=true".to_owned(), 417, unknown),
        (range("nobody", now - 5_000, now), 417, unknown),
        (
            range("nobody", now, now),
            400,
            "endTimestamp must be greater than startTimestamp",
        ),
        (
            range("nobody", now, now + 60_000),
            400,
            "endTimestamp must not be in the future",
        ),
        (
            range("nobody", now - 101_000, now),
            400,
            "Requested clip duration 101s exceeds maxClipDurationSeconds=100. \
             Raise the plugin setting if you need longer clips.",
        ),
    ];
    for (path, status, message) in calls {
        let expected = (status, result(false, message));
        assert_eq!(server.call("POST", &path), expected, "{path}");
    }
    for (period, status) in [("0", 400), ("-1", 400), ("ten", 404), ("2.5", 404)] {
        let path = format!("periodic-recording/{period}");
        assert_eq!(server.call("POST", &path).0, status, "{path}");
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_window_without_media_is_said_as_the_contract_words_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = false");
    let now = millis(SystemTime::now());
    let streams = folder.path().join("streams");
    fs::write(streams.join("odd.m3u8"), "this is no playlist\n").unwrap();
    let create = "/live/rest/v2/broadcasts/create";
    let made = server.send("POST", create, &[], "{\"streamId\":\"odd\"}");
    assert_eq!(made.status, 200);
    let odd = result(false, "No HLS playlist found for stream odd");
    eventually("odd's file is seen", || {
        (server.call("POST", "mp4/odd") == (417, odd.clone())).then_some(())
    });
    // A playlist that is one, and lists nothing: before the first segment, or after the last.
    let bare = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n";
    fs::write(streams.join("bare.m3u8"), bare).unwrap();
    let made = server.send("POST", create, &[], "{\"streamId\":\"bare\"}");
    assert_eq!(made.status, 200);
    let says_nothing_there = |status: u16, answer: &Value| {
        let message = answer["message"].as_str().unwrap();
        status == 417 && message.starts_with("No segment file found for stream bare between 20")
    };
    eventually("bare's file is seen", || {
        let (status, answer) = server.call("POST", "mp4/bare");
        says_nothing_there(status, &answer).then_some(())
    });
    let (status, answer) = server.call("POST", &range("bare", now - 9_000, now - 5_000));
    assert!(says_nothing_there(status, &answer), "{answer}");

    let _cam = known_stream(&streams, &server);
    let (status, answer) = server.call("POST", &range("cam", now - 90_000, now - 80_000));
    assert_eq!(status, 417);
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.starts_with("No segment file found for stream cam between 20"),
        "{message}"
    );
    let end = "Z (the requested range may be outside the HLS retention window or the stream had \
               no data then)";
    assert!(message.ends_with(end), "{message}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn clean_up_leaves_alone_what_is_not_a_clip_and_what_an_entry_points_to() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = false");
    let streams = folder.path().join("streams");
    let _cam = known_stream(&streams, &server);
    let (_, made) = server.call("POST", "mp4/cam");
    let id = made["dataId"].as_str().unwrap().to_owned();
    let stray = format!("{}.mp4", "Z".repeat(24));
    for name in [stray.as_str(), "recording.mp4"] {
        fs::write(streams.join(name), "x").unwrap();
    }
    // What cannot be removed is named, and keeps nothing else: this one's record is a folder.
    let stuck = "streams/sub/YYYYYYYYYYYYYYYYYYYYYYYY.mp4";
    let stuck_file = folder.path().join(stuck);
    fs::create_dir_all(stuck_file.with_extension("json")).unwrap();
    fs::write(&stuck_file, "x").unwrap();
    fs::write(streams.join(format!("{}.mp4", "X".repeat(24))), "x").unwrap();
    let record = stuck.replace(".mp4", ".json");
    let failed = result(false, &format!("Following files are not deleted: {record}"));
    assert_eq!(server.call("DELETE", "mp4-not-in-db"), (200, failed));
    assert!(!streams.join(format!("{}.mp4", "X".repeat(24))).exists());
    assert!(!streams.join(&stray).exists() && !stuck_file.exists());
    fs::remove_dir_all(streams.join("sub")).unwrap();
    fs::write(streams.join(&stray), "x").unwrap();
    let (_, cleaned) = server.call("DELETE", "mp4-not-in-db");
    assert_eq!(cleaned["dataId"], "1");
    let message = "All files - not in the database - in the streams directory are deleted \
                   successfully for app:live deleted file count:1";
    assert_eq!(cleaned["message"], message);
    assert!(!streams.join(&stray).exists() && streams.join("recording.mp4").exists());
    let (_, synced) = server.call("DELETE", "mp4-not-in-db");
    assert_eq!(synced["message"], "MP4 files and database is in synch");

    // What is deleted is gone, file and entry.
    let file = streams.join(format!("{id}.mp4"));
    assert!(file.exists());
    let gone = server.send("DELETE", &format!("/live/rest/v2/vods/{id}"), &[], "");
    assert_eq!(gone.json(), result(true, "vod deleted"));
    assert!(!file.exists());
    assert_eq!(server.get(&format!("/live/rest/v2/vods/{id}")).status, 404);
    assert_eq!(server.get(&format!("/live/streams/{id}.mp4")).status, 404);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn faults_in_the_configuration_change_nothing_and_what_is_right_takes_effect_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = false\nmax_clip_seconds = 100");
    let now = millis(SystemTime::now());
    server.reconfigure("enabled = false\nmax_clip_second = 7");
    eventually("the fault is told", || {
        server
            .log()
            .contains("did you mean `max_clip_seconds`")
            .then_some(())
    });
    server.reconfigure("enabled = false\nmax_clip_seconds = 7");
    eventually("the new limit", || {
        let (_, answer) = server.call("POST", &range("nobody", now - 8_000, now));
        answer["message"]
            .as_str()?
            .contains("maxClipDurationSeconds=7.")
            .then_some(())
    });
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_killed_server_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::new(Vec::new(), None);
    let app = receiver.told_by("interval_seconds = 2");
    let streams = folder.path().join("streams");
    let mut cam = Live::default().start(&streams, "cam");
    for _ in 0..4 {
        let server = Server::start(folder.path(), &app);
        let known = server.vods("cam").len();
        eventually("another clip", || {
            (server.vods("cam").len() > known).then_some(())
        });
        // Some way into the next one.
        std::thread::sleep(Duration::from_millis(700));
        server.kill();
    }
    let server = Server::start(folder.path(), &app);
    cam.end();
    eventually("cam has ended", || {
        let cam = server.get("/live/rest/v2/broadcasts/cam").json();
        (cam["status"] == "finished").then_some(())
    });
    eventually("all is told", || {
        let told = receiver.seen_of("vodReady");
        let known = |vod: &Value| told.iter().any(|hook| hook.json()["vodId"] == vod["vodId"]);
        server.vods("cam").iter().all(known).then_some(())
    });
    eventually("the last clip", || {
        let clips = server.vods("cam");
        let last = pictures(&cam, &clip(&server, clips.last()?));
        (*last.last()? + 1 == cam.written() * 25).then_some(())
    });
    let covered = assert_tiles(&cam, &server, &server.vods("cam"));
    assert_eq!(
        covered.end,
        cam.written() * 25,
        "the stream's last picture is in its last clip"
    );
    assert_no_leftovers(&streams);
    // The same from the files alone.
    let before = server.vods("cam");
    assert_eq!(server.stop(), Some(0));
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    let server = Server::start(folder.path(), &app);
    assert_eq!(server.vods("cam"), before);
}

/// The words of the contract stay as they are; the log and a field of their own say why.
#[test]
fn a_stream_of_which_nothing_can_be_had_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "enabled = true\ninterval_seconds = 1");
    let streams = folder.path().join("streams");
    let mut playlist = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for n in 0..3 {
        let demo = root().join(format!("fixtures/demo/seg0{n}.ts"));
        let mut segment = fs::read(demo).unwrap();
        mux::scramble(&mut segment, &[0x100, 0x101], 0, false);
        fs::write(streams.join(format!("{n}.ts")), segment).unwrap();
        playlist.push_str(&format!("#EXTINF:2,\n{n}.ts\n"));
    }
    fs::write(streams.join("cam.m3u8"), playlist).unwrap();
    let what = "program 1 is scrambled: H.264 (stream type 0x1b) on PID 0x0100, AAC (stream type \
                0x0f) on PID 0x0101";
    let is_empty = |answer: &Value| {
        let message = answer["message"].as_str().unwrap_or_default();
        message.starts_with("No segment file found for stream cam between ")
    };
    let answer = eventually("the stream is known", || {
        let (status, answer) = server.call("POST", "mp4/cam");
        (status == 417 && is_empty(&answer)).then_some(answer)
    });
    let reason = answer["reason"].as_str().unwrap_or_default();
    assert!(reason.ends_with(what), "{answer}");
    let window = server.get("/live/streams/cam.mp4?last=2s");
    assert_eq!(window.status, 417);
    assert!(is_empty(&window.json()), "{}", window.json());
    let reason = window.json()["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(reason.ends_with(what), "{reason}");
    // Once, not for each segment.
    let said = format!("no clips can be made: {what}");
    let count = |log: String| log.lines().filter(|line| line.contains(&said)).count();
    eventually("the log says so", || {
        (count(server.log()) > 0).then_some(())
    });
    assert_eq!(count(server.log()), 1, "{}", server.log());
    assert!(server.vods("cam").is_empty());

    // A window that lies elsewhere.
    let (status, answer) = server.call(
        "POST",
        "mp4/cam/range?startTimestamp=1000&endTimestamp=2000",
    );
    assert_eq!((status, is_empty(&answer)), (417, true), "{answer}");
    let reason = answer["reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("its playlist lists media from 20"),
        "{answer}"
    );
}
