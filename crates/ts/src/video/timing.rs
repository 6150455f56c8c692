//! Timestamps of the access units of one segment (ISO/IEC 13818-1, 2.4.3.7 and 2.7.5): a PES
//! header has those of the first access unit that begins in it, the others follow from the frame
//! rate and from output order.

use clipmill_media::{CLOCK_90K, Rational};

use super::believed::{Believed, JUMP, Stamp};
use super::late::LateDecoding;
use super::stray::{drop_disordered, drop_disordered_last, drop_strays};

/// When a picture is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) pts: i64,
    pub(super) dts: i64,
}

/// When the pictures of a segment are due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) dues: Vec<Due>,
    /// Those whose own timestamps were strays.
    pub(super) strays: Vec<usize>,
}

/// Makes [`Due`]s of [`Stamp`]s; what it learns in one segment serves in the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Timing {
    /// Ticks from one picture to the next, as seen.
    seen_ticks: Option<i64>,
    /// By how many pictures decoding is ahead of output in a stream that has no DTS and
    /// needs them.
    shift: Option<usize>,
    /// For a stream whose DTS run late.
    late: LateDecoding,
    /// When the last picture is to be decoded, as stated.
    last: Option<i64>,
}

impl Timing {
    /// The times of pictures in decoding order; `None` where no picture has a timestamp.
    ///
    /// `frame_rate` and `reorder_depth` are what the stream's headers say.
    pub(super) fn resolve(
        &mut self,
        stamps: &[Stamp],
        frame_rate: Option<Rational>,
        reorder_depth: Option<u8>,
    ) -> Option<Resolved> {
        if stamps.iter().all(|stamp| stamp.pts.or(stamp.dts).is_none()) {
            return None;
        }
        let explicit = stamps.iter().any(|stamp| stamp.dts.is_some());
        let mut believed: Vec<_> = stamps.iter().map(Believed::of).collect();
        let ticks = self.frame_ticks(frame_rate, median_step(&believed, explicit));
        let strays = drop_strays(&mut believed, explicit, self.last, ticks);
        if explicit {
            self.shift = None;
            drop_disordered(&mut believed);
        }
        if explicit {
            drop_disordered_last(&mut believed);
        }
        self.seen_ticks = median_step(&believed, explicit).or(self.seen_ticks);
        let ticks = self.frame_ticks(frame_rate, self.seen_ticks);
        let last = believed.iter().rev().find_map(|picture| picture.dts);
        self.last = last.or(self.last);
        // Where no DTS is left that can be believed, there are none.
        fill_strays(&mut believed, &strays);
        let reordered = self.shift.is_some() || is_reordered(&believed);
        if !explicit && reordered || believed.iter().all(|picture| picture.dts.is_none()) {
            let dues = self.shifted(&believed, ticks, reorder_depth);
            return Some(Resolved { dues, strays });
        }
        let dues = self.stated(&mut believed, ticks);
        Some(Resolved { dues, strays })
    }

    /// The times that are stated, and what they leave open.
    fn stated(&mut self, believed: &mut [Believed], ticks: i64) -> Vec<Due> {
        let late = believed.iter().filter_map(Believed::late).max();
        let first = believed.iter().find_map(|picture| picture.dts);
        let delay = self.late.delay(first.unwrap_or_default(), late);
        for picture in &mut *believed {
            picture.dts = picture.dts.map(|dts| dts.saturating_sub(delay));
        }
        let decoding: Vec<_> = believed.iter().map(|picture| picture.dts).collect();
        let dts = fill_evenly(&decoding, ticks);
        let pts = fill_by_order(believed, &dts, ticks);
        let dues = pts.into_iter().zip(dts).zip(believed);
        dues.map(|((pts, dts), picture)| {
            // What was put between its neighbours must not pass the PTS either.
            let ends = match picture.dts {
                None if picture.pts.is_some() => dts.min(pts),
                _ => dts,
            };
            let dts = self.late.follow(ends);
            Due { pts, dts }
        })
        .collect()
    }

