//! Where the packets of a segment lie (ISO/IEC 13818-1, 2.4.3.2).
//!
//! A packet is 188 bytes. M2TS files put a four-byte arrival time in front of each (192 bytes from
//! sync byte to sync byte), and some captures sixteen bytes of Reed-Solomon parity behind (204).

use memchr::memchr_iter;
use memchr::memmem::Finder;

/// Bytes of a packet.
pub(crate) const PACKET_LEN: usize = 188;
/// Those that every packet begins with.
const HEADER_LEN: usize = 4;
const SYNC_BYTE: u8 = 0x47;
const STRIDES: [u16; 3] = [188, 192, 204];
/// Bytes in front of the sync byte of an M2TS packet.
const ARRIVAL_TIME_LEN: usize = 4;
/// Sync bytes in a row that tell a stream from chance.
const SURE: usize = 5;
/// Sync bytes in a row that bring the walk back after damage: fewer, so that little is lost where
/// damage is frequent.
const RESYNC: usize = 3;
/// How much of the data [`looks_like_ts`] looks at.
const SNIFFED: usize = 4096;

/// Whether `bytes` (the start of some data, four kilobytes of it are enough) look like an MPEG
/// transport stream: sync bytes that repeat every 188, 192 or 204 bytes.
#[must_use]
pub fn looks_like_ts(bytes: &[u8]) -> bool {
    // Enough beyond for the last one to be confirmed: two at the end of the data would do by chance.
    let beyond = SURE.saturating_mul(STRIDES.into_iter().max().unwrap_or_default().into());
    let head = bytes.get(..SNIFFED.saturating_add(beyond));
    Framing::find(head.unwrap_or(bytes)).is_some_and(|found| found.start < SNIFFED)
}

/// How the packets of a segment follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing {
    /// Offset of the first sync byte.
    pub(crate) start: usize,
    /// Bytes from one sync byte to the next.
    pub(crate) stride: u16,
}

impl Framing {
    /// Finds the first packet.
    pub(crate) fn find(bytes: &[u8]) -> Option<Self> {
        let sure = search(bytes, 0, None, SURE).or_else(|| search(bytes, 0, None, RESYNC));
        if let Some(found) = sure {
            return Some(found.rewound(bytes));
        }
        // One packet, or the one and a bit of a truncated segment, has nothing to confirm it.
        let whole = |start: usize| {
            bytes.get(start) == Some(&SYNC_BYTE)
                && bytes.len() >= start.saturating_add(PACKET_LEN)
                && bytes.len() < start.saturating_add(2 * PACKET_LEN)
        };
        if whole(0) {
            let stride = if bytes.len() == 204 { 204 } else { 188 };
            return Some(Self { start: 0, stride });
        }
        whole(ARRIVAL_TIME_LEN).then_some(Self {
            start: ARRIVAL_TIME_LEN,
            stride: 192,
        })
    }

    /// Bytes before the first packet that belong to none.
    pub(crate) fn skipped(self) -> usize {
        let prefix = match self.stride {
            192 => ARRIVAL_TIME_LEN,
            _ => 0,
        };
        self.start.saturating_sub(prefix)
    }

    /// Packets before the first that could be confirmed, because one near them is damaged.
    fn rewound(self, bytes: &[u8]) -> Self {
        let stride = usize::from(self.stride);
        let synced = |at: Option<usize>| at.filter(|&at| bytes.get(at) == Some(&SYNC_BYTE));
        let mut start = self.start;
        while let Some(earlier) = synced(start.checked_sub(stride))
            .or_else(|| synced(start.checked_sub(stride.saturating_mul(2))))
        {
            start = earlier;
        }
        Self { start, ..self }
    }
}

