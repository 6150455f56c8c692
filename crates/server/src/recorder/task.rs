//! The task of a stream, which alone has what is known of it. What it is told it does in short steps;
//! whatever reads, writes or waits is done by the workers ([`crate::schedule`]), and what came of that is
//! told to it.
//!
//! ```text
//! playlist changed ──▶ the intake goes to a worker, says what comes, and comes back
//! a segment came ──▶ it is on the timeline; what it adds to the clip in the making is written by a worker
//! a clip is complete ──▶ a worker makes it
//! ```
//!
//! The intake goes out for one look at a time, one clip is made at a time, and one worker at a time
//! writes what has come for the next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::DateTime;
use tokio::sync::{mpsc, oneshot, watch};

use super::app::App;
use super::feed::Place;
use super::growing::Growing;
use super::intake::{Came, Intake, Look};
use super::media::Gone;
use super::periodic::Made;
use super::shared::Shared;
use super::state::State;
use super::stream::Shown;
use super::switch::Switched;
use crate::schedule::Urgency;

/// What could not be announced, or did not end a look, is tried again after this.
const AGAIN: Duration = Duration::from_millis(500);

/// The content of so many segments is on its way to a task at once. What comes with more is read again by
/// whoever writes it to a clip.
const AFLOAT: usize = 2;

/// So many steps are done without a look at what came meanwhile.
const STEPS: usize = 16;

/// The messages of a stream's task.
pub(crate) enum Message {
    /// By others.
    Command(Command),
    /// Its intake says what comes.
    Came(Came),
    /// Its intake is back.
    Looked(Box<Intake>, Look),
    /// What has come for the clip of this session was written.
    Grown(String, Option<Box<Growing>>),
    /// What was to be made is made, or is not.
    Made(Made),
    /// Its kept segments no longer depend on the media server's files, as their names come back.
    Copied,
}

/// It sees to its answer itself.
type Question<T> = Box<dyn FnOnce(&T) + Send>;

/// What others want of a stream.
pub(crate) enum Command {
    /// Look at the playlist, after a while.
    Look(Duration),
    /// Periodic clips of this interval, from the live edge on.
    Record(Duration),
    /// No periodic clips any more.
    StopRecording,
    /// Begin or end a recording.
    Switch(bool, oneshot::Sender<Switched>),
    /// Say what is known.
    Ask(Question<State>),
    /// Say what was taken in.
    AskIntake(Question<Intake>),
    /// This file was written to.
    Protect(PathBuf),
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

/// The task of a stream.
pub(crate) struct Task {
    pub(crate) stream: Arc<str>,
    pub(crate) app: Arc<App>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: State,
    inbox: mpsc::UnboundedSender<Message>,
    show: watch::Sender<Shown>,
    intake: IntakeState,
    looks: Looks,
    /// How many segments are on their way from the intake.
    afloat: Arc<AtomicUsize>,
    /// When the next step towards a clip is due.
    cut_due: Option<Instant>,
    /// Something is being made.
    busy: bool,
    /// When what could not be announced is tried again.
    tell_due: Option<Instant>,
}

/// The intake, where it is.
enum IntakeState {
    /// What an earlier run left was not found yet.
    NotRecovered,
    Here(Box<Intake>),
    /// A worker has it.
    Away,
}

/// What the intake has to do.
#[derive(Default)]
struct Looks {
    /// When the next look at the playlist is due.
    due: Option<Instant>,
    /// When the last one ended.
    last: Option<Instant>,
    /// What was ordered since the one that goes on began: what it finds to be listed is not all.
    ordered: bool,
    /// Names of files come back: nothing is linked any more.
    names_reused: bool,
    questions: Vec<Question<Intake>>,
}

impl Looks {
    fn after(&mut self, pause: Duration) {
        let due = Instant::now() + pause;
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }
}

impl Task {
    pub(crate) fn new(
        stream: &str,
        shared: Arc<Shared>,
        app: Arc<App>,
        inbox: mpsc::UnboundedSender<Message>,
        show: watch::Sender<Shown>,
    ) -> Self {
        Self {
            stream: stream.into(),
            app,
            shared,
            state: State::default(),
            inbox,
            show,
            intake: IntakeState::NotRecovered,
            looks: Looks::default(),
            afloat: Arc::default(),
            cut_due: None,
            busy: false,
            tell_due: None,
        }
    }

    /// As troubles name it.
    pub(crate) fn concern(&self) -> String {
        format!("{}/{}", self.app.name(), self.stream)
    }

