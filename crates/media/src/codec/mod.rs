//! Codec headers, one file per codec, each with the clause of the standard that it follows.

pub mod aac;
pub mod ac3;
pub mod bits;
pub mod mpeg_audio;
pub mod opus;
