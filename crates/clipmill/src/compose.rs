//! Pictures and sound that a live stream has in playlists of their own (`EXT-X-MEDIA`, RFC 8216,
//! 4.3.4.1), put together segment by segment: into one fragmented MP4 that holds both, so that
//! whoever keeps segments keeps one for each stretch of time and can do without the playlists.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::mem::discriminant;
use std::sync::Arc;

use bytes::Bytes;
use clipmill_media::{CodecConfig, Language, Limits, SegmentIndex, TrackKind};
use clipmill_mp4::{FragmentOptions, FragmentTrack, Fragmenter, Movie, Span, Track};
use clipmill_playlist::{Location, MediaPlaylist, Playlist, PlaylistLimits, Segment};

use crate::clip::TrackWriter;
use crate::cut::Chosen;
use crate::error::SegmentError;
use crate::reader::{ReadSegment, SegmentReader};
use crate::rendition::{Fit, fit, span};
use crate::source::SegmentSource;
use crate::timeline::{
    Label, PushedSegment, SegmentInfo, Ticks, Timeline, WRAP, rescale, to_ticks,
};

/// Added to all timestamps, in seconds: decoding may begin before 0, and `tfdt` cannot.
const BASE: i64 = 100_000;

/// Segments of sound that are looked at before the one that belongs to the first pictures.
const BEFORE: usize = 3;

/// Sound of a stream, in a playlist of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioRendition {
    /// Its media playlist.
    pub playlist: Location,
    /// `NAME`.
    pub name: String,
    /// `LANGUAGE`.
    pub language: Language,
    /// `DEFAULT`.
    pub default: bool,
}

/// Puts the sound of a live stream's audio renditions into the segments of its pictures.
#[derive(Debug)]
pub struct Composer {
    pictures: SegmentReader,
    renditions: Vec<RenditionReader>,
    tracks: Vec<ComposedTrack>,
    /// Where the sound of each track that an earlier run composed ended, by track identifier.
    resumed: HashMap<u32, Ticks>,
    /// The segment for which sound is waited for.
    waiting: Option<Waiting>,
    limits: Limits,
}

#[derive(Debug)]
struct RenditionReader {
    rendition: AudioRendition,
    reader: SegmentReader,
    /// Media sequence number after the last segment taken.
    next: Option<u64>,
    /// Where that segment ends, by its own timestamps and the turn of the clock that the pictures
    /// are in; unknown after a discontinuity.
    reached: Option<Ticks>,
    run: u64,
}

/// Identifiers of tracks that each playlist has for its own: so a track has the same one in every
/// composed segment, whichever playlist came first, also after a restart.
const TRACKS_OF_ONE: u32 = 256;

/// A track of every composed segment from its first on.
#[derive(Debug)]
struct ComposedTrack {
    /// Its identifier in composed segments.
    number: u32,
    source: usize,
    id: u32,
    kind: TrackKind,
    timescale: u32,
    language: Language,
    configs: Vec<Arc<CodecConfig>>,
    /// Sound: where the next frame is expected, in the timescale.
    next: Option<i64>,
}

#[derive(Debug)]
struct Waiting {
    sequence: u64,
    parts: Vec<SourceSegment>,
    index: Arc<SegmentIndex>,
}

/// A segment that goes into a composed one.
#[derive(Debug)]
struct SourceSegment {
    source: usize,
    bytes: Bytes,
    index: Arc<SegmentIndex>,
}

impl Composer {
    /// One that has seen nothing.
    #[must_use]
    pub fn new(renditions: Vec<AudioRendition>, limits: &Limits) -> Self {
        let renditions = renditions.into_iter().map(|rendition| RenditionReader {
            rendition,
            reader: SegmentReader::new(None, limits),
            next: None,
            reached: None,
            run: 0,
        });
        Self {
            pictures: SegmentReader::new(None, limits),
            renditions: renditions.collect(),
            tracks: Vec::new(),
            resumed: HashMap::new(),
            waiting: None,
            limits: limits.clone(),
        }
    }

    /// Tells of a segment that an earlier run composed: its sound is not taken again.
    pub fn resume(&mut self, index: &SegmentIndex) {
        for track in &index.tracks {
            let clock = track.timing().clock();
            if let Some(last) = track.samples().last()
                && track.kind() == TrackKind::Audio
            {
                let end = to_ticks(last.dts + i64::from(last.duration), clock);
                self.resumed.insert(track.id(), end);
            }
        }
    }

