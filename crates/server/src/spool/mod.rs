//! Segments kept from deletion until every clip that needs them has been cut.
//!
//! A media server deletes a segment when it slides out of the playlist, which may be long before
//! its clip is complete. So each segment gets a second name in the data folder as soon as it is
//! listed: a hard link, which costs nothing while the server still has the first; a copy where
//! links are impossible (another file system, no permission).
//!
//! An encoder that restarts opens its old files again and truncates them, and a link would lose its
//! content with them. So the first segments of a session, whose names come back first, are copied.
//! When one of them is written again there is time to turn the links of the others into copies
//! (`Spool::harden`).
//!
//! ```text
//! {data_dir}/spool/{app}/{stream}/{session}/{sequence}_{duration}_{start}_{flags}_{missing}_{map}_{file}.seg
//! ```
//!
//! What the playlist said about a segment is in its name, so that the two appear in one step and a
//! server that was killed finds everything it needs to go on.

mod dvr;
mod holding;
mod index_file;
mod label;
mod survey;
mod tally;
mod window;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use clipmill::ReadSegment;

pub(crate) use self::dvr::{Dvr, Hold, InWindow, Leaving, StoredIndexes, StreamDvr};
pub(crate) use self::holding::Holding;
pub(crate) use self::label::Label;
#[cfg(feature = "fuzzing")]
pub(crate) use self::label::rewritten;
pub use self::survey::{KeptStream, Trimmed, Verified, list, trim, verify};
use self::tally::Tally;
use crate::config::AppSettings;
use crate::sources::session::FileMark;

const PARTIAL: &str = ".part";

/// Why a segment could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// The disk is full.
    #[error("cannot keep {}: no space left on the disk", path.display())]
    DiskFull {
        /// The segment.
        path: PathBuf,
    },
    /// The spool has as many bytes as it may.
    #[error("cannot keep {}: the spool holds {used} bytes, over its limit of {limit}", path.display())]
    OverLimit {
        /// The segment.
        path: PathBuf,
        /// Bytes kept.
        used: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// It could not be linked, read or written.
    #[error("cannot keep {}: {error}", path.display())]
    Io {
        /// The segment.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl SpoolError {
    pub(crate) fn new(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, error },
        }
    }

    /// What is the matter, whatever the segment.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } => "no space left on the disk to keep segments",
            Self::OverLimit { .. } => "segments kept for clips to come reach spool_max_bytes",
            Self::Io { .. } => "segments cannot be kept in the data folder",
        }
    }
}

/// What a segment holds.
pub(crate) struct Content<'a> {
    /// Its bytes, decrypted.
    pub(crate) bytes: &'a [u8],
    /// Its `EXT-X-MAP`.
    pub(crate) init: Option<&'a Bytes>,
    /// What its file looked like when it was read.
    pub(crate) mark: FileMark,
    /// Its file, which may be linked; without one it is written anew.
    pub(crate) from: Option<&'a Path>,
}

/// A segment in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) label: Label,
    pub(crate) path: PathBuf,
    pub(crate) mark: FileMark,
    /// It shares its content with a file of the media server.
    pub(crate) linked: bool,
}

/// The folder in which segments are kept.
#[derive(Debug)]
pub struct Spool {
    root: PathBuf,
    limit: u64,
    /// Of the applications that have one of their own.
    limits: Mutex<BTreeMap<String, u64>>,
    used: Tally,
    dvr: Dvr,
    /// Folders of sessions that are over, and of which somebody still reads a segment.
    over: Mutex<HashSet<PathBuf>>,
}