/// The first sync byte at or after `from` that is followed by enough others. Sync bytes in phase
/// with `known` need no others where the data ends.
fn search(bytes: &[u8], from: usize, known: Option<Framing>, need: usize) -> Option<Framing> {
    let haystack = bytes.get(from..)?;
    memchr_iter(SYNC_BYTE, haystack).find_map(|at| {
        let start = from.saturating_add(at);
        if bytes.len() < start.saturating_add(PACKET_LEN) {
            return None;
        }
        let strides = known.map(|known| known.stride).into_iter().chain(STRIDES);
        let in_phase = |stride: u16| {
            known.is_some_and(|known| {
                known.stride == stride
                    && start
                        .saturating_sub(known.start)
                        .is_multiple_of(usize::from(stride))
            })
        };
        strides
            .map(|stride| Framing { start, stride })
            .find(|&framing| confirmed(bytes, framing, need, in_phase(framing.stride)))
    })
}

fn confirmed(bytes: &[u8], framing: Framing, need: usize, in_phase: bool) -> bool {
    let mut at = framing.start;
    for found in 0..need {
        match bytes.get(at) {
            Some(&SYNC_BYTE) => at = at.saturating_add(usize::from(framing.stride)),
            Some(_) => return false,
            None => return found >= 2 || in_phase,
        }
    }
    true
}

/// Packets of one stream, one behind the other, that hold nothing but payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    offset: usize,
    /// From the first sync byte on, a whole number of strides.
    bytes: &'a [u8],
    stride: u16,
}

impl<'a> Run<'a> {
    /// Bytes of payload in each packet.
    pub(crate) const PAYLOAD_LEN: usize = PACKET_LEN - HEADER_LEN;
    /// The longest run: what was looked at is still in the nearest cache when it is taken.
    pub(crate) const LONGEST: usize = 128;

    /// How many packets.
    pub(crate) fn count(&self) -> usize {
        let stride = usize::from(self.stride);
        self.bytes.len().checked_div(stride).unwrap_or_default()
    }

    /// Bytes of payload in all of them.
    pub(crate) fn payload_len(&self) -> u64 {
        (self.count() as u64).saturating_mul(Self::PAYLOAD_LEN as u64)
    }

    /// Where the first packet begins in the segment.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// Where the payload of the first packet begins in the segment.
    pub(crate) fn payload_offset(&self) -> usize {
        self.offset.saturating_add(HEADER_LEN)
    }

    /// The payload of each packet.
    pub(crate) fn payloads(
        &self,
    ) -> impl DoubleEndedIterator<Item = &'a [u8; PACKET_LEN - HEADER_LEN]> + use<'a> {
        self.bytes
            .chunks_exact(usize::from(self.stride))
            .filter_map(|packet| packet.get(HEADER_LEN..)?.first_chunk())
    }

    /// The first packets, and the others.
    pub(crate) fn split_at(self, count: usize) -> (Self, Self) {
        let len = count.saturating_mul(usize::from(self.stride));
        let (first, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        let of = |offset, bytes| Self {
            offset,
            bytes,
            ..self
        };
        let after = self.offset.saturating_add(first.len());
        (of(self.offset, first), of(after, rest))
    }

    /// The number of the first packet whose payload holds what `finder` looks for, which is no
    /// longer than three bytes and does not end with a byte from 0x10 to 0x1f.
    ///
    /// The search goes over everything, as it is the faster the less often it begins: the last byte
    /// of a header is in that range and the first one the sync byte, so that nothing is found in it
    /// or across it.
    pub(crate) fn find(&self, finder: &Finder<'_>) -> Option<usize> {
        let stride = usize::from(self.stride);
        let mut found = finder.find_iter(self.bytes).filter_map(|at| {
            let packet = at.checked_div(stride)?;
            let within = at.checked_rem(stride)?;
            // Not in what lies between packets of 192 or 204 bytes.
            let end = within.saturating_add(finder.needle().len());
            (within >= HEADER_LEN && end <= PACKET_LEN).then_some(packet)
        });
        found.next()
    }
}

/// What the walk meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A packet.
    Packet {
        /// Where it begins in the segment.
        offset: usize,
        /// All of it.
        bytes: &'a [u8; PACKET_LEN],
    },
    /// Bytes that belong to no packet.
    Lost {
        /// Where they begin.
        offset: usize,
        /// How many.
        skipped: usize,
    },
    /// The segment ends inside a packet.
    Truncated {
        /// Where the packet begins.
        offset: usize,
    },
}

