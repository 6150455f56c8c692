//! The interface of Clipmill's own.

use super::*;

fn body(url: &str, more: &str) -> String {
    format!("{{\"url\": \"{url}\"{more}}}")
}

async fn put(site: &Site, id: &str, body: &str) -> Answer {
    let path = format!("/v1/apps/live/streams/{id}");
    site.send("PUT", &path, &[], body).await
}

#[tokio::test]
async fn streams_are_pulled_shown_and_pulled_no_more() {
    let site = Site::new();
    let secret = ", \"variant\": \"720p\", \"headers\": {\"Authorization\": \"Bearer s3cret\"}";
    let url = "http://me:s3cret@127.0.0.1:9/a.m3u8?key=s3cret";
    let made = put(&site, "cam1", &body(url, secret)).await;
    assert_eq!(made.status, 201);
    assert_eq!(put(&site, "cam1", &body(url, secret)).await.status, 200);
    assert_eq!(put(&site, "cam2", &body(url, "")).await.status, 201);
    let found = site.get("/v1/apps/live/streams/cam1").await;
    let source = found.json()["source"].clone();
    assert_eq!(source["kind"], "pull");
    assert_eq!(source["url"], "http://127.0.0.1:9/a.m3u8?…");
    assert_eq!(
        (&source["variant"], &source["set_by"]),
        (&json!("720p"), &json!("api"))
    );
    assert_eq!(found.json()["state"], "waiting");
    let list = site.get("/v1/apps/live/streams?limit=1").await;
    assert_eq!(list.json()["items"][0]["id"], "cam1");
    let next = list.json()["next"].as_str().unwrap().to_owned();
    let list = site
        .get(&format!("/v1/apps/live/streams?limit=1&cursor={next}"))
        .await;
    assert_eq!(
        (&list.json()["items"][0]["id"], &list.json()["next"]),
        (&json!("cam2"), &Value::Null)
    );
    for answer in [made, found, list] {
        assert!(!String::from_utf8_lossy(&answer.body).contains("s3cret"));
    }
    assert_eq!(site.catalog.pulls("live").await.unwrap().len(), 2);
    let delete = site
        .send("DELETE", "/v1/apps/live/streams/cam1", &[], "")
        .await;
    assert_eq!((delete.status, delete.body.len()), (204, 0));
    let delete = site
        .send("DELETE", "/v1/apps/live/streams/cam1", &[], "")
        .await;
    assert_eq!(delete.status, 404);
    assert_eq!(site.get("/v1/apps/live/streams/cam1").await.status, 404);
}

