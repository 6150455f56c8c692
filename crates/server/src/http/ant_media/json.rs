//! Ant Media Server's JSON: what its REST calls take and answer.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::{
    ClipEntry, ClipOrigin, Gap, SETTINGS, StreamEntry, StreamSettings, StreamStatus,
};

/// What every changing call answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiResult {
    /// Whether it was done.
    pub(crate) success: bool,
    /// What was done, or why not.
    pub(crate) message: Option<String>,
    /// The identifier of what was made, or how many.
    pub(crate) data_id: Option<String>,
    /// 0 when there is none.
    pub(crate) error_id: i32,
    /// Where the message does not say why not: that, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Stretches of the window that was asked for without media. Not in the original contract.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gaps: Vec<VodGap>,
}

impl ApiResult {
    /// Done, and nothing to say of it.
    #[must_use]
    pub(crate) fn plain() -> Self {
        Self {
            message: None,
            ..Self::done("")
        }
    }

    /// Done.
    #[must_use]
    pub(crate) fn done(message: impl Into<String>) -> Self {
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
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self {
            success: false,
            ..Self::done(message)
        }
    }

    /// With what the message does not say.
    #[must_use]
    pub(crate) fn because(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    /// With the identifier of what was made.
    #[must_use]
    pub(crate) fn with_data(mut self, data_id: impl Into<String>) -> Self {
        self.data_id = Some(data_id.into());
        self
    }

    /// With what the window lacks.
    #[must_use]
    pub(crate) fn with_gaps(mut self, gaps: Vec<VodGap>) -> Self {
        self.gaps = gaps;
        self
    }
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Count {
    /// The number.
    pub(crate) number: u64,
}

/// A finished clip.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Vod {
    /// The broadcast's name and the video height, or the file name.
    pub(crate) stream_name: String,
    /// The file name: `{vodId}.mp4`. What was uploaded has the name that it came with.
    pub(crate) vod_name: String,
    /// The stream that it was cut from; `file` where it was uploaded.
    pub(crate) stream_id: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub(crate) creation_date: i64,
    /// The instant of its first presented frame, in milliseconds since the Unix epoch.
    pub(crate) start_time: i64,
    /// How long it is presented, in milliseconds.
    pub(crate) duration: i64,
    /// Bytes.
    pub(crate) file_size: i64,
    /// Where it is played from: `streams/[subFolder/]{vodId}.mp4`.
    pub(crate) file_path: String,
    /// Its identifier: 24 letters and digits.
    pub(crate) vod_id: String,
    /// `streamVod`, or `uploadedVod` where it was not cut here.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// A picture of it; we make none.
    pub(crate) preview_file_path: Option<String>,
    /// How far its making has come: `finished`.
    pub(crate) process_status: Option<String>,
    /// When its making began, in milliseconds since the Unix epoch.
    pub(crate) process_start_time: i64,
    /// When its making ended, in milliseconds since the Unix epoch.
    pub(crate) process_end_time: i64,
    /// The broadcast's description.
    pub(crate) description: Option<String>,
    /// The broadcast's `metaData`.
    pub(crate) metadata: Option<String>,
    /// The broadcast's latitude.
    pub(crate) latitude: Option<String>,
    /// The broadcast's longitude.
    pub(crate) longitude: Option<String>,
    /// The broadcast's altitude.
    pub(crate) altitude: Option<String>,
    /// Stretches of the window for which there was no media. Not in the original contract.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) gaps: Vec<VodGap>,
}

impl From<ClipEntry> for Vod {
    fn from(entry: ClipEntry) -> Self {
        Self {
            stream_name: entry.title,
            vod_name: entry.file_name,
            stream_id: entry.stream_id,
            creation_date: entry.created_ms,
            start_time: entry.start_ms,
            duration: entry.duration_ms,
            file_size: i64::try_from(entry.bytes).unwrap_or(i64::MAX),
            file_path: file_path(&entry.key),
            vod_id: entry.id,
            kind: match entry.origin {
                ClipOrigin::Stream => "streamVod".to_owned(),
                ClipOrigin::Upload => "uploadedVod".to_owned(),
            },
            preview_file_path: None,
            process_status: Some("finished".to_owned()),
            process_start_time: entry.making_began_ms,
            process_end_time: entry.making_ended_ms,
            description: entry.description,
            metadata: entry.metadata,
            latitude: entry.latitude,
            longitude: entry.longitude,
            altitude: entry.altitude,
            gaps: entry.gaps.into_iter().map(VodGap::from).collect(),
        }
    }
}

/// Where a file of the clip store is played from.
pub(super) fn file_path(key: &str) -> String {
    format!("streams/{key}")
}

/// A stretch of a clip's window for which there was no media.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct VodGap {
    /// Where it begins, RFC 3339 in UTC; null where nothing dates it.
    pub(crate) from: Option<String>,
    /// Where it ends.
    pub(crate) to: Option<String>,
    /// Why.
    pub(crate) reason: String,
}

impl From<Gap> for VodGap {
    fn from(gap: Gap) -> Self {
        Self {
            from: gap.from_text(),
            to: gap.to_text(),
            reason: gap.reason,
        }
    }
}

