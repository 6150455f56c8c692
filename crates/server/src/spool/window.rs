//! What is kept of a stream for its DVR window, as a list in memory: which segments there are, and which of them
//! have had their time. It does no I/O and reads no clock.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::Label;

/// A date that is so far ahead of the live edge was given by a clock that was wrong.
const AHEAD: TimeDelta = TimeDelta::hours(1);

/// No date.
const UNDATED: i64 = i64::MIN;

/// A segment, in few bytes: hours of many streams are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    sequence: u64,
    /// In microseconds since 1970, or [`UNDATED`].
    start_us: i64,
    /// In 90 kHz ticks.
    duration: u32,
    /// In 90 kHz ticks.
    missing_before: u32,
    /// 0: none.
    init: u64,
    file: (u32, u32),
    /// Length in bytes.
    pub(crate) len: u64,
    /// The chunk of its session that it lies in.
    pub(crate) chunk: u32,
    discontinuity: bool,
    changed: bool,
}

impl Entry {
    pub(crate) fn new(label: &Label, len: u64, chunk: u32) -> Self {
        let ticks = |ticks: i64| u32::try_from(ticks.max(0)).unwrap_or(u32::MAX);
        Self {
            sequence: label.sequence,
            start_us: label
                .start_time
                .map_or(UNDATED, |time| time.timestamp_micros()),
            duration: ticks(label.duration),
            missing_before: ticks(label.missing_before),
            init: label.init.unwrap_or_default(),
            file: label.file,
            len,
            chunk,
            discontinuity: label.discontinuity,
            changed: label.changed,
        }
    }

    /// What the playlist said about it.
    pub(crate) fn label(&self) -> Label {
        Label {
            sequence: self.sequence,
            duration: self.duration.into(),
            start_time: self.start(),
            discontinuity: self.discontinuity,
            missing_before: self.missing_before.into(),
            init: Some(self.init).filter(|init| *init != 0),
            changed: self.changed,
            file: self.file,
        }
    }

    pub(crate) fn start(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(Some(self.start_us).filter(|us| *us != UNDATED)?)
    }

    pub(crate) fn end(&self) -> Option<DateTime<Utc>> {
        self.label().end()
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// A segment of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) session: String,
    pub(crate) entry: Entry,
}

/// The segments of a stream that are kept for its DVR window: by session, oldest first, and by number.
#[derive(Debug, Default)]
pub(crate) struct Window {
    sessions: BTreeMap<String, VecDeque<Entry>>,
    bytes: u64,
    /// What readers hold: from which segment on.
    holds: BTreeMap<u64, (String, u64)>,
    next_hold: u64,
    /// What recordings need: from which instant on.
    pins: BTreeMap<u64, DateTime<Utc>>,
    /// The live edge, and when it was there.
    edge: Option<(DateTime<Utc>, Instant)>,
}

impl Window {
    /// Adds a segment; false when it is there already.
    pub(crate) fn insert(&mut self, session: &str, entry: Entry) -> bool {
        let entries = match self.sessions.get_mut(session) {
            Some(entries) => entries,
            None => self.sessions.entry(session.to_owned()).or_default(),
        };
        // Mostly it is the last one.
        let last = entries.back().map(|last| last.sequence);
        let at = match last {
            Some(last) if last >= entry.sequence => {
                match entries.binary_search_by_key(&entry.sequence, |one| one.sequence) {
                    Ok(_) => return false,
                    Err(at) => at,
                }
            }
            _ => entries.len(),
        };
        entries.insert(at, entry);
        self.bytes = self.bytes.saturating_add(entry.len);
        true
    }

    /// Takes a segment out.
    pub(crate) fn remove(&mut self, session: &str, sequence: u64) -> Option<Entry> {
        let entries = self.sessions.get_mut(session)?;
        let at = entries.binary_search_by_key(&sequence, |one| one.sequence);
        let entry = entries.remove(at.ok()?)?;
        if entries.is_empty() {
            self.sessions.remove(session);
        }
        self.bytes = self.bytes.saturating_sub(entry.len);
        Some(entry)
    }

