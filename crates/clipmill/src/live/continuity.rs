//! What a look at a playlist means for the sessions of a stream.
//!
//! [`Taken`] says what of a playlist is new. Here it is decided what follows from that: the session that
//! is live goes on or is over, another one begins, and where, or what is listed is old and nobody
//! records it. A [`Continuity`] decides it for [`Recorder`](super::Recorder) as for the server.
//!
//! The playlist is a value, and so is time: nothing is read here, and nothing changes before
//! [`follow`](Continuity::follow). In between, whoever asks ends the session that is over.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clipmill_playlist::{Location, Segment, candidates};

use super::boundary::Boundary;
use super::event::EndReason;
use super::session::last_part;
use super::taken::{Seen, SegmentFiles, Taken};
use crate::timeline::{Ticks, duration_ticks};

/// Media of which only sequence numbers tell that it is missing is believed to be no longer than this,
/// or twice the time that has passed: numbers may be wrong.
const BELIEVED: Ticks = 600 * 90_000;

/// Segments that are taken again before the one in which a clip ended: what decodes it may lie there.
const MARGIN: usize = 2;

/// The circumstances in which a playlist is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// A session is live, in this playlist.
    pub live: bool,
    /// The playlist has `EXT-X-ENDLIST`.
    pub ended: bool,
    /// How long ago the playlist was written.
    pub age: Duration,
    /// How long the stream has been watched.
    pub watched: Duration,
    /// How long the stream may be silent: [`Timeouts::silence`](super::Timeouts::silence).
    pub silence: Duration,
    /// So much of a playlist is taken that is seen for the first time: an event playlist may list days.
    pub history: Duration,
}

impl Circumstances {
    /// Whether the playlist was written before the stream was watched. Nothing else is old: whoever watches
    /// may be slow to look. A clock that was set back tells neither of the two times: then it is not old.
    fn is_from_before(&self) -> bool {
        self.age > self.watched || self.age == self.watched && !self.age.is_zero()
    }
}

/// What a look at a playlist means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is new: the same as before, half-written, or shorter.
    Nothing,
    /// The session that is live is over, as its playlist is.
    Ends,
    /// The session that is live goes on.
    Continues {
        /// Position of the first segment that is new.
        from: usize,
        /// How many segments before it were never seen.
        missing: u64,
        /// What is added to the sequence numbers that are listed.
        shift: i64,
    },
    /// A session begins. One that is live is over: the stream started over.
    Begins {
        /// Position of its first segment. Where that is the length of the list, it is still to come.
        from: usize,
        /// How it begins.
        start: SessionStart,
        /// What is added to the sequence numbers that are listed; `None` where these begin anew.
        shift: Option<i64>,
    },
    /// What is listed was over before anybody looked: it is remembered, and nobody records it. A session
    /// that is live is over: the stream started over.
    Old {
        /// As in [`Decision::Begins`].
        shift: Option<i64>,
    },
}

impl Decision {
    /// Why a session is over that is live.
    #[must_use]
    pub fn ends(&self) -> Option<EndReason> {
        match self {
            Self::Nothing | Self::Continues { .. } => None,
            Self::Ends => Some(EndReason::Ended),
            Self::Begins { .. } | Self::Old { .. } => Some(EndReason::StartedOver),
        }
    }
}

/// How a session begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionStart {
    /// Nothing is known that it could follow.
    Anew,
    /// It follows another session in the same playlist.
    Behind,
    /// What came after this boundary is lost.
    Lost(Box<Boundary>),
    /// It is the session of this boundary, and goes on there, though nothing was kept of it.
    Resumed(Box<Boundary>),
}

/// Follows a stream through all its sessions: which of what its playlist lists belongs to which.
#[derive(Debug, Clone, Default)]
pub struct Continuity {
    taken: Taken,
    /// The last session's playlist had come to its end.
    seen_ended: bool,
    /// Where the last clip of a session ended of which nothing else is left.
    lost: Option<Box<Boundary>>,
}

impl Continuity {
    /// Goes on with what was taken before.
    #[must_use]
    pub fn new(taken: Taken) -> Self {
        Self {
            taken,
            ..Self::default()
        }
    }

    /// Goes on behind the last clip of a session of which nothing else is left.
    #[must_use]
    pub fn behind(lost: Boundary) -> Self {
        Self {
            lost: Some(Box::new(lost)),
            ..Self::default()
        }
    }

