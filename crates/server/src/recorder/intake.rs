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
use clipmill::live::{Seen, SegmentFiles, SessionId, Taken, TakenSegment, TakenTail};
use clipmill::{SegmentIndex, Ticks};
use clipmill_playlist::{Location, MediaPlaylist, Segment};
use metrics::counter;

use super::dated::LastDated;
use super::feed::{Feed, Place, Took};
use super::line::{Held, Holding};
use super::listing::{first_new, history, missing_length, place_of};
use crate::catalog::Boundary;
use crate::metrics::SEGMENTS_INDEXED;
use crate::sources::Listing;
use crate::sources::playlists::Serving;
use crate::sources::session::silence;
use crate::spool::Label;

/// A playlist that is not there may be being replaced: it is gone when it is still not there
/// after this.
const REPLACED: Duration = Duration::from_millis(400);

/// A playlist that was not written to for this long is not half-written.
const WHOLE: Duration = Duration::from_secs(1);

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
    /// A segment ([`Held::id`]) is kept that could not be kept when it came.
    Kept(u64, Arc<Holding>),
    /// The session is a rendition of another stream, which has all that is listed from this segment on.
    Disowned(u64),
    /// The session is over.
    Ended,
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
    pub(crate) begins: Begins,
    /// All of it is to be a recording.
    pub(crate) recorded: bool,
    /// What was taken before.
    pub(crate) taken: TakenTail,
}

/// How a session begins.
#[derive(Debug)]
pub(crate) enum Begins {
    Anew,
    /// It follows another in the same playlist.
    Behind,
    /// What came after this is lost.
    Lost(Box<Boundary>),
    /// It goes on there, though nothing was kept of it.
    Resumed(Box<Boundary>),
}

