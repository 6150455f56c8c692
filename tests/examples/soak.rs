//! A server under streams that come, end and come back, and clients that download and delete, for as
//! long as one likes: what it holds must not grow.
//!
//! ```text
//! cargo run --release -p clipmill-tests --example soak -- [SECONDS [STREAMS]]     300, 50
//! ```
//!
//! Every ten seconds it prints what the server's process holds. At the end it says whether the last
//! third was more than the second; the exit code is 1 when it was.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a run that cannot go on stops"
)]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clipmill_tests::live::Live;
use clipmill_tests::server::{Server, request};
use clipmill_tests::writer::Plan;

/// What a process holds at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    seconds: u64,
    rss_kib: u64,
    files: u64,
    threads: u64,
    /// Of all clips so far: how many, and how many of them were done within a second.
    clips: f64,
    prompt: f64,
    failed: f64,
    live: f64,
    spool_kib: f64,
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().unwrap());
    let seconds = arguments.next().unwrap_or(300);
    let streams = arguments.next().unwrap_or(50);
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(
        folder.path(),
        "interval_seconds = 10\ndelete_hls_after_clip = false",
    );
    let ended = Arc::new(AtomicBool::new(false));
    let (downloads, deletions) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut threads = Vec::new();
    for n in 0..streams {
        let (ended, streams) = (Arc::clone(&ended), folder.path().join("streams"));
        threads.push(std::thread::spawn(move || stream(n, &streams, &ended)));
    }
    for _ in 0..2 {
        let (ended, address) = (Arc::clone(&ended), server.address);
        let (downloads, deletions) = (Arc::clone(&downloads), Arc::clone(&deletions));
        threads.push(std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                client(address, &downloads, &deletions);
                std::thread::sleep(Duration::from_millis(250));
            }
        }));
    }
    println!(
        "| s | RSS KiB | files | threads | live | clips | done within 1 s | failed | spool KiB | downloads | deletions |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let begun = Instant::now();
    let mut samples = Vec::new();
    while begun.elapsed().as_secs() < seconds {
        std::thread::sleep(Duration::from_secs(10));
        let sample = look(&server, begun.elapsed().as_secs());
        println!(
            "| {} | {} | {} | {} | {} | {} | {:.1} % | {} | {:.0} | {} | {} |",
            sample.seconds,
            sample.rss_kib,
            sample.files,
            sample.threads,
            sample.live,
            sample.clips,
            100.0 * sample.prompt / sample.clips.max(1.0),
            sample.failed,
            sample.spool_kib,
            downloads.load(Ordering::SeqCst),
            deletions.load(Ordering::SeqCst),
        );
        samples.push(sample);
    }
    ended.store(true, Ordering::SeqCst);
    for thread in threads {
        let _ = thread.join();
    }
    let code = server.stop();
    println!("the server stopped with {code:?}");
    let flat = is_flat(&samples);
    std::process::exit(i32::from(!flat || code != Some(0)));
}

/// A stream that is there for half a minute or so, ends, crashes or pauses, and comes back.
fn stream(n: u64, folder: &std::path::Path, ended: &AtomicBool) {
    let id = format!("soak{n}");
    let mut round = n;
    std::thread::sleep(Duration::from_millis(n * 97));
    while !ended.load(Ordering::SeqCst) {
        let live = Live {
            plan: Plan {
                groups: 20 + (round % 25) as usize,
                group: 25,
                start: round * 1_000_000,
                ..Plan::default()
            },
            window: (!round.is_multiple_of(5)).then_some(6),
            dated: !round.is_multiple_of(3),
        };
        let last = live.plan.groups;
        let mut producer = live.start(folder, &id);
        while producer.written() < last && !ended.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(200));
        }
        if round.is_multiple_of(2) {
            producer.end();
        } else {
            producer.stop();
        }
        // Its files stay for a while, as media servers leave them.
        std::thread::sleep(Duration::from_secs(1 + round % 9));
        if round.is_multiple_of(4) {
            let of_stream = |name: &str| name.starts_with(&id) && !name.ends_with(".mp4");
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string().unwrap_or_default();
                let number = name.strip_prefix(&id).and_then(|rest| rest.chars().next());
                if of_stream(&name) && number.is_some_and(|c| c == '.' || c == '0') {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        round += 7;
    }
}

/// Lists, downloads the oldest clips, in whole or in part, and deletes them.
fn client(address: std::net::SocketAddr, downloads: &AtomicU64, deletions: &AtomicU64) {
    let list = request(address, "GET", "/live/rest/v2/vods/list/0/10", &[], "");
    for vod in list.json().as_array().into_iter().flatten() {
        let (id, path) = (
            vod["vodId"].as_str().unwrap(),
            vod["filePath"].as_str().unwrap(),
        );
        for range in ["bytes=0-", "bytes=100-999", "bytes=-500"] {
            let answer = request(
                address,
                "GET",
                &format!("/live/{path}"),
                &[("Range", range)],
                "",
            );
            if answer.status == 206 {
                downloads.fetch_add(1, Ordering::SeqCst);
            }
        }
        let deleted = request(
            address,
            "DELETE",
            &format!("/live/rest/v2/vods/{id}"),
            &[],
            "",
        );
        if deleted.status == 200 && deleted.json()["success"] == true {
            deletions.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn look(server: &Server, seconds: u64) -> Sample {
    let process = format!("/proc/{}", server.id());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default();
        let number = line.trim_start_matches(':').split_whitespace().next();
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    // The sum over all labels.
    let sum = |name: &str, label: &str| -> f64 {
        let lines = metrics.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
        });
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .fold(0.0, |sum, value| sum + value)
    };
    Sample {
        seconds,
        rss_kib: field("VmRSS"),
        files: fs::read_dir(format!("{process}/fd")).map_or(0, |all| all.count() as u64),
        threads: field("Threads"),
        clips: sum("clipmill_clip_lateness_seconds_count", ""),
        prompt: sum("clipmill_clip_lateness_seconds_bucket", "le=\"1\""),
        failed: sum("clipmill_clips_failed_total", ""),
        live: sum("clipmill_streams_live", ""),
        spool_kib: sum("clipmill_spool_bytes", "") / 1024.0,
    }
}

/// What is looked at in a sample.
type Value<'a> = &'a dyn Fn(&Sample) -> u64;

/// Whether the last third of the run holds no more than the second, but for a tenth.
fn is_flat(samples: &[Sample]) -> bool {
    let third = samples.len() / 3;
    if third == 0 {
        println!("too short to say");
        return true;
    }
    let mean = |part: &[Sample], value: Value<'_>| {
        part.iter().map(value).sum::<u64>() as f64 / part.len().max(1) as f64
    };
    let mut flat = true;
    let values: [(&str, Value<'_>); 3] = [
        ("RSS KiB", &|sample| sample.rss_kib),
        ("open files", &|sample| sample.files),
        ("threads", &|sample| sample.threads),
    ];
    for (name, value) in values {
        let second = mean(&samples[third..2 * third], value);
        let last = mean(&samples[samples.len() - third..], value);
        let fine = last <= second * 1.1 + 4.0;
        println!(
            "{name}: {second:.0} in the second third, {last:.0} in the last{}",
            if fine { "" } else { ": GROWS" }
        );
        flat &= fine;
    }
    flat
}
