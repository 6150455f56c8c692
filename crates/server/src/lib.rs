//! The clip server: cuts MP4 clips out of live HLS, periodically and on demand.
#![forbid(unsafe_code)]

mod app;
pub mod catalog;
mod clients;
pub mod config;
pub mod demo;
pub mod domain;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod housekeeping;
pub mod http;
pub mod ingest;
pub mod metrics;
pub mod pull;
pub mod recorder;
pub mod schedule;
pub mod scripts;
pub(crate) mod sources;
pub mod spool;
pub mod storage;
pub mod webhooks;

pub use app::{ServeError, serve};
