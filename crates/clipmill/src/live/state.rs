//! How far the periodic clips of a session have come.

use std::time::Duration;

use super::boundary::{Boundary, Mark};
use crate::timeline::{Ticks, Timeline};

/// How far the periodic clips of a session have come; [`super`] draws it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is no session.
    Idle,
    /// What an earlier run left waits for the first look at the playlist.
    Recovering,
    /// Nobody wants any, or all are cut.
    Off,
    /// The first begins at the first sync sample from here on.
    Waiting(Ticks),
    /// The next begins where an earlier run left off, once that is found.
    Resuming(Box<Boundary>),
    /// The place where the next begins is being stored.
    Beginning(Box<Beginning>),
    /// The next begins here, and is not complete.
    Recording(Mark),
    /// A clip is complete and being cut.
    Cutting(Box<CompleteClip>),
    /// Nothing came of a clip: where the next begins is being stored.
    Skipping(Box<CompleteClip>),
    /// Something failed, and is tried again then.
    Pausing(Duration, Box<Self>),
    /// The session is over and its clips are cut; it can be clipped until then.
    Lingering(Duration),
}

/// Where periodic clips begin, as it is being stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// The place.
    pub mark: Mark,
    /// It, as it is stored.
    pub boundary: Boundary,
    /// The state to go back to when it cannot be stored.
    pub(super) origin: State,
}

/// A periodic clip that is complete: where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeriodicClip {
    /// Where it begins.
    pub from: Mark,
    /// Where it ends; `None`: with the media.
    pub to: Option<Mark>,
    /// The same, or the end of the media when that was decided.
    pub end: Mark,
    /// It begins a grid of this interval.
    pub regrid: Option<Duration>,
}

/// A periodic clip that is being cut, or of which nothing came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteClip {
    /// Where it lies.
    pub clip: PeriodicClip,
    /// What is stored with it: where recording goes on, and whether it does.
    pub boundary: Boundary,
}

impl State {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Recovering => "Recovering",
            Self::Off => "Off",
            Self::Waiting(_) => "Waiting",
            Self::Resuming(_) => "Resuming",
            Self::Beginning(_) => "Beginning",
            Self::Recording(_) => "Recording",
            Self::Cutting(..) => "Cutting",
            Self::Skipping(..) => "Skipping",
            Self::Pausing(..) => "Pausing",
            Self::Lingering(_) => "Lingering",
        }
    }

    /// Where the clip in the making begins.
    #[must_use]
    pub fn mark(&self, timeline: &Timeline) -> Option<Mark> {
        match self {
            Self::Recording(mark) => Some(*mark),
            Self::Beginning(begin) => Some(begin.mark),
            Self::Cutting(complete) | Self::Skipping(complete) => Some(complete.clip.from),
            Self::Resuming(boundary) => boundary.find(timeline).map(|(mark, _)| mark),
            Self::Pausing(_, next) => next.mark(timeline),
            Self::Idle | Self::Recovering | Self::Off | Self::Waiting(_) | Self::Lingering(_) => {
                None
            }
        }
    }

    /// From where on media is needed; `None`: nothing is.
    pub(super) fn needs(&self) -> Option<Ticks> {
        match self {
            Self::Recording(mark) => Some(mark.ticks),
            Self::Beginning(begin) => Some(begin.mark.ticks),
            Self::Cutting(complete) | Self::Skipping(complete) => Some(complete.clip.from.ticks),
            Self::Waiting(from) => Some(*from),
            Self::Resuming(_) | Self::Recovering => Some(Ticks::MIN),
            Self::Pausing(_, next) => next.needs(),
            Self::Idle | Self::Off | Self::Lingering(_) => None,
        }
    }
}
