//! Sound that comes in playlists of its own (`EXT-X-MEDIA`, RFC 8216, 4.3.4.1), read beside the
//! pictures.
//!
//! Discontinuity sequence numbers say which of its segments belong to which of the pictures (RFC 8216,
//! 6.2.4 and 6.3.3). Senders write discontinuities into one playlist and not into the other, too: where the
//! numbers differ, timestamps decide ([`fit`]), and what fits nowhere is told of.

use std::cmp::Ordering;
use std::str::FromStr;
use std::time::Duration;

use clipmill_media::{Language, SegmentIndex, TrackIndex, TrackKind};
use clipmill_playlist::Rendition;

use crate::error::SegmentError;
use crate::feed::Feed;
use crate::item::Item;
use crate::timeline::{Label, PushedSegment, SegmentInfo, Ticks, WRAP, to_ticks};

/// Which of a variant's audio renditions to take. Sound in the variant's own segments always comes
/// along.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AudioChoice {
    /// All of them.
    #[default]
    All,
    /// The one that is marked as the default, else the first.
    Default,
    /// Those in this language, or of this name.
    Language(String),
}

impl FromStr for AudioChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "all" => Self::All,
            "default" => Self::Default,
            other => Self::Language(other.to_owned()),
        })
    }
}

impl AudioChoice {
    /// Those of a group, the default one first, that are wanted.
    pub(crate) fn choose<'a>(&self, group: Vec<&'a Rendition>) -> Vec<&'a Rendition> {
        match self {
            Self::All => group,
            Self::Default => group.into_iter().take(1).collect(),
            Self::Language(wanted) => {
                let same = |one: &&Rendition| {
                    let language = one.language.as_deref().unwrap_or_default();
                    let base = language.split('-').next().unwrap_or_default();
                    let code = Language::from_tag(language);
                    [language, base, one.name.as_str(), code.as_str()]
                        .iter()
                        .any(|known| !known.is_empty() && known.eq_ignore_ascii_case(wanted))
                };
                group.into_iter().filter(same).collect()
            }
        }
    }
}

/// A rendition whose playlist has been read.
#[derive(Debug, Clone)]
pub(crate) struct OpenedRendition {
    pub(crate) name: String,
    pub(crate) language: Language,
    pub(crate) default: bool,
    pub(crate) items: Vec<Item>,
}

impl OpenedRendition {
    pub(crate) fn label(&self) -> Label {
        Label {
            name: self.name.clone(),
            language: self.language,
            default: self.default,
        }
    }
}

/// A rendition that is being read.
pub(crate) struct RenditionFeed<'a> {
    /// Its number among the playlists of the stream.
    number: usize,
    feed: Feed<'a>,
    next: usize,
    /// Where the segment last read ends, by its own timestamps; unknown after a discontinuity.
    reached: Option<Ticks>,
    run: u64,
    /// The next segment, which belongs to pictures that are still to come.
    held: Option<(SegmentInfo, SegmentIndex)>,
    /// Whether any of it was placed.
    begun: bool,
}

/// What becomes of a segment of sound beside a segment of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It belongs to them.
    Here,
    /// It belongs to later ones.
    Later,
    /// It comes before all of them.
    Before,
    /// It belongs to none, by its numbers and its timestamps.
    Nowhere,
}

/// How far timestamps go on, at most, from one segment of sound to the next.
const GOES_ON: Ticks = 10 * 90_000;

/// How far they may go back.
const GOES_BACK: Ticks = 90_000 / 2;

