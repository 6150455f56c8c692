//! Inputs, measures and judges for the benches of Clipmill.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that cannot measure stops"
)]

pub mod compare;
pub mod interrupt;
pub mod load;
pub mod machine;
pub mod media;
pub mod memory;
pub mod plot;
pub mod process;
pub mod stats;
pub mod units;
