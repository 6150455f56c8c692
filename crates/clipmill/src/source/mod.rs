//! Where playlists and segments are read from.
//!
//! - [`SegmentSource`]: what reading is, for those who keep segments elsewhere;
//! - [`FileSource`]: regular files, kept inside a folder if wanted;
//! - [`HttpSource`]: http and https (feature `http`);
//! - [`AnySource`]: both, by the kind of location;
//! - [`MemorySource`]: what is in memory already;
//! - [`Reach`]: which addresses may be connected to.

mod buffers;
mod file;
#[cfg(feature = "http")]
mod http;
mod memory;
#[cfg(feature = "http")]
mod temporary;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clipmill_playlist::{ByteRange, Location};

#[cfg(feature = "http")]
pub use crate::net::{OutOfReach, Reach};
pub use file::FileSource;
#[cfg(feature = "http")]
pub use http::{HttpSettings, HttpSource};
pub use memory::MemorySource;
pub(crate) use memory::part;

/// A reader of playlists and segments. It blocks until all is read.
pub trait SegmentSource: Send + Sync {
    /// Reads a segment, or a part of it, of at most `max_bytes`.
    ///
    /// What ends before it should, such as a file that is still being written, is given as far as
    /// it goes.
    ///
    /// # Errors
    /// When there is nothing to read, it is too large, or it lies where this source may not look.
    fn read(
        &self,
        location: &Location,
        range: Option<ByteRange>,
        max_bytes: u64,
    ) -> Result<Bytes, SourceError>;

    /// Reads a playlist of at most `max_bytes`, and says where it was found in the end: after
    /// redirects, that is what its relative URIs are resolved against (RFC 3986, 5.1.3).
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_playlist(
        &self,
        location: &Location,
        max_bytes: u64,
    ) -> Result<(Bytes, Location), SourceError> {
        let bytes = self.read(location, None, max_bytes)?;
        Ok((bytes, location.clone()))
    }
}

/// Whoever holds a source in such a pointer can read from it.
macro_rules! read_through {
    ($($pointer:ty),*) => {$(
        impl<S: SegmentSource + ?Sized> SegmentSource for $pointer {
            fn read(
                &self,
                location: &Location,
                range: Option<ByteRange>,
                max_bytes: u64,
            ) -> Result<Bytes, SourceError> {
                S::read(self, location, range, max_bytes)
            }

            fn read_playlist(
                &self,
                location: &Location,
                max_bytes: u64,
            ) -> Result<(Bytes, Location), SourceError> {
                S::read_playlist(self, location, max_bytes)
            }
        }
    )*};
}

read_through!(&S, Arc<S>, Box<S>);

/// Files and, with the feature `http`, web resources.
///
/// Segments that come over the web are kept in an unnamed temporary file as long as this source
/// lives, so that indexing and copying fetch them once. Nothing is set up before the first read of its kind.
#[derive(Debug, Default)]
pub struct AnySource {
    file: FileSource,
    #[cfg(feature = "http")]
    http: Arc<HttpSource>,
    #[cfg(feature = "http")]
    temporary: temporary::TemporaryStore,
}

impl AnySource {
    /// What a playlist at `playlist` may use: of files, those in its folder and below, also after
    /// links are followed; everything with `allow_outside`.
    #[must_use]
    pub fn for_playlist(playlist: &Location, allow_outside: bool) -> Self {
        let folder = playlist.folder().filter(|_| !allow_outside);
        Self {
            file: folder.map_or_else(FileSource::default, FileSource::within),
            #[cfg(feature = "http")]
            http: Arc::default(),
            #[cfg(feature = "http")]
            temporary: temporary::TemporaryStore::default(),
        }
    }

    /// With sources that are set up already. Several may share the connections of one [`HttpSource`].
    #[cfg(feature = "http")]
    #[must_use]
    pub fn new(file: FileSource, http: impl Into<Arc<HttpSource>>) -> Self {
        Self {
            file,
            http: http.into(),
            temporary: temporary::TemporaryStore::default(),
        }
    }

    #[cfg(feature = "http")]
    fn source(&self, location: &Location) -> &dyn SegmentSource {
        match location {
            Location::File(_) => &self.file,
            Location::Url(_) => &*self.http,
        }
    }

    #[cfg(not(feature = "http"))]
    fn source(&self, _: &Location) -> &dyn SegmentSource {
        &self.file
    }
}

impl SegmentSource for AnySource {
    fn read(
        &self,
        location: &Location,
        range: Option<ByteRange>,
        max_bytes: u64,
    ) -> Result<Bytes, SourceError> {
        #[cfg(feature = "http")]
        if matches!(location, Location::Url(_)) {
            let key = (location.clone(), range);
            if let Some(bytes) = self.temporary.get(&key) {
                return Ok(bytes);
            }
            let bytes = self.http.read(location, range, max_bytes)?;
            self.temporary.put(key, &bytes);
            return Ok(bytes);
        }
        self.source(location).read(location, range, max_bytes)
    }

    fn read_playlist(
        &self,
        location: &Location,
        max_bytes: u64,
    ) -> Result<(Bytes, Location), SourceError> {
        self.source(location).read_playlist(location, max_bytes)
    }
}

/// Why a playlist or segment could not be read. Every message says which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is nothing of that name.
    #[error("{location}: not found")]
    NotFound {
        /// What was to be read.
        location: String,
    },
    /// It is a folder, a pipe, a socket or a device.
    #[error("{location}: not a regular file")]
    NotAFile {
        /// What was to be read.
        location: String,
    },
    /// A link leads out of the folder that the playlist may use.
    #[error("{location}: leads outside {}", folder.display())]
    Outside {
        /// What was to be read.
        location: String,
        /// The folder.
        folder: PathBuf,
    },
    /// It is larger than it may be.
    #[error("{location}: larger than the limit of {limit} bytes")]
    TooLarge {
        /// What was to be read.
        location: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The byte range begins behind its end.
    #[error("{location}: there are no bytes {offset}..{end}")]
    Range {
        /// What was to be read.
        location: String,
        /// The first byte wanted.
        offset: u64,
        /// The byte after the last one wanted.
        end: u64,
    },
    /// The system refused.
    #[error("{location}: {error}")]
    Io {
        /// What was to be read.
        location: String,
        /// Why not.
        error: io::Error,
    },
    /// The server answered with something else than the resource.
    #[error("{location}: the server answered {status}")]
    Status {
        /// What was to be read, without secrets.
        location: String,
        /// The HTTP status code.
        status: u16,
    },
    /// There is no usable answer: no connection, TLS, time-outs, redirects.
    #[error("{location}: {reason}")]
    Http {
        /// What was to be read, without secrets.
        location: String,
        /// Why not.
        reason: String,
    },
    /// This source does not read such locations.
    #[error("{location}: {reason}")]
    Unsupported {
        /// What was to be read.
        location: String,
        /// Why not.
        reason: &'static str,
    },
}
