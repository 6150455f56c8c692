//! Streams that come, go and lie about in orders that nobody plans for.

use std::time::{SystemTime, UNIX_EPOCH};

use clipmill_tests::replay::{Kind, Live, pieces};
use clipmill_tests::server::eventually;
use clipmill_tests::writer::Plan;
use serde_json::Value;

use super::server::Server;
use super::{
    DATE, asked, assert_same, assert_tiles, expected, intervals, plan, play, wait_for_end,
};

fn short(groups: usize) -> Plan {
    Plan { groups, ..plan() }
}

#[test]
fn a_stream_shorter_than_the_interval_is_one_clip() {
    let server = Server::start("interval_seconds = 600\n");
    let pieces = pieces(&short(7), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(5), Some(DATE));
    play(&server, &mut live, &pieces);
    live.end();
    wait_for_end(&server, "cam");
    let clips = server.clips("cam");
    assert_eq!(clips.len(), 1);
    assert_tiles(&clips, &[&pieces]);
    server.assert_all_or_nothing();
}

#[test]
fn an_interval_shorter_than_a_segment_gives_a_clip_for_each() {
    let server = Server::start("interval_seconds = 1\n");
    // One sync sample every two seconds.
    let long = Plan {
        group: 50,
        ..short(12)
    };
    let pieces = pieces(&long, &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(12), Some(DATE));
    play(&server, &mut live, &pieces);
    live.end();
    wait_for_end(&server, "cam");
    let clips = server.clips("cam");
    assert_tiles(&clips, &[&pieces]);
    assert!(clips.len() >= 11, "{:?}", intervals(&clips));
    server.assert_all_or_nothing();
}

#[test]
fn segments_of_the_same_names_in_two_folders_are_two_streams() {
    let server = Server::start("interval_seconds = 3\n");
    let folders = ["x", "deep/er/y"].map(|name| server.streams().join(name));
    let one = pieces(&short(30), &[1]);
    let other = Plan {
        weight: 70,
        start: 9_000_000,
        ..short(30)
    };
    let other = pieces(&other, &[1]);
    let mut lives = folders.map(|folder| {
        std::fs::create_dir_all(&folder).unwrap();
        Live::new(&folder, "index", Kind::Sliding(12), Some(DATE))
    });
    for (a, b) in one.iter().zip(&other) {
        play(&server, &mut lives[0], std::slice::from_ref(a));
        play(&server, &mut lives[1], std::slice::from_ref(b));
    }
    for live in &mut lives {
        live.end();
    }
    for (id, pieces, folder) in [("x", &one, "x"), ("y", &other, "deep/er/y")] {
        wait_for_end(&server, id);
        let clips = server.clips(id);
        assert_tiles(&clips, &[pieces]);
        for clip in &clips {
            let path = clip.vod["filePath"].as_str().unwrap();
            assert!(path.starts_with(&format!("streams/{folder}/")), "{path}");
        }
        let broadcast = server.json(&format!("/live/rest/v2/broadcasts/{id}"));
        assert_eq!(broadcast["subFolder"], folder);
    }
    let indexed = server.counted("clipmill_segments_indexed_total");
    assert_eq!(indexed, 60, "each segment is read once");
}

#[test]
fn the_best_rendition_of_an_adaptive_stream_is_recorded() {
    let server = Server::start("interval_seconds = 3\n");
    let folder = server.streams();
    let names = ["cam_480p800kbps", "cam_720p2000kbps"];
    let mut master = "#EXTM3U\n".to_owned();
    for (name, rate) in names.iter().zip([800_000, 2_000_000]) {
        master.push_str(&format!(
            "#EXT-X-STREAM-INF:BANDWIDTH={rate}\n{name}.m3u8\n"
        ));
    }
    let worse = pieces(&short(30), &[1]);
    let better = Plan {
        weight: 80,
        ..short(30)
    };
    let better = pieces(&better, &[1]);
    let mut lives = names.map(|name| Live::new(&folder, name, Kind::Sliding(12), Some(DATE)));
    for (number, (a, b)) in worse.iter().zip(&better).enumerate() {
        lives[0].publish(a, false);
        play(&server, &mut lives[1], std::slice::from_ref(b));
        if number == 0 {
            std::fs::write(folder.join("cam_adaptive.m3u8"), &master).unwrap();
        }
    }
    for live in &mut lives {
        live.end();
    }
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&better]);
    let count = server.json("/live/rest/v2/broadcasts/count");
    assert_eq!(count["number"], 1, "renditions are no streams of their own");
    for name in ["cam_adaptive", names[0], names[1]] {
        let (code, _) = server.get(&format!("/live/streams/{name}.m3u8")).unwrap();
        assert_eq!(code, 200);
    }
}

