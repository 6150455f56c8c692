//! A recording assembler, and a writer of small transport streams.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used
)]

use clipmill_media::{
    DamageLog, Leading, LimitExceeded, Limits, RandomAccess, Sample, TrackBuilder, TrackIndex,
    TrackKind, TrackTiming,
};
use mpeg2ts_reader::mpegts_crc;

use crate::assemble::{Assemble, PesStart};
use crate::stream_type::{Coding, Elementary};

/// The `dts` of a sample that has none.
pub(crate) const NO_TIME: i64 = -1;

/// Makes a sample of each PES packet: its payload is the one unit, `duration` its `lost` calls.
#[derive(Debug)]
struct Recorder {
    pid: u16,
    kind: TrackKind,
    limits: Limits,
    track: Option<TrackBuilder>,
    begun: u64,
    start: Option<PesStart>,
    losses: u32,
}

pub(crate) fn recorder(entry: &Elementary, coding: Coding, limits: &Limits) -> Box<dyn Assemble> {
    Box::new(Recorder {
        pid: entry.pid,
        kind: if coding.is_video() {
            TrackKind::Video
        } else {
            TrackKind::Audio
        },
        limits: limits.clone(),
        track: None,
        begun: 0,
        start: None,
        losses: 0,
    })
}

impl Recorder {
    fn end(&mut self) -> Result<(), LimitExceeded> {
        let track = self.track.as_mut().expect("begun");
        let start = self.start.take();
        if start.is_some() || track.position() > self.begun {
            let start = start.unwrap_or_default();
            let dts = start.dts.or(start.pts).unwrap_or(NO_TIME);
            track.push_unit(self.begun..track.position())?;
            track.push_sample(Sample {
                dts,
                composition_offset: start.pts.map_or(0, |pts| (pts - dts) as i32),
                duration: std::mem::take(&mut self.losses),
                size: 0,
                config: 0,
                random_access: if start.random_access {
                    RandomAccess::Closed
                } else {
                    RandomAccess::None
                },
                leading: Leading::No,
            })?;
            self.begun = track.position();
        }
        Ok(())
    }
}

impl Assemble for Recorder {
    fn begin_segment(&mut self, len: u64, stride: u16) -> Result<(), LimitExceeded> {
        let timing = TrackTiming::Exact { timescale: 90_000 };
        let pid = u32::from(self.pid);
        let limits = &self.limits;
        let track = TrackBuilder::new(pid, self.kind, timing, len, stride, false, limits)?;
        self.track = Some(track);
        self.begun = 0;
        Ok(())
    }

    fn pes(&mut self, start: PesStart, _: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.end()?;
        self.start = Some(start);
        Ok(())
    }

    fn payload(
        &mut self,
        offset: u64,
        bytes: &[u8],
        _: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        assert!(!bytes.is_empty());
        let track = self.track.as_mut().expect("begun");
        track.push_piece(offset, bytes.len())
    }

    fn lost(&mut self, _: &mut DamageLog) -> Result<(), LimitExceeded> {
        assert!(self.track.is_some(), "begun");
        self.losses += 1;
        Ok(())
    }

    fn end_segment(&mut self, _: &mut DamageLog) -> Result<TrackIndex, LimitExceeded> {
        self.end()?;
        Ok(self.track.take().expect("begun").finish())
    }
}

/// An elementary stream of a [`Map`].
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) pid: u16,
    pub(crate) stream_type: u8,
    pub(crate) descriptors: Vec<u8>,
}

pub(crate) fn entry(pid: u16, stream_type: u8) -> Entry {
    Entry {
        pid,
        stream_type,
        descriptors: Vec::new(),
    }
}

/// Writes packets, with a continuity counter per PID.
#[derive(Debug, Default, Clone)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
    counters: std::collections::BTreeMap<u16, u8>,
}

pub(crate) const PMT_PID: u16 = 0x1000;
pub(crate) const VIDEO: u16 = 0x100;
pub(crate) const AUDIO: u16 = 0x101;

impl Writer {
    /// One packet; `field` is the adaptation field without its length and stuffing.
    pub(crate) fn packet(
        &mut self,
        pid: u16,
        unit_start: bool,
        field: Option<&[u8]>,
        payload: &[u8],
    ) {
        let counter = self.counters.entry(pid).or_insert(0xf);
        if !payload.is_empty() {
            *counter = (*counter + 1) & 0xf;
        }
        let room = 184 - payload.len();
        let mut packet = vec![0x47, (pid >> 8) as u8, pid as u8, *counter];
        if unit_start {
            packet[1] |= 0x40;
        }
        if !payload.is_empty() {
            packet[3] |= 0x10;
        }
        if room > 0 || field.is_some() {
            packet[3] |= 0x20;
            packet.push((room - 1) as u8);
            if room > 1 {
                packet.extend_from_slice(field.unwrap_or(&[0]));
            }
            packet.resize(4 + room, 0xff);
        }
        packet.extend_from_slice(payload);
        assert_eq!(packet.len(), 188);
        self.bytes.extend(packet);
    }

