//! Media segments, one after the other.

use std::ops::Range;
use std::sync::Arc;

use clipmill_media::{
    CodecConfig, Damage, DamageKind, DamageLog, Leading, LimitExceeded, Limits, RandomAccess,
    Sample, SegmentIndex, TrackBuilder, TrackIndex, TrackKind, TrackTiming,
};

use super::ReadError;
use super::events::{Message, ticks};
use super::fragment::{Header, Listed, Run, decode_time, places};
use super::init::{Defaults, InitSegment, InitTrack};
use super::nal::{Nal, ParameterSets};
use super::walk::{BoxAt, Boxes};

/// The stride of contiguous payload: the longest piece of an extent, so that pieces join.
const STRIDE: u16 = u16::MAX;

/// `emsg` boxes of one segment: more than any has.
const MESSAGES: usize = 4096;

/// Timestamps reach this many seconds to either side: past the year 2100 where they count from
/// 1970. Arithmetic on them has room to spare then.
const FARTHEST: i64 = 1 << 32;

/// A sample that lasts longer, in seconds, is taken to have no known duration.
const LONGEST: i64 = 1 << 17;

/// Indexes the media segments of one fragmented MP4, one after the other.
///
/// What a segment does not repeat is kept from before: the tracks of the initialization segment,
/// parameter sets that came in samples, and where each track ended, for fragments without a decode
/// time of their own.
#[derive(Debug, Clone)]
pub struct FragmentIndexer {
    limits: Limits,
    init: Option<Arc<InitSegment>>,
    tracks: Vec<TrackState>,
}

/// What is known of a track besides its `moov`.
#[derive(Debug, Clone, Default)]
struct TrackState {
    /// Decode time of the next sample, in the track's timescale, without its shift.
    next: Option<i64>,
    /// For each of its entries, the configuration in force and the sets that make it.
    entries: Vec<(Option<Arc<CodecConfig>>, ParameterSets)>,
    /// Presentation time of the last random access point with which leading pictures may come.
    open: Option<i64>,
}

impl FragmentIndexer {
    /// An indexer that has seen nothing.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            init: None,
            tracks: Vec::new(),
        }
    }

    /// Reads an initialization segment: what follows is of its tracks. The same one as before
    /// changes nothing.
    ///
    /// # Errors
    /// As [`InitSegment::parse`], and when no track of it can be carried.
    pub fn init(&mut self, init: &[u8]) -> Result<(), ReadError> {
        self.install(InitSegment::parse(init, &self.limits)?)
    }

    fn install(&mut self, mut init: InitSegment) -> Result<(), ReadError> {
        if init.tracks.is_empty() {
            let declined = init.declined;
            return Err(ReadError::NothingCarried { declined });
        }
        // A stream that goes on in another timescale is told in the first one: what follows is
        // still the same track.
        for track in &mut init.tracks {
            let known = self.init.iter().flat_map(|init| &init.tracks);
            let same_kind = known.filter(|known| known.kind == track.kind);
            let first = same_kind.clone().next();
            let own = same_kind.into_iter().find(|known| known.id == track.id);
            track.out_timescale = own
                .or(first)
                .map_or(track.out_timescale, |known| known.out_timescale);
        }
        if self.init.as_deref() == Some(&init) {
            return Ok(());
        }
        let state = |track: &InitTrack| TrackState {
            entries: track
                .entries
                .iter()
                .map(|entry| match entry {
                    Ok(entry) => (entry.config.clone(), entry.sets.clone()),
                    Err(_) => (None, ParameterSets::default()),
                })
                .collect(),
            ..TrackState::default()
        };
        self.tracks = init.tracks.iter().map(state).collect();
        self.init = Some(Arc::new(init));
        Ok(())
    }

    /// Whether an initialization segment has been read.
    #[must_use]
    pub fn has_init(&self) -> bool {
        self.init.is_some()
    }

    /// Tells that the next segment does not follow the last one.
    pub fn discontinuity(&mut self) {
        for track in &mut self.tracks {
            track.open = None;
        }
    }

    /// Indexes the next segment. One that begins with a `moov` of its own is taken at its word; an
    /// initialization segment alone gives tracks without samples.
    ///
    /// A segment that ends early is no error: what is whole in it is indexed.
    ///
    /// # Errors
    /// When there is no initialization segment, the segment is no fragmented MP4, its boxes make
    /// no sense, or a limit is exceeded.
    pub fn index(&mut self, segment: &[u8]) -> Result<SegmentIndex, ReadError> {
        self.index_at(segment, None)
    }

    /// The same for a part of a file, which begins at byte `file` of it: its fragments may say where in the file
    /// their data lies (`base-data-offset`, ISO/IEC 14496-12, 8.8.7).
    ///
    /// # Errors
    /// As [`Self::index`].
    pub fn index_at(
        &mut self,
        segment: &[u8],
        file: Option<u64>,
    ) -> Result<SegmentIndex, ReadError> {
        if segment.is_empty() {
            return Err(ReadError::Empty);
        }
        let len = segment.len() as u64;
        let limit = self.limits.segment_bytes.min(u64::from(u32::MAX));
        LimitExceeded::check("segment size in bytes", len, limit)?;
        let mut boxes = Boxes::new(segment);
        let mut moofs = Vec::new();
        let mut damage = DamageLog::with_capacity(self.limits.damages);
        let mut moov = false;
        let mut messages = Vec::new();
        let mut data = Vec::new();
        for one in boxes.by_ref() {
            match &one.kind {
                b"moov" => {
                    self.install(InitSegment::of(&one, &self.limits)?)?;
                    moov = true;
                }
                b"moof" if one.cut => truncated(&mut damage, one.offset),
                b"moof" => moofs.push(one),
                b"mdat" => data.push(Data::of(&one)),
                b"emsg" if messages.len() < MESSAGES => messages.extend(Message::of(&one)),
                _ => {}
            }
        }
        let Some(init) = self.init.clone() else {
            return Err(if moofs.is_empty() {
                ReadError::NoFragment
            } else {
                ReadError::NoInit
            });
        };
        if moofs.is_empty() && moov && (init.listed_samples || !init.fragmented) {
            return Err(ReadError::Progressive);
        }
        if moofs.is_empty() && !moov && damage.is_empty() {
            return Err(ReadError::NoFragment);
        }
        let (offset, rest) = boxes.rest();
        if rest > 0 {
            truncated(&mut damage, offset);
        }
        let mut walk = Walk::new(&self.limits, segment, &init, &mut self.tracks, damage)?;
        (walk.file, walk.data) = (file, data);
        for moof in &moofs {
            walk.fragment(moof)?;
        }
        let mut index = walk.finish();
        let begin = index.tracks.iter().filter_map(earliest).min();
        let events = messages.into_iter().map(|message| message.at(begin));
        index.events = events.flatten().collect();
        Ok(index)
    }
}

