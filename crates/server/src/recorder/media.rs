//! The media of one session: where every sample lies, and the files that hold them.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::TimeDelta;
use clipmill::{
    ByteRange, Clip, Location, PlacedSegment, SegmentIndex, SegmentInfo, SegmentKey, Ticks,
    Timeline,
};
use tempfile::TempDir;

use super::indexes::Indexes;
use super::keeper::is_intact;
use crate::sources::session::FileMark;
use crate::spool::{Hold, Holding, Label, Leaving};

/// Segments kept before the one in which the next clip begins: sound of its first moments may lie
/// in the one before, and a demultiplexer that starts anew needs one more to find its feet.
const MARGIN: usize = 2;

/// The files of one segment on the timeline.
#[derive(Debug, Clone)]
pub(crate) struct SegmentFile {
    /// Counts the segments of a session as they came.
    pub(crate) id: u64,
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
    /// The media server's file, byte for byte, is what was indexed.
    pub(crate) as_it_is: bool,
}

impl SegmentFile {
    /// A file of the media server, all of it and as it is, that is in no spool.
    pub(crate) fn of(path: PathBuf, mark: FileMark) -> Self {
        Self {
            id: 0,
            original: Some(path),
            original_mark: mark,
            mark,
            holding: None,
            byte_range: None,
            key: None,
            as_it_is: true,
        }
    }

    /// Where it is read.
    fn path(&self) -> Option<&Path> {
        let kept = self
            .holding
            .as_ref()
            .map(|holding| holding.kept().path.as_path());
        kept.or(self.original.as_deref())
    }

    /// Whether its content is what was indexed.
    fn is_intact(&self) -> bool {
        let now = self.path().and_then(|path| std::fs::metadata(path).ok());
        let one_of_many = self.holding.is_none() && self.byte_range.is_some();
        now.is_some_and(|now| one_of_many || FileMark::of(&now) == self.mark)
    }

    /// Makes what is kept independent of the media server's file, as its name comes back.
    pub(crate) fn harden(&self) {
        let Some(holding) = &self.holding else {
            return;
        };
        match holding.harden() {
            Ok(true) => {}
            Ok(false) => tracing::error!(
                segment = self
                    .original
                    .as_ref()
                    .map(|path| path.display().to_string()),
                "a segment was overwritten before it could be copied"
            ),
            Err(error) => tracing::error!(%error, "a segment cannot be copied"),
        }
    }

    /// Whether the media server's file still is the one that was indexed.
    pub(crate) fn original_is_intact(&self) -> bool {
        let original = self.original.as_deref();
        original.is_some_and(|path| is_intact(path, self.original_mark))
    }
}

/// The files that a clip is read from. What is in the spool stays there while this lives.
#[derive(Debug, Default)]
pub(crate) struct Files {
    holdings: Vec<Arc<Holding>>,
    /// What some of them are kept by.
    #[expect(dead_code, reason = "it is there to be dropped")]
    aside: Option<Arc<TempDir>>,
    #[expect(dead_code, reason = "it is there to be dropped")]
    hold: Option<Arc<Hold>>,
    /// When each was written, in nanoseconds since 1970: it tells segments of the same name apart.
    pub(crate) written: Vec<i128>,
}

impl Files {
    /// Those of a clip that was made from this timeline, whose segments these are.
    fn of<'a>(
        clip: &Clip,
        timeline: &Timeline,
        segment_files: impl IntoIterator<Item = &'a Arc<SegmentFile>>,
    ) -> Self {
        let first = clip.first_number();
        let past = first.saturating_add(clip.segments().len() as u64);
        let numbers = timeline.segments().iter().map(|segment| segment.number);
        let used = numbers
            .zip(segment_files)
            .filter(|(n, _)| (first..past).contains(n));
        let mut files = Self::default();
        for (_, file) in used {
            files.holdings.extend(file.holding.clone());
            files.written.push(file.mark.modified_ns);
        }
        files
    }
}

/// A timeline that does not change while a clip is made from it, with the files that it needs.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) timeline: Arc<Timeline>,
    segment_files: VecDeque<Arc<SegmentFile>>,
    /// What some of these files are kept by.
    aside: Option<Arc<TempDir>>,
    /// What keeps those of the DVR window.
    hold: Option<Arc<Hold>>,
    /// The first segment that should be on it and is not, and why.
    pub(crate) lost: Option<String>,
}

