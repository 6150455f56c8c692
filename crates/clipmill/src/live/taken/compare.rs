//! Playlists compared with what was taken: what is new in them, and which of their segments are known.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use clipmill_playlist::Segment;

use super::{Known, Newest, REPEATED, SAME_DATE, SAME_DATE_AGAIN, Seen, SegmentFiles, Taken};
use crate::live::listing::Version;
use crate::live::taken_segment::{name_of, version_of};

/// The last listed segment that was taken before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Anchor {
    /// Its position in the list.
    at: usize,
    /// Its number, if that was given since the numbers began anew.
    number: Option<u64>,
}

impl Taken {
    /// Compares a playlist with what is known. Files are looked at for two segments at most, as long
    /// as nothing contradicts the numbers.
    #[must_use]
    pub fn observe(&self, listed: &[Segment], files: &mut dyn SegmentFiles) -> Seen {
        let (Some(first), Some(last)) = (listed.first(), listed.last()) else {
            return Seen::Nothing;
        };
        if self.is_empty() {
            return Seen::New {
                from: 0,
                missing: 0,
                shift: 0,
            };
        }
        let Some(next) = self.next() else {
            // Any number will do.
            let from = self.anchor(listed, files).map_or(0, |anchor| anchor.at + 1);
            let nothing = from == listed.len();
            return if nothing {
                Seen::Nothing
            } else {
                Seen::New {
                    from,
                    missing: 0,
                    shift: 0,
                }
            };
        };
        let (begin, end) = (self.number(first), self.number(last));
        let overlaps = begin < next && end >= self.base;
        if overlaps && !self.contradicts(listed, files) && self.confirms(listed) {
            let from = listed.partition_point(|segment| self.number(segment) < next);
            return self.continues(listed, from, next, files);
        }
        let anchor = self.anchor(listed, files);
        let anchor = anchor.map(|anchor| self.behind_missing(anchor, listed, files));
        match anchor {
            Some(Anchor { at, .. }) if at + 1 == listed.len() => Seen::Nothing,
            Some(Anchor { at, number }) if number.and_then(|n| n.checked_add(1)) == Some(next) => {
                let before = listed.get(at).map_or(0, |segment| segment.sequence);
                Seen::New {
                    from: at + 1,
                    missing: 0,
                    shift: (next - 1).wrapping_sub(before) as i64,
                }
            }
            Some(Anchor { at, .. }) => Seen::StartedOver { from: at + 1 },
            None if begin >= next => self.continues(listed, 0, next, files),
            None => Seen::StartedOver { from: 0 },
        }
    }

    /// The list is believed to go on from the position `from`.
    fn continues(
        &self,
        listed: &[Segment],
        from: usize,
        next: u64,
        files: &mut dyn SegmentFiles,
    ) -> Seen {
        let from = self.behind_old(listed, from, files);
        let Some(first_new) = listed.get(from) else {
            return Seen::Nothing;
        };
        if let (Some(before), Some(now)) = (self.newest.date, first_new.start_time)
            && now + SAME_DATE < before
        {
            return Seen::StartedOver { from };
        }
        Seen::New {
            from,
            missing: self.number(first_new).saturating_sub(next),
            shift: self.shift,
        }
    }

    /// Position behind those that seem to be new from the position `from` on and are old: an old list may
    /// go on from the numbers of now with what was taken before they began anew. Only a loop brings that
    /// again: a discontinuity is where it begins, and it lasts while all that comes was taken before.
    fn behind_old(&self, listed: &[Segment], from: usize, files: &mut dyn SegmentFiles) -> usize {
        let new = listed.get(from..).unwrap_or_default();
        // Mostly there is one.
        let mut names: Vec<u32> = new.iter().map(name_of).collect();
        names.sort_unstable();
        let before = self.before.iter().filter(|one| one.version != 0);
        let before = before.filter(|one| names.binary_search(&one.name).is_ok());
        let files_before: HashSet<_> = before.map(|one| (one.name, one.version)).collect();
        if files_before.is_empty() {
            return from;
        }
        let last = match from.checked_sub(1).and_then(|at| listed.get(at)) {
            Some(last) => self.get(self.number(last)),
            None => self.known.back(),
        };
        let mut in_loop = last.is_some_and(|last| {
            let mut before = self.before.iter();
            last.version != 0 && before.any(|one| one.is_same_file(last))
        });
        let mut behind = from;
        for (segment, at) in new.iter().zip(from..) {
            let name = name_of(segment);
            let version = version_of(files.version(segment));
            let is_old = files_before.contains(&(name, version));
            in_loop = is_old && (in_loop || segment.discontinuity);
            if is_old && !in_loop {
                behind = at + 1;
            }
        }
        behind
    }

