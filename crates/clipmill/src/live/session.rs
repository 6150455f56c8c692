//! One session: the timeline of its segments, those that are still to be taken, and how far its
//! periodic clips have come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clipmill_playlist::Location;

use super::boundary::{Boundary, Mark};
use super::event::{ActionId, FetchFrom, Indexed, Label, Moment, SegmentId, SessionId};
use super::listing::Listed;
use super::periodic::{PeriodicClips, Progress, Step};
use super::taken::Taken;
use super::taken_segment::name_of;
use crate::timeline::{SegmentInfo, Ticks, Timeline, duration_ticks};

/// Segments kept before the one in which the next clip begins: sound of its first moments may lie in
/// the one before, and a demultiplexer that starts anew needs one more to find its feet.
const MARGIN: usize = 2;

/// Where a segment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Which.
    pub segment: SegmentId,
    /// Its number on the timeline.
    pub number: u64,
    /// Media sequence number.
    pub sequence: u64,
    /// Where its first frame is presented; `None` when it has none of the leading track.
    pub from: Option<Ticks>,
    /// It is kept from deletion.
    pub kept: bool,
}

/// A segment that is still to be taken.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) id: SegmentId,
    pub(super) from: FetchFrom,
    /// Length of those never seen between the one before and it.
    pub(super) missing: Ticks,
    /// It is no longer listed: taken only if it is still what it was.
    pub(super) gone: bool,
    /// Since when it is waited for.
    pub(super) since: Option<Duration>,
    /// Not to be fetched again before this.
    pub(super) not_before: Option<Duration>,
    /// It has been waited for long enough: it is asked for once more.
    pub(super) last_try: bool,
}

impl Pending {
    pub(super) fn listed(id: SegmentId, listed: Arc<Listed>) -> Self {
        Self {
            id,
            from: FetchFrom::Listed(listed),
            missing: 0,
            gone: false,
            since: None,
            not_before: None,
            last_try: false,
        }
    }

    pub(super) fn kept(id: SegmentId, label: Label) -> Self {
        Self {
            from: FetchFrom::Kept(label),
            missing: label.missing_before,
            id,
            gone: false,
            since: None,
            not_before: None,
            last_try: true,
        }
    }

    pub(super) fn duration(&self) -> Ticks {
        match &self.from {
            FetchFrom::Listed(listed) => duration_ticks(listed.segment.duration),
            FetchFrom::Kept(label) => label.duration,
        }
    }

    pub(super) fn sequence(&self) -> u64 {
        match &self.from {
            FetchFrom::Listed(listed) => listed.segment.sequence,
            FetchFrom::Kept(label) => label.sequence,
        }
    }

    pub(super) fn discontinuity(&self) -> bool {
        match &self.from {
            FetchFrom::Listed(listed) => listed.segment.discontinuity,
            FetchFrom::Kept(label) => label.discontinuity,
        }
    }

    /// The last part of its URI.
    fn name(&self) -> &str {
        match &self.from {
            FetchFrom::Listed(listed) => last_part(&listed.segment.uri),
            FetchFrom::Kept(_) => "",
        }
    }

    /// Whether it is listed with this name, and it is not known yet what is in its file.
    pub(super) fn awaits(&self, name: u32) -> bool {
        match &self.from {
            FetchFrom::Listed(listed) => {
                let unknown = listed.version.is_none() && !self.gone;
                unknown && name_of(&listed.segment) == name
            }
            FetchFrom::Kept(_) => false,
        }
    }

    /// Whether it will never come.
    pub(super) fn is_gap(&self) -> bool {
        match &self.from {
            FetchFrom::Listed(listed) => {
                listed.segment.gap || (self.gone && listed.version.is_none())
            }
            FetchFrom::Kept(_) => false,
        }
    }
}

/// A segment on the timeline.
#[derive(Debug, Clone)]
pub(super) struct SessionSegment {
    pub(super) id: SegmentId,
    pub(super) label: Label,
    pub(super) kept: Keeping,
    /// How often it could not be kept.
    pub(super) tries: u32,
    /// [`Action::Spent`](super::Action::Spent) was given.
    pub(super) spent: bool,
    /// The last part of its URI.
    name: Box<str>,
}

