//! Clip files: whole under their final name, or not there at all.
//!
//! A clip is written into a file without a name (`O_TMPFILE`), which the system takes away with the
//! process; where there are no such files, under a dot-name. When it is whole and synced, the
//! [`ClipRecord`] that makes its catalog entry is put beside it, `{clipId}.json`, whole and synced
//! too, so that the catalog can be made again from the files alone. Then the clip gets its name:
//! that is the moment from which it exists. Last the folder is synced.
//!
//! ```text
//! {clipId}.json    named first, removed last: alone it is what a crash left, and is swept
//! {clipId}.mp4     there with its record, or not there
//! ```
//!
//! So the bytes of a clip depend on its media and its title alone, not on when it was stored.

mod body;
mod leases;
mod record;
mod unnamed;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clipmill::{ClipError, ClipLayout, SegmentSource};

pub use self::body::{BodySender, ClipBody, body};
pub use self::leases::Lease;
#[cfg(feature = "fuzzing")]
pub(crate) use self::record::parse as parse_record;
pub use self::record::{ClipRecord, read_record};
use self::record::{record_path, write_record};
use self::unnamed::Unnamed;
use crate::domain::{ClipEntry, is_clip_id};

/// How deep below an application's folder clips are looked for.
const DEEPEST: usize = 8;

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

/// Where an application's files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPaths {
    /// The application.
    pub app: String,
    /// Its playlists and segments.
    pub streams_dir: PathBuf,
    /// Its clips; beside the playlists when absent.
    pub clips_dir: Option<PathBuf>,
}

impl AppPaths {
    /// The folder that clips go to.
    #[must_use]
    pub fn clip_root(&self) -> &Path {
        self.clips_dir.as_deref().unwrap_or(&self.streams_dir)
    }

    /// The folder that the clips of a stream go to, whose playlist lies in `sub_folder`.
    #[must_use]
    pub fn clip_folder(&self, sub_folder: Option<&str>) -> PathBuf {
        match sub_folder {
            Some(folder) => self.clip_root().join(folder),
            None => self.clip_root().to_owned(),
        }
    }

    /// The folders in which clips are looked for.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        let beside = Some(self.streams_dir.as_path());
        self.clips_dir.as_deref().into_iter().chain(beside)
    }

    /// The file of an entry: where it would be written today, else where it lies.
    #[must_use]
    pub fn clip_path(&self, entry: &ClipEntry) -> PathBuf {
        let mut all = self.roots().map(|root| root.join(&entry.key));
        let found = all.find(|path| path.is_file());
        found.unwrap_or_else(|| self.clip_root().join(&entry.key))
    }
}

/// A clip that is whole on the disk. Until it is dropped, nobody takes it for one that nothing
/// points to: drop it after its entry is in the catalog.
#[derive(Debug)]
pub struct StoredClip {
    /// Where it lies.
    pub path: PathBuf,
    /// How long it is.
    pub bytes: u64,
    tee: Option<body::Growing>,
    _making: Making,
}

impl StoredClip {
    /// It is known to the catalog: whoever takes its bytes gets the last of them now.
    pub fn keep(self) {
        if let Some(tee) = self.tee {
            tee.done();
        }
    }

    /// Takes the file away again, as its entry could not be made.
    pub fn discard(self) {
        if let Err(error) = remove_clip(&self.path) {
            tracing::error!(path = %self.path.display(), %error, "cannot remove a clip");
        }
    }
}

/// A clip that is being written. Nothing is left of it when it is dropped.
#[derive(Debug)]
pub struct NewClip {
    path: PathBuf,
    file: Unnamed,
    making: Making,
}

impl NewClip {
    /// What it is written into.
    #[must_use]
    pub fn file(&self) -> &Arc<File> {
        self.file.file()
    }