    /// The segment with the sound that belongs to it; `after_gap` when it does not follow the one
    /// before. `None` when not all of that is listed yet:
    /// then it is asked again for the same segment, or told by `patient` not to wait.
    ///
    /// Sound that is listed too late comes with the next segment; all that is there up to the next
    /// discontinuity comes with the `last` one before it.
    ///
    /// # Errors
    /// When the pictures cannot be indexed, or do not go into MP4. Sound that cannot be read is
    /// left out, and warnings in `warnings`.
    pub fn compose(
        &mut self,
        source: &dyn SegmentSource,
        segment: &Segment,
        read: &ReadSegment,
        after_gap: bool,
        (patient, last): (bool, bool),
        warnings: &mut Vec<String>,
    ) -> Result<Option<ReadSegment>, SegmentError> {
        let waiting = self.waiting.take();
        let mut waiting = match waiting.filter(|one| one.sequence == segment.sequence) {
            Some(waiting) => waiting,
            None => {
                if after_gap {
                    self.pictures.discontinuity();
                }
                let index = Arc::new(self.pictures.index(read)?);
                Waiting {
                    sequence: segment.sequence,
                    parts: vec![SourceSegment {
                        source: 0,
                        bytes: read.bytes.clone(),
                        index: Arc::clone(&index),
                    }],
                    index,
                }
            }
        };
        let mut complete = true;
        for (rendition, number) in self.renditions.iter_mut().zip(1..) {
            let parts = &mut waiting.parts;
            complete &= rendition.take(
                source,
                segment,
                &waiting.index,
                number,
                last,
                parts,
                warnings,
                &self.limits,
            );
        }
        if !complete && patient {
            self.waiting = Some(waiting);
            return Ok(None);
        }
        self.put_together(waiting.parts).map(Some)
    }

    fn put_together(&mut self, pieces: Vec<SourceSegment>) -> Result<ReadSegment, SegmentError> {
        let labels = self.renditions.iter().map(|read| Label {
            name: read.rendition.name.clone(),
            language: read.rendition.language,
            default: read.rendition.default,
        });
        // Of one stretch of time alone: its instants are the timestamps that the segments have.
        let mut timeline = Timeline::with_labels(labels.collect());
        timeline.push_together(pieces.iter().map(SourceSegment::part).collect());
        let mut made: Vec<(usize, TrackWriter, i64)> = Vec::new();
        for (number, line) in timeline.tracks().iter().enumerate() {
            let stated = timeline.label(line).map(|label| label.language);
            let stated = stated.filter(|language| *language != Language::UNDETERMINED);
            let chosen = chosen(&timeline, number);
            let Some(writer) = TrackWriter::new(&timeline, line, &chosen, None) else {
                continue;
            };
            let at = self.track(
                line.source(),
                line.id,
                line.kind,
                writer.timescale(),
                &timeline,
                &chosen,
            );
            self.tracks[at].language = stated.unwrap_or(line.language);
            let Some((writer, start)) = self.write(at, &timeline, number, chosen) else {
                continue;
            };
            made.push((at, writer, start));
        }
        let movie = Movie {
            tracks: self.tracks.iter().map(ComposedTrack::described).collect(),
            ..Movie::default()
        };
        let no_layout = |error: clipmill_mp4::LayoutError| SegmentError::Compose(error.to_string());
        let mut fragmenter =
            Fragmenter::new(movie, FragmentOptions::default()).map_err(no_layout)?;
        let init = fragmenter.init();
        let described: Vec<_> = made
            .iter()
            .map(|(at, writer, start)| FragmentTrack {
                track: *at,
                start: start.max(&0).unsigned_abs(),
                configs: &writer.configs,
                samples: &writer.samples,
                runs: &writer.runs,
                restarts: &[],
            })
            .collect();
        let fragment = fragmenter.fragment(&described).map_err(no_layout)?;
        let mut out = Vec::new();
        for span in fragment.spans() {
            match span {
                Span::Bytes(bytes) => out.extend_from_slice(bytes),
                Span::Media(media) => {
                    let piece = pieces.get(media.segment as usize);
                    let track = piece.and_then(|p| p.index.tracks.get(media.track as usize));
                    let samples = media.samples.start as usize..media.samples.end as usize;
                    if let (Some(piece), Some(track)) = (piece, track) {
                        track
                            .gather(&piece.bytes, samples, &mut out)
                            .map_err(|error| SegmentError::Compose(error.to_string()))?;
                    }
                }
            }
        }
        Ok(ReadSegment {
            file: None,
            bytes: out.into(),
            key: None,
            init: Some(init),
        })
    }

