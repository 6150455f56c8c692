//! Segments made of numbers, for tests.

use std::path::Path;
use std::sync::Arc;

use clipmill_media::{
    CodecConfig, Cue, Leading, Limits, Mpeg2VideoConfig, MpegAudioConfig, RandomAccess, Sample,
    SegmentIndex, TrackBuilder, TrackIndex, TrackKind, TrackTiming, VideoFormat,
};
use clipmill_playlist::Location;

use crate::timeline::{SegmentInfo, Ticks};

pub(crate) const FRAME: Ticks = 3_600;
pub(crate) const SOUND: Ticks = 2_160;

fn builder(id: u32, kind: TrackKind, timing: TrackTiming) -> TrackBuilder {
    TrackBuilder::new(id, kind, timing, 1 << 20, 188, false, &Limits::default()).unwrap()
}

fn push(track: &mut TrackBuilder, sample: Sample) {
    let start = track.position();
    track.push_piece(0, 100).unwrap();
    track.push_unit(start..start + 100).unwrap();
    track.push_sample(sample).unwrap();
}

/// 25 pictures a second from `start` on; each of `gop` is a sync sample. Displayed in decode order.
pub(crate) fn video(start: Ticks, frames: usize, gop: usize) -> TrackIndex {
    let pictures = (0..frames).map(|number| Picture {
        dts: start + number as i64 * FRAME,
        random_access: if number % gop == 0 {
            RandomAccess::Closed
        } else {
            RandomAccess::None
        },
        ..Picture::default()
    });
    pictures_of(pictures)
}

/// What a test says of a picture.
#[derive(Clone, Copy, Default)]
pub(crate) struct Picture {
    pub(crate) dts: Ticks,
    pub(crate) composition_offset: i32,
    pub(crate) random_access: RandomAccess,
    pub(crate) leading: Leading,
}

/// A track of these pictures.
pub(crate) fn pictures_of(pictures: impl IntoIterator<Item = Picture>) -> TrackIndex {
    let timing = TrackTiming::Exact { timescale: 90_000 };
    let mut track = builder(0x100, TrackKind::Video, timing);
    let config = Arc::new(CodecConfig::Mpeg2Video(Mpeg2VideoConfig {
        sequence_header: bytes::Bytes::from_static(b"\0\0\x01\xb3"),
        object_type: 0x61,
        video: VideoFormat {
            width: 320,
            height: 180,
            ..VideoFormat::default()
        },
    }));
    let config = track.config(&config).unwrap();
    for picture in pictures {
        push(
            &mut track,
            Sample {
                dts: picture.dts,
                composition_offset: picture.composition_offset,
                duration: 0,
                size: 0,
                config,
                random_access: picture.random_access,
                leading: picture.leading,
            },
        );
    }
    track.finish()
}

/// Frames of 24 ms (1152 samples at 48 kHz) from `start` on.
pub(crate) fn audio(start: Ticks, frames: usize) -> TrackIndex {
    let times: Vec<Ticks> = (0..frames).map(|n| start + n as i64 * SOUND).collect();
    sound_at(&times)
}

/// Such frames at these times.
pub(crate) fn sound_at(times: &[Ticks]) -> TrackIndex {
    let timing = TrackTiming::Rounded { clock: 90_000 };
    let mut track = builder(0x101, TrackKind::Audio, timing);
    let config = Arc::new(CodecConfig::MpegAudio(MpegAudioConfig {
        layer: 2,
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1152,
    }));
    let config = track.config(&config).unwrap();
    for &dts in times {
        push(
            &mut track,
            Sample {
                dts,
                composition_offset: 0,
                duration: 1152,
                size: 0,
                config,
                random_access: RandomAccess::Closed,
                leading: Leading::No,
            },
        );
    }
    track.finish()
}

pub(crate) fn segment(tracks: impl IntoIterator<Item = TrackIndex>) -> Arc<SegmentIndex> {
    Arc::new(SegmentIndex {
        segment_len: 1 << 20,
        tracks: tracks.into_iter().collect(),
        ..SegmentIndex::default()
    })
}

pub(crate) fn info(sequence: u64) -> SegmentInfo {
    SegmentInfo {
        location: Location::File(format!("{sequence}.ts").into()),
        byte_range: None,
        key: None,
        sequence,
        in_playlist: true,
        duration: 50 * FRAME,
        start_time: None,
        discontinuity: false,
        missing_before: 0,
    }
}

pub(crate) fn cue(start_ms: u64, end_ms: u64, text: &str) -> Cue {
    Cue {
        start_ms,
        end_ms,
        text: text.to_owned(),
        ..Cue::default()
    }
}

/// The segments of the demo stream, two seconds each.
pub(crate) fn demo_segments() -> Vec<(SegmentInfo, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo");
    let all = (0..10).map(|number| {
        let path = folder.join(format!("seg{number:02}.ts"));
        let bytes = std::fs::read(&path).unwrap();
        let info = SegmentInfo {
            location: Location::File(path),
            ..info(number)
        };
        (info, bytes)
    });
    all.collect()
}
