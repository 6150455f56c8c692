//! From what was asked for to the segments that hold it.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::date::{earlier, later};
use crate::media::{MediaPlaylist, Segment};
use crate::time::{TimeSpec, shown_duration, shown_instant};

/// A stretch of a stream, as it was asked for. Nothing at all means the whole playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowRequest {
    /// Where it begins; without it and [`Self::last`], at the start of the playlist.
    pub from: Option<TimeSpec>,
    /// Where it ends, not included; without it, at the end of the playlist.
    pub to: Option<TimeSpec>,
    /// This much before the end of the playlist, up to its end; goes with nothing else.
    pub last: Option<Duration>,
    /// How long; goes with [`Self::from`], with [`Self::to`], or alone for the first stretch. After
    /// an instant it counts wall-clock time, otherwise media time: they differ when the stream
    /// paused.
    pub duration: Option<Duration>,
}

impl WindowRequest {
    /// Finds the place of both ends in `playlist`.
    ///
    /// The same instant always gives the same position, whether a window begins or ends there, so
    /// windows that are asked for back to back share no media and leave none out.
    ///
    /// # Errors
    /// When the request contradicts itself, wants dates that the playlist does not have, or misses
    /// everything that it covers.
    pub fn resolve(&self, playlist: &MediaPlaylist) -> Result<Window, WindowError> {
        let (from, to) = self.ends()?;
        if playlist.segments.is_empty() {
            return Err(WindowError::NoSegments);
        }
        let absolute = [from, to]
            .into_iter()
            .flatten()
            .find_map(|spec| match spec {
                TimeSpec::At(instant) => Some(instant),
                TimeSpec::FromStart(_) | TimeSpec::FromEnd(_) | TimeSpec::InSegment { .. } => None,
            });
        if let Some(instant) = absolute.filter(|_| !playlist.has_dates()) {
            return Err(WindowError::NoDates(shown_instant(instant)));
        }
        let start = from.map_or(WindowEnd::Before, |spec| place(playlist, spec));
        let end = to.map_or(WindowEnd::After, |spec| place(playlist, spec));
        let nothing = || {
            Err(WindowError::Nothing {
                covered: covered(playlist, absolute.is_some()),
            })
        };
        match (start, end) {
            (WindowEnd::After, _) | (_, WindowEnd::Before) => return nothing(),
            (WindowEnd::Inside(start), WindowEnd::Inside(end)) if end <= start => {
                // Two instants in the right order meet where the stream paused from one to the other.
                return match (from, to) {
                    (Some(TimeSpec::At(_)), Some(TimeSpec::At(_))) => nothing(),
                    _ => Err(WindowError::EndsBeforeStart),
                };
            }
            _ => {}
        }
        Ok(Window {
            from: start.inside(),
            to: end.inside(),
        })
    }

    /// What two pinned windows have in common, see [`Window::pinned`].
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let order = |spec: TimeSpec| match spec {
            TimeSpec::At(instant) => (0, instant.timestamp_millis(), Duration::ZERO),
            TimeSpec::InSegment { sequence, offset } => {
                (1, i64::try_from(sequence).unwrap_or(i64::MAX), offset)
            }
            TimeSpec::FromStart(after) => (2, 0, after),
            TimeSpec::FromEnd(before) => (3, 0, before),
        };
        let of =
            |one: Option<TimeSpec>, other: Option<TimeSpec>| [one, other].into_iter().flatten();
        Self {
            from: of(self.from, other.from).max_by_key(|spec| order(*spec)),
            to: of(self.to, other.to).min_by_key(|spec| order(*spec)),
            ..Self::default()
        }
    }

    /// Both ends, whichever way they were asked for.
    ///
    /// # Errors
    /// When the request contradicts itself.
    pub fn ends(&self) -> Result<(Option<TimeSpec>, Option<TimeSpec>), WindowError> {
        let lengths = [self.last, self.duration];
        if lengths.contains(&Some(Duration::ZERO)) {
            return Err(WindowError::ZeroLength);
        }
        if let Some(last) = self.last {
            if self.from.is_some() || self.to.is_some() || self.duration.is_some() {
                return Err(WindowError::LastWithOthers);
            }
            return Ok((Some(TimeSpec::FromEnd(last)), None));
        }
        let (from, to) = match (self.from, self.to, self.duration) {
            (Some(_), Some(_), Some(_)) => return Err(WindowError::TooManyBounds),
            (from, None, Some(length)) => {
                let from = from.unwrap_or(TimeSpec::FromStart(Duration::ZERO));
                (Some(from), shift_later(from, length))
            }
            (None, Some(to), Some(length)) => (shift_earlier(to, length), Some(to)),
            (from, to, None) => (from, to),
        };
        let backwards = match (from, to) {
            (Some(TimeSpec::At(from)), Some(TimeSpec::At(to))) => to <= from,
            (Some(TimeSpec::FromStart(from)), Some(TimeSpec::FromStart(to))) => to <= from,
            (Some(TimeSpec::FromEnd(from)), Some(TimeSpec::FromEnd(to))) => to >= from,
            _ => false,
        };
        if backwards {
            return Err(WindowError::EndsBeforeStart);
        }
        Ok((from, to))
    }
}

