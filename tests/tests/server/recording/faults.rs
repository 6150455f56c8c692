//! System calls that fail at awkward moments, clocks that jump, files that change under the reader.
//! strace and libfaketime do it to the real binary, so that every path through it has to cope.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clipmill_tests::replay::{Kind, Live, pieces};
use clipmill_tests::tools::installed;
use clipmill_tests::writer::Plan;
use serde_json::Value;

use super::server::Server;
use super::{DATE, PACE, assert_tiles, intervals, plan, play, wait_for_end};

/// System calls of a server that fail, as long as this lives: until they have been met, not so many
/// of them, since nobody knows which thread makes how many.
struct Fault {
    strace: Child,
    met: tempfile::NamedTempFile,
}

impl Fault {
    /// Begins; `None` where nothing can make calls fail.
    fn begin(server: &Server, inject: &str) -> Option<Self> {
        if !installed(&["strace"]) {
            return None;
        }
        let met = tempfile::NamedTempFile::new().unwrap();
        let calls = inject.split(':').next().unwrap();
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-q", "-y", "-s", "0", "-o"])
            .arg(met.path());
        strace.args(["-e", &format!("trace={calls}")]);
        strace.args(["-e", &format!("inject={inject}")]);
        strace.args(["-p", &server.id().to_string()]);
        let mut strace = strace.stderr(Stdio::piped()).spawn().unwrap();
        // It says nothing once it traces, and ends where containers forbid it.
        std::thread::sleep(Duration::from_millis(200));
        if strace.try_wait().unwrap().is_some() {
            eprintln!("skipped: strace may not trace here");
            return None;
        }
        Some(Self { strace, met })
    }

    /// Whether a call that names a file of this kind has failed.
    fn is_met(&self, call: &str, file: &str) -> bool {
        let lines = fs::read_to_string(self.met.path()).unwrap();
        let mut failed = lines.lines().filter(|line| line.ends_with("(INJECTED)"));
        failed.any(|line| line.contains(&format!(" {call}(")) && line.contains(file))
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // A tracer that is asked to go lets go of whom it traces first.
        let id = self.strace.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let _ = self.strace.wait();
    }
}

/// Records a stream while calls fail, each until it has been met: nothing is lost, nothing twice,
/// nothing half there. The log tells what it is told.
fn survives(faults: &[(&str, &str, &str)], told: &str) {
    let server = Server::start("interval_seconds = 3\n");
    let pieces = pieces(&plan(), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(60), Some(DATE));
    let rounds = pieces.chunks(pieces.len() / faults.len());
    for (some, (inject, call, file)) in rounds.zip(faults) {
        let (before, after) = some.split_at(some.len() / 4);
        play(&server, &mut live, before);
        let Some(fault) = Fault::begin(&server, inject) else {
            return;
        };
        play(&server, &mut live, after);
        server.wait(&format!("met: {call} of {file}"), || {
            fault.is_met(call, file)
        });
        drop(fault);
    }
    live.end();
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.assert_all_or_nothing();
    assert!(server.log().contains(told), "{}", server.log());
}

#[test]
fn files_that_cannot_be_synced() {
    let faults = [
        ("fsync:error=EIO", "fsync", "/streams/"),
        ("fdatasync:error=EIO", "fdatasync", "/streams/"),
        ("fsync,fdatasync:error=EIO", "fsync", "/data/"),
    ];
    survives(&faults, "Input/output error");
}

#[test]
fn a_disk_that_is_full_now_and_then() {
    let full = ("fallocate:error=ENOSPC", "fallocate", "/streams/");
    survives(&[full; 3], "no space left on the disk");
}

#[test]
fn files_that_cannot_be_named() {
    let faults = [
        ("linkat:error=EIO", "linkat", ".mp4"),
        ("rename:error=EIO", "rename", ".seg"),
        ("linkat,rename:error=EIO", "rename", ".json"),
    ];
    survives(&faults, "Input/output error");
}

/// Every other call of each thread, beginning with the first.
#[test]
fn calls_that_are_interrupted() {
    let faults = [
        ("read:error=EINTR:when=1+2", "read", ""),
        ("pwrite64:error=EINTR:when=1+2", "pwrite64", ""),
        ("fsync:error=EINTR:when=1+2", "fsync", ""),
        ("fdatasync:error=EINTR:when=1+2", "fdatasync", ""),
    ];
    survives(&faults, "");
}

/// Where links are impossible, segments are copied.
#[test]
fn links_that_cannot_be_made() {
    survives(&[("linkat:error=EPERM", "linkat", ".mp4")], "");
}

/// The library that gives a program another clock than the system's; `None` where there is none.
fn other_clock() -> Option<PathBuf> {
    if !installed(&["faketime"]) {
        return None;
    }
    let folders = fs::read_dir("/usr/lib").unwrap().flatten();
    let mut places = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = places.find(|path| path.exists());
    assert!(found.is_some(), "faketime has no library");
    found
}

