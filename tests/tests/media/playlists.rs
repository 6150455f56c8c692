//! What playlists say besides their segments: parts, variants, subtitles.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clipmill_tests::binary::{clipmill, root};
use clipmill_tests::corpus::{corpus, field};
use clipmill_tests::http::FileServer;
use clipmill_tests::{mp4, mux, tools};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    root().join("fixtures").join(name)
}

fn cut(playlist: &str, out: &Path, more: &[&str]) -> Value {
    let args = ["cut", playlist, "-o", out.to_str().unwrap(), "--json"];
    clipmill(args.iter().chain(more)).expect(0).json()
}

fn movie(path: &Path) -> (mp4::Movie, Vec<u8>) {
    let file = fs::read(path).unwrap();
    (mp4::read(&file).unwrap(), file)
}

#[test]
fn a_clip_of_each_variant_of_the_same_instants() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("clip.mp4");
    let master = fixture("ladder/master.m3u8");
    let window = ["--renditions", "all", "--from", "+1s", "--to", "+4s"];
    let report = cut(master.to_str().unwrap(), &out, &window);
    let made = report["renditions"].as_array().unwrap();
    assert_eq!(made.len(), 2);
    let mut starts = Vec::new();
    for (label, height) in [("180p", 180), ("90p", 90)] {
        let path = folder.path().join(format!("clip.{label}.mp4"));
        let (movie, _) = movie(&path);
        let video = movie.tracks.iter().find(|track| track.is_video()).unwrap();
        starts.push((video.samples.len(), movie.duration));
        let own = made
            .iter()
            .find(|one| one["output"] == path.to_str().unwrap());
        assert_eq!(own.unwrap()["tracks"][0]["height"], height);
    }
    assert_eq!(starts[0], starts[1], "the same pictures");
    assert_eq!(
        starts[0].1,
        3 * u64::from(movie(&folder.path().join("clip.90p.mp4")).0.timescale)
    );
    assert!(!out.exists());

    // The end of live playlists that have not come equally far.
    for entry in fs::read_dir(fixture("ladder")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let live = text("180p.m3u8").replace("#EXT-X-ENDLIST", "");
    fs::write(folder.path().join("180p.m3u8"), live).unwrap();
    let behind = text("90p.m3u8").replace("#EXT-X-ENDLIST", "");
    let behind = behind.trim_end().rsplit_once("#EXTINF").unwrap().0;
    fs::write(folder.path().join("90p.m3u8"), behind).unwrap();
    let server = FileServer::new(folder.path());
    let last = ["--renditions", "all", "--last", "3s"];
    let report = cut(&server.url("master.m3u8"), &out, &last);
    let made = report["renditions"].as_array().unwrap();
    let facts = |one: &Value| {
        (
            one["tracks"][0]["samples"].clone(),
            one["duration_ms"].clone(),
        )
    };
    assert_eq!(facts(&made[0]), facts(&made[1]));

    let run = clipmill([
        "cut",
        master.to_str().unwrap(),
        "-o",
        "-",
        "--renditions",
        "all",
    ]);
    assert!(run.expect(2).stderr.contains("several files"));
}

