//! Video elementary streams turned into access units, one type for each codec.
//!
//! `scan` finds start codes, `stamps` knows which timestamp belongs to what begins where, `nal`
//! makes access units of NAL units with the `syntax` that `h264` and `h265` know (`ahead` is what waits
//! for its slice), `mpeg2` makes them of picture headers and `av1` of OBUs, and `pictures` gathers them
//! until `timing` can tell when each is due: `stray` leaves out timestamps that cannot be meant, and
//! `late` moves decoding times that lie behind the presentation.

mod ahead;
mod av1;
mod believed;
mod h264;
mod h265;
mod late;
mod mpeg2;
mod nal;
mod pictures;
mod scan;
mod stamps;
mod stray;
mod syntax;
#[cfg(test)]
mod tests;
mod timing;

pub(crate) use av1::Av1Assembler;
pub(crate) use mpeg2::Mpeg2Assembler;

/// Access units of H.264 (Rec. ITU-T H.264, 7.4.1.2).
pub(crate) type H264Assembler = nal::NalAssembler<h264::H264>;

/// Access units of H.265 (Rec. ITU-T H.265, 7.4.2.4).
pub(crate) type H265Assembler = nal::NalAssembler<h265::H265>;