impl Snapshot {
    /// Keeps content that is in no file of the media server.
    pub(crate) fn with(self, aside: Option<TempDir>) -> Self {
        Self {
            aside: aside.map(Arc::new),
            ..self
        }
    }

    /// Keeps segments of the DVR window.
    pub(crate) fn holding(self, hold: Option<Hold>) -> Self {
        Self {
            hold: hold.map(Arc::new),
            ..self
        }
    }

    /// The first segment that should be on it and is not, and why.
    pub(crate) fn lacking(self, lost: Option<String>) -> Self {
        Self { lost, ..self }
    }

    /// Its segments, with their files.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (&PlacedSegment, &Arc<SegmentFile>)> {
        self.timeline.segments().iter().zip(&self.segment_files)
    }

    /// The files of a clip that was made from it.
    pub(crate) fn files(&self, clip: &Clip) -> Files {
        Files {
            aside: self.aside.clone(),
            hold: self.hold.clone(),
            ..Files::of(clip, &self.timeline, &self.segment_files)
        }
    }

    /// Has what was found in its segments known to those who cut from what is listed. The first ones
    /// may lack what came before them.
    pub(crate) fn share(&self, indexes: &Indexes) {
        let all = self.timeline.segments().iter().zip(&self.segment_files);
        for (segment, file) in all.skip(MARGIN) {
            share(indexes, &segment.index, file);
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
            .zip(&self.segment_files)
            .filter(|(number, file)| wanted(*number) && !file.is_intact())
            .map(|(number, _)| number)
            .collect()
    }
}

/// Segments that no clip in the making needs any more.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    pub(crate) files: Vec<Arc<SegmentFile>>,
    /// Those that are in the spool, in order.
    pub(crate) leaving: Vec<Leaving>,
}

/// The segments of a session that clips may still need.
#[derive(Debug, Default)]
pub(crate) struct SessionMedia {
    /// Shared with those who work with it: it is copied only when a segment comes meanwhile.
    timeline: Arc<Timeline>,
    /// One for each segment on the timeline.
    segment_files: VecDeque<Arc<SegmentFile>>,
    /// Length of the segments that did not come since the last one.
    missing: Ticks,
    /// Length of those that came and were lost since.
    lost: Ticks,
    /// What follows does not go on where the last one ended.
    broken: bool,
}

impl SessionMedia {
    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(crate) fn shared_timeline(&self) -> Arc<Timeline> {
        Arc::clone(&self.timeline)
    }

