use super::*;

fn app(folder: &Path) -> AppPaths {
    AppPaths {
        app: "live".into(),
        streams_dir: folder.to_owned(),
        clips_dir: None,
    }
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

    let found = find_clips(&app(folder.path())).unwrap();
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

#[test]
fn a_lease_lasts_as_long_as_its_longest_reader() {
    let store = ClipStore::default();
    let path = Path::new("/a");
    let first = store.lease(path);
    let second = store.lease(path);
    drop(first);
    assert!(store.in_use(path));
    drop(second);
    assert!(!store.in_use(path));
}

fn record(metadata: &str) -> ClipRecord {
    let entry = ClipEntry {
        id: "x".repeat(24),
        metadata: Some(metadata.to_owned()),
        ..ClipEntry::default()
    };
    ClipRecord::new("live", &entry, None)
}

#[test]
fn a_record_is_found_beside_its_clip() {
    let folder = tempfile::tempdir().unwrap();
    let app = app(folder.path());
    let store = ClipStore::default();
    let record = record("m");
    let clip = store.begin(&app, &record.entry.id, None).unwrap();
    clip.file().as_ref().write_all(b"0123456789").unwrap();
    assert!(store.in_making(&record.entry.id));
    let stored = clip.publish(&record).unwrap();
    assert_eq!(
        (stored.bytes, fs::read(&stored.path).unwrap().len()),
        (10, 10)
    );
    let read = read_record(&stored.path).unwrap().unwrap();
    assert_eq!(read.entry.bytes, 10);
    assert_eq!(read.entry.metadata, record.entry.metadata);
    let path = stored.path.clone();
    drop(stored);

    let found = find_clips(&app).unwrap();
    assert_eq!(found.len(), 2);
    assert!(
        found
            .iter()
            .all(|found| !found.is_stray_record(&app, &store))
    );
    // As a crash between the two leaves it.
    fs::remove_file(&path).unwrap();
    let found = find_clips(&app).unwrap();
    assert!(found[0].is_stray_record(&app, &store));
    let other = AppPaths {
        app: "other".into(),
        ..app.clone()
    };
    assert!(!found[0].is_stray_record(&other, &store));
    fs::write(&path, b"clip").unwrap();
    assert!(remove_clip(&path).unwrap());
    assert!(find_clips(&app).unwrap().is_empty());
    assert!(!remove_clip(&path).unwrap());
}

#[test]
fn nothing_is_left_of_a_clip_that_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::default();
    let clip = store
        .begin(&app(folder.path()), &"x".repeat(24), None)
        .unwrap();
    clip.file().as_ref().write_all(b"0123456789").unwrap();
    drop(clip);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(!store.in_making(&"x".repeat(24)));
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
    let read = read_record(&path).unwrap().unwrap();
    assert_eq!(read.entry.bytes, bytes.len() as u64);
    assert_eq!(read.entry.metadata, record.entry.metadata);
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(read_record(&path).unwrap(), None);
    fs::write(&path, b"nothing of ours").unwrap();
    assert_eq!(read_record(&path).unwrap(), None);
}

#[tokio::test]
async fn a_body_follows_its_file_and_fails_with_it() {
    let file = Arc::new(tempfile::tempfile().unwrap());
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
