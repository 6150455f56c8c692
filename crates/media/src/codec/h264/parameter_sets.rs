//! Sequence and picture parameter sets (7.3.2.1, 7.3.2.2, E.1.1).

use crate::codec::bits::{BitReader, rbsp};
use crate::codec::nal::VuiStart;
use crate::{Chroma, Colour, Rational, VideoFormat};

/// How pictures are put in output order: `pic_order_cnt_type` with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderType {
    /// Type 0: each slice header has the lower bits of the count.
    Lsb {
        /// How many lower bits, 4 to 16.
        bits: u8,
    },
    /// Type 1: the count is expected from `frame_num`, slice headers have differences.
    Cycle {
        /// `delta_pic_order_always_zero_flag`.
        delta_always_zero: bool,
        /// `offset_for_non_ref_pic`.
        offset_for_non_ref_pic: i32,
        /// `offset_for_top_to_bottom_field`.
        offset_for_top_to_bottom_field: i32,
        /// `offset_for_ref_frame[]`.
        offsets_for_ref_frame: Vec<i32>,
    },
    /// Type 2: output order is decoding order.
    Decoding,
}

/// A sequence parameter set, as far as a container needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sps {
    /// `seq_parameter_set_id`, 0 to 31.
    pub id: u8,
    /// `profile_idc`.
    pub profile_idc: u8,
    /// The byte of `constraint_set*_flag`s.
    pub constraint_flags: u8,
    /// `level_idc`.
    pub level_idc: u8,
    /// Chroma sampling.
    pub chroma: Chroma,
    /// `separate_colour_plane_flag`.
    pub separate_colour_planes: bool,
    /// Bits of a luma sample.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample.
    pub bit_depth_chroma: u8,
    /// Bits of `frame_num`, 4 to 16.
    pub frame_num_bits: u8,
    /// Output order.
    pub order: OrderType,
    /// `max_num_ref_frames`.
    pub max_num_ref_frames: u32,
    /// `frame_mbs_only_flag`: there are no fields.
    pub frame_mbs_only: bool,
    /// `mb_adaptive_frame_field_flag`.
    pub macroblock_adaptive: bool,
    /// Columns and rows of macroblocks in a frame.
    pub macroblocks: (u32, u32),
    /// Width in luma samples, after cropping.
    pub width: u32,
    /// Height of a frame in luma samples, after cropping.
    pub height: u32,
    /// Sample aspect ratio, where stated.
    pub sample_aspect_ratio: Option<Rational>,
    /// Colour, where stated.
    pub colour: Option<Colour>,
    /// Frames per second, where stated.
    pub frame_rate: Option<Rational>,
    /// `max_num_reorder_frames`, or what follows from the profile; `None` where unknown.
    pub reorder_depth: Option<u8>,
}

impl Sps {
    /// Reads a NAL unit of type 7.
    ///
    /// Everything down to the cropping must be there and be in range. What the usability
    /// information says is taken as far as it can be read: many a stream in the wild states a
    /// level, a buffer size or a vector length that its profile forbids, or is cut short there,
    /// and plays well everywhere.
    #[must_use]
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let data = rbsp(nal.get(1..)?, usize::MAX);
        let bits = &mut BitReader::new(&data);
        let profile_idc = bits.u8(8)?;
        let constraint_flags = bits.u8(8)?;
        let level_idc = bits.u8(8)?;
        let id = bits.ue().filter(|&id| id < 32)?;
        let samples = SampleFormat::read(bits, profile_idc)?;
        let frame_num_bits = log2_bits(bits)?;
        let order = OrderType::read(bits)?;
        let max_num_ref_frames = bits.ue()?;
        bits.skip(1)?;
        let width = bits.ue()?.checked_add(1)?.checked_mul(16)?;
        let map_units = bits.ue()?.checked_add(1)?;
        let frame_mbs_only = bits.flag()?;
        let field_factor = if frame_mbs_only { 1u32 } else { 2 };
        let height = map_units.checked_mul(16)?.checked_mul(field_factor)?;
        let macroblocks = (width / 16, height / 16);
        let macroblock_adaptive = !frame_mbs_only && bits.flag()?;
        bits.skip(1)?;
        let (unit_x, unit_y) = match (samples.chroma, samples.separate_planes) {
            (Chroma::Yuv420, _) => (2, 2),
            (Chroma::Yuv422, _) => (2, 1),
            _ => (1, 1),
        };
        let unit_y = field_factor.saturating_mul(unit_y);
        let (width, height) = crop(bits, (width, height), (unit_x, unit_y))?;

