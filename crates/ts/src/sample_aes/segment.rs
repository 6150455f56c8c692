//! Where the encrypted streams of a transport stream lie, and how they are put back.

use std::collections::BTreeMap;
use std::ops::Range;

use mpeg2ts_reader::mpegts_crc;

use super::samples::Coding;
use super::{SampleCipher, SampleEvidence};
use crate::packet::{self, Framing, Header, PACKET_LEN, Packets, Step};
use crate::pes::{self, MAX_HEADER_LEN, Parsed};
use crate::programs;

/// `program_map_section` up to `program_info_length` (ISO/IEC 13818-1, 2.4.4.9).
const MAP_HEADER: usize = 12;

/// Places in a segment, one behind the other.
type Places = Vec<Range<usize>>;

/// Payload of one PID, from a packet that begins a unit up to the next one.
#[derive(Default)]
struct Unit {
    places: Places,
    /// Packets of it are missing, damaged or there twice.
    damaged: bool,
}

/// The payload of one PID.
#[derive(Default)]
struct Payload {
    units: Vec<Unit>,
    counter: Option<u8>,
}

impl Payload {
    /// Something was lost behind what there is.
    fn lose(&mut self) {
        self.counter = None;
        if let Some(last) = self.units.last_mut() {
            last.damaged = true;
        }
    }
}

pub(super) fn decrypt(
    segment: &mut [u8],
    framing: Framing,
    cipher: &mut dyn SampleCipher,
    evidence: &mut SampleEvidence,
) {
    let mut maps = Vec::new();
    let mut streams = BTreeMap::new();
    let programs = programs::look_ahead(segment, framing, None).programs;
    evidence.no_map = programs.is_empty();
    for program in programs {
        for stream in &program.streams {
            if let Some((coding, _)) = Coding::of(stream.stream_type) {
                streams.insert(stream.pid, coding);
                maps.push(program.pmt_pid);
            }
        }
    }
    if streams.is_empty() {
        return;
    }
    let wanted = |pid| streams.contains_key(&pid) || maps.contains(&pid);
    let mut found: Vec<_> = units(segment, framing, wanted).into_iter().collect();
    // Sound before pictures, as it tells of the key what they would.
    found.sort_by_key(|(pid, _)| streams.get(pid) == Some(&Coding::H264));
    for (pid, Payload { units, .. }) in found {
        let Some(coding) = streams.get(&pid) else {
            for unit in &units {
                rewrite(segment, &unit.places, plain_map);
            }
            continue;
        };
        let (mut places, mut damaged) = (Places::new(), Places::new());
        let mut len = 0usize;
        for unit in &units {
            let begins = len;
            for place in payload(segment, &unit.places, *coding) {
                len = len.saturating_add(place.len());
                places.push(place);
            }
            if unit.damaged {
                damaged.push(begins..len);
            }
        }
        rewrite(segment, &places, |stream| {
            coding.decrypt(stream, &damaged, cipher, evidence);
        });
    }
}

/// The payload of some PIDs.
fn units(segment: &[u8], framing: Framing, wanted: impl Fn(u16) -> bool) -> BTreeMap<u16, Payload> {
    let mut found: BTreeMap<u16, Payload> = BTreeMap::new();
    for step in Packets::new(segment, framing) {
        let packet = match step {
            Step::Packet { offset, bytes } => Some((offset, bytes, Header::of(bytes))),
            _ => None,
        };
        // Which PID it was is not known where a packet is damaged.
        let Some((offset, bytes, header)) = packet.filter(|(.., head)| !head.transport_error())
        else {
            found.values_mut().for_each(Payload::lose);
            continue;
        };
        let pid = header.pid();
        if header.scrambled() || !wanted(pid) {
            continue;
        }
        let Some(start) = packet::payload_start(bytes) else {
            continue;
        };
        let payload = found.entry(pid).or_default();
        let counter = header.continuity_counter();
        let follows = |last: u8| last.wrapping_add(1) & 0x0f == counter;
        if !payload.counter.is_none_or(follows) {
            payload.lose();
        }
        payload.counter = Some(counter);
        let units = &mut payload.units;
        if header.unit_start() {
            units.push(Unit::default());
        }
        if let Some(last) = units.last_mut() {
            let place = offset.saturating_add(start)..offset.saturating_add(PACKET_LEN);
            last.places.push(place);
        }
    }
    found
}

