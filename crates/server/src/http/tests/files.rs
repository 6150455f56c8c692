//! Playback.

use super::*;

#[tokio::test]
async fn files_are_served_in_part_and_nothing_else_is() {
    let site = Site::new();
    let folder = site.streams.path();
    site.clip(1, "cam", "").await;
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
    let methods = answer.header("access-control-allow-methods");
    assert!(methods.contains("DELETE") && methods.contains("PATCH"));
    let names = answer.header("access-control-allow-headers");
    assert!(names.contains("authorization") && names.contains("if-match"));
}
