//! The same media comes out, whatever it came in.

use std::fs;
use std::path::{Path, PathBuf};

use aes::{Aes128, Aes256};
use cbc::Encryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use clipmill::{AudioChoice, BoundClip, ClipError, ClipRequest, Format, Input, Limits};
use clipmill_mp4::FragmentIndexer;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo/index.m3u8")
}

fn cut(playlist: &Path) -> Result<Vec<u8>, ClipError> {
    write(&Input::playlist(playlist).clip(&ClipRequest::default())?)
}

fn remux(files: &[PathBuf]) -> Result<Vec<u8>, ClipError> {
    let input = Input::files(files.iter().map(PathBuf::as_path));
    write(&input.clip(&ClipRequest::default())?)
}

fn write(clip: &BoundClip<'_>) -> Result<Vec<u8>, ClipError> {
    let mut out = Vec::new();
    clip.write_to(Format::Fmp4, Path::new("memory"), &mut out)?;
    Ok(out)
}

type AccessUnit = (i64, i32, bool, Vec<u8>);

/// The access units of each track: when, whether decoding can begin with it, and its bytes.
fn access_units(fmp4: &[u8]) -> Vec<Vec<AccessUnit>> {
    let mut indexer = FragmentIndexer::new(&Limits::default());
    let index = indexer.index(fmp4).unwrap();
    let tracks = index.tracks.iter().map(|track| {
        let samples = track.samples();
        let first = samples.first().unwrap().dts;
        let units = samples.iter().enumerate().map(|(at, sample)| {
            let mut bytes = Vec::new();
            track.gather(fmp4, at..at + 1, &mut bytes).unwrap();
            let sync = sample.random_access.is_sync();
            (sample.dts - first, sample.composition_offset, sync, bytes)
        });
        units.collect()
    });
    tracks.collect()
}

/// Offset and size of the boxes of a file.
fn boxes(file: &[u8]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let kind = String::from_utf8_lossy(&file[at + 4..at + 8]).into_owned();
        found.push((kind, at, size));
        at += size;
    }
    found
}

/// Where the `moov` of a file ends, and each of its fragments.
fn parts(file: &[u8]) -> (usize, Vec<(usize, usize)>) {
    let boxes = boxes(file);
    let moov = boxes.iter().find(|one| one.0 == "moov").unwrap();
    let fragments = boxes.windows(2).filter(|pair| pair[0].0 == "moof");
    let fragments = fragments.map(|pair| (pair[0].1, pair[0].2 + pair[1].2));
    (moov.1 + moov.2, fragments.collect())
}

#[test]
fn fragmented_mp4_comes_out_as_it_went_in() {
    let original = cut(&demo()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (init, fragments) = parts(&original);
    assert!(fragments.len() > 2);
    fs::write(folder.path().join("all.fmp4"), &original).unwrap();
    let mut ranges = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MAP:URI=\"all.fmp4\",BYTERANGE=\"{init}@0\"\n"
    );
    let mut files = vec![folder.path().join("init.mp4")];
    fs::write(&files[0], &original[..init]).unwrap();
    let mut named = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MAP:URI=\"init.mp4\"\n".to_owned();
    for (number, (at, size)) in fragments.iter().enumerate() {
        ranges += &format!("#EXTINF:2,\n#EXT-X-BYTERANGE:{size}@{at}\nall.fmp4\n");
        named += &format!("#EXTINF:2,\n{number}.fmp4\n");
        let file = folder.path().join(format!("{number}.fmp4"));
        fs::write(&file, &original[*at..at + size]).unwrap();
        files.push(file);
    }
    for text in [&mut ranges, &mut named] {
        *text += "#EXT-X-ENDLIST\n";
    }
    let playlist = |text: &str| {
        let path = folder.path().join("index.m3u8");
        fs::write(&path, text).unwrap();
        cut(&path).unwrap()
    };
    let wanted = access_units(&original);
    assert_eq!(wanted.len(), 2);
    for again in [
        playlist(&ranges),
        playlist(&named),
        remux(&files).unwrap(),
        remux(&[folder.path().join("all.fmp4")]).unwrap(),
    ] {
        assert!(access_units(&again) == wanted, "other access units");
    }
}

