//! Samples that are encrypted inside an ordinary transport stream or packed audio: Apple's "MPEG-2
//! Stream Encryption Format for HTTP Live Streaming" (version 1.2), which `METHOD=SAMPLE-AES` names
//! for these containers (RFC 8216, 4.3.2.4).
//!
//! Everything is decrypted where it lies, and the program map then names the plain stream types: what
//! comes out is an ordinary segment of the same length. The bytes that emulation prevention added
//! around the ciphertext become zeros behind the NAL unit, which Annex B allows there.

mod pictures;
mod samples;
mod segment;

use crate::packed::Tags;
use crate::packet::Framing;
use samples::Coding;

/// AES-CBC without padding, as each sample is encrypted with it (1.2: "the initialization vector is
/// reset at the start of each" NAL unit or frame of sound).
pub trait SampleCipher {
    /// A sample begins: the chain starts with the initialization vector again.
    fn restart(&mut self);

    /// Decrypts the next block of the sample.
    fn decrypt(&mut self, block: &mut [u8; BLOCK]);
}

/// Bytes of a block.
const BLOCK: usize = 16;

/// What decrypting told of the key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleEvidence {
    /// Blocks that were decrypted.
    pub blocks: u64,
    /// Frames of sound that can tell whether they are right: those with a CRC, and those of AAC whose
    /// last byte was encrypted.
    pub checked: u64,
    /// Of those, the ones that are wrong.
    pub wrong: u64,
    /// Blocks of slices with what no NAL unit holds: start codes.
    pub start_codes: u64,
    /// I slices that decode to their end.
    pub whole: u64,
    /// I slices that do not.
    pub broken: u64,
    /// The decrypted bytes of slices are spread evenly, unlike those beside them.
    pub even_bytes: bool,
    /// A transport stream without a program map: nothing says which of its streams are encrypted.
    pub no_map: bool,
}

/// Of so many frames of sound three in four are not right by chance, which one of AAC is in one case of eight.
const SURE: u64 = 8;
/// So many are not all of them right by chance.
const ALL: u64 = 4;

impl SampleEvidence {
    /// Whether the key cannot be the right one.
    ///
    /// Sound tells it, and so do pictures, where sound does not: by one I slice of arithmetic coding, or some kilobytes of
    /// decrypted bytes of variable length codes. Where there is neither, hardly anything does.
    #[must_use]
    pub fn speaks_against_key(&self) -> bool {
        let pictures = self.start_codes > 0 || self.broken > 0 || self.even_bytes;
        self.sound().unwrap_or(pictures && self.whole == 0)
    }

    /// Whether sound speaks against the key, where it tells.
    fn sound(&self) -> Option<bool> {
        let right = self.checked.saturating_sub(self.wrong);
        let is_right = match self.wrong {
            0 => right >= ALL,
            wrong => self.checked >= SURE && wrong.saturating_mul(4) < self.checked,
        };
        let is_wrong = self.checked > 1 && self.wrong > right;
        (is_right || is_wrong).then_some(is_wrong)
    }
}

/// Decrypts the samples of a segment in place: H.264, AAC, AC-3 and E-AC-3 in streams that the
/// program map marks as encrypted, or packed audio. Anything else stays as it is.
pub fn decrypt_samples(segment: &mut [u8], cipher: &mut dyn SampleCipher) -> SampleEvidence {
    let mut evidence = SampleEvidence::default();
    if let Some(framing) = Framing::find(segment) {
        segment::decrypt(segment, framing, cipher, &mut evidence);
        return evidence;
    }
    let tags = segment.len().saturating_sub(Tags::of(segment).rest.len());
    if let Some(sound) = segment.get_mut(tags..)
        && let Some(coding) = Coding::of_sound(sound)
    {
        coding.decrypt(sound, &[], cipher, &mut evidence);
    }
    evidence
}
