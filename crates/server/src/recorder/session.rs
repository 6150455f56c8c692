//! One session of a stream: from its first segment to its end or the encoder's restart.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use clipmill::source::{FileSource, HttpSettings, HttpSource, Reach};
use clipmill::{
    AnySource, AudioRendition, Composer, Limits, Location, ReadSegment, SegmentError, SegmentIndex,
    Ticks,
};
use clipmill_playlist::{Segment, candidates};

use super::boundary::{self, Mark};
use super::growing::Growing;
use super::line::{Held, Holding, Line, Unkept, first_timestamp};
use super::make::rfc3339;
use super::switch::Tape;
use crate::catalog::Boundary;
use crate::model::{VodGap, now_ms};
use crate::sources::session::{FileMark, Pulse, silence};
use crate::sources::taken::{Files, Taken, TakenSegment, head_of};
use crate::spool::{Content, Kept, Label, Spool, SpoolError};

/// A file that was written to this recently may still be written to, while it is the last one
/// listed.
const SETTLE: Duration = Duration::from_millis(150);

/// How long after a key did not fit, or was not there, it is asked for again.
const KEY_PAUSE: Duration = Duration::from_millis(500);

/// A file that was written to this recently may be caught half-written.
const YOUNG: Duration = Duration::from_secs(2);

/// Timestamps that stand still for longer have jumped, in 90 kHz ticks.
const LONG_PAUSE: Ticks = 900_000;

/// So many of a file's first bytes tell whether it is still the same one.
const HEAD: u64 = 4096;

/// So many segments of a session are copied rather than linked: see the spool.
const COPIED: u64 = 2;

/// How far the periodic clips of a session have come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Recording {
    /// Nobody wants any.
    Off,
    /// The first begins at the first sync sample from here on.
    Waiting(Ticks),
    /// The next begins where an earlier run of this server left off.
    Resuming(Box<Boundary>),
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

/// What became of a segment that is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intake {
    /// It is on the line, or will never be.
    Done,
    /// It is not there yet, or still written to.
    Later(Duration),
}

/// Where a session's segments come from and are kept.
pub(crate) struct Place<'a> {
    pub(crate) app: &'a str,
    pub(crate) stream: &'a str,
    /// Segments lie below this folder.
    pub(crate) root: &'a Path,
    /// URLs in playlists lead no further.
    pub(crate) reach: Reach,
    pub(crate) spool: &'a Arc<Spool>,
    /// How long a segment is waited for that is listed and not there.
    pub(crate) patience: Duration,
}

/// The files of a playlist's segments, on disk.
pub(crate) struct OnDisk<'a> {
    pub(crate) playlist: &'a Path,
    /// Segments lie below this folder.
    pub(crate) root: &'a Path,
}

impl Files for OnDisk<'_> {
    fn mark(&mut self, segment: &Segment) -> Option<FileMark> {
        mark_of(self.playlist, segment, self.root)
    }

    fn head(&mut self, segment: &Segment) -> Option<u64> {
        let path = locate(self.playlist, segment, self.root).ok()?;
        let mut head = Vec::new();
        let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
        read.ok().map(|_| head_of(&head))
    }
}

