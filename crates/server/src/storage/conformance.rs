//! What every clip store must do, wherever it keeps clips: `conformance!` makes tests of it for a store.

use std::io::{Read, Seek, SeekFrom};

use super::*;
use crate::domain::{Boundary, ClipEntry};

/// The tests, for a store that `$open` opens in a folder (`&Path`): it finds there what an earlier one of the
/// same folder stored.
macro_rules! conformance {
    ($open:expr) => {
        mod conformance {
            use std::path::Path;

            use super::*;
            use crate::storage::conformance::Site;

            fn check(test: fn(&Site<'_>)) {
                let folder = tempfile::tempdir().unwrap();
                let open: fn(&Path) -> _ = $open;
                test(&Site {
                    folder: folder.path(),
                    open: &|| Box::new(open(folder.path())),
                });
            }

            $crate::storage::conformance::each!(check:
                a_clip_is_there_whole_or_not_at_all
                the_head_comes_last_and_must_be_whole
                what_is_given_up_leaves_nothing
                ranges_are_read_block_by_block
                what_is_removed_is_gone_with_its_record
                applications_and_folders_are_apart
                what_this_process_makes_and_reads_is_known
            );
        }
    };
}
pub(crate) use conformance;

macro_rules! each {
    ($check:ident: $($name:ident)*) => {
        $(#[test]
        fn $name() {
            $check(crate::storage::conformance::$name);
        })*
    };
}
pub(crate) use each;

/// A place to store clips in.
pub(crate) struct Site<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) open: &'a dyn Fn() -> Box<dyn ClipStore>,
}

impl Site<'_> {
    fn store(&self) -> Box<dyn ClipStore> {
        (self.open)()
    }

    fn app(&self, name: &str) -> AppPaths {
        AppPaths {
            app: name.to_owned(),
            streams_dir: self.folder.join(name),
            clips_dir: None,
        }
    }
}

/// The record of a clip of `live` that is called after a letter.
fn record(letter: &str, sub_folder: Option<&str>) -> ClipRecord {
    let id = letter.repeat(24);
    let entry = ClipEntry {
        key: sub_folder.map_or_else(|| format!("{id}.mp4"), |sub| format!("{sub}/{id}.mp4")),
        metadata: Some("{\"a\":1}".to_owned()),
        id,
        ..ClipEntry::default()
    };
    let boundary = Boundary {
        ordinal: 7,
        ..Boundary::default()
    };
    ClipRecord::new("live", &entry, Some(&boundary))
}

fn begin(store: &dyn ClipStore, app: &AppPaths, record: &ClipRecord) -> NewClip {
    let entry = &record.entry;
    let clip = store.begin(app, &entry.id, entry.sub_folder(), Room::default());
    clip.unwrap()
}

/// Stores ten bytes, the digits.
fn put(store: &dyn ClipStore, app: &AppPaths, record: &ClipRecord) {
    let mut clip = begin(store, app, record);
    clip.append(b"01234").unwrap();
    clip.append(b"56789").unwrap();
    clip.publish(record).unwrap().keep();
}

fn all(store: &dyn ClipStore, app: &AppPaths, key: &str) -> Option<Vec<u8>> {
    let open = store.open(app, key).unwrap()?;
    let mut bytes = Vec::new();
    let mut content = Seekable::new(open.content).unwrap();
    content.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, open.len);
    Some(bytes)
}

fn kinds(store: &dyn ClipStore, app: &AppPaths, kind: FoundKind) -> Vec<FoundClip> {
    let found = store.list(app).unwrap().into_iter();
    found.filter(|found| found.kind == kind).collect()
}

pub(crate) fn a_clip_is_there_whole_or_not_at_all(site: &Site<'_>) {
    let (store, app, record) = (site.store(), site.app("live"), record("a", None));
    let key = record.entry.key.as_str();
    let mut clip = begin(&*store, &app, &record);
    clip.append(b"0123456789").unwrap();
    assert_eq!(all(&*store, &app, key), None);
    assert!(kinds(&*store, &app, FoundKind::Clip).is_empty());
    let stored = clip.publish(&record).unwrap();
    assert_eq!((stored.bytes, stored.key.as_str()), (10, key));
    drop((stored, store));

    let store = site.store();
    assert_eq!(all(&*store, &app, key).unwrap(), b"0123456789");
    let found = kinds(&*store, &app, FoundKind::Clip);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].key.as_str(), &found[0].clip_id),
        (key, &record.entry.id)
    );
    let read = store.read_record(&found[0]).unwrap().unwrap();
    assert_eq!(read.entry.bytes, 10, "as long as it is");
    assert_eq!(read.entry.metadata, record.entry.metadata);
    assert_eq!(read.boundary, record.boundary);
    let stray = store.list(&app).unwrap();
    assert!(!stray.iter().any(|found| store.is_stray_record(&app, found)));
    assert!(kinds(&*store, &app, FoundKind::Unfinished).is_empty());
}

pub(crate) fn the_head_comes_last_and_must_be_whole(site: &Site<'_>) {
    let (store, app, record) = (site.store(), site.app("live"), record("a", None));
    let key = record.entry.key.as_str();
    let begin = || {
        let room = Room { head: 4, len: None };
        let mut clip = store.begin(&app, &record.entry.id, None, room).unwrap();
        clip.append(b"45").unwrap();
        clip.append(b"6789").unwrap();
        clip.append_head(b"0").unwrap();
        clip
    };
    begin().publish(&record).unwrap_err();
    assert_eq!(all(&*store, &app, key), None);
    let mut clip = begin();
    clip.append_head(b"1234").unwrap_err();
    clip.append_head(b"123").unwrap();
    let mut text = String::new();
    let mut content = Seekable::new(clip.content()).unwrap();
    content.seek(SeekFrom::Start(3)).unwrap();
    content.read_to_string(&mut text).unwrap();
    assert_eq!(text, "3456789", "it can be read before it is published");
    clip.publish(&record).unwrap().keep();
    assert_eq!(all(&*store, &app, key).unwrap(), b"0123456789");
}

