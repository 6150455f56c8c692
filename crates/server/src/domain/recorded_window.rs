//! A recording by instants: a clip whose end is open, or lies ahead.

use serde::{Deserialize, Serialize};

/// A recording by instants: it becomes a clip when its end has come.
///
/// Its serialised form is what the catalog keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedWindow {
    /// What its clip will be called: 24 letters and digits.
    pub id: String,
    /// The stream.
    pub stream_id: String,
    /// Where it begins, in milliseconds since the Unix epoch; it may lie ahead.
    pub from_ms: i64,
    /// Where it ends; `None` while nobody has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<i64>,
    /// What people call the clip; the stream's name otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What people file it under.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub created_ms: i64,
}
