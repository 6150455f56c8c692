//! One clip of several windows, and one window of several renditions.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use clipmill::Cut;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::clips::{Clip, NewWindow, Place, made, place, titled};
use crate::config::AppSettings;
use crate::domain::is_stream_id;
use crate::http::Web;
use crate::http::answer::Json;
use crate::http::ant_media::clips::{check_length, refused};
use crate::http::fault::Fault;
use crate::recorder::{ClipWindow, MontageWindow, Named};

/// The most windows of a montage.
const MOST_WINDOWS: usize = 500;

/// Which renditions of a stream are wanted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum Renditions {
    /// `"all"`, or the name of one.
    One(String),
    /// Their names.
    Some(Vec<String>),
}

/// The clips of several renditions.
#[derive(Debug, Serialize)]
struct RenditionClips {
    items: Vec<RenditionClip>,
}

#[derive(Debug, Serialize)]
struct RenditionClip {
    rendition: String,
    #[serde(flatten)]
    clip: Clip,
}

/// Joins windows into one clip.
pub(super) async fn montage(
    web: &Web,
    app: &AppSettings,
    own: NewWindow,
    asked: Vec<NewWindow>,
    (cut, named): (Option<Cut>, Named),
) -> Result<Response, Fault> {
    if own.from.is_some() || own.to.is_some() || own.last.is_some() {
        return Err(Fault::bad(
            "windows cannot be combined with from, to or last",
        ));
    }
    if asked.len() > MOST_WINDOWS {
        let message = format!("There are more than {MOST_WINDOWS} windows");
        return Err(Fault::bad(message));
    }
    let mut windows = Vec::with_capacity(asked.len());
    let mut total = 0i64;
    for (number, mut one) in asked.into_iter().enumerate() {
        if one.stream.is_empty() {
            one.stream.clone_from(&own.stream);
        }
        let which = |fault: Fault| fault.at(&format!("windows[{number}]"));
        if !is_stream_id(&one.stream) {
            return Err(which(Fault::missing("There is no such stream")));
        }
        let Place::There(window, length) = place(web, app, &one).await.map_err(which)? else {
            return Err(which(Fault::bad("to lies in the future")));
        };
        total = total.saturating_add(length);
        windows.push(MontageWindow {
            window,
            title: titled(one.title).map_err(which)?,
            stream: one.stream,
        });
    }
    check_length(app, total)?;
    let first = windows.first().map(|first| first.window);
    let stored = web.clipping.montage(&app.name, windows, cut, named).await;
    let stored =
        stored.map_err(|error| refused(error, first.unwrap_or(ClipWindow::SinceBoundary)))?;
    let clip = Clip::ready(&app.name, stored.entry);
    Ok(made(StatusCode::CREATED, &app.name, clip))
}

/// Cuts one clip of each rendition of a stream, all of the same instants.
pub(super) async fn renditions(
    web: &Web,
    app: &AppSettings,
    (stream, window): (&str, ClipWindow),
    wanted: Renditions,
    (cut, named): (Option<Cut>, Named),
) -> Result<Response, Fault> {
    if !is_stream_id(stream) {
        return Err(Fault::missing("There is no such stream"));
    }
    let all = renditions_of(web, app, stream);
    let chosen = chosen(&all, wanted)?;
    let streams: Vec<&str> = chosen.iter().map(|(_, stream)| stream.as_str()).collect();
    let window = pinned(web, app, &streams, window);
    let mut items = Vec::new();
    for (name, stream) in chosen {
        let mut named = named.clone();
        named.title = named.title.map(|title| format!("{title} ({name})"));
        let stored = web
            .clipping
            .on_demand(&app.name, &stream, window, cut, named, false)
            .await;
        let stored = stored.map_err(|error| refused(error, window).at(&name))?;
        items.push(RenditionClip {
            clip: Clip::ready(&app.name, stored.entry),
            rendition: name,
        });
    }
    Ok((StatusCode::CREATED, Json(RenditionClips { items })).into_response())
}

/// The renditions of a stream that are at hand, by name, each with the stream that it is.
fn renditions_of(web: &Web, app: &AppSettings, stream: &str) -> Vec<(String, String)> {
    let pulled = web.pulls.status(&app.name, stream);
    let beside = pulled.map_or_else(Vec::new, |status| status.beside);
    let named = beside.into_iter().map(|id| {
        let name = id.strip_prefix(stream).and_then(|id| id.strip_prefix('_'));
        (name.unwrap_or(&id).to_owned(), id)
    });
    named.collect()
}

fn chosen(all: &[(String, String)], wanted: Renditions) -> Result<Vec<(String, String)>, Fault> {
    let there = || {
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    };
    if all.is_empty() {
        return Err(Fault::bad(
            "The stream has no renditions that are recorded: those of a pulled one are with variant \"all\"",
        ));
    }
    let names = match wanted {
        Renditions::One(all_of_them) if all_of_them == "all" => return Ok(all.to_vec()),
        Renditions::One(name) => vec![name],
        Renditions::Some(names) if names.is_empty() => {
            return Err(Fault::bad("renditions names none"));
        }
        Renditions::Some(names) => names,
    };
    let find = |name: String| {
        let found = all.iter().find(|(known, _)| *known == name).cloned();
        let message = || format!("There is no rendition {name:?}; there is {}", there());
        found.ok_or_else(|| Fault::bad(message()))
    };
    names.into_iter().map(find).collect()
}

/// The same window for all, also where it counts from the live edge: that of the one that has come least far.
fn pinned(web: &Web, app: &AppSettings, streams: &[&str], window: ClipWindow) -> ClipWindow {
    let edges = streams
        .iter()
        .map(|stream| web.clipping.live_edge(&app.name, stream));
    let edge = edges.flatten().map(|(edge, _)| edge).min();
    let range = edge.and_then(|edge| window.range(edge));
    range.map_or(window, |(from_ms, to_ms)| ClipWindow::Range {
        from_ms,
        to_ms,
    })
}
