//! The recorders: what turns live streams into clips.
//!
//! ```text
//! folder ──sources──▶ a playlist changed
//! playlist ──intake──▶ segments that are new, a session that begins or ends
//! segment ──feed──▶ read, decrypted, put together with its sound, indexed and kept in the spool, once
//! segments on a timeline ──task: periodic──▶ a clip is complete
//! clip ──make──▶ file, catalog entry, webhook: all of them or none
//! ```
//!
//! There is one task per app, which watches its folder, one per stream, which alone has what is known of
//! it and works in short steps (`task`), and a few threads for all that reads, writes and waits
//! ([`crate::schedule`]). What is kept of a segment in memory is its index.
//!
//! **Sessions.** A stream's media from its first segment to its end is a session, on one timeline:
//! that of `PROGRAM-DATE-TIME`, else one laid from the arrival of the segments. Clips never reach
//! over two sessions, and none takes what an earlier one had: [`Continuity`](clipmill::live::Continuity)
//! decides that by the rule of [`Taken`](clipmill::live::Taken). A session that is over is closed with a clip that holds the remainder, before
//! the next one's first clip is made.
//!
//! **After a restart**, `recover` finds the segments that were kept, in the spool, and the last
//! boundary, in the catalog, where it came in one transaction with the clip that it ended. What
//! lies between the two and the playlist's present is what the next clips are made of.

mod announce;
mod app;
mod asked;
mod chapters;
mod clipping;
mod clock;
mod dated;
mod delete;
mod dvr;
mod feed;
mod growing;
mod history;
mod indexes;
mod intake;
mod keeper;
mod make;
mod markers;
mod media;
mod montage;
mod periodic;
mod played;
mod reading;
mod recorded;
mod recover;
mod request;
mod session;
mod settings;
mod shared;
mod state;
mod stream;
mod switch;
mod task;
#[cfg(test)]
mod testing;
mod virtual_clip;
mod watching;
mod window;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clipmill::Cut;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot, watch};

use self::app::App;
use self::asked::{Asked, Order};
pub use self::clipping::{Clipping, Pending};
use self::indexes::Indexes;
pub use self::make::Named;
use self::montage::AskedMontage;
use self::recorded::RecordedWindows;
pub use self::request::{
    ClipWindow, DvrReach, MadeClip, MontageWindow, OnDemandError, RecorderStatus,
};
use self::shared::{Shared, Troubles, lock};
pub use self::switch::{Switched, set_switch};
use self::task::Command;
pub use self::virtual_clip::VirtualClip;
use self::virtual_clip::VirtualClips;
pub use self::watching::RecordingMedia;
use self::window::AskedWindow;
pub use self::window::WindowPlaylist;
use crate::catalog::Catalog;
use crate::config::Settings;
use crate::domain::{ClipKind, RecordedWindow};
use crate::metrics;
use crate::schedule::Pool;
use crate::scripts::Scripts;
use crate::spool::{Spool, map_of};
use crate::storage::ClipStore;

/// Clips that are asked for and stored at once; who comes later waits.
const ASKED_AT_ONCE: usize = 16;

/// Clips that are laid out at once to be read and not stored.
const LAID_OUT_AT_ONCE: usize = 8;

/// Records the streams of all apps.
#[derive(Debug, Clone)]
pub struct Recorders {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    apps: Mutex<BTreeMap<String, Arc<App>>>,
    asked: Semaphore,
    laid_out: Semaphore,
}

