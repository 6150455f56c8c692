//! The last bytes of a stream, and where they came from.

use std::collections::VecDeque;
use std::ops::Range;

/// Bytes that have come and belong to no finished unit yet: never much more than one frame.
///
/// Positions count the bytes of elementary stream since the segment began, as those of
/// [`TrackBuilder`](clipmill_media::TrackBuilder) do. The bytes are a copy, since the first part of
/// a frame must outlive the segment that it came in.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// How many of them are forgotten, yet not removed: moving the others each time would cost the
    /// square of what a long frame takes.
    forgotten: usize,
    /// Position of the first byte that is not forgotten.
    start: u64,
    /// Position and offset in the segment of each piece.
    origins: VecDeque<(u64, u64)>,
    /// PES packets in order, by the position at which their payload begins, and their timestamps.
    marks: VecDeque<(u64, Option<i64>)>,
}

impl Window {
    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes().len() as u64)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.forgotten..).unwrap_or_default()
    }

    pub(super) fn push(&mut self, offset: u64, bytes: &[u8]) {
        let end = self.end();
        self.origins.push_back((end, offset));
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes from `position` on.
    pub(super) fn from(&self, position: u64) -> &[u8] {
        self.get(position..self.end())
    }

    /// The bytes at `range`, as far as they are here.
    pub(super) fn get(&self, range: Range<u64>) -> &[u8] {
        let index = |at: u64| usize::try_from(at.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.bytes()
            .get(index(range.start)..index(range.end))
            .unwrap_or_default()
    }

    /// Where in the segment the byte at `position` lies.
    pub(super) fn offset_of(&self, position: u64) -> u64 {
        let after = self.origins.partition_point(|&(at, _)| at <= position);
        let (at, offset) = after
            .checked_sub(1)
            .and_then(|last| self.origins.get(last).copied())
            .unwrap_or_default();
        offset.saturating_add(position.saturating_sub(at))
    }

    /// A PES packet begins here.
    pub(super) fn mark(&mut self, pts: Option<i64>) {
        let end = self.end();
        // Of packets without payload only the last one can be that of the frame to come.
        if self.marks.back().is_some_and(|&(at, _)| at == end) {
            self.marks.pop_back();
        }
        self.marks.push_back((end, pts));
    }

    /// Whether the payload of a PES packet begins at `position`.
    pub(super) fn is_marked(&self, position: u64) -> bool {
        let found = self.marks.binary_search_by_key(&position, |&(at, _)| at);
        found.is_ok()
    }

    /// Where PES packets begin inside `range`, its ends excluded.
    pub(super) fn marks_within(&self, range: Range<u64>) -> impl Iterator<Item = u64> {
        let first = self.marks.partition_point(|&(at, _)| at <= range.start);
        let marks = self.marks.range(first..).map(|&(at, _)| at);
        marks.take_while(move |&at| at < range.end)
    }

    /// The timestamp of the PES packet in which `position` lies, unless it was taken before.
    pub(super) fn take_mark(&mut self, position: u64) -> Option<i64> {
        let mut pts = None;
        while let Some(&(at, found)) = self.marks.front()
            && at <= position
        {
            pts = found;
            self.marks.pop_front();
        }
        pts
    }

    /// Forgets the bytes before `position`.
    pub(super) fn drop_before(&mut self, position: u64) {
        let gone = position.clamp(self.start, self.end());
        let count = gone.saturating_sub(self.start);
        self.forgotten = self
            .forgotten
            .saturating_add(usize::try_from(count).unwrap_or_default());
        if self.forgotten >= self.bytes().len() {
            self.bytes.drain(..self.forgotten.min(self.bytes.len()));
            self.forgotten = 0;
        }
        self.start = gone;
        while self.origins.get(1).is_some_and(|&(at, _)| at <= gone) {
            self.origins.pop_front();
        }
        while self.marks.get(1).is_some_and(|&(at, _)| at <= gone) {
            self.marks.pop_front();
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.drop_before(self.end());
        self.marks.clear();
    }

    /// Counts positions from the first byte on, since a new segment begins with these bytes; what
    /// must be taken from every position kept elsewhere.
    pub(super) fn rebase(&mut self) -> u64 {
        let shift = std::mem::take(&mut self.start);
        for (at, _) in &mut self.marks {
            *at = at.saturating_sub(shift);
        }
        // They lie in no segment that is at hand: damage in them is reported at its start.
        self.origins.clear();
        shift
    }
}