/// The demo's segments, with subtitles of two languages that keep the media's clock.
fn subtitled(folder: &Path) -> PathBuf {
    let demo = fixture("demo");
    for entry in fs::read_dir(&demo).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let probe = clipmill(["probe", demo.join("seg00.ts").to_str().unwrap(), "--json"]);
    let first = probe.expect(0).json()["tracks"][0]["first_pts"]
        .as_u64()
        .unwrap();
    let mut list = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for number in 0..10 {
        let name = format!("sub{number}.vtt");
        let ms = number * 2000;
        let time = |ms: u64| format!("00:{:02}.{:03}", ms / 1000, ms % 1000);
        // One cue in the segment, and one that reaches into the next and stands in both.
        let mut cues = format!(
            "1-{number}\n{} --> {} line:80%\n<i>in {number}</i> & more\n\n",
            time(ms + 200),
            time(ms + 1000)
        );
        for over in [number.checked_sub(1), Some(number)].into_iter().flatten() {
            let begin = over * 2000 + 1500;
            cues += &format!(
                "{} --> {}\nover {over}\n\n",
                time(begin),
                time(begin + 1000)
            );
        }
        let text = format!(
            "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:{},LOCAL:00:00:00.000\n\n{cues}",
            first % (1 << 33)
        );
        fs::write(folder.join(&name), text).unwrap();
        list += &format!("#EXTINF:2,\n{name}\n");
    }
    fs::write(folder.join("subs.m3u8"), list + "#EXT-X-ENDLIST\n").unwrap();
    let master = "#EXTM3U\n\
        #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"Deutsch\",LANGUAGE=\"de\",URI=\"subs.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,\
        URI=\"subs.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,SUBTITLES=\"s\"\nindex.m3u8\n";
    fs::write(folder.join("master.m3u8"), master).unwrap();
    folder.join("master.m3u8")
}

#[test]
fn subtitles_are_cut_with_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let master = subtitled(folder.path());
    let out = folder.path().join("clip.mp4");
    let window = ["--from", "+3s", "--to", "+7s", "--subtitles", "both"];
    let report = cut(master.to_str().unwrap(), &out, &window);
    assert_eq!(report["warnings"].as_array().unwrap().len(), 0, "{report}");
    let kinds: Vec<_> = report["tracks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["kind"])
        .collect();
    assert_eq!(kinds, ["video", "audio", "text", "text"]);
    let (movie, file) = movie(&out);
    assert!(movie.faults(&file).is_empty(), "{:?}", movie.faults(&file));
    let text = &movie.tracks[2];
    assert_eq!(
        (text.handler.as_str(), text.language.as_str()),
        ("text", "eng")
    );
    assert_eq!(text.entries, ["wvtt"]);
    let mut shown = Vec::new();
    for (at, sample) in text.samples.iter().enumerate() {
        let data = text.data(&file, at);
        let words = String::from_utf8_lossy(data);
        let cues = words.matches("payl").count();
        shown.push((sample.dts / 90, cues));
    }
    // Cues of the clip: over 1 (to 2.5 s) ended before; 4.2-5.0 is "in 2", and so on.
    let wanted = [
        (0, 0),
        (500, 1),
        (1200, 2),
        (1500, 1),
        (2000, 0),
        (2500, 1),
        (3200, 2),
        (3500, 1),
    ];
    assert_eq!(shown, wanted);
    let vtt = fs::read_to_string(folder.path().join("clip.eng.vtt")).unwrap();
    insta::assert_snapshot!(vtt);
    assert!(folder.path().join("clip.deu.vtt").is_file());

    // Not at all, and in fragments.
    let none = folder.path().join("none.mp4");
    let args = ["--last", "2s", "--subtitles", "none"];
    let report = cut(master.to_str().unwrap(), &none, &args);
    assert_eq!(report["tracks"].as_array().unwrap().len(), 2);
    let fragmented = folder.path().join("clip.fmp4");
    let report = cut(
        master.to_str().unwrap(),
        &fragmented,
        &["--last", "5s", "--format", "fmp4"],
    );
    assert_eq!(report["tracks"].as_array().unwrap().len(), 4);
    let file = fs::read(&fragmented).unwrap();
    let movie = mp4::read(&file).unwrap();
    assert!(movie.faults(&file).is_empty(), "{:?}", movie.faults(&file));

    if tools::installed(&["ffprobe"]) {
        for path in [&out, &fragmented] {
            let probe = tools::ffprobe(path, &["-show_streams", "-show_packets"]);
            let streams = probe["streams"].as_array().unwrap();
            let tag = |one: &Value| one["codec_tag_string"] == "wvtt";
            let text: Vec<_> = streams.iter().filter(|one| tag(one)).collect();
            assert_eq!(text.len(), 2, "{}", path.display());
            let packets = probe["packets"].as_array().unwrap();
            let own = packets
                .iter()
                .filter(|one| one["stream_index"] == text[0]["index"]);
            assert!(own.count() > 4, "{}", path.display());
        }
    }
}

