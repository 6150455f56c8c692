use clipmill_media::{DamageKind, SegmentIndex, TrackIndex};
use proptest::prelude::*;

use super::*;
use crate::stream_type::Coding;
use crate::testing::{
    AUDIO, NO_TIME, PMT_PID, VIDEO, Writer, entry, filler, pat, pes, pmt, recorder,
};

fn demuxer() -> Demuxer {
    Demuxer::with_assemblers(DemuxOptions::default(), recorder)
}

fn index(bytes: &[u8]) -> SegmentIndex {
    demuxer().index(bytes).unwrap()
}

fn kinds(index: &SegmentIndex) -> Vec<DamageKind> {
    index.damage.kept().iter().map(|d| d.kind.clone()).collect()
}

/// `(pts, dts)` and payload of each PES packet.
fn recorded(track: &TrackIndex, segment: &[u8]) -> Vec<(i64, i64, Vec<u8>)> {
    (0..track.samples().len())
        .map(|n| {
            let sample = track.samples().get(n).unwrap();
            let mut payload = Vec::new();
            track.gather(segment, n..n + 1, &mut payload).unwrap();
            (sample.pts(), sample.dts, payload)
        })
        .collect()
}

/// Ten frames of video, five PES packets of audio.
fn stream() -> Writer {
    let mut ts = Writer::default();
    ts.tables();
    frames(&mut ts, 0, 10);
    ts
}

fn frames(ts: &mut Writer, first: u64, count: u64) {
    for n in first..first + count {
        let time = 90_000 + n * 3600;
        ts.video(time + 3600, time, 300 + n as usize * 97);
        if n % 2 == 0 {
            ts.audio(time, 400 + n as usize);
        }
    }
}

fn assert_whole(index: &SegmentIndex, segment: &[u8]) {
    assert_eq!(index.tracks.len(), 2);
    let video = recorded(&index.tracks[0], segment);
    assert_eq!(video.len(), 10);
    for (n, (pts, dts, payload)) in video.iter().enumerate() {
        let time = 90_000 + n as u64 * 3600;
        assert_eq!((*pts, *dts), (time as i64 + 3600, time as i64));
        assert_eq!(*payload, filler(300 + n * 97, time));
    }
    let audio = recorded(&index.tracks[1], segment);
    assert_eq!(audio.len(), 5);
    for (n, (pts, _, payload)) in audio.iter().enumerate() {
        let time = 90_000 + n as u64 * 7200;
        assert_eq!(*pts, time as i64);
        assert_eq!(*payload, filler(400 + n * 2, time));
    }
}

#[test]
fn every_byte_of_a_clean_stream_is_found() {
    let ts = stream();
    let index = index(&ts.bytes);
    assert_whole(&index, &ts.bytes);
    assert!(index.damage.is_empty() && index.declined.is_empty());
    assert_eq!(index.tracks[0].id(), u32::from(VIDEO));
    assert_eq!(index.tracks[1].id(), u32::from(AUDIO));
}

#[test]
fn longer_packets() {
    let ts = stream();
    for (before, behind) in [(4, 0), (0, 16)] {
        let mut bytes = Vec::new();
        for packet in ts.bytes.chunks(188) {
            bytes.extend(vec![0x33; before]);
            bytes.extend_from_slice(packet);
            bytes.extend(vec![0x47; behind]);
        }
        let index = index(&bytes);
        assert_whole(&index, &bytes);
        assert!(index.damage.is_empty());
    }
}

#[test]
fn packets_before_the_tables_are_kept() {
    let mut ts = Writer::default();
    frames(&mut ts, 0, 5);
    ts.tables();
    frames(&mut ts, 5, 5);
    let index = index(&ts.bytes);
    // The odd and even frames of audio differ only in where the tables lie.
    assert_eq!(index.tracks[0].samples().len(), 10);
    assert!(index.damage.is_empty());
}

#[test]
fn a_map_before_its_association_is_found() {
    let mut ts = Writer::default();
    ts.pmt(0, &[entry(VIDEO, 0x1b), entry(AUDIO, 0x0f)]);
    frames(&mut ts, 0, 10);
    ts.pat(&[(1, PMT_PID)]);
    assert_whole(&index(&ts.bytes), &ts.bytes);
}

