//! Reading fragmented MP4, as HLS and CMAF have it (ISO/IEC 14496-12, 8.8; ISO/IEC 23000-19): where
//! every sample of a media segment lies, without copying or decoding any.
//!
//! [`InitSegment`] is what a `moov` says of its tracks, `entry` reads their sample entries, and
//! [`FragmentIndexer`] walks the movie fragments of one segment after the other. [`MovieDuration`] tells how long a
//! whole file is presented.
//!
//! ```
//! use clipmill_media::Limits;
//! use clipmill_mp4::{FragmentIndexer, ReadError};
//!
//! fn print(init: &[u8], segments: &[Vec<u8>]) -> Result<(), ReadError> {
//!     let mut indexer = FragmentIndexer::new(&Limits::default());
//!     indexer.init(init)?;
//!     for segment in segments {
//!         for track in &indexer.index(segment)?.tracks {
//!             println!("track {}: {} samples", track.id(), track.samples().len());
//!         }
//!     }
//!     Ok(())
//! }
//! # print(&[], &[]).unwrap_err();
//! ```

mod duration;
mod edits;
mod entry;
mod error;
mod events;
mod fragment;
mod indexer;
mod init;
mod nal;
mod pictures;
mod sample_entry;
mod sound;
mod walk;

pub use duration::MovieDuration;
pub use error::ReadError;
pub use indexer::FragmentIndexer;
pub use init::InitSegment;
pub use walk::looks_like_mp4;
