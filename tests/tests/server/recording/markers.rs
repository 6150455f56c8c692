//! Markers: set by calls, said by playlists and by splices in segments; they name the ends of clips, and are their
//! chapters.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use clipmill_tests::listing::{Listed, Listing, date_of};
use clipmill_tests::origin::Origin;
use clipmill_tests::replay::{Kind, Live, Piece, pieces};
use clipmill_tests::server::try_request;
use clipmill_tests::writer::Plan;
use clipmill_tests::{scte35, tools};
use serde_json::{Value, json};

use super::server::Server;
use super::{DATE, plan, play, wait_for_end};

const MARKERS: &str = "/v1/apps/live/streams/cam/markers";

/// An instant as the interface has it.
fn date(ms: i64) -> String {
    date_of(UNIX_EPOCH + Duration::from_millis((DATE + ms).unsigned_abs())).replace("+0000", "Z")
}

/// The markers of the stream: name or id, begin and end in milliseconds.
fn listed(server: &Server) -> Vec<(String, i64, Option<i64>)> {
    let all = server.json(MARKERS);
    let all = all["items"].as_array().unwrap().iter();
    let ms = |value: &Value| {
        let text = value.as_str()?;
        let date: Vec<i64> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|part| part.parse().ok())
            .collect();
        Some((date[3] * 3600 + date[4] * 60 + date[5]) * 1000 + date[6] - 14 * 3_600_000)
    };
    all.map(|marker| {
        let name = marker["name"].as_str().or(marker["id"].as_str()).unwrap();
        (
            name.to_owned(),
            ms(&marker["from"]).unwrap(),
            ms(&marker["to"]),
        )
    })
    .collect()
}

fn set(server: &Server, body: &Value) -> String {
    let answer = server.send("POST", MARKERS, &body.to_string());
    assert_eq!(answer.status, 201, "{}", answer.json());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("{MARKERS}/{id}"));
    assert_eq!(server.json(answer.header("location"))["id"], id);
    id
}

/// The chapters of a clip as ffprobe lists them: where they begin, in milliseconds, and what they are called.
fn chapters(server: &Server, clip: &[u8]) -> Vec<(i64, String)> {
    let path = server.folder.path().join("chapters.mp4");
    fs::write(&path, clip).unwrap();
    let seen = tools::ffprobe(&path, &["-show_chapters"]);
    let all = seen["chapters"].as_array().unwrap().iter();
    all.map(|chapter| {
        let start: f64 = chapter["start_time"].as_str().unwrap().parse().unwrap();
        let title = chapter["tags"]["title"].as_str().unwrap().to_owned();
        ((start * 1000.0).round() as i64, title)
    })
    .collect()
}

fn chapter(at_ms: i64, title: &str) -> (i64, String) {
    (at_ms, title.to_owned())
}

fn get(server: &Server, path: &str) -> (u16, Vec<u8>) {
    server
        .get(path)
        .unwrap_or_else(|| panic!("{}", server.log()))
}

/// Some 19 seconds.
fn media() -> Vec<Piece> {
    let plan = Plan {
        groups: 40,
        ..plan()
    };
    pieces(&plan, &[1])
}

