//! Clips: what is to be done about those that are complete, and what comes of it.

use std::time::Duration;

use super::boundary::{Anchor, Boundary, Mark};
use super::event::{Action, ActionId, CutJob, Failure, Grow, Moment, Purpose, SegmentId};
use super::keeping::pause;
use super::memory::TakenSegment;
use super::recorder::{Job, Recorder};
use super::request::Refusal;
use super::session::{Session, WRITTEN};
use super::state::{Beginning, Order, PeriodicClip, State};
use crate::cut::{Bounds, Cut};
use crate::timeline::Ticks;

/// A clip whose media cannot be read is given up after so many tries.
const TRIES: u32 = 4;

impl Recorder {
    pub(super) fn begin_recording(&mut self, at: usize, mark: Mark) {
        let ordinal = self.ordinal();
        let action = self.new_action(Job::Persist);
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        if let State::Resuming(left_off) = &session.state
            && !left_off.finished
            && session.lost.is_none()
        {
            session.lost = Some(super::LostMedia {
                from: left_off.instant(),
                to: session.timeline().time_at(mark.ticks),
                reason: super::LossReason::Missing,
            });
        }
        session.from_the_start = session.state == State::Waiting(Ticks::MIN);
        let boundary = Boundary {
            lost: session.lost,
            from_the_start: session.from_the_start,
            ..session.written(mark, ordinal)
        };
        let boundary = with_taken_before(self.boundary.as_ref(), boundary);
        let origin = std::mem::replace(&mut session.state, State::Off);
        let begin = Beginning {
            mark,
            action,
            boundary: boundary.clone(),
            origin: origin.clone(),
        };
        session.state = origin;
        session.go(State::Beginning(Box::new(begin)));
        self.act(Action::Persist { action, boundary });
    }

    /// Periodic clips made so far.
    pub(super) fn ordinal(&self) -> u64 {
        self.boundary
            .as_ref()
            .map_or(0, |boundary| boundary.ordinal)
    }

    pub(super) fn cut(&mut self, at: usize, mut clip: PeriodicClip) {
        clip.boundary.ordinal = self.ordinal() + 1;
        clip.boundary = with_taken_before(self.boundary.as_ref(), clip.boundary);
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let bounds = Bounds {
            from: Some(session.clip_begins(clip.from)),
            to: clip.to.map(|to| to.ticks),
        };
        let purpose = Purpose::Periodic {
            boundary: clip.boundary.clone(),
            lost: session.lost,
            growing: session.growing.take(),
        };
        let uses = uses(session);
        let (id, timeline) = (session.id.clone(), session.timeline().clone());
        let action = self.new_action(Job::Periodic(uses.0, uses.1));
        if let Some(session) = self.sessions.get_mut(at) {
            session.go(State::Cutting(Box::new(clip), action));
        }
        self.act(Action::Cut(Box::new(CutJob {
            action,
            session: id,
            timeline,
            bounds,
            cut: Cut::Keyframe,
            purpose,
        })));
    }

    /// Cuts a clip that was asked for, if one is due.
    pub(super) fn cut_requested(&mut self) -> bool {
        let sessions = &self.sessions;
        let found = self.requests.iter().enumerate().find_map(|(at, request)| {
            let Some(session) = sessions.iter().find(|one| one.id == request.session) else {
                return Some((at, None));
            };
            let over = session.over.is_some() && session.backlog.is_empty();
            let due = request.is_due(session.timeline(), over);
            due.then_some((at, Some((session, over))))
        });
        let Some((at, session)) = found else {
            return false;
        };
        let request = self.requests.get(at).cloned();
        let job = session.zip(request).map(|((session, over), request)| {
            let timeline = session.timeline().clone();
            let bounds = request.bounds();
            let instant = |at: Option<Ticks>| timeline.time_at(at?);
            let purpose = Purpose::OnDemand {
                clip: request.clip,
                window: (instant(bounds.from), instant(bounds.to)),
                whole: request.whole,
                settled: request.is_settled(&timeline, over),
            };
            let uses = uses(session);
            (
                uses,
                session.id.clone(),
                timeline,
                bounds,
                request.cut,
                purpose,
            )
        });
        let request = self.requests.remove(at);
        match job {
            Some((uses, session, timeline, bounds, cut, purpose)) => {
                let action = self.new_action(Job::OnDemand(uses.0, uses.1));
                self.act(Action::Cut(Box::new(CutJob {
                    action,
                    session,
                    timeline,
                    bounds,
                    cut,
                    purpose,
                })));
            }
            None => self.act(Action::Refuse {
                clip: request.clip,
                reason: Refusal::Lost,
            }),
        }
        true
    }

    /// A periodic clip is cut, or a boundary stored.
    pub(super) fn periodic_done(&mut self, action: ActionId, now: Moment) {
        let Some(at) = self.waits_for(action) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let (clip, made) = match &session.state {
            State::Beginning(begin) => {
                let mark = begin.mark;
                self.boundary = Some(begin.boundary.clone());
                session.tries = 0;
                session.go(State::Recording(mark));
                return self.grow(at, now);
            }
            State::Cutting(clip, _) => (clip.clone(), true),
            State::Skipping(clip, _) => (clip.clone(), false),
            _ => return,
        };
        self.boundary = Some(clip.boundary.clone());
        let end = session.dealt_with(&clip, made);
        if made {
            self.spend(at, end);
        }
        self.trim(at, made);
    }

