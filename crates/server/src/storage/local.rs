//! Clips in a folder.
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

mod unnamed;

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

pub(super) use self::unnamed::Unnamed;
use super::record::{self, record_path, write_record};
use super::{
    AppPaths, ClipContent, ClipRecord, ClipStore, ClipWriter, FileContent, FoundClip, FoundKind,
    NewClip, OpenClip, Published, Room, StorageError, Usage, is_full, kind_of,
};

/// How deep below an application's folder clips are looked for.
const DEEPEST: usize = 8;

/// The disk is told to begin to write a clip that grows whenever so much has come: about a segment, as many
/// streams that begin together would otherwise be told together.
const KICK: u64 = 256 << 10;

/// The folders of the applications, as a store of clips.
#[derive(Debug, Clone, Default)]
pub struct LocalStore {
    usage: Usage,
}

impl ClipStore for LocalStore {
    fn begin(
        &self,
        app: &AppPaths,
        clip_id: &str,
        sub_folder: Option<&str>,
        room: Room,
    ) -> Result<NewClip, StorageError> {
        let folder = app.clip_folder(sub_folder);
        let path = folder.join(format!("{clip_id}.mp4"));
        let io = |error| StorageError::of(&path, error);
        let making = self.usage.make(clip_id);
        create_folder(&folder).map_err(io)?;
        let file = Unnamed::new(&folder, &format!(".{clip_id}.mp4.part")).map_err(io)?;
        // A disk without room for it says so before anything is written.
        if let Some(len) = room.len {
            reserve(file.file(), len).map_err(io)?;
        }
        let writer = LocalWriter {
            path: path.clone(),
            file,
            head: 0..room.head,
            end: room.head,
            kicked: room.len.is_none().then_some(room.head),
        };
        Ok(NewClip::new(Box::new(writer), path, making))
    }

    fn open(&self, app: &AppPaths, key: &str) -> io::Result<Option<OpenClip>> {
        let lease = self.usage.lease(app, key);
        let mut found = app.roots().map(|root| open_inside(root, key));
        let Some((file, metadata)) = found.find_map(|opened| opened.ok().flatten()) else {
            return Ok(None);
        };
        Ok(Some(OpenClip {
            len: metadata.len(),
            modified: metadata.modified().unwrap_or(UNIX_EPOCH),
            content: Arc::new(FileContent::new(file)),
            lease,
        }))
    }

    /// Regular files with the names that clips and what belongs to them have. No link is followed.
    fn list(&self, app: &AppPaths) -> io::Result<Vec<FoundClip>> {
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

    fn read_record(&self, found: &FoundClip) -> io::Result<Option<ClipRecord>> {
        record::of_clip(&found.path)
    }

    fn is_stray_record(&self, app: &AppPaths, found: &FoundClip) -> bool {
        // In this order: a clip that is no longer in the making has its name by now.
        found.kind == FoundKind::Record
            && !self.usage.in_making(&found.clip_id)
            && !found.path.with_extension("mp4").exists()
            && record::read(&found.path)
                .is_ok_and(|record| record.is_some_and(|r| r.is_of(&app.app, &found.clip_id)))
    }

    fn delete(&self, app: &AppPaths, key: &str) -> io::Result<bool> {
        remove_clip(&app.clip_path(key))
    }

    fn delete_found(&self, found: &FoundClip) -> io::Result<bool> {
        remove(&found.path)
    }

    fn delete_record(&self, found: &FoundClip) -> io::Result<()> {
        remove(&record_path(&found.path)).map(drop)
    }

    fn usage(&self) -> &Usage {
        &self.usage
    }
}

/// A file that will be a clip.
#[derive(Debug)]
struct LocalWriter {
    path: PathBuf,
    file: Unnamed,
    /// What is still to come of the head.
    head: std::ops::Range<u64>,
    end: u64,
    /// Up to where the disk was told to write, where the clip grows by and by.
    kicked: Option<u64>,
}

impl ClipWriter for LocalWriter {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.file().write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        if let Some(kicked) = self.kicked.filter(|kicked| self.end - kicked >= KICK) {
            begin_writing(self.file.file(), kicked, self.end);
            self.kicked = Some(self.end);
        }
        Ok(())
    }

    fn append_head(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        if len > self.head.end - self.head.start {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.file.file().write_all_at(bytes, self.head.start)?;
        self.head.start += len;
        Ok(())
    }

    fn content(&self) -> Arc<dyn ClipContent> {
        Arc::new(FileContent::shared(Arc::clone(self.file.file())))
    }

    fn publish(self: Box<Self>, record: &ClipRecord) -> io::Result<Published> {
        let Self {
            path, file, head, ..
        } = *self;
        let published = (|| {
            if !head.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.file().sync_all()?;
            let bytes = file.file().metadata()?.len();
            write_record(&path, record)?;
            file.link(&path)?;
            sync_folder(path.parent().unwrap_or(Path::new(".")))?;
            Ok(bytes)
        })();
        match published {
            Ok(bytes) => Ok(Published {
                bytes,
                path: Some(path),
            }),
            Err(error) => {
                let _ = fs::remove_file(&path);
                let _ = fs::remove_file(record_path(&path));
                Err(error)
            }
        }
    }
}

/// Opens a regular file in `root` or below it. Links may lead about inside the folder, and not out of it;
/// nothing that begins with a dot is there for anybody.
pub(crate) fn open_inside(root: &Path, path: &str) -> io::Result<Option<(File, Metadata)>> {
    let asked = root.join(path);
    let root = root.canonicalize()?;
    let real: PathBuf = asked.canonicalize()?;
    let Ok(inside) = real.strip_prefix(&root) else {
        return Ok(None);
    };
    let hidden = |part: &std::ffi::OsStr| part.as_encoded_bytes().starts_with(b".");
    if inside.iter().any(hidden) {
        return Ok(None);
    }
    // A pipe would hold up whoever opens it.
    if !fs::metadata(&real)?.is_file() {
        return Ok(None);
    }
    let file = File::open(&real)?;
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
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

/// Removes a clip that may be gone already, and then its record; says whether the clip was there.
///
/// # Errors
/// When one of them cannot be removed.
pub(super) fn remove_clip(path: &Path) -> io::Result<bool> {
    let was_there = remove(path)?;
    remove(&record_path(path))?;
    Ok(was_there)
}

/// Removes a file that may be gone already; says whether it was there.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
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
fn sync_folder(folder: &Path) -> io::Result<()> {
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
