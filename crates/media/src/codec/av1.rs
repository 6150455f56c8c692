//! AV1: "AV1 Bitstream & Decoding Process Specification", 5.3 (OBUs), 5.5 (sequence header), 5.9.2
//! (the beginning of a frame header) and 4.10.5 (`leb128`); "AV1 Codec ISO Media File Format
//! Binding", 2.3 (`av1C`) and 2.4 (what a sample holds).

use bytes::Bytes;

use super::bits::{BitReader, BitWriter};
use crate::{Av1Config, Chroma, Colour, Rational, VideoFormat};

/// `OBU_SEQUENCE_HEADER` and the other values of `obu_type` that matter here (6.2.2).
pub mod obu_type {
    #![allow(missing_docs, reason = "as the specification names them")]
    pub const SEQUENCE_HEADER: u8 = 1;
    pub const TEMPORAL_DELIMITER: u8 = 2;
    pub const FRAME_HEADER: u8 = 3;
    pub const TILE_GROUP: u8 = 4;
    pub const METADATA: u8 = 5;
    pub const FRAME: u8 = 6;
    pub const REDUNDANT_FRAME_HEADER: u8 = 7;
    pub const TILE_LIST: u8 = 8;
    pub const PADDING: u8 = 15;
}

/// `obu_header` with `obu_size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObuHeader {
    /// `obu_type`.
    pub obu_type: u8,
    /// Bytes of the header, extension included, without `obu_size`.
    pub header_len: usize,
    /// Bytes of `obu_size`; 0 where it is absent.
    pub size_len: usize,
    /// `obu_size`; `None` where it is absent.
    pub size: Option<usize>,
}

impl ObuHeader {
    /// Reads the header at the start of `bytes`; `None` where there is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(bytes);
        if bits.flag()? {
            return None;
        }
        let obu_type = bits.u8(4)?;
        let (extended, sized) = (bits.flag()?, bits.flag()?);
        if bits.flag()? {
            return None;
        }
        let header_len = if extended { 2 } else { 1 };
        let (size, size_len) = match sized {
            false => (None, 0),
            true => {
                let (size, len) = leb128(bytes.get(header_len..)?)?;
                (Some(size), len)
            }
        };
        Some(Self {
            obu_type,
            header_len,
            size_len,
            size,
        })
    }

    /// Where the payload lies in an OBU of `len` bytes; `None` where it does not fit.
    #[must_use]
    pub fn payload(&self, len: usize) -> Option<std::ops::Range<usize>> {
        let start = self.header_len.checked_add(self.size_len)?;
        let end = match self.size {
            Some(size) => start.checked_add(size)?,
            None => len,
        };
        (start <= end && end <= len).then_some(start..end)
    }
}

/// A value of `leb128()`, and its bytes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        let shift = u32::try_from(at).ok()?.checked_mul(7)?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((usize::try_from(value).ok()?, at.checked_add(1)?));
        }
    }
    None
}

/// `value` as `leb128()`.
#[must_use]
pub fn to_leb128(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// What a sequence header says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SequenceHeader {
    /// `seq_profile`.
    pub profile: u8,
    /// `seq_level_idx[0]`.
    pub level: u8,
    /// `seq_tier[0]`.
    pub high_tier: bool,
    /// `reduced_still_picture_header`: frame headers have no type.
    pub reduced: bool,
    /// `initial_display_delay_minus_1[0]`, where it is stated.
    pub initial_display_delay: Option<u8>,
    /// `chroma_sample_position`.
    pub chroma_sample_position: u8,
    /// The pictures.
    pub video: VideoFormat,
}

