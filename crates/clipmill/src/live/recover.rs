//! Going on after a restart: the same machine, fed with what is left on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::boundary::Boundary;
use super::continuity::Continuity;
use super::event::{EndReason, Label, Moment, SegmentId, SessionId};
use super::listing::Looked;
use super::recorder::{Recorder, Settings};
use super::session::{Pending, Session};
use super::taken::{Seen, Taken};
use super::taken_segment::name_of;
use crate::timeline::duration_ticks;

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
    /// [`Listing::playlist`](super::Listing::playlist); `None` when that is not known any more: then it does not go on.
    pub playlist: Option<Arc<str>>,
    /// [`Listing::target`](super::Listing::target).
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
    /// The session whose beginning was announced, and not its end.
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
    pub(super) fn recover(&mut self, looked: Option<&mut Looked>, now: Moment) {
        let Some(left) = self.left.take() else {
            return;
        };
        let boundary = left.boundary;
        // As it was when the process ended; what was ordered since comes behind.
        let periodic = self.settings.periodic;
        // The last one tells, as it knows what was taken before.
        let mut present = boundary.as_ref().map(|boundary| boundary.session.clone());
        let mut taken = boundary
            .as_ref()
            .map_or_else(Taken::default, |boundary| Taken::read(&boundary.taken));
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
            session.clips_mut().align(self.settings.aligned);
            session.announced = left.live.as_ref() == Some(&session.id);
            if let Some(own) = own {
                session.clips_mut().recall(own);
            }
            if present
                .take()
                .is_some_and(|present| present != session.id.as_str())
            {
                taken.start_over();
            }
            present = Some(session.id.to_string());
            for LeftSegment { label, .. } in &segments {
                taken.saw_before(&label.taken(), label.discontinuity, label.version());
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
        let lost = boundary.filter(|boundary| known.is_none() && !boundary.finished);
        self.continuity = match lost {
            Some(lost) => Continuity::behind(lost),
            None => Continuity::new(taken),
        };
        // The end of one that is taken up is announced as any other's.
        let taken_up = |id: &SessionId| self.sessions.iter().any(|one| one.id == *id);
        self.announced = left.live.filter(|id| !taken_up(id));
        let continues = looked.and_then(|looked| Some((self.continues(looked)?, looked)));
        match continues {
            Some((true, looked)) => self.fill_in(looked),
            Some((false, _)) => {}
            None => self.end(EndReason::WhileAway, now),
        }
        if known.is_some() {
            self.end_announced(true);
        }
    }

    /// Whether the numbers of a playlist are those of what was kept; `None` where it is not that of the
    /// last session.
    fn continues(&self, looked: &mut Looked) -> Option<bool> {
        let session = self.live()?;
        if session.playlist.as_ref() != Some(&looked.playlist) {
            return None;
        }
        let taken = self.continuity.taken();
        match taken.observe(&looked.segments, &mut looked.versions) {
            Seen::StartedOver { .. } => None,
            Seen::New { shift, .. } => Some(shift == 0),
            Seen::Nothing => Some(true),
        }
    }

    /// What could not be kept may still lie where it was.
    fn fill_in(&mut self, looked: &mut Looked) {
        let Some(session) = self.live_mut() else {
            return;
        };
        let target = duration_ticks(session.target);
        let kept: Vec<_> = session.backlog.drain(..).collect();
        let id = session.id.clone();
        // No clip reaches back behind the last boundary.
        let boundary = self.boundary.as_ref();
        let boundary = boundary.filter(|boundary| boundary.session == id.as_str());
        let first = boundary.map_or(0, |boundary| boundary.sequence);
        let numbers = looked.segments.iter().map(|one| one.sequence);
        let listed: BTreeSet<_> = numbers.collect();
        // Among those that were kept, whatever follows them.
        let (mut names, mut fresh) = (BTreeSet::new(), BTreeMap::new());
        for one in &looked.segments {
            let taken = self.continuity.taken();
            if !taken.has(one, &mut looked.versions) && names.insert(name_of(one)) {
                fresh.insert(one.sequence, one);
            }
        }
        let mut next = kept.first().map(Pending::sequence).unwrap_or_default();
        let known = kept.len();
        let mut filled = Vec::new();
        for mut pending in kept {
            let mut found = 0_i64;
            // The numbers are the same ones only where it is listed too.
            let here = listed.contains(&pending.sequence());
            let upto = if here { pending.sequence() } else { next };
            let from = next.max(first);
            for (_, one) in fresh.range(from..upto.max(from)) {
                let listed = looked.listed(one);
                let taken = self.continuity.taken_mut();
                taken.saw(one, listed.version, None, one.start_time);
                found = found.saturating_add(1);
                let one = Pending::listed(self.new_segment(), listed);
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
            let more = filled.len().saturating_sub(known);
            session.clips_mut().more_listed(more as u64);
            session.backlog.extend(filled);
        }
    }
}