    /// Where it will lie.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes what was written last, and gives it its name.
    ///
    /// # Errors
    /// When that could not be done; then nothing of it is left.
    pub fn publish(self, record: &ClipRecord) -> Result<StoredClip, StorageError> {
        let Self { path, file, making } = self;
        let published = (|| {
            file.file().sync_all()?;
            let bytes = file.file().metadata()?.len();
            write_record(&path, record)?;
            file.link(&path)?;
            sync_folder(path.parent().unwrap_or(Path::new(".")))?;
            Ok(bytes)
        })();
        match published {
            Ok(bytes) => Ok(StoredClip {
                path,
                bytes,
                tee: None,
                _making: making,
            }),
            Err(error) => {
                let _ = fs::remove_file(&path);
                let _ = fs::remove_file(record_path(&path));
                Err(StorageError::of(&path, error))
            }
        }
    }
}

/// Stores clips, and knows which are in the making or in use.
#[derive(Debug, Clone, Default)]
pub struct ClipStore {
    making: Arc<Mutex<HashSet<String>>>,
    leases: leases::Leases,
}

/// A clip in the making.
#[derive(Debug)]
struct Making {
    clip_id: String,
    all: Arc<Mutex<HashSet<String>>>,
}

impl Drop for Making {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.clip_id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept behind these locks is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClipStore {
    /// Begins a clip that will lie in the folder of a stream.
    ///
    /// # Errors
    /// When there can be no file.
    pub fn begin(
        &self,
        app: &AppPaths,
        clip_id: &str,
        sub_folder: Option<&str>,
    ) -> Result<NewClip, StorageError> {
        let folder = app.clip_folder(sub_folder);
        let path = folder.join(format!("{clip_id}.mp4"));
        let io = |error| StorageError::of(&path, error);
        let making = self.make(clip_id);
        create_folder(&folder).map_err(io)?;
        let file = Unnamed::new(&folder, &format!(".{clip_id}.mp4.part")).map_err(io)?;
        Ok(NewClip { path, file, making })
    }

    /// Writes a clip, whole and synced, and tells `tee` of every byte as it comes.
    ///
    /// # Errors
    /// When it could not be written; then nothing of it is left.
    pub fn store(
        &self,
        app: &AppPaths,
        record: &ClipRecord,
        layout: &ClipLayout,
        source: &dyn SegmentSource,
        tee: Option<BodySender>,
    ) -> Result<StoredClip, StorageError> {
        let entry = &record.entry;
        let clip = self.begin(app, &entry.id, entry.sub_folder())?;
        // A disk without room for it says so before anything is written.
        let reserved = reserve(clip.file(), layout.len());
        reserved.map_err(|error| StorageError::of(clip.path(), error))?;
        let mut out = Teed {
            file: Arc::clone(clip.file()),
            written: 0,
            tee: tee.map(|tee| tee.begin(Arc::clone(clip.file()))),
        };
        let written = layout.write_to(source, clip.path(), &mut out);
        written.map_err(|error| match error {
            ClipError::Write { path, error } => StorageError::of(&path, error),
            error => StorageError::Clip(error),
        })?;
        let stored = clip.publish(record)?;
        Ok(StoredClip {
            tee: out.tee,
            ..stored
        })
    }

    /// Whether the entry of a clip is still to come.
    #[must_use]
    pub fn in_making(&self, clip_id: &str) -> bool {
        lock(&self.making).contains(clip_id)
    }

    /// Says that a file is being read: it is not swept while the lease lives.
    #[must_use]
    pub fn lease(&self, path: &Path) -> Lease {
        self.leases.take(path)
    }

    /// Whether a file is being read.
    #[must_use]
    pub fn in_use(&self, path: &Path) -> bool {
        self.leases.holds(path)
    }

    fn make(&self, clip_id: &str) -> Making {
        lock(&self.making).insert(clip_id.to_owned());
        Making {
            clip_id: clip_id.to_owned(),
            all: Arc::clone(&self.making),
        }
    }
}

/// What a file with a clip's identifier in its name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// A clip.
    Clip,
    /// The record of a clip.
    Record,
    /// Something that is still being written.
    Unfinished,
}

