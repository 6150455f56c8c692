//! The DVR windows of all streams: segments that no clip in the making needs any more, and that are kept all the same
//! for clips that somebody may ask for later.
//!
//! ```text
//! {data_dir}/dvr/{app}/{stream}/{session}/{chunk}/{label}.seg
//!                                                /{map}.init
//!                                                /indexes
//! ```
//!
//! A segment that leaves the timeline of its session gets a second name here, before it loses the one that it has among
//! the segments that are needed: a hard link, so that it is written once. Where the media server still has its file it is
//! copied instead, as an encoder that starts anew may overwrite that one. Nothing is synced: what a power failure takes
//! is missing, and declared as such. A session lies in chunks, so that no folder grows without end, and goes away chunk
//! by chunk.
//!
//! In memory there is a list of them ([`Window`]), 64 bytes each, which is read from the names of the files when a stream
//! is first asked for.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use clipmill::SegmentIndex;

use super::index_file::{self, IndexFile};
use super::tally::Tally;
use super::window::{Entry, Listed, Window};
use super::{Holding, Kept, Label, Trimmed, init_name, links, names, write};
use crate::sources::session::FileMark;

/// Segments in a chunk: about half an hour.
const CHUNK: usize = 1000;

/// So much more than is needed is freed at once, as a part of the limit.
const SPARE: u64 = 100;

/// The DVR windows of all streams.
#[derive(Debug)]
pub(crate) struct Dvr {
    root: PathBuf,
    streams: Mutex<HashMap<(String, String), Arc<StreamDvr>>>,
    bytes: Tally,
}

/// The DVR window of a stream.
#[derive(Debug)]
pub(crate) struct StreamDvr {
    app: String,
    folder: PathBuf,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    window: Window,
    /// Segments that are listed, and whose files do not lie here yet; by session and number.
    leaving: HashMap<(String, u64), Leaving>,
    /// Those of them that a worker stores.
    claimed: HashSet<(String, u64)>,
}

/// A segment that leaves the timeline of its session.
#[derive(Debug, Clone)]
pub(crate) struct Leaving {
    pub(crate) holding: Arc<Holding>,
    pub(crate) index: Arc<SegmentIndex>,
}

/// A segment of a DVR window.
#[derive(Debug)]
pub(crate) struct InWindow {
    pub(crate) session: String,
    pub(crate) label: Label,
    /// Its file.
    pub(crate) path: PathBuf,
    /// It is known still, and lies elsewhere.
    pub(crate) leaving: Option<Leaving>,
}

/// Indexes that are written down, of the chunks that were asked for.
#[derive(Debug, Default)]
pub(crate) struct StoredIndexes(HashMap<PathBuf, IndexFile>);

impl StoredIndexes {
    /// That of a segment of a DVR window.
    pub(crate) fn get(&mut self, segment: &InWindow) -> Option<Arc<SegmentIndex>> {
        let chunk = segment.path.parent()?;
        if !self.0.contains_key(chunk) {
            self.0.insert(chunk.to_owned(), IndexFile::read(chunk));
        }
        self.0.get(chunk)?.get(segment.label.sequence)
    }
}

/// Keeps segments of a DVR window while it lives.
#[derive(Debug)]
pub(crate) struct Hold {
    stream: Arc<StreamDvr>,
    number: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.stream.lock().window.let_go(self.number);
    }
}

