//! The command and the library: what scripts rely on, limits, timestamps, and what holds for any input.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as expected fails its test"
)]

mod cli;
mod dependencies;
mod judges;
mod limits;
mod properties;
mod timestamps;
