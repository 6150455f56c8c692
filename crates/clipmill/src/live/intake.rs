//! What playlists list, taken one segment after the other.

use std::sync::Arc;

use super::continuity::{Circumstances, Decision, SessionStart, missing_length};
use super::event::{
    Action, EndReason, Fetch, FetchFrom, Indexed, LossReason, LostMedia, Moment, SegmentId,
    SessionId,
};
use super::listing::{Listing, Looked};
use super::recorder::Recorder;
use super::session::{Pending, Session};
use super::state::State;
use super::taken_segment::name_of;
use crate::timeline::duration_ticks;

impl Recorder {
    /// A playlist was seen.
    pub(super) fn saw_playlist(&mut self, listing: Listing, now: Moment) {
        let mut looked = Looked::from(listing);
        if self.left.is_some() {
            self.recover(Some(&mut looked), now);
        }
        if let Some(session) = self.live_mut() {
            let playlist = session.playlist.as_ref();
            if playlist.is_some_and(|own| *own != looked.playlist) {
                self.end(EndReason::Replaced, now);
            } else {
                session.target = looked.target;
            }
        }
        let circumstances = self.circumstances(&looked, now);
        let (segments, versions) = (&looked.segments, &mut looked.versions);
        let decision = self.continuity.decide(segments, &circumstances, versions);
        match decision.ends() {
            Some(EndReason::Ended) => self.ending = Some(EndReason::Ended),
            Some(reason) => self.end(reason, now),
            None => {}
        }
        let (segments, versions) = (&mut looked.segments, &mut looked.versions);
        self.continuity
            .follow(&decision, segments, &circumstances, versions);
        match decision {
            Decision::Nothing | Decision::Ends => {}
            Decision::Old { .. } => self.end_announced(true),
            Decision::Continues { from, missing, .. } => self.list(&looked, from, missing, now),
            Decision::Begins { from, start, .. } => {
                self.begin(&looked, start, now);
                self.list(&looked, from, 0, now);
            }
        }
    }

    fn circumstances(&self, looked: &Looked, now: Moment) -> Circumstances {
        let started = self.started.unwrap_or(now.elapsed);
        let interval = self.periodic.unwrap_or_default();
        Circumstances {
            live: self.live().is_some(),
            ended: looked.ended,
            age: looked.age,
            watched: now.elapsed.saturating_sub(started),
            silence: self.settings.timeouts.silence(looked.target),
            history: self.settings.history.max(interval),
        }
    }

    /// Begins a session.
    fn begin(&mut self, looked: &Looked, start: SessionStart, now: Moment) {
        let is_on = self.periodic.is_some();
        if let SessionStart::Resumed(lost) = start {
            // Only the playlist is left of it.
            let id = SessionId::from(lost.session.as_str());
            let announced = self.announced.take_if(|announced| *announced == id);
            self.end_announced(true);
            let session = self.begin_as(id, looked, now);
            session.announced = announced.is_some();
            session.clips_mut().resume(*lost);
            if !is_on {
                session.turn_off();
            }
            return;
        }
        self.end_announced(true);
        let first = looked.segments.first().map_or(0, |one| one.sequence);
        let id = SessionId::new(first, self.latest.as_ref(), now.wall);
        let session = self.begin_as(id, looked, now);
        if is_on {
            session.clips_mut().wait_for_media();
        }
        if let SessionStart::Lost(lost) = start {
            session.clips_mut().lack(LostMedia {
                from: lost.instant(),
                to: None,
                reason: LossReason::WhileAway,
            });
        }
    }

    fn begin_as(&mut self, id: SessionId, looked: &Looked, now: Moment) -> &mut Session {
        self.latest = Some(id.clone());
        self.ending = None;
        let interval = self.periodic.unwrap_or(self.settings.interval);
        let playlist = Some(Arc::clone(&looked.playlist));
        let mut session = Session::new(id, playlist, looked.target, interval, now);
        session.clips_mut().align(self.settings.aligned);
        self.sessions.push_back(session);
        let last = self.sessions.len() - 1;
        &mut self.sessions[last]
    }

