//! Periodic clips: decided by the stream's task in short steps, made by the workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use clipmill::live::{LossReason, LostMedia, Mark};
use clipmill::{Bounds, Clip, Cut, Ticks};

use super::app::App;
use super::growing::Growing;
use super::line::{Held, Snapshot, delta, ticks, time_ms};
use super::make::{Recipe, make};
use super::session::{Ending, Recording, Session, missing};
use super::shared::{MakeError, Shared};
use super::state::State;
use super::task::Task;
use crate::catalog::Boundary;
use crate::domain::Gap;
use crate::schedule::{Urgency, spread};

/// How soon a clip is tried again for which there was no room.
const NO_ROOM: Duration = Duration::from_secs(3);

/// The longest pause between two tries of a clip that failed otherwise.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Less is missing between two frames of a stream that has nothing missing.
const SHORT_GAP: TimeDelta = TimeDelta::milliseconds(500);

/// A clip whose media cannot be read is given up after so many tries.
pub(super) const TRIES: u32 = 4;

/// What is to be done next for a session.
#[derive(Debug, PartialEq)]
enum Step {
    /// Nothing, until there is more media.
    Wait,
    /// It has begun to record here.
    Begin(Mark),
    /// A clip is complete.
    Cut(Box<Piece>),
    /// A new grid begins where the present clip does: there is no place yet to end it.
    Regrid(Duration),
    /// Nothing will come of it any more.
    Over,
}

/// A clip that is complete.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Piece {
    from: Mark,
    /// `None`: to the end of the media.
    to: Option<Mark>,
    /// Where recording goes on, and whether it does.
    boundary: Boundary,
    /// It begins a grid of this interval.
    regrid: Option<Duration>,
}

impl Session {
    /// From the live edge on; what is in the making is ended before.
    pub(crate) fn record(&mut self, interval: Duration) {
        match &self.clips.recording {
            Recording::Off => {
                let edge = self.line.timeline().end();
                self.clips.recording = Recording::Waiting(edge.unwrap_or(Ticks::MIN));
                self.clips.interval = interval;
                self.clips.ending = None;
            }
            Recording::Waiting(_) => self.clips.interval = interval,
            Recording::On(_) | Recording::Resuming(_) | Recording::Beginning(..) => {
                self.clips.ending = Some(Ending::Restart(interval));
                self.clips.goes_on = true;
            }
        }
    }

    /// No further than to the live edge. What has come until now belongs to the last clip.
    pub(crate) fn stop_recording(&mut self) {
        match &self.clips.recording {
            Recording::Off => {}
            Recording::Waiting(_) => self.clips.recording = Recording::Off,
            Recording::On(_) | Recording::Resuming(_) | Recording::Beginning(..) => {
                self.clips.ending = Some(Ending::Listed);
            }
        }
    }

    /// Everything that was listed has been taken in.
    pub(crate) fn all_listed(&mut self) {
        self.tape_listed();
        if self.clips.ending == Some(Ending::Listed) {
            self.clips.ending = Some(Ending::Last);
        }
    }

    /// What is to be done next, by somebody who does it.
    fn begin_step(&mut self) -> Step {
        let step = self.step();
        if matches!(step, Step::Cut(_)) {
            self.clips.goes_on = false;
        }
        step
    }

