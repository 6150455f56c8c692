//! Jobs that end with nothing: one line says what there was and why it was of no use, and nothing
//! is left behind.

use std::path::Path;

use clipmill_tests::binary::clipmill;
use clipmill_tests::http::FileServer;
use clipmill_tests::mux::{self, Program, Stream};
use clipmill_tests::ts::Pes;
use tempfile::TempDir;

use super::{copy_demo, fixture};

const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;
const BOTH: [u16; 2] = [VIDEO, AUDIO];

/// A folder with files to work on.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.0.path().join(name), content).unwrap();
        self
    }

    /// `index.m3u8` with these lines between its head and its end.
    fn playlist(self, lines: &str) -> Self {
        let text = format!("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n{lines}\n");
        self.put("index.m3u8", format!("{text}#EXT-X-ENDLIST\n"))
    }

    /// The demo stream.
    fn demo() -> Self {
        let folder = Self::new();
        copy_demo(folder.0.path());
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs `clipmill` in it.
    fn run(&self, args: &[&str]) -> (i32, Vec<String>) {
        let out = self.path().join("out");
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir(&out).unwrap();
        let path = |name: &str| self.path().join(name).to_str().unwrap().to_owned();
        let named = |arg: &&str| match arg.strip_prefix('@') {
            Some(name) => path(name),
            None => (*arg).to_owned(),
        };
        let mut args: Vec<String> = args.iter().map(named).collect();
        if args[0] != "probe" {
            args.extend(["-o".to_owned(), path("out/clip.mp4")]);
        }
        let run = clipmill(&args);
        if run.code != 0 && !run.stderr.contains("warning") {
            let left = std::fs::read_dir(&out).unwrap().count();
            assert_eq!(left, 0, "{}: something is left", run.line);
            assert_eq!(run.stdout, b"", "{}", run.line);
        }
        let folder = self.path().to_str().unwrap();
        let lines = run.stderr.lines().map(|line| line.replace(folder, "DIR"));
        (run.code, lines.collect())
    }

    /// It ends with this line, code 1, and with `--strict` with another code.
    fn ends(&self, args: &[&str], strict: i32, said: &str) {
        let line = vec![format!("clipmill: {said}")];
        assert_eq!(self.run(args), (1, line.clone()), "{args:?}");
        let args = [args, &["--strict"]].concat();
        assert_eq!(self.run(&args), (strict, line), "{args:?}");
    }

    /// It gives a clip and these warnings; with `--strict` another code.
    fn warns(&self, args: &[&str], strict: i32, said: &[&str]) {
        let said: Vec<String> = said
            .iter()
            .map(|said| format!("clipmill: warning: {said}"))
            .collect();
        for (more, code) in [(&[][..], 0), (&["--strict"], strict)] {
            let args = [args, more].concat();
            let (found, mut lines) = self.run(&args);
            lines.retain(|line| line.starts_with("clipmill: "));
            assert_eq!((found, &lines), (code, &said), "{args:?}");
        }
    }
}

fn segment(name: &str) -> Vec<u8> {
    std::fs::read(fixture(&format!("demo/{name}"))).unwrap()
}

fn scrambled(name: &str, pids: &[u16]) -> Vec<u8> {
    let mut segment = segment(name);
    mux::scramble(&mut segment, pids, 0, false);
    segment
}

/// The streams of a segment of the demo stream, on other PIDs.
fn streams(name: &str, move_by: u16) -> Vec<Stream> {
    let mut streams = mux::streams(&segment(name));
    for stream in &mut streams {
        stream.pid += move_by;
    }
    streams
}

/// A stream with a few PES packets of what nobody knows.
fn other(pid: u16, stream_type: u8, descriptors: &[u8]) -> Stream {
    let pes = (0..4).map(|n| Pes {
        pts: Some(90_000 + n * 45_000),
        dts: None,
        data: vec![0x5a; 400],
        declared: 0,
    });
    Stream {
        pid,
        stream_type,
        descriptors: descriptors.to_vec(),
        pes: pes.collect(),
    }
}

