//! Media of every kind: codecs, playlists, what others made, what is hostile, and the players that show the
//! clips.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as expected fails its test"
)]

mod chapters;
mod codecs;
mod corpus;
mod hostile;
mod matrix;
mod montage;
mod players;
mod playlists;
