//! What a playlist or a segment holds.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clipmill_media::{DeclineCause, DeclinedStream, Limits, StreamPlace, TrackKind};
use clipmill_playlist::{DateRange, Location, MediaPlaylist, Playlist, PlaylistKind, Variant};

use crate::clip::{Clip, TrackSummary};
use crate::error::ClipError;
use crate::named::file_name;
use crate::render::Observer;
use crate::request::{ClipRequest, Loader, open_playlist};
use crate::source::SegmentSource;

/// What a playlist or a segment holds.
#[derive(Debug, Clone)]
pub struct Probe {
    /// What the playlist says, where it was one.
    pub playlist: Option<PlaylistSummary>,
    /// The media: all segments of the playlist, or of its best variant. Without tracks where all of
    /// them are scrambled.
    pub clip: Clip,
    /// Tracks of which nothing can be had, as they are scrambled.
    pub scrambled: Vec<ScrambledTrack>,
}

/// What is known of a track that is scrambled for conditional access.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrambledTrack {
    /// Its PID.
    pub pid: u16,
    /// What it would be in the clear.
    pub kind: TrackKind,
    /// The name of its coding: `H.264`.
    pub name: Cow<'static, str>,
    /// Its sample entry type, `avc1`: all that is known of its RFC 6381 name.
    pub codec: Cow<'static, str>,
}

impl ScrambledTrack {
    fn of(stream: &DeclinedStream) -> Option<Self> {
        match (stream.place, stream.cause.clone()) {
            (StreamPlace::Pid(pid), DeclineCause::Scrambled { kind, name, codec }) => Some(Self {
                pid,
                kind,
                name,
                codec,
            }),
            _ => None,
        }
    }
}

/// What a playlist says.
#[derive(Debug, Clone)]
pub struct PlaylistSummary {
    /// Variants of a multivariant playlist; what follows is then said of the one that was chosen.
    pub variants: Vec<Variant>,
    /// `EXT-X-PLAYLIST-TYPE`.
    pub kind: Option<PlaylistKind>,
    /// Whether nothing will be added (`EXT-X-ENDLIST`).
    pub ended: bool,
    /// `EXT-X-TARGETDURATION`.
    pub target_duration: Duration,
    /// `EXT-X-MEDIA-SEQUENCE`.
    pub media_sequence: u64,
    /// How many segments it lists.
    pub segments: usize,
    /// The sum of its `EXTINF`s.
    pub duration: Duration,
    /// From the start of its first segment to the end of its last, where they are dated.
    pub dates: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// What it says of stretches of time (`EXT-X-DATERANGE`).
    pub date_ranges: Vec<DateRange>,
}

impl PlaylistSummary {
    fn new(media: &MediaPlaylist, variants: Vec<Variant>) -> Self {
        Self {
            variants,
            kind: media.kind,
            ended: media.ended,
            target_duration: media.target_duration,
            media_sequence: media.media_sequence,
            segments: media.segments.len(),
            duration: media.duration(),
            dates: media.date_range(),
            date_ranges: media.date_ranges.clone(),
        }
    }
}

impl Probe {
    /// Reads a playlist with all its segments, or a segment.
    pub(crate) fn at(
        source: &dyn SegmentSource,
        location: &Location,
        request: &ClipRequest,
        observer: Observer<'_>,
    ) -> Result<Self, ClipError> {
        if !is_playlist(source, location, &request.limits)? {
            let files = std::slice::from_ref(location);
            return Self::of_files(source, files, request, observer);
        }
        let (_, playlist) = open_playlist(source, location, &request.limits)?;
        let variants = match playlist {
            Playlist::Media(_) => Vec::new(),
            Playlist::Multivariant(multivariant) => multivariant.variants,
        };
        let opened = crate::request::open_media_playlist(source, location, request)?;
        let summary = PlaylistSummary::new(&opened.playlist, variants);
        let clip = Loader::open(source, location, request)?.finish(observer);
        Self::of(Some(summary), clip)
    }

    /// Reads files that follow one another.
    pub(crate) fn of_files(
        source: &dyn SegmentSource,
        files: &[Location],
        request: &ClipRequest,
        observer: Observer<'_>,
    ) -> Result<Self, ClipError> {
        Self::of(
            None,
            Loader::of_files(source, files, request).finish(observer),
        )
    }

    fn of(
        playlist: Option<PlaylistSummary>,
        clip: Result<Clip, ClipError>,
    ) -> Result<Self, ClipError> {
        let (clip, streams) = match clip {
            Ok(clip) => {
                let segments = clip.segments().iter();
                let declined = segments.flat_map(|segment| &segment.index.declined);
                let declined = declined.cloned().collect();
                (clip, declined)
            }
            // What there is can be told all the same.
            Err(error) => match error.scrambled() {
                Some(streams) => (Clip::nothing(error.to_string()), streams.to_vec()),
                None => return Err(error),
            },
        };
        let mut scrambled: Vec<ScrambledTrack> = Vec::new();
        for track in streams.iter().filter_map(ScrambledTrack::of) {
            let has = |known: &TrackSummary| known.source_id == u32::from(track.pid);
            if !scrambled.contains(&track) && !clip.tracks.iter().any(has) {
                scrambled.push(track);
            }
        }
        Ok(Self {
            playlist,
            clip,
            scrambled,
        })
    }
}

/// By its name, else by its first bytes: segments are named anyhow.
fn is_playlist(
    source: &dyn SegmentSource,
    location: &Location,
    limits: &Limits,
) -> Result<bool, ClipError> {
    let name = file_name(location).to_ascii_lowercase();
    if name.ends_with(".m3u8") || name.ends_with(".m3u") {
        return Ok(true);
    }
    if name.ends_with(".ts") || name.ends_with(".mts") || name.ends_with(".m2ts") {
        return Ok(false);
    }
    let bytes = source.read(location, None, limits.segment_bytes)?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    Ok(text.starts_with(b"#EXTM3U"))
}