/// A file of a clip, found in an application's folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundClip {
    /// Where it lies.
    pub path: PathBuf,
    /// Its identifier, from its name.
    pub clip_id: String,
    /// Its place, as an entry that points to it has it.
    pub key: String,
    /// What it is, by its name.
    pub kind: FoundKind,
}

impl FoundClip {
    /// Whether it is the record of a clip of this application that is not there, and nobody is
    /// making.
    #[must_use]
    pub fn is_stray_record(&self, app: &AppPaths, store: &ClipStore) -> bool {
        // In this order: a clip that is no longer in the making has its name by now.
        self.kind == FoundKind::Record
            && !store.in_making(&self.clip_id)
            && !self.path.with_extension("mp4").exists()
            && record::read(&self.path)
                .is_ok_and(|record| record.is_some_and(|r| r.is_of(&app.app, &self.clip_id)))
    }
}

/// The files of clips in an application's folders: regular files with the names that clips and
/// what belongs to them have. No link is followed.
///
/// # Errors
/// When a folder cannot be read.
pub fn find_clips(app: &AppPaths) -> io::Result<Vec<FoundClip>> {
    let mut found = Vec::new();
    for root in app.roots() {
        match walk(root, "", DEEPEST, &mut found) {
            // It is made with the first clip.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    // One root may lie in the other; the file is then known by its shorter path.
    found.sort_by(|a, b| (&a.path, a.key.len()).cmp(&(&b.path, b.key.len())));
    found.dedup_by(|a, b| a.path == b.path);
    Ok(found)
}

fn walk(folder: &Path, relative: &str, depth: usize, found: &mut Vec<FoundClip>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let (Some(name), Ok(kind)) = (name.to_str(), entry.file_type()) else {
            continue;
        };
        if kind.is_dir() && depth > 0 && !name.starts_with('.') {
            let below = format!("{relative}{name}/");
            match walk(&entry.path(), &below, depth - 1, found) {
                // Removed while we looked, or none of our business.
                Err(error) if depth < DEEPEST => {
                    tracing::warn!(folder = %entry.path().display(), %error, "cannot look for clips");
                }
                other => other?,
            }
        }
        if !kind.is_file() {
            continue;
        }
        let Some((clip_id, kind)) = kind_of(name) else {
            continue;
        };
        found.push(FoundClip {
            path: entry.path(),
            clip_id: clip_id.to_owned(),
            key: format!("{relative}{name}"),
            kind,
        });
    }
    Ok(())
}

/// What a file is by its name, and of which clip.
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

/// Removes a clip that may be gone already, and then its record; says whether the clip was there.
///
/// # Errors
/// When one of them cannot be removed.
pub fn remove_clip(path: &Path) -> io::Result<bool> {
    let was_there = remove(path)?;
    remove(&record_path(path))?;
    Ok(was_there)
}

/// Removes a file that may be gone already; says whether it was there.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => {
            if let Some(folder) = path.parent() {
                sync_folder(folder)?;
            }
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the names in a folder last.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder and those above it, and makes their names last.
fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    for above in folder.ancestors().skip(1).take(DEEPEST) {
        if !above.as_os_str().is_empty() {
            sync_folder(above)?;
        }
    }
    Ok(())
}

/// Sets room aside. File systems that cannot say so are believed to have it.
#[cfg(target_os = "linux")]
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes.max(1)) {
        Err(error) => {
            let error = io::Error::from(error);
            if is_full(&error) { Err(error) } else { Ok(()) }
        }
        Ok(()) => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_: &File, _: u64) -> io::Result<()> {
    Ok(())
}

/// A file that tells how far it has come.
struct Teed {
    file: Arc<File>,
    written: u64,
    tee: Option<body::Growing>,
}

impl Write for Teed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = (&*self.file).write(bytes)?;
        self.written += count as u64;
        if let Some(tee) = &self.tee {
            tee.reached(self.written);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.file).flush()
    }
}

#[cfg(test)]
mod tests;
