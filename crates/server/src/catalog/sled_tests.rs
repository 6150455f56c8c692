use super::*;
use crate::storage::{AppPaths, ClipRecord};

fn open(folder: &Path) -> Opened {
    SledCatalog::open(folder).unwrap()
}

fn vod(number: u32) -> Vod {
    let vod_id = format!("{number:024}");
    Vod {
        vod_name: format!("{vod_id}.mp4"),
        file_path: format!("streams/{vod_id}.mp4"),
        vod_id,
        stream_id: format!("cam{}", number % 2),
        creation_date: 1000 - i64::from(number),
        ..Vod::default()
    }
}

fn hook(number: i64) -> QueuedHook {
    QueuedHook {
        delivery: number.to_string(),
        app: "live".into(),
        url: "http://127.0.0.1/".into(),
        payload: serde_json::Map::new(),
        created_ms: number,
        attempts: 0,
        next_ms: 0,
        last_error: None,
    }
}

fn ids(vods: &[Vod]) -> Vec<u32> {
    vods.iter().map(|vod| vod.vod_id.parse().unwrap()).collect()
}

#[test]
fn a_clip_its_boundary_and_its_webhooks_come_together_and_last() {
    let folder = tempfile::tempdir().unwrap();
    let boundary = Boundary {
        ordinal: 3,
        session: "s".into(),
        ..Boundary::default()
    };
    {
        let opened = open(folder.path());
        assert!(opened.fresh);
        let catalog = opened.catalog;
        let moved = Some(("cam1", &boundary));
        catalog
            .commit_clip("live", &vod(1), moved, &[hook(1), hook(2)])
            .unwrap();
    }
    let opened = open(folder.path());
    assert!(!opened.fresh && opened.set_aside.is_none());
    let catalog = opened.catalog;
    assert_eq!(catalog.vod("live", &vod(1).vod_id).unwrap(), Some(vod(1)));
    assert_eq!(catalog.vod("other", &vod(1).vod_id).unwrap(), None);
    assert_eq!(catalog.boundary("live", "cam1").unwrap(), Some(boundary));
    let queued = catalog.hooks_after(0, 10).unwrap();
    assert_eq!(queued.len(), 2);
    assert_eq!(queued[0].1, hook(1));
    assert_eq!(catalog.hooks_after(queued[0].0, 10).unwrap().len(), 1);
    catalog.finish_hook(queued[0].0).unwrap();
    catalog.fail_hook(queued[1].0, &queued[1].1).unwrap();
    assert!(catalog.hooks_after(0, 10).unwrap().is_empty());
    assert_eq!(catalog.failed_hooks().unwrap(), [hook(2)]);
}

