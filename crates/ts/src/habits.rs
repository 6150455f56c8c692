//! What tells that a PES packet is cut off: how the stream's muxer ends the others.

/// What the muxer of a stream is seen to do: what tells of a packet that is cut off depends on it.
#[derive(Debug, Default)]
pub(crate) struct Habits {
    /// PES packets of unknown length, and those of them whose last packet needed no stuffing: one in
    /// 184, where each begins a packet of its own (2.4.3.3).
    pub(crate) open: u32,
    pub(crate) unstuffed: u32,
    /// PES packets that are as long as they say, and those that are shorter.
    pub(crate) exact: u32,
    pub(crate) short: u32,
    /// Segments in a row over whose beginning the continuity counter has gone on.
    pub(crate) counted_on: u32,
}

impl Habits {
    pub(crate) fn lengths_are_right(&self) -> bool {
        self.exact > self.short.saturating_mul(8)
    }

    pub(crate) fn stuffs(&self) -> bool {
        self.unstuffed.saturating_mul(8) <= self.open.max(8)
    }
}

/// How the last PES packet of a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    /// There may be more of it.
    Open,
    CutOff,
}
