//! MPEG-2 video headers (Rec. ITU-T H.262 | ISO/IEC 13818-2): sequence header and extensions
//! (6.2.2.1, 6.2.2.3, 6.2.2.4), group of pictures (6.2.2.6), picture header and coding extension
//! (6.2.3, 6.2.3.1); and those of MPEG-1 video (ISO/IEC 11172-2, 2.4.2), which are the same without
//! the extensions.
//!
//! Headers are given from the byte after `00 00 01`: the start code value, then the header.

use bytes::Bytes;

use crate::codec::bits::BitReader;
use crate::{Chroma, Colour, Mpeg2VideoConfig, Rational, VideoFormat};

/// Start code values (Table 6-1).
pub mod start_code {
    /// `picture_start_code`.
    pub const PICTURE: u8 = 0x00;
    /// The last `slice_start_code`; the first is 0x01.
    pub const LAST_SLICE: u8 = 0xaf;
    /// `user_data_start_code`.
    pub const USER_DATA: u8 = 0xb2;
    /// `sequence_header_code`.
    pub const SEQUENCE: u8 = 0xb3;
    /// `extension_start_code`.
    pub const EXTENSION: u8 = 0xb5;
    /// `sequence_end_code`.
    pub const SEQUENCE_END: u8 = 0xb7;
    /// `group_start_code`.
    pub const GROUP: u8 = 0xb8;
}

/// `picture_coding_type` (Table 6-12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureType {
    /// Intra-coded.
    I,
    /// Predicted.
    P,
    /// Bidirectionally predicted.
    B,
    /// MPEG-1's pictures of DC coefficients alone.
    D,
}

/// A picture header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureHeader {
    /// `temporal_reference`: its place in output order in the group of pictures, modulo 1024.
    pub temporal_reference: u16,
    /// `picture_coding_type`.
    pub picture_type: PictureType,
}

impl PictureHeader {
    /// Reads a picture header.
    #[must_use]
    pub fn parse(header: &[u8]) -> Option<Self> {
        let bits = &mut after(header, start_code::PICTURE)?;
        Some(Self {
            temporal_reference: bits.u16(10)?,
            picture_type: match bits.u(3)? {
                1 => PictureType::I,
                2 => PictureType::P,
                3 => PictureType::B,
                4 => PictureType::D,
                _ => return None,
            },
        })
    }
}

/// `picture_structure` of a picture coding extension (Table 6-14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PictureStructure {
    /// A whole frame; all that MPEG-1 has.
    #[default]
    Frame,
    /// The field of the odd lines.
    TopField,
    /// The field of the even lines.
    BottomField,
}

impl PictureStructure {
    /// Reads an extension; `None` where it is no picture coding extension.
    #[must_use]
    pub fn parse(extension: &[u8]) -> Option<Self> {
        let bits = &mut after(extension, start_code::EXTENSION)?;
        if bits.u(4)? != 8 {
            return None;
        }
        bits.skip(18)?;
        match bits.u(2)? {
            1 => Some(Self::TopField),
            2 => Some(Self::BottomField),
            3 => Some(Self::Frame),
            _ => None,
        }
    }
}

/// A group of pictures header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupHeader {
    /// `closed_gop`: the B-pictures that follow its first I-picture need nothing before it.
    pub closed: bool,
    /// `broken_link`: those B-pictures cannot be decoded.
    pub broken_link: bool,
}

impl GroupHeader {
    /// Reads a group of pictures header.
    #[must_use]
    pub fn parse(header: &[u8]) -> Option<Self> {
        let bits = &mut after(header, start_code::GROUP)?;
        bits.skip(25)?;
        Some(Self {
            closed: bits.flag()?,
            broken_link: bits.flag()?,
        })
    }
}

/// Whether an extension belongs to the sequence header before it, and not to a picture.
#[must_use]
pub fn is_sequence_extension(extension: &[u8]) -> bool {
    after(extension, start_code::EXTENSION)
        .and_then(|mut bits| bits.u(4))
        .is_some_and(|id| matches!(id, 1 | 2 | 5))
}

