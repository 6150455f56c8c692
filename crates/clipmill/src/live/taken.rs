//! What was taken of a stream, and so what is new in a playlist.
//!
//! **One rule** says where a recorder begins, whether a session goes on, begins behind another, or is
//! found again after a restart:
//!
//! > Of what a playlist lists, everything up to the last segment that was taken before is old, and
//! > what follows it is new. Old media is never taken again, new media is taken once.
//!
//! A segment *is* the file that its URI names, as it was written: URI, byte range, and length and
//! time of the last change, or its date where a source does not tell these. A file that was written anew
//! under its name is new media. A media
//! sequence number is no part of it: senders that return count on, begin at 0, go back by a few, or
//! never count at all, and what they list of before is old all the same. Numbers are believed as long
//! as no file contradicts them; they tell what was listed and gone before anybody looked, and whether
//! a playlist of which no segment is known goes on.
//!
//! The same file again is a repetition, which is left out; behind an `EXT-X-DISCONTINUITY` and under
//! a new number it is a loop, which was meant.
//!
//! The rule is a value: the input of [`Taken`] is what is listed and what the files look like.
//! It opens no file and reads no clock. One value follows a stream through all its sessions, and its
//! last part is written down with each boundary, so that a restart changes nothing.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clipmill_playlist::Segment;

use super::listing::Version;
use super::taken_segment::{TakenSegment, TakenTail, head_of, name_of, version_of};

mod compare;

/// Segments remembered, so that a playlist caught half-written is not taken for a new one however
/// little of it there is. At two seconds each, more than two days.
const REMEMBERED: usize = 100_000;

/// Segments remembered of what was taken before the numbers began anew.
const BEFORE: usize = 10_000;

/// So many files are looked at of a list that nobody takes.
const LOOKED_AT: usize = 64;

/// How far back a repetition is looked for.
const REPEATED: usize = 1000;

/// Dates of the same segment may differ by this much, as some servers compute them anew each time.
const SAME_DATE: TimeDelta = TimeDelta::seconds(2);

/// The same, for dates that were cut to seconds.
const SAME_DATE_AGAIN: Duration = Duration::from_secs(3);

/// What the files of segments look like.
pub trait SegmentFiles {
    /// `None` where there is no file, or it holds more than the segment.
    fn version(&mut self, segment: &Segment) -> Option<Version>;

    /// A digest of the first bytes of its file: [`Taken::head`].
    fn head(&mut self, segment: &Segment) -> Option<u64>;

    /// Whether a file may only have been appended to since it looked like `then`.
    fn has_grown(&self, then: Version, now: Version) -> bool {
        then.grew_to(&now)
    }
}

/// What a look at a playlist shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing new: the same as before, half-written, or shorter.
    Nothing,
    /// Segments from this position of the list on are new.
    New {
        /// Position of the first new one.
        from: usize,
        /// How many segments were never seen between the last known one and it.
        missing: u64,
        /// What to add to the numbers in the list: see [`Taken::renumber`].
        shift: i64,
    },
    /// The stream started over: what is listed from this position on belongs to a new session.
    StartedOver {
        /// Position of the first segment that was not taken before.
        from: usize,
    },
}

/// A segment that was taken, in few bytes: an event playlist lists tens of thousands. Each field is 0
/// when it is not known, as for a segment that was never listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Known {
    /// When it begins, in microseconds since 1970.
    date_us: i64,
    /// Of its URI and byte range.
    name: u32,
    /// Of what its file looked like.
    version: u32,
    /// How many discontinuities came before it.
    run: u32,
    /// It is a file of the same run that was taken before: it was left out.
    repeats: bool,
}

impl Known {
    /// How far apart its date is from that of a listed segment; `None` where one has none.
    fn dates(&self, segment: &Segment) -> Option<Duration> {
        let date = segment.start_time?.timestamp_micros();
        let apart = Duration::from_micros(self.date_us.abs_diff(date));
        (self.date_us != 0 && date != 0).then_some(apart)
    }

    fn is_same_file(&self, other: &Self) -> bool {
        (self.name, self.version) == (other.name, other.version)
    }

