//! The periodic clips of one session: which is complete, where it begins and ends, and what becomes of
//! the clips behind it. All that has to be done about them is done by others.

use std::collections::VecDeque;
use std::time::Duration;

use super::boundary::{Boundary, Mark, Period, time_ms};
use super::event::LostMedia;
use super::state::{PeriodicClip, State};
use crate::timeline::{Ticks, Timeline, duration_ticks};

mod outcome;

/// What is wanted of the periodic clips of a session, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Clips of this interval: from there on, or from where the order before it ends.
    On(Duration, Option<Ticks>),
    /// One last clip with what has come when so many segments of the session have been taken.
    Off(u64),
    /// One last clip with the remainder.
    End,
}

/// How far the segments of a session are taken that are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// So many were taken, or given up.
    pub taken: u64,
    /// Nothing is left of what is listed.
    pub all_taken: bool,
    /// Some of what an earlier run kept is still to be taken again.
    pub retaking: bool,
    /// No session before this one has clips to be cut.
    pub front: bool,
}

/// A clip that is written while its media comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ahead {
    /// The boundary that it begins at.
    pub mark: Mark,
    /// Where its media begins: see [`PeriodicClips::clip_begins`].
    pub begins: Ticks,
    /// About how long it will be, in 90 kHz ticks.
    pub length: Ticks,
    /// Media that ends later than this waits for the boundary.
    pub until: Ticks,
}

/// What is to be done next for the periodic clips of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// To store where recording begins: [`PeriodicClips::begin`].
    Begin(Mark),
    /// To cut a clip: [`PeriodicClips::cut`].
    Cut(PeriodicClip),
    /// Nothing more: the session is over, and all is cut.
    Finished,
}

/// What was done with the media of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Done {
    /// It is stored where recording begins.
    Begun(Boundary),
    /// A clip is made, or nothing came of it: media before `until` is done with.
    Clip {
        /// As it is stored.
        boundary: Boundary,
        /// Where the next clip begins, or nobody records.
        until: Ticks,
        /// There is a clip.
        made: bool,
    },
}

/// The periodic clips of one session as a value. Its input are orders and the outcome of each step, its
/// output is the next step. [`State`] is how far they have come.
///
/// ```
/// use std::time::Duration;
/// use clipmill::Timeline;
/// use clipmill::live::{PeriodicClips, Progress, State, Step};
///
/// let mut clips = PeriodicClips::new(Duration::from_secs(600));
/// let timeline = Timeline::new();
/// clips.turn_on(Duration::from_secs(60), &timeline, false);
/// let progress = Progress { front: true, ..Progress::default() };
/// assert_eq!(clips.step(&timeline, progress), None);
/// assert!(matches!(clips.state(), State::Waiting(_)));
/// clips.close();
/// let all_taken = Progress { all_taken: true, ..progress };
/// assert_eq!(clips.step(&timeline, all_taken), Some(Step::Finished));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodicClips {
    state: State,
    orders: VecDeque<Order>,
    interval: Duration,
    aligned: bool,
    any_made: bool,
    lost: Option<LostMedia>,
    /// The one in the making is the first of the session: sound ahead of its first picture belongs to
    /// it.
    from_the_start: bool,
    /// How often what is to be done now has failed.
    tries: u32,
}

