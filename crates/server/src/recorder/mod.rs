//! One recorder per stream.

mod request;

pub use self::request::{ClipWindow, MadeClip, OnDemandError, RecorderStatus};