impl Dvr {
    /// That of a data folder.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self {
            root: data_dir.join("dvr"),
            streams: Mutex::default(),
            bytes: Tally::default(),
        }
    }

    /// Bytes of the segments of the streams that were asked for so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes_of(None)
    }

    /// The same, of one app or of all.
    pub(super) fn bytes_of(&self, app: Option<&str>) -> u64 {
        self.bytes.of(app)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<StreamDvr>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The streams of an app of which something lies on the disk.
    pub(crate) fn streams(&self, app: &str) -> Vec<String> {
        names(&self.root.join(app))
    }

    /// The window of a stream, if it was asked for before. It does no I/O.
    pub(crate) fn known(&self, app: &str, stream: &str) -> Option<Arc<StreamDvr>> {
        let key = (app.to_owned(), stream.to_owned());
        self.lock().get(&key).cloned()
    }

    /// The window of a stream. The first time, it is read from the disk.
    pub(crate) fn stream(&self, app: &str, stream: &str) -> Arc<StreamDvr> {
        if let Some(known) = self.known(app, stream) {
            return known;
        }
        let read = Arc::new(StreamDvr::read(app, self.root.join(app).join(stream)));
        let key = (app.to_owned(), stream.to_owned());
        let mut streams = self.lock();
        let kept = streams.entry(key).or_insert_with(|| {
            let bytes = read.lock().window.bytes();
            self.bytes.add(app, bytes);
            read
        });
        Arc::clone(kept)
    }

    /// Segments leave the timeline of their session: they are in the window from now on. It does no I/O: see
    /// [`store`](Self::store).
    pub(crate) fn leave(&self, stream: &StreamDvr, session: &str, leaving: Vec<Leaving>) {
        let mut content = stream.lock();
        for one in leaving {
            let kept = one.holding.kept();
            let chunk = content.window.next_chunk(session, CHUNK);
            let entry = Entry::new(&kept.label, kept.mark.len, chunk);
            if content.window.insert(session, entry) {
                self.bytes.add(&stream.app, entry.len);
                let key = (session.to_owned(), entry.sequence());
                content.leaving.insert(key, one);
            }
        }
    }

    /// Stores the segments that have left the timeline of their session, but for those that another worker stores.
    pub(crate) fn store(&self, stream: &StreamDvr, session: &str) {
        let due = stream.claim(session);
        for (sequence, one) in due {
            let kept = one.holding.kept();
            let chunk = stream.lock().window.chunk_of(session, sequence);
            let stored = chunk.map(|chunk| stream.put(session, chunk, kept));
            if let Some((chunk, Ok(_))) = chunk.zip(stored.as_ref()) {
                let folder = stream.chunk(session, chunk);
                if let Err(error) = index_file::append(&folder, sequence, &one.index) {
                    tracing::warn!(folder = %folder.display(), %error, "an index is not written down");
                }
            }
            let mut content = stream.lock();
            let key = (session.to_owned(), sequence);
            content.leaving.remove(&key);
            content.claimed.remove(&key);
            match stored {
                Some(Err(error)) => {
                    tracing::error!(folder = %stream.folder.display(), %error, "a segment is not in the DVR window");
                    self.take_out(&stream.app, &mut content, session, sequence);
                }
                // It was taken out meanwhile.
                Some(Ok(path)) if content.window.chunk_of(session, sequence).is_none() => {
                    drop(content);
                    let _ = fs::remove_file(path);
                }
                Some(Ok(_)) | None => {}
            }
        }
    }

    /// Adds segments that an earlier run kept and nobody needs.
    pub(crate) fn adopt(&self, stream: &StreamDvr, session: &str, kept: &[Kept]) {
        for one in kept {
            let chunk = stream.lock().window.next_chunk(session, CHUNK);
            match stream.put(session, chunk, one) {
                Ok(_) => {
                    let entry = Entry::new(&one.label, one.mark.len, chunk);
                    if stream.lock().window.insert(session, entry) {
                        self.bytes.add(&stream.app, entry.len);
                    }
                }
                Err(error) => {
                    tracing::error!(path = %one.path.display(), %error, "a segment is not in the DVR window");
                }
            }
        }
    }

    fn take_out(&self, app: &str, content: &mut Content, session: &str, sequence: u64) {
        if let Some(entry) = content.window.remove(session, sequence) {
            self.bytes.sub(app, entry.len);
        }
    }

    /// Removes what lies further back than `length`.
    pub(crate) fn trim(&self, stream: &StreamDvr, length: Duration) -> usize {
        let gone = {
            let mut content = stream.lock();
            let gone = content.window.trim(length, Instant::now());
            for one in &gone {
                let key = (one.session.clone(), one.entry.sequence());
                content.leaving.remove(&key);
            }
            gone
        };
        self.remove(stream, &gone);
        gone.len()
    }

    /// Frees at least so many bytes, from what lies furthest back of all streams on, of one app or of all; each loses
    /// the same stretch of time. Gives what went.
    pub(crate) fn make_room(&self, app: Option<&str>, bytes: u64, limit: u64) -> Trimmed {
        let wanted = bytes.saturating_add(limit / SPARE);
        let streams: Vec<_> = {
            let all = self.lock();
            let of_app = all
                .values()
                .filter(|stream| app.is_none_or(|app| app == stream.app));
            of_app.cloned().collect()
        };
        let mut trimmed = Trimmed::default();
        while trimmed.bytes < wanted {
            let now = Instant::now();
            let deepest = streams
                .iter()
                .filter_map(|stream| Some((stream.lock().window.depth(now)?, stream)))
                .max_by_key(|(depth, _)| *depth);
            let Some((_, stream)) = deepest else { break };
            let mut gone = Vec::new();
            {
                let mut content = stream.lock();
                // Some at a time, as each look goes over all streams.
                while gone.len() < 8
                    && trimmed.bytes < wanted
                    && let Some(one) = content.window.pop_oldest()
                {
                    let key = (one.session.clone(), one.entry.sequence());
                    content.leaving.remove(&key);
                    trimmed.bytes = trimmed.bytes.saturating_add(one.entry.len);
                    gone.push(one);
                }
            }
            if gone.is_empty() {
                break;
            }
            trimmed.segments = trimmed.segments.saturating_add(gone.len() as u64);
            self.remove(stream, &gone);
        }
        trimmed
    }

    /// Removes the files of what was taken out of a window.
    fn remove(&self, stream: &StreamDvr, gone: &[Listed]) {
        for one in gone {
            self.bytes.sub(&stream.app, one.entry.len);
            let path = stream.path(one);
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot remove a segment");
                }
            }
        }
        let mut chunks: Vec<_> = gone
            .iter()
            .map(|one| (&one.session, one.entry.chunk))
            .collect();
        chunks.dedup();
        for (session, chunk) in chunks {
            let (has_chunk, has_session) = {
                let content = stream.lock();
                let window = &content.window;
                (
                    window.has_chunk(session, chunk),
                    window.has_session(session),
                )
            };
            if !has_chunk {
                let _ = fs::remove_dir_all(stream.chunk(session, chunk));
            }
            if !has_session {
                // Only where nothing is left in them.
                let _ = fs::remove_dir(stream.folder.join(session));
                let _ = fs::remove_dir(&stream.folder);
            }
        }
    }
}

