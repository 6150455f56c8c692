//! What the catalog does, as sled does it: blocking.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use ::sled::Db;
use ::sled::transaction::TransactionalTree;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::claims::Claims;
use super::life::Doubtful;
use super::store::{Store, transaction};
use super::values::{
    Abort, Entry, StoredMarker, add_clip, add_hooks, decode, encode, key, marker_key, numbered,
    place_of, put,
};
use crate::catalog::{
    Boundary, Claim, Claimed, ClipQuery, Committed, Moved, OpenRecording, PeriodicState, Placed,
    Result, SortBy, Ticket,
};
use crate::domain::{
    ClipEntry, Delivery, Marker, MarkerOrigin, PullSource, RecordedWindow, StreamEntry,
};
use crate::storage::ClipRecord;

/// Failed webhooks that are remembered.
const FAILED_KEPT: usize = 1000;

/// Clips imported in one transaction.
const IMPORTED_AT_ONCE: usize = 256;

/// A sled store, and the commands on it. They block.
///
/// sled refuses everything after one write that failed, as on a full disk. Then the store is closed
/// and opened again, as it is on the disk: what was refused is not in it.
#[derive(Debug)]
pub(super) struct Blocking {
    pub(super) store: RwLock<Option<Arc<Store>>>,
    pub(super) folder: PathBuf,
    /// Clips that were refused, and may be on the disk all the same.
    pub(super) doubtful: Mutex<Vec<Doubtful>>,
    /// Webhooks that are being delivered. Nobody else has the store open: a claim ends with the process.
    pub(super) claims: Mutex<Claims>,
    pub(super) added: Arc<Notify>,
}

impl Blocking {
    /// Does something that changes the store, and makes it last.
    fn change<T>(&self, change: impl Fn(&Db) -> Result<T>) -> Result<T> {
        let (store, value) = Self::insist(|| self.change_store(&change))?;
        let settled = store.settle().map(|()| value);
        settled.map_err(|error| self.broken(&store, error))
    }

    fn change_store<T>(&self, change: impl Fn(&Db) -> Result<T>) -> Result<(Arc<Store>, T)> {
        let store = self.store()?;
        match change(&store.db) {
            Ok(value) => Ok((store, value)),
            Err(error) => Err(self.broken(&store, error)),
        }
    }

    /// Does something that is not worth a wait for the disk.
    fn change_lightly<T>(&self, change: impl Fn(&Db) -> Result<T>) -> Result<T> {
        Self::insist(|| self.change_store(&change)).map(|(_, value)| value)
    }

    fn transaction<T>(
        &self,
        change: impl Fn(&TransactionalTree) -> std::result::Result<T, Abort>,
    ) -> Result<T> {
        self.change(|db| transaction(db, &change))
    }

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>> {
        let found = self.store()?.db.get(key)?;
        found.map(|value| decode(key, &value)).transpose()
    }

    fn try_commit_clip(
        &self,
        app: &str,
        clip: &ClipEntry,
        boundary: Option<&Boundary>,
        hooks: &[Delivery],
    ) -> Result<Committed> {
        let store = self.store()?;
        let clip_key = key(b'v', app, clip.id.as_bytes());
        let doomed_key = key(b'd', app, clip.id.as_bytes());
        let boundary_key = key(b'm', app, clip.stream_id.as_bytes());
        let committed = transaction(&store.db, &|tree| {
            if tree.get(clip_key.as_slice())?.is_some()
                || tree.get(doomed_key.as_slice())?.is_some()
            {
                return Ok(Err(Committed::Before));
            }
            let mut before = None;
            if let Some(to) = boundary {
                before = tree.get(boundary_key.as_slice())?;
                let known = known_boundary(&boundary_key, before.as_deref())?;
                if let Some(known) = known.filter(|known| known.ordinal >= to.ordinal) {
                    return Ok(Err(Committed::Behind(known.ordinal)));
                }
                put(tree, boundary_key.clone(), to)?;
            }
            add_clip(tree, app, clip)?;
            add_hooks(tree, hooks)?;
            Ok(Ok(before))
        });
        let before = match committed.map_err(|error| self.broken(&store, error))? {
            Ok(before) => before,
            Err(nothing_done) => return Ok(nothing_done),
        };
        if let Err(error) = store.settle() {
            let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
            doubtful.push(Doubtful {
                clip_key,
                clip_id: clip.id.clone(),
                app: app.to_owned(),
                boundary: boundary.map(|_| (boundary_key, before)),
            });
            drop(doubtful);
            return Err(self.broken(&store, error));
        }
        Ok(Committed::Now)
    }

