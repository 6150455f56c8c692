//! What clips are cut from, with the source that reads it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use clipmill_playlist::{ByteRange, Location};

use crate::clip::{Clip, MontagePart};
use crate::clip_reader::ClipReader;
use crate::error::ClipError;
use crate::mismatch::MontageError;
use crate::onepass::{self, WrittenClip};
use crate::probe::Probe;
use crate::render::{Format, Progress};
use crate::request::{ClipRequest, Loader};
use crate::source::{AnySource, SegmentSource, SourceError};
use crate::stream;
use crate::variants::VariantClip;

type Observer<'p> = RefCell<Box<dyn FnMut(Progress) -> ControlFlow<()> + Send + 'p>>;

trait Observe {
    fn observe(&self, progress: Progress) -> ControlFlow<()>;
}

impl Observe for Observer<'_> {
    fn observe(&self, progress: Progress) -> ControlFlow<()> {
        match self.try_borrow_mut() {
            Ok(mut observer) => observer(progress),
            // An observer that starts a job of its own on the same input is not told of that.
            Err(_) => ControlFlow::Continue(()),
        }
    }
}

/// A playlist, or files that follow one another, and the source that they are read from: what clips are
/// cut from.
///
/// The last thirty seconds of a stream, frame-accurate, in a file:
///
/// ```no_run
/// use std::time::Duration;
/// use clipmill::{ClipRequest, Input};
///
/// let input = Input::playlist("live/index.m3u8");
/// let clip = input.clip(&ClipRequest::last(Duration::from_secs(30)))?;
/// clip.write_to_path("clip.mp4")?;
/// # Ok::<(), clipmill::ClipError>(())
/// ```
pub struct Input<'p, S = AnySource> {
    source: S,
    media: Media,
    observer: Observer<'p>,
}

/// What is read.
#[derive(Debug)]
enum Media {
    Playlist(Location),
    Files(Vec<Location>),
}

impl<S> fmt::Debug for Input<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Input").field(&self.media).finish()
    }
}

impl Input<'_> {
    /// The media or multivariant playlist at a path or URL. Of files, it may name those of its own
    /// folder and below, also after links are followed.
    pub fn playlist(playlist: impl Into<Location>) -> Self {
        let playlist = playlist.into();
        let source = AnySource::for_playlist(&playlist, false);
        Self::new(source, Media::Playlist(playlist))
    }

    /// Files, or web resources, as consecutive segments of one stream.
    pub fn files<L: Into<Location>>(files: impl IntoIterator<Item = L>) -> Self {
        let files = files.into_iter().map(Into::into).collect();
        Self::new(AnySource::default(), Media::Files(files))
    }
}

impl<'p, S: SegmentSource> Input<'p, S> {
    fn new(source: S, media: Media) -> Self {
        let go_on = |_| ControlFlow::Continue(());
        Self {
            source,
            media,
            observer: RefCell::new(Box::new(go_on)),
        }
    }

