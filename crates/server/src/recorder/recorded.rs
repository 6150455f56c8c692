//! Windows of streams that are recorded: their ends are open, or lie ahead. Each becomes a clip when its end has come.
//!
//! What such a window needs stays in the DVR window of its stream, which is there for that even where nobody has
//! configured one: several recordings of a stream share its segments. The catalog knows the window from before the
//! call is answered until its clip is committed, so that a server that was killed goes on where it was.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use clipmill::Cut;
use clipmill::live::Failure;
use tokio::sync::watch;

use super::app::App;
use super::asked::{Asked, Order};
use super::dvr::{Kept, RECOVERY};
use super::make::{Named, rfc3339};
use super::request::{ClipWindow, OnDemandError};
use super::shared::{Shared, lock};
use crate::domain::{ClipKind, RecordedWindow, now_ms};
use crate::spool::Hold;

/// So much before its beginning is kept: pictures may refer to what comes before.
const AHEAD: TimeDelta = TimeDelta::seconds(60);

/// How often it is looked whether an end has come.
const LOOK: Duration = Duration::from_millis(250);

/// How often it is asked where a stream ends that is not live.
const ASK: Duration = Duration::from_secs(1);

/// A recording that is over can be played on for so long by those who play it already.
const LINGER: Duration = Duration::from_secs(120);

/// So much behind its end there must be before a window is cut, as sound comes later than pictures.
const SETTLED_MS: i64 = 500;

/// The windows of an application's streams that are recorded.
#[derive(Debug, Default)]
pub(crate) struct RecordedWindows(Mutex<BTreeMap<String, Arc<Recording>>>);

/// A window that is recorded.
#[derive(Debug)]
pub(crate) struct Recording {
    course: watch::Sender<Course>,
    /// Keeps its segments.
    _hold: Option<Hold>,
}

/// How a recording stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Course {
    pub(crate) window: RecordedWindow,
    /// It is a clip, or nothing came of it.
    pub(crate) over: bool,
    /// It was called off before it began.
    called_off: bool,
}

/// What a recording sees of its stream.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    now_ms: i64,
    /// The live edge, or where the stream ended that is not live.
    edge_ms: Option<i64>,
    live: bool,
    /// How long it has not been live.
    gone_for: Duration,
}

impl RecordedWindows {
    /// Whether any window of a stream is recorded, or was until just now.
    pub(crate) fn has(&self, stream: &str) -> bool {
        let all = lock(&self.0);
        all.values()
            .any(|one| one.course.borrow().window.stream_id == stream)
    }

    /// One by its id.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Recording>> {
        lock(&self.0).get(id).cloned()
    }

    /// Those that are not over.
    pub(crate) fn open(&self) -> Vec<RecordedWindow> {
        let all = lock(&self.0);
        let courses = all.values().map(|one| one.course.borrow().clone());
        let open = courses.filter(|course| !course.over);
        open.map(|course| course.window).collect()
    }

    /// Goes on with what an earlier run began. To be called before the streams are looked after.
    pub(crate) async fn recover(app: &Arc<App>, shared: &Arc<Shared>) {
        let known = shared.catalog.recorded_windows(app.name()).await;
        let known = known.unwrap_or_else(|error| {
            tracing::error!(app = app.name(), %error, "which windows are recorded is not known");
            Vec::new()
        });
        for window in known {
            tracing::info!(
                app = app.name(),
                stream = window.stream_id,
                vod = window.id,
                from = rfc3339(window.from_ms),
                "a recording goes on after a restart"
            );
            Self::begin(window, app, shared).await;
        }
    }

    /// Begins to record a window that the catalog knows.
    pub(crate) async fn begin(window: RecordedWindow, app: &Arc<App>, shared: &Arc<Shared>) {
        let (spool, name) = (Arc::clone(&shared.spool), app.name().to_owned());
        let (stream, from_ms) = (window.stream_id.clone(), window.from_ms);
        let hold = tokio::task::spawn_blocking(move || {
            let window = spool.dvr().stream(&name, &stream);
            let from = DateTime::<Utc>::from_timestamp_millis(from_ms)?;
            let from = from.checked_sub_signed(AHEAD).unwrap_or(from);
            Some(window.pin(from))
        });
        let hold = hold.await.ok().flatten();
        let course = watch::Sender::new(Course {
            window: window.clone(),
            over: false,
            called_off: false,
        });
        let recording = Arc::new(Recording {
            course,
            _hold: hold,
        });
        lock(&app.recorded().0).insert(window.id, Arc::clone(&recording));
        let (app, shared) = (Arc::clone(app), Arc::clone(shared));
        tokio::spawn(recording.run(shared, app));
    }
}

