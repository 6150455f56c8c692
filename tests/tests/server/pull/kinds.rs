//! Kinds of playlists: variants and renditions, keys, variables, low latency.

use std::collections::BTreeSet;

use clipmill_tests::listing::{Listed, Listing, replace};
use clipmill_tests::mux;
use serde_json::json;

use super::*;
use crate::recording::keys::{demo, encrypted, key, tag};
use crate::recording::sound::{assert_two_languages, encode};
use crate::recording::{assert_same, server::MadeClip};

/// A server that pulls `{id}` from that file of an origin, each with these further lines.
pub(super) fn pulls(origin: &Origin, all: &[(&str, &str, &str)], settings: &str) -> Server {
    let tables = all.iter().map(|(id, file, lines)| {
        let url = origin.url(file);
        format!("[[app.pull]]\nid = \"{id}\"\nurl = \"{url}\"\n{lines}\n")
    });
    let tables: String = tables.collect();
    Server::start(&format!("{settings}\n{tables}")).once_ready()
}

fn streams(server: &Server) -> BTreeSet<String> {
    let all = server.json("/v1/apps/live/streams");
    let items = all["items"].as_array().unwrap().iter();
    items
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn sound_in_playlists_of_its_own_comes_with_the_pictures() {
    if !installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::new(folder.path());
    let both = [("show", "show.m3u8", ""), ("frag", "frag.m3u8", "")];
    let server = pulls(&origin, &both, "interval_seconds = 3");
    let fmp4 = [
        "-hls_segment_type",
        "fmp4",
        "-hls_fmp4_init_filename",
        "frag_%v_init.mp4",
    ];
    let all = [
        encode(folder.path(), "show", &[]),
        encode(folder.path(), "frag", &fmp4),
    ];
    for mut child in all {
        assert!(child.wait().unwrap().success());
    }
    for id in ["show", "frag"] {
        wait_for_end(&server, id);
    }
    assert_eq!(
        streams(&server),
        ["frag".to_owned(), "show".to_owned()].into()
    );
    for id in ["show", "frag"] {
        assert_two_languages(&server, id, folder.path());
        let played = server
            .get(&format!("/live/streams/{id}/audio-0.m3u8"))
            .unwrap();
        assert_eq!(played.0, 200, "{id}");
    }
}

#[test]
fn a_variant_is_chosen_and_all_of_them_are_streams_of_their_own() {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/ladder");
    let origin = Origin::new(&fixtures);
    let all = [
        ("best", "master.m3u8", ""),
        ("low", "master.m3u8", "variant = \"90p\""),
        ("none", "master.m3u8", "variant = \"4000p\""),
        ("each", "master.m3u8", "variant = \"all\""),
    ];
    let server = pulls(&origin, &all, "interval_seconds = 600");
    let wanted = ["best", "low", "none", "each", "each_medium", "each_small"];
    server.wait("all are there", || {
        streams(&server) == wanted.map(str::to_owned).into()
    });
    for id in wanted.iter().filter(|id| **id != "none") {
        wait_for_end(&server, id);
    }
    let pictures = |id: &str| {
        let mut clips: Vec<MadeClip> = server.clips(id);
        assert_eq!(clips.len(), 1, "{id}");
        clips.remove(0).video
    };
    let (best, low) = (pictures("best"), pictures("low"));
    assert!(best.len() == low.len() && best != low);
    for (id, expected) in [
        ("each", &best),
        ("each_medium", &best),
        ("each_small", &low),
    ] {
        assert_same(&pictures(id), expected, id);
    }
    let small = server.json("/v1/apps/live/streams/each_small");
    assert_eq!(small["source"]["kind"], "pull");
    let none = server.json("/v1/apps/live/streams/none");
    let problem = none["source"]["problem"].as_str().unwrap();
    assert!(
        problem.contains("no variant \"4000p\"") && problem.contains("90p"),
        "{problem}"
    );
    assert_eq!(
        (&none["state"], &none["source"]["variant"]),
        (&json!("waiting"), &json!("4000p"))
    );
}

/// A playlist that has come to its end.
pub(super) fn publish(folder: &std::path::Path, name: &str, all: &[(Vec<u8>, u64)], tags: &str) {
    let mut date = u64::try_from(DATE).unwrap() * 1000;
    let mut listing = Listing::default();
    for (number, (bytes, micros)) in all.iter().enumerate() {
        let file = format!("{name}{number}.ts");
        fs::write(folder.join(&file), bytes).unwrap();
        listing.segments.push(Listed {
            name: file,
            micros: *micros,
            date_us: Some(date),
            tags: tags.to_owned(),
            ..Listed::default()
        });
        date += micros;
    }
    replace(&folder.join(format!("{name}.m3u8")), &listing.text(true));
}

#[test]
fn encrypted_streams_are_mirrored_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let demo = demo();
    let right = key(1);
    let micros = 2_000_000;
    let clear: Vec<_> = demo.iter().map(|one| (mux::segment(one), micros)).collect();
    publish(folder.path(), "clear", &clear, "");
    let kinds = [("whole", "AES-128"), ("samples", "SAMPLE-AES")];
    for (name, method) in kinds {
        let all = demo
            .iter()
            .map(|one| (encrypted(one, method, &right).bytes, micros));
        let all: Vec<_> = all.collect();
        publish(
            folder.path(),
            name,
            &all,
            &tag(method, &format!("{name}.key")),
        );
    }
    let origin = Origin::new(folder.path());
    let all = [
        ("clear", "clear.m3u8", ""),
        ("whole", "whole.m3u8", ""),
        ("samples", "samples.m3u8", ""),
    ];
    let server = pulls(
        &origin,
        &all,
        "interval_seconds = 600\nsegment_patience = \"5m\"",
    );
    let problem = |id: &str, says: &str| {
        server.wait(&format!("{id}: {says}"), || {
            let shown = server.json(&format!("/v1/apps/live/streams/{id}"));
            let problem = shown["source"]["problem"].as_str();
            problem.is_some_and(|problem| problem.contains(says))
        });
    };
    // No key, then a wrong one, then the right one.
    for (name, _) in kinds {
        problem(name, "key");
        fs::write(folder.path().join(format!("{name}.key")), key(2).key).unwrap();
        problem(name, "does not");
        fs::write(folder.path().join(format!("{name}.key")), right.key).unwrap();
    }
    let pictures = |id: &str| {
        wait_for_end(&server, id);
        let clips = server.clips(id).into_iter();
        clips.flat_map(|clip| clip.video).collect::<Vec<_>>()
    };
    let wanted = pictures("clear");
    for (name, _) in kinds {
        assert_same(&pictures(name), &wanted, name);
        let mirror = fs::read_to_string(server.streams().join(format!("{name}.m3u8"))).unwrap();
        assert!(
            !mirror.contains("EXT-X-KEY") && !mirror.contains("EXT-X-GAP"),
            "{mirror}"
        );
    }
    assert!(!server.log().contains("\u{1}\u{1}"));
}

