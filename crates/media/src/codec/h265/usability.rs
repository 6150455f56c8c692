//! What lies between the coding block sizes of a sequence parameter set and the end of its
//! usability information (7.3.2.2.1, 7.3.4, 7.3.7, E.2.1, E.2.2, E.2.3).

use super::parameter_sets::frame_rate;
use crate::Rational;
use crate::codec::bits::BitReader;
use crate::codec::nal::VuiStart;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Usability {
    pub(super) start: VuiStart,
    pub(super) frame_rate: Option<Rational>,
    pub(super) min_spatial_segmentation_idc: u16,
}

impl Usability {
    /// Reads as far as it can.
    pub(super) fn read(
        bits: &mut BitReader<'_>,
        max_sub_layers_minus1: u8,
        order_bits: u32,
    ) -> Self {
        let mut usability = Self::default();
        if skip_coding_tools(bits, order_bits).is_some() && bits.flag() == Some(true) {
            usability.read_vui(bits, max_sub_layers_minus1);
        }
        usability
    }

    fn read_vui(&mut self, bits: &mut BitReader<'_>, max_sub_layers_minus1: u8) -> Option<()> {
        self.start.read(bits)?;
        bits.skip(3)?;
        if bits.flag()? {
            for _ in 0..4 {
                bits.ue()?;
            }
        }
        if bits.flag()? {
            self.frame_rate = frame_rate(bits);
            if bits.flag()? {
                bits.ue()?;
            }
            if bits.flag()? {
                skip_hrd(bits, max_sub_layers_minus1)?;
            }
        }
        if bits.flag()? {
            bits.skip(3)?;
            self.min_spatial_segmentation_idc =
                bits.ue().filter(|&idc| idc < 4096)?.try_into().ok()?;
        }
        Some(())
    }
}

fn skip_coding_tools(bits: &mut BitReader<'_>, order_bits: u32) -> Option<()> {
    for _ in 0..4 {
        bits.ue()?;
    }
    if bits.flag()? && bits.flag()? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.flag()? {
        bits.skip(8)?;
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    let sets = bits.ue().filter(|&sets| sets <= 64)?;
    let mut pictures = 0;
    for set in 0..sets {
        pictures = reference_set(bits, set, pictures)?;
    }
    if bits.flag()? {
        let long_term = bits.ue().filter(|&count| count <= 32)?;
        let width = (order_bits as usize).saturating_add(1);
        bits.skip(width.saturating_mul(long_term as usize))?;
    }
    bits.skip(2)
}

/// 7.3.4.
fn skip_scaling_lists(bits: &mut BitReader<'_>) -> Option<()> {
    for size in 0..4u32 {
        let matrices = if size == 3 { 2 } else { 6 };
        for _ in 0..matrices {
            if !bits.flag()? {
                bits.ue()?;
                continue;
            }
            if size > 1 {
                bits.se()?;
            }
            let coefficients = if size == 0 { 16 } else { 64 };
            for _ in 0..coefficients {
                bits.se()?;
            }
        }
    }
    Some(())
}

/// `st_ref_pic_set()` number `set` (7.3.7), where the one before has `previous` pictures; gives how
/// many this one has.
fn reference_set(bits: &mut BitReader<'_>, set: u32, previous: u32) -> Option<u32> {
    if set > 0 && bits.flag()? {
        bits.skip(1)?;
        bits.ue()?;
        let mut pictures = 0u32;
        for _ in 0..=previous {
            let used = bits.flag()?;
            let kept = used || bits.flag()?;
            pictures = pictures.saturating_add(u32::from(kept));
        }
        return Some(pictures);
    }
    let pictures = bits.ue()?.checked_add(bits.ue()?)?;
    // A decoded picture buffer holds 16 pictures at most.
    if pictures > 32 {
        return None;
    }
    for _ in 0..pictures {
        bits.ue()?;
        bits.skip(1)?;
    }
    Some(pictures)
}

/// E.2.2 and E.2.3, with `commonInfPresentFlag` set.
fn skip_hrd(bits: &mut BitReader<'_>, max_sub_layers_minus1: u8) -> Option<()> {
    let nal = bits.flag()?;
    let vcl = bits.flag()?;
    let mut sub_pictures = false;
    if nal || vcl {
        sub_pictures = bits.flag()?;
        if sub_pictures {
            bits.skip(19)?;
        }
        bits.skip(8)?;
        if sub_pictures {
            bits.skip(4)?;
        }
        bits.skip(15)?;
    }
    for _ in 0..=max_sub_layers_minus1 {
        let fixed_general = bits.flag()?;
        let fixed = fixed_general || bits.flag()?;
        let mut low_delay = false;
        if fixed {
            bits.ue()?;
        } else {
            low_delay = bits.flag()?;
        }
        let buffers = if low_delay {
            0
        } else {
            bits.ue().filter(|&minus1| minus1 < 32)?
        };
        for _ in 0..u8::from(nal).saturating_add(u8::from(vcl)) {
            for _ in 0..=buffers {
                bits.ue()?;
                bits.ue()?;
                if sub_pictures {
                    bits.ue()?;
                    bits.ue()?;
                }
                bits.skip(1)?;
            }
        }
    }
    Some(())
}
