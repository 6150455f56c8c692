//! One pushed stream.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use clipmill_playlist::map_uris;
use tempfile::NamedTempFile;

use super::Refusal;
use super::folder::{Folder, Marker};
use super::names::MediaPath;
use super::playlists::{Files, Output, Playlists, Pushed};
use super::rate::Rate;
use super::uris::{Base, beside, prefix_of, within};
use crate::config::AppSettings;

/// A stream has no more media files than this: a day of segments of a second, and some.
const MOST_FILES: usize = 100_000;

/// A file that no playlist lists, nor did for so long and as long as the longest playlist lasts, is removed
/// (RFC 8216, 6.2.2, has players count on the latter).
const KEEP: Duration = Duration::from_secs(300);

/// So long a playlist that its sender deleted is there, ended, for those who read it to its end.
const RETIRED: Duration = Duration::from_secs(30);

/// A stream of which nothing came for so long is forgotten, and read again when something comes.
const IDLE: Duration = Duration::from_secs(600);

/// A file that comes piece by piece, nobody says how many, is whole when none has come for so long.
const QUIET: Duration = Duration::from_secs(2);

const ENDLIST: &str = "#EXT-X-ENDLIST";

/// A stream that is pushed.
#[derive(Debug)]
pub(crate) struct PushedStream {
    app: String,
    folder: Folder,
    /// The streams folder is ours to make.
    owned: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What is on disk is known.
    opened: bool,
    playlists: Playlists,
    retired: bool,
    /// Files that are being pushed, and how often.
    coming: HashMap<String, usize>,
    /// Files that come piece by piece, and when the last one came.
    growing: HashMap<String, Instant>,
    /// So many media files are there.
    media: usize,
    /// Since when files are listed nowhere.
    unlisted: HashMap<String, Instant>,
    rate: Rate,
    used: Instant,
}

/// What is there, and what is coming.
struct Seen<'a> {
    folder: &'a Folder,
    coming: &'a HashMap<String, usize>,
    growing: &'a HashMap<String, Instant>,
}

impl Files for Seen<'_> {
    fn is_there(&self, path: &str) -> bool {
        !self.growing.contains_key(path) && self.folder.has(path)
    }

    fn is_coming(&self, path: &str) -> bool {
        self.coming.contains_key(path) || self.growing.contains_key(path)
    }

    fn any_coming(&self) -> bool {
        !self.coming.is_empty() || !self.growing.is_empty()
    }
}

impl PushedStream {
    pub(super) fn new(app: &AppSettings, folder: Folder) -> Self {
        Self {
            app: app.name.clone(),
            folder,
            owned: app.owns_streams_dir,
            state: Mutex::new(State {
                opened: false,
                playlists: Playlists::default(),
                retired: false,
                coming: HashMap::new(),
                growing: HashMap::new(),
                media: 0,
                unlisted: HashMap::new(),
                rate: Rate::default(),
                used: Instant::now(),
            }),
        }
    }

    pub(super) fn is_in(&self, streams_dir: &std::path::Path) -> bool {
        self.folder.is_in(streams_dir)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is nothing to be remembered of it but what is on disk.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let state = self.lock();
        now.duration_since(state.used) > IDLE
            && state.coming.is_empty()
            && state.unlisted.is_empty()
    }

    /// So many bytes came: how long to wait before more are taken.
    pub(crate) fn pause(&self, bytes: u64, rate: u64) -> Duration {
        self.lock().rate.take(bytes, rate, Instant::now())
    }

    /// Finds out what is on disk. `live` says that the stream is live already: where it was not pushed, it
    /// is another source's.
    fn open(&self, state: &mut State, live: bool) -> Result<(), Refusal> {
        state.used = Instant::now();
        if state.opened {
            return Ok(());
        }
        if !self.owned && !self.folder.streams_dir().is_dir() {
            return Err(Refusal::NoFolder);
        }
        match self.folder.marker()? {
            Some(marker) => self.restore(state, marker)?,
            None if live => return Err(Refusal::Taken),
            None => self.folder.mark(&Marker::default())?,
        }
        state.opened = true;
        Ok(())
    }