    /// A section, in as many packets as it needs.
    pub(crate) fn section(&mut self, pid: u16, section: &[u8]) {
        let mut bytes = vec![0];
        bytes.extend_from_slice(section);
        for (at, piece) in bytes.chunks(184).enumerate() {
            let mut payload = piece.to_vec();
            payload.resize(184, 0xff);
            self.packet(pid, at == 0, None, &payload);
        }
    }

    pub(crate) fn pat(&mut self, programs: &[(u16, u16)]) {
        self.section(0, &pat(0, programs));
    }

    pub(crate) fn pmt(&mut self, version: u8, entries: &[Entry]) {
        self.section(PMT_PID, &pmt(1, version, entries));
    }

    /// PAT and PMT of a program with H.264 and AAC.
    pub(crate) fn tables(&mut self) {
        self.pat(&[(1, PMT_PID)]);
        self.pmt(0, &[entry(VIDEO, 0x1b), entry(AUDIO, 0x0f)]);
    }

    /// A PES packet with stuffing in the last transport packet; 0 of `declared` is unbounded.
    pub(crate) fn pes(
        &mut self,
        pid: u16,
        stream_id: u8,
        pts: u64,
        dts: Option<u64>,
        payload: &[u8],
    ) {
        let bytes = pes(stream_id, pts, dts, payload.len(), payload);
        self.unit(pid, &bytes);
    }

    /// Bytes that begin a payload unit, 184 to a packet.
    pub(crate) fn unit(&mut self, pid: u16, bytes: &[u8]) {
        for (at, piece) in bytes.chunks(184).enumerate() {
            self.packet(pid, at == 0, None, piece);
        }
    }

    pub(crate) fn video(&mut self, pts: u64, dts: u64, len: usize) {
        let payload = filler(len, dts);
        let mut bytes = pes(0xe0, pts, Some(dts), 0, &payload);
        bytes[4] = 0;
        bytes[5] = 0;
        self.unit(VIDEO, &bytes);
    }

    pub(crate) fn audio(&mut self, pts: u64, len: usize) {
        self.pes(AUDIO, 0xc0, pts, None, &filler(len, pts));
    }
}

/// Bytes that tell their place.
pub(crate) fn filler(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64)
        .map(|n| ((n * 7 + seed / 3) % 251) as u8)
        .collect()
}

pub(crate) fn pes(
    stream_id: u8,
    pts: u64,
    dts: Option<u64>,
    len: usize,
    payload: &[u8],
) -> Vec<u8> {
    let mut data = timestamp(if dts.is_some() { 3 } else { 2 }, pts).to_vec();
    if let Some(dts) = dts {
        data.extend(timestamp(1, dts));
    }
    let total = (len + 3 + data.len()) as u16;
    let mut bytes = vec![0, 0, 1, stream_id, (total >> 8) as u8, total as u8, 0x80];
    bytes.push(if dts.is_some() { 0xc0 } else { 0x80 });
    bytes.push(data.len() as u8);
    bytes.extend(data);
    bytes.extend_from_slice(payload);
    bytes
}

fn timestamp(prefix: u8, value: u64) -> [u8; 5] {
    [
        prefix << 4 | ((value >> 29) as u8 & 0x0e) | 1,
        (value >> 22) as u8,
        (value >> 14) as u8 | 1,
        (value >> 7) as u8,
        (value << 1) as u8 | 1,
    ]
}

pub(crate) fn long_section(table_id: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let len = body.len() + 9;
    let mut section = vec![table_id, 0xb0 | (len >> 8) as u8, len as u8];
    section.extend(id.to_be_bytes());
    section.extend([0xc1 | version << 1, 0, 0]);
    section.extend_from_slice(body);
    let crc = mpegts_crc::sum32(&section);
    section.extend(crc.to_be_bytes());
    section
}

pub(crate) fn pat(version: u8, programs: &[(u16, u16)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, pid) in programs {
        body.extend(number.to_be_bytes());
        body.extend((pid | 0xe000).to_be_bytes());
    }
    long_section(0, 1, version, &body)
}

pub(crate) fn pmt(program: u16, version: u8, entries: &[Entry]) -> Vec<u8> {
    let mut body = vec![0xe1, 0x00, 0xf0, 0x00];
    for entry in entries {
        body.push(entry.stream_type);
        body.extend((entry.pid | 0xe000).to_be_bytes());
        body.extend((entry.descriptors.len() as u16 | 0xf000).to_be_bytes());
        body.extend_from_slice(&entry.descriptors);
    }
    long_section(2, program, version, &body)
}