#[test]
fn a_segment_without_tables_uses_those_before() {
    let mut demuxer = demuxer();
    let mut first = Writer::default();
    first.tables();
    assert!(!demuxer.has_tables());
    let empty = demuxer.index(&first.bytes).unwrap();
    assert!(empty.tracks.is_empty() && empty.damage.is_empty());
    assert!(demuxer.has_tables());
    assert_eq!(demuxer.program(), Some(1));
    let mut second = Writer::default();
    frames(&mut second, 0, 10);
    assert_whole(&demuxer.index(&second.bytes).unwrap(), &second.bytes);
}

#[test]
fn bad_sections_are_ignored_until_a_good_one_comes() {
    let mut bad = pmt(1, 0, &[entry(0x55, 0x1b)]);
    *bad.last_mut().unwrap() ^= 1;
    let mut bad_pat = pat(0, &[(1, 0x55)]);
    bad_pat[9] ^= 1;
    let mut ts = Writer::default();
    ts.section(0, &bad_pat);
    ts.pat(&[(1, PMT_PID)]);
    ts.section(PMT_PID, &bad);
    ts.pmt(0, &[entry(VIDEO, 0x1b), entry(AUDIO, 0x0f)]);
    frames(&mut ts, 0, 10);
    let index = index(&ts.bytes);
    assert_whole(&index, &ts.bytes);
    assert_eq!(
        kinds(&index),
        [DamageKind::BadSectionCrc, DamageKind::BadSectionCrc]
    );
}

#[test]
fn a_section_over_several_packets_and_several_in_one() {
    let mut long = vec![entry(VIDEO, 0x1b), entry(AUDIO, 0x0f)];
    for pid in 0x200..0x220 {
        let mut id3 = entry(pid, 0x15);
        id3.descriptors = vec![0x26, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        long.push(id3);
    }
    let section = pmt(1, 0, &long);
    assert!(section.len() > 2 * 184);
    let mut ts = Writer::default();
    ts.pat(&[(1, PMT_PID)]);
    ts.section(PMT_PID, &section);
    frames(&mut ts, 0, 10);
    let found = index(&ts.bytes);
    assert_whole(&found, &ts.bytes);
    assert_eq!(found.declined.len(), 32);
    assert_eq!(
        found.declined[0].what,
        "timed ID3 metadata (stream type 0x15)"
    );

    let mut ts = Writer::default();
    ts.pat(&[(1, PMT_PID), (2, PMT_PID)]);
    let mut both = pmt(2, 0, &[entry(0x300, 0x0f)]);
    both.extend(pmt(1, 0, &[entry(VIDEO, 0x1b), entry(AUDIO, 0x0f)]));
    ts.section(PMT_PID, &both);
    frames(&mut ts, 0, 10);
    assert_whole(&index(&ts.bytes), &ts.bytes);
}

#[test]
fn a_section_that_ends_behind_the_pointer() {
    let section = pmt(1, 0, &[entry(VIDEO, 0x1b), entry(AUDIO, 0x0f)]);
    let (head, tail) = section.split_at(9);
    let mut ts = Writer::default();
    ts.pat(&[(1, PMT_PID)]);
    let mut first = vec![0xff; 184 - head.len()];
    first[0] = (first.len() - 1) as u8;
    first.extend_from_slice(head);
    ts.packet(PMT_PID, true, None, &first);
    let mut second = vec![tail.len() as u8];
    second.extend_from_slice(tail);
    second.resize(184, 0xff);
    ts.packet(PMT_PID, true, None, &second);
    frames(&mut ts, 0, 10);
    assert_whole(&index(&ts.bytes), &ts.bytes);
}

#[test]
fn the_program_with_video_is_chosen() {
    let mut ts = Writer::default();
    ts.pat(&[(0, 0x10), (7, 0x1007), (1, PMT_PID)]);
    ts.section(
        0x1007,
        &pmt(
            7,
            0,
            &[entry(0x300, 0x0f), entry(0x301, 0x0f), entry(0x302, 0x0f)],
        ),
    );
    ts.pmt(0, &[entry(VIDEO, 0x1b), entry(AUDIO, 0x0f)]);
    frames(&mut ts, 0, 10);
    ts.pes(0x300, 0xc0, 5, None, &[1, 2, 3]);
    let mut any = demuxer();
    assert_whole(&any.index(&ts.bytes).unwrap(), &ts.bytes);
    assert_eq!(any.program(), Some(1));

    let options = |program| DemuxOptions {
        program: Some(program),
        ..DemuxOptions::default()
    };
    let mut seventh = Demuxer::with_assemblers(options(7), recorder);
    let index = seventh.index(&ts.bytes).unwrap();
    assert_eq!(index.tracks.len(), 1);
    assert_eq!(
        recorded(&index.tracks[0], &ts.bytes),
        [(5, 5, vec![1, 2, 3])]
    );

    let error = Demuxer::with_assemblers(options(8), recorder).index(&ts.bytes);
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "program 8 is not in the stream, which lists 1, 7");
}

