//! Keys that are wrong, or of a kind that is not known, for some of the segments: what cannot be decrypted
//! is left out and is a gap, and never noise in a clip.

use std::fs;
use std::path::Path;

use aes::Aes128;
use cbc::cipher::{Block, BlockCipherDecrypt, KeyInit};
use clipmill_tests::binary::{self, Run};
use clipmill_tests::mux;
use clipmill_tests::sample_aes::Key;
use clipmill_tests::tools;
use serde_json::Value;

use super::{cut, fixture, hex, key, playlist, samples};

/// The demo, pictures alone, each segment encrypted with one key.
fn encrypted_pictures(count: usize, key: &Key) -> Vec<Vec<u8>> {
    let segments = (0..count).map(|n| {
        let plain = fs::read(fixture(&format!("demo/seg0{n}.ts"))).unwrap();
        let mut streams = mux::streams(&plain);
        streams.retain(|stream| stream.stream_type == 0x1b);
        streams.iter_mut().for_each(|stream| key.encrypt(stream));
        mux::segment(&streams)
    });
    segments.collect()
}

/// A wrong key in the middle: noise is left out, and said to be missing.
#[test]
fn pictures_that_a_key_does_not_fit_are_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let encrypted = encrypted_pictures(5, &key(1));
    let keys = [1, 1, 2, 1, 1].map(key);
    let path = playlist(folder.path(), &encrypted, &[key(1); 5]);
    let whole = folder.path().join("whole.mp4");
    let run = cut(&path, &whole).expect(0);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);

    let path = playlist(folder.path(), &encrypted, &keys);
    let out = folder.path().join("out.mp4");
    let args = |strict: bool| {
        let mut args = vec!["cut", path.to_str().unwrap(), "-o", out.to_str().unwrap()];
        args.push("--json");
        args.extend(strict.then_some("--strict"));
        args
    };
    let run = binary::clipmill(args(false)).expect(0);
    let said = run.json();
    has_one_gap_of_a_wrong_key(&said);
    let (whole, found) = (samples(&whole), samples(&out));
    // Four of five segments, each the same as with the right key.
    assert_eq!(found[0].len() * 5, whole[0].len() * 4);
    assert!(found[0].iter().all(|sample| whole[0].contains(sample)));
    binary::clipmill(args(true)).expect(3);
}

/// What a report says of segments in a row that a key does not fit.
fn has_one_gap_of_a_wrong_key(said: &Value) {
    assert_eq!(said["gaps"].as_array().unwrap().len(), 1, "{said}");
    assert!(
        said["warnings"]
            .to_string()
            .contains("does not fit: wrong key"),
        "{said}"
    );
}

/// The same of segments that are encrypted whole, where some are not encrypted at all.
#[test]
fn segments_that_a_key_does_not_fit_are_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let whole_segment = |number: usize, key: &Key| {
        let mut bytes = fs::read(fixture(&format!("demo/seg0{number}.ts"))).unwrap();
        let padding = 16 - bytes.len() % 16;
        bytes.resize(bytes.len() + padding, padding as u8);
        key.whole(&mut bytes);
        bytes
    };
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for (name, number) in [("right", 1), ("wrong", 2)] {
        fs::write(folder.path().join(name), key(number).key).unwrap();
    }
    for number in 0..5 {
        let bytes = match number {
            0 | 4 => fs::read(fixture(&format!("demo/seg0{number}.ts"))).unwrap(),
            _ => whole_segment(number, &key(1)),
        };
        fs::write(folder.path().join(format!("{number}.ts")), bytes).unwrap();
        let iv = hex(&key(1).iv);
        text.push_str(&match number {
            0 | 4 => "#EXT-X-KEY:METHOD=NONE\n".to_owned(),
            2 => format!("#EXT-X-KEY:METHOD=AES-128,URI=\"wrong\",IV=0x{iv}\n"),
            _ => format!("#EXT-X-KEY:METHOD=AES-128,URI=\"right\",IV=0x{iv}\n"),
        });
        text.push_str(&format!("#EXTINF:2,\n{number}.ts\n"));
    }
    let path = folder.path().join("index.m3u8");
    fs::write(&path, text + "#EXT-X-ENDLIST\n").unwrap();
    let out = folder.path().join("out.mp4");
    let args = ["cut", "--json", "--strict", "-o"].map(Path::new);
    let run = binary::clipmill(args.into_iter().chain([&*out, &*path])).expect(3);
    let said = run.json();
    has_one_gap_of_a_wrong_key(&said);
}

