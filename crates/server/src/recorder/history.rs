//! Media that no recorder has in mind any more, but that is still listed: of long event playlists,
//! and of streams that have ended.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use clipmill::{
    AnySource, AudioRendition, Composer, Limits, ReadSegment, SegmentIndex, Ticks, duration_ticks,
};
use clipmill_playlist::{MediaPlaylist, Segment};

use super::app::App;
use super::feed::folder_of;
use super::indexes::Indexes;
use super::media::{SegmentFile, SessionMedia, Snapshot};
use super::reading::Reading;
use crate::sources::listing::read_media;
use crate::sources::on_disk::locate;
use crate::sources::playlists::Serving;
use crate::sources::session::FileMark;
use crate::spool::Label;

/// Segments that a reader has to see before it finds all that the next one holds.
pub(crate) const WARM_UP: usize = 2;

/// A stretch of a stream's own clock. An absent bound is the end on that side.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) from: Option<DateTime<Utc>>,
    pub(crate) to: Option<DateTime<Utc>>,
}

/// Content of segments that is no file of the media server, for as long as a clip is made of it.
#[derive(Debug)]
struct Aside {
    folder: tempfile::TempDir,
    composer: Option<Composer>,
    written: u64,
}

impl Aside {
    /// For segments with sound that is listed in playlists of its own.
    fn new(sound: Vec<AudioRendition>) -> std::io::Result<Self> {
        let composer = (!sound.is_empty()).then(|| Composer::new(sound, &Limits::default()));
        Ok(Self {
            folder: tempfile::tempdir()?,
            composer,
            written: 0,
        })
    }

    fn put(
        &mut self,
        sounds: &AnySource,
        segment: &Segment,
        mut read: ReadSegment,
        after_gap: bool,
        last: bool,
    ) -> Result<(PathBuf, ReadSegment), String> {
        if let Some(composer) = &mut self.composer {
            let mut said = Vec::new();
            let waits = (false, last);
            let composed = composer.compose(sounds, segment, &read, after_gap, waits, &mut said);
            for what in said {
                tracing::warn!("sound is lost: {what}");
            }
            if let Some(composed) = composed.map_err(|error| error.to_string())? {
                read = composed;
            }
        }
        read.key = None;
        let path = self.folder.path().join(format!("{}.seg", self.written));
        self.written += 1;
        std::fs::write(&path, &read.bytes).map_err(|error| error.to_string())?;
        Ok((path, read))
    }
}

/// Puts segments that a playlist lists on a timeline.
struct Gathering<'a> {
    playlist: &'a Path,
    root: PathBuf,
    source: AnySource,
    /// Sound lies anywhere in the streams folder.
    sounds: AnySource,
    reading: Reading,
    media: SessionMedia,
    aside: Option<Aside>,
}

impl<'a> Gathering<'a> {
    fn new(playlist: &'a Path, media: SessionMedia, aside: Option<Aside>, app: &App) -> Self {
        let root = app.root();
        Self {
            playlist,
            source: app.source(&folder_of(playlist)),
            sounds: app.source(&root),
            root,
            reading: Reading::default(),
            media,
            aside,
        }
    }

    /// Has the reader see a segment that is not put on the timeline.
    fn warm_up(&mut self, segment: &Segment) {
        self.reading.warm_up(&self.source, segment, self.playlist);
    }

    /// Puts a segment on the timeline whose index is known.
    fn push(&mut self, segment: &Segment, index: impl Into<Arc<SegmentIndex>>, file: SegmentFile) {
        self.reading.known(segment.discontinuity);
        let label = self.reading.label(label(segment));
        self.reading.taken();
        self.media.push(&label, index, file);
    }

    /// A segment cannot be had.
    fn miss(&mut self, segment: &Segment) {
        self.reading.miss(duration_ticks(segment.duration));
        self.media.miss(duration_ticks(segment.duration));
    }

