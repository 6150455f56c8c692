//! MPEG-TS segments: any bytes, packets that are right but for what they say, and sound streams to
//! which things happen.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use clipmill::{ClipRequest, Cut, DemuxOptions, Demuxer};
use clipmill_tests::writer::{self, Plan, Segment};
use clipmill_ts::{SampleCipher, decrypt_samples};

use crate::{Memory, check};

/// Bytes of a packet (ISO/IEC 13818-1, 2.4.3.2).
const PACKET: usize = 188;

/// Packets that one input makes at most.
const MOST_PACKETS: usize = 2_000;

/// One segment: what its index says lies in it, and it becomes a sound MP4, or an error of one line.
pub fn ts_segment(data: &[u8]) {
    segments(&[data]);
}

/// Takes nothing away: so that an input is what its slices and frames are decoded from.
struct Clear;

impl SampleCipher for Clear {
    fn restart(&mut self) {}

    fn decrypt(&mut self, _: &mut [u8; 16]) {}
}

/// A segment with encrypted samples: what comes out is as long, and a segment as any.
pub fn sample_aes(data: &[u8]) {
    let mut plain = data.to_vec();
    let evidence = decrypt_samples(&mut plain, &mut Clear);
    assert_eq!(plain.len(), data.len());
    assert!(evidence.wrong <= evidence.checked);
    let _ = evidence.speaks_against_key();
    segments(&[&plain]);
}

/// Segments of one stream, one after the other.
fn segments(all: &[&[u8]]) {
    let mut demuxer = Demuxer::new(DemuxOptions::default());
    for segment in all {
        match demuxer.index(segment) {
            Ok(index) => check::index(segment, &index),
            Err(error) => check::one_line(&error.to_string()),
        }
    }
    let names: Vec<_> = (0..all.len()).map(|n| format!("{n}.ts")).collect();
    let files = names.iter().zip(all);
    let memory = Memory::new(files.map(|(name, bytes)| (name.as_str(), bytes.to_vec())));
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    check::clip(&memory, check::join(&memory, &names));
}

/// Something that a multiplexer writes, or that happens on the way.
#[derive(Debug, Arbitrary)]
enum Event {
    /// The tables, with these streams.
    Tables(Vec<Described>),
    /// A PES packet.
    Pes(Pes),
    /// The next packet is lost.
    Lose,
    /// The last packet comes once more.
    Double,
    /// The last packet is marked as damaged.
    Damage,
    /// A packet without payload says that a discontinuity is meant.
    Discontinuity { slot: u8 },
    /// A packet that holds this.
    Packet { header: [u8; 3], payload: Vec<u8> },
    /// Bytes between packets.
    Junk(Vec<u8>),
    /// The segment ends.
    End,
}

/// A stream in the program map.
#[derive(Debug, Arbitrary)]
struct Described {
    slot: u8,
    stream_type: u8,
    descriptors: Vec<u8>,
}

/// A PES packet.
#[derive(Debug, Arbitrary)]
struct Pes {
    slot: u8,
    stream_id: u8,
    /// Ticks since the last one of this slot.
    step: i16,
    /// Where the clock is set to instead.
    jump: Option<u64>,
    /// Ticks from decoding to presentation.
    delay: Option<u16>,
    stamped: bool,
    bounded: bool,
    payload: Vec<Piece>,
}

/// What may lie in a PES packet.
#[derive(Debug, Arbitrary)]
enum Piece {
    SequenceParameterSet,
    PictureParameterSet,
    /// A slice of H.264: its header's first byte, first macroblock, type, and what follows.
    Slice(u8, u8, u8, Vec<u8>),
    /// Another NAL unit, behind a start code of three or four bytes.
    Nal(bool, Vec<u8>),
    /// ADTS: profile and rate, channels, declared length less the real one, content.
    Adts(u8, u8, i8, Vec<u8>),
    /// The first bytes of an AC-3 or E-AC-3 frame.
    Ac3([u8; 6], Vec<u8>),
    /// The first bytes of an MPEG audio frame.
    MpegAudio([u8; 3], Vec<u8>),
    /// The start of something in MPEG-2 video.
    Mpeg2(u8, Vec<u8>),
    /// An Opus control header and packet.
    Opus(u8, u8, Vec<u8>),
    /// Anything.
    Bytes(Vec<u8>),
}

/// Packets that are right but for what they say, and what happens to them.
pub fn ts_packets(data: &[u8]) {
    let mut mux = Mux::default();
    let mut input = Unstructured::new(data);
    while !input.is_empty() && mux.packets < MOST_PACKETS {
        let Ok(event) = Event::arbitrary(&mut input) else {
            break;
        };
        mux.take_in(event);
    }
    mux.segments.push(std::mem::take(&mut mux.out));
    let all: Vec<_> = mux.segments.iter().map(Vec::as_slice).collect();
    segments(&all);
}