#[test]
fn a_map_that_is_missing_or_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let original = cut(&demo()).unwrap();
    let (_, fragments) = parts(&original);
    let (at, size) = fragments[0];
    fs::write(folder.path().join("0.m4s"), &original[at..at + size]).unwrap();
    fs::write(folder.path().join("other.mp4"), &original[at..at + size]).unwrap();
    let failure = |map: &str| {
        let path = folder.path().join("index.m3u8");
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n{map}#EXTINF:2,\n0.m4s\n");
        fs::write(&path, text).unwrap();
        cut(&path).unwrap_err().to_string()
    };
    let text = failure("#EXT-X-MAP:URI=\"gone.mp4\"\n");
    assert!(text.contains("gone.mp4: not found"), "{text}");
    let text = failure("#EXT-X-MAP:URI=\"other.mp4\"\n");
    assert!(
        text.contains("other.mp4: no initialization segment"),
        "{text}"
    );
    let text = failure("");
    assert!(text.contains("no initialization segment"), "{text}");
}

/// The demo's segments.
fn segments() -> Vec<Vec<u8>> {
    let folder = demo();
    let folder = folder.parent().unwrap();
    let numbered = (0..).map(|n| fs::read(folder.join(format!("seg{n:02}.ts"))));
    numbered.map_while(Result::ok).collect()
}

fn encrypt(segment: &[u8], key: &[u8], iv: u128) -> Vec<u8> {
    let iv = iv.to_be_bytes();
    if key.len() == 16 {
        let cipher = Encryptor::<Aes128>::new_from_slices(key, &iv).unwrap();
        return cipher.encrypt_padded_vec::<Pkcs7>(segment);
    }
    let cipher = Encryptor::<Aes256>::new_from_slices(key, &iv).unwrap();
    cipher.encrypt_padded_vec::<Pkcs7>(segment)
}

#[test]
fn encrypted_segments_come_out_as_they_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let segments = segments();
    assert!(segments.len() > 3);
    write("a.key", b"YELLOW SUBMARINE");
    write("long.key", b"YELLOW SUBMARINEYELLOW SUBMARINE");
    // The sequence number as vector, then one of its own, then a longer key, then none.
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:7\n".to_owned();
    for (number, segment) in segments.iter().enumerate() {
        let (tag, bytes) = match number {
            0 => (
                "METHOD=AES-128,URI=\"a.key\"",
                encrypt(segment, b"YELLOW SUBMARINE", 7),
            ),
            1 => (
                "METHOD=AES-128,URI=\"data:;base64,RU1FUkFMRCBTQUlMRklTSA==\",IV=0xff",
                encrypt(segment, b"EMERALD SAILFISH", 0xff),
            ),
            2 => (
                "METHOD=AES-256,URI=\"long.key\",IV=0x5",
                encrypt(segment, b"YELLOW SUBMARINEYELLOW SUBMARINE", 5),
            ),
            _ => ("METHOD=NONE", segment.clone()),
        };
        write(&format!("{number}.ts"), &bytes);
        text += &format!("#EXT-X-KEY:{tag}\n#EXTINF:2,\n{number}.ts\n");
    }
    write("index.m3u8", (text + "#EXT-X-ENDLIST\n").as_bytes());
    let clear = cut(&demo()).unwrap();
    let decrypted = cut(&folder.path().join("index.m3u8")).unwrap();
    assert!(access_units(&decrypted) == access_units(&clear));
}

#[test]
fn keys_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.m3u8");
    let segment = encrypt(&segments()[0], b"YELLOW SUBMARINE", 0);
    fs::write(folder.path().join("0.ts"), &segment).unwrap();
    fs::write(folder.path().join("1.ts"), &segment[..segment.len() - 1]).unwrap();
    fs::write(folder.path().join("short.key"), b"short").unwrap();
    let failure = |key: &str, segment: u8| {
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-KEY:{key}\n#EXTINF:2,\n{segment}.ts\n"
        );
        fs::write(&path, text).unwrap();
        cut(&path).unwrap_err().to_string()
    };
    let has = |text: String, part: &str| assert!(text.contains(part), "{text}");
    let right = "METHOD=AES-128,URI=\"data:,YELLOW%20SUBMARINE\"";
    for wrong in 0..20 {
        let key = format!("METHOD=AES-128,URI=\"data:,WRONG%20SUBMARIN{wrong:02}\"");
        has(failure(&key, 0), "the key in the playlist does not fit");
    }
    has(failure(right, 1), "no whole number of AES blocks");
    let short = failure("METHOD=AES-128,URI=\"short.key\"", 0);
    has(short, "short.key has 5 bytes instead of 16");
    let gone = failure("METHOD=AES-128,URI=\"gone.key\"", 0);
    has(gone, "gone.key: not found");
    let outside = failure("METHOD=AES-128,URI=\"../a.key\"", 0);
    has(outside, "leads outside");
    let drm = "METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple.streamingkeydelivery\"";
    has(failure(drm, 0), "DRM by FairPlay");
    let samples = failure("METHOD=SAMPLE-AES,URI=\"short.key\"", 0);
    has(samples, "short.key has 5 bytes instead of 16");
    let counter = failure("METHOD=SAMPLE-AES-CTR,URI=\"short.key\"", 0);
    has(counter, "METHOD=SAMPLE-AES-CTR) is not supported yet");
}