fn without(segment: &[u8], pid: u16) -> Vec<u8> {
    let of = |packet: &[u8]| u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
    let packets = segment.chunks(188).filter(|packet| of(packet) != pid);
    packets.flatten().copied().collect()
}

/// The demo stream as fragmented MP4: its initialization segment, and all fragments as one segment.
fn fragmented() -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("f.mp4");
    let demo = fixture("demo/index.m3u8");
    let args = [
        "cut",
        &demo,
        "--format",
        "fmp4",
        "-o",
        out.to_str().unwrap(),
    ];
    clipmill(args).expect(0);
    let bytes = std::fs::read(out).unwrap();
    let moof = bytes.windows(4).position(|four| four == b"moof").unwrap() - 4;
    let moov = bytes.windows(4).position(|four| four == b"moov").unwrap() - 4;
    let size = u32::from_be_bytes(bytes[moov..moov + 4].try_into().unwrap()) as usize;
    (bytes[..moov + size].to_vec(), bytes[moof..].to_vec())
}

fn replace(bytes: &[u8], old: &[u8; 4], new: &[u8; 4]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let found: Vec<usize> = (0..bytes.len() - 4)
        .filter(|&at| &bytes[at..at + 4] == old)
        .collect();
    for at in found {
        bytes[at..at + 4].copy_from_slice(new);
    }
    bytes
}

#[test]
fn scrambled_input_is_called_by_program_and_pid() {
    let what = "H.264 (stream type 0x1b) on PID 0x0100, AAC (stream type 0x0f) on PID 0x0101";
    let mut locked = segment("seg00.ts");
    mux::lock(&mut locked, &BOTH);
    let mut beginnings = segment("seg00.ts");
    mux::scramble(&mut beginnings, &BOTH, 0, true);
    let folder = Folder::new()
        .put("all.ts", scrambled("seg00.ts", &BOTH))
        .put("next.ts", scrambled("seg01.ts", &BOTH))
        .put("locked.ts", locked)
        .put("beginnings.ts", beginnings)
        .playlist("#EXTINF:2,\nall.ts\n#EXTINF:2,\nnext.ts");
    for name in ["all", "locked", "beginnings"] {
        let file = format!("@{name}.ts");
        let said = format!("DIR/{name}.ts: program 1 is scrambled: {what}");
        folder.ends(&["remux", &file], 3, &said);
        folder.ends(&["remux", &file, "--program", "1"], 3, &said);
        folder.ends(&["remux", &file, "--format", "fmp4"], 3, &said);
    }
    let said = format!(
        "segment all.ts (sequence 0): program 1 is scrambled: {what}; \
         none of the 2 segments can be used"
    );
    folder.ends(&["cut", "@index.m3u8"], 3, &said);
    let said = format!("segment all.ts (sequence 0): program 1 is scrambled: {what}");
    folder.ends(&["cut", "@index.m3u8", "--duration", "1s"], 3, &said);
}

#[test]
fn probe_shows_scrambled_tracks_as_such() {
    let folder = Folder::new()
        .put("all.ts", scrambled("seg00.ts", &BOTH))
        .put("sound.ts", scrambled("seg00.ts", &[AUDIO]));
    let probe = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let args = [&["probe", path.to_str().unwrap()], more].concat();
        clipmill(args)
    };
    let text = |name: &str| String::from_utf8(probe(name, &[]).expect(0).stdout).unwrap();
    let all = text("all.ts");
    let tracks: Vec<&str> = all.lines().skip(1).collect();
    let wanted = [
        "  video on PID 0x0100: H.264 (avc1), scrambled",
        "  audio on PID 0x0101: AAC (mp4a), scrambled",
    ];
    assert_eq!(tracks, wanted);
    let sound = text("sound.ts");
    assert!(sound.contains("video 1: H.264"), "{sound}");
    assert_eq!(sound.lines().last(), Some(wanted[1]));
    probe("all.ts", &["--strict"]).expect(3);
    probe("sound.ts", &["--strict"]).expect(3);

    let report = probe("sound.ts", &["--json"]).expect(0).json();
    let tracks = report["tracks"].as_array().unwrap();
    assert_eq!(tracks.len(), 2, "{report}");
    assert_eq!(tracks[0]["scrambled"], serde_json::Value::Null);
    let wanted = serde_json::json!({
        "id": 2, "kind": "audio", "codec": "mp4a", "pid": 0x101, "samples": 0, "sync_samples": 0,
        "duration_ms": 0, "language": "und", "first_pts": null, "last_pts": null, "bytes": 0,
        "scrambled": true
    });
    assert_eq!(tracks[1], wanted);
}

