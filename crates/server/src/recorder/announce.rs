//! Announcements: webhooks and the catalog learn that a stream has begun, and that it has ended.

use std::collections::VecDeque;

use super::app::App;
use super::shared::Shared;
use crate::catalog::announce;
use crate::domain::{StreamEntry, StreamStatus, now_ms};
use crate::webhooks;

/// What is still to be announced of a stream.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    /// The entry, still to be stored, of a stream that was over before it was announced.
    to_know: Option<Box<StreamEntry>>,
    /// In this order.
    to_tell: VecDeque<Event>,
    /// After that, it is announced as live.
    pub(crate) told_live: bool,
}

/// What is announced.
#[derive(Debug, Clone)]
enum Event {
    /// It is live, and its playlist lies in this sub-folder.
    Begun(Option<String>),
    /// It is over.
    Ended,
}

impl Announcements {
    /// A session has media.
    pub(crate) fn begun(&mut self, sub_folder: Option<String>) {
        self.told_live = true;
        self.to_tell.push_back(Event::Begun(sub_folder));
    }

    /// A session is over; one without media was never announced.
    pub(crate) fn ended(&mut self, any_media: bool, sub_folder: Option<&str>) {
        if !self.told_live && any_media {
            self.begun(sub_folder.map(str::to_owned));
        }
        if self.told_live {
            self.told_live = false;
            self.to_tell.push_back(Event::Ended);
        }
    }

    /// A stream is over when it is seen for the first time: it can be clipped all the same.
    pub(crate) fn was_over(&mut self, stream: &str, sub_folder: Option<String>) {
        self.ended(false, None);
        self.to_know = Some(Box::new(StreamEntry {
            id: stream.to_owned(),
            status: StreamStatus::Ended,
            known_since_ms: now_ms(),
            sub_folder,
            ..StreamEntry::default()
        }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.to_know.is_none() && self.to_tell.is_empty()
    }

    /// Announces it. What cannot be announced now stays for later.
    pub(crate) async fn tell(&mut self, stream: &str, shared: &Shared, app: &App) {
        let concern = format!("{}/{stream}", app.name());
        let mut told = Ok(());
        if let Some(entry) = &self.to_know {
            let added = shared.catalog.replace_stream(app.name(), None, entry, None);
            told = added.await.map(drop);
            if told.is_ok() {
                self.to_know = None;
            }
        }
        while let (Ok(()), Some(event)) = (&told, self.to_tell.front()) {
            told = match event {
                Event::Begun(sub_folder) => {
                    announce_begin(stream, sub_folder.as_deref(), shared, app).await
                }
                Event::Ended => announce_end(stream, shared, app).await,
            };
            if told.is_ok() {
                self.to_tell.pop_front();
                shared.troubles.clear(&concern);
            }
        }
        if let Err(error) = told {
            let what = error.to_string();
            shared.troubles.set(&concern, false, &what);
        }
    }
}

async fn announce_begin(
    stream: &str,
    sub_folder: Option<&str>,
    shared: &Shared,
    app: &App,
) -> crate::catalog::Result<()> {
    let now = now_ms();
    let settings = app.settings();
    let go_live = |known: Option<StreamEntry>| {
        let mut entry = known.unwrap_or_else(|| StreamEntry {
            id: stream.to_owned(),
            ..StreamEntry::default()
        });
        entry.status = StreamStatus::Live;
        entry.started_ms = now;
        entry.sub_folder = sub_folder.map(str::to_owned);
        if entry.known_since_ms == 0 {
            entry.known_since_ms = now;
        }
        let hook = webhooks::stream_started(&settings, &entry);
        Some((entry, hook))
    };
    announce(&*shared.catalog, app.name(), stream, go_live).await
}

async fn announce_end(stream: &str, shared: &Shared, app: &App) -> crate::catalog::Result<()> {
    let settings = app.settings();
    let finish = |known: Option<StreamEntry>| {
        let mut entry = known?;
        entry.status = StreamStatus::Ended;
        let hook = webhooks::stream_ended(&settings, &entry);
        Some((entry, hook))
    };
    announce(&*shared.catalog, app.name(), stream, finish).await
}
