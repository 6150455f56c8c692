//! Markers: named instants and windows on streams, set by calls or brought by the media.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Asked, Page};
use super::problem::Problem;
use super::streams::Known;
use crate::domain::{Instant, MarkerOrigin, clip_id, now_ms, percent_encoded_part};
use crate::http::answer::{Json, Path, Query, body};
use crate::http::fault::{Fault, Kind};
use crate::http::instants::{self, Side};
use crate::http::{App, WebState};

/// The longest name, in bytes.
const LONGEST_NAME: usize = 1024;

/// Markers that calls may set on one stream.
const MOST: usize = 10_000;

/// A marker.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Marker {
    /// Its id: as `marker:{id}` it names an end of a clip.
    id: String,
    /// What people call it.
    name: Option<String>,
    /// `CLASS` of `EXT-X-DATERANGE`, or what the call that set it said.
    class: Option<String>,
    /// When it begins.
    from: String,
    /// When it ends: that of an instant when it begins; null: it has not ended yet.
    to: Option<String>,
    /// `call` where a call set it, `daterange` where the playlist has it, `scte35` where the segments do.
    source: &'static str,
}

/// A marker that is to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewMarker {
    /// An instant (RFC 3339): for one that has no length.
    at: Option<String>,
    /// When it begins (RFC 3339).
    from: Option<String>,
    /// When it ends (RFC 3339).
    to: Option<String>,
    /// What people call it.
    name: Option<String>,
    /// What kind of thing it marks.
    class: Option<String>,
}

impl From<crate::domain::Marker> for Marker {
    fn from(marker: crate::domain::Marker) -> Self {
        Self {
            name: marker.name,
            class: marker.class,
            from: Instant(marker.from_ms).to_string(),
            to: marker.to_ms.map(|to| Instant(to).to_string()),
            source: match marker.origin {
                MarkerOrigin::Call => "call",
                MarkerOrigin::DateRange => "daterange",
                MarkerOrigin::Splice => "scte35",
            },
            id: marker.id,
        }
    }
}

/// Its place in the list of the markers of a stream.
fn cursor(marker: &crate::domain::Marker) -> String {
    // Instants sort as their distance from the earliest that there is.
    let place = i128::from(marker.from_ms) - i128::from(i64::MIN);
    format!("{place:020}-{}", marker.id)
}

impl NewMarker {
    /// When it begins and ends, in milliseconds since 1970.
    fn window(&self) -> Result<(i64, i64), Fault> {
        let instant = |name: &str, text: &str| {
            let read = DateTime::parse_from_rfc3339(text.trim());
            let read = read.map_err(|_| {
                Fault::bad(format!(
                    "{name} is not an instant: write 2026-11-22T14:05:00Z"
                ))
            })?;
            Ok::<i64, Fault>(read.timestamp_millis())
        };
        match (&self.at, &self.from, &self.to) {
            (Some(at), None, None) => instant("at", at).map(|at| (at, at)),
            (None, Some(from), Some(to)) => {
                let (from, to) = (instant("from", from)?, instant("to", to)?);
                if to < from {
                    return Err(Fault::bad("to lies before from"));
                }
                Ok((from, to))
            }
            _ => Err(Fault::bad("A marker has either at, or from and to")),
        }
    }

    fn check(&self) -> Result<(), Fault> {
        let names = [("name", &self.name), ("class", &self.class)];
        let long = names.into_iter().find(|(_, text)| {
            text.as_ref()
                .is_some_and(|text| text.len() > LONGEST_NAME || text.trim().is_empty())
        });
        match long {
            Some((name, _)) => Err(Fault::bad(format!(
                "{name} is empty, or longer than {LONGEST_NAME} bytes"
            ))),
            None => Ok(()),
        }
    }
}

