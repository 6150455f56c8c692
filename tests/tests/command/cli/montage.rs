//! Several windows in one file.

use super::*;

#[test]
fn windows_are_joined_and_each_is_a_chapter() {
    let out = Out::new();
    let windows = [
        "--window",
        "+12.2s..+14s=1:0",
        "--window",
        "+2s..+4.48s",
        "--window",
        "-1s..",
    ];
    let seen = out.report(&fixture("demo/index.m3u8"), &windows);
    assert_eq!(
        seen["chapters"],
        json!([
            { "at_ms": 0, "title": "1:0" },
            { "at_ms": 1800, "title": "2026-11-22T14:00:02.000Z" },
            { "at_ms": 4280, "title": "2026-11-22T14:00:19.000Z" },
        ])
    );
    assert_eq!(seen["start_time"], "2026-11-22T14:00:12.200Z");
    assert_eq!(seen["warnings"], json!([]));
    assert_eq!(seen["discontinuities"], 0);
    let file = std::fs::read(out.path()).unwrap();
    let movie = mp4::read(&file).unwrap();
    assert_eq!(movie.faults(&file), [""; 0]);
    let samples = |report: &Value, track: usize| report["tracks"][track]["samples"].as_u64();
    let alone = |from: &str, to: &str| {
        let seen = out.report(&fixture("demo/index.m3u8"), &["--from", from, "--to", to]);
        (samples(&seen, 0).unwrap(), samples(&seen, 1).unwrap())
    };
    let parts = [
        alone("+12.2s", "+14s"),
        alone("+2s", "+4.48s"),
        alone("-1s", "+20s"),
    ];
    assert_eq!(
        samples(&seen, 0),
        Some(parts.iter().map(|part| part.0).sum())
    );
    assert_eq!(
        samples(&seen, 1),
        Some(parts.iter().map(|part| part.1).sum())
    );
    // Without windows there are no chapters, and one window without a title is a clip as any other.
    let one = out.report(&fixture("demo/index.m3u8"), &["--window", "..+1s"]);
    assert_eq!(one.get("chapters"), None);
    assert_eq!(one["tracks"][0]["samples"], 26);
}

/// Each playlist has the windows behind it, or all of it.
#[test]
fn windows_belong_to_the_playlist_before_them() {
    let out = Out::new();
    let (demo, ladder) = (fixture("demo/index.m3u8"), fixture("ladder/180p.m3u8"));
    let path = out.path();
    let path = path.to_str().unwrap();
    let args = [
        "cut",
        &demo,
        "--window",
        "+5s..+6s=a",
        "--window",
        "+1s..+2s=b",
        &ladder,
        "--window",
        "+1s..+2.2s=c",
        "-o",
        path,
        "--json",
    ];
    let seen = clipmill(args).expect(0).json();
    assert_eq!(
        seen["chapters"],
        json!([
            { "at_ms": 0, "title": "a" },
            { "at_ms": 1000, "title": "b" },
            { "at_ms": 2000, "title": "c" },
        ])
    );
    assert_eq!(seen["duration_ms"], 3200);
    let seen = clipmill(["cut", &ladder, &ladder, "-o", path, "--json"])
        .expect(0)
        .json();
    assert_eq!(seen["tracks"][0]["samples"], 300);
    assert_eq!(seen["chapters"].as_array().unwrap().len(), 2);
}

#[test]
fn each_variant_has_its_montage() {
    let out = Out::new();
    let windows = [
        "--window",
        "+1s..+2s",
        "--window",
        "+3.4s..",
        "--renditions",
        "all",
    ];
    let seen = out.report(&fixture("ladder/master.m3u8"), &windows);
    let all = seen["renditions"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["chapters"], all[1]["chapters"]);
    let mut names = out.names();
    names.sort();
    assert_eq!(names, ["clip.180p.mp4", "clip.90p.mp4"]);
}

#[test]
fn what_cannot_be_joined_is_said_in_a_line() {
    let out = Out::new();
    let (demo, hevc) = (fixture("demo/index.m3u8"), fixture("hevc/index.m3u8"));
    let run = out.cut(&demo, &[&hevc]).expect(1);
    let line = "clipmill: cannot join: part 2, track 1 (video): H.265, where H.264 goes before";
    assert_eq!(one_line(&run), line);
    for window in ["5", "+5..+6s", "+5s..now"] {
        let run = out.cut(&demo, &["--window", window]).expect(2);
        assert!(
            one_line(&run).starts_with("clipmill: --window: "),
            "{}",
            run.stderr
        );
    }
    out.cut(&demo, &["--window", "+5s..+6s", "--last", "3s"])
        .expect(2);
    out.cut(&demo, &["--window", "+6s..+5s", "--window", "+1s..+2s"])
        .expect(2);
    let run = out
        .cut(&demo, &["--window", "+1s..+2s", "--window", "+40s..+41s"])
        .expect(1);
    let says = "clipmill: part 2: ";
    assert!(one_line(&run).starts_with(says), "{}", run.stderr);
    assert_eq!(out.names(), [""; 0]);
}

#[test]
fn a_montage_goes_to_standard_output_in_either_form() {
    for format in ["mp4", "fmp4"] {
        let demo = fixture("demo/index.m3u8");
        let args = [
            "cut", &demo, "--window", "+1s..+2s", "--window", "-3s..", "-o", "-", "--format",
            format,
        ];
        let run = clipmill(args).expect(0);
        let movie = mp4::read(&run.stdout).unwrap();
        assert_eq!(movie.faults(&run.stdout), [""; 0]);
    }
}
