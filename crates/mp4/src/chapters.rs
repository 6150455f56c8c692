//! Chapters, in the two forms that players look for: a text track that the media refers to
//! (QuickTime File Format, "Chapter Lists" and "Text Media"), which Safari and QuickTime show, and
//! Nero's `chpl`, which has no public standard and is what VLC reads first. ffmpeg and mpv read both and
//! take chapters of the same number for one.

use crate::boxes::{Boxes, UNITY};
use crate::small_track::SmallTrack;
use crate::{LayoutError, MOVIE_TIMESCALE, Movie};

type Result<T> = std::result::Result<T, LayoutError>;

/// A named instant of a [`Movie`], to which players can jump. It lasts until the next one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chapter {
    /// Where it begins in the presentation, in ticks of [`MOVIE_TIMESCALE`](crate::MOVIE_TIMESCALE).
    pub at: u64,
    /// Its title. Of one that is longer than 65,535 bytes of UTF-8 (255 in `chpl`), or that has a NUL
    /// inside, players see the beginning.
    pub title: String,
}

/// The most chapters that a `chpl` has room for.
const MOST_LISTED: usize = 255;

/// The longest title in a `chpl`, in bytes.
const LONGEST_LISTED: usize = 255;

/// `encd` behind a title, which says that it is in UTF-8.
const UTF_8: [u8; 12] = *b"\0\0\0\x0cencd\0\0\x01\0";

/// The chapters of a movie that begin before `end`, in the order of time: of several at one instant
/// the last.
pub(crate) fn of(movie: &Movie, end: u64) -> Vec<&Chapter> {
    let due = movie.chapters.iter().filter(|chapter| chapter.at < end);
    let mut chapters: Vec<&Chapter> = due.rev().collect();
    chapters.sort_by_key(|chapter| chapter.at);
    chapters.dedup_by_key(|chapter| chapter.at);
    chapters
}

/// `chpl` in `udta`; nothing where there are none. Where there are more than fit, it is left out if
/// there is a track `beside` it: who reads it first would not get to see the others.
pub(crate) fn list(b: &mut Boxes, chapters: &[&Chapter], beside: bool) -> Result<()> {
    if chapters.is_empty() || (beside && chapters.len() > MOST_LISTED) {
        return Ok(());
    }
    let listed = chapters.iter().take(MOST_LISTED);
    b.full(b"chpl", 1, 0, |b| {
        b.u32(0);
        b.u8(u8::try_from(listed.len()).unwrap_or(u8::MAX));
        for chapter in listed {
            // In units of 100 ns. Rounded up, as a frame before it would be another's.
            let at = u128::from(chapter.at).saturating_mul(1_000).div_ceil(9);
            b.u64(u64::try_from(at).unwrap_or(u64::MAX));
            let title = beginning(&chapter.title, LONGEST_LISTED);
            b.u8(u8::try_from(title.len()).unwrap_or(u8::MAX));
            b.bytes(title.as_bytes());
        }
        Ok(())
    })
}

/// The first bytes of a title, `most` of them at most, of whole characters, up to a NUL.
fn beginning(title: &str, most: usize) -> &str {
    let title = title.split('\0').next().unwrap_or_default();
    let ends = (0..=most.min(title.len())).rev();
    let end = ends.into_iter().find(|&end| title.is_char_boundary(end));
    end.and_then(|end| title.get(..end)).unwrap_or_default()
}

/// The text track of chapters.
#[derive(Debug)]
pub(crate) struct ChapterTrack<'a> {
    begin: u64,
    end: u64,
    timescale: u32,
    durations: Vec<u32>,
    titles: Vec<&'a str>,
}

