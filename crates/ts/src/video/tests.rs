//! Access units of streams made by hand, one NAL unit at a time.
#![allow(clippy::arithmetic_side_effects)]

use clipmill_media::codec::h264::{OrderType, Pps, Sps};
use clipmill_media::{
    CodecConfig, DamageKind, DamageLog, Leading, Limits, RandomAccess, TrackIndex,
};
use proptest::prelude::*;

use super::*;
use crate::assemble::{Assemble, PesStart};

mod ahead;

/// 1920x1080, fields allowed, 29.97 frames per second; and its picture parameter set.
const SPS: &str = "67640028ac133140780447de03ea020203e000007d20001d4c1280";
const PPS: &str = "68fa8f2c";
/// 320x180.
const OTHER_SPS: &str = "6764000cacd941419f9f011000000300100000030320f1429960";

fn hex(digits: &str) -> Vec<u8> {
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// What a test says of a slice.
#[derive(Clone, Copy, Default)]
struct Slice {
    idr: bool,
    intra: bool,
    non_reference: bool,
    first_mb: u32,
    frame_num: u32,
    order: u32,
    /// `Some(bottom)`.
    field: Option<bool>,
}

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn u(&mut self, value: u32, width: u8) {
        (0..width)
            .rev()
            .for_each(|bit| self.0.push(value >> bit & 1 == 1));
    }

    fn ue(&mut self, value: u32) {
        let width = (value + 1).ilog2() as u8;
        self.u(0, width);
        self.u(value + 1, width + 1);
    }

    fn bytes(self) -> impl Iterator<Item = u8> {
        let bytes: Vec<u8> = self
            .0
            .chunks(8)
            .map(|bits| {
                bits.iter()
                    .enumerate()
                    .map(|(i, &b)| u8::from(b) << (7 - i))
                    .sum()
            })
            .collect();
        bytes.into_iter()
    }
}

impl Slice {
    fn nal(self) -> Vec<u8> {
        let sps = Sps::parse(&hex(SPS)).unwrap();
        let pps = Pps::parse(&hex(PPS)).unwrap();
        let mut bits = Bits::default();
        bits.ue(self.first_mb);
        bits.ue(if self.idr || self.intra { 7 } else { 5 });
        bits.ue(0);
        bits.u(self.frame_num, sps.frame_num_bits);
        bits.u(u32::from(self.field.is_some()), 1);
        if let Some(bottom) = self.field {
            bits.u(u32::from(bottom), 1);
        }
        if self.idr {
            bits.ue(0);
        }
        let OrderType::Lsb { bits: width } = sps.order else {
            panic!("order type");
        };
        bits.u(self.order, width);
        if pps.bottom_field_order_present && self.field.is_none() {
            bits.ue(0);
        }
        bits.u(1, 1);
        let mut nal = vec![match (self.idr, self.non_reference) {
            (true, _) => 0x65,
            (false, false) => 0x41,
            (false, true) => 0x01,
        }];
        for byte in bits.bytes() {
            if byte <= 3 && nal.ends_with(&[0, 0]) {
                nal.push(3);
            }
            nal.push(byte);
        }
        nal.extend([0x9a; 40]);
        nal.push(0x80);
        nal
    }
}

/// A stream in the making: pieces with the PES headers between them.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    events: Vec<(usize, Event)>,
}

#[derive(Clone, Copy)]
enum Event {
    Pes(Option<i64>, Option<i64>),
    /// The same with a `random_access_indicator`.
    Marked(i64),
    Lost,
    Ends,
}

impl Stream {
    fn pes(mut self, pts: i64, dts: i64) -> Self {
        self.events
            .push((self.bytes.len(), Event::Pes(Some(pts), Some(dts))));
        self
    }

    fn marked(mut self, pts: i64) -> Self {
        self.events.push((self.bytes.len(), Event::Marked(pts)));
        self
    }

    fn lost(mut self) -> Self {
        self.events.push((self.bytes.len(), Event::Lost));
        self
    }

