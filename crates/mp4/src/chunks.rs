//! Which samples lie together in a progressive file (ISO/IEC 14496-12, 8.7).

use clipmill_media::side_by_side;

use crate::plan::{self, TrackPlan};
use crate::{Edit, LayoutError, MediaSpan, MovieSample, Run};

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
    let samples = |plan: &TrackPlan<'_>| plan.track.samples.len();
    let made: Result<Vec<_>, _> = side_by_side(tracks, samples, track_chunks)
        .into_iter()
        .collect();
    let mut chunks = made?.concat();
    // Both keys only grow within a track, so its chunks stay in order.
    chunks.sort_by_key(|&(time, chunk): &(i128, Chunk)| (chunk.segment, time));
    Ok(chunks.into_iter().map(|(_, chunk)| chunk).collect())
}

/// What one track has in one segment.
#[derive(Debug, Clone, Copy)]
pub struct SegmentPart<'a> {
    /// Ticks per second of the durations. Never zero.
    pub timescale: u32,
    /// The track's edit list; how long its last edit lasts is of no consequence.
    pub edits: &'a [Edit],
    /// Decode time of the first of the samples.
    pub start: u64,
    /// The samples; how long the last one lasts is of no consequence.
    pub samples: &'a [MovieSample],
    /// Where they lie: runs of the one segment.
    pub runs: &'a [Run],
}

/// The media of one segment in the order in which [`Layout::progressive`](crate::Layout) has it,
/// `parts` being in the order of the movie's tracks. It depends on nothing that comes behind the
/// segment, so a file can be written while its segments are read.
///
/// # Errors
/// When runs and samples contradict each other.
pub fn segment_spans(parts: &[SegmentPart<'_>]) -> Result<Vec<MediaSpan>, LayoutError> {
    let mut chunks = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let mut walk = Walk {
            index,
            timescale: part.timescale,
            edits: part.edits,
            samples: part.samples,
            first: 0,
            time: part.start,
        };
        for run in part.runs {
            walk.run(run, &mut chunks)?;
        }
    }
    chunks.sort_by_key(|&(time, _)| time);
    let spans = chunks.into_iter().map(|(_, chunk)| MediaSpan {
        segment: chunk.segment,
        track: chunk.source_track,
        samples: chunk.source_first..chunk.source_first.saturating_add(chunk.count),
        restart: false,
        skip: 0,
        len: chunk.len,
    });
    Ok(spans.collect())
}

fn track_chunks(plan: &TrackPlan<'_>) -> Result<Vec<(i128, Chunk)>, LayoutError> {
    let mut walk = Walk {
        index: plan.index,
        timescale: plan.track.timescale,
        edits: &plan.track.edits,
        samples: &plan.track.samples,
        first: 0,
        time: plan.start,
    };
    let mut chunks = Vec::new();
    for run in &plan.track.runs {
        walk.run(run, &mut chunks)?;
    }
    Ok(chunks)
}

/// Cuts the samples of a track into chunks, run by run.
struct Walk<'a> {
    index: usize,
    timescale: u32,
    edits: &'a [Edit],
    /// Those that no chunk holds yet.
    samples: &'a [MovieSample],
    /// The number of the first of them.
    first: u32,
    /// Its decode time.
    time: u64,
}

impl Walk<'_> {
    fn run(&mut self, run: &Run, chunks: &mut Vec<(i128, Chunk)>) -> Result<(), LayoutError> {
        let too_long = LayoutError::Track {
            track: self.index,
            what: plan::RUNS_TOO_LONG,
        };
        let count = run.count as usize;
        let (mut own, rest) = self.samples.split_at_checked(count).ok_or(too_long)?;
        self.samples = rest;
        let target = u64::from(self.timescale)
            .saturating_mul(TARGET_MILLIS)
            .div_ceil(1000);
        let mut source_first = run.first_sample;
        while let Some(first) = own.first() {
            let (mut lasting, mut len, mut count) = (0u64, 0u64, 0u32);
            for sample in own {
                if lasting >= target || sample.config != first.config {
                    break;
                }
                lasting = lasting.saturating_add(sample.duration.into());
                len = len.saturating_add(sample.size.into());
                count = count.saturating_add(1);
            }
            let shown = plan::presented_at(self.time, self.timescale, self.edits);
            let chunk = Chunk {
                track: self.index,
                first: self.first,
                count,
                config: first.config,
                segment: run.segment,
                source_track: run.track,
                source_first,
                len,
            };
            chunks.push((shown, chunk));
            own = own.get(count as usize..).unwrap_or_default();
            source_first = source_first.saturating_add(count);
            self.time = self.time.saturating_add(lasting);
            self.first = self.first.checked_add(count).ok_or(LayoutError::TooLarge {
                what: "a count of samples",
            })?;
        }
        Ok(())
    }
}
