//! A segment of another server: its bytes, its map and its key, fetched and decrypted.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use clipmill::live::{Taken, Version};
use clipmill::source::MemorySource;
use clipmill::{Limits, SegmentReader};
use clipmill_playlist::{ByteRange, Key, Location, Segment, resolve};
use tokio::sync::Mutex;
use url::Url;

use super::disk::MAP;
use super::origin::{Answer, Ask, Failure, Origin};

/// Bytes of a segment at most: several are in memory at a time.
const LARGEST: u64 = 256 << 20;

/// Keys and maps that are remembered.
const KEPT: usize = 64;

/// A segment that came.
#[derive(Debug, Clone)]
pub(super) struct Media {
    pub(super) bytes: Bytes,
    /// The end of its name, which says what it is.
    pub(super) suffix: &'static str,
    /// The name and content of what must be known to read it.
    pub(super) map: Option<(String, Bytes)>,
    /// What it looked like at the origin.
    pub(super) version: Option<Version>,
}

/// Why a segment did not come.
#[derive(Debug, Clone)]
pub(super) struct NoMedia {
    pub(super) failure: Failure,
    /// With what it was that did not come.
    pub(super) said: String,
}

/// Where a map lies, as far as that does not change from one look to the next.
type MapPlace = (String, Option<ByteRange>);

/// What several segments have in common.
#[derive(Default)]
pub(super) struct Shared {
    keys: HashMap<Url, Bytes>,
    maps: HashMap<MapPlace, Bytes>,
}

/// Fetches the segments of one playlist.
#[derive(Clone)]
pub(super) struct Fetcher {
    pub(super) origin: Arc<Origin>,
    pub(super) shared: Arc<Mutex<Shared>>,
}

impl Fetcher {
    /// What maps were named may be something else from now on.
    pub(super) fn forget(&mut self) {
        // Those who fetch just now have theirs.
        self.shared = Arc::default();
    }

    /// Fetches a segment that the playlist at `base` lists.
    pub(super) async fn fetch(&self, segment: &Segment, base: &Url) -> Result<Media, NoMedia> {
        let url = located(base, &segment.uri)?;
        let range = segment.byte_range;
        let answer = self.get(&url, range, LARGEST).await?;
        check(&answer, &url)?;
        let version = answer.version;
        let map_url = match &segment.map {
            Some(map) => Some(located(base, &map.uri)?),
            None => None,
        };
        let (bytes, map) = match &segment.key {
            None => {
                let map = match (&segment.map, &map_url) {
                    (Some(map), Some(url)) if map.key.is_none() => {
                        Some(self.map(url, map.byte_range).await?)
                    }
                    (Some(_), Some(_)) => {
                        let read = self.decrypted(segment, base, &url, answer.body.clone());
                        read.await?.1
                    }
                    _ => None,
                };
                (answer.body, map)
            }
            Some(_) => self.decrypted(segment, base, &url, answer.body).await?,
        };
        if let Some(what) = no_media(&bytes) {
            return Err(NoMedia::of(Failure::Useless(what.to_owned()), &url));
        }
        Ok(Media {
            suffix: suffix(&bytes, &url),
            map: map.map(|map| (format!("{MAP}{:016x}.mp4", Taken::head(&map)), map)),
            bytes,
            version,
        })
    }

    async fn get(&self, url: &Url, range: Option<ByteRange>, most: u64) -> Result<Answer, NoMedia> {
        let ask = Ask {
            range,
            ..Ask::of(url, most)
        };
        match self.origin.get(&ask).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(NoMedia::of(Failure::Status(304), url)),
            Err(failure) => Err(NoMedia::of(failure, url)),
        }
    }

    async fn map(&self, url: &Url, range: Option<ByteRange>) -> Result<Bytes, NoMedia> {
        let mut place = url.clone();
        place.set_query(None);
        let place = (place.to_string(), range);
        // One fetches it, the others wait.
        let mut shared = self.shared.lock().await;
        if let Some(known) = shared.maps.get(&place) {
            return Ok(known.clone());
        }
        let found = self.get(url, range, Limits::default().init_bytes).await?;
        check(&found, url)?;
        if shared.maps.len() >= KEPT {
            shared.maps.clear();
        }
        shared.maps.insert(place, found.body.clone());
        Ok(found.body)
    }

    async fn key(
        &self,
        key: &Key,
        base: &Url,
        anew: bool,
    ) -> Result<Option<(Url, Bytes)>, NoMedia> {
        let uri = key.uri.as_deref().filter(|_| key.is_identity());
        let in_place = |uri: &&str| {
            uri.get(..5)
                .is_some_and(|s| s.eq_ignore_ascii_case("data:"))
        };
        let Some(uri) = uri.filter(|uri| !in_place(uri)) else {
            return Ok(None);
        };
        let url = located(base, uri)?;
        let mut shared = self.shared.lock().await;
        if let Some(known) = shared.keys.get(&url).filter(|_| !anew) {
            return Ok(Some((url, known.clone())));
        }
        let found = self.get(&url, None, Limits::default().key_bytes).await;
        let found = found.map_err(|error| NoMedia {
            said: format!("the key {}", error.said),
            ..error
        })?;
        if shared.keys.len() >= KEPT {
            shared.keys.clear();
        }
        shared.keys.insert(url.clone(), found.body.clone());
        Ok(Some((url, found.body)))
    }

    /// A segment and its map without their encryption. A key that was known and does not fit is fetched again.
    async fn decrypted(
        &self,
        segment: &Segment,
        base: &Url,
        url: &Url,
        bytes: Bytes,
    ) -> Result<(Bytes, Option<Bytes>), NoMedia> {
        let mut last = None;
        for anew in [false, true] {
            let mut memory = MemorySource::new();
            let mut plain = segment.clone();
            plain.byte_range = None;
            memory.insert(Location::Url(url.clone()), bytes.clone());
            let map_key = segment.map.as_ref().and_then(|map| map.key.as_ref());
            for key in segment.key.iter().chain(map_key) {
                if let Some((at, key)) = self.key(key, base, anew).await? {
                    memory.insert(Location::Url(at), key);
                }
            }
            if let Some(map) = &segment.map {
                let at = located(base, &map.uri)?;
                let mut whole = (**map).clone();
                whole.byte_range = None;
                memory.insert(
                    Location::Url(at.clone()),
                    self.map(&at, map.byte_range).await?,
                );
                plain.map = Some(Arc::new(whole));
            }
            let playlist = Location::Url(base.clone());
            let read = tokio::task::spawn_blocking(move || {
                let mut reader = SegmentReader::new(None, &Limits::default());
                let read = reader.read(&memory, &plain, &playlist);
                let read = read.map_err(|error| error.to_string())?;
                match no_media(&read.bytes) {
                    Some(_) => Err("the key does not fit".to_owned()),
                    None => Ok((read.bytes, read.init)),
                }
            });
            match read.await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(what)) => last = Some(what),
                Err(error) => last = Some(error.to_string()),
            }
        }
        let what = last.unwrap_or_default();
        Err(NoMedia::of(Failure::Useless(what), url))
    }
}

