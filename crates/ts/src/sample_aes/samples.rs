//! Which bytes of a sample are encrypted ("MPEG-2 Stream Encryption Format for HTTP Live Streaming",
//! 2.2 and 2.3).

use std::ops::Range;

use clipmill_media::codec::aac::AdtsHeader;
use clipmill_media::codec::ac3::SyncframeHeader;

use super::{BLOCK, SampleCipher, SampleEvidence, pictures};

/// Bytes behind the header of an AAC frame, or at the start of a syncframe, that are not encrypted.
const SOUND_LEADER: usize = 16;

/// A coding whose samples may be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    H264,
    Adts,
    /// AC-3 and E-AC-3, whose syncframes tell which they are.
    Ac3,
}

impl Coding {
    /// By `stream_type`, and the stream type of the same coding without encryption (2.1).
    pub(super) fn of(stream_type: u8) -> Option<(Self, u8)> {
        match stream_type {
            0xdb => Some((Self::H264, 0x1b)),
            0xcf => Some((Self::Adts, 0x0f)),
            0xc1 => Some((Self::Ac3, 0x81)),
            0xc2 => Some((Self::Ac3, 0x87)),
            _ => None,
        }
    }

    /// By how packed audio begins.
    pub(super) fn of_sound(bytes: &[u8]) -> Option<Self> {
        let all = [Self::Adts, Self::Ac3];
        all.into_iter().find(|coding| coding.frame(bytes).is_some())
    }

    /// Decrypts a whole elementary stream, whose length stays what it is. In the stretches `damaged` of it
    /// something is missing.
    pub(super) fn decrypt(
        self,
        stream: &mut [u8],
        damaged: &[Range<usize>],
        cipher: &mut dyn SampleCipher,
        evidence: &mut SampleEvidence,
    ) {
        match self {
            Self::H264 => pictures::decrypt(stream, damaged, cipher, evidence),
            Self::Adts | Self::Ac3 => self.frames(stream, cipher, evidence),
        }
    }

    /// Bytes of the frame at the start of `bytes`, and how many of them are not encrypted.
    fn frame(self, bytes: &[u8]) -> Option<(usize, usize)> {
        let (clear, len) = match self {
            Self::H264 => return None,
            Self::Adts => {
                let header = AdtsHeader::parse(bytes)?;
                (usize::from(header.header_len), header.frame_len)
            }
            Self::Ac3 => (0, SyncframeHeader::parse(bytes)?.frame_len()),
        };
        Some((usize::from(len), clear.saturating_add(SOUND_LEADER)))
    }

    fn frames(
        self,
        mut stream: &mut [u8],
        cipher: &mut dyn SampleCipher,
        evidence: &mut SampleEvidence,
    ) {
        while !stream.is_empty() {
            let frame = self.frame(stream).filter(|&(len, _)| len <= stream.len());
            let (len, clear) = frame.unwrap_or((1, 1));
            let Some((frame, rest)) = stream.split_at_mut_checked(len) else {
                return;
            };
            if let Some(body) = frame.get_mut(clear..) {
                cipher.restart();
                let (blocks, tail) = body.as_chunks_mut::<BLOCK>();
                let (any, ends) = (!blocks.is_empty(), tail.is_empty());
                for block in blocks {
                    cipher.decrypt(block);
                    evidence.blocks = evidence.blocks.saturating_add(1);
                }
                if any {
                    self.check(frame, ends, evidence);
                }
            }
            stream = rest;
        }
    }

    /// Looks at a frame for what shows that it was decrypted rightly; `ends` says that its last byte
    /// was encrypted.
    fn check(self, frame: &[u8], ends: bool, evidence: &mut SampleEvidence) {
        let right = match self {
            Self::Ac3 => crc16(frame.get(2..).unwrap_or_default()) == 0,
            // Several raw data blocks have CRCs behind them.
            Self::Adts if ends && AdtsHeader::parse(frame).is_some_and(|h| h.blocks == 1) => {
                ends_with_id_end(frame)
            }
            _ => return,
        };
        evidence.checked = evidence.checked.saturating_add(1);
        evidence.wrong = evidence.wrong.saturating_add(u64::from(!right));
    }
}

/// Whether a raw data block ends with `ID_END` and zeros up to the next byte (ISO/IEC 14496-3,
/// 4.4.2.1).
fn ends_with_id_end(frame: &[u8]) -> bool {
    let Some(&[high, low]) = frame.last_chunk() else {
        return false;
    };
    let last = u16::from_be_bytes([high, low]);
    let zeros = last.trailing_zeros();
    zeros < 8 && last.checked_shr(zeros).unwrap_or_default() & 7 == 7
}

/// The CRC of AC-3 (ETSI TS 102 366, 6.1.7): 0 over a syncframe without its syncword.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0u16, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let poly = if crc & 0x8000 == 0 { 0 } else { 0x8005 };
            (crc << 1) ^ poly
        })
    })
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
pub(super) mod tests {
    use super::*;

    /// Takes 1 from each byte of the first block of a sample, 2 of the second, and so on.
    #[derive(Default)]
    pub(in super::super) struct Counter(u8);