/// Where the payload of a PES packet lies.
fn payload(segment: &[u8], unit: &[Range<usize>], coding: Coding) -> Places {
    let mut head = Vec::new();
    for piece in unit {
        head.extend_from_slice(segment.get(piece.clone()).unwrap_or_default());
        if head.len() >= MAX_HEADER_LEN {
            break;
        }
    }
    let Parsed::Header(header) = pes::parse(&head) else {
        return Places::new();
    };
    let mut skip = header.len;
    // The lengths of video are believed less, as when it is indexed.
    let stated = header.payload_len.filter(|_| coding != Coding::H264);
    let mut left = stated.unwrap_or(usize::MAX);
    let pieces = unit.iter().filter_map(|piece| {
        let skipped = skip.min(piece.len());
        skip = skip.saturating_sub(skipped);
        let start = piece.start.saturating_add(skipped);
        let taken = piece.end.saturating_sub(start).min(left);
        left = left.saturating_sub(taken);
        (taken > 0).then(|| start..start.saturating_add(taken))
    });
    pieces.collect()
}

/// Takes the bytes at `places` together, has them changed, and puts them back.
fn rewrite(segment: &mut [u8], places: &[Range<usize>], change: impl FnOnce(&mut [u8])) {
    let mut bytes = Vec::new();
    for place in places {
        bytes.extend_from_slice(segment.get(place.clone()).unwrap_or_default());
    }
    change(&mut bytes);
    let mut rest = bytes.as_slice();
    for place in places {
        if let Some(to) = segment.get_mut(place.clone())
            && let Some((from, behind)) = rest.split_at_checked(to.len())
        {
            to.copy_from_slice(from);
            rest = behind;
        }
    }
}

/// Gives the streams of a program map the types that they have without encryption.
fn plain_map(payload: &mut [u8]) {
    let pointer = payload.first().map_or(0, |&pointer| usize::from(pointer));
    let Some(section) = payload.get_mut(pointer.saturating_add(1)..) else {
        return;
    };
    let Some(&[2, high, low]) = section.first_chunk() else {
        return;
    };
    let len = usize::from(u16::from_be_bytes([high & 0x0f, low])).saturating_add(3);
    let Some(section) = section.get_mut(..len) else {
        return;
    };
    if mpegts_crc::sum32(section) != 0 {
        return;
    }
    let Some((body, crc)) = section.split_last_chunk_mut::<4>() else {
        return;
    };
    let info = |body: &[u8], at: usize| {
        let two = body.get(at..).and_then(<[u8]>::first_chunk).copied();
        usize::from(u16::from_be_bytes(two.unwrap_or_default()) & 0x0fff)
    };
    let mut at = MAP_HEADER.saturating_add(info(body, 10));
    while let Some(kind) = body.get_mut(at) {
        if let Some((_, plain)) = Coding::of(*kind) {
            *kind = plain;
        }
        let descriptors = info(body, at.saturating_add(3));
        at = at.saturating_add(5).saturating_add(descriptors);
    }
    *crc = mpegts_crc::sum32(body).to_be_bytes();
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::super::decrypt_samples;
    use super::super::samples::tests::Counter;
    use crate::testing::{PMT_PID, VIDEO, Writer, entry};
    use crate::{DemuxOptions, Demuxer, IndexError};

    #[test]
    fn without_a_program_map_nothing_says_what_is_encrypted() {
        let mut writer = Writer::default();
        writer.pat(&[(1, PMT_PID)]);
        writer.pes(VIDEO, 0xe0, 900, None, &[0, 0, 0, 1, 0x65, 0x40]);
        let mut segment = writer.bytes;
        let before = segment.clone();
        let evidence = decrypt_samples(&mut segment, &mut Counter::default());
        assert!(evidence.no_map && segment == before);
    }

    #[test]
    fn what_comes_out_is_an_ordinary_segment() {
        let mut writer = Writer::default();
        writer.pat(&[(1, PMT_PID)]);
        writer.pmt(0, &[entry(VIDEO, 0xdb), entry(0x102, 0x27)]);
        let mut slice = vec![0, 0, 0, 1, 0x65];
        slice.resize(400, 0x40);
        writer.pes(VIDEO, 0xe0, 900, None, &slice);
        let before = writer.bytes;
        let mut after = before.clone();
        let declined = Demuxer::new(DemuxOptions::default()).index(&before);
        assert!(matches!(declined, Err(IndexError::NothingCarried { .. })));

        let evidence = decrypt_samples(&mut after, &mut Counter::default());
        assert_eq!((evidence.blocks, after.len()), (3, before.len()));
        let index = Demuxer::new(DemuxOptions::default()).index(&after).unwrap();
        assert_eq!(index.declined.len(), 1, "{:?}", index.declined);

        let mut other = after.clone();
        assert_eq!(
            decrypt_samples(&mut other, &mut Counter::default()).blocks,
            0
        );
        assert_eq!(other, after, "nothing is marked as encrypted any more");
    }
}
