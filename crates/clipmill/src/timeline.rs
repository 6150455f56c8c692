//! Consecutive segments laid on one continuous line of time.
//!
//! A demuxer gives timestamps that no longer wrap; what they may still do is jump: at an
//! `EXT-X-DISCONTINUITY`, when an encoder restarts, when segments are missing. A [`Timeline`] finds
//! for every stretch of samples the shift that makes the whole continuous, the same for all tracks,
//! so that sound and picture keep their offset.
//!
//! Instants on the line are [`Ticks`]: 90 kHz, and as the first segment has them.

mod clocks;
mod cut_off;
mod dates;
mod events;
mod pieces;
mod repeats;
mod samples;
mod strays;
mod ticks;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clipmill_media::{
    CLOCK_90K, Language, SegmentIndex, TimedEvent, TrackIndex, TrackKind, TrackTiming,
};
use clipmill_playlist::{ByteRange, Location};

pub(crate) use self::dates::{DatedSegment, place};
pub(crate) use self::events::events_of;
use self::pieces::{Runs, UnplacedStretch, first_head, pieces};
pub(crate) use self::repeats::Comparison;
pub(crate) use self::samples::LineSample;
pub use self::ticks::{Ticks, duration_ticks};
pub(crate) use self::ticks::{from_ticks, rescale, ticks_between, to_ticks};
use crate::decrypt::SegmentKey;
use crate::source::SegmentSource;

/// A forward step that no missing segment explains is taken for a jump from here on. Live sources
/// stall for seconds and go on in real time; ten seconds is where other tools draw the line too.
const JUMP_FORWARD: Ticks = 10 * CLOCK_90K as Ticks;

/// Durations in playlists are rounded: a step that leads to within this of where the playlist says is no
/// jump, however long it is.
const EXPLAINED: Ticks = CLOCK_90K as Ticks;

/// Sound may overlap what came before by this much and still be the same stretch: encoders repeat
/// a frame at a segment's edge.
const OVERLAP: Ticks = CLOCK_90K as Ticks / 2;

/// More pictures than any decoder holds back.
const REORDERED: Ticks = 17;

/// Tracks whose new stretches begin within this of each other jumped together.
const TOGETHER: Ticks = 5 * CLOCK_90K as Ticks;

/// Timestamps of MPEG-TS wrap here.
pub(crate) const WRAP: Ticks = 1 << 33;

/// What is known of a segment besides its media.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentInfo {
    /// Where it is found.
    pub location: Location,
    /// Which bytes of that; all by default.
    pub byte_range: Option<ByteRange>,
    /// What it is encrypted with; it is decrypted each time that it is read.
    pub key: Option<Arc<SegmentKey>>,
    /// Whether `sequence` is a media sequence number that a person may know.
    pub in_playlist: bool,
    /// Media sequence number (RFC 8216, 3).
    pub sequence: u64,
    /// `EXTINF`, in 90 kHz ticks; 0 when unknown.
    pub duration: Ticks,
    /// The instant at which its first video frame in decode order is presented (its first sample where
    /// there is no video), from `EXT-X-PROGRAM-DATE-TIME`.
    pub start_time: Option<DateTime<Utc>>,
    /// `EXT-X-DISCONTINUITY` stands before it.
    pub discontinuity: bool,
    /// Length of the segments missing between it and the one pushed before it, in 90 kHz ticks.
    pub missing_before: Ticks,
}

/// Where the line does not simply follow the timestamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The segment, by its number on the timeline, in which the new stretch begins.
    pub segment: u64,
    /// Where on the line it begins.
    pub at: Ticks,
    /// Why.
    pub cause: JoinCause,
}

/// Why a [`Join`] was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinCause {
    /// The playlist said so.
    Tagged,
    /// Timestamps jumped without a word.
    Jump,
}

/// What is to be said of a segment on a [`Timeline`] besides what its index says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The segment, by its number on the timeline.
    pub segment: u64,
    /// What is to be said.
    pub kind: RemarkKind,
}