#[test]
fn what_is_in_the_clear_is_carried_and_the_rest_is_said() {
    let mut middle = segment("seg00.ts");
    let half = middle.len() / 188 / 2;
    mux::scramble(&mut middle, &BOTH, half, false);
    let mut ca = Program::new(1, streams("seg00.ts", 0));
    ca.descriptors = vec![0x09, 4, 0x0b, 0x00, 0xe1, 0x23];
    let folder = Folder::new()
        .put("sound.ts", scrambled("seg00.ts", &[AUDIO]))
        .put("middle.ts", middle)
        .put("ca.ts", mux::multiplex(&[ca]))
        .put("0.ts", segment("seg00.ts"))
        .put("1.ts", scrambled("seg01.ts", &BOTH))
        .put("2.ts", segment("seg02.ts"))
        .playlist("#EXTINF:2,\n0.ts\n#EXTINF:2,\n1.ts\n#EXTINF:2,\n2.ts");
    folder.warns(&["remux", "@ca.ts"], 0, &[]);
    folder.warns(
        &["remux", "@sound.ts"],
        3,
        &["DIR/sound.ts: AAC (stream type 0x0f) on PID 0x0101 is scrambled, and left out"],
    );
    folder.warns(
        &["cut", "@index.m3u8"],
        3,
        &[
            "segment 1.ts (sequence 1): program 1 is scrambled: H.264 (stream type 0x1b) on PID \
             0x0100, AAC (stream type 0x0f) on PID 0x0101",
        ],
    );
    let (code, lines) = folder.run(&["remux", "@middle.ts", "--strict"]);
    assert_eq!(code, 3);
    assert!(lines[0].contains("scrambled packets skipped"), "{lines:?}");
}

#[test]
fn of_several_programs_one_is_taken_that_can_be() {
    let first = Program::new(1, streams("seg00.ts", 0));
    let second = Program::new(2, streams("seg01.ts", 0x100));
    let data = Program::new(3, vec![other(0x300, 0x06, &[])]);
    let both = mux::multiplex(&[first, second.clone()]);
    let mut one = both.clone();
    mux::scramble(&mut one, &BOTH, 0, false);
    let mut none = one.clone();
    mux::scramble(&mut none, &[0x200, 0x201], 0, false);
    let folder = Folder::new()
        .put("both.ts", &both)
        .put("one.ts", &one)
        .put("none.ts", &none)
        .put("data.ts", mux::multiplex(&[data, second]));
    folder.warns(&["remux", "@both.ts"], 0, &[]);
    let note = "DIR/one.ts: program 2 is taken, as program 1 is scrambled";
    folder.warns(&["remux", "@one.ts"], 3, &[note]);
    folder.warns(&["remux", "@one.ts", "--program", "2"], 0, &[]);
    let note = "DIR/data.ts: program 2 is taken, as program 3 has nothing that can be carried";
    folder.warns(&["remux", "@data.ts"], 0, &[note]);
    let what = "H.264 (stream type 0x1b) on PID 0x0100, AAC (stream type 0x0f) on PID 0x0101";
    let said = format!("DIR/one.ts: program 1 is scrambled: {what}");
    folder.ends(&["remux", "@one.ts", "--program", "1"], 3, &said);
    let said = format!("DIR/none.ts: program 1 is scrambled: {what}");
    folder.ends(&["remux", "@none.ts"], 3, &said);
    let said = "DIR/both.ts: program 9 is not in the stream, which lists 1, 2";
    folder.ends(&["remux", "@both.ts", "--program", "9"], 3, said);
    folder.ends(&["probe", "@both.ts", "--program", "9"], 3, said);
    let said = "DIR/data.ts: program 3 has no stream that can be carried: private data \
                (stream type 0x06) on PID 0x0300";
    folder.ends(&["remux", "@data.ts", "--program", "3"], 3, said);
}

