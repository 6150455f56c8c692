//! Clips, and what comes with them.

use super::*;

pub(crate) async fn a_clip_its_boundary_and_its_webhooks_come_together_and_last(open: Open) {
    let boundary = boundary(3);
    let catalog = open().await;
    let committed = catalog.commit_clip("live", &clip(1), Some(&boundary), &[hook(1), hook(2)]);
    assert_eq!(committed.await.unwrap(), Committed::Now);
    drop(catalog);
    let catalog = open().await;
    let found = catalog.clip("live", &clip(1).id).await.unwrap();
    assert_eq!(found, Some(clip(1)));
    let found = catalog.boundary("live", "cam1").await.unwrap();
    assert_eq!(found, Some(boundary));
    assert_eq!(queued(&*catalog).await, [hook(1), hook(2)]);
}

pub(crate) async fn lists_are_ordered_searched_and_paged(open: Open) {
    let catalog = open().await;
    for number in [3, 1, 2, 5, 4] {
        commit(&*catalog, "live", &clip(number)).await;
    }
    let query = async |change: &dyn Fn(&mut ClipQuery)| {
        let mut query = ClipQuery {
            size: 50,
            ..ClipQuery::default()
        };
        change(&mut query);
        ids(&catalog.clips("live", &query).await.unwrap())
    };
    assert_eq!(query(&|_| {}).await, [3, 1, 2, 5, 4]);
    assert_eq!(query(&|q| (q.offset, q.size) = (1, 2)).await, [1, 2]);
    assert_eq!(query(&|q| q.sort_by = SortBy::Name).await, [1, 2, 3, 4, 5]);
    assert_eq!(query(&|q| q.sort_by = SortBy::Date).await, [5, 4, 3, 2, 1]);
    let backwards = |q: &mut ClipQuery| {
        q.sort_by = SortBy::Name;
        q.descending = true;
    };
    assert_eq!(query(&backwards).await, [5, 4, 3, 2, 1]);
    for (number, name) in [(6, "b.mp4"), (7, "A.mp4"), (8, "C.mp4"), (9, "a.mp4")] {
        let named = ClipEntry {
            file_name: name.to_owned(),
            ..clip(number)
        };
        commit(&*catalog, "names", &named).await;
    }
    let by_name = ClipQuery {
        size: 9,
        sort_by: SortBy::Name,
        ..ClipQuery::default()
    };
    let found = catalog.clips("names", &by_name).await.unwrap();
    let names = found.iter().map(|clip| clip.file_name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["A.mp4", "a.mp4", "b.mp4", "C.mp4"]
    );
    let of_stream = |q: &mut ClipQuery| q.stream_id = Some("cam1".into());
    assert_eq!(query(&of_stream).await, [3, 1, 5]);
    assert_eq!(query(&|q| q.search = Some("CAM0".into())).await, [2, 4]);
    assert_eq!(query(&|q| q.search = Some(".*".into())).await, [0; 0]);
    assert_eq!(catalog.count_clips("live", None).await.unwrap(), 5);
    let found = catalog.count_clips("live", Some("Cam0")).await;
    assert_eq!(found.unwrap(), 2);
    let pages = paged(&*catalog, 2).await;
    assert_eq!(pages, [3, 1, 2, 5, 4]);
    catalog.delete_clip("live", &clip(1).id).await.unwrap();
    assert_eq!(paged(&*catalog, 2).await, [3, 2, 5, 4]);
}

/// All entries, page by page.
async fn paged(catalog: &dyn Catalog, size: usize) -> Vec<u32> {
    let (mut all, mut last) = (Vec::new(), 0);
    loop {
        let page = catalog.clips_after("live", last, size).await.unwrap();
        assert!(page.len() <= size);
        let Some((place, _)) = page.last() else {
            return all;
        };
        let places: Vec<_> = page.iter().map(|(place, _)| *place).collect();
        assert!(places.is_sorted() && places[0] > last, "{places:?}");
        last = *place;
        all.extend(page.iter().map(|(_, clip)| clip.id.parse::<u32>().unwrap()));
    }
}

