//! Opus in MPEG-TS: the control header and channel configuration of ETSI TS 103 491, clauses 5
//! and 6, and the table of contents byte of RFC 6716, 3.1.

use bytes::Bytes;

use crate::OpusConfig;

/// The longest packet taken for one. RFC 6716 allows 120 ms in frames of at most 1275 bytes each;
/// no honest encoder comes near this, eight channels included.
const MAX_PACKET: usize = 1 << 16;

/// 120 ms at 48 kHz (RFC 6716, 3.2.5).
const MAX_SAMPLES: u32 = 5760;

/// Why there is no [`ControlHeader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlHeaderError {
    /// The bytes end inside the header.
    #[error("Opus control header ends early")]
    Truncated,
    /// The bytes are no header.
    #[error("no Opus control header")]
    Invalid,
}

/// `opus_control_header`, which precedes each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ControlHeader {
    /// Bytes of the header itself.
    pub header_len: usize,
    /// Bytes of the Opus packet that follows.
    pub packet_len: usize,
    /// Samples at 48 kHz to drop from the start of the decoded packet.
    pub start_trim: u16,
    /// Samples at 48 kHz to drop from its end.
    pub end_trim: u16,
}

impl ControlHeader {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// When there is none, or not yet all of it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ControlHeaderError> {
        let mut reader = Reader { bytes, at: 0 };
        let first = reader.byte()?;
        if first != 0x7f {
            return Err(ControlHeaderError::Invalid);
        }
        let second = reader.byte()?;
        if second & 0xe0 != 0xe0 {
            return Err(ControlHeaderError::Invalid);
        }
        let mut packet_len = 0usize;
        loop {
            let byte = reader.byte()?;
            packet_len = packet_len.saturating_add(usize::from(byte));
            if packet_len > MAX_PACKET {
                return Err(ControlHeaderError::Invalid);
            }
            if byte != 0xff {
                break;
            }
        }
        if packet_len == 0 {
            return Err(ControlHeaderError::Invalid);
        }
        let mut trim = |present: bool| {
            if present {
                let bytes = [reader.byte()?, reader.byte()?];
                Ok(u16::from_be_bytes(bytes) & 0x1fff)
            } else {
                Ok(0)
            }
        };
        let start_trim = trim(second & 0x10 != 0)?;
        let end_trim = trim(second & 0x08 != 0)?;
        if second & 0x04 != 0 {
            let extension = usize::from(reader.byte()?);
            reader.at = reader.at.saturating_add(extension);
            if reader.at > bytes.len() {
                return Err(ControlHeaderError::Truncated);
            }
        }
        Ok(Self {
            header_len: reader.at,
            packet_len,
            start_trim,
            end_trim,
        })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, ControlHeaderError> {
        let byte = self.bytes.get(self.at).copied();
        self.at = self.at.saturating_add(1);
        byte.ok_or(ControlHeaderError::Truncated)
    }
}

/// How long `packet` lasts, in samples at 48 kHz; `None` when it is no Opus packet.
#[must_use]
pub fn packet_samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frame: u32 = match toc >> 3 {
        config @ 0..=11 => *[480, 960, 1920, 2880].get(usize::from(config & 3))?,
        config @ 12..=15 => *[480, 960].get(usize::from(config & 1))?,
        config => *[120, 240, 480, 960].get(usize::from(config & 3))?,
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1)? & 0x3f,
    };
    let samples = frame.checked_mul(u32::from(frames))?;
    (1..=MAX_SAMPLES).contains(&samples).then_some(samples)
}

/// Whether the first frame of `packet` is stereo.
#[must_use]
pub fn packet_is_stereo(packet: &[u8]) -> bool {
    packet.first().is_some_and(|toc| toc & 4 != 0)
}

/// Streams, coupled streams and channel mapping of families 0 and 1 by the number of channels
/// (RFC 7845, 5.1.1.2).
const LAYOUTS: [(u8, u8, &[u8]); 8] = [
    (1, 0, &[0]),
    (1, 1, &[0, 1]),
    (2, 1, &[0, 2, 1]),
    (2, 2, &[0, 1, 2, 3]),
    (3, 2, &[0, 4, 1, 2, 3]),
    (4, 2, &[0, 4, 1, 2, 3, 5]),
    (4, 3, &[0, 4, 1, 2, 3, 5, 6]),
    (5, 3, &[0, 6, 1, 2, 3, 4, 5, 7]),
];

