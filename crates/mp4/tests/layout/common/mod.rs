//! A movie over segments that are made up, and a renderer that knows nothing but the public API.
#![allow(dead_code)]

pub(crate) mod judge;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use clipmill_media::{
    AacConfig, Ac3Config, Chroma, CodecConfig, Colour, Eac3Config, Eac3Substream, H264Config,
    H265Config, Language, Leading, Limits, Mpeg2VideoConfig, MpegAudioConfig, OpusConfig,
    RandomAccess, Rational, Sample, TrackBuilder, TrackIndex, TrackKind, TrackTiming, VideoFormat,
};
use clipmill_mp4::{Edit, Fragment, Layout, Movie, MovieSample, Run, Span, Track};

/// One sample to be made up: the sizes of its units and the rest.
#[derive(Debug, Clone)]
pub(crate) struct SampleSpec {
    pub(crate) units: Vec<u16>,
    pub(crate) duration: u32,
    pub(crate) composition_offset: i32,
    pub(crate) config: u16,
    pub(crate) random_access: RandomAccess,
    pub(crate) leading: Leading,
}

impl SampleSpec {
    pub(crate) fn of(size: u16, duration: u32) -> Self {
        Self {
            units: vec![size],
            duration,
            composition_offset: 0,
            config: 0,
            random_access: RandomAccess::Closed,
            leading: Leading::No,
        }
    }
}

/// One track to be made up: its samples segment by segment.
#[derive(Debug, Clone)]
pub(crate) struct TrackSpec {
    pub(crate) configs: Vec<CodecConfig>,
    pub(crate) timescale: u32,
    pub(crate) edits: Vec<Edit>,
    pub(crate) start: u64,
    pub(crate) segments: Vec<Vec<SampleSpec>>,
}

/// A movie, and the segments that its runs speak of.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) movie: Movie,
    pub(crate) segments: Vec<Vec<u8>>,
    pub(crate) tracks: Vec<Vec<TrackIndex>>,
}

/// Samples of each segment before those that the movie uses.
const UNUSED: u32 = 2;

impl World {
    pub(crate) fn new(specs: &[TrackSpec]) -> Self {
        let count = specs.iter().map(|spec| spec.segments.len()).max();
        let mut segments = Vec::new();
        let mut tracks = Vec::new();
        let mut movie_tracks: Vec<Track> = specs.iter().map(movie_track).collect();
        for at in 0..count.unwrap_or(0) {
            let (bytes, indexes) = segment(at, specs);
            for (source, (index, (track, spec))) in indexes
                .iter()
                .zip(movie_tracks.iter_mut().zip(specs))
                .enumerate()
            {
                add_run(at, source, index, track, spec);
            }
            segments.push(bytes);
            tracks.push(indexes);
        }
        let movie = Movie {
            tracks: movie_tracks,
            events: Vec::new(),
            chapters: Vec::new(),
            creation_time: Some(1_795_378_500),
            title: Some("A title".to_owned()),
            comment: Some("Kommentar: ü".to_owned()),
            metadata: Some(Bytes::from_static(b"{\"clip\":1}")),
        };
        Self {
            movie,
            segments,
            tracks,
        }
    }

    /// What a reader finds of each track that has samples, with these bytes in them; decoding begins at
    /// `start`.
    pub(crate) fn read(
        &self,
        payloads: Vec<Vec<Vec<u8>>>,
        start: impl Fn(&Track) -> u64,
    ) -> Vec<Vec<judge::Read>> {
        let tracks = self.movie.tracks.iter().zip(payloads);
        tracks
            .filter(|(track, _)| !track.samples.is_empty())
            .map(|(track, payloads)| {
                let mut time = start(track);
                let samples = track.samples.iter().zip(payloads);
                let read = samples.map(|(sample, bytes)| {
                    let read = judge::Read {
                        bytes,
                        time,
                        duration: sample.duration,
                        composition_offset: sample.composition_offset,
                        description: u32::from(sample.config) + 1,
                        sync: sample.random_access.is_sync(),
                    };
                    time += u64::from(sample.duration);
                    read
                });
                read.collect()
            })
            .collect()
    }

