//! The clock on the wall, as `EXT-X-PROGRAM-DATE-TIME` gives it to places on the line.

use chrono::{DateTime, TimeDelta, Utc};

use super::{PlacedSegment, Ticks, Timeline, ticks_between};

impl Timeline {
    /// Where on the line an instant lies that `PROGRAM-DATE-TIME` dates; `None` when no segment
    /// is dated. Instants between two segments go to the later one, instants outside to the ends.
    #[must_use]
    pub fn at_time(&self, instant: DateTime<Utc>) -> Option<Ticks> {
        place(self.segments.iter().filter_map(DatedSegment::of), instant)
    }

    /// The instant that `PROGRAM-DATE-TIME` gives to a place on the line, to the nearest
    /// millisecond.
    #[must_use]
    pub fn time_at(&self, ticks: Ticks) -> Option<DateTime<Utc>> {
        let dated = self.segments.iter().filter_map(DatedSegment::of);
        let mut found: Option<DatedSegment> = None;
        for anchor in dated {
            if found.is_some() && anchor.ticks > ticks {
                break;
            }
            found = Some(anchor);
        }
        let anchor = found?;
        let millis = (ticks - anchor.ticks + 45).div_euclid(90);
        anchor
            .time
            .checked_add_signed(TimeDelta::milliseconds(millis))
    }
}

/// Where an instant lies that these segments date, which are in order; `None` where there are none.
pub(crate) fn place(
    dated: impl Iterator<Item = DatedSegment>,
    instant: DateTime<Utc>,
) -> Option<Ticks> {
    let mut dated = dated.peekable();
    let mut last = *dated.peek()?;
    for anchor in dated {
        if anchor.time > instant {
            // Before the first segment, or in the pause between two.
            let end = last.ticks + last.duration;
            let asked = last.ticks + ticks_between(last.time, instant);
            if last.time > instant || asked > end {
                return Some(anchor.ticks);
            }
            break;
        }
        last = anchor;
    }
    Some(last.ticks + ticks_between(last.time, instant))
}

/// A segment that has both an instant on the line and one on the clock on the wall.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DatedSegment {
    pub(crate) ticks: Ticks,
    pub(crate) time: DateTime<Utc>,
    pub(crate) duration: Ticks,
}

impl DatedSegment {
    pub(crate) fn of(segment: &PlacedSegment) -> Option<Self> {
        Some(Self {
            ticks: segment.first_presented?,
            time: segment.info.start_time?,
            duration: segment.info.duration,
        })
    }
}
