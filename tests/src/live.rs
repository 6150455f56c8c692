//! A media server that writes live HLS to a folder, in real time, with media whose every access
//! unit can be recognised again. It needs nothing installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::listing::{Listed, Listing, replace};
use crate::writer::{Plan, Segment};

/// How it writes.
#[derive(Debug, Clone)]
pub struct Live {
    /// The media; segments are one group of pictures each.
    pub plan: Plan,
    /// Segments that the playlist lists, the older ones being deleted; `None`: an event playlist.
    pub window: Option<usize>,
    /// Whether segments are dated.
    pub dated: bool,
}

impl Default for Live {
    /// A segment of one second after the other, for five minutes, the last five of them listed.
    fn default() -> Self {
        Self {
            plan: Plan {
                groups: 300,
                group: 25,
                ..Plan::default()
            },
            window: Some(5),
            dated: true,
        }
    }
}

/// A live stream. It ends when it is dropped, without a word.
#[derive(Debug)]
pub struct Producer {
    /// What is written, from the first segment on.
    pub segments: Arc<Vec<Segment>>,
    /// The instant of its first picture.
    pub began: SystemTime,
    playlist: PathBuf,
    written: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// Begins to write `{id}.m3u8` and its segments into `folder`.
    ///
    /// # Panics
    /// When that cannot be done.
    #[must_use]
    pub fn start(self, folder: &Path, id: &str) -> Producer {
        fs::create_dir_all(folder).unwrap();
        let segments = Arc::new(self.plan.segments());
        let written = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(AtomicBool::new(false));
        // To the millisecond, as playlists have it.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let began = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millis()).unwrap());
        let playlist = folder.join(format!("{id}.m3u8"));
        let thread = {
            let (segments, written) = (Arc::clone(&segments), Arc::clone(&written));
            let (ended, folder, id) = (Arc::clone(&ended), folder.to_owned(), id.to_owned());
            std::thread::spawn(move || {
                let step = self.plan.segment_duration();
                for n in 0..segments.len() {
                    // A segment is there when it has been filmed.
                    let due = began + step * u32::try_from(n + 1).unwrap();
                    while SystemTime::now() < due {
                        if ended.load(Ordering::SeqCst) {
                            return;
                        }
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    fs::write(folder.join(name(&id, n)), &segments[n].bytes).unwrap();
                    replace(
                        &folder.join(format!("{id}.m3u8")),
                        &self.playlist(&id, n + 1, began),
                    );
                    written.store(n + 1, Ordering::SeqCst);
                    if let Some(old) = self
                        .window
                        .and_then(|window| (n + 1).checked_sub(window + 3))
                    {
                        let _ = fs::remove_file(folder.join(name(&id, old)));
                    }
                }
            })
        };
        Producer {
            segments,
            began,
            playlist,
            written,
            ended,
            thread: Some(thread),
        }
    }

    fn playlist(&self, id: &str, count: usize, began: SystemTime) -> String {
        let first = self.window.map_or(0, |window| count.saturating_sub(window));
        let step = self.plan.segment_duration();
        let segments = (first..count).map(|n| {
            let at = began + step * u32::try_from(n).unwrap();
            let date = at.duration_since(UNIX_EPOCH).unwrap().as_micros();
            Listed {
                name: name(id, n),
                micros: u64::try_from(step.as_micros()).unwrap(),
                date_us: self.dated.then(|| u64::try_from(date).unwrap()),
                ..Listed::default()
            }
        });
        let listing = Listing {
            first: first as u64,
            is_event: self.window.is_none(),
            segments: segments.collect(),
            ..Listing::default()
        };
        listing.text(false)
    }
}

impl Producer {
    /// How many segments are written.
    #[must_use]
    pub fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    /// Waits until so many segments are written.
    pub fn wait_for(&self, count: usize) {
        while self.written() < count {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops writing, as a crashed encoder does. Says how many segments there are.
    pub fn stop(&mut self) -> usize {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.written()
    }

    /// Ends the stream with an ENDLIST. Says how many segments there are.
    ///
    /// # Panics
    /// When the playlist cannot be written.
    pub fn end(&mut self) -> usize {
        let written = self.stop();
        let text = fs::read_to_string(&self.playlist).unwrap();
        replace(&self.playlist, &format!("{text}#EXT-X-ENDLIST\n"));
        written
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn name(id: &str, n: usize) -> String {
    format!("{id}{n:09}.ts")
}