impl SequenceHeader {
    /// Reads the payload of a sequence header OBU.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let bits = &mut BitReader::new(payload);
        let profile = bits.u8(3)?;
        bits.skip(1)?;
        let reduced = bits.flag()?;
        let (mut level, mut high_tier) = (0, false);
        let (mut frame_rate, mut initial_display_delay) = (None, None);
        if reduced {
            level = bits.u8(5)?;
        } else {
            let mut delay_bits = None;
            if bits.flag()? {
                let (den, num) = (bits.u(32)?, bits.u(32)?);
                if bits.flag()? {
                    // num_ticks_per_picture_minus_1 is as Exp-Golomb codes are.
                    let ticks = bits.ue()?.checked_add(1)?;
                    let den = den.checked_mul(ticks).filter(|&den| den > 0 && num > 0);
                    frame_rate = den.map(|den| Rational { num, den });
                }
                if bits.flag()? {
                    delay_bits = Some(u32::from(bits.u8(5)?).checked_add(1)?);
                    // num_units_in_decoding_tick and two lengths.
                    bits.skip(42)?;
                }
            }
            let delays = bits.flag()?;
            let points = bits.u8(5)?.checked_add(1)?;
            for point in 0..points {
                bits.skip(12)?;
                let index = bits.u8(5)?;
                let tier = index > 7 && bits.flag()?;
                if let Some(count) = delay_bits
                    && bits.flag()?
                {
                    bits.skip(
                        usize::try_from(count)
                            .ok()?
                            .checked_mul(2)?
                            .checked_add(1)?,
                    )?;
                }
                let delay = if delays && bits.flag()? {
                    Some(bits.u8(4)?)
                } else {
                    None
                };
                if point == 0 {
                    (level, high_tier, initial_display_delay) = (index, tier, delay);
                }
            }
        }
        let (width_bits, height_bits) = (bits.u(4)?.checked_add(1)?, bits.u(4)?.checked_add(1)?);
        let width = bits.u(width_bits)?.checked_add(1)?;
        let height = bits.u(height_bits)?.checked_add(1)?;
        if !reduced && bits.flag()? {
            bits.skip(7)?;
        }
        // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter.
        bits.skip(3)?;
        if !reduced {
            tools(bits)?;
        }
        // enable_superres, enable_cdef, enable_restoration.
        bits.skip(3)?;
        let colour = ColourConfig::read(bits, profile)?;
        Some(Self {
            profile,
            level,
            high_tier,
            reduced,
            initial_display_delay,
            chroma_sample_position: colour.position,
            video: VideoFormat {
                width,
                height,
                sample_aspect_ratio: None,
                colour: colour.colour,
                frame_rate,
                chroma: colour.chroma,
                bit_depth_luma: colour.depth,
                bit_depth_chroma: colour.depth,
                // A temporal unit is presented when its time has come, whatever it holds.
                reorder_depth: Some(0),
                ..VideoFormat::default()
            },
        })
    }

    /// The configuration that it makes; `payload` is what it was read from.
    #[must_use]
    pub fn config(&self, payload: &[u8]) -> Av1Config {
        let (mono, sub_x, sub_y) = match self.video.chroma {
            Chroma::Monochrome => (1, 1, 1),
            Chroma::Yuv420 => (0, 1, 1),
            Chroma::Yuv422 => (0, 1, 0),
            Chroma::Yuv444 => (0, 0, 0),
        };
        let depth = self.video.bit_depth_luma;
        let mut bits = BitWriter::default();
        for (value, count) in [
            // marker and version.
            (0x81, 8),
            (self.profile.into(), 3),
            (self.level.into(), 5),
            (self.high_tier.into(), 1),
            (u32::from(depth > 8), 1),
            (u32::from(depth > 10), 1),
            (mono, 1),
            (sub_x, 1),
            (sub_y, 1),
            (self.chroma_sample_position.into(), 2),
            (0, 3),
            (u32::from(self.initial_display_delay.is_some()), 1),
            (self.initial_display_delay.unwrap_or(0).into(), 4),
        ] {
            bits.push(value, count);
        }
        let mut record = bits.into_bytes();
        record.push((obu_type::SEQUENCE_HEADER << 3) | 2);
        record.extend(to_leb128(payload.len()));
        record.extend_from_slice(payload);
        Av1Config {
            record: Bytes::from(record),
            profile: self.profile,
            level: self.level,
            high_tier: self.high_tier,
            video: self.video.clone(),
        }
    }

    /// Whether the frame whose header begins `payload` is a key frame that is shown: where decoding
    /// can start ("AV1 Codec ISO Media File Format Binding", 2.5).
    #[must_use]
    pub fn is_shown_key_frame(&self, payload: &[u8]) -> bool {
        // show_existing_frame, frame_type, show_frame.
        self.reduced || payload.first().is_some_and(|&first| first & 0xf0 == 0x10)
    }
}

/// The coding tools of a sequence header, from `enable_interintra_compound` on.
fn tools(bits: &mut BitReader<'_>) -> Option<()> {
    bits.skip(4)?;
    if bits.flag()? {
        // enable_jnt_comp and enable_ref_frame_mvs.
        bits.skip(2)?;
        hint(bits)?;
        bits.skip(3)?;
    } else {
        hint(bits)?;
    }
    Some(())
}

/// Screen content tools: `seq_choose_screen_content_tools` and what depends on it.
fn hint(bits: &mut BitReader<'_>) -> Option<()> {
    let forced = bits.flag()? || bits.flag()?;
    if forced && !bits.flag()? {
        bits.skip(1)?;
    }
    Some(())
}