    /// What a playlist lists from a position on is to be taken.
    fn list(&mut self, looked: &Looked, from: usize, missing: u64, now: Moment) {
        let listed = &looked.segments;
        let mut missing = missing;
        for (at, segment) in listed.iter().enumerate().skip(from) {
            let version = looked.versions.get(segment);
            let repeats = self.continuity.taken().repeats(segment, version);
            let taken = self.continuity.taken_mut();
            taken.saw(segment, version, None, segment.start_time);
            let id = self.new_segment();
            let Some(session) = self.live_mut() else {
                return;
            };
            let name = name_of(segment);
            let mut backlog = session.backlog.iter();
            if repeats || !segment.discontinuity && backlog.any(|one| one.awaits(name)) {
                continue;
            }
            let length = match std::mem::take(&mut missing) {
                0 => 0,
                missing => {
                    let passed = now.elapsed.saturating_sub(session.grown);
                    missing_length(session.listed_last, listed, at, missing, passed)
                }
            };
            let duration = duration_ticks(segment.duration);
            session.listed_last = segment.start_time.map(|start| (start, duration));
            session.backlog.push_back(Pending {
                missing: length,
                ..Pending::listed(id, looked.listed(segment))
            });
        }
        // What has slid out of the playlist is taken only if it is still what it was.
        let first = listed.first().map_or(0, |one| one.sequence);
        if let Some(session) = self.live_mut() {
            for pending in &mut session.backlog {
                pending.gone |= pending.sequence() < first;
            }
        }
        if looked.ended {
            self.ending = Some(EndReason::Ended);
        }
    }

    /// Has the next segment fetched. True when something went on.
    pub(super) fn fetch_next(&mut self, now: Moment) -> bool {
        if self.sessions.iter().any(|session| session.fetching) {
            return false;
        }
        let mut all = self.sessions.iter();
        let Some(at) = all.position(|session| !session.backlog.is_empty()) else {
            return false;
        };
        let closes = self.ending.is_some();
        let Some(session) = self.sessions.get_mut(at) else {
            return false;
        };
        let Some(pending) = session.backlog.front() else {
            return false;
        };
        if pending.is_gap() {
            self.pass_over(at, now);
            return true;
        }
        if pending.not_before.is_some_and(|at| at > now.elapsed) {
            return false;
        }
        let next = session.backlog.get(1);
        let last = next.is_none() && session.over.is_none();
        let fetch = Fetch {
            segment: pending.id,
            session: session.id.clone(),
            continues: session.continues(pending),
            newest: last && !closes,
            run_ends: next.map_or(closes || session.over.is_some(), Pending::discontinuity),
            patient: !(pending.gone || pending.last_try),
            from: pending.from.clone(),
        };
        session.fetching = true;
        self.act(Action::Fetch(fetch));
        false
    }

    /// The session that waits for this segment.
    fn fetches(&self, segment: SegmentId) -> Option<usize> {
        self.sessions.iter().position(|session| {
            let front = session.backlog.front();
            session.fetching && front.is_some_and(|pending| pending.id == segment)
        })
    }

    pub(super) fn indexed(&mut self, indexed: Indexed, now: Moment) {
        let Some(at) = self.fetches(indexed.segment) else {
            return;
        };
        let present = at + 1 == self.sessions.len();
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let Some(pending) = session.backlog.front() else {
            return;
        };
        let (sequence, gone) = (pending.sequence(), pending.gone);
        if let FetchFrom::Listed(listed) = &pending.from {
            let (was, is) = (listed.version, indexed.version);
            let same = match (was, is) {
                (Some(was), Some(is)) => was == is || was.grew_to(&is),
                _ => !gone,
            };
            // Its name was used again; the playlist will tell.
            if !same && (gone || !self.gives_up(at, now)) {
                return self.unavailable(indexed.segment, true, now);
            }
            if let Some(is) = is.filter(|_| present && was != is) {
                self.continuity.taken_mut().took(sequence, is);
            }
        }
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let kept = session.take(indexed, now);
        let id = session.id.clone();
        self.announce(at);
        if let Some((segment, label)) = kept {
            self.keep(&id, segment, label);
        }
        self.grow(at, now);
        let idle = |state: &State| matches!(state, State::Off | State::Waiting(_));
        if self
            .sessions
            .get(at)
            .is_some_and(|one| idle(one.clips().state()))
        {
            self.trim(at, false);
        }
    }

