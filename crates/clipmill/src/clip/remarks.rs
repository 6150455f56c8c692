//! What a clip has to say of its media.

use std::fmt;
use std::mem::discriminant;
use std::ops::RangeInclusive;

use clipmill_media::{CLOCK_90K, TrackKind};

use super::{by_coding, by_config};
use crate::cut::Selection;
use crate::timeline::{RemarkKind, Ticks, Timeline, to_ticks};

/// What there is to say of the segments that a clip uses besides what their indexes say, and whether
/// its tracks had to be put in step with each other.
pub(super) fn remarks(timeline: &Timeline, used: &RangeInclusive<usize>) -> (Vec<String>, bool) {
    let placed = timeline.segments();
    let mut warnings = Vec::new();
    let mut out_of_step = false;
    for remark in timeline.remarks() {
        let Some(at) = timeline.position(remark.segment) else {
            continue;
        };
        // A segment of which nothing is left belongs to the one before it.
        let before = placed.range(..=at);
        let at = at
            - before
                .rev()
                .take_while(|one| one.stretches.is_empty())
                .count()
                .min(at);
        if !used.contains(&at) {
            continue;
        }
        let segment = placed.iter().find(|s| s.number == remark.segment);
        let name = segment.map_or_else(String::new, |s| s.info.name());
        out_of_step |= remark.kind.is_damage();
        warnings.push(format!("{name}: {}", remark.kind));
    }
    (warnings, out_of_step)
}

/// Where a track goes on in another codec.
pub(super) fn changes(timeline: &Timeline, selection: &Selection, start: Ticks) -> Vec<String> {
    let mut changes = Vec::new();
    for chosen in &selection.tracks {
        if by_coding(timeline, chosen).len() < 2 {
            continue;
        }
        let parts = by_config(timeline, chosen);
        for ((_, before), (part, after)) in parts.iter().zip(parts.iter().skip(1)) {
            if discriminant(*before) == discriminant(*after) {
                continue;
            }
            let placed = &timeline.segments()[part.segment];
            let samples = placed.index.tracks[part.local].samples();
            let clock = placed.index.tracks[part.local].timing().clock();
            let own = samples.range(part.samples.clone());
            let first = own.iter().map(|sample| sample.pts() + part.shift).min();
            let at = first.map_or(0, |pts| to_ticks(pts, clock) - start).max(0);
            let (name, seconds) = (placed.info.name(), at as f64 / f64::from(CLOCK_90K));
            let (before, after) = (before.name(), after.name());
            changes.push(format!(
                "{name}: {before} changes to {after} at {seconds:.3} s of the clip: \
                 each codec is a track of its own"
            ));
        }
    }
    changes
}

/// Pictures that come before the first sync sample of a clip: what they refer to is not in it.
pub(super) fn without_sync(timeline: &Timeline, selection: &Selection) -> Vec<String> {
    let mut remarks = Vec::new();
    for (track, chosen) in timeline.tracks().iter().zip(&selection.tracks) {
        let Some(first) = chosen.first().filter(|_| track.kind == TrackKind::Video) else {
            continue;
        };
        let mut pictures = chosen.iter().flat_map(|part| {
            let samples = timeline.segments()[part.segment].index.tracks[part.local].samples();
            samples.range(part.samples.clone()).iter()
        });
        let which = match pictures.position(|sample| sample.random_access.is_sync()) {
            Some(0) => continue,
            Some(1) => "its first picture".to_owned(),
            Some(before) => format!("its first {before} pictures"),
            None => "its pictures".to_owned(),
        };
        let name = timeline.segments()[first.segment].info.name();
        remarks.push(format!(
            "{name}: the clip begins without a sync sample: players may show nothing of {which}"
        ));
    }
    remarks
}

fn named(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Video => "pictures",
        TrackKind::Audio => "sound",
        TrackKind::Text => "text",
    }
}

impl fmt::Display for RemarkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OtherClock { kind, behind } => {
                let what = named(kind);
                let by = behind.unsigned_abs() as f64 / f64::from(CLOCK_90K);
                let side = if behind < 0 { "ahead of" } else { "behind" };
                write!(
                    f,
                    "timestamps of {what} are {by:.3} s {side} those of the leading track: \
                     they share no clock, and are made to begin together"
                )
            }
            Self::Stray { kind, samples } => {
                let what = named(kind);
                write!(
                    f,
                    "stray timestamps of {what}; {samples} samples are where those around them imply"
                )
            }
            Self::Repeated { pictures, sounds } => {
                let counted = |count: u64, one: &str| match count {
                    1 => format!("1 {one}"),
                    _ => format!("{count} {one}s"),
                };
                let what = match (pictures, sounds) {
                    (_, 0) => counted(pictures, "picture"),
                    (0, _) => counted(sounds, "frame") + " of sound",
                    _ => {
                        counted(pictures, "picture")
                            + " and "
                            + &counted(sounds, "frame")
                            + " of sound"
                    }
                };
                write!(f, "{what} that were there already, byte for byte, left out")
            }
        }
    }
}
