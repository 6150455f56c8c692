//! What is recognised and, above all, what is not. That every coding is found in real streams,
//! `tests/misdeclared.rs` shows.
#![allow(clippy::arithmetic_side_effects)]

use proptest::prelude::*;

use super::*;

fn evidence(pes: &[Vec<u8>]) -> Evidence {
    let mut evidence = Evidence::default();
    for payload in pes {
        evidence.pes();
        evidence.payload(payload);
    }
    evidence
}

/// AAC LC, 48 kHz, stereo.
fn adts(len: usize) -> Vec<u8> {
    let mut frame = vec![0xff, 0xf1, 0x4c, 0x80 | (len >> 11) as u8];
    frame.extend([(len >> 3) as u8, (len << 5) as u8 | 0x1f, 0xfc]);
    frame.resize(len, 0x21);
    frame
}

/// MPEG-1 layer II, 48 kHz, 192 kbit/s.
fn layer2() -> Vec<u8> {
    let mut frame = vec![0xff, 0xfd, 0xa4, 0x00];
    frame.resize(576, 0x55);
    frame
}

/// An Opus control header and 20 ms of CELT.
fn opus(len: u8) -> Vec<u8> {
    let mut frame = vec![0x7f, 0xe0, len, 0xfc];
    frame.resize(3 + usize::from(len), 0x5a);
    frame
}

/// A temporal unit of SVT-AV1: delimiter, sequence header (320x180), and a frame.
fn av1(framed: bool) -> Vec<u8> {
    let sequence = [
        0x0a, 0x0b, 0, 0, 0, 0x04, 0x3c, 0xfe, 0xcc, 0xfb, 0xf9, 0x00, 0x40,
    ];
    let frame = [0x32, 6, 0x10, 5, 5, 5, 5, 5];
    let code: &[u8] = if framed { &START } else { &[] };
    let sequence = if framed {
        [&sequence[..4], &[3], &sequence[4..]].concat()
    } else {
        sequence.to_vec()
    };
    [code, &[0x12, 0], code, &sequence, code, &frame].concat()
}

const START: [u8; 3] = [0, 0, 1];

#[test]
fn a_few_frames_tell() {
    let all = [
        (Coding::Adts, vec![adts(200), adts(300), adts(180)]),
        (Coding::MpegAudio, vec![layer2(); 5]),
        (CODINGS[9], vec![opus(90), opus(110), opus(70), opus(99)]),
        (Coding::Av1, vec![av1(false); 2]),
        (Coding::Av1, vec![av1(true); 2]),
    ];
    for (coding, pes) in &all {
        let seen = evidence(pes);
        for declared in [None].into_iter().chain(CODINGS.map(Some)) {
            let expected = match declared {
                Some(declared) if declared == *coding => Verdict::AsExpected,
                _ => Verdict::Found(*coding),
            };
            assert_eq!(
                seen.verdict(declared),
                expected,
                "{coding:?} as {declared:?}"
            );
        }
        // One is not enough.
        assert_eq!(
            evidence(&pes[..1]).verdict(None),
            Verdict::Open,
            "{coding:?}"
        );
    }
}

#[test]
fn frames_need_not_begin_with_a_packet() {
    let stream: Vec<u8> = (0..12).flat_map(|n| adts(150 + n)).collect();
    let pes: Vec<Vec<u8>> = stream[40..].chunks(400).map(<[u8]>::to_vec).collect();
    assert_eq!(evidence(&pes).verdict(None), Verdict::Found(Coding::Adts));
    assert_eq!(
        evidence(&pes).verdict(Some(Coding::Adts)),
        Verdict::AsExpected
    );
}

#[test]
fn frames_are_not_joined_across_a_loss() {
    let mut seen = Evidence::default();
    for _ in 0..4 {
        seen.pes();
        seen.payload(&adts(200));
        seen.payload(&adts(200));
        seen.lost();
    }
    assert_eq!(seen.verdict(None), Verdict::Open);
}

#[test]
fn dts_is_no_opus() {
    let mut core = vec![0x7f, 0xfe, 0x80, 0x01, 0xfc, 0x3c, 0x7d, 0xb2, 0x77];
    core.resize(1024, 0x33);
    assert_eq!(first_look(CODINGS[9], &core), Some(false));
    assert_eq!(evidence(&vec![core; 8]).score(CODINGS[9]), 0);
}

/// What comes in private PES packets, or looks like the beginning of media.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let begin = prop::sample::select(vec![
        vec![],
        // Start codes, as of each kind of pictures.
        vec![0, 0, 1],
        vec![0, 0, 0, 1, 9, 0xf0, 0, 0, 1],
        vec![0, 0, 1, 0x67],
        vec![0, 0, 1, 0x68],
        vec![0, 0, 1, 0x65, 0x88],
        vec![0, 0, 1, 0x41, 0x9a],
        vec![0, 0, 1, 0x40, 1, 0x0c, 1, 0xff, 0xff],
        vec![0, 0, 1, 0x42, 1],
        vec![0, 0, 1, 0x44, 1],
        vec![0, 0, 1, 0x26, 1],
        vec![0, 0, 1, 0xb3],
        vec![0, 0, 1, 0xb8],
        vec![0, 0, 1, 0],
        vec![0x12, 0, 0x0a],
        // Syncwords of sound.
        vec![0xff, 0xf1, 0x4c, 0x80],
        vec![0xff, 0xfd, 0xa4],
        vec![0xff, 0xfb, 0x90],
        vec![0x0b, 0x77],
        vec![0x56, 0xe0],
        vec![0x7f, 0xfe, 0x80, 0x01],
        vec![0x7f, 0xe0],
        // KLV, teletext, DVB subtitles, ID3, splice information, TTML, DSM-CC.
        vec![0x06, 0x0e, 0x2b, 0x34, 0x02, 0x0b, 0x01, 0x01],
        vec![0x10, 0x02, 0x2c, 0xe7, 0x55],
        vec![0x20, 0x00, 0x0f, 0x10, 0x00],
        b"ID3\x04\0\0\0\0\0".to_vec(),
        vec![0xfc, 0x30, 0x25, 0],
        b"<?xml version=\"1.0\"?><tt>".to_vec(),
        vec![0x3b, 0xb0],
    ]);
    let byte = prop_oneof![
        4 => any::<u8>(),
        1 => prop::sample::select(vec![0u8, 0, 0, 1, 0xff, 0x55, 0x0b, 0x77, 0x7f, 0xe0]),
    ];
    let rest = prop::collection::vec(byte, 0..200);
    (begin, rest).prop_map(|(begin, rest)| [begin, rest].concat())
}

proptest! {
    #[test]
    fn private_data_is_never_media(
        pes in prop::collection::vec(prop::collection::vec(piece(), 1..6), 1..40),
    ) {
        let pes: Vec<Vec<u8>> = pes.iter().map(|pieces| pieces.concat()).collect();
        let seen = evidence(&pes);
        for coding in CODINGS {
            prop_assert!(seen.score(coding) < SURE, "{coding:?}");
        }
        prop_assert_eq!(seen.verdict(None), Verdict::Open);
    }

    #[test]
    fn random_bytes_are_never_media(bytes in prop::collection::vec(any::<u8>(), 0..MOST_BYTES)) {
        let pes: Vec<Vec<u8>> = bytes.chunks(1500).map(<[u8]>::to_vec).collect();
        let seen = evidence(&pes);
        for coding in CODINGS {
            prop_assert!(seen.score(coding) < FITS, "{coding:?}");
        }
    }
}
