//! Timed metadata in MPEG-TS: ID3 tags in PES packets (ISO/IEC 13818-1, 2.12; Apple's "Timed Metadata
//! for HTTP Live Streaming") and splice information in sections (ANSI/SCTE 35, 9.6).

use bytes::Bytes;
use clipmill_media::scte35::{SpliceCommand, SpliceInfo};
use clipmill_media::{ID3_SCHEME, SCTE35_SCHEME, TimedEvent};

use crate::clock::Clock;
use crate::packet::{self, Header, PACKET_LEN};
use crate::pes::{self, Parsed};
use crate::psi::Sections;
use crate::stream_type::EventCoding;

/// Bytes of one message: more than any has.
const MAX_MESSAGE: usize = 1 << 20;
const PRIVATE_STREAM_1: u8 = 0xbd;
/// Bytes in front of the content of a metadata access unit cell.
const CELL_HEADER: usize = 5;
/// Messages of one segment: more than any has.
const MAX_EVENTS: usize = 4096;

/// One stream of timed metadata.
#[derive(Debug)]
pub(crate) struct EventStream {
    pub(crate) pid: u16,
    pub(crate) coding: EventCoding,
    sections: Sections,
    /// The PES packet in the making.
    unit: Vec<u8>,
    begun: bool,
}

impl EventStream {
    pub(crate) fn new(pid: u16, coding: EventCoding) -> Self {
        Self {
            pid,
            coding,
            sections: Sections::default(),
            unit: Vec::new(),
            begun: false,
        }
    }

    /// Takes one packet of this stream.
    pub(crate) fn packet(
        &mut self,
        packet: &[u8; PACKET_LEN],
        clock: &mut Clock,
        events: &mut Vec<TimedEvent>,
    ) {
        if events.len() >= MAX_EVENTS {
            return;
        }
        match self.coding {
            EventCoding::Scte35 => self.sections.push(packet, |section| {
                events.extend(splice(section, clock));
            }),
            EventCoding::Id3 => {
                let header = Header::of(packet);
                let payload = packet::payload_start(packet).and_then(|at| packet.get(at..));
                let Some(payload) = payload.filter(|_| !header.scrambled()) else {
                    return;
                };
                if header.unit_start() {
                    self.end(clock, events);
                    self.begun = true;
                }
                if self.begun && self.unit.len() < MAX_MESSAGE {
                    self.unit.extend_from_slice(payload);
                }
                // Tags are small: most are whole with the packet that begins them.
                if self.is_whole() {
                    self.end(clock, events);
                }
            }
        }
    }

    /// The header of the packet in the making. There are segmenters that write another `stream_id`
    /// than `private_stream_1`.
    fn header(&self) -> Parsed {
        let mut head = self.unit.clone();
        head.truncate(pes::MAX_HEADER_LEN);
        if let Some(stream_id) = head.get_mut(3) {
            *stream_id = PRIVATE_STREAM_1;
        }
        pes::parse(&head)
    }

    fn is_whole(&self) -> bool {
        match self.header() {
            Parsed::Header(header) => header
                .payload_len
                .is_some_and(|len| self.unit.len() >= header.len.saturating_add(len)),
            _ => false,
        }
    }

    /// Ends the PES packet in the making, as at the end of a segment.
    pub(crate) fn end(&mut self, clock: &mut Clock, events: &mut Vec<TimedEvent>) {
        self.begun = false;
        let parsed = self.header();
        let unit = std::mem::take(&mut self.unit);
        let Parsed::Header(header) = parsed else {
            return;
        };
        let payload = unit.get(header.len..).unwrap_or_default();
        let len = header.payload_len.unwrap_or(payload.len());
        let payload = payload.get(..len).unwrap_or(payload);
        // By the standard in an access unit cell (2.12.4.2), in HLS without.
        let payload = match payload.get(CELL_HEADER..) {
            Some(cell) if cell.starts_with(b"ID3") => cell,
            _ => payload,
        };
        if let Some(pts) = header.pts
            && payload.starts_with(b"ID3")
            && events.len() < MAX_EVENTS
        {
            events.push(TimedEvent {
                time: clock.single(pts),
                duration: 0,
                scheme: ID3_SCHEME.to_owned(),
                value: String::new(),
                id: id(events),
                data: Bytes::copy_from_slice(payload),
            });
        }
    }
}

/// Tells messages of one segment apart.
fn id(events: &[TimedEvent]) -> u32 {
    u32::try_from(events.len()).unwrap_or(u32::MAX)
}

