//! One stream: looks at its playlist, takes in what is new, and knows when it begins and ends.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clipmill::Ticks;
use clipmill_playlist::{MediaPlaylist, Segment};
use metrics::counter;

use super::app::App;
use super::listing::{Read, first_new, history, missing_length, place_of, read};
use super::session::{Dated, Ending, Intake, OnDisk, Place, Recording, Session, mark_of};
use super::shared::{Shared, lock};
use crate::catalog::{Boundary, OpenRecording};
use crate::metrics::SEGMENTS_INDEXED;
use crate::model::{Broadcast, BroadcastStatus, VodGap, now_ms};
use crate::schedule::Urgency;
use crate::sources::playlists::Serving;
use crate::sources::session::silence;
use crate::sources::taken::{Seen, Taken};
use crate::spool::SpoolError;

/// A playlist that is not there may be being replaced: it is gone when it is still not there
/// after this.
const REPLACED: Duration = Duration::from_millis(400);

/// A playlist that was not written to for this long is not half-written.
const WHOLE: Duration = Duration::from_secs(1);

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: String,
    pub(crate) state: Mutex<State>,
    /// The live edge and the target duration, in milliseconds; kept apart, so that nobody who asks
    /// waits for a segment to be read.
    pub(crate) edge: Mutex<Option<(i64, i64)>>,
    /// When the next look at the playlist is due.
    look_due: Mutex<Option<Instant>>,
    /// When the next clip is due.
    pub(crate) cut_due: Mutex<Option<Instant>>,
    /// Held while a periodic clip is made.
    pub(crate) cutting: Mutex<()>,
    pub(crate) live: AtomicBool,
}

/// What is known of a stream.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// What an earlier run left has been found.
    pub(crate) recovered: bool,
    /// The session that is live.
    pub(crate) session: Option<Session>,
    /// Sessions that are over and whose last clips are still to be made, oldest first.
    pub(crate) closing: Vec<Session>,
    /// What sessions took that are over; what the one that is live took is there.
    pub(crate) taken: Taken,
    /// The playlist of the last one had come to its end.
    seen_ended: bool,
    /// When the last one ended, in milliseconds since 1970, and what dates what follows it.
    pub(crate) ended: (Option<i64>, Option<Dated>),
    /// Where the last clip of a session ended of which nothing was found after a restart.
    pub(crate) lost: Option<Box<Boundary>>,
    /// The recordings that an earlier run began, and whose sessions were not found yet.
    pub(crate) tapes: Vec<OpenRecording>,
    /// Since when the playlist is not there.
    gone_since: Option<Instant>,
    /// When making a clip may be tried again, and how often it failed.
    pub(crate) retry: Option<(Instant, u32)>,
    /// A stream that was over before anybody was told of it has still to get its entry.
    pub(crate) to_know: Option<Box<Broadcast>>,
    /// What has still to be told to the world, in this order.
    pub(crate) to_tell: VecDeque<News>,
    /// With that, the world believes that it is live.
    pub(crate) told_live: bool,
    /// The latest session that is known of, over or not.
    pub(crate) latest: Option<String>,
}

/// What the world wants to know.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// It is live, and its playlist lies in this sub-folder.
    Begun(Option<String>),
    /// It is over.
    Ended,
}

impl State {
    pub(crate) fn tell(&mut self, news: News) {
        self.told_live = matches!(news, News::Begun(_));
        self.to_tell.push_back(news);
    }
}

/// A session begins at this position of a list: what stands before it is old, even while the first
/// segment is not taken yet.
fn pass(state: &mut State, listed: &[Segment], from: usize, files: &mut OnDisk<'_>) {
    if let Some(session) = &mut state.session
        && session.taken.next().is_none()
    {
        session
            .taken
            .passed(listed.get(..from).unwrap_or_default(), files);
    }
}

/// What a look found.
enum Look {
    /// Nothing more to do.
    Done,
    /// It should be looked at again.
    Again(Duration),
}

