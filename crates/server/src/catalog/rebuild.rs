//! Making the catalog agree with the files.

use std::collections::HashMap;
use std::io;

use super::{Catalog, CatalogError, Committed};
use crate::domain::{ClipEntry, Delivery, StreamEntry};
use crate::storage::{AppPaths, ClipRecord, ClipStore, FoundClip, FoundKind};

/// A crash leaves no more clips without an entry than were being made; where there are more, the
/// catalog has lost them, and their webhooks were delivered long ago.
const IN_FLIGHT: usize = 64;

/// Entries looked at together.
pub(crate) const PAGE: usize = 500;

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
/// Clips that `store` is making are left alone. The store blocks.
///
/// # Errors
/// When the catalog or a folder cannot be read.
pub async fn reconcile(
    catalog: &dyn Catalog,
    store: &dyn ClipStore,
    app: &AppPaths,
    fresh: bool,
    hooks: &dyn Fn(&ClipEntry, Option<&StreamEntry>) -> Vec<Delivery>,
) -> Result<Reconciled, ReconcileError> {
    let mut done = Reconciled {
        buried: bury_doomed(catalog, store, app).await?,
        ..Reconciled::default()
    };
    let known = known_keys(catalog, &app.app).await?;
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
            FoundKind::Clip if known.contains_key(&found.clip_id) => {}
            FoundKind::Clip => {
                if catalog.clip(&app.app, &found.clip_id).await?.is_none() {
                    orphans.extend(record_of(store, app, &found)?);
                }
            }
        }
    }
    // What could not be removed is not to come back.
    let doomed = catalog.doomed(&app.app).await?;
    orphans.retain(|orphan| doomed.iter().all(|entry| entry.id != orphan.entry.id));
    orphans.sort_by_key(order);
    done.adopted = orphans.len();
    if fresh || orphans.len() > IN_FLIGHT {
        catalog.import(&orphans).await?;
        return Ok(done);
    }
    for ClipRecord {
        entry, boundary, ..
    } in &orphans
    {
        let stream = catalog.stream(&app.app, &entry.stream_id).await?;
        let hooks = hooks(entry, stream.as_ref());
        let commit = |boundary| catalog.commit_clip(&app.app, entry, boundary, &hooks);
        // A later clip may have got its entry.
        if let Committed::Behind(_) = commit(boundary.as_ref()).await? {
            commit(None).await?;
        }
    }
    Ok(done)
}

/// Makes all entries of an application anew, from the files alone. The store blocks.
///
/// # Errors
/// When the catalog or a folder cannot be read.
pub async fn rebuild(
    catalog: &dyn Catalog,
    store: &dyn ClipStore,
    app: &AppPaths,
) -> Result<Rebuilt, ReconcileError> {
    bury_doomed(catalog, store, app).await?;
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
    catalog.clear_clips(&app.app).await?;
    catalog.import(&clips).await?;
    Ok(Rebuilt {
        clips: clips.len(),
        unknown,
    })
}

/// The keys of all clips that have an entry, by their ids.
pub(crate) async fn known_keys(
    catalog: &dyn Catalog,
    app: &str,
) -> Result<HashMap<String, String>, CatalogError> {
    let mut known = HashMap::new();
    let mut last = 0;
    loop {
        let page = catalog.clips_after(app, last, PAGE).await?;
        let Some((place, _)) = page.last() else {
            return Ok(known);
        };
        last = *place;
        known.extend(page.into_iter().map(|(_, clip)| (clip.id, clip.key)));
    }
}

/// Removes the files of removed entries. Says how many were still there.
pub(crate) async fn bury_doomed(
    catalog: &dyn Catalog,
    store: &dyn ClipStore,
    app: &AppPaths,
) -> Result<usize, CatalogError> {
    let mut buried = 0;
    for entry in catalog.doomed(&app.app).await? {
        match store.delete(app, &entry.key) {
            Ok(was_there) => {
                catalog.bury(&app.app, &entry.id).await?;
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
