//! The recording switch of a stream: a recording begins when it is asked for, and is a clip when it is
//! told to end, or the stream does.
//!
//! Where it begins is written down in the catalog, and the segments from there on are kept as those of
//! periodic clips are: after a restart it goes on.

use std::sync::Arc;
use std::time::Instant;

use clipmill::live::{Failure, Mark};
use clipmill::{Bounds, Clip, Cut, Ticks};

use super::app::App;
use super::make::{Named, Recipe, make};
use super::media::{Gone, Snapshot};
use super::periodic::{Made, NotMade};
use super::session::Session;
use super::shared::Shared;
use super::state::State;
use super::task::Task;
use crate::catalog::{Boundary, CatalogError, OpenRecording};
use crate::domain::{ClipKind, StreamEntry, clip_id};
use crate::schedule::Urgency;

/// A recording that has not come to its end.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) written: OpenRecording,
    /// It ends with what is listed, or with what is there.
    ending: Option<Ending>,
    /// When making it a clip may be tried again, and how often it failed.
    retry: Option<(Instant, u32)>,
}

/// What became of a recording.
#[derive(Debug)]
pub(crate) enum RecordingChange {
    Begun(OpenRecording),
    /// The one of this clip is over.
    Finished(String),
}

/// How a recording ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// As [`Ending::Last`], once what is listed now has been taken in.
    Listed,
    /// With what is there.
    Last,
}

/// What became of a turn of the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switched {
    /// A recording begins; the clip will have this id.
    Started {
        /// Of the clip to come.
        vod_id: String,
    },
    /// A recording ends.
    Stopped {
        /// Of the clip, which is being made.
        vod_id: String,
        /// How long it is, in milliseconds, as far as that is known yet.
        millis: i64,
    },
    /// It stood like that already.
    Already,
    /// The stream is not live: nothing can begin or end.
    NotLive,
}

impl Session {
    /// Goes on with a recording of it that an earlier run began.
    pub(crate) fn go_on_recording(&mut self, written: &mut Vec<OpenRecording>) {
        let own = |one: &mut OpenRecording| one.begins.session == self.id;
        if let Some(own) = written.extract_if(.., own).last() {
            self.recording = Some(Recording::of(own));
        }
    }

    /// Where the recording begins.
    fn recording_begins(&self) -> Option<Ticks> {
        let begins = &self.recording.as_ref()?.written.begins;
        begins
            .find(self.media.timeline())
            .map(|(mark, _)| mark.ticks)
    }

    /// Lets go of what lies before `end`, but for what the recording needs.
    pub(crate) fn forget_before(&mut self, end: Ticks) -> Gone {
        let from = match &self.recording {
            // It begins with the segment to come.
            Some(_) => self.recording_begins().or(self.media.timeline().end()),
            None => None,
        };
        let from = from.map_or(end, |from| from.min(end));
        let gone = self.media.forget_before(from);
        if let Some(first) = self.media.timeline().segments().front() {
            self.taken.forget_before(first.info.sequence);
        }
        gone
    }

    /// Everything that was listed has been taken in.
    pub(crate) fn record_listed(&mut self) {
        if let Some(recording) = &mut self.recording
            && recording.ending == Some(Ending::Listed)
        {
            recording.ending = Some(Ending::Last);
        }
    }

    /// When the recording is to be made a clip, if it has come to its end.
    pub(crate) fn recording_due(&self, now: Instant) -> Option<Instant> {
        let recording = self.recording.as_ref();
        let recording = recording.filter(|recording| recording.ending == Some(Ending::Last))?;
        Some(recording.retry.map_or(now, |(at, _)| at))
    }

    /// Making the recording a clip failed: it is tried again later.
    pub(crate) fn recording_failed(&mut self, failure: &Failure) {
        if let Some(recording) = &mut self.recording {
            let tries = recording.tries() + 1;
            recording.retry = Some((Instant::now() + failure.pause(tries), tries));
        }
    }

