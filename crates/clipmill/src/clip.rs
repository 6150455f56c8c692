//! A clip: the chosen samples as a movie, and what is known of them.

mod chapters;
mod montage;
mod remarks;
mod subtitle_track;
mod track_writer;

use std::mem::{Discriminant, discriminant};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clipmill_media::{
    CodecConfig, Damage, DamageKind, Language, Leading, Sample, SegmentIndex, StreamPlace,
    TimedEvent, TrackIndex, TrackKind, TrackTiming, side_by_side,
};
use clipmill_mp4::{Edit, Movie, MovieSample, Track};

use self::chapters::{DatedPart, dates};
pub use self::montage::MontagePart;
use self::remarks::{changes, remarks, without_sync};
pub(crate) use self::track_writer::TrackWriter;
use crate::cut::{Bounds, Chosen, Cut, Selection, Shortened, select};
use crate::gaps;
use crate::subtitles::Subtitles;
use crate::timeline::{JoinCause, SegmentInfo, Ticks, Timeline, events_of, rescale, to_ticks};

/// A segment of which a clip holds samples.
#[derive(Debug, Clone)]
pub struct ClipSegment {
    /// What is known of it, and where it is found.
    pub info: SegmentInfo,
    /// Where its samples lie.
    pub index: Arc<SegmentIndex>,
}

/// A stretch of time for which a clip has no media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins in the clip, in milliseconds from the first presented frame.
    pub at_ms: u64,
    /// How long it is, in milliseconds.
    pub duration_ms: u64,
    /// The instant at which it begins, where the playlist dates it.
    pub from: Option<DateTime<Utc>>,
    /// The instant at which it ends, where the playlist dates it.
    pub to: Option<DateTime<Utc>>,
    /// Why.
    pub reason: String,
    /// Number on the timeline of the segment with which media comes again.
    pub(crate) behind: Option<u64>,
}

impl Gap {
    /// One at `hole` of a line, in a clip that begins at `start` of it.
    fn of(
        timeline: &Timeline,
        hole: std::ops::Range<Ticks>,
        start: Ticks,
        behind: Option<u64>,
        reason: String,
    ) -> Self {
        let dates = timeline.time_at(hole.end);
        Self {
            at_ms: millis(hole.start - start),
            duration_ms: millis(hole.end - hole.start),
            from: dates.and_then(|to| to.checked_sub_signed(delta(hole.end - hole.start))),
            to: dates,
            reason,
            behind,
        }
    }
}

/// What is known of one track of a clip.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackSummary {
    /// Its identifier in the MP4, from 1.
    pub id: u32,
    /// Video or audio.
    pub kind: TrackKind,
    /// The configuration of its first sample.
    pub config: Arc<CodecConfig>,
    /// How many samples it has.
    pub samples: u64,
    /// At how many of them decoding can start.
    pub sync_samples: u64,
    /// How long it is presented, in milliseconds.
    pub duration_ms: u64,
    /// Frames per second, measured over the whole track; `None` for sound.
    pub frame_rate: Option<f64>,
    /// Its language.
    pub language: Language,
    /// The PID or track identifier that it came from.
    pub source_id: u32,
    /// Whether closed captions (CEA-608 or CEA-708) are in its samples.
    pub captions: bool,
    /// Bytes of its samples.
    pub bytes: u64,
    /// Presentation timestamp of its first frame, in 90 kHz ticks, unrolled.
    pub first_pts: Ticks,
    /// Presentation timestamp of its last frame, in 90 kHz ticks, unrolled.
    pub last_pts: Ticks,
}

