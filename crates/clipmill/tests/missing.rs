//! What is cut off or missing is left out, said, and nothing else is lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clipmill::{AnySource, Clip, ClipRequest, Location};

const PACKET: usize = 188;
/// A tag as tools leave it between frames.
const TAG: &[u8] = b"ID3\x04\0\0\0\0\0\x0aTXXX\0\0\0\0\0\0";

fn demo(number: usize) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo");
    fs::read(folder.join(format!("seg{number:02}.ts"))).unwrap()
}

fn cut(playlist: &Path) -> Clip {
    let (source, request) = (AnySource::default(), ClipRequest::default());
    let location = Location::File(playlist.to_owned());
    let clip = Clip::from_playlist(&source, &location, &request, &mut |_| {
        ControlFlow::Continue(())
    });
    clip.unwrap()
}

fn remux(files: &[PathBuf]) -> Clip {
    let (source, request) = (AnySource::default(), ClipRequest::default());
    let files: Vec<_> = files.iter().cloned().map(Location::File).collect();
    let clip = Clip::from_files(
        &source,
        &files,
        &request,
        &mut |_| ControlFlow::Continue(()),
    );
    clip.unwrap()
}

/// Samples of the tracks, pictures first.
fn samples(clip: &Clip) -> Vec<u64> {
    clip.tracks.iter().map(|track| track.samples).collect()
}

fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1f, packet[2]])
}

/// The frames of sound of a segment, in ADTS.
fn adts(segment: &[u8]) -> Vec<Vec<u8>> {
    let mut stream = Vec::new();
    for packet in segment.chunks(PACKET).filter(|packet| pid(packet) == 0x101) {
        let field = if packet[3] & 0x20 == 0 {
            0
        } else {
            1 + usize::from(packet[4])
        };
        let mut payload = &packet[4 + field..];
        if packet[1] & 0x40 != 0 {
            payload = &payload[9 + usize::from(payload[8])..];
        }
        stream.extend_from_slice(payload);
    }
    let mut frames = Vec::new();
    while stream.len() > 7 {
        let len = usize::from(stream[3] & 3) << 11
            | usize::from(stream[4]) << 3
            | usize::from(stream[5] >> 5);
        frames.push(stream.drain(..len).collect());
    }
    frames
}

#[test]
fn packed_audio_loses_no_frame_to_tags_and_says_what_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let frames = adts(&demo(0));
    assert_eq!(frames.len(), 91);
    let tagged = [TAG, &frames[0], TAG, &frames[1..10].concat(), TAG].concat();
    let tagged = [tagged, frames[10..].concat(), TAG.to_vec()].concat();
    let clip = remux(&[write("tags.aac", &tagged)]);
    assert_eq!(samples(&clip), [91]);
    assert!(!clip.is_damaged() && clip.warnings.is_empty());
    let clip = remux(&[write("one.aac", &[TAG, &frames[0]].concat())]);
    assert_eq!((samples(&clip), clip.is_damaged()), (vec![1], false));

    let stream = frames.concat();
    let cut_off = write("cut.aac", &stream[..stream.len() - 11]);
    let clip = remux(std::slice::from_ref(&cut_off));
    assert_eq!((samples(&clip), clip.is_damaged()), (vec![90], true));
    let [warning] = clip.warnings.as_slice() else {
        panic!("{:?}", clip.warnings)
    };
    assert!(warning.contains("frame cut off"), "{warning}");

    // What goes on in the next segment is whole, and what does not is said there.
    let rest = write("rest.aac", &stream[stream.len() - 11..]);
    let clip = remux(&[cut_off.clone(), rest]);
    assert_eq!((samples(&clip), clip.is_damaged()), (vec![91], false));
    let clip = remux(&[cut_off, write("whole.aac", &stream)]);
    assert_eq!((samples(&clip), clip.is_damaged()), (vec![181], true));
}

#[test]
fn the_end_of_a_playlist_tells_what_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let stream = adts(&demo(0)).concat();
    fs::write(folder.path().join("cut.aac"), &stream[..stream.len() - 11]).unwrap();
    let playlist = folder.path().join("index.m3u8");
    for (end, damaged) in [("#EXT-X-ENDLIST\n", true), ("", false)] {
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.94,\ncut.aac\n{end}");
        fs::write(&playlist, text).unwrap();
        let clip = cut(&playlist);
        assert_eq!((samples(&clip), clip.is_damaged()), (vec![90], damaged));
    }
    // In a transport stream: without the last packet of sound, the frame that it ends is not whole.
    let mut segment = demo(0);
    let last = segment.chunks(PACKET).rposition(|one| pid(one) == 0x101);
    let at = last.unwrap() * PACKET;
    segment.drain(at..at + PACKET);
    fs::write(folder.path().join("cut.ts"), &segment).unwrap();
    let whole = samples(&remux(&[folder.path().join("cut.ts")]))[1];
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ncut.ts\n#EXT-X-ENDLIST\n";
    fs::write(&playlist, text).unwrap();
    let clip = cut(&playlist);
    assert_eq!((samples(&clip)[1], clip.is_damaged()), (whole, true));
    let text = clip.warnings.join("\n");
    assert!(whole < 91 && text.contains("frame cut off"), "{text}");
}
