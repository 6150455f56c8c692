//! One media playlist of another server, followed: it is loaded again and again, what is new in it is fetched,
//! a few segments at a time, and mirrored in its order.
//!
//! What is new says [`News`]; where numbers or names contradict what was seen, the server is asked what its files
//! look like.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clipmill::live::{Taken, complete_segments};
use clipmill::net::BackOff;
use clipmill_playlist::Segment;
use rand::RngExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use super::beat::{Beat, held_until};
use super::disk::{NewFile, Place};
use super::listed::{Looks, ranges, recognisable};
use super::load::{Listed, Loaded, Loader};
use super::media::{Fetcher, Media, NoMedia, located};
use super::mirror::{Heading, Mirror};
use super::news::{Look, New, News};
use super::origin::Failure;
use super::polling::Polling;
use super::wanted::{State, Wanted};
use super::{End, Job, Standing, to_end};
use crate::domain::now_ms;
use crate::metrics;

/// Segments of one stream that are fetched at the same time.
const AT_ONCE: usize = 3;

/// Between two tries to fetch a segment.
const AGAIN: BackOff = BackOff {
    first: Duration::from_millis(250),
    longest: Duration::from_secs(2),
};

/// So many tries to fetch one segment fail without being worth telling.
const WORTH_TELLING: u32 = 3;

/// Between two tries to write.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// Segments that nobody saw and whose lengths nothing but their number tells are declared one by one, up to
/// this many.
const DECLARED: u64 = 64;

/// A playlist that does not change for so long is not written any more.
const WHOLE: Duration = Duration::from_secs(1);

/// What waits for other playlists is looked at no more often than this, unless they tell.
const HELD: Duration = Duration::from_millis(50);

/// How long that may take.
const LOOKING: Duration = Duration::from_secs(3);

/// Segments whose files are looked at, where numbers contradict.
const LOOKED_AT: usize = 16;

/// Follows a media playlist.
pub(super) struct Follow {
    job: Arc<Job>,
    place: Place,
    loader: Loader,
    fetcher: Fetcher,
    mirror: Mirror,
    news: News,
    polling: Polling,
    queue: VecDeque<Wanted>,
    fetches: JoinSet<(u64, Result<Media, NoMedia>)>,
    loads: JoinSet<Result<Loaded, Failure>>,
    /// Tells those that wait from one another.
    next_id: u64,
    /// How many segments the origin lists, and what it says of all of them.
    listed: usize,
    heading: Heading,
    ended: bool,
    /// What is wrong with segments, and with what is written.
    segments: Option<String>,
    disk: Option<String>,
    write_again: Option<Instant>,
    standing: watch::Sender<Standing>,
    beat: Beat,
    /// It was torn when it was loaded last, at this instant.
    torn: Option<(Box<Listed>, Instant)>,
    /// It is a variant of another playlist, which may have changed.
    is_variant: bool,
    is_elsewhere: bool,
    is_loaded: bool,
    /// What the playlists beside this one were asked last.
    asked: u64,
}

/// Why it is followed no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It is to end.
    Ended,
    /// It may be another one by now: what was asked for is to be looked up again.
    Elsewhere,
}

impl Follow {
    pub(super) fn new(
        job: Arc<Job>,
        place: Place,
        mirror: Mirror,
        (loader, fetcher): (Loader, Fetcher),
        standing: watch::Sender<Standing>,
        (beat, is_variant): (Beat, bool),
    ) -> Self {
        let now = Instant::now();
        Self {
            news: News::new(&mirror.taken()),
            ended: mirror.ended,
            job,
            place,
            loader,
            fetcher,
            mirror,
            polling: Polling::new(now),
            queue: VecDeque::new(),
            fetches: JoinSet::new(),
            loads: JoinSet::new(),
            next_id: 0,
            listed: 0,
            heading: Heading::default(),
            segments: None,
            disk: None,
            write_again: None,
            standing,
            beat,
            torn: None,
            is_variant,
            is_elsewhere: false,
            is_loaded: false,
            asked: 0,
        }
    }