impl Spool {
    /// Opens the spool of a data folder, and removes what a crash left half done.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(data_dir: &Path, limit: u64) -> io::Result<Self> {
        let root = data_dir.join("spool");
        fs::create_dir_all(&root)?;
        let spool = Self {
            root,
            limit,
            limits: Mutex::default(),
            used: Tally::default(),
            dvr: Dvr::new(data_dir),
            over: Mutex::default(),
        };
        walk(&spool.root, &mut |path, metadata| {
            if path.extension().is_some_and(|suffix| suffix == "part") {
                let _ = fs::remove_file(path);
            } else if path.extension().is_some_and(|suffix| suffix == "seg") {
                spool.used.add(spool.app_of(path), metadata.len());
            }
        })?;
        Ok(spool)
    }

    /// Bytes of all segments kept. Those whose first name still exists cost no space.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes_of(None)
    }

    /// The same, of one application or of all.
    fn bytes_of(&self, app: Option<&str>) -> u64 {
        self.used.of(app).saturating_add(self.dvr.bytes_of(app))
    }

    /// Sets how many bytes may be kept of each application.
    pub(crate) fn limit_apps(&self, apps: &[Arc<AppSettings>]) {
        let limited = apps
            .iter()
            .filter_map(|app| Some((app.name.clone(), app.spool_max_bytes?)));
        *self.limits() = limited.collect();
    }

    fn limits(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The application that a session's folder, or what is in it, belongs to.
    fn app_of<'a>(&self, path: &'a Path) -> &'a str {
        let below = path.strip_prefix(&self.root).ok();
        let first = below.and_then(|below| below.iter().next());
        first.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// What is kept though no clip in the making needs it.
    pub(crate) fn dvr(&self) -> &Dvr {
        &self.dvr
    }

    /// Bytes that may be kept.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The folder of a stream.
    fn stream(&self, app: &str, stream: &str) -> PathBuf {
        self.root.join(app).join(stream)
    }

    /// The folder of one session of a stream.
    pub(crate) fn session(&self, app: &str, stream: &str, session: &str) -> PathBuf {
        self.stream(app, stream).join(session)
    }

    /// The streams of an app of which something is kept.
    pub(crate) fn streams(&self, app: &str) -> Vec<String> {
        names(&self.root.join(app))
    }

    /// The sessions of a stream of which something is kept, oldest first.
    pub(crate) fn sessions(&self, app: &str, stream: &str) -> Vec<String> {
        names(&self.stream(app, stream))
    }

    /// What is kept of a session, in order.
    pub(crate) fn kept(&self, session: &Path) -> Vec<Kept> {
        let mut all = Vec::new();
        for name in names(session) {
            let path = session.join(&name);
            let (Some(label), Ok(metadata)) = (Label::parse(&name), fs::metadata(&path)) else {
                continue;
            };
            all.push(Kept {
                label,
                mark: FileMark::of(&metadata),
                linked: links(&metadata) > 1,
                path,
            });
        }
        all.sort_by_key(|kept| kept.label.sequence);
        all
    }

    /// Keeps a segment.
    pub(crate) fn keep(
        &self,
        session: &Path,
        label: Label,
        content: &Content<'_>,
    ) -> Result<Kept, SpoolError> {
        let Content { bytes, mark, .. } = *content;
        let label = Label {
            init: content.init.map(|init| number_of(init)),
            ..label
        };
        let path = session.join(label.file_name());
        let failed = |error| SpoolError::new(&path, error);
        let len = bytes.len() as u64;
        let app = self.app_of(session);
        let own = self.limits().get(app).map(|limit| (Some(app), *limit));
        for (of, limit) in own.into_iter().chain([(None, self.limit)]) {
            let over = self.bytes_of(of).saturating_add(len).saturating_sub(limit);
            if over > 0 {
                // What clips need goes before what they may need.
                self.dvr.make_room(of, over, limit);
            }
            let used = self.bytes_of(of);
            if used.saturating_add(len) > limit {
                return Err(SpoolError::OverLimit { path, used, limit });
            }
        }
        fs::create_dir_all(session).map_err(failed)?;
        let partial = session.join(format!("{:020}{PARTIAL}", label.sequence));
        let _ = fs::remove_file(&partial);
        if let (Some(number), Some(init)) = (label.init, content.init) {
            write_init(session, number, init).map_err(failed)?;
        }
        // In two steps, so that what a crash left under the name is replaced in one.
        let linked = content.from.is_some_and(|from| link(from, &partial, mark));
        if !linked {
            write(&partial, bytes, mark).map_err(failed)?;
        }
        let replaced = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        // Nothing happens where both are links to one file, hence the removal after.
        fs::rename(&partial, &path).map_err(failed)?;
        let _ = fs::remove_file(&partial);
        self.used.add(app, len);
        self.used.sub(app, replaced);
        Ok(Kept {
            label,
            path,
            mark: FileMark { len, ..mark },
            linked,
        })
    }

    /// Turns a link into a copy, before its content is overwritten under its other name. False
    /// when that has happened already.
    pub(crate) fn harden(&self, kept: &Kept) -> Result<bool, SpoolError> {
        let failed = |error| SpoolError::new(&kept.path, error);
        let partial = kept.path.with_extension("part");
        let bytes = fs::read(&kept.path).map_err(failed)?;
        let now = FileMark::of(&fs::metadata(&kept.path).map_err(failed)?);
        if now != kept.mark || bytes.len() as u64 != kept.mark.len {
            return Ok(false);
        }
        write(&partial, &bytes, kept.mark).map_err(failed)?;
        fs::rename(&partial, &kept.path).map_err(failed)?;
        Ok(true)
    }

    /// Lets go of a segment.
    pub(crate) fn release(&self, kept: &Kept) {
        match fs::remove_file(&kept.path) {
            Ok(()) => {
                self.used.sub(self.app_of(&kept.path), kept.mark.len);
                self.last_went(kept.path.parent());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %kept.path.display(), %error, "cannot remove a kept segment");
            }
        }
    }

    /// Removes a session's folder with all that is in it.
    pub(crate) fn remove(&self, session: &Path) {
        for kept in self.kept(session) {
            self.release(&kept);
        }
        let _ = fs::remove_dir_all(session);
        // The stream's folder goes with its last session; the app's stays.
        if let Some(stream) = session.parent() {
            let _ = fs::remove_dir(stream);
        }
    }

    /// Removes the folder of a session that is over: when no segment is left in it.
    pub(crate) fn remove_empty(&self, session: &Path) {
        self.over().insert(session.to_owned());
        self.last_went(Some(session));
    }

    fn over(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a session's folder if it is over, and its last segment has gone.
    fn last_went(&self, session: Option<&Path>) {
        let Some(session) = session.filter(|session| self.over().contains(*session)) else {
            return;
        };
        let mut names = names(session).into_iter();
        if names.all(|name| Label::parse(&name).is_none()) && self.over().remove(session) {
            self.remove(session);
        }
    }
}

