//! Streams that are pushed: files come by HTTP and become HLS in the application's streams folder, where they are
//! recorded, clipped and played as any others there.
//!
//! - `names`: what streams and files may be called;
//! - `uris`: where the URIs of a pushed playlist lead;
//! - `playlists`: which playlist is the stream's, when it is published, and how much of it;
//! - `rate`: how fast bytes are taken;
//! - `folder`: the files;
//! - `stream`: one stream: files that come, playlists, what is deleted, and what nobody needs any more.
//!
//! All of it blocks. Who may push, and the bytes as they come, are the business of `http/ingest.rs`.

mod folder;
pub(crate) mod names;
mod playlists;
mod rate;
mod stream;
pub(crate) mod uris;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::folder::Folder;
use self::names::NameError;
pub(crate) use self::playlists::{PlaylistFault, Pushed};
pub(crate) use self::stream::PushedStream;
use crate::config::{AppSettings, Settings};
use crate::storage::is_full;

/// How often playlists that wait are looked at.
const TICK: Duration = Duration::from_secs(1);

/// How often files that nobody needs are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// Why something that is pushed is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("{0}")]
    Playlist(#[from] PlaylistFault),
    #[error("another source has a stream or a folder of this name")]
    Taken,
    #[error("the stream has {0} files or playlists, and may have no more")]
    TooMany(usize),
    #[error("it goes on behind byte {0}, where the file that is there ends")]
    Beyond(u64),
    #[error("the application's folder is not there")]
    NoFolder,
    #[error("{0}")]
    Io(io::Error),
}

impl Refusal {
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io(error) if is_full(error))
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{AlreadyExists, IsADirectory, NotADirectory};
        match error.kind() {
            // A file where a folder would have to be, or the other way about.
            AlreadyExists | IsADirectory | NotADirectory => Self::Taken,
            _ => Self::Io(error),
        }
    }
}

/// The streams that are pushed, of all applications.
#[derive(Debug, Default)]
pub struct Ingest {
    streams: Mutex<HashMap<(String, String), Arc<PushedStream>>>,
}

impl Ingest {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<PushedStream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream, whether there is one yet or not.
    pub(crate) fn stream(&self, app: &AppSettings, id: &str) -> Result<Arc<PushedStream>, Refusal> {
        names::check_stream(id)?;
        let mut streams = self.lock();
        let key = (app.name.clone(), id.to_owned());
        if let Some(known) = streams
            .get(&key)
            .filter(|known| known.is_in(&app.streams_dir))
        {
            return Ok(Arc::clone(known));
        }
        let stream = Arc::new(PushedStream::new(app, Folder::new(&app.streams_dir, id)));
        streams.insert(key, Arc::clone(&stream));
        Ok(stream)
    }

    /// Looks after what no call does, for ever.
    pub async fn run(self: Arc<Self>, settings: watch::Receiver<Arc<Settings>>) {
        let mut next_sweep = Instant::now();
        loop {
            tokio::time::sleep(TICK).await;
            let ingest = Arc::clone(&self);
            let due = next_sweep <= Instant::now();
            let apps = due.then(|| settings.borrow().apps.clone());
            let looked = tokio::task::spawn_blocking(move || {
                ingest.tick();
                for app in apps.iter().flatten() {
                    ingest.sweep(app);
                }
            });
            if let Err(error) = looked.await {
                tracing::error!(%error, "pushed streams are not looked after");
            }
            if due {
                next_sweep = Instant::now() + SWEEP;
            }
        }
    }

    /// Publishes what waits and has waited long enough.
    fn tick(&self) {
        let streams: Vec<_> = self.lock().values().cloned().collect();
        for stream in streams {
            stream.tick(Instant::now());
        }
    }

    /// Removes what nobody needs any more.
    fn sweep(&self, app: &AppSettings) {
        // An absent folder is told of by those who record from it.
        for folder in Folder::all(&app.streams_dir).into_iter().flatten() {
            let Ok(stream) = self.stream(app, folder.id()) else {
                continue;
            };
            if let Err(error) = stream.sweep(Instant::now()) {
                let stream = folder.id();
                tracing::warn!(app = app.name, stream, %error, "cannot look after a pushed stream");
            }
        }
        let now = Instant::now();
        self.lock()
            .retain(|_, stream| Arc::strong_count(stream) > 1 || !stream.is_idle(now));
    }
}
