//! The beginning of a slice segment header (7.3.6.1).

use super::{NalType, Pps, Sps, temporal_id};
use crate::codec::bits::{BitReader, rbsp};

/// More than the fields below can take.
const HEADER_BYTES: usize = 40;
/// More than the first three can take.
const PEEK_BYTES: usize = 16;

/// A slice segment header, down to the picture order count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceHeader {
    /// `nal_unit_type`.
    pub nal_type: NalType,
    /// `TemporalId`.
    pub temporal_id: u8,
    /// `first_slice_segment_in_pic_flag`.
    pub first_in_picture: bool,
    /// `slice_pic_order_cnt_lsb`, 0 for an IDR picture; `None` in a dependent slice segment, which
    /// repeats nothing of the slice that it continues.
    pub order_lsb: Option<u32>,
}

impl SliceHeader {
    /// `first_slice_segment_in_pic_flag` and `slice_pic_parameter_set_id`: what can be read
    /// without parameter sets.
    #[must_use]
    pub fn peek(nal: &[u8]) -> Option<(bool, u8)> {
        let data = rbsp(nal.get(2..)?, PEEK_BYTES);
        Self::begin(&mut BitReader::new(&data), NalType::of(*nal.first()?))
    }

    fn begin(bits: &mut BitReader<'_>, nal_type: NalType) -> Option<(bool, u8)> {
        let first = bits.flag()?;
        if nal_type.is_irap() {
            bits.skip(1)?;
        }
        let pps_id = bits.ue().filter(|&id| id < 64)?;
        Some((first, u8::try_from(pps_id).ok()?))
    }

    /// Reads a slice segment with the parameter sets that it refers to.
    #[must_use]
    pub fn parse(nal: &[u8], sps: &Sps, pps: &Pps) -> Option<Self> {
        let nal_type = NalType::of(*nal.first()?);
        let data = rbsp(nal.get(2..)?, HEADER_BYTES);
        let bits = &mut BitReader::new(&data);
        let (first_in_picture, _) = Self::begin(bits, nal_type)?;
        let mut slice = Self {
            nal_type,
            temporal_id: temporal_id(nal)?,
            first_in_picture,
            order_lsb: None,
        };
        if !first_in_picture {
            let dependent = pps.dependent_slices && bits.flag()?;
            bits.skip(usize::from(sps.segment_address_bits))?;
            if dependent {
                return Some(slice);
            }
        }
        bits.skip(usize::from(pps.extra_slice_header_bits))?;
        bits.ue()?;
        if pps.output_flag_present {
            bits.skip(1)?;
        }
        if sps.separate_colour_planes {
            bits.skip(2)?;
        }
        slice.order_lsb = Some(if nal_type.is_idr() {
            0
        } else {
            bits.u(u32::from(sps.order_bits))?
        });
        Some(slice)
    }

    /// Whether this slice segment, which follows `previous`, belongs to another picture. The first
    /// segment of a picture says so itself; where it was lost, the others tell.
    #[must_use]
    pub fn begins_picture_after(&self, previous: &Self) -> bool {
        let differs = match (self.order_lsb, previous.order_lsb) {
            (Some(this), Some(that)) => this != that,
            _ => false,
        };
        self.first_in_picture
            || differs
            || self.nal_type.is_irap() != previous.nal_type.is_irap()
            || self.temporal_id != previous.temporal_id
    }
}