#[test]
fn lists_are_ordered_searched_and_paged() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = open(folder.path()).catalog;
    for number in [3, 1, 2, 5, 4] {
        catalog
            .commit_clip("live", &vod(number), None, &[])
            .unwrap();
    }
    let query = |change: &dyn Fn(&mut VodQuery)| {
        let mut query = VodQuery {
            size: 50,
            ..VodQuery::default()
        };
        change(&mut query);
        ids(&catalog.vods("live", &query).unwrap())
    };
    assert_eq!(query(&|_| {}), [3, 1, 2, 5, 4]);
    assert_eq!(query(&|q| (q.offset, q.size) = (1, 2)), [1, 2]);
    assert_eq!(query(&|q| q.sort_by = SortBy::Name), [1, 2, 3, 4, 5]);
    assert_eq!(query(&|q| q.sort_by = SortBy::Date), [5, 4, 3, 2, 1]);
    let backwards = query(&|q| {
        q.sort_by = SortBy::Name;
        q.descending = true;
    });
    assert_eq!(backwards, [5, 4, 3, 2, 1]);
    for (number, name) in [(6, "b.mp4"), (7, "A.mp4"), (8, "C.mp4"), (9, "a.mp4")] {
        let named = Vod {
            vod_name: name.to_owned(),
            ..vod(number)
        };
        catalog.commit_clip("names", &named, None, &[]).unwrap();
    }
    let by_name = VodQuery {
        size: 9,
        sort_by: SortBy::Name,
        ..VodQuery::default()
    };
    let found = catalog.vods("names", &by_name).unwrap();
    let names = found.iter().map(|vod| vod.vod_name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["A.mp4", "a.mp4", "b.mp4", "C.mp4"]
    );
    assert_eq!(query(&|q| q.stream_id = Some("cam1".into())), [3, 1, 5]);
    assert_eq!(query(&|q| q.search = Some("CAM0".into())), [2, 4]);
    assert_eq!(query(&|q| q.search = Some(".*".into())), [0; 0]);
    assert_eq!(catalog.count_vods("live", None).unwrap(), 5);
    assert_eq!(catalog.count_vods("live", Some("Cam0")).unwrap(), 2);

    let gone = catalog.delete_vod("live", &vod(1).vod_id).unwrap();
    assert_eq!(gone, Some(vod(1)));
    assert_eq!(catalog.delete_vod("live", &vod(1).vod_id).unwrap(), None);
    assert_eq!(catalog.doomed("live").unwrap(), [vod(1)]);
    catalog.bury("live", &vod(1).vod_id).unwrap();
    assert!(catalog.doomed("live").unwrap().is_empty());
    let all = VodQuery {
        size: 9,
        ..VodQuery::default()
    };
    assert_eq!(ids(&catalog.vods("live", &all).unwrap()), [3, 2, 5, 4]);
}

#[test]
fn broadcasts_change_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = open(folder.path()).catalog;
    let cam = Broadcast {
        stream_id: "cam".into(),
        ..Broadcast::default()
    };
    assert!(catalog.create_broadcast("live", &cam).unwrap());
    assert!(!catalog.create_broadcast("live", &cam).unwrap());
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..5 {
                    let up = &mut |b: &mut Broadcast| b.date += 1;
                    catalog.change_broadcast("live", "cam", up).unwrap();
                }
            });
        }
    });
    assert_eq!(catalog.broadcast("live", "cam").unwrap().unwrap().date, 20);
    assert_eq!(
        catalog
            .change_broadcast("live", "none", &mut |_| {})
            .unwrap(),
        None
    );
    assert_eq!(catalog.count_broadcasts("live").unwrap(), 1);
    assert!(catalog.delete_broadcast("live", "cam").unwrap());
    assert!(!catalog.delete_broadcast("live", "cam").unwrap());
}

#[test]
fn what_rest_asked_of_periodic_recording_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let state = PeriodicState {
        enabled: false,
        interval_seconds: 5,
        configured: (true, 600),
    };
    open(folder.path())
        .catalog
        .set_periodic("live", Some(&state))
        .unwrap();
    let catalog = open(folder.path()).catalog;
    assert_eq!(catalog.periodic("live").unwrap(), Some(state));
    catalog.set_periodic("live", None).unwrap();
    assert_eq!(catalog.periodic("live").unwrap(), None);
}

#[test]
fn a_store_with_an_unreadable_entry_is_set_aside_and_the_rest_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    {
        let catalog = open(folder.path()).catalog;
        catalog
            .commit_clip("live", &vod(1), None, &[hook(1)])
            .unwrap();
        let store = catalog.store().unwrap();
        store.db.insert(key(b'v', "live", b"x"), b"{oops").unwrap();
        store.settle().unwrap();
    }
    let opened = open(folder.path());
    assert!(opened.fresh && opened.set_aside.unwrap().is_dir());
    assert_eq!(opened.catalog.count_vods("live", None).unwrap(), 0);
    assert_eq!(opened.catalog.hooks_after(0, 10).unwrap().len(), 1);
}

