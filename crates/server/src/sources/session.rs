//! What is new in a playlist, and whether its stream still lives.
//!
//! A playlist is read while it is being rewritten, by servers that disagree on when a segment is
//! listed, and encoders restart under the same names. A [`Tracker`] remembers what it has seen and
//! tells growth, a half-written or shorter playlist, and a stream that starts over apart. It opens
//! no file and reads no clock.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, TimeDelta, Utc};
use clipmill_playlist::Segment;

/// Segments remembered, so that a playlist caught half-written is not taken for a new one however
/// little of it there is. At two seconds each, more than two days.
const REMEMBERED: usize = 100_000;

/// Dates of the same segment may differ by this much, as some servers compute them anew each time.
const SAME_DATE: TimeDelta = TimeDelta::seconds(2);

/// The same, for dates that were cut to seconds.
const SAME_DATE_SECONDS: u32 = 3;

/// A stream is silent for at least this long before it has ended.
const LEAST_SILENCE: Duration = Duration::from_secs(6);

/// What tells two files of the same name apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileMark {
    pub(crate) len: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub(crate) modified_ns: i128,
}

impl FileMark {
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        let since = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            len: metadata.len(),
            modified_ns: since.map_or(0, |since| since.as_nanos() as i128),
        }
    }

    /// The time of the last change.
    pub(crate) fn modified(&self) -> SystemTime {
        let since = u64::try_from(self.modified_ns.max(0)).unwrap_or(u64::MAX);
        UNIX_EPOCH + Duration::from_nanos(since)
    }

    /// Whether a file may only have been appended to since it looked like `self`.
    pub(crate) fn grew_to(&self, now: &Self) -> bool {
        now.len > self.len && now.modified_ns >= self.modified_ns
    }
}

/// A segment that has been seen, in few bytes: an event playlist lists tens of thousands. Each field
/// is 0 when it is not known, as after a restart of ours, or when the segment was never listed.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Of its URI.
    uri: u32,
    /// When it begins, in seconds since 1970.
    date: u32,
    /// Of what its file looked like.
    mark: u64,
}

/// What a look at a playlist shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing new: the same as before, half-written, or shorter.
    Nothing,
    /// Segments from this position of the list on are new.
    New {
        /// Position of the first new one.
        from: usize,
        /// How many segments were never seen between the last known one and it.
        missing: u64,
    },
    /// The stream started over: everything in the list belongs to a new session.
    StartedOver,
}

/// Remembers the segments of one session.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    /// Sequence number of the first one remembered.
    base: u64,
    known: VecDeque<Known>,
    /// When the last one begins, and what its file looked like.
    last: (Option<DateTime<Utc>>, Option<FileMark>),
}

impl Tracker {
    /// Media sequence number after the last one seen; `None` when nothing was.
    pub(crate) fn next(&self) -> Option<u64> {
        (!self.known.is_empty()).then(|| self.base.saturating_add(self.known.len() as u64))
    }

    #[cfg(feature = "fuzzing")]
    pub(crate) fn remembered(&self) -> usize {
        self.known.len()
    }

    fn get(&self, sequence: u64) -> Option<&Known> {
        let at = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
        self.known.get(at)
    }

    /// Remembers a segment. Those before it that were never listed are remembered as such.
    pub(crate) fn saw(&mut self, segment: &Segment, mark: Option<FileMark>) {
        let uri = number_of(&segment.uri);
        self.remember(segment.sequence, uri, segment.start_time, mark);
    }

    /// Remembers a segment of which only this is known.
    pub(crate) fn saw_before(
        &mut self,
        sequence: u64,
        start_time: Option<DateTime<Utc>>,
        mark: Option<FileMark>,
    ) {
        self.remember(sequence, 0, start_time, mark);
    }

