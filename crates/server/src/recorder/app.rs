//! One app: its folder is watched, its streams are looked after.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use clipmill::AnySource;
use clipmill::source::{HttpSettings, HttpSource};
use metrics::gauge;
use tokio::sync::watch;

use super::media::SegmentFile;
use super::recorded::RecordedWindows;
use super::shared::{Shared, lock};
use super::stream::Stream;
use super::task::Command;
use crate::config::AppSettings;
use crate::domain::{Periodic, StreamSettings};
use crate::metrics::{SPOOL_BYTES, STREAMS_LIVE};
use crate::schedule::Urgency;
use crate::sources::StreamSource;
use crate::sources::folder::FolderSource;
use crate::sources::playlists::Playlists;
use crate::sources::watch::{Changes, QUICK, SLOW, Watch};
use crate::storage::AppPaths;

/// Events are gathered for this long.
const GATHER: Duration = Duration::from_millis(20);

/// Streams are looked after this often, whatever happens.
const TICK: Duration = Duration::from_millis(500);

/// A stream that is seen for the first time is looked at after this: what it is may depend on a
/// playlist that is written at the same time and lists it.
const FIRST_LOOK: Duration = Duration::from_millis(150);

/// What has had its time in DVR windows is looked for this often.
const TRIM: Duration = Duration::from_secs(10);

/// Markers whose time is over are looked for this often.
const FORGET: Duration = Duration::from_secs(20);

/// The watch is not trusted once so many looks in a row found what it had not told.
const MISTRUST: u32 = 3;

/// One app.
#[derive(Debug)]
pub(crate) struct App {
    name: String,
    settings: RwLock<Arc<AppSettings>>,
    /// When it began to be watched.
    since: SystemTime,
    folder: FolderSource,
    streams: Mutex<BTreeMap<String, Arc<Stream>>>,
    /// The interval of periodic clips, while they are on.
    periodic: Mutex<Option<Duration>>,
    /// What was set for single streams.
    set: Mutex<HashMap<String, StreamSettings>>,
    /// Files of media servers whose content a kept segment shares, and whose stream that is.
    links: Mutex<HashMap<PathBuf, String>>,
    /// Looks at everything that found what the watch had not told.
    untold: AtomicU32,
    /// When DVR windows were trimmed last.
    trimmed: Mutex<Option<Instant>>,
    recorded: RecordedWindows,
    /// When markers were forgotten last.
    forgotten: Mutex<Option<Instant>>,
    closed: watch::Sender<bool>,
}

/// What reads by URL, as the settings allow it.
fn http(settings: &AppSettings) -> HttpSource {
    HttpSource::new(HttpSettings {
        reach: settings.reach,
        ..HttpSettings::default()
    })
}

impl App {
    pub(crate) fn new(settings: Arc<AppSettings>) -> Self {
        let root = resolved(&settings.streams_dir);
        Self {
            folder: FolderSource::new(root, http(&settings)),
            since: SystemTime::now(),
            name: settings.name.clone(),
            settings: RwLock::new(settings),
            streams: Mutex::default(),
            periodic: Mutex::default(),
            set: Mutex::default(),
            links: Mutex::default(),
            untold: AtomicU32::new(0),
            trimmed: Mutex::default(),
            recorded: RecordedWindows::default(),
            forgotten: Mutex::default(),
            closed: watch::Sender::new(false),
        }
    }

