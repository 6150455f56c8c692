//! Playlists and segments from web servers (RFC 9110; byte ranges: RFC 8216, 4.3.2.2).

use std::error::Error;
use std::io::Read;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clipmill_media::Limits;
use clipmill_playlist::{ByteRange, Location};
use flate2::read::MultiGzDecoder;
use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, RANGE};
use reqwest::redirect::{Attempt, Policy};
use url::Url;

use super::{OutOfReach, Reach, SegmentSource, SourceError};
use crate::net::{BackOff, Resolver, USER_AGENT, in_one_line, tls};

/// Reads over http and https.
///
/// The connections are set up by the first read and kept for the following ones. Certificates are
/// checked against those of the system and those that Mozilla trusts. As with everything that
/// blocks, an asynchronous task must not call it.
#[derive(Debug, Default)]
pub struct HttpSource {
    settings: HttpSettings,
    client: OnceLock<Result<Client, String>>,
}

/// How patient an [`HttpSource`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Until a connection stands. Default 10 s.
    pub connect_timeout: Duration,
    /// For the answer to begin, and then between two pieces of it. Default 30 s.
    pub read_timeout: Duration,
    /// For one resource, all tries together. Default 10 min.
    pub total_timeout: Duration,
    /// How often to try again after a time-out, a lost connection or a server error. Default 3.
    pub retries: u32,
    /// The pause before the first retry, doubled for each further one. Default 250 ms.
    pub backoff: Duration,
    /// Redirects followed for one resource. Default 5.
    pub redirects: usize,
    /// Default `clipmill/` and the version.
    pub user_agent: String,
    /// Which addresses may be connected to, also after a redirect and by a name that resolves to
    /// them. Default all.
    pub reach: Reach,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(600),
            retries: 3,
            backoff: Duration::from_millis(250),
            redirects: Limits::default().redirects,
            user_agent: USER_AGENT.to_owned(),
            reach: Reach::Anywhere,
        }
    }
}

impl HttpSource {
    /// A source that is set up by its first read.
    #[must_use]
    pub fn new(settings: HttpSettings) -> Self {
        Self {
            settings,
            client: OnceLock::new(),
        }
    }

    /// The bytes, and the URL that they came from in the end. `text` compresses well.
    fn fetch(
        &self,
        location: &Location,
        range: Option<ByteRange>,
        max_bytes: u64,
        text: bool,
    ) -> Result<(Bytes, Url), SourceError> {
        let Location::Url(url) = location else {
            return Err(SourceError::Unsupported {
                location: location.to_string(),
                reason: "a file, which an HTTP source does not read",
            });
        };
        if range.is_some_and(|range| range.length > max_bytes) {
            return Err(too_large(location, max_bytes));
        }
        if let Err(refused) = self.settings.reach.check_url(url) {
            return Err(SourceError::Http {
                location: location.to_string(),
                reason: refused.to_string(),
            });
        }
        let client = self.client.get_or_init(|| build(&self.settings));
        let client = client.as_ref().map_err(|reason| SourceError::Http {
            location: location.to_string(),
            reason: reason.clone(),
        })?;
        let job = Job {
            client,
            location,
            url,
            range,
            text,
            max_bytes,
            deadline: Instant::now().checked_add(self.settings.total_timeout),
        };
        let back_off = BackOff {
            first: self.settings.backoff,
            longest: self.settings.total_timeout,
        };
        let mut failures = 0_u32;
        loop {
            let failure = match job.run() {
                Ok(found) => return Ok(found),
                Err(failure) => failure,
            };
            failures = failures.saturating_add(1);
            let pause = back_off.after(failures);
            if !failure.temporary || failures > self.settings.retries || job.is_late(pause) {
                return Err(failure.error);
            }
            std::thread::sleep(pause);
        }
    }
}

impl SegmentSource for HttpSource {
    fn read(
        &self,
        location: &Location,
        range: Option<ByteRange>,
        max_bytes: u64,
    ) -> Result<Bytes, SourceError> {
        self.fetch(location, range, max_bytes, false)
            .map(|(bytes, _)| bytes)
    }

