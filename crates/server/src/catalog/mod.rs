//! What is known of clips, streams and webhooks, kept where a restart finds it.
//!
//! The catalog is an index. The files are the truth: beside each clip lies the record that makes its
//! entry, so that a catalog that is lost can be made again ([`rebuild`]).

mod changes;
#[cfg(test)]
pub(crate) mod conformance;
mod rebuild;
mod sled;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::config::AppSettings;
use crate::domain::{
    ClipEntry, Delivery, Marker, Periodic, PullSource, RecordedWindow, StreamEntry,
};
use crate::storage::ClipRecord;
pub use clipmill::live::{Boundary, TakenSegment};

pub use self::changes::{announce, change_periodic, change_stream};
pub(crate) use self::rebuild::{PAGE, bury_doomed, known_keys};
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

/// An entry with its place in the order of creation: a later one has the greater.
pub type Placed = (u64, ClipEntry);

/// A webhook with its place in the queue: a later one has the greater.
pub type Ticket = (u64, Delivery);

impl PeriodicState {
    /// Whether an application records periodically, and at which interval: as REST said, unless
    /// the configuration says something else than it did then.
    #[must_use]
    pub fn effective(state: Option<&Self>, app: &AppSettings) -> Option<Duration> {
        let Periodic {
            enabled,
            interval_seconds,
        } = Self::in_force(state, app);
        enabled.then(|| Duration::from_secs(interval_seconds))
    }

    /// The same, with the interval that there would be.
    pub(crate) fn in_force(state: Option<&Self>, app: &AppSettings) -> Periodic {
        let configured = (app.enabled, app.interval.as_secs());
        let (enabled, interval_seconds) = match state {
            Some(state) if state.configured == configured => {
                (state.enabled, state.interval_seconds)
            }
            _ => configured,
        };
        Periodic {
            enabled,
            interval_seconds,
        }
    }
}

/// What became of a clip that was to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is known from now on.
    Now,
    /// It was known already, or has been removed since: the same command came before.
    Before,
    /// Its boundary does not move the stream forward: nothing is changed. This is the ordinal of the one
    /// that is known.
    Behind(u64),
}

/// What became of a boundary that was to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It is known from now on.
    Now,
    /// The one that is known has this ordinal, which is greater: nothing is changed.
    Behind(u64),
}

/// A webhook that one worker delivers and no other, as long as its lease lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// Its place in the queue.
    pub place: u64,
    /// Tells this claim from all others.
    pub claim: u64,
    /// The webhook.
    pub delivery: Delivery,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// The webhook is the caller's.
    Yours(Claimed),
    /// Somebody else delivers it just now.
    Taken,
    /// Somebody else has tried since: it is this now.
    Changed(Delivery),
    /// It is in the queue no more.
    Gone,
}

/// What a catalog gives, once it is awaited: nothing is done before. It borrows nothing but the catalog.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// The catalog: commands, and what is asked. What a command has changed lasts when it returns, whole or
/// not at all, also where whoever gave it is gone by then.
///
/// Several may use it at the same time, on several machines. So a command names what it changes, or what
/// must still be there; one that comes twice, as when its answer got lost, is harmless. Nothing of it
/// depends on the clocks of those who use it.
pub trait Catalog: Send + Sync {
    /// A clip that is whole on the disk becomes known: its entry, the boundary that it moved and
    /// the webhooks that tell of it, all of them or none. A boundary has to be later than the one that is
    /// known.
    fn commit_clip(
        &self,
        app: &str,
        clip: &ClipEntry,
        boundary: Option<&Boundary>,
        hooks: &[Delivery],
    ) -> Answer<'_, Committed>;

    /// An entry.
    fn clip(&self, app: &str, clip_id: &str) -> Answer<'_, Option<ClipEntry>>;
    /// Some entries.
    fn clips(&self, app: &str, query: &ClipQuery) -> Answer<'_, Vec<ClipEntry>>;
    /// All entries, page by page in the order in which they were committed: those whose place is greater than
    /// `after`, at most `limit` of them. One that is committed later has a greater place than all that were
    /// listed before.
    fn clips_after(&self, app: &str, after: u64, limit: usize) -> Answer<'_, Vec<Placed>>;
    /// How many entries match.
    fn count_clips(&self, app: &str, search: Option<&str>) -> Answer<'_, u64>;
    /// Removes an entry; gives what it was. Its file is doomed from then on: whatever happens, it
    /// is removed sooner or later.
    fn delete_clip(&self, app: &str, clip_id: &str) -> Answer<'_, Option<ClipEntry>>;
    /// The entries that were removed and whose files may still be there.
    fn doomed(&self, app: &str) -> Answer<'_, Vec<ClipEntry>>;
    /// The file of a removed entry is gone.
    fn bury(&self, app: &str, clip_id: &str) -> Answer<'_, ()>;
    /// Makes entries of clips that were found, in this order, unless they have one. A boundary
    /// counts only where it is later than the one that is known.
    fn import(&self, clips: &[ClipRecord]) -> Answer<'_, ()>;
    /// Forgets all entries of an application, and nothing else.
    fn clear_clips(&self, app: &str) -> Answer<'_, ()>;