    pub(crate) fn files(&self) -> &VecDeque<Arc<SegmentFile>> {
        &self.segment_files
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            timeline: self.shared_timeline(),
            segment_files: self.segment_files.clone(),
            aside: None,
            hold: None,
            lost: None,
        }
    }

    /// Goes on where a snapshot ends.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self {
            timeline: Arc::clone(&snapshot.timeline),
            segment_files: snapshot.segment_files.clone(),
            ..Self::default()
        }
    }

    /// Length of the segments that are missing since the last one, in 90 kHz ticks.
    pub(crate) fn missing(&self) -> Ticks {
        self.missing.saturating_add(self.lost)
    }

    /// Media that will not come. The label of the segment that follows says it too.
    pub(crate) fn miss(&mut self, duration: Ticks) {
        self.missing = self.missing.saturating_add(duration);
    }

    /// Adds a segment that was indexed.
    pub(crate) fn push(
        &mut self,
        label: &Label,
        index: impl Into<Arc<SegmentIndex>>,
        file: SegmentFile,
    ) {
        let Some(path) = file.path().map(Path::to_owned) else {
            return;
        };
        let (lost, broken) = (
            std::mem::take(&mut self.lost),
            std::mem::take(&mut self.broken),
        );
        self.missing = 0;
        let info = SegmentInfo {
            location: Location::File(path),
            byte_range: file.byte_range.filter(|_| file.holding.is_none()),
            key: file.key.clone().filter(|_| file.holding.is_none()),
            in_playlist: true,
            sequence: label.sequence,
            duration: label.duration,
            start_time: label.start_time,
            discontinuity: label.discontinuity || broken,
            missing_before: label.missing_before.saturating_add(lost),
        };
        Arc::make_mut(&mut self.timeline).push(info, index.into());
        self.segment_files.push_back(Arc::new(file));
    }

    /// A segment is in the spool now that could not be kept when it came. One that is not on the timeline
    /// any more goes with the last clip that reads it.
    pub(crate) fn keep(&mut self, id: u64, holding: Arc<Holding>) {
        let at = self.segment_files.iter().position(|file| file.id == id);
        let Some((at, file)) = at.and_then(|at| Some((at, self.segment_files.get_mut(at)?))) else {
            holding.release();
            return;
        };
        let timeline = Arc::make_mut(&mut self.timeline);
        if let Some(number) = timeline.segments().get(at).map(|segment| segment.number) {
            timeline.relocate(number, Location::File(holding.kept().path.clone()));
        }
        let file = Arc::make_mut(file);
        file.mark = holding.mark();
        file.holding = Some(holding);
    }

    /// Has what was found in its last segment known to those who cut from what is listed.
    pub(crate) fn share_last(&self, indexes: &Indexes) {
        let last = self
            .timeline
            .segments()
            .back()
            .zip(self.segment_files.back());
        if let Some((segment, file)) = last {
            share(indexes, &segment.index, file);
        }
    }

    /// The number of the first segment that is needed when nothing before `from` is.
    fn first_needed(&self, from: Ticks) -> Option<u64> {
        let segments = self.timeline.segments();
        let begun = |at: Option<Ticks>| at.is_some_and(|at| at <= from);
        let at = segments.iter().rposition(|s| begun(s.first_presented))?;
        segments.get(at.saturating_sub(MARGIN)).map(|s| s.number)
    }

    /// Lets go of what lies before `from`: of the segments that no clip from there on holds a sample of.
    pub(crate) fn forget_before(&mut self, from: Ticks) -> Gone {
        let Some(first) = self.first_needed(from) else {
            return Gone::default();
        };
        let segments = self.timeline.segments();
        let count = segments.iter().take_while(|s| s.number < first).count();
        if count == 0 {
            return Gone::default();
        }
        let gone = self.release(count);
        Arc::make_mut(&mut self.timeline).forget_before(first);
        gone
    }

    /// Releases its first segments.
    fn release(&mut self, count: usize) -> Gone {
        let count = count.min(self.segment_files.len());
        let files: Vec<_> = self.segment_files.drain(..count).collect();
        let mut leaving = Vec::new();
        for (file, segment) in files.iter().zip(self.timeline.segments()) {
            if let Some(holding) = &file.holding {
                holding.release();
                leaving.push(Leaving {
                    holding: Arc::clone(holding),
                    index: Arc::clone(&segment.index),
                });
            }
        }
        Gone { files, leaving }
    }

    /// Lets go of everything.
    pub(crate) fn forget_all(&mut self) -> Gone {
        let gone = self.release(usize::MAX);
        self.timeline = Arc::default();
        gone
    }

    /// Takes segments whose content is lost out of the timeline: they are missing from now on. Places
    /// on the old timeline mean nothing on the new one.
    pub(crate) fn lose(&mut self, lost: &[u64]) {
        let mut timeline = Timeline::new();
        let mut left = VecDeque::new();
        let (mut missing, mut discontinuity) = (0, false);
        for (segment, files) in self.timeline.segments().iter().zip(&self.segment_files) {
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
            left.push_back(Arc::clone(files));
        }
        self.timeline = Arc::new(timeline);
        self.segment_files = left;
        self.lost = self.lost.saturating_add(missing);
        self.broken |= discontinuity;
    }
}

fn share(indexes: &Indexes, index: &Arc<SegmentIndex>, file: &SegmentFile) {
    let whole = file.as_it_is && file.key.is_none() && file.byte_range.is_none();
    if let Some(original) = file.original.as_deref().filter(|_| whole) {
        indexes.put(original, file.original_mark, index);
    }
}

/// 90 kHz ticks as a duration.
pub(crate) fn delta(ticks: Ticks) -> TimeDelta {
    TimeDelta::microseconds(ticks.saturating_mul(100) / 9)
}

/// The instant of a place on the timeline, in milliseconds since 1970.
pub(crate) fn time_ms(timeline: &Timeline, ticks: Ticks) -> Option<i64> {
    Some(timeline.time_at(ticks)?.timestamp_millis())
}