/// Times without a map count from the beginning of the playlist. Its two segments are one and the same, and
/// nothing says that this is meant: they are there once.
#[test]
fn subtitles_of_others() {
    let Some(corpus) = corpus() else { return };
    let playlist = corpus.join("dev/shaka-player/hls-text-no-discontinuity/index.m3u8");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("clip.mp4");
    let report = cut(playlist.to_str().unwrap(), &out, &["--subtitles", "both"]);
    let tracks = report["tracks"].as_array().unwrap();
    assert_eq!(tracks.last().unwrap()["codec"], "wvtt");
    insta::assert_snapshot!(fs::read_to_string(folder.path().join("clip.vtt")).unwrap());
}

/// Snapshots of one live playlist: each clip reaches to the last part listed.
#[test]
fn clips_reach_to_the_last_part() {
    let Some(corpus) = corpus() else { return };
    let from = corpus.join("gen/hls/ll");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("clip.mp4");
    for number in [10, 14, 25, 37, 40] {
        let playlist = from.join(format!("live_{number:03}.m3u8"));
        let report = cut(playlist.to_str().unwrap(), &out, &[]);
        let (movie, file) = movie(&out);
        assert!(
            movie.faults(&file).is_empty(),
            "{number}: {:?}",
            movie.faults(&file)
        );
        let text = fs::read_to_string(&playlist).unwrap();
        let whole = text.matches("#EXTINF").count();
        let parts = text
            .rsplit("#EXTINF")
            .next()
            .unwrap()
            .matches("#EXT-X-PART:")
            .count();
        // 25 pictures a second: 50 in a segment, 5 in a part.
        assert_eq!(
            report["tracks"][0]["samples"],
            whole * 50 + parts * 5,
            "{number}"
        );
        assert_eq!(report["warnings"].as_array().unwrap().len(), 0, "{report}");
        let last = cut(playlist.to_str().unwrap(), &out, &["--last", "1s"]);
        // Sound may end a frame later.
        let duration = last["duration_ms"].as_u64().unwrap();
        assert!((1000..1022).contains(&duration), "{number}: {duration}");
    }
}

/// A server of low-latency HLS: a question that is held back is answered by the next snapshot.
fn low_latency_server(folder: PathBuf) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut snapshot = 25;
        for connection in listener.incoming().flatten() {
            let mut connection: TcpStream = connection;
            let mut line = String::new();
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            reader.read_line(&mut line).unwrap();
            loop {
                let mut header = String::new();
                let read = reader.read_line(&mut header);
                if !read.is_ok_and(|len| len > 2) {
                    break;
                }
            }
            let target = line.split(' ').nth(1).unwrap_or("/").to_owned();
            let (path, query) = target.split_once('?').unwrap_or((target.as_str(), ""));
            let name = match path.trim_start_matches('/') {
                "live.m3u8" => {
                    noted.lock().unwrap().push(query.to_owned());
                    if query.contains("_HLS_msn") {
                        snapshot += 1;
                    }
                    format!("live_{snapshot:03}.m3u8")
                }
                other => other.to_owned(),
            };
            let body = fs::read(folder.join(name)).unwrap_or_default();
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            let _ = connection.write_all(head.as_bytes());
            let _ = connection.write_all(&body);
        }
    });
    (format!("http://{address}/live.m3u8"), asked)
}

