//! One clip of several windows, and one window of several renditions.

use std::path::Path;

use clipmill_tests::tools::ffprobe;
use serde_json::json;

use super::kinds::{publish, pulls};
use super::*;

/// Two streams, and a playlist that calls them `high` and `low`.
fn site(folder: &Path) {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/demo");
    let segments = (0..10).map(|number| {
        let segment = fixtures.join(format!("seg{number:02}.ts"));
        (fs::read(segment).unwrap(), 2_000_000)
    });
    let segments: Vec<_> = segments.collect();
    publish(folder, "cam", &segments, "");
    publish(folder, "two", &segments, "");
    let variants =
        [("high", 2_000_000, "cam"), ("low", 1_000_000, "two")].map(|(name, rate, id)| {
            format!("#EXT-X-STREAM-INF:BANDWIDTH={rate},NAME=\"{name}\"\n{id}.m3u8\n")
        });
    let text = format!("#EXTM3U\n{}", variants.concat());
    fs::write(folder.join("master.m3u8"), text).unwrap();
}

/// The hashes of the pictures that ffmpeg shows of a file.
fn pictures(file: &Path) -> Vec<String> {
    let file = file.to_str().unwrap();
    let args = [
        "-xerror",
        "-i",
        file,
        "-map",
        "0:v:0",
        "-vsync",
        "passthrough",
    ];
    let run = ffmpeg(args.into_iter().chain(["-f", "framemd5", "-"]));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let text = String::from_utf8(run.stdout).unwrap();
    let rows = text.lines().filter(|row| !row.starts_with('#'));
    rows.map(|row| row.split(',').nth(5).unwrap().trim().to_owned())
        .collect()
}

fn saved(server: &Server, url: &str, file: &Path) -> Vec<String> {
    let (status, body) = server.get(url).unwrap();
    assert_eq!(status, 200, "{url}");
    fs::write(file, body).unwrap();
    pictures(file)
}

const CALL: &str = "/v1/apps/live/clips";

