//! Parameter sets of real encoders, with `h264-reader` as an independent judge.

use h264_reader::nal::Nal as _;
use h264_reader::nal::RefNal;
use h264_reader::nal::sps::{ChromaFormat, FrameMbsFlags, SeqParameterSet};
use proptest::prelude::*;

use super::*;
use crate::{Chroma, Colour, Rational};

/// x264, hardware encoders, broadcast encoders; frames and fields; 4:2:0 and 4:2:2; with scaling
/// lists, with hypothetical reference decoder parameters, with cropping.
const SPS: &[&str] = &[
    "6764001facd940d83de6e10000030001000003003c0f183196",
    "27640028ad00ec0780447de02200000300020000030065d14001e848003d093ef7068a000f424001e849f7b814",
    "6764000bac7611082fe5c044000003000400000300083c50a61180",
    "6764001facb402802dd080000003008000001e70200016e360002dc6f251003c60ca80",
    "67640009acd9428df9301100000300010000030014e0400753003a9a4628078912cb",
    "274d001fab405a050c80",
    "27640020ac2b402802dd80880000030008000003032742001458000510edef7c1da1c32a",
    "6742c00dda0645fe4c0440000003004000000c23c50aa8",
    "27640020ac1316c05005bb016a020202606000bb80002ee0bdef83e1108dc0",
    "67640014acd941013b016a020202800000030080000019078a14cb",
    "67640028ac133140780447de03ea020203e000007d20001d4c1280",
    "6764000cacd941419ea230e1000003000100000300320f142996",
    "677a000cb6cd941419f8dc0440000003004000000c83c50a6580",
    "67640015acd941612d808800000300080000030190f8a14cb0",
    "6764000cacb40a0cfcf808800000030080000019078a1550",
    "67640028ad90a47080320b8d0600e83a40e72120830347fc8c110808121424a101024146fff4d102\
     0114e83c133b10161a390b12322070e16132050263e160f06638cac158e04c2058d0a074418e2cc5\
     01e0113f780f0808080f8000000300800000194a",
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Whether the judge reads `nal`, and then whether it reads the same.
fn agrees(nal: &[u8]) -> Option<bool> {
    let rbsp = RefNal::new(nal, &[], true);
    let theirs = SeqParameterSet::from_bits(rbsp.rbsp_bits()).ok()?;
    if matches!(theirs.chroma_info.chroma_format, ChromaFormat::Invalid(_)) {
        return None;
    }
    let size = theirs
        .pixel_dimensions()
        .ok()
        .filter(|&(w, h)| w > 0 && h > 0)?;
    let timing = theirs
        .vui_parameters
        .as_ref()
        .and_then(|vui| vui.timing_info.as_ref())
        .filter(|timing| timing.time_scale > 1 && timing.num_units_in_tick > 0);
    let Some(ours) = Sps::parse(nal) else {
        return Some(false);
    };
    Some(
        size == (ours.width, ours.height)
            && u8::from(theirs.profile_idc) == ours.profile_idc
            && theirs.level_idc == ours.level_idc
            && theirs.id().id() == ours.id
            && theirs.log2_max_frame_num() == ours.frame_num_bits
            && (theirs.frame_mbs_flags == FrameMbsFlags::Frames) == ours.frame_mbs_only
            && timing.is_some() == ours.frame_rate.is_some()
            && timing.zip(ours.frame_rate).is_none_or(|(timing, rate)| {
                let theirs = f64::from(timing.time_scale) / f64::from(timing.num_units_in_tick);
                let ours = f64::from(rate.num) / f64::from(rate.den);
                (theirs / 2.0 - ours).abs() <= ours * 1e-6
            }),
    )
}

#[test]
fn reads_what_the_judge_reads() {
    for hex in SPS {
        assert_eq!(agrees(&bytes(hex)), Some(true), "{hex}");
    }
}

#[test]
fn reads_the_usability_information() {
    let sps = Sps::parse(&bytes(SPS[11])).unwrap();
    assert_eq!((sps.width, sps.height), (318, 178));
    assert_eq!(sps.sample_aspect_ratio, Some(Rational { num: 4, den: 3 }));
    assert_eq!(sps.frame_rate, Some(Rational { num: 50, den: 2 }));
    assert_eq!(sps.reorder_depth, Some(2));

    let sps = Sps::parse(&bytes(SPS[10])).unwrap();
    assert_eq!((sps.width, sps.height), (1920, 1080));
    assert!(!sps.frame_mbs_only);
    let bt709 = Colour {
        primaries: 1,
        transfer: 1,
        matrix: 1,
        full_range: false,
    };
    assert_eq!(sps.colour, Some(bt709));

    let sps = Sps::parse(&bytes(SPS[12])).unwrap();
    assert_eq!(sps.chroma, Chroma::Yuv422);
    assert_eq!((sps.bit_depth_luma, sps.bit_depth_chroma), (10, 10));
}

#[test]
fn a_level_that_is_too_low_is_no_reason_to_refuse() {
    let mut nal = bytes(SPS[0]);
    nal[3] = 10;
    assert_eq!(agrees(&nal), None, "the judge refuses it");
    let sps = Sps::parse(&nal).unwrap();
    let whole = Sps::parse(&bytes(SPS[0])).unwrap();
    assert_eq!(sps.frame_rate, whole.frame_rate);
    assert_eq!(sps.reorder_depth, whole.reorder_depth);
}

#[test]
fn usability_information_that_is_cut_off_costs_no_more_than_itself() {
    let whole = bytes(SPS[0]);
    let sps = Sps::parse(&whole[..14]).unwrap();
    assert_eq!((sps.width, sps.height), (854, 480));
    assert_eq!(sps.frame_rate, None);
}

#[test]
fn finds_the_recovery_point_behind_other_messages() {
    // A user data message of two bytes, then recovery_frame_cnt = 3 (00100).
    let sei = [0x06, 4, 2, 0xaa, 0xbb, 6, 1, 0b0010_0100, 0x80];
    assert_eq!(recovery_point(&sei), Some(3));
    assert_eq!(recovery_point(&[0x06, 4, 2, 0xaa, 0xbb, 0x80]), None);
    assert_eq!(recovery_point(&[0x06]), None);
    assert_eq!(recovery_point(&[]), None);
}

proptest! {
    #[test]
    fn mutated_sets_are_read_as_the_judge_reads_them(
        which in 0..SPS.len(),
        flips in prop::collection::vec((8usize..400, any::<bool>()), 1..4),
    ) {
        let mut nal = bytes(SPS[which]);
        for (bit, _) in flips {
            if let Some(byte) = nal.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        prop_assert_ne!(agrees(&nal), Some(false), "{:02x?}", nal);
    }

    #[test]
    fn rubbish_does_no_harm(nal: Vec<u8>) {
        let _ = Sps::parse(&nal);
        let _ = Pps::parse(&nal);
        let _ = sps_extension_id(&nal);
        let _ = recovery_point(&nal);
        let _ = SliceHeader::peek(&nal);
        let sps = Sps::parse(&bytes(SPS[10])).unwrap();
        let pps = Pps::parse(&bytes("68fa8f2c")).unwrap();
        if let Some(slice) = SliceHeader::parse(&nal, &sps, &pps) {
            OrderCounter::default().next(&sps, &slice);
        }
    }
}
