//! The catalog in a sled store.
//!
//! One tree. The first byte of a key says what it is; then come the application and the
//! identifier, parted by zeros; numbers are big-endian, so that they sort. Values are JSON with a
//! version:
//!
//! | key | value |
//! | --- | --- |
//! | `v app 0 clipId` | [`Entry`]: the clip entry and its place in the order of creation |
//! | `o app 0 place` | the clipId at that place |
//! | `d app 0 clipId` | the clip entry of a file that is to be removed |
//! | `b app 0 streamId` | the broadcast |
//! | `k app 0 streamId 0 markerId` | a marker, or that it was removed |
//! | `m app 0 streamId` | the boundary |
//! | `r app 0 streamId` | the recordings that have not come to their ends |
//! | `w app 0 clipId` | a window that is recorded |
//! | `p app` | what REST asked of periodic recording |
//! | `h place`, `f place` | a webhook that is queued, that failed |
//! | `c name` | a counter |
//! | `!format` | marks a store that was made whole |

mod blocking;
mod claims;
mod life;
mod store;
#[cfg(test)]
mod tests;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use self::blocking::Blocking;
#[cfg(feature = "fuzzing")]
pub(crate) use self::values::is_readable;
use super::{
    Answer, Boundary, Catalog, CatalogError, Claim, Claimed, ClipQuery, Committed, Moved,
    OpenRecording, PeriodicState, Placed, Result, Ticket,
};
use crate::domain::{ClipEntry, Delivery, Marker, PullSource, RecordedWindow, StreamEntry};
use crate::storage::ClipRecord;

/// Commands that wait for the disk at once: those that come together share what they wait for, and a
/// thousand streams that begin at once do not take a thread each.
const WRITING_AT_ONCE: usize = 32;

/// The catalog in a sled store, which blocks: so all of it is done beside the threads of the runtime,
/// and a command that was given is done though nobody waits for it any more.
#[derive(Debug, Clone)]
pub struct SledCatalog {
    blocking: Arc<Blocking>,
    writing: Arc<Semaphore>,
}

/// A store that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The catalog.
    pub catalog: SledCatalog,
    /// Whether there was none before: then it knows nothing of the clips on the disk.
    pub fresh: bool,
    /// Where a store was put that could not be read.
    pub set_aside: Option<PathBuf>,
}

impl SledCatalog {
    /// Opens the store in `folder`, which blocks. One that cannot be read is set aside, and what can still
    /// be read of it, clips excepted, is taken over: those are found again in the files.
    ///
    /// # Errors
    /// When the folder cannot be used, or another process has it open.
    pub fn open(folder: &Path) -> Result<Opened> {
        let (blocking, fresh, set_aside) = Blocking::open(folder)?;
        let catalog = Self {
            blocking: Arc::new(blocking),
            writing: Arc::new(Semaphore::new(WRITING_AT_ONCE)),
        };
        Ok(Opened {
            catalog,
            fresh,
            set_aside,
        })
    }

    /// Has something looked up.
    fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Blocking) -> Result<T> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(self.do_beside(job))
    }

    /// Has something changed.
    fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Blocking) -> Result<T> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async {
            let turn = Arc::clone(&self.writing).acquire_owned().await;
            let done = self.do_beside(move |blocking| {
                let done = job(blocking);
                drop(turn);
                done
            });
            done.await
        })
    }

    async fn do_beside<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Blocking) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let blocking = Arc::clone(&self.blocking);
        let done = tokio::task::spawn_blocking(move || job(&blocking)).await;
        done.unwrap_or_else(|error| Err(CatalogError::Store(error.to_string())))
    }
}

