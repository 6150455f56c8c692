//! A media server that writes live HLS to a folder, in real time, with media whose every access
//! unit can be recognised again. It needs nothing installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
                        &self.playlist(&id, n + 1, began, false),
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

    fn playlist(&self, id: &str, count: usize, began: SystemTime, ended: bool) -> String {
        let first = self.window.map_or(0, |window| count.saturating_sub(window));
        let step = self.plan.segment_duration();
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{first}\n",
            step.as_millis().div_ceil(1000)
        );
        if self.window.is_none() {
            text.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n");
        }
        for n in first..count {
            text.push_str(&format!("#EXTINF:{:.6},\n", step.as_secs_f64()));
            if self.dated {
                let at = began + step * u32::try_from(n).unwrap();
                text.push_str(&format!("#EXT-X-PROGRAM-DATE-TIME:{}\n", date(at)));
            }
            text.push_str(&name(id, n));
            text.push('\n');
        }
        if ended {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        text
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

fn replace(path: &Path, text: &str) {
    let temporary = path.with_extension("m3u8.tmp");
    fs::write(&temporary, text).unwrap();
    fs::rename(&temporary, path).unwrap();
}

/// An instant as Ant Media writes it: an offset without a colon.
#[must_use]
pub fn date(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let [year, month, day] = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}+0000",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

/// Year, month and day of a day counted from 1 January 1970.
fn civil(mut days: u64) -> [u64; 3] {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    [year, month, days + 1]
}
