//! The clip store: clips are whole under their key, or not there at all.
//!
//! [`ClipStore`] is what the recorder, retention and HTTP know of it. [`LocalStore`], a folder, is its first
//! implementation; the trait is cut so that an object store can be another: what is written only grows, but for a
//! head of known length that comes last (the first part of a multipart upload), and what is read is a range that is
//! opened once and taken block by block.
//!
//! Its calls block, as those who write clips are threads that do nothing else meanwhile; who serves connections makes them in
//! `spawn_blocking`.
//!
//! So the bytes of a clip depend on its media and its title alone, not on when it was stored.

mod body;
#[cfg(test)]
mod conformance;
mod content;
mod local;
mod paths;
mod record;
mod usage;

use std::fmt::Debug;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use clipmill::{ClipError, ClipLayout, SegmentSource};

pub use self::body::{BodySender, ClipBody, body};
pub use self::content::{Blocks, ClipContent, FileContent, Seekable};
pub use self::local::LocalStore;
pub(crate) use self::local::open_inside;
pub use self::paths::AppPaths;
pub use self::record::ClipRecord;
#[cfg(feature = "fuzzing")]
pub(crate) use self::record::parse as parse_record;
pub use self::usage::{Lease, Usage};
use crate::domain::is_clip_id;

/// Why a clip was not stored. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no room.
    #[error("no space left on the disk for {}", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot store {}: {error}", path.display())]
    Io {
        /// What was being written.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The clip's bytes could not be had.
    #[error(transparent)]
    Clip(ClipError),
}

impl StorageError {
    pub(crate) fn of(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        if is_full(&error) {
            Self::DiskFull { path }
        } else {
            Self::Io { path, error }
        }
    }

    /// Whether it is for want of room.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }
}

/// Whether an error is for want of room.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Where clips lie.
pub trait ClipStore: Debug + Send + Sync {
    /// Begins a clip, whose key is `[{sub_folder}/]{clip_id}.mp4`.
    ///
    /// # Errors
    /// When it cannot be written, or there is no room for it.
    fn begin(
        &self,
        app: &AppPaths,
        clip_id: &str,
        sub_folder: Option<&str>,
        room: Room,
    ) -> Result<NewClip, StorageError>;

    /// Opens a clip; `None` when there is none under this key.
    ///
    /// # Errors
    /// When the store does not answer.
    fn open(&self, app: &AppPaths, key: &str) -> io::Result<Option<OpenClip>>;

    /// The clips of an application and what belongs to them.
    ///
    /// # Errors
    /// When the store does not answer.
    fn list(&self, app: &AppPaths) -> io::Result<Vec<FoundClip>>;

    /// The record of a clip that was found, its `bytes` those of the clip; `None` where there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    fn read_record(&self, found: &FoundClip) -> io::Result<Option<ClipRecord>>;

    /// Whether what was found is the record of a clip of this application that is not there, and nobody is
    /// making.
    fn is_stray_record(&self, app: &AppPaths, found: &FoundClip) -> bool;

    /// Removes a clip that may be gone already, and then its record; says whether the clip was there.
    ///
    /// # Errors
    /// When one of them cannot be removed.
    fn delete(&self, app: &AppPaths, key: &str) -> io::Result<bool>;

    /// Removes what was found and nothing else; says whether it was there.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn delete_found(&self, found: &FoundClip) -> io::Result<bool>;

    /// Removes the record of a clip that was found, where there is one.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn delete_record(&self, found: &FoundClip) -> io::Result<()>;

    /// Which clips this process is making and reading.
    fn usage(&self) -> &Usage;
}

/// What is known of a clip's length when it is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// So many bytes at the beginning come last ([`NewClip::append_head`]).
    pub head: u64,
    /// Its whole length, where that is known: want of room shows before anything is written.
    pub len: Option<u64>,
}

/// What a store does for a clip that is being written. Nothing is left of it when it is dropped unpublished.
pub trait ClipWriter: Debug + Send + Sync {
    /// Adds bytes behind those that were added before, the first behind the head.
    ///
    /// # Errors
    /// When they cannot be written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Adds bytes of the head behind those that were added before. Nothing is appended after that.
    ///
    /// # Errors
    /// When they cannot be written, or are more than the head has.
    fn append_head(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Reads what was appended.
    fn content(&self) -> Arc<dyn ClipContent>;

    /// Makes what was appended last, puts the record beside it, and gives it its key, in this order: that
    /// is the moment from which the clip exists.
    ///
    /// # Errors
    /// When that could not be done; then nothing of it is left.
    fn publish(self: Box<Self>, record: &ClipRecord) -> io::Result<Published>;
}

/// A clip that has its key.
#[derive(Debug)]
pub struct Published {
    /// How long it is.
    pub bytes: u64,
    /// Its file, in a store of files.
    pub path: Option<PathBuf>,
}

/// A clip that is being written. Nothing is left of it when it is dropped.
#[derive(Debug)]
pub struct NewClip {
    writer: Box<dyn ClipWriter>,
    /// What errors name.
    shown: PathBuf,
    making: usage::Making,
}

impl NewClip {
    /// A clip that `writer` writes; `shown` is what errors name.
    #[must_use]
    pub fn new(writer: Box<dyn ClipWriter>, shown: PathBuf, making: usage::Making) -> Self {
        Self {
            writer,
            shown,
            making,
        }
    }

