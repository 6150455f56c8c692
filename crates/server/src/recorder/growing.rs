//! Periodic clips that are written while their segments arrive, so that a boundary costs a `moov` and a
//! name instead of a burst of reading and writing.
//!
//! Nothing depends on it: the segments stay in the spool until the clip is committed, a crash takes the
//! file away, and where it turns out not to be the clip, or cannot be written, the clip is made as any
//! other.

use std::sync::Arc;

use bytes::Bytes;
use clipmill::live::{Ahead, Mark};
use clipmill::source::FileSource;
use clipmill::{Clip, ClipError, ClipLayout, ClipReader, Cut, GrowingClip, Timeline};

use super::app::App;
use super::session::Session;
use super::shared::Shared;
use crate::domain::clip_id;
use crate::storage::{NewClip, Room, StorageError};

/// Segments written at a time: who has to catch up does so by and by.
const AT_A_TIME: usize = 4;

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
}

/// How far the periodic clip in the making is written.
#[derive(Debug)]
pub(crate) enum Growth {
    /// Not at all.
    None,
    /// So far.
    Here(Box<Growing>),
    /// It is being written to.
    Away,
}

impl Growth {
    /// What is written, where nobody is writing.
    pub(crate) fn take(&mut self) -> Option<Box<Growing>> {
        match std::mem::replace(self, Self::None) {
            Self::Here(growing) => Some(growing),
            Self::None | Self::Away => None,
        }
    }

    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Away)
    }
}

/// What has come for the clip in the making, to be written.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) session: String,
    sub_folder: Option<String>,
    ahead: Ahead,
    timeline: Arc<Timeline>,
    /// The newest segment, by its number on the timeline.
    fresh: Option<(u64, Bytes)>,
    growing: Option<Box<Growing>>,
}

impl Session {
    /// What has come for the clip in the making, if that is to be written now.
    pub(crate) fn grow(&mut self) -> Option<Writing> {
        if self.growth.is_away() {
            return None;
        }
        let fresh = self.fresh.take();
        let ahead = self.clips.may_grow(self.media.timeline(), self.target)?;
        let growing = self.growth.take();
        let growing = growing.filter(|known| known.mark == ahead.mark);
        let reached = self.media.timeline().latest_end();
        if reached.is_none_or(|reached| reached > ahead.until) {
            if let Some(growing) = growing {
                self.growth = Growth::Here(growing);
            }
            return None;
        }
        self.growth = Growth::Away;
        Some(Writing {
            session: self.id.clone(),
            sub_folder: self.sub_folder.clone(),
            ahead,
            timeline: self.media.shared_timeline(),
            fresh,
            growing,
        })
    }

    /// It was written, as far as that could be.
    pub(crate) fn grown(&mut self, growing: Option<Box<Growing>>) {
        if self.growth.is_away() {
            self.growth = growing.map_or(Growth::None, Growth::Here);
        }
    }
}

impl Writing {
    /// Writes it. `None` when what is written is of no use.
    pub(crate) fn write(mut self, shared: &Shared, app: &App) -> Option<Box<Growing>> {
        let growing = match self.growing.take() {
            Some(growing) => Ok(Some(growing)),
            None => self.begin(shared, app),
        };
        let grown = growing.and_then(|growing| {
            let Some(mut growing) = growing else {
                return Ok(None);
            };
            let whole = growing.advance(&self)?;
            Ok(whole.then_some(growing))
        });
        grown.unwrap_or_else(|error| {
            tracing::debug!(app = app.name(), %error, "a clip cannot be written ahead");
            None
        })
    }

    fn begin(&self, shared: &Shared, app: &App) -> Result<Option<Box<Growing>>, StorageError> {
        let Ahead {
            mark,
            begins,
            length,
            ..
        } = self.ahead;
        let clip = GrowingClip::begin(&self.timeline, begins, Cut::Keyframe, length);
        let Some(clip) = clip.map_err(StorageError::Clip)? else {
            return Ok(None);
        };
        let vod_id = clip_id();
        let sub_folder = self.sub_folder.as_deref();
        let room = Room {
            head: clip.end(),
            len: None,
        };
        let file = shared
            .store
            .begin(&app.paths(), &vod_id, sub_folder, room)?;
        Ok(Some(Box::new(Growing {
            mark,
            clip,
            vod_id,
            file,
        })))
    }
}

impl Growing {
    /// Writes the segments that have come. False when it is of no use any more.
    fn advance(&mut self, writing: &Writing) -> Result<bool, StorageError> {
        let timeline = writing.timeline.as_ref();
        let fresh = writing.fresh.as_ref();
        let source = FileSource::default();
        let mut block = Vec::new();
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
        self.file.append(&block)?;
        Ok(true)
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
        let source = FileSource::default();
        let mut file = self.file;
        let read = |range| ClipReader::new(Arc::clone(&self.layout), &source).within(range);
        let mut tail = read(self.written.end..self.layout.len());
        while tail.remaining() > 0 {
            file.append(&tail.next_block(BLOCK).map_err(StorageError::Clip)?)?;
        }
        let mut head = read(0..self.written.start);
        while head.remaining() > 0 {
            file.append_head(&head.next_block(BLOCK).map_err(StorageError::Clip)?)?;
        }
        Ok(file)
    }
}
