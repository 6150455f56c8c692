//! A web server of one folder on the loopback address, with byte ranges.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Serves until it is dropped.
#[derive(Debug)]
pub struct FileServer {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl FileServer {
    /// Serves the files of `folder`.
    ///
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (folder, stop) = (folder.to_owned(), Arc::clone(&ended));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let folder = folder.clone();
                std::thread::spawn(move || serve(&connection, &folder));
            }
        });
        Self { address, ended }
    }

    /// The address of a file.
    #[must_use]
    pub fn url(&self, file: &str) -> String {
        format!("http://{}/{file}", self.address)
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// One request, one answer, one connection. A client that hangs up early is no failure.
fn serve(connection: &TcpStream, folder: &Path) -> Option<()> {
    let mut lines = BufReader::new(connection).lines().map_while(Result::ok);
    let request = lines.next()?;
    let mut range = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range = parse_range(bytes);
        }
    }
    let mut connection = connection;
    let mut words = request.split(' ');
    let head_only = words.next()? == "HEAD";
    let name = words.next()?.trim_start_matches('/');
    let path: PathBuf = folder.join(name);
    let Some(mut file) = std::fs::File::open(&path)
        .ok()
        .filter(|_| !name.contains(".."))
    else {
        let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return connection.write_all(answer.as_bytes()).ok();
    };
    let len = file.metadata().ok()?.len();
    let (status, start, end) = match range {
        Some((start, end)) if start < len => (
            "206 Partial Content",
            start,
            end.map_or(len, |e| (e + 1).min(len)),
        ),
        _ => ("200 OK", 0, len),
    };
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("mp4") => "video/mp4",
        Some("html") => "text/html",
        Some("m3u8") => "application/vnd.apple.mpegurl",
        _ => "application/octet-stream",
    };
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\nConnection: close\r\n",
        end - start
    );
    if status.starts_with("206") {
        answer.push_str(&format!(
            "Content-Range: bytes {start}-{}/{len}\r\n",
            end - 1
        ));
    }
    answer.push_str("\r\n");
    connection.write_all(answer.as_bytes()).ok()?;
    if !head_only {
        file.seek(SeekFrom::Start(start)).ok()?;
        std::io::copy(&mut file.take(end - start), &mut connection).ok()?;
    }
    Some(())
}

fn parse_range(bytes: &str) -> Option<(u64, Option<u64>)> {
    let (start, end) = bytes.trim().split_once('-')?;
    Some((start.parse().ok()?, end.parse().ok()))
}