    /// Adds bytes behind those that were added before, the first behind the head.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let appended = self.writer.append(bytes);
        appended.map_err(|error| StorageError::of(&self.shown, error))
    }

    /// Adds bytes of the head behind those that were added before.
    ///
    /// # Errors
    /// When they cannot be written, or are more than the head has.
    pub fn append_head(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let appended = self.writer.append_head(bytes);
        appended.map_err(|error| StorageError::of(&self.shown, error))
    }

    /// Reads what was appended.
    #[must_use]
    pub fn content(&self) -> Arc<dyn ClipContent> {
        self.writer.content()
    }

    /// Makes what was written last, and gives it its key.
    ///
    /// # Errors
    /// When that could not be done; then nothing of it is left.
    pub fn publish(self, record: &ClipRecord) -> Result<StoredClip, StorageError> {
        let Self {
            writer,
            shown,
            making,
        } = self;
        let published = writer.publish(record);
        let Published { bytes, path } =
            published.map_err(|error| StorageError::of(&shown, error))?;
        Ok(StoredClip {
            key: record.entry.key.clone(),
            path,
            bytes,
            tee: None,
            _making: making,
        })
    }
}

/// A clip that is whole in the store. Until it is dropped, nobody takes it for one that nothing
/// points to: drop it after its entry is in the catalog.
#[derive(Debug)]
pub struct StoredClip {
    /// Its key.
    pub key: String,
    /// Its file, in a store of files.
    pub path: Option<PathBuf>,
    /// How long it is.
    pub bytes: u64,
    tee: Option<body::Growing>,
    _making: usage::Making,
}

impl StoredClip {
    /// It is known to the catalog: whoever takes its bytes gets the last of them now.
    pub fn keep(self) {
        if let Some(tee) = self.tee {
            tee.done();
        }
    }

    /// Takes it away again, as its entry could not be made.
    pub fn discard(self, store: &dyn ClipStore, app: &AppPaths) {
        if let Err(error) = store.delete(app, &self.key) {
            tracing::error!(app = app.app, key = self.key, %error, "cannot remove a clip");
        }
    }
}

/// Writes a clip, whole and synced, and tells `tee` of every byte as it comes.
///
/// # Errors
/// When it could not be written; then nothing of it is left.
pub fn store(
    store: &dyn ClipStore,
    app: &AppPaths,
    record: &ClipRecord,
    layout: &ClipLayout,
    source: &dyn SegmentSource,
    tee: Option<BodySender>,
) -> Result<StoredClip, StorageError> {
    let entry = &record.entry;
    let room = Room {
        head: 0,
        len: Some(layout.len()),
    };
    let clip = store.begin(app, &entry.id, entry.sub_folder(), room)?;
    let shown = clip.shown.clone();
    let mut out = Teed {
        tee: tee.map(|tee| tee.begin(clip.content())),
        clip,
        written: 0,
    };
    let written = layout.write_to(source, &shown, &mut out);
    written.map_err(|error| match error {
        ClipError::Write { path, error } => StorageError::of(&path, error),
        error => StorageError::Clip(error),
    })?;
    let Teed { clip, tee, .. } = out;
    let stored = clip.publish(record)?;
    Ok(StoredClip { tee, ..stored })
}

/// A clip that is open to be read. It is not swept while it lives.
#[derive(Debug)]
pub struct OpenClip {
    /// How long it is.
    pub len: u64,
    /// When it was written.
    pub modified: SystemTime,
    /// Its bytes.
    pub content: Arc<dyn ClipContent>,
    /// What keeps it.
    pub lease: Lease,
}

/// What something with a clip's identifier in its name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// A clip.
    Clip,
    /// The record of a clip.
    Record,
    /// Something that is still being written.
    Unfinished,
}

/// Something of a clip, found in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundClip {
    /// Where it lies: in a store of files, the file.
    pub path: PathBuf,
    /// Its identifier, from its name.
    pub clip_id: String,
    /// Its key, as an entry that points to it has it.
    pub key: String,
    /// What it is, by its name.
    pub kind: FoundKind,
}

/// What something is by its name, and of which clip.
fn kind_of(name: &str) -> Option<(&str, FoundKind)> {
    let hidden = name.strip_prefix('.').and_then(|n| n.strip_suffix(".part"));
    let bare = hidden.unwrap_or(name);
    let (id, kind) = match bare.strip_suffix(".mp4") {
        Some(id) => (id, FoundKind::Clip),
        None => (bare.strip_suffix(".json")?, FoundKind::Record),
    };
    let kind = hidden.map_or(kind, |_| FoundKind::Unfinished);
    is_clip_id(id).then_some((id, kind))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept behind these locks is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A clip that tells how far it has come.
struct Teed {
    clip: NewClip,
    written: u64,
    tee: Option<body::Growing>,
}

impl Write for Teed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.clip.writer.append(bytes)?;
        self.written += bytes.len() as u64;
        if let Some(tee) = &self.tee {
            tee.reached(self.written);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
