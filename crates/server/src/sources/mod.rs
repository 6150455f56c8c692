//! Where streams come from, and what is there: which playlists there are, whose they are, what they list, and whether
//! their stream still lives.
//!
//! A [`StreamSource`] is what a recorder reads its streams from. There is one, of what media servers write to
//! disk:
//!
//! - `folder`: the streams in a folder;
//! - `names`: what the name of a playlist says;
//! - `playlists`: all playlists of an app, and which one serves a stream;
//! - `listing`, `on_disk`: what a playlist lists, and the files of that;
//! - `session`: files of one name told apart, and streams that have ended;
//! - `watch`: what changed, told by the system and looked for underneath.

pub(crate) mod folder;
pub(crate) mod listing;
pub(crate) mod names;
pub(crate) mod on_disk;
pub(crate) mod playlists;
pub(crate) mod session;
pub(crate) mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clipmill::live::{SegmentFiles, Version};
use clipmill::{ReadSegment, SegmentReader, SegmentSource};
use clipmill_playlist::{Location, MediaPlaylist, Segment};

use self::playlists::Serving;
use self::session::FileMark;

/// Where the streams of an app come from. It blocks.
pub(crate) trait StreamSource: Send + Sync {
    /// The playlist that serves a stream. `present` is the one that does so now and still lives: it goes on
    /// while it is there.
    fn serving(&self, stream: &str, present: Option<&Location>) -> Option<Serving>;

    /// Whether a playlist is a rendition of another stream than this.
    fn is_of_another(&self, playlist: &Location, stream: &str) -> bool;

    /// Whether a playlist is there, whatever it says.
    fn is_there(&self, playlist: &Location) -> bool;

    /// What a playlist lists now.
    fn list(&self, playlist: &Location) -> Listing;

    /// What tells the segments that a playlist lists from others of the same names.
    fn files<'a>(&'a self, playlist: &'a Location) -> Box<dyn SegmentFiles + 'a>;

    /// Fetches a segment that a playlist lists, with its key and its map, and decrypts it. `last` says that no
    /// segment follows it yet: it may still be written. `known` is what was fetched under its name before,
    /// and is as good if it still is the same.
    fn fetch(
        &self,
        playlist: &Location,
        segment: &Segment,
        last: bool,
        known: Option<Fetched>,
        reader: &mut SegmentReader,
    ) -> Result<Fetched, NotFetched>;

    /// The file that a segment lies in, where it lies in one.
    fn file(&self, playlist: &Location, segment: &Segment) -> Option<PathBuf>;

    /// Reads what belongs to any of its streams, as sound in playlists of its own.
    fn anywhere(&self) -> Box<dyn SegmentSource>;
}

/// What a playlist lists.
#[derive(Debug)]
pub(crate) enum Listing {
    /// Segments. It changed so long ago.
    Media {
        playlist: Box<MediaPlaylist>,
        age: Duration,
    },
    /// It is not there.
    Missing,
    /// It is half-written, or no media playlist.
    Unclear,
}

/// A segment that was fetched.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) read: ReadSegment,
    /// The file that it lies in, and what that looks like.
    pub(crate) path: PathBuf,
    pub(crate) mark: FileMark,
    /// What tells it from others of its name: see [`StreamSource::files`].
    pub(crate) version: Option<Version>,
    /// It is all of that file.
    pub(crate) whole_file: bool,
    /// Sound of other segments was put into it.
    pub(crate) composed: bool,
}

impl Fetched {
    /// Whether the content is that of the file byte for byte.
    pub(crate) fn as_it_is(&self) -> bool {
        self.whole_file && self.read.key.is_none() && !self.composed
    }
}

/// Why a segment cannot be had now.
#[derive(Debug)]
pub(crate) enum NotFetched {
    /// It is still written. It may be whole after this.
    Unfinished(Duration),
    /// It is not there, or cannot be read: why, and when to look again.
    Missing(String, Duration),
    /// It is of no use.
    Unsupported(String),
}

/// The file that a location is.
pub(crate) fn file_of(location: &Location) -> Option<&Path> {
    match location {
        Location::File(path) => Some(path),
        Location::Url(_) => None,
    }
}
