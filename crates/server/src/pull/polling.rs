//! When a playlist is loaded next, and what that says of its origin (RFC 8216, 6.3.4). It does no I/O and
//! reads no clock.

use std::time::{Duration, Instant};

use clipmill::live::Timeouts;
use clipmill::net::BackOff;

/// Between loads of a playlist that cannot be had.
const FAILED: BackOff = BackOff {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(10),
};

/// Between loads of one that has not changed for so long that its stream must be over, at most.
const STALE: Duration = Duration::from_secs(5);

/// Between loads of one that has come to its end. It may be another one some day.
const ENDED: Duration = Duration::from_secs(10);

/// No two loads follow one another faster than this.
const LEAST: Duration = Duration::from_millis(100);

/// When a playlist is loaded next.
#[derive(Debug, Clone)]
pub(super) struct Polling {
    target: Duration,
    /// When the load that is under way, or the last one, began.
    begun: Instant,
    next: Instant,
    /// How often in a row it could not be had.
    failures: u32,
    /// Since when it has not changed, by what was seen.
    since: Instant,
    /// Loads since then.
    unchanged: u32,
    ended: bool,
    problem: Option<String>,
}

impl Polling {
    /// It is loaded at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            target: Duration::from_secs(1),
            begun: now,
            next: now,
            failures: 0,
            since: now,
            unchanged: 0,
            ended: false,
            problem: None,
        }
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// A load begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.begun = now;
    }

    /// There was something new in it.
    pub(super) fn changed(&mut self, now: Instant, target: Duration, ended: bool) {
        self.answered(target, ended);
        self.since = now;
        self.unchanged = 0;
        let pause = if ended { ENDED } else { self.target };
        self.next = self.begun + pause.max(LEAST);
    }

    /// There was not.
    pub(super) fn unchanged(&mut self, now: Instant, target: Option<Duration>, ended: bool) {
        let target = target.unwrap_or(self.target);
        self.answered(target, ended);
        self.unchanged = self.unchanged.saturating_add(1);
        let half = self.target / 2;
        let pause = match () {
            () if ended => ENDED,
            () if self.is_stale(now) => half.saturating_mul(2).min(STALE).max(half),
            () => half,
        };
        self.next = self.begun + pause.max(LEAST);
    }

    fn answered(&mut self, target: Duration, ended: bool) {
        self.failures = 0;
        self.problem = None;
        self.ended = ended;
        if !target.is_zero() {
            self.target = target;
        }
    }

    /// Its server waits with the answer until there is something new, or somebody who follows another playlist
    /// has seen that there is.
    pub(super) fn at_once(&mut self, now: Instant) {
        self.next = now.max(self.begun + LEAST).min(self.next.max(now));
    }

    /// It could not be had. `part` of the pause is waited, from a half to all of it: so not all come back at once.
    pub(super) fn failed(&mut self, now: Instant, what: String, part: f64) {
        self.failures = self.failures.saturating_add(1);
        self.problem = Some(what);
        let pause = FAILED.after(self.failures).mul_f64(part.clamp(0.5, 1.0));
        self.next = now + pause;
    }

    /// Whether it could not be had several times in a row.
    pub(super) fn has_failed_often(&self) -> bool {
        self.failures >= 3
    }

    /// Whether the last load was answered with a playlist.
    pub(super) fn is_answered(&self) -> bool {
        self.failures == 0
    }

    /// Whether it has not changed for so long that its stream must be over.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        let silence = Timeouts::default().silence(self.target);
        self.unchanged > 0 && !self.ended && now.saturating_duration_since(self.since) >= silence
    }

    /// What is wrong, in words that stay the same as long as it lasts.
    pub(super) fn problem(&self, now: Instant) -> Option<String> {
        let stale = || {
            let what = "the playlist does not change: nothing new comes";
            self.is_stale(now).then(|| what.to_owned())
        };
        self.problem.clone().or_else(stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_secs(6);

    fn after(polling: &Polling, begun: Instant) -> Duration {
        polling.next().saturating_duration_since(begun)
    }

    #[test]
    fn a_target_duration_after_a_change_and_half_of_it_after_none() {
        let begun = Instant::now();
        let mut polling = Polling::new(begun);
        assert_eq!(polling.next(), begun);
        // From when the load began, however long it took.
        polling.begin(begun);
        polling.changed(begun + Duration::from_secs(2), TARGET, false);
        assert_eq!(after(&polling, begun), TARGET);
        polling.begin(begun);
        polling.unchanged(begun + Duration::from_secs(4), None, false);
        assert_eq!(after(&polling, begun), TARGET / 2);
        assert_eq!(polling.problem(begun), None);
        // One without a length of its own is not asked for all the time.
        polling.changed(begun, Duration::ZERO, false);
        assert_eq!(after(&polling, begun), TARGET);
    }

    #[test]
    fn one_that_does_not_change_is_a_problem_after_three_target_durations() {
        let begun = Instant::now();
        let mut polling = Polling::new(begun);
        polling.changed(begun, TARGET, false);
        let mut now = begun;
        while !polling.is_stale(now) {
            now = polling.next();
            polling.begin(now);
            polling.unchanged(now, None, false);
            assert!(now <= begun + TARGET * 4, "it never is");
        }
        assert!(now >= begun + TARGET * 3);
        assert!(polling.problem(now).unwrap().contains("does not change"));
        polling.changed(now, TARGET, false);
        assert_eq!(polling.problem(now), None);
        // One that is over changes no more, which is none.
        polling.unchanged(now + TARGET * 9, None, true);
        assert_eq!(polling.problem(now + TARGET * 9), None);
        assert_eq!(polling.next(), now + ENDED);
    }

    #[test]
    fn one_that_cannot_be_had_is_asked_for_less_and_less_often() {
        let now = Instant::now();
        let mut polling = Polling::new(now);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            polling.failed(now, "no".into(), 1.0);
            pauses.push(after(&polling, now).as_millis());
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert!(!polling.is_answered());
        assert_eq!(polling.problem(now).as_deref(), Some("no"));
        polling.begin(now);
        polling.unchanged(now, Some(TARGET), false);
        assert!(polling.is_answered() && polling.problem(now).is_none());
        polling.failed(now, "no".into(), 0.0);
        assert_eq!(after(&polling, now), Duration::from_millis(250));
    }
}
