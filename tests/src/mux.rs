//! MPEG-TS out of PES payloads, for what no encoder at hand writes.

use std::collections::BTreeMap;

use crate::ts::{Kind, Pes};
use crate::writer::{crc, timestamp};

/// An elementary stream.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its packet identifier.
    pub pid: u16,
    /// What the program map says of it.
    pub stream_type: u8,
    /// Its descriptors in the program map.
    pub descriptors: Vec<u8>,
    /// Its PES packets.
    pub pes: Vec<Pes>,
}

const PMT_PID: u16 = 0x1000;

/// A program of a multiplex.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its number.
    pub number: u16,
    /// The PID of its map.
    pub pmt_pid: u16,
    /// Descriptors in the map, of the program as a whole.
    pub descriptors: Vec<u8>,
    /// What the map lists.
    pub streams: Vec<Stream>,
}

impl Program {
    /// One that has a map of its own, on a PID that no other has.
    #[must_use]
    pub fn new(number: u16, streams: Vec<Stream>) -> Self {
        Self {
            number,
            pmt_pid: PMT_PID + number - 1,
            descriptors: Vec::new(),
            streams,
        }
    }
}

/// A segment with PAT, PMT, and the PES packets of all streams by their decoding times.
#[must_use]
pub fn segment(streams: &[Stream]) -> Vec<u8> {
    multiplex(&[Program::new(1, streams.to_vec())])
}

/// The same with several programs.
#[must_use]
pub fn multiplex(programs: &[Program]) -> Vec<u8> {
    let mut counters = BTreeMap::new();
    let mut out = Vec::new();
    let pid = |pid: u16| (pid | 0xe000).to_be_bytes();
    let mut pat = vec![0, 1, 0xc1, 0, 0];
    for program in programs {
        pat.extend(program.number.to_be_bytes());
        pat.extend(pid(program.pmt_pid));
    }
    packets(&mut out, &mut counters, 0, &section(0, &pat), 0xff);
    for program in programs {
        let mut pmt = program.number.to_be_bytes().to_vec();
        pmt.extend([0xc1, 0, 0, 0xff, 0xff]);
        pmt.extend([0xf0, program.descriptors.len() as u8]);
        pmt.extend_from_slice(&program.descriptors);
        for stream in &program.streams {
            pmt.push(stream.stream_type);
            pmt.extend(pid(stream.pid));
            pmt.extend([0xf0, stream.descriptors.len() as u8]);
            pmt.extend_from_slice(&stream.descriptors);
        }
        let map = section(2, &pmt);
        packets(&mut out, &mut counters, program.pmt_pid, &map, 0xff);
    }
    let streams = programs.iter().flat_map(|program| &program.streams);
    let mut all: Vec<(u64, &Stream, &Pes)> = streams
        .flat_map(|stream| stream.pes.iter().map(move |pes| (stream, pes)))
        .map(|(stream, pes)| (pes.dts.or(pes.pts).unwrap_or_default(), stream, pes))
        .collect();
    all.sort_by_key(|(time, ..)| *time);
    for (_, stream, pes) in all {
        packets(&mut out, &mut counters, stream.pid, &header(stream, pes), 0);
    }
    out
}

fn section(table: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() + 4;
    let mut section = vec![table, 0xb0 | (length >> 8) as u8, length as u8];
    section.extend_from_slice(body);
    section.extend(crc(&section).to_be_bytes());
    section.insert(0, 0); // pointer_field
    section
}

fn header(stream: &Stream, pes: &Pes) -> Vec<u8> {
    let is_video = matches!(stream.stream_type, 0x1b | 0x24 | 0xdb);
    let stamps = [pes.pts.map(|_| 5), pes.dts.map(|_| 5)];
    let data: usize = stamps.into_iter().flatten().sum();
    let length = if is_video {
        0
    } else {
        pes.data.len() + 3 + data
    };
    let id = match stream.stream_type {
        0x1b | 0x24 | 0xdb => 0xe0,
        0x0f | 0xcf => 0xc0,
        _ => 0xbd,
    };
    let mut out = vec![0, 0, 1, id, (length >> 8) as u8, length as u8, 0x84];
    out.push(u8::from(pes.pts.is_some()) << 7 | u8::from(pes.dts.is_some()) << 6);
    out.push(data as u8);
    let both = pes.dts.is_some();
    out.extend(
        pes.pts
            .iter()
            .flat_map(|pts| timestamp(if both { 3 } else { 2 }, *pts)),
    );
    out.extend(pes.dts.iter().flat_map(|dts| timestamp(1, *dts)));
    out.extend_from_slice(&pes.data);
    out
}

/// One payload unit, with what is left of its last packet filled up in the adaptation field, or with
/// `filler` behind a section.
fn packets(out: &mut Vec<u8>, counters: &mut BTreeMap<u16, u8>, pid: u16, unit: &[u8], filler: u8) {
    for (at, piece) in unit.chunks(184).enumerate() {
        let counter = counters.entry(pid).or_default();
        let starts = if at == 0 { 0x40 } else { 0 };
        let stuffing = 184 - piece.len();
        let control = if stuffing > 0 && filler == 0 {
            0x30
        } else {
            0x10
        };
        out.extend([
            0x47,
            (pid >> 8) as u8 | starts,
            pid as u8,
            control | *counter,
        ]);
        *counter = (*counter + 1) % 16;
        if control == 0x30 {
            out.push(stuffing as u8 - 1);
            if stuffing > 1 {
                out.push(0);
                out.resize(out.len() + stuffing - 2, 0xff);
            }
        }
        out.extend_from_slice(piece);
        if control == 0x10 {
            out.resize(out.len() + stuffing, filler);
        }
    }
}

/// The streams of a segment, to be changed and put together again.
#[must_use]
pub fn streams(segment: &[u8]) -> Vec<Stream> {
    let found = crate::ts::read(segment).into_iter();
    let stream = |stream: crate::ts::Stream| Stream {
        pid: stream.pid,
        stream_type: match stream.kind {
            Kind::H264 => 0x1b,
            Kind::H265 => 0x24,
            Kind::Adts => 0x0f,
            Kind::MpegAudio => 0x03,
            Kind::Ac3 => 0x81,
            Kind::Eac3 => 0x87,
            _ => 0x06,
        },
        descriptors: Vec::new(),
        pes: stream.pes,
    };
    found.map(stream).collect()
}

/// Sets `transport_scrambling_control` of the packets of some PIDs, from a packet of the segment on;
/// packets in which a PES packet begins are left alone where `but_beginnings`.
pub fn scramble(segment: &mut [u8], pids: &[u16], from: usize, but_beginnings: bool) {
    for packet in segment.chunks_mut(188).skip(from) {
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        let begins = packet[1] & 0x40 != 0;
        if pids.contains(&pid) && !(begins && but_beginnings) {
            packet[3] |= 0x80;
        }
    }
}

/// Sets `PES_scrambling_control` of all PES packets of some PIDs.
pub fn lock(segment: &mut [u8], pids: &[u16]) {
    for packet in segment.chunks_mut(188) {
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        if pids.contains(&pid) && packet[1] & 0x40 != 0 {
            let at = match packet[3] >> 4 & 3 {
                1 => 4,
                _ => 5 + usize::from(packet[4]),
            };
            packet[at + 6] |= 0x20;
        }
    }
}