pub(crate) async fn lists_are_whole_while_clips_come(open: Open) {
    let catalog = open().await;
    for number in 100..110 {
        commit(&*catalog, "live", &clip(number)).await;
    }
    let before: Vec<u32> = (100..110).collect();
    at_once(5, &catalog, |number, catalog| async move {
        for n in 0..6 {
            if number > 0 {
                commit(&*catalog, "live", &clip(number * 6 + n)).await;
                continue;
            }
            let listed = paged(&*catalog, 3).await;
            assert_eq!(listed[..10], (100..110).collect::<Vec<_>>());
            let mut once = listed.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), listed.len(), "none twice");
        }
    })
    .await;
    let listed = paged(&*catalog, 7).await;
    assert_eq!(listed[..10], before);
    assert_eq!(listed.len(), 34);
    assert_eq!(listed, all(&*catalog).await);
}

pub(crate) async fn removed_entries_are_doomed_until_they_are_buried(open: Open) {
    let catalog = open().await;
    for number in [3, 1, 2] {
        commit(&*catalog, "live", &clip(number)).await;
    }
    let id = clip(1).id;
    let removed = catalog.delete_clip("live", &id).await.unwrap();
    assert_eq!(removed, Some(clip(1)));
    assert_eq!(catalog.delete_clip("live", &id).await.unwrap(), None);
    assert_eq!(catalog.clip("live", &id).await.unwrap(), None);
    assert_eq!(all(&*catalog).await, [3, 2]);
    assert_eq!(catalog.count_clips("live", None).await.unwrap(), 2);
    drop(catalog);
    let catalog = open().await;
    assert_eq!(catalog.doomed("live").await.unwrap(), [clip(1)]);
    catalog.bury("live", &id).await.unwrap();
    assert_eq!(catalog.doomed("live").await.unwrap(), []);
}

pub(crate) async fn applications_know_nothing_of_each_other(open: Open) {
    let catalog = open().await;
    // One name begins with the other.
    for app in ["live", "live2"] {
        let marked = ClipEntry {
            file_name: format!("{app}.mp4"),
            ..clip(1)
        };
        let here = boundary(app.len() as u64);
        let committed = catalog.commit_clip(app, &marked, Some(&here), &[]).await;
        assert_eq!(committed.unwrap(), Committed::Now);
        let added = catalog.replace_stream(app, None, &cam(), None).await;
        assert!(added.unwrap());
    }
    let name = async |app| {
        let found = catalog.clip(app, &clip(1).id).await.unwrap();
        found.map(|clip| clip.file_name)
    };
    assert_eq!(name("live").await.unwrap(), "live.mp4");
    assert_eq!(name("live2").await.unwrap(), "live2.mp4");
    catalog.clear_clips("live").await.unwrap();
    assert_eq!(name("live").await, None);
    assert_eq!(name("live2").await.unwrap(), "live2.mp4");
    // Nothing but the entries is forgotten.
    let known = catalog.boundary("live", "cam1").await.unwrap();
    assert_eq!(known.unwrap().ordinal, 4);
    assert_eq!(catalog.doomed("live").await.unwrap(), []);
    assert!(catalog.delete_stream("live", "cam").await.unwrap());
    assert_eq!(catalog.streams("live2", 0, 9).await.unwrap(), [cam()]);
}