#[test]
fn sound_in_a_playlist_of_its_own_lies_where_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(demo()).unwrap();
    for (number, segment) in segments().into_iter().enumerate() {
        fs::write(folder.path().join(format!("seg{number:02}.ts")), segment).unwrap();
    }
    fs::write(folder.path().join("media.m3u8"), text).unwrap();
    let master = folder.path().join("master.m3u8");
    let text = "#EXTM3U\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Own\",LANGUAGE=\"en\",DEFAULT=YES\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Autre\",LANGUAGE=\"fr-CA\",URI=\"media.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Gone\",LANGUAGE=\"de\",URI=\"gone.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nmedia.m3u8\n";
    fs::write(&master, text).unwrap();
    let clip = |audio| {
        let mut request = ClipRequest::default();
        request.audio = audio;
        let input = Input::playlist(master.as_path());
        let clip = input.clip(&request)?;
        Ok::<_, ClipError>((write(&clip)?, clip.into_clip()))
    };
    let (file, all) = clip(AudioChoice::All).unwrap();
    let units = access_units(&file);
    assert_eq!(units.len(), 3);
    assert!(units[1] == units[2], "the same sound, read twice");
    let alone = access_units(&cut(&demo()).unwrap());
    assert!(units[0] == alone[0] && units[1] == alone[1]);
    let firsts: Vec<_> = all.tracks.iter().map(|track| track.first_pts).collect();
    assert_eq!(firsts[1], firsts[2]);
    assert_eq!(all.tracks[2].language.as_str(), "fra");
    let gone = |warning: &String| warning.contains("\"Gone\"") && warning.contains("not found");
    assert!(all.warnings.iter().any(gone), "{:?}", all.warnings);

    let tracks = |audio| clip(audio).unwrap().1.tracks.len();
    assert_eq!(tracks(AudioChoice::Default), 2, "it is in the variant");
    assert_eq!(tracks(AudioChoice::Language("fr".into())), 3);
    assert_eq!(tracks(AudioChoice::Language("fra".into())), 3);
    let error = clip(AudioChoice::Language("es".into()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no audio \"es\"; there is en (Own), fr-CA (Autre)"),
        "{error}"
    );
}

/// The access units of a clip of a playlist that lists `whole` segments and these parts.
fn with_parts(folder: &Path, whole: &[&str], parts: &[String]) -> Vec<Vec<AccessUnit>> {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=1\n".to_owned();
    for segment in whole {
        text.push_str(&format!("#EXTINF:1,\n{segment}\n"));
    }
    for part in parts {
        text.push_str(&format!("#EXT-X-PART:DURATION=0.5,{part}\n"));
    }
    text.push_str("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"not-there-yet\"\n");
    let playlist = folder.join("parts.m3u8");
    fs::write(&playlist, text).unwrap();
    access_units(&cut(&playlist).unwrap())
}

