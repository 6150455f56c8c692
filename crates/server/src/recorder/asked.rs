//! Clips that somebody asks for. They move no boundary.
//!
//! What a window lacks is said: inside the clip its own gaps tell, at its edges the window does. What
//! is listed and merely late is waited for, as long as `segment_patience` says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use clipmill::{Bounds, Clip, Cut, Ticks, Timeline, duration_ticks};
use clipmill_playlist::MediaPlaylist;
use tokio::sync::oneshot;

use super::app::App;
use super::dvr::Kept;
use super::history::{Dated, Span, has_parts};
use super::make::{Named, Recipe, make, rfc3339};
use super::media::{Files, Snapshot, time_ms};
use super::request::{ClipWindow, MadeClip, OnDemandError};
use super::session::Session;
use super::shared::{MakeError, Shared};
use super::stream::Stream;
use crate::catalog::Boundary;
use crate::domain::{ClipEntry, ClipKind, Gap, StreamEntry};
use crate::sources::file_of;
use crate::sources::listing::read_media;
use crate::sources::on_disk::OnDisk;
use crate::storage;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) stream: String,
    pub(crate) window: ClipWindow,
    pub(crate) cut: Cut,
}

/// A clip as it would be if it were made now.
pub(crate) struct Planned {
    pub(crate) clip: Clip,
    /// What it is read from.
    pub(crate) files: Files,
    pub(crate) stream_entry: StreamEntry,
    pub(crate) sub_folder: Option<String>,
    /// Whether nothing that belongs to it can still come.
    pub(crate) settled: bool,
    /// What the window has no media for at its edges.
    pub(crate) missing: Vec<Gap>,
    /// The window, in milliseconds since 1970, where it was named.
    pub(crate) window: Option<(i64, i64)>,
}

/// Where the clip is cut from.
struct Found {
    /// `None` when there is nothing in the window.
    clip: Option<(Files, Clip)>,
    /// What the window has no media for at its edges.
    missing: Vec<Gap>,
    sub_folder: Option<String>,
    /// The window, in milliseconds since 1970, for the message when there is nothing in it.
    shown: (i64, i64),
    settled: bool,
    /// Why there is no clip, where that is known.
    why: Option<String>,
}

/// As what a clip that was asked for is stored.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// What it is called; a new name where nobody knows one yet.
    pub(crate) vod_id: Option<String>,
    pub(crate) kind: ClipKind,
    pub(crate) named: Named,
}

/// An answer that somebody waits for.
type Answer = oneshot::Sender<Result<MadeClip, OnDemandError>>;

impl Asked {
    /// Makes the clip and answers: when its bytes are asked for, as soon as the first can come.
    pub(crate) fn make(
        self,
        order: Order,
        return_file: bool,
        shared: &Arc<Shared>,
        app: &Arc<App>,
        answer: Answer,
    ) {
        let _counted = shared.count_making();
        let mut answer = Some(answer);
        let made = self.try_make(order, return_file, shared, app, &mut answer);
        // Whoever asked may have gone; the clip is kept all the same.
        if let Some(answer) = answer.take() {
            let _ = answer.send(made);
        }
    }

    /// Makes the clip of a recording.
    pub(crate) fn store(
        &self,
        order: Order,
        shared: &Arc<Shared>,
        app: &Arc<App>,
    ) -> Result<ClipEntry, OnDemandError> {
        let _counted = shared.count_making();
        let made = self.try_make(order, false, shared, app, &mut None)?;
        Ok(made.entry)
    }