    /// The headers' frame rate, unless what was seen contradicts it.
    fn frame_ticks(&self, frame_rate: Option<Rational>, seen: Option<i64>) -> i64 {
        let stated = frame_rate.and_then(|rate| {
            let ticks = i64::from(CLOCK_90K).checked_mul(i64::from(rate.den))?;
            ticks.checked_div(i64::from(rate.num))
        });
        let stated = stated.filter(|&ticks| ticks > 0 && ticks < JUMP);
        match (stated, seen.or(self.seen_ticks)) {
            (Some(stated), Some(seen)) => {
                let (less, more) = (stated.min(seen), stated.max(seen));
                if more > less.saturating_add(less >> 1) {
                    seen
                } else {
                    stated
                }
            }
            (stated, seen) => stated.or(seen).unwrap_or(i64::from(CLOCK_90K) / 25),
        }
    }

    /// Output times sorted and moved ahead, as far as no picture is output before it is decoded.
    fn shifted(
        &mut self,
        pictures: &[Believed],
        ticks: i64,
        reorder_depth: Option<u8>,
    ) -> Vec<Due> {
        let known: Vec<_> = pictures.iter().map(|picture| picture.pts).collect();
        let roughly = fill_evenly(&known, ticks);
        let pts = fill_by_order(pictures, &roughly, ticks);
        let mut dues = Vec::with_capacity(pts.len());
        let mut run_start = 0usize;
        for at in 1..=pts.len() {
            let before = pts.get(at.saturating_sub(1)).copied().unwrap_or_default();
            let jumps = pts
                .get(at)
                .is_none_or(|&this| this.abs_diff(before) > JUMP.unsigned_abs());
            if jumps {
                let run = pts.get(run_start..at).unwrap_or_default();
                self.shift_run(run, ticks, reorder_depth, &mut dues);
                run_start = at;
            }
        }
        dues
    }

    fn shift_run(
        &mut self,
        run: &[i64],
        ticks: i64,
        reorder_depth: Option<u8>,
        dues: &mut Vec<Due>,
    ) {
        let mut sorted = run.to_vec();
        sorted.sort_unstable();
        // A picture at place i in decoding order and r in output order needs a lead of i - r.
        let observed = run
            .iter()
            .enumerate()
            .map(|(at, pts)| at.saturating_sub(sorted.partition_point(|other| other < pts)))
            .max()
            .unwrap_or_default();
        let stated = reorder_depth.map_or(0, usize::from);
        let shift = self.shift.unwrap_or(stated).max(observed);
        self.shift = Some(shift);
        let first = sorted.first().copied().unwrap_or_default();
        for (at, &pts) in run.iter().enumerate() {
            let dts = match at.checked_sub(shift) {
                Some(at) => sorted.get(at).copied().unwrap_or(pts),
                None => {
                    let ahead = i64::try_from(shift.saturating_sub(at)).unwrap_or_default();
                    first.saturating_sub(ticks.saturating_mul(ahead))
                }
            };
            dues.push(Due { pts, dts });
        }
    }
}

/// The median distance of pictures next to each other that have both a timestamp of their own.
fn median_step(pictures: &[Believed], explicit: bool) -> Option<i64> {
    let mut times: Vec<Option<i64>> = pictures.iter().map(|picture| picture.dts).collect();
    if !explicit && is_reordered(pictures) {
        times.sort_unstable();
    }
    let mut steps: Vec<i64> = times
        .windows(2)
        .filter_map(|pair| match pair {
            [Some(a), Some(b)] => b.checked_sub(*a),
            _ => None,
        })
        .filter(|&step| step > 0 && step < JUMP)
        .collect();
    let middle = steps.len() >> 1;
    if steps.is_empty() {
        return None;
    }
    Some(*steps.select_nth_unstable(middle).1)
}

