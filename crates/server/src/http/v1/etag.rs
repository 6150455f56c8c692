//! Versions of what calls can change (RFC 9110, 8.8.3 and 13.1.1).

use axum::http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::http::fault::{Fault, Kind};

/// The version of what a value says.
pub(super) fn tag_of(value: &impl Serialize) -> HeaderValue {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let hash = Sha256::digest(text);
    let digits: String = hash.iter().take(12).map(|b| format!("{b:02x}")).collect();
    HeaderValue::try_from(format!("\"{digits}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether a change may be made to this version: a caller that names others has not seen it.
pub(super) fn check(headers: &HeaderMap, present: &HeaderValue) -> Result<(), Fault> {
    let mut named = headers.get_all(header::IF_MATCH).iter().peekable();
    let fits = |tags: &HeaderValue| {
        let mut tags = tags.as_bytes().split(|byte| *byte == b',');
        tags.any(|tag| matches!(tag.trim_ascii(), tag if tag == b"*" || tag == present.as_bytes()))
    };
    if named.peek().is_none() || named.any(fits) {
        return Ok(());
    }
    Err(Fault::new(
        Kind::Changed,
        "It is not what If-Match names: somebody has changed it since",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_made_to_the_version_that_was_seen_alone() {
        let (one, other) = (tag_of(&1), tag_of(&2));
        assert_ne!(one, other);
        let asked = |text: &str| {
            let text = text.replace("ONE", one.to_str().unwrap());
            let value = HeaderValue::try_from(text).unwrap();
            check(&[(header::IF_MATCH, value)].into_iter().collect(), &one).is_ok()
        };
        assert!(check(&HeaderMap::new(), &one).is_ok());
        assert!(asked("*") && asked("ONE") && asked("\"x\", ONE"));
        assert!(!asked("") && !asked("\"x\"") && !asked("W/ONE"));
    }
}
