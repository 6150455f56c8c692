//! Program maps that lie about the payload, or say nothing: what the bytes are is found, nothing of it
//! is lost, and what is no media is never taken for any.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use clipmill_media::{DamageKind, SegmentIndex, TrackIndex};
use clipmill_ts::{DemuxOptions, Demuxer, IndexError};

const PACKET: usize = 188;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A medium of the corpus; says so where there is none.
fn corpus(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("CLIPMILL_CORPUS")
        .map_or_else(|| root().join("../shared/corpus"), PathBuf::from);
    let found = std::fs::read(folder.join(name)).ok();
    if found.is_none() {
        let _ = writeln!(std::io::stderr(), "skipped: no {name} in the corpus");
    }
    found
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(root().join("fixtures").join(name)).expect("a fixture")
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            let poly = if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            crc << 1 ^ poly
        })
    })
}

fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1f, packet[2]])
}

fn payload_at(packet: &[u8]) -> usize {
    match packet[3] >> 4 & 3 {
        3 => 5 + usize::from(packet[4]),
        _ => 4,
    }
}

fn begins(packet: &[u8]) -> bool {
    packet[1] & 0x40 != 0
}

/// The same segment, whose program map says `change(type, pid)` of some streams, without descriptors.
fn declare(segment: &[u8], change: impl Fn(u8, u16) -> Option<u8>) -> Vec<u8> {
    let mut maps = Vec::new();
    let mut out = segment.to_vec();
    for packet in out.chunks_exact_mut(PACKET).filter(|packet| begins(packet)) {
        let pointer = packet.get(payload_at(packet)).copied().unwrap_or(0xff);
        let section = payload_at(packet) + 1 + usize::from(pointer);
        let len = packet.get(section + 1..section + 3).unwrap_or(&[0xff; 2]);
        if section + 3 + usize::from(u16::from_be_bytes([len[0] & 0x0f, len[1]])) > PACKET {
            continue;
        }
        if pid(packet) == 0 {
            let end = section + 3 + usize::from(packet[section + 2]) - 4;
            for entry in packet
                .get(section + 8..end)
                .unwrap_or_default()
                .chunks_exact(4)
            {
                maps.push(u16::from_be_bytes([entry[2] & 0x1f, entry[3]]));
            }
        }
        if !maps.contains(&pid(packet)) || packet[section] != 2 {
            continue;
        }
        let number =
            |at: usize| usize::from(u16::from_be_bytes([packet[at] & 0x0f, packet[at + 1]]));
        let end = section + 3 + number(section + 1) - 4;
        if crc(&packet[section..end + 4]) != 0 {
            continue;
        }
        let mut at = section + 12 + number(section + 10);
        let mut map = packet[section..at].to_vec();
        while at < end {
            let next = at + 5 + number(at + 3);
            let stream = u16::from_be_bytes([packet[at + 1] & 0x1f, packet[at + 2]]);
            match change(packet[at], stream) {
                Some(new) => map.extend([new, packet[at + 1], packet[at + 2], 0xf0, 0]),
                None => map.extend_from_slice(&packet[at..next]),
            }
            at = next;
        }
        map[2] = (map.len() + 1) as u8;
        let sum = crc(&map).to_be_bytes();
        map.extend(sum);
        packet[section..].fill(0xff);
        packet[section..section + map.len()].copy_from_slice(&map);
    }
    out
}

fn retyped(segment: &[u8], from: u8, to: u8) -> Vec<u8> {
    declare(segment, |kind, _| (kind == from).then_some(to))
}

fn demuxer() -> Demuxer {
    Demuxer::new(DemuxOptions::default())
}

fn index(segment: &[u8]) -> SegmentIndex {
    demuxer().index(segment).expect("an index")
}

/// Times and bytes of each sample.
fn samples(track: &TrackIndex, segment: &[u8]) -> Vec<(i64, i64, Vec<u8>)> {
    let samples = track.samples().iter().enumerate();
    samples
        .map(|(n, sample)| {
            let mut bytes = Vec::new();
            track
                .gather(segment, n..n + 1, &mut bytes)
                .expect("a sample");
            (sample.pts(), sample.dts, bytes)
        })
        .collect()
}

fn all(index: &SegmentIndex, segment: &[u8]) -> BTreeMap<u32, Vec<(i64, i64, Vec<u8>)>> {
    let tracks = index.tracks.iter();
    tracks
        .map(|track| (track.id(), samples(track, segment)))
        .collect()
}

