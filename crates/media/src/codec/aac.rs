//! AAC in ADTS: ISO/IEC 13818-7, 6.2 and ISO/IEC 14496-3, 1.A.2 (headers), 1.6.2.1
//! (`AudioSpecificConfig`) and 4.4.1.1 (`program_config_element`).

use std::ops::Range;

use bytes::Bytes;

use super::bits::{BitReader, BitWriter};
use crate::AacConfig;

/// Sampling rates by `samplingFrequencyIndex` (ISO/IEC 14496-3, table 1.18); 13 and 14 are
/// reserved and 15, an explicit rate, cannot be in ADTS.
const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// PCM samples per channel of one raw data block; ADTS cannot signal the other length, 960.
const BLOCK_SAMPLES: u16 = 1024;

/// `ID_PCE`, the syntactic element that begins a program config element.
const ID_PCE: u32 = 5;

/// The header of an ADTS frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AdtsHeader {
    /// `audioObjectType`: 1 Main, 2 LC, 3 SSR, 4 LTP.
    pub object_type: u8,
    /// `sampling_frequency_index`, 0 to 12.
    pub sample_rate_index: u8,
    /// Sampling rate of the core in Hz.
    pub sample_rate: u32,
    /// `channel_configuration`, 0 to 7; 0 leaves it to a program config element.
    pub channel_configuration: u8,
    /// Whether CRCs follow the header, and each raw data block where there are several.
    pub protected: bool,
    /// Bytes from the start of the frame to its first raw data block.
    pub header_len: u8,
    /// Bytes of the whole frame, header included.
    pub frame_len: u16,
    /// Raw data blocks in the frame, 1 to 4, each of which is one access unit.
    pub blocks: u8,
}

impl AdtsHeader {
    /// Bytes that [`parse`](Self::parse) looks at.
    pub const LEN: usize = 7;

    /// Reads the header at the start of `bytes`; `None` where there is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(bytes.get(..Self::LEN)?);
        if bits.u(12)? != 0xfff {
            return None;
        }
        // ID tells MPEG-2 from MPEG-4 and changes nothing; layer is always 0.
        bits.skip(1)?;
        if bits.u(2)? != 0 {
            return None;
        }
        let protected = !bits.flag()?;
        let object_type = bits.u8(2)?.saturating_add(1);
        let sample_rate_index = bits.u8(4)?;
        let sample_rate = *SAMPLE_RATES.get(usize::from(sample_rate_index))?;
        bits.skip(1)?;
        let channel_configuration = bits.u8(3)?;
        bits.skip(4)?;
        let frame_len = bits.u16(13)?;
        bits.skip(11)?;
        let further = bits.u8(2)?;
        let checks = if protected {
            // raw_data_block_position of every block but the first, then the CRC.
            further.saturating_mul(2).saturating_add(2)
        } else {
            0
        };
        let header_len = checks.saturating_add(7);
        (frame_len > u16::from(header_len)).then_some(Self {
            object_type,
            sample_rate_index,
            sample_rate,
            channel_configuration,
            protected,
            header_len,
            frame_len,
            blocks: further.saturating_add(1),
        })
    }

    /// Whether `other` can be of the same stream without a change of configuration.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.object_type == other.object_type
            && self.sample_rate_index == other.sample_rate_index
            && self.channel_configuration == other.channel_configuration
    }

    /// The access units of `frame`: where each lies in it, and its PCM samples per channel.
    ///
    /// A frame of several raw data blocks tells where each begins only when it carries CRCs.
    /// Otherwise they stay together in one unit that lasts as long as all of them: only a decoder
    /// could part them.
    #[must_use]
    pub fn units(&self, frame: &[u8]) -> Vec<(Range<usize>, u32)> {
        let samples = u32::from(BLOCK_SAMPLES);
        let body = usize::from(self.header_len)..usize::from(self.frame_len);
        if self.blocks == 1 {
            return vec![(body, samples)];
        }
        self.parted(frame)
            .unwrap_or_else(|| vec![(body, samples.saturating_mul(u32::from(self.blocks)))])
    }

    fn parted(&self, frame: &[u8]) -> Option<Vec<(Range<usize>, u32)>> {
        if !self.protected {
            return None;
        }
        let first = usize::from(self.header_len);
        let mut starts = vec![first];
        let mut bits = BitReader::new(frame.get(Self::LEN..first)?);
        for _ in 1..self.blocks {
            starts.push(first.checked_add(usize::from(bits.u16(16)?))?);
        }
        starts.push(usize::from(self.frame_len));
        starts
            .windows(2)
            .map(|pair| match *pair {
                // Each block is followed by its own CRC.
                [start, next] => {
                    let end = next.checked_sub(2).filter(|&end| end > start)?;
                    Some((start..end, u32::from(BLOCK_SAMPLES)))
                }
                _ => None,
            })
            .collect()
    }

    /// The configuration that the frame with this header and the access unit `body` needs.
    ///
    /// SBR and PS stay implicit (ISO/IEC 14496-3, 1.6.5.2): the configuration is the core's, since
    /// ADTS cannot say whether there is more.
    #[must_use]
    pub fn config(&self, body: &[u8]) -> AacConfig {
        let program = match self.channel_configuration {
            0 => ProgramConfig::parse(body),
            _ => None,
        };
        let channels = match (self.channel_configuration, &program) {
            (0, Some(program)) => program.channels,
            (0, None) => 0,
            (7, _) => 8,
            (channels, _) => u16::from(channels),
        };
        AacConfig {
            audio_specific_config: self.audio_specific_config(program.as_ref()),
            object_type: self.object_type,
            sample_rate: self.sample_rate,
            channels,
            frame_samples: BLOCK_SAMPLES,
        }
    }

    fn audio_specific_config(&self, program: Option<&ProgramConfig>) -> Bytes {
        let mut out = BitWriter::default();
        out.push(u32::from(self.object_type), 5);
        out.push(u32::from(self.sample_rate_index), 4);
        out.push(u32::from(self.channel_configuration), 4);
        // GASpecificConfig: 1024 samples, no core coder, no extension.
        out.push(0, 3);
        if let Some(program) = program {
            for &(value, count) in &program.fields {
                out.push(value, count);
            }
            out.align();
            out.push(u32::try_from(program.comment.len()).unwrap_or_default(), 8);
            for &byte in &program.comment {
                out.push(u32::from(byte), 8);
            }
        }
        out.into_bytes().into()
    }
}

