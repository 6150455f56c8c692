//! Removing a stream's HLS files when they have been made a clip.

use std::collections::HashSet;

use super::app::App;
use super::listing::read_media;
use super::session::locate;
use super::shared::lock;

/// Removes the segments that a stream's playlist lists, but for those of which a clip to come has no copy
/// or link, and, when the stream is over, the playlist and what else it names.
pub(crate) fn delete_hls(app: &App, stream: &str) {
    let Some(serving) = app.playlists().serving(stream, None) else {
        return;
    };
    let Some((listed, _)) = read_media(&serving.path) else {
        return;
    };
    let root = app.root();
    let known = app.stream(stream);
    let state = known.as_ref().map(|known| lock(&known.state));
    let sessions = state
        .iter()
        .flat_map(|state| state.session.iter().chain(&state.closing));
    let held = sessions.flat_map(|session| session.line.held());
    let needed = held.filter(|held| held.holding.is_none());
    let mut kept: HashSet<_> = needed.filter_map(|held| held.original.clone()).collect();
    let live = state.as_ref().and_then(|state| state.session.as_ref());
    let over = match &state {
        Some(state) => state.session.is_none(),
        None => listed.ended,
    };
    let mut files = Vec::new();
    for segment in &listed.segments {
        let Ok(path) = locate(&serving.path, segment, &root) else {
            continue;
        };
        let taken = live.is_none_or(|live| {
            live.taken
                .next_listed()
                .is_some_and(|next| segment.sequence < next)
        });
        if taken && (over || segment.byte_range.is_none()) {
            files.push(path);
        } else {
            kept.insert(path);
        }
        if let Some(map) = segment.map.as_deref().filter(|_| over) {
            let mut named = segment.clone();
            named.uri.clone_from(&map.uri);
            files.extend(locate(&serving.path, &named, &root));
        }
    }
    if over {
        files.push(serving.path);
    }
    files.sort_unstable();
    files.dedup();
    for path in files.iter().filter(|path| !kept.contains(*path)) {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "cannot delete a file of a stream");
        }
    }
}