#[test]
fn a_changed_map_adds_removes_and_retypes() {
    let mut ts = Writer::default();
    ts.pat(&[(1, PMT_PID)]);
    ts.pmt(0, &[entry(VIDEO, 0x1b)]);
    frames(&mut ts, 0, 2);
    ts.pmt(1, &[entry(VIDEO, 0x1b), entry(AUDIO, 0x0f)]);
    frames(&mut ts, 2, 2);
    ts.pmt(2, &[entry(VIDEO, 0x24), entry(AUDIO, 0x0f)]);
    frames(&mut ts, 4, 2);
    ts.pmt(3, &[entry(AUDIO, 0x0f)]);
    frames(&mut ts, 6, 4);
    let mut demuxer = demuxer();
    let index = demuxer.index(&ts.bytes).unwrap();
    let counts: Vec<_> = index
        .tracks
        .iter()
        .map(|track| (track.id() as u16, track.samples().len()))
        .collect();
    assert_eq!(counts, [(VIDEO, 4), (VIDEO, 2), (AUDIO, 4)]);
    assert!(index.damage.is_empty());
    assert_eq!(demuxer.streams.len(), 1);
}

/// A stream that has two tracks is not mistaken for another one that is scrambled.
#[test]
fn a_scrambled_stream_beside_one_that_is_retyped() {
    let mut ts = Writer::default();
    ts.pat(&[(1, PMT_PID)]);
    ts.pmt(0, &[entry(VIDEO, 0x1b), entry(AUDIO, 0x0f)]);
    frames(&mut ts, 0, 2);
    ts.pmt(1, &[entry(VIDEO, 0x24), entry(AUDIO, 0x0f)]);
    frames(&mut ts, 2, 8);
    for packet in ts.bytes.chunks_mut(188) {
        if Header::of(packet.first_chunk().unwrap()).pid() == AUDIO {
            packet[3] |= 0x80;
        }
    }
    let index = index(&ts.bytes);
    let tracks = index.tracks.iter();
    let counts: Vec<_> = tracks.map(|t| (t.id() as u16, t.samples().len())).collect();
    assert_eq!(counts, [(VIDEO, 2), (VIDEO, 8)]);
}

#[test]
fn another_program_in_the_middle_is_followed() {
    let mut ts = stream();
    ts.pat(&[(2, 0x1002)]);
    frames(&mut ts, 10, 2);
    ts.section(
        0x1002,
        &pmt(2, 0, &[entry(VIDEO, 0x1b), entry(0x300, 0x0f)]),
    );
    ts.pes(0x300, 0xc0, 150_000, None, &[1; 10]);
    let mut demuxer = demuxer();
    let index = demuxer.index(&ts.bytes).unwrap();
    assert_eq!(demuxer.program(), Some(2));
    let counts: Vec<_> = index.tracks.iter().map(|t| t.samples().len()).collect();
    assert_eq!(counts, [12, 5, 1]);
}

