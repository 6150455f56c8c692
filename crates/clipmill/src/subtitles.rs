//! Subtitles that come in playlists of their own (`EXT-X-MEDIA:TYPE=SUBTITLES`, RFC 8216, 4.3.4.1):
//! WebVTT in segments (3.5), put on the line of the pictures and cut with them.

use std::io::Write;
use std::path::Path;

use clipmill_media::{Cue, Language, Limits, TimestampMap, WebVtt, write_webvtt};

use crate::error::{ClipError, SegmentError};
use crate::feed::Feed;
use crate::item::Item;
use crate::timeline::{Ticks, WRAP, duration_ticks, ticks_between};

/// What becomes of a variant's subtitle renditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubtitleChoice {
    /// Each is a track of the clip.
    #[default]
    Track,
    /// They are read, see [`Clip::subtitles`](crate::Clip::subtitles), and are no tracks.
    Aside,
    /// They are left alone.
    None,
}

/// 90 kHz ticks of a millisecond.
pub(crate) const MILLISECOND: Ticks = 90;

/// Segments of a subtitle playlist that are read before and after the time of the clip: playlists
/// do not tell the time to the frame, and a cue may begin one segment earlier.
const MARGIN: usize = 2;

/// Subtitles of one language, cut to a clip.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subtitles {
    /// What the playlist calls them.
    pub name: String,
    /// Their language.
    pub language: Language,
    /// Players show them without being asked.
    pub default: bool,
    /// What stands before the first cue.
    pub header: String,
    /// The cues, timed from the first presented moment of the clip, in their order.
    pub cues: Vec<Cue>,
}

impl Subtitles {
    /// As a file of their own.
    #[must_use]
    pub fn to_webvtt(&self) -> String {
        write_webvtt(&self.header, &self.cues)
    }

    /// Writes that file at `path`: whole or not at all. Nothing is synced to the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_to_path(&self, path: &Path) -> Result<(), ClipError> {
        crate::output::replace(path, |file| {
            let written = file.write_all(self.to_webvtt().as_bytes());
            written.map_err(|error| ClipError::Write {
                path: path.to_owned(),
                error,
            })
        })
    }
}

/// A rendition whose playlist has been read.
#[derive(Debug, Clone)]
pub(crate) struct OpenedSubtitles {
    pub(crate) name: String,
    pub(crate) language: Language,
    pub(crate) default: bool,
    pub(crate) items: Vec<Item>,
}

/// A segment of the pictures' playlist that is on the line.
#[derive(Debug, Clone)]
pub(crate) struct AnchorSegment<'a> {
    pub(crate) item: &'a Item,
    /// Where its first picture lies on the line.
    pub(crate) line: Ticks,
    /// The timestamp of that picture, as the segment has it.
    pub(crate) timestamp: Ticks,
}

/// A cue on the line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PlacedCue {
    start: Ticks,
    end: Ticks,
    cue: Cue,
}

/// Reads the subtitles of a stretch of the line, `start..end`, that these segments of pictures
/// cover. Says what could not be read.
pub(crate) fn read(
    opened: &OpenedSubtitles,
    anchors: &[AnchorSegment<'_>],
    (start, end): (Ticks, Ticks),
    mut feed: Feed<'_>,
    limits: &Limits,
    warnings: &mut Vec<String>,
) -> Subtitles {
    let mut subtitles = Subtitles {
        name: opened.name.clone(),
        language: opened.language,
        default: opened.default,
        header: "WEBVTT".to_owned(),
        cues: Vec::new(),
    };
    let (Some(first), Some(last)) = (anchors.first(), anchors.last()) else {
        return subtitles;
    };
    let mut placed: Vec<PlacedCue> = Vec::new();
    for item in &opened.items[overlapping(&opened.items, first.item, last.item)] {
        if item.gap {
            continue;
        }
        let read = feed
            .read(item)
            .and_then(|bytes| WebVtt::parse(&bytes, limits).map_err(SegmentError::from));
        match read {
            Ok(vtt) => {
                if subtitles.header == "WEBVTT" {
                    subtitles.header.clone_from(&vtt.header);
                }
                placed.extend(place(&vtt, item, anchors));
            }
            Err(error) => warnings.push(format!(
                "subtitles {:?}: {}: {error}",
                opened.name,
                item.name()
            )),
        }
    }
    subtitles.cues = cut(placed, start, end);
    subtitles
}

/// The items that may hold cues of the time from the beginning of one segment of the pictures to the
/// end of another.
fn overlapping(items: &[Item], first: &Item, last: &Item) -> std::ops::Range<usize> {
    let before = |item: &Item, other: &Item| match (item.start_time, other.start_time) {
        (Some(own), Some(other)) => own <= other,
        _ => item.start <= other.start,
    };
    let from = items.partition_point(|item| before(item, first));
    let to = items.partition_point(|item| before(item, last));
    let to = to.saturating_add(MARGIN).min(items.len());
    from.saturating_sub(MARGIN + 1).min(to)..to
}

/// Puts the cues of a segment on the line.
fn place(vtt: &WebVtt, item: &Item, anchors: &[AnchorSegment<'_>]) -> Vec<PlacedCue> {
    let Some(anchor) = anchor_of(item, anchors) else {
        return Vec::new();
    };
    let apart = match (item.start_time, anchor.item.start_time) {
        (Some(own), Some(other)) => ticks_between(other, own),
        _ => duration_ticks(item.start) - duration_ticks(anchor.item.start),
    };
    let begin = anchor.line + apart;
    let by_timestamp = |map: TimestampMap| {
        let map_ticks = (map.mpegts % WRAP.unsigned_abs()) as Ticks - from_ms(map.local_ms);
        // The turn of the clock that the pictures are in.
        let first = map_ticks + vtt.cues.first().map_or(0, |cue| from_ms(cue.start_ms));
        let expected = anchor.timestamp + apart;
        let turns = (expected - first + WRAP / 2).div_euclid(WRAP);
        map_ticks + turns * WRAP + anchor.line - anchor.timestamp
    };
    let shift = match vtt.timestamp_map {
        Some(map) => by_timestamp(map),
        // Without a map, times count from the beginning of the playlist, as packagers write and
        // players read them; by the letter of RFC 8216, 3.5 they would be timestamps.
        None => {
            let from_start = begin - duration_ticks(item.start);
            let end = begin + duration_ticks(item.duration);
            let meets = vtt.cues.is_empty()
                || vtt.cues.iter().any(|cue| {
                    from_start + from_ms(cue.start_ms) < end
                        && from_start + from_ms(cue.end_ms) > begin
                });
            if meets {
                from_start
            } else {
                by_timestamp(TimestampMap::default())
            }
        }
    };
    let cues = vtt.cues.iter().map(|cue| PlacedCue {
        start: shift + from_ms(cue.start_ms),
        end: shift + from_ms(cue.end_ms),
        cue: cue.clone(),
    });
    cues.collect()
}

/// The segment of the pictures whose clock a segment of subtitles keeps: of the same run, the last
/// one that begins no later.
fn anchor_of<'a>(item: &Item, anchors: &'a [AnchorSegment<'a>]) -> Option<&'a AnchorSegment<'a>> {
    let same_run = |anchor: &&AnchorSegment<'_>| {
        anchor.item.discontinuity_sequence == item.discontinuity_sequence
    };
    let begun = |anchor: &&AnchorSegment<'_>| match (anchor.item.start_time, item.start_time) {
        (Some(other), Some(own)) => other <= own,
        _ => anchor.item.start <= item.start,
    };
    let run = || anchors.iter().filter(same_run);
    let last = run().rfind(begun).or_else(|| run().next());
    last.or_else(|| anchors.iter().rfind(begun))
        .or(anchors.first())
}

