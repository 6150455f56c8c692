//! To which access unit the timestamps of a PES header belong: the first one that begins in that
//! PES packet (ISO/IEC 13818-1, 2.4.3.7).

use crate::assemble::PesStart;

/// A PES packet, as far as what begins in it is concerned.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pes {
    /// Counts the PES packets of the stream.
    number: u64,
    /// Position in the elementary stream of its first byte.
    start: u64,
    pts: Option<i64>,
    dts: Option<i64>,
    random_access: bool,
}

/// What a PES header says of the access unit that begins first in its packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) pts: Option<i64>,
    pub(super) dts: Option<i64>,
    /// `random_access_indicator` (2.4.3.5).
    pub(super) random_access: bool,
}

impl Pes {
    /// Whether both are the same packet.
    pub(super) fn is(self, other: Self) -> bool {
        self.number == other.number
    }
}

/// The PES packets last begun.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// A start code may begin at the end of the packet before.
    previous: Pes,
    current: Pes,
    /// Number of the last packet whose timestamps have found their access unit.
    claimed: u64,
}

impl Stamps {
    /// A segment begins: positions count from 0 again.
    pub(super) fn restart(&mut self) {
        let number = self.current.number;
        self.claimed = number;
        self.current = Pes {
            number,
            ..Pes::default()
        };
        self.previous = self.current;
    }

    /// A PES packet begins at `position` of the elementary stream.
    pub(super) fn begin(&mut self, position: u64, start: PesStart) {
        self.previous = self.current;
        self.current = Pes {
            number: self.current.number.saturating_add(1),
            start: position,
            pts: start.pts,
            dts: start.dts,
            random_access: start.random_access,
        };
    }

    /// The packet in which `position` lies, which is at most a start code ago.
    pub(super) fn at(&self, position: u64) -> Pes {
        if position < self.current.start {
            self.previous
        } else {
            self.current
        }
    }

    /// Whether what `pes` says is said of an access unit that has come.
    pub(super) fn is_claimed(&self, pes: Pes) -> bool {
        pes.number <= self.claimed
    }

    /// What `pes` says, as long as it is said of no access unit.
    pub(super) fn look(&self, pes: Pes) -> Claim {
        if self.is_claimed(pes) {
            return Claim::default();
        }
        Claim {
            pts: pes.pts,
            dts: pes.dts,
            random_access: pes.random_access,
        }
    }

    /// What `pes` says of an access unit that begins in it; nothing where it is said of another one.
    pub(super) fn claim(&mut self, pes: Pes) -> Claim {
        let claim = self.look(pes);
        self.claimed = self.claimed.max(pes.number);
        claim
    }
}