#[test]
fn a_map_that_moves_is_followed() {
    let mut ts = stream();
    ts.pat(&[(1, 0x1002)]);
    ts.section(
        0x1002,
        &pmt(1, 1, &[entry(VIDEO, 0x1b), entry(0x300, 0x0f)]),
    );
    ts.pes(0x300, 0xc0, 150_000, None, &[1; 10]);
    let index = index(&ts.bytes);
    assert_eq!(index.tracks.len(), 3);
}

#[test]
fn a_duplicate_is_dropped_once() {
    let ts = stream();
    let mut bytes = Vec::new();
    for packet in ts.bytes.chunks(188) {
        bytes.extend_from_slice(packet);
        bytes.extend_from_slice(packet);
    }
    let index = index(&bytes);
    assert_whole(&index, &bytes);
    assert!(index.damage.is_empty());
}

#[test]
fn a_missing_packet_is_told_to_the_assembler() {
    let ts = stream();
    let mut told = 0;
    for missing in 2..ts.bytes.len() / 188 {
        let mut bytes = ts.bytes.clone();
        bytes.drain(missing * 188..(missing + 1) * 188);
        let index = index(&bytes);
        let losses: u32 = index
            .tracks
            .iter()
            .flat_map(|track| track.samples())
            .map(|sample| sample.duration)
            .sum();
        let gaps = kinds(&index)
            .iter()
            .filter(|kind| **kind == DamageKind::ContinuityGap)
            .count();
        assert_eq!(losses as usize, gaps, "{missing}");
        told += gaps;
        assert!(gaps <= 1);
    }
    // The first and the last packet of each stream leave no trace.
    assert_eq!(told, ts.bytes.len() / 188 - 2 - 4);
}

#[test]
fn discontinuity_indicator_forgives_the_counter() {
    let mut ts = Writer::default();
    ts.tables();
    ts.packet(
        VIDEO,
        true,
        Some(&[0x40]),
        &pes(0xe0, 9000, None, 0, &[1; 20]),
    );
    let mut again = Writer::default();
    for _ in 0..4 {
        again.packet(
            VIDEO,
            true,
            Some(&[0x80]),
            &pes(0xe0, 18_000, None, 17, &[2; 20]),
        );
    }
    ts.bytes.extend_from_slice(&again.bytes[3 * 188..]);
    let index = index(&ts.bytes);
    let samples = index.tracks[0].samples();
    assert_eq!(samples.len(), 2);
    let at = |number| samples.get(number).unwrap();
    assert!(at(0).random_access.is_sync() && !at(1).random_access.is_sync());
    assert_eq!(at(0).duration, 1, "the assembler is told");
    assert!(index.damage.is_empty());
}

#[test]
fn counters_may_begin_anew_with_a_segment() {
    let mut demuxer = demuxer();
    let ts = stream();
    for _ in 0..3 {
        let index = demuxer.index(&ts.bytes).unwrap();
        assert_whole(&index, &ts.bytes);
        assert!(index.damage.is_empty());
    }
}

#[test]
fn scrambled_and_erroneous_packets_are_skipped() {
    let ts = stream();
    let mut scrambled = ts.bytes.clone();
    let mut count = 0;
    for packet in scrambled.chunks_mut(188) {
        if Header::of(packet.first_chunk().unwrap()).pid() == AUDIO {
            packet[3] |= 0x80;
            count += 1;
        }
    }
    assert!(count > 5);
    let found = index(&scrambled);
    assert_eq!(found.tracks.len(), 1);
    assert_eq!(kinds(&found), [DamageKind::Scrambled], "one for the run");

    let mut erroneous = ts.bytes.clone();
    erroneous[188 * 5 + 1] |= 0x80;
    let found = index(&erroneous);
    assert_eq!(
        kinds(&found),
        [DamageKind::TransportError, DamageKind::ContinuityGap]
    );
}

#[test]
fn damage_tells_its_place() {
    let mut ts = stream();
    let end = ts.bytes.len();
    ts.bytes.extend([0x47, 1, 2]);
    ts.bytes.splice(0..0, [3; 50]);
    let index = index(&ts.bytes);
    assert_whole(&index, &ts.bytes);
    let damages: Vec<String> = index
        .damage
        .kept()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        damages,
        [
            "at byte 0: lost sync, 50 bytes skipped".to_owned(),
            format!("at byte {}: ends inside a packet", end + 50),
        ]
    );
}

