//! Plays media servers: segments of real media are linked into a folder, and listed, when their
//! time has come.
//!
//! One thread and one queue of what is due next; a segment costs a hard link, a small file and a
//! rename. Nothing is encoded, and all streams share the same files, so the disk and the page cache
//! hold the media once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat};

use super::SEGMENT;

/// Segments in a sliding playlist, as Ant Media Server keeps them.
const LISTED: u64 = 15;

/// A segment is written out at most this much after its end, in milliseconds.
const JITTER_MS: u64 = 100;

/// What the playlists are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PlaylistKind {
    /// The last 15 segments; others are deleted.
    Sliding,
    /// All of them.
    Event,
}

/// What is to be played.
pub(super) struct Plan<'a> {
    pub(super) folder: PathBuf,
    pub(super) media: &'a [PathBuf],
    pub(super) streams: usize,
    pub(super) kind: PlaylistKind,
    /// Seconds over which the streams begin.
    pub(super) spread: f64,
    pub(super) begun: Instant,
    /// The same instant, in milliseconds since 1970.
    pub(super) begun_ms: i64,
}

/// What was played.
pub(super) struct Published {
    /// By stream.
    pub(super) streams: Vec<Arrivals>,
    /// Segments that came more than half a segment later than they should: the generator could not
    /// keep up, and nothing that was measured is worth anything.
    pub(super) behind: usize,
}

/// When the segments of a stream came.
pub(super) struct Arrivals {
    pub(super) id: String,
    /// When its media begins, in milliseconds since 1970.
    pub(super) begins_ms: i64,
    /// When each segment had been listed, in milliseconds since 1970.
    pub(super) listed_ms: Vec<i64>,
}

/// The id of a stream.
pub(super) fn id(number: usize) -> String {
    format!("stream{number:04}")
}

struct Stream {
    arrivals: Arrivals,
    /// Since all began.
    begins: Duration,
    /// Which piece of the media it begins with.
    first: usize,
    /// The lines of the listed segments, the oldest first.
    lines: std::collections::VecDeque<String>,
    /// What an EVENT playlist holds so far.
    text: String,
    /// Discontinuities that slid out.
    passed: u64,
}

impl Plan<'_> {
    /// Plays until it is over.
    pub(super) fn play(&self, over: &AtomicBool) -> Published {
        let mut streams: Vec<_> = (0..self.streams)
            .map(|number| self.stream(number))
            .collect();
        let mut due: BinaryHeap<_> = streams
            .iter()
            .enumerate()
            .map(|(number, stream)| Reverse((self.due(stream, number), number)))
            .collect();
        let mut behind = 0;
        while let Some(Reverse((at, number))) = due.pop() {
            loop {
                if over.load(Ordering::Relaxed) || crate::interrupt::asked() {
                    let streams = streams.into_iter().map(|stream| stream.arrivals).collect();
                    return Published { streams, behind };
                }
                let left = at.saturating_sub(self.begun.elapsed());
                if left.is_zero() {
                    break;
                }
                std::thread::sleep(left.min(Duration::from_millis(100)));
            }
            let late = self.begun.elapsed().saturating_sub(at);
            behind += usize::from(late > Duration::from_secs(SEGMENT) / 2);
            let stream = &mut streams[number];
            stream.publish(self);
            due.push(Reverse((self.due(stream, number), number)));
        }
        Published {
            streams: Vec::new(),
            behind,
        }
    }

    fn stream(&self, number: usize) -> Stream {
        let share = mix(number as u64) as f64 / u64::MAX as f64;
        let begins = Duration::from_secs_f64(self.spread * share);
        Stream {
            arrivals: Arrivals {
                id: id(number),
                begins_ms: self.begun_ms + begins.as_millis() as i64,
                listed_ms: Vec::new(),
            },
            begins,
            first: (number * 7) % self.media.len(),
            lines: std::collections::VecDeque::new(),
            text: String::new(),
            passed: 0,
        }
    }

    /// When the next segment of a stream is written out: a little after its end.
    fn due(&self, stream: &Stream, number: usize) -> Duration {
        let next = stream.arrivals.listed_ms.len() as u64;
        let jitter = mix((number as u64) << 32 | next) % JITTER_MS;
        stream.begins + Duration::from_millis((next + 1) * SEGMENT * 1000 + jitter)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): numbers without a pattern, the same in every run.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Stream {
    /// Links the next segment in and lists it.
    fn publish(&mut self, plan: &Plan<'_>) {
        let number = self.arrivals.listed_ms.len() as u64;
        let piece = (self.first + number as usize) % plan.media.len();
        let looped = number > 0 && piece == 0;
        let id = &self.arrivals.id;
        let name = format!("{id}{number:09}.ts");
        std::fs::hard_link(&plan.media[piece], plan.folder.join(&name)).unwrap();
        let at = self.arrivals.begins_ms + (number * SEGMENT * 1000) as i64;
        let mut line = String::new();
        if looped {
            line.push_str("#EXT-X-DISCONTINUITY\n");
        }
        write_segment(&mut line, at, &name);
        match plan.kind {
            PlaylistKind::Event => {
                if self.text.is_empty() {
                    self.text = head(0, 0, true);
                }
                self.text.push_str(&line);
                write(&plan.folder, id, &self.text);
            }
            PlaylistKind::Sliding => {
                self.lines.push_back(line);
                if self.lines.len() as u64 > LISTED {
                    let gone = self.lines.pop_front().unwrap_or_default();
                    self.passed += u64::from(gone.starts_with("#EXT-X-DISCONTINUITY"));
                }
                let first = number + 1 - self.lines.len() as u64;
                let mut text = head(first, self.passed, false);
                self.lines.iter().for_each(|line| text.push_str(line));
                write(&plan.folder, id, &text);
                // What left the list one segment ago, as ffmpeg's muxer does.
                if let Some(gone) = first.checked_sub(2) {
                    let _ = std::fs::remove_file(plan.folder.join(format!("{id}{gone:09}.ts")));
                }
            }
        }
        self.arrivals
            .listed_ms
            .push(chrono::Utc::now().timestamp_millis());
    }
}