    /// Where the live edge is now. It moves on with the clock until something else is said: a stream that is
    /// silent grows old.
    pub(crate) fn set_edge(&mut self, edge: DateTime<Utc>, now: Instant) {
        self.edge = Some((edge, now));
    }

    /// The live edge as it is now, as far as that is known.
    fn edge(&self, now: Instant) -> Option<DateTime<Utc>> {
        let (edge, then) = self.edge?;
        let since = TimeDelta::from_std(now.saturating_duration_since(then)).ok()?;
        edge.checked_add_signed(since)
    }

    /// Takes out what lies further back than `length`, but for what is held and what follows it.
    pub(crate) fn trim(&mut self, length: Duration, now: Instant) -> Vec<Listed> {
        let length = TimeDelta::from_std(length).unwrap_or(TimeDelta::MAX);
        let Some(edge) = self.edge(now) else {
            return Vec::new();
        };
        let oldest = edge
            .checked_sub_signed(length)
            .unwrap_or(DateTime::<Utc>::MIN_UTC);
        let newest = edge
            .checked_add_signed(AHEAD)
            .unwrap_or(DateTime::<Utc>::MAX_UTC);
        let last = self.sessions.keys().next_back().cloned();
        let mut gone = Vec::new();
        for session in self.sessions.keys().cloned().collect::<Vec<_>>() {
            let is_last = Some(&session) == last.as_ref();
            // What has no date goes with what follows it.
            while let Some(first) = self.first_free(&session)
                && match (first.start(), first.end()) {
                    (Some(start), Some(end)) => end <= oldest || (!is_last && start > newest),
                    _ => self.follower_is_old(&session, oldest),
                }
            {
                let entry = self.remove(&session, first.sequence);
                gone.extend(entry.map(|entry| Listed {
                    session: session.clone(),
                    entry,
                }));
            }
        }
        gone
    }

    /// The first segment of a session, unless it is held.
    fn first_free(&self, session: &str) -> Option<Entry> {
        let first = *self.sessions.get(session)?.front()?;
        let held = self.holds.values().min();
        let is_held =
            held.is_some_and(|(held, from)| (session, first.sequence) >= (held.as_str(), *from));
        let pinned = self.pins.values().min();
        let is_pinned = pinned.is_some_and(|from| first.end().is_none_or(|end| end > *from));
        (!is_held && !is_pinned).then_some(first)
    }

    fn follower_is_old(&self, session: &str, oldest: DateTime<Utc>) -> bool {
        let entries = self.sessions.get(session).into_iter().flatten();
        let end = entries.filter_map(Entry::end).next();
        end.is_none_or(|end| end <= oldest)
    }

    /// How far back its oldest segment lies that nobody holds.
    pub(crate) fn depth(&self, now: Instant) -> Option<TimeDelta> {
        let (_, first) = self.oldest()?;
        let start = first.start().unwrap_or(DateTime::<Utc>::MIN_UTC);
        Some(self.edge(now)?.signed_duration_since(start))
    }

    fn oldest(&self) -> Option<(String, Entry)> {
        let session = self.sessions.keys().next()?.clone();
        let first = self.first_free(&session)?;
        Some((session, first))
    }

    /// Takes its oldest segment out, unless it is held.
    pub(crate) fn pop_oldest(&mut self) -> Option<Listed> {
        let (session, first) = self.oldest()?;
        let entry = self.remove(&session, first.sequence)?;
        Some(Listed { session, entry })
    }

    /// From when to when it reaches.
    pub(crate) fn reach(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let mut all = self.sessions.values().flatten();
        let first = all.find_map(Entry::start)?;
        let all = self
            .sessions
            .values()
            .rev()
            .flat_map(|all| all.iter().rev());
        let last = all.filter_map(Entry::end).next()?;
        Some((first, last))
    }