/// Whether a segment of sound whose discontinuity sequence number compares to that of the pictures as `run`
/// does, and that covers `own`, belongs to pictures that cover `pictures`. Sound of their run has `reached` so far.
/// All are timestamps on the same turn of the clock.
pub(crate) fn fit(
    run: Ordering,
    own: (Ticks, Ticks),
    pictures: (Ticks, Ticks),
    reached: Option<Ticks>,
) -> Fit {
    let continues = match reached {
        Some(reached) => (-GOES_BACK..=GOES_ON).contains(&(own.0 - reached)),
        None => own.1 > pictures.0 && own.0 <= pictures.1 + GOES_ON,
    };
    // Behind sound of these very pictures: it belongs to another life of the stream.
    let began_anew = reached.is_some_and(|reached| own.0 < reached - GOES_BACK);
    match run {
        Ordering::Equal if own.1 <= pictures.0 && began_anew => Fit::Later,
        Ordering::Equal if own.1 <= pictures.0 => Fit::Before,
        Ordering::Equal if !continues && own.0 > pictures.1 + GOES_ON => Fit::Later,
        Ordering::Equal => Fit::Here,
        // A number too many: these pictures still want sound, and it goes on.
        Ordering::Greater if continues && own.0 + GOES_BACK <= pictures.1 => Fit::Here,
        Ordering::Greater => Fit::Later,
        // A number too few.
        Ordering::Less if continues => Fit::Here,
        Ordering::Less => Fit::Nowhere,
    }
}

/// A segment of a rendition that gave nothing: its name, and why.
pub(crate) type Lost = (String, Option<SegmentError>);

impl<'a> RenditionFeed<'a> {
    /// Begins where the pictures begin, with the segment before.
    pub(crate) fn new(
        number: usize,
        opened: &OpenedRendition,
        feed: Feed<'a>,
        pictures: Option<&Item>,
    ) -> Self {
        let next = pictures.map_or(0, |pictures| first_with(&opened.items, pictures));
        Self {
            number,
            feed,
            next,
            reached: None,
            run: pictures.map_or(0, |pictures| pictures.discontinuity_sequence),
            held: None,
            begun: false,
        }
    }

    /// Reads as many segments as cover the time of `index`, a segment of the pictures' playlist:
    /// all that there are up to the next discontinuity where it is the `last` one before it. Behind the
    /// very last pictures is the `end` of all.
    pub(crate) fn segments_for(
        &mut self,
        opened: &OpenedRendition,
        pictures: &Item,
        index: &SegmentIndex,
        (last, the_end): (bool, bool),
        lost: &mut Vec<Lost>,
    ) -> Vec<PushedSegment> {
        let mut parts = Vec::new();
        let Some((start, end)) = span(index) else {
            return parts;
        };
        if self.run != pictures.discontinuity_sequence {
            self.run = pictures.discontinuity_sequence;
            self.reached = None;
        }
        while let Some(item) = opened.items.get(self.next) {
            let run = item.discontinuity_sequence.cmp(&self.run);
            let wanted = self.reached.is_none_or(|reached| reached < end);
            if !wanted && (!last || run == Ordering::Greater) {
                break;
            }
            let Some((info, index)) = self.read(item, lost) else {
                continue;
            };
            let Some((own_start, own_end)) = span(&index) else {
                self.next += 1;
                continue;
            };
            // Both of MPEG-TS, and on either side of the wrap.
            let turns = (start - own_end + WRAP / 2).div_euclid(WRAP) * WRAP;
            let own = (own_start + turns, own_end + turns);
            let fit = match fit(run, own, (start, end), self.reached) {
                // Before the first pictures of a window there is sound of those before them.
                Fit::Nowhere if !self.begun && precedes(item, pictures) => Fit::Before,
                // Pictures that it could belong to come no more.
                Fit::Later if the_end && begins_inside(item, pictures) => Fit::Nowhere,
                Fit::Later if the_end && run == Ordering::Equal => Fit::Here,
                Fit::Later if is_past(item, pictures) => Fit::Nowhere,
                fit => fit,
            };
            match fit {
                Fit::Later => {
                    self.held = Some((info, index));
                    break;
                }
                Fit::Here => {
                    self.reached = Some(own.1);
                    self.begun = true;
                    parts.push(PushedSegment {
                        source: self.number,
                        info,
                        index: index.into(),
                    });
                }
                // What came before the pictures is not wanted, and would be in the way.
                Fit::Before => {}
                Fit::Nowhere => lost.push((item.name(), Some(SegmentError::NoPictures))),
            }
            self.next += 1;
        }
        parts
    }

