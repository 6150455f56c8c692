//! The bodies of the fuzz targets, as plain functions: each takes any bytes and panics when
//! something that must hold does not.
//!
//! - `transport`: [`ts_segment`], any bytes as an MPEG-TS segment; [`ts_packets`], packets that are
//!   right but for what they say; [`ts_sequence`], a sound stream to which things happen; [`sample_aes`], encrypted samples;
//! - `fragments`: [`fmp4`], any bytes as fragmented MP4; [`fmp4_boxes`], a sound one whose boxes lie;
//! - `codecs`: [`codec_headers`], one by one;
//! - `splices`: [`splice`], a section whose length and check sum are right;
//! - `playlists`: [`playlist`], cut from; [`window`], resolved; [`reload`], read again and again;
//! - `whole`: [`whole_cut`], the playlist edited, the segments damaged, the window anything;
//! - `server`: [`http_request`], [`records`].
//!
//! The tests replay `fuzz/seeds` through them; `fuzz_targets` puts libFuzzer in front, and `run.sh`
//! runs it and says what came of it.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a target reports"
)]

mod check;
mod codecs;
mod fragments;
mod memory;
mod playlists;
mod server;
mod splices;
mod transport;
mod whole;

pub use self::check::{cut, sound_file};
pub use self::codecs::codec_headers;
pub use self::fragments::{fmp4, fmp4_boxes};
pub use self::memory::Memory;
pub use self::playlists::{playlist, reload, window};
pub use self::server::{http_request, records};
pub use self::splices::splice;
pub use self::transport::{sample_aes, ts_packets, ts_segment, ts_sequence};
pub use self::whole::cut as whole_cut;

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target, by its own name, which its folder in `fuzz/seeds` has too.
pub const TARGETS: &[(&str, Target)] = &[
    ("ts_segment", ts_segment),
    ("ts_packets", ts_packets),
    ("ts_sequence", ts_sequence),
    ("sample_aes", sample_aes),
    ("fmp4", fmp4),
    ("fmp4_boxes", fmp4_boxes),
    ("codec_headers", codec_headers),
    ("splice", splice),
    ("playlist", playlist),
    ("window", window),
    ("reload", reload),
    ("whole_cut", whole_cut),
    ("http_request", http_request),
    ("records", records),
];
