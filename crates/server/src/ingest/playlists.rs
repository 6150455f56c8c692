//! The playlists of a pushed stream: which of them is the stream's, when it is published, and how much of it.
//!
//! Values alone: what came is told, with the time, and what is to be written is given back.
//!
//! - The stream's playlist is the multivariant one if there is one, else the media playlist. A sender of several
//!   variants writes their playlists before the multivariant one: so the first media playlist waits until it
//!   comes for the second time, says that it has ended, or [`ALONE`] has passed, and no multivariant one came.
//! - Beside a multivariant playlist only those are written that it lists, after it. Others wait in memory: written,
//!   they would be taken for streams of their own.
//! - Where another playlist is the stream's already, and lives, a media playlist that is not listed waits too.
//! - A media playlist is published as far as its segments are there. The rest follows when they come; what
//!   never comes, when what is listed behind it is there, or after [`Media::patience`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use clipmill::live::Timeouts;
use clipmill_playlist::{
    MediaPlaylist, MultivariantPlaylist, Playlist, PlaylistError, PlaylistLimits,
};
use serde::{Deserialize, Serialize};

use super::names::MediaPath;
use super::uris::{Base, Leads, UriError};

/// A media playlist that came once and for which nothing else came for so long is the stream's.
const ALONE: Duration = Duration::from_secs(10);

/// What is listed and not there is waited for so long at least.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);

/// Of a stream that was there before a restart, until one of its playlists comes.
const UNKNOWN_TARGET: Duration = Duration::from_secs(10);

/// A stream has no more playlists than this.
pub(super) const MOST_PLAYLISTS: usize = 64;

/// Why a playlist is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlaylistFault {
    #[error("{0}")]
    Parse(#[from] PlaylistError),
    #[error("{0}")]
    Uri(#[from] UriError),
    /// Variants lie in folders of their own, with all that is theirs.
    #[error("{0:?} leads out of the folder of the media playlist that lists it")]
    Upward(String),
    #[error("it is a delta update (EXT-X-SKIP), and only whole playlists are taken")]
    Delta,
    #[error("it lists no variant")]
    NoVariant,
}

/// A playlist that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// With every URI of the stream as a path from the stream's folder.
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// The playlists that it lists.
    Multivariant(BTreeSet<String>),
    Media(Media),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Media {
    segments: Vec<Listed>,
    target: Duration,
    duration: Duration,
    ended: bool,
}

/// A segment, with its map.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    /// Of its URI, from 1.
    line: usize,
    /// The files that it needs, of those that are pushed.
    files: Vec<String>,
}

impl Pushed {
    /// Reads a playlist.
    pub(crate) fn read(text: &[u8], base: &Base<'_>) -> Result<Self, PlaylistFault> {
        let playlist = Playlist::parse(text, &PlaylistLimits::default())?;
        let mut text = base.normalized(&String::from_utf8_lossy(text))?;
        // All of it came: it must not look as if it were cut short.
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let kind = match playlist {
            Playlist::Multivariant(playlist) => Kind::Multivariant(lists(&playlist, base)?),
            Playlist::Media(playlist) if playlist.skipped_segments > 0 => {
                return Err(PlaylistFault::Delta);
            }
            Playlist::Media(playlist) => Kind::Media(Media::of(&playlist, base)?),
        };
        Ok(Self { text, kind })
    }

    fn media(&self) -> Option<&Media> {
        match &self.kind {
            Kind::Media(media) => Some(media),
            Kind::Multivariant(_) => None,
        }
    }

    /// The files that it lists.
    fn files(&self) -> impl Iterator<Item = &str> {
        let segments = self
            .media()
            .map(|media| &media.segments)
            .into_iter()
            .flatten();
        segments
            .flat_map(|listed| &listed.files)
            .map(String::as_str)
    }
}

fn lists(
    playlist: &MultivariantPlaylist,
    base: &Base<'_>,
) -> Result<BTreeSet<String>, PlaylistFault> {
    if playlist.variants.is_empty() {
        return Err(PlaylistFault::NoVariant);
    }
    let variants = playlist.variants.iter().map(|variant| variant.uri.as_str());
    let renditions = playlist.renditions.iter();
    let renditions = renditions.filter_map(|one| one.uri.as_deref());
    let mut all = BTreeSet::new();
    for uri in variants.chain(renditions) {
        if let Leads::Inside(path) = base.leads(uri)? {
            all.insert(path.as_str().to_owned());
        }
    }
    Ok(all)
}