/// One session of a stream.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) folder: PathBuf,
    pub(crate) playlist: PathBuf,
    pub(crate) sub_folder: Option<String>,
    pub(crate) line: Line,
    /// What was taken of the stream, by this session and those before it.
    pub(crate) taken: Taken,
    pub(crate) pulse: Pulse,
    pub(crate) target: Duration,
    pub(crate) recording: Recording,
    /// How long a periodic clip is.
    pub(crate) interval: Duration,
    pub(crate) ending: Option<Ending>,
    /// It was told to record on while its last clip was in the making.
    pub(crate) goes_on: bool,
    /// Periodic clips made before the one in the making, over all sessions.
    pub(crate) ordinal: u64,
    /// Whether one of them was made in this session.
    pub(crate) has_clips: bool,
    /// When the last segment came.
    pub(crate) grown_at: Instant,
    /// What is missing before the first clip that is made of it.
    pub(crate) hole: Option<VodGap>,
    /// The clip in the making is the first of the session: sound ahead of its first picture belongs
    /// to it.
    pub(crate) from_the_start: bool,
    /// Its beginning has been told to the world.
    pub(crate) announced: bool,
    /// File names come back: nothing is linked any more.
    names_reused: bool,
    /// Segments that were added to the line.
    added: u64,
    /// Any segment was taken, or passed over.
    pub(crate) seen_any: bool,
    /// Up to which number segments were listed, and since when. Those that are taken are forgotten.
    listed: VecDeque<(u64, Instant)>,
    /// What is listed and was not there yet, with what its files looked like.
    pending: Vec<(Segment, Option<FileMark>)>,
    /// The last segment's timestamp and instant.
    pub(crate) dated: Option<Dated>,
    /// Why the last segment could not be used, if so.
    useless: Option<String>,
    /// Puts sound that is in playlists of its own into the segments of the pictures.
    composer: Option<Composer>,
    /// Nothing of the same run follows the segment that is taken.
    pub(crate) run_ends: bool,
    /// Why segments cannot be kept, while they cannot.
    pub(crate) not_kept: Option<SpoolError>,
    /// The segment that was added last, by its number on the line.
    pub(crate) fresh: Option<(u64, Bytes)>,
    /// The periodic clip in the making, as far as it is written.
    pub(crate) growing: Option<Growing>,
    /// The recording that runs.
    pub(crate) tape: Option<Tape>,
}

