//! Timestamps of the access units of one segment (ISO/IEC 13818-1, 2.4.3.7 and 2.7.5): a PES
//! header has those of the first access unit that begins in it, the others follow from the frame
//! rate and from output order.

use clipmill_media::{CLOCK_90K, Rational};

/// Further apart than this, two timestamps are of two timelines.
const JUMP: i64 = 10 * CLOCK_90K as i64;

/// What is known of the time of one picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) pts: Option<i64>,
    /// Absent where it equals `pts`, or is not known either.
    pub(super) dts: Option<i64>,
    /// Coded video sequence, and place in its output order.
    pub(super) order: Option<(u32, i64)>,
}

impl Stamp {
    /// When it is to be decoded. A DTS behind the PTS is none: 2.4.3.7 has the decoder present a
    /// picture when it is decoded at the earliest.
    fn decoded(&self) -> Option<i64> {
        match (self.dts, self.pts) {
            (Some(dts), Some(pts)) if dts > pts => None,
            (dts, pts) => dts.or(pts),
        }
    }
}

/// When a picture is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) pts: i64,
    pub(super) dts: i64,
}

/// Makes [`Due`]s of [`Stamp`]s; what it learns in one segment serves in the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Timing {
    /// Ticks from one picture to the next, as seen.
    seen_ticks: Option<i64>,
    /// By how many pictures decoding is ahead of output in a stream that has no DTS and
    /// needs them.
    shift: Option<usize>,
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
    ) -> Option<Vec<Due>> {
        if stamps.iter().all(|stamp| stamp.pts.or(stamp.dts).is_none()) {
            return None;
        }
        if let Some(ticks) = median_step(stamps) {
            self.seen_ticks = Some(ticks);
        }
        let ticks = self.frame_ticks(frame_rate);
        if stamps.iter().any(|stamp| stamp.dts.is_some()) {
            self.shift = None;
        } else if self.shift.is_some() || is_reordered(stamps) {
            return Some(self.shifted(stamps, ticks, reorder_depth));
        }
        let decoding: Vec<_> = stamps.iter().map(Stamp::decoded).collect();
        let dts = fill_evenly(&decoding, ticks);
        let pts = fill_by_order(stamps, &dts, ticks);
        Some(
            pts.into_iter()
                .zip(dts)
                .zip(stamps)
                .map(|((pts, dts), stamp)| match stamp.decoded() {
                    // What was put between its neighbours must not pass the PTS either.
                    None if stamp.pts.is_some() => Due {
                        pts,
                        dts: dts.min(pts),
                    },
                    _ => Due { pts, dts },
                })
                .collect(),
        )
    }

    /// The headers' frame rate, unless what was seen contradicts it.
    fn frame_ticks(&self, frame_rate: Option<Rational>) -> i64 {
        let stated = frame_rate.and_then(|rate| {
            let ticks = i64::from(CLOCK_90K).checked_mul(i64::from(rate.den))?;
            ticks.checked_div(i64::from(rate.num))
        });
        let stated = stated.filter(|&ticks| ticks > 0 && ticks < JUMP);
        match (stated, self.seen_ticks) {
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
    fn shifted(&mut self, stamps: &[Stamp], ticks: i64, reorder_depth: Option<u8>) -> Vec<Due> {
        let known: Vec<_> = stamps.iter().map(|s| s.pts).collect();
        let roughly = fill_evenly(&known, ticks);
        let pts = fill_by_order(stamps, &roughly, ticks);
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
fn median_step(stamps: &[Stamp]) -> Option<i64> {
    let explicit = stamps.iter().any(|stamp| stamp.dts.is_some());
    let reordered = !explicit && is_reordered(stamps);
    let mut times: Vec<Option<i64>> = stamps.iter().map(Stamp::decoded).collect();
    if reordered {
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
fn is_reordered(stamps: &[Stamp]) -> bool {
    let mut last: Option<i64> = None;
    for pts in stamps.iter().filter_map(|stamp| stamp.pts) {
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
fn fill_by_order(stamps: &[Stamp], dts: &[i64], ticks: i64) -> Vec<i64> {
    let mut pts: Vec<Option<i64>> = stamps.iter().map(|stamp| stamp.pts).collect();
    let mut rest = stamps;
    let mut begin = 0usize;
    while let Some(first) = rest.first() {
        let sequence = first.order.map(|(sequence, _)| sequence);
        let len = rest
            .iter()
            .position(|stamp| stamp.order.map(|(sequence, _)| sequence) != sequence)
            .unwrap_or(rest.len());
        let end = begin.saturating_add(len);
        let (stamps, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        if let (Some(pts), Some(dts)) = (pts.get_mut(begin..end), dts.get(begin..end))
            && sequence.is_some()
            && pts.iter().any(Option::is_none)
        {
            fill_sequence(stamps, dts, pts, ticks);
        }
        begin = end;
        rest = after;
    }
    pts.into_iter()
        .zip(dts)
        .map(|(pts, &dts)| pts.unwrap_or(dts))
        .collect()
}

/// The pictures of one coded video sequence.
fn fill_sequence(stamps: &[Stamp], dts: &[i64], pts: &mut [Option<i64>], ticks: i64) {
    let orders: Vec<i64> = stamps
        .iter()
        .map(|stamp| stamp.order.map_or(0, |(_, order)| order))
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

    fn pairs(dues: &[Due]) -> Vec<(i64, i64)> {
        dues.iter().map(|due| (due.pts, due.dts)).collect()
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
        let dts: Vec<i64> = dues.iter().map(|due| due.dts).collect();
        assert_eq!(dts, [-3600, 0, 3600, 7200, 10800, 14400, 18000]);
        assert!(dues.iter().all(|due| due.pts >= due.dts));
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
}
