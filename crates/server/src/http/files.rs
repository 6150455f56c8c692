//! Clips, playlists and segments as files (RFC 9110: ranges, section 14; conditions, section 13).
//!
//! Only what lies inside the application's folders is served, only regular files with the names
//! that HLS and clips have, and nothing that begins with a dot.

mod conditions;
mod uris;

use std::io::{self, Read};
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use clipmill::ClipReader;
use clipmill::source::FileSource;
use http_body_util::channel::{Channel, Sender};

use self::conditions::{Verdict, Version, range, verdict};
use super::answer::{Head, Path, Query};
use super::ant_media::clips::gaps_header;
use super::ant_media::json::ApiResult;
use super::fault::Fault;
use super::virtual_clips::{PlaylistQuery, WindowQuery};
use super::{WebState, blocking};
use crate::domain::{is_clip_id, percent_encoded};
use crate::recorder::{VirtualClip, WindowPlaylist};
use crate::storage::{
    AppPaths, Blocks, ClipBody, ClipContent, ClipStore, FileContent, Lease, OpenClip, open_inside,
};

/// Read at a time: large, as each piece costs a change of threads.
const PIECE: usize = 1 << 20;

/// Pieces that wait for a client.
const AHEAD: usize = 2;

/// A client that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);

const HLS: &str = "application/vnd.apple.mpegurl";

/// Playlists that are rewritten are no longer than this.
const LONGEST_PLAYLIST: u64 = 64 << 20;

/// What is served, and as what.
const TYPES: [(&str, &str); 20] = [
    ("aac", "audio/aac"),
    ("ac3", "audio/ac3"),
    ("cmfa", "audio/mp4"),
    ("cmft", "application/mp4"),
    ("cmfv", "video/mp4"),
    ("ec3", "audio/eac3"),
    ("fmp4", "video/mp4"),
    ("jpg", "image/jpeg"),
    ("m2ts", "video/mp2t"),
    ("m3u8", HLS),
    ("m4a", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/mp4"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mts", "video/mp2t"),
    ("png", "image/png"),
    ("ts", "video/mp2t"),
    ("vtt", "text/vtt"),
    ("webvtt", "text/vtt"),
];

/// Plays a clip, a playlist or a segment; or a window of a stream, which is stored nowhere: `{streamId}.mp4` as a
/// clip, `{streamId}.m3u8` as a playlist (`VOD`) of the segments that hold it, as far as they are listed.
#[utoipa::path(
    get, path = "/{app}/streams/{*path}", tag = "playback",
    params(
        ("app" = String, Path), ("path" = String, Path, description = "May lead into folders"),
        ("start" = Option<String>, Query, description = "Where the window begins: RFC 3339, seconds or milliseconds since the Unix epoch, or `marker:{id}`: where that begins"),
        ("end" = Option<String>, Query, description = "Where it ends; `marker:{id}`: where that ends"),
        ("last" = Option<String>, Query, description = "In place of both: so much before the live edge, as in `30s`"),
        ("cut" = Option<String>, Query, description = "`exact` (the default), `keyframe` or `segment`"),
        ("Range" = Option<String>, Header), ("If-Range" = Option<String>, Header)
    ),
    responses(
        (status = 200, content_type = "video/mp4"), (status = 206, content_type = "video/mp4"),
        (status = 304), (status = 307), (status = 400, body = ApiResult), (status = 404), (status = 412),
        (status = 416), (status = 417, body = ApiResult)
    )
)]
pub(super) async fn get(
    State(web): WebState,
    Path((app, path)): Path<(String, String)>,
    method: Method,
    query: Query,
    Head(headers): Head,
) -> Result<Response, Fault> {
    let missing = || Fault::missing("There is no such file");
    if let Some(asked) = WindowQuery::of(&path, &query)? {
        let clip = asked
            .find(&web, &app, conditions::continues(&headers))
            .await?;
        let found = Resource {
            version: Version::of_clip(&clip),
            content: Content::Clip(clip),
        };
        return Ok(answer(found, "video/mp4", &method, &headers));
    }
    if let Some(asked) = PlaylistQuery::of(&path, &query)? {
        let (found, window) = asked.find(&web, &app).await?;
        return match found {
            WindowPlaylist::Text(mut text) => {
                let folder = web
                    .settings
                    .borrow()
                    .app(&app)
                    .map(|app| app.streams_dir.join(&path));
                if uris::may_need_escapes(&path)
                    && let Some(folder) = folder.and_then(|file| Some(file.parent()?.to_owned()))
                {
                    text = blocking(move || Ok::<_, Fault>(uris::escaped(&text, &folder))).await?;
                }
                Ok(answer(Resource::of_text(text), HLS, &method, &headers))
            }
            WindowPlaylist::At(path) => {
                let at = format!("/{app}/streams/{}?{window}", percent_encoded(&path));
                let at = HeaderValue::try_from(at).map_err(Fault::internal)?;
                Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, at)]).into_response())
            }
        };
    }
    let paths = web.settings.borrow().app(&app).map(|app| app.paths());
    let (paths, store) = (paths.ok_or_else(missing)?, web.store.clone());
    let content_type = content_type(&path).ok_or_else(missing)?;
    let (found, path) = blocking(move || {
        let found = open(&paths, &*store, &path);
        Ok::<_, Fault>((found, path))
    })
    .await?;
    if let Some(found) = found {
        return Ok(answer(found, content_type, &method, &headers));
    }
    let recorded = match path.rsplit_once('.') {
        Some((id, "mp4")) if is_clip_id(id) => growing(&web, &app, id, &method).await,
        Some((id, "m3u8")) if is_clip_id(id) => {
            let text = web.clipping.recording_playlist(&app, id).await;
            text.map(|text| answer(Resource::of_text(text), HLS, &method, &headers))
        }
        _ => None,
    };
    recorded.ok_or_else(missing)
}