    /// Whether both have the same date.
    fn is_dated(&self, segment: &Segment) -> bool {
        let apart = self.dates(segment);
        apart.is_some_and(|apart| apart <= SAME_DATE_AGAIN)
    }
}

/// What was taken of a stream.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// Sequence number of the first one remembered.
    base: u64,
    known: VecDeque<Known>,
    /// What was taken before the numbers began anew.
    before: VecDeque<Known>,
    /// What is added to listed numbers.
    shift: i64,
    run: u32,
    newest: Newest,
}

/// What is known of the segment that was taken last.
#[derive(Debug, Clone, Copy, Default)]
struct Newest {
    date: Option<DateTime<Utc>>,
    mark: Option<Version>,
    head: Option<u64>,
    /// Its session is over: it is not written to any more.
    over: bool,
}

impl Taken {
    /// So many are written down with a boundary: the last one tells where the list goes on, the others
    /// that it does where that one was written anew.
    pub const WRITTEN: usize = 8;

    /// Tells the beginning of one file from that of another.
    #[must_use]
    pub fn head(bytes: &[u8]) -> u64 {
        head_of(bytes)
    }

    /// Media sequence number after the last one taken; `None` when nothing was since the numbers
    /// began anew.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        (!self.known.is_empty()).then(|| self.base.saturating_add(self.known.len() as u64))
    }

    /// As [`next`](Self::next), counted as the playlist does.
    #[must_use]
    pub fn next_listed(&self) -> Option<u64> {
        self.next()?.checked_add_signed(self.shift.checked_neg()?)
    }

    /// Whether nothing is known at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.before.is_empty()
    }

    /// How many segments are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.known.len() + self.before.len()
    }

    fn get(&self, number: u64) -> Option<&Known> {
        let at = usize::try_from(number.checked_sub(self.base)?).ok()?;
        self.known.get(at)
    }

    /// Gives listed segments the numbers that go on from what was taken.
    pub fn renumber(&mut self, shift: i64, listed: &mut [Segment]) {
        self.shift = shift;
        if shift != 0 {
            for segment in listed {
                segment.sequence = segment.sequence.saturating_add_signed(shift);
            }
        }
    }

    /// Gives listed segments their numbers, where nothing has changed since the last look.
    pub fn renumber_as_before(&mut self, listed: &mut [Segment]) {
        self.renumber(self.shift, listed);
    }

    /// Remembers a segment, with its number of before, and when it begins. Those before it that were
    /// never listed are remembered as such.
    pub fn saw(
        &mut self,
        segment: &Segment,
        mark: Option<Version>,
        head: Option<u64>,
        date: Option<DateTime<Utc>>,
    ) {
        let repeats = self.repeats(segment, mark);
        if segment.discontinuity {
            self.run = self.run.wrapping_add(1);
        }
        let known = Known {
            date_us: date.map_or(0, |date| date.timestamp_micros()),
            name: name_of(segment),
            version: version_of(mark),
            run: self.run,
            repeats,
        };
        let newest = Newest {
            date,
            mark,
            head,
            over: false,
        };
        self.remember(segment.sequence, known, newest);
    }

    /// The content of a segment is this, and not what it was seen with: it was still written to, or not
    /// there yet.
    pub fn took(&mut self, number: u64, version: Version) {
        let is_newest = self.next() == number.checked_add(1);
        let at = number.checked_sub(self.base);
        let at = at.and_then(|at| usize::try_from(at).ok());
        if let Some(known) = at.and_then(|at| self.known.get_mut(at)) {
            known.version = version.digest();
            if is_newest {
                self.newest.mark = Some(version);
            }
        }
    }

    /// Remembers a segment that an earlier run of this server took.
    pub fn saw_before(
        &mut self,
        segment: &TakenSegment,
        discontinuity: bool,
        mark: Option<Version>,
    ) {
        if discontinuity {
            self.run = self.run.wrapping_add(1);
        }
        let date = Some(segment.date_us).filter(|date| *date != 0);
        let newest = Newest {
            date: date.and_then(DateTime::from_timestamp_micros),
            mark,
            head: None,
            over: false,
        };
        let known = Known {
            date_us: segment.date_us,
            name: segment.file.0,
            version: segment.file.1,
            run: self.run,
            repeats: false,
        };
        match segment.sequence {
            Some(number) => self.remember(number, known, newest),
            None => self.before.push_back(known),
        }
    }

    fn remember(&mut self, number: u64, known: Known, newest: Newest) {
        let next = self.next().unwrap_or(number);
        if number < next {
            let at = number.checked_sub(self.base);
            let at = at.and_then(|at| usize::try_from(at).ok());
            if let Some(place) = at.and_then(|at| self.known.get_mut(at)) {
                *place = known;
            }
            return;
        }
        if self.known.is_empty() || number - next >= REMEMBERED as u64 {
            self.forget_numbers();
            self.base = number;
        } else {
            let unseen = usize::try_from(number - next).unwrap_or(0);
            let len = self.known.len() + unseen;
            self.known.resize(len, Known::default());
        }
        self.known.push_back(known);
        self.newest = newest;
        while self.known.len() > REMEMBERED {
            self.known.pop_front();
            self.base = self.base.saturating_add(1);
        }
    }

    /// Segments at the head of a list that are not taken, nor ever will be: they are old.
    pub fn passed(&mut self, listed: &[Segment], files: &mut dyn SegmentFiles) {
        let unlooked = listed.len().saturating_sub(LOOKED_AT);
        let mut own = HashSet::new();
        for (at, segment) in listed.iter().enumerate() {
            let mark = (at >= unlooked).then(|| files.version(segment)).flatten();
            let file = Self::file(segment, mark);
            let mut before = self.before.iter().rev();
            let before = before.find(|known| (known.name, known.version) == file);
            let date = before.map(|known| known.date_us).filter(|date| *date != 0);
            let date = date.and_then(DateTime::from_timestamp_micros);
            self.saw(segment, mark, None, segment.start_time.or(date));
            own.insert(file);
        }
        self.newest.over = true;
        self.before
            .retain(|known| !own.contains(&(known.name, known.version)));
    }

    fn forget_numbers(&mut self) {
        let named = self.known.iter().filter(|known| known.name != 0);
        let kept: Vec<_> = named.copied().collect();
        self.known.clear();
        self.before.extend(kept);
        let over = self.before.len().saturating_sub(BEFORE);
        self.before.drain(..over);
    }

    /// The numbers begin anew. What was taken stays taken.
    pub fn start_over(&mut self) {
        self.forget_numbers();
        self.base = 0;
        self.shift = 0;
        self.run = self.run.wrapping_add(1);
        self.newest = Newest::default();
    }

    /// The session is over: what becomes of its last file now is no more than that of any other.
    pub fn end(&mut self) {
        self.newest.over = true;
    }

    /// What an earlier session took was taken.
    pub fn inherit(&mut self, mut earlier: Self) {
        earlier.forget_numbers();
        let own: HashSet<_> = self.known.iter().map(|k| (k.name, k.version)).collect();
        earlier
            .before
            .retain(|known| !own.contains(&(known.name, known.version)));
        earlier.before.append(&mut self.before);
        self.before = earlier.before;
        let over = self.before.len().saturating_sub(BEFORE);
        self.before.drain(..over);
    }

    /// The last `count` segments that were taken.
    #[must_use]
    pub fn tail(&self, count: usize) -> TakenTail {
        let own = self.known.iter().enumerate().rev();
        let own = own.map(|(at, known)| (known, Some(self.base.saturating_add(at as u64))));
        let before = self.before.iter().rev().map(|known| (known, None));
        let mut tail: VecDeque<_> = own
            .chain(before)
            .filter(|(known, _)| known.name != 0)
            .take(count)
            .map(|(known, sequence)| TakenSegment {
                sequence,
                date_us: known.date_us,
                file: (known.name, known.version),
            })
            .collect();
        tail.make_contiguous().reverse();
        TakenTail(tail)
    }

    /// What was written down.
    #[must_use]
    pub fn read(written: &[TakenSegment]) -> Self {
        let mut taken = Self::default();
        for segment in written {
            taken.saw_before(segment, false, None);
        }
        taken
    }

    /// Which file a segment is, as it is written down.
    #[must_use]
    pub fn file(segment: &Segment, mark: Option<Version>) -> (u32, u32) {
        (name_of(segment), version_of(mark))
    }
}

#[cfg(test)]
mod tests;
