//! What every catalog must do, whatever stores it: `conformance!` makes tests of it for a back end.

use super::*;

/// The tests, for a back end that `$open` opens in a folder (`&Path`): it finds there what an earlier one
/// of the same folder stored.
macro_rules! conformance {
    ($open:expr) => {
        mod conformance {
            use std::path::Path;

            use super::*;

            fn check(test: fn(&dyn Fn() -> Box<dyn crate::catalog::Catalog>)) {
                let folder = tempfile::tempdir().unwrap();
                let open: fn(&Path) -> _ = $open;
                test(&|| Box::new(open(folder.path())));
            }

            $crate::catalog::conformance::each!(check:
                a_clip_its_boundary_and_its_webhooks_come_together_and_last
                lists_are_ordered_searched_and_paged
                removed_entries_are_doomed_until_they_are_buried
                applications_know_nothing_of_each_other
                streams_change_one_at_a_time
                a_stream_that_is_another_by_now_is_left_as_it_is
                what_rest_asked_of_periodic_recording_lasts
                boundaries_and_recordings_last_until_they_are_taken_back
                an_import_fills_in_what_is_not_known
                webhooks_keep_their_order_and_their_places
                nothing_is_lost_between_several_that_write
            );
        }
    };
}
pub(crate) use conformance;

macro_rules! each {
    ($check:ident: $($name:ident)*) => {
        $(#[test]
        fn $name() {
            $check(crate::catalog::conformance::$name);
        })*
    };
}
pub(crate) use each;

type Open<'a> = &'a dyn Fn() -> Box<dyn Catalog>;

pub(crate) fn clip(number: u32) -> ClipEntry {
    let clip_id = format!("{number:024}");
    ClipEntry {
        file_name: format!("{clip_id}.mp4"),
        key: format!("{clip_id}.mp4"),
        id: clip_id,
        stream_id: format!("cam{}", number % 2),
        created_ms: 1000 - i64::from(number),
        ..ClipEntry::default()
    }
}

pub(crate) fn hook(number: i64) -> Delivery {
    Delivery {
        id: number.to_string(),
        app: "live".into(),
        url: "http://127.0.0.1/".into(),
        payload: serde_json::Map::new(),
        created_ms: number,
        attempts: 0,
        next_ms: 0,
        last_error: None,
    }
}

fn ids(clips: &[ClipEntry]) -> Vec<u32> {
    clips.iter().map(|clip| clip.id.parse().unwrap()).collect()
}

const ALL: ClipQuery = ClipQuery {
    offset: 0,
    size: 100,
    sort_by: SortBy::Creation,
    descending: false,
    stream_id: None,
    search: None,
};

fn boundary(ordinal: u64) -> Boundary {
    Boundary {
        ordinal,
        session: "s".into(),
        ..Boundary::default()
    }
}

fn cam() -> StreamEntry {
    StreamEntry {
        id: "cam".into(),
        ..StreamEntry::default()
    }
}

pub(crate) fn a_clip_its_boundary_and_its_webhooks_come_together_and_last(open: Open<'_>) {
    let boundary = boundary(3);
    let moved = Some(("cam1", &boundary));
    open()
        .commit_clip("live", &clip(1), moved, &[hook(1), hook(2)])
        .unwrap();
    let catalog = open();
    assert_eq!(catalog.clip("live", &clip(1).id).unwrap(), Some(clip(1)));
    assert_eq!(catalog.boundary("live", "cam1").unwrap(), Some(boundary));
    let queued = catalog.deliveries_after(0, 10).unwrap();
    let hooks: Vec<_> = queued.into_iter().map(|(_, hook)| hook).collect();
    assert_eq!(hooks, [hook(1), hook(2)]);
}

pub(crate) fn lists_are_ordered_searched_and_paged(open: Open<'_>) {
    let catalog = open();
    for number in [3, 1, 2, 5, 4] {
        catalog
            .commit_clip("live", &clip(number), None, &[])
            .unwrap();
    }
    let query = |change: &dyn Fn(&mut ClipQuery)| {
        let mut query = ClipQuery {
            size: 50,
            ..ClipQuery::default()
        };
        change(&mut query);
        ids(&catalog.clips("live", &query).unwrap())
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
        let named = ClipEntry {
            file_name: name.to_owned(),
            ..clip(number)
        };
        catalog.commit_clip("names", &named, None, &[]).unwrap();
    }
    let by_name = ClipQuery {
        size: 9,
        sort_by: SortBy::Name,
        ..ClipQuery::default()
    };
    let found = catalog.clips("names", &by_name).unwrap();
    let names = found.iter().map(|clip| clip.file_name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["A.mp4", "a.mp4", "b.mp4", "C.mp4"]
    );
    assert_eq!(query(&|q| q.stream_id = Some("cam1".into())), [3, 1, 5]);
    assert_eq!(query(&|q| q.search = Some("CAM0".into())), [2, 4]);
    assert_eq!(query(&|q| q.search = Some(".*".into())), [0; 0]);
    assert_eq!(catalog.count_clips("live", None).unwrap(), 5);
    assert_eq!(catalog.count_clips("live", Some("Cam0")).unwrap(), 2);
}

