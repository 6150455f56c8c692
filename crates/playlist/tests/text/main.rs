//! Playlists as text, what they mean, and the windows in them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod corpus;
mod model;
mod properties;
mod windows;
