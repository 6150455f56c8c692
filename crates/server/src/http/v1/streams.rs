//! Streams, and where they come from.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::etag;
use super::page::{Asked, Page};
use super::problem::Problem;
use super::settings::{InForce, periodic_of_app};
use crate::config::AppSettings;
use crate::domain::{Instant, Periodic, PullSource, StreamEntry, StreamStatus};
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
    /// What holds for it.
    #[serde(flatten)]
    in_force: InForce,
}

/// What is known of a stream.
pub(super) struct Known {
    pub(super) id: String,
    pub(super) entry: Option<StreamEntry>,
    pub(super) pulled: Option<PullStatus>,
    /// What holds for the periodic clips of its application.
    pub(super) periodic: Periodic,
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
    let periodic = periodic_of_app(&web, &app).await?;
    let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
    let mut show = |id: String, entry, pulled| {
        let known = Known {
            id: id.clone(),
            entry,
            pulled,
            periodic,
        };
        streams.insert(id, known.shown(&web, &app));
    };
    for (id, entry) in all {
        let status = pulled.remove(&id);
        show(id, Some(entry), status);
    }
    for (id, status) in pulled {
        show(id, None, Some(status));
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

/// A stream. Its `ETag` stands for its name and for what was set for it: all that `PATCH` changes.
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
) -> Result<Response, Fault> {
    let known = Known::find(&web, &app, &id).await?;
    let tag = [(header::ETAG, known.tag(&app))];
    Ok((tag, Json(known.shown(&web, &app))).into_response())
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
    let stream = Known::find(&web, &app, &id).await?;
    Ok((status, Json(stream.shown(&web, &app))).into_response())
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

impl Known {
    pub(super) async fn find(web: &Web, app: &AppSettings, id: &str) -> Result<Self, Fault> {
        let entry = web.catalog.stream(&app.name, id).await?;
        let pulled = web.pulls.status(&app.name, id);
        if entry.is_none() && pulled.is_none() {
            return Err(Fault::missing("There is no such stream"));
        }
        Ok(Self {
            id: id.to_owned(),
            entry,
            pulled,
            periodic: periodic_of_app(web, app).await?,
        })
    }

    /// The version of what calls can change of it.
    pub(super) fn tag(&self, app: &AppSettings) -> HeaderValue {
        let entry = self.entry.as_ref();
        let name = entry.and_then(|entry| entry.name.as_ref());
        let set = entry.map(|entry| app.still_set(&entry.settings));
        etag::tag_of(&(name, set.unwrap_or_default()))
    }

    pub(super) fn shown(self, web: &Web, app: &AppSettings) -> Stream {
        let Self {
            id,
            entry,
            pulled,
            periodic,
        } = self;
        let set = entry.as_ref().map(|entry| entry.settings);
        let in_force = InForce::new(app, periodic, &set.unwrap_or_default());
        shown(web, app, id, entry.as_ref(), pulled, in_force)
    }
}

fn shown(
    web: &Web,
    app: &AppSettings,
    id: String,
    entry: Option<&StreamEntry>,
    pulled: Option<PullStatus>,
    in_force: InForce,
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
        in_force,
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
