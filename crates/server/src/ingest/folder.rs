//! The files of a pushed stream: `{streams_dir}/{id}.m3u8`, and what it names in `{streams_dir}/{id}/`.
//!
//! A file is written under a temporary name that begins with a dot, in that folder, and renamed when it is
//! whole. Nothing is synced: after a crash of the system (not of the server) a sender has its acknowledgement, and
//! the last files may be empty or torn, as those of any media server are.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::Refusal;
use super::playlists::Main;

/// What tells that a folder is a pushed stream's.
const MARKER: &str = ".ingest.json";

/// What temporary names begin and end with.
const TEMPORARY: (&str, &str) = (".push-", ".tmp");

/// A temporary file that nothing was written to for so long is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(600);

/// Compared at a time.
const PIECE: usize = 64 << 10;

/// What is known of a stream after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    pub(super) main: Option<Main>,
    /// Its playlist was deleted by the sender, and goes when it was read to its end.
    #[serde(default)]
    pub(super) retired: bool,
}

/// The files of a pushed stream.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    streams_dir: PathBuf,
    id: String,
}

/// What is in it.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Media, with the time of the last change.
    pub(super) media: BTreeMap<String, SystemTime>,
    /// Playlists.
    pub(super) playlists: BTreeMap<String, SystemTime>,
    /// Files that are being written.
    pub(super) temporary: usize,
    folders: Vec<PathBuf>,
}

impl Folder {
    pub(super) fn new(streams_dir: &Path, id: &str) -> Self {
        Self {
            streams_dir: streams_dir.to_owned(),
            id: id.to_owned(),
        }
    }

    pub(super) fn is_in(&self, streams_dir: &Path) -> bool {
        self.streams_dir == streams_dir
    }

    pub(super) fn streams_dir(&self) -> &Path {
        &self.streams_dir
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The streams that were pushed into a folder of streams.
    pub(super) fn all(streams_dir: &Path) -> io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(streams_dir)? {
            let entry = entry?;
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if let Ok(id) = entry.file_name().into_string() {
                let folder = Self::new(streams_dir, &id);
                if folder.path(MARKER).is_file() {
                    all.push(folder);
                }
            }
        }
        Ok(all)
    }