pub(crate) fn what_is_given_up_leaves_nothing(site: &Site<'_>) {
    let (store, app, record) = (site.store(), site.app("live"), record("a", None));
    let mut clip = begin(&*store, &app, &record);
    clip.append(b"0123456789").unwrap();
    drop(clip);
    assert!(store.list(&app).unwrap().is_empty());
    // Nor does one whose entry could not be made.
    let mut clip = begin(&*store, &app, &record);
    clip.append(b"0123456789").unwrap();
    clip.publish(&record).unwrap().discard(&*store, &app);
    assert!(store.list(&app).unwrap().is_empty());
    assert_eq!(all(&*store, &app, &record.entry.key), None);
    assert!(!store.usage().in_making(&record.entry.id));
}

pub(crate) fn ranges_are_read_block_by_block(site: &Site<'_>) {
    let (store, app, record) = (site.store(), site.app("live"), record("a", None));
    put(&*store, &app, &record);
    let open = store.open(&app, &record.entry.key).unwrap().unwrap();
    assert_eq!(open.content.size().unwrap(), 10);
    for (range, expected) in [
        (0..10, "0123456789"),
        (2..7, "23456"),
        (9..10, "9"),
        (4..4, ""),
    ] {
        let mut blocks = open.content.open_range(range).unwrap();
        let mut read = Vec::new();
        loop {
            let block = blocks.next(3).unwrap();
            assert!(block.len() <= 3);
            if block.is_empty() {
                break;
            }
            read.extend(block);
        }
        assert_eq!(read, expected.as_bytes());
    }
    // What is open can be read to its end, whatever becomes of the clip.
    let mut blocks = open.content.open_range(0..10).unwrap();
    assert_eq!(blocks.next(1).unwrap(), "0");
    assert!(store.delete(&app, &record.entry.key).unwrap());
    assert_eq!(blocks.next(1).unwrap(), "1");
}

pub(crate) fn what_is_removed_is_gone_with_its_record(site: &Site<'_>) {
    let (store, app) = (site.store(), site.app("live"));
    let (one, other) = (record("a", None), record("b", Some("sub")));
    put(&*store, &app, &one);
    put(&*store, &app, &other);
    assert!(store.delete(&app, &one.entry.key).unwrap());
    assert!(!store.delete(&app, &one.entry.key).unwrap());
    let left = store.list(&app).unwrap();
    assert!(!left.is_empty() && left.iter().all(|found| found.clip_id == other.entry.id));
    // A crash between the two leaves a record alone.
    let clip = kinds(&*store, &app, FoundKind::Clip).remove(0);
    assert!(store.delete_found(&clip).unwrap());
    assert!(!store.delete_found(&clip).unwrap());
    let records = store.list(&app).unwrap();
    assert!(
        records
            .iter()
            .all(|found| store.is_stray_record(&app, found))
    );
    let elsewhere = AppPaths {
        app: "other".to_owned(),
        ..app.clone()
    };
    assert!(
        !records
            .iter()
            .any(|found| store.is_stray_record(&elsewhere, found))
    );
    store.delete_record(&clip).unwrap();
    store.delete_record(&clip).unwrap();
    assert!(store.list(&app).unwrap().is_empty());
}

pub(crate) fn applications_and_folders_are_apart(site: &Site<'_>) {
    let store = site.store();
    // One name begins with the other.
    let (live, live2) = (site.app("live"), site.app("live2"));
    let (top, below) = (record("a", None), record("b", Some("sub/deeper")));
    assert!(store.list(&live).unwrap().is_empty());
    put(&*store, &live, &top);
    put(&*store, &live, &below);
    put(&*store, &live2, &top);
    let keys = |app: &AppPaths| {
        let found = kinds(&*store, app, FoundKind::Clip).into_iter();
        let mut keys: Vec<_> = found.map(|found| found.key).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys(&live), [&*top.entry.key, &*below.entry.key]);
    assert_eq!(keys(&live2), [&*top.entry.key]);
    assert!(store.delete(&live, &top.entry.key).unwrap());
    assert_eq!(all(&*store, &live, &top.entry.key), None);
    assert!(all(&*store, &live, &below.entry.key).is_some());
    assert!(all(&*store, &live2, &top.entry.key).is_some());
    assert_eq!(all(&*store, &live2, &below.entry.key), None);
}

pub(crate) fn what_this_process_makes_and_reads_is_known(site: &Site<'_>) {
    let (store, app, record) = (site.store(), site.app("live"), record("a", None));
    let (usage, key) = (store.usage(), record.entry.key.as_str());
    let mut clip = begin(&*store, &app, &record);
    clip.append(b"0").unwrap();
    assert!(usage.in_making(&record.entry.id));
    let stored = clip.publish(&record).unwrap();
    // Until its entry is in the catalog.
    assert!(usage.in_making(&record.entry.id));
    stored.keep();
    assert!(!usage.in_making(&record.entry.id) && !usage.in_use(&app, key));
    let first = store.open(&app, key).unwrap().unwrap();
    let second = usage.lease(&app, key);
    drop(first);
    assert!(usage.in_use(&app, key) && !usage.in_use(&site.app("live2"), key));
    drop(second);
    assert!(!usage.in_use(&app, key));
}
