//! What recording promises: every sample of a live stream in one clip and no more, whatever the
//! playlist, the encoder, or the power supply does.

mod dvr;
mod faults;
pub(crate) mod keys;
mod markers;
mod missing;
mod orders;
mod returns;
pub(crate) mod server;
pub(crate) mod sound;
mod windows;

use std::time::Duration;

use clipmill_tests::replay::{Kind, Live, Piece, pieces};
use clipmill_tests::writer::{Plan, Unit};

use serde_json::Value;
use server::{MadeClip, Server, names};

/// 2026-11-22T14:00:00Z: not this machine's time, as an encoder's clock need not be.
pub(crate) const DATE: i64 = 1_795_356_000_000;

/// How long a segment is waited for. Media time runs faster than this.
pub(crate) const PACE: Duration = Duration::from_millis(60);

pub(crate) fn plan() -> Plan {
    Plan {
        groups: 60,
        ..Plan::default()
    }
}

/// Publishes segments one after the other, no faster than the server takes them in while it runs.
pub(crate) fn play(server: &Server, live: &mut Live, pieces: &[Piece]) {
    for piece in pieces {
        server.keep_up();
        live.publish(piece, false);
        std::thread::sleep(PACE);
    }
}

/// What clips must hold of a session: all pictures and all sound, even what lies before the first of
/// them.
fn expected(pieces: &[Piece]) -> (Vec<Vec<Vec<u8>>>, Vec<Vec<u8>>) {
    let video: Vec<&Unit> = pieces.iter().flat_map(|piece| &piece.video).collect();
    let audio = pieces.iter().flat_map(|piece| &piece.audio);
    (
        video.into_iter().map(|unit| unit.content.clone()).collect(),
        audio.flat_map(|unit| unit.content.clone()).collect(),
    )
}

/// Clips hold exactly what was published, in order, each sample once.
pub(crate) fn assert_tiles(clips: &[MadeClip], sessions: &[&[Piece]]) {
    let (mut video, mut audio) = (Vec::new(), Vec::new());
    for session in sessions {
        let (more_video, more_audio) = expected(session);
        video.extend(more_video);
        audio.extend(more_audio);
    }
    let clip_video: Vec<_> = clips.iter().flat_map(|clip| clip.video.clone()).collect();
    let clip_audio: Vec<_> = clips.iter().flat_map(|clip| clip.audio.clone()).collect();
    assert_same(&clip_video, &video, "pictures");
    assert_same(&clip_audio, &audio, "sound");
}

pub(crate) fn assert_same<T: PartialEq>(found: &[T], wanted: &[T], what: &str) {
    if found == wanted {
        return;
    }
    let first = found.iter().zip(wanted).position(|(a, b)| a != b);
    let absent = |from: &[T], other: &[T]| -> Vec<usize> {
        let all = from.iter().enumerate();
        let absent = all.filter(|(_, one)| !other.contains(one));
        absent.map(|(position, _)| position).take(20).collect()
    };
    panic!(
        "{what}: {} of {}, different from {first:?} on; found and never published: {:?}, published and not found: {:?}",
        found.len(),
        wanted.len(),
        absent(found, wanted),
        absent(wanted, found),
    );
}

/// The stream is over and its last clip made.
pub(crate) fn wait_for_end(server: &Server, stream: &str) {
    server.wait("finished", || {
        server
            .get(&format!("/live/rest/v2/broadcasts/{stream}"))
            .is_some_and(|(code, _)| code == 200)
            && server.status(stream) == "finished"
    });
    server.wait("all cut", || server.kept() == 0);
}

fn intervals(clips: &[MadeClip]) -> Vec<(i64, i64)> {
    let times = clips.iter().map(|clip| {
        let start = clip.vod["startTime"].as_i64().unwrap();
        (start, clip.vod["duration"].as_i64().unwrap())
    });
    times.collect()
}

