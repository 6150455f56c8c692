//! Waiting until a live playlist lists all of a window: by blocking playlist reload where the server
//! offers it (rfc8216bis, 6.2.5.2), else by looking again and again (6.3.4).

use std::time::{Duration, Instant};

use clipmill_playlist::{
    Location, MediaPlaylist, Playlist, PlaylistLimits, TimeSpec, Variables, WindowRequest,
};

use crate::error::ClipError;
use crate::render::{Observer, Progress};
use crate::request::{ClipRequest, open_media_playlist};
use crate::source::SegmentSource;

/// A playlist that has not grown for so many target durations has ended.
const SILENT: u32 = 3;

/// At least this long.
const LEAST_SILENCE: Duration = Duration::from_secs(6);

/// Playlists round durations: what is missing of a window by less than this is not.
const ROUNDED: Duration = Duration::from_millis(100);

/// The shortest and the longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Where a window ends that has not come yet.
#[derive(Debug, Clone, Copy)]
enum WindowEnd {
    At(chrono::DateTime<chrono::Utc>),
    /// On the line of the playlist as it was first seen.
    After(Duration),
}

impl WindowEnd {
    /// By how much it lies behind the end of what is listed, of which so much has `slid` out.
    fn beyond(self, seen: &MediaPlaylist, slid: Duration) -> Duration {
        match self {
            Self::At(instant) => seen
                .date_range()
                .and_then(|(_, end)| (instant - end).to_std().ok())
                .unwrap_or_default(),
            Self::After(after) => after.saturating_sub(slid.saturating_add(seen.duration())),
        }
    }

    /// By how much it lies before the end of what is listed.
    fn within(self, seen: &MediaPlaylist, slid: Duration) -> Duration {
        match self {
            Self::At(instant) => seen
                .date_range()
                .and_then(|(_, end)| (end - instant).to_std().ok())
                .unwrap_or_default(),
            Self::After(after) => slid.saturating_add(seen.duration()).saturating_sub(after),
        }
    }

    /// From here to another place.
    fn until(self, to: Self, seen: &MediaPlaylist, slid: Duration) -> Duration {
        let listed = self.within(seen, slid);
        let ahead = to
            .beyond(seen, slid)
            .saturating_sub(self.beyond(seen, slid));
        listed
            .saturating_add(ahead)
            .saturating_sub(to.within(seen, slid))
    }
}

