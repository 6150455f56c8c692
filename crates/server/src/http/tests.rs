//! The contract, call by call, with a stand-in for whoever cuts.

mod broadcasts;
mod clips;
mod files;
mod ingest;
mod v1;
mod vods;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use axum::body::Body;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::catalog::SledCatalog;
use crate::config::AppSettings;
use crate::domain::{ClipEntry, RecordedWindow, StreamEntry, StreamSettings};
use crate::recorder::{
    ClipWindow, DvrReach, MadeClip, MontageWindow, Named, OnDemandError, Pending, RecorderStatus,
    RecordingMedia, Switched, VirtualClip, WindowPlaylist,
};
use crate::storage::{self, BodySender};

/// Cuts nothing, and remembers what it was asked.
#[derive(Default)]
struct Stub {
    periodic: Mutex<Option<Duration>>,
    asked: Mutex<Vec<Asked>>,
    set: Mutex<Vec<(String, StreamSettings)>>,
    /// Of the clip of `slow`, which somebody else makes.
    slow: Mutex<Option<BodySender>>,
}

type Asked = (String, ClipWindow, Option<clipmill::Cut>, bool);

impl Clipping for Stub {
    fn on_demand<'a>(
        &'a self,
        _: &'a str,
        stream: &'a str,
        window: ClipWindow,
        cut: Option<clipmill::Cut>,
        _: Named,
        return_file: bool,
    ) -> Pending<'a, Result<MadeClip, OnDemandError>> {
        let asked = (stream.to_owned(), window, cut, return_file);
        self.asked.lock().unwrap().push(asked);
        Box::pin(async move {
            let id = stream.to_owned();
            match stream {
                "unseen" => return Err(OnDemandError::NoPlaylist(id)),
                "odd" => return Err(OnDemandError::NoHlsPlaylist(id)),
                "empty" => {
                    return Err(OnDemandError::NoSegment {
                        stream: id,
                        from_ms: 1000,
                        to_ms: 2500,
                        why: Some("its playlist lists no segment".to_owned()),
                    });
                }
                "full" => return Err(OnDemandError::DiskFull),
                "cam" | "slow" => {}
                _ => return Err(OnDemandError::NoBroadcast(id)),
            }
            let entry = ClipEntry {
                id: "v".repeat(24),
                ..ClipEntry::default()
            };
            let body = (id == "slow").then(|| {
                let (sender, body) = storage::body(10);
                *self.slow.lock().unwrap() = Some(sender);
                body
            });
            Ok(MadeClip { entry, body })
        })
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
        let replaced = self.periodic.lock().unwrap().replace(interval).is_some();
        Box::pin(async move { replaced })
    }

    fn stop_periodic<'a>(&'a self, _: &'a str) -> Pending<'a, bool> {
        let was = self.periodic.lock().unwrap().take().is_some();
        Box::pin(async move { was })
    }

    fn set_stream<'a>(
        &'a self,
        _: &'a str,
        stream: &'a str,
        settings: StreamSettings,
    ) -> Pending<'a, ()> {
        let mut set = self.set.lock().unwrap();
        set.push((stream.to_owned(), settings));
        Box::pin(async {})
    }

    fn dvr_reach(&self, _: &str, _: &str) -> Option<DvrReach> {
        None
    }

    fn live_edge(&self, _: &str, stream: &str) -> Option<(i64, i64)> {
        let ahead = crate::domain::now_ms() + 10_000;
        (stream == "cam").then_some((ahead, 2000))
    }

    fn status(&self) -> RecorderStatus {
        RecorderStatus::default()
    }
}

struct Site {
    web: Web,
    router: Router,
    description: Description,
    catalog: Arc<SledCatalog>,
    stub: Arc<Stub>,
    settings: watch::Sender<Arc<Settings>>,
    streams: tempfile::TempDir,
    _data: tempfile::TempDir,
}

