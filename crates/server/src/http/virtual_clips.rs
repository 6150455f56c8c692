//! Windows of streams that are stored nowhere: `{streamId}.mp4?start=&end=` and `?last=` as clips,
//! `{streamId}.m3u8` with the same as playlists.

use std::sync::Arc;
use std::time::Duration;

use clipmill::{Cut, TimeSpec, parse_duration};

use super::Web;
use super::answer::Query;
use super::ant_media::clips::{CUTS, check_length, check_range, refused};
use super::fault::Fault;
use crate::config::AppSettings;
use crate::domain::is_stream_id;
use crate::recorder::{ClipWindow, OnDemandError, VirtualClip, WindowPlaylist};

/// A window of a stream, as a query names it.
pub(super) struct WindowQuery {
    stream: String,
    window: ClipWindow,
    cut: Option<Cut>,
}

impl WindowQuery {
    /// What is asked for; `None` when it is a file.
    pub(super) fn of(path: &str, query: &Query) -> Result<Option<Self>, Fault> {
        let Some(stream) = path.strip_suffix(".mp4") else {
            return Ok(None);
        };
        let Some(window) = window(query)? else {
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
        check(web, &settings, &self.stream, self.window)?;
        if !is_stream_id(&self.stream) {
            return Err(unknown());
        }
        let found = web
            .clipping
            .virtual_clip(
                &settings.name,
                &self.stream,
                self.window,
                self.cut,
                continues,
            )
            .await;
        found.map_err(|error| match error {
            OnDemandError::NoBroadcast(_) => unknown(),
            error => refused(error, self.window),
        })
    }
}

/// A window of a stream as a playlist, as a query names it.
pub(super) struct PlaylistQuery {
    /// The playlist below `streams/`, without its suffix; or a stream's id.
    path: String,
    window: ClipWindow,
    query: String,
}

impl PlaylistQuery {
    /// What is asked for; `None` when it is the playlist as it is.
    pub(super) fn of(path: &str, query: &Query) -> Result<Option<Self>, Fault> {
        let Some(playlist) = path.strip_suffix(".m3u8") else {
            return Ok(None);
        };
        let Some(window) = window(query)? else {
            return Ok(None);
        };
        let mut own = url::form_urlencoded::Serializer::new(String::new());
        for name in ["start", "end", "last"] {
            if let Some(value) = query.text(name) {
                own.append_pair(name, value);
            }
        }
        Ok(Some(Self {
            path: playlist.to_owned(),
            window,
            query: own.finish(),
        }))
    }

    /// How the window was asked for.
    pub(super) fn query(&self) -> &str {
        &self.query
    }

    pub(super) async fn find(&self, web: &Web, app: &str) -> Result<WindowPlaylist, Fault> {
        let settings = web.settings.borrow().app(app).cloned();
        let settings = settings.ok_or_else(|| Fault::missing("There is no such file"))?;
        let name = self.path.rsplit('/').next().unwrap_or_default();
        check(web, &settings, name, self.window)?;
        let found = web
            .clipping
            .window_playlist(&settings.name, &self.path, self.window, &self.query)
            .await;
        found.map_err(|error| match error {
            OnDemandError::NoBroadcast(_) => Fault::missing(error.to_string()),
            error => refused(error, self.window),
        })
    }
}

/// The window that a query names.
fn window(query: &Query) -> Result<Option<ClipWindow>, Fault> {
    let (start, end) = (query.text("start"), query.text("end"));
    match (start, end, query.text("last")) {
        (None, None, None) => Ok(None),
        (Some(start), Some(end), None) => Ok(Some(ClipWindow::Range {
            from_ms: instant("start", start)?,
            to_ms: instant("end", end)?,
        })),
        (None, None, Some(last)) => Ok(Some(ClipWindow::Last(length(last)?))),
        (None, Some(_), None) => Err(Fault::bad("start is missing")),
        (Some(_), None, None) => Err(Fault::bad("end is missing")),
        (_, _, Some(_)) => Err(Fault::bad("last cannot be combined with start or end")),
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

/// Numbers below this count seconds: as milliseconds they would lie before March 1973, as seconds they
/// reach beyond the year 5000.
const SECONDS_BELOW: i64 = 100_000_000_000;

/// An instant, in milliseconds since the Unix epoch.
pub(super) fn instant(name: &str, text: &str) -> Result<i64, Fault> {
    // The plus sign of an offset is a space in a query, unless it is escaped.
    let text = text.trim().replace(' ', "+");
    if let Ok(seconds) = text.parse::<i64>()
        && (0..SECONDS_BELOW).contains(&seconds)
        && !text.starts_with('+')
    {
        return Ok(seconds * 1000);
    }
    match text.parse() {
        Ok(TimeSpec::At(instant)) => Ok(instant.timestamp_millis()),
        _ => Err(Fault::bad(format!(
            "{name} is not an instant: write 2026-11-22T14:05:00Z, or seconds or milliseconds since 1970"
        ))),
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
    fn instants_as_people_and_programs_write_them() {
        let at = |text| instant("start", text).ok();
        assert_eq!(at("1795356300000"), Some(1_795_356_300_000));
        assert_eq!(at("1795356300"), Some(1_795_356_300_000));
        assert_eq!(at("2026-11-22T14:05:00Z"), Some(1_795_356_300_000));
        assert_eq!(at("2026-11-22T17:05:00.5 03:00"), Some(1_795_356_300_500));
        for bad in ["", "soon", "-30s", "+5s", "2026-11-22T14:05:00"] {
            assert_eq!(at(bad), None, "{bad}");
        }
        assert_eq!(length("1m30s").ok(), Some(Duration::from_secs(90)));
        assert!(length("0s").is_err() && length("30").is_err());
    }
}