/// Low-Latency HLS (rfc8216bis, 4.4.4.9): parts of the segment that is not complete yet.
#[test]
fn parts_are_the_beginning_of_their_segment() {
    let folder = tempfile::tempdir().unwrap();
    let demo = demo();
    let demo = demo.parent().unwrap();
    for number in 0..3 {
        let name = format!("seg0{number}.ts");
        fs::copy(demo.join(&name), folder.path().join(name)).unwrap();
    }
    let names = ["seg00.ts", "seg01.ts", "seg02.ts"];
    let all = with_parts(folder.path(), &names, &[]);
    let length = fs::metadata(folder.path().join("seg02.ts")).unwrap().len();
    let half = length / 188 / 2 * 188;
    let part = |offset: u64, end: u64| {
        let length = end - offset;
        format!("URI=\"seg02.ts\",BYTERANGE=\"{length}@{offset}\"")
    };
    let both = [part(0, half), part(half, length)];
    let units = with_parts(folder.path(), &names[..2], &both);
    assert_eq!(units.len(), all.len());
    for (units, all) in units.iter().zip(&all) {
        assert!(units == all, "both parts together are the segment");
    }
    let units = with_parts(folder.path(), &names[..2], &both[..1]);
    let before = with_parts(folder.path(), &names[..2], &[]);
    for ((units, all), before) in units.iter().zip(&all).zip(&before) {
        assert!(units.len() > before.len() && units.len() < all.len());
        let beginning = &all[..units.len() - 1];
        assert!(units.starts_with(beginning), "one part is its beginning");
    }
}

/// The same with parts in files of their own, each of one fragment.
#[test]
fn parts_of_fragmented_mp4() {
    let folder = tempfile::tempdir().unwrap();
    let file = cut(&demo()).unwrap();
    let (head, fragments) = parts(&file);
    fs::write(folder.path().join("init.mp4"), &file[..head]).unwrap();
    let mut names = Vec::new();
    for (number, &(at, size)) in fragments.iter().enumerate() {
        let name = format!("part{number}.m4s");
        fs::write(folder.path().join(&name), &file[at..at + size]).unwrap();
        names.push(format!("URI=\"{name}\""));
    }
    let (first, rest) = fragments.split_at(fragments.len() / 2);
    let start = first.first().unwrap().0;
    let end = rest.first().unwrap().0;
    fs::write(folder.path().join("whole.m4s"), &file[start..end]).unwrap();
    let map = "#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2,\nwhole.m4s";
    let text = |listed: &[String]| {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{map}\n");
        for part in listed {
            text.push_str(&format!("#EXT-X-PART:DURATION=0.5,{part}\n"));
        }
        text
    };
    let playlist = folder.path().join("index.m3u8");
    fs::write(&playlist, text(&names[first.len()..])).unwrap();
    let units = access_units(&cut(&playlist).unwrap());
    let all = access_units(&file);
    for (units, all) in units.iter().zip(&all) {
        assert!(units == all, "{} of {}", units.len(), all.len());
    }
    assert!(rest.len() > 1);
    fs::write(&playlist, text(&names[first.len()..names.len() - 1])).unwrap();
    let units = access_units(&cut(&playlist).unwrap());
    assert!(units[0].len() < all[0].len());
}

#[test]
fn keys_at_hand_are_taken_wherever_the_playlist_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let keys = tempfile::tempdir().unwrap();
    let segments = segments();
    fs::write(keys.path().join("raw.key"), b"YELLOW SUBMARINE").unwrap();
    let digits: String = b"EMERALD SAILFISH"
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect();
    fs::write(keys.path().join("digits"), format!("{digits}\n")).unwrap();
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n".to_owned();
    for (number, segment) in segments.iter().enumerate() {
        let (uri, key) = match number % 2 {
            0 => (
                "https://keys.invalid/a/raw.key?token=x",
                b"YELLOW SUBMARINE",
            ),
            _ => ("../elsewhere/digits", b"EMERALD SAILFISH"),
        };
        let bytes = encrypt(segment, key, number as u128);
        fs::write(folder.path().join(format!("{number}.ts")), bytes).unwrap();
        text += &format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{uri}\"\n#EXTINF:2,\n{number}.ts\n");
    }
    let playlist = folder.path().join("index.m3u8");
    fs::write(&playlist, text + "#EXT-X-ENDLIST\n").unwrap();
    let input = Input::playlist(playlist);
    let mut request = ClipRequest::default();
    request.keys = Some(keys.path().to_owned());
    let clip = input.clip(&request).unwrap();
    let clear = cut(&demo()).unwrap();
    assert!(access_units(&write(&clip).unwrap()) == access_units(&clear));
    // Another key of that name.
    fs::write(keys.path().join("raw.key"), b"YELLOW SUBMARINF").unwrap();
    let clip = input.clip(&request).unwrap();
    let said = clip.clip().warnings.join("\n");
    assert!(said.contains("/raw.key?… does not fit"), "{said}");
    assert!(!said.contains("SUBMARIN"), "{said}");
}
