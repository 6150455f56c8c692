//! A segment that is wanted, from when it is listed until it is mirrored.

use std::time::Instant;

use clipmill::live::{TakenSegment, Version};
use clipmill_playlist::Segment;
use url::Url;

use super::media::Media;
use super::mirror::Next;

/// A segment that is wanted.
pub(super) struct Wanted {
    /// Tells it from others that are wanted.
    pub(super) id: u64,
    /// As it is told apart, with its number of before.
    pub(super) known: Segment,
    /// As it is listed.
    pub(super) segment: Segment,
    /// What its URI is relative to.
    pub(super) base: Url,
    /// How often the numbers had begun anew.
    pub(super) run: u32,
    pub(super) discontinuity: bool,
    pub(super) state: State,
    pub(super) failures: u32,
    /// Since when it is not there although the server answers.
    pub(super) missing_since: Option<Instant>,
    /// What the playlists beside this one were asked when it was listed, and until when that is waited for.
    pub(super) asked: u64,
    pub(super) held_until: Instant,
}

/// How far it is.
pub(super) enum State {
    /// It is to be fetched, not before this.
    Due(Instant),
    Fetching,
    Here(Media),
    /// It will never be.
    Gap,
}

impl Wanted {
    /// Whether it is known what becomes of it.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.state, State::Here(_) | State::Gap)
    }

    /// How it is mirrored, and what it looked like.
    pub(super) fn next(&self) -> (Next, Option<Version>) {
        let media = match &self.state {
            State::Here(media) => Some(media),
            _ => None,
        };
        let version = media.and_then(|media| media.version);
        let known = &self.known;
        let next = Next {
            suffix: media.map(|media| media.suffix),
            duration: known.duration,
            title: known.title.clone(),
            start_time: known.start_time,
            dated: known.program_date_time.is_some(),
            discontinuity: self.discontinuity,
            cue: self.segment.cue,
            map: media.and_then(|media| Some(media.map.as_ref()?.0.clone())),
            // One that nobody saw has no name.
            taken: (!known.uri.is_empty())
                .then(|| TakenSegment::of(known, version, known.start_time)),
        };
        (next, version)
    }
}
