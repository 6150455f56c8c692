//! Time without media inside a window.

use serde::{Deserialize, Serialize};

/// Time without media inside a clip's window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Where it begins, in milliseconds since the Unix epoch; `None` where nothing dates it.
    #[serde(rename = "from", with = "text")]
    pub from_ms: Option<i64>,
    /// Where it ends.
    #[serde(rename = "to", with = "text")]
    pub to_ms: Option<i64>,
    /// Why there is no media.
    pub reason: String,
}

impl Gap {
    /// Where it begins, as people read it.
    #[must_use]
    pub fn from_text(&self) -> Option<String> {
        self.from_ms.map(|ms| super::Instant(ms).to_string())
    }

    /// Where it ends, as people read it.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        self.to_ms.map(|ms| super::Instant(ms).to_string())
    }
}

/// Instants in their serialised form: as [`Instant`](super::Instant) shows them.
mod text {
    use chrono::DateTime;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(ms: &Option<i64>, to: S) -> Result<S::Ok, S::Error> {
        match ms {
            Some(ms) => to.collect_str(&super::super::Instant(*ms)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        // One that cannot be read dates nothing.
        Ok(text.and_then(|text| {
            let beyond_the_calendar = text.strip_suffix(" ms").and_then(|ms| ms.parse().ok());
            beyond_the_calendar.or_else(|| {
                let time = DateTime::parse_from_rfc3339(&text).ok()?;
                Some(time.timestamp_millis())
            })
        }))
    }
}
