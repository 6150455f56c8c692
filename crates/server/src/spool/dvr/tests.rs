use bytes::Bytes;
use clipmill::ReadSegment;

use super::super::{Content as Media, Spool, read};
use super::*;
use crate::config::AppSettings;

struct Place {
    folder: tempfile::TempDir,
    spool: Arc<Spool>,
}

const SESSION: &str = "1-0";
const HOUR: Duration = Duration::from_secs(3600);

impl Place {
    fn new(limit: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::open(&folder.path().join("data"), limit).unwrap());
        Self { folder, spool }
    }

    fn stream(&self) -> Arc<StreamDvr> {
        self.spool.dvr().stream("live", "cam")
    }

    fn again(&self) -> Arc<Spool> {
        Arc::new(Spool::open(&self.folder.path().join("data"), u64::MAX).unwrap())
    }

    /// A segment of two seconds and ten bytes in the spool, all of whose clips are made.
    fn holding(&self, sequence: u64) -> Arc<Holding> {
        let file = self.folder.path().join(format!("{sequence}.ts"));
        let content = format!("{sequence:010}");
        fs::write(&file, &content).unwrap();
        let now = Utc::now().timestamp_micros();
        let label = Label {
            sequence,
            duration: 180_000,
            start_time: DateTime::from_timestamp_micros(now + 2_000_000 * sequence as i64),
            discontinuity: false,
            missing_before: 0,
            init: None,
            changed: false,
            file: (0, 0),
        };
        let media = Media {
            bytes: content.as_bytes(),
            init: Some(&Bytes::from_static(b"map")),
            mark: FileMark::of(&fs::metadata(&file).unwrap()),
            from: Some(&file),
        };
        let session = self.spool.session("live", "cam", SESSION);
        let kept = self.spool.keep(&session, label, &media).unwrap();
        let holding = Holding::new(&self.spool, kept);
        holding.release();
        holding
    }

    /// Has it leave the timeline of its session.
    fn leave(&self, sequence: u64) {
        let (stream, dvr) = (self.stream(), self.spool.dvr());
        let leaving = Leaving {
            holding: self.holding(sequence),
            index: Arc::default(),
        };
        dvr.leave(&stream, SESSION, vec![leaving]);
        dvr.store(&stream, SESSION);
        stream.set_edge(Utc::now() + TimeDelta::seconds(2 * sequence as i64 + 2));
    }

    fn files(&self) -> usize {
        let mut count = 0;
        let root = self.folder.path().join("data/dvr");
        let _ = super::super::walk(&root, &mut |path, _| {
            count += usize::from(path.extension().is_some_and(|suffix| suffix == "seg"));
        });
        count
    }
}

fn sequences(stream: &Arc<StreamDvr>) -> Vec<u64> {
    let (found, _) = stream.select(None, None, 0);
    found.iter().map(|one| one.label.sequence).collect()
}

#[test]
fn what_leaves_a_session_stays_in_the_window_and_is_found_after_a_restart() {
    let place = Place::new(1000);
    // Nothing is missing while it changes its place.
    let leaving = Leaving {
        holding: place.holding(0),
        index: Arc::default(),
    };
    let (stream, dvr) = (place.stream(), place.spool.dvr());
    dvr.leave(&stream, SESSION, vec![leaving]);
    let (found, hold) = stream.select(None, None, 0);
    assert!(found[0].leaving.is_some() && !found[0].path.exists());
    drop((found, hold));
    dvr.store(&stream, SESSION);
    for sequence in 1..4 {
        place.leave(sequence);
    }
    // One that comes twice is there once.
    place.leave(3);
    let session = place.spool.session("live", "cam", SESSION);
    assert!(place.spool.kept(&session).is_empty(), "it lies here alone");
    assert_eq!((place.files(), place.spool.bytes()), (4, 40));
    let again = place.again();
    let stream = again.dvr().stream("live", "cam");
    assert_eq!(sequences(&stream), [0, 1, 2, 3]);
    assert_eq!(again.dvr().streams("live"), ["cam"]);
    let (found, _hold) = stream.select(None, None, 0);
    let ReadSegment {
        bytes, init: map, ..
    } = read(&found[2].path, &found[2].label).unwrap();
    assert_eq!(
        (&bytes[..], map.as_deref()),
        (&b"0000000002"[..], Some(&b"map"[..]))
    );
    again.dvr().trim(&stream, Duration::ZERO);
    assert_eq!(sequences(&stream).len(), 4, "it is held");
}

#[test]
fn what_the_media_server_still_has_is_copied() {
    let place = Place::new(1000);
    place.leave(0);
    fs::write(place.folder.path().join("0.ts"), "other").unwrap();
    let (found, _hold) = place.stream().select(None, None, 0);
    let first = read(&found[0].path, &found[0].label).unwrap();
    assert_eq!(&first.bytes[..], b"0000000000");
    let holding = place.holding(1);
    fs::remove_file(place.folder.path().join("1.ts")).unwrap();
    let of_spool = fs::metadata(&holding.kept().path).unwrap();
    let (stream, dvr) = (place.stream(), place.spool.dvr());
    let index = Arc::default();
    dvr.leave(&stream, SESSION, vec![Leaving { holding, index }]);
    dvr.store(&stream, SESSION);
    let (found, _hold) = stream.select(None, None, 0);
    let here = fs::metadata(&found[1].path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(here.ino(), of_spool.ino(), "it is written once");
    }
}

