//! The command line as scripts rely on it: exit codes, what goes to which stream, the keys of the
//! JSON, and files that are whole or not there.

mod endings;
mod montage;

use std::path::{Path, PathBuf};
use std::process::Command;

use clipmill_tests::binary::{self, Run, clipmill, finish, root};
use clipmill_tests::http::FileServer;
use clipmill_tests::mp4;
use serde_json::{Value, json};
use tempfile::TempDir;

fn fixture(name: &str) -> String {
    root()
        .join("fixtures")
        .join(name)
        .to_str()
        .unwrap()
        .to_owned()
}

/// A folder to write clips to.
struct Out(TempDir);

impl Out {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("clip.mp4")
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// `clipmill cut PLAYLIST -o clip.mp4 --json` and more.
    fn cut(&self, playlist: &str, more: &[&str]) -> Run {
        let out = self.path();
        let args = ["cut", playlist, "-o", out.to_str().unwrap(), "--json"];
        clipmill(args.iter().chain(more))
    }

    /// The same, with what it says of the clip.
    fn report(&self, playlist: &str, more: &[&str]) -> Value {
        self.cut(playlist, more).expect(0).json()
    }
}

/// A segment whose program map, of one packet, says `to` wherever it said `from`.
fn retyped(segment: &[u8], from: u8, to: u8) -> Vec<u8> {
    let mut out = segment.to_vec();
    for packet in out.chunks_exact_mut(188) {
        // As FFmpeg has it: PID 0x1000, no adaptation field, no descriptors of the program.
        if packet[1..3] != [0x50, 0x00] {
            continue;
        }
        let end = 8 + usize::from(packet[7]) - 4;
        let mut at = 17;
        while at < end {
            if packet[at] == from {
                packet[at] = to;
            }
            at += 5 + usize::from(packet[at + 4]);
        }
        let crc = clipmill_tests::writer::crc(&packet[5..end]).to_be_bytes();
        packet[end..end + 4].copy_from_slice(&crc);
    }
    out
}

