//! Which of what a playlist lists is new.
//!
//! A playlist is read while it is being rewritten, by servers that disagree on when a segment is listed,
//! and encoders restart under the same names. A [`Memory`] tells growth, a half-written or repeated
//! playlist, and a stream that starts over apart. And it knows which media an earlier session has
//! had: of what a playlist lists, everything up to the last segment that was taken before is old, whatever
//! number it has now, and what follows it is new. A segment is the file that its URI names, as it was
//! written, and its date where that is not known.

use std::collections::{HashSet, VecDeque};

use chrono::{DateTime, Utc};

use super::listing::{Listed, Version};
use super::taken::{SAME_DATE, SAME_DATE_SECONDS, Seen};
use super::taken_segment::{TakenSegment, name_of, version_of};

/// So many segments are remembered at the least; else twice as many as were ever listed at once.
const REMEMBERED: usize = 256;

/// So many new segments are looked for one by one.
const FEW: usize = 8;

/// A segment that has been seen, in few bytes: an event playlist lists tens of thousands. Each field
/// is 0 when it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Known {
    /// Of its URI and byte range.
    name: u32,
    /// When it begins, in seconds since 1970.
    date: u32,
    /// Of its content.
    version: u32,
}

impl Known {
    fn of(listed: &Listed) -> Self {
        Self {
            name: name_of(&listed.segment),
            date: listed.segment.start_time.map_or(0, seconds),
            version: version_of(listed.version),
        }
    }

    /// Whether both are the same media, whatever number it is listed with: the content decides, else
    /// the name and the date.
    fn is(&self, other: &Self) -> bool {
        let named = self.name != 0 && other.name != 0;
        if named && self.name != other.name {
            return false;
        }
        if self.version != 0 && other.version != 0 {
            return self.version == other.version;
        }
        let dated = self.date != 0 && other.date != 0;
        named && dated && self.date.abs_diff(other.date) <= SAME_DATE_SECONDS
    }
}

/// Remembers the segments of a stream.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Sequence number of the first one remembered of the present session.
    base: u64,
    known: VecDeque<Known>,
    /// Those of the sessions before it.
    earlier: VecDeque<Known>,
    /// When the last one begins, and its content.
    last: (Option<DateTime<Utc>>, Option<Version>),
    longest: usize,
}

impl Memory {
    /// Media sequence number after the last one seen; `None` when nothing was.
    pub(super) fn next(&self) -> Option<u64> {
        (!self.known.is_empty()).then(|| self.base.saturating_add(self.known.len() as u64))
    }

    fn get(&self, sequence: u64) -> Option<&Known> {
        let at = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
        self.known.get(at)
    }

    /// The sequence numbers of a new session begin.
    pub(super) fn start_over(&mut self) {
        self.earlier.extend(
            self.known
                .drain(..)
                .filter(|known| *known != Known::default()),
        );
        self.last = (None, None);
        self.shorten();
    }

    /// Remembers a segment. Those before it that were never listed are remembered as such.
    pub(super) fn saw(&mut self, listed: &Listed) {
        let last = (listed.segment.start_time, listed.version);
        self.remember(listed.segment.sequence, Known::of(listed), last);
    }

    /// Remembers a segment that an earlier run took, and its content where that is known in full.
    pub(super) fn saw_before(&mut self, taken: &TakenSegment, version: Option<Version>) {
        let date = Some(taken.date_us).filter(|date| *date != 0);
        let date = date.and_then(DateTime::from_timestamp_micros);
        let known = Known {
            name: taken.file.0,
            date: date.map_or(0, seconds),
            version: taken.file.1,
        };
        match taken.sequence {
            Some(sequence) => self.remember(sequence, known, (date, version)),
            None => self.earlier.push_back(known),
        }
    }

    /// What was written down as taken.
    pub(super) fn read(&mut self, taken: &[TakenSegment]) {
        for one in taken {
            self.saw_before(one, None);
        }
    }

