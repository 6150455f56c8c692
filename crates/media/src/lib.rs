//! The words that every other Clipmill crate speaks.
//!
//! A container parser (`clipmill-ts`, `clipmill-mp4`) turns the bytes of one media segment into a
//! [`SegmentIndex`]: tracks, and where every sample lies inside the segment. Nothing here knows a
//! container, opens a file or reads a clock.
//!
//! - [`SegmentIndex`], [`TrackIndex`], [`Sample`]: the index, made with [`TrackBuilder`];
//! - [`CodecConfig`]: what a decoder must know before the first sample, see [`codec`] for the
//!   headers that it is made from;
//! - [`TimedEvent`]: timed metadata; [`scte35`]: what splices among it say;
//! - [`Damage`]: what was found broken, and where;
//! - [`Limits`]: every size that comes from outside;
//! - [`side_by_side`]: tracks do not depend on each other.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod codec;
mod config;
mod damage;
mod declined;
mod event;
mod index;
mod language;
mod limits;
mod parallel;
mod samples;
pub mod scte35;
mod webvtt;

pub use config::{
    AacConfig, Ac3Config, Av1Config, Chroma, CodecConfig, Colour, DtsConfig, Eac3Config,
    Eac3Substream, FlacConfig, H264Config, H265Config, Mpeg2VideoConfig, MpegAudioConfig,
    OpusConfig, Rational, TrackKind, VideoFormat, Vp9Config, WebVttConfig,
};
pub use damage::{Damage, DamageKind, DamageLog};
pub use declined::{DeclineCause, DeclinedStream, StreamPlace};
pub use event::{ID3_SCHEME, SCTE35_SCHEME, TimedEvent};
pub use index::{
    GatherError, Leading, RandomAccess, Sample, SegmentIndex, TrackBuilder, TrackIndex, TrackTiming,
};
pub use language::Language;
pub use limits::{LimitExceeded, Limits};
pub use parallel::side_by_side;
pub use samples::{Samples, SamplesIter};
pub use webvtt::{Cue, TimestampMap, WebVtt, WebVttError, write_webvtt};

/// Ticks per second of MPEG-TS timestamps (ISO/IEC 13818-1, 2.4.3.7).
pub const CLOCK_90K: u32 = 90_000;
