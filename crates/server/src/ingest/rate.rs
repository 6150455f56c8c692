//! How fast the bytes of one stream are taken.

use std::time::{Duration, Instant};

/// A bucket that is filled at the rate and holds as much as comes in one second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// When the bucket is full again.
    full: Option<Instant>,
}

impl Rate {
    /// So many bytes came: how long to wait before more are taken, at `rate` bytes a second.
    pub(super) fn take(&mut self, bytes: u64, rate: u64, now: Instant) -> Duration {
        const BURST: Duration = Duration::from_secs(1);
        let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let full = self.full.map_or(now, |full| full.max(now)) + cost;
        self.full = Some(full);
        full.duration_since(now).saturating_sub(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_fast_waits() {
        let (mut rate, begun) = (Rate::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(rate.take(1000, 1000, begun), Duration::ZERO);
        assert_eq!(rate.take(500, 1000, begun), second / 2);
        assert_eq!(rate.take(0, 1000, begun + second / 2), Duration::ZERO);
        // Nothing is saved up beyond a second's worth.
        let later = begun + second * 60;
        assert_eq!(rate.take(3000, 1000, later), second * 2);
        assert!(rate.take(1, 0, later) > second);
    }
}
