//! System calls that fail at awkward moments. strace makes them fail, so that it is the real binary,
//! and every path through it, that has to cope.

use clipmill_tests::replay::{Kind, Live, pieces};
use clipmill_tests::tools::installed;

use super::server::Server;
use super::{DATE, assert_tiles, plan, play, wait_for_end};

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