fn run(kind: Kind, date: Option<i64>, plan: &Plan, groups: &[usize]) {
    let server = Server::start("interval_seconds = 3\n");
    let pieces = pieces(plan, groups);
    let mut live = Live::new(&server.streams(), "cam", kind, date);
    play(&server, &mut live, &pieces);
    live.end();
    wait_for_end(&server, "cam");
    let clips = server.clips("cam");
    assert_tiles(&clips, &[&pieces]);
    let times = intervals(&clips);
    assert!(times.len() >= 8, "{times:?}");
    for pair in times.windows(2) {
        let (start, duration) = pair[0];
        assert!((pair[1].0 - start - duration).abs() <= 2, "{times:?}");
        assert!((2000..=4000).contains(&duration), "{times:?}");
    }
    if date.is_some() {
        // The first picture is shown one picture after it is decoded; until then there is sound.
        let ahead = if plan.sound_delay < plan.picture_ticks {
            40
        } else {
            0
        };
        assert!((times[0].0 + ahead - DATE).abs() <= 2, "{times:?}");
    }
    server.assert_all_or_nothing();
    assert_eq!(server.told("cam", "liveStreamStarted"), 1);
    assert_eq!(server.told("cam", "liveStreamEnded"), 1);
}

#[test]
fn a_sliding_window_of_jittered_segments_is_tiled() {
    run(Kind::Sliding(12), Some(DATE), &plan(), &[1, 3, 2, 1, 4]);
}

#[test]
fn an_event_playlist_is_tiled() {
    run(Kind::Event, Some(DATE), &plan(), &[2]);
}

#[test]
fn a_stream_without_dates_is_tiled() {
    run(Kind::Sliding(12), None, &plan(), &[1, 2]);
}

#[test]
fn timestamps_that_wrap_are_tiled() {
    let plan = Plan {
        start: (1 << 33) - 1_000_000,
        sound_delay: 40_000,
        ..plan()
    };
    run(Kind::Sliding(12), Some(DATE), &plan, &[2, 1]);
}

#[test]
fn clips_are_written_while_their_segments_arrive() {
    let server = Server::start("interval_seconds = 10\n");
    let plan = Plan {
        start: (1 << 33) - 2_000_000,
        sound_delay: 40_000,
        ..plan()
    };
    let pieces = pieces(&plan, &[1, 2]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(12), Some(DATE));
    play(&server, &mut live, &pieces);
    live.end();
    wait_for_end(&server, "cam");
    let clips = server.clips("cam");
    assert_tiles(&clips, &[&pieces]);
    server.assert_all_or_nothing();
    let ahead = server.counted("clipmill_clips_written_ahead_total");
    assert!(clips.len() >= 3 && ahead >= 2, "{ahead} of {}", clips.len());
    assert_eq!(server.counted("clipmill_clips_written_anew_total"), 0);
}

#[test]
fn nothing_is_left_of_a_clip_in_the_making() {
    let mut server = Server::start("interval_seconds = 600\n");
    let pieces = pieces(&plan(), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Event, Some(DATE));
    play(&server, &mut live, &pieces[..20]);
    let clips = server.clips.clone();
    let in_the_making = |name: &String| {
        let unnamed = name.ends_with("(deleted)") || name.ends_with(".part");
        unnamed && name.starts_with(clips.to_str().unwrap())
    };
    server.wait("begun", || server.open_files().iter().any(in_the_making));
    server.kill();
    let left = names(&server.clips).into_iter();
    // Where the file system has files without a name there is not even a hidden one.
    let left: Vec<_> = left.filter(|name| name.contains(".mp4")).collect();
    assert_eq!(left, Vec::<String>::new());
    server.run();
    play(&server, &mut live, &pieces[20..]);
    live.end();
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.assert_all_or_nothing();
}