#[test]
fn a_window_that_is_still_to_come_is_waited_for() {
    let Some(corpus) = corpus() else { return };
    let (url, asked) = low_latency_server(corpus.join("gen/hls/ll"));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("clip.mp4");
    let window = ["--from", "+3s", "--duration", "3s"];
    let now = cut(&url, &out, &window);
    assert_eq!(asked.lock().unwrap().len(), 1, "nobody waits unasked");
    let duration = |report: &Value| report["duration_ms"].as_u64().unwrap();
    assert!((2000..2030).contains(&duration(&now)), "{now}");
    let waited = cut(&url, &out, &[&window[..], &["--wait"]].concat());
    assert!((3000..3030).contains(&duration(&waited)), "{waited}");
    assert_eq!(waited["tracks"][0]["samples"], 75);
    // From the live edge on, which is now at 6 s: 1 s before it, and 1 s to come.
    let next = ["--from", "-1s", "--duration", "2s", "--wait"];
    let next = cut(&url, &out, &next);
    assert!((2000..2030).contains(&duration(&next)), "{next}");
    let asked = asked.lock().unwrap();
    let held: Vec<_> = asked.iter().filter(|query| !query.is_empty()).collect();
    assert_eq!(held[0], "_HLS_msn=2&_HLS_part=5&_HLS_skip=YES");
    assert_eq!(held.len(), 10, "{held:?}");
}

/// Without blocking reload, and of a playlist on disk, by looking again.
#[test]
fn a_file_that_grows_is_looked_at_again() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture("demo")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let playlist = folder.path().join("index.m3u8");
    let whole = fs::read_to_string(&playlist).unwrap();
    let listed = |count: usize| {
        let mut parts = whole.split("#EXTINF");
        let mut text = parts.next().unwrap().to_owned();
        for part in parts.take(count) {
            text += &format!("#EXTINF{part}");
        }
        text.replace("#EXT-X-ENDLIST", "")
            .replace("#EXT-X-PLAYLIST-TYPE:VOD\n", "")
    };
    fs::write(&playlist, listed(3)).unwrap();
    let writer = {
        let (playlist, text) = (playlist.clone(), listed(6));
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(700));
            fs::write(playlist, text).unwrap();
        })
    };
    let out = folder.path().join("clip.mp4");
    let window = ["--from", "+3s", "--to", "+9s", "--wait"];
    let report = cut(playlist.to_str().unwrap(), &out, &window);
    writer.join().unwrap();
    assert_eq!(report["duration_ms"], 6000);
}