/// When the first sample of a track is presented, in 90 kHz ticks.
fn earliest(track: &TrackIndex) -> Option<i64> {
    let first = track.samples().iter().map(Sample::pts).min()?;
    ticks(first, track.timing().clock())
}

fn truncated(damage: &mut DamageLog, offset: u64) {
    damage.push(Damage {
        offset,
        pid: None,
        kind: DamageKind::TruncatedAccessUnit,
    });
}

/// A box of media data.
#[derive(Debug, Clone)]
struct Data {
    body: Range<u64>,
    /// The segment ends before it does.
    cut: bool,
}

impl Data {
    fn of(mdat: &BoxAt<'_>) -> Self {
        let end = mdat.body_offset.saturating_add(mdat.body.len() as u64);
        Self {
            body: mdat.body_offset..end,
            cut: mdat.cut,
        }
    }

    fn holds(&self, place: &Range<u64>) -> bool {
        let begins = place.is_empty() || self.body.contains(&place.start);
        begins && (self.cut || place.end <= self.body.end)
    }
}

/// Where data lies that is nowhere in the segment.
const NOWHERE: u64 = u64::MAX / 2;

/// What belongs to the segment that is being indexed.
struct Walk<'a> {
    limits: &'a Limits,
    segment: &'a [u8],
    init: &'a InitSegment,
    states: &'a mut [TrackState],
    builders: Vec<TrackBuilder>,
    damage: DamageLog,
    /// Where in its file the segment begins, if it is a part of one.
    file: Option<u64>,
    data: Vec<Data>,
    /// Bytes that samples may still have: honest ones do not lie on top of each other.
    bytes_left: u64,
    /// Samples that may still be listed, those without bytes included.
    samples_left: u64,
}

