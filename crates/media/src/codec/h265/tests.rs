//! Parameter sets of real encoders.

use proptest::prelude::*;

use super::*;
use crate::{Chroma, Colour, Rational};

const VPS: &str = "40010c01ffff022000000300b0000003000003009918a340c00000fa40003a9814";
/// 3840x2160, Main 10, 59.94 pictures per second, BT.709.
const SPS: &str = "420101022000000300b00000030000030099a001e020021c4d90628d9242942f016a020202280000\
                   1f480007530309208370000e4e180007270ff3c78f40";
const PPS: &str = "4401c172f63b64";
/// With a conformance window, and without.
const MORE: &[(&str, u32, u32)] = &[
    (
        "42010101600000030090000003000003005aa006b201e1d796566924cae68080000003008000000f04",
        854,
        480,
    ),
    (
        "420101016000000300b00000030000030078a005020171f2e205ee45914bff2e7f13fa9a8080808040",
        640,
        360,
    ),
    (
        "42010101600000030040000003000003003ca00a080b9f796566924caf016868000003000800000300c840",
        320,
        180,
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn makes_a_configuration() {
    let config = H265Config::from_parameter_sets(
        vec![bytes(VPS).into()],
        vec![bytes(SPS).into()],
        vec![bytes(PPS).into()],
    )
    .unwrap();
    assert_eq!(config.general_profile_idc, 2);
    assert_eq!(config.general_level_idc, 153);
    assert_eq!(config.general_constraint_indicator_flags >> 40, 0xb0);
    assert_eq!(config.temporal_layers, 1);
    assert!(config.temporal_id_nested);
    let video = &config.video;
    assert_eq!((video.width, video.height), (3840, 2160));
    assert_eq!((video.bit_depth_luma, video.bit_depth_chroma), (10, 10));
    assert_eq!(video.chroma, Chroma::Yuv420);
    assert_eq!(video.reorder_depth, Some(4));
    let rate = Rational {
        num: 60_000,
        den: 1_001,
    };
    assert_eq!(video.frame_rate, Some(rate));
    assert_eq!(Vps::parse(&bytes(VPS)).unwrap().frame_rate, Some(rate));
    let bt709 = Colour {
        primaries: 1,
        transfer: 1,
        matrix: 1,
        full_range: false,
    };
    assert_eq!(video.colour, Some(bt709));
}

#[test]
fn sizes_are_those_inside_the_conformance_window() {
    for (hex, width, height) in MORE {
        let sps = Sps::parse(&bytes(hex)).unwrap();
        assert_eq!((sps.width, sps.height), (*width, *height), "{hex}");
    }
}

#[test]
fn the_picture_order_count_wraps() {
    let sps = Sps::parse(&bytes(SPS)).unwrap();
    assert_eq!(sps.order_bits, 7);
    let slice = |header: u8, lsb: u32| SliceHeader {
        nal_type: NalType::of(header << 1),
        temporal_id: 0,
        first_in_picture: true,
        order_lsb: Some(lsb),
    };
    let mut counter = OrderCounter::default();
    let counts = [
        (19u8, 0u32),
        (1, 50),
        (1, 100),
        (1, 20),
        // Decoded after it, displayed before it; a RASL picture is no anchor.
        (8, 120),
        (1, 30),
        (20, 0),
    ]
    .map(|(header, lsb)| counter.next(&sps, &slice(header, lsb)));
    assert_eq!(counts, [0, 50, 100, 148, 120, 158, 0]);
}

proptest! {
    #[test]
    fn rubbish_does_no_harm(
        nal: Vec<u8>,
        flips in prop::collection::vec(16usize..450, 1..6),
    ) {
        let mut sps = bytes(SPS);
        for bit in flips {
            if let Some(byte) = sps.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        let sps = Sps::parse(&sps).unwrap_or_else(|| Sps::parse(&bytes(SPS)).unwrap());
        let pps = Pps::parse(&nal).unwrap_or_else(|| Pps::parse(&bytes(PPS)).unwrap());
        let _ = Vps::parse(&nal);
        let _ = Sps::parse(&nal);
        let _ = recovery_point(&nal);
        let _ = SliceHeader::peek(&nal);
        if let Some(slice) = SliceHeader::parse(&nal, &sps, &pps) {
            OrderCounter::default().next(&sps, &slice);
        }
    }
}
