//! The calls on streams.

use axum::Extension;
use axum::extract::{Request, State};
use serde_json::{Map, Value};
use url::Url;

use super::json::{ApiResult, Broadcast, Count};
use super::vods::page;
use crate::catalog::change_stream;
use crate::config::AppSettings;
use crate::domain::{StreamEntry, StreamSettings, StreamStatus, clip_id, is_stream_id, now_ms};
use crate::http::answer::{Json, Path, body};
use crate::http::fault::Fault;
use crate::http::{App, WebState};

/// Fields that only what happens on the disk can say.
const OURS_ALONE: [&str; 3] = ["status", "startTime", "date"];

/// Fields that nobody else can change once a broadcast is there.
const OURS: [&str; 5] = ["streamId", "status", "startTime", "date", "subFolder"];

/// Announces a stream.
#[utoipa::path(
    post, path = "/{app}/rest/v2/broadcasts/create", tag = "broadcasts",
    params(("app" = String, Path)), request_body = Broadcast,
    responses(
        (status = 200, body = Broadcast), (status = 400, body = ApiResult),
        (status = 403, body = String), (status = 404, body = ApiResult)
    )
)]
pub(in crate::http) async fn create(
    State(web): WebState,
    Extension(app): App,
    request: Request,
) -> Result<Json<Broadcast>, Fault> {
    let mut fields = fields(request).await?;
    for name in OURS_ALONE {
        fields.remove(name);
    }
    let mut broadcast = with(&Broadcast::default(), &fields)?;
    let given = broadcast.stream_id.trim().to_owned();
    broadcast.stream_id = if given.is_empty() { clip_id() } else { given };
    if !is_stream_id(&broadcast.stream_id) {
        return Err(Fault::bad(
            "A streamId has 1 to 128 bytes, no dot first, and no slash, backslash, control character \
             or two dots in a row",
        ));
    }
    check(&app, &broadcast)?;
    broadcast.date = now_ms();
    let added = broadcast.clone().into();
    let added = web.catalog.replace_stream(&app.name, None, &added, None);
    if added.await? {
        Ok(Json(broadcast))
    } else {
        let id = broadcast.stream_id;
        Err(Fault::bad(format!(
            "There is a broadcast with the id {id} already"
        )))
    }
}

/// A stream.
#[utoipa::path(
    get, path = "/{app}/rest/v2/broadcasts/{id}", tag = "broadcasts",
    params(("app" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = Broadcast), (status = 403, body = String), (status = 404, body = ApiResult))
)]
pub(in crate::http) async fn get(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<Broadcast>, Fault> {
    let found = web.catalog.stream(&app.name, &id).await?;
    found
        .map(|entry| Json(entry.into()))
        .ok_or_else(|| Fault::missing("There is no such broadcast"))
}

/// Changes the fields that are given.
#[utoipa::path(
    put, path = "/{app}/rest/v2/broadcasts/{id}", tag = "broadcasts",
    params(("app" = String, Path), ("id" = String, Path)), request_body = Broadcast,
    responses(
        (status = 200, body = ApiResult), (status = 400, body = ApiResult),
        (status = 403, body = String), (status = 404, body = ApiResult)
    )
)]
pub(in crate::http) async fn change(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
    request: Request,
) -> Result<Json<ApiResult>, Fault> {
    let mut fields = fields(request).await?;
    for name in OURS {
        fields.remove(name);
    }
    // Whether they make sense can be said before anything is changed.
    check(&app, &with(&Broadcast::default(), &fields)?)?;
    let unknown = format!("There is no broadcast with the id {id}");
    let change = |stream: &mut StreamEntry| {
        if let Ok(changed) = with(&stream.clone().into(), &fields) {
            *stream = StreamEntry {
                settings: stream.settings,
                ..changed.into()
            };
        }
    };
    let changed = change_stream(&*web.catalog, &app.name, &id, change);
    Ok(Json(match changed.await? {
        Some(_) => ApiResult::done("broadcast updated"),
        None => ApiResult::refused(unknown),
    }))
}

