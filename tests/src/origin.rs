//! A web server of one folder that misbehaves as it is told: an origin that somebody else runs.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::server::PATIENCE;

/// What it does instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It answers with this status and a text.
    Status(u16),
    /// It closes the connection without a word.
    Drop,
    /// It promises all of it, sends half, and closes the connection.
    Truncate,
    /// It sends half in one chunk, and closes the connection.
    TruncateChunked,
    /// It waits before it answers.
    Delay(Duration),
    /// It answers 200 with a page.
    Page,
    /// It answers 200 with nothing.
    Empty,
    /// It leads there.
    Redirect(String),
    /// It answers with what is in this file.
    Instead(PathBuf),
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// What it asked for, with the query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// How it was answered.
    pub status: u16,
}

impl Asked {
    /// A header, empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

#[derive(Debug)]
struct Planned {
    /// A part of the target that it concerns.
    part: String,
    fault: Fault,
    /// How often still.
    times: usize,
}

/// An origin. It serves until it is dropped.
#[derive(Debug, Clone)]
pub struct Origin {
    address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    is_down: AtomicBool,
    is_low_latency: AtomicBool,
    /// Headers that every answer carries.
    more: Mutex<String>,
    planned: Mutex<Vec<Planned>>,
    asked: Mutex<Vec<Asked>>,
    connections: Mutex<Vec<TcpStream>>,
    /// How many connections were made.
    made: std::sync::atomic::AtomicUsize,
}

impl Origin {
    /// Serves the files of a folder.
    ///
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            folder: folder.to_owned(),
            is_down: AtomicBool::new(false),
            is_low_latency: AtomicBool::new(false),
            more: Mutex::default(),
            planned: Mutex::default(),
            asked: Mutex::default(),
            connections: Mutex::default(),
            made: std::sync::atomic::AtomicUsize::new(0),
        });
        let serving = Arc::downgrade(&inner);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let Some(inner) = serving.upgrade() else {
                    return;
                };
                if inner.is_down.load(Ordering::SeqCst) {
                    continue;
                }
                inner.made.fetch_add(1, Ordering::SeqCst);
                if let Ok(other) = connection.try_clone() {
                    inner.connections.lock().unwrap().push(other);
                }
                std::thread::spawn(move || while inner.serve(&connection).is_some() {});
            }
        });
        Self { address, inner }
    }

    /// The address of a file.
    #[must_use]
    pub fn url(&self, file: &str) -> String {
        format!("http://{}/{file}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// So many requests whose target has this part in it are answered so.
    ///
    /// # Panics
    /// When it has failed before, as with all of these.
    pub fn plan(&self, part: &str, fault: Fault, times: usize) {
        self.inner.planned.lock().unwrap().push(Planned {
            part: part.to_owned(),
            fault,
            times,
        });
    }

    /// Faults that are still to come.
    #[must_use]
    pub fn planned(&self) -> usize {
        self.inner.planned.lock().unwrap().len()
    }

    /// It behaves from now on.
    pub fn behave(&self) {
        self.inner.planned.lock().unwrap().clear();
    }

    /// It is there, or not: then nobody is answered.
    pub fn set_down(&self, is_down: bool) {
        self.inner.is_down.store(is_down, Ordering::SeqCst);
        if is_down {
            for connection in self.inner.connections.lock().unwrap().drain(..) {
                let _ = connection.shutdown(std::net::Shutdown::Both);
            }
        }
    }

    /// Playlists say that it can wait for a segment, and leave out old ones; it does so where it is asked.
    pub fn be_low_latency(&self) {
        self.inner.is_low_latency.store(true, Ordering::SeqCst);
    }

    /// Headers that every answer carries from now on, each in a line.
    pub fn add_headers(&self, lines: &str) {
        *self.inner.more.lock().unwrap() = lines.to_owned();
    }

    /// The requests that came.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// Those whose target has this part in it.
    #[must_use]
    pub fn asked_for(&self, part: &str) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|one| one.target.contains(part));
        asked
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.inner.made.load(Ordering::SeqCst)
    }
}

impl Inner {
    /// One request; `None`: the connection is over.
    fn serve(&self, connection: &TcpStream) -> Option<()> {
        connection.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut reader = BufReader::new(connection);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut asked = Asked {
            method,
            target,
            headers,
            status: 0,
        };
        let fault = self.fault(&asked.target);
        let status = self.answer(connection, &asked, fault);
        asked.status = status.unwrap_or(0);
        self.asked.lock().unwrap().push(asked);
        status.map(drop)
    }

    fn fault(&self, target: &str) -> Option<Fault> {
        let mut planned = self.planned.lock().unwrap();
        let at = planned.iter().position(|one| target.contains(&one.part))?;
        let one = &mut planned[at];
        one.times -= 1;
        let fault = one.fault.clone();
        if one.times == 0 {
            planned.remove(at);
        }
        Some(fault)
    }

