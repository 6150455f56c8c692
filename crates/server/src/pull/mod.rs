//! Streams that are pulled from other servers (HLS, RFC 8216): each becomes a playlist and segments in its
//! application's folder, and is from then on what any stream in a folder is.
//!
//! - [`Pulls`]: which streams are pulled, as the configuration and calls have it; one task for each;
//! - `stream`: what that does: it finds the media playlists, and follows them; `ladder`: which they are;
//!   `beat`: how those of one stream wait for one another;
//! - `follow`: a media playlist that is followed; `polling`: when it is loaded, and what that says of its origin;
//! - `news`: what in it is new; `wanted`: a segment until it is mirrored;
//! - `load`, `media`, `listed`: playlists, segments, and what they are called; `origin`, `cookies`: requests;
//! - `mirror`, `disk`: what was taken, as a playlist and files.

mod beat;
mod cookies;
mod disk;
mod follow;
mod ladder;
mod listed;
mod load;
mod media;
mod mirror;
mod news;
mod origin;
mod polling;
mod stream;
mod wanted;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::disk::Place;
use self::origin::Connections;
use clipmill::source::Reach;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

use crate::catalog::{Catalog, CatalogError};
use crate::config::{AppSettings, ELSEWHERE, Settings, check_pull};
use crate::domain::{PullSource, now_ms};
use crate::metrics;

/// Between two tries to look up what calls have had pulled.
const RECALL: Duration = Duration::from_secs(2);

/// An application and the id of a stream.
type Key = (String, String);

/// Pulls streams, as the configuration and calls have it.
#[derive(Clone)]
pub struct Pulls {
    inner: Arc<Inner>,
}

struct Inner {
    settings: watch::Receiver<Arc<Settings>>,
    catalog: Arc<dyn Catalog>,
    /// What calls have had pulled.
    asked: Mutex<BTreeMap<Key, PullSource>>,
    running: Mutex<BTreeMap<Key, Running>>,
    connections: Connections,
    /// Changes are made one after the other.
    changing: tokio::sync::Mutex<bool>,
}

/// A stream that is being pulled.
struct Running {
    job: Job,
    shown: watch::Receiver<Shown>,
    end: watch::Sender<End>,
    task: JoinHandle<()>,
}

/// What is pulled, and all that it depends on: when this changes, it is begun anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) app: String,
    pub(crate) source: PullSource,
    /// The configuration says so, and not a call.
    pub(crate) configured: bool,
    /// The folder of the application's streams.
    pub(crate) folder: PathBuf,
    /// Where URLs of others may lead.
    pub(crate) reach: Reach,
    /// How long a segment is waited for that is listed and not there.
    pub(crate) patience: Duration,
}

/// How a stream that is pulled stands, as others see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Why nothing comes of it, and since when, in milliseconds since 1970.
    pub(crate) problem: Option<(String, i64)>,
    /// The streams that are made of other variants of the same playlist.
    pub(crate) beside: Vec<String>,
}

/// How one of the playlists stands that a stream consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It was not loaded yet.
    Unknown,
    Fine,
    /// Nothing comes of it, and why.
    Problem(String),
}

/// Whether a stream is still pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It is.
    Runs,
    /// Not now: it goes on later.
    Pauses,
    /// No more.
    Over,
}

/// How a stream that is pulled stands.
#[derive(Debug, Clone)]
pub struct PullStatus {
    /// Its URL, without what may be secret.
    pub url: String,
    /// The variant that was asked for.
    pub variant: String,
    /// The configuration has it pulled, and not a call.
    pub configured: bool,
    /// Why nothing comes of it, and since when, in milliseconds since 1970.
    pub problem: Option<(String, i64)>,
    /// The streams that are made of the other variants of its playlist.
    pub beside: Vec<String>,
}

/// What became of a stream that was to be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// Nothing was pulled under its id before.
    New,
    /// Something else was.
    Replaced,
}

/// Why a stream is not pulled.
#[derive(Debug, thiserror::Error)]
pub enum NotPulled {
    /// It cannot be.
    #[error("{0}")]
    Invalid(String),
    /// Its id belongs to another source.
    #[error("{0}")]
    Taken(String),
    /// It could not be written down.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Pulls {
    /// Pulls nothing yet: see [`run`](Self::run).
    #[must_use]
    pub fn new(settings: watch::Receiver<Arc<Settings>>, catalog: Arc<dyn Catalog>) -> Self {
        Self {
            inner: Arc::new(Inner {
                connections: Connections::default(),
                settings,
                catalog,
                asked: Mutex::default(),
                running: Mutex::default(),
                changing: tokio::sync::Mutex::new(false),
            }),
        }
    }

