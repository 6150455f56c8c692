//! Windows that reach further back than what the recorders have in mind: what lies in the DVR window is put on a
//! timeline, in front of what is recorded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clipmill::{
    Limits, PlacedSegment, SegmentIndex, SegmentReader, Ticks, Timeline, duration_ticks,
};

use super::app::App;
use super::history::{Span, WARM_UP};
use super::indexes::Indexes;
use super::media::{SegmentFile, SessionMedia, Snapshot};
use super::session::Session;
use super::shared::Shared;
use crate::sources::session::FileMark;
use crate::spool::{InWindow, Label, StoredIndexes, StreamDvr, read};

/// Who asks first after a restart waits so long at most.
pub(crate) const RECOVERY: Duration = Duration::from_secs(20);

/// Segments before the beginning of what is read on: its first pictures may depend on them.
const AHEAD: usize = 8;

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A session as it is recorded now.
struct Recorded {
    session: String,
    snapshot: Snapshot,
    sub_folder: Option<String>,
}

/// The timeline that segments are put on.
#[derive(Debug)]
pub(crate) struct Line {
    stored: StoredIndexes,
    media: SessionMedia,
    reader: SegmentReader,
    /// How many segments in a row the reader has seen.
    seen: usize,
    /// The session of the last segment, and when that ended.
    last: Option<(String, u64, Option<DateTime<Utc>>)>,
    /// The first segment that cannot be read, and why.
    lost: Option<String>,
}

/// A segment that is kept.
pub(crate) enum Found {
    /// In the DVR window.
    InWindow(InWindow),
    /// By the recorder, with its session.
    Recorded(String, PlacedSegment, Arc<SegmentFile>),
}

impl Found {
    /// Its session and its number there.
    pub(crate) fn place(&self) -> (String, u64) {
        match self {
            Self::InWindow(one) => (one.session.clone(), one.label.sequence),
            Self::Recorded(session, placed, _) => (session.clone(), placed.info.sequence),
        }
    }
}

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            stored: StoredIndexes::default(),
            media: SessionMedia::default(),
            reader: SegmentReader::new(None, &Limits::default()),
            seen: 0,
            last: None,
            lost: None,
        }
    }

    pub(crate) fn timeline(&self) -> &Timeline {
        self.media.timeline()
    }

    /// Puts a segment on the line; gives its number there, unless it cannot be read.
    pub(crate) fn add(&mut self, found: &Found, indexes: &Indexes) -> Option<u64> {
        let newest = |line: &Self| line.timeline().segments().back().map(|one| one.number);
        let before = newest(self);
        match found {
            Found::InWindow(segment) => self.push(segment, &[], indexes),
            Found::Recorded(session, segment, file) => self.push_recorded(session, segment, file),
        }
        newest(self).filter(|number| before.is_none_or(|before| before < *number))
    }

    /// Puts a segment of the DVR window on the line. `before` are those before it, which the reader may not have seen.
    fn push(&mut self, segment: &InWindow, before: &[InWindow], indexes: &Indexes) {
        let label = self.placed(&segment.session, &segment.label);
        if let Some(leaving) = &segment.leaving {
            let kept = leaving.holding.kept();
            let file = SegmentFile {
                holding: Some(Arc::clone(&leaving.holding)),
                ..SegmentFile::of(kept.path.clone(), kept.mark)
            };
            self.seen = 0;
            self.media.push(&label, Arc::clone(&leaving.index), file);
            return;
        }
        let known = indexes.get(&segment.path).or_else(|| {
            let index = self.stored.get(segment)?;
            let mark = mark_of(&segment.path).ok()?;
            indexes.put(&segment.path, mark, &index);
            Some((mark, index))
        });
        if let Some((mark, index)) = known {
            self.seen = 0;
            self.media
                .push(&label, index, SegmentFile::of(segment.path.clone(), mark));
            return;
        }
        if label.discontinuity || label.missing_before > 0 {
            self.reader.discontinuity();
            self.seen = WARM_UP;
        } else if self.seen == 0 {
            for before in before.iter().filter(|one| one.session == segment.session) {
                let _ = self.index(before);
                self.seen += 1;
            }
        }
        match self.index(segment) {
            Ok((mark, index)) => {
                let index = Arc::new(index);
                if self.seen >= WARM_UP {
                    indexes.put(&segment.path, mark, &index);
                }
                self.seen += 1;
                let file = SegmentFile::of(segment.path.clone(), mark);
                self.media.push(&label, index, file);
            }
            Err(reason) => {
                let path = segment.path.display();
                tracing::warn!(%path, reason, "a segment of the DVR window cannot be read");
                self.lost.get_or_insert_with(|| format!("{path}: {reason}"));
                self.media.miss(label.duration);
                self.seen = 0;
            }
        }
    }

    fn index(&mut self, segment: &InWindow) -> Result<(FileMark, SegmentIndex), String> {
        let mark = mark_of(&segment.path)?;
        let read = read(&segment.path, &segment.label).map_err(|error| error.to_string())?;
        let index = self
            .reader
            .index(&read)
            .map_err(|error| error.to_string())?;
        Ok((mark, index))
    }

    /// Puts a segment on the line that is recorded now.
    fn push_recorded(&mut self, session: &str, segment: &PlacedSegment, file: &SegmentFile) {
        let info = &segment.info;
        let label = Label {
            sequence: info.sequence,
            duration: info.duration,
            start_time: info.start_time,
            discontinuity: info.discontinuity,
            missing_before: info.missing_before,
            init: None,
            changed: false,
            file: (0, 0),
        };
        let label = self.placed(session, &label);
        self.media
            .push(&label, Arc::clone(&segment.index), file.clone());
    }

    /// A segment's label as it follows the last one: a session that begins does not go on where the one before
    /// ended, and what lies between two that are no neighbours is missing.
    fn placed(&mut self, session: &str, label: &Label) -> Label {
        let next = (session.to_owned(), label.sequence, label.end());
        let Some((before, sequence, ended)) = self.last.replace(next) else {
            return Label {
                discontinuity: false,
                missing_before: 0,
                ..*label
            };
        };
        if before != session {
            return Label {
                discontinuity: true,
                missing_before: 0,
                ..*label
            };
        }
        let skipped = label.sequence.saturating_sub(sequence).saturating_sub(1);
        if skipped == 0 || label.missing_before > 0 {
            return *label;
        }
        let between = label.start_time.zip(ended);
        let between = between.and_then(|(start, ended)| (start - ended).to_std().ok());
        let between = between.map(duration_ticks);
        let usual = label
            .duration
            .saturating_mul(i64::try_from(skipped).unwrap_or(1));
        Label {
            missing_before: between.filter(|between| *between > 0).unwrap_or(usual),
            ..*label
        }
    }
}