    /// What was taken, by all sessions.
    #[must_use]
    pub fn taken(&self) -> &Taken {
        &self.taken
    }

    /// Something is taken.
    pub fn taken_mut(&mut self) -> &mut Taken {
        &mut self.taken
    }

    /// What a look at a playlist means. What becomes of [`ends`](Decision::ends) comes next, then
    /// [`follow`](Self::follow).
    #[must_use]
    pub fn decide(
        &self,
        listed: &[Segment],
        circumstances: &Circumstances,
        files: &mut dyn SegmentFiles,
    ) -> Decision {
        match self.observe(listed, circumstances, files) {
            Seen::Nothing if circumstances.ended && circumstances.live => Decision::Ends,
            Seen::Nothing => Decision::Nothing,
            Seen::StartedOver { .. } if circumstances.ended && circumstances.is_from_before() => {
                Decision::Old { shift: None }
            }
            Seen::StartedOver { from } => Decision::Begins {
                from,
                start: match from {
                    0 => SessionStart::Anew,
                    _ => SessionStart::Behind,
                },
                shift: None,
            },
            Seen::New {
                from,
                missing,
                shift,
            } if circumstances.live => Decision::Continues {
                from,
                missing,
                shift,
            },
            Seen::New { from, shift, .. } => {
                let shift = Some(shift);
                match self.start(listed, from, circumstances, files) {
                    Some((from, start)) => Decision::Begins { from, start, shift },
                    None => Decision::Old { shift },
                }
            }
        }
    }

    /// What is new in a playlist.
    fn observe(
        &self,
        listed: &[Segment],
        circumstances: &Circumstances,
        files: &mut dyn SegmentFiles,
    ) -> Seen {
        let seen = self.taken.observe(listed, files);
        // A playlist that was finished, or given up, and is shorter and goes on, is a new one, as far as its
        // files do not say otherwise.
        let anew = seen == Seen::Nothing
            && !circumstances.live
            && !circumstances.ended
            && (self.seen_ended || self.taken.is_beyond(listed));
        if !anew {
            return seen;
        }
        match self.taken.behind_taken(listed, files) {
            from if from == listed.len() => Seen::Nothing,
            from => Seen::StartedOver { from },
        }
    }

    /// Where and how a session begins while none is live; `None` where it was over before anybody looked.
    fn start(
        &self,
        listed: &[Segment],
        new: usize,
        circumstances: &Circumstances,
        files: &mut dyn SegmentFiles,
    ) -> Option<(usize, SessionStart)> {
        let first_sight = self.taken.is_empty();
        let lost = self.lost.as_ref();
        if let Some(lost) = lost
            && let Some(place) = place_of(lost, listed, files)
        {
            return Some((place, SessionStart::Resumed(lost.clone())));
        }
        let is_silent = first_sight && circumstances.age >= circumstances.silence;
        if circumstances.is_from_before() && (circumstances.ended || is_silent) {
            return None;
        }
        Some(match lost {
            Some(lost) => {
                let new = match Taken::read(&lost.taken).observe(listed, files) {
                    Seen::Nothing => listed.len(),
                    Seen::New { from, .. } | Seen::StartedOver { from } => from,
                };
                let from = new.max(history(listed, circumstances.history));
                (from, SessionStart::Lost(lost.clone()))
            }
            None if first_sight => (history(listed, circumstances.history), SessionStart::Anew),
            None => (new, SessionStart::Behind),
        })
    }

    /// It is done as decided: gives the segments that are listed the numbers that go on from what was
    /// taken, and remembers what is old.
    pub fn follow(
        &mut self,
        decision: &Decision,
        listed: &mut [Segment],
        circumstances: &Circumstances,
        files: &mut dyn SegmentFiles,
    ) {
        match decision {
            Decision::Nothing | Decision::Ends => self.seen_ended |= circumstances.ended,
            Decision::Continues { shift, .. } => {
                self.taken.renumber(*shift, listed);
                self.seen_ended |= circumstances.ended;
            }
            Decision::Begins { from, start, shift } => {
                self.renumber(*shift, listed);
                let first = listed.get(*from).map(|first| first.sequence);
                self.recall(start, first);
                // They are old, even while the first one is not taken yet.
                if self.taken.next().is_none() {
                    let before = listed.get(..*from).unwrap_or_default();
                    self.taken.passed(before, files);
                }
                self.lost = None;
                self.seen_ended = circumstances.ended;
            }
            Decision::Old { shift } => {
                self.renumber(*shift, listed);
                self.taken.passed(listed, files);
                self.lost = None;
                self.seen_ended = circumstances.ended;
            }
        }
    }

