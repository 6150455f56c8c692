use std::fs;
use std::path::Path;

use super::*;
use crate::catalog::SledCatalog;
use crate::domain::{ClipEntry, Set, StreamEntry};
use crate::storage::LocalStore;

async fn clip(catalog: &dyn Catalog, folder: &Path, number: i64, age_ms: i64) -> ClipEntry {
    let clip_id = format!("{number:024}");
    let entry = ClipEntry {
        file_name: format!("{clip_id}.mp4"),
        key: format!("{clip_id}.mp4"),
        id: clip_id,
        created_ms: now_ms() - age_ms,
        bytes: 10,
        ..ClipEntry::default()
    };
    fs::write(folder.join(&entry.file_name), [0; 10]).unwrap();
    catalog
        .commit_clip("live", &entry, None, &[])
        .await
        .unwrap();
    entry
}

#[tokio::test]
async fn the_oldest_go_first_and_none_that_is_read() {
    let data = tempfile::tempdir().unwrap();
    let streams = tempfile::tempdir().unwrap();
    let catalog = SledCatalog::open(data.path()).unwrap().catalog;
    let store = LocalStore::default();
    let mut clips = Vec::new();
    for n in 0..5 {
        // So old that the time which the test takes counts for nothing.
        clips.push(clip(&catalog, streams.path(), n, 10_000_000 - n * 1_000_000).await);
    }
    let mut app = AppSettings::new("live", streams.path());
    assert_eq!(retain(&catalog, &store, &app).await.unwrap(), 0);

    app.retention.max_bytes = Some(30);
    let lease = store.usage().lease(&app.paths(), &clips[0].key);
    assert_eq!(retain(&catalog, &store, &app).await.unwrap(), 2);
    let left = |n: usize| streams.path().join(&clips[n].file_name).exists();
    assert_eq!([0, 1, 2, 3, 4].map(left), [true, false, false, true, true]);
    drop(lease);
    app.retention = Retention {
        max_age: Some(Duration::from_secs(6500)),
        ..Retention::default()
    };
    assert_eq!(retain(&catalog, &store, &app).await.unwrap(), 2);
    assert_eq!(
        [0, 1, 2, 3, 4].map(left),
        [false, false, false, false, true]
    );
    assert_eq!(catalog.count_clips("live", None).await.unwrap(), 1);
    assert!(catalog.doomed("live").await.unwrap().is_empty());
}

