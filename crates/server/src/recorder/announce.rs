//! Telling the world that a stream has begun, and that it has ended.

use super::app::App;
use super::shared::Shared;
use super::stream::{State, Stream};
use crate::model::{Broadcast, BroadcastStatus, now_ms};
use crate::webhooks;

impl Stream {
    /// Tells the world of beginnings and ends. What cannot be told now is told later.
    pub(crate) fn announce(&self, state: &mut State, shared: &Shared, app: &App) {
        if state.to_announce_end {
            if let Err(error) = self.announce_end(shared, app) {
                shared
                    .troubles
                    .set(&self.whom(app), false, &error.to_string());
                return;
            }
            state.to_announce_end = false;
            state.told_live = false;
            shared.troubles.clear(&self.whom(app));
        }
        if let Some(broadcast) = &state.to_know {
            match shared.catalog.create_broadcast(app.name(), broadcast) {
                Ok(_) => state.to_know = None,
                Err(error) => {
                    let what = error.to_string();
                    return shared.troubles.set(&self.whom(app), false, &what);
                }
            }
        }
        let Some(session) = &mut state.session else {
            return;
        };
        // Before there is any media there is nothing to tell of.
        if session.announced || session.tracker.next().is_none() {
            return;
        }
        match self.announce_begin(session.sub_folder.as_deref(), shared, app) {
            Ok(()) => {
                session.announced = true;
                state.told_live = true;
                shared.troubles.clear(&self.whom(app));
            }
            Err(error) => shared
                .troubles
                .set(&self.whom(app), false, &error.to_string()),
        }
    }

    fn announce_begin(
        &self,
        sub_folder: Option<&str>,
        shared: &Shared,
        app: &App,
    ) -> crate::catalog::Result<()> {
        let now = now_ms();
        let settings = app.settings();
        let go_live = |known: Option<Broadcast>| {
            let mut broadcast = known.unwrap_or_else(|| Broadcast {
                stream_id: self.id.clone(),
                ..Broadcast::default()
            });
            broadcast.status = BroadcastStatus::Broadcasting;
            broadcast.start_time = now;
            broadcast.sub_folder = sub_folder.map(str::to_owned);
            if broadcast.date == 0 {
                broadcast.date = now;
            }
            let hook = webhooks::stream_started(&settings, &broadcast);
            Some((broadcast, hook))
        };
        shared.catalog.announce(app.name(), &self.id, &go_live)
    }

    fn announce_end(&self, shared: &Shared, app: &App) -> crate::catalog::Result<()> {
        let settings = app.settings();
        let finish = |known: Option<Broadcast>| {
            let mut broadcast = known?;
            broadcast.status = BroadcastStatus::Finished;
            let hook = webhooks::stream_ended(&settings, &broadcast);
            Some((broadcast, hook))
        };
        shared.catalog.announce(app.name(), &self.id, &finish)
    }
}
