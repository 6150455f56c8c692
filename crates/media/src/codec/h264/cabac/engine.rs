//! The arithmetic decoder (9.3.1.2 and 9.3.3.2) and its contexts (9.3.1.1).

use super::tables::{AFTER_LPS, FROM_3, FROM_60, FROM_399, RANGE_LPS};

/// Contexts that I slices of frames use end here.
const CONTEXTS: usize = 436;

/// Decodes bins. Past the end of the data, every one is `None`.
pub(super) struct Engine<'a> {
    bytes: &'a [u8],
    /// The next byte; behind the end there are zeros, as many as are read ahead.
    next: usize,
    range: u32,
    /// `codIOffset`, and bits behind it that were read ahead.
    value: u64,
    /// How many.
    ahead: u32,
    /// `pStateIdx` doubled, and `valMPS`.
    contexts: [u8; CONTEXTS],
}

/// Bits that one bin takes at most.
const MOST: u32 = 8;

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
            next: 0,
            range: 0,
            value: 0,
            ahead: 0,
            contexts,
        };
        engine.restart(at)?;
        Some(engine)
    }

    /// Begins at the first bit of a byte, with the contexts as they are.
    pub(super) fn restart(&mut self, at: usize) -> Option<()> {
        self.next = at >> 3;
        self.range = 510;
        (self.value, self.ahead) = (0, 0);
        for _ in 0..4 {
            self.read_byte();
        }
        // The offset has nine of them.
        self.ahead = self.ahead.saturating_sub(9);
        self.is_inside()
    }

    fn read_byte(&mut self) {
        let byte = self.bytes.get(self.next).copied().unwrap_or_default();
        self.next = self.next.saturating_add(1);
        self.value = self.value << 8 | u64::from(byte);
        self.ahead = self.ahead.saturating_add(8);
    }

    /// The bit after the last one that was used.
    pub(super) fn position(&self) -> usize {
        let read = self.next.saturating_mul(8);
        read.saturating_sub(self.ahead as usize)
    }

    fn is_inside(&self) -> Option<()> {
        (self.position() <= self.bytes.len().saturating_mul(8)).then_some(())
    }

    /// Has as many bits at hand as a bin may take.
    fn fill(&mut self) -> Option<()> {
        if self.ahead < MOST {
            for _ in 0..4 {
                self.read_byte();
            }
            self.is_inside()?;
        }
        Some(())
    }

    /// Whether the offset is not below a range; if so, it is the distance from it from now on.
    fn reaches(&mut self, range: u32) -> bool {
        let scaled = u64::from(range) << self.ahead;
        match self.value.checked_sub(scaled) {
            Some(rest) => {
                self.value = rest;
                true
            }
            None => false,
        }
    }

    fn renormalise(&mut self) {
        // The range takes nine bits.
        let count = self.range.leading_zeros().saturating_sub(23);
        self.range <<= count;
        self.ahead = self.ahead.saturating_sub(count);
    }

    /// A bin with a context.
    pub(super) fn bin(&mut self, context: usize) -> Option<bool> {
        self.fill()?;
        let state = *self.contexts.get(context)?;
        let (index, most) = (usize::from(state >> 1), state & 1);
        let quarter = (self.range >> 6) as usize & 3;
        let lps = u32::from(RANGE_LPS.get(index << 2 | quarter).copied()?);
        self.range = self.range.saturating_sub(lps);
        let (state, bin) = if self.reaches(self.range) {
            self.range = lps;
            let flipped = if index == 0 { most ^ 1 } else { most };
            (AFTER_LPS.get(index).copied()? << 1 | flipped, most ^ 1)
        } else {
            // State 62 stays what it is.
            (state.saturating_add(if index < 62 { 2 } else { 0 }), most)
        };
        *self.contexts.get_mut(context)? = state;
        self.renormalise();
        Some(bin == 1)
    }

    /// A bin that is as often 0 as 1.
    pub(super) fn bypass(&mut self) -> Option<bool> {
        self.fill()?;
        self.ahead = self.ahead.saturating_sub(1);
        Some(self.reaches(self.range))
    }

    /// Whether something ends here. If so, the last bit that was used is the last one of it.
    pub(super) fn terminates(&mut self) -> Option<bool> {
        self.fill()?;
        self.range = self.range.saturating_sub(2);
        if self.reaches(self.range) {
            return self.is_inside().map(|()| true);
        }
        self.renormalise();
        Some(false)
    }
}
