//! Picture order count (8.3.1).

use super::{SliceHeader, Sps};

/// Computes the picture order count of one picture after the other, in decoding order.
#[derive(Debug, Clone, Default)]
pub struct OrderCounter {
    previous: i64,
    started: bool,
}

impl OrderCounter {
    /// Tells that a sequence has ended: the next picture begins another.
    pub fn end_sequence(&mut self) {
        self.started = false;
    }

    /// Whether the picture that begins with `slice` would begin a coded video sequence.
    #[must_use]
    pub fn begins_sequence(&self, slice: &SliceHeader) -> bool {
        slice.nal_type.is_idr() || slice.nal_type.is_bla() || !self.started
    }

    /// The count of the picture that begins with `slice`. Call it once for each picture.
    pub fn next(&mut self, sps: &Sps, slice: &SliceHeader) -> i64 {
        let lsb = i64::from(slice.order_lsb.unwrap_or_default());
        let max = 1i64 << sps.order_bits.min(16);
        let half = max >> 1;
        let msb = if self.begins_sequence(slice) {
            0
        } else {
            let previous_lsb = self.previous & max.saturating_sub(1);
            let previous_msb = self.previous.saturating_sub(previous_lsb);
            let ahead = lsb.saturating_sub(previous_lsb);
            if ahead <= half.saturating_neg() {
                previous_msb.saturating_add(max)
            } else if ahead > half {
                previous_msb.saturating_sub(max)
            } else {
                previous_msb
            }
        };
        self.started = true;
        let count = msb.saturating_add(lsb);
        let kind = slice.nal_type;
        if slice.temporal_id == 0
            && !kind.is_rasl()
            && !kind.is_radl()
            && !kind.is_sub_layer_non_reference()
        {
            self.previous = count;
        }
        count
    }
}
