//! Clips that come from outside: `POST …/vods/create`, a file in a form.
//!
//! Of the kinds that Ant Media Server takes (mp4, webm, mov, avi, mp3, wmv) only MP4 is taken: an entry is a file
//! that every player opens as `{vodId}.mp4` and that is as long as its entry says, and nothing here could
//! make such a file of the others.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use clipmill::{Limits, MovieError, movie_duration};

use super::json::ApiResult;
use crate::config::AppSettings;
use crate::domain::{ClipEntry, clip_id, now_ms};
use crate::http::answer::{Json, Query};
use crate::http::fault::{Fault, Kind};
use crate::http::form::{Form, Upload};
use crate::http::{App, Web, WebState, blocking, spawn_blocking_async};
use crate::storage::{ClipRecord, NewClip, Room, Seekable, StorageError};

/// The longest name of a file, in bytes.
const LONGEST_NAME: usize = 255;

/// The longest metadata, in bytes.
const LONGEST_METADATA: usize = 64 << 10;

/// What a form may have around its file, in bytes.
const AROUND: u64 = 1 << 20;

/// What Ant Media Server answers of kinds that it does not take; its panel knows the word.
const NOT_SUPPORTED: &str = "notSupportedFileType";

/// Takes an MP4 in as a finished clip. Nothing is cut or changed; no webhook tells of it.
#[utoipa::path(
    post, path = "/{app}/rest/v2/vods/create", tag = "vods",
    params(
        ("app" = String, Path),
        ("name" = String, Query, description = "What the file is called: `….mp4`, 255 bytes at most")
    ),
    request_body(
        content = String, content_type = "multipart/form-data",
        description = "The part `file` is the MP4, `metadata` is what its entry carries with it"
    ),
    responses(
        (status = 200, body = ApiResult, description = "`dataId` is the vodId; or what is wrong with the file"),
        (status = 400, body = ApiResult), (status = 403, body = String), (status = 404, body = ApiResult),
        (status = 408, body = ApiResult), (status = 413, body = ApiResult), (status = 415, body = ApiResult),
        (status = 507, body = ApiResult)
    )
)]
pub(in crate::http) async fn create(
    State(web): WebState,
    Extension(app): App,
    query: Query,
    request: Request,
) -> Result<Json<ApiResult>, Fault> {
    let (head, body) = request.into_parts();
    let mut upload = Upload::new(body);
    let taken = take(&web, &app, &query, &head.headers, &mut upload).await;
    upload.linger(&head.headers).await;
    taken.map(Json)
}

async fn take(
    web: &Web,
    app: &Arc<AppSettings>,
    query: &Query,
    headers: &HeaderMap,
    upload: &mut Upload,
) -> Result<ApiResult, Fault> {
    let longest = longest(app);
    let mut form = Form::of(headers, upload, longest.saturating_add(AROUND))?;
    let name = query.text("name").unwrap_or_default().trim().to_owned();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    if !extension.is_some_and(|extension| extension.eq_ignore_ascii_case("mp4")) {
        let why = "only files with the extension mp4 are taken";
        return Ok(not_supported(why.to_owned()));
    }
    if name.len() > LONGEST_NAME {
        let message = format!("The name is longer than {LONGEST_NAME} bytes");
        return Err(Fault::bad(message));
    }
    if name.chars().any(char::is_control) {
        return Err(Fault::bad("The name has control characters in it"));
    }
    let begun_ms = now_ms();
    let (paths, store, id) = (app.paths(), web.store.clone(), clip_id());
    let mut entry = ClipEntry::upload(&id, &name);
    let begin = move || {
        store
            .begin(&paths, &id, None, Room::default())
            .map_err(refused)
    };
    let mut clip = blocking(begin).await?;
    let mut bytes = None;
    while let Some(part) = form.next_part().await? {
        match part.as_str() {
            "file" if bytes.is_some() => {
                return Err(Fault::bad("The form has two parts `file`"));
            }
            "file" => {
                let (written, len) = write(&mut form, clip, longest).await?;
                clip = written;
                bytes = Some(len);
            }
            "metadata" => {
                let text = form.text(LONGEST_METADATA).await?;
                entry.metadata = Some(text).filter(|text| !text.trim().is_empty());
            }
            _ => {}
        }
    }
    let Some(bytes) = bytes else {
        return Err(Fault::bad("The form has no part `file`"));
    };
    entry.bytes = bytes;
    entry.created_ms = begun_ms;
    entry.making_began_ms = begun_ms;
    let (app, catalog, store) = (Arc::clone(app), web.catalog.clone(), web.store.clone());
    let stored = spawn_blocking_async(move || async move {
        let mut content = Seekable::new(clip.content())?;
        match movie_duration(&mut content, &Limits::default()) {
            Ok(duration) => {
                entry.duration_ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            }
            Err(MovieError::Io(error)) => return Err(Fault::internal(error)),
            Err(error) => return Ok(not_supported(error.to_string())),
        }
        entry.making_ended_ms = now_ms();
        let record = ClipRecord::new(&app.name, &entry, None);
        let stored = clip.publish(&record).map_err(refused)?;
        let committed = catalog.commit_clip(&app.name, &entry, None, &[]);
        if let Err(error) = committed.await {
            stored.discard(&*store, &app.paths());
            return Err(error.into());
        }
        stored.keep();
        tracing::info!(
            app = app.name,
            vod = entry.id,
            bytes,
            duration_ms = entry.duration_ms,
            "uploaded"
        );
        Ok(ApiResult::done(entry.id.clone()).with_data(entry.id))
    });
    stored.await
}

/// The longest file that is taken. One that is larger than all clips together may be would have retention
/// remove every other, and itself.
fn longest(app: &AppSettings) -> u64 {
    let kept = app.retention.max_bytes.unwrap_or(u64::MAX);
    app.upload_max_bytes.min(kept)
}

fn not_supported(why: String) -> ApiResult {
    ApiResult::refused(NOT_SUPPORTED).because(Some(why))
}

fn refused(error: StorageError) -> Fault {
    if error.is_disk_full() {
        return Fault::no_room();
    }
    Fault::internal(error)
}

/// Writes what is left of a part as it comes; says how long it is.
async fn write(
    form: &mut Form<'_>,
    mut clip: NewClip,
    longest: u64,
) -> Result<(NewClip, u64), Fault> {
    let mut written = 0_u64;
    while let Some(piece) = form.piece().await? {
        written = written.saturating_add(piece.len() as u64);
        if written > longest {
            let message = format!("The file is longer than {longest} bytes");
            return Err(Fault::new(Kind::TooLong, message));
        }
        let write = move || {
            clip.append(&piece).map_err(refused)?;
            Ok::<_, Fault>(clip)
        };
        clip = blocking(write).await?;
    }
    Ok((clip, written))
}