impl Media {
    fn of(playlist: &MediaPlaylist, base: &Base<'_>) -> Result<Self, PlaylistFault> {
        let inside = |uri: &str| match base.leads(uri)? {
            Leads::Inside(path) if !path.as_str().starts_with(base.path.folder()) => {
                Err(PlaylistFault::Upward(uri.chars().take(80).collect()))
            }
            Leads::Inside(path) => Ok(Some(path.as_str().to_owned())),
            Leads::Elsewhere => Ok(None),
        };
        let mut segments = Vec::with_capacity(playlist.segments.len());
        for segment in &playlist.segments {
            let map = segment.map.as_ref().map(|map| inside(&map.uri));
            let own = (!segment.gap).then(|| inside(&segment.uri));
            let files = [map, own].into_iter().flatten();
            let files: Result<Vec<_>, _> = files.collect();
            segments.push(Listed {
                line: segment.line,
                files: files?.into_iter().flatten().collect(),
            });
        }
        Ok(Self {
            segments,
            target: playlist.target_duration,
            duration: playlist.duration(),
            ended: playlist.ended,
        })
    }

    /// How long it is not published whole for want of what it lists.
    fn patience(&self) -> Duration {
        LEAST_PATIENCE.max(self.target.saturating_mul(2))
    }

    /// So many of its segments can be published.
    fn ready(&self, files: &dyn Files) -> usize {
        let there = |listed: &Listed| listed.files.iter().all(|file| files.is_there(file));
        let behind = self
            .segments
            .iter()
            .rev()
            .take_while(|listed| !there(listed));
        let ready = self.segments.len().saturating_sub(behind.count());
        if !files.any_coming() {
            return ready;
        }
        let all = self.segments.iter().take(ready);
        let coming = |listed: &Listed| {
            let mut needed = listed.files.iter();
            needed.any(|file| files.is_coming(file) && !files.is_there(file))
        };
        all.take_while(|listed| !coming(listed)).count()
    }
}

/// The files of a pushed stream.
pub(super) trait Files {
    /// Whether a file is there, whole.
    fn is_there(&self, path: &str) -> bool;

    /// Whether a file is being pushed.
    fn is_coming(&self, path: &str) -> bool;

    /// Whether any is.
    fn any_coming(&self) -> bool;
}

/// The stream's playlist: what has to be known of it after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Main {
    /// Under which path it is pushed.
    pub(super) path: String,
    /// The playlists that it lists, if it is a multivariant one.
    pub(super) lists: Option<BTreeSet<String>>,
}

/// What has to be done to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// This is the stream's playlist now. It is the first of what is to be done.
    Main(Main),
    /// The stream's playlist, as it lies beside the stream's folder.
    Beside(String),
    /// Another one, as it lies in the folder.
    Within(MediaPath, String),
    /// Another one is none of the stream's any more.
    Remove(String),
}

/// A playlist that came.
#[derive(Debug)]
struct Came {
    path: MediaPath,
    pushed: Pushed,
    /// When, the last time.
    at: Instant,
    /// Since when it might be published, and not one of its segments was there.
    waits: Option<Instant>,
    /// How often, while it waited.
    times: u32,
    /// So many of its segments are published; `None`: nothing of what came the last time.
    published: Option<usize>,
}

impl Came {
    fn is_done(&self) -> bool {
        match &self.pushed.kind {
            Kind::Multivariant(_) => self.published.is_some(),
            Kind::Media(media) => self.published == Some(media.segments.len()),
        }
    }
}

/// The playlists of a pushed stream.
#[derive(Debug, Default)]
pub(super) struct Playlists {
    main: Option<Main>,
    /// When something of it came.
    active: Option<Instant>,
    target: Duration,
    ended: bool,
    came: BTreeMap<String, Came>,
    /// What is to be told, before all else.
    told: Vec<Output>,
}