/// Samples chosen from a [`Timeline`], ready to be laid out.
#[derive(Debug, Clone)]
pub struct Clip {
    /// The movie: its runs number the segments below.
    pub(crate) movie: Arc<Movie>,
    /// Which track of the timeline each of the movie's is.
    pub(crate) line_tracks: Vec<usize>,
    pub(crate) segments: Vec<ClipSegment>,
    /// Number on the timeline of the first of them.
    pub(crate) first_number: u64,
    /// The stretch of the line that it presents.
    pub(crate) start: Ticks,
    pub(crate) end: Ticks,
    /// What the playlist dates of it, counted from where it begins.
    dates: Vec<DatedPart>,
    /// The instant of the first presented frame of the leading track, where the playlist dates it.
    pub start_time: Option<DateTime<Utc>>,
    /// The instant at which its last frame ends.
    pub end_time: Option<DateTime<Utc>>,
    /// How long it is presented, in milliseconds.
    pub duration_ms: u64,
    /// Its tracks.
    pub tracks: Vec<TrackSummary>,
    /// How often timestamps or codecs began anew inside it.
    pub discontinuities: u64,
    /// The stretches for which it has no media.
    pub gaps: Vec<Gap>,
    /// Its subtitles, where it was cut from a playlist that has any, and they were asked for.
    pub subtitles: Vec<Subtitles>,
    /// Media is missing that should be there.
    is_incomplete: bool,
    /// Segments that should have been read and gave nothing.
    pub lost_segments: u64,
    /// Tracks had to be put in step with each other.
    pub(crate) out_of_step: bool,
    /// It begins with pictures whose references are not in it.
    without_sync: bool,
    /// What was damaged or left out, in words.
    pub warnings: Vec<String>,
    /// It ends before what was asked for does.
    ended_early: bool,
}

impl Clip {
    /// The clip that a window of a timeline makes. `None` when there is nothing in the window.
    #[must_use]
    pub fn new(timeline: &Timeline, bounds: Bounds, cut: Cut) -> Option<Self> {
        let selection = select(timeline, bounds, cut)?;
        let used = used_segments(&selection)?;
        let lead = timeline.leading_track()?;

        let placed = timeline.segments();
        let first_number = number(placed[*used.start()].number);
        let tracks = selection.tracks.iter().enumerate();
        let parted: Vec<(usize, Vec<Chosen>)> = tracks
            .flat_map(|(track, chosen)| {
                let parted = by_coding(timeline, chosen).into_iter();
                parted.map(move |(_, chosen)| (track, chosen))
            })
            .collect();
        let made = side_by_side(
            &parted,
            |(_, chosen)| count(chosen),
            |(track, chosen)| {
                let shortened = selection.shortened(timeline, *track);
                let made = make_track(timeline, *track, chosen, shortened, first_number)?;
                Some((*track, made))
            },
        );
        let mut made: Vec<(usize, MadeTrack)> = made.into_iter().flatten().collect();
        // Sound alone, in a stream with pictures, is not what was asked for; but where the window
        // has no pictures at all it is still what there is.
        let earliest = made.iter().map(|(_, track)| track.first_pts).min()?;
        let latest = made.iter().map(|(_, track)| track.end).max()?;
        let start = selection.start.unwrap_or(earliest);
        let end = selection.end.unwrap_or(latest).max(start);
        for (_, track) in &mut made {
            track.set_edits(start, end);
        }
        made.retain(|(_, track)| !track.track.edits.is_empty());
        let presented_end = made.iter().map(|(_, track)| track.presented.end).max()?;

        let lead_start = made
            .iter()
            .find(|(track, _)| *track == lead)
            .or(made.first())
            .map_or(start, |(_, track)| track.presented.start);
        let start_time = timeline.time_at(lead_start);
        let tracks = made
            .iter()
            .zip(1..)
            .map(|((_, track), id)| track.summary(id))
            .collect();
        let segments: Vec<_> = placed
            .range(used.clone())
            .map(|placed| ClipSegment {
                info: placed.info.clone(),
                index: Arc::clone(&placed.index),
            })
            .collect();
        let numbers = placed[*used.start()].number + 1..=placed[*used.end()].number;
        let inside = |number: u64| numbers.contains(&number);
        let discontinuities = timeline
            .joins()
            .iter()
            .filter(|j| inside(j.segment))
            .count();
        let mut warnings = warnings(timeline, &used);
        let (remarks, out_of_step) = remarks(timeline, &used);
        warnings.extend(remarks);
        warnings.extend(changes(timeline, &selection, start));
        let lost = without_sync(timeline, &selection);
        let without_sync = !lost.is_empty();
        warnings.extend(lost);
        let line_tracks = made.iter().map(|(track, _)| *track).collect();
        let window = missed_window(
            timeline,
            (bounds, cut),
            &selection,
            *used.end(),
            start..presented_end,
        );
        let mut gaps = missed(timeline, &window, start);
        let is_incomplete = !gaps.is_empty();
        let unexplained = gaps.iter().filter(|gap| gap.reason.starts_with("media"));
        warnings.extend(unexplained.map(|gap| {
            let (at, long) = (gap.at_ms as f64 / 1000.0, gap.duration_ms as f64 / 1000.0);
            format!("{}: {long:.3} s, from {at:.3} s on", gap.reason)
        }));
        let mut end_time = timeline.time_at(presented_end);
        for pause in pauses(timeline, &used, start) {
            // Where the line ends before a pause and goes on behind it is one place.
            if pause.at == presented_end {
                end_time = pause.gap.from;
            }
            // As with what is missing, one at the edge belongs to the clip before it.
            let inside = pause.segment <= *used.end();
            let behind = cut == Cut::Keyframe && pause.at <= window.end;
            gaps.extend(Some(pause.gap).filter(|_| pause.at > start && (inside || behind)));
        }
        gaps.sort_by_key(|gap| gap.at_ms);
        let events = events(timeline, &used, selection.start, start..presented_end);
        let service = placed
            .range(used.clone())
            .find_map(|s| s.index.service.clone());
        let movie = Movie {
            events,
            title: service,
            tracks: made.into_iter().map(|(_, track)| track.track).collect(),
            creation_time: start_time.and_then(|time| u64::try_from(time.timestamp()).ok()),
            ..Movie::default()
        };
        Some(Self {
            movie: Arc::new(movie),
            line_tracks,
            segments,
            first_number: placed[*used.start()].number,
            start,
            end: presented_end,
            dates: dates(timeline, &used, start..presented_end),
            start_time,
            end_time,
            duration_ms: millis(presented_end - start),
            tracks,
            discontinuities: discontinuities as u64,
            gaps,
            is_incomplete,
            subtitles: Vec::new(),
            lost_segments: 0,
            out_of_step,
            without_sync,
            warnings,
            ended_early: false,
        })
    }

