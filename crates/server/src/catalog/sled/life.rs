//! How the store is opened, and what becomes of one that fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use ::sled::IVec;

use super::blocking::Blocking;
use super::store::{Store, io, is_locked, open_db};
use super::values::{Entry, VERSION, check, decode, key, name};
use super::{CatalogError, Result};
use crate::domain::Delivery;

/// A clip that was refused, and what its stream's boundary was before.
#[derive(Debug)]
pub(super) struct Doubtful {
    pub(super) clip_key: Vec<u8>,
    pub(super) clip_id: String,
    pub(super) app: String,
    pub(super) boundary: Option<(Vec<u8>, Option<IVec>)>,
}

impl Blocking {
    /// Opens the store in `folder`: see [`SledCatalog::open`](super::SledCatalog::open). Says too whether
    /// there was none before, and where one was put that could not be read.
    pub(super) fn open(folder: &Path) -> Result<(Self, bool, Option<PathBuf>)> {
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

    fn finish(self, set_aside: Option<PathBuf>) -> Result<(Self, bool, Option<PathBuf>)> {
        let store = self.store()?;
        let fresh = !store.db.contains_key(b"!format")?;
        store
            .db
            .insert(b"!format", VERSION.to_be_bytes().to_vec())?;
        store.settle()?;
        drop(store);
        Ok((self, fresh, set_aside))
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
                    claims: Mutex::default(),
                    added: Arc::default(),
                })
            }
            Ok(Err(error)) if is_locked(&error) => {
                let folder = store.to_owned();
                Err(Refused::Unusable(CatalogError::InUse { folder }))
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
            let new = self.store().ok()?;
            let db = open_db(aside).ok()?;
            for (key, value) in db.iter().map_while(std::result::Result::ok) {
                let wanted = matches!(
                    key.first(),
                    Some(b'd' | b'b' | b's' | b'k' | b'm' | b'r' | b'w' | b'p' | b'h' | b'c')
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
    pub(super) fn store(&self) -> Result<Arc<Store>> {
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
    pub(super) fn insist<T>(attempt: impl Fn() -> Result<T>) -> Result<T> {
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
        let opened = std::panic::catch_unwind(|| open_db(&self.folder));
        let damaged = || CatalogError::Store("the store is damaged".to_owned());
        let db = opened.map_err(|_| damaged())??;
        let store = Arc::new(Store::new(db, &self.folder));
        tracing::warn!("the catalog was opened again, as it is on the disk");
        *place = Some(Arc::clone(&store));
        Ok(store)
    }

    /// Closes a store that has failed, unless that was done already.
    pub(super) fn broken(&self, failed: &Arc<Store>, error: CatalogError) -> CatalogError {
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
}

enum Refused {
    /// It can be read by nobody.
    Unreadable(String),
    /// It cannot be had now.
    Unusable(CatalogError),
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
