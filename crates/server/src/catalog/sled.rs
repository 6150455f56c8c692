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

use std::borrow::Cow;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ::sled::transaction::{
    ConflictableTransactionError, TransactionError, TransactionalTree, UnabortableTransactionError,
};
use ::sled::{Db, IVec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{
    Boundary, Catalog, CatalogError, ClipQuery, OpenRecording, PeriodicState, Result, SortBy,
    Ticket,
};
use crate::domain::{ClipEntry, Delivery, StreamEntry};
use crate::storage::ClipRecord;

/// The version of the values.
const VERSION: u32 = 1;

/// Failed webhooks that are remembered.
const FAILED_KEPT: usize = 1000;

/// Clips imported in one transaction.
const IMPORTED_AT_ONCE: usize = 256;

/// Of the page cache: an index of a hundred thousand clips needs no more.
const CACHE: u64 = 64 << 20;

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

/// A store that is open.
#[derive(Debug)]
struct Store {
    db: Db,
    folder: PathBuf,
    /// Changes made, and changes that are known to be on the disk.
    changes: AtomicU64,
    durable: Mutex<u64>,
}

/// A clip that was refused, and what its stream's boundary was before.
#[derive(Debug)]
struct Doubtful {
    clip_key: Vec<u8>,
    clip_id: String,
    app: String,
    boundary: Option<(Vec<u8>, Option<IVec>)>,
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

/// A value with its version.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    value: T,
}

/// A clip entry and its place in the order of creation.
#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    place: u64,
    #[serde(rename = "vod")]
    clip: Cow<'a, ClipEntry>,
}

type Abort = ConflictableTransactionError<CatalogError>;

/// A store that has failed is read from for no longer than this.
const STILL_READ: Duration = Duration::from_millis(200);

impl SledCatalog {
    /// Opens the store in `folder`. One that cannot be read is set aside, and what can still be
    /// read of it, clips excepted, is taken over: those are found again in the files.
    ///
    /// # Errors
    /// When the folder cannot be used, or another process has it open.
    pub fn open(folder: &Path) -> Result<Opened> {
        let store = folder.join("catalog");
        fs::create_dir_all(&store).map_err(|error| io(folder, &error))?;
        let refused = match Self::open_checked(&store) {
            Ok(catalog) => return catalog.finish(None),
            Err(Refused::Unusable(error)) => return Err(error),
            Err(Refused::Unreadable(message)) => message,
        };
        let stamp = chrono::Utc::now().format("%Y%m%dT%H%M%S%.3f");
        let aside = folder.join(format!("catalog.set-aside-{stamp}"));
        tracing::error!(
            error = refused,
            set_aside = %aside.display(),
            "the catalog cannot be read; it is rebuilt from the files"
        );
        fs::rename(&store, &aside).map_err(|error| io(&store, &error))?;
        fs::create_dir_all(&store).map_err(|error| io(&store, &error))?;
        let catalog = match Self::open_checked(&store) {
            Ok(catalog) => catalog,
            Err(Refused::Unusable(error)) => return Err(error),
            Err(Refused::Unreadable(message)) => return Err(CatalogError::Store(message)),
        };
        let taken = catalog.salvage(&aside);
        tracing::warn!(
            entries = taken,
            "entries were taken over from the old catalog"
        );
        catalog.finish(Some(aside))
    }

    fn finish(self, set_aside: Option<PathBuf>) -> Result<Opened> {
        let store = self.store()?;
        let fresh = !store.db.contains_key(b"!format")?;
        store
            .db
            .insert(b"!format", VERSION.to_be_bytes().to_vec())?;
        store.settle()?;
        drop(store);
        Ok(Opened {
            catalog: self,
            fresh,
            set_aside,
        })
    }

    /// Opens the store and reads every entry of it once.
    fn open_checked(store: &Path) -> Result<Self, Refused> {
        // sled panics over some kinds of damage.
        let opened = std::panic::catch_unwind(|| {
            let db = open_db(store)?;
            let mut read = 0_u64;
            for entry in db.iter() {
                let (key, value) = entry?;
                check(&key, &value).map_err(|error| {
                    ::sled::Error::Unsupported(format!("entry {}: {error}", name(&key)))
                })?;
                read += 1;
            }
            Ok((db, read))
        });
        match opened {
            Ok(Ok((db, entries))) => {
                tracing::debug!(entries, "the catalog is open");
                Ok(Self {
                    store: RwLock::new(Some(Arc::new(Store::new(db, store)))),
                    folder: store.to_owned(),
                    doubtful: Mutex::default(),
                    added: Arc::default(),
                })
            }
            Ok(Err(::sled::Error::Io(error)))
                if !matches!(
                    error.kind(),
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
                ) =>
            {
                // What the system answers is inside a text of sled's.
                let in_use = error.to_string().contains("could not acquire lock");
                Err(Refused::Unusable(if in_use {
                    let folder = store.to_owned();
                    CatalogError::InUse { folder }
                } else {
                    io(store, &error)
                }))
            }
            Ok(Err(error)) => Err(Refused::Unreadable(error.to_string())),
            Err(_) => Err(Refused::Unreadable("the store is damaged".to_owned())),
        }
    }

