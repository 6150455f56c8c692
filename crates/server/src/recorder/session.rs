//! One session of a stream: its media, from its first segment to its end or the encoder's restart, and
//! how far its clips have come.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use clipmill::Ticks;
use clipmill::live::{
    LossReason, LostMedia, Mark, PeriodicClips, Progress, State, Step, TakenSegment, TakenTail,
};
use clipmill_playlist::Location;

use super::growing::Growth;
use super::intake::{Arrived, Came};
use super::make::rfc3339;
use super::media::{Gone, SessionMedia, delta, time_ms};
use super::switch::Recording;
use crate::catalog::Boundary;

/// One session of a stream.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) playlist: Location,
    pub(crate) sub_folder: Option<String>,
    pub(crate) target: Duration,
    /// Its sound is in playlists of its own.
    pub(crate) sound_beside: bool,
    pub(crate) media: SessionMedia,
    /// What was taken last, by it and those before it.
    pub(crate) taken: TakenTail,
    /// What the playlist numbers the segment to come.
    pub(crate) next_listed: Option<u64>,
    /// When the last segment came, or was given up.
    pub(crate) grown_at: Instant,
    /// Any came, or was given up.
    pub(crate) seen_any: bool,
    /// Its beginning is announced.
    pub(crate) announced: bool,
    /// Why the last segment could not be used, if so.
    pub(crate) useless: Option<String>,
    pub(crate) clips: PeriodicClips,
    /// Nothing more will come.
    pub(crate) over: bool,
    /// The recording that runs.
    pub(crate) recording: Option<Recording>,
    /// The segment that was added last, by its number on the timeline.
    pub(crate) fresh: Option<(u64, Bytes)>,
    /// The periodic clip in the making, as far as it is written.
    pub(crate) growth: Growth,
}

impl Session {
    /// A session that begins now.
    pub(crate) fn new(
        id: String,
        playlist: Location,
        sub_folder: Option<String>,
        target: Duration,
        interval: Duration,
    ) -> Self {
        Self {
            id,
            playlist,
            sub_folder,
            target,
            sound_beside: false,
            media: SessionMedia::default(),
            taken: TakenTail::default(),
            next_listed: None,
            grown_at: Instant::now(),
            seen_any: false,
            announced: false,
            useless: None,
            clips: PeriodicClips::new(interval),
            over: false,
            recording: None,
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
            Came::Kept(id, holding) => self.media.keep(id, holding),
            Came::Disowned(listed_from) => self.disown(listed_from),
            Came::Began(_) | Came::Ended | Came::WasOver(_) | Came::Marked(_) => {}
        }
    }

    /// Its next segment is there.
    fn add(&mut self, arrived: Arrived) {
        let Arrived {
            label,
            taken,
            index,
            file,
            bytes,
            first,
            target,
            next_listed,
        } = arrived;
        if first
            && label.missing_before > 0
            && self.clips.lost().is_none()
            && let Some(to) = label.start_time
        {
            let missed = delta(label.missing_before);
            self.clips.lack(missing(to - missed, to));
        }
        self.media.push(&label, index, file);
        self.taken.push(taken);
        let newest = self.media.timeline().segments().back();
        self.fresh = newest.map(|newest| newest.number).zip(bytes);
        self.target = target;
        self.next_listed = next_listed;
        self.useless = None;
        self.grew();
    }

    /// Media that will never come.
    fn miss(&mut self, duration: Ticks, taken: Option<TakenSegment>) {
        self.media.miss(duration);
        if let Some(taken) = taken {
            self.taken.push(taken);
        }
        if self.media.files().is_empty() {
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
        let first = self.media.timeline().segments().front();
        let has_all = first.is_none_or(|first| first.info.sequence >= listed_from);
        if has_all && self.clips.discard() {
            self.growth = Growth::None;
        }
    }

    /// Nothing more will come.
    pub(crate) fn close(&mut self) {
        self.over = true;
        self.clips.close();
    }

    /// Why nothing can be had of what comes: of no use, or no more than this.
    pub(crate) fn why_nothing(&self) -> Option<String> {
        if let Some(useless) = &self.useless {
            return Some(useless.clone());
        }
        let timeline = self.media.timeline();
        let mut segments = timeline.segments().iter();
        let first = segments.find_map(|segment| segment.first_presented)?;
        let at = |ticks| Some(rfc3339(time_ms(timeline, ticks)?));
        let (from, to) = (at(first)?, at(timeline.end()?)?);
        Some(format!("what is kept of it lies from {from} to {to}"))
    }

    /// Periodic clips from the live edge on; what is in the making is ended before.
    pub(crate) fn record(&mut self, interval: Duration) {
        let timeline = self.media.timeline();
        self.clips.turn_on(interval, timeline, false);
    }

    /// Everything that was listed has been taken in.
    pub(crate) fn all_listed(&mut self) {
        self.record_listed();
        self.clips.listed_are_taken();
    }

    /// What is to be done next for its periodic clips, when no session before it has any to be made.
    pub(crate) fn step(&mut self) -> Option<Step> {
        let progress = Progress {
            all_taken: self.over,
            front: true,
            ..Progress::default()
        };
        self.clips.step(self.media.timeline(), progress)
    }

    /// A mark as it is written down.
    pub(crate) fn written(&self, mark: Mark, ordinal: u64) -> Boundary {
        let boundary = mark.to_boundary(self.media.timeline(), &self.id, ordinal);
        let segments = self
            .media
            .timeline()
            .segments()
            .iter()
            .zip(self.media.files());
        let mut of_boundary = segments.filter(|(one, _)| one.info.sequence == boundary.sequence);
        let name = of_boundary.find_map(|(_, file)| {
            let name = file.original.as_ref()?.file_name()?.to_str()?;
            Some(name.to_owned())
        });
        Boundary {
            segment: name.unwrap_or_default(),
            taken: self.taken.written(boundary.sequence),
            ..boundary
        }
    }

    /// Lets go of what a session that records nothing keeps beyond the last interval, which somebody
    /// may ask for.
    pub(crate) fn trim(&mut self) -> Gone {
        let is_off = *self.clips.state() == State::Off;
        match self.media.timeline().end().filter(|_| is_off) {
            Some(edge) => self.forget_before(self.clips.needed(edge)),
            None => Gone::default(),
        }
    }

    /// Takes segments out whose content is lost. `ordinal`: of the last periodic clip.
    pub(crate) fn lose(&mut self, lost: &[u64], ordinal: u64) {
        let before = self.media.shared_timeline();
        let left_off = self.clips.state().mark(&before);
        let left_off = left_off.map(|mark| self.written(mark, ordinal));
        self.media.lose(lost);
        self.growth = Growth::None;
        self.clips.lose(&before, self.media.timeline(), left_off);
    }

    /// The instant of the live edge, in milliseconds since 1970.
    pub(crate) fn edge_ms(&self) -> Option<i64> {
        let timeline = self.media.timeline();
        time_ms(timeline, timeline.end()?)
    }
}

/// The loss that segments are which never came.
pub(crate) fn missing(from: DateTime<Utc>, to: DateTime<Utc>) -> LostMedia {
    LostMedia {
        from: Some(from),
        to: Some(to),
        reason: LossReason::Missing,
    }
}
