//! The servers that a stream comes from: requests, and what becomes of them (RFC 9110; RFC 8216, 6.3).
//!
//! The origin is the host of the stream's URL, by the port that this names; https instead of http is the
//! same host. It alone is sent the headers that were set for the stream, and user and password. What a
//! playlist names elsewhere, or a redirect leads to, gets none of them; cookies go where they came from.

use std::io::Read;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clipmill::live::{Taken, Version};
use clipmill::net::in_one_line;
use clipmill::source::Reach;
use clipmill::{ByteRange, Limits};
use clipmill_playlist::Location;
use flate2::read::MultiGzDecoder;
use percent_encoding::percent_decode_str;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, COOKIE, ETAG,
    HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
    RANGE, SET_COOKIE,
};
use reqwest::{Client, Method, Response, StatusCode};
use url::Url;

use super::cookies::Jar;
use super::lock;
use crate::clients::Clients;
use crate::domain::PullSource;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);

/// For an answer to begin, and then between two pieces of it.
pub(super) const READ: Duration = Duration::from_secs(10);

/// What is allocated at once for a body because its server says that it is so long.
const BELIEVED: u64 = 4 << 20;

/// Connections. They are shared by all streams: whatever comes from one server comes over few of them.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<OnceLock<Result<Clients, String>>>);

impl Connections {
    /// A client that connects to what it may. They are set up when the first stream is pulled.
    fn within(&self, reach: Reach) -> Result<&Client, String> {
        let clients = self.0.get_or_init(|| {
            // Redirects are followed one by one, as what is asked depends on whom.
            Clients::new(&["h2", "http/1.1"], |client| {
                client.connect_timeout(CONNECT).referer(false)
            })
        });
        let clients = clients.as_ref().map_err(Clone::clone)?;
        Ok(clients.within(reach))
    }
}

/// The servers that one stream comes from.
pub(super) struct Origin {
    connections: Connections,
    source: PullSource,
    /// The stream's URL, without user and password.
    home: Url,
    /// What these make.
    basic: Option<HeaderValue>,
    headers: RwLock<HeaderMap>,
    cookies: Mutex<Jar>,
    /// Where requests to the origin may lead, and all others.
    reach: (Reach, Reach),
}

/// What is asked for.
pub(super) struct Ask<'a> {
    pub(super) url: &'a Url,
    pub(super) range: Option<ByteRange>,
    /// It compresses well.
    pub(super) text: bool,
    /// What is known of it already.
    pub(super) known: Option<&'a Validators>,
    pub(super) max_bytes: u64,
    /// For the answer to begin.
    pub(super) patience: Duration,
}

impl<'a> Ask<'a> {
    pub(super) fn of(url: &'a Url, max_bytes: u64) -> Self {
        Self {
            url,
            range: None,
            text: false,
            known: None,
            max_bytes,
            patience: READ,
        }
    }
}

/// What tells whether a resource has changed (RFC 9110, 8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Validators {
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
}

/// What came.
pub(super) struct Answer {
    /// Where it came from in the end.
    pub(super) url: Url,
    pub(super) body: Bytes,
    pub(super) validators: Validators,
    /// Tells it from what had its name before.
    pub(super) version: Option<Version>,
    /// Its media type, as the server has it.
    pub(super) kind: String,
}

/// Why nothing came. In words it shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// There was no answer, or not all of one.
    Unreachable(String),
    /// The server answered something else.
    Status(u16),
    /// The answer is of no use.
    Useless(String),
    /// It is a playlist of another kind than before.
    Other,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(why) | Self::Useless(why) => f.write_str(why),
            Self::Other => f.write_str("it is a playlist of another kind than before"),
            Self::Status(status) => {
                let words = StatusCode::from_u16(*status).ok();
                let words = words.and_then(|status| status.canonical_reason());
                let words = words.map_or(String::new(), |words| format!(" ({words})"));
                write!(f, "the server answered {status}{words}")
            }
        }
    }
}

impl Failure {
    /// With where it happened, without secrets.
    pub(super) fn at(&self, url: &Url) -> String {
        format!("{}: {self}", Location::Url(url.clone()))
    }
}

impl Origin {
    /// The servers of a stream. Where the operator named its host, it may be anywhere.
    ///
    /// # Errors
    /// When its URL or one of its headers cannot be used.
    pub(super) fn new(
        connections: Connections,
        source: &PullSource,
        reach: Reach,
        by_operator: bool,
    ) -> Result<Self, String> {
        let mut home = Url::parse(&source.url).map_err(|error| format!("url: {error}"))?;
        let basic = basic(&home);
        // Both fail only for URLs that have no host.
        let _ = home.set_username("");
        let _ = home.set_password(None);
        let own = if by_operator { Reach::Anywhere } else { reach };
        let origin = Self {
            connections,
            source: source.clone(),
            home,
            basic,
            headers: RwLock::default(),
            cookies: Mutex::default(),
            reach: (own, reach),
        };
        origin.read_headers()?;
        Ok(origin)
    }

