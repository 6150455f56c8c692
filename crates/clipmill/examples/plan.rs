//! How long it takes to plan a clip of a million samples, from the timeline to the file's every
//! byte: the figure of `docs/performance.md`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clipmill::{Bounds, Clip, Cut, Format, Limits, Location, SegmentIndex, SegmentInfo, Timeline};
use clipmill_media::{
    CodecConfig, Leading, Mpeg2VideoConfig, MpegAudioConfig, RandomAccess, Sample, TrackBuilder,
    TrackIndex, TrackKind, TrackTiming, VideoFormat,
};

/// Segments of two seconds.
const SEGMENTS: i64 = 6_400;
const SECOND: i64 = 90_000;
/// Frames of a segment, at 30 a second and 48,000 / 1,152 a second.
const PICTURES: i64 = 60;
const SOUNDS: i64 = 96;

fn track(
    kind: TrackKind,
    timing: TrackTiming,
    config: &Arc<CodecConfig>,
    samples: impl Iterator<Item = Sample>,
) -> Option<TrackIndex> {
    let id = if kind == TrackKind::Video { 256 } else { 257 };
    let limits = Limits::default();
    let mut track = TrackBuilder::new(id, kind, timing, 1 << 20, 188, false, &limits).ok()?;
    let config = track.config(config).ok()?;
    for sample in samples {
        let start = track.position();
        // Sizes that differ, as real ones do.
        let len = 100 + (sample.dts / 1_920 % 77).unsigned_abs();
        track.push_piece(0, usize::try_from(len).ok()?).ok()?;
        track.push_unit(start..start + len).ok()?;
        track.push_sample(Sample { config, ..sample }).ok()?;
    }
    Some(track.finish())
}

fn segment(number: i64, configs: &[Arc<CodecConfig>; 2]) -> Option<SegmentIndex> {
    let start = number * 2 * SECOND;
    let sample = Sample {
        dts: start,
        composition_offset: 0,
        duration: 0,
        size: 0,
        config: 0,
        random_access: RandomAccess::None,
        leading: Leading::No,
    };
    let step = 2 * SECOND / PICTURES;
    let pictures = (0..PICTURES).map(|at| Sample {
        dts: start + at * step,
        // As two B-pictures between two others have it.
        composition_offset: [2, 4, 0, 0][at as usize % 4] * step as i32,
        random_access: if at == 0 {
            RandomAccess::Closed
        } else {
            RandomAccess::None
        },
        ..sample
    });
    let sounds = (0..SOUNDS).map(|at| Sample {
        dts: (number * SOUNDS + at) * 1_152 * SECOND / 48_000,
        duration: 1_152,
        random_access: RandomAccess::Closed,
        ..sample
    });
    let timescale = u32::try_from(SECOND).ok()?;
    let exact = TrackTiming::Exact { timescale };
    let rounded = TrackTiming::Rounded { clock: timescale };
    Some(SegmentIndex {
        segment_len: 1 << 20,
        tracks: vec![
            track(TrackKind::Video, exact, &configs[0], pictures)?,
            track(TrackKind::Audio, rounded, &configs[1], sounds)?,
        ],
        ..SegmentIndex::default()
    })
}

/// The same in all segments, as a demuxer has them.
fn configs() -> [Arc<CodecConfig>; 2] {
    let video = CodecConfig::Mpeg2Video(Mpeg2VideoConfig {
        sequence_header: Bytes::from_static(b"\0\0\x01\xb3"),
        object_type: 0x61,
        video: VideoFormat {
            width: 1920,
            height: 1080,
            ..VideoFormat::default()
        },
    });
    let audio = CodecConfig::MpegAudio(MpegAudioConfig {
        layer: 2,
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1_152,
    });
    [Arc::new(video), Arc::new(audio)]
}

fn main() {
    let configs = configs();
    let mut timeline = Timeline::new();
    for number in 0..SEGMENTS {
        let Some(index) = segment(number, &configs) else {
            eprintln!("segment {number} cannot be made");
            return;
        };
        let info = SegmentInfo {
            location: Location::File("segment.ts".into()),
            byte_range: None,
            key: None,
            in_playlist: true,
            sequence: number.unsigned_abs(),
            duration: 2 * SECOND,
            start_time: None,
            discontinuity: false,
            missing_before: 0,
        };
        timeline.push(info, Arc::new(index));
    }
    let mut times: Vec<(Duration, Duration)> = Vec::new();
    for _ in 0..15 {
        let begun = Instant::now();
        let Some(clip) = Clip::new(&timeline, Bounds::default(), Cut::Exact) else {
            return;
        };
        let chosen = begun.elapsed();
        let samples: u64 = clip.tracks.iter().map(|track| track.samples).sum();
        let Ok(layout) = clip.layout(Format::Mp4) else {
            return;
        };
        times.push((begun.elapsed(), chosen));
        if times.len() == 1 {
            println!("{samples} samples, a file of {} bytes", layout.len());
        }
    }
    times.sort_unstable();
    let (all, chosen) = times[times.len() / 2];
    println!("{all:?} at the median, {chosen:?} of it until the clip is chosen");
    println!("{:?} at the least", times[0].0);
}
