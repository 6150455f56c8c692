//! A file that is written while its segments are read.
//!
//! What a segment gives to a clip is mostly known as soon as it is indexed: which samples, and in
//! which order they lie in the file. So its media is written then, from the bytes that are at hand,
//! behind room that is kept for the `moov`; another thread copies it while the next segment is
//! read. When all is read the clip is laid out as any other, and what was written early is held
//! against that layout: it is the beginning of it, or the file is made anew the ordinary way. So
//! nothing here needs to be right for a file to be right, only for it to be made quickly.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, ScopedJoinHandle};

use bytes::Bytes;
use clipmill_media::SegmentIndex;
use clipmill_mp4::{Layout, LayoutError, MediaSpan, Span};

use crate::clip::Clip;
use crate::error::ClipError;
use crate::render::{BLOCK, Format, Observer, PASSED_ON, Progress, Renderer};
use crate::request::{ClipRequest, Loader};
use crate::settle::Settler;
use crate::source::SegmentSource;
use crate::timeline::SegmentInfo;

/// Segments that are looked at before anything is written: a track may begin with the second.
const SEGMENTS_BEFORE_START: usize = 2;

/// Clips of no more segments are laid out whole: there is little to gain, and the room kept for the
/// `moov` would be felt.
const SHORT: usize = 4;

/// Segments before the one in which a window ends of which something may lie behind that end: frames
/// in another order, sound that was sent early.
const UNSETTLED: usize = 2;

/// How many bytes of segments are kept that cannot be written yet; others are read again.
const HELD_BYTES: usize = 8 << 20;

/// The media begins on a page, as the system copies by the page.
const ALIGNMENT: u64 = 4096;

/// Room besides, for what a `moov` has that no table is.
const SPARE: u64 = 64 << 10;

/// What a track takes in a `moov` besides its tables, at the least.
const TRACK_BYTES: u64 = 500;

/// A clip that was written.
#[derive(Debug)]
pub struct WrittenClip {
    /// What it holds. It has been used up: it cannot be laid out again.
    pub clip: Clip,
    /// Length of the file.
    pub bytes: u64,
}

/// Writes what the loader reads into an MP4 file at `path`, `moov` first, in one pass over the
/// segments where that is possible.
pub(crate) fn write(
    mut loader: Loader<'_>,
    source: &dyn SegmentSource,
    request: &ClipRequest,
    path: &Path,
    observer: Observer<'_>,
) -> Result<WrittenClip, ClipError> {
    // Sound in segments of its own ends elsewhere than the pictures.
    if loader.has_renditions() || !crate::output::is_replaced(path) {
        loader.read_all(observer)?;
        let clip = loader.clip()?;
        let layout = clip.layout(Format::Mp4)?;
        layout.write_to_path(source, path, observer)?;
        let bytes = layout.len();
        return Ok(WrittenClip { clip, bytes });
    }
    crate::output::replace(path, |file| {
        let pass = OnePass {
            source,
            request,
            path,
            file,
        };
        if let Some(written) = pass.run(&mut loader, observer)? {
            return Ok(written);
        }
        // Seldom: a track that begins late and lies before all others, or a `moov` much larger
        // than the first segments promised.
        file.set_len(0).map_err(|error| pass_failed(path, error))?;
        file.rewind().map_err(|error| pass_failed(path, error))?;
        loader.restart();
        loader.read_all(observer)?;
        let clip = loader.clip()?;
        let layout = clip.layout(Format::Mp4)?;
        layout.write(source, path, file, observer)?;
        let bytes = layout.len();
        Ok(WrittenClip { clip, bytes })
    })
}

fn pass_failed(path: &Path, error: io::Error) -> ClipError {
    ClipError::Write {
        path: path.to_owned(),
        error,
    }
}

struct OnePass<'a> {
    source: &'a dyn SegmentSource,
    request: &'a ClipRequest,
    path: &'a Path,
    file: &'a File,
}

/// What has been written before the clip is known.
struct Early {
    /// Where in the file it begins.
    media_at: u64,
    /// In the order of the file.
    spans: Vec<MediaSpan>,
    /// Number on the timeline of the first segment of which nothing was written.
    next: u64,
}