/// A `program_config_element`: which channels there are when no `channel_configuration` fits.
#[derive(Debug)]
struct ProgramConfig {
    channels: u16,
    /// The fields before the comment, as value and width: byte alignment differs between the
    /// stream and the `AudioSpecificConfig`, so the element is not copied as bytes.
    fields: Vec<(u32, u32)>,
    comment: Vec<u8>,
}

impl ProgramConfig {
    /// Reads the element at the start of a raw data block, the one place where encoders put it.
    fn parse(block: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(block);
        if bits.u(3)? != ID_PCE {
            return None;
        }
        Self::read(&mut bits)
    }

    /// Reads the element, which is aligned as `bits` are.
    fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let mut fields = Vec::new();
        let mut take = |count: u32| {
            let value = bits.u(count)?;
            fields.push((value, count));
            Some(value)
        };
        // element_instance_tag, object_type, sampling_frequency_index.
        take(10)?;
        let front = take(4)?;
        let side = take(4)?;
        let back = take(4)?;
        let low = take(2)?;
        let data = take(3)?;
        let coupling = take(4)?;
        // Mono and stereo mixdown elements, then the matrix mixdown.
        for width in [4, 4, 3] {
            if take(1)? == 1 {
                take(width)?;
            }
        }
        let mut channels = low;
        for _ in 0..front.saturating_add(side).saturating_add(back) {
            let pair = take(1)?;
            take(4)?;
            channels = channels.saturating_add(pair).saturating_add(1);
        }
        for _ in 0..low.saturating_add(data) {
            take(4)?;
        }
        for _ in 0..coupling {
            take(5)?;
        }
        bits.align();
        let len = bits.u(8)?;
        let comment = (0..len).map(|_| bits.u8(8)).collect::<Option<_>>()?;
        Some(Self {
            channels: u16::try_from(channels).ok()?,
            fields,
            comment,
        })
    }
}