    /// What is to be done next.
    fn step(&self) -> Step {
        let timeline = self.line.timeline();
        let nothing_more = || match self.clips.ending {
            None | Some(Ending::Listed) => Step::Wait,
            Some(Ending::Last | Ending::Restart(_)) => Step::Over,
        };
        let mark = match &self.clips.recording {
            Recording::Off => return Step::Over,
            Recording::Beginning(..) => return Step::Wait,
            Recording::Waiting(from) => {
                return Mark::first(timeline, *from).map_or_else(nothing_more, Step::Begin);
            }
            Recording::Resuming(left_off) => {
                return match left_off.find(timeline) {
                    Some((mark, true)) => Step::Begin(mark),
                    // Its segment is lost: on with the next sync sample.
                    Some((mark, false)) => match timeline.next_sync(mark.ticks) {
                        Some(ticks) => Step::Begin(Mark { ticks, ..mark }),
                        None => nothing_more(),
                    },
                    None => nothing_more(),
                };
            }
            Recording::On(mark) => *mark,
        };
        if let Some(to) = mark.next(timeline, self.clips.interval) {
            return self.piece(mark, Some(to), None);
        }
        match self.clips.ending {
            None | Some(Ending::Listed) => Step::Wait,
            Some(Ending::Last) => self.piece(mark, None, None),
            Some(Ending::Restart(interval)) => match mark.latest(timeline) {
                Some(to) => self.piece(mark, Some(to), Some(interval)),
                None => Step::Regrid(interval),
            },
        }
    }

    fn piece(&self, from: Mark, to: Option<Mark>, regrid: Option<Duration>) -> Step {
        let timeline = self.line.timeline();
        let Some(end) = to.or_else(|| Mark::end(timeline)) else {
            return Step::Over;
        };
        let boundary = Boundary {
            finished: to.is_none(),
            ..self.written(end, self.clips.ordinal + 1)
        };
        Step::Cut(Box::new(Piece {
            from,
            to,
            boundary,
            regrid,
        }))
    }

    /// Goes on behind a piece, made from what was there until `known`. Gives what is done with
    /// until when.
    fn dealt_with(&mut self, piece: &Piece, known: Option<Ticks>, made: bool) -> Ticks {
        self.clips.ordinal = piece.boundary.ordinal;
        if made {
            self.clips.hole = None;
            self.clips.any_made = true;
        }
        if let Some(interval) = piece.regrid {
            self.clips.interval = interval;
            self.restarted();
        }
        self.clips.from_the_start = false;
        if let Some(mark) = piece.to {
            self.clips.recording = Recording::On(mark);
            return mark.ticks;
        }
        // Since it was told to record on it may have been stopped anew, or be over: another last
        // clip is due then.
        if let Some(end) = known.filter(|_| std::mem::take(&mut self.clips.goes_on)) {
            self.clips.recording = Recording::Waiting(end);
            if let Some(Ending::Restart(interval)) = self.clips.ending {
                self.clips.interval = interval;
            }
            self.restarted();
            return end;
        }
        self.clips.recording = Recording::Off;
        self.clips.ending = None;
        self.line.timeline().end().unwrap_or(Ticks::MAX)
    }

    /// A new grid has begun; it may have been told meanwhile to end for good.
    fn restarted(&mut self) {
        if matches!(self.clips.ending, Some(Ending::Restart(_))) {
            self.clips.ending = None;
        }
    }

    /// Where the clip begins whose first picture is at `mark`: sound ahead of the first picture of a
    /// session belongs to its first clip.
    pub(crate) fn clip_begins(&self, mark: Mark) -> Ticks {
        if self.clips.from_the_start {
            Ticks::MIN
        } else {
            mark.ticks
        }
    }

    /// A mark as it is written down.
    fn written(&self, mark: Mark, ordinal: u64) -> Boundary {
        let boundary = mark.to_boundary(self.line.timeline(), &self.id, ordinal);
        let segments = self.line.timeline().segments().iter().zip(self.line.held());
        let mut of_boundary = segments.filter(|(one, _)| one.info.sequence == boundary.sequence);
        let name = of_boundary.find_map(|(_, held)| {
            let name = held.original.as_ref()?.file_name()?.to_str()?;
            Some(name.to_owned())
        });
        Boundary {
            segment: name.unwrap_or_default(),
            taken: self.taken.written(boundary.sequence),
            ..boundary
        }
    }
}

