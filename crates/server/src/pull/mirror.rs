//! What is mirrored of a media playlist, and the playlist that says so. It does no I/O and reads no clock.
//!
//! Names and media sequence numbers are given once and never again, also after a restart: [`Mirror`] is
//! written down whole beside the segments, before its playlist, and read again from there.

use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use clipmill::live::{TakenSegment, Timeouts};
use clipmill_playlist::Cue;
use serde::{Deserialize, Serialize};

/// So many segments that are listed no more are remembered, so that they are known when they are listed again.
const REMEMBERED: usize = 256;

/// Lines about date ranges that are passed on.
const RANGES: usize = 1000;

/// What is mirrored of a media playlist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Mirror {
    /// Tells the playlist that it is a mirror of from others.
    pub(super) origin: String,
    /// The number of the next segment.
    next: u64,
    /// Discontinuities before the first segment that is listed.
    discontinuities: u64,
    target_s: u64,
    independent: bool,
    pub(super) ended: bool,
    entries: Vec<Entry>,
    /// What was taken of the origin and is listed here no more.
    before: Vec<TakenSegment>,
    /// Lines about date ranges, as the origin has them.
    ranges: Vec<String>,
    /// Files that are listed no more, and when they go.
    doomed: Vec<Doomed>,
}

/// A segment that is listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    number: u64,
    /// Its file; of a gap, a name that is nobody's.
    file: String,
    micros: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// When it begins, in microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    date_us: Option<i64>,
    /// The origin says so itself, and it does not merely follow from others.
    dated: bool,
    discontinuity: bool,
    gap: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<String>,
    /// The tag with which a break begins or ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    cue: Option<String>,
    /// When it was listed, in milliseconds since 1970.
    at_ms: i64,
    /// What it is at the origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<TakenSegment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Doomed {
    file: String,
    due_ms: i64,
}

/// A segment that comes next.
#[derive(Debug, Clone, Default)]
pub(super) struct Next {
    /// The end of its name; none: there is no media, and that is said.
    pub(super) suffix: Option<&'static str>,
    pub(super) duration: Duration,
    pub(super) title: Option<String>,
    /// When it begins.
    pub(super) start_time: Option<DateTime<Utc>>,
    /// The origin says so itself.
    pub(super) dated: bool,
    pub(super) discontinuity: bool,
    /// The file of what must be known to read it.
    pub(super) map: Option<String>,
    /// A break begins or ends with it.
    pub(super) cue: Option<Cue>,
    pub(super) taken: Option<TakenSegment>,
}

/// What the origin's playlist says of all its segments.
#[derive(Debug, Clone, Default)]
pub(super) struct Heading {
    pub(super) target: Duration,
    pub(super) independent: bool,
    pub(super) ranges: Vec<String>,
}

