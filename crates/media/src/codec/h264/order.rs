//! Picture order count (8.2.1).

use super::{OrderType, SliceHeader, Sps};

/// Computes the picture order count of one picture after the other, in decoding order.
///
/// `memory_management_control_operation` 5, which resets the count in the middle of a sequence, is
/// not followed: it is found only at the end of the slice header, and no encoder in use for
/// streaming writes it.
#[derive(Debug, Clone, Default)]
pub struct OrderCounter {
    previous_msb: i64,
    previous_lsb: i64,
    previous_frame_num: u32,
    frame_num_offset: i64,
}

impl OrderCounter {
    /// The count of the picture (a field, or the earlier field of a frame) that begins with
    /// `slice`. Call it once for each picture.
    pub fn next(&mut self, sps: &Sps, slice: &SliceHeader) -> i64 {
        if slice.idr {
            *self = Self::default();
        }
        match &sps.order {
            OrderType::Lsb { bits } => self.count_from_lsb(*bits, slice),
            order => {
                let max_frame_num = 1i64 << sps.frame_num_bits.min(16);
                if slice.frame_num < self.previous_frame_num {
                    self.frame_num_offset = self.frame_num_offset.saturating_add(max_frame_num);
                }
                self.previous_frame_num = slice.frame_num;
                let number = self
                    .frame_num_offset
                    .saturating_add(i64::from(slice.frame_num));
                if let OrderType::Cycle {
                    offset_for_non_ref_pic,
                    offset_for_top_to_bottom_field,
                    offsets_for_ref_frame,
                    ..
                } = order
                {
                    let mut expected = cycle(number, slice.reference, offsets_for_ref_frame);
                    if !slice.reference {
                        expected = expected.saturating_add(i64::from(*offset_for_non_ref_pic));
                    }
                    let to_bottom = i64::from(*offset_for_top_to_bottom_field);
                    from_expected(expected, to_bottom, slice)
                } else {
                    let twice = number.saturating_mul(2);
                    if slice.reference {
                        twice
                    } else {
                        twice.saturating_sub(1)
                    }
                }
            }
        }
    }

    fn count_from_lsb(&mut self, bits: u8, slice: &SliceHeader) -> i64 {
        let max = 1i64 << bits.min(16);
        let half = max >> 1;
        let lsb = i64::from(slice.order_lsb);
        let ahead = lsb.saturating_sub(self.previous_lsb);
        let msb = if ahead <= half.saturating_neg() {
            self.previous_msb.saturating_add(max)
        } else if ahead > half {
            self.previous_msb.saturating_sub(max)
        } else {
            self.previous_msb
        };
        if slice.reference {
            self.previous_msb = msb;
            self.previous_lsb = lsb;
        }
        let first = msb.saturating_add(lsb);
        let bottom = first.saturating_add(i64::from(slice.order_delta_bottom));
        first.min(bottom)
    }
}

/// `expectedPicOrderCnt` before the offset for pictures that nothing refers to (8.2.1.2).
fn cycle(number: i64, reference: bool, offsets: &[i32]) -> i64 {
    let Some(len) = i64::try_from(offsets.len()).ok().filter(|&len| len > 0) else {
        return 0;
    };
    let mut number = number;
    if !reference && number > 0 {
        number = number.saturating_sub(1);
    }
    let Some(before) = number.checked_sub(1).filter(|&before| before >= 0) else {
        return 0;
    };
    let cycles = before.checked_div(len).unwrap_or_default();
    let within = before.checked_rem(len).unwrap_or_default();
    let total: i64 = offsets.iter().copied().map(i64::from).sum();
    let part: i64 = offsets
        .iter()
        .take(
            usize::try_from(within)
                .unwrap_or_default()
                .saturating_add(1),
        )
        .copied()
        .map(i64::from)
        .sum();
    cycles.saturating_mul(total).saturating_add(part)
}

fn from_expected(expected: i64, to_bottom: i64, slice: &SliceHeader) -> i64 {
    let [first, second] = slice.order_delta.map(i64::from);
    let top = expected.saturating_add(first);
    if !slice.field {
        let bottom = top.saturating_add(to_bottom).saturating_add(second);
        top.min(bottom)
    } else if slice.bottom {
        top.saturating_add(to_bottom)
    } else {
        top
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chroma;

    fn sps(order: OrderType) -> Sps {
        Sps {
            id: 0,
            profile_idc: 77,
            constraint_flags: 0,
            level_idc: 30,
            chroma: Chroma::Yuv420,
            separate_colour_planes: false,
            bit_depth_luma: 8,
            bit_depth_chroma: 8,
            frame_num_bits: 4,
            order,
            max_num_ref_frames: 4,
            frame_mbs_only: true,
            macroblock_adaptive: false,
            macroblocks: (1, 1),
            width: 16,
            height: 16,
            sample_aspect_ratio: None,
            colour: None,
            frame_rate: None,
            reorder_depth: None,
        }
    }

    fn slice(frame_num: u32, order_lsb: u32, reference: bool) -> SliceHeader {
        SliceHeader {
            reference,
            idr: false,
            first_mb: 0,
            slice_type: 0,
            pps_id: 0,
            frame_num,
            field: false,
            bottom: false,
            idr_pic_id: 0,
            order_lsb,
            order_delta_bottom: 0,
            order_delta: [0; 2],
        }
    }

    #[test]
    fn lower_bits_wrap_both_ways() {
        let sps = sps(OrderType::Lsb { bits: 4 });
        let mut counter = OrderCounter::default();
        let idr = SliceHeader {
            idr: true,
            ..slice(0, 0, true)
        };
        let mut order = vec![counter.next(&sps, &idr)];
        for (lsb, reference) in [(6, true), (2, false), (4, false), (12, true), (8, false)] {
            order.push(counter.next(&sps, &slice(1, lsb, reference)));
        }
        // 18 is written as 2, the 14 that follows it lies before the wrap.
        order.push(counter.next(&sps, &slice(2, 2, true)));
        order.push(counter.next(&sps, &slice(3, 14, false)));
        assert_eq!(order, [0, 6, 2, 4, 12, 8, 18, 14]);
    }

    #[test]
    fn decoding_order_counts_frames() {
        let sps = sps(OrderType::Decoding);
        let mut counter = OrderCounter::default();
        let idr = SliceHeader {
            idr: true,
            ..slice(0, 0, true)
        };
        assert_eq!(counter.next(&sps, &idr), 0);
        assert_eq!(counter.next(&sps, &slice(1, 0, true)), 2);
        assert_eq!(counter.next(&sps, &slice(2, 0, false)), 3);
        assert_eq!(counter.next(&sps, &slice(15, 0, true)), 30);
        assert_eq!(counter.next(&sps, &slice(0, 0, true)), 32);
    }

    #[test]
    fn cycles_expect_the_count() {
        let sps = sps(OrderType::Cycle {
            delta_always_zero: true,
            offset_for_non_ref_pic: -2,
            offset_for_top_to_bottom_field: 1,
            offsets_for_ref_frame: vec![4],
        });
        let mut counter = OrderCounter::default();
        let idr = SliceHeader {
            idr: true,
            ..slice(0, 0, true)
        };
        assert_eq!(counter.next(&sps, &idr), 0);
        assert_eq!(counter.next(&sps, &slice(1, 0, true)), 4);
        assert_eq!(counter.next(&sps, &slice(2, 0, false)), 2);
        assert_eq!(counter.next(&sps, &slice(2, 0, true)), 8);
    }
}
