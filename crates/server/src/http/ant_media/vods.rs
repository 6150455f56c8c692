//! The calls on finished clips.

use axum::Extension;
use axum::extract::State;

use super::json::{ApiResult, Count, Vod};
use crate::catalog::{ClipQuery, SortBy};
use crate::config::AppSettings;
use crate::housekeeping::delete_clip;
use crate::http::answer::{Json, Path, Query};
use crate::http::fault::Fault;
use crate::http::{App, Web, WebState, spawn_blocking_async};

/// Entries in one answer.
pub(in crate::http) const LONGEST_LIST: usize = 250;

/// A finished clip.
#[utoipa::path(
    get, path = "/{app}/rest/v2/vods/{vodId}", tag = "vods",
    params(("app" = String, Path), ("vodId" = String, Path)),
    responses((status = 200, body = Vod), (status = 403, body = String), (status = 404, body = ApiResult))
)]
pub(in crate::http) async fn get(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<Vod>, Fault> {
    let found = web.catalog.clip(&app.name, &id).await?;
    found
        .map(|entry| Json(entry.into()))
        .ok_or_else(|| Fault::missing("There is no such vod"))
}

/// Finished clips, in the order of their creation unless asked otherwise.
#[utoipa::path(
    get, path = "/{app}/rest/v2/vods/list/{offset}/{size}", tag = "vods",
    params(
        ("app" = String, Path), ("offset" = i64, Path), ("size" = i64, Path, description = "250 at most"),
        ("sort_by" = Option<String>, Query, description = "`name` or `date`"),
        ("order_by" = Option<String>, Query, description = "`asc` or `desc`, with `sort_by`"),
        ("streamId" = Option<String>, Query, description = "Of this stream alone"),
        ("search" = Option<String>, Query, description = "With this text in them")
    ),
    responses(
        (status = 200, body = Vec<Vod>), (status = 400, body = ApiResult),
        (status = 403, body = String), (status = 404, body = ApiResult)
    )
)]
pub(in crate::http) async fn list(
    State(web): WebState,
    Extension(app): App,
    Path((_, offset, size)): Path<(String, i64, i64)>,
    query: Query,
) -> Result<Json<Vec<Vod>>, Fault> {
    let sort_by = query.choice("sort_by", &[("name", SortBy::Name), ("date", SortBy::Date)])?;
    let descending = query.choice("order_by", &[("asc", false), ("desc", true)])?;
    let (offset, size) = page(offset, size);
    let query = ClipQuery {
        offset,
        size,
        sort_by: sort_by.unwrap_or_default(),
        // The order is that of what is sorted by.
        descending: sort_by.is_some() && descending.unwrap_or_default(),
        stream_id: query.text("streamId").map(str::to_owned),
        search: query.text("search").map(str::to_owned),
    };
    let found = web.catalog.clips(&app.name, &query).await?;
    Ok(Json(found.into_iter().map(Vod::from).collect()))
}

/// Which entries a list holds.
pub(in crate::http) fn page(offset: i64, size: i64) -> (usize, usize) {
    let number = |number: i64| usize::try_from(number.max(0)).unwrap_or(usize::MAX);
    (number(offset), number(size).min(LONGEST_LIST))
}

/// How many clips there are.
#[utoipa::path(
    get, path = "/{app}/rest/v2/vods/count", tag = "vods", params(("app" = String, Path)),
    responses((status = 200, body = Count), (status = 403, body = String), (status = 404, body = ApiResult))
)]
pub(in crate::http) async fn count(
    State(web): WebState,
    Extension(app): App,
) -> Result<Json<Count>, Fault> {
    let number = web.catalog.count_clips(&app.name, None).await?;
    Ok(Json(Count { number }))
}

/// How many clips have this text in them.
#[utoipa::path(
    get, path = "/{app}/rest/v2/vods/count/{search}", tag = "vods",
    params(("app" = String, Path), ("search" = String, Path)),
    responses((status = 200, body = Count), (status = 403, body = String), (status = 404, body = ApiResult))
)]
pub(in crate::http) async fn count_matching(
    State(web): WebState,
    Extension(app): App,
    Path((_, search)): Path<(String, String)>,
) -> Result<Json<Count>, Fault> {
    let search = Some(search.as_str()).filter(|search| !search.trim().is_empty());
    let number = web.catalog.count_clips(&app.name, search).await?;
    Ok(Json(Count { number }))
}

/// Removes a clip, file and entry.
#[utoipa::path(
    delete, path = "/{app}/rest/v2/vods/{vodId}", tag = "vods",
    params(("app" = String, Path), ("vodId" = String, Path)),
    responses((status = 200, body = ApiResult), (status = 403, body = String), (status = 404, body = ApiResult))
)]
pub(in crate::http) async fn delete(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<ApiResult>, Fault> {
    remove(&web, &app, id).await.map(Json)
}

/// Removes clips, up to the first that cannot be removed.
#[utoipa::path(
    delete, path = "/{app}/rest/v2/vods", tag = "vods",
    params(("app" = String, Path), ("ids" = String, Query, description = "Parted by commas")),
    responses((status = 200, body = ApiResult), (status = 403, body = String), (status = 404, body = ApiResult))
)]
pub(in crate::http) async fn delete_many(
    State(web): WebState,
    Extension(app): App,
    query: Query,
) -> Result<Json<ApiResult>, Fault> {
    let ids = query.text("ids").unwrap_or_default().split(',');
    let mut last = ApiResult::refused(
        "ids parameter is blank. Please give comma-separated vod ids to the 'ids' as query \
         parameter",
    );
    for id in ids.map(str::trim).filter(|id| !id.is_empty()) {
        last = remove(&web, &app, id.to_owned()).await?;
        if !last.success {
            break;
        }
    }
    Ok(Json(last))
}

async fn remove(web: &Web, app: &AppSettings, id: String) -> Result<ApiResult, Fault> {
    let (paths, catalog, store) = (app.paths(), web.catalog.clone(), web.store.clone());
    let unknown = format!("There is no vod with the id {id}");
    let delete = move || async move { delete_clip(&*catalog, &*store, &paths, &id).await };
    let removed = spawn_blocking_async(delete).await?;
    Ok(if removed {
        ApiResult::done("vod deleted")
    } else {
        ApiResult::refused(unknown)
    })
}