    /// The entries whose keys begin so.
    fn scan<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
    ) -> Result<impl DoubleEndedIterator<Item = Result<T>> + use<T>> {
        let found = self.store()?.db.scan_prefix(prefix);
        Ok(found.map(|entry| {
            let (key, value) = entry?;
            decode(&key, &value)
        }))
    }

    fn count(&self, prefix: &[u8]) -> Result<u64> {
        let mut count = 0;
        for key in self.store()?.db.scan_prefix(prefix).keys() {
            key?;
            count += 1;
        }
        Ok(count)
    }

    fn entries_in_order(&self, app: &str, query: &ClipQuery) -> Result<Vec<ClipEntry>> {
        let mut clips = Vec::new();
        let places = self.store()?.db.scan_prefix(key(b'o', app, b""));
        for place in places.values().skip(query.offset).take(query.size) {
            let id = place?;
            // It may have been removed since the place was read.
            clips.extend(
                self.get::<Entry<'_>>(&key(b'v', app, &id))?
                    .map(Entry::into_clip),
            );
        }
        Ok(clips)
    }
}

/// The boundary that is stored.
fn known_boundary(
    key: &[u8],
    value: Option<&[u8]>,
) -> std::result::Result<Option<Boundary>, Abort> {
    let known = value.map(|value| decode(key, value)).transpose();
    known.map_err(Abort::Abort)
}

/// Puts a value where `known` is what there is; gives false where it is something else.
fn replace<T: Serialize + DeserializeOwned + PartialEq>(
    tree: &TransactionalTree,
    key: &[u8],
    known: Option<&T>,
    new: Option<&T>,
) -> std::result::Result<bool, Abort> {
    let found = tree.get(key)?.map(|value| decode::<T>(key, &value));
    if found.transpose().map_err(Abort::Abort)?.as_ref() != known {
        return Ok(false);
    }
    match new {
        Some(new) => put(tree, key.to_owned(), new)?,
        None => drop(tree.remove(key)?),
    }
    Ok(true)
}

fn in_lower_case(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(char::to_lowercase)
}

/// The commands: see [`Catalog`](super::Catalog).
impl Blocking {
    pub(super) fn commit_clip(
        &self,
        app: &str,
        clip: &ClipEntry,
        boundary: Option<&Boundary>,
        hooks: &[Delivery],
    ) -> Result<Committed> {
        let committed = Self::insist(|| self.try_commit_clip(app, clip, boundary, hooks))?;
        if committed == Committed::Now && !hooks.is_empty() {
            self.added.notify_one();
        }
        Ok(committed)
    }

    pub(super) fn clip(&self, app: &str, clip_id: &str) -> Result<Option<ClipEntry>> {
        let found = self.get::<Entry<'_>>(&key(b'v', app, clip_id.as_bytes()))?;
        Ok(found.map(Entry::into_clip))
    }