    /// Follows it until it is to end.
    pub(super) async fn run(&mut self, end: &mut watch::Receiver<End>) -> Left {
        let left = loop {
            self.begin_fetches();
            self.tell();
            let wake = self.wake();
            tokio::select! {
                () = to_end(end) => break Left::Ended,
                Some(loaded) = self.loads.join_next() => {
                    if let Ok(loaded) = loaded {
                        self.loaded(loaded).await;
                    }
                    if self.is_elsewhere {
                        break Left::Elsewhere;
                    }
                }
                Some(fetched) = self.fetches.join_next() => {
                    if let Ok((id, found)) = fetched {
                        self.fetched(id, found);
                    }
                    self.publish().await;
                }
                to_load = self.beat.comes() => {
                    // One that cannot be had is not asked for more often.
                    if to_load && self.polling.is_answered() {
                        self.polling.at_once(Instant::now());
                    }
                    self.publish().await;
                }
                () = tokio::time::sleep_until(wake.into()) => {
                    let now = Instant::now();
                    if self.loads.is_empty() && self.polling.next() <= now {
                        self.polling.begin(now);
                        self.beat.begin();
                        self.loads.spawn(self.loader.clone().load());
                    }
                    if self.write_again.is_some_and(|at| at <= now) {
                        self.write_again = None;
                        self.publish().await;
                    }
                    if self.first_is_held() {
                        self.publish().await;
                    }
                    self.clean().await;
                }
            }
        };
        self.fetches.abort_all();
        self.loads.abort_all();
        let over = *end.borrow() == End::Over;
        if over && !self.mirror.is_empty() {
            self.mirror.ended = true;
            self.write(Vec::new()).await;
        }
        left
    }

    /// Whether what comes first is here, and waits for what others have.
    fn first_is_held(&self) -> bool {
        let first = self.queue.front();
        first.is_some_and(Wanted::is_known)
    }

    /// When there is something to do of which nobody tells.
    fn wake(&self) -> Instant {
        // Those behind them are not begun before these are mirrored.
        let due = self
            .queue
            .iter()
            .take(AT_ONCE)
            .filter_map(|one| match one.state {
                State::Due(at) => Some(at),
                _ => None,
            });
        let due = due.min().filter(|_| self.fetches.len() < AT_ONCE);
        let load = self.loads.is_empty().then(|| self.polling.next());
        let delete = self.mirror.next_due().map(|due_ms| {
            let left = u64::try_from(due_ms.saturating_sub(now_ms())).unwrap_or(0);
            Instant::now() + Duration::from_millis(left.max(100))
        });
        let held = self.queue.front().filter(|first| first.is_known());
        let held = held.map(|first| first.held_until.max(Instant::now() + HELD));
        let all = [due, load, delete, held, self.write_again];
        let soonest = all.into_iter().flatten().min();
        soonest.unwrap_or_else(|| Instant::now() + Duration::from_secs(1))
    }

    /// Fetches what is due, while it is not too much.
    fn begin_fetches(&mut self) {
        let now = Instant::now();
        // What is here and waits for what comes before it takes memory, too.
        let first = self.queue.iter_mut().take(AT_ONCE);
        for one in first {
            if self.fetches.len() >= AT_ONCE {
                return;
            }
            if matches!(one.state, State::Due(at) if at <= now) {
                one.state = State::Fetching;
                let fetcher = self.fetcher.clone();
                let (id, segment, base) = (one.id, one.segment.clone(), one.base.clone());
                self.fetches
                    .spawn(async move { (id, fetcher.fetch(&segment, &base).await) });
            }
        }
    }

    fn tell(&mut self) {
        let problem = self.polling.problem(Instant::now());
        let problem = problem
            .or_else(|| self.disk.clone())
            .or_else(|| self.segments.clone());
        let standing = match problem {
            Some(problem) => Standing::Problem(problem),
            None if self.is_loaded => Standing::Fine,
            None => Standing::Unknown,
        };
        self.standing.send_if_modified(|known| {
            let changed = *known != standing;
            *known = standing;
            changed
        });
        if self.queue.is_empty() && self.polling.is_answered() {
            self.beat.drained();
        }
    }

    async fn loaded(&mut self, loaded: Result<Loaded, Failure>) {
        self.is_loaded = true;
        let now = Instant::now();
        match loaded {
            Ok(Loaded::Same) => match self.torn.take() {
                // It is not written any more: that is all of it.
                Some((listed, since)) => self.look(*listed, now - since).await,
                None => self.nothing_new(now, None),
            },
            Ok(Loaded::Media(listed)) => self.look(*listed, Duration::ZERO).await,
            Err(failure) => {
                metrics::pull_failed(&self.job.app);
                if matches!(failure, Failure::Status(401 | 403)) {
                    self.fetcher.origin.read_headers_again();
                }
                let is_other = matches!(failure, Failure::Other);
                self.is_elsewhere = is_other || self.is_variant && self.polling.has_failed_often();
                let what = failure.at(self.loader.url());
                let part = rand::rng().random_range(0.5..=1.0);
                self.polling.failed(now, what, part);
                // Nothing is missing as long as nobody says so.
                for one in &mut self.queue {
                    one.missing_since = None;
                }
                return;
            }
        }
        if self.beat.loaded() {
            self.polling.at_once(now);
        }
    }

