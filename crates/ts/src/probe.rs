//! A guess at the streams of a segment without any tables, from the packets alone.
//!
//! Segments cut by byte range or by careless tools lack PAT and PMT; what their streams are shows
//! in the first bytes of their PES packets.

use clipmill_media::Language;

use crate::packet::{self, Framing, Header};
use crate::pes::{self, Parsed};
use crate::psi::{self, Program};
use crate::stream_type::{Coding, Elementary};

/// PIDs below are tables (ISO/IEC 13818-1, table 2-3, and ETSI EN 300 468, table 1).
const FIRST_MEDIA_PID: u16 = 0x20;
/// PES packets looked at before a PID is given up.
const ATTEMPTS: u8 = 8;

/// The program that the packets of `segment` look like, if any of its streams is recognised.
pub(crate) fn guess(segment: &[u8], framing: Framing) -> Option<Program> {
    let mut attempts = vec![0u8; usize::from(psi::NULL_PID)];
    let mut streams: Vec<Elementary> = Vec::new();
    for packet in psi::intact(segment, framing) {
        let header = Header::of(packet);
        let pid = header.pid();
        if !header.unit_start() || header.scrambled() || pid < FIRST_MEDIA_PID {
            continue;
        }
        let Some(attempts) = attempts.get_mut(usize::from(pid)) else {
            continue;
        };
        if *attempts >= ATTEMPTS {
            continue;
        }
        *attempts = attempts.saturating_add(1);
        let payload = packet::payload_start(packet).and_then(|at| packet.get(at..));
        if let Some(coding) = payload.and_then(recognise) {
            *attempts = ATTEMPTS;
            streams.push(Elementary {
                pid,
                stream_type: 0,
                events: None,
                coding: Ok(coding),
                language: Language::UNDETERMINED,
            });
        }
    }
    (!streams.is_empty()).then_some(Program {
        number: 0,
        pmt_pid: psi::NULL_PID,
        section: Vec::new(),
        streams,
    })
}

/// What begins in this PES packet.
fn recognise(pes: &[u8]) -> Option<Coding> {
    let Parsed::Header(header) = pes::parse(pes) else {
        return None;
    };
    let payload = pes.get(header.len..)?;
    match pes.get(3)? {
        0xe0..=0xef => video(payload),
        0xc0..=0xdf => match *payload {
            [0xff, second, ..] if second & 0xf6 == 0xf0 => Some(Coding::Adts),
            [0xff, second, ..] if second & 0xe0 == 0xe0 && second & 0x06 != 0 => {
                Some(Coding::MpegAudio)
            }
            _ => None,
        },
        0xbd => payload.starts_with(&[0x0b, 0x77]).then_some(Coding::Ac3),
        _ => None,
    }
}

/// By what an access unit that can be decoded alone begins with.
fn video(payload: &[u8]) -> Option<Coding> {
    let zeros = payload.iter().take_while(|&&byte| byte == 0).count();
    match *payload.get(zeros..)? {
        [1, ref unit @ ..] if zeros >= 2 => match *unit {
            // Sequence header.
            [0xb3, ..] => Some(Coding::Mpeg2Video),
            // Access unit delimiter, VPS or SPS of the base layer.
            [0x46 | 0x40 | 0x42, 0x01, ..] => Some(Coding::H265),
            // Access unit delimiter or SPS.
            [header, ..] if header & 0x80 == 0 && matches!(header & 0x1f, 7 | 9) => {
                Some(Coding::H264)
            }
            _ => None,
        },
        _ => None,
    }
}
