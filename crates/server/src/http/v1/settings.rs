//! What calls set for single streams.

use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::etag;
use super::problem::Problem;
use super::streams::{Known, Stream};
use crate::catalog::PeriodicState;
use crate::config::{AppSettings, format_age, parse_age, parse_size};
use crate::domain::{Periodic, Set, StreamEntry, StreamSettings, now_ms};
use crate::http::answer::{Json, Path, body};
use crate::http::fault::Fault;
use crate::http::{App, Web, WebState};

/// The longest name, in bytes.
const LONGEST_NAME: usize = 1024;

/// What holds for a stream: what calls set for it, else what holds for its application.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct InForce {
    periodic: PeriodicClips,
    /// How much is kept of it, whatever its source still lists: `4h`; null: as long as it lists.
    dvr_window: Option<String>,
    retention: Retention,
    /// Which of these were set for this stream: the others are as its application has them.
    set: Vec<&'static str>,
}

/// Its periodic clips.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct PeriodicClips {
    /// Whether there are any.
    enabled: bool,
    /// How long one is, or would be.
    interval_seconds: u64,
}

/// How long its clips are kept.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Retention {
    /// No longer than this: `30d`.
    max_age: Option<String>,
    /// No more bytes than this, over its clips; beside what its application allows over all of its streams.
    max_bytes: Option<u64>,
    /// Its clips go, oldest first, while fewer bytes than these are free on their disk: where streams have
    /// different ones, the clips of that with the greatest go first.
    min_free: Option<u64>,
}

/// What is to be changed. What is absent stays as it is; null goes back to what its application has.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct StreamPatch {
    /// What people call it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<PeriodicPatch>)]
    periodic: Option<Option<PeriodicPatch>>,
    /// A length of time such as `4h`; `0s`: no more is kept than its source lists.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    dvr_window: Option<Option<Age>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<RetentionPatch>)]
    retention: Option<Option<RetentionPatch>>,
}

/// What is to be changed of its periodic clips. What is absent stays as it is.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PeriodicPatch {
    enabled: Option<bool>,
    #[schema(minimum = 1)]
    interval_seconds: Option<u32>,
}

/// What is to be changed of how long its clips are kept. What is absent stays as it is; null goes back to what its
/// application has.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RetentionPatch {
    /// A length of time such as `30d`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    max_age: Option<Option<Age>>,
    /// A number of bytes, or a text such as `5GB`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    max_bytes: Option<Option<Size>>,
    /// A number of bytes, or a text such as `5GB`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    min_free: Option<Option<Size>>,
}

/// A field that is there, be it null.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A length of time.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Age(Duration);

