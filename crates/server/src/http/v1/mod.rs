//! Clipmill's own interface, below `/v1`: an adapter of what the server means by streams and clips
//! (`crate::domain`) to JSON with RFC 3339 instants.
//!
//! - `problem`: how it says what went wrong (RFC 9457);
//! - `etag`: versions of what can be changed;
//! - `clips`: clips, and windows that become some;
//! - `recordings`: clips whose ends are open;
//! - `page`: how lists are given, page by page;
//! - `streams`: streams and where they come from;
//! - `settings`: what is set for single streams;
//! - `markers`: named instants and windows on them.

pub(super) mod clips;
mod etag;
mod many;
pub(super) mod markers;
mod page;
pub(super) mod problem;
pub(super) mod recordings;
pub(super) mod settings;
pub(super) mod streams;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Web;

/// The calls. Whoever may make them is looked at by whoever takes them in.
pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(streams::list))
        .routes(routes!(
            streams::get,
            streams::put,
            streams::delete,
            settings::patch
        ))
        .routes(routes!(clips::list, clips::create))
        .routes(routes!(clips::get, clips::delete))
        .routes(routes!(recordings::list, recordings::create))
        .routes(routes!(recordings::get, recordings::stop))
        .routes(routes!(markers::list, markers::post))
        .routes(routes!(markers::get, markers::delete))
}