        let mut sps = Self {
            id: u8::try_from(id).ok()?,
            profile_idc,
            constraint_flags,
            level_idc,
            chroma: samples.chroma,
            separate_colour_planes: samples.separate_planes,
            bit_depth_luma: samples.luma_bits,
            bit_depth_chroma: samples.chroma_bits,
            frame_num_bits,
            order,
            max_num_ref_frames,
            frame_mbs_only,
            macroblock_adaptive,
            macroblocks,
            width,
            height,
            sample_aspect_ratio: None,
            colour: None,
            frame_rate: None,
            reorder_depth: None,
        };
        if bits.flag() == Some(true) {
            let mut start = VuiStart::default();
            if start.read(bits).is_some() {
                sps.read_vui_rest(bits);
            }
            sps.sample_aspect_ratio = start.sample_aspect_ratio;
            sps.colour = start.colour;
        }
        // Intra profiles (E.2.1, inference of max_num_reorder_frames), and a count that cannot
        // differ from decoding order.
        let intra =
            matches!(profile_idc, 44 | 86 | 100 | 110 | 122 | 244) && constraint_flags & 0x10 != 0;
        if intra || sps.order == OrderType::Decoding {
            sps.reorder_depth = Some(0);
        }
        Some(sps)
    }

    fn read_vui_rest(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        if bits.flag()? {
            let units = bits.u(32)?;
            let scale = bits.u(32)?;
            bits.skip(1)?;
            self.frame_rate = frame_rate(scale, units);
        }
        let nal_hrd = bits.flag()?;
        if nal_hrd {
            skip_hrd(bits)?;
        }
        let vcl_hrd = bits.flag()?;
        if vcl_hrd {
            skip_hrd(bits)?;
        }
        if nal_hrd || vcl_hrd {
            bits.skip(1)?;
        }
        bits.skip(1)?;
        if bits.flag()? {
            bits.skip(1)?;
            for _ in 0..4 {
                bits.ue()?;
            }
            let reorder = bits.ue()?;
            // A decoded picture buffer holds 16 frames at most; more is rubbish.
            self.reorder_depth = u8::try_from(reorder).ok().filter(|&depth| depth <= 16);
        }
        Some(())
    }
}

impl From<&Sps> for VideoFormat {
    fn from(sps: &Sps) -> Self {
        Self {
            width: sps.width,
            height: sps.height,
            sample_aspect_ratio: sps.sample_aspect_ratio,
            colour: sps.colour,
            frame_rate: sps.frame_rate,
            chroma: sps.chroma,
            bit_depth_luma: sps.bit_depth_luma,
            bit_depth_chroma: sps.bit_depth_chroma,
            reorder_depth: sps.reorder_depth,
            ..Self::default()
        }
    }
}

struct SampleFormat {
    chroma: Chroma,
    separate_planes: bool,
    luma_bits: u8,
    chroma_bits: u8,
}

