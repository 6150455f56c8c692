//! What is known of a stored clip.

use serde::{Deserialize, Serialize};

use super::{Gap, StreamEntry};

/// What is known of a stored clip.
///
/// Its serialised form is what lies in the metadata file beside a clip and in the catalog, and part of version 1
/// of both: the names there are those that were written first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClipEntry {
    /// Its identifier: 24 letters and digits.
    #[serde(rename = "vodId")]
    pub id: String,
    /// The stream that it was cut from; `file` where it was uploaded.
    pub stream_id: String,
    /// How it came to be here.
    #[serde(rename = "type")]
    pub origin: ClipOrigin,
    /// What people call it: the stream's name and the height of the pictures, or the name of its file.
    #[serde(rename = "streamName")]
    pub title: String,
    /// The name of its file for people: `{id}.mp4`, or that which an upload came with.
    #[serde(rename = "vodName")]
    pub file_name: String,
    /// Where it lies in the clip store: `[{sub-folder}/]{id}.mp4`.
    #[serde(rename = "filePath", with = "key")]
    pub key: String,
    /// When it was made, in milliseconds since the Unix epoch.
    #[serde(rename = "creationDate")]
    pub created_ms: i64,
    /// The instant of its first presented frame, in milliseconds since the Unix epoch.
    #[serde(rename = "startTime")]
    pub start_ms: i64,
    /// How long it is presented, in milliseconds.
    #[serde(rename = "duration")]
    pub duration_ms: i64,
    /// Its length in bytes.
    #[serde(rename = "fileSize")]
    pub bytes: u64,
    /// When its making began, in milliseconds since the Unix epoch.
    #[serde(rename = "processStartTime")]
    pub making_began_ms: i64,
    /// When its making ended, in milliseconds since the Unix epoch.
    #[serde(rename = "processEndTime")]
    pub making_ended_ms: i64,
    /// The stream's description.
    pub description: Option<String>,
    /// The stream's metadata.
    pub metadata: Option<String>,
    /// Where it was filmed.
    pub latitude: Option<String>,
    /// Where it was filmed.
    pub longitude: Option<String>,
    /// Where it was filmed.
    pub altitude: Option<String>,
    /// Time without media inside its window.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Why it was cut; `None` where it was uploaded, or by an earlier version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ClipKind>,
    /// What people file it under.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Of a montage, what was joined, in order; of any other clip, nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<JoinedWindow>,
}

/// One of the windows that were joined in a montage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinedWindow {
    /// The stream that it was cut from.
    pub stream_id: String,
    /// The instant of its first presented frame, in milliseconds since the Unix epoch.
    pub from_ms: i64,
    /// The instant at which its last one ends.
    pub to_ms: i64,
}

/// Why a clip was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipKind {
    /// An interval was over.
    Periodic,
    /// Somebody asked for a window that was there.
    OnDemand,
    /// Somebody asked for a window whose end was open, or lay ahead.
    Recording,
}

impl ClipKind {
    /// Its name, as metrics and calls have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Periodic => "periodic",
            Self::OnDemand => "on_demand",
            Self::Recording => "recording",
        }
    }
}

/// How a clip came into the clip store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ClipOrigin {
    /// It was uploaded.
    #[serde(rename = "uploadedVod")]
    Upload,
    /// It was cut out of a stream.
    #[default]
    #[serde(rename = "streamVod", other)]
    Stream,
}

impl Default for ClipEntry {
    fn default() -> Self {
        Self {
            id: String::new(),
            stream_id: String::new(),
            origin: ClipOrigin::Stream,
            title: String::new(),
            file_name: String::new(),
            key: String::new(),
            created_ms: 0,
            start_ms: 0,
            duration_ms: 0,
            bytes: 0,
            making_began_ms: 0,
            making_ended_ms: 0,
            description: None,
            metadata: None,
            latitude: None,
            longitude: None,
            altitude: None,
            gaps: Vec::new(),
            kind: None,
            tags: Vec::new(),
            windows: Vec::new(),
        }
    }
}

impl ClipEntry {
    /// A new clip of a stream: identifier, names and place, and what it takes over from the stream's entry.
    #[must_use]
    pub fn of_stream(
        id: &str,
        stream: &StreamEntry,
        height: Option<u32>,
        sub_folder: Option<&str>,
    ) -> Self {
        let file_name = format!("{id}.mp4");
        let title = match stream
            .name
            .as_deref()
            .filter(|name| !name.trim().is_empty())
        {
            Some(name) => match height {
                Some(height) => format!("{name} ({height}p)"),
                None => name.to_owned(),
            },
            None => file_name.clone(),
        };
        Self {
            title,
            key: match sub_folder {
                Some(folder) => format!("{folder}/{file_name}"),
                None => file_name.clone(),
            },
            file_name,
            stream_id: stream.id.clone(),
            id: id.to_owned(),
            description: stream.description.clone(),
            metadata: stream.metadata.clone(),
            latitude: stream.latitude.clone(),
            longitude: stream.longitude.clone(),
            altitude: stream.altitude.clone(),
            ..Self::default()
        }
    }

    /// A whole file that was uploaded.
    #[must_use]
    pub fn upload(id: &str, file_name: &str) -> Self {
        Self {
            id: id.to_owned(),
            stream_id: "file".to_owned(),
            origin: ClipOrigin::Upload,
            title: file_name.to_owned(),
            file_name: file_name.to_owned(),
            key: format!("{id}.mp4"),
            ..Self::default()
        }
    }

