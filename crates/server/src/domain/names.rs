//! What applications, streams and clips may be called.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Length of a [`clip_id`].
pub const CLIP_ID_LEN: usize = 24;

/// The longest stream id, in bytes.
const STREAM_ID_MAX: usize = 128;

/// Whether a text may be a stream's identifier: a file name in any script that leads nowhere else, of
/// 128 bytes at most. Texts are told apart by their bytes, however they are composed.
#[must_use]
pub fn is_stream_id(text: &str) -> bool {
    (1..=STREAM_ID_MAX).contains(&text.len())
        && !text.starts_with('.')
        && !text.contains("..")
        && !text.contains(['/', '\\'])
        && !text.chars().any(char::is_control)
}

/// Whether a text may be an application's name, which is the first part of its URLs.
#[must_use]
pub fn is_app_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    is_stream_id(text) && text.bytes().all(allowed)
}

/// Whether a text has the form of a clip's identifier.
#[must_use]
pub fn is_clip_id(text: &str) -> bool {
    text.len() == CLIP_ID_LEN && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A new identifier for a clip.
#[must_use]
pub fn clip_id() -> String {
    use rand::distr::{Alphanumeric, SampleString};
    Alphanumeric.sample_string(&mut rand::rng(), CLIP_ID_LEN)
}

/// What stands in a part of a path as it is (RFC 3986, 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What stands in a path as it is (RFC 3986, 3.3).
const PATH: &AsciiSet = &UNRESERVED
    .remove(b'/')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// A path as it stands in a URL (RFC 3986, 2.1).
pub(crate) fn percent_encoded(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// A name as a part of such a path, whatever characters it holds.
pub(crate) fn percent_encoded_part(name: &str) -> String {
    utf8_percent_encode(name, UNRESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_clips_are_24_letters_and_digits() {
        let id = clip_id();
        assert!(is_clip_id(&id), "{id}");
        assert_ne!(id, clip_id());
        assert!(!is_clip_id("short") && !is_clip_id(&"-".repeat(24)));
    }

    #[test]
    fn names_are_encoded_as_paths_and_as_parts_of_them() {
        assert_eq!(percent_encoded("a b/c+d?e"), "a%20b/c+d%3Fe");
        assert_eq!(percent_encoded_part("a b/c+d?e"), "a%20b%2Fc%2Bd%3Fe");
        assert_eq!(percent_encoded_part("直-._~"), "%E7%9B%B4-._~");
    }

    #[test]
    fn stream_ids_lead_nowhere_else() {
        for good in [
            "cam1",
            "a",
            "A.b_c-1",
            "直播间",
            "with space",
            "a+b",
            "cam@home",
            "cam(1)",
            "naïve",
            "50%",
            "%2e%2e",
            "a?b#c",
            "é".repeat(64).as_str(),
            "x".repeat(128).as_str(),
        ] {
            assert!(is_stream_id(good), "{good}");
            let plain = good
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            assert_eq!(is_app_name(good), plain, "{good}");
        }
        for bad in [
            "",
            ".hidden",
            "..",
            "a..b",
            "a/b",
            "a\\b",
            "a\0",
            "a\nb",
            "a\u{7f}",
            "a\u{85}",
            "é".repeat(65).as_str(),
            "x".repeat(129).as_str(),
        ] {
            assert!(!is_stream_id(bad), "{bad}");
        }
    }
}