    /// The status, unless the connection is over.
    fn answer(&self, connection: &TcpStream, asked: &Asked, fault: Option<Fault>) -> Option<u16> {
        let mut out = connection;
        let name = asked.target.split('?').next()?.trim_start_matches('/');
        let mut path = self.folder.join(name.replace("%20", " "));
        match &fault {
            Some(Fault::Drop) => {
                let _ = connection.shutdown(std::net::Shutdown::Both);
                return None;
            }
            Some(Fault::Status(status)) => return self.text(out, *status, "text/plain", "", "no"),
            Some(Fault::Page) => {
                let page = "<!DOCTYPE html><title>Welcome</title>";
                return self.text(out, 200, "text/html", "", page);
            }
            Some(Fault::Empty) => return self.text(out, 200, "video/mp2t", "", ""),
            Some(Fault::Redirect(to)) => {
                let to = format!("Location: {to}\r\n");
                return self.text(out, 302, "text/plain", &to, "");
            }
            Some(Fault::Instead(other)) => path.clone_from(other),
            Some(Fault::Delay(pause)) => std::thread::sleep(*pause),
            Some(Fault::Truncate | Fault::TruncateChunked) | None => {}
        }
        let read = || std::fs::read(&path).ok().filter(|_| !name.contains(".."));
        let mut found = read();
        let is_playlist = name.ends_with(".m3u8");
        if is_playlist && self.is_low_latency.load(Ordering::SeqCst) {
            let wanted = asked.target.split("_HLS_msn=").nth(1);
            let wanted = wanted.and_then(|rest| rest.split('&').next()?.parse::<usize>().ok());
            let begun = std::time::Instant::now();
            let has = |text: &[u8]| wanted.is_none_or(|wanted| reaches(text) > wanted);
            while !found.as_deref().is_some_and(has) && begun.elapsed() < Duration::from_secs(3) {
                std::thread::sleep(Duration::from_millis(10));
                found = read();
            }
            let skips = asked.target.contains("_HLS_skip=YES");
            found = found.map(|text| offering(&text, skips));
        }
        let Some(body) = found else {
            return self.text(out, 404, "text/plain", "", "there is nothing");
        };
        let modified = std::fs::metadata(&path).and_then(|found| found.modified());
        let modified = modified.unwrap_or(UNIX_EPOCH);
        let etag = format!("\"{:x}-{:x}\"", nanos(modified), body.len());
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("m3u8") => "application/vnd.apple.mpegurl",
            Some("ts") => "video/mp2t",
            _ => "application/octet-stream",
        };
        let known = asked.header("if-none-match") == etag;
        let mut head = format!("ETag: {etag}\r\nContent-Type: {kind}\r\n");
        head.push_str(&self.more.lock().unwrap());
        if known && fault.is_none() {
            let head = format!("HTTP/1.1 304 Not Modified\r\n{head}\r\n");
            out.write_all(head.as_bytes()).ok()?;
            return Some(304);
        }
        let range = asked.header("range").strip_prefix("bytes=");
        let range = range.and_then(|range| {
            let (from, to) = range.split_once('-')?;
            Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))
        });
        let (status, body, more) = match range {
            Some((from, to)) if from < body.len() => {
                let to = to.min(body.len() - 1);
                let more = format!("Content-Range: bytes {from}-{to}/{}\r\n", body.len());
                (206, body[from..=to].to_vec(), more)
            }
            _ => (200, body, String::new()),
        };
        let half = body.len() / 2;
        if fault == Some(Fault::TruncateChunked) {
            let head = format!(
                "HTTP/1.1 {status} -\r\n{head}{more}Transfer-Encoding: chunked\r\n\r\n{half:x}\r\n"
            );
            out.write_all(head.as_bytes()).ok()?;
            out.write_all(&body[..half]).ok()?;
            let _ = connection.shutdown(std::net::Shutdown::Both);
            return None;
        }
        let head = format!(
            "HTTP/1.1 {status} -\r\n{head}{more}Content-Length: {}\r\n\r\n",
            body.len()
        );
        out.write_all(head.as_bytes()).ok()?;
        if fault == Some(Fault::Truncate) {
            out.write_all(&body[..half]).ok()?;
            let _ = connection.shutdown(std::net::Shutdown::Both);
            return None;
        }
        if asked.method != "HEAD" {
            out.write_all(&body).ok()?;
        }
        Some(status)
    }

    fn text(
        &self,
        mut out: &TcpStream,
        status: u16,
        kind: &str,
        head: &str,
        text: &str,
    ) -> Option<u16> {
        let answer = format!(
            "HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\n{head}{}Content-Length: {}\r\n\r\n{text}",
            self.more.lock().unwrap(),
            text.len()
        );
        out.write_all(answer.as_bytes()).ok()?;
        Some(status)
    }
}

/// The number behind that of the last segment of a playlist; one that has ended has them all.
fn reaches(playlist: &[u8]) -> usize {
    let text = String::from_utf8_lossy(playlist);
    if text.contains("#EXT-X-ENDLIST") {
        return usize::MAX;
    }
    let first = text.split("#EXT-X-MEDIA-SEQUENCE:").nth(1);
    let first = first.and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
    first.unwrap_or(0) + text.matches("#EXTINF").count()
}

/// A playlist that says what its server can do; without all but its last two segments, if need be.
fn offering(playlist: &[u8], skips: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(playlist);
    let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=6.0\n";
    let Some(head) = text.find("#EXT-X-PROGRAM-DATE-TIME") else {
        return text.into_owned().into_bytes();
    };
    let (head, body) = text.split_at(head);
    let segments: Vec<&str> = body.split_inclusive(".ts\n").collect();
    let ends = usize::from(body.contains("#EXT-X-ENDLIST"));
    let skipped = segments.len().saturating_sub(2 + ends);
    let mut text = format!("{head}{control}");
    if skips && skipped > 0 {
        text.push_str(&format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n"));
        text.push_str(&segments[skipped..].concat());
    } else {
        text.push_str(body);
    }
    text.into_bytes()
}

fn nanos(at: SystemTime) -> u128 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}