/// The kinds of [`Remark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemarkKind {
    /// A track shares no clock with the leading one. From this segment on it is moved, so that both
    /// begin together.
    OtherClock {
        /// What the track holds.
        kind: TrackKind,
        /// By how much its timestamps are behind those of the leading track, in 90 kHz ticks; less
        /// than 0 where they are ahead.
        behind: Ticks,
    },
    /// Samples whose timestamps lay far from those of their neighbours, which follow each other, are where
    /// their neighbours are.
    Stray {
        /// What the track holds.
        kind: TrackKind,
        /// How many.
        samples: u64,
    },
    /// Access units that were on the line already, byte for byte at the same timestamps, are left out.
    Repeated {
        /// How many pictures.
        pictures: u64,
        /// How many frames of sound.
        sounds: u64,
    },
}

impl RemarkKind {
    /// Whether the media is not what it should be.
    #[must_use]
    pub fn is_damage(self) -> bool {
        match self {
            Self::OtherClock { .. } | Self::Stray { .. } => true,
            Self::Repeated { .. } => false,
        }
    }
}

/// Samples of one track of one segment that share a shift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Which of the timeline's tracks they belong to.
    pub(crate) track: usize,
    /// Which of the segment's tracks they are found in.
    pub(crate) local: usize,
    /// Which samples of that track.
    pub(crate) samples: Range<usize>,
    /// What to add to their timestamps, in the track's own clock.
    pub(crate) shift: i64,
    /// Their least and greatest presentation timestamp on the line, in the track's own clock: what
    /// they say of all of the samples need not be asked of each.
    pub(crate) pts: (i64, i64),
}

/// A segment on the line.
#[derive(Debug, Clone)]
pub struct PlacedSegment {
    /// Counts the segments pushed, from 0.
    pub number: u64,
    /// What is known of it.
    pub info: SegmentInfo,
    /// Where its samples lie.
    pub index: Arc<SegmentIndex>,
    /// Presentation time of the first sample in decode order of the leading track, which
    /// `EXT-X-PROGRAM-DATE-TIME` dates (RFC 8216, 4.3.2.6); `None` when the segment has no sample of
    /// it. Leading pictures of an open group are presented earlier.
    pub first_presented: Option<Ticks>,
    pub(crate) stretches: Vec<Stretch>,
}

/// A track of the whole timeline.
#[derive(Debug, Clone)]
pub(crate) struct LineTrack {
    pub(crate) kind: TrackKind,
    pub(crate) language: Language,
    pub(crate) timing: TrackTiming,
    /// PID or track identifier in the segment last seen.
    pub(crate) id: u32,
    /// Which of the stream's playlists it comes from.
    source: usize,
    /// End of the last sample in presentation order.
    end: Option<Ticks>,
    /// Decoding timestamp of the last sample.
    last_dts: Ticks,
    /// Duration of the last sample whose duration is known.
    last_duration: Ticks,
    /// What is added to its timestamps, as they do not share the clock of the leading track.
    apart: Ticks,
}

/// Segments on one continuous line of time.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    segments: VecDeque<PlacedSegment>,
    tracks: Vec<LineTrack>,
    joins: Vec<Join>,
    remarks: Vec<Remark>,
    shift: Ticks,
    /// Where the playlist with the pictures says that the last segment ends.
    due: Option<Ticks>,
    pushed: u64,
    /// What to add to the timestamps of each playlist's segments.
    offsets: Vec<Option<Ticks>>,
    /// What is said of the tracks of each playlist but the first.
    labels: Vec<Label>,
}

/// What a playlist says of the tracks in another one.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) language: Language,
    /// Players show it without being asked.
    pub(crate) default: bool,
}

/// A segment that is pushed beside others.
#[derive(Debug)]
pub(crate) struct PushedSegment {
    /// Which of the stream's playlists it comes from: 0 for the one with the pictures.
    pub(crate) source: usize,
    pub(crate) info: SegmentInfo,
    pub(crate) index: Arc<SegmentIndex>,
}

impl PushedSegment {
    /// A segment of the first playlist.
    pub(crate) fn first(info: SegmentInfo, index: Arc<SegmentIndex>) -> Self {
        Self {
            source: 0,
            info,
            index,
        }
    }
}

impl LineTrack {
    /// Which of the stream's playlists it comes from: 0 for the one with the pictures.
    pub(crate) fn source(&self) -> usize {
        self.source
    }
}

impl Timeline {
    /// An empty line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The segments on the line, oldest first.
    #[must_use]
    pub fn segments(&self) -> &VecDeque<PlacedSegment> {
        &self.segments
    }

