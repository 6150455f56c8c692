//! Answers, and what is taken from requests.

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::fault::{Fault, Kind};

/// The longest body of a request.
const LONGEST_BODY: usize = 256 << 10;

/// How long a client may take over it.
const BODY_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// A value as JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => {
                let kind = HeaderValue::from_static("application/json");
                let fresh = HeaderValue::from_static("no-store");
                let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, fresh)];
                (headers, Body::from(bytes)).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "an answer has no JSON form");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// The query's parameters: each one's last value, by name.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// A parameter that is there and not blank.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().rev().filter(|(other, _)| other == name);
        let value = found.next()?.1.as_str();
        Some(value).filter(|value| !value.trim().is_empty())
    }

    /// A parameter that is true or false; false when it is not there.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Fault> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Fault::bad(format!("{name} is neither true nor false"))),
        }
    }

    /// A number that must be there.
    pub(super) fn number(&self, name: &str) -> Result<i64, Fault> {
        let text = self
            .text(name)
            .ok_or_else(|| Fault::bad(format!("{name} is missing")))?;
        text.trim()
            .parse()
            .map_err(|_| Fault::bad(format!("{name} is not a whole number")))
    }

    /// A parameter that is one of a few words.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let found = choices
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text));
        match found {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
                Err(Fault::bad(format!(
                    "{name} is none of: {}",
                    words.join(", ")
                )))
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Ok(Self(pairs.into_owned().collect()))
    }
}

/// The headers, where a call needs them beside what it takes out of the request.
pub(super) struct Head(pub(super) HeaderMap);

impl<S: Sync> FromRequestParts<S> for Head {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.headers.clone()))
    }
}

/// The parameters of the path, decoded. Those that cannot be decoded lead nowhere.
pub(super) struct Path<T>(pub(super) T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: serde::de::DeserializeOwned + Send,
{
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let path =
            <axum::extract::Path<T> as FromRequestParts<S>>::from_request_parts(parts, state);
        match path.await {
            Ok(path) => Ok(Self(path.0)),
            Err(_) => Err(Fault::missing("There is nothing here")),
        }
    }
}

/// What stands in the value of an extended parameter as it is (RFC 8187, 3.2.1).
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// A file that is to be saved under this name (RFC 6266, 4.3): other than plain ASCII goes into a parameter
/// of its own (RFC 8187), with something for those who do not know it.
pub(super) fn attachment(name: &str) -> String {
    use std::fmt::Write;
    let plain = |one: char| one.is_ascii_graphic() || one == ' ';
    let fallback: String = name
        .chars()
        .map(|one| {
            if plain(one) && !"\"\\%".contains(one) {
                one
            } else {
                '_'
            }
        })
        .collect();
    let mut text = format!("attachment; filename=\"{fallback}\"");
    if fallback != name {
        let _ = write!(
            text,
            "; filename*=UTF-8''{}",
            utf8_percent_encode(name, ATTRIBUTE)
        );
    }
    text
}

/// The body of a request.
pub(super) async fn body(request: Request) -> Result<Bytes, Fault> {
    let body = Limited::new(request.into_body(), LONGEST_BODY).collect();
    match tokio::time::timeout(BODY_PATIENCE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Fault::new(
            Kind::TooLong,
            format!("The body is longer than {LONGEST_BODY} bytes"),
        )),
        Ok(Err(_)) => Err(Fault::bad("The body cannot be read")),
        Err(_) => Err(Fault::new(Kind::TooSlow, "The body takes too long to come")),
    }
}

#[cfg(test)]
mod tests {
    use super::attachment;

    #[test]
    fn names_of_files_to_be_saved() {
        for (name, expected) in [
            ("cam.mp4", "attachment; filename=\"cam.mp4\""),
            ("with space.mp4", "attachment; filename=\"with space.mp4\""),
            (
                "直\"50%.mp4",
                "attachment; filename=\"__50_.mp4\"; filename*=UTF-8''%E7%9B%B4%2250%25.mp4",
            ),
        ] {
            assert_eq!(attachment(name), expected);
        }
    }
}
