//! The catalog in a sled store.
//!
//! One tree. The first byte of a key says what it is; then come the application and the
//! identifier, parted by zeros; numbers are big-endian, so that they sort. Values are JSON with a
//! version:
//!
//! | key | value |
//! | --- | --- |
//! | `v app 0 vodId` | [`Entry`]: the VoD and its place in the order of creation |
//! | `o app 0 place` | the vodId at that place |
//! | `d app 0 vodId` | the VoD of a file that is to be removed |
//! | `b app 0 streamId` | the broadcast |
//! | `m app 0 streamId` | the boundary |
//! | `p app` | what REST asked of periodic recording |
//! | `h place`, `f place` | a webhook that is queued, that failed |
//! | `c name` | a counter |
//! | `!format` | marks a store that was made whole |

use std::borrow::Cow;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ::sled::transaction::{
    ConflictableTransactionError, TransactionError, TransactionalTree, UnabortableTransactionError,
};
use ::sled::{Db, IVec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{Boundary, Catalog, CatalogError, PeriodicState, Result, SortBy, Ticket, VodQuery};
use crate::model::{Broadcast, QueuedHook, Vod};
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
#[derive(Debug)]
pub struct SledCatalog {
    db: Db,
    folder: PathBuf,
    /// Changes made, and changes that are known to be on the disk.
    changes: AtomicU64,
    durable: Mutex<u64>,
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

/// A value with its version.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    value: T,
}

/// A VoD and its place in the order of creation.
#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    place: u64,
    vod: Cow<'a, Vod>,
}

type Abort = ConflictableTransactionError<CatalogError>;

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
        let fresh = !self.db.contains_key(b"!format")?;
        self.db.insert(b"!format", VERSION.to_be_bytes().to_vec())?;
        self.settle()?;
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
                    db,
                    folder: store.to_owned(),
                    changes: AtomicU64::new(0),
                    durable: Mutex::new(0),
                    added: Arc::default(),
                })
            }
            Ok(Err(::sled::Error::Io(error)))
                if !matches!(
                    error.kind(),
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
                ) =>
            {
                Err(Refused::Unusable(io(store, &error)))
            }
            Ok(Err(error)) => Err(Refused::Unreadable(error.to_string())),
            Err(_) => Err(Refused::Unreadable("the store is damaged".to_owned())),
        }
    }

    /// Takes over what can still be read of a store that was set aside, clips excepted.
    fn salvage(&self, aside: &Path) -> usize {
        let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut taken = 0;
            let db = open_db(aside).ok()?;
            for (key, value) in db.iter().map_while(std::result::Result::ok) {
                let wanted = matches!(key.first(), Some(b'd' | b'b' | b'm' | b'p' | b'h' | b'c'));
                if wanted && check(&key, &value).is_ok() && self.db.insert(key, value).is_ok() {
                    taken += 1;
                }
            }
            Some(taken)
        }));
        taken.ok().flatten().unwrap_or_default()
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

    fn transaction<T>(
        &self,
        change: impl Fn(&TransactionalTree) -> std::result::Result<T, Abort>,
    ) -> Result<T> {
        let done = self.db.transaction(|tree| change(tree));
        let value = done.map_err(|error| match error {
            TransactionError::Abort(error) => error,
            TransactionError::Storage(error) => error.into(),
        })?;
        self.settle()?;
        Ok(value)
    }

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>> {
        let found = self.db.get(key)?;
        found.map(|value| decode(key, &value)).transpose()
    }

    /// The entries whose keys begin so.
    fn scan<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<T>> + use<T> {
        self.db.scan_prefix(prefix).map(|entry| {
            let (key, value) = entry?;
            decode(&key, &value)
        })
    }

    fn count(&self, prefix: &[u8]) -> Result<u64> {
        let mut count = 0;
        for key in self.db.scan_prefix(prefix).keys() {
            key?;
            count += 1;
        }
        Ok(count)
    }

    fn entries_in_order(&self, app: &str, query: &VodQuery) -> Result<Vec<Vod>> {
        let mut vods = Vec::new();
        let places = self.db.scan_prefix(key(b'o', app, b""));
        for place in places.values().skip(query.offset).take(query.size) {
            let id = place?;
            // It may have been removed since the place was read.
            vods.extend(
                self.get::<Entry<'_>>(&key(b'v', app, &id))?
                    .map(Entry::into_vod),
            );
        }
        Ok(vods)
    }
}

impl Entry<'_> {
    fn into_vod(self) -> Vod {
        self.vod.into_owned()
    }
}

impl Catalog for SledCatalog {
    fn commit_clip(
        &self,
        app: &str,
        vod: &Vod,
        boundary: Option<(&str, &Boundary)>,
        hooks: &[QueuedHook],
    ) -> Result<()> {
        self.transaction(|tree| {
            add_vod(tree, app, vod)?;
            if let Some((stream, boundary)) = boundary {
                put(tree, key(b'm', app, stream.as_bytes()), boundary)?;
            }
            add_hooks(tree, hooks)
        })?;
        if !hooks.is_empty() {
            self.added.notify_one();
        }
        Ok(())
    }