impl Playlists {
    /// As they were before a restart.
    pub(super) fn restored(main: Option<Main>, now: Instant) -> Self {
        Self {
            active: main.is_some().then_some(now),
            target: UNKNOWN_TARGET,
            main,
            ..Self::default()
        }
    }

    /// One is as it was before a restart.
    pub(super) fn load(&mut self, path: &MediaPath, pushed: Pushed, now: Instant) {
        let published = Some(pushed.media().map_or(0, |media| media.segments.len()));
        let came = Came {
            path: path.clone(),
            pushed,
            at: now,
            waits: None,
            times: 0,
            published,
        };
        self.came.insert(path.as_str().to_owned(), came);
    }

    /// How long the longest of them lasts.
    pub(super) fn longest(&self) -> Duration {
        let media = self.came.values().filter_map(|came| came.pushed.media());
        media.map(|media| media.duration).max().unwrap_or_default()
    }

    pub(super) fn main(&self) -> Option<&Main> {
        self.main.as_ref()
    }

    /// Whether one of this path came, or was there before the restart.
    pub(super) fn knows(&self, path: &str) -> bool {
        self.came.contains_key(path) || self.is_written(path)
    }

    /// Whether one of this path is published.
    pub(super) fn is_written(&self, path: &str) -> bool {
        self.main.as_ref().is_some_and(|main| main.path == path) || self.is_listed(path)
    }

    fn is_listed(&self, path: &str) -> bool {
        let lists = self.main.as_ref().and_then(|main| main.lists.as_ref());
        lists.is_some_and(|lists| lists.contains(path))
    }

    /// Makes room for one of this path, if need be in place of the one that waits for the longest time. False when all
    /// are the stream's.
    pub(super) fn make_room(&mut self, path: &str) -> bool {
        if self.came.len() < MOST_PLAYLISTS || self.came.contains_key(path) {
            return true;
        }
        let waiting = self.came.iter().filter(|(path, _)| !self.is_written(path));
        let oldest = waiting
            .min_by_key(|(_, came)| came.at)
            .map(|(path, _)| path.clone());
        oldest.is_some_and(|oldest| self.came.remove(&oldest).is_some())
    }

    /// Whether something waits for its time.
    pub(super) fn is_waiting(&self) -> bool {
        self.came.values().any(|came| !came.is_done())
    }

