//! What is counted, under which names.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Clips made, by `app` and `kind` (`periodic`, `on_demand`).
pub const CLIPS_MADE: &str = "clipmill_clips_made_total";
/// Clips that failed, by `app` and `kind`.
pub const CLIPS_FAILED: &str = "clipmill_clips_failed_total";
/// Bytes of clips made, by `app`.
pub const CLIP_BYTES: &str = "clipmill_clip_bytes_total";
/// How long it took to make a clip, in seconds, by `app` and `kind`.
pub const CLIP_SECONDS: &str = "clipmill_clip_make_seconds";
/// How long clips are, in seconds, by `app` and `kind`.
pub const CLIP_DURATION: &str = "clipmill_clip_duration_seconds";
/// How long after its last sample was there a clip was done, in seconds, by `app`.
pub const CLIP_LATENESS: &str = "clipmill_clip_lateness_seconds";
/// Periodic clips of which the media was written while its segments arrived, by `app`.
pub const CLIPS_AHEAD: &str = "clipmill_clips_written_ahead_total";
/// Periodic clips that were written ahead, and then all the same anew, by `app`.
pub const CLIPS_ANEW: &str = "clipmill_clips_written_anew_total";
/// Streams that are live, by `app`.
pub const STREAMS_LIVE: &str = "clipmill_streams_live";
/// Segments indexed, by `app`.
pub const SEGMENTS_INDEXED: &str = "clipmill_segments_indexed_total";
/// Bytes of segments that are kept from deletion.
pub const SPOOL_BYTES: &str = "clipmill_spool_bytes";
/// Bytes of segments that may be kept from deletion.
pub const SPOOL_LIMIT: &str = "clipmill_spool_limit_bytes";
/// 1 while recording stands still for want of room.
pub const DISK_FULL: &str = "clipmill_disk_full";

/// Segments that were pulled from other servers, by `app`.
pub const PULLED_SEGMENTS: &str = "clipmill_pull_segments_total";
/// Bytes of them, by `app`.
pub const PULLED_BYTES: &str = "clipmill_pull_bytes_total";
/// Requests for them and their playlists that failed, by `app`.
pub const PULL_FAILURES: &str = "clipmill_pull_failures_total";
/// Streams of other servers of which nothing comes, by `app`.
pub const PULL_PROBLEMS: &str = "clipmill_pull_problems";

const HOOKS_DELIVERED: &str = "clipmill_webhooks_delivered_total";
const HOOK_TRIES_FAILED: &str = "clipmill_webhook_tries_failed_total";
const HOOKS_GIVEN_UP: &str = "clipmill_webhooks_failed_total";
const HOOKS_WAITING: &str = "clipmill_webhook_queue";
const INGESTED: &str = "clipmill_ingest_bytes_total";
const INGEST_CALLS: &str = "clipmill_ingest_calls_total";
const HTTP_REQUESTS: &str = "clipmill_http_requests_total";
const HTTP_SECONDS: &str = "clipmill_http_request_seconds";
const HTTP_CONNECTIONS: &str = "clipmill_http_connections";
const RETIRED: &str = "clipmill_clips_removed_total";

/// Bounds of the histograms, in seconds.
const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// Begins to count. There is one set of metrics per process.
pub fn install() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let all = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new();
        // Fails only for want of bounds.
        let builder = builder
            .set_buckets_for_metric(all, &SECONDS)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Where a program has installed its own, it sees these numbers, and ours stay empty.
        let _ = metrics::set_global_recorder(recorder);
        describe();
        handle
    })
}

