use std::ops::Range;

use crate::{FragmentOptions, LayoutError, Movie, Span};

/// An MP4 file as a value: its length is known, and any range of its bytes can be rendered.
#[derive(Debug, Clone)]
pub struct Layout {
    movie: Movie,
    len: u64,
}

impl Layout {
    /// A progressive file: `ftyp`, `moov`, `mdat`.
    ///
    /// # Errors
    /// When the movie holds no sample, contradicts itself, or a number does not fit its field.
    pub fn progressive(movie: Movie) -> Result<Self, LayoutError> {
        let _ = movie;
        Err(LayoutError::Empty)
    }

    /// A fragmented file: `ftyp`, `moov`, `sidx`, then `moof` and `mdat` again and again.
    ///
    /// # Errors
    /// When the movie holds no sample, contradicts itself, or a number does not fit its field.
    pub fn fragmented(movie: Movie, options: FragmentOptions) -> Result<Self, LayoutError> {
        let _ = (movie, options);
        Err(LayoutError::Empty)
    }

    /// Length of the file in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a layout is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The movie that it was made from.
    #[must_use]
    pub fn movie(&self) -> &Movie {
        &self.movie
    }

    /// The bytes at `range` of the file, in order; what lies past the end is left out.
    pub fn spans(&self, range: Range<u64>) -> impl Iterator<Item = Span<'_>> {
        let _ = range;
        std::iter::empty()
    }
}