    /// The session that waits for the answer to this.
    pub(super) fn waits_for(&self, action: ActionId) -> Option<usize> {
        self.sessions
            .iter()
            .position(|session| match &session.state {
                State::Beginning(begin) => begin.action == action,
                State::Cutting(_, waits) | State::Skipping(_, waits) => *waits == action,
                _ => false,
            })
    }

    pub(super) fn periodic_failed(&mut self, action: ActionId, failure: &Failure, now: Duration) {
        let Some(at) = self.waits_for(action) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let state = session.state.clone();
        if let (Failure::Lost(lost), State::Cutting(clip, _)) = (failure, &state)
            && !lost.is_empty()
        {
            let clip = clip.clone();
            return self.lose(at, lost, &clip);
        }
        session.tries = session.tries.saturating_add(1);
        let until = now.saturating_add(pause(failure, session.tries));
        let next = match state {
            State::Beginning(begin) => begin.origin.clone(),
            State::Skipping(clip, action) => State::Skipping(clip, action),
            State::Cutting(clip, _) => {
                let given_up = *failure == Failure::Media && session.tries >= TRIES;
                if given_up || *failure == Failure::Nothing {
                    session.tries = 0;
                    return self.skip(at, clip);
                }
                State::Recording(clip.from)
            }
            _ => return,
        };
        session.go(State::Pausing(until, Box::new(next)));
    }

    /// Nothing comes of a clip: recording goes on behind it, which is yet to be stored.
    pub(super) fn skip(&mut self, at: usize, mut clip: Box<PeriodicClip>) {
        // It is no clip, and counts as none.
        clip.boundary.ordinal = self.ordinal();
        let action = self.new_action(Job::Persist);
        let lost = self.sessions.get(at).and_then(|session| session.lost);
        clip.boundary.lost = lost;
        let boundary = clip.boundary.clone();
        if let Some(session) = self.sessions.get_mut(at) {
            session.go(State::Skipping(clip, action));
        }
        self.act(Action::Persist { action, boundary });
    }

    /// The content of segments is lost: recording goes on without them from where it was.
    pub(super) fn lose(&mut self, at: usize, lost: &[u64], clip: &PeriodicClip) {
        let ordinal = self.ordinal();
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let boundary = session.written(clip.from, ordinal);
        let (before, gone) = session.lose(lost);
        session.growing = None;
        let mut orders = std::mem::take(&mut session.orders);
        for order in &mut orders {
            if let Order::On(_, Some(from)) = order {
                let found = Anchor::of(&before, *from).find(session.timeline());
                *from = found.map_or(Ticks::MIN, |(at, _)| at);
            }
        }
        session.orders = orders;
        session.go(State::Resuming(Box::new(boundary)));
        let requests = self.requests.iter_mut();
        for request in requests.filter(|request| request.session == session.id) {
            request.move_to(&before, session.timeline());
        }
        for held in gone {
            self.leavers.add(held, false);
        }
    }

    /// Has what came for the clip in the making written ahead.
    pub(super) fn grow(&mut self, at: usize, _now: Moment) {
        let front = at == self.front();
        let next = self.next_clip;
        let Some(session) = self.sessions.get_mut(at).filter(|_| front) else {
            return;
        };
        let Some((from, expected)) = session.may_grow() else {
            return;
        };
        let clip = *session.growing.get_or_insert(next);
        let session = session.id.clone();
        self.next_clip = self.next_clip.max(clip + 1);
        self.act(Action::Grow(Grow {
            session,
            clip,
            from,
            expected,
        }));
    }

    /// All clips of a session are cut.
    pub(super) fn finish(&mut self, at: usize, now: Moment) {
        let over = self.sessions.get(at).and_then(|session| session.over);
        let until = over.zip(self.settings.window);
        let until = until.map(|(over, window)| over.saturating_add(window));
        if let Some(until) = until.filter(|until| *until > now.elapsed)
            && let Some(session) = self.sessions.get_mut(at)
        {
            session.go(State::Lingering(until));
        } else {
            self.remove(at);
        }
        // Those behind it may go on.
        for session in &mut self.sessions {
            session.unsettled = true;
        }
    }

    pub(super) fn remove(&mut self, at: usize) {
        if let Some(mut session) = self.sessions.remove(at) {
            for held in session.forget_all() {
                self.leavers.add(held, false);
            }
        }
    }
}

/// The segments that a clip of a session may read.
fn uses(session: &Session) -> (SegmentId, SegmentId) {
    let ids = || session.held.iter().map(|held| held.id);
    let first = ids().min().unwrap_or(SegmentId(1));
    let last = ids().max().unwrap_or(SegmentId(0));
    (first, last)
}

/// What was taken before a session, written down with its boundaries as well.
fn with_taken_before(before: Option<&Boundary>, mut boundary: Boundary) -> Boundary {
    let Some(before) = before else {
        return boundary;
    };
    let same = before.session == boundary.session;
    let first = boundary.taken.first().and_then(|first| first.sequence);
    let before = before.taken.iter().filter(|taken| {
        let later = same && taken.sequence.is_some() && taken.sequence >= first;
        !later
    });
    let before = before.map(|taken| TakenSegment {
        sequence: taken.sequence.filter(|_| same),
        ..*taken
    });
    let mut all: Vec<_> = before.chain(boundary.taken.iter().copied()).collect();
    all.drain(..all.len().saturating_sub(WRITTEN));
    boundary.taken = all;
    boundary
}