/// Lets go of what a session that records nothing keeps beyond the last interval, which somebody
/// may ask for.
pub(crate) fn trim(session: &mut Session) -> Vec<Arc<Held>> {
    let end = session.line.timeline().end();
    match (&session.clips.recording, end) {
        (Recording::Off, Some(end)) => session.forget_before(end - ticks(session.clips.interval)),
        _ => Vec::new(),
    }
}

impl State {
    /// When the next clip is to be made, if one is complete.
    pub(crate) fn next_cut(&self, app: &App, stream: &str) -> Option<Instant> {
        let now = Instant::now();
        if let Some((at, _)) = self.retry
            && at > now
        {
            return Some(at);
        }
        if !self.closing.is_empty() {
            return Some(now);
        }
        let session = self.session.as_ref()?;
        if session.tape_is_due() {
            return Some(now);
        }
        let (step, clips) = (session.step(), &session.clips);
        match step {
            Step::Wait => None,
            Step::Over if clips.ending.is_none() => None,
            Step::Cut(piece) if clips.ending.is_none() && piece.to.is_some() => {
                Some(session.grown_at.max(now) + spread(app.name(), stream, clips.interval))
            }
            _ => Some(now),
        }
    }

    /// Something failed. Gives how often it did, and says when to try again.
    pub(crate) fn failed(&mut self, error: &MakeError, whom: &str, shared: &Shared) -> u32 {
        let tries = self.retry.map_or(0, |(_, tries)| tries) + 1;
        let full = matches!(error, MakeError::DiskFull);
        let pause = match error {
            MakeError::DiskFull => NO_ROOM,
            _ => (Duration::from_millis(500) * 2_u32.pow(tries.min(8))).min(LONGEST_PAUSE),
        };
        self.retry = Some((Instant::now() + pause, tries));
        shared.troubles.set(whom, full, &error.to_string());
        tries
    }

    /// How often the next thing to be made has failed.
    pub(crate) fn tries(&self) -> u32 {
        self.retry.map_or(0, |(_, tries)| tries)
    }
}

impl Task {
    /// Does one step towards a clip: decides here what is to be made, and has it made elsewhere.
    pub(crate) fn cut(&mut self) {
        if let Some(tape) = self.state.cut_tape() {
            return self.make_tape(tape);
        }
        let closing = !self.state.closing.is_empty();
        let Some(subject) = self.state.subject() else {
            return;
        };
        match subject.begin_step() {
            Step::Wait => {}
            Step::Over if closing && subject.end_tape() => {}
            Step::Over if closing => {
                let over = self.state.closing.remove(0);
                self.state.retry = None;
                self.forget_session(over);
            }
            Step::Over => {
                subject.clips.recording = Recording::Off;
                subject.clips.ending = None;
            }
            Step::Begin(mark) => self.begin_recording(mark),
            Step::Regrid(interval) => {
                let clips = &mut subject.clips;
                if let (Recording::On(mark), timeline) = (&clips.recording, subject.line.timeline())
                    && let Some(grid_ms) = time_ms(timeline, mark.ticks)
                {
                    clips.recording = Recording::On(Mark { grid_ms, ..*mark });
                }
                clips.interval = interval;
                clips.ending = None;
            }
            Step::Cut(piece) => {
                let work = Work {
                    session: subject.id.clone(),
                    sub_folder: subject.sub_folder.clone(),
                    hole: subject.clips.hole,
                    complete: subject.grown_at,
                    snapshot: subject.line.snapshot(),
                    growing: subject.growth.take(),
                    from: subject.clip_begins(piece.from),
                    missing: subject.line.missing(),
                    piece: *piece,
                    tries: self.state.tries(),
                };
                self.cut_piece(work);
            }
        }
    }

    /// All clips of a session are made.
    fn forget_session(&self, mut over: Session) {
        let gone = over.line.forget_all();
        let (app, stream) = (Arc::clone(&self.app), Arc::clone(&self.stream));
        self.submit(Urgency::Segments, move |shared| {
            app.forget_links(&gone);
            drop(gone);
            let folder = shared.spool.session(app.name(), &stream, &over.id);
            drop(over);
            shared.spool.remove_empty(&folder);
        });
    }

