//! Plays a history: what a driver would do, and what must hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clipmill_playlist::Location;

use super::super::*;
use super::history::{Happening, History};
use super::publisher::Publisher;
use crate::cut::Cut;

pub(super) type Verdict = Result<(), String>;

/// One access unit: of which content, in which of its tracks, and which of that.
pub(super) type Unit = (usize, usize, usize);

/// What survives a crash.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) kept: BTreeMap<SegmentId, (SessionId, Label, usize)>,
    pub(super) boundary: Option<Boundary>,
    /// The access units of all periodic clips.
    pub(super) cut: BTreeSet<Unit>,
    pub(super) announced: Option<SessionId>,
    pub(super) periodic: Option<Duration>,
}

pub(super) struct Driver {
    pub(super) settings: Settings,
    pub(super) recorder: Recorder,
    pub(super) publisher: Publisher,
    pub(super) disk: Disk,
    pub(super) actions: VecDeque<Action>,
    pub(super) wake: Option<Duration>,
    pub(super) elapsed: Duration,
    pub(super) wall: DateTime<Utc>,
    /// Whether sessions were recorded when they ended.
    pub(super) ended_on: BTreeMap<SessionId, bool>,
    /// The playlist of each session.
    pub(super) playlists: BTreeMap<SessionId, std::sync::Arc<str>>,
    /// Contents that were kept at some time of this process.
    pub(super) kept_once: BTreeSet<usize>,
    /// Contents that were listed as a loop: again, behind a discontinuity. Taken again is as meant.
    pub(super) looped: BTreeSet<usize>,
    /// What was indexed by this process, by what it is called.
    pub(super) indexed: BTreeMap<SegmentId, (SessionId, usize)>,
    /// Contents that must be in clips in the end.
    pub(super) required: BTreeSet<usize>,
    /// Contents that came while nobody recorded: they may be fetched again, after a crash, to decode what
    /// follows them.
    unrecorded: BTreeSet<usize>,
    /// Segments that are spent.
    pub(super) spent: BTreeSet<SegmentId>,
    /// Clips that were asked for and not answered.
    pub(super) asked: BTreeSet<ClipId>,
    pub(super) recording: Option<ClipId>,
    pub(super) next_clip: u64,
    pub(super) answered: BTreeSet<ActionId>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// So many periodic clips can't be read, or places stored.
    pub(super) spoiled: u32,
    /// The recorder is told of nothing any more.
    pub(super) deaf: bool,
    pub(super) log: bool,
}

/// Plays a history to its end.
pub(super) fn run(history: &History) -> Verdict {
    let begin = DateTime::from_timestamp(1_795_356_000, 0).unwrap();
    let mut settings = Settings {
        interval: Duration::from_secs(5),
        window: history.window.map(Duration::from_millis),
        aligned: history.aligned,
        ..Settings::default()
    };
    settings.periodic = history.periodic.map(Duration::from_millis);
    let mut driver = Driver {
        recorder: Recorder::new(settings.clone()),
        disk: Disk {
            periodic: settings.periodic,
            ..Disk::default()
        },
        settings,
        publisher: Publisher::new(history, begin),
        actions: VecDeque::new(),
        wake: None,
        elapsed: Duration::ZERO,
        wall: begin,
        ended_on: BTreeMap::new(),
        playlists: BTreeMap::new(),
        kept_once: BTreeSet::new(),
        looped: BTreeSet::new(),
        indexed: BTreeMap::new(),
        required: BTreeSet::new(),
        unrecorded: BTreeSet::new(),
        spent: BTreeSet::new(),
        asked: BTreeSet::new(),
        recording: None,
        next_clip: 0,
        answered: BTreeSet::new(),
        failures: 0,
        spoiled: 0,
        deaf: false,
        log: std::env::var_os("CLIPMILL_LOG").is_some(),
    };
    driver.tell(Event::Time)?;
    for happening in &history.happenings {
        driver.happen(*happening)?;
    }
    driver.come_to_rest()
}

impl Driver {
    fn now(&self) -> Moment {
        Moment {
            elapsed: self.elapsed,
            wall: self.wall,
        }
    }

