//! A publisher: it writes files and a playlist.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clipmill_media::{RandomAccess, SegmentIndex};
use clipmill_playlist::Segment;

use super::super::{Listed, Listing, Version};
use super::history::{History, Numbers};
use crate::testing::{Picture, pictures_of, segment, sound_at};
use crate::timeline::Ticks;

/// Pictures are so far apart, in 90 kHz ticks.
pub(super) const PICTURE: Ticks = 45_000;

/// What a file holds.
#[derive(Debug, Clone)]
pub(super) struct Content {
    /// `segment_len` is its number, so that whoever has the index knows whose it is.
    pub(super) index: Arc<SegmentIndex>,
    pub(super) sync: bool,
}

#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) contents: Vec<Content>,
    /// Which content a file has, and from when on it is there.
    files: HashMap<String, (usize, Duration)>,
    playlist: Vec<Segment>,
    name: usize,
    pub(super) exists: bool,
    ended: bool,
    written: Duration,
    old: Vec<Vec<Segment>>,
    /// The next sequence number, and number in a name.
    next: u64,
    named: u64,
    generation: u64,
    /// The next timestamp.
    pts: Ticks,
    date: DateTime<Utc>,
    discontinuity: bool,
    dated: bool,
    sound: bool,
    deletes: bool,
    listed: usize,
}

impl Publisher {
    pub(super) fn new(history: &History, date: DateTime<Utc>) -> Self {
        Self {
            contents: Vec::new(),
            files: HashMap::new(),
            playlist: Vec::new(),
            name: 0,
            exists: false,
            ended: false,
            written: Duration::ZERO,
            old: Vec::new(),
            next: 0,
            named: 0,
            generation: 0,
            pts: 900_000,
            date,
            discontinuity: false,
            dated: history.dated,
            sound: history.sound,
            deletes: history.deletes,
            listed: history.listed,
        }
    }

    /// The content of a file.
    pub(super) fn file(&self, uri: &str, now: Duration) -> Option<(usize, Version)> {
        let (content, from) = self.files.get(uri)?;
        (*from <= now).then(|| (*content, version_of(*content)))
    }

    /// The contents that a listing has again behind a discontinuity: no publisher does so here, but one
    /// with segments in the wrong order may look like it.
    pub(super) fn looped(&self, listing: &Listing) -> Vec<usize> {
        let mut run = 0;
        let mut runs: HashMap<&str, u32> = HashMap::new();
        let mut looped = Vec::new();
        for one in &listing.segments {
            run += u32::from(one.segment.discontinuity);
            let uri = one.segment.uri.as_str();
            if *runs.entry(uri).or_insert(run) != run {
                looped.extend(self.files.get(uri).map(|(content, _)| *content));
            }
        }
        looped
    }

    /// Whether a content is still in its file.
    pub(super) fn has(&self, content: usize, now: Duration) -> bool {
        let mut all = self.files.values();
        all.any(|(one, from)| *one == content && *from <= now)
    }

    pub(super) fn publish(
        &mut self,
        pictures: u64,
        sync: bool,
        jitter: i64,
        pause: u64,
        now: Duration,
    ) {
        self.pts += pause as Ticks * 90;
        self.date += TimeDelta::milliseconds(pause as i64);
        self.write(pictures, sync, jitter, Some(now), now);
    }

    /// A segment is listed, and its file comes `late`, or never.
    pub(super) fn publish_missing(&mut self, late: Option<u64>, now: Duration) {
        let from = late.map(|late| now + Duration::from_millis(late));
        self.write(3, true, 0, from, now);
    }

    fn write(
        &mut self,
        pictures: u64,
        sync: bool,
        jitter: i64,
        from: Option<Duration>,
        now: Duration,
    ) {
        let content = self.contents.len();
        let dts = |number: u64| self.pts + number as Ticks * PICTURE;
        let video = pictures_of((0..pictures).map(|number| Picture {
            dts: dts(number),
            random_access: if (number == 0 && sync) || number == 3 {
                RandomAccess::Closed
            } else {
                RandomAccess::None
            },
            ..Picture::default()
        }));
        let times: Vec<_> = (0..pictures).map(|number| dts(number) + 9_000).collect();
        let sound = self.sound.then(|| sound_at(&times));
        let index = segment([video].into_iter().chain(sound));
        let index = SegmentIndex {
            segment_len: content as u64,
            ..(*index).clone()
        };
        self.contents.push(Content {
            index: Arc::new(index),
            sync,
        });
        let uri = format!("{}/{}.ts", self.generation, self.named);
        self.named += 1;
        match from {
            Some(from) => {
                self.files.insert(uri.clone(), (content, from));
            }
            None => {
                self.files.remove(&uri);
            }
        }
        let length = pictures * 500;
        let mut one = Segment::default();
        one.uri = uri;
        one.duration = Duration::from_millis(length.saturating_add_signed(jitter));
        one.start_time = self
            .dated
            .then(|| self.date + TimeDelta::milliseconds(jitter));
        one.discontinuity = std::mem::take(&mut self.discontinuity);
        self.pts += pictures as Ticks * PICTURE;
        self.date += TimeDelta::milliseconds(length as i64);
        self.list(one, now);
    }

