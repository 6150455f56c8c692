//! Back-off: how long to wait before what failed is tried again.

use std::time::Duration;

/// Pauses that are doubled with each failure, up to the longest.
///
/// A pause follows from how often something failed, and from nothing else: so it goes on where it was
/// after a restart, for those who write down how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    /// After the first failure.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
}

impl BackOff {
    /// The pause after so many failures; none before the first.
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let doubled = self.first.saturating_mul(1 << doublings.min(30));
        doubled.min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_doubled_up_to_the_longest() {
        let pauses = BackOff {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(300),
        };
        let after = [0, 1, 2, 5, 9, 10, 11, 32, 33, u32::MAX];
        let seconds = after.map(|failures| pauses.after(failures).as_secs());
        assert_eq!(seconds, [0, 1, 2, 16, 256, 300, 300, 300, 300, 300]);
        let endless = BackOff {
            first: Duration::MAX,
            longest: Duration::MAX,
        };
        assert_eq!(endless.after(u32::MAX), Duration::MAX);
    }
}
