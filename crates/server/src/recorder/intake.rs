//! What is taken in of a stream: its playlist is looked at, what is new in it is taken, and it is found
//! out when a session begins and ends.
//!
//! All of it reads and writes, and may wait. So an [`Intake`] is a value that goes where that may be
//! done, and says what came ([`Came`]) as it comes; nobody who wants something of the stream meanwhile
//! waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use clipmill::live::{
    self, Circumstances, Continuity, Decision, EndReason, SessionId, SessionStart, Taken,
    TakenSegment, TakenTail, Timeouts, complete_segments, missing_length,
};
use clipmill::{SegmentIndex, Ticks};
use clipmill_playlist::{Location, MediaPlaylist, Segment};
use metrics::counter;

use super::dated::LastDated;
use super::feed::{Feed, Place, Took};
use super::markers::{Listed, News};
use super::media::SegmentFile;
use crate::metrics::SEGMENTS_INDEXED;
use crate::sources::Listing;
use crate::sources::playlists::Serving;
use crate::spool::{Holding, Label};

/// What came of a stream.
#[derive(Debug)]
pub(crate) enum Came {
    /// A session begins.
    Began(Box<Begun>),
    /// Its next segment.
    Segment(Box<Arrived>),
    /// Media of it that will never come, in 90 kHz ticks, and the segment that it was, where that was
    /// listed.
    Missed(Ticks, Option<TakenSegment>),
    /// Why nothing can be made of what comes.
    Useless(String),
    /// A segment ([`SegmentFile::id`]) is kept that could not be kept when it came.
    Kept(u64, Arc<Holding>),
    /// The session is a rendition of another stream, which has all that is listed from this segment on.
    Disowned(u64),
    /// The session is over.
    Ended,
    /// What its playlist marks is new, or has changed.
    Marked(Vec<News>),
    /// The stream was over when it was seen first. Its playlist lies in this sub-folder.
    WasOver(Option<String>),
}

/// A session that begins.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) session: String,
    pub(crate) playlist: Location,
    pub(crate) sub_folder: Option<String>,
    pub(crate) target: Duration,
    /// It has sound in playlists of its own.
    pub(crate) sound_beside: bool,
    pub(crate) start: SessionStart,
    /// All of it is to be a recording.
    pub(crate) recorded: bool,
    /// What was taken before.
    pub(crate) taken: TakenTail,
}

/// A segment that was indexed.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) label: Label,
    pub(crate) taken: TakenSegment,
    pub(crate) index: Arc<SegmentIndex>,
    pub(crate) file: SegmentFile,
    /// Its content, where nobody has to keep it in mind for long.
    pub(crate) bytes: Option<Bytes>,
    /// It is the first of its session.
    pub(crate) first: bool,
    pub(crate) target: Duration,
    /// What the playlist numbers the segment after it.
    pub(crate) next_listed: Option<u64>,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing more to do.
    Done,
    /// It should be looked at again.
    Again(Duration),
}

/// What is taken in of a stream.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// The session that is live.
    pub(crate) feed: Option<Feed>,
    /// What was taken, by all sessions, and which of what is listed belongs to which.
    pub(crate) continuity: Continuity,
    /// What dates what follows the last one.
    dated: Option<LastDated>,
    /// What the playlist marks.
    marked: Listed,
    /// Since when the playlist is not there.
    gone_since: Option<Instant>,
    /// The latest session that is known of, over or not.
    pub(crate) latest: Option<String>,
    /// The first segment that is still on the timeline of the session: see [`SegmentFile::id`].
    pub(crate) oldest: u64,
}