    fn list(&mut self, one: Segment, now: Duration) {
        let mut one = one;
        one.sequence = self.next;
        self.next += 1;
        self.playlist.push(one);
        while self.playlist.len() > self.listed {
            let gone = self.playlist.remove(0);
            let twice = self.playlist.iter().any(|one| one.uri == gone.uri);
            if self.deletes && !twice {
                self.files.remove(&gone.uri);
            }
        }
        self.exists = true;
        self.ended = false;
        self.written = now;
        self.old.push(self.playlist.clone());
        if self.old.len() > 5 {
            self.old.remove(0);
        }
    }

    pub(super) fn list_twice(&mut self, now: Duration) {
        if let Some(mut again) = self.playlist.last().cloned() {
            again.discontinuity = false;
            self.list(again, now);
        }
    }

    pub(super) fn restart(
        &mut self,
        same_playlist: bool,
        same_names: bool,
        numbers: Numbers,
        leap: i64,
    ) {
        let before = self.next;
        self.next = match numbers {
            Numbers::GoOn => self.next,
            Numbers::StartOver => 0,
            Numbers::Jump(far) => self.next + far,
        };
        if same_playlist {
            // A playlist numbers its segments from the first one on.
            let first = self.next.saturating_sub(self.playlist.len() as u64);
            if before != self.next {
                for (one, sequence) in self.playlist.iter_mut().zip(first..) {
                    one.sequence = sequence;
                }
                self.next = first + self.playlist.len() as u64;
            }
        } else {
            self.playlist.clear();
        }
        self.discontinuity = true;
        if same_names {
            // Names of files that are still listed are not used again.
            if !same_playlist {
                self.named = 0;
            }
        } else {
            self.generation += 1;
        }
        self.pts += leap * 90;
        if leap > 0 {
            self.date += TimeDelta::milliseconds(leap);
        }
    }

    pub(super) fn move_on(&mut self) {
        self.name += 1;
        self.playlist.clear();
        self.old.clear();
        self.next = 0;
        self.generation += 1;
        self.exists = false;
    }

    pub(super) fn finish(&mut self, now: Duration) {
        self.ended = true;
        self.written = now;
    }

    pub(super) fn listing(&self, now: Duration) -> Option<Listing> {
        self.exists.then(|| self.listing_of(&self.playlist, now))
    }

    pub(super) fn old(&self, back: usize, now: Duration) -> Option<Listing> {
        let at = self.old.len().checked_sub(back + 1)?;
        let mut listing = self.listing_of(self.old.get(at)?, now);
        listing.ended = false;
        Some(listing)
    }

    /// The beginning of the playlist.
    pub(super) fn short(&self, without: usize, now: Duration) -> Option<Listing> {
        let mut listing = self.listing(now)?;
        let len = listing.segments.len().saturating_sub(without);
        listing.segments.truncate(len);
        listing.ended = false;
        Some(listing)
    }

    /// The playlist with two segments in the wrong order.
    pub(super) fn swapped(&self, at: usize, now: Duration) -> Option<Listing> {
        let mut listing = self.listing(now)?;
        if at + 1 < listing.segments.len() {
            listing.segments.swap(at, at + 1);
            let first = self.playlist.first()?.sequence;
            for (one, sequence) in listing.segments.iter_mut().zip(first..) {
                one.segment.sequence = sequence;
            }
        }
        Some(listing)
    }

    fn listing_of(&self, segments: &[Segment], now: Duration) -> Listing {
        let listed = segments.iter().map(|one| Listed {
            segment: one.clone(),
            version: self.file(&one.uri, now).map(|(_, version)| version),
        });
        Listing {
            playlist: format!("{}.m3u8", self.name).into(),
            segments: listed.collect(),
            target: Duration::from_secs(2),
            ended: self.ended,
            age: now.saturating_sub(self.written),
        }
    }
}

/// Every content has one of its own.
fn version_of(content: usize) -> Version {
    Version {
        tag: content as u64 + 1,
        len: 1000,
    }
}
