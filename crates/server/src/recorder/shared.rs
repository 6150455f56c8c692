//! What all recorders share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clipmill::live::Failure;
use metrics::gauge;
use tokio::runtime::Handle;

use super::indexes::Indexes;
use super::virtual_clip::VirtualClips;
use crate::catalog::{Catalog, CatalogError};
use crate::metrics::DISK_FULL;
use crate::schedule::Pool;
use crate::scripts::Scripts;
use crate::spool::Spool;
use crate::storage::{ClipStore, StorageError};

/// What all recorders share.
pub(crate) struct Shared {
    /// On which what workers wait for goes on.
    pub(crate) runtime: Handle,
    pub(crate) pool: Pool,
    pub(crate) spool: Arc<Spool>,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) store: Arc<dyn ClipStore>,
    pub(crate) troubles: Troubles,
    /// No new work is begun.
    pub(crate) draining: AtomicBool,
    /// Clips that are being made.
    pub(crate) making: AtomicUsize,
    pub(crate) virtual_clips: VirtualClips,
    pub(crate) indexes: Indexes,
    pub(crate) scripts: Scripts,
}

impl Shared {
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Waits for the catalog. For workers alone: threads of the runtime await it.
    pub(crate) fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// Something could not be made.
    pub(crate) fn troubled(&self, concern: &str, error: &MakeError) {
        let full = matches!(error, MakeError::DiskFull);
        self.troubles.set(concern, full, &error.to_string());
    }

    /// Counts a clip in the making while it lives.
    pub(crate) fn count_making(self: &Arc<Self>) -> Counted {
        self.making.fetch_add(1, Ordering::SeqCst);
        Counted(Arc::clone(self))
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// A clip in the making.
pub(crate) struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.making.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Why a clip could not be made. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    /// There is no room; it is tried again when there is.
    #[error("no space left on the disk")]
    DiskFull,
    /// Segments could not be read.
    #[error("{0}")]
    Media(String),
    /// The file system or the catalog refused.
    #[error("{0}")]
    Store(String),
    /// The catalog knows a later boundary of the stream, with this ordinal: what is made now has to come
    /// behind it.
    #[error("the catalog knows a later clip of this stream")]
    Behind(u64),
}

impl From<&MakeError> for Failure {
    fn from(error: &MakeError) -> Self {
        match error {
            MakeError::DiskFull => Self::NoRoom,
            MakeError::Media(_) => Self::Media,
            MakeError::Store(_) | MakeError::Behind(_) => Self::Store,
        }
    }
}

impl From<StorageError> for MakeError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::DiskFull { .. } => Self::DiskFull,
            StorageError::Clip(error) => Self::Media(error.to_string()),
            error => Self::Store(error.to_string()),
        }
    }
}

impl From<CatalogError> for MakeError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::DiskFull => Self::DiskFull,
            error => Self::Store(error.to_string()),
        }
    }
}

/// What stands in the way of recording, by what it concerns.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<BTreeMap<String, (bool, String)>>);

impl Troubles {
    /// Something stands in the way. Said once, however often it is found.
    pub(crate) fn set(&self, concern: &str, disk_full: bool, what: &str) {
        let mut all = lock(&self.0);
        let known = all.get(concern);
        if known.is_some_and(|(_, before)| before == what) {
            return;
        }
        tracing::error!(concern, "recording stands still: {what}");
        all.insert(concern.to_owned(), (disk_full, what.to_owned()));
        report(&all);
    }

    /// It is out of the way.
    pub(crate) fn clear(&self, concern: &str) {
        let mut all = lock(&self.0);
        if all.remove(concern).is_some() {
            tracing::info!(concern, "recording goes on");
            report(&all);
        }
    }

    /// One of them, in words.
    pub(crate) fn first(&self) -> Option<String> {
        let all = lock(&self.0);
        all.iter()
            .next()
            .map(|(concern, (_, what))| format!("{concern}: {what}"))
    }
}

fn report(all: &BTreeMap<String, (bool, String)>) {
    let full = all.values().any(|(disk_full, _)| *disk_full);
    gauge!(DISK_FULL).set(if full { 1.0 } else { 0.0 });
}

/// What is kept behind the recorders' locks is whole between any two statements.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
