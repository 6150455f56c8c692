//! Clips that exist nowhere: byte for byte what would be stored, in one piece or in many, and
//! nothing of them on the disk.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use clipmill_tests::listing::date_of;
use clipmill_tests::live::{Live, Producer};
use clipmill_tests::mp4;
use clipmill_tests::server::{Answer, Server, eventually};

fn files(folder: &Path) -> usize {
    let names = fs::read_dir(folder).unwrap().flatten();
    let clips = names.filter(|entry| entry.file_name().to_string_lossy().contains(".mp4"));
    clips.count()
}

/// The clip that is stored for a window, and the one that is not.
fn both(server: &Server, from: i64, to: i64, cut: &str) -> (Vec<u8>, Answer) {
    let call = format!("mp4/cam/range?startTimestamp={from}&endTimestamp={to}{cut}");
    let (status, answer) = server.call("POST", &call);
    assert_eq!(status, 200, "{answer}");
    let id = answer["dataId"].as_str().unwrap();
    let stored = server.get(&format!("/live/streams/{id}.mp4"));
    let shown = server.get(&format!("/live/streams/cam.mp4?start={from}&end={to}{cut}"));
    assert_eq!(shown.status, 200);
    (stored.body, shown)
}

fn began(producer: &Producer) -> i64 {
    let since = producer.began.duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

#[test]
fn a_clip_that_is_not_stored_is_the_one_that_would_be() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "interval_seconds = 600");
    let streams = folder.path().join("streams");
    let live = Live {
        window: None,
        ..Live::default()
    };
    let mut producer = live.start(&streams, "cam");
    producer.wait_for(7);
    eventually("five seconds are known", || {
        let asked = format!(
            "/live/streams/cam.mp4?start={0}&end={1}",
            began(&producer),
            began(&producer) + 5500
        );
        (server.get(&asked).status == 200).then_some(())
    });
    let began = began(&producer);
    let windows = [
        (began, began + 5000, ""),
        (began + 1040, began + 3440, ""),
        (began + 700, began + 4300, "&cut=keyframe"),
        (began + 1500, began + 2500, "&cut=segment"),
    ];
    let mut tags = Vec::new();
    for (from, to, cut) in windows {
        let (stored, shown) = both(&server, from, to, cut);
        assert!(stored == shown.body, "{from} {to} {cut}");
        assert_eq!(
            mp4::read(&stored).unwrap().faults(&stored),
            Vec::<String>::new()
        );
        assert_eq!(shown.header("content-type"), "video/mp4");
        assert_eq!(shown.header("accept-ranges"), "bytes");
        assert_eq!(shown.header("access-control-allow-origin"), "*");
        assert_eq!(shown.header("content-length"), stored.len().to_string());
        tags.push(shown.header("etag").to_owned());
    }
    let stored = files(&streams);
    assert_eq!(stored, windows.len());

    // An instant may be written in either way.
    let date = |ms: i64| date_of(UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs()));
    let (from, to, _) = windows[1];
    let path = format!(
        "/live/streams/cam.mp4?start={}&end={}",
        date(from),
        date(to)
    );
    let whole = server.get(&path);
    assert_eq!(whole.header("etag"), tags[1]);
    in_pieces(&server, &path, &whole);

    // So much before the live edge; a request that goes on gets the same clip.
    let path = "/live/streams/cam.mp4?last=2s";
    let first = server.send("GET", path, &[("Range", "bytes=0-99")], "");
    assert_eq!((first.status, first.body.len()), (206, 100));
    let before = producer.written();
    producer.wait_for(before + 2);
    let rest = server.send("GET", path, &[("Range", "bytes=100-")], "");
    assert_eq!(rest.header("etag"), first.header("etag"));
    let last = [first.body, rest.body].concat();
    assert_eq!(
        mp4::read(&last).unwrap().faults(&last),
        Vec::<String>::new()
    );

    // After the end of the stream and of the server the same, from what is left of the playlist.
    producer.end();
    eventually("the stream has ended", || {
        let broadcast = server.get("/live/rest/v2/broadcasts/cam").json();
        (broadcast["status"] == "finished").then_some(())
    });
    for ((from, to, cut), tag) in windows.iter().zip(&tags) {
        let (stored, shown) = both(&server, *from, *to, cut);
        assert!(stored == shown.body, "{from} {to} {cut}");
        assert_eq!(shown.header("etag"), tag);
    }
    assert_eq!(server.stop(), Some(0));
    let server = Server::start(folder.path(), "interval_seconds = 600");
    for ((from, to, cut), tag) in windows.iter().zip(&tags) {
        let path = format!("/live/streams/cam.mp4?start={from}&end={to}{cut}");
        assert_eq!(server.get(&path).header("etag"), tag);
    }
}

