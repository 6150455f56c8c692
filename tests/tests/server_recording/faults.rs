//! System calls that fail at awkward moments, clocks that jump, files that change under the reader.
//! strace and libfaketime do it to the real binary, so that every path through it has to cope.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use clipmill_tests::replay::{Kind, Live, pieces};
use clipmill_tests::tools::installed;
use clipmill_tests::writer::Plan;

use super::server::Server;
use super::{DATE, PACE, assert_tiles, intervals, plan, play, wait_for_end};

/// A server some of whose system calls fail; `None` where nothing can make them.
fn faulty(inject: &str) -> Option<Server> {
    if !installed(&["strace"]) {
        return None;
    }
    let calls = inject.split(':').next().unwrap();
    let words = |more: &[&str]| -> Vec<String> {
        let (trace, inject) = (format!("trace={calls}"), format!("inject={inject}"));
        // `-D`: the server stays the child that is waited for and killed.
        let usual = [
            "strace",
            "-D",
            "-f",
            "-q",
            "--seccomp-bpf",
            "-o",
            "/dev/null",
        ];
        let all = usual.into_iter().chain(["-e", &trace, "-e", &inject]);
        all.chain(more.iter().copied()).map(str::to_owned).collect()
    };
    // Containers may forbid it.
    let probe = words(&["true"]);
    let allowed = std::process::Command::new(&probe[0])
        .args(&probe[1..])
        .status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("skipped: strace may not trace here");
        return None;
    }
    Some(Server::start_under(words(&[]), "interval_seconds = 3\n"))
}

/// Records a stream while calls fail: nothing is lost, nothing twice, nothing half there, and the
/// log tells.
fn survives(inject: &str, told: &str) {
    let Some(server) = faulty(inject) else { return };
    let pieces = pieces(&plan(), &[1, 2]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(30), Some(DATE));
    play(&mut live, &pieces);
    live.end();
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.assert_all_or_nothing();
    assert!(
        server.log().contains(told),
        "nothing failed:\n{}",
        server.log()
    );
}

#[test]
fn files_that_cannot_be_synced() {
    survives("fsync:error=EIO:when=6+29", "Input/output error");
}

#[test]
fn a_disk_that_is_full_now_and_then() {
    survives(
        "fallocate:error=ENOSPC:when=2+3",
        "no space left on the disk",
    );
}

#[test]
fn files_that_cannot_be_named() {
    survives("linkat,rename:error=EIO:when=2+4", "Input/output error");
}

#[test]
fn calls_that_are_interrupted() {
    let Some(server) = faulty("read,pread64,pwrite64,fsync:error=EINTR:when=20+7") else {
        return;
    };
    let pieces = pieces(&plan(), &[1, 2]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(30), Some(DATE));
    play(&mut live, &pieces);
    live.end();
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.assert_all_or_nothing();
}

/// Where links are impossible, segments are copied.
#[test]
fn links_that_cannot_be_made() {
    let Some(server) = faulty("linkat:error=EPERM") else {
        return;
    };
    let pieces = pieces(&plan(), &[2, 1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(12), Some(DATE));
    play(&mut live, &pieces);
    live.end();
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.assert_all_or_nothing();
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
        "FAKETIME_CACHE_DURATION=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        "NO_FAKE_STAT=1".to_owned(),
    ];
    let server = Server::start_under(under.into(), "interval_seconds = 3\n");
    let pieces = pieces(&plan(), &[1]);
    let folder = server.streams();
    let mut dated = Live::new(&folder, "dated", Kind::Sliding(20), Some(DATE));
    let mut undated = Live::new(&folder, "undated", Kind::Sliding(20), None);
    let jumps = ["+0", "+3700", "-7200", "+40d", "-40d", "+0"];
    for (some, jump) in pieces.chunks(10).zip(jumps) {
        set(jump);
        for piece in some {
            dated.publish(piece, false);
            undated.publish(piece, false);
            std::thread::sleep(PACE * 3);
        }
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
    let dates = server.vods().into_iter();
    let made: Vec<_> = dates
        .filter_map(|vod| vod["creationDate"].as_i64())
        .collect();
    let apart = made.iter().max().unwrap() - made.iter().min().unwrap();
    assert!(
        apart > 30 * 86_400_000,
        "the clock has not jumped: {made:?}"
    );
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
    play(&mut live, &pieces);
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
