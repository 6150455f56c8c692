//! A track that was checked, and what a look over all its samples told.

use std::ops::Range;
use std::sync::Arc;

use clipmill_media::{CodecConfig, Leading, RandomAccess, side_by_side};

use crate::{Edit, LayoutError, MOVIE_TIMESCALE, Movie, MovieSample, Track};

pub(crate) const RUNS_TOO_LONG: &str = "its runs hold more samples than it has";

/// A track of a movie that will be written.
#[derive(Debug, Clone)]
pub(crate) struct TrackPlan<'a> {
    /// Index of the track in the movie.
    pub(crate) index: usize,
    /// `track_ID`: counts from 1.
    pub(crate) id: u32,
    pub(crate) track: &'a Track,
    /// Decode time of the first sample.
    pub(crate) start: u64,
    pub(crate) facts: Facts,
}

/// Whether decoders must be told that coding restarts with a sample.
pub(crate) fn is_restart(track: &Track, sample: u32) -> bool {
    let is_h265 = |config: &Arc<CodecConfig>| matches!(**config, CodecConfig::H265(_));
    track.restarts.binary_search(&sample).is_ok() && track.configs.iter().any(is_h265)
}

/// What a look over all samples of a track tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Sum of the durations, in the track's timescale.
    pub(crate) duration: u64,
    /// Sum of the sizes in bytes.
    pub(crate) bytes: u64,
    pub(crate) all_sync: bool,
    pub(crate) any_open: bool,
    pub(crate) any_gradual: bool,
    pub(crate) any_leading: bool,
    pub(crate) any_offset: bool,
    pub(crate) any_negative_offset: bool,
    /// The greatest number of a configuration.
    pub(crate) last_config: u16,
    /// The size of every sample, where they are all the same.
    pub(crate) equal_size: Option<u32>,
    /// The duration of every sample, where they are all the same.
    pub(crate) equal_duration: Option<u32>,
    /// The shortest duration but 0.
    pub(crate) shortest: Option<u32>,
}

impl Facts {
    /// Sums, least and greatest values alone: what they tell is worked out once, not for each
    /// sample.
    pub(crate) fn of(samples: &[MovieSample]) -> Self {
        let (mut duration, mut bytes, mut last_config) = (0u64, 0u64, 0u16);
        let mut sizes = (u32::MAX, 0u32);
        let mut durations = (u32::MAX, 0u32);
        let mut offsets = (0i32, 0i32);
        // The least of the durations less one, of which 0 makes the greatest.
        let mut shortest = u32::MAX;
        let (mut syncs, mut open, mut gradual, mut leading) = (0u32, 0u32, 0u32, 0u32);
        for sample in samples {
            // Below 2^32 samples of less than 2^32 each: no sum can pass 64 bits.
            duration = duration.wrapping_add(sample.duration.into());
            bytes = bytes.wrapping_add(sample.size.into());
            last_config = last_config.max(sample.config);
            sizes = (sizes.0.min(sample.size), sizes.1.max(sample.size));
            durations = (
                durations.0.min(sample.duration),
                durations.1.max(sample.duration),
            );
            shortest = shortest.min(sample.duration.wrapping_sub(1));
            let offset = sample.composition_offset;
            offsets = (offsets.0.min(offset), offsets.1.max(offset));
            syncs = syncs.wrapping_add(sample.random_access.is_sync().into());
            open |= u32::from(sample.random_access == RandomAccess::Open);
            gradual |= u32::from(matches!(sample.random_access, RandomAccess::Gradual(_)));
            leading |= u32::from(sample.leading != Leading::No);
        }
        let equal = |range: (u32, u32)| (range.0 == range.1).then_some(range.0);
        Self {
            duration,
            bytes,
            all_sync: syncs as usize == samples.len(),
            any_open: open != 0,
            any_gradual: gradual != 0,
            any_leading: leading != 0,
            any_offset: offsets != (0, 0),
            any_negative_offset: offsets.0 < 0,
            last_config,
            equal_size: equal(sizes),
            equal_duration: equal(durations),
            shortest: shortest.checked_add(1),
        }
    }
}

