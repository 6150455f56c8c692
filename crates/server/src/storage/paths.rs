//! Where an application's files lie.

use std::path::{Path, PathBuf};

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

    /// The file of a key: where it lies, else where it would be written today.
    pub(super) fn clip_path(&self, key: &str) -> PathBuf {
        let mut all = self.roots().map(|root| root.join(key));
        let found = all.find(|path| path.is_file());
        found.unwrap_or_else(|| self.clip_root().join(key))
    }
}
