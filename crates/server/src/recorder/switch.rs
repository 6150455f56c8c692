//! The recording switch of a stream: a recording begins when it is asked for, and is a clip when it is
//! told to end, or the stream does.
//!
//! Where it begins is written down in the catalog, and the segments from there on are kept as those of
//! periodic clips are: after a restart it goes on.

use std::sync::Arc;

use clipmill::{Bounds, Clip, Cut, Ticks};

use super::app::App;
use super::boundary::{self, Mark};
use super::line::{Held, Snapshot};
use super::make::{Recipe, make};
use super::session::{Ending, Session};
use super::shared::{MakeError, Shared, lock};
use super::stream::{State, Stream};
use crate::catalog::{Boundary, OpenRecording};
use crate::model::{Broadcast, vod_id};

/// A recording that has not come to its end.
#[derive(Debug)]
pub(crate) struct Tape {
    pub(crate) written: OpenRecording,
    /// It ends with what is listed, or with what is there.
    ending: Option<Ending>,
}

/// What became of a turn of the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switched {
    /// A recording begins; the clip will have this id.
    Started {
        /// Of the clip to come.
        vod_id: String,
    },
    /// A recording ends.
    Stopped {
        /// Of the clip, which is being made.
        vod_id: String,
        /// How long it is, in milliseconds, as far as that is known yet.
        millis: i64,
    },
    /// It stood like that already.
    Already,
    /// The stream is not live: nothing can begin or end.
    NotLive,
}

impl Session {
    /// Begins a recording where the session begins, if its broadcast wants all of it.
    fn tape_all(&mut self) {
        self.tape = Some(Tape::of(OpenRecording {
            vod_id: vod_id(),
            begins: Boundary {
                session: self.id.clone(),
                ..Boundary::default()
            },
        }));
    }

    /// Goes on with a recording of it that an earlier run began.
    pub(crate) fn tape_on(&mut self, written: &mut Vec<OpenRecording>) {
        let own = |one: &mut OpenRecording| one.begins.session == self.id;
        if let Some(own) = written.extract_if(.., own).last() {
            self.tape = Some(Tape::of(own));
        }
    }

    /// Where the recording begins.
    fn tape_begins(&self) -> Option<Ticks> {
        let begins = &self.tape.as_ref()?.written.begins;
        boundary::find(self.line.timeline(), begins).map(|(mark, _)| mark.ticks)
    }

    /// Lets go of what lies before `end`, but for what the recording needs.
    pub(crate) fn forget_before(&mut self, end: Ticks) -> Vec<Held> {
        let from = match &self.tape {
            // It begins with the segment to come.
            Some(_) => self.tape_begins().or(self.line.timeline().end()),
            None => None,
        };
        self.line
            .forget_before(from.map_or(end, |from| from.min(end)))
    }

    /// Everything that was listed has been taken in.
    pub(crate) fn tape_listed(&mut self) {
        if let Some(tape) = &mut self.tape
            && tape.ending == Some(Ending::Listed)
        {
            tape.ending = Some(Ending::Last);
        }
    }

    /// Whether the recording is to be made a clip now.
    pub(crate) fn tape_is_due(&self) -> bool {
        let ending = self.tape.as_ref().and_then(|tape| tape.ending);
        ending == Some(Ending::Last)
    }

    /// The session is over, and its periodic clips are made.
    pub(crate) fn end_tape(&mut self) -> bool {
        match &mut self.tape {
            Some(tape) => {
                tape.ending = Some(Ending::Last);
                true
            }
            None => false,
        }
    }
}

impl Tape {
    fn of(written: OpenRecording) -> Self {
        Self {
            written,
            ending: None,
        }
    }
}

impl Stream {
    /// A session begins: its broadcast may want all of it recorded.
    pub(crate) fn begin_tape(&self, state: &mut State, shared: &Shared, app: &App) {
        let known = shared.catalog.broadcast(app.name(), &self.id);
        let wanted = known.is_ok_and(|known| known.is_some_and(|known| known.mp4_enabled == 1));
        if wanted && let Some(session) = &mut state.session {
            session.tape_all();
            self.write_tapes(state, shared, app);
        }
    }

    /// A session of which only the playlist was left goes on, and its recording with it.
    pub(crate) fn resume_tape(&self, state: &mut State, shared: &Shared, app: &App) {
        let mut written = std::mem::take(&mut state.tapes);
        if let Some(session) = &mut state.session {
            session.tape_on(&mut written);
        }
        self.write_tapes(state, shared, app);
    }

    /// Writes down which recordings run; says whether that could be done.
    fn write_tapes(&self, state: &State, shared: &Shared, app: &App) -> bool {
        let all = state.closing.iter().chain(&state.session);
        let tapes = all.filter_map(|session| session.tape.as_ref());
        let written: Vec<_> = tapes.map(|tape| tape.written.clone()).collect();
        let kept = shared
            .catalog
            .set_recordings(app.name(), &self.id, &written);
        if let Err(error) = &kept {
            let (app, stream) = (app.name(), &self.id);
            tracing::error!(app, stream, %error, "which recordings run is not written down");
        }
        kept.is_ok()
    }

