//! Decoding times that run late.
//!
//! A picture cannot be presented before it is decoded (ISO/IEC 13818-1, 2.4.3.7), yet encoders exist
//! whose DTS rise evenly and lie behind the PTS of every B-picture. What such times say of the order and
//! the pace of decoding is right; only where they begin is not. So all of them are moved ahead by one
//! and the same time, and those of presentation stay what they are.

use clipmill_media::CLOCK_90K;

use super::believed::JUMP;

/// No decoder holds back a picture for so long: what is later is no decoding time.
const LATEST: i64 = 20 * CLOCK_90K as i64;

/// Whether a decoding time that is so much behind the presentation can be meant.
pub(super) fn is_possible(late: i64) -> bool {
    late <= LATEST
}

/// Moves decoding times ahead, so that no picture is presented before it is decoded.
///
/// What is learnt in one segment serves in the next: if more is needed there, the pictures at its
/// beginning follow the one before as closely as they can.
#[derive(Debug, Clone, Default)]
pub(super) struct LateDecoding {
    /// How much ahead of what is stated.
    delay: i64,
    /// The last decoding time, as stated, and as given.
    stated: Option<i64>,
    last: Option<i64>,
    /// What is given must be moved on until it follows what was given before.
    follows: bool,
}

impl LateDecoding {
    /// How much ahead of what is stated the pictures of the next segment are to be decoded: the first
    /// of them at `first` as stated, and one of them `late` after it is presented.
    pub(super) fn delay(&mut self, first: i64, late: Option<i64>) -> i64 {
        let step = self.stated.map(|stated| first.saturating_sub(stated));
        let follows = step.is_some_and(|step| step > 0 && step <= JUMP);
        if step.is_some_and(|step| step.saturating_abs() > JUMP) {
            self.delay = 0;
        }
        let late = late.filter(|&late| is_possible(late));
        let needed = late.unwrap_or(0).max(self.delay);
        self.follows = follows && (needed > self.delay || self.follows);
        self.delay = needed;
        needed
    }

    /// The decoding time to tell of the next picture, which is due at `dts` when the delay is taken
    /// off.
    pub(super) fn follow(&mut self, dts: i64) -> i64 {
        let mut given = dts;
        if self.follows {
            match self.last {
                Some(before) if dts <= before => given = before.saturating_add(1),
                _ => self.follows = false,
            }
        }
        self.last = Some(given);
        self.stated = Some(dts.saturating_add(self.delay));
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(late: &mut LateDecoding, pictures: &[(i64, i64)]) -> Vec<i64> {
        let most = pictures.iter().map(|(pts, dts)| dts - pts).max();
        let delay = late.delay(pictures[0].1, most.filter(|&late| late > 0));
        let given = pictures.iter().map(|(_, dts)| late.follow(dts - delay));
        given.collect()
    }

    #[test]
    fn the_delay_is_the_same_for_all() {
        let mut late = LateDecoding::default();
        let group = |start: i64| {
            [(0, 0), (3, 1), (1, 2), (2, 3)]
                .map(|(pts, dts)| (start + pts * 3600, start + dts * 3600))
        };
        assert_eq!(given(&mut late, &group(0)), [-3600, 0, 3600, 7200]);
        let next = given(&mut late, &group(14_400));
        assert_eq!(next, [10_800, 14_400, 18_000, 21_600]);
    }

    #[test]
    fn what_is_in_time_stays() {
        let mut late = LateDecoding::default();
        assert_eq!(given(&mut late, &[(7, 0), (9, 2)]), [0, 2]);
    }

    #[test]
    fn where_more_is_needed_later_decoding_goes_on() {
        let mut late = LateDecoding::default();
        assert_eq!(given(&mut late, &[(0, 0), (3600, 3600)]), [0, 3600]);
        let next = given(
            &mut late,
            &[(7200, 7200), (18_000, 10_800), (10_800, 18_000)],
        );
        assert_eq!(next, [3601, 3602, 10_800]);
        // Over several short segments, too.
        let mut late = LateDecoding::default();
        assert_eq!(given(&mut late, &[(3600, 3600)]), [3600]);
        assert_eq!(given(&mut late, &[(0, 7200)]), [3601]);
        assert_eq!(given(&mut late, &[(10_000, 10_800)]), [3602]);
        assert_eq!(given(&mut late, &[(20_000, 14_400)]), [7200]);
        // A new line of time needs nothing of it.
        let later = given(&mut late, &[(9_000_000, 9_000_000)]);
        assert_eq!(later, [9_000_000]);
    }
}
