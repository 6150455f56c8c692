//! Looks at the server's process once a second.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clipmill_tests::server::Server;
use serde::{Deserialize, Serialize};

use super::proc;

const EVERY: Duration = Duration::from_secs(1);

/// What it did since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the streams began.
    pub at: f64,
    /// Processors that it kept busy.
    pub cores: f64,
    /// Processors that the load generator kept busy.
    pub own_cores: f64,
    /// Resident memory, in MiB.
    pub rss_mib: f64,
    /// Bytes that it wrote into files, per second.
    pub written: f64,
    /// Bytes that the disk took, from whomever, per second.
    pub disk: f64,
    /// Open files.
    pub open_files: usize,
    /// Threads.
    pub threads: u64,
}

pub(super) fn watch(
    server: &Server,
    folder: &Path,
    begun: Instant,
    over: &AtomicBool,
) -> Vec<Sample> {
    let (id, own) = (server.id(), std::process::id());
    let counters = || {
        [
            begun.elapsed().as_secs_f64(),
            proc::cpu_seconds(id),
            proc::cpu_seconds(own),
            proc::written_bytes(id) as f64,
            proc::disk_written_bytes(folder) as f64,
        ]
    };
    let mut samples = Vec::new();
    let mut before = counters();
    let mut next = Instant::now() + EVERY;
    while !over.load(Ordering::Relaxed) && crate::interrupt::sleep_until(next) {
        next += EVERY;
        let now = counters();
        let since = (now[0] - before[0]).max(1e-3);
        let rate = |n: usize| (now[n] - before[n]) / since;
        samples.push(Sample {
            at: now[0],
            cores: rate(1),
            own_cores: rate(2),
            written: rate(3),
            disk: rate(4),
            rss_mib: proc::status_kib(id, "VmRSS") as f64 / 1024.0,
            open_files: proc::open_files(id),
            threads: proc::status_kib(id, "Threads"),
        });
        before = now;
    }
    samples
}