    /// From when to when it is, in milliseconds since the Unix epoch: of a montage, from the earliest instant of its
    /// windows to the latest.
    #[must_use]
    pub fn span_ms(&self) -> (i64, i64) {
        let from = self.windows.iter().map(|window| window.from_ms).min();
        let to = self.windows.iter().map(|window| window.to_ms).max();
        let end = self.start_ms.saturating_add(self.duration_ms);
        from.zip(to).unwrap_or((self.start_ms, end))
    }

    /// Whether something of a stream is in it.
    #[must_use]
    pub fn is_of(&self, stream: &str) -> bool {
        let mut windows = self.windows.iter();
        self.stream_id == stream || windows.any(|window| window.stream_id == stream)
    }

    /// Its folder in the clip store, where it is not the topmost.
    #[must_use]
    pub fn sub_folder(&self) -> Option<&str> {
        self.key.rsplit_once('/').map(|(folder, _)| folder)
    }

    /// Whether `needle`, which is in lower case, occurs in what people know of it.
    #[must_use]
    pub fn matches(&self, needle: &str) -> bool {
        let optional = [&self.description, &self.metadata];
        [&self.stream_id, &self.title, &self.id, &self.file_name]
            .into_iter()
            .chain(optional.into_iter().flatten())
            .any(|text| text.to_lowercase().contains(needle))
    }
}

/// The key in its serialised form, which is the path that it is played from: `streams/{key}`.
mod key {
    use serde::{Deserialize, Deserializer, Serializer};

    const PREFIX: &str = "streams/";

    pub(super) fn serialize<S: Serializer>(key: &str, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{PREFIX}{key}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        let path = String::deserialize(from)?;
        Ok(match path.strip_prefix(PREFIX) {
            Some(key) => key.to_owned(),
            None => path,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_clip_is_named_after_its_stream() {
        let mut stream = StreamEntry {
            id: "cam".into(),
            name: Some("Hall".into()),
            ..StreamEntry::default()
        };
        let id = "a".repeat(24);
        let entry = ClipEntry::of_stream(&id, &stream, Some(720), Some("sub"));
        assert_eq!(entry.title, "Hall (720p)");
        assert_eq!(entry.key, format!("sub/{id}.mp4"));
        assert_eq!(entry.sub_folder(), Some("sub"));
        stream.name = None;
        let entry = ClipEntry::of_stream(&id, &stream, Some(720), None);
        assert_eq!(entry.title, format!("{id}.mp4"));
        assert_eq!(entry.sub_folder(), None);
    }

    /// As the first version wrote it.
    fn of_version_1() -> Value {
        json!({
            "streamName": "Hall (720p)", "vodName": "aaaaaaaaaaaaaaaaaaaaaaaa.mp4", "streamId": "cam",
            "creationDate": 1_795_356_000_123_i64, "startTime": 1_795_355_940_000_i64,
            "duration": 60_000, "fileSize": 11_250_000,
            "filePath": "streams/sub/aaaaaaaaaaaaaaaaaaaaaaaa.mp4", "vodId": "aaaaaaaaaaaaaaaaaaaaaaaa",
            "type": "streamVod", "previewFilePath": null, "processStatus": "finished",
            "processStartTime": 1_795_356_000_123_i64, "processEndTime": 1_795_356_000_456_i64,
            "description": null, "metadata": "{\"a\":1}", "latitude": "47.5", "longitude": null,
            "altitude": null,
            "gaps": [
                {"from": "2026-11-22T14:00:00.250Z", "to": null, "reason": "missing"},
                {"from": null, "to": "9223372036854775807 ms", "reason": "no media after"}
            ]
        })
    }

    #[test]
    fn entries_of_version_1_are_read_and_written_as_they_were() {
        let mut written = of_version_1();
        let entry: ClipEntry = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(entry.id, "a".repeat(24));
        assert_eq!(entry.key, format!("sub/{}.mp4", entry.id));
        assert_eq!(
            (entry.title.as_str(), entry.bytes),
            ("Hall (720p)", 11_250_000)
        );
        assert_eq!(entry.gaps[0].from_ms, Some(1_795_356_000_250));
        assert_eq!(entry.gaps[1].to_ms, Some(i64::MAX));
        // What was the same in each is no longer written; an earlier version fills it in as we do.
        let fields = written.as_object_mut().unwrap();
        for name in ["previewFilePath", "processStatus"] {
            fields.remove(name);
        }
        assert_eq!(serde_json::to_value(&entry).unwrap(), written);
    }

    #[test]
    fn origins_are_told_apart_and_unknown_ones_do_no_harm() {
        let of = |origin: &str| {
            let mut entry = of_version_1();
            entry["type"] = origin.into();
            serde_json::from_value::<ClipEntry>(entry).unwrap().origin
        };
        assert_eq!(of("uploadedVod"), ClipOrigin::Upload);
        assert_eq!(of("streamVod"), ClipOrigin::Stream);
        assert_eq!(of("userVod"), ClipOrigin::Stream);
        let upload = ClipEntry::upload(&"u".repeat(24), "intro.mp4");
        assert_eq!(
            serde_json::to_value(&upload).unwrap()["type"],
            "uploadedVod"
        );
    }
}
