//! Sound that comes in playlists of its own (`EXT-X-MEDIA`, RFC 8216, 4.3.4.1), read beside the
//! pictures.

use std::str::FromStr;

use clipmill_media::{Language, SegmentIndex, TrackKind};
use clipmill_playlist::Rendition;

use crate::error::{ClipError, SegmentError};
use crate::feed::{Feed, Item};
use crate::timeline::{Label, Part, Ticks, WRAP, to_ticks};

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
}

/// A segment of a rendition that gave nothing: its name, and why.
pub(crate) type Lost = (String, Option<SegmentError>);

impl<'a> RenditionFeed<'a> {
    /// Begins where the pictures begin, with the segment before.
    pub(crate) fn new(
        number: usize,
        opened: &OpenedRendition,
        feed: Feed<'a>,
        beside: Option<&Item>,
    ) -> Self {
        let next = beside.map_or(0, |beside| first_beside(&opened.items, beside));
        Self {
            number,
            feed,
            next,
            reached: None,
            run: beside.map_or(0, |beside| beside.discontinuity_sequence),
        }
    }

    /// Reads as many segments as cover the time of `index`, a segment of the pictures' playlist:
    /// all that there are up to the next discontinuity where it is the `last` one before it.
    pub(crate) fn beside(
        &mut self,
        opened: &OpenedRendition,
        item: &Item,
        index: &SegmentIndex,
        last: bool,
        lost: &mut Vec<Lost>,
    ) -> Result<Vec<Part>, ClipError> {
        let mut parts = Vec::new();
        let Some((start, end)) = span(index) else {
            return Ok(parts);
        };
        if self.run != item.discontinuity_sequence {
            self.run = item.discontinuity_sequence;
            self.reached = None;
        }
        while last || self.reached.is_none_or(|reached| reached < end) {
            let due = opened.items.get(self.next);
            let Some(item) = due.filter(|item| item.discontinuity_sequence <= self.run) else {
                break;
            };
            self.next += 1;
            match self.feed.next(item)? {
                Err(why) => lost.push((item.name(), why)),
                Ok((info, mut index)) => {
                    index
                        .tracks
                        .retain(|track| track.kind() == TrackKind::Audio);
                    let Some((_, own)) = span(&index) else {
                        continue;
                    };
                    // Both of MPEG-TS, and on either side of the wrap.
                    let turns = (start - own + WRAP / 2).div_euclid(WRAP);
                    let own = own + turns * WRAP;
                    // What came before the pictures is not wanted, and would be in the way.
                    if own <= start || item.discontinuity_sequence < self.run {
                        continue;
                    }
                    self.reached = Some(own);
                    parts.push(Part {
                        source: self.number,
                        info,
                        index: index.into(),
                    });
                }
            }
        }
        Ok(parts)
    }
}

/// The first segment of a rendition that may cover the time of a segment of the pictures.
fn first_beside(items: &[Item], beside: &Item) -> usize {
    let begun = |item: &Item| match (item.start_time, beside.start_time) {
        (Some(own), Some(other)) => own <= other,
        _ => item.start <= beside.start,
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
