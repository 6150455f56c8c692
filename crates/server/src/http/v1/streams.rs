//! Streams, and where they come from.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Asked, Page};
use super::problem::Problem;
use crate::config::AppSettings;
use crate::domain::{Instant, PullSource, StreamEntry, StreamStatus};
use crate::http::answer::{Json, Path, Query, body};
use crate::http::fault::{Fault, Kind};
use crate::http::{App, Web, WebState};
use crate::pull::{Made, NotPulled, PullStatus};

/// Streams asked of the catalog at a time.
const PAGE: usize = 500;

/// A stream.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Stream {
    /// Its id.
    id: String,
    /// What people call it.
    name: Option<String>,
    /// How it stands: `live`, `ended`, or `waiting` while nothing of it was seen yet.
    state: &'static str,
    /// Where it comes from.
    source: Source,
    /// The end of its newest complete segment, while it is live.
    live_edge: Option<String>,
    /// What is kept of it for its DVR window; null where that is nothing, or it has none.
    dvr: Option<Dvr>,
}

/// What is kept of a stream, whatever its source still lists.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Dvr {
    /// When it begins.
    from: String,
    /// The live edge, or when it ends.
    to: String,
    /// Of the segments that no clip in the making needs.
    bytes: u64,
}

/// Where a stream comes from.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Source {
    /// `folder`, or `pull` where it is fetched from another server.
    kind: &'static str,
    /// Its playlist there, without user, password and query.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The variant that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    /// `configuration`, or `api` where a call had it pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    set_by: Option<&'static str>,
    /// Why nothing comes of it just now.
    problem: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem_since: Option<String>,
}

/// A stream that is to be pulled from another server.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Pulled {
    /// Its playlist, `http` or `https`; with user and password for basic authentication.
    url: String,
    /// `best` (the default), a name, a height (`720p`), a highest bandwidth, or `all`.
    #[serde(default)]
    variant: Option<String>,
    /// What every request to that server carries. They are never given back.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// The streams of an application, in the order of their ids.
#[utoipa::path(
    get, path = "/v1/apps/{app}/streams", tag = "streams",
    params(
        ("app" = String, Path),
        ("state" = Option<String>, Query, description = "`live`, `ended` or `waiting`"),
        ("q" = Option<String>, Query, description = "A part of the id or name"),
        ("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)
    ),
    responses(
        (status = 200, body = Page<Stream>),
        (status = 400, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)
    )
)]
pub(in crate::http) async fn list(
    State(web): WebState,
    Extension(app): App,
    query: Query,
) -> Result<Json<Page<Stream>>, Fault> {
    let states = [("live", "live"), ("ended", "ended"), ("waiting", "waiting")];
    let state = query.choice("state", &states)?;
    let text = query.text("q").map(str::to_lowercase);
    let asked = Asked::of(&query)?;
    let mut pulled = web.pulls.all(&app.name);
    let mut all = BTreeMap::new();
    loop {
        let page = web.catalog.streams(&app.name, all.len(), PAGE).await?;
        let more = page.len() == PAGE;
        for entry in page {
            all.insert(entry.id.clone(), entry);
        }
        if !more {
            break;
        }
    }
    let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
    for (id, entry) in all {
        let status = pulled.remove(&id);
        streams.insert(id.clone(), shown(&web, &app, id, Some(&entry), status));
    }
    for (id, status) in pulled {
        streams.insert(id.clone(), shown(&web, &app, id, None, Some(status)));
    }
    let wanted = |stream: &Stream| {
        let named = |text: &String| {
            let name = stream.name.as_deref().unwrap_or_default();
            stream.id.to_lowercase().contains(text) || name.to_lowercase().contains(text)
        };
        state.is_none_or(|state| state == stream.state) && text.as_ref().is_none_or(named)
    };
    let found: Vec<Stream> = streams.into_values().filter(wanted).collect();
    Ok(Json(asked.cut(found, |stream| &stream.id)))
}

