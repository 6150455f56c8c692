//! What crosses the wire: the JSON of the REST calls, and what the catalog keeps of them.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Length of a [`vod_id`].
pub const VOD_ID_LEN: usize = 24;

/// The `type` of a clip that was not cut here.
const UPLOADED: &str = "uploadedVod";

/// The longest stream id.
const STREAM_ID_MAX: usize = 128;

/// What every changing call answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiResult {
    /// Whether it was done.
    pub success: bool,
    /// What was done, or why not.
    pub message: Option<String>,
    /// The identifier of what was made, or how many.
    pub data_id: Option<String>,
    /// 0 when there is none.
    pub error_id: i32,
    /// Where the message does not say why not: that, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Stretches of the window that was asked for without media. Not in the original contract.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<VodGap>,
}

impl ApiResult {
    /// Done, and nothing to say of it.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            message: None,
            ..Self::done("")
        }
    }

    /// Done.
    #[must_use]
    pub fn done(message: impl Into<String>) -> Self {
        Self {
            success: true,
            message: Some(message.into()),
            data_id: None,
            error_id: 0,
            reason: None,
            gaps: Vec::new(),
        }
    }

    /// Not done.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self {
            success: false,
            ..Self::done(message)
        }
    }

    /// With what the message does not say.
    #[must_use]
    pub fn because(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    /// With the identifier of what was made.
    #[must_use]
    pub fn with_data(mut self, data_id: impl Into<String>) -> Self {
        self.data_id = Some(data_id.into());
        self
    }

    /// With what the window lacks.
    #[must_use]
    pub fn with_gaps(mut self, gaps: Vec<VodGap>) -> Self {
        self.gaps = gaps;
        self
    }
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Count {
    /// The number.
    pub number: u64,
}

/// A finished clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Vod {
    /// The broadcast's name and the video height, or the file name.
    pub stream_name: String,
    /// The file name: `{vodId}.mp4`. What was uploaded has the name that it came with.
    pub vod_name: String,
    /// The stream that it was cut from; `file` where it was uploaded.
    pub stream_id: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub creation_date: i64,
    /// The instant of its first presented frame, in milliseconds since the Unix epoch.
    pub start_time: i64,
    /// How long it is presented, in milliseconds.
    pub duration: i64,
    /// Bytes.
    pub file_size: i64,
    /// Where it is played from: `streams/[subFolder/]{vodId}.mp4`.
    pub file_path: String,
    /// Its identifier: 24 letters and digits.
    pub vod_id: String,
    /// `streamVod`, or `uploadedVod` where it was not cut here.
    #[serde(rename = "type")]
    pub kind: String,
    /// A picture of it; we make none.
    pub preview_file_path: Option<String>,
    /// How far its making has come: `finished`.
    pub process_status: Option<String>,
    /// When its making began, in milliseconds since the Unix epoch.
    pub process_start_time: i64,
    /// When its making ended, in milliseconds since the Unix epoch.
    pub process_end_time: i64,
    /// The broadcast's description.
    pub description: Option<String>,
    /// The broadcast's `metaData`.
    pub metadata: Option<String>,
    /// The broadcast's latitude.
    pub latitude: Option<String>,
    /// The broadcast's longitude.
    pub longitude: Option<String>,
    /// The broadcast's altitude.
    pub altitude: Option<String>,
    /// Stretches of the window for which there was no media. Not in the original contract.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<VodGap>,
}

impl Default for Vod {
    fn default() -> Self {
        Self {
            stream_name: String::new(),
            vod_name: String::new(),
            stream_id: String::new(),
            creation_date: 0,
            start_time: 0,
            duration: 0,
            file_size: 0,
            file_path: String::new(),
            vod_id: String::new(),
            kind: "streamVod".to_owned(),
            preview_file_path: None,
            process_status: Some("finished".to_owned()),
            process_start_time: 0,
            process_end_time: 0,
            description: None,
            metadata: None,
            latitude: None,
            longitude: None,
            altitude: None,
            gaps: Vec::new(),
        }
    }
}

impl Vod {
    /// A new clip of a stream: identifier, names and path, and what the broadcast lends it.
    #[must_use]
    pub fn new(
        vod_id: &str,
        broadcast: &Broadcast,
        height: Option<u32>,
        sub_folder: Option<&str>,
    ) -> Self {
        let vod_name = format!("{vod_id}.mp4");
        let stream_name = match broadcast
            .name
            .as_deref()
            .filter(|name| !name.trim().is_empty())
        {
            Some(name) => match height {
                Some(height) => format!("{name} ({height}p)"),
                None => name.to_owned(),
            },
            None => vod_name.clone(),
        };
        Self {
            stream_name,
            file_path: match sub_folder {
                Some(folder) => format!("streams/{folder}/{vod_name}"),
                None => format!("streams/{vod_name}"),
            },
            vod_name,
            stream_id: broadcast.stream_id.clone(),
            vod_id: vod_id.to_owned(),
            description: broadcast.description.clone(),
            metadata: broadcast.meta_data.clone(),
            latitude: broadcast.latitude.clone(),
            longitude: broadcast.longitude.clone(),
            altitude: broadcast.altitude.clone(),
            ..Self::default()
        }
    }

