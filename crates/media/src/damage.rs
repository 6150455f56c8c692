use std::fmt;

/// Something broken in a segment, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Damage {
    /// Byte offset in the segment.
    pub offset: u64,
    /// The MPEG-TS packet identifier concerned, where there is one.
    pub pid: Option<u16>,
    /// What is wrong.
    pub kind: DamageKind,
}

/// The kinds of [`Damage`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DamageKind {
    /// Bytes that belong to no packet were skipped.
    LostSync {
        /// How many bytes.
        skipped: u64,
    },
    /// The segment ends inside a packet.
    TruncatedPacket,
    /// `continuity_counter` skipped: at least one packet of this PID is missing.
    ContinuityGap,
    /// A packet with `transport_error_indicator` was skipped.
    TransportError,
    /// Scrambled packets were skipped, or a PES packet with a scrambled payload.
    Scrambled,
    /// A PAT or PMT section with a bad CRC was ignored.
    BadSectionCrc,
    /// A PES header could not be read.
    BadPesHeader,
    /// Bytes of an elementary stream that belong to no access unit were dropped.
    LostBytes {
        /// How many bytes.
        dropped: u64,
    },
    /// A parameter set could not be read.
    BadParameterSet,
    /// Access units without any timestamp to place them were dropped.
    NoTimestamp,
    /// An access unit ends before its header says that it should.
    TruncatedAccessUnit,
    /// The last picture of a segment is cut off, and is left out.
    CutOffPicture,
    /// A frame of sound ends before its header says that it should, and is left out.
    CutOffFrame {
        /// How many of its bytes there are.
        found: u64,
        /// How many there should be.
        wanted: u64,
    },
    /// A timestamp lay far from those of the pictures around it, which follow each other: the picture
    /// was given the time that they imply.
    StrayTimestamp,
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LostSync { skipped } => write!(f, "lost sync, {skipped} bytes skipped"),
            Self::TruncatedPacket => f.write_str("ends inside a packet"),
            Self::ContinuityGap => f.write_str("continuity gap, packets are missing"),
            Self::TransportError => f.write_str("packet with transport error skipped"),
            Self::Scrambled => f.write_str("scrambled packets skipped"),
            Self::BadSectionCrc => f.write_str("PSI section with a bad CRC ignored"),
            Self::BadPesHeader => f.write_str("unreadable PES header"),
            Self::LostBytes { dropped } => {
                write!(f, "{dropped} bytes outside any access unit dropped")
            }
            Self::BadParameterSet => f.write_str("unreadable parameter set"),
            Self::NoTimestamp => f.write_str("access unit without a timestamp dropped"),
            Self::TruncatedAccessUnit => f.write_str("truncated access unit"),
            Self::CutOffPicture => f.write_str("the last picture is cut off and left out"),
            Self::CutOffFrame { found, wanted } => {
                write!(
                    f,
                    "frame cut off and left out, {found} of its {wanted} bytes are there"
                )
            }
            Self::StrayTimestamp => {
                f.write_str("stray timestamp; the picture is shown when those around it imply")
            }
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}", self.offset)?;
        if let Some(pid) = self.pid {
            write!(f, ", PID {pid:#06x}")?;
        }
        write!(f, ": {}", self.kind)
    }
}

/// The damages of one segment: the first ones with their place, the rest as a count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DamageLog {
    kept: Vec<Damage>,
    total: u64,
    capacity: usize,
}

impl DamageLog {
    /// A log that keeps the places of the first `capacity` damages.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            kept: Vec::new(),
            total: 0,
            capacity,
        }
    }

    /// Records one damage.
    pub fn push(&mut self, damage: Damage) {
        self.total = self.total.saturating_add(1);
        if self.kept.len() < self.capacity {
            self.kept.push(damage);
        }
    }

    /// The damages whose places were kept, in the order in which they were found.
    #[must_use]
    pub fn kept(&self) -> &[Damage] {
        &self.kept
    }

    /// Says of no damage in which packets it is: the segment has none.
    pub fn forget_pids(&mut self) {
        for damage in &mut self.kept {
            damage.pid = None;
        }
    }

    /// How many there were in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether nothing was broken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}
