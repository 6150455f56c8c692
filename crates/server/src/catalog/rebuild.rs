//! Making the catalog agree with the files.

use std::io;

use super::{Catalog, CatalogError};
use crate::domain::{ClipEntry, Delivery};
use crate::storage::{AppPaths, ClipRecord, ClipStore, FoundClip, FoundKind};

/// A crash leaves no more clips without an entry than were being made; where there are more, the
/// catalog has lost them, and their webhooks were delivered long ago.
const IN_FLIGHT: usize = 64;

/// What was done to make the catalog and the files agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Clips that had no entry and got one.
    pub adopted: usize,
    /// Clips whose entry had been removed, and now the file too.
    pub buried: usize,
    /// Files of clips that were never finished.
    pub unfinished: usize,
}

/// What [`rebuild`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// Clips that have an entry now.
    pub clips: usize,
    /// Files with the names of clips that nothing is known of: their record is lost, or they are
    /// not ours.
    pub unknown: usize,
}

/// Why the catalog and the files could not be made to agree.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The folders.
    #[error("cannot look for clips: {0}")]
    Folder(#[from] io::Error),
}

/// Finishes what a crash interrupted: clips get the entry, the boundary and the webhooks (those
/// that `hooks` makes) that they had not got yet; those that were removed go; what was never
/// finished goes too. `fresh` says that the catalog knew nothing: then no webhook is queued.
///
/// Clips that `store` is making are left alone.
///
/// # Errors
/// When the catalog or a folder cannot be read.
pub fn reconcile(
    catalog: &dyn Catalog,
    store: &dyn ClipStore,
    app: &AppPaths,
    fresh: bool,
    hooks: &dyn Fn(&ClipEntry) -> Vec<Delivery>,
) -> Result<Reconciled, ReconcileError> {
    let mut done = Reconciled {
        buried: bury_doomed(catalog, store, app)?,
        ..Reconciled::default()
    };
    let mut orphans = Vec::new();
    for found in store.list(app)? {
        if store.usage().in_making(&found.clip_id) {
            continue;
        }
        match found.kind {
            FoundKind::Unfinished => {
                done.unfinished += usize::from(store.delete_found(&found)?);
            }
            FoundKind::Record if store.is_stray_record(app, &found) => {
                done.unfinished += usize::from(store.delete_found(&found)?);
            }
            FoundKind::Record => {}
            FoundKind::Clip if catalog.clip(&app.app, &found.clip_id)?.is_none() => {
                orphans.extend(record_of(store, app, &found)?);
            }
            FoundKind::Clip => {}
        }
    }
    // What could not be removed is not to come back.
    let doomed = catalog.doomed(&app.app)?;
    orphans.retain(|orphan| doomed.iter().all(|entry| entry.id != orphan.entry.id));
    orphans.sort_by_key(order);
    done.adopted = orphans.len();
    if fresh || orphans.len() > IN_FLIGHT {
        catalog.import(&orphans)?;
        return Ok(done);
    }
    for ClipRecord {
        entry, boundary, ..
    } in &orphans
    {
        let known = catalog.boundary(&app.app, &entry.stream_id)?;
        let boundary = boundary.as_ref().filter(|boundary| {
            known
                .as_ref()
                .is_none_or(|known| known.ordinal < boundary.ordinal)
        });
        let moved = boundary.map(|boundary| (entry.stream_id.as_str(), boundary));
        catalog.commit_clip(&app.app, entry, moved, &hooks(entry))?;
    }
    Ok(done)
}

/// Makes all entries of an application anew, from the files alone.
///
/// # Errors
/// When the catalog or a folder cannot be read.
pub fn rebuild(
    catalog: &dyn Catalog,
    store: &dyn ClipStore,
    app: &AppPaths,
) -> Result<Rebuilt, ReconcileError> {
    bury_doomed(catalog, store, app)?;
    let mut clips = Vec::new();
    let mut unknown = 0;
    for found in store.list(app)? {
        if found.kind != FoundKind::Clip {
            continue;
        }
        match record_of(store, app, &found)? {
            Some(record) => clips.push(record),
            None => {
                tracing::warn!(path = %found.path.display(), "there is no record of this clip");
                unknown += 1;
            }
        }
    }
    clips.sort_by_key(order);
    catalog.clear_clips(&app.app)?;
    catalog.import(&clips)?;
    Ok(Rebuilt {
        clips: clips.len(),
        unknown,
    })
}

/// Removes the files of removed entries. Says how many were still there.
pub(crate) fn bury_doomed(
    catalog: &dyn Catalog,
    store: &dyn ClipStore,
    app: &AppPaths,
) -> Result<usize, CatalogError> {
    let mut buried = 0;
    for entry in catalog.doomed(&app.app)? {
        match store.delete(app, &entry.key) {
            Ok(was_there) => {
                catalog.bury(&app.app, &entry.id)?;
                buried += usize::from(was_there);
            }
            Err(error) => {
                tracing::error!(app = app.app, key = entry.key, %error, "cannot remove a clip");
            }
        }
    }
    Ok(buried)
}

fn record_of(
    store: &dyn ClipStore,
    app: &AppPaths,
    found: &FoundClip,
) -> io::Result<Option<ClipRecord>> {
    let record = match store.read_record(found) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(path = %found.path.display(), %error, "cannot read a clip");
            None
        }
        Ok(record) => record,
    };
    let ours = record.filter(|record| record.is_of(&app.app, &found.clip_id));
    Ok(ours.map(|mut record| {
        record.entry.key.clone_from(&found.key);
        record
    }))
}

/// The order in which clips were made.
fn order(record: &ClipRecord) -> (i64, Option<u64>, i64) {
    let ordinal = record.boundary.as_ref().map(|boundary| boundary.ordinal);
    (record.entry.created_ms, ordinal, record.entry.start_ms)
}