impl<'a> Walk<'a> {
    fn new(
        limits: &'a Limits,
        segment: &'a [u8],
        init: &'a InitSegment,
        states: &'a mut [TrackState],
        damage: DamageLog,
    ) -> Result<Self, LimitExceeded> {
        let len = segment.len() as u64;
        let builder = |(track, state): (&InitTrack, &TrackState)| {
            let timing = TrackTiming::Exact {
                timescale: track.out_timescale,
            };
            let prefixed = is_prefixed(track);
            let (id, kind) = (track.id, track.kind);
            let mut builder = TrackBuilder::new(id, kind, timing, len, STRIDE, prefixed, limits)?;
            builder.set_language(track.language);
            // So that a track whose samples are all in other segments is known, too.
            let known = state
                .entries
                .first()
                .and_then(|(config, _)| config.as_ref());
            if let Some(config) = known {
                builder.config(config)?;
            }
            Ok(builder)
        };
        let builders = init.tracks.iter().zip(states.iter()).map(builder);
        Ok(Self {
            limits,
            segment,
            init,
            builders: builders.collect::<Result<_, LimitExceeded>>()?,
            states,
            damage,
            file: None,
            data: Vec::new(),
            bytes_left: len,
            samples_left: limits.samples as u64,
        })
    }

    /// Where the offsets of a track fragment count from: of several places that may be meant, the first
    /// from which all of its samples lie in media data. Where there is none it is not guessed at.
    fn base(
        &self,
        traf: &BoxAt<'_>,
        header: &Header,
        moof: u64,
        last: Option<u64>,
        track: Option<usize>,
    ) -> u64 {
        let bases = header.bases(moof, last, self.file);
        if header.is_sure() {
            return bases.first().copied().unwrap_or(moof);
        }
        let track = track.and_then(|number| self.init.tracks.get(number));
        let defaults = header.defaults(track.map_or_else(Defaults::default, |t| t.defaults));
        let fits = |base: &u64| {
            let places = places(traf, defaults, *base);
            places.is_some_and(|places| {
                let mut places = places.iter();
                places.all(|place| self.data.iter().any(|data| data.holds(place)))
            })
        };
        bases.into_iter().find(fits).unwrap_or(NOWHERE)
    }

    fn fragment(&mut self, moof: &BoxAt<'_>) -> Result<(), ReadError> {
        let mut last = None;
        for traf in moof.children(0).filter(|one| one.kind == *b"traf") {
            let header = Header::of(&traf)?;
            let track = self.init.tracks.iter().position(|t| t.id == header.track);
            let base = self.base(&traf, &header, moof.offset, last, track);
            last = match track {
                Some(track) => self.track_fragment(&traf, &header, base, track)?,
                None => skipped_end(&traf, &header, base)?,
            }
            .or(last);
        }
        Ok(())
    }

    /// Takes the samples of one track fragment; gives where its data ends.
    fn track_fragment(
        &mut self,
        traf: &BoxAt<'_>,
        header: &Header,
        base: u64,
        number: usize,
    ) -> Result<Option<u64>, ReadError> {
        let (Some(track), Some(state)) =
            (self.init.tracks.get(number), self.states.get_mut(number))
        else {
            return Ok(None);
        };
        if let Some(time) = decode_time(traf)? {
            let time = i64::try_from(time)
                .ok()
                .filter(|&time| is_near(time, track));
            let time = time.ok_or_else(|| far(traf))?;
            state.next = Some(time);
        }
        let mut time = state.next.unwrap_or(0);
        let defaults = header.defaults(track.defaults);
        let mut at = base;
        let mut ends = None;
        for trun in traf.children(0).filter(|one| one.kind == *b"trun") {
            let run = Run::of(&trun, defaults)?;
            let count = run.len();
            LimitExceeded::check("samples of a segment", count, self.samples_left)?;
            self.samples_left = self.samples_left.saturating_sub(count);
            if let Some(offset) = run.data_offset {
                at = base.saturating_add_signed(offset.into());
            }
            let entry = defaults
                .description
                .checked_sub(1)
                .map(|entry| entry as usize);
            (at, time) = self.run(&trun, run, RunEntry { number, entry }, at, time)?;
            ends = Some(at);
        }
        if let Some(state) = self.states.get_mut(number) {
            state.next = Some(time);
        }
        Ok(ends)
    }