impl Session {
    /// A session that begins now.
    pub(crate) fn new(
        id: String,
        folder: PathBuf,
        playlist: &Path,
        sub_folder: Option<&str>,
        target: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            id,
            folder,
            playlist: playlist.to_owned(),
            sub_folder: sub_folder.map(str::to_owned),
            line: Line::default(),
            taken: Taken::default(),
            pulse: Pulse::new(now, target),
            target,
            recording: Recording::Off,
            interval: Duration::from_secs(600),
            ending: None,
            goes_on: false,
            ordinal: 0,
            has_clips: false,
            grown_at: now,
            hole: None,
            from_the_start: false,
            announced: false,
            names_reused: false,
            added: 0,
            seen_any: false,
            listed: VecDeque::new(),
            pending: Vec::new(),
            dated: None,
            useless: None,
            composer: None,
            run_ends: false,
            not_kept: None,
            fresh: None,
            growing: None,
            tape: None,
        }
    }

    /// A name for a session that begins now with this sequence number. Later ones sort later,
    /// even when the clock was set back since the `latest`.
    pub(crate) fn new_id(first_sequence: u64, latest: Option<&str>) -> String {
        let began = |id: &str| id.split('-').next()?.parse::<i64>().ok();
        let after = latest
            .and_then(began)
            .map_or(0, |then| then.saturating_add(1));
        format!("{:013}-{first_sequence}", now_ms().max(after))
    }

    /// A segment that the playlist lists: `remaining` is its length and that of all after it.
    pub(crate) fn take(
        &mut self,
        segment: &Segment,
        last: bool,
        remaining: Duration,
        place: &Place<'_>,
    ) -> Intake {
        let duration = ticks(segment.duration);
        if segment.gap {
            return self.pass_over(segment, None, None, place);
        }
        let found = match self.read(segment, last, place) {
            Ok(found) => found,
            Err(Trouble::Settling(wait)) => return Intake::Later(wait),
            Err(Trouble::Unsupported(what)) => return self.of_no_use(segment, None, what, place),
            Err(Trouble::NotThere(reason, wait)) => {
                if let Some(least) = self.patience(segment.sequence, last, place) {
                    return Intake::Later(wait.max(least));
                }
                return self.pass_over(segment, None, Some(&reason), place);
            }
        };
        let mark = found.mark;
        let own = found.whole_file.then_some(mark);
        if self.taken.repeats(segment, own) {
            let (app, stream, uri) = (place.app, place.stream, segment.uri.as_str());
            tracing::warn!(app, stream, uri, "a segment is listed twice: taken once");
            self.taken.saw(segment, own, None, None);
            self.grew();
            return Intake::Done;
        }
        let found = match self.with_sound(found, segment, place) {
            Ok(Some(found)) => found,
            Ok(None) => return Intake::Later(SETTLE),
            Err(error) => return self.not_indexed(segment, last, mark, &error, place),
        };
        let index = match self.line.index(&found.read, segment.discontinuity) {
            Ok(index) => index,
            Err(error) => return self.not_indexed(segment, last, mark, &error, place),
        };
        let start_time = match segment.start_time {
            Some(time) => Some(time),
            None => self.date(&index, segment, found.mark, remaining),
        };
        if self.added == 0 && self.line.missing() > 0 && self.hole.is_none() {
            self.hole = start_time.map(|to| missing(to - delta(self.line.missing()), to));
        }
        let label = self.line.label(Label {
            sequence: segment.sequence,
            duration,
            start_time,
            discontinuity: false,
            missing_before: 0,
            init: None,
            changed: !found.as_it_is(),
            file: Taken::file(segment, own),
        });
        let holding = self.keep(label, &found, place);
        if found.composed && holding.is_none() {
            let reason = "there is no room to keep it with its sound";
            return self.pass_over(segment, Some(found.mark), Some(reason), place);
        }
        let may_be_kept_later = holding.is_none() && !label.changed;
        let unkept = may_be_kept_later.then(|| Unkept {
            label,
            init: found.read.init.clone(),
        });
        let head = found.as_it_is().then(|| {
            let bytes = &found.read.bytes;
            head_of(bytes.get(..HEAD as usize).unwrap_or(bytes))
        });
        let held = Held {
            mark: match &holding {
                Some((kept, _)) => kept.mark,
                None => found.mark,
            },
            holding: holding.map(|(_, holding)| holding),
            byte_range: segment.byte_range,
            key: found.read.key,
            unkept,
            as_it_is: !label.changed,
            ..Held::of(found.path.clone(), found.mark)
        };
        self.line.push(&label, index, held);
        let newest = self.line.timeline().segments().back();
        self.fresh = newest.map(|newest| (newest.number, found.read.bytes));
        self.taken.saw(segment, own, head, start_time);
        self.grew();
        if self.useless.take().is_some() {
            let (app, stream) = (place.app, place.stream);
            tracing::info!(app, stream, "segments can be used again");
        }
        Intake::Done
    }

    /// Why nothing can be had of what comes: of no use, or no more than this.
    pub(crate) fn why_nothing(&self) -> Option<String> {
        if let Some(useless) = &self.useless {
            return Some(useless.clone());
        }
        let timeline = self.line.timeline();
        let mut segments = timeline.segments().iter();
        let first = segments.find_map(|segment| segment.first_presented)?;
        let at = |ticks| Some(rfc3339(boundary::time_ms(timeline, ticks)?));
        let (from, to) = (at(first)?, at(timeline.end()?)?);
        Some(format!("what is kept of it lies from {from} to {to}"))
    }

    /// Has sound that is listed in playlists of its own recorded with the pictures.
    pub(crate) fn add_sound(&mut self, renditions: &[AudioRendition]) {
        if !renditions.is_empty() {
            self.composer = Some(Composer::new(renditions.to_vec(), &Limits::default()));
        }
    }

    /// Whether there is such sound.
    pub(crate) fn has_sound_beside(&self) -> bool {
        self.composer.is_some()
    }

    /// A segment with the sound that belongs to it; `None` while that is not there yet.
    fn with_sound(
        &mut self,
        found: Found,
        segment: &Segment,
        place: &Place<'_>,
    ) -> Result<Option<Found>, SegmentError> {
        if self.composer.is_none() {
            return Ok(Some(found));
        }
        let patient = self.patience(segment.sequence, false, place).is_some();
        let Some(composer) = &mut self.composer else {
            return Ok(Some(found));
        };
        let after_gap = segment.discontinuity || self.line.missing() > 0;
        let source = sound_source(place.root, place.reach);
        let mut said = Vec::new();
        let read = &found.read;
        let waits = (patient, self.run_ends);
        let composed = composer.compose(&source, segment, read, after_gap, waits, &mut said)?;
        for what in said {
            let (app, stream) = (place.app, place.stream);
            tracing::error!(app, stream, "sound is lost: {what}");
        }
        Ok(composed.map(|read| Found {
            read,
            composed: true,
            ..found
        }))
    }

    fn not_indexed(
        &mut self,
        segment: &Segment,
        last: bool,
        mark: FileMark,
        error: &SegmentError,
        place: &Place<'_>,
    ) -> Intake {
        if error.is_final() {
            return self.of_no_use(segment, Some(mark), error.to_string(), place);
        }
        let age = mark.modified().elapsed().unwrap_or_default();
        if age < YOUNG
            && let Some(wait) = self.patience(segment.sequence, last, place)
        {
            return Intake::Later(wait);
        }
        let reason = error.to_string();
        self.pass_over(segment, Some(mark), Some(&reason), place)
    }

    /// Whether segments are listed that are not taken yet.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What is listed and not taken yet, with what its files look like.
    pub(crate) fn expect(&mut self, listed: &[Segment], marks: Vec<Option<FileMark>>) {
        self.pending = listed.iter().cloned().zip(marks).collect();
    }

    /// Takes what was still expected when the playlist goes, if nobody has written it anew; the rest is
    /// missing, but not taken: should it come after all, it belongs to the next session.
    ///
    /// Those from `before` on are left alone: they are still listed, and taken as such. Of the others nobody
    /// knows yet how many are missing.
    pub(crate) fn take_expected(&mut self, before: Option<u64>, place: &Place<'_>) {
        for (segment, then) in std::mem::take(&mut self.pending) {
            let seen = self
                .taken
                .next()
                .is_some_and(|next| segment.sequence < next);
            let gone = before.is_none_or(|before| segment.sequence < before);
            if seen || !gone {
                continue;
            }
            let now = mark_of(&self.playlist, &segment, place.root);
            let same = match (then, now) {
                (Some(then), Some(now)) => then == now || then.grew_to(&now),
                _ => false,
            };
            let taken = same && self.take(&segment, false, segment.duration, place) == Intake::Done;
            if !taken && before.is_none() {
                tracing::error!(
                    app = place.app,
                    stream = place.stream,
                    segment = segment.uri,
                    sequence = segment.sequence,
                    "a segment is lost: its playlist was gone before it was there"
                );
                self.line.miss(ticks(segment.duration));
            }
        }
    }

    /// A segment that an earlier run of this server kept, and its file as the media server has it.
    pub(crate) fn take_kept(&mut self, kept: Kept, original: Option<PathBuf>, spool: &Arc<Spool>) {
        let label = kept.label;
        self.line.miss(label.missing_before);
        let mark = (!label.changed).then_some(kept.mark);
        let segment = label_of(&kept);
        self.taken.saw_before(&segment, label.discontinuity, mark);
        self.added += 1;
        self.seen_any = true;
        let read = spool.read(&kept).map_err(|error| error.to_string());
        let indexed = read.and_then(|(bytes, init)| {
            let read = ReadSegment {
                file: None,
                bytes,
                key: None,
                init,
            };
            let index = self.line.index(&read, label.discontinuity);
            index.map_err(|error| error.to_string())
        });
        match indexed {
            Ok(index) => {
                let first = first_timestamp(&index).zip(label.start_time);
                self.dated = first.map(|(timestamp, time)| Dated {
                    timestamp,
                    time,
                    before: false,
                });
                if let Some(composer) = &mut self.composer {
                    composer.resume(&index);
                }
                let held = Held {
                    original_mark: kept.mark,
                    original: original.filter(|_| !label.changed),
                    mark: kept.mark,
                    holding: Some(Holding::new(spool, kept)),
                    byte_range: None,
                    key: None,
                    unkept: None,
                    as_it_is: !label.changed,
                };
                self.line.push(&label, index, held);
            }
            Err(error) => {
                tracing::error!(path = %kept.path.display(), error, "a kept segment is lost");
                self.line.miss(label.duration);
                spool.release(&kept);
            }
        }
    }

    fn grew(&mut self) {
        self.seen_any = true;
        let now = Instant::now();
        self.grown_at = now;
        self.pulse = Pulse::new(now, self.target);
    }

    /// A segment of which nothing can ever be had. The next one will be no better: it is said once.
    fn of_no_use(
        &mut self,
        segment: &Segment,
        mark: Option<FileMark>,
        reason: String,
        place: &Place<'_>,
    ) -> Intake {
        if self.useless.as_ref() != Some(&reason) {
            tracing::error!(
                app = place.app,
                stream = place.stream,
                segment = segment.uri,
                sequence = segment.sequence,
                "no clips can be made: {reason}"
            );
        }
        let passed = self.pass_over(segment, mark, None, place);
        self.useless = Some(reason);
        passed
    }

    /// A segment that will never come.
    fn pass_over(
        &mut self,
        segment: &Segment,
        mark: Option<FileMark>,
        reason: Option<&str>,
        place: &Place<'_>,
    ) -> Intake {
        if let Some(reason) = reason {
            tracing::error!(
                app = place.app,
                stream = place.stream,
                segment = segment.uri,
                sequence = segment.sequence,
                reason,
                "a segment is lost"
            );
            self.useless = Some(format!("segment {}: {reason}", segment.uri));
        }
        self.line.miss(ticks(segment.duration));
        self.taken.saw(segment, mark, None, None);
        self.grew();
        Intake::Done
    }

    /// How long to wait before looking for a segment again; `None` when it is given up.
    ///
    /// It is waited for since it was listed: several that are missing are waited for together.
    fn patience(&mut self, sequence: u64, last: bool, place: &Place<'_>) -> Option<Duration> {
        let since = self.listed.iter().find(|(upto, _)| *upto >= sequence);
        let since = since.map_or_else(Instant::now, |(_, since)| *since);
        // Some servers list a segment when they begin to write it.
        let limit = if last {
            silence(self.target).max(place.patience)
        } else {
            place.patience
        };
        (since.elapsed() < limit).then_some(SETTLE)
    }

    /// Segments up to this number are listed.
    pub(crate) fn lists(&mut self, upto: u64) {
        let next = self.taken.next();
        self.listed
            .retain(|(listed, _)| next.is_none_or(|next| *listed >= next));
        if self.listed.back().is_none_or(|(listed, _)| *listed < upto) {
            self.listed.push_back((upto, Instant::now()));
        }
    }

    fn read(&mut self, segment: &Segment, last: bool, place: &Place<'_>) -> Result<Found, Trouble> {
        let gone = |reason: &dyn std::fmt::Display| Trouble::NotThere(reason.to_string(), SETTLE);
        let path = locate(&self.playlist, segment, place.root).map_err(|error| gone(&error))?;
        let look = || {
            let metadata = std::fs::metadata(&path).map_err(|error| gone(&error))?;
            Ok(FileMark::of(&metadata))
        };
        let mark = look()?;
        let age = SystemTime::now().duration_since(mark.modified());
        let fresh = age.ok().filter(|age| last && *age < SETTLE);
        if let Some(age) = fresh {
            return Err(Trouble::Settling(SETTLE.saturating_sub(age)));
        }
        if mark.len == 0 {
            return Err(gone(&"it is empty"));
        }
        let playlist = Location::File(self.playlist.clone());
        let source = AnySource::for_playlist(&playlist, false).within_reach(place.reach);
        let read = self.line.read(&source, segment, &self.playlist);
        let read = read.map_err(|error| match error {
            SegmentError::Unsupported(_) => Trouble::Unsupported(error.to_string()),
            // Each time, the key is asked for again.
            SegmentError::Key(_) | SegmentError::Decrypt(_) => {
                Trouble::NotThere(error.to_string(), KEY_PAUSE)
            }
            error => gone(&error),
        })?;
        let whole_file = segment.byte_range.is_none();
        if look()? != mark && whole_file {
            return Err(Trouble::Settling(SETTLE));
        }
        let torn = read.bytes.first() == Some(&0x47) && read.bytes.len() % 188 != 0;
        // By a clock that is ahead of ours it is from the future.
        let young = mark.modified().elapsed().map_or(true, |age| age < YOUNG);
        if last && torn && young {
            return Err(Trouble::Settling(SETTLE));
        }
        Ok(Found {
            whole_file,
            composed: false,
            path,
            mark,
            read,
        })
    }

    fn keep(
        &mut self,
        label: Label,
        found: &Found,
        place: &Place<'_>,
    ) -> Option<(Kept, Arc<Holding>)> {
        let may_link = found.as_it_is() && !self.names_reused && self.added >= COPIED;
        self.added += 1;
        let content = Content {
            bytes: &found.read.bytes,
            init: found.read.init.as_ref(),
            mark: found.mark,
            from: may_link.then_some(found.path.as_path()),
        };
        match place.spool.keep(&self.folder, label, &content) {
            Ok(kept) => {
                if !self.line.has_unkept() {
                    self.not_kept = None;
                }
                let holding = Holding::new(place.spool, kept.clone());
                Some((kept, holding))
            }
            // It is used where it lies, and lost if it is deleted before it can be kept, or its
            // clip is cut.
            Err(error) => {
                self.not_kept = Some(error);
                None
            }
        }
    }

    /// Tries anew to keep what could not be kept, as far as the media server still has it.
    pub(crate) fn keep_again(&mut self, place: &Place<'_>) {
        if !self.line.has_unkept() {
            return;
        }
        let may_link = !self.names_reused && self.added >= COPIED;
        let (folder, mut trouble) = (&self.folder, None);
        self.line.keep_again(|held, unkept| {
            let from = held.original.as_deref()?;
            let kept = std::fs::read(from)
                .map_err(|error| SpoolError::new(from, error))
                .and_then(|bytes| {
                    let content = Content {
                        bytes: &bytes,
                        init: unkept.init.as_ref(),
                        mark: held.original_mark,
                        from: may_link.then_some(from),
                    };
                    place.spool.keep(folder, unkept.label, &content)
                });
            match kept {
                Ok(kept) => Some((kept.clone(), Holding::new(place.spool, kept))),
                Err(error) => {
                    trouble = Some(error);
                    None
                }
            }
        });
        self.not_kept = trouble;
    }

    /// When a segment began that the playlist does not date: as long after the one before as its
    /// timestamps say; the first one, and one after a jump, by its arrival.
    fn date(
        &mut self,
        index: &SegmentIndex,
        segment: &Segment,
        mark: FileMark,
        remaining: Duration,
    ) -> Option<DateTime<Utc>> {
        let first = first_timestamp(index)?;
        let usual = 3 * ticks(self.target) + self.line.missing();
        let usual = 0..=usual.max(LONG_PAUSE);
        let now = Utc::now();
        let listed = now - TimeDelta::from_std(remaining).unwrap_or_default();
        let written = DateTime::<Utc>::from(mark.modified());
        let plausible = written <= now && written >= listed - TimeDelta::minutes(1);
        let arrived = if plausible {
            written - delta(ticks(segment.duration))
        } else {
            listed
        };
        let continued = self
            .dated
            .filter(|_| !segment.discontinuity)
            .and_then(|last| last.continued(first, &usual, arrived));
        let time = continued.unwrap_or(arrived);
        self.dated = Some(Dated {
            timestamp: first,
            time,
            before: false,
        });
        Some(time)
    }

    /// Makes what is kept independent of the media server's files, as their names come back.
    pub(crate) fn harden(&mut self) {
        self.names_reused = true;
        for held in self.line.held() {
            let Some(holding) = &held.holding else {
                continue;
            };
            match holding.harden() {
                Ok(true) => {}
                Ok(false) => tracing::error!(
                    segment = held
                        .original
                        .as_ref()
                        .map(|path| path.display().to_string()),
                    "a segment was overwritten before it could be copied"
                ),
                Err(error) => tracing::error!(%error, "a segment cannot be copied"),
            }
        }
    }

    /// Takes segments out whose content is lost.
    pub(crate) fn lose(&mut self, lost: &[u64]) {
        let mark = match &self.recording {
            Recording::On(mark) => {
                Some(mark.to_boundary(self.line.timeline(), &self.id, self.ordinal))
            }
            _ => None,
        };
        self.line.lose(lost);
        self.growing = None;
        if let Some(boundary) = mark {
            self.recording = Recording::Resuming(Box::new(boundary));
        }
    }

    /// The instant of the live edge, in milliseconds since 1970.
    pub(crate) fn edge_ms(&self) -> Option<i64> {
        let timeline = self.line.timeline();
        boundary::time_ms(timeline, timeline.end()?)
    }
}

