//! Conditional requests and ranges (RFC 9110, 13 and 14).

use std::fs::Metadata;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use httpdate::{fmt_http_date, parse_http_date};

use crate::recorder::VirtualClip;

/// The last second of the year 9999, which is as far as dates in headers go, since the Unix epoch.
const LAST_SECOND: u64 = 253_402_300_799;

/// What tells one version of a file from another.
#[derive(Debug, Clone)]
pub(super) struct Version {
    /// Bytes.
    pub(super) len: u64,
    /// A strong validator: files are written once, or replaced.
    pub(super) etag: HeaderValue,
    /// When it was written, to the second, as headers have it; none for what is stored nowhere.
    modified: Option<SystemTime>,
}

impl Version {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
        Self::new(metadata.len(), modified)
    }

    /// That of what is so long and was written then.
    pub(super) fn new(len: u64, modified: SystemTime) -> Self {
        let since = modified
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let etag = format!("\"{len:x}-{:x}\"", since.as_nanos());
        Self {
            len,
            // Digits and a hyphen always make a header.
            etag: HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\"")),
            modified: Some(UNIX_EPOCH + Duration::from_secs(since.as_secs().min(LAST_SECOND))),
        }
    }

    /// That of something that was made for the answer.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        use sha2::{Digest, Sha256};
        let hash = Sha256::digest(bytes);
        let tag = hash.iter().take(16).map(|byte| format!("{byte:02x}"));
        let etag = format!("\"{:x}-{}\"", bytes.len(), tag.collect::<String>());
        Self {
            len: bytes.len() as u64,
            etag: HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\"")),
            modified: None,
        }
    }

    /// That of something that is no file.
    pub(super) fn of_clip(clip: &VirtualClip) -> Self {
        Self {
            len: clip.len(),
            etag: HeaderValue::try_from(clip.etag()).unwrap_or(HeaderValue::from_static("\"\"")),
            modified: None,
        }
    }

    pub(super) fn modified_header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(fmt_http_date(self.modified?)).ok()
    }

    fn changed_after(&self, date: SystemTime) -> Option<bool> {
        Some(self.modified? > date)
    }
}

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Send,
    NotModified,
    Failed,
}

/// Whether a request follows an earlier one of the same file: it names the version that it has, or
/// asks for a range that is not the first.
pub(super) fn continues(asked: &HeaderMap) -> bool {
    let named = [header::IF_RANGE, header::IF_MATCH];
    let range = text(asked, &header::RANGE).and_then(|range| range.split_once('='));
    named.iter().any(|name| asked.contains_key(name))
        || range.is_some_and(|(_, spec)| !spec.trim().starts_with("0-"))
}

/// RFC 9110, 13.2.2.
pub(super) fn verdict(asked: &HeaderMap, version: &Version) -> Verdict {
    let since = |name: HeaderName| date(text(asked, &name)?);
    if let Some(tags) = text(asked, &header::IF_MATCH) {
        if !lists(tags, version, false) {
            return Verdict::Failed;
        }
    } else if since(header::IF_UNMODIFIED_SINCE).and_then(|d| version.changed_after(d))
        == Some(true)
    {
        return Verdict::Failed;
    }
    if let Some(tags) = text(asked, &header::IF_NONE_MATCH) {
        if lists(tags, version, true) {
            return Verdict::NotModified;
        }
    } else if since(header::IF_MODIFIED_SINCE).and_then(|d| version.changed_after(d)) == Some(false)
    {
        return Verdict::NotModified;
    }
    Verdict::Send
}

/// The range that is wanted, where it is one that still makes sense (RFC 9110, 14.2); an error
/// when it lies beyond the end. Several ranges are answered with the whole, as is allowed.
pub(super) fn range(asked: &HeaderMap, version: &Version) -> Option<Result<Range<u64>, ()>> {
    let wanted = text(asked, &header::RANGE)?;
    if let Some(known) = text(asked, &header::IF_RANGE) {
        let same = match known.trim() {
            tag if tag.ends_with('"') => tag.as_bytes() == version.etag.as_bytes(),
            // A second is long enough for a file to change twice in it: dates are not exact.
            text => date(text).is_some_and(|date| version.modified == Some(date)),
        };
        if !same {
            return None;
        }
    }
    let (unit, spec) = wanted.trim().split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return None;
    }
    // Numbers too large to hold are as good as the largest.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let len = version.len;
    let (start, end) = match (first, last) {
        ("", "") => return None,
        ("", suffix) => (len.saturating_sub(number(suffix)), len),
        (start, "") => (number(start), len),
        (start, last) if number(last) < number(start) => return None,
        (start, last) => (number(start), number(last).saturating_add(1).min(len)),
    };
    Some(if start < end { Ok(start..end) } else { Err(()) })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a list of entity tags has this version; `weakly` takes weak ones too.
