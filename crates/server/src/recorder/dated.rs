//! When a segment began that the playlist does not date.

use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clipmill::{SegmentIndex, Ticks, duration_ticks};

use super::media::delta;
use crate::sources::session::FileMark;

/// Timestamps that stand still for longer have jumped, in 90 kHz ticks.
const LONG_PAUSE: Ticks = 900_000;

/// What dates the segment that follows, where the playlist does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastDated {
    /// The first timestamp of a segment.
    timestamp: Ticks,
    /// When that is presented.
    time: DateTime<Utc>,
    /// It is of the session before: timestamps may have begun anew since.
    before: bool,
}

/// A segment that is to be dated.
pub(crate) struct Undated<'a> {
    pub(crate) index: &'a SegmentIndex,
    pub(crate) duration: Duration,
    pub(crate) discontinuity: bool,
    pub(crate) mark: FileMark,
    /// Its length, and that of all that is listed after it.
    pub(crate) remaining: Duration,
    pub(crate) target: Duration,
    /// Length of the segments missing before it.
    pub(crate) missing: Ticks,
}

impl LastDated {
    /// Of a segment that is dated.
    pub(crate) fn of(index: &SegmentIndex, time: Option<DateTime<Utc>>) -> Option<Self> {
        Some(Self {
            timestamp: index.first_timestamp()?,
            time: time?,
            before: false,
        })
    }

    /// For the session that follows.
    pub(crate) fn of_before(self) -> Self {
        Self {
            before: true,
            ..self
        }
    }

    /// When the segment begins that follows `last`: as long after it as its timestamps say; the first
    /// one, and one after a jump, by its arrival.
    pub(crate) fn follow(
        last: Option<Self>,
        segment: &Undated<'_>,
    ) -> Option<(Self, DateTime<Utc>)> {
        let first = segment.index.first_timestamp()?;
        let usual = 3 * duration_ticks(segment.target) + segment.missing;
        let usual = 0..=usual.max(LONG_PAUSE);
        let now = Utc::now();
        let listed = now - TimeDelta::from_std(segment.remaining).unwrap_or_default();
        let written = DateTime::<Utc>::from(segment.mark.modified());
        let plausible = written <= now && written >= listed - TimeDelta::minutes(1);
        let arrived = if plausible {
            written - delta(duration_ticks(segment.duration))
        } else {
            listed
        };
        let continued = last
            .filter(|_| !segment.discontinuity)
            .and_then(|last| last.continued(first, &usual, arrived));
        let time = continued.unwrap_or(arrived);
        let dated = Self {
            timestamp: first,
            time,
            before: false,
        };
        Some((dated, time))
    }

    /// When a later timestamp is presented. `None` where timestamps did not go on in the `usual` steps.
    fn continued(
        self,
        timestamp: Ticks,
        usual: &RangeInclusive<Ticks>,
        arrived: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let elapsed = timestamp.checked_sub(self.timestamp)?;
        let time = self.time + delta(elapsed);
        // Where they began anew they may look as if they went on, but do not arrive in time.
        let late = (arrived - time).abs() > delta(LONG_PAUSE);
        let anew = self.before && (late || elapsed == 0);
        (usual.contains(&elapsed) && !anew).then_some(time)
    }
}