    /// A clip without anything, for what holds no samples; `why` not.
    pub(crate) fn nothing(why: String) -> Self {
        Self {
            movie: Arc::default(),
            line_tracks: Vec::new(),
            segments: Vec::new(),
            first_number: 0,
            start: 0,
            end: 0,
            dates: Vec::new(),
            start_time: None,
            end_time: None,
            duration_ms: 0,
            tracks: Vec::new(),
            discontinuities: 0,
            gaps: Vec::new(),
            is_incomplete: false,
            subtitles: Vec::new(),
            lost_segments: 1,
            out_of_step: false,
            without_sync: false,
            warnings: vec![why],
            ended_early: false,
        }
    }

    /// Timed metadata in the order of time, which is counted in 90 kHz ticks from where the clip
    /// begins.
    #[must_use]
    pub fn events(&self) -> &[TimedEvent] {
        &self.movie.events
    }

    /// Names the movie: what players show as its title. Before that it is the name of the service, if
    /// the stream has one.
    pub fn set_title(&mut self, title: impl Into<String>) {
        Arc::make_mut(&mut self.movie).title = Some(title.into());
    }

    /// Puts opaque bytes into the file, in a box of Clipmill's own.
    pub fn set_metadata(&mut self, metadata: impl Into<bytes::Bytes>) {
        Arc::make_mut(&mut self.movie).metadata = Some(metadata.into());
    }

    /// Number on the timeline of the first of [`segments`](Self::segments); the others follow it.
    #[must_use]
    pub fn first_number(&self) -> u64 {
        self.first_number
    }

    /// The segments of which it holds samples, in order.
    #[must_use]
    pub fn segments(&self) -> &[ClipSegment] {
        &self.segments
    }

    /// So much of its window never came.
    pub(crate) fn ends_early(&mut self, missing: Duration, playlist: &str) {
        let length = TimeDelta::from_std(missing).unwrap_or_default();
        self.ended_early = true;
        self.gaps.push(Gap {
            at_ms: self.duration_ms,
            duration_ms: u64::try_from(missing.as_millis()).unwrap_or(u64::MAX),
            from: self.end_time,
            to: self.end_time.and_then(|end| end.checked_add_signed(length)),
            reason: "the playlist stopped growing".to_owned(),
            behind: None,
        });
        let seconds = missing.as_secs_f64();
        self.warnings.push(format!(
            "{playlist}: the playlist stopped growing {seconds:.3} s before the end of the window"
        ));
    }

