//! Reading bits, highest first, as every codec header here is written: the descriptors `u(n)`,
//! `ue(v)` and `se(v)` of Rec. ITU-T H.264, 7.2 and 9.1, and the emulation prevention of 7.4.1.

/// Reads a byte string bit by bit. Past the end every read is `None`, and stays so.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read so far.
    position: usize,
}

impl<'a> BitReader<'a> {
    /// A reader that stands before the first bit of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bits read so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bits that are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes
            .len()
            .saturating_mul(8)
            .saturating_sub(self.position)
    }

    /// The next `count` bits, at most 64, as a number: `u(n)`.
    pub fn u64(&mut self, count: u32) -> Option<u64> {
        if count > 64 || self.left() < count as usize {
            // A reader that has failed once must not find its feet again in what follows.
            self.position = self.bytes.len().saturating_mul(8);
            return None;
        }
        let mut value = 0u64;
        let mut wanted = count as usize;
        while wanted > 0 {
            let byte = self.bytes.get(self.position >> 3).copied()?;
            let used = self.position & 7;
            let take = wanted.min(8usize.saturating_sub(used));
            let rest = (byte << used) >> 8usize.saturating_sub(take);
            value = value.checked_shl(u32::try_from(take).ok()?)? | u64::from(rest);
            self.position = self.position.saturating_add(take);
            wanted = wanted.saturating_sub(take);
        }
        Some(value)
    }

    /// The next `count` bits, at most 32: `u(n)`.
    pub fn u(&mut self, count: u32) -> Option<u32> {
        self.u64(count).and_then(|value| u32::try_from(value).ok())
    }

    /// The next `count` bits, at most 16.
    pub fn u16(&mut self, count: u32) -> Option<u16> {
        self.u64(count).and_then(|value| u16::try_from(value).ok())
    }

    /// The next `count` bits, at most 8.
    pub fn u8(&mut self, count: u32) -> Option<u8> {
        self.u64(count).and_then(|value| u8::try_from(value).ok())
    }

    /// The next bit: `u(1)`.
    pub fn flag(&mut self) -> Option<bool> {
        self.u64(1).map(|bit| bit != 0)
    }

    /// Passes over `count` bits.
    pub fn skip(&mut self, count: usize) -> Option<()> {
        if self.left() < count {
            self.position = self.bytes.len().saturating_mul(8);
            return None;
        }
        self.position = self.position.saturating_add(count);
        Some(())
    }

    /// Moves on to the next whole byte, unless already there.
    pub fn align(&mut self) {
        self.position = self.position.saturating_add(7) & !7;
    }

    /// An Exp-Golomb number: `ue(v)`.
    pub fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0u32;
        while !self.flag()? {
            zeros = zeros.saturating_add(1);
            if zeros > 32 {
                self.skip(usize::MAX);
                return None;
            }
        }
        let suffix = self.u64(zeros)?;
        let prefix = 1u64.checked_shl(zeros)?.checked_sub(1)?;
        u32::try_from(prefix.checked_add(suffix)?).ok()
    }

    /// A signed Exp-Golomb number: `se(v)`.
    pub fn se(&mut self) -> Option<i32> {
        let code = self.ue()?;
        let half = i64::from(code).saturating_add(1) >> 1;
        let value = if code & 1 == 1 {
            half
        } else {
            half.saturating_neg()
        };
        i32::try_from(value).ok()
    }
}

/// Removes the `emulation_prevention_three_byte`s of a NAL unit, at most up to `limit` bytes of
/// what comes out; a header needs only the beginning of a slice.
#[must_use]
pub fn rbsp(nal: &[u8], limit: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len().min(limit));
    // A byte of 3 is rarer than one of 0, so it is what to look for.
    for piece in nal.split_inclusive(|&byte| byte == 3) {
        let kept = match piece {
            [kept @ .., 3] if kept.ends_with(&[0, 0]) => kept,
            piece => piece,
        };
        let left = limit.saturating_sub(out.len());
        if left == 0 {
            break;
        }
        out.extend_from_slice(kept.get(..left).unwrap_or(kept));
    }
    out
}

/// `count` bits from bit `start` on, moved to a byte boundary; the last byte is filled up with
/// zeros. `None` where there are fewer.
#[must_use]
pub fn copy(bytes: &[u8], start: usize, count: usize) -> Option<Vec<u8>> {
    let end = start.checked_add(count)?;
    if end > bytes.len().checked_mul(8)? {
        return None;
    }
    let len = count.div_ceil(8);
    let from = bytes.get(start >> 3..)?;
    let shift = u32::try_from(start & 7).ok()?;
    let next = from.iter().skip(1).chain(std::iter::once(&0));
    let joined = from.iter().zip(next).map(|(&high, &low)| {
        let both = u16::from_be_bytes([high, low]);
        let [byte, _] = both.checked_shl(shift).unwrap_or_default().to_be_bytes();
        byte
    });
    let mut out: Vec<u8> = joined.take(len).collect();
    let spare = u32::try_from(len.saturating_mul(8).saturating_sub(count)).ok()?;
    if let Some(last) = out.last_mut() {
        *last &= 0xffu8.checked_shl(spare)?;
    }
    Some(out)
}

