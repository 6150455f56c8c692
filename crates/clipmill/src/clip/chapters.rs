//! Chapters of a clip, and where in it an instant lies.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clipmill_mp4::Chapter;

use super::Clip;
use crate::timeline::{DatedSegment, Ticks, Timeline, duration_ticks, place};

/// Instants are told to the millisecond: one that is earlier than a clip by half of that is its first.
const ROUNDED: Ticks = 45;

impl Clip {
    /// Its chapters, in the order in which they were added.
    #[must_use]
    pub fn chapters(&self) -> &[Chapter] {
        &self.movie.chapters
    }

    /// Adds a chapter that begins `at` in the clip and lasts until the next one. One that begins when the
    /// clip is over is left out of the file; of several at one instant, the one added last is in it.
    ///
    /// Progressive files have chapters in both forms that players look for; fragmented ones have Nero's
    /// alone, which Safari and QuickTime do not show, and of it the first 255.
    pub fn add_chapter(&mut self, at: Duration, title: impl Into<String>) {
        self.put_chapter(duration_ticks(at), title.into());
    }

    /// The same, by the instant at which it begins; whether the clip holds that instant.
    pub fn add_chapter_at(&mut self, instant: DateTime<Utc>, title: impl Into<String>) -> bool {
        let Some(at) = self.ticks_of(instant) else {
            return false;
        };
        self.put_chapter(at, title.into());
        true
    }

    /// How far behind its first frame an instant lies. An instant in a pause that was joined is where
    /// the media goes on. `None` where the playlist does not date the clip, and for instants that the
    /// clip does not hold.
    #[must_use]
    pub fn position_of(&self, instant: DateTime<Utc>) -> Option<Duration> {
        let ticks = u64::try_from(self.ticks_of(instant)?).ok()?;
        Some(Duration::from_nanos(
            ticks.saturating_mul(100_000).div_ceil(9),
        ))
    }

    fn ticks_of(&self, instant: DateTime<Utc>) -> Option<Ticks> {
        self.dates.iter().find_map(|part| part.place(instant))
    }

    pub(super) fn put_chapter(&mut self, at: Ticks, title: String) {
        let at = at.max(0).unsigned_abs();
        let chapters = &mut Arc::make_mut(&mut self.movie).chapters;
        chapters.push(Chapter { at, title });
    }
}

/// What dates a clip, or one of those that were joined to make it.
#[derive(Debug, Clone)]
pub(super) struct DatedPart {
    /// Where it begins in the clip.
    at: Ticks,
    /// How long it is presented.
    length: Ticks,
    /// Segments, counted from where it begins.
    segments: Vec<DatedSegment>,
}

impl DatedPart {
    /// The same, so much further back in a clip.
    pub(super) fn later(&self, by: Ticks) -> Self {
        Self {
            at: self.at + by,
            ..self.clone()
        }
    }

    /// Where in the clip an instant is that this part of it holds.
    fn place(&self, instant: DateTime<Utc>) -> Option<Ticks> {
        let at = place(self.segments.iter().copied(), instant)?;
        let at = if at < 0 { at + ROUNDED } else { at };
        (0..self.length).contains(&at).then_some(self.at + at)
    }
}

/// What dates a clip that has these segments and presents `shown` of the line.
pub(super) fn dates(
    timeline: &Timeline,
    used: &RangeInclusive<usize>,
    shown: Range<Ticks>,
) -> Vec<DatedPart> {
    let segments = timeline.segments().range(used.clone());
    let segments = segments.filter_map(DatedSegment::of);
    let segments = segments.map(|dated| DatedSegment {
        ticks: dated.ticks - shown.start,
        ..dated
    });
    vec![DatedPart {
        at: 0,
        length: shown.end - shown.start,
        segments: segments.collect(),
    }]
}