/// The identifiers of tracks, in their order.
pub(crate) fn identifiers<'a>(
    tracks: impl Iterator<Item = (usize, &'a Track)>,
) -> Result<Vec<u32>, LayoutError> {
    let mut taken: Vec<u32> = Vec::new();
    for (index, track) in tracks {
        let error = |what| LayoutError::Track { track: index, what };
        let greatest = taken.iter().copied().max().unwrap_or_default();
        let id = match track.id {
            Some(id) => id,
            None => greatest
                .checked_add(1)
                .ok_or_else(|| error("no identifier is left for it"))?,
        };
        if id == 0 || taken.contains(&id) {
            return Err(error("its identifier is zero, or another track's"));
        }
        taken.push(id);
    }
    Ok(taken)
}

/// The tracks of `movie` that have samples, checked.
pub(crate) fn tracks_with_samples(
    movie: &Movie,
    fragmented: bool,
) -> Result<Vec<TrackPlan<'_>>, LayoutError> {
    let all = movie.tracks.iter().enumerate();
    let tracks: Vec<_> = all.filter(|(_, track)| !track.samples.is_empty()).collect();
    let checked = |(index, track): &(usize, &Track)| {
        check_head(*index, track)?;
        let facts = Facts::of(&track.samples);
        check_samples(*index, track, &facts)?;
        Ok(facts)
    };
    let facts = side_by_side(&tracks, |(_, track)| track.samples.len(), checked);
    let ids = identifiers(tracks.iter().copied())?;
    let mut plans = Vec::with_capacity(tracks.len());
    for ((id, (index, track)), facts) in ids.into_iter().zip(tracks).zip(facts) {
        plans.push(TrackPlan {
            index,
            id,
            track,
            start: if fragmented { track.start } else { 0 },
            facts: facts?,
        });
    }
    if plans.is_empty() {
        return Err(LayoutError::Empty);
    }
    Ok(plans)
}

/// Whether a track can be described at all.
pub(crate) fn check_head(index: usize, track: &Track) -> Result<(), LayoutError> {
    let error = |what| Err(LayoutError::Track { track: index, what });
    if track.timescale == 0 {
        return error("its timescale is zero");
    }
    if track.configs.is_empty() {
        return error("it has no codec configuration");
    }
    if track.configs.len() > usize::from(u16::MAX) {
        return error("it has too many codec configurations");
    }
    if track.configs.iter().any(|c| c.kind() != track.kind) {
        return error("a codec configuration is of the other kind");
    }
    Ok(())
}

fn check_samples(index: usize, track: &Track, facts: &Facts) -> Result<(), LayoutError> {
    let error = |what| Err(LayoutError::Track { track: index, what });
    if u32::try_from(track.samples.len()).is_err() {
        return error("it has more than 2^32 samples");
    }
    if usize::from(facts.last_config) >= track.configs.len() {
        return error("a sample's configuration does not exist");
    }
    check_runs(index, track.samples.len(), &track.runs)
}

/// Whether `runs` cover `samples` samples, their segments in order.
pub(crate) fn check_runs(
    index: usize,
    samples: usize,
    runs: &[crate::Run],
) -> Result<(), LayoutError> {
    let error = |what| Err(LayoutError::Track { track: index, what });
    let mut covered = 0u64;
    let mut segment = 0;
    for run in runs {
        if run.segment < segment {
            return error("its segments go backwards");
        }
        segment = run.segment;
        if run.first_sample.checked_add(run.count).is_none() {
            return error("a run reaches past the last sample that can be numbered");
        }
        covered = covered.saturating_add(run.count.into());
    }
    match covered.cmp(&(samples as u64)) {
        std::cmp::Ordering::Less => error("its runs hold fewer samples than it has"),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => error(RUNS_TOO_LONG),
    }
}