    fn begin_recording(&mut self, mark: Mark) {
        let (app, stream) = (Arc::clone(&self.app), Arc::clone(&self.stream));
        let Some(subject) = self.state.subject() else {
            return;
        };
        if let Recording::Resuming(left_off) = &subject.clips.recording {
            let timeline = subject.line.timeline();
            if left_off.find(timeline).is_some_and(|(_, exact)| exact) {
                subject.clips.recording = Recording::On(mark);
                return;
            }
            if subject.clips.hole.is_none() {
                let lost = LostMedia {
                    from: left_off.instant(),
                    to: timeline.time_at(mark.ticks),
                    reason: LossReason::Missing,
                };
                let shown = Gap::from(lost);
                tracing::error!(
                    app = app.name(),
                    stream = &*stream,
                    from = shown.from_text(),
                    to = shown.to_text(),
                    "segments are lost that no clip holds"
                );
                subject.clips.hole = Some(lost);
            }
        }
        let begins = subject.line.timeline().time_at(mark.ticks);
        let clips = &mut subject.clips;
        clips.from_the_start = clips.recording == Recording::Waiting(Ticks::MIN);
        if let Some(hole) = &mut clips.hole
            && hole.to.is_none()
        {
            hole.to = begins;
            // Clocks may say that it began before the one ahead of it was over.
            if hole.to <= hole.from {
                clips.hole = None;
            }
        }
        let written = Boundary {
            lost: subject.clips.hole,
            from_the_start: subject.clips.from_the_start,
            ..subject.written(mark, subject.clips.ordinal)
        };
        let clips = &mut subject.clips;
        let origin = std::mem::replace(&mut clips.recording, Recording::Off);
        clips.recording = Recording::Beginning(mark, Box::new(origin));
        let session = subject.id.clone();
        self.work(Urgency::Segments, move |shared| {
            let stored = shared
                .catalog
                .set_boundary(app.name(), &stream, Some(&written));
            let result = stored.map_err(MakeError::from);
            Made::Begun { session, result }
        });
    }

    fn cut_piece(&mut self, mut work: Work) {
        let (app, stream) = (Arc::clone(&self.app), Arc::clone(&self.stream));
        self.work(Urgency::Periodic, move |shared| {
            let _counted = shared.count_making();
            let result = work.make(&stream, shared, &app);
            let known = work.snapshot.timeline.end();
            let Work { session, piece, .. } = work;
            Made::Piece {
                session,
                piece: Box::new(piece),
                known,
                result,
            }
        });
    }

    /// What was to be made is made, or is not.
    pub(crate) async fn made(&mut self, made: Made) {
        let whom = self.whom();
        match made {
            Made::Begun { session, result } => {
                let failed = result.as_ref().err();
                if let Some(error) = failed {
                    self.state.failed(error, &whom, &self.shared);
                }
                let failed = failed.is_some();
                if let Some(session) = self.state.by_id(&session)
                    && let Recording::Beginning(mark, origin) = &mut session.clips.recording
                {
                    let origin = std::mem::replace(origin.as_mut(), Recording::Off);
                    let mark = *mark;
                    session.clips.recording = if failed { origin } else { Recording::On(mark) };
                }
            }
            Made::Piece {
                session,
                piece,
                known,
                result,
            } => self.piece_made(&session, &piece, known, result),
            Made::Panicked => {
                let error = MakeError::Store("it ended in a panic".to_owned());
                self.state.failed(&error, &whom, &self.shared);
                if let Some(clips) = self.state.subject().map(|subject| &mut subject.clips)
                    && let Recording::Beginning(_, origin) = &mut clips.recording
                {
                    clips.recording = std::mem::replace(origin.as_mut(), Recording::Off);
                }
            }
            Made::Tape { session, result } => self.tape_made(&session, result).await,
        }
    }

