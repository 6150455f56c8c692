//! Playlists of 20,000 segments: reading one, and finding a window in it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot measure stops"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use clipmill_playlist::{MediaPlaylist, Playlist, PlaylistLimits, TimeSpec, WindowRequest};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const SEGMENTS: i64 = 20_000;

/// 2026-11-22T14:00:00Z.
const BEGINS: i64 = 1_795_356_000;

/// As Ant Media Server writes it.
fn text() -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n\
                    #EXT-X-PLAYLIST-TYPE:EVENT\n"
        .to_owned();
    for number in 0..SEGMENTS {
        let at = DateTime::from_timestamp(BEGINS + 2 * number, 0).unwrap();
        let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let _ = write!(
            text,
            "#EXTINF:2.000000,\n#EXT-X-PROGRAM-DATE-TIME:{at}\nstream{number:09}.ts\n"
        );
    }
    text
}

fn parsed(text: &str) -> MediaPlaylist {
    match Playlist::parse(text.as_bytes(), &PlaylistLimits::default()).unwrap() {
        Playlist::Media(playlist) => playlist,
        Playlist::Multivariant(_) => panic!("a media playlist"),
    }
}

fn benches(criterion: &mut Criterion) {
    let text = text();
    let mut group = criterion.benchmark_group("playlist of 20,000 segments");
    group.sample_size(20);
    group.throughput(Throughput::Elements(SEGMENTS as u64));
    group.bench_function("parse", |bencher| bencher.iter(|| parsed(black_box(&text))));
    group.finish();

    let playlist = parsed(&text);
    let instant = |seconds: i64| {
        DateTime::from_timestamp(BEGINS + seconds, 0).map(|instant| TimeSpec::At(instant.to_utc()))
    };
    let requests = [
        (
            "by the clock",
            WindowRequest {
                from: instant(30_001),
                to: instant(30_061),
                ..WindowRequest::default()
            },
        ),
        (
            "the last minute",
            WindowRequest {
                last: Some(Duration::from_secs(60)),
                ..WindowRequest::default()
            },
        ),
    ];
    let mut group = criterion.benchmark_group("window of 20,000 segments");
    for (name, request) in requests {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let window = black_box(&request).resolve(&playlist).unwrap();
                window.segments_overlapping(&playlist)
            });
        });
    }
    group.finish();
}

criterion_group!(playlist, benches);
criterion_main!(playlist);
