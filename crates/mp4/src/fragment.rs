use std::mem::discriminant;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use clipmill_media::{CodecConfig, TrackKind};

use crate::boxes::Boxes;
use crate::moof::{self, RawFragment, RawSpan, Traf, Trun};
use crate::moov::{self, Content};
use crate::plan::{self, Facts, TrackPlan};
use crate::regions::SampleRange;
use crate::{LayoutError, MediaSpan, Movie, MovieSample, OwnedSpan, Run, Span, entries, tags};

/// How a movie is cut into fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentOptions {
    /// How long a fragment shall be at least, where the sync samples allow it, in ticks of
    /// [`MOVIE_TIMESCALE`](crate::MOVIE_TIMESCALE). Default 2 s.
    pub duration: u64,
    /// Whether each fragment begins with a `styp`. Default false.
    pub segment_types: bool,
    /// Whether a laid-out file ends with an `mfra` (ISO/IEC 14496-12, 8.8.9). Default true.
    pub random_access_index: bool,
}

impl Default for FragmentOptions {
    fn default() -> Self {
        Self {
            duration: 180_000,
            segment_types: false,
            random_access_index: true,
        }
    }
}

/// What one track gives to a fragment.
#[derive(Debug, Clone, Copy)]
pub struct FragmentTrack<'a> {
    /// Index of the track in the movie.
    pub track: usize,
    /// Decode time of the first sample in the track's timescale (`tfdt`).
    pub start: u64,
    /// The track's configurations so far: those that the [`Fragmenter`] was made with, then those
    /// met since. Empty where none was.
    pub configs: &'a [Arc<CodecConfig>],
    /// The samples in decode order.
    pub samples: &'a [MovieSample],
    /// Where they lie; the runs cover `samples` in order.
    pub runs: &'a [Run],
    /// Which of the samples restart the coding, as [`Track::restarts`](crate::Track::restarts).
    pub restarts: &'a [u32],
}

/// One movie fragment, ready to be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// `styp` where asked for, `moof`, and the header of the `mdat`.
    pub header: Bytes,
    /// The content of the `mdat`, in order.
    pub content: Vec<OwnedSpan>,
}

impl Fragment {
    /// Header and content, in order.
    pub fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        std::iter::once(Span::Bytes(&self.header))
            .chain(self.content.iter().map(OwnedSpan::as_span))
    }
}

/// Writes a movie fragment by fragment, as it is made (ISO/IEC 14496-12, 8.8).
///
/// A configuration that is not in the header can have no sample entry. For video its parameter
/// sets then go in band, before the first sample that needs them and before every random access
/// point from there on; for audio it is an error. Video tracks whose header has several
/// configurations carry them both ways from the start, as many players do not look at the sample
/// entry of a fragment. Decoders cope, though `avc1` and `hvc1` promise otherwise (ISO/IEC
/// 14496-15, 5.4.2.1).
#[derive(Debug, Clone)]
pub struct Fragmenter {
    tracks: Vec<Option<TrackState>>,
    init: Bytes,
    segment_types: bool,
    sequence: u32,
}

/// What must be known of a track between fragments.
#[derive(Debug, Clone)]
struct TrackState {
    id: u32,
    kind: TrackKind,
    timescale: u32,
    opus: bool,
    /// The configurations that have a sample entry.
    configs: Vec<Arc<CodecConfig>>,
    /// The configuration of the last sample.
    current: Option<u16>,
    /// The sample entry of the last sample; counts from 1.
    description: u32,
    /// Whether random access points begin with their parameter sets: those of sample entries are
    /// not enough, or no longer.
    in_band: bool,
}

impl Fragmenter {
    /// Begins a fragmented file with the tracks of `movie`, whose samples are ignored.
    ///
    /// # Errors
    /// When there is no track, or one cannot be described.
    pub fn new(movie: Movie, options: FragmentOptions) -> Result<Self, LayoutError> {
        let mut plans = Vec::new();
        let ids = plan::identifiers(movie.tracks.iter().enumerate())?;
        for (id, (index, track)) in ids.into_iter().zip(movie.tracks.iter().enumerate()) {
            plan::check_head(index, track)?;
            plans.push(TrackPlan {
                index,
                id,
                track,
                start: track.start,
                facts: Facts::default(),
            });
        }
        if plans.is_empty() {
            return Err(LayoutError::Empty);
        }
        Self::with_plans(&movie, &plans, &options, None, &BRANDS)
    }