    /// The same, read from another source.
    #[must_use]
    pub fn with_source<T: SegmentSource>(self, source: T) -> Input<'p, T> {
        Input {
            source,
            media: self.media,
            observer: self.observer,
        }
    }

    /// Tells `observer` how far each job has come; on [`ControlFlow::Break`] the job ends with
    /// [`ClipError::Cancelled`].
    #[must_use]
    pub fn with_progress<'q>(
        self,
        observer: impl FnMut(Progress) -> ControlFlow<()> + Send + 'q,
    ) -> Input<'q, S> {
        Input {
            source: self.source,
            media: self.media,
            observer: RefCell::new(Box::new(observer)),
        }
    }

    /// Reads the segments of a window, and chooses the samples of the clip. A multivariant playlist is
    /// resolved to one of its variants; of files the window is not heeded, they are taken whole.
    ///
    /// A segment that is missing or cannot be read leaves a gap and a warning.
    ///
    /// # Errors
    /// When the playlist cannot be read or makes no sense, the window does not fit it or holds
    /// nothing, no segment can be read, or the observer stops the job.
    pub fn clip(&self, request: &ClipRequest) -> Result<BoundClip<'_>, ClipError> {
        let loader = self.loader(request)?;
        let clip = loader.finish(&mut |progress| self.observer.observe(progress))?;
        Ok(BoundClip {
            clip,
            source: BoundSource {
                first: &self.source,
                others: Arc::default(),
            },
            observer: &self.observer,
        })
    }

    /// Cuts into an MP4 file at `path`, `moov` first: what [`clip`](Self::clip) and
    /// [`BoundClip::write_to_path`] do, in one pass over the segments where that is possible. The file
    /// differs from theirs in a `free` box behind the `moov`.
    ///
    /// # Errors
    /// As those two.
    pub fn cut_to_path(
        &self,
        request: &ClipRequest,
        path: impl AsRef<Path>,
    ) -> Result<WrittenClip, ClipError> {
        let loader = self.loader(request)?;
        let observer = &mut |progress| self.observer.observe(progress);
        onepass::write(loader, &self.source, request, path.as_ref(), observer)
    }

    /// Cuts from the beginning of a window to the end of the playlist, and writes fragmented MP4 to
    /// `out` while the segments are read: the first fragment as soon as two segments have come.
    /// An end that the window may have is not heeded: its last frame would have to be known
    /// before anything is written, so take such a clip from [`clip`](Self::clip) instead.
    ///
    /// A stream whose sound is in playlists of its own is written when all of it has come.
    ///
    /// What begins later than the second segment and needs a description of its own (a track,
    /// another codec, sound of another rate) is left out, with a warning.
    ///
    /// # Errors
    /// As [`clip`](Self::clip), and when `out` does not take the bytes (reported as a failure to write
    /// `name`).
    pub fn stream(
        &self,
        request: &ClipRequest,
        name: &Path,
        out: &mut dyn Write,
    ) -> Result<Clip, ClipError> {
        let loader = self.loader(request)?;
        let observer = &mut |progress| self.observer.observe(progress);
        stream::stream(loader, &self.source, request, name, out, observer)
    }

    /// Waits until a live playlist lists all of the window, and gives the same request with a window
    /// that does not move with the playlist. Nothing is read but the playlist: what slides out of
    /// it before the clip is cut is lost. Files are never waited for.
    ///
    /// It is over when the playlist ends, or does not grow for three target durations, six seconds at
    /// least: how much of the window is missing then is in the request. The observer is told before each
    /// look how much there is ([`Progress::Waiting`]).
    ///
    /// # Errors
    /// When the playlist cannot be read, the window does not fit it, or the observer stops the job.
    pub fn when_listed(&self, request: &ClipRequest) -> Result<ClipRequest, ClipError> {
        match &self.media {
            Media::Playlist(playlist) => {
                let observer = &mut |progress| self.observer.observe(progress);
                request.when_listed(&self.source, playlist, observer)
            }
            Media::Files(_) => Ok(request.clone()),
        }
    }

    /// Reads a playlist with all its segments, or a segment, and says what it holds.
    ///
    /// # Errors
    /// When it cannot be read or holds nothing, or the observer stops the job. That all of it is
    /// scrambled is none: that is what it holds.
    pub fn probe(&self, request: &ClipRequest) -> Result<Probe, ClipError> {
        let observer = &mut |progress| self.observer.observe(progress);
        match &self.media {
            Media::Playlist(playlist) => Probe::at(&self.source, playlist, request, observer),
            Media::Files(files) => Probe::of_files(&self.source, files, request, observer),
        }
    }

    /// What to cut of each variant, so that all clips begin and end at the same instants: what
    /// all of their playlists cover of the window. A variant that stands in the list more than
    /// once, with other renditions, is taken once; playlists of I-frames alone are passed over. Of
    /// a media playlist, and of files, it is the request as it is, without a label.
    ///
    /// # Errors
    /// When a playlist cannot be read, or the window does not fit it.
    pub fn variants(&self, request: &ClipRequest) -> Result<Vec<VariantClip>, ClipError> {
        match &self.media {
            Media::Playlist(playlist) => VariantClip::of_all(&self.source, playlist, request),
            Media::Files(_) => Ok(vec![VariantClip::alone(request)]),
        }
    }

    fn loader<'a>(&'a self, request: &'a ClipRequest) -> Result<Loader<'a>, ClipError> {
        match &self.media {
            Media::Playlist(playlist) => Loader::open(&self.source, playlist, request),
            Media::Files(files) => Ok(Loader::of_files(&self.source, files, request)),
        }
    }
}

/// A clip, and the input that its media is read from.
#[derive(Clone)]
pub struct BoundClip<'i> {
    clip: Clip,
    source: BoundSource<'i>,
    observer: &'i dyn Observe,
}

/// Reads what the input of a clip reads, or the inputs of those that were joined to make it.
#[derive(Clone)]
pub struct BoundSource<'i> {
    first: &'i dyn SegmentSource,
    /// What the others read.
    others: Arc<HashMap<Location, &'i dyn SegmentSource>>,
}

impl fmt::Debug for BoundSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundSource").finish_non_exhaustive()
    }
}

impl<'i> BoundSource<'i> {
    fn of(&self, location: &Location) -> &'i dyn SegmentSource {
        self.others.get(location).copied().unwrap_or(self.first)
    }
}

impl SegmentSource for BoundSource<'_> {
    fn read(
        &self,
        location: &Location,
        range: Option<ByteRange>,
        max_bytes: u64,
    ) -> Result<Bytes, SourceError> {
        self.of(location).read(location, range, max_bytes)
    }

    fn read_playlist(
        &self,
        location: &Location,
        max_bytes: u64,
    ) -> Result<(Bytes, Location), SourceError> {
        self.of(location).read_playlist(location, max_bytes)
    }
}

