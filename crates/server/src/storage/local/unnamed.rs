//! Files that have no name until they are whole.

use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that goes away with the process unless it is given a name. Where the file system has no
/// such files it has a dot-name for the time being, and a crash leaves it for the next start.
#[derive(Debug)]
pub(in crate::storage) struct Unnamed {
    file: Arc<File>,
    /// The dot-name that it has if it must have one.
    path: PathBuf,
    /// The dot-name, where it has one.
    hidden: Option<Hidden>,
}

impl Unnamed {
    /// Makes a file in `folder`; `hidden` is the name that it has if it must have one.
    pub(in crate::storage) fn new(folder: &Path, hidden: &str) -> io::Result<Self> {
        let path = folder.join(hidden);
        if let Some(file) = without_name(folder) {
            return Ok(Self {
                file: Arc::new(file),
                path,
                hidden: None,
            });
        }
        let mut options = File::options();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(Self {
            file: Arc::new(file),
            hidden: Some(Hidden(path.clone())),
            path,
        })
    }

    pub(in crate::storage) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Gives it its name.
    pub(in crate::storage) fn link(self, to: &Path) -> io::Result<()> {
        match &self.hidden {
            Some(hidden) => fs::rename(&hidden.0, to),
            None => name(&self.file, to).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Err(error),
                // Not every file system that has such files lets them be linked.
                _ => self.copy(to),
            }),
        }
    }

    /// Gives a copy the name, whole and synced.
    fn copy(&self, to: &Path) -> io::Result<()> {
        let hidden = Hidden(self.path.clone());
        let mut copy = File::create(&hidden.0)?;
        let mut from = self.file.as_ref();
        from.seek(io::SeekFrom::Start(0))?;
        io::copy(&mut from, &mut copy)?;
        copy.sync_all()?;
        fs::rename(&hidden.0, to)
    }
}

/// Is taken away when it is dropped, unless it has another name by then.
#[derive(Debug)]
struct Hidden(PathBuf);

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// `None` where that cannot be done, for whatever reason: another way to make a file tells which.
#[cfg(target_os = "linux")]
fn without_name(folder: &Path) -> Option<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(folder, flags, Mode::from_raw_mode(0o666)).ok()?;
    let file = File::from(file);
    // Without /proc it could never be given a name.
    fs::metadata(proc_path(&file)).is_ok().then_some(file)
}

#[cfg(target_os = "linux")]
fn name(file: &File, to: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    // open(2), O_TMPFILE: the way that needs no privilege.
    linkat(CWD, proc_path(file), CWD, to, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}

#[cfg(target_os = "linux")]
fn proc_path(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(not(target_os = "linux"))]
fn without_name(_: &Path) -> Option<File> {
    None
}

#[cfg(not(target_os = "linux"))]
fn name(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
        entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn nothing_is_seen_of_it_before_it_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let new = || Unnamed::new(folder.path(), ".x.part").unwrap();
        // Not every file system has files without a name.
        let hidden = new().hidden.is_some();
        let file = new();
        file.file().as_ref().write_all(b"clip").unwrap();
        assert_eq!(names(folder.path()).is_empty(), !hidden);
        let path = folder.path().join("clip");
        file.link(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"clip");
        drop(new());
        assert_eq!(names(folder.path()), ["clip"]);
    }

    #[test]
    fn a_file_with_a_dot_name_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let hidden = || {
            let path = folder.path().join(".x.part");
            Unnamed {
                file: Arc::new(File::create(&path).unwrap()),
                hidden: Some(Hidden(path.clone())),
                path,
            }
        };
        drop(hidden());
        assert!(names(folder.path()).is_empty());
        hidden().link(&folder.path().join("clip")).unwrap();
        assert_eq!(names(folder.path()), ["clip"]);
    }

    #[test]
    fn what_cannot_be_linked_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let file = Unnamed::new(folder.path(), ".x.part").unwrap();
        file.file().as_ref().write_all(b"clip").unwrap();
        let path = folder.path().join("clip");
        file.copy(&path).unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"clip");
        assert_eq!(names(folder.path()), ["clip"]);
    }
}
