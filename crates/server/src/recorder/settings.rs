//! Settings that change while streams are recorded: those of the configuration, and those that calls set for single
//! streams.

use std::sync::Arc;

use tokio::sync::watch;

use super::app::App;
use super::recorded::RecordedWindows;
use super::shared::lock;
use super::task::Command;
use super::{Recorders, metrics};
use crate::catalog::{PeriodicState, change_periodic, change_stream};
use crate::config::{AppSettings, Settings};
use crate::domain::StreamSettings;

/// Streams asked of the catalog at a time.
const PAGE: usize = 500;

impl Recorders {
    pub(super) async fn add(&self, settings: &Arc<AppSettings>) {
        metrics::application(&settings.name);
        let app = Arc::new(App::new(Arc::clone(settings)));
        let known = self.inner.shared.catalog.periodic(&settings.name).await;
        let known = known.unwrap_or_else(|error| {
            tracing::error!(app = settings.name, %error, "what REST asked for is not known");
            None
        });
        app.set_interval(PeriodicState::effective(known.as_ref(), settings));
        self.recall(&app).await;
        self.forget_overruled(&app).await;
        RecordedWindows::recover(&app, &self.inner.shared).await;
        lock(&self.inner.apps).insert(settings.name.clone(), Arc::clone(&app));
        tokio::spawn(app.watch(Arc::clone(&self.inner.shared)));
    }

    /// Reads what calls have set for single streams.
    async fn recall(&self, app: &App) {
        let mut offset = 0;
        loop {
            let page = self
                .inner
                .shared
                .catalog
                .streams(app.name(), offset, PAGE)
                .await;
            let page = page.unwrap_or_else(|error| {
                tracing::error!(app = app.name(), %error, "what was set for streams is not known");
                Vec::new()
            });
            for stream in &page {
                app.set(&stream.id, stream.settings);
            }
            if page.len() < PAGE {
                return;
            }
            offset += PAGE;
        }
    }

    /// Lets changed settings take effect.
    pub(super) async fn follow(self, mut settings: watch::Receiver<Arc<Settings>>) {
        while settings.changed().await.is_ok() {
            let now = Arc::clone(&settings.borrow_and_update());
            self.inner.shared.spool.limit_apps(&now.apps);
            for new in &now.apps {
                let known = self.app(&new.name);
                match known {
                    Some(app) => self.change(&app, new).await,
                    None => self.add(new).await,
                }
            }
            let mut apps = lock(&self.inner.apps);
            apps.retain(|name, app| {
                let stays = now.app(name).is_some();
                if !stays {
                    app.close();
                }
                stays
            });
        }
    }

    async fn change(&self, app: &Arc<App>, new: &Arc<AppSettings>) {
        let old = app.settings();
        app.set_settings(Arc::clone(new));
        self.forget_overruled(app).await;
        if old.configured_periodic() != new.configured_periodic() {
            // A value that changed in the configuration wins over what REST said.
            let forgotten = change_periodic(&*self.inner.shared.catalog, &new.name, |_| None).await;
            if let Err(error) = forgotten {
                tracing::error!(app = new.name, %error, "cannot reset the settings made over REST");
            }
            if new.enabled {
                self.start_periodic(&new.name, new.interval).await;
            } else {
                self.stop_periodic(&new.name).await;
            }
        }
        if old.dvr_window != new.dvr_window {
            self.open_windows(app).await;
        }
    }

    /// What was set for streams, and the configuration overrules, is set no more.
    async fn forget_overruled(&self, app: &App) {
        for (stream, still) in app.forget_overruled() {
            tracing::info!(
                app = app.name(),
                stream,
                "the configuration overrules what was set"
            );
            let catalog = &*self.inner.shared.catalog;
            let forgotten = change_stream(catalog, app.name(), &stream, |entry| {
                entry.settings = still;
            });
            if let Err(error) = forgotten.await {
                tracing::error!(app = app.name(), stream, %error, "what was set is not forgotten");
            }
        }
    }

    /// Lets what was set for a stream take effect.
    pub async fn set_stream(&self, app: &str, stream: &str, settings: StreamSettings) {
        let Some(app) = self.app(app) else {
            return;
        };
        let before = (app.interval(stream), app.dvr_window(stream));
        app.set(stream, settings);
        let (interval, window) = (app.interval(stream), app.dvr_window(stream));
        if interval != before.0
            && let Some(stream) = app.stream(stream)
        {
            stream.tell(match interval {
                Some(interval) => Command::Record(interval),
                None => Command::StopRecording,
            });
        }
        if window != before.1 {
            self.open_windows(&app).await;
        }
    }

    /// Reads what lies in the DVR windows of an application, as tasks may not wait for the disk.
    async fn open_windows(&self, app: &Arc<App>) {
        let (app, spool) = (Arc::clone(app), Arc::clone(&self.inner.shared.spool));
        let opened = tokio::task::spawn_blocking(move || {
            for stream in app.streams_with_window() {
                spool.dvr().stream(app.name(), &stream);
            }
        });
        if let Err(error) = opened.await {
            tracing::error!(%error, "DVR windows are not read");
        }
    }
}
