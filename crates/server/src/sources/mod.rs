//! What media servers write to disk: which playlists there are, whose they are, and whether their stream
//! still lives.
//!
//! - `names`: what the name of a playlist says;
//! - `playlists`: all playlists of an app, and which one serves a stream;
//! - `session`: files of one name told apart, and streams that have ended;
//! - `watch`: what changed, told by the system and looked for underneath.

pub(crate) mod names;
pub(crate) mod playlists;
pub(crate) mod session;
pub(crate) mod watch;