    /// What the samples of each track are, in order.
    pub(crate) fn payloads(&self) -> Vec<Vec<Vec<u8>>> {
        let one = |run: &Run, sample: u32| {
            let mut out = Vec::new();
            let track = &self.tracks[run.segment as usize][run.track as usize];
            let segment = &self.segments[run.segment as usize];
            let at = sample as usize;
            track.gather(segment, at..at + 1, &mut out).unwrap();
            out
        };
        let track = |track: &Track| {
            let samples = |run| (0u32..).map(move |at| (run, at));
            track
                .runs
                .iter()
                .flat_map(|run: &Run| samples(run).take(run.count as usize))
                .map(|(run, at)| one(run, run.first_sample + at))
                .collect()
        };
        self.movie.tracks.iter().map(track).collect()
    }

    /// What the samples of each track are in a fragmented file: pictures with several
    /// configurations bring their parameter sets along.
    pub(crate) fn fragment_payloads(&self) -> Vec<Vec<Vec<u8>>> {
        let mut payloads = self.payloads();
        for (track, payloads) in self.movie.tracks.iter().zip(&mut payloads) {
            if track.kind == TrackKind::Audio || track.configs.len() == 1 {
                continue;
            }
            let mut last = None;
            for (sample, payload) in track.samples.iter().zip(payloads) {
                if last != Some(sample.config) || sample.random_access.is_sync() {
                    let config = &track.configs[usize::from(sample.config)];
                    payload.splice(0..0, in_band(config));
                }
                last = Some(sample.config);
            }
        }
        payloads
    }

    pub(crate) fn render(&self, layout: &Layout, range: Range<u64>) -> Vec<u8> {
        self.render_spans(layout.spans(range))
    }

    pub(crate) fn render_fragment(&self, fragment: &Fragment) -> Vec<u8> {
        self.render_spans(fragment.spans())
    }

    fn render_spans<'a>(&self, spans: impl Iterator<Item = Span<'a>>) -> Vec<u8> {
        let mut out = Vec::new();
        for span in spans {
            let len = span.len();
            assert_ne!(len, 0, "no span is empty");
            let before = out.len();
            match span {
                Span::Bytes(bytes) => out.extend_from_slice(bytes),
                Span::Media(media) => {
                    let track = &self.tracks[media.segment as usize][media.track as usize];
                    let segment = &self.segments[media.segment as usize];
                    let samples = media.samples.start as usize..media.samples.end as usize;
                    let mut gathered = Vec::new();
                    track
                        .gather(segment, samples.clone(), &mut gathered)
                        .unwrap();
                    let skip = media.skip as usize;
                    let end = skip + media.len as usize;
                    let (first, last) = (samples.start, samples.end - 1);
                    if !(skip == 0 && end == gathered.len()) {
                        assert!(
                            skip < track.samples().get(first).unwrap().size as usize,
                            "narrowed"
                        );
                        let rest = gathered.len() - end;
                        assert!(
                            rest < track.samples().get(last).unwrap().size as usize,
                            "narrowed"
                        );
                    }
                    out.extend_from_slice(&gathered[skip..end]);
                }
            }
            assert_eq!((out.len() - before) as u64, len);
        }
        out
    }
}

fn movie_track(spec: &TrackSpec) -> Track {
    Track {
        id: None,
        kind: spec.configs[0].kind(),
        timescale: spec.timescale,
        language: Language::from_bytes(b"deu"),
        name: None,
        enabled: true,
        configs: spec.configs.iter().cloned().map(Arc::new).collect(),
        edits: spec.edits.clone(),
        samples: Vec::new(),
        runs: Vec::new(),
        restarts: Vec::new(),
        start: spec.start,
    }
}