    fn vod(&self, app: &str, vod_id: &str) -> Result<Option<Vod>> {
        let found = self.get::<Entry<'_>>(&key(b'v', app, vod_id.as_bytes()))?;
        Ok(found.map(Entry::into_vod))
    }

    fn vods(&self, app: &str, query: &VodQuery) -> Result<Vec<Vod>> {
        let search = query.search.as_deref().map(str::to_lowercase);
        let everything = search.is_none() && query.stream_id.is_none();
        if everything && query.sort_by == SortBy::Creation && !query.descending {
            return self.entries_in_order(app, query);
        }
        let mut found = Vec::new();
        for entry in self.scan::<Entry<'_>>(&key(b'v', app, b"")) {
            let entry = entry?;
            let of_stream = query
                .stream_id
                .as_ref()
                .is_none_or(|id| *id == entry.vod.stream_id);
            let matches = search.as_ref().is_none_or(|text| entry.vod.matches(text));
            if of_stream && matches {
                found.push(entry);
            }
        }
        found.sort_by(|a, b| {
            let asked = match query.sort_by {
                SortBy::Creation => std::cmp::Ordering::Equal,
                SortBy::Name => a.vod.vod_name.cmp(&b.vod.vod_name),
                SortBy::Date => a.vod.creation_date.cmp(&b.vod.creation_date),
            };
            asked.then(a.place.cmp(&b.place))
        });
        if query.descending {
            found.reverse();
        }
        let page = found.into_iter().skip(query.offset).take(query.size);
        Ok(page.map(Entry::into_vod).collect())
    }

    fn count_vods(&self, app: &str, search: Option<&str>) -> Result<u64> {
        let Some(search) = search.map(str::to_lowercase) else {
            return self.count(&key(b'v', app, b""));
        };
        let mut count = 0;
        for entry in self.scan::<Entry<'_>>(&key(b'v', app, b"")) {
            count += u64::from(entry?.vod.matches(&search));
        }
        Ok(count)
    }

    fn delete_vod(&self, app: &str, vod_id: &str) -> Result<Option<Vod>> {
        let vod_key = key(b'v', app, vod_id.as_bytes());
        self.transaction(|tree| {
            let Some(value) = tree.remove(vod_key.as_slice())? else {
                return Ok(None);
            };
            let entry: Entry<'_> = decode(&vod_key, &value).map_err(Abort::Abort)?;
            tree.remove(key(b'o', app, &entry.place.to_be_bytes()))?;
            let vod = entry.into_vod();
            put(tree, key(b'd', app, vod_id.as_bytes()), &vod)?;
            Ok(Some(vod))
        })
    }

    fn doomed(&self, app: &str) -> Result<Vec<Vod>> {
        self.scan(&key(b'd', app, b"")).collect()
    }

    fn bury(&self, app: &str, vod_id: &str) -> Result<()> {
        // Not worth a wait for the disk: at worst the file is looked for once more.
        self.db.remove(key(b'd', app, vod_id.as_bytes()))?;
        Ok(())
    }

    fn import(&self, clips: &[ClipRecord]) -> Result<()> {
        for some in clips.chunks(IMPORTED_AT_ONCE) {
            self.transaction(|tree| {
                for ClipRecord {
                    app, vod, boundary, ..
                } in some
                {
                    let vod_key = key(b'v', app, vod.vod_id.as_bytes());
                    if tree.get(vod_key)?.is_none() {
                        add_vod(tree, app, vod)?;
                    }
                    let Some(boundary) = boundary else { continue };
                    let boundary_key = key(b'm', app, vod.stream_id.as_bytes());
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

    fn clear_vods(&self, app: &str) -> Result<()> {
        for kind in [b'v', b'o'] {
            for found in self.db.scan_prefix(key(kind, app, b"")).keys() {
                self.db.remove(found?)?;
            }
        }
        self.settle()
    }

    fn broadcast(&self, app: &str, stream_id: &str) -> Result<Option<Broadcast>> {
        self.get(&key(b'b', app, stream_id.as_bytes()))
    }

    fn create_broadcast(&self, app: &str, broadcast: &Broadcast) -> Result<bool> {
        let key = key(b'b', app, broadcast.stream_id.as_bytes());
        self.transaction(|tree| {
            if tree.get(key.as_slice())?.is_some() {
                return Ok(false);
            }
            put(tree, key.clone(), broadcast)?;
            Ok(true)
        })
    }

    fn change_broadcast(
        &self,
        app: &str,
        stream_id: &str,
        change: &mut dyn FnMut(&mut Broadcast),
    ) -> Result<Option<Broadcast>> {
        let key = key(b'b', app, stream_id.as_bytes());
        // A transaction may be tried several times, each time from what is there then.
        let change = std::cell::RefCell::new(change);
        self.transaction(|tree| {
            let Some(value) = tree.get(key.as_slice())? else {
                return Ok(None);
            };
            let mut broadcast: Broadcast = decode(&key, &value).map_err(Abort::Abort)?;
            (change.borrow_mut())(&mut broadcast);
            put(tree, key.clone(), &broadcast)?;
            Ok(Some(broadcast))
        })
    }

    fn broadcasts(&self, app: &str, offset: usize, size: usize) -> Result<Vec<Broadcast>> {
        let all = self.scan(&key(b'b', app, b""));
        all.skip(offset).take(size).collect()
    }

    fn count_broadcasts(&self, app: &str) -> Result<u64> {
        self.count(&key(b'b', app, b""))
    }

    fn delete_broadcast(&self, app: &str, stream_id: &str) -> Result<bool> {
        let removed = self.db.remove(key(b'b', app, stream_id.as_bytes()))?;
        self.settle()?;
        Ok(removed.is_some())
    }

    fn boundary(&self, app: &str, stream_id: &str) -> Result<Option<Boundary>> {
        self.get(&key(b'm', app, stream_id.as_bytes()))
    }

    fn set_boundary(&self, app: &str, stream_id: &str, boundary: Option<&Boundary>) -> Result<()> {
        self.set(key(b'm', app, stream_id.as_bytes()), boundary)
    }

    fn periodic(&self, app: &str) -> Result<Option<PeriodicState>> {
        self.get(&key(b'p', app, b""))
    }

    fn set_periodic(&self, app: &str, state: Option<&PeriodicState>) -> Result<()> {
        self.set(key(b'p', app, b""), state)
    }

    fn enqueue_hooks(&self, hooks: &[QueuedHook]) -> Result<()> {
        if !hooks.is_empty() {
            self.transaction(|tree| add_hooks(tree, hooks))?;
            self.added.notify_one();
        }
        Ok(())
    }

    fn hooks_after(&self, after: u64, limit: usize) -> Result<Vec<Ticket>> {
        let from = numbered(b'h', after.saturating_add(1));
        let to = numbered(b'h', u64::MAX);
        let found = self.db.range(from..to).take(limit);
        found
            .map(|entry| {
                let (key, value) = entry?;
                Ok((place_of(&key), decode(&key, &value)?))
            })
            .collect()
    }

    fn hook(&self, place: u64) -> Result<Option<QueuedHook>> {
        self.get(&numbered(b'h', place))
    }

    fn retry_hook(&self, place: u64, hook: &QueuedHook) -> Result<()> {
        // Not worth a wait for the disk: what is lost is the count of the tries.
        let key = numbered(b'h', place);
        self.db.insert(key, encode(hook)?)?;
        Ok(())
    }

    fn finish_hook(&self, place: u64) -> Result<()> {
        // Nor is this: at worst the event is delivered once more, under the same id.
        self.db.remove(numbered(b'h', place))?;
        Ok(())
    }

    fn fail_hook(&self, place: u64, hook: &QueuedHook) -> Result<()> {
        self.transaction(|tree| {
            tree.remove(numbered(b'h', place))?;
            put(tree, numbered(b'f', place), hook)
        })?;
        let failed = self.db.scan_prefix(b"f").keys().rev();
        for old in failed.skip(FAILED_KEPT) {
            self.db.remove(old?)?;
        }
        Ok(())
    }

    fn failed_hooks(&self) -> Result<Vec<QueuedHook>> {
        self.scan(b"f").collect()
    }

    fn flush(&self) -> Result<()> {
        self.settle()
    }

    fn hooks_added(&self) -> Arc<Notify> {
        Arc::clone(&self.added)
    }
}

impl SledCatalog {
    fn set<T: Serialize>(&self, key: Vec<u8>, value: Option<&T>) -> Result<()> {
        match value {
            Some(value) => self.db.insert(key, encode(value)?)?,
            None => self.db.remove(key)?,
        };
        self.settle()
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

fn add_vod(tree: &TransactionalTree, app: &str, vod: &Vod) -> Result<(), Abort> {
    let place = count_up(tree, b"cvod")?;
    let id = vod.vod_id.as_bytes();
    let entry = Entry {
        place,
        vod: Cow::Borrowed(vod),
    };
    put(tree, key(b'v', app, id), &entry)?;
    tree.insert(key(b'o', app, &place.to_be_bytes()), id)?;
    Ok(())
}

fn add_hooks(tree: &TransactionalTree, hooks: &[QueuedHook]) -> Result<(), Abort> {
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
fn check(key: &[u8], value: &IVec) -> Result<()> {
    match key {
        [b'v', ..] => decode::<Entry<'_>>(key, value).map(drop),
        [b'd', ..] => decode::<Vod>(key, value).map(drop),
        b"!format" => Ok(()),
        [b'f' | b'h', ..] => decode::<QueuedHook>(key, value).map(drop),
        [b'b', ..] => decode::<Broadcast>(key, value).map(drop),
        [b'm', ..] => decode::<Boundary>(key, value).map(drop),
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