/// What dates the segment that follows, where the playlist does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dated {
    /// The first timestamp of a segment.
    timestamp: Ticks,
    /// When that is presented.
    time: DateTime<Utc>,
    /// It is of the session before: timestamps may have begun anew since.
    before: bool,
}

impl Dated {
    /// For the session that follows.
    pub(crate) fn of_before(self) -> Self {
        Self {
            before: true,
            ..self
        }
    }

    /// When a later timestamp is presented. `None` where timestamps did not go on in the `usual` steps.
    fn continued(
        self,
        timestamp: Ticks,
        usual: &RangeInclusive<Ticks>,
        arrived: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let elapsed = timestamp.checked_sub(self.timestamp)?;
        let time = self.time + delta(elapsed);
        // Where they began anew they may look as if they went on, but do not arrive in time.
        let late = (arrived - time).abs() > delta(LONG_PAUSE);
        let anew = self.before && (late || elapsed == 0);
        (usual.contains(&elapsed) && !anew).then_some(time)
    }
}

/// What is said of segments that never came.
pub(crate) fn missing(from: DateTime<Utc>, to: DateTime<Utc>) -> VodGap {
    VodGap {
        from: Some(rfc3339(from.timestamp_millis())),
        to: Some(rfc3339(to.timestamp_millis())),
        reason: "segments are missing".to_owned(),
    }
}

