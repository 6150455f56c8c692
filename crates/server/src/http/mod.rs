//! The HTTP interface: every call of the contract, playback, and what operators look at.
//!
//! - `server`: connections, their limits, and how they end;
//! - `auth`: who may call;
//! - `fault`: why a call was not done;
//! - `ant_media`: Ant Media Server's calls, its JSON and its words for faults; `form`: what an upload comes in;
//! - `v1`: the interface of Clipmill's own;
//! - `files`: clips, playlists and segments; `virtual_clips`: clips laid out on request;
//! - `ingest`: streams that are pushed;
//! - `status`: health, metrics, and the description of all this.

mod answer;
mod ant_media;
mod auth;
mod fault;
mod files;
mod form;
mod ingest;
mod instants;
mod server;
mod status;
mod v1;
mod virtual_clips;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;
use tower::util::MapRequest;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::auth::self_test;
use self::fault::{Fault, Kind};
pub use self::server::{Gate, HttpServer};
use crate::catalog::Catalog;
use crate::config::Settings;
use crate::ingest::Ingest;
use crate::metrics;
use crate::pull::Pulls;
use crate::recorder::Clipping;
use crate::storage::ClipStore;

/// What the calls work on.
#[derive(Clone)]
pub struct Web {
    /// The settings, as they are now.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// Clips, broadcasts and webhooks.
    pub catalog: Arc<dyn Catalog>,
    /// The clip files.
    pub store: Arc<dyn ClipStore>,
    /// Who cuts.
    pub clipping: Arc<dyn Clipping>,
    /// Streams that are pushed.
    pub ingest: Arc<Ingest>,
    /// Who pulls streams from other servers.
    pub pulls: Pulls,
}

/// Does something that blocks.
async fn blocking<T: Send + 'static, E: Into<Fault> + Send + 'static>(
    job: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(job).await {
        Ok(done) => done.map_err(Into::into),
        Err(error) => Err(Fault::internal(error)),
    }
}

/// Runs a job that blocks on the clip store and awaits the catalog.
async fn spawn_blocking_async<T: Send + 'static, E: Into<Fault> + Send + 'static, F>(
    job: impl FnOnce() -> F + Send + 'static,
) -> Result<T, Fault>
where
    F: Future<Output = Result<T, E>>,
{
    match crate::schedule::spawn_blocking_async(job).await {
        Ok(done) => done.map_err(Into::into),
        Err(error) => Err(Fault::internal(error)),
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Clipmill",
        description = "Cuts MP4 clips out of live HLS, periodically and on demand.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(ant_media::json::ApiResult))
)]
struct Api;

/// The routes with all that surrounds them, and their description.
pub fn router(web: Web) -> (Router, Description) {
    let (router, description) = described(web);
    (around(router), description)
}

/// The routes, and their description.
fn described(web: Web) -> (Router, Description) {
    let rest = OpenApiRouter::new()
        .routes(routes!(ant_media::clips::start_periodic))
        .routes(routes!(ant_media::clips::stop_periodic))
        .routes(routes!(ant_media::clips::on_demand))
        .routes(routes!(ant_media::clips::by_range))
        .routes(routes!(ant_media::clips::clean_up))
        .routes(routes!(ant_media::vods::get, ant_media::vods::delete))
        .routes(routes!(ant_media::uploads::create))
        .routes(routes!(ant_media::vods::list))
        .routes(routes!(ant_media::vods::count))
        .routes(routes!(ant_media::vods::count_matching))
        .routes(routes!(ant_media::vods::delete_many))
        .routes(routes!(ant_media::broadcasts::create))
        .routes(routes!(
            ant_media::broadcasts::get,
            ant_media::broadcasts::change,
            ant_media::broadcasts::delete
        ))
        .routes(routes!(ant_media::broadcasts::list))
        .routes(routes!(ant_media::broadcasts::count))
        .routes(routes!(ant_media::broadcasts::count_live))
        .routes(routes!(ant_media::recordings::switch))
        .routes(routes!(ant_media::recordings::hls_to_mp4))
        .merge(v1::routes())
        .route_layer(middleware::from_fn_with_state(web.clone(), auth::check));
    let open = OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(files::get))
        .routes(routes!(ingest::put, ingest::delete))
        .routes(routes!(files::of_window))
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(status::metrics))
        .routes(routes!(status::openapi));
    let (router, mut description) = open.merge(rest).with_state(web).split_for_parts();
    // The router's way to say that a parameter spans several segments is not OpenAPI's.
    let paths = std::mem::take(&mut description.paths.paths);
    description.paths.paths = paths
        .into_iter()
        .map(|(path, item)| (path.replace("{*", "{"), item))
        .collect();
    let router = router
        .layer(axum::Extension(Arc::new(description.clone())))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed);
    (router, description)
}

/// What surrounds all routes.
fn around(router: Router) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::RANGE,
            header::IF_RANGE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            auth::PROXY_AUTHORIZATION,
        ])
        .expose_headers([
            header::ACCEPT_RANGES,
            header::CONTENT_DISPOSITION,
            header::CONTENT_LENGTH,
            header::CONTENT_RANGE,
            header::ETAG,
            header::LAST_MODIFIED,
            header::LOCATION,
            ant_media::clips::VOD_ID,
        ])
        .max_age(Duration::from_secs(86_400));
    let router = router
        .layer(CatchPanicLayer::custom(
            |_: Box<dyn std::any::Any + Send>| {
                Fault::internal("a request stopped unexpectedly").into_response()
            },
        ))
        .layer(middleware::from_fn(v1::problem::worded))
        // Whoever plays clips, or asks for what is not there, knows no other words.
        .layer(middleware::map_response(ant_media::fault::worded))
        .layer(middleware::from_fn(count))
        .layer(cors);
    Router::new().fallback_service(MapRequest::new(router, without_slash))
}

/// To a client of Ant Media Server, a REST call with a slash at its end is the same call.
fn without_slash(mut request: Request) -> Request {
    let uri = request.uri();
    let is_rest = uri.path().split('/').nth(2) == Some("rest");
    if !is_rest || !uri.path().ends_with('/') {
        return request;
    }
    let path = uri.path().trim_end_matches('/');
    let path = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = path.try_into().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// Counts a request. The route, not the path, so that there are only as many numbers as routes.
async fn count(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let begun = Instant::now();
    let answer = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    metrics::http_request(method, route, answer.status().as_u16(), begun.elapsed());
    answer
}

async fn unknown() -> Fault {
    Fault::missing("There is nothing here")
}

async fn not_allowed() -> Fault {
    Fault::new(Kind::NotAllowed, "This is not done here with this method")
}

/// What is answered until the catalog is open.
pub fn not_ready() -> Router {
    async fn later() -> Fault {
        Fault::new(Kind::NotNow, "The catalog is not open yet")
    }
    let router = Router::new()
        .route("/healthz", axum::routing::get(status::healthz))
        .route("/metrics", axum::routing::get(status::metrics))
        .fallback(later);
    around(router)
}

/// The settings of the application that a request names.
type App = axum::Extension<Arc<crate::config::AppSettings>>;

type WebState = State<Web>;

#[cfg(test)]
mod tests;