impl Intake {
    /// When the session is over if nothing comes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.feed.as_ref().map(|feed| feed.pulse.deadline())
    }

    /// Whether segments are listed that are not taken yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.feed.as_ref().is_some_and(Feed::is_waiting)
    }

    /// Looks at the playlist and takes in what is new.
    pub(crate) fn look(&mut self, place: &Place<'_>) -> Look {
        let present = self.feed.as_ref().map(|feed| &feed.playlist);
        let serving = place.source.serving(place.stream, present);
        match serving {
            Some(serving) => self.look_at(&serving, place),
            None => self.look_for(place),
        }
    }

    /// There is no playlist.
    fn look_for(&mut self, place: &Place<'_>) -> Look {
        let Some(feed) = &self.feed else {
            return Look::Done;
        };
        let playlist = feed.playlist.clone();
        if place.source.is_of_another(&playlist, place.stream) {
            self.leave(&playlist, place);
            return Look::Done;
        }
        // It is being written, however long that takes.
        if place.source.is_there(&playlist) {
            return self.end_if_silent(place);
        }
        let since = *self.gone_since.get_or_insert_with(Instant::now);
        let removed = Timeouts::default().removed;
        if since.elapsed() < removed {
            return Look::Again(removed);
        }
        self.end(EndReason::Removed, place);
        Look::Done
    }

    /// What was taken for a stream is a rendition of another one.
    pub(crate) fn leave(&mut self, playlist: &Location, place: &Place<'_>) {
        if let Listing::Media {
            playlist: mut listed,
            ..
        } = place.source.list(playlist)
        {
            let taken = self.continuity.taken_mut();
            taken.renumber_as_before(&mut listed.segments);
            if let Some(first) = listed.segments.first() {
                (place.tell)(Came::Disowned(first.sequence));
            }
        }
        self.end(EndReason::Rendition, place);
    }

    fn look_at(&mut self, serving: &Serving, place: &Place<'_>) -> Look {
        let (mut playlist, age) = match place.source.list(&serving.playlist) {
            Listing::Media { playlist, age } => (playlist, age),
            Listing::Missing => return self.look_for(place),
            Listing::Unclear => return self.end_if_silent(place),
        };
        let watched = place.app.since().elapsed().unwrap_or_default();
        self.gone_since = None;
        if let Some(feed) = &mut self.feed {
            if feed.playlist != serving.playlist {
                self.end(EndReason::Replaced, place);
            } else {
                feed.target = playlist.target_duration;
            }
        }
        let complete = complete_segments(&playlist, age).len();
        let mut listed = std::mem::take(&mut playlist.segments);
        listed.truncate(complete);
        let mut files = place.source.files(&serving.playlist);
        let files = &mut *files;
        let interval = place.app.interval(place.stream).unwrap_or_default();
        let circumstances = Circumstances {
            live: self.feed.is_some(),
            ended: playlist.ended,
            age,
            watched,
            silence: Timeouts::default().silence(playlist.target_duration),
            history: live::Settings::default().history.max(interval),
        };
        let decision = self.continuity.decide(&listed, &circumstances, files);
        if let Some(reason) = decision.ends() {
            self.end(reason, place);
        }
        self.continuity
            .follow(&decision, &mut listed, &circumstances, files);
        if self.feed.is_some() || matches!(decision, Decision::Begins { .. }) {
            let marked = self.marked.news(&playlist.date_ranges, &listed);
            if !marked.is_empty() {
                (place.tell)(Came::Marked(marked));
            }
        }
        match decision {
            Decision::Nothing => self.end_if_silent(place),
            Decision::Ends => Look::Done,
            Decision::Continues { from, missing, .. } => {
                if missing > 0 {
                    self.miss(&listed, from, place);
                }
                self.take(&playlist, &listed, from, place)
            }
            Decision::Begins { from, start, .. } => {
                self.begin(serving, &playlist, &listed, start, place);
                self.take(&playlist, &listed, from, place)
            }
            Decision::Old { shift } => {
                // One that started over was seen before.
                if shift.is_some() {
                    tracing::info!(
                        app = place.app.name(),
                        stream = place.stream,
                        age_ms = age.as_millis() as u64,
                        watched_ms = watched.as_millis() as u64,
                        "it was over before it was watched: it is not recorded"
                    );
                    (place.tell)(Came::WasOver(serving.sub_folder.clone()));
                }
                Look::Done
            }
        }
    }

    /// Segments that were listed and gone again before they were seen.
    fn miss(&mut self, listed: &[Segment], from: usize, place: &Place<'_>) {
        let Some(feed) = &mut self.feed else {
            return;
        };
        let passed = feed.pulse.passed(Instant::now());
        let first = listed.get(from).map(|segment| segment.sequence);
        feed.take_expected(self.continuity.taken_mut(), first, place);
        let missing = first
            .zip(self.continuity.taken().next())
            .map(|(first, next)| first.saturating_sub(next));
        if let Some(missing) = missing.filter(|missing| *missing > 0) {
            tracing::error!(
                app = place.app.name(),
                stream = place.stream,
                segments = missing,
                "segments are gone before they were seen"
            );
            let before = feed.last().and_then(|last| {
                let length = last.duration.saturating_add(feed.missing());
                Some((last.start_time?, length))
            });
            let length = missing_length(before, listed, from, missing, passed);
            feed.skip(length, place);
        }
    }

    /// Begins a session.
    fn begin(
        &mut self,
        serving: &Serving,
        playlist: &MediaPlaylist,
        listed: &[Segment],
        start: SessionStart,
        place: &Place<'_>,
    ) {
        let id = match &start {
            SessionStart::Resumed(lost) => lost.session.clone(),
            _ => {
                let first = listed.first().map_or(0, |segment| segment.sequence);
                let latest = self.latest.as_deref().map(SessionId::from);
                SessionId::new(first, latest.as_ref(), Utc::now()).to_string()
            }
        };
        self.latest = self.latest.take().max(Some(id.clone()));
        let (app, stream) = (place.app.name(), place.stream);
        let folder = place.shared.spool.session(app, stream, &id);
        let mut feed = Feed::new(
            id,
            folder,
            serving.playlist.clone(),
            serving.sub_folder.clone(),
            playlist.target_duration,
        );
        tracing::info!(
            app,
            stream,
            session = feed.session,
            playlist = %serving.playlist,
            "stream is live"
        );
        feed.add_sound(&serving.sound);
        feed.describe();
        let before = self.dated.take().map(LastDated::of_before);
        feed.dated = before.filter(|_| matches!(start, SessionStart::Behind));
        let known = place.shared.wait(place.shared.catalog.stream(app, stream));
        let recorded =
            known.is_ok_and(|known| known.is_some_and(|known| known.recorded == Some(true)));
        (place.tell)(Came::Began(Box::new(Begun {
            session: feed.session.clone(),
            playlist: feed.playlist.clone(),
            sub_folder: feed.sub_folder.clone(),
            target: feed.target,
            sound_beside: feed.has_sound_beside(),
            start,
            recorded,
            taken: self.continuity.taken().tail(Taken::WRITTEN),
        })));
        self.feed = Some(feed);
        self.oldest = 0;
    }

    /// Takes in what is listed from a position on.
    fn take(
        &mut self,
        playlist: &MediaPlaylist,
        listed: &[Segment],
        from: usize,
        place: &Place<'_>,
    ) -> Look {
        let Some(feed) = &mut self.feed else {
            return Look::Done;
        };
        feed.keep_again(self.oldest, place);
        if let Some(last) = listed.last() {
            feed.lists(self.continuity.taken(), last.sequence);
        }
        let new = listed.get(from..).unwrap_or_default();
        let mut remaining: Duration = new.iter().map(|segment| segment.duration).sum();
        for (at, segment) in new.iter().enumerate() {
            let last = at + 1 == new.len() && !playlist.ended;
            let next = new.get(at + 1);
            feed.run_ends = next.map_or(playlist.ended, |next| next.discontinuity);
            let taken = self.continuity.taken_mut();
            match feed.take(taken, segment, last, remaining, place) {
                Took::Done => {
                    let app = place.app.name().to_owned();
                    counter!(SEGMENTS_INDEXED, "app" => app).increment(1);
                    feed.tell_trouble(place);
                }
                Took::Later(after) => {
                    feed.expect(new.get(at..).unwrap_or_default(), place);
                    return Look::Again(after);
                }
            }
            remaining = remaining.saturating_sub(segment.duration);
        }
        feed.expect(&[], place);
        if playlist.ended {
            self.end(EndReason::Ended, place);
        }
        Look::Done
    }

    fn end_if_silent(&mut self, place: &Place<'_>) -> Look {
        let Some(feed) = &self.feed else {
            return Look::Done;
        };
        if feed.pulse.is_over(Instant::now()) {
            self.end(EndReason::Silent, place);
            // Another playlist may have taken over meanwhile.
            return Look::Again(Duration::ZERO);
        }
        Look::Done
    }

    /// The session is over.
    pub(crate) fn end(&mut self, why: EndReason, place: &Place<'_>) {
        let Some(mut feed) = self.feed.take() else {
            return;
        };
        feed.take_expected(self.continuity.taken_mut(), None, place);
        feed.keep_again(self.oldest, place);
        tracing::info!(
            stream = place.stream,
            session = feed.session,
            "stream ended: {why}"
        );
        self.dated = feed.dated;
        // The last boundary, which is still to come, says what was taken as well.
        self.continuity.taken_mut().end();
        place.shared.troubles.clear(&place.concern());
        (place.tell)(Came::Ended);
    }
}
