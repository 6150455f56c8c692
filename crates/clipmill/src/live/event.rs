//! What happens to a recorder, and what it wants done.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clipmill_media::SegmentIndex;
use clipmill_playlist::{ByteRange, Location};

use super::boundary::Boundary;
use super::listing::{Listed, Listing, Version};
use super::request::{ClipId, Refusal, Window};
use super::taken_segment::{TakenSegment, version_of};
use crate::cut::{Bounds, Cut};
use crate::decrypt::SegmentKey;
use crate::timeline::{Ticks, Timeline};

/// When something happens: by a clock that only goes forward, and by the one on the wall, which may
/// jump and is asked only for media that nothing else dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since any instant, always the same one.
    pub elapsed: Duration,
    /// The time of day.
    pub wall: DateTime<Utc>,
}

/// A segment, for as long as the recorder lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

/// Something that was asked for and is answered with [`Event::Done`] or [`Event::Failed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(pub(super) u64);

/// A session, also over restarts. Later ones are greater.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// As it is written down.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A session that begins now with this sequence number, later than the `latest` one even when the
    /// clock was set back since.
    #[must_use]
    pub fn new(first_sequence: u64, latest: Option<&Self>, now: DateTime<Utc>) -> Self {
        let began = |id: &Self| id.0.split('-').next()?.parse::<i64>().ok();
        let after = latest
            .and_then(began)
            .map_or(0, |then| then.saturating_add(1));
        let now = now.timestamp_millis().max(after);
        Self::from(format!("{now:013}-{first_sequence}"))
    }
}

impl<T: Into<Arc<str>>> From<T> for SessionId {
    fn from(id: T) -> Self {
        Self(id.into())
    }
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What happens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A playlist was seen. To be told whenever it has changed, and with every wake-up.
    Playlist(Listing),
    /// There is no playlist.
    NoPlaylist,
    /// A segment was fetched and indexed.
    Indexed(Box<Indexed>),
    /// A segment that was to be fetched can't be had.
    Unavailable {
        /// Which.
        segment: SegmentId,
        /// Whether it may be there when it is asked for again: it is missing or half-written.
        may_come: bool,
    },
    /// A segment that was to be kept is kept.
    Kept {
        /// What was asked.
        action: ActionId,
        /// Where its bytes are now; `None` where they were.
        location: Option<Location>,
    },
    /// Another action was done.
    Done(ActionId),
    /// An action failed: nothing of it was done.
    Failed(ActionId, Failure),
    /// Somebody wants something.
    Command(Command),
    /// Time passed.
    Time,
}

/// A segment that was fetched.
#[derive(Debug, Clone)]
pub struct Indexed {
    /// Which.
    pub segment: SegmentId,
    /// Where its samples lie.
    pub index: Arc<SegmentIndex>,
    /// Where its bytes are found.
    pub location: Location,
    /// Which of them; all by default.
    pub byte_range: Option<ByteRange>,
    /// What they are encrypted with there.
    pub key: Option<Arc<SegmentKey>>,
    /// What the content was when it was read.
    pub version: Option<Version>,
    /// When it was written, where nothing better dates it.
    pub written: Option<DateTime<Utc>>,
}

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Periodic clips of this length, from the live edge on. Where there were some already, what is in
    /// the making is ended first.
    Periodic(Duration),
    /// No periodic clips any more. What is listed by now belongs to the last one.
    NoPeriodic,
    /// A clip of this window.
    Clip {
        /// The caller's name for it.
        clip: ClipId,
        /// Which part of the stream.
        window: Window,
        /// Where it may begin and end.
        cut: Cut,
    },
    /// A clip from the live edge until [`Command::Stop`].
    Record {
        /// The caller's name for it.
        clip: ClipId,
        /// Where it may begin and end.
        cut: Cut,
    },
    /// The recording ends at the live edge.
    Stop(ClipId),
    /// The stream is over once what is listed has been taken.
    End,
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// There is no room.
    NoRoom,
    /// There is no media in the window: [`Clip::new`](crate::Clip::new) gave `None`.
    Nothing,
    /// The content of these segments, by their numbers on the timeline, is no longer what was indexed.
    Lost(Vec<u64>),
    /// Segments cannot be read. Tried again a few times.
    Media,
    /// What is to be kept is gone, or there is no way to keep it. Not tried again.
    Gone,
    /// Anything else. Tried again until it works.
    Store,
}

/// What the recorder wants done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Action {
    /// Fetch and index this segment; then [`Event::Indexed`] or [`Event::Unavailable`]. One at a time.
    Fetch(Fetch),
    /// Keep this segment from deletion; then [`Event::Kept`] or [`Event::Failed`].
    Keep(Keep),
    /// No clip needs this segment any more: it need not be kept.
    Release {
        /// To be answered.
        action: ActionId,
        /// Which.
        segment: SegmentId,
    },
    /// All of a segment is in periodic clips that are stored: its source needs it no more either. Not
    /// answered.
    Spent(SegmentId),
    /// Write what has come of the periodic clip in the making. Nothing depends on it; not answered.
    Grow(Grow),
    /// Cut this clip.
    Cut(Box<CutJob>),
    /// Store where recording goes on, as no clip does it.
    Persist {
        /// To be answered.
        action: ActionId,
        /// What to store.
        boundary: Boundary,
    },
    /// A clip that was asked for can't be made. Not answered.
    Refuse {
        /// Which.
        clip: ClipId,
        /// Why.
        reason: Refusal,
    },
    /// A session has media. Not answered.
    SessionBegan(SessionId),
    /// A session is over, though its last clip may still be to come. Not answered.
    SessionEnded(SessionId, EndReason),
    /// Tell of the time at this moment, if nothing happens before. The last one counts; `None` takes
    /// it back.
    WakeAt(Option<Duration>),
}

