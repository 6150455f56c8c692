//! Media made by others, whole and damaged: nothing panics, and every sample that an index lists
//! can be gathered from its segment.

use std::path::{Path, PathBuf};

use clipmill_ts::{DemuxOptions, Demuxer, IndexError};

/// Transport streams of the corpus; empty, with a line that says so, where there is none.
fn files() -> Vec<PathBuf> {
    let root = std::env::var_os("CLIPMILL_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    );
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let extension = path.extension().unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if ["ts", "mts", "m2ts"].iter().any(|ts| extension == *ts) {
                found.push(path);
            }
        }
    }
    found.sort();
    if found.is_empty() {
        eprintln!("skipped: no transport streams under {}", root.display());
    }
    found
}

/// Indexes `segment` and gathers all of it; how many samples there are.
fn index(demuxer: &mut Demuxer, segment: &[u8]) -> Result<usize, IndexError> {
    let index = demuxer.index(segment)?;
    let mut samples = 0;
    for track in &index.tracks {
        let all = 0..track.samples().len();
        samples += all.len();
        let len = track.gathered_len(all.clone());
        let mut out = Vec::new();
        assert_eq!(track.gather(segment, all, &mut out), Ok(()));
        assert_eq!(out.len() as u64, len);
        assert!(track.samples().iter().all(|sample| sample.size > 0));
        assert!(track.samples().is_empty() || !track.configs().is_empty());
    }
    Ok(samples)
}

#[test]
fn every_file_is_indexed_or_says_why_not() {
    for path in files() {
        let segment = std::fs::read(&path).expect("readable");
        let mut demuxer = Demuxer::new(DemuxOptions::default());
        let first = index(&mut demuxer, &segment);
        match &first {
            Ok(samples) => println!("{}: {samples} samples", path.display()),
            Err(error) => println!("{}: {error}", path.display()),
        }
        // What is kept from one segment must not harm another.
        demuxer.discontinuity();
        let again = index(&mut demuxer, &segment);
        assert_eq!(first.is_ok(), again.is_ok(), "{}", path.display());
    }
}

#[test]
fn no_damage_panics() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for path in files() {
        let whole = std::fs::read(&path).expect("readable");
        if whole.is_empty() || whole.len() > 150_000 {
            continue;
        }
        for round in 0..12 {
            let mut bytes = whole.clone();
            for _ in 0..random(200) {
                let at = random(bytes.len());
                bytes[at] ^= 1 << random(8);
            }
            if round % 3 == 1 {
                let at = random(bytes.len());
                let end = (at + random(2000)).min(bytes.len());
                bytes.drain(at..end);
            }
            if round % 3 == 2 {
                bytes.truncate(random(bytes.len()));
            }
            let mut demuxer = Demuxer::new(DemuxOptions::default());
            let (first, second) = bytes.split_at(random(bytes.len()));
            for segment in [first, second, &bytes] {
                let _ = index(&mut demuxer, segment);
            }
        }
    }
}