#[test]
fn what_has_had_its_time_goes_with_its_folders() {
    let place = Place::new(1000);
    for sequence in 0..4 {
        place.leave(sequence);
    }
    let (stream, dvr) = (place.stream(), place.spool.dvr());
    assert_eq!(dvr.trim(&stream, HOUR), 0);
    assert_eq!(dvr.trim(&stream, Duration::from_secs(3)), 2);
    assert_eq!((place.files(), place.spool.bytes()), (2, 20));
    dvr.trim(&stream, Duration::ZERO);
    std::thread::sleep(Duration::from_millis(5));
    dvr.trim(&stream, Duration::ZERO);
    assert_eq!((place.files(), place.spool.bytes()), (0, 0));
    assert!(!place.folder.path().join("data/dvr/live/cam").exists());
}

#[test]
fn room_is_made_for_what_clips_need() {
    let place = Place::new(35);
    for sequence in 0..3 {
        place.leave(sequence);
    }
    assert_eq!(place.spool.bytes(), 30);
    let needed = place.holding(3);
    assert_eq!(sequences(&place.stream()), [1, 2]);
    assert!(place.spool.bytes() <= 35);
    drop(needed);
}

#[test]
fn of_several_streams_each_loses_what_lies_furthest_back() {
    let place = Place::new(1000);
    let dvr = place.spool.dvr();
    for sequence in 0..3 {
        place.leave(sequence);
    }
    let other = dvr.stream("live", "other");
    let leaving = (0..3).map(|sequence| Leaving {
        holding: place.holding(10 + sequence),
        index: Arc::default(),
    });
    dvr.leave(&other, SESSION, leaving.collect());
    dvr.store(&other, SESSION);
    // Its media is of the last seconds, by its own clock.
    other.set_edge(Utc::now() + TimeDelta::seconds(20));
    dvr.make_room(None, 10, 100);
    assert_eq!(
        sequences(&place.stream()).len() + sequences(&other).len(),
        4
    );
    assert_eq!(sequences(&other).len(), 3);
}

#[test]
fn an_application_keeps_no_more_than_it_may() {
    let place = Place::new(1000);
    let limited = |name: &str, most| {
        let mut app = AppSettings::new(name, Path::new("/"));
        app.spool_max_bytes = most;
        Arc::new(app)
    };
    place
        .spool
        .limit_apps(&[limited("live", Some(35)), limited("tv", None)]);
    // Another one has more, and older.
    let tv = place.spool.dvr().stream("tv", "cam");
    let theirs = place.holding(0);
    let leaving = Leaving {
        holding: Arc::clone(&theirs),
        index: Arc::default(),
    };
    place.spool.dvr().leave(&tv, SESSION, vec![leaving]);
    place.spool.dvr().store(&tv, SESSION);
    tv.set_edge(Utc::now() + TimeDelta::seconds(3600));
    drop(theirs);
    for sequence in 1..4 {
        place.leave(sequence);
    }
    assert_eq!(place.spool.bytes(), 40);
    let needed: Vec<_> = (4..7).map(|sequence| place.holding(sequence)).collect();
    assert_eq!(
        (sequences(&place.stream()), sequences(&tv)),
        (vec![], vec![0])
    );
    assert_eq!(place.spool.bytes(), 40);
    // What clips need does not go.
    let session = place.spool.session("live", "cam", SESSION);
    let refused = place
        .spool
        .keep(&session, needed[0].kept().label, &nothing());
    assert!(matches!(
        refused,
        Err(super::super::SpoolError::OverLimit { limit: 35, .. })
    ));
    place.spool.limit_apps(&[]);
    drop(place.holding(7));
    drop(needed);
    assert_eq!(place.spool.bytes(), 10);
    // A restart knows whose what is.
    let held = place.holding(8);
    let again = place.again();
    again.limit_apps(&[limited("live", Some(15))]);
    let refused = again.keep(&session, held.kept().label, &nothing());
    assert!(refused.is_err());
}

/// Ten bytes that lie nowhere.
fn nothing() -> Media<'static> {
    Media {
        bytes: b"0123456789",
        init: None,
        mark: FileMark {
            len: 10,
            modified_ns: 0,
        },
        from: None,
    }
}

#[test]
fn two_workers_store_each_segment_once() {
    let place = Place::new(1_000_000);
    let (stream, dvr) = (place.stream(), place.spool.dvr());
    let count = 200;
    let leaving = (0..count).map(|sequence| Leaving {
        holding: place.holding(sequence),
        index: Arc::default(),
    });
    // The media server has them still: they are copied.
    dvr.leave(&stream, SESSION, leaving.collect());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| dvr.store(&stream, SESSION));
        }
    });
    assert_eq!(sequences(&stream), (0..count).collect::<Vec<_>>());
    assert_eq!(place.files(), count as usize);
}