/// A playlist in a folder, made line by line.
struct Listing {
    folder: tempfile::TempDir,
    text: String,
    count: usize,
}

impl Listing {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            text: "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n".to_owned(),
            count: 0,
        }
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    /// A segment of two seconds behind some tags.
    fn list(&mut self, tags: &str, bytes: &[u8]) {
        let name = format!("{}.seg", self.count);
        self.put(&name, bytes);
        self.text.push_str(&format!("{tags}\n#EXTINF:2,\n{name}\n"));
        self.count += 1;
    }

    /// Cuts all of it.
    fn cut(&self, strict: bool) -> (Run, Vec<Vec<Vec<u8>>>) {
        self.put("index.m3u8", format!("{}#EXT-X-ENDLIST\n", self.text));
        let [path, out] = ["index.m3u8", "out.mp4"].map(|name| self.folder.path().join(name));
        let mut args = vec!["cut", path.to_str().unwrap(), "-o", out.to_str().unwrap()];
        args.push("--json");
        args.extend(strict.then_some("--strict"));
        let run = binary::clipmill(args);
        let found = match run.code {
            0 | 3 => samples(&out),
            _ => Vec::new(),
        };
        (run, found)
    }
}

fn segment(number: usize) -> Vec<u8> {
    fs::read(fixture(&format!("demo/seg0{number}.ts"))).unwrap()
}

/// A segment that is encrypted whole.
fn encrypted(bytes: &[u8], key: &Key) -> Vec<u8> {
    let padding = 16 - bytes.len() % 16;
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len() + padding, padding as u8);
    key.whole(&mut bytes);
    bytes
}

/// Says that so many seconds are missing in one gap, for this reason.
fn assert_gap(run: &Run, seconds: i64, reasons: &[&str]) {
    let said = run.json();
    let gaps = said["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{said}");
    let length = gaps[0]["duration_ms"].as_i64().unwrap();
    assert!((length - 1000 * seconds).abs() < 60, "{said}");
    let warnings = said["warnings"].to_string();
    for reason in reasons {
        assert!(warnings.contains(reason), "{said}");
    }
}

/// Samples of the first track that are those of the demo's segments, and no others.
fn assert_of(found: &[Vec<Vec<u8>>], segments: &[usize]) {
    let mut listing = Listing::new();
    for &number in segments {
        listing.list("#EXT-X-DISCONTINUITY", &segment(number));
    }
    let (_, wanted) = listing.cut(false);
    assert_eq!(found[0].len(), wanted[0].len());
    assert!(found[0] == wanted[0]);
}

/// Padding that a wrong key makes right by chance is one case in 256: the noise is none the less noise.
#[test]
fn padding_that_is_right_by_chance_is_no_right_key() {
    let bytes = encrypted(&segment(1), &key(1));
    let (last, before) = bytes
        .rchunks(16)
        .next()
        .zip(bytes.rchunks(16).nth(1))
        .unwrap();
    let fits = |number: &u16| {
        let mut wrong = [7; 16];
        wrong[..2].copy_from_slice(&number.to_be_bytes());
        let mut block = Block::<Aes128>::try_from(last).unwrap();
        Aes128::new(&wrong.into()).decrypt_block(&mut block);
        block[15] ^ before[15] == 1
    };
    let number = (0..u16::MAX).find(fits).unwrap();
    let mut wrong = [7; 16];
    wrong[..2].copy_from_slice(&number.to_be_bytes());
    let mut listing = Listing::new();
    listing.put("wrong.key", wrong);
    listing.list("", &segment(0));
    let iv = hex(&key(1).iv);
    let tag = format!("#EXT-X-KEY:METHOD=AES-128,URI=\"wrong.key\",IV=0x{iv}");
    listing.list(&tag, &bytes);
    listing.list("#EXT-X-KEY:METHOD=NONE", &segment(2));
    let (run, found) = listing.cut(true);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert_gap(&run, 2, &["1.seg", "wrong.key does not fit: wrong key"]);
    assert_of(&found, &[0, 2]);
}

