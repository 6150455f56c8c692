//! What is on the line already: live playlists list a segment twice, or segments that overlap, without
//! a word. Each access unit is there once, so what repeats byte for byte at the same timestamps is
//! left out. Behind an `EXT-X-DISCONTINUITY` it is a loop that was meant, and stays.
//!
//! Nothing is compared unless timestamps do not simply go on.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use clipmill_media::{Sample, TrackKind, TrackTiming};

use super::{PushedSegment, Remark, RemarkKind, Runs, Ticks, Timeline, UnplacedStretch};
use crate::source::SegmentSource;
use crate::timeline::SegmentInfo;

/// Timestamps of sound are rounded: so far apart they may be the same.
const ROUNDED: i64 = 2;

/// The bytes of segments, to compare what may be the same.
pub(crate) struct Comparison<'a> {
    source: &'a dyn SegmentSource,
    /// Of the segments that are pushed; those that are missing are read.
    new: Vec<Option<Bytes>>,
    /// The last one on the line that was read, and its number.
    old: Option<(u64, Option<Bytes>)>,
    /// It could not be told, as nothing is known any more of where the samples lie that may be repeated.
    unsure: bool,
}

impl<'a> Comparison<'a> {
    /// One for segments that are pushed, of the first of which these are the bytes.
    pub(crate) fn new(source: &'a dyn SegmentSource, first: Option<Bytes>) -> Self {
        Self {
            source,
            new: vec![first],
            old: None,
            unsure: false,
        }
    }

    /// Whether it could not be told if something is repeated.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }
}

/// A sample on the line.
#[derive(Clone, Copy)]
struct PlacedSample {
    /// Position in the timeline's segments.
    segment: usize,
    local: usize,
    number: usize,
    sample: Sample,
}

impl Timeline {
    /// Takes what is on the line already out of the pieces that are to be placed.
    pub(super) fn leave_out_repeated(
        &mut self,
        runs: &mut [Runs],
        parts: &[PushedSegment],
        missing: Ticks,
        comparison: &mut Comparison<'_>,
    ) {
        let edge = self.latest_end();
        let mut left_out = [0; 2];
        for run in runs {
            let follows = run
                .next()
                .is_none_or(|piece| piece.first_dts + self.shift > self.tracks[run.track].last_dts);
            if run.pieces.len() == 1 && follows && self.fits(run, edge, missing) {
                continue;
            }
            let known = self.known_samples(run);
            if known.is_empty() {
                continue;
            }
            let track = &parts[run.part].index.tracks[run.local];
            let mut kept = Vec::new();
            for piece in &run.pieces {
                let mut begin = piece.samples.start;
                for number in piece.samples.clone() {
                    let same =
                        |place: PlacedSample| self.is_same(place, run, parts, number, comparison);
                    let found = track.samples().get(number);
                    let found = found.and_then(|sample| find(&known, track.timing(), sample));
                    if found.is_some_and(same) {
                        left_out[usize::from(track.kind() != TrackKind::Video)] += 1;
                        kept.push(begin..number);
                        begin = number + 1;
                    }
                }
                kept.push(begin..piece.samples.end);
            }
            kept.retain(|samples| !samples.is_empty());
            run.pieces = kept
                .into_iter()
                .map(|samples| {
                    let mut piece = UnplacedStretch::new(track, samples);
                    piece.move_by(run.offset);
                    piece
                })
                .collect();
        }
        if left_out != [0; 2] {
            let [pictures, sounds] = left_out;
            self.remarks.push(Remark {
                segment: self.pushed - parts.len() as u64,
                kind: RemarkKind::Repeated { pictures, sounds },
            });
        }
    }

    /// The samples of a track that may come again, by when they are presented as their segments say:
    /// those since the last tag that lie where the run does.
    fn known_samples(&self, run: &Runs) -> HashMap<i64, PlacedSample> {
        let mut known = HashMap::new();
        let wanted = run.pieces.iter().map(|piece| piece.own_pts);
        let wanted: Vec<Range<i64>> = wanted.map(|(a, b)| a - ROUNDED..b + ROUNDED + 1).collect();
        for (at, segment) in self.segments.iter().enumerate().rev() {
            for stretch in segment.stretches.iter().filter(|s| s.track == run.track) {
                let own = (stretch.pts.0 - stretch.shift, stretch.pts.1 - stretch.shift);
                let meets = |wanted: &Range<i64>| own.0 < wanted.end && own.1 >= wanted.start;
                if !wanted.iter().any(meets) {
                    continue;
                }
                let samples = segment.index.tracks[stretch.local].samples();
                let own = samples.range(stretch.samples.clone());
                for (number, sample) in stretch.samples.clone().zip(own) {
                    known.entry(sample.pts()).or_insert(PlacedSample {
                        segment: at,
                        local: stretch.local,
                        number,
                        sample,
                    });
                }
            }
            if segment.info.discontinuity {
                break;
            }
        }
        known
    }

    /// Whether a sample on the line and one that is to be placed have the same bytes.
    fn is_same(
        &self,
        place: PlacedSample,
        run: &Runs,
        parts: &[PushedSegment],
        number: usize,
        comparison: &mut Comparison<'_>,
    ) -> bool {
        let (old, part) = (&self.segments[place.segment], &parts[run.part]);
        if comparison
            .old
            .as_ref()
            .is_none_or(|(known, _)| *known != old.number)
        {
            let bytes = old.info.read(comparison.source).ok();
            comparison.old = Some((old.number, bytes));
        }
        if comparison.new.len() <= run.part {
            comparison.new.resize(run.part + 1, None);
        }
        let new = &mut comparison.new[run.part];
        if new.is_none() {
            *new = part.info.read(comparison.source).ok();
        }
        let (Some((_, Some(before))), Some(after)) = (&comparison.old, new) else {
            return false;
        };
        let own = &old.index.tracks[place.local];
        let (mut one, mut other) = (Vec::new(), Vec::new());
        if own
            .gather(before, place.number..place.number + 1, &mut one)
            .is_err()
            || one.len() != place.sample.size as usize
        {
            // What was written of it is no longer known.
            let same = is_same_place(&old.info, &part.info);
            comparison.unsure |= !same;
            return same;
        }
        let track = &part.index.tracks[run.local];
        track.gather(after, number..number + 1, &mut other).is_ok() && one == other
    }
}

/// The sample that is presented at the same time and as large.
fn find(
    known: &HashMap<i64, PlacedSample>,
    timing: TrackTiming,
    sample: Sample,
) -> Option<PlacedSample> {
    let slack = match timing {
        TrackTiming::Exact { .. } => 0,
        TrackTiming::Rounded { .. } => ROUNDED,
    };
    let times = (0..=slack).flat_map(|by| [sample.pts() - by, sample.pts() + by]);
    let mut found = times.filter_map(|pts| known.get(&pts));
    found
        .find(|place| place.sample.size == sample.size)
        .copied()
}

/// Whether both are the same bytes of the same resource.
fn is_same_place(one: &SegmentInfo, other: &SegmentInfo) -> bool {
    one.location == other.location && one.byte_range == other.byte_range
}
