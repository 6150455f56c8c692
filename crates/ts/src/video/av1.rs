//! AV1 in temporal units ("Carriage of AV1 in MPEG-2 TS", draft of the Alliance for Open Media, 3: each
//! OBU behind a start code, with emulation prevention as in annex B of H.264). Multiplexers that put
//! the low overhead format into the stream as it is, temporal delimiters first, are understood, too.
//!
//! A temporal unit becomes one sample, without its delimiter ("AV1 Codec ISO Media File Format
//! Binding", 2.4). What is not there in the stream, the sizes of OBUs that have none, are literals.

use std::ops::Range;
use std::sync::Arc;

use clipmill_media::codec::av1::{ObuHeader, SequenceHeader, obu_type, to_leb128};
use clipmill_media::codec::bits::rbsp;
use clipmill_media::{
    CLOCK_90K, CodecConfig, Damage, DamageKind, DamageLog, LimitExceeded, Limits, RandomAccess,
    TrackBuilder, TrackIndex, TrackKind, TrackTiming,
};
use memchr::memmem;

use super::believed::Stamp;
use super::pictures::{Picture, Pictures};
use crate::assemble::{Assemble, PesStart};

const START_CODE: [u8; 3] = [0, 0, 1];

/// Access units of AV1.
///
/// The payload of a segment is gathered before it is taken apart: positions in it are those of the
/// elementary stream.
#[derive(Debug)]
pub(crate) struct Av1Assembler {
    pid: u16,
    limits: Limits,
    track: Option<TrackBuilder>,
    stream: Vec<u8>,
    /// PES packets: where each begins in the stream and in the segment, and its timestamp.
    starts: Vec<(usize, PesStart)>,
    /// Where payload is missing.
    losses: Vec<usize>,
    sequence: Option<SequenceHeader>,
    config: Option<Arc<CodecConfig>>,
    pictures: Pictures,
}

/// One OBU of the stream.
#[derive(Debug, Clone)]
struct Obu {
    /// Where it begins, start code included.
    at: usize,
    header: ObuHeader,
    /// The OBU without emulation prevention.
    bytes: Vec<u8>,
    /// The same in the stream.
    places: Vec<Range<usize>>,
    payload: Range<usize>,
}

/// A temporal unit in the making.
#[derive(Debug, Default)]
struct Unit {
    picture: Picture,
    config: Option<Arc<CodecConfig>>,
    has_sequence: bool,
    has_frame: bool,
}

impl Av1Assembler {
    pub(crate) fn new(pid: u16, limits: &Limits) -> Self {
        Self {
            pid,
            limits: limits.clone(),
            track: None,
            stream: Vec::new(),
            starts: Vec::new(),
            losses: Vec::new(),
            sequence: None,
            config: None,
            pictures: Pictures::default(),
        }
    }

    /// Byte offset in the segment of what lies at `position`, about there.
    fn offset_of(&self, position: usize) -> u64 {
        let after = self.starts.partition_point(|&(at, _)| at <= position);
        let last = after.checked_sub(1).and_then(|last| self.starts.get(last));
        last.map_or(0, |(_, start)| start.offset)
    }

    fn damaged(&self, position: usize, kind: DamageKind, damage: &mut DamageLog) {
        damage.push(Damage {
            offset: self.offset_of(position),
            pid: Some(self.pid),
            kind,
        });
    }

    /// The OBUs of the segment, whole ones alone.
    fn obus(&self, damage: &mut DamageLog) -> Vec<Obu> {
        let first = self.starts.first().map_or(0, |&(at, _)| at);
        let stream = self.stream.get(first..).unwrap_or_default();
        let is_framed = stream.starts_with(&START_CODE) || stream.starts_with(&[0, 0, 0, 1]);
        let mut obus = Vec::new();
        let mut cut = |obu: Option<Obu>, range: Range<usize>| {
            let lost = self
                .losses
                .iter()
                .any(|&at| range.start < at && at < range.end);
            match obu {
                Some(obu) if !lost => obus.push(obu),
                _ => self.damaged(range.start, DamageKind::TruncatedAccessUnit, damage),
            }
        };
        if is_framed {
            let codes: Vec<usize> = memmem::find_iter(&self.stream, &START_CODE).collect();
            let ends = codes.iter().copied().skip(1).chain([self.stream.len()]);
            for (&code, end) in codes.iter().zip(ends) {
                cut(Obu::framed(&self.stream, code, end), code..end);
            }
            return obus;
        }
        let mut at = first;
        while let Some(rest) = self.stream.get(at..).filter(|rest| !rest.is_empty()) {
            let header = ObuHeader::parse(rest);
            let len = header.and_then(|header| header.payload(rest.len()));
            match len {
                Some(payload) => {
                    let end = at.saturating_add(payload.end);
                    cut(Obu::plain(&self.stream, at..end), at..end);
                    at = end;
                }
                // On with the next packet, which should begin with a temporal unit.
                None => {
                    cut(None, at..at);
                    let next = self.starts.iter().find(|&&(start, _)| start > at);
                    at = next.map_or(self.stream.len(), |&(start, _)| start);
                }
            }
        }
        obus
    }