impl Recorders {
    /// Begins to watch the apps' folders, with periodic clips as the settings, or REST after
    /// them, want it. To be called in a runtime, after catalog and files were made to agree.
    ///
    /// # Errors
    /// When the spool cannot be opened or no thread can be started.
    pub async fn start(
        settings: watch::Receiver<Arc<Settings>>,
        catalog: Arc<dyn Catalog>,
        store: Arc<dyn ClipStore>,
    ) -> io::Result<Self> {
        let now = Arc::clone(&settings.borrow());
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let workers = now.workers.unwrap_or(cores).max(2);
        let shared = Arc::new(Shared {
            runtime: Handle::current(),
            pool: Pool::new(workers)?,
            spool: Arc::new(Spool::open(&now.data_dir, now.spool_max_bytes)?),
            catalog,
            store,
            troubles: Troubles::default(),
            draining: AtomicBool::new(false),
            making: AtomicUsize::new(0),
            virtual_clips: VirtualClips::default(),
            indexes: Indexes::default(),
            scripts: Scripts::start()?,
        });
        let recorders = Self {
            inner: Arc::new(Inner {
                shared,
                apps: Mutex::default(),
                asked: Semaphore::new(ASKED_AT_ONCE),
                laid_out: Semaphore::new(LAID_OUT_AT_ONCE),
            }),
        };
        metrics::spool_limit(now.spool_max_bytes);
        recorders.inner.shared.spool.limit_apps(&now.apps);
        for app in &now.apps {
            recorders.add(app).await;
        }
        tokio::spawn(recorders.clone().follow(settings));
        Ok(recorders)
    }

    fn app(&self, name: &str) -> Option<Arc<App>> {
        lock(&self.inner.apps).get(name).cloned()
    }

    /// Makes a clip of several windows now, one after the other.
    ///
    /// # Errors
    /// When one of them has nothing to be clipped, they do not fit each other, or the clip cannot be stored.
    pub async fn montage(
        &self,
        app: &str,
        windows: Vec<MontageWindow>,
        cut: Option<Cut>,
        named: Named,
    ) -> Result<MadeClip, OnDemandError> {
        let shared = Arc::clone(&self.inner.shared);
        if shared.is_draining() {
            return Err(OnDemandError::Draining);
        }
        let Some(app) = self.app(app) else {
            let first = windows.into_iter().next();
            let stream = first.map_or_else(String::new, |window| window.stream);
            return Err(OnDemandError::NoBroadcast(stream));
        };
        let Ok(_one) = self.inner.asked.acquire().await else {
            return Err(OnDemandError::Draining);
        };
        let asked = AskedMontage {
            windows,
            cut: cut.unwrap_or(Cut::Exact),
        };
        let made = tokio::task::spawn_blocking(move || asked.make(named, &shared, &app));
        made.await.unwrap_or(Err(OnDemandError::Draining))
    }

    /// Makes a clip now. With `return_file` the answer comes before it is stored, with a body from
    /// which its bytes can be had as they are written.
    ///
    /// # Errors
    /// When there is nothing to be clipped, or it cannot be stored.
    pub async fn on_demand(
        &self,
        app: &str,
        stream: &str,
        window: ClipWindow,
        cut: Option<Cut>,
        named: Named,
        return_file: bool,
    ) -> Result<MadeClip, OnDemandError> {
        let shared = Arc::clone(&self.inner.shared);
        if shared.is_draining() {
            return Err(OnDemandError::Draining);
        }
        let Some(app) = self.app(app) else {
            return Err(OnDemandError::NoBroadcast(stream.to_owned()));
        };
        let Ok(one) = self.inner.asked.acquire().await else {
            return Err(OnDemandError::Draining);
        };
        let asked = Asked {
            stream: stream.to_owned(),
            window,
            cut: cut.unwrap_or(Cut::Exact),
        };
        let order = Order {
            vod_id: None,
            kind: ClipKind::OnDemand,
            named,
        };
        let (answer, answered) = oneshot::channel();
        // Not among the workers: somebody waits, and a long clip takes long to be stored.
        let stored = tokio::task::spawn_blocking(move || {
            asked.make(order, return_file, &shared, &app, answer);
        });
        let made = answered.await;
        // The clip may still be being stored; its place is taken until it is.
        if return_file {
            one.forget();
            let inner = Arc::clone(&self.inner);
            tokio::spawn(async move {
                let _ = stored.await;
                inner.asked.add_permits(1);
            });
        }
        made.unwrap_or(Err(OnDemandError::Draining))
    }