    /// Pulls what there is to be pulled, and lets changed settings take effect, until
    /// [`stop`](Self::stop).
    pub async fn run(self) {
        let mut settings = self.inner.settings.clone();
        let mut known: Vec<String> = Vec::new();
        loop {
            let now = Arc::clone(&settings.borrow_and_update());
            known.retain(|name| now.app(name).is_some());
            for app in &now.apps {
                if !known.contains(&app.name) && self.recall(&app.name).await {
                    known.push(app.name.clone());
                }
            }
            self.apply().await;
            let all = known.len() == now.apps.len();
            tokio::select! {
                changed = settings.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep(RECALL), if !all => {}
            }
        }
    }

    /// Looks up what calls have had pulled; false where that is to be tried again.
    async fn recall(&self, app: &str) -> bool {
        let asked = match self.inner.catalog.pulls(app).await {
            Ok(asked) => asked,
            Err(error) => {
                tracing::error!(app, %error, "what calls have had pulled is not known");
                return false;
            }
        };
        let mut all = lock(&self.inner.asked);
        for source in asked {
            all.insert((app.to_owned(), source.id.clone()), source);
        }
        true
    }

    /// Begins and ends what has to be, so that what is pulled is what should be.
    async fn apply(&self) {
        let stopped = self.inner.changing.lock().await;
        if *stopped {
            return;
        }
        let wanted = self.wanted();
        // Two must not write one playlist.
        for task in self.end_others(&wanted) {
            let _ = task.await;
        }
        let mut running = lock(&self.inner.running);
        for (key, job) in wanted {
            running.entry(key).or_insert_with(|| self.begin(job));
        }
    }

    /// Ends what is not, or not so, to be pulled.
    fn end_others(&self, wanted: &BTreeMap<Key, Job>) -> Vec<JoinHandle<()>> {
        let mut running = lock(&self.inner.running);
        let others = running
            .iter()
            .filter(|(key, one)| wanted.get(*key) != Some(&one.job));
        let others: Vec<Key> = others.map(|(key, _)| key.clone()).collect();
        let ending = others.into_iter().filter_map(|key| {
            let one = running.remove(&key)?;
            let end = match wanted.contains_key(&key) {
                true => End::Pauses,
                false => End::Over,
            };
            one.end.send_replace(end);
            Some(one.task)
        });
        ending.collect()
    }

    /// What should be pulled: the configuration comes before calls.
    fn wanted(&self) -> BTreeMap<Key, Job> {
        let settings = Arc::clone(&self.inner.settings.borrow());
        let asked = lock(&self.inner.asked);
        let mut wanted = BTreeMap::new();
        for ((app, id), source) in asked.iter() {
            if let Some(app) = settings.app(app) {
                let job = Job::new(app, source, false);
                wanted.insert((app.name.clone(), id.clone()), job);
            }
        }
        for app in &settings.apps {
            for source in &app.pull {
                let key = (app.name.clone(), source.id.clone());
                wanted.insert(key, Job::new(app, source, true));
            }
        }
        wanted
    }

    fn begin(&self, job: Job) -> Running {
        let (end, ended) = watch::channel(End::Runs);
        let (show, shown) = watch::channel(Shown::default());
        let teller = Teller {
            app: job.app.clone(),
            stream: job.source.id.clone(),
            show,
        };
        let job_of = Arc::new(job.clone());
        let task = tokio::spawn(stream::pull(
            job_of,
            self.inner.connections.clone(),
            teller,
            ended,
        ));
        Running {
            job,
            shown,
            end,
            task,
        }
    }

    /// Has a stream pulled from now on. `is_live` says that a stream of its id is live, from wherever.
    ///
    /// # Errors
    /// When it cannot be, or its id belongs to another source.
    pub async fn put(
        &self,
        app: &AppSettings,
        source: PullSource,
        is_live: bool,
    ) -> Result<Made, NotPulled> {
        check_pull(&source).map_err(NotPulled::Invalid)?;
        for (name, value) in &source.headers {
            // They would make the server tell others what is its own.
            if ELSEWHERE.iter().any(|prefix| value.starts_with(prefix)) {
                let why = format!(
                    "The header `{name}`: only the configuration names variables and files"
                );
                return Err(NotPulled::Invalid(why));
            }
        }
        let url = Url::parse(&source.url).map_err(|error| NotPulled::Invalid(error.to_string()))?;
        // Names are resolved when they are connected to.
        app.reach.check_url(&url).map_err(|error| {
            NotPulled::Invalid(format!("url: {error} (allow_private_addresses allows it)"))
        })?;
        if app.pulled(&source.id).is_some() {
            let why = "The configuration has this stream pulled";
            return Err(NotPulled::Taken(why.to_owned()));
        }
        let key = (app.name.clone(), source.id.clone());
        let is_ours = lock(&self.inner.running).contains_key(&key);
        if !is_ours && self.status(&app.name, &source.id).is_some() {
            let why = "This stream is a variant of another that is pulled";
            return Err(NotPulled::Taken(why.to_owned()));
        }
        let place = Place::of(&app.streams_dir, &source.id);
        // One that was pulled before may be live still.
        let is_others = (is_live && !place.is_mirror()) || place.is_taken();
        if !is_ours && is_others {
            let why = "A stream of this id comes from elsewhere";
            return Err(NotPulled::Taken(why.to_owned()));
        }
        self.inner.catalog.put_pull(&app.name, &source).await?;
        let before = lock(&self.inner.asked).insert(key, source);
        self.apply().await;
        Ok(match before {
            Some(_) => Made::Replaced,
            None => Made::New,
        })
    }

