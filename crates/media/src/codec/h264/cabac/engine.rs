//! The arithmetic decoder (9.3.1.2 and 9.3.3.2) and its contexts (9.3.1.1).

use super::tables::{AFTER_LPS, FROM_3, FROM_60, FROM_399, RANGE_LPS};

/// Contexts that I slices of frames use end here.
const CONTEXTS: usize = 436;

/// Decodes bins. Past the end of the data, every one is `None`.
pub(super) struct Engine<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
    range: u32,
    offset: u32,
    /// `pStateIdx` doubled, and `valMPS`.
    contexts: [u8; CONTEXTS],
}

impl<'a> Engine<'a> {
    /// One that begins with a slice whose data begin at a bit, which is the first of a byte.
    pub(super) fn new(bytes: &'a [u8], at: usize, slice_qp: i32) -> Option<Self> {
        let mut contexts = [0; CONTEXTS];
        let qp = slice_qp.clamp(0, 51);
        for (first, table) in [(3, &FROM_3[..]), (60, &FROM_60), (399, &FROM_399)] {
            let of = contexts.get_mut(first..)?;
            for (context, pair) in of.iter_mut().zip(table.as_chunks::<2>().0) {
                let [m, n] = pair.map(i32::from);
                let state = (m.saturating_mul(qp) >> 4).saturating_add(n).clamp(1, 126);
                let state = match state <= 63 {
                    true => 63i32.saturating_sub(state).saturating_mul(2),
                    false => state.saturating_sub(64).saturating_mul(2) | 1,
                };
                *context = u8::try_from(state).ok()?;
            }
        }
        let mut engine = Self {
            bytes,
            at,
            range: 0,
            offset: 0,
            contexts,
        };
        engine.restart(at)?;
        Some(engine)
    }

    /// Begins at a bit, with the contexts as they are.
    pub(super) fn restart(&mut self, at: usize) -> Option<()> {
        self.at = at;
        self.range = 510;
        self.offset = self.bits(9)?;
        Some(())
    }

    /// The bit after the last one that was read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Up to nine bits.
    fn bits(&mut self, count: usize) -> Option<u32> {
        let first = self.at >> 3;
        let mut window = 0u32;
        for at in [first, first.saturating_add(1)] {
            window = window << 8 | u32::from(self.bytes.get(at).copied().unwrap_or_default());
        }
        let end = self.at.saturating_add(count);
        if end > self.bytes.len().saturating_mul(8) {
            return None;
        }
        let behind = 16usize.saturating_sub((self.at & 7).saturating_add(count));
        self.at = end;
        Some((window >> behind) & (1u32 << count).saturating_sub(1))
    }

    fn renormalise(&mut self) -> Option<()> {
        // The range takes nine bits.
        let count = self.range.leading_zeros().saturating_sub(23);
        if count > 0 {
            let bits = self.bits(count as usize)?;
            self.range <<= count;
            self.offset = self.offset << count | bits;
        }
        Some(())
    }

    /// A bin with a context.
    pub(super) fn bin(&mut self, context: usize) -> Option<bool> {
        let state = self.contexts.get_mut(context)?;
        let (index, most) = (usize::from(*state >> 1), *state & 1);
        let quarter = (self.range >> 6) as usize & 3;
        let lps = u32::from(RANGE_LPS.get(index << 2 | quarter).copied()?);
        self.range = self.range.saturating_sub(lps);
        let bin = if self.offset >= self.range {
            self.offset = self.offset.saturating_sub(self.range);
            self.range = lps;
            let flipped = if index == 0 { most ^ 1 } else { most };
            *state = AFTER_LPS.get(index).copied()? << 1 | flipped;
            most ^ 1
        } else {
            // State 62 stays what it is.
            *state = state.saturating_add(if index < 62 { 2 } else { 0 });
            most
        };
        self.renormalise()?;
        Some(bin == 1)
    }

    /// A bin that is as often 0 as 1.
    pub(super) fn bypass(&mut self) -> Option<bool> {
        self.offset = self.offset << 1 | self.bits(1)?;
        let one = self.offset >= self.range;
        if one {
            self.offset = self.offset.saturating_sub(self.range);
        }
        Some(one)
    }

    /// Whether something ends here. If so, the last bit that was read is the last one of it.
    pub(super) fn terminates(&mut self) -> Option<bool> {
        self.range = self.range.saturating_sub(2);
        if self.offset >= self.range {
            return Some(true);
        }
        self.renormalise()?;
        Some(false)
    }
}
