//! Clips on demand and periodic ones.

use super::*;

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
    let kept = site.catalog.periodic("live").await.unwrap().unwrap();
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
    assert!(
        !site
            .catalog
            .periodic("live")
            .await
            .unwrap()
            .unwrap()
            .enabled
    );
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
        let mut expected = no(message);
        if stream == "empty" {
            expected["reason"] = json!("its playlist lists no segment");
        }
        assert_eq!(
            site.call("POST", &format!("mp4/{stream}")).await,
            (417, expected)
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
    let now = crate::domain::now_ms();
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
        .begin(Arc::new(storage::FileContent::shared(Arc::clone(&file))));
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
