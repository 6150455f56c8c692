//! AC-3 and E-AC-3: ETSI TS 102 366, clauses 4.3 and 4.4 (AC-3), annex E (E-AC-3), annex F (the
//! access units and fields of MP4); ETSI TS 103 420, 8.3 (Joint Object Coding).

use super::bits::BitReader;
use crate::{Ac3Config, CodecConfig, Eac3Config, Eac3Substream};

/// PCM samples per channel of an audio block.
const BLOCK_SAMPLES: u32 = 256;

/// Audio blocks of one access unit in MP4 (annex F).
pub const UNIT_BLOCKS: u32 = 6;

const SAMPLE_RATES: [u32; 3] = [48_000, 44_100, 32_000];

/// Bit rates of AC-3 in kbit/s, by `frmsizecod >> 1` (table 4.13).
const BIT_RATES: [u32; 19] = [
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
];

/// Channels by `acmod`, without low frequency effects (table 4.3).
const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];

/// `chanmap` bits (table E.1.4, first location in the highest bit) that `acmod` stands for.
const LOCATIONS: [u16; 8] = [
    0xa000, 0x4000, 0xa000, 0xe000, 0xa100, 0xe100, 0xb800, 0xf800,
];

/// The low frequency effects channel in `chanmap`.
const LFE: u16 = 0x0001;

/// Locations of `chanmap` that are pairs of channels: Lc/Rc, Lrs/Rrs, Lsd/Rsd, Lw/Rw, Lvh/Rvh,
/// Lts/Rts.
const PAIRS: u16 = 0x0674;

/// The header of an AC-3 syncframe: `syncinfo` and the beginning of `bsi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ac3Header {
    /// `fscod`.
    pub fscod: u8,
    /// `frmsizecod`.
    pub frmsizecod: u8,
    /// `bsid`, at most 10.
    pub bsid: u8,
    /// `bsmod`.
    pub bsmod: u8,
    /// `acmod`.
    pub acmod: u8,
    /// `lfeon`.
    pub lfeon: bool,
    /// Sampling rate in Hz.
    pub sample_rate: u32,
    /// Bytes of the syncframe.
    pub frame_len: u16,
}

/// The header of an E-AC-3 syncframe, as far as its `bsid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Eac3Header {
    /// `strmtyp`: 0 independent, 1 dependent, 2 independent and converted from AC-3.
    pub stream_type: u8,
    /// `substreamid`.
    pub substream_id: u8,
    /// `fscod`, 3 at the half rates.
    pub fscod: u8,
    /// Sampling rate in Hz.
    pub sample_rate: u32,
    /// Audio blocks: 1, 2, 3 or 6.
    pub blocks: u8,
    /// `acmod`.
    pub acmod: u8,
    /// `lfeon`.
    pub lfeon: bool,
    /// `bsid`, 11 to 16.
    pub bsid: u8,
    /// Bytes of the syncframe.
    pub frame_len: u16,
}

/// The header of a syncframe, whichever of the two codecs its `bsid` says it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncframeHeader {
    /// AC-3.
    Ac3(Ac3Header),
    /// E-AC-3.
    Eac3(Eac3Header),
}

impl SyncframeHeader {
    /// Bytes that [`parse`](Self::parse) looks at.
    pub const LEN: usize = 7;

