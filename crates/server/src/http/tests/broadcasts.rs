//! Entries of streams.

use super::*;
use crate::catalog::change_stream;

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
    assert!(crate::domain::is_stream_id(
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

    let live = |b: &mut StreamEntry| b.status = crate::domain::StreamStatus::Live;
    change_stream(&*site.catalog, "live", "cam", live)
        .await
        .unwrap();
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
