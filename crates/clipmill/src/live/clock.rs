//! What no event tells: that time has passed.

use std::time::Duration;

use super::event::{EndReason, Moment};
use super::recorder::Recorder;
use super::state::State;

impl Recorder {
    /// Does what is due.
    pub(super) fn look_at_clock(&mut self, now: Moment) {
        let silent = self.silence().is_some_and(|at| at <= now.elapsed);
        let removed = self.removed().is_some_and(|at| at <= now.elapsed);
        if self.left.is_some() {
            if removed || self.waited().is_some_and(|at| at <= now.elapsed) {
                self.recover(None, now);
            }
        } else if removed {
            self.gone_since = None;
            self.end(EndReason::Removed, now);
        } else if silent {
            self.end(EndReason::Silent, now);
        }
        let waited = self.waited().is_some_and(|at| at <= now.elapsed);
        self.end_announced(removed || waited);
        for at in (0..self.sessions.len()).rev() {
            let Some(session) = self.sessions.get_mut(at) else {
                continue;
            };
            match session.clips().state() {
                State::Pausing(until, _) if *until <= now.elapsed => {
                    if let Some(boundary) = session.clips_mut().try_again(now.elapsed) {
                        self.store(at, boundary);
                    }
                }
                State::Lingering(until) if *until <= now.elapsed => self.remove(at),
                _ => {}
            }
        }
        self.keep_again(now);
    }

    /// When the live session is over if nothing comes.
    pub(super) fn silence(&self) -> Option<Duration> {
        let session = self.live().filter(|session| session.backlog.is_empty())?;
        let silence = self.settings.timeouts.silence(session.target);
        Some(session.grown.saturating_add(silence))
    }

    /// When what an earlier run left is waited for no longer.
    pub(super) fn waited(&self) -> Option<Duration> {
        let waits = self.left.is_some() || self.announced.is_some();
        let started = self.started.filter(|_| waits)?;
        Some(started.saturating_add(self.settings.timeouts.silence))
    }

    pub(super) fn removed(&self) -> Option<Duration> {
        let wanted = self.left.is_some() || self.live().is_some() || self.announced.is_some();
        let since = self.gone_since.filter(|_| wanted)?;
        Some(since.saturating_add(self.settings.timeouts.removed))
    }

    /// When something is due that no event tells.
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        let of_sessions = self.sessions.iter().flat_map(|session| {
            let state = match session.clips().state() {
                State::Pausing(until, _) | State::Lingering(until) => Some(*until),
                _ => None,
            };
            let next = session.backlog.front().filter(|_| !session.fetching);
            let fetch = next.and_then(|pending| pending.not_before);
            state.into_iter().chain(fetch)
        });
        let others = [
            self.waited(),
            self.silence(),
            self.removed(),
            self.keep_due,
            self.leavers.deadline(now),
        ];
        let all = of_sessions.chain(others.into_iter().flatten());
        all.filter(|at| *at > now).min()
    }
}
