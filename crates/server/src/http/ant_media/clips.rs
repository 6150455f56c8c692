//! The Clip Creator's calls.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use clipmill::Cut;

use super::json::{self, ApiResult, VodGap};
use crate::catalog::{PeriodicState, change_periodic};
use crate::config::AppSettings;
use crate::domain::{Gap, now_ms};
use crate::housekeeping::remove_unlisted;
use crate::http::answer::{Json, Path, Query};
use crate::http::fault::{Fault, Kind};
use crate::http::instants::{self, Side};
use crate::http::{App, Web, WebState, files, spawn_blocking_async};
use crate::recorder::{ClipWindow, MadeClip, Named, OnDemandError};

/// Names the clip of an answer that is the clip itself.
pub(in crate::http) const VOD_ID: HeaderName = HeaderName::from_static("x-vodid");

/// What the window lacks, in an answer that is the clip itself.
pub(in crate::http) fn gaps_header(gaps: &[Gap]) -> HeaderMap {
    let text = gaps_text(gaps).and_then(|text| HeaderValue::try_from(text).ok());
    let name = HeaderName::from_static("x-clipmill-gaps");
    text.map(|text| (name, text)).into_iter().collect()
}

/// Gaps as the header `X-Clipmill-Gaps` has them: `from/to`, separated by commas, at most 32 of
/// them. `None` where there are none.
fn gaps_text(gaps: &[Gap]) -> Option<String> {
    let edge = |edge: Option<String>| edge.unwrap_or_else(|| "..".to_owned());
    let shown = gaps.iter().take(32);
    let shown: Vec<_> = shown
        .map(|gap| format!("{}/{}", edge(gap.from_text()), edge(gap.to_text())))
        .collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

/// The words for where a clip may begin and end.
pub(in crate::http) const CUTS: [(&str, Cut); 3] = [
    ("exact", Cut::Exact),
    ("keyframe", Cut::Keyframe),
    ("segment", Cut::Segment),
];

/// Starts periodic clips of every live stream; replaces those that run.
#[utoipa::path(
    post, path = "/{app}/rest/clip-creator/periodic-recording/{periodSeconds}", tag = "clips",
    params(("app" = String, Path), ("periodSeconds" = i32, Path, description = "From 1 up")),
    responses(
        (status = 200, body = ApiResult), (status = 400, body = ApiResult),
        (status = 403, body = String), (status = 404, body = ApiResult)
    )
)]
pub(in crate::http) async fn start_periodic(
    State(web): WebState,
    Extension(app): App,
    Path((_, period)): Path<(String, String)>,
) -> Result<Json<ApiResult>, Fault> {
    let Ok(seconds) = period.parse::<i32>() else {
        return Err(Fault::missing("There is nothing here"));
    };
    let seconds = match u64::try_from(seconds) {
        Ok(seconds) if seconds > 0 => seconds,
        _ => return Err(Fault::bad("periodSeconds must be greater than 0")),
    };
    remember(&web, &app, true, Some(seconds)).await?;
    let interval = Duration::from_secs(seconds);
    let replaced = web.clipping.start_periodic(&app.name, interval).await;
    let name = &app.name;
    Ok(Json(if replaced {
        ApiResult::done(format!(
            "Old clip-creator timer is cancelled for app: {name} and new one will be created"
        ))
    } else {
        ApiResult::plain()
    }))
}

/// Stops periodic clips; every live stream gets a last one.
#[utoipa::path(
    delete, path = "/{app}/rest/clip-creator/periodic-recording", tag = "clips",
    params(("app" = String, Path)),
    responses((status = 200, body = ApiResult), (status = 403, body = String), (status = 404, body = ApiResult))
)]
pub(in crate::http) async fn stop_periodic(
    State(web): WebState,
    Extension(app): App,
) -> Result<Json<ApiResult>, Fault> {
    remember(&web, &app, false, None).await?;
    let name = &app.name;
    Ok(Json(if web.clipping.stop_periodic(name).await {
        ApiResult::plain()
    } else {
        ApiResult::refused(format!(
            "There is no active timer for Clip Creator Plugin in app: {name}"
        ))
    }))
}

