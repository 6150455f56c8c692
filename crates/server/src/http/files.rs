//! Clips, playlists and segments as files (RFC 9110: ranges, section 14; conditions, section 13).
//!
//! Only what lies inside the application's folders is served, only regular files with the names
//! that HLS and clips have, and nothing that begins with a dot.

mod conditions;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};

use self::conditions::{Verdict, Version, range, verdict};
use super::answer::{Fault, Head, Path};
use super::{Shared, blocking};
use crate::storage::{AppPaths, ClipBody, ClipStore, Lease};

/// Read at a time.
const PIECE: usize = 256 << 10;

/// Pieces that wait for a client.
const AHEAD: usize = 2;

/// A client that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is served, and as what.
const TYPES: [(&str, &str); 15] = [
    ("aac", "audio/aac"),
    ("ac3", "audio/ac3"),
    ("ec3", "audio/eac3"),
    ("fmp4", "video/mp4"),
    ("jpg", "image/jpeg"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/mp4"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("png", "image/png"),
    ("ts", "video/mp2t"),
    ("vtt", "text/vtt"),
    ("webvtt", "text/vtt"),
];

/// Plays a clip, a playlist or a segment.
#[utoipa::path(
    get, path = "/{app}/streams/{*path}", tag = "playback",
    params(
        ("app" = String, Path), ("path" = String, Path, description = "May lead into folders"),
        ("Range" = Option<String>, Header), ("If-Range" = Option<String>, Header)
    ),
    responses(
        (status = 200, content_type = "video/mp4"), (status = 206, content_type = "video/mp4"),
        (status = 304), (status = 404), (status = 412), (status = 416)
    )
)]
pub(super) async fn get(
    State(web): Shared,
    Path((app, path)): Path<(String, String)>,
    method: Method,
    Head(headers): Head,
) -> Result<Response, Fault> {
    let missing = || Fault::missing("There is no such file");
    let app = web.settings.borrow().app(&app).map(|app| app.paths());
    let (paths, store) = (app.ok_or_else(missing)?, web.store.clone());
    let content_type = content_type(&path).ok_or_else(missing)?;
    let found = blocking(move || Ok::<_, Fault>(open(&paths, &store, &path))).await?;
    let found = found.ok_or_else(missing)?;
    Ok(answer(found, content_type, &method, &headers))
}

fn content_type(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit_once('.')?;
    let mut types = TYPES.iter();
    let found = types.find(|(known, _)| known.eq_ignore_ascii_case(extension))?;
    Some(found.1)
}

/// A file that may be served.
struct Found {
    file: File,
    version: Version,
    _lease: Lease,
}

fn open(app: &AppPaths, store: &ClipStore, path: &str) -> Option<Found> {
    let plain = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0', '/'])
    };
    if !path.split('/').all(plain) {
        return None;
    }
    // A clip first where clips are, anything else first where streams are.
    let mut roots: Vec<_> = app.roots().collect();
    if !path.ends_with(".mp4") {
        roots.reverse();
    }
    roots
        .into_iter()
        .find_map(|root| open_below(root, path, store).ok().flatten())
}

fn open_below(root: &FilePath, path: &str, store: &ClipStore) -> io::Result<Option<Found>> {
    let asked = root.join(path);
    let root = root.canonicalize()?;
    let real: PathBuf = asked.canonicalize()?;
    // Links may lead about inside the folder, and not out of it.
    let Ok(inside) = real.strip_prefix(&root) else {
        return Ok(None);
    };
    let hidden = |part: &std::ffi::OsStr| part.as_encoded_bytes().starts_with(b".");
    if inside.iter().any(hidden) {
        return Ok(None);
    }
    let lease = store.lease(&asked);
    // A pipe would hold up whoever opens it.
    if !std::fs::metadata(&real)?.is_file() {
        return Ok(None);
    }
    let file = File::open(&real)?;
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then(|| Found {
        version: Version::of(&metadata),
        file,
        _lease: lease,
    }))
}

fn answer(
    found: Found,
    content_type: &'static str,
    method: &Method,
    asked: &HeaderMap,
) -> Response {
    let version = found.version.clone();
    let mut headers = HeaderMap::new();
    headers.insert(header::ETAG, version.etag.clone());
    headers.insert(header::LAST_MODIFIED, version.modified_header());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Names come back with other content when an encoder starts anew; asking again is cheap.
    let fresh = HeaderValue::from_static("no-cache");
    headers.insert(header::CACHE_CONTROL, fresh);
    match verdict(asked, &version) {
        Verdict::Send => {}
        Verdict::NotModified => return (StatusCode::NOT_MODIFIED, headers).into_response(),
        Verdict::Failed => return (StatusCode::PRECONDITION_FAILED, headers).into_response(),
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let len = version.len;
    let (status, part) = match range(asked, &version) {
        Some(Ok(part)) => {
            let text = format!("bytes {}-{}/{len}", part.start, part.end - 1);
            headers.extend(value(text).map(|v| (header::CONTENT_RANGE, v)));
            (StatusCode::PARTIAL_CONTENT, part)
        }
        Some(Err(())) => {
            headers.remove(header::CONTENT_TYPE);
            headers.extend(value(format!("bytes */{len}")).map(|v| (header::CONTENT_RANGE, v)));
            return (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response();
        }
        None => (StatusCode::OK, 0..len),
    };
    headers.insert(
        header::CONTENT_LENGTH,
        HeaderValue::from(part.end - part.start),
    );
    let body = if *method == Method::HEAD || part.is_empty() {
        Body::empty()
    } else {
        let (sender, body) = Channel::<Bytes, io::Error>::new(AHEAD);
        tokio::spawn(send_file(found, part, sender));
        Body::new(body)
    };
    (status, headers, body).into_response()
}

fn value(text: String) -> Option<HeaderValue> {
    HeaderValue::try_from(text).ok()
}

async fn send_file(found: Found, part: std::ops::Range<u64>, mut sender: Sender<Bytes, io::Error>) {
    let file = Arc::new(found.file);
    let mut at = part.start;
    while at < part.end {
        match piece(&file, at, part.end).await {
            Ok(bytes) => {
                at += bytes.len() as u64;
                if !send(&mut sender, bytes).await {
                    return;
                }
            }
            Err(error) => return sender.abort(error),
        }
    }
}

/// A clip as a body, while it is being stored.
pub(super) fn stream(mut clip: ClipBody, lease: Lease) -> Body {
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(AHEAD);
    tokio::spawn(async move {
        let _lease = lease;
        let mut at = 0;
        while at < clip.len {
            let Some((file, to)) = clip.beyond(at).await else {
                return sender.abort(io::Error::other("the clip could not be made"));
            };
            while at < to {
                match piece(&file, at, to).await {
                    Ok(bytes) => {
                        at += bytes.len() as u64;
                        if !send(&mut sender, bytes).await {
                            return;
                        }
                    }
                    Err(error) => return sender.abort(error),
                }
            }
        }
    });
    Body::new(body)
}

/// Reads the next piece of a file.
async fn piece(file: &Arc<File>, at: u64, end: u64) -> io::Result<Bytes> {
    let file = Arc::clone(file);
    let len = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; len];
        let count = file.read_at(&mut bytes, at)?;
        if count == 0 {
            // Cut short while it was being sent.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(count);
        Ok(Bytes::from(bytes))
    });
    read.await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Hands a piece to the client; false when it is gone.
async fn send(sender: &mut Sender<Bytes, io::Error>, bytes: Bytes) -> bool {
    let sent = tokio::time::timeout(PATIENCE, sender.send_data(bytes));
    matches!(sent.await, Ok(Ok(())))
}