struct Answer {
    status: u16,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Site {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut AppSettings)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let streams = tempfile::tempdir().unwrap();
        let mut app = AppSettings::new("live", streams.path());
        change(&mut app);
        let text = "[[app]]\nname = \"live\"\nstreams_dir = \"/\"\n";
        let mut settings = Settings::from_toml(text).unwrap();
        settings.apps = vec![Arc::new(app)];
        let (sender, settings) = watch::channel(Arc::new(settings));
        let catalog = Arc::new(SledCatalog::open(data.path()).unwrap().catalog);
        let stub = Arc::new(Stub::default());
        let pulls = Pulls::new(settings.clone(), Arc::clone(&catalog) as Arc<dyn Catalog>);
        let web = Web {
            settings,
            catalog: Arc::clone(&catalog) as Arc<dyn Catalog>,
            store: Arc::new(storage::LocalStore::default()),
            clipping: Arc::clone(&stub) as Arc<dyn Clipping>,
            ingest: Arc::default(),
            pulls,
        };
        let (router, description) = router(web.clone());
        Self {
            web,
            router,
            description,
            catalog,
            stub,
            settings: sender,
            streams,
            _data: data,
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .to_vec(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// A call of the Clip Creator: status and `Result`.
    async fn call(&self, method: &str, path: &str) -> (u16, Value) {
        let path = format!("/live/rest/clip-creator/{path}");
        let answer = self.send(method, &path, &[], "").await;
        (answer.status, answer.json())
    }

    async fn clip(&self, number: u32, stream: &str, description: &str) -> ClipEntry {
        let stream = StreamEntry {
            id: stream.into(),
            description: Some(description.into()),
            ..StreamEntry::default()
        };
        let mut entry = ClipEntry::of_stream(&format!("{number:024}"), &stream, None, None);
        entry.created_ms = 10_000 - i64::from(number);
        fs::write(self.streams.path().join(&entry.file_name), b"0123456789").unwrap();
        self.catalog
            .commit_clip("live", &entry, None, &[])
            .await
            .unwrap();
        entry
    }
}

fn done(message: &str) -> Value {
    json!({"success": true, "message": message, "dataId": null, "errorId": 0})
}

fn no(message: &str) -> Value {
    json!({"success": false, "message": message, "dataId": null, "errorId": 0})
}

#[tokio::test]
async fn rest_wants_a_token_and_playback_does_not() {
    let site = Site::with(|app| app.jwt_secret = Some("your-256-bit-secret".into()));
    site.clip(1, "cam", "").await;
    let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                 eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.\
                 SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
    for path in [
        "/live/rest/v2/vods/count",
        "/l%69ve/rest/v2/vods/count",
        "/live/rest/v2/broadcasts/cam",
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(answer.body, b"Invalid App JWT Token");
    }
    let bearer = format!("Bearer {token}");
    for (name, value) in [
        ("Authorization", bearer.as_str()),
        ("Authorization", token),
        ("ProxyAuthorization", token),
    ] {
        let headers = [(name, value)];
        let answer = site
            .send("GET", "/live/rest/v2/vods/count", &headers, "")
            .await;
        assert_eq!(answer.status, 200);
    }
    let bad = [("Authorization", "Bearer a.b.c")];
    assert_eq!(
        site.send("GET", "/live/rest/v2/vods/count", &bad, "")
            .await
            .status,
        403
    );
    let clip = format!("/live/streams/{:024}.mp4", 1);
    for open in [
        clip.as_str(),
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ] {
        assert_eq!(site.get(open).await.status, 200, "{open}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let site = Site::new();
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/none/rest/v2/vods/count", 404),
        ("GET", "/live/rest/v2/nothing", 404),
        ("PATCH", "/live/rest/v2/broadcasts/cam", 405),
        ("POST", "/healthz", 405),
    ] {
        let answer = site.send(method, path, &[], "").await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.json()["success"], false);
    }
}

#[tokio::test]
async fn readiness_follows_the_folders() {
    let site = Site::new();
    assert_eq!(site.get("/readyz").await.status, 200);
    let mut settings = (**site.settings.borrow()).clone();
    settings.apps = vec![Arc::new(AppSettings::new(
        "live",
        Path::new("/does/not/exist"),
    ))];
    site.settings.send_replace(Arc::new(settings));
    let answer = site.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.json()["reasons"][0]
            .as_str()
            .unwrap()
            .contains("/does/not/exist")
    );
    assert_eq!(site.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn until_the_catalog_is_open_only_health_is_answered() {
    let ask = async |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        not_ready()
            .oneshot(request)
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(ask("/healthz").await, 200);
    assert_eq!(ask("/readyz").await, 503);
    assert_eq!(ask("/live/rest/v2/vods/count").await, 503);
}

#[tokio::test]
async fn the_description_has_the_routes_that_are_there_and_no_others() {
    let site = Site::new();
    let served = site.get("/openapi.json").await.json();
    assert_eq!(served, serde_json::to_value(&site.description).unwrap());
    let contract: BTreeSet<_> = [
        "post /{app}/rest/clip-creator/periodic-recording/{periodSeconds}",
        "delete /{app}/rest/clip-creator/periodic-recording",
        "post /{app}/rest/clip-creator/mp4/{streamId}",
        "post /{app}/rest/clip-creator/mp4/{streamId}/range",
        "delete /{app}/rest/clip-creator/mp4-not-in-db",
        "get /{app}/rest/v2/vods/{vodId}",
        "delete /{app}/rest/v2/vods/{vodId}",
        "get /{app}/rest/v2/vods/list/{offset}/{size}",
        "get /{app}/rest/v2/vods/count",
        "get /{app}/rest/v2/vods/count/{search}",
        "delete /{app}/rest/v2/vods",
        "post /{app}/rest/v2/broadcasts/create",
        "get /{app}/rest/v2/broadcasts/{id}",
        "put /{app}/rest/v2/broadcasts/{id}",
        "delete /{app}/rest/v2/broadcasts/{id}",
        "get /{app}/rest/v2/broadcasts/list/{offset}/{size}",
        "get /{app}/rest/v2/broadcasts/count",
        "get /{app}/rest/v2/broadcasts/active-live-stream-count",
        "post /{app}/rest/v2/broadcasts/{id}/hls-to-mp4",
        "post /{app}/rest/v2/vods/create",
        "put /{app}/rest/v2/broadcasts/{id}/recording/{recordingStatus}",
        "put /{app}/ingest/{stream}/{path}",
        "post /{app}/ingest/{stream}/{path}",
        "delete /{app}/ingest/{stream}/{path}",
        "get /v1/apps/{app}/clips",
        "post /v1/apps/{app}/clips",
        "get /v1/apps/{app}/clips/{clip}",
        "delete /v1/apps/{app}/clips/{clip}",
        "get /v1/apps/{app}/streams/{id}/recordings",
        "post /v1/apps/{app}/streams/{id}/recordings",
        "get /v1/apps/{app}/streams/{id}/recordings/{recording}",
        "delete /v1/apps/{app}/streams/{id}/recordings/{recording}",
        "get /v1/apps/{app}/streams",
        "get /v1/apps/{app}/streams/{id}",
        "put /v1/apps/{app}/streams/{id}",
        "patch /v1/apps/{app}/streams/{id}",
        "get /v1/apps/{app}/streams/{id}/markers",
        "post /v1/apps/{app}/streams/{id}/markers",
        "get /v1/apps/{app}/streams/{id}/markers/{marker}",
        "delete /v1/apps/{app}/streams/{id}/markers/{marker}",
        "delete /v1/apps/{app}/streams/{id}",
        "get /{app}/streams/{path}",
        "get /{app}/dvr/{stream}/{session}/{segment}",
        "get /healthz",
        "get /readyz",
        "get /metrics",
        "get /openapi.json",
    ]
    .map(str::to_owned)
    .into();
    let mut described = BTreeSet::new();
    for (path, item) in served["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            described.insert(format!("{method} {path}"));
        }
    }
    assert_eq!(described, contract);
    // Nothing else is served, whoever added it.
    let (routes, _) = super::described(site.web.clone());
    assert_eq!(served_by(&routes), described);
    // Each of them is answered by something else than "not here".
    for call in &described {
        let (method, path) = call.split_once(' ').unwrap();
        let path = path
            .replace("{app}", "live")
            .replace("{offset}", "0")
            .replace("{size}", "1")
            .replace("{periodSeconds}", "1")
            .replace(['{', '}'], "");
        let answer = site.send(&method.to_uppercase(), &path, &[], "").await;
        let body = String::from_utf8_lossy(&answer.body);
        assert!(!body.contains("There is nothing here"), "{call}");
        assert!(!body.contains("not done here"), "{call}");
    }
}

/// The routes of a router, as its debug form shows them: axum offers no other way to list them.
fn served_by(router: &Router) -> BTreeSet<String> {
    let text = format!("{router:?}");
    let (routes, _) = text.split_once("fallback_router").unwrap();
    let (mut methods, mut paths) = (Vec::new(), Vec::new());
    for entry in routes.split("RouteId(").skip(1) {
        let (id, entry) = entry.split_once("): ").unwrap();
        match entry.strip_prefix('"') {
            Some(path) => paths.push((id, path.split_once('"').unwrap().0)),
            None => methods.push((id, entry)),
        }
    }
    let mut served = BTreeSet::new();
    for (id, path) in paths {
        let (_, methods) = methods.iter().find(|(other, _)| *other == id).unwrap();
        for method in ["get", "head", "post", "put", "delete", "patch", "options"] {
            if !methods.contains(&format!("{method}: None")) {
                served.insert(format!("{method} {}", path.replace("{*", "{")));
            }
        }
    }
    served
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_rest_call_changes_nothing() {
    let site = Site::new();
    site.clip(1, "cam", "").await;
    let (code, made) = site.call("POST", "mp4/cam/?returnFile=false").await;
    assert_eq!((code, &made["success"]), (200, &json!(true)));
    let count = site.get("/live/rest/v2/vods/count/").await;
    assert_eq!(count.json(), json!({"number": 1}));
    // Where files are, it is another name.
    let clip = format!("/live/streams/{:024}.mp4/", 1);
    assert_eq!(site.get(&clip).await.status, 404);
    assert_eq!(site.get("/healthz/").await.status, 404);
}
