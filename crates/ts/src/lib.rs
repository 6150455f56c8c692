//! MPEG-TS (ISO/IEC 13818-1) segments turned into a [`SegmentIndex`](clipmill_media::SegmentIndex):
//! which tracks there are, and where every sample lies, without copying or decoding any.
//!
//! ```
//! use clipmill_ts::{DemuxOptions, Demuxer, IndexError};
//!
//! fn print(segments: &[Vec<u8>]) -> Result<(), IndexError> {
//!     let mut demuxer = Demuxer::new(DemuxOptions::default());
//!     for segment in segments {
//!         let index = demuxer.index(segment)?;
//!         for track in &index.tracks {
//!             println!("PID {:#06x}: {} samples", track.id(), track.samples().len());
//!         }
//!         for damage in index.damage.kept() {
//!             println!("damaged {damage}");
//!         }
//!     }
//!     Ok(())
//! }
//! # print(&[]).unwrap();
//! ```
//!
//! From the bytes up: `packet` finds the packets, `psi` and `sdt` read the tables, `stream_type` tells what
//! each stream is (`probe` guesses where there are no tables, `probing` asks `recognise` what the
//! payload is where the tables say nothing or something else, and `scrambling` tells what is of no use),
//! `stream` checks continuity and takes
//! PES packets apart with `pes`, `clock` unrolls their timestamps, and the assemblers behind
//! `assemble` make access units of the payload. `events` takes timed metadata, and `demux` holds it all together. `packed` gives the
//! same assemblers audio that comes without any packets; `sample_aes` makes an ordinary segment of one
//! whose samples are encrypted.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod assemble;
mod audio;
mod clock;
mod demux;
mod error;
mod events;
mod habits;
mod make;
mod packed;
mod packet;
mod pes;
mod probe;
mod probing;
mod programs;
mod psi;
mod recognise;
mod sample_aes;
mod scrambling;
mod sdt;
mod stream;
mod stream_type;
#[cfg(test)]
mod testing;
mod video;

pub use demux::{DemuxOptions, Demuxer};
pub use error::IndexError;
pub use packed::PackedAudio;
pub use packet::looks_like_ts;
pub use sample_aes::{SampleCipher, SampleEvidence, decrypt_samples};

/// Tests what the README shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
