//! A segment in the spool, for as long as somebody needs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Kept, Spool, SpoolError};
use crate::sources::session::FileMark;

/// A segment in the spool, until nobody needs it any more.
#[derive(Debug)]
pub(crate) struct Holding {
    kept: Kept,
    linked: AtomicBool,
    spool: Arc<Spool>,
    released: AtomicBool,
}

impl Holding {
    pub(crate) fn new(spool: &Arc<Spool>, kept: Kept) -> Arc<Self> {
        Arc::new(Self {
            linked: AtomicBool::new(kept.linked),
            kept,
            spool: Arc::clone(spool),
            released: AtomicBool::new(false),
        })
    }

    /// The segment.
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// What its file looks like.
    pub(crate) fn mark(&self) -> FileMark {
        self.kept.mark
    }

    pub(crate) fn is_linked(&self) -> bool {
        self.linked.load(Ordering::Relaxed)
    }

    /// It goes as soon as no clip in the making reads it. Without this it stays for the next start.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }

    /// Makes it independent of the media server's file. False when it was too late.
    pub(crate) fn harden(&self) -> Result<bool, SpoolError> {
        if !self.is_linked() {
            return Ok(true);
        }
        let intact = self.spool.harden(&self.kept)?;
        self.linked.store(!intact, Ordering::Relaxed);
        Ok(intact)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.released.load(Ordering::Relaxed) {
            self.spool.release(&self.kept);
        }
    }
}
