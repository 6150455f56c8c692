//! How far the periodic clips of a session have come.

use std::time::Duration;

use super::boundary::{Boundary, Mark, time_ms};
use super::event::ActionId;
use super::session::{Session, ticks};
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
    Cutting(Box<PeriodicClip>, ActionId),
    /// Nothing came of a clip: where the next begins is being stored.
    Skipping(Box<PeriodicClip>, ActionId),
    /// Something failed, and is tried again then.
    Pausing(Duration, Box<Self>),
    /// The session is over and its clips are cut; it can be clipped until then.
    Lingering(Duration),
}

/// Where periodic clips begin, as it is being stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    pub(super) mark: Mark,
    pub(super) boundary: Boundary,
    pub(super) action: ActionId,
    /// The state to go back to when it cannot be stored.
    pub(super) origin: State,
}

/// A periodic clip that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodicClip {
    pub(super) from: Mark,
    /// `None`: to the end of the media.
    pub(super) to: Option<Mark>,
    /// The end of the media when that was decided.
    pub(super) end: Ticks,
    /// Where recording goes on, and whether it does.
    pub(super) boundary: Boundary,
    /// It begins a grid of this interval.
    pub(super) regrid: Option<Duration>,
}

/// What is wanted of the periodic clips of a session, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Clips of this interval: from there on, or from where the order before it ends.
    On(Duration, Option<Ticks>),
    /// One last clip with what has come when so many segments of the session have been taken.
    Off(u64),
    /// One last clip with the remainder.
    End,
}

/// What is to be done next, by somebody who does it.
#[derive(Debug)]
pub(super) enum Step {
    /// To store where recording begins.
    Begin(Mark),
    /// To cut a clip.
    Cut(Box<PeriodicClip>),
    /// Nothing more: all is cut.
    Finished,
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
    pub(super) fn mark(&self, timeline: &Timeline) -> Option<Mark> {
        match self {
            Self::Recording(mark) => Some(*mark),
            Self::Beginning(begin) => Some(begin.mark),
            Self::Cutting(clip, _) | Self::Skipping(clip, _) => Some(clip.from),
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
            Self::Cutting(clip, _) | Self::Skipping(clip, _) => Some(clip.from.ticks),
            Self::Waiting(from) => Some(*from),
            Self::Resuming(_) | Self::Recovering => Some(Ticks::MIN),
            Self::Pausing(_, next) => next.needs(),
            Self::Idle | Self::Off | Self::Lingering(_) => None,
        }
    }
}

impl Session {
    /// Goes on to another state.
    pub(super) fn go(&mut self, next: State) {
        #[cfg(test)]
        super::simulation::went(self.state.name(), next.name());
        self.state = next;
        self.unsettled = true;
    }

    /// Whether the first order may be being carried out.
    fn acts(&self) -> bool {
        matches!(
            self.state,
            State::Cutting(..) | State::Skipping(..) | State::Pausing(..)
        )
    }

    /// Periodic clips of this interval, from the live edge on.
    pub(super) fn turn_on(&mut self, interval: Duration) {
        if self.over.is_some() {
            return;
        }
        self.unsettled = true;
        let acted_on = self.orders.len() == 1 && self.acts();
        match self.orders.back_mut() {
            Some(Order::On(wanted, _)) if !acted_on => *wanted = interval,
            Some(_) => self.orders.push_back(Order::On(interval, None)),
            None => {
                let edge = self.timeline().end().unwrap_or(Ticks::MIN);
                let at_edge = matches!(self.state, State::Off) && !self.retakes();
                let from = at_edge.then_some(edge);
                self.orders.push_back(Order::On(interval, from));
            }
        }
    }

    /// No periodic clips beyond what is listed now.
    pub(super) fn turn_off(&mut self) {
        /// More orders than this cancel one another.
        const MOST: usize = 6;
        if self.over.is_some() {
            return;
        }
        let after = self.taken + self.backlog.len() as u64;
        if self.orders.len() >= MOST {
            self.orders.pop_back();
        }
        self.unsettled = true;
        let acted_on = self.orders.len() == 1 && self.acts();
        match self.orders.back_mut() {
            Some(Order::Off(wanted)) if !acted_on => *wanted = after,
            Some(Order::Off(_)) => {}
            _ => self.orders.push_back(Order::Off(after)),
        }
    }

    /// Where the first clip begins, and whether that is just where an earlier one ended.
    fn beginning(&self) -> Option<(Mark, bool)> {
        match &self.state {
            State::Waiting(from) => Some((Mark::first(self.timeline(), *from)?, false)),
            State::Resuming(boundary) => match boundary.find(self.timeline())? {
                (mark, true) if !boundary.finished => Some((mark, true)),
                (mark, _) => {
                    let ticks = self.timeline().next_sync(mark.ticks)?;
                    let grid_ms = time_ms(self.timeline(), ticks)?;
                    Some((Mark { ticks, grid_ms }, false))
                }
            },
            _ => None,
        }
    }

