//! 33-bit timestamps made continuous (ISO/IEC 13818-1, 2.4.3.7).

/// Timestamps wrap here, about every 26.5 hours.
const WRAP: i64 = 1 << 33;
/// A step of more than 6.6 hours is believed only once another timestamp confirms it: a single
/// damaged one must not move everything that follows by a whole wrap.
const FAR: i64 = 1 << 31;

/// Unrolls the timestamps of one program, against one reference for all of its streams.
///
/// The first timestamp is taken as it is; each later one becomes the value that is nearest to the
/// last seen. A stream that begins just before the wrap thus goes past 2^33, and no value is
/// negative unless a timestamp from before the wrap follows a first one from after it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    reference: Option<i64>,
    /// A timestamp far from the reference, not yet confirmed.
    far: Option<i64>,
}

impl Clock {
    /// A presentation and a decoding timestamp of one PES packet, unrolled.
    pub(crate) fn pair(&mut self, pts: u64, dts: u64) -> (i64, i64) {
        // The DTS first: it is the earlier one, and the PTS of a stream that begins at the wrap
        // lies on its other side.
        let dts = self.single(dts);
        (nearest(pts, dts), dts)
    }

    /// The timestamp last seen.
    pub(crate) fn now(&self) -> Option<i64> {
        self.reference
    }

    /// A timestamp, unrolled.
    pub(crate) fn single(&mut self, raw: u64) -> i64 {
        let Some(reference) = self.reference else {
            let value = nearest(raw, WRAP / 2);
            self.reference = Some(value);
            return value;
        };
        let value = nearest(raw, reference);
        let close = |to: i64| value.abs_diff(to) <= FAR.unsigned_abs();
        if close(reference) || self.far.is_some_and(close) {
            self.reference = Some(value);
            self.far = None;
        } else {
            self.far = Some(value);
        }
        value
    }
}

/// The value nearest to `reference` whose low 33 bits are those of `raw`.
fn nearest(raw: u64, reference: i64) -> i64 {
    let raw = i64::try_from(raw).unwrap_or_default();
    let ahead = raw.wrapping_sub(reference).rem_euclid(WRAP);
    let step = if ahead >= WRAP / 2 {
        ahead.wrapping_sub(WRAP)
    } else {
        ahead
    };
    reference.saturating_add(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: u64 = (1 << 33) - 1;

    #[test]
    fn the_first_is_taken_as_it_is() {
        for raw in [0, 1, 1 << 32, LAST] {
            assert_eq!(Clock::default().single(raw), raw as i64);
        }
    }

    #[test]
    fn wraps_forwards_and_back() {
        let mut clock = Clock::default();
        assert_eq!(clock.single(LAST - 10), WRAP - 11);
        assert_eq!(clock.single(10), WRAP + 10);
        assert_eq!(clock.single(LAST), WRAP - 1, "another stream, still before");
        assert_eq!(clock.single(20), WRAP + 20);
    }

    #[test]
    fn a_pair_lies_on_both_sides() {
        let mut clock = Clock::default();
        assert_eq!(clock.pair(100, LAST), (WRAP + 100, WRAP - 1));
        assert_eq!(clock.pair(100, 100), (WRAP + 100, WRAP + 100));
    }

    #[test]
    fn a_full_turn_keeps_growing() {
        let mut clock = Clock::default();
        let mut raw = 5u64;
        let mut expected = 5i64;
        assert_eq!(clock.single(raw), expected);
        for _ in 0..30 {
            raw = (raw + (1 << 30)) & LAST;
            expected += 1 << 30;
            assert_eq!(clock.single(raw), expected);
        }
    }

    #[test]
    fn one_damaged_timestamp_moves_nothing() {
        for bit in 0..33 {
            let mut clock = Clock::default();
            let base = 5_000_000_000u64;
            for n in 0..10u64 {
                let raw = base + n * 3600;
                if n == 5 {
                    clock.single(raw ^ (1 << bit));
                } else {
                    assert_eq!(clock.single(raw), raw as i64, "bit {bit}, frame {n}");
                }
            }
        }
    }

    #[test]
    fn a_confirmed_jump_is_followed() {
        let mut clock = Clock::default();
        clock.single(0);
        let far = 1u64 << 32;
        for n in 0..40u64 {
            // Wherever it lands, the steps inside the new stretch stay exact.
            let value = clock.single((far - (1 << 30) + n * 3600) & LAST);
            assert_eq!(value.rem_euclid(WRAP) as u64, far - (1 << 30) + n * 3600);
        }
    }
}