#[test]
fn transport_streams_of_no_use_say_what_is_in_them() {
    let pmt = 0x1000;
    let private = mux::segment(&[other(0x100, 0x06, &[])]);
    let one = |stream_type: u8, descriptors: &[u8]| {
        mux::segment(&[other(0x100, stream_type, descriptors)])
    };
    let hdmv = [0x05, 4, b'H', b'D', b'M', b'V'];
    let folder = Folder::new()
        .put("no-pmt.ts", without(&private, pmt))
        .put("no-tables.ts", without(&without(&private, pmt), 0))
        .put("locked.ts", {
            let segment = without(&scrambled("seg00.ts", &BOTH), 0);
            without(&segment, pmt)
        })
        .put("private.ts", &private)
        .put("ac-4.ts", one(0x06, &[0x7f, 1, 0x15]))
        .put("mpeg-h.ts", one(0x2d, &[]))
        .put("express.ts", one(0xa2, &hdmv))
        .put("splices.ts", one(0x86, &[]))
        .put("id3.ts", one(0x15, &[0x26, 4, b'I', b'D', b'3', b' ']))
        .put("empty-map.ts", mux::segment(&[]));
    for (name, said) in [
        (
            "no-pmt",
            "no program: the PAT lists program 1, whose PMT on PID 0x1000 is not in the segment, or \
             not readable; what is on PID 0x0100 is not recognised without",
        ),
        (
            "no-tables",
            "no program: the MPEG-TS segment has no readable PAT and PMT; what is on PID 0x0100 is \
             not recognised without",
        ),
        (
            "private",
            "program 1 has no stream that can be carried: private data (stream type 0x06) on PID \
             0x0100",
        ),
        (
            "ac-4",
            "program 1 has no stream that can be carried: Dolby AC-4 audio (stream type 0x06) on \
             PID 0x0100",
        ),
        (
            "mpeg-h",
            "program 1 has no stream that can be carried: MPEG-H 3D audio (stream type 0x2d) on \
             PID 0x0100",
        ),
        (
            "express",
            "program 1 has no stream that can be carried: DTS Express audio (stream type 0xa2) on \
             PID 0x0100",
        ),
        (
            "splices",
            "program 1 has no stream that can be carried: SCTE-35 splice information (stream type \
             0x86) on PID 0x0100",
        ),
        (
            "id3",
            "program 1 has no stream that can be carried: timed ID3 metadata (stream type 0x15) on \
             PID 0x0100",
        ),
        (
            "empty-map",
            "program 1 has no stream that can be carried: its PMT lists none",
        ),
    ] {
        let said = format!("DIR/{name}.ts: {said}");
        folder.ends(&["remux", &format!("@{name}.ts")], 3, &said);
        folder.ends(&["probe", &format!("@{name}.ts")], 3, &said);
    }
}