/// Walks over the packets of a segment.
#[derive(Debug, Clone)]
pub(crate) struct Packets<'a> {
    bytes: &'a [u8],
    at: usize,
    stride: u16,
}

impl<'a> Packets<'a> {
    /// The packets of `bytes` from `framing.start` on.
    pub(crate) fn new(bytes: &'a [u8], framing: Framing) -> Self {
        Self {
            bytes,
            at: framing.start,
            stride: framing.stride,
        }
    }

    /// The packets from here on, at most `most`, that have no adaptation field, begin nothing, and
    /// count on from `counter`.
    pub(crate) fn run(&self, pid: u16, counter: u8, most: usize) -> Run<'a> {
        let stride = usize::from(self.stride);
        let [high, low] = pid.to_be_bytes();
        let mut header = [SYNC_BYTE, high, low, Header::PAYLOAD_ALONE | counter];
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut len = 0usize;
        for packet in rest.chunks_exact(stride).take(most.min(Run::LONGEST)) {
            if packet.first_chunk() != Some(&header) {
                break;
            }
            len = len.saturating_add(stride);
            let [.., last] = &mut header;
            *last = Header::PAYLOAD_ALONE | (last.wrapping_add(1) & 0x0f);
        }
        // A packet that no other follows may have lost its end: see `next`.
        if rest.get(len).is_some_and(|&byte| byte != SYNC_BYTE) {
            len = len.saturating_sub(stride);
        }
        Run {
            offset: self.at,
            bytes: rest.get(..len).unwrap_or_default(),
            stride: self.stride,
        }
    }

    /// Passes over packets that were taken as a run.
    pub(crate) fn pass(&mut self, run: &Run<'_>) {
        self.at = self.at.saturating_add(run.bytes.len());
    }

    fn packet_at(&self, at: usize) -> Option<&'a [u8; PACKET_LEN]> {
        self.bytes.get(at..)?.first_chunk()
    }

    /// Everything but an intact packet that is followed by another.
    #[cold]
    fn slow(&mut self) -> Option<Step<'a>> {
        let offset = self.at;
        let left = self.bytes.len().checked_sub(offset).filter(|&l| l > 0)?;
        let known = Framing {
            start: offset,
            stride: self.stride,
        };
        let found = search(self.bytes, offset.saturating_add(1), Some(known), RESYNC);
        let next = offset.saturating_add(usize::from(self.stride));
        if self.bytes.get(offset) == Some(&SYNC_BYTE) {
            let Some(bytes) = self.packet_at(offset) else {
                self.at = self.bytes.len();
                return Some(Step::Truncated { offset });
            };
            // A packet that begins inside this one means that this one lost its end.
            if found.is_none_or(|found| found.start >= next) {
                self.at = next;
                return Some(Step::Packet { offset, bytes });
            }
        }
        let skipped = match found {
            Some(found) => {
                self.stride = found.stride;
                self.at = found.start;
                found.start.saturating_sub(offset)
            }
            None => {
                self.at = self.bytes.len();
                left
            }
        };
        Some(Step::Lost { offset, skipped })
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Step<'a>;

    #[inline]
    fn next(&mut self) -> Option<Step<'a>> {
        let offset = self.at;
        let next = offset.saturating_add(usize::from(self.stride));
        if let Some(bytes) = self.packet_at(offset)
            && bytes[0] == SYNC_BYTE
            && self.bytes.get(next).is_none_or(|&byte| byte == SYNC_BYTE)
        {
            self.at = next;
            return Some(Step::Packet { offset, bytes });
        }
        self.slow()
    }
}

/// The fixed fields of a packet (ISO/IEC 13818-1, 2.4.3.3).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header(pub(crate) [u8; 4]);