    /// Lives until its app is closed.
    pub(crate) async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        let mut closed = self.app.closed();
        loop {
            let due = self.next_due();
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            if *closed.borrow_and_update() {
                return;
            }
            tokio::select! {
                _ = closed.changed() => return,
                message = messages.recv() => match message {
                    Some(message) => self.handle(message).await,
                    None => return,
                },
                () = wait => {}
            }
            self.go_on().await;
            self.show();
        }
    }

    /// When something is to be done though nothing happens.
    fn next_due(&self) -> Option<Instant> {
        let silence = match &self.intake {
            IntakeState::Here(intake) => intake.deadline(),
            IntakeState::NotRecovered | IntakeState::Away => None,
        };
        // A look need not end it.
        let silence = silence.map(|at| self.looks.last.map_or(at, |last| at.max(last + AGAIN)));
        let look = match &self.intake {
            IntakeState::Away => None,
            IntakeState::Here(_) | IntakeState::NotRecovered => self.looks.due,
        };
        let cut = self.cut_due.filter(|_| !self.is_busy());
        let all = [silence, look, cut, self.tell_due];
        all.into_iter().flatten().min()
    }

    async fn handle(&mut self, message: Message) {
        match message {
            Message::Command(command) => self.command(command).await,
            Message::Came(came) => {
                let is_segment = matches!(came, Came::Segment(_));
                if is_segment {
                    self.afloat.fetch_sub(1, Ordering::Relaxed);
                }
                self.state.came(came, &self.stream, &self.app);
                self.write_recordings().await;
                self.write_markers().await;
                if is_segment {
                    self.grow();
                }
            }
            Message::Looked(intake, look) => self.looked(intake, look),
            Message::Grown(session, growing) => {
                let session = self.state.by_id(&session);
                let more = session.is_some_and(|session| {
                    session.grown(growing);
                    session.fresh.is_some()
                });
                if more {
                    self.grow();
                }
            }
            Message::Made(made) => {
                self.busy = false;
                self.made(made).await;
            }
            Message::Copied => self.looks.names_reused = true,
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Look(after) => self.looks.after(after),
            Command::Record(interval) => {
                if let Some(session) = &mut self.state.session {
                    session.record(interval);
                }
            }
            Command::StopRecording => {
                if let Some(session) = &mut self.state.session {
                    session.clips.turn_off(None);
                }
                self.looks.ordered = true;
                self.looks.after(Duration::ZERO);
            }
            Command::Switch(on, answer) => {
                let switched = self.switch(on).await;
                self.looks.ordered = true;
                self.looks.after(Duration::ZERO);
                let _ = answer.send(switched);
            }
            Command::Ask(question) => question(&self.state),
            Command::AskIntake(question) => self.looks.questions.push(question),
            Command::Protect(path) => self.protect(path),
        }
    }

    /// Does what is due.
    async fn go_on(&mut self) {
        if self.shared.is_draining() {
            return;
        }
        self.send_out().await;
        self.announce().await;
        for step in 0..=STEPS {
            if self.is_busy() {
                break;
            }
            if step == STEPS {
                self.cut_due = Some(Instant::now() + AGAIN);
                break;
            }
            let now = Instant::now();
            if let Some(due) = self.state.next_cut(&self.app, &self.stream, now) {
                self.cut_due = Some(self.cut_due.map_or(due, |known| known.min(due)));
            }
            if self.cut_due.is_none_or(|due| due > now) {
                break;
            }
            self.cut_due = None;
            self.cut();
        }
    }

    /// Whether a step towards a clip has to wait for another.
    fn is_busy(&self) -> bool {
        let subject = self.state.closing.first().or(self.state.session.as_ref());
        self.busy || subject.is_some_and(|subject| subject.growth.is_away())
    }

