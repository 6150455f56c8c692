//! Slices that are encrypted ("MPEG-2 Stream Encryption Format for HTTP Live Streaming", 2.2), and what
//! they tell of the key.
//!
//! Slice headers are in the clear, so only the decoding of what follows them shows a wrong key. Of
//! arithmetic coding an I slice is decoded to its end; of variable length codes the bytes are compared: what
//! a wrong key makes is spread evenly, coded slices are not.

use std::collections::BTreeMap;

use clipmill_media::codec::bits::rbsp;
use clipmill_media::codec::h264::{SliceHeader, SlicePps, Sps, intra_slice_is_whole, nal_type};
use memchr::memmem;

use super::{BLOCK, SampleCipher, SampleEvidence};

/// Bytes at the start of a NAL unit that are never encrypted: its header byte, and 31 more.
const NAL_LEADER: usize = 32;
/// NAL units that are no longer are not encrypted at all.
const SHORT_NAL: usize = 48;
/// One block is encrypted, nine are not.
const CLEAR_RUN: usize = 9 * BLOCK;
/// I slices that are decoded: where all of them are wrong, further ones will be.
const TRIED: u64 = 4;

/// Decrypts an elementary stream; `intact` says that nothing of it was lost before.
pub(super) fn decrypt(
    stream: &mut [u8],
    intact: bool,
    cipher: &mut dyn SampleCipher,
    evidence: &mut SampleEvidence,
) {
    let mut pictures = Pictures::default();
    let codes: Vec<usize> = memmem::find_iter(stream, &[0, 0, 1]).collect();
    let ends = codes.iter().copied().skip(1).chain([stream.len()]);
    let count = codes.len();
    for (at, (code, end)) in codes.iter().zip(ends).enumerate() {
        let Some(unit) = stream.get_mut(code.saturating_add(3)..end) else {
            continue;
        };
        let len = unit.iter().rposition(|&byte| byte != 0);
        let len = len.map_or(0, |last| last.saturating_add(1));
        let Some(unit) = unit.get_mut(..len) else {
            continue;
        };
        match unit.first().map(|&header| nal_type(header)) {
            Some(1 | 5) if len > SHORT_NAL => {
                let plain = decrypt_unit(unit, cipher, evidence);
                if intact {
                    // The last one may be cut off.
                    let is_last = at.saturating_add(1) == count;
                    pictures.look_at(&plain, is_last, evidence);
                }
            }
            Some(7) => pictures
                .sps
                .extend(Sps::parse(unit).map(|sps| (sps.id, sps))),
            Some(8) => {
                let pps = SlicePps::parse(unit);
                pictures.pps.extend(pps.map(|pps| (pps.header.id, pps)));
            }
            _ => {}
        }
    }
    evidence.even_bytes |= pictures.bytes.speak_against_key();
}

/// Where the encrypted blocks of a NAL unit of so many bytes begin.
fn blocks(len: usize) -> impl Iterator<Item = usize> {
    let places = (NAL_LEADER..len).step_by(BLOCK.saturating_add(CLEAR_RUN));
    places.take_while(move |at| len.saturating_sub(*at) > BLOCK)
}

/// Decrypts a NAL unit where it lies, and gives it back.
fn decrypt_unit(
    unit: &mut [u8],
    cipher: &mut dyn SampleCipher,
    evidence: &mut SampleEvidence,
) -> Vec<u8> {
    // Emulation prevention was applied once more to the ciphertext, and around it.
    let mut plain = rbsp(unit, unit.len());
    cipher.restart();
    for at in blocks(plain.len()) {
        let rest = plain.get_mut(at..).unwrap_or_default();
        if let Some(block) = rest.first_chunk_mut::<BLOCK>() {
            cipher.decrypt(block);
            evidence.blocks = evidence.blocks.saturating_add(1);
        }
    }
    let (own, spare) = unit.split_at_mut(plain.len().min(unit.len()));
    own.copy_from_slice(&plain);
    spare.fill(0);
    plain
}

/// What was found in the pictures of a segment.
#[derive(Default)]
struct Pictures {
    sps: BTreeMap<u8, Sps>,
    pps: BTreeMap<u8, SlicePps>,
    bytes: Histograms,
}

impl Pictures {
    fn look_at(&mut self, plain: &[u8], is_last: bool, evidence: &mut SampleEvidence) {
        let found = blocks(plain.len()).filter(|&at| has_start_code(plain, at));
        let found = found.count() as u64;
        evidence.start_codes = evidence.start_codes.saturating_add(found);

        let slice = SliceHeader::peek(plain);
        let pps = slice.and_then(|(_, id)| self.pps.get(&id));
        let sps = pps.and_then(|pps| self.sps.get(&pps.header.sps_id));
        let Some((pps, sps)) = pps.zip(sps) else {
            return;
        };
        if !pps.arithmetic {
            self.bytes.count(plain);
            return;
        }
        if evidence.whole > 0 || evidence.broken >= TRIED {
            return;
        }
        match intra_slice_is_whole(plain, sps, pps) {
            Some(true) => evidence.whole = evidence.whole.saturating_add(1),
            Some(false) if !is_last => evidence.broken = evidence.broken.saturating_add(1),
            Some(false) | None => {}
        }
    }
}

