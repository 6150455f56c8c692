//! One access unit, and what its times are measured in.

/// Whether decoding can start at a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RandomAccess {
    /// It cannot.
    #[default]
    None,
    /// Everything from here on decodes and nothing that follows is displayed earlier: IDR,
    /// BLA, every audio frame.
    Closed,
    /// Everything that is displayed from here on decodes; samples that follow in decode order and
    /// are displayed earlier may not: CRA, or an H.264 recovery point with a count of 0.
    Open,
    /// Right only after this many more frames have been decoded: gradual decoder refresh.
    Gradual(u16),
}

impl RandomAccess {
    /// Whether a clip may begin here.
    #[must_use]
    pub fn is_sync(self) -> bool {
        self != Self::None
    }
}

/// Pictures that follow a random access point in decode order and precede it in output order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Leading {
    /// Not a leading picture, or not known to be one.
    #[default]
    No,
    /// Decodes from the random access point alone (RADL).
    Decodable,
    /// Needs pictures before the random access point (RASL, or a B-picture of an open GOP).
    Skipped,
}

/// One access unit: numbers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Sample {
    /// Decoding timestamp, unrolled (it does not wrap), in the track's clock.
    pub dts: i64,
    /// Presentation timestamp less `dts`, in the track's clock.
    pub composition_offset: i32,
    /// How long it lasts, in the unit that [`TrackTiming`] says; 0 when only the next sample's
    /// `dts` can tell.
    pub duration: u32,
    /// Bytes that [`TrackIndex::gather`](super::TrackIndex::gather) writes for it.
    pub size: u32,
    /// Which of [`TrackIndex::configs`](super::TrackIndex::configs) it is coded with.
    pub config: u16,
    /// Whether decoding can start here.
    pub random_access: RandomAccess,
    /// Whether it is a leading picture.
    pub leading: Leading,
}

impl Sample {
    /// Presentation timestamp, in the track's clock.
    #[must_use]
    pub fn pts(self) -> i64 {
        self.dts.saturating_add(i64::from(self.composition_offset))
    }
}

/// What the timestamps and durations of a track are measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TrackTiming {
    /// Timestamps and durations are both exact, in this many ticks per second.
    Exact {
        /// Ticks per second.
        timescale: u32,
    },
    /// Timestamps are rounded to this many ticks per second; durations are PCM samples at the
    /// sampling rate of the sample's configuration. So is audio in MPEG-TS.
    Rounded {
        /// Ticks per second of the timestamps.
        clock: u32,
    },
}

impl TrackTiming {
    /// Ticks per second of the timestamps.
    #[must_use]
    pub fn clock(self) -> u32 {
        match self {
            Self::Exact { timescale } => timescale,
            Self::Rounded { clock } => clock,
        }
    }
}
