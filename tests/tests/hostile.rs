//! Whatever bytes come in, a clip comes out, or an error in one line: never a panic, a hang, or
//! memory without bound.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use clipmill::{Clip, ClipRequest, Format, Location};
use clipmill_fuzz as fuzz;
use clipmill_tests::binary::{self, clipmill, finish, root};
use clipmill_tests::corpus::{corpus, files};
use clipmill_tests::mp4;
use clipmill_tests::writer::Plan;
use serde_json::Value;

fn tiny() -> Vec<u8> {
    std::fs::read(root().join("fixtures/tiny.ts")).unwrap()
}

#[test]
fn a_segment_that_ends_at_any_byte() {
    let tiny = tiny();
    for end in 0..=tiny.len() {
        fuzz::ts_segment(&tiny[..end]);
    }
}

#[test]
fn a_segment_that_begins_at_any_byte() {
    let tiny = tiny();
    for start in 0..tiny.len() {
        fuzz::ts_segment(&tiny[start..]);
    }
}

#[test]
fn a_segment_with_any_byte_changed() {
    let tiny = tiny();
    for at in 0..tiny.len() {
        for change in [0xff, 0x80, 0x01] {
            let mut damaged = tiny.clone();
            damaged[at] ^= change;
            fuzz::ts_segment(&damaged);
        }
    }
}

#[test]
fn a_playlist_that_ends_at_any_byte() {
    for name in ["demo/live-0.m3u8", "ladder/master.m3u8"] {
        let text = std::fs::read(root().join("fixtures").join(name)).unwrap();
        for end in 0..=text.len() {
            fuzz::playlist(&text[..end]);
        }
    }
}

#[test]
fn the_seeds_of_the_fuzz_targets() {
    let seeds = root().join("fuzz/seeds");
    for (target, run) in fuzz::TARGETS {
        let found = files(&seeds.join(target));
        assert!(!found.is_empty(), "no seeds for {target}");
        for seed in found {
            run(&std::fs::read(seed).unwrap());
        }
    }
}

/// Inputs that broke others' parsers.
#[test]
fn the_seeds_of_others() {
    let Some(corpus) = corpus() else { return };
    let mut seen = 0;
    for file in files(&corpus.join("dev/fuzz-seeds")) {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let seed: Value = serde_json::from_str(line).unwrap();
            for bytes in seed["args_hex"].as_array().unwrap() {
                let bytes = unhex(bytes.as_str().unwrap_or_default());
                for (_, run) in fuzz::TARGETS {
                    run(&bytes);
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 200, "only {seen} seeds");
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).filter_map(digits).collect()
}

/// Real media with packets lost, bits flipped and stretches overwritten.
#[test]
fn damaged_media_of_others() {
    let Some(corpus) = corpus() else { return };
    let media = files(&corpus.join("gen/ts"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "ts"));
    for (n, path) in media.enumerate() {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(188 * 400);
        let mut state = n as u32 + 1;
        for _ in 0..bytes.len() / 500 {
            // Marsaglia's xorshift: any numbers will do, the same each time.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let at = state as usize % bytes.len();
            bytes[at] = (state >> 16) as u8;
        }
        fuzz::ts_segment(&bytes);
    }
}

#[test]
fn playlists_of_others() {
    let Some(corpus) = corpus() else { return };
    for file in files(&corpus) {
        if file
            .extension()
            .is_some_and(|extension| extension == "m3u8")
        {
            fuzz::playlist(&std::fs::read(file).unwrap());
        }
    }
}

/// The binary gives up in one line on any playlist that leads nowhere, and takes no time for it.
#[test]
fn the_binary_survives_playlists_of_others() {
    let Some(corpus) = corpus() else { return };
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("out.mp4");
    for file in files(&corpus.join("gen/playlists")) {
        if file
            .extension()
            .is_some_and(|extension| extension == "m3u8")
            && !reaches_the_network(&file)
        {
            let run = clipmill([Path::new("cut"), &file, Path::new("-o"), &out]);
            let last = run.stderr.trim_end().lines().last().unwrap_or_default();
            assert!(run.code == 1 && last.starts_with("clipmill: "), "{run:?}");
        }
    }
}

fn reaches_the_network(playlist: &Path) -> bool {
    let text = std::fs::read(playlist).unwrap();
    String::from_utf8_lossy(&text).contains("http")
}

/// A few bytes cannot ask for much memory.
#[test]
fn small_inputs_take_little_memory() {
    if !Path::new("/usr/bin/time").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.mp4");
    let huge = folder.path().join("huge.m3u8");
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:99999999999\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n\
                #EXTINF:99999999999,\n#EXT-X-BYTERANGE:18446744073709551615@18446744073709551615\ntiny.ts\n\
                #EXTINF:2,\ntiny.ts\n";
    std::fs::write(&huge, text).unwrap();
    std::fs::write(folder.path().join("tiny.ts"), tiny()).unwrap();
    let mut command = Command::new("/usr/bin/time");
    command
        .args(["-f", "%M"])
        .arg(binary::path())
        .arg("cut")
        .arg(&huge)
        .arg("-o")
        .arg(&out);
    let run = finish(command);
    let kib: u64 = run
        .stderr
        .trim_end()
        .lines()
        .last()
        .unwrap()
        .parse()
        .unwrap();
    assert!(matches!(run.code, 0 | 1), "{run:?}");
    assert!(kib < 64 * 1024, "{kib} KiB");
    if run.code == 0 {
        let file = std::fs::read(out).unwrap();
        assert_eq!(mp4::read(&file).unwrap().faults(&file), [""; 0]);
    }
}

/// Found by `whole_cut`: where a segment held nothing of a track, what came after it was written at
/// the time at which the hole began.
#[test]
fn a_stream_whose_sound_is_gone_from_one_segment_flows_on_in_time() {
    let plan = Plan {
        groups: 4,
        group: 6,
        ..Plan::default()
    };
    let mut segments = plan.segments();
    let sound = |packet: &[u8]| packet[1] & 0x1f == 1 && packet[2] == 1;
    let packets = segments[1].bytes.chunks(188);
    segments[1].bytes = packets
        .filter(|packet| !sound(packet))
        .flatten()
        .copied()
        .collect();
    let memory = fuzz::Memory::stream(&plan, &segments);
    let request = ClipRequest::default();
    let clip = fuzz::cut(&memory, &request).unwrap();
    let file = fuzz::sound_file(&memory, &clip, Format::Fmp4);
    let mut streamed = Vec::new();
    let playlist = Location::File("index.m3u8".into());
    let name = Path::new("-");
    let go_on = &mut |_| ControlFlow::Continue(());
    Clip::stream(&memory, &playlist, &request, name, &mut streamed, go_on).unwrap();
    let [laid_out, streamed] = [&file, &streamed].map(|file| {
        let movie = mp4::read(file).unwrap();
        assert_eq!(movie.faults(file), [""; 0]);
        let tracks = movie.tracks.into_iter();
        tracks
            .map(|track| {
                track
                    .samples
                    .iter()
                    .map(|one| (one.dts, one.pts))
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(streamed, laid_out);
}

/// Found by `playlist`: a duration of ten thousand million years overflowed on its way to ticks.
#[test]
fn segments_that_last_for_ages() {
    for duration in [
        "0388313981572612095",
        "9223372036854775807",
        "1e300",
        "99999999999999",
    ] {
        let text = format!("#EXTM3U\n#EXTINF:{duration},\na.ts\n#EXTINF:{duration},\nb.ts\n");
        fuzz::playlist(text.as_bytes());
    }
}