/// A kept segment as one that was taken.
pub(crate) fn label_of(kept: &Kept) -> TakenSegment {
    let Label {
        sequence,
        start_time,
        changed,
        mut file,
        ..
    } = kept.label;
    if file == (0, 0) && !changed {
        file.1 = crate::sources::taken::version_of(&kept.mark);
    }
    TakenSegment {
        sequence: Some(sequence),
        date_us: start_time.map_or(0, |time| time.timestamp_micros()),
        file,
    }
}

/// A segment's content.
struct Found {
    path: PathBuf,
    mark: FileMark,
    read: ReadSegment,
    whole_file: bool,
    /// It holds the sound of other segments as well.
    composed: bool,
}

impl Found {
    /// Whether the content is that of the file byte for byte.
    fn as_it_is(&self) -> bool {
        self.whole_file && self.read.key.is_none() && !self.composed
    }
}

/// Why there is no content yet.
enum Trouble {
    Settling(Duration),
    /// And when to look again.
    NotThere(String, Duration),
    Unsupported(String),
}

/// Sound lies anywhere in the streams folder.
pub(crate) fn sound_source(root: &Path, reach: Reach) -> AnySource {
    let settings = HttpSettings {
        reach,
        ..HttpSettings::default()
    };
    AnySource::new(FileSource::within(root), HttpSource::new(settings))
}

