//! What is done for each clip: choosing the samples, laying them out, writing `moov`, and whole cuts.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot measure stops"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clipmill::{
    Bounds, Clip, ClipRequest, Cut, DemuxOptions, Demuxer, Format, Input, Location, SegmentIndex,
    SegmentInfo, Timeline, TrackKind, WindowRequest,
};
use clipmill_bench::media;
use clipmill_mp4::{Layout, Movie, MovieSample, Run, Track};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// A minute of real media, and what was indexed of it.
struct Minute {
    playlist: PathBuf,
    files: Vec<PathBuf>,
    indexes: Vec<Arc<SegmentIndex>>,
}

impl Minute {
    /// 1080p made by ffmpeg, or the bundled stream.
    fn new() -> Self {
        let made = media::stream(&media::default_folder(), media::Kind::Hd, 64);
        let bundled = || clipmill_tests::binary::root().join("fixtures/demo/index.m3u8");
        let playlist = made.unwrap_or_else(|_| bundled());
        let files = media::segments(&playlist);
        let mut demuxer = Demuxer::new(DemuxOptions::default());
        let indexes = files
            .iter()
            .map(|file| Arc::new(demuxer.index(&std::fs::read(file).unwrap()).unwrap()))
            .collect();
        Self {
            playlist,
            files,
            indexes,
        }
    }

    fn samples(&self) -> u64 {
        let tracks = self.indexes.iter().flat_map(|index| &index.tracks);
        tracks.map(|track| track.samples().len() as u64).sum()
    }

    /// The same minute over and over, each time behind a discontinuity.
    fn repeated(&self, segments: u64) -> Timeline {
        let mut timeline = Timeline::new();
        for sequence in 0..segments {
            let piece = sequence as usize % self.files.len();
            let info = SegmentInfo {
                sequence,
                location: Location::File(self.files[piece].clone()),
                byte_range: None,
                key: None,
                in_playlist: true,
                duration: 180_000,
                start_time: None,
                missing_before: 0,
                discontinuity: piece == 0,
            };
            timeline.push(info, Arc::clone(&self.indexes[piece]));
        }
        timeline
    }

    /// An hour as the muxer wants it, without the timeline.
    fn movie(&self) -> Movie {
        let kinds = [TrackKind::Video, TrackKind::Audio];
        let tracks = kinds.into_iter().filter_map(|kind| self.track(kind));
        Movie {
            tracks: tracks.collect(),
            ..Movie::default()
        }
    }

    fn track(&self, kind: TrackKind) -> Option<Track> {
        let place = |index: &SegmentIndex| index.tracks.iter().position(|it| it.kind() == kind);
        let first = &self.indexes[0].tracks[place(&self.indexes[0])?];
        let (timescale, duration) = match kind {
            TrackKind::Video => (90_000, 3_000),
            _ => (48_000, 1_024),
        };
        let (mut samples, mut runs) = (Vec::new(), Vec::new());
        for segment in 0..1_800 {
            let index = &self.indexes[segment % self.indexes.len()];
            let number = place(index)?;
            let of = index.tracks[number].samples();
            runs.push(Run {
                segment: segment as u32,
                track: number as u32,
                first_sample: 0,
                count: of.len() as u32,
            });
            samples.extend(of.iter().map(|sample| MovieSample {
                size: sample.size,
                duration,
                composition_offset: sample.composition_offset,
                config: 0,
                random_access: sample.random_access,
                leading: sample.leading,
            }));
        }
        Some(Track {
            kind,
            timescale,
            language: first.language(),
            name: None,
            id: None,
            enabled: true,
            configs: first.configs().to_vec(),
            edits: Vec::new(),
            samples,
            runs,
            restarts: Vec::new(),
            start: 0,
        })
    }
}

fn planning(criterion: &mut Criterion) {
    let minute = Minute::new();
    let hour = minute.repeated(1_800);
    let mut group = criterion.benchmark_group("an hour");
    group.sample_size(20);
    group.bench_function("choose the samples", |bencher| {
        bencher.iter(|| Clip::new(&hour, Bounds::default(), Cut::Exact).unwrap());
    });
    let clip = Clip::new(&hour, Bounds::default(), Cut::Exact).unwrap();
    for format in [Format::Mp4, Format::Fmp4] {
        group.bench_function(format!("lay out {format:?}"), |bencher| {
            bencher.iter(|| clip.layout(format).unwrap());
        });
    }
    let movie = minute.movie();
    group.bench_function("interleave and write moov", |bencher| {
        bencher.iter_batched(
            || movie.clone(),
            |movie| Layout::progressive(movie).unwrap(),
            BatchSize::LargeInput,
        );
    });
    group.finish();

    let each = minute.samples() / minute.files.len() as u64;
    let segments = 1_000_000_u64.div_ceil(each.max(1));
    let million = minute.repeated(segments);
    let mut group = criterion.benchmark_group("a million samples");
    group.sample_size(10);
    group.throughput(Throughput::Elements(segments * each));
    group.bench_function("plan a clip: choose and lay out", |bencher| {
        bencher.iter(|| {
            let clip = Clip::new(&million, Bounds::default(), Cut::Exact).unwrap();
            clip.layout(Format::Mp4).unwrap()
        });
    });
    group.finish();
}

fn cutting(criterion: &mut Criterion) {
    let minute = Minute::new();
    let lengths = minute
        .files
        .iter()
        .map(|file| file.metadata().unwrap().len());
    let bytes: u64 = lengths.sum();
    let folder = tempfile::tempdir_in(media::default_folder()).unwrap();
    let out = folder.path().join("clip.mp4");
    let mut group = criterion.benchmark_group("cut to a file");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(bytes));
    for format in [Format::Mp4, Format::Fmp4] {
        group.bench_function(format!("64 s, {format:?}"), |bencher| {
            bencher.iter(|| cut(&minute.playlist, &WindowRequest::default(), format, &out));
        });
    }
    group.throughput(Throughput::Elements(1));
    let last = WindowRequest {
        last: Some(Duration::from_secs(5)),
        ..WindowRequest::default()
    };
    group.bench_function("the last 5 s", |bencher| {
        bencher.iter(|| cut(&minute.playlist, &last, Format::Mp4, &out));
    });
    group.finish();
}

fn cut(playlist: &Path, window: &WindowRequest, format: Format, out: &Path) {
    let input = Input::playlist(playlist);
    let clip = input.clip(&ClipRequest::new(*window)).unwrap();
    clip.write_as(format, out).unwrap();
}

criterion_group!(clip, planning, cutting);
criterion_main!(clip);
