//! Windows that reach further back than what the recorders have in mind: what lies in the DVR window is put on a
//! timeline, in front of what is recorded.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clipmill::{Limits, SegmentIndex, SegmentReader, Ticks};

use super::app::App;
use super::history::{Span, WARM_UP};
use super::indexes::Indexes;
use super::media::{SegmentFile, SessionMedia, Snapshot, delta};
use super::session::Session;
use super::shared::Shared;
use crate::sources::session::FileMark;
use crate::spool::{Hold, InWindow, Label, StoredIndexes, StreamDvr, read};

/// Who asks first after a restart waits so long at most.
const RECOVERY: Duration = Duration::from_secs(20);

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A session as it is recorded now.
pub(crate) struct Recorded {
    pub(crate) session: String,
    pub(crate) snapshot: Snapshot,
}

/// Puts a stretch of time on a timeline: first what lies in the DVR window, then what is recorded. `None` when the
/// DVR window has nothing of it.
pub(crate) fn gather(
    window: &Arc<StreamDvr>,
    recorded: &[Recorded],
    span: Span,
    shared: &Shared,
) -> Option<Snapshot> {
    let mut back = WARM_UP;
    loop {
        let (found, hold) = window.select(span.from, span.to, back);
        if found.is_empty() {
            return None;
        }
        let (count, snapshot) = put(found, hold, recorded, span, shared);
        let timeline = &snapshot.timeline;
        let asked = span.from.and_then(|from| timeline.at_time(from));
        let first = timeline.next_sync(Ticks::MIN);
        let decodes = asked.is_none_or(|asked| first.is_some_and(|sync| sync <= asked));
        // Further back there is nothing.
        if decodes || count < back {
            return Some(snapshot);
        }
        back = back.saturating_mul(4);
    }
}

/// Gives how many segments there were, as well.
fn put(
    found: Vec<InWindow>,
    hold: Option<Hold>,
    recorded: &[Recorded],
    span: Span,
    shared: &Shared,
) -> (usize, Snapshot) {
    let mut line = Line::new(&shared.indexes);
    let count = found.len();
    let last = found
        .last()
        .map(|last| (last.session.clone(), last.label.sequence));
    for (at, segment) in found.iter().enumerate() {
        line.push(
            segment,
            found
                .get(at.saturating_sub(WARM_UP)..at)
                .unwrap_or_default(),
        );
    }
    for one in recorded {
        line.push_recorded(one, last.as_ref(), span.to);
    }
    (
        count,
        line.media.snapshot().holding(hold).lacking(line.lost),
    )
}

/// The timeline that segments are put on.
struct Line<'a> {
    indexes: &'a Indexes,
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

impl<'a> Line<'a> {
    fn new(indexes: &'a Indexes) -> Self {
        Self {
            indexes,
            stored: StoredIndexes::default(),
            media: SessionMedia::default(),
            reader: SegmentReader::new(None, &Limits::default()),
            seen: 0,
            last: None,
            lost: None,
        }
    }

