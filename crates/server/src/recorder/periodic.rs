//! Periodic clips: decided under the stream's lock, made outside it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use clipmill::{Bounds, Clip, Cut, Ticks};

use super::app::App;
use super::boundary::{self, Mark};
use super::growing::Growing;
use super::line::{Held, Snapshot};
use super::make::{Recipe, make, rfc3339};
use super::session::{Ending, Recording, Session, delta, missing, ticks};
use super::shared::{MakeError, Shared, lock};
use super::stream::{State, Stream};
use crate::catalog::Boundary;
use crate::model::VodGap;
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
struct Piece {
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
        match &self.recording {
            Recording::Off => {
                let edge = self.line.timeline().end();
                self.recording = Recording::Waiting(edge.unwrap_or(Ticks::MIN));
                self.interval = interval;
                self.ending = None;
            }
            Recording::Waiting(_) => self.interval = interval,
            Recording::On(_) | Recording::Resuming(_) => {
                self.ending = Some(Ending::Restart(interval));
                self.goes_on = true;
            }
        }
    }

    /// No further than to the live edge. What has come until now belongs to the last clip.
    pub(crate) fn stop_recording(&mut self) {
        match &self.recording {
            Recording::Off => {}
            Recording::Waiting(_) => self.recording = Recording::Off,
            Recording::On(_) | Recording::Resuming(_) => self.ending = Some(Ending::Listed),
        }
    }

    /// Everything that was listed has been taken in.
    pub(crate) fn all_listed(&mut self) {
        self.tape_listed();
        if self.ending == Some(Ending::Listed) {
            self.ending = Some(Ending::Last);
        }
    }

    /// What is to be done next, by somebody who does it.
    fn begin_step(&mut self) -> Step {
        let step = self.step();
        if matches!(step, Step::Cut(_)) {
            self.goes_on = false;
        }
        step
    }

    /// What is to be done next.
    fn step(&self) -> Step {
        let timeline = self.line.timeline();
        let nothing_more = || match self.ending {
            None | Some(Ending::Listed) => Step::Wait,
            Some(Ending::Last | Ending::Restart(_)) => Step::Over,
        };
        let mark = match &self.recording {
            Recording::Off => return Step::Over,
            Recording::Waiting(from) => {
                return Mark::first(timeline, *from).map_or_else(nothing_more, Step::Begin);
            }
            Recording::Resuming(left_off) => {
                return match boundary::find(timeline, left_off) {
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
        if let Some(to) = mark.next(timeline, self.interval) {
            return self.piece(mark, Some(to), None);
        }
        match self.ending {
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
            ..self.written(end, self.ordinal + 1)
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
        self.ordinal = piece.boundary.ordinal;
        if made {
            self.hole = None;
            self.has_clips = true;
        }
        if let Some(interval) = piece.regrid {
            self.interval = interval;
            self.restarted();
        }
        self.from_the_start = false;
        if let Some(mark) = piece.to {
            self.recording = Recording::On(mark);
            return mark.ticks;
        }
        // Since it was told to record on it may have been stopped anew, or be over: another last
        // clip is due then.
        if let Some(end) = known.filter(|_| std::mem::take(&mut self.goes_on)) {
            self.recording = Recording::Waiting(end);
            if let Some(Ending::Restart(interval)) = self.ending {
                self.interval = interval;
            }
            self.restarted();
            return end;
        }
        self.recording = Recording::Off;
        self.ending = None;
        self.line.timeline().end().unwrap_or(Ticks::MAX)
    }

    /// A new grid has begun; it may have been told meanwhile to end for good.
    fn restarted(&mut self) {
        if matches!(self.ending, Some(Ending::Restart(_))) {
            self.ending = None;
        }
    }

    /// Where the clip begins whose first picture is at `mark`: sound ahead of the first picture of a
    /// session belongs to its first clip.
    pub(crate) fn clip_begins(&self, mark: Mark) -> Ticks {
        if self.from_the_start {
            Ticks::MIN
        } else {
            mark.ticks
        }
    }

    /// A mark as it is written down.
    fn written(&self, mark: Mark, ordinal: u64) -> Boundary {
        let boundary = mark.to_boundary(self.line.timeline(), &self.id, ordinal);
        let segments = self.line.timeline().segments().iter().zip(self.line.held());
        let mut named = segments.filter_map(|(segment, held)| {
            let name = held.original.as_ref()?.file_name()?.to_str()?;
            (segment.info.sequence == boundary.sequence).then(|| name.to_owned())
        });
        Boundary {
            segment: named.next().unwrap_or_default(),
            taken: self.taken.written(boundary.sequence),
            ..boundary
        }
    }
}

/// Lets go of what a session that records nothing keeps beyond the last interval, which somebody
/// may ask for.
pub(crate) fn trim(session: &mut Session, app: &App) {
    if session.recording != Recording::Off {
        return;
    }
    if let Some(end) = session.line.timeline().end() {
        let gone = session.forget_before(end - ticks(session.interval));
        app.forget_links(&gone);
    }
}

impl Stream {
    /// Has periodic clips made that are complete.
    pub(crate) fn queue_cut(self: &Arc<Self>, shared: &Arc<Shared>, app: &Arc<App>) {
        let due = self.next_cut(&lock(&self.state), app);
        if let Some(due) = due {
            self.submit_cut(due, shared, app);
        }
    }

    /// Has the next step towards a clip done.
    pub(crate) fn submit_cut(self: &Arc<Self>, due: Instant, shared: &Arc<Shared>, app: &Arc<App>) {
        if shared.is_draining() {
            return;
        }
        {
            let mut queued = lock(&self.cut_due);
            if queued.is_some_and(|queued| queued <= due) {
                return;
            }
            *queued = Some(due);
        }
        let (stream, app) = (Arc::clone(self), Arc::clone(app));
        let context = Arc::downgrade(shared);
        shared.pool.submit(Urgency::Periodic, due, move || {
            let Some(shared) = context.upgrade() else {
                return;
            };
            {
                let mut queued = lock(&stream.cut_due);
                if queued.is_none_or(|queued| queued > Instant::now()) {
                    return;
                }
                *queued = None;
            }
            let again = {
                let Ok(_alone) = stream.cutting.try_lock() else {
                    return;
                };
                let _counted = shared.count_making();
                stream.cut(&shared, &app)
            };
            // One at a time, so that a stream that has to catch up does not hold up the others.
            if again {
                stream.queue_cut(&shared, &app);
            }
        });
    }

    /// When the next clip is to be made, if one is complete.
    pub(crate) fn next_cut(&self, state: &State, app: &App) -> Option<Instant> {
        let now = Instant::now();
        if let Some((at, _)) = state.retry
            && at > now
        {
            return None;
        }
        if !state.closing.is_empty() {
            return Some(now);
        }
        let session = state.session.as_ref()?;
        if session.tape_is_due() {
            return Some(now);
        }
        match session.step() {
            Step::Wait => None,
            Step::Over if session.ending.is_none() => None,
            Step::Cut(piece) if session.ending.is_none() && piece.to.is_some() => {
                Some(session.grown_at.max(now) + spread(app.name(), &self.id, session.interval))
            }
            _ => Some(now),
        }
    }

    /// Does one step; says whether there may be another.
    fn cut(self: &Arc<Self>, shared: &Arc<Shared>, app: &Arc<App>) -> bool {
        if shared.is_draining() {
            return false;
        }
        let mut state = lock(&self.state);
        if let Some(tape) = self.cut_tape(&mut state) {
            drop(state);
            return self.make_tape(tape, shared, app);
        }
        let closing = !state.closing.is_empty();
        let State {
            closing: sessions,
            session,
            ..
        } = &mut *state;
        let Some(subject) = sessions.first_mut().or(session.as_mut()) else {
            return false;
        };
        match subject.begin_step() {
            Step::Wait => false,
            Step::Over if closing && subject.end_tape() => true,
            Step::Over if closing => {
                let mut over = state.closing.remove(0);
                state.retry = None;
                drop(state);
                let gone = over.line.forget_all();
                app.forget_links(&gone);
                drop(gone);
                let folder = over.folder.clone();
                drop(over);
                shared.spool.remove_empty(&folder);
                true
            }
            Step::Over => {
                subject.recording = Recording::Off;
                subject.ending = None;
                false
            }
            Step::Begin(mark) => self.begin_recording(&mut state, mark, shared, app),
            Step::Regrid(interval) => {
                if let (Recording::On(mark), timeline) =
                    (&subject.recording, subject.line.timeline())
                    && let Some(grid_ms) = boundary::time_ms(timeline, mark.ticks)
                {
                    subject.recording = Recording::On(Mark { grid_ms, ..*mark });
                }
                subject.interval = interval;
                subject.ending = None;
                true
            }
            Step::Cut(piece) => {
                let work = Work {
                    session: subject.id.clone(),
                    sub_folder: subject.sub_folder.clone(),
                    hole: subject.hole.clone(),
                    complete: subject.grown_at,
                    snapshot: subject.line.snapshot(),
                    growing: subject.growing.take().map(Box::new),
                    from: subject.clip_begins(piece.from),
                    missing: subject.line.missing(),
                    piece: *piece,
                };
                drop(state);
                self.cut_piece(work, shared, app)
            }
        }
    }

    fn begin_recording(&self, state: &mut State, mark: Mark, shared: &Shared, app: &App) -> bool {
        let State {
            closing,
            session,
            retry,
            ..
        } = state;
        let Some(subject) = closing.first_mut().or(session.as_mut()) else {
            return false;
        };
        if let Recording::Resuming(left_off) = &subject.recording {
            let timeline = subject.line.timeline();
            if boundary::find(timeline, left_off).is_some_and(|(_, exact)| exact) {
                subject.recording = Recording::On(mark);
                return true;
            }
            let from = left_off.cut_ms.or(left_off.time_ms);
            if subject.hole.is_none() {
                let gap = VodGap {
                    from: from.map(rfc3339),
                    to: boundary::time_ms(timeline, mark.ticks).map(rfc3339),
                    reason: "segments are missing".to_owned(),
                };
                tracing::error!(
                    app = app.name(),
                    stream = self.id,
                    from = gap.from,
                    to = gap.to,
                    "segments are lost that no clip holds"
                );
                subject.hole = Some(gap);
            }
        }
        subject.from_the_start = subject.recording == Recording::Waiting(Ticks::MIN);
        if let Some(hole) = &mut subject.hole
            && hole.to.is_none()
        {
            let begins = boundary::time_ms(subject.line.timeline(), mark.ticks);
            hole.to = begins.map(rfc3339);
            // Clocks may say that it began before the one ahead of it was over.
            if hole.to <= hole.from {
                subject.hole = None;
            }
        }
        let written = Boundary {
            gap: subject.hole.clone(),
            from_the_start: subject.from_the_start,
            ..subject.written(mark, subject.ordinal)
        };
        if let Err(error) = shared
            .catalog
            .set_boundary(app.name(), &self.id, Some(&written))
        {
            self.failed(retry, &error.into(), shared, app);
            return false;
        }
        subject.recording = Recording::On(mark);
        true
    }

    fn cut_piece(self: &Arc<Self>, mut work: Work, shared: &Arc<Shared>, app: &Arc<App>) -> bool {
        let damaged = work.damaged();
        if !damaged.is_empty() {
            tracing::error!(
                app = app.name(),
                stream = self.id,
                segments = damaged.len(),
                "segments were deleted or overwritten before their clip was made"
            );
            let mut state = lock(&self.state);
            if let Some(session) = state.by_id(&work.session) {
                session.lose(&damaged);
            }
            return true;
        }
        let bounds = Bounds {
            from: Some(work.from),
            to: work.piece.to.map(|to| to.ticks),
        };
        let Some(clip) = Clip::new(&work.snapshot.timeline, bounds, Cut::Keyframe) else {
            return self.go_on(&work, false, shared, app);
        };
        let recipe = Recipe {
            stream: &self.id,
            sub_folder: work.sub_folder.as_deref(),
            vod_id: None,
            boundary: Some(&work.piece.boundary),
            missing: work
                .hole
                .clone()
                .into_iter()
                .chain(work.gap_behind(&clip))
                .collect(),
            clip,
            from_the_start: work.from == Ticks::MIN,
            window: None,
            complete: work.complete,
            growing: work.growing.take().map(|growing| *growing),
        };
        match make(shared, app, recipe, |_, _| None) {
            Ok(_) => {
                shared.troubles.clear(&self.whom(app));
                self.go_on(&work, true, shared, app)
            }
            Err(error) => {
                let mut state = lock(&self.state);
                let tries = self.failed(&mut state.retry, &error, shared, app);
                drop(state);
                if matches!(error, MakeError::Media(_)) && tries >= TRIES {
                    tracing::error!(app = app.name(), stream = self.id, "the clip is given up");
                    shared.troubles.clear(&self.whom(app));
                    return self.go_on(&work, false, shared, app);
                }
                false
            }
        }
    }

    /// Notes a failure, and when to try again; gives how often it failed.
    pub(super) fn failed(
        &self,
        retry: &mut Option<(Instant, u32)>,
        error: &MakeError,
        shared: &Shared,
        app: &App,
    ) -> u32 {
        let tries = retry.map_or(0, |(_, tries)| tries) + 1;
        let full = matches!(error, MakeError::DiskFull);
        let pause = match error {
            MakeError::DiskFull => NO_ROOM,
            _ => (Duration::from_millis(500) * 2_u32.pow(tries.min(8))).min(LONGEST_PAUSE),
        };
        *retry = Some((Instant::now() + pause, tries));
        shared
            .troubles
            .set(&self.whom(app), full, &error.to_string());
        tries
    }

    /// The piece is dealt with: recording goes on behind it. Without a clip, because there is no
    /// media in it, that is yet to be written down.
    fn go_on(&self, work: &Work, made: bool, shared: &Shared, app: &App) -> bool {
        let mut state = lock(&self.state);
        let written = work.piece.boundary.clone();
        if !made
            && let Err(error) = shared
                .catalog
                .set_boundary(app.name(), &self.id, Some(&written))
        {
            self.failed(&mut state.retry, &error.into(), shared, app);
            return false;
        }
        state.retry = None;
        let Some(session) = state.by_id(&work.session) else {
            return false;
        };
        let end = session.dealt_with(&work.piece, work.snapshot.timeline.end(), made);
        let gone = session.forget_before(end);
        app.forget_links(&gone);
        let used_up = made && app.settings().delete_hls_after_clip;
        if used_up {
            session.delete_originals(end);
        }
        drop(state);
        if used_up {
            delete(&gone);
        }
        true
    }
}

impl State {
    pub(super) fn by_id(&mut self, id: &str) -> Option<&mut Session> {
        let all = self.closing.iter_mut().chain(self.session.as_mut());
        all.into_iter().find(|session| session.id == id)
    }
}

impl Session {
    /// Removes the media server's files of the segments that end before `end`: what is still
    /// needed of them is in the spool.
    fn delete_originals(&self, end: Ticks) {
        let segments = self.line.timeline().segments();
        let begins = segments.iter().map(|segment| segment.first_presented);
        let ends = begins.skip(1).chain([self.line.timeline().end()]);
        let used = self.line.held().iter().zip(ends);
        for (held, _) in
            used.filter(|(held, at)| at.is_some_and(|at| at <= end) && held.holding.is_some())
        {
            delete(std::slice::from_ref(held));
        }
    }
}

fn delete(used: &[Held]) {
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
    hole: Option<VodGap>,
    complete: Instant,
    snapshot: Snapshot,
    growing: Option<Box<Growing>>,
    /// Where it begins.
    from: Ticks,
    /// Length of the segments that are missing behind the last one, in 90 kHz ticks.
    missing: Ticks,
    piece: Piece,
}

impl Work {
    /// What is missing between the clip's last frame and where the next one begins.
    fn gap_behind(&self, clip: &Clip) -> Option<VodGap> {
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
        let reason = if lost {
            gap.reason
        } else {
            "the stream paused".to_owned()
        };
        (to_time - from > SHORT_GAP).then_some(VodGap { reason, ..gap })
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
                PathBuf::new(),
                Path::new("cam.m3u8"),
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
            self.session.recording = Recording::On(mark);
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
        assert_eq!(demo.session.recording, Recording::Off);
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
                demo.session.ending = Some(Ending::Last);
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
            assert_eq!(demo.session.recording, Recording::Off);
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
        assert_eq!(demo.session.recording, Recording::Off);
        // A new order begins at the live edge.
        demo.session.record(INTERVAL);
        assert_eq!(demo.session.step(), Step::Wait);
        demo.grow();
        demo.begin();
        let Recording::On(mark) = demo.session.recording else {
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
        assert_eq!(demo.session.ending, None);
        assert_eq!(demo.session.interval, INTERVAL * 2);
        assert_eq!(demo.session.step(), Step::Wait);
    }
}