/// What is waited for, and how much of it is there, unless nobody is to be told.
#[test]
fn waiting_says_what_for() {
    let folder = tempfile::tempdir().unwrap();
    let playlist = demo_listed(folder.path(), 3, false);
    let out = folder.path().join("clip.mp4");
    let (playlist, out) = (playlist.to_str().unwrap(), out.to_str().unwrap());
    let waits = |window: &[&str], more: &[&str]| {
        let args = ["cut", playlist, "-o", out, "--wait"].into_iter();
        let all = args.chain(window.iter().copied());
        clipmill(all.chain(more.iter().copied())).expect(0).stderr
    };
    let said = |window: &[&str]| {
        let said = waits(window, &[]);
        let lines = said.lines().filter(|line| line.starts_with("waiting"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    // Six seconds are listed, and no more come for as long.
    for (window, there, length) in [
        (["--from", "+3s", "--to", "+9s"], "3.0", "6.0"),
        (["--from", "-1s", "--duration", "4s"], "1.0", "4.0"),
    ] {
        let line = format!("waiting for the playlist: {there} s of {length} s are listed");
        let said = said(&window);
        assert!(
            !said.is_empty() && said.iter().all(|one| *one == line),
            "{said:?}"
        );
    }
    assert_eq!(said(&["--from", "+3s", "--to", "+5s"]), [""; 0]);
    for quietly in ["--quiet", "--json"] {
        let said = waits(&["--from", "+3s", "--to", "+9s"], &[quietly]);
        assert!(!said.contains("waiting"), "{said}");
    }
}

/// `EXT-X-DEFINE` with `IMPORT` and `QUERYPARAM` (rfc8216bis, 4.4.2.3).
#[test]
fn playlists_import_variables() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("demo/seg00.ts"), folder.path().join("seg-x-7.ts")).unwrap();
    let master = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"x\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1\nmedia.m3u8\n";
    fs::write(folder.path().join("master.m3u8"), master).unwrap();
    let media = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-DEFINE:IMPORT=\"a\"\n\
        #EXT-X-DEFINE:NAME=\"b\",VALUE=\"7\"\n#EXTINF:2,\nseg-{$a}-{$b}.ts\n#EXT-X-ENDLIST\n";
    fs::write(folder.path().join("media.m3u8"), media).unwrap();
    let out = folder.path().join("clip.mp4");
    let playlist = folder.path().join("master.m3u8");
    let report = cut(playlist.to_str().unwrap(), &out, &[]);
    assert_eq!(report["segments"], 1);
}

/// The demo's first segments, listed `count` times from the first one on.
fn demo_listed(folder: &Path, count: usize, ended: bool) -> PathBuf {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for number in 0..count {
        let name = format!("seg{number:02}.ts");
        fs::copy(fixture(&format!("demo/{name}")), folder.join(&name)).unwrap();
        text += &format!("#EXTINF:2,\n{name}\n");
    }
    if ended {
        text += "#EXT-X-ENDLIST\n";
    }
    let playlist = folder.join("index.m3u8");
    fs::write(&playlist, text).unwrap();
    playlist
}

/// A cut that must end with `code`: what it printed, and what it said.
fn strictly(playlist: &Path, out: &Path, more: &[&str], code: i32) -> (Value, String) {
    let args = [
        "cut",
        playlist.to_str().unwrap(),
        "-o",
        out.to_str().unwrap(),
        "--json",
        "--strict",
    ];
    let run = clipmill(args.iter().chain(more)).expect(code);
    (run.json(), run.stderr)
}

#[test]
fn a_playlist_that_stops_growing_under_a_window_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("clip.mp4");
    let window = ["--from", "+3s", "--to", "+9s", "--wait"];
    for (ended, least) in [(true, 0.0), (false, 6.0)] {
        let playlist = demo_listed(folder.path(), 3, ended);
        let begun = std::time::Instant::now();
        let (report, said) = strictly(&playlist, &out, &window, 3);
        // Three target durations of silence.
        assert!(begun.elapsed().as_secs_f64() >= least);
        assert_eq!(report["duration_ms"], 3000);
        let gap = &report["gaps"][0];
        assert_eq!(gap["reason"], "the playlist stopped growing", "{report}");
        let warning = "the playlist stopped growing 3.000 s before the end of the window";
        assert!(said.contains(warning), "{said}");
    }
    // All of it is there.
    let playlist = demo_listed(folder.path(), 5, true);
    let (report, said) = strictly(&playlist, &out, &window, 0);
    assert_eq!(
        (report["gaps"].as_array().unwrap().len(), said.as_str()),
        (0, "")
    );
    if let Some(playlist) = field("low-latency/index.m3u8") {
        let window = ["--from", "-1s", "--duration", "4s", "--wait"];
        let (report, said) = strictly(&playlist, &out, &window, 3);
        assert!(report["duration_ms"].as_u64().unwrap() < 1100, "{report}");
        assert!(said.contains("stopped growing 3.000 s before"), "{said}");
    }
}

#[test]
fn offsets_from_the_start_of_a_file_whose_parts_are_segments() {
    let Some(playlist) = field("byte-range/absoff.m3u8") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("clip.mp4");
    let (report, said) = strictly(&playlist, &out, &[], 0);
    assert_eq!(report["tracks"][0]["samples"], 250);
    // Its first picture is presented two pictures after it is decoded.
    assert_eq!(report["duration_ms"], 10_080);
    assert_eq!(said, "");
    if tools::installed(&["ffmpeg"]) {
        let out = out.to_str().unwrap();
        tools::ffmpeg(["-xerror", "-i", out, "-f", "null", "-"]).expect(0);
    }
}