    fn try_make(
        &self,
        order: Order,
        return_file: bool,
        shared: &Arc<Shared>,
        app: &Arc<App>,
        answer: &mut Option<Answer>,
    ) -> Result<MadeClip, OnDemandError> {
        let planned = self.plan(shared, app)?;
        let _kept = planned.files;
        // A recording is played before it is known where its stream lies.
        let sub_folder = match order.kind {
            ClipKind::Recording => None,
            _ => planned.sub_folder.as_deref(),
        };
        let recipe = Recipe {
            stream: &self.stream,
            sub_folder,
            clip: planned.clip,
            vod_id: order.vod_id,
            kind: order.kind,
            named: order.named,
            boundary: None,
            missing: planned.missing,
            joined: Vec::new(),
            from_the_start: false,
            window: planned.window,
            complete: Instant::now(),
            growing: None,
        };
        let made = make(shared, app, recipe, |entry, len| {
            if !return_file {
                return None;
            }
            let (sender, body) = storage::body(len);
            let early = MadeClip {
                entry: entry.clone(),
                body: Some(body),
            };
            let answer = answer.take()?;
            answer.send(Ok(early)).is_ok().then_some(sender)
        });
        match made {
            Ok(entry) => Ok(MadeClip { entry, body: None }),
            Err(MakeError::DiskFull) => Err(OnDemandError::DiskFull),
            Err(error) => Err(OnDemandError::Failed(error.to_string())),
        }
    }

    /// Finds the media of the window, and chooses the samples.
    pub(crate) fn plan(&self, shared: &Shared, app: &App) -> Result<Planned, OnDemandError> {
        let known = shared.wait(shared.catalog.stream(app.name(), &self.stream));
        let known = known.map_err(|error| OnDemandError::Failed(error.to_string()))?;
        let stream_entry = match known {
            Some(entry) => entry,
            // What lies on the disk can be had after its entry was deleted.
            None if self.window == ClipWindow::Listed => StreamEntry {
                id: self.stream.clone(),
                ..StreamEntry::default()
            },
            None => return Err(OnDemandError::NoBroadcast(self.stream.clone())),
        };
        self.wait_for_late_segments(shared, app);
        let boundary = shared.wait(shared.catalog.boundary(app.name(), &self.stream));
        let boundary = boundary.map_err(|error| OnDemandError::Failed(error.to_string()))?;
        let found = self.find(boundary.as_ref(), shared, app);
        let found = found.map_err(|error| self.explained(error, app))?;
        let Some((files, clip)) = found.clip else {
            let error = OnDemandError::NoSegment {
                stream: self.stream.clone(),
                from_ms: found.shown.0,
                to_ms: found.shown.1,
                why: found.why,
            };
            return Err(self.explained(error, app));
        };
        Ok(Planned {
            clip,
            files,
            stream_entry,
            sub_folder: found.sub_folder,
            settled: found.settled,
            missing: found.missing,
            window: Some(found.shown).filter(|_| self.window != ClipWindow::SinceBoundary),
        })
    }

    /// The same with what is known of why, which the log is told as well.
    fn explained(&self, error: OnDemandError, app: &App) -> OnDemandError {
        let OnDemandError::NoSegment {
            stream,
            from_ms,
            to_ms,
            why,
        } = error
        else {
            return error;
        };
        let why = why.or_else(|| {
            let stream = app.stream(&stream)?;
            stream.ask(|state| state.latest()?.why_nothing()).flatten()
        });
        tracing::info!(
            app = app.name(),
            stream,
            from = rfc3339(from_ms),
            to = rfc3339(to_ms),
            reason = why,
            "there is no media in the window that was asked for"
        );
        OnDemandError::NoSegment {
            stream,
            from_ms,
            to_ms,
            why,
        }
    }

    /// Waits until the segments are taken in that are listed already, if the window reaches behind
    /// what is recorded.
    fn wait_for_late_segments(&self, shared: &Shared, app: &App) {
        let ClipWindow::Range { to_ms, .. } = self.window else {
            return;
        };
        let Some(stream) = app.stream(&self.stream) else {
            return;
        };
        let patience = app.settings().segment_patience;
        let mut shown = stream.follow();
        let taken_in = shown.wait_for(|shown| {
            let reached = shown.edge.is_some_and(|(edge, _)| edge >= to_ms);
            !shown.is_waiting || reached
        });
        let waited = async { tokio::time::timeout(patience, taken_in).await.is_ok() };
        shared.wait(waited);
    }

