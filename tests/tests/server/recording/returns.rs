//! Nothing twice and nothing lost, whatever the playlist says: senders that pause and return into the
//! same playlist, numbers that are wrong, names that come back, and a server that was restarted
//! meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use clipmill_tests::listing::{Listed, Listing, date_of, replace};
use clipmill_tests::replay::{Piece, pieces};
use clipmill_tests::tools::installed;
use clipmill_tests::writer::Plan;

use super::server::{MadeClip, Server};
use super::{DATE, PACE, assert_same, plan, wait_for_end};

/// Counts segments that are dealt with.
const DEALT_WITH: &str = "clipmill_segments_indexed_total";

pub(crate) struct Sender {
    folder: PathBuf,
    id: String,
    pub(crate) listed: Vec<Listed>,
    /// When the next segment begins, in microseconds since 1970, where segments are dated.
    date_us: Option<u64>,
    /// Number of the first one.
    pub(crate) first: u64,
    /// So many are listed; more are forgotten, their files stay.
    window: usize,
    /// Whether numbers follow the list.
    pub(crate) counts: bool,
    /// What stands before the segments that are listed from now on.
    pub(crate) tags: String,
}

impl Sender {
    pub(crate) fn new(server: &Server, id: &str, window: usize) -> Self {
        Self {
            folder: server.streams(),
            id: id.to_owned(),
            listed: Vec::new(),
            date_us: None,
            first: 0,
            window,
            counts: true,
            tags: String::new(),
        }
    }

