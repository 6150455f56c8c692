//! What elementary streams and MP4 samples are made of, in forms that can be compared.

use crate::ts::Kind;

/// The NAL units of an Annex B stream, without trailing zeros.
#[must_use]
pub fn annex_b(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, window)| *window == [0, 0, 1])
        .map(|(at, _)| at + 3)
        .collect();
    let units = starts.iter().enumerate().map(|(n, start)| {
        let end = starts.get(n + 1).map_or(stream.len(), |next| next - 3);
        without_trailing_zeros(&stream[*start..end])
    });
    units.filter(|unit| !unit.is_empty()).collect()
}

/// The NAL units of an MP4 sample, each behind its length in four bytes; `None` when the lengths do
/// not add up. Trailing zeros, which mean nothing, are left out as in [`annex_b`].
#[must_use]
pub fn length_prefixed(mut sample: &[u8]) -> Option<Vec<&[u8]>> {
    let mut units = Vec::new();
    while !sample.is_empty() {
        let (length, rest) = sample.split_first_chunk::<4>()?;
        let (unit, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        units.push(without_trailing_zeros(unit));
        sample = rest;
    }
    Some(units)
}

fn without_trailing_zeros(unit: &[u8]) -> &[u8] {
    let zeros = unit.iter().rev().take_while(|byte| **byte == 0).count();
    &unit[..unit.len() - zeros]
}

/// Whether a NAL unit carries content: slices and SEI, not what the container may hold elsewhere
/// (parameter sets) or drop (delimiters, filler).
#[must_use]
pub fn is_content(kind: Kind, unit: &[u8]) -> bool {
    let Some(first) = unit.first() else {
        return false;
    };
    match kind {
        Kind::H264 => !matches!(first & 0x1f, 7..=9 | 12 | 13 | 15),
        _ => !matches!(first >> 1 & 0x3f, 32..=35 | 38),
    }
}

/// The raw AAC frames of an ADTS stream (ISO/IEC 14496-3, 1.A.2.2). A frame counts when another
/// header, or the end, follows it.
#[must_use]
pub fn adts(stream: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(header) = stream.get(at..at + 7) {
        let length = usize::from(header[3] & 3) << 11
            | usize::from(header[4]) << 3
            | usize::from(header[5] >> 5);
        let skip = if header[1] & 1 == 1 { 7 } else { 9 };
        let next = stream.get(at + length..).unwrap_or_default();
        let followed = match next {
            [] => at + length == stream.len(),
            [0xff] => true,
            [0xff, second, ..] => second & 0xf6 == 0xf0,
            _ => false,
        };
        if header[0] == 0xff && header[1] & 0xf6 == 0xf0 && length > skip && followed {
            frames.push(&stream[at + skip..at + length]);
            at += length;
        } else {
            at += 1;
        }
    }
    frames
}

/// The frames of LOAS (ISO/IEC 14496-3, 1.7.2).
#[must_use]
pub fn loas(stream: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    let mut rest = stream;
    while let [0x56, high, low, ..] = rest
        && high & 0xe0 == 0xe0
    {
        let length = 3 + (usize::from(high & 0x1f) << 8 | usize::from(*low));
        let Some((frame, behind)) = rest.split_at_checked(length) else {
            break;
        };
        frames.push(frame);
        rest = behind;
    }
    frames
}

/// Whether a frame of LOAS ends with `payload`, at whatever bit.
#[must_use]
pub fn ends_with(frame: &[u8], payload: &[u8]) -> bool {
    let Some(end) = frame.len().checked_sub(payload.len() + 1) else {
        return false;
    };
    (0..8).any(|shift| {
        let shifted = frame[end..].windows(2).map(|two| {
            let [byte, _] = (u16::from_be_bytes([two[0], two[1]]) << shift).to_be_bytes();
            byte
        });
        shifted.eq(payload.iter().copied())
    })
}

/// The Opus packets of a PES payload (the control header of ETSI TS 101 154-style Opus in TS).
#[must_use]
pub fn opus(mut payload: &[u8]) -> Vec<&[u8]> {
    let mut packets = Vec::new();
    while let [first, second, rest @ ..] = payload {
        if *first != 0x7f || second & 0xe0 != 0xe0 {
            break;
        }
        let sizes = rest.iter().take_while(|byte| **byte == 0xff).count() + 1;
        let size: usize = rest.iter().take(sizes).map(|byte| usize::from(*byte)).sum();
        let mut skip = sizes;
        skip += if second & 0x10 != 0 { 2 } else { 0 };
        skip += if second & 0x08 != 0 { 2 } else { 0 };
        if second & 0x04 != 0 {
            skip += 1 + rest.get(skip).map_or(0, |length| usize::from(*length));
        }
        let Some(packet) = rest.get(skip..skip + size) else {
            break;
        };
        packets.push(packet);
        payload = &rest[skip + size..];
    }
    packets
}
