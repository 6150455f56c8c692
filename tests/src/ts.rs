//! A plain reader of MPEG-TS (ISO/IEC 13818-1): the whole file in memory, one pass for the tables,
//! one for the payload.

use std::collections::BTreeMap;

/// What an elementary stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// H.264 Annex B.
    H264,
    /// H.265 Annex B.
    H265,
    /// AAC in ADTS.
    Adts,
    /// AAC in LATM.
    Latm,
    /// MPEG-1/2 audio, layers I to III.
    MpegAudio,
    /// AC-3.
    Ac3,
    /// E-AC-3.
    Eac3,
    /// DTS.
    Dts,
    /// Opus.
    Opus,
    /// MPEG-2 video.
    Mpeg2Video,
    /// Something that Clipmill does not carry.
    Other,
}

impl Kind {
    /// Whether it is pictures.
    #[must_use]
    pub fn is_video(self) -> bool {
        matches!(self, Self::H264 | Self::H265 | Self::Mpeg2Video)
    }
}

/// One PES packet.
#[derive(Debug, Clone, Default)]
pub struct Pes {
    /// Presentation timestamp, 33 bits.
    pub pts: Option<u64>,
    /// Decoding timestamp, 33 bits.
    pub dts: Option<u64>,
    /// Payload.
    pub data: Vec<u8>,
    /// What its header says of its length; 0 where it says nothing.
    pub declared: usize,
}

/// One elementary stream.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its packet identifier.
    pub pid: u16,
    /// What it holds.
    pub kind: Kind,
    /// Its PES packets.
    pub pes: Vec<Pes>,
}

impl Stream {
    /// All payloads, one after the other.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.pes.iter().flat_map(|pes| pes.data.clone()).collect()
    }
}

/// The elementary streams of the first programme, in the order of its PMT.
#[must_use]
pub fn read(file: &[u8]) -> Vec<Stream> {
    let packets = packets(file);
    let mut pmt_pid = None;
    let mut listed: Vec<(u16, Kind)> = Vec::new();
    for packet in &packets {
        let (Some(section), true) = (packet.section(), packet.starts) else {
            continue;
        };
        if packet.pid == 0 && pmt_pid.is_none() {
            pmt_pid = first_programme(section);
        } else if Some(packet.pid) == pmt_pid {
            for (pid, kind) in programme_map(section) {
                if !listed.iter().any(|(known, _)| *known == pid) {
                    listed.push((pid, kind));
                }
            }
        }
    }
    let mut pes: BTreeMap<u16, Vec<Pes>> = BTreeMap::new();
    for packet in &packets {
        if !listed.iter().any(|(pid, _)| *pid == packet.pid) {
            continue;
        }
        let stream = pes.entry(packet.pid).or_default();
        if packet.starts {
            stream.extend(pes_header(packet.payload));
        } else if let Some(last) = stream.last_mut() {
            last.data.extend_from_slice(packet.payload);
        }
    }
    let streams = listed.into_iter().map(|(pid, kind)| {
        let mut pes = pes.remove(&pid).unwrap_or_default();
        for pes in &mut pes {
            if pes.declared > 0 {
                pes.data.truncate(pes.declared);
            }
        }
        Stream { pid, kind, pes }
    });
    streams.collect()
}

struct Packet<'a> {
    pid: u16,
    starts: bool,
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    fn section(&self) -> Option<&'a [u8]> {
        let pointer = usize::from(*self.payload.first()?);
        self.payload.get(1 + pointer..)
    }
}

fn packets(file: &[u8]) -> Vec<Packet<'_>> {
    let stride = [188, 192, 204]
        .into_iter()
        .find(|stride| (0..*stride).any(|at| synced(file, at, *stride)))
        .unwrap_or(188);
    let mut found = Vec::new();
    let mut last: BTreeMap<u16, &[u8]> = BTreeMap::new();
    let mut at = 0;
    while at + 188 <= file.len() {
        if file[at] != 0x47 || (at + stride < file.len() && file[at + stride] != 0x47) {
            // The last packet before a break is good when another follows nowhere near.
            if file[at] != 0x47 || synced(file, at + 1, stride) {
                at += 1;
                continue;
            }
        }
        let packet = &file[at..at + 188];
        at += stride;
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        let error = packet[1] & 0x80 != 0;
        let scrambled = packet[3] & 0xc0 != 0;
        let skip = match packet[3] >> 4 & 3 {
            1 => 4,
            3 => 5 + usize::from(packet[4]),
            _ => 188,
        };
        if error || scrambled || skip >= 188 {
            continue;
        }
        // 2.4.3.3: a packet may be sent twice, with only the PCR changed.
        let same = |old: &&[u8]| old[3] == packet[3] && old[skip..] == packet[skip..];
        if last.insert(pid, packet).as_ref().is_some_and(same) {
            continue;
        }
        found.push(Packet {
            pid,
            starts: packet[1] & 0x40 != 0,
            payload: &packet[skip..],
        });
    }
    found
}

