//! MP4 as a value (ISO/IEC 14496-12), and fragmented MP4 read.
//!
//! A [`Movie`] says what the file holds: tracks, their codec configurations, and every sample as
//! numbers. A [`Layout`] made from it is the exact MP4: its length is known, and any range of its
//! bytes can be rendered, in [`Span`]s that are either literal bytes or media still lying in its
//! segment. Nothing here does I/O, knows MPEG-TS, or touches a payload.
//!
//! - [`Layout::progressive`]: `moov` first, then one interleaved `mdat`;
//! - [`Layout::progressive_behind`] and [`segment_spans`]: the same, its media written first;
//! - [`Layout::fragmented`]: movie fragments behind a global `sidx`;
//! - [`Fragmenter`]: the same fragments one after the other, as they are made, for a pipe;
//! - [`FragmentIndexer`]: the way back, from CMAF segments to where their samples lie.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod boxes;
mod chapters;
mod chunks;
mod entries;
mod error;
mod events;
mod fragment;
mod fragmented;
mod layout;
mod moof;
mod moov;
mod movie;
mod plan;
mod read;
mod regions;
mod small_track;
mod span;
mod tables;
mod tags;
mod webvtt;

pub use chapters::Chapter;
pub use chunks::{SegmentPart, segment_spans};
pub use error::LayoutError;
pub use events::event_message;
pub use fragment::{Fragment, FragmentOptions, FragmentTrack, Fragmenter};
pub use layout::Layout;
pub use movie::{Edit, Movie, MovieSample, Run, Track};
pub use read::{FragmentIndexer, InitSegment, MovieDuration, ReadError, looks_like_mp4};
pub use span::{MediaSpan, OwnedSpan, Span, restart_coding};
pub use tags::{METADATA_UUID, find_metadata};
pub use webvtt::webvtt_sample;

/// Ticks per second of the movie's own timeline: `mvhd`, `tkhd` and edit durations
/// (ISO/IEC 14496-12, 8.2.2).
pub const MOVIE_TIMESCALE: u32 = 90_000;
