//! `[[app.pull]]`: streams that are pulled from other servers.

use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use super::AppSettings;
use crate::domain::{PullSource, is_stream_id};
use crate::sources::names::{PlaylistName, Role};

/// Headers that belong to a connection or a message, and not to whoever asks for a resource.
const OURS: [&str; 12] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "if-modified-since",
    "if-none-match",
    "keep-alive",
    "range",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Values of headers that are found elsewhere: in a variable, in a file.
pub const ELSEWHERE: [&str; 2] = ["env:", "file:"];

/// Whether a stream can be pulled.
///
/// # Errors
/// Why not, in words that show no secret.
pub fn check_pull(source: &PullSource) -> Result<(), String> {
    let id = &source.id;
    if !is_stream_id(id) {
        return Err(format!("pull `{id}`: no stream can have this id"));
    }
    // Part of a file name of this form means something to those who watch the folder.
    let name = PlaylistName::of(format!("{id}.m3u8").as_ref());
    if !name.is_some_and(|name| name.stream == *id && name.role == Role::Main) {
        return Err(format!("pull `{id}`: this id means another stream"));
    }
    let url = Url::parse(&source.url).ok();
    let fits = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    if !url.as_ref().is_some_and(fits) {
        return Err(format!("pull `{id}`: its url is not an http(s) address"));
    }
    for (name, value) in &source.headers {
        let known = HeaderName::try_from(name.as_str());
        let known = known.map_err(|_| format!("pull `{id}`: `{name}` is not a header"))?;
        if OURS.contains(&known.as_str()) {
            return Err(format!("pull `{id}`: the header `{name}` cannot be set"));
        }
        if HeaderValue::try_from(value).is_err() {
            return Err(format!(
                "pull `{id}`: the header `{name}` cannot have this value"
            ));
        }
    }
    Ok(())
}

impl AppSettings {
    /// A stream that the configuration has pulled.
    #[must_use]
    pub fn pulled(&self, id: &str) -> Option<&PullSource> {
        self.pull.iter().find(|source| source.id == id)
    }

    /// Whether the streams that the configuration has pulled can be.
    pub(super) fn check_pulls(&self) -> Result<(), String> {
        for (at, source) in self.pull.iter().enumerate() {
            check_pull(source)?;
            let before = self.pull.iter().take(at);
            if before.into_iter().any(|other| other.id == source.id) {
                return Err(format!("pull `{}` is named twice", source.id));
            }
        }
        Ok(())
    }
}