    /// Has a stream pulled no more; false when no call had.
    ///
    /// # Errors
    /// When the configuration has it pulled.
    pub async fn remove(&self, app: &AppSettings, id: &str) -> Result<bool, NotPulled> {
        if app.pulled(id).is_some() {
            let why = "The configuration has this stream pulled";
            return Err(NotPulled::Taken(why.to_owned()));
        }
        let was = self.inner.catalog.delete_pull(&app.name, id).await?;
        let key = (app.name.clone(), id.to_owned());
        let known = lock(&self.inner.asked).remove(&key).is_some();
        self.apply().await;
        Ok(was || known)
    }

    /// How a stream stands; `None` when it is not pulled.
    #[must_use]
    pub fn status(&self, app: &str, id: &str) -> Option<PullStatus> {
        self.all(app).remove(id)
    }

    /// How the streams of an application stand that are pulled.
    #[must_use]
    pub fn all(&self, app: &str) -> BTreeMap<String, PullStatus> {
        let running = lock(&self.inner.running);
        let own = running.iter().filter(|((of, _), _)| of == app);
        let mut all = BTreeMap::new();
        for ((_, id), one) in own {
            for beside in &one.shown.borrow().beside {
                all.entry(beside.clone()).or_insert_with(|| one.status());
            }
            all.insert(id.clone(), one.status());
        }
        all
    }

    /// What is wrong with streams that are pulled, each in words.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let running = lock(&self.inner.running);
        let each = running.iter().filter_map(|((app, id), one)| {
            let (problem, _) = one.shown.borrow().problem.clone()?;
            Some(format!("{app}/{id}: {problem}"))
        });
        each.collect()
    }

    /// Pulls nothing any more; what was pulled goes on at the next start.
    pub async fn stop(&self) {
        *self.inner.changing.lock().await = true;
        let running = std::mem::take(&mut *lock(&self.inner.running));
        for one in running.values() {
            one.end.send_replace(End::Pauses);
        }
        for one in running.into_values() {
            let _ = one.task.await;
        }
    }
}

/// Waits until a stream is to end.
async fn to_end(end: &mut watch::Receiver<End>) {
    // Whoever might say so is gone: it is, too.
    let _ = end.wait_for(|end| *end != End::Runs).await;
}

/// Tells how a stream stands.
pub(crate) struct Teller {
    app: String,
    stream: String,
    show: watch::Sender<Shown>,
}

impl Teller {
    /// These are streams that come with it.
    pub(crate) fn beside(&self, ids: Vec<String>) {
        self.show.send_modify(|shown| shown.beside = ids);
    }

    /// Why nothing comes; `None`: it comes.
    pub(crate) fn tell(&self, problem: Option<String>) {
        let known = self
            .show
            .borrow()
            .problem
            .as_ref()
            .map(|(known, _)| known.clone());
        if known == problem {
            return;
        }
        let (app, stream) = (self.app.as_str(), self.stream.as_str());
        match (&known, &problem) {
            (None, Some(_)) => metrics::pull_problem(app, 1.0),
            (Some(_), None) => metrics::pull_problem(app, -1.0),
            _ => {}
        }
        match &problem {
            Some(problem) => tracing::warn!(app, stream, "nothing comes: {problem}"),
            None => tracing::info!(app, stream, "it comes again"),
        }
        self.show.send_modify(|shown| {
            let since = shown.problem.take().map(|(_, since)| since);
            shown.problem = problem.map(|problem| (problem, since.unwrap_or_else(now_ms)));
        });
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if self.show.borrow().problem.is_some() {
            metrics::pull_problem(&self.app, -1.0);
        }
    }
}

impl Job {
    fn new(app: &AppSettings, source: &PullSource, configured: bool) -> Self {
        Self {
            app: app.name.clone(),
            source: source.clone(),
            configured,
            folder: app.streams_dir.clone(),
            reach: app.reach,
            patience: app.segment_patience,
        }
    }
}

impl Running {
    fn status(&self) -> PullStatus {
        let variant = match self.job.source.variant.as_str() {
            "" => "best",
            named => named,
        };
        PullStatus {
            url: self.job.source.shown_url(),
            variant: variant.to_owned(),
            configured: self.job.configured,
            problem: self.shown.borrow().problem.clone(),
            beside: self.shown.borrow().beside.clone(),
        }
    }
}

/// What is kept behind the locks of this room is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