#[test]
fn a_header_may_straddle_packets() {
    let payload = filler(300, 1);
    let bytes = pes(0xe0, 9000, Some(5400), 300, &payload);
    for split in 1..30 {
        let mut ts = Writer::default();
        ts.tables();
        ts.packet(VIDEO, true, None, &bytes[..split]);
        for piece in bytes[split..].chunks(7) {
            ts.packet(VIDEO, false, None, piece);
        }
        let index = index(&ts.bytes);
        let video = recorded(&index.tracks[0], &ts.bytes);
        assert_eq!(video, [(9000, 5400, payload.clone())], "split at {split}");
    }
}

#[test]
fn bounded_packets_end_where_they_say() {
    let mut ts = Writer::default();
    ts.tables();
    ts.unit(AUDIO, &pes(0xc0, 9000, None, 20, &[1; 50]));
    ts.packet(AUDIO, false, None, &[2; 30]);
    ts.unit(AUDIO, &pes(0xc0, 18_000, None, 400, &[3; 100]));
    ts.unit(AUDIO, &pes(0xbe, 0, None, 50, &[4; 50]));
    let mut stuffed = vec![5; 20];
    stuffed.resize(60, 0xff);
    ts.unit(VIDEO, &pes(0xe0, 9000, None, 20, &stuffed));
    ts.unit(VIDEO, &pes(0xe0, 9000, None, 20, &[6; 200]));
    let index = index(&ts.bytes);
    assert_eq!(
        recorded(&index.tracks[1], &ts.bytes),
        [(9000, 9000, vec![1; 20]), (18_000, 18_000, vec![3; 100])]
    );
    assert_eq!(kinds(&index), [DamageKind::LostBytes { dropped: 60 }]);
    let video = recorded(&index.tracks[0], &ts.bytes);
    assert_eq!(video[0].2, [5; 20]);
    assert_eq!(video[1].2, [6; 200], "an overflown length of video");
}

#[test]
fn what_is_no_pes_packet_is_dropped() {
    let mut ts = Writer::default();
    ts.tables();
    ts.packet(VIDEO, false, None, &[1; 100]);
    ts.unit(VIDEO, &[9; 300]);
    ts.video(9000, 5400, 50);
    let mut scrambled = pes(0xe0, 9000, None, 50, &[2; 50]);
    scrambled[6] |= 0x20;
    ts.unit(VIDEO, &scrambled);
    let index = index(&ts.bytes);
    let video = recorded(&index.tracks[0], &ts.bytes);
    assert_eq!(video, [(9000, 5400, filler(50, 5400))]);
    assert_eq!(
        kinds(&index),
        [
            DamageKind::LostBytes { dropped: 100 },
            DamageKind::BadPesHeader,
            DamageKind::Scrambled,
        ]
    );
}

#[test]
fn timestamps_wrap_once_for_all_streams() {
    let wrap = 1u64 << 33;
    let mut ts = Writer::default();
    ts.tables();
    for n in 0..6 {
        let dts = wrap - 3 * 3600 + n * 3600;
        ts.video((dts + 7200) % wrap, dts % wrap, 20);
        ts.audio(dts % wrap, 20);
    }
    let mut demuxer = demuxer();
    let index = demuxer.index(&ts.bytes).unwrap();
    for (n, sample) in index.tracks[0].samples().iter().enumerate() {
        let dts = (wrap + n as u64 * 3600) as i64 - 3 * 3600;
        assert_eq!((sample.dts, sample.pts()), (dts, dts + 7200));
        assert_eq!(index.tracks[1].samples().get(n).unwrap().dts, dts);
    }
    let mut later = Writer::default();
    later.audio(7 * 3600, 20);
    let index = demuxer.index(&later.bytes).unwrap();
    assert_eq!(
        index.tracks[0].samples().get(0).unwrap().dts,
        (wrap + 7 * 3600) as i64
    );
}

