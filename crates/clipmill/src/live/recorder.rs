//! The machine itself: what happens goes in, what is to be done comes out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::boundary::Boundary;
use super::continuity::Continuity;
use super::event::{
    Action, ActionId, Command, EndReason, Event, Failure, Moment, SegmentId, SessionId,
};
use super::keeping::Leavers;
use super::periodic::Step;
use super::recover::Left;
use super::request::{Refusal, Request, Until};
use super::session::{Placement, Session};
use super::state::State;
use super::timeouts::Timeouts;
use crate::timeline::{Ticks, Timeline};

/// The settings of a recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// How long periodic clips are; `None`: there are none until [`Command::Periodic`].
    pub periodic: Option<Duration>,
    /// Whether periodic clips end on multiples of their interval since midnight UTC.
    pub aligned: bool,
    /// How long a clip of [`Window::SinceBoundary`](super::Window) is where there was no periodic one.
    pub interval: Duration,
    /// The DVR window: how far back from the live edge a stream can be clipped, whatever its periodic
    /// clips need. After its end it can be for as long. `None`: as far as the clip in the making.
    pub window: Option<Duration>,
    /// So much of what a playlist lists already is taken when it is first seen, or an interval where
    /// that is longer: an event playlist may list days.
    pub history: Duration,
    /// How long a segment is waited for that is missing while later ones are listed.
    pub patience: Duration,
    /// How soon a segment is asked for again.
    pub settle: Duration,
    /// How long a session lasts of which nothing comes.
    pub timeouts: Timeouts,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            periodic: None,
            aligned: false,
            interval: Duration::from_secs(600),
            window: None,
            history: Duration::from_secs(600),
            patience: Duration::from_secs(2),
            settle: Duration::from_millis(150),
            timeouts: Timeouts::default(),
        }
    }
}

/// What an answer is awaited for.
#[derive(Debug, Clone)]
pub(super) enum Job {
    Keep(SegmentId),
    Release(SegmentId),
    /// The first segment that it reads, and the last.
    Periodic(SegmentId, SegmentId),
    OnDemand(SegmentId, SegmentId),
    Persist,
}

/// Records one stream: see [`super`].
#[derive(Debug)]
pub struct Recorder {
    pub(super) settings: Settings,
    /// Periodic clips of sessions to come.
    pub(super) periodic: Option<Duration>,
    /// Oldest first; only the last one may be live.
    pub(super) sessions: VecDeque<Session>,
    pub(super) continuity: Continuity,
    /// Where the last periodic clip ended, as it is stored.
    pub(super) boundary: Option<Boundary>,
    /// What an earlier run left, until the first look at the playlist.
    pub(super) left: Option<Left>,
    pub(super) requests: Vec<Request>,
    pub(super) jobs: BTreeMap<ActionId, Job>,
    pub(super) leavers: Leavers,
    pub(super) actions: VecDeque<Action>,
    pub(super) next_action: u64,
    pub(super) next_segment: u64,
    pub(super) next_clip: u64,
    /// The latest session there was.
    pub(super) latest: Option<SessionId>,
    /// This session was announced as live, and nothing is left of it.
    pub(super) announced: Option<SessionId>,
    /// The live session ends so when its backlog is taken.
    pub(super) ending: Option<EndReason>,
    /// Since when there is no playlist.
    pub(super) gone_since: Option<Duration>,
    /// When the first event came.
    pub(super) started: Option<Duration>,
    woken_at: Option<Duration>,
    /// When a segment is to be kept that could not be.
    pub(super) keep_due: Option<Duration>,
}

const IDLE: &State = &State::Idle;
const RECOVERING: &State = &State::Recovering;