/// A stretch of one media playlist: from `from`, included, to `to`, not included.
///
/// `None` is the very start or end of the playlist, whatever `EXTINF` says about where that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// Where it begins.
    pub from: Option<Position>,
    /// Where it ends.
    pub to: Option<Position>,
}

impl Window {
    /// The indexes of the segments that overlap the window, by `EXTINF` and dates.
    ///
    /// Both are rounded, so a frame at the very edge may lie in the segment before or after.
    pub fn segments_overlapping(&self, playlist: &MediaPlaylist) -> Range<usize> {
        let count = playlist.segments.len();
        let first = self.from.map_or(0, |from| from.segment).min(count);
        let end = self.to.map_or(count, |to| {
            let partial = usize::from(!to.offset.is_zero());
            to.segment.saturating_add(partial)
        });
        first..end.clamp(first, count)
    }

    /// The same window as a request that can be made of other playlists of the same stream, with an
    /// end on both sides: by the dates, where this one has any, else by media sequence number.
    pub fn pinned(&self, playlist: &MediaPlaylist) -> WindowRequest {
        let segments = &playlist.segments;
        let pin = |segment: &Segment, offset: Duration| match segment.start_time {
            Some(start) if playlist.has_dates() => later(start, offset).map(TimeSpec::At),
            _ => {
                // Of parts, from the beginning of their segment.
                let first = segments.partition_point(|one| one.sequence < segment.sequence);
                let begin = segments.get(first).map_or(segment.start, |one| one.start);
                let before = segment.start.saturating_sub(begin);
                Some(TimeSpec::InSegment {
                    sequence: segment.sequence,
                    offset: before.saturating_add(offset),
                })
            }
        };
        let at = |position: Position| pin(segments.get(position.segment)?, position.offset);
        let start = || pin(segments.first()?, Duration::ZERO);
        let end = || segments.last().and_then(|last| pin(last, last.duration));
        WindowRequest {
            from: self.from.map_or_else(start, at),
            to: self.to.map_or_else(end, at),
            ..WindowRequest::default()
        }
    }

    /// Says, in words, where dates go back inside the window: instants between are in it twice, so it
    /// is longer than two dates would have it.
    pub fn dates_going_back(&self, playlist: &MediaPlaylist) -> Option<String> {
        let first = self.from.map_or(0, |from| from.segment);
        let count = playlist.segments.len();
        let last = self.to.map_or(count, |to| to.segment.saturating_add(1));
        let segments = playlist.segments.get(first..last.clamp(first, count))?;
        let pairs = segments.iter().zip(segments.iter().skip(1));
        pairs.into_iter().find_map(|(before, segment)| {
            let (end, start) = (before.end_time()?, segment.start_time?);
            if start > before.start_time? {
                return None;
            }
            let by = end.signed_duration_since(start).to_std().ok()?;
            Some(format!(
                "EXT-X-PROGRAM-DATE-TIME goes back by {} before segment {} (sequence {}): \
                 the window is longer than its dates say",
                shown_duration(by),
                segment.uri,
                segment.sequence
            ))
        })
    }

