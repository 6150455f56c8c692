//! Clips, and windows that become some.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use clipmill::Cut;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::many::{self, Renditions};
use super::page::{Asked, Page};
use super::problem::Problem;
use crate::catalog::PAGE;
use crate::config::AppSettings;
use crate::domain::{
    ClipEntry, ClipKind, ClipOrigin, Gap, Instant, JoinedWindow, RecordedWindow, clip_id,
    is_stream_id, now_ms, percent_encoded,
};
use crate::housekeeping::delete_clip;
use crate::http::answer::{Json, Path, Query, body};
use crate::http::ant_media::clips::{CUTS, check_length, refused};
use crate::http::fault::Fault;
use crate::http::instants::{self, Side, by_the_clock};
use crate::http::virtual_clips::length;
use crate::http::{App, Web, WebState, spawn_blocking_async};
use crate::recorder::{ClipWindow, Named};

/// The longest title, in characters.
const LONGEST_TITLE: usize = 500;

/// Tags of a clip at most.
const MOST_TAGS: usize = 50;

/// The longest tag, in characters.
const LONGEST_TAG: usize = 100;

/// A clip, or what will be one.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Clip {
    /// Its id: 24 letters and digits.
    id: String,
    /// The stream that it was cut from; null where it was uploaded.
    stream: Option<String>,
    /// How it stands: `ready`; `recording` while its end has not come; `scheduled` while it has not begun.
    state: &'static str,
    /// Why it was made: `periodic`, `on_demand`, `recording` or `upload`; null where an earlier version made it.
    kind: Option<&'static str>,
    /// What people call it.
    title: Option<String>,
    /// What people file it under.
    tags: Vec<String>,
    /// The instant of its first presented frame; of a recording, where it begins.
    from: String,
    /// Where it ends; null while nobody has said so.
    to: Option<String>,
    /// How long it is presented, in milliseconds; null before it is ready.
    duration_ms: Option<i64>,
    /// Its length; null before it is ready.
    bytes: Option<u64>,
    /// When it was made, or asked for.
    created: String,
    /// Where it is played: an MP4, which grows as long as it is recorded.
    media: String,
    /// Where what is recorded is played as HLS; null once it is ready.
    playlist: Option<String>,
    /// Stretches of its window without media.
    gaps: Vec<ClipGap>,
    /// Of a montage, what it was made of, in order; `from` and `to` are then the earliest and the latest of their instants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    windows: Vec<ClipPart>,
}

/// A window of a montage.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ClipPart {
    /// The stream that it was cut from.
    stream: String,
    /// The instant of its first presented frame.
    from: String,
    /// The instant at which its last one ends.
    to: String,
}

/// A stretch of a clip's window without media.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ClipGap {
    /// Where it begins, where that is known.
    from: Option<String>,
    /// Where it ends, where that is known.
    to: Option<String>,
    /// Why.
    reason: String,
}

/// A window that is to be a clip.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct NewClip {
    /// The stream.
    stream: String,
    /// Where it begins: RFC 3339, seconds or milliseconds since the Unix epoch, or `marker:{id}`: where that begins.
    from: Option<String>,
    /// Where it ends; `marker:{id}`: where that ends. In the future: the clip is recorded until then, and the answer is 202.
    to: Option<String>,
    /// In place of both: so much before the live edge, as in `30s`.
    last: Option<String>,
    /// `exact` (the default), `keyframe` or `segment`.
    cut: Option<String>,
    /// What people shall call it; the stream's name otherwise.
    title: Option<String>,
    /// What people file it under.
    tags: Vec<String>,
    /// In place of from, to and last: several windows, which are joined into one clip in this order, each a chapter.
    windows: Vec<NewWindow>,
    /// One clip of each of these renditions of the stream, all of the same instants: `"all"`, or their names, as in
    /// `["720p"]`. The answer has them in `items`.
    renditions: Option<Renditions>,
}

