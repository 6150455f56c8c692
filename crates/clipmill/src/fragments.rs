//! A clip that can be played while its segments arrive: fragmented MP4 (ISO/IEC 14496-12, 8.8), a fragment for
//! each segment.
//!
//! What is written cannot be taken back: so the tracks are those of the first segments, and how long the last
//! sample of a fragment lasts is taken from what came before it, until the next fragment says when it is decoded.

use std::mem::discriminant;
use std::sync::Arc;

use bytes::Bytes;
use clipmill_mp4::{FragmentOptions, Fragmenter, Movie, Span};

use crate::clip::Clip;
use crate::cut::{Bounds, Cut};
use crate::error::ClipError;
use crate::settle::Settler;
use crate::timeline::{Ticks, Timeline};

/// A clip that is written fragment by fragment, while its end is open. It gives bytes, and does not write itself.
#[derive(Debug)]
pub struct GrowingFragments {
    settler: Settler,
    fragmenter: Fragmenter,
    /// Number of the timeline's first segment: places on it count from there.
    front: u64,
    next: u64,
}

impl GrowingFragments {
    /// Begins a clip from `from` on; `None` while nothing of it has come. A track that begins later than the
    /// segments that are there now is left out.
    ///
    /// # Errors
    /// When what has come does not fit an MP4.
    pub fn begin(
        timeline: &Timeline,
        from: Ticks,
        cut: Cut,
        title: Option<&str>,
    ) -> Result<Option<Self>, ClipError> {
        let bounds = Bounds {
            from: Some(from),
            to: None,
        };
        let clip = Clip::new(timeline, bounds, cut).filter(|clip| clip.duration_ms > 0);
        let Some(clip) = clip else {
            return Ok(None);
        };
        let (Some(mut settler), Some(front)) = (
            Settler::new(timeline, bounds, cut),
            timeline.segments().front(),
        ) else {
            return Ok(None);
        };
        let mut movie = Movie {
            events: Vec::new(),
            ..Arc::unwrap_or_clone(clip.movie)
        };
        if let Some(title) = title {
            movie.title = Some(title.to_owned());
        }
        for (at, track) in movie.tracks.iter_mut().enumerate() {
            let coding = track.configs.first().map(|config| discriminant(&**config));
            let opened = clip.line_tracks.get(at).zip(coding);
            if let Some(edits) = opened.and_then(|(line, coding)| settler.number(*line, coding, at))
            {
                track.edits = edits;
            }
            track.samples = Vec::new();
            track.runs = Vec::new();
        }
        Ok(Some(Self {
            settler,
            fragmenter: Fragmenter::new(movie, FragmentOptions::default())?,
            front: front.number,
            next: clip.first_number,
        }))
    }

    /// `ftyp` and `moov`: what the file begins with.
    #[must_use]
    pub fn init(&self) -> Bytes {
        self.fragmenter.init()
    }

    /// Number on the timeline of the segment that comes next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Appends the fragment of the segment that comes next to `out`, if that has anything for the clip. `None` when
    /// the timeline is no longer the one that it began with.
    ///
    /// # Errors
    /// When `bytes` are not those of the segment, or it cannot be part of the file: its sound is coded in another way
    /// than what the file began with.
    pub fn append(
        &mut self,
        timeline: &Timeline,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<()>, ClipError> {
        let Some(placed) = timeline.unmoved(self.front, self.next) else {
            return Ok(None);
        };
        let fragment = self
            .settler
            .fragment(timeline, self.next, &mut self.fragmenter)?;
        self.next += 1;
        let Some(fragment) = fragment else {
            return Ok(Some(()));
        };
        for span in fragment.spans() {
            let media = match span {
                Span::Bytes(bytes) => {
                    out.extend_from_slice(bytes);
                    continue;
                }
                Span::Media(media) => media,
            };
            // Numbers that the settler has from this very index.
            let Some(track) = placed.index.tracks.get(media.track as usize) else {
                return Ok(None);
            };
            let samples = media.samples.start as usize..media.samples.end as usize;
            track
                .gather(bytes, samples, out)
                .map_err(|error| ClipError::Changed {
                    segment: placed.info.name(),
                    error,
                })?;
        }
        Ok(Some(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use clipmill_ts::{DemuxOptions, Demuxer};

    use super::*;
    use crate::testing::demo_segments;
    use crate::{ClipReader, Format, ReadSegment, SegmentReader};

    /// What a file holds from `from` of the demo stream on, written as its segments come.
    fn grown(from_segment: usize, cut: Cut, ahead: Ticks) -> (Vec<u8>, Timeline, Ticks) {
        let mut demuxer = Demuxer::new(DemuxOptions::default());
        let mut timeline = Timeline::new();
        let mut growing: Option<GrowingFragments> = None;
        let (mut out, mut from) = (Vec::new(), 0);
        for (at, (info, bytes)) in demo_segments().into_iter().enumerate() {
            timeline.push(info, Arc::new(demuxer.index(&bytes).unwrap()));
            if at < from_segment {
                continue;
            }
            if growing.is_none() {
                from = timeline.segments()[from_segment].first_presented.unwrap() + ahead;
                growing = GrowingFragments::begin(&timeline, from, cut, Some("Hall")).unwrap();
                out.extend(growing.iter().flat_map(GrowingFragments::init));
            }
            let Some(growing) = &mut growing else {
                continue;
            };
            while let Some(position) = timeline.position(growing.next()) {
                let bytes = &demo_segments()[position].1;
                growing.append(&timeline, bytes, &mut out).unwrap().unwrap();
            }
        }
        (out, timeline, from)
    }

    /// The samples of a fragmented file, track by track: when each is decoded and presented, and its content.
    fn samples(file: Vec<u8>) -> Vec<Vec<(i64, i64, Vec<u8>)>> {
        let read = ReadSegment {
            file: None,
            bytes: file.into(),
            key: None,
            init: None,
        };
        let mut reader = SegmentReader::new(None, &crate::Limits::default());
        let index = reader.index(&read).unwrap();
        let tracks = index.tracks.iter().map(|track| {
            let all = track.samples().iter().enumerate().map(|(at, sample)| {
                let mut bytes = Vec::new();
                track.gather(&read.bytes, at..at + 1, &mut bytes).unwrap();
                (sample.dts, sample.pts(), bytes)
            });
            all.collect()
        });
        tracks.collect()
    }

    #[test]
    fn what_is_written_while_it_comes_has_the_samples_of_the_clip() {
        for (from_segment, cut, ahead) in [
            (0, Cut::Keyframe, 0),
            (2, Cut::Keyframe, 0),
            (3, Cut::Exact, 45_000),
        ] {
            let (grown, timeline, from) = grown(from_segment, cut, ahead);
            let bounds = Bounds {
                from: Some(from),
                to: None,
            };
            let clip = Clip::new(&timeline, bounds, cut).unwrap();
            let layout = clip.layout(Format::Fmp4).unwrap();
            let mut whole = Vec::new();
            let source = crate::source::FileSource::default();
            let mut reader = ClipReader::new(layout, &source);
            reader.read_to_end(&mut whole).unwrap();
            let (grown, whole) = (samples(grown), samples(whole));
            assert_eq!(grown.len(), 2);
            assert!(grown[0].len() > 100, "{}", grown[0].len());
            assert!(grown == whole, "{from_segment} {cut:?}");
        }
    }

    #[test]
    fn nothing_is_begun_before_anything_has_come() {
        let timeline = Timeline::new();
        let begun = GrowingFragments::begin(&timeline, 0, Cut::Exact, None).unwrap();
        assert!(begun.is_none());
    }
}
