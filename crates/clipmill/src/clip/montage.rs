//! A montage: several clips, one after the other, as one.
//!
//! A part begins where the one before it ends, by the clock of 90 kHz: sums of durations are exact, so
//! nothing drifts over any number of parts. What of a part is decoded and not shown stays hidden, by
//! the edit lists of pictures (`join`).

mod join;
mod matching;

use std::sync::Arc;

use chrono::SecondsFormat;
use clipmill_media::{Cue, Language, TimedEvent};
use clipmill_mp4::{Chapter, Movie, Track};

use self::matching::{MatchedTrack, matched};
use super::{Clip, DatedPart, Gap, TrackSummary, millis};
use crate::mismatch::{MontageError, kind_name};
use crate::subtitles::Subtitles;
use crate::timeline::Ticks;

/// One of the clips that a [`Clip::montage`] joins.
#[derive(Debug, Clone)]
pub struct MontagePart {
    /// The clip.
    pub clip: Clip,
    /// The title of the chapter that begins with it; the instant of its first frame by default, where
    /// the playlist dates it.
    pub title: Option<String>,
}

impl From<Clip> for MontagePart {
    fn from(clip: Clip) -> Self {
        Self { clip, title: None }
    }
}

impl Clip {
    /// Joins clips, of one or of several streams, into one that presents them one after the other. Each
    /// begins a chapter; the chapters of the parts are there too.
    ///
    /// Tracks go on in those of the same kind, codec, timescale and language; parameter sets,
    /// resolution and channels may differ. A track that a part does not have pauses meanwhile, with a
    /// warning. Every frame that a part presents is presented, to the tick; what a part hides stays
    /// hidden, but where the parts have other parameter sets: then it is shown for a tick, as players
    /// understand one edit alone. Sound is on time to within half a frame. CRA pictures of H.265 with which a
    /// part begins become pictures with a broken link, as splicing demands.
    ///
    /// What holds of the whole: `start_time` is the first part's, `end_time` the last one's; gaps keep
    /// their instants and lie where their part does; joins are no discontinuities. The segments of the
    /// parts follow one another, also where two parts share some. Whoever reads them needs a source that
    /// reads those of all parts: [`BoundClip::montage`](crate::BoundClip::montage) has that.
    ///
    /// In fragmented files many players know the first edit of a track alone: what later exact parts
    /// hide they decode and show for a moment of 1/90,000 s. Cut such parts with
    /// [`Cut::Keyframe`](crate::Cut::Keyframe), or write a progressive file.
    ///
    /// # Errors
    /// When there are no parts, one is empty, or a track does not fit.
    pub fn montage(
        parts: impl IntoIterator<Item = impl Into<MontagePart>>,
    ) -> Result<Self, MontageError> {
        let parts: Vec<MontagePart> = parts.into_iter().map(Into::into).collect();
        let begins = begins(&parts);
        let length = *begins.last().unwrap_or(&0);
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
            return Err(MontageError::NoParts);
        };
        let tracks = matched(&parts)?;
        let bases = segment_bases(&parts)?;
        let joined = (1..).zip(&tracks);
        let joined = joined.filter_map(|(id, track)| track.join(id, &parts, &begins, &bases));
        let (summaries, joined): (Vec<TrackSummary>, Vec<Track>) = joined.unzip();
        let movie = Movie {
            tracks: joined,
            events: events(&parts, &begins),
            chapters: chapters(&parts, &begins),
            creation_time: first.clip.movie.creation_time,
            title: common_title(&parts),
            comment: None,
            metadata: None,
        };
        let clips = || parts.iter().map(|part| &part.clip);
        let mut warnings = warnings(&parts);
        warnings.extend(pauses(&tracks, &parts));
        if tracks
            .iter()
            .any(|track| track.shows_hidden(&parts, &begins, &bases))
        {
            warnings.push(
                "the parts have pictures of different parameter sets: what decoding needs before \
                 the first picture of a part is shown for 1/90,000 s"
                    .to_owned(),
            );
        }
        Ok(Self {
            movie: Arc::new(movie),
            line_tracks: Vec::new(),
            segments: clips().flat_map(|clip| clip.segments.clone()).collect(),
            first_number: 0,
            start: 0,
            end: length,
            dates: dates(&parts, &begins),
            start_time: first.clip.start_time,
            end_time: last.clip.end_time,
            duration_ms: millis(length),
            tracks: summaries,
            discontinuities: clips().map(|clip| clip.discontinuities).sum(),
            gaps: gaps(&parts, &begins),
            is_incomplete: clips().any(|clip| clip.is_incomplete),
            subtitles: subtitles(&parts, &begins),
            lost_segments: clips().map(|clip| clip.lost_segments).sum(),
            out_of_step: clips().any(|clip| clip.out_of_step),
            without_sync: clips().any(|clip| clip.without_sync),
            warnings,
            ended_early: clips().any(|clip| clip.ended_early),
        })
    }

    /// How long it is presented, in ticks.
    fn length(&self) -> Ticks {
        self.end - self.start
    }
}

