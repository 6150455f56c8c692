//! Encrypted streams: keys that are wrong for a time, late, or of a kind that is not known. What they do not
//! fit is a gap, nothing of it is in a clip, and what they fit is recorded.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clipmill_tests::http::FileServer;
use clipmill_tests::mux::{self, Stream};
use clipmill_tests::replay::Piece;
use clipmill_tests::sample_aes::Key;

use super::missing::gaps;
use super::returns::Sender;
use super::server::{Server, read_clip};
use super::{DATE, asked, assert_same, range, wait_for_end};

/// How long each of the segments is, in milliseconds.
const LENGTH: i64 = 2000;

pub(crate) fn key(number: u8) -> Key {
    Key {
        key: [number; 16],
        iv: [0x5a; 16],
    }
}

pub(crate) fn tag(method: &str, uri: &str) -> String {
    let iv: String = key(0).iv.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("#EXT-X-KEY:METHOD={method},URI=\"{uri}\",IV=0x{iv}\n")
}

/// The pictures of the demo, which real encoders made, as samples tell their key by what decodes. There is no
/// sound that would tell it.
pub(crate) fn demo() -> Vec<Vec<Stream>> {
    let of = |number: usize| {
        let path = format!("../fixtures/demo/seg{number:02}.ts");
        let segment = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let mut streams = mux::streams(&segment);
        streams.retain(|stream| stream.stream_type == 0x1b);
        streams
    };
    (0..10).map(of).collect()
}

fn piece(bytes: Vec<u8>) -> Piece {
    Piece {
        bytes,
        micros: 1000 * LENGTH.unsigned_abs(),
        video: Vec::new(),
        audio: Vec::new(),
    }
}

pub(crate) fn encrypted(streams: &[Stream], method: &str, key: &Key) -> Piece {
    if method == "SAMPLE-AES" {
        let mut streams = streams.to_vec();
        streams.iter_mut().for_each(|stream| key.encrypt(stream));
        return piece(mux::segment(&streams));
    }
    let mut bytes = mux::segment(streams);
    let padding = 16 - bytes.len() % 16;
    bytes.resize(bytes.len() + padding, padding as u8);
    key.whole(&mut bytes);
    piece(bytes)
}

type Pictures = Vec<Vec<Vec<u8>>>;

/// What was recorded of a stream, and how many milliseconds of it are said to be missing.
fn recorded(server: &Server, id: &str) -> (Pictures, i64) {
    let clips = server.clips(id);
    let said = clips.iter().flat_map(|clip| gaps(&clip.vod));
    let missing = said.map(|(from, to)| to - from).sum();
    (
        clips.into_iter().flat_map(|clip| clip.video).collect(),
        missing,
    )
}

/// The pictures of each segment, as they are recorded where nothing is encrypted.
fn clear(server: &Server, demo: &[Vec<Stream>]) -> Vec<Pictures> {
    let mut sender = Sender::new(server, "clear", 100).dated(DATE);
    for (n, streams) in demo.iter().enumerate() {
        sender.publish(
            &format!("clear{n}.ts"),
            &piece(mux::segment(streams)),
            false,
        );
    }
    sender.write(true);
    wait_for_end(server, "clear");
    let (mut all, missing) = recorded(server, "clear");
    assert_eq!(missing, 0);
    let counts = demo.iter().map(|streams| streams[0].pes.len());
    let found = counts.map(|count| all.drain(..count).collect()).collect();
    assert!(all.is_empty());
    found
}

/// Exactly these segments were recorded, and the others are said to be missing.
fn assert_recorded(server: &Server, id: &str, clear: &[Pictures], there: impl Fn(usize) -> bool) {
    let (found, missing) = recorded(server, id);
    let wanted = clear.iter().enumerate().filter(|(n, _)| there(*n));
    let wanted: Pictures = wanted.flat_map(|(_, pictures)| pictures.clone()).collect();
    assert_same(&found, &wanted, id);
    let lost = LENGTH * (0..clear.len()).filter(|n| !there(*n)).count() as i64;
    assert!((missing - lost).abs() <= 100, "{id}: {missing} of {lost}");
}

/// Lines of the log that say this of a stream.
fn said(server: &Server, id: &str, what: &str) -> usize {
    let log = server.log();
    let lines = log.lines();
    lines
        .filter(|line| line.contains(id) && line.contains(what))
        .count()
}