    /// Declares that media is missing behind its end: `length` of it.
    pub(crate) fn lacks_end(&mut self, timeline: &Timeline, length: Ticks, reason: String) {
        let hole = self.end..self.end.saturating_add(length);
        let gap = Gap::of(timeline, hole, self.start, None, reason);
        self.gaps.push(gap);
        self.is_incomplete = true;
    }

    /// Whether something in its segments was damaged, missing or scrambled, or it begins
    /// without a sync sample.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        let damaged = |segment: &ClipSegment| {
            let index = &segment.index;
            !index.damage.is_empty() || index.left_scrambled
        };
        self.lost_segments > 0
            || self.out_of_step
            || self.without_sync
            || self.ended_early
            || self.is_incomplete
            || self.segments.iter().any(damaged)
            || self.segments.iter().any(|s| s.info.missing_before > 0)
    }
}

/// The timed metadata of a clip that is presented at `shown` of the line: what is due then, wherever it
/// was announced, and what its own segments announce for later. A clip that begins with everything,
/// without a `start`, also has what is due before its first frame.
fn events(
    timeline: &Timeline,
    used: &RangeInclusive<usize>,
    start: Option<Ticks>,
    shown: std::ops::Range<Ticks>,
) -> Vec<TimedEvent> {
    let mut events = Vec::new();
    for (at, segment) in timeline.segments().iter().enumerate() {
        let found = events_of(timeline, segment, shown.start).filter(|event| {
            let begun = event.time >= 0 || (start.is_none() && used.contains(&at));
            begun && (used.contains(&at) || event.time < shown.end - shown.start)
        });
        events.extend(found.map(|event| TimedEvent {
            time: event.time.max(0),
            ..event
        }));
    }
    events.sort_by_key(|event| event.time);
    // Splices are announced again and again.
    events.dedup_by(|a, b| (a.time, &a.scheme, &a.data) == (b.time, &b.scheme, &b.data));
    events
}

/// A segment's number as a run of samples holds it; a timeline of four thousand million segments
/// would last for centuries.
fn number(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The segments from the first to the last of which a sample was chosen.
fn used_segments(selection: &Selection) -> Option<RangeInclusive<usize>> {
    let all = || {
        selection
            .tracks
            .iter()
            .flatten()
            .map(|chosen| chosen.segment)
    };
    Some(all().min()?..=all().max()?)
}

/// Parts samples of different codecs: they could share a track by the standard, as sample entries of
/// their own, but players and tools take a track for one codec.
pub(crate) fn by_coding(
    timeline: &Timeline,
    chosen: &[Chosen],
) -> Vec<(Discriminant<CodecConfig>, Vec<Chosen>)> {
    let mut parted: Vec<(Discriminant<CodecConfig>, Vec<Chosen>)> = Vec::new();
    for (piece, config) in by_config(timeline, chosen) {
        let coding = discriminant(config);
        match parted.iter_mut().find(|(known, _)| *known == coding) {
            Some((_, own)) => join_or_push(own, piece),
            None => parted.push((coding, vec![piece])),
        }
    }
    parted
}

/// Parts samples where their configuration changes.
pub(crate) fn by_config<'a>(
    timeline: &'a Timeline,
    chosen: &[Chosen],
) -> Vec<(Chosen, &'a CodecConfig)> {
    let mut parted: Vec<(Chosen, &CodecConfig)> = Vec::new();
    for part in chosen {
        let local = &timeline.segments()[part.segment].index.tracks[part.local];
        if let [only] = local.configs() {
            parted.push((part.clone(), only.as_ref()));
            continue;
        }
        let samples = local.samples().range(part.samples.clone());
        let mut last = None;
        for (number, sample) in part.samples.clone().zip(samples) {
            if last == Some(sample.config)
                && let Some((piece, _)) = parted.last_mut()
            {
                piece.samples.end = number + 1;
                continue;
            }
            last = None;
            if let Some(config) = local.configs().get(usize::from(sample.config)) {
                last = Some(sample.config);
                let piece = Chosen {
                    samples: number..number + 1,
                    ..part.clone()
                };
                parted.push((piece, config.as_ref()));
            }
        }
    }
    parted
}

