//! Periodic clips: the stream's task asks [`PeriodicClips`] in short steps what is to be done, and has it
//! done by the workers.
//!
//! [`PeriodicClips`]: clipmill::live::PeriodicClips

use std::sync::Arc;
use std::time::Instant;

use chrono::TimeDelta;
use clipmill::live::{Done, Failure, LossReason, LostMedia, Mark, PeriodicClip, State, Step};
use clipmill::{Bounds, Clip, Cut, Ticks};

use super::app::App;
use super::clock::{elapsed, instant};
use super::growing::Growing;
use super::make::{Named, Recipe, make};
use super::media::{SegmentFile, Snapshot, delta};
use super::session::{Session, missing};
use super::shared::{MakeError, Shared};
use super::state::State as Stream;
use super::task::Task;
use crate::catalog::{Boundary, Moved};
use crate::domain::{ClipKind, Gap};
use crate::schedule::{Urgency, spread};

/// Less is missing between two frames of a stream that has nothing missing.
const SHORT_GAP: TimeDelta = TimeDelta::milliseconds(500);

impl Stream {
    /// When the next step towards a clip is due.
    pub(crate) fn next_cut(&mut self, app: &App, stream: &str, now: Instant) -> Option<Instant> {
        let recordings = self
            .sessions()
            .filter_map(|session| session.recording_due(now));
        let recordings = recordings.min();
        let periodic = self.next_periodic(app, stream, now);
        recordings.into_iter().chain(periodic).min()
    }

    fn next_periodic(&mut self, app: &App, stream: &str, now: Instant) -> Option<Instant> {
        let subject = self.subject()?;
        subject.clips.align(app.settings().align);
        if let Some(until) = subject.clips.paused_until() {
            return Some(instant(until));
        }
        match subject.step()? {
            // Its recording is made a clip before that.
            Step::Finished if subject.recording_due(now).is_some() => None,
            Step::Cut(clip) if clip.to.is_some() && subject.clips.has_no_orders() => {
                let spread = spread(app.name(), stream, subject.clips.interval());
                Some(subject.grown_at.max(now) + spread)
            }
            _ => Some(now),
        }
    }
}

impl Task {
    /// Does one step towards a clip: has done what is to be done next.
    pub(crate) fn cut(&mut self) {
        if let Some(recording) = self.state.cut_recording() {
            return self.make_recording(recording);
        }
        let ordinal = self.state.ordinal;
        let Some(subject) = self.state.subject() else {
            return;
        };
        if let Some(boundary) = subject.clips.try_again(elapsed()) {
            let session = subject.id.clone();
            return self.store_boundary(session, boundary);
        }
        match subject.step() {
            None => {}
            Some(Step::Finished) if subject.end_recording() => {}
            Some(Step::Finished) => {
                let over = self.state.closing.remove(0);
                self.forget_session(over);
            }
            Some(Step::Begin(mark)) => self.begin_recording(mark),
            Some(Step::Cut(clip)) => {
                let written = subject.written(clip.end, ordinal + 1);
                let work = Work {
                    session: subject.id.clone(),
                    sub_folder: subject.sub_folder.clone(),
                    lost: subject.clips.lost(),
                    complete: subject.grown_at,
                    snapshot: subject.media.snapshot(),
                    growing: subject.growth.take(),
                    from: subject.clips.clip_begins(clip.from),
                    missing: subject.media.missing(),
                    boundary: subject.clips.cut(clip, written),
                    clip,
                };
                self.make_periodic(work);
            }
        }
    }

    /// All clips of a session are made.
    fn forget_session(&self, mut over: Session) {
        let gone = over.media.forget_all();
        let spool = Arc::clone(&self.shared.spool);
        let folder = spool.session(self.app.name(), &self.stream, &over.id);
        self.let_go(over.id.clone(), gone, move || {
            drop(over);
            spool.remove_empty(&folder);
        });
    }