#[test]
fn a_guess_where_there_are_no_tables() {
    let mut ts = Writer::default();
    ts.pes(
        VIDEO,
        0xe0,
        9000,
        None,
        &[0, 0, 0, 1, 0x09, 0xf0, 0, 0, 1, 0x67],
    );
    ts.pes(
        AUDIO,
        0xc0,
        9000,
        None,
        &[0xff, 0xf1, 0x4c, 0x80, 0x20, 0x1f, 0xfc],
    );
    ts.pes(
        0x102,
        0xbd,
        9000,
        None,
        &[0x0b, 0x77, 0, 0, 0x14, 0x40, 0xe1],
    );
    ts.pes(0x103, 0xe0, 9000, None, &[0, 0, 1, 0x46, 1, 0x50, 0, 0]);
    ts.pes(0x104, 0xc0, 9000, None, &[0xff, 0xfd, 0xa4, 0]);
    let mut demuxer = demuxer();
    let index = demuxer.index(&ts.bytes).unwrap();
    assert!(!demuxer.has_tables());
    assert_eq!(demuxer.program(), None);
    assert_eq!(index.tracks.len(), 5);
    let codings: Vec<Coding> = demuxer
        .streams
        .iter()
        .filter_map(|s| s.assembler.coding())
        .collect();
    let expected = [
        Coding::H264,
        Coding::Adts,
        Coding::Ac3,
        Coding::H265,
        Coding::MpegAudio,
    ];
    assert_eq!(codings, expected);
    // Real tables take over.
    let mut second = stream();
    assert_whole(&demuxer.index(&second.bytes).unwrap(), &second.bytes);
    assert!(demuxer.has_tables());
    second.bytes.clear();
}

#[test]
fn what_cannot_be_indexed_says_why() {
    let mut demuxer = demuxer();
    assert_eq!(demuxer.index(&[]), Err(IndexError::Empty));
    let error = demuxer.index(&[0; 4096]).unwrap_err();
    assert_eq!(error.to_string(), "no MPEG-TS sync in the first 4096 bytes");
    let mut nulls = Writer::default();
    for _ in 0..9 {
        nulls.packet(NULL_PID, false, None, &[0xff; 184]);
    }
    let error = demuxer.index(&nulls.bytes).unwrap_err();
    let said = "no program: the MPEG-TS segment has no readable PAT and PMT";
    assert_eq!(error.to_string(), said);
    let mut ts = Writer::default();
    ts.pat(&[(1, PMT_PID)]);
    ts.pmt(0, &[entry(0x300, 0x27), entry(0x301, 0xdb)]);
    let error = demuxer.index(&ts.bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "program 1 has no stream that can be carried: timeline metadata \
         (stream type 0x27) on PID 0x0300, H.264 encrypted with SAMPLE-AES (stream type 0xdb) \
         on PID 0x0301"
    );
}

#[test]
fn limits_hold_and_the_next_segment_recovers() {
    let mut options = DemuxOptions::default();
    options.limits.tracks = 2;
    options.limits.segment_bytes = 60_000;
    let mut demuxer = Demuxer::with_assemblers(options, recorder);
    let ts = stream();
    assert_whole(&demuxer.index(&ts.bytes).unwrap(), &ts.bytes);
    let mut many = Writer::default();
    many.pmt(5, &[entry(0x300, 0x0f), entry(0x301, 0x0f)]);
    assert!(matches!(
        demuxer.index(&many.bytes),
        Err(IndexError::Limit(_))
    ));
    assert_whole(&demuxer.index(&ts.bytes).unwrap(), &ts.bytes);
    let long = vec![0x47; 60_001];
    assert!(matches!(demuxer.index(&long), Err(IndexError::Limit(_))));
}