    /// The timed metadata of a segment, by its number, with its times on the line; nothing where the segment is gone.
    #[must_use]
    pub fn events(&self, number: u64) -> Vec<TimedEvent> {
        let at = self.position(number);
        let segment = at.and_then(|at| self.segments.get(at));
        let found = segment.map(|segment| events_of(self, segment, 0).collect());
        found.unwrap_or_default()
    }

    /// Where timestamps jumped, oldest first.
    #[must_use]
    pub fn joins(&self) -> &[Join] {
        &self.joins
    }

    /// What is to be said of the segments, oldest first.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// An empty line of a stream whose sound is in further playlists, which these are.
    pub(crate) fn with_labels(labels: Vec<Label>) -> Self {
        Self {
            labels,
            ..Self::default()
        }
    }

    /// What is said of a track, if it is of a further playlist.
    pub(crate) fn label(&self, track: &LineTrack) -> Option<&Label> {
        self.labels.get(track.source.checked_sub(1)?)
    }

    pub(crate) fn tracks(&self) -> &[LineTrack] {
        &self.tracks
    }

    /// The track that decides where a clip may begin: the first with pictures, else the first.
    pub(crate) fn leading_track(&self) -> Option<usize> {
        let video = self
            .tracks
            .iter()
            .position(|track| track.kind == TrackKind::Video);
        video.or(if self.tracks.is_empty() {
            None
        } else {
            Some(0)
        })
    }

    /// End of the last frame of the leading track: the live edge.
    #[must_use]
    pub fn end(&self) -> Option<Ticks> {
        self.tracks.get(self.leading_track()?)?.end
    }

    /// Up to where every track has come: what lies before is complete, as the samples of a track
    /// follow one another. A track that stopped ten seconds before the others is not waited for.
    #[must_use]
    pub fn complete_until(&self) -> Option<Ticks> {
        let latest = self.latest_end()?;
        let ends = self.tracks.iter().filter_map(|track| track.end);
        ends.filter(|end| latest - end <= JUMP_FORWARD).min()
    }

    /// Forgets the segments whose number is less than `number`.
    pub fn forget_before(&mut self, number: u64) {
        while self.segments.front().is_some_and(|s| s.number < number) {
            self.segments.pop_front();
        }
        self.joins.retain(|join| join.segment >= number);
        self.remarks.retain(|remark| remark.segment >= number);
    }

    /// The bytes of the segment `number` lie elsewhere from now on, in a file of their own.
    pub fn relocate(&mut self, number: u64, location: Location) {
        let at = self.position(number);
        if let Some(segment) = at.and_then(|at| self.segments.get_mut(at)) {
            segment.info.location = location;
            segment.info.byte_range = None;
            segment.info.key = None;
        }
    }

    /// The segment `number`, as long as the first one still is `front`: places on the line count from there.
    pub(crate) fn unmoved(&self, front: u64, number: u64) -> Option<&PlacedSegment> {
        let first = self.segments.front()?.number;
        let at = self.position(number).filter(|_| first == front)?;
        self.segments.get(at)
    }

    /// The position in [`segments`](Self::segments) of the segment `number`.
    pub(crate) fn position(&self, number: u64) -> Option<usize> {
        let first = self.segments.front()?.number;
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        (at < self.segments.len()).then_some(at)
    }

    /// Gives away where the samples of a segment lie, and keeps of its index what it takes to
    /// choose among them.
    pub(crate) fn forget_places(
        &mut self,
        number: u64,
    ) -> Option<(SegmentInfo, Arc<SegmentIndex>)> {
        let at = self.position(number)?;
        let segment = self.segments.get_mut(at)?;
        let without = Arc::new(segment.index.without_places());
        let index = std::mem::replace(&mut segment.index, without);
        Some((segment.info.clone(), index))
    }

    /// Adds the segment that follows.
    pub fn push(&mut self, info: SegmentInfo, index: Arc<SegmentIndex>) -> &PlacedSegment {
        self.push_parts(vec![PushedSegment::first(info, index)], None);
        &self.segments[self.segments.len() - 1]
    }

    /// Adds the segment that follows, save what of it is on the line already: access units that repeat
    /// others byte for byte at the same timestamps, without an `EXT-X-DISCONTINUITY` between them.
    /// `bytes` are those of the segment, where they are at hand; `source` reads what is missing, and
    /// segments on the line, where timestamps go back to what they hold.
    pub fn push_once(
        &mut self,
        info: SegmentInfo,
        index: Arc<SegmentIndex>,
        bytes: Option<bytes::Bytes>,
        source: &dyn SegmentSource,
    ) -> &PlacedSegment {
        let mut comparison = Comparison::new(source, bytes);
        self.push_parts(
            vec![PushedSegment::first(info, index)],
            Some(&mut comparison),
        );
        &self.segments[self.segments.len() - 1]
    }