/// What is encrypted in a way that is not known does not end the job where other segments are clear.
#[test]
fn methods_that_are_not_known_are_gaps_among_what_is_clear() {
    for (tag, reason) in [
        (
            "#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"a.key\"",
            "encryption (EXT-X-KEY METHOD=SAMPLE-AES-CTR) is not supported yet",
        ),
        (
            "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://a\",KEYFORMAT=\"com.apple.streamingkeydelivery\"",
            "DRM by FairPlay",
        ),
        ("#EXT-X-KEY:METHOD=ROT13,URI=\"a.key\"", "METHOD=ROT13"),
        (
            "#EXT-X-KEY:METHOD=AES-128,URI=\"skd://a\"",
            "of a kind that a playlist may not name: skd",
        ),
        (
            "#EXT-X-KEY:METHOD=AES-128,URI=\"gone.key\"",
            "gone.key: not found",
        ),
        ("#EXT-X-KEY:METHOD=AES-128", "an EXT-X-KEY without a URI"),
    ] {
        let mut listing = Listing::new();
        for number in 0..6 {
            let tag = match number {
                2 | 3 => tag,
                4 => "#EXT-X-KEY:METHOD=NONE",
                _ => "",
            };
            listing.list(tag, &segment(number));
        }
        let (run, found) = listing.cut(true);
        assert_eq!(run.code, 3, "{tag}: {}", run.stderr);
        let said = ["2.seg", "3.seg", &reason.replace('"', "\\\"")];
        assert_gap(&run, 4, &said);
        assert_of(&found, &[0, 1, 4, 5]);
    }
}

/// One key for all of them, and some are not encrypted at all.
#[test]
fn clear_segments_among_encrypted_samples_stay_as_they_are() {
    let mut listing = Listing::new();
    let key = key(3);
    listing.put("a.key", key.key);
    let tag = format!(
        "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"a.key\",IV=0x{}",
        hex(&key.iv)
    );
    for number in 0..6 {
        let plain = segment(number);
        let mut streams = mux::streams(&plain);
        if number % 2 == 0 {
            streams.iter_mut().for_each(|stream| key.encrypt(stream));
        }
        listing.list(&tag, &mux::segment(&streams));
    }
    let (run, found) = listing.cut(true);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let mut clear = Listing::new();
    for number in 0..6 {
        clear.list("", &mux::segment(&mux::streams(&segment(number))));
    }
    assert!(found == clear.cut(true).1);
}

/// The format knows no encrypted H.265: there is nothing to decrypt, and nothing is made of it.
#[test]
fn samples_of_codecs_that_the_format_does_not_know_stay() {
    let (mut listing, mut clear) = (Listing::new(), Listing::new());
    listing.put("a.key", key(3).key);
    let bytes = fs::read(fixture("hevc/seg00.ts")).unwrap();
    listing.list("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"a.key\"", &bytes);
    clear.list("", &bytes);
    let (run, found) = listing.cut(true);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!found[0].is_empty() && found == clear.cut(true).1);
}

