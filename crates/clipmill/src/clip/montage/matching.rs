//! Which tracks of the parts go on in each other.

use std::mem::{Discriminant, discriminant};

use clipmill_media::{CodecConfig, Language, TrackKind};
use clipmill_mp4::Track;

use super::MontagePart;
use super::join::{Piece, join_shown, join_sound, shows_hidden};
use crate::clip::{TrackSummary, millis};
use crate::mismatch::{MontageError, TrackMismatch};
use crate::timeline::Ticks;

/// A track of a montage.
#[derive(Debug)]
pub(super) struct MatchedTrack {
    pub(super) kind: TrackKind,
    pub(super) codec: &'static str,
    coding: Discriminant<CodecConfig>,
    timescale: u32,
    pub(super) language: Language,
    /// Where it comes from, in the order of the parts: once of each that has it.
    pub(super) places: Vec<Place>,
}

/// A track of a part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) part: usize,
    pub(super) track: usize,
}

/// The tracks that these parts make together.
pub(super) fn matched(parts: &[MontagePart]) -> Result<Vec<MatchedTrack>, MontageError> {
    let mut all: Vec<MatchedTrack> = Vec::new();
    for (part, MontagePart { clip, .. }) in parts.iter().enumerate() {
        let tracks = clip.movie.tracks.iter().enumerate();
        let tracks = tracks.filter_map(|(track, own)| {
            let config = own.configs.first()?;
            Some((Place { part, track }, own, config.as_ref()))
        });
        let mut left: Vec<_> = tracks.collect();
        if left.is_empty() {
            return Err(MontageError::Empty { part });
        }
        // What fits best comes first, so that it is not taken by what fits as well.
        for unstated in [false, true] {
            let fits = |known: Language, own: Language| match unstated {
                false => known == own,
                true => [known, own].contains(&Language::UNDETERMINED),
            };
            left.retain(|(place, own, config)| {
                let mut free = all.iter_mut().filter(|known| known.of_part(part).is_none());
                let known = free.find(|known| {
                    known.coding == discriminant(*config)
                        && known.timescale == own.timescale
                        && fits(known.language, own.language)
                });
                let Some(known) = known else { return true };
                if known.language == Language::UNDETERMINED {
                    known.language = own.language;
                }
                known.places.push(*place);
                false
            });
        }
        for (place, own, config) in left {
            let mut free = all.iter().filter(|known| known.of_part(part).is_none());
            if let Some(known) = free.find(|known| known.kind == own.kind) {
                return Err(MontageError::Track {
                    part,
                    track: clip.tracks.get(place.track).map_or(0, |own| own.id),
                    kind: own.kind,
                    mismatch: known.mismatch(own, config),
                });
            }
            all.push(MatchedTrack {
                kind: own.kind,
                codec: config.name(),
                coding: discriminant(config),
                timescale: own.timescale,
                language: own.language,
                places: vec![place],
            });
        }
    }
    Ok(all)
}

impl MatchedTrack {
    /// The track of a part that it goes on with.
    pub(super) fn of_part(&self, part: usize) -> Option<&Place> {
        self.places.iter().rfind(|place| place.part == part)
    }

    fn mismatch(&self, track: &Track, config: &CodecConfig) -> TrackMismatch {
        if self.coding != discriminant(config) {
            return TrackMismatch::Codec {
                found: config.name(),
                wanted: self.codec,
            };
        }
        if self.timescale != track.timescale {
            return TrackMismatch::Timescale {
                found: track.timescale,
                wanted: self.timescale,
            };
        }
        TrackMismatch::Language {
            found: track.language,
            wanted: self.language,
        }
    }

    /// The track, of parts that begin at `begins` and whose segments are numbered from `bases` on, and
    /// what is known of it. There is none of no part.
    pub(super) fn join(
        &self,
        id: u32,
        parts: &[MontagePart],
        begins: &[Ticks],
        bases: &[u32],
    ) -> Option<(TrackSummary, Track)> {
        let pieces = self.pieces(parts, begins, bases);
        let mut joined = match self.kind {
            TrackKind::Audio => join_sound(&pieces)?,
            TrackKind::Video | TrackKind::Text => join_shown(&pieces)?,
        };
        joined.language = self.language;
        Some((self.summary(id, parts, &joined)?, joined))
    }

    fn pieces<'a>(
        &self,
        parts: &'a [MontagePart],
        begins: &[Ticks],
        bases: &[u32],
    ) -> Vec<Piece<'a>> {
        let pieces = self.places.iter().map(|place| Piece {
            track: &parts[place.part].clip.movie.tracks[place.track],
            begin: begins[place.part],
            first_segment: bases[place.part],
        });
        pieces.collect()
    }

    /// Whether pictures that its parts hide are shown, for a tick each.
    pub(super) fn shows_hidden(
        &self,
        parts: &[MontagePart],
        begins: &[Ticks],
        bases: &[u32],
    ) -> bool {
        let pieces = self.pieces(parts, begins, bases);
        self.kind == TrackKind::Video && shows_hidden(&pieces)
    }

    fn summary(&self, id: u32, parts: &[MontagePart], joined: &Track) -> Option<TrackSummary> {
        let own = || {
            let own = self.places.iter();
            own.map(|place| &parts[place.part].clip.tracks[place.track])
        };
        let lasting = own().map(|one| {
            let rate = one.frame_rate.filter(|rate| *rate > 0.0);
            rate.map_or(0.0, |rate| one.samples as f64 / rate)
        });
        let seconds: f64 = lasting.sum();
        let mut sum = own().next()?.clone();
        for more in own().skip(1) {
            sum.samples += more.samples;
            sum.sync_samples += more.sync_samples;
            sum.bytes += more.bytes;
            sum.captions |= more.captions;
            sum.last_pts = more.last_pts;
        }
        let shown = joined.edits.iter().filter(|edit| edit.media_time.is_some());
        let shown: u64 = shown.map(|edit| edit.duration).sum();
        sum.id = id;
        sum.language = self.language;
        sum.duration_ms = millis(Ticks::try_from(shown).unwrap_or(Ticks::MAX));
        sum.frame_rate = (seconds > 0.0).then_some(sum.samples as f64 / seconds);
        Some(sum)
    }
}
