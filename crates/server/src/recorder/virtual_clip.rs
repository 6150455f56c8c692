//! Virtual clips: they are laid out on request, stored nowhere, and read from their segments as they are sent.
//!
//! A player asks for one range after the other, and all of them must be of one file. So a layout is kept for a
//! minute, together with its segments, for the requests that follow.

use std::fmt::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clipmill::source::FileSource;
use clipmill::{ClipLayout, ClipReader, Format};
use lru::LruCache;
use sha2::{Digest, Sha256};

use super::app::App;
use super::asked::{Asked, Planned};
use super::chapters::{add_chapters, markers_in, shown_by};
use super::make::{all_gaps, title};
use super::media::Files;
use super::request::OnDemandError;
use super::shared::{Shared, lock};
use crate::domain::{Gap, Marker};

/// How long a clip is kept after it was last asked for.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// How many clips are kept.
const KEPT: usize = 32;

/// How many samples all clips that are kept may have together; each takes some twenty bytes.
const SAMPLES_KEPT: u64 = 2_000_000;

/// A clip that is stored nowhere. Its segments stay where they are while it lives.
#[derive(Debug)]
pub struct VirtualClip {
    layout: Arc<ClipLayout>,
    etag: String,
    source: Arc<FileSource>,
    samples: u64,
    gaps: Vec<Gap>,
    /// From when to when it is, in milliseconds since 1970, where that is known.
    shown: Option<(i64, i64)>,
    /// Those that are its chapters.
    markers: Vec<Marker>,
    #[expect(dead_code, reason = "it is what keeps the files")]
    files: Files,
}

impl VirtualClip {
    fn new(planned: Planned, shared: &Shared, app: &App) -> Result<Self, OnDemandError> {
        let Planned {
            mut clip,
            files,
            stream_entry,
            missing,
            window,
            ..
        } = planned;
        let gaps = all_gaps(missing, &clip, window);
        let height = clip.tracks.iter().find_map(|track| track.config.video());
        let title = title(&stream_entry, height.map(|video| video.height));
        let shown = shown_by(&clip);
        let markers = markers_in(shown, &stream_entry.id, shared, app);
        let markers = markers.map_err(|error| OnDemandError::Failed(error.to_string()))?;
        add_chapters(&mut clip, &markers, &title);
        clip.set_title(title);
        let samples = clip.tracks.iter().map(|track| track.samples).sum();
        let layout = clip.layout(Format::Mp4);
        let layout = layout.map_err(|error| OnDemandError::Failed(error.to_string()))?;
        Ok(Self {
            etag: etag(&layout, &files),
            layout: Arc::new(layout),
            source: Arc::default(),
            samples,
            gaps,
            shown,
            markers,
            files,
        })
    }

    /// Its length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an MP4 is never empty")]
    pub fn len(&self) -> u64 {
        self.layout.len()
    }

    /// A strong validator (RFC 9110, 8.8.3): the same for the same window of the same media with the same markers.
    #[must_use]
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Stretches of the window for which there is no media.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// A reader of some of its bytes.
    #[must_use]
    pub fn reader(&self, range: Range<u64>) -> ClipReader<Arc<FileSource>> {
        ClipReader::new(Arc::clone(&self.layout), Arc::clone(&self.source)).within(range)
    }
}

/// Made of what comes before the media, which has the size and the time of every sample, and of
/// when the segments were written: an encoder that starts anew may well write as many bytes.
fn etag(layout: &ClipLayout, files: &Files) -> String {
    let mut hash = Sha256::new();
    hash.update(layout.head());
    for written in &files.written {
        hash.update(written.to_be_bytes());
    }
    let mut text = format!("\"{:x}-", layout.len());
    for byte in hash.finalize().iter().take(16) {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    text
}

/// The clips that were laid out lately: a cache by order of use, whose entries also expire, as they keep
/// segments from being deleted.
#[derive(Debug, Default)]
pub(crate) struct VirtualClips(Mutex<Cache>);

#[derive(Debug)]
struct Cache {
    entries: LruCache<Key, Entry>,
    /// Samples of all entries.
    samples: u64,
}

/// An application and what was asked of it.
type Key = (String, Asked);

#[derive(Debug)]
struct Entry {
    clip: Arc<VirtualClip>,
    /// Whether the clip would be the same if it were laid out anew.
    settled: bool,
    used: Instant,
}

impl VirtualClips {
    /// A clip; where `continues` says that the request follows an earlier one, the very same.
    pub(crate) fn get(
        &self,
        asked: &Asked,
        continues: bool,
        shared: &Shared,
        app: &App,
    ) -> Result<Arc<VirtualClip>, OnDemandError> {
        let key = (app.name().to_owned(), asked.clone());
        let known = lock(&self.0).get(&key, continues);
        if let Some(clip) = known {
            // Its chapters may be others by now.
            let markers = || markers_in(clip.shown, &asked.stream, shared, app);
            if continues || markers().is_ok_and(|markers| markers == clip.markers) {
                return Ok(clip);
            }
        }
        let planned = asked.plan(shared, app)?;
        let settled = planned.settled && !matches!(asked.window, super::ClipWindow::Last(_));
        let clip = Arc::new(VirtualClip::new(planned, shared, app)?);
        let entry = Entry {
            clip: Arc::clone(&clip),
            settled,
            used: Instant::now(),
        };
        // Dropping a clip may remove files: not while others wait.
        let evicted = lock(&self.0).put(key, entry);
        drop(evicted);
        Ok(clip)
    }

    /// Drops the clips that nobody has asked for lately.
    pub(crate) fn expire(&self) {
        let expired = lock(&self.0).expired();
        drop(expired);
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            entries: LruCache::unbounded(),
            samples: 0,
        }
    }
}

impl Cache {
    fn get(&mut self, key: &Key, continues: bool) -> Option<Arc<VirtualClip>> {
        // A stream may have another name by now, and a new clip has it as its title: but a window
        // that is settled is asked for again mostly by requests that follow an earlier one.
        if !continues && !self.entries.peek(key)?.settled {
            return None;
        }
        let entry = self.entries.get_mut(key)?;
        entry.used = Instant::now();
        Some(Arc::clone(&entry.clip))
    }

    /// Gives what had to go.
    fn put(&mut self, key: Key, entry: Entry) -> Vec<Entry> {
        self.samples += entry.clip.samples;
        let mut evicted: Vec<_> = self.entries.put(key, entry).into_iter().collect();
        self.samples -= evicted.iter().map(|entry| entry.clip.samples).sum::<u64>();
        while self.entries.len() > KEPT || self.samples > SAMPLES_KEPT {
            let Some(oldest) = self.pop() else { break };
            evicted.push(oldest);
        }
        evicted
    }

    fn expired(&mut self) -> Vec<Entry> {
        let mut expired = Vec::new();
        while let Some((_, oldest)) = self.entries.peek_lru()
            && oldest.used.elapsed() > KEPT_FOR
        {
            expired.extend(self.pop());
        }
        expired
    }

    /// Takes out the entry that was used least recently.
    fn pop(&mut self) -> Option<Entry> {
        let (_, entry) = self.entries.pop_lru()?;
        self.samples -= entry.clip.samples;
        Some(entry)
    }
}
