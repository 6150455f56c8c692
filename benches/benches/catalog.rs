//! A catalog of 100,000 clips: making it, adding to it, listing it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot measure stops"
)]

use std::cell::Cell;

use clipmill_bench::media;
use clipmill_server::catalog::{Catalog, ClipQuery, SledCatalog, SortBy};
use clipmill_server::domain::ClipEntry;
use clipmill_server::storage::ClipRecord;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const CLIPS: u32 = 100_000;

fn clip(number: u32) -> ClipEntry {
    let clip_id = format!("{number:024}");
    ClipEntry {
        title: format!("camera {} (1080p)", number % 200),
        file_name: format!("{clip_id}.mp4"),
        stream_id: format!("camera{}", number % 200),
        key: format!("{clip_id}.mp4"),
        created_ms: 1_795_356_000_000 + i64::from(number) * 500,
        start_ms: 1_795_355_940_000 + i64::from(number) * 500,
        duration_ms: 60_000,
        bytes: 11_250_000,
        id: clip_id,
        ..ClipEntry::default()
    }
}

fn benches(criterion: &mut Criterion) {
    // On the disk: what is committed is synced.
    let folder = media::default_folder();
    std::fs::create_dir_all(&folder).unwrap();
    let home = tempfile::tempdir_in(&folder).unwrap();
    let records: Vec<_> = (0..CLIPS)
        .map(|number| ClipRecord::new("live", &clip(number), None))
        .collect();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("catalog");
    group.sample_size(10);
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("import 1,000 clips into an empty one", |bencher| {
        bencher.iter_batched(
            || {
                let home = tempfile::tempdir_in(&folder).unwrap();
                let catalog = SledCatalog::open(home.path()).unwrap().catalog;
                (home, catalog)
            },
            |(home, catalog)| {
                runtime.block_on(catalog.import(&records[..1_000])).unwrap();
                (home, catalog)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();

    let catalog = SledCatalog::open(home.path()).unwrap().catalog;
    for some in records.chunks(10_000) {
        runtime.block_on(catalog.import(some)).unwrap();
    }
    let mut group = criterion.benchmark_group("catalog of 100,000 clips");
    group.sample_size(10);
    let next = Cell::new(CLIPS);
    group.bench_function("commit a clip", |bencher| {
        bencher.iter(|| {
            let number = next.replace(next.get() + 1);
            let clip = clip(number);
            let committed = catalog.commit_clip("live", &clip, None, &[]);
            runtime.block_on(committed).unwrap();
        });
    });
    let page = |offset: usize, query: ClipQuery| ClipQuery {
        offset,
        size: 50,
        ..query
    };
    let queries = [
        ("list the first 50", page(0, ClipQuery::default())),
        ("list 50 in the middle", page(50_000, ClipQuery::default())),
        (
            "list the latest 50 by date",
            page(
                0,
                ClipQuery {
                    sort_by: SortBy::Date,
                    descending: true,
                    ..ClipQuery::default()
                },
            ),
        ),
        (
            "list 50 of a stream",
            page(
                0,
                ClipQuery {
                    stream_id: Some("camera7".to_owned()),
                    ..ClipQuery::default()
                },
            ),
        ),
        (
            "search",
            page(
                0,
                ClipQuery {
                    search: Some("camera 117".to_owned()),
                    ..ClipQuery::default()
                },
            ),
        ),
    ];
    for (name, query) in queries {
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(catalog.clips("live", &query)).unwrap());
        });
    }
    group.bench_function("count", |bencher| {
        bencher.iter(|| runtime.block_on(catalog.count_clips("live", None)).unwrap());
    });
    let one = clip(CLIPS / 2).id;
    group.bench_function("look up one", |bencher| {
        bencher.iter(|| runtime.block_on(catalog.clip("live", &one)).unwrap());
    });
    let mut last = 0;
    group.bench_function("list the next 500 of all", |bencher| {
        bencher.iter(|| {
            let page = runtime.block_on(catalog.clips_after("live", last, 500));
            last = page.unwrap().last().map_or(0, |(place, _)| *place);
        });
    });
    group.finish();
}

criterion_group!(catalog, benches);
criterion_main!(catalog);