/// The configuration that `channel_config_code` of the Opus descriptor stands for, `None` for the
/// codes that are reserved or need more than the code.
///
/// `pre_skip` is in samples at 48 kHz.
#[must_use]
pub fn config(channel_config_code: u8, pre_skip: u16) -> Option<OpusConfig> {
    let (channels, family, mapping) = match channel_config_code {
        // Dual mono, as one coupled stream and as two: two unrelated channels, thus family 255.
        0x00 => (2, 255, mapping(1, 1, &[0, 1])),
        0x80 => (2, 255, mapping(2, 0, &[0, 1])),
        channels @ 1..=2 => (channels, 0, Vec::new()),
        channels @ 3..=8 => {
            let &(streams, coupled, order) = LAYOUTS.get(usize::from(channels).checked_sub(1)?)?;
            (channels, 1, mapping(streams, coupled, order))
        }
        // Every channel in a stream of its own.
        code @ 0x82..=0x88 => {
            let channels = code & 0x0f;
            let order: Vec<u8> = (0..channels).collect();
            (channels, 1, mapping(channels, 0, &order))
        }
        _ => return None,
    };
    Some(OpusConfig {
        channels,
        pre_skip,
        input_sample_rate: 48_000,
        output_gain: 0,
        mapping_family: family,
        mapping: Bytes::from(mapping),
    })
}

fn mapping(streams: u8, coupled: u8, order: &[u8]) -> Vec<u8> {
    let mut bytes = vec![streams, coupled];
    bytes.extend_from_slice(order);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Found by `codec_headers`: the header was said to be longer than what there was of it.
    #[test]
    fn a_control_extension_that_is_not_all_there_is_waited_for() {
        let whole = [0x7f, 0xe4, 0x03, 0x02, 9, 9];
        assert_eq!(ControlHeader::parse(&whole).unwrap().header_len, 6);
        for len in 0..whole.len() {
            let cut = ControlHeader::parse(&whole[..len]);
            assert_eq!(cut, Err(ControlHeaderError::Truncated), "{len}");
        }
    }

    #[test]
    fn reads_trims_and_chained_sizes() {
        let header = ControlHeader::parse(&[0x7f, 0xf0, 0xff, 0x2d, 0x01, 0x38, 0xf8]).unwrap();
        assert_eq!((header.header_len, header.packet_len), (6, 300));
        assert_eq!((header.start_trim, header.end_trim), (312, 0));
        let header = ControlHeader::parse(&[0x7f, 0xec, 0x03, 0x02, 0x88, 2, 9, 9]).unwrap();
        assert_eq!((header.header_len, header.packet_len), (8, 3));
        assert_eq!((header.start_trim, header.end_trim), (0, 648));
    }

    #[test]
    fn tells_what_is_short_from_what_is_wrong() {
        use ControlHeaderError::{Invalid, Truncated};
        assert_eq!(ControlHeader::parse(&[0x7f, 0xe0, 0xff]), Err(Truncated));
        assert_eq!(ControlHeader::parse(&[]), Err(Truncated));
        assert_eq!(ControlHeader::parse(&[0x7f, 0xc0, 1]), Err(Invalid));
        assert_eq!(ControlHeader::parse(&[0x7f, 0xe0, 0]), Err(Invalid));
        assert_eq!(ControlHeader::parse(&[0xff; 300]), Err(Invalid));
        let mut endless = vec![0x7f, 0xe0];
        endless.resize(1000, 0xff);
        assert_eq!(ControlHeader::parse(&endless), Err(Invalid));
    }

    #[test]
    fn the_table_of_contents_gives_the_duration() {
        assert_eq!(packet_samples(&[0xf8]), Some(960), "CELT, 20 ms");
        assert_eq!(packet_samples(&[0x80]), Some(120), "CELT, 2.5 ms");
        assert_eq!(packet_samples(&[0x18]), Some(2880), "SILK, 60 ms");
        assert_eq!(packet_samples(&[0x61]), Some(960), "hybrid, 2 of 10 ms");
        assert_eq!(packet_samples(&[0xfb, 0x03]), Some(2880), "3 of 20 ms");
        assert_eq!(packet_samples(&[0xfb, 0x07]), None, "over 120 ms");
        assert_eq!(packet_samples(&[0xfb, 0x40]), None, "no frame");
        assert_eq!(packet_samples(&[]), None);
    }

    #[test]
    fn each_channel_configuration() {
        for channels in 1..=8u8 {
            let config = config(channels, 312).unwrap();
            assert_eq!(config.channels, channels);
            assert_eq!(config.mapping_family, u8::from(channels > 2));
            let expected = if channels > 2 {
                usize::from(channels) + 2
            } else {
                0
            };
            assert_eq!(config.mapping.len(), expected);
        }
        assert_eq!(config(0, 0).unwrap().mapping_family, 255);
        assert_eq!(&config(0x83, 0).unwrap().mapping[..], [3, 0, 0, 1, 2]);
        assert_eq!(config(0x81, 0), None);
        assert_eq!(config(9, 0), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, sync: bool) {
            if let (true, [first, second, ..]) = (sync, bytes.as_mut_slice()) {
                *first = 0x7f;
                *second |= 0xe0;
            }
            if let Ok(header) = ControlHeader::parse(&bytes) {
                prop_assert!(header.packet_len > 0);
            }
            let _ = packet_samples(&bytes);
        }
    }
}