impl TryFrom<String> for Age {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.trim() {
            "0" | "0s" => Ok(Self(Duration::ZERO)),
            text => parse_age(text).map(Self),
        }
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "NumberOrText")]
struct Size(u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl TryFrom<NumberOrText> for Size {
    type Error = String;

    fn try_from(value: NumberOrText) -> Result<Self, String> {
        match value {
            NumberOrText::Number(bytes) => Ok(Self(bytes)),
            NumberOrText::Text(text) => parse_size(&text).map(Self),
        }
    }
}

/// What holds for the periodic clips of an application.
pub(super) async fn periodic_of_app(web: &Web, app: &AppSettings) -> Result<Periodic, Fault> {
    let asked = web.catalog.periodic(&app.name).await?;
    Ok(PeriodicState::in_force(asked.as_ref(), app))
}

impl InForce {
    pub(super) fn new(app: &AppSettings, of_app: Periodic, set: &StreamSettings) -> Self {
        let still = app.still_set(set);
        let periodic = app.periodic_of(set).unwrap_or(of_app);
        let retention = app.retention_of(set);
        let named = [
            ("periodic", still.periodic.is_some()),
            ("dvr_window", still.dvr_window_ms.is_some()),
            ("retention.max_age", still.max_age_ms.is_some()),
            ("retention.max_bytes", still.max_bytes.is_some()),
            ("retention.min_free", still.min_free.is_some()),
        ];
        let set = named.into_iter().filter(|(_, is_set)| *is_set);
        Self {
            periodic: PeriodicClips {
                enabled: periodic.enabled,
                interval_seconds: periodic.interval_seconds,
            },
            dvr_window: app.dvr_window_of(&still).map(format_age),
            retention: Retention {
                max_age: retention.max_age.map(format_age),
                max_bytes: retention.max_bytes,
                min_free: retention.min_free,
            },
            set: set.map(|(name, _)| name).collect(),
        }
    }
}

impl StreamPatch {
    /// Reads a body. An array is none, though its items might be taken for fields.
    fn read(text: &[u8]) -> serde_json::Result<Self> {
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text)?;
        serde_json::from_value(fields.into())
    }

    /// Whether its values make sense.
    fn check(&self) -> Result<(), Fault> {
        if let Some(Some(name)) = &self.name
            && (name.len() > LONGEST_NAME || name.trim().is_empty())
        {
            return Err(Fault::bad(format!(
                "name is empty, or longer than {LONGEST_NAME} bytes: null takes it back"
            )));
        }
        if let Some(Some(periodic)) = self.periodic
            && periodic.interval_seconds == Some(0)
        {
            return Err(Fault::bad("interval_seconds must be greater than 0"));
        }
        if let Some(Some(retention)) = self.retention
            && let Some(Some(Age(age))) = retention.max_age
            && age.is_zero()
        {
            return Err(Fault::bad("retention.max_age must be greater than 0"));
        }
        Ok(())
    }

    /// Makes the changes.
    fn apply(&self, entry: &mut StreamEntry, app: &AppSettings, of_app: Periodic) {
        if let Some(name) = &self.name {
            entry.name.clone_from(name);
        }
        // What the configuration has overruled is forgotten.
        let mut set = app.still_set(&entry.settings);
        if let Some(periodic) = self.periodic {
            set.periodic = periodic.map(|asked| {
                let known = app.periodic_of(&set).unwrap_or(of_app);
                let interval = asked.interval_seconds.map(u64::from);
                app.set_periodic(Periodic {
                    enabled: asked.enabled.unwrap_or(known.enabled),
                    interval_seconds: interval.unwrap_or(known.interval_seconds),
                })
            });
        }
        if let Some(window) = self.dvr_window {
            set.dvr_window_ms = window.map(|Age(length)| app.set_dvr_window(length));
        }
        let all_back = RetentionPatch {
            max_age: Some(None),
            max_bytes: Some(None),
            min_free: Some(None),
        };
        if let Some(asked) = self.retention.map(|asked| asked.unwrap_or(all_back)) {
            if let Some(age) = asked.max_age {
                set.max_age_ms = age.map(|Age(age)| app.set_max_age(age));
            }
            if let Some(most) = asked.max_bytes {
                set.max_bytes = most.map(|Size(value)| Set {
                    value,
                    configured: None,
                });
            }
            if let Some(least) = asked.min_free {
                set.min_free = least.map(|Size(least)| app.set_min_free(least));
            }
        }
        entry.settings = set;
    }
}

/// Sets what a stream is called, and what holds for it in place of its application's settings, from now on and after
/// a restart: until the configuration says something new of the same setting.
#[utoipa::path(
    patch, path = "/v1/apps/{app}/streams/{id}", tag = "streams",
    params(
        ("app" = String, Path), ("id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the settings that are to be changed")
    ),
    request_body = StreamPatch,
    responses(
        (status = 200, body = Stream),
        (status = 400, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 412, body = Problem, description = "Somebody has changed it since"), (status = 507, body = Problem)
    )
)]
pub(in crate::http) async fn patch(
    State(web): WebState,
    Extension(app): App,
    Path((_, id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Fault> {
    let headers = request.headers().clone();
    let text = body(request).await?;
    let patch = StreamPatch::read(&text)
        .map_err(|error| Fault::bad(format!("The body is not what this call takes: {error}")))?;
    patch.check()?;
    loop {
        let known = Known::find(&web, &app, &id).await?;
        etag::check(&headers, &known.tag(&app))?;
        let mut new = known.entry.clone().unwrap_or_else(|| StreamEntry {
            id: id.clone(),
            known_since_ms: now_ms(),
            ..StreamEntry::default()
        });
        patch.apply(&mut new, &app, known.periodic);
        let put = web
            .catalog
            .replace_stream(&app.name, known.entry.as_ref(), &new, None);
        if put.await? {
            web.clipping.set_stream(&app.name, &id, new.settings).await;
            let known = Known {
                entry: Some(new),
                ..known
            };
            let tag = known.tag(&app);
            return Ok(([(header::ETAG, tag)], Json(known.shown(&web, &app))).into_response());
        }
    }
}
