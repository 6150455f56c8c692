//! The segments of a session that is live: each is read, decrypted, put together with its sound,
//! indexed and kept, once, and then given to the session.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clipmill::live::{Taken, TakenSegment, Timeouts, Version};
use clipmill::{
    AudioRendition, Composer, Limits, SegmentError, SegmentIndex, Ticks, duration_ticks,
};
use clipmill_playlist::{Location, Segment};

use super::app::App;
use super::dated::{LastDated, Undated};
use super::intake::{Arrived, Came};
use super::keeper::{Keeper, Unkept};
use super::media::SegmentFile;
use super::reading::Reading;
use super::shared::Shared;
use crate::sources::folder::{SETTLE, YOUNG};
use crate::sources::on_disk::HEAD;
use crate::sources::session::{FileMark, Pulse};
use crate::sources::{Fetched, NotFetched, StreamSource};
use crate::spool::{Content, Holding, Kept, Label, SpoolError, read};

/// Late sound is looked for this often, besides whenever its playlist changes: the file that it names
/// may still be written to.
const LATE: Duration = Duration::from_millis(500);

/// What became of a segment that is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Took {
    /// It was given to the session, or will never be.
    Done,
    /// It is not there yet, or still written to.
    Later(Duration),
}

/// The stream that segments are taken in for.
pub(crate) struct Place<'a> {
    pub(crate) app: &'a App,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) stream: &'a str,
    /// Where it comes from.
    pub(crate) source: &'a dyn StreamSource,
    /// How long a segment is waited for that is listed and not there.
    pub(crate) patience: Duration,
    /// Is told what came.
    pub(crate) tell: &'a dyn Fn(Came),
}

impl<'a> Place<'a> {
    pub(crate) fn new(
        app: &'a App,
        shared: &'a Arc<Shared>,
        stream: &'a str,
        tell: &'a dyn Fn(Came),
    ) -> Self {
        Self {
            app,
            shared,
            stream,
            source: app.streams_source(),
            patience: app.settings().segment_patience,
            tell,
        }
    }

    /// As troubles name the keeping of its segments.
    pub(crate) fn concern(&self) -> String {
        format!("{}/{}: segments", self.app.name(), self.stream)
    }
}

/// Where the segments of a session come from, and how far that has come.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) session: String,
    pub(crate) playlist: Location,
    pub(crate) sub_folder: Option<String>,
    pub(crate) target: Duration,
    pub(crate) pulse: Pulse,
    reading: Reading,
    pub(crate) keeper: Keeper,
    /// Up to which number segments were listed, and since when. Those that are taken are forgotten.
    listed: VecDeque<(u64, Instant)>,
    /// What is listed and was not there yet, with the version of what there was.
    pending: Vec<(Segment, Option<Version>)>,
    /// The last segment's timestamp and instant.
    pub(crate) dated: Option<LastDated>,
    /// What the last segment is labelled with.
    last: Option<Label>,
    /// Puts sound that is in playlists of its own into the segments of the pictures.
    composer: Option<Composer>,
    /// A segment that was read, by its number, and whose sound is late.
    late: Option<(u64, Fetched)>,
    /// Nothing of the same run follows the segment that is taken.
    pub(crate) run_ends: bool,
    /// Why the last segment could not be used, if so.
    useless: Option<String>,
}