pub(super) fn head(first: u64, discontinuities: u64, event: bool) -> String {
    let kind = if event {
        "#EXT-X-PLAYLIST-TYPE:EVENT\n"
    } else {
        ""
    };
    format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{SEGMENT}\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}\n{kind}"
    )
}

pub(super) fn write_segment(text: &mut String, at_ms: i64, name: &str) {
    let at = DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let _ = write!(
        text,
        "#EXTINF:{SEGMENT}.000000,\n#EXT-X-PROGRAM-DATE-TIME:{at}\n{name}\n"
    );
}

/// Written beside its place and renamed, as ffmpeg's muxer does.
pub(super) fn write(folder: &Path, id: &str, text: &str) {
    let part = folder.join(format!("{id}.m3u8.tmp"));
    std::fs::write(&part, text).unwrap();
    std::fs::rename(part, folder.join(format!("{id}.m3u8"))).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(kind: PlaylistKind, count: usize) -> (tempfile::TempDir, Stream) {
        let folder = tempfile::tempdir().unwrap();
        let media: Vec<_> = (0..10)
            .map(|n| folder.path().join(format!("media{n}")))
            .collect();
        for file in &media {
            std::fs::write(file, "media").unwrap();
        }
        let plan = Plan {
            folder: folder.path().to_owned(),
            media: &media,
            streams: 1,
            kind,
            spread: 0.0,
            begun: Instant::now(),
            begun_ms: 1_795_356_000_000,
        };
        let mut stream = plan.stream(0);
        for _ in 0..count {
            stream.publish(&plan);
        }
        (folder, stream)
    }

    #[test]
    fn a_sliding_playlist_lists_the_last_segments_and_counts_what_slid_out() {
        let (folder, stream) = played(PlaylistKind::Sliding, 28);
        let text = std::fs::read_to_string(folder.path().join("stream0000.m3u8")).unwrap();
        let segments: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(segments.len() as u64, LISTED);
        assert_eq!(segments[0], "stream0000000000013.ts");
        assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:13\n"));
        // Segments 10 and 20 begin the media anew.
        assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"));
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
        assert!(
            text.contains("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T14:00:26.000Z\nstream0000000000013")
        );
        assert!(folder.path().join("stream0000000000012.ts").is_file());
        assert!(!folder.path().join("stream0000000000011.ts").exists());
        assert_eq!(stream.arrivals.listed_ms.len(), 28);
    }

    #[test]
    fn an_event_playlist_keeps_all() {
        let (folder, _) = played(PlaylistKind::Event, 28);
        let text = std::fs::read_to_string(folder.path().join("stream0000.m3u8")).unwrap();
        assert_eq!(
            text.lines().filter(|line| !line.starts_with('#')).count(),
            28
        );
        assert!(text.contains("#EXT-X-PLAYLIST-TYPE:EVENT\n"));
        assert!(folder.path().join("stream0000000000000.ts").is_file());
    }

    #[test]
    fn streams_begin_apart_and_segments_come_after_their_end() {
        let media = [PathBuf::new()];
        let plan = Plan {
            folder: PathBuf::new(),
            media: &media,
            streams: 200,
            kind: PlaylistKind::Sliding,
            spread: 2.0,
            begun: Instant::now(),
            begun_ms: 0,
        };
        let mut quarters = [0; 4];
        for number in 0..plan.streams {
            let stream = plan.stream(number);
            quarters[(stream.begins.as_secs_f64() * 2.0) as usize] += 1;
            let due = plan.due(&stream, number);
            let end = stream.begins + Duration::from_secs(SEGMENT);
            assert!(due >= end && due < end + Duration::from_millis(JITTER_MS));
        }
        assert!(quarters.iter().all(|count| *count > 30), "{quarters:?}");
    }
}
