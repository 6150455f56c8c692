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