    /// The window on the playlist's own time line, by `EXTINF`.
    pub fn span(&self, playlist: &MediaPlaylist) -> Range<Duration> {
        let at = |position: Position| {
            let segment = playlist.segments.get(position.segment);
            let start = segment.map_or_else(|| playlist.duration(), |segment| segment.start);
            start.saturating_add(position.offset)
        };
        let start = self.from.map_or(Duration::ZERO, at);
        start..self.to.map_or_else(|| playlist.duration(), at)
    }
}

/// A place in a media playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Index into [`MediaPlaylist::segments`].
    pub segment: usize,
    /// How far after the beginning of that segment: after its first presented video frame. A
    /// little more than its `EXTINF` when the next segment's date leaves such room.
    pub offset: Duration,
}

/// Why a request gives no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// `last` with any other bound.
    #[error("--last cannot be combined with --from, --to or --duration")]
    LastWithOthers,
    /// A start, an end and a length.
    #[error("of --from, --to and --duration, give two at most")]
    TooManyBounds,
    /// A length of nothing.
    #[error("the window has no length: --last and --duration must be more than 0s")]
    ZeroLength,
    /// The end is not after the start.
    #[error("the window ends before it begins: --to must be later than --from")]
    EndsBeforeStart,
    /// A date in a playlist without dates.
    #[error(
        "the playlist has no EXT-X-PROGRAM-DATE-TIME, so {0} cannot be found in it: \
         use +90s (from its start) or -30s (from its end)"
    )]
    NoDates(String),
    /// There is no segment to cut from.
    #[error("the playlist has no segments")]
    NoSegments,
    /// The window misses all segments.
    #[error("nothing in the window: the playlist covers {covered}")]
    Nothing {
        /// `A to B`, as instants or from the start, whichever was asked in.
        covered: String,
    },
}

/// Where an end of the window lies.
#[derive(Clone, Copy)]
enum WindowEnd {
    Before,
    Inside(Position),
    After,
}

impl WindowEnd {
    fn inside(self) -> Option<Position> {
        match self {
            Self::Inside(position) => Some(position),
            Self::Before | Self::After => None,
        }
    }
}

fn place(playlist: &MediaPlaylist, spec: TimeSpec) -> WindowEnd {
    match spec {
        TimeSpec::At(instant) => place_instant(&playlist.segments, instant),
        TimeSpec::FromStart(after) => place_offset(playlist, after),
        TimeSpec::FromEnd(before) => match playlist.duration().checked_sub(before) {
            Some(after) => place_offset(playlist, after),
            None => WindowEnd::Before,
        },
        TimeSpec::InSegment { sequence, offset } => {
            place_sequence(&playlist.segments, sequence, offset)
        }
    }
}

/// By media sequence number. Past the end of a segment lies the beginning of the next one.
fn place_sequence(segments: &[Segment], sequence: u64, offset: Duration) -> WindowEnd {
    let at = segments.partition_point(|segment| segment.sequence < sequence);
    let Some(segment) = segments.get(at) else {
        return WindowEnd::After;
    };
    if segment.sequence > sequence {
        return WindowEnd::Before;
    }
    if offset < segment.duration {
        let position = Position {
            segment: at,
            offset,
        };
        return if at == 0 && offset.is_zero() {
            WindowEnd::Before
        } else {
            WindowEnd::Inside(position)
        };
    }
    let next = at.saturating_add(1);
    match segments.get(next) {
        // A part of the same one.
        Some(part) if part.sequence == sequence => {
            let left = offset.saturating_sub(segment.duration);
            let rest = segments.get(next..).unwrap_or_default();
            match place_sequence(rest, sequence, left) {
                WindowEnd::Before => WindowEnd::Inside(Position {
                    segment: next,
                    offset: left,
                }),
                WindowEnd::Inside(found) => WindowEnd::Inside(Position {
                    segment: found.segment.saturating_add(next),
                    ..found
                }),
                WindowEnd::After => WindowEnd::After,
            }
        }
        Some(_) => WindowEnd::Inside(Position {
            segment: next,
            offset: Duration::ZERO,
        }),
        None => WindowEnd::After,
    }
}