/// A window of a montage.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct NewWindow {
    /// The stream; that of the clip by default.
    pub(super) stream: String,
    /// Where it begins, as of a clip.
    pub(super) from: Option<String>,
    /// Where it ends; not in the future.
    pub(super) to: Option<String>,
    /// In place of both: so much before the live edge.
    pub(super) last: Option<String>,
    /// What its chapter is called; its first instant otherwise.
    pub(super) title: Option<String>,
}

/// The clips of an application, in the order in which they were made.
#[utoipa::path(
    get, path = "/v1/apps/{app}/clips", tag = "clips",
    params(
        ("app" = String, Path), ("stream" = Option<String>, Query, description = "Of this stream"),
        ("from" = Option<String>, Query, description = "That end after this instant"),
        ("to" = Option<String>, Query, description = "That begin before this instant"),
        ("q" = Option<String>, Query, description = "With this text in title, stream or id"),
        ("tag" = Option<String>, Query),
        ("kind" = Option<String>, Query, description = "`periodic`, `on_demand`, `recording` or `upload`"),
        ("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)
    ),
    responses(
        (status = 200, body = Page<Clip>),
        (status = 400, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)
    )
)]
pub(in crate::http) async fn list(
    State(web): WebState,
    Extension(app): App,
    query: Query,
) -> Result<Json<Page<Clip>>, Fault> {
    let wanted = Wanted::of(&query)?;
    let asked = Asked::of(&query)?;
    let mut place = asked.number()?;
    let mut found = Vec::new();
    // One more tells that there is another page.
    while !asked.is_full(found.len()) {
        let page = web.catalog.clips_after(&app.name, place, PAGE).await?;
        let more = page.len() == PAGE;
        for (at, entry) in page {
            place = at;
            if wanted.has(&entry) {
                found.push((at.to_string(), Clip::ready(&app.name, entry)));
            }
        }
        if !more {
            break;
        }
    }
    Ok(Json(asked.first(found)))
}

/// A clip, or what will be one.
#[utoipa::path(
    get, path = "/v1/apps/{app}/clips/{clip}", tag = "clips",
    params(("app" = String, Path), ("clip" = String, Path)),
    responses((status = 200, body = Clip), (status = 403, body = Problem), (status = 404, body = Problem))
)]
pub(in crate::http) async fn get(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<Clip>, Fault> {
    let found = found(&web, &app, &id).await?;
    found
        .map(Json)
        .ok_or_else(|| Fault::missing("There is no such clip"))
}

/// Cuts a clip. One whose end lies in the future is recorded until then: 202, and its media plays at once.
#[utoipa::path(
    post, path = "/v1/apps/{app}/clips", tag = "clips",
    params(("app" = String, Path)), request_body = NewClip,
    responses(
        (status = 201, body = Clip, description = "The clip; of renditions, `items` with one for each"), (status = 202, body = Clip, description = "It is recorded until its end"),
        (status = 400, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem, description = "There is no such stream, or no media in the window"),
        (status = 507, body = Problem)
    )
)]
pub(in crate::http) async fn create(
    State(web): WebState,
    Extension(app): App,
    request: Request,
) -> Result<Response, Fault> {
    let asked: NewClip = object(&body(request).await?)?;
    let named = Named {
        title: titled(asked.title)?,
        tags: tagged(asked.tags)?,
    };
    let cut = cut_of(asked.cut.as_deref())?;
    let own = NewWindow {
        stream: asked.stream,
        from: asked.from,
        to: asked.to,
        last: asked.last,
        title: None,
    };
    if !asked.windows.is_empty() {
        if asked.renditions.is_some() {
            return Err(Fault::bad("renditions cannot be combined with windows"));
        }
        return many::montage(&web, &app, own, asked.windows, (cut, named)).await;
    }
    let stream = own.stream.clone();
    let window = match place(&web, &app, &own).await? {
        Place::There(window, _) => window,
        Place::Ahead { .. } if asked.renditions.is_some() => {
            return Err(Fault::bad(
                "to lies in the future: renditions of what comes cannot be had",
            ));
        }
        Place::Ahead { from_ms, to_ms } => {
            let recorded = RecordedWindow {
                stream_id: stream,
                from_ms,
                to_ms: Some(to_ms),
                title: named.title,
                tags: named.tags,
                ..RecordedWindow::default()
            };
            let clip = record(&web, &app, recorded).await?;
            return Ok(made(StatusCode::ACCEPTED, &app.name, clip));
        }
    };
    if let Some(wanted) = asked.renditions {
        return many::renditions(&web, &app, (&stream, window), wanted, (cut, named)).await;
    }
    if !is_stream_id(&stream) {
        return Err(Fault::missing("There is no such stream"));
    }
    let stored = web
        .clipping
        .on_demand(&app.name, &stream, window, cut, named, false)
        .await;
    let stored = stored.map_err(|error| refused(error, window))?;
    let clip = Clip::ready(&app.name, stored.entry);
    Ok(made(StatusCode::CREATED, &app.name, clip))
}

