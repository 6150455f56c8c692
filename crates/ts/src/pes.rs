//! PES packet headers (ISO/IEC 13818-1, 2.4.3.6 and 2.4.3.7).
//!
//! Read more leniently than `mpeg2ts_reader::pes` does, which refuses headers with odd prefix or
//! marker bits, and headers that straddle transport packets.

/// Start code, `stream_id` and `PES_packet_length`.
const FIXED_LEN: usize = 6;
/// The above, two bytes of flags and `PES_header_data_length`.
const FLAGS_LEN: usize = 9;
/// The longest header.
pub(crate) const MAX_HEADER_LEN: usize = FLAGS_LEN + 255;

/// What the bytes at the start of a PES packet are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The header needs more bytes.
    Incomplete,
    /// A packet without elementary stream data: padding, private data.
    NoMedia,
    /// Not a PES packet.
    Bad,
    /// A whole header.
    Header(PesHeader),
}

/// The fields of a PES packet header that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PesHeader {
    /// Bytes of the header: the payload begins behind it.
    pub(crate) len: usize,
    /// Bytes of payload; `None` where the packet lasts until the next one.
    pub(crate) payload_len: Option<usize>,
    /// Raw 33-bit presentation timestamp.
    pub(crate) pts: Option<u64>,
    /// Raw 33-bit decoding timestamp, only together with `pts`.
    pub(crate) dts: Option<u64>,
    /// `data_alignment_indicator`.
    pub(crate) aligned: bool,
    /// `PES_scrambling_control` is not zero.
    pub(crate) scrambled: bool,
    /// The `stream_id` is one of pictures.
    pub(crate) pictures: bool,
}

/// Reads the header that `bytes` begin with.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let prefix_len = bytes.len().min(3);
    if bytes.get(..prefix_len) != [0, 0, 1].get(..prefix_len) {
        return Parsed::Bad;
    }
    let Some((&[_, _, _, stream_id, len_high, len_low], _)) =
        bytes.split_first_chunk::<FIXED_LEN>()
    else {
        return Parsed::Incomplete;
    };
    if !has_header(stream_id) {
        return Parsed::NoMedia;
    }
    let Some(&[_, _, _, _, _, _, control, flags, data_len]) = bytes.first_chunk::<FLAGS_LEN>()
    else {
        return Parsed::Incomplete;
    };
    let data_len = usize::from(data_len);
    let len = FLAGS_LEN.saturating_add(data_len);
    let Some(data) = bytes.get(FLAGS_LEN..len) else {
        return Parsed::Incomplete;
    };
    let packet_len = usize::from(u16::from_be_bytes([len_high, len_low]));
    let (pts, dts) = match flags >> 6 {
        0b10 => (timestamp(data, 0), None),
        0b11 => (timestamp(data, 0), timestamp(data, 5)),
        // 01 is forbidden; what such a header holds is anybody's guess.
        _ => (None, None),
    };
    Parsed::Header(PesHeader {
        len,
        // A length that does not even cover the header is wrong, like 0 it tells nothing.
        payload_len: packet_len
            .checked_add(FIXED_LEN)
            .and_then(|end| end.checked_sub(len))
            .filter(|_| packet_len != 0),
        pts,
        dts,
        aligned: control & 0x04 != 0,
        scrambled: control & 0xc0 == 0x80 && control & 0x30 != 0,
        pictures: stream_id & 0xf0 == 0xe0,
    })
}

/// Whether packets of this `stream_id` have flags, timestamps and a payload of elementary stream
/// (ISO/IEC 13818-1, table 2-21).
fn has_header(stream_id: u8) -> bool {
    !matches!(
        stream_id,
        // program_stream_map, padding_stream, private_stream_2, ECM, EMM, DSM-CC,
        // H.222.1 type E, program_stream_directory
        0..=0xbc | 0xbe | 0xbf | 0xf0 | 0xf1 | 0xf2 | 0xf8 | 0xff
    )
}

/// Prefix and marker bits are not looked at: muxers exist that get either wrong.
fn timestamp(data: &[u8], at: usize) -> Option<u64> {
    let &[a, b, c, d, e] = data.get(at..)?.first_chunk()?;
    let [a, b, c, d, e] = [a, b, c, d, e].map(u64::from);
    Some((a & 0x0e) << 29 | b << 22 | (c & 0xfe) << 14 | d << 7 | e >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: &[u8]) -> PesHeader {
        match parse(bytes) {
            Parsed::Header(header) => header,
            other => panic!("{other:?}"),
        }
    }

    const BOTH: [u8; 19] = [
        0, 0, 1, 0xe0, 0, 0, 0x84, 0xc0, 10, //
        0x3f, 0xff, 0xff, 0xff, 0xff, 0x11, 0, 1, 0, 3,
    ];

    #[test]
    fn both_timestamps() {
        let parsed = header(&BOTH);
        assert_eq!(parsed.pts, Some((1 << 33) - 1));
        assert_eq!(parsed.dts, Some(1));
        assert_eq!((parsed.len, parsed.payload_len), (19, None));
        assert!(parsed.aligned && !parsed.scrambled);
    }

    #[test]
    fn odd_prefix_bits_are_read_all_the_same() {
        for prefix in [0x00, 0x10, 0x20, 0xf0] {
            let mut bytes = BOTH;
            bytes[9] = bytes[9] & 0x0f | prefix;
            assert_eq!(header(&bytes).pts, Some((1 << 33) - 1));
        }
    }

    #[test]
    fn every_shorter_header_is_incomplete() {
        for len in 0..BOTH.len() {
            assert_eq!(parse(&BOTH[..len]), Parsed::Incomplete, "{len} bytes");
        }
    }

    #[test]
    fn timestamps_that_do_not_fit_are_absent() {
        let mut bytes = BOTH;
        bytes[8] = 5;
        assert_eq!(header(&bytes).dts, None);
        assert!(header(&bytes).pts.is_some());
        bytes[8] = 0;
        assert_eq!(header(&bytes).pts, None);
        bytes[7] = 0x40;
        assert_eq!(header(&bytes).pts, None);
    }

    #[test]
    fn bounded_lengths() {
        let mut bytes = BOTH;
        bytes[5] = 20;
        assert_eq!(header(&bytes).payload_len, Some(7));
        bytes[5] = 13;
        assert_eq!(header(&bytes).payload_len, Some(0));
        bytes[5] = 12;
        assert_eq!(header(&bytes).payload_len, None);
    }

    #[test]
    fn what_is_not_media() {
        assert_eq!(parse(&[0, 0, 1, 0xbe, 0, 9]), Parsed::NoMedia);
        assert_eq!(parse(&[0, 0, 2]), Parsed::Bad);
        assert_eq!(parse(&[1]), Parsed::Bad);
        let mut bytes = BOTH;
        bytes[6] = 0xb0;
        assert!(header(&bytes).scrambled);
    }
}
