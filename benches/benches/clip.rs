//! The steps of a cut: indexing a segment, laying out an hour, and whole cuts.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot measure stops"
)]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use clipmill::{
    AnySource, Bounds, Clip, ClipRequest, Cut, DemuxOptions, Demuxer, Format, Location,
    SegmentInfo, Timeline, WindowRequest,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn clip(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let Ok(playlist) =
        clipmill_bench::media::stream(folder.path(), clipmill_bench::media::Kind::Hd, 64)
    else {
        return;
    };
    let files = clipmill_bench::media::segments(&playlist);
    let first = std::fs::read(&files[0]).unwrap();

    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Bytes(first.len() as u64));
    group.bench_function("one segment of 2 s", |bencher| {
        bencher.iter(|| Demuxer::new(DemuxOptions::default()).index(&first).unwrap());
    });
    group.finish();

    let mut demuxer = Demuxer::new(DemuxOptions::default());
    let indexes: Vec<_> = files
        .iter()
        .map(|file| Arc::new(demuxer.index(&std::fs::read(file).unwrap()).unwrap()))
        .collect();
    // The same minute, over and over, each time after a discontinuity.
    let mut hour = Timeline::new();
    for sequence in 0..1_800 {
        let info = SegmentInfo {
            sequence,
            location: Location::File(files[sequence as usize % files.len()].clone()),
            byte_range: None,
            key: None,
            in_playlist: true,
            duration: 180_000,
            start_time: None,
            missing_before: 0,
            discontinuity: sequence % indexes.len() as u64 == 0,
        };
        hour.push(
            info,
            Arc::clone(&indexes[sequence as usize % indexes.len()]),
        );
    }
    let mut group = criterion.benchmark_group("hour");
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
    group.finish();

    let bytes: u64 = files
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    let source = AnySource::default();
    let playlist = Location::File(playlist);
    let out = folder.path().join("clip.mp4");
    let cut = |window: &WindowRequest, format| {
        let request = ClipRequest {
            window: *window,
            ..ClipRequest::default()
        };
        let go_on = &mut |_| ControlFlow::Continue(());
        let clip = Clip::from_playlist(&source, &playlist, &request, go_on).unwrap();
        let layout = clip.layout(format).unwrap();
        layout.write_to_path(&source, &out, go_on).unwrap();
    };
    let mut group = criterion.benchmark_group("cut to a file");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(bytes));
    for format in [Format::Mp4, Format::Fmp4] {
        group.bench_function(format!("64 s, {format:?}"), |bencher| {
            bencher.iter(|| cut(&WindowRequest::default(), format));
        });
    }
    group.throughput(Throughput::Elements(1));
    let last = WindowRequest {
        last: Some(Duration::from_secs(5)),
        ..WindowRequest::default()
    };
    group.bench_function("the last 5 s", |bencher| {
        bencher.iter(|| cut(&last, Format::Mp4));
    });
    group.finish();
}

criterion_group!(benches, clip);
criterion_main!(benches);