/// Where a window lies.
pub(super) enum Place {
    /// It is there, and so long, in milliseconds.
    There(ClipWindow, i64),
    /// Its end is still to come.
    Ahead { from_ms: i64, to_ms: i64 },
}

/// Where a window that was asked for lies.
pub(super) async fn place(web: &Web, app: &AppSettings, asked: &NewWindow) -> Result<Place, Fault> {
    let edge = web.clipping.live_edge(&app.name, &asked.stream);
    match (
        asked.from.as_deref(),
        asked.to.as_deref(),
        asked.last.as_deref(),
    ) {
        (Some(from), to, None) => {
            let place = (app.name.as_str(), asked.stream.as_str());
            let from_ms = instants::find(web, place, ("from", from), Side::Begin).await?;
            let edge_ms = edge.map(|(edge, _)| edge);
            let to_ms = match to {
                Some(to) => instants::find(web, place, ("to", to), Side::End).await?,
                None => edge_ms.unwrap_or_else(now_ms),
            };
            if to_ms <= from_ms {
                return Err(Fault::bad("to must be later than from"));
            }
            let length = to_ms.saturating_sub(from_ms);
            check_length(app, length)?;
            let ahead = edge.map_or(i64::MIN, |(edge, target)| edge.saturating_add(target));
            if to_ms > ahead.max(now_ms()) {
                return Ok(Place::Ahead { from_ms, to_ms });
            }
            Ok(Place::There(ClipWindow::Range { from_ms, to_ms }, length))
        }
        (None, None, Some(last)) => {
            let last = length(last)?;
            let length = i64::try_from(last.as_millis()).unwrap_or(i64::MAX);
            check_length(app, length)?;
            Ok(Place::There(ClipWindow::Last(last), length))
        }
        (None, None, None) => Err(Fault::bad("from or last is missing")),
        (None, Some(_), None) => Err(Fault::bad("from is missing")),
        (_, _, Some(_)) => Err(Fault::bad("last cannot be combined with from or to")),
    }
}

/// Removes a clip, file and entry. A recording is stopped by its own call.
#[utoipa::path(
    delete, path = "/v1/apps/{app}/clips/{clip}", tag = "clips",
    params(("app" = String, Path), ("clip" = String, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem))
)]
pub(in crate::http) async fn delete(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Fault> {
    let (paths, catalog, store) = (app.paths(), web.catalog.clone(), web.store.clone());
    let delete = move || async move { delete_clip(&*catalog, &*store, &paths, &id).await };
    if spawn_blocking_async(delete).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Fault::missing("There is no such clip"))
    }
}

