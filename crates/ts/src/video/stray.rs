//! Timestamps that are not believed: strays far from those of their neighbours, and decoding times
//! that are out of order.

use clipmill_media::CLOCK_90K;

use super::believed::{Believed, JUMP};
use super::late::is_possible;

/// Decoding times of one line do not go back, and a picture that seems to by less than this is
/// left where it is.
const BACK: i64 = CLOCK_90K as i64 / 2;

/// So many pictures next to each other may be strays; more of them are a line of time of their own.
const TOGETHER: usize = 3;

/// More than any decoder holds back.
const REORDERED: i64 = 17;

/// How far times go back in a stream that is in order.
struct Reach {
    /// Less than this is nothing to speak of.
    back: i64,
    /// Where times are of presentation: by how much a picture may precede the one before it.
    reordered: i64,
}

/// Takes the timestamps from pictures that lie far from both of their neighbours, where those follow
/// each other: an isolated outlier is no discontinuity. Gives which they are.
///
/// `explicit` is whether there are decoding times, `before` when the picture before the first one was
/// decoded, and `ticks` how long a picture lasts.
pub(super) fn drop_strays(
    pictures: &mut [Believed],
    explicit: bool,
    before: Option<i64>,
    ticks: i64,
) -> Vec<usize> {
    let reordering = ticks.saturating_mul(REORDERED);
    let reach = Reach {
        back: if explicit { BACK } else { BACK.max(reordering) },
        reordered: if explicit { 0 } else { BACK.max(reordering) },
    };
    let apart = JUMP.max(reordering);
    // Undamaged input, in one pass.
    if is_steady(pictures, before, &reach) {
        return drop_far_presentation(pictures, apart);
    }
    let mut strays = Vec::new();
    let mut last = before;
    for at in 0..pictures.len() {
        let Some(time) = pictures.get(at).and_then(|picture| picture.dts) else {
            continue;
        };
        let stray = match last {
            Some(last) => is_stray(pictures, at, last, &reach),
            None => is_alone(pictures, at, &reach),
        };
        let Some(picture) = pictures.get_mut(at).filter(|_| stray) else {
            last = Some(time);
            continue;
        };
        strays.push(at);
        picture.dts = None;
        // Of the two the other one may be right.
        let held = reordering.max(BACK).unsigned_abs();
        let right = |pts: i64| last.is_some_and(|last| pts.abs_diff(last) <= held);
        picture.pts = picture.pts.filter(|&pts| pts != time && right(pts));
    }
    for at in drop_far_presentation(pictures, apart) {
        if !strays.contains(&at) {
            strays.push(at);
        }
    }
    strays
}

/// Whether no picture lies far from the one before it.
fn is_steady(pictures: &[Believed], before: Option<i64>, reach: &Reach) -> bool {
    let mut last = before;
    pictures
        .iter()
        .filter_map(|picture| picture.dts)
        .all(|time| {
            let step = last.map_or(0, |last| time.saturating_sub(last));
            last = Some(time);
            (reach.back.saturating_neg()..=JUMP).contains(&step)
        })
}

/// Whether the picture at `at` lies outside of the time between the one before it and one of the few
/// that come next.
fn is_stray(pictures: &[Believed], at: usize, last: i64, reach: &Reach) -> bool {
    let Some((before, [picture, rest @ ..])) = pictures.split_at_checked(at) else {
        return false;
    };
    let Some(time) = picture.dts else {
        return false;
    };
    let earliest = last.saturating_sub(reach.reordered);
    let near = |time: i64| (earliest..=last.saturating_add(JUMP)).contains(&time);
    let times = rest.iter().take(TOGETHER).filter_map(|next| next.dts);
    let mut returning = times.filter(|&next| near(next)).peekable();
    if returning.peek().is_some() {
        let early = time < last.saturating_sub(reach.back);
        return early || returning.any(|next| time > next.saturating_add(reach.back));
    }
    // The segment ends before the others come back. A new sequence is a new beginning.
    let same_sequence = before.last().is_some_and(|before| before.is_of(picture));
    let off = time < last.saturating_sub(reach.back) || time > last.saturating_add(JUMP);
    off && same_sequence && rest.len() < TOGETHER
}

