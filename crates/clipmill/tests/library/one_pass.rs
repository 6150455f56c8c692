//! A file that is written while its segments are read holds what the two passes give: the same
//! media byte for byte, and the same tables behind other offsets.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clipmill::{ClipError, ClipRequest, Cut, Input, Progress, WindowRequest};

fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("../../fixtures").join(name)
}

/// The boxes of a file: type and content.
fn boxes(mut bytes: &[u8]) -> Vec<(String, &[u8])> {
    let mut found = Vec::new();
    while bytes.len() >= 8 {
        let size = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        let kind = String::from_utf8_lossy(&bytes[4..8]).into_owned();
        found.push((kind, &bytes[8..size]));
        bytes = &bytes[size..];
    }
    assert!(bytes.is_empty());
    found
}

/// A `moov` with the offsets in its `stco` counted from where the media begins.
fn relative(moov: &[u8], media_at: u32) -> Vec<u8> {
    let mut moov = moov.to_vec();
    let starts: Vec<_> = moov.windows(4).enumerate().collect::<Vec<_>>();
    let starts: Vec<usize> = starts
        .into_iter()
        .filter(|(_, kind)| kind == b"stco")
        .map(|(at, _)| at)
        .collect();
    assert!(!starts.is_empty());
    for at in starts {
        let number =
            |at: usize, moov: &[u8]| u32::from_be_bytes(moov[at..at + 4].try_into().unwrap());
        for entry in 0..number(at + 8, &moov) as usize {
            let place = at + 12 + entry * 4;
            let offset = number(place, &moov) - media_at;
            moov[place..place + 4].copy_from_slice(&offset.to_be_bytes());
        }
    }
    moov
}

/// Cuts both ways and holds one against the other; whether the one-pass way was taken.
fn compare(playlist: &Path, request: &ClipRequest, what: &str) -> bool {
    let input = Input::playlist(playlist);
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one.mp4"), folder.path().join("two.mp4"));

    let clip = input.clip(request);
    let Ok(clip) = clip else {
        let error = clip.unwrap_err().to_string();
        let other = input.cut_to_path(request, &one);
        assert_eq!(other.unwrap_err().to_string(), error, "{what}");
        assert!(!one.exists(), "{what}");
        return false;
    };
    clip.write_to_path(&two).unwrap();
    let clip = clip.into_clip();
    let written = input.cut_to_path(request, &one).unwrap();

    let (one, two) = (fs::read(one).unwrap(), fs::read(two).unwrap());
    assert_eq!(written.bytes, one.len() as u64, "{what}");
    assert_eq!(written.clip.tracks, clip.tracks, "{what}");
    assert_eq!(written.clip.warnings, clip.warnings, "{what}");
    let (one_boxes, two_boxes) = (boxes(&one), boxes(&two));
    let kinds: Vec<_> = one_boxes.iter().map(|(kind, _)| kind.as_str()).collect();
    if kinds == ["ftyp", "moov", "mdat"] {
        assert!(one == two, "{what}");
        return false;
    }
    assert_eq!(kinds, ["ftyp", "moov", "free", "mdat"], "{what}");
    let media_at = |file: &[u8], media: &[u8]| (file.len() - media.len()) as u32;
    let (free, one_media, two_media) = (one_boxes[2].1, one_boxes[3].1, two_boxes[2].1);
    assert!(free.iter().all(|&byte| byte == 0), "{what}");
    assert_eq!(media_at(&one, one_media) % 4096, 0, "{what}");
    assert!(one_media == two_media, "{what}: other media");
    assert_eq!(one_boxes[0], two_boxes[0], "{what}");
    assert!(
        relative(one_boxes[1].1, media_at(&one, one_media))
            == relative(two_boxes[1].1, media_at(&two, two_media)),
        "{what}: other tables"
    );
    true
}

/// Every playlist among the fixtures, in its folder.
fn playlists(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            playlists(&path, found);
        } else if path.extension().is_some_and(|it| it == "m3u8") {
            found.push(path);
        }
    }
    found.sort();
}

#[test]
fn whole_playlists() {
    let mut found = Vec::new();
    playlists(&fixture(""), &mut found);
    let mut taken = 0;
    for playlist in &found {
        let what = playlist.display().to_string();
        taken += usize::from(compare(playlist, &ClipRequest::default(), &what));
    }
    assert!(taken > 0, "the one-pass way was never taken");
}

#[test]
fn windows() {
    let playlist = fixture("demo/index.m3u8");
    let seconds = |tenths: u64| Some(Duration::from_millis(tenths * 100));
    let mut taken = 0;
    for cut in [Cut::Exact, Cut::Keyframe, Cut::Segment] {
        for (last, duration) in [
            (seconds(95), None),
            (seconds(133), None),
            (None, seconds(61)),
            (None, seconds(118)),
            (None, seconds(160)),
            (seconds(150), seconds(121)),
        ] {
            let request = ClipRequest::new(WindowRequest {
                last,
                duration,
                ..WindowRequest::default()
            });
            let request = request.with_cut(cut);
            let what = format!("{cut:?}, last {last:?}, duration {duration:?}");
            taken += usize::from(compare(&playlist, &request, &what));
        }
    }
    assert!(taken > 0, "the one-pass way was never taken");
}

#[test]
fn stopping_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    fs::write(&path, "before").unwrap();
    for stop in 1..8 {
        let input = Input::playlist(fixture("demo/index.m3u8"));
        let input = input.with_progress(|progress| match progress {
            Progress::Indexing { done, .. } if done >= stop => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        let written = input.cut_to_path(&ClipRequest::default(), &path);
        assert!(matches!(written, Err(ClipError::Cancelled)));
    }
    assert_eq!(fs::read(&path).unwrap(), b"before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