    fn read_playlist(
        &self,
        location: &Location,
        max_bytes: u64,
    ) -> Result<(Bytes, Location), SourceError> {
        let (bytes, url) = self.fetch(location, None, max_bytes, true)?;
        Ok((bytes, Location::Url(url)))
    }
}

fn build(settings: &HttpSettings) -> Result<Client, String> {
    let (limit, reach) = (settings.redirects, settings.reach);
    let redirects = Policy::custom(move |attempt: Attempt<'_>| {
        if attempt.previous().len() > limit {
            return attempt.error(format!("more than {limit} redirects"));
        }
        if let Err(refused) = reach.check_url(attempt.url()) {
            return attempt.error(refused);
        }
        match attempt.url().scheme() {
            "http" | "https" => attempt.follow(),
            other => {
                let refusal = format!("a redirect to {other}:");
                attempt.error(refusal)
            }
        }
    });
    Client::builder()
        .tls_backend_preconfigured(tls()?)
        .user_agent(&settings.user_agent)
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.read_timeout)
        .redirect(redirects)
        .referer(false)
        .dns_resolver(Arc::new(Resolver(reach)))
        .build()
        .map_err(|error| in_one_line(&error))
}

/// One resource to read.
struct Job<'a> {
    client: &'a Client,
    location: &'a Location,
    url: &'a Url,
    range: Option<ByteRange>,
    text: bool,
    max_bytes: u64,
    deadline: Option<Instant>,
}

/// Why a try failed, and whether another one may do better.
struct Failure {
    error: SourceError,
    temporary: bool,
}

