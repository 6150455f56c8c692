//! Streams, and what is recorded of them.

use super::*;
use crate::domain::Set;

pub(crate) fn cam() -> StreamEntry {
    StreamEntry {
        id: "cam".into(),
        ..StreamEntry::default()
    }
}

pub(crate) async fn streams_change_one_at_a_time(open: Open) {
    let catalog = open().await;
    let add = async || {
        let added = catalog.replace_stream("live", None, &cam(), None).await;
        added.unwrap()
    };
    assert!(add().await);
    assert!(!add().await);
    at_once(4, &catalog, |_, catalog| async move {
        for _ in 0..5 {
            let up = |entry: &mut StreamEntry| {
                entry.known_since_ms += 1;
                entry.settings.min_free = Some(Set {
                    value: 7,
                    configured: Some(8),
                });
            };
            change_stream(&*catalog, "live", "cam", up).await.unwrap();
        }
    })
    .await;
    let found = catalog.stream("live", "cam").await.unwrap().unwrap();
    assert_eq!(found.known_since_ms, 20);
    let set = found.settings.min_free.unwrap();
    assert_eq!((set.value, set.configured), (7, Some(8)));
    let none = change_stream(&*catalog, "live", "none", |_| {}).await;
    assert_eq!(none.unwrap(), None);
    for id in ["b", "a", "c"] {
        let id = id.to_owned();
        let added = StreamEntry { id, ..cam() };
        let added = catalog.replace_stream("live", None, &added, None).await;
        assert!(added.unwrap());
    }
    let page = catalog.streams("live", 1, 2).await.unwrap();
    let page: Vec<_> = page.iter().map(|found| found.id.as_str()).collect();
    assert_eq!(page, ["b", "c"], "in the order of their ids");
    assert_eq!(catalog.count_streams("live").await.unwrap(), 4);
    assert!(catalog.delete_stream("live", "cam").await.unwrap());
    assert!(!catalog.delete_stream("live", "cam").await.unwrap());
}

pub(crate) async fn a_stream_that_is_another_by_now_is_left_as_it_is(open: Open) {
    let catalog = open().await;
    let named = |name: &str| StreamEntry {
        name: Some(name.to_owned()),
        ..cam()
    };
    let (first, second) = (named("first"), named("second"));
    let replace = async |known: Option<&StreamEntry>, new: &StreamEntry, number| {
        let hook = hook(number);
        let replaced = catalog.replace_stream("live", known, new, Some(&hook));
        replaced.await.unwrap()
    };
    assert!(
        !replace(Some(&first), &second, 1).await,
        "there is none yet"
    );
    assert!(replace(None, &first, 2).await);
    assert!(!replace(None, &second, 3).await, "there is one by now");
    assert!(!replace(Some(&second), &first, 4).await, "it is another");
    assert!(replace(Some(&first), &second, 5).await);
    let found = catalog.stream("live", "cam").await.unwrap();
    assert_eq!(found, Some(second));
    // What was refused is not told.
    assert_eq!(queued(&*catalog).await, [hook(2), hook(5)]);
}

pub(crate) async fn of_several_that_replace_the_same_one_does(open: Open) {
    let catalog = open().await;
    let replaced = at_once(8, &catalog, |number, catalog| async move {
        let new = StreamEntry {
            name: Some(number.to_string()),
            ..cam()
        };
        let hook = hook(number.into());
        let replaced = catalog
            .replace_stream("live", None, &new, Some(&hook))
            .await;
        replaced.unwrap()
    })
    .await;
    let winner = replaced.iter().position(|done| *done).unwrap();
    assert_eq!(replaced.iter().filter(|done| **done).count(), 1);
    let found = catalog.stream("live", "cam").await.unwrap().unwrap();
    assert_eq!(found.name, Some(winner.to_string()));
    assert_eq!(queued(&*catalog).await, [hook(winner as i64)]);
    let asked = |seconds| PeriodicState {
        enabled: true,
        interval_seconds: seconds,
        configured: (true, 600),
    };
    let replaced = at_once(8, &catalog, move |number, catalog| async move {
        let new = asked(number.into());
        let replaced = catalog.replace_periodic("live", None, Some(&new)).await;
        replaced.unwrap()
    })
    .await;
    let winner = replaced.iter().position(|done| *done).unwrap();
    assert_eq!(replaced.iter().filter(|done| **done).count(), 1);
    let found = catalog.periodic("live").await.unwrap();
    assert_eq!(found, Some(asked(winner as u64)));
}