    /// What came of a clip or a recording of a session. `None` when it is tried again: later, or without
    /// the segments that are lost.
    pub(crate) fn settle<T>(&mut self, session: &str, result: Result<T, NotMade>) -> Option<T> {
        let whom = self.whom();
        match result {
            Ok(made) => {
                self.shared.troubles.clear(&whom);
                self.state.retry = None;
                Some(made)
            }
            Err(NotMade::Lost(lost)) => {
                if let Some(session) = self.state.by_id(session) {
                    session.lose(&lost);
                }
                None
            }
            Err(NotMade::Failed(error)) => {
                self.state.failed(&error, &whom, &self.shared);
                None
            }
        }
    }

    fn piece_made(
        &mut self,
        session: &str,
        piece: &Piece,
        known: Option<Ticks>,
        result: Result<PieceMade, NotMade>,
    ) {
        let Some(made) = self.settle(session, result) else {
            return;
        };
        let made = made == PieceMade::Stored;
        let Some(session) = self.state.by_id(session) else {
            return;
        };
        let end = session.dealt_with(piece, known, made);
        let gone = session.forget_before(end);
        let mut used = Vec::new();
        if made && self.app.settings().delete_hls_after_clip {
            used = session.used_up(end);
            used.extend(gone.iter().cloned());
        }
        let app = Arc::clone(&self.app);
        self.submit(Urgency::Segments, move |_| {
            app.forget_links(&gone);
            drop(gone);
            delete(&used);
        });
    }
}

/// What became of a clip.
#[derive(Debug)]
pub(crate) enum Made {
    /// Where the first one begins was to be written down.
    Begun {
        session: String,
        result: Result<(), MakeError>,
    },
    /// A worker fell over it.
    Panicked,
    /// A periodic clip, from what was there until `known`.
    Piece {
        session: String,
        piece: Box<Piece>,
        known: Option<Ticks>,
        result: Result<PieceMade, NotMade>,
    },
    /// A recording. It is over also where nothing came of it.
    Tape {
        session: String,
        result: Result<(), NotMade>,
    },
}

/// What became of a periodic clip that is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceMade {
    Stored,
    /// Nothing was in it, or it was given up: only where it ends is written down.
    Skipped,
}

/// Why there is no clip yet.
#[derive(Debug)]
pub(crate) enum NotMade {
    /// The content of these segments, by their numbers on the line, is not what was indexed.
    Lost(Vec<u64>),
    Failed(MakeError),
}

impl From<MakeError> for NotMade {
    fn from(error: MakeError) -> Self {
        Self::Failed(error)
    }
}

impl Session {
    /// The segments that end before `end`: what is still needed of them is in the spool.
    fn used_up(&self, end: Ticks) -> Vec<Arc<Held>> {
        let segments = self.line.timeline().segments();
        let begins = segments.iter().map(|segment| segment.first_presented);
        let ends = begins.skip(1).chain([self.line.timeline().end()]);
        let used = self.line.held().iter().zip(ends);
        let used =
            used.filter(|(held, at)| at.is_some_and(|at| at <= end) && held.holding.is_some());
        used.map(|(held, _)| Arc::clone(held)).collect()
    }
}

/// Removes the media server's files.
fn delete(used: &[Arc<Held>]) {
    for held in used {
        if let Some(path) = &held.original
            && held.original_is_intact()
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot delete a segment");
        }
    }
}

/// A clip that is being made.
struct Work {
    session: String,
    sub_folder: Option<String>,
    hole: Option<LostMedia>,
    complete: Instant,
    snapshot: Snapshot,
    growing: Option<Box<Growing>>,
    /// How often it failed.
    tries: u32,
    /// Where it begins.
    from: Ticks,
    /// Length of the segments that are missing behind the last one, in 90 kHz ticks.
    missing: Ticks,
    piece: Piece,
}