    /// Takes over what can still be read of a store that was set aside, clips excepted.
    fn salvage(&self, aside: &Path) -> usize {
        let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut taken = 0;
            let new = self.store().ok()?;
            let db = open_db(aside).ok()?;
            for (key, value) in db.iter().map_while(std::result::Result::ok) {
                let wanted = matches!(
                    key.first(),
                    Some(b'd' | b'b' | b'm' | b'r' | b'p' | b'h' | b'c')
                );
                if wanted && check(&key, &value).is_ok() && new.db.insert(key, value).is_ok() {
                    taken += 1;
                }
            }
            Some(taken)
        }));
        taken.ok().flatten().unwrap_or_default()
    }

    /// The store, opened again where it had to be closed.
    fn store(&self) -> Result<Arc<Store>> {
        let known = read(&self.store).clone();
        let store = match known {
            Some(store) => store,
            None => self.open_again()?,
        };
        let undone = self.undo_doubtful(&store);
        undone.map_err(|error| self.broken(&store, error))?;
        Ok(store)
    }

    /// Does what left nothing behind if it failed, once more where it did: a store that had failed
    /// before, unnoticed, has been opened again by then.
    fn insist<T>(attempt: impl Fn() -> Result<T>) -> Result<T> {
        attempt().or_else(|error| match error {
            CatalogError::Entry { .. } => Err(error),
            _ => attempt(),
        })
    }

    fn open_again(&self) -> Result<Arc<Store>> {
        let mut place = self.store.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*place {
            return Ok(Arc::clone(store));
        }
        let open = || {
            let opened = std::panic::catch_unwind(|| open_db(&self.folder));
            let damaged = || CatalogError::Store("the store is damaged".to_owned());
            opened.map_or_else(|_| Err(damaged()), |db| Ok(db?))
        };
        // Whoever still reads from the one that failed has its lock for a moment.
        let begun = Instant::now();
        let db = loop {
            match open() {
                Err(CatalogError::Store(_)) if begun.elapsed() < STILL_READ => {
                    std::thread::sleep(STILL_READ / 40);
                }
                opened => break opened?,
            }
        };
        let store = Arc::new(Store::new(db, &self.folder));
        tracing::warn!("the catalog was opened again, as it is on the disk");
        *place = Some(Arc::clone(&store));
        Ok(store)
    }

    /// Closes a store that has failed, unless that was done already.
    fn broken(&self, failed: &Arc<Store>, error: CatalogError) -> CatalogError {
        // An entry that makes no sense is no fault of the store.
        if matches!(error, CatalogError::Entry { .. }) {
            return error;
        }
        let mut place = self.store.write().unwrap_or_else(PoisonError::into_inner);
        if place
            .as_ref()
            .is_some_and(|store| Arc::ptr_eq(store, failed))
        {
            *place = None;
        }
        error
    }

    /// A clip that was refused has lost its file: nothing of it may be left here.
    fn undo_doubtful(&self, store: &Store) -> Result<()> {
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        if doubtful.is_empty() {
            return Ok(());
        }
        for refused in doubtful.iter() {
            let Some(value) = store.db.remove(&refused.clip_key)? else {
                continue;
            };
            let entry: Entry<'_> = decode(&refused.clip_key, &value)?;
            let place = key(b'o', &refused.app, &entry.place.to_be_bytes());
            store.db.remove(place)?;
            match &refused.boundary {
                Some((key, Some(before))) => store.db.insert(key, before)?,
                Some((key, None)) => store.db.remove(key)?,
                None => None,
            };
            for hook in store.db.scan_prefix(b"h") {
                let (key, value) = hook?;
                let hook: Delivery = decode(&key, &value)?;
                if hook
                    .payload
                    .get("vodId")
                    .is_some_and(|id| *id == refused.clip_id)
                {
                    store.db.remove(key)?;
                }
            }
        }
        store.settle()?;
        doubtful.clear();
        Ok(())
    }

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
}