    /// Whether nothing is known at all.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.earlier.is_empty()
    }

    /// The content of a segment was not what it had been listed with, as it was still written to.
    pub(super) fn took(&mut self, sequence: u64, version: Version) {
        let newest = self.next() == Some(sequence.saturating_add(1));
        let at = sequence.checked_sub(self.base);
        let at = at.and_then(|at| usize::try_from(at).ok());
        if let Some(known) = at.and_then(|at| self.known.get_mut(at)) {
            known.version = version_of(Some(version));
            if newest {
                self.last.1 = Some(version);
            }
        }
    }

    fn remember(
        &mut self,
        sequence: u64,
        known: Known,
        last: (Option<DateTime<Utc>>, Option<Version>),
    ) {
        let next = self.next().unwrap_or(sequence);
        if sequence < next {
            let at = sequence.checked_sub(self.base);
            let at = at.and_then(|at| usize::try_from(at).ok());
            if let Some(place) = at.and_then(|at| self.known.get_mut(at)) {
                *place = known;
            }
            return;
        }
        if self.known.is_empty() || sequence - next >= REMEMBERED as u64 {
            self.start_over();
            self.base = sequence;
        } else {
            let unseen = usize::try_from(sequence - next).unwrap_or(0);
            let len = self.known.len() + unseen;
            self.known.resize(len, Known::default());
        }
        self.known.push_back(known);
        self.last = last;
        self.shorten();
    }

    fn shorten(&mut self) {
        let most = REMEMBERED.max(2 * self.longest);
        while self.known.len() > most {
            self.earlier.extend(self.known.pop_front());
            self.base = self.base.saturating_add(1);
        }
        while self.earlier.len() > most {
            self.earlier.pop_front();
        }
    }

    /// Compares a playlist with what is known of the present session.
    pub(super) fn observe(&mut self, segments: &[Listed]) -> Seen {
        self.longest = self.longest.max(segments.len());
        let Some(last) = segments.last() else {
            return Seen::Nothing;
        };
        let Some(next) = self.next() else {
            return Seen::New {
                from: 0,
                missing: 0,
                shift: 0,
            };
        };
        if last.segment.sequence < self.base || self.differs(segments) {
            return Seen::StartedOver { from: 0 };
        }
        if last.segment.sequence < next {
            // Numbers that nothing was ever listed with say nothing.
            let known = |one: &Listed| self.get(one.segment.sequence).copied();
            let mut overlap = segments.iter().filter_map(known);
            return match overlap.any(|known| known != Known::default()) {
                true => Seen::Nothing,
                false => Seen::StartedOver { from: 0 },
            };
        }
        let from = segments.partition_point(|listed| listed.segment.sequence < next);
        let Some(first_new) = segments.get(from) else {
            return Seen::Nothing;
        };
        if let (Some(before), Some(now)) = (self.last.0, first_new.segment.start_time)
            && now + SAME_DATE < before
        {
            return Seen::StartedOver { from: 0 };
        }
        Seen::New {
            from,
            missing: first_new.segment.sequence - next,
            shift: 0,
        }
    }

    /// Whether segments with the same numbers are not the same segments.
    fn differs(&self, segments: &[Listed]) -> bool {
        let overlap = segments
            .iter()
            .rev()
            .filter_map(|listed| Some((listed, self.get(listed.segment.sequence)?)));
        for (listed, known) in overlap {
            let now = Known::of(listed);
            if known.name != 0 && known.name != now.name {
                return true;
            }
            if known.date != 0 && now.date != 0 && known.date.abs_diff(now.date) > SAME_DATE_SECONDS
            {
                return true;
            }
            if known.version != 0 && now.version != 0 && known.version != now.version {
                let newest = self.next() == Some(listed.segment.sequence.saturating_add(1));
                let then = self.last.1.filter(|_| newest);
                let still_written = then
                    .zip(listed.version)
                    .is_some_and(|(then, now)| then.grew_to(&now));
                if !still_written {
                    return true;
                }
            }
        }
        false
    }

    /// Positions of the segments that are new, from `from` on: what follows the last one that was taken
    /// before, and is not listed twice.
    pub(super) fn fresh(&self, segments: &[Listed], from: usize) -> Vec<usize> {
        let all: Vec<_> = segments.iter().map(Known::of).collect();
        let had = || self.earlier.iter().chain(&self.known);
        let few = segments.len().saturating_sub(from) <= FEW;
        let index = (!few).then(|| Index::new(had()));
        let is_had = |known: &Known| match &index {
            Some(index) => index.has(known),
            None => had().any(|other| other.is(known)),
        };
        let last = (from..all.len())
            .rev()
            .find(|at| all.get(*at).is_some_and(is_had));
        let from = last.map_or(from, |last| last + 1);
        let mut listed = Index::default();
        let mut fresh = Vec::new();
        for (at, known) in all.iter().enumerate() {
            if at >= from && !listed.has_listed(known) {
                fresh.push(at);
            }
            listed.add(known);
        }
        fresh
    }
}

impl Memory {
    /// Positions of the segments that were not taken, wherever they are, and are not listed twice.
    pub(super) fn not_taken(&self, segments: &[Listed]) -> Vec<usize> {
        let had = Index::new(self.earlier.iter().chain(&self.known));
        let mut listed = Index::default();
        let mut all = Vec::new();
        for (at, known) in segments.iter().map(Known::of).enumerate() {
            if !had.has(&known) && !listed.has_listed(&known) {
                all.push(at);
            }
            listed.add(&known);
        }
        all
    }
}