fn join_or_push(chosen: &mut Vec<Chosen>, piece: Chosen) {
    match chosen.last_mut() {
        Some(last)
            if last.segment == piece.segment
                && last.local == piece.local
                && last.shift == piece.shift
                && last.samples.end == piece.samples.start =>
        {
            last.samples.end = piece.samples.end;
        }
        _ => chosen.push(piece),
    }
}

/// A track in the making, with what is known of it on the timeline.
struct MadeTrack {
    track: Track,
    source_id: u32,
    captions: bool,
    /// Decoding timestamp of the first sample.
    first_dts: Ticks,
    /// Least presentation timestamp.
    first_pts: Ticks,
    /// Greatest presentation timestamp.
    last_pts: Ticks,
    /// Where the last sample in presentation order ends.
    end: Ticks,
    presented: std::ops::Range<Ticks>,
    totals: Totals,
}

/// What the samples of a track add up to.
#[derive(Clone, Copy, Default)]
struct Totals {
    sync_samples: u64,
    /// Their durations, in the track's timescale.
    units: u64,
    bytes: u64,
}

impl Totals {
    fn of(samples: &[MovieSample]) -> Self {
        let mut totals = Self::default();
        for sample in samples {
            totals.sync_samples += u64::from(sample.random_access.is_sync());
            totals.units += u64::from(sample.duration);
            totals.bytes += u64::from(sample.size);
        }
        totals
    }
}

impl MadeTrack {
    /// Makes the edit list that presents `start..end` of the line, as far as there is media.
    fn set_edits(&mut self, start: Ticks, end: Ticks) {
        // No edit reaches before the first sample is decoded.
        let from = self.first_pts.max(start).max(self.first_dts);
        let to = self.end.min(end);
        self.presented = from..to.max(from);
        self.track.edits = if to <= from {
            Vec::new()
        } else {
            edit_list(start, from..to, self.first_dts, self.track.timescale)
        };
    }

    fn summary(&self, id: u32) -> TrackSummary {
        let samples = &self.track.samples;
        let Totals {
            sync_samples,
            units,
            bytes,
        } = self.totals;
        let video = self.track.kind == TrackKind::Video && units > 0;
        TrackSummary {
            id,
            kind: self.track.kind,
            config: Arc::clone(&self.track.configs[0]),
            samples: samples.len() as u64,
            sync_samples,
            duration_ms: millis(self.presented.end - self.presented.start),
            frame_rate: video
                .then(|| samples.len() as f64 * f64::from(self.track.timescale) / units as f64),
            language: self.track.language,
            source_id: self.source_id,
            captions: self.captions,
            bytes,
            first_pts: self.first_pts,
            last_pts: self.last_pts,
        }
    }
}

/// Shows nothing from `start` on, then the media at `presented`, of which the first sample is decoded
/// at `first_dts`.
fn edit_list(
    start: Ticks,
    presented: std::ops::Range<Ticks>,
    first_dts: Ticks,
    timescale: u32,
) -> Vec<Edit> {
    let std::ops::Range { start: from, end } = presented;
    let media = rescale(from - first_dts, clipmill_media::CLOCK_90K, timescale);
    let empty = (from > start).then(|| Edit {
        duration: (from - start).unsigned_abs(),
        media_time: None,
    });
    let shown = Edit {
        duration: (end - from).unsigned_abs(),
        media_time: Some(media.max(0).unsigned_abs()),
    };
    empty.into_iter().chain([shown]).collect()
}