/// Ranges are those of the whole.
fn in_pieces(server: &Server, path: &str, whole: &Answer) {
    let len = whole.body.len();
    let tag = whole.header("etag");
    let get = |headers: &[(&str, &str)]| server.send("GET", path, headers, "");
    let mut joined = Vec::new();
    for (first, step) in [0, 1, 40, 5000, len / 2, len - 3]
        .windows(2)
        .map(|two| (two[0], two[1]))
    {
        let range = format!("bytes={first}-{}", step - 1);
        let piece = get(&[("Range", &range), ("If-Range", tag)]);
        assert_eq!(piece.status, 206, "{range}");
        let of = format!("bytes {first}-{}/{len}", step - 1);
        assert_eq!(piece.header("content-range"), of);
        joined.extend(piece.body);
    }
    joined.extend(get(&[("Range", "bytes=-3")]).body);
    assert!(joined == whole.body);
    // Of another version the whole is sent.
    let other = get(&[("Range", "bytes=0-1"), ("If-Range", "\"other\"")]);
    assert_eq!((other.status, other.body.len()), (200, len));
    let beyond = get(&[("Range", &format!("bytes={len}-"))]);
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{len}"));
    assert_eq!(get(&[("If-None-Match", tag)]).status, 304);
    assert_eq!(get(&[("If-Match", "\"other\"")]).status, 412);
    let head = server.send("HEAD", path, &[], "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), len.to_string());
    assert_eq!(head.header("etag"), tag);
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "max_clip_seconds = 60");
    let producer = Live::default().start(&folder.path().join("streams"), "cam");
    eventually("the stream is live", || {
        (server.get("/live/streams/cam.mp4?last=1s").status == 200).then_some(())
    });
    let began = began(&producer);
    let later = began + 3_600_000;
    let (to, long, early) = (began + 1000, began - 61_000, began - 5000);
    for (query, status, message) in [
        (format!("start={began}"), 400, "end is missing"),
        (format!("end={began}"), 400, "start is missing"),
        (
            format!("start={began}&last=1s"),
            400,
            "last cannot be combined",
        ),
        (
            "start=soon&end=later".to_owned(),
            400,
            "start is not an instant",
        ),
        (
            format!("start={to}&end={began}"),
            400,
            "end must be greater than start",
        ),
        (
            format!("start={began}&end={later}"),
            400,
            "end must not be in the future",
        ),
        (
            format!("start={long}&end={began}"),
            400,
            "exceeds maxClipDurationSeconds=60",
        ),
        (
            "last=2m".to_owned(),
            400,
            "exceeds maxClipDurationSeconds=60",
        ),
        ("last=30".to_owned(), 400, "last: "),
        ("last=0s".to_owned(), 400, "last must be greater than 0"),
        ("last=1s&cut=somehow".to_owned(), 400, "cut is none of"),
        (
            format!("start={early}&end={}", early + 1000),
            417,
            "No segment file found for stream cam",
        ),
    ] {
        let answer = server.get(&format!("/live/streams/cam.mp4?{query}"));
        assert_eq!(answer.status, status, "{query}");
        let answer = answer.json();
        assert_eq!(answer["success"], false);
        let said = answer["message"].as_str().unwrap();
        assert!(said.contains(message), "{query}: {said}");
    }
    for path in [
        "nobody.mp4?last=1s",
        "sub/cam.mp4?last=1s",
        "..%2Fcam.mp4?last=1s",
        "cam.mp4",
    ] {
        assert_eq!(
            server.get(&format!("/live/streams/{path}")).status,
            404,
            "{path}"
        );
    }
    assert_eq!(server.get("/other/streams/cam.mp4?last=1s").status, 404);
    // What is no clip is a file, whatever the query.
    assert_eq!(server.get("/live/streams/cam.m3u8?last=1s").status, 200);
    assert_eq!(files(&folder.path().join("streams")), 0);
}
