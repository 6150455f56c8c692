//! What webhooks say.

use serde_json::{Map, Value};

use crate::config::AppSettings;
use crate::domain::{ClipEntry, ClipOrigin, Delivery, StreamEntry, now_ms};

/// A clip can be fetched. `None` where nobody wants to know, and of what was uploaded: whoever did that
/// has the answer.
#[must_use]
pub fn vod_ready(
    app: &AppSettings,
    stream: Option<&StreamEntry>,
    entry: &ClipEntry,
) -> Option<Delivery> {
    if entry.origin == ClipOrigin::Upload {
        return None;
    }
    let name = entry
        .file_name
        .strip_suffix(".mp4")
        .unwrap_or(&entry.file_name);
    let mut payload = event(app, &entry.stream_id, "vodReady", entry.metadata.as_deref());
    payload.insert("vodName".to_owned(), name.into());
    payload.insert("vodId".to_owned(), entry.id.as_str().into());
    payload.insert("duration".to_owned(), entry.duration_ms.to_string().into());
    queued(app, stream, payload)
}

/// A stream went live. `None` where nobody wants to know.
#[must_use]
pub fn stream_started(app: &AppSettings, stream: &StreamEntry) -> Option<Delivery> {
    of_stream(app, stream, "liveStreamStarted")
}

/// A stream ended. `None` where nobody wants to know.
#[must_use]
pub fn stream_ended(app: &AppSettings, stream: &StreamEntry) -> Option<Delivery> {
    of_stream(app, stream, "liveStreamEnded")
}

fn of_stream(app: &AppSettings, stream: &StreamEntry, action: &str) -> Option<Delivery> {
    let metadata = stream.metadata.as_deref();
    let mut payload = event(app, &stream.id, action, metadata);
    if let Some(name) = stream.name.as_deref().filter(|name| !name.is_empty()) {
        payload.insert("streamName".to_owned(), name.into());
    }
    queued(app, Some(stream), payload)
}

fn event(
    app: &AppSettings,
    stream: &str,
    action: &str,
    metadata: Option<&str>,
) -> Map<String, Value> {
    let mut payload = Map::new();
    payload.insert("id".to_owned(), stream.into());
    payload.insert("action".to_owned(), action.into());
    payload.insert("app".to_owned(), app.name.as_str().into());
    payload.insert("timestamp".to_owned(), now_ms().to_string().into());
    if let Some(text) = metadata.filter(|text| !text.is_empty()) {
        let object = serde_json::from_str::<Map<String, Value>>(text);
        let metadata = object.map_or_else(|_| text.into(), Value::Object);
        payload.insert("metadata".to_owned(), metadata);
    }
    payload
}

fn queued(
    app: &AppSettings,
    stream: Option<&StreamEntry>,
    payload: Map<String, Value>,
) -> Option<Delivery> {
    let own = stream.and_then(|stream| stream.webhook_url.as_deref());
    let own = own.filter(|url| !url.trim().is_empty());
    let url = own.or(app.listener_hook_url.as_deref())?;
    let now = now_ms();
    Some(Delivery {
        id: uuid::Uuid::new_v4().to_string(),
        app: app.name.clone(),
        url: url.to_owned(),
        payload,
        created_ms: now,
        attempts: 0,
        next_ms: now,
        last_error: None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn app() -> AppSettings {
        AppSettings {
            listener_hook_url: Some("http://app.example/".into()),
            ..AppSettings::new("live", Path::new("/s"))
        }
    }

    #[test]
    fn a_clip_is_told_as_the_contract_has_it() {
        let entry = ClipEntry {
            id: "v".repeat(24),
            file_name: format!("{}.mp4", "v".repeat(24)),
            stream_id: "cam".into(),
            title: "Hall (720p)".into(),
            duration_ms: 1234,
            metadata: Some(r#"{"a":[1]}"#.into()),
            ..ClipEntry::default()
        };
        let hook = vod_ready(&app(), None, &entry).unwrap();
        assert_eq!(hook.url, "http://app.example/");
        let mut payload = hook.payload;
        assert!(payload.remove("timestamp").unwrap().is_string());
        let expected = serde_json::json!({
            "id": "cam", "action": "vodReady", "app": "live", "metadata": {"a": [1]},
            "vodName": "v".repeat(24), "vodId": "v".repeat(24), "duration": "1234",
        });
        assert_eq!(Value::Object(payload), expected);
    }

    #[test]
    fn a_broadcast_may_name_its_own_receiver_and_plain_metadata_stays_plain() {
        let mut stream = StreamEntry {
            id: "cam".into(),
            webhook_url: Some("http://own.example/".into()),
            metadata: Some("[1]".into()),
            ..StreamEntry::default()
        };
        let hook = stream_started(&app(), &stream).unwrap();
        assert_eq!(hook.url, "http://own.example/");
        assert_eq!(hook.payload["metadata"], "[1]");
        stream.webhook_url = Some(" ".into());
        stream.metadata = Some(String::new());
        let hook = stream_ended(&app(), &stream).unwrap();
        assert_eq!(hook.url, "http://app.example/");
        assert!(!hook.payload.contains_key("metadata"));
        let silent = AppSettings::new("live", Path::new("/s"));
        assert_eq!(stream_ended(&silent, &stream), None);
    }
}