/// Whether output times step back, though not so far that another timeline has begun.
fn is_reordered(pictures: &[Believed]) -> bool {
    let mut last: Option<i64> = None;
    for pts in pictures.iter().filter_map(|picture| picture.pts) {
        if last.is_some_and(|last| pts < last && last.saturating_sub(pts) <= JUMP) {
            return true;
        }
        last = Some(pts);
    }
    false
}

/// Gaps filled in equal steps: those that their ends allow, else of `ticks`.
fn fill_evenly(times: &[Option<i64>], ticks: i64) -> Vec<i64> {
    let mut filled: Vec<i64> = Vec::with_capacity(times.len());
    let mut last: Option<i64> = None;
    let mut waiting = 0i64;
    for time in times {
        let Some(time) = *time else {
            waiting = waiting.saturating_add(1);
            continue;
        };
        fill_gap(&mut filled, last, waiting, Some(time), ticks);
        waiting = 0;
        filled.push(time);
        last = Some(time);
    }
    fill_gap(&mut filled, last, waiting, None, ticks);
    filled
}

fn fill_gap(filled: &mut Vec<i64>, last: Option<i64>, count: i64, next: Option<i64>, ticks: i64) {
    let steps = count.saturating_add(1);
    let span = match (last, next) {
        (Some(last), Some(next)) => {
            let span = next.saturating_sub(last);
            let usual = ticks.saturating_mul(steps);
            // A longer gap is one in the stream, and the pictures are more likely at its start.
            (span > 0 && span <= usual.saturating_mul(2)).then_some(span)
        }
        _ => None,
    };
    for step in 1..=count {
        filled.push(match (last, next, span) {
            (Some(last), _, Some(span)) => {
                let part = span.saturating_mul(step).checked_div(steps);
                last.saturating_add(part.unwrap_or_default())
            }
            (Some(last), _, None) => last.saturating_add(ticks.saturating_mul(step)),
            (None, Some(next), _) => {
                next.saturating_sub(ticks.saturating_mul(steps.saturating_sub(step)))
            }
            (None, None, _) => 0,
        });
    }
}

