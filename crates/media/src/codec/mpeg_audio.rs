//! MPEG audio layers I to III: ISO/IEC 11172-3, 2.4.1.3 and 2.4.2.3; the half rates of
//! ISO/IEC 13818-3, 2.4.2.3; and the quarter rates that are called MPEG-2.5.

use crate::MpegAudioConfig;

/// Bit rates in kbit/s by `bitrate_index`, for MPEG-1 layers I, II, III.
const FULL: [[u32; 14]; 3] = [
    [
        32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
    ],
    [
        32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
    ],
    [
        32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ],
];

/// The same for the half and quarter rates: layer I, then layers II and III.
const HALF: [[u32; 14]; 2] = [
    [
        32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
    ],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// The header of an MPEG audio frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MpegAudioHeader {
    /// 1, 2 or 3.
    pub layer: u8,
    /// Sampling rate in Hz.
    pub sample_rate: u32,
    /// Channels: 1 or 2.
    pub channels: u8,
    /// PCM samples per channel in the frame.
    pub samples: u16,
    /// Bytes of the whole frame, header included.
    pub frame_len: u16,
}

impl MpegAudioHeader {
    /// Bytes that [`parse`](Self::parse) looks at.
    pub const LEN: usize = 4;

    /// Reads the header at the start of `bytes`; `None` where there is none, or one of free format,
    /// which does not say how long the frame is.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[0xff, second, third, fourth] = bytes.get(..Self::LEN)? else {
            return None;
        };
        if second & 0xe0 != 0xe0 {
            return None;
        }
        let halvings = match (second >> 3) & 3 {
            0 => 2u32,
            2 => 1,
            3 => 0,
            _ => return None,
        };
        let layer = match (second >> 1) & 3 {
            3 => 1u8,
            2 => 2,
            1 => 3,
            _ => return None,
        };
        let rates = match (halvings, layer) {
            (0, _) => FULL.get(usize::from(layer).checked_sub(1)?)?,
            (_, 1) => HALF.first()?,
            _ => HALF.get(1)?,
        };
        // Index 0 is free format, 15 is forbidden.
        let bit_rate = rates
            .get(usize::from(third >> 4).checked_sub(1)?)?
            .checked_mul(1000)?;
        let full_rate = *[44_100u32, 48_000, 32_000].get(usize::from((third >> 2) & 3))?;
        let sample_rate = full_rate >> halvings;
        let samples = match (layer, halvings) {
            (1, _) => 384u16,
            (3, 1..) => 576,
            _ => 1152,
        };
        // Slots are four bytes in layer I, one byte in the others.
        let slot = if layer == 1 { 4u32 } else { 1 };
        let slots = u32::from(samples / 8)
            .checked_mul(bit_rate)?
            .checked_div(sample_rate)?
            .checked_div(slot)?
            .checked_add(u32::from((third >> 1) & 1))?;
        Some(Self {
            layer,
            sample_rate,
            channels: if fourth >> 6 == 3 { 1 } else { 2 },
            samples,
            frame_len: u16::try_from(slots.checked_mul(slot)?).ok()?,
        })
    }

    /// Whether `other` can be of the same stream without a change of configuration.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.layer == other.layer
            && self.sample_rate == other.sample_rate
            && self.channels == other.channels
    }

    /// The configuration that the frame needs.
    #[must_use]
    pub fn config(&self) -> MpegAudioConfig {
        MpegAudioConfig {
            layer: self.layer,
            sample_rate: self.sample_rate,
            channels: u16::from(self.channels),
            frame_samples: self.samples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: [u8; 4]) -> Option<(u8, u32, u8, u16, u16)> {
        MpegAudioHeader::parse(&bytes)
            .map(|h| (h.layer, h.sample_rate, h.channels, h.samples, h.frame_len))
    }

    #[test]
    fn reads_each_layer_and_version() {
        // MPEG-1: layer III 128 kbit/s 44.1 kHz, without and with padding.
        assert_eq!(
            parse([0xff, 0xfb, 0x90, 0x00]),
            Some((3, 44_100, 2, 1152, 417))
        );
        assert_eq!(
            parse([0xff, 0xfb, 0x92, 0xc0]),
            Some((3, 44_100, 1, 1152, 418))
        );
        // Layer II 192 kbit/s 48 kHz, layer I 384 kbit/s 32 kHz.
        assert_eq!(
            parse([0xff, 0xfd, 0xa4, 0x40]),
            Some((2, 48_000, 2, 1152, 576))
        );
        assert_eq!(
            parse([0xff, 0xff, 0xc8, 0x00]),
            Some((1, 32_000, 2, 384, 576))
        );
        // MPEG-2 layer III 64 kbit/s 22.05 kHz, MPEG-2.5 layer III 16 kbit/s 8 kHz.
        assert_eq!(
            parse([0xff, 0xf3, 0x80, 0xc0]),
            Some((3, 22_050, 1, 576, 208))
        );
        assert_eq!(
            parse([0xff, 0xe3, 0x28, 0xc0]),
            Some((3, 8_000, 1, 576, 144))
        );
    }

    #[test]
    fn refuses_what_is_reserved_or_without_length() {
        assert_eq!(parse([0xff, 0xfb, 0x00, 0x00]), None, "free format");
        assert_eq!(parse([0xff, 0xfb, 0xf0, 0x00]), None, "bit rate");
        assert_eq!(parse([0xff, 0xfb, 0x9c, 0x00]), None, "sampling rate");
        assert_eq!(parse([0xff, 0xf9, 0x90, 0x00]), None, "layer");
        assert_eq!(parse([0xff, 0xeb, 0x90, 0x00]), None, "version");
        assert_eq!(MpegAudioHeader::parse(&[0xff, 0xfb, 0x90]), None, "short");
    }

    proptest! {
        #[test]
        fn a_frame_holds_more_than_its_header(second in 0xe0u8.., third: u8, fourth: u8) {
            if let Some(header) = MpegAudioHeader::parse(&[0xff, second, third, fourth]) {
                prop_assert!(usize::from(header.frame_len) > MpegAudioHeader::LEN);
            }
        }
    }
}
