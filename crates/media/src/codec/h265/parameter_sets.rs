//! Video, sequence and picture parameter sets (7.3.2.1 to 7.3.2.3, 7.3.3, 7.3.4, 7.3.7).

use super::usability::Usability;
use crate::codec::bits::{BitReader, rbsp};
use crate::{Chroma, Rational, VideoFormat};

/// The general part of `profile_tier_level()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileTierLevel {
    /// `general_profile_space`.
    pub profile_space: u8,
    /// `general_tier_flag`.
    pub tier: bool,
    /// `general_profile_idc`.
    pub profile_idc: u8,
    /// `general_profile_compatibility_flag[0..32]`, the first one highest.
    pub compatibility_flags: u32,
    /// The 48 bits that follow.
    pub constraint_flags: u64,
    /// `general_level_idc`.
    pub level_idc: u8,
}

impl ProfileTierLevel {
    fn read(bits: &mut BitReader<'_>, max_sub_layers_minus1: u8) -> Option<Self> {
        let general = Self {
            profile_space: bits.u8(2)?,
            tier: bits.flag()?,
            profile_idc: bits.u8(5)?,
            compatibility_flags: bits.u(32)?,
            constraint_flags: bits.u64(48)?,
            level_idc: bits.u8(8)?,
        };
        let mut skipped = 0usize;
        if max_sub_layers_minus1 > 0 {
            for layer in 0..8 {
                let present = bits.u(2)?;
                if layer < max_sub_layers_minus1 {
                    let profile = if present & 2 != 0 { 88usize } else { 0 };
                    let level = if present & 1 != 0 { 8 } else { 0 };
                    skipped = skipped.saturating_add(profile).saturating_add(level);
                }
            }
        }
        bits.skip(skipped)?;
        Some(general)
    }
}

/// A video parameter set, as far as a container needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vps {
    /// `vps_video_parameter_set_id`, 0 to 15.
    pub id: u8,
    /// Pictures per second, where stated.
    pub frame_rate: Option<Rational>,
}

impl Vps {
    /// Reads a NAL unit of type 32.
    #[must_use]
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let data = rbsp(nal.get(2..)?, usize::MAX);
        let bits = &mut BitReader::new(&data);
        let id = bits.u8(4)?;
        Some(Self {
            id,
            frame_rate: Self::timing(bits),
        })
    }

    fn timing(bits: &mut BitReader<'_>) -> Option<Rational> {
        bits.skip(8)?;
        let max_sub_layers_minus1 = bits.u8(3)?;
        bits.skip(17)?;
        ProfileTierLevel::read(bits, max_sub_layers_minus1)?;
        sub_layer_ordering(bits, max_sub_layers_minus1)?;
        let max_layer_id = bits.u8(6)?;
        let layer_sets = bits.ue().filter(|&minus1| minus1 < 1024)?;
        let flags = usize::from(max_layer_id).saturating_add(1);
        bits.skip(flags.saturating_mul(layer_sets as usize))?;
        if !bits.flag()? {
            return None;
        }
        frame_rate(bits)
    }
}

/// A sequence parameter set, as far as a container needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sps {
    /// `sps_seq_parameter_set_id`, 0 to 15.
    pub id: u8,
    /// `sps_video_parameter_set_id`.
    pub vps_id: u8,
    /// `sps_max_sub_layers_minus1 + 1`.
    pub temporal_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub temporal_id_nested: bool,
    /// Profile, tier and level.
    pub profile_tier_level: ProfileTierLevel,
    /// Chroma sampling.
    pub chroma: Chroma,
    /// `separate_colour_plane_flag`.
    pub separate_colour_planes: bool,
    /// Width in luma samples, inside the conformance window.
    pub width: u32,
    /// Height in luma samples, inside the conformance window.
    pub height: u32,
    /// Bits of a luma sample.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample.
    pub bit_depth_chroma: u8,
    /// Bits of `slice_pic_order_cnt_lsb`.
    pub order_bits: u8,
    /// `sps_max_num_reorder_pics` of the highest sub-layer.
    pub reorder_depth: u8,
    /// Bits of `slice_segment_address`.
    pub segment_address_bits: u8,
    /// `min_spatial_segmentation_idc`, 0 where not stated.
    pub min_spatial_segmentation_idc: u16,
    usability: Usability,
}

impl Sps {
    /// Reads a NAL unit of type 33.
    ///
    /// Everything down to the coding block sizes must be there and be in range; what follows is
    /// taken as far as it can be read.
    #[must_use]
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let data = rbsp(nal.get(2..)?, usize::MAX);
        let bits = &mut BitReader::new(&data);
        let vps_id = bits.u8(4)?;
        let max_sub_layers_minus1 = bits.u8(3).filter(|&minus1| minus1 < 7)?;
        let temporal_id_nested = bits.flag()?;
        let profile_tier_level = ProfileTierLevel::read(bits, max_sub_layers_minus1)?;
        let id = bits.ue().filter(|&id| id < 16)?;
        let chroma = match bits.ue()? {
            0 => Chroma::Monochrome,
            1 => Chroma::Yuv420,
            2 => Chroma::Yuv422,
            3 => Chroma::Yuv444,
            _ => return None,
        };
        let separate_colour_planes = chroma == Chroma::Yuv444 && bits.flag()?;
        let coded = (bits.ue()?, bits.ue()?);
        let (width, height) = window(bits, coded, chroma)?;
        let bit_depth_luma = bit_depth(bits)?;
        let bit_depth_chroma = bit_depth(bits)?;
        let order_bits = bits.ue().filter(|&minus4| minus4 <= 12)?.checked_add(4)?;
        let reorder = sub_layer_ordering(bits, max_sub_layers_minus1)?;
        let block_log2 = bits.ue()?.checked_add(3)?.checked_add(bits.ue()?)?;
        if !(3..=6).contains(&block_log2) {
            return None;
        }
        let usability = Usability::read(bits, max_sub_layers_minus1, order_bits);
        Some(Self {
            id: u8::try_from(id).ok()?,
            vps_id,
            temporal_layers: max_sub_layers_minus1.saturating_add(1),
            temporal_id_nested,
            profile_tier_level,
            chroma,
            separate_colour_planes,
            width,
            height,
            bit_depth_luma,
            bit_depth_chroma,
            order_bits: u8::try_from(order_bits).ok()?,
            reorder_depth: u8::try_from(reorder).ok().filter(|&depth| depth <= 16)?,
            segment_address_bits: segment_address_bits(coded, block_log2)?,
            min_spatial_segmentation_idc: usability.min_spatial_segmentation_idc,
            usability,
        })
    }
}