/// Encoders that are slow to begin list the renditions long after the first of them has media: until then
/// it looks like a stream of its own.
#[test]
fn a_rendition_that_is_listed_late_leaves_no_clip_of_its_own() {
    is_listed_late(false);
    is_listed_late(true);
}

/// The list comes while the server runs, or while it does not.
fn is_listed_late(killed: bool) {
    let mut server = Server::start("interval_seconds = 3\n");
    let folder = server.streams();
    let pieces = pieces(&short(30), &[1]);
    let mut live = Live::new(&folder, "show_0", Kind::Sliding(12), Some(DATE));
    let (before, behind) = pieces.split_at(2);
    play(&server, &mut live, before);
    server.wait("live", || server.told("show_0", "liveStreamStarted") == 1);
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000\nshow_0.m3u8\n";
    if killed {
        server.keep_up();
        server.kill();
    }
    std::fs::write(folder.join("show.m3u8"), master).unwrap();
    if killed {
        server.run();
    }
    server.wait("taken over", || {
        server.told("show", "liveStreamStarted") == 1
    });
    play(&server, &mut live, behind);
    live.end();
    wait_for_end(&server, "show");
    assert_tiles(&server.clips("show"), &[&pieces]);
    server.wait("over", || server.told("show_0", "liveStreamEnded") == 1);
    server.wait("nothing kept", || server.kept() == 0);
    let of_rendition = server.clips("show_0");
    assert!(of_rendition.is_empty(), "{} clips", of_rendition.len());
}

/// One playlist falls silent without a word, and another one goes on with the stream.
fn moves_on(from: (&str, &str), to: (&str, &str)) {
    let server = Server::start("interval_seconds = 3\n");
    let first = pieces(&short(12), &[1]);
    let second = Plan {
        weight: 70,
        start: 9_000_000,
        ..short(20)
    };
    let second = pieces(&second, &[1]);
    let begin = |(folder, name): (&str, &str), date| {
        let folder = server.streams().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        Live::new(&folder, name, Kind::Event, Some(date))
    };
    play(&server, &mut begin(from, DATE), &first);
    server.wait("recording", || !server.vods().is_empty());
    let mut live = begin(to, DATE + 60_000);
    play(&server, &mut live, &second);
    // Before the first one has been silent for long enough.
    live.end();
    server.wait("moved on", || server.told("cam", "liveStreamStarted") == 2);
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&first, &second]);
    server.wait("told", || server.told("cam", "liveStreamEnded") == 2);
    let count = server.json("/live/rest/v2/broadcasts/count");
    assert_eq!(count["number"], 1);
}

#[test]
fn playlists_with_dates_in_their_names_are_one_stream() {
    moves_on(
        ("", "cam-2026-11-22_14-00-00.000"),
        ("", "cam-2026-11-22_14-01-00.000"),
    );
}

#[test]
fn of_two_folders_the_one_that_goes_on_serves() {
    moves_on(("a", "cam"), ("b", "cam"));
}

#[test]
fn off_and_on_again_at_once_loses_nothing() {
    let server = Server::start("interval_seconds = 60\n");
    let pieces = pieces(&plan(), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(30), Some(DATE));
    let periodic = "/live/rest/clip-creator/periodic-recording";
    for some in pieces.chunks(6) {
        play(&server, &mut live, some);
        server.ask("DELETE", periodic).unwrap();
        let (code, _) = server.ask("POST", &format!("{periodic}/60")).unwrap();
        assert_eq!(code, 200);
    }
    live.end();
    wait_for_end(&server, "cam");
    let clips = server.clips("cam");
    let video: Vec<_> = clips.iter().flat_map(|clip| clip.video.clone()).collect();
    assert_same(&video, &expected(&pieces).0, "pictures");
    assert!(clips.len() > 3, "{}", clips.len());
    server.assert_all_or_nothing();
}

#[test]
fn a_clip_can_be_asked_for_before_the_first_boundary() {
    let server = Server::start("interval_seconds = 600\n");
    let pieces = pieces(&short(30), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(12), Some(DATE));
    live.publish(&pieces[0], false);
    server.wait("a clip of the first segment", || {
        let answer = server.ask("POST", "/live/rest/clip-creator/mp4/cam");
        answer.is_some_and(|(code, _)| code == 200)
    });
    let early = server.clips("cam").remove(0);
    assert_same(&early.video, &expected(&pieces[..1]).0, "pictures");
    play(&server, &mut live, &pieces[1..]);
    live.end();
    wait_for_end(&server, "cam");
    let mut clips = server.clips("cam");
    clips.retain(|clip| clip.vod["vodId"] != early.vod["vodId"]);
    assert_tiles(&clips, &[&pieces]);
}

