//! Going on after a restart, with what is still on the disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clipmill::duration_ticks;
use clipmill::live::{Continuity, EndReason, PeriodicClips, Seen, Taken};
use clipmill_playlist::{Location, Segment};
use serde::{Deserialize, Serialize};

use super::app::App;
use super::feed::{Feed, Place, Took, label_of};
use super::intake::{Came, Intake};
use super::session::Session;
use super::shared::Shared;
use super::state::State;
use crate::catalog::Boundary;
use crate::domain::StreamStatus;
use crate::sources::Listing;
use crate::sources::playlists::Serving;
use crate::spool::Kept;

/// Its name in a session's folder.
const DESCRIPTION: &str = "session.json";

/// What the folder of a session says besides its segments.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    playlist: PathBuf,
    sub_folder: Option<String>,
    target_ms: u64,
}

impl Feed {
    /// Writes down what the next run has to know. Without it the session cannot be resumed, and
    /// is closed with what is kept of it.
    pub(crate) fn describe(&self) {
        let description = Description {
            playlist: match &self.playlist {
                Location::File(path) => path.clone(),
                Location::Url(url) => url.as_str().into(),
            },
            sub_folder: self.sub_folder.clone(),
            target_ms: u64::try_from(self.target.as_millis()).unwrap_or(u64::MAX),
        };
        let folder = &self.keeper.folder;
        let written = std::fs::create_dir_all(folder).and_then(|()| {
            let text = serde_json::to_vec(&description)?;
            std::fs::write(folder.join(DESCRIPTION), text)
        });
        if let Err(error) = written {
            tracing::error!(folder = %folder.display(), %error, "cannot be written to");
        }
    }
}

