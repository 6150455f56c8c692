//! Telling the world: a webhook is queued with what it tells of, in the catalog, and tried until
//! its receiver takes it or it is too old.
//!
//! - [`vod_ready`], [`stream_started`], [`stream_ended`] make the events;
//! - [`Deliveries`] delivers them: every receiver has its own queue and its own pace.

mod deliver;
mod event;
mod request;

pub use self::deliver::Deliveries;
pub use self::event::{stream_ended, stream_started, vod_ready};