/// Forgets a stream. Its clips stay.
#[utoipa::path(
    delete, path = "/{app}/rest/v2/broadcasts/{id}", tag = "broadcasts",
    params(("app" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = ApiResult), (status = 403, body = String), (status = 404, body = ApiResult))
)]
pub(in crate::http) async fn delete(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<ApiResult>, Fault> {
    let unknown = format!("There is no broadcast with the id {id}");
    let removed = web.catalog.delete_stream(&app.name, &id);
    Ok(Json(if removed.await? {
        // What was set for it, and what marks it, goes with it.
        let nothing = StreamSettings::default();
        web.clipping.set_stream(&app.name, &id, nothing).await;
        let markers = web.catalog.markers(&app.name, &id, true).await?;
        let markers: Vec<_> = markers.into_iter().map(|marker| marker.id).collect();
        web.catalog.forget_markers(&app.name, &id, &markers).await?;
        ApiResult::done("broadcast deleted")
    } else {
        ApiResult::refused(unknown)
    }))
}

/// Streams.
#[utoipa::path(
    get, path = "/{app}/rest/v2/broadcasts/list/{offset}/{size}", tag = "broadcasts",
    params(("app" = String, Path), ("offset" = i64, Path), ("size" = i64, Path, description = "250 at most")),
    responses((status = 200, body = Vec<Broadcast>), (status = 403, body = String), (status = 404, body = ApiResult))
)]
pub(in crate::http) async fn list(
    State(web): WebState,
    Extension(app): App,
    Path((_, offset, size)): Path<(String, i64, i64)>,
) -> Result<Json<Vec<Broadcast>>, Fault> {
    let (offset, size) = page(offset, size);
    let found = web.catalog.streams(&app.name, offset, size).await?;
    Ok(Json(found.into_iter().map(Broadcast::from).collect()))
}

/// How many streams are known.
#[utoipa::path(
    get, path = "/{app}/rest/v2/broadcasts/count", tag = "broadcasts", params(("app" = String, Path)),
    responses((status = 200, body = Count), (status = 403, body = String), (status = 404, body = ApiResult))
)]
pub(in crate::http) async fn count(
    State(web): WebState,
    Extension(app): App,
) -> Result<Json<Count>, Fault> {
    let number = web.catalog.count_streams(&app.name).await?;
    Ok(Json(Count { number }))
}

/// How many streams are live.
#[utoipa::path(
    get, path = "/{app}/rest/v2/broadcasts/active-live-stream-count", tag = "broadcasts",
    params(("app" = String, Path)),
    responses((status = 200, body = Count), (status = 403, body = String), (status = 404, body = ApiResult))
)]
pub(in crate::http) async fn count_live(
    State(web): WebState,
    Extension(app): App,
) -> Result<Json<Count>, Fault> {
    let all = web.catalog.streams(&app.name, 0, usize::MAX).await?;
    let all = all.into_iter();
    let number = all
        .filter(|stream| stream.status == StreamStatus::Live)
        .count();
    Ok(Json(Count {
        number: number as u64,
    }))
}

/// The fields of a body. Those that are null say nothing: clients send back whole objects of which
/// they filled in a part.
async fn fields(request: Request) -> Result<Map<String, Value>, Fault> {
    let body = body(request).await?;
    let text = if body.trim_ascii().is_empty() {
        b"{}".as_slice()
    } else {
        &body
    };
    let fields = serde_json::from_slice::<Map<String, Value>>(text);
    let mut fields = fields.map_err(|error| Fault::bad(format!("The body: {error}")))?;
    fields.retain(|_, value| !value.is_null());
    Ok(fields)
}

/// A broadcast with some fields changed.
fn with(broadcast: &Broadcast, fields: &Map<String, Value>) -> Result<Broadcast, Fault> {
    let mut whole = serde_json::to_value(broadcast).map_err(Fault::internal)?;
    if let Value::Object(whole) = &mut whole {
        whole.extend(fields.clone());
    }
    serde_json::from_value(whole).map_err(|error| Fault::bad(format!("The body: {error}")))
}

/// Whether webhooks can go where a broadcast wants them.
fn check(app: &AppSettings, broadcast: &Broadcast) -> Result<(), Fault> {
    let Some(url) = broadcast
        .listener_hook_url
        .as_deref()
        .filter(|url| !url.trim().is_empty())
    else {
        return Ok(());
    };
    let url = Url::parse(url).ok();
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return Err(Fault::bad("listenerHookURL is not an http(s) address"));
    };
    // Names are resolved when there is something to deliver.
    app.webhook_reach(&url).check_url(&url).map_err(|error| {
        let message = format!("listenerHookURL: {error} (allow_private_addresses allows it)");
        Fault::bad(message)
    })
}
