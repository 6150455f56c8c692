//! A playlist of either kind.

use crate::media::MediaPlaylist;
use crate::multivariant::MultivariantPlaylist;

/// A playlist of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Playlist {
    /// Of segments.
    Media(MediaPlaylist),
    /// Of playlists.
    Multivariant(MultivariantPlaylist),
}
