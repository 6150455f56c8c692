//! Going on after a restart: the same machine, fed with what is left on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::boundary::Boundary;
use super::event::{EndReason, Label, Moment, SegmentId, SessionId};
use super::listing::Listing;
use super::memory::Memory;
use super::recorder::{Recorder, Settings};
use super::session::{Pending, Session, ticks};
use super::taken::Seen;

/// A segment that an earlier run kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftSegment {
    /// What it is called from now on: any number, greater for later ones.
    pub segment: SegmentId,
    /// What was stored with it.
    pub label: Label,
}

/// A session of which an earlier run kept segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftSession {
    /// Which.
    pub session: SessionId,
    /// [`Listing::playlist`]; `None` when that is not known any more: then it does not go on.
    pub playlist: Option<Arc<str>>,
    /// [`Listing::target`].
    pub target: Duration,
    /// Its segments, oldest first.
    pub segments: Vec<LeftSegment>,
}

/// What an earlier run left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// The last one that was stored, with a clip or alone.
    pub boundary: Option<Boundary>,
    /// Oldest first.
    pub sessions: Vec<LeftSession>,
    /// The session of which the world was told that it began, and not that it ended.
    pub live: Option<SessionId>,
}

impl Recorder {
    /// A recorder that goes on where an earlier one was when its process ended, however it did.
    #[must_use]
    pub fn resume(settings: Settings, left: Left) -> Self {
        let mut recorder = Self::new(settings);
        let boundary = left.boundary.as_ref();
        let last = boundary.map(|boundary| SessionId::from(boundary.session.as_str()));
        let kept = left.sessions.iter().map(|one| &one.session);
        let all = kept.chain(&last).chain(&left.live);
        recorder.latest = all.max().cloned();
        let segments = left.sessions.iter().flat_map(|one| &one.segments);
        let greatest = segments.map(|one| one.segment.0.saturating_add(1)).max();
        recorder.next_segment = greatest.unwrap_or(0);
        recorder.boundary.clone_from(&left.boundary);
        recorder.left = Some(left);
        recorder
    }

    /// Takes up what was left. Sessions that were over are closed with what is kept of them; the last
    /// one goes on if its playlist, which is this, still is the same one.
    pub(super) fn recover(&mut self, listing: Option<&Listing>, now: Moment) {
        let Some(left) = self.left.take() else {
            return;
        };
        let boundary = left.boundary;
        // As it was when the process ended; what was ordered since comes behind.
        let periodic = self.settings.periodic;
        // The last one tells, as it knows what was taken before.
        let mut present = boundary.as_ref().map(|boundary| boundary.session.clone());
        if let Some(boundary) = &boundary {
            self.memory.read(&boundary.taken);
        }
        let over = |id: &SessionId| {
            let last = boundary.as_ref();
            last.is_some_and(|boundary| boundary.session.as_str() > id.as_str())
        };
        for LeftSession {
            session: id,
            playlist,
            target,
            segments,
        } in left.sessions
        {
            if over(&id) || segments.is_empty() {
                for one in segments {
                    self.leavers.add_kept(one.segment);
                }
                continue;
            }
            self.end(EndReason::WhileAway, now);
            let own = boundary.as_ref();
            let own = own.filter(|boundary| boundary.session == id.as_str());
            let interval = periodic.unwrap_or(self.settings.interval);
            let mut session = Session::new(id, playlist, target, interval, now);
            session.announced = left.live.as_ref() == Some(&session.id);
            if let Some(own) = own {
                session.clips_mut().recall(own);
            }
            if present
                .take()
                .is_some_and(|present| present != session.id.as_str())
            {
                self.memory.start_over();
            }
            present = Some(session.id.to_string());
            for LeftSegment { label, .. } in &segments {
                self.memory.saw_before(&label.taken(), label.version());
            }
            session.backlog.extend(
                segments
                    .into_iter()
                    .map(|one| Pending::kept(one.segment, one.label)),
            );
            match own {
                Some(own) if !own.finished || periodic.or(self.periodic).is_some() => {
                    session.clips_mut().resume(own.clone());
                    // Recording was turned off, and its last clip was not made any more.
                    if periodic.is_none() && !own.finished {
                        session.turn_off();
                    }
                }
                None if periodic.is_some() => session.clips_mut().wait_for_media(),
                _ => {}
            }
            self.sessions.push_back(session);
        }
        let ordered = self.periodic;
        if let Some(session) = self.live_mut().filter(|_| ordered != periodic) {
            match ordered {
                Some(interval) => session.turn_on(interval),
                None => session.turn_off(),
            }
        }
        let known = self.live().map(|session| session.id.clone());
        if known.is_none() {
            self.lost = boundary.filter(|boundary| !boundary.finished);
            if self.lost.is_some() {
                self.memory = Memory::default();
            }
        }
        if left.live.is_some() && left.live != known {
            self.believed = left.live;
        }
        let goes_on = listing.is_some_and(|listing| self.goes_on(listing));
        match listing {
            Some(listing) if goes_on => self.fill_in(listing),
            _ => self.end(EndReason::WhileAway, now),
        }
        if known.is_some() {
            self.tell_unbelieved(true);
        }
    }

    /// Whether a playlist is that of the last session.
    fn goes_on(&mut self, listing: &Listing) -> bool {
        let same = |own: &Session| own.playlist.as_ref() == Some(&listing.playlist);
        let goes_on = self.live().is_some_and(same);
        let seen = goes_on.then(|| self.memory.observe(&listing.segments));
        seen.is_some_and(|seen| !matches!(seen, Seen::StartedOver { .. }))
    }

    /// What could not be kept may still lie where it was.
    fn fill_in(&mut self, listing: &Listing) {
        let Some(session) = self.live_mut() else {
            return;
        };
        let target = ticks(session.target);
        let kept: Vec<_> = session.backlog.drain(..).collect();
        // Among those that were kept, whatever follows them.
        let fresh = self.memory.not_taken(&listing.segments);
        let fresh = fresh.iter().filter_map(|at| listing.segments.get(*at));
        let fresh: BTreeMap<_, _> = fresh.map(|one| (one.segment.sequence, one)).collect();
        let listed = listing.segments.iter().map(|one| one.segment.sequence);
        let listed: BTreeSet<_> = listed.collect();
        let mut next = kept.first().map(Pending::sequence).unwrap_or_default();
        let mut filled = Vec::new();
        for mut pending in kept {
            let mut found = 0_i64;
            // The numbers are the same ones only where it is listed too.
            let here = listed.contains(&pending.sequence());
            let here = next..if here {
                pending.sequence().max(next)
            } else {
                next
            };
            for (_, one) in fresh.range(here) {
                self.memory.saw(one);
                found = found.saturating_add(1);
                let id = self.new_segment();
                let one = Pending::listed(id, Arc::new((*one).clone()));
                pending.missing = pending.missing.saturating_sub(one.duration()).max(0);
                filled.push(one);
            }
            let unseen = pending.sequence().saturating_sub(next);
            let lost = i64::try_from(unseen)
                .unwrap_or(i64::MAX)
                .saturating_sub(found);
            if pending.missing == 0 && found == 0 && lost > 0 {
                pending.missing = target.saturating_mul(lost);
            }
            next = pending.sequence().saturating_add(1);
            filled.push(pending);
        }
        if let Some(session) = self.live_mut() {
            session.backlog.extend(filled);
        }
    }
}