/// Asserts that nothing is different but a note that names both.
fn assert_found(name: &str, segment: &[u8], lying: &[u8], said: Option<[&str; 2]>) {
    let (truth, found) = (index(segment), index(lying));
    assert!(
        all(&found, lying) == all(&truth, segment),
        "{name}: other samples"
    );
    for (found, truth) in found.tracks.iter().zip(&truth.tracks) {
        assert_eq!(found.kind(), truth.kind(), "{name}");
    }
    assert_eq!(found.damage, truth.damage, "{name}");
    assert_eq!(found.declined, truth.declined, "{name}");
    match said {
        None => assert!(found.notes.is_empty(), "{name}: {:?}", found.notes),
        Some(both) => {
            let notes: Vec<String> = found.notes.iter().map(ToString::to_string).collect();
            assert_eq!(notes.len(), 1, "{name}: {notes:?}");
            for one in both {
                assert!(notes[0].contains(one), "{name}: {notes:?}");
            }
        }
    }
}

#[test]
fn what_the_bytes_are_beats_what_the_map_says() {
    let demo = fixture("demo/seg00.ts");
    let hevc = std::fs::read_dir(root().join("fixtures/hevc")).expect("a folder");
    let mut hevc: Vec<PathBuf> = hevc.flatten().map(|entry| entry.path()).collect();
    hevc.retain(|path| path.extension().is_some_and(|ext| ext == "ts"));
    hevc.sort();
    let hevc = hevc
        .first()
        .map(|path| std::fs::read(path).expect("a segment"));
    let own = [
        (
            "ADTS",
            demo.clone(),
            0x0f,
            vec![(0x04, "MPEG audio"), (0x11, "LATM"), (0x06, "private data")],
            "ADTS",
        ),
        (
            "H.264",
            demo,
            0x1b,
            vec![
                (0x02, "MPEG-2"),
                (0x24, "H.265"),
                (0x10, "MPEG-4 part 2"),
                (0x06, "private data"),
            ],
            "H.264",
        ),
        (
            "H.265",
            hevc.unwrap_or_default(),
            0x24,
            vec![(0x1b, "H.264"), (0x02, "MPEG-2"), (0x06, "private data")],
            "H.265",
        ),
    ];
    for (name, segment, from, lies, found) in own {
        assert!(!segment.is_empty(), "{name}");
        for (to, declared) in lies {
            let lying = retyped(&segment, from, to);
            assert_ne!(lying, segment);
            let said = Some([declared, found]);
            assert_found(&format!("{name} as {to:#04x}"), &segment, &lying, said);
        }
    }
    for (file, from, lies, found) in [
        (
            "h264_mp2.ts",
            0x03,
            &[(0x0f, "ADTS"), (0x06, "private data")][..],
            "MPEG audio",
        ),
        (
            "h264_mp3.ts",
            0x03,
            &[(0x06, "private data"), (0x81, "AC-3")],
            "MPEG audio",
        ),
        (
            "h264_aac_latm.ts",
            0x11,
            &[(0x0f, "ADTS"), (0x06, "private data")],
            "LATM",
        ),
        (
            "h264_ac3.ts",
            0x81,
            &[(0x06, "private data"), (0x03, "MPEG audio")],
            "AC-3",
        ),
        (
            "h264_eac3.ts",
            0x87,
            &[(0x06, "private data"), (0x0f, "ADTS")],
            "E-AC-3",
        ),
        (
            "h264_dts.ts",
            0x82,
            &[(0x06, "private data"), (0x81, "AC-3")],
            "DTS",
        ),
        (
            "h264_opus.ts",
            0x06,
            &[(0x06, "private data"), (0x0f, "ADTS")],
            "Opus",
        ),
        (
            "mpeg2_interlaced_mp2.ts",
            0x02,
            &[(0x1b, "H.264"), (0x24, "H.265"), (0x06, "private data")],
            "MPEG-2",
        ),
    ] {
        let Some(segment) = corpus(&format!("gen/ts/{file}")) else {
            continue;
        };
        for &(to, declared) in lies {
            let lying = retyped(&segment, from, to);
            assert_ne!(lying, segment, "{file}");
            let said = Some([declared, found]);
            assert_found(&format!("{file} as {to:#04x}"), &segment, &lying, said);
        }
    }
}

/// AC-3 and E-AC-3 under each other's type are no lie worth a word: their frames tell.
#[test]
fn ac3_and_eac3_may_change_places() {
    for (file, from, to) in [("h264_ac3.ts", 0x81, 0x87), ("h264_eac3.ts", 0x87, 0x81)] {
        let Some(segment) = corpus(&format!("gen/ts/{file}")) else {
            continue;
        };
        assert_found(file, &segment, &retyped(&segment, from, to), None);
    }
}

