//! A window of a stream as a playlist of its own, for players. It lists what the stream's playlist does; where it
//! reaches further back, what is kept for the DVR window, which has addresses of its own:
//! `dvr/{stream}/{session}/{number}.ts` below the application.

use std::path::Path;

use chrono::{DateTime, Utc};
use clipmill_playlist::{MediaPlaylist, Playlist, PlaylistLimits, Segment, map_uris};

use super::app::App;
use super::asked::Asked;
use super::dvr::Kept;
use super::history::{Dated, Span};
use super::make::rfc3339;
use super::played::playlist_base;
use super::request::{ClipWindow, OnDemandError};
use super::shared::Shared;
use crate::domain::is_stream_id;
use crate::sources::listing::read_media;
use crate::sources::names::PlaylistName;
use crate::sources::on_disk::locate;

/// A window of a stream, for players.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowPlaylist {
    /// The playlist.
    Text(String),
    /// It is to be asked for there, below `streams/`: its segments are named from there.
    At(String),
}

/// A window of a stream, as it was asked for.
pub(crate) struct AskedWindow<'a> {
    /// The playlist below `streams/`, without its suffix; or a stream's id.
    pub(crate) path: &'a str,
    pub(crate) window: ClipWindow,
    /// As a query has it: the playlists that a multivariant one lists are asked for with it too.
    pub(crate) query: &'a str,
}