    /// A clip that is read and not stored. `continues` says that the request goes on with an earlier one:
    /// then it is the same clip, whatever has come since.
    ///
    /// # Errors
    /// When there is nothing to be clipped.
    pub async fn virtual_clip(
        &self,
        app: &str,
        stream: &str,
        window: ClipWindow,
        cut: Option<Cut>,
        continues: bool,
    ) -> Result<Arc<VirtualClip>, OnDemandError> {
        let shared = Arc::clone(&self.inner.shared);
        let Some(app) = self.app(app) else {
            return Err(OnDemandError::NoBroadcast(stream.to_owned()));
        };
        let asked = Asked {
            stream: stream.to_owned(),
            window,
            cut: cut.unwrap_or(Cut::Exact),
        };
        let Ok(_one) = self.inner.laid_out.acquire().await else {
            return Err(OnDemandError::Draining);
        };
        let found = tokio::task::spawn_blocking(move || {
            shared.virtual_clips.get(&asked, continues, &shared, &app)
        });
        found
            .await
            .unwrap_or_else(|error| Err(OnDemandError::Failed(error.to_string())))
    }

    /// A window of a stream as a playlist. `path` is that of the playlist below `streams/`, without its
    /// suffix, or the stream's id; `query` is how the window was asked for.
    ///
    /// # Errors
    /// When there is nothing in the window.
    pub async fn window_playlist(
        &self,
        app: &str,
        path: &str,
        window: ClipWindow,
        query: &str,
    ) -> Result<WindowPlaylist, OnDemandError> {
        let shared = Arc::clone(&self.inner.shared);
        let Some(app) = self.app(app) else {
            return Err(OnDemandError::NoBroadcast(path.to_owned()));
        };
        let (path, query) = (path.to_owned(), query.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            let asked = AskedWindow {
                path: &path,
                window,
                query: &query,
            };
            asked.find(&shared, &app)
        });
        found
            .await
            .unwrap_or_else(|error| Err(OnDemandError::Failed(error.to_string())))
    }

    /// The file of a segment that [`window_playlist`](Self::window_playlist) lists below `dvr/`; with `map`, of the
    /// `EXT-X-MAP` that it needs.
    pub async fn window_segment(
        &self,
        app: &str,
        stream: &str,
        session: &str,
        number: u64,
        map: bool,
    ) -> Option<PathBuf> {
        let shared = Arc::clone(&self.inner.shared);
        let app = self.app(app)?;
        let (stream, session) = (stream.to_owned(), session.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            app.dvr_window(&stream)?;
            let segment = dvr::file_of(&stream, &session, number, &shared, &app)?;
            if map { map_of(&segment) } else { Some(segment) }
        });
        found.await.ok().flatten()
    }

    /// Has a window recorded, whose end may be open or lie ahead. What is said of it lasts.
    ///
    /// # Errors
    /// When the catalog does not answer, or the server stops.
    pub async fn record(&self, app: &str, window: RecordedWindow) -> Result<(), OnDemandError> {
        let shared = &self.inner.shared;
        if shared.is_draining() {
            return Err(OnDemandError::Draining);
        }
        let Some(app) = self.app(app) else {
            return Err(OnDemandError::NoBroadcast(window.stream_id));
        };
        let begun = shared.catalog.record_window(app.name(), &window).await;
        begun.map_err(|error| OnDemandError::Failed(error.to_string()))?;
        tracing::info!(
            app = app.name(),
            stream = window.stream_id,
            vod = window.id,
            "recording"
        );
        RecordedWindows::begin(window, &app, shared).await;
        Ok(())
    }

    /// Has the recording of a window end at `to_ms`, unless it ends before that; gives it as it is now. One that has not
    /// begun by then is called off. `None`: no such window is recorded.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub async fn end_recording(
        &self,
        app: &str,
        id: &str,
        to_ms: i64,
    ) -> Result<Option<RecordedWindow>, OnDemandError> {
        let Some(app) = self.app(app) else {
            return Ok(None);
        };
        let Some(recording) = app.recorded().get(id) else {
            return Ok(None);
        };
        let catalog = &self.inner.shared.catalog;
        let ended = catalog.end_recorded_window(app.name(), id, to_ms).await;
        let ended = ended.map_err(|error| OnDemandError::Failed(error.to_string()))?;
        if let Some(window) = &ended {
            recording.end(window.clone());
        }
        Ok(ended)
    }

    /// The windows of an application's streams that are recorded.
    #[must_use]
    pub fn recorded(&self, app: &str) -> Vec<RecordedWindow> {
        self.app(app)
            .map(|app| app.recorded().open())
            .unwrap_or_default()
    }

    /// The media of a recording that is not a clip yet, as it comes.
    pub async fn recording_media(&self, app: &str, id: &str) -> Option<RecordingMedia> {
        let app = self.app(app)?;
        let recording = app.recorded().get(id)?;
        let shared = Arc::clone(&self.inner.shared);
        Some(RecordingMedia::of(recording, shared, app).await)
    }

    /// A recording as a playlist of what has come of it; also for a while after its end.
    pub async fn recording_playlist(&self, app: &str, id: &str) -> Option<String> {
        let app = self.app(app)?;
        let recording = app.recorded().get(id)?;
        let shared = Arc::clone(&self.inner.shared);
        let made = move || watching::playlist(&recording, &shared, &app);
        tokio::task::spawn_blocking(made).await.ok().flatten()
    }

    /// Turns the recording of a stream on or off, while it is live.
    pub async fn switch(&self, app: &str, stream: &str, on: bool) -> Switched {
        match self.app(app).and_then(|app| app.stream(stream)) {
            Some(stream) => stream.switch(on).await,
            None => Switched::NotLive,
        }
    }

    /// Removes a stream's HLS files, as far as no clip to come needs them.
    pub async fn delete_hls(&self, app: &str, stream: &str) {
        let Some(app) = self.app(app) else {
            return;
        };
        let stream = stream.to_owned();
        let deleted = tokio::task::spawn_blocking(move || delete::delete_hls(&app, &stream));
        if let Err(error) = deleted.await {
            tracing::error!(%error, "the files of a stream are not deleted");
        }
    }

    /// Turns periodic clips on, from the live edge. Where they were on already, what is in the
    /// making is ended first: then true.
    pub async fn start_periodic(&self, app: &str, interval: Duration) -> bool {
        let Some(app) = self.app(app) else {
            return false;
        };
        let replaced = app.set_interval(Some(interval)).is_some();
        for stream in app.streams_as_all() {
            stream.tell(Command::Record(interval));
        }
        replaced
    }

    /// Turns periodic clips off, with one last clip of each stream. False when they were not on.
    pub async fn stop_periodic(&self, app: &str) -> bool {
        let Some(app) = self.app(app) else {
            return false;
        };
        let was_on = app.set_interval(None).is_some();
        for stream in app.streams_as_all() {
            stream.tell(Command::StopRecording);
        }
        was_on
    }

    /// The live edge of a stream and its target duration, in milliseconds.
    #[must_use]
    pub fn live_edge(&self, app: &str, stream: &str) -> Option<(i64, i64)> {
        let stream = self.app(app)?.stream(stream)?;
        stream.shown().edge
    }

    /// What is kept of a stream for its DVR window: as far as it was asked for, or recorded, since the start. It does
    /// no I/O.
    #[must_use]
    pub fn dvr_reach(&self, app: &str, stream: &str) -> Option<DvrReach> {
        self.app(app)?.dvr_window(stream)?;
        let window = self.inner.shared.spool.dvr().known(app, stream)?;
        let (from, to, bytes) = window.reach()?;
        let edge = self.live_edge(app, stream).map(|(edge, _)| edge);
        let to_ms = to.timestamp_millis();
        Some(DvrReach {
            from_ms: from.timestamp_millis(),
            to_ms: edge.map_or(to_ms, |edge| edge.max(to_ms)),
            bytes,
        })
    }

    /// How the recorders stand.
    #[must_use]
    pub fn status(&self) -> RecorderStatus {
        let apps = lock(&self.inner.apps);
        let live: usize = apps.values().map(|app| app.live_streams()).sum();
        RecorderStatus {
            live_streams: live as u64,
            spool_bytes: self.inner.shared.spool.bytes(),
            trouble: self.inner.shared.troubles.first(),
        }
    }

    /// Begins nothing new, and returns when the clips that are being made are done. What is kept
    /// for clips to come stays for the next start.
    pub async fn drain(&self) {
        let shared = &self.inner.shared;
        shared.draining.store(true, Ordering::SeqCst);
        for app in lock(&self.inner.apps).values() {
            app.close();
        }
        while shared.making.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while shared.scripts.pending() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let context = Arc::clone(shared);
        let _ = tokio::task::spawn_blocking(move || context.pool.close()).await;
    }
}
