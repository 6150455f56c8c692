//! An HTTP client that tells when the answer began.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// No answer may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer whose body was counted and thrown away, but for its beginning.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    /// The first bytes of the body.
    pub(super) begin: Vec<u8>,
    /// How long the body was.
    pub(super) bytes: u64,
    /// Seconds until its first byte, counted from before connecting.
    pub(super) first_byte: f64,
    /// Seconds until its last byte.
    pub(super) whole: f64,
}

impl Answer {
    /// A header, empty when it is not there.
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// Asks on a connection of its own, and reads the answer to its end, or only its first bytes.
pub(super) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    all: bool,
) -> std::io::Result<Answer> {
    let begun = Instant::now();
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_nodelay(true)?;
    connection.write_all(
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        .as_bytes(),
    )?;
    let mut reader = BufReader::with_capacity(1 << 18, connection);
    let mut answer = Answer::default();
    let mut line = String::new();
    reader.read_line(&mut line)?;
    answer.status = line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| std::io::Error::other(format!("no answer but {line:?}")))?;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let header = (name.to_lowercase(), value.trim().to_owned());
        answer.headers.push(header);
    }
    let length = answer.header("content-length").parse::<u64>().ok();
    let first = reader.fill_buf()?;
    answer.first_byte = begun.elapsed().as_secs_f64();
    answer.begin = first[..first.len().min(4096)].to_vec();
    if !all {
        answer.bytes = length.unwrap_or(0);
        return Ok(answer);
    }
    loop {
        let len = reader.fill_buf()?.len();
        if len == 0 {
            break;
        }
        answer.bytes += len as u64;
        reader.consume(len);
    }
    answer.whole = begun.elapsed().as_secs_f64();
    if length.is_some_and(|length| length != answer.bytes) {
        return Err(std::io::Error::other("the body is not as long as promised"));
    }
    Ok(answer)
}

/// The body of a small answer.
pub(super) fn text(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    // HTTP/1.0 has no chunks.
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (_, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| std::io::Error::other("no answer"))?;
    Ok(body.to_owned())
}
