//! Calls of Ant Media Server beside its plugin that make clips: the recording switch of a broadcast, and all
//! that its playlist lists as one MP4.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use clipmill::Cut;

use super::clips::VOD_ID;
use super::json::ApiResult;
use crate::catalog::change_stream;
use crate::http::answer::{Head, Json, Path, Query, attachment};
use crate::http::fault::Fault;
use crate::http::{App, WebState, files};
use crate::recorder::{ClipWindow, Named, OnDemandError, Switched, set_switch};
use crate::sources::names::PlaylistName;

/// Starts or stops the recording of one stream. While it is live, `dataId` is the vodId that the clip will have, and the
/// message says how long it is, in milliseconds; else its next session is recorded, from the beginning.
#[utoipa::path(
    put, path = "/{app}/rest/v2/broadcasts/{id}/recording/{recordingStatus}", tag = "broadcasts",
    params(
        ("app" = String, Path), ("id" = String, Path),
        ("recordingStatus" = bool, Path, description = "`true` starts, `false` stops"),
        ("recordType" = Option<String>, Query, description = "`mp4`; nothing else is made here"),
        ("resolutionHeight" = Option<i32>, Query, description = "The best is recorded, whatever it says"),
        ("fileName" = Option<String>, Query, description = "Clips are named by their vodId, whatever it says")
    ),
    responses(
        (status = 200, body = ApiResult), (status = 400, body = ApiResult),
        (status = 403, body = String), (status = 404, body = ApiResult)
    )
)]
pub(in crate::http) async fn switch(
    State(web): WebState,
    Extension(app): App,
    Path((_, id, status)): Path<(String, String, String)>,
    query: Query,
) -> Result<Json<ApiResult>, Fault> {
    let on = match status.to_ascii_lowercase().as_str() {
        "true" => true,
        "false" => false,
        _ => return Err(Fault::bad("the recording status is neither true nor false")),
    };
    let done = if on { "started" } else { "stopped" };
    match query.text("recordType").unwrap_or("mp4") {
        "mp4" => {}
        "webm" => {
            let message = format!("webm recording couldn't be {done}");
            return Ok(Json(ApiResult::refused(message)));
        }
        other => {
            return Ok(Json(ApiResult::refused(format!(
                "No stream for this id: {id} or unexpected record type. Record type is {other}"
            ))));
        }
    }
    let set = change_stream(&*web.catalog, &app.name, &id, |stream| {
        set_switch(stream, on);
    });
    if set.await?.is_none() {
        return Ok(Json(ApiResult::refused(format!(
            "No stream for this id: {id}"
        ))));
    }
    let turned = web.clipping.switch(&app.name, &id, on).await;
    Ok(Json(match turned {
        Switched::Started { vod_id } => ApiResult::done("0").with_data(vod_id),
        Switched::Stopped { vod_id, millis } => {
            ApiResult::done(millis.to_string()).with_data(vod_id)
        }
        Switched::Already => ApiResult::refused(format!("mp4 recording couldn't be {done}")),
        Switched::NotLive => ApiResult::plain(),
    }))
}

/// Makes one clip of all that a stream's playlist lists, with its entry and webhook.
#[utoipa::path(
    post, path = "/{app}/rest/v2/broadcasts/{id}/hls-to-mp4", tag = "broadcasts",
    params(
        ("app" = String, Path),
        ("id" = String, Path, description = "The stream, or its playlist's name, with or without `.m3u8`"),
        ("download" = Option<bool>, Query, description = "Answer with the MP4 itself"),
        ("deleteHLSFiles" = Option<bool>, Query, description = "Remove the segments, and the playlist of a stream that is over")
    ),
    responses(
        (status = 200, content((ApiResult = "application/json"), (String = "video/mp4"))),
        (status = 400, body = ApiResult), (status = 403, body = String),
        (status = 404, body = ApiResult), (status = 507, body = ApiResult)
    )
)]
pub(in crate::http) async fn hls_to_mp4(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
    query: Query,
    method: axum::http::Method,
    Head(headers): Head,
) -> Result<Response, Fault> {
    let (download, delete) = (query.flag("download")?, query.flag("deleteHLSFiles")?);
    let name = id.strip_suffix(".m3u8").unwrap_or(&id).to_owned();
    let stream = PlaylistName::of(format!("{name}.m3u8").as_ref());
    let stream = stream.map_or_else(|| name.clone(), |name| name.stream);
    let window = ClipWindow::Listed;
    let made = web
        .clipping
        .on_demand(
            &app.name,
            &stream,
            window,
            Some(Cut::Segment),
            Named::default(),
            false,
        )
        .await;
    let entry = match made {
        Ok(made) => made.entry,
        Err(error @ (OnDemandError::Draining | OnDemandError::DiskFull)) => {
            return Err(super::clips::refused(error, window));
        }
        Err(error) => {
            let message = format!("HLS to MP4 conversion has failed: {error}");
            return Ok(Json(ApiResult::refused(message)).into_response());
        }
    };
    if delete {
        web.clipping.delete_hls(&app.name, &stream).await;
    }
    if !download {
        return Ok(Json(ApiResult::plain().with_data(entry.id)).into_response());
    }
    let mut answer = files::stored(&web, &app, &entry, &method, &headers).await?;
    let text = |text: String| HeaderValue::try_from(text).map_err(Fault::internal);
    let (disposition, id) = (text(attachment(&format!("{name}.mp4")))?, text(entry.id)?);
    answer
        .headers_mut()
        .insert(header::CONTENT_DISPOSITION, disposition);
    answer.headers_mut().insert(VOD_ID, id);
    Ok(answer)
}