#[test]
fn after_a_discontinuity_new_tables_are_looked_for() {
    let mut demuxer = demuxer();
    let ts = stream();
    demuxer.index(&ts.bytes).unwrap();
    demuxer.discontinuity();
    let mut other = Writer::default();
    other.pes(0x300, 0xc0, 5, None, &[1, 2, 3]);
    other.pat(&[(3, 0x1003)]);
    other.section(0x1003, &pmt(3, 0, &[entry(0x300, 0x0f)]));
    let index = demuxer.index(&other.bytes).unwrap();
    assert_eq!(index.tracks.len(), 1);
    assert_eq!(demuxer.program(), Some(3));
    // And where there are none, the old ones stay.
    demuxer.discontinuity();
    let mut bare = Writer::default();
    bare.pes(0x300, 0xc0, 5, None, &[1, 2, 3]);
    assert_eq!(demuxer.index(&bare.bytes).unwrap().tracks.len(), 1);
}

/// All payload of each PID in order, over several segments.
fn payloads(segments: &[&[u8]]) -> BTreeMap<u32, (Vec<i64>, Vec<u8>)> {
    let mut demuxer = demuxer();
    let mut all = BTreeMap::<u32, (Vec<i64>, Vec<u8>)>::new();
    for segment in segments.iter().filter(|s| !s.is_empty()) {
        let index = demuxer.index(segment).unwrap();
        assert!(index.damage.is_empty(), "{:?}", index.damage);
        for track in &index.tracks {
            let (times, bytes) = all.entry(track.id()).or_default();
            for (_, dts, payload) in recorded(track, segment) {
                if dts != NO_TIME {
                    times.push(dts);
                }
                bytes.extend(payload);
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn splitting_changes_nothing(cuts in prop::collection::vec(2usize..60, 0..5)) {
        let ts = stream();
        let count = ts.bytes.len() / 188;
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.min(&count) * 188).collect();
        cuts.extend([0, ts.bytes.len()]);
        cuts.sort_unstable();
        let segments: Vec<&[u8]> = cuts.windows(2).map(|w| &ts.bytes[w[0]..w[1]]).collect();
        prop_assert_eq!(payloads(&segments), payloads(&[&ts.bytes]));
    }

    #[test]
    fn mutations_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..60),
        end in any::<prop::sample::Index>(),
        drops in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut ts = stream();
        ts.pmt(1, &[entry(VIDEO, 0x24), entry(AUDIO, 0x0f)]);
        frames(&mut ts, 10, 4);
        let mut bytes = ts.bytes;
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for drop in drops {
            let at = drop.index(bytes.len());
            bytes.remove(at);
        }
        bytes.truncate(end.index(bytes.len() + 1));
        for mut demuxer in [demuxer(), Demuxer::new(DemuxOptions::default())] {
            for _ in 0..2 {
                let Ok(index) = demuxer.index(&bytes) else { continue };
                for track in &index.tracks {
                    let samples = 0..track.samples().len();
                    track.gather(&bytes, samples, &mut Vec::new()).unwrap();
                }
            }
        }
    }

    #[test]
    fn tables_of_any_bytes_never_panic(
        sections in prop::collection::vec(
            (prop::sample::select(vec![0u16, PMT_PID]), any::<u8>(),
             prop::collection::vec(any::<u8>(), 0..300)), 1..12),
    ) {
        let mut ts = Writer::default();
        ts.tables();
        for (pid, version, body) in sections {
            ts.section(pid, &crate::testing::long_section(if pid == 0 { 0 } else { 2 }, 1, version & 0x1f, &body));
        }
        frames(&mut ts, 0, 3);
        let _ = demuxer().index(&ts.bytes);
    }

    #[test]
    fn lost_packets_lose_nothing_else(
        lost in prop::collection::btree_set(3usize..40, 0..6),
    ) {
        let ts = stream();
        let kept: Vec<u8> = ts.bytes.chunks(188).enumerate()
            .filter(|(n, _)| !lost.contains(n)).flat_map(|(_, p)| p.to_vec()).collect();
        let index = index(&kept);
        // Every PES packet whose first packet is there keeps its timestamps.
        let starts = kept.chunks(188).filter(|p| {
            let header = Header::of(p.first_chunk().unwrap());
            header.unit_start() && [VIDEO, AUDIO].contains(&header.pid())
        }).count();
        let timed = index.tracks.iter().flat_map(|t| t.samples()).filter(|s| s.dts != NO_TIME).count();
        prop_assert_eq!(starts, timed);
    }
}
