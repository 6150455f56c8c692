//! A guess at the streams of a segment without any tables, from the packets alone.
//!
//! Segments cut by byte range or by careless tools lack PAT and PMT; what their streams are shows
//! in the first bytes of their PES packets.

use clipmill_media::Language;

use crate::error::IndexError;
use crate::packet::{self, Framing, Header};
use crate::pes::{self, Parsed};
use crate::psi::{self, Program};
use crate::recognise;
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

/// The PIDs of packets that are no tables, in the order in which they come, and whether all of
/// their packets are scrambled.
pub(crate) fn seen(segment: &[u8], framing: Framing) -> Vec<(u16, bool)> {
    let mut seen: Vec<(u16, bool)> = Vec::new();
    for packet in psi::intact(segment, framing) {
        let header = Header::of(packet);
        let pid = header.pid();
        if !(FIRST_MEDIA_PID..psi::NULL_PID).contains(&pid) || !header.has_payload() {
            continue;
        }
        let scrambled = header.scrambled();
        if let Some((_, all)) = seen.iter_mut().find(|(known, _)| *known == pid) {
            *all &= scrambled;
        } else if seen.len() < IndexError::PIDS {
            seen.push((pid, scrambled));
        }
    }
    seen
}

/// What begins in this PES packet. That is only where to begin: more of it is looked at before it
/// is believed.
fn recognise(pes: &[u8]) -> Option<Coding> {
    let Parsed::Header(header) = pes::parse(pes) else {
        return None;
    };
    let payload = pes.get(header.len..)?;
    let among: &[Coding] = match pes.get(3)? {
        0xe0..=0xef => &[Coding::Mpeg2Video, Coding::H265, Coding::H264],
        0xc0..=0xdf => &[Coding::Adts, Coding::MpegAudio, Coding::Latm],
        0xbd => &[Coding::Ac3, Coding::Dts],
        _ => &[],
    };
    let mut among = among.iter().copied();
    among.find(|&coding| recognise::first_look(coding, payload) == Some(true))
}
