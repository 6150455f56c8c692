//! What is done to each segment once: the packet walk, the index, and the gathering of payload.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot measure stops"
)]

use std::hint::black_box;
use std::path::PathBuf;

use clipmill::{DemuxOptions, Demuxer, SegmentIndex};
use clipmill_bench::media;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Packets of stuffing (ISO/IEC 13818-1, 2.4.3.3).
const STUFFING: usize = 20_000;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(clipmill_tests::binary::root().join("fixtures").join(name)).unwrap()
}

/// Segments by what is in them.
fn segments() -> Vec<(&'static str, Vec<u8>)> {
    let folder = media::default_folder();
    let read = |files: Vec<PathBuf>| std::fs::read(&files[0]).unwrap();
    let hd = media::stream(&folder, media::Kind::Hd, 64).map(|it| media::segments(&it));
    let h264 = hd.map_or_else(|_| fixture("demo/seg00.ts"), read);
    let sound = media::sound(&folder).and_then(|it| std::fs::read(it).map_err(|e| e.to_string()));
    let mut segments = vec![
        ("H.264 and AAC", h264),
        ("H.265 and AAC", fixture("hevc/seg01.ts")),
    ];
    segments.extend(sound.ok().map(|sound| ("AAC alone", sound)));
    let weight = clipmill_tests::writer::Plan {
        groups: 1,
        group: 50,
        weight: 6_000,
        ..Default::default()
    };
    let written = weight.segments().remove(0).bytes;
    segments.push(("H.264 of many small NAL units", written));
    segments
}

fn index(segment: &[u8]) -> SegmentIndex {
    Demuxer::new(DemuxOptions::default())
        .index(segment)
        .unwrap()
}

fn benches(criterion: &mut Criterion) {
    let segments = segments();

    let mut stuffed = fixture("tiny.ts");
    let mut null = [0xff; 188];
    null[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    for _ in 0..STUFFING {
        stuffed.extend_from_slice(&null);
    }
    let mut group = criterion.benchmark_group("packet walk");
    group.throughput(Throughput::Bytes(stuffed.len() as u64));
    group.bench_function("stuffing", |bencher| {
        bencher.iter(|| index(black_box(&stuffed)));
    });
    group.finish();

    let mut group = criterion.benchmark_group("index of a segment");
    for (name, segment) in &segments {
        group.throughput(Throughput::Bytes(segment.len() as u64));
        group.bench_function(*name, |bencher| bencher.iter(|| index(black_box(segment))));
    }
    group.finish();

    let mut group = criterion.benchmark_group("gather");
    for (name, segment) in &segments {
        let index = index(segment);
        let mut out = Vec::with_capacity(segment.len());
        group.throughput(Throughput::Bytes(segment.len() as u64));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                out.clear();
                for track in &index.tracks {
                    let all = 0..track.samples().len();
                    track.gather(black_box(segment), all, &mut out).unwrap();
                }
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group!(segment, benches);
criterion_main!(segment);
