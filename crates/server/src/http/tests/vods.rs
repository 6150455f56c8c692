//! Entries of clips, and files without one.

use super::*;

#[tokio::test]
async fn files_that_nothing_points_to_are_cleaned_up() {
    let site = Site::new();
    let clip = site.clip(1, "cam", "").await;
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
    assert!(!stray.exists() && site.streams.path().join(clip.file_name).exists());
}

#[tokio::test]
async fn vods_are_listed_counted_and_deleted() {
    let site = Site::new();
    let mut clips = Vec::new();
    for (number, stream) in [(3, "a"), (1, "b"), (2, "a")] {
        clips.push(site.clip(number, stream, "Über alles").await);
    }
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

    let id = &clips[0].id;
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
    assert!(!site.streams.path().join(&clips[0].file_name).exists());
    assert_eq!(delete(&format!("/{id}")).await["success"], false);
    // The first that fails is the last that is tried.
    let ids = format!("{},none,{}", clips[1].id, clips[2].id);
    assert_eq!(delete(&format!("?ids={ids}")).await["success"], false);
    assert_eq!(list("0/50").await, [2]);
    assert_eq!(
        delete(&format!("/?ids={}", clips[2].id)).await,
        done("vod deleted")
    );
}
