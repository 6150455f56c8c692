//! What has come of the next access unit before its first slice (Rec. ITU-T H.264, 7.4.1.2.3; Rec. ITU-T
//! H.265, 7.4.2.4.4).
//!
//! There are encoders that send SEI behind the slices of one picture and the delimiter of the next
//! behind that. SEI begins an access unit there, so it is kept with what follows.

use std::ops::Range;

use bytes::Bytes;
use clipmill_media::{LimitExceeded, RandomAccess, TrackBuilder};

use super::stamps::Pes;

/// What may wait from one segment to the next.
const CARRIED_BYTES: usize = 64 << 10;

/// Where a NAL unit begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct NalStart {
    /// Byte offset in the segment.
    pub(super) offset: u64,
    pub(super) pes: Pes,
}

/// NAL units that may be the beginning of the next access unit.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Where the first of them is. Those from the segment before are nowhere.
    pub(super) place: Option<NalStart>,
    /// Where the delimiter is.
    pub(super) delimiter: Option<NalStart>,
    pub(super) units: Vec<Waiting>,
    pub(super) recovery: Option<RandomAccess>,
    /// An access unit begins here, whatever its first slice says.
    pub(super) boundary: bool,
    /// Bytes were lost after the first of these NAL units.
    pub(super) lost: bool,
    /// The bytes of the small ones among them.
    copies: Vec<u8>,
}

/// A NAL unit that waits for the slice to which it belongs.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) unit: Range<u64>,
    /// The parameter set that it is, if it could be read.
    pub(super) set: Option<Bytes>,
    /// Where in `copies` all of it is.
    copy: Option<Range<usize>>,
}

/// What waits from one segment to the next, as the slice to which it belongs is there.
#[derive(Debug, Default)]
pub(super) struct Carried {
    units: Vec<(Vec<u8>, Option<Bytes>)>,
    recovery: Option<RandomAccess>,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.place.is_none() && self.units.is_empty()
    }

    /// Byte offset in the segment of the first NAL unit.
    pub(super) fn offset(&self) -> u64 {
        self.place.map_or(0, |place| place.offset)
    }

    /// Bytes of what would be lost with these NAL units: a parameter set that was read is not.
    pub(super) fn len(&self) -> u64 {
        let lost = self.units.iter().filter(|waiting| waiting.set.is_none());
        lost.map(|waiting| waiting.unit.end.saturating_sub(waiting.unit.start))
            .sum()
    }

    /// Adds a NAL unit; `head` is what is at hand of it.
    pub(super) fn add(
        &mut self,
        place: NalStart,
        unit: Range<u64>,
        head: &[u8],
        set: Option<Bytes>,
    ) {
        self.place.get_or_insert(place);
        let len = unit.end.saturating_sub(unit.start);
        let room = CARRIED_BYTES.saturating_sub(self.copies.len());
        let copied = set.is_none() && head.len() as u64 == len && head.len() <= room;
        let copy = copied.then(|| self.copy(head));
        self.units.push(Waiting { unit, set, copy });
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.copies.len();
        self.copies.extend_from_slice(bytes);
        start..self.copies.len()
    }

    /// Keeps the memory of one that has been used up.
    pub(super) fn reuse(&mut self, mut used: Self) {
        used.units.clear();
        used.copies.clear();
        self.units = used.units;
        self.copies = used.copies;
    }

    /// All of it for the next segment; `None` where some is lost, or not at hand.
    pub(super) fn carried(&self) -> Option<Carried> {
        let mut room = CARRIED_BYTES;
        let mut units = Vec::new();
        for waiting in &self.units {
            match &waiting.set {
                None => {
                    let copy = self.copies.get(waiting.copy.clone()?)?;
                    units.push((copy.to_vec(), None));
                }
                // Parameter sets are not lost without.
                Some(set) if set.len() <= room => {
                    room = room.saturating_sub(set.len());
                    units.push((set.to_vec(), Some(set.clone())));
                }
                Some(_) => {}
            }
        }
        (!self.lost).then_some(Carried {
            units,
            recovery: self.recovery,
        })
    }

    /// Begins with what waits from the segment before.
    pub(super) fn take_carried(
        &mut self,
        carried: &mut Carried,
        track: &mut TrackBuilder,
    ) -> Result<(), LimitExceeded> {
        let Carried { units, recovery } = std::mem::take(carried);
        for (bytes, set) in units {
            let start = track.position();
            track.push_literal(&bytes)?;
            let unit = start..track.position();
            let copy = set.is_none().then(|| self.copy(&bytes));
            self.units.push(Waiting { unit, set, copy });
        }
        self.recovery = recovery;
        Ok(())
    }
}