    /// Segments are dated, from this instant on.
    pub(crate) fn dated(mut self, date_ms: i64) -> Self {
        self.date_us = Some(u64::try_from(date_ms).unwrap() * 1000);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Lists a segment, whose file may or may not be there.
    pub(crate) fn list(&mut self, name: &str, micros: u64, discontinuity: bool) {
        self.listed.push(Listed {
            name: name.to_owned(),
            micros,
            discontinuity,
            date_us: self.date_us,
            tags: self.tags.clone(),
        });
        self.date_us = self.date_us.map(|date| date + micros);
        while self.listed.len() > self.window {
            self.listed.remove(0);
            self.first += u64::from(self.counts);
        }
        self.write(false);
    }

    /// Writes a segment, then lists it.
    pub(crate) fn publish(&mut self, name: &str, piece: &Piece, discontinuity: bool) {
        fs::write(self.path(name), &piece.bytes).unwrap();
        self.list(name, piece.micros, discontinuity);
        std::thread::sleep(PACE);
    }

    /// Publishes segments under names with numbers; the first one has a discontinuity before it.
    /// However slow the server is, none is gone before it was seen.
    fn play(&mut self, server: &Server, number: usize, pieces: &[Piece]) {
        for (n, piece) in pieces.iter().enumerate() {
            server.keep_up();
            let name = format!("{}{}.ts", self.id, number + n);
            self.publish(&name, piece, n == 0);
        }
    }

    pub(crate) fn write(&self, ended: bool) {
        let listing = Listing {
            first: self.first,
            segments: self.listed.clone(),
            ..Listing::default()
        };
        replace(
            &self.path(&format!("{}.m3u8", self.id)),
            &listing.text(ended),
        );
    }
}

/// Media that can be told from that of every other number.
pub(crate) fn media(number: u64, groups: usize) -> Vec<Piece> {
    let plan = Plan {
        groups,
        weight: 40 + 7 * usize::try_from(number).unwrap(),
        start: 1_000_000 * (number + 1),
        ..plan()
    };
    pieces(&plan, &[1])
}

/// The clips hold these pictures and this sound, in the order in which they were made, each once.
fn assert_once(server: &Server, stream: &str, all: &[&[Piece]]) -> Vec<MadeClip> {
    let mut clips = server.clips(stream);
    clips.sort_by_key(|clip| clip.vod["creationDate"].as_i64());
    let found: Vec<_> = clips.iter().flat_map(|clip| clip.video.clone()).collect();
    let pictures = all.iter().copied().flatten().flat_map(|piece| &piece.video);
    let pictures: Vec<_> = pictures.map(|unit| unit.content.clone()).collect();
    assert_same(&found, &pictures, "pictures");
    server.assert_all_or_nothing();
    clips
}

/// What a sender does about its numbers when it returns.
#[derive(Debug, Clone, Copy)]
enum Numbers {
    GoOn,
    FromZero,
    BackByThree,
    FarAhead,
    AllTheSame,
}

#[test]
fn a_sender_that_returns_into_its_playlist_is_recorded_once() {
    use Numbers::{AllTheSame, BackByThree, FarAhead, FromZero, GoOn};
    let numbers = [GoOn, FromZero, BackByThree, FarAhead, AllTheSame];
    let mut server = Server::start("interval_seconds = 3\n");
    let mut senders: Vec<_> = numbers
        .iter()
        .map(|numbers| Sender::new(&server, &format!("{numbers:?}"), 6))
        .collect();
    let parts: Vec<_> = (0..3).map(|n| media(n, 12)).collect();
    for (round, part) in parts.iter().enumerate() {
        for (sender, numbers) in senders.iter_mut().zip(numbers) {
            sender.counts = !matches!(numbers, AllTheSame);
            match numbers {
                GoOn | AllTheSame => {}
                FromZero => sender.first = 0,
                BackByThree => sender.first = sender.first.saturating_sub(3),
                FarAhead => sender.first += 1000,
            }
            sender.play(&server, 100 * round, part);
            sender.write(true);
            wait_for_end(&server, &sender.id);
        }
        // Once while the server runs, once while it does not.
        if round == 1 {
            server.stop();
            server.run();
        }
    }
    for sender in &senders {
        let all: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        assert_once(&server, &sender.id, &all);
    }
}

#[test]
fn a_name_that_is_written_anew_is_new_media() {
    let mut server = Server::start("interval_seconds = 3\n");
    let parts: Vec<_> = (0..3).map(|n| media(n, 10)).collect();
    let mut sender = Sender::new(&server, "cam", 12);
    sender.play(&server, 0, &parts[0]);
    sender.write(true);
    wait_for_end(&server, "cam");
    // The last name of before, under its old number, and on from there.
    sender.listed.pop();
    sender.play(&server, 9, &parts[1]);
    sender.write(true);
    wait_for_end(&server, "cam");
    server.kill();
    sender.listed.pop();
    for (n, piece) in parts[2].iter().enumerate() {
        sender.publish(&format!("cam{}.ts", 18 + n), piece, n == 0);
    }
    server.run();
    server.wait("live", || server.told("cam", "liveStreamStarted") == 3);
    sender.write(true);
    wait_for_end(&server, "cam");
    let all: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    assert_once(&server, "cam", &all);
}

#[test]
fn a_pause_is_said_once_silence_has_ended_the_session() {
    let server = Server::start("interval_seconds = 600\n");
    let parts: Vec<_> = (0..2).map(|n| media(n, 8)).collect();
    let mut sender = Sender::new(&server, "cam", 6);
    sender.play(&server, 0, &parts[0]);
    // It says nothing more.
    wait_for_end(&server, "cam");
    sender.play(&server, 8, &parts[1]);
    sender.write(true);
    server.wait("over again", || server.vods().len() == 2);
    wait_for_end(&server, "cam");
    let clips = assert_once(&server, "cam", &[&parts[0], &parts[1]]);
    assert!(clips[0].vod["gaps"].is_null(), "{}", clips[0].vod);
    let gaps = clips[1].vod["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let ended = super::intervals(&clips[..1])[0];
    let ended = Duration::from_millis(u64::try_from(ended.0 + ended.1).unwrap());
    let ended = date_of(UNIX_EPOCH + ended).replace("+0000", "Z");
    assert_eq!(gaps[0]["from"], ended);
    assert_eq!(server.told("cam", "liveStreamStarted"), 2);
}

/// Clips are 3 s long, groups of pictures 0.48 s: the boundary lies in front of the pause, in it, and behind it.
#[test]
fn a_pause_in_a_session_is_in_one_clip() {
    const PAUSE_MS: i64 = 20_000;
    let server = Server::start("interval_seconds = 3\n");
    for groups in [5, 6, 7, 8] {
        let parts = [media(0, groups), media(1, 8)];
        let id = format!("cam{groups}");
        let mut sender = Sender::new(&server, &id, 40).dated(DATE);
        sender.play(&server, 0, &parts[0]);
        sender.date_us = sender.date_us.map(|date| date + 1000 * PAUSE_MS as u64);
        sender.play(&server, groups, &parts[1]);
        sender.write(true);
        wait_for_end(&server, &id);
        let clips = assert_once(&server, &id, &[&parts[0], &parts[1]]);
        let gaps = clips
            .iter()
            .flat_map(|clip| super::missing::gaps(&clip.vod));
        let gaps: Vec<_> = gaps.collect();
        let begins = 480 * groups as i64;
        let [(from, to)] = gaps.as_slice() else {
            let vods: Vec<_> = clips.iter().map(|clip| clip.vod.to_string()).collect();
            panic!("{groups}: {gaps:?} {vods:#?}");
        };
        assert!((from - begins).abs() <= 41, "{gaps:?}");
        assert!((to - begins - PAUSE_MS).abs() <= 41, "{gaps:?}");
        assert_eq!(server.told(&id, "liveStreamStarted"), 1);
    }
}

#[test]
fn a_segment_that_is_listed_twice_is_taken_once() {
    let server = Server::start("interval_seconds = 3\n");
    let part = media(0, 14);
    let mut sender = Sender::new(&server, "cam", 20);
    for (piece, n) in part.iter().zip(0..) {
        let name = format!("cam{n}.ts");
        sender.publish(&name, piece, false);
        if n % 4 == 2 {
            sender.list(&name, piece.micros, false);
        }
    }
    sender.write(true);
    wait_for_end(&server, "cam");
    assert_once(&server, "cam", &[&part]);
    assert_eq!(server.log().matches("is listed twice").count(), 3);
    assert_eq!(server.told("cam", "liveStreamStarted"), 1);
}

#[test]
fn a_loop_that_says_so_is_recorded_as_often_as_it_is_shown() {
    let server = Server::start("interval_seconds = 3\n");
    let part = media(0, 2);
    let mut sender = Sender::new(&server, "cam", 6);
    sender.play(&server, 0, &part);
    for _ in 0..4 {
        for (n, piece) in part.iter().enumerate() {
            let before = server.counted(DEALT_WITH);
            sender.list(&format!("cam{n}.ts"), piece.micros, n == 0);
            server.wait("taken in", || server.counted(DEALT_WITH) > before);
        }
    }
    sender.write(true);
    wait_for_end(&server, "cam");
    assert_once(&server, "cam", &[part.as_slice(); 5]);
}

#[test]
fn a_playlist_is_replaced_by_one_that_overlaps_it() {
    let server = Server::start("interval_seconds = 3\n");
    let (one, other) = (media(0, 12), media(1, 12));
    let mut sender = Sender::new(&server, "cam", 8);
    sender.play(&server, 0, &one);
    server.wait_for_segments(12);
    // Another server took over a while ago: some of its segments are those of the first.
    let mut second = Sender::new(&server, "cam", 20);
    second.first = 3;
    second.listed = sender.listed[2..5].to_vec();
    second.play(&server, 500, &other);
    second.write(true);
    wait_for_end(&server, "cam");
    assert_once(&server, "cam", &[&one, &other]);
}

/// How often each picture is in the clips of a stream.
fn pictures(server: &Server, stream: &str) -> BTreeMap<Vec<Vec<u8>>, usize> {
    let mut times = BTreeMap::new();
    for picture in server.clips(stream).into_iter().flat_map(|clip| clip.video) {
        *times.entry(picture).or_default() += 1;
    }
    times
}

/// Arguments of ffmpeg for so many seconds of live media, which no other `seed` gives.
fn source(seconds: u32, seed: u32) -> Vec<String> {
    let text = format!(
        "-v error -nostdin -re -f lavfi -i testsrc=size=160x90:rate=25 \
         -re -f lavfi -i sine=frequency={}:sample_rate=48000 -t {seconds} \
         -vf noise=alls=30:all_seed={seed}:allf=t -c:v libx264 -preset ultrafast -g 25 -bf 2 \
         -threads 1 -c:a aac",
        300 + 10 * seed
    );
    text.split_whitespace().map(str::to_owned).collect()
}

fn ffmpeg(seconds: u32, seed: u32, output: &[&str]) -> Child {
    let mut command = Command::new("ffmpeg");
    command.args(source(seconds, seed)).args(output);
    command.spawn().unwrap()
}

#[test]
fn ffmpeg_that_appends_to_its_list_is_recorded_once() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let server = Server::start("interval_seconds = 3\n");
    let lists = [
        ("ended", "append_list", 1),
        ("silent", "append_list+omit_endlist", 7),
        ("quick", "append_list+omit_endlist", 1),
    ];
    let folder = server.streams();
    std::thread::scope(|scope| {
        for (id, flags, pause) in lists {
            let playlist = folder.join(format!("{id}.m3u8"));
            scope.spawn(move || {
                for seed in 0..3 {
                    let output = [
                        "-f",
                        "hls",
                        "-hls_time",
                        "1",
                        "-hls_list_size",
                        "5",
                        "-hls_flags",
                        flags,
                        playlist.to_str().unwrap(),
                    ];
                    assert!(ffmpeg(5, seed, &output).wait().unwrap().success());
                    std::thread::sleep(Duration::from_secs(pause));
                }
            });
        }
    });
    for (id, ..) in lists {
        wait_for_end(&server, id);
        let times = pictures(&server, id);
        let twice = times.values().filter(|times| **times > 1).count();
        assert_eq!((times.len(), twice), (375, 0), "{id}");
    }
}

/// nginx with its RTMP module, as long as it lives.
struct Nginx(Child);

impl Nginx {
    fn start(folder: &Path, streams: &Path, port: u16) -> Option<Self> {
        let module = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
        if !Path::new(module).is_file() || !installed(&["nginx", "ffmpeg"]) {
            eprintln!("skipped: nginx with its RTMP module is not installed");
            return None;
        }
        let text = format!(
            "load_module {module};\ndaemon off;\nmaster_process off;\n\
             error_log {folder}/error.log;\npid {folder}/nginx.pid;\n\
             events {{ worker_connections 64; }}\n\
             rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{\n\
             live on; hls on; hls_path {streams}; hls_fragment 1s; hls_playlist_length 5s;\n\
             hls_continuous on; hls_cleanup off; }} }} }}\n",
            folder = folder.display(),
            streams = streams.display(),
        );
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&configuration).stderr(Stdio::null());
        Some(Self(command.spawn().unwrap()))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nginx_whose_publisher_returns_is_recorded_once() {
    let server = Server::start("interval_seconds = 3\n");
    let folder = tempfile::tempdir().unwrap();
    let port = clipmill_tests::server::free_address().port();
    let Some(_nginx) = Nginx::start(folder.path(), &server.streams(), port) else {
        return;
    };
    let url = format!("rtmp://127.0.0.1:{port}/live/cam");
    let mut published = 0;
    for (seed, pause) in [(1, 7), (2, 1), (3, 7)] {
        // It may not listen yet, or not have let go of the publisher before.
        let begun = std::time::Instant::now();
        while !ffmpeg(5, seed, &["-f", "flv", &url])
            .wait()
            .unwrap()
            .success()
        {
            assert!(begun.elapsed() < clipmill_tests::server::PATIENCE);
            std::thread::sleep(Duration::from_millis(200));
        }
        published += 125;
        std::thread::sleep(Duration::from_secs(pause));
    }
    wait_for_end(&server, "cam");
    let times = pictures(&server, "cam");
    let twice = times.values().filter(|times| **times > 1).count();
    assert_eq!(twice, 0);
    // How a connection ends decides whether the module lists the last frames.
    let listed = published - times.len();
    assert!(listed <= 3 * 25, "{listed} are missing");
}
