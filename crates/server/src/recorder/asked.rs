//! Clips that somebody asks for. They move no boundary.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use clipmill::{Bounds, Clip, Cut, Ticks, Timeline};
use tokio::sync::oneshot;

use super::app::App;
use super::boundary::{self, time_ms};
use super::history::{Dated, Span};
use super::line::Snapshot;
use super::listing::read_media;
use super::make::{Recipe, make};
use super::request::{ClipWindow, MadeClip, OnDemandError};
use super::session::{Recording, Session, ticks};
use super::shared::{MakeError, Shared, lock};
use crate::catalog::Boundary;
use crate::storage;

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) stream: String,
    pub(crate) window: ClipWindow,
    pub(crate) cut: Cut,
    pub(crate) return_file: bool,
}

/// Where the clip is cut from.
struct Found {
    snapshot: Snapshot,
    bounds: Bounds,
    sub_folder: Option<String>,
    /// The window, in milliseconds since 1970, for the message when there is nothing in it.
    shown: (i64, i64),
}

impl Asked {
    /// Makes the clip and answers: when its bytes are asked for, as soon as the first can come.
    pub(crate) fn make(
        self,
        shared: &Arc<Shared>,
        app: &Arc<App>,
        answer: oneshot::Sender<Result<MadeClip, OnDemandError>>,
    ) {
        let _counted = shared.count_making();
        let mut answer = Some(answer);
        let made = self.try_make(shared, app, &mut answer);
        // Whoever asked may have gone; the clip is kept all the same.
        if let Some(answer) = answer.take() {
            let _ = answer.send(made);
        }
    }

    fn try_make(
        &self,
        shared: &Arc<Shared>,
        app: &Arc<App>,
        answer: &mut Option<oneshot::Sender<Result<MadeClip, OnDemandError>>>,
    ) -> Result<MadeClip, OnDemandError> {
        let known = shared.catalog.broadcast(app.name(), &self.stream);
        if known
            .map_err(|error| OnDemandError::Failed(error.to_string()))?
            .is_none()
        {
            return Err(OnDemandError::NoBroadcast(self.stream.clone()));
        }
        let boundary = shared.catalog.boundary(app.name(), &self.stream);
        let boundary = boundary.map_err(|error| OnDemandError::Failed(error.to_string()))?;
        let found = self.find(boundary.as_ref(), app)?;
        let nothing = || OnDemandError::NoSegment {
            stream: self.stream.clone(),
            from_ms: found.shown.0,
            to_ms: found.shown.1,
        };
        let backwards =
            matches!((found.bounds.from, found.bounds.to), (Some(a), Some(b)) if a >= b);
        let clip = Clip::new(&found.snapshot.timeline, found.bounds, self.cut)
            .filter(|_| !backwards)
            .ok_or_else(nothing)?;
        let recipe = Recipe {
            stream: &self.stream,
            sub_folder: found.sub_folder.as_deref(),
            clip,
            boundary: None,
            hole: None,
            complete: Instant::now(),
        };
        let made = make(shared, app, recipe, |vod, len| {
            if !self.return_file {
                return None;
            }
            let (sender, body) = storage::body(len);
            let early = MadeClip {
                vod: vod.clone(),
                body: Some(body),
            };
            let answer = answer.take()?;
            answer.send(Ok(early)).is_ok().then_some(sender)
        });
        match made {
            Ok(vod) => Ok(MadeClip { vod, body: None }),
            Err(MakeError::DiskFull) => Err(OnDemandError::DiskFull),
            Err(error) => Err(OnDemandError::Failed(error.to_string())),
        }
    }

    fn find(&self, written: Option<&Boundary>, app: &App) -> Result<Found, OnDemandError> {
        let stream = app.stream(&self.stream);
        let live = stream.as_ref().and_then(|stream| {
            let state = lock(&stream.state);
            let session = state.session.as_ref().or(state.closing.last())?;
            let live = state.session.is_some() && !session.has_sound_beside();
            let edge = session.tracker.next().filter(|_| live);
            let found = self.on_line(session);
            Some((found?, edge.map(|next| (session.playlist.clone(), next))))
        });
        let live = live.map(|(found, edge)| match edge {
            Some((playlist, next)) => found.up_to_the_edge(&playlist, &app.root(), next),
            None => found,
        });
        match live {
            Some(OnLine::Whole(found)) => Ok(*found),
            Some(OnLine::InPart(found)) => {
                let edge = found.snapshot.timeline.end();
                let edge = edge.and_then(|edge| found.snapshot.timeline.time_at(edge));
                let begin = begin(&found.snapshot.timeline);
                let listed = self.in_history(app, None, edge, begin);
                Ok(listed.unwrap_or(*found))
            }
            None => self.in_history(app, written, None, None),
        }
    }

