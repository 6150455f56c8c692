//! Where playlists and segments are, and where a URI inside a playlist leads (RFC 8216, 4.1;
//! RFC 3986, 5).

use std::convert::Infallible;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use url::Url;

/// A file or an http(s) resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A path of this machine.
    File(PathBuf),
    /// An `http` or `https` URL.
    Url(Url),
}

impl Location {
    /// The folder that relative URIs of a playlist here are looked up in; `None` for a URL.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path.parent().unwrap_or(Path::new(""))),
            Self::Url(_) => None,
        }
    }
}

impl FromStr for Location {
    type Err = Infallible;

    /// What a person means by `text`: a URL when it begins with `http://`, `https://` or `file:`,
    /// else a path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(url) = web_url(text) {
            return Ok(Self::Url(url));
        }
        let path = file_url_path(text).and_then(Result::ok);
        Ok(Self::File(path.unwrap_or_else(|| PathBuf::from(text))))
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

/// As [`FromStr`] has it.
impl From<&str> for Location {
    fn from(text: &str) -> Self {
        let Ok(location) = text.parse();
        location
    }
}

impl From<Url> for Location {
    fn from(url: Url) -> Self {
        Self::Url(url)
    }
}

/// For people and logs: user, password and query of a URL, which may be secrets, are left out.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(&redacted(url)),
        }
    }
}

/// Why a URI leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// There is nothing to follow.
    #[error("an empty URI")]
    Empty,
    /// It leads to a file outside the folder that the playlist may use.
    #[error("{uri:?} leads outside the playlist's folder {}", .folder.display())]
    Outside {
        /// As written in the playlist.
        uri: String,
        /// The folder that it must stay in.
        folder: PathBuf,
    },
    /// It is neither a file nor http(s), or a file named by a playlist that came over http.
    #[error("{uri:?} is of a kind that a playlist may not name: {scheme}")]
    Scheme {
        /// As written in the playlist, without secrets.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// It is no URI at all.
    #[error("{uri:?} is not a URI: {reason}")]
    Malformed {
        /// As written in the playlist.
        uri: String,
        /// What is wrong.
        reason: String,
    },
}

/// Where `uri` in the playlist at `base` leads.
///
/// A local playlist may name files of its own folder and below, and http(s) URLs; with
/// `allow_outside` any file. A playlist from the web may name http(s) URLs alone. Of the readings
/// that a file name allows, see [`candidates`], this is the one that takes it literally.
///
/// # Errors
/// When the URI leads where the playlist may not lead.
pub fn resolve(base: &Location, uri: &str, allow_outside: bool) -> Result<Location, LocationError> {
    let root = base.folder().filter(|_| !allow_outside);
    let all = candidates(base, uri, root)?;
    all.into_iter().next().ok_or(LocationError::Empty)
}

/// All that `uri` may mean in the playlist at `base`, the likeliest first.
///
/// A URL is unambiguous. A file name may stand as it is, `a b.ts`, `50%.ts`, or percent-encoded,
/// `a%20b.ts`, and may carry a query meant for a web server, `a.ts?token=1`: whoever can look at the
/// disk takes the first that is there. Files are kept inside `root`, if there is one; by name
/// alone, so links have to be checked by whoever opens them.
///
/// # Errors
/// As [`resolve`]; a file name is refused when any of its readings leads outside.
pub fn candidates(
    base: &Location,
    uri: &str,
    root: Option<&Path>,
) -> Result<Vec<Location>, LocationError> {
    let uri = uri.trim();
    if uri.is_empty() {
        return Err(LocationError::Empty);
    }
    let base_file = match base {
        Location::Url(base) => return join_url(base, uri).map(|url| vec![Location::Url(url)]),
        Location::File(path) => path,
    };
    if let Some(url) = web_url(uri) {
        return Ok(vec![Location::Url(url)]);
    }
    let names = if let Some(path) = file_url_path(uri) {
        vec![path?]
    } else {
        if let Some(scheme) = scheme_of(uri) {
            return Err(forbidden_scheme(uri, scheme));
        }
        readings(uri)?
    };
    let folder = base_file.parent().unwrap_or(Path::new(""));
    let locate = |name: PathBuf| {
        let name = normalized(&name);
        let joined = folder.join(&name);
        // RFC 3986, 5.2.4, goes by the names, whatever links there are.
        let path = if name.starts_with("..") {
            normalized(&joined)
        } else {
            joined
        };
        match root {
            Some(root) if !is_within(&path, root) => Err(LocationError::Outside {
                uri: uri.to_owned(),
                folder: root.to_owned(),
            }),
            _ => Ok(Location::File(path)),
        }
    };
    names.into_iter().map(locate).collect()
}

fn join_url(base: &Url, uri: &str) -> Result<Url, LocationError> {
    let url = base.join(uri).map_err(|error| malformed(uri, &error))?;
    if is_web(&url) {
        Ok(url)
    } else {
        Err(forbidden_scheme(uri, url.scheme()))
    }
}

