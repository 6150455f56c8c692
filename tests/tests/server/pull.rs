//! What pulling promises: a stream of somebody else's server is recorded as one in a folder is, every sample
//! once, whatever that server does.

mod access;
mod caches;
mod faults;
mod joined;
mod kinds;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clipmill_tests::origin::{Fault, Origin};
use clipmill_tests::replay::{Kind, Live, Piece, pieces};
use clipmill_tests::tools::{ffmpeg, installed};
use clipmill_tests::writer::Plan;
use serde_json::Value;

use crate::recording::server::Server;
use crate::recording::{DATE, assert_tiles, plan, play, wait_for_end};

/// Somebody else's server, and ours that pulls `cam` from it.
struct Site {
    server: Server,
    origin: Origin,
    folder: tempfile::TempDir,
}

impl Site {
    /// `settings` are lines of the application, `pull` those of the stream.
    fn start(settings: &str, pull: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let origin = Origin::new(folder.path());
        let url = origin.url("cam.m3u8");
        let pull = format!("[[app.pull]]\nid = \"cam\"\nurl = \"{url}\"\n{pull}\n");
        let server = Server::start(&format!("{settings}\n{pull}")).once_ready();
        Self {
            server,
            origin,
            folder,
        }
    }

    fn live(&self, kind: Kind) -> Live {
        Live::new(self.folder.path(), "cam", kind, Some(DATE))
    }

    /// The stream as the interface shows it.
    fn stream(&self) -> Value {
        self.server.json("/v1/apps/live/streams/cam")
    }

    fn problem(&self) -> String {
        let problem = &self.stream()["source"]["problem"];
        problem.as_str().unwrap_or_default().to_owned()
    }

    fn wait_for_problem(&self, says: &str) {
        self.server.wait(says, || self.problem().contains(says));
    }

    fn mirror(&self) -> String {
        fs::read_to_string(self.server.streams().join("cam.m3u8")).unwrap_or_default()
    }

    fn mirrored(&self) -> Vec<PathBuf> {
        let found = fs::read_dir(self.server.streams().join("cam"));
        let names = found.into_iter().flatten().flatten();
        names.map(|entry| entry.path()).collect()
    }
}

/// Segments of a plan, one or two groups of pictures in each.
fn some(groups: usize) -> Vec<Piece> {
    let plan = Plan { groups, ..plan() };
    pieces(&plan, &[1, 2])
}

#[test]
fn a_sliding_window_of_another_server_is_tiled() {
    let site = Site::start("interval_seconds = 3", "");
    let pieces = some(45);
    let mut live = site.live(Kind::Sliding(12));
    play(&site.server, &mut live, &pieces);
    site.server
        .wait("live", || site.stream()["state"] == "live");
    let shown = site.stream();
    assert_eq!(shown["source"]["kind"], "pull");
    assert_eq!(shown["source"]["url"], site.origin.url("cam.m3u8"));
    assert_eq!(
        (&shown["source"]["problem"], shown["live_edge"].is_string()),
        (&Value::Null, true)
    );
    live.end();
    wait_for_end(&site.server, "cam");
    let clips = site.server.clips("cam");
    assert_tiles(&clips, &[&pieces]);
    assert!(clips.len() >= 6, "{}", clips.len());
    site.server.assert_all_or_nothing();
    let gaps = clips
        .iter()
        .filter(|clip| clip.vod.get("gaps").is_some_and(|gaps| !gaps.is_null()));
    assert_eq!(gaps.count(), 0);
    // The origin is asked once for each segment.
    for piece in 0..pieces.len() {
        let asked = site.origin.asked_for(&format!("cam{piece:05}.ts"));
        assert_eq!(asked.len(), 1, "{piece}");
    }
    assert!(
        site.origin.connections() <= 8,
        "{}",
        site.origin.connections()
    );
    assert!(
        site.mirror().ends_with("#EXT-X-ENDLIST\n"),
        "{}",
        site.mirror()
    );
    assert_eq!(site.problem(), "");
}