#[test]
fn files_that_are_something_else_are_called_by_it() {
    let mut jpeg = b"\xff\xd8\xff\xe0\0\x10JFIF\0".to_vec();
    jpeg.resize(4096, 0x55);
    let mut gzip = b"\x1f\x8b\x08\0\0\0\0\0".to_vec();
    gzip.resize(4096, 0xaa);
    let noise: Vec<u8> = (0..4096u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x80)
        .collect();
    let (init, media) = fragmented();
    let whole = {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.mp4");
        let demo = fixture("demo/seg00.ts");
        clipmill(["remux", &demo, "-o", path.to_str().unwrap()]).expect(0);
        std::fs::read(path).unwrap()
    };
    let drm = replace(&replace(&init, b"avc1", b"encv"), b"mp4a", b"enca");
    let folder = Folder::demo()
        .put("empty.ts", "")
        .put(
            "page.ts",
            "<!DOCTYPE html>\n<html><title>404</title></html>\n",
        )
        .put("text.ts", "404 page not found\n")
        .put(
            "list.ts",
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nseg00.ts\n",
        )
        .put("image.ts", jpeg)
        .put("packed.ts", gzip)
        .put("zeros.ts", [0; 4096])
        .put("noise.ts", noise)
        .put(
            "subtitles.vtt",
            "WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n",
        )
        .put("whole.mp4", whole)
        .put("init.mp4", &init)
        .put("media.m4s", &media)
        .put("drm.mp4", [drm.as_slice(), &media].concat());
    for (name, said) in [
        ("gone.ts", "not found"),
        ("empty.ts", "the segment is empty"),
        ("page.ts", "an HTML page, not a media segment"),
        (
            "text.ts",
            "text that begins with \"404 page not found\", not a media segment",
        ),
        ("list.ts", "an HLS playlist, not a media segment"),
        ("image.ts", "a JPEG image, not a media segment"),
        ("packed.ts", "gzip-compressed data, not a media segment"),
        ("zeros.ts", "no MPEG-TS sync in the first 4096 bytes"),
        ("noise.ts", "no MPEG-TS sync in the first 4096 bytes"),
        ("subtitles.vtt", "WebVTT subtitles, not a media segment"),
        (
            "whole.mp4",
            "a whole MP4 file, not a fragmented one: its samples are listed in its moov box",
        ),
        (
            "media.m4s",
            "no initialization segment: there is no moov box to tell what the fragments hold",
        ),
        (
            "drm.mp4",
            "no track can be carried: encrypted samples (DRM, unknown scheme) in track 1, \
             encrypted samples (DRM, unknown scheme) in track 2",
        ),
    ] {
        let said = format!("DIR/{name}: {said}");
        folder.ends(&["remux", &format!("@{name}")], 3, &said);
    }
    let said = "DIR/init.mp4: nothing in the window: DIR/init.mp4 announces H.264 and AAC and holds \
                none: it is an initialization segment, which segments with media must follow";
    folder.ends(&["remux", "@init.mp4"], 1, said);
    let said = "DIR/gone.ts: not found; none of the 2 segments can be used";
    folder.ends(&["remux", "@gone.ts", "@empty.ts"], 3, said);

    for (name, said) in [
        ("empty.ts", "it does not begin with #EXTM3U (it is empty)"),
        (
            "text.ts",
            "it does not begin with #EXTM3U but with \"404 page not found\"",
        ),
    ] {
        let said = format!("DIR/{name}: not an M3U8 playlist: {said}");
        folder.ends(&["cut", &format!("@{name}")], 1, &said);
    }
    for (name, said) in [
        ("page.ts", "an HTML page"),
        ("image.ts", "a JPEG image"),
        (
            "seg00.ts",
            "an MPEG-TS segment, which clipmill remux and probe take",
        ),
        (
            "whole.mp4",
            "an MP4 file or segment, which clipmill remux and probe take",
        ),
    ] {
        let said = format!("DIR/{name}: not an M3U8 playlist but {said}");
        folder.ends(&["cut", &format!("@{name}")], 1, &said);
    }
}

