//! Telling the world that a stream has begun, and that it has ended.

use super::app::App;
use super::shared::Shared;
use super::stream::{News, State, Stream};
use crate::model::{Broadcast, BroadcastStatus, now_ms};
use crate::webhooks;

impl Stream {
    /// Tells the world of beginnings and ends. What cannot be told now is told later.
    pub(crate) fn announce(&self, state: &mut State, shared: &Shared, app: &App) {
        if let Some(session) = &mut state.session
            && !session.announced
            // Before there is any media there is nothing to tell of.
            && session.seen_any
        {
            session.announced = true;
            let sub_folder = session.sub_folder.clone();
            state.tell(News::Begun(sub_folder));
        }
        let mut told = Ok(());
        if let Some(broadcast) = &state.to_know {
            told = shared
                .catalog
                .create_broadcast(app.name(), broadcast)
                .map(drop);
            if told.is_ok() {
                state.to_know = None;
            }
        }
        while let (Ok(()), Some(news)) = (&told, state.to_tell.front()) {
            told = match news {
                News::Begun(sub_folder) => self.announce_begin(sub_folder.as_deref(), shared, app),
                News::Ended => self.announce_end(shared, app),
            };
            if told.is_ok() {
                state.to_tell.pop_front();
                shared.troubles.clear(&self.whom(app));
            }
        }
        if let Err(error) = told {
            let what = error.to_string();
            shared.troubles.set(&self.whom(app), false, &what);
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