    /// The timestamp of the temporal unit that begins at `position`: that of the packet, unless
    /// another one began there before it.
    fn claim(&self, position: usize, claimed: &mut usize) -> Option<i64> {
        // A packet that begins between the zeros in front of a start code and it.
        let packet = self
            .starts
            .partition_point(|&(at, _)| at <= position.saturating_add(1));
        if packet <= *claimed {
            return None;
        }
        *claimed = packet;
        self.starts.get(packet.checked_sub(1)?)?.1.pts
    }

    fn take(
        &mut self,
        obus: Vec<Obu>,
        track: &mut TrackBuilder,
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        let mut unit: Option<Unit> = None;
        let mut claimed = 0;
        // What comes before the first delimiter belongs to the segment before.
        let mut stray: Option<(usize, u64)> = None;
        for obu in obus {
            match obu.header.obu_type {
                obu_type::TEMPORAL_DELIMITER => {
                    self.end(unit.take())?;
                    let pts = self.claim(obu.at, &mut claimed);
                    unit = Some(Unit {
                        picture: Picture {
                            stamp: Stamp {
                                pts,
                                ..Stamp::default()
                            },
                            offset: self.offset_of(obu.at),
                            ..Picture::default()
                        },
                        config: self.config.clone(),
                        ..Unit::default()
                    });
                    continue;
                }
                // Filler.
                obu_type::PADDING => continue,
                _ => {}
            }
            let Some(unit) = &mut unit else {
                let (_, dropped) = stray.get_or_insert((obu.at, 0));
                *dropped = dropped.saturating_add(obu.bytes.len() as u64);
                continue;
            };
            if obu.header.obu_type == obu_type::TILE_LIST {
                let dropped = obu.bytes.len() as u64;
                self.damaged(obu.at, DamageKind::LostBytes { dropped }, damage);
                continue;
            }
            let payload = obu.bytes.get(obu.payload.clone()).unwrap_or_default();
            match obu.header.obu_type {
                obu_type::SEQUENCE_HEADER => {
                    if let Some(sequence) = SequenceHeader::parse(payload) {
                        let config = CodecConfig::Av1(sequence.config(payload));
                        if self.config.as_deref() != Some(&config) {
                            self.config = Some(Arc::new(config));
                        }
                        self.sequence = Some(sequence);
                        unit.has_sequence = true;
                        unit.config = self.config.clone();
                    }
                }
                obu_type::FRAME | obu_type::FRAME_HEADER if !unit.has_frame => {
                    unit.has_frame = true;
                    let shown = |sequence: &SequenceHeader| sequence.is_shown_key_frame(payload);
                    if unit.has_sequence && self.sequence.as_ref().is_some_and(shown) {
                        unit.picture.random_access = RandomAccess::Closed;
                    }
                }
                _ => {}
            }
            self.keep(&obu, track)?;
        }
        if let Some((at, dropped)) = stray {
            self.damaged(at, DamageKind::LostBytes { dropped }, damage);
        }
        self.end(unit)
    }

    /// Adds an OBU to the unit in the making, with the size that it may lack.
    fn keep(&mut self, obu: &Obu, track: &mut TrackBuilder) -> Result<(), LimitExceeded> {
        let mut skip = 0;
        if obu.header.size.is_none() {
            skip = obu.header.header_len;
            let mut sized: Vec<u8> = obu.bytes.get(..skip).unwrap_or_default().to_vec();
            if let Some(first) = sized.first_mut() {
                // obu_has_size_field.
                *first |= 2;
            }
            sized.extend(to_leb128(obu.payload.len()));
            let start = track.position();
            track.push_literal(&sized)?;
            self.pictures
                .add_unit(start..track.position(), &self.limits)?;
        }
        for place in &obu.places {
            let skipped = skip.min(place.len());
            skip = skip.saturating_sub(skipped);
            let start = place.start.saturating_add(skipped) as u64;
            self.pictures
                .add_unit(start..place.end as u64, &self.limits)?;
        }
        Ok(())
    }

