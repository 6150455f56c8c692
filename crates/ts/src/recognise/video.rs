//! Pictures: what stands behind their start codes, and whether one thing fits the other.

use bytes::Bytes;
use clipmill_media::Mpeg2VideoConfig;
use clipmill_media::codec::av1::{ObuHeader, SequenceHeader, obu_type};
use clipmill_media::codec::bits::rbsp;
use clipmill_media::codec::mpeg2video::{PictureHeader, is_sequence_extension, start_code};
use clipmill_media::codec::{h264, h265};
use memchr::memmem;

use crate::stream_type::Coding;

const START_CODE: [u8; 3] = [0, 0, 1];
/// Start codes that are looked at.
const MOST_UNITS: usize = 256;
/// One thing of so many may be against the syntax: payload gets damaged.
const MOST_ODD: u32 = 8;

/// Bits that speak for pictures coded as `coding` in `bytes`; PES packets begin at `starts`.
pub(super) fn score(coding: Coding, bytes: &[u8], starts: &[usize]) -> u32 {
    let mut count = Count::default();
    match coding {
        Coding::H264 => h264(bytes, &mut count),
        Coding::H265 => h265(bytes, &mut count),
        Coding::Mpeg2Video => mpeg2(bytes, &mut count),
        Coding::Av1 => av1(bytes, starts, &mut count),
        _ => {}
    }
    count.bits()
}

/// What was found of one coding.
#[derive(Debug, Default)]
struct Count {
    /// Things that are as they must be.
    even: u32,
    /// Things that cannot be.
    odd: u32,
    bits: u32,
}

impl Count {
    /// Something is as it must be, or cannot be.
    fn note(&mut self, even: bool) {
        let count = if even { &mut self.even } else { &mut self.odd };
        *count = count.saturating_add(1);
    }

    /// Something speaks for the coding, up to `most` times.
    fn add(&mut self, seen: &mut u32, most: u32, bits: u32) {
        if *seen < most {
            *seen = seen.saturating_add(1);
            self.bits = self.bits.saturating_add(bits);
        }
    }

    fn bits(&self) -> u32 {
        let all = self.even.saturating_add(self.odd);
        if self.odd.saturating_mul(MOST_ODD) > all {
            return 0;
        }
        self.bits
    }
}

/// What stands behind each start code, and whether all of it is there.
fn raw_units(bytes: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let codes: Vec<usize> = memmem::find_iter(bytes, &START_CODE)
        .take(MOST_UNITS)
        .collect();
    let ends: Vec<usize> = codes.iter().copied().skip(1).collect();
    codes.into_iter().enumerate().map(move |(n, code)| {
        let end = ends.get(n).copied();
        let unit = bytes
            .get(code.saturating_add(START_CODE.len())..end.unwrap_or(bytes.len()))
            .unwrap_or_default();
        (unit, end.is_some())
    })
}

/// The same without the zeros at the end, which may be those of the next start code.
fn units(bytes: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    raw_units(bytes).map(|(unit, whole)| (without_zeros(unit), whole))
}

fn without_zeros(unit: &[u8]) -> &[u8] {
    let len = unit.iter().rposition(|&byte| byte != 0);
    let unit = unit.get(..len.map_or(0, |last| last.saturating_add(1)));
    unit.unwrap_or_default()
}