impl NoMedia {
    fn of(failure: Failure, url: &Url) -> Self {
        Self {
            said: failure.at(url),
            failure,
        }
    }
}

/// Where a URI of a playlist leads.
pub(super) fn located(base: &Url, uri: &str) -> Result<Url, NoMedia> {
    let wrong = |what: String| NoMedia::of(Failure::Useless(what), base);
    match resolve(&Location::Url(base.clone()), uri, false) {
        Ok(Location::Url(url)) => Ok(url),
        Ok(Location::File(_)) => Err(wrong("it names a file".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Servers say that something is wrong in pages of their own, too, as if it were what was asked for.
fn check(answer: &Answer, url: &Url) -> Result<(), NoMedia> {
    let page = ["text/html", "application/json", "application/xhtml"];
    let is_page = page.iter().any(|kind| answer.kind.starts_with(kind));
    let what = match () {
        () if answer.body.is_empty() => "it is empty",
        () if is_page => "the server sent a page instead of media",
        () => return Ok(()),
    };
    Err(NoMedia::of(Failure::Useless(what.to_owned()), url))
}

/// Why bytes cannot be media, whatever they were said to be.
fn no_media(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.get(..64).unwrap_or(bytes).trim_ascii_start();
    let page = [&b"<!doctype"[..], b"<html", b"<?xml"];
    let is_page = page.iter().any(|head| {
        let begin = text.get(..head.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(head))
    });
    is_page.then_some("the server sent a page instead of media")
}

/// How the name of a segment ends: by its content, else as at the origin.
fn suffix(bytes: &[u8], url: &Url) -> &'static str {
    const KNOWN: [&str; 8] = ["ts", "m4s", "mp4", "aac", "mp3", "ac3", "ec3", "vtt"];
    let path = url.path().to_ascii_lowercase();
    let own = path.rsplit_once('.').map(|(_, own)| own);
    let own = KNOWN.iter().copied().find(|known| Some(*known) == own);
    let boxes = [
        &b"styp"[..],
        b"moof",
        b"ftyp",
        b"sidx",
        b"emsg",
        b"prft",
        b"mdat",
    ];
    let kind = bytes.get(4..8).unwrap_or_default();
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match () {
        () if boxes.contains(&kind) => "m4s",
        () if text.starts_with(b"WEBVTT") => "vtt",
        () if bytes.first() == Some(&0x47) => "ts",
        () => own.unwrap_or("ts"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_as_the_content_says() {
        let url = |path: &str| Url::parse(&format!("http://a/{path}")).unwrap();
        for (bytes, path, expected) in [
            (&b"G@\x00\x10"[..], "x.mp4", "ts"),
            (b"\0\0\0\x18stypmsdh", "x", "m4s"),
            (b"\xef\xbb\xbfWEBVTT\n", "x.txt", "vtt"),
            (b"ID3\x04", "x.AAC?y=.ts", "aac"),
            (b"ID3\x04", "x.php", "ts"),
        ] {
            assert_eq!(suffix(bytes, &url(path)), expected, "{path}");
        }
    }

    #[test]
    fn pages_are_no_media() {
        for page in ["<!DOCTYPE html>", "\n <HTML>", "<?xml version"] {
            assert!(no_media(page.as_bytes()).is_some(), "{page}");
        }
        for media in [&b"G@\0\x10"[..], b"\0\0\0\x18ftyp", b"WEBVTT", b"<", b""] {
            assert!(no_media(media).is_none());
        }
    }
}
