//! What is known of clips, streams and webhooks, kept where a restart finds it.
//!
//! The catalog is an index. The files are the truth: beside each clip lies the record that makes its
//! entry, so that a catalog that is lost can be made again ([`rebuild`]).

mod broadcasts;
#[cfg(test)]
mod conformance;
mod rebuild;
mod sled;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::config::AppSettings;
use crate::domain::{ClipEntry, Delivery, StreamEntry};
use crate::storage::ClipRecord;
pub use clipmill::live::{Boundary, TakenSegment};

pub use self::broadcasts::{announce, change_stream};
pub(crate) use self::rebuild::bury_doomed;
pub use self::rebuild::{Rebuilt, ReconcileError, Reconciled, rebuild, reconcile};
#[cfg(feature = "fuzzing")]
pub(crate) use self::sled::is_readable;
pub use self::sled::{Opened, SledCatalog};

/// What a catalog gives.
pub type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// Why the catalog did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The store failed.
    #[error("catalog: {0}")]
    Store(String),
    /// The disk is full.
    #[error("catalog: no space left on the disk")]
    DiskFull,
    /// Two processes cannot have it open.
    #[error("catalog: {} is in use by another process", folder.display())]
    InUse {
        /// Where it lies.
        folder: std::path::PathBuf,
    },
    /// An entry makes no sense.
    #[error("catalog: entry {key} cannot be read: {error}")]
    Entry {
        /// Which.
        key: String,
        /// Why.
        error: serde_json::Error,
    },
}

/// A recording that has not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRecording {
    /// What its clip will be called.
    pub vod_id: String,
    /// Where it begins, and in which session.
    pub begins: Boundary,
}

/// What REST asked of periodic recording. It holds until the configuration says something new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodicState {
    /// Whether it runs.
    pub enabled: bool,
    /// How long an interval is.
    pub interval_seconds: u64,
    /// What the configuration said when REST was called.
    pub configured: (bool, u64),
}

/// In which order entries are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortBy {
    /// As they were made.
    #[default]
    Creation,
    /// By file name, in whatever case.
    Name,
    /// By the time at which they were made.
    Date,
}

/// Which entries are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClipQuery {
    /// How many to skip.
    pub offset: usize,
    /// How many at most.
    pub size: usize,
    /// In which order.
    pub sort_by: SortBy,
    /// The other way round.
    pub descending: bool,
    /// Of this stream alone.
    pub stream_id: Option<String>,
    /// With this text in them, in whatever case.
    pub search: Option<String>,
}

/// A webhook with its place in the queue: a later one has the greater.
pub type Ticket = (u64, Delivery);

impl PeriodicState {
    /// Whether an application records periodically, and at which interval: as REST said, unless
    /// the configuration says something else than it did then.
    #[must_use]
    pub fn effective(state: Option<&Self>, app: &AppSettings) -> Option<Duration> {
        let configured = (app.enabled, app.interval.as_secs());
        let (enabled, seconds) = match state {
            Some(state) if state.configured == configured => {
                (state.enabled, state.interval_seconds)
            }
            _ => configured,
        };
        enabled.then(|| Duration::from_secs(seconds))
    }
}

/// The catalog. Everything blocks; what a call has changed is on the disk when it returns.
pub trait Catalog: Send + Sync {
    /// A clip that is whole on the disk becomes known: its entry, the boundary that it moved and
    /// the webhooks that tell of it, all of them or none.
    fn commit_clip(
        &self,
        app: &str,
        clip: &ClipEntry,
        boundary: Option<(&str, &Boundary)>,
        hooks: &[Delivery],
    ) -> Result<()>;

