//! Periodic clips that are begun and cut, and what comes of it.

use std::time::Duration;

use super::{Done, Order, PeriodicClips};
use crate::live::boundary::{Anchor, Boundary, Mark};
use crate::live::event::{Failure, LossReason, LostMedia};
use crate::live::state::{Beginning, CompleteClip, PeriodicClip, State};
use crate::timeline::{Ticks, Timeline};

impl PeriodicClips {
    /// The step of that name is begun; `written` is where recording begins. Gives what is to be
    /// stored.
    pub fn begin(&mut self, mark: Mark, timeline: &Timeline, written: Boundary) -> Boundary {
        let begins = timeline.time_at(mark.ticks);
        if let State::Resuming(left_off) = &self.state
            && !left_off.finished
            && self.lost.is_none()
        {
            self.lost = Some(LostMedia {
                from: left_off.instant(),
                to: begins,
                reason: LossReason::Missing,
            });
        }
        if let Some(lost) = &mut self.lost
            && lost.to.is_none()
        {
            lost.to = begins;
            // Clocks may say that it began before the one ahead of it was over.
            if lost.to <= lost.from {
                self.lost = None;
            }
        }
        self.from_the_start = self.state == State::Waiting(Ticks::MIN);
        let boundary = Boundary {
            lost: self.lost,
            from_the_start: self.from_the_start,
            ..written
        };
        self.go(State::Beginning(Box::new(Beginning {
            mark,
            boundary: boundary.clone(),
            origin: self.state.clone(),
        })));
        boundary
    }

    /// The step of that name is begun; `written` is where recording goes on, as the clip after it.
    /// Gives what is to be stored with the clip.
    pub fn cut(&mut self, clip: PeriodicClip, written: Boundary) -> Boundary {
        let boundary = Boundary {
            finished: clip.to.is_none(),
            ..written
        };
        self.go(State::Cutting(Box::new(CompleteClip {
            clip,
            boundary: boundary.clone(),
        })));
        boundary
    }

    /// Whether something was begun of which it is not known yet what came of it.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        matches!(
            self.state,
            State::Beginning(_) | State::Cutting(_) | State::Skipping(_)
        )
    }

    /// What was begun is done.
    pub fn done(&mut self) -> Option<Done> {
        let (complete, made) = match &self.state {
            State::Beginning(begin) => {
                let (mark, boundary) = (begin.mark, begin.boundary.clone());
                self.tries = 0;
                self.go(State::Recording(mark));
                return Some(Done::Begun(boundary));
            }
            State::Cutting(complete) => (complete.clone(), true),
            State::Skipping(complete) => (complete.clone(), false),
            _ => return None,
        };
        self.pass(complete.clip, made);
        Some(Done::Clip {
            boundary: complete.boundary,
            until: complete.clip.end.ticks,
            made,
        })
    }

    /// Goes on behind a clip, made or not.
    fn pass(&mut self, clip: PeriodicClip, made: bool) {
        self.tries = 0;
        if made {
            self.lost = None;
            self.any_made = true;
        }
        self.from_the_start = false;
        if let Some(interval) = clip.regrid {
            self.interval = interval;
            if matches!(self.orders.front(), Some(Order::On(..))) {
                self.orders.pop_front();
            }
        }
        if let Some(mark) = clip.to {
            return self.go(State::Recording(mark));
        }
        if matches!(self.orders.front(), Some(Order::Off(_))) {
            self.orders.pop_front();
        }
        // Told to go on while its last clip was in the making, it goes on behind it.
        if let Some(Order::On(_, from @ None)) = self.orders.front_mut() {
            *from = Some(clip.end.ticks);
        }
        self.go(State::Off);
    }

    /// What was begun failed at `now`. It is tried again after a pause; or it is given up, and the
    /// boundary that this gives is to be stored. Of [`Failure::Lost`], see [`lose`](Self::lose).
    #[must_use = "it is to be stored"]
    pub fn failed(&mut self, failure: &Failure, now: Duration) -> Option<Boundary> {
        self.tries = self.tries.saturating_add(1);
        let until = now.saturating_add(failure.pause(self.tries));
        let next = match &self.state {
            State::Beginning(begin) => begin.origin.clone(),
            State::Skipping(complete) => State::Skipping(complete.clone()),
            State::Cutting(complete) => {
                if failure.is_final(self.tries) {
                    let mut complete = complete.clone();
                    // It is no clip, and counts as none.
                    complete.boundary.ordinal = complete.boundary.ordinal.saturating_sub(1);
                    complete.boundary.lost = self.lost;
                    self.tries = 0;
                    return Some(self.skip(complete));
                }
                State::Recording(complete.clip.from)
            }
            _ => return None,
        };
        self.go(State::Pausing(until, Box::new(next)));
        None
    }

    /// Nothing comes of a clip: recording goes on behind it, which is yet to be stored.
    fn skip(&mut self, complete: Box<CompleteClip>) -> Boundary {
        let boundary = complete.boundary.clone();
        self.go(State::Skipping(complete));
        boundary
    }

    /// When what failed is tried again.
    #[must_use]
    pub fn paused_until(&self) -> Option<Duration> {
        match &self.state {
            State::Pausing(until, _) => Some(*until),
            _ => None,
        }
    }

    /// Tries again what failed, if it is time. Gives a boundary that is to be stored.
    #[must_use = "it is to be stored"]
    pub fn try_again(&mut self, now: Duration) -> Option<Boundary> {
        let State::Pausing(until, next) = &self.state else {
            return None;
        };
        if *until > now {
            return None;
        }
        match next.as_ref() {
            State::Skipping(complete) => {
                let complete = complete.clone();
                Some(self.skip(complete))
            }
            next => {
                let next = next.clone();
                self.go(next);
                None
            }
        }
    }

    /// Segments are lost: places on the timeline of before are found again on the one without them. `left_off`
    /// is where the one in the making begins ([`State::mark`]), as it is written down: it goes on from
    /// there.
    pub fn lose(&mut self, before: &Timeline, after: &Timeline, left_off: Option<Boundary>) {
        let found = |from: &mut Ticks| {
            let found = Anchor::of(before, *from).find(after);
            *from = found.map_or(Ticks::MIN, |(at, _)| at);
        };
        for order in &mut self.orders {
            if let Order::On(_, Some(from)) = order {
                found(from);
            }
        }
        match &mut self.state {
            State::Waiting(from) if *from > Ticks::MIN => found(from),
            State::Off | State::Waiting(_) | State::Resuming(_) | State::Beginning(_) => {}
            _ => {
                if let Some(left_off) = left_off {
                    self.go(State::Resuming(Box::new(left_off)));
                }
            }
        }
    }
}