#[test]
fn what_a_key_does_not_fit_is_a_gap_until_the_key_is_put_right() {
    let server = Server::start("interval_seconds = 4\nsegment_patience = \"300ms\"\n");
    let demo = demo();
    let clear = clear(&server, &demo);
    for (id, method) in [("samples", "SAMPLE-AES"), ("whole", "AES-128")] {
        let (first, second) = (key(1), key(2));
        let before = server.counted("clipmill_segments_indexed_total");
        let file = server.streams().join(format!("{id}.key"));
        fs::write(&file, first.key).unwrap();
        let mut sender = Sender::new(&server, id, 100).dated(DATE);
        sender.tags = tag(method, &format!("{id}.key"));
        let lost = |n: &usize| (2..5).contains(n);
        for (n, streams) in demo.iter().enumerate() {
            if n == 7 {
                // Three are given up, as the key that lies there is not theirs, and the two behind them are
                // taken.
                server.wait_for_segments(before + 7);
                assert_eq!(
                    said(&server, id, "a segment is lost"),
                    3,
                    "{}",
                    server.log()
                );
                fs::write(&file, second.key).unwrap();
            }
            let own = if lost(&n) || n >= 7 { &second } else { &first };
            sender.publish(
                &format!("{id}{n}.ts"),
                &encrypted(streams, method, own),
                false,
            );
        }
        sender.write(true);
        wait_for_end(&server, id);
        assert_recorded(&server, id, &clear, |n| !lost(&n));
        // Of each of them once, however often it was looked at.
        assert_eq!(
            said(&server, id, "a segment is lost"),
            3,
            "{}",
            server.log()
        );
        assert_eq!(
            said(&server, id, "does not fit: wrong key"),
            3,
            "{}",
            server.log()
        );

        // All of it once more, of what is listed still and with the key that lies there now: no noise either,
        // and what is not there is said.
        let call = range(0, 10 * LENGTH).replace("cam/", &format!("{id}/"));
        let vod = asked(&server, &call);
        let told: i64 = gaps(&vod).iter().map(|(from, to)| to - from).sum();
        let made = read_clip(&fs::read(server.path_of(&vod)).unwrap(), vod);
        let known: Vec<_> = clear.iter().flatten().collect();
        assert!(made.video.iter().all(|picture| known.contains(&picture)));
        let held = 40 * made.video.len() as i64;
        assert!(
            held > 0 && (held + told - 10 * LENGTH).abs() <= 100,
            "{held} {told}"
        );
    }
    server.assert_all_or_nothing();
}

/// Segments that are listed before their key can be had.
#[test]
fn a_key_that_is_late_is_waited_for() {
    let server = Server::start("interval_seconds = 4\nsegment_patience = \"60s\"\n");
    let demo = demo();
    let clear = clear(&server, &demo);
    let folder = tempfile::tempdir().unwrap();
    let keys = FileServer::new(folder.path());
    // Not there, nothing yet, of another stream.
    for (id, before) in [
        ("absent", None),
        ("empty", Some(vec![])),
        ("other", Some(vec![9; 16])),
    ] {
        let (name, own) = (format!("{id}.key"), key(1));
        if let Some(before) = &before {
            fs::write(folder.path().join(&name), before).unwrap();
        }
        let mut sender = Sender::new(&server, id, 100).dated(DATE);
        sender.tags = tag("SAMPLE-AES", &keys.url(&name));
        let path = folder.path().join(&name);
        for (n, streams) in demo.iter().enumerate() {
            let name = format!("{id}{n}.ts");
            sender.publish(&name, &encrypted(streams, "SAMPLE-AES", &own), false);
            if n == 4 {
                std::thread::sleep(Duration::from_millis(500));
                fs::write(&path, own.key).unwrap();
            }
        }
        sender.write(true);
        wait_for_end(&server, id);
        assert_recorded(&server, id, &clear, |_| true);
        assert_eq!(
            said(&server, id, "a segment is lost"),
            0,
            "{}",
            server.log()
        );
    }
}