/// Whether a segment is kept from deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    /// It was asked for.
    Asked,
    Kept,
    /// It failed, and is tried again then.
    Failed(Duration),
    /// There is no way.
    Never,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) playlist: Option<Arc<str>>,
    pub(super) target: Duration,
    timeline: Timeline,
    /// One for each segment on the timeline.
    pub(super) segments: VecDeque<SessionSegment>,
    pub(super) backlog: VecDeque<Pending>,
    /// The first of the backlog is being fetched.
    pub(super) fetching: bool,
    /// How many of it were taken, or given up.
    pub(super) taken: u64,
    pub(super) missing: Ticks,
    pub(super) discontinuity: bool,
    /// The last segment's timestamp and instant, where only its arrival dates it.
    dated: Option<(Ticks, DateTime<Utc>)>,
    clips: PeriodicClips,
    /// The answer that its clips wait for.
    pub(super) awaited: Option<ActionId>,
    /// When the last segment came.
    pub(super) grown: Duration,
    pub(super) announced: bool,
    /// Its end was announced, at this moment.
    pub(super) over: Option<Duration>,
    /// The number of the clip that grows.
    pub(super) growing: Option<u64>,
    /// When the segment that was listed last begins, and how long it is, where that is known.
    pub(super) listed_last: Option<(DateTime<Utc>, Ticks)>,
    /// Something happened since it was settled.
    pub(super) unsettled: bool,
}

impl Session {
    pub(super) fn new(
        id: SessionId,
        playlist: Option<Arc<str>>,
        target: Duration,
        interval: Duration,
        now: Moment,
    ) -> Self {
        Self {
            id,
            playlist,
            target,
            timeline: Timeline::new(),
            segments: VecDeque::new(),
            backlog: VecDeque::new(),
            fetching: false,
            taken: 0,
            missing: 0,
            discontinuity: false,
            dated: None,
            clips: PeriodicClips::new(interval),
            awaited: None,
            grown: now.elapsed,
            announced: false,
            over: None,
            growing: None,
            listed_last: None,
            unsettled: true,
        }
    }

    pub(super) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(super) fn clips(&self) -> &PeriodicClips {
        &self.clips
    }

    /// Something happens to its clips.
    pub(super) fn clips_mut(&mut self) -> &mut PeriodicClips {
        self.unsettled = true;
        &mut self.clips
    }

    /// What is to be done next for its clips. `front`: no session before it has clips to be cut.
    pub(super) fn settle(&mut self, front: bool) -> Option<Step> {
        if !std::mem::take(&mut self.unsettled) {
            return None;
        }
        let progress = Progress {
            taken: self.taken,
            all_taken: self.backlog.is_empty(),
            retaking: self.retakes(),
            front,
        };
        self.clips.step(&self.timeline, progress)
    }

    /// Recording begins at `mark`. Gives what is to be stored.
    pub(super) fn begin(&mut self, mark: Mark, written: Boundary) -> Boundary {
        self.unsettled = true;
        self.clips.begin(mark, &self.timeline, written)
    }

    /// Periodic clips of this interval, from the live edge on.
    pub(super) fn turn_on(&mut self, interval: Duration) {
        if self.over.is_none() {
            let retaking = self.retakes();
            self.unsettled = true;
            self.clips.turn_on(interval, &self.timeline, retaking);
        }
    }

    /// No periodic clips beyond what is listed now.
    pub(super) fn turn_off(&mut self) {
        if self.over.is_none() {
            let after = self.taken + self.backlog.len() as u64;
            self.clips_mut().turn_off(Some(after));
        }
    }

    /// Where the clip in the making begins, and how long it will be, while it may be written ahead.
    pub(super) fn may_grow(&self) -> Option<(Ticks, Ticks)> {
        let ahead = self.clips.may_grow(&self.timeline, self.target)?;
        let reached = self.timeline.latest_end()?;
        (reached <= ahead.until).then_some((ahead.begins, ahead.length))
    }