pub(crate) async fn what_rest_asked_of_periodic_recording_lasts(open: Open) {
    let asked = |seconds| PeriodicState {
        enabled: false,
        interval_seconds: seconds,
        configured: (true, 600),
    };
    let catalog = open().await;
    let replace = async |catalog: &dyn Catalog, known: Option<u64>, new: Option<u64>| {
        let (known, new) = (known.map(asked), new.map(asked));
        let replaced = catalog.replace_periodic("live", known.as_ref(), new.as_ref());
        replaced.await.unwrap()
    };
    assert!(!replace(&*catalog, Some(5), Some(6)).await, "nothing yet");
    assert!(replace(&*catalog, None, Some(5)).await);
    assert!(!replace(&*catalog, None, Some(6)).await);
    assert!(!replace(&*catalog, None, None).await);
    drop(catalog);
    let catalog = open().await;
    assert_eq!(catalog.periodic("live").await.unwrap(), Some(asked(5)));
    assert!(replace(&*catalog, Some(5), None).await);
    assert_eq!(catalog.periodic("live").await.unwrap(), None);
    let up = move |known: Option<&PeriodicState>| {
        Some(asked(known.map_or(1, |known| known.interval_seconds + 1)))
    };
    at_once(4, &catalog, move |_, catalog| async move {
        change_periodic(&*catalog, "live", up).await.unwrap();
    })
    .await;
    assert_eq!(catalog.periodic("live").await.unwrap(), Some(asked(4)));
}

pub(crate) async fn streams_that_calls_have_pulled_last(open: Open) {
    let pulled = |id: &str, url: &str| PullSource {
        id: id.to_owned(),
        url: url.to_owned(),
        headers: [("Referer".to_owned(), "http://x/".to_owned())].into(),
        ..PullSource::default()
    };
    let catalog = open().await;
    assert_eq!(catalog.pulls("live").await.unwrap(), []);
    for (app, id, url) in [
        ("live", "cam2", "http://a/2.m3u8"),
        ("live", "cam1", "http://a/0.m3u8"),
        ("live", "cam1", "http://a/1.m3u8"),
        ("other", "cam1", "http://b/1.m3u8"),
    ] {
        catalog.put_pull(app, &pulled(id, url)).await.unwrap();
    }
    drop(catalog);
    let catalog = open().await;
    let both = [
        pulled("cam1", "http://a/1.m3u8"),
        pulled("cam2", "http://a/2.m3u8"),
    ];
    assert_eq!(catalog.pulls("live").await.unwrap(), both);
    assert!(catalog.delete_pull("live", "cam1").await.unwrap());
    assert!(!catalog.delete_pull("live", "cam1").await.unwrap());
    assert_eq!(catalog.pulls("live").await.unwrap(), both[1..]);
    assert_eq!(catalog.pulls("other").await.unwrap().len(), 1);
}

pub(crate) async fn boundaries_last_and_never_go_back(open: Open) {
    let catalog = open().await;
    let known = async |catalog: &dyn Catalog| {
        let known = catalog.boundary("live", "cam1").await.unwrap();
        known.map(|known| (known.ordinal, known.sequence))
    };
    let moved = async |catalog: &dyn Catalog, ordinal, sequence| {
        let to = Boundary {
            sequence,
            ..boundary(ordinal)
        };
        catalog.move_boundary("live", "cam1", &to).await.unwrap()
    };
    assert_eq!(known(&*catalog).await, None);
    assert_eq!(moved(&*catalog, 7, 1).await, Moved::Now);
    // Recording begins anew: no clip lies between the two.
    assert_eq!(moved(&*catalog, 7, 2).await, Moved::Now);
    assert_eq!(moved(&*catalog, 6, 3).await, Moved::Behind(7));
    drop(catalog);
    let catalog = open().await;
    assert_eq!(known(&*catalog).await, Some((7, 2)));
    for ordinal in [6, 7] {
        let late = boundary(ordinal);
        let committed = catalog.commit_clip("live", &clip(1), Some(&late), &[hook(1)]);
        assert_eq!(committed.await.unwrap(), Committed::Behind(7), "{ordinal}");
    }
    // Nothing of it is done.
    assert_eq!(all(&*catalog).await, [0; 0]);
    assert_eq!(queued(&*catalog).await, []);
    let next = boundary(8);
    let committed = catalog.commit_clip("live", &clip(1), Some(&next), &[hook(1)]);
    assert_eq!(committed.await.unwrap(), Committed::Now);
    assert_eq!(known(&*catalog).await, Some((8, 0)));
    assert_eq!(moved(&*catalog, 7, 9).await, Moved::Behind(8));
    let other = catalog.boundary("live", "cam0").await.unwrap();
    assert_eq!(other, None);
}

