//! What is new in a playlist of another server, and what is missing before it. It does no I/O and reads no clock.
//!
//! [`Continuity`] decides it, as for folders. What its files look like is not known of a playlist from elsewhere, and to
//! ask costs: so that is done where it would be believed that the stream has started over, or that a playlist that
//! went back is an old copy.

use std::time::{Duration, Instant};

use clipmill::live::{
    self, Circumstances, Continuity, Decision, Taken, TakenSegment, Timeouts, Version,
};
use clipmill_playlist::Segment;

use super::listed::Looks;

/// A playlist that is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    /// Its segments, as they are told apart.
    pub(super) listed: &'a [Segment],
    pub(super) target: Duration,
    pub(super) ended: bool,
    /// Tells its text from others.
    pub(super) digest: u64,
    pub(super) now: Instant,
}

/// What is new in it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct New {
    /// All that is listed, with the numbers of before.
    pub(super) known: Vec<Segment>,
    /// What is listed from this position on is new.
    pub(super) from: usize,
    /// So many segments were gone before they were seen.
    pub(super) missing: u64,
    /// What is new does not go on where the last segment ended.
    pub(super) breaks: bool,
    /// How often the numbers have begun anew.
    pub(super) run: u32,
}

/// What was taken of a playlist, and so what is new in it.
#[derive(Debug, Default)]
pub(super) struct News {
    continuity: Continuity,
    run: u32,
    /// Nothing of this was new, and its files say that this is right.
    looked_at: Option<u64>,
    /// Since when nothing new has come, by what was loaded.
    quiet: Option<Instant>,
    /// How many discontinuities were counted up to the last segment.
    discontinuities: Option<u64>,
}

impl News {
    /// Goes on behind what was taken before.
    pub(super) fn new(taken: &[TakenSegment]) -> Self {
        Self {
            continuity: Continuity::new(Taken::read(taken)),
            ..Self::default()
        }
    }

    /// Nothing new was there.
    pub(super) fn none(&mut self, now: Instant) {
        self.quiet.get_or_insert(now);
    }

    fn circumstances(&self, look: &Look<'_>) -> Circumstances {
        let silence = Timeouts::default().silence(look.target);
        let quiet = self
            .quiet
            .map(|since| look.now.saturating_duration_since(since));
        Circumstances {
            // After a restart it goes on.
            live: !self.continuity.taken().is_empty() && quiet.is_none_or(|quiet| quiet < silence),
            ended: look.ended,
            age: Duration::ZERO,
            watched: Duration::from_secs(1),
            silence,
            history: match look.ended {
                true => Duration::MAX,
                false => live::Settings::default().history,
            },
        }
    }

    /// What is decided, as far as is known what the files look like.
    pub(super) fn decide(&self, look: &Look<'_>, looks: &mut Looks) -> Decision {
        self.continuity
            .decide(look.listed, &self.circumstances(look), looks)
    }

    /// Whether the files should be looked at before it is believed.
    pub(super) fn is_doubtful(&self, decision: &Decision, look: &Look<'_>) -> bool {
        let taken = self.continuity.taken();
        match decision {
            _ if taken.is_empty() => false,
            Decision::Begins { shift: None, .. } => true,
            Decision::Nothing => {
                taken.is_beyond(look.listed) && self.looked_at != Some(look.digest)
            }
            _ => false,
        }
    }

    /// The files were looked at: the same text says nothing else the next time.
    pub(super) fn looked(&mut self, look: &Look<'_>) {
        self.looked_at = Some(look.digest);
    }

