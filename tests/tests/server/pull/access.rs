//! Who may see what: headers, passwords, cookies, addresses; and what calls set.

use serde_json::json;

use super::*;

#[test]
fn headers_and_cookies_go_where_they_belong_and_are_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (origin, elsewhere) = (Origin::new(folder.path()), Origin::new(other.path()));
    origin.add_headers("Set-Cookie: session=c00kie; Path=/\r\n");
    let pieces = some(9);
    let mut live = Live::new(folder.path(), "cam", Kind::Event, Some(DATE));
    for piece in &pieces {
        live.publish(piece, false);
    }
    live.end();
    // One segment lies on another server.
    let moved = "cam00002.ts";
    fs::copy(folder.path().join(moved), other.path().join(moved)).unwrap();
    origin.plan(moved, Fault::Redirect(elsewhere.url(moved)), 1);
    let token = folder.path().join("token");
    fs::write(&token, "t0ken\n").unwrap();
    let url = format!("http://me:pa55word@{}/cam.m3u8?key=que4y", origin.address());
    let headers = format!(
        "headers = {{ Referer = \"https://ref.example/\", X-Token = \"file:{}\" }}",
        token.display()
    );
    let pull = format!("[[app.pull]]\nid = \"cam\"\nurl = \"{url}\"\n{headers}\n");
    let server = Server::start(&format!("interval_seconds = 600\n{pull}"));
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    let asked = origin.asked();
    for (number, asked) in asked.iter().enumerate() {
        assert_eq!(asked.header("authorization"), "Basic bWU6cGE1NXdvcmQ=");
        assert_eq!(asked.header("x-token"), "t0ken");
        assert_eq!(asked.header("referer"), "https://ref.example/");
        let cookie = if number == 0 { "" } else { "session=c00kie" };
        assert_eq!(asked.header("cookie"), cookie, "{}", asked.target);
    }
    let there = elsewhere.asked();
    assert_eq!(there.len(), 1);
    for name in ["authorization", "x-token", "referer"] {
        assert_eq!(there[0].header(name), "", "{name}");
    }
    let told = server.json("/v1/apps/live/streams").to_string()
        + &server.json("/readyz").to_string()
        + &server.log();
    for secret in ["pa55word", "t0ken", "c00kie", "que4y", "bWU6"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
}

#[test]
fn what_a_call_had_pulled_is_pulled_after_a_restart_until_a_call_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::new(folder.path());
    let mut server = Server::start("interval_seconds = 600").once_ready();
    let path = "/v1/apps/live/streams/cam";
    let body = json!({"url": origin.url("cam.m3u8"), "headers": {"X-Token": "5ecret"}}).to_string();
    assert_eq!(server.send("PUT", path, &body).status, 201);
    assert_eq!(server.send("PUT", path, &body).status, 200);
    let pieces = some(24);
    let mut live = Live::new(folder.path(), "cam", Kind::Event, Some(DATE));
    play(&server, &mut live, &pieces[..6]);
    server.wait_for_segments(6);
    server.stop();
    live.publish(&pieces[6], false);
    server.run();
    play(&server, &mut live, &pieces[7..10]);
    server.wait("all of it", || {
        server.counted("clipmill_segments_indexed_total") >= 4
    });
    assert!(
        origin
            .asked()
            .iter()
            .all(|asked| asked.header("x-token") == "5ecret")
    );
    assert_eq!(server.send("DELETE", path, "").status, 204);
    assert_eq!(server.send("DELETE", path, "").status, 409);
    // It is still live, and nobody else's.
    assert_eq!(server.send("PUT", path, &body).status, 201);
    assert_eq!(server.send("DELETE", path, "").status, 204);
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces[..10]]);
    let asked = origin.asked().len();
    live.publish(&pieces[10], false);
    server.stop();
    server.run();
    server.wait_until_ready();
    let shown = server.json(path);
    assert_eq!(
        (&shown["source"]["kind"], &shown["state"]),
        (&json!("folder"), &json!("ended"))
    );
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(origin.asked().len(), asked);
}