#[test]
fn whatever_lies_in_the_folder_the_catalog_opens() {
    for damage in ["db", "conf"] {
        for content in [&b""[..], &[0xff; 4096], b"text"] {
            let folder = tempfile::tempdir().unwrap();
            {
                let catalog = open(folder.path()).catalog;
                catalog.commit_clip("live", &vod(1), None, &[]).unwrap();
            }
            fs::write(folder.path().join("catalog").join(damage), content).unwrap();
            let opened = SledCatalog::open(folder.path());
            let opened = opened.unwrap_or_else(|error| panic!("{damage} {content:?}: {error}"));
            let known = opened.catalog.count_vods("live", None).unwrap();
            assert!(opened.fresh || known == 1, "{damage}: {known}");
            opened
                .catalog
                .commit_clip("live", &vod(2), None, &[])
                .unwrap();
        }
    }
}

/// Whatever a disk did to the files of the store: it opens, or is set aside, and takes clips again.
/// What it still says it knows can be read. `CLIPMILL_DAMAGES` tries more often.
#[test]
fn a_store_cut_short_or_flipped_anywhere_opens() {
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
                    .commit_clip("live", &vod(number), None, &[hook(1)])
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
        let all = VodQuery {
            size: 100,
            ..VodQuery::default()
        };
        let known = opened.catalog.vods("live", &all).unwrap();
        assert!(
            known
                .iter()
                .all(|found| *found == vod(found.vod_id.parse().unwrap()))
        );
        opened
            .catalog
            .commit_clip("live", &vod(21), None, &[])
            .unwrap();
        assert_eq!(
            opened.catalog.vod("live", &vod(21).vod_id).unwrap(),
            Some(vod(21))
        );
    }
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
    let path = folder.join(&record.vod.vod_name);
    fs::write(&path, b"clip").unwrap();
    let record = serde_json::to_vec(record).unwrap();
    fs::write(path.with_extension("json"), record).unwrap();
}

#[test]
fn clips_that_a_crash_left_without_entry_get_all_of_it() {
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
        &ClipRecord::new("live", &vod(1), Some(&boundary)),
    );
    write_clip(streams.path(), &ClipRecord::new("other", &vod(2), None));
    write_clip(streams.path(), &ClipRecord::new("live", &vod(3), None));
    fs::write(
        streams.path().join(format!("{}.mp4", "n".repeat(24))),
        b"no record",
    )
    .unwrap();
    // A record that was written before its clip got its name, and a file of somebody else's.
    write_clip(streams.path(), &ClipRecord::new("live", &vod(4), None));
    fs::remove_file(streams.path().join(vod(4).vod_name)).unwrap();
    let theirs = streams.path().join(format!("{}.json", "t".repeat(24)));
    fs::write(&theirs, b"{}").unwrap();
    fs::write(
        streams.path().join(format!(".{}.mp4.part", "p".repeat(24))),
        b"x",
    )
    .unwrap();
    // Its entry was removed, its file not yet.
    catalog.commit_clip("live", &vod(3), None, &[]).unwrap();
    catalog.delete_vod("live", &vod(3).vod_id).unwrap();

    let store = crate::storage::ClipStore::default();
    let hooks = |vod: &Vod| vec![hook(vod.vod_id.parse().unwrap())];
    let done = super::super::reconcile(&catalog, &store, &app, false, &hooks).unwrap();
    assert_eq!((done.adopted, done.buried, done.unfinished), (1, 1, 2));
    assert!(theirs.exists());
    let adopted = catalog.vod("live", &vod(1).vod_id).unwrap().unwrap();
    assert_eq!(adopted.file_size, 4);
    assert_eq!(catalog.boundary("live", "cam1").unwrap(), Some(boundary));
    assert_eq!(catalog.hooks_after(0, 10).unwrap().len(), 1);
    assert!(!streams.path().join(vod(3).vod_name).exists());
    let again = super::super::reconcile(&catalog, &store, &app, false, &hooks).unwrap();
    assert_eq!(again, super::super::Reconciled::default());
    let rebuilt = super::super::rebuild(&catalog, &app).unwrap();
    assert_eq!((rebuilt.clips, rebuilt.unknown), (1, 2));
    assert_eq!(catalog.vod("live", &vod(1).vod_id).unwrap(), Some(adopted));
}
