//! Transport streams made by others, and those whose tables lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod corpus;
mod misdeclared;