/// Output times: those that are known, the others from output order.
fn fill_by_order(pictures: &[Believed], dts: &[i64], ticks: i64) -> Vec<i64> {
    let mut pts: Vec<Option<i64>> = pictures.iter().map(|picture| picture.pts).collect();
    let mut rest = pictures;
    let mut begin = 0usize;
    while let Some(first) = rest.first() {
        let sequence = first.order.map(|(sequence, _)| sequence);
        let len = rest
            .iter()
            .position(|picture| picture.order.map(|(sequence, _)| sequence) != sequence)
            .unwrap_or(rest.len());
        let end = begin.saturating_add(len);
        let (pictures, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        if let (Some(pts), Some(dts)) = (pts.get_mut(begin..end), dts.get(begin..end))
            && sequence.is_some()
            && pts.iter().any(Option::is_none)
        {
            fill_sequence(pictures, dts, pts, ticks);
        }
        begin = end;
        rest = after;
    }
    pts.into_iter()
        .zip(dts)
        .map(|(pts, &dts)| pts.unwrap_or(dts))
        .collect()
}

/// Strays that are shown between two pictures whose times are known.
fn fill_strays(pictures: &mut [Believed], strays: &[usize]) {
    for &at in strays {
        let Some((sequence, order)) = pictures.get(at).and_then(|picture| picture.order) else {
            continue;
        };
        let known = pictures.iter().filter_map(|picture| {
            let (own, order) = picture.order?;
            Some((order, picture.pts?)).filter(|_| own == sequence)
        });
        let (mut before, mut after) = (None, None);
        for (other, pts) in known {
            if other < order {
                before = before.max(Some((other, pts)));
            } else if after.is_none_or(|(nearest, _)| other < nearest) {
                after = Some((other, pts));
            }
        }
        let (Some((first, begin)), Some((last, end))) = (before, after) else {
            continue;
        };
        let part = end
            .saturating_sub(begin)
            .saturating_mul(order.saturating_sub(first))
            .checked_div(last.saturating_sub(first));
        if let Some(picture) = pictures.get_mut(at).filter(|picture| picture.pts.is_none()) {
            picture.pts = part.map(|part| begin.saturating_add(part));
        }
    }
}

/// The pictures of one coded video sequence.
fn fill_sequence(pictures: &[Believed], dts: &[i64], pts: &mut [Option<i64>], ticks: i64) {
    let orders: Vec<i64> = pictures
        .iter()
        .map(|picture| picture.order.map_or(0, |(_, order)| order))
        .collect();
    let mut sorted = orders.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let Some(step) = sorted
        .windows(2)
        .filter_map(|pair| pair.last()?.checked_sub(*pair.first()?))
        .min()
    else {
        return;
    };
    let distance = |from: i64, to: i64| {
        let ticks = to.saturating_sub(from).saturating_mul(ticks);
        ticks.checked_div(step).unwrap_or_default()
    };
    let known: Vec<Option<i64>> = pts.to_vec();
    if known.iter().all(Option::is_none) {
        let origin = orders.first().copied().unwrap_or_default();
        let start = dts.first().copied().unwrap_or_default();
        let due = |order: i64| start.saturating_add(distance(origin, order));
        let delay = orders
            .iter()
            .zip(dts)
            .map(|(&order, &dts)| dts.saturating_sub(due(order)))
            .max()
            .unwrap_or_default();
        for (pts, &order) in pts.iter_mut().zip(&orders) {
            *pts = Some(due(order).saturating_add(delay));
        }
        return;
    }
    // Two passes, so that each picture refers to the nearest one that has a timestamp.
    let mut nearest: Vec<Option<(usize, i64)>> = Vec::with_capacity(known.len());
    let mut last: Option<(usize, i64, i64)> = None;
    for (at, (pts, &order)) in known.iter().zip(&orders).enumerate() {
        if let Some(pts) = *pts {
            last = Some((at, pts, order));
        }
        nearest.push(last.map(|(from, pts, from_order)| {
            let pts = pts.saturating_add(distance(from_order, order));
            (at.saturating_sub(from), pts)
        }));
    }
    last = None;
    for (at, (known, &order)) in known.iter().zip(&orders).enumerate().rev() {
        if let Some(pts) = *known {
            last = Some((at, pts, order));
            continue;
        }
        let behind = last.map(|(from, pts, from_order)| {
            let pts = pts.saturating_add(distance(from_order, order));
            (from.saturating_sub(at), pts)
        });
        let before = nearest.get(at).copied().flatten();
        let best = match (before, behind) {
            (Some(before), Some(behind)) if behind.0 < before.0 => Some(behind),
            (None, behind) => behind,
            (before, _) => before,
        };
        if let (Some(slot), Some((_, due)), Some(&dts)) = (pts.get_mut(at), best, dts.get(at)) {
            // An order that damage has made up must not carry a picture into another hour.
            let due = due.max(dts);
            *slot = Some(if due.abs_diff(dts) > JUMP.unsigned_abs() {
                dts
            } else {
                due
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(pts: Option<i64>, dts: Option<i64>, order: i64) -> Stamp {
        Stamp {
            pts,
            dts,
            order: Some((0, order)),
        }
    }

    fn pairs(resolved: &Resolved) -> Vec<(i64, i64)> {
        resolved.dues.iter().map(|due| (due.pts, due.dts)).collect()
    }

    #[test]
    fn what_is_stated_stays() {
        let stamps = [
            stamp(Some(7200), Some(0), 0),
            stamp(Some(18000), Some(3600), 6),
            stamp(Some(10800), Some(7200), 2),
            stamp(Some(14400), None, 4),
        ];
        let dues = Timing::default().resolve(&stamps, None, None).unwrap();
        assert_eq!(
            pairs(&dues),
            [(7200, 0), (18000, 3600), (10800, 7200), (14400, 14400)]
        );
    }

    #[test]
    fn a_dts_behind_its_pts_is_not_believed() {
        let stamps = [
            stamp(Some(7200), Some(0), 0),
            stamp(Some(18000), Some(30_000), 6),
            stamp(Some(10800), Some(7200), 2),
            stamp(Some(14400), Some(20_000), 4),
        ];
        let dues = Timing::default().resolve(&stamps, None, None).unwrap();
        assert_eq!(
            pairs(&dues),
            [(7200, 0), (18000, 3600), (10800, 7200), (14400, 10800)]
        );
    }

    #[test]
    fn gaps_are_filled_from_output_order() {
        let stamps = [
            stamp(Some(7200), Some(0), 0),
            stamp(None, None, 6),
            stamp(None, None, 2),
            stamp(None, None, 4),
            stamp(Some(21600), Some(14400), 8),
        ];
        let rate = Rational { num: 25, den: 1 };
        let dues = Timing::default()
            .resolve(&stamps, Some(rate), None)
            .unwrap();
        assert_eq!(
            pairs(&dues),
            [
                (7200, 0),
                (18000, 3600),
                (10800, 7200),
                (14400, 10800),
                (21600, 14400)
            ]
        );
    }

    #[test]
    fn the_beginning_is_extrapolated() {
        let stamps = [
            stamp(None, None, 0),
            stamp(None, None, 2),
            stamp(Some(100_000), None, 4),
            stamp(None, None, 6),
        ];
        let rate = Rational { num: 50, den: 1 };
        let dues = Timing::default()
            .resolve(&stamps, Some(rate), None)
            .unwrap();
        assert_eq!(
            pairs(&dues),
            [
                (96_400, 96_400),
                (98_200, 98_200),
                (100_000, 100_000),
                (101_800, 101_800)
            ]
        );
    }

    #[test]
    fn reordered_pictures_without_dts_are_moved_ahead() {
        let order = [0i64, 3, 1, 2, 6, 4, 5];
        let stamps = order.map(|o| stamp(Some(o * 3600), None, o * 2));
        let mut timing = Timing::default();
        let dues = timing.resolve(&stamps, None, None).unwrap();
        let dts: Vec<i64> = dues.dues.iter().map(|due| due.dts).collect();
        assert_eq!(dts, [-3600, 0, 3600, 7200, 10800, 14400, 18000]);
        assert!(dues.dues.iter().all(|due| due.pts >= due.dts));
        // Where the next segment happens not to be reordered, its DTS must not overtake.
        let stamps = [7i64, 8].map(|o| stamp(Some(o * 3600), None, o * 2));
        let dues = timing.resolve(&stamps, None, None).unwrap();
        assert_eq!(pairs(&dues), [(25200, 21600), (28800, 25200)]);
    }

    #[test]
    fn nothing_without_any_timestamp() {
        let stamps = [stamp(None, None, 0), stamp(None, None, 2)];
        assert_eq!(Timing::default().resolve(&stamps, None, None), None);
    }

    /// Two groups of three pictures with a B-picture between, at 25 pictures a second.
    fn group(start: i64) -> Vec<Stamp> {
        let order = [0, 2, 1, 4, 3, 5];
        let one = |(n, o): (i64, i64)| {
            let (pts, dts) = (start + (o + 1) * 3600, start + n * 3600);
            stamp(Some(pts), Some(dts), o * 2)
        };
        (0..).zip(order).map(one).collect()
    }

    #[test]
    fn an_isolated_outlier_is_put_where_its_neighbours_are() {
        let far = 881_834_400;
        for at in 0..6 {
            for by in [-far, far, -100_000, 300_000] {
                let mut timing = Timing::default();
                let before = timing.resolve(&group(0), None, None).unwrap();
                let mut stamps = group(21_600);
                let own = &mut stamps[at];
                (own.pts, own.dts) = (own.pts.map(|t| t + by), own.dts.map(|t| t + by));
                let found = timing.resolve(&stamps, None, None).unwrap();
                // A pause of a few seconds before the last picture may be one.
                if at == 5 && by == 300_000 {
                    continue;
                }
                let wanted = timing.clone().resolve(&group(21_600), None, None).unwrap();
                assert_eq!(pairs(&found), pairs(&wanted), "{at} by {by}");
                assert_eq!((before.strays, found.strays), (vec![], vec![at]));
            }
        }
    }

    #[test]
    fn a_jump_is_no_outlier() {
        let mut timing = Timing::default();
        let _ = timing.resolve(&group(0), None, None);
        for start in [900_000_000, 0, 5_000_000] {
            let found = timing.resolve(&group(start), None, None).unwrap();
            assert_eq!(found.strays, [0; 0]);
            assert_eq!(found.dues[0].pts, start + 3600);
        }
        // In the middle of a segment, near its end too.
        for at in 1..6 {
            let mut stamps = group(0);
            for (place, one) in stamps.iter_mut().enumerate().skip(at) {
                (one.pts, one.dts) = (
                    one.pts.map(|t| t + 9_000_000),
                    one.dts.map(|t| t + 9_000_000),
                );
                // Another encoder begins with a sequence of its own.
                one.order = Some((1, place as i64));
            }
            let found = Timing::default().resolve(&stamps, None, None).unwrap();
            assert_eq!(found.strays, [0; 0], "from {at}");
        }
    }

    #[test]
    fn where_no_dts_can_be_meant_they_are_made() {
        let stamps: Vec<_> = group(0)
            .into_iter()
            .map(|one| Stamp {
                dts: Some(90_000_000),
                ..one
            })
            .collect();
        let found = Timing::default().resolve(&stamps, None, None).unwrap();
        let pts: Vec<_> = found.dues.iter().map(|due| due.pts).collect();
        assert_eq!(pts, [3600, 10_800, 7200, 18_000, 14_400, 21_600]);
        assert!(found.dues.windows(2).all(|pair| pair[0].dts < pair[1].dts));
    }

    proptest::proptest! {
        /// However late decoding runs, and however pictures are reordered and parted into segments:
        /// they are shown when they should be, and decoded one after the other.
        #[test]
        fn presentation_is_exact_for_any_lateness(
            depth in 0usize..5,
            late in 0i64..100_000,
            ticks in proptest::sample::select(vec![1501i64, 3600, 3003, 90_000]),
            seeds in proptest::collection::vec(0u8..=255, 1..80),
            cuts in proptest::collection::vec(1usize..20, 1..6),
        ) {
            // Each picture is decoded at most `depth` places before it is shown.
            let mut held: Vec<i64> = Vec::new();
            let (mut order, mut next) = (Vec::new(), 0);
            for seed in seeds {
                while held.len() <= depth {
                    held.push(next);
                    next += 1;
                }
                // The one that is due longest must not be passed again and again.
                let at = if held[0] + (depth as i64) < next - 1 { 0 } else { usize::from(seed) % held.len() };
                order.push(held.remove(at));
            }
            let stamps: Vec<_> = (0..).zip(&order).map(|(n, &o): (i64, &i64)| {
                stamp(Some(900_000 + o * ticks), Some(900_000 + n * ticks + late), o)
            }).collect();
            let mut timing = Timing::default();
            let (mut rest, mut dues) = (stamps.as_slice(), Vec::new());
            for cut in cuts.into_iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (part, after) = rest.split_at(cut.min(rest.len()));
                let found = timing.resolve(part, None, None).unwrap();
                proptest::prop_assert_eq!(found.strays, vec![]);
                dues.extend(found.dues);
                rest = after;
            }
            for (due, o) in dues.iter().zip(&order) {
                proptest::prop_assert_eq!(due.pts, 900_000 + o * ticks);
            }
            proptest::prop_assert!(dues.windows(2).all(|pair| pair[0].dts < pair[1].dts), "{:?}", dues);
        }
    }
}