    pub(crate) fn settings(&self) -> Arc<AppSettings> {
        let present = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&present)
    }

    pub(crate) fn set_settings(&self, new: Arc<AppSettings>) {
        let mut present = self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if present.reach != new.reach {
            self.folder.set_http(http(&new));
        }
        *present = new;
    }

    /// Where its streams come from.
    pub(crate) fn streams_source(&self) -> &dyn StreamSource {
        &self.folder
    }

    /// Reads segments and keys: files in this folder, and by URL.
    pub(crate) fn source(&self, folder: &Path) -> AnySource {
        self.folder.within(folder)
    }

    /// The end of the app: it and its streams are not looked after any more.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Becomes true with its end.
    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn since(&self) -> SystemTime {
        self.since
    }

    pub(crate) fn paths(&self) -> AppPaths {
        self.settings().paths()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.root()
    }

    pub(crate) fn playlists(&self) -> MutexGuard<'_, Playlists> {
        self.folder.playlists()
    }

    /// The interval of a stream's periodic clips, while they are on.
    pub(crate) fn interval(&self, stream: &str) -> Option<Duration> {
        match self.own_periodic(stream) {
            Some(own) => own
                .enabled
                .then(|| Duration::from_secs(own.interval_seconds)),
            None => *lock(&self.periodic),
        }
    }

    /// Sets the interval of all streams that have none of their own; gives what it was.
    pub(crate) fn set_interval(&self, interval: Option<Duration>) -> Option<Duration> {
        std::mem::replace(&mut *lock(&self.periodic), interval)
    }

    /// The interval of a stream's periodic clips, on or not.
    pub(crate) fn usual_interval(&self, stream: &str) -> Duration {
        match self.own_periodic(stream) {
            Some(own) => Duration::from_secs(own.interval_seconds),
            None => {
                let on = *lock(&self.periodic);
                on.unwrap_or_else(|| self.settings().interval)
            }
        }
    }

    /// What was set of the periodic clips of this stream alone.
    fn own_periodic(&self, stream: &str) -> Option<Periodic> {
        self.settings().periodic_of(lock(&self.set).get(stream)?)
    }

    /// Remembers what was set for a stream.
    pub(crate) fn set(&self, stream: &str, settings: StreamSettings) {
        let mut set = lock(&self.set);
        if settings.is_empty() {
            set.remove(stream);
        } else {
            set.insert(stream.to_owned(), settings);
        }
    }

    /// Forgets what was set and is overruled by the configuration; gives the streams that it was set for, and what
    /// still holds for them.
    pub(crate) fn forget_overruled(&self) -> Vec<(String, StreamSettings)> {
        let settings = self.settings();
        let mut overruled = Vec::new();
        lock(&self.set).retain(|stream, set| {
            let still = settings.still_set(set);
            if still != *set {
                overruled.push((stream.clone(), still));
                *set = still;
            }
            !still.is_empty()
        });
        overruled
    }

    /// The streams whose periodic clips are as those of all streams.
    pub(crate) fn streams_as_all(&self) -> Vec<Arc<Stream>> {
        let streams = lock(&self.streams);
        let alike = streams
            .iter()
            .filter(|(id, _)| self.own_periodic(id).is_none());
        alike.map(|(_, stream)| Arc::clone(stream)).collect()
    }

    /// The streams that have a DVR window.
    pub(crate) fn streams_with_window(&self) -> Vec<String> {
        let streams = lock(&self.streams);
        let ids = streams.keys();
        ids.filter(|id| self.dvr_window(id).is_some())
            .cloned()
            .collect()
    }

    pub(crate) fn stream(&self, id: &str) -> Option<Arc<Stream>> {
        lock(&self.streams).get(id).cloned()
    }

    pub(crate) fn live_streams(&self) -> usize {
        let streams = lock(&self.streams);
        let live = streams.values().filter(|stream| stream.shown().live);
        live.count()
    }

    /// How much of a stream is kept for clips that somebody may ask for; `None`: as long as it is listed.
    pub(crate) fn dvr_window(&self, stream: &str) -> Option<Duration> {
        let set = lock(&self.set).get(stream).copied().unwrap_or_default();
        // What a recording needs is kept whatever the window is.
        let recorded = || self.recorded.has(stream).then_some(Duration::ZERO);
        self.settings().dvr_window_of(&set).or_else(recorded)
    }

    /// The windows of its streams that are recorded.
    pub(crate) fn recorded(&self) -> &RecordedWindows {
        &self.recorded
    }

    /// Remembers that a kept segment shares its content with a file.
    pub(crate) fn note_links(&self, stream: &str, file: &SegmentFile) {
        if let Some(path) = &file.original
            && file
                .holding
                .as_ref()
                .is_some_and(|holding| holding.is_linked())
        {
            lock(&self.links).insert(path.clone(), stream.to_owned());
        }
    }

    /// Forgets it.
    pub(crate) fn forget_links(&self, gone: &[Arc<SegmentFile>]) {
        if gone.is_empty() {
            return;
        }
        let mut links = lock(&self.links);
        for path in gone.iter().filter_map(|file| file.original.as_ref()) {
            links.remove(path);
        }
    }

    /// Watches the folder until the app is closed.
    pub(crate) async fn watch(self: Arc<Self>, shared: Arc<Shared>) {
        let watch = Arc::new(Mutex::new(Watch::new()));
        let mut next_look = Instant::now();
        let mut next_tick = next_look;
        let changed = lock(&watch).changes();
        let mut closed = self.closed();
        while !*closed.borrow_and_update() {
            let now = Instant::now();
            let due = next_look <= now;
            // Events may come all the time; what has to be looked after without them need not be
            // looked after each time.
            let tick = next_tick <= now;
            if tick {
                next_tick = now + TICK;
            }
            let (app, context, watcher) =
                (Arc::clone(&self), Arc::clone(&shared), Arc::clone(&watch));
            let worked = tokio::task::spawn_blocking(move || {
                let mut watch = lock(&watcher);
                let pause = app.attend(&mut watch, due, &context);
                if tick {
                    app.tick(&context);
                }
                pause
            });
            match worked.await {
                Ok(pause) if due => next_look = Instant::now() + pause,
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "a look at a streams folder failed"),
            }
            tokio::select! {
                () = changed.notified() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(TICK) => {}
                _ = closed.changed() => return,
            }
            if shared.is_draining() {
                return;
            }
        }
    }

    /// Does what there is to do; says when everything should be looked at again.
    fn attend(self: &Arc<Self>, watch: &mut Watch, due: bool, shared: &Arc<Shared>) -> Duration {
        let changes = watch.take();
        let told = self.told(&changes);
        self.protect(&changes);
        let mut pause = SLOW;
        let mut touched = told;
        if due || changes.look_at_all {
            pause = self.look_at_all(watch, &mut touched, changes.look_at_all, shared);
        }
        for id in touched {
            self.touch(&id, shared);
        }
        pause
    }

    /// Looks after what no stream does.
    fn tick(self: &Arc<Self>, shared: &Arc<Shared>) {
        shared.virtual_clips.expire();
        self.trim_windows(shared);
        self.forget_old_markers(shared);
        let live = self.live_streams() as f64;
        gauge!(STREAMS_LIVE, "app" => self.name.clone()).set(live);
        gauge!(SPOOL_BYTES).set(shared.spool.bytes() as f64);
    }

    /// Has what has had its time in DVR windows removed. The first time, it is read what there is.
    fn trim_windows(self: &Arc<Self>, shared: &Arc<Shared>) {
        let now = Instant::now();
        {
            let mut trimmed = lock(&self.trimmed);
            if trimmed.is_some_and(|then| now.duration_since(then) < TRIM) {
                return;
            }
            *trimmed = Some(now);
        }
        for stream in shared.spool.dvr().streams(&self.name) {
            let (app, spool) = (Arc::clone(self), Arc::clone(&shared.spool));
            shared.pool.submit(Urgency::Segments, now, move || {
                let dvr = spool.dvr();
                let length = app.dvr_window(&stream).unwrap_or_default();
                dvr.trim(&dvr.stream(app.name(), &stream), length);
            });
        }
    }

    /// Has markers forgotten whose time is over.
    fn forget_old_markers(self: &Arc<Self>, shared: &Arc<Shared>) {
        let now = Instant::now();
        {
            let mut forgotten = lock(&self.forgotten);
            if forgotten.is_some_and(|then| now.duration_since(then) < FORGET) {
                return;
            }
            *forgotten = Some(now);
        }
        let (app, context) = (Arc::clone(self), Arc::downgrade(shared));
        shared.pool.submit(Urgency::Segments, now, move || {
            if let Some(shared) = context.upgrade() {
                app.forget_markers(&shared);
            }
        });
    }

    /// The live edges of all streams, in milliseconds since 1970: of those that are over they grow old with the clock.
    /// `None`: nothing has come since the start.
    pub(crate) fn edges(&self) -> Vec<(String, Option<i64>)> {
        let streams = lock(&self.streams);
        let edges = streams.iter().map(|(id, stream)| {
            let edge = stream.shown().seen.map(|(edge, then)| {
                let since = i64::try_from(then.elapsed().as_millis()).unwrap_or(i64::MAX);
                edge.saturating_add(since)
            });
            (id.clone(), edge)
        });
        edges.collect()
    }

    /// The streams whose playlists were reported to have changed.
    fn told(&self, changes: &Changes) -> BTreeSet<String> {
        let mut playlists = self.playlists();
        let paths = changes.playlists.iter();
        paths.flat_map(|path| playlists.update(path)).collect()
    }

    /// Looks at the whole folder.
    fn look_at_all(
        &self,
        watch: &mut Watch,
        touched: &mut BTreeSet<String>,
        expected: bool,
        shared: &Arc<Shared>,
    ) -> Duration {
        let concern = format!("{}: streams folder", self.name());
        if !watch.is_on() || resolved(&self.settings().streams_dir) != self.root() {
            self.start_watch(watch);
        }
        let found = self.playlists().scan();
        match found {
            Ok((found, overdue)) => {
                shared.troubles.clear(&concern);
                let untold = watch.is_on() && !expected && overdue;
                if untold {
                    let so_far = self.untold.fetch_add(1, Ordering::Relaxed) + 1;
                    if so_far == MISTRUST {
                        tracing::warn!(
                            app = self.name(),
                            "changes are not reported: looking often"
                        );
                    }
                } else if self.untold.load(Ordering::Relaxed) < MISTRUST {
                    self.untold.store(0, Ordering::Relaxed);
                }
                touched.extend(found);
                // Streams of which only kept segments or an entry are left.
                touched.extend(self.left_behind(shared));
            }
            Err(error) => {
                watch.stop();
                let folder = self.root();
                let what = format!("cannot read {}: {error}", folder.display());
                shared.troubles.set(&concern, false, &what);
            }
        }
        if watch.is_on() && self.untold.load(Ordering::Relaxed) < MISTRUST {
            SLOW
        } else {
            QUICK
        }
    }

    fn start_watch(&self, watch: &mut Watch) {
        let root = resolved(&self.settings().streams_dir);
        if root != self.root() {
            self.folder.move_to(root.clone());
        }
        if let Err(error) = watch.start(&root) {
            tracing::debug!(folder = %root.display(), %error, "cannot be watched");
        }
    }

    /// Streams that an earlier run knew, once.
    fn left_behind(&self, shared: &Shared) -> Vec<String> {
        if !lock(&self.streams).is_empty() {
            return Vec::new();
        }
        const PAGE: usize = 500;
        let mut left = shared.spool.streams(&self.name);
        let mut offset = 0;
        while let Ok(page) = shared.wait(shared.catalog.streams(&self.name, offset, PAGE)) {
            let live = page
                .iter()
                .filter(|entry| entry.status == crate::domain::StreamStatus::Live);
            left.extend(live.map(|entry| entry.id.clone()));
            if page.len() < PAGE {
                break;
            }
            offset += PAGE;
        }
        left
    }

    /// Has a stream looked at.
    fn touch(self: &Arc<Self>, id: &str, shared: &Arc<Shared>) {
        let mut streams = lock(&self.streams);
        let known = streams.get(id).cloned();
        let new = known.is_none();
        let stream = known.unwrap_or_else(|| {
            let stream = Arc::new(Stream::start(id, shared, self));
            streams.insert(id.to_owned(), Arc::clone(&stream));
            stream
        });
        drop(streams);
        let after = if new { FIRST_LOOK } else { Duration::ZERO };
        stream.tell(Command::Look(after));
    }

    /// Tells the streams whose kept segments share their content with files that are written again.
    fn protect(&self, changes: &Changes) {
        let mut endangered = BTreeSet::new();
        {
            let links = lock(&self.links);
            for path in &changes.others {
                endangered.extend(links.get(path).map(|stream| (stream.clone(), path.clone())));
            }
        }
        for (id, path) in endangered {
            if let Some(stream) = self.stream(&id) {
                stream.tell(Command::Protect(path));
            }
        }
    }
}

fn resolved(folder: &Path) -> PathBuf {
    let absolute = || std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    std::fs::canonicalize(folder).unwrap_or_else(|_| absolute())
}