    /// It is as decided; `None` where nothing is new.
    pub(super) fn follow(
        &mut self,
        decision: &Decision,
        look: &Look<'_>,
        looks: &mut Looks,
    ) -> Option<New> {
        let circumstances = self.circumstances(look);
        let taken = self.continuity.taken();
        let (was_known, next) = (!taken.is_empty(), taken.next());
        let mut known = look.listed.to_vec();
        self.continuity
            .follow(decision, &mut known, &circumstances, looks);
        let (from, missing, anew) = match *decision {
            Decision::Nothing | Decision::Ends | Decision::Old { .. } => return None,
            Decision::Continues { from, missing, .. } => (from, missing, false),
            Decision::Begins { from, shift, .. } => {
                self.run += u32::from(shift.is_none());
                let first = known.get(from).map(|first| first.sequence);
                let both = first.zip(next).filter(|_| was_known && shift.is_some());
                let missing = both.map_or(0, |(first, next)| first.saturating_sub(next));
                (from, missing, shift.is_none() || !was_known)
            }
        };
        let first = known.get(from)?;
        // One of those that nobody saw may have had a discontinuity before it.
        let before = self.discontinuities;
        let jumps = missing > 0 && before.is_some_and(|n| n != first.discontinuity_sequence);
        self.discontinuities = known.last().map(|last| last.discontinuity_sequence);
        self.quiet = None;
        for segment in known.get(from..).unwrap_or_default() {
            let start = segment.start_time;
            self.continuity.taken_mut().saw(segment, None, None, start);
        }
        Some(New {
            known,
            from,
            missing,
            breaks: anew || jumps,
            run: self.run,
        })
    }

    /// What a segment looked like that was fetched.
    pub(super) fn took(&mut self, run: u32, number: u64, version: Version) {
        if run == self.run {
            self.continuity.taken_mut().took(number, version);
        }
    }
}

#[cfg(test)]
mod tests {
    use clipmill_playlist::{Playlist, PlaylistLimits};

    use super::*;

    /// A playlist with segments of these names, the first of which has this number; dated from this second on.
    fn listed(first: u64, names: &[&str], date: Option<u32>) -> Vec<Segment> {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        if let Some(second) = date {
            text += &format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:{second:02}Z\n");
        }
        for name in names {
            text += &match name.strip_prefix('!') {
                Some(name) => format!("#EXT-X-DISCONTINUITY\n#EXTINF:2,\n{name}\n"),
                None => format!("#EXTINF:2,\n{name}\n"),
            };
        }
        match Playlist::parse(text.as_bytes(), &PlaylistLimits::default()) {
            Ok(Playlist::Media(media)) => media.segments,
            other => panic!("{other:?}"),
        }
    }

    fn version(tag: u64) -> Version {
        Version { tag, len: 1 }
    }

    struct Case {
        news: News,
        now: Instant,
        ended: bool,
        /// What the files look like, if the server tells.
        tag: Option<u64>,
    }

    impl Case {
        fn new() -> Self {
            Self {
                news: News::default(),
                now: Instant::now(),
                ended: false,
                tag: Some(1),
            }
        }

        /// What is new: names, how many are missing before them, whether they go on; and whether the files were
        /// looked at.
        fn sees(&mut self, listed: &[Segment]) -> (String, u64, bool, bool) {
            let digest = format!(
                "{:?}",
                listed.iter().map(|one| &one.uri).collect::<Vec<_>>()
            );
            let look = Look {
                listed,
                target: Duration::from_secs(2),
                ended: self.ended,
                digest: Taken::head(digest.as_bytes()),
                now: self.now,
            };
            let mut looks = Looks::default();
            let mut decision = self.news.decide(&look, &mut looks);
            let doubtful = self.news.is_doubtful(&decision, &look);
            if doubtful {
                for segment in listed {
                    looks.add(segment, self.tag.map(version));
                }
                decision = self.news.decide(&look, &mut looks);
                self.news.looked(&look);
            }
            let Some(new) = self.news.follow(&decision, &look, &mut looks) else {
                self.news.none(self.now);
                return (String::new(), 0, false, doubtful);
            };
            let all = &new.known[new.from..];
            for segment in all {
                if let Some(tag) = self.tag {
                    self.news.took(new.run, segment.sequence, version(tag));
                }
            }
            let names: Vec<_> = all.iter().map(|one| one.uri.as_str()).collect();
            (names.join(" "), new.missing, new.breaks, doubtful)
        }

        fn passes(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }
    }

    fn new(names: &str, missing: u64, breaks: bool, doubtful: bool) -> (String, u64, bool, bool) {
        (names.to_owned(), missing, breaks, doubtful)
    }

    const NOTHING: (String, u64, bool, bool) = (String::new(), 0, false, false);