fn add_run(at: usize, source: usize, index: &TrackIndex, track: &mut Track, spec: &TrackSpec) {
    let samples = spec.segments.get(at).map_or(&[][..], |s| s.as_slice());
    // In two runs, as a clip may be told.
    let half = samples.len() as u32 / 2;
    for (first, count) in [(0, half), (half, samples.len() as u32 - half)] {
        track.runs.push(Run {
            segment: at as u32,
            track: source as u32,
            first_sample: UNUSED + first,
            count,
        });
    }
    let used = index.samples().range(UNUSED as usize..usize::MAX);
    for (made, spec) in used.iter().zip(samples) {
        track.samples.push(MovieSample {
            size: made.size,
            duration: spec.duration,
            composition_offset: spec.composition_offset,
            config: spec.config,
            random_access: spec.random_access,
            leading: spec.leading,
        });
    }
}

/// Bytes in which no two stretches are alike, and the tracks in them.
fn segment(at: usize, specs: &[TrackSpec]) -> (Vec<u8>, Vec<TrackIndex>) {
    let none = Vec::new();
    let samples = |spec: &TrackSpec| {
        let unused = (0..UNUSED).map(|_| SampleSpec::of(5, 1));
        let used = spec.segments.get(at).unwrap_or(&none).iter().cloned();
        unused.chain(used).collect::<Vec<_>>()
    };
    let total: u64 = specs
        .iter()
        .flat_map(samples)
        .flat_map(|sample| sample.units)
        .map(|unit| u64::from(unit) + 3)
        .sum();
    let mut state = at as u64 + 1;
    let bytes = (0..total).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    });
    let bytes: Vec<u8> = bytes.collect();
    let mut offset = 0;
    let tracks = specs.iter().map(|spec| {
        let kind = spec.configs[0].kind();
        let mut track = TrackBuilder::new(
            1,
            kind,
            TrackTiming::Exact { timescale: 1 },
            total,
            0,
            kind == TrackKind::Video,
            &Limits::default(),
        )
        .unwrap();
        track.config(&Arc::new(spec.configs[0].clone())).unwrap();
        let mut position = 0u64;
        for sample in samples(spec) {
            for &unit in &sample.units {
                // Three bytes of no track between any two units.
                track.push_piece(offset, unit.into()).unwrap();
                offset += u64::from(unit) + 3;
                track
                    .push_unit(position..position + u64::from(unit))
                    .unwrap();
                position += u64::from(unit);
            }
            track
                .push_sample(Sample {
                    dts: 0,
                    composition_offset: 0,
                    duration: 0,
                    size: 0,
                    config: 0,
                    random_access: RandomAccess::None,
                    leading: Leading::No,
                })
                .unwrap();
        }
        track.finish()
    });
    let tracks = tracks.collect();
    (bytes, tracks)
}

/// The parameter sets of an H.264 configuration, each behind its length.
pub(crate) fn in_band(config: &CodecConfig) -> Vec<u8> {
    let CodecConfig::H264(config) = config else {
        panic!("not H.264");
    };
    let sets = config.sps.iter().chain(&config.pps);
    sets.flat_map(|set| [&(set.len() as u32).to_be_bytes(), &set[..]].concat())
        .collect()
}

pub(crate) fn video_format() -> VideoFormat {
    VideoFormat {
        width: 1440,
        height: 1080,
        sample_aspect_ratio: Some(Rational { num: 4, den: 3 }),
        colour: Some(Colour {
            primaries: 1,
            transfer: 1,
            matrix: 1,
            full_range: false,
        }),
        frame_rate: Some(Rational { num: 25, den: 1 }),
        chroma: Chroma::Yuv420,
        bit_depth_luma: 8,
        bit_depth_chroma: 8,
        reorder_depth: Some(2),
        ..VideoFormat::default()
    }
}

pub(crate) fn h264() -> CodecConfig {
    h264_with(0x28)
}

pub(crate) fn h264_with(level: u8) -> CodecConfig {
    CodecConfig::H264(H264Config {
        sps: vec![Bytes::from(vec![0x67, 100, 0, level, 0xac])],
        pps: vec![Bytes::from_static(&[0x68, 0xee, 0x3c, 0x80])],
        sps_extensions: Vec::new(),
        profile_idc: 100,
        constraint_flags: 0,
        level_idc: level,
        video: video_format(),
    })
}