/// PIDs of elementary streams.
fn pid(slot: u8) -> u16 {
    0x100 + u16::from(slot % 4)
}

#[derive(Default)]
struct Mux {
    segments: Vec<Vec<u8>>,
    out: Vec<u8>,
    packets: usize,
    lose: bool,
    counters: [u8; 8],
    clocks: [u64; 4],
}

impl Mux {
    fn take_in(&mut self, event: Event) {
        match event {
            Event::Tables(streams) => self.tables(&streams),
            Event::Pes(pes) => self.pes(&pes),
            Event::Lose => self.lose = true,
            Event::Double => {
                if let Some(last) = self.out.len().checked_sub(PACKET) {
                    self.out.extend_from_within(last..);
                }
            }
            Event::Damage => {
                if let Some(last) = self.out.len().checked_sub(PACKET) {
                    self.out[last + 1] |= 0x80;
                }
            }
            Event::Discontinuity { slot } => {
                let mut packet = vec![
                    0x47,
                    (pid(slot) >> 8) as u8,
                    pid(slot) as u8,
                    0x20,
                    183,
                    0x80,
                ];
                packet.resize(PACKET, 0xff);
                self.put(&packet);
            }
            Event::Packet { header, payload } => {
                let mut packet = vec![0x47];
                packet.extend(header);
                packet.extend(payload);
                packet.resize(PACKET, 0xff);
                self.put(&packet);
            }
            Event::Junk(bytes) => self.out.extend(bytes.iter().take(PACKET)),
            Event::End if self.segments.len() < 8 => {
                self.segments.push(std::mem::take(&mut self.out));
            }
            Event::End => {}
        }
    }

    fn put(&mut self, packet: &[u8]) {
        self.packets += 1;
        if !std::mem::take(&mut self.lose) {
            self.out.extend_from_slice(packet);
        }
    }

    fn tables(&mut self, streams: &[Described]) {
        let pat = [0, 1, 0xc1, 0, 0, 0, 1, 0xe1, 0xf0];
        self.section(0, 0, &pat);
        let mut pmt = vec![0, 1, 0xc1, 0, 0, 0xe1, 0x00, 0xf0, 0];
        for stream in streams.iter().take(6) {
            let descriptors = &stream.descriptors[..stream.descriptors.len().min(16)];
            let pid = pid(stream.slot);
            pmt.extend([stream.stream_type, 0xe0 | (pid >> 8) as u8, pid as u8]);
            pmt.extend([0xf0, descriptors.len() as u8]);
            pmt.extend(descriptors);
        }
        self.section(0x1f0, 2, &pmt);
    }

    fn section(&mut self, pid: u16, table: u8, body: &[u8]) {
        let length = body.len() + 4;
        let mut section = vec![table, 0xb0 | (length >> 8) as u8, length as u8];
        section.extend_from_slice(body);
        section.extend(writer::crc(&section).to_be_bytes());
        section.insert(0, 0); // pointer_field
        section.resize(PACKET - 4, 0xff);
        let counter = if pid == 0 { 6 } else { 7 };
        let mut packet = self.header(pid, counter, true, 1);
        packet.extend(section);
        self.put(&packet);
    }

    fn header(&mut self, pid: u16, counter: usize, starts: bool, control: u8) -> Vec<u8> {
        let count = &mut self.counters[counter];
        let last = control << 4 | *count;
        *count = (*count + 1) % 16;
        vec![
            0x47,
            (pid >> 8) as u8 | u8::from(starts) << 6,
            pid as u8,
            last,
        ]
    }

    fn pes(&mut self, pes: &Pes) {
        let clock = &mut self.clocks[usize::from(pes.slot % 4)];
        *clock = match pes.jump {
            Some(to) => to,
            None => clock.wrapping_add_signed(i64::from(pes.step)),
        };
        let dts = *clock;
        let mut data = Vec::new();
        pes.payload.iter().for_each(|piece| piece.write(&mut data));
        let both = pes.stamped && pes.delay.is_some();
        let stamps = match (pes.stamped, both) {
            (false, _) => 0,
            (_, false) => 5,
            (_, true) => 10,
        };
        let length = if pes.bounded {
            data.len() + 3 + stamps
        } else {
            0
        };
        let mut bytes = vec![0, 0, 1, pes.stream_id];
        bytes.extend([(length >> 8) as u8, length as u8, 0x80]);
        bytes.extend([[0, 0x80, 0xc0][stamps / 5], stamps as u8]);
        if pes.stamped {
            let pts = dts.wrapping_add(u64::from(pes.delay.unwrap_or(0)));
            bytes.extend(writer::timestamp(if both { 3 } else { 2 }, pts));
        }
        if both {
            bytes.extend(writer::timestamp(1, dts));
        }
        bytes.extend(data);
        let slot = usize::from(pes.slot % 4);
        for (n, piece) in bytes.chunks(PACKET - 4).enumerate() {
            let stuffing = PACKET - 4 - piece.len();
            let control = if stuffing == 0 { 1 } else { 3 };
            let mut packet = self.header(pid(pes.slot), slot, n == 0, control);
            if stuffing > 0 {
                packet.push(stuffing as u8 - 1);
                packet.extend(
                    std::iter::once(0)
                        .chain(std::iter::repeat(0xff))
                        .take(stuffing - 1),
                );
            }
            packet.extend_from_slice(piece);
            self.put(&packet);
        }
    }
}

