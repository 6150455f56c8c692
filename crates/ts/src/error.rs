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
    #[error("no program: {}{}", tables(.listed), pids(.seen))]
    NoProgram {
        /// Programs that an association table lists, and the PIDs of their maps.
        listed: Vec<(u16, u16)>,
        /// PIDs of the packets that there are, at most [`IndexError::PIDS`] of them, and whether all of
        /// their packets are scrambled.
        seen: Vec<(u16, bool)>,
    },
    /// The program that was asked for is not in the stream.
    #[error("program {wanted} is not in the stream, which lists {}", Numbers(.found))]
    ProgramNotFound {
        /// The program that was asked for.
        wanted: u16,
        /// Those that the program association table lists.
        found: Vec<u16>,
    },
    /// The program has no stream that can be carried.
    #[error("program {program} has no stream that can be carried: {}", streams(.declined))]
    NothingCarried {
        /// The program's number.
        program: u16,
        /// Its streams.
        declined: Vec<DeclinedStream>,
    },
    /// All streams of the program that could be carried are scrambled for conditional access.
    #[error("{} scrambled: {}{}", whole(*.program), DeclinedStream::list(.streams), besides(.declined))]
    Scrambled {
        /// The program's number; `None` where there are no tables.
        program: Option<u16>,
        /// What is scrambled.
        streams: Vec<DeclinedStream>,
        /// What is not, and cannot be carried.
        declined: Vec<DeclinedStream>,
    },
    /// Something in the segment is larger than allowed.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl IndexError {
    /// PIDs that [`IndexError::NoProgram`] names at most.
    pub const PIDS: usize = 8;
}

fn tables(listed: &[(u16, u16)]) -> String {
    match listed {
        [] => "the MPEG-TS segment has no readable PAT and PMT".to_owned(),
        [(program, pid)] => format!(
            "the PAT lists program {program}, whose PMT on PID {pid:#06x} is not in the segment, \
             or not readable"
        ),
        several => {
            let numbers: Vec<u16> = several.iter().map(|&(number, _)| number).collect();
            format!(
                "the PAT lists programs {}, and the PMT of none is in the segment and readable",
                Numbers(&numbers)
            )
        }
    }
}

fn pids(seen: &[(u16, bool)]) -> String {
    let named = |scrambled: bool| {
        let pids = seen.iter().filter(|&&(_, one)| one == scrambled);
        let pids: Vec<String> = pids.map(|(pid, _)| format!("{pid:#06x}")).collect();
        pids.join(", ")
    };
    match (named(false), named(true)) {
        (clear, scrambled) if clear.is_empty() && scrambled.is_empty() => String::new(),
        (clear, scrambled) if scrambled.is_empty() => {
            format!("; what is on PID {clear} is not recognised without")
        }
        (clear, scrambled) if clear.is_empty() => {
            format!("; what is on PID {scrambled} is scrambled")
        }
        (clear, scrambled) => format!(
            "; what is on PID {scrambled} is scrambled, what is on PID {clear} not recognised without"
        ),
    }
}

fn streams(declined: &[DeclinedStream]) -> String {
    if declined.is_empty() {
        return "its PMT lists none".to_owned();
    }
    DeclinedStream::list(declined).to_string()
}

fn whole(program: Option<u16>) -> String {
    match program {
        Some(program) => format!("program {program} is"),
        None => "all streams are".to_owned(),
    }
}

fn besides(declined: &[DeclinedStream]) -> String {
    if declined.is_empty() {
        return String::new();
    }
    format!("; cannot be carried: {}", DeclinedStream::list(declined))
}

/// Program numbers in a message.
struct Numbers<'a>(&'a [u16]);

impl fmt::Display for Numbers<'_> {
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