    fn end(&mut self, unit: Option<Unit>) -> Result<(), LimitExceeded> {
        let Some(unit) = unit else { return Ok(()) };
        self.pictures
            .end(unit.picture, unit.config.as_ref(), &self.limits)
    }
}

impl Obu {
    /// The OBU behind the start code at `code`; what follows begins at `end`.
    fn framed(stream: &[u8], code: usize, end: usize) -> Option<Self> {
        let start = code.saturating_add(START_CODE.len());
        let raw = stream.get(start..end)?;
        // What precedes the next start code may be a longer one.
        let len = raw.iter().rposition(|&byte| byte != 0);
        let header = ObuHeader::parse(raw)?;
        let stripped = raw.get(..len.map_or(0, |last| last.saturating_add(1)))?;
        // A size tells how many of those zeros are its own.
        let raw = if header.size.is_some() { raw } else { stripped };
        let bytes = rbsp(raw, raw.len());
        let header = ObuHeader::parse(&bytes)?;
        let payload = header.payload(bytes.len())?;
        let mut places = Vec::new();
        let (mut from, mut left) = (0usize, payload.end);
        let prevented = memmem::find_iter(raw, &[0, 0, 3]).map(|at| at.saturating_add(2));
        for at in prevented.chain([raw.len()]) {
            let len = at.saturating_sub(from).min(left);
            let place = start.saturating_add(from);
            places.push(place..place.saturating_add(len));
            left = left.saturating_sub(len);
            from = at.saturating_add(1);
        }
        places.retain(|place| !place.is_empty());
        (left == 0).then_some(Self {
            at: code,
            header,
            bytes,
            places,
            payload,
        })
    }

    /// The OBU at `range`, which has no start code.
    fn plain(stream: &[u8], range: Range<usize>) -> Option<Self> {
        let bytes = stream.get(range.clone())?.to_vec();
        let header = ObuHeader::parse(&bytes)?;
        Some(Self {
            at: range.start,
            payload: header.payload(bytes.len())?,
            header,
            bytes,
            places: vec![range],
        })
    }
}

impl Assemble for Av1Assembler {
    fn begin_segment(&mut self, segment_len: u64, stride: u16) -> Result<(), LimitExceeded> {
        self.track = Some(TrackBuilder::new(
            u32::from(self.pid),
            TrackKind::Video,
            TrackTiming::Exact {
                timescale: CLOCK_90K,
            },
            segment_len,
            stride,
            false,
            &self.limits,
        )?);
        self.stream.clear();
        self.starts.clear();
        self.losses.clear();
        self.pictures.clear();
        Ok(())
    }

    fn pes(&mut self, start: PesStart, _: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.starts.push((self.stream.len(), start));
        Ok(())
    }

