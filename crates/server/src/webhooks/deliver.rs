//! The delivery of queued webhooks.
//!
//! The queue lies in the catalog. A dispatcher reads what is new in it and hands each webhook to
//! the task of its receiver (scheme, host and port), which tries a few at a time, each at its own
//! due time: a receiver that hangs holds up only what is meant for it. In memory there are only
//! places and due times; what is sent is read when it is sent, and claimed for as long as that takes, so
//! that of several servers with one catalog one delivers it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use clipmill::net::{BackOff, in_one_line};
use clipmill::source::Reach;
use rand::RngExt;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use url::Url;

use super::request::{body, signature};
use crate::catalog::{Catalog, CatalogError, Claim, Claimed};
use crate::clients::Clients;
use crate::config::{AppSettings, Settings};
use crate::domain::{Delivery, now_ms};
use crate::metrics;

/// Tries of one receiver at the same time.
const AT_ONCE: usize = 4;

/// Queue entries read at a time.
const PAGE: usize = 256;

/// The pauses between tries.
const PAUSES: BackOff = BackOff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(300),
};

/// How long a try may take where no setting says so.
const USUAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A receiver's task ends after so long without work.
const IDLE: Duration = Duration::from_secs(60);

/// What a claim lasts longer than the longest try: what is written down about a try may take so long.
const TO_WRITE: Duration = Duration::from_secs(30);

/// How often the queue is looked at even though nobody says that something was added.
const LOOK: Duration = Duration::from_secs(5);

/// Delivers what is queued in the catalog.
#[derive(Clone)]
pub struct Deliveries {
    catalog: Arc<dyn Catalog>,
    settings: watch::Receiver<Arc<Settings>>,
    clients: Clients,
    waiting: Arc<AtomicI64>,
}

/// When a webhook is due. A clock that is set neither holds it back nor hurries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    /// Its place in the queue.
    place: u64,
    /// How often it had been tried when that was known.
    attempts: u32,
}

impl Due {
    fn of(place: u64, hook: &Delivery) -> Self {
        Self {
            at: Instant::now() + rest(hook, now_ms()),
            place,
            attempts: hook.attempts,
        }
    }

    fn later(self, pause: Duration) -> Self {
        let at = Instant::now() + pause;
        Self { at, ..self }
    }
}

