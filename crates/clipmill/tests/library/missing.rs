//! What is cut off or missing is left out, said, and nothing else is lost.

use std::fs;
use std::path::{Path, PathBuf};

use clipmill::{Clip, ClipRequest, Input};

const PACKET: usize = 188;
/// A tag as tools leave it between frames.
const TAG: &[u8] = b"ID3\x04\0\0\0\0\0\x0aTXXX\0\0\0\0\0\0";

fn demo(number: usize) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo");
    fs::read(folder.join(format!("seg{number:02}.ts"))).unwrap()
}

fn cut(playlist: &Path) -> Clip {
    let input = Input::playlist(playlist);
    input.clip(&ClipRequest::default()).unwrap().into_clip()
}

fn remux(files: &[PathBuf]) -> Clip {
    let input = Input::files(files.iter().map(PathBuf::as_path));
    input.clip(&ClipRequest::default()).unwrap().into_clip()
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

/// A playlist of the demo's first four segments, the second one changed.
fn with_second(folder: &Path, second: &[u8]) -> Clip {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n".to_owned();
    for number in 0..4 {
        let bytes = match number {
            1 => second.to_vec(),
            _ => demo(number),
        };
        fs::write(folder.join(format!("{number}.ts")), bytes).unwrap();
        text += &format!("#EXTINF:2.0,\n{number}.ts\n");
    }
    let playlist = folder.join("index.m3u8");
    fs::write(&playlist, text + "#EXT-X-ENDLIST\n").unwrap();
    cut(&playlist)
}

/// Begin and length of the gaps, in milliseconds.
fn gaps(clip: &Clip) -> Vec<(u64, u64)> {
    let gaps = clip.gaps.iter();
    gaps.map(|gap| (gap.at_ms, gap.duration_ms)).collect()
}

/// Packets of pictures that begin a PES packet: those begun before a place.
fn pictures_before(segment: &[u8], end: usize) -> u64 {
    let packets = segment[..end].chunks(PACKET);
    let begun = packets.filter(|one| pid(one) == 0x100 && one[1] & 0x40 != 0);
    begun.count() as u64
}

#[test]
fn a_segment_that_is_cut_off_leaves_a_gap_and_no_broken_picture() {
    let folder = tempfile::tempdir().unwrap();
    let whole = with_second(folder.path(), &demo(1));
    assert_eq!(samples(&whole)[0], 200);
    assert!(!whole.is_damaged() && whole.gaps.is_empty() && whole.warnings.is_empty());
    let second = demo(1);
    let packets = second.len() / PACKET;
    for kept in [4, packets / 4, packets / 2, packets * 3 / 4] {
        let end = kept * PACKET;
        let clip = with_second(folder.path(), &second[..end]);
        assert!(clip.is_damaged(), "{kept} packets");
        let pictures = samples(&clip)[0] - 150;
        let begun = pictures_before(&second, end);
        // The last one begun is whole if the next packet of pictures begins another.
        let next = second[end..].chunks(PACKET).find(|one| pid(one) == 0x100);
        let broken = u64::from(next.unwrap()[1] & 0x40 == 0);
        assert_eq!(pictures, begun - broken, "{kept} packets");
        let [(at, length)] = gaps(&clip)[..] else {
            panic!("{kept} packets: {:?}", clip.gaps)
        };
        assert!((at + length).abs_diff(4000) <= 45, "{:?}", clip.gaps);
        assert!(at.abs_diff(2000 + 40 * pictures) <= 130, "{:?}", clip.gaps);
        assert!(!clip.warnings.is_empty());
    }
}

#[test]
fn the_last_segment_may_be_cut_off_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let last = demo(1);
    let end = last.len() / PACKET / 2 * PACKET;
    let playlist = folder.path().join("index.m3u8");
    fs::write(folder.path().join("0.ts"), demo(0)).unwrap();
    fs::write(folder.path().join("1.ts"), &last[..end]).unwrap();
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n0.ts\n#EXTINF:2,\n1.ts\n";
    fs::write(&playlist, text).unwrap();
    let clip = cut(&playlist);
    assert!(clip.is_damaged());
    let [(at, length)] = gaps(&clip)[..] else {
        panic!("{:?}", clip.gaps)
    };
    assert!((at + length).abs_diff(4000) <= 45, "{:?}", clip.gaps);
}

#[test]
fn missing_segments_are_gaps_wherever_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for missing in 0..4_u64 {
        let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n".to_owned();
        for number in 0..4 {
            text += &format!("#EXTINF:2.0,\n{missing}-{number}.ts\n");
            if number != missing {
                let path = folder.path().join(format!("{missing}-{number}.ts"));
                fs::write(path, demo(number as usize)).unwrap();
            }
        }
        let playlist = folder.path().join("index.m3u8");
        fs::write(&playlist, text + "#EXT-X-ENDLIST\n").unwrap();
        let clip = cut(&playlist);
        assert!(clip.is_damaged());
        let [(at, length)] = gaps(&clip)[..] else {
            panic!("{missing}: {:?}", clip.gaps)
        };
        let begins = if missing == 0 { 0 } else { missing * 2000 };
        assert!(at.abs_diff(begins) <= 45, "{missing}: {:?}", clip.gaps);
        assert!(length.abs_diff(2000) <= 90, "{missing}: {:?}", clip.gaps);
        assert!(clip.gaps[0].reason.contains("not found"), "{:?}", clip.gaps);
    }
}
