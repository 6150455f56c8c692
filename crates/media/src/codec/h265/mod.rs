//! H.265 headers (Rec. ITU-T H.265 | ISO/IEC 23008-2): parameter sets (7.3.2.1 to 7.3.2.3), the
//! beginning of a slice segment header (7.3.6.1), picture order count (8.3.1) and the recovery
//! point SEI message (D.2.8).
//!
//! NAL units are given without start code, with their two header bytes, emulation prevention in
//! place.

mod order;
mod parameter_sets;
mod slice;
#[cfg(test)]
mod tests;
mod usability;

pub use order::OrderCounter;
pub use parameter_sets::{Pps, ProfileTierLevel, Sps, Vps};
pub use slice::SliceHeader;

use bytes::Bytes;

use crate::codec::bits::{BitReader, rbsp};
use crate::codec::nal::sei_messages;
use crate::{H265Config, VideoFormat};

/// `nal_unit_type` (Table 7-1), in classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NalType(u8);

impl NalType {
    /// From the first byte of a NAL unit.
    #[must_use]
    pub fn of(header: u8) -> Self {
        Self((header >> 1) & 0x3f)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// A slice segment of a picture.
    #[must_use]
    pub fn is_slice(self) -> bool {
        matches!(self.0, 0..=9 | 16..=21)
    }

    /// Intra random access point: IDR, BLA, CRA, or one of the two reserved types.
    #[must_use]
    pub fn is_irap(self) -> bool {
        matches!(self.0, 16..=23)
    }

    /// Instantaneous decoding refresh.
    #[must_use]
    pub fn is_idr(self) -> bool {
        matches!(self.0, 19 | 20)
    }

    /// Broken link access.
    #[must_use]
    pub fn is_bla(self) -> bool {
        matches!(self.0, 16..=18)
    }

    /// Clean random access.
    #[must_use]
    pub fn is_cra(self) -> bool {
        self.0 == 21
    }

    /// Random access skipped leading picture.
    #[must_use]
    pub fn is_rasl(self) -> bool {
        matches!(self.0, 8 | 9)
    }

    /// Random access decodable leading picture.
    #[must_use]
    pub fn is_radl(self) -> bool {
        matches!(self.0, 6 | 7)
    }

    /// No other picture of the same temporal sub-layer refers to it.
    #[must_use]
    pub fn is_sub_layer_non_reference(self) -> bool {
        self.0 < 16 && self.0 & 1 == 0
    }
}

/// `nuh_layer_id` of a NAL unit: 0 for the base layer.
#[must_use]
pub fn layer_id(nal: &[u8]) -> Option<u8> {
    match nal {
        [first, second, ..] => Some(((first & 1) << 5) | (second >> 3)),
        _ => None,
    }
}

/// `TemporalId` of a NAL unit.
#[must_use]
pub fn temporal_id(nal: &[u8]) -> Option<u8> {
    (nal.get(1)? & 7).checked_sub(1)
}

impl H265Config {
    /// The configuration that these parameter sets make, each list ordered by identifier.
    ///
    /// `None` when the first SPS cannot be read.
    #[must_use]
    pub fn from_parameter_sets(vps: Vec<Bytes>, sps: Vec<Bytes>, pps: Vec<Bytes>) -> Option<Self> {
        let first = Sps::parse(sps.first()?)?;
        let level = &first.profile_tier_level;
        let mut video = VideoFormat::from(&first);
        if video.frame_rate.is_none() {
            video.frame_rate = vps
                .iter()
                .filter_map(|nal| Vps::parse(nal))
                .find(|set| set.id == first.vps_id)
                .and_then(|set| set.frame_rate);
        }
        let parallelism_type = match first.min_spatial_segmentation_idc {
            0 => 0,
            _ => parallelism_type(&pps),
        };
        Some(Self {
            general_profile_space: level.profile_space,
            general_tier_flag: level.tier,
            general_profile_idc: level.profile_idc,
            general_profile_compatibility_flags: level.compatibility_flags,
            general_constraint_indicator_flags: level.constraint_flags,
            general_level_idc: level.level_idc,
            min_spatial_segmentation_idc: first.min_spatial_segmentation_idc,
            parallelism_type,
            temporal_layers: first.temporal_layers,
            temporal_id_nested: first.temporal_id_nested,
            video,
            vps,
            sps,
            pps,
        })
    }
}

/// `parallelismType` (ISO/IEC 14496-15, 8.3.3.1.2): 1 slices, 2 tiles, 3 wavefronts, 0 mixed.
fn parallelism_type(pps: &[Bytes]) -> u8 {
    let mut kinds = pps.iter().map(|nal| match Pps::parse(nal) {
        Some(set) => match (set.tiles, set.wavefronts) {
            (Some(false), Some(false)) => 1,
            (Some(true), Some(false)) => 2,
            (Some(false), Some(true)) => 3,
            _ => 0,
        },
        None => 0,
    });
    let first = kinds.next().unwrap_or(0);
    if kinds.all(|kind| kind == first) {
        first
    } else {
        0
    }
}

/// `recovery_poc_cnt` of the recovery point message in a prefix SEI NAL unit, if it has one.
#[must_use]
pub fn recovery_point(sei: &[u8]) -> Option<i32> {
    let rbsp = rbsp(sei.get(2..)?, usize::MAX);
    let mut count = None;
    sei_messages(&rbsp, |kind, payload| {
        if kind == 6 {
            count = BitReader::new(payload).se();
        }
    });
    count
}