    /// The segments of a stretch of time, and as many as `back` before it; one more at its end, which may hold
    /// sound of its last moments. An absent bound is the end on that side.
    pub(crate) fn select(
        &self,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
        back: usize,
    ) -> Vec<Listed> {
        let all: Vec<(&String, &Entry)> = self
            .sessions
            .iter()
            .flat_map(|(session, entries)| entries.iter().map(move |entry| (session, entry)))
            .collect();
        let first = from.map_or(0, |from| {
            let found = all
                .iter()
                .position(|(_, entry)| entry.end().is_some_and(|end| end > from));
            found.unwrap_or(all.len())
        });
        let past = to.map_or(all.len(), |to| {
            let found = all
                .iter()
                .rposition(|(_, entry)| entry.start().is_some_and(|start| start < to));
            found.map_or(0, |last| last + 2).min(all.len())
        });
        let chosen = all
            .get(first.saturating_sub(back)..past)
            .unwrap_or_default();
        let listed = |(session, entry): &(&String, &Entry)| Listed {
            session: (*session).clone(),
            entry: **entry,
        };
        chosen.iter().map(listed).collect()
    }

    /// Keeps a segment and all that follow it from being taken out, until [`let_go`](Self::let_go).
    pub(crate) fn hold(&mut self, from: &Listed) -> u64 {
        let number = self.next_hold;
        self.next_hold += 1;
        self.holds
            .insert(number, (from.session.clone(), from.entry.sequence));
        number
    }

    pub(crate) fn let_go(&mut self, hold: u64) {
        self.holds.remove(&hold);
        self.pins.remove(&hold);
    }

    /// Keeps what ends after an instant from being taken out, also what is still to come, until
    /// [`let_go`](Self::let_go).
    pub(crate) fn pin(&mut self, from: DateTime<Utc>) -> u64 {
        let number = self.next_hold;
        self.next_hold += 1;
        self.pins.insert(number, from);
        number
    }

    /// The segments behind one, given by its session and number, in order; `most` at most.
    pub(crate) fn after(&self, last: (&str, u64), most: usize) -> Vec<Listed> {
        let (session, sequence) = last;
        let sessions = self
            .sessions
            .range::<str, _>((Bound::Included(session), Bound::Unbounded));
        let all = sessions.flat_map(|(own, entries)| {
            let begin = if own == session {
                entries.partition_point(|entry| entry.sequence <= sequence)
            } else {
                0
            };
            entries.range(begin..).map(move |entry| (own, entry))
        });
        let listed = all.map(|(session, entry)| Listed {
            session: session.clone(),
            entry: *entry,
        });
        listed.take(most).collect()
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many segments there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sessions.values().map(VecDeque::len).sum()
    }

    /// The chunk of a session that its next segment goes into, where a chunk has so many at most.
    pub(crate) fn next_chunk(&self, session: &str, most: usize) -> u32 {
        let Some(last) = self.sessions.get(session).and_then(VecDeque::back) else {
            return 0;
        };
        let entries = self.sessions.get(session).into_iter().flatten().rev();
        let own = entries.take_while(|one| one.chunk == last.chunk);
        if own.take(most).count() < most {
            last.chunk
        } else {
            last.chunk.saturating_add(1)
        }
    }

    /// A segment.
    pub(crate) fn get(&self, session: &str, sequence: u64) -> Option<&Entry> {
        let entries = self.sessions.get(session)?;
        let at = entries.binary_search_by_key(&sequence, |one| one.sequence);
        entries.get(at.ok()?)
    }

    /// The chunk that a segment lies in.
    pub(crate) fn chunk_of(&self, session: &str, sequence: u64) -> Option<u32> {
        Some(self.get(session, sequence)?.chunk)
    }

    /// Whether any segment of a chunk is left.
    pub(crate) fn has_chunk(&self, session: &str, chunk: u32) -> bool {
        let entries = self.sessions.get(session);
        entries.is_some_and(|entries| entries.iter().any(|one| one.chunk == chunk))
    }

    pub(crate) fn has_session(&self, session: &str) -> bool {
        self.sessions.contains_key(session)
    }
}

#[cfg(test)]
mod tests;