impl Entry<'_> {
    fn into_clip(self) -> ClipEntry {
        self.clip.into_owned()
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

impl SledCatalog {
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

impl Store {
    fn new(db: Db, folder: &Path) -> Self {
        Self {
            db,
            folder: folder.to_owned(),
            changes: AtomicU64::new(0),
            durable: Mutex::new(0),
        }
    }

    /// Makes all changes made so far last. Those who come while another waits for the disk share
    /// its next turn.
    fn settle(&self) -> Result<()> {
        let mine = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if *durable >= mine {
            return Ok(());
        }
        let reached = self.changes.load(Ordering::SeqCst);
        self.db.flush()?;
        // On Linux sled asks for writing to begin, not for it to end.
        sync_files(&self.folder).map_err(|error| io(&self.folder, &error))?;
        *durable = reached;
        Ok(())
    }
}

enum Refused {
    /// It can be read by nobody.
    Unreadable(String),
    /// It cannot be had now.
    Unusable(CatalogError),
}

fn open_db(store: &Path) -> ::sled::Result<Db> {
    ::sled::Config::new()
        .path(store)
        .cache_capacity(CACHE)
        .flush_every_ms(Some(1000))
        .open()
}

fn transaction<T>(
    db: &Db,
    change: &impl Fn(&TransactionalTree) -> std::result::Result<T, Abort>,
) -> Result<T> {
    db.transaction(|tree| change(tree))
        .map_err(|error| match error {
            TransactionError::Abort(error) => error,
            TransactionError::Storage(error) => error.into(),
        })
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn add_clip(tree: &TransactionalTree, app: &str, clip: &ClipEntry) -> Result<(), Abort> {
    let place = count_up(tree, b"cvod")?;
    let id = clip.id.as_bytes();
    let entry = Entry {
        place,
        clip: Cow::Borrowed(clip),
    };
    put(tree, key(b'v', app, id), &entry)?;
    tree.insert(key(b'o', app, &place.to_be_bytes()), id)?;
    Ok(())
}

fn add_hooks(tree: &TransactionalTree, hooks: &[Delivery]) -> Result<(), Abort> {
    for hook in hooks {
        // Counted inside the transaction, so that places become visible in their order.
        let place = count_up(tree, b"chook")?;
        put(tree, numbered(b'h', place), hook)?;
    }
    Ok(())
}

fn count_up(
    tree: &TransactionalTree,
    counter: &[u8],
) -> std::result::Result<u64, UnabortableTransactionError> {
    let before = tree.get(counter)?;
    let before = before.and_then(|value| value.as_ref().try_into().ok());
    let next = before.map_or(0, u64::from_be_bytes) + 1;
    tree.insert(counter, &next.to_be_bytes())?;
    Ok(next)
}

fn put<T: Serialize>(tree: &TransactionalTree, key: Vec<u8>, value: &T) -> Result<(), Abort> {
    tree.insert(key, encode(value).map_err(Abort::Abort)?)?;
    Ok(())
}

fn key(kind: u8, app: &str, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(app.len() + rest.len() + 2);
    key.push(kind);
    key.extend(app.as_bytes());
    key.push(0);
    key.extend(rest);
    key
}

fn numbered(kind: u8, place: u64) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(place.to_be_bytes());
    key
}

fn place_of(key: &[u8]) -> u64 {
    let number = key.get(1..).and_then(|bytes| bytes.try_into().ok());
    number.map_or(0, u64::from_be_bytes)
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let versioned = Versioned { v: VERSION, value };
    serde_json::to_vec(&versioned).map_err(|error| CatalogError::Entry {
        key: "new".to_owned(),
        error,
    })
}

fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T> {
    let unreadable = |error| CatalogError::Entry {
        key: name(key),
        error,
    };
    let read: Versioned<T> = serde_json::from_slice(value).map_err(unreadable)?;
    if read.v > VERSION {
        let newer = format!("it was written by a later version ({})", read.v);
        return Err(unreadable(serde::de::Error::custom(newer)));
    }
    Ok(read.value)
}

/// Whether an entry can be read.
#[cfg(feature = "fuzzing")]
pub(crate) fn is_readable(key: &[u8], value: &[u8]) -> bool {
    check(key, &IVec::from(value)).is_ok()
}

/// Whether an entry can be read.
fn check(key: &[u8], value: &IVec) -> Result<()> {
    match key {
        [b'v', ..] => decode::<Entry<'_>>(key, value).map(drop),
        [b'd', ..] => decode::<ClipEntry>(key, value).map(drop),
        b"!format" => Ok(()),
        [b'f' | b'h', ..] => decode::<Delivery>(key, value).map(drop),
        [b'b', ..] => decode::<StreamEntry>(key, value).map(drop),
        [b'm', ..] => decode::<Boundary>(key, value).map(drop),
        [b'r', ..] => decode::<Vec<OpenRecording>>(key, value).map(drop),
        [b'p', ..] => decode::<PeriodicState>(key, value).map(drop),
        _ => Ok(()),
    }
}

/// A key as people can read it.
fn name(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

fn sync_files(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => sync_files(&entry.path())?,
            kind if kind.is_file() => match File::open(entry.path()) {
                Ok(file) => file.sync_all()?,
                // Snapshots come and go.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
            _ => {}
        }
    }
    File::open(folder)?.sync_all()
}

fn io(folder: &Path, error: &std::io::Error) -> CatalogError {
    if crate::storage::is_full(error) {
        return CatalogError::DiskFull;
    }
    CatalogError::Store(format!("{}: {error}", folder.display()))
}

impl From<::sled::Error> for CatalogError {
    fn from(error: ::sled::Error) -> Self {
        match error {
            ::sled::Error::Io(error) if crate::storage::is_full(&error) => Self::DiskFull,
            error => Self::Store(error.to_string()),
        }
    }
}

#[cfg(test)]
#[path = "sled_tests.rs"]
mod tests;