impl Recorder {
    /// A recorder of a stream of which nothing is left from before.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            periodic: settings.periodic,
            settings,
            sessions: VecDeque::new(),
            continuity: Continuity::default(),
            boundary: None,
            left: None,
            requests: Vec::new(),
            jobs: BTreeMap::new(),
            leavers: Leavers::default(),
            actions: VecDeque::new(),
            next_action: 0,
            next_segment: 0,
            next_clip: 0,
            latest: None,
            announced: None,
            ending: None,
            gone_since: None,
            started: None,
            woken_at: None,
            keep_due: None,
        }
    }

    /// Something happened. What is to be done about it is given by [`next_action`](Self::next_action).
    pub fn handle(&mut self, event: Event, now: Moment) {
        self.started.get_or_insert(now.elapsed);
        match event {
            Event::Playlist(listing) => {
                self.gone_since = None;
                self.saw_playlist(listing, now);
            }
            Event::NoPlaylist => {
                self.gone_since.get_or_insert(now.elapsed);
            }
            Event::Indexed(indexed) => self.indexed(*indexed, now),
            Event::Unavailable { segment, may_come } => self.unavailable(segment, may_come, now),
            Event::Kept { action, location } => self.kept(action, location),
            Event::Done(action) => self.done(action, now),
            Event::Failed(action, failure) => self.failed(action, &failure, now),
            Event::Command(command) => self.command(command, now),
            Event::Time => {}
        }
        self.run(now);
    }

    /// What is to be done next, in this order; `None`: nothing, until something happens.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// How far the periodic clips have come: those of the oldest session that has some to be cut.
    #[must_use]
    pub fn state(&self) -> &State {
        match self.sessions.get(self.front()).or(self.sessions.back()) {
            Some(session) => session.clips().state(),
            None if self.left.is_some() => RECOVERING,
            None => IDLE,
        }
    }

    /// The session that is live.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        self.live().map(|session| &session.id)
    }

    /// The segments of a session that are at hand, on their timeline.
    #[must_use]
    pub fn timeline(&self, session: &SessionId) -> Option<&Timeline> {
        let found = self.sessions.iter().find(|one| one.id == *session);
        found.map(Session::timeline)
    }

    /// Where the segments of all sessions lie that are at hand.
    pub fn placements(&self) -> impl Iterator<Item = Placement> + '_ {
        self.sessions.iter().flat_map(Session::placements)
    }

    /// The live edge of the session that is live.
    #[must_use]
    pub fn live_edge(&self) -> Option<DateTime<Utc>> {
        self.live()?.edge()
    }

    /// Where the last periodic clip ended, as it is stored.
    #[must_use]
    pub fn boundary(&self) -> Option<&Boundary> {
        self.boundary.as_ref()
    }

    pub(super) fn live(&self) -> Option<&Session> {
        self.sessions
            .back()
            .filter(|session| session.over.is_none())
    }

    pub(super) fn live_mut(&mut self) -> Option<&mut Session> {
        let last = self.sessions.back_mut();
        last.filter(|session| session.over.is_none())
    }

    /// Position of the oldest session that has clips to be cut.
    pub(super) fn front(&self) -> usize {
        let lingers = |session: &&Session| matches!(session.clips().state(), State::Lingering(_));
        self.sessions.iter().take_while(lingers).count()
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn new_action(&mut self, job: Job) -> ActionId {
        let action = ActionId(self.next_action);
        self.next_action += 1;
        self.jobs.insert(action, job);
        action
    }

    pub(super) fn new_segment(&mut self) -> SegmentId {
        self.next_segment += 1;
        SegmentId(self.next_segment - 1)
    }

    fn command(&mut self, command: Command, now: Moment) {
        match command {
            Command::Periodic(interval) => {
                self.periodic = Some(interval);
                if let Some(session) = self.live_mut() {
                    session.turn_on(interval);
                }
            }
            Command::NoPeriodic => {
                self.periodic = None;
                if let Some(session) = self.live_mut() {
                    session.turn_off();
                }
            }
            Command::Clip { clip, window, cut } => {
                let with_media = |session: &&Session| session.timeline().end().is_some();
                let session = self.sessions.iter().rev().find(with_media);
                let placed = match session {
                    _ if self.requests.iter().any(|one| one.clip == clip) => Err(Refusal::Taken),
                    Some(session) => Request::place(clip, window, cut, session),
                    None => Err(Refusal::NoMedia),
                };
                match placed {
                    Ok(request) => self.requests.push(request),
                    Err(reason) => self.act(Action::Refuse { clip, reason }),
                }
            }
            Command::Record { clip, cut } => {
                let taken = self.requests.iter().any(|one| one.clip == clip);
                let request = self.live().filter(|_| !taken).map(|session| Request {
                    clip,
                    session: session.id.clone(),
                    from: session.timeline().end().unwrap_or(Ticks::MIN),
                    until: Until::Stopped,
                    cut,
                    whole: true,
                });
                let reason = if taken {
                    Refusal::Taken
                } else {
                    Refusal::NoMedia
                };
                match request {
                    Some(request) => self.requests.push(request),
                    None => self.act(Action::Refuse { clip, reason }),
                }
            }
            Command::Stop(clip) => {
                let mut all = self.requests.iter_mut();
                if let Some(request) = all.find(|one| one.clip == clip) {
                    request.until = Until::Edge;
                }
            }
            Command::End if self.left.is_some() => self.recover(None, now),
            Command::End => self.ending = self.live().map(|_| EndReason::Commanded),
        }
    }

    /// Goes on as far as it can.
    fn run(&mut self, now: Moment) {
        self.look_at_clock(now);
        while self.step(now) {}
        self.release(now);
        let deadline = self.deadline(now.elapsed);
        if deadline != self.woken_at {
            self.woken_at = deadline;
            self.act(Action::WakeAt(deadline));
        }
    }

    /// Does one thing; false when there is nothing more to do.
    fn step(&mut self, now: Moment) -> bool {
        if self.fetch_next(now) {
            return true;
        }
        if let Some(reason) = self.ending
            && self.live().is_none_or(|session| session.backlog.is_empty())
        {
            self.ending = None;
            self.end(reason, now);
            return true;
        }
        if self.cut_requested() {
            return true;
        }
        for at in 0..self.sessions.len() {
            let front = at == self.front();
            let Some(step) = self.sessions.get_mut(at).and_then(|one| one.settle(front)) else {
                continue;
            };
            match step {
                Step::Begin(mark) => self.begin_recording(at, mark),
                Step::Cut(clip) => self.cut(at, clip),
                Step::Finished => self.finish(at, now),
            }
            return true;
        }
        false
    }

    /// An action was done.
    fn done(&mut self, action: ActionId, now: Moment) {
        let Some(job) = self.jobs.remove(&action) else {
            return;
        };
        match job {
            Job::Keep(segment) => self.segment_kept(segment, None),
            Job::Release(segment) => self.leavers.released(segment),
            Job::OnDemand(..) => {}
            Job::Periodic(..) | Job::Persist => self.periodic_done(action, now),
        }
    }

    /// An action failed.
    fn failed(&mut self, action: ActionId, failure: &Failure, now: Moment) {
        let Some(job) = self.jobs.remove(&action) else {
            return;
        };
        match job {
            Job::Keep(segment) => self.not_kept(segment, failure, now.elapsed),
            Job::Release(segment) => self.leavers.not_released(segment, failure, now.elapsed),
            Job::OnDemand(..) => {}
            Job::Periodic(..) | Job::Persist => self.periodic_failed(action, failure, now.elapsed),
        }
    }
}