/// A segment that is to be fetched.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Which.
    pub segment: SegmentId,
    /// Of which session: each is indexed by itself.
    pub session: SessionId,
    /// Where it is.
    pub from: FetchFrom,
    /// It follows the one of its session that was indexed before; else the indexer is to be told of
    /// a discontinuity.
    pub continues: bool,
    /// It is the newest one listed, and may still be written to.
    pub newest: bool,
    /// It is asked for again where it, or the sound that belongs to it, is not there yet. Else it is now
    /// or never.
    pub patient: bool,
    /// Nothing of the same run follows it: the next one has a discontinuity, or the stream is over.
    pub run_ends: bool,
}

/// Where a segment is to be fetched from.
#[derive(Debug, Clone)]
pub enum FetchFrom {
    /// The playlist that listed it.
    Listed(Arc<Listed>),
    /// An earlier run kept it.
    Kept(Label),
}

/// What has to be stored along with a segment that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Label {
    /// Media sequence number.
    pub sequence: u64,
    /// `EXTINF` in 90 kHz ticks.
    pub duration: Ticks,
    /// When it begins, in microseconds since the Unix epoch.
    pub start_us: Option<i64>,
    /// It does not go on where the one before it ended.
    pub discontinuity: bool,
    /// Length of the segments missing before it, in 90 kHz ticks.
    pub missing_before: Ticks,
    /// Its content, as `tag` and `len` of its [`Version`].
    pub version: Option<(u64, u64)>,
    /// A digest of its URI and byte range; 0 when that is not known.
    pub name: u32,
}

impl Label {
    /// What no session takes again.
    pub(super) fn taken(&self) -> TakenSegment {
        TakenSegment {
            sequence: Some(self.sequence),
            date_us: self.start_us.unwrap_or(0),
            file: (self.name, version_of(self.version())),
        }
    }

    pub(super) fn start_time(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.start_us?)
    }

    pub(super) fn version(&self) -> Option<Version> {
        self.version.map(|(tag, len)| Version { tag, len })
    }
}

/// A segment that is to be kept.
#[derive(Debug, Clone)]
pub struct Keep {
    /// To be answered.
    pub action: ActionId,
    /// Which.
    pub segment: SegmentId,
    /// Of which session.
    pub session: SessionId,
    /// To be stored with it.
    pub label: Label,
}

/// A periodic clip in the making: see [`GrowingClip`](crate::GrowingClip). It reads
/// [`Recorder::timeline`](super::Recorder::timeline).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grow {
    /// Of which session.
    pub session: SessionId,
    /// Another number is another clip: what was written of the one before is of no use, unless a
    /// [`CutJob`] names it.
    pub clip: u64,
    /// Where it begins.
    pub from: Ticks,
    /// About how long it will be, in 90 kHz ticks.
    pub expected: Ticks,
}

/// A clip that is to be cut: [`Clip::new`](crate::Clip::new) of these. Its segments are not released
/// before it is answered.
#[derive(Debug, Clone)]
pub struct CutJob {
    /// To be answered.
    pub action: ActionId,
    /// Of which session.
    pub session: SessionId,
    /// Its segments.
    pub timeline: Timeline,
    /// Which of it.
    pub bounds: Bounds,
    /// Where it may begin and end.
    pub cut: Cut,
    /// Who wants it.
    pub purpose: Purpose,
}

/// Who wants a clip.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// It is the next periodic one.
    Periodic {
        /// To be stored in one transaction with the clip.
        boundary: Boundary,
        /// What was lost before its media begins.
        lost: Option<LostMedia>,
        /// The [`Grow::clip`] that it was.
        growing: Option<u64>,
    },
    /// Somebody asked for it.
    OnDemand {
        /// The caller's name for it.
        clip: ClipId,
        /// The first instant that is wanted, and the first that no longer is.
        window: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
        /// All of the window lies in what is recorded; else the source may have what came before.
        whole: bool,
        /// Nothing that belongs to it can still come.
        settled: bool,
    },
}

/// Media that no clip holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LostMedia {
    /// The first instant that is lost.
    pub from: Option<DateTime<Utc>>,
    /// The first that is there again; `None` while that is not known.
    pub to: Option<DateTime<Utc>>,
    /// Why.
    pub reason: LossReason,
}

/// Why no clip holds media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum LossReason {
    /// Segments were never there, or are lost.
    #[cfg_attr(feature = "serde", serde(rename = "segments are missing"))]
    Missing,
    /// The stream paused.
    #[cfg_attr(feature = "serde", serde(rename = "the stream paused"))]
    Paused,
    /// Nobody recorded, and it cannot be had any more.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "segments were deleted while the server was not running")
    )]
    WhileAway,
}

impl std::fmt::Display for LossReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "segments are missing",
            Self::Paused => "the stream paused",
            Self::WhileAway => "segments were deleted while the server was not running",
        })
    }
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// `EXT-X-ENDLIST`.
    Ended,
    /// Its playlist is gone.
    Removed,
    /// Nothing came for long.
    Silent,
    /// Its sequence numbers, dates or files began anew.
    StartedOver,
    /// The stream is in another playlist now.
    Replaced,
    /// Its playlist is that of a rendition of another stream.
    Rendition,
    /// [`Command::End`].
    Commanded,
    /// It ended while nobody recorded.
    WhileAway,
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ended => "its playlist ended",
            Self::Removed => "its playlist was removed",
            Self::Silent => "it fell silent",
            Self::StartedOver => "it started over",
            Self::Replaced => "another playlist took its place",
            Self::Rendition => "it is a rendition of another stream",
            Self::Commanded => "its end was asked for",
            Self::WhileAway => "it ended while nobody recorded",
        })
    }
}