    /// Takes the samples of one run; gives where its data ends, and when.
    fn run(
        &mut self,
        trun: &BoxAt<'_>,
        run: Run<'_>,
        place: RunEntry,
        start: u64,
        mut time: i64,
    ) -> Result<(u64, i64), ReadError> {
        let Some(track) = self.init.tracks.get(place.number) else {
            return Ok((start, time));
        };
        let entry = place.entry.and_then(|entry| track.entries.get(entry));
        let carried = match entry {
            None => return Err(trun.error("moof/traf/tfhd", "names no sample entry")),
            Some(Ok(entry)) => Some(entry),
            Some(Err(_)) => None,
        };
        let mut at = start;
        let mut cut = false;
        for listed in run {
            let range = at..at.saturating_add(listed.size.into());
            at = range.end;
            let begins = time;
            time = time.saturating_add(listed.duration.into());
            if cut || listed.size == 0 || carried.is_none() {
                continue;
            }
            if range.end > self.segment.len() as u64 {
                truncated(&mut self.damage, range.start.min(self.segment.len() as u64));
                cut = true;
                continue;
            }
            let spent = self.bytes_left.checked_sub(listed.size.into());
            let overlap = "lists samples that lie on top of each other";
            self.bytes_left = spent.ok_or_else(|| trun.error("moof/traf/trun", overlap))?;
            if !is_near(begins, track) {
                return Err(far(trun));
            }
            self.sample(place, range, begins, &listed)?;
        }
        Ok((at, time))
    }

    /// Takes one sample, whose bytes are known to be there.
    fn sample(
        &mut self,
        place: RunEntry,
        range: Range<u64>,
        time: i64,
        listed: &Listed,
    ) -> Result<(), ReadError> {
        let number = place.number;
        let entry_number = place.entry.unwrap_or_default();
        let (Some(track), Some(state), Some(builder)) = (
            self.init.tracks.get(number),
            self.states.get_mut(number),
            self.builders.get_mut(number),
        ) else {
            return Ok(());
        };
        let Some(Ok(entry)) = track.entries.get(entry_number) else {
            return Ok(());
        };
        let Some((config, sets)) = state.entries.get_mut(entry_number) else {
            return Ok(());
        };
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = self.segment.get(index(range.start)..index(range.end));
        let bytes = bytes.unwrap_or_default();

        let flagged = listed.flags & 0x1_0000 == 0;
        let (mut access, mut leading) = match track.kind {
            TrackKind::Audio | TrackKind::Text => (RandomAccess::Closed, Leading::No),
            TrackKind::Video if flagged => (RandomAccess::Closed, Leading::No),
            TrackKind::Video => (RandomAccess::None, Leading::No),
        };
        let mut nals: Option<Vec<Nal>> = None;
        if let Some(format) = entry.nal {
            let found = format.nals(bytes).unwrap_or_else(|found| {
                truncated(&mut self.damage, range.start);
                found
            });
            (access, leading) = format.codec.random_access(bytes, &found, flagged);
            if format.in_band {
                let mut changed = false;
                for nal in &found {
                    let nal = bytes.get(nal.clone()).unwrap_or_default();
                    if nal.len() <= self.limits.parameter_set_bytes
                        && format.codec.is_parameter_set(nal)
                    {
                        changed |= sets.put(format.codec, nal).unwrap_or_else(|| {
                            self.damage.push(Damage {
                                offset: range.start,
                                pid: None,
                                kind: DamageKind::BadParameterSet,
                            });
                            false
                        });
                    }
                }
                if changed && let Some(mut new) = sets.config(format.codec) {
                    if let Some(video) = new.video_mut() {
                        video.fill(&entry.stated);
                    }
                    *config = Some(Arc::new(new));
                }
            }
            nals = is_prefixed(track).then(|| {
                let kept = |nal: &Nal| {
                    let nal = bytes.get(nal.clone()).unwrap_or_default();
                    !(format.in_band && format.codec.is_parameter_set(nal))
                };
                found.into_iter().filter(kept).collect()
            });
        }
        if nals.as_ref().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        let Some(config) = config.clone() else {
            // Nothing can be decoded before the first parameter sets.
            truncated_config(&mut self.damage, range.start);
            return Ok(());
        };

        let times = Times::of(track, time, listed);
        if leading == Leading::No && track.kind == TrackKind::Video {
            leading = state.leading(listed.flags, access, times.pts());
        }
        let config = builder.config(&config)?;
        let start = builder.position();
        builder.push_piece(range.start, bytes.len())?;
        match nals {
            None => builder.push_unit(start..start.saturating_add(bytes.len() as u64))?,
            Some(nals) => {
                for nal in nals {
                    let from = start.saturating_add(nal.start as u64);
                    builder.push_unit(from..start.saturating_add(nal.end as u64))?;
                }
            }
        }
        builder.push_sample(Sample {
            dts: times.dts,
            composition_offset: times.composition_offset,
            duration: times.duration,
            size: 0,
            config,
            random_access: access,
            leading,
        })?;
        Ok(())
    }

