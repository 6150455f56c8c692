//! Recordings: clips whose ends are open, or lie ahead.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::clips::{Clip, made, object, record, tagged, titled};
use super::page::{Asked, Page};
use super::problem::Problem;
use crate::config::AppSettings;
use crate::domain::{RecordedWindow, now_ms};
use crate::http::answer::{Json, Path, Query, body};
use crate::http::ant_media::clips::{check_length, refused};
use crate::http::fault::Fault;
use crate::http::instants::{self, Side};
use crate::http::{App, Web, WebState};
use crate::recorder::ClipWindow;

/// A recording that is to begin.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct NewRecording {
    /// Where it begins: RFC 3339, or seconds or milliseconds since the Unix epoch; the live edge by default. It may lie in
    /// the past, as far as the stream is kept, or in the future.
    from: Option<String>,
    /// Where it ends; open by default.
    to: Option<String>,
    /// What people shall call the clip; the stream's name otherwise.
    title: Option<String>,
    /// What people file it under.
    tags: Vec<String>,
}

/// The recordings of a stream that run or are scheduled.
#[utoipa::path(
    get, path = "/v1/apps/{app}/streams/{id}/recordings", tag = "recordings",
    params(
        ("app" = String, Path), ("id" = String, Path),
        ("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)
    ),
    responses((status = 200, body = Page<Clip>), (status = 403, body = Problem), (status = 404, body = Problem))
)]
pub(in crate::http) async fn list(
    State(web): WebState,
    Extension(app): App,
    Path((_, stream)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Page<Clip>>, Fault> {
    let asked = Asked::of(&query)?;
    let recorded = web.clipping.recorded(&app.name).into_iter();
    let own = recorded.filter(|window| window.stream_id == stream);
    let own: Vec<_> = own
        .map(|window| (window.id.clone(), Clip::recorded(&web, &app.name, window)))
        .collect();
    Ok(Json(asked.keyed(own)))
}

/// A recording that runs or is scheduled. When it is over it is a clip of the same id.
#[utoipa::path(
    get, path = "/v1/apps/{app}/streams/{id}/recordings/{recording}", tag = "recordings",
    params(("app" = String, Path), ("id" = String, Path), ("recording" = String, Path)),
    responses((status = 200, body = Clip), (status = 403, body = Problem), (status = 404, body = Problem))
)]
pub(in crate::http) async fn get(
    State(web): WebState,
    Extension(app): App,
    Path((_, stream, id)): Path<(String, String, String)>,
) -> Result<Json<Clip>, Fault> {
    let window = running(&web, &app, &stream, &id).await?;
    Ok(Json(Clip::recorded(&web, &app.name, window)))
}

/// Begins a recording: at the live edge, or at an instant of the past or the future. Its media plays at once, and is a
/// clip when it is stopped or its end has come. Several may run at the same time.
#[utoipa::path(
    post, path = "/v1/apps/{app}/streams/{id}/recordings", tag = "recordings",
    params(("app" = String, Path), ("id" = String, Path)), request_body = NewRecording,
    responses(
        (status = 201, body = Clip), (status = 400, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem)
    )
)]
pub(in crate::http) async fn create(
    State(web): WebState,
    Extension(app): App,
    Path((_, stream)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Fault> {
    let asked: NewRecording = object(&body(request).await?)?;
    let at = async |name: &str, text: Option<&str>, side: Side| match text {
        Some(text) => {
            let place = (app.name.as_str(), stream.as_str());
            let found = instants::find(&web, place, (name, text), side).await;
            found.map(Some)
        }
        None => Ok(None),
    };
    let from = at("from", asked.from.as_deref(), Side::Begin).await?;
    let to_ms = at("to", asked.to.as_deref(), Side::End).await?;
    let from_ms = from.unwrap_or_else(|| edge(&web, &app, &stream));
    if let Some(to_ms) = to_ms {
        if to_ms <= from_ms {
            return Err(Fault::bad("to must be later than from"));
        }
        check_length(&app, to_ms.saturating_sub(from_ms))?;
    }
    let window = RecordedWindow {
        stream_id: stream,
        from_ms,
        to_ms,
        title: titled(asked.title)?,
        tags: tagged(asked.tags)?,
        ..RecordedWindow::default()
    };
    let clip = record(&web, &app, window).await?;
    Ok(made(StatusCode::CREATED, &app.name, clip))
}

/// Stops a recording at the live edge: 202, and it is a clip as soon as what came until then is there. One that has not
/// begun is called off: 204.
#[utoipa::path(
    delete, path = "/v1/apps/{app}/streams/{id}/recordings/{recording}", tag = "recordings",
    params(("app" = String, Path), ("id" = String, Path), ("recording" = String, Path)),
    responses(
        (status = 202, body = Clip), (status = 204, description = "It had not begun, and will not"),
        (status = 403, body = Problem), (status = 404, body = Problem)
    )
)]
pub(in crate::http) async fn stop(
    State(web): WebState,
    Extension(app): App,
    Path((_, stream, id)): Path<(String, String, String)>,
) -> Result<Response, Fault> {
    running(&web, &app, &stream, &id).await?;
    let at = edge(&web, &app, &stream);
    let ended = web.clipping.end_recording(&app.name, &id, at).await;
    let ended = ended.map_err(|error| refused(error, ClipWindow::SinceBoundary))?;
    let window = ended.ok_or_else(missing)?;
    if window.to_ms.is_some_and(|to| to <= window.from_ms) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let clip = Clip::recorded(&web, &app.name, window);
    Ok(made(StatusCode::ACCEPTED, &app.name, clip))
}

/// The live edge of a stream; this machine's clock where it is not live.
fn edge(web: &Web, app: &AppSettings, stream: &str) -> i64 {
    let edge = web.clipping.live_edge(&app.name, stream);
    edge.map_or_else(now_ms, |(edge, _)| edge)
}

async fn running(
    web: &Web,
    app: &AppSettings,
    stream: &str,
    id: &str,
) -> Result<RecordedWindow, Fault> {
    // From the moment at which it is a clip it is nothing else.
    if web.catalog.clip(&app.name, id).await?.is_some() {
        return Err(missing());
    }
    let mut recorded = web.clipping.recorded(&app.name).into_iter();
    let found = recorded.find(|window| window.id == id && window.stream_id == stream);
    found.ok_or_else(missing)
}

fn missing() -> Fault {
    Fault::missing("There is no such recording")
}
