use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::thread;

use super::*;

/// Answers one request after the other with what was given to it, and notes the requests. A
/// connection serves one request; `None` closes it without an answer.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

fn serve<A: Into<Option<String>>>(answers: impl IntoIterator<Item = A>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&requests);
    let mut answers: VecDeque<Option<String>> = answers.into_iter().map(Into::into).collect();
    thread::spawn(move || {
        while let Some(answer) = answers.pop_front() {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            noted.lock().unwrap().push(head.join("\n"));
            if let Some(answer) = answer {
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    Server { address, requests }
}

impl Server {
    fn location(&self, path: &str) -> Location {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

fn source() -> HttpSource {
    HttpSource::new(HttpSettings {
        read_timeout: Duration::from_millis(500),
        backoff: Duration::from_millis(1),
        ..HttpSettings::default()
    })
}

const RANGE_2_3: Option<ByteRange> = Some(ByteRange {
    offset: 2,
    length: 3,
});

#[test]
fn a_whole_resource() {
    let server = serve([answer("200 OK", "", "0123456789")]);
    let bytes = source().read(&server.location("/a%20b.ts?t=1"), None, 10);
    assert_eq!(bytes.unwrap(), "0123456789");
    let request = server.requests().remove(0).to_lowercase();
    assert!(
        request.starts_with("get /a%20b.ts?t=1 http/1.1"),
        "{request}"
    );
    assert!(request.contains("user-agent: clipmill/"), "{request}");
    assert!(!request.contains("accept-encoding"), "{request}");
    assert!(!request.contains("range:"), "{request}");
}

#[test]
fn a_byte_range() {
    let server = serve([
        answer(
            "206 Partial Content",
            "Content-Range: bytes 2-4/10\r\n",
            "234",
        ),
        // A server that does not know ranges.
        answer("200 OK", "", "0123456789"),
        answer(
            "206 Partial Content",
            "Content-Range: bytes 0-2/10\r\n",
            "012",
        ),
        answer("416 Range Not Satisfiable", "", ""),
    ]);
    let location = server.location("/a.ts");
    let source = source();
    assert_eq!(source.read(&location, RANGE_2_3, 3).unwrap(), "234");
    assert_eq!(source.read(&location, RANGE_2_3, 3).unwrap(), "234");
    assert!(source.read(&location, RANGE_2_3, 3).is_err());
    assert!(matches!(
        source.read(&location, RANGE_2_3, 3),
        Err(SourceError::Range {
            offset: 2,
            end: 5,
            ..
        })
    ));
    assert!(
        server.requests()[0]
            .to_lowercase()
            .contains("range: bytes=2-4")
    );
    assert!(matches!(
        source.read(&location, RANGE_2_3, 2),
        Err(SourceError::TooLarge { limit: 2, .. })
    ));
}

#[test]
fn too_large_whether_it_says_so_or_not() {
    let open_ended = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789";
    let server = serve([answer("200 OK", "", "0123456789"), open_ended.to_owned()]);
    for _ in 0..2 {
        assert!(matches!(
            source().read(&server.location("/a.ts"), None, 9),
            Err(SourceError::TooLarge { limit: 9, .. })
        ));
    }
}

#[test]
fn what_may_pass_is_tried_again() {
    let cut_short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123";
    let server = serve([
        Some(answer("503 Service Unavailable", "", "")),
        None,
        Some(cut_short.to_owned()),
        Some(answer("200 OK", "", "whole")),
    ]);
    let bytes = source().read(&server.location("/a.ts"), None, 10);
    assert_eq!(bytes.unwrap(), "whole");
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn tries_have_an_end() {
    let busy = answer("503 Service Unavailable", "", "");
    let server = serve(vec![busy; 9]);
    let error = source()
        .read(&server.location("/a.ts"), None, 10)
        .unwrap_err();
    assert!(
        matches!(error, SourceError::Status { status: 503, .. }),
        "{error}"
    );
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn what_will_not_pass_is_not_tried_again() {
    let server = serve([
        answer("404 Not Found", "", ""),
        answer("403 Forbidden", "", ""),
    ]);
    let read = || source().read(&server.location("/a.ts?token=secret"), None, 10);
    assert!(matches!(read(), Err(SourceError::NotFound { .. })));
    let error = read().unwrap_err().to_string();
    assert!(
        error.ends_with("/a.ts?…: the server answered 403"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_playlist_is_where_it_was_redirected_to() {
    let target = serve([answer("200 OK", "", "#EXTM3U")]);
    let moved = format!("Location: http://{}/b/x.m3u8\r\n", target.address);
    let server = serve([answer("302 Found", &moved, "")]);
    let (bytes, found) = source()
        .read_playlist(&server.location("/a/x.m3u8"), 99)
        .unwrap();
    assert_eq!(bytes, "#EXTM3U");
    assert_eq!(found, target.location("/b/x.m3u8"));
}

#[test]
fn credentials_stay_with_their_server() {
    let server = serve([answer("200 OK", "", "#EXTM3U")]);
    let location: Location = format!("http://me:pw@{}/x.m3u8", server.address)
        .parse()
        .unwrap();
    let (_, found) = source().read_playlist(&location, 99).unwrap();
    assert_eq!(found, location);
    let request = server.requests().remove(0).to_lowercase();
    assert!(request.contains("authorization: basic"), "{request}");
}

#[test]
fn redirects_that_are_not_followed() {
    let server = serve([
        answer("302 Found", "Location: file:///etc/passwd\r\n", ""),
        answer("302 Found", "Location: ftp://host/a\r\n", ""),
    ]);
    for _ in 0..2 {
        let error = source().read(&server.location("/a.ts"), None, 10);
        assert!(error.is_err(), "{error:?}");
    }
    let around = answer("302 Found", "Location: /a.ts\r\n", "");
    let server = serve(vec![around; 20]);
    let error = source()
        .read(&server.location("/a.ts"), None, 10)
        .unwrap_err();
    assert!(
        error.to_string().contains("more than 5 redirects"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn nobody_there_or_nobody_answering() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!(
        "http://me:pw@{}/a.ts?t=secret",
        listener.local_addr().unwrap()
    );
    let patience = HttpSettings {
        read_timeout: Duration::from_millis(50),
        backoff: Duration::from_millis(1),
        retries: 1,
        ..HttpSettings::default()
    };
    let read = |location: &str| {
        let source = HttpSource::new(patience.clone());
        let error = source
            .read(&location.parse().unwrap(), None, 10)
            .unwrap_err();
        error.to_string()
    };
    let error = read(&silent);
    assert!(error.ends_with("/a.ts?…: timed out"), "{error}");
    assert!(!error.contains("pw"), "{error}");
    drop(listener);
    let error = read(&silent);
    assert!(error.contains("refused"), "{error}");
    assert!(
        !error.contains("secret") && !error.contains("pw"),
        "{error}"
    );
}

#[test]
fn a_server_that_drips_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let location = format!("http://{}/a.ts", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // An answer that comes before the question is another kind of failure.
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b".").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let source = HttpSource::new(HttpSettings {
        total_timeout: Duration::from_millis(200),
        ..HttpSettings::default()
    });
    let error = source
        .read(&location.parse().unwrap(), None, 1 << 20)
        .unwrap_err();
    assert!(error.to_string().ends_with("it takes too long"), "{error}");
}

#[test]
fn no_tls_is_an_error() {
    let server = serve(vec![answer("200 OK", "", ""); 4]);
    let location = format!("https://{}/a.ts", server.address).parse().unwrap();
    let error = source().read(&location, None, 10).unwrap_err();
    assert!(matches!(error, SourceError::Http { .. }), "{error}");
}

#[test]
fn files_are_refused() {
    let location = Location::File("/etc/passwd".into());
    assert!(matches!(
        source().read(&location, None, 10),
        Err(SourceError::Unsupported { .. })
    ));
}

#[test]
fn playlists_may_come_compressed() {
    use flate2::{Compression, write::GzEncoder};
    let text = "#EXTM3U\n".repeat(1000);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = thread::spawn(move || {
        let mut asked = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            asked.push(head.join("\n").to_lowercase());
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\n\
                 Content-Length: {}\r\n\r\n",
                packed.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&packed);
        }
        asked
    });
    let location: Location = format!("http://{address}/a.m3u8").parse().unwrap();
    let (bytes, _) = source().read_playlist(&location, 8000).unwrap();
    assert_eq!(bytes, text);
    // What it unpacks to counts, not what was sent.
    let error = source().read_playlist(&location, 7999).unwrap_err();
    assert!(
        matches!(error, SourceError::TooLarge { limit: 7999, .. }),
        "{error}"
    );
    assert!(asked.join().unwrap()[0].contains("accept-encoding: gzip"));
}