pub(crate) async fn a_command_that_comes_twice_is_harmless(open: Open) {
    let catalog = open().await;
    let commit = async |number, ordinal| {
        let (clip, here) = (clip(number), boundary(ordinal));
        let hook = hook(number.into());
        let committed = catalog.commit_clip("live", &clip, Some(&here), &[hook]);
        committed.await.unwrap()
    };
    for expected in [Committed::Now, Committed::Before] {
        assert_eq!(commit(1, 1).await, expected);
    }
    assert_eq!(commit(3, 2).await, Committed::Now);
    // The answer got lost, and much happened since.
    assert_eq!(commit(1, 1).await, Committed::Before);
    assert_eq!(all(&*catalog).await, [1, 3]);
    assert_eq!(queued(&*catalog).await, [hook(1), hook(3)]);
    let known = catalog.boundary("live", "cam1").await.unwrap();
    assert_eq!(known.unwrap().ordinal, 2);
    for expected in [Some(clip(3)), None] {
        let removed = catalog.delete_clip("live", &clip(3).id).await;
        assert_eq!(removed.unwrap(), expected);
    }
    assert_eq!(commit(3, 2).await, Committed::Before, "it is removed");
    assert_eq!(all(&*catalog).await, [1]);
    for _ in 0..2 {
        catalog.bury("live", &clip(3).id).await.unwrap();
        let moved = catalog.move_boundary("live", "cam1", &boundary(5)).await;
        assert_eq!(moved.unwrap(), Moved::Now);
        let begun = catalog.begin_recording("live", "cam", &recording(1));
        begun.await.unwrap();
    }
    let running = catalog.recordings("live", "cam").await.unwrap();
    assert_eq!(running, [recording(1)]);
    let (first, _) = catalog.deliveries_after(0, 1).await.unwrap()[0];
    for _ in 0..2 {
        let finished = catalog.finish_recording("live", "cam", &clip(1).id);
        finished.await.unwrap();
        catalog.finish_delivery(first).await.unwrap();
    }
    assert_eq!(queued(&*catalog).await, [hook(3)]);
    for expected in [true, false] {
        let added = catalog.replace_stream("live", None, &cam(), Some(&hook(9)));
        assert_eq!(added.await.unwrap(), expected);
    }
    assert_eq!(queued(&*catalog).await, [hook(3), hook(9)]);
}

pub(crate) async fn an_import_fills_in_what_is_not_known(open: Open) {
    let catalog = open().await;
    let known = ClipEntry {
        file_name: "renamed.mp4".into(),
        ..clip(1)
    };
    let here = boundary(5);
    let committed = catalog.commit_clip("live", &known, Some(&here), &[]).await;
    assert_eq!(committed.unwrap(), Committed::Now);
    let record = |number, ordinal| {
        let boundary = boundary(ordinal);
        ClipRecord::new("live", &clip(number), Some(&boundary))
    };
    // One that is known; one with an earlier boundary of the same stream; one with a later.
    let clips = [record(1, 4), record(3, 3), record(5, 6)];
    catalog.import(&clips[..2]).await.unwrap();
    let found = catalog.boundary("live", "cam1").await.unwrap();
    assert_eq!(found.unwrap().ordinal, 5);
    for _ in 0..2 {
        catalog.import(&clips).await.unwrap();
        let found = catalog.boundary("live", "cam1").await.unwrap();
        assert_eq!(found.unwrap().ordinal, 6);
        assert_eq!(all(&*catalog).await, [1, 3, 5]);
    }
    let first = catalog.clip("live", &clip(1).id).await.unwrap();
    assert_eq!(first, Some(known), "an entry that is known stays");
    assert_eq!(queued(&*catalog).await, [], "none is told");
}

pub(crate) async fn nothing_is_lost_between_several_that_write(open: Open) {
    let catalog = open().await;
    at_once(4, &catalog, |writer, catalog| async move {
        for n in 0..6 {
            let clip = clip(writer * 6 + n);
            let hooks = [hook(i64::from(writer * 6 + n))];
            let committed = catalog.commit_clip("live", &clip, None, &hooks).await;
            assert_eq!(committed.unwrap(), Committed::Now);
            if n % 3 == 2 {
                catalog.delete_clip("live", &clip.id).await.unwrap();
            }
        }
    })
    .await;
    assert_eq!(catalog.count_clips("live", None).await.unwrap(), 16);
    assert_eq!(all(&*catalog).await.len(), 16);
    assert_eq!(catalog.doomed("live").await.unwrap().len(), 8);
    assert_eq!(queued(&*catalog).await.len(), 24);
}
