//! Many live streams at once: real media whose segments are linked into the server's folders in
//! real time, and what that costs it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use clipmill_tests::server::{Server, eventually};

/// How long a segment lasts.
const SEGMENT: Duration = Duration::from_secs(2);

/// Segments in a playlist.
const WINDOW: u64 = 6;

/// How often somebody asks for a clip.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Seconds between periodic clips.
const INTERVAL: u64 = 20;

struct Stream {
    folder: PathBuf,
    id: String,
    next: u64,
    due: Instant,
}

/// Runs `streams` live streams for `seconds` against a server of its own, and prints what it took.
///
/// # Panics
/// When the server does not start, or answers wrongly.
pub fn run(folder: &Path, streams: usize, seconds: u64) -> ExitCode {
    let Some(media) = crate::small_stream(folder) else {
        println!("ffmpeg is not installed, so there is no media to play");
        return ExitCode::SUCCESS;
    };
    let home = tempfile::tempdir_in(folder).unwrap();
    let server = Server::start(
        home.path(),
        &format!("enabled = true\ninterval_seconds = {INTERVAL}"),
    );
    let begun = Instant::now();
    let start = SystemTime::now();
    let mut live: Vec<_> = (0..streams)
        .map(|number| Stream {
            folder: home.path().join("streams"),
            id: format!("s{number:04}"),
            next: 0,
            // Spread over a segment's length, as the streams of a real server are.
            due: begun + SEGMENT.mul_f64(number as f64 / streams as f64),
        })
        .collect();
    let warm = Duration::from_secs(INTERVAL.min(seconds / 2));
    let mut asked = Vec::new();
    let mut next_ask = begun + warm;
    let mut cpu_at_warm = None;
    let length = Duration::from_secs(seconds);
    while begun.elapsed() < length {
        for stream in &mut live {
            if Instant::now() >= stream.due {
                stream.publish(&media, start);
            }
        }
        if begun.elapsed() >= warm && cpu_at_warm.is_none() {
            cpu_at_warm = Some((Instant::now(), cpu(&server)));
        }
        if Instant::now() >= next_ask {
            next_ask += ASK_EVERY;
            let id = &live[asked.len() * 7 % streams].id;
            let began = Instant::now();
            let answer = server.send(
                "POST",
                &format!("/live/rest/clip-creator/mp4/{id}"),
                &[],
                "",
            );
            assert_eq!(
                answer.status,
                200,
                "{}",
                String::from_utf8_lossy(&answer.body)
            );
            asked.push(began.elapsed());
        }
        let next = live.iter().map(|stream| stream.due).min().unwrap();
        let pause = next.min(next_ask).saturating_duration_since(Instant::now());
        std::thread::sleep(pause.min(Duration::from_millis(20)));
    }
    let (since, before) = cpu_at_warm.unwrap_or((begun, 0.0));
    let cores = (cpu(&server) - before) / since.elapsed().as_secs_f64();
    let peak = peak_kib(&server);
    // The last boundaries are still being cut.
    eventually("the server is idle", || {
        (server.get("/readyz").status == 200).then_some(())
    });
    let metrics = server.get("/metrics");
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    asked.sort();
    let at = |share: f64| asked.get(((asked.len() as f64 * share) as usize).min(asked.len() - 1));
    println!("| streams | cores | peak MiB | clips on demand | median ms | p99 ms |");
    println!("| --- | --- | --- | --- | --- | --- |");
    println!(
        "| {streams} | {cores:.2} | {} | {} | {:.1} | {:.1} |",
        peak / 1024,
        asked.len(),
        at(0.5).map_or(0.0, |t| t.as_secs_f64() * 1e3),
        at(0.99).map_or(0.0, |t| t.as_secs_f64() * 1e3),
    );
    println!("\nwhat the server counted:");
    let told = [
        "clips_made",
        "clips_failed",
        "lateness",
        "streams_live",
        "segments",
        "spool",
    ];
    for line in metrics.lines() {
        if !line.starts_with('#') && told.iter().any(|name| line.contains(name)) {
            println!("    {line}");
        }
    }
    let failed = metrics
        .lines()
        .any(|line| line.starts_with("clipmill_clips_failed_total") && !line.ends_with(" 0"));
    server.kill();
    if failed {
        println!("clips failed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

impl Stream {
    /// Links the next segment in and lists it.
    fn publish(&mut self, media: &[PathBuf], start: SystemTime) {
        let number = self.next;
        self.next += 1;
        self.due += SEGMENT;
        let name = |number: u64| format!("{}-{number:06}.ts", self.id);
        let source = &media[usize::try_from(number).unwrap() % media.len()];
        std::fs::hard_link(source, self.folder.join(name(number))).unwrap();
        let first = (number + 1).saturating_sub(WINDOW);
        if let Some(gone) = first.checked_sub(WINDOW) {
            let _ = std::fs::remove_file(self.folder.join(name(gone)));
        }
        let looped = |number: u64| number > 0 && number.is_multiple_of(media.len() as u64);
        let passed = (1..=first)
            .filter(|&number| number < first && looped(number))
            .count();
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{passed}\n"
        );
        for number in first..=number {
            if looped(number) {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let at: DateTime<Utc> = (start + SEGMENT * u32::try_from(number).unwrap()).into();
            text.push_str(&format!(
                "#EXT-X-PROGRAM-DATE-TIME:{}\n#EXTINF:2.000000,\n{}\n",
                at.to_rfc3339_opts(SecondsFormat::Millis, true),
                name(number)
            ));
        }
        let part = self.folder.join(format!(".{}.part", self.id));
        std::fs::write(&part, text).unwrap();
        std::fs::rename(part, self.folder.join(format!("{}.m3u8", self.id))).unwrap();
    }
}

/// Seconds of processor time that the server has used.
fn cpu(server: &Server) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap();
    // The name, in parentheses, may hold anything; state is field 3, utime and stime 14 and 15.
    let after = stat.rsplit(')').next().unwrap();
    let ticks = |field: usize| -> f64 {
        after
            .split_whitespace()
            .nth(field - 3)
            .unwrap()
            .parse()
            .unwrap()
    };
    (ticks(14) + ticks(15)) / 100.0
}

fn peak_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
