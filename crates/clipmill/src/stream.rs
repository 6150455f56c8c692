//! A fragmented MP4 that flows as its segments are read.

use std::io::{self, Write};
use std::mem::discriminant;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use clipmill_media::{CodecConfig, TrackKind};
use clipmill_mp4::{FragmentOptions, FragmentTrack, Fragmenter, Run, event_message};

use crate::clip::{Clip, ClipSegment, TrackWriter, by_config};
use crate::cut::{Bounds, Chosen, Selection, select};
use crate::error::ClipError;
use crate::render::{Format, Observer, Progress, Renderer};
use crate::request::{ClipRequest, Loader};
use crate::source::SegmentSource;
use crate::timeline::{Ticks, Timeline, events_of};

/// Tracks of which nothing has come by then are not waited for.
const SEGMENTS_BEFORE_HEADER: usize = 2;

/// Writes fragmented MP4 to `out` while the segments are read, from the beginning of a window to the end
/// of the playlist.
pub(crate) fn stream(
    loader: Loader<'_>,
    source: &dyn SegmentSource,
    request: &ClipRequest,
    name: &Path,
    out: &mut dyn Write,
    observer: Observer<'_>,
) -> Result<Clip, ClipError> {
    let mut loader = loader.without_end();
    let failed = |error: io::Error| ClipError::Write {
        path: name.to_owned(),
        error,
    };
    if loader.has_renditions() {
        // Sound that comes in segments of its own ends elsewhere than the pictures: what is
        // written when is known once all has come.
        let clip = loader.finish(observer)?;
        let layout = clip.layout(Format::Fmp4)?;
        layout.write(source, name, out, observer)?;
        return Ok(clip);
    }
    // Segments that have come and are not written yet.
    let mut waiting: Vec<(u64, Bytes)> = Vec::new();
    let mut writer: Option<StreamWriter> = None;
    while let Some((done, total)) = loader.advance()? {
        if observer(Progress::Indexing { done, total }) == ControlFlow::Break(()) {
            return Err(ClipError::Cancelled);
        }
        let Some((number, bytes)) = loader.last_pushed() else {
            continue;
        };
        waiting.push((number, bytes));
        let bounds = loader.bounds();
        if writer.is_none() {
            let placed = loader.timeline().segments().len();
            if placed < SEGMENTS_BEFORE_HEADER || !loader.covers_start() {
                continue;
            }
            writer = StreamWriter::new(loader.timeline(), bounds, request)?;
            if let Some(writer) = &writer {
                out.write_all(&writer.fragmenter.init()).map_err(failed)?;
            }
        }
        if let Some(writer) = &mut writer {
            let more = writer.advance(loader.timeline(), &mut waiting, source, false)?;
            out.write_all(&more).map_err(failed)?;
        }
    }
    if writer.is_none() {
        writer = StreamWriter::new(loader.timeline(), loader.bounds(), request)?;
        if let Some(writer) = &writer {
            out.write_all(&writer.fragmenter.init()).map_err(failed)?;
        }
    }
    if let Some(writer) = &mut writer {
        let more = writer.advance(loader.timeline(), &mut waiting, source, true)?;
        out.write_all(&more).map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    let written = writer.map_or(0, |writer| writer.written);
    let mut clip = loader.clip()?;
    let held: u64 = clip.tracks.iter().map(|track| track.samples).sum();
    if let Some(left @ 1..) = held.checked_sub(written) {
        clip.warnings.push(format!(
            "{left} samples that the header could not describe are left out: \
             a file, instead of a stream, holds them"
        ));
    }
    Ok(clip)
}

struct StreamWriter {
    fragmenter: Fragmenter,
    selection: Selection,
    tracks: Vec<StreamTrack>,
    /// Where on the line the clip begins.
    start: Ticks,
    /// Number on the timeline of the first segment that has not been given to the writers.
    next: u64,
    /// Samples written.
    written: u64,
}

struct StreamTrack {
    line_track: usize,
    /// Those that the header describes.
    configs: Vec<Arc<CodecConfig>>,
    writer: TrackWriter,
    /// Decode time of the first sample that is not written yet.
    start: u64,
}

impl StreamWriter {
    /// `None` when nothing has come that belongs to the clip.
    fn new(
        timeline: &Timeline,
        bounds: Bounds,
        request: &ClipRequest,
    ) -> Result<Option<Self>, ClipError> {
        let Some(selection) = select(timeline, bounds, request.cut) else {
            return Ok(None);
        };
        let Some(clip) = Clip::new(timeline, bounds, request.cut) else {
            return Ok(None);
        };
        let earliest = clip.tracks.iter().map(|track| track.first_pts).min();
        let earliest = earliest.unwrap_or_default();
        let mut movie = Arc::unwrap_or_clone(clip.movie);
        movie.events.clear();
        for track in &mut movie.tracks {
            for edit in &mut track.edits {
                if edit.media_time.is_some() {
                    // To the end, wherever that will be.
                    edit.duration = 0;
                }
            }
            track.samples.clear();
            track.runs.clear();
        }
        let mut tracks = Vec::new();
        for (line_track, described) in clip.line_tracks.into_iter().zip(&movie.tracks) {
            let configs = described.configs.clone();
            let chosen = carried(timeline, &selection.tracks[line_track], &configs);
            let line = &timeline.tracks()[line_track];
            let shortened = selection.shortened(timeline, line_track);
            let Some(writer) = TrackWriter::new(timeline, line, &chosen, shortened) else {
                continue;
            };
            tracks.push(StreamTrack {
                line_track,
                configs,
                writer,
                start: 0,
            });
        }
        Ok(Some(Self {
            fragmenter: Fragmenter::new(movie, FragmentOptions::default())?,
            start: selection.start.unwrap_or(earliest),
            selection,
            tracks,
            next: 0,
            written: 0,
        }))
    }

    /// Renders every fragment whose last durations are known: all segments but the newest, or all
    /// when there will be no more.
    fn advance(
        &mut self,
        timeline: &Timeline,
        waiting: &mut Vec<(u64, Bytes)>,
        source: &dyn SegmentSource,
        finished: bool,
    ) -> Result<Vec<u8>, ClipError> {
        let mut out = Vec::new();
        for at in 0..timeline.segments().len() {
            let number = timeline.segments()[at].number;
            if number < self.next {
                continue;
            }
            self.next = number + 1;
            let marks: Vec<_> = self.tracks.iter().map(|t| t.writer.samples.len()).collect();
            for track in &mut self.tracks {
                let chosen = self.selection.of_segment(timeline, track.line_track, at);
                let written = track.writer.samples.is_empty();
                for part in &carried(timeline, &chosen, &track.configs) {
                    track.writer.push_part(timeline, part);
                }
                if written {
                    track.start = track.start.max(track.writer.first_start());
                }
            }
            if let Some(before) = number.checked_sub(1) {
                self.fragment(timeline, before, Some(&marks), waiting, source, &mut out)?;
            }
        }
        if finished && let Some(last) = self.next.checked_sub(1) {
            for track in &mut self.tracks {
                let _ = track.writer.finish();
            }
            self.fragment(timeline, last, None, waiting, source, &mut out)?;
        }
        Ok(out)
    }

    /// Renders what the writers hold of one segment: the samples before `marks`, or all.
    fn fragment(
        &mut self,
        timeline: &Timeline,
        number: u64,
        marks: Option<&[usize]>,
        waiting: &mut Vec<(u64, Bytes)>,
        source: &dyn SegmentSource,
        out: &mut Vec<u8>,
    ) -> Result<(), ClipError> {
        let mut parts = Vec::new();
        for (at, track) in self.tracks.iter_mut().enumerate() {
            let count = track.writer.samples.len();
            let mark = marks.map_or(count, |marks| marks[at]);
            if marks.is_some() && mark == count {
                // The next segment holds nothing of this track.
                let _ = track.writer.finish();
            }
            if mark > 0 {
                parts.push((at, mark));
            }
        }
        if !parts.is_empty() {
            let runs: Vec<Vec<Run>> = self
                .tracks
                .iter()
                .map(|track| own_runs(&track.writer, number))
                .collect();
            let described: Vec<_> = parts
                .iter()
                .map(|&(at, mark)| {
                    let track = &self.tracks[at];
                    FragmentTrack {
                        track: at,
                        start: track.start,
                        configs: &track.writer.configs,
                        samples: &track.writer.samples[..mark],
                        runs: &runs[at],
                        restarts: &[],
                    }
                })
                .collect();
            let fragment = self.fragmenter.fragment(&described)?;
            let placed = timeline.segments().iter().find(|s| s.number == number);
            let segment = placed.map(|placed| ClipSegment {
                info: placed.info.clone(),
                index: Arc::clone(&placed.index),
            });
            let segments = segment.as_slice();
            let held = waiting.iter().find(|(waiting, _)| *waiting == number);
            let mut renderer = Renderer::new(segments, source);
            if let Some((_, bytes)) = held {
                renderer.hold(0, bytes.clone());
            }
            let events = placed
                .into_iter()
                .flat_map(|segment| events_of(timeline, segment, self.start));
            for event in events.filter(|event| event.time >= 0) {
                out.extend_from_slice(&event_message(&event)?);
            }
            for span in fragment.spans() {
                renderer.render(&span, out)?;
            }
            for &(at, mark) in &parts {
                self.tracks[at].take(mark);
                self.written += mark as u64;
            }
        }
        for track in &mut self.tracks {
            track
                .writer
                .runs
                .retain(|run| u64::from(run.segment) > number);
        }
        waiting.retain(|(waiting, _)| *waiting > number);
        Ok(())
    }
}

impl StreamTrack {
    fn take(&mut self, count: usize) {
        let durations = self.writer.samples.drain(..count);
        self.start += durations
            .map(|sample| u64::from(sample.duration))
            .sum::<u64>();
    }
}

/// Those of the samples that can follow a header with these configurations: pictures of the same
/// codec, as parameter sets can be put between them, and sound of the very same kind.
fn carried(timeline: &Timeline, chosen: &[Chosen], configs: &[Arc<CodecConfig>]) -> Vec<Chosen> {
    let fits = |config: &CodecConfig| {
        configs.iter().any(|known| match config.kind() {
            TrackKind::Video => discriminant(known.as_ref()) == discriminant(config),
            TrackKind::Audio | TrackKind::Text => known.as_ref() == config,
        })
    };
    let parted = by_config(timeline, chosen).into_iter();
    let parted = parted.filter(|(_, config)| fits(config));
    parted.map(|(chosen, _)| chosen).collect()
}

/// The runs of one segment, which the renderer knows as number 0.
fn own_runs(writer: &TrackWriter, number: u64) -> Vec<Run> {
    let own = writer
        .runs
        .iter()
        .filter(|run| u64::from(run.segment) == number);
    own.map(|run| Run { segment: 0, ..*run }).collect()
}
