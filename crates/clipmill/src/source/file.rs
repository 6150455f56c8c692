//! Playlists and segments on disk.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clipmill_playlist::{ByteRange, Location, candidates};

use super::buffers::Buffers;
use super::{SegmentSource, SourceError};

/// Reads regular files, each in one go.
///
/// A name that does not exist as it is written is tried percent-decoded and without its query, as
/// playlists made for web servers name their segments.
#[derive(Debug, Clone, Default)]
pub struct FileSource {
    root: Option<PathBuf>,
    buffers: Buffers,
}

impl FileSource {
    /// Reads files in `folder` and below alone. Links are followed as long as they stay inside.
    pub fn within(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let root = if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder
        };
        Self {
            root: Some(root),
            buffers: Buffers::default(),
        }
    }

    fn open(&self, named: &Path) -> Result<(File, u64), SourceError> {
        if let Some(opened) = self.open_plain(named) {
            return Ok(opened);
        }
        let path = existing(named).map_err(|error| failed(named, error))?;
        // Opening a pipe that nobody writes to would never return, hence the look before.
        let regular = |metadata: io::Result<fs::Metadata>| match metadata {
            Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
            Ok(_) => Err(SourceError::NotAFile {
                location: named.display().to_string(),
            }),
            Err(error) => Err(failed(named, error)),
        };
        regular(fs::metadata(&path))?;
        let file = File::open(&path).map_err(|error| failed(named, error))?;
        let length = regular(file.metadata())?;
        if let Some(root) = &self.root {
            confine(&file, &path, root)?;
        }
        Ok((file, length))
    }

    /// A regular file in the root itself, as nearly all segments are: what is no link cannot lead
    /// out of it. `None` for all else, and wherever something is in the way.
    #[cfg(unix)]
    fn open_plain(&self, named: &Path) -> Option<(File, u64)> {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        let folder = match named.parent()? {
            folder if folder.as_os_str().is_empty() => Path::new("."),
            folder => folder,
        };
        if self.root.as_deref().is_some_and(|root| root != folder) || named.file_name().is_none() {
            return None;
        }
        // A pipe that nobody writes to must not be waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).ok()?;
        let file = File::options().read(true).custom_flags(flags).open(named);
        let file = file.ok()?;
        let metadata = file.metadata().ok()?;
        metadata.is_file().then_some((file, metadata.len()))
    }

    #[cfg(not(unix))]
    fn open_plain(&self, _: &Path) -> Option<(File, u64)> {
        None
    }
}

impl SegmentSource for FileSource {
    fn read(
        &self,
        location: &Location,
        range: Option<ByteRange>,
        max_bytes: u64,
    ) -> Result<Bytes, SourceError> {
        let Location::File(path) = location else {
            return Err(SourceError::Unsupported {
                location: location.to_string(),
                reason: if cfg!(feature = "http") {
                    "a URL, which a file source does not read"
                } else {
                    "reading from the web is not compiled in (feature `http`)"
                },
            });
        };
        let (mut file, length) = self.open(path)?;
        let mut wanted = length;
        if let Some(range) = range {
            let end = range.offset.saturating_add(range.length);
            if range.offset >= length && range.length > 0 {
                return Err(SourceError::Range {
                    location: location.to_string(),
                    offset: range.offset,
                    end,
                });
            }
            wanted = end.min(length).saturating_sub(range.offset);
            let start = SeekFrom::Start(range.offset);
            file.seek(start).map_err(|error| failed(path, error))?;
        }
        let too_large = || SourceError::TooLarge {
            location: location.to_string(),
            limit: max_bytes,
        };
        if wanted > max_bytes {
            return Err(too_large());
        }
        // A file that grows while it is read is given as it was when it was opened.
        let capacity = usize::try_from(wanted).map_err(|_| too_large())?;
        self.buffers
            .read(&file, capacity)
            .map_err(|error| failed(path, error))
    }
}

fn failed(path: &Path, error: io::Error) -> SourceError {
    let location = path.display().to_string();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            SourceError::NotFound { location }
        }
        _ => SourceError::Io { location, error },
    }
}

/// The first reading of the name that is there.
///
/// Only what comes after the last folder that exists is read as part of a URI: a folder that the
/// user named may hold a `%` of its own.
fn existing(path: &Path) -> io::Result<PathBuf> {
    let Err(missing) = fs::symlink_metadata(path) else {
        return Ok(path.to_owned());
    };
    let folder = path.ancestors().skip(1).find(|folder| folder.is_dir());
    // A relative path ends with the empty one, which stands for the current folder.
    let folder = folder.unwrap_or(Path::new(""));
    let Some(name) = path.strip_prefix(folder).ok().and_then(Path::to_str) else {
        return Err(missing);
    };
    let base = Location::File(folder.join("playlist"));
    let readings = candidates(&base, name, Some(folder)).unwrap_or_default();
    let mut paths = readings.into_iter().filter_map(|reading| match reading {
        Location::File(path) => Some(path),
        Location::Url(_) => None,
    });
    paths
        .find(|path| fs::symlink_metadata(path).is_ok())
        .ok_or(missing)
}