    fn ends(mut self) -> Self {
        self.events.push((self.bytes.len(), Event::Ends));
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn nal(self, nal: &[u8]) -> Self {
        self.raw(&[0, 0, 0, 1]).raw(nal)
    }

    fn sets(self) -> Self {
        self.nal(&hex(SPS)).nal(&hex(PPS))
    }

    fn slice(self, slice: Slice) -> Self {
        self.nal(&slice.nal())
    }

    /// Feeds pieces of `lens` bytes, again and again.
    fn feed(&self, assembler: &mut dyn Assemble, lens: &[usize]) -> (TrackIndex, DamageLog) {
        let mut damage = DamageLog::with_capacity(64);
        assembler
            .begin_segment(self.bytes.len() as u64, 188)
            .unwrap();
        let mut events = self.events.iter().peekable();
        let mut lens = lens.iter().cycle();
        let mut at = 0;
        while at < self.bytes.len() || events.peek().is_some() {
            while let Some((_, event)) = events.next_if(|(position, _)| *position <= at) {
                match *event {
                    Event::Pes(pts, dts) => {
                        let start = PesStart {
                            pts,
                            dts,
                            ..PesStart::default()
                        };
                        assembler.pes(start, &mut damage).unwrap();
                    }
                    Event::Marked(pts) => {
                        let start = PesStart {
                            pts: Some(pts),
                            random_access: true,
                            ..PesStart::default()
                        };
                        assembler.pes(start, &mut damage).unwrap();
                    }
                    Event::Lost => assembler.lost(&mut damage).unwrap(),
                    Event::Ends => assembler.end_of_stream(&mut damage).unwrap(),
                }
            }
            let next = events
                .peek()
                .map_or(self.bytes.len(), |(position, _)| *position);
            let end = (at + lens.next().unwrap()).min(next);
            let piece = &self.bytes[at..end];
            assembler.payload(at as u64, piece, &mut damage).unwrap();
            at = end;
        }
        let track = assembler.end_segment(&mut damage).unwrap();
        (track, damage)
    }

    fn h264(&self) -> (TrackIndex, DamageLog) {
        self.feed(&mut H264Assembler::new(0x100, &Limits::default()), &[184])
    }

    /// The NAL units of one sample.
    fn nals(&self, track: &TrackIndex, sample: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        track
            .gather(&self.bytes, sample..sample + 1, &mut out)
            .unwrap();
        let mut rest = out.as_slice();
        let mut nals = Vec::new();
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let (nal, after) = after.split_at(u32::from_be_bytes(*len) as usize);
            nals.push(nal.to_vec());
            rest = after;
        }
        nals
    }
}

fn times(track: &TrackIndex) -> Vec<(i64, i64)> {
    track.samples().iter().map(|s| (s.pts(), s.dts)).collect()
}

const IDR: Slice = Slice {
    idr: true,
    intra: true,
    non_reference: false,
    first_mb: 0,
    frame_num: 0,
    order: 2,
    field: None,
};

fn p(frame_num: u32, order: u32) -> Slice {
    Slice {
        frame_num,
        order,
        ..Slice::default()
    }
}

fn b(frame_num: u32, order: u32) -> Slice {
    Slice {
        non_reference: true,
        ..p(frame_num, order)
    }
}

fn field(slice: Slice, bottom: bool) -> Slice {
    Slice {
        field: Some(bottom),
        ..slice
    }
}

#[test]
fn pictures_end_where_their_headers_say() {
    // No delimiters; two slices to a picture; one PES packet for all.
    let second = |slice: Slice| Slice {
        first_mb: 60,
        ..slice
    };
    let stream = Stream::default()
        .pes(7200, 0)
        .sets()
        .slice(IDR)
        .slice(second(IDR))
        .slice(p(1, 8))
        .slice(second(p(1, 8)))
        .slice(b(2, 4))
        .slice(b(2, 6));
    let (track, damage) = stream.h264();
    assert_eq!(
        times(&track),
        [(7200, 0), (16209, 3003), (10203, 6006), (13206, 9009)]
    );
    assert_eq!(stream.nals(&track, 0), [IDR.nal(), second(IDR).nal()]);
    assert_eq!(stream.nals(&track, 3), [b(2, 6).nal()]);
    assert!(damage.is_empty(), "{damage:?}");
}

