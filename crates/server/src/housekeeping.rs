//! Clips that go: removed by REST, by age, for want of room, or because nothing points to them.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use crate::catalog::{Catalog, CatalogError, PAGE, ReconcileError, bury_doomed, known_keys};
use crate::config::{AppSettings, Retention};
use crate::domain::{StreamSettings, now_ms};
use crate::storage::{AppPaths, ClipStore, FoundKind};

/// Removes a clip, entry and file; false when there is no such entry. The store blocks.
///
/// # Errors
/// When the catalog fails. A file that cannot be removed now is removed later.
pub async fn delete_clip(
    catalog: &dyn Catalog,
    store: &dyn ClipStore,
    app: &AppPaths,
    clip_id: &str,
) -> Result<bool, CatalogError> {
    let Some(entry) = catalog.delete_clip(&app.app, clip_id).await? else {
        return Ok(false);
    };
    match store.delete(app, &entry.key) {
        Ok(_) => catalog.bury(&app.app, clip_id).await?,
        Err(error) => {
            tracing::error!(app = app.app, key = entry.key, %error, "cannot remove a clip yet");
        }
    }
    Ok(true)
}

/// What became of the clip files that no entry points to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many are gone.
    pub removed: u64,
    /// Those that could not be removed: `streams/…`.
    pub failed: Vec<String>,
}

/// Removes the clip files that no entry points to. One that cannot be removed keeps none of the
/// others. The store blocks.
///
/// # Errors
/// When the catalog or a folder cannot be read.
pub async fn remove_unlisted(
    catalog: &dyn Catalog,
    store: &dyn ClipStore,
    app: &AppPaths,
) -> Result<Swept, ReconcileError> {
    let mut swept = Swept::default();
    let known = known_keys(catalog, &app.app).await?;
    for found in store.list(app)? {
        if store.is_stray_record(app, &found) {
            if let Err(error) = store.delete_found(&found) {
                let path = found.path.display();
                tracing::warn!(%path, %error, "cannot remove a clip's record");
            }
            continue;
        }
        if found.kind == FoundKind::Clip && known.get(&found.clip_id) == Some(&found.key) {
            continue;
        }
        // In this order: a clip that is no longer in the making has its entry by now.
        if found.kind != FoundKind::Clip || store.usage().in_making(&found.clip_id) {
            continue;
        }
        let entry = catalog.clip(&app.app, &found.clip_id).await?;
        if entry.is_some_and(|entry| entry.key == found.key) {
            continue;
        }
        let path = found.path.display();
        let failed = match store.delete_found(&found) {
            Ok(was_there) => {
                if was_there {
                    swept.removed += 1;
                    tracing::info!(%path, "removed a clip that no entry points to");
                }
                store
                    .delete_record(&found)
                    .err()
                    .map(|error| (".json", error))
            }
            Err(error) => Some((".mp4", error)),
        };
        if let Some((kind, error)) = failed {
            let name = found.key.trim_end_matches(".mp4");
            swept.failed.push(format!("{name}{kind}"));
            tracing::error!(%path, %error, "cannot remove what no entry points to");
        }
    }
    Ok(swept)
}

/// Removes the oldest clips as far as the settings want it, but none that is being read. Says how
/// many. The store blocks.
///
/// # Errors
/// When the catalog fails.
pub async fn retain(
    catalog: &dyn Catalog,
    store: &dyn ClipStore,
    app: &AppSettings,
) -> Result<u64, CatalogError> {
    let paths = app.paths();
    bury_doomed(catalog, store, &paths).await?;
    let of_app = app.retention_of(&StreamSettings::default());
    let own = own_retentions(catalog, app).await?;
    let all = own.values().chain([&of_app]);
    let wants_room = all.clone().any(|kept| kept.min_free.is_some());
    if app.retention.max_bytes.is_none() && all.clone().all(|kept| *kept == Retention::default()) {
        return Ok(0);
    }
    // What the disk has no answer for is no reason to remove anything.
    let mut free = wants_room.then(|| free(paths.clip_root())).flatten();
    let mut clips = Vec::new();
    let mut last = 0;
    loop {
        let page = catalog.clips_after(&app.name, last, PAGE).await?;
        let Some((place, _)) = page.last() else { break };
        last = *place;
        clips.extend(page.into_iter().map(|(_, clip)| clip));
    }
    let now = now_ms();
    let mut total: u64 = clips.iter().map(|clip| clip.bytes).sum();
    let mut totals: HashMap<String, u64> = HashMap::new();
    for clip in &clips {
        *totals.entry(clip.stream_id.clone()).or_default() += clip.bytes;
    }
    let mut removed = 0;
    for clip in clips {
        let kept = own.get(&clip.stream_id).unwrap_or(&of_app);
        let of_stream = totals.get_mut(&clip.stream_id);
        let oldest = kept.max_age.map(|age| now.saturating_sub(millis(age)));
        let too_old = oldest.is_some_and(|oldest| clip.created_ms < oldest);
        let too_much = app.retention.max_bytes.is_some_and(|most| total > most);
        let is_over = |total: &u64| kept.max_bytes.is_some_and(|most| *total > most);
        let too_much_of_it = of_stream.as_deref().is_some_and(is_over);
        let too_full = kept
            .min_free
            .zip(free)
            .is_some_and(|(least, free)| free < least);
        if !too_old && !too_much && !too_much_of_it && !too_full {
            continue;
        }
        if store.usage().in_use(&paths, &clip.key) {
            continue;
        }
        if delete_clip(catalog, store, &paths, &clip.id).await? {
            removed += 1;
            total = total.saturating_sub(clip.bytes);
            free = free.map(|free| free.saturating_add(clip.bytes));
            if let Some(of_stream) = of_stream {
                *of_stream = of_stream.saturating_sub(clip.bytes);
            }
            tracing::info!(
                app = app.name,
                vod = clip.id,
                too_old,
                too_full,
                "retention removed a clip"
            );
        }
    }
    Ok(removed)
}

/// How long the clips of those streams are kept for which calls set something.
async fn own_retentions(
    catalog: &dyn Catalog,
    app: &AppSettings,
) -> Result<HashMap<String, Retention>, CatalogError> {
    let mut own = HashMap::new();
    let mut offset = 0;
    loop {
        let page = catalog.streams(&app.name, offset, PAGE).await?;
        let len = page.len();
        let set = page
            .into_iter()
            .filter(|stream| !stream.settings.is_empty());
        own.extend(set.map(|stream| (stream.id, app.retention_of(&stream.settings))));
        if len < PAGE {
            return Ok(own);
        }
        offset += PAGE;
    }
}

/// Bytes that are free on the disk of a folder for those who are not its administrator.
fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
