//! What is known of a stream: its sessions, one behind the other. It does no I/O: what came is
//! its input, what is to be done its output.

use std::collections::VecDeque;

use chrono::DateTime;
use clipmill::live::{LossReason, LostMedia, SessionStart};

use super::announce::Announcements;
use super::app::App;
use super::intake::{Begun, Came};
use super::make::rfc3339;
use super::markers::{News, splices_of};
use super::session::Session;
use super::switch::{Recording, RecordingChange};
use crate::catalog::{Boundary, OpenRecording};

/// What is known of a stream.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The session that is live.
    pub(crate) session: Option<Session>,
    /// Sessions that are over and whose last clips are still to be made, oldest first.
    pub(crate) closing: Vec<Session>,
    /// When the last one ended, in milliseconds since 1970.
    pub(crate) ended: Option<i64>,
    /// The recordings that an earlier run began, and whose sessions were not found yet.
    pub(crate) recordings: Vec<OpenRecording>,
    /// What became of recordings, and the catalog does not know yet.
    pub(crate) unwritten: VecDeque<RecordingChange>,
    /// What the media says of markers, and the catalog does not know yet.
    pub(crate) markers: VecDeque<News>,
    /// Periodic clips made so far, over all sessions.
    pub(crate) ordinal: u64,
    pub(crate) announcements: Announcements,
}

impl State {
    /// The session that is live, else the one that was last.
    pub(crate) fn latest(&self) -> Option<&Session> {
        self.session.as_ref().or(self.closing.last())
    }

    /// All of them, oldest first.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.closing.iter().chain(&self.session)
    }

    /// The session whose clips are to be made before all others'.
    pub(crate) fn subject(&mut self) -> Option<&mut Session> {
        self.closing.first_mut().or(self.session.as_mut())
    }

    pub(crate) fn by_id(&mut self, id: &str) -> Option<&mut Session> {
        let mut all = self.closing.iter_mut().chain(self.session.as_mut());
        all.find(|session| session.id == id)
    }

    /// Whether the catalog has still to be told of something.
    pub(crate) fn is_untold(&self) -> bool {
        !self.announcements.is_empty() || !self.unwritten.is_empty() || !self.markers.is_empty()
    }

    /// Something came.
    pub(crate) fn came(&mut self, came: Came, stream: &str, app: &App) {
        match came {
            Came::Began(begun) => self.begin(*begun, stream, app),
            Came::Ended => self.end(),
            Came::WasOver(sub_folder) => self.announcements.was_over(stream, sub_folder),
            Came::Marked(news) => self.marked(news),
            of_session => {
                let is_segment = matches!(of_session, Came::Segment(_));
                if let Some(session) = &mut self.session {
                    session.came(of_session);
                    if is_segment {
                        let news = splices_of(session.media.timeline());
                        self.marked(news);
                    }
                }
            }
        }
    }

    fn begin(&mut self, begun: Begun, stream: &str, app: &App) {
        let mut session = Session::new(
            begun.session,
            begun.playlist,
            begun.sub_folder,
            begun.target,
            app.usual_interval(stream),
        );
        session.clips.align(app.settings().align);
        session.sound_beside = begun.sound_beside;
        session.taken = begun.taken;
        let records = app.interval(stream).is_some();
        match begun.start {
            SessionStart::Anew => {}
            SessionStart::Behind => {
                if let Some(ended) = self.ended.filter(|_| records) {
                    session.clips.lack(paused(ended, stream, app));
                }
            }
            SessionStart::Lost(ref lost) => session.clips.lack(lost_since(lost, stream, app)),
            SessionStart::Resumed(ref lost) => {
                session.clips.resume(lost.as_ref().clone());
                // Recording was turned off, and its last clip was not made any more.
                if !records {
                    session.clips.turn_off(None);
                }
                session.go_on_recording(&mut self.recordings);
            }
        }
        if begun.recorded && session.recording.is_none() {
            let recording = Recording::of_all(&session.id);
            let begun = RecordingChange::Begun(recording.written.clone());
            self.unwritten.push_back(begun);
            session.recording = Some(recording);
        }
        // Nothing is left of the sessions of the others.
        let lost = self.recordings.drain(..).map(|one| one.vod_id);
        self.unwritten.extend(lost.map(RecordingChange::Finished));
        if records && !matches!(begun.start, SessionStart::Resumed(_)) {
            session.clips.wait_for_media();
        }
        self.session = Some(session);
    }

    /// The session is over; its last clip is made when its turn comes.
    fn end(&mut self) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        session.close();
        self.ended = session.edge_ms();
        self.announcements
            .ended(session.seen_any, session.sub_folder.as_deref());
        self.closing.push(session);
    }
}

/// The session that has begun follows another in the same playlist: the pause between the two is declared.
fn paused(ended_ms: i64, stream: &str, app: &App) -> LostMedia {
    let from = rfc3339(ended_ms);
    tracing::info!(app = app.name(), stream, from, "it paused");
    LostMedia {
        from: DateTime::from_timestamp_millis(ended_ms),
        to: None,
        reason: LossReason::Paused,
    }
}

/// What cannot be clipped any more.
fn lost_since(lost: &Boundary, stream: &str, app: &App) -> LostMedia {
    let from = lost.instant();
    tracing::error!(
        app = app.name(),
        stream,
        from = from.map(|from| rfc3339(from.timestamp_millis())),
        "what came before the restart is lost: its segments are gone"
    );
    LostMedia {
        from,
        to: None,
        reason: LossReason::WhileAway,
    }
}