/// A recording that is not a clip yet, as it comes: its length is not known, and no range of it can be had.
async fn growing(web: &super::Web, app: &str, id: &str, method: &Method) -> Option<Response> {
    let mut media = web.clipping.recording_media(app, id).await?;
    let headers = [
        (header::CONTENT_TYPE, "video/mp4"),
        (header::CACHE_CONTROL, "no-store"),
        (header::ACCEPT_RANGES, "none"),
    ];
    if *method == Method::HEAD {
        return Some((headers, Body::empty()).into_response());
    }
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(AHEAD);
    tokio::spawn(async move {
        // Who plays may pause for as long as they like.
        while let Some(bytes) = media.next().await {
            if sender.send_data(bytes).await.is_err() {
                return;
            }
        }
    });
    Some((headers, Body::new(body)).into_response())
}

/// Plays a segment of a stream's DVR window, as `{streamId}.m3u8?start=&end=` lists it.
#[utoipa::path(
    get, path = "/{app}/dvr/{stream}/{session}/{segment}", tag = "playback",
    params(
        ("app" = String, Path), ("stream" = String, Path), ("session" = String, Path),
        ("segment" = String, Path, description = "Its number, and what it is: `.ts`, `.m4s`, `.aac`; `.mp4` is what it needs ahead of it"),
        ("Range" = Option<String>, Header), ("If-Range" = Option<String>, Header)
    ),
    responses(
        (status = 200, content_type = "video/mp2t"), (status = 206, content_type = "video/mp2t"),
        (status = 304), (status = 404), (status = 412), (status = 416)
    )
)]
pub(super) async fn of_window(
    State(web): WebState,
    Path((app, stream, session, segment)): Path<(String, String, String, String)>,
    method: Method,
    Head(headers): Head,
) -> Result<Response, Fault> {
    let missing = || Fault::missing("There is no such segment");
    let content_type = content_type(&segment).ok_or_else(missing)?;
    let (number, suffix) = segment.split_once('.').ok_or_else(missing)?;
    let number = number.parse().map_err(|_| missing())?;
    let found = web
        .clipping
        .window_segment(&app, &stream, &session, number, suffix == "mp4")
        .await;
    let path = found.ok_or_else(missing)?;
    let opened = blocking(move || {
        let opened = std::fs::File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        // It may have had its time just now.
        Ok::<_, Fault>(opened.ok())
    });
    let (metadata, file) = opened.await?.ok_or_else(missing)?;
    let found = Resource {
        version: Version::of(&metadata),
        content: Content::Stored(Arc::new(FileContent::new(file)), None),
    };
    Ok(answer(found, content_type, &method, &headers))
}

/// A clip that is stored.
pub(super) async fn stored(
    web: &super::Web,
    app: &crate::config::AppSettings,
    entry: &crate::domain::ClipEntry,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Fault> {
    let (paths, store) = (app.paths(), web.store.clone());
    let path = entry.key.clone();
    let found = blocking(move || Ok::<_, Fault>(open(&paths, &*store, &path))).await?;
    let found = found.ok_or_else(|| Fault::missing("There is no such file"))?;
    Ok(answer(found, "video/mp4", method, headers))
}

pub(super) fn content_type(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit_once('.')?;
    let mut types = TYPES.iter();
    let found = types.find(|(known, _)| known.eq_ignore_ascii_case(extension))?;
    Some(found.1)
}

/// A file, a virtual clip or a text, with its version.
struct Resource {
    version: Version,
    content: Content,
}

enum Content {
    /// Of a stored clip, or of a file beside a playlist, which nothing sweeps.
    Stored(Arc<dyn ClipContent>, Option<Lease>),
    Clip(Arc<VirtualClip>),
    Bytes(Bytes),
}

impl Resource {
    fn of_clip(clip: OpenClip) -> Self {
        Self {
            version: Version::new(clip.len, clip.modified),
            content: Content::Stored(clip.content, Some(clip.lease)),
        }
    }

    fn of_text(text: String) -> Self {
        let bytes = Bytes::from(text);
        Self {
            version: Version::of_bytes(&bytes),
            content: Content::Bytes(bytes),
        }
    }
}

fn open(app: &AppPaths, store: &dyn ClipStore, path: &str) -> Option<Resource> {
    let plain = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0', '/'])
    };
    if !path.split('/').all(plain) {
        return None;
    }
    let clip = || store.open(app, path).ok().flatten().map(Resource::of_clip);
    let file = || open_below(&app.streams_dir, path).ok().flatten();
    // A clip first where clips are, anything else first where streams are.
    if path.ends_with(".mp4") {
        clip().or_else(file)
    } else {
        file().or_else(clip)
    }
}

