//! A clip as an HTTP body while it is being stored.
//!
//! The body reads the very content that is written, as far as it is written: a slow client holds
//! up nothing and costs no memory, and the content stays whole whatever becomes of the clip.

use std::sync::Arc;

use tokio::sync::watch;

use super::ClipContent;

/// How far a clip has come.
#[derive(Debug, Clone, Default)]
enum Progress {
    #[default]
    Waiting,
    Growing(Arc<dyn ClipContent>, u64),
    Done(Arc<dyn ClipContent>),
}

/// A pair: what stores the clip takes the one, what answers the client the other.
#[must_use]
pub fn body(len: u64) -> (BodySender, ClipBody) {
    let (sender, receiver) = watch::channel(Progress::Waiting);
    (BodySender(sender), ClipBody { len, receiver })
}

/// Tells a [`ClipBody`] how far the clip has come. Dropped early, the body fails.
#[derive(Debug)]
pub struct BodySender(watch::Sender<Progress>);

impl BodySender {
    pub(crate) fn begin(self, file: Arc<dyn ClipContent>) -> Growing {
        Growing {
            sender: self.0,
            file,
        }
    }
}

/// A clip that is being written.
#[derive(Debug)]
pub(crate) struct Growing {
    sender: watch::Sender<Progress>,
    file: Arc<dyn ClipContent>,
}

impl Growing {
    /// So many bytes are in the file.
    pub(crate) fn reached(&self, written: u64) {
        self.sender
            .send_replace(Progress::Growing(Arc::clone(&self.file), written));
    }

    /// The file is whole and has its name.
    pub(crate) fn done(self) {
        self.sender.send_replace(Progress::Done(self.file));
    }
}

/// The bytes of a clip that may still be being stored.
#[derive(Debug)]
pub struct ClipBody {
    /// How many there will be.
    pub len: u64,
    receiver: watch::Receiver<Progress>,
}

impl ClipBody {
    /// Waits until there is more than `at` bytes: the file, and how many there are. `None` when
    /// the clip failed.
    pub(crate) async fn beyond(&mut self, at: u64) -> Option<(Arc<dyn ClipContent>, u64)> {
        let len = self.len;
        // The last byte is held back until the clip is whole and the catalog knows it: a client
        // that has all of them has a clip that lasts, and finds its entry.
        let known = |progress: &Progress| match progress {
            Progress::Waiting => None,
            Progress::Growing(file, written) => {
                Some((Arc::clone(file), (*written).min(len.saturating_sub(1))))
            }
            Progress::Done(file) => Some((Arc::clone(file), len)),
        };
        let enough = |progress: &Progress| known(progress).is_some_and(|(_, to)| to > at);
        let progress = self.receiver.wait_for(enough).await.ok()?;
        known(&progress)
    }
}
