//! What push promises: whatever a sender does with `PUT`, `POST` and `DELETE`, the stream is recorded as if a media
//! server had written it to disk, and plays from here.

mod senders;

use std::io::{Read, Write};
use std::time::Duration;

use clipmill_tests::listing::{Listed, Listing};
use clipmill_tests::replay::{Piece, pieces};
use clipmill_tests::server::try_request;
use clipmill_tests::writer::Plan;

use crate::recording::server::{MadeClip, Server};
use crate::recording::{DATE, PACE, assert_tiles, plan, wait_for_end};

/// So many segments are listed.
const WINDOW: usize = 6;

/// A sender of our own: all that real ones do, and what goes wrong with them.
struct Sender<'a> {
    server: &'a Server,
    listing: Listing,
    next: usize,
    date_us: u64,
}

/// How a file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Put,
    Post,
    /// In chunks of odd lengths.
    Chunked,
    /// In pieces, each by itself.
    Pieces,
}

impl<'a> Sender<'a> {
    fn new(server: &'a Server) -> Self {
        Self {
            server,
            listing: Listing::default(),
            next: 0,
            date_us: u64::try_from(DATE).unwrap() * 1000,
        }
    }

    /// Tries until the server takes it: it may be away, or not ready.
    fn send(&self, how: How, path: &str, body: &[u8]) -> u16 {
        let path = format!("/live/ingest/cam/{path}");
        if how == How::Pieces {
            return self.pieces(&path, body);
        }
        let plain = |method: &str| {
            let answer = try_request(self.server.address(), method, &path, &[], body);
            answer.map(|answer| answer.status).ok()
        };
        let status = std::cell::Cell::new(None);
        self.server.wait("taken", || {
            status.set(match how {
                How::Put => plain("PUT"),
                How::Post => plain("POST"),
                How::Chunked | How::Pieces => self.chunked(&path, body),
            });
            status.get().is_some_and(|status| status != 503)
        });
        status.get().unwrap()
    }

    /// As GStreamer does, but that it says when it is done.
    fn pieces(&self, path: &str, body: &[u8]) -> u16 {
        let (mut at, mut status) = (0, 0);
        for piece in body.chunks(body.len() / 3) {
            let end = at + piece.len();
            let total = match end == body.len() {
                true => end.to_string(),
                false => "*".to_owned(),
            };
            let range = format!("bytes {at}-{}/{total}", end - 1);
            let headers = [("Content-Range", range.as_str())];
            let headers = if at == 0 { &[][..] } else { &headers };
            let told = std::cell::Cell::new(503);
            self.server.wait("taken", || {
                let answer = try_request(self.server.address(), "PUT", path, headers, piece);
                answer.is_ok_and(|answer| told.replace(answer.status) != answer.status)
            });
            status = told.get();
            at = end;
        }
        status
    }

