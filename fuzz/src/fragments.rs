//! Fragmented MP4: any bytes, and sound files whose boxes lie.

use std::sync::LazyLock;

use clipmill::{ClipRequest, Format, Indexer, Limits};
use clipmill_tests::writer::Plan;

use crate::{Memory, check};

/// Boxes that hold boxes, and the bytes before the first of them (ISO/IEC 14496-12).
const CONTAINERS: &[(&[u8; 4], usize)] = &[
    (b"moov", 0),
    (b"trak", 0),
    (b"edts", 0),
    (b"mdia", 0),
    (b"minf", 0),
    (b"dinf", 0),
    (b"stbl", 0),
    (b"stsd", 8),
    (b"mvex", 0),
    (b"moof", 0),
    (b"traf", 0),
    (b"avc1", 78),
    (b"hvc1", 78),
    (b"mp4a", 28),
];

/// Values that sizes, counts and times are set to.
const VALUES: [u32; 12] = [
    0,
    1,
    2,
    7,
    8,
    0x7f,
    0xffff,
    0x0100_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    0xffff_ffff,
];

/// An initialization section and a segment, one after the other, as one file holds both: the segment
/// is indexed, and becomes a sound MP4, with the section in an `EXT-X-MAP` and without.
pub fn fmp4(data: &[u8]) {
    let (init, segment) = data.split_at(first_fragment(data));
    let mut indexer = Indexer::new(None, &Limits::default());
    if let Err(error) = indexer.init(init) {
        check::one_line(&error.to_string());
    }
    // Twice: an indexer remembers.
    for _ in 0..2 {
        match indexer.index(segment) {
            Ok(index) => check::index(segment, &index),
            Err(error) => check::one_line(&error.to_string()),
        }
    }
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2,\n\
                    a.m4s\n#EXTINF:2,\na.m4s\n#EXT-X-ENDLIST\n";
    let memory = Memory::new([
        ("index.m3u8", playlist.into()),
        ("init.mp4", init.to_vec()),
        ("a.m4s", segment.to_vec()),
        ("whole.mp4", data.to_vec()),
    ]);
    check::clip(&memory, check::cut(&memory, &ClipRequest::default()));
    check::clip(&memory, check::join(&memory, &["whole.mp4"]));
}

/// Where the first fragment begins, or something that goes with it.
fn first_fragment(data: &[u8]) -> usize {
    let begins = |window: &[u8]| matches!(window, b"moof" | b"styp" | b"sidx" | b"emsg" | b"prft");
    let at = data.windows(4).position(begins);
    at.map_or(data.len(), |at| at.saturating_sub(4))
}

/// A sound file to whose boxes things happen: each six bytes are one.
pub fn fmp4_boxes(data: &[u8]) {
    static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let plan = Plan {
            groups: 2,
            group: 4,
            weight: 10,
            ..Plan::default()
        };
        let memory = Memory::stream(&plan, &plan.segments());
        let clip = check::cut(&memory, &ClipRequest::default()).unwrap();
        check::sound_file(&memory, &clip, Format::Fmp4)
    });
    let mut file = FILE.clone();
    for lie in data.chunks_exact(6).take(16) {
        let places = boxes(&file);
        let Some(&(at, len)) = places.get(usize::from(lie[1]) % places.len().max(1)) else {
            break;
        };
        let within = at + 8 + usize::from(lie[2]) % len.saturating_sub(8).max(1);
        let value = VALUES[usize::from(lie[3]) % VALUES.len()];
        let number = u32::from_be_bytes([0, 0, lie[4], lie[5]]);
        match lie[0] % 8 {
            0 => write(&mut file, at, value),
            1 => write(
                &mut file,
                at,
                (len as u32).wrapping_add_signed(i32::from(lie[4] as i8)),
            ),
            2 => write(&mut file, within, value),
            3 => write(&mut file, within, number),
            4 => drop(file.drain(at..at + len)),
            5 => {
                let copy = file[at..at + len].to_vec();
                file.splice(at..at, copy);
            }
            6 => {
                // One box takes another's name.
                let other = places[usize::from(lie[4]) % places.len()].0;
                file.copy_within(other + 4..other + 8, at + 4);
            }
            _ => file.truncate(within),
        }
    }
    fmp4(&file);
}

fn write(file: &mut [u8], at: usize, value: u32) {
    if let Some(place) = file.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Where all boxes are, and how long.
fn boxes(file: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut open = vec![(0, file.len())];
    while let Some((mut at, end)) = open.pop() {
        while at + 8 <= end {
            let size = u32::from_be_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]);
            let len = size as usize;
            if len < 8 || len > end - at {
                break;
            }
            found.push((at, len));
            let kind = &file[at + 4..at + 8];
            let container = CONTAINERS.iter().find(|(name, _)| kind == *name);
            if let Some((_, skip)) = container {
                open.push((at + 8 + skip, at + len));
            }
            at += len;
        }
    }
    found
}
