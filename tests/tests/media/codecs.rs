//! What few encoders write and no public file has: encrypted samples, AV1 in MPEG-TS.

mod keys;

use std::fs;
use std::path::{Path, PathBuf};

use clipmill_tests::mux::{self, Stream};
use clipmill_tests::sample_aes::{Key, prevented};
use clipmill_tests::ts::Pes;
use clipmill_tests::{binary, mp4, tools};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(name)
}

/// The samples of each track of a file.
fn samples(file: &Path) -> Vec<Vec<Vec<u8>>> {
    let bytes = fs::read(file).unwrap();
    let movie = mp4::read(&bytes).unwrap();
    assert_eq!(movie.faults(&bytes), Vec::<String>::new());
    let tracks = movie.tracks.iter().map(|track| {
        let all = (0..track.samples.len()).map(|n| track.data(&bytes, n).to_vec());
        all.collect()
    });
    tracks.collect()
}

fn key(number: u8) -> Key {
    Key {
        key: [number; 16],
        iv: [number ^ 0x5a; 16],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A playlist of `segments`, the first with `keys[0]`, and so on.
fn playlist(folder: &Path, segments: &[Vec<u8>], keys: &[Key]) -> PathBuf {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:5\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for (number, (segment, key)) in segments.iter().zip(keys).enumerate() {
        let name = format!("{number}-{}.key", key.key[0]);
        fs::write(folder.join(&name), key.key).unwrap();
        fs::write(folder.join(format!("{number}.ts")), segment).unwrap();
        text.push_str(&format!(
            "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"{name}\",IV=0x{}\n#EXTINF:2,\n{number}.ts\n",
            hex(&key.iv)
        ));
    }
    let path = folder.join("index.m3u8");
    fs::write(&path, text + "#EXT-X-ENDLIST\n").unwrap();
    path
}

fn cut(playlist: &Path, out: &Path) -> binary::Run {
    binary::clipmill([Path::new("cut"), playlist, Path::new("-o"), out])
}

#[test]
fn encrypted_samples_come_out_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let plain: Vec<PathBuf> = (0..2)
        .map(|n| fixture(&format!("languages/seg0{n}.ts")))
        .collect();
    let keys = [key(1), key(2)];
    let encrypted: Vec<Vec<u8>> = plain
        .iter()
        .zip(&keys)
        .map(|(path, key)| {
            let mut streams = mux::streams(&fs::read(path).unwrap());
            streams.iter_mut().for_each(|stream| key.encrypt(stream));
            assert_eq!(streams[0].stream_type, 0xdb);
            assert_eq!(streams[2].stream_type, 0xc1);
            mux::segment(&streams)
        })
        .collect();
    let path = playlist(folder.path(), &encrypted, &keys);
    let (wanted, found) = (folder.path().join("a.mp4"), folder.path().join("b.mp4"));
    cut(&fixture("languages/index.m3u8"), &wanted).expect(0);
    let run = cut(&path, &found).expect(0);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    let (wanted, found) = (samples(&wanted), samples(&found));
    assert_eq!(wanted.len(), 4);
    for (track, (wanted, found)) in wanted.iter().zip(&found).enumerate() {
        assert!(wanted == found, "track {track}");
    }

    // The keys the wrong way round: sound tells.
    let path = playlist(folder.path(), &encrypted, &[key(2), key(1)]);
    let run = cut(&path, &folder.path().join("c.mp4"));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("does not fit: wrong key"),
        "{}",
        run.stderr
    );
    for secret in [hex(&key(1).key), format!("{:?}", key(1).key)] {
        assert!(!run.stderr.contains(&secret));
    }
}

#[test]
fn encrypted_packed_audio_comes_out_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut sound = mux::streams(&fs::read(fixture("languages/seg00.ts")).unwrap()).swap_remove(1);
    let packed = |stream: &Stream| -> Vec<u8> {
        let mut bytes = b"ID3\x04\0\0\0\0\0\x3fPRIV\0\0\0\x35\0\0".to_vec();
        bytes.extend(b"com.apple.streaming.transportStreamTimestamp\0");
        bytes.extend(900_000u64.to_be_bytes());
        bytes.extend(stream.pes.iter().flat_map(|pes| &pes.data));
        bytes
    };
    let clear = folder.path().join("clear.aac");
    fs::write(&clear, packed(&sound)).unwrap();
    key(7).encrypt(&mut sound);
    let path = playlist(folder.path(), &[packed(&sound)], &[key(7)]);
    let (wanted, found) = (folder.path().join("a.mp4"), folder.path().join("b.mp4"));
    binary::clipmill([Path::new("remux"), &clear, Path::new("-o"), &wanted]).expect(0);
    cut(&path, &found).expect(0);
    assert!(samples(&wanted) == samples(&found));
}

