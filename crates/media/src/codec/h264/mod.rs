//! H.264 headers (Rec. ITU-T H.264 | ISO/IEC 14496-10): parameter sets (7.3.2.1, 7.3.2.2), the
//! beginning of a slice header (7.3.3), where a new picture begins (7.4.1.2.4), picture order
//! count (8.2.1) and the recovery point SEI message (D.1.8).
//!
//! NAL units are given without start code, with their header byte, emulation prevention in place.

mod cabac;
mod order;
mod parameter_sets;
mod slice;
#[cfg(test)]
mod tests;

pub use cabac::{SliceEnd, SlicePps, intra_slice_end};
pub use order::OrderCounter;
pub use parameter_sets::{OrderType, Pps, Sps, sps_extension_id};
pub use slice::SliceHeader;

use bytes::Bytes;

use crate::codec::bits::{BitReader, rbsp};
use crate::codec::nal::sei_messages;
use crate::{H264Config, VideoFormat};

/// `nal_unit_type` (Table 7-1), from the first byte of a NAL unit.
#[must_use]
pub fn nal_type(header: u8) -> u8 {
    header & 0x1f
}

/// `nal_ref_idc`, from the first byte of a NAL unit: 0 where no other picture refers to this one.
#[must_use]
pub fn nal_ref_idc(header: u8) -> u8 {
    (header >> 5) & 3
}

impl H264Config {
    /// The configuration that these parameter sets make, each list ordered by identifier.
    ///
    /// `None` when the first SPS cannot be read.
    #[must_use]
    pub fn from_parameter_sets(
        sps: Vec<Bytes>,
        pps: Vec<Bytes>,
        sps_extensions: Vec<Bytes>,
    ) -> Option<Self> {
        let first = Sps::parse(sps.first()?)?;
        Some(Self {
            profile_idc: first.profile_idc,
            constraint_flags: first.constraint_flags,
            level_idc: first.level_idc,
            video: VideoFormat::from(&first),
            sps,
            pps,
            sps_extensions,
        })
    }
}

/// `recovery_frame_cnt` of the recovery point message in an SEI NAL unit, if it has one.
#[must_use]
pub fn recovery_point(sei: &[u8]) -> Option<u16> {
    let rbsp = rbsp(sei.get(1..)?, usize::MAX);
    let mut count = None;
    sei_messages(&rbsp, |kind, payload| {
        if kind == 6 {
            count = BitReader::new(payload).ue();
        }
    });
    count.map(|count| u16::try_from(count).unwrap_or(u16::MAX))
}
