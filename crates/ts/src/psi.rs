//! Program association and program map tables (ISO/IEC 13818-1, 2.4.4).

use std::collections::BTreeMap;

use mpeg2ts_reader::mpegts_crc;
use mpeg2ts_reader::psi::pat::{PatSection, ProgramDescriptor};
use mpeg2ts_reader::psi::pmt::PmtSection;
use mpeg2ts_reader::psi::{CurrentNext, TableSyntaxHeader};

use crate::packet::{self, Framing, Header, PACKET_LEN, Packets, Step};
use crate::stream_type::{self, Elementary};

/// The PID of the program association table.
pub(crate) const PAT_PID: u16 = 0;
/// The PID of null packets.
pub(crate) const NULL_PID: u16 = 0x1fff;
const PAT_TABLE_ID: u8 = 0;
const PMT_TABLE_ID: u8 = 2;
/// `table_id`, flags and `section_length`.
const SECTION_HEADER_LEN: usize = 3;
const CRC_LEN: usize = 4;
/// Programs of one transport stream that are looked at; more than any multiplex has.
pub(crate) const MAX_PROGRAMS: usize = 1024;

/// Puts the sections of one PID together from its packets (2.4.4.1).
#[derive(Debug, Clone, Default)]
pub(crate) struct Sections {
    /// The section in the making: at most 4098 bytes and one packet.
    partial: Vec<u8>,
    continuity: Option<u8>,
}

impl Sections {
    /// Takes one packet, and gives each section that it ends to `complete`.
    pub(crate) fn push(&mut self, packet: &[u8; PACKET_LEN], mut complete: impl FnMut(&[u8])) {
        let header = Header::of(packet);
        let Some(payload) = packet::payload_start(packet).and_then(|at| packet.get(at..)) else {
            return;
        };
        let counter = header.continuity_counter();
        match self.continuity.replace(counter) {
            // A duplicate, or the only counter of a muxer that does not count: in both cases
            // sections that begin here are as good as any.
            Some(last) if last == counter && !header.unit_start() => return,
            Some(last) if last.wrapping_add(1) & 0x0f != counter => self.partial.clear(),
            _ => {}
        }
        if header.scrambled() {
            self.partial.clear();
            return;
        }
        if !header.unit_start() {
            if !self.partial.is_empty() {
                self.partial.extend_from_slice(payload);
                self.complete_partial(&mut complete);
            }
            return;
        }
        let Some((&pointer, rest)) = payload.split_first() else {
            return;
        };
        let Some((end_of_last, mut rest)) = rest.split_at_checked(usize::from(pointer)) else {
            self.partial.clear();
            return;
        };
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(end_of_last);
            self.complete_partial(&mut complete);
        }
        self.partial.clear();
        // 0xff instead of a table_id: stuffing until the end of the packet.
        while rest.first().is_some_and(|&table_id| table_id != 0xff) {
            let Some((section, behind)) = split_section(rest) else {
                self.partial.extend_from_slice(rest);
                return;
            };
            complete(section);
            rest = behind;
        }
    }

    fn complete_partial(&mut self, complete: &mut impl FnMut(&[u8])) {
        if let Some((section, _)) = split_section(&self.partial) {
            complete(section);
            self.partial.clear();
        }
    }
}

/// The section that `bytes` begin with, and what comes behind it.
fn split_section(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let &[_, high, low] = bytes.first_chunk::<SECTION_HEADER_LEN>()?;
    let len = usize::from(u16::from_be_bytes([high & 0x0f, low]));
    bytes.split_at_checked(SECTION_HEADER_LEN.saturating_add(len))
}

/// A section whose CRC is right and which is in force.
struct Section<'a> {
    /// `transport_stream_id` or `program_number`.
    id: u16,
    version: u8,
    number: u8,
    last_number: u8,
    body: &'a [u8],
}

/// Why a section is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Another table, or one that is not in force yet.
    Other,
    /// Damaged.
    BadCrc,
}

