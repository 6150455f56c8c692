//! Cookies of an origin, as far as a client without pages needs them (RFC 6265, sections 5.2 to 5.4).

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderValue;
use url::{Host, Url};

/// Cookies kept for one stream.
const MOST: usize = 64;

/// Bytes of one, name and value together.
const LONGEST: usize = 4096;

/// What the servers of one stream have asked to be told again.
#[derive(Default)]
pub(super) struct Jar(Vec<Cookie>);

struct Cookie {
    name: String,
    value: String,
    /// The host that set it, or a domain that it is below.
    domain: String,
    host_only: bool,
    path: String,
    secure: bool,
    expires: Option<SystemTime>,
}

impl Jar {
    /// Takes in the value of a `Set-Cookie`.
    pub(super) fn take_in(&mut self, from: &Url, text: &str, now: SystemTime) {
        let Some(cookie) = Cookie::read(from, text, now) else {
            return;
        };
        let same = |known: &Cookie| {
            known.name == cookie.name && known.domain == cookie.domain && known.path == cookie.path
        };
        self.0.retain(|known| !same(known) && !known.is_over(now));
        if !cookie.is_over(now) && self.0.len() < MOST {
            self.0.push(cookie);
        }
    }

    /// The value of `Cookie` in a request.
    pub(super) fn header(&self, url: &Url, now: SystemTime) -> Option<HeaderValue> {
        let mut all: Vec<&Cookie> = self.0.iter().filter(|one| one.fits(url, now)).collect();
        // Longer paths come first (5.4).
        all.sort_by_key(|one| std::cmp::Reverse(one.path.len()));
        let pairs = all.iter().map(|one| format!("{}={}", one.name, one.value));
        let text = pairs.collect::<Vec<_>>().join("; ");
        if text.is_empty() {
            return None;
        }
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Cookie {
    fn read(from: &Url, text: &str, now: SystemTime) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() + value.len() > LONGEST {
            return None;
        }
        let host = from.host_str()?.to_ascii_lowercase();
        let mut cookie = Self {
            name: name.to_owned(),
            value: value.to_owned(),
            domain: host.clone(),
            host_only: true,
            path: default_path(from),
            secure: false,
            expires: None,
        };
        let mut max_age = None;
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "domain" => {
                    let domain = value.trim().trim_start_matches('.').to_ascii_lowercase();
                    // Of a domain with one label alone nobody is the owner.
                    if !domain.contains('.') || !is_below(from, &host, &domain) {
                        if domain != host && !domain.is_empty() {
                            return None;
                        }
                        continue;
                    }
                    cookie.host_only = domain == host
                        && matches!(from.host(), Some(Host::Ipv4(_) | Host::Ipv6(_)));
                    cookie.domain = domain;
                }
                "path" if value.trim().starts_with('/') => cookie.path = value.trim().to_owned(),
                "secure" => cookie.secure = true,
                "max-age" => max_age = value.trim().parse::<i64>().ok(),
                "expires" => cookie.expires = httpdate::parse_http_date(value.trim()).ok(),
                _ => {}
            }
        }
        if let Some(seconds) = max_age {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            cookie.expires = now.checked_add(Duration::from_secs(seconds));
        }
        Some(cookie)
    }

    fn is_over(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    fn fits(&self, url: &Url, now: SystemTime) -> bool {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let of_host = match self.host_only {
            true => host == self.domain,
            false => is_below(url, &host, &self.domain),
        };
        let path = url.path();
        let of_path = path.strip_prefix(self.path.as_str()).is_some_and(|rest| {
            self.path.ends_with('/') || rest.is_empty() || rest.starts_with('/')
        });
        let safe = !self.secure || url.scheme() == "https";
        of_host && of_path && safe && !self.is_over(now)
    }
}

/// Whether a host is a domain, or a name below it.
fn is_below(url: &Url, host: &str, domain: &str) -> bool {
    if host == domain {
        return true;
    }
    let is_name = matches!(url.host(), Some(Host::Domain(_)));
    let above = host.strip_suffix(domain);
    is_name && above.is_some_and(|above| above.ends_with('.'))
}

/// Up to the last slash (5.1.4).
fn default_path(url: &Url) -> String {
    let path = url.path();
    match path.rfind('/') {
        Some(end) if end > 0 => path.get(..end).unwrap_or("/").to_owned(),
        _ => "/".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(set: &[(&str, &str)], asked: &str) -> Option<String> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let mut jar = Jar::default();
        for (from, text) in set {
            jar.take_in(&Url::parse(from).unwrap(), text, now);
        }
        let header = jar.header(&Url::parse(asked).unwrap(), now)?;
        Some(header.to_str().unwrap().to_owned())
    }

    #[test]
    fn cookies_go_where_they_came_from() {
        let from = "http://a.example/live/x.m3u8";
        let session = [(from, "session=1; HttpOnly")];
        let at = |url| told(&session, url);
        assert_eq!(
            at("http://a.example/live/1.ts").as_deref(),
            Some("session=1")
        );
        assert_eq!(
            at("http://a.example/live/sub/1.ts").as_deref(),
            Some("session=1")
        );
        for elsewhere in [
            "http://a.example/",
            "http://a.example/lives/1.ts",
            "http://b.example/live/1.ts",
            "http://x.a.example/live/1.ts",
        ] {
            assert_eq!(at(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_domain_of_ones_own_may_be_named_and_no_other() {
        let from = "https://a.cdn.example/x.m3u8";
        let wide = [(from, "k=1; Domain=cdn.example; Path=/; Secure")];
        assert_eq!(
            told(&wide, "https://b.cdn.example/1.ts").as_deref(),
            Some("k=1")
        );
        assert_eq!(told(&wide, "http://b.cdn.example/1.ts"), None);
        assert_eq!(told(&wide, "https://notcdn.example/1.ts"), None);
        for other in ["k=1; Domain=other.example", "k=1; Domain=example"] {
            assert_eq!(told(&[(from, other)], from), None, "{other}");
        }
        let address = "http://127.0.0.1:8080/x.m3u8";
        let set = [(address, "k=1; Domain=127.0.0.1")];
        assert_eq!(told(&set, address).as_deref(), Some("k=1"));
    }

    #[test]
    fn they_are_replaced_and_end() {
        let from = "http://a.example/x.m3u8";
        let set = [(from, "k=1"), (from, "l=2; Max-Age=60"), (from, "k=3")];
        assert_eq!(told(&set, from).as_deref(), Some("l=2; k=3"));
        let past = "k=; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(told(&[(from, "k=1"), (from, past)], from), None);
        assert_eq!(
            told(&[(from, "k=1"), (from, "k=1; Max-Age=-1")], from),
            None
        );
        assert_eq!(told(&[(from, "nothing"), (from, "=x")], from), None);
    }
}
