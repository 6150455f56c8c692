//! Sound that media servers list in playlists of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use clipmill_tests::{es, mp4, tools, ts};

use super::server::{Server, names};
use super::{assert_same, wait_for_end};

/// Pictures, and sound in two languages, as ffmpeg writes renditions.
pub(crate) fn encode(folder: &Path, id: &str, options: &[&str]) -> Child {
    let mut command = Command::new("ffmpeg");
    command
        .args("-v error -nostdin -re -f lavfi -i testsrc=size=320x180:rate=25".split(' '))
        .args("-re -f lavfi -i sine=frequency=440:sample_rate=48000".split(' '))
        .args("-re -f lavfi -i sine=frequency=880:sample_rate=48000 -t 14".split(' '))
        .args("-map 0:v -map 1:a -map 2:a -c:v libx264 -preset ultrafast -g 25 -bf 2".split(' '))
        .args("-threads 1 -c:a aac -f hls -hls_time 2 -hls_list_size 0".split(' '))
        .args(["-hls_flags", "program_date_time", "-master_pl_name"])
        .arg(format!("{id}.m3u8"))
        .args([
            "-var_stream_map",
            "v:0,agroup:s a:0,agroup:s,language:en,default:yes a:1,agroup:s,language:de",
        ])
        .args(options)
        .arg(folder.join(format!("{id}_%v.m3u8")));
    command.spawn().unwrap()
}

/// The frames of one rendition, from its segments.
pub(crate) fn frames(folder: &Path, prefix: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = names(folder)
        .into_iter()
        .filter(|name| name.starts_with(prefix) && name.ends_with(".ts"))
        .map(|name| folder.join(name))
        .collect();
    files.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    let mut bytes = Vec::new();
    for file in files {
        bytes.extend(std::fs::read(file).unwrap());
    }
    let streams = ts::read(&bytes);
    let sound = streams.iter().find(|one| !one.kind.is_video()).unwrap();
    let stream = sound.bytes();
    es::adts(&stream).into_iter().map(<[u8]>::to_vec).collect()
}

/// The clips of a stream hold all pictures, and the sound of both languages as `folder` has it in renditions of
/// [`encode`] with the id `show`.
pub(crate) fn assert_two_languages(server: &Server, id: &str, folder: &Path) {
    let (mut pictures, mut sound) = (0, [Vec::new(), Vec::new()]);
    for clip in server.clips(id) {
        let path = server.path_of(&clip.vod);
        let file = std::fs::read(&path).unwrap();
        let movie = mp4::read(&file).unwrap();
        let languages: Vec<_> = movie.tracks.iter().map(|t| t.language.as_str()).collect();
        assert_eq!(languages[1..], ["eng", "deu"], "{id}");
        pictures += movie.tracks[0].samples.len();
        for (track, sound) in movie.tracks[1..].iter().zip(&mut sound) {
            let data = (0..track.samples.len()).map(|at| track.data(&file, at).to_vec());
            sound.extend(data);
        }
        let (_, complaints) = tools::decoded_pictures(&path);
        assert_eq!(complaints, "", "{id}");
    }
    assert_eq!(pictures, 350, "{id}");
    for (number, sound) in sound.iter().enumerate() {
        let wanted = frames(folder, &format!("show_{}", number + 1));
        // The frame that begins before the first picture belongs to no clip.
        let wanted = &wanted[wanted.len().saturating_sub(sound.len()).min(1)..];
        assert_same(sound, wanted, &format!("{id}, sound {number}"));
    }
}

#[test]
fn sound_in_playlists_of_its_own_is_tiled_with_the_pictures() {
    if !tools::installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let mut server = Server::start("interval_seconds = 3\n");
    let folder = server.streams();
    let fmp4 = [
        "-hls_segment_type",
        "fmp4",
        "-hls_fmp4_init_filename",
        "frag_%v_init.mp4",
    ];
    let mut all = [encode(&folder, "show", &[]), encode(&folder, "frag", &fmp4)];
    let open = |server: &Server| matches!(server.get("/readyz"), Some((200, _)));
    server.wait("open", || open(&server));
    server.wait("recording", || server.vods().len() > 1);
    server.kill();
    server.run();
    server.wait("open", || open(&server));
    for child in &mut all {
        assert!(child.wait().unwrap().success());
    }
    for id in ["show", "frag"] {
        wait_for_end(&server, id);
    }
    server.wait("all cut", || server.kept() == 0);
    server.assert_all_or_nothing();
    let streams: std::collections::BTreeSet<_> = server
        .vods()
        .iter()
        .map(|vod| vod["streamId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(streams.into_iter().collect::<Vec<_>>(), ["frag", "show"]);
    for id in ["show", "frag"] {
        assert_two_languages(&server, id, &folder);
    }
    // Of a stream that is over, from its playlists.
    let (status, body) = server
        .ask("POST", "/live/rest/clip-creator/mp4/show?returnFile=true")
        .unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let movie = mp4::read(&body).unwrap();
    assert!(movie.faults(&body).is_empty(), "{:?}", movie.faults(&body));
    assert_eq!(movie.tracks.len(), 3);
}

/// Snapshots of a low-latency playlist: a clip that is asked for reaches to the last part.
#[test]
fn a_clip_that_is_asked_for_reaches_to_the_last_part() {
    let Some(corpus) = clipmill_tests::corpus::corpus() else {
        return;
    };
    let from = corpus.join("gen/hls/ll");
    let server = Server::start("interval_seconds = 60\n");
    let folder = server.streams();
    for name in names(&from) {
        if !name.starts_with("live_") {
            std::fs::copy(from.join(&name), folder.join(&name)).unwrap();
        }
    }
    let show = |number: u32| {
        let text = std::fs::read(from.join(format!("live_{number:03}.m3u8"))).unwrap();
        std::fs::write(folder.join("new.part"), text).unwrap();
        std::fs::rename(folder.join("new.part"), folder.join("live.m3u8")).unwrap();
    };
    let ask = || {
        let call = "/live/rest/clip-creator/mp4/live?returnFile=true";
        let (status, body) = server.ask("POST", call)?;
        (status == 200).then_some(body)
    };
    // Pictures at 25 a second in parts of 0.2 s: two segments of 2 s, and so many parts.
    for (number, parts) in [(25, 5), (27, 7)] {
        show(number);
        let wanted = 100 + parts * 5;
        server.wait("at the live edge", || {
            let Some(body) = ask() else { return false };
            let movie = mp4::read(&body).unwrap();
            assert!(movie.faults(&body).is_empty(), "{:?}", movie.faults(&body));
            movie.tracks[0].samples.len() == wanted
        });
    }
    for number in 28..=40 {
        show(number);
    }
    wait_for_end(&server, "live");
    server.wait("all cut", || server.kept() == 0);
    let last = server.clips("live");
    let periodic = last.iter().filter(|clip| clip.video.len() == 200).count();
    assert_eq!(periodic, 1, "parts and their segments are not both taken");
}
