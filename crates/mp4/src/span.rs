use std::ops::Range;

use bytes::Bytes;

/// A stretch of a rendered file, borrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// Bytes of samples that still lie in their segment.
    Media(MediaSpan),
}

impl Span<'_> {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Media(media) => media.len,
        }
    }

    /// Whether it is of no length.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Bytes of samples that still lie in their segment.
///
/// To render it, gather `samples` (`TrackIndex::gather`) and take `len` bytes after the first
/// `skip`. `samples` are none but those that have bytes in the span, so that no sample is gathered
/// for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSpan {
    /// Which segment.
    pub segment: u32,
    /// Which of its `SegmentIndex::tracks`.
    pub track: u32,
    /// Which samples of that `TrackIndex`.
    pub samples: Range<u32>,
    /// How many bytes of the gathered samples lie before the span.
    pub skip: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// A stretch of a [`Fragment`](crate::Fragment), owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnedSpan {
    /// These bytes.
    Bytes(Bytes),
    /// Whole samples that still lie in their segment.
    Media(MediaSpan),
}

impl OwnedSpan {
    /// The same, borrowed.
    #[must_use]
    pub fn as_span(&self) -> Span<'_> {
        match self {
            Self::Bytes(bytes) => Span::Bytes(bytes),
            Self::Media(media) => Span::Media(media.clone()),
        }
    }
}