impl AskedWindow<'_> {
    pub(crate) fn find(&self, shared: &Shared, app: &App) -> Result<WindowPlaylist, OnDemandError> {
        match self.in_dvr_window(shared, app) {
            Some(text) => Ok(WindowPlaylist::Text(text)),
            None => self.listed(shared, app),
        }
    }

    /// The window as a playlist of what is kept, where that reaches further back than what is listed.
    fn in_dvr_window(&self, shared: &Shared, app: &App) -> Option<String> {
        let stream = PlaylistName::of(Path::new(&format!("{}.m3u8", self.path)))?.stream;
        app.dvr_window(&stream)?;
        let kept = Kept::of(&stream, shared, app);
        let (begin, end) = kept.reach()?;
        let (from_ms, to_ms) = self.range(end.timestamp_millis());
        let listed = app.playlists().serving(&stream, None);
        let listed = listed.and_then(|serving| read_media(serving.file()?));
        let listed = listed.and_then(|(listed, _)| listed.segments.first()?.start_time);
        // What the media server lists it serves, and players have it already.
        if listed.is_some_and(|listed| listed <= begin || listed.timestamp_millis() <= from_ms) {
            return None;
        }
        let base = playlist_base(&stream, self.path.matches('/').count());
        let instant = DateTime::<Utc>::from_timestamp_millis;
        let span = Span {
            from: instant(from_ms),
            to: instant(to_ms),
        };
        kept.playlist(span, &base, false)
    }

    /// The window, where `edge_ms` is the live edge; all there is where it names no instants.
    fn range(&self, edge_ms: i64) -> (i64, i64) {
        self.window.range(edge_ms).unwrap_or((i64::MIN, i64::MAX))
    }

    /// The window as an excerpt of the stream's playlist.
    fn listed(&self, shared: &Shared, app: &App) -> Result<WindowPlaylist, OnDemandError> {
        let name = || self.path.to_owned();
        let root = app.root();
        let relative = format!("{}.m3u8", self.path);
        let Some(known) = PlaylistName::of(Path::new(&relative)) else {
            return Err(OnDemandError::NoBroadcast(name()));
        };
        let file = root.join(&relative);
        let real = file.canonicalize().ok();
        if real.is_none_or(|real| !real.starts_with(&root) || !real.is_file()) {
            return self.elsewhere(shared, app, &root);
        }
        let limits = PlaylistLimits::default();
        let read = std::fs::read(&file).ok();
        let parsed = read.and_then(|text| Some((Playlist::parse(&text, &limits).ok()?, text)));
        match parsed {
            Some((Playlist::Media(media), text)) => {
                let modified = std::fs::metadata(&file).and_then(|found| found.modified());
                let modified = modified.map_or_else(|_| Utc::now(), DateTime::from);
                let edge = app.stream(&known.stream);
                let edge = edge.and_then(|stream| stream.shown().edge);
                let edge = edge.and_then(|(edge, _)| DateTime::from_timestamp_millis(edge));
                let dates = Asked::known_dates(&known.stream, &media, &file, app);
                let dated =
                    Dated::new(media.clone(), modified.into(), edge, &dates).into_segments();
                let media = with_segments(media, dated);
                self.cut(&media, &text, &file, &root)
                    .map(WindowPlaylist::Text)
            }
            Some((Playlist::Multivariant(_), text)) => {
                let text = String::from_utf8_lossy(&text);
                let asked = |uri: &str| {
                    let join = if uri.contains('?') { '&' } else { '?' };
                    Some(format!("{uri}{join}{}", self.query))
                };
                Ok(WindowPlaylist::Text(map_uris(&text, &asked)))
            }
            None => Err(OnDemandError::NoHlsPlaylist(name())),
        }
    }

    /// Where the playlist of the stream of this name lies.
    fn elsewhere(
        &self,
        shared: &Shared,
        app: &App,
        root: &Path,
    ) -> Result<WindowPlaylist, OnDemandError> {
        let name = || self.path.to_owned();
        let serving = is_stream_id(self.path)
            .then(|| app.playlists().serving(self.path, None))
            .flatten();
        if let Some(serving) = serving
            && let Some(path) = serving.file()
            && let Ok(relative) = path.strip_prefix(root)
            && let Some(relative) = relative.to_str()
        {
            return Ok(WindowPlaylist::At(relative.to_owned()));
        }
        let known = shared.wait(shared.catalog.stream(app.name(), self.path));
        let known = known.map_err(|error| OnDemandError::Failed(error.to_string()))?;
        Err(match known {
            Some(_) => OnDemandError::NoPlaylist(name()),
            None => OnDemandError::NoBroadcast(name()),
        })
    }

    fn cut(
        &self,
        media: &MediaPlaylist,
        text: &[u8],
        file: &Path,
        root: &Path,
    ) -> Result<String, OnDemandError> {
        let end = media.segments.iter().rev().find_map(Segment::end_time);
        let edge = end.unwrap_or_else(Utc::now).timestamp_millis();
        let (from_ms, to_ms) = self.range(edge);
        let inside = |segment: &Segment| {
            let (Some(start), Some(end)) = (segment.start_time, segment.end_time()) else {
                return false;
            };
            end.timestamp_millis() > from_ms && start.timestamp_millis() < to_ms
        };
        let first = media.segments.iter().position(inside);
        let last = media.segments.iter().rposition(inside);
        let (Some(first), Some(last)) = (first, last) else {
            let begin = media.segments.iter().find_map(|segment| segment.start_time);
            let listed = begin.zip(end).map(|(begin, end)| {
                let (begin, end) = (begin.timestamp_millis(), end.timestamp_millis());
                format!(
                    "its playlist lists media from {} to {}",
                    rfc3339(begin),
                    rfc3339(end)
                )
            });
            return Err(OnDemandError::NoSegment {
                stream: self.path.to_owned(),
                from_ms,
                to_ms,
                why: listed.or(Some("its playlist lists no segment".to_owned())),
            });
        };
        let is_missing = |segment: &Segment| {
            let is_file = !segment.uri.contains("://");
            is_file && locate(file, segment, root).is_err()
        };
        Ok(media.excerpt(text, first..last + 1, &is_missing))
    }
}

/// A playlist whose segments are dated.
fn with_segments(mut media: MediaPlaylist, segments: Vec<Segment>) -> MediaPlaylist {
    media.segments = segments;
    media
}