fn open_below(root: &FilePath, path: &str) -> io::Result<Option<Resource>> {
    let Some((file, metadata)) = open_inside(root, path)? else {
        return Ok(None);
    };
    if path.ends_with(".m3u8") && uris::may_need_escapes(path) && metadata.len() <= LONGEST_PLAYLIST
    {
        let mut text = Vec::new();
        file.take(LONGEST_PLAYLIST).read_to_end(&mut text)?;
        let asked = root.join(path);
        let folder = asked.parent().unwrap_or(root);
        let text = uris::escaped(&String::from_utf8_lossy(&text), folder);
        return Ok(Some(Resource::of_text(text)));
    }
    Ok(Some(Resource {
        version: Version::of(&metadata),
        content: Content::Stored(Arc::new(FileContent::new(file)), None),
    }))
}

fn answer(
    found: Resource,
    content_type: &'static str,
    method: &Method,
    asked: &HeaderMap,
) -> Response {
    let version = found.version.clone();
    let mut headers = HeaderMap::new();
    headers.insert(header::ETAG, version.etag.clone());
    let modified = version.modified_header();
    headers.extend(modified.map(|v| (header::LAST_MODIFIED, v)));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Names come back with other content when an encoder starts anew; asking again is cheap.
    let fresh = HeaderValue::from_static("no-cache");
    headers.insert(header::CACHE_CONTROL, fresh);
    if let Content::Clip(clip) = &found.content {
        headers.extend(gaps_header(clip.gaps()));
    }
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
        tokio::spawn(send_all(Pieces::of(found.content, part), sender));
        Body::new(body)
    };
    (status, headers, body).into_response()
}

fn value(text: String) -> Option<HeaderValue> {
    HeaderValue::try_from(text).ok()
}

/// What is left to be sent.
enum Pieces {
    Stored {
        content: Arc<dyn ClipContent>,
        part: Range<u64>,
        lease: Option<Lease>,
    },
    Open {
        blocks: Box<dyn Blocks>,
        _lease: Option<Lease>,
    },
    Clip {
        reader: ClipReader<Arc<FileSource>>,
        _clip: Arc<VirtualClip>,
    },
    Bytes(Bytes),
}

impl Pieces {
    fn of(content: Content, part: Range<u64>) -> Self {
        match content {
            Content::Stored(content, lease) => Self::Stored {
                content,
                part,
                lease,
            },
            Content::Clip(clip) => Self::Clip {
                reader: clip.reader(part),
                _clip: clip,
            },
            Content::Bytes(bytes) => {
                let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                Self::Bytes(bytes.slice(index(part.start)..index(part.end)))
            }
        }
    }

    /// Reads the next one; an empty one at the end.
    fn next(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Stored {
                content,
                part,
                lease,
            } => {
                *self = Self::Open {
                    blocks: content.open_range(part.clone())?,
                    _lease: lease.take(),
                };
                self.next()
            }
            Self::Open { blocks, .. } => blocks.next(PIECE),
            Self::Bytes(bytes) => Ok(std::mem::take(bytes)),
            Self::Clip { reader, .. } => {
                let read = reader.next_block(PIECE);
                read.map_err(|error| {
                    tracing::warn!(%error, "a virtual clip ends early");
                    io::Error::other(error)
                })
            }
        }
    }
}

async fn send_all(mut pieces: Pieces, mut sender: Sender<Bytes, io::Error>) {
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let piece = pieces.next();
            (pieces, piece)
        });
        let Ok((rest, piece)) = read.await else {
            return sender.abort(io::Error::other("a piece could not be read"));
        };
        pieces = rest;
        match piece {
            Ok(bytes) if bytes.is_empty() => return,
            Ok(bytes) => {
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
            let Some((content, to)) = clip.beyond(at).await else {
                return sender.abort(io::Error::other("the clip could not be made"));
            };
            while at < to {
                match piece(&content, at..to).await {
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

/// Reads the first piece of what is wanted, beside the threads that serve connections.
async fn piece(content: &Arc<dyn ClipContent>, wanted: Range<u64>) -> io::Result<Bytes> {
    let content = Arc::clone(content);
    let read = tokio::task::spawn_blocking(move || content.open_range(wanted)?.next(PIECE));
    read.await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Hands a piece to the client; false when it is gone.
async fn send(sender: &mut Sender<Bytes, io::Error>, bytes: Bytes) -> bool {
    let sent = tokio::time::timeout(PATIENCE, sender.send_data(bytes));
    matches!(sent.await, Ok(Ok(())))
}
