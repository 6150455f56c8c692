//! A stream as others know it: its task is asked and told by messages, and shows how it stands.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use super::app::App;
use super::intake::Intake;
use super::shared::Shared;
use super::state::State;
use super::switch::Switched;
use super::task::{Command, Message, Task};

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    inbox: mpsc::UnboundedSender<Message>,
    shown: watch::Receiver<Shown>,
}

/// How a stream stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) live: bool,
    /// The live edge and the target duration, in milliseconds.
    pub(crate) edge: Option<(i64, i64)>,
    /// Where the live edge was seen last, in milliseconds since 1970, and when: also when the stream is over.
    pub(crate) seen: Option<(i64, Instant)>,
    /// Segments that are listed may still be taken in.
    pub(crate) is_waiting: bool,
    /// What an earlier run left is found.
    pub(crate) is_recovered: bool,
}

impl Stream {
    /// Begins a task for a stream. To be called in a runtime.
    pub(crate) fn start(id: &str, shared: &Arc<Shared>, app: &Arc<App>) -> Self {
        let (inbox, messages) = mpsc::unbounded_channel();
        let (show, shown) = watch::channel(Shown::default());
        let task = Task::new(id, Arc::clone(shared), Arc::clone(app), inbox.clone(), show);
        tokio::spawn(task.run(messages));
        Self { inbox, shown }
    }

    /// Has something done. A stream whose task has ended does nothing any more.
    pub(crate) fn tell(&self, command: Command) {
        let _ = self.inbox.send(Message::Command(command));
    }

    /// How it stands.
    pub(crate) fn shown(&self) -> Shown {
        *self.shown.borrow()
    }

    /// The same, to be followed.
    pub(crate) fn follow(&self) -> watch::Receiver<Shown> {
        self.shown.clone()
    }

    /// Asks what is known of it. It blocks for no longer than a step of the task takes; `None` when that
    /// has ended.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.tell(Command::Ask(Box::new(move |state| {
            let _ = answer.send(question(state));
        })));
        answered.blocking_recv().ok()
    }

    /// Asks what was taken in of it. It blocks until the look that may be going on at its playlist is
    /// over.
    pub(crate) fn ask_intake<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Intake) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.tell(Command::AskIntake(Box::new(move |intake| {
            let _ = answer.send(question(intake));
        })));
        answered.blocking_recv().ok()
    }

    /// Turns its recording on or off, while it is live.
    pub(crate) async fn switch(&self, on: bool) -> Switched {
        let (answer, answered) = oneshot::channel();
        self.tell(Command::Switch(on, answer));
        answered.await.unwrap_or(Switched::NotLive)
    }
}
