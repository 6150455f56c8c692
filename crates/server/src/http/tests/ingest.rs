//! What whoever pushes is answered.

use bytes::Bytes;
use http_body_util::channel::Channel;

use super::*;

const LISTS: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n#EXT-X-ENDLIST\n";

/// A body that does not end by itself.
fn endless() -> (http_body_util::channel::Sender<Bytes, std::io::Error>, Body) {
    let (sender, body) = Channel::new(8);
    (sender, Body::new(body))
}

impl Site {
    async fn push(&self, method: &str, path: &str, body: &str) -> u16 {
        let path = format!("/live/ingest/{path}");
        self.send(method, &path, &[], body).await.status
    }
}

#[tokio::test]
async fn files_come_are_replaced_and_go() {
    let site = Site::new();
    assert_eq!(site.push("PUT", "push/a.ts", "one").await, 201);
    assert_eq!(site.push("POST", "push/a.ts", "two").await, 204);
    assert_eq!(site.push("POST", "push/v/b%20c.m4s", "x").await, 201);
    assert_eq!(site.push("PUT", "push/index.m3u8", LISTS).await, 201);
    assert_eq!(site.push("PUT", "push/index.m3u8", LISTS).await, 204);
    let played = site.get("/live/streams/push.m3u8").await;
    let expected = LISTS.replace("a.ts", "push/a.ts");
    assert_eq!(String::from_utf8(played.body.clone()).unwrap(), expected);
    assert_eq!(
        played.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(played.header("cache-control"), "no-cache");
    assert_eq!(site.get("/live/streams/push/a.ts").await.body, b"two");
    assert_eq!(site.get("/live/streams/push/v/b%20c.m4s").await.body, b"x");
    assert_eq!(
        site.get("/live/streams/push/.ingest.json").await.status,
        404
    );
    assert_eq!(site.push("DELETE", "push/a.ts", "").await, 204);
    for absent in [
        "push/a.ts",
        "push/never.ts",
        "push/other.m3u8",
        "nobody/a.ts",
        "nobody/x.m3u8",
    ] {
        assert_eq!(site.push("DELETE", absent, "").await, 404, "{absent}");
    }
    assert!(!site.streams.path().join("nobody").exists());
    assert_eq!(site.push("DELETE", "push/index.m3u8", "").await, 204);
    let stored = site.get("/live/ingest/push/index.m3u8").await;
    assert_eq!(stored.status, 405, "it is played elsewhere");
}

#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    let site = Site::with(|app| app.ingest_max_bytes = 1000);
    fs::write(site.streams.path().join("theirs.m3u8"), LISTS).unwrap();
    fs::create_dir(site.streams.path().join("folder")).unwrap();
    fs::write(site.streams.path().join("folder/seg.ts"), "x").unwrap();
    let long = "x".repeat(1001);
    let outside = LISTS.replace("a.ts", "../../a.ts");
    for (path, body, status) in [
        ("push/..%2f..%2fa.ts", "x", 403),
        ("push/.a.ts", "x", 403),
        ("push/a%5cb.ts", "x", 403),
        ("push/a%00.ts", "x", 403),
        ("push/a/b/c/d/e.ts", "x", 403),
        ("push/a.html", "x", 403),
        ("push/a", "x", 403),
        ("..%2fpush/a.ts", "x", 403),
        ("push_adaptive/a.ts", "x", 403),
        ("push/", "x", 404),
        ("push/a.m3u8", "<html>", 400),
        ("push/a.m3u8", &outside, 400),
        ("push/a.ts", "", 400),
        ("push/a.ts", &long, 413),
        ("push/a.m3u8", &long, 413),
        ("theirs/a.ts", "x", 409),
        ("theirs/index.m3u8", LISTS, 409),
        ("folder/a.ts", "x", 409),
    ] {
        assert_eq!(site.push("PUT", path, body).await, status, "{path}");
    }
    assert_eq!(
        site.send("PUT", "/other/ingest/push/a.ts", &[], "x")
            .await
            .status,
        404
    );
    for (header, value, status) in [
        ("content-range", "bytes 0-0/9", 400),
        ("content-range", "bytes 7-7/9", 416),
        ("content-range", "bytes 2-1/9", 400),
        ("content-range", "bytes 3-9/*", 400),
        ("content-range", "bytes 1000-1000/*", 413),
        ("content-encoding", "gzip", 415),
    ] {
        let part = [(header, value)];
        let answer = site.send("PUT", "/live/ingest/push/a.ts", &part, "x").await;
        assert_eq!(answer.status, status, "{header}");
    }
    let unasked = site.send(
        "PUT",
        "/live/ingest/push/a.ts",
        &[("content-length", "2000")],
        "x",
    );
    assert_eq!(unasked.await.status, 413);
    let left: Vec<_> = fs::read_dir(site.streams.path().join("push"))
        .into_iter()
        .flatten()
        .collect();
    assert!(
        left.iter()
            .flatten()
            .all(|entry| entry.file_name() == ".ingest.json"),
        "{left:?}"
    );
}