/// Whether a decrypted block and what is beside it hold what no NAL unit does (7.4.1).
fn has_start_code(unit: &[u8], at: usize) -> bool {
    let end = at.saturating_add(BLOCK);
    let around = at.saturating_sub(2)..unit.len().min(end.saturating_add(2));
    let around = unit.get(around).unwrap_or_default();
    let bare = |three: &[u8]| matches!(three, [0, 0, 0..=2]);
    let prevented = |four: &[u8]| matches!(four, [0, 0, 3, 4..=255]);
    around.windows(3).any(bare) || around.windows(4).any(prevented)
}

/// How often each byte is, in the clear parts of slices and in the decrypted ones.
struct Histograms {
    clear: [u32; 256],
    decrypted: [u32; 256],
}

impl Default for Histograms {
    fn default() -> Self {
        Self {
            clear: [0; 256],
            decrypted: [0; 256],
        }
    }
}

/// Bytes by which the clear ones are taken to be even before they are counted.
const EVEN: f64 = 4096.0;
/// By so many nats must even bytes be likelier than those of the clear parts: e^-100 is never.
const NATS: f64 = 100.0;
/// So many standard deviations from even ones are not even.
const SPREAD: f64 = 6.0;

impl Histograms {
    fn count(&mut self, unit: &[u8]) {
        let rest = unit.get(NAL_LEADER..).unwrap_or_default();
        for run in rest.chunks(BLOCK.saturating_add(CLEAR_RUN)) {
            let is_encrypted = run.len() > BLOCK;
            let (block, clear) = run.split_at(if is_encrypted { BLOCK } else { 0 });
            for (bytes, counts) in [(block, &mut self.decrypted), (clear, &mut self.clear)] {
                for &byte in bytes {
                    if let Some(count) = counts.get_mut(usize::from(byte)) {
                        *count = count.saturating_add(1);
                    }
                }
            }
        }
    }

    /// Whether the decrypted bytes are even while those beside them are not.
    fn speak_against_key(&self) -> bool {
        let sum = |counts: &[u32; 256]| counts.iter().copied().map(f64::from).sum::<f64>();
        let (clear, decrypted) = (sum(&self.clear), sum(&self.decrypted));
        if decrypted == 0.0 {
            return false;
        }
        let even = decrypted / 256.0;
        let (mut likelier, mut squares) = (0.0, 0.0);
        for (&beside, &count) in self.clear.iter().zip(&self.decrypted) {
            let expected = (EVEN / 256.0 + f64::from(beside)) / (EVEN + clear);
            let count = f64::from(count);
            likelier -= count * (expected * 256.0).ln();
            squares += (count - even).powi(2) / even;
        }
        likelier > NATS && squares - 255.0 < SPREAD * 510f64.sqrt()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    /// Bytes of a slice of variable length codes in kind: some are far more frequent.
    fn skewed(len: usize, seed: &mut u32) -> Vec<u8> {
        let byte = |_| {
            let random = next(seed);
            (random & random >> 8) as u8
        };
        (0..len).map(byte).collect()
    }

    fn next(seed: &mut u32) -> u32 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.rotate_left(13) >> 8
    }

    #[test]
    fn even_bytes_among_uneven_ones_are_noise() {
        let mut seed = 1;
        for _ in 0..50 {
            let (mut right, mut wrong) = (Histograms::default(), Histograms::default());
            for _ in 0..20 {
                let mut unit = skewed(1500, &mut seed);
                right.count(&unit);
                for at in blocks(unit.len()).collect::<Vec<_>>() {
                    unit[at..at + BLOCK].fill_with(|| (next(&mut seed) >> 3) as u8);
                }
                wrong.count(&unit);
            }
            assert!(!right.speak_against_key());
            assert!(wrong.speak_against_key());
        }
        assert!(!Histograms::default().speak_against_key());
    }

    /// Arithmetic coding makes even bytes: nothing to tell by.
    #[test]
    fn even_bytes_among_even_ones_tell_nothing() {
        let mut seed = 7;
        for _ in 0..50 {
            let mut bytes = Histograms::default();
            for _ in 0..20 {
                let unit: Vec<u8> = (0..1500).map(|_| (next(&mut seed) >> 3) as u8).collect();
                bytes.count(&unit);
            }
            assert!(!bytes.speak_against_key());
        }
    }

    #[test]
    fn what_no_unit_holds_in_a_block_or_across_its_edges() {
        let at = |from: usize, bytes: &[u8]| {
            let mut unit = vec![0x40; 300];
            unit[from..from + bytes.len()].copy_from_slice(bytes);
            blocks(unit.len()).any(|at| has_start_code(&unit, at))
        };
        for from in [30, 32, 40, 47, 190, 192, 207] {
            assert!(at(from, &[0, 0, 1]) && at(from, &[0, 0, 0]) && at(from, &[0, 0, 2]));
            assert!(!at(from, &[0, 0, 3, 1]) && !at(from, &[0, 1, 0, 1]));
        }
        assert!(at(34, &[0, 0, 3, 4]) && at(30, &[0, 0, 3, 9]));
        assert!(!at(29, &[0, 0, 1]) && !at(100, &[0, 0, 1]), "not decrypted");
    }
}
