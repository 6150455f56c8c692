//! Doors for the fuzz targets to what nobody else may enter. Not part of the interface.

use clipmill::live::{Seen, SegmentFiles, Taken, Version};
use clipmill_playlist::{Playlist, PlaylistLimits, Segment};

use crate::sources::names::PlaylistName;
use crate::spool;
use crate::storage::{self, ClipRecord};

/// Whether a catalog entry can be read.
#[must_use]
pub fn catalog_entry(key: &[u8], value: &[u8]) -> bool {
    crate::catalog::is_readable(key, value)
}

/// The record of a clip, as it lies beside it.
#[must_use]
pub fn clip_record(text: &[u8]) -> Option<ClipRecord> {
    storage::parse_record(text)
}

/// What the name of a segment in the spool says, written anew.
#[must_use]
pub fn spool_name(name: &str) -> Option<String> {
    spool::rewritten(name)
}

/// The stream and the folder that a playlist's path names.
#[must_use]
pub fn playlist_name(path: &str) -> Option<(String, Option<String>)> {
    let name = PlaylistName::of(path.as_ref())?;
    Some((name.stream, name.sub_folder))
}

/// Nothing is known of any file.
struct NoFiles;

impl SegmentFiles for NoFiles {
    fn version(&mut self, _: &Segment) -> Option<Version> {
        None
    }

    fn head(&mut self, _: &Segment) -> Option<u64> {
        None
    }
}

/// One playlist, read again and again.
#[derive(Debug, Default)]
pub struct Reloads(Taken);

/// What a look at a playlist shows.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Segments that it lists.
    pub listed: usize,
    /// How many of them are new.
    pub new: usize,
}

impl Reloads {
    /// Looks at a media playlist, as a recorder does; `None` where it is none.
    pub fn look(&mut self, text: &[u8]) -> Option<Look> {
        let Ok(Playlist::Media(playlist)) = Playlist::parse(text, &PlaylistLimits::default())
        else {
            return None;
        };
        let mut segments = playlist.segments;
        let from = match self.0.observe(&segments, &mut NoFiles) {
            Seen::Nothing => segments.len(),
            Seen::New { from, shift, .. } => {
                self.0.renumber(shift, &mut segments);
                from
            }
            Seen::StartedOver { from } => {
                self.0.start_over();
                from
            }
        };
        let new = segments.get(from..).unwrap_or_default();
        for segment in new {
            self.0.saw(segment, None, None, segment.start_time);
        }
        Some(Look {
            listed: segments.len(),
            new: new.len(),
        })
    }

    /// Segments that are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.0.remembered()
    }
}
