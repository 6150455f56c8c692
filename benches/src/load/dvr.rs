//! DVR windows of many streams: how much memory and disk they take, and how soon the first byte of a clip comes from
//! their oldest hours.
//!
//! Hours of media are played faster than real time, through the same playlists and segments as in life: as fast as the
//! server takes them in. What is measured is what they are in the end.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clipmill_tests::server::Server;

use super::{SEGMENT, client, exposition, proc, publish};
use crate::media::{self, Kind};
use crate::stats::Spread;
use crate::{interrupt, units};

/// Segments in a playlist.
const LISTED: usize = 15;

/// The server is never further behind than so many segments of each stream.
const BEHIND: f64 = 6.0;

/// Clips that are asked for, of each kind.
const CLIPS: usize = 20;

/// Seconds of such a clip.
const CLIP: i64 = 30;

/// What is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Streams.
    pub streams: usize,
    /// How far back each reaches, in seconds.
    pub window: u64,
    /// Bits per second of a stream.
    pub bits: u64,
}

/// Runs it, in a temporary folder below `folder`; gives what was seen as a Markdown table. `Ok(None)` when it was
/// interrupted.
///
/// # Errors
/// A sentence, when it cannot be run here.
///
/// # Panics
/// When the server does not start, or files cannot be written.
pub fn run(folder: &Path, options: &Options) -> Result<Option<String>, String> {
    let playlist = media::stream(folder, Kind::Small(options.bits), 600)?;
    let mut media = media::segments(&playlist);
    // The last one is short: what ffmpeg had left.
    media.truncate(600 / SEGMENT as usize);
    let home = tempfile::tempdir_in(folder).map_err(|error| error.to_string())?;
    let streams_dir = home.path().join("streams");
    std::fs::create_dir_all(&streams_dir).map_err(|error| error.to_string())?;
    // A little more, so that its oldest hour stays while it is asked for.
    let settings = format!(
        "enabled = false\ndvr_window = \"{}s\"\nspool_max_bytes = \"1TB\"\n",
        options.window + 600
    );
    let top = "spool_max_bytes = \"1TB\"\n";
    let server = Server::start_with(home.path(), top, &settings);
    let now_ms = chrono::Utc::now().timestamp_millis();
    let begins_ms = now_ms - (options.window * 1000) as i64;
    let mut streams: Vec<_> = (0..options.streams)
        .map(|number| Stream::new(&streams_dir, number, begins_ms))
        .collect();
    let begun = Instant::now();
    let segments = options.window / SEGMENT;
    for number in 0..segments {
        for stream in &mut streams {
            stream.publish(&media);
        }
        let published = ((number + 1) * options.streams as u64) as f64;
        while indexed(&server) + BEHIND * (options.streams as f64) < published {
            if interrupt::asked() {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let took = begun.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_secs(5));
    let mut text = String::new();
    let all = segments * options.streams as u64;
    let _ = writeln!(
        text,
        "{} streams, {} each, {all} segments at {} each; taken in at {:.0} segments per second\n",
        options.streams,
        units::time(options.window as f64),
        units::digits(options.bits as f64 * SEGMENT as f64 / 8.0),
        all as f64 / took
    );
    // What its recorder has in mind still lies in the spool.
    let kept = ["data/dvr", "data/spool"].map(|folder| size(&home.path().join(folder)));
    let (files, bytes) = kept
        .iter()
        .fold((0, 0.0), |(files, bytes), (more, of_them)| {
            (files + more, bytes + of_them)
        });
    let mut row = |what: &str, value: String| {
        let _ = writeln!(text, "| {what} | {value} |");
    };
    row("", "".to_owned());
    row("---", "---".to_owned());
    row(
        "memory of the server (VmRSS)",
        mib(proc::status_kib(server.id(), "VmRSS") as f64 * 1024.0),
    );
    row("disk, with indexes", mib(bytes));
    row("files", files.to_string());
    let oldest = |address| first_bytes(address, options, begins_ms, CLIP);
    row(
        "first byte of 30 s of its oldest hour",
        oldest(server.address)?,
    );
    let stopped = server.stop();
    if stopped != Some(0) {
        return Err(format!("the server ended with {stopped:?}"));
    }
    let begun = Instant::now();
    let server = Server::start_with(home.path(), top, &settings);
    row(
        "ready after a restart",
        units::time(begun.elapsed().as_secs_f64()),
    );
    row(
        "first byte then, as what it needs is read",
        oldest(server.address)?,
    );
    row("once more", oldest(server.address)?);
    row(
        "first byte of 10 min",
        first_bytes(server.address, options, begins_ms, 600)?,
    );
    row(
        "memory after all that (VmRSS)",
        mib(proc::status_kib(server.id(), "VmRSS") as f64 * 1024.0),
    );
    server.stop();
    Ok(Some(text))
}

fn indexed(server: &Server) -> f64 {
    exposition::Metrics::of(server).sum("clipmill_segments_indexed_total", "")
}

fn mib(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

/// Asks for clips of the oldest hours of some streams; gives how soon their first bytes came.
fn first_bytes(
    address: SocketAddr,
    options: &Options,
    begins_ms: i64,
    seconds: i64,
) -> Result<String, String> {
    let mut all = Vec::new();
    for number in 0..CLIPS.min(options.streams) {
        let id = publish::id(number * options.streams / CLIPS.min(options.streams));
        let start = begins_ms + 61_000 + 7_300 * number as i64;
        let path = format!(
            "/live/streams/{id}.mp4?start={start}&end={}",
            start + seconds * 1000
        );
        let answer =
            client::ask(address, "GET", &path, true).map_err(|e| format!("{path}: {e}"))?;
        if answer.status != 200 {
            return Err(format!("{path}: {}", answer.status));
        }
        all.push(answer.first_byte);
    }
    let spread = Spread::of(&all);
    Ok(format!(
        "{} (median of {}), {} at most",
        units::time(spread.p50),
        all.len(),
        units::time(spread.max)
    ))
}

/// Files below a folder, and the room they take.
fn size(folder: &Path) -> (u64, f64) {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.fold((0, 0.0), |(files, bytes), entry| {
        let path = entry.path();
        if path.is_dir() {
            let (more, of_them) = size(&path);
            return (files + more, bytes + of_them);
        }
        let taken = entry.metadata().map_or(0, |found| found.blocks() * 512);
        (files + 1, bytes + taken as f64)
    })
}

/// A media server's stream, without its clock.
struct Stream {
    folder: PathBuf,
    id: String,
    begins_ms: i64,
    count: usize,
    /// What is listed: names, lines, and whether a discontinuity is before it.
    listed: VecDeque<(String, String, bool)>,
    /// Discontinuities that slid out.
    passed: u64,
}

impl Stream {
    fn new(folder: &Path, number: usize, begins_ms: i64) -> Self {
        Self {
            folder: folder.to_owned(),
            id: publish::id(number),
            begins_ms,
            count: 0,
            listed: VecDeque::new(),
            passed: 0,
        }
    }

    /// Publishes its next segment.
    fn publish(&mut self, media: &[PathBuf]) {
        let piece = self.count % media.len();
        let name = format!("{}-{:06}.ts", self.id, self.count);
        std::fs::hard_link(&media[piece], self.folder.join(&name)).unwrap();
        let mut line = String::new();
        let breaks = self.count > 0 && piece == 0;
        if breaks {
            line.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let at = self.begins_ms + (self.count as u64 * SEGMENT * 1000) as i64;
        publish::write_segment(&mut line, at, &name);
        self.listed.push_back((name, line, breaks));
        self.count += 1;
        if self.listed.len() > LISTED
            && let Some((name, _, breaks)) = self.listed.pop_front()
        {
            self.passed += u64::from(breaks);
            let _ = std::fs::remove_file(self.folder.join(name));
        }
        let first = (self.count - self.listed.len()) as u64;
        let mut text = publish::head(first, self.passed, false);
        text.extend(self.listed.iter().map(|(_, line, _)| line.as_str()));
        publish::write(&self.folder, &self.id, &text);
    }
}