fn description(folder: &Path) -> Option<Description> {
    let text = std::fs::read(folder.join(DESCRIPTION)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Finds what an earlier run left of a stream; `None` while the catalog does not answer.
///
/// Sessions that were over are closed with what is kept of them. The last one goes on if its
/// playlist is still there; whether it has started over meanwhile is seen at the next look.
pub(crate) fn recover(stream: &str, shared: &Arc<Shared>, app: &App) -> Option<(Intake, State)> {
    let concern = format!("{}/{stream}", app.name());
    let known = shared.wait(shared.catalog.boundary(app.name(), stream));
    let broadcast = shared.wait(shared.catalog.stream(app.name(), stream));
    let (boundary, broadcast) = match (known, broadcast) {
        (Ok(boundary), Ok(broadcast)) => (boundary, broadcast),
        (Err(error), _) | (_, Err(error)) => {
            shared.troubles.set(&concern, false, &error.to_string());
            return None;
        }
    };
    shared.troubles.clear(&concern);
    if app.dvr_window(stream).is_some() {
        // Read now, as the task may not wait for the disk.
        shared.spool.dvr().stream(app.name(), stream);
    }
    let (mut intake, mut state) = (Intake::default(), State::default());
    state.announcements.told_live =
        broadcast.is_some_and(|broadcast| broadcast.status == StreamStatus::Live);
    let serving = app.streams_source().serving(stream, None);
    let (mut found, mut all_taken) = (false, Taken::default());
    state.recordings = super::switch::left_open(stream, shared, app);
    state.ordinal = boundary.as_ref().map_or(0, |boundary| boundary.ordinal);
    let sessions = shared.spool.sessions(app.name(), stream);
    let last = boundary.as_ref().map(|boundary| boundary.session.clone());
    intake.latest = last.into_iter().chain(sessions.last().cloned()).max();
    for id in sessions {
        let folder = shared.spool.session(app.name(), stream, &id);
        let kept = shared.spool.kept(&folder);
        let over = boundary
            .as_ref()
            .is_some_and(|boundary| boundary.session > id);
        let recorded = state
            .recordings
            .iter()
            .any(|recording| recording.begins.session == id);
        if kept.is_empty() || over && !recorded {
            if app.dvr_window(stream).is_some() {
                let dvr = shared.spool.dvr();
                dvr.adopt(&dvr.stream(app.name(), stream), &id, &kept);
            }
            shared.spool.remove(&folder);
            continue;
        }
        let mut earlier = Taken::default();
        if let Some(session) = state.session.take() {
            earlier = std::mem::take(&mut all_taken);
            close(&mut state, session);
        }
        let own = boundary.as_ref().filter(|boundary| boundary.session == id);
        found |= own.is_some();
        let (segments, left) = (
            kept.len(),
            Left {
                id,
                kept,
                boundary: own,
            },
        );
        let (feed, mut session, mut taken) = left.resume(serving.as_ref(), stream, shared, app);
        taken.inherit(earlier);
        if let Some(boundary) = &boundary {
            taken.inherit(Taken::read(&boundary.taken));
        }
        session.taken = taken.tail(segments + session.media.files().len() + Taken::WRITTEN);
        session.go_on_recording(&mut state.recordings);
        if over {
            session.clips = PeriodicClips::new(app.usual_interval(stream));
            session.clips.align(app.settings().align);
            close(&mut state, session);
            continue;
        }
        session.announced = state.announcements.told_live;
        state.session = Some(session);
        (intake.feed, all_taken) = (Some(feed), taken);
    }
    intake.continuity = Continuity::new(all_taken);
    if let Some(session) = &state.session {
        let continues = serving
            .as_ref()
            .is_some_and(|serving| serving.playlist == session.playlist);
        let finished = boundary.as_ref().is_some_and(|boundary| {
            boundary.session == session.id && boundary.finished && app.interval(stream).is_some()
        });
        if !continues || finished {
            let playlist = session.playlist.clone();
            let came = RefCell::new(Vec::new());
            let tell = |one| came.borrow_mut().push(one);
            let place = Place::new(app, shared, stream, &tell);
            if !finished && place.source.is_of_another(&playlist, stream) {
                intake.leave(&playlist, &place);
            } else {
                intake.end(EndReason::WhileAway, &place);
            }
            for one in came.take() {
                state.came(one, stream, app);
            }
        }
    } else {
        if serving.is_none() {
            state.announcements.ended(false, None);
        }
        // What it had is in clips: it is not taken again, however long it stays listed.
        if let Some(over) = boundary.as_ref().filter(|boundary| boundary.finished) {
            intake.continuity = Continuity::new(Taken::read(&over.taken));
            state.ended = over.cut_ms;
        }
    }
    let nothing_left = !found && state.session.is_none() && state.closing.is_empty();
    if let Some(lost) = boundary.filter(|boundary| nothing_left && !boundary.finished) {
        intake.continuity = Continuity::behind(lost);
    }
    Some((intake, state))
}

fn close(state: &mut State, mut session: Session) {
    session.close();
    state.closing.push(session);
}

/// A session of which an earlier run kept segments.
struct Left<'a> {
    id: String,
    kept: Vec<Kept>,
    /// Where its last clip ended.
    boundary: Option<&'a Boundary>,
}

impl Left<'_> {
    /// The session as it was, and what was taken by it.
    fn resume(
        self,
        serving: Option<&Serving>,
        stream: &str,
        shared: &Arc<Shared>,
        app: &App,
    ) -> (Feed, Session, Taken) {
        let Self { id, kept, boundary } = self;
        let folder = shared.spool.session(app.name(), stream, &id);
        let described = description(&folder).unwrap_or(Description {
            playlist: PathBuf::new(),
            sub_folder: None,
            target_ms: 2000,
        });
        let Description {
            playlist,
            sub_folder,
            target_ms,
        } = described;
        let playlist = match playlist.to_str() {
            Some(text) => Location::from(text),
            None => Location::from(playlist),
        };
        let target = Duration::from_millis(target_ms);
        let mut session = Session::new(
            id.clone(),
            playlist.clone(),
            sub_folder.clone(),
            target,
            app.usual_interval(stream),
        );
        session.clips.align(app.settings().align);
        let mut feed = Feed::new(id, folder, playlist, sub_folder, target);
        if let Some(serving) = serving.filter(|serving| serving.playlist == feed.playlist) {
            feed.add_sound(&serving.sound);
        }
        session.sound_beside = feed.has_sound_beside();
        session.begin_again(boundary, stream, app);
        tracing::info!(
            app = app.name(),
            stream,
            session = session.id,
            segments = kept.len(),
            "goes on after a restart"
        );
        let came = RefCell::new(Vec::new());
        let tell = |mut one| {
            // All that was kept may be hours.
            if let Came::Segment(arrived) = &mut one {
                arrived.bytes = None;
            }
            came.borrow_mut().push(one);
        };
        let place = Place {
            // What is not there is passed over here, with what its successor says of it.
            patience: Duration::MAX,
            ..Place::new(app, shared, stream, &tell)
        };
        let first = boundary.map_or(u64::MAX, |boundary| boundary.sequence.saturating_sub(2));
        let mut listed = still_listed(&kept, &feed, serving, &place);
        let mut taken = Taken::default();
        let mut any = false;
        let mut next = first.min(kept.first().map_or(u64::MAX, |kept| kept.label.sequence));
        for kept in kept {
            // What could not be kept may still lie where it was.
            while next < kept.label.sequence {
                match listed.remove(&next) {
                    Some(segment) => {
                        let duration = segment.duration;
                        let took = feed.take(&mut taken, &segment, false, duration, &place);
                        if took != Took::Done && any && kept.label.missing_before == 0 {
                            feed.skip(duration_ticks(duration), &place);
                        }
                        any |= took == Took::Done;
                    }
                    None if any && kept.label.missing_before == 0 => {
                        feed.skip(duration_ticks(feed.target), &place);
                    }
                    None => {}
                }
                next += 1;
            }
            next = kept.label.sequence + 1;
            let original = listed.remove(&kept.label.sequence);
            let original = original.and_then(|segment| place.source.file(&feed.playlist, &segment));
            feed.take_kept(&mut taken, kept, original, &place);
            any = true;
        }
        for one in came.take() {
            session.came(one);
        }
        (feed, session, taken)
    }
}

