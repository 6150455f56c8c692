//! Cut MP4 clips out of HLS streams, in-process, without transcoding.
//!
//! A clip is chosen from a playlist's segments ([`Clip::from_playlist`]), laid out as a value whose
//! every byte is known ([`Clip::layout`]), and then written, or read range by range
//! ([`ClipLayout`]). Nothing is decoded; payload is copied once. Everything blocks; there is no
//! runtime and no global state.
//!
//! The last thirty seconds of a stream, frame-accurate, in a file:
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use std::path::Path;
//! use std::time::Duration;
//! use clipmill::{AnySource, Clip, ClipRequest, Format, Location, WindowRequest};
//!
//! let source = AnySource::default();
//! let playlist = Location::File("live/index.m3u8".into());
//! let request = ClipRequest {
//!     window: WindowRequest {
//!         last: Some(Duration::from_secs(30)),
//!         ..WindowRequest::default()
//!     },
//!     ..ClipRequest::default()
//! };
//! let clip = Clip::from_playlist(&source, &playlist, &request, &mut |_| ControlFlow::Continue(()))?;
//! let layout = clip.layout(Format::Mp4)?;
//! layout.write_to_path(&source, Path::new("clip.mp4"), &mut |_| ControlFlow::Continue(()))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Servers keep a [`Timeline`] per stream, push each segment's index once, and make any number of
//! clips from it with [`Clip::new`].
#![forbid(unsafe_code)]

mod clip;
mod compose;
mod cut;
mod decrypt;
mod error;
mod feed;
mod foreign;
mod gaps;
mod growing;
mod indexer;
pub mod live;
mod movie;
mod named;
mod onepass;
mod output;
mod probe;
mod ranged;
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

pub use clip::{Clip, ClipSegment, Gap, TrackSummary};
pub use clipmill_media::{
    CodecConfig, Cue, DeclineCause, DeclinedStream, Language, Limits, SegmentIndex, StreamPlace,
    TimedEvent, TrackKind,
};
pub use clipmill_mp4::ReadError;
pub use clipmill_playlist::{
    ByteRange, DateRange, Location, LocationError, PlaylistError, PlaylistKind, TimeSpec, Variant,
    VariantChoice, WindowRequest, parse_duration,
};
pub use clipmill_ts::{DemuxOptions, Demuxer, IndexError};
pub use compose::{AudioRendition, Composer};
pub use cut::{Bounds, Cut};
pub use decrypt::{DecryptError, SegmentKey};
pub use error::{ClipError, PlaylistFailure, SegmentError};
pub use growing::GrowingClip;
pub use indexer::Indexer;
pub use movie::{MovieError, movie_duration};
pub use onepass::WrittenClip;
pub use probe::{PlaylistSummary, Probe, ScrambledTrack};
pub use ranged::ClipReader;
pub use reader::{ReadSegment, SegmentReader};
pub use render::{ClipLayout, Format, Observer, Progress};
pub use rendition::AudioChoice;
pub use request::ClipRequest;
pub use source::{AnySource, SegmentSource, SourceError};
pub use subtitles::{SubtitleChoice, Subtitles};
pub use timeline::{
    Join, JoinCause, PlacedSegment, Remark, RemarkKind, SegmentInfo, Ticks, Timeline,
};
pub use variants::VariantClip;
