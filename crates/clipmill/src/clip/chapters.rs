//! Chapters of a clip, and where in it an instant lies.

use std::ops::RangeInclusive;
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
        let at = place(self.dates.iter().copied(), instant)?;
        let at = if at < 0 { at + ROUNDED } else { at };
        (0..self.end - self.start).contains(&at).then_some(at)
    }

    pub(super) fn put_chapter(&mut self, at: Ticks, title: String) {
        let at = at.max(0).unsigned_abs();
        let chapters = &mut Arc::make_mut(&mut self.movie).chapters;
        chapters.push(Chapter { at, title });
    }
}

/// What dates a clip that has these segments and begins at `start` of the line.
pub(super) fn dates(
    timeline: &Timeline,
    used: &RangeInclusive<usize>,
    start: Ticks,
) -> Vec<DatedSegment> {
    let segments = timeline.segments().range(used.clone());
    segments
        .filter_map(DatedSegment::of)
        .map(|dated| DatedSegment {
            ticks: dated.ticks - start,
            ..dated
        })
        .collect()
}
