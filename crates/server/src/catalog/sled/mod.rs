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
//! | `m app 0 streamId` | the boundary |
//! | `r app 0 streamId` | the recordings that have not come to their ends |
//! | `p app` | what REST asked of periodic recording |
//! | `h place`, `f place` | a webhook that is queued, that failed |
//! | `c name` | a counter |
//! | `!format` | marks a store that was made whole |

mod life;
mod store;
#[cfg(test)]
mod tests;
mod values;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ::sled::Db;
use ::sled::transaction::TransactionalTree;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use self::life::Doubtful;
use self::store::{Store, transaction};
#[cfg(feature = "fuzzing")]
pub(crate) use self::values::is_readable;
use self::values::{
    Abort, Entry, add_clip, add_hooks, decode, encode, key, numbered, place_of, put,
};
use super::{
    Boundary, Catalog, CatalogError, ClipQuery, OpenRecording, PeriodicState, Result, SortBy,
    Ticket,
};
use crate::domain::{ClipEntry, Delivery, StreamEntry};
use crate::storage::ClipRecord;

/// Failed webhooks that are remembered.
const FAILED_KEPT: usize = 1000;

/// Clips imported in one transaction.
const IMPORTED_AT_ONCE: usize = 256;

/// The catalog in a sled store.
///
/// sled refuses everything after one write that failed, as on a full disk. Then the store is closed
/// and opened again, as it is on the disk: what was refused is not in it.
#[derive(Debug)]
pub struct SledCatalog {
    store: RwLock<Option<Arc<Store>>>,
    folder: PathBuf,
    /// Clips that were refused, and may be on the disk all the same.
    doubtful: Mutex<Vec<Doubtful>>,
    added: Arc<Notify>,
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
        boundary: Option<(&str, &Boundary)>,
        hooks: &[Delivery],
    ) -> Result<()> {
        let store = self.store()?;
        let moved = boundary.map(|(stream, to)| (key(b'm', app, stream.as_bytes()), to));
        let before = transaction(&store.db, &|tree| {
            add_clip(tree, app, clip)?;
            add_hooks(tree, hooks)?;
            let Some((key, to)) = &moved else {
                return Ok(None);
            };
            let before = tree.get(key.as_slice())?;
            put(tree, key.clone(), *to)?;
            Ok(before)
        });
        let before = before.map_err(|error| self.broken(&store, error))?;
        if let Err(error) = store.settle() {
            let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
            doubtful.push(Doubtful {
                clip_key: key(b'v', app, clip.id.as_bytes()),
                clip_id: clip.id.clone(),
                app: app.to_owned(),
                boundary: moved.map(|(key, _)| (key, before)),
            });
            drop(doubtful);
            return Err(self.broken(&store, error));
        }
        Ok(())
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

    fn set<T: Serialize>(&self, key: Vec<u8>, value: Option<&T>) -> Result<()> {
        let value = value.map(encode).transpose()?;
        self.change(|db| {
            match &value {
                Some(value) => db.insert(&key, value.as_slice())?,
                None => db.remove(&key)?,
            };
            Ok(())
        })
    }
}

fn in_lower_case(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(char::to_lowercase)
}

impl Catalog for SledCatalog {
    fn commit_clip(
        &self,
        app: &str,
        clip: &ClipEntry,
        boundary: Option<(&str, &Boundary)>,
        hooks: &[Delivery],
    ) -> Result<()> {
        Self::insist(|| self.try_commit_clip(app, clip, boundary, hooks))?;
        if !hooks.is_empty() {
            self.added.notify_one();
        }
        Ok(())
    }

    fn clip(&self, app: &str, clip_id: &str) -> Result<Option<ClipEntry>> {
        let found = self.get::<Entry<'_>>(&key(b'v', app, clip_id.as_bytes()))?;
        Ok(found.map(Entry::into_clip))
    }

    fn clips(&self, app: &str, query: &ClipQuery) -> Result<Vec<ClipEntry>> {
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

    fn count_clips(&self, app: &str, search: Option<&str>) -> Result<u64> {
        let Some(search) = search.map(str::to_lowercase) else {
            return self.count(&key(b'v', app, b""));
        };
        let mut count = 0;
        for entry in self.scan::<Entry<'_>>(&key(b'v', app, b""))? {
            count += u64::from(entry?.clip.matches(&search));
        }
        Ok(count)
    }