fn make_track(
    timeline: &Timeline,
    track: usize,
    chosen: &[Chosen],
    shortened: Option<Shortened>,
    first_number: u32,
) -> Option<MadeTrack> {
    let line_track = &timeline.tracks()[track];
    let clock = line_track.timing.clock();
    let mut out = TrackWriter::new(timeline, line_track, chosen, shortened)?;
    for part in chosen {
        out.push_part(timeline, part);
    }
    if out.first_pts == i64::MAX {
        // Nothing of it is presented.
        return None;
    }
    for run in &mut out.runs {
        run.segment -= first_number;
    }
    let end = out.finish_before(timeline.samples_after(track, chosen.last()?));
    let label = timeline.label(line_track);
    let stated = label.map(|label| label.language);
    let stated = stated.filter(|language| *language != Language::UNDETERMINED);
    Some(MadeTrack {
        source_id: line_track.id,
        captions: chosen.iter().any(|part| {
            let index = &timeline.segments()[part.segment].index;
            index.tracks[part.local].captions()
        }),
        first_dts: to_ticks(out.first_dts, clock),
        first_pts: to_ticks(out.first_pts, clock),
        last_pts: to_ticks(out.last_pts, clock),
        end,
        presented: 0..0,
        totals: Totals::of(&out.samples),
        track: Track {
            id: None,
            kind: line_track.kind,
            timescale: out.timescale,
            language: stated.unwrap_or(line_track.language),
            name: label.map(|label| label.name.clone()),
            enabled: label.is_none_or(|label| label.default),
            configs: out.configs,
            edits: Vec::new(),
            samples: out.samples,
            runs: out.runs,
            restarts: Vec::new(),
            start: 0,
        },
    })
}

/// How many samples were chosen.
fn count(chosen: &[Chosen]) -> usize {
    chosen.iter().map(|part| part.samples.len()).sum()
}

/// The chosen samples, each with its track and shift.
fn samples_of<'a>(
    timeline: &'a Timeline,
    chosen: &'a [Chosen],
) -> impl Iterator<Item = (&'a TrackIndex, i64, Sample)> {
    chosen.iter().flat_map(|part| {
        let local = &timeline.segments()[part.segment].index.tracks[part.local];
        let samples = local.samples().range(part.samples.clone());
        samples
            .iter()
            .map(move |sample| (local, part.shift, sample))
    })
}

/// When the first of the chosen samples is presented.
pub(crate) fn first_shown(timeline: &Timeline, chosen: &[Chosen]) -> Option<Ticks> {
    let mut points = 0;
    let (first, ..) = samples_of(timeline, chosen).next()?;
    let looked_at = match first.timing() {
        TrackTiming::Exact { .. } => usize::MAX,
        // Sound is in the order of its times, or is put into it.
        TrackTiming::Rounded { .. } => 1,
    };
    let shown = samples_of(timeline, chosen)
        .take(looked_at)
        .filter(|(_, _, sample)| is_presented(sample, &mut points))
        .map(|(local, shift, sample)| to_ticks(sample.pts() + shift, local.timing().clock()));
    shown.min()
}

/// Pictures that refer to what comes before the first one are not presented. `points` counts the
/// random access points so far.
fn is_presented(sample: &Sample, points: &mut u64) -> bool {
    *points += u64::from(sample.random_access.is_sync());
    *points > 1 || sample.leading != Leading::Skipped
}

fn millis(ticks: Ticks) -> u64 {
    u64::try_from((ticks + 45).div_euclid(90)).unwrap_or_default()
}

/// The part of the line in which media that is missing is missed by a clip that presents `shown`.
fn missed_window(
    timeline: &Timeline,
    (bounds, cut): (Bounds, Cut),
    selection: &Selection,
    last: usize,
    shown: std::ops::Range<Ticks>,
) -> std::ops::Range<Ticks> {
    let from = match (bounds.from, cut) {
        (None, _) => Ticks::MIN,
        (Some(from), Cut::Exact) => from.min(shown.start),
        // What is missing before a clip's first sync sample belongs to the clip before it.
        (Some(_), Cut::Keyframe | Cut::Segment) => shown.start,
    };
    let to = match cut {
        Cut::Exact => bounds.to,
        Cut::Keyframe => selection.end.or(bounds.to),
        Cut::Segment => timeline
            .segments()
            .get(last + 1)
            .and_then(|next| next.first_presented),
    };
    from..to.unwrap_or(Ticks::MAX).max(shown.end)
}

