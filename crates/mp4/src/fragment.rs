use std::sync::Arc;

use bytes::Bytes;
use clipmill_media::CodecConfig;

use crate::{LayoutError, Movie, MovieSample, Piece, Run, Span};

/// How a movie is cut into fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentOptions {
    /// How long a fragment shall be at least, where the sync samples allow it, in ticks of
    /// [`MOVIE_TIMESCALE`](crate::MOVIE_TIMESCALE). Default 2 s.
    pub duration: u64,
    /// Whether each fragment begins with a `styp`. Default false.
    pub segment_types: bool,
    /// Whether a laid-out file ends with an `mfra` (ISO/IEC 14496-12, 8.8.9). Default true.
    pub random_access_index: bool,
}

impl Default for FragmentOptions {
    fn default() -> Self {
        Self {
            duration: 180_000,
            segment_types: false,
            random_access_index: true,
        }
    }
}

/// What one track gives to a fragment.
#[derive(Debug, Clone, Copy)]
pub struct FragmentTrack<'a> {
    /// Index of the track in the movie.
    pub track: usize,
    /// Decode time of the first sample in the track's timescale (`tfdt`).
    pub start: u64,
    /// The track's configurations so far: those that the [`Fragmenter`] was made with, then those
    /// met since. Empty where none was.
    pub configs: &'a [Arc<CodecConfig>],
    /// The samples in decode order.
    pub samples: &'a [MovieSample],
    /// Where they lie; the runs cover `samples` in order.
    pub runs: &'a [Run],
}

/// One movie fragment, ready to be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// `styp` where asked for, `moof`, and the header of the `mdat`.
    pub header: Bytes,
    /// The content of the `mdat`, in order.
    pub pieces: Vec<Piece>,
}

impl Fragment {
    /// Header and content, in order.
    pub fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        std::iter::once(Span::Bytes(&self.header)).chain(self.pieces.iter().map(Piece::as_span))
    }
}

/// Writes a movie fragment by fragment, as it is made.
#[derive(Debug, Clone)]
pub struct Fragmenter {
    movie: Movie,
    options: FragmentOptions,
}

impl Fragmenter {
    /// Begins a fragmented file with the tracks of `movie`, whose samples are ignored.
    ///
    /// # Errors
    /// When there is no track, or one cannot be described.
    pub fn new(movie: Movie, options: FragmentOptions) -> Result<Self, LayoutError> {
        Ok(Self { movie, options })
    }

    /// `ftyp` and `moov`.
    #[must_use]
    pub fn init(&self) -> Bytes {
        let _ = (&self.movie, &self.options);
        Bytes::new()
    }

    /// The next fragment.
    ///
    /// # Errors
    /// When no part holds a sample, a part contradicts itself, an audio configuration is not in
    /// the header, or a number does not fit its field.
    pub fn fragment(&mut self, parts: &[FragmentTrack<'_>]) -> Result<Fragment, LayoutError> {
        let _ = parts;
        Err(LayoutError::Empty)
    }
}