    fn find(
        &self,
        written: Option<&Boundary>,
        shared: &Shared,
        app: &App,
    ) -> Result<Found, OnDemandError> {
        if self.window == ClipWindow::Listed {
            return self.in_history(shared, app, None, None, None);
        }
        let stream = app.stream(&self.stream);
        let live = stream.as_ref().and_then(|stream| self.on_line(stream));
        let live = live.map(|(placed, snapshot)| {
            if placed.begins_earlier() {
                snapshot.share(&shared.indexes);
            }
            let snapshot = match &placed.open {
                Some((playlist, next)) if has_parts(playlist, *next) => {
                    snapshot.with_parts(playlist, *next, app)
                }
                _ => snapshot,
            };
            let clip = self.choose(&snapshot.timeline, placed.bounds);
            let clip = clip.map(|clip| (snapshot.files(&clip), clip));
            let missing = self.missing(&snapshot.timeline, placed.shown);
            placed.found(clip, missing)
        });
        match live {
            Some(OnLine::Whole(found)) => Ok(*found),
            Some(OnLine::InPart { found, begin, edge }) => {
                let kept = self.in_dvr_window(shared, app);
                // Whichever reaches further back.
                let begin = kept.as_ref().and_then(|kept| kept.begin).or(begin);
                let listed = self.in_history(shared, app, None, edge, begin);
                Ok(listed.unwrap_or_else(|_| kept.map_or(*found, |kept| kept.found)))
            }
            None => {
                let kept = self.in_dvr_window(shared, app);
                let begin = kept.as_ref().and_then(|kept| kept.begin);
                let listed = self.in_history(shared, app, written, None, begin);
                match (listed, kept) {
                    (Err(_), Some(kept)) => Ok(kept.found),
                    (listed, _) => listed,
                }
            }
        }
    }

    /// Looks for the window in the DVR window, and what is recorded behind that.
    fn in_dvr_window(&self, shared: &Shared, app: &App) -> Option<InDvrWindow> {
        app.dvr_window(&self.stream)?;
        let kept = Kept::of(&self.stream, shared, app);
        let (begin, edge) = kept.reach()?;
        let (from_ms, to_ms) = self.window.range(edge.timestamp_millis())?;
        let instant = |ms| DateTime::<Utc>::from_timestamp_millis(ms);
        let span = Span {
            from: instant(from_ms),
            to: instant(to_ms),
        };
        let snapshot = kept.gather(span, shared)?;
        let timeline = &snapshot.timeline;
        let place = |time: Option<DateTime<Utc>>| timeline.at_time(time?);
        let bounds = Bounds {
            from: Some(place(span.from)?),
            to: Some(place(span.to)?),
        };
        let clip = self.choose(timeline, bounds);
        let clip = clip.map(|clip| (snapshot.files(&clip), clip));
        let complete = timeline.complete_until();
        let settled = bounds.to.zip(complete);
        let found = Found {
            clip,
            missing: self.missing(timeline, (from_ms, to_ms)),
            sub_folder: kept.sub_folder(),
            shown: (from_ms, to_ms),
            settled: settled.is_some_and(|(to, complete)| complete >= to.saturating_add(SETTLED)),
            why: snapshot.lost,
        };
        let begin = Some(begin);
        Some(InDvrWindow { found, begin })
    }

    /// Chooses the samples of a window.
    fn choose(&self, timeline: &Timeline, bounds: Bounds) -> Option<Clip> {
        let backwards = matches!((bounds.from, bounds.to), (Some(a), Some(b)) if a >= b);
        let clip = Clip::new(timeline, bounds, self.cut);
        clip.filter(|_| !backwards)
    }