#[test]
fn delimiters_filler_and_known_parameter_sets_go() {
    let aud = [9, 0xf0];
    let sei = [6, 5, 1, 0xaa, 0x80];
    let stream = Stream::default()
        .pes(0, 0)
        .nal(&aud)
        .sets()
        .nal(&sei)
        .slice(IDR)
        .nal(&[12, 0xff, 0xff, 0x80])
        .pes(3600, 3600)
        .nal(&aud)
        .sets()
        .slice(p(1, 4));
    let (track, _) = stream.h264();
    assert_eq!(track.samples().len(), 2);
    assert_eq!(stream.nals(&track, 0), [sei.to_vec(), IDR.nal()]);
    assert_eq!(stream.nals(&track, 1), [p(1, 4).nal()]);
    let CodecConfig::H264(config) = &*track.configs()[0] else {
        panic!("H.264");
    };
    assert_eq!(config.sps, [hex(SPS)]);
    assert_eq!(config.pps, [hex(PPS)]);
}

#[test]
fn a_parameter_set_between_random_access_points_stays_in_band() {
    let mut pps = hex(PPS);
    pps.push(0x5a);
    let idr = |n| Slice { order: n, ..IDR };
    let stream = Stream::default()
        .pes(0, 0)
        .sets()
        .slice(idr(2))
        .nal(&pps)
        .slice(p(1, 4))
        .slice(p(2, 6))
        .slice(idr(2));
    let (track, _) = stream.h264();
    let configs: Vec<u16> = track.samples().iter().map(|s| s.config).collect();
    assert_eq!(configs, [0, 0, 0, 1]);
    assert_eq!(stream.nals(&track, 1), [pps.clone(), p(1, 4).nal()]);
    let CodecConfig::H264(config) = &*track.configs()[1] else {
        panic!("H.264");
    };
    assert_eq!(config.pps, [pps]);
}

/// Encoders that send neither IDR pictures nor recovery points mark their intra pictures in the
/// transport packet alone. What such a mark says of any other picture is not believed.
#[test]
fn an_intra_picture_marked_in_its_packet_is_a_random_access_point() {
    let i = |frame_num, order| Slice {
        intra: true,
        ..p(frame_num, order)
    };
    let stream = Stream::default()
        .pes(0, 0)
        .sets()
        .slice(IDR)
        .marked(3600)
        .slice(i(1, 4))
        .marked(7200)
        .slice(p(2, 6))
        .marked(14_400)
        .slice(i(3, 10))
        .pes(10_800, 14_400)
        .slice(b(4, 8))
        .pes(18_000, 18_000)
        .slice(i(4, 12));
    let (track, _) = stream.h264();
    let samples = track.samples().iter();
    let found: Vec<_> = samples.map(|s| (s.random_access, s.leading)).collect();
    assert_eq!(
        found,
        [
            (RandomAccess::Closed, Leading::No),
            (RandomAccess::Open, Leading::No),
            (RandomAccess::None, Leading::No),
            (RandomAccess::Open, Leading::No),
            (RandomAccess::None, Leading::Skipped),
            (RandomAccess::None, Leading::No),
        ]
    );
}

#[test]
fn another_sequence_is_another_configuration() {
    let stream = Stream::default()
        .pes(0, 0)
        .sets()
        .slice(IDR)
        .nal(&hex(OTHER_SPS))
        .nal(&hex(PPS))
        .slice(IDR);
    let (track, _) = stream.h264();
    let sizes: Vec<_> = track
        .configs()
        .iter()
        .map(|config| config.video().unwrap().width)
        .collect();
    assert_eq!(sizes, [1920, 320]);
}