impl Header {
    /// The last byte of a header, but for the counter: not scrambled, payload, no adaptation field.
    const PAYLOAD_ALONE: u8 = 0x10;

    pub(crate) fn of(packet: &[u8; PACKET_LEN]) -> Self {
        Self([packet[0], packet[1], packet[2], packet[3]])
    }

    pub(crate) fn pid(self) -> u16 {
        u16::from_be_bytes([self.0[1] & 0x1f, self.0[2]])
    }

    pub(crate) fn transport_error(self) -> bool {
        self.0[1] & 0x80 != 0
    }

    pub(crate) fn unit_start(self) -> bool {
        self.0[1] & 0x40 != 0
    }

    pub(crate) fn scrambled(self) -> bool {
        self.0[3] & 0xc0 != 0
    }

    pub(crate) fn has_adaptation_field(self) -> bool {
        self.0[3] & 0x20 != 0
    }

    pub(crate) fn has_payload(self) -> bool {
        self.0[3] & 0x10 != 0
    }

    pub(crate) fn continuity_counter(self) -> u8 {
        self.0[3] & 0x0f
    }
}

/// The adaptation field of a packet without its length; empty where there is none, `None` where it
/// does not fit into the packet (ISO/IEC 13818-1, 2.4.3.4).
pub(crate) fn adaptation_field(packet: &[u8; PACKET_LEN]) -> Option<&[u8]> {
    if !Header::of(packet).has_adaptation_field() {
        return Some(&[]);
    }
    packet.get(5..usize::from(packet[4]).saturating_add(5))
}

/// Whether a packet has stuffing in front of its payload, as there is too little of that to fill it
/// (ISO/IEC 13818-1, 2.4.3.5).
pub(crate) fn is_stuffed(packet: &[u8; PACKET_LEN]) -> bool {
    let field = match adaptation_field(packet) {
        Some([]) | None => return Header::of(packet).has_adaptation_field(),
        Some(field) => field,
    };
    let flags = field.first().copied().unwrap_or_default();
    if flags == 0 {
        return true; // A field that says nothing is there for its length.
    }
    let mut used = 1usize;
    for (flag, len) in [(0x10, 6), (0x08, 6), (0x04, 1)] {
        if flags & flag != 0 {
            used = used.saturating_add(len);
        }
    }
    // Private data, and the extension: their lengths stand before them.
    for flag in [0x02, 0x01] {
        if flags & flag != 0 {
            let len = field.get(used).copied().unwrap_or_default();
            used = used.saturating_add(1).saturating_add(usize::from(len));
        }
    }
    used < field.len()
}

