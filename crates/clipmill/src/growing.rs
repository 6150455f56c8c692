//! A clip that grows while its segments arrive.
//!
//! What a segment gives to a clip is mostly known long before the clip's end is: so its media can be
//! put into the file at once, behind room that is kept for the `moov`. When the clip is complete it
//! is laid out as any other, and what is in the file is held against that layout: it is the beginning
//! of it, or the file is of no use. So nothing here needs to be right for a file to be right.

use std::ops::Range;

use clipmill_mp4::{Layout, LayoutError, MediaSpan, Span};

use crate::clip::Clip;
use crate::cut::{Bounds, Cut};
use crate::error::ClipError;
use crate::render::ClipLayout;
use crate::settle::Settler;
use crate::timeline::{Ticks, Timeline};

/// Segments that are looked at before anything is written: a track may begin with the second.
const SEGMENTS_BEFORE_START: usize = 2;

/// The media begins on a page, as the system copies by the page.
const ALIGNMENT: u64 = 4096;

/// Room for a `moov` that is larger than this must be small beside the media.
const SMALL_ROOM: u64 = 64 << 10;

/// What a track takes in a `moov` besides its tables, at the least.
const TRACK_BYTES: u64 = 500;

/// A clip of which the media is written before its end is known. It says what to write where, and does
/// not write itself.
#[derive(Debug)]
pub struct GrowingClip {
    settler: Settler,
    media_at: u64,
    /// Bytes of media so far.
    len: u64,
    /// In the order of the file.
    spans: Vec<MediaSpan>,
    /// Number of the timeline's first segment: places on it count from there.
    front: u64,
    next: u64,
}

impl GrowingClip {
    /// Begins a clip from `from` on, which will be about `expected` long: `None` while too little has
    /// come for that.
    ///
    /// # Errors
    /// When what has come does not fit an MP4.
    pub fn begin(
        timeline: &Timeline,
        from: Ticks,
        cut: Cut,
        expected: Ticks,
    ) -> Result<Option<Self>, ClipError> {
        let bounds = Bounds {
            from: Some(from),
            to: None,
        };
        let Some(clip) = Clip::new(timeline, bounds, cut) else {
            return Ok(None);
        };
        if clip.segments.len() < SEGMENTS_BEFORE_START || clip.duration_ms == 0 {
            return Ok(None);
        }
        let (Some(settler), Some(front)) = (
            Settler::new(timeline, bounds, cut),
            timeline.segments().front(),
        ) else {
            return Ok(None);
        };
        let (tracks, next) = (clip.tracks.len() as u64, clip.first_number);
        let growth = expected as f64 / 90.0 / clip.duration_ms as f64;
        let layout = Layout::progressive(clip.movie)?;
        let head = match layout.spans(0..layout.len()).next() {
            Some(Span::Bytes(bytes)) => bytes.len() as u64,
            _ => 0,
        };
        // By what the first segments need, and a quarter more.
        let tables = head.saturating_sub(tracks * TRACK_BYTES) as f64;
        let room = head + (tables * growth.max(1.0) * 1.25) as u64 + 4 * ALIGNMENT;
        Ok(Some(Self {
            settler,
            media_at: room.next_multiple_of(ALIGNMENT),
            len: 0,
            spans: Vec::new(),
            front: front.number,
            next,
        }))
    }