    pub(super) fn clips(&self, app: &str, query: &ClipQuery) -> Result<Vec<ClipEntry>> {
        let search = query.search.as_deref().map(str::to_lowercase);
        let everything = search.is_none() && query.stream_id.is_none();
        if everything && query.sort_by == SortBy::Creation && !query.descending {
            return self.entries_in_order(app, query);
        }
        let mut found = Vec::new();
        for entry in self.scan::<Entry<'_>>(&key(b'v', app, b""))? {
            let entry = entry?;
            let of_stream = query
                .stream_id
                .as_ref()
                .is_none_or(|id| *id == entry.clip.stream_id);
            let matches = search.as_ref().is_none_or(|text| entry.clip.matches(text));
            if of_stream && matches {
                found.push(entry);
            }
        }
        found.sort_by(|a, b| {
            let asked = match query.sort_by {
                SortBy::Creation => std::cmp::Ordering::Equal,
                SortBy::Name => {
                    in_lower_case(&a.clip.file_name).cmp(in_lower_case(&b.clip.file_name))
                }
                SortBy::Date => a.clip.created_ms.cmp(&b.clip.created_ms),
            };
            asked.then(a.place.cmp(&b.place))
        });
        if query.descending {
            found.reverse();
        }
        let page = found.into_iter().skip(query.offset).take(query.size);
        Ok(page.map(Entry::into_clip).collect())
    }

    pub(super) fn clips_after(&self, app: &str, after: u64, limit: usize) -> Result<Vec<Placed>> {
        let place = |place: u64| key(b'o', app, &place.to_be_bytes());
        let behind = place(after.saturating_add(1))..=place(u64::MAX);
        let mut found = Vec::new();
        for id in self.store()?.db.range(behind).values() {
            if found.len() >= limit {
                break;
            }
            // It may have been removed since the place was read.
            let entry = self.get::<Entry<'_>>(&key(b'v', app, &id?))?;
            found.extend(entry.map(|entry| (entry.place, entry.into_clip())));
        }
        Ok(found)
    }

    pub(super) fn count_clips(&self, app: &str, search: Option<&str>) -> Result<u64> {
        let Some(search) = search.map(str::to_lowercase) else {
            return self.count(&key(b'v', app, b""));
        };
        let mut count = 0;
        for entry in self.scan::<Entry<'_>>(&key(b'v', app, b""))? {
            count += u64::from(entry?.clip.matches(&search));
        }
        Ok(count)
    }

    pub(super) fn delete_clip(&self, app: &str, clip_id: &str) -> Result<Option<ClipEntry>> {
        let clip_key = key(b'v', app, clip_id.as_bytes());
        self.transaction(|tree| {
            let Some(value) = tree.remove(clip_key.as_slice())? else {
                return Ok(None);
            };
            let entry: Entry<'_> = decode(&clip_key, &value).map_err(Abort::Abort)?;
            tree.remove(key(b'o', app, &entry.place.to_be_bytes()))?;
            let clip = entry.into_clip();
            put(tree, key(b'd', app, clip_id.as_bytes()), &clip)?;
            Ok(Some(clip))
        })
    }

    pub(super) fn doomed(&self, app: &str) -> Result<Vec<ClipEntry>> {
        self.scan(&key(b'd', app, b""))?.collect()
    }

    pub(super) fn bury(&self, app: &str, clip_id: &str) -> Result<()> {
        // Not worth a wait for the disk: at worst the file is looked for once more.
        self.change_lightly(|db| Ok(db.remove(key(b'd', app, clip_id.as_bytes())).map(drop)?))
    }

    pub(super) fn import(&self, clips: &[ClipRecord]) -> Result<()> {
        for some in clips.chunks(IMPORTED_AT_ONCE) {
            self.transaction(|tree| {
                for ClipRecord {
                    app,
                    entry: clip,
                    boundary,
                    ..
                } in some
                {
                    let clip_key = key(b'v', app, clip.id.as_bytes());
                    if tree.get(clip_key)?.is_none() {
                        add_clip(tree, app, clip)?;
                    }
                    let Some(boundary) = boundary else { continue };
                    let boundary_key = key(b'm', app, clip.stream_id.as_bytes());
                    let known = tree.get(boundary_key.as_slice())?;
                    let known = known.and_then(|v| decode::<Boundary>(&boundary_key, &v).ok());
                    if known.is_none_or(|known| known.ordinal < boundary.ordinal) {
                        put(tree, boundary_key, boundary)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(super) fn clear_clips(&self, app: &str) -> Result<()> {
        self.change(|db| {
            for kind in [b'v', b'o'] {
                for found in db.scan_prefix(key(kind, app, b"")).keys() {
                    db.remove(found?)?;
                }
            }
            Ok(())
        })
    }

    pub(super) fn stream(&self, app: &str, stream_id: &str) -> Result<Option<StreamEntry>> {
        self.get(&key(b'b', app, stream_id.as_bytes()))
    }

    pub(super) fn replace_stream(
        &self,
        app: &str,
        known: Option<&StreamEntry>,
        new: &StreamEntry,
        hook: Option<&Delivery>,
    ) -> Result<bool> {
        let key = key(b'b', app, new.id.as_bytes());
        let replaced = self.transaction(|tree| {
            let replaced = replace(tree, &key, known, Some(new))?;
            if replaced {
                add_hooks(tree, hook.map_or(&[], std::slice::from_ref))?;
            }
            Ok(replaced)
        })?;
        if replaced && hook.is_some() {
            self.added.notify_one();
        }
        Ok(replaced)
    }

    pub(super) fn streams(
        &self,
        app: &str,
        offset: usize,
        size: usize,
    ) -> Result<Vec<StreamEntry>> {
        let all = self.scan(&key(b'b', app, b""))?;
        all.skip(offset).take(size).collect()
    }

    pub(super) fn count_streams(&self, app: &str) -> Result<u64> {
        self.count(&key(b'b', app, b""))
    }

    pub(super) fn delete_stream(&self, app: &str, stream_id: &str) -> Result<bool> {
        let key = key(b'b', app, stream_id.as_bytes());
        self.change(|db| Ok(db.remove(&key)?.is_some()))
    }

    pub(super) fn pulls(&self, app: &str) -> Result<Vec<PullSource>> {
        self.scan(&key(b's', app, b""))?.collect()
    }

    pub(super) fn put_pull(&self, app: &str, source: &PullSource) -> Result<()> {
        let key = key(b's', app, source.id.as_bytes());
        self.transaction(|tree| put(tree, key.clone(), source))
    }

    pub(super) fn delete_pull(&self, app: &str, stream_id: &str) -> Result<bool> {
        let key = key(b's', app, stream_id.as_bytes());
        self.change(|db| Ok(db.remove(&key)?.is_some()))
    }

    pub(super) fn put_marker(&self, app: &str, stream_id: &str, marker: &Marker) -> Result<bool> {
        let key = marker_key(app, stream_id, &marker.id);
        self.transaction(|tree| {
            let known = tree.get(key.as_slice())?;
            let known = known.map(|value| decode::<StoredMarker<'_>>(&key, &value));
            let known = known.transpose().map_err(Abort::Abort)?;
            if known.is_some_and(|known| known.removed) {
                return Ok(false);
            }
            put(tree, key.clone(), &StoredMarker::of(marker))?;
            Ok(true)
        })
    }

    pub(super) fn marker(&self, app: &str, stream_id: &str, id: &str) -> Result<Option<Marker>> {
        let found = self.get::<StoredMarker<'_>>(&marker_key(app, stream_id, id))?;
        let found = found.filter(|found| !found.removed);
        Ok(found.map(|found| found.marker.into_owned()))
    }

    pub(super) fn markers(&self, app: &str, stream_id: &str, removed: bool) -> Result<Vec<Marker>> {
        let mut markers = Vec::new();
        for found in self.scan::<StoredMarker<'_>>(&marker_key(app, stream_id, ""))? {
            let found = found?;
            if removed || !found.removed {
                markers.push(found.marker.into_owned());
            }
        }
        // They are in the order of their ids.
        markers.sort_by_key(|marker| marker.from_ms);
        Ok(markers)
    }

    pub(super) fn remove_marker(&self, app: &str, stream_id: &str, id: &str) -> Result<bool> {
        let key = marker_key(app, stream_id, id);
        self.transaction(|tree| {
            let known = tree.get(key.as_slice())?;
            let known = known.map(|value| decode::<StoredMarker<'_>>(&key, &value));
            let known = known.transpose().map_err(Abort::Abort)?;
            let Some(known) = known.filter(|known| !known.removed) else {
                return Ok(false);
            };
            if known.marker.origin == MarkerOrigin::Call {
                tree.remove(key.as_slice())?;
            } else {
                let removed = StoredMarker {
                    removed: true,
                    ..known
                };
                put(tree, key.clone(), &removed)?;
            }
            Ok(true)
        })
    }

    pub(super) fn forget_markers(&self, app: &str, stream_id: &str, ids: &[String]) -> Result<()> {
        // Not worth a wait for the disk: at worst they are forgotten once more.
        self.change_lightly(|db| {
            for id in ids {
                db.remove(marker_key(app, stream_id, id))?;
            }
            Ok(())
        })
    }

    pub(super) fn boundary(&self, app: &str, stream_id: &str) -> Result<Option<Boundary>> {
        self.get(&key(b'm', app, stream_id.as_bytes()))
    }

    pub(super) fn move_boundary(&self, app: &str, stream_id: &str, to: &Boundary) -> Result<Moved> {
        let key = key(b'm', app, stream_id.as_bytes());
        self.transaction(|tree| {
            let known = tree.get(key.as_slice())?;
            let known = known_boundary(&key, known.as_deref())?;
            if let Some(known) = known.filter(|known| known.ordinal > to.ordinal) {
                return Ok(Moved::Behind(known.ordinal));
            }
            put(tree, key.clone(), to)?;
            Ok(Moved::Now)
        })
    }

    pub(super) fn recordings(&self, app: &str, stream_id: &str) -> Result<Vec<OpenRecording>> {
        let found = self.get(&key(b'r', app, stream_id.as_bytes()))?;
        Ok(found.unwrap_or_default())
    }

    pub(super) fn begin_recording(
        &self,
        app: &str,
        stream_id: &str,
        recording: &OpenRecording,
    ) -> Result<()> {
        self.change_recordings(app, stream_id, |all| {
            if all.iter().all(|one| one.vod_id != recording.vod_id) {
                all.push(recording.clone());
            }
        })
    }

    pub(super) fn finish_recording(&self, app: &str, stream_id: &str, vod_id: &str) -> Result<()> {
        self.change_recordings(app, stream_id, |all| {
            all.retain(|one| one.vod_id != vod_id);
        })
    }

    fn change_recordings(
        &self,
        app: &str,
        stream_id: &str,
        change: impl Fn(&mut Vec<OpenRecording>),
    ) -> Result<()> {
        let key = key(b'r', app, stream_id.as_bytes());
        self.transaction(|tree| {
            let known = tree.get(key.as_slice())?;
            let known = known.map(|value| decode(&key, &value)).transpose();
            let mut all: Vec<_> = known.map_err(Abort::Abort)?.unwrap_or_default();
            change(&mut all);
            if all.is_empty() {
                tree.remove(key.as_slice())?;
                return Ok(());
            }
            put(tree, key.clone(), &all)
        })
    }

    pub(super) fn recorded_windows(&self, app: &str) -> Result<Vec<RecordedWindow>> {
        self.scan(&key(b'w', app, b""))?.collect()
    }

    pub(super) fn record_window(&self, app: &str, window: &RecordedWindow) -> Result<bool> {
        let key = key(b'w', app, window.id.as_bytes());
        self.transaction(|tree| {
            if tree.get(key.as_slice())?.is_some() {
                return Ok(false);
            }
            put(tree, key.clone(), window)?;
            Ok(true)
        })
    }

    pub(super) fn end_recorded_window(
        &self,
        app: &str,
        id: &str,
        to_ms: i64,
    ) -> Result<Option<RecordedWindow>> {
        let key = key(b'w', app, id.as_bytes());
        self.transaction(|tree| {
            let Some(known) = tree.get(key.as_slice())? else {
                return Ok(None);
            };
            let mut window: RecordedWindow = decode(&key, &known).map_err(Abort::Abort)?;
            if window.to_ms.is_none_or(|known| known > to_ms) {
                window.to_ms = Some(to_ms);
                put(tree, key.clone(), &window)?;
            }
            Ok(Some(window))
        })
    }

    pub(super) fn forget_recorded_window(&self, app: &str, id: &str) -> Result<bool> {
        let key = key(b'w', app, id.as_bytes());
        self.change(|db| Ok(db.remove(&key)?.is_some()))
    }

    pub(super) fn periodic(&self, app: &str) -> Result<Option<PeriodicState>> {
        self.get(&key(b'p', app, b""))
    }

    pub(super) fn replace_periodic(
        &self,
        app: &str,
        known: Option<&PeriodicState>,
        new: Option<&PeriodicState>,
    ) -> Result<bool> {
        let key = key(b'p', app, b"");
        self.transaction(|tree| replace(tree, &key, known, new))
    }

    pub(super) fn deliveries_after(&self, after: u64, limit: usize) -> Result<Vec<Ticket>> {
        let from = numbered(b'h', after.saturating_add(1));
        let to = numbered(b'h', u64::MAX);
        let found = self.store()?.db.range(from..to).take(limit);
        found
            .map(|entry| {
                let (key, value) = entry?;
                Ok((place_of(&key), decode(&key, &value)?))
            })
            .collect()
    }

    pub(super) fn claim_delivery(
        &self,
        place: u64,
        attempts: u32,
        lease: Duration,
    ) -> Result<Claim> {
        // What changes a webhook that is claimed holds this lock while it does.
        let mut claims = self.claims();
        if claims.is_taken(place) {
            return Ok(Claim::Taken);
        }
        let Some(delivery) = self.get::<Delivery>(&numbered(b'h', place))? else {
            claims.end(place);
            return Ok(Claim::Gone);
        };
        if delivery.attempts != attempts {
            return Ok(Claim::Changed(delivery));
        }
        let claim = claims.add(place, lease);
        Ok(Claim::Yours(Claimed {
            place,
            claim,
            delivery,
        }))
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn retry_delivery(&self, tried: &Claimed) -> Result<bool> {
        // Not worth a wait for the disk: what is lost is the count of the tries.
        let value = encode(&tried.delivery)?;
        self.give_back(tried, |key| {
            self.change_lightly(|db| {
                let found = db.contains_key(key)?;
                if found {
                    db.insert(key, value.as_slice())?;
                }
                Ok(found)
            })
        })
    }

    pub(super) fn finish_delivery(&self, place: u64) -> Result<()> {
        // Nor is this: at worst the event is delivered once more, under the same id.
        let mut claims = self.claims();
        self.change_lightly(|db| Ok(db.remove(numbered(b'h', place)).map(drop)?))?;
        claims.end(place);
        Ok(())
    }

    pub(super) fn fail_delivery(&self, tried: &Claimed) -> Result<bool> {
        let failed = self.give_back(tried, |key| {
            self.transaction(|tree| {
                let found = tree.remove(key)?.is_some();
                if found {
                    put(tree, numbered(b'f', tried.place), &tried.delivery)?;
                }
                Ok(found)
            })
        })?;
        self.change_lightly(|db| {
            let failed = db.scan_prefix(b"f").keys().rev();
            for old in failed.skip(FAILED_KEPT) {
                db.remove(old?)?;
            }
            Ok(())
        })?;
        Ok(failed)
    }

    /// Changes a webhook, if that claim of it still counts, and ends the claim.
    fn give_back(
        &self,
        tried: &Claimed,
        change: impl FnOnce(&[u8]) -> Result<bool>,
    ) -> Result<bool> {
        let mut claims = self.claims();
        if !claims.is_latest(tried.place, tried.claim) {
            return Ok(false);
        }
        let changed = change(&numbered(b'h', tried.place))?;
        claims.end(tried.place);
        Ok(changed)
    }

    pub(super) fn failed_deliveries(&self) -> Result<Vec<Delivery>> {
        self.scan(b"f")?.collect()
    }

    pub(super) fn flush(&self) -> Result<()> {
        self.change(|_| Ok(()))
    }
}
