//! Cut MP4 clips out of HLS streams, in-process, without transcoding.
//!
//! An [`Input`] is a playlist (or files) and the source that it is read from. A [`Clip`] is cut from
//! it: the chosen samples, laid out as a value whose every byte is known ([`ClipLayout`]) and then
//! written, or read range by range ([`ClipReader`]). Nothing is decoded; payload is copied once.
//! Everything blocks; there is no runtime and no global state.
//!
//! The last thirty seconds of a stream, frame-accurate, in a file:
//!
//! ```no_run
//! use std::time::Duration;
//! use clipmill::{ClipRequest, Input};
//!
//! let input = Input::playlist("live/index.m3u8");
//! let clip = input.clip(&ClipRequest::last(Duration::from_secs(30)))?;
//! clip.write_to_path("clip.mp4")?;
//! # Ok::<(), clipmill::ClipError>(())
//! ```
//!
//! | to | use |
//! | --- | --- |
//! | cut a playlist, on disk or from the web | [`Input::clip`], [`Input::cut_to_path`] |
//! | join several windows, of one or several streams | [`BoundClip::montage`], [`Clip::montage`] |
//! | serve any byte range of a clip that is stored nowhere | [`BoundClip::reader`] |
//! | record a live stream: periodic clips, clips of any past window | [`live`] |
//! | say what a stream holds | [`Input::probe`] |
//! | read from elsewhere than files and the web | [`SegmentSource`], [`source::MemorySource`] |
//! | place segments on a timeline yourself | [`Indexer`], [`Timeline`], [`Clip::new`] |
#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
mod async_reader;
mod clip;
mod clip_reader;
mod compose;
mod cut;
mod decrypt;
mod error;
mod feed;
mod foreign;
mod fragments;
mod gaps;
mod growing;
mod indexer;
mod input;
mod item;
pub mod live;
mod mismatch;
mod movie;
mod named;
#[doc(hidden)]
pub mod net;
mod onepass;
mod output;
mod probe;
mod reader;
mod render;
mod rendition;
mod request;
mod settle;
pub mod source;
mod stream;
mod subtitles;
#[cfg(test)]
mod testing;
mod timeline;
mod variants;
mod wait;

#[cfg(feature = "tokio")]
pub use async_reader::AsyncClipReader;
pub use clip::{Clip, ClipSegment, Gap, MontagePart, TrackSummary};
pub use clip_reader::ClipReader;
pub use clipmill_media::{
    CodecConfig, Cue, DeclineCause, DeclinedStream, Language, Limits, SegmentIndex, StreamPlace,
    TimedEvent, TrackKind,
};
pub use clipmill_mp4::{Chapter, ReadError};
pub use clipmill_playlist::{
    ByteRange, DateRange, Location, LocationError, PlaylistError, PlaylistKind, TimeSpec, Variant,
    VariantChoice, WindowRequest, parse_duration,
};
pub use clipmill_ts::{DemuxOptions, Demuxer, IndexError};
pub use compose::{AudioRendition, Composer};
pub use cut::{Bounds, Cut};
pub use decrypt::SegmentKey;
pub use error::{ClipError, DecryptError, PlaylistFailure, SegmentError};
pub use fragments::GrowingFragments;
pub use growing::GrowingClip;
pub use indexer::Indexer;
pub use input::{BoundClip, BoundSource, Input};
pub use mismatch::{MontageError, TrackMismatch};
pub use movie::{MovieError, movie_duration};
pub use onepass::WrittenClip;
pub use probe::{PlaylistSummary, Probe, ScrambledTrack};
pub use reader::{ReadSegment, SegmentReader};
pub use render::{ClipLayout, Format, Progress};
pub use rendition::AudioChoice;
pub use request::ClipRequest;
pub use source::{AnySource, SegmentSource, SourceError};
pub use subtitles::{SubtitleChoice, Subtitles};
pub use timeline::{
    Join, JoinCause, PlacedSegment, Remark, RemarkKind, SegmentInfo, Ticks, Timeline,
    duration_ticks,
};
pub use variants::VariantClip;

/// Tests what the README shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
