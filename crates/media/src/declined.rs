use std::borrow::Cow;
use std::fmt;

use crate::TrackKind;

/// An elementary stream that is in the segment and gives no samples.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DeclinedStream {
    /// Where in the segment it is.
    pub place: StreamPlace,
    /// What it is, in words that a person can act on: `DVB subtitles (stream type 0x06)`.
    pub what: String,
    /// Why it gives none.
    pub cause: DeclineCause,
}

/// How a container tells its streams apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StreamPlace {
    /// The packet identifier, in MPEG-TS.
    Pid(u16),
    /// The track identifier, in MP4.
    Track(u32),
}

/// Why a stream gives no samples.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DeclineCause {
    /// There is no way to carry it into a clip.
    NotCarried,
    /// It is scrambled for conditional access (ISO/IEC 13818-1, 2.4.3.3 and 2.4.3.7). In the clear
    /// it would be carried.
    Scrambled {
        /// What it would be.
        kind: TrackKind,
        /// The name of its coding.
        name: Cow<'static, str>,
        /// Its sample entry type, which is all that is known of its RFC 6381 name: `avc1`.
        codec: Cow<'static, str>,
    },
}

impl DeclinedStream {
    /// Whether it is scrambled.
    #[must_use]
    pub fn is_scrambled(&self) -> bool {
        matches!(self.cause, DeclineCause::Scrambled { .. })
    }

    /// Several of them, as a list in a message.
    #[must_use]
    pub fn list(streams: &[Self]) -> impl fmt::Display + '_ {
        List(streams)
    }
}

/// `DVB subtitles (stream type 0x06) on PID 0x0103`, `text (tx3g) in track 3`.
impl fmt::Display for DeclinedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.place {
            StreamPlace::Pid(pid) => write!(f, " on PID {pid:#06x}"),
            StreamPlace::Track(id) => write!(f, " in track {id}"),
        }
    }
}

struct List<'a>(&'a [DeclinedStream]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, stream) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{stream}")?;
        }
        Ok(())
    }
}
