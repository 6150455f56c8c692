//! Media that no recorder has in mind any more, but that is still listed: of long event playlists,
//! and of streams that have ended.

use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use clipmill::{AnySource, Location, Ticks};
use clipmill_playlist::{MediaPlaylist, Segment};

use super::line::{Held, Line, Snapshot};
use super::session::{locate, ticks};
use crate::sources::session::FileMark;
use crate::spool::Label;

/// A stretch of a stream's own clock. An absent bound is the end on that side.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) from: Option<DateTime<Utc>>,
    pub(crate) to: Option<DateTime<Utc>>,
}

/// A playlist whose segments are all dated.
pub(crate) struct Dated {
    segments: Vec<Segment>,
}

impl Dated {
    /// `live_edge` is where the list ends, where it has no dates of its own; else it ends when it
    /// was last written.
    pub(crate) fn new(
        playlist: MediaPlaylist,
        modified: SystemTime,
        live_edge: Option<DateTime<Utc>>,
    ) -> Self {
        let has_dates = playlist.has_dates();
        let total = playlist.duration();
        let end = live_edge.unwrap_or_else(|| modified.into());
        let mut segments = playlist.segments;
        if !has_dates {
            for segment in &mut segments {
                let before_end = total.saturating_sub(segment.start);
                let before_end = TimeDelta::from_std(before_end).unwrap_or_default();
                segment.start_time = end.checked_sub_signed(before_end);
            }
        }
        Self { segments }
    }

    /// When the first segment begins.
    pub(crate) fn begin(&self) -> Option<DateTime<Utc>> {
        self.segments.iter().find_map(|segment| segment.start_time)
    }

    /// When the last segment ends.
    pub(crate) fn end(&self) -> Option<DateTime<Utc>> {
        self.segments.iter().rev().find_map(Segment::end_time)
    }

    /// Reads and indexes what a clip of this stretch needs: from a sync sample at or before its
    /// beginning to a segment after its end, which may hold sound of its last moments.
    pub(crate) fn read(&self, playlist: &Path, root: &Path, span: Span) -> Snapshot {
        let ends_after =
            |segment: &Segment, instant| segment.end_time().is_none_or(|end| end > instant);
        let begins_before =
            |segment: &Segment, instant| segment.start_time.is_none_or(|start| start < instant);
        let first = span.from.map_or(0, |from| {
            let found = self
                .segments
                .iter()
                .position(|segment| ends_after(segment, from));
            found.unwrap_or(self.segments.len())
        });
        let past = span.to.map_or(self.segments.len(), |to| {
            let found = self
                .segments
                .iter()
                .rposition(|segment| begins_before(segment, to));
            found.map_or(0, |last| last + 2).min(self.segments.len())
        });
        let mut back = 1;
        loop {
            let begin = first.saturating_sub(back);
            let line = self.read_from(playlist, root, begin, past);
            let timeline = line.timeline();
            let asked = span.from.and_then(|from| timeline.at_time(from));
            let decodes = asked.is_none_or(|asked| {
                timeline
                    .next_sync(Ticks::MIN)
                    .is_some_and(|sync| sync <= asked)
            });
            if decodes || begin == 0 {
                return line.snapshot();
            }
            back *= 2;
        }
    }

    fn read_from(&self, playlist: &Path, root: &Path, begin: usize, past: usize) -> Line {
        let mut line = Line::default();
        let source = AnySource::for_playlist(&Location::File(playlist.to_owned()), false);
        for segment in self
            .segments
            .get(begin..past.max(begin))
            .unwrap_or_default()
        {
            if let Err(reason) = read_one(&mut line, &source, playlist, root, segment) {
                tracing::warn!(segment = segment.uri, reason, "a segment cannot be read");
                line.miss(ticks(segment.duration));
            }
        }
        line
    }
}

fn read_one(
    line: &mut Line,
    source: &AnySource,
    playlist: &Path,
    root: &Path,
    segment: &Segment,
) -> Result<(), String> {
    if segment.gap {
        return Err("there is no media in it".to_owned());
    }
    let path = locate(playlist, segment, root).map_err(|error| error.to_string())?;
    let metadata = std::fs::metadata(&path).map_err(|error| error.to_string())?;
    let read = line.read(source, segment, playlist);
    let read = read.map_err(|error| error.to_string())?;
    let index = line.index(&read, segment.discontinuity);
    let index = index.map_err(|error| error.to_string())?;
    let label = Label {
        sequence: segment.sequence,
        duration: ticks(segment.duration),
        start_time: segment.start_time,
        discontinuity: false,
        missing_before: 0,
        init: None,
        changed: false,
    };
    let held = Held {
        original: Some(path),
        original_mark: FileMark::of(&metadata),
        mark: FileMark::of(&metadata),
        holding: None,
        byte_range: segment.byte_range,
        key: read.key,
    };
    line.push(&label, index, held);
    Ok(())
}