/// From MPEG-TS, where they are SEI, and again from fragmented MP4, where they are boxes.
#[test]
fn hdr10_metadata_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (fmp4, out) = (folder.path().join("a.mp4"), folder.path().join("b.mp4"));
    let args = ["remux", "--format", "fmp4", "-o"].map(std::ffi::OsStr::new);
    let run = |input: &Path, out: &Path, count: usize| {
        let all = args.iter().copied().skip(if count == 4 { 0 } else { 3 });
        let command = (count != 4).then_some(std::ffi::OsStr::new("remux"));
        let rest = [out.as_os_str(), input.as_os_str()];
        binary::clipmill(command.into_iter().chain(all).chain(rest)).expect(0);
    };
    run(&fixture("hdr10.ts"), &fmp4, 4);
    run(&fmp4, &out, 2);
    // G, B, R, white point, luminance: Rec. ITU-T H.265, D.3.28.
    let display = hex(&[
        13_250u16, 34_500, 7_500, 3_000, 34_000, 16_000, 15_635, 16_450,
    ]
    .map(u16::to_be_bytes)
    .concat());
    let boxes = [
        format!("{}{display}{:08x}{:08x}", hex(b"mdcv"), 10_000_000, 50),
        format!("{}{:04x}{:04x}", hex(b"clli"), 1_000, 400),
        format!("{}000900100009{:02x}", hex(b"colrnclx"), 0),
    ];
    for file in [&fmp4, &out] {
        let found = hex(&fs::read(file).unwrap());
        for wanted in &boxes {
            assert!(found.contains(wanted), "{wanted} in {}", file.display());
        }
    }
    if tools::installed(&["ffprobe"]) {
        let seen = tools::ffprobe(&out, &["-show_streams"]);
        let stream = &seen["streams"][0];
        assert_eq!(stream["pix_fmt"], "yuv422p10le");
        assert_eq!(stream["color_transfer"], "smpte2084");
    }
}