impl Session {
    /// Its periodic clips go on behind that.
    fn begin_again(&mut self, boundary: Option<&Boundary>, stream: &str, app: &App) {
        match boundary {
            Some(boundary) if !boundary.finished => {
                self.clips.resume(boundary.clone());
                // Recording was turned off, and its last clip was not made any more.
                if app.interval(stream).is_none() {
                    self.clips.turn_off(Some(0));
                }
            }
            None if app.interval(stream).is_some() => self.clips.wait_for_media(),
            _ => {}
        }
    }
}

/// What the playlist of a session lists, if it is still the same session's.
fn still_listed(
    kept: &[Kept],
    feed: &Feed,
    serving: Option<&Serving>,
    place: &Place<'_>,
) -> BTreeMap<u64, Segment> {
    let Some(serving) = serving.filter(|serving| serving.playlist == feed.playlist) else {
        return BTreeMap::new();
    };
    let Listing::Media { playlist, .. } = place.source.list(&serving.playlist) else {
        return BTreeMap::new();
    };
    let mut taken = Taken::default();
    for kept in kept {
        let version = (!kept.label.changed).then(|| kept.mark.version());
        taken.saw_before(&label_of(kept), kept.label.discontinuity, version);
    }
    let mut files = place.source.files(&serving.playlist);
    let mut segments = playlist.segments;
    match taken.observe(&segments, &mut *files) {
        Seen::StartedOver { .. } => return BTreeMap::new(),
        Seen::New { shift, .. } => taken.renumber(shift, &mut segments),
        Seen::Nothing => {}
    }
    segments
        .into_iter()
        .map(|segment| (segment.sequence, segment))
        .collect()
}
