//! The playlists under an app's streams folder, and which of them serves a stream.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::hash::Hash;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clipmill::{AudioRendition, Language};
use clipmill_playlist::{
    Location, MultivariantPlaylist, Playlist, PlaylistLimits, RenditionKind, VariantChoice, resolve,
};

use super::names::{PlaylistName, Role};

/// How deep folders are searched.
const DEEPEST: usize = 8;

/// A playlist says within this many bytes whether it lists segments or other playlists.
const HEAD: u64 = 64 << 10;

/// Of playlists that changed within this of one another, the role decides which one serves.
const TOGETHER: Duration = Duration::from_secs(30);

/// So many playlists with names that no stream can have are told of.
const MOST_REFUSED: usize = 1000;

/// A change is told sooner than this.
const OVERDUE: Duration = Duration::from_secs(2);

/// What a playlist lists.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lists {
    /// It has not said yet: it is empty, half-written, or no playlist.
    Unknown,
    /// Nothing yet, or nothing any more: a whole playlist without segments.
    Nothing,
    /// Segments.
    Media,
    /// Other playlists.
    Playlists {
        /// The one of the best quality.
        best: PathBuf,
        /// Sound that belongs to it and is listed in playlists of its own.
        sound: Vec<AudioRendition>,
        /// All of them.
        all: Vec<PathBuf>,
    },
}

impl Lists {
    /// The playlists that it lists.
    fn all(&self) -> &[PathBuf] {
        match self {
            Self::Playlists { all, .. } => all,
            Self::Media | Self::Nothing | Self::Unknown => &[],
        }
    }
}

/// A file that is named as a playlist.
#[derive(Debug, Clone)]
struct KnownFile {
    name: PlaylistName,
    modified: SystemTime,
    len: u64,
    lists: Lists,
}

/// The playlist that segments of a stream are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Serving {
    pub(crate) playlist: Location,
    pub(crate) sub_folder: Option<String>,
    /// Where its sound is, if it is in playlists of its own.
    pub(crate) sound: Vec<AudioRendition>,
}

impl Serving {
    /// The file of the playlist.
    pub(crate) fn file(&self) -> Option<&Path> {
        super::file_of(&self.playlist)
    }
}

/// All playlists under one folder.
#[derive(Debug)]
pub(crate) struct Playlists {
    root: PathBuf,
    known: HashMap<PathBuf, KnownFile>,
    /// Those of each stream, so that a change costs the same however many streams there are.
    of_stream: HashMap<String, BTreeSet<PathBuf>>,
    /// The multivariant playlists that list a path.
    owners: HashMap<PathBuf, BTreeSet<PathBuf>>,
    /// Playlists that belong to no stream by their names.
    nobodys: HashSet<PathBuf>,
}