/// What REST asks survives a restart, and comes before it is done: a crash between the two leaves
/// what was asked. Without an interval, it stays what it is.
async fn remember(
    web: &Web,
    app: &AppSettings,
    enabled: bool,
    interval_seconds: Option<u64>,
) -> Result<(), Fault> {
    let usual = app.interval.as_secs();
    let asked = |known: Option<&PeriodicState>| {
        let before = known.map_or(usual, |state| state.interval_seconds);
        Some(PeriodicState {
            enabled,
            interval_seconds: interval_seconds.unwrap_or(before),
            configured: (app.enabled, usual),
        })
    };
    Ok(change_periodic(&*web.catalog, &app.name, asked).await?)
}

/// Cuts a clip from the end of the stream's last periodic clip to now.
#[utoipa::path(
    post, path = "/{app}/rest/clip-creator/mp4/{streamId}", tag = "clips",
    params(
        ("app" = String, Path), ("streamId" = String, Path),
        ("returnFile" = Option<bool>, Query, description = "Answer with the MP4 itself"),
        ("cut" = Option<String>, Query, description = "`exact` (the default), `keyframe` or `segment`")
    ),
    responses(
        (status = 200, content((ApiResult = "application/json"), (String = "video/mp4"))),
        (status = 400, body = ApiResult), (status = 403, body = String),
        (status = 404, body = ApiResult), (status = 417, body = ApiResult)
    )
)]
pub(in crate::http) async fn on_demand(
    State(web): WebState,
    Extension(app): App,
    Path((_, stream)): Path<(String, String)>,
    query: Query,
) -> Result<Response, Fault> {
    cut(&web, &app, &stream, ClipWindow::SinceBoundary, &query).await
}

/// Cuts a clip from one instant to another.
#[utoipa::path(
    post, path = "/{app}/rest/clip-creator/mp4/{streamId}/range", tag = "clips",
    params(
        ("app" = String, Path), ("streamId" = String, Path),
        ("startTimestamp" = i64, Query, description = "Milliseconds since the Unix epoch, or `marker:{id}`: where that begins"),
        ("endTimestamp" = i64, Query, description = "Milliseconds since the Unix epoch, or `marker:{id}`: where that ends"),
        ("returnFile" = Option<bool>, Query, description = "Answer with the MP4 itself"),
        ("cut" = Option<String>, Query, description = "`exact` (the default), `keyframe` or `segment`")
    ),
    responses(
        (status = 200, content((ApiResult = "application/json"), (String = "video/mp4"))),
        (status = 400, body = ApiResult), (status = 403, body = String),
        (status = 404, body = ApiResult), (status = 417, body = ApiResult)
    )
)]
pub(in crate::http) async fn by_range(
    State(web): WebState,
    Extension(app): App,
    Path((_, stream)): Path<(String, String)>,
    query: Query,
) -> Result<Response, Fault> {
    let names = ("startTimestamp", "endTimestamp");
    let instant = async |name: &str, side| {
        let marker = query
            .text(name)
            .and_then(|text| instants::marker(name, text));
        match marker {
            Some(marker) => marker?.resolve(&web, &app.name, &stream, side).await,
            None => query.number(name),
        }
    };
    let from_ms = instant(names.0, Side::Begin).await?;
    let to_ms = instant(names.1, Side::End).await?;
    check_range(&web, &app, &stream, (from_ms, to_ms), names)?;
    cut(
        &web,
        &app,
        &stream,
        ClipWindow::Range { from_ms, to_ms },
        &query,
    )
    .await
}

/// Whether a range makes sense, whatever the stream; `names` are those of the parameters.
pub(in crate::http) fn check_range(
    web: &Web,
    app: &AppSettings,
    stream: &str,
    (from_ms, to_ms): (i64, i64),
    (start, end): (&str, &str),
) -> Result<(), Fault> {
    if to_ms <= from_ms {
        return Err(Fault::bad(format!("{end} must be greater than {start}")));
    }
    // An encoder's clock may be ahead of ours: what it has sent is not in the future.
    let edge = web.clipping.live_edge(&app.name, stream);
    let edge = edge.map_or(i64::MIN, |(edge, target)| edge.saturating_add(target));
    if to_ms > edge.max(now_ms()) {
        return Err(Fault::bad(format!("{end} must not be in the future")));
    }
    check_length(app, to_ms.saturating_sub(from_ms))
}

