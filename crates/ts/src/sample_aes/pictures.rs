//! Slices that are encrypted ("MPEG-2 Stream Encryption Format for HTTP Live Streaming", 2.2), and what
//! they tell of the key.
//!
//! Slice headers are in the clear, so only the decoding of what follows them shows a wrong key. Of
//! arithmetic coding an I slice is decoded to its end; of variable length codes the bytes are compared: what
//! a wrong key makes is spread evenly, coded slices are not.

use std::collections::BTreeMap;
use std::ops::Range;

use clipmill_media::codec::bits::rbsp;
use clipmill_media::codec::h264::{
    SliceEnd, SliceHeader, SlicePps, Sps, intra_slice_end, nal_type,
};
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

/// Decrypts an elementary stream. In the stretches `damaged` of it, one behind the other, something is
/// missing: what lies there tells nothing.
pub(super) fn decrypt(
    stream: &mut [u8],
    damaged: &[Range<usize>],
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
                let next = damaged.partition_point(|lost| lost.end <= *code);
                if damaged.get(next).is_none_or(|lost| lost.start >= end) {
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
    /// Looks at a slice, where sound does not tell the key: it costs less.
    fn look_at(&mut self, plain: &[u8], is_last: bool, evidence: &mut SampleEvidence) {
        if evidence.sound().is_some() {
            return;
        }
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
            if self.bytes.blocks < ENOUGH {
                self.bytes.count(plain);
            }
            return;
        }
        if evidence.whole > 0 || evidence.broken >= TRIED {
            return;
        }
        match intra_slice_end(plain, sps, pps) {
            Some(SliceEnd::Whole) => evidence.whole = evidence.whole.saturating_add(1),
            Some(SliceEnd::CutOff) if is_last => {}
            Some(_) => evidence.broken = evidence.broken.saturating_add(1),
            None => {}
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
    /// Decrypted blocks that were counted.
    blocks: usize,
}

impl Default for Histograms {
    fn default() -> Self {
        Self {
            clear: [0; 256],
            decrypted: [0; 256],
            blocks: 0,
        }
    }
}

/// Bytes by which the clear ones are taken to be even before they are counted.
const EVEN: f64 = 4096.0;
/// By so many nats must even bytes be likelier than those of the clear parts. With the right key they are
/// less likely, the more so the more there are.
const NATS: f64 = 30.0;
/// Blocks of decrypted bytes that are counted at most: they tell it long before.
const ENOUGH: usize = 4096;
/// So many standard deviations from even ones are not even.
const SPREAD: f64 = 6.0;

impl Histograms {
    fn count(&mut self, unit: &[u8]) {
        let rest = unit.get(NAL_LEADER..).unwrap_or_default();
        for run in rest.chunks(BLOCK.saturating_add(CLEAR_RUN)) {
            let is_encrypted = run.len() > BLOCK;
            let (block, clear) = run.split_at(if is_encrypted { BLOCK } else { 0 });
            self.blocks = self.blocks.saturating_add(usize::from(is_encrypted));
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
        for (&clear_count, &count) in self.clear.iter().zip(&self.decrypted) {
            let expected = (EVEN / 256.0 + f64::from(clear_count)) / (EVEN + clear);
            let count = f64::from(count);
            likelier -= count * (expected * 256.0).ln();
            squares += (count - even).powi(2) / even;
        }
        likelier > NATS && squares - 255.0 < SPREAD * 510f64.sqrt()
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::panic
)]
mod tests {
    use clipmill_media::CodecConfig;

    use super::*;
    use crate::{DemuxOptions, Demuxer};

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

    /// I slices of a fixture, with their parameter sets.
    fn intra_slices(name: &str) -> Vec<(Sps, SlicePps, Vec<u8>)> {
        let path = format!("{}/../../fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        let segment = std::fs::read(path).unwrap();
        let index = Demuxer::new(DemuxOptions::default())
            .index(&segment)
            .unwrap();
        let track = &index.tracks[0];
        let CodecConfig::H264(config) = track.configs()[0].as_ref() else {
            panic!("{name} is of another coding");
        };
        let sps = Sps::parse(&config.sps[0]).unwrap();
        let pps = SlicePps::parse(&config.pps[0]).unwrap();
        let (mut bytes, all) = (Vec::new(), 0..track.samples().len());
        track.gather(&segment, all, &mut bytes).unwrap();
        let mut found = Vec::new();
        let mut rest = &bytes[..];
        while let Some((len, tail)) = rest.split_first_chunk::<4>() {
            let (unit, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
            rest = tail;
            if matches!(nal_type(unit[0]), 1 | 5) && intra_slice_end(unit, &sps, &pps).is_some() {
                found.push((sps.clone(), pps, unit.to_vec()));
            }
        }
        found
    }

    /// Pictures of several sizes, which have an I slice in each segment at least.
    fn fixtures() -> impl Iterator<Item = String> {
        let demo = (0..10).map(|n| format!("demo/seg0{n}.ts"));
        let others = ["languages/seg00.ts", "ladder/180p-00.ts", "change/a00.ts"];
        demo.chain(others.map(str::to_owned))
    }

    #[test]
    fn intra_slices_end_where_they_should_and_never_as_noise() {
        let mut seed = 3;
        for name in fixtures() {
            let slices = intra_slices(&name);
            assert!(!slices.is_empty(), "{name}");
            for (sps, pps, unit) in &slices {
                assert_eq!(intra_slice_end(unit, sps, pps), Some(SliceEnd::Whole));
                // `cabac_zero_word`s (7.3.2.10).
                let filled = [&unit[..], &[0, 0, 3, 0, 0, 3]].concat();
                assert_eq!(intra_slice_end(&filled, sps, pps), Some(SliceEnd::Whole));
                let places: Vec<_> = blocks(unit.len()).collect();
                for _ in 0..4 {
                    let mut noise = unit.clone();
                    for &at in &places {
                        noise[at..at + BLOCK].fill_with(|| (next(&mut seed) >> 3) as u8);
                    }
                    let end = intra_slice_end(&noise, sps, pps);
                    assert_ne!(end, Some(SliceEnd::Whole), "{name}");
                }
                // A wrong initialization vector: of the first block alone.
                let mut noise = unit.clone();
                noise[NAL_LEADER..NAL_LEADER + BLOCK].fill_with(|| (next(&mut seed) >> 3) as u8);
                assert_ne!(intra_slice_end(&noise, sps, pps), Some(SliceEnd::Whole));
            }
        }
    }

    /// What is cut off is no noise, wherever it ends; of noise much is impossible ahead of its end.
    #[test]
    fn an_intra_slice_that_is_cut_off_is_told_from_noise() {
        let mut seed = 5;
        let (mut recognised, mut all) = (0, 0);
        let slices = fixtures().flat_map(|name| intra_slices(&name));
        for (sps, pps, unit) in slices {
            for tenth in 1..10 {
                let cut = &unit[..unit.len() * tenth / 10];
                assert_eq!(intra_slice_end(cut, &sps, &pps), Some(SliceEnd::CutOff));
                let mut noise = cut.to_vec();
                for at in blocks(cut.len()).collect::<Vec<_>>() {
                    noise[at..at + BLOCK].fill_with(|| (next(&mut seed) >> 3) as u8);
                }
                all += 1;
                recognised +=
                    usize::from(intra_slice_end(&noise, &sps, &pps) == Some(SliceEnd::Broken));
            }
        }
        assert!(all > 100 && recognised * 2 >= all, "{recognised} of {all}");
    }

    /// Whatever the bytes are, the work is bounded by how many there are.
    #[test]
    fn hostile_slices_end() {
        let mut seed = 11;
        let (mut sps, mut pps, unit) = intra_slices("demo/seg00.ts").remove(0);
        for transform in 0..2 {
            if transform == 1 {
                (sps, pps, _) = intra_slices("ladder/180p-00.ts").remove(0);
            }
            sps.macroblocks = (1055, 132);
            for round in 0..200 {
                let fill = [0, 0xff, 0x55, 0x80][round % 4];
                let mut noise = unit[..400].to_vec();
                let from = 20 + round;
                noise[from..].fill_with(|| match round {
                    0..100 => fill,
                    _ => (next(&mut seed) >> 3) as u8,
                });
                let _ = intra_slice_end(&noise, &sps, &pps);
            }
            // No level has pictures of this size.
            sps.macroblocks = (1 << 27, 1);
            assert_eq!(intra_slice_end(&unit, &sps, &pps), None);
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
