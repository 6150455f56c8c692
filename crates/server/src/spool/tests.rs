use chrono::DateTime;

use super::*;

fn label(sequence: u64) -> Label {
    Label {
        sequence,
        duration: 180_000,
        start_time: DateTime::from_timestamp_micros(1_795_356_300_000_001),
        discontinuity: sequence == 3,
        missing_before: 0,
        init: None,
        changed: false,
        file: (sequence as u32, 0xffff_fff0),
    }
}

#[derive(PartialEq)]
enum Keep {
    Link,
    Copy,
}

struct Place {
    folder: tempfile::TempDir,
    spool: Spool,
    session: PathBuf,
}

fn place(limit: u64) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(&folder.path().join("data"), limit).unwrap();
    let session = spool.session("live", "cam", "1-0");
    fs::write(folder.path().join("seg.ts"), "0123456789").unwrap();
    Place {
        folder,
        spool,
        session,
    }
}

impl Place {
    fn segment(&self) -> PathBuf {
        self.folder.path().join("seg.ts")
    }

    fn keep(&self, sequence: u64, how: Keep) -> Result<Kept, SpoolError> {
        let segment = self.segment();
        let mark = FileMark::of(&fs::metadata(&segment).unwrap());
        let from = (how == Keep::Link).then_some(segment.as_path());
        let content = Content {
            bytes: b"0123456789",
            init: None,
            mark,
            from,
        };
        self.spool.keep(&self.session, label(sequence), &content)
    }
}

#[test]
fn labels_survive_as_names() {
    let mut all = vec![label(0), label(3), label(u64::MAX)];
    all.push(Label {
        start_time: None,
        missing_before: 90_000,
        init: Some(77),
        changed: true,
        ..label(7)
    });
    all.push(Label {
        start_time: DateTime::from_timestamp_micros(-1),
        ..label(8)
    });
    for label in all {
        assert_eq!(Label::parse(&label.file_name()), Some(label));
    }
    let old = "00000000000000000007_180000_x_0_0_0.seg";
    assert_eq!(Label::parse(old).map(|label| label.file), Some((0, 0)));
    for nothing in ["", "x.seg", "1_2_3.seg", "00000000000000000001.part"] {
        assert_eq!(Label::parse(nothing), None);
    }
}

#[test]
fn what_is_kept_outlives_its_file() {
    let place = place(1000);
    let linked = place.keep(1, Keep::Link).unwrap();
    let copied = place.keep(2, Keep::Copy).unwrap();
    assert!(linked.linked && !copied.linked);
    assert_eq!(place.spool.bytes(), 20);
    fs::remove_file(place.segment()).unwrap();
    assert_eq!(fs::read_to_string(&linked.path).unwrap(), "0123456789");
    let again = Spool::open(&place.folder.path().join("data"), 1000).unwrap();
    assert_eq!(again.bytes(), 20);
    assert_eq!(again.streams("live"), ["cam"]);
    assert_eq!(again.sessions("live", "cam"), ["1-0"]);
    let kept = again.kept(&place.session);
    assert_eq!(
        kept.iter().map(|kept| kept.label).collect::<Vec<_>>(),
        [label(1), label(2)]
    );
    assert_eq!(kept[1], copied);
    for kept in &kept {
        again.release(kept);
    }
    assert_eq!(again.bytes(), 0);
    again.remove(&place.session);
    assert!(again.streams("live").is_empty());
}

#[test]
fn an_encoder_that_truncates_its_files_takes_no_copy_along() {
    let place = place(1000);
    let hardened = place.keep(1, Keep::Link).unwrap();
    let copied = place.keep(2, Keep::Copy).unwrap();
    let lost = place.keep(3, Keep::Link).unwrap();
    assert!(place.spool.harden(&hardened).unwrap());
    fs::write(place.segment(), "new").unwrap();
    assert_eq!(fs::read_to_string(&hardened.path).unwrap(), "0123456789");
    assert_eq!(fs::read_to_string(&copied.path).unwrap(), "0123456789");
    assert_eq!(fs::read_to_string(&lost.path).unwrap(), "new");
    let mark = FileMark::of(&fs::metadata(&lost.path).unwrap());
    assert_ne!(mark, lost.mark, "and it is noticed");
    assert!(!place.spool.harden(&lost).unwrap());
    let segment = place.segment();
    let content = Content {
        bytes: b"0123456789",
        init: Some(&Bytes::from_static(b"map")),
        mark: copied.mark,
        from: Some(&segment),
    };
    let late = place.spool.keep(&place.session, label(4), &content);
    let late = late.unwrap();
    assert!(!late.linked);
    let ReadSegment { bytes, init, .. } = read(&late.path, &late.label).unwrap();
    assert_eq!(
        (&bytes[..], init.as_deref()),
        (&b"0123456789"[..], Some(&b"map"[..]))
    );
    assert_eq!(fs::read_to_string(&late.path).unwrap(), "0123456789");
}

#[test]
fn keeping_twice_is_keeping_once() {
    let place = place(1000);
    for _ in 0..2 {
        place.keep(1, Keep::Link).unwrap();
        place.keep(1, Keep::Copy).unwrap();
    }
    assert_eq!(place.spool.kept(&place.session).len(), 1);
    assert_eq!(place.spool.bytes(), 10);
    assert_eq!(fs::read_dir(&place.session).unwrap().count(), 1);
}

#[test]
fn no_more_than_the_limit() {
    let place = place(25);
    place.keep(1, Keep::Link).unwrap();
    place.keep(2, Keep::Copy).unwrap();
    let error = place.keep(3, Keep::Link).unwrap_err();
    assert!(
        matches!(error, SpoolError::OverLimit { used: 20, .. }),
        "{error}"
    );
    place.spool.remove(&place.session);
    place.keep(3, Keep::Link).unwrap();
}

#[test]
fn leftovers_of_a_crash_go() {
    let place = place(1000);
    place.keep(1, Keep::Copy).unwrap();
    fs::write(place.session.join("00000000000000000002.part"), "half").unwrap();
    let again = Spool::open(&place.folder.path().join("data"), 1000).unwrap();
    assert_eq!(again.bytes(), 10);
    assert_eq!(fs::read_dir(&place.session).unwrap().count(), 1);
}

#[test]
fn the_folder_of_a_session_goes_with_its_last_segment() {
    let place = place(1000);
    let kept = [place.keep(1, Keep::Copy), place.keep(2, Keep::Copy)].map(Result::unwrap);
    fs::write(place.session.join("session.json"), "{}").unwrap();
    place.spool.remove_empty(&place.session);
    place.spool.release(&kept[0]);
    assert!(place.session.exists(), "somebody reads the other one");
    place.spool.release(&kept[1]);
    assert!(!place.session.exists());
    // One that is not over goes on without any.
    let last = place.keep(3, Keep::Copy).unwrap();
    place.spool.release(&last);
    assert!(place.session.exists());
}