    /// The URL of the stream, without user and password.
    pub(super) fn url(&self) -> &Url {
        &self.home
    }

    /// Looks up what the values of headers are that stand elsewhere; they may have changed since.
    ///
    /// # Errors
    /// When one cannot be found.
    pub(super) fn read_headers(&self) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.source.headers {
            let value = resolved(value).map_err(|why| format!("the header `{name}`: {why}"))?;
            let wrong = || format!("the header `{name}` cannot have this value");
            let name = HeaderName::try_from(name.as_str()).map_err(|_| wrong())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let mut known = self
            .headers
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *known = headers;
        Ok(())
    }

    /// The same where the server refuses them: they may have been changed.
    pub(super) fn read_headers_again(&self) {
        if let Err(why) = self.read_headers() {
            tracing::warn!(stream = self.source.id, "headers stay as they were: {why}");
        }
    }

    /// Whether a URL leads to the host that the stream's URL names.
    fn is_home(&self, url: &Url) -> bool {
        let port = |url: &Url| url.port_or_known_default();
        let secured = self.home.scheme() == "http" && url.scheme() == "https";
        let usual = port(&self.home) == Some(80) && port(url) == Some(443);
        self.home.host() == url.host()
            && match self.home.scheme() == url.scheme() {
                true => port(&self.home) == port(url),
                false => secured && (usual || port(&self.home) == port(url)),
            }
    }

    fn headers(&self, url: &Url, ask: &Ask<'_>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.is_home(url) {
            if let Some(basic) = &self.basic {
                headers.insert(AUTHORIZATION, basic.clone());
            }
            let own = self
                .headers
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            for (name, value) in own.iter() {
                headers.insert(name.clone(), value.clone());
            }
        }
        let cookies = lock(&self.cookies).header(url, SystemTime::now());
        if let Some(cookies) = cookies {
            // What was set for the stream comes first.
            headers.entry(COOKIE).or_insert(cookies);
        }
        if ask.text {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(value) = ask.range.and_then(range_header) {
            headers.insert(RANGE, value);
        }
        if let Some(known) = ask.known {
            headers.extend(known.etag.clone().map(|etag| (IF_NONE_MATCH, etag)));
            headers.extend(known.modified.clone().map(|date| (IF_MODIFIED_SINCE, date)));
        }
        headers
    }

