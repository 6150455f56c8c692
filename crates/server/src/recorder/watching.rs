//! Recordings that are played while they grow: as fragmented MP4, whose bytes come as its segments do, and as a
//! playlist (RFC 8216, 4.3.3.5: `EVENT`) of what is kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use clipmill::source::FileSource;
use clipmill::{Cut, GrowingFragments};
use tokio::sync::watch;

use super::app::App;
use super::dvr::{Kept, Line};
use super::history::Span;
use super::make::title;
use super::played::playlist_base;
use super::recorded::{Course, Recording};
use super::shared::Shared;
use crate::domain::StreamEntry;

/// Segments that are read at a time.
const AT_A_TIME: usize = 8;

/// How often it is looked for more.
const LOOK: Duration = Duration::from_millis(200);

/// The bytes of a recording, as they come.
#[derive(Debug)]
pub struct RecordingMedia {
    reader: Option<Box<Reader>>,
    course: watch::Receiver<Course>,
    shared: Arc<Shared>,
    app: Arc<App>,
    /// Keeps the segments.
    _recording: Arc<Recording>,
}

/// What has been read.
#[derive(Debug)]
struct Reader {
    stream: String,
    from: DateTime<Utc>,
    title: String,
    line: Line,
    /// The last segment that was taken.
    last: Option<(String, u64)>,
    /// Segments that were found and not written yet.
    waiting: VecDeque<u64>,
    fragments: Option<GrowingFragments>,
    /// Nothing more can be written to this file.
    ended: bool,
}

/// What a look for more gave.
enum Look {
    /// These bytes.
    Bytes(Bytes),
    /// Nothing has come.
    Nothing,
    /// Nothing more will come.
    End,
}

impl RecordingMedia {
    pub(crate) async fn of(recording: Arc<Recording>, shared: Arc<Shared>, app: Arc<App>) -> Self {
        let course = recording.follow();
        let window = course.borrow().window.clone();
        let known = shared.catalog.stream(app.name(), &window.stream_id).await;
        let known = known.ok().flatten().unwrap_or_else(|| StreamEntry {
            id: window.stream_id.clone(),
            ..StreamEntry::default()
        });
        let reader = Reader {
            from: DateTime::from_timestamp_millis(window.from_ms).unwrap_or_default(),
            title: window.title.unwrap_or_else(|| title(&known, None)),
            stream: window.stream_id,
            line: Line::new(),
            last: None,
            waiting: VecDeque::new(),
            fragments: None,
            ended: false,
        };
        Self {
            reader: Some(Box::new(reader)),
            course,
            shared,
            app,
            _recording: recording,
        }
    }

    /// The next bytes, once they have come; `None` at the end, and when the server stops.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            // What is there when it is over is all there is.
            let over = self.course.borrow().over;
            let to_ms = self.course.borrow().window.to_ms;
            let mut reader = self.reader.take()?;
            let (shared, app) = (Arc::clone(&self.shared), Arc::clone(&self.app));
            let looked = tokio::task::spawn_blocking(move || {
                let look = reader.look(to_ms, &shared, &app);
                (reader, look)
            });
            let (reader, look) = looked.await.ok()?;
            match look {
                Look::Bytes(bytes) => {
                    self.reader = Some(reader);
                    return Some(bytes);
                }
                Look::End => return None,
                Look::Nothing if over || self.shared.is_draining() => return None,
                Look::Nothing => self.reader = Some(reader),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                changed = self.course.changed() => changed.ok()?,
            }
        }
    }
}

impl Reader {
    /// Reads what has come.
    fn look(&mut self, to_ms: Option<i64>, shared: &Shared, app: &App) -> Look {
        if self.ended {
            return Look::End;
        }
        let kept = Kept::of(&self.stream, shared, app);
        let last = self.last.as_ref();
        let last = last.map(|(session, sequence)| (session.as_str(), *sequence));
        let found = kept.next(last, self.from, AT_A_TIME);
        for one in found {
            self.waiting.extend(self.line.add(&one, &shared.indexes));
            self.last = Some(one.place());
        }
        let mut out = Vec::new();
        match self.write(to_ms, &mut out) {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(app = app.name(), stream = self.stream, %error, "a recording that is played ends early");
                self.ended = true;
            }
        }
        match out.is_empty() {
            false => Look::Bytes(out.into()),
            true if self.ended => Look::End,
            true => Look::Nothing,
        }
    }

    fn write(&mut self, to_ms: Option<i64>, out: &mut Vec<u8>) -> Result<(), clipmill::ClipError> {
        let timeline = self.line.timeline();
        if self.fragments.is_none() {
            let at = timeline.at_time(self.from);
            let begun = timeline
                .segments()
                .iter()
                .filter_map(|one| one.first_presented);
            let from = at.or(begun.min());
            // Before the beginning there is nothing to be shown, and pictures may still be to come.
            let shown = from.zip(timeline.end()).filter(|(from, end)| end > from);
            let Some((from, _)) = shown else {
                return Ok(());
            };
            self.fragments =
                GrowingFragments::begin(timeline, from, Cut::Exact, Some(&self.title))?;
            out.extend(self.fragments.iter().flat_map(GrowingFragments::init));
        }
        let Some(fragments) = &mut self.fragments else {
            return Ok(());
        };
        let source = FileSource::default();
        while let Some(number) = self.waiting.pop_front() {
            if number < fragments.next() {
                continue;
            }
            let mut newest = timeline.segments().iter().rev();
            let Some(placed) = newest.find(|one| one.number == number) else {
                continue;
            };
            let begins = placed.first_presented.and_then(|at| timeline.time_at(at));
            let begins = begins.map(|begins| begins.timestamp_millis());
            if to_ms.zip(begins).is_some_and(|(to, begins)| begins >= to) {
                self.ended = true;
                return Ok(());
            }
            let bytes = placed.info.read(&source)?;
            if fragments.append(timeline, &bytes, out)?.is_none() {
                self.ended = true;
                return Ok(());
            }
        }
        Ok(())
    }
}

/// A recording as a playlist: as far as it has come, or all of it. `None` while there is nothing.
pub(crate) fn playlist(recording: &Recording, shared: &Shared, app: &App) -> Option<String> {
    let course = recording.follow().borrow().clone();
    let window = course.window;
    let kept = Kept::of(&window.stream_id, shared, app);
    let instant = DateTime::<Utc>::from_timestamp_millis;
    let span = Span {
        from: instant(window.from_ms),
        to: window.to_ms.and_then(instant),
    };
    let base = playlist_base(&window.stream_id, 0);
    kept.playlist(span, &base, !course.over)
}
