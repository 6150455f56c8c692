//! Clips that exist nowhere: they are laid out when they are asked for, and read from their segments
//! as they are sent.
//!
//! A player asks for one range after the other, and what it gets must all be of one file. So what was
//! laid out is kept for a while, together with its segments, for requests that go on with
//! what an earlier one began.

use std::fmt::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clipmill::source::FileSource;
use clipmill::{ClipLayout, ClipReader, Format};
use sha2::{Digest, Sha256};

use super::app::App;
use super::asked::{Asked, Planned};
use super::make::{all_gaps, title};
use super::media::Files;
use super::request::OnDemandError;
use super::shared::{Shared, lock};
use crate::domain::Gap;

/// A clip that nobody asks for any more is forgotten after this.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// So many are kept.
const KEPT: usize = 32;

/// As many samples as all that are kept may have; each takes some twenty bytes.
const SAMPLES_KEPT: u64 = 2_000_000;

/// A clip that exists nowhere. Its segments stay where they are while it lives.
#[derive(Debug)]
pub struct VirtualClip {
    layout: Arc<ClipLayout>,
    etag: String,
    source: Arc<FileSource>,
    samples: u64,
    gaps: Vec<Gap>,
    #[expect(dead_code, reason = "it is what keeps the files")]
    files: Files,
}

impl VirtualClip {
    fn new(planned: Planned) -> Result<Self, OnDemandError> {
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
        clip.set_title(title(&stream_entry, height.map(|video| video.height)));
        let samples = clip.tracks.iter().map(|track| track.samples).sum();
        let layout = clip.layout(Format::Mp4);
        let layout = layout.map_err(|error| OnDemandError::Failed(error.to_string()))?;
        Ok(Self {
            etag: etag(&layout, &files),
            layout: Arc::new(layout),
            source: Arc::default(),
            samples,
            gaps,
            files,
        })
    }

    /// Its length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an MP4 is never empty")]
    pub fn len(&self) -> u64 {
        self.layout.len()
    }

    /// A strong validator (RFC 9110, 8.8.3): the same for the same window of the same media.
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

/// Those that were laid out lately.
#[derive(Debug, Default)]
pub(crate) struct VirtualClips(Mutex<Vec<Known>>);

#[derive(Debug)]
struct Known {
    app: String,
    asked: Asked,
    clip: Arc<VirtualClip>,
    /// Whether a later look would give the same.
    settled: bool,
    used: Instant,
}

impl VirtualClips {
    /// A clip; where `continues` says that the request goes on with an earlier one, the very same.
    pub(crate) fn get(
        &self,
        asked: &Asked,
        continues: bool,
        shared: &Shared,
        app: &App,
    ) -> Result<Arc<VirtualClip>, OnDemandError> {
        if let Some(clip) = self.known(asked, continues, app.name()) {
            return Ok(clip);
        }
        let planned = asked.plan(shared, app)?;
        let settled = planned.settled && !matches!(asked.window, super::ClipWindow::Last(_));
        let clip = Arc::new(VirtualClip::new(planned)?);
        let known = Known {
            app: app.name().to_owned(),
            asked: asked.clone(),
            clip: Arc::clone(&clip),
            settled,
            used: Instant::now(),
        };
        // Dropping what is forgotten may remove files: not while others wait.
        let forgotten = self.remember(known);
        drop(forgotten);
        Ok(clip)
    }

    fn known(&self, asked: &Asked, continues: bool, app: &str) -> Option<Arc<VirtualClip>> {
        let mut all = lock(&self.0);
        let known = all
            .iter_mut()
            .find(|known| known.asked == *asked && known.app == app)?;
        // A stream may have another name by now, and a new clip has it as its title: but a window
        // that is settled is asked for again mostly by those who go on.
        (continues || known.settled).then(|| {
            known.used = Instant::now();
            Arc::clone(&known.clip)
        })
    }

    fn remember(&self, new: Known) -> Vec<Known> {
        let mut all = lock(&self.0);
        let same = |known: &Known| known.asked == new.asked && known.app == new.app;
        let mut forgotten: Vec<_> = all.extract_if(.., |known| same(known)).collect();
        all.push(new);
        all.sort_by_key(|known| std::cmp::Reverse(known.used));
        let mut samples = 0;
        let kept = all.iter().take(KEPT).take_while(|known| {
            samples += known.clip.samples;
            samples <= SAMPLES_KEPT
        });
        let kept = kept.count();
        forgotten.extend(all.drain(kept..));
        forgotten
    }

    /// Forgets what nobody has asked for lately.
    pub(crate) fn expire(&self) {
        let old = |known: &mut Known| known.used.elapsed() > KEPT_FOR;
        let forgotten: Vec<_> = lock(&self.0).extract_if(.., old).collect();
        drop(forgotten);
    }
}