#[test]
fn variables_of_playlists_and_urls_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = some(6);
    fs::create_dir(folder.path().join("k3y")).unwrap();
    let all: Vec<_> = pieces
        .iter()
        .map(|one| (one.bytes.clone(), one.micros))
        .collect();
    publish(&folder.path().join("k3y"), "cam", &all, "");
    let media = fs::read_to_string(folder.path().join("k3y/cam.m3u8")).unwrap();
    let media = media.replace("\ncam", "\n{$path}/cam");
    let media = media.replacen("\n", "\n#EXT-X-DEFINE:IMPORT=\"path\"\n", 1);
    fs::write(folder.path().join("media.m3u8"), media).unwrap();
    let master = "#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM=\"path\"\n\
                  #EXT-X-STREAM-INF:BANDWIDTH=1\nmedia.m3u8?{$path}\n";
    fs::write(folder.path().join("master.m3u8"), master).unwrap();
    let origin = Origin::new(folder.path());
    let server = pulls(
        &origin,
        &[("cam", "master.m3u8?path=k3y", "")],
        "interval_seconds = 600",
    );
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    assert_eq!(origin.asked_for("media.m3u8?k3y").len(), 1);
}

#[test]
fn a_server_that_can_wait_is_asked_once_for_each_segment_and_for_what_is_new_alone() {
    let site = Site::start("interval_seconds = 3", "");
    site.origin.be_low_latency();
    let pieces = some(45);
    let mut live = site.live(Kind::Sliding(12));
    play(&site.server, &mut live, &pieces);
    live.end();
    wait_for_end(&site.server, "cam");
    assert_tiles(&site.server.clips("cam"), &[&pieces]);
    let waited = site.origin.asked_for("_HLS_msn=");
    assert!(waited.len() >= pieces.len() / 2, "{}", waited.len());
    assert!(
        waited
            .iter()
            .all(|asked| asked.target.contains("_HLS_skip=YES"))
    );
    let others = site.origin.asked_for("cam.m3u8").len() - waited.len();
    assert!(others <= 12, "{others}");
}