impl Stream {
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            state: Mutex::default(),
            edge: Mutex::new(None),
            look_due: Mutex::new(None),
            cut_due: Mutex::new(None),
            cutting: Mutex::new(()),
            live: AtomicBool::new(false),
        }
    }

    /// Has the playlist looked at, after a while.
    pub(crate) fn queue_look(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        app: &Arc<App>,
        after: Duration,
    ) {
        let due = Instant::now() + after;
        {
            let mut queued = lock(&self.look_due);
            if shared.is_draining() || queued.is_some_and(|queued| queued <= due) {
                return;
            }
            *queued = Some(due);
        }
        let (stream, app) = (Arc::clone(self), Arc::clone(app));
        let context = Arc::downgrade(shared);
        shared.pool.submit(Urgency::Segments, due, move || {
            let Some(shared) = context.upgrade() else {
                return;
            };
            {
                let mut queued = lock(&stream.look_due);
                // An earlier look has taken its place.
                if queued.is_none_or(|queued| queued > Instant::now()) {
                    return;
                }
                *queued = None;
            }
            if !shared.is_draining() {
                stream.look(&shared, &app);
            }
        });
    }

    /// Looks at the playlist and takes in what is new.
    fn look(self: &Arc<Self>, shared: &Arc<Shared>, app: &Arc<App>) {
        let mut state = lock(&self.state);
        if !state.recovered {
            super::recover::recover(&mut state, self, shared, app);
        }
        let present = state
            .session
            .as_ref()
            .map(|session| session.playlist.clone());
        let serving = app.playlists().serving(&self.id, present.as_deref());
        let look = match serving {
            Some(serving) => self.look_at(&mut state, &serving, shared, app),
            None => self.look_for(&mut state, shared, app),
        };
        self.announce(&mut state, shared, app);
        self.show(&state);
        let again = match look {
            Look::Again(after) => Some(after),
            Look::Done => {
                if let Some(session) = &mut state.session {
                    session.all_listed();
                }
                None
            }
        };
        drop(state);
        if let Some(after) = again {
            self.queue_look(shared, app, after);
        }
        self.queue_cut(shared, app);
    }

    /// There is no playlist.
    fn look_for(&self, state: &mut State, shared: &Shared, app: &App) -> Look {
        if state.session.is_none() {
            return Look::Done;
        }
        let since = *state.gone_since.get_or_insert_with(Instant::now);
        if since.elapsed() < REPLACED {
            return Look::Again(REPLACED);
        }
        self.end(state, "its playlist was removed", shared, app);
        Look::Done
    }

    fn look_at(
        &self,
        state: &mut State,
        serving: &Serving,
        shared: &Arc<Shared>,
        app: &Arc<App>,
    ) -> Look {
        let (mut playlist, modified) = match read(&serving.path) {
            Read::Media(playlist, modified) => (playlist, modified),
            Read::Nothing => return self.look_for(state, shared, app),
            Read::Unclear => {
                app.playlists().reconsider(&serving.path);
                return self.end_if_silent(state, shared, app);
            }
        };
        state.gone_since = None;
        if let Some(session) = &mut state.session {
            if session.playlist != serving.path {
                self.end(state, "another playlist took its place", shared, app);
            } else {
                session.target = playlist.target_duration;
            }
        }
        let age = modified.elapsed().unwrap_or_default();
        let mut listed = std::mem::take(&mut playlist.segments);
        if playlist.truncated && age < WHOLE {
            listed.pop();
        }
        let root = app.root();
        let mut files = OnDisk {
            playlist: &serving.path,
            root: &root,
        };
        let session = state.session.as_mut();
        let taken = session.map_or(&mut state.taken, |session| &mut session.taken);
        let unknown = taken.is_empty();
        let mut seen = taken.observe(&listed, &mut files);
        // A playlist that was finished, or given up, and is shorter and goes on, is a new one, unless its
        // files say otherwise.
        if seen == Seen::Nothing
            && state.session.is_none()
            && !playlist.ended
            && !listed.is_empty()
            && (state.seen_ended || state.taken.is_beyond(&listed))
            && !state.taken.ends_with_taken(&listed, &mut files)
        {
            seen = Seen::StartedOver { from: 0 };
        }
        let session = state.session.as_mut();
        let taken = session.map_or(&mut state.taken, |session| &mut session.taken);
        match seen {
            Seen::New { shift, .. } => taken.renumber(shift, &mut listed),
            Seen::Nothing => taken.renumber_as_before(&mut listed),
            Seen::StartedOver { .. } => {}
        }
        let listed = listed.as_slice();
        match seen {
            Seen::Nothing if playlist.ended => {
                self.end(state, "its playlist ended", shared, app);
                state.seen_ended = true;
                Look::Done
            }
            Seen::Nothing => self.end_if_silent(state, shared, app),
            Seen::StartedOver { from } => {
                self.end(state, "it started over", shared, app);
                state.taken.start_over();
                if playlist.ended && modified <= app.since() {
                    state.taken.passed(listed, &mut files);
                    state.seen_ended = true;
                    return Look::Done;
                }
                self.begin(state, serving, &playlist, listed, shared, app);
                if from > 0 {
                    self.follow(state, app);
                }
                pass(state, listed, from, &mut files);
                self.take(state, &playlist, listed, from, shared, app)
            }
            Seen::New { from, missing, .. } if state.session.is_some() => {
                if missing > 0
                    && let Some(session) = &mut state.session
                {
                    let first = listed.get(from).map(|segment| segment.sequence);
                    session.take_expected(first, &self.place(&root, shared, app));
                    self.miss(session, listed, from, app);
                }
                self.take(state, &playlist, listed, from, shared, app)
            }
            Seen::New { from, .. } => {
                let lost = state.lost.take();
                let resumed = lost
                    .as_ref()
                    .and_then(|lost| place_of(lost, listed, &mut files));
                // What came and ended while nobody looked was live in between.
                let silent = unknown && age >= silence(playlist.target_duration);
                let old = silent || playlist.ended && modified <= app.since();
                if old && resumed.is_none() {
                    state.taken.passed(listed, &mut files);
                    state.seen_ended = playlist.ended;
                    // It ended while the server was not running.
                    if state.told_live {
                        state.tell(News::Ended);
                    }
                    self.know(state, serving.sub_folder.clone());
                    return Look::Done;
                }
                self.begin(state, serving, &playlist, listed, shared, app);
                let from = match (lost, resumed) {
                    (Some(lost), Some(place)) => {
                        self.resume(state, lost, shared, app);
                        place
                    }
                    (Some(lost), None) => {
                        if let Some(session) = &mut state.session {
                            session.hole = Some(self.hole(&lost, app));
                        }
                        let new = first_new(&lost.taken, listed, &mut files);
                        new.max(history(listed, app.interval()))
                    }
                    (None, _) if unknown => history(listed, app.interval()),
                    (None, _) => {
                        self.follow(state, app);
                        from
                    }
                };
                pass(state, listed, from, &mut files);
                self.take(state, &playlist, listed, from, shared, app)
            }
        }
    }

    /// The session that has begun follows another in the same playlist: the pause between the two is
    /// said.
    fn follow(&self, state: &mut State, app: &App) {
        let (ended, dated) = state.ended;
        let Some(session) = &mut state.session else {
            return;
        };
        session.dated = dated.map(Dated::of_before);
        if let (Some(ended), true) = (ended, session.recording != Recording::Off) {
            let from = super::make::rfc3339(ended);
            tracing::info!(app = app.name(), stream = self.id, from, "it paused");
            session.hole = Some(VodGap {
                from: Some(from),
                to: None,
                reason: "the stream paused".to_owned(),
            });
        }
    }

    /// A stream that is over when it is seen for the first time can be clipped all the same.
    fn know(&self, state: &mut State, sub_folder: Option<String>) {
        state.to_know = Some(Box::new(Broadcast {
            stream_id: self.id.clone(),
            status: BroadcastStatus::Finished,
            date: now_ms(),
            sub_folder,
            ..Broadcast::default()
        }));
    }

    /// Segments that were listed and gone again before they were seen.
    fn miss(&self, session: &mut Session, listed: &[Segment], from: usize, app: &App) {
        let first = listed.get(from).map(|segment| segment.sequence);
        let missing = first
            .zip(session.taken.next())
            .map(|(first, next)| first.saturating_sub(next));
        if let Some(missing) = missing.filter(|missing| *missing > 0) {
            tracing::error!(
                app = app.name(),
                stream = self.id,
                segments = missing,
                "segments are gone before they were seen"
            );
            let length = missing_length(session, listed, from, missing);
            session.line.miss(length);
        }
    }

    /// Goes on with a session of which only the playlist is left.
    fn resume(&self, state: &mut State, lost: Box<Boundary>, shared: &Shared, app: &App) {
        if let Some(session) = &mut state.session {
            session.id.clone_from(&lost.session);
            session.folder = shared.spool.session(app.name(), &self.id, &lost.session);
            session.ordinal = lost.ordinal;
            session.has_clips = lost.ordinal > 0;
            session.recording = Recording::Resuming(lost);
        }
        self.resume_tape(state, shared, app);
    }

    /// What cannot be clipped any more.
    fn hole(&self, lost: &Boundary, app: &App) -> VodGap {
        let from = lost.cut_ms.or(lost.time_ms).map(super::make::rfc3339);
        tracing::error!(
            app = app.name(),
            stream = self.id,
            from,
            "what came before the restart is lost: its segments are gone"
        );
        VodGap {
            from,
            to: None,
            reason: "segments were deleted while the server was not running".to_owned(),
        }
    }

    /// Begins a session.
    fn begin(
        &self,
        state: &mut State,
        serving: &Serving,
        playlist: &MediaPlaylist,
        listed: &[Segment],
        shared: &Arc<Shared>,
        app: &Arc<App>,
    ) {
        let first = listed.first().map_or(0, |segment| segment.sequence);
        let id = Session::new_id(first, state.latest.as_deref());
        state.latest = Some(id.clone());
        let folder = shared.spool.session(app.name(), &self.id, &id);
        let sub_folder = serving.sub_folder.as_deref();
        let target = playlist.target_duration;
        let mut session = Session::new(id, folder, &serving.path, sub_folder, target);
        session.interval = app.usual_interval();
        if app.interval().is_some() {
            session.recording = Recording::Waiting(Ticks::MIN);
        }
        tracing::info!(
            app = app.name(),
            stream = self.id,
            session = session.id,
            playlist = %serving.path.display(),
            "stream is live"
        );
        session.add_sound(&serving.sound);
        session.describe();
        session.taken = std::mem::take(&mut state.taken);
        state.session = Some(session);
        self.begin_tape(state, shared, app);
        state.seen_ended = false;
    }

    /// Takes in what is listed from a position on.
    fn take(
        &self,
        state: &mut State,
        playlist: &MediaPlaylist,
        listed: &[Segment],
        from: usize,
        shared: &Arc<Shared>,
        app: &Arc<App>,
    ) -> Look {
        let Some(session) = &mut state.session else {
            return Look::Done;
        };
        let root = app.root();
        let place = self.place(&root, shared, app);
        session.keep_again(&place);
        if let Some(last) = listed.last() {
            session.lists(last.sequence);
        }
        let new = listed.get(from..).unwrap_or_default();
        let mut remaining: Duration = new.iter().map(|segment| segment.duration).sum();
        for (at, segment) in new.iter().enumerate() {
            let last = at + 1 == new.len() && !playlist.ended;
            let next = new.get(at + 1);
            session.run_ends = next.map_or(playlist.ended, |next| next.discontinuity);
            match session.take(segment, last, remaining, &place) {
                Intake::Done => {
                    counter!(SEGMENTS_INDEXED, "app" => app.name().to_owned()).increment(1);
                    app.note_links(&self.id, session.line.held().back());
                    session.grow(shared, app);
                    let whom = format!("{}: segments", self.whom(app));
                    match &session.not_kept {
                        Some(error) => {
                            let full = matches!(error, SpoolError::DiskFull { .. });
                            shared.troubles.set(&whom, full, error.what());
                        }
                        None => shared.troubles.clear(&whom),
                    }
                }
                Intake::Later(after) => {
                    let mark = |segment: &Segment| mark_of(&session.playlist, segment, &root);
                    let marks: Vec<_> = new.iter().skip(at).map(mark).collect();
                    session.expect(new.get(at..).unwrap_or_default(), marks);
                    return Look::Again(after);
                }
            }
            remaining = remaining.saturating_sub(segment.duration);
        }
        session.expect(&[], Vec::new());
        super::periodic::trim(session, app);
        if playlist.ended {
            self.end(state, "its playlist ended", shared, app);
            state.seen_ended = true;
        }
        Look::Done
    }

    fn end_if_silent(&self, state: &mut State, shared: &Shared, app: &App) -> Look {
        let Some(session) = &mut state.session else {
            return Look::Done;
        };
        if session.pulse.is_over(Instant::now()) {
            self.end(state, "it fell silent", shared, app);
            // Another playlist may have taken over meanwhile.
            return Look::Again(Duration::ZERO);
        }
        Look::Done
    }

    /// Ends the session; its last clip is made when its turn comes.
    pub(crate) fn end(&self, state: &mut State, why: &str, shared: &Shared, app: &App) {
        let Some(mut session) = state.session.take() else {
            return;
        };
        let root = app.root();
        let place = self.place(&root, shared, app);
        session.take_expected(None, &place);
        session.keep_again(&place);
        tracing::info!(
            stream = self.id,
            session = session.id,
            "stream ended: {why}"
        );
        session.ending = match session.recording {
            Recording::Off => None,
            _ => Some(Ending::Last),
        };
        state.ended = (session.edge_ms(), session.dated);
        // The last boundary, which is still to come, says what was taken as well.
        state.taken = session.taken.clone();
        state.taken.end();
        shared
            .troubles
            .clear(&format!("{}: segments", self.whom(app)));
        if !state.told_live && session.seen_any {
            state.tell(News::Begun(session.sub_folder.clone()));
        }
        if state.told_live {
            state.tell(News::Ended);
        }
        state.closing.push(session);
    }

    /// Shows others how the stream stands.
    fn show(&self, state: &State) {
        let edge = state.session.as_ref().and_then(|session| {
            let target = i64::try_from(session.target.as_millis()).ok()?;
            Some((session.edge_ms()?, target))
        });
        if edge.is_some() || state.session.is_none() {
            *lock(&self.edge) = edge;
        }
        self.live.store(state.session.is_some(), Ordering::Relaxed);
    }

    /// Looks after what no event tells: silence, and tries that are due again.
    pub(crate) fn tick(self: &Arc<Self>, shared: &Arc<Shared>, app: &Arc<App>, now: Instant) {
        // Whoever holds the lock is at work on this very stream.
        let Ok(state) = self.state.try_lock() else {
            return;
        };
        let silent = state
            .session
            .as_ref()
            .is_some_and(|session| session.pulse.is_over(now));
        let to_tell = !state.to_tell.is_empty()
            || state.to_know.is_some()
            || state
                .session
                .as_ref()
                .is_some_and(|session| !session.announced);
        let due = self.next_cut(&state, app);
        drop(state);
        if silent || to_tell {
            self.queue_look(shared, app, Duration::ZERO);
        }
        if let Some(due) = due {
            self.submit_cut(due, shared, app);
        }
    }

    fn place<'a>(&'a self, root: &'a Path, shared: &'a Shared, app: &'a App) -> Place<'a> {
        Place {
            app: app.name(),
            stream: &self.id,
            root,
            reach: app.reach(),
            spool: &shared.spool,
            patience: app.settings().segment_patience,
        }
    }

    /// As troubles name it.
    pub(crate) fn whom(&self, app: &App) -> String {
        format!("{}/{}", app.name(), self.id)
    }
}
