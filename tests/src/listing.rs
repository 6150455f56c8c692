//! Media playlists as media servers write them.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A segment that is listed.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// Its URI.
    pub name: String,
    /// How long it is, in microseconds.
    pub micros: u64,
    /// When it begins, in microseconds since 1970.
    pub date_us: Option<u64>,
    /// What comes does not go on where the one before ended.
    pub discontinuity: bool,
    /// Further tags, each in a line.
    pub tags: String,
}

/// A media playlist.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Seconds: its target duration is this, or that of its longest segment where that is longer.
    pub least_target: u64,
    /// The number of the first segment.
    pub first: u64,
    /// Its type is `EVENT`.
    pub is_event: bool,
    /// The segments.
    pub segments: Vec<Listed>,
}

impl Listing {
    /// As text; `ended` with its last line.
    #[must_use]
    pub fn text(&self, ended: bool) -> String {
        let longest = self.segments.iter().map(|listed| listed.micros).max();
        let target = longest.unwrap_or(0).div_ceil(1_000_000);
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n",
            target.max(self.least_target),
            self.first
        );
        if self.is_event {
            text.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n");
        }
        for listed in &self.segments {
            if listed.discontinuity {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            if let Some(date) = listed.date_us {
                let date = date_of(UNIX_EPOCH + Duration::from_micros(date));
                text.push_str(&format!("#EXT-X-PROGRAM-DATE-TIME:{date}\n"));
            }
            text.push_str(&listed.tags);
            let seconds = listed.micros as f64 / 1e6;
            text.push_str(&format!("#EXTINF:{seconds:.6},\n{}\n", listed.name));
        }
        if ended {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        text
    }
}

/// Puts a text in the place of a file, or where there is none, at once.
///
/// # Panics
/// When that cannot be done.
pub fn replace(path: &Path, text: &str) {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".tmp");
    fs::write(&partial, text).unwrap();
    fs::rename(&partial, path).unwrap();
}

/// An instant as Ant Media Server writes it: to the nearest millisecond, the offset without a colon.
#[must_use]
pub fn date_of(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap() + Duration::from_micros(500);
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