/// Where the payload of a packet begins; `None` where it has none.
#[inline]
pub(crate) fn payload_start(packet: &[u8; PACKET_LEN]) -> Option<usize> {
    let header = Header::of(packet);
    if !header.has_payload() {
        return None;
    }
    if !header.has_adaptation_field() {
        return Some(4);
    }
    let start = usize::from(packet[4]).saturating_add(5);
    (start < PACKET_LEN).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(count: usize, stride: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for n in 0..count {
            if stride == 192 {
                bytes.extend_from_slice(&[0; 4]);
            }
            bytes.push(SYNC_BYTE);
            bytes.extend(std::iter::repeat_n(n as u8, 187));
            if stride == 204 {
                bytes.extend_from_slice(&[0; 16]);
            }
        }
        bytes
    }

    fn walk(bytes: &[u8]) -> (Vec<usize>, Vec<(usize, usize)>, bool) {
        let (mut found, mut lost, mut truncated) = (Vec::new(), Vec::new(), false);
        let framing = Framing::find(bytes).unwrap();
        if framing.skipped() > 0 {
            lost.push((0, framing.skipped()));
        }
        for step in Packets::new(bytes, framing) {
            match step {
                Step::Packet { offset, .. } => found.push(offset),
                Step::Lost { offset, skipped } => lost.push((offset, skipped)),
                Step::Truncated { .. } => truncated = true,
            }
        }
        (found, lost, truncated)
    }

    #[test]
    fn every_packet_size_is_found() {
        for (stride, first) in [(188, 0), (192, 4), (204, 0)] {
            for count in 1..8 {
                let bytes = packets(count, stride);
                let (found, lost, truncated) = walk(&bytes);
                let expected: Vec<_> = (0..count).map(|n| first + n * stride).collect();
                assert_eq!(found, expected, "{count} packets of {stride}");
                assert!(lost.is_empty() && !truncated, "{count} packets of {stride}");
            }
        }
    }

    #[test]
    fn garbage_in_front_is_skipped() {
        for count in [2, 3, 20] {
            let mut bytes = vec![1; 100];
            bytes.extend(packets(count, 188));
            let (found, lost, _) = walk(&bytes);
            assert_eq!((found.len(), lost), (count, vec![(0, 100)]));
        }
    }

    #[test]
    fn garbage_between_packets_loses_none() {
        let mut bytes = packets(6, 188);
        bytes.extend([9; 57]);
        bytes.extend(packets(3, 188));
        bytes.extend([9; 200]);
        let (found, lost, _) = walk(&bytes);
        assert_eq!(found.len(), 9);
        assert_eq!(lost, [(6 * 188, 57), (9 * 188 + 57, 200)]);
    }

    #[test]
    fn a_packet_cut_short_is_dropped_alone() {
        let mut bytes = packets(6, 188);
        bytes.truncate(5 * 188 + 60);
        bytes.extend(packets(4, 188));
        let (found, lost, _) = walk(&bytes);
        assert_eq!(found.len(), 9);
        assert_eq!(lost, [(5 * 188, 60)]);
    }

    #[test]
    fn a_damaged_sync_byte_loses_one_packet_anywhere() {
        for damaged in 0..9 {
            let mut bytes = packets(9, 188);
            bytes[damaged * 188] = 0;
            let (found, lost, _) = walk(&bytes);
            assert_eq!(found.len(), 8, "packet {damaged}");
            assert_eq!(lost, [(damaged * 188, 188)], "packet {damaged}");
        }
    }

    #[test]
    fn stuffing_is_told_from_what_is_needed() {
        let packet = |control: u8, field: &[u8]| {
            let mut packet = [0xff; PACKET_LEN];
            packet[..4].copy_from_slice(&[SYNC_BYTE, 0x41, 0, control]);
            packet[4..4 + field.len()].copy_from_slice(field);
            is_stuffed(&packet)
        };
        assert!(!packet(0x10, &[0]));
        assert!(packet(0x30, &[0]), "one byte");
        assert!(packet(0x30, &[1, 0]), "two bytes");
        assert!(!packet(0x30, &[7, 0x50, 0, 0, 0, 0, 0, 0]), "a PCR");
        assert!(packet(0x30, &[8, 0x50, 0, 0, 0, 0, 0, 0, 0xff]));
        assert!(!packet(0x30, &[5, 0x42, 3, 1, 2, 3]), "private data");
        assert!(packet(0x30, &[6, 0x42, 3, 1, 2, 3, 0xff]));
    }

    #[test]
    fn truncation_is_told() {
        let mut bytes = packets(4, 188);
        bytes.truncate(4 * 188 - 1);
        let (found, lost, truncated) = walk(&bytes);
        assert_eq!((found.len(), lost.len(), truncated), (3, 0, true));
        bytes.truncate(187);
        assert!(Framing::find(&bytes).is_none());
    }

    #[test]
    fn other_data_is_refused() {
        assert!(!looks_like_ts(b""));
        assert!(!looks_like_ts(b"GIF89a"));
        let text: Vec<u8> = b"#EXTM3U\n#EXTINF:4,\nGOP.ts\n".repeat(300);
        assert!(!looks_like_ts(&text));
        assert!(looks_like_ts(&packets(1, 188)));
    }
}