/// Writes bits, highest first.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits still free in the last byte.
    free: u32,
}

impl BitWriter {
    pub(crate) fn push(&mut self, value: u32, count: u32) {
        for shift in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free = self.free.saturating_sub(1);
            let bit = u8::from(value.checked_shr(shift).unwrap_or_default() & 1 == 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit.checked_shl(self.free).unwrap_or_default();
            }
        }
    }

    pub(crate) fn align(&mut self) {
        self.free = 0;
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_numbers_of_any_width() {
        let mut bits = BitReader::new(&[0b1010_0110, 0xff, 0x00, 0x81]);
        assert_eq!(bits.u(3), Some(0b101));
        assert_eq!(bits.flag(), Some(false));
        assert_eq!(bits.u(12), Some(0b0110_1111_1111));
        assert_eq!(bits.position(), 16);
        assert_eq!(bits.u16(16), Some(0x81));
        assert_eq!(bits.flag(), None);
    }

    #[test]
    fn reads_exp_golomb() {
        // 1, 010, 011, 00100, 00101, then padding.
        let mut bits = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!(bits.ue(), Some(0));
        assert_eq!(bits.ue(), Some(1));
        assert_eq!(bits.ue(), Some(2));
        assert_eq!(bits.ue(), Some(3));
        assert_eq!(bits.ue(), Some(4));
        let mut bits = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!(bits.se(), Some(0));
        assert_eq!(bits.se(), Some(1));
        assert_eq!(bits.se(), Some(-1));
        assert_eq!(bits.se(), Some(2));
        assert_eq!(bits.se(), Some(-2));
    }

    #[test]
    fn the_largest_exp_golomb_fits() {
        // 32 zeros, a one, 32 zeros: 2^32 - 1.
        let bytes = [0, 0, 0, 0, 0x80, 0, 0, 0, 0];
        assert_eq!(BitReader::new(&bytes).ue(), Some(u32::MAX));
        let longer = [0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0];
        assert_eq!(BitReader::new(&longer).ue(), None);
    }

    #[test]
    fn a_failed_read_stays_failed() {
        let mut bits = BitReader::new(&[0xff]);
        assert_eq!(bits.u(9), None);
        assert_eq!(bits.flag(), None);
    }

    #[test]
    fn emulation_prevention_goes() {
        assert_eq!(rbsp(&[1, 0, 0, 3, 1, 0, 0, 3], 99), [1, 0, 0, 1, 0, 0]);
        assert_eq!(rbsp(&[0, 0, 3, 0, 0, 3, 3], 99), [0, 0, 0, 0, 3]);
        assert_eq!(rbsp(&[1, 2, 3], 2), [1, 2]);
    }

    proptest! {
        #[test]
        fn bits_are_copied_in_order(bytes: Vec<u8>, start in 0usize..80, count in 0usize..200) {
            let copied = copy(&bytes, start, count);
            prop_assert_eq!(copied.is_some(), start.saturating_add(count) <= bytes.len().saturating_mul(8));
            let mut from = BitReader::new(&bytes);
            from.skip(start);
            let copied = copied.unwrap_or_default();
            let mut to = BitReader::new(&copied);
            while to.position() < count && !copied.is_empty() {
                prop_assert_eq!(to.flag(), from.flag());
            }
            prop_assert!((0..to.left()).all(|_| to.flag() == Some(false)));
        }

        #[test]
        fn emulation_prevention_goes_as_the_standard_says(
            nal in prop::collection::vec(prop::sample::select(vec![0u8, 0, 0, 3, 1]), 0..40),
            limit in 0usize..40,
        ) {
            let mut expected = Vec::new();
            let mut zeros = 0u8;
            for &byte in &nal {
                if zeros >= 2 && byte == 3 {
                    zeros = 0;
                    continue;
                }
                zeros = if byte == 0 { zeros.min(2).saturating_add(1) } else { 0 };
                expected.push(byte);
            }
            expected.truncate(limit);
            prop_assert_eq!(rbsp(&nal, limit), expected);
        }

        #[test]
        fn never_reads_past_the_end(bytes: Vec<u8>, widths: Vec<u32>) {
            let mut bits = BitReader::new(&bytes);
            for width in widths {
                match width % 4 {
                    0 => drop(bits.u64(width >> 2)),
                    1 => drop(bits.ue()),
                    2 => drop(bits.se()),
                    _ => drop(bits.skip(width as usize)),
                }
                prop_assert!(bits.position() <= bytes.len().saturating_mul(8));
            }
        }
    }
}
