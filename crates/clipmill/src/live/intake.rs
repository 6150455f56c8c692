//! What playlists list, taken one segment after the other.

use std::sync::Arc;

use super::boundary::Boundary;
use super::event::{Action, EndReason, Fetch, FetchFrom, Indexed, Moment, SegmentId, SessionId};
use super::listing::{Listed, Listing};
use super::memory::Memory;
use super::recorder::Recorder;
use super::session::{Pending, Session, last_part, ticks};
use super::state::State;
use super::taken::Seen;
use super::taken_segment::version_of;
use crate::timeline::Ticks;

/// Media of which only sequence numbers tell that it is missing is believed to be no longer than this,
/// or twice the time that has passed: numbers may be wrong.
const BELIEVED: Ticks = 600 * 90_000;

impl Recorder {
    /// A playlist was seen.
    pub(super) fn saw_playlist(&mut self, listing: &Listing, now: Moment) {
        if self.left.is_some() {
            self.recover(Some(listing), now);
        }
        if let Some(session) = self.live_mut() {
            if session
                .playlist
                .as_ref()
                .is_some_and(|own| *own != listing.playlist)
            {
                self.end(EndReason::Replaced, now);
            } else {
                session.target = listing.target;
            }
        }
        let listed = listing.segments.as_slice();
        let first_sight = self.memory.is_empty();
        let mut seen = self.memory.observe(listed);
        let live = self.live().is_some();
        // A playlist that was finished, or given up, and is shorter and goes on, is a new one.
        let last = listed.last().map(|last| last.segment.sequence);
        let shorter = last.is_some_and(|last| Some(last.saturating_add(1)) < self.memory.next());
        if seen == Seen::Nothing
            && !live
            && !listing.ended
            && !listed.is_empty()
            && (self.seen_ended || shorter)
        {
            seen = Seen::StartedOver { from: 0 };
        }
        let since = now
            .elapsed
            .saturating_sub(self.started.unwrap_or(now.elapsed));
        let from_before = listing.ended && listing.age >= since;
        match seen {
            Seen::Nothing if listing.ended => self.ended(),
            Seen::Nothing => {}
            Seen::StartedOver { .. } => {
                let fresh = self.memory.fresh(listed, 0);
                // Nothing but what was recorded already: an old playlist, or one in another order.
                if fresh.is_empty() {
                    return;
                }
                self.end(EndReason::StartedOver, now);
                self.memory.start_over();
                if from_before {
                    self.remember(listing);
                    return;
                }
                self.begin(listing, now);
                self.list(listing, 0, &fresh, 0, now);
            }
            Seen::New { from, missing, .. } if live => {
                let fresh = self.memory.fresh(listed, from);
                self.list(listing, from, &fresh, missing, now);
            }
            Seen::New { from, .. } => {
                let resumed = self.lost.take().map(|lost| (place_of(&lost, listed), lost));
                if let Some((None, lost)) = &resumed {
                    self.memory.read(&lost.taken);
                }
                // What came and ended while nobody looked was live in between.
                let silent = first_sight && listing.age >= self.silence_of(listing.target);
                let place = resumed.as_ref().and_then(|(place, _)| *place);
                let from = match place {
                    Some(place) => place,
                    None if silent || from_before => {
                        self.remember(listing);
                        self.tell_unbelieved(true);
                        return;
                    }
                    None if first_sight => self.history(listed),
                    None => from,
                };
                let fresh = match place {
                    Some(_) => Memory::default().fresh(listed, from),
                    None => self.memory.fresh(listed, from),
                };
                if fresh.is_empty() {
                    listed.iter().for_each(|one| self.memory.saw(one));
                    return;
                }
                self.memory.start_over();
                match resumed {
                    Some((Some(_), lost)) => self.begin_again(listing, &lost, now),
                    Some((None, lost)) => {
                        self.begin(listing, now);
                        let from = lost.instant();
                        if let Some(session) = self.live_mut() {
                            session.clips_mut().lack(super::LostMedia {
                                from,
                                to: None,
                                reason: super::LossReason::WhileAway,
                            });
                        }
                    }
                    None => self.begin(listing, now),
                }
                listed
                    .iter()
                    .take(from)
                    .for_each(|one| self.memory.saw(one));
                self.list(listing, from, &fresh, 0, now);
            }
        }
    }

    /// The playlist is finished.
    fn ended(&mut self) {
        self.seen_ended = true;
        if self.live().is_some() {
            self.ending = Some(EndReason::Ended);
        }
    }

    /// Nobody records what is listed.
    fn remember(&mut self, listing: &Listing) {
        listing.segments.iter().for_each(|one| self.memory.saw(one));
        self.seen_ended = listing.ended;
    }

    /// Position of the first segment that is recorded of a playlist that is seen for the first time.
    fn history(&self, listed: &[Listed]) -> usize {
        let most = self.settings.history.max(self.periodic.unwrap_or_default());
        let mut length = std::time::Duration::ZERO;
        let wanted = listed.iter().rev().take_while(|one| {
            length = length.saturating_add(one.segment.duration);
            length <= most
        });
        listed.len() - wanted.count().max(1).min(listed.len())
    }

