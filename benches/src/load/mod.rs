//! Many live streams at once: what they cost a server, how late their clips are, and how fast it
//! answers meanwhile.
//!
//! The server is the real one, in a process of its own, on folders of its own. `publish` plays the
//! media servers, `ask` the clients, `watch` looks at the server's process from outside; none
//! of them is in its way: what they cost themselves is told apart. `judge` says from the clips'
//! entries and files which were made, and when.

mod ask;
mod client;
pub mod dvr;
mod exposition;
mod history;
mod judge;
mod proc;
mod publish;
mod report;
mod watch;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clipmill_tests::origin::Origin;
use clipmill_tests::server::Server;

pub use self::history::History;
pub use self::judge::Clips;
pub use self::publish::PlaylistKind;
pub use self::report::{Report, Run, print};
pub use self::watch::Sample;
use crate::interrupt;
use crate::media::{self, Kind};

/// How long a segment lasts, in seconds.
pub const SEGMENT: u64 = 2;

/// What is asked of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Live streams.
    pub streams: usize,
    /// Seconds that they are played.
    pub seconds: u64,
    /// Seconds between periodic clips.
    pub interval: u64,
    /// Bits per second of a stream.
    pub bits: u64,
    /// Clips on demand per second.
    pub on_demand: f64,
    /// What the playlists are like.
    pub playlists: PlaylistKind,
    /// Seconds over which the streams begin.
    pub spread: f64,
    /// They are pulled from a web server, in place of a folder.
    pub pull: bool,
    /// Seconds of a stream that is there beforehand, and of which clips are asked for; 0 for none.
    pub history: u64,
    /// How many such clips.
    pub probes: usize,
    /// Keep at most so many bytes of clips, where the disk is small.
    pub keep_bytes: Option<u64>,
}

/// The settings that have all streams pulled.
fn pulled(origin: &Origin, options: &Options) -> String {
    let each = (0..options.streams).map(|number| {
        let id = publish::id(number);
        let url = origin.url(&format!("{id}.m3u8"));
        format!("[[app.pull]]\nid = \"{id}\"\nurl = \"{url}\"\n")
    });
    each.collect()
}

/// Runs it, in a temporary folder below `folder`. `Ok(None)` when it was interrupted.
///
/// # Errors
/// A sentence, when it cannot be run here.
///
/// # Panics
/// When the server does not start, or files cannot be written.
pub fn run(folder: &Path, options: &Options) -> Result<Option<Run>, String> {
    let length = options.seconds.max(options.history).max(600);
    let length = u32::try_from(length).map_err(|_| "too long".to_owned())?;
    let playlist = media::stream(folder, Kind::Small(options.bits), length)?;
    let mut media = media::segments(&playlist);
    // The last one is short: what ffmpeg had left. Streams that pass it would pause.
    media.truncate((u64::from(length) / SEGMENT) as usize);
    let room = room(folder, options)?;
    let home = tempfile::tempdir_in(folder).map_err(|error| error.to_string())?;
    let home_path = home.path();
    for streams in ["streams", "archive", "origin"] {
        std::fs::create_dir_all(home_path.join(streams)).map_err(|error| error.to_string())?;
    }
    let long = (options.history > 0)
        .then(|| history::Stream::preload(&home_path.join("archive"), &media, options.history));
    let retention = options.keep_bytes.map_or_else(String::new, |bytes| {
        format!("retention = {{ max_bytes = \"{bytes}\" }}\n")
    });
    let origin = options.pull.then(|| Origin::new(&home_path.join("origin")));
    let pulled = origin.as_ref().map(|origin| pulled(origin, options));
    let server = Server::start(
        home_path,
        &format!(
            "enabled = true\ninterval_seconds = {}\n{retention}{}\
             [[app]]\nname = \"archive\"\nstreams_dir = \"archive\"\nenabled = false\n",
            options.interval,
            pulled.unwrap_or_default()
        ),
    );
    eprintln!(
        "{} streams for {} s; the server is process {}, at {}; {room}",
        options.streams,
        options.seconds,
        server.id(),
        server.address
    );

    let metrics_before = exposition::Metrics::of(&server);
    let begun = Instant::now();
    let begun_ms = chrono::Utc::now().timestamp_millis();
    // The first clips are due after one interval; what came before is start-up.
    let warm = options.interval.min(options.seconds / 2);
    let over = AtomicBool::new(false);
    let plan = publish::Plan {
        folder: home_path.join(if options.pull { "origin" } else { "streams" }),
        media: &media,
        streams: options.streams,
        kind: options.playlists,
        spread: options.spread,
        begun,
        begun_ms,
    };
    let prober = long
        .as_ref()
        .map(|long| long.prober(server.address, options));
    let end_ms = begun_ms + (options.seconds * 1000) as i64;
    let (published, asked, samples, history) = std::thread::scope(|threads| {
        let over = &over;
        let publisher = threads.spawn(|| plan.play(over));
        let asker = threads.spawn(|| ask::ask(&server, options, begun + secs(warm), over));
        let watcher = threads.spawn(|| watch::watch(&server, home_path, begun, over));
        if let Some(long) = long {
            threads.spawn(move || long.play(over));
        }
        let prober = threads.spawn(move || prober?.probe(begun + secs(warm), over));
        if interrupt::sleep_until(begun + secs(options.seconds)) {
            // Streams go on meanwhile: an end would have each make one more clip.
            judge::settle(options);
        }
        over.store(true, Ordering::Relaxed);
        (
            publisher.join().unwrap(),
            asker.join().unwrap(),
            watcher.join().unwrap(),
            prober.join().unwrap(),
        )
    });
    if interrupt::asked() {
        return Ok(None);
    }
    let metrics = exposition::Metrics::of(&server);
    let clips = judge::judge(&server, home_path, options, &published, &asked.ids, end_ms);
    let seen = report::Seen {
        warm,
        samples,
        published: &published,
        asked: &asked,
        clips,
        history,
        metrics: &metrics,
        metrics_before: &metrics_before,
        peak_kib: proc::status_kib(server.id(), "VmHWM"),
        log: &server.log(),
    };
    let run = Run::of(options, seen);
    server.kill();
    Ok(Some(run))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How much will be written, when that fits.
fn room(folder: &Path, options: &Options) -> Result<String, String> {
    let rate = options.bits as f64 / 8.0;
    let seconds = (options.seconds + 2 * options.interval) as f64;
    let asked = options.on_demand * options.seconds as f64 / 2.0 * rate * options.interval as f64;
    let all = rate * seconds * options.streams as f64 + asked;
    let kept = options.keep_bytes.map_or(all, |bytes| {
        // Swept once a minute.
        all.min(bytes as f64 + rate * options.streams as f64 * 120.0 + asked / seconds * 120.0)
    });
    let (needed, free) = (kept * 1.1, proc::free_bytes(folder));
    if needed > free {
        return Err(format!(
            "{} streams for {} s want {:.0} GB of disk and {} has {:.0} GB free; \
             --keep-bytes has the server delete old clips meanwhile",
            options.streams,
            options.seconds,
            needed / 1e9,
            folder.display(),
            free / 1e9
        ));
    }
    Ok(format!("up to {:.1} GB will be written", all / 1e9))
}
