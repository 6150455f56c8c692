//! Where the URIs of a pushed playlist lead (RFC 3986, 5).
//!
//! A sender names its files as it sees them from the playlist that it pushes. They are kept below the stream's
//! folder, the stream's own playlist beside it: so URIs are rewritten. Those that lead to what the sender may push
//! are, however they are written: relative, with the path alone, or with all of our address. Those that lead to
//! another web server (keys, mostly) or to no server (`data:`, `skd:`) stay as they are. All others are refused:
//! what leads out of the stream's folder, files of this machine, what a player would look for on this server.

use clipmill_playlist::map_uris;
use url::Url;

use super::names::MediaPath;
use crate::domain::percent_encoded;

/// What URIs are seen from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base<'a> {
    pub(crate) app: &'a str,
    pub(crate) stream: &'a str,
    /// The playlist.
    pub(crate) path: &'a MediaPath,
    /// By what `HOST:PORT` we are known.
    pub(crate) hosts: &'a [String],
}

/// Where a URI leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leads {
    /// To a file of the stream.
    Inside(MediaPath),
    /// To what is not ours.
    Elsewhere,
}

/// Why a URI may not stand in a pushed playlist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UriError {
    #[error("{0:?} leads out of the stream's folder")]
    Outside(String),
    #[error("{0:?} names a file that could not be pushed")]
    Name(String),
    #[error("{0:?} has a variable in it (EXT-X-DEFINE), which pushed playlists may not have")]
    Variable(String),
}

impl Base<'_> {
    /// Where a URI leads.
    pub(crate) fn leads(&self, uri: &str) -> Result<Leads, UriError> {
        let shown = || uri.chars().take(80).collect::<String>();
        if uri.contains("{$") {
            return Err(UriError::Variable(shown()));
        }
        let path = match scheme(uri) {
            Some(scheme) if is_web(scheme) => match self.own_path(uri) {
                Some(path) => path,
                None => return Ok(Leads::Elsewhere),
            },
            Some(scheme) if scheme.eq_ignore_ascii_case("file") => {
                return Err(UriError::Outside(shown()));
            }
            Some(_) => return Ok(Leads::Elsewhere),
            None if uri.starts_with("//") => match self.own_path(&format!("http:{uri}")) {
                Some(path) => path,
                None => return Ok(Leads::Elsewhere),
            },
            None => uri.split(['?', '#']).next().unwrap_or(uri).to_owned(),
        };
        let outside = || UriError::Outside(shown());
        let parts = match path.strip_prefix('/') {
            Some(absolute) => self.below_stream(absolute).ok_or_else(outside)?,
            None => {
                let folder = self
                    .path
                    .folder()
                    .split('/')
                    .filter(|part| !part.is_empty());
                let mut parts: Vec<String> = folder.map(str::to_owned).collect();
                for part in path.split('/') {
                    match part {
                        "." => {}
                        ".." => drop(parts.pop().ok_or_else(outside)?),
                        part => parts.push(decoded(part)),
                    }
                }
                parts
            }
        };
        if parts.iter().any(|part| part.contains('/')) {
            return Err(outside());
        }
        let path = MediaPath::parse(&parts.join("/"));
        path.map(Leads::Inside).map_err(|_| UriError::Name(shown()))
    }

    /// The path of a URL of this server.
    fn own_path(&self, url: &str) -> Option<String> {
        let url = Url::parse(url).ok()?;
        let port = url.port_or_known_default()?;
        let host = url.host_str()?;
        let (full, bare) = (format!("{host}:{port}"), host.to_owned());
        let known = |name: &String| {
            let default = port == 80 || port == 443;
            name.eq_ignore_ascii_case(&full) || (default && name.eq_ignore_ascii_case(&bare))
        };
        self.hosts.iter().any(known).then(|| url.path().to_owned())
    }

    /// What follows `{app}/ingest/{stream}/`.
    fn below_stream(&self, absolute: &str) -> Option<Vec<String>> {
        let mut parts = absolute.split('/').map(decoded);
        for own in [self.app, "ingest", self.stream] {
            parts.next().filter(|part| part == own)?;
        }
        let parts: Vec<_> = parts.collect();
        // A URL of which the dots were not taken out leads who knows where.
        (!parts.iter().any(|part| part == "." || part == "..")).then_some(parts)
    }

    /// The playlist with every URI of the stream as a path from the stream's folder.
    ///
    /// # Errors
    /// When one may not stand there.
    pub(crate) fn normalized(&self, text: &str) -> Result<String, UriError> {
        let fault = std::cell::RefCell::new(None);
        let text = map_uris(text, &|uri: &str| match self.leads(uri) {
            Ok(Leads::Inside(path)) => Some(written(path.as_str())),
            Ok(Leads::Elsewhere) => None,
            Err(error) => {
                fault.borrow_mut().get_or_insert(error);
                None
            }
        });
        match fault.into_inner() {
            Some(error) => Err(error),
            None => Ok(text),
        }
    }
}