    /// Goes on as far as nothing has to be done for it. `front`: no session before it has clips to be
    /// cut.
    pub(super) fn settle(&mut self, front: bool) -> Option<Step> {
        if !std::mem::take(&mut self.unsettled) {
            return None;
        }
        loop {
            let order = self.orders.front().copied();
            let all_taken = self.backlog.is_empty();
            let listed_taken = |after: u64| all_taken || self.taken >= after;
            let next = match &self.state {
                State::Off => match order? {
                    // The live edge is behind what an earlier run kept.
                    Order::On(..) if self.retakes() => return None,
                    Order::On(interval, from) => {
                        let edge = || self.timeline().end().unwrap_or(Ticks::MIN);
                        let from = from.unwrap_or_else(edge);
                        self.interval = interval;
                        self.orders.pop_front();
                        State::Waiting(from)
                    }
                    Order::Off(_) => {
                        self.orders.pop_front();
                        continue;
                    }
                    Order::End => return (front && all_taken).then_some(Step::Finished),
                },
                State::Waiting(_) | State::Resuming(_) => match self.beginning() {
                    Some((mark, true)) => State::Recording(mark),
                    Some((mark, false)) => return front.then_some(Step::Begin(mark)),
                    None => match order? {
                        Order::On(interval, _) => {
                            self.interval = interval;
                            self.orders.pop_front();
                            continue;
                        }
                        Order::Off(after) if listed_taken(after) => State::Off,
                        Order::End if all_taken => State::Off,
                        Order::Off(_) | Order::End => return None,
                    },
                },
                State::Recording(mark) => {
                    let mark = *mark;
                    if let Some(to) = mark.next(self.timeline(), self.interval) {
                        return front.then(|| self.complete(mark, Some(to), None))?;
                    }
                    match order? {
                        Order::On(interval, _) => match mark.latest(self.timeline()) {
                            Some(to) => {
                                return front
                                    .then(|| self.complete(mark, Some(to), Some(interval)))?;
                            }
                            // There is no place yet to end it: a new grid begins where it does.
                            None => {
                                let begun = time_ms(self.timeline(), mark.ticks);
                                let grid_ms = begun.unwrap_or(mark.grid_ms);
                                self.interval = interval;
                                self.orders.pop_front();
                                self.state = State::Recording(Mark { grid_ms, ..mark });
                                continue;
                            }
                        },
                        Order::Off(after) if !listed_taken(after) => return None,
                        Order::End if !all_taken => return None,
                        Order::Off(_) | Order::End if !front => return None,
                        Order::Off(_) | Order::End => match self.complete(mark, None, None) {
                            Some(cut) => return Some(cut),
                            None => State::Off,
                        },
                    }
                }
                State::Idle
                | State::Recovering
                | State::Beginning(_)
                | State::Cutting(..)
                | State::Skipping(..)
                | State::Pausing(..)
                | State::Lingering(_) => return None,
            };
            self.go(next);
        }
    }

    /// A clip that is complete; `None` when there is no media at all.
    fn complete(&self, from: Mark, to: Option<Mark>, regrid: Option<Duration>) -> Option<Step> {
        let end = to.or_else(|| Mark::end(self.timeline()))?;
        let boundary = Boundary {
            finished: to.is_none(),
            ..self.written(end, 0)
        };
        Some(Step::Cut(Box::new(PeriodicClip {
            from,
            to,
            end: end.ticks,
            boundary,
            regrid,
        })))
    }

    /// Goes on behind a clip, made or not. Gives what is done with until when.
    pub(super) fn dealt_with(&mut self, clip: &PeriodicClip, made: bool) -> Ticks {
        self.tries = 0;
        if made {
            self.lost = None;
            self.has_clips = true;
        }
        self.from_the_start = false;
        if let Some(interval) = clip.regrid {
            self.interval = interval;
            if matches!(self.orders.front(), Some(Order::On(..))) {
                self.orders.pop_front();
            }
        }
        if let Some(mark) = clip.to {
            self.go(State::Recording(mark));
            return clip.end;
        }
        if matches!(self.orders.front(), Some(Order::Off(_))) {
            self.orders.pop_front();
        }
        // Told to go on while its last clip was in the making, it goes on behind it.
        if let Some(Order::On(_, from @ None)) = self.orders.front_mut() {
            *from = Some(clip.end);
        }
        self.go(State::Off);
        clip.end
    }

    /// Where the clip in the making begins, and how long it will be, while it may be written ahead.
    pub(super) fn may_grow(&self) -> Option<(Ticks, Ticks)> {
        /// Media that ends nearer to the boundary than this waits for it, in 90 kHz ticks: what
        /// belongs to which clip is decided there.
        const EDGE: Ticks = 45_000;
        /// Shorter clips, in segments, are made in one go.
        const SHORT: u32 = 4;
        let State::Recording(mark) = self.state else {
            return None;
        };
        let short = self.interval <= self.target.max(Duration::from_millis(1)) * SHORT;
        if !self.orders.is_empty() || short {
            return None;
        }
        let (_, asked) = mark.asked(self.timeline(), self.interval)?;
        let reached = self.timeline().latest_end()?;
        let expected = asked - mark.ticks + ticks(self.target);
        (reached <= asked - EDGE).then_some((self.clip_begins(mark), expected))
    }
}
