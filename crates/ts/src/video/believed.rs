//! What is known of the time of a picture, and what is believed of it.

use clipmill_media::CLOCK_90K;

/// Further apart than this, two timestamps are of two timelines.
pub(super) const JUMP: i64 = 10 * CLOCK_90K as i64;

/// What is known of the time of one picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) pts: Option<i64>,
    /// Absent where it equals `pts`, or is not known either.
    pub(super) dts: Option<i64>,
    /// Coded video sequence, and place in its output order.
    pub(super) order: Option<(u32, i64)>,
}

/// What is believed of the time of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Believed {
    pub(super) pts: Option<i64>,
    /// When it is to be decoded.
    pub(super) dts: Option<i64>,
    pub(super) order: Option<(u32, i64)>,
}

impl Believed {
    pub(super) fn of(stamp: &Stamp) -> Self {
        Self {
            pts: stamp.pts,
            dts: stamp.dts.or(stamp.pts),
            order: stamp.order,
        }
    }

    /// Whether both are of one coded video sequence, as far as that is known.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        let sequence = |picture: &Self| picture.order.map(|(sequence, _)| sequence);
        sequence(self).is_some() && sequence(self) == sequence(other)
    }

    /// By how much it is decoded after it is presented, which 2.4.3.7 does not allow.
    pub(super) fn late(&self) -> Option<i64> {
        let late = self.dts?.saturating_sub(self.pts?);
        (late > 0).then_some(late)
    }
}