    fn nothing_new(&mut self, now: Instant, target: Option<Duration>) {
        self.news.none(now);
        self.polling.unchanged(now, target, self.ended);
    }

    /// Looks at what is listed, and has been for so long.
    async fn look(&mut self, listed: Listed, age: Duration) {
        self.look_at(&listed, age).await;
        if listed.media.truncated && age < WHOLE {
            self.torn = Some((Box::new(listed), Instant::now() - age));
        }
    }

    async fn look_at(&mut self, listed: &Listed, age: Duration) {
        let Listed { media, text, url } = listed;
        let now = Instant::now();
        let complete = complete_segments(media, age);
        let names = recognisable(complete);
        let target = media.target_duration;
        let look = Look {
            listed: &names,
            target,
            ended: media.ended,
            digest: Taken::head(text),
            now,
        };
        let mut looks = Looks::default();
        let mut decision = self.news.decide(&look, &mut looks);
        if self.news.is_doubtful(&decision, &look) {
            let listed = complete.iter().zip(&names).rev().take(LOOKED_AT);
            let looking = async {
                for (segment, named) in listed {
                    if let Ok(at) = located(url, &segment.uri) {
                        looks.add(named, self.fetcher.origin.look(&at).await);
                    }
                }
            };
            // What is not known by then is not known.
            let _ = tokio::time::timeout(LOOKING, looking).await;
            decision = self.news.decide(&look, &mut looks);
            self.news.looked(&look);
        }
        let new = self.news.follow(&decision, &look, &mut looks);
        self.listed = names.len();
        self.heading = Heading {
            target,
            independent: media.independent_segments,
            ranges: ranges(text),
        };
        let was_over = std::mem::replace(&mut self.ended, media.ended);
        let Some(new) = new else {
            self.nothing_new(now, Some(target));
            if self.ended && !was_over {
                self.publish().await;
            }
            return;
        };
        self.polling.changed(now, target, media.ended);
        if self.loader.blocks() {
            self.polling.at_once(now);
        }
        if new.breaks || new.missing > 0 {
            self.fetcher.forget();
        }
        self.want(complete, new, url);
        self.publish().await;
    }

    /// Some segments are new.
    fn want(&mut self, listed: &[Segment], new: New, url: &Url) {
        let now = Instant::now();
        let New {
            known,
            from,
            missing,
            breaks,
            run,
        } = new;
        let first = known.get(from);
        if let Some(first) = first {
            let before = first.discontinuity_sequence;
            let before = before.saturating_sub(u64::from(first.discontinuity));
            self.mirror.begin_at(before);
        }
        self.asked = self.beat.ask();
        let is_first = self.mirror.is_empty() && self.queue.is_empty();
        let is_dated = first.is_some_and(|one| one.start_time.is_some())
            && (self.mirror.is_dated() || !self.queue.is_empty());
        let mut hole = breaks && !is_first;
        if missing > 0 {
            let (app, stream) = (self.job.app.as_str(), self.job.source.id.as_str());
            tracing::warn!(
                app,
                stream,
                segments = missing,
                "segments are gone before they were seen"
            );
            // Dates say how long it was; else so many segments of the usual length are declared. Playlists that
            // belong together count discontinuities alike.
            let is_alone = matches!(self.beat, Beat::Alone);
            if (is_dated && is_alone) || missing > DECLARED {
                hole = true;
            } else {
                let total: Duration = known.iter().map(|one| one.duration).sum();
                let usual = total / u32::try_from(known.len()).unwrap_or(u32::MAX).max(1);
                for _ in 0..missing {
                    let mut unseen = Segment::default();
                    unseen.duration = usual;
                    self.add(unseen.clone(), unseen, url, (run, false), State::Gap);
                }
            }
        }
        for (segment, named) in listed.iter().zip(known).skip(from) {
            let discontinuity = named.discontinuity || std::mem::take(&mut hole);
            let state = match segment.gap {
                true => State::Gap,
                false => State::Due(now),
            };
            self.add(named, segment.clone(), url, (run, discontinuity), state);
        }
    }