#[test]
fn two_fields_are_one_sample() {
    let stream = Stream::default()
        .pes(3600, 0)
        .sets()
        .slice(field(IDR, false))
        .slice(field(p(0, 3), true))
        .pes(7200, 3600)
        .slice(field(b(1, 6), false))
        .pes(9000, 5400)
        .slice(field(b(1, 7), true))
        .pes(10800, 7200)
        .slice(field(b(1, 8), false))
        .slice(field(b(1, 9), true));
    let (track, _) = stream.h264();
    assert_eq!(times(&track), [(3600, 0), (7200, 3600), (10800, 7200)]);
    assert_eq!(stream.nals(&track, 1).len(), 2);
    assert_eq!(
        track.samples().get(0).unwrap().random_access,
        RandomAccess::Closed
    );
}

#[test]
fn a_field_that_lost_its_partner_takes_no_other() {
    let stream = Stream::default()
        .pes(3600, 0)
        .sets()
        .slice(field(IDR, false))
        .slice(field(p(0, 3), true))
        .lost()
        .pes(9000, 5400)
        .slice(field(b(1, 7), true))
        .pes(10800, 7200)
        .slice(field(b(1, 8), false))
        .pes(12600, 9000)
        .slice(field(b(1, 9), true));
    let (track, _) = stream.h264();
    assert_eq!(times(&track), [(3600, 0), (9000, 5400), (10800, 7200)]);
}

#[test]
fn a_loss_ends_the_nal_unit() {
    let whole = p(1, 4).nal();
    let stream = Stream::default()
        .pes(0, 0)
        .sets()
        .slice(IDR)
        .raw(&[0, 0, 1])
        .raw(&whole[..20])
        .lost()
        .raw(&[0x77; 50])
        .pes(7200, 7200)
        .slice(p(2, 6));
    let (track, damage) = stream.h264();
    assert_eq!(track.samples().len(), 3);
    assert_eq!(stream.nals(&track, 1), [whole[..20].to_vec()]);
    assert_eq!(times(&track)[2], (7200, 7200));
    let kinds: Vec<_> = damage.kept().iter().map(|damage| &damage.kind).collect();
    assert_eq!(
        kinds,
        [
            &DamageKind::TruncatedAccessUnit,
            &DamageKind::LostBytes { dropped: 50 }
        ]
    );
}

#[test]
fn what_precedes_the_first_parameter_sets_is_kept() {
    let stream = Stream::default()
        .pes(0, 0)
        .slice(field(b(1, 6), false))
        .slice(field(b(1, 7), true))
        .pes(3600, 3600)
        .sets()
        .slice(IDR);
    let (track, _) = stream.h264();
    assert_eq!(times(&track), [(0, 0), (3600, 3600)]);
    assert_eq!(track.configs().len(), 1);
    assert_eq!(
        track.samples().get(0).unwrap().random_access,
        RandomAccess::None
    );
}

#[test]
fn without_parameter_sets_there_are_no_samples() {
    let stream = Stream::default().pes(0, 0).slice(p(1, 4)).slice(p(2, 6));
    let (track, damage) = stream.h264();
    assert!(track.samples().is_empty());
    assert!(track.configs().is_empty());
    let dropped = 2 * p(1, 4).nal().len() as u64;
    assert_eq!(damage.kept()[0].kind, DamageKind::LostBytes { dropped });
}

#[test]
fn parameter_sets_outlive_a_segment() {
    let mut assembler = H264Assembler::new(0x100, &Limits::default());
    let first = Stream::default().pes(0, 0).sets().slice(IDR);
    first.feed(&mut assembler, &[184]);
    let second = Stream::default().pes(3600, 3600).slice(p(1, 4));
    let (track, _) = second.feed(&mut assembler, &[184]);
    assert_eq!(times(&track), [(3600, 3600)]);
    assert_eq!(track.configs().len(), 1);
}

#[test]
fn without_any_timestamp_there_are_no_samples() {
    let stream = Stream::default().sets().slice(IDR).slice(p(1, 4));
    let (track, damage) = stream.h264();
    assert!(track.samples().is_empty());
    assert_eq!(track.configs().len(), 1);
    assert_eq!(damage.kept()[0].kind, DamageKind::NoTimestamp);
}

