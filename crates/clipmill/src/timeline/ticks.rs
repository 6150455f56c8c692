//! Instants and lengths of time in 90 kHz ticks, and in the clocks of tracks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clipmill_media::CLOCK_90K;

/// An instant on a [`Timeline`](super::Timeline), in 90 kHz ticks.
pub type Ticks = i64;

/// The longest that a segment is taken to last, three years: as many of them as a playlist may list
/// still add up.
const LONGEST: Ticks = Ticks::MAX / 1_000_000;

/// A duration in 90 kHz ticks, to the nearest, as a [`SegmentInfo`](super::SegmentInfo) has it; no more than
/// three years.
#[must_use]
pub fn duration_ticks(duration: Duration) -> Ticks {
    i64::try_from(duration.as_micros()).map_or(LONGEST, |micros| {
        let ticks = micros.saturating_mul(9).saturating_add(50) / 100;
        ticks.min(LONGEST)
    })
}

/// Ticks from `from` to `to`.
pub(crate) fn ticks_between(from: DateTime<Utc>, to: DateTime<Utc>) -> Ticks {
    let micros = (to - from).num_microseconds().unwrap_or(i64::MAX / 90);
    (i128::from(micros) * 90 / 1000) as Ticks
}

/// `time`, in units of 1/`clock` s, as ticks, to the nearest.
pub(crate) fn to_ticks(time: i64, clock: u32) -> Ticks {
    rescale(time, clock, CLOCK_90K)
}

/// Ticks in units of 1/`clock` s, to the nearest.
pub(crate) fn from_ticks(ticks: Ticks, clock: u32) -> i64 {
    rescale(ticks, CLOCK_90K, clock)
}

/// `time` in units of 1/`from` s as units of 1/`to` s, to the nearest.
pub(crate) fn rescale(time: i64, from: u32, to: u32) -> i64 {
    if from == to || from == 0 {
        return time;
    }
    // Nearly all times fit, and dividing 128 bits costs ten times as much.
    let narrow = time
        .checked_mul(i64::from(to) * 2)
        .and_then(|scaled| scaled.checked_add(i64::from(from)));
    if let Some(scaled) = narrow {
        return scaled.div_euclid(i64::from(from) * 2);
    }
    let scaled = i128::from(time) * i128::from(to) * 2 + i128::from(from);
    let rounded = scaled.div_euclid(i128::from(from) * 2);
    rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}
