use std::path::Path;

use super::*;
use crate::catalog::{Boundary, ClipQuery, Moved};
use crate::config::AppSettings;
use crate::recorder::stream::Stream;
use crate::recorder::testing::shared;

/// A stream in a folder, of the demo's segments of two seconds.
struct Site {
    streams: tempfile::TempDir,
    app: Arc<App>,
    shared: Arc<Shared>,
    stream: Stream,
    _data: tempfile::TempDir,
}

impl Site {
    fn new(interval: Duration) -> Self {
        let (streams, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let settings = AppSettings::new("live", streams.path());
        let app = Arc::new(App::new(Arc::new(settings)));
        app.set_interval(Some(interval));
        let shared = shared(data.path());
        Self {
            stream: Stream::start("cam", &shared, &app),
            streams,
            app,
            shared,
            _data: data,
        }
    }

    /// Lists so many segments, and has the stream looked at.
    fn publish(&self, count: usize, ended: bool) {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo");
        let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
        for number in 0..count {
            let name = format!("seg{number:02}.ts");
            let path = self.streams.path().join(&name);
            if !path.exists() {
                std::fs::copy(demo.join(&name), path).unwrap();
            }
            let second = 2 * number;
            text.push_str(&format!(
                "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:{second:02}Z\n#EXTINF:2,\n{name}\n"
            ));
        }
        if ended {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        let path = self.streams.path().join("cam.m3u8");
        let part = path.with_extension("part");
        std::fs::write(&part, text).unwrap();
        std::fs::rename(part, &path).unwrap();
        self.app.playlists().scan().unwrap();
        self.stream.tell(Command::Look(Duration::ZERO));
    }

    async fn boundary(&self) -> Option<Boundary> {
        self.shared.catalog.boundary("live", "cam").await.unwrap()
    }
}

async fn eventually<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..3000 {
        if let Some(found) = found().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

/// As when the files of an earlier run are found after recording began: what is made then comes behind
/// them, each clip once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clips_come_behind_a_boundary_that_was_found_late() {
    let site = Site::new(Duration::from_secs(4));
    site.publish(1, false);
    let begun = eventually("recording", async || site.boundary().await).await;
    assert_eq!(begun.ordinal, 0);
    let late = Boundary {
        ordinal: 50,
        ..begun
    };
    let catalog = &site.shared.catalog;
    let moved = catalog.move_boundary("live", "cam", &late).await;
    assert_eq!(moved.unwrap(), Moved::Now);
    site.publish(4, true);
    let last = eventually("the last clip", async || {
        site.boundary().await.filter(|boundary| boundary.finished)
    });
    assert_eq!(last.await.ordinal, 52);
    let query = ClipQuery {
        size: 10,
        ..ClipQuery::default()
    };
    let clips = catalog.clips("live", &query).await.unwrap();
    // Sound is heard for a frame before the first picture.
    let seconds: Vec<_> = clips.iter().map(|clip| clip.duration_ms / 1000).collect();
    assert_eq!(seconds, [4, 4]);
    let stored = std::fs::read_dir(site.streams.path()).unwrap();
    let stored = stored.filter(|found| {
        let path = found.as_ref().unwrap().path();
        path.extension().is_some_and(|kind| kind == "mp4")
    });
    assert_eq!(stored.count(), 2, "nothing is left of what came too late");
    site.app.close();
}