#[test]
fn trailing_zeros_go_and_cabac_zero_words_stay() {
    let mut padded = IDR.nal();
    padded.extend([0, 0, 3, 0, 0, 3]);
    let stream = Stream::default()
        .pes(0, 0)
        .sets()
        .nal(&padded)
        .raw(&[0; 7])
        .slice(p(1, 4))
        .raw(&[0; 3]);
    let (track, _) = stream.h264();
    assert_eq!(stream.nals(&track, 0), [padded]);
    assert_eq!(stream.nals(&track, 1), [p(1, 4).nal()]);
}

#[test]
fn timestamps_belong_to_what_begins_in_their_packet() {
    // The start code of the second picture lies across two PES packets; the second of them has
    // the timestamps of the third picture.
    let stream = Stream::default()
        .pes(0, 0)
        .sets()
        .slice(IDR)
        .pes(3600, 3600)
        .raw(&[0, 0])
        .pes(7200, 7200)
        .raw(&[1])
        .raw(&p(1, 4).nal())
        .slice(p(2, 6));
    let (track, _) = stream.h264();
    assert_eq!(times(&track), [(0, 0), (3600, 3600), (7200, 7200)]);
}

#[test]
fn recovery_points_tell_how_soon_all_is_well() {
    let at_once = [6, 6, 1, 0b1100_0100, 0x80];
    let gradual = [6, 6, 1, 0b0010_0100, 0x80];
    let stream = Stream::default()
        .pes(7200, 0)
        .sets()
        .nal(&at_once)
        .slice(p(1, 8))
        .pes(3600, 3600)
        .slice(b(2, 4))
        .pes(10800, 7200)
        .nal(&gradual)
        .slice(p(2, 10));
    let (track, _) = stream.h264();
    let access: Vec<_> = track.samples().iter().map(|s| s.random_access).collect();
    assert_eq!(
        access,
        [
            RandomAccess::Open,
            RandomAccess::None,
            RandomAccess::Gradual(3)
        ]
    );
    assert_eq!(track.samples().get(1).unwrap().leading, Leading::Skipped);
}

/// A picture of one slice: `structure` 1 top field, 2 bottom field, 3 frame.
fn mpeg2_picture(temporal_reference: u8, kind: u8, structure: u8) -> Vec<u8> {
    let mut picture = vec![0, 0, 1, 0x00, temporal_reference >> 2];
    picture.extend([temporal_reference << 6 | kind << 3, 0xff, 0xf8]);
    picture.extend([0, 0, 1, 0xb5, 0x8f, 0xff, 0xf4 | structure, 0x80, 0x80]);
    picture.extend([0, 0, 1, 1, 0x12, 0x34, 0x56, 0x00]);
    picture
}

#[test]
fn mpeg2_samples_are_stretches_with_all_their_headers() {
    const SEQUENCE: [u8; 22] = [
        0, 0, 1, 0xb3, 0x2d, 0x02, 0x40, 0x33, 0x24, 0x9f, 0x23, 0x80, 0, 0, 1, 0xb5, 0x14, 0x82,
        0x00, 0x01, 0x00, 0x00,
    ];
    const GROUP: [u8; 8] = [0, 0, 1, 0xb8, 0, 8, 0, 0x00];
    let (i_top, p_bottom) = (mpeg2_picture(2, 1, 1), mpeg2_picture(2, 2, 2));
    let (b, next) = (mpeg2_picture(0, 3, 3), mpeg2_picture(1, 3, 3));
    let stream = Stream::default()
        .raw(&[0x55; 10])
        .pes(10800, 0)
        .raw(&SEQUENCE)
        .raw(&GROUP)
        .raw(&i_top)
        .raw(&p_bottom)
        .pes(3600, 3600)
        .raw(&b)
        .raw(&next);
    for lens in [&[184][..], &[1], &[3, 2, 5]] {
        let mut assembler = Mpeg2Assembler::new(0x100, &Limits::default());
        let (track, damage) = stream.feed(&mut assembler, lens);
        assert_eq!(times(&track), [(10800, 0), (3600, 3600), (7200, 7200)]);
        assert_eq!(
            track.samples().get(0).unwrap().random_access,
            RandomAccess::Open
        );
        assert_eq!(track.samples().get(1).unwrap().leading, Leading::Skipped);
        let mut out = Vec::new();
        track.gather(&stream.bytes, 0..1, &mut out).unwrap();
        assert_eq!(out, [&SEQUENCE[..], &GROUP, &i_top, &p_bottom].concat());
        let CodecConfig::Mpeg2Video(config) = &*track.configs()[0] else {
            panic!("MPEG-2 video");
        };
        assert_eq!(config.sequence_header, SEQUENCE[..]);
        assert_eq!(damage.kept()[0].kind, DamageKind::LostBytes { dropped: 10 });
        assert_eq!(damage.total(), 1);
    }
}