    /// A whole file that came from outside.
    #[must_use]
    pub fn upload(vod_id: &str, name: &str) -> Self {
        Self {
            stream_name: name.to_owned(),
            vod_name: name.to_owned(),
            stream_id: "file".to_owned(),
            file_path: format!("streams/{vod_id}.mp4"),
            vod_id: vod_id.to_owned(),
            kind: UPLOADED.to_owned(),
            ..Self::default()
        }
    }

    /// Whether it came from outside.
    #[must_use]
    pub fn is_upload(&self) -> bool {
        self.kind == UPLOADED
    }

    /// Its folder below `streams/`, where it is not `streams/` itself.
    #[must_use]
    pub fn sub_folder(&self) -> Option<&str> {
        let path = self.file_path.strip_prefix("streams/")?;
        path.rsplit_once('/').map(|(folder, _)| folder)
    }

    /// Whether `needle`, which is in lower case, occurs in what people know of it.
    #[must_use]
    pub fn matches(&self, needle: &str) -> bool {
        let optional = [&self.description, &self.metadata];
        [
            &self.stream_id,
            &self.stream_name,
            &self.vod_id,
            &self.vod_name,
        ]
        .into_iter()
        .chain(optional.into_iter().flatten())
        .any(|text| text.to_lowercase().contains(needle))
    }
}

/// A stretch of a clip's window for which there was no media.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VodGap {
    /// Where it begins, RFC 3339 in UTC; null where nothing dates it.
    pub from: Option<String>,
    /// Where it ends.
    pub to: Option<String>,
    /// Why.
    pub reason: String,
}

impl VodGap {
    /// Gaps as the header `X-Clipmill-Gaps` has them: `from/to`, separated by commas, at most 32 of
    /// them. `None` where there are none.
    #[must_use]
    pub fn header(gaps: &[Self]) -> Option<String> {
        let edge = |edge: &Option<String>| edge.clone().unwrap_or_else(|| "..".to_owned());
        let shown = gaps.iter().take(32);
        let shown: Vec<_> = shown
            .map(|gap| format!("{}/{}", edge(&gap.from), edge(&gap.to)))
            .collect();
        (!shown.is_empty()).then(|| shown.join(", "))
    }
}

/// How a broadcast stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BroadcastStatus {
    /// Announced by REST, never seen.
    #[default]
    Created,
    /// Live.
    Broadcasting,
    /// Over.
    Finished,
    /// Over, without a word.
    TerminatedUnexpectedly,
}

/// A stream, announced by REST or seen on the disk.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Broadcast {
    /// Its identifier: UTF-8 of at most 128 bytes without `/`, `\\`, `..` and control characters, no
    /// dot first. In URLs it is percent-encoded.
    pub stream_id: String,
    /// What people call it.
    pub name: Option<String>,
    /// What people say of it.
    pub description: Option<String>,
    /// Anything; often JSON. Clips and webhooks carry it on.
    pub meta_data: Option<String>,
    /// Where it is filmed.
    #[serde(deserialize_with = "text_or_number")]
    pub latitude: Option<String>,
    /// Where it is filmed.
    #[serde(deserialize_with = "text_or_number")]
    pub longitude: Option<String>,
    /// Where it is filmed.
    #[serde(deserialize_with = "text_or_number")]
    pub altitude: Option<String>,
    /// Whom to tell about it, in place of the application's receiver.
    #[serde(rename = "listenerHookURL")]
    pub listener_hook_url: Option<String>,
    /// How it stands.
    pub status: BroadcastStatus,
    /// When it went live, in milliseconds since the Unix epoch; 0 before.
    pub start_time: i64,
    /// When it became known, in milliseconds since the Unix epoch.
    pub date: i64,
    /// The folder below `streams/` that its playlist lies in.
    pub sub_folder: Option<String>,
    /// Whether its streams are recorded, each whole: 1 for yes, -1 for no, 0 when nobody said.
    pub mp4_enabled: i32,
    /// What else a client gave; it is given back as it is.
    #[serde(flatten)]
    #[schema(ignore)]
    pub others: Map<String, Value>,
}