#[test]
fn a_playlist_that_is_caught_half_written_is_no_new_stream() {
    let server = Server::start("interval_seconds = 3\n");
    let pieces = pieces(&plan(), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Event, Some(DATE)).in_place();
    for (number, piece) in pieces.iter().enumerate() {
        live.publish(piece, false);
        std::thread::sleep(PACE / 3);
        if number == 20 {
            // A writer may have to wait for its disk.
            let text = std::fs::read(live.playlist()).unwrap();
            for half in [0, 3] {
                std::fs::write(live.playlist(), &text[..half]).unwrap();
                std::thread::sleep(Duration::from_secs(1));
            }
            std::fs::write(live.playlist(), text).unwrap();
        }
    }
    live.end();
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    assert_eq!(server.told("cam", "liveStreamStarted"), 1);
}

#[test]
fn media_is_joined_at_a_discontinuity() {
    let server = Server::start("interval_seconds = 3\n");
    let first = pieces(
        &Plan {
            groups: 16,
            ..plan()
        },
        &[2],
    );
    let second = Plan {
        groups: 16,
        start: 77_000_000,
        ..plan()
    };
    let second = pieces(&second, &[2]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(12), Some(DATE));
    play(&server, &mut live, &first);
    live.skip(0, 60_000_000);
    live.publish(&second[0], true);
    play(&server, &mut live, &second[1..]);
    live.end();
    wait_for_end(&server, "cam");
    let clips = server.clips("cam");
    let all: Vec<_> = first.iter().chain(&second).collect();
    let pictures = all.iter().flat_map(|piece| &piece.video);
    let pictures: Vec<_> = pictures.map(|unit| unit.content.clone()).collect();
    let found: Vec<_> = clips.iter().flat_map(|clip| clip.video.clone()).collect();
    assert_same(&found, &pictures, "pictures");
    let gaps: Vec<_> = clips
        .iter()
        .filter(|clip| !clip.vod["gaps"].is_null())
        .collect();
    assert!(
        gaps.len() <= 1,
        "the minute in which nothing was sent lies in one clip or between two"
    );
    assert_eq!(server.told("cam", "liveStreamStarted"), 1);
}

#[test]
fn an_encoder_that_restarts_begins_a_new_session() {
    for (kind, date) in [
        (Kind::Event, None),
        (Kind::Sliding(12), Some(DATE)),
        (Kind::Sliding(12), None),
    ] {
        let server = Server::start("interval_seconds = 3\n");
        let first = pieces(
            &Plan {
                groups: 20,
                ..plan()
            },
            &[2, 1],
        );
        let second = Plan {
            groups: 30,
            weight: 60,
            start: 5_000_000,
            ..plan()
        };
        let second = pieces(&second, &[1, 2]);
        let mut live = Live::new(&server.streams(), "cam", kind, date);
        play(&server, &mut live, &first);
        // The old files are truncated and written again one after the other.
        live.restart(date.map(|date| date + 3_600_000));
        play(&server, &mut live, &second);
        live.end();
        wait_for_end(&server, "cam");
        let mut clips = server.clips("cam");
        if date.is_none() {
            // Faster than real time, one session's clock runs into the other's.
            clips.sort_by_key(|clip| clip.vod["creationDate"].as_i64());
        }
        assert_tiles(&clips, &[&first, &second]);
        server.assert_all_or_nothing();
        assert_eq!(server.told("cam", "liveStreamStarted"), 2);
        assert_eq!(server.told("cam", "liveStreamEnded"), 2);
    }
}

#[test]
fn missing_segments_are_declared() {
    let server = Server::start("interval_seconds = 5\n");
    let pieces = pieces(
        &Plan {
            groups: 30,
            ..plan()
        },
        &[1],
    );
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(12), Some(DATE));
    play(&server, &mut live, &pieces[..12]);
    let lost = &pieces[12..15];
    live.skip(3, lost.iter().map(|piece| piece.micros).sum());
    play(&server, &mut live, &pieces[15..]);
    live.end();
    wait_for_end(&server, "cam");
    let clips = server.clips("cam");
    let kept: Vec<Piece> = pieces[..12].iter().chain(&pieces[15..]).cloned().collect();
    assert_same(
        &clips
            .iter()
            .flat_map(|clip| clip.video.clone())
            .collect::<Vec<_>>(),
        &expected(&kept).0,
        "pictures",
    );
    let gaps: Vec<_> = clips
        .iter()
        .filter_map(|clip| clip.vod["gaps"].as_array())
        .flatten()
        .collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0]["from"], "2026-11-22T14:00:05.760Z");
    assert_eq!(gaps[0]["to"], "2026-11-22T14:00:07.200Z");
    let total: i64 = intervals(&clips).iter().map(|(_, duration)| duration).sum();
    assert!(
        (total - 14_400).abs() < 100,
        "later frames keep their time: {total}"
    );
}