    /// Whether the first of a backlog has been waited for long enough.
    fn gives_up(&mut self, at: usize, now: Moment) -> bool {
        let (patience, closes) = (self.settings.patience, self.ending.is_some());
        let Some(target) = self.sessions.get(at).map(|session| session.target) else {
            return true;
        };
        let silence = self.settings.timeouts.silence(target);
        let Some(session) = self.sessions.get_mut(at) else {
            return true;
        };
        let newest = session.backlog.len() == 1 && session.over.is_none() && !closes;
        let Some(pending) = session.backlog.front_mut() else {
            return true;
        };
        let kept = matches!(pending.from, FetchFrom::Kept(_));
        if pending.gone || kept {
            return true;
        }
        let since = *pending.since.get_or_insert(now.elapsed);
        let limit = if newest { silence } else { patience };
        now.elapsed.saturating_sub(since) >= limit
    }

    pub(super) fn unavailable(&mut self, segment: SegmentId, may_come: bool, now: Moment) {
        let Some(at) = self.fetches(segment) else {
            return;
        };
        let given_up = self.gives_up(at, now);
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let Some(pending) = session.backlog.front_mut() else {
            return;
        };
        if !may_come || (given_up && (pending.last_try || pending.gone)) {
            return self.pass_over(at, now);
        }
        session.fetching = false;
        pending.last_try = given_up;
        pending.not_before = match given_up {
            true => None,
            false => Some(now.elapsed.saturating_add(self.settings.settle)),
        };
    }

    /// The first of a backlog will never come.
    fn pass_over(&mut self, at: usize, now: Moment) {
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let Some(pending) = session.pass_over(now) else {
            return;
        };
        self.announce(at);
        if matches!(pending.from, FetchFrom::Kept(_)) {
            self.leavers.add_kept(pending.id);
        }
    }

    fn announce(&mut self, at: usize) {
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        // What is over was announced as such, or never was.
        if session.over.is_none() && !std::mem::replace(&mut session.announced, true) {
            let id = session.id.clone();
            self.act(Action::SessionBegan(id));
        }
    }

    /// Ends the live session; its last clip is made when its turn comes.
    pub(super) fn end(&mut self, reason: EndReason, now: Moment) {
        self.ending = None;
        if self.live().is_some() {
            self.continuity.taken_mut().end();
        }
        let Some(session) = self.live_mut() else {
            return;
        };
        session.over = Some(now.elapsed);
        session.clips_mut().close();
        for pending in &mut session.backlog {
            pending.gone = true;
        }
        let id = session.id.clone();
        let has_begun = session.taken > 0 || !session.backlog.is_empty();
        let announced = std::mem::replace(&mut session.announced, true);
        // The beginning and the end of what an earlier run left were announced by that run.
        if !announced && has_begun && reason != EndReason::WhileAway {
            self.act(Action::SessionBegan(id.clone()));
            self.act(Action::SessionEnded(id, reason));
        } else if announced {
            self.act(Action::SessionEnded(id, reason));
        }
    }

    /// Announces the end of a session that was announced and of which nothing is left.
    pub(super) fn end_announced(&mut self, over: bool) {
        if over && let Some(id) = self.announced.take() {
            self.act(Action::SessionEnded(id, EndReason::WhileAway));
        }
    }
}