impl From<&Sps> for VideoFormat {
    fn from(sps: &Sps) -> Self {
        Self {
            width: sps.width,
            height: sps.height,
            sample_aspect_ratio: sps.usability.start.sample_aspect_ratio,
            colour: sps.usability.start.colour,
            frame_rate: sps.usability.frame_rate,
            chroma: sps.chroma,
            bit_depth_luma: sps.bit_depth_luma,
            bit_depth_chroma: sps.bit_depth_chroma,
            reorder_depth: Some(sps.reorder_depth),
            ..Self::default()
        }
    }
}

/// A picture parameter set, as far as slice segment headers and `hvcC` depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pps {
    /// `pps_pic_parameter_set_id`, 0 to 63.
    pub id: u8,
    /// `pps_seq_parameter_set_id`, 0 to 15.
    pub sps_id: u8,
    /// `dependent_slice_segments_enabled_flag`.
    pub dependent_slices: bool,
    /// `output_flag_present_flag`.
    pub output_flag_present: bool,
    /// `num_extra_slice_header_bits`.
    pub extra_slice_header_bits: u8,
    /// `tiles_enabled_flag`, where it could be read.
    pub tiles: Option<bool>,
    /// `entropy_coding_sync_enabled_flag`, where it could be read.
    pub wavefronts: Option<bool>,
}

impl Pps {
    /// Reads a NAL unit of type 34.
    #[must_use]
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let data = rbsp(nal.get(2..)?, 256);
        let bits = &mut BitReader::new(&data);
        let id = bits.ue().filter(|&id| id < 64)?;
        let sps_id = bits.ue().filter(|&id| id < 16)?;
        let mut pps = Self {
            id: u8::try_from(id).ok()?,
            sps_id: u8::try_from(sps_id).ok()?,
            dependent_slices: bits.flag()?,
            output_flag_present: bits.flag()?,
            extra_slice_header_bits: bits.u8(3)?,
            tiles: None,
            wavefronts: None,
        };
        pps.read_tools(bits);
        Some(pps)
    }

    fn read_tools(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        bits.skip(2)?;
        bits.ue()?;
        bits.ue()?;
        bits.se()?;
        bits.skip(2)?;
        if bits.flag()? {
            bits.ue()?;
        }
        bits.se()?;
        bits.se()?;
        bits.skip(4)?;
        self.tiles = bits.flag();
        self.wavefronts = bits.flag();
        Some(())
    }
}

/// `sps_max_num_reorder_pics` of the last sub-layer listed.
fn sub_layer_ordering(bits: &mut BitReader<'_>, max_sub_layers_minus1: u8) -> Option<u32> {
    let all = bits.flag()?;
    let first = if all { 0 } else { max_sub_layers_minus1 };
    let mut reorder = 0;
    for _ in first..=max_sub_layers_minus1 {
        bits.ue()?;
        reorder = bits.ue()?;
        bits.ue()?;
    }
    Some(reorder)
}

fn window(bits: &mut BitReader<'_>, coded: (u32, u32), chroma: Chroma) -> Option<(u32, u32)> {
    let (mut width, mut height) = coded;
    if bits.flag()? {
        let (unit_x, unit_y) = match chroma {
            Chroma::Yuv420 => (2, 2),
            Chroma::Yuv422 => (2, 1),
            Chroma::Monochrome | Chroma::Yuv444 => (1, 1),
        };
        let mut edge = |unit: u32| bits.ue()?.checked_mul(unit);
        width = width
            .checked_sub(edge(unit_x)?)?
            .checked_sub(edge(unit_x)?)?;
        height = height
            .checked_sub(edge(unit_y)?)?
            .checked_sub(edge(unit_y)?)?;
    }
    (width > 0 && height > 0).then_some((width, height))
}

fn bit_depth(bits: &mut BitReader<'_>) -> Option<u8> {
    let minus8 = bits.ue().filter(|&minus8| minus8 <= 8)?;
    u8::try_from(minus8).ok()?.checked_add(8)
}

/// `Ceil(Log2(PicSizeInCtbsY))`.
fn segment_address_bits(coded: (u32, u32), block_log2: u32) -> Option<u8> {
    let block = 1u64.checked_shl(block_log2)?;
    let blocks = u64::from(coded.0)
        .div_ceil(block)
        .checked_mul(u64::from(coded.1).div_ceil(block))?;
    let width = u64::BITS.saturating_sub(blocks.checked_sub(1)?.leading_zeros());
    u8::try_from(width).ok().filter(|&width| width <= 32)
}

/// `num_units_in_tick` and `time_scale`: a tick is a picture.
pub(super) fn frame_rate(bits: &mut BitReader<'_>) -> Option<Rational> {
    let den = bits.u(32)?;
    let num = bits.u(32)?;
    (num != 0 && den != 0).then_some(Rational { num, den })
}