#[test]
fn windows_of_several_streams_are_one_clip() {
    if !installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    let origin = Origin::new(folder.path());
    let both = [("cam", "cam.m3u8", ""), ("two", "two.m3u8", "")];
    let server = pulls(&origin, &both, "enabled = false");
    for id in ["cam", "two"] {
        wait_for_end(&server, id);
    }
    let windows = [
        ("cam", 12_200, 14_000),
        ("two", 2_000, 4_480),
        ("cam", 5_280, 7_000),
    ];
    let instant = |ms: i64| (DATE + ms).to_string();
    let asked = |(stream, from, to): &(&str, i64, i64)| json!({"stream": stream, "from": instant(*from), "to": instant(*to)});
    let mut list: Vec<Value> = windows.iter().map(asked).collect();
    // The stream of the whole is meant where a window names none.
    list[0]["title"] = json!("1:0");
    list[0].as_object_mut().unwrap().remove("stream");
    let body = json!({"stream": "cam", "title": "Goals", "tags": ["cup"], "windows": list});
    let answer = server.send("POST", CALL, &body.to_string());
    assert_eq!(answer.status, 201, "{}", answer.json());
    let clip = answer.json();
    let id = clip["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("{CALL}/{id}"));
    assert_eq!(clip["duration_ms"], 1_800 + 2_480 + 1_720);
    assert_eq!(
        (&clip["title"], &clip["kind"]),
        (&json!("Goals"), &json!("on_demand"))
    );
    let parts = clip["windows"].as_array().unwrap();
    let streams: Vec<_> = parts
        .iter()
        .map(|part| part["stream"].as_str().unwrap())
        .collect();
    assert_eq!(streams, ["cam", "two", "cam"]);
    // From the earliest instant to the latest.
    assert_eq!(
        (&clip["from"], &clip["to"]),
        (&parts[1]["from"], &parts[0]["to"])
    );
    assert_eq!(clip["gaps"], json!([]));
    let file = folder.path().join("seen.mp4");
    let seen = saved(&server, clip["media"].as_str().unwrap(), &file);
    let chapters = ffprobe(&file, &["-show_chapters"]);
    let chapters = chapters["chapters"].as_array().unwrap().iter();
    let titles: Vec<_> = chapters.map(|one| one["tags"]["title"].clone()).collect();
    assert_eq!(
        titles,
        [
            json!("1:0"),
            parts[1]["from"].clone(),
            parts[2]["from"].clone()
        ]
    );
    let mut due = Vec::new();
    for (stream, from, to) in windows {
        let (from, to) = (instant(from), instant(to));
        let url = format!("/live/streams/{stream}.mp4?start={from}&end={to}");
        due.extend(saved(&server, &url, &file));
    }
    assert_eq!(seen.len(), due.len());
    assert!(seen == due, "every picture of each window, and no other");
    for query in ["stream=two", "stream=cam", "tag=cup"] {
        let found = server.json(&format!("{CALL}?{query}"));
        assert_eq!(found["items"][0]["id"], *id, "{query}");
    }
    server.assert_all_or_nothing();

    let refused = |body: Value, status: u16, says: &str| {
        let answer = server.send("POST", CALL, &body.to_string());
        let problem = answer.json();
        assert_eq!(answer.status, status, "{problem}");
        assert!(
            problem["detail"].as_str().unwrap().contains(says),
            "{problem}"
        );
    };
    let one = json!({"stream": "cam", "last": "1s"});
    refused(
        json!({"last": "2s", "windows": [one]}),
        400,
        "cannot be combined",
    );
    let ahead = json!({"stream": "cam", "from": instant(0), "to": "2999-01-01T00:00:00Z"});
    refused(json!({"windows": [one, ahead]}), 400, "windows[1]");
    refused(json!({"windows": [one, {"last": "1s"}]}), 404, "windows[1]");
    refused(
        json!({"windows": [one, {"stream": "cam"}]}),
        400,
        "from or last",
    );
    refused(
        json!({"windows": [one, {"stream": "nobody", "last": "1s"}]}),
        404,
        "nobody",
    );
}

#[test]
fn renditions_are_clips_of_the_same_instants() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    let origin = Origin::new(folder.path());
    let all = [
        ("each", "master.m3u8", "variant = \"all\""),
        ("cam", "cam.m3u8", ""),
    ];
    let server = pulls(&origin, &all, "enabled = false");
    for id in ["each", "each_high", "each_low", "cam"] {
        wait_for_end(&server, id);
    }
    let instant = |ms: i64| (DATE + ms).to_string();
    let mut body = json!({
        "stream": "each", "from": instant(5_280), "to": instant(7_600), "renditions": "all", "title": "Goal",
    });
    let answer = server.send("POST", CALL, &body.to_string());
    assert_eq!(answer.status, 201, "{}", answer.json());
    let clips = answer.json();
    let clips = clips["items"].as_array().unwrap();
    let named = |name: &str| clips.iter().find(|clip| clip["rendition"] == name).unwrap();
    assert_eq!(clips.len(), 2);
    assert_eq!(named("high")["stream"], "each_high");
    assert_eq!(named("low")["title"], "Goal (low)");
    for key in ["from", "to", "duration_ms"] {
        assert_eq!(named("high")[key], named("low")[key], "{key}");
    }
    assert_eq!(named("high")["duration_ms"], 2_320);
    let file = folder.path().join("seen.mp4");
    let seen = ["high", "low"].map(|name| {
        let media = named(name)["media"].as_str().unwrap().to_owned();
        saved(&server, &media, &file)
    });
    assert_eq!(seen[0].len(), 58);
    assert!(seen[0] == seen[1]);
    body["renditions"] = json!(["low"]);
    let answer = server.send("POST", CALL, &body.to_string());
    assert_eq!(answer.json()["items"].as_array().unwrap().len(), 1);
    for (renditions, stream, says) in [
        (json!(["low", "4k"]), "each", "there is high, low"),
        (json!([]), "each", "names none"),
        (json!("all"), "cam", "no renditions"),
    ] {
        body["renditions"] = renditions;
        body["stream"] = json!(stream);
        let answer = server.send("POST", CALL, &body.to_string());
        assert_eq!(answer.status, 400, "{}", answer.json());
        let problem = answer.json();
        assert!(
            problem["detail"].as_str().unwrap().contains(says),
            "{problem}"
        );
    }
    server.assert_all_or_nothing();
}
