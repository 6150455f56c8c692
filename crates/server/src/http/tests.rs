//! The contract, call by call, with a stand-in for whoever cuts.

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
use crate::model::{Broadcast, Vod};
use crate::recorder::VirtualClip;
use crate::storage::{self, BodySender};

/// Cuts nothing, and remembers what it was asked.
#[derive(Default)]
struct Stub {
    periodic: Mutex<Option<Duration>>,
    asked: Mutex<Vec<Asked>>,
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
                    });
                }
                "full" => return Err(OnDemandError::DiskFull),
                "cam" | "slow" => {}
                _ => return Err(OnDemandError::NoBroadcast(id)),
            }
            let vod = Vod {
                vod_id: "v".repeat(24),
                ..Vod::default()
            };
            let body = (id == "slow").then(|| {
                let (sender, body) = storage::body(10);
                *self.slow.lock().unwrap() = Some(sender);
                body
            });
            Ok(MadeClip { vod, body })
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

    fn start_periodic<'a>(&'a self, _: &'a str, interval: Duration) -> Pending<'a, bool> {
        let replaced = self.periodic.lock().unwrap().replace(interval).is_some();
        Box::pin(async move { replaced })
    }

    fn stop_periodic<'a>(&'a self, _: &'a str) -> Pending<'a, bool> {
        let was = self.periodic.lock().unwrap().take().is_some();
        Box::pin(async move { was })
    }

    fn live_edge(&self, _: &str, stream: &str) -> Option<(i64, i64)> {
        let ahead = crate::model::now_ms() + 10_000;
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
        let web = Web {
            settings,
            catalog: Arc::clone(&catalog) as Arc<dyn Catalog>,
            store: ClipStore::default(),
            clipping: Arc::clone(&stub) as Arc<dyn Clipping>,
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

    fn clip(&self, number: u32, stream: &str, description: &str) -> Vod {
        let broadcast = Broadcast {
            stream_id: stream.into(),
            description: Some(description.into()),
            ..Broadcast::default()
        };
        let mut vod = Vod::new(&format!("{number:024}"), &broadcast, None, None);
        vod.creation_date = 10_000 - i64::from(number);
        fs::write(self.streams.path().join(&vod.vod_name), b"0123456789").unwrap();
        self.catalog.commit_clip("live", &vod, None, &[]).unwrap();
        vod
    }
}

fn done(message: &str) -> Value {
    json!({"success": true, "message": message, "dataId": null, "errorId": 0})
}

fn no(message: &str) -> Value {
    json!({"success": false, "message": message, "dataId": null, "errorId": 0})
}

#[tokio::test]
async fn periodic_recording_is_started_replaced_and_stopped() {
    let site = Site::new();
    let none = "There is no active timer for Clip Creator Plugin in app: live";
    assert_eq!(
        site.call("DELETE", "periodic-recording").await,
        (200, no(none))
    );
    let (status, result) = site.call("POST", "periodic-recording/5").await;
    assert_eq!((status, &result["success"]), (200, &json!(true)));
    let old = "Old clip-creator timer is cancelled for app: live and new one will be created";
    assert_eq!(
        site.call("POST", "periodic-recording/7").await,
        (200, done(old))
    );
    assert_eq!(
        *site.stub.periodic.lock().unwrap(),
        Some(Duration::from_secs(7))
    );
    let kept = site.catalog.periodic("live").unwrap().unwrap();
    assert_eq!(
        (kept.enabled, kept.interval_seconds, kept.configured),
        (true, 7, (true, 600))
    );

    for (wrong, status) in [
        ("0", 400),
        ("-5", 400),
        ("x", 404),
        ("1.5", 404),
        ("9999999999", 404),
    ] {
        let (found, result) = site
            .call("POST", &format!("periodic-recording/{wrong}"))
            .await;
        assert_eq!(
            (found, &result["success"]),
            (status, &json!(false)),
            "{wrong}"
        );
    }
    assert_eq!(
        *site.stub.periodic.lock().unwrap(),
        Some(Duration::from_secs(7))
    );
    let (status, result) = site.call("DELETE", "periodic-recording").await;
    assert_eq!((status, &result["success"]), (200, &json!(true)));
    assert!(!site.catalog.periodic("live").unwrap().unwrap().enabled);
}

#[tokio::test]
async fn a_clip_on_demand_answers_as_the_contract_words_it() {
    let site = Site::new();
    let (status, result) = site.call("POST", "mp4/cam?returnFile=false").await;
    let mut expected = done("MP4 created successfully for stream cam");
    expected["dataId"] = json!("v".repeat(24));
    assert_eq!((status, result), (200, expected));
    for (stream, message) in [
        ("other", "No broadcast exists for stream other"),
        ("..%2fx", "No broadcast exists for stream ../x"),
        ("unseen", "No m3u8 file found for stream unseen"),
        ("odd", "No HLS playlist found for stream odd"),
        (
            "empty",
            "No segment file found for stream empty between 1970-01-01T00:00:01.000Z and \
             1970-01-01T00:00:02.500Z",
        ),
    ] {
        assert_eq!(
            site.call("POST", &format!("mp4/{stream}")).await,
            (417, no(message))
        );
    }
    assert_eq!(site.call("POST", "mp4/full").await.0, 507);
    assert_eq!(site.call("POST", "mp4/cam?returnFile=perhaps").await.0, 400);
    assert_eq!(site.call("POST", "mp4/cam?cut=sideways").await.0, 400);
    site.call("POST", "mp4/cam?cut=segment&returnFile=TRUE")
        .await;
    let asked = site.stub.asked.lock().unwrap();
    let last = (
        "cam".to_owned(),
        ClipWindow::SinceBoundary,
        Some(clipmill::Cut::Segment),
        true,
    );
    assert_eq!(asked.last(), Some(&last));
}

#[tokio::test]
async fn a_range_is_checked_before_its_stream_is_looked_up() {
    let site = Site::new();
    let now = crate::model::now_ms();
    let range = |stream: &str, from: i64, to: i64| {
        format!("mp4/{stream}/range?startTimestamp={from}&endTimestamp={to}")
    };
    for (path, message) in [
        (
            range("none", 5, 5),
            "endTimestamp must be greater than startTimestamp".to_owned(),
        ),
        (
            range("none", now, now + 5000),
            "endTimestamp must not be in the future".to_owned(),
        ),
        // An encoder whose clock is ahead, up to a target duration after its live edge.
        (
            range("cam", now, now + 20_000),
            "endTimestamp must not be in the future".to_owned(),
        ),
        (
            range("none", now - 21_601_000, now),
            "Requested clip duration 21601s exceeds maxClipDurationSeconds=21600. \
             Raise the plugin setting if you need longer clips."
                .to_owned(),
        ),
    ] {
        assert_eq!(
            site.call("POST", &path).await,
            (400, no(&message)),
            "{path}"
        );
    }
    for wrong in [
        "",
        "?startTimestamp=1",
        "?startTimestamp=a&endTimestamp=2",
        "?endTimestamp=2",
    ] {
        assert_eq!(
            site.call("POST", &format!("mp4/cam/range{wrong}")).await.0,
            400,
            "{wrong}"
        );
    }
    assert!(site.stub.asked.lock().unwrap().is_empty());
    assert_eq!(
        site.call("POST", &range("cam", now - 5000, now + 11_000))
            .await
            .0,
        200
    );
    let unknown = no("No broadcast exists for stream none");
    assert_eq!(
        site.call("POST", &range("none", 1000, 2000)).await,
        (417, unknown)
    );
    let (status, result) = site.call("POST", &range("empty", 1000, 2500)).await;
    assert_eq!(status, 417);
    let end = " (the requested range may be outside the HLS retention window or the stream had no \
               data then)";
    assert!(result["message"].as_str().unwrap().ends_with(end));
    let site = Site::with(|app| app.max_clip = Duration::from_secs(3));
    let (status, result) = site.call("POST", &range("cam", now - 5000, now)).await;
    assert_eq!(status, 400);
    assert!(result["message"].as_str().unwrap().contains("duration 5s"));
}

#[tokio::test]
async fn files_that_nothing_points_to_are_cleaned_up() {
    let site = Site::new();
    let vod = site.clip(1, "cam", "");
    let mut synced = done("MP4 files and database is in synch");
    synced["dataId"] = json!("0");
    assert_eq!(site.call("DELETE", "mp4-not-in-db").await, (200, synced));
    let stray = site.streams.path().join(format!("{}.mp4", "s".repeat(24)));
    fs::write(&stray, b"x").unwrap();
    let (status, result) = site.call("DELETE", "mp4-not-in-db").await;
    assert_eq!((status, &result["dataId"]), (200, &json!("1")));
    let message = "All files - not in the database - in the streams directory are deleted \
                   successfully for app:live deleted file count:1";
    assert_eq!(result["message"], message);
    assert!(!stray.exists() && site.streams.path().join(vod.vod_name).exists());
}

#[tokio::test]
async fn vods_are_listed_counted_and_deleted() {
    let site = Site::new();
    let clips: Vec<_> = [(3, "a"), (1, "b"), (2, "a")]
        .map(|(number, stream)| site.clip(number, stream, "Über alles"))
        .into();
    let list = async |rest: &str| -> Vec<u32> {
        let answer = site.get(&format!("/live/rest/v2/vods/list/{rest}")).await;
        assert_eq!(answer.status, 200, "{rest}");
        let all = answer.json();
        let ids = all
            .as_array()
            .unwrap()
            .iter()
            .map(|vod| vod["vodId"].as_str().unwrap());
        ids.map(|id| id.parse().unwrap()).collect()
    };
    assert_eq!(list("0/50").await, [3, 1, 2]);
    assert_eq!(list("1/1").await, [1]);
    assert_eq!(list("0/999999").await, [3, 1, 2]);
    assert_eq!(list("0/50?sort_by=name&order_by=asc").await, [1, 2, 3]);
    assert_eq!(list("0/50?sort_by=date&order_by=desc").await, [1, 2, 3]);
    assert_eq!(list("0/50?streamId=a&search=").await, [3, 2]);
    assert_eq!(list("0/50?streamId=&search=%C3%9CBER").await, [3, 1, 2]);
    assert_eq!(list("0/50?search=.*").await, [0; 0]);
    assert_eq!(
        site.get("/live/rest/v2/vods/list/0/50?sort_by=size")
            .await
            .status,
        400
    );
    assert_eq!(site.get("/live/rest/v2/vods/list/x/50").await.status, 404);
    assert_eq!(
        site.get("/live/rest/v2/vods/count").await.json(),
        json!({"number": 3})
    );
    let found = site
        .get("/live/rest/v2/vods/count/000000000000000000000001")
        .await;
    assert_eq!(found.json(), json!({"number": 1}));

    let id = &clips[0].vod_id;
    let answer = site.get(&format!("/live/rest/v2/vods/{id}")).await;
    assert_eq!(answer.status, 200);
    let vod = answer.json();
    for field in [
        "streamName",
        "vodName",
        "streamId",
        "creationDate",
        "startTime",
        "duration",
        "fileSize",
        "filePath",
        "vodId",
        "type",
        "previewFilePath",
        "processStatus",
        "processStartTime",
        "processEndTime",
        "description",
        "metadata",
        "latitude",
        "longitude",
        "altitude",
    ] {
        assert!(vod.get(field).is_some(), "{field}");
    }
    assert_eq!(site.get("/live/rest/v2/vods/unknown").await.status, 404);

    let delete = async |rest: &str| {
        let answer = site
            .send("DELETE", &format!("/live/rest/v2/vods{rest}"), &[], "")
            .await;
        assert_eq!(answer.status, 200, "{rest}");
        answer.json()
    };
    let blank = "ids parameter is blank. Please give comma-separated vod ids to the 'ids' as query \
                 parameter";
    assert_eq!(delete("").await, no(blank));
    assert_eq!(delete("/?ids=").await, no(blank));
    assert_eq!(delete("?ids=,%20,").await, no(blank));
    assert_eq!(delete(&format!("/{id}")).await, done("vod deleted"));
    assert!(!site.streams.path().join(&clips[0].vod_name).exists());
    assert_eq!(delete(&format!("/{id}")).await["success"], false);
    // The first that fails is the last that is tried.
    let ids = format!("{},none,{}", clips[1].vod_id, clips[2].vod_id);
    assert_eq!(delete(&format!("?ids={ids}")).await["success"], false);
    assert_eq!(list("0/50").await, [2]);
    assert_eq!(
        delete(&format!("/?ids={}", clips[2].vod_id)).await,
        done("vod deleted")
    );
}

#[tokio::test]
async fn broadcasts_are_made_changed_and_forgotten() {
    let site = Site::new();
    let create = async |body: &str| {
        let answer = site
            .send("POST", "/live/rest/v2/broadcasts/create", &[], body)
            .await;
        (answer.status, answer.json())
    };
    let text = r#"{"streamId":"cam","name":"Hall","metaData":"{\"a\":1}","status":"broadcasting"}"#;
    let (status, made) = create(text).await;
    assert_eq!(status, 200);
    assert_eq!(
        (&made["streamId"], &made["status"]),
        (&json!("cam"), &json!("created"))
    );
    assert_eq!(create(text).await.0, 400);
    assert_eq!(create(r#"{"streamId":"../x"}"#).await.0, 400);
    assert_eq!(
        create(r#"{"listenerHookURL":"file:///etc/passwd"}"#)
            .await
            .0,
        400
    );
    assert_eq!(create("{").await.0, 400);
    assert_eq!(
        create(&format!("{{\"name\":\"{}\"}}", "x".repeat(300_000)))
            .await
            .0,
        413
    );
    let (status, made) = create("").await;
    assert_eq!(status, 200);
    assert!(crate::model::is_stream_id(
        made["streamId"].as_str().unwrap()
    ));

    let cam = "/live/rest/v2/broadcasts/cam";
    let change = r#"{"name":"Yard","streamId":"other","status":"finished","latitude":1.5}"#;
    let answer = site.send("PUT", cam, &[], change).await;
    assert_eq!(
        (answer.status, &answer.json()["success"]),
        (200, &json!(true))
    );
    let now = site.get(cam).await.json();
    assert_eq!(now["name"], "Yard");
    assert_eq!(now["streamId"], "cam");
    assert_eq!(now["status"], "created");
    assert_eq!(now["latitude"], "1.5");
    assert_eq!(now["metaData"], r#"{"a":1}"#);
    assert_eq!(
        site.send("PUT", cam, &[], r#"{"name":[]}"#).await.status,
        400
    );
    let unknown = site
        .send("PUT", "/live/rest/v2/broadcasts/none", &[], "{}")
        .await;
    assert_eq!(
        (unknown.status, &unknown.json()["success"]),
        (200, &json!(false))
    );

    let live = &mut |b: &mut Broadcast| b.status = crate::model::BroadcastStatus::Broadcasting;
    site.catalog.change_broadcast("live", "cam", live).unwrap();
    let get = async |rest: &str| site.get(&format!("/live/rest/v2/broadcasts/{rest}")).await;
    assert_eq!(get("count").await.json(), json!({"number": 2}));
    assert_eq!(
        get("active-live-stream-count").await.json(),
        json!({"number": 1})
    );
    assert_eq!(get("list/0/10").await.json().as_array().unwrap().len(), 2);
    assert_eq!(get("none").await.status, 404);
    assert_eq!(
        site.send("DELETE", cam, &[], "").await.json()["success"],
        true
    );
    assert_eq!(
        site.send("DELETE", cam, &[], "").await.json()["success"],
        false
    );
    assert_eq!(get("cam").await.status, 404);
}

#[tokio::test]
async fn rest_wants_a_token_and_playback_does_not() {
    let site = Site::with(|app| app.jwt_secret = Some("your-256-bit-secret".into()));
    site.clip(1, "cam", "");
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
async fn files_are_served_in_part_and_nothing_else_is() {
    let site = Site::new();
    let folder = site.streams.path();
    site.clip(1, "cam", "");
    fs::create_dir(folder.join("sub")).unwrap();
    fs::create_dir(folder.join(".hidden")).unwrap();
    for name in [
        "sub/a.ts",
        "cam.m3u8",
        "x.txt",
        ".b.ts",
        ".hidden/c.ts",
        ".d.mp4.part",
    ] {
        fs::write(folder.join(name), name).unwrap();
    }
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.ts"), "secret").unwrap();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
    link(&outside.path().join("secret.ts"), "link.ts");
    link(outside.path(), "dir");
    link(&folder.join("sub/a.ts"), "inside.ts");
    link(&folder.join(".b.ts"), "unhidden.ts");

    let clip = format!("/live/streams/{:024}.mp4", 1);
    let answer = site.get(&clip).await;
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (200, b"0123456789".as_slice())
    );
    assert_eq!(answer.header("content-type"), "video/mp4");
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let etag = answer.header("etag").to_owned();

    let part = site
        .send(
            "GET",
            &clip,
            &[("Range", "bytes=2-4"), ("If-Range", &etag)],
            "",
        )
        .await;
    assert_eq!(
        (part.status, part.body.as_slice()),
        (206, b"234".as_slice())
    );
    assert_eq!(part.header("content-range"), "bytes 2-4/10");
    assert_eq!(part.header("content-length"), "3");
    let stale = [("Range", "bytes=2-4"), ("If-Range", "\"old\"")];
    assert_eq!(site.send("GET", &clip, &stale, "").await.status, 200);
    let beyond = site.send("GET", &clip, &[("Range", "bytes=10-")], "").await;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, "bytes */10")
    );
    let known = site
        .send("GET", &clip, &[("If-None-Match", &etag)], "")
        .await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let head = site.send("HEAD", &clip, &[], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, "10"));
    assert!(head.body.is_empty());

    let playlist = site.get("/live/streams/cam.m3u8").await;
    assert_eq!(
        playlist.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(site.get("/live/streams/sub/a.ts").await.body, b"sub/a.ts");
    assert_eq!(site.get("/live/streams/inside.ts").await.body, b"sub/a.ts");
    for path in [
        "x.txt",
        ".b.ts",
        ".hidden/c.ts",
        ".d.mp4.part",
        "link.ts",
        "dir/secret.ts",
        "unhidden.ts",
        "sub",
        "sub/",
        "",
        "../secret.ts",
        "%2e%2e/secret.ts",
        "sub/../cam.m3u8",
        "sub%2f..%2fcam.m3u8",
        "%2fetc%2fhosts.ts",
        "none.ts",
        "a%00.ts",
        "sub//a.ts",
    ] {
        let answer = site.get(&format!("/live/streams/{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(site.get("/other/streams/cam.m3u8").await.status, 404);
}

#[tokio::test]
async fn browsers_may_ask_from_anywhere() {
    let site = Site::with(|app| app.jwt_secret = Some("s".into()));
    let headers = [
        ("Origin", "https://player.example"),
        ("Access-Control-Request-Method", "DELETE"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    let answer = site
        .send("OPTIONS", "/live/rest/v2/vods/x", &headers, "")
        .await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("access-control-allow-methods")
            .contains("DELETE")
    );
    assert!(
        answer
            .header("access-control-allow-headers")
            .contains("authorization")
    );
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
        "get /{app}/streams/{path}",
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
    site.clip(1, "cam", "");
    let (code, made) = site.call("POST", "mp4/cam/?returnFile=false").await;
    assert_eq!((code, &made["success"]), (200, &json!(true)));
    let count = site.get("/live/rest/v2/vods/count/").await;
    assert_eq!(count.json(), json!({"number": 1}));
    // Where files are, it is another name.
    let clip = format!("/live/streams/{:024}.mp4/", 1);
    assert_eq!(site.get(&clip).await.status, 404);
    assert_eq!(site.get("/healthz/").await.status, 404);
}

#[tokio::test]
async fn a_broadcast_may_come_with_fields_that_say_nothing() {
    let site = Site::new();
    let whole = r#"{"streamId":"cam","name":"Hall","status":"preparing","startTime":null,
        "date":"x","metaData":null,"listenerHookURL":null,"latitude":null,"type":"liveStream"}"#;
    let path = "/live/rest/v2/broadcasts/create";
    let made = site.send("POST", path, &[], whole).await;
    assert_eq!(made.status, 200);
    let made = made.json();
    assert_eq!(
        (&made["status"], &made["startTime"]),
        (&json!("created"), &json!(0))
    );
    assert_eq!(made["type"], "liveStream");
    let unnamed = site.send("POST", path, &[], r#"{"streamId":null}"#).await;
    assert_eq!(unnamed.status, 200);
    let cam = "/live/rest/v2/broadcasts/cam";
    let change = r#"{"name":null,"metaData":"m","status":"finished"}"#;
    assert_eq!(site.send("PUT", cam, &[], change).await.status, 200);
    let now = site.get(cam).await.json();
    assert_eq!(
        (&now["name"], &now["metaData"]),
        (&json!("Hall"), &json!("m"))
    );
}

#[tokio::test]
async fn the_first_bytes_of_a_clip_come_while_the_last_are_made() {
    use std::os::unix::fs::FileExt;
    let site = Site::new();
    let request = Request::builder()
        .method("POST")
        .uri("/live/rest/clip-creator/mp4/slow?returnFile=true")
        .body(Body::empty())
        .unwrap();
    let answer = site.router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let id = "v".repeat(24);
    for (name, value) in [
        ("content-type", "video/mp4"),
        ("content-length", "10"),
        ("x-vodid", &id),
        (
            "content-disposition",
            &format!("attachment; filename=\"{id}.mp4\""),
        ),
    ] {
        assert_eq!(answer.headers()[name], value);
    }
    let mut body = answer.into_body();
    let file = Arc::new(tempfile::tempfile().unwrap());
    let growing = site
        .stub
        .slow
        .lock()
        .unwrap()
        .take()
        .unwrap()
        .begin(Arc::clone(&file));
    let mut next = async || body.frame().await.unwrap().unwrap().into_data().unwrap();
    file.write_all_at(b"01234", 0).unwrap();
    growing.reached(5);
    assert_eq!(next().await, "01234");
    file.write_all_at(b"56789", 5).unwrap();
    growing.reached(10);
    // All is written, but the last byte says that it lasts.
    assert_eq!(next().await, "5678");
    growing.done();
    assert_eq!(next().await, "9");
}