    fn add(
        &mut self,
        known: Segment,
        segment: Segment,
        base: &Url,
        (run, discontinuity): (u32, bool),
        state: State,
    ) {
        self.next_id += 1;
        self.queue.push_back(Wanted {
            id: self.next_id,
            known,
            segment,
            base: base.clone(),
            run,
            discontinuity,
            state,
            failures: 0,
            missing_since: None,
            asked: self.asked,
            held_until: held_until(Instant::now(), self.heading.target, self.job.patience),
        });
    }

    /// What became of a segment that was to be fetched.
    fn fetched(&mut self, id: u64, found: Result<Media, NoMedia>) {
        let now = Instant::now();
        let answers = self.polling.is_answered();
        let Some(one) = self.queue.iter_mut().find(|one| one.id == id) else {
            return;
        };
        let error = match found {
            Ok(media) => {
                one.state = State::Here(media);
                return;
            }
            Err(error) => error,
        };
        metrics::pull_failed(&self.job.app);
        if matches!(error.failure, Failure::Status(401 | 403)) {
            self.fetcher.origin.read_headers_again();
        }
        one.failures = one.failures.saturating_add(1);
        one.state = State::Due(now + AGAIN.after(one.failures));
        if !answers {
            return;
        }
        let since = *one.missing_since.get_or_insert(now);
        let given_up = now.saturating_duration_since(since) >= self.job.patience;
        tracing::debug!(
            app = self.job.app,
            stream = self.job.source.id,
            failures = one.failures,
            "a segment does not come: {}",
            error.said
        );
        if given_up {
            one.state = State::Gap;
        }
        if given_up || one.failures >= WORTH_TELLING {
            self.segments = Some(error.said);
        }
    }

    /// Mirrors what is here, as far as nothing before it is missing.
    async fn publish(&mut self) {
        let instant = Instant::now();
        let goes = |one: &&Wanted| {
            one.is_known() && (one.held_until <= instant || self.beat.has(one.asked))
        };
        let count = self.queue.iter().take_while(goes).count();
        let ends = self.ended && count == self.queue.len() && !self.mirror.ended;
        if (count == 0 && !ends) || self.write_again.is_some() {
            return;
        }
        let now = now_ms();
        let before = self.mirror.clone();
        self.mirror.head(&self.heading);
        let (mut files, mut seen) = (Vec::<NewFile>::new(), Vec::new());
        for one in self.queue.iter().take(count) {
            let (next, version) = one.next();
            let file = self.mirror.push(next, now);
            if let State::Here(media) = &one.state {
                if let Some((name, bytes)) = &media.map
                    && files.iter().all(|(known, _)| known != name)
                {
                    files.push((name.clone(), bytes.clone()));
                }
                files.push((file, media.bytes.clone()));
                seen.extend(version.map(|version| (one.run, one.known.sequence, version)));
            }
        }
        self.mirror.ended = ends;
        if !ends {
            self.mirror.trim(self.listed, now);
        }
        if !self.write(files).await {
            // All of it is tried again.
            self.mirror = before;
            return;
        }
        for (run, number, version) in seen {
            self.news.took(run, number, version);
        }
        let came = self.queue.drain(..count);
        let (mut segments, mut bytes) = (0, 0);
        for one in came {
            if let State::Here(media) = one.state {
                segments += 1;
                bytes += media.bytes.len() as u64;
            }
        }
        if segments > 0 {
            metrics::pulled(&self.job.app, segments, bytes);
            self.segments = None;
        }
    }

    /// Writes files and what they are; false where that is to be tried again.
    async fn write(&mut self, files: Vec<NewFile>) -> bool {
        let (place, mirror) = (self.place.clone(), self.mirror.clone());
        let written = tokio::task::spawn_blocking(move || place.write(&files, &mirror)).await;
        let error = match written {
            Ok(Ok(())) => {
                self.disk = None;
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let playlist = self.place.playlist.display();
        self.disk = Some(format!("cannot write {playlist}: {error}"));
        self.write_again = Some(Instant::now() + WRITE_AGAIN);
        false
    }

    /// Removes files that are listed no more.
    async fn clean(&mut self) {
        let due = self.mirror.take_due(now_ms());
        if !due.is_empty() {
            let place = self.place.clone();
            let _ = tokio::task::spawn_blocking(move || place.remove(&due)).await;
        }
    }
}