/// Where an advertisement, or the programme around it, is encrypted in a way that is not known.
#[test]
fn methods_that_are_not_known_are_gaps_among_what_is_clear() {
    let server = Server::start("interval_seconds = 4\n");
    let demo = demo();
    let clear = clear(&server, &demo);
    let lost = |n: &usize| [2, 3, 6].contains(n);
    let mut sender = Sender::new(&server, "mixed", 100).dated(DATE);
    for (n, streams) in demo.iter().enumerate() {
        sender.tags = match n {
            n if lost(&n) => tag("SAMPLE-AES-CTR", "skd://a"),
            n if n % 2 == 1 => tag("AES-128", "mixed.key"),
            _ => "#EXT-X-KEY:METHOD=NONE\n".to_owned(),
        };
        fs::write(server.streams().join("mixed.key"), key(1).key).unwrap();
        let piece = match n % 2 {
            1 => encrypted(streams, "AES-128", &key(1)),
            _ => piece(mux::segment(streams)),
        };
        sender.publish(&format!("mixed{n}.ts"), &piece, false);
    }
    sender.write(true);
    wait_for_end(&server, "mixed");
    assert_recorded(&server, "mixed", &clear, |n| !lost(&n));
    // Once for each time that it begins.
    assert_eq!(
        said(&server, "mixed", "METHOD=SAMPLE-AES-CTR"),
        2,
        "{}",
        server.log()
    );
}

/// Gives the same key by any name, over connections that stay.
#[derive(Clone, Default)]
struct Keys {
    connections: Arc<AtomicUsize>,
    /// Somebody asked for `held`.
    asked: Arc<AtomicBool>,
    /// That may be answered.
    let_go: Arc<AtomicBool>,
    /// It was answered as it had been asked for too long ago.
    hung: Arc<AtomicBool>,
}

impl Keys {
    /// As long as somebody waits for who waits for a key.
    const LONGEST: Duration = Duration::from_secs(20);

    fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let keys = self.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                keys.connections.fetch_add(1, Ordering::SeqCst);
                let keys = keys.clone();
                std::thread::spawn(move || keys.answer(&connection));
            }
        });
        address
    }

    fn answer(&self, mut connection: &TcpStream) {
        let mut lines = BufReader::new(connection).lines().map_while(Result::ok);
        while let Some(request) = lines.next() {
            for _ in lines.by_ref().take_while(|line| !line.is_empty()) {}
            if request.contains("/held.key") {
                self.asked.store(true, Ordering::SeqCst);
                let since = Instant::now();
                while !self.let_go.load(Ordering::SeqCst) {
                    if since.elapsed() > Self::LONGEST {
                        self.hung.store(true, Ordering::SeqCst);
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n".to_vec();
            answer.extend(key(1).key);
            if connection.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

/// Whoever wants a clip does not wait while a segment is read; and all keys come over one connection.
#[test]
fn a_clip_is_made_while_a_key_is_waited_for() {
    let server = Server::start("interval_seconds = 600\n");
    let keys = Keys::default();
    let address = keys.start();
    let demo = demo();
    let mut sender = Sender::new(&server, "slow", 100).dated(DATE);
    for (n, streams) in demo.iter().enumerate().take(6) {
        let name = if n == 5 {
            "held".to_owned()
        } else {
            n.to_string()
        };
        sender.tags = tag("AES-128", &format!("http://{address}/{name}.key"));
        let piece = encrypted(streams, "AES-128", &key(1));
        sender.publish(&format!("slow{n}.ts"), &piece, false);
    }
    server.wait("the key is asked for", || keys.asked.load(Ordering::SeqCst));
    let clip = "/live/rest/clip-creator/mp4/slow";
    let (status, body) = server.ask("POST", clip).unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert!(!keys.hung.load(Ordering::SeqCst), "it waited for the key");
    let lengths = || {
        let vods = server.vods().into_iter();
        let mut lengths: Vec<_> = vods
            .map(|vod| vod["duration"].as_i64().unwrap())
            .map(|length| (length + LENGTH / 2) / LENGTH)
            .collect();
        lengths.sort_unstable();
        lengths
    };
    assert_eq!(lengths(), [5]);
    keys.let_go.store(true, Ordering::SeqCst);
    sender.write(true);
    wait_for_end(&server, "slow");
    assert_eq!(lengths(), [5, 6]);
    assert_eq!(keys.connections.load(Ordering::SeqCst), 1);
}