/// A stream.
#[utoipa::path(
    get, path = "/v1/apps/{app}/streams/{id}", tag = "streams",
    params(("app" = String, Path), ("id" = String, Path)),
    responses(
        (status = 200, body = Stream), (status = 403, body = Problem), (status = 404, body = Problem)
    )
)]
pub(in crate::http) async fn get(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<Stream>, Fault> {
    match found(&web, &app, &id).await? {
        Some(stream) => Ok(Json(stream)),
        None => Err(Fault::missing("There is no such stream")),
    }
}

/// Has a stream pulled from another server, from now on and after a restart: 201 where nothing was pulled under
/// this id, 200 where something else was.
#[utoipa::path(
    put, path = "/v1/apps/{app}/streams/{id}", tag = "streams",
    params(("app" = String, Path), ("id" = String, Path)), request_body = Pulled,
    responses(
        (status = 200, body = Stream), (status = 201, body = Stream),
        (status = 400, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "The id belongs to another source"),
        (status = 507, body = Problem)
    )
)]
pub(in crate::http) async fn put(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Fault> {
    let body = body(request).await?;
    // What it says of a value that does not fit might show a secret.
    let pulled: Pulled = serde_json::from_slice(&body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Fault::bad(format!(
            "The body is no object with url, variant and headers as texts ({place})"
        ))
    })?;
    let source = PullSource {
        id: id.clone(),
        url: pulled.url,
        variant: pulled.variant.unwrap_or_default(),
        headers: pulled.headers,
    };
    // A stream that comes from elsewhere and is live has its id for itself.
    let is_live = web.clipping.live_edge(&app.name, &id).is_some();
    let made = web.pulls.put(&app, source, is_live).await?;
    let status = match made {
        Made::New => StatusCode::CREATED,
        Made::Replaced => StatusCode::OK,
    };
    let stream = found(&web, &app, &id).await?;
    let stream = stream.ok_or_else(|| Fault::internal("a stream is gone at once"))?;
    Ok((status, Json(stream)).into_response())
}

/// Has a stream pulled no more. What came of it stays, and can still be clipped.
#[utoipa::path(
    delete, path = "/v1/apps/{app}/streams/{id}", tag = "streams",
    params(("app" = String, Path), ("id" = String, Path)),
    responses(
        (status = 204), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "The configuration has it pulled, or it comes from elsewhere")
    )
)]
pub(in crate::http) async fn delete(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Fault> {
    if web.pulls.remove(&app, &id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    match web.catalog.stream(&app.name, &id).await? {
        Some(_) => Err(Fault::new(
            Kind::Conflict,
            "This stream is not pulled from anywhere",
        )),
        None => Err(Fault::missing("There is no such stream")),
    }
}

async fn found(web: &Web, app: &AppSettings, id: &str) -> Result<Option<Stream>, Fault> {
    let entry = web.catalog.stream(&app.name, id).await?;
    let status = web.pulls.status(&app.name, id);
    let known = entry.is_some() || status.is_some();
    Ok(known.then(|| shown(web, app, id.to_owned(), entry.as_ref(), status)))
}

fn shown(
    web: &Web,
    app: &AppSettings,
    id: String,
    entry: Option<&StreamEntry>,
    pulled: Option<PullStatus>,
) -> Stream {
    let state = match entry.map(|entry| entry.status) {
        Some(StreamStatus::Live) => "live",
        Some(StreamStatus::Ended | StreamStatus::Interrupted) => "ended",
        Some(StreamStatus::Announced) | None => "waiting",
    };
    let dvr = web.clipping.dvr_reach(&app.name, &id);
    let edge = web.clipping.live_edge(&app.name, &id);
    let edge = edge.filter(|_| state == "live");
    let source = match pulled {
        Some(status) => {
            let (problem, since) = status.problem.unzip();
            Source {
                kind: "pull",
                url: Some(status.url),
                variant: Some(status.variant),
                set_by: Some(if status.configured {
                    "configuration"
                } else {
                    "api"
                }),
                problem,
                problem_since: since.map(|ms| Instant(ms).to_string()),
            }
        }
        None => Source {
            kind: "folder",
            url: None,
            variant: None,
            set_by: None,
            problem: None,
            problem_since: None,
        },
    };
    Stream {
        name: entry.and_then(|entry| entry.name.clone()),
        state,
        source,
        live_edge: edge.map(|(edge, _)| Instant(edge).to_string()),
        dvr: dvr.map(|dvr| Dvr {
            from: Instant(dvr.from_ms).to_string(),
            to: Instant(dvr.to_ms).to_string(),
            bytes: dvr.bytes,
        }),
        id,
    }
}

impl From<NotPulled> for Fault {
    fn from(error: NotPulled) -> Self {
        match error {
            NotPulled::Invalid(why) => Self::bad(why),
            NotPulled::Taken(why) => Self::new(Kind::Conflict, why),
            NotPulled::Catalog(error) => error.into(),
        }
    }
}