    fn finish(self) -> SegmentIndex {
        let tracks = self.builders.into_iter().map(TrackBuilder::finish);
        let known = |track: &TrackIndex| !track.samples().is_empty() || !track.configs().is_empty();
        let mut tracks: Vec<_> = tracks.filter(known).collect();
        // As in every other container: pictures first.
        tracks.sort_by_key(|track| track.kind() != TrackKind::Video);
        SegmentIndex {
            segment_len: self.segment.len() as u64,
            tracks,
            events: Vec::new(),
            service: None,
            declined: self.init.declined.clone(),
            notes: Vec::new(),
            left_scrambled: false,
            damage: self.damage,
            lacks_parameter_sets: false,
        }
    }
}

/// Which track and sample entry a run is of.
#[derive(Debug, Clone, Copy)]
struct RunEntry {
    number: usize,
    entry: Option<usize>,
}

/// The times of one sample, as they are told.
struct Times {
    dts: i64,
    composition_offset: i32,
    duration: u32,
}

impl Times {
    fn of(track: &InitTrack, time: i64, listed: &Listed) -> Self {
        let duration = i64::from(listed.duration);
        let known = duration <= LONGEST.saturating_mul(track.timescale.into());
        let duration = if known { duration } else { 0 };
        let moved = |time: i64| rescale(time.saturating_add(track.shift), track);
        let dts = moved(time);
        let pts = moved(time.saturating_add(listed.composition_offset.into()));
        let end = moved(time.saturating_add(duration));
        let offset = pts.saturating_sub(dts);
        Self {
            dts,
            composition_offset: i32::try_from(offset).unwrap_or_default(),
            duration: u32::try_from(end.saturating_sub(dts)).unwrap_or_default(),
        }
    }

    fn pts(&self) -> i64 {
        self.dts.saturating_add(self.composition_offset.into())
    }
}

impl TrackState {
    /// Whether a picture leads the random access point before it: as its flags say (8.8.3.1), else
    /// by when it is presented.
    fn leading(&mut self, flags: u32, access: RandomAccess, pts: i64) -> Leading {
        match access {
            RandomAccess::None => {}
            RandomAccess::Open => {
                self.open = Some(pts);
                return Leading::No;
            }
            _ => {
                self.open = None;
                return Leading::No;
            }
        }
        let precedes = self.open.is_some_and(|open| pts < open);
        if !precedes {
            self.open = None;
        }
        match (flags >> 26) & 3 {
            1 => Leading::Skipped,
            3 => Leading::Decodable,
            0 if precedes => Leading::Skipped,
            _ => Leading::No,
        }
    }
}

/// Whether samples of a track are taken apart into NAL units.
fn is_prefixed(track: &InitTrack) -> bool {
    let mut formats = track.entries.iter().flatten().filter_map(|entry| entry.nal);
    formats.any(|format| !format.is_plain())
}

/// Whether a time, with its shift, is one that arithmetic has room for.
fn is_near(time: i64, track: &InitTrack) -> bool {
    let limit = FARTHEST.saturating_mul(track.timescale.into());
    let range = limit.saturating_neg()..=limit;
    range.contains(&time) && range.contains(&time.saturating_add(track.shift))
}

fn far(at: &BoxAt<'_>) -> ReadError {
    at.error("moof/traf", "has a decode time more than 136 years away")
}

fn truncated_config(damage: &mut DamageLog, offset: u64) {
    damage.push(Damage {
        offset,
        pid: None,
        kind: DamageKind::BadParameterSet,
    });
}

fn rescale(time: i64, track: &InitTrack) -> i64 {
    let (from, to) = (i128::from(track.timescale), i128::from(track.out_timescale));
    if from == to {
        return time;
    }
    let scaled = i128::from(time).saturating_mul(to).checked_div(from);
    i64::try_from(scaled.unwrap_or_default()).unwrap_or(i64::MAX)
}

/// Where the data of a track fragment ends that is not carried: the next one may begin there.
fn skipped_end(traf: &BoxAt<'_>, header: &Header, base: u64) -> Result<Option<u64>, ReadError> {
    let mut at = base;
    let mut ends = None;
    for trun in traf.children(0).filter(|one| one.kind == *b"trun") {
        let run = Run::of(&trun, header.defaults(Defaults::default()))?;
        if let Some(offset) = run.data_offset {
            at = base.saturating_add_signed(offset.into());
        }
        let sizes = run.take(1 << 20).map(|listed| u64::from(listed.size));
        at = at.saturating_add(sizes.fold(0, u64::saturating_add));
        ends = Some(at);
    }
    Ok(ends)
}