impl Playlists {
    /// Knows nothing yet; see [`scan`](Self::scan).
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            known: HashMap::new(),
            of_stream: HashMap::new(),
            owners: HashMap::new(),
            nobodys: HashSet::new(),
        }
    }

    fn insert(&mut self, path: &Path, known: KnownFile) {
        let before = self.known.get(path);
        let same =
            before.is_some_and(|before| before.name == known.name && before.lists == known.lists);
        if !same {
            self.remove(path);
            let own = self.of_stream.entry(known.name.stream.clone());
            own.or_default().insert(path.to_owned());
            for listed in known.lists.all() {
                let owners = self.owners.entry(listed.clone()).or_default();
                owners.insert(path.to_owned());
            }
        }
        self.known.insert(path.to_owned(), known);
    }

    fn remove(&mut self, path: &Path) -> Option<KnownFile> {
        let known = self.known.remove(path)?;
        forget(&mut self.of_stream, &known.name.stream, path);
        for listed in known.lists.all() {
            forget(&mut self.owners, listed, path);
        }
        Some(known)
    }

    /// The playlists with a stream's name.
    fn own<'a>(&'a self, stream: &str) -> impl Iterator<Item = (&'a PathBuf, &'a KnownFile)> {
        let paths = self.of_stream.get(stream).into_iter().flatten();
        paths.filter_map(|path| Some((path, self.known.get(path)?)))
    }

    /// Looks at everything under the folder; gives the streams whose playlists changed, and whether
    /// one of them did so longer than [`OVERDUE`] ago: somebody should have told of it by now.
    ///
    /// # Errors
    /// When the folder cannot be read. A folder below it that cannot be read is passed over.
    pub(crate) fn scan(&mut self) -> io::Result<(BTreeSet<String>, bool)> {
        let mut found = HashMap::new();
        walk(&self.root, DEEPEST, &mut found)?;
        let gone = self.known.keys().filter(|path| !found.contains_key(*path));
        let gone: Vec<_> = gone.cloned().collect();
        let mut changed: BTreeSet<_> = gone
            .iter()
            .filter_map(|path| self.remove(path))
            .map(|known| known.name.stream)
            .collect();
        let mut overdue = false;
        for (path, metadata) in found {
            let streams = self.look(&path, &metadata);
            if streams.is_empty() {
                continue;
            }
            let age = metadata
                .modified()
                .ok()
                .and_then(|time| time.elapsed().ok());
            overdue |= age.is_some_and(|age| age > OVERDUE);
            changed.extend(streams);
        }
        Ok((changed, overdue))
    }

    /// Looks at one path; gives the streams that its change concerns, if it changed.
    pub(crate) fn update(&mut self, path: &Path) -> Vec<String> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => self.look(path, &metadata),
            _ => Vec::from_iter(self.remove(path).map(|known| known.name.stream)),
        }
    }

    fn look(&mut self, path: &Path, metadata: &fs::Metadata) -> Vec<String> {
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let len = metadata.len();
        let before = self.known.get(path);
        if before.is_some_and(|known| known.modified == modified && known.len == len) {
            return Vec::new();
        }
        let name = match (before, path.strip_prefix(&self.root)) {
            (Some(known), _) => known.name.clone(),
            (None, Ok(below)) => match PlaylistName::of(below) {
                Some(name) => name,
                None => {
                    self.refuse(path);
                    return Vec::new();
                }
            },
            (None, Err(_)) => return Vec::new(),
        };
        // One that lists segments goes on to do so; there is no need to read it again and again.
        let lists = match before.map(|known| &known.lists) {
            Some(Lists::Media) => Lists::Media,
            _ => read_head(path),
        };
        let before = before.map(|known| &known.lists);
        // What was taken for streams of their own belongs to this one from now on.
        let renditions = if before == Some(&lists) {
            Vec::new()
        } else {
            let all = lists.all().iter().filter_map(|path| self.known.get(path));
            let others = all.filter(|known| known.name.stream != name.stream);
            others.map(|known| known.name.stream.clone()).collect()
        };
        let stream = name.stream.clone();
        let known = KnownFile {
            name,
            modified,
            len,
            lists,
        };
        self.insert(path, known);
        // What it lists belongs to it; whose stream a rendition was taken for is told.
        let owner = self.owner(path);
        let concerned = owner.map_or(stream, |owner| owner.name.stream.clone());
        std::iter::once(concerned).chain(renditions).collect()
    }

    /// Says once of a playlist that nobody will record it.
    fn refuse(&mut self, path: &Path) {
        let name = path.file_name().unwrap_or_default();
        let is_playlist = name.as_encoded_bytes().ends_with(b".m3u8");
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        let hidden = below
            .iter()
            .any(|part| part.as_encoded_bytes().starts_with(b"."));
        if is_playlist
            && !hidden
            && self.nobodys.len() < MOST_REFUSED
            && self.nobodys.insert(path.to_owned())
        {
            tracing::warn!(
                playlist = ?path,
                "no stream can have this name, nothing is recorded of it: a name is UTF-8 of at most \
                 128 bytes, without control characters, backslash or two dots in a row"
            );
        }
    }

    /// Forgets what a playlist lists, as it turned out to be something else.
    pub(crate) fn reconsider(&mut self, path: &Path) {
        if let Some(known) = self.known.get(path) {
            let lists = read_head(path);
            let known = KnownFile {
                lists,
                ..known.clone()
            };
            self.insert(path, known);
        }
    }

    /// The multivariant playlist that lists `path`.
    fn owner(&self, path: &Path) -> Option<&KnownFile> {
        self.known.get(self.owners.get(path)?.first()?)
    }

    /// Whether a playlist is a rendition of another stream than this.
    pub(crate) fn is_of_another(&self, path: &Path, stream: &str) -> bool {
        let owner = self.owner(path);
        owner.is_some_and(|owner| owner.name.stream != stream)
    }

    /// Every stream that has a playlist.
    #[cfg(test)]
    pub(crate) fn streams(&self) -> BTreeSet<String> {
        let own = |(path, _): &(&PathBuf, &KnownFile)| self.owner(path).is_none();
        let all = self.known.iter().filter(own);
        all.map(|(_, known)| known.name.stream.clone()).collect()
    }

    /// Whether a file with a playlist's name belongs to the stream, readable or not.
    pub(crate) fn has_any(&self, stream: &str) -> bool {
        self.of_stream.contains_key(stream)
    }

    /// Whether a stream has a playlist that can be read, and none of it lists anything.
    pub(crate) fn lists_nothing(&self, stream: &str) -> bool {
        let mut own = self.own(stream);
        own.any(|(_, known)| known.lists == Lists::Nothing)
    }

    /// The playlist that serves a stream. `present` is the one that does so now and still lives:
    /// it goes on while it is there.
    pub(crate) fn serving(&self, stream: &str, present: Option<&Path>) -> Option<Serving> {
        let own = self
            .own(stream)
            .filter(|(path, _)| self.owner(path).is_none_or(|o| o.name.stream == stream));
        let mut candidates: Vec<(Role, SystemTime, &Path, &KnownFile)> = Vec::new();
        for (path, known) in own {
            match &known.lists {
                Lists::Unknown | Lists::Nothing => {}
                Lists::Media => {
                    candidates.push((known.name.role, known.modified, path, known));
                }
                Lists::Playlists { best, .. } => {
                    // It is as fresh as what it lists.
                    if let Ok(metadata) = fs::symlink_metadata(best)
                        && metadata.is_file()
                    {
                        let modified = metadata.modified().unwrap_or(known.modified);
                        let role = known.name.role;
                        candidates.push((role, modified.max(known.modified), best, known));
                    }
                }
            }
        }
        // What a multivariant playlist lists is its to choose from, though it may be named as the stream's.
        let chooses = |known: &KnownFile| {
            known.name.role == Role::Main && matches!(known.lists, Lists::Playlists { .. })
        };
        if candidates.iter().any(|(.., known)| chooses(known)) {
            let listed = |path: &Path| self.owner(path).is_some_and(chooses);
            candidates.retain(|(_, _, path, known)| chooses(known) || !listed(path));
        }
        let newest = candidates.iter().map(|(_, modified, ..)| *modified).max()?;
        let fresh = |modified: SystemTime| {
            newest
                .duration_since(modified)
                .is_ok_and(|behind| behind <= TOGETHER)
        };
        let rank = |(role, modified, ..): &(Role, SystemTime, &Path, &KnownFile)| {
            (
                !fresh(*modified),
                *role,
                newest.duration_since(*modified).ok(),
            )
        };
        let serving = |(_, _, path, known): &(Role, SystemTime, &Path, &KnownFile)| Serving {
            playlist: Location::from(*path),
            sub_folder: known.name.sub_folder.clone(),
            sound: match &known.lists {
                Lists::Playlists { sound, .. } => sound.clone(),
                Lists::Media | Lists::Nothing | Lists::Unknown => Vec::new(),
            },
        };
        let stays = candidates
            .iter()
            .find(|(_, _, path, _)| present.is_some_and(|present| present == *path));
        stays
            .or_else(|| candidates.iter().min_by_key(|one| rank(one)))
            .map(serving)
    }
}

