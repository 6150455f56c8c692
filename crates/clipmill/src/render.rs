//! A clip as bytes: the whole of it, or any range.

use std::io::{self, Write};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clipmill_mp4::{FragmentOptions, Layout, MediaSpan, Span, restart_coding};

use crate::clip::{Clip, ClipSegment};
use crate::error::ClipError;
use crate::source::SegmentSource;

/// How much is gathered before it is written.
pub(crate) const BLOCK: usize = 256 << 10;

/// What lies in a segment in one piece of so many bytes or more is passed on as it lies there; less is
/// sooner copied than sent by itself.
pub(crate) const PASSED_ON: usize = 16 << 10;

/// The form of an MP4 file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One `moov` before the media.
    #[default]
    Mp4,
    /// Movie fragments, as CMAF has them.
    Fmp4,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A live playlist is to list more of the window.
    Waiting {
        /// How much of the window is listed.
        listed: Duration,
        /// How long the window is.
        window: Duration,
    },
    /// Segments are read and indexed.
    Indexing {
        /// Segments done.
        done: usize,
        /// Segments in all, as far as known.
        total: usize,
    },
    /// The clip is written.
    Writing {
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
}

/// Is told how far a job has come, and says whether it shall go on.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// An MP4 file of which every byte is known and none is written yet.
#[derive(Debug, Clone)]
pub struct ClipLayout {
    layout: Layout,
    segments: Vec<ClipSegment>,
}

impl Clip {
    /// Lays the clip out.
    ///
    /// # Errors
    /// When its samples do not fit an MP4.
    pub fn layout(&self, format: Format) -> Result<ClipLayout, ClipError> {
        let movie = Arc::clone(&self.movie);
        let layout = match format {
            Format::Mp4 => Layout::progressive(movie)?,
            Format::Fmp4 => Layout::fragmented(movie, FragmentOptions::default())?,
        };
        Ok(ClipLayout::new(layout, self))
    }
}

impl ClipLayout {
    pub(crate) fn new(layout: Layout, clip: &Clip) -> Self {
        Self {
            layout,
            segments: clip.segments.clone(),
        }
    }

    /// Length of the file in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an MP4 is never empty")]
    pub fn len(&self) -> u64 {
        self.layout.len()
    }

    pub(crate) fn segments(&self) -> &[ClipSegment] {
        &self.segments
    }

    pub(crate) fn spans(&self, range: Range<u64>) -> impl Iterator<Item = Span<'_>> {
        self.layout.spans(range)
    }

    /// What comes before the media: it says how large each sample is, when it is due, and where it
    /// lies.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        match self.layout.spans(0..self.len()).next() {
            Some(Span::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }

    /// Writes the whole file.
    ///
    /// # Errors
    /// When a segment can no longer be read, or `out` does not take the bytes (reported as a failure
    /// to write `name`).
    pub fn write_to(
        &self,
        source: &dyn SegmentSource,
        name: &Path,
        out: &mut dyn Write,
    ) -> Result<(), ClipError> {
        self.write(source, name, out, &mut |_| ControlFlow::Continue(()))
    }

    /// The same, observed.
    pub(crate) fn write(
        &self,
        source: &dyn SegmentSource,
        name: &Path,
        out: &mut dyn Write,
        observer: Observer<'_>,
    ) -> Result<(), ClipError> {
        let mut renderer = Renderer::new(&self.segments, source);
        self.write_with(&mut renderer, name, out, observer)
    }

    /// The same, with a renderer of the same clip.
    pub(crate) fn write_with(
        &self,
        renderer: &mut Renderer<'_>,
        name: &Path,
        out: &mut dyn Write,
        observer: Observer<'_>,
    ) -> Result<(), ClipError> {
        let total = self.len();
        let mut block = Vec::with_capacity(BLOCK);
        let mut done = 0;
        let failed = |error: io::Error| ClipError::Write {
            path: name.to_owned(),
            error,
        };
        for span in self.layout.spans(0..total) {
            let piece = renderer.piece(&span)?;
            if let Some(piece) = &piece {
                out.write_all(&block).map_err(failed)?;
                out.write_all(piece).map_err(failed)?;
                done += piece.len() as u64;
            } else {
                renderer.render(&span, &mut block)?;
                if block.len() < BLOCK {
                    continue;
                }
                out.write_all(&block).map_err(failed)?;
            }
            done += block.len() as u64;
            block.clear();
            if observer(Progress::Writing { done, total }).is_break() {
                return Err(ClipError::Cancelled);
            }
        }
        out.write_all(&block).map_err(failed)?;
        out.flush().map_err(failed)?;
        let _ = observer(Progress::Writing { done: total, total });
        Ok(())
    }

    /// Writes the file at `path`: whole or not at all, as it is written under another name beside
    /// it first. Nothing is synced to the disk.
    pub(crate) fn write_to_path(
        &self,
        source: &dyn SegmentSource,
        path: &Path,
        observer: Observer<'_>,
    ) -> Result<(), ClipError> {
        crate::output::replace(path, |file| self.write(source, path, file, observer))
    }
}