fn malformed(uri: &str, reason: &dyn fmt::Display) -> LocationError {
    LocationError::Malformed {
        uri: uri.to_owned(),
        reason: reason.to_string(),
    }
}

fn forbidden_scheme(uri: &str, scheme: &str) -> LocationError {
    LocationError::Scheme {
        // Enough to find the line; a data: URI may hold a key.
        uri: uri.chars().take(40).collect(),
        scheme: scheme.to_owned(),
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

fn web_url(text: &str) -> Option<Url> {
    let scheme = scheme_of(text)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    Url::parse(text).ok().filter(is_web)
}

/// RFC 3986, 3.1. One letter is a drive of Windows, and a name such as `10:30.ts` or `cam:1.ts`
/// has no slash after the colon.
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let mut chars = scheme.chars();
    let valid = chars.next()?.is_ascii_alphabetic()
        && chars.all(|one| one.is_ascii_alphanumeric() || "+-.".contains(one));
    let opaque = ["data", "file", "javascript", "urn"];
    let named = rest.starts_with('/') || opaque.iter().any(|one| scheme.eq_ignore_ascii_case(one));
    (valid && scheme.len() > 1 && named).then_some(scheme)
}

/// The path of a `file:` URL of this machine; `None` for anything else.
fn file_url_path(text: &str) -> Option<Result<PathBuf, LocationError>> {
    if !scheme_of(text)?.eq_ignore_ascii_case("file") {
        return None;
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return Some(Err(malformed(text, &error))),
    };
    if url.host_str().is_some_and(|host| host != "localhost") {
        return Some(Err(malformed(text, &"a file of another machine")));
    }
    let path = percent_decoded(url.path()).and_then(checked_path);
    Some(path.ok_or_else(|| malformed(text, &"not a path of this machine")))
}

/// What a relative or absolute file name may mean, the literal one first.
fn readings(uri: &str) -> Result<Vec<PathBuf>, LocationError> {
    let bare = uri.split(['?', '#']).next().unwrap_or(uri);
    let texts = [
        Some(uri.to_owned()),
        percent_decoded(bare),
        Some(bare.to_owned()),
        percent_decoded(uri),
    ];
    let mut paths: Vec<PathBuf> = Vec::new();
    let texts = texts.into_iter().flatten().filter(|text| !text.is_empty());
    // `50%000.ts` is a name, though a NUL would be none.
    for path in texts.filter_map(checked_path) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(malformed(uri, &"a NUL in a file name"));
    }
    Ok(paths)
}

fn checked_path(text: String) -> Option<PathBuf> {
    (!text.contains('\0')).then(|| PathBuf::from(text))
}

/// `None` when the result is not UTF-8; a `%` that encodes nothing stays.
fn percent_decoded(text: &str) -> Option<String> {
    let mut output = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [b'%', high, low, tail @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                let (high, low) = (hex(*high)?, hex(*low)?);
                output.push(high << 4 | low);
                tail
            }
            [byte, tail @ ..] => {
                output.push(*byte);
                tail
            }
            [] => break,
        };
    }
    String::from_utf8(output).ok()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Without `.`, and without `..` where there is something for it to cancel.
fn normalized(path: &Path) -> PathBuf {
    let mut output = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match output.components().next_back() {
                Some(Component::Normal(_)) => {
                    output.pop();
                }
                Some(Component::RootDir | Component::Prefix(_)) => {}
                _ => output.push(".."),
            },
            _ => output.push(component),
        }
    }
    output
}

/// By name alone.
fn is_within(path: &Path, root: &Path) -> bool {
    let (path, root) = (normalized(path), normalized(root));
    path.is_absolute() == root.is_absolute()
        && path.strip_prefix(&root).is_ok_and(|rest| {
            // Below `..` there may be another `..`, which is outside.
            rest.components()
                .all(|one| matches!(one, Component::Normal(_)))
        })
}

fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    let had_query = shown.query().is_some_and(|query| !query.is_empty());
    shown.set_query(None);
    shown.set_fragment(None);
    // Both fail only for URLs that have no place for a user.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    if had_query {
        format!("{shown}?…")
    } else {
        shown.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Location {
        Location::File(PathBuf::from(path))
    }

    fn location(text: &str) -> Location {
        text.parse().unwrap()
    }

    #[test]
    fn what_people_type() {
        assert_eq!(location("a/b.m3u8"), file("a/b.m3u8"));
        assert_eq!(location("/a b%20.m3u8"), file("/a b%20.m3u8"));
        assert_eq!(location("file:///a%20b.m3u8"), file("/a b.m3u8"));
        assert_eq!(location("C:\\a.m3u8"), file("C:\\a.m3u8"));
        assert_eq!(location("ftp://host/a"), file("ftp://host/a"));
        assert_eq!(
            location("HTTPS://Host/a?b"),
            Location::Url(Url::parse("https://host/a?b").unwrap())
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(
            location("https://me:pw@host:81/a/b.m3u8?token=x#y").to_string(),
            "https://host:81/a/b.m3u8?…"
        );
        assert_eq!(location("http://host/a").to_string(), "http://host/a");
    }

    #[test]
    fn files_next_to_the_playlist() {
        let base = file("/s/live/x.m3u8");
        let resolve = |uri| resolve(&base, uri, false);
        assert_eq!(resolve("a.ts"), Ok(file("/s/live/a.ts")));
        assert_eq!(resolve("./sub/../a.ts"), Ok(file("/s/live/a.ts")));
        assert_eq!(resolve("sub/a.ts"), Ok(file("/s/live/sub/a.ts")));
        assert_eq!(resolve("/s/live/a.ts"), Ok(file("/s/live/a.ts")));
        assert_eq!(resolve("file:///s/live/a.ts"), Ok(file("/s/live/a.ts")));
        assert_eq!(resolve("10:30.ts"), Ok(file("/s/live/10:30.ts")));
        assert_eq!(
            resolve("http://h/a.ts").map(|url| url.to_string()),
            Ok("http://h/a.ts".to_owned())
        );
        for outside in [
            "../a.ts",
            "sub/../../a.ts",
            "/etc/passwd",
            "file:///etc/passwd",
            "file://localhost/etc/passwd",
            "//host/share",
            "%2e%2e/a.ts",
            "..%2Fa.ts",
            "%2fetc/passwd",
            "/s/live/../a.ts",
            "a.ts/../../b?/../../../x",
        ] {
            assert!(
                matches!(resolve(outside), Err(LocationError::Outside { .. })),
                "{outside}"
            );
        }
        for wrong in ["data:text/plain,x", "ftp://h/a", "rtmp://h/a"] {
            assert!(
                matches!(resolve(wrong), Err(LocationError::Scheme { .. })),
                "{wrong}"
            );
        }
        assert_eq!(resolve("50%000.ts"), Ok(file("/s/live/50%000.ts")));
        for nul in ["a\0.ts", "file:///s/live/a%00.ts"] {
            let found = resolve(nul);
            assert!(
                matches!(found, Err(LocationError::Malformed { .. })),
                "{nul:?}"
            );
        }
        assert!(matches!(
            resolve("file://server/a.ts"),
            Err(LocationError::Malformed { .. })
        ));
        assert_eq!(resolve("  "), Err(LocationError::Empty));
    }

    #[test]
    fn outside_when_allowed() {
        let base = file("/s/live/x.m3u8");
        let resolve = |uri| resolve(&base, uri, true);
        assert_eq!(resolve("/etc/a.ts"), Ok(file("/etc/a.ts")));
        assert_eq!(resolve("../a.ts"), Ok(file("/s/a.ts")));
    }

    #[test]
    fn a_relative_base() {
        assert_eq!(resolve(&file("x.m3u8"), "a.ts", false), Ok(file("a.ts")));
        let up = file("../x.m3u8");
        assert_eq!(resolve(&up, "a.ts", false), Ok(file("../a.ts")));
        assert!(resolve(&up, "../a.ts", false).is_err());
        assert!(resolve(&file("x.m3u8"), "/a.ts", false).is_err());
    }

    #[test]
    fn a_wider_root() {
        let base = file("/s/v0/x.m3u8");
        let found = candidates(&base, "../v1/a.ts", Some(Path::new("/s")));
        assert_eq!(found, Ok(vec![file("/s/v1/a.ts")]));
        assert!(candidates(&base, "../../a.ts", Some(Path::new("/s"))).is_err());
    }

    #[test]
    fn readings_of_a_file_name() {
        let base = file("/s/x.m3u8");
        let found = candidates(&base, "a%20b.ts?t=%31", None).unwrap();
        assert_eq!(
            found,
            [
                file("/s/a%20b.ts?t=%31"),
                file("/s/a b.ts"),
                file("/s/a%20b.ts"),
                file("/s/a b.ts?t=1"),
            ]
        );
        let plain = candidates(&base, "50% é.ts", None).unwrap();
        assert_eq!(plain, [file("/s/50% é.ts")]);
    }

    #[test]
    fn urls() {
        let base = location("https://h/live/x.m3u8?token=1");
        let resolve = |uri| {
            resolve(&base, uri, true).map(|found| match found {
                Location::Url(url) => url.to_string(),
                Location::File(_) => unreachable!("a web playlist never names a file"),
            })
        };
        assert_eq!(
            resolve("a.ts?x=1").as_deref(),
            Ok("https://h/live/a.ts?x=1")
        );
        assert_eq!(resolve("/a b.ts").as_deref(), Ok("https://h/a%20b.ts"));
        assert_eq!(resolve("../../../a.ts").as_deref(), Ok("https://h/a.ts"));
        assert_eq!(resolve("//cdn/a.ts").as_deref(), Ok("https://cdn/a.ts"));
        for wrong in [
            "file:///etc/passwd",
            "data:,x",
            "ftp://h/a",
            "FILE:/etc/passwd",
        ] {
            assert!(
                matches!(resolve(wrong), Err(LocationError::Scheme { .. })),
                "{wrong}"
            );
        }
    }
}