    /// Where the window lies in what is recorded, and that.
    fn on_line(&self, stream: &Stream) -> Option<(Placed, Snapshot)> {
        let asked = self.clone();
        let found = stream.ask(move |state| {
            let session = state.latest()?;
            let mut placed = asked.place(session)?;
            let live = state.session.is_some() && !session.sound_beside;
            let next = session.next_listed.filter(|_| live && !placed.settled);
            let playlist = file_of(&session.playlist).map(Path::to_owned);
            placed.open = playlist.zip(next);
            Some((placed, session.media.snapshot()))
        });
        found.flatten()
    }

    /// What a window has no media for at its edges.
    fn missing(&self, timeline: &Timeline, (from_ms, to_ms): (i64, i64)) -> Vec<Gap> {
        if self.window == ClipWindow::SinceBoundary {
            return Vec::new();
        }
        let place = |ms| timeline.at_time(DateTime::<Utc>::from_timestamp_millis(ms)?);
        let edges = place(from_ms).zip(place(to_ms)).map(|(from, to)| {
            let (begin, end) = (media_from(timeline, from), media_until(timeline, to));
            let first = begin
                .filter(|begin| *begin < to)
                .map(|begin| (from_ms, begin));
            let last = end.filter(|end| *end > from).map(|end| (end, to_ms));
            (first, last)
        });
        let (first, last) = edges.unwrap_or_default();
        let first = first.and_then(|(from_ms, begin)| Some((from_ms, time_ms(timeline, begin)?)));
        let last = last.and_then(|(end, to_ms)| Some((time_ms(timeline, end)?, to_ms)));
        let gaps = [(first, "no media before"), (last, "no media after")];
        let gaps = gaps.into_iter().filter_map(|(gap, reason)| {
            let (from, to) = gap.filter(|(from, to)| to - from > SHORT_MS)?;
            Some(Gap {
                from_ms: Some(from),
                to_ms: Some(to),
                reason: reason.to_owned(),
            })
        });
        gaps.collect()
    }

    /// Looks for the window in what is recorded.
    fn place(&self, session: &Session) -> Option<Placed> {
        let timeline = session.media.timeline();
        let end = timeline.end()?;
        let ms = |ticks: Ticks| time_ms(timeline, ticks);
        let (bounds, shown) = match self.window {
            ClipWindow::SinceBoundary => {
                let boundary = session.clips.last_boundary(timeline);
                let from = boundary.map_or(end - duration_ticks(session.clips.interval()), |at| {
                    at.ticks
                });
                let bounds = Bounds {
                    from: Some(from),
                    to: None,
                };
                (bounds, (ms(from)?, ms(end)?))
            }
            ClipWindow::Range { .. } | ClipWindow::Last(_) | ClipWindow::Listed => {
                let (from_ms, to_ms) = self.window.range(ms(end)?)?;
                let place = |ms| timeline.at_time(DateTime::<Utc>::from_timestamp_millis(ms)?);
                let bounds = Bounds {
                    from: Some(place(from_ms)?),
                    to: Some(place(to_ms)?),
                };
                (bounds, (from_ms, to_ms))
            }
        };
        let settled = bounds.to.is_some_and(|to| {
            let complete = timeline.complete_until();
            complete.is_some_and(|complete| complete >= to.saturating_add(SETTLED))
        });
        Some(Placed {
            bounds,
            shown,
            sub_folder: session.sub_folder.clone(),
            settled,
            begin: begin(timeline),
            edge: timeline.time_at(end),
            any_begin: self.window == ClipWindow::SinceBoundary,
            open: None,
        })
    }

    /// When the segments begin that were recorded, where the playlist does not say it: an instant has one
    /// date, whoever asks for it.
    pub(crate) fn known_dates(
        stream: &str,
        listed: &MediaPlaylist,
        playlist: &Path,
        app: &App,
    ) -> Vec<Option<DateTime<Utc>>> {
        let stream = app.stream(stream);
        let Some(stream) = stream.filter(|_| !listed.has_dates()) else {
            return Vec::new();
        };
        let (root, playlist) = (app.root(), playlist.to_owned());
        let segments = listed.segments.clone();
        let dates = stream.ask_intake(move |intake| {
            let mut files = OnDisk {
                playlist: &playlist,
                root,
            };
            let taken = intake.continuity.taken();
            taken.dates(&segments, &mut files)
        });
        dates.unwrap_or_default()
    }