    fn begin_recording(&mut self, mark: Mark) {
        let ordinal = self.state.ordinal;
        let Some(subject) = self.state.subject() else {
            return;
        };
        let known = subject.clips.lost();
        let written = subject.written(mark, ordinal);
        let boundary = subject.clips.begin(mark, subject.media.timeline(), written);
        let session = subject.id.clone();
        if let Some(lost) = boundary.lost.filter(|_| known.is_none()) {
            let shown = Gap::from(lost);
            tracing::error!(
                app = self.app.name(),
                stream = &*self.stream,
                from = shown.from_text(),
                to = shown.to_text(),
                "segments are lost that no clip holds"
            );
        }
        self.store_boundary(session, boundary);
    }

    /// Has a boundary stored that goes with no clip.
    fn store_boundary(&mut self, session: String, mut boundary: Boundary) {
        boundary.ordinal = boundary.ordinal.max(self.state.ordinal);
        let (app, stream) = (Arc::clone(&self.app), Arc::clone(&self.stream));
        self.work(Urgency::Segments, move |shared| {
            let moved = shared.catalog.move_boundary(app.name(), &stream, &boundary);
            let result = match shared.wait(moved) {
                Ok(Moved::Now) => Ok(()),
                Ok(Moved::Behind(ordinal)) => Err(MakeError::Behind(ordinal).into()),
                Err(error) => Err(NotMade::Failed(error.into())),
            };
            Made::Periodic { session, result }
        });
    }

    fn make_periodic(&mut self, mut work: Work) {
        let (app, stream) = (Arc::clone(&self.app), Arc::clone(&self.stream));
        self.work(Urgency::Periodic, move |shared| {
            let _counted = shared.count_making();
            let result = work.make(&stream, shared, &app);
            let session = work.session;
            Made::Periodic { session, result }
        });
    }

    /// What was to be made is made, or is not.
    pub(crate) async fn made(&mut self, made: Made) {
        match made {
            Made::Periodic { session, result } => self.periodic_made(&session, result),
            Made::Panicked => {
                let error = MakeError::Store("it ended in a panic".to_owned());
                let find = |wanted: fn(&Session) -> bool| {
                    let found = self.state.sessions().find(|session| wanted(session));
                    found.map(|session| session.id.clone())
                };
                let periodic = find(|session| session.clips.is_under_way());
                let recording = find(|session| session.recording_due(Instant::now()).is_some());
                if let Some(session) = periodic {
                    self.periodic_made(&session, Err(error.into()));
                } else if let Some(session) = recording {
                    self.recording_made(&session, Err(error.into())).await;
                }
            }
            Made::Recording { session, result } => self.recording_made(&session, result).await,
        }
    }

    /// What came of a periodic clip, or of a boundary that was to be stored.
    fn periodic_made(&mut self, id: &str, result: Result<(), NotMade>) {
        let concern = self.concern();
        // Clips of an earlier run were found after this one began, as on a disk that came late.
        if let Err(NotMade::Failed(MakeError::Behind(ordinal))) = &result {
            self.state.ordinal = self.state.ordinal.max(*ordinal);
        }
        let ordinal = self.state.ordinal;
        let Some(session) = self.state.by_id(id) else {
            return;
        };
        let failure = match result {
            Ok(()) => {
                self.shared.troubles.clear(&concern);
                return self.periodic_done(id);
            }
            Err(NotMade::Lost(lost)) => return session.lose(&lost, ordinal),
            Err(NotMade::Nothing) => Failure::Nothing,
            Err(NotMade::Failed(error)) => {
                self.shared.troubled(&concern, &error);
                Failure::from(&error)
            }
        };
        let skipped = session.clips.failed(&failure, elapsed());
        if let Some(boundary) = skipped {
            if failure != Failure::Nothing {
                let (app, stream) = (self.app.name(), &*self.stream);
                tracing::error!(app, stream, "the clip is given up");
            }
            self.store_boundary(id.to_owned(), boundary);
        }
    }

