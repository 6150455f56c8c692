//! The media of one session: where every sample lies, and the files that hold them.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use clipmill::{
    ByteRange, Clip, Limits, Location, ReadSegment, SegmentError, SegmentIndex, SegmentInfo,
    SegmentKey, SegmentReader, SegmentSource, Ticks, Timeline, TrackKind,
};
use clipmill_playlist::Segment;
use tempfile::TempDir;

use super::history::Aside;
use super::indexes::Indexes;
use crate::sources::session::FileMark;
use crate::spool::{Kept, Label, Spool, SpoolError};

/// Segments kept before the one in which the next clip begins: sound of its first moments may lie
/// in the one before, and a demultiplexer that starts anew needs one more to find its feet.
const MARGIN: usize = 2;

/// A segment in the spool, until nobody needs it any more.
#[derive(Debug)]
pub(crate) struct Holding {
    kept: Kept,
    linked: AtomicBool,
    spool: Arc<Spool>,
    released: AtomicBool,
}

impl Holding {
    pub(crate) fn new(spool: &Arc<Spool>, kept: Kept) -> Arc<Self> {
        Arc::new(Self {
            linked: AtomicBool::new(kept.linked),
            kept,
            spool: Arc::clone(spool),
            released: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_linked(&self) -> bool {
        self.linked.load(Ordering::Relaxed)
    }

    /// It goes as soon as no clip in the making reads it. Without this it stays for the next start.
    fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }

    /// Makes it independent of the media server's file. False when it was too late.
    pub(crate) fn harden(&self) -> Result<bool, SpoolError> {
        if !self.is_linked() {
            return Ok(true);
        }
        let intact = self.spool.harden(&self.kept)?;
        self.linked.store(!intact, Ordering::Relaxed);
        Ok(intact)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.released.load(Ordering::Relaxed) {
            self.spool.release(&self.kept);
        }
    }
}

/// The files of one segment on the line.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// As the media server has it, if it was seen there.
    pub(crate) original: Option<PathBuf>,
    /// What that looks like.
    pub(crate) original_mark: FileMark,
    /// What the file looks like that is read.
    pub(crate) mark: FileMark,
    /// In the spool; `None` where it could not be kept.
    pub(crate) holding: Option<Arc<Holding>>,
    /// Which bytes of the media server's file; what is in the spool has no others.
    pub(crate) byte_range: Option<ByteRange>,
    /// What the media server's file is encrypted with; what is in the spool is not.
    pub(crate) key: Option<Arc<SegmentKey>>,
    /// What it takes to keep it later, where that failed.
    pub(crate) unkept: Option<Unkept>,
    /// The media server's file, byte for byte, is what was indexed.
    pub(crate) as_it_is: bool,
}

/// A segment that is in no spool yet, and whose content is all of the media server's file.
#[derive(Debug, Clone)]
pub(crate) struct Unkept {
    pub(crate) label: Label,
    /// Its `EXT-X-MAP`.
    pub(crate) init: Option<Bytes>,
}

impl Held {
    /// A file of the media server, all of it and as it is, that is in no spool.
    pub(crate) fn of(path: PathBuf, mark: FileMark) -> Self {
        Self {
            original: Some(path),
            original_mark: mark,
            mark,
            holding: None,
            byte_range: None,
            key: None,
            unkept: None,
            as_it_is: true,
        }
    }

    /// Where it is read.
    fn path(&self) -> Option<&Path> {
        let kept = self
            .holding
            .as_ref()
            .map(|holding| holding.kept.path.as_path());
        kept.or(self.original.as_deref())
    }

    /// Whether its content is what was indexed.
    fn is_intact(&self) -> bool {
        let now = self.path().and_then(|path| std::fs::metadata(path).ok());
        let one_of_many = self.holding.is_none() && self.byte_range.is_some();
        now.is_some_and(|now| one_of_many || FileMark::of(&now) == self.mark)
    }

    /// Whether the media server's file still is the one that was indexed.
    pub(crate) fn original_is_intact(&self) -> bool {
        let now = self
            .original
            .as_ref()
            .and_then(|path| std::fs::metadata(path).ok());
        now.is_some_and(|now| FileMark::of(&now) == self.original_mark)
    }
}

/// The files that a clip is read from. What is in the spool stays there while this lives.
#[derive(Debug, Default)]
pub(crate) struct Files {
    holdings: Vec<Arc<Holding>>,
    /// What some of them are kept by.
    #[expect(dead_code, reason = "it is there to be dropped")]
    aside: Option<Arc<TempDir>>,
    /// When each was written, in nanoseconds since 1970: it tells segments of the same name apart.
    pub(crate) written: Vec<i128>,
}

impl Files {
    /// Those of a clip that was made from this timeline, whose segments these are.
    fn of<'a>(clip: &Clip, timeline: &Timeline, held: impl IntoIterator<Item = &'a Held>) -> Self {
        let first = clip.first_number();
        let past = first.saturating_add(clip.segments().len() as u64);
        let numbers = timeline.segments().iter().map(|segment| segment.number);
        let used = numbers.zip(held).filter(|(n, _)| (first..past).contains(n));
        let mut files = Self::default();
        for (_, held) in used {
            files.holdings.extend(held.holding.clone());
            files.written.push(held.mark.modified_ns);
        }
        files
    }
}