/// All that is kept of a stream: in the DVR window, and by its recorder.
pub(crate) struct Kept {
    pub(super) window: Arc<StreamDvr>,
    recorded: Vec<Recorded>,
}

impl Kept {
    /// It blocks, also until what an earlier run left is found.
    pub(crate) fn of(stream: &str, shared: &Shared, app: &App) -> Self {
        wait_for_recovery(stream, shared, app);
        // What is recorded first: what it lets go of meanwhile is in the DVR window then.
        let recorded = app.stream(stream).and_then(|stream| {
            stream.ask(|state| state.sessions().map(Recorded::of).collect::<Vec<_>>())
        });
        Self {
            window: shared.spool.dvr().stream(app.name(), stream),
            recorded: recorded.unwrap_or_default(),
        }
    }

    /// When what is kept begins, and the live edge.
    pub(crate) fn reach(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let (begin, ..) = self.window.reach()?;
        Some((begin, self.end()?))
    }

    /// Where what is kept ends.
    pub(crate) fn end(&self) -> Option<DateTime<Utc>> {
        let recorded = self.recorded.iter().rev().find_map(|one| {
            let timeline = &one.snapshot.timeline;
            timeline.time_at(timeline.end()?)
        });
        let window = self.window.reach().map(|(_, end, _)| end);
        recorded.max(window)
    }

    /// The folder below the streams' that the playlist of its last session lies in.
    pub(crate) fn sub_folder(&self) -> Option<String> {
        self.recorded.last()?.sub_folder.clone()
    }

    /// Puts a stretch of time on a timeline: first what lies in the DVR window, then what is recorded. `None` when
    /// the DVR window has nothing of it.
    pub(crate) fn gather(&self, span: Span, shared: &Shared) -> Option<Snapshot> {
        let mut back = WARM_UP;
        loop {
            let (found, hold) = self.window.select(span.from, span.to, back);
            if found.is_empty() {
                return None;
            }
            let line = self.put(&found, span, shared);
            let timeline = line.media.timeline();
            let asked = span.from.and_then(|from| timeline.at_time(from));
            let first = timeline.next_sync(Ticks::MIN);
            let decodes = asked.is_none_or(|asked| first.is_some_and(|sync| sync <= asked));
            // Further back there is nothing.
            if decodes || found.len() < back {
                return Some(line.media.snapshot().holding(hold).lacking(line.lost));
            }
            back = back.saturating_mul(4);
        }
    }