/// Nothing declared at all: both streams are private.
#[test]
fn a_program_of_private_streams() {
    let segment = fixture("demo/seg00.ts");
    let lying = declare(&segment, |_, _| Some(0x06));
    let found = index(&lying);
    assert!(all(&found, &lying) == all(&index(&segment), &segment));
    let counts: Vec<_> = found
        .tracks
        .iter()
        .map(|track| track.samples().len())
        .collect();
    assert_eq!(counts, [50, 91]);
    assert!(found.declined.is_empty() && found.damage.is_empty());
    assert_eq!(found.notes.len(), 2);
}

/// What came of a stream in a segment that was too short to tell is not lost in the next one.
#[test]
fn a_probe_may_span_segments() {
    let segment = fixture("demo/seg00.ts");
    let truth = index(&segment);
    for lie in [0x04, 0x06] {
        let lying = retyped(&segment, 0x0f, lie);
        let audio: Vec<usize> = lying
            .chunks_exact(PACKET)
            .enumerate()
            .filter(|(_, packet)| pid(packet) == 0x101)
            .map(|(n, _)| n)
            .collect();
        // Behind the first packets of the first PES packet of sound.
        for packets in 1..4 {
            let cut = (audio[packets - 1] + 1) * PACKET;
            let (first, second) = lying.split_at(cut);
            let mut demuxer = demuxer();
            let before = demuxer.index(first).expect("an index");
            let after = demuxer.index(second).expect("an index");
            let of = |index: &SegmentIndex, bytes: &[u8]| all(index, bytes).remove(&0x101);
            let mut found = of(&before, first).unwrap_or_default();
            found.extend(of(&after, second).unwrap_or_default());
            let mut all = of(&truth, &segment).unwrap_or_default();
            // Frames that were whole before it could be told have missed their segment, which is said.
            let missed = all.len() - found.len();
            let dropped: usize = all.drain(..missed).map(|(_, _, bytes)| bytes.len()).sum();
            assert!(
                found == all,
                "{lie:#04x}, {packets} packets: {missed} missed"
            );
            assert!(missed <= 2, "{missed}");
            let dropped = dropped as u64;
            let lost = after.damage.kept().iter();
            let said = lost
                .filter(|one| one.kind == DamageKind::LostBytes { dropped })
                .count();
            assert_eq!(said > 0, missed > 0, "{:?}", after.damage);
        }
    }
}

/// The first PES packet is damaged or cut off: the others tell. Of pictures, those that have parameter
/// sets; the ones before cannot be decoded.
#[test]
fn the_first_packet_need_not_be_whole() {
    let segment = [fixture("demo/seg00.ts"), fixture("demo/seg01.ts")].concat();
    for (from, stream, lie) in [
        (0x0f, 0x101, 0x04),
        (0x0f, 0x101, 0x06),
        (0x1b, 0x100, 0x02),
        (0x1b, 0x100, 0x06),
    ] {
        let at = segment
            .chunks_exact(PACKET)
            .position(|packet| pid(packet) == stream && begins(packet))
            .expect("a PES packet");
        let at = at * PACKET..(at + 1) * PACKET;
        let mut broken = segment.clone();
        let first = &mut broken[at.clone()];
        let payload = payload_at(first) + 20;
        first[payload..].fill(0x5a);
        let mut cut = segment.clone();
        cut.drain(at);
        for (name, truth) in [("damaged", broken), ("cut", cut)] {
            let lying = retyped(&truth, from, lie);
            let (found, expected) = (index(&lying), index(&truth));
            let name = format!("{name} {stream:#x} as {lie:#04x}");
            assert_eq!(found.notes.len(), 1, "{name}");
            let (mut found, mut expected) = (all(&found, &lying), all(&expected, &truth));
            if stream == 0x100 {
                let found = found.remove(&0x100).unwrap_or_default();
                let expected = expected.remove(&0x100).unwrap_or_default();
                assert!(found.len() >= 50, "{name}: {}", found.len());
                assert!(expected.ends_with(&found), "{name}");
            }
            assert!(found == expected, "{name}");
        }
    }
}

/// A map that begins to lie, stops lying, or lies otherwise changes nothing of the stream.
#[test]
fn a_map_may_change_its_mind() {
    let parts = [fixture("demo/seg00.ts"), fixture("demo/seg01.ts")];
    let truth = parts.concat();
    let expected = all(&index(&truth), &truth);
    for (first, second) in [
        (0x0f, 0x04),
        (0x04, 0x0f),
        (0x04, 0x81),
        (0x06, 0x11),
        (0x0f, 0x06),
    ] {
        let lying = [
            retyped(&parts[0], 0x0f, first),
            retyped(&parts[1], 0x0f, second),
        ];
        let whole = lying.concat();
        let found = index(&whole);
        assert_eq!(found.tracks.len(), 2, "{first:#04x}, {second:#04x}");
        assert!(
            all(&found, &whole) == expected,
            "{first:#04x}, {second:#04x}"
        );

        let mut demuxer = demuxer();
        let mut both: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        for part in &lying {
            let index = demuxer.index(part).expect("an index");
            for (id, more) in all(&index, part) {
                both.entry(id).or_default().extend(more);
            }
        }
        assert!(both == expected, "{first:#04x}, {second:#04x} in two");
    }
}