    #[test]
    fn what_follows_is_new_and_what_was_gone_is_counted() {
        for date in [None, Some(0)] {
            let mut case = Case::new();
            let at = |second: u32| date.map(|_| second);
            assert_eq!(
                case.sees(&listed(7, &["a", "b"], at(0))),
                new("a b", 0, true, false)
            );
            assert_eq!(case.sees(&listed(7, &["a", "b"], at(0))), NOTHING);
            assert_eq!(
                case.sees(&listed(8, &["b", "c"], at(2))),
                new("c", 0, false, false)
            );
            assert_eq!(
                case.sees(&listed(12, &["f", "g"], at(10))),
                new("f g", 2, false, false)
            );
            // What is missing had a discontinuity before it.
            let mut gone = listed(16, &["!k", "l"], at(18));
            gone.remove(0);
            assert_eq!(case.sees(&gone), new("l", 3, true, false));
        }
    }

    #[test]
    fn an_old_copy_is_looked_at_once_and_changes_nothing() {
        let mut case = Case::new();
        let now = listed(0, &["a", "b", "c", "d"], Some(0));
        case.sees(&now);
        let old = listed(0, &["a", "b", "c"], Some(0));
        assert_eq!(case.sees(&old), new("", 0, false, true));
        assert_eq!(case.sees(&old), NOTHING);
        assert_eq!(
            case.sees(&listed(1, &["b", "c", "d", "e"], Some(2))),
            new("e", 0, false, false)
        );
    }

    #[test]
    fn an_origin_that_starts_over_is_new_whatever_its_names_are() {
        // Other names, from 0 again.
        let mut case = Case::new();
        case.sees(&listed(40, &["a", "b", "c"], Some(0)));
        assert_eq!(
            case.sees(&listed(0, &["x"], Some(30))),
            new("x", 0, true, true)
        );
        assert_eq!(
            case.sees(&listed(0, &["x", "y"], Some(30))),
            new("y", 0, false, false)
        );
        // The same names, and the server tells that they are other files.
        let mut case = Case::new();
        case.sees(&listed(0, &["a", "b", "c"], None));
        case.tag = Some(2);
        assert_eq!(
            case.sees(&listed(0, &["a", "b"], None)),
            new("a b", 0, true, true)
        );
        assert_eq!(
            case.sees(&listed(0, &["a", "b", "c"], None)),
            new("c", 0, false, false)
        );
        // It does not tell: it is believed when nothing has come for three target durations.
        let mut case = Case::new();
        case.tag = None;
        case.sees(&listed(0, &["a", "b", "c"], None));
        assert_eq!(case.sees(&listed(0, &["a"], None)), new("", 0, false, true));
        case.passes(7);
        assert_eq!(case.sees(&listed(0, &["a", "b"], None)).0, "a b");
    }

    #[test]
    fn segments_that_are_numbered_anew_are_not_taken_again() {
        let mut case = Case::new();
        case.sees(&listed(40, &["a", "b", "c"], None));
        assert_eq!(
            case.sees(&listed(0, &["b", "c", "d"], None)),
            new("d", 0, false, true)
        );
        assert_eq!(
            case.sees(&listed(1, &["c", "d", "e"], None)),
            new("e", 0, false, false)
        );
    }

    #[test]
    fn after_a_restart_it_goes_on_where_it_was() {
        let mut case = Case::new();
        let list = listed(5, &["a", "b"], Some(0));
        case.sees(&list);
        let taken = list
            .iter()
            .map(|one| TakenSegment::of(one, Some(version(1)), one.start_time));
        let taken: Vec<_> = taken.collect();
        let again = || Case {
            news: News::new(&taken),
            ..Case::new()
        };
        assert_eq!(again().sees(&list), NOTHING);
        assert_eq!(
            again().sees(&listed(6, &["b", "c"], Some(2))),
            new("c", 0, false, false)
        );
        assert_eq!(
            again().sees(&listed(9, &["e"], Some(8))),
            new("e", 2, false, false)
        );
    }

    #[test]
    fn of_what_is_seen_first_the_last_minutes_are_taken_or_all_where_it_has_ended() {
        let names: Vec<String> = (0..400).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut case = Case::new();
        let (found, ..) = case.sees(&listed(0, &names, None));
        assert_eq!(found.split(' ').count(), 300);
        let mut case = Case::new();
        case.ended = true;
        let (found, ..) = case.sees(&listed(0, &names, None));
        assert_eq!(found.split(' ').count(), 400);
        assert_eq!(case.sees(&listed(0, &names, None)), NOTHING);
    }
}
