//! When audio frames are due: ISO/IEC 13818-1, 2.4.3.7.

/// Ticks per second of what comes out.
const CLOCK: u64 = clipmill_media::CLOCK_90K as u64;

/// How long `samples` at `rate` last, rounded to the nearest tick.
pub(super) fn ticks(samples: u64, rate: u32) -> i64 {
    let rate = u64::from(rate);
    let ticks = samples
        .saturating_mul(CLOCK)
        .saturating_add(rate / 2)
        .checked_div(rate)
        .unwrap_or_default();
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

/// Counts samples from the last timestamp on, so that rounding never adds up.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    anchor: Option<i64>,
    /// Samples since the anchor, and their rate.
    samples: u64,
    rate: u32,
    /// Where the line ended before it was lost.
    before: Option<i64>,
}

impl Timeline {
    /// When the next frame is due; `None` while that is unknown.
    pub(super) fn now(&self) -> Option<i64> {
        let passed = ticks(self.samples, self.rate);
        self.anchor.map(|anchor| anchor.saturating_add(passed))
    }

    /// The next frame is due at `pts`.
    pub(super) fn set(&mut self, pts: i64) {
        self.anchor = Some(pts);
        self.samples = 0;
    }

    pub(super) fn advance(&mut self, samples: u32, rate: u32) {
        if rate != self.rate {
            self.anchor = self.now();
            self.samples = 0;
            self.rate = rate;
        }
        self.samples = self.samples.saturating_add(u64::from(samples));
    }

    /// An unknown time passes.
    pub(super) fn lose(&mut self) {
        self.before = self.now().or(self.before);
        self.anchor = None;
        self.samples = 0;
    }

    /// Where the line ended before it was lost: the best guess for frames that no timestamp ever
    /// reaches.
    pub(super) fn before(&self) -> Option<i64> {
        self.before
    }

    pub(super) fn set_before(&mut self, end: i64) {
        self.before = Some(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_does_not_add_up() {
        let mut line = Timeline::default();
        assert_eq!(line.now(), None);
        line.set(1000);
        for frame in 1..=44_100i64 {
            line.advance(1024, 44_100);
            let exact = 1000.0 + frame as f64 * 1024.0 * 90_000.0 / 44_100.0;
            assert!((line.now().unwrap() as f64 - exact).abs() <= 0.5);
        }
        assert_eq!(line.now(), Some(1000 + 1024 * 90_000));
    }

    #[test]
    fn a_change_of_rate_counts_on() {
        let mut line = Timeline::default();
        line.set(0);
        line.advance(1024, 48_000);
        line.advance(1024, 32_000);
        assert_eq!(line.now(), Some(1920 + 2880));
        line.lose();
        assert_eq!((line.now(), line.before()), (None, Some(4800)));
    }
}
