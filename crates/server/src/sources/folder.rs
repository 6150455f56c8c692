//! Streams whose playlists and segments a media server writes into a folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use clipmill::live::SegmentFiles;
use clipmill::source::{FileSource, HttpSource};
use clipmill::{AnySource, SegmentError, SegmentReader, SegmentSource};
use clipmill_playlist::{Location, Segment};

use super::listing::{Read, read};
use super::on_disk::{OnDisk, locate};
use super::playlists::{Playlists, Serving};
use super::session::FileMark;
use super::{Fetched, Listing, NotFetched, StreamSource, file_of};

/// A file that was written to this recently may still be written to, while it is the last one
/// listed.
pub(crate) const SETTLE: Duration = Duration::from_millis(150);

/// How long after a key did not fit, or was not there, it is asked for again.
const KEY_PAUSE: Duration = Duration::from_millis(500);

/// A file that was written to this recently may be caught half-written.
pub(crate) const YOUNG: Duration = Duration::from_secs(2);

/// The streams in a folder.
#[derive(Debug)]
pub(crate) struct FolderSource {
    /// The folder, links resolved.
    root: RwLock<PathBuf>,
    playlists: Mutex<Playlists>,
    /// Reads what playlists name by URL.
    http: RwLock<Arc<HttpSource>>,
}