/// A type that changes with the stream makes another track, as it always did.
#[test]
fn a_stream_may_change_with_its_type() {
    let Some(changing) = corpus("gen/ts/codec_change_h264_to_hevc_pmt_v1.ts") else {
        return;
    };
    let counts = |segment: &[u8]| {
        let index = index(segment);
        let mut counts: Vec<_> = index
            .tracks
            .iter()
            .map(|track| track.samples().len())
            .collect();
        counts.sort_unstable();
        counts
    };
    assert_eq!(counts(&changing), counts(&retyped(&changing, 0x0f, 0x04)));
    assert!(counts(&changing).ends_with(&[75, 75]) || counts(&changing).contains(&75));
}

/// Scrambled payload looks like anything; nothing is found in it, and of a private stream it is not
/// even damage.
#[test]
fn scrambled_payload_is_not_looked_at() {
    let segment = fixture("demo/seg00.ts");
    for lie in [0x04, 0x06] {
        let mut lying = retyped(&segment, 0x0f, lie);
        for packet in lying.chunks_exact_mut(PACKET) {
            if pid(packet) == 0x101 {
                packet[3] |= 0x80;
            }
        }
        let found = index(&lying);
        assert_eq!(found.tracks.len(), 1);
        assert!(found.notes.is_empty(), "{:?}", found.notes);
        let scrambled = found
            .damage
            .kept()
            .iter()
            .any(|one| one.kind == DamageKind::Scrambled);
        assert_eq!(scrambled, lie == 0x04);
        assert_eq!(found.damage.is_empty(), lie == 0x06);
    }
}

/// What is declared as encrypted samples is that, whatever can be read of it.
#[test]
fn encrypted_samples_are_not_looked_at() {
    let segment = fixture("demo/seg00.ts");
    let lying = declare(&segment, |kind, _| {
        Some(if kind == 0x0f { 0xcf } else { 0xdb })
    });
    let error = demuxer().index(&lying).expect_err("nothing to carry");
    assert!(
        matches!(error, IndexError::NothingCarried { .. }),
        "{error}"
    );
    let one = retyped(&segment, 0x0f, 0xcf);
    assert_eq!(
        (index(&one).tracks.len(), index(&one).declined.len()),
        (1, 1)
    );
}

fn transport_streams() -> Vec<PathBuf> {
    let folder = std::env::var_os("CLIPMILL_CORPUS")
        .map_or_else(|| root().join("../shared/corpus"), PathBuf::from);
    let (mut folders, mut found) = (vec![folder], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "ts") {
                found.push(path);
            }
        }
    }
    if found.is_empty() {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no transport streams in the corpus"
        );
    }
    found
}

/// Teletext, DVB subtitles, SCTE-35, ID3 and the like in streams made by others stay what they are,
/// also where the map says nothing of them; and no honest map is contradicted.
#[test]
fn private_data_is_never_taken_for_media() {
    let mut private = 0;
    for path in transport_streams() {
        let segment = std::fs::read(&path).expect("readable");
        let Ok(found) = demuxer().index(&segment) else {
            continue;
        };
        assert!(
            found.notes.is_empty(),
            "{}: {:?}",
            path.display(),
            found.notes
        );
        if segment.len() % PACKET != 0 || segment.first() != Some(&0x47) {
            continue;
        }
        let media: Vec<u32> = found.tracks.iter().map(TrackIndex::id).collect();
        // Codings that are known by name and not carried are no private data.
        let lying = declare(&segment, |kind, pid| {
            let carried = media.contains(&u32::from(pid));
            (!carried && !matches!(kind, 1..=4 | 0x0f..=0x11 | 0x1b | 0x24 | 0x81 | 0x87))
                .then_some(0x06)
        });
        if lying == segment {
            continue;
        }
        let Ok(again) = demuxer().index(&lying) else {
            continue;
        };
        private += again.declined.len();
        let notes: Vec<String> = again.notes.iter().map(ToString::to_string).collect();
        assert!(notes.is_empty(), "{}: {notes:?}", path.display());
        // What was declared and scrambled is neither now.
        let damages = |index: &SegmentIndex| {
            let mut kept = index.damage.kept().to_vec();
            kept.retain(|one| one.kind != DamageKind::Scrambled);
            kept
        };
        assert_eq!(damages(&again), damages(&found), "{}", path.display());
    }
    println!("{private} private streams");
}