#[test]
fn windows_without_media_say_what_there_is() {
    let folder = Folder::demo()
        .put("empty.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n")
        .playlist(
            "#EXT-X-GAP\n#EXTINF:2,\nseg00.ts\n#EXT-X-GAP\n#EXTINF:2,\nseg01.ts\n\
             #EXTINF:2,\ngone.ts\n#EXTINF:2,\nseg02.ts\n#EXTINF:2,\nseg03.ts",
        );
    let dated = "2026-11-22T14:00:00.000Z to 2026-11-22T14:00:20.000Z";
    for (args, strict, said) in [
        (
            &["@empty.m3u8"][..],
            1,
            "DIR/empty.m3u8: the playlist has no segments",
        ),
        (
            &["@event.m3u8", "--from", "+21s"],
            1,
            "DIR/event.m3u8: nothing in the window: the playlist covers +0s to +20s",
        ),
        (
            &["@event.m3u8", "--from", "2026-11-22T14:01:00Z"],
            1,
            &format!("DIR/event.m3u8: nothing in the window: the playlist covers {dated}"),
        ),
        (
            &["@event.m3u8", "--to", "2026-11-22T13:59:00Z"],
            1,
            &format!("DIR/event.m3u8: nothing in the window: the playlist covers {dated}"),
        ),
        (
            &[
                "@event.m3u8",
                "--cut",
                "keyframe",
                "--from",
                "+2.5s",
                "--duration",
                "500ms",
            ],
            1,
            "DIR/event.m3u8: nothing in the window: no sync sample lies in it, and --cut keyframe \
             begins with one; the nearest: +2s, +4s",
        ),
        (
            &["@index.m3u8", "--to", "+4s"],
            3,
            "DIR/index.m3u8: nothing in the window: all of its 2 segments are marked as gaps \
             (EXT-X-GAP)",
        ),
        (
            &["@index.m3u8", "--to", "+1s"],
            3,
            "DIR/index.m3u8: nothing in the window: its only segment is marked as a gap (EXT-X-GAP)",
        ),
        (
            &["@index.m3u8", "--from", "+4.5s", "--to", "+5s"],
            3,
            "segment gone.ts (sequence 2): DIR/gone.ts: not found",
        ),
        (
            &["@index.m3u8", "--from", "+2.5s", "--to", "+5s"],
            3,
            "segment gone.ts (sequence 2): DIR/gone.ts: not found; none of the 2 segments can be used",
        ),
    ] {
        folder.ends(&[&["cut"], args].concat(), strict, said);
    }
}

