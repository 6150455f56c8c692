//! Whatever bytes come in, a clip comes out, or an error in one line: never a panic, a hang, or
//! memory without bound.

use std::path::Path;
use std::process::Command;

use clipmill::{ClipRequest, Format, Input};
use clipmill_fuzz as fuzz;
use clipmill_tests::binary::{self, clipmill, finish, root};
use clipmill_tests::corpus::{corpus, files};
use clipmill_tests::mp4;
use clipmill_tests::writer::Plan;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
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
        let mut damaged = tiny.clone();
        damaged[at] ^= [0xff, 0x80, 0x01][at % 3];
        fuzz::ts_segment(&damaged);
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

/// A short walk around the seeds, where libFuzzer makes a long one. It is the same each time, unless
/// `CLIPMILL_FUZZ_SEED` says otherwise; `CLIPMILL_FUZZ_ROUNDS` makes it longer.
#[test]
fn a_walk_around_the_seeds() {
    let number = |name: &str, usual: u64| {
        std::env::var(name).map_or(usual, |text| text.parse().expect(name))
    };
    let start = number("CLIPMILL_FUZZ_SEED", 1);
    let rounds = number("CLIPMILL_FUZZ_ROUNDS", 300);
    let words = words();
    assert!(words.len() > 100, "only {} words", words.len());
    for (target, run) in fuzz::TARGETS {
        let seeds: Vec<Vec<u8>> = files(&root().join("fuzz/seeds").join(target))
            .iter()
            .map(|file| std::fs::read(file).unwrap())
            .collect();
        let mut rng = StdRng::seed_from_u64(start);
        for round in 0..rounds {
            let mut input = seeds[rng.random_range(0..seeds.len())].clone();
            for _ in 0..rng.random_range(1..6) {
                change(&mut input, &seeds, &words, &mut rng);
            }
            input.truncate(8192);
            let outcome = std::panic::catch_unwind(|| run(&input));
            let hex = || -> String { input.iter().map(|byte| format!("{byte:02x}")).collect() };
            assert!(
                outcome.is_ok(),
                "{target}, round {round} from {start}: {}",
                hex()
            );
        }
    }
}

/// One of the changes that fuzzers make.
fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[Vec<u8>], rng: &mut StdRng) {
    let at = rng.random_range(0..=input.len());
    let end = rng.random_range(at..=input.len().min(at + 400));
    match rng.random_range(0..7) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)];
            }
        }
        2 => drop(input.drain(at..end)),
        3 => {
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        4 => input.truncate(at),
        5 => {
            let word = words[rng.random_range(0..words.len())].clone();
            let over = input.len().min(at + word.len() * rng.random_range(0..2));
            input.splice(at..over, word);
        }
        _ => {
            let other = &seeds[rng.random_range(0..seeds.len())];
            let from = rng.random_range(0..=other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

/// The words of the fuzzers' dictionaries.
fn words() -> Vec<Vec<u8>> {
    let texts = files(&root().join("fuzz/dictionaries"));
    let texts: Vec<_> = texts
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    let lines = lines.filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (_, word) = line.trim_end().strip_suffix('"')?.split_once('"')?;
            let mut word = word.bytes();
            let mut bytes = Vec::new();
            while let Some(byte) = word.next() {
                bytes.push(match byte {
                    b'\\' => match word.next()? {
                        b'x' => {
                            let digits = [word.next()?, word.next()?];
                            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                        }
                        escaped => escaped,
                    },
                    byte => byte,
                });
            }
            Some(bytes)
        })
        .collect()
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
        let is_playlist = file
            .extension()
            .is_some_and(|extension| extension == "m3u8");
        // The binary reads those that are longer.
        let text = if is_playlist {
            std::fs::read(file).unwrap()
        } else {
            continue;
        };
        if text.len() < 64 << 10 {
            fuzz::playlist(&text);
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
    let input = Input::playlist("index.m3u8").with_source(&memory);
    input
        .stream(&request, Path::new("-"), &mut streamed)
        .unwrap();
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
