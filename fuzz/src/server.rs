//! What the server reads: requests, and what it finds on the disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use clipmill_server::catalog::{Catalog, SledCatalog};
use clipmill_server::config::{AppSettings, Settings};
use clipmill_server::domain::{RecordedWindow, StreamSettings, is_stream_id};
use clipmill_server::fuzzing;
use clipmill_server::http::{Web, router};
use clipmill_server::pull::Pulls;
use clipmill_server::recorder::{
    ClipWindow, Clipping, DvrReach, MadeClip, MontageWindow, Named, OnDemandError, Pending,
    RecorderStatus, RecordingMedia, Switched, VirtualClip, WindowPlaylist,
};
use clipmill_server::storage::LocalStore;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;

use crate::check;

/// What lies outside the streams folder, behind a link, and in a hidden file.
const SECRET: &[u8] = b"nobody may read this";

/// Cuts nothing.
struct NoClips;

impl Clipping for NoClips {
    fn on_demand<'a>(
        &'a self,
        _: &'a str,
        stream: &'a str,
        _: ClipWindow,
        _: Option<clipmill::Cut>,
        _: Named,
        _: bool,
    ) -> Pending<'a, Result<MadeClip, OnDemandError>> {
        Box::pin(async move { Err(OnDemandError::NoBroadcast(stream.to_owned())) })
    }

    fn montage<'a>(
        &'a self,
        _: &'a str,
        windows: Vec<MontageWindow>,
        _: Option<clipmill::Cut>,
        _: Named,
    ) -> Pending<'a, Result<MadeClip, OnDemandError>> {
        Box::pin(async move {
            let first = windows.into_iter().next();
            let stream = first.map_or_else(String::new, |window| window.stream);
            Err(OnDemandError::NoBroadcast(stream))
        })
    }

    fn virtual_clip<'a>(
        &'a self,
        _: &'a str,
        stream: &'a str,
        _: ClipWindow,
        _: Option<clipmill::Cut>,
        _: bool,
    ) -> Pending<'a, Result<Arc<VirtualClip>, OnDemandError>> {
        Box::pin(async move { Err(OnDemandError::NoBroadcast(stream.to_owned())) })
    }

    fn window_playlist<'a>(
        &'a self,
        _: &'a str,
        path: &'a str,
        _: ClipWindow,
        _: &'a str,
    ) -> Pending<'a, Result<WindowPlaylist, OnDemandError>> {
        Box::pin(async move { Err(OnDemandError::NoBroadcast(path.to_owned())) })
    }

    fn window_segment<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a str,
        _: u64,
        _: bool,
    ) -> Pending<'a, Option<std::path::PathBuf>> {
        Box::pin(async { None })
    }

    fn record<'a>(
        &'a self,
        _: &'a str,
        _: RecordedWindow,
    ) -> Pending<'a, Result<(), OnDemandError>> {
        Box::pin(async { Err(OnDemandError::Draining) })
    }

    fn end_recording<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: i64,
    ) -> Pending<'a, Result<Option<RecordedWindow>, OnDemandError>> {
        Box::pin(async { Ok(None) })
    }

    fn recorded(&self, _: &str) -> Vec<RecordedWindow> {
        Vec::new()
    }

    fn recording_media<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
    ) -> Pending<'a, Option<RecordingMedia>> {
        Box::pin(async { None })
    }

    fn recording_playlist<'a>(&'a self, _: &'a str, _: &'a str) -> Pending<'a, Option<String>> {
        Box::pin(async { None })
    }

    fn switch<'a>(&'a self, _: &'a str, _: &'a str, _: bool) -> Pending<'a, Switched> {
        Box::pin(async { Switched::NotLive })
    }

    fn delete_hls<'a>(&'a self, _: &'a str, _: &'a str) -> Pending<'a, ()> {
        Box::pin(async {})
    }

    fn start_periodic<'a>(&'a self, _: &'a str, interval: Duration) -> Pending<'a, bool> {
        assert!(!interval.is_zero(), "an interval lasts");
        Box::pin(async { false })
    }

    fn stop_periodic<'a>(&'a self, _: &'a str) -> Pending<'a, bool> {
        Box::pin(async { false })
    }

    fn set_stream<'a>(&'a self, _: &'a str, _: &'a str, _: StreamSettings) -> Pending<'a, ()> {
        Box::pin(async {})
    }

    fn dvr_reach(&self, _: &str, _: &str) -> Option<DvrReach> {
        None
    }

    fn live_edge(&self, _: &str, _: &str) -> Option<(i64, i64)> {
        None
    }

    fn status(&self) -> RecorderStatus {
        RecorderStatus::default()
    }
}