    pub(super) fn placements(&self) -> impl Iterator<Item = Placement> + '_ {
        let all = self.timeline.segments().iter().zip(&self.segments);
        all.map(|(placed, one)| Placement {
            segment: one.id,
            number: placed.number,
            sequence: placed.info.sequence,
            from: placed.first_presented,
            kept: one.kept == Keeping::Kept,
        })
    }

    /// Whether some of what an earlier run kept is still to be taken again.
    pub(super) fn retakes(&self) -> bool {
        let mut backlog = self.backlog.iter();
        backlog.any(|pending| matches!(pending.from, FetchFrom::Kept(_)))
    }

    /// The segment follows the one that was indexed before.
    pub(super) fn continues(&self, next: &Pending) -> bool {
        let unbroken = self.missing == 0 && next.missing == 0;
        unbroken && !self.discontinuity && !next.discontinuity() && self.taken > 0
    }

    /// Takes the first of the backlog, which was indexed. Gives what is to be stored with it.
    pub(super) fn take(&mut self, indexed: Indexed, now: Moment) -> Option<(SegmentId, Label)> {
        let remaining: Ticks = self
            .backlog
            .iter()
            .fold(0, |sum, one| sum.saturating_add(one.duration()));
        self.fetching = false;
        let pending = self.backlog.pop_front()?;
        self.taken += 1;
        let was_kept = matches!(pending.from, FetchFrom::Kept(_));
        let stated = match &pending.from {
            FetchFrom::Listed(listed) => listed.segment.start_time,
            FetchFrom::Kept(label) => label.start_time(),
        };
        if was_kept {
            self.dated = indexed.index.first_timestamp().zip(stated);
        }
        let start_time = stated.or_else(|| self.date(&indexed, &pending, remaining, now.wall));
        let label = Label {
            sequence: pending.sequence(),
            duration: pending.duration(),
            start_us: start_time.map(|time| time.timestamp_micros()),
            discontinuity: std::mem::take(&mut self.discontinuity) || pending.discontinuity(),
            missing_before: std::mem::take(&mut self.missing).saturating_add(pending.missing),
            version: indexed.version.map(|version| (version.tag, version.len)),
            name: match &pending.from {
                FetchFrom::Listed(listed) => name_of(&listed.segment),
                FetchFrom::Kept(label) => label.name,
            },
        };
        let info = SegmentInfo {
            location: indexed.location,
            byte_range: indexed.byte_range,
            key: indexed.key,
            in_playlist: true,
            sequence: label.sequence,
            duration: label.duration,
            start_time,
            discontinuity: label.discontinuity,
            missing_before: label.missing_before,
        };
        self.timeline.push(info, indexed.index);
        self.segments.push_back(SessionSegment {
            id: pending.id,
            label,
            kept: if was_kept {
                Keeping::Kept
            } else {
                Keeping::Asked
            },
            tries: 0,
            spent: false,
            name: pending.name().into(),
        });
        self.grown = now.elapsed;
        self.unsettled = true;
        (!was_kept).then_some((pending.id, label))
    }

    /// The first of the backlog will never come.
    pub(super) fn pass_over(&mut self, now: Moment) -> Option<Pending> {
        self.fetching = false;
        let pending = self.backlog.pop_front()?;
        self.taken += 1;
        let lost = pending.missing.saturating_add(pending.duration());
        self.missing = self.missing.saturating_add(lost);
        self.discontinuity |= pending.discontinuity();
        self.grown = now.elapsed;
        self.unsettled = true;
        Some(pending)
    }

    /// When a segment began that the playlist does not date: as long after the one before as its
    /// timestamps say; the first one, and one after a jump, by its arrival. `remaining` is its length
    /// and that of all after it.
    fn date(
        &mut self,
        indexed: &Indexed,
        pending: &Pending,
        remaining: Ticks,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let first = indexed.index.first_timestamp()?;
        let continued =
            self.dated
                .filter(|_| !pending.discontinuity())
                .and_then(|(before, time)| {
                    let elapsed = first.checked_sub(before)?;
                    let usual = 3 * duration_ticks(self.target) + self.missing + pending.missing;
                    (0..=usual.max(900_000))
                        .contains(&elapsed)
                        .then(|| time.checked_add_signed(delta(elapsed)))?
                });
        let time = continued.or_else(|| {
            let listed = now.checked_sub_signed(delta(remaining))?;
            let earliest = listed.checked_sub_signed(TimeDelta::minutes(1))?;
            let written = indexed
                .written
                .filter(|written| *written <= now && *written >= earliest);
            let began = written.and_then(|at| at.checked_sub_signed(delta(pending.duration())));
            Some(began.unwrap_or(listed))
        })?;
        self.dated = Some((first, time));
        Some(time)
    }

    /// The bytes of a segment are elsewhere now, and kept.
    pub(super) fn kept(&mut self, id: SegmentId, location: Option<Location>) -> bool {
        let Some(at) = self.segments.iter().position(|one| one.id == id) else {
            return false;
        };
        self.segments[at].kept = Keeping::Kept;
        let number = self.timeline.segments().get(at).map(|one| one.number);
        if let (Some(number), Some(location)) = (number, location) {
            self.timeline.relocate(number, location);
        }
        true
    }

    /// Lets go of what no clip from `from` on holds a sample of.
    pub(super) fn forget_before(&mut self, from: Ticks) -> Vec<SessionSegment> {
        let segments = self.timeline.segments();
        let begun = |at: Option<Ticks>| at.is_some_and(|at| at <= from);
        let Some(at) = segments.iter().rposition(|s| begun(s.first_presented)) else {
            return Vec::new();
        };
        let first = at.saturating_sub(MARGIN);
        let Some(number) = segments.get(first).map(|segment| segment.number) else {
            return Vec::new();
        };
        self.timeline.forget_before(number);
        self.segments
            .drain(..first.min(self.segments.len()))
            .collect()
    }

    /// Lets go of everything.
    pub(super) fn forget_all(&mut self) -> Vec<SessionSegment> {
        self.timeline.forget_before(u64::MAX);
        self.segments.drain(..).collect()
    }

    /// Takes segments whose content is lost out of the timeline: they are missing from now on. Places on
    /// the old timeline mean nothing on the new one: its clips go on from where the one in the making begins.
    /// Gives the old timeline and what is let go of.
    pub(super) fn lose(&mut self, lost: &[u64], ordinal: u64) -> (Timeline, Vec<SessionSegment>) {
        let left_off = self.clips.state().mark(&self.timeline);
        let left_off = left_off.map(|mark| self.written(mark, ordinal));
        let before = std::mem::take(&mut self.timeline);
        let (mut missing, mut discontinuity) = (0_i64, false);
        let (mut left, mut gone) = (VecDeque::new(), Vec::new());
        for (segment, files) in before.segments().iter().zip(self.segments.drain(..)) {
            missing = missing.saturating_add(segment.info.missing_before);
            discontinuity |= segment.info.discontinuity;
            if lost.contains(&segment.number) {
                missing = missing.saturating_add(segment.info.duration);
                gone.push(files);
                continue;
            }
            let info = SegmentInfo {
                missing_before: std::mem::take(&mut missing),
                discontinuity: std::mem::take(&mut discontinuity),
                ..segment.info.clone()
            };
            self.timeline.push(info, Arc::clone(&segment.index));
            left.push_back(files);
        }
        self.segments = left;
        self.missing = self.missing.saturating_add(missing);
        self.discontinuity |= discontinuity;
        self.unsettled = true;
        self.clips.lose(&before, &self.timeline, left_off);
        (before, gone)
    }

    /// A mark as it is written down.
    pub(super) fn written(&self, mark: Mark, ordinal: u64) -> Boundary {
        let boundary = mark.to_boundary(&self.timeline, self.id.as_str(), ordinal);
        let before = self.segments.iter().rev();
        let before = before.filter(|one| one.label.sequence <= boundary.sequence);
        let mut named = before.clone();
        let last = named.find(|one| one.label.sequence == boundary.sequence);
        let taken = before.take(Taken::WRITTEN).map(|one| one.label.taken());
        let mut taken: Vec<_> = taken.collect();
        taken.reverse();
        Boundary {
            segment: last.map(|one| one.name.to_string()).unwrap_or_default(),
            taken,
            ..boundary
        }
    }

    /// The live edge.
    pub(super) fn edge(&self) -> Option<DateTime<Utc>> {
        self.timeline.time_at(self.timeline.end()?)
    }
}

/// The last part of a URI.
pub(super) fn last_part(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap_or_default()
}

/// 90 kHz ticks as a duration.
pub(super) fn delta(ticks: Ticks) -> TimeDelta {
    TimeDelta::microseconds(ticks.saturating_mul(100) / 9)
}
