use std::fmt;

use clipmill_media::{DeclinedStream, LimitExceeded};

/// Why a segment could not be indexed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The segment has no bytes.
    #[error("the segment is empty")]
    Empty,
    /// Nothing in the segment looks like packets: it is no transport stream, or an encrypted one.
    #[error("no MPEG-TS sync in the first {searched} bytes")]
    NoSync {
        /// How many bytes were searched: all of them.
        searched: u64,
    },
    /// The segment is no packed audio: no frame stands at its beginning.
    #[error("no packed audio: no frame of sound at the beginning")]
    NoFrame,
    /// Neither this segment nor one before it has a program association table and a program map
    /// table that can be read (ISO/IEC 13818-1, 2.4.4), and the packets do not tell by themselves.
    #[error("no program: the MPEG-TS segment has no readable PAT and PMT")]
    NoProgram,
    /// The program that was asked for is not in the stream.
    #[error("program {wanted} is not in the stream, which lists {}", Programs(.found))]
    ProgramNotFound {
        /// The program that was asked for.
        wanted: u16,
        /// Those that the program association table lists.
        found: Vec<u16>,
    },
    /// The program has no stream that can be carried.
    #[error("program {program} has no stream that can be carried{}", Declined(.declined))]
    NothingCarried {
        /// The program's number.
        program: u16,
        /// Its streams.
        declined: Vec<DeclinedStream>,
    },
    /// Something in the segment is larger than allowed.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

struct Programs<'a>(&'a [u16]);

impl fmt::Display for Programs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, program) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{program}")?;
        }
        if self.0.is_empty() {
            f.write_str("none")?;
        }
        Ok(())
    }
}

struct Declined<'a>(&'a [DeclinedStream]);

impl fmt::Display for Declined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, stream) in self.0.iter().enumerate() {
            let separator = if at == 0 { ": " } else { ", " };
            write!(f, "{separator}{} on PID {:#06x}", stream.what, stream.id)?;
        }
        Ok(())
    }
}
