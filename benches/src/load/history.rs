//! Clips of a long stretch: how soon they begin to come, and how fast they flow.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::client::Answer;
use super::{Options, SEGMENT, client, publish};
use crate::stats::Spread;

const ID: &str = "history";

/// Between two probes.
const PAUSE: Duration = Duration::from_millis(500);

/// Every so many probes also fetch a clip a second time, and to its end.
const WHOLE_EVERY: usize = 4;

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Seconds of media in such a clip.
    pub seconds: u64,
    /// Bytes of such a clip.
    pub bytes: u64,
    /// Milliseconds until the first byte of its body, with `returnFile=true`.
    pub first_byte_ms: Spread,
    /// GB per second at which the body came, while it was stored as well.
    pub body_gb_s: Spread,
    /// GB per second at which the stored clip came, asked for once more.
    pub stored_gb_s: Spread,
    /// Milliseconds until the first byte of the same clip where nothing is stored; none where the
    /// server does not do that.
    pub virtual_first_byte_ms: Spread,
    /// GB per second at which that one came.
    pub virtual_gb_s: Spread,
    /// Probes that failed, and the first reason.
    pub failed: Option<(usize, String)>,
}

/// A live stream that has been there for long.
pub(super) struct Stream<'a> {
    folder: PathBuf,
    media: &'a [PathBuf],
    /// In milliseconds since 1970.
    begins_ms: i64,
    text: String,
    count: u64,
}

impl<'a> Stream<'a> {
    /// Puts a stream of `seconds` into a folder.
    pub(super) fn preload(folder: &Path, media: &'a [PathBuf], seconds: u64) -> Self {
        let now_s = chrono::Utc::now().timestamp();
        let mut stream = Self {
            folder: folder.to_owned(),
            media,
            begins_ms: (now_s - seconds as i64) * 1000,
            text: publish::head(0, 0, true),
            count: 0,
        };
        while stream.count < seconds / SEGMENT {
            stream.link();
        }
        publish::write(folder, ID, &stream.text);
        stream
    }

    fn link(&mut self) {
        let piece = self.count as usize % self.media.len();
        let name = format!("{ID}{:09}.ts", self.count);
        std::fs::hard_link(&self.media[piece], self.folder.join(&name)).unwrap();
        if self.count > 0 && piece == 0 {
            self.text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let at = self.begins_ms + (self.count * SEGMENT * 1000) as i64;
        publish::write_segment(&mut self.text, at, &name);
        self.count += 1;
    }

    /// Goes on, in real time.
    pub(super) fn play(mut self, over: &AtomicBool) {
        let mut next = Instant::now();
        while !over.load(Ordering::Relaxed) && crate::interrupt::sleep_until(next) {
            next += Duration::from_secs(SEGMENT);
            self.link();
            publish::write(&self.folder, ID, &self.text);
        }
    }

    /// What asks for clips of it.
    pub(super) fn prober(&self, address: SocketAddr, options: &Options) -> Prober {
        let (begins, ends) = (
            self.begins_ms,
            self.begins_ms + (options.history * 1000) as i64,
        );
        Prober {
            address,
            seconds: options.history,
            probes: options.probes,
            clip: format!(
                "/archive/rest/clip-creator/mp4/{ID}/range?startTimestamp={begins}&endTimestamp={ends}&returnFile=true"
            ),
            unstored: format!("/archive/streams/{ID}.mp4?start={begins}&end={ends}"),
        }
    }
}

/// Asks for clips of all of the stretch, one after the other.
pub(super) struct Prober {
    address: SocketAddr,
    seconds: u64,
    probes: usize,
    clip: String,
    unstored: String,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    bytes: u64,
    first: Vec<f64>,
    body: Vec<f64>,
    stored: Vec<f64>,
    virtual_first: Vec<f64>,
    virtual_body: Vec<f64>,
    failed: Option<(usize, String)>,
}

impl Prober {
    /// From an instant on, until all is seen or it is over.
    pub(super) fn probe(self, from: Instant, over: &AtomicBool) -> Option<History> {
        if !crate::interrupt::sleep_until(from) {
            return None;
        }
        let mut seen = Seen::default();
        let known = client::ask(self.address, "GET", &self.unstored, false);
        let knows_virtual = known.is_ok_and(|answer| answer.status == 200);
        for number in 0..self.probes {
            let next = Instant::now() + PAUSE;
            if over.load(Ordering::Relaxed) || !crate::interrupt::sleep_until(next) {
                break;
            }
            let whole = number % WHOLE_EVERY == 0;
            if let Err(why) = self.probe_stored(&mut seen, whole) {
                seen.failed.get_or_insert((0, why)).0 += 1;
            }
            if knows_virtual && let Err(why) = self.probe_virtual(&mut seen, whole) {
                seen.failed.get_or_insert((0, why)).0 += 1;
            }
        }
        Some(History {
            seconds: self.seconds,
            bytes: seen.bytes,
            first_byte_ms: Spread::of(&seen.first),
            body_gb_s: Spread::of(&seen.body),
            stored_gb_s: Spread::of(&seen.stored),
            virtual_first_byte_ms: Spread::of(&seen.virtual_first),
            virtual_gb_s: Spread::of(&seen.virtual_body),
            failed: seen.failed,
        })
    }

    fn probe_stored(&self, seen: &mut Seen, whole: bool) -> Result<(), String> {
        let answer = self.good("POST", &self.clip, true)?;
        seen.first.push(answer.first_byte * 1e3);
        seen.body.push(rate(&answer));
        seen.bytes = answer.bytes;
        let id = answer.header("x-vodid");
        // The last byte can come before the clip has its place.
        let path = format!("/archive/streams/{id}.mp4");
        let place = || self.good("GET", &path, whole);
        let again = (0..50).find_map(|_| {
            place().ok().or_else(|| {
                std::thread::sleep(Duration::from_millis(100));
                None
            })
        });
        match again {
            Some(again) if whole => seen.stored.push(rate(&again)),
            Some(_) => {}
            None => return Err("a clip is not there after five seconds".to_owned()),
        }
        self.good("DELETE", &format!("/archive/rest/v2/vods/{id}"), true)?;
        Ok(())
    }

    fn probe_virtual(&self, seen: &mut Seen, whole: bool) -> Result<(), String> {
        let answer = self.good("GET", &self.unstored, whole)?;
        seen.virtual_first.push(answer.first_byte * 1e3);
        if whole {
            seen.virtual_body.push(rate(&answer));
        }
        Ok(())
    }

    fn good(&self, method: &str, path: &str, whole: bool) -> Result<Answer, String> {
        let answer =
            client::ask(self.address, method, path, whole).map_err(|error| error.to_string())?;
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.begin).into_owned();
            return Err(format!("{}: {text}", answer.status));
        }
        Ok(answer)
    }
}

/// GB per second of a body.
fn rate(answer: &Answer) -> f64 {
    answer.bytes as f64 / 1e9 / (answer.whole - answer.first_byte).max(1e-6)
}