    /// Looks for the window in what is recorded.
    fn on_line(&self, session: &Session) -> Option<OnLine> {
        let timeline = session.line.timeline();
        let end = timeline.end()?;
        let ms = |ticks: Ticks| time_ms(timeline, ticks);
        let (bounds, shown) = match self.window {
            ClipWindow::SinceBoundary => {
                let boundary = match &session.recording {
                    Recording::On(mark) => Some(mark.ticks),
                    // After a restart, until the first step towards the next clip is done.
                    Recording::Resuming(left_off) => {
                        boundary::find(timeline, left_off).map(|(mark, _)| mark.ticks)
                    }
                    Recording::Off | Recording::Waiting(_) => None,
                };
                let boundary = boundary.filter(|_| session.has_clips);
                let from = boundary.unwrap_or(end - ticks(session.interval));
                let bounds = Bounds {
                    from: Some(from),
                    to: None,
                };
                (bounds, (ms(from)?, ms(end)?))
            }
            ClipWindow::Range { from_ms, to_ms } => {
                let place = |ms| timeline.at_time(DateTime::<Utc>::from_timestamp_millis(ms)?);
                let bounds = Bounds {
                    from: Some(place(from_ms)?),
                    to: Some(place(to_ms)?),
                };
                (bounds, (from_ms, to_ms))
            }
        };
        let found = Box::new(Found {
            snapshot: session.line.snapshot(),
            bounds,
            sub_folder: session.sub_folder.clone(),
            shown,
        });
        let earlier = match self.window {
            ClipWindow::SinceBoundary => false,
            ClipWindow::Range { from_ms, .. } => {
                begin(timeline).is_none_or(|begin| begin.timestamp_millis() > from_ms)
            }
        };
        Some(if earlier {
            OnLine::InPart(found)
        } else {
            OnLine::Whole(found)
        })
    }

    /// Looks for the window in what the playlist lists. `written` is where the last periodic clip
    /// ended, for those who ask before what an earlier run left has been found. `recorded` is from
    /// where on there is no need to.
    fn in_history(
        &self,
        app: &App,
        written: Option<&Boundary>,
        live_edge: Option<DateTime<Utc>>,
        recorded: Option<DateTime<Utc>>,
    ) -> Result<Found, OnDemandError> {
        let serving = {
            let playlists = app.playlists();
            match playlists.serving(&self.stream, None) {
                Some(serving) => serving,
                None if playlists.has_any(&self.stream) => {
                    return Err(OnDemandError::NoHlsPlaylist(self.stream.clone()));
                }
                None => return Err(OnDemandError::NoPlaylist(self.stream.clone())),
            }
        };
        let Some((playlist, modified)) = read_media(&serving.path) else {
            return Err(OnDemandError::NoHlsPlaylist(self.stream.clone()));
        };
        let dated = Dated::new(playlist, modified, live_edge);
        let nothing = |from_ms, to_ms| OnDemandError::NoSegment {
            stream: self.stream.clone(),
            from_ms,
            to_ms,
        };
        let (Some(first), Some(last)) = (dated.begin(), dated.end()) else {
            let (from_ms, to_ms) = match self.window {
                ClipWindow::Range { from_ms, to_ms } => (from_ms, to_ms),
                ClipWindow::SinceBoundary => (0, crate::model::now_ms()),
            };
            return Err(nothing(from_ms, to_ms));
        };
        let (from_ms, to_ms) = match self.window {
            ClipWindow::Range { from_ms, to_ms } => (from_ms, to_ms),
            ClipWindow::SinceBoundary => {
                let interval = app.usual_interval();
                let from = last - TimeDelta::from_std(interval).unwrap_or_default();
                let listed = first.timestamp_millis()..last.timestamp_millis();
                let boundary = written
                    .filter(|boundary| boundary.ordinal > 0 && !boundary.finished)
                    .and_then(|boundary| boundary.cut_ms)
                    .filter(|cut_ms| listed.contains(cut_ms));
                (boundary.unwrap_or(from.timestamp_millis()), listed.end)
            }
        };
        let instant = |ms| DateTime::<Utc>::from_timestamp_millis(ms);
        let outside = to_ms <= first.timestamp_millis() || from_ms >= last.timestamp_millis();
        let no_better = recorded.is_some_and(|recorded| recorded <= first);
        if outside || no_better {
            return Err(nothing(from_ms, to_ms));
        }
        let span = Span {
            from: instant(from_ms),
            to: instant(to_ms),
        };
        let snapshot = dated.read(&serving, &app.root(), span);
        let place = |time: Option<DateTime<Utc>>| snapshot.timeline.at_time(time?);
        let bounds = Bounds {
            from: place(span.from),
            to: place(span.to),
        };
        Ok(Found {
            bounds,
            snapshot,
            sub_folder: serving.sub_folder,
            shown: (from_ms, to_ms),
        })
    }
}

/// How much of a window is recorded.
enum OnLine {
    Whole(Box<Found>),
    /// It begins before what is recorded does.
    InPart(Box<Found>),
}

impl OnLine {
    /// The same with what has come of the segment that is being written.
    fn up_to_the_edge(self, playlist: &Path, root: &Path, next: u64) -> Self {
        let extended = |found: Box<Found>| {
            let snapshot = found.snapshot.with_parts(playlist, root, next);
            Box::new(Found { snapshot, ..*found })
        };
        match self {
            Self::Whole(found) => Self::Whole(extended(found)),
            Self::InPart(found) => Self::InPart(extended(found)),
        }
    }
}

fn begin(timeline: &Timeline) -> Option<DateTime<Utc>> {
    let first = timeline
        .segments()
        .iter()
        .find_map(|segment| segment.first_presented)?;
    timeline.time_at(first)
}

/// How long somebody may have to wait for a worker before being told that it takes too long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
