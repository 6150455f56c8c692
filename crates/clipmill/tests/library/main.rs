//! The library as those use it who embed it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod composing;
mod inputs;
mod missing;
mod one_pass;