impl Feed {
    pub(crate) fn new(
        session: String,
        folder: PathBuf,
        playlist: Location,
        sub_folder: Option<String>,
        target: Duration,
    ) -> Self {
        Self {
            session,
            playlist,
            sub_folder,
            target,
            pulse: Pulse::new(Instant::now(), target),
            reading: Reading::default(),
            keeper: Keeper::new(folder),
            listed: VecDeque::new(),
            pending: Vec::new(),
            dated: None,
            last: None,
            composer: None,
            late: None,
            run_ends: false,
            useless: None,
        }
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

    /// What the last segment is labelled with.
    pub(crate) fn last(&self) -> Option<&Label> {
        self.last.as_ref()
    }

    /// Length of the segments that are missing since the last one.
    pub(crate) fn missing(&self) -> Ticks {
        self.reading.missing()
    }

    /// Whether segments are listed that are not taken yet.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// A segment that the playlist lists: `remaining` is its length and that of all after it.
    pub(crate) fn take(
        &mut self,
        taken: &mut Taken,
        segment: &Segment,
        last: bool,
        remaining: Duration,
        place: &Place<'_>,
    ) -> Took {
        if segment.gap {
            return self.pass_over(taken, segment, None, None, place);
        }
        let found = match self.find(segment, last, place) {
            Ok(found) => found,
            Err(NotFetched::Unfinished(wait)) => return Took::Later(wait),
            Err(NotFetched::Unsupported(what)) => {
                return self.of_no_use(taken, segment, None, what, place);
            }
            Err(NotFetched::Missing(reason, wait)) => {
                if let Some(least) = self.patience(segment.sequence, last, place) {
                    return Took::Later(wait.max(least));
                }
                return self.pass_over(taken, segment, None, Some(&reason), place);
            }
        };
        let (mark, own) = (found.mark, found.version);
        if taken.repeats(segment, own) {
            let (app, stream, uri) = (place.app.name(), place.stream, segment.uri.as_str());
            tracing::warn!(app, stream, uri, "a segment is listed twice: taken once");
            self.miss(taken, segment, own, 0, place);
            return Took::Done;
        }
        let found = match self.with_sound(found, segment, place) {
            Ok(Some(found)) => found,
            Ok(None) => return Took::Later(LATE),
            Err(error) => {
                return self.not_indexed(taken, segment, last, (mark, own), &error, place);
            }
        };
        let index = match self.reading.index(&found.read, segment.discontinuity) {
            Ok(index) => index,
            Err(error) => {
                return self.not_indexed(taken, segment, last, (mark, own), &error, place);
            }
        };
        self.arrive(taken, segment, found, index, remaining, place)
    }

    /// A segment that was indexed: it is dated, kept, and given to the session.
    fn arrive(
        &mut self,
        taken: &mut Taken,
        segment: &Segment,
        found: Fetched,
        index: SegmentIndex,
        remaining: Duration,
        place: &Place<'_>,
    ) -> Took {
        let own = found.version;
        let start_time = segment.start_time.or_else(|| {
            let undated = Undated {
                index: &index,
                duration: segment.duration,
                discontinuity: segment.discontinuity,
                mark: found.mark,
                remaining,
                target: self.target,
                missing: self.reading.missing(),
            };
            let (dated, time) = LastDated::follow(self.dated, &undated)?;
            self.dated = Some(dated);
            Some(time)
        });
        let label = self.reading.label(Label {
            sequence: segment.sequence,
            duration: duration_ticks(segment.duration),
            start_time,
            discontinuity: false,
            missing_before: 0,
            init: None,
            changed: !found.as_it_is(),
            file: Taken::file(segment, own),
        });
        let id = self.keeper.added;
        let content = Content {
            bytes: &found.read.bytes,
            init: found.read.init.as_ref(),
            mark: found.mark,
            from: found.as_it_is().then_some(found.path.as_path()),
        };
        let holding = self.keeper.keep(&place.shared.spool, label, content);
        if found.composed && holding.is_none() {
            let reason = "there is no room to keep it with its sound";
            return self.pass_over(taken, segment, own, Some(reason), place);
        }
        if holding.is_none() && !label.changed {
            self.keeper.later(Unkept {
                id,
                label,
                init: found.read.init.clone(),
                path: found.path.clone(),
                mark: found.mark,
            });
        }
        let head = found.as_it_is().then(|| {
            let bytes = &found.read.bytes;
            Taken::head(bytes.get(..HEAD as usize).unwrap_or(bytes))
        });
        let file = SegmentFile {
            id,
            mark: holding.as_ref().map_or(found.mark, |one| one.mark()),
            holding,
            byte_range: segment.byte_range,
            key: found.read.key,
            as_it_is: !label.changed,
            ..SegmentFile::of(found.path, found.mark)
        };
        place.app.note_links(place.stream, &file);
        taken.saw(segment, own, head, start_time);
        self.reading.taken();
        self.grew();
        if self.useless.take().is_some() {
            let (app, stream) = (place.app.name(), place.stream);
            tracing::info!(app, stream, "segments can be used again");
        }
        let arrived = Arrived {
            label,
            taken: TakenSegment::of(segment, own, start_time),
            index: Arc::new(index),
            file,
            bytes: Some(found.read.bytes),
            first: self.last.replace(label).is_none(),
            target: self.target,
            next_listed: taken.next_listed(),
        };
        (place.tell)(Came::Segment(Box::new(arrived)));
        Took::Done
    }

    /// A segment with the sound that belongs to it; `None` while that is not there yet.
    fn with_sound(
        &mut self,
        found: Fetched,
        segment: &Segment,
        place: &Place<'_>,
    ) -> Result<Option<Fetched>, SegmentError> {
        if self.composer.is_none() {
            return Ok(Some(found));
        }
        let patient = self.patience(segment.sequence, false, place).is_some();
        let Some(composer) = &mut self.composer else {
            return Ok(Some(found));
        };
        let after_gap = segment.discontinuity || self.reading.missing() > 0;
        let source = place.source.anywhere();
        let mut said = Vec::new();
        let read = &found.read;
        let waits = (patient, self.run_ends);
        let composed = composer.compose(&source, segment, read, after_gap, waits, &mut said)?;
        for what in said {
            let (app, stream) = (place.app.name(), place.stream);
            tracing::error!(app, stream, "sound is lost: {what}");
        }
        let Some(read) = composed else {
            self.late = Some((segment.sequence, found));
            return Ok(None);
        };
        Ok(Some(Fetched {
            read,
            composed: true,
            ..found
        }))
    }

    fn not_indexed(
        &mut self,
        taken: &mut Taken,
        segment: &Segment,
        last: bool,
        (mark, own): (FileMark, Option<Version>),
        error: &SegmentError,
        place: &Place<'_>,
    ) -> Took {
        if error.is_final() {
            return self.of_no_use(taken, segment, own, error.to_string(), place);
        }
        let age = mark.modified().elapsed().unwrap_or_default();
        if age < YOUNG
            && let Some(wait) = self.patience(segment.sequence, last, place)
        {
            return Took::Later(wait);
        }
        let reason = error.to_string();
        self.pass_over(taken, segment, own, Some(&reason), place)
    }

    /// What is listed and not taken yet, with the versions of what there is.
    pub(crate) fn expect(&mut self, listed: &[Segment], place: &Place<'_>) {
        let mut files = place.source.files(&self.playlist);
        let pending = listed.iter().map(|one| (one.clone(), files.version(one)));
        self.pending = pending.collect();
    }

    /// Takes what was still expected when the playlist goes, if nobody has written it anew; the rest is
    /// missing, but not taken: should it come after all, it belongs to the next session.
    ///
    /// Those from `before` on are left alone: they are still listed, and taken as such. Of the others nobody
    /// knows yet how many are missing.
    pub(crate) fn take_expected(
        &mut self,
        taken: &mut Taken,
        before: Option<u64>,
        place: &Place<'_>,
    ) {
        for (segment, then) in std::mem::take(&mut self.pending) {
            let seen = taken.next().is_some_and(|next| segment.sequence < next);
            let gone = before.is_none_or(|before| segment.sequence < before);
            if seen || !gone {
                continue;
            }
            let mut files = place.source.files(&self.playlist);
            let same = match (then, files.version(&segment)) {
                (Some(then), Some(now)) => then == now || files.has_grown(then, now),
                _ => false,
            };
            drop(files);
            let duration = segment.duration;
            let done = same && self.take(taken, &segment, false, duration, place) == Took::Done;
            if !done && before.is_none() {
                tracing::error!(
                    app = place.app.name(),
                    stream = place.stream,
                    segment = segment.uri,
                    sequence = segment.sequence,
                    "a segment is lost: its playlist was gone before it was there"
                );
                self.skip(duration_ticks(duration), place);
            }
        }
    }

    /// A segment that an earlier run of this server kept, and its file as the media server has it.
    pub(crate) fn take_kept(
        &mut self,
        taken: &mut Taken,
        kept: Kept,
        original: Option<PathBuf>,
        place: &Place<'_>,
    ) {
        let label = kept.label;
        self.reading.miss(label.missing_before);
        let version = (!label.changed).then(|| kept.mark.version());
        let segment = label_of(&kept);
        taken.saw_before(&segment, label.discontinuity, version);
        let id = self.keeper.added;
        self.keeper.has();
        let spool = &place.shared.spool;
        let read = read(&kept.path, &label).map_err(|error| error.to_string());
        let indexed = read.and_then(|read| {
            let index = self.reading.index(&read, label.discontinuity);
            index.map_err(|error| error.to_string())
        });
        match indexed {
            Ok(index) => {
                self.dated = LastDated::of(&index, label.start_time);
                if let Some(composer) = &mut self.composer {
                    composer.resume(&index);
                }
                let file = SegmentFile {
                    id,
                    original_mark: kept.mark,
                    original: original.filter(|_| !label.changed),
                    mark: kept.mark,
                    holding: Some(Holding::new(spool, kept)),
                    byte_range: None,
                    key: None,
                    as_it_is: !label.changed,
                };
                place.app.note_links(place.stream, &file);
                let label = self.reading.label(label);
                self.reading.taken();
                let arrived = Arrived {
                    label,
                    taken: segment,
                    index: Arc::new(index),
                    file,
                    bytes: None,
                    first: self.last.replace(label).is_none(),
                    target: self.target,
                    next_listed: taken.next_listed(),
                };
                (place.tell)(Came::Segment(Box::new(arrived)));
            }
            Err(error) => {
                tracing::error!(path = %kept.path.display(), error, "a kept segment is lost");
                self.skip(label.duration, place);
                spool.release(&kept);
            }
        }
    }

    /// Media that never came.
    pub(crate) fn skip(&mut self, duration: Ticks, place: &Place<'_>) {
        self.reading.miss(duration);
        (place.tell)(Came::Missed(duration, None));
    }

    /// So much of a segment that is listed, and taken herewith.
    fn miss(
        &mut self,
        taken: &mut Taken,
        segment: &Segment,
        version: Option<Version>,
        duration: Ticks,
        place: &Place<'_>,
    ) {
        taken.saw(segment, version, None, None);
        self.reading.miss(duration);
        self.grew();
        let segment = TakenSegment::of(segment, version, None);
        (place.tell)(Came::Missed(duration, Some(segment)));
    }

    fn grew(&mut self) {
        self.pulse = Pulse::new(Instant::now(), self.target);
    }

    /// A segment of which nothing can ever be had. The next one will be no better: it is logged once.
    fn of_no_use(
        &mut self,
        taken: &mut Taken,
        segment: &Segment,
        own: Option<Version>,
        reason: String,
        place: &Place<'_>,
    ) -> Took {
        if self.useless.as_ref() != Some(&reason) {
            tracing::error!(
                app = place.app.name(),
                stream = place.stream,
                segment = segment.uri,
                sequence = segment.sequence,
                "no clips can be made: {reason}"
            );
        }
        let passed = self.pass_over(taken, segment, own, None, place);
        self.say_useless(reason, place);
        passed
    }

    /// A segment that will never come.
    fn pass_over(
        &mut self,
        taken: &mut Taken,
        segment: &Segment,
        own: Option<Version>,
        reason: Option<&str>,
        place: &Place<'_>,
    ) -> Took {
        if let Some(reason) = reason {
            tracing::error!(
                app = place.app.name(),
                stream = place.stream,
                segment = segment.uri,
                sequence = segment.sequence,
                reason,
                "a segment is lost"
            );
            self.say_useless(format!("segment {}: {reason}", segment.uri), place);
        }
        self.miss(taken, segment, own, duration_ticks(segment.duration), place);
        Took::Done
    }

    fn say_useless(&mut self, reason: String, place: &Place<'_>) {
        self.useless = Some(reason.clone());
        (place.tell)(Came::Useless(reason));
    }

    /// How long to wait before looking for a segment again; `None` when it is given up.
    ///
    /// It is waited for since it was listed: several that are missing are waited for together.
    fn patience(&mut self, sequence: u64, last: bool, place: &Place<'_>) -> Option<Duration> {
        let since = self.listed.iter().find(|(upto, _)| *upto >= sequence);
        let since = since.map_or_else(Instant::now, |(_, since)| *since);
        // Some servers list a segment when they begin to write it.
        let limit = if last {
            Timeouts::default().silence(self.target).max(place.patience)
        } else {
            place.patience
        };
        (since.elapsed() < limit).then_some(SETTLE)
    }

    /// Segments up to this number are listed.
    pub(crate) fn lists(&mut self, taken: &Taken, upto: u64) {
        let next = taken.next();
        self.listed
            .retain(|(listed, _)| next.is_none_or(|next| *listed >= next));
        if self.listed.back().is_none_or(|(listed, _)| *listed < upto) {
            self.listed.push_back((upto, Instant::now()));
        }
    }

    /// Tries anew to keep what could not be kept, from the segment `oldest` on.
    pub(crate) fn keep_again(&mut self, oldest: u64, place: &Place<'_>) {
        for (id, holding) in self.keeper.keep_again(&place.shared.spool, oldest) {
            (place.tell)(Came::Kept(id, holding));
        }
    }

    /// Says whether segments can be kept.
    pub(crate) fn tell_trouble(&self, place: &Place<'_>) {
        match self.keeper.trouble() {
            Some(error) => {
                let full = matches!(error, SpoolError::DiskFull { .. });
                place
                    .shared
                    .troubles
                    .set(&place.concern(), full, error.what());
            }
            None => place.shared.troubles.clear(&place.concern()),
        }
    }

    /// The content of a segment, which may have been read already.
    fn find(
        &mut self,
        segment: &Segment,
        last: bool,
        place: &Place<'_>,
    ) -> Result<Fetched, NotFetched> {
        let late = self.late.take();
        let late = late.filter(|(number, _)| *number == segment.sequence);
        let known = late.map(|(_, fetched)| fetched);
        let reader = self.reading.reader();
        place
            .source
            .fetch(&self.playlist, segment, last, known, reader)
    }
}

/// The folder of a playlist.
pub(crate) fn folder_of(playlist: &Path) -> PathBuf {
    playlist.parent().unwrap_or(playlist).to_owned()
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
        file.1 = kept.mark.version().digest();
    }
    TakenSegment {
        sequence: Some(sequence),
        date_us: start_time.map_or(0, |time| time.timestamp_micros()),
        file,
    }
}

#[cfg(test)]
mod tests;