    fn root(&self) -> PathBuf {
        self.streams_dir.join(&self.id)
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// The stream's playlist.
    pub(super) fn playlist(&self) -> PathBuf {
        self.streams_dir.join(format!("{}.m3u8", self.id))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        is_file(&self.path(path))
    }

    /// What is known of the stream; `None` where there is none that was pushed. What a playlist or another
    /// folder of its name has in it is another source's.
    pub(super) fn marker(&self) -> Result<Option<Marker>, Refusal> {
        match fs::read(self.path(MARKER)) {
            // Of one that cannot be read the sender's next playlist tells all.
            Ok(text) => Ok(Some(serde_json::from_slice(&text).unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let taken = fs::symlink_metadata(self.playlist()).is_ok();
                let folder = fs::symlink_metadata(self.root());
                let filled = folder.is_ok_and(|found| {
                    let mut entries = fs::read_dir(self.root()).ok().into_iter().flatten();
                    !found.is_dir() || entries.next().is_some()
                });
                if taken || filled {
                    return Err(Refusal::Taken);
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the folder, or writes down what is known of the stream.
    pub(super) fn mark(&self, marker: &Marker) -> Result<(), Refusal> {
        fs::create_dir_all(self.root())?;
        let text = serde_json::to_vec(marker).map_err(io::Error::other)?;
        self.write(&self.path(MARKER), &text)
    }

    /// A file without content under a temporary name, which goes with it.
    pub(super) fn temporary(&self) -> io::Result<NamedTempFile> {
        let (prefix, suffix) = TEMPORARY;
        let mut builder = tempfile::Builder::new();
        builder.prefix(prefix).suffix(suffix);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any file: other programs may read the folder.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        builder.tempfile_in(self.root())
    }

    /// Puts a whole file in its place. One that came before and is the same stays: it is no other segment. Says whether
    /// none was there.
    pub(super) fn settle(&self, file: NamedTempFile, path: &str) -> Result<bool, Refusal> {
        let to = self.path(path);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        let there = match fs::symlink_metadata(&to) {
            Ok(found) if !found.is_file() => return Err(Refusal::Taken),
            Ok(_) => true,
            Err(_) => false,
        };
        if there && same(file.path(), &to).unwrap_or(false) {
            return Ok(false);
        }
        file.persist(&to).map_err(|error| error.error)?;
        Ok(!there)
    }

    /// Adds a piece to a file that is there up to `start`. One that came before stays what it was.
    pub(super) fn append(
        &self,
        mut piece: NamedTempFile,
        path: &str,
        start: u64,
    ) -> Result<u64, Refusal> {
        let to = self.path(path);
        let len = fs::symlink_metadata(&to).map_or(0, |found| found.len());
        let piece_len = piece.as_file().metadata()?.len();
        if start.saturating_add(piece_len) <= len {
            return Ok(len);
        }
        if start != len {
            return Err(Refusal::Beyond(len));
        }
        let mut file = File::options().append(true).open(&to)?;
        piece.as_file_mut().rewind()?;
        if let Err(error) = io::copy(piece.as_file_mut(), &mut file) {
            // Half a piece would be in the way of the whole one.
            let _ = file.set_len(start);
            return Err(error.into());
        }
        Ok(len + piece_len)
    }

    /// Writes a file at once.
    pub(super) fn write(&self, to: &Path, text: &[u8]) -> Result<(), Refusal> {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = self.temporary()?;
        file.write_all(text)?;
        file.persist(to).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes a file; false when it is not there.
    pub(super) fn remove(&self, path: &str) -> io::Result<bool> {
        remove(&self.path(path))
    }

    /// Removes the stream's playlist; false when it is not there.
    pub(super) fn remove_playlist(&self) -> io::Result<bool> {
        remove(&self.playlist())
    }

    /// What is in it.
    pub(super) fn contents(&self) -> io::Result<Contents> {
        let mut contents = Contents::default();
        self.walk(&self.root(), "", &mut contents)?;
        Ok(contents)
    }

    fn walk(&self, folder: &Path, below: &str, contents: &mut Contents) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else {
                continue;
            };
            if kind.is_dir() && !name.starts_with('.') {
                self.walk(&entry.path(), &format!("{below}{name}/"), contents)?;
                contents.folders.push(entry.path());
                continue;
            }
            let modified = entry.metadata().and_then(|found| found.modified());
            let (true, Ok(modified)) = (kind.is_file(), modified) else {
                continue;
            };
            let (prefix, suffix) = TEMPORARY;
            if name.starts_with(prefix) && name.ends_with(suffix) {
                let age = modified.elapsed().unwrap_or_default();
                if age < ABANDONED || fs::remove_file(entry.path()).is_err() {
                    contents.temporary += 1;
                }
            } else if !name.starts_with('.') {
                let kind = match name.ends_with(".m3u8") {
                    true => &mut contents.playlists,
                    false => &mut contents.media,
                };
                kind.insert(format!("{below}{name}"), modified);
            }
        }
        Ok(())
    }

    /// Removes folders that have become empty.
    pub(super) fn prune(&self, contents: &Contents) {
        for folder in &contents.folders {
            let _ = fs::remove_dir(folder);
        }
    }

    /// Removes the folder of a stream of which nothing is left.
    pub(super) fn clear(&self) -> io::Result<()> {
        remove(&self.path(MARKER))?;
        fs::remove_dir(self.root())
    }
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if is_absence(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

/// Whether two files have the same content.
fn same(a: &Path, b: &Path) -> io::Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    let mut left = a.metadata()?.len();
    if left != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (vec![0; PIECE], vec![0; PIECE]);
    while left > 0 {
        let len = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let (ours, theirs) = (&mut ours[..len], &mut theirs[..len]);
        a.read_exact(ours)?;
        b.read_exact(theirs)?;
        if ours != theirs {
            return Ok(false);
        }
        left -= len as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let streams = tempfile::tempdir().unwrap();
        let folder = Folder::new(streams.path(), "cam");
        (streams, folder)
    }

    fn put(folder: &Folder, path: &str, content: &str) -> Result<bool, Refusal> {
        let mut file = folder.temporary().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        folder.settle(file, path)
    }

    #[test]
    fn what_another_source_has_is_not_taken() {
        for other in ["cam.m3u8", "cam/seg.ts", "cam"] {
            let (streams, folder) = folder();
            let path = streams.path().join(other);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
            assert!(matches!(folder.marker(), Err(Refusal::Taken)), "{other}");
        }
        let (streams, folder) = folder();
        fs::create_dir(streams.path().join("cam")).unwrap();
        assert_eq!(folder.marker().unwrap(), None);
        let marker = Marker {
            main: Some(Main {
                path: "a.m3u8".into(),
                lists: None,
            }),
            retired: false,
        };
        folder.mark(&marker).unwrap();
        fs::write(folder.playlist(), "x").unwrap();
        assert_eq!(folder.marker().unwrap(), Some(marker));
        assert_eq!(Folder::all(streams.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_file_that_comes_in_pieces() {
        let (_streams, folder) = folder();
        folder.mark(&Marker::default()).unwrap();
        let append = |start: u64, content: &str| {
            let mut file = folder.temporary().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            folder.append(file, "a.ts", start)
        };
        assert!(matches!(append(3, "x"), Err(Refusal::Beyond(0))));
        put(&folder, "a.ts", "one").unwrap();
        assert_eq!(append(3, "two").unwrap(), 6);
        // As one does that had no answer.
        assert_eq!(append(3, "two").unwrap(), 6);
        assert!(matches!(append(5, "xyz"), Err(Refusal::Beyond(6))));
        assert!(matches!(append(9, "x"), Err(Refusal::Beyond(6))));
        assert_eq!(append(6, "three").unwrap(), 11);
        let whole = fs::read_to_string(folder.path("a.ts")).unwrap();
        assert_eq!(whole, "onetwothree");
        assert_eq!(folder.contents().unwrap().temporary, 0);
    }

    #[test]
    fn a_file_that_comes_again_as_it_was_is_not_another() {
        let (_streams, folder) = folder();
        folder.mark(&Marker::default()).unwrap();
        let modified = |path: &str| fs::metadata(folder.path(path)).unwrap().modified().unwrap();
        assert!(put(&folder, "v/a.ts", "one").unwrap());
        let first = modified("v/a.ts");
        std::thread::sleep(Duration::from_millis(20));
        assert!(!put(&folder, "v/a.ts", "one").unwrap());
        assert_eq!(modified("v/a.ts"), first);
        assert!(!put(&folder, "v/a.ts", "two").unwrap());
        assert_ne!(modified("v/a.ts"), first);
        assert!(matches!(put(&folder, "v", "x"), Err(Refusal::Taken)));
        assert!(matches!(
            put(&folder, "v/a.ts/b.ts", "x"),
            Err(Refusal::Taken)
        ));
        // Nothing is left of what was refused.
        let contents = folder.contents().unwrap();
        assert_eq!(contents.temporary, 0);
        assert_eq!(contents.media.keys().collect::<Vec<_>>(), ["v/a.ts"]);
        assert!(folder.remove("v/a.ts").unwrap() && !folder.remove("v/a.ts").unwrap());
        assert!(!folder.remove("v").unwrap());
        folder.prune(&folder.contents().unwrap());
        folder.clear().unwrap();
        assert!(!folder.root().exists());
    }
}