/// A clip that is made, or will be.
pub(super) fn made(status: StatusCode, app: &str, clip: Clip) -> Response {
    let place = format!("/v1/apps/{app}/clips/{}", clip.id);
    let place = HeaderValue::try_from(place).ok();
    let place = place.map(|place| [(header::LOCATION, place)]);
    (
        status,
        place
            .into_iter()
            .flatten()
            .collect::<axum::http::HeaderMap>(),
        Json(clip),
    )
        .into_response()
}

/// Has a window recorded, under a new id.
pub(super) async fn record(
    web: &Web,
    app: &AppSettings,
    window: RecordedWindow,
) -> Result<Clip, Fault> {
    let known = web.catalog.stream(&app.name, &window.stream_id).await?;
    if known.is_none() && web.pulls.status(&app.name, &window.stream_id).is_none() {
        return Err(Fault::missing("There is no such stream"));
    }
    let window = RecordedWindow {
        id: clip_id(),
        created_ms: now_ms(),
        ..window
    };
    let begun = web.clipping.record(&app.name, window.clone()).await;
    begun.map_err(|error| refused(error, ClipWindow::SinceBoundary))?;
    Ok(Clip::recorded(web, &app.name, window))
}

async fn found(web: &Web, app: &AppSettings, id: &str) -> Result<Option<Clip>, Fault> {
    if let Some(entry) = web.catalog.clip(&app.name, id).await? {
        return Ok(Some(Clip::ready(&app.name, entry)));
    }
    let mut recorded = web.clipping.recorded(&app.name).into_iter();
    let window = recorded.find(|window| window.id == id);
    Ok(window.map(|window| Clip::recorded(web, &app.name, window)))
}

impl Clip {
    pub(super) fn ready(app: &str, entry: ClipEntry) -> Self {
        let is_upload = entry.origin == ClipOrigin::Upload;
        let (from_ms, to_ms) = entry.span_ms();
        Self {
            media: format!("/{app}/streams/{}", percent_encoded(&entry.key)),
            stream: (!is_upload).then_some(entry.stream_id),
            state: "ready",
            kind: match entry.kind {
                _ if is_upload => Some("upload"),
                kind => kind.map(ClipKind::name),
            },
            // Without any it is named after its file.
            title: Some(entry.title).filter(|title| is_upload || *title != entry.file_name),
            tags: entry.tags,
            from: Instant(from_ms).to_string(),
            to: Some(Instant(to_ms).to_string()),
            windows: entry.windows.into_iter().map(ClipPart::of).collect(),
            duration_ms: Some(entry.duration_ms),
            bytes: Some(entry.bytes),
            created: Instant(entry.created_ms).to_string(),
            playlist: None,
            gaps: entry.gaps.iter().map(ClipGap::of).collect(),
            id: entry.id,
        }
    }

    pub(super) fn recorded(web: &Web, app: &str, window: RecordedWindow) -> Self {
        let edge = web.clipping.live_edge(app, &window.stream_id);
        let now = edge.map_or_else(now_ms, |(edge, _)| edge.max(now_ms()));
        Self {
            media: format!("/{app}/streams/{}.mp4", window.id),
            playlist: Some(format!("/{app}/streams/{}.m3u8", window.id)),
            stream: Some(window.stream_id),
            state: if window.from_ms > now {
                "scheduled"
            } else {
                "recording"
            },
            kind: Some(ClipKind::Recording.name()),
            title: window.title,
            tags: window.tags,
            from: Instant(window.from_ms).to_string(),
            to: window.to_ms.map(|to| Instant(to).to_string()),
            duration_ms: None,
            bytes: None,
            created: Instant(window.created_ms).to_string(),
            gaps: Vec::new(),
            windows: Vec::new(),
            id: window.id,
        }
    }
}

impl ClipPart {
    fn of(window: JoinedWindow) -> Self {
        Self {
            stream: window.stream_id,
            from: Instant(window.from_ms).to_string(),
            to: Instant(window.to_ms).to_string(),
        }
    }
}