impl AacConfig {
    /// Reads an `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1). `channels` are those that the
    /// container states: they stand where the configuration leaves them to a program config
    /// element.
    ///
    /// `None` when it ends early or has no sampling rate.
    #[must_use]
    pub fn from_audio_specific_config(config: Bytes, channels: u16) -> Option<Self> {
        let mut bits = BitReader::new(&config);
        let mut object_type = object_type(&mut bits)?;
        let sample_rate = sampling_frequency(&mut bits)?;
        let channel_configuration = bits.u8(4)?;
        // Explicit SBR and PS: the rate above is the core's, the object type of the core follows.
        if matches!(object_type, 5 | 29) {
            sampling_frequency(&mut bits)?;
            object_type = self::object_type(&mut bits)?;
        }
        // frameLengthFlag of GASpecificConfig (4.4.1).
        let short = matches!(object_type, 1..=4 | 6 | 7 | 17 | 19..=23) && bits.flag()?;
        let channels = match channel_configuration {
            0 => channels,
            7 | 12 | 14 => 8,
            11 => 7,
            other => u16::from(other),
        };
        Some(Self {
            object_type,
            sample_rate,
            channels,
            frame_samples: if short { 960 } else { BLOCK_SAMPLES },
            audio_specific_config: config,
        })
    }
}

/// `GetAudioObjectType()`.
fn object_type(bits: &mut BitReader<'_>) -> Option<u8> {
    match bits.u8(5)? {
        31 => bits.u8(6)?.checked_add(32),
        short => Some(short),
    }
}

/// `samplingFrequencyIndex`, or the rate itself.
fn sampling_frequency(bits: &mut BitReader<'_>) -> Option<u32> {
    let rate = match bits.u8(4)? {
        15 => bits.u(24)?,
        index => *SAMPLE_RATES.get(usize::from(index))?,
    };
    (rate > 0).then_some(rate)
}