    /// The composed track that continues in a track of the line.
    fn track(
        &mut self,
        source: usize,
        id: u32,
        kind: TrackKind,
        timescale: u32,
        timeline: &Timeline,
        chosen: &[Chosen],
    ) -> usize {
        let coding =
            |configs: &[Arc<CodecConfig>]| configs.first().map(|c| discriminant(c.as_ref()));
        let first = chosen.first().map(|one| {
            let local = &timeline.segments()[one.segment].index.tracks[one.local];
            local.configs()
        });
        let same = |known: &&mut ComposedTrack| {
            known.source == source
                && known.kind == kind
                && known.timescale == timescale
                && coding(&known.configs) == coding(first.unwrap_or_default())
        };
        let by_id = |known: &ComposedTrack| known.id != id;
        let mut candidates: Vec<_> = (0..)
            .zip(self.tracks.iter_mut())
            .filter(|(_, t)| same(t))
            .collect();
        candidates.sort_by_key(|(_, known)| by_id(known));
        if let Some((at, known)) = candidates.into_iter().next()
            && (known.id == id || source > 0)
        {
            known.id = id;
            return at;
        }
        let before = self.tracks.iter().filter(|one| one.source == source);
        let before = u32::try_from(before.count()).unwrap_or(u32::MAX);
        let number = u32::try_from(source)
            .unwrap_or(u32::MAX)
            .saturating_mul(TRACKS_OF_ONE)
            .saturating_add(before)
            .saturating_add(1);
        let next = self
            .resumed
            .remove(&number)
            .filter(|_| kind == TrackKind::Audio);
        self.tracks.push(ComposedTrack {
            number,
            source,
            id,
            kind,
            timescale,
            language: Language::UNDETERMINED,
            configs: first.unwrap_or_default().to_vec(),
            next: next.map(|end| rescale(end, clipmill_media::CLOCK_90K, timescale)),
        });
        self.tracks.len() - 1
    }

    /// The samples of one track, and when decoding begins.
    fn write(
        &mut self,
        at: usize,
        timeline: &Timeline,
        line: usize,
        mut chosen: Vec<Chosen>,
    ) -> Option<(TrackWriter, i64)> {
        let track = self.tracks.get_mut(at)?;
        let base = BASE * i64::from(track.timescale);
        let line = &timeline.tracks()[line];
        if let Some(next) = track.next {
            // What was taken before: the segment that holds it is read again after a restart.
            for part in &mut chosen {
                let local = &timeline.segments()[part.segment].index.tracks[part.local];
                let clock = local.timing().clock();
                let samples = local.samples();
                let fresh = |number: &usize| {
                    samples.get(*number).is_some_and(|sample| {
                        let start = rescale(sample.dts + part.shift, clock, track.timescale) + base;
                        let half = i64::from(sample.duration) / 2;
                        start + half >= next
                    })
                };
                let first = part.samples.clone().find(fresh);
                part.samples.start = first.unwrap_or(part.samples.end);
            }
            chosen.retain(|part| !part.samples.is_empty());
        }
        let mut writer = TrackWriter::new(timeline, line, &chosen, None)?;
        for part in &chosen {
            writer.push_part(timeline, part);
        }
        let _ = writer.finish();
        track.configs.clone_from(&writer.configs);
        let mut start = writer.start() + base;
        let frame = writer
            .samples
            .last()
            .map_or(0, |last| i64::from(last.duration));
        if track.kind == TrackKind::Audio {
            // Timestamps are rounded and frames' lengths are exact.
            start = match track.next {
                Some(next) if (start - next).abs() * 2 <= frame => next,
                _ => start,
            };
            let all: i64 = writer.samples.iter().map(|s| i64::from(s.duration)).sum();
            track.next = Some(start + all);
        }
        Some((writer, start))
    }
}

/// All samples of a track of the line.
fn chosen(timeline: &Timeline, track: usize) -> Vec<Chosen> {
    let segments = timeline.segments().iter().enumerate();
    let stretches = segments.flat_map(|(at, segment)| {
        let own = segment.stretches.iter().filter(|one| one.track == track);
        own.map(move |stretch| Chosen {
            segment: at,
            local: stretch.local,
            samples: stretch.samples.clone(),
            shift: stretch.shift,
        })
    });
    stretches.collect()
}

impl ComposedTrack {
    fn described(&self) -> Track {
        Track {
            id: Some(self.number),
            kind: self.kind,
            timescale: self.timescale,
            language: self.language,
            name: None,
            enabled: true,
            configs: self.configs.clone(),
            edits: Vec::new(),
            samples: Vec::new(),
            runs: Vec::new(),
            restarts: Vec::new(),
            start: 0,
        }
    }
}

impl SourceSegment {
    fn part(&self) -> PushedSegment {
        PushedSegment {
            source: self.source,
            info: SegmentInfo {
                location: Location::File(std::path::PathBuf::new()),
                byte_range: None,
                key: None,
                in_playlist: true,
                sequence: 0,
                duration: 0,
                start_time: None,
                discontinuity: false,
                missing_before: 0,
            },
            index: Arc::clone(&self.index),
        }
    }
}