#[test]
fn markers_name_the_ends_of_clips_and_become_chapters() {
    let mut server = Server::start("interval_seconds = 8\n").once_ready();
    let pieces = media();
    let mut live = Live::new(&server.streams(), "cam", Kind::Event, Some(DATE));
    play(&server, &mut live, &pieces[..4]);
    server.wait("the stream is known", || {
        get(&server, "/v1/apps/live/streams/cam").0 == 200
    });
    let goal = set(&server, &json!({"at": date(2000), "name": "Goal"}));
    let replay = set(
        &server,
        &json!({"from": date(3000), "to": date(5000), "name": "Replay", "class": "show"}),
    );
    let tag = |more: &str| {
        format!(
            "#EXT-X-DATERANGE:ID=\"ad 1\",CLASS=\"ad\",START-DATE=\"{}\"{more}\n",
            date(6000)
        )
    };
    live.tag(&tag(",PLANNED-DURATION=30"));
    play(&server, &mut live, &pieces[4..20]);
    server.wait("the playlist's is there", || listed(&server).len() == 3);
    let marker = |name: &str, from: i64, to: i64| (name.to_owned(), from, Some(to));
    let planned = [
        marker("Goal", 2000, 2000),
        marker("Replay", 3000, 5000),
        marker("ad 1", 6000, 36_000),
    ];
    assert_eq!(listed(&server), planned);
    live.tag(&tag(&format!(",END-DATE=\"{}\"", date(7000))));
    play(&server, &mut live, &pieces[20..22]);
    server.wait("it ends earlier", || {
        listed(&server)[2] == marker("ad 1", 6000, 7000)
    });

    // By pages, and those of a window.
    let page = server.json(&format!("{MARKERS}?limit=2"));
    let next = page["next"].as_str().unwrap();
    let rest = server.json(&format!(
        "{MARKERS}?limit=2&cursor={}",
        next.replace(' ', "%20")
    ));
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&rest["items"][0]["id"], &rest["next"]),
        (&json!("ad 1"), &Value::Null)
    );
    assert_eq!(rest["items"][0]["source"], "daterange");
    let some = server.json(&format!("{MARKERS}?from={}&to=marker:{replay}", date(2500)));
    assert_eq!(some["items"].as_array().unwrap().len(), 1);
    assert_eq!(some["items"][0]["name"], "Replay");

    // A clip from one to another, virtual, stored and as a playlist, is that of their instants.
    let by = |from: &str, to: &str, kind: &str| {
        get(
            &server,
            &format!("/live/streams/cam.{kind}?start={from}&end={to}"),
        )
    };
    let (from, to) = (format!("marker:{goal}"), "marker:ad%201");
    for kind in ["mp4", "m3u8"] {
        let named = by(&from, to, kind);
        let meant = by(&date(2000), &date(7000), kind);
        assert_eq!(named.0, 200, "{}", String::from_utf8_lossy(&named.1));
        assert!(named.1 == meant.1, "{kind}");
    }
    let path = format!(
        "/live/rest/clip-creator/mp4/cam/range?returnFile=true&startTimestamp={from}&endTimestamp={to}"
    );
    let (status, stored) = server.ask("POST", &path).unwrap();
    assert_eq!(status, 200);
    for (from, to, status) in [
        ("marker:none", "marker:ad%201", 404),
        ("marker:", "marker:ad%201", 400),
        ("marker:ad%201", from.as_str(), 400),
    ] {
        let refused = by(from, to, "mp4");
        assert_eq!(refused.0, status, "{}", String::from_utf8_lossy(&refused.1));
    }
    if tools::installed(&["ffprobe"]) {
        let all = [
            chapter(0, "Goal"),
            chapter(1000, "Replay"),
            chapter(3000, "cam (240p)"),
            chapter(4000, "ad"),
        ];
        assert_eq!(chapters(&server, &stored), all);
        assert_eq!(chapters(&server, &by(&from, to, "mp4").1), all);
        // One more, and the clip is another: its version as well.
        let late = set(&server, &json!({"at": date(3500), "name": "Late"}));
        let more = chapters(&server, &by(&from, to, "mp4").1);
        assert!(more.contains(&chapter(1500, "Late")), "{more:?}");
        let removed = server.send("DELETE", &format!("{MARKERS}/{late}"), "");
        assert_eq!(removed.status, 204);
        assert_eq!(chapters(&server, &by(&from, to, "mp4").1), all);
    }

    // A periodic clip is written while its segments come, and its chapters find room in front of them.
    server.wait("the first periodic clip is made", || {
        server.counted("clipmill_clips_written_ahead_total") >= 1
    });
    // They last, and what was removed stays away, whatever the playlist says.
    let removed = server.send("DELETE", &format!("{MARKERS}/ad%201"), "");
    assert_eq!(removed.status, 204);
    server.kill();
    server.run();
    server.wait_until_ready();
    play(&server, &mut live, &pieces[22..]);
    live.end();
    wait_for_end(&server, "cam");
    assert_eq!(listed(&server), planned[..2]);
    // Periodic clips have them, and are written while their segments come all the same.
    let periodic = server.vods();
    let first = periodic
        .iter()
        .find(|vod| vod["startTime"].as_i64().unwrap() <= DATE)
        .unwrap_or_else(|| panic!("{periodic:?}"));
    if tools::installed(&["ffprobe"]) {
        let file = fs::read(server.path_of(first)).unwrap();
        let found = chapters(&server, &file);
        // It begins with the sound ahead of its first picture.
        assert_eq!(
            found[..4],
            [
                chapter(0, "cam (240p)"),
                chapter(2040, "Goal"),
                chapter(3040, "Replay"),
                chapter(5040, "cam (240p)")
            ]
        );
    }
}

