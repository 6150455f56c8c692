//! Streams that are pushed: `PUT`, `POST` and `DELETE` below `/{app}/ingest/{stream}/`.
//!
//! A call runs beside its connection: senders that close theirs as soon as they have sent all have sent it all the
//! same, and a file that is whole gets its name.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::Url;

use super::answer::Path;
use super::fault::{Fault, Kind};
use super::form::Upload;
use super::{Web, WebState, blocking};
use crate::config::{AppSettings, Pushers, Settings};
use crate::ingest::names::{MediaPath, check_stream};
use crate::ingest::uris::Base;
use crate::ingest::{Pushed, PushedStream, Refusal};
use crate::metrics;

/// The longest playlist, in bytes.
const LONGEST_PLAYLIST: u64 = 8 << 20;

/// Written at a time: each piece costs a change of threads.
const PIECE: usize = 256 << 10;

/// An answer after which the connection may be used again, though the body's length was not told: its sender is
/// known, and all of it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeepsConnection;

/// Takes a file of a pushed stream: a segment, an initialization section, or a playlist.
#[utoipa::path(
    method(put, post), path = "/{app}/ingest/{stream}/{*path}", tag = "ingest",
    params(
        ("app" = String, Path), ("stream" = String, Path),
        ("path" = String, Path, description = "Four levels at most: `….m3u8`, or media (`ts`, `mp4`, `m4s`, `cmfv`, `aac`, `vtt`, …)"),
        ("Authorization" = Option<String>, Header, description = "`Bearer {ingest_token}`, or basic with it as the password of any user")
    ),
    request_body(content = String, content_type = "application/octet-stream", description = "The file; also in chunks"),
    responses(
        (status = 201, description = "It is new"), (status = 204, description = "It was there"),
        (status = 400, body = String), (status = 401, body = String), (status = 403, body = String),
        (status = 404, body = String), (status = 408, body = String), (status = 415, body = String),
        (status = 409, body = String, description = "The name is another source's"), (status = 413, body = String), (status = 416, body = String),
        (status = 503, body = String), (status = 507, body = String)
    )
)]
pub(super) async fn put(
    web: WebState,
    names: Path<(String, String, String)>,
    request: Request,
) -> Response {
    call(web, names, request).await
}

/// Deletes a file of a pushed stream. What clips need of it is kept. With its playlist the stream ends.
#[utoipa::path(
    delete, path = "/{app}/ingest/{stream}/{*path}", tag = "ingest",
    params(
        ("app" = String, Path), ("stream" = String, Path), ("path" = String, Path),
        ("Authorization" = Option<String>, Header)
    ),
    responses(
        (status = 204), (status = 401, body = String), (status = 403, body = String),
        (status = 404, body = String), (status = 409, body = String)
    )
)]
pub(super) async fn delete(
    web: WebState,
    names: Path<(String, String, String)>,
    request: Request,
) -> Response {
    call(web, names, request).await
}

async fn call(
    State(web): WebState,
    Path((app, stream, path)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let done = tokio::spawn(async move {
        let (head, body) = request.into_parts();
        let mut upload = Upload::new(body);
        let call = Call {
            headers: &head.headers,
            method: &head.method,
            stream: &stream,
            path: &path,
        };
        let done = call.run(&web, &app, &mut upload).await;
        if web.settings.borrow().app(&app).is_some() {
            let status = done
                .as_ref()
                .map_or_else(|fault| fault.kind.status(), |status| *status);
            metrics::ingest_call(&app, status.as_u16());
        }
        match done {
            Ok(status) => {
                let mut answer = status.into_response();
                answer.extensions_mut().insert(KeepsConnection);
                answer
            }
            Err(fault) => {
                if fault.kind != Kind::TooSlow {
                    upload.linger(&head.headers).await;
                }
                told(fault)
            }
        }
    });
    done.await
        .unwrap_or_else(|error| told(Fault::internal(error)))
}

/// In plain words: senders log them, and none of them knows Ant Media Server's.
fn told(fault: Fault) -> Response {
    let unauthorized = fault.kind == Kind::Unauthorized;
    let mut answer = fault.into_response();
    answer.extensions_mut().remove::<Fault>();
    if unauthorized {
        for challenge in [
            "Basic realm=\"ingest\", charset=\"UTF-8\"",
            "Bearer realm=\"ingest\"",
        ] {
            let challenge = HeaderValue::from_static(challenge);
            answer
                .headers_mut()
                .append(header::WWW_AUTHENTICATE, challenge);
        }
    }
    answer
}

/// What is asked for.
struct Call<'a> {
    headers: &'a HeaderMap,
    method: &'a Method,
    stream: &'a str,
    path: &'a str,
}

