//! What a segment gives to a clip whose end is not known yet.

use std::mem::Discriminant;

use clipmill_media::CodecConfig;
use clipmill_mp4::{
    Edit, Fragment, FragmentTrack, Fragmenter, LayoutError, MediaSpan, MovieSample, Run,
    SegmentPart, segment_spans,
};

use crate::clip::{TrackWriter, by_coding, first_shown};
use crate::cut::{Bounds, Chosen, Cut, Selection, Shortened, select};
use crate::timeline::{Ticks, Timeline};

/// Follows [`Clip::new`](crate::Clip::new) and the layout segment by segment. It takes for granted
/// that what begins later does not change what came first.
#[derive(Debug)]
pub(crate) struct Settler {
    selection: Selection,
    /// The first instant that is presented.
    start: Ticks,
    /// Number on the timeline of the first segment of which a sample was chosen.
    first_number: u64,
    /// In the order of the movie.
    tracks: Vec<Track>,
}

#[derive(Debug)]
struct Track {
    line_track: usize,
    coding: Discriminant<CodecConfig>,
    /// Keeps the last sample alone, which ends where the next one begins.
    writer: TrackWriter,
    /// When the first of its samples is presented.
    first_shown: Ticks,
    edits: Vec<Edit>,
    /// Decode time of the first sample that the writer keeps.
    time: u64,
    /// Runs of the segment at hand.
    runs: Vec<Run>,
    /// Which track of a movie that is written fragment by fragment it is.
    written_as: Option<usize>,
}

impl Settler {
    /// Begins with what has come; `None` when the window holds nothing of it.
    pub(crate) fn new(timeline: &Timeline, bounds: Bounds, cut: Cut) -> Option<Self> {
        let selection = select(timeline, bounds, cut)?;
        let all = selection.tracks.iter().flatten();
        let first = all.map(|chosen| chosen.segment).min()?;
        let mut tracks = Vec::new();
        for (line_track, chosen) in selection.tracks.iter().enumerate() {
            for (coding, chosen) in by_coding(timeline, chosen) {
                let shortened = selection.shortened(timeline, line_track);
                let track = Track::new(timeline, line_track, coding, &chosen, shortened);
                tracks.extend(track);
            }
        }
        let earliest = tracks.iter().map(|track| track.first_shown).min()?;
        let mut settler = Self {
            start: selection.start.unwrap_or(earliest),
            selection,
            first_number: timeline.segments()[first].number,
            tracks,
        };
        for track in &mut settler.tracks {
            track.open(settler.start);
        }
        Some(settler)
    }

    /// The media of the segment `number` in the order of the file. Segments come in order.
    pub(crate) fn settle(
        &mut self,
        timeline: &Timeline,
        number: u64,
    ) -> Result<Vec<MediaSpan>, LayoutError> {
        if !self.take(timeline, number) {
            return Ok(Vec::new());
        }
        let parts: Vec<_> = self.tracks.iter().map(Track::part).collect();
        let spans = segment_spans(&parts);
        self.pass();
        spans
    }

    /// Says which track of a movie one is that is written fragment by fragment, and gives its edit list; `None` where
    /// there is none of it yet.
    pub(crate) fn number(
        &mut self,
        line_track: usize,
        coding: Discriminant<CodecConfig>,
        written_as: usize,
    ) -> Option<Vec<Edit>> {
        let mut tracks = self.tracks.iter_mut();
        let track = tracks.find(|one| one.line_track == line_track && one.coding == coding)?;
        track.written_as = Some(written_as);
        Some(track.edits.clone())
    }

    /// The media of the segment `number` as a fragment; `None` where it has nothing for the tracks that are
    /// [numbered](Self::number). Segments come in order.
    pub(crate) fn fragment(
        &mut self,
        timeline: &Timeline,
        number: u64,
        fragmenter: &mut Fragmenter,
    ) -> Result<Option<Fragment>, LayoutError> {
        if !self.take(timeline, number) {
            return Ok(None);
        }
        let samples: Vec<_> = self.tracks.iter().map(Track::with_last).collect();
        let parts = self
            .tracks
            .iter()
            .zip(&samples)
            .filter_map(|(track, samples)| {
                Some(FragmentTrack {
                    track: track.written_as?,
                    start: track.time,
                    configs: &track.writer.configs,
                    samples,
                    runs: &track.runs,
                    restarts: &[],
                })
            });
        let parts: Vec<_> = parts.filter(|part| !part.samples.is_empty()).collect();
        let fragment = match parts.is_empty() {
            true => Ok(None),
            false => fragmenter.fragment(&parts).map(Some),
        };
        self.pass();
        fragment
    }