    /// The session is over, and its periodic clips are made.
    pub(crate) fn end_recording(&mut self) -> bool {
        match &mut self.recording {
            Some(recording) => {
                recording.ending = Some(Ending::Last);
                true
            }
            None => false,
        }
    }
}

impl Recording {
    fn of(written: OpenRecording) -> Self {
        Self {
            written,
            ending: None,
            retry: None,
        }
    }

    fn tries(&self) -> u32 {
        self.retry.map_or(0, |(_, tries)| tries)
    }

    /// A recording of all of a session.
    pub(crate) fn of_all(session: &str) -> Self {
        Self::of(OpenRecording {
            vod_id: clip_id(),
            begins: Boundary {
                session: session.to_owned(),
                ..Boundary::default()
            },
        })
    }
}

impl State {
    /// The recording that is to be made a clip now.
    pub(crate) fn cut_recording(&self) -> Option<RecordingWork> {
        let now = Instant::now();
        let is_due = |session: &&Session| session.recording_due(now).is_some_and(|due| due <= now);
        let session = self.sessions().find(is_due)?;
        let recording = session.recording.as_ref()?;
        let begins = session.recording_begins();
        let from = begins.and_then(|from| session.media.timeline().next_sync(from).or(Some(from)));
        Some(RecordingWork {
            session: session.id.clone(),
            vod_id: recording.written.vod_id.clone(),
            sub_folder: session.sub_folder.clone(),
            snapshot: session.media.snapshot(),
            from,
            complete: session.grown_at,
            tries: recording.tries(),
        })
    }
}

impl Task {
    /// Has the catalog know what became of recordings. What it cannot be told now it is told later.
    pub(crate) async fn write_recordings(&mut self) {
        let (catalog, app, stream) = (&self.shared.catalog, self.app.name(), &*self.stream);
        while let Some(change) = self.state.unwritten.front() {
            let written = match change {
                RecordingChange::Begun(recording) => {
                    catalog.begin_recording(app, stream, recording).await
                }
                RecordingChange::Finished(id) => catalog.finish_recording(app, stream, id).await,
            };
            if let Err(error) = written {
                tracing::error!(app, stream, %error, "which recordings run is not written down");
                return;
            }
            self.state.unwritten.pop_front();
        }
    }

    /// Begins a recording at the live edge, or ends the one that runs with what is listed.
    pub(crate) async fn switch(&mut self, on: bool) -> Switched {
        let Some(session) = &mut self.state.session else {
            return Switched::NotLive;
        };
        let millis = session
            .recording_begins()
            .zip(session.media.timeline().end());
        let millis = millis.map_or(0, |(from, to)| (to - from).max(0) / 90);
        match (&mut session.recording, on) {
            (Some(recording), false) if recording.ending.is_none() => {
                recording.ending = Some(Ending::Listed);
                let vod_id = recording.written.vod_id.clone();
                Switched::Stopped { vod_id, millis }
            }
            // One that is being made a clip is in the way of the next for a moment.
            (Some(_), _) | (None, false) => Switched::Already,
            (None, true) => {
                let timeline = session.media.timeline();
                let begins = match Mark::end(timeline) {
                    Some(end) => end.to_boundary(timeline, &session.id, 0),
                    None => Boundary {
                        session: session.id.clone(),
                        ..Boundary::default()
                    },
                };
                let vod_id = clip_id();
                let recording = OpenRecording {
                    vod_id: vod_id.clone(),
                    begins,
                };
                let (app, stream) = (self.app.name(), &*self.stream);
                let catalog = &self.shared.catalog;
                let written = catalog.begin_recording(app, stream, &recording).await;
                if let Err(error) = written {
                    tracing::error!(app, stream, %error, "a recording is not begun");
                    return Switched::Already;
                }
                session.recording = Some(Recording::of(recording));
                tracing::info!(app, stream, vod = vod_id, "recording");
                Switched::Started { vod_id }
            }
        }
    }

