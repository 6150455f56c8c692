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
    /// It is a part of one sample of H.265, with which coding restarts: once gathered it is to be
    /// changed by [`restart_coding`].
    pub restart: bool,
    /// How many bytes of the gathered samples lie before the span.
    pub skip: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// Makes a CRA picture one with a broken link (BLA, H.265, 7.4.2.2), which is what splicing is to do:
/// what follows it does not refer to what was decoded before. `sample` is a whole one, each of its NAL units
/// behind its length in four bytes; the type in their headers is all that changes.
pub fn restart_coding(sample: &mut [u8]) {
    const CRA_NUT: u8 = 21;
    const BLA_W_LP: u8 = 16;
    let mut rest = sample;
    while let Some((len, behind)) = rest.split_first_chunk_mut::<4>() {
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
        let Some((unit, behind)) = behind.split_at_mut_checked(len) else {
            return;
        };
        if let Some(header) = unit.first_mut()
            && (*header >> 1) & 0x3f == CRA_NUT
        {
            *header = (*header & 0x81) | (BLA_W_LP << 1);
        }
        rest = behind;
    }
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