/// Finds a segment among many.
#[derive(Debug, Default)]
struct Index {
    /// By content.
    versions: HashSet<(u32, u32)>,
    /// By name and second; whether the content is known.
    dates: HashSet<(u32, u32, bool)>,
    /// By name; whether the content is known.
    names: HashSet<(u32, bool)>,
}

impl Index {
    fn new<'a>(all: impl Iterator<Item = &'a Known>) -> Self {
        let mut index = Self::default();
        all.for_each(|known| index.add(known));
        index
    }

    fn add(&mut self, known: &Known) {
        let has_version = known.version != 0;
        if has_version {
            self.versions.insert((known.name, known.version));
        }
        self.names.insert((known.name, has_version));
        if known.date != 0 {
            self.dates.insert((known.name, known.date, has_version));
        }
    }

    /// Whether one of them is the same media: see [`Known::is`].
    fn has(&self, known: &Known) -> bool {
        if known.version != 0 {
            let named = |name| self.versions.contains(&(name, known.version));
            if named(known.name) || named(0) {
                return true;
            }
        }
        if known.name == 0 || known.date == 0 {
            return false;
        }
        let first = known.date.saturating_sub(SAME_DATE_SECONDS);
        let last = known.date.saturating_add(SAME_DATE_SECONDS);
        let dated = |has_version| {
            (first..=last).any(|date| self.dates.contains(&(known.name, date, has_version)))
        };
        dated(false) || (known.version == 0 && dated(true))
    }

    /// Whether one of them, of the same list, has this name; the contents may say otherwise.
    fn has_listed(&self, known: &Known) -> bool {
        self.versions.contains(&(known.name, known.version))
            || self.names.contains(&(known.name, false))
            || (known.version == 0 && self.names.contains(&(known.name, true)))
    }
}