/// A segment that was indexed.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) label: Label,
    pub(crate) taken: TakenSegment,
    pub(crate) index: Arc<SegmentIndex>,
    pub(crate) held: Held,
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
    /// What was taken, by all sessions.
    pub(crate) taken: Taken,
    /// The playlist of the last one had come to its end.
    seen_ended: bool,
    /// What dates what follows the last one.
    dated: Option<LastDated>,
    /// Where the last clip of a session ended of which nothing was found after a restart.
    pub(crate) lost: Option<Box<Boundary>>,
    /// Since when the playlist is not there.
    gone_since: Option<Instant>,
    /// The latest session that is known of, over or not.
    pub(crate) latest: Option<String>,
    /// The first segment that is still on the line of the session: see [`Held::id`].
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
        if since.elapsed() < REPLACED {
            return Look::Again(REPLACED);
        }
        self.end("its playlist was removed", place);
        Look::Done
    }

    /// What was taken for a stream is a rendition of another one.
    pub(crate) fn leave(&mut self, playlist: &Location, place: &Place<'_>) {
        if let Listing::Media {
            playlist: mut listed,
            ..
        } = place.source.list(playlist)
        {
            self.taken.renumber_as_before(&mut listed.segments);
            if let Some(first) = listed.segments.first() {
                (place.tell)(Came::Disowned(first.sequence));
            }
        }
        self.end("it is a rendition of another stream", place);
    }

    fn look_at(&mut self, serving: &Serving, place: &Place<'_>) -> Look {
        let (mut playlist, age) = match place.source.list(&serving.playlist) {
            Listing::Media { playlist, age } => (playlist, age),
            Listing::Missing => return self.look_for(place),
            Listing::Unclear => return self.end_if_silent(place),
        };
        // It has not changed since anybody looked.
        let watched = place.app.since().elapsed().unwrap_or_default();
        let unwatched = age >= watched;
        self.gone_since = None;
        if let Some(feed) = &mut self.feed {
            if feed.playlist != serving.playlist {
                self.end("another playlist took its place", place);
            } else {
                feed.target = playlist.target_duration;
            }
        }
        let mut listed = std::mem::take(&mut playlist.segments);
        if playlist.truncated && age < WHOLE {
            listed.pop();
        }
        let mut files = place.source.files(&serving.playlist);
        let files = &mut *files;
        let unknown = self.taken.is_empty();
        let seen = self.observe(&playlist, &listed, files);
        match seen {
            Seen::New { shift, .. } => self.taken.renumber(shift, &mut listed),
            Seen::Nothing => self.taken.renumber_as_before(&mut listed),
            Seen::StartedOver { .. } => {}
        }
        let listed = listed.as_slice();
        match seen {
            Seen::Nothing if playlist.ended => {
                self.end("its playlist ended", place);
                self.seen_ended = true;
                Look::Done
            }
            Seen::Nothing => self.end_if_silent(place),
            Seen::StartedOver { from } => {
                self.end("it started over", place);
                self.taken.start_over();
                if playlist.ended && unwatched {
                    self.taken.passed(listed, files);
                    self.seen_ended = true;
                    return Look::Done;
                }
                let begins = if from > 0 {
                    Begins::Behind
                } else {
                    Begins::Anew
                };
                self.begin(serving, &playlist, (listed, from), begins, place);
                self.take(&playlist, listed, from, place)
            }
            Seen::New { from, missing, .. } if self.feed.is_some() => {
                if missing > 0 {
                    self.miss(listed, from, place);
                }
                self.take(&playlist, listed, from, place)
            }
            Seen::New { from, .. } => {
                let lost = self.lost.take();
                let resumed = lost.as_ref().and_then(|lost| place_of(lost, listed, files));
                // What came and ended while nobody looked was live in between.
                let silent = unknown && age >= silence(playlist.target_duration);
                let old = silent || playlist.ended && unwatched;
                if old && resumed.is_none() {
                    self.taken.passed(listed, files);
                    self.seen_ended = playlist.ended;
                    (place.tell)(Came::WasOver(serving.sub_folder.clone()));
                    return Look::Done;
                }
                let interval = place.app.interval();
                let (from, begins) = match (lost, resumed) {
                    (Some(lost), Some(found)) => (found, Begins::Resumed(lost)),
                    (Some(lost), None) => {
                        let new = first_new(&lost.taken, listed, files);
                        (new.max(history(listed, interval)), Begins::Lost(lost))
                    }
                    (None, _) if unknown => (history(listed, interval), Begins::Anew),
                    (None, _) => (from, Begins::Behind),
                };
                self.begin(serving, &playlist, (listed, from), begins, place);
                self.take(&playlist, listed, from, place)
            }
        }
    }

    /// What is new in a playlist.
    fn observe(
        &self,
        playlist: &MediaPlaylist,
        listed: &[Segment],
        files: &mut dyn SegmentFiles,
    ) -> Seen {
        let seen = self.taken.observe(listed, files);
        // A playlist that was finished, or given up, and is shorter and goes on, is a new one, unless its
        // files say otherwise.
        let anew = seen == Seen::Nothing
            && self.feed.is_none()
            && !playlist.ended
            && !listed.is_empty()
            && (self.seen_ended || self.taken.is_beyond(listed))
            && !self.taken.ends_with_taken(listed, files);
        if anew {
            Seen::StartedOver { from: 0 }
        } else {
            seen
        }
    }

    /// A session begins behind these segments: they are old, even while the first one is not taken yet.
    fn pass(&mut self, playlist: &Location, before: &[Segment], place: &Place<'_>) {
        if self.taken.next().is_none() {
            let mut files = place.source.files(playlist);
            self.taken.passed(before, &mut *files);
        }
    }

    /// Segments that were listed and gone again before they were seen.
    fn miss(&mut self, listed: &[Segment], from: usize, place: &Place<'_>) {
        let Some(feed) = &mut self.feed else {
            return;
        };
        let first = listed.get(from).map(|segment| segment.sequence);
        feed.take_expected(&mut self.taken, first, place);
        let missing = first
            .zip(self.taken.next())
            .map(|(first, next)| first.saturating_sub(next));
        if let Some(missing) = missing.filter(|missing| *missing > 0) {
            tracing::error!(
                app = place.app.name(),
                stream = place.stream,
                segments = missing,
                "segments are gone before they were seen"
            );
            let length = missing_length(feed.last(), feed.missing(), listed, from, missing);
            feed.skip(length, place);
        }
    }

    /// Begins a session at a position of what is listed.
    fn begin(
        &mut self,
        serving: &Serving,
        playlist: &MediaPlaylist,
        (listed, from): (&[Segment], usize),
        begins: Begins,
        place: &Place<'_>,
    ) {
        let id = match &begins {
            Begins::Resumed(lost) => lost.session.clone(),
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
        feed.dated = before.filter(|_| matches!(begins, Begins::Behind));
        self.pass(
            &serving.playlist,
            listed.get(..from).unwrap_or_default(),
            place,
        );
        let known = place.shared.wait(place.shared.catalog.stream(app, stream));
        let recorded =
            known.is_ok_and(|known| known.is_some_and(|known| known.recorded == Some(true)));
        (place.tell)(Came::Began(Box::new(Begun {
            session: feed.session.clone(),
            playlist: feed.playlist.clone(),
            sub_folder: feed.sub_folder.clone(),
            target: feed.target,
            sound_beside: feed.has_sound_beside(),
            begins,
            recorded,
            taken: self.taken.tail(Taken::WRITTEN),
        })));
        self.feed = Some(feed);
        self.oldest = 0;
        self.seen_ended = false;
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
            feed.lists(&self.taken, last.sequence);
        }
        let new = listed.get(from..).unwrap_or_default();
        let mut remaining: Duration = new.iter().map(|segment| segment.duration).sum();
        for (at, segment) in new.iter().enumerate() {
            let last = at + 1 == new.len() && !playlist.ended;
            let next = new.get(at + 1);
            feed.run_ends = next.map_or(playlist.ended, |next| next.discontinuity);
            match feed.take(&mut self.taken, segment, last, remaining, place) {
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
            self.end("its playlist ended", place);
            self.seen_ended = true;
        }
        Look::Done
    }

    fn end_if_silent(&mut self, place: &Place<'_>) -> Look {
        let Some(feed) = &self.feed else {
            return Look::Done;
        };
        if feed.pulse.is_over(Instant::now()) {
            self.end("it fell silent", place);
            // Another playlist may have taken over meanwhile.
            return Look::Again(Duration::ZERO);
        }
        Look::Done
    }

    /// The session is over.
    pub(crate) fn end(&mut self, why: &'static str, place: &Place<'_>) {
        let Some(mut feed) = self.feed.take() else {
            return;
        };
        feed.take_expected(&mut self.taken, None, place);
        feed.keep_again(self.oldest, place);
        tracing::info!(
            stream = place.stream,
            session = feed.session,
            "stream ended: {why}"
        );
        self.dated = feed.dated;
        // The last boundary, which is still to come, says what was taken as well.
        self.taken.end();
        place.shared.troubles.clear(&place.whom());
        (place.tell)(Came::Ended);
    }
}
