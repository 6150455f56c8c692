//! The judges of Clipmill: they share no code with it.
//!
//! - [`binary`] runs `clipmill`; [`tools`] runs ffmpeg and ffprobe where they are installed;
//! - [`ts`] reads MPEG-TS, [`es`] what is inside it, [`mp4`] reads MP4: plain and slow on purpose;
//! - [`writer`] makes MPEG-TS whose every access unit can be recognised again; [`scte35`] has it carry splices;
//! - [`http`] and [`webdriver`] show a clip to a browser;
//! - [`origin`] is somebody else's web server, which misbehaves as it is told;
//! - [`live`] is a media server, [`server`] runs `clipmill serve` and is its client;
//! - [`replay`] makes live streams of that whose every sample is known;
//! - [`matrix`] has real programs send, and judges what is cut of it;
//! - [`corpus`] finds the media that cannot be part of this repository.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a judge that cannot work fails its test"
)]

pub mod binary;
pub mod corpus;
pub mod es;
pub mod http;
pub mod iso;
pub mod listing;
pub mod live;
pub mod matrix;
pub mod mp4;
pub mod mux;
pub mod origin;
pub mod replay;
pub mod sample_aes;
pub mod scte35;
pub mod server;
pub mod tools;
pub mod ts;
pub mod webdriver;
pub mod writer;