impl Deliveries {
    /// Deliveries of what is queued in `catalog`.
    ///
    /// # Errors
    /// When no connection could be secured.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        settings: watch::Receiver<Arc<Settings>>,
    ) -> Result<Self, String> {
        let clients = Clients::new(&[], |client| client)?;
        Ok(Self {
            catalog,
            settings,
            clients,
            waiting: Arc::default(),
        })
    }

    /// Delivers until `stop` changes; tries that are under way come to their end.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let added = self.catalog.deliveries_added();
        let mut receivers: HashMap<String, mpsc::UnboundedSender<Due>> = HashMap::new();
        let mut tasks = JoinSet::new();
        let mut last = 0;
        while !*stop.borrow() {
            let page = match self.catalog.deliveries_after(last, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "cannot read the webhook queue");
                    Vec::new()
                }
            };
            let more = page.len() == PAGE;
            for (place, hook) in page {
                last = place;
                self.count(1);
                let receiver = receiver(&hook.url);
                let due = Due::of(place, &hook);
                let known = receivers.get(&receiver);
                if known.is_some_and(|known| known.send(due).is_ok()) {
                    continue;
                }
                let (sender, queue) = mpsc::unbounded_channel();
                let _ = sender.send(due);
                receivers.insert(receiver, sender);
                tasks.spawn(self.clone().serve(queue, stop.clone()));
            }
            while tasks.try_join_next().is_some() {}
            receivers.retain(|_, sender| !sender.is_closed());
            if !more {
                tokio::select! {
                    () = added.notified() => {}
                    () = tokio::time::sleep(LOOK) => {}
                    _ = stop.changed() => {}
                }
            }
        }
        drop(receivers);
        while tasks.join_next().await.is_some() {}
    }

    /// Serves one receiver.
    async fn serve(self, mut queue: mpsc::UnboundedReceiver<Due>, mut stop: watch::Receiver<bool>) {
        let mut due = BTreeSet::<Due>::new();
        let mut tries = JoinSet::new();
        loop {
            let is_due = |due: &Due| due.at <= Instant::now();
            while tries.len() < AT_ONCE && due.first().is_some_and(is_due) {
                if let Some(one) = due.pop_first() {
                    tries.spawn(self.clone().attempt(one));
                }
            }
            let full = tries.len() >= AT_ONCE;
            let next = due.first().filter(|_| !full);
            let idle = due.is_empty() && tries.is_empty();
            let pause = match next {
                Some(next) => next.at.saturating_duration_since(Instant::now()),
                None => IDLE,
            };
            tokio::select! {
                arrived = queue.recv() => match arrived {
                    Some(one) => {
                        due.insert(one);
                    }
                    None if idle => return,
                    None if *stop.borrow() => break,
                    None => tokio::time::sleep(pause.min(LOOK)).await,
                },
                Some(tried) = tries.join_next() => {
                    due.extend(tried.ok().flatten());
                }
                () = tokio::time::sleep(pause) => {
                    // Nothing more is taken in; what was handed over meanwhile is still done.
                    if idle {
                        queue.close();
                    }
                }
                _ = stop.changed() => break,
            }
        }
        while tries.join_next().await.is_some() {}
    }

    /// Tries once; gives when to try again.
    async fn attempt(self, due: Due) -> Option<Due> {
        let lease = self.lease();
        let Due {
            place, attempts, ..
        } = due;
        let claimed = match self.catalog.claim_delivery(place, attempts, lease).await {
            Ok(Claim::Yours(claimed)) => claimed,
            Ok(Claim::Changed(hook)) => return Some(Due::of(place, &hook)),
            Ok(Claim::Taken) => return Some(due.later(LOOK)),
            Ok(Claim::Gone) => {
                self.count(-1);
                return None;
            }
            Err(error) => {
                tracing::error!(%error, "cannot read a webhook");
                return Some(due.later(LOOK));
            }
        };
        self.try_claimed(claimed).await
    }

    /// How long a webhook is one's own: longer than any try takes.
    fn lease(&self) -> Duration {
        let settings = self.settings.borrow();
        let timeouts = settings.apps.iter().map(|app| app.webhook_timeout);
        timeouts.max().unwrap_or(USUAL_TIMEOUT) + TO_WRITE
    }

    async fn try_claimed(self, mut claimed: Claimed) -> Option<Due> {
        let (place, hook) = (claimed.place, &mut claimed.delivery);
        let app = self.settings.borrow().app(&hook.app).cloned();
        let sent = self.send(hook, app.as_deref()).await;
        let action = hook
            .payload
            .get("action")
            .and_then(|action| action.as_str());
        let action = action.unwrap_or_default().to_owned();
        let Err(error) = sent else {
            metrics::webhook_delivered(&hook.app);
            tracing::info!(
                app = hook.app,
                url = hook.url,
                action,
                delivery = hook.id,
                attempts = hook.attempts + 1,
                "webhook delivered"
            );
            let finished = self.catalog.finish_delivery(place).await;
            self.settled(place, finished);
            return None;
        };
        hook.attempts += 1;
        hook.last_error = Some(error.clone());
        metrics::webhook_try_failed(&hook.app);
        let max_age = app.map_or(Duration::from_secs(24 * 3600), |app| app.webhook_max_age);
        let now = now_ms();
        if is_given_up(hook, max_age, now) {
            metrics::webhook_given_up(&hook.app);
            tracing::error!(
                app = hook.app,
                url = hook.url,
                action,
                delivery = hook.id,
                attempts = hook.attempts,
                error,
                "webhook given up"
            );
            let failed = self.catalog.fail_delivery(&claimed).await;
            self.settled(place, failed.map(drop));
            return None;
        }
        let mut pause = pause(hook.attempts);
        // The last try comes when the time is up, not a pause later.
        let left = max_age.saturating_sub(age(hook, now));
        if !left.is_zero() {
            pause = pause.min(left);
        }
        hook.next_ms = now.saturating_add(millis(pause));
        tracing::warn!(
            app = hook.app,
            url = hook.url,
            action,
            delivery = hook.id,
            attempts = hook.attempts,
            error,
            "webhook not delivered yet"
        );
        let due = Due {
            at: Instant::now() + pause,
            place,
            attempts: hook.attempts,
        };
        if let Err(error) = self.catalog.retry_delivery(&claimed).await {
            tracing::error!(%error, "cannot store how often a webhook was tried");
        }
        Some(due)
    }

    async fn send(&self, hook: &Delivery, app: Option<&AppSettings>) -> Result<(), String> {
        let kind = app.map(|app| app.webhook_content_type).unwrap_or_default();
        let timeout = app.map_or(USUAL_TIMEOUT, |app| app.webhook_timeout);
        let (body, content_type) = body(hook, kind);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let mut own = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        own("x-clipmill-delivery", hook.id.clone());
        if let Some(signature) = signature(app, now_ms() / 1000, &body) {
            own("x-clipmill-signature", signature);
        }
        let url = Url::parse(&hook.url).map_err(|error| error.to_string())?;
        let reach = match app {
            Some(app) => app.webhook_reach(&url),
            None => Reach::Public,
        };
        reach.check_url(&url).map_err(|error| error.to_string())?;
        let client = self.clients.within(reach);
        let request = client.post(url).headers(headers).body(body);
        match request.timeout(timeout).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("the receiver answered {}", answer.status())),
            Err(error) => Err(in_one_line(&error.without_url())),
        }
    }

    /// A webhook leaves the queue.
    fn settled(&self, place: u64, done: Result<(), CatalogError>) {
        self.count(-1);
        if let Err(error) = done {
            tracing::error!(place, %error, "cannot take a webhook off the queue");
        }
    }

    fn count(&self, change: i64) {
        let waiting = self.waiting.fetch_add(change, Ordering::Relaxed) + change;
        metrics::webhook_queue(waiting);
    }
}

/// Whom a URL reaches.
fn receiver(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization())
}

/// How long a webhook of an earlier run still has to wait.
fn rest(hook: &Delivery, now_ms: i64) -> Duration {
    between(now_ms, hook.next_ms).min(PAUSES.after(hook.attempts))
}

/// By the clock.
fn age(hook: &Delivery, now_ms: i64) -> Duration {
    between(hook.created_ms, now_ms)
}

/// Zero where the second comes first.
fn between(from_ms: i64, to_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(to_ms.saturating_sub(from_ms)).unwrap_or_default())
}

/// Whether a webhook has been tried for long enough. The clock alone does not decide, as it may have
/// been set, or the server not have run: pauses of that length must have been made too.
fn is_given_up(hook: &Delivery, max_age: Duration, now_ms: i64) -> bool {
    let pauses: Duration = (1..=hook.attempts).map(|n| PAUSES.after(n)).sum();
    pauses >= max_age && (age(hook, now_ms) >= max_age || pauses >= max_age * 2)
}

/// One second after the first failed try, doubled with each further one up to five minutes, and
/// shortened by up to half, so that receivers that come back are not met by all at once.
fn pause(attempts: u32) -> Duration {
    PAUSES
        .after(attempts)
        .mul_f64(rand::rng().random_range(0.5..=1.0))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
