//! A live stream without an encoder: segments from [`writer`](crate::writer), listed one after the
//! other as a media server would.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::listing::{Listed, Listing, replace};
use crate::writer::{Plan, Unit};

/// Between two writes to one file.
const PAUSE: Duration = Duration::from_millis(3);

/// What one segment of a live stream holds.
#[derive(Debug, Clone, Default)]
pub struct Piece {
    /// MPEG-TS.
    pub bytes: Vec<u8>,
    /// How long it lasts, in microseconds.
    pub micros: u64,
    /// Its pictures.
    pub video: Vec<Unit>,
    /// Its sound.
    pub audio: Vec<Unit>,
}

/// Segments of a plan, so many groups of pictures in each in turn.
///
/// # Panics
/// When `groups` is empty or holds a zero.
#[must_use]
pub fn pieces(plan: &Plan, groups: &[usize]) -> Vec<Piece> {
    let micros = plan.group as u64 * plan.picture_ticks * 100 / 9;
    let mut counts = groups.iter().cycle();
    let mut segments = plan.segments().into_iter().peekable();
    let mut pieces = Vec::new();
    while segments.peek().is_some() {
        let count = *counts.next().unwrap();
        assert!(count > 0);
        let mut piece = Piece::default();
        for segment in segments.by_ref().take(count) {
            piece.bytes.extend(segment.bytes);
            piece.video.extend(segment.video);
            piece.audio.extend(segment.audio);
            piece.micros += micros;
        }
        pieces.push(piece);
    }
    pieces
}

/// How a playlist forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It never does.
    Event,
    /// It lists so many segments, and the files of others are deleted.
    Sliding(usize),
}

/// A playlist on disk that grows.
#[derive(Debug)]
pub struct Live {
    folder: PathBuf,
    id: String,
    kind: Kind,
    /// Microseconds since 1970 of the next segment; `None` for a playlist without dates.
    date_us: Option<u64>,
    next: u64,
    listing: Listing,
    in_place: bool,
    torn: bool,
    /// What stands before the next segment.
    tags: String,
}

impl Live {
    /// A stream of which nothing is written yet. It began at `date_ms`, if it is dated at all.
    #[must_use]
    pub fn new(folder: &Path, id: &str, kind: Kind, date_ms: Option<i64>) -> Self {
        Self {
            folder: folder.to_owned(),
            id: id.to_owned(),
            kind,
            date_us: date_ms.map(micros),
            next: 0,
            listing: Listing {
                is_event: kind == Kind::Event,
                ..Listing::default()
            },
            in_place: false,
            torn: false,
            tags: String::new(),
        }
    }

    /// Playlists are rewritten in place, in two writes, rather than replaced.
    #[must_use]
    pub fn in_place(mut self) -> Self {
        self.in_place = true;
        self
    }

    /// Its playlist promises segments of so many seconds at most: it is silent for three times as long before
    /// it is believed to be over.
    #[must_use]
    pub fn with_target(mut self, seconds: u64) -> Self {
        self.listing.least_target = seconds;
        self
    }

    /// Segments are listed before they are whole, cut short in between, and written again.
    #[must_use]
    pub fn torn(mut self) -> Self {
        self.torn = true;
        self
    }

    /// Further tags stand before the next segment, each in a line.
    pub fn tag(&mut self, tags: &str) {
        self.tags.push_str(tags);
    }

    /// Writes a segment, then lists it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn publish(&mut self, piece: &Piece, discontinuity: bool) {
        let sequence = self.next;
        self.next += 1;
        let path = self.segment(sequence);
        let (half, tenth) = (piece.bytes.len() / 2, piece.bytes.len() / 10);
        let whole = if self.torn { half } else { piece.bytes.len() };
        fs::write(&path, &piece.bytes[..whole]).unwrap();
        if self.listing.segments.is_empty() {
            self.listing.first = sequence;
        }
        self.listing.segments.push(Listed {
            name: self.name(sequence),
            micros: piece.micros,
            date_us: self.date_us,
            discontinuity,
            tags: std::mem::take(&mut self.tags),
        });
        self.date_us = self.date_us.map(|date| date + piece.micros);
        if let Kind::Sliding(count) = self.kind {
            while self.listing.segments.len() > count {
                let gone = self.listing.segments.remove(0);
                self.listing.first += 1;
                fs::remove_file(self.folder.join(gone.name)).unwrap();
            }
        }
        self.write(false);
        if self.torn {
            for until in [tenth, half + tenth, piece.bytes.len()] {
                std::thread::sleep(PAUSE);
                fs::write(&path, &piece.bytes[..until]).unwrap();
            }
        }
    }

    /// So many segments are listed and gone before anybody looks. Without a count, the encoder
    /// pauses.
    pub fn skip(&mut self, count: u64, micros: u64) {
        if count > 0 {
            self.next += count;
            // The list has no holes, so what was in it has gone as well.
            self.listing.segments.clear();
        }
        self.date_us = self.date_us.map(|date| date + micros);
    }

    /// The stream ends.
    ///
    /// # Panics
    /// When that cannot be written.
    pub fn end(&mut self) {
        self.write(true);
    }

    /// The encoder starts again: from sequence 0, under the same names, at another date.
    pub fn restart(&mut self, date_ms: Option<i64>) {
        self.next = 0;
        self.listing.segments.clear();
        self.date_us = date_ms.map(micros);
    }

    /// The playlist.
    #[must_use]
    pub fn playlist(&self) -> PathBuf {
        self.folder.join(format!("{}.m3u8", self.id))
    }

    fn name(&self, sequence: u64) -> String {
        format!("{}{sequence:05}.ts", self.id)
    }

    fn segment(&self, sequence: u64) -> PathBuf {
        self.folder.join(self.name(sequence))
    }

    fn write(&self, ended: bool) {
        let text = self.listing.text(ended);
        if self.in_place {
            let half = text.len() / 2;
            fs::write(self.playlist(), &text[..half]).unwrap();
            std::thread::sleep(PAUSE);
            fs::write(self.playlist(), text).unwrap();
            return;
        }
        replace(&self.playlist(), &text);
    }
}

/// Microseconds of milliseconds since 1970.
fn micros(date_ms: i64) -> u64 {
    u64::try_from(date_ms).unwrap() * 1000
}