    /// Reads the header at the start of `bytes`; `None` where there is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..Self::LEN)?;
        let &[0x0b, 0x77, _, _, _, sixth, _] = bytes else {
            return None;
        };
        match sixth >> 3 {
            bsid @ 0..=10 => parse_ac3(bytes, bsid).map(Self::Ac3),
            bsid @ 11..=16 => parse_eac3(bytes, bsid).map(Self::Eac3),
            _ => None,
        }
    }

    /// Bytes of the syncframe.
    #[must_use]
    pub fn frame_len(&self) -> u16 {
        match self {
            Self::Ac3(h) => h.frame_len,
            Self::Eac3(h) => h.frame_len,
        }
    }

    /// Sampling rate in Hz.
    #[must_use]
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Ac3(h) => h.sample_rate,
            Self::Eac3(h) => h.sample_rate,
        }
    }

    /// Audio blocks that the syncframe adds to its access unit: those of the first program, since
    /// dependent substreams and further programs last as long as it does.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        match self {
            Self::Ac3(_) => UNIT_BLOCKS,
            Self::Eac3(h) if self.is_first_program() => u32::from(h.blocks),
            Self::Eac3(_) => 0,
        }
    }

    /// PCM samples per channel that the syncframe adds to its access unit.
    #[must_use]
    pub fn samples(&self) -> u32 {
        self.blocks().saturating_mul(BLOCK_SAMPLES)
    }

    /// Whether this is the independent substream 0, with which every access unit begins.
    #[must_use]
    pub fn is_first_program(&self) -> bool {
        match self {
            Self::Ac3(_) => true,
            Self::Eac3(h) => h.stream_type != 1 && h.substream_id == 0,
        }
    }

    /// Whether `other` can be of the same stream without a change of configuration.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        if self.sample_rate() != other.sample_rate() {
            return false;
        }
        match (self, other) {
            (Self::Ac3(a), Self::Ac3(b)) => {
                (a.bsid, a.bsmod, a.acmod, a.lfeon, a.frmsizecod >> 1)
                    == (b.bsid, b.bsmod, b.acmod, b.lfeon, b.frmsizecod >> 1)
            }
            (Self::Eac3(a), Self::Eac3(b))
                if self.is_first_program() && other.is_first_program() =>
            {
                (a.acmod, a.lfeon, a.bsid) == (b.acmod, b.lfeon, b.bsid)
            }
            // An AC-3 core, and E-AC-3 substreams that extend it.
            (Self::Eac3(_), Self::Eac3(_)) => true,
            _ => !(self.is_first_program() && other.is_first_program()),
        }
    }
}

fn parse_ac3(bytes: &[u8], bsid: u8) -> Option<Ac3Header> {
    let mut bits = BitReader::new(bytes.get(4..)?);
    let fscod = bits.u8(2)?;
    let full_rate = *SAMPLE_RATES.get(usize::from(fscod))?;
    let frmsizecod = bits.u8(6)?;
    let kbits = *BIT_RATES.get(usize::from(frmsizecod >> 1))?;
    bits.skip(5)?;
    let bsmod = bits.u8(3)?;
    let acmod = bits.u8(3)?;
    // cmixlev, surmixlev and dsurmod.
    if acmod & 1 == 1 && acmod != 1 {
        bits.skip(2)?;
    }
    if acmod & 4 != 0 {
        bits.skip(2)?;
    }
    if acmod == 2 {
        bits.skip(2)?;
    }
    let lfeon = bits.flag()?;
    // A frame is 1536 samples in words of 16 bits, 96,000 / rate words for each kbit/s. At
    // 44.1 kHz that is no whole number, and the lowest bit of frmsizecod adds the odd word.
    let odd = u32::from(fscod == 1 && frmsizecod & 1 == 1);
    let words = kbits
        .checked_mul(96_000)?
        .checked_div(full_rate)?
        .checked_add(odd)?;
    Some(Ac3Header {
        fscod,
        frmsizecod,
        bsid,
        bsmod,
        acmod,
        lfeon,
        // 9 and 10 are the half and quarter rates in common use.
        sample_rate: full_rate >> bsid.saturating_sub(8),
        frame_len: u16::try_from(words.checked_mul(2)?).ok()?,
    })
}

fn parse_eac3(bytes: &[u8], bsid: u8) -> Option<Eac3Header> {
    let mut bits = BitReader::new(bytes.get(2..)?);
    let stream_type = bits.u8(2)?;
    if stream_type == 3 {
        return None;
    }
    let substream_id = bits.u8(3)?;
    let frame_len = bits.u16(11)?.checked_add(1)?.checked_mul(2)?;
    let fscod = bits.u8(2)?;
    let code = bits.u8(2)?;
    let (sample_rate, blocks) = if fscod == 3 {
        (*SAMPLE_RATES.get(usize::from(code))? / 2, 6)
    } else {
        let blocks = *[1, 2, 3, 6].get(usize::from(code))?;
        (*SAMPLE_RATES.get(usize::from(fscod))?, blocks)
    };
    let acmod = bits.u8(3)?;
    let lfeon = bits.flag()?;
    (usize::from(frame_len) > SyncframeHeader::LEN).then_some(Eac3Header {
        stream_type,
        substream_id,
        fscod,
        sample_rate,
        blocks,
        acmod,
        lfeon,
        bsid,
        frame_len,
    })
}