/// Rec. ITU-T H.264, 7.4.1.
fn h264(bytes: &[u8], count: &mut Count) {
    let mut sps: Vec<h264::Sps> = Vec::new();
    let mut pps: Vec<h264::Pps> = Vec::new();
    let (mut sets, mut picture_sets, mut slices, mut delimiters) = (0, 0, 0, 0);
    for (nal, whole) in units(bytes) {
        let Some(&header) = nal.first() else { continue };
        let reference = h264::nal_ref_idc(header) != 0;
        if header & 0x80 != 0 {
            count.note(false);
            continue;
        }
        match h264::nal_type(header) {
            kind @ (1 | 5) => {
                let peeked = h264::SliceHeader::peek(nal);
                let known = peeked.and_then(|(_, id)| {
                    let pps = pps.iter().find(|pps| pps.id == id)?;
                    Some((sps.iter().find(|sps| sps.id == pps.sps_id)?, pps))
                });
                let read = known.and_then(|(sps, pps)| h264::SliceHeader::parse(nal, sps, pps));
                let fits = match known {
                    Some(_) => read.is_some(),
                    None => peeked.is_some() || !whole,
                };
                count.note(fits && (kind == 1 || reference));
                if read.is_some() {
                    count.add(&mut slices, 2, 12);
                }
            }
            6 => count.note(!reference),
            7 => {
                let set = h264::Sps::parse(nal).filter(|set| reference && is_plausible(set));
                if whole {
                    count.note(set.is_some());
                }
                if let Some(set) = set {
                    count.add(&mut sets, 1, 32);
                    sps.retain(|known| known.id != set.id);
                    sps.push(set);
                }
            }
            8 => {
                let set = h264::Pps::parse(nal).filter(|_| reference);
                if whole {
                    count.note(set.is_some());
                }
                if let Some(set) = set
                    && sps.iter().any(|known| known.id == set.sps_id)
                {
                    count.add(&mut picture_sets, 1, 20);
                    pps.retain(|known| known.id != set.id);
                    pps.push(set);
                }
            }
            9 => {
                let fits = matches!(nal, &[9, kind] if kind & 0x1f == 0x10);
                count.note(fits || !whole);
                if fits {
                    count.add(&mut delimiters, 2, 12);
                }
            }
            10 | 11 => count.note(nal.len() == 1 && !reference),
            12 => count.note(!reference),
            13..=15 | 19 | 20 => count.note(true),
            _ => count.note(false),
        }
    }
}

/// Profiles and levels that there are (Rec. ITU-T H.264, annexes A, G and H).
fn is_plausible(sps: &h264::Sps) -> bool {
    let profile = matches!(
        sps.profile_idc,
        44 | 66 | 77 | 83 | 86 | 88 | 100 | 110 | 118 | 122 | 128 | 134 | 135 | 138 | 139 | 244
    );
    let level = matches!(
        sps.level_idc,
        9..=13 | 20..=22 | 30..=32 | 40..=42 | 50..=52 | 60..=62
    );
    profile && level && sps.width <= 1 << 14 && sps.height <= 1 << 14
}

/// Rec. ITU-T H.265, 7.4.2.
fn h265(bytes: &[u8], count: &mut Count) {
    let mut vps = false;
    let mut sps: Vec<h265::Sps> = Vec::new();
    let mut pps: Vec<h265::Pps> = Vec::new();
    let (mut video_sets, mut sets, mut picture_sets, mut slices) = (0, 0, 0, 0);
    let mut delimiters = 0;
    for (nal, whole) in units(bytes) {
        let &[first, second, ref rest @ ..] = nal else {
            continue;
        };
        if first & 0x80 != 0 || second & 7 == 0 {
            count.note(false);
            continue;
        }
        let kind = h265::NalType::of(first);
        let base = h265::layer_id(nal) == Some(0);
        match kind.number() {
            0..=9 | 16..=21 => {
                let peeked = h265::SliceHeader::peek(nal);
                let known = peeked.and_then(|(_, id)| {
                    let pps = pps.iter().find(|pps| pps.id == id)?;
                    Some((sps.iter().find(|sps| sps.id == pps.sps_id)?, pps))
                });
                let read = known.and_then(|(sps, pps)| h265::SliceHeader::parse(nal, sps, pps));
                let fits = known.is_none() || read.is_some();
                count.note(fits || !base);
                if read.is_some() && base {
                    count.add(&mut slices, 2, 12);
                }
            }
            32 if base => {
                // vps_reserved_0xffff_16bits.
                let fits = rest.get(2..4) == Some(&[0xff, 0xff]);
                count.note(fits || !whole);
                if fits {
                    vps = true;
                    count.add(&mut video_sets, 1, 20);
                }
            }
            33 if base => {
                let set = h265::Sps::parse(nal);
                if whole {
                    count.note(set.is_some());
                }
                if let Some(set) = set.filter(|_| vps) {
                    count.add(&mut sets, 1, 24);
                    sps.retain(|known| known.id != set.id);
                    sps.push(set);
                }
            }
            34 if base => {
                let set = h265::Pps::parse(nal);
                if whole {
                    count.note(set.is_some());
                }
                if let Some(set) = set
                    && sps.iter().any(|known| known.id == set.sps_id)
                {
                    count.add(&mut picture_sets, 1, 12);
                    pps.retain(|known| known.id != set.id);
                    pps.push(set);
                }
            }
            35 => {
                let fits = matches!(rest, &[kind] if kind & 0x1f == 0x10);
                count.note(fits || !whole);
                if fits {
                    count.add(&mut delimiters, 2, 12);
                }
            }
            36 | 37 => count.note(rest.is_empty()),
            32..=34 | 38..=40 | 62 | 63 => count.note(true),
            _ => count.note(false),
        }
    }
}

