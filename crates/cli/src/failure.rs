//! Why a command ends badly, and the exit code that says so.

use clipmill::{ClipError, LocationError, PlaylistFailure, SegmentError, SourceError};

use crate::args::Common;

/// Exit code with `--strict` when something was damaged or missing.
pub(crate) const DAMAGED: u8 = 3;

/// Why a command ended badly.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was typed makes no sense.
    Usage(String),
    /// The job failed.
    Job(ClipError),
    /// The same, with `--strict`, where what failed was damaged or missing input.
    Strict(ClipError),
    /// The server, or its catalog, cannot do its work.
    Server(String),
    /// A part of a montage, by its number from 1 on.
    Part(usize, Box<Self>),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Job(_) | Self::Server(_) => 1,
            Self::Usage(_) => 2,
            Self::Strict(_) => DAMAGED,
            Self::Part(_, failure) => failure.exit_code(),
        }
    }

    pub(crate) fn server(error: impl std::fmt::Display) -> Self {
        Self::Server(error.to_string())
    }

    pub(crate) fn of_input(error: ClipError, common: &Common) -> Self {
        match error {
            error if common.strict && error.is_damage() => Self::Strict(error),
            ClipError::Playlist {
                error: ref window, ..
            } if window.is_usage() => Self::Usage(error.to_string()),
            error => Self::Job(error),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(message) | Self::Server(message) => f.write_str(message),
            Self::Job(error) | Self::Strict(error) if leads_outside(error) => {
                write!(f, "{error}; --allow-outside reads it all the same")
            }
            Self::Job(error) | Self::Strict(error) => error.fmt(f),
            Self::Part(number, failure) => write!(f, "part {number}: {failure}"),
        }
    }
}

/// Whether a playlist was refused what lies outside its folder.
fn leads_outside(error: &ClipError) -> bool {
    let outside = |location: &LocationError| matches!(location, LocationError::Outside { .. });
    match error {
        ClipError::Playlist { error, .. } => {
            matches!(error, PlaylistFailure::Location(location) if outside(location))
        }
        ClipError::Source(error) => matches!(error, SourceError::Outside { .. }),
        ClipError::Segment { error, .. } => match error {
            SegmentError::Source(error) => matches!(error, SourceError::Outside { .. }),
            SegmentError::Location(location) => outside(location),
            _ => false,
        },
        _ => false,
    }
}
