//! When a session is over of which nothing comes.

use std::time::Duration;

/// How long a session lasts of which nothing comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// A stream that is silent for three target durations has ended, and for this at the least.
    pub silence: Duration,
    /// A playlist that is missing for so long is gone; until then it may be being replaced.
    pub removed: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(6),
            removed: Duration::from_millis(400),
        }
    }
}

impl Timeouts {
    /// How long a stream of this target duration may be silent.
    #[must_use]
    pub fn silence(&self, target: Duration) -> Duration {
        self.silence.max(target.saturating_mul(3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_of_three_target_durations() {
        let silence = |target| Timeouts::default().silence(Duration::from_secs(target));
        assert_eq!(silence(10), Duration::from_secs(30));
        assert_eq!(silence(1), Duration::from_secs(6));
        assert_eq!(silence(u64::MAX), Duration::MAX);
    }
}