impl<'a> TrackPlan<'a> {
    /// The samples in `range`.
    pub(crate) fn samples(&self, range: Range<u32>) -> &'a [MovieSample] {
        slice(&self.track.samples, range)
    }

    /// When media time `time` is presented, in nanoseconds: the edit list applied.
    pub(crate) fn presented_at(&self, time: u64) -> i128 {
        presented_at(time, self.track.timescale, &self.track.edits)
    }

    /// The first media time that is presented at or after `time` nanoseconds.
    pub(crate) fn decoded_at(&self, time: i128) -> i128 {
        let media = time.saturating_sub(shift(&self.track.edits, self.track.timescale, nanos));
        let ticks = media.saturating_mul(self.track.timescale.into());
        // Rounded up; what is negative only has to be no more than zero.
        ticks
            .saturating_add(NANOS.saturating_sub(1))
            .div_euclid(NANOS)
    }

    /// What the edit list adds to a composition time, in the track's timescale.
    pub(crate) fn presentation_shift(&self) -> i128 {
        let own = self.track.timescale;
        shift(&self.track.edits, own, |ticks, timescale| {
            i128::from(ticks)
                .saturating_mul(own.into())
                .checked_div(i128::from(timescale))
                .unwrap_or_default()
        })
    }

    /// How long the track is presented, in ticks of [`MOVIE_TIMESCALE`]: its edits, or its media
    /// where it has none.
    pub(crate) fn presentation_duration(&self) -> Result<u64, LayoutError> {
        let too_large = LayoutError::TooLarge {
            what: "a track's duration",
        };
        if self.track.edits.is_empty() {
            return movie_ticks(self.facts.duration, self.track.timescale).ok_or(too_large);
        }
        self.track
            .edits
            .iter()
            .try_fold(0u64, |sum, edit| sum.checked_add(edit.duration))
            .ok_or(too_large)
    }

    /// Whether the track is Opus, which needs a pre-roll.
    pub(crate) fn is_opus(&self) -> bool {
        let first = self.track.configs.first();
        matches!(first.map(|c| &**c), Some(CodecConfig::Opus(_)))
    }
}

const NANOS: i128 = 1_000_000_000;

/// When media time `time` is presented, in nanoseconds.
pub(crate) fn presented_at(time: u64, timescale: u32, edits: &[Edit]) -> i128 {
    nanos(time, timescale).saturating_add(shift(edits, timescale, nanos))
}

/// What an edit list adds up to its first edit that shows media, in the unit that `scale` makes of
/// ticks of a timescale.
fn shift(edits: &[Edit], timescale: u32, scale: impl Fn(u64, u32) -> i128) -> i128 {
    let mut shift = 0i128;
    for edit in edits {
        match edit.media_time {
            None => shift = shift.saturating_add(scale(edit.duration, MOVIE_TIMESCALE)),
            Some(begin) => return shift.saturating_sub(scale(begin, timescale)),
        }
    }
    shift
}

/// Ticks in nanoseconds.
fn nanos(ticks: u64, timescale: u32) -> i128 {
    i128::from(ticks)
        .saturating_mul(NANOS)
        .checked_div(i128::from(timescale))
        .unwrap_or_default()
}

/// Ticks of a track in ticks of the movie, rounded up so that nothing is cut off.
pub(crate) fn movie_ticks(ticks: u64, timescale: u32) -> Option<u64> {
    let scaled = u128::from(ticks).checked_mul(MOVIE_TIMESCALE.into())?;
    if timescale == 0 {
        return None;
    }
    u64::try_from(scaled.div_ceil(timescale.into())).ok()
}

/// The part of `samples` at `range`, or what of it exists.
pub(crate) fn slice(samples: &[MovieSample], range: Range<u32>) -> &[MovieSample] {
    let end = (range.end as usize).min(samples.len());
    samples.get(range.start as usize..end).unwrap_or_default()
}
