//! A segment that was taken, as it is written down with a boundary.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use clipmill_playlist::Segment;

use super::listing::Version;
use super::taken::Taken;

/// A segment that was taken, as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct TakenSegment {
    /// Media sequence number; `None` where numbers have begun anew since.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub sequence: Option<u64>,
    /// When it begins, in microseconds since the Unix epoch; 0 when that is not known.
    pub date_us: i64,
    /// Digests of its URI and byte range, and of its content. 0 where that is not known.
    pub file: (u32, u32),
}

impl TakenSegment {
    /// A segment that is taken, or never will be, with its number of before.
    #[must_use]
    pub fn of(segment: &Segment, version: Option<Version>, date: Option<DateTime<Utc>>) -> Self {
        Self {
            sequence: Some(segment.sequence),
            date_us: date.map_or(0, |date| date.timestamp_micros()),
            file: (name_of(segment), version_of(version)),
        }
    }
}

/// The last segments that were taken, for boundaries that may still be written down.
#[derive(Debug, Clone, Default)]
pub struct TakenTail(pub(super) VecDeque<TakenSegment>);

impl TakenTail {
    /// One more.
    pub fn push(&mut self, taken: TakenSegment) {
        self.0.push_back(taken);
    }

    /// What is to be written down of what was taken up to the number `last`.
    #[must_use]
    pub fn written(&self, last: u64) -> Vec<TakenSegment> {
        let upto = |one: &&TakenSegment| one.sequence.is_none_or(|sequence| sequence <= last);
        let mut written: Vec<_> = self
            .0
            .iter()
            .rev()
            .filter(upto)
            .take(Taken::WRITTEN)
            .collect();
        written.reverse();
        written.into_iter().copied().collect()
    }

    /// No boundary will lie before this number.
    pub fn forget_before(&mut self, first: u64) {
        let later = |one: &TakenSegment| one.sequence.is_some_and(|sequence| sequence >= first);
        let past = self.0.iter().position(later).unwrap_or(self.0.len());
        self.0.drain(..past.saturating_sub(Taken::WRITTEN));
    }
}

impl Version {
    /// In few bytes; never 0. The same in every run of every version, as it is written down.
    #[must_use]
    pub fn digest(&self) -> u32 {
        let tag = i128::from(self.tag).to_be_bytes();
        digest(self.len.to_be_bytes().into_iter().chain(tag))
    }
}

/// A digest of a content; 0 when that is not known.
pub(super) fn version_of(version: Option<Version>) -> u32 {
    version.map_or(0, |version| version.digest())
}

/// A digest of a URI and a byte range. Never 0. The same in every run of every version, as it is written
/// down.
pub(super) fn name_of(segment: &Segment) -> u32 {
    let range = segment.byte_range.map(|range| [range.offset, range.length]);
    let range = range
        .iter()
        .flatten()
        .flat_map(|number| number.to_be_bytes());
    digest(segment.uri.bytes().chain(range))
}

/// Tells the beginning of one file from that of another.
pub(super) fn head_of(bytes: &[u8]) -> u64 {
    fnv(bytes.iter().copied())
}

/// FNV-1a.
fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Never 0.
fn digest(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let hash = fnv(bytes);
    ((hash >> 32) as u32 ^ hash as u32).max(1)
}
