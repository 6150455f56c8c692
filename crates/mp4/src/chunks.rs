//! Which samples lie together in a progressive file (ISO/IEC 14496-12, 8.7).

use crate::plan::TrackPlan;
use crate::{LayoutError, Run};

/// A chunk is closed once it lasts this many milliseconds.
const TARGET_MILLIS: u64 = 500;

/// Samples of one track that lie one behind the other: of one segment, with one configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Index of the track in the movie.
    pub(crate) track: usize,
    /// First sample, in the track.
    pub(crate) first: u32,
    /// How many samples.
    pub(crate) count: u32,
    pub(crate) config: u16,
    pub(crate) segment: u32,
    /// Which track of that segment.
    pub(crate) source_track: u32,
    /// The first sample, there.
    pub(crate) source_first: u32,
    /// Bytes.
    pub(crate) len: u64,
}

/// The chunks of all tracks in the order of the file: segment by segment, and inside a segment by
/// the time at which a player needs them.
pub(crate) fn interleave(tracks: &[TrackPlan<'_>]) -> Result<Vec<Chunk>, LayoutError> {
    let mut chunks = Vec::new();
    for track in tracks {
        track_chunks(track, &mut chunks)?;
    }
    // Both keys only grow within a track, so its chunks stay in order.
    chunks.sort_by_key(|&(time, chunk): &(i128, Chunk)| (chunk.segment, time));
    Ok(chunks.into_iter().map(|(_, chunk)| chunk).collect())
}

fn track_chunks(plan: &TrackPlan<'_>, chunks: &mut Vec<(i128, Chunk)>) -> Result<(), LayoutError> {
    let target = u64::from(plan.track.timescale)
        .saturating_mul(TARGET_MILLIS)
        .div_ceil(1000);
    let mut samples = plan.track.samples.iter();
    let mut first = 0u32;
    let mut time = plan.start;
    for run in &plan.track.runs {
        let mut open: Option<(u64, Chunk)> = None;
        for offset in 0..run.count {
            let sample = samples.next().ok_or(plan.error(RUNS_TOO_LONG))?;
            let full = open
                .is_some_and(|(lasting, chunk)| lasting >= target || chunk.config != sample.config);
            if full && let Some((_, chunk)) = open.take() {
                first = close(plan, chunk, chunks, &mut time)?;
            }
            let (lasting, chunk) = open.get_or_insert_with(|| {
                let source_first = run.first_sample.saturating_add(offset);
                let config = sample.config;
                (0, new_chunk(plan.index, run, first, source_first, config))
            });
            *lasting = lasting.saturating_add(sample.duration.into());
            chunk.count = chunk.count.saturating_add(1);
            chunk.len = chunk.len.saturating_add(sample.size.into());
        }
        if let Some((_, chunk)) = open {
            first = close(plan, chunk, chunks, &mut time)?;
        }
    }
    Ok(())
}

pub(crate) const RUNS_TOO_LONG: &str = "its runs hold more samples than it has";

fn new_chunk(track: usize, run: &Run, first: u32, source_first: u32, config: u16) -> Chunk {
    Chunk {
        track,
        first,
        count: 0,
        config,
        segment: run.segment,
        source_track: run.track,
        source_first,
        len: 0,
    }
}

/// Adds a chunk and gives the first sample after it; moves `time` there.
fn close(
    plan: &TrackPlan<'_>,
    chunk: Chunk,
    chunks: &mut Vec<(i128, Chunk)>,
    time: &mut u64,
) -> Result<u32, LayoutError> {
    chunks.push((plan.presented_at(*time), chunk));
    let next = chunk
        .first
        .checked_add(chunk.count)
        .ok_or(LayoutError::TooLarge {
            what: "a count of samples",
        })?;
    let samples = plan.samples(chunk.first..next);
    for sample in samples {
        *time = time.saturating_add(sample.duration.into());
    }
    Ok(next)
}