    fn number(&self, segment: &Segment) -> u64 {
        segment.sequence.saturating_add_signed(self.shift)
    }

    /// Whether a number that is listed is one that was taken, and not one of those that were never seen.
    fn confirms(&self, listed: &[Segment]) -> bool {
        let known = |segment| self.get(self.number(segment));
        let mut known = listed.iter().rev().filter_map(known);
        known.any(|known| known.name != 0)
    }

    /// Whether segments with the same numbers are not the same segments.
    fn contradicts(&self, listed: &[Segment], files: &mut dyn SegmentFiles) -> bool {
        let mut marks_left = 2;
        let overlap = listed
            .iter()
            .rev()
            .filter_map(|s| Some((s, self.get(self.number(s))?)));
        for (segment, known) in overlap {
            if known.name != 0 && known.name != name_of(segment) {
                return true;
            }
            if known
                .dates(segment)
                .is_some_and(|apart| apart > SAME_DATE_AGAIN)
            {
                return true;
            }
            if marks_left > 0
                && known.version != 0
                && let Some(now) = files.version(segment)
            {
                marks_left -= 1;
                if known.version != now.digest() && !self.still_written(segment, &now, files) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether it is the newest segment, listed too early, and more has been written to its file.
    fn still_written(
        &self,
        segment: &Segment,
        now: &Version,
        files: &mut dyn SegmentFiles,
    ) -> bool {
        let Newest {
            mark, head, over, ..
        } = self.newest;
        let is_newest = self.next() == self.number(segment).checked_add(1);
        is_newest
            && !over
            && mark.is_some_and(|then| files.has_grown(then, *now))
            && head.is_none_or(|head| files.head(segment) == Some(head))
    }

    /// Whether more was taken than a list reaches to.
    #[must_use]
    pub fn is_beyond(&self, listed: &[Segment]) -> bool {
        let end = listed
            .last()
            .map(|last| self.number(last).saturating_add(1));
        end.is_some() && end < self.next()
    }

    /// Whether a segment is a file that was taken, whatever its number says.
    #[must_use]
    pub fn has(&self, segment: &Segment, files: &mut dyn SegmentFiles) -> bool {
        let known = self.known.iter().rev().chain(self.before.iter().rev());
        let mut known = known.filter(|known| known.version != 0);
        known.any(|known| self.is_file(known, segment, files))
    }

    /// Position behind the last listed segment that is a file that was taken, whatever the numbers say.
    #[must_use]
    pub fn behind_taken(&self, listed: &[Segment], files: &mut dyn SegmentFiles) -> usize {
        let found = self.matches(listed, files).into_iter();
        let taken = found.filter(|(_, known)| known.version != 0);
        taken.map(|(at, _)| at + 1).max().unwrap_or(0)
    }

    /// Whether the file of a segment is not the one that was taken under its name.
    #[must_use]
    pub fn has_other(&self, segment: &Segment, files: &mut dyn SegmentFiles) -> bool {
        let name = name_of(segment);
        let mut known = self
            .known
            .iter()
            .filter(|k| k.name == name && k.version != 0);
        known
            .next_back()
            .is_some_and(|known| !self.is_file(known, segment, files))
    }

    /// Whether a listed segment is the very file that is known.
    fn is_file(&self, known: &Known, segment: &Segment, files: &mut dyn SegmentFiles) -> bool {
        if known.name == 0 || known.name != name_of(segment) {
            return false;
        }
        match files.version(segment) {
            Some(now) => {
                let newest = self.known.back().is_some_and(|newest| newest == known);
                known.version == now.digest() || newest && self.still_written(segment, &now, files)
            }
            // One file holds all segments: which of its bytes they are is in the name. Else the date tells,
            // where nothing does that is nearer to the content.
            None => known.version == 0 && (segment.byte_range.is_some() || known.is_dated(segment)),
        }
    }

    /// All that is known of files that are listed, newest first, each with its position in the list.
    fn matches<'a>(
        &'a self,
        listed: &[Segment],
        files: &mut dyn SegmentFiles,
    ) -> Vec<(usize, &'a Known)> {
        let names = listed.iter().map(name_of).zip(0..);
        let positions: HashMap<u32, usize> = names.collect();
        let all = self.known.iter().rev().chain(self.before.iter().rev());
        all.filter_map(|known| {
            let at = *positions.get(&known.name)?;
            let is_it = self.is_file(known, listed.get(at)?, files);
            is_it.then_some((at, known))
        })
        .collect()
    }

    /// The last listed segment that was taken before, whatever its number says.
    fn anchor(&self, listed: &[Segment], files: &mut dyn SegmentFiles) -> Option<Anchor> {
        let found = self.matches(listed, files);
        // What was taken several times is a loop, and tells nothing of where it stands.
        let mut times: HashMap<usize, usize> = HashMap::new();
        for (at, known) in &found {
            *times.entry(*at).or_default() += usize::from(!known.repeats);
        }
        let (at, known) = found
            .into_iter()
            .rev()
            .filter(|(at, _)| times.get(at).is_none_or(|times| *times <= 1))
            .max_by_key(|(at, _)| *at)?;
        let mut all = self.known.iter();
        let place = all.rposition(|one| std::ptr::eq(one, known));
        Some(Anchor {
            at,
            number: place.map(|place| self.base.saturating_add(place as u64)),
        })
    }

    /// The anchor, or what follows it of segments that followed it before, were given up as they were
    /// never there, and are not there now.
    fn behind_missing(
        &self,
        anchor: Anchor,
        listed: &[Segment],
        files: &mut dyn SegmentFiles,
    ) -> Anchor {
        let Anchor { mut at, mut number } = anchor;
        while let Some(after) = number.and_then(|number| number.checked_add(1))
            && let (Some(known), Some(segment)) = (self.get(after), listed.get(at + 1))
            && (known.name, known.version) == (name_of(segment), 0)
            && files.version(segment).is_none()
        {
            (at, number) = (at + 1, Some(after));
        }
        Anchor { at, number }
    }

    /// Whether a segment that is new by its number is a file that was taken in the same run.
    #[must_use]
    pub fn repeats(&self, segment: &Segment, mark: Option<Version>) -> bool {
        let (name, version) = Self::file(segment, mark);
        let recent = self.known.iter().rev().take(REPEATED);
        let mut run = recent.take_while(|known| known.run == self.run || known.name == 0);
        !segment.discontinuity && run.any(|known| known.name == name && known.version == version)
    }

    /// When the segments of a list begin that were taken, whatever their numbers say.
    #[must_use]
    pub fn dates(
        &self,
        listed: &[Segment],
        files: &mut dyn SegmentFiles,
    ) -> Vec<Option<DateTime<Utc>>> {
        let date = |known: &Known| {
            let date = Some(known.date_us).filter(|date| *date != 0);
            date.and_then(DateTime::from_timestamp_micros)
        };
        if !self.contradicts(listed, files) {
            let known = |segment| {
                let known = self.get(self.number(segment))?;
                (known.name == name_of(segment)).then_some(known)
            };
            return listed.iter().map(|one| known(one).and_then(date)).collect();
        }
        let mut dates = vec![None; listed.len()];
        for (at, known) in self.matches(listed, files) {
            if let Some(place) = dates.get_mut(at) {
                *place = date(known);
            }
        }
        dates
    }
}