#[test]
fn recording_goes_on_after_a_restart() {
    let mut server = Server::start("interval_seconds = 4\n");
    let pieces = pieces(&plan(), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(10), Some(DATE));
    play(&server, &mut live, &pieces[..20]);
    server.stop();
    play(&server, &mut live, &pieces[20..26]);
    server.run();
    play(&server, &mut live, &pieces[26..]);
    live.end();
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.assert_all_or_nothing();
    assert_eq!(server.told("cam", "liveStreamStarted"), 1);
    assert_eq!(server.told("cam", "liveStreamEnded"), 1);
}

#[test]
fn a_stream_that_ends_while_nobody_looks_gets_its_last_clip() {
    let mut server = Server::start("interval_seconds = 60\n");
    let pieces = pieces(
        &Plan {
            groups: 20,
            ..plan()
        },
        &[1],
    );
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(12), Some(DATE));
    play(&server, &mut live, &pieces[..16]);
    server.wait("live", || server.told("cam", "liveStreamStarted") == 1);
    server.wait_for_segments(16);
    server.kill();
    play(&server, &mut live, &pieces[16..]);
    live.end();
    server.run();
    wait_for_end(&server, "cam");
    let clips = server.clips("cam");
    assert_eq!(clips.len(), 1);
    assert_tiles(&clips, &[&pieces]);
    assert_eq!(server.told("cam", "liveStreamEnded"), 1);
}

#[test]
fn what_is_lost_while_the_server_is_down_is_declared() {
    let mut server = Server::start("interval_seconds = 4\n");
    let pieces = pieces(&plan(), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(12), Some(DATE));
    play(&server, &mut live, &pieces[..20]);
    server.wait_for_segments(20);
    server.kill();
    // Most of these are gone when it is back: it is never told of them, and not waited for.
    for piece in &pieces[20..40] {
        live.publish(piece, false);
    }
    server.run();
    play(&server, &mut live, &pieces[40..]);
    live.end();
    wait_for_end(&server, "cam");
    let clips = server.clips("cam");
    let found: usize = clips.iter().map(|clip| clip.video.len()).sum();
    let (all, _) = expected(&pieces);
    assert!(found < all.len() && found > all.len() / 2, "{found}");
    let found: Vec<_> = clips.iter().flat_map(|clip| clip.video.clone()).collect();
    let mut rest = all.iter();
    assert!(
        found.iter().all(|unit| rest.any(|one| one == unit)),
        "in order, none twice"
    );
    let gaps = clips
        .iter()
        .filter_map(|clip| clip.vod["gaps"].as_array())
        .flatten();
    assert_eq!(gaps.count(), 1);
    server.assert_all_or_nothing();
}