pub(crate) fn removed_entries_are_doomed_until_they_are_buried(open: Open<'_>) {
    let catalog = open();
    for number in [3, 1, 2] {
        catalog
            .commit_clip("live", &clip(number), None, &[])
            .unwrap();
    }
    let id = clip(1).id;
    assert_eq!(catalog.delete_clip("live", &id).unwrap(), Some(clip(1)));
    assert_eq!(catalog.delete_clip("live", &id).unwrap(), None);
    assert_eq!(catalog.clip("live", &id).unwrap(), None);
    assert_eq!(ids(&catalog.clips("live", &ALL).unwrap()), [3, 2]);
    assert_eq!(catalog.count_clips("live", None).unwrap(), 2);
    drop(catalog);
    let catalog = open();
    assert_eq!(catalog.doomed("live").unwrap(), [clip(1)]);
    catalog.bury("live", &id).unwrap();
    assert_eq!(catalog.doomed("live").unwrap(), []);
    catalog.bury("live", &id).unwrap();
}

pub(crate) fn applications_know_nothing_of_each_other(open: Open<'_>) {
    let catalog = open();
    // One name begins with the other.
    for app in ["live", "live2"] {
        let marked = ClipEntry {
            file_name: format!("{app}.mp4"),
            ..clip(1)
        };
        let here = boundary(app.len() as u64);
        let moved = Some(("cam", &here));
        catalog.commit_clip(app, &marked, moved, &[]).unwrap();
        let added = catalog.replace_stream(app, None, &cam(), None);
        assert!(added.unwrap());
    }
    let name = |app| {
        let found = catalog.clip(app, &clip(1).id).unwrap();
        found.map(|clip| clip.file_name)
    };
    assert_eq!(name("live").unwrap(), "live.mp4");
    assert_eq!(name("live2").unwrap(), "live2.mp4");
    catalog.clear_clips("live").unwrap();
    assert_eq!(name("live"), None);
    assert_eq!(name("live2").unwrap(), "live2.mp4");
    // Nothing but the entries is forgotten.
    let known = catalog.boundary("live", "cam").unwrap();
    assert_eq!(known.unwrap().ordinal, 4);
    assert_eq!(catalog.doomed("live").unwrap(), []);
    assert!(catalog.delete_stream("live", "cam").unwrap());
    assert_eq!(catalog.streams("live2", 0, 9).unwrap(), [cam()]);
}

pub(crate) fn streams_change_one_at_a_time(open: Open<'_>) {
    let catalog = open();
    let add = || catalog.replace_stream("live", None, &cam(), None).unwrap();
    assert!(add());
    assert!(!add());
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..5 {
                    let up = |entry: &mut StreamEntry| entry.known_since_ms += 1;
                    change_stream(&*catalog, "live", "cam", up).unwrap();
                }
            });
        }
    });
    assert_eq!(
        catalog
            .stream("live", "cam")
            .unwrap()
            .unwrap()
            .known_since_ms,
        20
    );
    let none = change_stream(&*catalog, "live", "none", |_| {});
    assert_eq!(none.unwrap(), None);
    for id in ["b", "a", "c"] {
        let id = id.to_owned();
        let added = StreamEntry { id, ..cam() };
        catalog.replace_stream("live", None, &added, None).unwrap();
    }
    let page = catalog.streams("live", 1, 2).unwrap();
    let page: Vec<_> = page.iter().map(|found| found.id.as_str()).collect();
    assert_eq!(page, ["b", "c"], "in the order of their ids");
    assert_eq!(catalog.count_streams("live").unwrap(), 4);
    assert!(catalog.delete_stream("live", "cam").unwrap());
    assert!(!catalog.delete_stream("live", "cam").unwrap());
}

pub(crate) fn a_stream_that_is_another_by_now_is_left_as_it_is(open: Open<'_>) {
    let catalog = open();
    let named = |name: &str| StreamEntry {
        name: Some(name.to_owned()),
        ..cam()
    };
    let (first, second) = (named("first"), named("second"));
    let replace = |known: Option<&StreamEntry>, new: &StreamEntry, number| {
        let hook = hook(number);
        catalog
            .replace_stream("live", known, new, Some(&hook))
            .unwrap()
    };
    assert!(!replace(Some(&first), &second, 1), "there is none yet");
    assert!(replace(None, &first, 2));
    assert!(!replace(None, &second, 3), "there is one by now");
    assert!(!replace(Some(&second), &first, 4), "it is another");
    assert!(replace(Some(&first), &second, 5));
    assert_eq!(catalog.stream("live", "cam").unwrap(), Some(second));
    // What was refused is not told.
    let queued = catalog.deliveries_after(0, 10).unwrap();
    let hooks: Vec<_> = queued.into_iter().map(|(_, hook)| hook).collect();
    assert_eq!(hooks, [hook(2), hook(5)]);
}