    /// Number on the timeline of the segment that comes next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Where in the file its media goes.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.media_at + self.len
    }

    /// Appends the media of the segment that comes next to `out`; all of it must belong to the clip.
    /// `None` when the timeline is no longer the one that it began with.
    ///
    /// # Errors
    /// When `bytes` are not those of the segment.
    pub fn append(
        &mut self,
        timeline: &Timeline,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<()>, ClipError> {
        let Some(placed) = timeline.unmoved(self.front, self.next) else {
            return Ok(None);
        };
        let before = out.len();
        for span in self.settler.settle(timeline, self.next)? {
            // Numbers that the settler has from this very index.
            let Some(track) = placed.index.tracks.get(span.track as usize) else {
                return Ok(None);
            };
            let samples = span.samples.start as usize..span.samples.end as usize;
            track
                .gather(bytes, samples, out)
                .map_err(|error| ClipError::Changed {
                    segment: placed.info.name(),
                    error,
                })?;
            self.spans.push(span);
        }
        self.len += (out.len() - before) as u64;
        self.next += 1;
        Ok(Some(()))
    }

    /// Lays out the clip that it has become, and says which bytes of the file are written already.
    /// `None` when they are not those of the clip: then it is to be written as any other.
    ///
    /// # Errors
    /// When the clip does not fit an MP4.
    pub fn finish(self, clip: &Clip) -> Result<Option<(ClipLayout, Range<u64>)>, ClipError> {
        // It has ended long before it was expected to: the room that was kept would be felt.
        let media: u64 = clip.tracks.iter().map(|track| track.bytes).sum();
        if self.media_at > SMALL_ROOM && self.media_at > media / 8 {
            return Ok(None);
        }
        let layout = match Layout::progressive_behind(clip.movie.clone(), self.media_at) {
            Err(LayoutError::NoRoom { .. }) => return Ok(None),
            layout => layout?,
        };
        let written = self.media_at..self.end();
        let mut spans = layout.spans(self.media_at..layout.len());
        let same = self
            .spans
            .iter()
            .all(|early| matches!(spans.next(), Some(Span::Media(span)) if span == *early));
        drop(spans);
        let layout = ClipLayout::new(layout, clip);
        Ok(same.then_some((layout, written)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clipmill_ts::{DemuxOptions, Demuxer};

    use std::io::Read;

    use super::*;
    use crate::ClipReader;
    use crate::render::Format;
    use crate::source::FileSource;
    use crate::testing::demo_segments;

    /// Grows a clip up to `last`, and ends it at the first sync sample from `to` on.
    fn grow(changed: Option<u64>, last: u64, to: Option<Ticks>) -> Option<()> {
        let mut demuxer = Demuxer::new(DemuxOptions::default());
        let mut timeline = Timeline::new();
        let mut growing: Option<GrowingClip> = None;
        let (mut early, mut from) = (Vec::new(), 0);
        for (mut info, bytes) in demo_segments() {
            if Some(info.sequence) == changed {
                info.discontinuity = true;
                demuxer.discontinuity();
            }
            let number = info.sequence;
            timeline.push(info, Arc::new(demuxer.index(&bytes).unwrap()));
            from = timeline.next_sync(Ticks::MIN)?;
            if growing.is_none() {
                growing = GrowingClip::begin(&timeline, from, Cut::Keyframe, 1_800_000).unwrap();
            }
            let Some(growing) = &mut growing else {
                continue;
            };
            while growing.next() <= number.min(last) {
                let bytes = &demo_segments()[growing.next() as usize].1;
                growing.append(&timeline, bytes, &mut early).unwrap()?;
            }
        }
        let growing = growing?;
        assert_eq!(growing.end() - growing.media_at, early.len() as u64);
        let bounds = Bounds {
            from: Some(from),
            to: to.map(|after| from + after),
        };
        let clip = Clip::new(&timeline, bounds, Cut::Keyframe).unwrap();
        let source = FileSource::default();
        let read = |layout: &ClipLayout, range| {
            let mut bytes = Vec::new();
            let mut reader = ClipReader::new(layout.clone(), &source).within(range);
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        };
        let (layout, written) = growing.finish(&clip).unwrap()?;
        assert_eq!(read(&layout, written.clone()), early);
        let whole = clip.layout(Format::Mp4).unwrap();
        let media = read(&whole, whole.head().len() as u64..whole.len());
        let ahead = read(&layout, written.start..layout.len());
        assert_eq!(ahead, media);
        Some(())
    }

    #[test]
    fn what_is_written_early_is_what_the_clip_begins_with() {
        assert_eq!(grow(None, 9, None), Some(()));
        assert_eq!(grow(None, 6, Some(1_350_000)), Some(()));
        assert_eq!(grow(Some(4), 9, None), Some(()));
        assert_eq!(grow(Some(1), 7, None), Some(()));
    }

    #[test]
    fn a_clip_that_ends_earlier_than_was_written_is_refused() {
        assert_eq!(grow(None, 9, Some(450_000)), None);
    }

    #[test]
    fn a_line_that_was_cut_short_is_another_one() {
        let mut demuxer = Demuxer::new(DemuxOptions::default());
        let mut timeline = Timeline::new();
        for (info, bytes) in demo_segments() {
            timeline.push(info, Arc::new(demuxer.index(&bytes).unwrap()));
        }
        let from = timeline.segments()[3].first_presented.unwrap();
        let growing = GrowingClip::begin(&timeline, from, Cut::Keyframe, 900_000).unwrap();
        let mut growing = growing.unwrap();
        timeline.forget_before(2);
        let bytes = &demo_segments()[3].1;
        let appended = growing.append(&timeline, bytes, &mut Vec::new());
        assert_eq!(appended.unwrap(), None);
    }
}
