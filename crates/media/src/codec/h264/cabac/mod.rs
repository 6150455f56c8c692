//! Whether the I slices of a picture decode to their end (7.3.4 and 9.3): of arithmetic coding nothing
//! else shows that it is not noise.
//!
//! Every macroblock depends on all that came before it in the slice, so that what was changed anywhere ends
//! too early, too late, or impossibly. That by chance it ends with the very last bit is one case in many
//! thousands.

mod engine;
mod macroblock;
mod tables;

use super::{Pps, SliceHeader, Sps, nal_ref_idc};
use crate::Chroma;
use crate::codec::bits::{BitReader, rbsp};
use engine::Engine;
use macroblock::{Macroblock, Neighbours};

/// What macroblocks of I slices depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Coding {
    transform_8x8: bool,
    has_chroma: bool,
    /// Bits of an `I_PCM` macroblock.
    pcm_bits: usize,
    /// The most that `mb_qp_delta` is mapped to.
    qp_steps: u32,
}

/// A picture parameter set, as far as the data of an I slice depend on it (7.3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlicePps {
    /// What a slice header depends on.
    pub header: Pps,
    /// `entropy_coding_mode_flag`: arithmetic coding.
    pub arithmetic: bool,
    one_slice_group: bool,
    /// `pic_init_qp_minus26` and 26.
    init_qp: i32,
    deblocking_control: bool,
    redundant_pictures: bool,
    transform_8x8: bool,
}

impl SlicePps {
    /// Reads a NAL unit of type 8.
    #[must_use]
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let header = Pps::parse(nal)?;
        let data = rbsp(nal.get(1..)?, usize::MAX);
        let bits = &mut BitReader::new(&data);
        bits.ue()?;
        bits.ue()?;
        let arithmetic = bits.flag()?;
        bits.skip(1)?;
        let one_slice_group = bits.ue()? == 0;
        let mut pps = Self {
            header,
            arithmetic,
            one_slice_group,
            init_qp: 26,
            deblocking_control: false,
            redundant_pictures: false,
            transform_8x8: false,
        };
        if !one_slice_group {
            return Some(pps);
        }
        bits.ue()?;
        bits.ue()?;
        bits.skip(3)?;
        pps.init_qp = bits.se()?.saturating_add(26);
        bits.se()?;
        bits.se()?;
        pps.deblocking_control = bits.flag()?;
        bits.skip(1)?;
        pps.redundant_pictures = bits.flag()?;
        let more = last_bit(&data).is_some_and(|last| bits.position() < last);
        pps.transform_8x8 = more && bits.flag()?;
        Some(pps)
    }
}

/// Where the `rbsp_stop_one_bit` is.
fn last_bit(rbsp: &[u8]) -> Option<usize> {
    let last = rbsp.iter().rposition(|&byte| byte != 0)?;
    let zeros = rbsp.get(last)?.trailing_zeros() as usize;
    let end = last.saturating_add(1).saturating_mul(8);
    end.checked_sub(zeros)?.checked_sub(1)
}

/// How an I slice ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SliceEnd {
    /// Where its macroblocks do; or there were so many of them that it is no noise.
    Whole,
    /// Its macroblocks would go on behind its last bytes.
    CutOff,
    /// Its macroblocks end before its bytes do, or are impossible.
    Broken,
}

/// Noise ends with each macroblock in one case of 255 at least (9.3.3.2.2.3: a range of 2 among 510): that it
/// goes on for so many is one case in 3000, even where nothing of it is impossible.
const PROOF: u32 = 2_048;

/// Bytes before the end of a slice that is cut off in which its macroblocks may go wrong: its last block
/// is not decrypted as it would be in the middle.
const CUT_EDGE: usize = 32;

/// The most macroblocks of a picture, and of a row of it (Annex A: level 6.2).
const MACROBLOCKS: u32 = 139_264;
const COLUMNS: u32 = 1_055;