impl fmt::Debug for BoundClip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BoundClip").field(&self.clip).finish()
    }
}

impl<'i> BoundClip<'i> {
    /// Joins clips, also of several inputs, into one that presents them one after the other, as
    /// [`Clip::montage`] does; each comes with the title of its chapter. The first one's observer
    /// is told of what is done with it.
    ///
    /// Two windows of one stream in one file:
    ///
    /// ```
    /// use clipmill::{BoundClip, ClipRequest, Input, WindowRequest};
    ///
    /// let input = Input::playlist("../../fixtures/demo/index.m3u8");
    /// let window = |from: &str, to: &str| -> Result<_, clipmill::ClipError> {
    ///     input.clip(&ClipRequest::new(WindowRequest {
    ///         from: from.parse().ok(),
    ///         to: to.parse().ok(),
    ///         ..WindowRequest::default()
    ///     }))
    /// };
    /// let goals = BoundClip::montage([
    ///     (window("+2s", "+4s")?, Some("1:0".to_owned())),
    ///     (window("+11s", "+12s")?, None),
    /// ])?;
    /// assert_eq!(goals.clip().duration_ms, 3_000);
    /// assert_eq!(goals.clip().chapters().len(), 2);
    /// # Ok::<(), clipmill::ClipError>(())
    /// ```
    ///
    /// # Errors
    /// When there are none, one is empty, or a track does not fit those before it.
    pub fn montage(
        parts: impl IntoIterator<Item = (Self, Option<String>)>,
    ) -> Result<Self, ClipError> {
        let mut bound: Option<(BoundSource<'i>, &'i dyn Observe)> = None;
        let mut others: HashMap<Location, &'i dyn SegmentSource> = HashMap::new();
        let mut clips = Vec::new();
        for (part, title) in parts {
            match &bound {
                None => others.extend(
                    part.source
                        .others
                        .iter()
                        .map(|(at, own)| (at.clone(), *own)),
                ),
                // What two inputs read alike is read by the first of them.
                Some((first, _)) if !std::ptr::addr_eq(first.first, part.source.first) => {
                    for segment in part.clip.segments() {
                        let location = &segment.info.location;
                        let own = part.source.of(location);
                        others.entry(location.clone()).or_insert(own);
                    }
                }
                Some(_) => {}
            }
            bound.get_or_insert((part.source, part.observer));
            let clip = part.clip;
            clips.push(MontagePart { clip, title });
        }
        let (first, observer) = bound.ok_or(MontageError::NoParts)?;
        Ok(Self {
            clip: Clip::montage(clips)?,
            source: BoundSource {
                first: first.first,
                others: Arc::new(others),
            },
            observer,
        })
    }

    /// What is known of it.
    #[must_use]
    pub fn clip(&self) -> &Clip {
        &self.clip
    }

    /// The same, to be named or given chapters before it is written.
    pub fn clip_mut(&mut self) -> &mut Clip {
        &mut self.clip
    }

    /// The clip alone.
    #[must_use]
    pub fn into_clip(self) -> Clip {
        self.clip
    }

    /// Its bytes, to be read as they are wanted.
    ///
    /// # Errors
    /// When its samples do not fit an MP4.
    pub fn reader(&self, format: Format) -> Result<ClipReader<BoundSource<'i>>, ClipError> {
        let layout = self.clip.layout(format)?;
        Ok(ClipReader::new(layout, self.source.clone()))
    }

    /// Writes an MP4 file at `path`: whole or not at all, as it is written under another name beside
    /// it first. Nothing is synced to the disk.
    ///
    /// # Errors
    /// When its samples do not fit an MP4, a segment can no longer be read, the file cannot be
    /// written, or the observer stops the job.
    pub fn write_to_path(&self, path: impl AsRef<Path>) -> Result<(), ClipError> {
        self.write_as(Format::Mp4, path).map(drop)
    }

    /// The same in any format; gives the length of the file in bytes.
    ///
    /// # Errors
    /// As [`write_to_path`](Self::write_to_path).
    pub fn write_as(&self, format: Format, path: impl AsRef<Path>) -> Result<u64, ClipError> {
        let layout = self.clip.layout(format)?;
        let observer = &mut |progress| self.observer.observe(progress);
        layout.write_to_path(&self.source, path.as_ref(), observer)?;
        Ok(layout.len())
    }

    /// Writes to `out`, which messages call `name`; gives the number of bytes.
    ///
    /// # Errors
    /// As [`write_to_path`](Self::write_to_path).
    pub fn write_to(
        &self,
        format: Format,
        name: &Path,
        out: &mut dyn Write,
    ) -> Result<u64, ClipError> {
        let layout = self.clip.layout(format)?;
        let observer = &mut |progress| self.observer.observe(progress);
        layout.write(&self.source, name, out, observer)?;
        Ok(layout.len())
    }
}