    /// A periodic clip, or a boundary, is stored.
    fn periodic_done(&mut self, id: &str) {
        let Some(session) = self.state.by_id(id) else {
            return;
        };
        let Some(Done::Clip {
            boundary,
            until,
            made,
            ..
        }) = session.clips.done()
        else {
            return;
        };
        let nobody_records = *session.clips.state() == State::Off && session.clips.has_no_orders();
        let edge = session.media.timeline().end().filter(|_| nobody_records);
        let until = edge.unwrap_or(until);
        let gone = session.forget_before(until);
        let mut used = Vec::new();
        if made && self.app.settings().delete_hls_after_clip {
            used = session.used_up(until);
            used.extend(gone.files.iter().cloned());
        }
        self.state.ordinal = boundary.ordinal;
        self.let_go(id.to_owned(), gone, move || delete(&used));
    }
}

/// What became of a clip.
#[derive(Debug)]
pub(crate) enum Made {
    /// A periodic clip, or a boundary that goes with none.
    Periodic {
        session: String,
        result: Result<(), NotMade>,
    },
    /// A worker fell over it.
    Panicked,
    /// A recording. It is over also where nothing came of it.
    Recording {
        session: String,
        result: Result<(), NotMade>,
    },
}

/// Why there is no clip yet.
#[derive(Debug)]
pub(crate) enum NotMade {
    /// The content of these segments, by their numbers on the timeline, is not what was indexed.
    Lost(Vec<u64>),
    /// Nothing is in it.
    Nothing,
    Failed(MakeError),
}

impl From<MakeError> for NotMade {
    fn from(error: MakeError) -> Self {
        Self::Failed(error)
    }
}

impl Session {
    /// The segments that end before `end`: what is still needed of them is in the spool.
    fn used_up(&self, end: Ticks) -> Vec<Arc<SegmentFile>> {
        let segments = self.media.timeline().segments();
        let begins = segments.iter().map(|segment| segment.first_presented);
        let ends = begins.skip(1).chain([self.media.timeline().end()]);
        let used = self.media.files().iter().zip(ends);
        let used =
            used.filter(|(file, at)| at.is_some_and(|at| at <= end) && file.holding.is_some());
        used.map(|(file, _)| Arc::clone(file)).collect()
    }
}

/// Removes the media server's files.
fn delete(used: &[Arc<SegmentFile>]) {
    for file in used {
        if let Some(path) = &file.original
            && file.original_is_intact()
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
    /// What is lost before its media begins.
    lost: Option<LostMedia>,
    complete: Instant,
    snapshot: Snapshot,
    growing: Option<Box<Growing>>,
    /// Where it begins.
    from: Ticks,
    /// Length of the segments that are missing behind the last one, in 90 kHz ticks.
    missing: Ticks,
    clip: PeriodicClip,
    /// It is stored with the clip.
    boundary: Boundary,
}

impl Work {
    fn make(&mut self, stream: &str, shared: &Shared, app: &App) -> Result<(), NotMade> {
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
            to: self.clip.to.map(|to| to.ticks),
        };
        let clip = Clip::new(&self.snapshot.timeline, bounds, Cut::Keyframe);
        let clip = clip.ok_or(NotMade::Nothing)?;
        let missing = self.lost.into_iter().chain(self.gap_behind(&clip));
        let recipe = Recipe {
            stream,
            sub_folder: self.sub_folder.as_deref(),
            vod_id: None,
            kind: ClipKind::Periodic,
            named: Named::default(),
            boundary: Some(&self.boundary),
            missing: missing.map(Gap::from).collect(),
            joined: Vec::new(),
            clip,
            from_the_start: self.from == Ticks::MIN,
            window: None,
            complete: self.complete,
            growing: self.growing.take().map(|growing| *growing),
        };
        make(shared, app, recipe, |_, _| None)?;
        Ok(())
    }

    /// What is missing between the clip's last frame and where the next one begins.
    fn gap_behind(&self, clip: &Clip) -> Option<LostMedia> {
        let timeline = &self.snapshot.timeline;
        let from = clip.end_time?;
        let Some(to) = self.clip.to else {
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
        let to = self.clip.to.map_or(Ticks::MAX, |to| to.ticks);
        let segments = self.snapshot.timeline.segments();
        let after = segments
            .iter()
            .find(|s| s.first_presented.is_some_and(|at| at > to));
        // Sound of its last moments may lie in the segment after it.
        let last = after.map_or(u64::MAX, |segment| segment.number);
        self.snapshot.damaged(|number| number <= last)
    }
}
