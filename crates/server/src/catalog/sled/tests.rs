use std::fs;
use std::path::Path;

use super::values::{key, numbered};
use super::*;
use crate::catalog::conformance::{clip, conformance, hook};
use crate::storage::{AppPaths, ClipRecord};

fn open(folder: &Path) -> Opened {
    SledCatalog::open(folder).unwrap()
}

conformance!(async |folder: PathBuf| open(&folder).catalog);

#[tokio::test]
async fn a_store_with_an_unreadable_entry_is_set_aside_and_the_rest_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    {
        let catalog = open(folder.path()).catalog;
        catalog
            .commit_clip("live", &clip(1), None, &[hook(1)])
            .await
            .unwrap();
        let store = catalog.blocking.store().unwrap();
        store.db.insert(key(b'v', "live", b"x"), b"{oops").unwrap();
        store.settle().unwrap();
    }
    let opened = open(folder.path());
    assert!(opened.fresh && opened.set_aside.unwrap().is_dir());
    assert_eq!(opened.catalog.count_clips("live", None).await.unwrap(), 0);
    assert_eq!(
        opened.catalog.deliveries_after(0, 10).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn whatever_lies_in_the_folder_the_catalog_opens() {
    for damage in ["db", "conf"] {
        for content in [&b""[..], &[0xff; 4096], b"text"] {
            let folder = tempfile::tempdir().unwrap();
            {
                let catalog = open(folder.path()).catalog;
                catalog
                    .commit_clip("live", &clip(1), None, &[])
                    .await
                    .unwrap();
            }
            fs::write(folder.path().join("catalog").join(damage), content).unwrap();
            let opened = SledCatalog::open(folder.path());
            let opened = opened.unwrap_or_else(|error| panic!("{damage} {content:?}: {error}"));
            let known = opened.catalog.count_clips("live", None).await.unwrap();
            assert!(opened.fresh || known == 1, "{damage}: {known}");
            opened
                .catalog
                .commit_clip("live", &clip(2), None, &[])
                .await
                .unwrap();
        }
    }
}

/// Whatever a disk did to the files of the store: it opens, or is set aside, and takes clips again.
/// What it still says it knows can be read. `CLIPMILL_DAMAGES` tries more often.
#[tokio::test]
async fn a_store_cut_short_or_flipped_anywhere_opens() {
    let tries = std::env::var("CLIPMILL_DAMAGES");
    let tries = tries.map_or(24, |count| count.parse().unwrap());
    let mut state = 7u64;
    let mut below = |limit: u64| {
        // Knuth's MMIX generator: any numbers will do, the same each time.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit.max(1)
    };
    for attempt in 0..tries {
        let folder = tempfile::tempdir().unwrap();
        {
            let catalog = open(folder.path()).catalog;
            for number in 1..=20 {
                catalog
                    .commit_clip("live", &clip(number), None, &[hook(1)])
                    .await
                    .unwrap();
            }
        }
        let mut files: Vec<_> = fs::read_dir(folder.path().join("catalog"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        let file = &files[below(files.len() as u64) as usize];
        let mut bytes = fs::read(file).unwrap();
        if below(2) == 0 {
            bytes.truncate(below(bytes.len() as u64) as usize);
        } else {
            for _ in 0..=below(8) {
                // What is written lies at the beginning; the rest of the file is room.
                let at = below((bytes.len() as u64).min(16 << 10)) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << below(8);
                }
            }
        }
        fs::write(file, &bytes).unwrap();
        let opened = SledCatalog::open(folder.path());
        let opened = opened.unwrap_or_else(|error| panic!("{attempt} {}: {error}", file.display()));
        let all = ClipQuery {
            size: 100,
            ..ClipQuery::default()
        };
        let known = opened.catalog.clips("live", &all).await.unwrap();
        assert!(
            known
                .iter()
                .all(|found| *found == clip(found.id.parse().unwrap()))
        );
        opened
            .catalog
            .commit_clip("live", &clip(21), None, &[])
            .await
            .unwrap();
        assert_eq!(
            opened.catalog.clip("live", &clip(21).id).await.unwrap(),
            Some(clip(21))
        );
    }
}

/// The values are as the first version wrote them, and are still changed one by one.
#[tokio::test]
async fn what_earlier_versions_wrote_is_read_and_changed() {
    let folder = tempfile::tempdir().unwrap();
    {
        let catalog = open(folder.path()).catalog;
        let store = catalog.blocking.store().unwrap();
        let put = |key: Vec<u8>, value: &str| {
            let value = format!(r#"{{"v":1,"value":{value}}}"#);
            store.db.insert(key, value.as_bytes()).unwrap();
        };
        let recordings = r#"[{"vod_id":"a","begins":{"ordinal":0,"session":"s"}},
            {"vod_id":"b","begins":{"ordinal":0,"session":"t"}}]"#;
        put(key(b'r', "live", b"cam"), recordings);
        put(key(b'm', "live", b"cam"), r#"{"ordinal":7,"session":"s"}"#);
        let periodic = r#"{"enabled":false,"interval_seconds":5,"configured":[true,600]}"#;
        put(key(b'p', "live", b""), periodic);
        let hook = r#"{"delivery":"1","app":"live","url":"http://a/","payload":{},"created_ms":1,
            "attempts":2,"next_ms":3,"last_error":"no"}"#;
        put(numbered(b'h', 1), hook);
        store.settle().unwrap();
    }
    let opened = open(folder.path());
    assert!(!opened.fresh && opened.set_aside.is_none());
    let catalog = opened.catalog;
    catalog.finish_recording("live", "cam", "a").await.unwrap();
    let left = catalog.recordings("live", "cam").await.unwrap();
    assert_eq!((left.len(), left[0].vod_id.as_str()), (1, "b"));
    let to = Boundary {
        ordinal: 6,
        ..Boundary::default()
    };
    let moved = catalog.move_boundary("live", "cam", &to).await.unwrap();
    assert_eq!(moved, Moved::Behind(7));
    let asked = catalog.periodic("live").await.unwrap();
    assert_eq!(asked.as_ref().unwrap().configured, (true, 600));
    let replaced = catalog.replace_periodic("live", asked.as_ref(), None).await;
    assert!(replaced.unwrap());
    let lease = Duration::from_secs(3600);
    let claim = catalog.claim_delivery(1, 2, lease).await.unwrap();
    assert!(matches!(claim, Claim::Yours(claimed) if claimed.delivery.next_ms == 3));
}

#[test]
fn a_store_that_is_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let error = SledCatalog::open(folder.path()).unwrap_err();
    assert!(matches!(error, CatalogError::InUse { .. }), "{error}");
    drop(first);
    assert!(open(folder.path()).set_aside.is_none());
}

/// A clip, and its record beside it.
fn write_clip(folder: &Path, record: &ClipRecord) {
    let path = folder.join(&record.entry.file_name);
    fs::write(&path, b"clip").unwrap();
    let record = serde_json::to_vec(record).unwrap();
    fs::write(path.with_extension("json"), record).unwrap();
}

#[tokio::test]
async fn clips_that_a_crash_left_without_entry_get_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let streams = tempfile::tempdir().unwrap();
    let app = AppPaths {
        app: "live".into(),
        streams_dir: streams.path().to_owned(),
        clips_dir: None,
    };
    let catalog = open(folder.path()).catalog;
    let boundary = Boundary {
        ordinal: 7,
        ..Boundary::default()
    };
    write_clip(
        streams.path(),
        &ClipRecord::new("live", &clip(1), Some(&boundary)),
    );
    write_clip(streams.path(), &ClipRecord::new("other", &clip(2), None));
    write_clip(streams.path(), &ClipRecord::new("live", &clip(3), None));
    fs::write(
        streams.path().join(format!("{}.mp4", "n".repeat(24))),
        b"no record",
    )
    .unwrap();
    // A record that was written before its clip got its name, and a file of somebody else's.
    write_clip(streams.path(), &ClipRecord::new("live", &clip(4), None));
    fs::remove_file(streams.path().join(clip(4).file_name)).unwrap();
    let theirs = streams.path().join(format!("{}.json", "t".repeat(24)));
    fs::write(&theirs, b"{}").unwrap();
    fs::write(
        streams.path().join(format!(".{}.mp4.part", "p".repeat(24))),
        b"x",
    )
    .unwrap();
    // Its entry was removed, its file not yet.
    catalog
        .commit_clip("live", &clip(3), None, &[])
        .await
        .unwrap();
    catalog.delete_clip("live", &clip(3).id).await.unwrap();

    let store = crate::storage::LocalStore::default();
    let hooks = |entry: &ClipEntry, _: Option<&StreamEntry>| vec![hook(entry.id.parse().unwrap())];
    let done = crate::catalog::reconcile(&catalog, &store, &app, false, &hooks)
        .await
        .unwrap();
    assert_eq!((done.adopted, done.buried, done.unfinished), (1, 1, 2));
    assert!(theirs.exists());
    let adopted = catalog.clip("live", &clip(1).id).await.unwrap().unwrap();
    assert_eq!(adopted.bytes, 4);
    assert_eq!(
        catalog.boundary("live", "cam1").await.unwrap(),
        Some(boundary)
    );
    assert_eq!(catalog.deliveries_after(0, 10).await.unwrap().len(), 1);
    assert!(!streams.path().join(clip(3).file_name).exists());
    let again = crate::catalog::reconcile(&catalog, &store, &app, false, &hooks)
        .await
        .unwrap();
    assert_eq!(again, crate::catalog::Reconciled::default());
    let rebuilt = crate::catalog::rebuild(&catalog, &store, &app)
        .await
        .unwrap();
    assert_eq!((rebuilt.clips, rebuilt.unknown), (1, 2));
    assert_eq!(
        catalog.clip("live", &clip(1).id).await.unwrap(),
        Some(adopted)
    );
}
