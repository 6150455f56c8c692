//! What is kept from deletion, and when it is let go: no sooner than every clip that reads it is cut.

use std::collections::BTreeMap;
use std::time::Duration;

use clipmill_playlist::Location;

use super::event::{Action, ActionId, Failure, Keep, Label, Moment, SegmentId, SessionId};
use super::recorder::{Job, Recorder};
use super::session::{Keeping, SessionSegment};
use crate::net::BackOff;
use crate::timeline::{Ticks, duration_ticks};

/// A segment that is on no timeline any more.
#[derive(Debug)]
struct Leaving {
    kept: Keeping,
    /// [`Action::Spent`] was given, or is not needed.
    spent: bool,
    /// It is being released.
    action: Option<ActionId>,
    tries: u32,
    not_before: Duration,
}

/// The segments that are on no timeline any more and are kept.
#[derive(Debug, Default)]
pub(super) struct Leavers(BTreeMap<SegmentId, Leaving>);

impl Leavers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `used_up`: all of it is in clips that are made.
    pub(super) fn add(&mut self, one: SessionSegment, used_up: bool) {
        let leaving = Leaving {
            kept: one.kept,
            spent: one.spent || !used_up,
            action: None,
            tries: 0,
            not_before: Duration::ZERO,
        };
        self.0.insert(one.id, leaving);
    }

    /// A segment that an earlier run kept and that is of no use.
    pub(super) fn add_kept(&mut self, segment: SegmentId) {
        let leaving = Leaving {
            kept: Keeping::Kept,
            spent: true,
            action: None,
            tries: 0,
            not_before: Duration::ZERO,
        };
        self.0.insert(segment, leaving);
    }

    /// An answer that keeps it came late.
    pub(super) fn kept(&mut self, segment: SegmentId, kept: Keeping) {
        if let Some(leaving) = self.0.get_mut(&segment) {
            leaving.kept = kept;
        }
    }

    pub(super) fn released(&mut self, segment: SegmentId) {
        self.0.remove(&segment);
    }

    pub(super) fn not_released(&mut self, segment: SegmentId, failure: &Failure, now: Duration) {
        if let Some(leaving) = self.0.get_mut(&segment) {
            leaving.tries = leaving.tries.saturating_add(1);
            leaving.not_before = now.saturating_add(failure.pause(leaving.tries));
            leaving.action = None;
        }
    }

    /// Lets go of what nothing reads. `new` names an action.
    pub(super) fn release(
        &mut self,
        in_use: impl Fn(SegmentId) -> bool,
        now: Duration,
        mut new: impl FnMut(SegmentId) -> ActionId,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        self.0.retain(|segment, leaving| {
            let waits = leaving.kept == Keeping::Asked || leaving.action.is_some();
            if waits || in_use(*segment) {
                return true;
            }
            if !std::mem::replace(&mut leaving.spent, true) {
                actions.push(Action::Spent(*segment));
            }
            if leaving.kept != Keeping::Kept {
                return false;
            }
            if leaving.not_before <= now {
                let action = new(*segment);
                leaving.action = Some(action);
                actions.push(Action::Release {
                    action,
                    segment: *segment,
                });
            }
            true
        });
        actions
    }

    /// When a release is tried again.
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        let idle = self.0.values().filter(|leaving| leaving.action.is_none());
        let due = idle.map(|leaving| leaving.not_before);
        due.filter(|due| *due > now).min()
    }
}

/// How soon something is tried again for which there was no room.
const NO_ROOM: Duration = Duration::from_secs(3);

/// How soon what failed otherwise is.
const PAUSES: BackOff = BackOff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
};

/// A clip whose media cannot be read is given up after so many tries.
const TRIES: u32 = 4;

impl Failure {
    /// How long to wait before something is tried again that failed so often.
    #[must_use]
    pub fn pause(&self, tries: u32) -> Duration {
        match self {
            Self::NoRoom => NO_ROOM,
            _ => PAUSES.after(tries),
        }
    }

    /// Whether a clip that failed so often is given up.
    #[must_use]
    pub fn is_final(&self, tries: u32) -> bool {
        match self {
            Self::Nothing => true,
            Self::Media => tries >= TRIES,
            Self::NoRoom | Self::Lost(_) | Self::Gone | Self::Store => false,
        }
    }
}

