//! What a playlist on disk lists.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::SystemTime;

use clipmill_playlist::{MediaPlaylist, Playlist, PlaylistLimits};

/// What reading a playlist gave.
pub(crate) enum Read {
    Media(Box<MediaPlaylist>, SystemTime),
    /// There is no file.
    Nothing,
    /// It is half-written, or no media playlist.
    Unclear,
}

/// Reads a playlist.
pub(crate) fn read(path: &Path) -> Read {
    let limits = PlaylistLimits::default();
    let read = File::open(path).and_then(|file| {
        let mut text = Vec::new();
        // One byte more, so that what is too long is told from what just fits.
        let longest = limits.bytes.saturating_add(1);
        file.take(longest).read_to_end(&mut text).map(|_| text)
    });
    let text = match read {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Read::Nothing,
        Err(_) => return Read::Unclear,
    };
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    match Playlist::parse(&text, &limits) {
        Ok(Playlist::Media(playlist)) => Read::Media(
            Box::new(playlist),
            modified.unwrap_or(SystemTime::UNIX_EPOCH),
        ),
        Ok(Playlist::Multivariant(_)) | Err(_) => Read::Unclear,
    }
}

/// Reads a media playlist, for those who only want to know what it lists.
pub(crate) fn read_media(path: &Path) -> Option<(MediaPlaylist, SystemTime)> {
    match read(path) {
        Read::Media(playlist, modified) => Some((*playlist, modified)),
        Read::Nothing | Read::Unclear => None,
    }
}
