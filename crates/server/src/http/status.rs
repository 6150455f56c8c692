//! What operators look at.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi as Description;

use super::WebState;
use super::answer::Json;
use crate::config::Settings;

/// So many sources are named at most.
const MOST_SOURCES: usize = 100;

/// Whether the server can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Whether it can.
    ready: bool,
    /// Why not.
    reasons: Vec<String>,
    /// What is wrong with streams that are pulled from other servers, which keeps this one from nothing else.
    sources: Vec<String>,
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "status", responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The catalog is open, every application's folder can be read, and nothing keeps it from
/// recording.
#[utoipa::path(
    get, path = "/readyz", tag = "status",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub(super) async fn readyz(State(web): WebState) -> Response {
    let settings = Arc::clone(&web.settings.borrow());
    let looked = tokio::task::spawn_blocking(move || unreadable(&settings)).await;
    let mut reasons = looked.unwrap_or_else(|error| vec![error.to_string()]);
    if let Err(error) = web.catalog.deliveries_after(u64::MAX, 1).await {
        reasons.push(error.to_string());
    }
    reasons.extend(web.clipping.status().trouble);
    let ready = reasons.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut sources = web.pulls.problems();
    sources.truncate(MOST_SOURCES);
    let readiness = Readiness {
        ready,
        reasons,
        sources,
    };
    (status, Json(readiness)).into_response()
}

/// The folders that cannot be read.
fn unreadable(settings: &Settings) -> Vec<String> {
    let mut reasons = Vec::new();
    for app in &settings.apps {
        let folders = [Some(&app.streams_dir), app.clips_dir.as_ref()];
        for (folder, clips) in folders.into_iter().flatten().zip([false, true]) {
            // Ours is made with the first clip.
            if clips && !folder.exists() {
                continue;
            }
            if let Err(error) = std::fs::read_dir(folder) {
                reasons.push(format!("{}: {}: {error}", app.name, folder.display()));
            }
        }
    }
    reasons
}

/// Numbers, as Prometheus reads them.
#[utoipa::path(
    get, path = "/metrics", tag = "status",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics() -> Response {
    let handle = crate::metrics::install();
    handle.run_upkeep();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], handle.render()).into_response()
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "status",
    responses((status = 200, content_type = "application/json"))
)]
pub(super) async fn openapi(
    axum::Extension(description): axum::Extension<Arc<Description>>,
) -> Response {
    Json(&*description).into_response()
}