/// Rec. ITU-T H.262, 6.2; ISO/IEC 11172-2, 2.4.2.
fn mpeg2(bytes: &[u8], count: &mut Count) {
    let (mut sequences, mut extensions, mut groups) = (0, 0, 0);
    let (mut pictures, mut slices) = (0, 0);
    // The last slice of the picture at hand.
    let mut last: Option<u8> = None;
    for (unit, whole) in units(bytes) {
        let Some(&code) = unit.first() else {
            // Code 0, whose content is zeros.
            count.note(!whole);
            continue;
        };
        match code {
            start_code::SEQUENCE => {
                let header = [&START_CODE[..], unit].concat();
                let config = Mpeg2VideoConfig::from_sequence_header(Bytes::from(header));
                let fits = config.is_some() && has_marker(unit);
                count.note(fits || !whole);
                if fits {
                    count.add(&mut sequences, 1, 20);
                }
            }
            start_code::EXTENSION => {
                count.note(true);
                if sequences > 0 && is_sequence_extension(unit) {
                    count.add(&mut extensions, 1, 16);
                }
            }
            start_code::GROUP => {
                count.note(unit.len() >= 4 || !whole);
                if sequences > 0 {
                    count.add(&mut groups, 1, 8);
                }
            }
            start_code::PICTURE => {
                let fits = PictureHeader::parse(unit).is_some();
                count.note(fits || !whole);
                last = (fits && sequences > 0).then_some(0);
                if last.is_some() {
                    count.add(&mut pictures, 2, 12);
                }
            }
            1..=start_code::LAST_SLICE => {
                let follows = last.is_none_or(|last| code >= last && code.abs_diff(last) <= 1);
                count.note(follows);
                if last.is_some() && follows {
                    count.add(&mut slices, 6, 4);
                    last = Some(code);
                }
            }
            // User data and the end of the sequence.
            0xb2 | 0xb7 => count.note(true),
            _ => count.note(false),
        }
    }
}

/// The `marker_bit` of a sequence header, a frame rate and an aspect ratio that there are.
fn has_marker(unit: &[u8]) -> bool {
    match *unit {
        [_, _, _, _, ratio_rate, _, _, marker, ..] => {
            marker & 0x20 != 0
                && (1..=14).contains(&(ratio_rate >> 4))
                && (1..=8).contains(&(ratio_rate & 15))
        }
        _ => false,
    }
}