impl OnePass<'_> {
    /// Reads and writes; `None` when what was written is not what the clip begins with.
    fn run(
        &self,
        loader: &mut Loader<'_>,
        observer: Observer<'_>,
    ) -> Result<Option<WrittenClip>, ClipError> {
        let mut waiting = Waiting::default();
        let early = self.read(loader, &mut waiting, observer)?;
        if loader.is_unsure() {
            return Ok(None);
        }
        let mut clip = loader.clip()?;
        let Some(early) = early else {
            let layout = clip.layout(Format::Mp4)?;
            let mut renderer = Renderer::new(clip.segments(), self.source);
            waiting.give_to(&mut renderer, clip.first_number);
            layout.write_with(&mut renderer, self.path, &mut &*self.file, observer)?;
            let bytes = layout.len();
            return Ok(Some(WrittenClip { clip, bytes }));
        };
        let movie = std::mem::take(&mut clip.movie);
        let layout = match Layout::progressive_behind(movie, early.media_at) {
            Err(LayoutError::NoRoom { .. }) => return Ok(None),
            layout => layout?,
        };
        let mut spans = layout.spans(early.media_at..layout.len()).peekable();
        for early in &early.spans {
            if !matches!(spans.next(), Some(Span::Media(span)) if span == *early) {
                return Ok(None);
            }
        }
        if let Some(Span::Media(span)) = spans.peek()
            && clip.first_number + u64::from(span.segment) < early.next
        {
            return Ok(None);
        }
        let mut renderer = Renderer::new(clip.segments(), self.source);
        waiting.give_to(&mut renderer, clip.first_number);
        self.write_spans(&mut renderer, spans)?;
        (&mut &*self.file).rewind().map_err(|e| self.failed(e))?;
        self.write_spans(&mut renderer, layout.spans(0..early.media_at))?;
        drop(renderer);
        let bytes = layout.len();
        let _ = observer(Progress::Writing {
            done: bytes,
            total: bytes,
        });
        Ok(Some(WrittenClip { clip, bytes }))
    }

    fn write_spans<'s>(
        &self,
        renderer: &mut Renderer<'_>,
        spans: impl Iterator<Item = Span<'s>>,
    ) -> Result<(), ClipError> {
        let mut file = self.file;
        let mut block = Vec::new();
        for span in spans {
            if let Some(piece) = renderer.piece(&span)? {
                let written = file.write_all(&block).and_then(|()| file.write_all(&piece));
                written.map_err(|error| self.failed(error))?;
                block.clear();
                continue;
            }
            match span {
                // The `moov` is large, and need not be copied.
                Span::Bytes(bytes) if block.is_empty() => file.write_all(bytes),
                span => {
                    renderer.render(&span, &mut block)?;
                    if block.len() < BLOCK {
                        continue;
                    }
                    let written = file.write_all(&block);
                    block.clear();
                    written
                }
            }
            .map_err(|error| self.failed(error))?;
        }
        file.write_all(&block).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> ClipError {
        pass_failed(self.path, error)
    }

    /// Reads all segments, and writes the media of those that are settled on the way.
    fn read(
        &self,
        loader: &mut Loader<'_>,
        waiting: &mut Waiting,
        observer: Observer<'_>,
    ) -> Result<Option<Early>, ClipError> {
        thread::scope(|scope| {
            let mut begun: Option<Begun<'_>> = None;
            while let Some((done, total)) = loader.advance()? {
                if observer(Progress::Indexing { done, total }) == ControlFlow::Break(()) {
                    return Err(ClipError::Cancelled);
                }
                let Some((number, bytes)) = loader.last_pushed() else {
                    continue;
                };
                waiting.push(number, loader.is_settled(UNSETTLED), bytes);
                if begun.is_none() && total > SHORT {
                    begun = self.begin(loader)?.map(|(media_at, settler)| {
                        let (send, receive) = sync_channel(1);
                        let (file, path) = (self.file, self.path);
                        Begun {
                            early: Early {
                                media_at,
                                spans: Vec::new(),
                                next: 0,
                            },
                            settler,
                            send,
                            writer: scope.spawn(move || copy(file, path, media_at, &receive)),
                        }
                    });
                }
                if let Some(begun) = &mut begun
                    && !self.settle(loader, waiting, begun)?
                {
                    break;
                }
            }
            let Some(begun) = begun else { return Ok(None) };
            drop(begun.send);
            match begun.writer.join() {
                Ok(copied) => copied.map(|()| Some(begun.early)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Where the media can begin, once that can be said.
    fn begin(&self, loader: &Loader<'_>) -> Result<Option<(u64, Settler)>, ClipError> {
        let timeline = loader.timeline();
        if timeline.segments().len() < SEGMENTS_BEFORE_START || !loader.covers_start() {
            return Ok(None);
        }
        let (bounds, cut) = (loader.bounds_without_end(), self.request.cut);
        let clip = Clip::new(timeline, bounds, cut).filter(|clip| clip.duration_ms > 0);
        let settler = Settler::new(timeline, bounds, cut);
        let (Some(clip), Some(settler)) = (clip, settler) else {
            return Ok(None);
        };
        let tracks = clip.tracks.len() as u64;
        let layout = Layout::progressive(clip.movie)?;
        let head = match layout.spans(0..layout.len()).next() {
            Some(Span::Bytes(bytes)) => bytes.len() as u64,
            _ => 0,
        };
        // By what the first segments need, and a quarter more.
        let tables = head.saturating_sub(tracks * TRACK_BYTES) as f64;
        let all = tables * loader.growth(clip.duration_ms) * 1.25;
        let room = head + all as u64 + SPARE;
        let media_at = room.next_multiple_of(ALIGNMENT);
        Ok(Some((media_at, settler)))
    }

    /// Hands over what is settled; whether there is still somebody who takes it.
    fn settle(
        &self,
        loader: &mut Loader<'_>,
        waiting: &mut Waiting,
        begun: &mut Begun<'_>,
    ) -> Result<bool, ClipError> {
        while let Some((number, bytes)) = waiting.take_settled() {
            let timeline = loader.timeline_mut();
            let spans = begun.settler.settle(timeline, number)?;
            begun.early.next = number + 1;
            if spans.is_empty() {
                continue;
            }
            begun.early.spans.extend_from_slice(&spans);
            let Some(placed) = timeline.forget_places(number) else {
                continue;
            };
            let bytes = match bytes {
                Some(bytes) => bytes,
                None => placed.0.read(self.source)?,
            };
            let (info, index) = placed;
            let job = Job {
                info,
                index,
                bytes,
                spans,
            };
            if begun.send.send(job).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A file whose media is being written.
struct Begun<'scope> {
    early: Early,
    settler: Settler,
    send: SyncSender<Job>,
    writer: ScopedJoinHandle<'scope, Result<(), ClipError>>,
}

/// The media of one segment.
struct Job {
    info: SegmentInfo,
    index: Arc<SegmentIndex>,
    bytes: Bytes,
    spans: Vec<MediaSpan>,
}

/// Copies media into the file from `media_at` on, in pieces that end on multiples of a block: so the
/// system holds it in large pieces of memory, and comes back to none of them.
fn copy(
    mut file: &File,
    path: &Path,
    media_at: u64,
    jobs: &Receiver<Job>,
) -> Result<(), ClipError> {
    let failed = |error| pass_failed(path, error);
    file.seek(SeekFrom::Start(media_at)).map_err(failed)?;
    let mut block = Vec::with_capacity(2 * BLOCK);
    // Where it begins, from the last multiple of a block on.
    let mut at = (media_at % BLOCK as u64) as usize;
    for job in jobs {
        for span in &job.spans {
            // Numbers that the settler has from this very index.
            let Some(track) = job.index.tracks.get(span.track as usize) else {
                continue;
            };
            let samples = span.samples.start as usize..span.samples.end as usize;
            let place = track.contiguous(samples.clone());
            if let Some(piece) = place.and_then(|place| job.bytes.get(place))
                && piece.len() >= PASSED_ON
            {
                file.write_all(&block).map_err(failed)?;
                file.write_all(piece).map_err(failed)?;
                at = (at + block.len() + piece.len()) % BLOCK;
                block.clear();
                continue;
            }
            track
                .gather(&job.bytes, samples, &mut block)
                .map_err(|error| ClipError::Changed {
                    segment: job.info.name(),
                    error,
                })?;
            let beyond = (at + block.len()) % BLOCK;
            let Some(whole @ 1..) = block.len().checked_sub(beyond) else {
                continue;
            };
            file.write_all(&block[..whole]).map_err(failed)?;
            at = 0;
            block.copy_within(whole.., 0);
            block.truncate(beyond);
        }
    }
    file.write_all(&block).map_err(failed)
}

/// Segments that have been read and not written.
#[derive(Default)]
struct Waiting {
    /// Number on the timeline, whether it is settled, and the bytes if they are kept.
    segments: Vec<(u64, bool, Option<Bytes>)>,
    kept: usize,
}

impl Waiting {
    fn push(&mut self, number: u64, settled: bool, bytes: Bytes) {
        // When reading began anew, further back, so did the numbers.
        if self.segments.last().is_some_and(|last| last.0 >= number) {
            *self = Self::default();
        }
        let room = self.kept + bytes.len() <= HELD_BYTES || self.segments.is_empty();
        let bytes = room.then_some(bytes);
        self.kept += bytes.as_ref().map_or(0, Bytes::len);
        self.segments.push((number, settled, bytes));
    }

    /// The oldest segment, if it is settled.
    fn take_settled(&mut self) -> Option<(u64, Option<Bytes>)> {
        let settled = self.segments.first().is_some_and(|first| first.1);
        let (number, _, bytes) = settled.then(|| self.segments.remove(0))?;
        self.kept -= bytes.as_ref().map_or(0, Bytes::len);
        Some((number, bytes))
    }

    /// Spares a renderer reading them again; to it the segment `first` is number 0.
    fn give_to(self, renderer: &mut Renderer<'_>, first: u64) {
        for (number, _, bytes) in self.segments {
            let number = number.checked_sub(first).map(usize::try_from);
            if let (Some(Ok(number)), Some(bytes)) = (number, bytes) {
                renderer.hold(number, bytes);
            }
        }
    }
}
