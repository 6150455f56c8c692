//! A live stream without an encoder: segments from [`writer`](crate::writer), listed one after the
//! other as a media server would.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// Milliseconds since 1970 of the next segment; `None` for a playlist without dates.
    date_ms: Option<f64>,
    next: u64,
    listed: Vec<Listed>,
    in_place: bool,
    torn: bool,
    target: u64,
}

#[derive(Debug, Clone)]
struct Listed {
    sequence: u64,
    micros: u64,
    date_ms: Option<f64>,
    discontinuity: bool,
}

impl Live {
    /// A stream of which nothing is written yet. It began at `date_ms`, if it is dated at all.
    #[must_use]
    pub fn new(folder: &Path, id: &str, kind: Kind, date_ms: Option<i64>) -> Self {
        Self {
            folder: folder.to_owned(),
            id: id.to_owned(),
            kind,
            date_ms: date_ms.map(|ms| ms as f64),
            next: 0,
            listed: Vec::new(),
            in_place: false,
            torn: false,
            target: 0,
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
        self.target = seconds;
        self
    }

    /// Segments are listed before they are whole, cut short in between, and written again.
    #[must_use]
    pub fn torn(mut self) -> Self {
        self.torn = true;
        self
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
        self.listed.push(Listed {
            sequence,
            micros: piece.micros,
            date_ms: self.date_ms,
            discontinuity,
        });
        if let Some(date) = &mut self.date_ms {
            *date += piece.micros as f64 / 1000.0;
        }
        if let Kind::Sliding(count) = self.kind {
            while self.listed.len() > count {
                let gone = self.listed.remove(0);
                fs::remove_file(self.segment(gone.sequence)).unwrap();
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
            self.listed.clear();
        }
        if let Some(date) = &mut self.date_ms {
            *date += micros as f64 / 1000.0;
        }
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
        self.listed.clear();
        self.date_ms = date_ms.map(|ms| ms as f64);
    }

    /// The playlist.
    #[must_use]
    pub fn playlist(&self) -> PathBuf {
        self.folder.join(format!("{}.m3u8", self.id))
    }

    fn segment(&self, sequence: u64) -> PathBuf {
        self.folder.join(format!("{}{sequence:05}.ts", self.id))
    }

    fn write(&self, ended: bool) {
        let first = self.listed.first().map_or(0, |listed| listed.sequence);
        let longest = self.listed.iter().map(|listed| listed.micros).max();
        let target = longest.unwrap_or(0).div_ceil(1_000_000).max(self.target);
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
        );
        if self.kind == Kind::Event {
            text.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n");
        }
        for listed in &self.listed {
            if listed.discontinuity {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            text.push_str(&format!("#EXTINF:{:.6},\n", listed.micros as f64 / 1e6));
            if let Some(date) = listed.date_ms {
                text.push_str(&format!("#EXT-X-PROGRAM-DATE-TIME:{}\n", shown(date)));
            }
            text.push_str(&format!("{}{:05}.ts\n", self.id, listed.sequence));
        }
        if ended {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        if self.in_place {
            let half = text.len() / 2;
            fs::write(self.playlist(), &text[..half]).unwrap();
            std::thread::sleep(PAUSE);
            fs::write(self.playlist(), text).unwrap();
            return;
        }
        let partial = self.playlist().with_extension("m3u8.tmp");
        fs::write(&partial, text).unwrap();
        fs::rename(&partial, self.playlist()).unwrap();
    }
}

/// As Ant Media Server writes it: milliseconds, the offset without a colon.
fn shown(date_ms: f64) -> String {
    let ms = date_ms.round() as i64;
    let (days, within) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Civil from days, after Howard Hinnant's `chrono` paper.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (hours, rest) = (within / 3_600_000, within % 3_600_000);
    let (minutes, rest) = (rest / 60_000, rest % 60_000);
    format!(
        "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{:02}.{:03}+0000",
        rest / 1000,
        rest % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_they_are_written() {
        assert_eq!(shown(1_795_356_000_000.0), "2026-11-22T14:00:00.000+0000");
        assert_eq!(shown(951_782_400_001.4), "2000-02-29T00:00:00.001+0000");
    }
}
