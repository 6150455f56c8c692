//! Keeps the segments of a session from deletion, in the spool, as they come.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::sources::session::FileMark;
use crate::spool::{Content, Holding, Kept, Label, Spool, SpoolError};

/// So many segments of a session are copied rather than linked: see the spool.
const COPIED: u64 = 2;

/// Keeps the segments of a session.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) folder: PathBuf,
    /// File names come back: nothing is linked any more.
    names_reused: bool,
    /// Segments that came.
    pub(crate) added: u64,
    /// Those that could not be kept, as far as that may be tried again.
    unkept: Vec<Unkept>,
    /// Why segments cannot be kept, while they cannot.
    trouble: Option<SpoolError>,
}

/// A segment that is in no spool yet, and whose content is all of the media server's file.
#[derive(Debug)]
pub(crate) struct Unkept {
    /// See [`SegmentFile::id`](super::media::SegmentFile::id).
    pub(crate) id: u64,
    pub(crate) label: Label,
    /// Its `EXT-X-MAP`.
    pub(crate) init: Option<Bytes>,
    pub(crate) path: PathBuf,
    pub(crate) mark: FileMark,
}

impl Keeper {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            names_reused: false,
            added: 0,
            unkept: Vec::new(),
            trouble: None,
        }
    }

    /// From now on nothing is linked: what a link leads to is written anew.
    pub(crate) fn copy(&mut self) {
        self.names_reused = true;
    }

    fn may_link(&self) -> bool {
        !self.names_reused && self.added >= COPIED
    }

    /// Keeps a segment, which may be a link to `from`.
    pub(crate) fn keep(
        &mut self,
        spool: &Arc<Spool>,
        label: Label,
        content: Content<'_>,
    ) -> Option<Arc<Holding>> {
        let content = Content {
            from: content.from.filter(|_| self.may_link()),
            ..content
        };
        self.added += 1;
        match spool.keep(&self.folder, label, &content) {
            Ok(kept) => {
                if self.unkept.is_empty() {
                    self.trouble = None;
                }
                Some(Holding::new(spool, kept))
            }
            // It is used where it lies, and lost if it is deleted before it can be kept, or its
            // clip is cut.
            Err(error) => {
                self.trouble = Some(error);
                None
            }
        }
    }

    /// One more segment that is in the spool already.
    pub(crate) fn has(&mut self) {
        self.added += 1;
    }

    /// A segment could not be kept now.
    pub(crate) fn later(&mut self, unkept: Unkept) {
        self.unkept.push(unkept);
    }

    /// Why segments cannot be kept, while they cannot.
    pub(crate) fn trouble(&self) -> Option<&SpoolError> {
        self.trouble.as_ref()
    }

    /// Tries anew to keep what could not be kept, from the segment `oldest` on and as far as the media
    /// server still has it.
    pub(crate) fn keep_again(
        &mut self,
        spool: &Arc<Spool>,
        oldest: u64,
    ) -> Vec<(u64, Arc<Holding>)> {
        if self.unkept.is_empty() {
            return Vec::new();
        }
        let (mut kept, mut trouble) = (Vec::new(), None);
        for unkept in std::mem::take(&mut self.unkept) {
            // What nobody needs any more, or has gone or changed.
            if unkept.id < oldest || !is_intact(&unkept.path, unkept.mark) {
                continue;
            }
            match self.keep_now(spool, &unkept) {
                Ok(now) => kept.push((unkept.id, Holding::new(spool, now))),
                Err(error) => {
                    trouble = Some(error);
                    self.unkept.push(unkept);
                }
            }
        }
        self.trouble = trouble;
        kept
    }

    fn keep_now(&self, spool: &Spool, unkept: &Unkept) -> Result<Kept, SpoolError> {
        let from = unkept.path.as_path();
        let bytes = std::fs::read(from).map_err(|error| SpoolError::new(from, error))?;
        let content = Content {
            bytes: &bytes,
            init: unkept.init.as_ref(),
            mark: unkept.mark,
            from: Some(from).filter(|_| self.may_link()),
        };
        spool.keep(&self.folder, unkept.label, &content)
    }
}

/// Whether a file still looks like this.
pub(crate) fn is_intact(path: &Path, mark: FileMark) -> bool {
    std::fs::metadata(path).is_ok_and(|now| FileMark::of(&now) == mark)
}
