//! Periodic clips that are written while their segments arrive, so that a boundary costs a `moov` and a
//! name instead of a burst of reading and writing.
//!
//! Nothing depends on it: the segments stay in the spool until the clip is committed, a crash takes the
//! file away, and where it turns out not to be the clip, or cannot be written, the clip is made as any
//! other.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use clipmill::source::FileSource;
use clipmill::{Clip, ClipError, ClipLayout, ClipReader, Cut, GrowingClip, Ticks};

use super::app::App;
use super::boundary::Mark;
use super::session::{Recording, Session, ticks};
use super::shared::Shared;
use crate::model::vod_id;
use crate::storage::{NewClip, StorageError};

/// Media that ends nearer to the boundary than this waits for it, in 90 kHz ticks: what belongs to
/// which clip is decided there.
const MARGIN: Ticks = 45_000;

/// Shorter clips, in segments, are made in one go.
const SHORT: u32 = 4;

/// Segments written at a time: who has to catch up does so by and by.
const AT_A_TIME: usize = 4;

/// The disk is told to begin to write whenever so much has come: about a segment, as many streams that
/// begin together would otherwise be told together.
const KICK: u64 = 256 << 10;

/// Written at a time when the clip is complete.
const BLOCK: usize = 1 << 20;

/// A clip that is being written.
#[derive(Debug)]
pub(crate) struct Growing {
    /// Where it begins.
    mark: Mark,
    pub(crate) vod_id: String,
    clip: GrowingClip,
    file: NewClip,
    /// Up to where the disk was told to write.
    kicked: u64,
}

impl Session {
    /// Writes what has come for the clip in the making.
    pub(crate) fn grow(&mut self, shared: &Shared, app: &App) {
        let fresh = self.fresh.take();
        let Some((mark, expected)) = self.may_grow() else {
            return;
        };
        if self
            .growing
            .as_ref()
            .is_some_and(|known| known.mark != mark)
        {
            self.growing = None;
        }
        let timeline = self.line.timeline();
        let reached = timeline.latest_end();
        if reached.is_none_or(|reached| reached > mark.ticks + expected - MARGIN) {
            return;
        }
        let growing = match self.growing.take() {
            Some(growing) => Ok(Some(growing)),
            None => Growing::begin(self, mark, expected, shared, app),
        };
        let grown = growing.and_then(|growing| {
            let Some(mut growing) = growing else {
                return Ok(None);
            };
            let whole = growing.advance(self, fresh.as_ref())?;
            Ok(whole.then_some(growing))
        });
        self.growing = grown.unwrap_or_else(|error| {
            tracing::debug!(app = app.name(), %error, "a clip cannot be written ahead");
            None
        });
    }

    /// Where the clip in the making begins, and how long it will be.
    fn may_grow(&self) -> Option<(Mark, Ticks)> {
        let Recording::On(mark) = self.recording else {
            return None;
        };
        let short = self.interval <= self.target.max(Duration::from_millis(1)) * SHORT;
        if self.ending.is_some() || short {
            return None;
        }
        let (_, asked) = mark.asked(self.line.timeline(), self.interval)?;
        Some((mark, asked - mark.ticks))
    }
}

impl Growing {
    fn begin(
        session: &Session,
        mark: Mark,
        expected: Ticks,
        shared: &Shared,
        app: &App,
    ) -> Result<Option<Self>, StorageError> {
        // A sync sample may be a while behind the boundary.
        let length = expected + ticks(session.target);
        let timeline = session.line.timeline();
        let from = session.clip_begins(mark);
        let clip = GrowingClip::begin(timeline, from, Cut::Keyframe, length);
        let Some(clip) = clip.map_err(StorageError::Clip)? else {
            return Ok(None);
        };
        let vod_id = vod_id();
        let sub_folder = session.sub_folder.as_deref();
        let file = shared.store.begin(&app.paths(), &vod_id, sub_folder)?;
        Ok(Some(Self {
            mark,
            kicked: clip.end(),
            clip,
            vod_id,
            file,
        }))
    }

    /// Writes the segments that have come; `fresh` is the newest. False when it is of no use any more.
    fn advance(
        &mut self,
        session: &Session,
        fresh: Option<&(u64, bytes::Bytes)>,
    ) -> Result<bool, StorageError> {
        let timeline = session.line.timeline();
        let source = FileSource::default();
        let mut block = Vec::new();
        let at = self.clip.end();
        for _ in 0..AT_A_TIME {
            let number = self.clip.next();
            let placed = timeline.segments().iter().rev();
            let Some(placed) = placed.take_while(|s| s.number >= number).last() else {
                break;
            };
            let known = fresh.filter(|(fresh, _)| *fresh == number);
            let bytes = match known {
                Some((_, bytes)) => bytes.clone(),
                None => placed.info.read(&source).map_err(StorageError::Clip)?,
            };
            let appended = self.clip.append(timeline, &bytes, &mut block);
            if appended.map_err(StorageError::Clip)?.is_none() {
                return Ok(false);
            }
        }
        self.write(&block, at)?;
        let end = self.clip.end();
        if end - self.kicked >= KICK {
            begin_writing(self.file.file(), self.kicked, end);
            self.kicked = end;
        }
        Ok(true)
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<(), StorageError> {
        use std::os::unix::fs::FileExt;
        let written = self.file.file().write_all_at(bytes, at);
        written.map_err(|error| StorageError::of(self.file.path(), error))
    }

    /// Lays the clip out; `None` when what was written is not what it begins with.
    pub(crate) fn finish(self, clip: &Clip) -> Result<Option<Grown>, ClipError> {
        let Self {
            clip: growing,
            file,
            ..
        } = self;
        let finished = growing.finish(clip)?;
        Ok(finished.map(|(layout, written)| Grown {
            layout: Arc::new(layout),
            written,
            file,
        }))
    }
}

/// A clip that was written but for its beginning and its end.
pub(crate) struct Grown {
    layout: Arc<ClipLayout>,
    pub(crate) written: std::ops::Range<u64>,
    file: NewClip,
}

impl Grown {
    /// Length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.layout.len()
    }

    /// Writes what is missing.
    pub(crate) fn complete(self) -> Result<NewClip, StorageError> {
        use std::os::unix::fs::FileExt;
        let source = FileSource::default();
        let missing = [self.written.end..self.layout.len(), 0..self.written.start];
        for range in missing {
            let mut at = range.start;
            let mut reader = ClipReader::new(Arc::clone(&self.layout), &source).within(range);
            while reader.remaining() > 0 {
                let block = reader.next_block(BLOCK).map_err(StorageError::Clip)?;
                let written = self.file.file().write_all_at(&block, at);
                written.map_err(|error| StorageError::of(self.file.path(), error))?;
                at += block.len() as u64;
            }
        }
        Ok(self.file)
    }
}

/// Has the disk write a stretch of a file, and waits for nothing: what is left when the clip is complete
/// is then written soon. That the system may also forget what it has written does no harm.
#[cfg(target_os = "linux")]
fn begin_writing(file: &File, from: u64, to: u64) {
    use rustix::fs::{Advice, fadvise};
    // posix_fadvise(2): of dirty pages the writing is begun.
    let _ = fadvise(
        file,
        from,
        std::num::NonZeroU64::new(to - from),
        Advice::DontNeed,
    );
}

#[cfg(not(target_os = "linux"))]
fn begin_writing(_: &File, _: u64, _: u64) {}