    /// Takes what the segment `number` has; false where there is no such segment.
    fn take(&mut self, timeline: &Timeline, number: u64) -> bool {
        let Some(at) = timeline.position(number) else {
            return false;
        };
        for line_track in 0..timeline.tracks().len() {
            let chosen = self.selection.of_segment(timeline, line_track, at);
            for (coding, chosen) in by_coding(timeline, &chosen) {
                self.add(timeline, line_track, coding, &chosen);
            }
        }
        for run in self.tracks.iter_mut().flat_map(|track| &mut track.runs) {
            run.segment = run.segment.saturating_sub(self.first_number as u32);
        }
        true
    }

    /// Is done with a segment.
    fn pass(&mut self) {
        for track in &mut self.tracks {
            track.pass();
        }
    }

    fn add(
        &mut self,
        timeline: &Timeline,
        line_track: usize,
        coding: Discriminant<CodecConfig>,
        chosen: &[Chosen],
    ) {
        let known = |track: &Track| track.line_track == line_track && track.coding == coding;
        let at = match self.tracks.iter().position(known) {
            Some(at) => at,
            None => {
                let Some(mut track) = Track::new(timeline, line_track, coding, chosen, None) else {
                    return;
                };
                track.open(self.start);
                let at = self.tracks.partition_point(|t| t.line_track <= line_track);
                self.tracks.insert(at, track);
                at
            }
        };
        self.tracks[at].add(timeline, chosen);
    }
}

impl Track {
    fn new(
        timeline: &Timeline,
        line_track: usize,
        coding: Discriminant<CodecConfig>,
        chosen: &[Chosen],
        shortened: Option<Shortened>,
    ) -> Option<Self> {
        let line = &timeline.tracks()[line_track];
        Some(Self {
            line_track,
            coding,
            writer: TrackWriter::new(timeline, line, chosen, shortened)?,
            first_shown: first_shown(timeline, chosen)?,
            edits: Vec::new(),
            time: 0,
            runs: Vec::new(),
            written_as: None,
        })
    }

    /// Makes its edit list in a movie that is presented from `start` on.
    fn open(&mut self, start: Ticks) {
        self.edits = self.writer.open_edits(start, self.first_shown);
    }

    fn add(&mut self, timeline: &Timeline, chosen: &[Chosen]) {
        let had = self.writer.samples.len();
        for part in chosen {
            self.writer.push_part(timeline, part);
        }
        self.runs = std::mem::take(&mut self.writer.runs);
        // Those of the segment before last until here.
        if self.writer.samples.len() > had {
            self.drop_first(had);
        }
    }

    fn samples(&self) -> &[MovieSample] {
        if self.runs.is_empty() {
            &[]
        } else {
            &self.writer.samples
        }
    }

    fn part(&self) -> SegmentPart<'_> {
        SegmentPart {
            timescale: self.writer.timescale(),
            edits: &self.edits,
            start: self.time,
            samples: self.samples(),
            runs: &self.runs,
        }
    }

    /// The samples of the segment; the last one lasts as long as is likely.
    fn with_last(&self) -> Vec<MovieSample> {
        let mut samples = self.samples().to_vec();
        if let Some(last) = samples.last_mut() {
            last.duration = u32::try_from(self.writer.likely_duration()).unwrap_or_default();
        }
        samples
    }

    /// Is done with the segment.
    fn pass(&mut self) {
        self.runs.clear();
        self.drop_first(self.writer.samples.len().saturating_sub(1));
    }

    fn drop_first(&mut self, count: usize) {
        let gone = self.writer.samples.drain(..count);
        self.time += gone.map(|sample| u64::from(sample.duration)).sum::<u64>();
    }
}