    /// Puts a segment on the timeline; what is not in a file as it is goes aside.
    fn read(&mut self, segment: &Segment, last: bool) -> Result<(), String> {
        if segment.gap {
            return Err("it is marked as a gap (EXT-X-GAP)".to_owned());
        }
        let path = locate(self.playlist, segment, &self.root).map_err(|error| error.to_string())?;
        let mut metadata = std::fs::metadata(&path).map_err(|error| error.to_string())?;
        let read = self.reading.read(&self.source, segment, self.playlist);
        let mut read = read.map_err(|error| error.to_string())?;
        let (mut path, mut byte_range) = (path, segment.byte_range);
        if let Some(aside) = &mut self.aside {
            let after_gap = segment.discontinuity || self.reading.missing() > 0;
            (path, read) = aside.put(&self.sounds, segment, read, after_gap, last)?;
            metadata = std::fs::metadata(&path).map_err(|error| error.to_string())?;
            byte_range = None;
        }
        let index = self.reading.index(&read, segment.discontinuity);
        let index = index.map_err(|error| error.to_string())?;
        let file = SegmentFile {
            byte_range,
            as_it_is: self.aside.is_none() && read.key.is_none(),
            key: read.key,
            ..SegmentFile::of(path, FileMark::of(&metadata))
        };
        self.push(segment, index, file);
        Ok(())
    }

    /// What is on the timeline now, which keeps what went aside.
    fn into_snapshot(self) -> Snapshot {
        let aside = self.aside.map(|aside| aside.folder);
        self.media.snapshot().with(aside)
    }
}

/// Whether a playlist lists parts of the segment `next`, which is being written.
pub(crate) fn has_parts(playlist: &Path, next: u64) -> bool {
    let listed = read_media(playlist);
    let open = listed.and_then(|(listed, _)| listed.open_segment);
    open.is_some_and(|open| open.sequence == next)
}

impl Snapshot {
    /// The same with the parts of the segment that is being written (`EXT-X-PART`), and with
    /// segments that were listed since: up to the live edge.
    pub(crate) fn with_parts(self, playlist: &Path, next: u64, app: &App) -> Self {
        let Some((listed, _)) = read_media(playlist) else {
            return self;
        };
        let Some(open) = &listed.open_segment else {
            return self;
        };
        // Whole segments in between are about to be taken in.
        if open.sequence != next {
            return self;
        }
        let Ok(aside) = Aside::new(Vec::new()) else {
            return self;
        };
        let mut gathering = Gathering::new(playlist, SessionMedia::of(&self), Some(aside), app);
        let listed = listed.with_parts();
        for part in listed.segments.iter().filter(|one| one.part.is_some()) {
            if let Err(reason) = gathering.read(part, false) {
                tracing::debug!(part = part.uri, reason, "a part is not there");
                break;
            }
        }
        gathering.into_snapshot()
    }
}

/// A playlist whose segments are all dated.
pub(crate) struct Dated {
    segments: Vec<Segment>,
}

impl Dated {
    /// Where the list has no dates of its own, `known` are those of the segments that were recorded, and
    /// the others' follow from them. Where there are none either, it ends at the `live_edge`, or when it
    /// was last written.
    pub(crate) fn new(
        playlist: MediaPlaylist,
        modified: SystemTime,
        live_edge: Option<DateTime<Utc>>,
        known: &[Option<DateTime<Utc>>],
    ) -> Self {
        let has_dates = playlist.has_dates();
        let total = playlist.duration();
        let end = live_edge.unwrap_or_else(|| modified.into());
        let mut segments = playlist.segments;
        let anchors = segments.iter().zip(known).filter_map(|(segment, known)| {
            let before = TimeDelta::from_std(segment.start).unwrap_or_default();
            // When the list would begin.
            Some((segment.start, known.as_ref()?.checked_sub_signed(before)?))
        });
        let anchors: Vec<_> = anchors.collect();
        if !has_dates && !anchors.is_empty() {
            for segment in &mut segments {
                let after = anchors.partition_point(|(start, _)| *start <= segment.start);
                let anchor = anchors.get(after.saturating_sub(1));
                let since = TimeDelta::from_std(segment.start).unwrap_or_default();
                segment.start_time = anchor.and_then(|(_, begin)| begin.checked_add_signed(since));
            }
        } else if !has_dates {
            for segment in &mut segments {
                let before_end = total.saturating_sub(segment.start);
                let before_end = TimeDelta::from_std(before_end).unwrap_or_default();
                segment.start_time = end.checked_sub_signed(before_end);
            }
        }
        Self { segments }
    }