impl Recording {
    /// How it stands, to be followed.
    pub(crate) fn follow(&self) -> watch::Receiver<Course> {
        self.course.subscribe()
    }

    /// Has it end as the catalog has it by now.
    pub(crate) fn end(&self, window: RecordedWindow) {
        self.course.send_modify(|course| {
            course.called_off = window.to_ms.is_some_and(|to| to <= window.from_ms);
            course.window = window;
        });
    }

    /// Lives until its window is a clip, or nothing can come of it.
    async fn run(self: Arc<Self>, shared: Arc<Shared>, app: Arc<App>) {
        let mut course = self.course.subscribe();
        let mut closed = app.closed();
        let begun = Instant::now();
        let mut edge = None;
        let mut gone_since = Instant::now();
        let mut asked = None::<Instant>;
        loop {
            if *closed.borrow_and_update() || shared.is_draining() {
                return;
            }
            let now = course.borrow_and_update().clone();
            let stream = app.stream(&now.window.stream_id);
            let shown = stream.as_ref().map(|stream| stream.shown());
            let shown = shown.unwrap_or_default();
            // Whether it is live is not known yet, or what it had last is being taken in.
            let is_unclear = match stream {
                Some(_) => !shown.is_recovered || shown.is_waiting,
                None => begun.elapsed() < RECOVERY,
            };
            if shown.live || is_unclear {
                gone_since = Instant::now();
            }
            if shown.live {
                edge = shown.edge.map(|(edge, _)| edge).or(edge);
                asked = None;
            } else if asked.is_none_or(|asked| asked.elapsed() > ASK) {
                // Its last segments came when it was live no more, or before a restart.
                edge = last_end(&now.window.stream_id, &shared, &app)
                    .await
                    .or(edge);
                asked = Some(Instant::now());
            }
            let seen = Seen {
                now_ms: now_ms(),
                edge_ms: edge,
                live: shown.live,
                gone_for: gone_since.elapsed(),
            };
            if now.called_off {
                break;
            }
            if let Some(to_ms) = end(&now.window, seen, app.settings().recording_patience) {
                self.cut(to_ms, &shared, &app).await;
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = course.changed() => {}
                _ = closed.changed() => return,
            }
        }
        if shared.is_draining() && !self.course.borrow().called_off {
            return;
        }
        let id = self.course.borrow().window.id.clone();
        // A crash before this finds the clip in the catalog.
        while let Err(error) = shared.catalog.forget_recorded_window(app.name(), &id).await {
            tracing::error!(app = app.name(), vod = id, %error, "a recording that is over is not forgotten");
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        self.course.send_modify(|course| course.over = true);
        tokio::select! {
            () = tokio::time::sleep(LINGER) => {}
            _ = closed.changed() => {}
        }
        lock(&app.recorded().0).remove(&id);
    }

    /// Makes the clip; what fails is tried again.
    async fn cut(&self, to_ms: i64, shared: &Arc<Shared>, app: &Arc<App>) {
        let window = self.course.borrow().window.clone();
        let concern = format!("{}/{}: recording", app.name(), window.stream_id);
        for tries in 1.. {
            let known = shared.catalog.clip(app.name(), &window.id).await;
            if matches!(known, Ok(Some(_))) {
                return;
            }
            if shared.is_draining() {
                return;
            }
            let asked = Asked {
                stream: window.stream_id.clone(),
                window: ClipWindow::Range {
                    from_ms: window.from_ms,
                    to_ms,
                },
                cut: Cut::Exact,
            };
            let order = Order {
                vod_id: Some(window.id.clone()),
                kind: ClipKind::Recording,
                named: Named {
                    title: window.title.clone(),
                    tags: window.tags.clone(),
                },
            };
            let (context, of_app) = (Arc::clone(shared), Arc::clone(app));
            let made = tokio::task::spawn_blocking(move || asked.store(order, &context, &of_app));
            let made = made
                .await
                .unwrap_or_else(|error| Err(OnDemandError::Failed(error.to_string())));
            let failure = match &made {
                Ok(_) => return shared.troubles.clear(&concern),
                Err(OnDemandError::DiskFull) => Failure::NoRoom,
                Err(OnDemandError::Failed(_)) => Failure::Store,
                Err(error) => {
                    tracing::warn!(app = app.name(), stream = window.stream_id, vod = window.id, %error, "nothing was recorded");
                    return shared.troubles.clear(&concern);
                }
            };
            if let Err(error) = &made {
                let is_full = matches!(failure, Failure::NoRoom);
                shared.troubles.set(&concern, is_full, &error.to_string());
            }
            if failure.is_final(tries) {
                tracing::error!(
                    app = app.name(),
                    stream = window.stream_id,
                    vod = window.id,
                    "the recording is given up"
                );
                return shared.troubles.clear(&concern);
            }
            tokio::time::sleep(failure.pause(tries)).await;
        }
    }
}

/// Where what is kept of a stream ends.
async fn last_end(stream: &str, shared: &Arc<Shared>, app: &Arc<App>) -> Option<i64> {
    let (stream, shared, app) = (stream.to_owned(), Arc::clone(shared), Arc::clone(app));
    let ends = tokio::task::spawn_blocking(move || Kept::of(&stream, &shared, &app).end());
    Some(ends.await.ok()??.timestamp_millis())
}

/// Where a window ends, once that can be said and what lies before it has come. A recording whose end is open ends with
/// its stream, unless that comes back within `patience`; one of which nothing has come yet waits for it.
fn end(window: &RecordedWindow, seen: Seen, patience: Duration) -> Option<i64> {
    let reached = |at: i64| seen.edge_ms.is_some_and(|edge| edge >= at);
    match window.to_ms {
        Some(to) if reached(to.saturating_add(SETTLED_MS)) => Some(to),
        // Nothing more comes, as far as can be seen.
        Some(to) if !seen.live && (reached(to) || seen.now_ms >= to) => {
            (seen.gone_for >= Duration::from_secs(1)).then_some(to)
        }
        Some(_) => None,
        None if !seen.live && seen.gone_for >= patience => {
            seen.edge_ms.filter(|edge| *edge > window.from_ms)
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn window(to_ms: Option<i64>) -> RecordedWindow {
        RecordedWindow {
            from_ms: 10_000,
            to_ms,
            ..RecordedWindow::default()
        }
    }

    #[test]
    fn an_end_that_lies_ahead_is_waited_for_until_what_lies_before_it_has_come() {
        let seen = |edge_ms, live, gone| Seen {
            now_ms: 20_000,
            edge_ms: Some(edge_ms),
            live,
            gone_for: Duration::from_secs(gone),
        };
        let ends = |to_ms, seen| end(&window(Some(to_ms)), seen, PATIENCE);
        assert_eq!(ends(30_000, seen(29_000, true, 0)), None);
        assert_eq!(ends(30_000, seen(30_400, true, 0)), None);
        assert_eq!(ends(30_000, seen(30_500, true, 0)), Some(30_000));
        // It is over, and has all of it.
        assert_eq!(ends(30_000, seen(30_000, false, 2)), Some(30_000));
        // It is over, and may come back until then.
        assert_eq!(ends(30_000, seen(25_000, false, 99)), None);
        assert_eq!(ends(19_000, seen(15_000, false, 2)), Some(19_000));
        // Its last segments may be on their way.
        assert_eq!(ends(19_000, seen(15_000, true, 0)), None);
    }

    #[test]
    fn an_open_end_is_that_of_the_stream_unless_it_comes_back() {
        let seen = |edge_ms, live, gone| Seen {
            now_ms: 100_000,
            edge_ms,
            live,
            gone_for: Duration::from_secs(gone),
        };
        let ends = |seen| end(&window(None), seen, PATIENCE);
        assert_eq!(ends(seen(Some(50_000), true, 0)), None);
        assert_eq!(ends(seen(Some(50_000), false, 29)), None);
        assert_eq!(ends(seen(Some(50_000), false, 30)), Some(50_000));
        // Nothing has come yet.
        assert_eq!(ends(seen(None, false, 3600)), None);
        assert_eq!(ends(seen(Some(9_000), false, 3600)), None);
    }
}
