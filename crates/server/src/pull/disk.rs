//! The files of a mirror: segments, what is written down of them, and the playlist. Each appears whole, under
//! its name; what is written is written before whatever names it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::mirror::Mirror;
use crate::domain::percent_encoded_part;

/// What is written down of a mirror. No server serves what begins with a dot.
const STATE: &str = ".pull.json";

/// Where a mirror lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its playlist.
    pub(super) playlist: PathBuf,
    /// Another name that it has.
    alias: Option<PathBuf>,
    /// The folder of its segments.
    folder: PathBuf,
    /// How the playlist names that folder.
    pub(super) prefix: String,
}

/// A file to be written.
pub(super) type NewFile = (String, Bytes);

/// Why a mirror cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOpened {
    #[error("another source writes {}", .0.display())]
    Taken(PathBuf),
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl Place {
    /// That of a stream: `{folder}/{id}.m3u8`, and its segments in `{folder}/{id}`.
    pub(super) fn of(folder: &Path, id: &str) -> Self {
        Self {
            playlist: folder.join(format!("{id}.m3u8")),
            alias: None,
            folder: folder.join(id),
            prefix: format!("{}/", percent_encoded_part(id)),
        }
    }

    /// The same, and its playlist under another id, too.
    pub(super) fn with_alias(mut self, folder: &Path, id: Option<&str>) -> Self {
        let alias = id.map(|id| folder.join(format!("{id}.m3u8")));
        // One that another source writes is left alone.
        let is_ours = |path: &PathBuf| match fs::read_to_string(path) {
            Ok(text) => text.lines().all(|line| {
                line.is_empty() || line.starts_with('#') || line.starts_with(&self.prefix)
            }),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        self.alias = alias.filter(is_ours);
        self
    }

    /// That of a part of a stream: `{folder}/{id}/{name}.m3u8`, and its segments in `{folder}/{id}/{name}`.
    pub(super) fn of_part(folder: &Path, id: &str, name: &str) -> Self {
        Self::of(&folder.join(id), name)
    }

    /// Writes the playlist of a stream that has several parts.
    pub(super) fn write_multivariant(&self, text: &str) -> Result<(), NotOpened> {
        // It says whose the playlist is.
        self.open()?;
        let failed = |error| NotOpened::Io {
            path: self.playlist.clone(),
            error,
        };
        let is_same = fs::read(&self.playlist).is_ok_and(|known| known == text.as_bytes());
        match is_same {
            true => Ok(()),
            false => replace(&self.playlist, text.as_bytes()).map_err(failed),
        }
    }

    /// Whether there is a stream of this name already that is no mirror.
    pub(super) fn is_taken(&self) -> bool {
        let filled = || {
            let mut entries = fs::read_dir(&self.folder).into_iter().flatten();
            entries.next().is_some()
        };
        !self.is_mirror() && (self.playlist.exists() || filled())
    }

    /// Whether a mirror was written here.
    pub(super) fn is_mirror(&self) -> bool {
        self.folder.join(STATE).exists()
    }

    /// What is there already. Files that nothing speaks of are removed.
    pub(super) fn open(&self) -> Result<Mirror, NotOpened> {
        if self.is_taken() {
            return Err(NotOpened::Taken(self.playlist.clone()));
        }
        let failed = |error| NotOpened::Io {
            path: self.folder.clone(),
            error,
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let mut mirror = match fs::read(self.folder.join(STATE)) {
            Ok(text) => Mirror::read(&text).unwrap_or_else(|error| {
                tracing::error!(folder = %self.folder.display(), %error, "what was mirrored is not known");
                Mirror::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Mirror::default(),
            Err(error) => return Err(failed(error)),
        };
        let mut next = 0;
        for entry in fs::read_dir(&self.folder).map_err(failed)?.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with('.') && name.ends_with(PART) {
                let _ = fs::remove_file(entry.path());
            } else if let Some(number) = number_of(name) {
                next = next.max(number.saturating_add(1));
                if !mirror.has(name) {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        mirror.skip_to(next);
        // It says which stream this is before anything of it is there.
        replace(&self.folder.join(STATE), &mirror.json()).map_err(failed)?;
        Ok(mirror)
    }

    /// Writes segments, what is known of all of them, and the playlist.
    pub(super) fn write(&self, files: &[NewFile], mirror: &Mirror) -> io::Result<()> {
        for (name, bytes) in files {
            let path = self.folder.join(name);
            // What must be known to read segments is often there already.
            let there = name.starts_with(MAP) && path.exists();
            if !there {
                replace(&path, bytes)?;
            }
        }
        replace(&self.folder.join(STATE), &mirror.json())?;
        let text = mirror.text(&self.prefix);
        if let Some(alias) = &self.alias {
            replace(alias, text.as_bytes())?;
        }
        replace(&self.playlist, text.as_bytes())
    }

    /// Removes files that are listed no more.
    pub(super) fn remove(&self, files: &[String]) {
        for name in files {
            if let Err(error) = fs::remove_file(self.folder.join(name))
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(name, %error, "a segment that is listed no more stays");
            }
        }
    }
}

/// How the names of maps begin: what follows is a digest of the content.
pub(super) const MAP: &str = "init-";

/// How names end under which something is written.
const PART: &str = ".part";

/// The number of a segment.
fn number_of(name: &str) -> Option<u64> {
    let (number, _) = name.split_once('.')?;
    let digits = number.len() == 10 && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| digits)
}

/// Puts a content under a name, at once.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{name}{PART}"));
    fs::write(&part, content)
        .and_then(|()| fs::rename(&part, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&part);
        })
}

#[cfg(test)]
mod tests {
    use super::super::mirror::Next;
    use super::*;

    #[test]
    fn a_mirror_is_found_again_without_what_nothing_speaks_of() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of(folder.path(), "cam 1");
        let mut mirror = place.open().unwrap();
        let next = Next {
            suffix: Some("ts"),
            map: Some("init-1.mp4".into()),
            ..Next::default()
        };
        let file = mirror.push(next, 0);
        let files = [
            (file, Bytes::from("media")),
            ("init-1.mp4".into(), Bytes::from("map")),
        ];
        place.write(&files, &mirror).unwrap();
        let own = folder.path().join("cam 1");
        for (left, stays) in [
            ("0000000007.ts", false),
            (".0000000008.ts.part", false),
            ("notes.txt", true),
            ("0000000000.ts", true),
            ("init-1.mp4", true),
        ] {
            if !own.join(left).exists() {
                fs::write(own.join(left), "left").unwrap();
            }
            let _ = stays;
        }
        let again = place.open().unwrap();
        let mut names: Vec<_> = fs::read_dir(&own)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [STATE, "0000000000.ts", "init-1.mp4", "notes.txt"]);
        // A name that was there is not given again.
        let text = fs::read_to_string(folder.path().join("cam 1.m3u8")).unwrap();
        assert!(text.contains("\ncam%201/0000000000.ts\n"), "{text}");
        let mut again = again;
        assert_eq!(again.push(Next::default(), 0), "0000000008.gap");
    }

    #[test]
    fn what_another_source_writes_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cam.m3u8"), "#EXTM3U\n").unwrap();
        let place = Place::of(folder.path(), "cam");
        assert!(matches!(place.open(), Err(NotOpened::Taken(_))));
        assert!(!folder.path().join("cam").exists());
    }
}