impl Call<'_> {
    async fn run(&self, web: &Web, app: &str, upload: &mut Upload) -> Result<StatusCode, Fault> {
        let settings = Arc::clone(&web.settings.borrow());
        let missing = || Fault::missing("There is no such application");
        let app = settings.app(app).ok_or_else(missing)?;
        self.allowed(&settings, app, self.stream)?;
        check_stream(self.stream).map_err(Refusal::from)?;
        let path = MediaPath::parse(self.path).map_err(Refusal::from)?;
        if web.pulls.status(&app.name, self.stream).is_some() {
            return Err(Refusal::Taken.into());
        }
        let live = web.clipping.live_edge(&app.name, self.stream).is_some();
        let ingest = Arc::clone(&web.ingest);
        let (named, id) = (Arc::clone(app), self.stream.to_owned());
        let stream = blocking(move || ingest.stream(&named, &id)).await?;
        if self.method == Method::DELETE {
            let deleted = blocking(move || stream.delete(&path, live)).await?;
            let missing = || Fault::missing("There is no such file");
            return deleted
                .then_some(StatusCode::NO_CONTENT)
                .ok_or_else(missing);
        }
        let piece = self.piece()?;
        let new = if path.is_playlist() {
            if piece.is_some() {
                return Err(Fault::bad("Playlists are only taken whole (Content-Range)"));
            }
            self.playlist(&settings, app, stream, path, live, upload)
                .await?
        } else {
            self.media(app, stream, path, live, piece, upload).await?
        };
        Ok(if new {
            StatusCode::CREATED
        } else {
            StatusCode::NO_CONTENT
        })
    }

    /// Whether the caller may push.
    fn allowed(&self, settings: &Settings, app: &AppSettings, stream: &str) -> Result<(), Fault> {
        match settings.pushers(app, stream) {
            Pushers::Nobody => {
                let message = match app.ingest_max_bytes {
                    0 => "Nothing may be pushed here (ingest_max_bytes is 0)",
                    _ => "Nothing may be pushed here without an ingest_token in the configuration",
                };
                Err(Fault::new(Kind::Forbidden, message))
            }
            Pushers::WhoKnows(token)
                if !tokens(self.headers).any(|given| is_same(&given, token)) =>
            {
                let message = "The ingest token is missing or wrong";
                Err(Fault::new(Kind::Unauthorized, message))
            }
            Pushers::WhoKnows(_) | Pushers::Anybody => Ok(()),
        }
    }

    /// The piece of a file that the body is, if it is not all of it.
    fn piece(&self) -> Result<Option<Piece>, Fault> {
        let coding = self.headers.get(header::CONTENT_ENCODING);
        if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let message = "Files are taken as they are (Content-Encoding)";
            return Err(Fault::new(Kind::Unsupported, message));
        }
        let Some(range) = self.headers.get(header::CONTENT_RANGE) else {
            return Ok(None);
        };
        let piece = range.to_str().ok().and_then(Piece::of);
        let piece = piece.ok_or_else(|| Fault::bad("The Content-Range makes no sense"))?;
        let whole = piece.start == 0 && piece.total == Some(piece.len);
        if piece.start == 0 && !whole && piece.total.is_some() {
            return Err(Fault::bad(
                "The first piece of a file is sent without Content-Range",
            ));
        }
        Ok((piece.start > 0).then_some(piece))
    }

    /// How long the body says it is, which must not be more than it may be.
    fn announced(&self, longest: u64) -> Result<Option<u64>, Fault> {
        let text = self.headers.get(header::CONTENT_LENGTH);
        let announced = text.and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
        match announced {
            Some(length) if length > longest => Err(too_long(longest)),
            announced => Ok(announced),
        }
    }

    async fn media(
        &self,
        app: &AppSettings,
        stream: Arc<PushedStream>,
        path: MediaPath,
        live: bool,
        piece: Option<Piece>,
        upload: &mut Upload,
    ) -> Result<bool, Fault> {
        let before = piece.map_or(0, |piece| piece.start);
        let longest = app.ingest_max_bytes.saturating_sub(before);
        let announced = self.announced(longest)?;
        let begun = Arc::clone(&stream);
        let mut arrival = blocking(move || begun.begin(&path, live)).await?;
        let mut body = Body::new(app, stream, upload, longest);
        let mut buffer = BytesMut::new();
        loop {
            let more = body.next(&mut buffer).await?;
            if buffer.len() >= PIECE || !(more || buffer.is_empty()) {
                let piece = buffer.split().freeze();
                let write = move || {
                    arrival.write(&piece)?;
                    Ok::<_, Refusal>(arrival)
                };
                arrival = blocking(write).await?;
            }
            if !more {
                break;
            }
        }
        body.must_be_whole(announced)?;
        match piece {
            Some(piece) if piece.len != body.came => Err(Fault::bad(
                "The body has not as many bytes as its Content-Range says",
            )),
            Some(Piece { start, total, .. }) => {
                blocking(move || arrival.append(start, total)).await?;
                Ok(false)
            }
            None => blocking(move || arrival.finish()).await,
        }
    }

    async fn playlist(
        &self,
        settings: &Settings,
        app: &AppSettings,
        stream: Arc<PushedStream>,
        path: MediaPath,
        live: bool,
        upload: &mut Upload,
    ) -> Result<bool, Fault> {
        let longest = LONGEST_PLAYLIST.min(app.ingest_max_bytes);
        let announced = self.announced(longest)?;
        let mut body = Body::new(app, Arc::clone(&stream), upload, longest);
        let mut text = BytesMut::new();
        while body.next(&mut text).await? {}
        body.must_be_whole(announced)?;
        let hosts = self.hosts(settings);
        let (app, id) = (app.name.clone(), self.stream.to_owned());
        let put = move || {
            let base = Base {
                app: &app,
                stream: &id,
                path: &path,
                hosts: &hosts,
            };
            let pushed = Pushed::read(&text, &base)?;
            stream.put_playlist(&path, pushed, live)
        };
        blocking(put).await
    }

    /// By what names the sender knows us.
    fn hosts(&self, settings: &Settings) -> Vec<String> {
        let host = self
            .headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let public = Url::parse(&settings.public_base_url).ok();
        let public = public.and_then(|url| {
            let host = url.host_str()?;
            Some(format!("{host}:{}", url.port_or_known_default()?))
        });
        let all = [
            host.map(str::to_owned),
            public,
            Some(settings.listen.clone()),
        ];
        all.into_iter().flatten().collect()
    }
}