#[test]
fn the_configuration_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::new(folder.path());
    let server = Server::start("interval_seconds = 600").once_ready();
    let pieces = some(9);
    let mut live = Live::new(folder.path(), "cam", Kind::Event, Some(DATE));
    for piece in &pieces {
        live.publish(piece, false);
    }
    live.end();
    assert_eq!(server.get("/v1/apps/live/streams/cam").unwrap().0, 404);
    let url = origin.url("cam.m3u8");
    server.reconfigure(&format!(
        "interval_seconds = 600\n[[app.pull]]\nid = \"cam\"\nurl = \"{url}\"\n"
    ));
    server.wait("pulled", || {
        server.get("/v1/apps/live/streams/cam").unwrap().0 == 200
    });
    wait_for_end(&server, "cam");
    assert_tiles(&server.clips("cam"), &[&pieces]);
    let refused = server.send("DELETE", "/v1/apps/live/streams/cam", "");
    assert_eq!(refused.status, 409);
    server.reconfigure("interval_seconds = 600");
    server.wait("pulled no more", || {
        server.json("/v1/apps/live/streams/cam")["source"]["kind"] == "folder"
    });
}

#[test]
fn an_id_that_is_somebody_elses_is_refused() {
    let server = Server::start("interval_seconds = 600").once_ready();
    let mut live = Live::new(&server.streams(), "cam", Kind::Event, Some(DATE));
    live.publish(&some(3)[0], false);
    server.wait_for_segments(1);
    let refused = server.send(
        "PUT",
        "/v1/apps/live/streams/cam",
        "{\"url\": \"http://127.0.0.1:9/\"}",
    );
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(refused.header("content-type"), "application/problem+json");
    // Nor do those that are pushed and those that are pulled take one another's.
    let nowhere = "{\"url\": \"http://127.0.0.1:9/x.m3u8\"}";
    let pushed = server.send("PUT", "/live/ingest/pushed/0.ts", "G");
    assert_eq!(pushed.status, 201, "{pushed:?}");
    let refused = server.send("PUT", "/v1/apps/live/streams/pushed", nowhere);
    assert_eq!(refused.status, 409, "{refused:?}");
    let made = server.send("PUT", "/v1/apps/live/streams/pulled", nowhere);
    assert_eq!(made.status, 201, "{made:?}");
    let marked = server.streams().join("pulled/.pull.json");
    server.wait("marked", || marked.exists());
    let refused = server.send("PUT", "/live/ingest/pulled/0.ts", "G");
    assert_eq!(refused.status, 409, "{refused:?}");
}

/// Who can name URLs must not have the server look around where only it can reach.
#[test]
fn addresses_that_only_the_server_can_reach_are_for_the_operator_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (origin, inner) = (Origin::new(folder.path()), Origin::new(folder.path()));
    let pieces = some(6);
    let mut live = Live::new(folder.path(), "cam", Kind::Event, Some(DATE));
    for piece in &pieces {
        live.publish(piece, false);
    }
    live.end();
    origin.plan(
        "away.m3u8",
        Fault::Redirect(inner.url("cam.m3u8")),
        usize::MAX,
    );
    origin.plan(
        "cam00001.ts",
        Fault::Redirect(inner.url("cam00001.ts")),
        usize::MAX,
    );
    let pull = |id: &str, file: &str| {
        let url = origin.url(file);
        format!("[[app.pull]]\nid = \"{id}\"\nurl = \"{url}\"\n")
    };
    let lines = format!(
        "interval_seconds = 600\nsegment_patience = \"300ms\"\n{}{}",
        pull("cam", "cam.m3u8"),
        pull("away", "away.m3u8")
    );
    let home = tempfile::tempdir().unwrap();
    let server = clipmill_tests::server::Server::start_openly(home.path(), &lines);
    let stream = |id: &str| server.get(&format!("/v1/apps/live/streams/{id}")).json();
    let problem = clipmill_tests::server::eventually("it is refused", || {
        let problem = stream("away")["source"]["problem"].as_str()?.to_owned();
        problem.contains("may not be reached").then_some(problem)
    });
    assert!(problem.contains("this machine's own address"), "{problem}");
    // What the operator named is pulled all the same, but for what leads elsewhere.
    let playlist = home.path().join("streams/cam.m3u8");
    let mirror = clipmill_tests::server::eventually("it is pulled", || {
        let text = fs::read_to_string(&playlist).ok()?;
        text.contains("#EXT-X-ENDLIST").then_some(text)
    });
    assert_eq!(mirror.matches("#EXT-X-GAP\n").count(), 1, "{mirror}");
    assert_eq!(inner.asked().len(), 0);
    let body = json!({"url": origin.url("cam.m3u8")}).to_string();
    let refused = server.send("PUT", "/v1/apps/live/streams/new", &[], &body);
    assert_eq!(refused.status, 400);
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("may not be reached")
    );
}
