//! Chapters of clips, as players see them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clipmill::{Clip, ClipRequest, Format, Input, WindowRequest};
use clipmill_tests::binary::root;
use clipmill_tests::tools;

use crate::players::{PLAY, browser_at};

fn demo() -> Input<'static> {
    Input::playlist(root().join("fixtures/demo/index.m3u8"))
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Second 5 to 15 of the demo, exact: it begins with hidden pictures.
fn window() -> ClipRequest {
    let from = "+5s".parse().unwrap();
    let to = "+15s".parse().unwrap();
    ClipRequest::new(WindowRequest {
        from: Some(from),
        to: Some(to),
        ..WindowRequest::default()
    })
}

fn written(folder: &Path, format: Format, chapters: impl FnOnce(&mut Clip)) -> PathBuf {
    let input = demo();
    let mut clip = input.clip(&window()).unwrap();
    chapters(clip.clip_mut());
    let path = folder.join("clip.mp4");
    clip.write_as(format, &path).unwrap();
    path
}

/// What ffprobe lists: begin and end in seconds, and the title.
fn listed(file: &Path) -> Vec<(String, String, String)> {
    let seen = tools::ffprobe(file, &["-show_chapters"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let chapters = seen["chapters"].as_array().unwrap().iter();
    chapters
        .map(|chapter| {
            let title = text(&chapter["tags"]["title"]);
            (
                text(&chapter["start_time"]),
                text(&chapter["end_time"]),
                title,
            )
        })
        .collect()
}

fn row(from: &str, to: &str, title: &str) -> (String, String, String) {
    (from.to_owned(), to.to_owned(), title.to_owned())
}

#[test]
fn ffprobe_lists_each_chapter_once() {
    if !tools::installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for format in [Format::Mp4, Format::Fmp4] {
        for first in ["0.000000", "1.500000"] {
            let path = written(folder.path(), format, |clip| {
                let second: f64 = first.parse().unwrap();
                clip.add_chapter(Duration::from_millis(7_040), "Ω 終わり");
                clip.add_chapter(Duration::from_secs_f64(second), "Anpfiff");
                clip.add_chapter(Duration::from_secs(4), "");
                clip.add_chapter(Duration::from_secs(60), "never");
            });
            let rows = [
                row(first, "4.000000", "Anpfiff"),
                row("4.000000", "7.040000", ""),
                row("7.040000", "10.000000", "Ω 終わり"),
            ];
            let mut listed = listed(&path);
            if format == Format::Fmp4 {
                // It has no ends: ffprobe takes that of the last frame of sound.
                listed[2].1 = "10.000000".to_owned();
            }
            assert_eq!(listed, rows, "{format:?}");
            let errors =
                tools::ffmpeg(["-xerror", "-i", path.to_str().unwrap(), "-f", "null", "-"]);
            assert_eq!((errors.code, errors.stderr.as_str()), (0, ""), "{format:?}");
        }
    }
}

#[test]
fn hundreds_of_chapters_are_all_listed() {
    if !tools::installed(&["ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), Format::Mp4, |clip| {
        for n in 0..300u32 {
            clip.add_chapter(Duration::from_millis(33) * n, format!("Kapitel {n}"));
        }
    });
    let listed = listed(&path);
    assert_eq!(listed.len(), 300);
    assert_eq!(listed[299], row("9.867000", "10.000000", "Kapitel 299"));
}

/// By the clock on the wall; what the clip does not hold is no chapter of it.
#[test]
fn chapters_are_placed_by_their_instants() {
    let input = demo();
    let mut clip = input.clip(&window()).unwrap().into_clip();
    let (start, end) = (clip.start_time.unwrap(), clip.end_time.unwrap());
    assert_eq!(start, instant("2026-11-22T14:00:05Z"));
    assert!(clip.add_chapter_at(start, "begin"));
    assert!(clip.add_chapter_at(instant("2026-11-22T14:00:09.500Z"), "middle"));
    assert!(!clip.add_chapter_at(end, "behind"));
    assert!(!clip.add_chapter_at(instant("2026-11-22T14:00:04.999Z"), "before"));
    let placed: Vec<_> = clip.chapters().iter().map(|chapter| chapter.at).collect();
    assert_eq!(placed, [0, 405_000]);
    let at = clip.position_of(instant("2026-11-22T14:00:07Z"));
    assert_eq!(at, Some(Duration::from_secs(2)));
    assert_eq!(clip.position_of(end), None);
}

#[test]
fn players_mind_no_chapters() {
    if !tools::installed(&["chromium", "chromedriver", "gst-launch-1.0"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (server, browser) = browser_at(folder.path());
    for format in [Format::Mp4, Format::Fmp4] {
        let path = written(folder.path(), format, |clip| {
            clip.add_chapter(Duration::from_secs(3), "second");
            clip.add_chapter(Duration::ZERO, "first");
        });
        assert_eq!(tools::gstreamer_complaints(&path), "", "{format:?}");
        let name = format!("{format:?}.mp4");
        std::fs::rename(&path, folder.path().join(&name)).unwrap();
        let seen = browser.run(PLAY, &[&server.url(&name), "2.8"]);
        assert!(seen.get("error").is_none(), "{name}: {seen}");
        let (sound, pictures) = (&seen["sound"], &seen["pictures"]);
        assert!(sound == true && pictures == true, "{name}: {seen}");
    }
}
