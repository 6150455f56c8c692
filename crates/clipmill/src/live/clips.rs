//! Clips: what is to be done about those that are complete, and what comes of it.

use std::time::Duration;

use super::boundary::{Boundary, Mark};
use super::event::{Action, ActionId, CutJob, Failure, Grow, Moment, Purpose, SegmentId};
use super::periodic::Done;
use super::recorder::{Job, Recorder};
use super::request::Refusal;
use super::session::Session;
use super::state::{PeriodicClip, State};
use super::taken::Taken;
use super::taken_segment::TakenSegment;
use crate::cut::{Bounds, Cut};
use crate::timeline::Ticks;

impl Recorder {
    pub(super) fn begin_recording(&mut self, at: usize, mark: Mark) {
        let ordinal = self.ordinal();
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let written = with_taken_before(self.boundary.as_ref(), session.written(mark, ordinal));
        let boundary = session.begin(mark, written);
        self.store(at, boundary);
    }

    /// Has a boundary stored that goes with no clip.
    pub(super) fn store(&mut self, at: usize, boundary: Boundary) {
        let action = self.new_action(Job::Persist);
        if let Some(session) = self.sessions.get_mut(at) {
            session.awaited = Some(action);
        }
        self.act(Action::Persist { action, boundary });
    }

    /// Periodic clips made so far.
    pub(super) fn ordinal(&self) -> u64 {
        self.boundary
            .as_ref()
            .map_or(0, |boundary| boundary.ordinal)
    }

    pub(super) fn cut(&mut self, at: usize, clip: PeriodicClip) {
        let ordinal = self.ordinal() + 1;
        let Some((first, last)) = self.sessions.get(at).map(uses) else {
            return;
        };
        let action = self.new_action(Job::Periodic(first, last));
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let bounds = Bounds {
            from: Some(session.clips().clip_begins(clip.from)),
            to: clip.to.map(|to| to.ticks),
        };
        let written = session.written(clip.end, ordinal);
        let written = with_taken_before(self.boundary.as_ref(), written);
        let purpose = Purpose::Periodic {
            boundary: session.clips_mut().cut(clip, written),
            lost: session.clips().lost(),
            growing: session.growing.take(),
        };
        session.awaited = Some(action);
        let job = CutJob {
            action,
            session: session.id.clone(),
            timeline: session.timeline().clone(),
            bounds,
            cut: Cut::Keyframe,
            purpose,
        };
        self.act(Action::Cut(Box::new(job)));
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
        session.awaited = None;
        match session.clips_mut().done() {
            Some(Done::Begun(boundary)) => {
                self.boundary = Some(boundary);
                self.grow(at, now);
            }
            Some(Done::Clip {
                boundary,
                until,
                made,
            }) => {
                self.boundary = Some(boundary);
                if made {
                    self.spend(at, until);
                }
                self.trim(at, made);
            }
            None => {}
        }
    }

    /// The session that waits for the answer to this.
    pub(super) fn waits_for(&self, action: ActionId) -> Option<usize> {
        let awaited = |session: &Session| session.awaited == Some(action);
        self.sessions.iter().position(awaited)
    }

    pub(super) fn periodic_failed(&mut self, action: ActionId, failure: &Failure, now: Duration) {
        let Some(at) = self.waits_for(action) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        session.awaited = None;
        if let (Failure::Lost(lost), State::Cutting(_)) = (failure, session.clips().state())
            && !lost.is_empty()
        {
            return self.lose(at, lost);
        }
        if let Some(boundary) = session.clips_mut().failed(failure, now) {
            self.store(at, boundary);
        }
    }

    /// The content of segments is lost: recording goes on without them from where it was.
    fn lose(&mut self, at: usize, lost: &[u64]) {
        let ordinal = self.ordinal();
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        session.growing = None;
        let (before, gone) = session.lose(lost, ordinal);
        let requests = self.requests.iter_mut();
        for request in requests.filter(|request| request.session == session.id) {
            request.move_to(&before, session.timeline());
        }
        for one in gone {
            self.leavers.add(one, false);
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
            session.clips_mut().go(State::Lingering(until));
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
            for one in session.forget_all() {
                self.leavers.add(one, false);
            }
        }
    }
}

/// The segments that a clip of a session may read.
fn uses(session: &Session) -> (SegmentId, SegmentId) {
    let ids = || session.segments.iter().map(|one| one.id);
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
    all.drain(..all.len().saturating_sub(Taken::WRITTEN));
    boundary.taken = all;
    boundary
}