/// A server without sockets: `live` is open to all, `locked` wants a token.
struct Site {
    router: Router,
    runtime: tokio::runtime::Runtime,
    _settings: watch::Sender<Arc<Settings>>,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let streams = folder.path().join("streams");
        fs::create_dir_all(streams.join("sub")).unwrap();
        fs::write(folder.path().join("secret.ts"), SECRET).unwrap();
        fs::write(streams.join(".hidden.ts"), SECRET).unwrap();
        fs::write(streams.join("secret.txt"), SECRET).unwrap();
        fs::write(streams.join("cam.m3u8"), "#EXTM3U\n").unwrap();
        fs::write(streams.join("sub/cam0.ts"), [7; 1000]).unwrap();
        symlink("../secret.ts", streams.join("link.ts")).unwrap();
        symlink("..", streams.join("up")).unwrap();
        let text = "[[app]]\nname = \"live\"\nstreams_dir = \"/\"\n";
        let mut settings = Settings::from_toml(text).unwrap();
        let open = AppSettings::new("live", &streams);
        let mut locked = AppSettings::new("locked", &streams);
        locked.jwt_secret = Some("a secret that nobody guesses".into());
        settings.apps = vec![Arc::new(open), Arc::new(locked)];
        let (sender, settings) = watch::channel(Arc::new(settings));
        let catalog = SledCatalog::open(&folder.path().join("data"))
            .unwrap()
            .catalog;
        let catalog: Arc<dyn Catalog> = Arc::new(catalog);
        let pulls = Pulls::new(settings.clone(), Arc::clone(&catalog));
        let (router, _) = router(Web {
            settings,
            catalog,
            pulls,
            store: Arc::new(LocalStore::default()),
            clipping: Arc::new(NoClips),
            ingest: Arc::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self {
            router,
            runtime: runtime.unwrap(),
            _settings: sender,
            _folder: folder,
        }
    }
}

/// A request as it looks on the wire: it never stops the server, is never let in without a token, and
/// never leads outside the streams folder; what is answered is what the headers say.
pub fn http_request(data: &[u8]) {
    static SITE: LazyLock<Site> = LazyLock::new(Site::new);
    let Some((request, method, path)) = request(data) else {
        return;
    };
    let answer = SITE.runtime.block_on(async {
        let answer = SITE.router.clone().oneshot(request).await;
        let (parts, body) = answer.unwrap().into_parts();
        let body = body.collect().await.expect("a body comes to its end");
        (parts, body.to_bytes())
    });
    let (parts, body) = answer;
    let status = parts.status;
    assert!(status.as_u16() < 500, "{method} {path}: {status}");
    let leaked = body.windows(SECRET.len()).any(|window| window == SECRET);
    assert!(!leaked, "{method} {path} reads what nobody may");
    if path.starts_with("/locked/rest/") && method != Method::OPTIONS {
        assert!(
            !status.is_success(),
            "{method} {path} without a token: {status}"
        );
    }
    let text = |name: HeaderName| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if let Some(length) = text(header::CONTENT_LENGTH)
        && method != Method::HEAD
        && status != StatusCode::NOT_MODIFIED
    {
        assert_eq!(length, body.len().to_string(), "{method} {path}");
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let range = text(header::CONTENT_RANGE).unwrap_or_default();
        let range = range
            .strip_prefix("bytes ")
            .and_then(|range| range.split_once('/'));
        let (first, last) = range.and_then(|(range, _)| range.split_once('-')).unwrap();
        let (first, last) = (
            first.parse::<usize>().unwrap(),
            last.parse::<usize>().unwrap(),
        );
        assert!(method == Method::HEAD || last - first + 1 == body.len());
    }
    if text(header::CONTENT_TYPE) == Some("application/json") && method != Method::HEAD {
        serde_json::from_slice::<Value>(&body).expect("JSON where JSON is promised");
    }
}

/// Method, path, headers and body as HTTP/1.1 has them.
fn request(data: &[u8]) -> Option<(Request<Body>, Method, String)> {
    let end = data.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = data.split_at(end.unwrap_or(data.len()));
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.splitn(2, |byte| *byte == b' ');
    let method = Method::from_bytes(words.next()?).ok()?;
    let uri = Uri::try_from(words.next()?).ok()?;
    let path = uri.path().to_owned();
    let mut request = Request::builder().method(method.clone()).uri(uri);
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next()?, parts.next().unwrap_or_default());
        let name = HeaderName::from_bytes(name).ok()?;
        request = request.header(name, HeaderValue::from_bytes(value.trim_ascii()).ok()?);
    }
    let body = body.strip_prefix(b"\n\n").unwrap_or(body).to_vec();
    Some((request.body(Body::from(body)).ok()?, method, path))
}

/// What the server finds on the disk: a catalog entry, a clip's record, the name of a segment that was
/// kept, the path of a playlist, a configuration. The first byte says which.
pub fn records(data: &[u8]) {
    let Some((which, data)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(data);
    match which % 5 {
        0 => {
            let (key, value) = data.split_at(data.len().min(8));
            let _ = fuzzing::catalog_entry(key, value);
        }
        1 => {
            if let Some(record) = fuzzing::clip_record(data) {
                let again = serde_json::to_vec(&record);
                assert!(again.is_ok(), "what was read can be written");
            }
        }
        2 => {
            if let Some(name) = fuzzing::spool_name(&text) {
                assert_eq!(fuzzing::spool_name(&name).as_ref(), Some(&name));
            }
        }
        3 => {
            if let Some((stream, folder)) = fuzzing::playlist_name(&text) {
                assert!(is_stream_id(&stream), "{stream:?}");
                let folder = folder.unwrap_or_default();
                let hidden = folder.split('/').any(|part| part.starts_with('.'));
                assert!(!hidden && !folder.starts_with('/'), "{folder:?}");
            }
        }
        _ => match Settings::from_toml(&text) {
            Ok(settings) => assert!(!settings.apps.is_empty()),
            Err(error) => check::one_line(&error.to_string()),
        },
    }
}