/// Numbers that look random, and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// `tests/kill-loop.sh` kills more often.
#[test]
fn killed_at_any_moment_nothing_is_lost_and_nothing_twice() {
    let kills = std::env::var("CLIPMILL_KILLS");
    let kills = kills.map_or(20, |count| count.parse().unwrap());
    let mut server = Server::start("interval_seconds = 2\n");
    let plan = Plan {
        groups: 14 * kills,
        ..Plan::default()
    };
    let pieces = pieces(&plan, &[1, 2, 1]);
    let (folder, data) = (server.streams(), server.folder.path().join("data"));
    let (pause, published) = (Duration::from_millis(70), pieces.clone());
    let producer = std::thread::spawn(move || {
        let mut live = Live::new(&folder, "cam", Kind::Sliding(60), Some(DATE));
        let mut kept = 0;
        for (number, piece) in (0..).zip(&published) {
            // However long it takes to start again: what it has not kept stays listed.
            while number > kept + 40 {
                kept = kept.max(Server::newest_kept(&data).unwrap_or(0));
                std::thread::sleep(pause);
            }
            live.publish(piece, false);
            std::thread::sleep(pause);
        }
        live.end();
    });
    let mut random = Random(7);
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(80 + random.below(700)));
        server.kill();
        std::thread::sleep(Duration::from_millis(random.below(60)));
        server.run();
    }
    producer.join().unwrap();
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.assert_all_or_nothing();
}

#[test]
fn stopping_and_starting_over_loses_nothing() {
    let server = Server::start("interval_seconds = 60\nenabled = false\n");
    let pieces = pieces(&plan(), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(12), Some(DATE));
    let periodic = "/live/rest/clip-creator/periodic-recording";
    play(&server, &mut live, &pieces[..15]);
    assert!(server.vods().is_empty());
    let (code, _) = server.ask("POST", &format!("{periodic}/3")).unwrap();
    assert_eq!(code, 200);
    play(&server, &mut live, &pieces[15..30]);
    // Another interval: the remainder first, and nothing between the two.
    server.ask("POST", &format!("{periodic}/5")).unwrap();
    play(&server, &mut live, &pieces[30..50]);
    server.wait_for_segments(50);
    let (_, answer) = server.ask("DELETE", periodic).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("\"success\":true"));
    let (all, _) = expected(&pieces[..50]);
    server.wait("cut", || {
        let clips = server.clips("cam");
        clips
            .last()
            .is_some_and(|clip| clip.video.last() == all.last())
    });
    let clips = server.clips("cam");
    let video: Vec<_> = clips.iter().flat_map(|clip| clip.video.clone()).collect();
    let first = all.iter().position(|unit| *unit == video[0]).unwrap();
    assert!(
        (13 * 12..=17 * 12).contains(&first),
        "from the live edge on: {first}"
    );
    assert_same(&video, &all[first..], "pictures");
    play(&server, &mut live, &pieces[50..]);
    live.end();
    wait_for_end(&server, "cam");
    assert_eq!(
        server.clips("cam").len(),
        clips.len(),
        "nothing is recorded any more"
    );
    let (_, answer) = server.ask("DELETE", periodic).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("There is no active timer"));
}

#[test]
fn used_segments_are_deleted_and_no_others() {
    let server = Server::start("interval_seconds = 3\ndelete_hls_after_clip = true\n");
    let pieces = pieces(
        &Plan {
            groups: 40,
            ..plan()
        },
        &[1],
    );
    let mut live = Live::new(&server.streams(), "cam", Kind::Event, Some(DATE));
    play(&server, &mut live, &pieces);
    server.wait("deleting", || {
        let left = names(&server.streams());
        left.iter().filter(|name| name.ends_with(".ts")).count() < 20
    });
    let (code, answer) = server
        .ask("POST", "/live/rest/clip-creator/mp4/cam")
        .unwrap();
    assert_eq!(code, 200);
    let asked: Value = serde_json::from_slice(&answer).unwrap();
    live.end();
    wait_for_end(&server, "cam");
    let mut periodic = server.clips("cam");
    periodic.retain(|clip| clip.vod["vodId"] != asked["dataId"]);
    assert_tiles(&periodic, &[&pieces]);
}

/// Segments as ffmpeg writes them: each in its own folder, all kept.
fn encode(folder: &std::path::Path, id: &str, options: &[&str]) -> std::process::Child {
    let playlist = folder.join(format!("{id}.m3u8"));
    let mut command = std::process::Command::new("ffmpeg");
    command
        .args("-v error -nostdin -re -f lavfi -i testsrc=size=320x180:rate=25".split(' '))
        .args("-re -f lavfi -i sine=frequency=440:sample_rate=48000 -t 11".split(' '))
        .args("-c:v libx264 -preset ultrafast -g 25 -bf 2 -threads 1 -c:a aac".split(' '))
        .args("-f hls -hls_time 2 -hls_list_size 0".split(' '))
        .args(options)
        .arg(playlist);
    command.spawn().unwrap()
}