#[test]
fn segments_that_are_parts_of_one_file_are_files_of_their_own_here() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = some(12);
    let mut file = Vec::new();
    let mut listing = Listing::default();
    for (number, piece) in pieces.iter().enumerate() {
        // Where an offset is not written, it goes on where the one before ended.
        let offset = match number % 3 {
            1 => String::new(),
            _ => format!("@{}", file.len()),
        };
        listing.segments.push(Listed {
            name: "all.ts".to_owned(),
            micros: piece.micros,
            tags: format!("#EXT-X-BYTERANGE:{}{offset}\n", piece.bytes.len()),
            ..Listed::default()
        });
        file.extend(&piece.bytes);
    }
    fs::write(folder.path().join("all.ts"), file).unwrap();
    replace(&folder.path().join("cam.m3u8"), &listing.text(true));
    let origin = Origin::new(folder.path());
    let server = pulls(
        &origin,
        &[("cam", "cam.m3u8", "")],
        "interval_seconds = 600",
    );
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    let asked = origin.asked_for("all.ts");
    assert!(asked.len() == pieces.len() && asked.iter().all(|asked| asked.status == 206));
}

#[test]
fn subtitles_come_with_the_variant() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = some(6);
    let all: Vec<_> = pieces
        .iter()
        .map(|one| (one.bytes.clone(), one.micros))
        .collect();
    publish(folder.path(), "video", &all, "");
    let cue = "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nA word\n";
    fs::write(folder.path().join("words.php"), cue).unwrap();
    let words = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.88,\nwords.php?n=0\n#EXT-X-ENDLIST\n";
    fs::write(folder.path().join("words.m3u8"), words).unwrap();
    let master = "#EXTM3U\n\
        #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"Words\",LANGUAGE=\"en\",URI=\"words.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,SUBTITLES=\"s\"\nvideo.m3u8\n";
    fs::write(folder.path().join("master.m3u8"), master).unwrap();
    let origin = Origin::new(folder.path());
    let server = pulls(
        &origin,
        &[("cam", "master.m3u8", "")],
        "interval_seconds = 600",
    );
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    let text = |path: &str| {
        let (status, body) = server.get(&format!("/live/streams/{path}")).unwrap();
        assert_eq!(status, 200, "{path}");
        String::from_utf8(body).unwrap()
    };
    assert!(text("cam.m3u8").contains("LANGUAGE=\"en\",URI=\"cam/subtitles-0.m3u8\""));
    server.wait("mirrored", || {
        text("cam/subtitles-0.m3u8").contains("#EXT-X-ENDLIST")
    });
    let listed = text("cam/subtitles-0.m3u8");
    let name = listed.lines().find(|line| line.ends_with(".vtt")).unwrap();
    assert_eq!(text(&format!("cam/{name}")), cue);
}