#[test]
fn what_is_mirrored_goes_when_the_origin_has_it_no_more() {
    let site = Site::start("interval_seconds = 2", "");
    let mut live = site.live(Kind::Sliding(4));
    let pieces = some(60);
    play(&site.server, &mut live, &pieces);
    // Three target durations later, six seconds at least, it is listed no more, and once more as long later gone.
    let listed = || {
        site.mirror()
            .lines()
            .filter(|line| line.starts_with("cam/"))
            .count()
    };
    site.server
        .wait("few are listed", || listed() <= pieces.len() - 10);
    site.server
        .wait("some are gone", || site.mirrored().len() < pieces.len());
    live.end();
    wait_for_end(&site.server, "cam");
    assert_tiles(&site.server.clips("cam"), &[&pieces]);
}

#[test]
fn kill_9_in_the_middle_loses_nothing_and_doubles_nothing() {
    let mut site = Site::start("interval_seconds = 2\nsegment_patience = \"5m\"", "");
    let pieces = some(60);
    let mut live = site.live(Kind::Event);
    for number in (0..pieces.len()).step_by(3) {
        let fault = match number % 4 {
            0 => Fault::Truncate,
            1 => Fault::Delay(Duration::from_millis(300)),
            2 => Fault::Status(500),
            _ => Fault::Drop,
        };
        site.origin.plan(&format!("cam{number:05}.ts"), fault, 1);
    }
    let mut moment = 12_345_u64;
    for (number, part) in pieces.chunks(8).enumerate() {
        if number > 0 {
            // Whatever it does just then.
            moment = moment
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            std::thread::sleep(Duration::from_millis((moment >> 33) % 700));
            site.server.kill();
            // It comes while nobody looks.
            live.publish(&part[0], false);
            site.server.run();
            play(&site.server, &mut live, &part[1..]);
        } else {
            play(&site.server, &mut live, part);
        }
    }
    live.end();
    wait_for_end(&site.server, "cam");
    assert_tiles(&site.server.clips("cam"), &[&pieces]);
    site.server.assert_all_or_nothing();
    for piece in 0..pieces.len() {
        let asked = site.origin.asked_for(&format!("cam{piece:05}.ts"));
        // Once more where it was not written down yet, or did not come.
        assert!((1..=4).contains(&asked.len()), "{piece}: {}", asked.len());
    }
    let names = site.mirrored();
    let hidden = names
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "part"));
    assert_eq!(hidden.count(), 0);
}

#[test]
fn a_playlist_that_has_ended_already_is_pulled_whole() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = some(12);
    let mut live = Live::new(folder.path(), "old", Kind::Event, Some(DATE));
    for piece in &pieces {
        live.publish(piece, false);
    }
    live.end();
    let origin = Origin::new(folder.path());
    let server = Server::start("interval_seconds = 2").once_ready();
    let body = format!("{{\"url\": \"{}\"}}", origin.url("old.m3u8"));
    let made = server.send("PUT", "/v1/apps/live/streams/cam", &body);
    assert_eq!(made.status, 201, "{made:?}");
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
}

#[test]
fn what_real_encoders_made_decodes_as_a_clip_and_as_a_live_stream_of_ours() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/demo");
    let origin = Origin::new(&fixtures);
    let url = origin.url("index.m3u8");
    let pull = format!("[[app.pull]]\nid = \"cam\"\nurl = \"{url}\"\n");
    let server = Server::start(&format!("interval_seconds = 600\n{pull}")).once_ready();
    wait_for_end(&server, "cam");
    let clip = server.path_of(&server.vods()[0]);
    let playlist = server.streams().join("cam.m3u8");
    for input in [playlist, clip] {
        let input = input.to_str().unwrap();
        let run = ffmpeg(["-xerror", "-i", input, "-f", "null", "-"]);
        assert!(
            run.code == 0 && run.stderr.is_empty(),
            "{input}: {}",
            run.stderr
        );
    }
}