pub(crate) fn what_rest_asked_of_periodic_recording_lasts(open: Open<'_>) {
    let state = PeriodicState {
        enabled: false,
        interval_seconds: 5,
        configured: (true, 600),
    };
    open().set_periodic("live", Some(&state)).unwrap();
    let catalog = open();
    assert_eq!(catalog.periodic("live").unwrap(), Some(state));
    catalog.set_periodic("live", None).unwrap();
    assert_eq!(catalog.periodic("live").unwrap(), None);
}

pub(crate) fn boundaries_and_recordings_last_until_they_are_taken_back(open: Open<'_>) {
    let recording = OpenRecording {
        vod_id: clip(1).id,
        begins: boundary(2),
    };
    let catalog = open();
    catalog
        .set_boundary("live", "cam", Some(&boundary(7)))
        .unwrap();
    let recordings = [recording.clone(), recording];
    catalog.set_recordings("live", "cam", &recordings).unwrap();
    drop(catalog);
    let catalog = open();
    assert_eq!(catalog.boundary("live", "cam").unwrap(), Some(boundary(7)));
    assert_eq!(catalog.recordings("live", "cam").unwrap(), recordings);
    catalog.set_boundary("live", "cam", None).unwrap();
    catalog.set_recordings("live", "cam", &[]).unwrap();
    assert_eq!(catalog.boundary("live", "cam").unwrap(), None);
    assert_eq!(catalog.recordings("live", "cam").unwrap(), []);
}

pub(crate) fn an_import_fills_in_what_is_not_known(open: Open<'_>) {
    let catalog = open();
    let known = ClipEntry {
        file_name: "renamed.mp4".into(),
        ..clip(1)
    };
    let here = boundary(5);
    let moved = Some(("cam1", &here));
    catalog.commit_clip("live", &known, moved, &[]).unwrap();
    let record = |number, ordinal| {
        let boundary = boundary(ordinal);
        ClipRecord::new("live", &clip(number), Some(&boundary))
    };
    // One that is known; one with an earlier boundary of the same stream; one with a later.
    let clips = [record(1, 4), record(3, 3), record(5, 6)];
    catalog.import(&clips[..2]).unwrap();
    let found = catalog.boundary("live", "cam1").unwrap();
    assert_eq!(found.unwrap().ordinal, 5);
    catalog.import(&clips).unwrap();
    let found = catalog.boundary("live", "cam1").unwrap();
    assert_eq!(found.unwrap().ordinal, 6);
    assert_eq!(ids(&catalog.clips("live", &ALL).unwrap()), [1, 3, 5]);
    let first = catalog.clip("live", &clip(1).id).unwrap();
    assert_eq!(first, Some(known), "an entry that is known stays");
    assert_eq!(
        catalog.deliveries_after(0, 9).unwrap().len(),
        0,
        "none is told"
    );
}

pub(crate) fn webhooks_keep_their_order_and_their_places(open: Open<'_>) {
    let catalog = open();
    catalog.enqueue(&[hook(1), hook(2)]).unwrap();
    catalog
        .commit_clip("live", &clip(1), None, &[hook(3)])
        .unwrap();
    let queued = catalog.deliveries_after(0, 2).unwrap();
    let [(first, _), (second, _)] = queued.as_slice() else {
        panic!("{queued:?}");
    };
    assert!(*first > 0 && second > first);
    let rest = catalog.deliveries_after(*second, 9).unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].1, hook(3));
    let tried = Delivery {
        attempts: 3,
        ..hook(1)
    };
    catalog.retry_delivery(*first, &tried).unwrap();
    catalog.finish_delivery(*second).unwrap();
    catalog.fail_delivery(rest[0].0, &rest[0].1).unwrap();
    catalog.flush().unwrap();
    drop(catalog);
    let catalog = open();
    assert_eq!(catalog.deliveries_after(0, 9).unwrap(), [(*first, tried)]);
    assert_eq!(catalog.delivery(*second).unwrap(), None);
    assert_eq!(catalog.failed_deliveries().unwrap(), [hook(3)]);
    catalog.enqueue(&[hook(4)]).unwrap();
    let queued = catalog.deliveries_after(*first, 9).unwrap();
    assert!(queued[0].0 > rest[0].0, "no place is given twice");
}

pub(crate) fn nothing_is_lost_between_several_that_write(open: Open<'_>) {
    let catalog = open();
    std::thread::scope(|threads| {
        for writer in 0..4 {
            let catalog = &catalog;
            threads.spawn(move || {
                for n in 0..6 {
                    let clip = clip(writer * 6 + n);
                    let hooks = [hook(i64::from(writer * 6 + n))];
                    catalog.commit_clip("live", &clip, None, &hooks).unwrap();
                    if n % 3 == 2 {
                        catalog.delete_clip("live", &clip.id).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(catalog.count_clips("live", None).unwrap(), 16);
    assert_eq!(catalog.clips("live", &ALL).unwrap().len(), 16);
    assert_eq!(catalog.doomed("live").unwrap().len(), 8);
    assert_eq!(catalog.deliveries_after(0, 100).unwrap().len(), 24);
}
