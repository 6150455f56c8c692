//! HLS playlists, and the stretch of them that a clip is cut from.
//!
//! Text goes in, values come out: nothing here opens a file, speaks HTTP or reads a clock.
//!
//! - [`Playlist::parse`]: M3U8 text (RFC 8216, and draft-pantos-hls-rfc8216bis where it adds to
//!   it) to a [`MediaPlaylist`] or a [`MultivariantPlaylist`];
//! - [`VariantChoice`]: which variant of a multivariant playlist to take;
//! - [`TimeSpec`], [`parse_duration`]: instants and durations as people type them;
//! - [`WindowRequest`]: what was asked for, resolved to a [`Window`] of a media playlist;
//! - [`MediaPlaylist::excerpt`]: a window of a playlist as a playlist of its own;
//! - [`Location`], [`resolve`]: where a URI of a playlist leads.
//!
//! Live playlists are caught half-written and encoders take liberties, so parsing is tolerant: what
//! cannot be understood costs a warning with its line number, never the segments around it.
//!
//! ```
//! use clipmill_playlist::{Playlist, PlaylistLimits, WindowRequest};
//!
//! let text = b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXTINF:3.5,\nb.ts\n";
//! let Playlist::Media(media) = Playlist::parse(text, &PlaylistLimits::default())? else {
//!     return Err("not a media playlist".into());
//! };
//! let request = WindowRequest {
//!     from: Some("+5s".parse()?),
//!     ..WindowRequest::default()
//! };
//! let window = request.resolve(&media)?;
//! assert_eq!(window.segments_overlapping(&media), 1..2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attributes;
mod build;
mod date;
mod dating;
mod error;
mod excerpt;
mod location;
mod media;
mod multivariant;
mod parse;
mod playlist;
mod time;
mod variables;
mod window;

pub use error::{PlaylistError, PlaylistLimits};
pub use excerpt::map_uris;
pub use location::{Location, LocationError, candidates, resolve};
pub use media::{
    ByteRange, Cue, DateRange, Key, KeyMethod, Map, MediaPlaylist, Part, PlaylistKind, PreloadHint,
    RenditionReport, Segment, ServerControl,
};
pub use multivariant::{
    MultivariantPlaylist, Rendition, RenditionKind, Resolution, Variant, VariantChoice,
    VariantError,
};
pub use playlist::Playlist;
pub use time::{TimeError, TimeSpec, parse_duration};
pub use variables::Variables;
pub use window::{Position, Window, WindowError, WindowRequest};

/// Tests what the README shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