    /// Adds the segments of several playlists that cover the same time: what jumps, jumps in all of
    /// them, and is shifted alike. The first one tells of discontinuities and missing segments. Gives
    /// the number of the first one.
    pub(crate) fn push_together(&mut self, parts: Vec<PushedSegment>) -> u64 {
        self.push_parts(parts, None)
    }

    /// The same, save what of them is on the line already: see [`push_once`](Self::push_once).
    pub(crate) fn push_together_once(
        &mut self,
        parts: Vec<PushedSegment>,
        comparison: &mut Comparison<'_>,
    ) -> u64 {
        self.push_parts(parts, Some(comparison))
    }

    fn push_parts(
        &mut self,
        mut parts: Vec<PushedSegment>,
        comparison: Option<&mut Comparison<'_>>,
    ) -> u64 {
        self.leave_out_cut_off(&mut parts);
        let number = self.pushed;
        let Some(first) = parts.first() else {
            return number;
        };
        // Before the first one there is nothing that it could be missing from.
        let missing = if number > 0 {
            first.info.missing_before
        } else {
            0
        };
        let mut tagged = first.info.discontinuity && number > 0;
        self.pushed += parts.len() as u64;
        let mut runs = self.runs(&parts);
        if let Some(comparison) = comparison
            && !tagged
            && number > 0
        {
            self.leave_out_repeated(&mut runs, &parts, missing, comparison);
        }
        self.share_clock(&mut runs, number);
        self.move_strays(&mut runs, number);
        let mut stretches: Vec<Vec<Stretch>> = vec![Vec::new(); parts.len()];
        let edge = self.latest_end().or(first_head(&runs));
        loop {
            if !tagged {
                for run in &mut runs {
                    while run.next().is_some() && self.fits(run, edge, missing) {
                        stretches[run.part].push(self.place(run, &parts));
                    }
                }
            }
            if runs.iter().all(|run| run.next().is_none()) {
                break;
            }
            let join = self.join(&runs, tagged, missing);
            self.joins.extend(join.map(|(at, cause)| Join {
                segment: number,
                at,
                cause,
            }));
            self.place_heads(&mut runs, &parts, &mut stretches);
            tagged = false;
        }
        let own = number;
        for ((part, mut stretches), number) in parts.into_iter().zip(stretches).zip(number..) {
            stretches.sort_by_key(|stretch| (stretch.track, stretch.samples.start));
            let first_presented = self.first_presented(&part.index, &stretches);
            if number == own {
                let duration = Some(part.info.duration).filter(|duration| *duration > 0);
                let begins = first_presented.or(self.due.map(|due| due + missing));
                self.due = begins.zip(duration).map(|(begins, lasts)| begins + lasts);
            }
            self.segments.push_back(PlacedSegment {
                number,
                info: part.info,
                index: part.index,
                first_presented,
                stretches,
            });
        }
        number
    }

    /// Splits each track of some segments where its own timestamps jump.
    fn runs(&mut self, parts: &[PushedSegment]) -> Vec<Runs> {
        let mut all: Vec<Runs> = Vec::new();
        for (
            part,
            PushedSegment {
                source,
                index,
                info,
                ..
            },
        ) in parts.iter().enumerate()
        {
            let mut taken = Vec::new();
            let offset = self.offset(*source, index, &all);
            for (local, track) in index.tracks.iter().enumerate() {
                if track.samples().is_empty() {
                    continue;
                }
                let line_track = self.line_track(*source, track, &taken);
                taken.push(line_track);
                let offset = offset + self.tracks[line_track].apart;
                let mut pieces = pieces(track, info.duration);
                for piece in &mut pieces {
                    piece.move_by(offset);
                }
                all.push(Runs {
                    track: line_track,
                    part,
                    local,
                    pieces,
                    at: 0,
                    offset,
                });
            }
        }
        all
    }

