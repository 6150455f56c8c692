//! Samples that are encrypted inside an ordinary transport stream or packed audio: Apple's "MPEG-2
//! Stream Encryption Format for HTTP Live Streaming" (version 1.2), which `METHOD=SAMPLE-AES` names
//! for these containers (RFC 8216, 4.3.2.4).
//!
//! Everything is decrypted where it lies, and the program map then names the plain stream types: what
//! comes out is an ordinary segment of the same length. The bytes that emulation prevention added
//! around the ciphertext become zeros behind the NAL unit, which Annex B allows there.

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
    /// Start codes that a decrypted NAL unit must not contain.
    pub start_codes: u64,
}

impl SampleEvidence {
    /// Whether the key cannot be the right one. Sound tells reliably; pictures alone hardly ever do,
    /// as nothing in a slice but its decoding is there to be checked.
    #[must_use]
    pub fn speaks_against_key(&self) -> bool {
        let most = self.wrong.saturating_mul(2) > self.checked;
        self.start_codes > 0 || (self.checked > 1 && most)
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
        coding.decrypt(sound, cipher, &mut evidence);
    }
    evidence
}