fn synced(file: &[u8], at: usize, stride: usize) -> bool {
    (0..5).all(|n| file.get(at + n * stride) == Some(&0x47))
}

fn first_programme(section: &[u8]) -> Option<u16> {
    let length = section_length(section)?;
    let programmes = section.get(8..length.checked_sub(4)?)?;
    let programme = programmes
        .chunks_exact(4)
        .find(|entry| entry[0] != 0 || entry[1] != 0)?;
    Some(u16::from(programme[2] & 0x1f) << 8 | u16::from(programme[3]))
}

fn programme_map(section: &[u8]) -> Vec<(u16, Kind)> {
    let mut found = Vec::new();
    let Some(length) = section_length(section) else {
        return found;
    };
    if section[0] != 2 || length < 16 || length > section.len() {
        return found;
    }
    let mut rest = &section[12..length - 4];
    rest =
        &rest[(usize::from(section[10] & 0x0f) << 8 | usize::from(section[11])).min(rest.len())..];
    while rest.len() >= 5 {
        let pid = u16::from(rest[1] & 0x1f) << 8 | u16::from(rest[2]);
        let info = usize::from(rest[3] & 0x0f) << 8 | usize::from(rest[4]);
        let descriptors = &rest[5..(5 + info).min(rest.len())];
        found.push((pid, kind(rest[0], descriptors)));
        rest = &rest[(5 + info).min(rest.len())..];
    }
    found
}

fn kind(stream_type: u8, mut descriptors: &[u8]) -> Kind {
    let mut private = Kind::Other;
    while let [tag, len, rest @ ..] = descriptors {
        let (body, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        private = match (tag, body) {
            (0x6a, _) | (0x05, [b'A', b'C', b'-', b'3', ..]) => Kind::Ac3,
            (0x7a, _) | (0x05, [b'E', b'A', b'C', b'3', ..]) => Kind::Eac3,
            (0x7b, _) => Kind::Dts,
            (0x05, [b'O', b'p', b'u', b's', ..]) => Kind::Opus,
            _ => private,
        };
        descriptors = rest;
    }
    match stream_type {
        0x01 | 0x02 => Kind::Mpeg2Video,
        0x1b => Kind::H264,
        0x24 => Kind::H265,
        0x03 | 0x04 => Kind::MpegAudio,
        0x0f => Kind::Adts,
        0x11 => Kind::Latm,
        0x82 | 0x8a => Kind::Dts,
        0x81 => Kind::Ac3,
        0x84 | 0x87 => Kind::Eac3,
        0x06 => private,
        _ => Kind::Other,
    }
}

fn section_length(section: &[u8]) -> Option<usize> {
    let high = usize::from(section.get(1)? & 0x0f);
    Some(3 + (high << 8 | usize::from(*section.get(2)?)))
}

fn pes_header(packet: &[u8]) -> Option<Pes> {
    if packet.get(..3)? != [0, 0, 1] {
        return None;
    }
    let length = usize::from(*packet.get(4)?) << 8 | usize::from(*packet.get(5)?);
    let header = usize::from(*packet.get(8)?);
    let flags = packet[7];
    Some(Pes {
        pts: (flags & 0x80 != 0).then(|| timestamp(packet, 9)).flatten(),
        dts: (flags & 0xc0 == 0xc0)
            .then(|| timestamp(packet, 14))
            .flatten(),
        data: packet.get(9 + header..)?.to_vec(),
        declared: length.saturating_sub(3 + header),
    })
}

fn timestamp(packet: &[u8], at: usize) -> Option<u64> {
    let bytes = packet.get(at..at + 5)?;
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|n| u64::from(bytes[n]));
    Some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
}