/// A `splice_info_section`; `None` where it is damaged, or says nothing.
fn splice(section: &[u8], clock: &mut Clock) -> Option<TimedEvent> {
    let info = SpliceInfo::parse(section).ok()?;
    let (id, duration) = match &info.command {
        SpliceCommand::Null => return None,
        SpliceCommand::Insert(insert) => (insert.event_id, insert.duration),
        SpliceCommand::TimeSignal(_) => {
            let first = info.segmentations.first();
            let ids = first.map(|one| (one.event_id, one.duration));
            ids.unwrap_or_default()
        }
        _ => (0, None),
    };
    // What is due at once is due with what came last.
    let time = match info.pts() {
        Some(pts) => clock.single(pts),
        None => clock.now()?,
    };
    Some(TimedEvent {
        time,
        duration: duration
            .and_then(|ticks| ticks.try_into().ok())
            .unwrap_or(0),
        scheme: SCTE35_SCHEME.to_owned(),
        value: String::new(),
        id,
        data: Bytes::copy_from_slice(section),
    })
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
mod tests {
    use mpeg2ts_reader::mpegts_crc;

    use super::*;
    use crate::testing::{PMT_PID, VIDEO, Writer, entry, long_section};
    use crate::{DemuxOptions, Demuxer};

    /// `splice_insert` of event 5 at 900,000, lasting 2 s (ANSI/SCTE 35, 9.7.3).
    fn insert() -> Vec<u8> {
        let mut section = vec![0xfc, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xf0, 20, 0x05];
        section.extend([0, 0, 0, 5, 0x7f, 0xef]);
        section.extend([0xfe, 0x00, 0x0d, 0xbb, 0xa0]);
        section.extend([0xfe, 0x00, 0x02, 0xbf, 0x20]);
        section.extend([0, 1, 0, 0, 0, 0]);
        let len = section.len() + 4 - 3;
        section[2] = len as u8;
        let crc = mpegts_crc::sum32(&section);
        section.extend(crc.to_be_bytes());
        section
    }

    #[test]
    fn tags_and_splices_are_events() {
        let mut ts = Writer::default();
        ts.pat(&[(1, PMT_PID)]);
        let mut id3 = entry(0x102, 0x15);
        id3.descriptors = b"\x26\x0d\xff\xffID3 \xffID3 \x00\x0f".to_vec();
        ts.pmt(0, &[entry(VIDEO, 0x1b), id3, entry(0x103, 0x86)]);
        ts.video(903_600, 900_000, 300);
        let tag = [b"ID3\x04\0\0\0\0\x02\x2c".to_vec(), vec![7; 300]].concat();
        ts.pes(0x102, 0xbd, 907_200, None, &tag);
        ts.section(0x103, &insert());
        ts.section(0x103, &long_section(0x02, 1, 0, &[0; 20]));
        let index = Demuxer::new(DemuxOptions::default())
            .index(&ts.bytes)
            .unwrap();
        assert_eq!(index.declined, []);
        let [id3, splice] = index.events.as_slice() else {
            panic!("{:?}", index.events);
        };
        assert_eq!((id3.time, &id3.data[..]), (907_200, &tag[..]));
        assert_eq!(id3.scheme, ID3_SCHEME);
        assert_eq!((splice.time, splice.duration), (900_000, 180_000));
        assert_eq!((splice.id, &splice.data[..]), (5, &insert()[..]));
        assert_eq!(splice.scheme, SCTE35_SCHEME);
    }

    #[test]
    fn tags_in_cells_and_under_another_stream_id() {
        let tag = b"ID3\x04\0\0\0\0\0\x01x";
        for (stream_id, cell) in [(0x0d, &b""[..]), (0xbd, &[0, 0, 0xdf, 0, 11])] {
            let mut ts = Writer::default();
            ts.pat(&[(1, PMT_PID)]);
            ts.pmt(0, &[entry(VIDEO, 0x1b), entry(0x102, 0x15)]);
            ts.video(903_600, 900_000, 300);
            ts.pes(0x102, stream_id, 903_600, None, &[cell, tag].concat());
            let index = Demuxer::new(DemuxOptions::default())
                .index(&ts.bytes)
                .unwrap();
            assert_eq!(index.events.len(), 1, "{stream_id:#x}");
            assert_eq!(index.events[0].data[..], tag[..]);
        }
    }

    #[test]
    fn a_splice_at_once_is_due_with_what_came_last() {
        let mut clock = Clock::default();
        let mut immediate = insert();
        // splice_immediate_flag, and no time.
        immediate[19] |= 0x10;
        immediate.drain(20..25);
        immediate[2] -= 5;
        immediate.truncate(immediate.len() - 4);
        let crc = mpegts_crc::sum32(&immediate);
        immediate.extend(crc.to_be_bytes());
        assert_eq!(splice(&immediate, &mut clock), None, "no time is known");
        clock.single(4_500);
        assert_eq!(splice(&immediate, &mut clock).unwrap().time, 4_500);
        immediate[20] ^= 1;
        assert_eq!(splice(&immediate, &mut clock), None, "damaged");
    }
}