fn seconds(time: DateTime<Utc>) -> u32 {
    u32::try_from(time.timestamp()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use clipmill_playlist::Segment;

    use super::*;

    /// Segments of these names and contents, numbered from `first` on.
    fn list(first: u64, names: &[(&str, u64)]) -> Vec<Listed> {
        let all = names.iter().zip(first..).map(|((name, tag), sequence)| {
            let mut segment = Segment::default();
            segment.uri = format!("{name}.ts");
            segment.sequence = sequence;
            segment.duration = Duration::from_secs(2);
            let version = (*tag > 0).then_some(Version {
                tag: *tag,
                len: 1000,
            });
            Listed { segment, version }
        });
        all.collect()
    }

    fn dated(mut listed: Vec<Listed>, start: &str) -> Vec<Listed> {
        let mut time: DateTime<Utc> = start.parse().unwrap();
        for one in &mut listed {
            one.segment.start_time = Some(time);
            time += TimeDelta::seconds(2);
        }
        listed
    }

    fn memory(listed: &[Listed]) -> Memory {
        let mut memory = Memory::default();
        memory.observe(listed);
        listed.iter().for_each(|one| memory.saw(one));
        memory
    }

    const ABCD: &[(&str, u64)] = &[("a", 1), ("b", 2), ("c", 3), ("d", 4)];

    #[test]
    fn a_window_slides() {
        let mut memory = memory(&list(0, ABCD));
        let new = |from, missing| Seen::New {
            from,
            missing,
            shift: 0,
        };
        assert_eq!(memory.observe(&list(0, ABCD)), Seen::Nothing);
        assert_eq!(memory.observe(&list(0, &ABCD[..1])), Seen::Nothing);
        assert_eq!(
            memory.observe(&list(2, &[("c", 3), ("d", 4), ("e", 5)])),
            new(2, 0)
        );
        assert_eq!(memory.observe(&list(9, &[("j", 9)])), new(0, 5));
        assert_eq!(memory.observe(&[]), Seen::Nothing);
        assert_eq!(memory.next(), Some(4));
    }

    #[test]
    fn names_dates_and_contents_tell_a_stream_that_starts_over() {
        let known = || memory(&dated(list(5, ABCD), "2026-11-22T14:00:00Z"));
        let again = [("a", 1), ("b", 2)];
        assert_eq!(
            known().observe(&list(0, &again)),
            Seen::StartedOver { from: 0 }
        );
        assert_eq!(
            known().observe(&list(5, &[("a", 9)])),
            Seen::StartedOver { from: 0 }
        );
        assert_eq!(
            known().observe(&list(5, &[("x", 0)])),
            Seen::StartedOver { from: 0 }
        );
        let later = dated(list(5, &again), "2026-11-22T15:00:00Z");
        assert_eq!(known().observe(&later), Seen::StartedOver { from: 0 });
        let same = dated(list(5, &again), "2026-11-22T14:00:00.400Z");
        assert_eq!(known().observe(&same), Seen::Nothing);
        let back = dated(list(9, &[("e", 5)]), "2026-11-22T12:00:00Z");
        assert_eq!(known().observe(&back), Seen::StartedOver { from: 0 });
    }

    #[test]
    fn the_newest_segment_may_still_grow() {
        let mut memory = memory(&list(0, ABCD));
        let mut grown = list(0, ABCD);
        grown[3].version = Some(Version { tag: 40, len: 2000 });
        assert_eq!(memory.observe(&grown), Seen::Nothing);
        grown[1].version = Some(Version { tag: 20, len: 2000 });
        assert_eq!(memory.observe(&grown), Seen::StartedOver { from: 0 });
    }

    #[test]
    fn what_was_taken_is_old_whatever_number_it_has() {
        let mut memory = memory(&list(5, ABCD));
        memory.start_over();
        let next = [("c", 3), ("d", 4), ("e", 5), ("e", 5), ("f", 6)];
        assert_eq!(memory.fresh(&list(0, &next), 0), [2, 4]);
        // Listed before what was taken, it is older.
        assert_eq!(
            memory.fresh(&list(0, &[("x", 9), ("d", 4)]), 0),
            Vec::<usize>::new()
        );
        // A name that is used again is another segment.
        assert_eq!(memory.fresh(&list(0, &[("c", 3), ("d", 7)]), 0), [1]);
    }

    #[test]
    fn what_is_written_anew_under_numbers_that_were_never_listed_is_new() {
        for back in [1, 7, 17] {
            let mut memory = memory(&list(0, &[("a", 1)]));
            memory.saw(&list(18, &[("a", 2)])[0]);
            let listed = list(back, &[("a", 3)]);
            assert_eq!(memory.observe(&listed), Seen::StartedOver { from: 0 });
            assert_eq!(memory.fresh(&listed, 0), [0]);
        }
    }

    /// Numbers that were passed over say nothing of what is listed under them later: a sender that counts
    /// ahead and then back is one that starts over, and nothing of what it writes then is lost.
    #[test]
    fn numbers_that_go_back_to_what_was_never_listed_are_not_believed() {
        for (back, names) in [
            (1, [("a", 2), ("b", 3)].as_slice()),
            (30, &[("a", 2), ("b", 3)]),
            (31, &[("a", 2), ("b", 3), ("c", 4)]),
            (33, &[("b", 3)]),
        ] {
            let mut memory = memory(&list(0, &[("a", 1)]));
            let ahead = list(32, &[("a", 2)]);
            assert_eq!(
                memory.observe(&ahead),
                Seen::New {
                    from: 0,
                    missing: 31,
                    shift: 0
                }
            );
            memory.saw(&ahead[0]);
            let listed = list(back, names);
            let seen = memory.observe(&listed);
            let from = match seen {
                Seen::StartedOver { from } => from,
                Seen::New { from, .. } => from,
                Seen::Nothing => panic!("{back}: lost"),
            };
            // What was taken stays taken, and the rest is new.
            let fresh: Vec<_> = memory.fresh(&listed, from);
            let new = names.iter().position(|(name, _)| *name == "b").unwrap();
            assert_eq!(fresh, (new..names.len()).collect::<Vec<_>>(), "{back}");
        }
    }

    #[test]
    fn one_by_one_and_all_at_once_are_the_same() {
        let some = [("a", 1), ("b", 0), ("c", 3), ("a", 0), ("d", 4), ("a", 9)];
        for (at, one) in some.iter().enumerate() {
            for dates in [false, true] {
                let start = "2026-11-22T14:00:00Z";
                let many = list(0, &[*one; 1]);
                let many = if dates { dated(many, start) } else { many };
                let (known, index) = (
                    Known::of(&many[0]),
                    Index::new([&Known::of(&many[0])].into_iter()),
                );
                for other in &some {
                    for (other, dates) in [
                        (list(7, &[*other]), false),
                        (dated(list(7, &[*other]), start), true),
                    ] {
                        let other = Known::of(&other[0]);
                        assert_eq!(
                            index.has(&other),
                            known.is(&other),
                            "{at} {other:?} {dates}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn little_is_remembered_and_enough() {
        let mut memory = Memory::default();
        for number in 0..5000 {
            memory.saw(&list(number, &[("x", number + 1)])[0]);
        }
        assert!(memory.known.len() + memory.earlier.len() <= 2 * REMEMBERED);
        assert_eq!(memory.next(), Some(5000));
        assert_eq!(memory.observe(&list(4990, &[("x", 4991)])), Seen::Nothing);
    }
}
