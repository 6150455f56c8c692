//! Encrypting as Apple's "MPEG-2 Stream Encryption Format for HTTP Live Streaming" has it, for what no
//! tool at hand writes.

use aes::Aes128;
use cbc::cipher::{Block, BlockCipherEncrypt, KeyInit};

use crate::es;
use crate::mux::Stream;

/// Bytes of a frame's header, and of all of it.
type Frame = fn(&[u8]) -> (usize, usize);

/// A key with its initialization vector.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// 128 bits.
    pub key: [u8; 16],
    /// 128 bits.
    pub iv: [u8; 16],
}

impl Key {
    fn chain(&self) -> impl FnMut(&mut [u8]) {
        let cipher = Aes128::new(&self.key.into());
        let mut last = self.iv;
        move |bytes: &mut [u8]| {
            let mut block: Block<Aes128> = last.into();
            for (out, plain) in block.iter_mut().zip(&*bytes) {
                *out ^= plain;
            }
            cipher.encrypt_block(&mut block);
            last = block.into();
            bytes.copy_from_slice(&last);
        }
    }

    /// Encrypts whole blocks, as of a padded segment.
    pub fn whole(&self, bytes: &mut [u8]) {
        bytes.chunks_exact_mut(16).for_each(self.chain());
    }

    /// Encrypts a stream, where it is of a kind that the format knows.
    pub fn encrypt(&self, stream: &mut Stream) {
        let (kind, frame): (u8, Option<Frame>) = match stream.stream_type {
            0x1b => (0xdb, None),
            0x0f => (
                0xcf,
                Some(|frame| {
                    let length = usize::from(frame[3] & 3) << 11
                        | usize::from(frame[4]) << 3
                        | usize::from(frame[5] >> 5);
                    (if frame[1] & 1 == 1 { 7 } else { 9 }, length)
                }),
            ),
            // 48 kHz alone (ETSI TS 102 366, table 4.13).
            0x81 => (
                0xc1,
                Some(|frame| {
                    const RATES: [usize; 8] = [32, 40, 48, 56, 64, 80, 96, 112];
                    (0, RATES[usize::from(frame[4] & 0x3f) / 2] * 4)
                }),
            ),
            0x87 => (
                0xc2,
                Some(|frame| {
                    (
                        0,
                        2 * ((usize::from(frame[2] & 7) << 8 | usize::from(frame[3])) + 1),
                    )
                }),
            ),
            _ => return,
        };
        stream.stream_type = kind;
        for pes in &mut stream.pes {
            match frame {
                None => pes.data = self.pictures(&pes.data),
                Some(frame) => {
                    let mut at = 0;
                    while at < pes.data.len() {
                        let (header, length) = frame(&pes.data[at..]);
                        self.sound(&mut pes.data[at + header..at + length]);
                        at += length;
                    }
                }
            }
        }
    }

    /// A frame of sound: sixteen bytes stay, then whole blocks.
    pub fn sound(&self, frame: &mut [u8]) {
        let mut chain = self.chain();
        frame.get_mut(16..).into_iter().for_each(|body| {
            body.chunks_exact_mut(16).for_each(&mut chain);
        });
    }

    /// NAL units of types 1 and 5 and more than 48 bytes: 32 bytes stay, then one block in ten.
    fn pictures(&self, stream: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for unit in es::annex_b(stream) {
            out.extend([0, 0, 0, 1]);
            if !matches!(unit[0] & 0x1f, 1 | 5) || unit.len() <= 48 {
                out.extend_from_slice(unit);
                continue;
            }
            let mut unit = unit.to_vec();
            let mut chain = self.chain();
            let mut at = 32;
            while unit.len() - at.min(unit.len()) > 16 {
                chain(&mut unit[at..at + 16]);
                at += 160;
            }
            out.extend(prevented(&unit));
        }
        out
    }
}

/// With emulation prevention (Rec. ITU-T H.264, 7.4.1.1).
#[must_use]
pub fn prevented(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in unit {
        if out.ends_with(&[0, 0]) && byte <= 3 {
            out.push(3);
        }
        out.push(byte);
    }
    out
}