fn describe() {
    describe_counter!(CLIPS_MADE, "Clips made");
    describe_counter!(CLIPS_FAILED, "Clips that could not be made");
    describe_counter!(CLIP_BYTES, "Bytes of clips made");
    describe_histogram!(CLIP_SECONDS, "Time taken to make a clip");
    describe_histogram!(CLIP_DURATION, "Duration of clips made");
    describe_histogram!(
        CLIP_LATENESS,
        "Time from a clip's last sample being there to its end"
    );
    describe_counter!(
        CLIPS_AHEAD,
        "Periodic clips written while their segments arrived"
    );
    describe_counter!(
        CLIPS_ANEW,
        "Periodic clips written ahead that had to be written anew"
    );
    describe_gauge!(STREAMS_LIVE, "Streams that are live");
    describe_counter!(SEGMENTS_INDEXED, "Segments read and indexed");
    describe_gauge!(SPOOL_BYTES, "Bytes of segments kept from deletion");
    describe_gauge!(SPOOL_LIMIT, "Bytes of segments that may be kept");
    describe_gauge!(DISK_FULL, "1 while recording stands still for want of room");
    describe_counter!(PULLED_SEGMENTS, "Segments pulled from other servers");
    describe_counter!(PULLED_BYTES, "Bytes of segments pulled");
    describe_counter!(PULL_FAILURES, "Requests to other servers that failed");
    describe_gauge!(
        PULL_PROBLEMS,
        "Streams of other servers of which nothing comes"
    );
    describe_counter!(HOOKS_DELIVERED, "Webhooks delivered");
    describe_counter!(HOOK_TRIES_FAILED, "Tries to deliver a webhook that failed");
    describe_counter!(HOOKS_GIVEN_UP, "Webhooks given up");
    describe_gauge!(HOOKS_WAITING, "Webhooks waiting to be delivered");
    describe_counter!(INGESTED, "Bytes of pushed files that came");
    describe_counter!(
        INGEST_CALLS,
        "Calls of those who push, also of those who did not wait for an answer"
    );
    describe_counter!(HTTP_REQUESTS, "HTTP requests answered");
    describe_histogram!(HTTP_SECONDS, "Time until an HTTP answer begins");
    describe_gauge!(HTTP_CONNECTIONS, "HTTP connections open");
    describe_counter!(RETIRED, "Clips removed by retention");
    // Shown from the first scrape on, so that nobody has to guess whether they exist.
    gauge!(HOOKS_WAITING).set(0.0);
    gauge!(SPOOL_BYTES).set(0.0);
    gauge!(DISK_FULL).set(0.0);
}

pub(crate) fn spool_limit(bytes: u64) {
    gauge!(SPOOL_LIMIT).set(bytes as f64);
}

/// What is counted of an application is shown from the first scrape on, too.
pub(crate) fn application(name: &str) {
    for kind in ["periodic", "on_demand", "recording"] {
        for counted in [CLIPS_MADE, CLIPS_FAILED] {
            counter!(counted, "app" => name.to_owned(), "kind" => kind).increment(0);
        }
    }
    for counted in [
        CLIP_BYTES,
        SEGMENTS_INDEXED,
        HOOKS_DELIVERED,
        HOOK_TRIES_FAILED,
        HOOKS_GIVEN_UP,
        RETIRED,
        INGESTED,
        PULLED_SEGMENTS,
        PULLED_BYTES,
        PULL_FAILURES,
    ] {
        counter!(counted, "app" => name.to_owned()).increment(0);
    }
}

pub(crate) fn pulled(app: &str, segments: u64, bytes: u64) {
    counter!(PULLED_SEGMENTS, "app" => app.to_owned()).increment(segments);
    counter!(PULLED_BYTES, "app" => app.to_owned()).increment(bytes);
}

pub(crate) fn pull_failed(app: &str) {
    counter!(PULL_FAILURES, "app" => app.to_owned()).increment(1);
}

/// One more stream of another server has a problem, or one less.
pub(crate) fn pull_problem(app: &str, change: f64) {
    gauge!(PULL_PROBLEMS, "app" => app.to_owned()).increment(change);
}

pub(crate) fn webhook_delivered(app: &str) {
    counter!(HOOKS_DELIVERED, "app" => app.to_owned()).increment(1);
}

pub(crate) fn webhook_try_failed(app: &str) {
    counter!(HOOK_TRIES_FAILED, "app" => app.to_owned()).increment(1);
}

pub(crate) fn webhook_given_up(app: &str) {
    counter!(HOOKS_GIVEN_UP, "app" => app.to_owned()).increment(1);
}

pub(crate) fn webhook_queue(waiting: i64) {
    gauge!(HOOKS_WAITING).set(waiting as f64);
}

pub(crate) fn clips_removed(app: &str, count: u64) {
    counter!(RETIRED, "app" => app.to_owned()).increment(count);
}

pub(crate) fn ingest_call(app: &str, status: u16) {
    counter!(INGEST_CALLS, "app" => app.to_owned(), "status" => status.to_string()).increment(1);
}

pub(crate) fn ingested(app: &str, bytes: u64) {
    counter!(INGESTED, "app" => app.to_owned()).increment(bytes);
}

pub(crate) fn connection_opened() {
    gauge!(HTTP_CONNECTIONS).increment(1.0);
}

pub(crate) fn connection_closed() {
    gauge!(HTTP_CONNECTIONS).decrement(1.0);
}

pub(crate) fn http_request(method: &'static str, route: &str, status: u16, took: Duration) {
    let route = route.to_owned();
    counter!(HTTP_REQUESTS, "method" => method, "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    histogram!(HTTP_SECONDS, "method" => method, "route" => route).record(took);
}