/// How a broadcast stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BroadcastStatus {
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
pub(crate) struct Broadcast {
    /// Its identifier: UTF-8 of at most 128 bytes without `/`, `\\`, `..` and control characters, no
    /// dot first. In URLs it is percent-encoded.
    pub(crate) stream_id: String,
    /// What people call it.
    pub(crate) name: Option<String>,
    /// What people say of it.
    pub(crate) description: Option<String>,
    /// Anything; often JSON. Clips and webhooks carry it on.
    pub(crate) meta_data: Option<String>,
    /// Where it is filmed.
    #[serde(deserialize_with = "text_or_number")]
    pub(crate) latitude: Option<String>,
    /// Where it is filmed.
    #[serde(deserialize_with = "text_or_number")]
    pub(crate) longitude: Option<String>,
    /// Where it is filmed.
    #[serde(deserialize_with = "text_or_number")]
    pub(crate) altitude: Option<String>,
    /// Whom to tell about it, in place of the application's receiver.
    #[serde(rename = "listenerHookURL")]
    pub(crate) listener_hook_url: Option<String>,
    /// How it stands.
    pub(crate) status: BroadcastStatus,
    /// When it went live, in milliseconds since the Unix epoch; 0 before.
    pub(crate) start_time: i64,
    /// When it became known, in milliseconds since the Unix epoch.
    pub(crate) date: i64,
    /// The folder below `streams/` that its playlist lies in.
    pub(crate) sub_folder: Option<String>,
    /// Whether its streams are recorded, each whole: 1 for yes, -1 for no, 0 when nobody said.
    pub mp4_enabled: i32,
    /// What else a client gave; it is given back as it is.
    #[serde(flatten)]
    #[schema(ignore)]
    pub(crate) others: Map<String, Value>,
}

impl From<StreamEntry> for Broadcast {
    fn from(entry: StreamEntry) -> Self {
        Self {
            stream_id: entry.id,
            name: entry.name,
            description: entry.description,
            meta_data: entry.metadata,
            latitude: entry.latitude,
            longitude: entry.longitude,
            altitude: entry.altitude,
            listener_hook_url: entry.webhook_url,
            status: match entry.status {
                StreamStatus::Announced => BroadcastStatus::Created,
                StreamStatus::Live => BroadcastStatus::Broadcasting,
                StreamStatus::Ended => BroadcastStatus::Finished,
                StreamStatus::Interrupted => BroadcastStatus::TerminatedUnexpectedly,
            },
            start_time: entry.started_ms,
            date: entry.known_since_ms,
            sub_folder: entry.sub_folder,
            mp4_enabled: match entry.recorded {
                Some(true) => 1,
                Some(false) => -1,
                None => 0,
            },
            others: entry.others,
        }
    }
}

impl From<Broadcast> for StreamEntry {
    fn from(broadcast: Broadcast) -> Self {
        Self {
            id: broadcast.stream_id,
            name: broadcast.name,
            description: broadcast.description,
            metadata: broadcast.meta_data,
            latitude: broadcast.latitude,
            longitude: broadcast.longitude,
            altitude: broadcast.altitude,
            webhook_url: broadcast.listener_hook_url,
            status: match broadcast.status {
                BroadcastStatus::Created => StreamStatus::Announced,
                BroadcastStatus::Broadcasting => StreamStatus::Live,
                BroadcastStatus::Finished => StreamStatus::Ended,
                BroadcastStatus::TerminatedUnexpectedly => StreamStatus::Interrupted,
            },
            started_ms: broadcast.start_time,
            known_since_ms: broadcast.date,
            sub_folder: broadcast.sub_folder,
            recorded: match broadcast.mp4_enabled {
                1 => Some(true),
                -1 => Some(false),
                _ => None,
            },
            settings: StreamSettings::default(),
            others: broadcast
                .others
                .into_iter()
                .filter(|(name, _)| name != SETTINGS)
                .collect(),
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
    fn a_broadcast_is_the_same_after_it_was_a_stream() {
        for (status, mp4_enabled) in [
            (BroadcastStatus::Created, 0),
            (BroadcastStatus::Broadcasting, 1),
            (BroadcastStatus::Finished, -1),
            (BroadcastStatus::TerminatedUnexpectedly, 0),
        ] {
            let broadcast = Broadcast {
                stream_id: "cam".into(),
                name: Some("a".into()),
                description: Some("b".into()),
                meta_data: Some("c".into()),
                latitude: Some("1".into()),
                longitude: Some("2".into()),
                altitude: Some("3".into()),
                listener_hook_url: Some("http://x/".into()),
                status,
                start_time: 4,
                date: 5,
                sub_folder: Some("sub".into()),
                mp4_enabled,
                others: [("type".to_owned(), "liveStream".into())]
                    .into_iter()
                    .collect(),
            };
            let entry = StreamEntry::from(broadcast.clone());
            assert_eq!(Broadcast::from(entry), broadcast);
        }
    }

    #[test]
    fn a_vod_has_all_that_clients_expect() {
        let entry = ClipEntry {
            id: "a".repeat(24),
            file_name: "a.mp4".into(),
            key: "sub/a.mp4".into(),
            bytes: 7,
            gaps: vec![Gap {
                from_ms: Some(1_795_356_000_250),
                to_ms: None,
                reason: "missing".into(),
            }],
            ..ClipEntry::default()
        };
        let vod = serde_json::to_value(Vod::from(entry)).unwrap();
        let expected = serde_json::json!({
            "streamName": "", "vodName": "a.mp4", "streamId": "", "creationDate": 0, "startTime": 0,
            "duration": 0, "fileSize": 7, "filePath": "streams/sub/a.mp4", "vodId": "a".repeat(24),
            "type": "streamVod", "previewFilePath": null, "processStatus": "finished",
            "processStartTime": 0, "processEndTime": 0, "description": null, "metadata": null,
            "latitude": null, "longitude": null, "altitude": null,
            "gaps": [{"from": "2026-11-22T14:00:00.250Z", "to": null, "reason": "missing"}]
        });
        assert_eq!(vod, expected);
    }
}