/// Where each part begins in the montage, and where the last one ends.
fn begins(parts: &[MontagePart]) -> Vec<Ticks> {
    let mut at = 0;
    let mut begins = vec![0];
    for part in parts {
        at += part.clip.length();
        begins.push(at);
    }
    begins
}

/// The number that the first segment of each part has in the montage.
fn segment_bases(parts: &[MontagePart]) -> Result<Vec<u32>, MontageError> {
    let mut at = 0u32;
    let mut bases = Vec::with_capacity(parts.len());
    for part in parts {
        bases.push(at);
        let own = u32::try_from(part.clip.segments.len()).ok();
        let next = own.and_then(|own| at.checked_add(own));
        at = next.ok_or(MontageError::TooLong)?;
    }
    Ok(bases)
}

/// Each part, and where it begins.
fn placed<'a>(
    parts: &'a [MontagePart],
    begins: &'a [Ticks],
) -> impl Iterator<Item = (&'a Clip, Ticks)> {
    parts
        .iter()
        .map(|part| &part.clip)
        .zip(begins.iter().copied())
}

fn dates(parts: &[MontagePart], begins: &[Ticks]) -> Vec<DatedPart> {
    let dated = placed(parts, begins)
        .flat_map(|(clip, begin)| clip.dates.iter().map(move |part| part.later(begin)));
    dated.collect()
}

fn gaps(parts: &[MontagePart], begins: &[Ticks]) -> Vec<Gap> {
    let gaps = placed(parts, begins).flat_map(|(clip, begin)| {
        clip.gaps.iter().map(move |gap| Gap {
            at_ms: millis(begin) + gap.at_ms,
            behind: None,
            ..gap.clone()
        })
    });
    gaps.collect()
}

/// What is due while its part is presented.
fn events(parts: &[MontagePart], begins: &[Ticks]) -> Vec<TimedEvent> {
    let events = placed(parts, begins).flat_map(|(clip, begin)| {
        let due = move |event: &&TimedEvent| event.time < clip.length();
        let due = clip.movie.events.iter().filter(due);
        due.map(move |event| TimedEvent {
            time: begin + event.time,
            ..event.clone()
        })
    });
    events.collect()
}

/// The chapters of the parts, and one at each join: of two at one instant the one that was named for
/// the montage.
fn chapters(parts: &[MontagePart], begins: &[Ticks]) -> Vec<Chapter> {
    let mut chapters = Vec::new();
    for ((number, part), begin) in (1..).zip(parts).zip(begins) {
        let begin = begin.unsigned_abs();
        let own = part.clip.movie.chapters.iter();
        let own = own.filter(|chapter| chapter.at < part.clip.length().unsigned_abs());
        let before = chapters.len();
        chapters.extend(own.map(|chapter| Chapter {
            at: begin + chapter.at,
            title: chapter.title.clone(),
        }));
        let named = chapters[before..].iter().any(|chapter| chapter.at == begin);
        let title = match &part.title {
            Some(title) => title.clone(),
            None if named => continue,
            None => match part.clip.start_time {
                Some(time) => time.to_rfc3339_opts(SecondsFormat::Millis, true),
                None => format!("Part {number}"),
            },
        };
        chapters.push(Chapter { at: begin, title });
    }
    chapters
}

/// The title that all parts have, if they have one.
fn common_title(parts: &[MontagePart]) -> Option<String> {
    let mut titles = parts.iter().map(|part| &part.clip.movie.title);
    let first = titles.next()?;
    first.clone().filter(|_| titles.all(|title| title == first))
}

fn warnings(parts: &[MontagePart]) -> Vec<String> {
    let warnings = (1..).zip(parts).flat_map(|(number, part)| {
        let own = part.clip.warnings.iter();
        own.map(move |warning| format!("part {number}: {warning}"))
    });
    match parts {
        [only] => only.clip.warnings.clone(),
        _ => warnings.collect(),
    }
}

/// Tracks that parts lack.
fn pauses(tracks: &[MatchedTrack], parts: &[MontagePart]) -> Vec<String> {
    let mut pauses = Vec::new();
    for (number, _) in parts.iter().enumerate() {
        let lacking = tracks
            .iter()
            .filter(|track| track.of_part(number).is_none());
        pauses.extend(lacking.map(|track| {
            let language = match track.language {
                Language::UNDETERMINED => String::new(),
                language => format!(", {language}"),
            };
            let (kind, codec) = (kind_name(track.kind), track.codec);
            format!("part {}: it has no {kind} ({codec}{language})", number + 1)
        }));
    }
    pauses
}

fn subtitles(parts: &[MontagePart], begins: &[Ticks]) -> Vec<Subtitles> {
    let mut all: Vec<Subtitles> = Vec::new();
    for (clip, begin) in placed(parts, begins) {
        for own in &clip.subtitles {
            let known =
                |known: &&mut Subtitles| (&known.name, known.language) == (&own.name, own.language);
            let later = own.cues.iter().map(|cue| Cue {
                start_ms: cue.start_ms + millis(begin),
                end_ms: cue.end_ms + millis(begin),
                ..cue.clone()
            });
            match all.iter_mut().find(known) {
                Some(known) => known.cues.extend(later),
                None => all.push(Subtitles {
                    cues: later.collect(),
                    ..own.clone()
                }),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