impl StreamDvr {
    /// What lies on the disk.
    fn read(app: &str, folder: PathBuf) -> Self {
        let mut window = Window::default();
        for session in names(&folder) {
            for name in names(&folder.join(&session)) {
                let Ok(chunk) = name.parse() else { continue };
                let within = folder.join(&session).join(&name);
                for name in names(&within) {
                    let path = within.join(&name);
                    match (Label::parse(&name), fs::metadata(&path)) {
                        (Some(label), Ok(found)) => {
                            window.insert(&session, Entry::new(&label, found.len(), chunk));
                        }
                        // What a crash left half done.
                        (None, _) if name.ends_with(super::PARTIAL) => {
                            let _ = fs::remove_file(&path);
                        }
                        _ => {}
                    }
                }
            }
        }
        // It grew older while nobody looked.
        if let Some((_, end)) = window.reach() {
            let changed = fs::metadata(&folder).and_then(|found| found.modified());
            let since = changed
                .ok()
                .and_then(|then| SystemTime::now().duration_since(then).ok());
            let since = since.and_then(|since| TimeDelta::from_std(since).ok());
            let edge = end.checked_add_signed(since.unwrap_or_default());
            window.set_edge(edge.unwrap_or(end), Instant::now());
        }
        Self {
            app: app.to_owned(),
            folder,
            content: Mutex::new(Content {
                window,
                ..Content::default()
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chunk(&self, session: &str, chunk: u32) -> PathBuf {
        self.folder.join(session).join(format!("{chunk:06}"))
    }

    fn path(&self, listed: &Listed) -> PathBuf {
        let chunk = self.chunk(&listed.session, listed.entry.chunk);
        chunk.join(listed.entry.label().file_name())
    }

    /// The segments that are to be stored, in order, which nobody else gets.
    fn claim(&self, session: &str) -> Vec<(u64, Leaving)> {
        let mut content = self.lock();
        let Content {
            leaving, claimed, ..
        } = &mut *content;
        let of_session = leaving.iter().filter(|((own, _), _)| own == session);
        let mut due: Vec<_> = of_session
            .filter(|(key, _)| claimed.insert((*key).clone()))
            .map(|((_, sequence), one)| (*sequence, one.clone()))
            .collect();
        due.sort_by_key(|(sequence, _)| *sequence);
        due
    }

    /// Where the live edge of the stream is.
    pub(crate) fn set_edge(&self, edge: DateTime<Utc>) {
        self.lock().window.set_edge(edge, Instant::now());
    }

    /// From when to when it reaches, and its bytes.
    pub(crate) fn reach(&self) -> Option<(DateTime<Utc>, DateTime<Utc>, u64)> {
        let content = self.lock();
        let (from, to) = content.window.reach()?;
        Some((from, to, content.window.bytes()))
    }

    /// Where a segment lies.
    pub(crate) fn file(&self, session: &str, sequence: u64) -> Option<PathBuf> {
        let content = self.lock();
        let entry = content.window.get(session, sequence)?;
        match content.leaving.get(&(session.to_owned(), sequence)) {
            Some(leaving) => Some(leaving.holding.kept().path.clone()),
            None => Some(
                self.chunk(session, entry.chunk)
                    .join(entry.label().file_name()),
            ),
        }
    }

    /// The segments of a stretch of time, and as many as `back` before it, which stay while the hold lives.
    pub(crate) fn select(
        self: &Arc<Self>,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
        back: usize,
    ) -> (Vec<InWindow>, Option<Hold>) {
        let mut content = self.lock();
        let listed = content.window.select(from, to, back);
        let number = listed.first().map(|first| content.window.hold(first));
        let found = self.found(&content, listed);
        let hold = number.map(|number| Hold {
            stream: Arc::clone(self),
            number,
        });
        (found, hold)
    }

    /// The segments behind one, given by its session and number, in order; `most` at most.
    pub(crate) fn after(&self, last: (&str, u64), most: usize) -> Vec<InWindow> {
        let content = self.lock();
        self.found(&content, content.window.after(last, most))
    }

    fn found(&self, content: &Content, listed: Vec<Listed>) -> Vec<InWindow> {
        let found = listed.into_iter().map(|one| {
            let key = (one.session.clone(), one.entry.sequence());
            InWindow {
                leaving: content.leaving.get(&key).cloned(),
                path: self.path(&one),
                label: one.entry.label(),
                session: one.session,
            }
        });
        found.collect()
    }

    /// Keeps what ends after an instant, also what is still to come, while the hold lives.
    pub(crate) fn pin(self: &Arc<Self>, from: DateTime<Utc>) -> Hold {
        let number = self.lock().window.pin(from);
        Hold {
            stream: Arc::clone(self),
            number,
        }
    }

    /// Gives a segment its name here.
    fn put(&self, session: &str, chunk: u32, kept: &Kept) -> io::Result<PathBuf> {
        let folder = self.chunk(session, chunk);
        fs::create_dir_all(&folder)?;
        if let (Some(map), Some(from)) = (kept.label.init, kept.path.parent()) {
            let to = folder.join(init_name(map));
            let from = from.join(init_name(map));
            if !to.is_file() && fs::hard_link(&from, &to).is_err() {
                let partial = to.with_extension("part");
                fs::copy(&from, &partial)?;
                fs::rename(&partial, &to)?;
            }
        }
        let to = folder.join(kept.label.file_name());
        let now = fs::metadata(&kept.path)?;
        let is_shared = links(&now) > 1;
        let linked = !is_shared
            && match fs::hard_link(&kept.path, &to) {
                Ok(()) => true,
                Err(error) => error.kind() == io::ErrorKind::AlreadyExists,
            };
        if !linked {
            let partial = to.with_extension("part");
            write(&partial, &fs::read(&kept.path)?, FileMark::of(&now))?;
            fs::rename(&partial, &to)?;
        }
        Ok(to)
    }
}

#[cfg(test)]
mod tests;