impl SampleFormat {
    fn read(bits: &mut BitReader<'_>, profile_idc: u8) -> Option<Self> {
        let mut format = Self {
            chroma: Chroma::Yuv420,
            separate_planes: false,
            luma_bits: 8,
            chroma_bits: 8,
        };
        if !matches!(
            profile_idc,
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
        ) {
            return Some(format);
        }
        format.chroma = match bits.ue()? {
            0 => Chroma::Monochrome,
            1 => Chroma::Yuv420,
            2 => Chroma::Yuv422,
            3 => Chroma::Yuv444,
            _ => return None,
        };
        if format.chroma == Chroma::Yuv444 {
            format.separate_planes = bits.flag()?;
        }
        format.luma_bits = bit_depth(bits)?;
        format.chroma_bits = bit_depth(bits)?;
        bits.skip(1)?;
        if bits.flag()? {
            let lists = if format.chroma == Chroma::Yuv444 {
                12
            } else {
                8
            };
            for list in 0..lists {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Some(format)
    }
}

impl OrderType {
    fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        match bits.ue()? {
            0 => Some(Self::Lsb {
                bits: log2_bits(bits)?,
            }),
            1 => {
                let delta_always_zero = bits.flag()?;
                let offset_for_non_ref_pic = bits.se()?;
                let offset_for_top_to_bottom_field = bits.se()?;
                let count = bits.ue().filter(|&count| count < 256)?;
                Some(Self::Cycle {
                    delta_always_zero,
                    offset_for_non_ref_pic,
                    offset_for_top_to_bottom_field,
                    offsets_for_ref_frame: (0..count).map(|_| bits.se()).collect::<Option<_>>()?,
                })
            }
            2 => Some(Self::Decoding),
            _ => None,
        }
    }
}

/// A picture parameter set, as far as a slice header depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pps {
    /// `pic_parameter_set_id`, 0 to 255.
    pub id: u8,
    /// `seq_parameter_set_id`, 0 to 31.
    pub sps_id: u8,
    /// `bottom_field_pic_order_in_frame_present_flag`.
    pub bottom_field_order_present: bool,
}

impl Pps {
    /// Reads a NAL unit of type 8.
    #[must_use]
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let data = rbsp(nal.get(1..)?, 32);
        let bits = &mut BitReader::new(&data);
        let id = u8::try_from(bits.ue()?).ok()?;
        let sps_id = bits.ue().filter(|&id| id < 32)?;
        bits.skip(1)?;
        Some(Self {
            id,
            sps_id: u8::try_from(sps_id).ok()?,
            bottom_field_order_present: bits.flag()?,
        })
    }
}

/// `seq_parameter_set_id` of a sequence parameter set extension, a NAL unit of type 13.
#[must_use]
pub fn sps_extension_id(nal: &[u8]) -> Option<u8> {
    let data = rbsp(nal.get(1..)?, 16);
    let id = BitReader::new(&data).ue().filter(|&id| id < 32)?;
    u8::try_from(id).ok()
}

/// `log2_max_*_minus4`: 4 to 16 bits.
fn log2_bits(bits: &mut BitReader<'_>) -> Option<u8> {
    let minus4 = bits.ue().filter(|&minus4| minus4 <= 12)?;
    u8::try_from(minus4).ok()?.checked_add(4)
}

fn bit_depth(bits: &mut BitReader<'_>) -> Option<u8> {
    let minus8 = bits.ue().filter(|&minus8| minus8 <= 6)?;
    u8::try_from(minus8).ok()?.checked_add(8)
}

fn crop(bits: &mut BitReader<'_>, size: (u32, u32), unit: (u32, u32)) -> Option<(u32, u32)> {
    if !bits.flag()? {
        return Some(size);
    }
    let mut edge = |unit: u32| bits.ue()?.checked_mul(unit);
    let (left, right) = (edge(unit.0)?, edge(unit.0)?);
    let (top, bottom) = (edge(unit.1)?, edge(unit.1)?);
    let width = size.0.checked_sub(left)?.checked_sub(right)?;
    let height = size.1.checked_sub(top)?.checked_sub(bottom)?;
    (width > 0 && height > 0).then_some((width, height))
}

/// 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut BitReader<'_>, size: usize) -> Option<()> {
    let mut last = 8i32;
    for _ in 0..size {
        let next = last.wrapping_add(bits.se()?) & 0xff;
        if next == 0 {
            break;
        }
        last = next;
    }
    Some(())
}

/// E.1.2.
fn skip_hrd(bits: &mut BitReader<'_>) -> Option<()> {
    let count = bits.ue().filter(|&minus1| minus1 < 32)?;
    bits.skip(8)?;
    for _ in 0..=count {
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    bits.skip(20)
}

/// A tick is a field, so two make a frame.
fn frame_rate(time_scale: u32, num_units_in_tick: u32) -> Option<Rational> {
    if time_scale == 0 || num_units_in_tick == 0 {
        return None;
    }
    Some(match num_units_in_tick.checked_mul(2) {
        Some(den) => Rational {
            num: time_scale,
            den,
        },
        None => Rational {
            num: time_scale >> 1,
            den: num_units_in_tick,
        },
    })
    .filter(|rate| rate.num != 0)
}