#[tokio::test]
async fn the_oldest_go_while_the_disk_has_too_little_room() {
    let data = tempfile::tempdir().unwrap();
    let streams = tempfile::tempdir().unwrap();
    let catalog = SledCatalog::open(data.path()).unwrap().catalog;
    let store = LocalStore::default();
    for n in 0..3 {
        clip(&catalog, streams.path(), n, 10_000 - n * 1000).await;
    }
    let mut app = AppSettings::new("live", streams.path());
    app.retention.min_free = Some(1);
    assert_eq!(retain(&catalog, &store, &app).await.unwrap(), 0);
    // No disk is so large: all go, but the one that is read.
    app.retention.min_free = Some(u64::MAX);
    let last = format!("{:024}.mp4", 2);
    let lease = store.usage().lease(&app.paths(), &last);
    assert_eq!(retain(&catalog, &store, &app).await.unwrap(), 2);
    assert!(streams.path().join(&last).exists());
    drop(lease);
    app.streams_dir = streams.path().join("absent");
    assert_eq!(retain(&catalog, &store, &app).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stream_keeps_its_clips_as_was_set_for_it() {
    let data = tempfile::tempdir().unwrap();
    let streams = tempfile::tempdir().unwrap();
    let catalog = SledCatalog::open(data.path()).unwrap().catalog;
    let store = LocalStore::default();
    let mut app = AppSettings::new("live", streams.path());
    let left = async || {
        let found = catalog.clips_after("live", 0, 100).await.unwrap();
        let ids = found.into_iter().map(|(_, clip)| clip.id);
        ids.map(|id| id.parse::<i64>().unwrap()).collect::<Vec<_>>()
    };
    let set = async |id: &str, app: &AppSettings, change: &dyn Fn(&mut StreamSettings)| {
        let known = catalog.stream("live", id).await.unwrap();
        let mut new = known.clone().unwrap_or_else(|| StreamEntry {
            id: id.into(),
            ..StreamEntry::default()
        });
        new.settings = app.still_set(&new.settings);
        change(&mut new.settings);
        let put = catalog.replace_stream("live", known.as_ref(), &new, None);
        assert!(put.await.unwrap());
    };
    // Old ones and new ones of two streams.
    for (number, id, hours) in [
        (0, "a", 9),
        (1, "b", 8),
        (2, "a", 5),
        (3, "b", 4),
        (4, "a", 1),
    ] {
        let clip_id = format!("{number:024}");
        let entry = ClipEntry {
            file_name: format!("{clip_id}.mp4"),
            key: format!("{clip_id}.mp4"),
            id: clip_id,
            stream_id: id.into(),
            created_ms: now_ms() - hours * 3_600_000,
            bytes: 10,
            ..ClipEntry::default()
        };
        fs::write(streams.path().join(&entry.file_name), [0; 10]).unwrap();
        let committed = catalog.commit_clip("live", &entry, None, &[]);
        committed.await.unwrap();
    }
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    // Nothing holds for others but what was set for one.
    let age = app.set_max_age(hours(7));
    set("a", &app, &|set| set.max_age_ms = Some(age)).await;
    assert_eq!(retain(&catalog, &store, &app).await.unwrap(), 1);
    assert_eq!(left().await, [1, 2, 3, 4]);
    // What was set for it alone outlives what holds for all.
    app.retention.max_age = Some(hours(2));
    let age = app.set_max_age(hours(7));
    set("b", &app, &|set| set.max_age_ms = Some(age)).await;
    // And what was set for the other is overruled by the configuration.
    assert_eq!(retain(&catalog, &store, &app).await.unwrap(), 2);
    assert_eq!(left().await, [3, 4]);
    app.retention = Retention::default();
    let some = Set {
        value: 9,
        configured: None,
    };
    set("a", &app, &|set| set.max_bytes = Some(some)).await;
    assert_eq!(retain(&catalog, &store, &app).await.unwrap(), 1);
    assert_eq!(left().await, [3]);
    // That whose disk is to be the emptiest gives way first.
    let room = app.set_min_free(u64::MAX);
    set("a", &app, &|set| set.min_free = Some(room)).await;
    assert_eq!(retain(&catalog, &store, &app).await.unwrap(), 0);
    set("b", &app, &|set| set.min_free = Some(room)).await;
    assert_eq!(retain(&catalog, &store, &app).await.unwrap(), 1);
    assert_eq!(left().await, [] as [i64; 0]);
}

#[tokio::test]
async fn only_clips_that_nothing_points_to_are_cleaned_up() {
    let data = tempfile::tempdir().unwrap();
    let streams = tempfile::tempdir().unwrap();
    let catalog = SledCatalog::open(data.path()).unwrap().catalog;
    let known = clip(&catalog, streams.path(), 1, 0).await;
    let sub = streams.path().join("sub");
    fs::create_dir(&sub).unwrap();
    let stray = format!("{}.mp4", "s".repeat(24));
    let part = format!(".{}.mp4.part", "s".repeat(24));
    for name in [stray.as_str(), &part, "recording.mp4", "cam.m3u8"] {
        fs::write(streams.path().join(name), b"x").unwrap();
        fs::write(sub.join(name), b"x").unwrap();
    }
    let app = AppSettings::new("live", streams.path()).paths();
    let store = LocalStore::default();
    let swept = |removed| Swept {
        removed,
        failed: Vec::new(),
    };
    assert_eq!(
        remove_unlisted(&catalog, &store, &app).await.unwrap(),
        swept(2)
    );
    assert_eq!(
        remove_unlisted(&catalog, &store, &app).await.unwrap(),
        swept(0)
    );
    assert!(streams.path().join(&known.file_name).exists());
    for name in [&part, "recording.mp4", "cam.m3u8"] {
        assert!(streams.path().join(name).exists() && sub.join(name).exists());
    }
    assert!(
        delete_clip(&catalog, &store, &app, &known.id)
            .await
            .unwrap()
    );
    assert!(!streams.path().join(&known.file_name).exists());
    assert!(
        !delete_clip(&catalog, &store, &app, &known.id)
            .await
            .unwrap()
    );
}