    fn restore(&self, state: &mut State, marker: Marker) -> Result<(), Refusal> {
        let now = Instant::now();
        state.media = self.folder.contents()?.media.len();
        state.retired = marker.retired;
        let Some(main) = marker.main else {
            return Ok(());
        };
        state.playlists = Playlists::restored(Some(main.clone()), now);
        let prefix = prefix_of(self.folder.id());
        let bare = |text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            map_uris(&text, &|uri: &str| {
                uri.strip_prefix(&prefix).map(str::to_owned)
            })
        };
        // The stream's own lists paths from the stream's folder, wherever it was pushed to.
        let root = MediaPath::parse("root.m3u8")?;
        let mut load = |path: &MediaPath, text: &[u8], from: &MediaPath| {
            let base = Base {
                app: &self.app,
                stream: self.folder.id(),
                path: from,
                hosts: &[],
            };
            if let Ok(pushed) = Pushed::read(text, &base) {
                state.playlists.load(path, pushed, now);
            }
        };
        if let Ok(path) = MediaPath::parse(&main.path)
            && let Ok(text) = fs::read(self.folder.playlist())
        {
            load(&path, bare(&text).as_bytes(), &root);
        }
        for path in main.lists.iter().flatten() {
            if let Ok(path) = MediaPath::parse(path)
                && let Ok(text) = fs::read(self.folder.path(path.as_str()))
            {
                load(&path, &text, &path);
            }
        }
        Ok(())
    }

    /// A file begins to come.
    pub(crate) fn begin(
        self: &Arc<Self>,
        path: &MediaPath,
        live: bool,
    ) -> Result<Arrival, Refusal> {
        let mut state = self.lock();
        self.open(&mut state, live)?;
        let more = state.media.saturating_add(state.coming.len());
        if more >= MOST_FILES && !self.folder.has(path.as_str()) {
            return Err(Refusal::TooMany(MOST_FILES));
        }
        let file = match self.folder.temporary() {
            // Somebody removed the folder.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let main = state.playlists.main().cloned();
                let retired = state.retired;
                self.folder.mark(&Marker { main, retired })?;
                self.folder.temporary()
            }
            other => other,
        }?;
        *state.coming.entry(path.as_str().to_owned()).or_default() += 1;
        Ok(Arrival {
            stream: Arc::clone(self),
            path: path.clone(),
            file: Some(file),
        })
    }

    /// A playlist came. Says whether none of this path was there.
    pub(crate) fn put_playlist(
        &self,
        path: &MediaPath,
        pushed: Pushed,
        live: bool,
    ) -> Result<bool, Refusal> {
        let mut state = self.lock();
        self.open(&mut state, live)?;
        if !state.playlists.make_room(path.as_str()) {
            return Err(Refusal::TooMany(super::playlists::MOST_PLAYLISTS));
        }
        let new = !state.playlists.knows(path.as_str());
        let now = Instant::now();
        state.playlists.put(path, pushed, now);
        self.publish(&mut state, now)?;
        Ok(new)
    }

    /// Writes what can be published.
    fn publish(&self, state: &mut State, now: Instant) -> Result<(), Refusal> {
        state
            .growing
            .retain(|_, last| now.duration_since(*last) < QUIET);
        let seen = Seen {
            folder: &self.folder,
            coming: &state.coming,
            growing: &state.growing,
        };
        for output in state.playlists.due(&seen, now) {
            if let Err(error) = self.apply(state, output) {
                state.playlists.failed();
                return Err(error);
            }
        }
        Ok(())
    }

    fn apply(&self, state: &mut State, output: Output) -> Result<(), Refusal> {
        match output {
            Output::Main(main) => {
                tracing::info!(
                    app = self.app,
                    stream = self.folder.id(),
                    playlist = main.path,
                    variants = main.lists.is_some(),
                    "a stream is pushed"
                );
                state.retired = false;
                self.folder.mark(&Marker {
                    main: Some(main),
                    retired: false,
                })
            }
            Output::Beside(text) => {
                let text = beside(&text, self.folder.id());
                self.folder.write(&self.folder.playlist(), text.as_bytes())
            }
            Output::Within(path, text) => {
                let text = within(&text, path.folder());
                self.folder
                    .write(&self.folder.path(path.as_str()), text.as_bytes())
            }
            Output::Remove(path) => {
                self.folder.remove(&path)?;
                Ok(())
            }
        }
    }

    /// A file is deleted by its sender: false when there is none. With its playlist the stream ends.
    pub(crate) fn delete(&self, path: &MediaPath, live: bool) -> Result<bool, Refusal> {
        let mut state = self.lock();
        // Nothing is made for what is not there.
        if !state.opened && self.folder.marker()?.is_none() {
            return Ok(false);
        }
        self.open(&mut state, live)?;
        if !path.is_playlist() {
            let was_there = self.folder.remove(path.as_str())?;
            state.media = state.media.saturating_sub(usize::from(was_there));
            state.unlisted.remove(path.as_str());
            return Ok(was_there);
        }
        if !state.playlists.knows(path.as_str()) {
            return Ok(false);
        }
        let main = state.playlists.main().cloned();
        match main.filter(|main| main.path == path.as_str()) {
            Some(main) => {
                for listed in main.lists.iter().flatten() {
                    self.end(&self.folder.path(listed))?;
                }
                if main.lists.is_none() {
                    self.end(&self.folder.playlist())?;
                }
                state.retired = true;
                self.folder.mark(&Marker {
                    main: None,
                    retired: true,
                })?;
                tracing::info!(
                    app = self.app,
                    stream = self.folder.id(),
                    "its sender deleted a pushed stream"
                );
            }
            None if state.playlists.is_written(path.as_str()) => {
                self.end(&self.folder.path(path.as_str()))?;
            }
            None => {}
        }
        state.playlists.forget(path.as_str());
        Ok(true)
    }

    /// Nothing will be added to a playlist.
    fn end(&self, file: &std::path::Path) -> Result<(), Refusal> {
        let mut text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if text.lines().any(|line| line.starts_with(ENDLIST)) {
            return Ok(());
        }
        text.push_str(ENDLIST);
        text.push('\n');
        self.folder.write(file, text.as_bytes())
    }

    /// Publishes what waits and has waited long enough.
    pub(super) fn tick(&self, now: Instant) {
        let mut state = self.lock();
        if state.opened
            && state.playlists.is_waiting()
            && let Err(error) = self.publish(&mut state, now)
        {
            self.complain(&error);
        }
    }

    fn complain(&self, error: &Refusal) {
        let stream = self.folder.id();
        tracing::warn!(app = self.app, stream, %error, "a pushed playlist cannot be written");
    }

    /// Removes what nobody needs any more.
    pub(super) fn sweep(&self, now: Instant) -> Result<(), Refusal> {
        let mut state = self.lock();
        let used = state.used;
        self.open(&mut state, false)?;
        state.used = used;
        let contents = self.folder.contents()?;
        let age = |time: &SystemTime| time.elapsed().unwrap_or_default();
        let playlist = fs::metadata(self.folder.playlist()).and_then(|found| found.modified());
        if state.retired
            && playlist
                .as_ref()
                .map_or(true, |modified| age(modified) > RETIRED)
        {
            self.folder.remove_playlist()?;
            for path in contents.playlists.keys() {
                self.folder.remove(path)?;
            }
            self.folder.mark(&Marker::default())?;
            state.retired = false;
        }
        let idle = now.duration_since(state.used) > KEEP && state.coming.is_empty();
        if idle && playlist.is_err() {
            // Somebody else removed it, as REST calls and operators do: what it listed nobody plays.
            state.playlists = Playlists::default();
        }
        state.playlists.expire(KEEP, now);
        let keep = KEEP + state.playlists.longest();
        let listed: BTreeSet<String> = state.playlists.files().map(str::to_owned).collect();
        let mut left = contents.media.len();
        state
            .unlisted
            .retain(|path, _| contents.media.contains_key(path));
        for (path, modified) in &contents.media {
            if listed.contains(path) {
                state.unlisted.remove(path);
                continue;
            }
            let since = *state.unlisted.entry(path.clone()).or_insert(now);
            if now.duration_since(since) > keep
                && age(modified) > keep
                && self.folder.remove(path)?
            {
                tracing::debug!(
                    app = self.app,
                    stream = self.folder.id(),
                    path,
                    "removed what nobody lists"
                );
                state.unlisted.remove(path);
                left -= 1;
            }
        }
        state.media = left;
        let gone = left == 0 && contents.temporary == 0 && playlist.is_err();
        if idle {
            self.folder.prune(&contents);
        }
        if idle && gone {
            self.folder.clear()?;
            state.opened = false;
            state.playlists = Playlists::default();
        }
        Ok(())
    }
}