    fn put(&self, found: &[InWindow], span: Span, shared: &Shared) -> Line {
        let mut line = Line::new();
        for (at, segment) in found.iter().enumerate() {
            let before = found.get(at.saturating_sub(WARM_UP)..at);
            line.push(segment, before.unwrap_or_default(), &shared.indexes);
        }
        let last = found.last();
        let last = last.map(|last| (last.session.as_str(), last.label.sequence));
        for (session, segment, file) in self.behind(last) {
            line.push_recorded(session, segment, file);
            // One more may hold sound of the last moments.
            let start = segment.info.start_time;
            if span.to.zip(start).is_some_and(|(to, start)| start >= to) {
                break;
            }
        }
        line
    }

    /// The segments behind `last`, given by its session and number, in order; without one, those from `from` on and
    /// some before, on which the first pictures may depend. At most `most` of the DVR window at a time.
    pub(crate) fn next(
        &self,
        last: Option<(&str, u64)>,
        from: DateTime<Utc>,
        most: usize,
    ) -> Vec<Found> {
        let mut found = match last {
            Some(last) => self.window.after(last, most),
            None => self.window.select(Some(from), None, AHEAD).0,
        };
        // Not all of it at once.
        let whole = last.is_some() && found.len() < most || found.len() <= AHEAD + most;
        found.truncate(AHEAD + most);
        let newest = found.last();
        let newest = newest.map(|one| (one.session.clone(), one.label.sequence));
        let newest = newest
            .as_ref()
            .map(|(session, number)| (session.as_str(), *number));
        let recorded = self.behind(newest.or(last)).filter(|_| whole);
        let recorded: Vec<_> = recorded
            .map(|(session, segment, file)| {
                Found::Recorded(session.to_owned(), segment.clone(), Arc::clone(file))
            })
            .collect();
        // Of those that are kept anyway, the ones that are needed.
        let is_older = |one: &Found| match one {
            Found::Recorded(_, segment, _) => {
                segment.info.start_time.is_some_and(|start| start < from)
            }
            Found::InWindow(_) => true,
        };
        let older = recorded.iter().take_while(|one| is_older(one)).count();
        let first = match last {
            Some(_) => 0,
            None => older.saturating_sub(AHEAD),
        };
        let found = found.into_iter().map(Found::InWindow);
        found.chain(recorded.into_iter().skip(first)).collect()
    }

    /// What is recorded behind a segment of the DVR window, given by its session and number.
    pub(super) fn behind(
        &self,
        last: Option<(&str, u64)>,
    ) -> impl Iterator<Item = (&str, &PlacedSegment, &Arc<SegmentFile>)> {
        let all = self.recorded.iter().flat_map(|one| {
            let segments = one.snapshot.segments();
            segments.map(|(segment, file)| (one.session.as_str(), segment, file))
        });
        all.filter(move |(session, segment, _)| {
            last.is_none_or(|last| (*session, segment.info.sequence) > last)
        })
    }
}

impl Recorded {
    fn of(session: &Session) -> Self {
        Self {
            session: session.id.clone(),
            snapshot: session.media.snapshot(),
            sub_folder: session.sub_folder.clone(),
        }
    }
}

/// The file of a segment that is kept of a stream, in its DVR window or by its recorder. It blocks.
pub(crate) fn file_of(
    stream: &str,
    session: &str,
    sequence: u64,
    shared: &Shared,
    app: &App,
) -> Option<PathBuf> {
    let window = shared.spool.dvr().stream(app.name(), stream);
    let in_window = || window.file(session, sequence);
    in_window().or_else(|| {
        wait_for_recovery(stream, shared, app);
        let session = session.to_owned();
        let recorded = app.stream(stream).and_then(|stream| {
            stream.ask(move |state| {
                let mut sessions = state.sessions();
                let media = &sessions.find(|one| one.id == session)?.media;
                let segments = media.timeline().segments().iter().zip(media.files());
                let mut own = segments.filter(|(one, _)| one.info.sequence == sequence);
                let holding = own.next()?.1.holding.as_ref()?;
                Some(holding.kept().path.clone())
            })
        });
        // It may have left its session just now.
        recorded.flatten().or_else(in_window)
    })
}

/// Waits until what an earlier run left of a stream is found, if anything is left.
fn wait_for_recovery(stream: &str, shared: &Shared, app: &App) {
    let begun = Instant::now();
    let is_recovered = || {
        let stream = app.stream(stream);
        stream.is_some_and(|stream| stream.shown().is_recovered)
    };
    while !is_recovered()
        && begun.elapsed() < RECOVERY
        && !shared.spool.sessions(app.name(), stream).is_empty()
    {
        std::thread::sleep(LOOK);
    }
}

fn mark_of(path: &Path) -> Result<FileMark, String> {
    let found = std::fs::metadata(path).map_err(|error| error.to_string())?;
    Ok(FileMark::of(&found))
}
