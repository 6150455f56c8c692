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
    let mut names: Vec<_> = found.iter().map(|clip| clip.file_path.as_str()).collect();
    names.sort_unstable();
    let b = format!("streams/sub/{}.mp4", "b".repeat(24));
    assert_eq!(
        names,
        [
            format!("streams/.{id}.mp4.part"),
            format!("streams/{id}.mp4"),
            b
        ]
    );
    assert_eq!(found.iter().filter(|clip| clip.temporary).count(), 1);
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

#[test]
fn a_record_is_found_in_the_file_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let vod = Vod {
        vod_id: "x".repeat(24),
        metadata: Some("m".repeat(100_000)),
        ..Vod::default()
    };
    let record = ClipRecord::new("live", &vod, None);
    let content = record.to_bytes();
    let mut bytes = b"\0\0\0\x10ftypisom\0\0\x02\0".to_vec();
    bytes.extend(u32::try_from(content.len() + 24).unwrap().to_be_bytes());
    bytes.extend(b"uuid");
    bytes.extend(clipmill_mp4::METADATA_UUID);
    bytes.extend(&content);
    fs::write(&path, &bytes).unwrap();
    let read = read_record(&path).unwrap().unwrap();
    assert_eq!(read.vod.file_size, bytes.len() as i64);
    assert_eq!(read.vod.metadata, vod.metadata);
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