pub(crate) fn h265() -> CodecConfig {
    CodecConfig::H265(H265Config {
        vps: vec![Bytes::from_static(&[0x40, 1, 0x0c])],
        sps: vec![Bytes::from_static(&[0x42, 1, 1])],
        pps: vec![Bytes::from_static(&[0x44, 1, 0xc0])],
        general_profile_space: 0,
        general_tier_flag: false,
        general_profile_idc: 2,
        general_profile_compatibility_flags: 0x2000_0000,
        general_constraint_indicator_flags: 0x9000_0000_0000,
        general_level_idc: 120,
        min_spatial_segmentation_idc: 0,
        parallelism_type: 0,
        temporal_layers: 1,
        temporal_id_nested: true,
        video: VideoFormat {
            bit_depth_luma: 10,
            bit_depth_chroma: 10,
            ..video_format()
        },
    })
}

pub(crate) fn mpeg2_video() -> CodecConfig {
    CodecConfig::Mpeg2Video(Mpeg2VideoConfig {
        sequence_header: Bytes::from_static(&[0, 0, 1, 0xb3, 0x2d, 0x02, 0x40, 0x23]),
        object_type: 0x61,
        video: video_format(),
    })
}

pub(crate) fn aac() -> CodecConfig {
    CodecConfig::Aac(AacConfig {
        audio_specific_config: Bytes::from_static(&[0x11, 0x90]),
        object_type: 2,
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
    })
}

pub(crate) fn mpeg_audio(sample_rate: u32) -> CodecConfig {
    CodecConfig::MpegAudio(MpegAudioConfig {
        layer: 3,
        sample_rate,
        channels: 2,
        frame_samples: 1152,
    })
}

pub(crate) fn ac3() -> CodecConfig {
    CodecConfig::Ac3(Ac3Config {
        sample_rate: 48_000,
        channels: 6,
        fscod: 0,
        bsid: 8,
        bsmod: 0,
        acmod: 7,
        lfeon: true,
        bit_rate_code: 15,
    })
}

pub(crate) fn eac3() -> CodecConfig {
    CodecConfig::Eac3(Eac3Config {
        sample_rate: 48_000,
        channels: 8,
        data_rate: 768,
        substreams: vec![Eac3Substream {
            fscod: 0,
            bsid: 16,
            asvc: false,
            bsmod: 0,
            acmod: 7,
            lfeon: true,
            num_dep_sub: 1,
            chan_loc: 2,
        }],
        joc_complexity: Some(16),
    })
}

pub(crate) fn opus() -> CodecConfig {
    CodecConfig::Opus(OpusConfig {
        channels: 6,
        pre_skip: 312,
        input_sample_rate: 48_000,
        output_gain: 0,
        mapping_family: 1,
        mapping: Bytes::from_static(&[4, 2, 0, 4, 1, 2, 3, 5]),
    })
}

/// 4 seconds of 25 frames per second in two segments, with B-frames, and of AAC.
pub(crate) fn picture_and_sound() -> Vec<TrackSpec> {
    let frame = |at: u16| {
        let key = at.is_multiple_of(25);
        SampleSpec {
            units: vec![7, if key { 400 } else { 30 + at % 7 }],
            duration: 3_600,
            composition_offset: [3_600, 10_800, 0, 0][usize::from(at % 4)],
            config: 0,
            random_access: if key {
                RandomAccess::Closed
            } else {
                RandomAccess::None
            },
            leading: Leading::No,
        }
    };
    let sound = |at: u16| SampleSpec::of(90 + at % 5, 1024);
    vec![
        TrackSpec {
            configs: vec![h264()],
            timescale: 90_000,
            edits: vec![Edit {
                duration: 360_000,
                media_time: Some(3_600),
            }],
            start: 0,
            segments: vec![(0..50).map(frame).collect(), (50..100).map(frame).collect()],
        },
        TrackSpec {
            configs: vec![aac()],
            timescale: 48_000,
            edits: vec![
                Edit {
                    duration: 900,
                    media_time: None,
                },
                Edit {
                    duration: 359_100,
                    media_time: Some(0),
                },
            ],
            start: 0,
            segments: vec![(0..94).map(sound).collect(), (94..187).map(sound).collect()],
        },
    ]
}
