//! What the server means by its words: clips, streams, gaps, deliveries, and what they may be called.
//!
//! Values alone: this room uses no other room of the server. What callers see of them is made by adapters, such as
//! Ant Media Server's JSON in `http/ant_media`; what the catalog and the metadata files keep is the serialised form
//! that each type documents.

mod clip;
mod clock;
mod delivery;
mod gap;
mod marker;
mod names;
mod pull;
mod recorded_window;
mod stream;
mod stream_settings;

pub use clipmill::live::Boundary;

pub use self::clip::{ClipEntry, ClipKind, ClipOrigin, JoinedWindow};
pub use self::clock::{Instant, now_ms};
pub use self::delivery::Delivery;
pub use self::gap::Gap;
pub use self::marker::{Marker, MarkerOrigin, SpliceEvent};
pub use self::names::{CLIP_ID_LEN, clip_id, is_app_name, is_clip_id, is_stream_id};
pub(crate) use self::names::{percent_encoded, percent_encoded_part};
pub use self::pull::PullSource;
pub use self::recorded_window::RecordedWindow;
pub use self::stream::{SETTINGS, StreamEntry, StreamStatus};
pub use self::stream_settings::{Periodic, Set, StreamSettings};