    fn remember(
        &mut self,
        sequence: u64,
        uri: u32,
        start_time: Option<DateTime<Utc>>,
        mark: Option<FileMark>,
    ) {
        let known = Known {
            uri,
            date: start_time.map_or(0, seconds),
            mark: mark.map_or(0, |mark| hash(&mark)),
        };
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
            self.known.clear();
            self.base = sequence;
        } else {
            let unseen = usize::try_from(sequence - next).unwrap_or(0);
            let len = self.known.len() + unseen;
            self.known.resize(len, Known::default());
        }
        self.known.push_back(known);
        self.last = (start_time, mark);
        while self.known.len() > REMEMBERED {
            self.known.pop_front();
            self.base = self.base.saturating_add(1);
        }
    }

    /// Compares a playlist with what is known. `mark` looks at the file of a segment; it is asked
    /// for two segments at most.
    pub(crate) fn observe(
        &self,
        segments: &[Segment],
        mark: &mut dyn FnMut(&Segment) -> Option<FileMark>,
    ) -> Seen {
        let (Some(_), Some(last)) = (segments.first(), segments.last()) else {
            return Seen::Nothing;
        };
        let Some(next) = self.next() else {
            return Seen::New {
                from: 0,
                missing: 0,
            };
        };
        // A sequence that was never reached, of a session whose beginning is forgotten, may be
        // anything: it is believed to be the old one only while it cannot be told.
        if last.sequence < self.base || self.differs(segments, mark) {
            return Seen::StartedOver;
        }
        if last.sequence < next {
            return Seen::Nothing;
        }
        let from = segments.partition_point(|segment| segment.sequence < next);
        let Some(first_new) = segments.get(from) else {
            return Seen::Nothing;
        };
        if let (Some(before), Some(now)) = (self.last.0, first_new.start_time)
            && now + SAME_DATE < before
        {
            return Seen::StartedOver;
        }
        Seen::New {
            from,
            missing: first_new.sequence - next,
        }
    }

    /// Whether segments with the same numbers are not the same segments.
    fn differs(
        &self,
        segments: &[Segment],
        mark: &mut dyn FnMut(&Segment) -> Option<FileMark>,
    ) -> bool {
        let mut marks_left = 2;
        let overlap = segments
            .iter()
            .rev()
            .filter_map(|s| Some((s, self.get(s.sequence)?)));
        for (segment, known) in overlap {
            if known.uri != 0 && known.uri != number_of(&segment.uri) {
                return true;
            }
            let date = segment.start_time.map_or(0, seconds);
            if known.date != 0 && date != 0 && known.date.abs_diff(date) > SAME_DATE_SECONDS {
                return true;
            }
            if marks_left > 0
                && known.mark != 0
                && let Some(now) = mark(segment)
            {
                marks_left -= 1;
                let newest = self.next() == Some(segment.sequence.saturating_add(1));
                let then = self.last.1.filter(|_| newest);
                let still_written = then.is_some_and(|then| then.grew_to(&now));
                if known.mark != hash(&now) && !still_written {
                    return true;
                }
            }
        }
        false
    }
}

/// When a stream that stays silent has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pulse {
    grown: Instant,
    silence: Duration,
}

impl Pulse {
    pub(crate) fn new(grown: Instant, target_duration: Duration) -> Self {
        Self {
            grown,
            silence: silence(target_duration),
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.grown + self.silence
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.deadline()
    }
}

/// How long a stream may be silent.
pub(crate) fn silence(target_duration: Duration) -> Duration {
    LEAST_SILENCE.max(target_duration.saturating_mul(3))
}

fn seconds(time: DateTime<Utc>) -> u32 {
    u32::try_from(time.timestamp()).unwrap_or(0)
}

/// Never 0.
fn number_of(text: &str) -> u32 {
    (hash(&text) >> 32).max(1) as u32
}

/// Never 0.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clipmill_playlist::{Playlist, PlaylistLimits};
    use std::collections::HashMap;
    use std::fmt::Write;

    /// A world of files, by name: each is what the number says.
    #[derive(Default)]
    struct World {
        files: HashMap<String, FileMark>,
        tracker: Tracker,
    }

    fn mark(version: i128, len: u64) -> FileMark {
        FileMark {
            len,
            modified_ns: version,
        }
    }

    fn list(first: u64, count: u64, dates: Option<&str>) -> Vec<Segment> {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        if let Some(date) = dates {
            writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{date}").unwrap();
        }
        for sequence in first..first + count {
            writeln!(text, "#EXTINF:2,\nseg{sequence}.ts").unwrap();
        }
        match Playlist::parse(text.as_bytes(), &PlaylistLimits::default()).unwrap() {
            Playlist::Media(media) => media.segments,
            Playlist::Multivariant(_) => unreachable!(),
        }
    }

    impl World {
        fn write(&mut self, sequences: std::ops::Range<u64>, version: i128) {
            for sequence in sequences {
                let name = format!("seg{sequence}.ts");
                self.files
                    .insert(name, mark(version + i128::from(sequence), 188));
            }
        }

        fn look(&mut self, segments: &[Segment]) -> Seen {
            let files = &self.files;
            let mut mark = |segment: &Segment| files.get(&segment.uri).copied();
            let seen = self.tracker.observe(segments, &mut mark);
            if seen == Seen::StartedOver {
                self.tracker = Tracker::default();
            }
            let from = match seen {
                Seen::New { from, .. } => from,
                Seen::StartedOver => 0,
                Seen::Nothing => segments.len(),
            };
            for segment in &segments[from..] {
                self.tracker.saw(segment, mark(segment));
            }
            seen
        }
    }

