//! A stream that is pulled from another server.

use std::collections::BTreeMap;
use std::fmt;

use clipmill_playlist::Location;
use serde::{Deserialize, Serialize};
use url::Url;

/// A stream that is pulled from another server, as it was asked for: by the configuration, or by a call, and
/// then the catalog keeps it in this form.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PullSource {
    /// The id that the stream has here.
    pub id: String,
    /// Its playlist, `http` or `https`. User and password in it are for basic authentication.
    pub url: String,
    /// Which variant of a multivariant playlist; `all` for each of them. Empty: the best.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// What every request to the server of the URL carries.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

impl PullSource {
    /// The URL as people may see it: without user, password and query.
    #[must_use]
    pub fn shown_url(&self) -> String {
        match Url::parse(&self.url) {
            Ok(url) => Location::Url(url).to_string(),
            Err(_) => String::new(),
        }
    }
}

/// Neither passwords nor the values of headers are shown.
impl fmt::Debug for PullSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        f.debug_struct("PullSource")
            .field("id", &self.id)
            .field("url", &self.shown_url())
            .field("variant", &self.variant)
            .field("headers", &headers)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_kept_and_not_shown() {
        let source = PullSource {
            id: "cam".into(),
            url: "https://me:pw@cdn.example/cam.m3u8?token=t0k3n".into(),
            headers: [("Authorization".into(), "Bearer 5ecret".into())].into(),
            ..PullSource::default()
        };
        let shown = format!("{source:?}");
        assert!(shown.contains("cdn.example/cam.m3u8") && shown.contains("Authorization"));
        for secret in ["pw", "t0k3n", "5ecret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        let written = serde_json::to_value(&source).unwrap();
        assert_eq!(
            written,
            json!({
                "id": "cam", "url": "https://me:pw@cdn.example/cam.m3u8?token=t0k3n",
                "headers": {"Authorization": "Bearer 5ecret"}
            })
        );
        let read: PullSource = serde_json::from_value(written).unwrap();
        assert_eq!(read, source);
    }
}