fn lists(tags: &str, version: &Version, weakly: bool) -> bool {
    tags.trim() == "*"
        || tags.split(',').map(str::trim).any(|tag| {
            let tag = match tag.strip_prefix("W/") {
                Some(tag) if weakly => tag,
                _ => tag,
            };
            tag.as_bytes() == version.etag.as_bytes()
        })
}

/// An HTTP date, in one of its three forms (RFC 9110, 5.6.7).
fn date(text: &str) -> Option<SystemTime> {
    parse_http_date(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Version {
        Version::new(100, UNIX_EPOCH + Duration::from_millis(784_111_777_500))
    }

    fn headers(all: &[(HeaderName, &str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn ranges_are_those_of_the_standard() {
        let find = |text: &str| range(&headers(&[(header::RANGE, text)]), &version());
        assert_eq!(find("bytes=0-0"), Some(Ok(0..1)));
        assert_eq!(find("bytes=10-"), Some(Ok(10..100)));
        assert_eq!(find("bytes=-10"), Some(Ok(90..100)));
        assert_eq!(find("bytes=-1000"), Some(Ok(0..100)));
        assert_eq!(find("bytes=90-99999999999999999999999"), Some(Ok(90..100)));
        assert_eq!(find("bytes=100-"), Some(Err(())));
        assert_eq!(find("bytes=-0"), Some(Err(())));
        for ignored in [
            "bytes=5-4",
            "bytes=-",
            "lines=1-2",
            "bytes=a-b",
            "bytes=0-1,5-6",
            "0-1",
        ] {
            assert_eq!(find(ignored), None, "{ignored}");
        }
    }

    #[test]
    fn a_range_of_another_version_is_not_sent() {
        let version = version();
        let etag = version.etag.to_str().unwrap();
        let find = |known: &str| {
            let asked = headers(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, known)]);
            range(&asked, &version).is_some()
        };
        assert!(find(etag));
        assert!(find("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(!find("\"other\""));
        assert!(!find(&format!("W/{etag}")));
        assert!(!find("Sun, 06 Nov 1994 08:49:36 GMT"));
    }

    #[test]
    fn dates_are_read_in_all_their_forms_and_never_overflow() {
        let known = version().modified;
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(date(text), known, "{text}");
        }
        for text in ["", "Sun, 06 Nov 1994", "Mon, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(date(text), None, "{text}");
        }
        let before = Version::new(1, UNIX_EPOCH - Duration::from_secs(1));
        let far = Version::new(1, UNIX_EPOCH + Duration::from_secs(LAST_SECOND + 1));
        let text = |version: &Version| version.modified_header().unwrap();
        assert_eq!(text(&before), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(&far), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn conditions_are_weighed_in_their_order() {
        let version = version();
        let etag = version.etag.to_str().unwrap().to_owned();
        let weak = format!("W/{etag}, \"x\"");
        let same = "Sun, 06 Nov 1994 08:49:37 GMT";
        let older = "Sun, 06 Nov 1994 08:49:00 GMT";
        let weigh = |all: &[(HeaderName, &str)]| verdict(&headers(all), &version);
        assert_eq!(version.modified_header().unwrap(), same);
        assert_eq!(weigh(&[]), Verdict::Send);
        assert_eq!(
            weigh(&[(header::IF_NONE_MATCH, &etag)]),
            Verdict::NotModified
        );
        assert_eq!(
            weigh(&[(header::IF_NONE_MATCH, &weak)]),
            Verdict::NotModified
        );
        assert_eq!(weigh(&[(header::IF_NONE_MATCH, "*")]), Verdict::NotModified);
        assert_eq!(
            weigh(&[(header::IF_MODIFIED_SINCE, same)]),
            Verdict::NotModified
        );
        assert_eq!(weigh(&[(header::IF_MODIFIED_SINCE, older)]), Verdict::Send);
        let both = [
            (header::IF_NONE_MATCH, "\"x\""),
            (header::IF_MODIFIED_SINCE, same),
        ];
        assert_eq!(weigh(&both), Verdict::Send);
        assert_eq!(weigh(&[(header::IF_MATCH, "\"x\"")]), Verdict::Failed);
        assert_eq!(weigh(&[(header::IF_MATCH, &etag)]), Verdict::Send);
        assert_eq!(
            weigh(&[(header::IF_UNMODIFIED_SINCE, older)]),
            Verdict::Failed
        );
    }
}