impl FolderSource {
    /// The streams in a folder whose path has no links in it.
    pub(crate) fn new(root: PathBuf, http: HttpSource) -> Self {
        Self {
            playlists: Mutex::new(Playlists::new(root.clone())),
            root: RwLock::new(root),
            http: RwLock::new(Arc::new(http)),
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        let root = self.root.read();
        root.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// They are in another folder from now on.
    pub(crate) fn move_to(&self, root: PathBuf) {
        let mut known = self.root.write().unwrap_or_else(PoisonError::into_inner);
        known.clone_from(&root);
        drop(known);
        *self.playlists() = Playlists::new(root);
    }

    pub(crate) fn set_http(&self, http: HttpSource) {
        let mut known = self.http.write().unwrap_or_else(PoisonError::into_inner);
        *known = Arc::new(http);
    }

    pub(crate) fn playlists(&self) -> MutexGuard<'_, Playlists> {
        self.playlists
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads files in a folder, and what is named by URL.
    pub(crate) fn within(&self, folder: &Path) -> AnySource {
        let http = self.http.read().unwrap_or_else(PoisonError::into_inner);
        AnySource::new(FileSource::within(folder), Arc::clone(&http))
    }
}

impl StreamSource for FolderSource {
    fn serving(&self, stream: &str, present: Option<&Location>) -> Option<Serving> {
        self.playlists().serving(stream, present.and_then(file_of))
    }

    fn is_of_another(&self, playlist: &Location, stream: &str) -> bool {
        file_of(playlist).is_some_and(|path| self.playlists().is_of_another(path, stream))
    }

    fn is_there(&self, playlist: &Location) -> bool {
        let found = file_of(playlist).and_then(|path| std::fs::symlink_metadata(path).ok());
        found.is_some_and(|found| found.is_file())
    }

    fn list(&self, playlist: &Location) -> Listing {
        let Some(path) = file_of(playlist) else {
            return Listing::Missing;
        };
        match read(path) {
            Read::Media(playlist, modified) => Listing::Media {
                playlist,
                age: modified.elapsed().unwrap_or_default(),
            },
            Read::Nothing => Listing::Missing,
            Read::Unclear => {
                self.playlists().reconsider(path);
                Listing::Unclear
            }
        }
    }

    fn files<'a>(&'a self, playlist: &'a Location) -> Box<dyn SegmentFiles + 'a> {
        Box::new(OnDisk {
            playlist: file_of(playlist).unwrap_or(Path::new("")),
            root: self.root(),
        })
    }

    fn fetch(
        &self,
        playlist: &Location,
        segment: &Segment,
        last: bool,
        known: Option<Fetched>,
        reader: &mut SegmentReader,
    ) -> Result<Fetched, NotFetched> {
        let gone = |reason: &dyn std::fmt::Display| NotFetched::Missing(reason.to_string(), SETTLE);
        let folder = playlist.folder().ok_or_else(|| gone(&"it is not here"))?;
        let path = file_of(playlist).unwrap_or(folder);
        let path = locate(path, segment, &self.root()).map_err(|error| gone(&error))?;
        let look = || {
            let metadata = std::fs::metadata(&path).map_err(|error| gone(&error))?;
            Ok(FileMark::of(&metadata))
        };
        let mark = look()?;
        let known = known.filter(|known| known.path == path && known.mark == mark);
        if let Some(known) = known {
            return Ok(known);
        }
        let age = SystemTime::now().duration_since(mark.modified());
        let fresh = age.ok().filter(|age| last && *age < SETTLE);
        if let Some(age) = fresh {
            return Err(NotFetched::Unfinished(SETTLE.saturating_sub(age)));
        }
        if mark.len == 0 {
            return Err(gone(&"it is empty"));
        }
        let read = reader.read(&self.within(folder), segment, playlist);
        let read = read.map_err(|error| match error {
            SegmentError::Unsupported(_) => NotFetched::Unsupported(error.to_string()),
            // Each time, the key is asked for again.
            SegmentError::Key(_) | SegmentError::Decrypt(_) => {
                NotFetched::Missing(error.to_string(), KEY_PAUSE)
            }
            error => gone(&error),
        })?;
        let whole_file = segment.byte_range.is_none();
        if look()? != mark && whole_file {
            return Err(NotFetched::Unfinished(SETTLE));
        }
        let torn = read.bytes.first() == Some(&0x47) && read.bytes.len() % 188 != 0;
        // By a clock that is ahead of ours it is from the future.
        let young = mark.modified().elapsed().map_or(true, |age| age < YOUNG);
        if last && torn && young {
            return Err(NotFetched::Unfinished(SETTLE));
        }
        Ok(Fetched {
            version: whole_file.then(|| mark.version()),
            whole_file,
            composed: false,
            path,
            mark,
            read,
        })
    }

    fn file(&self, playlist: &Location, segment: &Segment) -> Option<PathBuf> {
        locate(file_of(playlist)?, segment, &self.root()).ok()
    }

    fn anywhere(&self) -> Box<dyn SegmentSource> {
        Box::new(self.within(&self.root()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use clipmill::Limits;
    use clipmill::source::HttpSettings;
    use clipmill_playlist::{Playlist, PlaylistLimits};

    use super::*;

    const LISTS: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n";

    struct Folder {
        folder: tempfile::TempDir,
        source: FolderSource,
        reader: SegmentReader,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().canonicalize().unwrap();
            Self {
                source: FolderSource::new(root, HttpSource::new(HttpSettings::default())),
                reader: SegmentReader::new(None, &Limits::default()),
                folder,
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().canonicalize().unwrap().join(name)
        }

        /// Writes a file that looks as if it had changed then.
        fn write(&self, name: &str, bytes: &[u8], modified: SystemTime) {
            fs::write(self.path(name), bytes).unwrap();
            let file = File::options().write(true).open(self.path(name)).unwrap();
            file.set_modified(modified).unwrap();
        }

        /// Fetches the segment `a.ts`.
        fn fetch(&mut self, last: bool, known: Option<Fetched>) -> Result<Fetched, NotFetched> {
            let playlist = Location::from(self.path("cam.m3u8"));
            let listed = Playlist::parse(LISTS.as_bytes(), &PlaylistLimits::default());
            let Ok(Playlist::Media(listed)) = listed else {
                panic!("{listed:?}");
            };
            let segment = &listed.segments[0];
            self.source
                .fetch(&playlist, segment, last, known, &mut self.reader)
        }
    }

    #[test]
    fn what_a_playlist_lists_and_since_when() {
        let folder = Folder::new();
        let playlist = Location::from(folder.path("cam.m3u8"));
        let list = || folder.source.list(&playlist);
        assert!(matches!(list(), Listing::Missing));
        assert!(!folder.source.is_there(&playlist));
        folder.write("cam.m3u8", b"half of some", SystemTime::now());
        assert!(matches!(list(), Listing::Unclear));
        assert!(folder.source.is_there(&playlist));
        let then = SystemTime::now() - Duration::from_secs(60);
        folder.write("cam.m3u8", LISTS.as_bytes(), then);
        let Listing::Media { playlist, age } = list() else {
            panic!("it lists segments");
        };
        assert_eq!(playlist.segments.len(), 1);
        assert!(age >= Duration::from_secs(60), "{age:?}");
        let elsewhere = Location::from("http://origin.example/cam.m3u8");
        assert!(matches!(folder.source.list(&elsewhere), Listing::Missing));
    }

    #[test]
    fn a_segment_is_fetched_when_it_is_whole() {
        let mut folder = Folder::new();
        // By a clock that is ahead of ours, it is written just now however long this takes.
        let hour = Duration::from_secs(3600);
        let (old, young) = (SystemTime::now() - hour, SystemTime::now() + hour);
        assert!(matches!(
            folder.fetch(true, None),
            Err(NotFetched::Missing(..))
        ));
        folder.write("a.ts", b"", old);
        assert!(matches!(
            folder.fetch(false, None),
            Err(NotFetched::Missing(..))
        ));
        // The last one that is listed may still be written.
        let torn = [0x47; 200];
        folder.write("a.ts", &torn, young);
        let fetched = folder.fetch(true, None);
        assert!(matches!(fetched, Err(NotFetched::Unfinished(_))));
        assert!(folder.fetch(false, None).is_ok());
        folder.write("a.ts", &torn, old);
        let fetched = folder.fetch(true, None).unwrap();
        assert_eq!(fetched.read.bytes.len(), 200);
        assert!(fetched.as_it_is());
        // It is not read again while its file is the same.
        let known = Fetched {
            composed: true,
            ..fetched
        };
        let again = folder.fetch(true, Some(known)).unwrap();
        assert!(again.composed);
        folder.write("a.ts", &[0x47; 188], old);
        let other = folder.fetch(true, Some(again)).unwrap();
        assert!(!other.composed && other.read.bytes.len() == 188);
    }
}