impl Job<'_> {
    fn is_late(&self, pause: Duration) -> bool {
        let then = Instant::now().checked_add(pause);
        self.deadline
            .is_some_and(|end| then.is_none_or(|then| then >= end))
    }

    fn run(&self) -> Result<(Bytes, Url), Failure> {
        let mut request = self.client.get(self.url.clone());
        if let Some(header) = self.range.and_then(range_header) {
            request = request.header(RANGE, header);
        }
        if self.text {
            request = request.header(ACCEPT_ENCODING, "gzip");
        }
        let response = request.send().map_err(|error| self.failed(error))?;
        self.check_status(response.status())?;
        let skip = self.skip(&response)?;
        let url = with_user(response.url().clone(), self.url);
        let bytes = self.body(response, skip)?;
        Ok((bytes, url))
    }

    fn check_status(&self, status: StatusCode) -> Result<(), Failure> {
        let location = self.location.to_string();
        let error = match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => return Ok(()),
            StatusCode::NOT_FOUND | StatusCode::GONE => SourceError::NotFound { location },
            StatusCode::RANGE_NOT_SATISFIABLE => self.no_such_range(),
            other => SourceError::Status {
                location,
                status: other.as_u16(),
            },
        };
        let temporary = status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT;
        Err(Failure { error, temporary })
    }

    /// How many bytes to leave out: a server may ignore that a range was asked for.
    fn skip(&self, response: &Response) -> Result<u64, Failure> {
        let headers = response.headers();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let known = |one: &str| one == "identity" || (self.range.is_none() && is_gzip(one));
        if let Some(encoding) = text(CONTENT_ENCODING).filter(|one| !known(one)) {
            let reason =
                format!("the server sent it encoded ({encoding}), which was not asked for");
            return Err(self.broken(reason, false));
        }
        let offset = self.range.map_or(0, |range| range.offset);
        if response.status() == StatusCode::OK {
            if self.range.is_none() && response.content_length() > Some(self.max_bytes) {
                return Err(permanent(too_large(self.location, self.max_bytes)));
            }
            return Ok(offset);
        }
        let start = text(CONTENT_RANGE).and_then(|value| {
            let range = value.strip_prefix("bytes")?.trim_start();
            range.split('-').next()?.trim().parse::<u64>().ok()
        });
        if self.range.is_some() && start == Some(offset) {
            return Ok(0);
        }
        Err(self.broken(
            "the server sent another part than was asked for".into(),
            false,
        ))
    }

    fn body(&self, response: Response, skip: u64) -> Result<Bytes, Failure> {
        let mut to_skip = skip;
        let wanted = self.range.map_or(u64::MAX, |range| range.length);
        // What the server claims is worth an allocation of that size only up to a point.
        let claimed = response.content_length().unwrap_or(0);
        let capacity = claimed.min(wanted).min(self.max_bytes).min(8 << 20);
        let mut output = Vec::with_capacity(usize::try_from(capacity).unwrap_or(0));
        let mut buffer = vec![0; 64 << 10];
        let encoding = response.headers().get(CONTENT_ENCODING);
        let encoding = encoding.and_then(|value| value.to_str().ok());
        let mut reader: Box<dyn Read> = if encoding.is_some_and(is_gzip) {
            Box::new(MultiGzDecoder::new(response))
        } else {
            Box::new(response)
        };
        loop {
            let left = wanted.saturating_sub(length_of(&output));
            if left == 0 {
                break;
            }
            if self.is_late(Duration::ZERO) {
                return Err(self.broken("it takes too long".into(), false));
            }
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(self.broken(in_one_line(&error), true)),
            };
            let mut piece = buffer.get(..count).unwrap_or_default();
            let skipped = to_skip.min(length_of(piece));
            to_skip = to_skip.saturating_sub(skipped);
            piece = piece
                .get(usize::try_from(skipped).unwrap_or(count)..)
                .unwrap_or_default();
            let taken = left.min(length_of(piece));
            piece = piece
                .get(..usize::try_from(taken).unwrap_or(count))
                .unwrap_or_default();
            output.extend_from_slice(piece);
            if length_of(&output) > self.max_bytes {
                return Err(permanent(too_large(self.location, self.max_bytes)));
            }
        }
        if wanted > 0 && output.is_empty() && self.range.is_some() {
            return Err(permanent(self.no_such_range()));
        }
        Ok(output.into())
    }

    fn failed(&self, error: reqwest::Error) -> Failure {
        let temporary = !error.is_redirect() && !error.is_builder() && !is_refused(&error);
        let reason = if error.is_timeout() {
            "timed out".to_owned()
        } else {
            // The URL is named already, and this one would show its secrets.
            in_one_line(&error.without_url())
        };
        self.broken(reason, temporary)
    }

    fn broken(&self, reason: String, temporary: bool) -> Failure {
        let location = self.location.to_string();
        let error = SourceError::Http { location, reason };
        Failure { error, temporary }
    }

    fn no_such_range(&self) -> SourceError {
        let range = self.range.unwrap_or(ByteRange {
            offset: 0,
            length: 0,
        });
        SourceError::Range {
            location: self.location.to_string(),
            offset: range.offset,
            end: range.offset.saturating_add(range.length),
        }
    }
}

/// `Content-Encoding` (RFC 9110, 8.4.1.3).
fn is_gzip(encoding: &str) -> bool {
    ["gzip", "x-gzip"]
        .iter()
        .any(|known| encoding.eq_ignore_ascii_case(known))
}

fn permanent(error: SourceError) -> Failure {
    let temporary = false;
    Failure { error, temporary }
}

fn too_large(location: &Location, limit: u64) -> SourceError {
    let location = location.to_string();
    SourceError::TooLarge { location, limit }
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// `bytes=first-last`; nothing for an empty range, which has no last byte.
fn range_header(range: ByteRange) -> Option<String> {
    let last = range.length.checked_sub(1)?;
    let last = range.offset.saturating_add(last);
    Some(format!("bytes={}-{last}", range.offset))
}

/// The client takes user and password out of the URL; on the same server, the segments that are
/// named relative to it need them too.
fn with_user(mut found: Url, asked: &Url) -> Url {
    if found.origin() == asked.origin() && found.username().is_empty() {
        // Fails only for URLs that have no host, which are none of ours.
        let _ = found.set_username(asked.username());
        let _ = found.set_password(asked.password());
    }
    found
}

/// Whether an address out of reach is at the bottom of it.
fn is_refused(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if inner.is::<OutOfReach>() {
            return true;
        }
        cause = inner.source();
    }
    false
}

#[cfg(test)]
mod tests;