    /// What to add to the timestamps of a playlist. Those of MPEG-TS are unrolled in each by itself:
    /// two that begin on either side of the wrap are a whole turn apart.
    fn offset(&mut self, source: usize, index: &SegmentIndex, others: &[Runs]) -> Ticks {
        if let Some(&Some(offset)) = self.offsets.get(source) {
            return offset;
        }
        let heads = index.tracks.iter().filter(|t| !t.samples().is_empty());
        let own = heads
            .map(|track| UnplacedStretch::new(track, 0..1).first_pts)
            .min();
        let Some(own) = own else { return 0 };
        let offset = match first_head(others) {
            Some(other) if source > 0 => (other - own + WRAP / 2).div_euclid(WRAP) * WRAP,
            _ => 0,
        };
        if self.offsets.len() <= source {
            self.offsets.resize(source + 1, None);
        }
        self.offsets[source] = Some(offset);
        offset
    }

    /// The track of the line that continues in `track`: the one with its identifier, else the
    /// first of its kind (and language, if one has it) that nothing else in the segment claims.
    fn line_track(&mut self, source: usize, track: &TrackIndex, taken: &[usize]) -> usize {
        let free = |at: &usize, known: &LineTrack| {
            !taken.contains(at)
                && known.source == source
                && known.kind == track.kind()
                && known.timing == track.timing()
        };
        let candidates = || self.tracks.iter().enumerate().filter(|(at, t)| free(at, t));
        let found = candidates()
            .find(|(_, known)| known.id == track.id())
            .or_else(|| candidates().find(|(_, known)| known.language == track.language()))
            .or_else(|| candidates().next())
            .map(|(at, _)| at);
        if let Some(at) = found {
            self.tracks[at].id = track.id();
            return at;
        }
        self.tracks.push(LineTrack {
            kind: track.kind(),
            language: track.language(),
            timing: track.timing(),
            id: track.id(),
            source,
            end: None,
            last_dts: Ticks::MIN,
            last_duration: 0,
            apart: 0,
        });
        self.tracks.len() - 1
    }

    /// Whether the next piece of a run may follow with the present shift. `edge` is where the line
    /// ended before this segment, or where the first segment begins.
    fn fits(&self, run: &Runs, edge: Option<Ticks>, missing: Ticks) -> bool {
        let (Some(piece), Some(edge)) = (run.next(), edge) else {
            return false;
        };
        let track = &self.tracks[run.track];
        let missing = if run.at == 0 { missing } else { 0 };
        let slack = JUMP_FORWARD.max(missing / 2);
        let start = piece.first_pts + self.shift;
        let reach = self.latest_end().unwrap_or(edge).max(edge + missing) + slack;
        let Some(end) = track.end else {
            // A track that appears late, beside others that go on.
            return (edge + missing - TOGETHER..=reach).contains(&start);
        };
        let explained = |due: Ticks| run.at == 0 && (start - due - missing).abs() <= EXPLAINED;
        let near = start <= end + missing + slack || self.due.is_some_and(explained);
        // A track that paused while others went on comes back where they are.
        let together = start >= edge + missing - TOGETHER && start <= reach;
        let pictures = track.kind == TrackKind::Video;
        let decodes = piece.first_dts + self.shift > track.last_dts;
        let early = if missing > 0 {
            slack.min(missing)
        } else if pictures {
            // Pictures go on in the order of decoding: a segment may begin with some that are shown
            // before the last ones of the segment before, however long they last.
            OVERLAP.max(REORDERED * track.last_duration)
        } else {
            OVERLAP
        };
        // Where they simply go on being shown, when they are decoded makes no difference.
        let seamless = (start - end).abs() * 2 <= track.last_duration;
        let in_order = !pictures || decodes || missing == 0 && seamless;
        in_order && start >= end + missing - early && (near || together)
    }

    /// Up to where the track has come that has come furthest.
    #[must_use]
    pub fn latest_end(&self) -> Option<Ticks> {
        self.tracks.iter().filter_map(|track| track.end).max()
    }

