//! What is known of a stream beside its media.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::StreamSettings;

/// What its settings are called in its serialised form: no client may give something else that name.
pub const SETTINGS: &str = "clipmillSettings";

/// What is known of a stream, announced by a call or seen on the disk.
///
/// Its serialised form is what the catalog keeps, in version 1 of its values: the names there are those that were
/// written first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamEntry {
    /// Its identifier: see [`is_stream_id`](super::is_stream_id).
    #[serde(rename = "streamId")]
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// What people say of it.
    pub description: Option<String>,
    /// Anything; often JSON. Clips and webhooks carry it on.
    #[serde(rename = "metaData")]
    pub metadata: Option<String>,
    /// Where it is filmed.
    pub latitude: Option<String>,
    /// Where it is filmed.
    pub longitude: Option<String>,
    /// Where it is filmed.
    pub altitude: Option<String>,
    /// The receiver of its webhooks, in place of the application's.
    #[serde(rename = "listenerHookURL")]
    pub webhook_url: Option<String>,
    /// How it stands.
    pub status: StreamStatus,
    /// When it went live, in milliseconds since the Unix epoch; 0 before.
    #[serde(rename = "startTime")]
    pub started_ms: i64,
    /// When it became known, in milliseconds since the Unix epoch.
    #[serde(rename = "date")]
    pub known_since_ms: i64,
    /// The folder below the application's that its playlist lies in.
    pub sub_folder: Option<String>,
    /// Whether each of its sessions is recorded whole; `None` when nobody said.
    #[serde(rename = "mp4Enabled", with = "switch")]
    pub recorded: Option<bool>,
    /// What calls set for it, in place of its application's settings.
    #[serde(
        rename = "clipmillSettings",
        skip_serializing_if = "StreamSettings::is_empty"
    )]
    pub settings: StreamSettings,
    /// What else a client gave; it is given back as it is.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// How a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StreamStatus {
    /// Announced, never seen.
    #[default]
    #[serde(rename = "created")]
    Announced,
    /// Live.
    #[serde(rename = "broadcasting")]
    Live,
    /// Over.
    #[serde(rename = "finished")]
    Ended,
    /// Over, without a word.
    #[serde(rename = "terminated_unexpectedly")]
    Interrupted,
}

/// A switch in its serialised form: 1 for on, -1 for off, 0 when nobody said.
mod switch {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(on: &Option<bool>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i32(match on {
            Some(true) => 1,
            Some(false) => -1,
            None => 0,
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<bool>, D::Error> {
        Ok(match i32::deserialize(from)? {
            1 => Some(true),
            -1 => Some(false),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Set;

    #[test]
    fn entries_of_version_1_are_read_and_written_as_they_were() {
        let written = json!({
            "streamId": "cam", "name": "Hall", "description": null, "metaData": "{}",
            "latitude": "47.5", "longitude": null, "altitude": null,
            "listenerHookURL": "http://x/", "status": "terminated_unexpectedly",
            "startTime": 1_795_355_940_000_i64, "date": 1_795_355_900_000_i64, "subFolder": "sub",
            "mp4Enabled": -1, "type": "liveStream", "is360": false
        });
        let entry: StreamEntry = serde_json::from_value(written.clone()).unwrap();
        assert_eq!((entry.id.as_str(), entry.recorded), ("cam", Some(false)));
        assert_eq!(entry.status, StreamStatus::Interrupted);
        assert_eq!(entry.others["type"], "liveStream");
        assert_eq!(serde_json::to_value(&entry).unwrap(), written);
        let set = StreamEntry {
            settings: StreamSettings {
                dvr_window_ms: Some(Set {
                    value: 60_000,
                    configured: None,
                }),
                ..StreamSettings::default()
            },
            ..entry
        };
        let text = serde_json::to_value(&set).unwrap();
        assert_eq!(
            text[SETTINGS],
            json!({"dvrWindowMs": {"value": 60_000, "configured": null}})
        );
        assert_eq!(serde_json::from_value::<StreamEntry>(text).unwrap(), set);
        for (status, text) in [
            (StreamStatus::Announced, "created"),
            (StreamStatus::Live, "broadcasting"),
            (StreamStatus::Ended, "finished"),
        ] {
            assert_eq!(serde_json::to_value(status).unwrap(), text);
        }
    }
}
