//! The samples of a track, as they lie on the line.

use clipmill_media::{Sample, Samples};

use super::{PlacedSegment, Stretch, Timeline};

/// One sample as it lies on the line, in its track's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineSample {
    pub(crate) dts: i64,
    pub(crate) pts: i64,
    pub(crate) sample: Sample,
}

impl Timeline {
    /// The samples of one track, in decode order, from the segment at position `from` on.
    pub(crate) fn samples(
        &self,
        track: usize,
        from: usize,
    ) -> impl Iterator<Item = LineSample> + '_ {
        self.samples_of(self.segments.iter().skip(from), track)
    }

    /// Those of some of its segments.
    pub(crate) fn samples_of<'a>(
        &'a self,
        segments: impl Iterator<Item = &'a PlacedSegment> + 'a,
        track: usize,
    ) -> impl Iterator<Item = LineSample> + 'a {
        segments.flat_map(move |segment| {
            let own = segment.stretches.iter().filter(move |s| s.track == track);
            own.flat_map(move |stretch| {
                let samples = segment.index.tracks[stretch.local].samples();
                let own = samples.range(stretch.samples.clone());
                own.iter().map(move |sample| LineSample {
                    dts: sample.dts + stretch.shift,
                    pts: sample.pts() + stretch.shift,
                    sample,
                })
            })
        })
    }

    /// The stretches of one track, in decode order: the number of the first sample of each, and the
    /// samples, which are numbered from the start of the line.
    pub(crate) fn stretches(
        &self,
        track: usize,
    ) -> impl Iterator<Item = (usize, &Stretch, Samples<'_>)> {
        let mut counted = 0;
        self.segments
            .iter()
            .flat_map(|segment| segment.stretches.iter().map(move |s| (segment, s)))
            .filter(move |(_, stretch)| stretch.track == track)
            .map(move |(segment, stretch)| {
                let first = counted;
                counted += stretch.samples.len();
                let samples = segment.index.tracks[stretch.local].samples();
                (first, stretch, samples.range(stretch.samples.clone()))
            })
    }
}
