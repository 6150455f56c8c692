//! The movie box (ISO/IEC 14496-12, 8.2): everything but the media.

use clipmill_media::{TrackKind, side_by_side};

use crate::boxes::{self, Boxes, UNITY, version, wide};
use crate::chapters::{self, ChapterTrack};
use crate::chunks::Chunk;
use crate::entries;
use crate::events::EventTrack;
use crate::plan::TrackPlan;
use crate::tables::{self, Groups};
use crate::{LayoutError, MOVIE_TIMESCALE, Movie, tags};

type Result<T> = std::result::Result<T, LayoutError>;

/// Seconds from 1904, the epoch of the format (8.2.2.3), to 1970.
const EPOCH_1904: u64 = 2_082_844_800;

/// What is known when a `moov` is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// All of it.
    Whole(&'a [TrackChunks]),
    /// Samples come later, in fragments; `duration` of it all in movie ticks, where known.
    Fragments { duration: Option<u64> },
}

/// The chunks of one track, and whether their offsets need 64 bits.
#[derive(Debug, Clone)]
pub(crate) struct TrackChunks {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) large: bool,
}

/// Writes the `moov`; gives for each track where its chunk offsets are to be written, for which
/// there is room already.
pub(crate) fn movie_box(
    b: &mut Boxes,
    movie: &Movie,
    plans: &[TrackPlan<'_>],
    content: Content<'_>,
) -> Result<Vec<usize>> {
    let created = movie
        .creation_time
        .map_or(0, |unix| unix.saturating_add(EPOCH_1904));
    let mut places = Vec::new();
    b.boxed(b"moov", |b| {
        let own = match content {
            Content::Whole(_) => Some(OwnTracks::new(movie, plans)?),
            Content::Fragments { .. } => None,
        };
        let more = own.as_ref().map_or(0, OwnTracks::count);
        movie_header(b, created, plans, content, more)?;
        // Behind those of timed metadata.
        let chapters = own.as_ref().filter(|own| own.chapters.is_some());
        let chapters = chapters
            .map(|own| {
                u32::try_from(own.events.len()).map(|events| next_id(plans).saturating_add(events))
            })
            .transpose()
            .map_err(|_| LayoutError::TooLarge {
                what: "an identifier of a track",
            })?;
        let chunks_of = |at: usize| match content {
            Content::Whole(chunks) => chunks.get(at),
            Content::Fragments { .. } => None,
        };
        let tracks: Vec<_> = (0..).map(chunks_of).zip(plans).collect();
        let written = side_by_side(
            &tracks,
            |(_, plan)| plan.track.samples.len(),
            |(chunks, plan)| {
                let same = |other: &&TrackPlan<'_>| other.track.kind == plan.track.kind;
                // Sound tracks are alternatives, of which a player picks one; so are subtitles.
                let group = match plan.track.kind {
                    TrackKind::Audio if plans.iter().filter(same).count() > 1 => 1,
                    TrackKind::Text => 2,
                    TrackKind::Audio | TrackKind::Video => 0,
                };
                let mut b = Boxes::default();
                let refers = chapters.filter(|_| plan.track.kind != TrackKind::Text);
                let place = track_box(&mut b, plan, created, (group, refers), *chunks)?;
                Ok((b, place))
            },
        );
        for track in written {
            let (track, place) = track?;
            places.push(b.len().saturating_add(place));
            b.bytes(&track.into_bytes());
        }
        if let Some(own) = &own {
            for (track, id) in own.events.iter().zip(next_id(plans)..) {
                places.push(track.track_box(b, id, created, own.end)?);
            }
            if let (Some(track), Some(id)) = (&own.chapters, chapters) {
                places.push(track.track_box(b, id, created)?);
            }
        }
        if let Content::Fragments { duration } = content {
            b.boxed(b"mvex", |b| {
                if let Some(duration) = duration {
                    boxes::movie_extends_header(b, duration)?;
                }
                for plan in plans {
                    boxes::track_extends(b, plan.id)?;
                }
                Ok(())
            })?;
        }
        let end = match content {
            Content::Whole(_) => presented(plans)?,
            Content::Fragments { duration } => duration.unwrap_or(u64::MAX),
        };
        tags::user_data(b, movie, |b| {
            chapters::list(b, &chapters::of(movie, end), own.is_some())
        })
    })?;
    Ok(places)
}

/// The tracks whose media lies with the description of a progressive movie.
#[derive(Debug)]
pub(crate) struct OwnTracks<'a> {
    events: Vec<EventTrack<'a>>,
    chapters: Option<ChapterTrack<'a>>,
    /// Where the movie ends, in its own ticks.
    end: u64,
}