    /// The files that playlists list which came.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.came.values().flat_map(|came| came.pushed.files())
    }

    /// A playlist came.
    pub(super) fn put(&mut self, path: &MediaPath, pushed: Pushed, now: Instant) {
        let before = self.came.get(path.as_str());
        let times = before.map_or(0, |came| came.times).saturating_add(1);
        let came = Came {
            path: path.clone(),
            pushed,
            at: now,
            waits: before.and_then(|came| came.waits),
            times,
            published: None,
        };
        let path = path.as_str().to_owned();
        if let Kind::Multivariant(lists) = &came.pushed.kind {
            let lists = Some(lists.clone());
            self.came.insert(path.clone(), came);
            self.choose(Main { path, lists });
            self.active = Some(now);
            return;
        }
        let ended = came.pushed.media().is_some_and(|media| media.ended);
        self.target = came
            .pushed
            .media()
            .map_or(Duration::ZERO, |media| media.target);
        self.came.insert(path.clone(), came);
        if !self.is_written(&path) {
            if self.main.is_some() && !self.is_over(now) {
                return;
            }
            if times < 2 && !ended {
                return;
            }
            self.choose(Main {
                path: path.clone(),
                lists: None,
            });
        }
        self.active = Some(now);
        self.ended = ended && self.main.as_ref().is_some_and(|main| main.path == path);
    }

    /// Whether nothing of the stream's playlist comes any more.
    fn is_over(&self, now: Instant) -> bool {
        let silence = Timeouts::default().silence(self.target);
        self.ended
            || self
                .active
                .is_none_or(|at| now.duration_since(at) > silence)
    }

    /// This is the stream's playlist from now on.
    fn choose(&mut self, main: Main) {
        let before = self.main.replace(main.clone());
        if before.as_ref() == Some(&main) {
            return;
        }
        self.ended = false;
        // What it did not list before is written now, behind it.
        let moved =
            |path: &String| *path == main.path || before.as_ref().is_some_and(|b| b.path == *path);
        let listed = main.lists.iter().flatten();
        let known: BTreeSet<_> = before
            .iter()
            .flat_map(|before| before.lists.iter().flatten())
            .collect();
        for path in listed
            .clone()
            .filter(|path| !known.contains(path) || moved(path))
        {
            if let Some(came) = self.came.get_mut(path) {
                came.published = None;
            }
        }
        let listed: BTreeSet<_> = listed.collect();
        self.told.push(Output::Main(main.clone()));
        let gone = known.into_iter().filter(|path| !listed.contains(path));
        self.told.extend(gone.cloned().map(Output::Remove));
    }

    /// Forgets those that wait in vain, or are the stream's no more, and did not come for so long.
    pub(super) fn expire(&mut self, age: Duration, now: Instant) {
        let main = self.main.as_ref();
        let listed = |path: &String| {
            main.is_some_and(|main| {
                main.path == *path || main.lists.as_ref().is_some_and(|all| all.contains(path))
            })
        };
        self.came
            .retain(|path, came| listed(path) || now.duration_since(came.at) <= age);
    }

    /// A playlist is taken away: it is known no more.
    pub(super) fn forget(&mut self, path: &str) {
        self.came.remove(path);
        if let Some(main) = self.main.take_if(|main| main.path == path) {
            for listed in main.lists.iter().flatten() {
                self.came.remove(listed);
            }
            self.active = None;
        }
    }

    /// What is to be written could not be.
    pub(super) fn failed(&mut self) {
        for came in self.came.values_mut() {
            came.published = None;
        }
        self.told.extend(self.main.clone().map(Output::Main));
    }

    /// What is to be done now, in this order.
    pub(super) fn due(&mut self, files: &dyn Files, now: Instant) -> Vec<Output> {
        let mut outputs = std::mem::take(&mut self.told);
        if self.main.is_none() {
            let alone = self
                .came
                .values()
                .filter(|came| now.duration_since(came.at) > ALONE);
            if let Some(path) = alone
                .min_by_key(|came| came.at)
                .map(|came| came.path.as_str().to_owned())
            {
                self.choose(Main { path, lists: None });
                self.active = Some(now);
                outputs.append(&mut self.told);
            }
        }
        let Some(main) = &self.main else {
            return outputs;
        };
        let paths = std::iter::once(&main.path).chain(main.lists.iter().flatten());
        for path in paths {
            let Some(came) = self.came.get_mut(path).filter(|came| !came.is_done()) else {
                continue;
            };
            let is_main = *path == main.path;
            let text = match &came.pushed.kind {
                Kind::Multivariant(_) => {
                    came.published = Some(0);
                    // One that is listed by another is no media playlist, whatever it is.
                    is_main.then(|| came.pushed.text.clone())
                }
                Kind::Media(media) => {
                    let all = media.segments.len();
                    let since = came.waits.unwrap_or(came.at);
                    let late = now.duration_since(since) >= media.patience();
                    let ready = if late { all } else { media.ready(files) };
                    // One that lists nothing says so; one of which nothing is there yet says nothing.
                    let nothing = ready == 0 && all > 0;
                    came.waits = nothing.then(|| came.waits.unwrap_or(now));
                    if nothing || came.published.is_some_and(|published| published >= ready) {
                        continue;
                    }
                    came.published = Some(ready);
                    Some(if ready == all {
                        came.pushed.text.clone()
                    } else {
                        let last = media.segments.get(ready.saturating_sub(1));
                        up_to(&came.pushed.text, last.map_or(0, |listed| listed.line))
                    })
                }
            };
            outputs.extend(text.map(|text| match is_main {
                true => Output::Beside(text),
                false => Output::Within(came.path.clone(), text),
            }));
        }
        outputs
    }
}

/// The first lines of a playlist that goes on.
fn up_to(text: &str, lines: usize) -> String {
    let lines = text.split_inclusive('\n').take(lines);
    lines
        .filter(|line| !line.starts_with("#EXT-X-ENDLIST"))
        .collect()
}

#[cfg(test)]
#[path = "playlists/tests.rs"]
mod tests;
