//! Where the segments of a playlist lie on disk, and what their files look like.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clipmill::Location;
use clipmill::live::{SegmentFiles, Taken, Version};
use clipmill_playlist::{Segment, candidates};

use crate::sources::session::{FileMark, has_grown};

/// So many of a file's first bytes tell whether it is still the same one.
pub(crate) const HEAD: u64 = 4096;

/// The files of a playlist's segments, on disk.
pub(crate) struct OnDisk<'a> {
    pub(crate) playlist: &'a Path,
    /// Segments lie below this folder.
    pub(crate) root: PathBuf,
}

impl SegmentFiles for OnDisk<'_> {
    fn version(&mut self, segment: &Segment) -> Option<Version> {
        mark_of(self.playlist, segment, &self.root).map(FileMark::version)
    }

    fn head(&mut self, segment: &Segment) -> Option<u64> {
        let path = locate(self.playlist, segment, &self.root).ok()?;
        let mut head = Vec::new();
        let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
        read.ok().map(|_| Taken::head(&head))
    }

    fn has_grown(&self, then: Version, now: Version) -> bool {
        has_grown(then, now)
    }
}

/// The file of a segment, links resolved, inside `root`.
pub(crate) fn locate(playlist: &Path, segment: &Segment, root: &Path) -> io::Result<PathBuf> {
    let base = Location::File(playlist.to_owned());
    let readings = candidates(&base, &segment.uri, Some(root)).map_err(io::Error::other)?;
    let mut first_error = None;
    for reading in readings {
        let Location::File(path) = reading else {
            return Err(io::Error::other("it is not a file"));
        };
        match std::fs::canonicalize(&path) {
            Ok(real) if real.starts_with(root) => return Ok(real),
            Ok(_) => return Err(io::Error::other("it leads outside the streams folder")),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

/// What the file of a segment looks like. One file that holds all segments changes all the time
/// and tells nothing.
fn mark_of(playlist: &Path, segment: &Segment, root: &Path) -> Option<FileMark> {
    let path = locate(playlist, segment, root).ok()?;
    let metadata = std::fs::metadata(path).ok()?;
    segment
        .byte_range
        .is_none()
        .then(|| FileMark::of(&metadata))
}