#[test]
fn playlists_of_which_nothing_can_be_had_say_why() {
    let (init, media) = fragmented();
    let ten: String = (0..10).map(|n| format!("#EXTINF:2,\nno{n}.ts\n")).collect();
    let folder = Folder::demo()
        .put("key.bin", "short")
        .put("media.m4s", &media)
        .put(
            "drm.mp4",
            replace(&replace(&init, b"avc1", b"encv"), b"mp4a", b"enca"),
        )
        .put("page.m3u8", "<html>Please log in</html>");
    let media = |name: &str, lines: &str| {
        let target = match lines.contains("#EXTINF") {
            true => "#EXT-X-TARGETDURATION:2\n",
            false => "",
        };
        let text = format!("#EXTM3U\n#EXT-X-VERSION:6\n{target}{lines}\n");
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    let first = "#EXTINF:2,\nseg00.ts";
    media("missing.m3u8", &ten);
    media(
        "no-key.m3u8",
        &format!("#EXT-X-KEY:METHOD=AES-128,URI=\"gone.bin\"\n{first}"),
    );
    media(
        "short-key.m3u8",
        &format!("#EXT-X-KEY:METHOD=AES-128,URI=\"key.bin\"\n{first}"),
    );
    media(
        "method.m3u8",
        &format!("#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"key.bin\"\n{first}"),
    );
    media(
        "fairplay.m3u8",
        &format!(
            "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://a\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n\
             {first}"
        ),
    );
    media(
        "no-map.m3u8",
        "#EXT-X-MAP:URI=\"gone.mp4\"\n#EXTINF:20,\nmedia.m4s",
    );
    media(
        "map-is-page.m3u8",
        "#EXT-X-MAP:URI=\"page.m3u8\"\n#EXTINF:20,\nmedia.m4s",
    );
    media(
        "drm.m3u8",
        "#EXT-X-MAP:URI=\"drm.mp4\"\n#EXTINF:20,\nmedia.m4s",
    );
    media("no-init.m3u8", "#EXTINF:20,\nmedia.m4s");
    let variants = "#EXT-X-STREAM-INF:BANDWIDTH=2000000,RESOLUTION=1280x720\n{720}\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=640x360\nindex.m3u8";
    media("gone-variant.m3u8", &variants.replace("{720}", "gone.m3u8"));
    media("page-variant.m3u8", &variants.replace("{720}", "page.m3u8"));
    media(
        "nested.m3u8",
        &variants.replace("{720}", "gone-variant.m3u8"),
    );
    media(
        "no-variants.m3u8",
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,URI=\"index.m3u8\"",
    );
    let others = "(there is also 360p 500000 bit/s)";
    for (name, strict, said) in [
        (
            "missing",
            3,
            "segment no0.ts (sequence 0): DIR/no0.ts: not found; none of the 10 segments can be used",
        ),
        (
            "no-key",
            3,
            "segment seg00.ts (sequence 0): its key DIR/gone.bin: not found",
        ),
        (
            "short-key",
            3,
            "segment seg00.ts (sequence 0): the key DIR/key.bin has 5 bytes instead of 16",
        ),
        (
            "method",
            1,
            "segment seg00.ts (sequence 0): encryption (EXT-X-KEY METHOD=SAMPLE-AES-CTR) is not \
             supported yet",
        ),
        (
            "fairplay",
            1,
            "segment seg00.ts (sequence 0): DRM by FairPlay (EXT-X-KEY \
             KEYFORMAT=\"com.apple.streamingkeydelivery\") is not supported yet",
        ),
        (
            "no-map",
            3,
            "segment media.m4s (sequence 0): its EXT-X-MAP DIR/gone.mp4: not found",
        ),
        (
            "map-is-page",
            3,
            "segment media.m4s (sequence 0): its EXT-X-MAP DIR/page.m3u8: an HTML page, not a media \
             segment",
        ),
        (
            "drm",
            3,
            "segment media.m4s (sequence 0): its EXT-X-MAP DIR/drm.mp4: no track can be carried: \
             encrypted samples (DRM, unknown scheme) in track 1, encrypted samples (DRM, unknown \
             scheme) in track 2",
        ),
        (
            "no-init",
            3,
            "segment media.m4s (sequence 0): no initialization segment: there is no moov box to \
             tell what the fragments hold",
        ),
        (
            "gone-variant",
            1,
            &format!(
                "DIR/gone-variant.m3u8: its variant 720p 2000000 bit/s: DIR/gone.m3u8: not found \
                 {others}"
            ),
        ),
        (
            "page-variant",
            1,
            &format!(
                "DIR/page-variant.m3u8: its variant 720p 2000000 bit/s: DIR/page.m3u8: not an M3U8 \
                 playlist but an HTML page {others}"
            ),
        ),
        (
            "nested",
            1,
            "DIR/gone-variant.m3u8: a multivariant playlist inside another is not supported yet",
        ),
        (
            "no-variants",
            1,
            "DIR/no-variants.m3u8: the playlist has no segments",
        ),
    ] {
        let playlist = format!("@{name}.m3u8");
        folder.ends(&["cut", &playlist], strict, said);
        folder.ends(&["probe", &playlist], strict, said);
    }
    let said = "DIR/page-variant.m3u8: no variant \"1080p\": the playlist has 720p 2000000 bit/s, \
                360p 500000 bit/s";
    folder.ends(
        &["cut", "@page-variant.m3u8", "--variant", "1080p"],
        1,
        said,
    );
}

#[test]
fn what_a_server_does_not_have_is_named_by_its_address() {
    let folder = Folder::new().playlist("#EXTINF:2,\na.ts\n#EXTINF:2,\nb.ts");
    let server = FileServer::new(folder.path());
    let address = server.url("");
    let said = |run: &clipmill_tests::binary::Run| run.stderr.replace(&address, "URL/");
    let cut = |name: &str| {
        let out = folder.path().join("clip.mp4");
        clipmill(["cut", &server.url(name), "-o", out.to_str().unwrap()]).expect(1)
    };
    assert_eq!(
        said(&cut("index.m3u8")),
        "clipmill: segment a.ts (sequence 0): URL/a.ts: not found; none of the 2 segments can \
         be used\n"
    );
    assert_eq!(
        said(&cut("gone.m3u8")),
        "clipmill: URL/gone.m3u8: not found\n"
    );
}