/// Sets a marker on a stream: an instant, or a window. It is kept as long as clips of it can be made.
#[utoipa::path(
    post, path = "/v1/apps/{app}/streams/{id}/markers", tag = "markers",
    params(("app" = String, Path), ("id" = String, Path)), request_body = NewMarker,
    responses(
        (status = 201, body = Marker, headers(("Location" = String))),
        (status = 400, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "The stream has too many"), (status = 507, body = Problem)
    )
)]
pub(in crate::http) async fn post(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Fault> {
    let text = body(request).await?;
    let fields: serde_json::Result<serde_json::Map<_, _>> = serde_json::from_slice(&text);
    let new = fields.and_then(|fields| serde_json::from_value::<NewMarker>(fields.into()));
    let new =
        new.map_err(|error| Fault::bad(format!("The body is not what this call takes: {error}")))?;
    new.check()?;
    let (from_ms, to_ms) = new.window()?;
    Known::find(&web, &app, &id).await?;
    if web.catalog.markers(&app.name, &id, false).await?.len() >= MOST {
        return Err(Fault::new(
            Kind::Conflict,
            format!("This stream has {MOST} markers: some have to be removed first"),
        ));
    }
    let marker = crate::domain::Marker {
        id: clip_id(),
        name: new.name,
        class: new.class,
        from_ms,
        to_ms: Some(to_ms),
        origin: MarkerOrigin::Call,
        set_ms: now_ms(),
        event: None,
    };
    web.catalog.put_marker(&app.name, &id, &marker).await?;
    let place = format!(
        "/v1/apps/{}/streams/{}/markers/{}",
        app.name,
        percent_encoded_part(&id),
        marker.id
    );
    let place = HeaderValue::try_from(place).map_err(Fault::internal)?;
    let answer = Json(Marker::from(marker));
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], answer).into_response())
}

/// The markers of a stream, by their beginnings.
#[utoipa::path(
    get, path = "/v1/apps/{app}/streams/{id}/markers", tag = "markers",
    params(
        ("app" = String, Path), ("id" = String, Path),
        ("from" = Option<String>, Query, description = "Those that end later: RFC 3339, seconds or milliseconds since 1970, or `marker:{id}`"),
        ("to" = Option<String>, Query, description = "Those that begin earlier"),
        ("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)
    ),
    responses(
        (status = 200, body = Page<Marker>),
        (status = 400, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)
    )
)]
pub(in crate::http) async fn list(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Page<Marker>>, Fault> {
    let asked = Asked::of(&query)?;
    Known::find(&web, &app, &id).await?;
    let edge = async |name: &str, side: Side, absent: i64| match query.text(name) {
        Some(text) => instants::find(&web, (&app.name, &id), (name, text), side).await,
        None => Ok(absent),
    };
    let from_ms = edge("from", Side::Begin, i64::MIN).await?;
    let to_ms = edge("to", Side::End, i64::MAX).await?;
    let mut all = web.catalog.markers(&app.name, &id, false).await?;
    all.retain(|marker| marker.is_in(from_ms, to_ms));
    let mut shown: Vec<(String, Marker)> = all
        .into_iter()
        .map(|marker| (cursor(&marker), marker.into()))
        .collect();
    shown.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Json(asked.keyed(shown)))
}

/// A marker.
#[utoipa::path(
    get, path = "/v1/apps/{app}/streams/{id}/markers/{marker}", tag = "markers",
    params(("app" = String, Path), ("id" = String, Path), ("marker" = String, Path)),
    responses(
        (status = 200, body = Marker), (status = 403, body = Problem), (status = 404, body = Problem)
    )
)]
pub(in crate::http) async fn get(
    State(web): WebState,
    Extension(app): App,
    Path((_, id, marker)): Path<(String, String, String)>,
) -> Result<Json<Marker>, Fault> {
    match web.catalog.marker(&app.name, &id, &marker).await? {
        Some(marker) => Ok(Json(marker.into())),
        None => Err(instants::no_marker(&marker)),
    }
}

/// Removes a marker. One that the media brings does not come back.
#[utoipa::path(
    delete, path = "/v1/apps/{app}/streams/{id}/markers/{marker}", tag = "markers",
    params(("app" = String, Path), ("id" = String, Path), ("marker" = String, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem))
)]
pub(in crate::http) async fn delete(
    State(web): WebState,
    Extension(app): App,
    Path((_, id, marker)): Path<(String, String, String)>,
) -> Result<StatusCode, Fault> {
    match web.catalog.remove_marker(&app.name, &id, &marker).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(instants::no_marker(&marker)),
    }
}
