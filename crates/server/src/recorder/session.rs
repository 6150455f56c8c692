//! One session of a stream: its media, from its first segment to its end or the encoder's restart, and
//! how far its clips have come.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use clipmill::Ticks;
use clipmill::live::{LossReason, LostMedia, Mark, TakenSegment};

use super::growing::Growth;
use super::intake::{Arrived, Came};
use super::line::{Line, delta, time_ms};
use super::make::rfc3339;
use super::switch::Tape;
use crate::catalog::Boundary;
use crate::sources::taken::TakenTail;

/// How far the periodic clips of a session have come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Recording {
    /// Nobody wants any.
    Off,
    /// The first begins at the first sync sample from here on.
    Waiting(Ticks),
    /// The next begins where an earlier run of this server left off.
    Resuming(Box<Boundary>),
    /// The first begins here, which is being written down; when that fails it is as it was.
    Beginning(Mark, Box<Self>),
    /// The next begins here.
    On(Mark),
}

/// How what is in the making ends, if not at its boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As [`Ending::Last`], once what is listed now has been taken in.
    Listed,
    /// One last clip with the remainder.
    Last,
    /// A clip up to the last place where nothing is lost; the next one begins there, and a grid of
    /// this interval with it.
    Restart(Duration),
}

/// One session of a stream.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) playlist: PathBuf,
    pub(crate) sub_folder: Option<String>,
    pub(crate) target: Duration,
    /// Its sound is in playlists of its own.
    pub(crate) sound_beside: bool,
    pub(crate) line: Line,
    /// What was taken last, by it and those before it.
    pub(crate) taken: TakenTail,
    /// What the playlist numbers the segment to come.
    pub(crate) next_listed: Option<u64>,
    /// When the last segment came, or was given up.
    pub(crate) grown_at: Instant,
    /// Any came, or was given up.
    pub(crate) seen_any: bool,
    /// Its beginning has been told to the world.
    pub(crate) announced: bool,
    /// Why the last segment could not be used, if so.
    pub(crate) useless: Option<String>,
    pub(crate) clips: PeriodicClips,
    /// The recording that runs.
    pub(crate) tape: Option<Tape>,
    /// The segment that was added last, by its number on the line.
    pub(crate) fresh: Option<(u64, Bytes)>,
    /// The periodic clip in the making, as far as it is written.
    pub(crate) growth: Growth,
}

/// The periodic clips of a session.
#[derive(Debug)]
pub(crate) struct PeriodicClips {
    pub(crate) recording: Recording,
    /// How long one is.
    pub(crate) interval: Duration,
    pub(crate) ending: Option<Ending>,
    /// They were told to go on while the last one was in the making.
    pub(crate) goes_on: bool,
    /// Made before the one in the making, over all sessions.
    pub(crate) ordinal: u64,
    /// Whether one of them was made in this session.
    pub(crate) any_made: bool,
    /// What is missing before the first one that is made.
    pub(crate) hole: Option<LostMedia>,
    /// The one in the making is the first of the session: sound ahead of its first picture belongs
    /// to it.
    pub(crate) from_the_start: bool,
}

impl Default for PeriodicClips {
    fn default() -> Self {
        Self {
            recording: Recording::Off,
            interval: Duration::from_secs(600),
            ending: None,
            goes_on: false,
            ordinal: 0,
            any_made: false,
            hole: None,
            from_the_start: false,
        }
    }
}

impl Session {
    /// A session that begins now.
    pub(crate) fn new(
        id: String,
        playlist: PathBuf,
        sub_folder: Option<String>,
        target: Duration,
    ) -> Self {
        Self {
            id,
            playlist,
            sub_folder,
            target,
            sound_beside: false,
            line: Line::default(),
            taken: TakenTail::default(),
            next_listed: None,
            grown_at: Instant::now(),
            seen_any: false,
            announced: false,
            useless: None,
            clips: PeriodicClips::default(),
            tape: None,
            fresh: None,
            growth: Growth::None,
        }
    }