    fn chunked(&self, path: &str, body: &[u8]) -> Option<u16> {
        let mut connection = std::net::TcpStream::connect(self.server.address()).ok()?;
        let head = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        connection.write_all(head.as_bytes()).ok()?;
        for chunk in body.chunks(7001) {
            write!(connection, "{:x}\r\n", chunk.len()).ok()?;
            connection.write_all(chunk).ok()?;
            connection.write_all(b"\r\n").ok()?;
        }
        connection.write_all(b"0\r\n\r\n").ok()?;
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).ok()?;
        std::str::from_utf8(&answer[9..]).ok()?.parse().ok()
    }

    /// Sends half of it and is gone.
    fn break_off(&self, path: &str, body: &[u8], announced: bool) {
        let Ok(mut connection) = std::net::TcpStream::connect(self.server.address()) else {
            return;
        };
        let half = &body[..body.len() / 2];
        let length = match announced {
            true => format!("Content-Length: {}\r\n\r\n", body.len()),
            false => format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", half.len()),
        };
        let head = format!("PUT /live/ingest/cam/{path} HTTP/1.1\r\nHost: x\r\n{length}");
        let _ = connection.write_all(head.as_bytes());
        let _ = connection.write_all(half);
    }

    fn list(&mut self, piece: &Piece) -> String {
        let name = format!("seg{:05}.ts", self.next);
        self.listing.segments.push(Listed {
            name: name.clone(),
            micros: piece.micros,
            date_us: Some(self.date_us),
            ..Listed::default()
        });
        self.date_us += piece.micros;
        self.next += 1;
        name
    }

    /// What is listed no more.
    fn forget(&mut self) -> Vec<String> {
        let mut gone = Vec::new();
        while self.listing.segments.len() > WINDOW {
            gone.push(self.listing.segments.remove(0).name);
            self.listing.first += 1;
        }
        gone
    }

    fn playlist(&self, ended: bool) {
        let status = self.send(How::Put, "index.m3u8", self.listing.text(ended).as_bytes());
        assert!(matches!(status, 201 | 204), "{status}");
    }

    /// Sends a segment, each in another way.
    fn publish(&mut self, piece: &Piece) {
        let number = self.next;
        let name = self.list(piece);
        let gone = self.forget();
        if number % 3 == 2 {
            // It is listed before it comes.
            self.playlist(false);
        }
        if number % 4 == 1 {
            self.break_off(&name, &piece.bytes, number % 8 == 1);
        }
        let how = [How::Put, How::Post, How::Chunked, How::Pieces][number % 4];
        let status = self.send(how, &name, &piece.bytes);
        assert!(matches!(status, 201 | 204), "{name}: {status}");
        if number.is_multiple_of(5) {
            // As one does that had no answer.
            let again = [How::Chunked, How::Put][number % 2];
            assert_eq!(self.send(again, &name, &piece.bytes), 204);
        }
        self.playlist(false);
        for name in gone {
            let path = format!("/live/ingest/cam/{name}");
            self.server.wait("deleted", || {
                let answer = self.server.ask("DELETE", &path);
                answer.is_some_and(|(status, _)| status != 503)
            });
        }
    }
}

/// The clips of a stream that is over, of which so many NAL units of pictures came: the last one may be a while behind
/// its end.
fn clips_of(server: &Server, stream: &str, units: usize) -> Vec<MadeClip> {
    wait_for_end(server, stream);
    server.wait("the last clip", || {
        let clips = server.clips(stream);
        let found = clips.iter().flat_map(|clip| clip.video.iter().flatten());
        found.count() >= units
    });
    server.clips(stream)
}

fn units(pieces: &[Piece]) -> usize {
    let pictures = pieces.iter().flat_map(|piece| &piece.video);
    pictures.map(|picture| picture.content.len()).sum()
}

fn pushed(settings: &str) -> Server {
    let server = Server::start(&format!("interval_seconds = 3\n{settings}"));
    // What is pushed before is refused, and senders do not come again.
    server.wait("ready", || {
        server
            .get("/readyz")
            .is_some_and(|(status, _)| status == 200)
    });
    server
}

#[test]
fn whatever_a_sender_does_its_stream_is_tiled() {
    let server = pushed("");
    let pieces = pieces(&plan(), &[1, 2]);
    let mut sender = Sender::new(&server);
    for piece in &pieces {
        server.keep_up();
        sender.publish(piece);
        std::thread::sleep(PACE);
    }
    sender.playlist(true);
    let clips = clips_of(&server, "cam", units(&pieces));
    assert!(clips.len() >= 8, "{}", clips.len());
    // What clips needed of segments that were deleted they had.
    assert_tiles(&clips, &[&pieces]);
    assert!(clips.iter().all(|clip| clip.vod["gaps"].is_null()));
    server.assert_all_or_nothing();
    assert_eq!(server.told("cam", "liveStreamStarted"), 1);
    assert_eq!(server.told("cam", "liveStreamEnded"), 1);
    let left = crate::recording::server::names(&server.streams().join("cam"));
    let segments = left.iter().filter(|name| name.ends_with(".ts")).count();
    assert_eq!((segments, left.len()), (WINDOW, WINDOW + 1), "{left:?}");
}