/// Makes sure that no link led out of `root` to the file at `path`.
fn confine(file: &File, path: &Path, root: &Path) -> Result<(), SourceError> {
    let real = |opened: Option<&File>, path: &Path| {
        let real = opened.and_then(opened_path);
        real.map_or_else(|| fs::canonicalize(path), Ok)
            .map_err(|error| failed(path, error))
    };
    let folder = File::open(root).ok();
    if real(Some(file), path)?.starts_with(real(folder.as_ref(), root)?) {
        return Ok(());
    }
    Err(SourceError::Outside {
        location: path.display().to_string(),
        folder: root.to_owned(),
    })
}

/// The real path of an open file, where the system tells: of that very file, whatever becomes of its
/// name meanwhile, and in one call instead of one for each folder above it.
fn opened_path(file: &File) -> Option<PathBuf> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("live/100% x")).unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        fs::write(folder.path().join("live/a.ts"), "0123456789").unwrap();
        fs::write(folder.path().join("live/a b.ts"), "space").unwrap();
        fs::write(folder.path().join("live/a%20c.ts"), "literal").unwrap();
        fs::write(folder.path().join("live/a c.ts"), "decoded").unwrap();
        fs::write(folder.path().join("live/100% x/d e.ts"), "percent").unwrap();
        folder
    }

    fn read(source: &FileSource, path: &Path) -> Result<String, SourceError> {
        let bytes = source.read(&Location::File(path.to_owned()), None, 1000)?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn whole_files_and_ranges() {
        let folder = folder();
        let source = FileSource::default();
        let location = Location::File(folder.path().join("live/a.ts"));
        let range = |offset, length| {
            let range = Some(ByteRange { offset, length });
            source.read(&location, range, 5)
        };
        assert_eq!(source.read(&location, None, 10).unwrap(), "0123456789");
        assert!(matches!(
            source.read(&location, None, 9),
            Err(SourceError::TooLarge { limit: 9, .. })
        ));
        assert_eq!(range(2, 3).unwrap(), "234");
        assert_eq!(range(8, 30).unwrap(), "89");
        assert_eq!(range(8, u64::MAX).unwrap(), "89");
        assert!(matches!(range(0, 6), Err(SourceError::TooLarge { .. })));
        let beyond = range(10, 1).unwrap_err().to_string();
        assert!(beyond.ends_with("there are no bytes 10..11"), "{beyond}");
    }

    #[test]
    fn names_as_playlists_write_them() {
        let folder = folder();
        let live = folder.path().join("live");
        let source = FileSource::within(&live);
        for (name, content) in [
            ("a b.ts", "space"),
            ("a%20b.ts", "space"),
            ("a%20b.ts?token=%31", "space"),
            ("a%20c.ts", "literal"),
            ("a c.ts", "decoded"),
            ("a.ts?x#y", "0123456789"),
            ("100% x/d%20e.ts", "percent"),
            ("100%25%20x/d%20e.ts?y", "percent"),
        ] {
            assert_eq!(read(&source, &live.join(name)).unwrap(), content, "{name}");
        }
        let missing = read(&source, &live.join("nope.ts")).unwrap_err();
        assert!(missing.to_string().ends_with("live/nope.ts: not found"));
    }

    #[cfg(unix)]
    #[test]
    fn links_may_not_lead_outside() {
        use std::os::unix::fs::symlink;
        let folder = folder();
        let live = folder.path().join("live");
        symlink("../secret", live.join("link.ts")).unwrap();
        symlink("..", live.join("up")).unwrap();
        symlink("a.ts", live.join("inside.ts")).unwrap();
        let confined = FileSource::within(&live);
        for name in ["link.ts", "up/secret", "../secret", "%2e%2e/secret"] {
            let outcome = read(&confined, &live.join(name));
            assert!(outcome.is_err(), "{name}");
        }
        assert!(matches!(
            read(&confined, &live.join("link.ts")),
            Err(SourceError::Outside { .. })
        ));
        assert_eq!(read(&confined, &live.join("inside.ts")).unwrap().len(), 10);
        let free = FileSource::default();
        assert_eq!(read(&free, &live.join("link.ts")).unwrap(), "secret");
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files() {
        let folder = folder();
        let source = FileSource::default();
        let is_refused =
            |path: &Path| matches!(read(&source, path), Err(SourceError::NotAFile { .. }));
        assert!(is_refused(folder.path()));
        assert!(is_refused(Path::new("/dev/zero")));
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        if made.is_ok_and(|status| status.success()) {
            assert!(is_refused(&pipe));
        }
    }
}