    #[test]
    fn a_window_slides() {
        let mut world = World::default();
        world.write(0..20, 1000);
        let new = |from, missing| Seen::New { from, missing };
        assert_eq!(world.look(&list(0, 3, None)), new(0, 0));
        assert_eq!(world.look(&list(0, 3, None)), Seen::Nothing);
        assert_eq!(world.look(&list(1, 3, None)), new(2, 0));
        assert_eq!(world.look(&list(3, 4, None)), new(1, 0));
        assert_eq!(world.look(&list(9, 4, None)), new(0, 2));
        assert_eq!(world.tracker.next(), Some(13));
    }

    #[test]
    fn half_written_and_shorter_playlists_are_nothing_new() {
        let mut world = World::default();
        world.write(0..3000, 1000);
        world.look(&list(0, 3000, None));
        for count in [0, 1, 10, 2999] {
            assert_eq!(world.look(&list(0, count, None)), Seen::Nothing);
        }
        // The oldest files may be gone by now.
        world.files.clear();
        assert_eq!(world.look(&list(0, 10, None)), Seen::Nothing);
        assert_eq!(world.look(&list(2990, 5, None)), Seen::Nothing);
    }

    #[test]
    fn an_encoder_restarts_under_the_same_names() {
        for caught in [1, 2, 3, 5, 9] {
            let mut world = World::default();
            world.write(0..4, 1000);
            world.look(&list(0, 4, None));
            world.write(0..caught, 5000);
            assert_eq!(
                world.look(&list(0, caught, None)),
                Seen::StartedOver,
                "{caught}"
            );
            assert_eq!(world.tracker.next(), Some(caught));
        }
    }

    #[test]
    fn a_sequence_that_starts_over_far_below() {
        let mut world = World::default();
        world.look(&list(100, 4, None));
        assert_eq!(world.look(&list(0, 2, None)), Seen::StartedOver);
        assert_eq!(
            world.look(&list(1, 2, None)),
            Seen::New {
                from: 1,
                missing: 0
            }
        );
    }

    #[test]
    fn dates_tell_a_restart_without_files() {
        let mut world = World::default();
        world.look(&list(0, 4, Some("2026-11-22T14:00:00Z")));
        let same = list(0, 4, Some("2026-11-22T14:00:00.400Z"));
        assert_eq!(world.look(&same), Seen::Nothing);
        let later = list(0, 4, Some("2026-11-22T15:00:00Z"));
        assert_eq!(world.look(&later), Seen::StartedOver);
        // The sequence goes on and time does not.
        let back = list(4, 4, Some("2026-11-22T12:00:00Z"));
        assert_eq!(world.look(&back), Seen::StartedOver);
        // A pause is no new beginning.
        let pause = list(8, 1, Some("2026-11-22T12:30:00Z"));
        assert!(matches!(world.look(&pause), Seen::New { .. }));
    }

    #[test]
    fn a_segment_listed_too_early_grows() {
        let mut world = World::default();
        world.write(0..3, 1000);
        world.look(&list(0, 3, None));
        world.files.insert("seg2.ts".to_owned(), mark(2000, 376));
        assert_eq!(world.look(&list(0, 3, None)), Seen::Nothing);
        // Not so when it is another file altogether.
        world.files.insert("seg2.ts".to_owned(), mark(2000, 94));
        assert_eq!(world.look(&list(0, 3, None)), Seen::StartedOver);
    }

    #[test]
    fn memory_is_bounded() {
        let mut tracker = Tracker::default();
        let [segment] = list(0, 1, None).try_into().unwrap();
        for sequence in [0, 5, 99_999, 100_005, u64::MAX - 3] {
            let mut segment = segment.clone();
            segment.sequence = sequence;
            tracker.saw(&segment, None);
            assert!(tracker.known.len() <= REMEMBERED);
            assert_eq!(tracker.next(), Some(sequence + 1));
        }
        assert_eq!(size_of::<Known>(), 16);
    }

    #[test]
    fn silence_of_three_target_durations() {
        let begun = Instant::now();
        let pulse = Pulse::new(begun, Duration::from_secs(10));
        assert!(!pulse.is_over(begun + Duration::from_secs(29)));
        assert!(pulse.is_over(begun + Duration::from_secs(30)));
        let short = Pulse::new(begun, Duration::from_secs(1));
        assert_eq!(short.deadline(), begun + Duration::from_secs(6));
    }
}