    fn payload(
        &mut self,
        offset: u64,
        bytes: &[u8],
        _: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        if let Some(track) = &mut self.track {
            track.push_piece(offset, bytes.len())?;
            self.stream.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn lost(&mut self, _: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.losses.push(self.stream.len());
        Ok(())
    }

    fn end_segment(&mut self, damage: &mut DamageLog) -> Result<TrackIndex, LimitExceeded> {
        let Some(mut track) = self.track.take() else {
            self.begin_segment(0, 188)?;
            return self.end_segment(damage);
        };
        let obus = self.obus(damage);
        self.take(obus, &mut track, damage)?;
        self.stream.clear();
        self.pictures
            .finish(track, self.pid, self.config.as_ref(), damage)
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
mod tests {
    use super::*;

    /// A temporal unit of SVT-AV1: delimiter, sequence header (320x180), and the start of a frame.
    fn unit(key: bool, fill: &[u8]) -> Vec<Vec<u8>> {
        let sequence = [
            0x0a, 0x0b, 0, 0, 0, 0x04, 0x3c, 0xfe, 0xcc, 0xfb, 0xf9, 0x00, 0x40,
        ];
        let mut frame = vec![0x32, fill.len() as u8 + 1, if key { 0x10 } else { 0x30 }];
        frame.extend_from_slice(fill);
        let mut obus = vec![vec![0x12, 0]];
        if key {
            obus.push(sequence.to_vec());
        }
        obus.push(frame);
        obus
    }

    fn framed(obus: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for obu in obus {
            out.extend(START_CODE);
            let mut zeros = 0;
            for &byte in obu {
                if zeros >= 2 && byte <= 3 {
                    out.push(3);
                    zeros = 0;
                }
                zeros = if byte == 0 { zeros + 1 } else { 0 };
                out.push(byte);
            }
        }
        out
    }

    fn index(units: &[(i64, Vec<u8>)]) -> (Vec<u8>, TrackIndex, DamageLog) {
        let segment: Vec<u8> = units.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let mut damage = DamageLog::with_capacity(9);
        let mut assembler = Av1Assembler::new(0x100, &Limits::default());
        assembler.begin_segment(segment.len() as u64, 188).unwrap();
        let mut at = 0;
        for (pts, bytes) in units {
            let start = PesStart {
                pts: Some(*pts),
                offset: at as u64,
                ..PesStart::default()
            };
            assembler.pes(start, &mut damage).unwrap();
            for part in bytes.chunks(7) {
                assembler.payload(at as u64, part, &mut damage).unwrap();
                at += part.len();
            }
        }
        let index = assembler.end_segment(&mut damage).unwrap();
        (segment, index, damage)
    }

    #[test]
    fn both_framings_give_the_same_samples() {
        let obus = [
            unit(true, &[0, 0, 1, 9, 0, 0, 3, 0, 0]),
            unit(false, &[7; 100]),
        ];
        for is_framed in [true, false] {
            let bytes = |obus: &[Vec<u8>]| match is_framed {
                true => framed(obus),
                false => obus.concat(),
            };
            let units = [(900, bytes(&obus[0])), (4_500, bytes(&obus[1]))];
            let (segment, track, damage) = index(&units);
            assert!(damage.is_empty(), "{damage:?}");
            let samples = track.samples();
            assert_eq!(samples.len(), 2);
            let seen: Vec<_> = samples.iter().map(|s| (s.pts(), s.random_access)).collect();
            let expected = [(900, RandomAccess::Closed), (4_500, RandomAccess::None)];
            assert_eq!(seen, expected);
            for (at, obus) in obus.iter().enumerate() {
                let mut out = Vec::new();
                track.gather(&segment, at..at + 1, &mut out).unwrap();
                assert_eq!(out, obus[1..].concat(), "without the delimiter");
            }
            let video = track.configs()[0].video().unwrap();
            assert_eq!((video.width, video.height), (320, 180));
        }
    }

    #[test]
    fn sizes_are_added_where_there_are_none() {
        let mut obus = unit(true, &[5; 20]);
        obus[2] = [&[0x30, 0x10][..], &[5; 20]].concat();
        let (segment, track, _) = index(&[(0, framed(&obus))]);
        let mut out = Vec::new();
        track.gather(&segment, 0..1, &mut out).unwrap();
        assert_eq!(out, [&obus[1][..], &[0x32, 21, 0x10], &[5; 20]].concat());
    }

    /// Metadata belongs to the temporal unit at whose end it comes, at the end of a PES packet and of
    /// the segment, too. Padding is filler.
    #[test]
    fn metadata_stays_and_padding_goes() {
        let metadata = vec![0x2a, 3, 4, 9, 0x80];
        let padding = vec![0x7a, 2, 0xff, 0x80];
        let with = |obus: Vec<Vec<u8>>| [obus, vec![metadata.clone(), padding.clone()]].concat();
        let obus = [with(unit(true, &[5; 20])), with(unit(false, &[7; 30]))];
        for is_framed in [true, false] {
            let bytes = |obus: &[Vec<u8>]| match is_framed {
                true => framed(obus),
                false => obus.concat(),
            };
            let units = [(900, bytes(&obus[0])), (4_500, bytes(&obus[1]))];
            let (segment, track, damage) = index(&units);
            assert!(damage.is_empty(), "{damage:?}");
            assert_eq!(track.samples().len(), 2);
            for (at, obus) in obus.iter().enumerate() {
                let mut out = Vec::new();
                track.gather(&segment, at..at + 1, &mut out).unwrap();
                assert_eq!(out, obus[1..obus.len() - 1].concat());
            }
        }
    }

    #[test]
    fn what_comes_ahead_of_the_first_temporal_unit_is_said() {
        let tail = framed(&[vec![0x32, 3, 0x30, 1, 2], vec![0x7a, 1, 0x80]]);
        let next = framed(&unit(true, &[6; 20]));
        let (_, track, damage) = index(&[(0, tail), (3_600, next)]);
        assert_eq!(track.samples().len(), 1);
        let kinds: Vec<_> = damage.kept().iter().map(|damage| &damage.kind).collect();
        assert_eq!(kinds, [&DamageKind::LostBytes { dropped: 5 }]);
    }

    #[test]
    fn what_is_cut_is_left_out() {
        let mut bytes = framed(&unit(true, &[5; 20]));
        bytes.truncate(bytes.len() - 4);
        let next = framed(&unit(true, &[6; 20]));
        let (_, track, damage) = index(&[(0, bytes), (3_600, next)]);
        assert_eq!((track.samples().len(), damage.total()), (2, 1));
    }
}