impl<'a> OwnTracks<'a> {
    pub(crate) fn new(movie: &'a Movie, plans: &[TrackPlan<'_>]) -> Result<Self> {
        let end = presented(plans)?;
        Ok(Self {
            events: EventTrack::all(movie, end),
            chapters: ChapterTrack::new(movie, end),
            end,
        })
    }

    /// How many there are.
    fn count(&self) -> usize {
        let chapters = usize::from(self.chapters.is_some());
        self.events.len().saturating_add(chapters)
    }

    /// Their media in an `mdat` of its own, nothing where there is none. `places` are where the offset
    /// of each goes.
    pub(crate) fn write_media(
        &self,
        b: &mut Boxes,
        places: impl Iterator<Item = usize>,
    ) -> Result<()> {
        let too_large = || LayoutError::TooLarge { what: "the file" };
        if self.count() == 0 {
            return Ok(());
        }
        let events = self.events.iter().map(EventTrack::len);
        let chapters = self.chapters.iter().map(ChapterTrack::len);
        let len = events.chain(chapters).sum();
        boxes::media_data_header(b, len).ok_or_else(too_large)?;
        let mut places = places;
        let mut place = |b: &mut Boxes| {
            let offset = u32::try_from(b.len()).map_err(|_| too_large())?;
            if let Some(place) = places.next() {
                b.set_u32(place, offset);
            }
            Ok(())
        };
        for track in &self.events {
            place(b)?;
            track.write_samples(b);
        }
        if let Some(track) = &self.chapters {
            place(b)?;
            track.write_samples(b);
        }
        Ok(())
    }
}