/// A timeline that does not change while a clip is made from it, with the files that it needs.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) timeline: Timeline,
    held: Vec<Held>,
    /// What some of these files are kept by.
    aside: Option<Arc<TempDir>>,
    /// The first segment that should be on it and is not, and why.
    pub(crate) lost: Option<String>,
}

impl Snapshot {
    /// Keeps content that is in no file of the media server.
    pub(crate) fn with(self, aside: Option<Aside>) -> Self {
        Self {
            aside: aside.map(|aside| Arc::new(aside.into_folder())),
            ..self
        }
    }

    /// The files of a clip that was made from it.
    pub(crate) fn files(&self, clip: &Clip) -> Files {
        Files {
            aside: self.aside.clone(),
            ..Files::of(clip, &self.timeline, &self.held)
        }
    }

    /// Numbers of the segments among the `wanted` ones whose files are not what was indexed.
    pub(crate) fn damaged(&self, wanted: impl Fn(u64) -> bool) -> Vec<u64> {
        let numbers = self
            .timeline
            .segments()
            .iter()
            .map(|segment| segment.number);
        numbers
            .zip(&self.held)
            .filter(|(number, held)| wanted(*number) && !held.is_intact())
            .map(|(number, _)| number)
            .collect()
    }
}

/// The segments of a session that clips may still need.
#[derive(Debug)]
pub(crate) struct Line {
    reader: SegmentReader,
    timeline: Timeline,
    /// One for each segment on the timeline.
    held: VecDeque<Held>,
    missing: Ticks,
    discontinuity: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            reader: SegmentReader::new(None, &Limits::default()),
            timeline: Timeline::new(),
            held: VecDeque::new(),
            missing: 0,
            discontinuity: false,
        }
    }
}

impl Line {
    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(crate) fn held(&self) -> &VecDeque<Held> {
        &self.held
    }

