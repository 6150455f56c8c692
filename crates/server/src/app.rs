//! The server, put together: what is started in which order, what happens when the settings
//! change, and how it all ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::catalog::{Catalog, CatalogError, Opened, SledCatalog, reconcile};
use crate::config::{AppSettings, Settings};
use crate::domain::{ClipEntry, StreamEntry};
use crate::http::{Gate, HttpServer, Web, router, self_test};
use crate::ingest::Ingest;
use crate::pull::Pulls;
use crate::recorder::{Clipping, Recorders};
use crate::schedule::spawn_blocking_async;
use crate::storage::{ClipStore, LocalStore};
use crate::webhooks::{Deliveries, vod_ready};
use crate::{housekeeping, metrics};

/// How long clips and answers that are under way may take at the end.
const DRAIN: Duration = Duration::from_secs(30);

/// How long webhooks that are under way may take after that.
const LAST_POST: Duration = Duration::from_secs(2);

/// How often clips that have served their time are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// How often folders that could not be read are tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It cannot be reached.
    #[error("cannot listen on {listen}: {error}")]
    Listen {
        /// Where.
        listen: String,
        /// Why not.
        error: io::Error,
    },
    /// The data folder cannot be used.
    #[error("cannot use {}: {error}", folder.display())]
    Data {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The catalog cannot be opened.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Something that everything else relies on does not work here.
    #[error("{0}")]
    Broken(String),
}

/// Serves until `shutdown` is ready, and then until draining has ended. Each
/// change of `settings` takes effect at once, but for the address and the data folder.
///
/// # Errors
/// When it cannot start.
pub async fn serve(
    settings: watch::Receiver<Arc<Settings>>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let now = Arc::clone(&settings.borrow());
    self_test().map_err(|what| ServeError::Broken(what.to_owned()))?;
    metrics::install();
    raise_file_limit();

    // Health can be asked from the first moment; everything else when the catalog is open.
    let (stop, stopped) = watch::channel(false);
    let gate = Gate::default();
    let server = HttpServer::bind(
        &now.listen,
        gate.clone(),
        now.header_timeout,
        now.max_connections,
    );
    let not_bound = |error| ServeError::Listen {
        listen: now.listen.clone(),
        error,
    };
    let server = server.await.map_err(not_bound)?;
    let address = server.local_addr().map_err(not_bound)?;
    warn_if_open(&now, address);
    let http = tokio::spawn(server.run(stopped.clone()));

    let Opened { catalog, fresh, .. } = open_catalog(&now).await?;
    let catalog: Arc<dyn Catalog> = Arc::new(catalog);
    let store: Arc<dyn ClipStore> = Arc::new(LocalStore::default());
    let mut unread = BTreeMap::new();
    for app in &now.apps {
        if let Err(error) = agree(&catalog, &store, app, fresh).await {
            tracing::error!(app = app.name, error, "catalog and files may not agree");
            unread.insert(app.name.clone(), fresh);
        }
    }

    let recorders = Recorders::start(settings.clone(), Arc::clone(&catalog), Arc::clone(&store));
    let recorders = recorders
        .await
        .map_err(|error| ServeError::Broken(error.to_string()))?;
    let pulls = Pulls::new(settings.clone(), Arc::clone(&catalog));
    let pulling = tokio::spawn(pulls.clone().run());
    let server = Server {
        settings: settings.clone(),
        catalog: Arc::clone(&catalog),
        store: Arc::clone(&store),
        clipping: Arc::new(recorders.clone()),
        unread: Arc::new(Mutex::new(unread)),
    };
    let deliveries = Deliveries::new(Arc::clone(&catalog), settings.clone());
    let deliveries = deliveries.map_err(ServeError::Broken)?;
    let (last_post, last_posted) = watch::channel(false);
    let deliveries = tokio::spawn(deliveries.run(last_posted));
    let sweeper = tokio::spawn(server.clone().sweep());
    let reader = tokio::spawn(server.clone().read_later());

    let ingest = Arc::new(Ingest::default());
    let pushed = tokio::spawn(Arc::clone(&ingest).run(settings.clone()));

    let (routes, _) = router(Web {
        settings,
        catalog: Arc::clone(&catalog),
        store,
        clipping: Arc::clone(&server.clipping),
        ingest,
        pulls: pulls.clone(),
    });
    gate.open(routes);
    tracing::info!(%address, url = now.public_base_url, "listening");

    tokio::select! {
        () = shutdown => {}
        () = server.follow_settings(now) => {}
    }
    tracing::info!("shutting down: draining");
    stop.send_replace(true);
    sweeper.abort();
    reader.abort();
    pushed.abort();
    pulling.abort();
    pulls.stop().await;
    drain(http, &recorders).await;
    last_post.send_replace(true);
    let _ = tokio::time::timeout(LAST_POST, deliveries).await;
    if let Err(error) = catalog.flush().await {
        tracing::error!(%error, "cannot flush the catalog");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Each stream has a file open that its next clip is written into, each client another: as many as the
/// system allows at all are allowed from the start.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Waits for answers and clips that are under way.
async fn drain(http: JoinHandle<()>, recorders: &Recorders) {
    let both = async { tokio::join!(http, recorders.drain()).0 };
    if tokio::time::timeout(DRAIN, both).await.is_err() {
        tracing::warn!("draining did not end within {} s", DRAIN.as_secs());
    }
}

async fn open_catalog(settings: &Settings) -> Result<Opened, ServeError> {
    let folder = settings.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder).map_err(|error| ServeError::Data {
            folder: folder.clone(),
            error,
        })?;
        Ok(SledCatalog::open(&folder)?)
    });
    opened
        .await
        .unwrap_or_else(|error| Err(ServeError::Broken(error.to_string())))
}