impl Piece {
    fn write(&self, out: &mut Vec<u8>) {
        const START: [u8; 4] = [0, 0, 0, 1];
        match self {
            Self::SequenceParameterSet => {
                out.extend(START);
                out.extend(writer::sequence_parameter_set());
            }
            Self::PictureParameterSet => {
                out.extend(START);
                out.extend(writer::picture_parameter_set());
            }
            Self::Slice(header, first, kind, rest) => {
                out.extend(START);
                out.push(*header);
                // Exp-Golomb codes of 0 to 6, the slice's own numbers, and what follows.
                out.extend([0x80 >> (first % 3), *kind]);
                out.extend(rest);
            }
            Self::Nal(long, nal) => {
                out.extend(&START[usize::from(!long)..]);
                out.extend(nal);
            }
            Self::Adts(kind, channels, lie, content) => {
                let content = &content[..content.len().min(512)];
                let length = (content.len() as i64 + 7 + i64::from(*lie)).max(0);
                out.extend([
                    0xff,
                    0xf1,
                    *kind,
                    channels & 0xc0 | (length >> 11) as u8 & 3,
                ]);
                out.extend([(length >> 3) as u8, (length << 5) as u8 | 0x1f, 0xfc]);
                out.extend(content);
            }
            Self::Ac3(header, content) => {
                out.extend([0x0b, 0x77]);
                out.extend(header);
                out.extend(content);
            }
            Self::MpegAudio(header, content) => {
                out.push(0xff);
                out.extend(header);
                out.extend(content);
            }
            Self::Mpeg2(code, content) => {
                out.extend([0, 0, 1, *code]);
                out.extend(content);
            }
            Self::Opus(flags, size, packet) => {
                out.extend([0x7f, 0xe0 | flags & 0x1f, *size]);
                out.extend(packet);
            }
            Self::Bytes(bytes) => out.extend(bytes),
        }
    }
}

/// A sound stream to which things happen: each four bytes are one accident. Whatever is left becomes
/// a sound MP4, or an error of one line.
pub fn ts_sequence(data: &[u8]) {
    static STREAM: LazyLock<(Plan, Vec<Segment>)> = LazyLock::new(|| {
        let plan = Plan {
            groups: 3,
            group: 5,
            ..Plan::default()
        };
        let segments = plan.segments();
        (plan, segments)
    });
    let (plan, segments) = &*STREAM;
    let mut segments = segments.clone();
    let (mode, accidents) = data.split_first().unwrap_or((&0, &[]));
    for accident in accidents.chunks_exact(4).take(64) {
        let segment = usize::from(accident[1]) % segments.len();
        happen(
            &mut segments[segment].bytes,
            accident[0],
            accident[2],
            accident[3],
        );
    }
    let memory = Memory::stream(plan, &segments);
    let request = ClipRequest::default().with_cut(cut_of(*mode));
    check::clip(&memory, check::cut(&memory, &request));
}

/// An accident of a packet on its way.
pub(crate) fn happen(bytes: &mut Vec<u8>, kind: u8, packet: u8, value: u8) {
    if bytes.len() < PACKET {
        return;
    }
    let packet = usize::from(packet) % (bytes.len() / PACKET) * PACKET;
    match kind % 8 {
        0 => drop(bytes.drain(packet..packet + PACKET)),
        1 => {
            let copy = bytes[packet..packet + PACKET].to_vec();
            bytes.splice(packet..packet, copy);
        }
        2 => bytes[packet + usize::from(value) % PACKET] ^= 0xff,
        3 => bytes.truncate(packet + usize::from(value)),
        4 => bytes.clear(),
        5 => drop(bytes.splice(packet..packet, vec![value; usize::from(value)])),
        6 => bytes[packet + 1] |= 0x80,
        _ => bytes[packet + 3] ^= value,
    }
}

pub(crate) fn cut_of(number: u8) -> Cut {
    match number % 3 {
        0 => Cut::Exact,
        1 => Cut::Keyframe,
        _ => Cut::Segment,
    }
}