impl ClipGap {
    fn of(gap: &Gap) -> Self {
        Self {
            from: gap.from_text(),
            to: gap.to_text(),
            reason: gap.reason.clone(),
        }
    }
}

/// Which clips are listed.
struct Wanted {
    stream: Option<String>,
    from_ms: Option<i64>,
    to_ms: Option<i64>,
    text: Option<String>,
    tag: Option<String>,
    kind: Option<Option<ClipKind>>,
}

impl Wanted {
    fn of(query: &Query) -> Result<Self, Fault> {
        let kinds = [
            ("periodic", Some(ClipKind::Periodic)),
            ("on_demand", Some(ClipKind::OnDemand)),
            ("recording", Some(ClipKind::Recording)),
            ("upload", None),
        ];
        let at = |name| {
            query
                .text(name)
                .map(|text| by_the_clock(name, text))
                .transpose()
        };
        Ok(Self {
            stream: query.text("stream").map(str::to_owned),
            from_ms: at("from")?,
            to_ms: at("to")?,
            text: query.text("q").map(str::to_lowercase),
            tag: query.text("tag").map(str::to_owned),
            kind: query.choice("kind", &kinds)?,
        })
    }

    fn has(&self, entry: &ClipEntry) -> bool {
        let (begin, end) = entry.span_ms();
        let is_upload = entry.origin == ClipOrigin::Upload;
        self.stream.as_ref().is_none_or(|one| entry.is_of(one))
            && self.from_ms.is_none_or(|from| end > from)
            && self.to_ms.is_none_or(|to| begin < to)
            && self.text.as_ref().is_none_or(|text| entry.matches(text))
            && self.tag.as_ref().is_none_or(|tag| entry.tags.contains(tag))
            && self.kind.is_none_or(|kind| match kind {
                None => is_upload,
                kind => !is_upload && entry.kind == kind,
            })
    }
}

/// What a body says.
pub(super) fn object<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Fault> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Fault::bad(format!("The body is not what this call takes: {error}")))
}

/// A title, without what would break a line.
pub(super) fn titled(title: Option<String>) -> Result<Option<String>, Fault> {
    let title = title.map(|title| title.trim().to_owned());
    let title = title.filter(|title| !title.is_empty());
    match &title {
        Some(text) if text.chars().count() > LONGEST_TITLE => Err(Fault::bad(format!(
            "title has more than {LONGEST_TITLE} characters"
        ))),
        Some(text) if text.chars().any(char::is_control) => {
            Err(Fault::bad("title has control characters"))
        }
        _ => Ok(title),
    }
}

/// Tags, each once.
pub(super) fn tagged(tags: Vec<String>) -> Result<Vec<String>, Fault> {
    if tags.len() > MOST_TAGS {
        return Err(Fault::bad(format!("There are more than {MOST_TAGS} tags")));
    }
    let mut all: Vec<String> = Vec::new();
    for tag in tags {
        let tag = tag.trim();
        let is_good = !tag.is_empty()
            && tag.chars().count() <= LONGEST_TAG
            && !tag.chars().any(char::is_control);
        if !is_good {
            return Err(Fault::bad(format!(
                "A tag has 1 to {LONGEST_TAG} characters, and no control characters"
            )));
        }
        if all.iter().all(|known| known != tag) {
            all.push(tag.to_owned());
        }
    }
    Ok(all)
}

fn cut_of(text: Option<&str>) -> Result<Option<Cut>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let mut cuts = CUTS.iter();
    let found = cuts.find(|(word, _)| word.eq_ignore_ascii_case(text));
    match found {
        Some((_, cut)) => Ok(Some(*cut)),
        None => {
            let words: Vec<_> = CUTS.iter().map(|(word, _)| *word).collect();
            Err(Fault::bad(format!("cut is none of: {}", words.join(", "))))
        }
    }
}