    /// Begins a recording at the live edge, or ends the one that runs with what is listed.
    pub(crate) fn switch(
        self: &Arc<Self>,
        on: bool,
        shared: &Arc<Shared>,
        app: &Arc<App>,
    ) -> Switched {
        let mut state = lock(&self.state);
        let Some(session) = &mut state.session else {
            return Switched::NotLive;
        };
        let millis = session.tape_begins().zip(session.line.timeline().end());
        let millis = millis.map_or(0, |(from, to)| (to - from).max(0) / 90);
        let switched = match (&mut session.tape, on) {
            (Some(tape), false) if tape.ending.is_none() => {
                tape.ending = Some(Ending::Listed);
                let vod_id = tape.written.vod_id.clone();
                Switched::Stopped { vod_id, millis }
            }
            // One that is being made a clip is in the way of the next for a moment.
            (Some(_), _) | (None, false) => Switched::Already,
            (None, true) => {
                let timeline = session.line.timeline();
                let begins = match Mark::end(timeline) {
                    Some(end) => end.to_boundary(timeline, &session.id, 0),
                    None => Boundary {
                        session: session.id.clone(),
                        ..Boundary::default()
                    },
                };
                let vod_id = vod_id();
                session.tape = Some(Tape::of(OpenRecording {
                    vod_id: vod_id.clone(),
                    begins,
                }));
                if !self.write_tapes(&state, shared, app) {
                    if let Some(session) = &mut state.session {
                        session.tape = None;
                    }
                    return Switched::Already;
                }
                tracing::info!(
                    app = app.name(),
                    stream = self.id,
                    vod = vod_id,
                    "recording"
                );
                Switched::Started { vod_id }
            }
        };
        drop(state);
        self.queue_look(shared, app, std::time::Duration::ZERO);
        switched
    }

    /// Makes the recording of a session a clip; says whether there may be more to do.
    pub(crate) fn cut_tape(
        self: &Arc<Self>,
        state: &mut std::sync::MutexGuard<'_, State>,
    ) -> Option<TapeWork> {
        let State {
            closing, session, ..
        } = &mut **state;
        let mut all = closing.iter_mut().chain(session.as_mut());
        let session = all.find(|session| session.tape_is_due())?;
        let begins = session.tape_begins();
        let from = begins.and_then(|from| session.line.timeline().next_sync(from).or(Some(from)));
        Some(TapeWork {
            session: session.id.clone(),
            vod_id: session.tape.as_ref()?.written.vod_id.clone(),
            sub_folder: session.sub_folder.clone(),
            snapshot: session.line.snapshot(),
            from,
            complete: session.grown_at,
        })
    }

    /// The part that takes long, without the stream's lock.
    pub(crate) fn make_tape(
        self: &Arc<Self>,
        work: TapeWork,
        shared: &Arc<Shared>,
        app: &Arc<App>,
    ) -> bool {
        let damaged = work.snapshot.damaged(|_| true);
        if !damaged.is_empty() && work.from.is_some() {
            tracing::error!(
                app = app.name(),
                stream = self.id,
                segments = damaged.len(),
                "segments were deleted or overwritten before their recording was made"
            );
            let mut state = lock(&self.state);
            if let Some(session) = state.by_id(&work.session) {
                session.lose(&damaged);
            }
            return true;
        }
        let bounds = Bounds {
            from: work.from,
            to: None,
        };
        let clip = work
            .from
            .and_then(|_| Clip::new(&work.snapshot.timeline, bounds, Cut::Keyframe));
        let made = clip.map(|clip| {
            let recipe = Recipe {
                stream: &self.id,
                sub_folder: work.sub_folder.as_deref(),
                clip,
                vod_id: Some(work.vod_id.clone()),
                boundary: None,
                missing: Vec::new(),
                from_the_start: false,
                window: None,
                complete: work.complete,
                growing: None,
            };
            make(shared, app, recipe, |_, _| None)
        });
        if let Some(Err(error)) = made {
            let mut state = lock(&self.state);
            let tries = self.failed(&mut state.retry, &error, shared, app);
            let given_up = matches!(error, MakeError::Media(_)) && tries >= super::periodic::TRIES;
            if !given_up {
                return false;
            }
            tracing::error!(
                app = app.name(),
                stream = self.id,
                "the recording is given up"
            );
        } else if made.is_none() {
            tracing::warn!(
                app = app.name(),
                stream = self.id,
                "a recording ends before anything came"
            );
        }
        shared.troubles.clear(&self.whom(app));
        let mut state = lock(&self.state);
        state.retry = None;
        if let Some(session) = state.by_id(&work.session) {
            session.tape = None;
        }
        // A crash before this finds the clip in the catalog.
        self.write_tapes(&state, shared, app);
        true
    }
}

/// A recording that is made a clip.
pub(crate) struct TapeWork {
    session: String,
    vod_id: String,
    sub_folder: Option<String>,
    snapshot: Snapshot,
    from: Option<Ticks>,
    complete: std::time::Instant,
}

/// The recordings of a stream that an earlier run began, but for those whose clips were made.
pub(crate) fn left_open(stream: &Stream, shared: &Shared, app: &App) -> Vec<OpenRecording> {
    let written = shared.catalog.recordings(app.name(), &stream.id);
    let mut written = written.unwrap_or_else(|error| {
        let (app, stream) = (app.name(), &stream.id);
        tracing::error!(app, stream, %error, "which recordings ran is not known");
        Vec::new()
    });
    written.retain(|one| {
        let made = shared.catalog.vod(app.name(), &one.vod_id);
        !made.is_ok_and(|made| made.is_some())
    });
    written
}

/// What the switch of a broadcast says, where it is turned while the stream is not live.
pub fn set_switch(broadcast: &mut Broadcast, on: bool) {
    broadcast.mp4_enabled = if on { 1 } else { -1 };
}