/// What stands behind the header of an E-AC-3 syncframe (`bsi`, table E.1.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Eac3Info {
    chanmap: Option<u16>,
    bsmod: u8,
    joc_complexity: Option<u8>,
}

impl Eac3Info {
    /// Reads as much as there is: what lies behind a field that cannot be read stays at its default.
    fn parse(header: &Eac3Header, frame: &[u8]) -> Self {
        let mut info = Self::default();
        info.read(header, frame);
        info
    }

    fn read(&mut self, header: &Eac3Header, frame: &[u8]) -> Option<()> {
        let mut bits = BitReader::new(frame);
        bits.skip(45)?;
        let programs = if header.acmod == 0 { 2 } else { 1 };
        for _ in 0..programs {
            bits.skip(5)?;
            skip_if_set(&mut bits, 8)?;
        }
        if header.stream_type == 1 && bits.flag()? {
            self.chanmap = Some(bits.u16(16)?);
        }
        if bits.flag()? {
            skip_mixing(&mut bits, header, programs)?;
        }
        if bits.flag()? {
            self.bsmod = bits.u8(3)?;
            bits.skip(2)?;
            if header.acmod == 2 {
                bits.skip(4)?;
            }
            if header.acmod >= 6 {
                bits.skip(2)?;
            }
            for _ in 0..programs {
                skip_if_set(&mut bits, 8)?;
            }
            if header.fscod < 3 {
                bits.skip(1)?;
            }
        }
        if header.stream_type == 0 && header.blocks != 6 {
            bits.skip(1)?;
        }
        if header.stream_type == 2 && (header.blocks == 6 || bits.flag()?) {
            bits.skip(6)?;
        }
        if bits.flag()? {
            // addbsil; then TS 103 420, 8.3: seven reserved bits, the flag, the index.
            let addbsi_len = bits.u(6)?.saturating_add(1);
            bits.skip(7)?;
            if bits.flag()? && addbsi_len >= 2 {
                self.joc_complexity = Some(bits.u8(8)?);
            }
        }
        Some(())
    }
}

fn skip_if_set(bits: &mut BitReader<'_>, count: usize) -> Option<()> {
    if bits.flag()? {
        bits.skip(count)?;
    }
    Some(())
}

fn skip_mixing(bits: &mut BitReader<'_>, header: &Eac3Header, programs: u8) -> Option<()> {
    let acmod = header.acmod;
    if acmod > 2 {
        bits.skip(2)?;
    }
    if acmod & 1 == 1 && acmod > 2 {
        bits.skip(6)?;
    }
    if acmod & 4 != 0 {
        bits.skip(6)?;
    }
    if header.lfeon {
        skip_if_set(bits, 5)?;
    }
    if header.stream_type != 0 {
        return Some(());
    }
    // pgmscl of each program, then extpgmscl.
    for _ in 0..programs {
        skip_if_set(bits, 6)?;
    }
    skip_if_set(bits, 6)?;
    match bits.u8(2)? {
        1 => bits.skip(5)?,
        2 => bits.skip(12)?,
        3 => {
            let len = usize::from(bits.u8(5)?);
            bits.skip(len.saturating_add(2).saturating_mul(8))?;
        }
        _ => {}
    }
    if acmod < 2 {
        for _ in 0..programs {
            skip_if_set(bits, 14)?;
        }
    }
    if bits.flag()? {
        if header.blocks == 1 {
            bits.skip(5)?;
        } else {
            for _ in 0..header.blocks {
                skip_if_set(bits, 5)?;
            }
        }
    }
    Some(())
}