    /// Has the recording of a session made a clip.
    pub(crate) fn make_recording(&mut self, work: RecordingWork) {
        let (app, stream) = (Arc::clone(&self.app), Arc::clone(&self.stream));
        self.work(Urgency::Periodic, move |shared| {
            let _counted = shared.count_making();
            let result = work.make(&stream, shared, &app);
            let session = work.session;
            Made::Recording { session, result }
        });
    }

    /// The recording of a session is made a clip, or nothing came of it.
    pub(crate) async fn recording_made(&mut self, session: &str, result: Result<(), NotMade>) {
        let concern = self.concern();
        let ordinal = self.state.ordinal;
        let Some(session) = self.state.by_id(session) else {
            return;
        };
        let over = match result {
            Ok(()) => {
                self.shared.troubles.clear(&concern);
                session.recording.take()
            }
            Err(NotMade::Lost(lost)) => return session.lose(&lost, ordinal),
            Err(NotMade::Failed(error)) => {
                session.recording_failed(&Failure::from(&error));
                return self.shared.troubled(&concern, &error);
            }
            Err(NotMade::Nothing) => session.recording.take(),
        };
        // A crash before this finds the clip in the catalog.
        let over = over.map(|recording| RecordingChange::Finished(recording.written.vod_id));
        self.state.unwritten.extend(over);
        self.write_recordings().await;
    }
}

/// A recording that is made a clip.
pub(crate) struct RecordingWork {
    session: String,
    vod_id: String,
    sub_folder: Option<String>,
    snapshot: Snapshot,
    from: Option<Ticks>,
    complete: Instant,
    /// How often it failed.
    tries: u32,
}

impl RecordingWork {
    fn make(&self, stream: &str, shared: &Shared, app: &App) -> Result<(), NotMade> {
        let damaged = self.snapshot.damaged(|_| true);
        if !damaged.is_empty() && self.from.is_some() {
            tracing::error!(
                app = app.name(),
                stream,
                segments = damaged.len(),
                "segments were deleted or overwritten before their recording was made"
            );
            return Err(NotMade::Lost(damaged));
        }
        let bounds = Bounds {
            from: self.from,
            to: None,
        };
        let timeline = &self.snapshot.timeline;
        let clip = self
            .from
            .and_then(|_| Clip::new(timeline, bounds, Cut::Keyframe));
        let Some(clip) = clip else {
            tracing::warn!(
                app = app.name(),
                stream,
                "a recording ends before anything came"
            );
            return Ok(());
        };
        let recipe = Recipe {
            stream,
            sub_folder: self.sub_folder.as_deref(),
            clip,
            vod_id: Some(self.vod_id.clone()),
            kind: ClipKind::Recording,
            named: Named::default(),
            boundary: None,
            missing: Vec::new(),
            joined: Vec::new(),
            from_the_start: false,
            window: None,
            complete: self.complete,
            growing: None,
        };
        match make(shared, app, recipe, |_, _| None) {
            Err(error) if Failure::from(&error).is_final(self.tries + 1) => {
                tracing::error!(app = app.name(), stream, "the recording is given up");
                Ok(())
            }
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }
}

/// The recordings of a stream that an earlier run began, but for those whose clips were made.
pub(crate) fn left_open(stream: &str, shared: &Shared, app: &App) -> Vec<OpenRecording> {
    let catalog = &shared.catalog;
    let left = async {
        let mut left = catalog.recordings(app.name(), stream).await?;
        for made in left.clone() {
            let id = &made.vod_id;
            if catalog.clip(app.name(), id).await?.is_some() {
                catalog.finish_recording(app.name(), stream, id).await?;
                left.retain(|one| one.vod_id != *id);
            }
        }
        Ok::<_, CatalogError>(left)
    };
    shared.wait(left).unwrap_or_else(|error| {
        let app = app.name();
        tracing::error!(app, stream, %error, "which recordings ran is not known");
        Vec::new()
    })
}

/// What the switch of a stream says, where it is turned while the stream is not live.
pub fn set_switch(stream: &mut StreamEntry, on: bool) {
    stream.recorded = Some(on);
}