impl Mpeg2VideoConfig {
    /// The configuration that a sequence header with its extensions makes, start codes included.
    #[must_use]
    pub fn from_sequence_header(sequence_header: Bytes) -> Option<Self> {
        let mut sequence = None;
        let mut rest = sequence_header.as_ref();
        while let Some(([0, 0, 1], header)) = rest.split_at_checked(3) {
            let next = header
                .windows(3)
                .position(|window| window == [0, 0, 1])
                .unwrap_or(header.len());
            let (header, after) = header.split_at_checked(next)?;
            match sequence.as_mut() {
                None => sequence = Some(Sequence::parse(header)?),
                Some(sequence) => drop(sequence.extend(header)),
            }
            rest = after;
        }
        let (video, object_type) = sequence?.finish();
        Some(Self {
            sequence_header,
            object_type,
            video,
        })
    }
}

/// What the headers of a sequence have told so far.
struct Sequence {
    video: VideoFormat,
    object_type: u8,
    /// `aspect_ratio_information`, which MPEG-1 and MPEG-2 read differently.
    aspect: u8,
    /// `display_horizontal_size` and `display_vertical_size`.
    display: Option<(u32, u32)>,
}

impl Sequence {
    fn parse(header: &[u8]) -> Option<Self> {
        let bits = &mut after(header, start_code::SEQUENCE)?;
        let width = bits.u(12)?;
        let height = bits.u(12)?;
        let aspect = bits.u8(4)?;
        let rate = bits.u8(4)?;
        if width == 0 || height == 0 {
            return None;
        }
        Some(Self {
            video: VideoFormat {
                width,
                height,
                frame_rate: frame_rate(rate),
                bit_depth_luma: 8,
                bit_depth_chroma: 8,
                ..VideoFormat::default()
            },
            object_type: MPEG1,
            aspect,
            display: None,
        })
    }

    fn extend(&mut self, extension: &[u8]) -> Option<()> {
        let bits = &mut after(extension, start_code::EXTENSION)?;
        match bits.u(4)? {
            1 => self.sequence_extension(bits),
            2 => self.display_extension(bits),
            _ => None,
        }
    }

    fn sequence_extension(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        let profile_and_level = bits.u8(8)?;
        bits.skip(1)?;
        let chroma = bits.u(2)?;
        let width = bits.u(2)?;
        let height = bits.u(2)?;
        bits.skip(21)?;
        let low_delay = bits.flag()?;
        let num = bits.u(2)?.saturating_add(1);
        let den = bits.u(5)?.saturating_add(1);
        let video = &mut self.video;
        video.width |= width << 12;
        video.height |= height << 12;
        video.chroma = match chroma {
            2 => Chroma::Yuv422,
            3 => Chroma::Yuv444,
            _ => Chroma::Yuv420,
        };
        if let Some(rate) = video.frame_rate.as_mut() {
            rate.num = rate.num.saturating_mul(num);
            rate.den = rate.den.saturating_mul(den);
        }
        // Table 6-3: a B-picture follows the I- or P-picture that is displayed after it.
        video.reorder_depth = Some(u8::from(!low_delay));
        self.object_type = match (profile_and_level >> 4) & 7 {
            5 => 0x60,
            3 => 0x62,
            2 => 0x63,
            1 => 0x64,
            _ if profile_and_level & 0x80 != 0 => 0x65,
            _ => 0x61,
        };
        Some(())
    }

    fn display_extension(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        bits.skip(3)?;
        if bits.flag()? {
            self.video.colour = Some(Colour {
                primaries: bits.u8(8)?,
                transfer: bits.u8(8)?,
                matrix: bits.u8(8)?,
                full_range: false,
            });
        }
        let width = bits.u(14)?;
        bits.skip(1)?;
        let height = bits.u(14)?;
        self.display = (width > 0 && height > 0).then_some((width, height));
        Some(())
    }

    fn finish(self) -> (VideoFormat, u8) {
        let mut video = self.video;
        video.sample_aspect_ratio = if self.object_type == MPEG1 {
            mpeg1_aspect(self.aspect)
        } else {
            mpeg2_aspect(
                self.aspect,
                self.display.unwrap_or((video.width, video.height)),
            )
        };
        (video, self.object_type)
    }
}

/// `objectTypeIndication` of MPEG-1 video: a sequence header without sequence extension.
const MPEG1: u8 = 0x6a;