pub(crate) fn from_ms(ms: u64) -> Ticks {
    // Of no clip that anybody has.
    i64::try_from(ms).map_or(Ticks::MAX / 4, |ms| {
        ms.saturating_mul(MILLISECOND).min(Ticks::MAX / 4)
    })
}

/// The cues that are shown in `start..end`, each once, from `start` on.
fn cut(mut placed: Vec<PlacedCue>, start: Ticks, end: Ticks) -> Vec<Cue> {
    placed.sort_by_key(|cue| (cue.start, cue.end));
    let mut kept: Vec<PlacedCue> = Vec::new();
    for one in placed {
        // A cue that reaches over segments is repeated in each, or goes on in the next one.
        let same = |known: &&mut PlacedCue| {
            known.cue.text == one.cue.text
                && known.cue.id == one.cue.id
                && known.cue.settings == one.cue.settings
                && one.start <= known.end + MILLISECOND
                && (one.start - known.start).abs() + (one.end - known.end).abs() <= 2 * MILLISECOND
                || known.cue.text == one.cue.text
                    && known.cue.settings == one.cue.settings
                    && (one.start - known.end).abs() <= MILLISECOND
        };
        match kept.iter_mut().rev().take(64).find(same) {
            Some(known) => known.end = known.end.max(one.end),
            None => kept.push(one),
        }
    }
    let shown = kept.into_iter().filter_map(|one| {
        let (from, to) = (one.start.max(start), one.end.min(end));
        let ms = |at: Ticks| u64::try_from((at - start + MILLISECOND / 2) / MILLISECOND).ok();
        let (start_ms, end_ms) = (ms(from)?, ms(to)?);
        (end_ms > start_ms).then_some(Cue {
            start_ms,
            end_ms,
            ..one.cue
        })
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cue;

    fn placed(start_ms: Ticks, end_ms: Ticks, text: &str) -> PlacedCue {
        PlacedCue {
            start: start_ms * MILLISECOND,
            end: end_ms * MILLISECOND,
            cue: cue(0, 1, text),
        }
    }

    #[test]
    fn cues_are_shown_once_and_clipped_at_the_edges() {
        let cues = vec![
            placed(0, 900, "before"),
            placed(500, 1500, "over the edge"),
            placed(2000, 4000, "in two segments"),
            placed(2000, 4000, "in two segments"),
            placed(4500, 5000, "goes on"),
            placed(5000, 5600, "goes on"),
            placed(6000, 6100, "twice"),
            placed(6500, 6600, "twice"),
            placed(9500, 11000, "over the end"),
            placed(10000, 11000, "after"),
        ];
        let cut = cut(cues, 1000 * MILLISECOND, 10_000 * MILLISECOND);
        let wanted = [
            cue(0, 500, "over the edge"),
            cue(1000, 3000, "in two segments"),
            cue(3500, 4600, "goes on"),
            cue(5000, 5100, "twice"),
            cue(5500, 5600, "twice"),
            cue(8500, 9000, "over the end"),
        ];
        assert_eq!(cut, wanted);
    }
}