/// `color_config()` (5.5.2).
struct ColourConfig {
    depth: u8,
    chroma: Chroma,
    colour: Option<Colour>,
    position: u8,
}

impl ColourConfig {
    fn read(bits: &mut BitReader<'_>, profile: u8) -> Option<Self> {
        let high = bits.flag()?;
        let depth = match (profile, high) {
            (2, true) if bits.flag()? => 12,
            (_, true) => 10,
            (_, false) => 8,
        };
        let mono = profile != 1 && bits.flag()?;
        let codes = match bits.flag()? {
            true => Some((bits.u8(8)?, bits.u8(8)?, bits.u8(8)?)),
            false => None,
        };
        let (primaries, transfer, matrix) = codes.unwrap_or((2, 2, 2));
        let colour = |full_range| {
            codes.map(|_| Colour {
                primaries,
                transfer,
                matrix,
                full_range,
            })
        };
        if mono {
            return Some(Self {
                depth,
                chroma: Chroma::Monochrome,
                colour: colour(bits.flag()?),
                position: 0,
            });
        }
        // sRGB.
        if (primaries, transfer, matrix) == (1, 13, 0) {
            return Some(Self {
                depth,
                chroma: Chroma::Yuv444,
                colour: colour(true),
                position: 0,
            });
        }
        let full_range = bits.flag()?;
        let (half_width, half_height) = match profile {
            0 => (true, true),
            1 => (false, false),
            _ if depth == 12 => {
                let half = bits.flag()?;
                (half, half && bits.flag()?)
            }
            _ => (true, false),
        };
        let (chroma, position) = match (half_width, half_height) {
            (true, true) => (Chroma::Yuv420, bits.u8(2)?),
            (true, false) => (Chroma::Yuv422, 0),
            _ => (Chroma::Yuv444, 0),
        };
        Some(Self {
            depth,
            chroma,
            colour: colour(full_range),
            position,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// SVT-AV1, 320x180, 8 bits, 4:2:0.
    const SVT: [u8; 11] = [
        0x00, 0x00, 0x00, 0x04, 0x3c, 0xfe, 0xcc, 0xfb, 0xf9, 0x00, 0x40,
    ];

    #[test]
    fn a_sequence_header() {
        let header = SequenceHeader::parse(&SVT).unwrap();
        assert_eq!((header.video.width, header.video.height), (320, 180));
        assert_eq!(
            (header.profile, header.level, header.high_tier),
            (0, 0, false)
        );
        assert_eq!(
            (header.video.bit_depth_luma, header.video.chroma),
            (8, Chroma::Yuv420)
        );
        let config = header.config(&SVT);
        assert_eq!(config.record[..6], [0x81, 0x00, 0x0c, 0x00, 0x0a, 0x0b]);
        assert_eq!(config.record[6..], SVT);
    }

    #[test]
    fn sizes() {
        for value in [0usize, 1, 127, 128, 300, 1 << 20] {
            let bytes = to_leb128(value);
            assert_eq!(leb128(&bytes), Some((value, bytes.len())));
        }
        assert_eq!(leb128(&[0x80; 9]), None);
        let delimiter = ObuHeader::parse(&[0x12, 0x00]).unwrap();
        assert_eq!(delimiter.obu_type, obu_type::TEMPORAL_DELIMITER);
        assert_eq!(delimiter.payload(2), Some(2..2));
        assert_eq!(ObuHeader::parse(&[0x92, 0]), None, "the forbidden bit");
        let unsized_obu = ObuHeader::parse(&[0x30]).unwrap();
        assert_eq!(unsized_obu.payload(9), Some(1..9));
    }

    #[test]
    fn a_key_frame_is_one_when_it_is_shown() {
        let header = SequenceHeader {
            profile: 0,
            level: 0,
            high_tier: false,
            reduced: false,
            initial_display_delay: None,
            chroma_sample_position: 0,
            video: VideoFormat::default(),
        };
        assert!(header.is_shown_key_frame(&[0b0001_0000]));
        for other in [0b0000_0000, 0b0011_0000, 0b1000_0000] {
            assert!(!header.is_shown_key_frame(&[other]), "{other:#010b}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Some(header) = SequenceHeader::parse(&bytes) {
                prop_assert!(header.config(&bytes).record.len() > bytes.len());
            }
            if let Some(header) = ObuHeader::parse(&bytes) {
                let payload = header.payload(bytes.len());
                prop_assert!(payload.is_none_or(|payload| payload.end <= bytes.len()));
            }
        }
    }
}