    /// The segments, each dated.
    pub(crate) fn into_segments(self) -> Vec<Segment> {
        self.segments
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
    pub(crate) fn read(
        &self,
        serving: &Serving,
        span: Span,
        indexes: &Indexes,
        app: &App,
    ) -> Snapshot {
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
            let (gathering, lost) = self.read_from(serving, begin..past, indexes, app);
            let timeline = gathering.media.timeline();
            let asked = span.from.and_then(|from| timeline.at_time(from));
            let decodes = asked.is_none_or(|asked| {
                timeline
                    .next_sync(Ticks::MIN)
                    .is_some_and(|sync| sync <= asked)
            });
            if decodes || begin == 0 {
                let mut snapshot = gathering.into_snapshot();
                snapshot.lost = lost;
                return snapshot;
            }
            back *= 2;
        }
    }

    fn read_from<'a>(
        &self,
        serving: &'a Serving,
        wanted: Range<usize>,
        indexes: &Indexes,
        app: &App,
    ) -> (Gathering<'a>, Option<String>) {
        let from_the_first = wanted.start == 0;
        let aside = match serving.sound.as_slice() {
            [] => None,
            sound => Aside::new(sound.to_vec())
                .inspect_err(|error| tracing::error!(%error, "there is no room for sound"))
                .ok(),
        };
        let playlist = serving.file().unwrap_or(Path::new(""));
        let mut gathering = Gathering::new(playlist, SessionMedia::default(), aside, app);
        let wanted = wanted.start..wanted.end.max(wanted.start);
        let wanted = self.segments.get(wanted);
        let wanted = wanted.unwrap_or_default();
        let mut lost = None;
        // How many segments in a row the reader has seen.
        let mut seen = 0;
        for (at, segment) in wanted.iter().enumerate() {
            let as_they_are = gathering.aside.is_none();
            let known = as_they_are
                .then(|| find_known(indexes, gathering.playlist, &gathering.root, segment));
            if let Some((path, mark, index)) = known.flatten() {
                gathering.push(segment, index, SegmentFile::of(path, mark));
                seen = 0;
                continue;
            }
            if seen == 0 {
                let before = wanted.get(at.saturating_sub(WARM_UP)..at);
                for before in before.unwrap_or_default() {
                    gathering.warm_up(before);
                    seen += 1;
                }
            }
            let next = wanted.get(at + 1);
            let last = next.is_none_or(|next| next.discontinuity);
            if let Err(reason) = gathering.read(segment, last) {
                tracing::warn!(segment = segment.uri, reason, "a segment cannot be read");
                lost.get_or_insert_with(|| format!("segment {}: {reason}", segment.uri));
                gathering.miss(segment);
                seen = 0;
                continue;
            }
            let sure = seen >= WARM_UP || (from_the_first && seen == at);
            if as_they_are && sure {
                gathering.media.share_last(indexes);
            }
            seen += 1;
        }
        (gathering, lost)
    }
}

/// What is known of a segment that is a file of its own.
fn find_known(
    indexes: &Indexes,
    playlist: &Path,
    root: &Path,
    segment: &Segment,
) -> Option<(PathBuf, FileMark, Arc<SegmentIndex>)> {
    if segment.gap || segment.byte_range.is_some() || segment.key.is_some() {
        return None;
    }
    let path = playlist.with_file_name(&segment.uri);
    // Others' segments are known by their real paths too, and a URI may be absolute.
    if !path.starts_with(root) {
        return None;
    }
    let (mark, index) = indexes.get(&path)?;
    Some((path, mark, index))
}

fn label(segment: &Segment) -> Label {
    Label {
        sequence: segment.sequence,
        duration: duration_ticks(segment.duration),
        start_time: segment.start_time,
        discontinuity: false,
        missing_before: 0,
        init: None,
        changed: false,
        file: (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_other_folders_is_not_given() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let (root, other) = (real.join("live"), real.join("secret.ts"));
        std::fs::create_dir(&root).unwrap();
        let own = root.join("own.ts");
        let indexes = Indexes::default();
        for path in [&own, &other] {
            std::fs::write(path, "media").unwrap();
            let mark = FileMark::of(&std::fs::metadata(path).unwrap());
            indexes.put(path, mark, &Arc::new(SegmentIndex::default()));
        }
        let playlist = root.join("cam.m3u8");
        for (uri, is_known) in [
            ("own.ts", true),
            ("../secret.ts", false),
            (other.to_str().unwrap(), false),
        ] {
            std::fs::write(&playlist, format!("#EXTM3U\n#EXTINF:2,\n{uri}\n")).unwrap();
            let (listed, _) = read_media(&playlist).unwrap();
            let found = find_known(&indexes, &playlist, &root, &listed.segments[0]);
            assert_eq!(found.is_some(), is_known, "{uri}");
        }
    }
}