    fn renumber(&mut self, shift: Option<i64>, listed: &mut [Segment]) {
        match shift {
            Some(shift) => self.taken.renumber(shift, listed),
            None => self.taken.start_over(),
        }
    }

    /// What was taken up to a boundary of which nothing else is left is not taken again, but for the
    /// segments from `first` on.
    fn recall(&mut self, start: &SessionStart, first: Option<u64>) {
        let before = |sequence: Option<u64>| match (start, first, sequence) {
            (SessionStart::Resumed(_), Some(first), Some(sequence)) => sequence < first,
            _ => true,
        };
        let (SessionStart::Lost(lost) | SessionStart::Resumed(lost)) = start else {
            return;
        };
        let taken = lost.taken.iter().filter(|one| before(one.sequence));
        let taken: Vec<_> = taken.copied().collect();
        self.taken.inherit(Taken::read(&taken));
    }
}

/// Position of the first segment that is taken of a playlist that is seen for the first time: of the last
/// one in any case.
fn history(listed: &[Segment], most: Duration) -> usize {
    let mut length = Duration::ZERO;
    let wanted = listed.iter().rev().take_while(|segment| {
        length = length.saturating_add(segment.duration);
        length <= most
    });
    listed.len().saturating_sub(wanted.count().max(1))
}

/// Position of the segment with which a session goes on that ended its last clip at `lost`, and some
/// before it. `None` when it is not listed.
fn place_of(lost: &Boundary, listed: &[Segment], files: &mut dyn SegmentFiles) -> Option<usize> {
    let here = Location::File(PathBuf::from("playlist.m3u8"));
    // The file's name, however the playlist spells it.
    let is_named = |segment: &Segment| {
        let readings = candidates(&here, &segment.uri, None).unwrap_or_default();
        let mut readings = readings.iter().map(|reading| match reading {
            Location::File(path) => path.file_name().is_some_and(|name| *name == *lost.segment),
            Location::Url(_) => false,
        });
        last_part(&segment.uri) == lost.segment || readings.any(|same| same)
    };
    let same = |segment: &Segment| segment.sequence == lost.sequence && is_named(segment);
    let place = listed.iter().position(same)?;
    // Its file may be gone, which does no harm; it may not be another one.
    let taken = Taken::read(&lost.taken);
    let segment = listed.get(place)?;
    let other = files.version(segment).is_some() && taken.has_other(segment, files);
    // What lies before the first clip of a session is another session's.
    let margin = if lost.from_the_start { 0 } else { MARGIN };
    (!other).then(|| place.saturating_sub(margin))
}

/// How long the segments were that nobody saw, in 90 kHz ticks: what the dates say, else as many as are
/// `missing` of the usual length.
///
/// `before` is when the last segment begins that was seen before them, where that is known, and how long
/// it is, with what is missing behind it already; `passed` is how long ago it came.
#[must_use]
pub fn missing_length(
    before: Option<(DateTime<Utc>, Ticks)>,
    listed: &[Segment],
    from: usize,
    missing: u64,
    passed: Duration,
) -> Ticks {
    let now = listed.get(from).and_then(|segment| segment.start_time);
    if let (Some((then, length)), Some(now)) = (before, now) {
        let elapsed = now.signed_duration_since(then).num_microseconds();
        let elapsed = elapsed.unwrap_or(0).saturating_mul(9) / 100;
        return elapsed.saturating_sub(length).max(0);
    }
    let total = listed.iter().fold(0_i64, |sum, segment| {
        sum.saturating_add(duration_ticks(segment.duration))
    });
    let usual = total / i64::try_from(listed.len().max(1)).unwrap_or(1);
    let length = usual.saturating_mul(i64::try_from(missing).unwrap_or(i64::MAX));
    length.min(BELIEVED.max(duration_ticks(passed).saturating_mul(2)))
}

#[cfg(test)]
mod tests;