impl Recorder {
    pub(super) fn kept(&mut self, action: ActionId, location: Option<Location>) {
        if let Some(Job::Keep(segment)) = self.jobs.remove(&action) {
            self.segment_kept(segment, location);
        }
    }

    pub(super) fn segment_kept(&mut self, segment: SegmentId, location: Option<Location>) {
        let found = self.sessions.iter_mut();
        for session in found {
            if session.kept(segment, location.clone()) {
                return;
            }
        }
        self.leavers.kept(segment, Keeping::Kept);
    }

    pub(super) fn not_kept(&mut self, segment: SegmentId, failure: &Failure, now: Duration) {
        let all = self.sessions.iter_mut().flat_map(|one| &mut one.segments);
        let Some(one) = all.into_iter().find(|one| one.id == segment) else {
            return self.leavers.kept(segment, Keeping::Never);
        };
        one.tries = one.tries.saturating_add(1);
        one.kept = match failure {
            Failure::Gone => Keeping::Never,
            _ => {
                let at = now.saturating_add(failure.pause(one.tries));
                self.keep_due = Some(self.keep_due.map_or(at, |due| due.min(at)));
                Keeping::Failed(at)
            }
        };
    }

    /// Has a segment kept.
    pub(super) fn keep(&mut self, session: &SessionId, segment: SegmentId, label: Label) {
        let action = self.new_action(Job::Keep(segment));
        let session = session.clone();
        self.act(Action::Keep(Keep {
            action,
            segment,
            session,
            label,
        }));
    }

    /// Says of which segments all is in clips that are made, up to `end`.
    pub(super) fn spend(&mut self, at: usize, end: Ticks) {
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let timeline = session.timeline();
        let begins = timeline.segments().iter().map(|one| one.first_presented);
        let ends: Vec<_> = begins.skip(1).chain([timeline.end()]).collect();
        let mut spent = Vec::new();
        for (one, ends) in session.segments.iter_mut().zip(ends) {
            let used = ends.is_some_and(|at| at <= end) && one.kept == Keeping::Kept;
            if used && !std::mem::replace(&mut one.spent, true) {
                spent.push(one.id);
            }
        }
        for segment in spent {
            self.act(Action::Spent(segment));
        }
    }

    /// Lets go of what no clip of a session needs any more.
    pub(super) fn trim(&mut self, at: usize, used_up: bool) {
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let Some(edge) = session.timeline().end() else {
            return;
        };
        let window = self
            .settings
            .window
            .map(|window| edge - duration_ticks(window));
        let own = session.clips().needed(edge);
        let asked = self.requests.iter();
        let asked = asked.filter(|request| request.session == session.id);
        let asked = asked.map(|request| request.from);
        let needed = asked.chain(window).fold(own, Ticks::min);
        for one in session.forget_before(needed) {
            self.leavers.add(one, used_up);
        }
    }

    pub(super) fn release(&mut self, now: Moment) {
        if self.leavers.is_empty() {
            return;
        }
        let (jobs, next) = (&mut self.jobs, &mut self.next_action);
        let in_use: Vec<_> = jobs
            .values()
            .filter_map(|job| match job {
                Job::Periodic(first, last) | Job::OnDemand(first, last) => Some(*first..=*last),
                Job::Keep(_) | Job::Release(_) | Job::Persist => None,
            })
            .collect();
        let in_use = |segment| in_use.iter().any(|range| range.contains(&segment));
        let actions = self.leavers.release(in_use, now.elapsed, |segment| {
            let action = ActionId(*next);
            *next += 1;
            jobs.insert(action, Job::Release(segment));
            action
        });
        self.actions.extend(actions);
    }

    /// Tries anew to keep what could not be kept.
    pub(super) fn keep_again(&mut self, now: Moment) {
        if self.keep_due.is_none_or(|due| due > now.elapsed) {
            return;
        }
        let (mut due, mut next) = (Vec::new(), None::<Duration>);
        for session in &mut self.sessions {
            for one in &mut session.segments {
                match one.kept {
                    Keeping::Failed(at) if at <= now.elapsed => {
                        one.kept = Keeping::Asked;
                        due.push((session.id.clone(), one.id, one.label));
                    }
                    Keeping::Failed(at) => next = Some(next.map_or(at, |next| next.min(at))),
                    Keeping::Asked | Keeping::Kept | Keeping::Never => {}
                }
            }
        }
        self.keep_due = next;
        for (session, segment, label) in due {
            self.keep(&session, segment, label);
        }
    }
}