#[test]
fn what_ffmpeg_writes_is_tiled() {
    if !clipmill_tests::tools::installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let server = Server::start("interval_seconds = 3\n");
    let folder = server.streams();
    let key = server.folder.path().join("key");
    std::fs::write(&key, b"0123456789abcdef").unwrap();
    std::fs::write(folder.join("enc.key"), b"0123456789abcdef").unwrap();
    let info = server.folder.path().join("key.info");
    std::fs::write(&info, format!("enc.key\n{}\n", key.display())).unwrap();
    let info = info.to_str().unwrap();
    // As Ant Media names them.
    let names = folder.join("frag%09d.fmp4");
    let fmp4 = [
        "-hls_segment_type",
        "fmp4",
        "-hls_fmp4_init_filename",
        "frag-init.mp4",
        "-hls_segment_filename",
        names.to_str().unwrap(),
        "-hls_flags",
        "program_date_time",
    ];
    let mut all = [
        encode(&folder, "plain", &["-hls_flags", "program_date_time"]),
        encode(
            &folder,
            "sliding",
            &["-hls_list_size", "3", "-hls_flags", "delete_segments"],
        ),
        encode(&folder, "frag", &fmp4),
        encode(&folder, "enc", &["-hls_key_info_file", info]),
    ];
    for child in &mut all {
        assert!(child.wait().unwrap().success());
    }
    for id in ["plain", "sliding", "frag", "enc"] {
        server.wait("finished", || server.status(id) == "finished");
    }
    server.wait("all cut", || server.kept() == 0);
    for id in ["plain", "sliding", "frag", "enc"] {
        let clips = server.clips(id);
        assert!((4..=6).contains(&clips.len()), "{id}: {}", clips.len());
        let pictures: Vec<_> = clips.iter().flat_map(|clip| clip.video.clone()).collect();
        // The same pictures, encoded alike, four times.
        assert_eq!(pictures.len(), 275, "{id}");
        for clip in &clips {
            let path = server.path_of(&clip.vod);
            let (_, complaints) = clipmill_tests::tools::decoded_pictures(&path);
            assert_eq!(complaints, "", "{id}");
        }
        let plain = server.clips("plain");
        let plain: Vec<_> = plain.iter().flat_map(|clip| clip.video.clone()).collect();
        assert_same(&pictures, &plain, id);
    }
    server.assert_all_or_nothing();
}

/// A file system that is small, as long as it lives.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn new(folder: &std::path::Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder);
        let mounted = mount.stderr(std::process::Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder.to_owned()));
        }
        eprintln!("skipped: no small file system can be mounted here");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}

#[test]
fn a_full_disk_stops_recording_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let clips = folder.path().join("clips");
    let Some(_disk) = SmallDisk::new(&clips, "2m") else {
        return;
    };
    let settings = format!(
        "interval_seconds = 3\nclips_dir = \"{}\"\n",
        clips.display()
    );
    let mut server = Server::start_in(folder, "", &settings);
    server.clips.clone_from(&clips);
    let pieces = pieces(&plan(), &[1]);
    let mut live = Live::new(&server.streams(), "cam", Kind::Sliding(12), Some(DATE));
    play(&server, &mut live, &pieces[..20]);
    server.wait("recording", || !server.vods().is_empty());
    let ready = || server.get("/readyz").map(|(code, _)| code);
    assert_eq!(ready(), Some(200));
    let ballast = clips.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    drop(file);
    let before = server.vods().len();
    play(&server, &mut live, &pieces[20..45]);
    server.wait("not ready, and said why", || {
        ready() == Some(503) && server.log().contains("no space left on the disk")
    });
    let (code, _) = server
        .ask("POST", "/live/rest/clip-creator/mp4/cam")
        .unwrap();
    assert_ne!(code, 200);
    assert!(server.vods().len() <= before + 1);
    std::fs::remove_file(&ballast).unwrap();
    play(&server, &mut live, &pieces[45..]);
    live.end();
    wait_for_end(&server, "cam");
    server.wait("ready again", || ready() == Some(200));
    assert_tiles(&server.clips("cam"), &[&pieces]);
    server.assert_all_or_nothing();
}