    /// Puts a segment of the DVR window on the line. `before` are those before it, which the reader may not have seen.
    fn push(&mut self, segment: &InWindow, before: &[InWindow]) {
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
        let known = self.indexes.get(&segment.path).or_else(|| {
            let index = self.stored.get(segment)?;
            let mark = mark_of(&segment.path).ok()?;
            self.indexes.put(&segment.path, mark, &index);
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
                    self.indexes.put(&segment.path, mark, &index);
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

    /// The segments of a session that are recorded now and are not in the window: those behind `last`.
    fn push_recorded(
        &mut self,
        recorded: &Recorded,
        last: Option<&(String, u64)>,
        to: Option<DateTime<Utc>>,
    ) {
        for (segment, file) in recorded.snapshot.segments() {
            let info = &segment.info;
            let is_known = last.is_some_and(|(session, sequence)| {
                (&recorded.session, info.sequence) <= (session, *sequence)
            });
            if is_known {
                continue;
            }
            let label = self.placed(
                &recorded.session,
                &Label {
                    sequence: info.sequence,
                    duration: info.duration,
                    start_time: info.start_time,
                    discontinuity: info.discontinuity,
                    missing_before: info.missing_before,
                    init: None,
                    changed: false,
                    file: (0, 0),
                },
            );
            self.media
                .push(&label, Arc::clone(&segment.index), file.as_ref().clone());
            // One more may hold sound of the last moments.
            if to
                .zip(info.start_time)
                .is_some_and(|(to, start)| start >= to)
            {
                break;
            }
        }
    }

    /// A segment's label as it follows the last one: a session that begins does not go on where the one before
    /// ended, and what lies between two that are no neighbours is missing.
    fn placed(&mut self, session: &str, label: &Label) -> Label {
        let end = label
            .start_time
            .and_then(|start| start.checked_add_signed(delta(label.duration)));
        let next = (session.to_owned(), label.sequence, end);
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
        let between = between.map(|(start, ended)| ticks(start.signed_duration_since(ended)));
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
    window: Arc<StreamDvr>,
    recorded: Vec<Recorded>,
}

/// A segment that is kept, as players get it.
struct Played {
    session: String,
    label: Label,
    path: PathBuf,
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
        let window = self.window.reach().map(|(begin, end, _)| (begin, end));
        let ends = self.recorded.iter().rev().find_map(|one| {
            let timeline = &one.snapshot.timeline;
            timeline.time_at(timeline.end()?)
        });
        let (begin, end) = window?;
        Some((begin, ends.map_or(end, |ends| ends.max(end))))
    }

    /// The file of a segment.
    pub(crate) fn file(&self, session: &str, sequence: u64) -> Option<PathBuf> {
        self.window.file(session, sequence).or_else(|| {
            let mut all = self.recorded.iter().filter(|one| one.session == session);
            all.find_map(|one| {
                let mut segments = one.snapshot.segments();
                let (_, file) = segments.find(|(one, _)| one.info.sequence == sequence)?;
                Some(file.holding.as_ref()?.kept().path.clone())
            })
        })
    }

    /// A stretch of time as a playlist (RFC 8216, 4.3.3.5: `VOD`), whose segments lie below `base`; first and last
    /// segment whole. `None` when nothing is in it.
    pub(crate) fn playlist(
        &self,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
        base: &str,
    ) -> Option<String> {
        let segments = self.played(from, to);
        let longest = segments.iter().map(|one| one.label.duration).max()?;
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:0\n\
             #EXT-X-PLAYLIST-TYPE:VOD\n",
            (longest + 45_000) / 90_000
        );
        let mut last: Option<(&Played, &str)> = None;
        let mut map = None;
        for one in &segments {
            let Played {
                session,
                label,
                path,
            } = one;
            let suffix = match last {
                Some((last, suffix)) if last.session == *session => suffix,
                _ => suffix_of(path, label),
            };
            let goes_on = last.is_none_or(|(last, _)| {
                last.session == *session
                    && last.label.sequence + 1 == label.sequence
                    && !label.discontinuity
                    && label.missing_before == 0
            });
            if !goes_on {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            if label.init.is_some() && (map != label.init || !goes_on) {
                let number = label.sequence;
                let _ = writeln!(text, "#EXT-X-MAP:URI=\"{base}/{session}/{number}.mp4\"");
            }
            map = label.init;
            if let Some(start) = label.start_time {
                let date = start.to_rfc3339_opts(SecondsFormat::Millis, true);
                let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{date}");
            }
            let seconds = label.duration as f64 / 90_000.0;
            let number = label.sequence;
            let _ = writeln!(
                text,
                "#EXTINF:{seconds:.6},\n{base}/{session}/{number}.{suffix}"
            );
            last = Some((one, suffix));
        }
        text.push_str("#EXT-X-ENDLIST\n");
        Some(text)
    }

    /// The segments of a stretch of time.
    fn played(&self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Vec<Played> {
        let (found, _) = self.window.select(from, to, 0);
        let begins_before = |label: &Label| {
            to.zip(label.start_time)
                .is_none_or(|(to, start)| start < to)
        };
        let mut all: Vec<_> = found
            .into_iter()
            .filter(|one| begins_before(&one.label))
            .map(|one| Played {
                session: one.session,
                label: one.label,
                path: one.path,
            })
            .collect();
        let last = all
            .last()
            .map(|last| (last.session.clone(), last.label.sequence));
        for one in &self.recorded {
            for (segment, file) in one.snapshot.segments() {
                let info = &segment.info;
                let is_known = last.as_ref().is_some_and(|(session, sequence)| {
                    (&one.session, info.sequence) <= (session, *sequence)
                });
                let Some(holding) = file.holding.as_ref().filter(|_| !is_known) else {
                    continue;
                };
                let label = holding.kept().label;
                let end = label
                    .start_time
                    .and_then(|start| start.checked_add_signed(delta(label.duration)));
                let is_over = from.zip(end).is_some_and(|(from, end)| end <= from);
                if begins_before(&label) && !is_over {
                    all.push(Played {
                        session: one.session.clone(),
                        label,
                        path: holding.kept().path.clone(),
                    });
                }
            }
        }
        all
    }
}

impl Recorded {
    pub(crate) fn of(session: &Session) -> Self {
        Self {
            session: session.id.clone(),
            snapshot: session.media.snapshot(),
        }
    }
}

/// Waits until what an earlier run left of a stream is found, if anything is left.
pub(crate) fn wait_for_recovery(stream: &str, shared: &Shared, app: &App) {
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

/// What the name of a segment ends in, by its content: players go by it.
fn suffix_of(path: &Path, label: &Label) -> &'static str {
    let mut first = [0; 8];
    let read =
        std::fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut first));
    match first {
        _ if label.init.is_some() => "m4s",
        [0x47, ..] => "ts",
        [_, _, _, _, b'f', b't', b'y', b'p'] => "fmp4",
        [0xff, ..] | [b'I', b'D', b'3', ..] if read.is_ok() => "aac",
        _ => "ts",
    }
}

fn mark_of(path: &Path) -> Result<FileMark, String> {
    let found = std::fs::metadata(path).map_err(|error| error.to_string())?;
    Ok(FileMark::of(&found))
}

/// A duration in 90 kHz ticks.
fn ticks(duration: TimeDelta) -> Ticks {
    let micros = duration.num_microseconds().unwrap_or(i64::MAX);
    micros.saturating_mul(9) / 100
}