    /// Begins a file with the tracks in `plans`; `duration` in movie ticks, where known.
    pub(crate) fn with_plans(
        movie: &Movie,
        plans: &[TrackPlan<'_>],
        options: &FragmentOptions,
        duration: Option<u64>,
        brands: &[[u8; 4]],
    ) -> Result<Self, LayoutError> {
        let mut b = Boxes::default();
        tags::brands(&mut b, brands)?;
        tags::metadata(&mut b, movie)?;
        moov::movie_box(&mut b, movie, plans, Content::Fragments { duration })?;
        let mut tracks = vec![None; movie.tracks.len()];
        for plan in plans {
            let state = TrackState {
                id: plan.id,
                kind: plan.track.kind,
                timescale: plan.track.timescale,
                opus: plan.is_opus(),
                configs: plan.track.configs.clone(),
                current: None,
                description: 1,
                // Many players, ffmpeg among them, keep to the first sample entry in fragments.
                in_band: plan.track.kind == TrackKind::Video && plan.track.configs.len() > 1,
            };
            if let Some(track) = tracks.get_mut(plan.index) {
                *track = Some(state);
            }
        }
        Ok(Self {
            tracks,
            init: b.into_bytes().into(),
            segment_types: options.segment_types,
            sequence: 0,
        })
    }

    /// `ftyp` and `moov`.
    #[must_use]
    pub fn init(&self) -> Bytes {
        self.init.clone()
    }

    /// The next fragment. Parts without samples are left out. The media is put in the order of
    /// its segments, and inside a segment in the order of `parts`.
    ///
    /// # Errors
    /// When no part holds a sample, a part contradicts itself, an audio configuration is not in
    /// the header, or a number does not fit its field. After an error the file cannot go on.
    pub fn fragment(&mut self, parts: &[FragmentTrack<'_>]) -> Result<Fragment, LayoutError> {
        let raw = self.raw_fragment(parts)?;
        let spans = raw.spans.into_iter().map(|span| match span {
            RawSpan::Bytes(bytes) => OwnedSpan::Bytes(bytes),
            RawSpan::Media(source, len) => OwnedSpan::Media(MediaSpan {
                segment: source.segment,
                track: source.source_track,
                samples: source.source_first..source.source_first.saturating_add(source.count),
                restart: source.restart,
                skip: 0,
                len,
            }),
        });
        Ok(Fragment {
            header: raw.header,
            content: spans.collect(),
        })
    }

    pub(crate) fn raw_fragment(
        &mut self,
        parts: &[FragmentTrack<'_>],
    ) -> Result<RawFragment, LayoutError> {
        let mut trafs = Vec::new();
        for part in parts {
            let (track, what) = (part.track, "it is not in the header");
            let state = self.tracks.get_mut(part.track).and_then(Option::as_mut);
            let state = state.ok_or(LayoutError::Track { track, what })?;
            plan::check_runs(part.track, part.samples.len(), part.runs)?;
            state.track_fragments(part, &mut trafs)?;
        }
        if trafs.is_empty() {
            return Err(LayoutError::Empty);
        }
        self.sequence = self.sequence.checked_add(1).ok_or(LayoutError::TooLarge {
            what: "the count of fragments",
        })?;
        moof::fragment(trafs, self.sequence, self.segment_types)
    }
}

impl TrackState {
    /// Cuts a part where the sample entry changes, and into the runs of each segment.
    fn track_fragments<'a>(
        &mut self,
        part: &FragmentTrack<'a>,
        trafs: &mut Vec<Traf<'a>>,
    ) -> Result<(), LayoutError> {
        let mut open: Option<Traf<'a>> = None;
        let (mut begin, mut at, mut time) = (0usize, 0usize, part.start);
        let mut restarts = part.restarts.iter().peekable();
        for run in part.runs {
            for offset in 0..run.count {
                let Some(sample) = part.samples.get(at) else {
                    break;
                };
                let (description, prefix) = self.enter(part, sample)?;
                let restart = restarts.next_if(|next| **next as usize == at).is_some();
                if open.as_ref().is_some_and(|t| t.description != description) {
                    trafs.extend(open.take().map(|t| t.ending(part.samples, begin..at)));
                }
                let traf = open.get_or_insert_with(|| {
                    begin = at;
                    self.traf(description, time)
                });
                let within = at.saturating_sub(begin);
                let source = SampleRange {
                    track: part.track,
                    first: u32::try_from(at).unwrap_or(u32::MAX),
                    count: 1,
                    segment: run.segment,
                    source_track: run.track,
                    source_first: run.first_sample.saturating_add(offset),
                    restart,
                };
                traf.push(source, within, sample.size, prefix);
                at = at.saturating_add(1);
                time = time
                    .checked_add(sample.duration.into())
                    .ok_or(LayoutError::TooLarge {
                        what: "a decode time",
                    })?;
            }
        }
        trafs.extend(open.map(|t| t.ending(part.samples, begin..at)));
        Ok(())
    }

    fn traf<'a>(&self, description: u32, start: u64) -> Traf<'a> {
        Traf {
            track_id: self.id,
            timescale: self.timescale,
            opus: self.opus,
            description,
            start,
            samples: &[],
            truns: Vec::new(),
            prefixes: Vec::new(),
        }
    }

    /// The sample entry of the next sample, and the parameter sets that it must begin with.
    fn enter(
        &mut self,
        part: &FragmentTrack<'_>,
        sample: &MovieSample,
    ) -> Result<(u32, Option<Bytes>), LayoutError> {
        let (track, config) = (part.track, usize::from(sample.config));
        let changed = self.current != Some(sample.config);
        if let Some(known) = self.configs.get(config) {
            self.current = Some(sample.config);
            self.description = u32::from(sample.config).saturating_add(1);
            let needed = self.in_band && (changed || sample.random_access.is_sync());
            let prefix = if needed {
                entries::in_band(known)
            } else {
                None
            };
            return Ok((self.description, non_empty(prefix)));
        }
        let what = "a sample's configuration does not exist";
        let late = part.configs.get(config);
        let late = late.ok_or(LayoutError::Track { track, what })?;
        if self.kind == TrackKind::Audio {
            return Err(LayoutError::LateAudioConfig { track, config });
        }
        let entry = usize::try_from(self.description.saturating_sub(1)).unwrap_or(usize::MAX);
        let same_codec = self
            .configs
            .get(entry)
            .is_some_and(|entry| discriminant(&**entry) == discriminant(&**late));
        if !same_codec {
            let what = "the codec changed after the header was written";
            return Err(LayoutError::Config {
                track,
                config,
                what,
            });
        }
        self.current = Some(sample.config);
        self.in_band = true;
        let needed = changed || sample.random_access.is_sync();
        let prefix = if needed { entries::in_band(late) } else { None };
        Ok((self.description, non_empty(prefix)))
    }
}

fn non_empty(bytes: Option<Vec<u8>>) -> Option<Bytes> {
    bytes.filter(|bytes| !bytes.is_empty()).map(Bytes::from)
}

impl<'a> Traf<'a> {
    /// Adds one sample, the `at`th.
    fn push(&mut self, sample: SampleRange, at: usize, size: u32, prefix: Option<Bytes>) {
        let segment = sample.segment;
        if self.truns.last().is_none_or(|t| t.segment != segment) {
            self.truns.push(Trun {
                segment,
                count: 0,
                spans: Vec::new(),
                len: 0,
            });
        }
        let Some(trun) = self.truns.last_mut() else {
            return;
        };
        trun.count = trun.count.saturating_add(1);
        trun.len = trun.len.saturating_add(size.into());
        if let Some(prefix) = prefix {
            trun.len = trun.len.saturating_add(prefix.len() as u64);
            trun.spans.push(RawSpan::Bytes(prefix.clone()));
            self.prefixes.push((at, prefix));
        }
        if let Some(RawSpan::Media(last, len)) = trun.spans.last_mut()
            && last.source_track == sample.source_track
            && !last.restart
            && !sample.restart
            && last.source_first.checked_add(last.count) == Some(sample.source_first)
        {
            last.count = last.count.saturating_add(1);
            *len = len.saturating_add(size.into());
        } else {
            trun.spans.push(RawSpan::Media(sample, size.into()));
        }
    }

    fn ending(mut self, samples: &'a [MovieSample], range: Range<usize>) -> Self {
        self.samples = samples.get(range).unwrap_or_default();
        self
    }
}

/// What a fragmented file conforms to (ISO/IEC 14496-12, annex E): `iso6` for
/// default-base-is-moof, `tfdt` and signed offsets in `trun`; `iso5` and `mp41` for players that
/// ask for them.
///
/// Not CMAF's `cmfc`: a CMAF track file has one track, whose every fragment begins with a random
/// access point (ISO/IEC 23000-19, 7.3), which is not known before the fragments are. And not
/// `dash`, which promises the same.
pub(crate) const BRANDS: [[u8; 4]; 4] = [*b"iso6", *b"iso5", *b"isom", *b"mp41"];

/// The same, of a file that is known to be a CMAF track file.
pub(crate) const CMAF_BRANDS: [[u8; 4]; 5] = [*b"iso6", *b"iso5", *b"isom", *b"mp41", *b"cmfc"];
