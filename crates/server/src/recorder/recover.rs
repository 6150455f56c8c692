//! Going on after a restart, with what is still on the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clipmill::Ticks;
use clipmill_playlist::Segment;
use serde::{Deserialize, Serialize};

use super::app::App;
use super::listing::read_media;
use super::session::{Ending, Intake, OnDisk, Place, Recording, Session, label_of, locate};
use super::shared::Shared;
use super::stream::{News, State, Stream};
use crate::catalog::Boundary;
use crate::model::BroadcastStatus;
use crate::sources::playlists::Serving;
use crate::sources::taken::{Seen, Taken};
use crate::spool::Kept;

/// Its name in a session's folder.
const DESCRIPTION: &str = "session.json";

/// What the folder of a session says besides its segments.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    playlist: std::path::PathBuf,
    sub_folder: Option<String>,
    target_ms: u64,
}

impl Session {
    /// Writes down what the next run has to know. Without it the session cannot be resumed, and
    /// is closed with what is kept of it.
    pub(crate) fn describe(&self) {
        let description = Description {
            playlist: self.playlist.clone(),
            sub_folder: self.sub_folder.clone(),
            target_ms: u64::try_from(self.target.as_millis()).unwrap_or(u64::MAX),
        };
        let written = std::fs::create_dir_all(&self.folder).and_then(|()| {
            let text = serde_json::to_vec(&description)?;
            std::fs::write(self.folder.join(DESCRIPTION), text)
        });
        if let Err(error) = written {
            tracing::error!(folder = %self.folder.display(), %error, "cannot be written to");
        }
    }
}