impl Mirror {
    /// Reads what was written down.
    pub(super) fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// As it is written down.
    pub(super) fn json(&self) -> Vec<u8> {
        // Fails only for maps with keys that are no texts.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether its last segment, if there is one, has a date.
    pub(super) fn is_dated(&self) -> bool {
        let last = self.entries.last();
        last.is_some_and(|last| last.date_us.is_some())
    }

    /// What was taken of the origin, oldest first.
    pub(super) fn taken(&self) -> Vec<TakenSegment> {
        let listed = self.entries.iter().filter_map(|entry| entry.taken);
        self.before.iter().copied().chain(listed).collect()
    }

    /// It is a mirror of another playlist from now on, of which nothing was taken yet.
    pub(super) fn become_of(&mut self, origin: &str) {
        origin.clone_into(&mut self.origin);
        self.before.clear();
        for entry in &mut self.entries {
            entry.taken = None;
        }
    }

    /// Before the first segment there were so many discontinuities at the origin: playlists that belong together
    /// count them alike.
    pub(super) fn begin_at(&mut self, discontinuities: u64) {
        if self.entries.is_empty() && self.next == 0 {
            self.discontinuities = discontinuities;
        }
    }

    /// Numbers up to this one are taken, by whatever was here before.
    pub(super) fn skip_to(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// What the origin says of all its segments.
    pub(super) fn head(&mut self, heading: &Heading) {
        let whole = u64::from(heading.target.subsec_nanos() > 0);
        self.target_s = heading.target.as_secs().saturating_add(whole).max(1);
        self.independent = heading.independent;
        self.ranges.clone_from(&heading.ranges);
        self.ranges.truncate(RANGES);
    }

    /// Lists a segment; gives the name of its file.
    pub(super) fn push(&mut self, next: Next, now_ms: i64) -> String {
        let number = self.next;
        self.next = number.saturating_add(1);
        let file = format!("{number:010}.{}", next.suffix.unwrap_or("gap"));
        self.entries.push(Entry {
            number,
            file: file.clone(),
            micros: u64::try_from(next.duration.as_micros()).unwrap_or(u64::MAX),
            title: next.title,
            date_us: next.start_time.map(|date| date.timestamp_micros()),
            dated: next.dated,
            discontinuity: next.discontinuity,
            gap: next.suffix.is_none(),
            map: next.map,
            cue: next.cue.map(|cue| cue.to_string()),
            at_ms: now_ms,
            taken: next.taken,
        });
        self.ended = false;
        file
    }

    /// Lists no more than the origin does, which lists so many: what is over goes when it was listed for three
    /// target durations, and its file as much later, or as much as all that is listed takes (RFC 8216, 6.2.2).
    pub(super) fn trim(&mut self, listed: usize, now_ms: i64) {
        let seconds = |seconds: u64| Duration::from_secs(seconds);
        let silence = Timeouts::default().silence(seconds(self.target_s));
        let all = self.entries.iter().map(|one| one.micros);
        let all = all.fold(0_u64, u64::saturating_add);
        let later = silence.max(Duration::from_micros(all));
        let due_ms = now_ms.saturating_add(millis(later));
        let over = self.entries.len().saturating_sub(listed.max(1));
        let old = |entry: &&Entry| now_ms.saturating_sub(entry.at_ms) >= millis(silence);
        let count = self.entries.iter().take(over).take_while(old).count();
        for entry in self.entries.drain(..count) {
            self.discontinuities = self
                .discontinuities
                .saturating_add(u64::from(entry.discontinuity));
            self.before.extend(entry.taken);
            if !entry.gap {
                let file = entry.file;
                self.doomed.push(Doomed { file, due_ms });
            }
            if let Some(file) = entry.map {
                self.doomed.retain(|doomed| doomed.file != file);
                self.doomed.push(Doomed { file, due_ms });
            }
        }
        let over = self.before.len().saturating_sub(REMEMBERED);
        self.before.drain(..over);
    }

    /// When the next file goes, in milliseconds since 1970.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.doomed.iter().map(|doomed| doomed.due_ms).min()
    }

    /// The files that go now. They are no more spoken of from then on.
    pub(super) fn take_due(&mut self, now_ms: i64) -> Vec<String> {
        let due = self.doomed.extract_if(.., |doomed| doomed.due_ms <= now_ms);
        let due: Vec<String> = due.map(|doomed| doomed.file).collect();
        let is_used = |file: &String| {
            let mut maps = self.entries.iter().filter_map(|entry| entry.map.as_ref());
            maps.any(|map| map == file)
        };
        due.into_iter().filter(|file| !is_used(file)).collect()
    }

    /// Whether a file is spoken of.
    pub(super) fn has(&self, file: &str) -> bool {
        let mut listed = self.entries.iter();
        let mut doomed = self.doomed.iter();
        listed.any(|entry| entry.file == file || entry.map.as_deref() == Some(file))
            || doomed.any(|doomed| doomed.file == file)
    }

    /// The playlist. Its segments lie in the folder that `prefix` names, percent-encoded, with a slash.
    pub(super) fn text(&self, prefix: &str) -> String {
        let gaps = self.entries.iter().any(|entry| entry.gap);
        let maps = self.entries.iter().any(|entry| entry.map.is_some());
        let version = match () {
            () if gaps => 8,
            () if maps => 6,
            () => 3,
        };
        let longest = self.entries.iter().map(|entry| entry.micros).max();
        // Rounded, as the target duration is held against it (RFC 8216, 4.3.3.1).
        let longest = longest.unwrap_or(0).saturating_add(500_000) / 1_000_000;
        let target = self.target_s.max(longest).max(1);
        let first = self.entries.first().map_or(self.next, |entry| entry.number);
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
        );
        if self.discontinuities > 0 {
            let _ = writeln!(
                text,
                "#EXT-X-DISCONTINUITY-SEQUENCE:{}",
                self.discontinuities
            );
        }
        if self.independent {
            text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        for range in &self.ranges {
            text.push_str(range);
            text.push('\n');
        }
        let mut map = None;
        for (at, entry) in self.entries.iter().enumerate() {
            if entry.discontinuity {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            if entry.map != map {
                map.clone_from(&entry.map);
                if let Some(file) = &map {
                    let _ = writeln!(text, "#EXT-X-MAP:URI=\"{prefix}{file}\"");
                }
            }
            let date = entry.date_us.and_then(DateTime::from_timestamp_micros);
            if let Some(date) = date.filter(|_| entry.dated || at == 0 || entry.discontinuity) {
                let places = match date.timestamp_subsec_micros() % 1000 {
                    0 => SecondsFormat::Millis,
                    _ => SecondsFormat::Micros,
                };
                let date = date.to_rfc3339_opts(places, true);
                let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{date}");
            }
            if let Some(cue) = &entry.cue {
                text.push_str(cue);
                text.push('\n');
            }
            if entry.gap {
                text.push_str("#EXT-X-GAP\n");
            }
            let (seconds, micros) = (entry.micros / 1_000_000, entry.micros % 1_000_000);
            let title = entry.title.as_deref().unwrap_or_default();
            let _ = writeln!(
                text,
                "#EXTINF:{seconds}.{micros:06},{title}\n{prefix}{}",
                entry.file
            );
        }
        if self.ended {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        text
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use clipmill_playlist::{MediaPlaylist, Playlist, PlaylistLimits};

    use super::*;

    /// 2026-11-22T14:00:00Z, in microseconds.
    const DATE: i64 = 1_795_356_000_000_000;

    fn next(number: u64) -> Next {
        let at = DATE + i64::try_from(number).unwrap() * 2_000_000;
        Next {
            suffix: Some("ts"),
            duration: Duration::from_secs(2),
            start_time: DateTime::from_timestamp_micros(at),
            taken: Some(TakenSegment {
                sequence: Some(number),
                date_us: at,
                file: (7, 7),
            }),
            ..Next::default()
        }
    }

    fn mirror(count: u64) -> Mirror {
        let mut mirror = Mirror::default();
        mirror.head(&Heading {
            target: Duration::from_secs(2),
            independent: true,
            ranges: vec!["#EXT-X-DATERANGE:ID=\"ad\"".to_owned()],
        });
        for number in 0..count {
            mirror.push(next(number), 2000 * i64::try_from(number).unwrap());
        }
        mirror
    }

    fn parsed(mirror: &Mirror) -> MediaPlaylist {
        let text = mirror.text("cam/");
        match Playlist::parse(text.as_bytes(), &PlaylistLimits::default()).unwrap() {
            Playlist::Media(media) => {
                assert_eq!(media.warnings, [""; 0], "{text}");
                media
            }
            Playlist::Multivariant(_) => panic!("{text}"),
        }
    }

    #[test]
    fn it_says_what_the_origin_says() {
        let mut mirror = mirror(2);
        let gap = Next {
            suffix: None,
            ..next(2)
        };
        mirror.push(gap, 0);
        let odd = Next {
            discontinuity: true,
            map: Some("init-1.mp4".to_owned()),
            title: Some("news".to_owned()),
            start_time: DateTime::from_timestamp_micros(DATE + 60_000_123),
            duration: Duration::from_micros(2_600_001),
            cue: Some(Cue::Out(Some(Duration::from_millis(12_500)))),
            ..next(3)
        };
        mirror.push(odd, 0);
        let found = parsed(&mirror);
        assert_eq!(found.target_duration, Duration::from_secs(3));
        assert!(found.independent_segments && !found.ended);
        assert_eq!(found.date_ranges[0].id, "ad");
        let cues: Vec<_> = found.segments.iter().map(|one| one.cue).collect();
        let out = Some(Cue::Out(Some(Duration::from_millis(12_500))));
        assert_eq!(cues, [None, None, None, out]);
        let uris: Vec<_> = found.segments.iter().map(|one| one.uri.as_str()).collect();
        assert_eq!(
            uris,
            [
                "cam/0000000000.ts",
                "cam/0000000001.ts",
                "cam/0000000002.gap",
                "cam/0000000003.ts"
            ]
        );
        let last = &found.segments[3];
        assert_eq!(
            last.start_time.unwrap().timestamp_micros(),
            DATE + 60_000_123
        );
        assert_eq!(last.map.as_ref().unwrap().uri, "cam/init-1.mp4");
        assert_eq!(last.duration, Duration::from_micros(2_600_001));
        assert!(last.discontinuity && found.segments[2].gap);
        assert_eq!(last.title.as_deref(), Some("news"));
        // The date of the first one, which the origin did not write, is not lost with those before it.
        assert_eq!(
            found.segments[1].start_time.unwrap().timestamp_micros(),
            DATE + 2_000_000
        );
        mirror.ended = true;
        assert!(parsed(&mirror).ended);
        assert_eq!(Mirror::read(&mirror.json()).unwrap(), mirror);
    }

    #[test]
    fn what_the_origin_lists_no_more_goes_in_its_time() {
        let mut mirror = mirror(10);
        mirror.entries[0].discontinuity = true;
        mirror.entries[1].map = Some("old.mp4".to_owned());
        mirror.entries[2].map = Some("in-use.mp4".to_owned());
        mirror.entries[9].map = Some("in-use.mp4".to_owned());
        // Those of the last six seconds stay, whatever the origin lists.
        mirror.trim(3, 14_000);
        assert_eq!(mirror.entries.len(), 5);
        let found = parsed(&mirror);
        assert_eq!((found.media_sequence, found.discontinuity_sequence), (5, 1));
        assert_eq!(mirror.taken().len(), 10);
        mirror.trim(3, 60_000);
        assert_eq!(mirror.entries.len(), 3);
        // As long as all that was listed before takes.
        assert_eq!(mirror.next_due(), Some(34_000));
        assert_eq!(mirror.take_due(33_999), [""; 0]);
        assert!(mirror.has("0000000004.ts") && mirror.has("0000000009.ts"));
        let gone = mirror.take_due(34_000);
        assert_eq!(gone.len(), 6, "{gone:?}");
        assert!(gone.contains(&"old.mp4".to_owned()) && !gone.contains(&"in-use.mp4".to_owned()));
        assert!(!mirror.has("0000000004.ts") && mirror.has("in-use.mp4"));
        // The name of the next one is none that was there.
        assert_eq!(mirror.push(next(0), 0), "0000000010.ts");
    }

    #[test]
    fn a_mirror_of_another_playlist_goes_on_with_new_names() {
        let mut mirror = mirror(3);
        mirror.become_of("other");
        assert_eq!(mirror.taken(), []);
        assert_eq!(mirror.push(next(0), 0), "0000000003.ts");
        mirror.skip_to(2);
        mirror.skip_to(9);
        assert_eq!(mirror.push(next(1), 0), "0000000009.ts");
    }
}
