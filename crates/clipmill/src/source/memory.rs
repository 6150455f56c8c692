//! Playlists and segments that are in memory already.

use std::collections::HashMap;

use bytes::Bytes;
use clipmill_playlist::{ByteRange, Location};

use super::{SegmentSource, SourceError};

/// Playlists and segments by the names that they are looked up under.
///
/// A relative name is a path that exists nowhere but here: a playlist `live/index.m3u8` that lists
/// `0.ts` leads to `live/0.ts`. A URL is looked up as it is; nothing is ever fetched.
///
/// ```
/// use clipmill::source::{MemorySource, SegmentSource};
///
/// let source = MemorySource::new().with("live/0.ts", vec![0x47; 188]);
/// assert_eq!(source.read(&"live/0.ts".into(), None, 1000)?.len(), 188);
/// # Ok::<(), clipmill::SourceError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemorySource(HashMap<Location, Bytes>);

impl MemorySource {
    /// One that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one resource more, in place of what had this name.
    #[must_use]
    pub fn with(mut self, name: impl Into<Location>, bytes: impl Into<Bytes>) -> Self {
        self.insert(name, bytes);
        self
    }

    /// Adds a resource, in place of what had this name.
    pub fn insert(&mut self, name: impl Into<Location>, bytes: impl Into<Bytes>) {
        self.0.insert(name.into(), bytes.into());
    }

    /// Takes a resource away.
    pub fn remove(&mut self, name: impl Into<Location>) -> Option<Bytes> {
        self.0.remove(&name.into())
    }
}

impl SegmentSource for MemorySource {
    fn read(
        &self,
        location: &Location,
        range: Option<ByteRange>,
        max_bytes: u64,
    ) -> Result<Bytes, SourceError> {
        let name = || location.to_string();
        let bytes = self.0.get(location);
        let bytes = bytes.ok_or_else(|| SourceError::NotFound { location: name() })?;
        part(bytes, range, max_bytes, name)
    }
}

/// A range of `bytes`, cut off where they end; `name` is for messages.
pub(crate) fn part(
    bytes: &Bytes,
    range: Option<ByteRange>,
    max_bytes: u64,
    name: impl Fn() -> String,
) -> Result<Bytes, SourceError> {
    let whole = bytes.len() as u64;
    let offset = range.map_or(0, |range| range.offset);
    let end = range.map_or(whole, |range| offset.saturating_add(range.length));
    if range.is_some() && offset >= whole {
        let location = name();
        return Err(SourceError::Range {
            location,
            offset,
            end,
        });
    }
    let end = end.min(whole);
    if end.saturating_sub(offset) > max_bytes {
        return Err(SourceError::TooLarge {
            location: name(),
            limit: max_bytes,
        });
    }
    let place = |at| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    Ok(bytes.slice(place(offset)..place(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_names_and_limits() {
        let url: Location = "https://host/a.ts?x".parse().unwrap();
        let mut source = MemorySource::new().with("a", &b"0123456789"[..]);
        source.insert(url.clone(), &b"web"[..]);
        assert_eq!(source.read(&url, None, 9).unwrap(), "web");
        let read = |offset, length, max| {
            let range = Some(ByteRange { offset, length });
            source.read(&"a".into(), range, max)
        };
        assert_eq!(read(2, 3, 3).unwrap(), "234");
        assert_eq!(read(8, u64::MAX, 3).unwrap(), "89");
        let beyond = read(10, 1, 3).unwrap_err();
        assert_eq!(beyond.to_string(), "a: there are no bytes 10..11");
        let large = read(0, 4, 3).unwrap_err();
        assert_eq!(large.to_string(), "a: larger than the limit of 3 bytes");
        assert!(source.remove("a").is_some());
        let gone = source.read(&"a".into(), None, 9).unwrap_err();
        assert_eq!(gone.to_string(), "a: not found");
    }
}