#[test]
fn a_server_that_is_killed_while_somebody_pushes_loses_nothing() {
    let mut server = pushed("");
    let all = pieces(
        &Plan {
            groups: 48,
            ..plan()
        },
        &[1],
    );
    let mut done = 0;
    let mut sender = Sender::new(&server);
    let mut known = (sender.listing.clone(), sender.next, sender.date_us);
    for round in [7, 11, 13, 17] {
        (sender.listing, sender.next, sender.date_us) = known.clone();
        for piece in &all[done..done + round] {
            server.keep_up();
            sender.publish(piece);
            std::thread::sleep(PACE);
        }
        done += round;
        known = (sender.listing.clone(), sender.next, sender.date_us);
        if done < all.len() {
            // In the middle of a file.
            let name = format!("seg{:05}.ts", sender.next);
            sender.break_off(&name, &all[done].bytes, false);
            server.kill();
            std::thread::sleep(Duration::from_millis(200));
            server.run();
        }
        sender = Sender::new(&server);
    }
    (sender.listing, sender.next, sender.date_us) = known;
    sender.playlist(true);
    assert_tiles(&clips_of(&server, "cam", units(&all)), &[&all]);
    server.assert_all_or_nothing();
}

#[test]
fn the_streams_of_other_sources_are_left_alone() {
    let server = pushed("pull = [{ id = \"pulled\", url = \"http://127.0.0.1:1/x.m3u8\" }]");
    std::fs::write(server.streams().join("theirs.m3u8"), "#EXTM3U\n").unwrap();
    for (stream, status) in [("pulled", 409), ("theirs", 409), ("ours", 201)] {
        for method in ["PUT", "DELETE"] {
            let path = format!("/live/ingest/{stream}/a.ts");
            let answer = try_request(server.address(), method, &path, &[], b"x").unwrap();
            let expected = if method == "DELETE" && status == 201 {
                204
            } else {
                status
            };
            assert_eq!(answer.status, expected, "{method} {stream}");
        }
    }
    assert_eq!(
        std::fs::read(server.streams().join("theirs.m3u8")).unwrap(),
        b"#EXTM3U\n"
    );
}

#[test]
fn streams_may_have_tokens_of_their_own() {
    let server = pushed("ingest_token = \"s\"\ningest_tokens = { cam = \"own\" }");
    for (stream, token, allowed) in [
        ("cam", "own", true),
        ("cam", "s", false),
        ("other", "s", true),
        ("other", "own", false),
    ] {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        let path = format!("/live/ingest/{stream}/a.ts");
        let address = server.address();
        let answer = clipmill_tests::server::request(address, "PUT", &path, &headers, "x");
        assert_eq!(
            matches!(answer.status, 201 | 204),
            allowed,
            "{stream} {token}"
        );
        assert!(allowed || answer.status == 401);
    }
}

#[test]
fn a_connection_stays_open_for_whoever_pushes_as_long_as_its_lengths_are_clear() {
    let server = pushed("ingest_token = \"s\"");
    let answers = |head: &str, token: &str| {
        let mut connection = server.connect();
        let put = format!(
            "PUT /live/ingest/cam/a.ts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{head}\r\n1\r\nx\r\n0\r\n\r\n"
        );
        let last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        connection
            .write_all(format!("{put}{last}").as_bytes())
            .unwrap();
        let mut answer = String::new();
        let _ = connection.read_to_string(&mut answer);
        answer.matches("HTTP/1.1 ").count()
    };
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_eq!(answers(chunked, "s"), 2);
    assert_eq!(answers(chunked, "other"), 1);
    for odd in [
        format!("{chunked}Content-Length: 11\r\n"),
        format!("Content-Length: 11\r\n{chunked}"),
        format!("{chunked}Transfer-Encoding: identity\r\n"),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
    ] {
        assert_eq!(answers(&odd, "s"), 1, "{odd}");
    }
}