/// A webhook that is to be delivered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueuedHook {
    /// What tells one event from another; the same over all tries.
    pub delivery: String,
    /// The application that it comes from: its settings say how it is sent and signed.
    pub app: String,
    /// Where to.
    pub url: String,
    /// What.
    pub payload: Map<String, Value>,
    /// When it was queued, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Tries that failed.
    pub attempts: u32,
    /// When the next try is due, in milliseconds since the Unix epoch.
    pub next_ms: i64,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

/// Whether a text may be a stream's identifier: a file name in any script that leads nowhere else, of
/// 128 bytes at most. Texts are told apart by their bytes, however they are composed.
#[must_use]
pub fn is_stream_id(text: &str) -> bool {
    (1..=STREAM_ID_MAX).contains(&text.len())
        && !text.starts_with('.')
        && !text.contains("..")
        && !text.contains(['/', '\\'])
        && !text.chars().any(char::is_control)
}

/// Whether a text may be an application's name, which is the first part of its URLs.
#[must_use]
pub fn is_app_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    is_stream_id(text) && text.bytes().all(allowed)
}

/// Whether a text has the form of a clip's identifier.
#[must_use]
pub fn is_vod_id(text: &str) -> bool {
    text.len() == VOD_ID_LEN && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A new identifier for a clip.
#[must_use]
pub fn vod_id() -> String {
    use rand::distr::{Alphanumeric, SampleString};
    Alphanumeric.sample_string(&mut rand::rng(), VOD_ID_LEN)
}

/// This machine's clock, in milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}

/// An instant as messages name it: RFC 3339 in UTC.
pub struct Instant(pub i64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            // Beyond the calendar.
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// Coordinates are texts in the contract; people send numbers too.
fn text_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(serde_json::Number),
    }
    Ok(
        Option::<Either>::deserialize(from)?.map(|value| match value {
            Either::Text(text) => text,
            Either::Number(number) => number.to_string(),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_clips_are_24_letters_and_digits() {
        let id = vod_id();
        assert!(is_vod_id(&id), "{id}");
        assert_ne!(id, vod_id());
        assert!(!is_vod_id("short") && !is_vod_id(&"-".repeat(24)));
    }

    #[test]
    fn stream_ids_lead_nowhere_else() {
        for good in [
            "cam1",
            "a",
            "A.b_c-1",
            "直播间",
            "with space",
            "a+b",
            "cam@home",
            "cam(1)",
            "naïve",
            "50%",
            "%2e%2e",
            "a?b#c",
            "é".repeat(64).as_str(),
            "x".repeat(128).as_str(),
        ] {
            assert!(is_stream_id(good), "{good}");
            let plain = good
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            assert_eq!(is_app_name(good), plain, "{good}");
        }
        for bad in [
            "",
            ".hidden",
            "..",
            "a..b",
            "a/b",
            "a\\b",
            "a\0",
            "a\nb",
            "a\u{7f}",
            "a\u{85}",
            "é".repeat(65).as_str(),
            "x".repeat(129).as_str(),
        ] {
            assert!(!is_stream_id(bad), "{bad}");
        }
    }

    #[test]
    fn a_broadcast_gives_back_what_it_was_given() {
        let text = r#"{"streamId":"cam","listenerHookURL":"http://x/","latitude":47.5,"type":"liveStream"}"#;
        let broadcast: Broadcast = serde_json::from_str(text).unwrap();
        assert_eq!(broadcast.latitude.as_deref(), Some("47.5"));
        let value = serde_json::to_value(&broadcast).unwrap();
        assert_eq!(value["type"], "liveStream");
        assert_eq!(value["listenerHookURL"], "http://x/");
        assert_eq!(value["status"], "created");
        assert!(value["metaData"].is_null());
    }

    #[test]
    fn a_clip_is_named_after_its_broadcast() {
        let mut broadcast = Broadcast {
            stream_id: "cam".into(),
            name: Some("Hall".into()),
            ..Broadcast::default()
        };
        let id = "a".repeat(24);
        let vod = Vod::new(&id, &broadcast, Some(720), Some("sub"));
        assert_eq!(vod.stream_name, "Hall (720p)");
        assert_eq!(vod.file_path, format!("streams/sub/{id}.mp4"));
        assert_eq!(vod.sub_folder(), Some("sub"));
        broadcast.name = None;
        let vod = Vod::new(&id, &broadcast, Some(720), None);
        assert_eq!(vod.stream_name, format!("{id}.mp4"));
        assert_eq!(vod.sub_folder(), None);
        assert_eq!(serde_json::to_value(&vod).unwrap()["type"], "streamVod");
    }
}
