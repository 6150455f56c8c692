//! Windows of streams that are stored nowhere: `{streamId}.mp4?start=&end=` and `?last=` as clips,
//! `{streamId}.m3u8` with the same as playlists.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use clipmill::{Cut, parse_duration};

use super::Web;
use super::answer::Query;
use super::ant_media::clips::{CUTS, check_length, check_range, refused};
use super::fault::Fault;
use super::instants::{self, Named, Side};
use crate::config::AppSettings;
use crate::domain::{Instant, is_stream_id};
use crate::recorder::{ClipWindow, OnDemandError, VirtualClip, WindowPlaylist};
use crate::sources::names::PlaylistName;

/// A window of a stream, as a query names it.
pub(super) struct WindowQuery {
    stream: String,
    window: AskedWindow,
    cut: Option<Cut>,
}

impl WindowQuery {
    /// What is asked for; `None` when it is a file.
    pub(super) fn of(path: &str, query: &Query) -> Result<Option<Self>, Fault> {
        let Some(stream) = path.strip_suffix(".mp4") else {
            return Ok(None);
        };
        let Some(window) = AskedWindow::of(query)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            stream: stream.to_owned(),
            window,
            cut: query.choice("cut", &CUTS)?,
        }))
    }

    /// Lays the clip out.
    pub(super) async fn find(
        &self,
        web: &Web,
        app: &str,
        continues: bool,
    ) -> Result<Arc<VirtualClip>, Fault> {
        let settings = web.settings.borrow().app(app).cloned();
        let unknown =
            || Fault::missing(OnDemandError::NoBroadcast(self.stream.clone()).to_string());
        let settings = settings.ok_or_else(|| Fault::missing("There is no such file"))?;
        if !is_stream_id(&self.stream) {
            return Err(unknown());
        }
        let window = self.window.find(web, &settings.name, &self.stream).await?;
        check(web, &settings, &self.stream, window)?;
        let found = web
            .clipping
            .virtual_clip(&settings.name, &self.stream, window, self.cut, continues)
            .await;
        found.map_err(|error| match error {
            OnDemandError::NoBroadcast(_) => unknown(),
            error => refused(error, window),
        })
    }
}

/// A window of a stream as a playlist, as a query names it.
pub(super) struct PlaylistQuery {
    /// The playlist below `streams/`, without its suffix; or a stream's id.
    path: String,
    window: AskedWindow,
}

impl PlaylistQuery {
    /// What is asked for; `None` when it is the playlist as it is.
    pub(super) fn of(path: &str, query: &Query) -> Result<Option<Self>, Fault> {
        let Some(playlist) = path.strip_suffix(".m3u8") else {
            return Ok(None);
        };
        let window = AskedWindow::of(query)?;
        Ok(window.map(|window| Self {
            path: playlist.to_owned(),
            window,
        }))
    }

    /// Finds it; gives also how others can ask for the same window.
    pub(super) async fn find(
        &self,
        web: &Web,
        app: &str,
    ) -> Result<(WindowPlaylist, String), Fault> {
        let settings = web.settings.borrow().app(app).cloned();
        let settings = settings.ok_or_else(|| Fault::missing("There is no such file"))?;
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let of_file = PlaylistName::of(FilePath::new(&format!("{}.m3u8", self.path)));
        let stream = of_file.map_or_else(|| name.to_owned(), |of_file| of_file.stream);
        let window = self.window.find(web, &settings.name, &stream).await?;
        check(web, &settings, name, window)?;
        // Playlists of its variants know nothing of its markers.
        let query = self.window.query(window);
        let found = web
            .clipping
            .window_playlist(&settings.name, &self.path, window, &query)
            .await;
        let found = found.map_err(|error| match error {
            OnDemandError::NoBroadcast(_) => Fault::missing(error.to_string()),
            error => refused(error, window),
        });
        Ok((found?, query))
    }
}

/// The window that a query names.
enum AskedWindow {
    /// From one instant to another, and how they are written.
    Between([(Named, String); 2]),
    Last(Duration, String),
}

impl AskedWindow {
    fn of(query: &Query) -> Result<Option<Self>, Fault> {
        let (start, end) = (query.text("start"), query.text("end"));
        match (start, end, query.text("last")) {
            (None, None, None) => Ok(None),
            (Some(start), Some(end), None) => Ok(Some(Self::Between([
                (instants::parse("start", start)?, start.to_owned()),
                (instants::parse("end", end)?, end.to_owned()),
            ]))),
            (None, None, Some(last)) => Ok(Some(Self::Last(length(last)?, last.to_owned()))),
            (None, Some(_), None) => Err(Fault::bad("start is missing")),
            (Some(_), None, None) => Err(Fault::bad("end is missing")),
            (_, _, Some(_)) => Err(Fault::bad("last cannot be combined with start or end")),
        }
    }

    /// Where it lies on a stream.
    async fn find(&self, web: &Web, app: &str, stream: &str) -> Result<ClipWindow, Fault> {
        match self {
            Self::Between([(start, _), (end, _)]) => Ok(ClipWindow::Range {
                from_ms: start.resolve(web, app, stream, Side::Begin).await?,
                to_ms: end.resolve(web, app, stream, Side::End).await?,
            }),
            Self::Last(length, _) => Ok(ClipWindow::Last(*length)),
        }
    }

    /// A query for it, where it lies there: without markers.
    fn query(&self, found: ClipWindow) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        match (self, found) {
            (Self::Between([start, end]), ClipWindow::Range { from_ms, to_ms }) => {
                for (name, (named, text), ms) in [("start", start, from_ms), ("end", end, to_ms)] {
                    match named {
                        Named::At(_) => query.append_pair(name, text),
                        Named::Marker(_) => query.append_pair(name, &Instant(ms).to_string()),
                    };
                }
            }
            (Self::Last(_, text), _) => drop(query.append_pair("last", text)),
            (Self::Between(_), _) => {}
        }
        query.finish()
    }
}

/// Whether a window makes sense, whatever the stream holds.
fn check(web: &Web, app: &AppSettings, stream: &str, window: ClipWindow) -> Result<(), Fault> {
    match window {
        ClipWindow::Range { from_ms, to_ms } => {
            check_range(web, app, stream, (from_ms, to_ms), ("start", "end"))
        }
        ClipWindow::Last(length) => {
            let millis = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
            check_length(app, millis)
        }
        ClipWindow::SinceBoundary | ClipWindow::Listed => Ok(()),
    }
}

pub(super) fn length(text: &str) -> Result<Duration, Fault> {
    match parse_duration(text) {
        Ok(length) if !length.is_zero() => Ok(length),
        Ok(_) => Err(Fault::bad("last must be greater than 0")),
        Err(error) => Err(Fault::bad(format!("last: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_as_people_write_them() {
        assert_eq!(length("1m30s").ok(), Some(Duration::from_secs(90)));
        assert!(length("0s").is_err() && length("30").is_err());
    }
}