/// A stream of two lives, `a` and `b`, in two playlists: each life is the demo's first three segments, so that
/// timestamps begin again. `tags` are the segments of sound before which there is a discontinuity.
fn two_lives(folder: &Path, tags: &[usize]) -> PathBuf {
    let mut playlists = [String::new(), String::new()];
    for number in 0..6 {
        let name = format!("demo/seg{:02}.ts", number % 3);
        let streams = mux::streams(&fs::read(fixture(&name)).unwrap());
        let is_video = |stream: &mux::Stream| stream.stream_type == 0x1b;
        let (video, audio): (Vec<_>, Vec<_>) = streams.into_iter().partition(is_video);
        for (kind, streams) in [("v", video), ("a", audio)] {
            fs::write(
                folder.join(format!("{kind}{number}.ts")),
                mux::segment(&streams),
            )
            .unwrap();
        }
        for (at, kind) in ["v", "a"].into_iter().enumerate() {
            let tagged = if at == 0 {
                number == 3
            } else {
                tags.contains(&number)
            };
            let tag = if tagged { "#EXT-X-DISCONTINUITY\n" } else { "" };
            playlists[at] += &format!("{tag}#EXTINF:2,\n{kind}{number}.ts\n");
        }
    }
    for (text, name) in playlists.iter().zip(["v.m3u8", "a.m3u8"]) {
        let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n";
        fs::write(folder.join(name), format!("{head}{text}#EXT-X-ENDLIST\n")).unwrap();
    }
    let master = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",DEFAULT=YES,URI=\"a.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nv.m3u8\n";
    fs::write(folder.join("master.m3u8"), master).unwrap();
    folder.join("master.m3u8")
}

#[test]
fn sound_whose_discontinuities_are_elsewhere_is_placed_by_its_timestamps() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("clip.mp4");
    let cut = |tags: &[usize], more: &[&str]| {
        let (report, said) = strictly(&two_lives(folder.path(), tags), &out, more, 0);
        assert_eq!(said, "", "{tags:?}");
        let samples = |at: usize| report["tracks"][at]["samples"].as_u64().unwrap();
        (
            samples(0),
            samples(1),
            report["duration_ms"].as_u64().unwrap(),
        )
    };
    let whole = cut(&[3], &[]);
    assert_eq!(whole.0, 300);
    // One too many, before and after the right one, twice; one too few.
    for tags in [&[1, 3][..], &[3, 5], &[1, 2, 3, 4], &[]] {
        assert_eq!(cut(tags, &[]), whole, "{tags:?}");
    }
    // From the second life on.
    let window = ["--from", "+6s"];
    let rest = cut(&[3], &window);
    assert_eq!(rest.0, 150);
    // Where the first life is not there to hold it against it is placed, or told of and never lost in silence.
    for tags in [&[1, 3][..], &[1, 3, 4], &[]] {
        let playlist = two_lives(folder.path(), tags);
        let (from, to) = (playlist.to_str().unwrap(), out.to_str().unwrap());
        let args = ["cut", from, "-o", to, "--json", "--strict"];
        let run = clipmill(args.iter().chain(&window));
        let report = run.json();
        assert_eq!(report["tracks"][0]["samples"], 150, "{tags:?}");
        let placed = report["tracks"][1]["samples"] == rest.1 && run.stderr.is_empty();
        let told = run.stderr.contains("its sound fits no pictures");
        let right = if told {
            run.code == 3
        } else {
            placed && run.code == 0
        };
        assert!(right, "{tags:?}: {report} {}", run.stderr);
    }
    if let Some(playlist) = field("renditions/Mdaextra.m3u8") {
        let (report, said) = strictly(&playlist, &out, &[], 0);
        let samples = [0, 1].map(|at| report["tracks"][at]["samples"].clone());
        assert_eq!(samples[1], 447, "{report} {said}");
    }
}

#[test]
fn sound_that_fits_no_pictures_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("clip.mp4");
    let master = two_lives(folder.path(), &[1, 2, 3]);
    // The second segment of sound is of another life altogether.
    let mut other = mux::streams(&fs::read(folder.path().join("a1.ts")).unwrap());
    for pes in &mut other[0].pes {
        pes.pts = pes.pts.map(|pts| pts + 90_000 * 3600);
    }
    fs::write(folder.path().join("a1.ts"), mux::segment(&other)).unwrap();
    let (report, said) = strictly(&master, &out, &[], 3);
    assert_eq!(report["tracks"][0]["samples"], 300);
    assert!(
        said.contains("a1.ts") && said.contains("fits no pictures"),
        "{said}"
    );
}