    /// Sends a request, to where redirects lead in the end.
    async fn send(&self, method: Method, ask: &Ask<'_>) -> Result<(Response, Url), Failure> {
        let mut url = ask.url.clone();
        for _ in 0..=Limits::default().redirects {
            let (own, others) = self.reach;
            let reach = if self.is_home(&url) { own } else { others };
            let refused = |error: clipmill::source::OutOfReach| Failure::Useless(error.to_string());
            reach.check_url(&url).map_err(refused)?;
            let client = self.connections.within(reach).map_err(Failure::Useless)?;
            let request = client.request(method.clone(), url.clone());
            let sent = request.headers(self.headers(&url, ask)).send();
            let response = match tokio::time::timeout(ask.patience, sent).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(unreachable(error)),
                Err(_) => return Err(Failure::Unreachable("no answer in time".to_owned())),
            };
            for set in response.headers().get_all(SET_COOKIE) {
                if let Ok(text) = set.to_str() {
                    lock(&self.cookies).take_in(&url, text, SystemTime::now());
                }
            }
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return Ok((response, url));
            }
            let to = response.headers().get(LOCATION);
            let to = to.and_then(|to| to.to_str().ok());
            let Some(next) = to.and_then(|to| url.join(to).ok()) else {
                return Err(Failure::Status(status.as_u16()));
            };
            if !matches!(next.scheme(), "http" | "https") {
                let what = format!("a redirect to {}:", next.scheme());
                return Err(Failure::Useless(what));
            }
            url = next;
        }
        let most = Limits::default().redirects;
        Err(Failure::Useless(format!("more than {most} redirects")))
    }

    /// Gets a resource; `None` where it is what is known already.
    pub(super) async fn get(&self, ask: &Ask<'_>) -> Result<Option<Answer>, Failure> {
        if ask.range.is_some_and(|range| range.length > ask.max_bytes) {
            return Err(too_large(ask.max_bytes));
        }
        let (mut response, url) = self.send(Method::GET, ask).await?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && ask.known.is_some() {
            return Ok(None);
        }
        if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            return Err(Failure::Status(status.as_u16()));
        }
        let mut skip = skipped(ask, &response)?;
        let text = |name| {
            let value = response.headers().get(name);
            value.and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let encoded = text(CONTENT_ENCODING).is_some_and(is_gzip);
        let kind = text(CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        let validators = Validators {
            etag: response.headers().get(ETAG).cloned(),
            modified: response.headers().get(LAST_MODIFIED).cloned(),
        };
        let claimed = response.content_length().unwrap_or(0);
        let mut body = Vec::with_capacity(usize::try_from(claimed.min(BELIEVED)).unwrap_or(0));
        let wanted = ask.range.map_or(u64::MAX, |range| range.length);
        loop {
            let chunk = match tokio::time::timeout(READ, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(unreachable(error)),
                Err(_) => return Err(Failure::Unreachable("it stopped in the middle".to_owned())),
            };
            let passed = skip.min(chunk.len() as u64);
            skip -= passed;
            let chunk = chunk.slice(usize::try_from(passed).unwrap_or(chunk.len())..);
            let left = wanted.saturating_sub(body.len() as u64);
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            body.extend_from_slice(&chunk[..taken]);
            if body.len() as u64 > ask.max_bytes {
                return Err(too_large(ask.max_bytes));
            }
            if body.len() as u64 >= wanted {
                break;
            }
        }
        if ask.range.is_some() && (body.len() as u64) < wanted {
            let what = format!("there are only {} bytes of {wanted}", body.len());
            return Err(Failure::Useless(what));
        }
        if encoded {
            body = unpacked(&body, ask.max_bytes)?;
        }
        let version = ask
            .range
            .is_none()
            .then(|| version(&validators, body.len() as u64));
        Ok(Some(Answer {
            url,
            body: body.into(),
            version: version.flatten(),
            validators,
            kind,
        }))
    }

    /// What a resource looks like, without getting it; `None` where the server does not tell.
    pub(super) async fn look(&self, url: &Url) -> Option<Version> {
        let ask = Ask::of(url, 0);
        let (response, _) = self.send(Method::HEAD, &ask).await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        let length = response.headers().get("content-length")?.to_str().ok()?;
        let validators = Validators {
            etag: response.headers().get(ETAG).cloned(),
            modified: response.headers().get(LAST_MODIFIED).cloned(),
        };
        version(&validators, length.parse().ok()?)
    }
}

/// The date comes first: servers behind one name may have entity tags of their own for the same file.
fn version(validators: &Validators, len: u64) -> Option<Version> {
    let tells = validators.modified.as_ref().or(validators.etag.as_ref())?;
    let tag = Taken::head(tells.as_bytes());
    Some(Version { tag, len })
}

/// `Authorization` of the user and password of a URL (RFC 7617).
fn basic(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let plain = |text| percent_decode_str(text).decode_utf8_lossy();
    let user = plain(url.username());
    let password = plain(url.password().unwrap_or_default());
    let pair = STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What a value means that may stand elsewhere: in a variable, or in a file, its white space at the ends left
/// away.
fn resolved(value: &str) -> Result<String, String> {
    if let Some(name) = value.strip_prefix("env:") {
        return std::env::var(name).map_err(|_| format!("there is no variable {name}"));
    }
    let Some(path) = value.strip_prefix("file:") else {
        return Ok(value.to_owned());
    };
    const LONGEST: u64 = 64 << 10;
    let mut text = String::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    read.map_err(|error| format!("{path}: {error}"))?;
    Ok(text.trim().to_owned())
}

/// How many bytes to leave out: a server may ignore that a range was asked for.
fn skipped(ask: &Ask<'_>, response: &Response) -> Result<u64, Failure> {
    let headers = response.headers();
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let known = |one: &str| one.eq_ignore_ascii_case("identity") || (ask.text && is_gzip(one));
    if let Some(encoding) = text(CONTENT_ENCODING).filter(|one| !known(one)) {
        let what = format!("the server sent it encoded ({encoding}), which was not asked for");
        return Err(Failure::Useless(what));
    }
    let offset = ask.range.map_or(0, |range| range.offset);
    if response.status() == StatusCode::OK {
        if ask.range.is_none() && response.content_length() > Some(ask.max_bytes) {
            return Err(too_large(ask.max_bytes));
        }
        return Ok(offset);
    }
    let start = text(CONTENT_RANGE).and_then(|value| {
        let range = value.strip_prefix("bytes")?.trim_start();
        range.split('-').next()?.trim().parse::<u64>().ok()
    });
    if ask.range.is_some() && start == Some(offset) {
        return Ok(0);
    }
    let what = "the server sent another part than was asked for";
    Err(Failure::Useless(what.to_owned()))
}

fn unpacked(packed: &[u8], max_bytes: u64) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let mut reader = MultiGzDecoder::new(packed).take(max_bytes.saturating_add(1));
    let read = reader.read_to_end(&mut text);
    read.map_err(|error| Failure::Useless(format!("gzip: {error}")))?;
    if text.len() as u64 > max_bytes {
        return Err(too_large(max_bytes));
    }
    Ok(text)
}