/// What is missing inside `window` of the line; the clip begins at `start`.
fn missed(timeline: &Timeline, window: &std::ops::Range<Ticks>, start: Ticks) -> Vec<Gap> {
    let gap = |hole: gaps::Hole| {
        let (from, to) = (hole.from.max(window.start), hole.to.min(window.end));
        Gap::of(timeline, from..to, start, hole.behind, hole.reason)
    };
    let holes = gaps::holes(timeline, window);
    holes.into_iter().map(gap).collect()
}

/// A pause that `PROGRAM-DATE-TIME` shows where the media was joined.
struct Pause {
    /// Position of the segment behind it.
    segment: usize,
    /// Where it lies on the line, where it takes no time.
    at: Ticks,
    gap: Gap,
}

/// The pauses in some segments, and the one behind them.
fn pauses(timeline: &Timeline, used: &RangeInclusive<usize>, start: Ticks) -> Vec<Pause> {
    let mut pauses = Vec::new();
    let placed = timeline.segments();
    let mut before = &placed[*used.start()];
    for (at, segment) in placed.iter().enumerate().skip(used.start() + 1) {
        let Some(ticks) = segment.first_presented else {
            continue;
        };
        let before = std::mem::replace(&mut before, segment);
        let dated = before.info.start_time.zip(segment.info.start_time);
        if let (Some((earlier, later)), Some(earlier_ticks)) = (dated, before.first_presented)
            && segment.info.missing_before == 0
        {
            let joined = timeline.joins().iter().any(|j| j.segment == segment.number);
            let elapsed = crate::timeline::ticks_between(earlier, later);
            let pause = elapsed - (ticks - earlier_ticks);
            if joined && pause > to_ticks(1, 2) {
                let gap = Gap {
                    at_ms: millis(ticks - start),
                    duration_ms: millis(pause),
                    from: later.checked_sub_signed(delta(pause)),
                    to: Some(later),
                    reason: "the stream paused at a discontinuity".to_owned(),
                    behind: None,
                };
                pauses.push(Pause {
                    segment: at,
                    at: ticks,
                    gap,
                });
            }
        }
        if at > *used.end() {
            break;
        }
    }
    pauses
}

fn delta(ticks: Ticks) -> TimeDelta {
    TimeDelta::milliseconds(ticks / 90)
}

fn warnings(timeline: &Timeline, used: &RangeInclusive<usize>) -> Vec<String> {
    let placed = timeline.segments();
    let mut warnings = Vec::new();
    let mut declined = Vec::new();
    let mut notes = Vec::new();
    for segment in placed.range(used.clone()) {
        let name = segment.info.name();
        for note in &segment.index.notes {
            if !notes.contains(&note) {
                notes.push(note);
                warnings.push(format!("{name}: {note}"));
            }
        }
        let mut scrambled = Vec::new();
        for stream in &segment.index.declined {
            scrambled.extend(Some(stream.place).filter(|_| stream.is_scrambled()));
            if !declined.contains(&stream) {
                declined.push(stream);
                warnings.push(match stream.is_scrambled() {
                    true => format!("{name}: {stream} is scrambled, and left out"),
                    false => format!("{name}: {stream} is left out"),
                });
            }
        }
        // Of a stream that is left out as scrambled it has been said.
        let damage = &segment.index.damage;
        let is_said = |damage: &&Damage| {
            let place = damage.pid.map(StreamPlace::Pid);
            damage.kind == DamageKind::Scrambled && place.is_some_and(|at| scrambled.contains(&at))
        };
        let named = damage.kept().iter().filter(is_said).count() as u64;
        if let Some(first) = damage.kept().iter().find(|damage| !is_said(damage)) {
            let more = damage.total().saturating_sub(named).saturating_sub(1);
            let rest = match more {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            warnings.push(format!("{name}: {first}{rest}"));
        }
    }
    for join in timeline.joins() {
        let inside = placed.range(used.clone()).any(|s| s.number == join.segment);
        if join.cause == JoinCause::Jump && inside {
            let segment = placed.iter().find(|s| s.number == join.segment);
            let name = segment.map_or_else(String::new, |s| s.info.name());
            warnings.push(format!(
                "{name}: timestamps jump without EXT-X-DISCONTINUITY; joined"
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests;
