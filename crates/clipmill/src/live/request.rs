//! Clips that somebody asks for. They move no boundary.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::boundary::Anchor;
use super::event::SessionId;
use super::session::Session;
use crate::cut::{Bounds, Cut};
use crate::timeline::{Ticks, Timeline, duration_ticks};

/// Frames that are displayed before the end of a window come no later than so much media after it, in
/// 90 kHz ticks.
const SETTLED: Ticks = 90_000;

/// Names a clip that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClipId(pub u64);

/// Which part of a stream is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// From the end of the last periodic clip, or an interval ago where there is none, to the live
    /// edge.
    SinceBoundary,
    /// From one instant to another. Where the end is yet to come, it is waited for.
    Range {
        /// The first instant that is wanted.
        from: DateTime<Utc>,
        /// The first that is no longer wanted.
        to: DateTime<Utc>,
    },
    /// The last so much before the live edge.
    Last(Duration),
}

/// Why there is no clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no session with media.
    #[error("there is no media")]
    NoMedia,
    /// The window ends before it begins.
    #[error("the window ends before it begins")]
    Backwards,
    /// The window ends before what is recorded begins.
    #[error("the window ends before what is recorded begins")]
    TooEarly,
    /// There is a clip of that name already.
    #[error("a clip of that name is in the making")]
    Taken,
    /// What it was to be made of is gone.
    #[error("the session is gone")]
    Lost,
}

/// Where a request's window ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Here, once all of it is there.
    At(Ticks),
    /// At the end of what there is.
    Edge,
    /// Nobody knows yet.
    Stopped,
}

/// A clip that was asked for and is not being cut yet.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) clip: ClipId,
    pub(super) session: SessionId,
    pub(super) from: Ticks,
    pub(super) until: Until,
    pub(super) cut: Cut,
    pub(super) whole: bool,
}

impl Request {
    /// Finds the window in what is recorded.
    pub(super) fn place(
        clip: ClipId,
        window: Window,
        cut: Cut,
        session: &Session,
    ) -> Result<Self, Refusal> {
        let timeline = session.timeline();
        let end = timeline.end().ok_or(Refusal::NoMedia)?;
        let begin = timeline.segments().iter().find_map(|s| s.first_presented);
        let begins = begin.and_then(|begin| timeline.time_at(begin));
        let at = |instant| timeline.at_time(instant).ok_or(Refusal::NoMedia);
        let (from, until, asked) = match window {
            Window::SinceBoundary => {
                let clips = session.clips();
                let mark = clips.last_boundary(timeline);
                let from = mark.map_or(end - duration_ticks(clips.interval()), |mark| mark.ticks);
                (from, Until::Edge, None)
            }
            Window::Last(length) => {
                let edge = timeline.time_at(end).ok_or(Refusal::NoMedia)?;
                let length = TimeDelta::from_std(length).unwrap_or(TimeDelta::MAX);
                let from = edge
                    .checked_sub_signed(length)
                    .unwrap_or(DateTime::<Utc>::MIN_UTC);
                (at(from)?, Until::Edge, Some(from))
            }
            Window::Range { from, to } if from >= to => return Err(Refusal::Backwards),
            Window::Range { to, .. } if begins.is_some_and(|begins| to <= begins) => {
                return Err(Refusal::TooEarly);
            }
            Window::Range { from, to } => (at(from)?, Until::At(at(to)?), Some(from)),
        };
        Ok(Self {
            clip,
            session: session.id.clone(),
            from,
            until,
            cut,
            whole: asked.is_none_or(|asked| begins.is_some_and(|begins| begins <= asked)),
        })
    }

    /// Whether it can be cut: all of it is there, or nothing more will come.
    pub(super) fn is_due(&self, timeline: &Timeline, over: bool) -> bool {
        match self.until {
            Until::Edge => true,
            Until::At(to) => over || timeline.end().is_some_and(|end| end >= to),
            Until::Stopped => over,
        }
    }

    /// Which part of the timeline.
    pub(super) fn bounds(&self) -> Bounds {
        let to = match self.until {
            Until::At(to) => Some(to),
            Until::Edge | Until::Stopped => None,
        };
        // The beginning of everything is no place on the timeline.
        let from = Some(self.from).filter(|from| *from > Ticks::MIN);
        Bounds { from, to }
    }

    /// Whether nothing that belongs to it can still come.
    pub(super) fn is_settled(&self, timeline: &Timeline, over: bool) -> bool {
        let Until::At(to) = self.until else {
            return over;
        };
        let complete = timeline.complete_until();
        over || complete.is_some_and(|complete| complete >= to.saturating_add(SETTLED))
    }

    /// The same window on another timeline of the same session.
    pub(super) fn move_to(&mut self, before: &Timeline, after: &Timeline) {
        let found = |ticks| Anchor::of(before, ticks).find(after).map(|(at, _)| at);
        self.from = found(self.from).unwrap_or(self.from);
        if let Until::At(to) = self.until {
            self.until = Until::At(found(to).unwrap_or(to));
        }
    }
}