#[test]
fn right_after_a_restart_a_clip_begins_at_the_boundary() {
    let mut server = Server::start("interval_seconds = 3\n");
    let pieces = pieces(&short(20), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(40), Some(DATE));
    play(&server, &mut live, &pieces);
    server.wait("recorded", || server.vods().len() >= 2);
    server.stop();
    server.run();
    let (_, answer) = eventually("asked", || {
        let answer = server.ask("POST", "/live/rest/clip-creator/mp4/cam");
        answer.filter(|(code, _)| *code == 200)
    });
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let vods = server.vods();
    let of_asked = |vod: &&Value| vod["vodId"] == answer["dataId"];
    let asked = vods.iter().find(of_asked).unwrap();
    let start = asked["startTime"].as_i64().unwrap();
    // A periodic clip may have been made since.
    let ended =
        |vod: &Value| vod["startTime"].as_i64().unwrap() + vod["duration"].as_i64().unwrap();
    let mut others = vods.iter().filter(|vod| !of_asked(vod));
    assert!(
        others.any(|vod| (start - ended(vod)).abs() <= 2),
        "{vods:?}"
    );
}

#[test]
fn an_encoder_whose_clock_is_ahead_is_not_in_the_future() {
    let server = Server::start("enabled = false\n");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ahead = i64::try_from(now.as_millis()).unwrap() + 3_600_000;
    let pieces = pieces(&short(20), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(40), Some(ahead));
    play(&server, &mut live, &pieces);
    let range = |from: i64, to: i64| {
        let (from, to) = (ahead + from, ahead + to);
        let query = format!("startTimestamp={from}&endTimestamp={to}");
        let path = format!("/live/rest/clip-creator/mp4/cam/range?{query}");
        server.ask("POST", &path).unwrap()
    };
    server.wait("its latest can be had", || range(4_000, 9_500).0 == 200);
    let (code, answer) = range(4_000, 30_000);
    assert_eq!(code, 400);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["message"], "endTimestamp must not be in the future");
    let vod = server.vods().remove(0);
    let start = vod["startTime"].as_i64().unwrap() - ahead;
    assert!((start - 4_000).abs() <= 40, "{vod}");
}

#[test]
fn a_stream_that_is_over_when_the_server_starts_can_be_clipped() {
    let mut server = Server::start("interval_seconds = 3\n");
    server.stop();
    let pieces = pieces(&short(20), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Event, Some(DATE));
    play(&server, &mut live, &pieces);
    live.end();
    server.run();
    server.wait("known", || {
        let known = server.get("/live/rest/v2/broadcasts/cam");
        known.is_some_and(|(code, _)| code == 200)
    });
    assert_eq!(server.status("cam"), "finished");
    let vod = asked(&server, &super::range(2_000, 6_000));
    super::assert_window(&vod, 2_000, 6_000);
    assert_eq!(server.vods().len(), 1, "it is not recorded");
    assert_eq!(server.told("cam", "liveStreamStarted"), 0);
}

/// What was found in segments is remembered, and makes no difference.
#[test]
fn a_window_of_what_was_forgotten_is_the_same_each_time() {
    let mut server = Server::start("interval_seconds = 3\n");
    let pieces = pieces(&plan(), &[1, 2]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Event, Some(DATE));
    let window = |server: &Server, from: i64, to: i64| {
        let (start, end) = (DATE + from, DATE + to);
        let path = format!("/live/streams/cam.mp4?start={start}&end={end}");
        let (code, file) = server.get(&path).unwrap();
        assert_eq!(code, 200, "{path}");
        file
    };
    play(&server, &mut live, &pieces[..25]);
    server.wait_for_segments(24);
    // The first reads all of it, the second what is new, the third less than what is known.
    let first = window(&server, 1_000, 9_000);
    play(&server, &mut live, &pieces[25..35]);
    server.wait_for_segments(34);
    let longer = window(&server, 600, 15_000);
    let within = window(&server, 2_000, 14_000);
    server.stop();
    server.run();
    server.wait("known", || {
        let known = server.get("/live/rest/v2/broadcasts/cam");
        known.is_some_and(|(code, _)| code == 200)
    });
    // In another order: what the first one knew of, the last one now does.
    assert!(within == window(&server, 2_000, 14_000));
    assert!(longer == window(&server, 600, 15_000));
    assert!(first == window(&server, 1_000, 9_000));
    assert!(first.len() < within.len() && within.len() < longer.len());
}

