use super::*;
use crate::{Limits, MpegAudioConfig};

fn builder(segment_len: u64) -> TrackBuilder {
    TrackBuilder::new(
        0x101,
        TrackKind::Audio,
        TrackTiming::Rounded { clock: 90_000 },
        segment_len,
        188,
        false,
        &Limits::default(),
    )
    .unwrap()
}

fn sample(dts: i64) -> Sample {
    Sample {
        dts,
        composition_offset: 0,
        duration: 1152,
        size: 0,
        config: 0,
        random_access: RandomAccess::Closed,
        leading: Leading::No,
    }
}

#[test]
fn numbers_are_small() {
    assert_eq!(size_of::<Sample>(), 32);
    assert_eq!(size_of::<Extent>(), 12);
    assert_eq!(size_of::<Unit>(), 8);
}

#[test]
fn gathers_across_packets_and_literals() {
    let segment: Vec<u8> = (0..188 * 4).map(|i| (i % 251) as u8).collect();
    let mut track = builder(segment.len() as u64);
    let mut stream = Vec::new();
    for packet in 0..3u64 {
        let at = packet * 188 + 4;
        track.push_piece(at, 184).unwrap();
        stream.extend_from_slice(&segment[at as usize..at as usize + 184]);
    }
    track.push_literal(b"literal").unwrap();
    stream.extend_from_slice(b"literal");
    track.push_piece(188 * 3 + 8, 100).unwrap();
    stream.extend_from_slice(&segment[188 * 3 + 8..188 * 3 + 108]);

    track.push_unit(10..200).unwrap();
    track.push_sample(sample(0)).unwrap();
    track.push_unit(200..540).unwrap();
    track.push_unit(540..600).unwrap();
    track.push_sample(sample(2_351)).unwrap();
    let track = track.finish();
    assert_eq!(track.extents.len(), 3, "equal pieces one stride apart join");

    let mut out = Vec::new();
    track.gather(&segment, 0..2, &mut out).unwrap();
    assert_eq!(out, stream[10..600]);
    out.clear();
    track.gather(&segment, 1..2, &mut out).unwrap();
    assert_eq!(out, stream[200..600]);
    assert_eq!(track.gathered_len(1..2), 400);
}

#[test]
fn pieces_of_any_length_are_gathered() {
    let segment: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    let mut track = builder(segment.len() as u64);
    let mut stream = Vec::new();
    for (offset, len) in [(0, 184), (188, 189), (376, 189), (600, 70_000), (90_000, 1)] {
        track.push_piece(offset, len).unwrap();
        stream.extend_from_slice(&segment[offset as usize..offset as usize + len]);
    }
    for (offset, len, count) in [(100_004, 184, 3), (101_000, 100, 5), (110_000, 300, 4)] {
        track.push_pieces(offset, len, count).unwrap();
        for piece in 0..usize::from(count) {
            let at = offset as usize + piece * 188;
            stream.extend_from_slice(&segment[at..at + usize::from(len)]);
        }
    }
    assert_eq!(track.position(), stream.len() as u64);
    for (begin, end) in [(0, stream.len()), (100, 400), (69_000, 71_500), (7, 8)] {
        track.push_unit(begin as u64..end as u64).unwrap();
        track.push_sample(sample(0)).unwrap();
    }
    let track = track.finish();
    for (at, range) in [0..stream.len(), 100..400, 69_000..71_500, 7..8]
        .into_iter()
        .enumerate()
    {
        let mut out = Vec::new();
        track.gather(&segment, at..at + 1, &mut out).unwrap();
        assert!(out == stream[range], "sample {at}");
    }
}

#[test]
fn what_lies_in_one_piece_is_found() {
    let segment: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    let mut track = builder(segment.len() as u64);
    for (offset, len) in [(1_000, 150_000), (151_000, 40_000), (200_000, 500)] {
        track.push_piece(offset, len).unwrap();
    }
    track.push_literal(b"literal").unwrap();
    let ends = [70_000, 150_000, 190_000, 190_500, 190_507];
    let mut begin = 0;
    for end in ends {
        track.push_unit(begin..end).unwrap();
        track.push_sample(sample(0)).unwrap();
        begin = end;
    }
    let mut track = track.finish();
    track.length_prefixed = false;
    for (samples, place) in [
        (0..1, Some(1_000..71_000)),
        (0..3, Some(1_000..191_000)),
        (1..3, Some(71_000..191_000)),
        (2..4, None),
        (3..4, Some(200_000..200_500)),
        (4..5, None),
        (0..0, None),
        (4..6, None),
    ] {
        assert_eq!(track.contiguous(samples.clone()), place, "{samples:?}");
        let Some(place) = place else { continue };
        let mut out = Vec::new();
        track.gather(&segment, samples, &mut out).unwrap();
        assert!(out == segment[place]);
    }
}

#[test]
fn a_shorter_segment_is_an_error() {
    let mut track = builder(188);
    track.push_piece(4, 184).unwrap();
    track.push_unit(0..184).unwrap();
    track.push_sample(sample(0)).unwrap();
    let track = track.finish();
    let error = track.gather(&[0; 100], 0..1, &mut Vec::new()).unwrap_err();
    assert_eq!(error.offset, 4);
}

#[test]
fn equal_configurations_are_one() {
    let mut track = builder(0);
    let config = |layer| {
        Arc::new(CodecConfig::MpegAudio(MpegAudioConfig {
            layer,
            sample_rate: 44_100,
            channels: 2,
            frame_samples: 1152,
        }))
    };
    assert_eq!(track.config(&config(2)).unwrap(), 0);
    assert_eq!(track.config(&config(3)).unwrap(), 1);
    assert_eq!(track.config(&config(2)).unwrap(), 0);
}