/// What the program map says of a stream is not believed against its bytes.
#[test]
fn a_program_map_that_lies_costs_a_warning() {
    let segment = std::fs::read(fixture("demo/seg00.ts")).unwrap();
    let out = Out::new();
    let file = out.0.path().join("a.ts");
    let clip = out.path();
    let remux = || {
        let args = [
            "remux",
            file.to_str().unwrap(),
            "-o",
            clip.to_str().unwrap(),
        ];
        clipmill(args.iter().chain(&["--json", "--strict"])).expect(0)
    };
    std::fs::write(&file, &segment).unwrap();
    remux();
    let truth = std::fs::read(&clip).unwrap();
    for (lies, said) in [
        (&[(0x0f, 0x04)][..], &[["MPEG audio", "AAC in ADTS"]][..]),
        (&[(0x1b, 0x02)], &[["MPEG-2 video", "H.264"]]),
        (
            &[(0x0f, 0x06), (0x1b, 0x06)],
            &[["private data", "H.264"], ["private data", "AAC in ADTS"]],
        ),
    ] {
        let mut lying = segment.clone();
        for &(from, to) in lies {
            lying = retyped(&lying, from, to);
        }
        assert_ne!(lying, segment);
        std::fs::write(&file, &lying).unwrap();
        let report = remux().json();
        assert_eq!(std::fs::read(&clip).unwrap(), truth, "{said:?}");
        let warnings = report["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), said.len(), "{warnings:?}");
        for (warning, both) in warnings.iter().zip(said) {
            let warning = warning.as_str().unwrap();
            assert!(both.iter().all(|one| warning.contains(one)), "{warning}");
        }
    }
}

fn copy_demo(to: &Path) -> PathBuf {
    for entry in std::fs::read_dir(root().join("fixtures/demo")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    to.join("index.m3u8")
}

fn one_line(run: &Run) -> &str {
    let line = run.stderr.trim_end();
    assert_eq!(line.lines().count(), 1, "{}: {}", run.line, run.stderr);
    line
}

#[test]
fn help_teaches_by_example() {
    for args in [
        &["--help"][..],
        &["cut", "--help"],
        &["remux", "--help"],
        &["probe", "--help"],
    ] {
        let run = clipmill(args).expect(0);
        let help = String::from_utf8(run.stdout).unwrap();
        assert!(
            help.contains("Example") && help.contains("clipmill "),
            "{help}"
        );
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn wrong_usage_is_2() {
    let out = Out::new();
    let demo = fixture("demo/index.m3u8");
    clipmill(["cut"]).expect(2);
    clipmill(["carve", &demo]).expect(2);
    out.cut(&demo, &["--from", "yesterday"]).expect(2);
    out.cut(&demo, &["--last", "-5s"]).expect(2);
    out.cut(&demo, &["--cut", "fuzzy"]).expect(2);
    out.cut(&demo, &["--format", "avi"]).expect(2);
    assert_eq!(out.names(), [""; 0]);
}

#[test]
fn a_failed_job_is_1_with_one_line_and_no_file() {
    let out = Out::new();
    let run = out.cut("/nowhere/index.m3u8", &[]).expect(1);
    assert!(
        one_line(&run).contains("/nowhere/index.m3u8"),
        "{}",
        run.stderr
    );
    let run = out.cut(
        &fixture("demo/index.m3u8"),
        &["--from", "2031-01-01T00:00:00Z"],
    );
    let run = run.expect(1);
    assert!(!one_line(&run).is_empty());
    assert_eq!(run.stdout, b"");
    let run = out.cut(&fixture("README.md"), &[]).expect(1);
    assert!(one_line(&run).contains("README.md"), "{}", run.stderr);
    assert_eq!(out.names(), [""; 0]);
}

#[test]
fn an_error_names_the_segment_and_its_sequence() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("live12.ts"), vec![0u8; 10_000]).unwrap();
    let playlist = folder.path().join("live.m3u8");
    let text =
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1012\n#EXTINF:2,\nlive12.ts\n";
    std::fs::write(&playlist, text).unwrap();
    let run = Out::new().cut(playlist.to_str().unwrap(), &[]).expect(1);
    let line = one_line(&run);
    let said = "segment live12.ts (sequence 1012): no MPEG-TS sync in the first ";
    assert!(
        line.starts_with("clipmill: ") && line.contains(said),
        "{line}"
    );
}

/// Values that differ from run to run, or with what is written, as words.
fn steady(mut report: Value) -> Value {
    report["output"] = "PATH".into();
    if report["bytes"].is_u64() {
        report["bytes"] = "BYTES".into();
    }
    report
}

#[test]
fn the_json_of_a_clip_has_its_keys() {
    let out = Out::new();
    let report = out.report(
        &fixture("demo/index.m3u8"),
        &["--from", "+5s", "--to", "+9s"],
    );
    assert_eq!(report["output"], out.path().to_str().unwrap());
    assert_eq!(
        report["bytes"],
        std::fs::metadata(out.path()).unwrap().len()
    );
    insta::assert_json_snapshot!("cut", steady(report));
}

#[test]
fn the_json_of_a_probe_has_its_keys() {
    let steady = |mut report: Value| {
        report["input"] = "PATH".into();
        report
    };
    let probe = |name: &str| {
        clipmill(["probe", &fixture(name), "--json"])
            .expect(0)
            .json()
    };
    insta::assert_json_snapshot!("probe_segment", steady(probe("demo/seg01.ts")));
    insta::assert_json_snapshot!("probe_playlist", steady(probe("demo/event.m3u8")));
    insta::assert_json_snapshot!("probe_multivariant", steady(probe("ladder/master.m3u8")));
}

#[test]
fn windows_mean_what_they_say() {
    let out = Out::new();
    let demo = fixture("demo/index.m3u8");
    let epoch = "1795356005000"; // 2026-11-22T14:00:05Z
    for (window, start, millis) in [
        (&[][..], "2026-11-22T14:00:00.000Z", 20_000),
        (
            &["--from", "+5s", "--to", "+9s"],
            "2026-11-22T14:00:05.000Z",
            4_000,
        ),
        (
            &["--from", "+5s", "--duration", "1500ms"],
            "2026-11-22T14:00:05.000Z",
            1_520,
        ),
        (&["--from", "-5s"], "2026-11-22T14:00:15.000Z", 5_000),
        (
            &["--from", "-5s", "--to", "-3s"],
            "2026-11-22T14:00:15.000Z",
            2_000,
        ),
        (&["--last", "3s"], "2026-11-22T14:00:17.000Z", 3_000),
        (&["--to", "+3s"], "2026-11-22T14:00:00.000Z", 3_000),
        (
            &[
                "--from",
                "2026-11-22T14:00:05Z",
                "--to",
                "2026-11-22T17:00:09+0300",
            ],
            "2026-11-22T14:00:05.000Z",
            4_000,
        ),
        (
            &["--from", epoch, "--duration", "4s"],
            "2026-11-22T14:00:05.000Z",
            4_000,
        ),
        (
            &["--from", "+5s", "--to", "+9s", "--cut", "segment"],
            "2026-11-22T14:00:04.000Z",
            6_000,
        ),
        (
            &["--from", "+5s", "--to", "+9s", "--cut", "keyframe"],
            "2026-11-22T14:00:06.000Z",
            4_000,
        ),
    ] {
        let report = out.report(&demo, window);
        assert_eq!(report["start_time"], start, "{window:?}");
        let found = report["duration_ms"].as_i64().unwrap();
        // A frame is shown whole; whole segments have sound that reaches past their pictures.
        let slack = if window.contains(&"segment") { 100 } else { 40 };
        assert!(
            (found - millis).abs() <= slack,
            "{window:?}: {found} ms instead of {millis}"
        );
    }
}

#[test]
fn live_playlists_can_be_cut() {
    let out = Out::new();
    for (name, start) in [
        ("event.m3u8", "2026-11-22T14:00:17.000Z"),
        ("live-0.m3u8", "2026-11-22T14:00:05.000Z"),
        ("live-6.m3u8", "2026-11-22T14:00:17.000Z"),
    ] {
        let report = out.report(&fixture(&format!("demo/{name}")), &["--last", "3s"]);
        assert_eq!(report["start_time"], start, "{name}");
    }
}

#[test]
fn a_variant_is_chosen() {
    let out = Out::new();
    let master = fixture("ladder/master.m3u8");
    for (choice, height) in [
        (&[][..], 180),
        (&["--variant", "best"], 180),
        (&["--variant", "worst"], 90),
        (&["--variant", "small"], 90),
        (&["--variant", "180p"], 180),
        (&["--variant", "150000"], 90),
    ] {
        let report = out.report(&master, choice);
        assert_eq!(report["tracks"][0]["height"], height, "{choice:?}");
    }
    let run = out.cut(&master, &["--variant", "huge"]);
    assert!(
        matches!(run.code, 1 | 2) && one_line(&run).contains("huge"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_dash_is_standard_output_and_nothing_else_is() {
    let demo = fixture("demo/index.m3u8");
    for format in ["mp4", "fmp4"] {
        let args = [
            "cut", &demo, "-o", "-", "--last", "3s", "--format", format, "--json",
        ];
        let run = clipmill(args).expect(0);
        let movie = mp4::read(&run.stdout).unwrap();
        assert_eq!(movie.faults(&run.stdout), [""; 0]);
    }
    // The same bytes as in a file.
    let out = Out::new();
    out.cut(&demo, &["--last", "3s"]).expect(0);
    let run = clipmill(["cut", &demo, "-o", "-", "--last", "3s"]).expect(0);
    assert_eq!(run.stdout, std::fs::read(out.path()).unwrap());
}

#[test]
fn damage_is_a_warning_and_3_when_strict() {
    let folder = tempfile::tempdir().unwrap();
    let playlist = copy_demo(folder.path());
    std::fs::remove_file(folder.path().join("seg04.ts")).unwrap();
    let (playlist, out) = (playlist.to_str().unwrap(), Out::new());
    let run = out.cut(playlist, &[]).expect(0);
    assert!(run.stderr.contains("seg04.ts"), "{}", run.stderr);
    let report = run.json();
    assert_eq!(report["gaps"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["gaps"][0]["from"], "2026-11-22T14:00:08.000Z");
    assert_eq!(report["gaps"][0]["to"], "2026-11-22T14:00:10.000Z");
    assert!((report["duration_ms"].as_i64().unwrap() - 20_000).abs() < 40);
    out.cut(playlist, &["--strict"]).expect(3);
    out.cut(playlist, &["--strict", "--to", "+6s"]).expect(0);

    let mut damaged = std::fs::read(folder.path().join("seg01.ts")).unwrap();
    damaged.drain(188 * 100..188 * 101);
    std::fs::write(folder.path().join("seg01.ts"), damaged).unwrap();
    let run = out.cut(playlist, &["--strict", "--to", "+6s"]).expect(3);
    assert!(run.stderr.contains("seg01.ts"), "{}", run.stderr);
}

#[test]
fn an_existing_file_is_replaced_whole_or_not_at_all() {
    let out = Out::new();
    std::fs::write(out.path(), b"what was there").unwrap();
    out.cut("/nowhere.m3u8", &[]).expect(1);
    assert_eq!(std::fs::read(out.path()).unwrap(), b"what was there");
    out.cut(&fixture("demo/index.m3u8"), &[]).expect(0);
    let file = std::fs::read(out.path()).unwrap();
    assert_eq!(mp4::read(&file).unwrap().faults(&file), [""; 0]);
    assert_eq!(out.names(), ["clip.mp4"], "nothing else is left behind");
    // A folder that is not there.
    let args = [
        "remux",
        &fixture("demo/seg01.ts"),
        "-o",
        "/nowhere/clip.mp4",
    ];
    let run = clipmill(args).expect(1);
    assert!(one_line(&run).contains("/nowhere/"), "{}", run.stderr);
}

#[test]
fn a_full_disk_is_said() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let mut command = Command::new("sh");
    let line = r#""$0" remux "$1" -o - > /dev/full"#;
    command
        .args(["-c", line])
        .arg(binary::path())
        .arg(fixture("demo/seg01.ts"));
    let run = finish(command).expect(1);
    assert!(one_line(&run).contains("No space"), "{}", run.stderr);
}

#[test]
fn a_reader_that_leaves_does_not_matter() {
    let mut command = Command::new("sh");
    let line = r#""$0" cut "$1" -o - | head -c 1000 | wc -c"#;
    command
        .args(["-c", line])
        .arg(binary::path())
        .arg(fixture("demo/index.m3u8"));
    let run = finish(command).expect(0);
    assert!(!run.stderr.contains("panic"), "{}", run.stderr);
}

#[test]
fn quiet_and_no_terminal_mean_no_decoration() {
    let out = Out::new();
    let run = out.cut(&fixture("demo/index.m3u8"), &["--quiet"]).expect(0);
    assert_eq!(run.stderr, "");
    let mut command = Command::new(binary::path());
    command
        .args(["cut", &fixture("demo/index.m3u8"), "-o"])
        .arg(out.path());
    command.env("NO_COLOR", "1");
    let run = finish(command).expect(0);
    assert!(
        !run.stderr.contains('\x1b') && !run.stderr.contains('\r'),
        "{:?}",
        run.stderr
    );
    assert_eq!(run.stdout, b"");
}

#[test]
fn remux_joins_files() {
    let out = Out::new();
    let files: Vec<String> = (2..5)
        .map(|n| fixture(&format!("demo/seg{n:02}.ts")))
        .collect();
    let path = out.path();
    let mut args = vec!["remux", "--json", "-o", path.to_str().unwrap()];
    args.extend(files.iter().map(String::as_str));
    let report = clipmill(args).expect(0).json();
    assert_eq!(report["segments"], 3);
    assert_eq!(report["tracks"][0]["samples"], 150);
    assert_eq!(report["start_time"], Value::Null);
}

#[test]
fn playlists_are_read_over_http() {
    let server = FileServer::new(&root().join("fixtures"));
    let out = Out::new();
    let report = out.report(&server.url("ladder/master.m3u8"), &["--last", "3s"]);
    assert_eq!(report["tracks"][0]["height"], 180);
    let near = Out::new();
    near.cut(&fixture("ladder/master.m3u8"), &["--last", "3s"])
        .expect(0);
    assert_eq!(
        std::fs::read(out.path()).unwrap(),
        std::fs::read(near.path()).unwrap()
    );
    let run = out.cut(&server.url("nothing.m3u8"), &[]).expect(1);
    assert!(
        one_line(&run).contains("/nothing.m3u8: not found"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_playlist_cannot_reach_outside_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::copy(fixture("demo/seg00.ts"), folder.path().join("outside.ts")).unwrap();
    let playlist = inner.join("index.m3u8");
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n../outside.ts\n#EXT-X-ENDLIST\n";
    std::fs::write(&playlist, text).unwrap();
    let out = Out::new();
    let run = out.cut(playlist.to_str().unwrap(), &[]).expect(1);
    let refused = one_line(&run);
    assert!(
        refused.contains("\"../outside.ts\" leads outside"),
        "{refused}"
    );
    assert!(refused.contains("--allow-outside"), "{refused}");
    out.cut(playlist.to_str().unwrap(), &["--allow-outside"])
        .expect(0);
}

#[test]
fn segments_named_by_absolute_paths_are_the_playlists_own_however_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().canonicalize().unwrap().join("live");
    std::fs::create_dir(&live).unwrap();
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for (at, prefix) in [(0, ""), (1, "file://"), (2, "file://localhost")] {
        let name = format!("seg{at:02}.ts");
        std::fs::copy(fixture(&format!("demo/{name}")), live.join(&name)).unwrap();
        text += &format!("#EXTINF:2,\n{prefix}{}/{name}\n", live.display());
    }
    std::fs::write(live.join("index.m3u8"), text + "#EXT-X-ENDLIST\n").unwrap();
    let absolute = live.join("index.m3u8");
    let sizes = [
        "index.m3u8",
        "./index.m3u8",
        "../live/index.m3u8",
        absolute.to_str().unwrap(),
    ]
    .map(|name| {
        let run = binary::command(binary::path())
            .args(["cut", name, "-o", "clip.mp4", "--json", "--quiet"])
            .current_dir(&live)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(0), "{name}: {said}");
        let report: Value = serde_json::from_slice(&run.stdout).unwrap();
        assert_eq!(report["tracks"][0]["samples"], 150, "{name}");
        report["bytes"].clone()
    });
    assert!(sizes.iter().all(|bytes| *bytes == sizes[0]), "{sizes:?}");
}

#[test]
fn the_fragmented_form_says_so() {
    let out = Out::new();
    let report = out.report(&fixture("demo/index.m3u8"), &["--format", "fmp4"]);
    assert_eq!(report["format"], "fmp4");
    let movie = mp4::read(&std::fs::read(out.path()).unwrap()).unwrap();
    assert_eq!(movie.boxes[..2], ["ftyp", "moov"]);
    assert!(movie.boxes.iter().any(|kind| kind == "moof"));
    let report = out.report(&fixture("demo/index.m3u8"), &[]);
    assert_eq!(report["format"], json!("mp4"));
    let movie = mp4::read(&std::fs::read(out.path()).unwrap()).unwrap();
    assert_eq!(movie.boxes, ["ftyp", "moov", "free", "mdat"]);
}