    /// A broadcast.
    fn stream(&self, app: &str, stream_id: &str) -> Answer<'_, Option<StreamEntry>>;
    /// Puts a broadcast where `known` is what there is under its id (`None`: nothing), and queues the
    /// webhook that tells of it: both of them or neither. Gives false, and changes nothing, where
    /// there is something else by now. See [`change_stream`] and [`announce`].
    fn replace_stream(
        &self,
        app: &str,
        known: Option<&StreamEntry>,
        new: &StreamEntry,
        hook: Option<&Delivery>,
    ) -> Answer<'_, bool>;
    /// Some broadcasts, in the order of their ids.
    fn streams(&self, app: &str, offset: usize, size: usize) -> Answer<'_, Vec<StreamEntry>>;
    /// How many broadcasts there are.
    fn count_streams(&self, app: &str) -> Answer<'_, u64>;
    /// Removes a broadcast; false when there is none.
    fn delete_stream(&self, app: &str, stream_id: &str) -> Answer<'_, bool>;

    /// The streams that calls have had pulled, by their ids.
    fn pulls(&self, app: &str) -> Answer<'_, Vec<PullSource>>;
    /// Has a stream pulled, in place of what was pulled under its id.
    fn put_pull(&self, app: &str, source: &PullSource) -> Answer<'_, ()>;
    /// Has it pulled no more; false when there is none of this id.
    fn delete_pull(&self, app: &str, stream_id: &str) -> Answer<'_, bool>;

    /// Puts a marker of a stream, in place of what there is under its id. Gives false, and changes nothing, where that
    /// one was removed.
    fn put_marker(&self, app: &str, stream_id: &str, marker: &Marker) -> Answer<'_, bool>;
    /// A marker of a stream, if it was not removed.
    fn marker(&self, app: &str, stream_id: &str, id: &str) -> Answer<'_, Option<Marker>>;
    /// The markers of a stream, by their beginnings and then by their ids; those that were `removed`, too, if so.
    fn markers(&self, app: &str, stream_id: &str, removed: bool) -> Answer<'_, Vec<Marker>>;
    /// Removes a marker; false when there is none of this id. One that no call has set is remembered as removed.
    fn remove_marker(&self, app: &str, stream_id: &str, id: &str) -> Answer<'_, bool>;
    /// Forgets markers of a stream, removed or not.
    fn forget_markers(&self, app: &str, stream_id: &str, ids: &[String]) -> Answer<'_, ()>;

    /// Where a stream's last periodic clip ended.
    fn boundary(&self, app: &str, stream_id: &str) -> Answer<'_, Option<Boundary>>;
    /// Moves that where no clip does, within the same ordinal or forward, never back.
    fn move_boundary(&self, app: &str, stream_id: &str, to: &Boundary) -> Answer<'_, Moved>;
    /// The recordings of a stream that have not come to their ends, in the order of their beginnings.
    fn recordings(&self, app: &str, stream_id: &str) -> Answer<'_, Vec<OpenRecording>>;
    /// A recording begins, unless one of the same id runs.
    fn begin_recording(
        &self,
        app: &str,
        stream_id: &str,
        recording: &OpenRecording,
    ) -> Answer<'_, ()>;
    /// A recording is a clip, or nothing came of it.
    fn finish_recording(&self, app: &str, stream_id: &str, vod_id: &str) -> Answer<'_, ()>;
    /// The windows of an application's streams that are recorded, by their ids.
    fn recorded_windows(&self, app: &str) -> Answer<'_, Vec<RecordedWindow>>;
    /// Has a window recorded; false, and nothing is changed, where one of its id is.
    fn record_window(&self, app: &str, window: &RecordedWindow) -> Answer<'_, bool>;
    /// Has a window that is recorded end at `to_ms`, unless it ends before that; gives what it is now. `None`: there is
    /// none of this id.
    fn end_recorded_window(
        &self,
        app: &str,
        id: &str,
        to_ms: i64,
    ) -> Answer<'_, Option<RecordedWindow>>;
    /// A window that was recorded is a clip, or nothing came of it; false when there is none of this id.
    fn forget_recorded_window(&self, app: &str, id: &str) -> Answer<'_, bool>;
    /// What REST asked of periodic recording.
    fn periodic(&self, app: &str) -> Answer<'_, Option<PeriodicState>>;
    /// Replaces that where it is still `known`. Gives false, and changes nothing, where it is something
    /// else by now.
    fn replace_periodic(
        &self,
        app: &str,
        known: Option<&PeriodicState>,
        new: Option<&PeriodicState>,
    ) -> Answer<'_, bool>;

    /// Queued webhooks whose place is greater than `after`, at most `limit` of them, by their places. One
    /// that is queued later has a greater place than all that were listed before.
    fn deliveries_after(&self, after: u64, limit: usize) -> Answer<'_, Vec<Ticket>>;
    /// Claims a webhook for as long as `lease`, by the clock of the store, if it has been tried `attempts`
    /// times and nobody has it.
    fn claim_delivery(&self, place: u64, attempts: u32, lease: Duration) -> Answer<'_, Claim>;
    /// Keeps a webhook for another try, as it is now, and gives the claim back. Gives false, and changes
    /// nothing, where somebody else has claimed it since, or it is gone.
    fn retry_delivery(&self, tried: &Claimed) -> Answer<'_, bool>;
    /// Forgets a webhook that was delivered, by whomever.
    fn finish_delivery(&self, place: u64) -> Answer<'_, ()>;
    /// Lists a webhook as failed; false as for [`retry_delivery`](Self::retry_delivery).
    fn fail_delivery(&self, tried: &Claimed) -> Answer<'_, bool>;
    /// The webhooks that were given up, the latest last.
    fn failed_deliveries(&self) -> Answer<'_, Vec<Delivery>>;
    /// Brings to the disk what was not worth a wait when it was changed.
    fn flush(&self) -> Answer<'_, ()>;
    /// Is notified when webhooks were added.
    fn deliveries_added(&self) -> Arc<Notify>;
}