impl Catalog for SledCatalog {
    fn commit_clip(
        &self,
        app: &str,
        clip: &ClipEntry,
        boundary: Option<&Boundary>,
        hooks: &[Delivery],
    ) -> Answer<'_, Committed> {
        let (app, clip, boundary, hooks) = (
            app.to_owned(),
            clip.clone(),
            boundary.cloned(),
            hooks.to_vec(),
        );
        self.write(move |catalog| catalog.commit_clip(&app, &clip, boundary.as_ref(), &hooks))
    }

    fn clip(&self, app: &str, clip_id: &str) -> Answer<'_, Option<ClipEntry>> {
        let (app, clip_id) = (app.to_owned(), clip_id.to_owned());
        self.read(move |catalog| catalog.clip(&app, &clip_id))
    }

    fn clips(&self, app: &str, query: &ClipQuery) -> Answer<'_, Vec<ClipEntry>> {
        let (app, query) = (app.to_owned(), query.clone());
        self.read(move |catalog| catalog.clips(&app, &query))
    }

    fn clips_after(&self, app: &str, after: u64, limit: usize) -> Answer<'_, Vec<Placed>> {
        let app = app.to_owned();
        self.read(move |catalog| catalog.clips_after(&app, after, limit))
    }

    fn count_clips(&self, app: &str, search: Option<&str>) -> Answer<'_, u64> {
        let (app, search) = (app.to_owned(), search.map(str::to_owned));
        self.read(move |catalog| catalog.count_clips(&app, search.as_deref()))
    }

    fn delete_clip(&self, app: &str, clip_id: &str) -> Answer<'_, Option<ClipEntry>> {
        let (app, clip_id) = (app.to_owned(), clip_id.to_owned());
        self.write(move |catalog| catalog.delete_clip(&app, &clip_id))
    }

    fn doomed(&self, app: &str) -> Answer<'_, Vec<ClipEntry>> {
        let app = app.to_owned();
        self.read(move |catalog| catalog.doomed(&app))
    }

    fn bury(&self, app: &str, clip_id: &str) -> Answer<'_, ()> {
        let (app, clip_id) = (app.to_owned(), clip_id.to_owned());
        self.write(move |catalog| catalog.bury(&app, &clip_id))
    }

    fn import(&self, clips: &[ClipRecord]) -> Answer<'_, ()> {
        let clips = clips.to_vec();
        self.write(move |catalog| catalog.import(&clips))
    }

    fn clear_clips(&self, app: &str) -> Answer<'_, ()> {
        let app = app.to_owned();
        self.write(move |catalog| catalog.clear_clips(&app))
    }

    fn stream(&self, app: &str, stream_id: &str) -> Answer<'_, Option<StreamEntry>> {
        let (app, stream_id) = (app.to_owned(), stream_id.to_owned());
        self.read(move |catalog| catalog.stream(&app, &stream_id))
    }

    fn replace_stream(
        &self,
        app: &str,
        known: Option<&StreamEntry>,
        new: &StreamEntry,
        hook: Option<&Delivery>,
    ) -> Answer<'_, bool> {
        let (app, known, new, hook) = (app.to_owned(), known.cloned(), new.clone(), hook.cloned());
        self.write(move |catalog| catalog.replace_stream(&app, known.as_ref(), &new, hook.as_ref()))
    }

    fn streams(&self, app: &str, offset: usize, size: usize) -> Answer<'_, Vec<StreamEntry>> {
        let app = app.to_owned();
        self.read(move |catalog| catalog.streams(&app, offset, size))
    }

    fn count_streams(&self, app: &str) -> Answer<'_, u64> {
        let app = app.to_owned();
        self.read(move |catalog| catalog.count_streams(&app))
    }

    fn delete_stream(&self, app: &str, stream_id: &str) -> Answer<'_, bool> {
        let (app, stream_id) = (app.to_owned(), stream_id.to_owned());
        self.write(move |catalog| catalog.delete_stream(&app, &stream_id))
    }

    fn pulls(&self, app: &str) -> Answer<'_, Vec<PullSource>> {
        let app = app.to_owned();
        self.read(move |catalog| catalog.pulls(&app))
    }

    fn put_pull(&self, app: &str, source: &PullSource) -> Answer<'_, ()> {
        let (app, source) = (app.to_owned(), source.clone());
        self.write(move |catalog| catalog.put_pull(&app, &source))
    }

    fn delete_pull(&self, app: &str, stream_id: &str) -> Answer<'_, bool> {
        let (app, stream_id) = (app.to_owned(), stream_id.to_owned());
        self.write(move |catalog| catalog.delete_pull(&app, &stream_id))
    }

    fn put_marker(&self, app: &str, stream_id: &str, marker: &Marker) -> Answer<'_, bool> {
        let (app, stream_id, marker) = (app.to_owned(), stream_id.to_owned(), marker.clone());
        self.write(move |catalog| catalog.put_marker(&app, &stream_id, &marker))
    }

    fn marker(&self, app: &str, stream_id: &str, id: &str) -> Answer<'_, Option<Marker>> {
        let (app, stream_id, id) = (app.to_owned(), stream_id.to_owned(), id.to_owned());
        self.read(move |catalog| catalog.marker(&app, &stream_id, &id))
    }

    fn markers(&self, app: &str, stream_id: &str, removed: bool) -> Answer<'_, Vec<Marker>> {
        let (app, stream_id) = (app.to_owned(), stream_id.to_owned());
        self.read(move |catalog| catalog.markers(&app, &stream_id, removed))
    }

    fn remove_marker(&self, app: &str, stream_id: &str, id: &str) -> Answer<'_, bool> {
        let (app, stream_id, id) = (app.to_owned(), stream_id.to_owned(), id.to_owned());
        self.write(move |catalog| catalog.remove_marker(&app, &stream_id, &id))
    }

    fn forget_markers(&self, app: &str, stream_id: &str, ids: &[String]) -> Answer<'_, ()> {
        let (app, stream_id, ids) = (app.to_owned(), stream_id.to_owned(), ids.to_vec());
        self.write(move |catalog| catalog.forget_markers(&app, &stream_id, &ids))
    }

    fn boundary(&self, app: &str, stream_id: &str) -> Answer<'_, Option<Boundary>> {
        let (app, stream_id) = (app.to_owned(), stream_id.to_owned());
        self.read(move |catalog| catalog.boundary(&app, &stream_id))
    }

    fn move_boundary(&self, app: &str, stream_id: &str, to: &Boundary) -> Answer<'_, Moved> {
        let (app, stream_id, to) = (app.to_owned(), stream_id.to_owned(), to.clone());
        self.write(move |catalog| catalog.move_boundary(&app, &stream_id, &to))
    }

    fn recordings(&self, app: &str, stream_id: &str) -> Answer<'_, Vec<OpenRecording>> {
        let (app, stream_id) = (app.to_owned(), stream_id.to_owned());
        self.read(move |catalog| catalog.recordings(&app, &stream_id))
    }

    fn begin_recording(
        &self,
        app: &str,
        stream_id: &str,
        recording: &OpenRecording,
    ) -> Answer<'_, ()> {
        let (app, stream_id, recording) = (app.to_owned(), stream_id.to_owned(), recording.clone());
        self.write(move |catalog| catalog.begin_recording(&app, &stream_id, &recording))
    }

    fn finish_recording(&self, app: &str, stream_id: &str, vod_id: &str) -> Answer<'_, ()> {
        let (app, stream_id, vod_id) = (app.to_owned(), stream_id.to_owned(), vod_id.to_owned());
        self.write(move |catalog| catalog.finish_recording(&app, &stream_id, &vod_id))
    }

    fn recorded_windows(&self, app: &str) -> Answer<'_, Vec<RecordedWindow>> {
        let app = app.to_owned();
        self.read(move |catalog| catalog.recorded_windows(&app))
    }

    fn record_window(&self, app: &str, window: &RecordedWindow) -> Answer<'_, bool> {
        let (app, window) = (app.to_owned(), window.clone());
        self.write(move |catalog| catalog.record_window(&app, &window))
    }

    fn end_recorded_window(
        &self,
        app: &str,
        id: &str,
        to_ms: i64,
    ) -> Answer<'_, Option<RecordedWindow>> {
        let (app, id) = (app.to_owned(), id.to_owned());
        self.write(move |catalog| catalog.end_recorded_window(&app, &id, to_ms))
    }

    fn forget_recorded_window(&self, app: &str, id: &str) -> Answer<'_, bool> {
        let (app, id) = (app.to_owned(), id.to_owned());
        self.write(move |catalog| catalog.forget_recorded_window(&app, &id))
    }

    fn periodic(&self, app: &str) -> Answer<'_, Option<PeriodicState>> {
        let app = app.to_owned();
        self.read(move |catalog| catalog.periodic(&app))
    }

    fn replace_periodic(
        &self,
        app: &str,
        known: Option<&PeriodicState>,
        new: Option<&PeriodicState>,
    ) -> Answer<'_, bool> {
        let (app, known, new) = (app.to_owned(), known.cloned(), new.cloned());
        self.write(move |catalog| catalog.replace_periodic(&app, known.as_ref(), new.as_ref()))
    }

    fn deliveries_after(&self, after: u64, limit: usize) -> Answer<'_, Vec<Ticket>> {
        self.read(move |catalog| catalog.deliveries_after(after, limit))
    }

    fn claim_delivery(&self, place: u64, attempts: u32, lease: Duration) -> Answer<'_, Claim> {
        self.read(move |catalog| catalog.claim_delivery(place, attempts, lease))
    }

    fn retry_delivery(&self, tried: &Claimed) -> Answer<'_, bool> {
        let tried = tried.clone();
        self.write(move |catalog| catalog.retry_delivery(&tried))
    }

    fn finish_delivery(&self, place: u64) -> Answer<'_, ()> {
        self.write(move |catalog| catalog.finish_delivery(place))
    }

    fn fail_delivery(&self, tried: &Claimed) -> Answer<'_, bool> {
        let tried = tried.clone();
        self.write(move |catalog| catalog.fail_delivery(&tried))
    }

    fn failed_deliveries(&self) -> Answer<'_, Vec<Delivery>> {
        self.read(|catalog| catalog.failed_deliveries())
    }

    fn flush(&self) -> Answer<'_, ()> {
        self.write(|catalog| catalog.flush())
    }

    fn deliveries_added(&self) -> Arc<Notify> {
        Arc::clone(&self.blocking.added)
    }
}