/// Bits of the `AudioSpecificConfig` at the start of `bytes`, which may go on with something else: so
/// there are no extensions behind it. `None` for object types whose own part is not known.
pub(super) fn specific_config_len(bytes: &[u8]) -> Option<usize> {
    let mut bits = BitReader::new(bytes);
    let mut kind = object_type(&mut bits)?;
    sampling_frequency(&mut bits)?;
    let channel_configuration = bits.u8(4)?;
    if matches!(kind, 5 | 29) {
        sampling_frequency(&mut bits)?;
        kind = object_type(&mut bits)?;
        if kind == 22 {
            bits.skip(4)?;
        }
    }
    if !matches!(kind, 1..=4 | 6 | 7 | 17 | 19..=23) {
        return None;
    }
    // GASpecificConfig (4.4.1): frameLengthFlag, dependsOnCoreCoder, extensionFlag.
    bits.skip(1)?;
    if bits.flag()? {
        bits.skip(14)?;
    }
    let extension = bits.flag()?;
    if channel_configuration == 0 {
        ProgramConfig::read(&mut bits)?;
    }
    if matches!(kind, 6 | 20) {
        bits.skip(3)?;
    }
    if extension {
        match kind {
            22 => bits.skip(16)?,
            17 | 19 | 20 | 23 => bits.skip(3)?,
            _ => {}
        }
        bits.skip(1)?;
    }
    if matches!(kind, 17 | 19..=27 | 39) && bits.u8(2)? >= 2 {
        // Error protection has a configuration of its own.
        return None;
    }
    Some(bits.position())
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An ADTS header: MPEG-4 LC, with the given fields.
    fn header(rate: u32, channels: u32, len: u32, blocks: u32, protected: bool) -> Vec<u8> {
        let mut out = BitWriter::default();
        for (value, count) in [
            (0xfff, 12),
            (0, 3),
            (u32::from(!protected), 1),
            (1, 2),
            (rate, 4),
            (0, 1),
            (channels, 3),
            (0, 4),
            (len, 13),
            (0x7ff, 11),
            (blocks - 1, 2),
        ] {
            out.push(value, count);
        }
        out.into_bytes()
    }

    #[test]
    fn reads_every_rate_and_no_reserved_one() {
        for (index, rate) in SAMPLE_RATES.iter().enumerate() {
            let parsed = AdtsHeader::parse(&header(index as u32, 2, 300, 1, false)).unwrap();
            assert_eq!(parsed.sample_rate, *rate);
            assert_eq!((parsed.header_len, parsed.frame_len), (7, 300));
            assert_eq!(parsed.units(&[]), [(7..300, 1024)]);
        }
        for reserved in 13..16 {
            assert_eq!(AdtsHeader::parse(&header(reserved, 2, 300, 1, false)), None);
        }
        assert_eq!(AdtsHeader::parse(&header(3, 2, 7, 1, false)), None, "empty");
        assert_eq!(AdtsHeader::parse(&header(3, 2, 9, 1, true)), None, "empty");
    }

    #[test]
    fn the_configuration_is_the_core_of_the_stream() {
        let parsed = AdtsHeader::parse(&header(6, 2, 300, 1, false)).unwrap();
        let config = parsed.config(&[0; 8]);
        assert_eq!(&config.audio_specific_config[..], [0x13, 0x10]);
        assert_eq!((config.sample_rate, config.channels), (24_000, 2));
        let parsed = AdtsHeader::parse(&header(4, 7, 300, 1, false)).unwrap();
        assert_eq!(parsed.config(&[]).channels, 8);
    }

    #[test]
    fn a_configuration_is_read_as_it_was_written() {
        for (index, rate) in SAMPLE_RATES.iter().enumerate() {
            let parsed = AdtsHeader::parse(&header(index as u32, 2, 300, 1, false)).unwrap();
            let written = parsed.config(&[]);
            let bytes = written.audio_specific_config.clone();
            let read = AacConfig::from_audio_specific_config(bytes, 0).unwrap();
            assert_eq!(read, written);
            assert_eq!(read.sample_rate, *rate);
        }
        let read = |bytes: &'static [u8]| {
            AacConfig::from_audio_specific_config(Bytes::from_static(bytes), 2)
        };
        let explicit = read(&[0x2b, 0x92, 0x08, 0x00]).unwrap();
        assert_eq!((explicit.object_type, explicit.sample_rate), (2, 22_050));
        assert_eq!(read(&[0x12]), None, "ends early");
        assert_eq!(read(&[0x16, 0x90, 0]), None, "a reserved rate");
        assert_eq!(read(&[0x11, 0x80, 0]).unwrap().channels, 2, "elsewhere");
    }

    #[test]
    fn blocks_are_parted_where_their_places_are_told() {
        let mut frame = header(3, 1, 50, 3, true);
        frame.extend([0, 10, 0, 22]);
        frame.extend([0; 39]);
        let parsed = AdtsHeader::parse(&frame).unwrap();
        assert_eq!(parsed.header_len, 13);
        assert_eq!(
            parsed.units(&frame),
            [(13..21, 1024), (23..33, 1024), (35..48, 1024)]
        );
        frame[8] = 60;
        assert_eq!(parsed.units(&frame), [(13..50, 3072)], "places that lie");
        let parsed = AdtsHeader::parse(&header(3, 1, 50, 4, false)).unwrap();
        assert_eq!(parsed.units(&frame), [(7..50, 4096)]);
    }

    #[test]
    fn a_program_config_element_is_carried_over() {
        // Two front elements (centre, pair), one back pair, one LFE: 5.1 with its own order.
        let mut fields = vec![
            (5, 3),
            (0, 4),
            (1, 2),
            (3, 4),
            (2, 4),
            (0, 4),
            (1, 4),
            (1, 2),
        ];
        fields.extend([(0, 3), (0, 4), (0, 1), (0, 1), (1, 1), (0b101, 3)]);
        fields.extend([(0, 5), (0b10000, 5), (0b10001, 5), (0, 4)]);
        let mut block = BitWriter::default();
        let mut expected = BitWriter::default();
        expected.push(2 << 11 | 3 << 7, 16);
        for (at, &(value, count)) in fields.iter().enumerate() {
            block.push(value, count);
            if at > 0 {
                expected.push(value, count);
            }
        }
        for out in [&mut block, &mut expected] {
            out.align();
            out.push(2, 8);
            out.push(0x4142, 16);
        }
        block.push(0x77, 8);
        let parsed = AdtsHeader::parse(&header(3, 0, 300, 1, false)).unwrap();
        let config = parsed.config(&block.into_bytes());
        assert_eq!(config.channels, 6);
        assert_eq!(config.audio_specific_config, expected.into_bytes());
        let without = parsed.config(&[0x20, 0, 0]);
        assert_eq!(without.channels, 0);
        assert_eq!(&without.audio_specific_config[..], [0x11, 0x80]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, sync: bool) {
            if let (true, [first, second, ..]) = (sync, bytes.as_mut_slice()) {
                *first = 0xff;
                *second = *second & 0x09 | 0xf0;
            }
            if let Some(header) = AdtsHeader::parse(&bytes) {
                let body = bytes.get(usize::from(header.header_len)..).unwrap_or_default();
                let _ = header.config(body);
                for (range, _) in header.units(&bytes) {
                    prop_assert!(range.start < range.end);
                    prop_assert!(range.end <= usize::from(header.frame_len));
                }
            }
            ProgramConfig::parse(&bytes);
        }
    }
}