    /// Looks for the window in what the playlist lists. `written` is where the last periodic clip
    /// ended, for those who ask before what an earlier run left has been found. `recorded` is from
    /// where on there is no need to.
    fn in_history(
        &self,
        shared: &Shared,
        app: &App,
        written: Option<&Boundary>,
        live_edge: Option<DateTime<Utc>>,
        recorded: Option<DateTime<Utc>>,
    ) -> Result<Found, OnDemandError> {
        let nothing = |from_ms, to_ms, why| OnDemandError::NoSegment {
            stream: self.stream.clone(),
            from_ms,
            to_ms,
            why,
        };
        let nothing_at_all = || {
            let now = crate::domain::now_ms();
            let interval =
                i64::try_from(app.usual_interval(&self.stream).as_millis()).unwrap_or(i64::MAX);
            let window = self.window.range(now);
            let (from_ms, to_ms) = window.unwrap_or((now.saturating_sub(interval), now));
            let why = "its playlist lists no segment".to_owned();
            nothing(from_ms, to_ms, Some(why))
        };
        let serving = {
            let playlists = app.playlists();
            match playlists.serving(&self.stream, None) {
                Some(serving) => serving,
                None if playlists.lists_nothing(&self.stream) => return Err(nothing_at_all()),
                None if playlists.has_any(&self.stream) => {
                    return Err(OnDemandError::NoHlsPlaylist(self.stream.clone()));
                }
                None => return Err(OnDemandError::NoPlaylist(self.stream.clone())),
            }
        };
        let read = serving
            .file()
            .and_then(|path| Some((path, read_media(path)?)));
        let Some((path, (playlist, modified))) = read else {
            return Err(OnDemandError::NoHlsPlaylist(self.stream.clone()));
        };
        let ended = playlist.ended;
        let known = Self::known_dates(&self.stream, &playlist, path, app);
        let dated = Dated::new(playlist, modified, live_edge, &known);
        let (Some(first), Some(last)) = (dated.begin(), dated.end()) else {
            return Err(nothing_at_all());
        };
        let last_ms = last.timestamp_millis();
        let all = || (first.timestamp_millis(), last_ms);
        let listed = (self.window == ClipWindow::Listed).then(all);
        let (from_ms, to_ms) = self.window.range(last_ms).or(listed).unwrap_or_else(|| {
            let interval =
                TimeDelta::from_std(app.usual_interval(&self.stream)).unwrap_or_default();
            let listed = first.timestamp_millis()..last_ms;
            let boundary = written
                .filter(|boundary| boundary.ordinal > 0 && !boundary.finished)
                .and_then(|boundary| boundary.cut_ms)
                .filter(|cut_ms| listed.contains(cut_ms));
            let from = boundary.unwrap_or((last - interval).timestamp_millis());
            (from, last_ms)
        });
        let instant = |ms| DateTime::<Utc>::from_timestamp_millis(ms);
        let outside = to_ms <= first.timestamp_millis() || from_ms >= last_ms;
        let no_better = recorded.is_some_and(|recorded| recorded <= first);
        if outside {
            let listed = (rfc3339(first.timestamp_millis()), rfc3339(last_ms));
            let why = format!("its playlist lists media from {} to {}", listed.0, listed.1);
            return Err(nothing(from_ms, to_ms, Some(why)));
        }
        if no_better {
            return Err(nothing(from_ms, to_ms, None));
        }
        let span = Span {
            from: instant(from_ms),
            to: instant(to_ms),
        };
        // Its first and its last moments, which may lie outside what its dates say.
        let span = if listed.is_some() {
            Span::default()
        } else {
            span
        };
        let snapshot = dated.read(&serving, span, &shared.indexes, app);
        let timeline = &snapshot.timeline;
        let place = |time: Option<DateTime<Utc>>| timeline.at_time(time?);
        let bounds = Bounds {
            from: place(span.from),
            to: place(span.to),
        };
        let clip = self.choose(timeline, bounds);
        let clip = clip.map(|clip| (snapshot.files(&clip), clip));
        Ok(Found {
            clip,
            missing: self.missing(timeline, (from_ms, to_ms)),
            sub_folder: serving.sub_folder,
            shown: (from_ms, to_ms),
            settled: ended || to_ms < last_ms,
            why: snapshot.lost,
        })
    }
}