/// Makes the catalog agree with an application's files. A folder that cannot be read keeps nobody
/// from serving the others.
async fn agree(
    catalog: &Arc<dyn Catalog>,
    store: &Arc<dyn ClipStore>,
    app: &Arc<AppSettings>,
    fresh: bool,
) -> Result<(), String> {
    let (catalog, store, settings) = (Arc::clone(catalog), Arc::clone(store), Arc::clone(app));
    let agreed = spawn_blocking_async(move || async move {
        let hooks = |entry: &ClipEntry, stream: Option<&StreamEntry>| {
            vod_ready(&settings, stream, entry).into_iter().collect()
        };
        if settings.owns_streams_dir {
            std::fs::create_dir_all(&settings.streams_dir)?;
        }
        // One that is not there may be on a disk that is not there yet.
        std::fs::read_dir(&settings.streams_dir)?;
        reconcile(&*catalog, &*store, &settings.paths(), fresh, &hooks).await
    });
    let done = agreed.await.map_err(|error| error.to_string())?;
    let done = done.map_err(|error| error.to_string())?;
    tracing::info!(
        app = app.name,
        adopted = done.adopted,
        buried = done.buried,
        unfinished = done.unfinished,
        "catalog and files agree"
    );
    Ok(())
}

/// Anybody who reaches an address that is not this machine's own may do anything.
fn warn_if_open(settings: &Settings, address: SocketAddr) {
    if address.ip().is_loopback() {
        return;
    }
    for app in settings.apps.iter().filter(|app| app.jwt_secret.is_none()) {
        tracing::warn!(
            app = app.name,
            %address,
            "ANYBODY WHO REACHES THIS ADDRESS CAN START, STOP AND DELETE RECORDINGS: \
             set jwt_secret, or listen on 127.0.0.1"
        );
    }
    for app in settings
        .apps
        .iter()
        .filter(|app| !settings.takes_pushes(app))
    {
        tracing::info!(
            app = app.name,
            %address,
            "nobody may push streams here: set ingest_token, or listen on 127.0.0.1"
        );
    }
}

/// What goes on while the server runs, beside recording: the recorders follow the settings
/// themselves.
#[derive(Clone)]
struct Server {
    settings: watch::Receiver<Arc<Settings>>,
    catalog: Arc<dyn Catalog>,
    store: Arc<dyn ClipStore>,
    clipping: Arc<dyn Clipping>,
    /// Applications whose files could not be read yet, and whether the catalog knew nothing when
    /// that was tried.
    unread: Arc<Mutex<BTreeMap<String, bool>>>,
}

impl Server {
    /// Lets changes of the settings take effect, for ever.
    async fn follow_settings(&self, mut before: Arc<Settings>) {
        let mut settings = self.settings.clone();
        loop {
            if settings.changed().await.is_err() {
                // Nobody is left who could change them.
                std::future::pending::<()>().await;
            }
            let now = Arc::clone(&settings.borrow_and_update());
            self.change(&before, &now).await;
            before = now;
        }
    }

    async fn change(&self, before: &Settings, now: &Settings) {
        let fixed = [
            ("listen", before.listen != now.listen),
            ("data_dir", before.data_dir != now.data_dir),
            (
                "max_connections",
                before.max_connections != now.max_connections,
            ),
            (
                "header_timeout",
                before.header_timeout != now.header_timeout,
            ),
            ("workers", before.workers != now.workers),
        ];
        for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
            tracing::warn!(key, "takes effect at the next start");
        }
        let names: BTreeSet<_> = before
            .apps
            .iter()
            .chain(&now.apps)
            .map(|a| &a.name)
            .collect();
        for name in names {
            match (before.app(name), now.app(name)) {
                (Some(_), None) => tracing::info!(app = name, "application removed"),
                (None, Some(app)) => {
                    tracing::info!(app = name, "application added");
                    if let Err(error) = self.agree_or_later(app, false).await {
                        tracing::error!(app = name, error, "catalog and files may not agree");
                    }
                }
                (Some(old), Some(new)) if old != new => {
                    tracing::info!(app = name, "application changed");
                }
                _ => {}
            }
        }
    }

    fn unread(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn agree_or_later(&self, app: &Arc<AppSettings>, fresh: bool) -> Result<(), String> {
        let agreed = agree(&self.catalog, &self.store, app, fresh).await;
        if agreed.is_err() {
            self.unread().insert(app.name.clone(), fresh);
        }
        agreed
    }

    /// Looks again for the files of applications that could not be read, for ever: folders on other
    /// machines come late.
    async fn read_later(self) {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let unread = std::mem::take(&mut *self.unread());
            for (name, fresh) in unread {
                let app = self.settings.borrow().app(&name).cloned();
                if let Some(app) = app
                    && let Err(error) = self.agree_or_later(&app, fresh).await
                {
                    tracing::debug!(app = name, error, "catalog and files may not agree yet");
                }
            }
        }
    }

    /// Removes clips that have served their time, for ever.
    async fn sweep(self) {
        let mut ticks = tokio::time::interval(SWEEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut settings = self.settings.clone();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Ok(()) = settings.changed() => {}
            }
            let apps = self.settings.borrow().apps.clone();
            for app in apps {
                let (catalog, store) = (Arc::clone(&self.catalog), Arc::clone(&self.store));
                let settings = Arc::clone(&app);
                let swept = spawn_blocking_async(move || async move {
                    housekeeping::retain(&*catalog, &*store, &settings).await
                });
                match swept.await {
                    Ok(Ok(removed)) => metrics::clips_removed(&app.name, removed),
                    Ok(Err(error)) => tracing::error!(app = app.name, %error, "retention failed"),
                    Err(error) => tracing::error!(app = app.name, %error, "retention failed"),
                }
            }
        }
    }
}