/// The entry of the clip that a call made.
fn asked(server: &Server, call: &str) -> Value {
    let path = format!("/live/rest/clip-creator/mp4/{call}");
    let (code, answer) = server.ask("POST", &path).unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(code, 200, "{answer}\n{}", server.log());
    server.json(&format!(
        "/live/rest/v2/vods/{}",
        answer["dataId"].as_str().unwrap()
    ))
}

fn range(from: i64, to: i64) -> String {
    let (from, to) = (DATE + from, DATE + to);
    format!("cam/range?startTimestamp={from}&endTimestamp={to}")
}

fn assert_window(vod: &Value, from: i64, to: i64) {
    let start = vod["startTime"].as_i64().unwrap() - DATE;
    let end = start + vod["duration"].as_i64().unwrap();
    // To the nearest frame.
    assert!(
        (start - from).abs() <= 40 && (end - to).abs() <= 40,
        "{start}..{end} {from}..{to}"
    );
}

#[test]
fn any_window_that_is_still_there_can_be_asked_for() {
    let server = Server::start("interval_seconds = 3\n");
    let pieces = pieces(&plan(), &[2]);
    // Nothing comes while clips are asked for, and the stream is live all the same.
    let live = Live::new(&server.streams(), "cam", Kind::Event, Some(DATE));
    let mut live = live.with_target(100);
    play(&server, &mut live, &pieces[..25]);
    server.wait("recorded", || server.vods().len() >= 7);
    server.wait_for_segments(25);
    let periodic = server.vods();
    // Long before the clip in the making, and reaching into it.
    assert_window(&asked(&server, &range(2_000, 6_000)), 2_000, 6_000);
    assert_window(&asked(&server, &range(5_500, 22_300)), 5_500, 22_300);
    // Before the stream began, there is nothing to be had.
    assert_window(&asked(&server, &range(-5_000, 1_000)), 40, 1_000);
    let path = format!("/live/rest/clip-creator/mp4/{}", range(-5_000, -1_000));
    let (code, answer) = server.ask("POST", &path).unwrap();
    assert_eq!(code, 417);
    assert!(String::from_utf8_lossy(&answer).contains("No segment file found for stream cam"));
    // Since the last periodic clip.
    let last = periodic.last().unwrap();
    let ended = last["startTime"].as_i64().unwrap() + last["duration"].as_i64().unwrap();
    let since = asked(&server, "cam");
    assert!(
        (since["startTime"].as_i64().unwrap() - ended).abs() <= 2,
        "{since} {last}"
    );
    play(&server, &mut live, &pieces[25..]);
    live.end();
    wait_for_end(&server, "cam");
    // A finished stream, as long as it is there.
    assert_window(&asked(&server, &range(10_000, 28_000)), 10_000, 28_000);
    assert_window(&asked(&server, &range(28_000, 60_000)), 28_000, 28_840);
    let all = server.clips("cam");
    let mut recorded: Vec<_> = all.iter().map(|clip| clip.vod["vodId"].clone()).collect();
    recorded.sort_by_key(Value::to_string);
    recorded.dedup();
    assert_eq!(recorded.len(), all.len());
    std::fs::remove_file(live.playlist()).unwrap();
    server.wait("gone", || {
        let path = format!("/live/rest/clip-creator/mp4/{}", range(10_000, 28_000));
        server
            .ask("POST", &path)
            .is_some_and(|(code, _)| code == 417)
    });
}
