//! What `--json` prints, and what people read.

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use clipmill::{
    Clip, DateRange, Language, PlaylistKind, PlaylistSummary, Probe, ScrambledTrack, TimedEvent,
    TrackKind, TrackSummary, Variant,
};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct ClipReport {
    pub(crate) output: String,
    pub(crate) bytes: u64,
    pub(crate) format: &'static str,
    #[serde(flatten)]
    clip: ClipFacts,
    tracks: Vec<TrackReport>,
}

/// What `--renditions all` wrote.
#[derive(Default, Serialize)]
pub(crate) struct VariantsReport {
    renditions: Vec<VariantClipReport>,
}

#[derive(Serialize)]
struct VariantClipReport {
    #[serde(flatten)]
    clip: ClipReport,
    variant: VariantReport,
}

impl VariantsReport {
    pub(crate) fn push(
        &mut self,
        clip: &Clip,
        output: String,
        bytes: u64,
        format: &'static str,
        variant: &Variant,
    ) {
        self.renditions.push(VariantClipReport {
            clip: ClipReport::new(clip, output, bytes, format),
            variant: VariantReport::new(variant),
        });
    }
}

#[derive(Serialize)]
struct ClipFacts {
    start_time: Option<String>,
    end_time: Option<String>,
    duration_ms: u64,
    segments: usize,
    discontinuities: u64,
    gaps: Vec<GapReport>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chapters: Vec<ChapterReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventReport>,
}

#[derive(Serialize)]
struct ChapterReport {
    at_ms: u64,
    title: String,
}

/// Timed metadata.
#[derive(Serialize)]
struct EventReport {
    at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    scheme: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    id: u32,
    /// The message, in hexadecimal digits.
    data: String,
}

#[derive(Serialize)]
struct GapReport {
    from: Option<String>,
    to: Option<String>,
    at_ms: u64,
    duration_ms: u64,
    reason: String,
}

#[derive(Serialize)]
struct TrackReport {
    id: u32,
    kind: &'static str,
    codec: String,
    samples: u64,
    sync_samples: u64,
    duration_ms: u64,
    language: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<u16>,
    /// Closed captions in the pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    captions: Option<&'static str>,
}

#[derive(Serialize)]
pub(crate) struct ProbeReport {
    input: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    playlist: Option<PlaylistReport>,
    #[serde(flatten)]
    clip: ClipFacts,
    tracks: Vec<ProbedTrack>,
}

#[derive(Serialize)]
struct ProbedTrack {
    #[serde(flatten)]
    track: TrackReport,
    pid: u32,
    first_pts: Option<i64>,
    last_pts: Option<i64>,
    bytes: u64,
    /// Nothing can be had of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    scrambled: bool,
}

impl ProbedTrack {
    fn scrambled(id: u32, track: &ScrambledTrack) -> Self {
        Self {
            track: TrackReport {
                id,
                kind: kind(track.kind),
                codec: track.codec.to_string(),
                samples: 0,
                sync_samples: 0,
                duration_ms: 0,
                language: Language::UNDETERMINED.to_string(),
                width: None,
                height: None,
                frame_rate: None,
                sample_rate: None,
                channels: None,
                captions: None,
            },
            pid: track.pid.into(),
            first_pts: None,
            last_pts: None,
            bytes: 0,
            scrambled: true,
        }
    }
}

fn kind(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
        TrackKind::Text => "text",
    }
}

#[derive(Serialize)]
struct PlaylistReport {
    kind: &'static str,
    ended: bool,
    target_duration: f64,
    media_sequence: u64,
    segments: usize,
    duration: f64,
    program_date_time: Option<[String; 2]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    date_ranges: Vec<DateRangeReport>,
    variants: Vec<VariantReport>,
}

#[derive(Serialize)]
struct DateRangeReport {
    id: String,
    class: Option<String>,
    start: Option<String>,
    end: Option<String>,
    duration: Option<f64>,
    attributes: BTreeMap<String, String>,
}

