//! Subtitles as a track of a clip (ISO/IEC 14496-30, 7).

use std::collections::BTreeSet;
use std::sync::Arc;

use clipmill_media::{
    CodecConfig, Cue, Leading, LimitExceeded, Limits, RandomAccess, Sample, TrackBuilder,
    TrackIndex, TrackKind, TrackTiming, WebVttConfig,
};
use clipmill_mp4::{MovieSample, Run, Track, webvtt_sample};

use super::{Clip, TrackSummary};
use crate::subtitles::{MILLISECOND, Subtitles, from_ms};
use crate::timeline::Ticks;

impl Clip {
    /// Adds subtitles as a track. Its samples lie with the segments of the pictures in whose time
    /// they begin, of which `begins` says where on the line, in the order of the clip's segments.
    pub(crate) fn add_subtitles(
        &mut self,
        subtitles: &Subtitles,
        begins: &[Option<Ticks>],
        limits: &Limits,
    ) -> Result<(), LimitExceeded> {
        let config = Arc::new(CodecConfig::WebVtt(WebVttConfig {
            header: subtitles.header.clone(),
        }));
        let id = u32::try_from(self.movie.tracks.len()).unwrap_or(u32::MAX) + 1;
        let mut track = Track {
            id: None,
            kind: TrackKind::Text,
            timescale: clipmill_media::CLOCK_90K,
            language: subtitles.language,
            name: Some(subtitles.name.clone()),
            enabled: subtitles.default,
            configs: vec![Arc::clone(&config)],
            edits: Vec::new(),
            samples: Vec::new(),
            runs: Vec::new(),
            restarts: Vec::new(),
            start: 0,
        };
        let length = self.end - self.start;
        let mut pieces = pieces(&subtitles.cues, length).into_iter().peekable();
        let mut at: Ticks = 0;
        for (number, _) in begins.iter().enumerate() {
            let later = begins.get(number + 1..).unwrap_or_default();
            let next = later.iter().flatten().next();
            let until = next.map_or(Ticks::MAX, |next| next - self.start);
            let mut builder = None;
            while let Some((duration, bytes)) = pieces.next_if(|_| at < until) {
                let builder = match &mut builder {
                    Some(builder) => builder,
                    None => builder.insert(text_track(id, limits)?),
                };
                let position = builder.position();
                builder.push_literal(&bytes)?;
                builder.push_unit(position..builder.position())?;
                let sample = Sample {
                    dts: at,
                    composition_offset: 0,
                    duration,
                    size: 0,
                    config: builder.config(&config)?,
                    random_access: RandomAccess::Closed,
                    leading: Leading::No,
                };
                builder.push_sample(sample)?;
                track.samples.push(MovieSample {
                    size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                    duration,
                    composition_offset: 0,
                    config: 0,
                    random_access: RandomAccess::Closed,
                    leading: Leading::No,
                });
                at += Ticks::from(duration);
            }
            if let Some(builder) = builder {
                self.put_beside(number, builder.finish(), &mut track.runs);
            }
        }
        self.tracks.push(TrackSummary {
            id,
            kind: TrackKind::Text,
            config,
            samples: track.samples.len() as u64,
            sync_samples: track.samples.len() as u64,
            duration_ms: u64::try_from(length / MILLISECOND).unwrap_or_default(),
            frame_rate: None,
            language: subtitles.language,
            source_id: 0,
            captions: false,
            bytes: track.samples.iter().map(|s| u64::from(s.size)).sum(),
            first_pts: self.start,
            last_pts: self.start + at,
        });
        Arc::make_mut(&mut self.movie).tracks.push(track);
        Ok(())
    }

    fn put_beside(&mut self, number: usize, track: TrackIndex, runs: &mut Vec<Run>) {
        let Some(segment) = self.segments.get_mut(number) else {
            return;
        };
        let mut index = segment.index.as_ref().clone();
        runs.push(Run {
            segment: u32::try_from(number).unwrap_or(u32::MAX),
            track: u32::try_from(index.tracks.len()).unwrap_or(u32::MAX),
            first_sample: 0,
            count: u32::try_from(track.samples().len()).unwrap_or(u32::MAX),
        });
        index.tracks.push(track);
        segment.index = Arc::new(index);
    }
}

fn text_track(id: u32, limits: &Limits) -> Result<TrackBuilder, LimitExceeded> {
    let timing = TrackTiming::Exact {
        timescale: clipmill_media::CLOCK_90K,
    };
    // Nothing of it lies in the segment itself.
    TrackBuilder::new(id, TrackKind::Text, timing, 0, 188, false, limits)
}

/// The samples of a track of this length: for each stretch in which the same cues are shown, how
/// long it is, and what is shown.
fn pieces(cues: &[Cue], length: Ticks) -> Vec<(u32, Vec<u8>)> {
    let mut edges: BTreeSet<Ticks> = [0, length].into();
    for cue in cues {
        edges.extend([from_ms(cue.start_ms), from_ms(cue.end_ms)]);
    }
    let edges: Vec<_> = edges.into_iter().filter(|edge| *edge <= length).collect();
    let mut pieces = Vec::new();
    // Cues that may be shown still, by their number.
    let mut next = 0;
    let mut open: Vec<usize> = Vec::new();
    for pair in edges.windows(2) {
        let &[from, to] = pair else { continue };
        while cues
            .get(next)
            .is_some_and(|cue| from_ms(cue.start_ms) <= from)
        {
            open.push(next);
            next += 1;
        }
        open.retain(|&number| from_ms(cues[number].end_ms) > from);
        let shown = open.iter().map(|&number| {
            let cue = &cues[number];
            let whole = from_ms(cue.start_ms) == from && from_ms(cue.end_ms) == to;
            let source = u32::try_from(number).unwrap_or(u32::MAX);
            (cue, (!whole).then_some(source))
        });
        let mut left = to - from;
        let bytes = webvtt_sample(shown);
        while left > 0 {
            let duration = u32::try_from(left).unwrap_or(u32::MAX);
            pieces.push((duration, bytes.clone()));
            left -= Ticks::from(duration);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cue;

    #[test]
    fn every_moment_has_its_sample() {
        let cues = [cue(100, 300, "a"), cue(200, 400, "b"), cue(500, 600, "c")];
        let pieces = pieces(&cues, 1000 * MILLISECOND);
        let lengths: Vec<_> = pieces.iter().map(|piece| piece.0 / 90).collect();
        assert_eq!(lengths, [100, 100, 100, 100, 100, 100, 400]);
        let count = |bytes: &[u8], kind: &[u8]| bytes.windows(4).filter(|at| *at == kind).count();
        let shown: Vec<_> = pieces
            .iter()
            .map(|piece| count(&piece.1, b"vttc"))
            .collect();
        assert_eq!(shown, [0, 1, 2, 1, 0, 1, 0]);
        let parts: Vec<_> = pieces
            .iter()
            .map(|piece| count(&piece.1, b"vsid"))
            .collect();
        assert_eq!(parts, [0, 1, 2, 1, 0, 0, 0]);
    }
}