    /// The files of a clip that was made from its timeline.
    pub(crate) fn files(&self, clip: &Clip) -> Files {
        Files::of(clip, &self.timeline, &self.held)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            timeline: self.timeline.clone(),
            held: self.held.iter().cloned().collect(),
            aside: None,
            lost: None,
        }
    }

    /// A line that goes on where a snapshot ends.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self {
            timeline: snapshot.timeline.clone(),
            held: snapshot.held.iter().cloned().collect(),
            ..Self::default()
        }
    }

    /// Length of the segments that are missing since the last one, in 90 kHz ticks.
    pub(crate) fn missing(&self) -> Ticks {
        self.missing
    }

    /// Media that will not come.
    pub(crate) fn miss(&mut self, duration: Ticks) {
        self.missing = self.missing.saturating_add(duration);
    }

    /// Reads the next segment.
    pub(crate) fn read(
        &mut self,
        source: &dyn SegmentSource,
        segment: &Segment,
        playlist: &Path,
    ) -> Result<ReadSegment, SegmentError> {
        let playlist = Location::File(playlist.to_owned());
        self.reader.read(source, segment, &playlist)
    }

    /// Indexes the next segment.
    pub(crate) fn index(
        &mut self,
        read: &ReadSegment,
        discontinuity: bool,
    ) -> Result<SegmentIndex, SegmentError> {
        self.discontinuity |= discontinuity;
        if self.discontinuity || self.missing > 0 {
            self.reader.discontinuity();
        }
        self.reader.index(read)
    }

    /// What is to be written down of the segment that was indexed.
    pub(crate) fn label(&self, label: Label) -> Label {
        Label {
            discontinuity: self.discontinuity,
            missing_before: self.missing,
            ..label
        }
    }

    /// Feeds the reader a segment that is on the line already, so that it knows what comes before the
    /// next one.
    pub(crate) fn warm_up(
        &mut self,
        source: &dyn SegmentSource,
        segment: &Segment,
        playlist: &Path,
    ) {
        if let Ok(read) = self.read(source, segment, playlist) {
            let _ = self.reader.index(&read);
        }
    }

    /// What is added next is known without having been indexed.
    pub(crate) fn known(&mut self, discontinuity: bool) {
        self.discontinuity |= discontinuity;
    }

    /// Adds the segment that was indexed.
    pub(crate) fn push(&mut self, label: &Label, index: impl Into<Arc<SegmentIndex>>, held: Held) {
        let Some(path) = held.path().map(Path::to_owned) else {
            return;
        };
        let info = SegmentInfo {
            location: Location::File(path),
            byte_range: held.byte_range.filter(|_| held.holding.is_none()),
            key: held.key.clone().filter(|_| held.holding.is_none()),
            in_playlist: true,
            sequence: label.sequence,
            duration: label.duration,
            start_time: label.start_time,
            discontinuity: std::mem::take(&mut self.discontinuity),
            missing_before: std::mem::take(&mut self.missing),
        };
        self.timeline.push(info, index.into());
        self.held.push_back(held);
    }

    /// Has what was found in its segments known to those who cut from what is listed. The first ones
    /// may lack what came before them.
    pub(crate) fn share(&self, indexes: &Indexes) {
        let all = self.timeline.segments().iter().zip(&self.held);
        for (segment, held) in all.skip(MARGIN) {
            share(indexes, &segment.index, held);
        }
    }

    /// The same for its last segment alone.
    pub(crate) fn share_last(&self, indexes: &Indexes) {
        let last = self.timeline.segments().back().zip(self.held.back());
        if let Some((segment, held)) = last {
            share(indexes, &segment.index, held);
        }
    }

    /// Whether there are segments that may still be kept.
    pub(crate) fn has_unkept(&self) -> bool {
        self.held.iter().any(|held| held.unkept.is_some())
    }

    /// Has segments kept that could not be kept before, as far as `keep` can do it now.
    pub(crate) fn keep_again(
        &mut self,
        mut keep: impl FnMut(&Held, &Unkept) -> Option<(Kept, Arc<Holding>)>,
    ) {
        let timeline = &mut self.timeline;
        for (at, held) in self.held.iter_mut().enumerate() {
            let Some(unkept) = held.unkept.take() else {
                continue;
            };
            // What has gone or changed cannot be kept any more.
            if !held.original_is_intact() {
                continue;
            }
            let Some((kept, holding)) = keep(held, &unkept) else {
                held.unkept = Some(unkept);
                continue;
            };
            if let Some(number) = timeline.segments().get(at).map(|segment| segment.number) {
                timeline.relocate(number, Location::File(kept.path));
            }
            held.mark = kept.mark;
            held.holding = Some(holding);
        }
    }

    /// The number of the first segment that is needed when nothing before `from` is.
    fn first_needed(&self, from: Ticks) -> Option<u64> {
        let segments = self.timeline.segments();
        let begun = |at: Option<Ticks>| at.is_some_and(|at| at <= from);
        let at = segments.iter().rposition(|s| begun(s.first_presented))?;
        segments.get(at.saturating_sub(MARGIN)).map(|s| s.number)
    }

    /// Lets go of what lies before `from`. Gives the files of the segments that no clip from there
    /// on holds a sample of, and that were not given before.
    pub(crate) fn forget_before(&mut self, from: Ticks) -> Vec<Held> {
        let Some(first) = self.first_needed(from) else {
            return Vec::new();
        };
        let segments = self.timeline.segments();
        let count = segments.iter().take_while(|s| s.number < first).count();
        let gone: Vec<_> = self.held.drain(..count.min(self.held.len())).collect();
        for held in &gone {
            if let Some(holding) = &held.holding {
                holding.release();
            }
        }
        self.timeline.forget_before(first);
        gone
    }

    /// Lets go of everything.
    pub(crate) fn forget_all(&mut self) -> Vec<Held> {
        let gone: Vec<_> = self.held.drain(..).collect();
        for held in &gone {
            if let Some(holding) = &held.holding {
                holding.release();
            }
        }
        self.timeline.forget_before(u64::MAX);
        gone
    }

    /// Takes segments whose content is lost out of the line: they are missing from now on. Places
    /// on the old line mean nothing on the new one.
    pub(crate) fn lose(&mut self, lost: &[u64]) {
        let mut timeline = Timeline::new();
        let mut held = VecDeque::new();
        let (mut missing, mut discontinuity) = (0, false);
        for (segment, files) in self.timeline.segments().iter().zip(&self.held) {
            missing += segment.info.missing_before;
            discontinuity |= segment.info.discontinuity;
            if lost.contains(&segment.number) {
                missing += segment.info.duration;
                if let Some(holding) = &files.holding {
                    holding.release();
                }
                continue;
            }
            let info = SegmentInfo {
                missing_before: std::mem::take(&mut missing),
                discontinuity: std::mem::take(&mut discontinuity),
                ..segment.info.clone()
            };
            timeline.push(info, Arc::clone(&segment.index));
            held.push_back(files.clone());
        }
        self.timeline = timeline;
        self.held = held;
        self.missing += missing;
        self.discontinuity |= discontinuity;
    }
}

fn share(indexes: &Indexes, index: &Arc<SegmentIndex>, held: &Held) {
    let whole = held.as_it_is && held.key.is_none() && held.byte_range.is_none();
    if let Some(original) = held.original.as_deref().filter(|_| whole) {
        indexes.put(original, held.original_mark, index);
    }
}

/// Presentation timestamp of the first frame of the track that leads, as the segment has it, in
/// 90 kHz ticks.
pub(crate) fn first_timestamp(index: &SegmentIndex) -> Option<Ticks> {
    let video = index
        .tracks
        .iter()
        .find(|track| track.kind() == TrackKind::Video && !track.samples().is_empty());
    let track = video.or_else(|| index.tracks.iter().find(|t| !t.samples().is_empty()))?;
    let first = track.samples().iter().map(|sample| sample.pts()).min()?;
    let clock = i128::from(track.timing().clock().max(1));
    Ticks::try_from(i128::from(first) * 90_000 / clock).ok()
}
