//! Layouts and segments, as other readers and writers of MP4 have them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod any_movie;
mod chapters;
mod common;
mod fragmented;
mod progressive;
mod read;
