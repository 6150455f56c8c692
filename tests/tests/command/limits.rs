//! Each of [`Limits`], crossed: a clear error, or what is over is left out with a word.

use std::time::Duration;

use clipmill::{ClipRequest, Input, Limits};
use clipmill_fuzz::{Memory, cut};
use clipmill_tests::binary::root;
use clipmill_tests::writer::Plan;

fn plan() -> Plan {
    Plan {
        groups: 2,
        group: 4,
        weight: 4,
        ..Plan::default()
    }
}

fn stream() -> Memory {
    let plan = plan();
    Memory::stream(&plan, &plan.segments())
}

fn request(limits: impl FnOnce(&mut Limits)) -> ClipRequest {
    let mut request = ClipRequest::default();
    limits(&mut request.limits);
    request
}

/// What is said of a stream that is sound but for the limit.
fn refusal(memory: &Memory, limits: impl FnOnce(&mut Limits)) -> String {
    cut(memory, &ClipRequest::default()).expect("within the defaults");
    match cut(memory, &request(limits)) {
        Ok(clip) => panic!("a clip all the same: {:?}", clip.warnings),
        Err(error) => error.to_string(),
    }
}

#[test]
fn segment_bytes() {
    let said = refusal(&stream(), |limits| limits.segment_bytes = 1000);
    assert_eq!(
        said,
        "segment 0.ts (sequence 0): 0.ts: larger than the limit of 1000 bytes; none of the 2 \
         segments can be used"
    );
}

#[test]
fn playlist_bytes() {
    let said = refusal(&stream(), |limits| limits.playlist_bytes = 50);
    assert_eq!(said, "index.m3u8: larger than the limit of 50 bytes");
}

#[test]
fn playlist_lines() {
    let said = refusal(&stream(), |limits| limits.playlist_lines = 7);
    assert_eq!(
        said,
        "index.m3u8: line 8: more than 7 lines in one playlist"
    );
}

#[test]
fn playlist_segments() {
    let said = refusal(&stream(), |limits| limits.playlist_segments = 1);
    assert_eq!(
        said,
        "index.m3u8: line 10: more than 1 segments in one playlist"
    );
}

#[test]
fn clip_duration() {
    let short = |limits: &mut Limits| limits.clip_duration = Duration::ZERO;
    let plan = Plan {
        group: 30,
        ..plan()
    };
    let memory = Memory::stream(&plan, &plan.segments());
    let said = refusal(&memory, short);
    assert_eq!(
        said,
        "length of the clip in seconds is 1, over the limit of 0"
    );
}

#[test]
fn samples_of_a_track() {
    let said = refusal(&stream(), |limits| limits.samples = 3);
    assert!(
        said.contains("samples of a track is 4, over the limit of 3"),
        "{said}"
    );
}

#[test]
fn tracks_of_a_segment() {
    let said = refusal(&stream(), |limits| limits.tracks = 1);
    assert!(
        said.contains("tracks of a segment is 2, over the limit of 1"),
        "{said}"
    );
}

#[test]
fn codec_configurations_of_a_track() {
    let said = refusal(&stream(), |limits| limits.configs = 0);
    assert!(
        said.contains("codec configurations of a track is 1, over the limit of 0"),
        "{said}"
    );
}

#[test]
fn key_bytes() {
    let mut memory = stream();
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n#EXTINF:1,\n0.ts\n";
    memory.put("index.m3u8", text);
    memory.put("key", vec![0; 2000]);
    let said = cut(&memory, &ClipRequest::default())
        .unwrap_err()
        .to_string();
    assert_eq!(
        said,
        "segment 0.ts (sequence 0): its key key: larger than the limit of 1024 bytes"
    );
}

#[test]
fn init_bytes() {
    let whole = std::fs::read(root().join("fuzz/seeds/fmp4/h264_aac")).unwrap();
    let at = whole
        .windows(4)
        .position(|window| window == b"moof")
        .unwrap()
        - 4;
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:1,\na.m4s\n#EXT-X-ENDLIST\n";
    let memory = Memory::new([
        ("index.m3u8", text.into()),
        ("init.mp4", whole[..at].to_vec()),
        ("a.m4s", whole[at..].to_vec()),
    ]);
    let said = refusal(&memory, |limits| limits.init_bytes = 100);
    assert!(
        said.ends_with("init.mp4: larger than the limit of 100 bytes"),
        "{said}"
    );
}

/// A parameter set that is too long describes nothing: the stream is damaged, and its pictures are
/// left out until there is one that does.
#[test]
fn parameter_set_bytes() {
    let memory = stream();
    let clip = cut(&memory, &request(|limits| limits.parameter_set_bytes = 4)).unwrap();
    assert_eq!(clip.tracks.len(), 1, "sound alone");
    assert!(clip.is_damaged());
    let said = clip.warnings.join("\n");
    assert!(said.contains("parameter set"), "{said}");
}

#[test]
fn damages() {
    let plan = plan();
    let mut segments = plan.segments();
    for packet in segments[0].bytes.chunks_mut(188).skip(2) {
        packet[1] |= 0x80;
    }
    let memory = Memory::new([("0.ts", segments[0].bytes.clone())]);
    let few = request(|limits| limits.damages = 1);
    let input = Input::files(["0.ts"]).with_source(&memory);
    let said = input.clip(&few);
    // Whatever comes of it, it is told in few words.
    let said = said.map_or_else(
        |error| error.to_string(),
        |clip| clip.clip().warnings.join("\n"),
    );
    assert!(!said.is_empty() && said.len() < 1000, "{said}");
}