    pub(super) fn tell(&mut self, event: Event) -> Verdict {
        if self.deaf {
            return Ok(());
        }
        if self.log {
            let text = format!("{event:?}");
            eprintln!(
                "{:?} <- {}",
                self.elapsed,
                text.chars().take(600).collect::<String>()
            );
        }
        let playlist = match &event {
            Event::Playlist(listing) => {
                self.looped.extend(self.publisher.looped(listing));
                Some(listing.playlist.clone())
            }
            _ => None,
        };
        let live = self.recorder.session().cloned();
        let on = self.disk.periodic.is_some();
        self.recorder.handle(event, self.now());
        if let Some(live) = live.filter(|live| self.recorder.session() != Some(live)) {
            self.ended_on.insert(live, on);
        }
        if let (Some(session), Some(playlist)) = (self.recorder.session(), playlist) {
            self.playlists.entry(session.clone()).or_insert(playlist);
        }
        while let Some(action) = self.recorder.next_action() {
            if self.log {
                let text = format!("{action:?}");
                eprintln!("    -> {}", text.chars().take(300).collect::<String>());
            }
            match action {
                Action::WakeAt(at) => {
                    if at.is_some_and(|at| at <= self.elapsed) {
                        return Err("to be woken in the past".into());
                    }
                    self.wake = at;
                }
                action => self.actions.push_back(action),
            }
        }
        if self.log {
            eprintln!("    {:?}", self.recorder.state());
        }
        let fetches = self
            .actions
            .iter()
            .filter(|one| matches!(one, Action::Fetch(_)));
        if fetches.count() > 1 {
            return Err("two segments are fetched at once".into());
        }
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Verdict {
        use Happening::*;
        if self.log {
            eprintln!("{happening:?}");
        }
        let now = self.elapsed;
        match happening {
            Publish {
                pictures,
                sync,
                jitter,
                pause,
            } => {
                self.publisher.publish(pictures, sync, jitter, pause, now);
            }
            PublishMissing(late) => self.publisher.publish_missing(late, now),
            ListTwice => self.publisher.list_twice(now),
            Tell => return self.tell_playlist(),
            TellOld(back) => return self.tell_listing(self.publisher.old(back, now)),
            TellShort(without) => return self.tell_listing(self.publisher.short(without, now)),
            TellSwapped(at) => return self.tell_listing(self.publisher.swapped(at, now)),
            Act(at) => return self.act(at, None),
            Fail(at, how) => return self.act(at, Some(how)),
            Spoil(cuts) => self.spoiled = cuts,
            Pass(millis) => return self.pass(Duration::from_millis(millis)),
            Jump(millis) => self.wall += TimeDelta::milliseconds(millis),
            Restart {
                same_playlist,
                same_names,
                numbers,
                leap,
            } => {
                self.publisher
                    .restart(same_playlist, same_names, numbers, leap);
            }
            Move => self.publisher.move_on(),
            Finish => self.publisher.finish(now),
            Remove => {
                self.publisher.exists = false;
                return self.tell_playlist();
            }
            On(millis) => {
                let interval = Duration::from_millis(millis);
                self.disk.periodic = Some(interval);
                return self.tell(Event::Command(Command::Periodic(interval)));
            }
            Off => {
                self.disk.periodic = None;
                return self.tell(Event::Command(Command::NoPeriodic));
            }
            Clip(millis) => return self.ask(Window::Last(Duration::from_millis(millis))),
            Since => return self.ask(Window::SinceBoundary),
            Range(ago, until) => {
                let at = |millis| self.publisher_now() + TimeDelta::milliseconds(millis);
                let (from, to) = (at(-(ago as i64)), at(until));
                return self.ask(Window::Range { from, to });
            }
            Record => {
                let clip = self.new_clip();
                self.recording = Some(clip);
                let cut = Cut::Exact;
                return self.tell(Event::Command(Command::Record { clip, cut }));
            }
            Stop => {
                if let Some(clip) = self.recording.take() {
                    return self.tell(Event::Command(Command::Stop(clip)));
                }
            }
            End => return self.tell(Event::Command(Command::End)),
            Crash => return self.crash(),
            CrashAfter(at) => {
                self.deaf = true;
                self.act(at, None)?;
                self.deaf = false;
                return self.crash();
            }
        }
        Ok(())
    }

    fn publisher_now(&self) -> DateTime<Utc> {
        self.recorder.live_edge().unwrap_or(self.wall)
    }

    fn new_clip(&mut self) -> ClipId {
        let clip = ClipId(self.next_clip);
        self.next_clip += 1;
        self.asked.insert(clip);
        clip
    }

    fn ask(&mut self, window: Window) -> Verdict {
        let (clip, cut) = (self.new_clip(), Cut::Exact);
        self.tell(Event::Command(Command::Clip { clip, window, cut }))
    }

    pub(super) fn tell_playlist(&mut self) -> Verdict {
        match self.publisher.listing(self.elapsed) {
            Some(listing) => self.tell(Event::Playlist(listing)),
            None => self.tell(Event::NoPlaylist),
        }
    }

    fn tell_listing(&mut self, listing: Option<Listing>) -> Verdict {
        listing.map_or(Ok(()), |listing| self.tell(Event::Playlist(listing)))
    }

    /// Time passes; whoever asked for it is woken.
    fn pass(&mut self, span: Duration) -> Verdict {
        let until = self.elapsed + span;
        let mut wakes = 0;
        while let Some(at) = self.wake.filter(|at| *at <= until) {
            self.go_to(at);
            self.wake = None;
            self.tell(Event::Time)?;
            wakes += 1;
            if wakes > 1000 {
                return Err("woken again and again".into());
            }
        }
        self.go_to(until);
        Ok(())
    }

    pub(super) fn go_to(&mut self, at: Duration) {
        let passed = at.saturating_sub(self.elapsed);
        self.elapsed = self.elapsed.max(at);
        self.wall += TimeDelta::from_std(passed).unwrap();
    }

    /// The process ends and starts again.
    fn crash(&mut self) -> Verdict {
        let boundary = self.disk.boundary.clone();
        // What was taken and not kept is lost, unless it is taken again.
        let kept: BTreeSet<_> = self
            .disk
            .kept
            .values()
            .map(|(.., content)| *content)
            .collect();
        self.required.retain(|content| kept.contains(content));
        self.kept_once.clear();
        if self.disk.periodic.is_none() {
            // That a session was to be recorded of which nothing was cut yet is not written down.
            let own = boundary.as_ref().map(|boundary| boundary.session.as_str());
            let others = self.disk.kept.values();
            let others: BTreeSet<_> = others
                .filter(|(session, ..)| Some(session.as_str()) != own)
                .map(|(.., content)| *content)
                .collect();
            self.required.retain(|content| !others.contains(content));
            if boundary.is_none_or(|boundary| boundary.finished) {
                self.required.clear();
            }
        }
        let mut sessions: Vec<LeftSession> = Vec::new();
        for (segment, (session, label, _)) in &self.disk.kept {
            let one = LeftSegment {
                segment: *segment,
                label: *label,
            };
            match sessions.iter_mut().find(|known| known.session == *session) {
                Some(known) => known.segments.push(one),
                None => sessions.push(LeftSession {
                    session: session.clone(),
                    playlist: self.playlists.get(session).cloned(),
                    target: Duration::from_secs(2),
                    segments: vec![one],
                }),
            }
        }
        for session in &mut sessions {
            session.segments.sort_by_key(|one| one.label.sequence);
        }
        sessions.sort_by(|a, b| a.session.cmp(&b.session));
        let left = Left {
            boundary: self.disk.boundary.clone(),
            sessions,
            live: self.disk.announced.clone(),
        };
        self.settings.periodic = self.disk.periodic;
        self.recorder = Recorder::resume(self.settings.clone(), left);
        self.actions.clear();
        self.asked.clear();
        self.answered.clear();
        self.ended_on.clear();
        self.spent.clear();
        self.recording = None;
        self.wake = None;
        self.failures = 0;
        self.indexed.clear();
        self.tell(Event::Time)
    }

    /// Does the action at a position, or has it fail.
    pub(super) fn act(&mut self, at: usize, fails: Option<u64>) -> Verdict {
        let at = if at < self.actions.len() { at } else { 0 };
        // The world is told of one thing after the other.
        let is_announcement =
            |one: &Action| matches!(one, Action::SessionBegan(_) | Action::SessionEnded(..));
        let announcement = self.actions.get(at).is_some_and(is_announcement);
        let first = self
            .actions
            .iter()
            .position(is_announcement)
            .filter(|_| announcement);
        let Some(action) = self.actions.remove(first.unwrap_or(at)) else {
            return Ok(());
        };
        if self.log {
            eprintln!(
                "does {}",
                format!("{action:?}").chars().take(60).collect::<String>()
            );
        }
        let failure = fails.map(|how| match how {
            0 => Failure::NoRoom,
            1 => Failure::Media,
            _ => Failure::Store,
        });
        if let Some(action) = id_of(&action)
            && !self.answered.insert(action)
        {
            return Err("an action is asked for twice".into());
        }
        match action {
            Action::Fetch(fetch) => self.fetch(&fetch, fails.is_some()),
            Action::Keep(keep) => {
                if let Some(failure) = failure {
                    return self.tell(Event::Failed(keep.action, failure));
                }
                let Some((_, content)) = self.indexed.get(&keep.segment) else {
                    return Err("to keep what was not fetched".into());
                };
                if !self.publisher.has(*content, self.elapsed) {
                    return self.tell(Event::Failed(keep.action, Failure::Gone));
                }
                self.kept_once.insert(*content);
                let kept = (keep.session, keep.label, *content);
                if self.disk.kept.insert(keep.segment, kept).is_some() {
                    return Err("a segment is kept twice".into());
                }
                let location = Some(Location::File(PathBuf::from("kept")));
                self.tell(Event::Kept {
                    action: keep.action,
                    location,
                })
            }
            Action::Release { action, segment } => {
                if let Some(failure) = failure {
                    return self.tell(Event::Failed(action, failure));
                }
                if self.disk.kept.remove(&segment).is_none() {
                    return Err("a segment is released that is not kept".into());
                }
                self.tell(Event::Done(action))
            }
            Action::Spent(segment) => {
                if !self.spent.insert(segment) {
                    return Err("a segment is spent twice".into());
                }
                Ok(())
            }
            Action::Grow(_) => Ok(()),
            Action::Cut(job) => self.cut(*job, failure),
            Action::Persist { action, boundary } => {
                let spoiled = self.spoiled > 0;
                self.spoiled = self.spoiled.saturating_sub(1);
                if let Some(failure) = failure.or(spoiled.then_some(Failure::Store)) {
                    self.failures += 1;
                    return self.tell(Event::Failed(action, failure));
                }
                self.failures = 0;
                self.store(boundary)?;
                self.tell(Event::Done(action))
            }
            Action::Refuse { clip, .. } => self.answer(clip),
            Action::SessionBegan(session) => {
                if let Some(before) = self.disk.announced.replace(session) {
                    return Err(format!("{before} began and never ended"));
                }
                Ok(())
            }
            Action::SessionEnded(session, _) => {
                if self.disk.announced.take() != Some(session) {
                    return Err("a session ends that never began".into());
                }
                Ok(())
            }
            Action::WakeAt(_) => Ok(()),
        }
    }

    pub(super) fn answer(&mut self, clip: ClipId) -> Verdict {
        match self.asked.remove(&clip) {
            true => Ok(()),
            false => Err("a clip is answered twice".into()),
        }
    }

    pub(super) fn store(&mut self, boundary: Boundary) -> Verdict {
        if let Some(before) = &self.disk.boundary
            && (boundary.ordinal, &boundary.session) < (before.ordinal, &before.session)
        {
            return Err("boundaries go backwards".into());
        }
        self.disk.boundary = Some(boundary);
        Ok(())
    }

    fn fetch(&mut self, fetch: &Fetch, fails: bool) -> Verdict {
        let now = self.elapsed;
        let found = match &fetch.from {
            FetchFrom::Listed(listed) => self.publisher.file(&listed.segment.uri, now),
            FetchFrom::Kept(label) => {
                let kept = self.disk.kept.get(&fetch.segment);
                let Some((_, _, content)) = kept else {
                    return Err("to fetch what is not kept".into());
                };
                let version = label.version.map(|(tag, len)| Version { tag, len });
                version.map(|version| (*content, version))
            }
        };
        let Some((content, version)) = found.filter(|_| !fails) else {
            let (segment, may_come) = (fetch.segment, true);
            if let Some((.., content)) = self.disk.kept.get(&segment) {
                self.required.remove(content);
            }
            return self.tell(Event::Unavailable { segment, may_come });
        };
        let known = self.publisher.contents[content].clone();
        let indexed = Indexed {
            segment: fetch.segment,
            index: known.index,
            location: Location::File(PathBuf::from("live")),
            byte_range: None,
            key: None,
            version: Some(version),
            written: None,
        };
        self.indexed
            .insert(fetch.segment, (fetch.session.clone(), content));
        if matches!(fetch.from, FetchFrom::Kept(_)) {
            self.kept_once.insert(content);
        }
        // A session that is over is recorded if it was when it ended.
        let on = match self.ended_on.get(&fetch.session) {
            Some(on) => *on,
            None => self.disk.periodic.is_some(),
        };
        let on = on && known.sync;
        self.tell(Event::Indexed(Box::new(indexed)))?;
        let mut all = self.recorder.placements();
        let taken = all.any(|one| one.segment == fetch.segment);
        drop(all);
        let is_new = taken && matches!(fetch.from, FetchFrom::Listed(_));
        if is_new && !on && known.sync {
            self.unrecorded.insert(content);
        }
        if is_new && on && !self.unrecorded.contains(&content) {
            self.required.insert(content);
        }
        Ok(())
    }
}

fn id_of(action: &Action) -> Option<ActionId> {
    match action {
        Action::Keep(keep) => Some(keep.action),
        Action::Release { action, .. } | Action::Persist { action, .. } => Some(*action),
        Action::Cut(job) => Some(job.action),
        _ => None,
    }
}