    impl SampleCipher for Counter {
        fn restart(&mut self) {
            self.0 = 0;
        }

        fn decrypt(&mut self, block: &mut [u8; BLOCK]) {
            self.0 += 1;
            for byte in block {
                *byte = byte.wrapping_sub(self.0);
            }
        }
    }

    fn decrypted(coding: Coding, mut stream: Vec<u8>) -> (Vec<u8>, SampleEvidence) {
        let mut evidence = SampleEvidence::default();
        coding.decrypt(&mut stream, &[], &mut Counter::default(), &mut evidence);
        (stream, evidence)
    }

    fn unit(header: u8, len: usize) -> Vec<u8> {
        let mut unit = vec![0x40; len];
        unit[0] = header;
        [&[0, 0, 1][..], &unit].concat()
    }

    #[test]
    fn one_block_in_ten_of_a_long_slice() {
        // 32 clear, 16 encrypted, 144 clear, 16 encrypted; the last 16 never are.
        let (out, evidence) = decrypted(Coding::H264, unit(0x65, 32 + 160 + 16 + 1));
        let body = &out[3 + 32..];
        assert_eq!(body[..16], [0x3f; 16]);
        assert_eq!(body[16..160], [0x40; 144]);
        assert_eq!(body[160..176], [0x3e; 16]);
        assert_eq!((body[176], evidence.blocks), (0x40, 2));
        let (out, _) = decrypted(Coding::H264, unit(0x65, 32 + 160 + 16));
        assert_eq!(out[3 + 32 + 160..], [0x40; 16], "sixteen are left: clear");
    }

    #[test]
    fn short_units_and_other_kinds_stay() {
        for stream in [unit(0x65, 48), unit(0x67, 300), unit(0x06, 300)] {
            assert_eq!(decrypted(Coding::H264, stream.clone()).0, stream);
        }
        let (out, evidence) = decrypted(Coding::H264, unit(0x41, 49));
        assert_eq!((out[3 + 32], evidence.blocks), (0x3f, 1));
    }

    #[test]
    fn emulation_prevention_becomes_zeros_behind_the_unit() {
        let mut stream = unit(0x65, 60);
        stream.splice(40..43, [0, 0, 3, 1]);
        stream.extend([0, 0, 1, 0x41, 0x9a]);
        let (out, evidence) = decrypted(Coding::H264, stream.clone());
        assert_eq!(out.len(), stream.len());
        assert_eq!(out[40..43], [0xff, 0xff, 0]);
        assert_eq!(out[63..], [0, 0, 0, 1, 0x41, 0x9a]);
        assert_eq!(evidence.start_codes, 0);
    }

    #[test]
    fn whole_blocks_of_sound_behind_the_leader() {
        // AAC LC, 48 kHz, stereo: 7 bytes of header, 16 clear, 2 blocks, 1 byte.
        let mut frame = vec![0xff, 0xf1, 0x4c, 0x80, 0x07, 0x1f, 0xfc];
        frame.resize(56, 0x40);
        let two = [frame.clone(), frame].concat();
        let (out, evidence) = decrypted(Coding::Adts, two);
        for frame in out.chunks(56) {
            assert_eq!(frame[7..23], [0x40; 16]);
            assert_eq!(frame[23..39], [0x3f; 16]);
            assert_eq!(frame[39..55], [0x3e; 16]);
            assert_eq!(frame[55], 0x40);
        }
        assert_eq!((evidence.blocks, evidence.checked), (4, 0));
    }

    #[test]
    fn the_end_of_a_block_tells_the_key() {
        for (end, right) in [
            ([0, 0x07], true),
            ([0, 0xe0], true),
            ([1, 0xc0], true),
            ([3, 0x80], true),
            ([0, 0x06], false),
            ([0, 0x80], false),
            ([0xff, 0], false),
        ] {
            assert_eq!(ends_with_id_end(&end), right, "{end:?}");
        }
        let against = |checked, wrong, start_codes| {
            let evidence = SampleEvidence {
                blocks: 9,
                checked,
                wrong,
                start_codes,
                ..SampleEvidence::default()
            };
            evidence.speaks_against_key()
        };
        assert!(!against(0, 0, 0) && !against(1, 1, 0) && !against(9, 4, 0));
        assert!(against(9, 6, 0) && against(2, 2, 0) && against(0, 0, 1));
    }

    #[test]
    fn slices_tell_the_key_unless_something_contradicts() {
        let against = |whole, broken, even_bytes, checked, wrong| {
            let evidence = SampleEvidence {
                blocks: 9,
                checked,
                wrong,
                start_codes: 0,
                whole,
                broken,
                even_bytes,
                no_map: false,
            };
            evidence.speaks_against_key()
        };
        assert!(against(0, 1, false, 0, 0) && against(0, 0, true, 0, 0));
        assert!(!against(1, 1, true, 0, 0), "a slice that is right");
        assert!(
            !against(0, 4, false, 12, 1) && !against(0, 4, false, 4, 0),
            "sound that is right"
        );
        assert!(
            against(0, 4, false, 3, 0),
            "three frames may be right by chance"
        );
        assert!(against(1, 0, false, 9, 6), "sound that is wrong");
    }
}