impl DateRangeReport {
    fn new(range: &DateRange) -> Self {
        Self {
            id: range.id.clone(),
            class: range.class.clone(),
            start: range.start.map(instant),
            end: range.end.map(instant),
            duration: range.duration.map(|length| length.as_secs_f64()),
            attributes: range.attributes.iter().cloned().collect(),
        }
    }
}

#[derive(Serialize)]
struct VariantReport {
    uri: String,
    bandwidth: u64,
    resolution: Option<String>,
    codecs: Option<String>,
    name: Option<String>,
}

fn instant(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl ClipFacts {
    fn new(clip: &Clip) -> Self {
        let gaps = clip.gaps.iter().map(|gap| GapReport {
            from: gap.from.map(instant),
            to: gap.to.map(instant),
            at_ms: gap.at_ms,
            duration_ms: gap.duration_ms,
            reason: gap.reason.clone(),
        });
        let chapters = clip.chapters().iter().map(|chapter| ChapterReport {
            at_ms: chapter.at.div_ceil(90),
            title: chapter.title.clone(),
        });
        Self {
            start_time: clip.start_time.map(instant),
            end_time: clip.end_time.map(instant),
            duration_ms: clip.duration_ms,
            segments: clip.segments().len(),
            discontinuities: clip.discontinuities,
            gaps: gaps.collect(),
            warnings: clip.warnings.clone(),
            chapters: chapters.collect(),
            events: clip.events().iter().map(EventReport::new).collect(),
        }
    }
}

impl EventReport {
    fn new(event: &TimedEvent) -> Self {
        let hex = |text: String, byte: &u8| text + &format!("{byte:02x}");
        Self {
            at_ms: event.time.max(0).unsigned_abs() / 90,
            duration_ms: (event.duration > 0).then(|| u64::from(event.duration) / 90),
            scheme: event.scheme.clone(),
            value: event.value.clone(),
            id: event.id,
            data: event.data.iter().fold(String::new(), hex),
        }
    }
}

impl TrackReport {
    fn new(track: &TrackSummary) -> Self {
        let video = track.config.video();
        Self {
            id: track.id,
            kind: kind(track.kind),
            codec: track.config.rfc6381(),
            samples: track.samples,
            sync_samples: track.sync_samples,
            duration_ms: track.duration_ms,
            language: track.language.to_string(),
            width: video.map(|video| video.width),
            height: video.map(|video| video.height),
            frame_rate: track
                .frame_rate
                .map(|rate| (rate * 1000.0).round() / 1000.0),
            sample_rate: track.config.sample_rate(),
            channels: track.config.channels(),
            captions: track.captions.then_some("cea-608/708"),
        }
    }
}

impl ClipReport {
    pub(crate) fn new(clip: &Clip, output: String, bytes: u64, format: &'static str) -> Self {
        Self {
            output,
            bytes,
            format,
            clip: ClipFacts::new(clip),
            tracks: clip.tracks.iter().map(TrackReport::new).collect(),
        }
    }
}

impl ProbeReport {
    pub(crate) fn new(probe: &Probe, input: String) -> Self {
        let tracks = probe.clip.tracks.iter().map(|track| ProbedTrack {
            track: TrackReport::new(track),
            pid: track.source_id,
            first_pts: Some(track.first_pts),
            last_pts: Some(track.last_pts),
            bytes: track.bytes,
            scrambled: false,
        });
        let first = probe.clip.tracks.len() + 1;
        let scrambled = (first..).zip(&probe.scrambled);
        let scrambled = scrambled.map(|(id, track)| {
            ProbedTrack::scrambled(u32::try_from(id).unwrap_or(u32::MAX), track)
        });
        Self {
            input,
            playlist: probe.playlist.as_ref().map(PlaylistReport::new),
            clip: ClipFacts::new(&probe.clip),
            tracks: tracks.chain(scrambled).collect(),
        }
    }
}

impl VariantReport {
    fn new(variant: &Variant) -> Self {
        Self {
            uri: variant.uri.clone(),
            bandwidth: variant.bandwidth,
            resolution: variant
                .resolution
                .map(|r| format!("{}x{}", r.width, r.height)),
            codecs: variant.codecs.clone(),
            name: variant.name.clone(),
        }
    }
}

impl PlaylistReport {
    fn new(playlist: &PlaylistSummary) -> Self {
        let variants = playlist.variants.iter().map(VariantReport::new);
        Self {
            kind: match playlist.kind {
                Some(PlaylistKind::Vod) => "vod",
                Some(PlaylistKind::Event) => "event",
                None => "live",
            },
            ended: playlist.ended,
            target_duration: playlist.target_duration.as_secs_f64(),
            media_sequence: playlist.media_sequence,
            segments: playlist.segments,
            duration: playlist.duration.as_secs_f64(),
            program_date_time: playlist
                .dates
                .map(|(from, to)| [instant(from), instant(to)]),
            date_ranges: playlist
                .date_ranges
                .iter()
                .map(DateRangeReport::new)
                .collect(),
            variants: variants.collect(),
        }
    }
}

/// A few lines for people: what was cut.
pub(crate) fn clip_text(clip: &Clip, output: &str, bytes: u64) -> String {
    let mut text = format!("{output}: {}, {}", seconds(clip.duration_ms), size(bytes));
    if let Some(start) = clip.start_time {
        let _ = write!(text, ", from {}", instant(start));
    }
    text.push('\n');
    text.push_str(&tracks_text(clip));
    for chapter in clip.chapters() {
        let _ = writeln!(
            text,
            "  chapter at {}: {}",
            seconds(chapter.at / 90),
            chapter.title
        );
    }
    text
}

/// A few lines for people: what a playlist or segment holds.
pub(crate) fn probe_text(probe: &Probe, input: &str) -> String {
    let mut text = format!("{input}: {}", seconds(probe.clip.duration_ms));
    if let Some(playlist) = &probe.playlist {
        let report = PlaylistReport::new(playlist);
        let _ = write!(
            text,
            "\n  playlist: {}{}, {} segments from {}, target duration {} s",
            report.kind,
            if report.ended { ", ended" } else { "" },
            report.segments,
            report.media_sequence,
            report.target_duration,
        );
        if let Some([from, to]) = &report.program_date_time {
            let _ = write!(text, "\n  dated: {from} to {to}");
        }
        for variant in &report.variants {
            let resolution = variant.resolution.as_deref().unwrap_or("sound only");
            let _ = write!(
                text,
                "\n  variant: {} ({resolution}, {} bit/s)",
                variant.uri, variant.bandwidth
            );
        }
    }
    text.push('\n');
    text.push_str(&tracks_text(&probe.clip));
    for track in &probe.scrambled {
        let ScrambledTrack {
            pid, name, codec, ..
        } = track;
        let _ = writeln!(
            text,
            "  {} on PID {pid:#06x}: {name} ({codec}), scrambled",
            kind(track.kind)
        );
    }
    text
}

fn tracks_text(clip: &Clip) -> String {
    let mut text = String::new();
    for track in &clip.tracks {
        let report = TrackReport::new(track);
        let _ = write!(
            text,
            "  {} {}: {} ({})",
            report.kind,
            report.id,
            track.config.name(),
            report.codec
        );
        if let (Some(width), Some(height)) = (report.width, report.height) {
            let _ = write!(text, ", {width}x{height}");
        }
        if let Some(rate) = report.frame_rate {
            let _ = write!(text, ", {rate} frames/s");
        }
        if let (Some(rate), Some(channels)) = (report.sample_rate, report.channels) {
            let _ = write!(text, ", {rate} Hz, {channels} channels");
        }
        if track.captions {
            text.push_str(", closed captions (CEA-608/708)");
        }
        if report.language != "und" {
            let _ = write!(text, ", {}", report.language);
        }
        let _ = writeln!(text, ", {} samples", report.samples);
    }
    let mut schemes: Vec<(&str, usize)> = Vec::new();
    for event in clip.events() {
        match schemes
            .iter_mut()
            .find(|(scheme, _)| *scheme == event.scheme)
        {
            Some((_, count)) => *count += 1,
            None => schemes.push((&event.scheme, 1)),
        }
    }
    for (scheme, count) in schemes {
        let _ = writeln!(text, "  timed metadata: {scheme}, {count} events");
    }
    text
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}

pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