    /// Begins a session.
    fn begin(&mut self, listing: &Listing, now: Moment) {
        self.tell_unbelieved(true);
        let first = listing.segments.first();
        let first = first.map_or(0, |one| one.segment.sequence);
        let id = SessionId::new(first, self.latest.as_ref(), now.wall);
        let is_on = self.periodic.is_some();
        let session = self.begin_as(id, listing, now);
        if is_on {
            session.clips_mut().wait_for_media();
        }
    }

    fn begin_as(&mut self, id: SessionId, listing: &Listing, now: Moment) -> &mut Session {
        self.latest = Some(id.clone());
        self.seen_ended = false;
        self.ending = None;
        let interval = self.periodic.unwrap_or(self.settings.interval);
        let playlist = Some(Arc::clone(&listing.playlist));
        let session = Session::new(id, playlist, listing.target, interval, now);
        self.sessions.push_back(session);
        let last = self.sessions.len() - 1;
        &mut self.sessions[last]
    }

    /// Goes on with a session of which only the playlist is left.
    fn begin_again(&mut self, listing: &Listing, lost: &Boundary, now: Moment) {
        let id = SessionId::from(lost.session.as_str());
        let is_off = self.periodic.is_none();
        let believed = self.believed.take_if(|believed| *believed == id);
        self.tell_unbelieved(true);
        let session = self.begin_as(id, listing, now);
        session.announced = believed.is_some();
        session.clips_mut().resume(lost.clone());
        if is_off {
            session.turn_off();
        }
    }

    /// The positions `fresh` of a playlist, from `from` on, are to be taken.
    fn list(&mut self, listing: &Listing, from: usize, fresh: &[usize], missing: u64, now: Moment) {
        let listed = listing.segments.get(from..).unwrap_or_default();
        listed.iter().for_each(|one| self.memory.saw(one));
        let mut missing = missing;
        for at in fresh {
            let Some(one) = listing.segments.get(*at) else {
                continue;
            };
            let length = match std::mem::take(&mut missing) {
                0 => 0,
                missing => self.missing_length(listing, one, missing, now),
            };
            let id = self.new_segment();
            let Some(session) = self.live_mut() else {
                return;
            };
            let duration = ticks(one.segment.duration);
            session.listed_last = Some((one.segment.start_time, duration));
            session.backlog.push_back(Pending {
                missing: length,
                ..Pending::listed(id, Arc::new(one.clone()))
            });
        }
        // What has slid out of the playlist is taken only if it is still what it was.
        let first = listing
            .segments
            .first()
            .map_or(0, |one| one.segment.sequence);
        if let Some(session) = self.live_mut() {
            for pending in &mut session.backlog {
                pending.gone |= pending.sequence() < first;
            }
        }
        if listing.ended {
            self.ended();
        }
    }

    /// How long the segments were that nobody saw: what the dates say, else as many as are missing of
    /// the usual length.
    fn missing_length(&self, listing: &Listing, one: &Listed, missing: u64, now: Moment) -> Ticks {
        let Some(session) = self.live() else {
            return 0;
        };
        if let (Some((Some(then), duration)), Some(time)) =
            (session.listed_last, one.segment.start_time)
        {
            let elapsed = time.signed_duration_since(then).num_microseconds();
            let elapsed = elapsed.unwrap_or(0).saturating_mul(9) / 100;
            return elapsed.saturating_sub(duration).max(0);
        }
        let all = listing.segments.iter();
        let total = all.fold(0_i64, |sum, one| {
            sum.saturating_add(ticks(one.segment.duration))
        });
        let usual = total / i64::try_from(listing.segments.len().max(1)).unwrap_or(1);
        let length = usual.saturating_mul(i64::try_from(missing).unwrap_or(i64::MAX));
        let passed = ticks(now.elapsed.saturating_sub(session.grown));
        length.min(BELIEVED.max(passed.saturating_mul(2)))
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
                self.memory.took(sequence, is);
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
        let silence = self.silence_of(target);
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
        // What an earlier run left and the world does not believe in was announced by that one.
        if !announced && has_begun && reason != EndReason::WhileAway {
            self.act(Action::SessionBegan(id.clone()));
            self.act(Action::SessionEnded(id, reason));
        } else if announced {
            self.act(Action::SessionEnded(id, reason));
        }
    }

    /// The world believes in a session of which nothing is left.
    pub(super) fn tell_unbelieved(&mut self, over: bool) {
        if over && let Some(id) = self.believed.take() {
            self.act(Action::SessionEnded(id, EndReason::WhileAway));
        }
    }
}

/// Position of the segment with which a session goes on that ended its last clip at `lost`, and two
/// more before it. `None` when it is not listed.
fn place_of(lost: &Boundary, listed: &[Listed]) -> Option<usize> {
    let taken = lost.taken.iter();
    let mut taken = taken.filter(|taken| taken.sequence == Some(lost.sequence));
    let content = taken.next_back().map_or(0, |taken| taken.file.1);
    let same = |one: &Listed| {
        let now = version_of(one.version);
        one.segment.sequence == lost.sequence
            && last_part(&one.segment.uri) == lost.segment
            // Its file may be gone, which does no harm; it may not be another one.
            && (now == content || now == 0 || content == 0)
    };
    let place = listed.iter().position(same)?;
    Some(place.saturating_sub(2))
}