    /// Sends the intake to look at the playlist, if that is due, and to be asked.
    async fn send_out(&mut self) {
        let now = Instant::now();
        let silent = match &self.intake {
            IntakeState::Here(intake) => intake.deadline().is_some_and(|deadline| {
                let last = self.looks.last;
                now >= last.map_or(deadline, |last| deadline.max(last + AGAIN))
            }),
            IntakeState::NotRecovered | IntakeState::Away => false,
        };
        let looks = silent || self.looks.due.is_some_and(|due| due <= now);
        if matches!(self.intake, IntakeState::NotRecovered) && looks {
            self.recover().await;
        }
        if !looks && self.looks.questions.is_empty() {
            return;
        }
        let mut intake = match std::mem::replace(&mut self.intake, IntakeState::Away) {
            IntakeState::Here(intake) => intake,
            IntakeState::Away => return,
            IntakeState::NotRecovered => {
                let questions = std::mem::take(&mut self.looks.questions);
                let nothing = Intake::default();
                questions.into_iter().for_each(|ask| ask(&nothing));
                self.intake = IntakeState::NotRecovered;
                return;
            }
        };
        if looks {
            self.looks.due = None;
            self.looks.ordered = false;
        }
        let names_reused = std::mem::take(&mut self.looks.names_reused);
        if let Some(feed) = &mut intake.feed {
            if names_reused {
                feed.keeper.copy();
            }
            let media = self.state.session.as_ref().map(|session| &session.media);
            let oldest = media.and_then(|media| media.files().front());
            intake.oldest = oldest.map_or(0, |file| file.id);
        }
        let questions = std::mem::take(&mut self.looks.questions);
        let afloat = Arc::clone(&self.afloat);
        let (app, stream, inbox) = (
            Arc::clone(&self.app),
            Arc::clone(&self.stream),
            self.inbox.clone(),
        );
        self.submit(Urgency::Segments, move |shared| {
            let look = catch_unwind(AssertUnwindSafe(|| {
                for question in questions {
                    question(&intake);
                }
                if !looks {
                    return Look::Done;
                }
                let tell = |mut came| {
                    if let Came::Segment(arrived) = &mut came
                        && afloat.fetch_add(1, Ordering::Relaxed) >= AFLOAT
                    {
                        arrived.bytes = None;
                    }
                    let _ = inbox.send(Message::Came(came));
                };
                intake.look(&Place::new(&app, shared, &stream, &tell))
            }));
            let look = look.unwrap_or_else(|_| {
                tracing::error!(
                    app = app.name(),
                    stream = &*stream,
                    "a look ended in a panic"
                );
                Look::Again(AGAIN)
            });
            let _ = inbox.send(Message::Looked(intake, look));
        });
    }

    /// The intake is back.
    fn looked(&mut self, intake: Box<Intake>, look: Look) {
        self.looks.last = Some(Instant::now());
        match look {
            Look::Again(after) => self.looks.after(after),
            Look::Done => {
                if let Some(session) = self.state.session.as_mut().filter(|_| !self.looks.ordered) {
                    session.all_listed();
                }
            }
        }
        self.intake = IntakeState::Here(intake);
        if let Some(session) = &mut self.state.session {
            let (id, gone) = (session.id.clone(), session.trim());
            self.let_go(id, gone, || {});
        }
    }

    /// Has segments of a session let go of: they go into the DVR window, or are removed.
    pub(crate) fn let_go(&self, session: String, gone: Gone, then: impl FnOnce() + Send + 'static) {
        let Gone { files, leaving } = gone;
        let length = self.app.dvr_window(&self.stream);
        let dvr = self.shared.spool.dvr();
        let dvr = length.and_then(|_| dvr.known(self.app.name(), &self.stream));
        if let Some(stream) = &dvr {
            let edge = self.state.latest().and_then(|latest| latest.edge_ms());
            if let Some(edge) = edge.and_then(DateTime::from_timestamp_millis) {
                stream.set_edge(edge);
            }
            // From now on: in between nobody would find them.
            self.shared.spool.dvr().leave(stream, &session, leaving);
        }
        let app = Arc::clone(&self.app);
        self.submit(Urgency::Segments, move |shared| {
            app.forget_links(&files);
            if let Some((stream, length)) = dvr.zip(length) {
                let dvr = shared.spool.dvr();
                dvr.store(&stream, &session);
                dvr.trim(&stream, length);
            }
            drop(files);
            then();
        });
    }

    /// Finds what an earlier run left.
    async fn recover(&mut self) {
        let (app, stream) = (Arc::clone(&self.app), Arc::clone(&self.stream));
        let found = self.do_now(move |shared| super::recover::recover(&stream, shared, &app));
        match found.await.flatten() {
            Some((intake, state)) => {
                self.intake = IntakeState::Here(Box::new(intake));
                self.state = state;
            }
            None => self.looks.after(AGAIN),
        }
    }