/// Copies samples out of their segments, of which it keeps the last one used.
pub(crate) struct Renderer<'a> {
    segments: &'a [ClipSegment],
    source: &'a dyn SegmentSource,
    last: Option<(usize, Bytes)>,
    /// Segments that need not be read.
    held: Vec<(usize, Bytes)>,
    /// Holds samples of which only a part is wanted.
    scratch: Vec<u8>,
}

impl<'a> Renderer<'a> {
    pub(crate) fn new(segments: &'a [ClipSegment], source: &'a dyn SegmentSource) -> Self {
        Self {
            segments,
            source,
            last: None,
            held: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// One that goes on with the segment that another one read last.
    pub(crate) fn resumed(
        segments: &'a [ClipSegment],
        source: &'a dyn SegmentSource,
        last: Option<(usize, Bytes)>,
    ) -> Self {
        Self {
            last,
            ..Self::new(segments, source)
        }
    }

    /// The segment that it read last.
    pub(crate) fn into_last(self) -> Option<(usize, Bytes)> {
        self.last
    }

    /// Spares it reading a segment.
    pub(crate) fn hold(&mut self, number: usize, bytes: Bytes) {
        self.held.push((number, bytes));
    }

    /// The bytes of a span as they lie in memory, if they lie there in one piece that is worth it.
    pub(crate) fn piece(&mut self, span: &Span<'_>) -> Result<Option<Bytes>, ClipError> {
        let Span::Media(span) = span else {
            return Ok(None);
        };
        if span.len < PASSED_ON as u64 || span.restart {
            return Ok(None);
        }
        let number = span.segment as usize;
        let track = &self.segments[number].index.tracks[span.track as usize];
        let samples = span.samples.start as usize..span.samples.end as usize;
        let Some(place) = track.contiguous(samples) else {
            return Ok(None);
        };
        let bytes = self.bytes(number)?;
        let part = usize::try_from(span.skip).ok().and_then(|skip| {
            let from = place.start.checked_add(skip)?;
            let to = from.checked_add(usize::try_from(span.len).ok()?)?;
            (to <= place.end.min(bytes.len())).then(|| bytes.slice(from..to))
        });
        Ok(part)
    }

    /// Appends a span to `out`.
    pub(crate) fn render(&mut self, span: &Span<'_>, out: &mut Vec<u8>) -> Result<(), ClipError> {
        match span {
            Span::Bytes(bytes) => out.extend_from_slice(bytes),
            Span::Media(media) => self.gather(media, out)?,
        }
        Ok(())
    }

    fn gather(&mut self, span: &MediaSpan, out: &mut Vec<u8>) -> Result<(), ClipError> {
        let number = span.segment as usize;
        let segment = &self.segments[number];
        let bytes = self.bytes(number)?;
        let track = &segment.index.tracks[span.track as usize];
        let samples = span.samples.start as usize..span.samples.end as usize;
        let changed = |error| ClipError::Changed {
            segment: segment.info.name(),
            error,
        };
        let whole = track.gathered_len(samples.clone());
        if span.skip == 0 && span.len == whole && !span.restart {
            return track.gather(&bytes, samples, out).map_err(changed);
        }
        self.scratch.clear();
        let gathered = track.gather(&bytes, samples, &mut self.scratch);
        gathered.map_err(changed)?;
        if span.restart {
            restart_coding(&mut self.scratch);
        }
        let from = usize::try_from(span.skip).unwrap_or(usize::MAX);
        let len = usize::try_from(span.len).unwrap_or(usize::MAX);
        let part = self.scratch.get(from..from.saturating_add(len));
        out.extend_from_slice(part.unwrap_or_default());
        Ok(())
    }

    fn bytes(&mut self, number: usize) -> Result<Bytes, ClipError> {
        if let Some((last, bytes)) = &self.last
            && *last == number
        {
            return Ok(bytes.clone());
        }
        // Dropped first, so that no two segments are read at once.
        self.last = None;
        let bytes = match self.held.iter().position(|(held, _)| *held == number) {
            Some(at) => self.held.swap_remove(at).1,
            None => self.segments[number].info.read(self.source)?,
        };
        self.last = Some((number, bytes.clone()));
        Ok(bytes)
    }
}