/// Takes `path` out of what is known under `key`, and that away with the last one.
fn forget<K: Hash + Eq>(all: &mut HashMap<K, BTreeSet<PathBuf>>, key: &K, path: &Path) {
    if let Some(paths) = all.get_mut(key) {
        paths.remove(path);
        if paths.is_empty() {
            all.remove(key);
        }
    }
}

fn walk(folder: &Path, depth: usize, found: &mut HashMap<PathBuf, fs::Metadata>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") {
            continue;
        }
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() && depth > 0 {
            if let Err(error) = walk(&entry.path(), depth - 1, found)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(folder = %entry.path().display(), %error, "cannot read a folder");
            }
        } else if kind.is_file()
            && name.ends_with(b".m3u8")
            && let Ok(metadata) = entry.metadata()
        {
            found.insert(entry.path(), metadata);
        }
    }
    Ok(())
}

/// Reads as much of a playlist as tells what it lists.
fn read_head(path: &Path) -> Lists {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut text));
    if read.is_err() {
        return Lists::Unknown;
    }
    match Playlist::parse(&text, &PlaylistLimits::default()) {
        Ok(Playlist::Multivariant(playlist)) => lists(path, &playlist),
        Ok(Playlist::Media(playlist)) if !playlist.segments.is_empty() => Lists::Media,
        Ok(Playlist::Media(playlist)) if !playlist.truncated => Lists::Nothing,
        Ok(Playlist::Media(_)) | Err(_) => Lists::Unknown,
    }
}

