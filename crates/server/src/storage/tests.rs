use std::fs;

use super::conformance::conformance;
use super::*;
use crate::domain::ClipEntry;

fn app(folder: &Path) -> AppPaths {
    AppPaths {
        app: "live".into(),
        streams_dir: folder.to_owned(),
        clips_dir: None,
    }
}

conformance!(|_| LocalStore::default());

#[test]
fn no_file_is_left_of_a_clip_that_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::default();
    let clip = store.begin(&app(folder.path()), &"x".repeat(24), None, Room::default());
    drop(clip.unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn only_files_with_the_names_of_clips_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let id = "A".repeat(24);
    let below = folder.path().join("sub");
    fs::create_dir(&below).unwrap();
    for name in [
        format!("{id}.mp4"),
        format!(".{id}.mp4.part"),
        "recording.mp4".into(),
        format!("{id}.ts"),
        format!("{id}.json"),
        format!(".{id}.json.part"),
        "settings.json".into(),
        format!("sub/{}.mp4", "b".repeat(24)),
    ] {
        fs::write(folder.path().join(name), b"x").unwrap();
    }
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(
        elsewhere.path().join(format!("{}.mp4", "c".repeat(24))),
        b"x",
    )
    .unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("link")).unwrap();

    let found = LocalStore::default().list(&app(folder.path())).unwrap();
    let mut names: Vec<_> = found.iter().map(|clip| clip.key.as_str()).collect();
    names.sort_unstable();
    let b = format!("sub/{}.mp4", "b".repeat(24));
    assert_eq!(
        names,
        [
            format!(".{id}.json.part"),
            format!(".{id}.mp4.part"),
            format!("{id}.json"),
            format!("{id}.mp4"),
            b
        ]
    );
    let count = |kind| found.iter().filter(|clip| clip.kind == kind).count();
    assert_eq!(count(FoundKind::Unfinished), 2);
    assert_eq!(count(FoundKind::Clip), 2);
}

fn record(metadata: &str) -> ClipRecord {
    let entry = ClipEntry {
        id: "x".repeat(24),
        key: format!("{}.mp4", "x".repeat(24)),
        metadata: Some(metadata.to_owned()),
        ..ClipEntry::default()
    };
    ClipRecord::new("live", &entry, None)
}

#[test]
fn a_record_is_found_beside_its_clip() {
    let folder = tempfile::tempdir().unwrap();
    let app = app(folder.path());
    let store = LocalStore::default();
    let record = record("m");
    let mut clip = store
        .begin(&app, &record.entry.id, None, Room::default())
        .unwrap();
    clip.append(b"0123456789").unwrap();
    assert!(store.usage().in_making(&record.entry.id));
    let stored = clip.publish(&record).unwrap();
    assert_eq!(
        (
            stored.bytes,
            fs::read(stored.path.as_ref().unwrap()).unwrap().len()
        ),
        (10, 10)
    );
    let read = record::of_clip(stored.path.as_ref().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(read.entry.bytes, 10);
    assert_eq!(read.entry.metadata, record.entry.metadata);
    let path = stored.path.clone().unwrap();
    drop(stored);

    let found = LocalStore::default().list(&app).unwrap();
    assert_eq!(found.len(), 2);
    assert!(
        found
            .iter()
            .all(|found| !store.is_stray_record(&app, found))
    );
    // As a crash between the two leaves it.
    fs::remove_file(&path).unwrap();
    let found = LocalStore::default().list(&app).unwrap();
    assert!(store.is_stray_record(&app, &found[0]));
    let other = AppPaths {
        app: "other".into(),
        ..app.clone()
    };
    assert!(!store.is_stray_record(&other, &found[0]));
    fs::write(&path, b"clip").unwrap();
    assert!(store.delete(&app, &record.entry.key).unwrap());
    assert!(LocalStore::default().list(&app).unwrap().is_empty());
    assert!(!store.delete(&app, &record.entry.key).unwrap());
}

#[test]
fn a_record_of_the_first_versions_is_found_in_the_clip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let record = record(&"m".repeat(100_000));
    let content = serde_json::to_vec(&record).unwrap();
    let mut bytes = b"\0\0\0\x10ftypisom\0\0\x02\0".to_vec();
    bytes.extend(u32::try_from(content.len() + 24).unwrap().to_be_bytes());
    bytes.extend(b"uuid");
    bytes.extend(clipmill_mp4::METADATA_UUID);
    bytes.extend(&content);
    fs::write(&path, &bytes).unwrap();
    let read = record::of_clip(&path).unwrap().unwrap();
    assert_eq!(read.entry.bytes, bytes.len() as u64);
    assert_eq!(read.entry.metadata, record.entry.metadata);
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(record::of_clip(&path).unwrap(), None);
    fs::write(&path, b"nothing of ours").unwrap();
    assert_eq!(record::of_clip(&path).unwrap(), None);
}

#[tokio::test]
async fn a_body_follows_its_file_and_fails_with_it() {
    let file: Arc<dyn ClipContent> = Arc::new(FileContent::new(tempfile::tempfile().unwrap()));
    let (sender, mut taken) = body(10);
    let growing = sender.begin(Arc::clone(&file));
    growing.reached(4);
    assert_eq!(taken.beyond(0).await.unwrap().1, 4);
    // All bytes are written, but it is not yet sure that they stay.
    growing.reached(10);
    assert_eq!(taken.beyond(4).await.unwrap().1, 9);
    growing.done();
    assert_eq!(taken.beyond(9).await.unwrap().1, 10);

    let (sender, mut taken) = body(10);
    let growing = sender.begin(file);
    growing.reached(4);
    drop(growing);
    assert!(taken.beyond(4).await.is_none());
}