/// By the sum of `EXTINF`.
fn place_offset(playlist: &MediaPlaylist, after: Duration) -> WindowEnd {
    if after.is_zero() {
        return WindowEnd::Before;
    }
    if after >= playlist.duration() {
        return WindowEnd::After;
    }
    let segments = &playlist.segments;
    let following = segments.partition_point(|segment| segment.start <= after);
    let segment = following.saturating_sub(1);
    let start = segments.get(segment).map(|segment| segment.start);
    WindowEnd::Inside(Position {
        segment,
        offset: after.saturating_sub(start.unwrap_or_default()),
    })
}

/// By the dates. They need not be in order: an encoder's clock may be set back.
fn place_instant(segments: &[Segment], instant: DateTime<Utc>) -> WindowEnd {
    for (index, segment) in segments.iter().enumerate() {
        let next = segments.get(index.saturating_add(1));
        match offset_inside(segment, next, instant) {
            Some(Duration::ZERO) if index == 0 => return WindowEnd::Before,
            Some(offset) => {
                return WindowEnd::Inside(Position {
                    segment: index,
                    offset,
                });
            }
            None => {}
        }
    }
    // In no segment, so between two of them: what begins after a pause is where it ends.
    let is_later = |segment: &Segment| segment.start_time.is_some_and(|start| start > instant);
    match segments.iter().position(is_later) {
        Some(0) => WindowEnd::Before,
        Some(segment) => WindowEnd::Inside(Position {
            segment,
            offset: Duration::ZERO,
        }),
        None => WindowEnd::After,
    }
}

/// How far into `segment` the instant lies, if it does.
fn offset_inside(
    segment: &Segment,
    next: Option<&Segment>,
    instant: DateTime<Utc>,
) -> Option<Duration> {
    let start = segment.start_time?;
    let offset = instant.signed_duration_since(start).to_std().ok()?;
    // Where dates and EXTINF disagree by a little, the date of the next segment decides.
    let next_start = next
        .filter(|next| !next.discontinuity)
        .and_then(|next| next.start_time)
        .filter(|next_start| *next_start > start);
    let inside = match next_start {
        Some(next_start) => instant < next_start && offset < with_slack(segment.duration),
        None => offset < segment.duration,
    };
    inside.then_some(offset)
}

/// How long a segment may really be: `EXTINF` is often rounded, by whole seconds at worst, which is
/// half a segment at least. Media that is missing for longer is a pause.
fn with_slack(duration: Duration) -> Duration {
    duration.saturating_add(duration.checked_div(2).unwrap_or_default())
}

fn shift_later(from: TimeSpec, length: Duration) -> Option<TimeSpec> {
    match from {
        TimeSpec::At(instant) => later(instant, length).map(TimeSpec::At),
        TimeSpec::FromStart(after) => Some(TimeSpec::FromStart(after.saturating_add(length))),
        // Beyond the end there is nothing, so the window is open there.
        TimeSpec::FromEnd(before) => before.checked_sub(length).map(TimeSpec::FromEnd),
        TimeSpec::InSegment { sequence, offset } => Some(TimeSpec::InSegment {
            sequence,
            offset: offset.saturating_add(length),
        }),
    }
}

fn shift_earlier(to: TimeSpec, length: Duration) -> Option<TimeSpec> {
    match to {
        TimeSpec::At(instant) => earlier(instant, length).map(TimeSpec::At),
        TimeSpec::FromStart(after) => after.checked_sub(length).map(TimeSpec::FromStart),
        TimeSpec::FromEnd(before) => Some(TimeSpec::FromEnd(before.saturating_add(length))),
        TimeSpec::InSegment { sequence, offset } => {
            let offset = offset.checked_sub(length)?;
            Some(TimeSpec::InSegment { sequence, offset })
        }
    }
}

fn covered(playlist: &MediaPlaylist, absolute: bool) -> String {
    match playlist.date_range().filter(|_| absolute) {
        Some((first, last)) => format!("{} to {}", shown_instant(first), shown_instant(last)),
        None => format!("+0s to +{}", shown_duration(playlist.duration())),
    }
}