/// The clock is set while streams are recorded, dated and undated: nothing is lost, nothing comes
/// twice, no clip and no webhook waits for the clock to come round again.
#[test]
fn a_clock_that_jumps() {
    let Some(library) = other_clock() else { return };
    let clock = tempfile::NamedTempFile::new().unwrap();
    let set = |offset: &str| fs::write(clock.path(), format!("{offset}\n")).unwrap();
    set("+0");
    let under = [
        "env".to_owned(),
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME_TIMESTAMP_FILE={}", clock.path().display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        "NO_FAKE_STAT=1".to_owned(),
    ];
    let server = Server::start_under(under.into(), "interval_seconds = 3\n");
    let pieces = pieces(&plan(), &[1]);
    let folder = server.streams();
    let mut dated = Live::new(&folder, "dated", Kind::Sliding(20), Some(DATE));
    let mut undated = Live::new(&folder, "undated", Kind::Sliding(20), None);
    let jumps = [0, 3_700, -7_200, 40 * 86_400, -40 * 86_400, 0];
    for (some, jump) in pieces.chunks(10).zip(jumps) {
        set(&format!("{jump:+}"));
        for piece in some {
            for live in [&mut dated, &mut undated] {
                play(&server, live, std::slice::from_ref(piece));
            }
        }
        server.wait(&format!("a clip at {jump:+} s"), || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let then = i64::try_from(now.as_secs()).unwrap() + jump;
            let made = |vod: &Value| vod["creationDate"].as_i64().unwrap() / 1000;
            server
                .vods()
                .iter()
                .any(|vod| (made(vod) - then).abs() < 600)
        });
    }
    dated.end();
    undated.end();
    wait_for_end(&server, "dated");
    wait_for_end(&server, "undated");
    for stream in ["dated", "undated"] {
        let clips = server.clips(stream);
        assert_tiles(&clips, &[&pieces]);
        for pair in intervals(&clips).windows(2) {
            assert!((pair[1].0 - pair[0].0 - pair[0].1).abs() <= 2, "{pair:?}");
        }
        assert_eq!(server.told(stream, "liveStreamStarted"), 1);
    }
    server.assert_all_or_nothing();
}

/// Segments that are cut short and written again while they are read, listed in playlists that are
/// swapped while they are read: what ends up there is what is recorded.
#[test]
fn files_that_change_while_they_are_read() {
    let server = Server::start("interval_seconds = 3\n");
    let pieces = pieces(&plan(), &[2]);
    let live = Live::new(&server.streams(), "cam", Kind::Sliding(30), Some(DATE));
    let mut live = live.in_place().torn();
    for piece in &pieces {
        live.publish(piece, false);
        std::thread::sleep(PACE);
    }
    live.end();
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.assert_all_or_nothing();
    assert_eq!(server.told("cam", "liveStreamStarted"), 1);
}

/// The answer to a request, whose rest is read once `meanwhile` is done: what the head promises,
/// and how much came.
fn fetch_while(server: &Server, path: &str, meanwhile: impl FnOnce()) -> (u64, u64) {
    let mut connection = server.connect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(connection);
    let mut promised = None;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(length) = line.strip_prefix("content-length: ") {
            promised = Some(length.parse().unwrap());
        }
    }
    meanwhile();
    // It may be cut off with a reset.
    let mut came = 0;
    let mut block = [0; 65_536];
    while let Ok(count) = reader.read(&mut block) {
        if count == 0 {
            break;
        }
        came += count as u64;
    }
    (promised.unwrap(), came)
}

/// What is cut short while it is sent ends in a connection that ends early, and nothing else does.
#[test]
fn files_that_are_cut_short_while_they_are_sent() {
    let server = Server::start("interval_seconds = 600\n");
    let plan = Plan {
        weight: 60_000,
        ..plan()
    };
    let pieces = pieces(&plan, &[4]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Event, Some(DATE));
    play(&server, &mut live, &pieces);
    server.wait_for_segments(pieces.len() as u64);
    let clip = |server: &Server| {
        let (code, _) = server
            .ask("POST", "/live/rest/clip-creator/mp4/cam")
            .unwrap();
        assert_eq!(code, 200);
        server.path_of(&server.vods()[0])
    };
    let stored = clip(&server);
    let name = stored.file_name().unwrap().to_str().unwrap();
    let short = |path: &Path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(1000).unwrap();
    };
    let path = format!("/live/streams/{name}");
    let (promised, came) = fetch_while(&server, &path, || {});
    assert_eq!(promised, came);
    let (promised, came) = fetch_while(&server, &path, || short(&stored));
    assert!(came < promised, "{came} of {promised}");

    let path = "/live/streams/cam.mp4?last=5m";
    let (promised, came) = fetch_while(&server, path, || {});
    assert_eq!(promised, came);
    let (promised, came) = fetch_while(&server, path, || {
        for entry in fs::read_dir(server.streams()).unwrap().flatten() {
            if entry.path().extension().is_some_and(|kind| kind == "ts") {
                short(&entry.path());
            }
        }
    });
    assert!(came < promised, "{came} of {promised}");
    assert_eq!(server.get("/healthz").unwrap().0, 200);
}