    /// Chooses the shift of a new stretch, for all tracks that jump here. Says where it begins,
    /// unless the timestamps simply go on.
    fn join(&mut self, runs: &[Runs], tagged: bool, missing: Ticks) -> Option<(Ticks, JoinCause)> {
        let first = first_head(runs)?;
        let missing_before = |run: &Runs| if run.at == 0 { missing } else { 0 };
        let heads = runs.iter().filter_map(|run| Some((run, run.next()?)));
        let together = heads.filter(|(_, piece)| piece.first_pts - first <= TOGETHER);
        let after_own = together.filter_map(|(run, piece)| {
            let track = &self.tracks[run.track];
            let by_pts = track.end? + missing_before(run) - piece.first_pts;
            let by_dts = (track.last_dts + 1) - piece.first_dts;
            Some(match track.kind {
                TrackKind::Video => by_pts.max(by_dts),
                TrackKind::Audio | TrackKind::Text => by_pts,
            })
        });
        let after_all = || self.latest_end().map(|end| end + missing - first);
        let shift = after_own.max().or_else(after_all).unwrap_or(self.shift);
        let moved = shift != self.shift;
        self.shift = shift;
        match (tagged, moved) {
            (true, _) => Some((first + shift, JoinCause::Tagged)),
            (false, true) => Some((first + shift, JoinCause::Jump)),
            (false, false) => None,
        }
    }

    /// Puts the next pieces that begin together on the line.
    fn place_heads(
        &mut self,
        runs: &mut [Runs],
        parts: &[PushedSegment],
        stretches: &mut [Vec<Stretch>],
    ) {
        let Some(first) = first_head(runs) else {
            return;
        };
        for run in runs {
            if run
                .next()
                .is_some_and(|piece| piece.first_pts - first <= TOGETHER)
            {
                stretches[run.part].push(self.place(run, parts));
            }
        }
    }

    /// Puts the next piece of a run on the line with the present shift.
    fn place(&mut self, run: &mut Runs, parts: &[PushedSegment]) -> Stretch {
        let piece = run.pieces[run.at].clone();
        run.at += 1;
        let local = &parts[run.part].index.tracks[run.local];
        let track = &mut self.tracks[run.track];
        track.last_duration = piece.last_duration.unwrap_or(track.last_duration);
        track.last_dts = piece.last_dts + self.shift;
        let end = piece.last_pts + self.shift + track.last_duration;
        // Sound that overlaps does not move the end of the line back.
        track.end = Some(track.end.map_or(end, |before| before.max(end)));
        let shift = from_ticks(
            self.shift + run.offset + piece.stray,
            local.timing().clock(),
        );
        Stretch {
            track: run.track,
            local: run.local,
            samples: piece.samples,
            shift,
            pts: (piece.own_pts.0 + shift, piece.own_pts.1 + shift),
        }
    }

    /// `stretches` are in order.
    fn first_presented(&self, index: &SegmentIndex, stretches: &[Stretch]) -> Option<Ticks> {
        let leading = self.leading_track()?;
        let stretch = stretches.iter().find(|s| s.track == leading)?;
        let track = &index.tracks[stretch.local];
        let first = track.samples().get(stretch.samples.start)?;
        Some(to_ticks(
            first.pts() + stretch.shift,
            track.timing().clock(),
        ))
    }

    /// Whether segments are missing between two instants of the line.
    pub(crate) fn is_missing_between(&self, from: Ticks, to: Ticks) -> bool {
        self.segments.iter().any(|segment| {
            let at = segment.first_presented;
            segment.info.missing_before > 0 && at.is_some_and(|at| from < at && at <= to)
        })
    }

    /// Where on the line a segment presents its first frame, and that frame's timestamp as the
    /// segment has it.
    pub(crate) fn anchor(&self, number: u64) -> Option<(Ticks, Ticks)> {
        let segment = self.segments.get(self.position(number)?)?;
        let lead = self.leading_track()?;
        let first = segment.stretches.iter().find(|one| one.track == lead)?;
        let line = segment.first_presented?;
        let shift = to_ticks(first.shift, self.tracks[lead].timing.clock());
        Some((line, line - shift))
    }

    /// Where on the line the segment of this number presents its first frame; the next one that has
    /// a frame, where it has none.
    pub(crate) fn at_number(&self, number: u64) -> Option<Ticks> {
        let from = self.segments.iter().filter(|s| s.number >= number);
        from.filter_map(|segment| segment.first_presented).next()
    }

    /// Where on the line the segment with this media sequence number presents its first frame;
    /// the next one that has a frame, where it has none.
    #[must_use]
    pub fn at_sequence(&self, sequence: u64) -> Option<Ticks> {
        let from = self.segments.iter().filter(|s| s.info.sequence >= sequence);
        from.filter_map(|segment| segment.first_presented).next()
    }
}

#[cfg(test)]
mod tests;