    /// Something came of it.
    pub(crate) fn came(&mut self, came: Came) {
        match came {
            Came::Segment(arrived) => self.add(*arrived),
            Came::Missed(duration, taken) => self.miss(duration, taken),
            Came::Useless(reason) => self.useless = Some(reason),
            Came::Kept(id, holding) => self.line.keep(id, holding),
            Came::Disowned(listed_from) => self.disown(listed_from),
            Came::Began(_) | Came::Ended | Came::WasOver(_) => {}
        }
    }

    /// Its next segment is there.
    fn add(&mut self, arrived: Arrived) {
        let Arrived {
            label,
            taken,
            index,
            held,
            bytes,
            first,
            target,
            next_listed,
        } = arrived;
        let clips = &mut self.clips;
        if first && label.missing_before > 0 && clips.hole.is_none() {
            let missed = delta(label.missing_before);
            clips.hole = label.start_time.map(|to| missing(to - missed, to));
        }
        self.line.push(&label, index, held);
        self.taken.push(taken);
        let newest = self.line.timeline().segments().back();
        self.fresh = newest.map(|newest| newest.number).zip(bytes);
        self.target = target;
        self.next_listed = next_listed;
        self.useless = None;
        self.grew();
    }

    /// Media that will never come.
    fn miss(&mut self, duration: Ticks, taken: Option<TakenSegment>) {
        self.line.miss(duration);
        if let Some(taken) = taken {
            self.taken.push(taken);
        }
        if self.line.held().is_empty() {
            self.taken.forget_before(u64::MAX);
        }
        self.grew();
    }

    fn grew(&mut self) {
        self.seen_any = true;
        self.grown_at = Instant::now();
    }

    /// It is a rendition of another stream, which has all that is listed from this segment on. Where that
    /// is all that came, no clip of it is made; else nobody but its own clips has the media.
    fn disown(&mut self, listed_from: u64) {
        let first = self.line.timeline().segments().front();
        let has_all = first.is_none_or(|first| first.info.sequence >= listed_from);
        if has_all && !self.clips.any_made {
            self.clips.recording = Recording::Off;
            self.growth = Growth::None;
        }
    }

    /// Nothing more will come.
    pub(crate) fn close(&mut self) {
        self.clips.ending = match self.clips.recording {
            Recording::Off => None,
            _ => Some(Ending::Last),
        };
    }

    /// Why nothing can be had of what comes: of no use, or no more than this.
    pub(crate) fn why_nothing(&self) -> Option<String> {
        if let Some(useless) = &self.useless {
            return Some(useless.clone());
        }
        let timeline = self.line.timeline();
        let mut segments = timeline.segments().iter();
        let first = segments.find_map(|segment| segment.first_presented)?;
        let at = |ticks| Some(rfc3339(time_ms(timeline, ticks)?));
        let (from, to) = (at(first)?, at(timeline.end()?)?);
        Some(format!("what is kept of it lies from {from} to {to}"))
    }

    /// Takes segments out whose content is lost.
    pub(crate) fn lose(&mut self, lost: &[u64]) {
        let mark = match &self.clips.recording {
            Recording::On(mark) => {
                let ordinal = self.clips.ordinal;
                Some(mark.to_boundary(self.line.timeline(), &self.id, ordinal))
            }
            _ => None,
        };
        self.line.lose(lost);
        self.growth = Growth::None;
        if let Some(boundary) = mark {
            self.clips.recording = Recording::Resuming(Box::new(boundary));
        }
    }

    /// The instant of the live edge, in milliseconds since 1970.
    pub(crate) fn edge_ms(&self) -> Option<i64> {
        let timeline = self.line.timeline();
        time_ms(timeline, timeline.end()?)
    }
}

/// What is said of segments that never came.
pub(crate) fn missing(from: DateTime<Utc>, to: DateTime<Utc>) -> LostMedia {
    LostMedia {
        from: Some(from),
        to: Some(to),
        reason: LossReason::Missing,
    }
}