/// `Content-Encoding` (RFC 9110, 8.4.1.3).
fn is_gzip(encoding: &str) -> bool {
    let known = ["gzip", "x-gzip"];
    known
        .iter()
        .any(|known| encoding.eq_ignore_ascii_case(known))
}

/// `bytes=first-last`; nothing for an empty range, which has no last byte.
fn range_header(range: ByteRange) -> Option<HeaderValue> {
    let last = range.length.checked_sub(1)?;
    let last = range.offset.saturating_add(last);
    HeaderValue::try_from(format!("bytes={}-{last}", range.offset)).ok()
}

fn too_large(limit: u64) -> Failure {
    Failure::Useless(format!("larger than the limit of {limit} bytes"))
}

fn unreachable(error: reqwest::Error) -> Failure {
    // The URL is named already, and this one would show its secrets.
    Failure::Unreachable(in_one_line(&error.without_url()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str, headers: &[(&str, &str)]) -> Result<Origin, String> {
        let source = PullSource {
            id: "cam".into(),
            url: url.into(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..PullSource::default()
        };
        Origin::new(Connections::default(), &source, Reach::Public, false)
    }

    fn sent(origin: &Origin, url: &str) -> Vec<String> {
        let url = Url::parse(url).unwrap();
        let headers = origin.headers(&url, &Ask::of(&url, 1));
        let mut names: Vec<_> = headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn headers_go_to_the_host_of_the_url_alone() {
        let own = [("Referer", "http://x/"), ("X-Token", "1")];
        let origin = origin("http://me:pw@cdn.example/live/x.m3u8", &own).unwrap();
        assert_eq!(origin.url().as_str(), "http://cdn.example/live/x.m3u8");
        let all = ["authorization", "referer", "x-token"];
        for home in [
            "http://cdn.example/other/1.ts?x",
            "http://CDN.example:80/",
            "https://cdn.example/1.ts",
        ] {
            assert_eq!(sent(&origin, home), all, "{home}");
        }
        for other in [
            "http://cdn.example:8080/",
            "http://a.cdn.example/",
            "http://cdn.example.evil/",
            "https://cdn.example:80/",
        ] {
            let expected: &[&str] = if other.starts_with("https") {
                &all
            } else {
                &[]
            };
            assert_eq!(sent(&origin, other), expected, "{other}");
        }
        let secure = self::origin("https://cdn.example/x.m3u8", &own).unwrap();
        assert_eq!(sent(&secure, "http://cdn.example/1.ts"), [""; 0]);
        assert_eq!(
            sent(&secure, "https://cdn.example/1.ts"),
            ["referer", "x-token"]
        );
    }

    #[test]
    fn values_stand_in_variables_and_files_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " secret\n").unwrap();
        let at = format!("file:{}", file.path().display());
        let origin = origin("http://a.example/", &[("X", &at), ("Path", "env:PATH")]).unwrap();
        let headers = origin.headers(origin.url(), &Ask::of(origin.url(), 1));
        assert_eq!(headers["x"], "secret");
        assert_eq!(
            headers["path"].to_str().unwrap(),
            std::env::var("PATH").unwrap()
        );
        assert!(!format!("{headers:?}").contains("secret"));
        std::fs::write(file.path(), "other").unwrap();
        origin.read_headers().unwrap();
        assert_eq!(
            origin.headers(origin.url(), &Ask::of(origin.url(), 1))["x"],
            "other"
        );
        for (value, says) in [
            ("env:NO_SUCH_VARIABLE", "NO_SUCH"),
            ("file:/no/such", "/no/such"),
        ] {
            let error = self::origin("http://a/", &[("X", value)]).err().unwrap();
            assert!(
                error.contains("header `X`") && error.contains(says),
                "{error}"
            );
        }
    }

    #[test]
    fn users_and_passwords_are_basic_authentication() {
        let value =
            |url: &str| basic(&Url::parse(url).unwrap()).map(|v| v.to_str().unwrap().to_owned());
        // RFC 7617, section 2, and without padding, and with a colon in the password.
        assert_eq!(
            value("http://Aladdin:open%20sesame@h/").as_deref(),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        );
        assert_eq!(value("http://ab:c+d@h/").as_deref(), Some("Basic YWI6Yytk"));
        assert_eq!(value("http://a:%3A@h/").as_deref(), Some("Basic YTo6"));
        let pair = value("http://a:b&c=d@h/");
        assert_eq!(pair.as_deref(), Some("Basic YTpiJmM9ZA=="));
        assert_eq!(value("http://h/"), None);
    }
}