impl ClipRequest {
    /// See [`crate::Input::when_listed`].
    pub(crate) fn when_listed(
        &self,
        source: &dyn SegmentSource,
        playlist: &Location,
        observer: Observer<'_>,
    ) -> Result<Self, ClipError> {
        let opened = open_media_playlist(source, playlist, self)?;
        let location = opened.location;
        let mut media = opened.playlist;
        let mut seen = media.clone().with_parts();
        let failed = |error: clipmill_playlist::WindowError| ClipError::Playlist {
            playlist: location.to_string(),
            error: error.into(),
        };
        let (from, to) = self.window.ends().map_err(failed)?;
        let total = seen.duration();
        let place = |spec: TimeSpec| match spec {
            TimeSpec::At(instant) => Some(WindowEnd::At(instant)),
            TimeSpec::FromStart(after) => Some(WindowEnd::After(after)),
            TimeSpec::FromEnd(before) => Some(WindowEnd::After(total.saturating_sub(before))),
            TimeSpec::InSegment { .. } => None,
        };
        let from = from.and_then(place);
        let to = match (self.window.from, self.window.duration) {
            // Beyond the end, which the window alone cannot say.
            (Some(TimeSpec::FromEnd(before)), Some(length)) => {
                let from = total.saturating_sub(before);
                Some(WindowEnd::After(from.saturating_add(length)))
            }
            _ => to.and_then(place),
        };
        // How much has slid out of the playlist since it was first seen.
        let mut slid = Duration::ZERO;
        let mut grown = Instant::now();
        let missing = loop {
            let missing = to.map_or(Duration::ZERO, |to| to.beyond(&seen, slid));
            let silence = media
                .target_duration
                .saturating_mul(SILENT)
                .max(LEAST_SILENCE);
            if missing.is_zero() || media.ended || grown.elapsed() > silence {
                break missing;
            }
            let window = match (from, to) {
                (Some(from), Some(to)) => from.until(to, &seen, slid),
                _ => slid.saturating_add(seen.duration()).saturating_add(missing),
            };
            let listed = window.saturating_sub(missing);
            if observer(Progress::Waiting { listed, window }).is_break() {
                return Err(ClipError::Cancelled);
            }
            let Some(next) = reload(source, &location, &media, self) else {
                std::thread::sleep(pause(&media));
                continue;
            };
            let parts = next.clone().with_parts();
            if let Some(first) = parts.segments.first() {
                let same = seen
                    .segments
                    .iter()
                    .find(|one| one.sequence == first.sequence);
                slid = slid.saturating_add(same.map_or_else(|| seen.duration(), |one| one.start));
            }
            if parts.duration() != seen.duration()
                || parts.segments.last().map(|one| one.sequence)
                    != seen.segments.last().map(|one| one.sequence)
            {
                grown = Instant::now();
            }
            (media, seen) = (next, parts);
        };
        let spec = |place: WindowEnd| match place {
            WindowEnd::At(instant) => TimeSpec::At(instant),
            WindowEnd::After(after) => TimeSpec::FromStart(after.saturating_sub(slid)),
        };
        let window = WindowRequest {
            from: from.map(spec),
            to: to.map(spec),
            ..WindowRequest::default()
        };
        let pinned = window.resolve(&seen).map_err(failed)?.pinned(&seen);
        Ok(Self {
            window: WindowRequest {
                from: pinned.from.filter(|_| from.is_some()),
                to: pinned.to.filter(|_| to.is_some()),
                ..WindowRequest::default()
            },
            ended_early: Some(missing).filter(|missing| *missing > ROUNDED),
            ..self.clone()
        })
    }
}

/// The playlist as it is now, or as soon as it has grown.
fn reload(
    source: &dyn SegmentSource,
    location: &Location,
    before: &MediaPlaylist,
    request: &ClipRequest,
) -> Option<MediaPlaylist> {
    let read = |location: &Location| {
        let (text, _) = source
            .read_playlist(location, request.limits.playlist_bytes)
            .ok()?;
        let limits = PlaylistLimits {
            bytes: request.limits.playlist_bytes,
            segments: request.limits.playlist_segments,
            ..PlaylistLimits::default()
        };
        let parsed = Playlist::parse_update(&text, &limits, &Variables::new(), Some(before));
        match parsed.ok()? {
            Playlist::Media(media) if media.skipped_segments == 0 => Some(media),
            _ => None,
        }
    };
    match blocking(location, before) {
        // A server that does not like the question is asked the plain one.
        Some(held_back) => read(&held_back).or_else(|| read(location)),
        None => {
            std::thread::sleep(pause(before));
            read(location)
        }
    }
}

/// The question that is answered when the playlist has grown (rfc8216bis, 6.2.5.2), if the server
/// takes it.
fn blocking(location: &Location, before: &MediaPlaylist) -> Option<Location> {
    let control = before.server_control?;
    let Location::Url(url) = location else {
        return None;
    };
    let last = before.segments.last()?;
    let mut url = url.clone();
    {
        let mut query = url.query_pairs_mut();
        let next = last.sequence.saturating_add(1);
        query.append_pair("_HLS_msn", &next.to_string());
        if before.part_target.is_some() {
            query.append_pair("_HLS_part", &before.parts.len().to_string());
        }
        if control.can_skip_until.is_some() {
            query.append_pair("_HLS_skip", "YES");
        }
    }
    control.can_block_reload.then_some(Location::Url(url))
}

/// Half a target duration, or a part.
fn pause(media: &MediaPlaylist) -> Duration {
    let usual = media.part_target.unwrap_or(media.target_duration / 2);
    usual.clamp(PAUSES.0, PAUSES.1)
}