/// The configuration that one access unit needs: all its syncframes, one after the other.
/// `None` when it does not begin with one.
///
/// AC-3 alone is AC-3; a unit with any E-AC-3 in it is E-AC-3.
#[must_use]
pub fn config(unit: &[u8]) -> Option<CodecConfig> {
    let first = SyncframeHeader::parse(unit)?;
    if let SyncframeHeader::Ac3(header) = first {
        let rest = unit
            .get(usize::from(header.frame_len)..)
            .unwrap_or_default();
        if !matches!(SyncframeHeader::parse(rest), Some(SyncframeHeader::Eac3(_))) {
            return Some(CodecConfig::Ac3(ac3_config(&header)));
        }
    }
    Some(CodecConfig::Eac3(eac3_config(unit, &first)))
}

fn ac3_config(header: &Ac3Header) -> Ac3Config {
    Ac3Config {
        sample_rate: header.sample_rate,
        channels: count_channels(header.acmod, header.lfeon),
        fscod: header.fscod,
        bsid: header.bsid,
        bsmod: header.bsmod,
        acmod: header.acmod,
        lfeon: header.lfeon,
        bit_rate_code: header.frmsizecod >> 1,
    }
}

fn eac3_config(unit: &[u8], first: &SyncframeHeader) -> Eac3Config {
    let mut config = Eac3Config {
        sample_rate: first.sample_rate(),
        channels: 0,
        data_rate: data_rate(unit, first.sample_rate()),
        substreams: Vec::new(),
        joc_complexity: None,
    };
    let mut locations = 0u16;
    for (at, (header, frame)) in (Syncframes { rest: unit }).enumerate() {
        if at > 0 && header.is_first_program() {
            // Short syncframes repeat the layout: the first set says it all.
            break;
        }
        let (substream, info) = substream(&header, frame);
        let chanmap = info.chanmap.unwrap_or_else(|| {
            let locations = LOCATIONS.get(usize::from(substream.acmod)).copied();
            locations.unwrap_or_default() | if substream.lfeon { LFE } else { 0 }
        });
        config.joc_complexity = config.joc_complexity.or(info.joc_complexity);
        let dependent = matches!(&header, SyncframeHeader::Eac3(h) if h.stream_type == 1);
        if !dependent {
            // dec3 has room for eight.
            if config.substreams.len() < 8 {
                config.substreams.push(substream);
            }
        } else if let Some(parent) = config.substreams.last_mut() {
            parent.num_dep_sub = parent.num_dep_sub.saturating_add(1).min(15);
            parent.chan_loc |= chan_loc(chanmap);
        }
        if config.substreams.len() == 1 {
            locations |= chanmap;
        }
    }
    let pairs = (locations & PAIRS).count_ones();
    config.channels = u16::try_from(locations.count_ones().saturating_add(pairs)).unwrap_or(0);
    config
}

fn substream(header: &SyncframeHeader, frame: &[u8]) -> (Eac3Substream, Eac3Info) {
    let (info, fscod, bsid, acmod, lfeon) = match header {
        SyncframeHeader::Ac3(h) => {
            let info = Eac3Info {
                bsmod: h.bsmod,
                ..Eac3Info::default()
            };
            (info, h.fscod, h.bsid, h.acmod, h.lfeon)
        }
        SyncframeHeader::Eac3(h) => (Eac3Info::parse(h, frame), h.fscod, h.bsid, h.acmod, h.lfeon),
    };
    let substream = Eac3Substream {
        fscod,
        bsid,
        // The services of table 4.2 that do not stand alone.
        asvc: matches!((info.bsmod, acmod), (2..=6, _) | (7, 1)),
        bsmod: info.bsmod,
        acmod,
        lfeon,
        num_dep_sub: 0,
        chan_loc: 0,
    };
    (substream, info)
}

/// `data_rate` of `dec3`: kbit/s of all substreams together, 13 bits.
fn data_rate(unit: &[u8], sample_rate: u32) -> u16 {
    let samples: u64 = (Syncframes { rest: unit })
        .map(|(header, _)| u64::from(header.samples()))
        .sum();
    let bits = (unit.len() as u64).saturating_mul(8);
    let rate = bits
        .saturating_mul(u64::from(sample_rate))
        .checked_div(samples.saturating_mul(1000))
        .unwrap_or_default();
    u16::try_from(rate.min(0x1fff)).unwrap_or_default()
}