proptest! {
    #[test]
    fn how_a_stream_is_cut_into_packets_makes_no_difference(
        lens in prop::collection::vec(1usize..40, 1..20),
    ) {
        let stream = Stream::default()
            .pes(3600, 0)
            .nal(&[9, 0xf0])
            .sets()
            .slice(field(IDR, false))
            .slice(field(p(0, 3), true))
            .pes(7200, 3600)
            .nal(&[9, 0xf0])
            .slice(p(1, 8))
            .raw(&[0, 0])
            .pes(9000, 7200)
            .slice(b(2, 4));
        let (expected, _) = stream.h264();
        let mut assembler = H264Assembler::new(0x100, &Limits::default());
        let (track, damage) = stream.feed(&mut assembler, &lens);
        prop_assert!(damage.is_empty());
        prop_assert_eq!(times(&track), times(&expected));
        for sample in 0..3 {
            prop_assert_eq!(stream.nals(&track, sample), stream.nals(&expected, sample));
        }
    }

    #[test]
    fn rubbish_gives_samples_that_can_be_gathered(
        parts in prop::collection::vec((0u8..12, any::<u8>(), any::<u16>()), 0..60),
        lens in prop::collection::vec(0usize..60, 1..8),
    ) {
        let mut stream = Stream::default().pes(1, 1);
        for (kind, byte, number) in parts {
            stream = match kind {
                0 => stream.raw(&[0, 0, 1, byte]),
                1 => stream.raw(&[0, 0, 1, byte, byte, 0x9a, 0x44]),
                2 => stream.nal(&hex(SPS)),
                3 => stream.nal(&hex(PPS)),
                4 => stream.slice(p(u32::from(number) % 16, u32::from(byte | 2))),
                5 => stream.slice(field(b(1, u32::from(byte | 2)), number & 1 == 0)),
                6 => stream.pes(i64::from(number), i64::from(byte)),
                7 => stream.lost(),
                8 => stream.raw(&number.to_be_bytes()),
                9 => stream.raw(&[0, 0]),
                10 => stream.raw(&[0, 0, 1, 0xb3, 0x2d, 0x02, 0x40, 0x33, byte, 0, 0, 1, 0, 0, byte]),
                _ => stream.raw(&[0, 0, 1, 0, byte, byte, 0, 0, 1, 0xb5, 0x8f, 0xff, byte]),
            };
        }
        let lens = if lens.iter().all(|&len| len == 0) { vec![7] } else { lens };
        let limits = Limits::default();
        let assemblers: [Box<dyn Assemble>; 3] = [
            Box::new(H264Assembler::new(1, &limits)),
            Box::new(H265Assembler::new(1, &limits)),
            Box::new(Mpeg2Assembler::new(1, &limits)),
        ];
        for mut assembler in assemblers {
            for _ in 0..2 {
                let (track, _) = stream.feed(&mut *assembler, &lens);
                let mut out = Vec::new();
                let all = 0..track.samples().len();
                track.gather(&stream.bytes, all.clone(), &mut out).unwrap();
                prop_assert_eq!(out.len() as u64, track.gathered_len(all));
            }
        }
    }
}
