use std::path::Path;
use std::sync::Mutex;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::catalog::SledCatalog;
use crate::catalog::conformance::enqueue;

/// Answers each request with the next status; 0 hangs.
async fn receiver_that(answers: Vec<u16>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        while let Ok((mut stream, _)) = listener.accept().await {
            let status = answers.next().unwrap_or(200);
            let requests = Arc::clone(&requests);
            tokio::spawn(async move {
                let mut text = Vec::new();
                let mut piece = [0; 4096];
                while !complete(&text) {
                    let count = stream.read(&mut piece).await.unwrap();
                    if count == 0 {
                        return;
                    }
                    text.extend_from_slice(&piece[..count]);
                }
                requests
                    .lock()
                    .unwrap()
                    .push(String::from_utf8(text).unwrap());
                if status == 0 {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
                let answer = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    (url, seen)
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let len = head.split("content-length: ").nth(1);
    let len: usize = len.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
    body.len() >= len
}

struct Post {
    catalog: Arc<SledCatalog>,
    settings: watch::Sender<Arc<Settings>>,
    folder: tempfile::TempDir,
}

impl Post {
    fn new(change: impl FnOnce(&mut AppSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = "[[app]]\nname = \"live\"\nstreams_dir = \"/\"\n";
        let mut settings = Settings::from_toml(text).unwrap();
        let mut app = AppSettings::new("live", Path::new("/s"));
        change(&mut app);
        settings.apps = vec![Arc::new(app)];
        Self {
            catalog: Arc::new(SledCatalog::open(folder.path()).unwrap().catalog),
            settings: watch::channel(Arc::new(settings)).0,
            folder,
        }
    }

    async fn queue(&self, url: &str, name: &str) {
        let hook = Delivery {
            id: name.to_owned(),
            app: "live".into(),
            url: url.to_owned(),
            payload: json!({"action": "vodReady", "id": name})
                .as_object()
                .unwrap()
                .clone(),
            created_ms: now_ms(),
            attempts: 0,
            next_ms: now_ms(),
            last_error: None,
        };
        enqueue(&*self.catalog, &[hook]).await;
    }

    fn start(&self) -> (watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let catalog = Arc::clone(&self.catalog) as Arc<dyn Catalog>;
        let deliveries = Deliveries::new(catalog, self.settings.subscribe()).unwrap();
        let (stop, stopped) = watch::channel(false);
        (stop, tokio::spawn(deliveries.run(stopped)))
    }

    /// What was claimed is so no more.
    fn restart(&mut self) {
        let elsewhere = tempfile::tempdir().unwrap();
        let other = SledCatalog::open(elsewhere.path()).unwrap().catalog;
        drop(std::mem::replace(&mut self.catalog, Arc::new(other)));
        let catalog = SledCatalog::open(self.folder.path()).unwrap().catalog;
        self.catalog = Arc::new(catalog);
    }

    async fn left(&self) -> usize {
        let left = self.catalog.deliveries_after(0, 100).await;
        left.unwrap().len()
    }
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn a_webhook_is_tried_under_one_id_until_it_is_taken() {
    let post = Post::new(|app| app.webhook_secret = Some("key".into()));
    let (url, seen) = receiver_that(vec![500, 302, 204]).await;
    post.queue(&url, "first").await;
    let (stop, running) = post.start();
    until("delivered", async || post.left().await == 0).await;
    let requests = seen.lock().unwrap().clone();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
        let lower = request.to_lowercase();
        assert!(
            lower.contains("x-clipmill-delivery: first\r\n"),
            "{request}"
        );
        assert!(
            lower.contains("content-type: application/json\r\n"),
            "{request}"
        );
        let (_, signature) = lower.split_once("x-clipmill-signature: t=").unwrap();
        let (seconds, rest) = signature.split_once(",v1=").unwrap();
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let app = post.settings.borrow().app("live").cloned().unwrap();
        let expected = signature_of(&app, seconds.parse().unwrap(), body);
        assert!(expected.ends_with(&rest[..64]));
    }
    stop.send_replace(true);
    running.await.unwrap();
}

fn signature_of(app: &AppSettings, seconds: i64, body: &str) -> String {
    signature(Some(app), seconds, body.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_nobody_else() {
    let post = Post::new(|app| app.webhook_timeout = Duration::from_secs(30));
    let (hanging, _) = receiver_that(vec![0; 50]).await;
    let (good, seen) = receiver_that(Vec::new()).await;
    let (_stop, _running) = post.start();
    for number in 0..10 {
        post.queue(&hanging, &format!("h{number}")).await;
    }
    for number in 0..10 {
        post.queue(&good, &format!("g{number}")).await;
    }
    until("all of the good one's", async || {
        seen.lock().unwrap().len() == 10
    })
    .await;
    // That the last was delivered is written down after its receiver has it.
    until("those of the other are left", async || {
        post.left().await == 10
    })
    .await;
}

#[tokio::test]
async fn of_two_servers_with_one_catalog_each_webhook_is_sent_by_one() {
    let post = Post::new(|_| {});
    let (url, seen) = receiver_that(vec![500; 5]).await;
    for number in 0..20 {
        post.queue(&url, &format!("n{number}")).await;
    }
    let ((one, first), (other, second)) = (post.start(), post.start());
    until("delivered", async || post.left().await == 0).await;
    // Five were refused, and tried once more each.
    assert_eq!(seen.lock().unwrap().len(), 25);
    one.send_replace(true);
    other.send_replace(true);
    first.await.unwrap();
    second.await.unwrap();
}

#[tokio::test]
async fn what_is_too_old_is_listed_as_failed() {
    let post = Post::new(|app| app.webhook_max_age = Duration::from_millis(1500));
    // Nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    post.queue(&url, "lost").await;
    let (_stop, _running) = post.start();
    let failed = async || post.catalog.failed_deliveries().await.unwrap();
    until("given up", async || !failed().await.is_empty()).await;
    let failed = failed().await.remove(0);
    assert_eq!(failed.id, "lost");
    assert!(
        failed.attempts >= 2 && failed.last_error.is_some(),
        "{failed:?}"
    );
    assert_eq!(post.left().await, 0);
}

#[tokio::test]
async fn the_queue_goes_on_after_a_restart() {
    let mut post = Post::new(|_| {});
    let (url, seen) = receiver_that(vec![0]).await;
    post.queue(&url, "again").await;
    let (_stop, running) = post.start();
    until("tried", async || seen.lock().unwrap().len() == 1).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    post.restart();
    let (stop, running) = post.start();
    until("delivered", async || post.left().await == 0).await;
    assert_eq!(seen.lock().unwrap().len(), 2);
    stop.send_replace(true);
    running.await.unwrap();
}

#[test]
fn pauses_grow_and_end_at_five_minutes() {
    for (attempts, longest) in [
        (1, 1),
        (2, 2),
        (5, 16),
        (9, 256),
        (10, 300),
        (u32::MAX, 300),
    ] {
        for _ in 0..50 {
            let found = pause(attempts).as_secs_f64();
            let longest = f64::from(longest);
            assert!(
                (longest / 2.0..=longest).contains(&found),
                "{attempts}: {found}"
            );
        }
    }
}

#[test]
fn a_clock_that_is_set_neither_ends_tries_nor_delays_them() {
    const DAY: i64 = 86_400_000;
    let day = Duration::from_secs(86_400);
    let hook = |attempts: u32, created_ms: i64, next_ms: i64| Delivery {
        id: String::new(),
        app: "live".into(),
        url: "http://a/".into(),
        payload: serde_json::Map::new(),
        created_ms,
        attempts,
        next_ms,
        last_error: None,
    };
    // Set forward by forty days after one try; after many.
    assert!(!is_given_up(&hook(1, 0, 0), day, 40 * DAY));
    assert!(!is_given_up(&hook(200, 0, 0), day, 40 * DAY));
    assert!(is_given_up(&hook(400, 0, 0), day, 40 * DAY));
    // Set back it does not go on for ever.
    assert!(!is_given_up(&hook(400, 0, 0), day, -40 * DAY));
    assert!(is_given_up(&hook(800, 0, 0), day, -40 * DAY));
    // As it should be.
    assert!(!is_given_up(&hook(400, 0, 0), day, DAY - 1));
    assert!(is_given_up(&hook(400, 0, 0), day, DAY));
    // After a restart.
    assert_eq!(rest(&hook(0, 0, DAY), 0), Duration::ZERO);
    assert_eq!(rest(&hook(3, 0, 3000), 0), Duration::from_secs(3));
    assert_eq!(rest(&hook(3, 0, DAY), 0), Duration::from_secs(4));
    assert_eq!(rest(&hook(3, 0, 0), DAY), Duration::ZERO);
}

#[test]
fn receivers_are_told_apart_by_scheme_host_and_port() {
    assert_eq!(receiver("http://a/x?y"), receiver("http://a:80/z"));
    assert_ne!(receiver("http://a/"), receiver("http://a:81/"));
    assert_eq!(receiver("nonsense"), "nonsense");
}
