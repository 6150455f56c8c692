//! The examples do what they say.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(dead_code, reason = "examples are called without their `main`")]

#[path = "../examples/all_renditions.rs"]
mod all_renditions;
#[path = "../examples/folder_to_clips.rs"]
mod folder_to_clips;
#[path = "../examples/last_seconds.rs"]
mod last_seconds;
#[path = "../examples/probe.rs"]
mod probe;
#[path = "../examples/push_segments.rs"]
mod push_segments;
#[path = "../examples/range_from_memory.rs"]
mod range_from_memory;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("../../fixtures").join(name)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// How long a file is presented by its `mvhd` (version 0), in milliseconds, and with how many tracks.
fn told(file: &Path) -> (u64, usize) {
    let bytes = fs::read(file).unwrap();
    let find = |kind: &[u8]| bytes.windows(4).position(|window| window == kind).unwrap();
    let number = |at: usize| u64::from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()));
    let header = find(b"mvhd") + 4;
    let (timescale, duration) = (number(header + 12), number(header + 16));
    let moov = &bytes[..find(b"mdat")];
    let tracks = moov.windows(4).filter(|window| window == b"tkhd").count();
    (duration * 1000 / timescale, tracks)
}

#[test]
fn the_last_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.mp4");
    let demo = fixture("demo/index.m3u8");
    last_seconds::cut(demo.into(), Duration::from_secs(5), &file).unwrap();
    let (duration, tracks) = told(&file);
    // The sound of the last picture ends a little later.
    assert!((5_000..5_050).contains(&duration), "{duration}");
    assert_eq!(tracks, 2);
}

#[test]
fn a_folder_to_clips() {
    let folder = tempfile::tempdir().unwrap();
    folder_to_clips::convert(&fixture("demo"), folder.path()).unwrap();
    assert!(names(folder.path()).contains(&"live-2.mp4".to_owned()));
    assert!(told(&folder.path().join("index.mp4")).0 >= 20_000);
}

/// Its clips hold all that was pushed, and nothing of what was kept is left.
#[test]
fn segments_that_are_pushed() {
    let folder = tempfile::tempdir().unwrap();
    let segments = (0..10).map(|number| fixture(&format!("demo/seg{number:02}.ts")));
    push_segments::record(folder.path(), segments).unwrap();
    let found = names(folder.path());
    assert_eq!(found, ["1.mp4", "2.mp4", "3.mp4", "4.mp4", "last.mp4"]);
    let durations = found.iter().map(|name| told(&folder.path().join(name)).0);
    let periodic: u64 = durations.take(4).sum();
    assert!((20_000..20_200).contains(&periodic), "{periodic}");
}

#[test]
fn a_range_from_memory() {
    let segments = || {
        let names = (0..10).map(|number| fixture(&format!("demo/seg{number:02}.ts")));
        names.map(|name| fs::read(name).unwrap().into())
    };
    let whole = range_from_memory::answer(segments(), 0, u64::MAX - 1).unwrap();
    assert_eq!(&whole[4..8], b"ftyp");
    let part = range_from_memory::answer(segments(), 100_000, 199_999).unwrap();
    assert!(part == whole[100_000..200_000]);
}

#[test]
fn what_a_playlist_holds() {
    let lines = probe::lines(fixture("demo/index.m3u8").into()).unwrap();
    assert_eq!(lines[0], "ended, 10 segments, 20.000 s");
    assert!(lines[1].starts_with("Video avc1."), "{lines:?}");
    assert!(lines[2].starts_with("Audio mp4a.40.2: "), "{lines:?}");
    assert_eq!(lines.len(), 3);
}

#[test]
fn a_clip_of_each_variant() {
    let folder = tempfile::tempdir().unwrap();
    let ladder = fixture("ladder/master.m3u8");
    all_renditions::cut(ladder.into(), Duration::from_secs(2), folder.path()).unwrap();
    let found = names(folder.path());
    assert!(found.len() > 1, "{found:?}");
    let durations: Vec<_> = found
        .iter()
        .map(|name| told(&folder.path().join(name)).0)
        .collect();
    let same = |duration: &u64| duration.abs_diff(durations[0]) < 50;
    assert!(durations.iter().all(same), "{durations:?}");
}