pub(crate) async fn of_several_clips_behind_one_boundary_one_is_committed(open: Open) {
    let catalog = open().await;
    catalog
        .move_boundary("live", "cam1", &boundary(3))
        .await
        .unwrap();
    let committed = at_once(8, &catalog, |number, catalog| async move {
        let clip = ClipEntry {
            stream_id: "cam1".into(),
            ..clip(number)
        };
        let hook = hook(number.into());
        let committed = catalog.commit_clip("live", &clip, Some(&boundary(4)), &[hook]);
        committed.await.unwrap()
    })
    .await;
    let is_now = |found: &Committed| *found == Committed::Now;
    let winner = committed.iter().position(is_now).unwrap();
    for (number, found) in committed.iter().enumerate() {
        assert!(number == winner || *found == Committed::Behind(4));
    }
    assert_eq!(all(&*catalog).await, [winner as u32]);
    assert_eq!(queued(&*catalog).await, [hook(winner as i64)]);
}

pub(crate) fn recording(number: u32) -> OpenRecording {
    OpenRecording {
        vod_id: clip(number).id,
        begins: boundary(number.into()),
    }
}

pub(crate) async fn recordings_last_until_they_are_over(open: Open) {
    let catalog = open().await;
    for number in [2, 1] {
        let begun = catalog.begin_recording("live", "cam", &recording(number));
        begun.await.unwrap();
    }
    let other = catalog.begin_recording("live", "cam2", &recording(9));
    other.await.unwrap();
    drop(catalog);
    let catalog = open().await;
    let running = async || catalog.recordings("live", "cam").await.unwrap();
    assert_eq!(running().await, [recording(2), recording(1)]);
    let finish = async |number| {
        let finished = catalog.finish_recording("live", "cam", &clip(number).id);
        finished.await.unwrap();
    };
    finish(2).await;
    assert_eq!(running().await, [recording(1)]);
    finish(9).await;
    assert_eq!(running().await, [recording(1)]);
    finish(1).await;
    assert_eq!(running().await, []);
    let other = catalog.recordings("live", "cam2").await.unwrap();
    assert_eq!(other, [recording(9)]);
    // Those of several that begin and end at once.
    at_once(6, &catalog, |number, catalog| async move {
        let begun = catalog.begin_recording("live", "cam", &recording(number));
        begun.await.unwrap();
        if number % 2 == 0 {
            let id = clip(number).id;
            let finished = catalog.finish_recording("live", "cam", &id);
            finished.await.unwrap();
        }
    })
    .await;
    let mut left = running().await;
    left.sort_by_key(|one| one.begins.ordinal);
    assert_eq!(left, [recording(1), recording(3), recording(5)]);
}

pub(crate) async fn windows_that_are_recorded_last_until_they_are_over(open: Open) {
    let window = |number: u32| RecordedWindow {
        id: clip(number).id,
        stream_id: "cam".to_owned(),
        from_ms: 1000,
        title: Some("Goal".to_owned()),
        tags: vec!["cup".to_owned()],
        ..RecordedWindow::default()
    };
    let catalog = open().await;
    assert_eq!(catalog.recorded_windows("live").await.unwrap(), []);
    for number in [2, 1] {
        assert!(
            catalog
                .record_window("live", &window(number))
                .await
                .unwrap()
        );
    }
    let again = RecordedWindow::default();
    let again = RecordedWindow {
        id: clip(1).id,
        ..again
    };
    assert!(!catalog.record_window("live", &again).await.unwrap());
    assert!(catalog.record_window("other", &window(9)).await.unwrap());
    drop(catalog);
    let catalog = open().await;
    let all = async || catalog.recorded_windows("live").await.unwrap();
    assert_eq!(all().await, [window(1), window(2)]);
    // It ends once, and may end earlier still.
    for (to_ms, ends) in [(5000, 5000), (7000, 5000), (4000, 4000)] {
        let ended = catalog.end_recorded_window("live", &clip(1).id, to_ms);
        let ended = ended.await.unwrap().unwrap();
        assert_eq!((ended.to_ms, ended.from_ms), (Some(ends), 1000));
    }
    let none = catalog.end_recorded_window("live", &clip(9).id, 1).await;
    assert_eq!(none.unwrap(), None);
    assert_eq!(all().await[0].to_ms, Some(4000));
    for is_there in [true, false] {
        let forgotten = catalog.forget_recorded_window("live", &clip(1).id);
        assert_eq!(forgotten.await.unwrap(), is_there);
    }
    assert_eq!(all().await, [window(2)]);
    assert_eq!(catalog.recorded_windows("other").await.unwrap().len(), 1);
}
