//! Files that exist in memory alone.

use std::collections::HashMap;
use std::path::PathBuf;

use bytes::Bytes;
use clipmill::{ByteRange, Location, SegmentSource, SourceError};
use clipmill_tests::writer::{Plan, Segment};

/// Files in memory.
#[derive(Debug, Default)]
pub struct Memory {
    files: HashMap<PathBuf, Bytes>,
    /// What any other name gives.
    other: Option<Bytes>,
}

impl Memory {
    /// Files by their names.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Self {
        let files = files.into_iter();
        Self {
            files: files
                .map(|(name, bytes)| (name.into(), bytes.into()))
                .collect(),
            other: None,
        }
    }

    /// The segments of a plan, and their playlist.
    #[must_use]
    pub fn stream(plan: &Plan, segments: &[Segment]) -> Self {
        let mut memory = Self::new([("index.m3u8", plan.playlist(segments).into_bytes())]);
        for (n, segment) in segments.iter().enumerate() {
            memory.put(format!("{n}.ts"), segment.bytes.clone());
        }
        memory
    }

    /// Puts a file in place of what was there.
    pub fn put(&mut self, name: impl Into<PathBuf>, bytes: impl Into<Bytes>) {
        self.files.insert(name.into(), bytes.into());
    }

    /// Any other name, URLs included, gives this.
    #[must_use]
    pub fn with_other(mut self, other: Bytes) -> Self {
        self.other = Some(other);
        self
    }
}

impl SegmentSource for Memory {
    fn read(
        &self,
        location: &Location,
        range: Option<ByteRange>,
        max_bytes: u64,
    ) -> Result<Bytes, SourceError> {
        let file = match location {
            Location::File(path) => self.files.get(path).or(self.other.as_ref()),
            Location::Url(_) => self.other.as_ref(),
        };
        let location = location.to_string();
        let Some(file) = file else {
            return Err(SourceError::NotFound { location });
        };
        let (offset, length) = range.map_or((0, file.len() as u64), |r| (r.offset, r.length));
        let end = offset.saturating_add(length).min(file.len() as u64);
        if offset >= end && range.is_some() {
            return Err(SourceError::Range {
                location,
                offset,
                end,
            });
        }
        if end - offset > max_bytes {
            return Err(SourceError::TooLarge {
                location,
                limit: max_bytes,
            });
        }
        Ok(file.slice(offset as usize..end as usize))
    }
}