/// Whether a clip may be so many milliseconds long.
pub(in crate::http) fn check_length(app: &AppSettings, millis: i64) -> Result<(), Fault> {
    let seconds = millis / 1000;
    let most = app.max_clip.as_secs();
    if u64::try_from(seconds).unwrap_or_default() > most {
        return Err(Fault::bad(format!(
            "Requested clip duration {seconds}s exceeds maxClipDurationSeconds={most}. \
             Raise the plugin setting if you need longer clips."
        )));
    }
    Ok(())
}

async fn cut(
    web: &Web,
    app: &Arc<AppSettings>,
    stream: &str,
    window: ClipWindow,
    query: &Query,
) -> Result<Response, Fault> {
    let return_file = query.flag("returnFile")?;
    let cut = query.choice("cut", &CUTS)?;
    if !crate::domain::is_stream_id(stream) {
        return Err(refused(
            OnDemandError::NoBroadcast(stream.to_owned()),
            window,
        ));
    }
    let made = web
        .clipping
        .on_demand(
            &app.name,
            stream,
            window,
            cut,
            Named::default(),
            return_file,
        )
        .await;
    let MadeClip { entry, body } = made.map_err(|error| refused(error, window))?;
    let Some(body) = body else {
        let message = format!("MP4 created successfully for stream {stream}");
        let done = ApiResult::done(message).with_data(entry.id);
        return Ok(
            Json(done.with_gaps(entry.gaps.into_iter().map(VodGap::from).collect()))
                .into_response(),
        );
    };
    let gaps = gaps_header(&entry.gaps);
    let lease = web.store.usage().lease(&app.paths(), &entry.key);
    let text = |text: String| HeaderValue::try_from(text).map_err(Fault::internal);
    let name = text(format!("attachment; filename=\"{}.mp4\"", entry.id))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("video/mp4")),
        (header::CONTENT_LENGTH, HeaderValue::from(body.len)),
        (header::CONTENT_DISPOSITION, name),
        (VOD_ID, text(entry.id)?),
    ];
    Ok((headers, gaps, files::stream(body, lease)).into_response())
}

/// A refusal as the contract words it.
pub(in crate::http) fn refused(error: OnDemandError, window: ClipWindow) -> Fault {
    let message = error.to_string();
    let why = match &error {
        OnDemandError::NoSegment { why, .. } => why.clone(),
        _ => None,
    };
    let fault = match error {
        OnDemandError::NoSegment { .. } if matches!(window, ClipWindow::Range { .. }) => {
            Fault::new(
                Kind::NoMedia,
                format!(
                    "{message} (the requested range may be outside the HLS retention window or the \
                 stream had no data then)"
                ),
            )
        }
        OnDemandError::NoBroadcast(_)
        | OnDemandError::NoPlaylist(_)
        | OnDemandError::NoHlsPlaylist(_)
        | OnDemandError::NoSegment { .. } => Fault::new(Kind::NoMedia, message),
        OnDemandError::Unfit(_) => Fault::bad(message),
        OnDemandError::DiskFull => Fault::new(Kind::NoRoom, message),
        OnDemandError::Draining => Fault::new(Kind::NotNow, message),
        error => Fault::internal(error),
    };
    fault.because(why)
}

/// Removes the clip files that no VoD entry points to.
#[utoipa::path(
    delete, path = "/{app}/rest/clip-creator/mp4-not-in-db", tag = "clips",
    params(("app" = String, Path)),
    responses((status = 200, body = ApiResult), (status = 403, body = String), (status = 404, body = ApiResult))
)]
pub(in crate::http) async fn clean_up(
    State(web): WebState,
    Extension(app): App,
) -> Result<Json<ApiResult>, Fault> {
    let paths = app.paths();
    let sweep = move || async move { remove_unlisted(&*web.catalog, &*web.store, &paths).await };
    let swept = spawn_blocking_async(sweep).await?;
    if !swept.failed.is_empty() {
        let failed = swept.failed.iter().map(|key| json::file_path(key));
        let files = failed.collect::<Vec<_>>().join(",");
        return Ok(Json(ApiResult::refused(format!(
            "Following files are not deleted: {files}"
        ))));
    }
    let removed = swept.removed;
    let message = if removed == 0 {
        "MP4 files and database is in synch".to_owned()
    } else {
        format!(
            "All files - not in the database - in the streams directory are deleted successfully \
             for app:{} deleted file count:{removed}",
            app.name
        )
    };
    Ok(Json(
        ApiResult::done(message).with_data(removed.to_string()),
    ))
}
