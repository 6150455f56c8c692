//! Which streams are scrambled for conditional access: by `transport_scrambling_control` of their
//! packets or `PES_scrambling_control` of their PES packets (ISO/IEC 13818-1, 2.4.3.3 and 2.4.3.7).
//! That a program map has a CA descriptor (2.6.16) says nothing: segmenters leave it behind in
//! streams that they have descrambled.

use std::collections::BTreeMap;

use crate::packet::{self, Framing, Header};
use crate::pes::{self, Parsed};
use crate::psi::{self, Program};

/// Packets of one stream that are looked at before it is known whether it is scrambled.
const ENOUGH: u32 = 64;

/// What is counted of one stream in one segment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Census {
    /// Packets whose payload can be read.
    clear: u64,
    /// Packets whose payload cannot.
    scrambled: u64,
    /// PES packets whose header could be read.
    begun: u64,
    /// Those of which nothing was scrambled.
    whole: u64,
    /// PES packets whose payload is scrambled.
    locked: u64,
    /// Whether the PES packet that has begun is whole so far.
    open: bool,
}

impl Census {
    pub(crate) fn clear(&mut self, packets: usize) {
        self.clear = self.clear.saturating_add(packets as u64);
    }

    pub(crate) fn scrambled(&mut self) {
        self.scrambled = self.scrambled.saturating_add(1);
        self.open = false;
    }

    pub(crate) fn pes(&mut self, locked: bool) {
        self.close();
        if locked {
            self.locked = self.locked.saturating_add(1);
        } else {
            self.begun = self.begun.saturating_add(1);
            self.open = true;
        }
    }

    fn close(&mut self) {
        let whole = u64::from(std::mem::take(&mut self.open));
        self.whole = self.whole.saturating_add(whole);
    }

    /// Whether the stream is of no use in this segment: next to nothing of it is in the clear. Some
    /// scramblers leave the packets alone in which a PES packet begins: then most of those that begin
    /// are broken, where a stream that is scrambled from somewhere on breaks but one.
    pub(crate) fn is_scrambled(mut self) -> bool {
        self.close();
        let broken = self.begun.saturating_sub(self.whole);
        let few = self.begun == 0 || broken > 1 && broken.saturating_mul(2) >= self.begun;
        self.scrambled > self.clear && few || self.locked > 0 && self.whole == 0
    }
}

/// What a look ahead found of each stream of several programs.
#[derive(Debug, Default)]
pub(crate) struct Survey(BTreeMap<u16, Tally>);

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    clear: u32,
    scrambled: u32,
}

impl Survey {
    /// Looks at the first packets of all streams of `programs` that could be carried.
    pub(crate) fn of(segment: &[u8], framing: Framing, programs: &[Program]) -> Self {
        let carried = programs.iter().flat_map(|program| &program.streams);
        let carried = carried.filter(|stream| stream.coding.is_ok());
        let mut tallies: BTreeMap<u16, Tally> = carried
            .map(|stream| (stream.pid, Tally::default()))
            .collect();
        let mut undecided = tallies.len();
        for packet in psi::intact(segment, framing) {
            if undecided == 0 {
                break;
            }
            let header = Header::of(packet);
            let Some(tally) = tallies.get_mut(&header.pid()) else {
                continue;
            };
            let Some(payload) = packet::payload_start(packet).and_then(|at| packet.get(at..))
            else {
                continue;
            };
            if tally.clear.saturating_add(tally.scrambled) >= ENOUGH {
                continue;
            }
            let locked = header.unit_start()
                && matches!(pes::parse(payload), Parsed::Header(header) if header.scrambled);
            if locked {
                tally.scrambled = ENOUGH;
            } else if header.scrambled() {
                tally.scrambled = tally.scrambled.saturating_add(1);
            } else {
                tally.clear = tally.clear.saturating_add(1);
            }
            if tally.clear.saturating_add(tally.scrambled) >= ENOUGH {
                undecided = undecided.saturating_sub(1);
            }
        }
        Self(tallies)
    }

    /// Whether a stream comes in the clear.
    pub(crate) fn is_clear(&self, pid: u16) -> bool {
        let tally = self.0.get(&pid);
        tally.is_some_and(|tally| tally.clear > tally.scrambled)
    }

    /// Whether a stream comes, and is scrambled.
    pub(crate) fn is_scrambled(&self, pid: u16) -> bool {
        let tally = self.0.get(&pid);
        tally.is_some_and(|tally| tally.scrambled > 0 && tally.scrambled >= tally.clear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_scrambled_when_next_to_nothing_comes_through() {
        let census = |of: &[(&str, usize)]| {
            let mut census = Census::default();
            for &(what, count) in of {
                for _ in 0..count {
                    match what {
                        "begin" => {
                            census.pes(false);
                            census.clear(1);
                        }
                        "locked" => {
                            census.pes(true);
                            census.clear(1);
                        }
                        "clear" => census.clear(1),
                        _ => census.scrambled(),
                    }
                }
            }
            census.is_scrambled()
        };
        assert!(!census(&[]));
        assert!(!census(&[("begin", 1), ("clear", 9)]));
        assert!(census(&[("scrambled", 9)]));
        assert!(census(&[("locked", 1), ("clear", 9)]));
        assert!(!census(&[("begin", 1), ("clear", 9), ("locked", 1)]));
        // From the first tenth on.
        assert!(!census(&[("begin", 3), ("clear", 7), ("scrambled", 90)]));
        assert!(!census(&[("begin", 2), ("clear", 8), ("scrambled", 11)]));
        // In the middle of the only PES packet.
        assert!(!census(&[("begin", 1), ("clear", 9), ("scrambled", 1)]));
        // All but the beginnings of PES packets.
        let units = [("begin", 1), ("scrambled", 9)].repeat(4);
        assert!(census(&units));
    }
}