#[tokio::test]
async fn a_token_is_wanted_where_there_is_one_or_others_can_call() {
    let site = Site::with(|app| app.ingest_token = Some("s3cret".into()));
    let put = |headers: &'static [(&'static str, &'static str)]| {
        site.send("PUT", "/live/ingest/push/a.ts", headers, "x")
    };
    let refused = put(&[]).await;
    assert_eq!(refused.status, 401);
    let challenges = refused.headers.get_all("www-authenticate").iter().count();
    assert_eq!(challenges, 2);
    assert_eq!(put(&[("authorization", "Bearer s3cre")]).await.status, 401);
    assert_eq!(
        put(&[("authorization", "Basic dXNlcjpzM2NyZQ==")])
            .await
            .status,
        401
    );
    assert_eq!(put(&[("authorization", "Bearer s3cret")]).await.status, 201);
    // user:s3cret
    assert_eq!(
        put(&[("authorization", "Basic dXNlcjpzM2NyZXQ=")])
            .await
            .status,
        204
    );
    let deleted = site.send("DELETE", "/live/ingest/push/a.ts", &[], "").await;
    assert_eq!(deleted.status, 401);

    let mut open = Settings::clone(&site.web.settings.borrow());
    open.listen = "0.0.0.0:5080".into();
    site.settings.send_replace(Arc::new(open.clone()));
    assert_eq!(put(&[("authorization", "Bearer s3cret")]).await.status, 204);
    let mut app = AppSettings::clone(&open.apps[0]);
    app.ingest_token = None;
    open.apps = vec![Arc::new(app.clone())];
    site.settings.send_replace(Arc::new(open.clone()));
    assert_eq!(put(&[]).await.status, 403);
    open.listen = "127.0.0.1:5080".into();
    site.settings.send_replace(Arc::new(open.clone()));
    assert_eq!(put(&[]).await.status, 204);
    app.ingest_max_bytes = 0;
    open.apps = vec![Arc::new(app)];
    site.settings.send_replace(Arc::new(open));
    assert_eq!(put(&[]).await.status, 403);
}

#[tokio::test]
async fn a_body_that_stalls_or_breaks_off_is_no_segment() {
    let site = Site::with(|app| app.ingest_timeout = Duration::from_millis(100));
    let path = site.streams.path().join("push/a.ts");
    for (fails, status) in [(false, 408), (true, 400)] {
        let (mut sender, body) = endless();
        sender.send_data(Bytes::from_static(b"half")).await.unwrap();
        let request = Request::builder()
            .method("PUT")
            .uri("/live/ingest/push/a.ts");
        let answer = site.router.clone().oneshot(request.body(body).unwrap());
        let kept = if fails {
            sender.abort(std::io::Error::other("reset"));
            None
        } else {
            Some(sender)
        };
        assert_eq!(answer.await.unwrap().status(), status);
        drop(kept);
        assert!(!path.exists());
    }
    // One that says how long it is and ends before.
    let short = [("content-length", "10")];
    let answer = site
        .send("PUT", "/live/ingest/push/a.ts", &short, "half")
        .await;
    assert_eq!(answer.status, 400);
    let folder = fs::read_dir(site.streams.path().join("push")).unwrap();
    let names: Vec<_> = folder.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [".ingest.json"]);
}

#[tokio::test]
async fn a_sender_that_leaves_has_pushed_what_came() {
    let site = Site::new();
    let (mut sender, body) = endless();
    let request = Request::builder()
        .method("PUT")
        .uri("/live/ingest/push/a.ts");
    let request = request.body(body).unwrap();
    let call = tokio::spawn(site.router.clone().oneshot(request));
    sender
        .send_data(Bytes::from_static(b"all of it"))
        .await
        .unwrap();
    let folder = site.streams.path().join("push");
    while !folder.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // As a connection is closed of which nobody waits for the answer.
    call.abort();
    assert!(call.await.is_err());
    drop(sender);
    let path = folder.join("a.ts");
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(fs::read(path).unwrap(), b"all of it");
}

#[tokio::test]
async fn a_file_may_come_in_pieces() {
    let site = Site::new();
    let listed = LISTS.replace("a.ts", "push/a.ts");
    let send = async |range: &str, body: &str| {
        let headers = [("content-range", range)];
        let headers = if range.is_empty() { &[][..] } else { &headers };
        site.send("PUT", "/live/ingest/push/a.ts", headers, body)
            .await
            .status
    };
    assert_eq!(send("", "one").await, 201);
    assert_eq!(send("bytes 3-5/*", "two").await, 204);
    assert_eq!(send("bytes 9-9/*", "x").await, 416);
    // How long it is going to be nobody said: it is not listed while pieces come.
    assert_eq!(site.push("PUT", "push/index.m3u8", LISTS).await, 201);
    assert_eq!(site.get("/live/streams/push.m3u8").await.status, 404);
    assert_eq!(send("bytes 6-8/9", "end").await, 204);
    assert_eq!(
        site.get("/live/streams/push.m3u8").await.body,
        listed.as_bytes()
    );
    assert_eq!(site.get("/live/streams/push/a.ts").await.body, b"onetwoend");
}

#[tokio::test]
async fn bytes_that_come_too_fast_wait() {
    let site = Site::with(|app| app.ingest_max_rate = Some(1000));
    let begun = Instant::now();
    // A second's worth is taken at once.
    assert_eq!(site.push("PUT", "push/a.ts", &"x".repeat(1000)).await, 201);
    assert_eq!(site.push("PUT", "push/b.ts", &"x".repeat(300)).await, 201);
    assert!(
        begun.elapsed() >= Duration::from_millis(250),
        "{:?}",
        begun.elapsed()
    );
}