/// A reader behind the start code value, if that is `code`.
fn after(header: &[u8], code: u8) -> Option<BitReader<'_>> {
    let (&value, rest) = header.split_first()?;
    (value == code).then(|| BitReader::new(rest))
}

/// Table 6-4.
fn frame_rate(code: u8) -> Option<Rational> {
    let (num, den) = match code {
        1 => (24_000, 1001),
        2 => (24, 1),
        3 => (25, 1),
        4 => (30_000, 1001),
        5 => (30, 1),
        6 => (50, 1),
        7 => (60_000, 1001),
        8 => (60, 1),
        _ => return None,
    };
    Some(Rational { num, den })
}

/// Table 6-3: the aspect ratio of the display, which `size` fills.
fn mpeg2_aspect(code: u8, size: (u32, u32)) -> Option<Rational> {
    let (across, down) = match code {
        1 => return Some(Rational { num: 1, den: 1 }),
        2 => (4u32, 3u32),
        3 => (16, 9),
        4 => (221, 100),
        _ => return None,
    };
    // At most 16 bits times 221.
    let num = across.checked_mul(size.1)?;
    let den = down.checked_mul(size.0)?;
    let divisor = gcd(num, den);
    Some(Rational {
        num: num.checked_div(divisor)?,
        den: den.checked_div(divisor)?,
    })
}

/// ISO/IEC 11172-2, 2.4.3.2: height over width of a sample, in ten thousandths.
fn mpeg1_aspect(code: u8) -> Option<Rational> {
    let den = match code {
        1 => 10_000,
        2 => 6_735,
        3 => 7_031,
        4 => 7_615,
        5 => 8_055,
        6 => 8_437,
        7 => 8_935,
        8 => 9_157,
        9 => 9_815,
        10 => 10_255,
        11 => 10_695,
        12 => 10_950,
        13 => 11_575,
        14 => 12_015,
        _ => return None,
    };
    let divisor = gcd(10_000, den);
    Some(Rational {
        num: 10_000u32.checked_div(divisor)?,
        den: den.checked_div(divisor)?,
    })
}

fn gcd(mut a: u32, mut b: u32) -> u32 {
    while let Some(rest) = a.checked_rem(b) {
        a = b;
        b = rest;
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 720x576 at 25 frames/s, 16:9, main profile at main level, interlaced.
    const HEADER: [u8; 22] = [
        0, 0, 1, 0xb3, 0x2d, 0x02, 0x40, 0x33, 0x24, 0x9f, 0x23, 0x81, 0, 0, 1, 0xb5, 0x14, 0x82,
        0x00, 0x01, 0x00, 0x00,
    ];

    #[test]
    fn reads_a_sequence() {
        let config = Mpeg2VideoConfig::from_sequence_header(Bytes::from_static(&HEADER)).unwrap();
        assert_eq!(config.object_type, 0x61);
        assert_eq!((config.video.width, config.video.height), (720, 576));
        assert_eq!(config.video.frame_rate, Some(Rational { num: 25, den: 1 }));
        assert_eq!(
            config.video.sample_aspect_ratio,
            Some(Rational { num: 64, den: 45 })
        );
        let mpeg1 = Bytes::from_static(&HEADER[..12]);
        let mpeg1 = Mpeg2VideoConfig::from_sequence_header(mpeg1).unwrap();
        assert_eq!(mpeg1.object_type, 0x6a);
    }

    #[test]
    fn cut_headers_are_none() {
        for len in 0..12 {
            let header = Bytes::from_static(&HEADER[..len.min(8)]);
            let _ = Mpeg2VideoConfig::from_sequence_header(header);
        }
        assert!(Mpeg2VideoConfig::from_sequence_header(Bytes::new()).is_none());
        assert!(PictureHeader::parse(&[0, 0x00]).is_none());
        assert!(GroupHeader::parse(&[0xb8]).is_none());
    }

    #[test]
    fn reads_picture_headers() {
        let header = PictureHeader::parse(&[0, 0x00, 0x8f, 0xff]).unwrap();
        assert_eq!(header.temporal_reference, 2);
        assert_eq!(header.picture_type, PictureType::I);
        let structure = PictureStructure::parse(&[0xb5, 0x8f, 0xff, 0xf5, 0x80]);
        assert_eq!(structure, Some(PictureStructure::TopField));
    }
}
