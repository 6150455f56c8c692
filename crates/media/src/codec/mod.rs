//! Codec headers, one file per codec, each with the clause of the standard that it follows.

pub mod aac;
pub mod ac3;
pub mod av1;
pub mod bits;
pub mod dts;
pub mod h264;
pub mod h265;
pub mod hdr;
pub mod latm;
pub mod mpeg2video;
pub mod mpeg_audio;
pub(crate) mod nal;
pub mod opus;