impl<'a> ChapterTrack<'a> {
    /// The chapters of a movie that is presented until `end`, in ticks of the movie; `None` where there
    /// are none.
    pub(crate) fn new(movie: &'a Movie, end: u64) -> Option<Self> {
        let chapters = of(movie, end);
        let begin = chapters.first()?.at;
        // A sample can last for 2^32 ticks: 13 hours, or 49 days in milliseconds.
        let timescale = match u32::try_from(end) {
            Ok(_) => MOVIE_TIMESCALE,
            Err(_) => 1_000,
        };
        // Rounded up, as a frame before it would be another's.
        let own = |at: u64| {
            let scaled = u128::from(at).saturating_mul(timescale.into());
            scaled.div_ceil(MOVIE_TIMESCALE.into())
        };
        let times = chapters
            .iter()
            .map(|chapter| own(chapter.at.saturating_sub(begin)));
        // The edit list ends the last one where the movie ends. ffmpeg ends it where the media of
        // this track does, counted from the beginning of the movie.
        let ends = times.clone().skip(1).chain([own(end)]);
        let lasting = times.zip(ends).map(|(at, end)| end.saturating_sub(at));
        let durations = lasting.map(|lasting| u32::try_from(lasting).unwrap_or(u32::MAX));
        let title = |chapter: &&'a Chapter| beginning(&chapter.title, usize::from(u16::MAX));
        Some(Self {
            begin,
            end,
            timescale,
            durations: durations.collect(),
            titles: chapters.iter().map(title).collect(),
        })
    }

    /// Bytes of its samples.
    pub(crate) fn len(&self) -> u64 {
        self.sizes().map(|size| size as u64).sum()
    }

    fn sizes(&self) -> impl Iterator<Item = usize> {
        let more = UTF_8.len().saturating_add(2);
        self.titles
            .iter()
            .map(move |title| title.len().saturating_add(more))
    }

    /// Its samples, one behind the other: the length of the text, the text, and its encoding.
    pub(crate) fn write_samples(&self, b: &mut Boxes) {
        for title in &self.titles {
            b.u16(u16::try_from(title.len()).unwrap_or(u16::MAX));
            b.bytes(title.as_bytes());
            b.bytes(&UTF_8);
        }
    }

    /// `trak`; gives where the offset of its only chunk is to be put.
    pub(crate) fn track_box(&self, b: &mut Boxes, id: u32, created: u64) -> Result<usize> {
        let track = SmallTrack {
            id,
            created,
            // In the movie, and not enabled: it is never shown as text.
            flags: 2,
            handler: (b"text", "Chapters"),
            timescale: self.timescale,
            begin: self.begin,
            end: self.end,
            durations: self.durations.clone(),
            sizes: self.sizes().collect(),
        };
        track.write(b, media_header, b"text", |b| {
            // Display flags, justification, colours, box and font: of text that nobody sees.
            b.zeros(43);
            Ok(())
        })
    }
}

/// `gmhd`, the media header of QuickTime for media that is neither pictures nor sound.
fn media_header(b: &mut Boxes) -> Result<()> {
    b.boxed(b"gmhd", |b| {
        b.full(b"gmin", 0, 0, |b| {
            b.u16(0x40); // graphics mode: dither copy
            (0..3).for_each(|_| b.u16(0x8000)); // colour
            b.zeros(4);
            Ok(())
        })?;
        b.boxed(b"text", |b| {
            UNITY.iter().for_each(|&value| b.u32(value));
            Ok(())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movie(chapters: &[(u64, &str)]) -> Movie {
        let chapters = chapters.iter().map(|&(at, title)| Chapter {
            at,
            title: title.to_owned(),
        });
        Movie {
            chapters: chapters.collect(),
            ..Movie::default()
        }
    }

    #[test]
    fn each_instant_has_one_chapter_in_order() {
        let movie = movie(&[(90, "b"), (10, "a"), (90, "B"), (100, "past the end")]);
        let titles: Vec<_> = of(&movie, 100).iter().map(|c| c.title.as_str()).collect();
        assert_eq!(titles, ["a", "B"]);
        let track = ChapterTrack::new(&movie, 100).unwrap();
        assert_eq!(
            (track.begin, track.durations.as_slice()),
            (10, &[80, 20][..])
        );
        assert!(ChapterTrack::new(&movie, 10).is_none());
    }

    #[test]
    fn titles_are_cut_between_characters() {
        assert_eq!(beginning("Tor für Köln", 7), "Tor fü");
        assert_eq!(beginning("Tor für Köln", 6), "Tor f");
        assert_eq!(beginning("a\0b", 255), "a");
        assert_eq!(beginning("", 255), "");
    }

    #[test]
    fn a_chapter_of_days_fits_its_field() {
        let day = 24 * 3600 * u64::from(MOVIE_TIMESCALE);
        let movie = movie(&[(0, "first"), (day + 1, "second")]);
        let track = ChapterTrack::new(&movie, 2 * day).unwrap();
        assert_eq!(track.timescale, 1_000);
        assert_eq!(track.durations, [86_400_001, 86_399_999]);
    }
}