/// A window in the DVR window.
struct InDvrWindow {
    found: Found,
    /// Of the DVR window.
    begin: Option<DateTime<Utc>>,
}

/// Where a window lies in what is recorded.
struct Placed {
    bounds: Bounds,
    shown: (i64, i64),
    sub_folder: Option<String>,
    settled: bool,
    /// Of what is recorded.
    begin: Option<DateTime<Utc>>,
    edge: Option<DateTime<Utc>>,
    /// It may begin where it likes.
    any_begin: bool,
    /// The playlist and the number of the segment that is being written, where the window may reach it.
    open: Option<(PathBuf, u64)>,
}

impl Placed {
    /// Whether the window begins before what is recorded does, and would rather not.
    fn begins_earlier(&self) -> bool {
        let recorded = self.begin.map(|begin| begin.timestamp_millis());
        !self.any_begin && recorded.is_none_or(|begin| begin > self.shown.0)
    }

    fn found(self, clip: Option<(Files, Clip)>, missing: Vec<Gap>) -> OnLine {
        let (begin, earlier) = (self.begin, self.begins_earlier());
        let found = Box::new(Found {
            clip,
            missing,
            sub_folder: self.sub_folder,
            shown: self.shown,
            settled: self.settled,
            why: None,
        });
        if earlier {
            OnLine::InPart {
                found,
                begin,
                edge: self.edge,
            }
        } else {
            OnLine::Whole(found)
        }
    }
}

/// How much of a window is recorded.
enum OnLine {
    Whole(Box<Found>),
    /// It begins before what is recorded does.
    InPart {
        found: Box<Found>,
        begin: Option<DateTime<Utc>>,
        edge: Option<DateTime<Utc>>,
    },
}

fn begin(timeline: &Timeline) -> Option<DateTime<Utc>> {
    let first = timeline
        .segments()
        .iter()
        .find_map(|segment| segment.first_presented)?;
    timeline.time_at(first)
}

/// The first media at or after an instant: where the hole ends that it lies in, if it lies in one.
fn media_from(timeline: &Timeline, instant: Ticks) -> Option<Ticks> {
    if media_until(timeline, instant).is_some_and(|until| until >= instant) {
        return Some(instant);
    }
    let mut begins = timeline.segments().iter().filter_map(|s| s.first_presented);
    begins.find(|begin| *begin > instant)
}

/// The last media at or before an instant: where the hole begins that it lies in, if it lies in one.
fn media_until(timeline: &Timeline, instant: Ticks) -> Option<Ticks> {
    let mut ends = None;
    for segment in timeline.segments() {
        let Some(begin) = segment.first_presented else {
            continue;
        };
        let before = begin - segment.info.missing_before;
        if begin > instant {
            return ends.map(|_| before.min(instant));
        }
        ends = Some(begin);
    }
    ends.and(timeline.end()).map(|end| end.min(instant))
}

/// Less than this at the edge of a window is the length of a frame, in milliseconds.
const SHORT_MS: i64 = 500;

/// Frames that are displayed before the end of a window come no later than so much media after
/// it, in 90 kHz ticks.
const SETTLED: Ticks = 90_000;