#[test]
fn splices_in_segments_are_markers_also_where_timestamps_wrap_and_over_a_restart() {
    let plan = Plan {
        groups: 24,
        // The timestamps wrap within the break.
        start: (1 << 33) - 6 * 90_000,
        ..plan()
    };
    let mut pieces = pieces(&plan, &[1]);
    let first = pieces[0].video[0].pts;
    let at = |seconds: u64| first + seconds * 90_000;
    // Announced again and again, ahead of time; the end after the restart.
    let out = scte35::insert(77, true, at(5));
    let back = scte35::insert(77, false, at(8));
    let advertisement = scte35::signal(9, 0x30, at(7), 2 * 90_000);
    match scte35::judged(&out).zip(scte35::judged(&advertisement)) {
        None => println!("skipped: threefive is not there to judge the splices"),
        Some((out, advertisement)) => {
            let seconds = out["command"]["pts_time"].as_f64().unwrap();
            let adjusted = out["info_section"]["pts_adjustment"].as_f64().unwrap();
            let wrap = (1_u64 << 33) as f64 / 90_000.0;
            let due = (seconds + adjusted) % wrap;
            let wanted = (at(5) % (1 << 33)) as f64 / 90_000.0;
            assert!(
                (due - wanted).abs() < 0.001 || (seconds - wanted).abs() < 0.001,
                "{out}"
            );
            assert_eq!(out["command"]["splice_event_id"], 77);
            assert_eq!(
                advertisement["descriptors"][0]["segmentation_type_id"],
                0x30
            );
            assert_eq!(
                advertisement["descriptors"][0]["segmentation_duration"],
                2.0
            );
        }
    }
    let mut carry = |piece: usize, sections: &[&Vec<u8>]| {
        let sections: Vec<_> = sections.iter().map(|one| (*one).clone()).collect();
        pieces[piece].bytes = scte35::carrying(&pieces[piece].bytes, &sections);
    };
    carry(6, &[&out]);
    carry(8, &[&out, &advertisement]);
    carry(16, &[&back]);
    carry(17, &[&back]);
    let mut server = Server::start("interval_seconds = 100\n").once_ready();
    let mut live = Live::new(&server.streams(), "cam", Kind::Event, Some(DATE));
    play(&server, &mut live, &pieces[..14]);
    server.wait("what is announced is there", || listed(&server).len() == 2);
    let open = [
        ("Splice 77".to_owned(), 5000, None),
        ("Provider Advertisement 9".to_owned(), 7000, Some(9000)),
    ];
    assert_eq!(listed(&server), open);
    let id = server.json(MARKERS)["items"][0]["id"].clone();
    let id = id.as_str().unwrap();
    let window = format!("/live/streams/cam.mp4?start=marker:{id}&end=marker:{id}");
    let (status, why) = get(&server, &window);
    let why = String::from_utf8_lossy(&why).into_owned();
    assert!(status == 400 && why.contains("has not ended yet"), "{why}");
    server.kill();
    server.run();
    server.wait_until_ready();
    play(&server, &mut live, &pieces[14..]);
    server.wait("it has ended", || listed(&server)[0].2 == Some(8000));
    live.end();
    wait_for_end(&server, "cam");
    assert_eq!(listed(&server).len(), 2);
    let (status, clip) = get(&server, &window);
    assert_eq!(status, 200);
    if tools::installed(&["ffprobe"]) {
        let found = chapters(&server, &clip);
        assert_eq!(
            found,
            [
                chapter(0, "Splice 77"),
                chapter(2000, "Provider Advertisement 9")
            ]
        );
    }
}

#[test]
fn date_ranges_come_through_from_another_server_and_from_senders() {
    let pieces = &media()[..8];
    let tag = format!(
        "#EXT-X-DATERANGE:ID=\"break\",START-DATE=\"{}\",DURATION=2\n",
        date(1000)
    );
    let expected = [("break".to_owned(), 1000, Some(3000))];

    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::new(folder.path());
    let url = origin.url("cam.m3u8");
    let pull = format!("interval_seconds = 600\n[[app.pull]]\nid = \"cam\"\nurl = \"{url}\"\n");
    let server = Server::start(&pull).once_ready();
    let mut live = Live::new(folder.path(), "cam", Kind::Event, Some(DATE));
    live.tag(&tag);
    play(&server, &mut live, pieces);
    server.wait("it is pulled with its stream", || {
        let known = get(&server, "/v1/apps/live/streams/cam").0 == 200;
        known && listed(&server) == expected
    });

    let server = Server::start("interval_seconds = 600\n").once_ready();
    let mut listing = Listing::default();
    let put = |path: &str, body: &[u8]| {
        let path = format!("/live/ingest/cam/{path}");
        let answer = try_request(server.address(), "PUT", &path, &[], body).unwrap();
        assert!(
            answer.status == 201 || answer.status == 204,
            "{}",
            answer.status
        );
    };
    let mut date_us = u64::try_from(DATE).unwrap() * 1000;
    for (number, piece) in pieces.iter().enumerate() {
        let name = format!("{number}.ts");
        put(&name, &piece.bytes);
        listing.segments.push(Listed {
            name,
            micros: piece.micros,
            date_us: Some(date_us),
            tags: if number == 0 {
                tag.clone()
            } else {
                String::new()
            },
            ..Listed::default()
        });
        date_us += piece.micros;
        put("index.m3u8", listing.text(false).as_bytes());
    }
    server.wait("it is pushed with its stream", || {
        let known = get(&server, "/v1/apps/live/streams/cam").0 == 200;
        known && listed(&server) == expected
    });
}

#[test]
fn markers_go_with_the_dvr_window() {
    let server = Server::start("interval_seconds = 3\ndvr_window = \"8s\"\n").once_ready();
    let pieces = media();
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(6), Some(DATE));
    play(&server, &mut live, &pieces[..4]);
    server.wait("the stream is known", || {
        get(&server, "/v1/apps/live/streams/cam").0 == 200
    });
    set(
        &server,
        &json!({"from": date(1000), "to": date(2000), "name": "Early"}),
    );
    // Its clock is that of the stream, wherever this machine's is.
    set(&server, &json!({"at": date(3_600_000), "name": "Late"}));
    play(&server, &mut live, &pieces[4..]);
    server.wait("what nobody can clip any more is gone", || {
        let names: Vec<_> = listed(&server).into_iter().map(|one| one.0).collect();
        names == ["Late"]
    });
}