/// ID3 tags as Apple's segmenter puts them into MPEG-TS.
#[test]
fn timed_metadata_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut streams = mux::streams(&fs::read(fixture("demo/seg00.ts")).unwrap());
    // The sound begins before the pictures, and with it the clip.
    let all = streams.iter().flat_map(|stream| &stream.pes);
    let first = all.filter_map(|pes| pes.pts).min().unwrap();
    let tag = |text: &str| {
        let mut tag = b"ID3\x04\0\0\0\0\0".to_vec();
        tag.push(text.len() as u8);
        tag.extend(text.bytes());
        tag
    };
    let tags = [(45_000, tag("one")), (90_000, tag("another"))];
    streams.push(Stream {
        pid: 0x102,
        stream_type: 0x15,
        descriptors: b"\x26\x0d\xff\xffID3 \xffID3 \x00\x0f".to_vec(),
        pes: tags
            .iter()
            .map(|(at, data)| Pes {
                pts: Some(first + at),
                data: data.clone(),
                ..Pes::default()
            })
            .collect(),
    });
    let input = folder.path().join("a.ts");
    fs::write(&input, mux::segment(&streams)).unwrap();
    let seen = binary::clipmill([Path::new("probe"), &input, Path::new("--json")]).expect(0);
    let events = &seen.json()["events"];
    for (at, (time, data)) in tags.iter().enumerate() {
        assert_eq!(events[at]["at_ms"], *time / 90);
        assert_eq!(events[at]["scheme"], "https://aomedia.org/emsg/ID3");
        assert_eq!(events[at]["data"], hex(data));
    }
    assert!(!seen.stderr.contains("left out"), "{}", seen.stderr);

    let out = folder.path().join("out.mp4");
    let remux = |format: &str| {
        let args = ["remux", "--format", format, "-o"].map(std::ffi::OsStr::new);
        let rest = [out.as_os_str(), input.as_os_str()];
        binary::clipmill(args.into_iter().chain(rest)).expect(0);
        fs::read(&out).unwrap()
    };
    let file = hex(&remux("fmp4"));
    for (time, data) in &tags {
        let scheme = hex(b"https://aomedia.org/emsg/ID3\0\0");
        let message = format!("{:08x}{:016x}ffffffff", 90_000, *time);
        let found = file.find(&message).unwrap();
        assert!(file[found..].contains(&format!("{scheme}{}", hex(data))));
    }
    let file = remux("mp4");
    for (_, data) in &tags {
        assert!(hex(&file).contains(&hex(data)));
    }
    if tools::installed(&["ffprobe", "ffmpeg"]) {
        let seen = tools::ffprobe(&out, &["-show_streams", "-show_packets"]);
        let stream = seen["streams"].as_array().unwrap().last().unwrap();
        assert_eq!(stream["codec_tag_string"], "urim");
        let packets = seen["packets"].as_array().unwrap();
        let own = packets
            .iter()
            .filter(|packet| packet["stream_index"] == stream["index"]);
        let own: Vec<_> = own.collect();
        assert_eq!(own.len(), tags.len());
        for (packet, (time, data)) in own.iter().zip(&tags) {
            assert_eq!(packet["pts"], *time, "the edit list delays the track");
            assert_eq!(packet["size"], data.len().to_string());
        }
        let args = ["-xerror", "-i", out.to_str().unwrap(), "-f", "null", "-"];
        assert_eq!(tools::ffmpeg(args).expect(0).stderr, "");
    }
}

/// The temporal units of a low overhead stream, in each its OBUs; delimiters begin them.
fn temporal_units(stream: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut units: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        let header = if stream[at] & 4 == 0 { 1 } else { 2 };
        let (mut size, mut len) = (0usize, 0);
        loop {
            let byte = stream[at + header + len];
            size |= usize::from(byte & 0x7f) << (7 * len);
            len += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let end = at + header + len + size;
        if stream[at] >> 3 & 15 == 2 {
            units.push(Vec::new());
        }
        units.last_mut().unwrap().push(stream[at..end].to_vec());
        at = end;
    }
    units
}

#[test]
fn av1_in_mpeg_ts_decodes_to_the_same_pictures() {
    let stream = fs::read(fixture("av1.obu")).unwrap();
    let units = temporal_units(&stream);
    assert_eq!(units.len(), 25);
    let folder = tempfile::tempdir().unwrap();
    for is_framed in [true, false] {
        let pes = units.iter().zip(0..).map(|(obus, n)| Pes {
            pts: Some(126_000 + n * 3_600),
            data: match is_framed {
                true => {
                    let framed = |obu: &Vec<u8>| [&[0, 0, 1][..], &prevented(obu)].concat();
                    obus.iter().flat_map(framed).collect()
                }
                false => obus.concat(),
            },
            ..Pes::default()
        });
        let input = folder.path().join("av1.ts");
        let segment = mux::segment(&[Stream {
            pid: 0x100,
            stream_type: 6,
            descriptors: b"\x05\x04AV01".to_vec(),
            pes: pes.collect(),
        }]);
        fs::write(&input, segment).unwrap();
        let out = folder.path().join("av1.mp4");
        binary::clipmill([Path::new("remux"), &input, Path::new("-o"), &out]).expect(0);
        let found = samples(&out);
        let wanted: Vec<_> = units.iter().map(|obus| obus[1..].concat()).collect();
        assert!(found == [wanted]);
        let bytes = fs::read(&out).unwrap();
        let track = mp4::read(&bytes).unwrap().tracks.remove(0);
        assert!(track.samples[0].sync && !track.samples[1].sync);
        if tools::installed(&["ffmpeg"]) {
            let (wanted, _) = tools::decoded_pictures(&fixture("av1.obu"));
            let (found, errors) = tools::decoded_pictures(&out);
            assert!(wanted.is_some() && wanted == found, "{errors}");
            assert_eq!(errors, "");
        }
    }
}
