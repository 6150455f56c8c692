//! The server, against the real binary: its calls, what it records, what it survives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as expected fails its test"
)]

mod contract;
mod faults;
mod hostile;
mod pull;
mod push;
mod recording;
mod virtual_clips;