/// Whether the first picture of all, which is at `at`, lies far from those behind it, which follow each
/// other.
fn is_alone(pictures: &[Believed], at: usize, reach: &Reach) -> bool {
    let Some([first, rest @ ..]) = pictures.get(at..) else {
        return false;
    };
    let mut times = rest.iter().filter_map(|next| next.dts);
    match (first.dts, times.next(), times.next()) {
        (Some(time), Some(next), Some(after)) => {
            let off = |next: i64| {
                time > next.saturating_add(reach.back) || time < next.saturating_sub(JUMP)
            };
            let same_sequence = rest.first().is_some_and(|next| next.is_of(first));
            let steady = next.abs_diff(after) <= JUMP.unsigned_abs();
            same_sequence && steady && off(next) && off(after)
        }
        _ => false,
    }
}

/// Takes presentation times that lie further from the decoding time than pictures are ever held back,
/// if they are few: where all do, it is how the stream is.
fn drop_far_presentation(pictures: &mut [Believed], apart: i64) -> Vec<usize> {
    let far = |picture: &Believed| {
        let both = picture.pts.zip(picture.dts);
        both.is_some_and(|(pts, dts)| pts.abs_diff(dts) > apart.unsigned_abs())
    };
    let places = pictures.iter().enumerate();
    let dropped: Vec<usize> = places
        .filter(|(_, one)| far(one))
        .map(|(at, _)| at)
        .collect();
    if dropped.len() > pictures.len() >> 2 {
        return Vec::new();
    }
    for &at in &dropped {
        if let Some(picture) = pictures.get_mut(at) {
            picture.pts = None;
        }
    }
    dropped
}

/// Takes decoding times that are behind the presentation and out of order as well: what was
/// put there by damage tells nothing of when other pictures are decoded.
pub(super) fn drop_disordered(pictures: &mut [Believed]) {
    let mut last: Option<i64> = None;
    for at in 0..pictures.len() {
        let Some((picture, rest)) = pictures
            .get_mut(at..)
            .and_then(|pictures| pictures.split_first_mut())
        else {
            break;
        };
        let Some(dts) = picture.dts else { continue };
        if let Some(late) = picture.late() {
            let next = rest.iter().find_map(|next| next.dts);
            let between = last.is_none_or(|last| dts > last) && next.is_none_or(|next| dts < next);
            if !between || !is_possible(late) {
                picture.dts = None;
                continue;
            }
        }
        last = Some(dts);
    }
}

/// The same for the last picture, which none follows that could tell: by how long those before it last,
/// where there are any.
pub(super) fn drop_disordered_last(pictures: &mut [Believed]) {
    let mut known = pictures
        .iter()
        .enumerate()
        .filter_map(|(at, picture)| Some((at, picture.dts?)));
    let (Some(first), Some(last)) = (known.next(), known.next_back()) else {
        return;
    };
    let Some(before) = known.next_back() else {
        return;
    };
    let time = |from: (usize, i64), to: (usize, i64)| to.1.saturating_sub(from.1);
    let steps = |from: (usize, i64), to: (usize, i64)| {
        i64::try_from(to.0.saturating_sub(from.0)).unwrap_or(i64::MAX)
    };
    // More than twice as long as usual, without a division.
    let longest = time(first, before)
        .saturating_mul(steps(before, last))
        .saturating_mul(2);
    let too_long = time(before, last).saturating_mul(steps(first, before)) > longest;
    if let Some(picture) = pictures.get_mut(last.0).filter(|_| too_long)
        && picture.late().is_some()
    {
        picture.dts = None;
    }
}