/// "AV1 Bitstream & Decoding Process Specification", 5.3 to 5.5.
fn av1(bytes: &[u8], starts: &[usize], count: &mut Count) {
    let (mut delimiters, mut sequences, mut frames) = (0, 0, 0);
    let mut take = |header: &ObuHeader, payload: &[u8], count: &mut Count| {
        match header.obu_type {
            obu_type::TEMPORAL_DELIMITER => {
                count.note(payload.is_empty());
                if payload.is_empty() {
                    count.add(&mut delimiters, 2, 12);
                }
            }
            obu_type::SEQUENCE_HEADER => {
                let read = SequenceHeader::parse(payload).is_some();
                count.note(read);
                if read && delimiters > 0 {
                    count.add(&mut sequences, 1, 32);
                }
            }
            obu_type::FRAME | obu_type::FRAME_HEADER => {
                count.note(true);
                if sequences > 0 {
                    count.add(&mut frames, 2, 10);
                }
            }
            // Tile groups, metadata, redundant headers, padding.
            4 | 5 | 7 | 15 => count.note(true),
            _ => count.note(false),
        }
    };
    let is_framed =
        |payload: &[u8]| payload.starts_with(&START_CODE) || payload.starts_with(&[0, 0, 0, 1]);
    let first = starts.first().copied().unwrap_or_default();
    let from_first = bytes.get(first..).unwrap_or_default();
    if is_framed(from_first) {
        for (unit, whole) in raw_units(from_first) {
            let sized = ObuHeader::parse(unit).is_some_and(|header| header.size.is_some());
            // A size tells how many zeros at the end are its own.
            let unit = if sized { unit } else { without_zeros(unit) };
            let obu = rbsp(unit, unit.len());
            match ObuHeader::parse(&obu) {
                Some(header) => match header.payload(obu.len()) {
                    Some(payload) => take(&header, obu.get(payload).unwrap_or_default(), count),
                    None if !whole => {
                        let content = obu.get(header.header_len..).unwrap_or_default();
                        take(&header, content, count);
                    }
                    None => count.note(false),
                },
                None => count.note(!whole),
            }
        }
        return;
    }
    for &start in starts {
        let mut at = start;
        for _ in 0..MOST_UNITS {
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() || at > start && starts.binary_search(&at).is_ok() {
                break;
            }
            let Some(header) = ObuHeader::parse(rest).filter(|header| header.size.is_some()) else {
                count.note(rest.len() < 8);
                break;
            };
            let Some(payload) = header.payload(rest.len()) else {
                let content = rest.get(header.header_len..).unwrap_or_default();
                take(&header, content, count);
                break;
            };
            let end = payload.end;
            take(&header, rest.get(payload).unwrap_or_default(), count);
            at = at.saturating_add(end);
        }
    }
}

/// Whether `payload` begins with what pictures coded as `expected` begin with.
pub(super) fn first_look(expected: Coding, payload: &[u8]) -> Option<bool> {
    if payload.len() < 8 {
        return None;
    }
    let zeros = payload.iter().take_while(|&&byte| byte == 0).count();
    let unit = payload.get(zeros.saturating_add(1)..).unwrap_or_default();
    let is_code = zeros >= 2 && payload.get(zeros) == Some(&1);
    if expected == Coding::Av1 {
        let unit = if is_code { unit } else { payload };
        return Some(unit.starts_with(&[0x12, 0]));
    }
    if !is_code {
        return Some(false);
    }
    let nal = units(payload).next().map_or(unit, |(nal, _)| nal);
    Some(match (expected, unit) {
        (Coding::H264, [9, kind, ..]) => kind & 0x1f == 0x10,
        (Coding::H264, [header, ..]) if header & 0x9f == 7 => {
            h264::Sps::parse(nal).is_some_and(|sps| is_plausible(&sps))
        }
        (Coding::H265, [0x46, 1, kind, ..]) => kind & 0x1f == 0x10,
        (Coding::H265, [0x40, 1, _, _, 0xff, 0xff, ..]) => true,
        (Coding::Mpeg2Video, [start_code::SEQUENCE, ..]) => has_marker(unit),
        (Coding::Mpeg2Video, [start_code::GROUP, ..]) => true,
        _ => false,
    })
}