/// A piece of a file (RFC 9110, 14.4 and 14.5): GStreamer's `souphttpclientsink` sends one for each buffer, the first
/// without a word about it, and does not say how long the file will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    start: u64,
    len: u64,
    total: Option<u64>,
}

impl Piece {
    fn of(range: &str) -> Option<Self> {
        let (range, total) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (start, last) = range.split_once('-')?;
        let (start, last): (u64, u64) = (start.trim().parse().ok()?, last.trim().parse().ok()?);
        let total = match total.trim() {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        let end = last.checked_add(1)?;
        let len = end.checked_sub(start).filter(|len| *len > 0)?;
        total
            .is_none_or(|total| total >= end)
            .then_some(Self { start, len, total })
    }
}

/// A body that is read while it comes.
struct Body<'a> {
    stream: Arc<PushedStream>,
    upload: &'a mut Upload,
    app: &'a AppSettings,
    longest: u64,
    came: u64,
}

impl<'a> Body<'a> {
    fn new(
        app: &'a AppSettings,
        stream: Arc<PushedStream>,
        upload: &'a mut Upload,
        longest: u64,
    ) -> Self {
        Self {
            stream,
            upload,
            app,
            longest,
            came: 0,
        }
    }

    /// Reads more; false at its end.
    async fn next(&mut self, buffer: &mut BytesMut) -> Result<bool, Fault> {
        let Some(bytes) = self.upload.next(self.app.ingest_timeout).await? else {
            return Ok(false);
        };
        self.came = self.came.saturating_add(bytes.len() as u64);
        if self.came > self.longest {
            return Err(too_long(self.longest));
        }
        metrics::ingested(&self.app.name, bytes.len() as u64);
        buffer.extend_from_slice(&bytes);
        if let Some(rate) = self.app.ingest_max_rate {
            let pause = self.stream.pause(bytes.len() as u64, rate);
            if pause > Duration::ZERO {
                tokio::time::sleep(pause).await;
            }
        }
        Ok(true)
    }