/// Reads a segment that is kept, with the `EXT-X-MAP` that lies beside it.
pub(crate) fn read(segment: &Path, label: &Label) -> io::Result<ReadSegment> {
    let init = label.init.map(|number| {
        let path = segment.with_file_name(init_name(number));
        let named = |error: io::Error| {
            let text = format!("{}: {error}", path.display());
            io::Error::new(error.kind(), text)
        };
        fs::read(&path).map_err(named)
    });
    Ok(ReadSegment {
        file: None,
        bytes: fs::read(segment)?.into(),
        key: None,
        init: init.transpose()?.map(Bytes::from),
    })
}

/// The file of the `EXT-X-MAP` that a kept segment needs.
pub(crate) fn map_of(segment: &Path) -> Option<PathBuf> {
    let label = Label::parse(segment.file_name()?.to_str()?)?;
    Some(segment.with_file_name(init_name(label.init?)))
}

fn init_name(number: u64) -> String {
    format!("{number:016x}.init")
}

/// A number that no other `EXT-X-MAP` has, and that is not 0.
fn number_of(init: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    init.hash(&mut hasher);
    hasher.finish().max(1)
}

fn write_init(session: &Path, number: u64, init: &[u8]) -> io::Result<()> {
    let path = session.join(init_name(number));
    if path.is_file() {
        return Ok(());
    }
    let partial = path.with_extension("part");
    fs::write(&partial, init)?;
    fs::rename(&partial, &path)
}

/// Links a file, if it still is the one that looked like `mark`.
fn link(from: &Path, to: &Path, mark: FileMark) -> bool {
    if fs::hard_link(from, to).is_err() {
        return false;
    }
    let same = fs::metadata(to).is_ok_and(|metadata| FileMark::of(&metadata) == mark);
    if !same {
        let _ = fs::remove_file(to);
    }
    same
}

/// Writes a file with the date of its last change, which tells files of one name apart.
fn write(to: &Path, bytes: &[u8], mark: FileMark) -> io::Result<()> {
    let written = (|| {
        let mut file = fs::File::create(to)?;
        file.write_all(bytes)?;
        file.set_modified(mark.modified())
    })();
    if written.is_err() {
        let _ = fs::remove_file(to);
    }
    written
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

fn walk(folder: &Path, each: &mut dyn FnMut(&Path, &fs::Metadata)) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            walk(&entry.path(), each)?;
        } else {
            each(&entry.path(), &metadata);
        }
    }
    Ok(())
}

#[cfg(unix)]
fn links(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

#[cfg(not(unix))]
fn links(_: &fs::Metadata) -> u64 {
    1
}

#[cfg(test)]
mod tests;