/// `chan_loc` (table F.6.1, first location in the lowest bit) of a `chanmap`: the same locations
/// from Lc/Rc on, in the opposite order, and the second low frequency channel.
fn chan_loc(chanmap: u16) -> u16 {
    let [_, middle] = (chanmap >> 3).to_be_bytes();
    let second_lfe = if chanmap & 2 == 0 { 0 } else { 0x100 };
    u16::from(middle.reverse_bits()) | second_lfe
}

fn count_channels(acmod: u8, lfeon: bool) -> u16 {
    let full = CHANNELS
        .get(usize::from(acmod))
        .copied()
        .unwrap_or_default();
    u16::from(full).saturating_add(u16::from(lfeon))
}

/// The syncframes of an access unit, each with its bytes.
struct Syncframes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Syncframes<'a> {
    type Item = (SyncframeHeader, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = SyncframeHeader::parse(self.rest)?;
        let len = usize::from(header.frame_len());
        let (frame, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, &[]));
        self.rest = rest;
        Some((header, frame))
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bits written one after the other, filled up with zeros to `len` bytes.
    fn frame(len: usize, fields: &[(u32, u32)]) -> Vec<u8> {
        let mut bits: Vec<bool> = Vec::new();
        for &(value, count) in fields {
            bits.extend((0..count).rev().map(|shift| value >> shift & 1 == 1));
        }
        let mut bytes: Vec<u8> = bits
            .chunks(8)
            .map(|byte| {
                byte.iter()
                    .enumerate()
                    .fold(0, |value, (at, &bit)| value | u8::from(bit) << (7 - at))
            })
            .collect();
        bytes.resize(len, 0);
        bytes
    }

    fn ac3(fscod: u32, frmsizecod: u32, bsid: u32, acmod: u32) -> Vec<u8> {
        let head = [(0x0b77, 16), (0, 16), (fscod, 2), (frmsizecod, 6)];
        let lfe = if acmod == 7 { 4 + 1 } else { 1 };
        let rest = [(bsid, 5), (0, 3), (acmod, 3), (1, lfe)];
        frame(16, &[head, rest].concat())
    }

    /// An E-AC-3 syncframe of 32 bytes at 48 kHz, whose fields from dialnorm on are given.
    fn eac3(kind: u32, id: u32, blocks: u32, acmod: u32, lfe: u32, rest: &[(u32, u32)]) -> Vec<u8> {
        let head = [
            (0x0b77, 16),
            (kind, 2),
            (id, 3),
            (15, 11),
            (0, 2),
            (blocks, 2),
            (acmod, 3),
            (lfe, 1),
            (16, 5),
        ];
        frame(32, &[&head[..], rest].concat())
    }

    #[test]
    fn ac3_sizes_follow_the_table() {
        let len = |fscod, code| {
            let header = SyncframeHeader::parse(&ac3(fscod, code, 8, 2));
            header.map(|header| header.frame_len())
        };
        assert_eq!(len(0, 0), Some(128));
        assert_eq!(len(1, 0), Some(138));
        assert_eq!(len(1, 1), Some(140));
        assert_eq!(len(2, 37), Some(3840));
        assert_eq!(len(1, 37), Some(2788));
        assert_eq!(len(0, 38), None);
        assert_eq!(len(3, 0), None);
    }

    #[test]
    fn ac3_configuration() {
        let Some(CodecConfig::Ac3(config)) = config(&ac3(0, 30, 8, 7)) else {
            panic!("AC-3");
        };
        assert_eq!((config.sample_rate, config.channels), (48_000, 6));
        assert_eq!(
            (config.bit_rate_code, config.acmod, config.lfeon),
            (15, 7, true)
        );
        let Some(CodecConfig::Ac3(half)) = super::config(&ac3(0, 30, 9, 1)) else {
            panic!("AC-3");
        };
        assert_eq!((half.sample_rate, half.channels), (24_000, 2));
    }

    #[test]
    fn dependent_substreams_join_their_program() {
        // 5.1, and a dependent substream with Ls, Rs and Lrs/Rrs in the place of its surrounds.
        let mut unit = eac3(0, 0, 3, 7, 1, &[(0, 5), (0, 1), (0, 3)]);
        let chanmap = 0x1800 | 0x0200;
        unit.extend(eac3(
            1,
            0,
            3,
            6,
            0,
            &[(0, 5), (0, 1), (1, 1), (chanmap, 16)],
        ));
        unit.extend(eac3(0, 1, 3, 2, 0, &[]));
        let Some(CodecConfig::Eac3(config)) = config(&unit) else {
            panic!("E-AC-3");
        };
        assert_eq!(config.channels, 8);
        assert_eq!(config.substreams.len(), 2);
        assert_eq!(config.substreams[0].num_dep_sub, 1);
        assert_eq!(config.substreams[0].chan_loc, 0b10);
        assert_eq!(config.substreams[1].num_dep_sub, 0);
        assert_eq!(config.data_rate, 24);
    }

    #[test]
    fn short_syncframes_repeat_the_layout() {
        let short = eac3(0, 0, 0, 2, 0, &[]);
        let unit = short.repeat(6);
        let Some(CodecConfig::Eac3(config)) = config(&unit) else {
            panic!("E-AC-3");
        };
        assert_eq!((config.channels, config.substreams.len()), (2, 1));
        assert_eq!(config.data_rate, 48);
        let header = SyncframeHeader::parse(&short).unwrap();
        assert_eq!((header.blocks(), header.samples()), (1, 256));
    }

    #[test]
    fn an_ac3_core_with_extension_is_eac3() {
        let mut unit = ac3(0, 0, 8, 7);
        unit.resize(128, 0);
        unit.extend(eac3(1, 0, 3, 2, 0, &[(0, 5), (0, 1), (1, 1), (0x0200, 16)]));
        let Some(CodecConfig::Eac3(config)) = config(&unit) else {
            panic!("E-AC-3");
        };
        assert_eq!(config.channels, 8);
        assert_eq!(config.substreams[0].bsid, 8);
    }

    #[test]
    fn joint_object_coding_is_found_behind_the_mixing_metadata() {
        let fields = [
            (0, 5),
            (1, 1),
            (0xaa, 8),
            // mixmdate: dmixmod, levels, lfemixlevcod, pgmscl, extpgmscl, mixdef 3 of two bytes.
            (1, 1),
            (0, 14),
            (1, 1),
            (0, 5),
            (1, 1),
            (0, 6),
            (0, 1),
            (3, 2),
            (0, 5),
            (0, 16),
            (0, 1),
            // infomdate: bsmod, copyright, original, dsurexmod, audprodie, sourcefscod.
            (1, 1),
            (0, 3),
            (0, 2),
            (0, 2),
            (0, 1),
            (0, 1),
            // addbsi of two bytes.
            (1, 1),
            (1, 6),
            (0, 7),
            (1, 1),
            (12, 8),
        ];
        let Some(CodecConfig::Eac3(config)) = config(&eac3(0, 0, 3, 7, 1, &fields)) else {
            panic!("E-AC-3");
        };
        assert_eq!(config.joc_complexity, Some(12));
        assert_eq!(config.channels, 6);
    }

    #[test]
    fn half_rates_always_have_six_blocks() {
        let head = [
            (0x0b77, 16),
            (0, 5),
            (63, 11),
            (3, 2),
            (1, 2),
            (2, 3),
            (0, 1),
            (16, 5),
        ];
        let header = SyncframeHeader::parse(&frame(8, &head)).unwrap();
        assert_eq!((header.sample_rate(), header.samples()), (22_050, 1536));
        assert_eq!(header.frame_len(), 128);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, sync: bool) {
            if let (true, [first, second, ..]) = (sync, bytes.as_mut_slice()) {
                (*first, *second) = (0x0b, 0x77);
            }
            if let Some(header) = SyncframeHeader::parse(&bytes) {
                prop_assert!(usize::from(header.frame_len()) > SyncframeHeader::LEN);
                prop_assert!(config(&bytes).is_some());
            }
        }
    }
}
