//! Stretches of samples that do not jump.

use std::ops::Range;

use clipmill_media::{CLOCK_90K, Sample, Samples, TrackIndex, TrackKind, TrackTiming};

use super::{EXPLAINED, JUMP_FORWARD, OVERLAP, Ticks, to_ticks};

/// The stretches of one track of one segment that are still to be placed.
pub(super) struct Runs {
    pub(super) track: usize,
    /// Which of the segments that are pushed together.
    pub(super) part: usize,
    pub(super) local: usize,
    pub(super) pieces: Vec<UnplacedStretch>,
    pub(super) at: usize,
    /// What its timestamps were moved by.
    pub(super) offset: Ticks,
}

/// Where the earliest of the next pieces begins, without any shift.
pub(super) fn first_head(runs: &[Runs]) -> Option<Ticks> {
    let heads = runs.iter().filter_map(Runs::next);
    heads.map(|piece| piece.first_pts).min()
}

impl Runs {
    pub(super) fn next(&self) -> Option<&UnplacedStretch> {
        self.pieces.get(self.at)
    }
}

/// Consecutive samples without a jump; times in ticks, without any shift.
#[derive(Clone)]
pub(super) struct UnplacedStretch {
    pub(super) samples: Range<usize>,
    pub(super) first_dts: Ticks,
    /// Least presentation timestamp: with B-frames not that of the first sample.
    pub(super) first_pts: Ticks,
    pub(super) last_dts: Ticks,
    /// Greatest presentation timestamp.
    pub(super) last_pts: Ticks,
    /// Both in the track's own clock.
    pub(super) own_pts: (i64, i64),
    pub(super) last_duration: Option<Ticks>,
    /// What its times were moved by, alone.
    pub(super) stray: Ticks,
}

/// The samples of a track, parted where its own timestamps jump. They don't where all of them together last
/// as long as the playlist says that the segment does, its `duration`: then media is missing.
pub(super) fn pieces(track: &TrackIndex, duration: Ticks) -> Vec<UnplacedStretch> {
    let clock = track.timing().clock();
    let samples = track.samples();
    let edges = samples.first().zip(samples.last());
    let length = edges.map_or(0, |(first, last)| to_ticks(last.dts - first.dts, clock));
    let forward = match (0..duration + EXPLAINED).contains(&length) {
        true => JUMP_FORWARD.max(duration),
        false => JUMP_FORWARD,
    };
    let mut pieces = Vec::new();
    let mut start = 0;
    let pairs = samples.iter().zip(samples.iter().skip(1));
    for (at, (a, b)) in pairs.enumerate() {
        let step = to_ticks(b.dts - a.dts, clock);
        // Sound that goes back is a stretch of its own, however little it does: what a window takes
        // of a stretch must be in one piece.
        let back = match track.kind() {
            TrackKind::Video => -OVERLAP,
            TrackKind::Audio | TrackKind::Text => 0,
        };
        if !(back..=forward).contains(&step) {
            pieces.push(UnplacedStretch::new(track, start..at + 1));
            start = at + 1;
        }
    }
    pieces.push(UnplacedStretch::new(track, start..samples.len()));
    pieces
}

impl UnplacedStretch {
    pub(super) fn move_by(&mut self, offset: Ticks) {
        for time in [
            &mut self.first_dts,
            &mut self.first_pts,
            &mut self.last_dts,
            &mut self.last_pts,
        ] {
            *time += offset;
        }
    }

    pub(super) fn new(track: &TrackIndex, samples: Range<usize>) -> Self {
        let clock = track.timing().clock();
        let own = track.samples().range(samples.clone());
        let dts = |sample: Option<Sample>| sample.map_or(0, |s| to_ticks(s.dts, clock));
        let pts = own.iter().map(|sample| sample.pts());
        let own_pts = pts.fold((i64::MAX, i64::MIN), |(least, greatest), pts| {
            (least.min(pts), greatest.max(pts))
        });
        let own_pts = if own.is_empty() { (0, 0) } else { own_pts };
        Self {
            samples,
            first_dts: dts(own.first()),
            first_pts: to_ticks(own_pts.0, clock),
            last_dts: dts(own.last()),
            last_pts: to_ticks(own_pts.1, clock),
            own_pts,
            last_duration: last_duration(track, own),
            stray: 0,
        }
    }
}

/// How long the last sample lasts: what it says, else as long as the samples before it did.
pub(super) fn last_duration(track: &TrackIndex, samples: Samples<'_>) -> Option<Ticks> {
    let last = samples.last()?;
    let clock = track.timing().clock();
    if last.duration > 0 {
        let config = track.configs().get(usize::from(last.config));
        let unit = match track.timing() {
            TrackTiming::Exact { timescale } => timescale,
            TrackTiming::Rounded { .. } => config.and_then(|c| c.sample_rate())?,
        };
        return Some(to_ticks(i64::from(last.duration), unit));
    }
    let before = samples.len().checked_sub(2).and_then(|at| samples.get(at));
    let Some(before) = before else {
        let rate = track.configs().first()?.video()?.frame_rate?;
        return Some(i64::from(CLOCK_90K) * i64::from(rate.den) / i64::from(rate.num.max(1)));
    };
    Some(to_ticks(last.dts - before.dts, clock).max(1))
}