/// How long the movie is presented, in its own ticks.
pub(crate) fn presented(plans: &[TrackPlan<'_>]) -> Result<u64> {
    plans.iter().try_fold(0, |longest: u64, plan| {
        Ok(longest.max(plan.presentation_duration()?))
    })
}

/// The identifier of a further track.
fn next_id(plans: &[TrackPlan<'_>]) -> u32 {
    let last = plans.iter().map(|plan| plan.id).max();
    last.unwrap_or(0).saturating_add(1)
}

/// `mvhd` (8.2.2).
fn movie_header(
    b: &mut Boxes,
    created: u64,
    plans: &[TrackPlan<'_>],
    content: Content<'_>,
    more: usize,
) -> Result<()> {
    let duration = match content {
        Content::Whole(_) => presented(plans)?,
        Content::Fragments { .. } => 0,
    };
    let version = version(created, duration);
    b.full(b"mvhd", version, 0, |b| {
        wide(b, version, created);
        wide(b, version, created);
        b.u32(MOVIE_TIMESCALE);
        wide(b, version, duration);
        b.u32(0x0001_0000); // rate 1.0
        b.u16(0x0100); // volume 1.0
        b.zeros(10);
        UNITY.iter().for_each(|&value| b.u32(value));
        b.zeros(24);
        let next = usize::try_from(next_id(plans)).unwrap_or(usize::MAX);
        b.count(next.saturating_add(more), "an identifier of a track")
    })
}

fn track_box(
    b: &mut Boxes,
    plan: &TrackPlan<'_>,
    created: u64,
    (alternate_group, chapters): (u16, Option<u32>),
    chunks: Option<&TrackChunks>,
) -> Result<usize> {
    let mut place = 0;
    b.boxed(b"trak", |b| {
        track_header(b, plan, created, alternate_group, chunks.is_some())?;
        if let Some(chapters) = chapters {
            // 8.3.3; the type of the reference is QuickTime's.
            b.boxed(b"tref", |b| {
                b.boxed(b"chap", |b| {
                    b.u32(chapters);
                    Ok(())
                })
            })?;
        }
        if !plan.track.edits.is_empty() {
            b.boxed(b"edts", |b| boxes::edit_list(b, &plan.track.edits))?;
        }
        b.boxed(b"mdia", |b| {
            media_header(b, plan, created, chunks.is_some())?;
            let (kind, name) = match plan.track.kind {
                TrackKind::Video => (b"vide", "Video"),
                TrackKind::Audio => (b"soun", "Audio"),
                TrackKind::Text => (b"text", "Subtitles"),
            };
            boxes::handler(b, kind, plan.track.name.as_deref().unwrap_or(name))?;
            b.boxed(b"minf", |b| {
                place = media_information(b, plan, chunks)?;
                Ok(())
            })
        })
    })?;
    Ok(place)
}

/// `tkhd` (8.3.2).
fn track_header(
    b: &mut Boxes,
    plan: &TrackPlan<'_>,
    created: u64,
    alternate_group: u16,
    whole: bool,
) -> Result<()> {
    let track = plan.track;
    let duration = if whole {
        plan.presentation_duration()?
    } else {
        0
    };
    let version = version(created, duration);
    // track_in_movie and track_in_preview, track_enabled.
    let flags = 6 | u32::from(track.enabled);
    let video = track.configs.iter().filter_map(|config| config.video());
    let sizes = video.filter_map(entries::display_size);
    let (width, height) = sizes
        .reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))
        .unwrap_or((0, 0));
    b.full(b"tkhd", version, flags, |b| {
        wide(b, version, created);
        wide(b, version, created);
        b.u32(plan.id);
        b.u32(0);
        wide(b, version, duration);
        b.zeros(8);
        b.u16(0); // layer
        b.u16(alternate_group);
        b.u16(match track.kind {
            TrackKind::Audio => 0x0100, // volume 1.0
            TrackKind::Video | TrackKind::Text => 0,
        });
        b.u16(0);
        let rotation = track.configs.iter().find_map(|config| config.video());
        let matrix = matrix(rotation.map_or(0, |video| video.rotation), width, height);
        matrix.iter().for_each(|&value| b.u32(value));
        b.u32(width);
        b.u32(height);
        Ok(())
    })
}

/// `matrix` (8.3.2.3): `degrees` clockwise, back to where it began.
fn matrix(degrees: u16, width: u32, height: u32) -> [u32; 9] {
    const ONE: u32 = 1 << 16;
    const LESS: u32 = ONE.wrapping_neg();
    const W: u32 = 1 << 30;
    match degrees {
        90 => [0, ONE, 0, LESS, 0, 0, height, 0, W],
        180 => [LESS, 0, 0, 0, LESS, 0, width, height, W],
        270 => [0, LESS, 0, ONE, 0, 0, 0, width, W],
        _ => UNITY,
    }
}

/// `mdhd` (8.4.2).
fn media_header(b: &mut Boxes, plan: &TrackPlan<'_>, created: u64, whole: bool) -> Result<()> {
    let duration = if whole { plan.facts.duration } else { 0 };
    let version = version(created, duration);
    b.full(b"mdhd", version, 0, |b| {
        wide(b, version, created);
        wide(b, version, created);
        b.u32(plan.track.timescale);
        wide(b, version, duration);
        b.u16(plan.track.language.packed());
        b.u16(0);
        Ok(())
    })
}

/// The content of `minf` (8.4.4).
fn media_information(
    b: &mut Boxes,
    plan: &TrackPlan<'_>,
    chunks: Option<&TrackChunks>,
) -> Result<usize> {
    match plan.track.kind {
        // 12.1.2: the flags are 1 for no reason that is told.
        TrackKind::Video => b.full(b"vmhd", 0, 1, |b| {
            b.zeros(8);
            Ok(())
        })?,
        TrackKind::Audio => b.full(b"smhd", 0, 0, |b| {
            b.zeros(4);
            Ok(())
        })?,
        // ISO/IEC 14496-30, 7.2: there is nothing to say.
        TrackKind::Text => b.full(b"nmhd", 0, 0, |_| Ok(()))?,
    }
    // 8.7.1, 8.7.2: the media is in this file.
    b.boxed(b"dinf", |b| {
        b.table(b"dref", 0, |b| {
            b.full(b"url ", 0, 1, |_| Ok(()))?;
            Ok(1)
        })
    })?;
    let mut place = 0;
    b.boxed(b"stbl", |b| {
        sample_descriptions(b, plan, chunks.is_some())?;
        place = match chunks {
            Some(chunks) => sample_tables(b, plan, chunks)?,
            None => empty_tables(b)?,
        };
        Ok(())
    })?;
    Ok(place)
}

/// `stsd` (8.5.2).
fn sample_descriptions(b: &mut Boxes, plan: &TrackPlan<'_>, whole: bool) -> Result<()> {
    let rates = if whole || plan.facts.bytes > 0 {
        tables::bit_rates(plan)
    } else {
        Vec::new()
    };
    b.full(b"stsd", 0, 0, |b| {
        b.count(plan.track.configs.len(), "a count of configurations")?;
        for (at, config) in plan.track.configs.iter().enumerate() {
            // A configuration that no sample uses has no rate either.
            let rate = rates.get(at).copied().filter(|rate| rate.average > 0);
            entries::sample_entry(b, config, rate).map_err(|what| LayoutError::Config {
                track: plan.index,
                config: at,
                what,
            })?;
        }
        Ok(())
    })
}

/// The tables of a progressive file, in the order of 8.5.1.
fn sample_tables(b: &mut Boxes, plan: &TrackPlan<'_>, chunks: &TrackChunks) -> Result<usize> {
    let (samples, facts) = (plan.track.samples.as_slice(), &plan.facts);
    tables::decoding_times(b, samples)?;
    tables::composition_offsets(b, samples, facts)?;
    tables::sync_samples(b, samples, facts)?;
    tables::dependencies(b, samples, facts)?;
    let groups = Groups::new(plan.is_opus(), plan.track.timescale, facts, false);
    tables::sample_groups(b, samples, facts, groups)?;
    tables::chunk_samples(b, &chunks.chunks)?;
    tables::sizes(b, samples, facts)?;
    tables::chunk_offsets(b, chunks.chunks.len(), chunks.large)
}

/// The tables of a fragmented file: there, as 8.5.1 demands, and empty.
fn empty_tables(b: &mut Boxes) -> Result<usize> {
    for kind in [b"stts", b"stsc"] {
        b.table(kind, 0, |_| Ok(0))?;
    }
    b.full(b"stsz", 0, 0, |b| {
        b.zeros(8);
        Ok(())
    })?;
    tables::chunk_offsets(b, 0, false)
}
