//! Removing a stream's HLS files when they have been made a clip.

use std::collections::HashSet;
use std::path::PathBuf;

use super::app::App;
use super::state::State;
use crate::sources::listing::read_media;
use crate::sources::on_disk::locate;

/// Removes the segments that a stream's playlist lists, but for those of which a clip to come has no copy
/// or link, and, when the stream is over, the playlist and what else it names.
pub(crate) fn delete_hls(app: &App, stream: &str) {
    let Some(serving) = app.playlists().serving(stream, None) else {
        return;
    };
    let Some(playlist) = serving.file() else {
        return;
    };
    let Some((listed, _)) = read_media(playlist) else {
        return;
    };
    let root = app.root();
    let known = app.stream(stream).and_then(|stream| stream.ask(known_of));
    let (mut kept, live) = known.unwrap_or_else(|| (HashSet::new(), Live::Unknown));
    let over = match live {
        Live::No => true,
        Live::Yes(_) => false,
        Live::Unknown => listed.ended,
    };
    let mut files = Vec::new();
    for segment in &listed.segments {
        let Ok(path) = locate(playlist, segment, &root) else {
            continue;
        };
        let taken = match live {
            Live::Yes(next) => next.is_some_and(|next| segment.sequence < next),
            Live::No | Live::Unknown => true,
        };
        if taken && (over || segment.byte_range.is_none()) {
            files.push(path);
        } else {
            kept.insert(path);
        }
        if let Some(map) = segment.map.as_deref().filter(|_| over) {
            let mut named = segment.clone();
            named.uri.clone_from(&map.uri);
            files.extend(locate(playlist, &named, &root));
        }
    }
    if over {
        files.push(playlist.to_owned());
    }
    files.sort_unstable();
    files.dedup();
    for path in files.iter().filter(|path| !kept.contains(*path)) {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "cannot delete a file of a stream");
        }
    }
}

/// Whether a stream is live.
#[derive(Debug, Clone, Copy)]
enum Live {
    /// With what the playlist numbers the first segment that is not taken.
    Yes(Option<u64>),
    No,
    Unknown,
}

/// The files that clips to come are read from, and whether the stream is live.
fn known_of(state: &State) -> (HashSet<PathBuf>, Live) {
    let files = state.sessions().flat_map(|session| session.media.files());
    let needed = files.filter(|file| file.holding.is_none());
    let needed = needed.filter_map(|file| file.original.clone()).collect();
    let live = match &state.session {
        Some(session) => Live::Yes(session.next_listed),
        None => Live::No,
    };
    (needed, live)
}