    fn must_be_whole(&self, announced: Option<u64>) -> Result<(), Fault> {
        if self.came == 0 {
            return Err(Fault::bad("The body is empty"));
        }
        match announced {
            Some(length) if length != self.came => {
                Err(Fault::bad("The body is shorter than its Content-Length"))
            }
            _ => Ok(()),
        }
    }
}

fn too_long(longest: u64) -> Fault {
    Fault::new(
        Kind::TooLong,
        format!("The body is longer than {longest} bytes"),
    )
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            full if full.is_disk_full() => return Self::no_room(),
            Refusal::Io(error) => return Self::internal(error),
            Refusal::Name(_) => Kind::Forbidden,
            Refusal::Playlist(_) => Kind::Invalid,
            Refusal::Taken => Kind::Conflict,
            Refusal::TooMany(_) => Kind::NoRoom,
            Refusal::Beyond(_) => Kind::Beyond,
            Refusal::NoFolder => Kind::NotNow,
        };
        let text = refusal.to_string();
        let mut letters = text.chars();
        let first = letters.next().map(|first| first.to_uppercase().to_string());
        Self::new(kind, first.unwrap_or_default() + letters.as_str())
    }
}

/// The tokens of a request: a bearer's (RFC 6750, 2.1), or the password of whatever user (RFC 7617, 2).
fn tokens(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(header::AUTHORIZATION).iter();
    values.filter_map(|value| {
        let (scheme, credentials) = value.to_str().ok()?.trim().split_once(' ')?;
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(credentials.to_owned());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        use base64::Engine;
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(credentials)
            .ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (_, password) = decoded.split_once(':')?;
        Some(password.to_owned())
    })
}

/// Whether a token is the right one, in a time that does not tell how much of it is right.
fn is_same(given: &str, right: &str) -> bool {
    let mac = |text: &str| {
        let mac = Hmac::<Sha256>::new_from_slice(right.as_bytes()).ok();
        mac.map(|mut mac| {
            mac.update(text.as_bytes());
            mac
        })
    };
    match (mac(given), mac(right)) {
        (Some(given), Some(right)) => right.verify_slice(&given.finalize().into_bytes()).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::files;
    use crate::ingest::names::MEDIA;

    fn given(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        tokens(&headers).next()
    }

    #[test]
    fn a_token_is_a_bearers_or_a_password() {
        assert_eq!(given("Bearer a:b").as_deref(), Some("a:b"));
        assert_eq!(given("bearer  x ").as_deref(), Some("x"));
        // `user:a:b`, `:x`
        assert_eq!(given("Basic dXNlcjphOmI=").as_deref(), Some("a:b"));
        assert_eq!(given("basic Ong=").as_deref(), Some("x"));
        for none in ["x", "Basic", "Basic !", "Basic dXNlcg==", "Digest x"] {
            assert_eq!(given(none), None, "{none}");
        }
        assert!(is_same("s3cret", "s3cret"));
        assert!(
            !is_same("", "s3cret") && !is_same("s3cre", "s3cret") && !is_same("s3cret ", "s3cret")
        );
    }

    #[test]
    fn pieces_of_files() {
        let piece = |start, len, total| Some(Piece { start, len, total });
        assert_eq!(Piece::of("bytes 20480-24575/*"), piece(20480, 4096, None));
        assert_eq!(Piece::of("bytes 0-0/1"), piece(0, 1, Some(1)));
        for none in [
            "",
            "bytes",
            "bytes */9",
            "bytes 5-4/*",
            "bytes 5-9/9",
            "items 0-1/*",
            "bytes 0-18446744073709551615/*",
        ] {
            assert_eq!(Piece::of(none), None, "{none}");
        }
    }

    #[test]
    fn what_may_be_pushed_is_played() {
        for extension in MEDIA {
            let name = format!("a.{extension}");
            assert!(files::content_type(&name).is_some(), "{extension}");
        }
    }
}