/// How an I slice (a NAL unit of type 1 or 5) ends. `None` where that is not looked at: other slices,
/// other coding than arithmetic, fields, slice groups, 4:2:2 and 4:4:4.
#[must_use]
pub fn intra_slice_end(nal: &[u8], sps: &Sps, pps: &SlicePps) -> Option<SliceEnd> {
    let (columns, rows) = sps.macroblocks;
    let looked_at = pps.arithmetic
        && columns <= COLUMNS
        && columns.saturating_mul(rows) <= MACROBLOCKS
        && pps.one_slice_group
        && !sps.macroblock_adaptive
        && matches!(sps.chroma, Chroma::Monochrome | Chroma::Yuv420);
    if !looked_at {
        return None;
    }
    let slice = SliceHeader::parse(nal, sps, &pps.header)?;
    if !matches!(slice.slice_type, 2 | 7) || slice.field {
        return None;
    }
    let data = rbsp(nal.get(1..)?, usize::MAX);
    let mut bits = BitReader::new(&data);
    SliceHeader::read(&mut bits, *nal.first()?, sps, &pps.header)?;
    let qp = rest_of_header(&mut bits, *nal.first()?, slice.idr, pps)?;
    bits.align();
    let has_chroma = sps.chroma != Chroma::Monochrome;
    let luma = u32::from(sps.bit_depth_luma);
    let chroma = u32::from(sps.bit_depth_chroma).saturating_mul(if has_chroma { 128 } else { 0 });
    let coding = Coding {
        transform_8x8: pps.transform_8x8,
        has_chroma,
        pcm_bits: luma.saturating_mul(256).saturating_add(chroma) as usize,
        qp_steps: luma.saturating_sub(8).saturating_mul(6).saturating_add(53),
    };
    let mut engine = Engine::new(&data, bits.position(), qp)?;
    if decode(&mut engine, &data, &coding, sps.macroblocks, slice.first_mb).is_some() {
        return Some(SliceEnd::Whole);
    }
    let edge = data.len().saturating_sub(CUT_EDGE).saturating_mul(8);
    Some(match engine.position() {
        at if at < edge => SliceEnd::Broken,
        _ => SliceEnd::CutOff,
    })
}

/// Reads the macroblocks of a slice, which end with its last bit, as far as it takes.
fn decode(
    engine: &mut Engine<'_>,
    data: &[u8],
    coding: &Coding,
    (columns, rows): (u32, u32),
    first: u32,
) -> Option<()> {
    let all = columns.checked_mul(rows)?;
    let mut above: Vec<Option<Macroblock>> = vec![None; columns as usize];
    let (mut left, mut qp_changed) = (None, false);
    for address in first..all {
        let column = address.checked_rem(columns)?;
        if column == 0 {
            left = None;
        }
        let over = above.get_mut(column as usize)?;
        let neighbours = Neighbours { left, above: *over };
        let own = macroblock::read(engine, coding, neighbours, &mut qp_changed)?;
        (left, *over) = (Some(own), Some(own));
        if engine.terminates()? {
            // The last bit that was read is the stop bit. An encoder that is much used now and then
            // sets the last bit of the same byte as well.
            let stop = engine.position().checked_sub(1)?;
            let byte = data.get(stop >> 3)?;
            let is_set = byte & 0x80 >> (stop & 7) != 0;
            let ends = last_bit(data)? >> 3 == stop >> 3;
            return (is_set && ends).then_some(());
        }
        if address.saturating_sub(first) >= PROOF {
            return Some(());
        }
    }
    None
}

/// What an I slice has behind the picture order count (7.3.3); `SliceQPY`.
fn rest_of_header(bits: &mut BitReader<'_>, header: u8, idr: bool, pps: &SlicePps) -> Option<i32> {
    if pps.redundant_pictures {
        bits.ue()?;
    }
    if nal_ref_idc(header) != 0 {
        if idr {
            bits.skip(2)?;
        } else if bits.flag()? {
            loop {
                match bits.ue()? {
                    0 => break,
                    1 | 2 | 4 | 6 => {
                        bits.ue()?;
                    }
                    3 => {
                        bits.ue()?;
                        bits.ue()?;
                    }
                    5 => {}
                    _ => return None,
                }
            }
        }
    }
    let qp = pps.init_qp.saturating_add(bits.se()?);
    if pps.deblocking_control && bits.ue()? != 1 {
        bits.se()?;
        bits.se()?;
    }
    Some(qp)
}