fn open(section: &[u8], table_id: u8) -> Result<Section<'_>, Unusable> {
    let (&found, rest) = section.split_first().ok_or(Unusable::Other)?;
    if found != table_id {
        return Err(Unusable::Other);
    }
    if mpegts_crc::sum32(section) != 0 {
        return Err(Unusable::BadCrc);
    }
    let header = rest
        .get(2..)
        .filter(|header| header.len() >= TableSyntaxHeader::SIZE.saturating_add(CRC_LEN))
        .ok_or(Unusable::BadCrc)?;
    let syntax = TableSyntaxHeader::new(header);
    if syntax.current_next_indicator() != CurrentNext::Current {
        return Err(Unusable::Other);
    }
    let body = header
        .get(TableSyntaxHeader::SIZE..header.len().saturating_sub(CRC_LEN))
        .ok_or(Unusable::BadCrc)?;
    Ok(Section {
        id: syntax.id(),
        version: syntax.version(),
        number: syntax.section_number(),
        last_number: syntax.last_section_number(),
        body,
    })
}

/// The program association table: which PID carries the map of which program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pat {
    version: u8,
    last_number: u8,
    sections: BTreeMap<u8, Vec<u8>>,
}

impl Pat {
    /// Takes one section; whether anything changed.
    pub(crate) fn update(&mut self, section: &[u8]) -> Result<bool, Unusable> {
        let known = section.get(6).and_then(|number| self.sections.get(number));
        if known.is_some_and(|known| known == section) {
            return Ok(false);
        }
        let opened = open(section, PAT_TABLE_ID)?;
        if (opened.version, opened.last_number) != (self.version, self.last_number) {
            self.sections.clear();
        }
        self.version = opened.version;
        self.last_number = opened.last_number;
        self.sections.insert(opened.number, section.to_vec());
        Ok(true)
    }

    /// Whether all of its sections have come.
    pub(crate) fn is_complete(&self) -> bool {
        !self.sections.is_empty() && self.sections.len() > usize::from(self.last_number)
    }

    /// Program numbers and the PIDs of their maps.
    pub(crate) fn programs(&self) -> Vec<(u16, u16)> {
        self.sections
            .values()
            .filter_map(|section| open(section, PAT_TABLE_ID).ok())
            .flat_map(|section| PatSection::new(section.body).programs())
            .filter_map(|entry| match entry {
                ProgramDescriptor::Program {
                    program_number,
                    pid,
                } => Some((program_number, u16::from(pid))),
                ProgramDescriptor::Network { .. } => None,
            })
            .filter(|&(_, pid)| pid != PAT_PID && pid != NULL_PID)
            .take(MAX_PROGRAMS)
            .collect()
    }
}

/// A program: its map, and what that lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// `program_number`.
    pub(crate) number: u16,
    /// The PID of its map.
    pub(crate) pmt_pid: u16,
    /// The section as it came, to know it again cheaply. Empty where the program is a guess.
    pub(crate) section: Vec<u8>,
    /// Its elementary streams, in the order of the map.
    pub(crate) streams: Vec<Elementary>,
}

impl Program {
    /// Reads a section of the program map table; `None` where it is of another program than `wanted`.
    pub(crate) fn parse(
        section: &[u8],
        pmt_pid: u16,
        wanted: u16,
    ) -> Result<Option<Self>, Unusable> {
        let opened = open(section, PMT_TABLE_ID)?;
        if wanted != opened.id {
            return Ok(None);
        }
        let map = PmtSection::from_bytes(opened.body).map_err(|_| Unusable::BadCrc)?;
        let context = stream_type::registration(map.descriptors());
        let mut streams: Vec<Elementary> = Vec::new();
        for stream in map.streams() {
            let pid = u16::from(stream.elementary_pid());
            let taken = streams.iter().any(|known| known.pid == pid);
            if !taken && pid != PAT_PID && pid != NULL_PID && pid != pmt_pid {
                streams.push(Elementary::of(&stream, context));
            }
        }
        Ok(Some(Self {
            number: opened.id,
            pmt_pid,
            section: section.to_vec(),
            streams,
        }))
    }
}

/// The packets without transport errors.
pub(crate) fn intact(segment: &[u8], framing: Framing) -> impl Iterator<Item = &[u8; PACKET_LEN]> {
    Packets::new(segment, framing).filter_map(|step| match step {
        Step::Packet { bytes, .. } if !Header::of(bytes).transport_error() => Some(bytes),
        _ => None,
    })
}