#[tokio::test]
async fn what_cannot_be_pulled_is_refused_as_a_problem() {
    let site = Site::with(|app| {
        app.pull = vec![crate::domain::PullSource {
            id: "fixed".into(),
            url: "http://127.0.0.1:9/x.m3u8".into(),
            ..Default::default()
        }];
    });
    let good = body("http://127.0.0.1:9/x.m3u8", "");
    for (id, text, status, says) in [
        ("cam3", "{\"url\": s3cret}".to_owned(), 400, "line 1"),
        (
            "cam3",
            "{\"url\": \"http://a/\", \"uri\": \"s3cret\"}".to_owned(),
            400,
            "no object",
        ),
        (
            "cam3",
            body("file:///s3cret", ""),
            400,
            "not an http(s) address",
        ),
        (
            "cam3",
            body("http://192.168.7.1/s3cret", ""),
            400,
            "a private address",
        ),
        (
            "cam3",
            body("http://169.254.169.254/", ""),
            400,
            "link-local",
        ),
        ("a_adaptive", good.clone(), 400, "means another stream"),
        (
            "cam3",
            body(
                "http://127.0.0.1/",
                ", \"headers\": {\"X\": \"env:s3cret\"}",
            ),
            400,
            "only the configuration",
        ),
        (
            "cam3",
            body("http://127.0.0.1/", ", \"headers\": {\"Host\": \"s3cret\"}"),
            400,
            "cannot be set",
        ),
        ("fixed", good.clone(), 409, "The configuration"),
        // Somebody writes it into the folder.
        ("cam", good.clone(), 409, "from elsewhere"),
    ] {
        let answer = put(&site, id, &text).await;
        let problem = answer.json();
        assert_eq!(answer.status, status, "{id} {text} {problem}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], status);
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains(says) && !detail.contains("s3cret"),
            "{detail}"
        );
    }
    assert_eq!(site.catalog.pulls("live").await.unwrap(), []);
    let delete = site
        .send("DELETE", "/v1/apps/live/streams/fixed", &[], "")
        .await;
    assert_eq!(delete.status, 409);
    for path in [
        "/v1/apps/nobody/streams",
        "/v1/nothing",
        "/v1/apps/live/streams/none",
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let answer = site.get("/v1/apps/live/streams?limit=0").await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn what_is_set_for_a_stream_holds_until_the_configuration_says_something_new() {
    let site = Site::with(|app| app.retention.max_age = Some(Duration::from_secs(86_400)));
    site.catalog
        .replace_stream("live", None, &stream("cam"), None)
        .await
        .unwrap();
    let path = "/v1/apps/live/streams/cam";
    let of_app = site.get(path).await;
    let seen = of_app.header("etag").to_owned();
    let shown = |answer: &Answer| {
        let json = answer.json();
        let named = ["periodic", "dvr_window", "retention", "set"];
        named.map(|name| json[name].clone())
    };
    let defaults = [
        json!({"enabled": true, "interval_seconds": 600}),
        Value::Null,
        json!({"max_age": "1d", "max_bytes": null, "min_free": null}),
        json!([]),
    ];
    assert_eq!(shown(&of_app), defaults);
    let change = r#"{"name": "Hall", "periodic": {"enabled": false}, "dvr_window": "1h30m",
        "retention": {"max_age": "30d", "max_bytes": "5GB", "min_free": 7}}"#;
    let changed = site
        .send("PATCH", path, &[("If-Match", &seen)], change)
        .await;
    assert_eq!(changed.status, 200, "{}", changed.json());
    let all = [
        json!({"enabled": false, "interval_seconds": 600}),
        json!("1h30m"),
        json!({"max_age": "30d", "max_bytes": 5_000_000_000_u64, "min_free": 7}),
        json!([
            "periodic",
            "dvr_window",
            "retention.max_age",
            "retention.max_bytes",
            "retention.min_free"
        ]),
    ];
    assert_eq!(shown(&changed), all);
    assert_eq!(changed.json()["name"], "Hall");
    let now = site.get(path).await;
    assert_eq!(now.header("etag"), changed.header("etag"));
    assert_eq!(shown(&now), all);
    // Whoever has not seen it changes nothing.
    let late = site
        .send("PATCH", path, &[("If-Match", &seen)], r#"{"name": "B"}"#)
        .await;
    assert_eq!(
        (late.status, shown(&site.get(path).await)),
        (412, all.clone())
    );
    // The recorders are told of all that is set.
    let told = site.stub.set.lock().unwrap().pop().unwrap();
    let entry = site.catalog.stream("live", "cam").await.unwrap().unwrap();
    assert_eq!(told, ("cam".to_owned(), entry.settings));

    // What others change leaves it alone, and nobody else can set it.
    let path_there = "/live/rest/v2/broadcasts/cam";
    let body = r#"{"description": "x", "clipmillSettings": {"dvrWindowMs": 3}}"#;
    site.send("PUT", path_there, &[], body).await;
    let there = site.get(path_there).await.json();
    assert_eq!(
        (&there["description"], &there["clipmillSettings"]),
        (&json!("x"), &Value::Null)
    );
    assert_eq!(shown(&site.get(path).await), all);

    // Null goes back to what the application has, value by value.
    let back = r#"{"name": null, "dvr_window": null, "retention": {"max_age": null}}"#;
    let back = site.send("PATCH", path, &[], back).await;
    assert_eq!(
        (&back.json()["name"], &back.json()["dvr_window"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(back.json()["retention"]["max_age"], "1d");
    assert_eq!(back.json()["retention"]["min_free"], 7);

    // So does the configuration where it says something new.
    let mut settings = (**site.settings.borrow()).clone();
    let mut app = (*settings.apps[0]).clone();
    app.interval = Duration::from_secs(60);
    settings.apps = vec![Arc::new(app)];
    site.settings.send_replace(Arc::new(settings));
    let overruled = site.get(path).await;
    assert_eq!(
        overruled.json()["periodic"],
        json!({"enabled": true, "interval_seconds": 60})
    );
    assert_ne!(overruled.header("etag"), back.header("etag"));
    let none = site
        .send(
            "PATCH",
            path,
            &[],
            r#"{"retention": null, "dvr_window": "0s"}"#,
        )
        .await;
    assert_eq!(none.json()["set"], json!(["dvr_window"]));
    assert_eq!(none.json()["dvr_window"], Value::Null);
    let entry = site.catalog.stream("live", "cam").await.unwrap().unwrap();
    assert!(entry.settings.periodic.is_none() && entry.settings.min_free.is_none());
}

#[tokio::test]
async fn markers_are_set_listed_and_removed() {
    let site = Site::new();
    let added = site
        .catalog
        .replace_stream("live", None, &stream("cam"), None);
    assert!(added.await.unwrap());
    let path = "/v1/apps/live/streams/cam/markers";
    for (body, says) in [
        ("", "The body"),
        ("[]", "The body"),
        ("{}", "either at, or from and to"),
        ("{\"at\": 5}", "The body"),
        ("{\"at\": \"soon\"}", "at is not an instant"),
        ("{\"from\": \"2026-11-22T14:00:00Z\"}", "either at"),
        (
            "{\"from\": \"2026-11-22T14:00:01Z\", \"to\": \"2026-11-22T14:00:00Z\"}",
            "to lies before from",
        ),
        (
            "{\"at\": \"2026-11-22T14:00:00Z\", \"name\": \" \"}",
            "name is empty",
        ),
        (
            "{\"at\": \"2026-11-22T14:00:00Z\", \"title\": \"x\"}",
            "`title`",
        ),
    ] {
        let answer = site.send("POST", path, &[], body).await;
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, 400, "{body}: {detail}");
        assert!(detail.contains(says), "{detail}");
    }
    let body = "{\"from\": \"2026-11-22T15:00:00+01:00\", \"to\": \"2026-11-22T14:00:02.5Z\", \"name\": \"Goal\"}";
    let made = site.send("POST", path, &[], body).await;
    assert_eq!(made.status, 201);
    let place = made.header("location").to_owned();
    let id = made.json()["id"].clone();
    let shown = json!({
        "id": id, "name": "Goal", "class": null, "source": "call",
        "from": "2026-11-22T14:00:00.000Z", "to": "2026-11-22T14:00:02.500Z"
    });
    assert_eq!(made.json(), shown);
    assert_eq!(site.get(&place).await.json(), shown);
    let list = site.get(&format!("{path}?from=1795356002")).await.json();
    assert_eq!(list, json!({"items": [shown], "next": null}));
    let list = site.get(&format!("{path}?to=1795356000")).await.json();
    assert_eq!(list["items"], json!([]));
    // It names the ends of a clip.
    let id = id.as_str().unwrap();
    let range =
        |from: &str, to: &str| format!("mp4/cam/range?startTimestamp={from}&endTimestamp={to}");
    let marker = format!("marker:{id}");
    let (status, _) = site.call("POST", &range(&marker, &marker)).await;
    let asked = site.stub.asked.lock().unwrap().pop().unwrap();
    let window = ClipWindow::Range {
        from_ms: 1_795_356_000_000,
        to_ms: 1_795_356_002_500,
    };
    assert_eq!((status, asked.1), (200, window));
    let clip = json!({"stream": "cam", "from": marker, "to": marker}).to_string();
    let cut = site.send("POST", "/v1/apps/live/clips", &[], &clip).await;
    let asked = site.stub.asked.lock().unwrap().pop().unwrap();
    assert_eq!((cut.status, asked.1), (201, window));
    let clip = json!({"stream": "cam", "from": "marker:x", "to": marker}).to_string();
    let none = site.send("POST", "/v1/apps/live/clips", &[], &clip).await;
    assert_eq!(none.status, 404);
    let list = site.get("/v1/apps/live/clips?from=marker:x").await;
    assert_eq!(list.status, 400);
    let (status, answer) = site.call("POST", &range("marker:x", &marker)).await;
    assert_eq!(
        (status, &answer["message"]),
        (404, &json!("The stream has no marker x"))
    );
    let (status, _) = site.call("POST", &range("soon", &marker)).await;
    assert_eq!(status, 400);

    let removed = site.send("DELETE", &place, &[], "").await;
    assert_eq!((removed.status, removed.body.len()), (204, 0));
    assert_eq!(site.send("DELETE", &place, &[], "").await.status, 404);
    assert_eq!(site.get(&place).await.status, 404);
    for (method, path) in [("GET", "none/markers"), ("POST", "none/markers")] {
        let path = format!("/v1/apps/live/streams/{path}");
        assert_eq!(site.send(method, &path, &[], body).await.status, 404);
    }
    // They go with their stream.
    site.send("POST", path, &[], body).await;
    let gone = site
        .send("DELETE", "/live/rest/v2/broadcasts/cam", &[], "")
        .await;
    assert_eq!(gone.status, 200);
    let left = site.catalog.markers("live", "cam", true).await.unwrap();
    assert_eq!(left, []);
}

fn stream(id: &str) -> StreamEntry {
    StreamEntry {
        id: id.into(),
        ..StreamEntry::default()
    }
}

#[tokio::test]
async fn what_cannot_be_set_is_refused() {
    let site = Site::new();
    let added = stream("cam");
    site.catalog
        .replace_stream("live", None, &added, None)
        .await
        .unwrap();
    for (body, says) in [
        ("", "The body"),
        ("[]", "The body"),
        ("{\"nam\": \"x\"}", "`nam`"),
        ("{\"name\": \" \"}", "name is empty"),
        ("{\"dvr_window\": \"4\"}", "not a length of time"),
        ("{\"dvr_window\": 4}", "The body"),
        (
            "{\"periodic\": {\"interval_seconds\": 0}}",
            "greater than 0",
        ),
        ("{\"periodic\": {\"interval_seconds\": -1}}", "The body"),
        ("{\"periodic\": true}", "The body"),
        ("{\"retention\": {\"max_age\": \"0s\"}}", "greater than 0"),
        ("{\"retention\": {\"max_bytes\": \"5XB\"}}", "not a size"),
        ("{\"retention\": {\"max_bytes\": -5}}", "The body"),
    ] {
        let answer = site
            .send("PATCH", "/v1/apps/live/streams/cam", &[], body)
            .await;
        assert_eq!(answer.status, 400, "{body}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{detail}");
    }
    let found = site.catalog.stream("live", "cam").await.unwrap().unwrap();
    assert_eq!(found, added);
    let none = site
        .send("PATCH", "/v1/apps/live/streams/none", &[], "{}")
        .await;
    assert_eq!(none.status, 404);
    // One that is pulled and was never seen can be told what to do with it.
    let source = body("http://127.0.0.1:9/x.m3u8", "");
    assert_eq!(put(&site, "far", &source).await.status, 201);
    let answer = site
        .send(
            "PATCH",
            "/v1/apps/live/streams/far",
            &[],
            "{\"dvr_window\": \"1h\"}",
        )
        .await;
    assert_eq!(
        (answer.status, &answer.json()["state"]),
        (200, &json!("waiting"))
    );
    assert_eq!(answer.json()["dvr_window"], "1h");
}

#[tokio::test]
async fn it_wants_a_token_as_rest_does() {
    let site = Site::with(|app| app.jwt_secret = Some("your-256-bit-secret".into()));
    let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                 eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.\
                 SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
    let path = "/v1/apps/live/streams";
    let refused = site.get(path).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.json()["detail"], "Invalid App JWT Token");
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    assert_eq!(site.send("GET", path, &headers, "").await.status, 200);
}
