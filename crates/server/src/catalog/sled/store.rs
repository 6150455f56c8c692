//! A store that is open, and how its changes are made to last.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::sled::Db;
use ::sled::transaction::{TransactionError, TransactionalTree};

use super::values::Abort;
use super::{CatalogError, Result};

/// Of the page cache: an index of a hundred thousand clips needs no more.
const CACHE: u64 = 64 << 20;

/// A store that another process has is waited for no longer than this.
const STILL_LOCKED: Duration = Duration::from_secs(2);

/// A store that is open.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) db: Db,
    folder: PathBuf,
    /// Changes made, and changes that are known to be on the disk.
    changes: AtomicU64,
    durable: Mutex<u64>,
}

impl Store {
    pub(super) fn new(db: Db, folder: &Path) -> Self {
        Self {
            db,
            folder: folder.to_owned(),
            changes: AtomicU64::new(0),
            durable: Mutex::new(0),
        }
    }

    /// Makes all changes made so far last. Those who come while another waits for the disk share
    /// its next turn.
    pub(super) fn settle(&self) -> Result<()> {
        let mine = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if *durable >= mine {
            return Ok(());
        }
        let reached = self.changes.load(Ordering::SeqCst);
        self.db.flush()?;
        // On Linux sled asks for writing to begin, not for it to end.
        sync_files(&self.folder).map_err(|error| io(&self.folder, &error))?;
        *durable = reached;
        Ok(())
    }
}

/// Opens a store. One that was closed just now may be locked for a moment still: by a thread of its own
/// that has not ended, by whoever still reads from it, or by a child that has not begun to run.
pub(super) fn open_db(store: &Path) -> ::sled::Result<Db> {
    let begun = Instant::now();
    loop {
        let opened = ::sled::Config::new()
            .path(store)
            .cache_capacity(CACHE)
            .flush_every_ms(Some(1000))
            .open();
        match opened {
            Err(error) if is_locked(&error) && begun.elapsed() < STILL_LOCKED => {
                std::thread::sleep(STILL_LOCKED / 200);
            }
            opened => return opened,
        }
    }
}

/// Whether somebody else has the store open. What the system answers is inside a text of sled's.
pub(super) fn is_locked(error: &::sled::Error) -> bool {
    matches!(error, ::sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

pub(super) fn transaction<T>(
    db: &Db,
    change: &impl Fn(&TransactionalTree) -> std::result::Result<T, Abort>,
) -> Result<T> {
    db.transaction(|tree| change(tree))
        .map_err(|error| match error {
            TransactionError::Abort(error) => error,
            TransactionError::Storage(error) => error.into(),
        })
}
fn sync_files(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => sync_files(&entry.path())?,
            kind if kind.is_file() => match File::open(entry.path()) {
                Ok(file) => file.sync_all()?,
                // Snapshots come and go.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
            _ => {}
        }
    }
    File::open(folder)?.sync_all()
}

pub(super) fn io(folder: &Path, error: &std::io::Error) -> CatalogError {
    if crate::storage::is_full(error) {
        return CatalogError::DiskFull;
    }
    CatalogError::Store(format!("{}: {error}", folder.display()))
}

impl From<::sled::Error> for CatalogError {
    fn from(error: ::sled::Error) -> Self {
        match error {
            ::sled::Error::Io(error) if crate::storage::is_full(&error) => Self::DiskFull,
            error => Self::Store(error.to_string()),
        }
    }
}
