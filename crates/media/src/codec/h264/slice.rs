//! The beginning of a slice header (7.3.3), and whether it begins another picture (7.4.1.2.4).

use super::{OrderType, Pps, Sps, nal_ref_idc, nal_type};
use crate::codec::bits::{BitReader, rbsp};

/// More than the fields below can take.
const HEADER_BYTES: usize = 40;
/// More than the first three can take.
const PEEK_BYTES: usize = 16;

/// A slice header, down to the picture order count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceHeader {
    /// `nal_ref_idc` is not zero: other pictures may refer to this one.
    pub reference: bool,
    /// `IdrPicFlag`.
    pub idr: bool,
    /// `first_mb_in_slice`.
    pub first_mb: u32,
    /// `slice_type`, 0 to 9.
    pub slice_type: u8,
    /// `pic_parameter_set_id`.
    pub pps_id: u8,
    /// `frame_num`.
    pub frame_num: u32,
    /// `field_pic_flag`.
    pub field: bool,
    /// `bottom_field_flag`.
    pub bottom: bool,
    /// `idr_pic_id`, 0 where it is no IDR picture.
    pub idr_pic_id: u32,
    /// `pic_order_cnt_lsb`.
    pub order_lsb: u32,
    /// `delta_pic_order_cnt_bottom`.
    pub order_delta_bottom: i32,
    /// `delta_pic_order_cnt[2]`.
    pub order_delta: [i32; 2],
}

impl SliceHeader {
    /// `first_mb_in_slice` and `pic_parameter_set_id` of a slice (NAL unit types 1, 2 and 5): what
    /// can be read without parameter sets.
    #[must_use]
    pub fn peek(nal: &[u8]) -> Option<(u32, u8)> {
        let data = rbsp(nal.get(1..)?, PEEK_BYTES);
        let bits = &mut BitReader::new(&data);
        let first_mb = bits.ue()?;
        bits.ue()?;
        let pps_id = u8::try_from(bits.ue()?).ok()?;
        Some((first_mb, pps_id))
    }

    /// Reads a slice with the parameter sets that it refers to.
    #[must_use]
    pub fn parse(nal: &[u8], sps: &Sps, pps: &Pps) -> Option<Self> {
        let data = rbsp(nal.get(1..)?, HEADER_BYTES);
        Self::read(&mut BitReader::new(&data), *nal.first()?, sps, pps)
    }

    /// The same behind the first byte of the NAL unit; the reader then stands behind it.
    pub(super) fn read(bits: &mut BitReader<'_>, header: u8, sps: &Sps, pps: &Pps) -> Option<Self> {
        let idr = nal_type(header) == 5;
        let first_mb = bits.ue()?;
        let slice_type = bits.ue().filter(|&kind| kind < 10)?;
        let pps_id = u8::try_from(bits.ue()?).ok()?;
        if sps.separate_colour_planes {
            bits.skip(2)?;
        }
        let frame_num = bits.u(u32::from(sps.frame_num_bits))?;
        let field = !sps.frame_mbs_only && bits.flag()?;
        let bottom = field && bits.flag()?;
        let idr_pic_id = if idr { bits.ue()? } else { 0 };
        let both_fields = pps.bottom_field_order_present && !field;
        let mut order_lsb = 0;
        let mut order_delta_bottom = 0;
        let mut order_delta = [0; 2];
        match &sps.order {
            OrderType::Lsb { bits: width } => {
                order_lsb = bits.u(u32::from(*width))?;
                if both_fields {
                    order_delta_bottom = bits.se()?;
                }
            }
            OrderType::Cycle {
                delta_always_zero: false,
                ..
            } => {
                order_delta = [bits.se()?, if both_fields { bits.se()? } else { 0 }];
            }
            OrderType::Cycle { .. } | OrderType::Decoding => {}
        }
        Some(Self {
            reference: nal_ref_idc(header) != 0,
            idr,
            first_mb,
            slice_type: u8::try_from(slice_type).ok()?,
            pps_id,
            frame_num,
            field,
            bottom,
            idr_pic_id,
            order_lsb,
            order_delta_bottom,
            order_delta,
        })
    }

    /// Whether this slice, which follows `previous`, belongs to another primary coded picture.
    #[must_use]
    pub fn begins_picture_after(&self, previous: &Self) -> bool {
        self.frame_num != previous.frame_num
            || self.pps_id != previous.pps_id
            || self.field != previous.field
            || self.bottom != previous.bottom
            || self.reference != previous.reference
            || self.idr != previous.idr
            || self.idr_pic_id != previous.idr_pic_id
            || self.order_lsb != previous.order_lsb
            || self.order_delta_bottom != previous.order_delta_bottom
            || self.order_delta != previous.order_delta
    }

    /// Whether this picture is the second field of the frame of which `first` is a field.
    #[must_use]
    pub fn completes(&self, first: &Self) -> bool {
        self.field
            && first.field
            && self.bottom != first.bottom
            && self.frame_num == first.frame_num
            && !self.idr
            && (first.reference || !self.reference)
    }
}