    /// An entry.
    fn clip(&self, app: &str, clip_id: &str) -> Result<Option<ClipEntry>>;
    /// Some entries.
    fn clips(&self, app: &str, query: &ClipQuery) -> Result<Vec<ClipEntry>>;
    /// How many entries match.
    fn count_clips(&self, app: &str, search: Option<&str>) -> Result<u64>;
    /// Removes an entry; gives what it was. Its file is doomed from then on: whatever happens, it
    /// is removed sooner or later.
    fn delete_clip(&self, app: &str, clip_id: &str) -> Result<Option<ClipEntry>>;
    /// The entries that were removed and whose files may still be there.
    fn doomed(&self, app: &str) -> Result<Vec<ClipEntry>>;
    /// The file of a removed entry is gone.
    fn bury(&self, app: &str, clip_id: &str) -> Result<()>;
    /// Makes entries of clips that were found, in this order, unless they have one. A boundary
    /// counts only where it is later than the one that is known.
    fn import(&self, clips: &[ClipRecord]) -> Result<()>;
    /// Forgets all entries of an application, and nothing else.
    fn clear_clips(&self, app: &str) -> Result<()>;

    /// A broadcast.
    fn stream(&self, app: &str, stream_id: &str) -> Result<Option<StreamEntry>>;
    /// Puts a broadcast where `known` is what there is under its id (`None`: nothing), and queues the
    /// webhook that tells of it: both of them or neither. Gives false, and changes nothing, where
    /// there is something else by now. See [`change_stream`] and [`announce`].
    fn replace_stream(
        &self,
        app: &str,
        known: Option<&StreamEntry>,
        new: &StreamEntry,
        hook: Option<&Delivery>,
    ) -> Result<bool>;
    /// Some broadcasts, in the order of their ids.
    fn streams(&self, app: &str, offset: usize, size: usize) -> Result<Vec<StreamEntry>>;
    /// How many broadcasts there are.
    fn count_streams(&self, app: &str) -> Result<u64>;
    /// Removes a broadcast; false when there is none.
    fn delete_stream(&self, app: &str, stream_id: &str) -> Result<bool>;

    /// Where a stream's last periodic clip ended.
    fn boundary(&self, app: &str, stream_id: &str) -> Result<Option<Boundary>>;
    /// Sets that, where no clip does.
    fn set_boundary(&self, app: &str, stream_id: &str, boundary: Option<&Boundary>) -> Result<()>;
    /// The recordings of a stream that have not come to their ends.
    fn recordings(&self, app: &str, stream_id: &str) -> Result<Vec<OpenRecording>>;
    /// Sets that.
    fn set_recordings(
        &self,
        app: &str,
        stream_id: &str,
        recordings: &[OpenRecording],
    ) -> Result<()>;
    /// What REST asked of periodic recording.
    fn periodic(&self, app: &str) -> Result<Option<PeriodicState>>;
    /// Sets that.
    fn set_periodic(&self, app: &str, state: Option<&PeriodicState>) -> Result<()>;

    /// Adds webhooks to the queue.
    fn enqueue(&self, hooks: &[Delivery]) -> Result<()>;
    /// Queued webhooks whose place is greater than `after`, at most `limit` of them.
    fn deliveries_after(&self, after: u64, limit: usize) -> Result<Vec<Ticket>>;
    /// A queued webhook.
    fn delivery(&self, place: u64) -> Result<Option<Delivery>>;
    /// Keeps a webhook for another try.
    fn retry_delivery(&self, place: u64, hook: &Delivery) -> Result<()>;
    /// Forgets a webhook that was delivered.
    fn finish_delivery(&self, place: u64) -> Result<()>;
    /// Lists a webhook as failed.
    fn fail_delivery(&self, place: u64, hook: &Delivery) -> Result<()>;
    /// The webhooks that were given up, the latest last.
    fn failed_deliveries(&self) -> Result<Vec<Delivery>>;
    /// Brings to the disk what was not worth a wait when it was changed.
    fn flush(&self) -> Result<()>;
    /// Is notified when webhooks were added.
    fn deliveries_added(&self) -> Arc<Notify>;
}