impl RenditionReader {
    /// Takes the segments that cover the time of some pictures; says whether it has all of them.
    #[expect(
        clippy::too_many_arguments,
        reason = "one caller, which it is a part of"
    )]
    fn take(
        &mut self,
        source: &dyn SegmentSource,
        pictures: &Segment,
        index: &SegmentIndex,
        number: usize,
        last: bool,
        parts: &mut Vec<SourceSegment>,
        warnings: &mut Vec<String>,
        limits: &Limits,
    ) -> bool {
        let Some((start, end)) = span(index) else {
            return true;
        };
        if self.run != pictures.discontinuity_sequence {
            self.run = pictures.discontinuity_sequence;
            self.reached = None;
        }
        let reached = |own: &Self| own.reached.is_some_and(|reached| reached >= end);
        if reached(self) && !last {
            return true;
        }
        let Some(playlist) = self.read_playlist(source, limits) else {
            return false;
        };
        for item in self.due(&playlist, pictures) {
            let run = item.discontinuity_sequence.cmp(&self.run);
            if reached(self) && (!last || run == Ordering::Greater) {
                return true;
            }
            if item.discontinuity {
                self.reader.discontinuity();
            }
            let newest = playlist
                .segments
                .last()
                .is_some_and(|s| s.sequence == item.sequence);
            let taken = if item.gap {
                Ok(None)
            } else {
                let read = self.reader.read(source, item, &self.rendition.playlist);
                read.and_then(|read| {
                    let index = self.reader.index(&read)?;
                    Ok(Some((read.bytes, index)))
                })
            };
            match taken {
                Ok(None) => {}
                Ok(Some((bytes, mut index))) => {
                    index
                        .tracks
                        .retain(|track| track.kind() == TrackKind::Audio);
                    if let Some((own_start, own_end)) = span(&index) {
                        // Of MPEG-TS, on either side of the wrap.
                        let turns = (start - own_end + WRAP / 2).div_euclid(WRAP) * WRAP;
                        let own = (own_start + turns, own_end + turns);
                        match fit(run, own, (start, end), self.reached) {
                            // The rest of this run is there.
                            Fit::Later if run != Ordering::Equal => return true,
                            Fit::Later | Fit::Here => {
                                self.reached = Some(own.1);
                                parts.push(SourceSegment {
                                    source: number,
                                    bytes,
                                    index: Arc::new(index),
                                });
                            }
                            // What came before the pictures would be in the way.
                            Fit::Before => {}
                            // So is that of the run before the first one.
                            Fit::Nowhere if self.next.is_none() => {}
                            Fit::Nowhere => {
                                warnings.push(format!(
                                    "{}: {}",
                                    item.uri,
                                    SegmentError::NoPictures
                                ));
                            }
                        }
                    }
                }
                // It may be written still.
                Err(_) if newest && !playlist.ended => return false,
                Err(error) => warnings.push(format!("sound of {}: {error}", item.uri)),
            }
            self.next = Some(item.sequence.saturating_add(1));
        }
        // Until the run is over there may be more of it.
        playlist.ended || (reached(self) && !last)
    }

    fn read_playlist(&self, source: &dyn SegmentSource, limits: &Limits) -> Option<MediaPlaylist> {
        let read = source.read_playlist(&self.rendition.playlist, limits.playlist_bytes);
        let (text, _) = read.ok()?;
        let sizes = PlaylistLimits {
            bytes: limits.playlist_bytes,
            segments: limits.playlist_segments,
            ..PlaylistLimits::default()
        };
        match Playlist::parse(&text, &sizes).ok()? {
            Playlist::Media(mut media) => {
                if media.truncated {
                    media.segments.pop();
                }
                Some(media)
            }
            Playlist::Multivariant(_) => None,
        }
    }

    /// The segments that have not been taken; before the first one, those that may belong to the
    /// pictures.
    fn due<'a>(&self, playlist: &'a MediaPlaylist, pictures: &Segment) -> &'a [Segment] {
        let segments = playlist.segments.as_slice();
        let from = match self.next {
            // One that starts over counts from the beginning.
            Some(next)
                if segments
                    .last()
                    .is_some_and(|s| s.sequence.saturating_add(1) >= next) =>
            {
                segments.partition_point(|segment| segment.sequence < next)
            }
            _ => {
                let begun = |own: &Segment| match (own.start_time, pictures.start_time) {
                    (Some(own), Some(other)) => own <= other,
                    _ => own.sequence <= pictures.sequence,
                };
                segments.partition_point(begun).saturating_sub(BEFORE)
            }
        };
        segments.get(from..).unwrap_or_default()
    }
}