    /// Has what has come for the clip in the making written.
    pub(crate) fn grow(&mut self) {
        let Some(session) = &mut self.state.session else {
            return;
        };
        let Some(writing) = session.grow() else {
            return;
        };
        let (app, inbox) = (Arc::clone(&self.app), self.inbox.clone());
        self.submit(Urgency::Segments, move |shared| {
            let session = writing.session.clone();
            let grown = catch_unwind(AssertUnwindSafe(|| writing.write(shared, &app)));
            let _ = inbox.send(Message::Grown(session, grown.ok().flatten()));
        });
    }

    /// Announces beginnings and ends.
    async fn announce(&mut self) {
        if let Some(session) = &mut self.state.session
            && !session.announced
            // Before there is any media there is nothing to tell of.
            && session.seen_any
        {
            session.announced = true;
            let sub_folder = session.sub_folder.clone();
            self.state.announcements.begun(sub_folder);
        }
        let waits = self.tell_due.is_some_and(|due| due > Instant::now());
        if !self.state.is_untold() || waits {
            return;
        }
        self.write_recordings().await;
        self.write_markers().await;
        let announcements = &mut self.state.announcements;
        announcements
            .tell(&self.stream, &self.shared, &self.app)
            .await;
        let rest = self.state.is_untold();
        self.tell_due = rest.then(|| Instant::now() + AGAIN);
    }

    /// Shows others how the stream stands.
    fn show(&self) {
        let session = self.state.session.as_ref();
        let is_waiting = match &self.intake {
            IntakeState::Here(intake) => intake.is_waiting(),
            IntakeState::Away => true,
            IntakeState::NotRecovered => false,
        };
        let edge = session.and_then(|session| {
            let target = i64::try_from(session.target.as_millis()).ok()?;
            Some((session.edge_ms()?, target))
        });
        self.show.send_if_modified(|shown| {
            let seen = match (edge, shown.seen) {
                (Some((edge, _)), Some((known, _))) if edge == known => shown.seen,
                (Some((edge, _)), _) => Some((edge, Instant::now())),
                (None, _) => shown.seen,
            };
            let now = Shown {
                seen,
                live: session.is_some(),
                // One that has just begun has none of its own yet.
                edge: edge.or(shown.edge).filter(|_| session.is_some()),
                is_waiting,
                is_recovered: shown.is_recovered
                    || !matches!(self.intake, IntakeState::NotRecovered),
            };
            std::mem::replace(shown, now) != now
        });
    }

    /// Copies what is kept by link when the files that it shares its content with are written again.
    fn protect(&self, written: PathBuf) {
        let all = self
            .state
            .sessions()
            .flat_map(|session| session.media.files());
        let files: Vec<_> = all.cloned().collect();
        let (app, stream, inbox) = (
            Arc::clone(&self.app),
            Arc::clone(&self.stream),
            self.inbox.clone(),
        );
        self.submit(Urgency::Segments, move |_| {
            let mut of_file = files.iter();
            // The event may tell of the end of the writing that made it.
            let harmless = of_file
                .find(|file| file.original.as_deref() == Some(written.as_path()))
                .is_none_or(|file| file.original_is_intact());
            if harmless {
                return;
            }
            tracing::warn!(
                app = app.name(),
                stream = &*stream,
                file = %written.display(),
                "a segment's name is used again: keeping copies from here on"
            );
            let _ = inbox.send(Message::Copied);
            files.iter().for_each(|file| file.harden());
        });
    }

    /// Has something done by a worker.
    pub(crate) fn submit(&self, urgency: Urgency, job: impl FnOnce(&Arc<Shared>) + Send + 'static) {
        let context = Arc::downgrade(&self.shared);
        self.shared.pool.submit(urgency, Instant::now(), move || {
            if let Some(shared) = context.upgrade() {
                job(&shared);
            }
        });
    }

    /// Has the next thing made, whatever else happens.
    pub(crate) fn work(
        &mut self,
        urgency: Urgency,
        job: impl FnOnce(&Arc<Shared>) -> Made + Send + 'static,
    ) {
        self.busy = true;
        let inbox = self.inbox.clone();
        self.submit(urgency, move |shared| {
            let made = catch_unwind(AssertUnwindSafe(|| job(shared)));
            let _ = inbox.send(Message::Made(made.unwrap_or(Made::Panicked)));
        });
    }

    /// Has something short done by a worker, and waits for it. `None` when it cannot be done any more.
    pub(crate) fn do_now<T, F>(&self, job: F) -> impl Future<Output = Option<T>> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Shared>) -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.submit(Urgency::Segments, move |shared| {
            let _ = answer.send(job(shared));
        });
        async { answered.await.ok() }
    }
}

#[cfg(test)]
mod tests;
