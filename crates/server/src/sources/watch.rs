//! What changes under a streams folder, told by the system, with a slow look of our own underneath.
//!
//! One watcher per app, whatever the number of streams. What it reports is gathered in a set, so
//! that a burst of events is one look, and memory is bounded by the number of files. Network file
//! systems report nothing, and queues overflow: so everything is looked at now and then all the
//! same, more often where the system has been found silent.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How often everything is looked at where the system reports changes.
pub(crate) const SLOW: Duration = Duration::from_secs(5);

/// How often everything is looked at where it does not.
pub(crate) const QUICK: Duration = Duration::from_secs(1);

/// Segments named in one gathering; more are not told, only playlists matter that much.
const MOST_OTHERS: usize = 10_000;

/// What changed since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) playlists: HashSet<PathBuf>,
    /// Other files that were written to.
    pub(crate) others: HashSet<PathBuf>,
    /// Something may have been missed.
    pub(crate) look_at_all: bool,
}

#[derive(Debug, Default)]
struct Inbox {
    changes: Mutex<Changes>,
    wake: Arc<Notify>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, event: notify::Result<Event>) {
        let mut changes = self.lock();
        match event {
            Ok(event) => changes.take_in(event),
            Err(_) => changes.look_at_all = true,
        }
        drop(changes);
        self.wake.notify_one();
    }
}

impl Changes {
    fn take_in(&mut self, event: Event) {
        if event.need_rescan() {
            self.look_at_all = true;
        }
        let written = match event.kind {
            // Opening and reading, our own included.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Access(_) => return,
            EventKind::Create(_) | EventKind::Modify(_) => true,
            EventKind::Remove(_) | EventKind::Any | EventKind::Other => false,
        };
        for path in event.paths {
            if path.extension().is_some_and(|suffix| suffix == "m3u8") {
                self.playlists.insert(path);
            } else if matches!(
                event.kind,
                EventKind::Create(_) | EventKind::Modify(notify::event::ModifyKind::Name(_))
            ) && path.extension().is_none()
            {
                // A new folder may have been filled before it was watched.
                self.look_at_all = true;
            } else if written && self.others.len() < MOST_OTHERS {
                self.others.insert(path);
            }
        }
    }
}

/// Watches one folder.
#[derive(Debug)]
pub(crate) struct Watch {
    inbox: Arc<Inbox>,
    /// Ends with it.
    watcher: Option<RecommendedWatcher>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            inbox: Arc::default(),
            watcher: None,
        }
    }

    /// Whether the system reports changes.
    pub(crate) fn is_on(&self) -> bool {
        self.watcher.is_some()
    }

    /// Has the system report changes. To be called again when the folder was made anew.
    ///
    /// # Errors
    /// When the folder cannot be watched.
    pub(crate) fn start(&mut self, folder: &Path) -> io::Result<()> {
        self.watcher = None;
        let inbox = Arc::clone(&self.inbox);
        let settings = notify::Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(move |event| inbox.take_in(event), settings)
            .map_err(into_io)?;
        watcher
            .watch(folder, RecursiveMode::Recursive)
            .map_err(into_io)?;
        self.watcher = Some(watcher);
        // What happened before is not reported.
        self.inbox.lock().look_at_all = true;
        self.inbox.wake.notify_one();
        Ok(())
    }

    /// Stops watching.
    pub(crate) fn stop(&mut self) {
        self.watcher = None;
    }

    /// Is notified when something has changed.
    pub(crate) fn changes(&self) -> Arc<Notify> {
        Arc::clone(&self.inbox.wake)
    }

    /// What has changed since the last call.
    pub(crate) fn take(&self) -> Changes {
        std::mem::take(&mut *self.inbox.lock())
    }
}

fn into_io(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::Io(error) => error,
        _ => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Instant;

    async fn gather(watch: &Watch, enough: impl Fn(&Changes) -> bool) -> Changes {
        let mut all = Changes::default();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) && !enough(&all) {
            let _ =
                tokio::time::timeout(Duration::from_millis(100), watch.changes().notified()).await;
            let more = watch.take();
            all.playlists.extend(more.playlists);
            all.others.extend(more.others);
            all.look_at_all |= more.look_at_all;
        }
        all
    }

    #[tokio::test]
    async fn playlists_segments_and_new_folders_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new();
        watch.start(folder.path()).unwrap();
        assert!(watch.take().look_at_all);
        let playlist = folder.path().join("cam.m3u8");
        let segment = folder.path().join("cam0.ts");
        fs::write(&segment, "media").unwrap();
        fs::write(&playlist, "#EXTM3U").unwrap();
        let told = gather(&watch, |all| !all.playlists.is_empty()).await;
        assert!(told.playlists.contains(&playlist) && told.others.contains(&segment));
        assert!(!told.look_at_all);
        fs::create_dir(folder.path().join("sub")).unwrap();
        assert!(gather(&watch, |all| all.look_at_all).await.look_at_all);
    }

    #[tokio::test]
    async fn reading_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let playlist = folder.path().join("cam.m3u8");
        fs::write(&playlist, "#EXTM3U").unwrap();
        let mut watch = Watch::new();
        watch.start(folder.path()).unwrap();
        watch.take();
        fs::read(&playlist).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(watch.take().playlists.is_empty());
    }

    #[test]
    fn a_folder_that_is_not_there_cannot_be_watched() {
        let mut watch = Watch::new();
        assert!(watch.start(Path::new("/nowhere/at/all")).is_err());
        assert!(!watch.is_on());
    }
}