impl PeriodicClips {
    /// Nobody wants any yet; `interval` is how long one would be.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            state: State::Off,
            orders: VecDeque::new(),
            interval,
            aligned: false,
            any_made: false,
            lost: None,
            from_the_start: false,
            tries: 0,
        }
    }

    /// How far they have come.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How long one is.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether boundaries lie on multiples of the interval since midnight UTC, from the next one on.
    pub fn align(&mut self, aligned: bool) {
        self.aligned = aligned;
    }

    fn period(&self) -> Period {
        Period {
            interval: self.interval,
            aligned: self.aligned,
        }
    }

    /// What was lost before the media of the one in the making begins.
    #[must_use]
    pub fn lost(&self) -> Option<LostMedia> {
        self.lost
    }

    /// Whether nothing was ordered that is not carried out.
    #[must_use]
    pub fn has_no_orders(&self) -> bool {
        self.orders.is_empty()
    }

    /// Where the one in the making begins, which is where the one before it ended; `None` when there is
    /// none before it.
    #[must_use]
    pub fn last_boundary(&self, timeline: &Timeline) -> Option<Mark> {
        self.state.mark(timeline).filter(|_| self.any_made)
    }

    /// Where the clip begins whose first picture is at `mark`.
    #[must_use]
    pub fn clip_begins(&self, mark: Mark) -> Ticks {
        if self.from_the_start {
            Ticks::MIN
        } else {
            mark.ticks
        }
    }

    /// From where on media is needed, where the live edge is at `edge`: for the one in the making, or of
    /// the last interval, which somebody may ask for.
    #[must_use]
    pub fn needed(&self, edge: Ticks) -> Ticks {
        let own = self.state.needs();
        let own = own.unwrap_or(edge.saturating_sub(duration_ticks(self.interval)));
        let ordered = self.orders.iter().filter_map(|order| match order {
            Order::On(_, from) => *from,
            Order::Off(_) | Order::End => None,
        });
        ordered.fold(own, Ticks::min)
    }

    /// The one in the making, while it may be written ahead. `target` is the target duration.
    #[must_use]
    pub fn may_grow(&self, timeline: &Timeline, target: Duration) -> Option<Ahead> {
        /// Media that ends nearer to the boundary than this waits for it, in 90 kHz ticks: what
        /// belongs to which clip is decided there.
        const EDGE: Ticks = 45_000;
        /// Shorter clips, in segments, are made in one go.
        const SHORT: u32 = 4;
        let State::Recording(mark) = self.state else {
            return None;
        };
        let short = self.interval <= target.max(Duration::from_millis(1)) * SHORT;
        if !self.orders.is_empty() || short {
            return None;
        }
        let (_, asked) = mark.asked(timeline, self.period())?;
        Some(Ahead {
            mark,
            begins: self.clip_begins(mark),
            // A sync sample may be a while behind the boundary.
            length: asked - mark.ticks + duration_ticks(target),
            until: asked - EDGE,
        })
    }

    /// Goes on to another state.
    pub(super) fn go(&mut self, next: State) {
        #[cfg(test)]
        super::simulation::went(self.state.name(), next.name());
        self.state = next;
    }

    /// The first begins with the first sync sample of the session.
    pub fn wait_for_media(&mut self) {
        self.go(State::Waiting(Ticks::MIN));
    }

    /// What was lost before they begin.
    pub fn lack(&mut self, lost: LostMedia) {
        self.lost = Some(lost);
    }

    /// What an earlier run stored of the session.
    pub fn recall(&mut self, boundary: &Boundary) {
        self.any_made = boundary.ordinal > 0;
        self.lost = boundary.lost;
        self.from_the_start = boundary.from_the_start;
    }

    /// They go on where an earlier run left off.
    pub fn resume(&mut self, boundary: Boundary) {
        self.recall(&boundary);
        self.go(State::Resuming(Box::new(boundary)));
    }

    /// Whether the first order may be being carried out.
    fn acts(&self) -> bool {
        matches!(
            self.state,
            State::Cutting(_) | State::Skipping(_) | State::Pausing(..)
        )
    }

    /// Clips of this interval, from the live edge on. `retaking`: see [`Progress::retaking`].
    pub fn turn_on(&mut self, interval: Duration, timeline: &Timeline, retaking: bool) {
        let acted_on = self.orders.len() == 1 && self.acts();
        match self.orders.back_mut() {
            Some(Order::On(wanted, _)) if !acted_on => *wanted = interval,
            // Off and on again at once: the one in the making ends where it can, and the next follows.
            Some(order @ Order::Off(_)) if !acted_on => *order = Order::On(interval, None),
            Some(_) => self.orders.push_back(Order::On(interval, None)),
            None => {
                let edge = timeline.end().unwrap_or(Ticks::MIN);
                let at_edge = matches!(self.state, State::Off) && !retaking;
                let from = at_edge.then_some(edge);
                self.orders.push_back(Order::On(interval, from));
            }
        }
    }

    /// No clips beyond what is listed now: beyond so many segments of the session. Where that is not
    /// known, [`listed_are_taken`](Self::listed_are_taken) follows.
    pub fn turn_off(&mut self, after: Option<u64>) {
        /// More orders than this cancel one another.
        const MOST: usize = 6;
        let after = after.unwrap_or(u64::MAX);
        if self.orders.len() >= MOST {
            self.orders.pop_back();
        }
        let acted_on = self.orders.len() == 1 && self.acts();
        match self.orders.back_mut() {
            Some(Order::Off(wanted)) if !acted_on => *wanted = after,
            Some(Order::Off(_)) => {}
            _ => self.orders.push_back(Order::Off(after)),
        }
    }

    /// So many more segments were listed when it was last said that there are to be no more.
    pub(super) fn more_listed(&mut self, more: u64) {
        for order in &mut self.orders {
            if let Order::Off(after) = order {
                *after = after.saturating_add(more);
            }
        }
    }

    /// All that was listed when it was last said that there are to be no more is taken.
    pub fn listed_are_taken(&mut self) {
        for order in &mut self.orders {
            if let Order::Off(after) = order {
                *after = 0;
            }
        }
    }

    /// What came of the session is in the clips of another stream: none is made of it. False where one is
    /// made already, or being cut.
    pub fn discard(&mut self) -> bool {
        if self.any_made || matches!(self.state, State::Cutting(_)) {
            return false;
        }
        self.orders.clear();
        if self.state != State::Off {
            self.go(State::Off);
        }
        true
    }

    /// The session is over: one last clip with the remainder.
    pub fn close(&mut self) {
        self.orders.push_back(Order::End);
    }

    /// Where the first clip begins, and whether that is just where an earlier one ended.
    fn beginning(&self, timeline: &Timeline) -> Option<(Mark, bool)> {
        match &self.state {
            State::Waiting(from) => Some((Mark::first(timeline, *from)?, false)),
            State::Resuming(boundary) => match boundary.find(timeline)? {
                (mark, true) if !boundary.finished => Some((mark, true)),
                // Its segment is lost: on with the next sync sample, on the same grid.
                (mark, _) => {
                    let ticks = timeline.next_sync(mark.ticks)?;
                    let grid_ms = match boundary.finished {
                        true => time_ms(timeline, ticks)?,
                        false => mark.grid_ms,
                    };
                    Some((Mark { ticks, grid_ms }, false))
                }
            },
            _ => None,
        }
    }

    /// Goes on as far as nothing has to be done for it, and says what is to be done then: the same until
    /// that is begun, or something else happens.
    pub fn step(&mut self, timeline: &Timeline, progress: Progress) -> Option<Step> {
        let Progress {
            taken,
            all_taken,
            retaking,
            front,
        } = progress;
        let listed_taken = |after: u64| all_taken || taken >= after;
        loop {
            let order = self.orders.front().copied();
            let next = match &self.state {
                State::Off => match order? {
                    // The live edge is behind what an earlier run kept.
                    Order::On(..) if retaking => return None,
                    Order::On(interval, from) => {
                        let edge = || timeline.end().unwrap_or(Ticks::MIN);
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
                State::Waiting(_) | State::Resuming(_) => match self.beginning(timeline) {
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
                    if let Some(to) = mark.next(timeline, self.period()) {
                        return front.then_some(Step::Cut(PeriodicClip::until(mark, to, None)));
                    }
                    match order? {
                        Order::On(interval, _) => match mark.latest(timeline) {
                            Some(to) => {
                                let clip = PeriodicClip::until(mark, to, Some(interval));
                                return front.then_some(Step::Cut(clip));
                            }
                            // There is no place yet to end it: a new grid begins where it does.
                            None => {
                                let begun = time_ms(timeline, mark.ticks);
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
                        Order::Off(_) | Order::End => match Mark::end(timeline) {
                            Some(end) => {
                                return Some(Step::Cut(PeriodicClip {
                                    from: mark,
                                    to: None,
                                    end,
                                    regrid: None,
                                }));
                            }
                            None => State::Off,
                        },
                    }
                }
                State::Idle
                | State::Recovering
                | State::Beginning(_)
                | State::Cutting(_)
                | State::Skipping(_)
                | State::Pausing(..)
                | State::Lingering(_) => return None,
            };
            self.go(next);
        }
    }
}

impl PeriodicClip {
    fn until(from: Mark, to: Mark, regrid: Option<Duration>) -> Self {
        Self {
            from,
            to: Some(to),
            end: to,
            regrid,
        }
    }
}

#[cfg(test)]
mod tests;