/// A media file that comes. Half of one is nothing: dropped, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Arrival {
    stream: Arc<PushedStream>,
    path: MediaPath,
    file: Option<NamedTempFile>,
}

impl Arrival {
    /// More of it came.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match &mut self.file {
            Some(file) => Ok(file.write_all(bytes)?),
            None => Ok(()),
        }
    }

    /// It is a piece of a file, from `start` on; the file has `total` bytes, if that is known.
    pub(crate) fn append(mut self, start: u64, total: Option<u64>) -> Result<(), Refusal> {
        let Some(piece) = self.file.take() else {
            return Ok(());
        };
        let stream = Arc::clone(&self.stream);
        let mut state = stream.lock();
        leave(&mut state.coming, self.path.as_str());
        let len = stream.folder.append(piece, self.path.as_str(), start)?;
        let now = Instant::now();
        state.used = now;
        if total == Some(len) {
            state.growing.remove(self.path.as_str());
            if let Err(error) = stream.publish(&mut state, now) {
                stream.complain(&error);
            }
        } else {
            state.growing.insert(self.path.as_str().to_owned(), now);
        }
        Ok(())
    }

    /// It is whole. Says whether none of its path was there.
    pub(crate) fn finish(mut self) -> Result<bool, Refusal> {
        let Some(file) = self.file.take() else {
            return Ok(false);
        };
        let stream = Arc::clone(&self.stream);
        let mut state = stream.lock();
        // Before anything can fail: what did not come is not waited for.
        leave(&mut state.coming, self.path.as_str());
        let new = stream.folder.settle(file, self.path.as_str())?;
        state.media += usize::from(new);
        state.used = Instant::now();
        // The file has come, whatever becomes of its playlist.
        if let Err(error) = stream.publish(&mut state, Instant::now()) {
            stream.complain(&error);
        }
        Ok(new)
    }
}

fn leave(coming: &mut HashMap<String, usize>, path: &str) {
    if let Some(count) = coming.get_mut(path) {
        *count -= 1;
        if *count == 0 {
            coming.remove(path);
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            leave(&mut self.stream.lock().coming, self.path.as_str());
        }
    }
}

#[cfg(test)]
#[path = "stream/tests.rs"]
mod tests;