/// The file of a segment, links resolved, inside `root`.
pub(crate) fn locate(playlist: &Path, segment: &Segment, root: &Path) -> io::Result<PathBuf> {
    let base = Location::File(playlist.to_owned());
    let readings = candidates(&base, &segment.uri, Some(root)).map_err(io::Error::other)?;
    let mut first_error = None;
    for reading in readings {
        let Location::File(path) = reading else {
            return Err(io::Error::other("it is not a file"));
        };
        match std::fs::canonicalize(&path) {
            Ok(real) if real.starts_with(root) => return Ok(real),
            Ok(_) => return Err(io::Error::other("it leads outside the streams folder")),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

/// What the file of a segment looks like. One file that holds all segments changes all the time
/// and tells nothing.
pub(crate) fn mark_of(playlist: &Path, segment: &Segment, root: &Path) -> Option<FileMark> {
    let path = locate(playlist, segment, root).ok()?;
    let metadata = std::fs::metadata(path).ok()?;
    segment
        .byte_range
        .is_none()
        .then(|| FileMark::of(&metadata))
}

/// The longest that a segment is taken to last, three years: as many of them as a playlist may list
/// still add up.
const LONGEST: Ticks = Ticks::MAX / 1_000_000;

/// A duration in 90 kHz ticks.
pub(crate) fn ticks(duration: Duration) -> Ticks {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    (micros.saturating_mul(9).saturating_add(50) / 100).min(LONGEST)
}

/// 90 kHz ticks as a duration.
pub(crate) fn delta(ticks: Ticks) -> TimeDelta {
    TimeDelta::microseconds(ticks.saturating_mul(100) / 9)
}