impl Work {
    /// Makes the clip, or writes down that there is none.
    fn make(&mut self, stream: &str, shared: &Shared, app: &App) -> Result<PieceMade, NotMade> {
        let damaged = self.damaged();
        if !damaged.is_empty() {
            tracing::error!(
                app = app.name(),
                stream,
                segments = damaged.len(),
                "segments were deleted or overwritten before their clip was made"
            );
            return Err(NotMade::Lost(damaged));
        }
        let bounds = Bounds {
            from: Some(self.from),
            to: self.piece.to.map(|to| to.ticks),
        };
        if let Some(clip) = Clip::new(&self.snapshot.timeline, bounds, Cut::Keyframe) {
            let missing = self.hole.into_iter().chain(self.gap_behind(&clip));
            let recipe = Recipe {
                stream,
                sub_folder: self.sub_folder.as_deref(),
                vod_id: None,
                boundary: Some(&self.piece.boundary),
                missing: missing.map(Gap::from).collect(),
                clip,
                from_the_start: self.from == Ticks::MIN,
                window: None,
                complete: self.complete,
                growing: self.growing.take().map(|growing| *growing),
            };
            match make(shared, app, recipe, |_, _| None) {
                Ok(_) => return Ok(PieceMade::Stored),
                Err(MakeError::Media(_)) if self.tries + 1 >= TRIES => {
                    tracing::error!(app = app.name(), stream, "the clip is given up");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let stored = shared
            .catalog
            .set_boundary(app.name(), stream, Some(&self.piece.boundary));
        stored.map_err(MakeError::from)?;
        Ok(PieceMade::Skipped)
    }

    /// What is missing between the clip's last frame and where the next one begins.
    fn gap_behind(&self, clip: &Clip) -> Option<LostMedia> {
        let timeline = &self.snapshot.timeline;
        let from = clip.end_time?;
        let Some(to) = self.piece.to else {
            return (self.missing > 0).then(|| missing(from, from + delta(self.missing)));
        };
        let to_time = timeline.time_at(to.ticks)?;
        let after = timeline.segments().iter();
        let mut after = after.filter(|s| s.first_presented.is_some_and(|at| at <= to.ticks));
        let lost = after.next_back().is_some_and(|s| s.info.missing_before > 0);
        let gap = missing(from, to_time);
        let reason = if lost { gap.reason } else { LossReason::Paused };
        (to_time - from > SHORT_GAP).then_some(LostMedia { reason, ..gap })
    }

    /// The segments of the clip whose files are not what was indexed.
    fn damaged(&self) -> Vec<u64> {
        let to = self.piece.to.map_or(Ticks::MAX, |to| to.ticks);
        let segments = self.snapshot.timeline.segments();
        let after = segments
            .iter()
            .find(|s| s.first_presented.is_some_and(|at| at > to));
        // Sound of its last moments may lie in the segment after it.
        let last = after.map_or(u64::MAX, |segment| segment.number);
        self.snapshot.damaged(|number| number <= last)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use clipmill::{DemuxOptions, Demuxer};

    use super::*;
    use crate::sources::session::FileMark;
    use crate::spool::Label;

    const INTERVAL: Duration = Duration::from_secs(60);

    /// A session that records the demo stream, of which nothing has come yet.
    struct Demo {
        session: Session,
        demuxer: Demuxer,
        next: u64,
    }

    impl Demo {
        fn new() -> Self {
            let mut session = Session::new(
                "0-0".into(),
                PathBuf::from("cam.m3u8"),
                None,
                Duration::from_secs(2),
            );
            session.record(INTERVAL);
            Self {
                session,
                demuxer: Demuxer::new(DemuxOptions::default()),
                next: 0,
            }
        }

        /// The next segment comes: two seconds.
        fn grow(&mut self) {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo");
            let path = folder.join(format!("seg{:02}.ts", self.next));
            let mark = FileMark::of(&path.metadata().unwrap());
            let index = self.demuxer.index(&std::fs::read(&path).unwrap()).unwrap();
            let start_ms = i64::try_from(self.next).unwrap() * 2000;
            let label = Label {
                sequence: self.next,
                duration: 180_000,
                start_time: chrono::DateTime::from_timestamp_millis(start_ms),
                discontinuity: false,
                missing_before: 0,
                init: None,
                changed: false,
                file: (0, 0),
            };
            self.session.line.push(&label, index, Held::of(path, mark));
            self.next += 1;
        }

        /// The same, recording its first segment.
        fn recording() -> Self {
            let mut demo = Self::new();
            demo.grow();
            demo.begin();
            demo
        }

        /// Recording ends with what is there.
        fn stop(&mut self) {
            self.session.stop_recording();
            self.session.all_listed();
        }

        /// Recording begins with what is there.
        fn begin(&mut self) {
            let Step::Begin(mark) = self.session.step() else {
                panic!("{:?}", self.session.step());
            };
            self.session.clips.recording = Recording::On(mark);
        }

        /// The clip that is due, and what is known when it is begun to be made.
        fn due(&mut self) -> (Piece, Option<Ticks>) {
            match self.session.begin_step() {
                Step::Cut(piece) => (*piece, self.session.line.timeline().end()),
                other => panic!("{other:?}"),
            }
        }

        fn made(&mut self, (piece, known): &(Piece, Option<Ticks>)) -> Ticks {
            self.session.dealt_with(piece, *known, true)
        }
    }

    #[test]
    fn stopped_it_waits_for_what_is_listed_already() {
        let mut demo = Demo::recording();
        demo.session.stop_recording();
        assert_eq!(demo.session.step(), Step::Wait);
        demo.grow();
        demo.session.all_listed();
        let last = demo.due();
        assert_eq!(last.0.to, None);
        assert!(last.0.boundary.finished);
        demo.made(&last);
        assert_eq!(demo.session.clips.recording, Recording::Off);
    }

    #[test]
    fn told_to_go_on_while_its_last_clip_is_made_it_goes_on_behind_it() {
        for over in [false, true] {
            let mut demo = Demo::recording();
            demo.stop();
            let last = demo.due();
            demo.session.record(INTERVAL);
            demo.grow();
            // Neither its end nor another order takes back what came since.
            if over {
                demo.session.clips.ending = Some(Ending::Last);
            }
            let end = demo.made(&last);
            demo.begin();
            if !over {
                assert_eq!(demo.session.step(), Step::Wait);
                demo.stop();
            }
            let rest = demo.due();
            assert_eq!(rest.0.from.ticks, end);
            demo.made(&rest);
            assert_eq!(demo.session.clips.recording, Recording::Off);
        }
    }

    #[test]
    fn what_comes_after_a_last_clip_is_in_none() {
        let mut demo = Demo::recording();
        demo.stop();
        let last = demo.due();
        demo.grow();
        let end = demo.made(&last);
        assert_eq!(Some(end), demo.session.line.timeline().end());
        assert_eq!(demo.session.clips.recording, Recording::Off);
        // A new order begins at the live edge.
        demo.session.record(INTERVAL);
        assert_eq!(demo.session.step(), Step::Wait);
        demo.grow();
        demo.begin();
        let Recording::On(mark) = demo.session.clips.recording else {
            panic!();
        };
        assert_eq!(mark.ticks, end);
    }

    #[test]
    fn a_new_interval_ends_what_is_in_the_making_at_a_sync_sample() {
        let mut demo = Demo::new();
        demo.grow();
        demo.grow();
        demo.begin();
        demo.session.record(INTERVAL * 2);
        let early = demo.due();
        assert_eq!(early.0.regrid, Some(INTERVAL * 2));
        let end = demo.made(&early);
        assert_eq!(early.0.to.map(|to| to.ticks), Some(end));
        assert_eq!(demo.session.clips.ending, None);
        assert_eq!(demo.session.clips.interval, INTERVAL * 2);
        assert_eq!(demo.session.step(), Step::Wait);
    }
}