    /// The next segment; `None` when it gives nothing, and is passed over.
    fn read(&mut self, item: &Item, lost: &mut Vec<Lost>) -> Option<(SegmentInfo, SegmentIndex)> {
        if let Some(held) = self.held.take() {
            return Some(held);
        }
        match self.feed.next(item) {
            Ok((info, mut index)) => {
                let sound = |track: &TrackIndex| track.kind() == TrackKind::Audio;
                index.tracks.retain(sound);
                Some((info, index))
            }
            Err(why) => {
                self.next += 1;
                lost.push((item.name(), why));
                None
            }
        }
    }
}

/// How far two playlists may be apart in what they say of the same moment.
const APART: Duration = Duration::from_millis(300);

/// Whether a segment of sound ends before the pictures begin, by what the playlists say.
fn precedes(own: &Item, pictures: &Item) -> bool {
    match (own.start_time, pictures.start_time) {
        (Some(own_start), Some(other)) => own_start + own.duration <= other + APART,
        _ => own.start.saturating_add(own.duration) <= pictures.start.saturating_add(APART),
    }
}

/// Whether the same is sure: both are dated.
fn is_past(own: &Item, pictures: &Item) -> bool {
    own.start_time.is_some() && pictures.start_time.is_some() && precedes(own, pictures)
}

/// Whether it begins before they end.
fn begins_inside(own: &Item, pictures: &Item) -> bool {
    match (own.start_time, pictures.start_time) {
        (Some(own_start), Some(other)) => own_start + APART < other + pictures.duration,
        _ => own.start.saturating_add(APART) < pictures.start.saturating_add(pictures.duration),
    }
}

/// The first segment of a rendition that may cover the time of a segment of the pictures.
fn first_with(items: &[Item], pictures: &Item) -> usize {
    let begun = |item: &Item| match (item.start_time, pictures.start_time) {
        (Some(own), Some(other)) => own <= other,
        _ => item.start <= pictures.start,
    };
    let after = items.partition_point(begun);
    // Playlists do not tell the time to the frame, nor begin with the same segment when live.
    after.saturating_sub(3)
}

/// When the first sample begins and the last one, by presentation, of the track that leads.
pub(crate) fn span(index: &SegmentIndex) -> Option<(Ticks, Ticks)> {
    let track = index.tracks.iter().find(|t| !t.samples().is_empty())?;
    let clock = track.timing().clock();
    let times = track.samples().iter().map(|sample| sample.pts());
    let (first, last) = (times.clone().min()?, times.max()?);
    Some((to_ticks(first, clock), to_ticks(last, clock)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Ordering::{Equal, Greater, Less};

    #[test]
    fn where_numbers_and_timestamps_do_not_agree() {
        let s = |seconds: i64| seconds * 90_000;
        let pictures = (s(10), s(12));
        for (run, own, reached, expected) in [
            (Equal, (s(10), s(12)), None, Fit::Here),
            (Equal, (s(8), s(10)), None, Fit::Before),
            (Equal, (s(0), s(2)), Some(s(12)), Fit::Later),
            (Equal, (s(40), s(42)), Some(s(40)), Fit::Here),
            (Equal, (s(40), s(42)), Some(s(10)), Fit::Later),
            // The sound's playlist has a discontinuity that the pictures' has not.
            (Greater, (s(10), s(12)), Some(s(10)), Fit::Here),
            (Greater, (s(12), s(14)), Some(s(12)), Fit::Later),
            (Greater, (s(0), s(2)), Some(s(10)), Fit::Later),
            (Greater, (s(0), s(12)), Some(s(10)), Fit::Later),
            // It lacks one that the pictures' has.
            (Less, (s(10), s(12)), None, Fit::Here),
            (Less, (s(12), s(14)), Some(s(12)), Fit::Here),
            (Less, (s(0), s(2)), None, Fit::Nowhere),
            (Less, (s(13), s(15)), None, Fit::Here),
            (Less, (s(50), s(52)), None, Fit::Nowhere),
        ] {
            assert_eq!(
                fit(run, own, pictures, reached),
                expected,
                "{run:?} {own:?} {reached:?}"
            );
        }
    }
}