fn description(folder: &Path) -> Option<Description> {
    let text = std::fs::read(folder.join(DESCRIPTION)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Finds what an earlier run left of a stream. Tried again at the next look when the catalog does
/// not answer.
///
/// Sessions that were over are closed with what is kept of them. The last one goes on if its
/// playlist is still there; whether it has started over meanwhile is seen at the next look.
pub(crate) fn recover(state: &mut State, stream: &Stream, shared: &Arc<Shared>, app: &App) {
    let known = shared.catalog.boundary(app.name(), &stream.id);
    let broadcast = shared.catalog.broadcast(app.name(), &stream.id);
    let (boundary, broadcast) = match (known, broadcast) {
        (Ok(boundary), Ok(broadcast)) => (boundary, broadcast),
        (Err(error), _) | (_, Err(error)) => {
            shared
                .troubles
                .set(&stream.whom(app), false, &error.to_string());
            return;
        }
    };
    state.recovered = true;
    shared.troubles.clear(&stream.whom(app));
    state.told_live =
        broadcast.is_some_and(|broadcast| broadcast.status == BroadcastStatus::Broadcasting);
    let serving = app.playlists().serving(&stream.id, None);
    let mut found = false;
    state.tapes = super::switch::left_open(stream, shared, app);
    let sessions = shared.spool.sessions(app.name(), &stream.id);
    let last = boundary.as_ref().map(|boundary| boundary.session.clone());
    state.latest = last.into_iter().chain(sessions.last().cloned()).max();
    for id in sessions {
        let folder = shared.spool.session(app.name(), &stream.id, &id);
        let kept = shared.spool.kept(&folder);
        let over = boundary
            .as_ref()
            .is_some_and(|boundary| boundary.session > id);
        let taped = state.tapes.iter().any(|tape| tape.begins.session == id);
        if kept.is_empty() || over && !taped {
            shared.spool.remove(&folder);
            continue;
        }
        let earlier = state.session.take();
        let mut earlier_taken = Taken::default();
        if let Some(earlier) = earlier {
            earlier_taken = earlier.taken.clone();
            close(state, earlier);
        }
        let own = boundary.as_ref().filter(|boundary| boundary.session == id);
        found |= own.is_some();
        let mut session = resume(id, kept, own, serving.as_ref(), stream, shared, app);
        session.taken.inherit(earlier_taken);
        if let Some(boundary) = &boundary {
            session.taken.inherit(Taken::read(&boundary.taken));
        }
        session.ordinal = boundary.as_ref().map_or(0, |boundary| boundary.ordinal);
        session.tape_on(&mut state.tapes);
        if over {
            session.recording = Recording::Off;
            session.ending = None;
            close(state, session);
            continue;
        }
        session.announced = state.told_live;
        state.session = Some(session);
    }
    if let Some(session) = &state.session {
        let goes_on = serving
            .as_ref()
            .is_some_and(|serving| serving.path == session.playlist);
        let finished = boundary.as_ref().is_some_and(|boundary| {
            boundary.session == session.id && boundary.finished && app.interval().is_some()
        });
        if !goes_on || finished {
            stream.end(
                state,
                "it did so while the server was not running",
                shared,
                app,
            );
        }
    } else {
        if state.told_live && serving.is_none() {
            state.tell(News::Ended);
        }
        // What it had is in clips: it is not taken again, however long it stays listed.
        if let Some(over) = boundary.as_ref().filter(|boundary| boundary.finished) {
            state.taken = Taken::read(&over.taken);
            state.ended = (over.cut_ms, None);
        }
    }
    state.lost = boundary
        .filter(|boundary| !found && !boundary.finished)
        .filter(|_| state.session.is_none() && state.closing.is_empty())
        .map(Box::new);
}

fn close(state: &mut State, mut session: Session) {
    session.ending = match session.recording {
        Recording::Off => None,
        _ => Some(Ending::Last),
    };
    state.closing.push(session);
}

/// A session as it was.
fn resume(
    id: String,
    kept: Vec<Kept>,
    boundary: Option<&Boundary>,
    serving: Option<&Serving>,
    stream: &Stream,
    shared: &Arc<Shared>,
    app: &App,
) -> Session {
    let folder = shared.spool.session(app.name(), &stream.id, &id);
    let described = description(&folder);
    let playlist = described
        .as_ref()
        .map(|described| described.playlist.clone());
    let sub_folder = described
        .as_ref()
        .and_then(|described| described.sub_folder.clone());
    let target = described.map_or(2000, |described| described.target_ms);
    let mut session = Session::new(
        id,
        folder,
        &playlist.unwrap_or_default(),
        sub_folder.as_deref(),
        Duration::from_millis(target),
    );
    session.interval = app.usual_interval();
    if let Some(serving) = serving.filter(|serving| serving.path == session.playlist) {
        session.add_sound(&serving.sound);
    }
    session.recording = match boundary {
        Some(boundary) if !boundary.finished => {
            session.has_clips = boundary.ordinal > 0;
            session.hole.clone_from(&boundary.gap);
            session.from_the_start = boundary.from_the_start;
            // Recording was turned off, and its last clip was not made any more.
            if app.interval().is_none() {
                session.ending = Some(Ending::Last);
            }
            Recording::Resuming(Box::new(boundary.clone()))
        }
        None if app.interval().is_some() => Recording::Waiting(Ticks::MIN),
        _ => Recording::Off,
    };
    tracing::info!(
        app = app.name(),
        stream = stream.id,
        session = session.id,
        segments = kept.len(),
        "goes on after a restart"
    );
    let first = boundary.map_or(u64::MAX, |boundary| boundary.sequence.saturating_sub(2));
    let mut listed = still_listed(&kept, &session, serving, app);
    let root = app.root();
    let place = Place {
        app: app.name(),
        stream: &stream.id,
        root: &root,
        reach: app.reach(),
        spool: &shared.spool,
        // What is not there is passed over here, with what its successor says of it.
        patience: Duration::MAX,
    };
    let mut any = false;
    let mut next = first.min(kept.first().map_or(u64::MAX, |kept| kept.label.sequence));
    for kept in kept {
        // What could not be kept may still lie where it was.
        while next < kept.label.sequence {
            match listed.remove(&next) {
                Some(segment) => {
                    let taken = session.take(&segment, false, segment.duration, &place);
                    if taken != Intake::Done && any && kept.label.missing_before == 0 {
                        session.line.miss(super::session::ticks(segment.duration));
                    }
                    any |= taken == Intake::Done;
                }
                None if any && kept.label.missing_before == 0 => {
                    session.line.miss(super::session::ticks(session.target));
                }
                None => {}
            }
            next += 1;
        }
        next = kept.label.sequence + 1;
        let original = listed.remove(&kept.label.sequence);
        let original = original.and_then(|segment| locate(&session.playlist, &segment, &root).ok());
        session.take_kept(kept, original, &shared.spool);
        any = true;
        app.note_links(&stream.id, session.line.held().back());
    }
    session
}

/// What the playlist of a session lists, if it is still the same session's.
fn still_listed(
    kept: &[Kept],
    session: &Session,
    serving: Option<&Serving>,
    app: &App,
) -> BTreeMap<u64, Segment> {
    let Some(serving) = serving.filter(|serving| serving.path == session.playlist) else {
        return BTreeMap::new();
    };
    let Some((playlist, _)) = read_media(&serving.path) else {
        return BTreeMap::new();
    };
    let mut taken = Taken::default();
    for kept in kept {
        let mark = (!kept.label.changed).then_some(kept.mark);
        taken.saw_before(&label_of(kept), kept.label.discontinuity, mark);
    }
    let root = app.root();
    let mut files = OnDisk {
        playlist: &serving.path,
        root: &root,
    };
    let mut segments = playlist.segments;
    match taken.observe(&segments, &mut files) {
        Seen::StartedOver { .. } => return BTreeMap::new(),
        Seen::New { shift, .. } => taken.renumber(shift, &mut segments),
        Seen::Nothing => {}
    }
    segments
        .into_iter()
        .map(|segment| (segment.sequence, segment))
        .collect()
}