    fn delete_clip(&self, app: &str, clip_id: &str) -> Result<Option<ClipEntry>> {
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

    fn doomed(&self, app: &str) -> Result<Vec<ClipEntry>> {
        self.scan(&key(b'd', app, b""))?.collect()
    }

    fn bury(&self, app: &str, clip_id: &str) -> Result<()> {
        // Not worth a wait for the disk: at worst the file is looked for once more.
        self.change_lightly(|db| Ok(db.remove(key(b'd', app, clip_id.as_bytes())).map(drop)?))
    }

    fn import(&self, clips: &[ClipRecord]) -> Result<()> {
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

    fn clear_clips(&self, app: &str) -> Result<()> {
        self.change(|db| {
            for kind in [b'v', b'o'] {
                for found in db.scan_prefix(key(kind, app, b"")).keys() {
                    db.remove(found?)?;
                }
            }
            Ok(())
        })
    }

    fn stream(&self, app: &str, stream_id: &str) -> Result<Option<StreamEntry>> {
        self.get(&key(b'b', app, stream_id.as_bytes()))
    }

    fn replace_stream(
        &self,
        app: &str,
        known: Option<&StreamEntry>,
        new: &StreamEntry,
        hook: Option<&Delivery>,
    ) -> Result<bool> {
        let key = key(b'b', app, new.id.as_bytes());
        let replaced = self.transaction(|tree| {
            let found = tree.get(key.as_slice())?;
            let found = found.map(|value| decode::<StreamEntry>(&key, &value));
            if found.transpose().map_err(Abort::Abort)?.as_ref() != known {
                return Ok(false);
            }
            put(tree, key.clone(), new)?;
            add_hooks(tree, hook.map_or(&[], std::slice::from_ref))?;
            Ok(true)
        })?;
        if replaced && hook.is_some() {
            self.added.notify_one();
        }
        Ok(replaced)
    }

    fn streams(&self, app: &str, offset: usize, size: usize) -> Result<Vec<StreamEntry>> {
        let all = self.scan(&key(b'b', app, b""))?;
        all.skip(offset).take(size).collect()
    }

    fn count_streams(&self, app: &str) -> Result<u64> {
        self.count(&key(b'b', app, b""))
    }

    fn delete_stream(&self, app: &str, stream_id: &str) -> Result<bool> {
        let key = key(b'b', app, stream_id.as_bytes());
        self.change(|db| Ok(db.remove(&key)?.is_some()))
    }

    fn boundary(&self, app: &str, stream_id: &str) -> Result<Option<Boundary>> {
        self.get(&key(b'm', app, stream_id.as_bytes()))
    }

    fn set_boundary(&self, app: &str, stream_id: &str, boundary: Option<&Boundary>) -> Result<()> {
        self.set(key(b'm', app, stream_id.as_bytes()), boundary)
    }

    fn recordings(&self, app: &str, stream_id: &str) -> Result<Vec<OpenRecording>> {
        let found = self.get(&key(b'r', app, stream_id.as_bytes()))?;
        Ok(found.unwrap_or_default())
    }

    fn set_recordings(
        &self,
        app: &str,
        stream_id: &str,
        recordings: &[OpenRecording],
    ) -> Result<()> {
        let some = (!recordings.is_empty()).then(|| recordings.to_vec());
        self.set(key(b'r', app, stream_id.as_bytes()), some.as_ref())
    }

    fn periodic(&self, app: &str) -> Result<Option<PeriodicState>> {
        self.get(&key(b'p', app, b""))
    }

    fn set_periodic(&self, app: &str, state: Option<&PeriodicState>) -> Result<()> {
        self.set(key(b'p', app, b""), state)
    }

    fn enqueue(&self, hooks: &[Delivery]) -> Result<()> {
        if !hooks.is_empty() {
            self.transaction(|tree| add_hooks(tree, hooks))?;
            self.added.notify_one();
        }
        Ok(())
    }

    fn deliveries_after(&self, after: u64, limit: usize) -> Result<Vec<Ticket>> {
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

    fn delivery(&self, place: u64) -> Result<Option<Delivery>> {
        self.get(&numbered(b'h', place))
    }

    fn retry_delivery(&self, place: u64, hook: &Delivery) -> Result<()> {
        // Not worth a wait for the disk: what is lost is the count of the tries.
        let value = encode(hook)?;
        let key = numbered(b'h', place);
        self.change_lightly(|db| Ok(db.insert(&key, value.as_slice()).map(drop)?))
    }

    fn finish_delivery(&self, place: u64) -> Result<()> {
        // Nor is this: at worst the event is delivered once more, under the same id.
        self.change_lightly(|db| Ok(db.remove(numbered(b'h', place)).map(drop)?))
    }

    fn fail_delivery(&self, place: u64, hook: &Delivery) -> Result<()> {
        self.transaction(|tree| {
            tree.remove(numbered(b'h', place))?;
            put(tree, numbered(b'f', place), hook)
        })?;
        self.change_lightly(|db| {
            let failed = db.scan_prefix(b"f").keys().rev();
            for old in failed.skip(FAILED_KEPT) {
                db.remove(old?)?;
            }
            Ok(())
        })
    }

    fn failed_deliveries(&self) -> Result<Vec<Delivery>> {
        self.scan(b"f")?.collect()
    }

    fn flush(&self) -> Result<()> {
        self.change(|_| Ok(()))
    }

    fn deliveries_added(&self) -> Arc<Notify> {
        Arc::clone(&self.added)
    }
}