fn lists(path: &Path, playlist: &MultivariantPlaylist) -> Lists {
    let base = Location::File(path.to_owned());
    let file = |uri: &str| match resolve(&base, uri, false) {
        Ok(Location::File(path)) => Some(path),
        _ => None,
    };
    let best = VariantChoice::Best.choose(playlist).ok();
    let variants = playlist
        .variants
        .iter()
        .map(|variant| Some(variant.uri.as_str()));
    let renditions = playlist.renditions.iter().map(|one| one.uri.as_deref());
    let all = variants
        .chain(renditions)
        .flatten()
        .filter_map(file)
        .collect();
    let group = best.and_then(|variant| variant.audio.as_deref());
    let group = group.map(|id| playlist.group(RenditionKind::Audio, id));
    let sound = group.unwrap_or_default().into_iter().filter_map(|one| {
        Some(AudioRendition {
            playlist: Location::File(file(one.uri.as_deref()?)?),
            name: one.name.clone(),
            language: Language::from_tag(one.language.as_deref().unwrap_or_default()),
            default: one.default,
        })
    });
    let sound = sound.collect();
    match best.and_then(|variant| file(&variant.uri)) {
        Some(best) => Lists::Playlists { best, sound, all },
        None => Lists::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIA: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n";

    struct Folder {
        folder: tempfile::TempDir,
        playlists: Playlists,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let playlists = Playlists::new(folder.path().to_owned());
            Self { folder, playlists }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Writes a file that looks as if it had changed `age` seconds ago.
        fn write(&self, name: &str, text: &str, age: u64) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let then = SystemTime::now() - Duration::from_secs(age);
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(then)
                .unwrap();
        }

        fn scan(&mut self) -> Vec<String> {
            self.playlists.scan().unwrap().0.into_iter().collect()
        }

        fn serving(&self, stream: &str, present: Option<&str>) -> Option<String> {
            let present = present.map(|name| self.path(name));
            let serving = self.playlists.serving(stream, present.as_deref())?;
            let path = serving.file().unwrap();
            let relative = path.strip_prefix(self.folder.path()).unwrap();
            Some(relative.to_str().unwrap().to_owned())
        }
    }

    fn multivariant(variants: &[(&str, u64)]) -> String {
        let mut text = "#EXTM3U\n".to_owned();
        for (uri, bandwidth) in variants {
            text.push_str(&format!("#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}\n{uri}\n"));
        }
        text
    }

    #[test]
    fn what_appears_changes_and_goes() {
        let mut folder = Folder::new();
        folder.write("a.m3u8", MEDIA, 10);
        folder.write("deep/er/b/index.m3u8", MEDIA, 10);
        folder.write(".hidden/c.m3u8", MEDIA, 10);
        folder.write("a.ts", "media", 10);
        assert_eq!(folder.scan(), ["a", "b"]);
        assert!(folder.scan().is_empty());
        folder.write("a.m3u8", MEDIA, 5);
        assert_eq!(folder.scan(), ["a"]);
        let serving = folder.playlists.serving("b", None).unwrap();
        assert_eq!(serving.sub_folder.as_deref(), Some("deep/er/b"));
        fs::remove_file(folder.path("a.m3u8")).unwrap();
        assert_eq!(folder.scan(), ["a"]);
        assert_eq!(folder.serving("a", None), None);
        let path = folder.path("a.m3u8");
        assert!(folder.playlists.update(&path).is_empty());
        folder.write("a.m3u8", MEDIA, 0);
        assert_eq!(folder.playlists.update(&path), ["a"]);
    }

    #[test]
    fn a_list_that_comes_late_concerns_what_it_lists() {
        let mut folder = Folder::new();
        folder.write("show_0.m3u8", MEDIA, 1);
        assert_eq!(folder.scan(), ["show_0"]);
        let of_another = |folder: &Folder| {
            let path = folder.path("show_0.m3u8");
            folder.playlists.is_of_another(&path, "show_0")
        };
        assert!(!of_another(&folder));
        folder.write("show.m3u8", &multivariant(&[("show_0.m3u8", 1)]), 1);
        let update = folder.playlists.update(&folder.path("show.m3u8"));
        assert_eq!(update, ["show", "show_0"]);
        assert!(of_another(&folder));
        folder.write("show_0.m3u8", MEDIA, 0);
        let update = folder.playlists.update(&folder.path("show_0.m3u8"));
        assert_eq!(update, ["show"]);
    }

    #[test]
    fn the_best_rendition_serves_where_there_is_no_other() {
        let mut folder = Folder::new();
        let names = [
            ("cam_480p800kbps.m3u8", 800),
            ("cam_720p2000kbps.m3u8", 2000),
        ];
        folder.write("cam_adaptive.m3u8", &multivariant(&names), 100);
        folder.write(names[0].0, MEDIA, 1);
        folder.write(names[1].0, MEDIA, 2);
        assert_eq!(folder.scan(), ["cam"]);
        assert_eq!(folder.playlists.streams().len(), 1);
        assert_eq!(folder.serving("cam", None).as_deref(), Some(names[1].0));
        folder.write("cam.m3u8", MEDIA, 3);
        folder.scan();
        assert_eq!(folder.serving("cam", None).as_deref(), Some("cam.m3u8"));
        assert_eq!(
            folder.serving("cam", Some(names[1].0)).as_deref(),
            Some(names[1].0),
            "it goes on with what it has"
        );
        folder.write("cam.m3u8", MEDIA, 3600);
        folder.scan();
        assert_eq!(folder.serving("cam", None).as_deref(), Some(names[1].0));
    }

    #[test]
    fn what_a_multivariant_playlist_lists_is_no_stream() {
        let mut folder = Folder::new();
        folder.write("show_0.m3u8", MEDIA, 1);
        folder.write("show_1.m3u8", MEDIA, 1);
        folder.scan();
        assert_eq!(folder.playlists.streams().len(), 2);
        let names = [("show_0.m3u8", 100), ("show_1.m3u8", 900)];
        folder.write("show.m3u8", &multivariant(&names), 1);
        folder.scan();
        let streams: Vec<_> = folder.playlists.streams().into_iter().collect();
        assert_eq!(streams, ["show"]);
        assert_eq!(folder.serving("show", None).as_deref(), Some("show_1.m3u8"));
        assert_eq!(folder.serving("show_0", None), None);
    }

    #[test]
    fn a_variant_that_is_named_as_the_stream_is_not_taken_for_it() {
        let mut folder = Folder::new();
        folder.write("cam/index.m3u8", MEDIA, 0);
        folder.write("cam/best.m3u8", MEDIA, 1);
        let names = [("cam/index.m3u8", 100), ("cam/best.m3u8", 900)];
        folder.write("cam.m3u8", &multivariant(&names), 3);
        folder.scan();
        let best = Some("cam/best.m3u8");
        assert_eq!(folder.serving("cam", None).as_deref(), best);
        assert_eq!(folder.serving("cam", best).as_deref(), best);
        // While the best one is not there, any is better than none.
        fs::remove_file(folder.path("cam/best.m3u8")).unwrap();
        folder.scan();
        let other = folder.serving("cam", None);
        assert_eq!(other.as_deref(), Some("cam/index.m3u8"));
    }

    #[test]
    fn of_two_folders_the_one_that_changed_last() {
        let mut folder = Folder::new();
        folder.write("x/cam.m3u8", MEDIA, 5);
        folder.write("y/cam.m3u8", MEDIA, 2);
        folder.write("cam-2026-11-22_14-00-00.000.m3u8", MEDIA, 90);
        folder.scan();
        assert_eq!(folder.serving("cam", None).as_deref(), Some("y/cam.m3u8"));
        folder.write("cam-2026-11-22_14-00-00.000.m3u8", MEDIA, 0);
        folder.scan();
        assert_eq!(
            folder.serving("cam", None).as_deref(),
            Some("cam-2026-11-22_14-00-00.000.m3u8")
        );
    }

    #[test]
    fn an_empty_playlist_serves_nobody_yet() {
        let mut folder = Folder::new();
        folder.write("cam.m3u8", "", 1);
        folder.scan();
        assert_eq!(folder.serving("cam", None), None);
        assert!(folder.playlists.has_any("cam"));
        folder.write("cam.m3u8", MEDIA, 0);
        folder.scan();
        assert_eq!(folder.serving("cam", None).as_deref(), Some("cam.m3u8"));
    }

    #[cfg(unix)]
    #[test]
    fn no_link_is_followed() {
        let mut folder = Folder::new();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("out.m3u8"), MEDIA).unwrap();
        std::os::unix::fs::symlink(other.path(), folder.path("link")).unwrap();
        let target = other.path().join("out.m3u8");
        std::os::unix::fs::symlink(target, folder.path("out.m3u8")).unwrap();
        assert!(folder.scan().is_empty());
        let path = folder.path("out.m3u8");
        assert!(folder.playlists.update(&path).is_empty());
    }
}