/// A [normalized](Base::normalized) playlist, to lie beside the stream's folder.
pub(crate) fn beside(text: &str, stream: &str) -> String {
    let prefix = prefix_of(stream);
    map_uris(text, &|uri: &str| {
        (!uri.contains(':')).then(|| format!("{prefix}{uri}"))
    })
}

/// What the URIs of the stream's playlist begin with.
pub(crate) fn prefix_of(stream: &str) -> String {
    format!("{}/", written(stream))
}

/// The same, to lie in `folder` of the stream's folder, below which lies all that it lists.
pub(crate) fn within(text: &str, folder: &str) -> String {
    let folder = written(folder);
    map_uris(text, &|uri: &str| {
        uri.strip_prefix(&folder).map(str::to_owned)
    })
}

/// A path as a URI: without a colon, so that nothing in it is taken for a scheme.
fn written(path: &str) -> String {
    percent_encoded(path).replace(':', "%3A")
}

/// The scheme of a URI (RFC 3986, 3.1). `cam:1.ts` and `10:30.ts` are names.
fn scheme(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    let mut letters = scheme.chars();
    let valid = letters.next()?.is_ascii_alphabetic()
        && letters.all(|one| one.is_ascii_alphanumeric() || "+-.".contains(one));
    let opaque = ["data", "file", "urn"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    (valid && (opaque || rest.starts_with("//"))).then_some(scheme)
}

fn is_web(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// A `%` that encodes nothing stays, as it does in the path of a request.
fn decoded(part: &str) -> String {
    let mut output = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    loop {
        rest = match rest {
            [b'%', high, low, tail @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    output.push(high << 4 | low);
                    tail
                }
                _ => {
                    output.push(b'%');
                    rest.get(1..).unwrap_or_default()
                }
            },
            [byte, tail @ ..] => {
                output.push(*byte);
                tail
            }
            [] => break,
        };
    }
    // What is no text names nothing that could have been pushed.
    String::from_utf8(output).unwrap_or_else(|_| "\u{0}".to_owned())
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(from: &str, uri: &str) -> Result<String, UriError> {
        let path = MediaPath::parse(from).unwrap();
        let hosts = ["clips.example:5080".to_owned(), "push.example".to_owned()];
        let base = Base {
            app: "live",
            stream: "cam 1",
            path: &path,
            hosts: &hosts,
        };
        base.leads(uri).map(|leads| match leads {
            Leads::Inside(path) => path.as_str().to_owned(),
            Leads::Elsewhere => "elsewhere".to_owned(),
        })
    }

    #[test]
    fn files_of_the_stream_however_they_are_written() {
        for (from, uri, to) in [
            ("a.m3u8", "1.ts", "1.ts"),
            ("a.m3u8", "./v/1.ts?session=3#t", "v/1.ts"),
            ("v/a.m3u8", "1.ts", "v/1.ts"),
            ("v/a.m3u8", "../w/1.ts", "w/1.ts"),
            ("a.m3u8", "a%20b.ts", "a b.ts"),
            ("a.m3u8", "50%.ts", "50%.ts"),
            ("a.m3u8", "cam:1.ts", "cam:1.ts"),
            ("v/a.m3u8", "/live/ingest/cam%201/v/1.ts", "v/1.ts"),
            (
                "a.m3u8",
                "http://clips.example:5080/live/ingest/cam%201/1.ts",
                "1.ts",
            ),
            (
                "a.m3u8",
                "http://Push.example/live/ingest/cam%201/1.ts?x",
                "1.ts",
            ),
            ("a.m3u8", "//push.example/live/ingest/cam%201/1.ts", "1.ts"),
        ] {
            assert_eq!(leads(from, uri).as_deref(), Ok(to), "{uri}");
        }
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        for uri in [
            "https://keys.example/k?id=1",
            "http://clips.example:81/live/ingest/cam%201/1.ts",
            "//cdn.example/1.ts",
            "data:text/plain;base64,AAAA",
            "skd://key",
        ] {
            assert_eq!(leads("a.m3u8", uri).as_deref(), Ok("elsewhere"), "{uri}");
        }
    }

    #[test]
    fn what_leads_out_is_refused() {
        for uri in [
            "../1.ts",
            "v/../../1.ts",
            "/1.ts",
            "/live/ingest/other/1.ts",
            "/live/streams/cam%201/1.ts",
            "/live/ingest/cam%201/../other/1.ts",
            "http://push.example/live/ingest/other/1.ts",
            "file:///etc/passwd",
            "a%2F..%2F..%2Fb.ts",
        ] {
            assert!(
                matches!(leads("a.m3u8", uri), Err(UriError::Outside(_))),
                "{uri}"
            );
        }
        for uri in [
            "key.bin",
            "%2e%2e/1.ts",
            ".1.ts",
            "a%00.ts",
            "%ff.ts",
            "a/b/c/d/e.ts",
        ] {
            assert!(
                matches!(leads("a.m3u8", uri), Err(UriError::Name(_))),
                "{uri}"
            );
        }
        assert!(matches!(
            leads("a.m3u8", "{$x}/1.ts"),
            Err(UriError::Variable(_))
        ));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_written_stays_in_the_streams_folder(
            uri in "(\\.\\./|\\./|/|[a-z]{1,3}/|%2[eEfF]|%|http://h/|//|live/ingest/s/|\\\\|[?#:.]|.){0,8}(\\.ts)?",
        ) {
            let path = MediaPath::parse("v/a.m3u8").unwrap();
            let base = Base { app: "live", stream: "s", path: &path, hosts: &["h".to_owned()] };
            if let Ok(Leads::Inside(found)) = base.leads(&uri) {
                let below = std::path::Path::new(found.as_str());
                let normal = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
                proptest::prop_assert!(below.components().all(normal), "{uri:?} leads to {below:?}");
                proptest::prop_assert_eq!(MediaPath::parse(found.as_str()), Ok(found.clone()));
                // As it is written into a playlist, it leads there again.
                let root = MediaPath::parse("a.m3u8").unwrap();
                let again = Base { path: &root, ..base };
                proptest::prop_assert_eq!(again.leads(&written(found.as_str())), Ok(Leads::Inside(found)));
            }
        }
    }

    #[test]
    fn a_playlist_lies_beside_its_files_or_among_them() {
        let path = MediaPath::parse("v:0/a.m3u8").unwrap();
        let hosts = ["h".to_owned()];
        let base = Base {
            app: "live",
            stream: "cam:1",
            path: &path,
            hosts: &hosts,
        };
        let text = "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"https://k/1\"\n\
                    #EXTINF:1,\nhttp://h/live/ingest/cam:1/v:0/a b.m4s\n#EXTINF:1,\nc.m4s?x\n";
        let normal = base.normalized(text).unwrap();
        let expected = |folder: &str| {
            format!(
                "#EXTM3U\n#EXT-X-MAP:URI=\"{folder}init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"https://k/1\"\n\
                 #EXTINF:1,\n{folder}a%20b.m4s\n#EXTINF:1,\n{folder}c.m4s\n"
            )
        };
        assert_eq!(normal, expected("v%3A0/"));
        assert_eq!(beside(&normal, "cam:1"), expected("cam%3A1/v%3A0/"));
        assert_eq!(within(&normal, path.folder()), expected(""));
        assert!(
            base.normalized("#EXTM3U\n#EXTINF:1,\n../../x.ts\n")
                .is_err()
        );
    }
}