#[test]
fn segments_that_may_not_be_kept_are_reported() {
    let server = Server::start_with("spool_max_bytes = 30000\n", "interval_seconds = 600\n");
    let pieces = pieces(&short(30), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Event, Some(DATE));
    play(&server, &mut live, &pieces);
    server.wait("not ready", || {
        let (code, why) = server.get("/readyz").unwrap();
        code == 503 && String::from_utf8_lossy(&why).contains("spool_max_bytes")
    });
    assert!(server.counted("clipmill_spool_bytes") <= 30_000);
    assert_eq!(server.counted("clipmill_spool_limit_bytes"), 30_000);
    // They are used where they lie, as long as they do.
    live.end();
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.wait("ready again", || server.get("/readyz").unwrap().0 == 200);
}

#[test]
fn a_full_disk_under_the_catalog_and_the_kept_segments_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // Of another file system, to which no links lead.
    let data = folder.path().join("data");
    let Some(_disk) = super::SmallDisk::new(&data, "12m") else {
        return;
    };
    let clips = data.join("clips");
    let settings = format!(
        "interval_seconds = 3\nclips_dir = \"{}\"\n",
        clips.display()
    );
    let mut server = Server::start_in(folder, "", &settings);
    server.clips.clone_from(&clips);
    let pieces = pieces(&plan(), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(60), Some(DATE));
    play(&server, &mut live, &pieces[..20]);
    server.wait("recording", || !server.vods().is_empty());
    let ready = || server.get("/readyz").map(|(code, _)| code);
    let ballast = data.join("ballast");
    let fill = || {
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&ballast);
        let mut file = file.unwrap();
        while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
    };
    fill();
    play(&server, &mut live, &pieces[20..45]);
    // It is not ready as soon as the catalog has no room, and says so of recording with the next
    // clip or segment; whatever makes room meanwhile is filled again.
    server.wait("not ready, and said why", || {
        fill();
        ready() == Some(503) && server.counted("clipmill_disk_full") == 1
    });
    assert!(server.log().contains("no space left on the disk"));
    std::fs::remove_file(&ballast).unwrap();
    play(&server, &mut live, &pieces[45..]);
    live.end();
    wait_for_end(&server, "cam");
    server.wait("ready again", || {
        ready() == Some(200) && server.counted("clipmill_disk_full") == 0
    });
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.assert_all_or_nothing();
}

#[test]
fn a_stream_that_is_there_at_once_and_over_is_recorded() {
    let server = Server::start("interval_seconds = 3\n");
    let pieces = pieces(&short(10), &[1]);
    let elsewhere = tempfile::tempdir().unwrap();
    let mut live = Live::new(elsewhere.path(), "cam", Kind::Event, Some(DATE));
    for piece in &pieces {
        live.publish(piece, false);
    }
    live.end();
    server.wait("watching", || server.get("/readyz").unwrap().0 == 200);
    // The playlist comes last.
    let mut names = super::server::names(elsewhere.path());
    names.sort_by_key(|name| name.ends_with(".m3u8"));
    for name in names {
        std::fs::copy(elsewhere.path().join(&name), server.streams().join(&name)).unwrap();
    }
    server.wait("told", || server.told("cam", "liveStreamEnded") == 1);
    wait_for_end(&server, "cam");
    assert_eq!(server.told("cam", "liveStreamStarted"), 1);
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.assert_all_or_nothing();
}

#[test]
fn streams_that_begin_together_are_not_cut_together() {
    let server = Server::start("interval_seconds = 30\n").once_ready();
    // Ten seconds each: with the fourth one, the first clip is complete.
    let long = Plan {
        group: 250,
        weight: 10,
        ..short(4)
    };
    let pieces = pieces(&long, &[1]);
    let ids: Vec<_> = (0..40).map(|number| format!("cam{number}")).collect();
    let folder = server.streams();
    let live = |id: &String| Live::new(&folder, id, Kind::Event, Some(DATE));
    let mut lives: Vec<_> = ids.iter().map(live).collect();
    for piece in &pieces {
        for live in &mut lives {
            live.publish(piece, false);
        }
    }
    server.wait("a clip of each", || server.vods().len() >= ids.len());
    let vods = server.vods();
    for id in &ids {
        assert_eq!(vods.iter().filter(|vod| vod["streamId"] == *id).count(), 1);
    }
    // They were complete within a moment, and are made over a second.
    let made = vods.iter().map(|vod| vod["creationDate"].as_i64().unwrap());
    let (first, last) = (made.clone().min().unwrap(), made.max().unwrap());
    assert!(last - first >= 500, "{} ms", last - first);
}