/// Without one packet of each segment: the pictures that are whole tell the key all the same.
#[test]
fn a_wrong_key_is_told_where_packets_are_lost() {
    let (wrong, right) = (key(2), key(1));
    let segments: Vec<_> = encrypted_pictures(3, &right)
        .into_iter()
        .map(|bytes| {
            // In the middle of the group, behind the I slice.
            let at = bytes.len() / 188 / 2 * 188;
            [&bytes[..at], &bytes[at + 188..]].concat()
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = playlist(folder.path(), &segments, &[right; 3]);
    let out = folder.path().join("a.mp4");
    let run = cut(&path, &out).expect(0);
    assert!(!run.stderr.contains("does not fit"), "{}", run.stderr);
    let path = playlist(folder.path(), &segments, &[right, wrong, right]);
    let out = folder.path().join("b.mp4");
    let run = cut(&path, &out).expect(0);
    assert_eq!(
        run.stderr.matches("does not fit").count(),
        1,
        "{}",
        run.stderr
    );
    let path = playlist(folder.path(), &segments, &[wrong; 3]);
    let run = cut(&path, &folder.path().join("c.mp4"));
    assert_eq!(run.code, 1, "{}", run.stderr);
}

/// Segments of one picture, as playlists of I-frames list them: its slice is the last of the segment, and
/// that it might be cut off does not hide that it is noise.
#[test]
fn a_wrong_key_of_one_picture_is_told() {
    let right = key(1);
    let pictures: Vec<_> = (0..3)
        .map(|number| {
            let mut streams = mux::streams(&segment(number));
            streams.retain(|stream| stream.stream_type == 0x1b);
            streams[0].pes.truncate(1);
            right.encrypt(&mut streams[0]);
            mux::segment(&streams)
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = playlist(folder.path(), &pictures, &[right; 3]);
    let out = folder.path().join("a.mp4");
    cut(&path, &out).expect(0);
    assert_eq!(samples(&out)[0].len(), 3);
    let path = playlist(folder.path(), &pictures, &[right, key(2), key(3)]);
    let out = folder.path().join("b.mp4");
    let run = cut(&path, &out).expect(0);
    assert_eq!(
        run.stderr.matches("does not fit").count(),
        2,
        "{}",
        run.stderr
    );
    assert_eq!(samples(&out)[0].len(), 1);
}

/// Fragmented MP4 says itself that its samples are encrypted (Common Encryption, `cbcs` too), which is not
/// decrypted: an error that names it where all of it is, a gap where some is.
#[test]
fn encrypted_samples_of_fragmented_mp4_are_named() {
    let mut listing = Listing::new();
    let mut parts = Vec::new();
    for number in 0..3 {
        let (from, out) = (
            fixture(&format!("demo/seg0{number}.ts")),
            listing.folder.path().join("f.mp4"),
        );
        let args = [
            "remux",
            "--format",
            "fmp4",
            from.to_str().unwrap(),
            "-o",
            out.to_str().unwrap(),
        ];
        binary::clipmill(args).expect(0);
        let bytes = fs::read(&out).unwrap();
        fs::remove_file(&out).unwrap();
        let moof = bytes.windows(4).position(|four| four == b"moof").unwrap() - 4;
        parts.push((bytes[..moof].to_vec(), bytes[moof..].to_vec()));
    }
    let mut drm = parts[1].0.clone();
    for (old, new) in [(b"avc1", b"encv"), (b"mp4a", b"enca")] {
        let found: Vec<_> = (0..drm.len() - 4)
            .filter(|&at| &drm[at..at + 4] == old)
            .collect();
        found
            .into_iter()
            .for_each(|at| drm[at..at + 4].copy_from_slice(new));
    }
    for (number, (init, _)) in parts.iter().enumerate() {
        listing.put(&format!("{number}.mp4"), init);
    }
    listing.put("drm.mp4", drm);
    listing.put("a.key", key(1).key);
    let tag = "#EXT-X-DISCONTINUITY\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"a.key\"\n#EXT-X-MAP:URI=\"drm.mp4\"";
    let mut alone = Listing::new();
    for name in ["drm.mp4", "a.key"] {
        alone.put(name, fs::read(listing.folder.path().join(name)).unwrap());
    }
    alone.list(tag, &parts[1].1);
    let (run, _) = alone.cut(false);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr
            .contains("no track can be carried: encrypted samples"),
        "{}",
        run.stderr
    );

    listing.list("#EXT-X-MAP:URI=\"0.mp4\"", &parts[0].1);
    listing.list(tag, &parts[1].1);
    listing.list(
        "#EXT-X-DISCONTINUITY\n#EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP:URI=\"2.mp4\"",
        &parts[2].1,
    );
    let (run, found) = listing.cut(true);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert_gap(&run, 2, &["1.seg", "encrypted samples"]);
    assert_eq!(found[0].len(), 2 * samples_of(&parts[0]));

    // Encrypted whole, which is no matter of the container, with a wrong key for one.
    let mut listing = Listing::new();
    for (number, (init, media)) in parts.iter().enumerate() {
        let name = format!("{number}.mp4");
        listing.put(&name, init);
        listing.put(
            &format!("{number}.key"),
            key(if number == 1 { 9 } else { 1 }).key,
        );
        let tag = format!(
            "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"{name}\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"{number}.key\",IV=0x{}",
            hex(&key(1).iv)
        );
        // Of the map there is no key: it stands before.
        let tag = if number == 0 {
            tag
        } else {
            format!("#EXT-X-KEY:METHOD=NONE\n{tag}")
        };
        listing.list(&tag, &encrypted(media, &key(1)));
    }
    let (run, found) = listing.cut(true);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert_gap(&run, 2, &["1.seg", "1.key does not fit: wrong key"]);
    assert_eq!(found[0].len(), 2 * samples_of(&parts[0]));
}

/// Pictures of a fragmented file.
fn samples_of((init, media): &(Vec<u8>, Vec<u8>)) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let [file, out] = ["a.mp4", "b.mp4"].map(|name| folder.path().join(name));
    fs::write(&file, [&init[..], media].concat()).unwrap();
    binary::clipmill([Path::new("remux"), &file, Path::new("-o"), &out]).expect(0);
    samples(&out)[0].len()
}

/// As encoders are set up: the right key is never refused, and a wrong one is told but where README says that it
/// is not.
#[test]
fn a_wrong_key_is_told_whatever_the_coding_of_pictures_without_sound() {
    if !tools::installed(&["ffmpeg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (options, told) in [
        ("-preset veryfast", true),
        ("-preset slow -crf 10", true),
        ("-preset slow -crf 45", true),
        ("-profile:v main -x264-params slices=4", true),
        ("-pix_fmt yuv420p10le -qp 0", true),
        ("-pix_fmt gray", true),
        ("-x264-params 8x8dct=0:deblock=-1,2:weightp=2:ref=4", true),
        ("-profile:v baseline -b:v 200k", true),
        ("-profile:v baseline -b:v 2M", true),
        ("-x264-params cabac=0:slices=4", true),
        ("-pix_fmt yuv422p", false),
        ("-flags +ilme+ildct -x264-params tff=1", false),
    ] {
        let pattern = folder.path().join("%d.ts");
        let input =
            "-v error -y -nostdin -f lavfi -i mandelbrot=size=320x180:rate=25,format=yuv420p -t 6";
        let output = "-an -f segment -segment_time 2 -segment_format mpegts";
        let args = [
            input,
            "-c:v libx264 -threads 1 -g 50 -sc_threshold 0",
            options,
            output,
        ]
        .join(" ");
        let args = args.split(' ').chain([pattern.to_str().unwrap()]);
        tools::ffmpeg(args).expect(0);
        let (right, wrong) = (key(1), key(2));
        let segments: Vec<_> = (0..3)
            .map(|number| {
                let bytes = fs::read(folder.path().join(format!("{number}.ts"))).unwrap();
                let mut streams = mux::streams(&bytes);
                streams.retain(|stream| stream.stream_type == 0x1b);
                right.encrypt(&mut streams[0]);
                mux::segment(&streams)
            })
            .collect();
        for (keys, count) in [([right; 3], 0), ([right, wrong, right], usize::from(told))] {
            let list = tempfile::tempdir().unwrap();
            let path = playlist(list.path(), &segments, &keys);
            let run = cut(&path, &list.path().join("out.mp4")).expect(0);
            let said = run.stderr.matches("does not fit").count();
            assert_eq!(said, count, "{options}: {}", run.stderr);
        }
    }
}
