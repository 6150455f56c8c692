//! From a playlist, or a list of files, to a [`Clip`].

mod failure;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use clipmill_media::{CLOCK_90K, Language, LimitExceeded, Limits, SegmentIndex};
use clipmill_playlist::{
    Location, MediaPlaylist, Playlist, PlaylistError, PlaylistLimits, Position, Rendition,
    RenditionKind, TimeSpec, Variables, VariantChoice, Window, WindowRequest,
};

use crate::clip::Clip;
use crate::cut::{Bounds, Cut, Entrance};
use crate::error::{ClipError, PlaylistFailure, SegmentError};
use crate::feed::Feed;
use crate::foreign::not_a_playlist;
use crate::item::Item;
use crate::named::locate;
use crate::render::{Observer, Progress};
use crate::rendition::{AudioChoice, OpenedRendition, RenditionFeed};
use crate::source::SegmentSource;
use crate::subtitles::{AnchorSegment, OpenedSubtitles, SubtitleChoice, read as read_subtitles};
use crate::timeline::{
    Comparison, PushedSegment, SegmentInfo, Ticks, Timeline, duration_ticks, to_ticks,
};

/// What to cut, and how.
///
/// ```
/// use std::time::Duration;
/// use clipmill::{ClipRequest, Cut};
///
/// let mut request = ClipRequest::last(Duration::from_secs(30)).with_cut(Cut::Keyframe);
/// request.program = Some(2);
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ClipRequest {
    /// Which stretch of the playlist; all of it by default.
    pub window: WindowRequest,
    /// Where the clip may begin and end.
    pub cut: Cut,
    /// Which variant of a multivariant playlist.
    pub variant: VariantChoice,
    /// Which of its audio renditions, where they are in playlists of their own.
    pub audio: AudioChoice,
    /// What becomes of its subtitles, where they are in playlists of their own.
    pub subtitles: SubtitleChoice,
    /// A folder in which keys are looked for first, by the last part of their URI: 16 bytes, or 32
    /// hexadecimal digits.
    pub keys: Option<PathBuf>,
    /// Which program of a stream with several; by default the one with pictures that are not
    /// scrambled.
    pub program: Option<u16>,
    /// Whether a playlist on disk may name files outside its folder.
    pub allow_outside: bool,
    /// How much of the window the playlist never came to list, though it was waited for
    /// ([`Input::when_listed`](crate::Input::when_listed)).
    pub ended_early: Option<Duration>,
    /// Every size that comes from outside.
    pub limits: Limits,
}

impl ClipRequest {
    /// A window of a playlist, cut on the asked frames; the default is all of it.
    #[must_use]
    pub fn new(window: WindowRequest) -> Self {
        Self {
            window,
            ..Self::default()
        }
    }

    /// So much before the end of the playlist, up to its end.
    #[must_use]
    pub fn last(duration: Duration) -> Self {
        Self::new(WindowRequest {
            last: Some(duration),
            ..WindowRequest::default()
        })
    }

    /// From one instant up to another, which is not included; the playlist must date its segments.
    #[must_use]
    pub fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self::new(WindowRequest {
            from: Some(TimeSpec::At(from)),
            to: Some(TimeSpec::At(to)),
            ..WindowRequest::default()
        })
    }

    /// The same, with another way to cut.
    #[must_use]
    pub fn with_cut(mut self, cut: Cut) -> Self {
        self.cut = cut;
        self
    }
}

/// A media playlist and where it was found.
pub(crate) struct OpenedPlaylist {
    pub(crate) location: Location,
    pub(crate) playlist: MediaPlaylist,
    /// Sound in playlists of its own.
    pub(crate) renditions: Vec<OpenedRendition>,
    /// Subtitles in playlists of their own.
    pub(crate) subtitles: Vec<OpenedSubtitles>,
    /// Renditions that could not be read, and why.
    pub(crate) warnings: Vec<String>,
}

impl OpenedPlaylist {
    fn new(location: Location, playlist: MediaPlaylist) -> Self {
        Self {
            location,
            playlist,
            renditions: Vec::new(),
            subtitles: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// Reads a playlist; of a multivariant one, the variant that the request asks for.
pub(crate) fn open_media_playlist(
    source: &dyn SegmentSource,
    location: &Location,
    request: &ClipRequest,
) -> Result<OpenedPlaylist, ClipError> {
    let (location, playlist) = open_playlist(source, location, &request.limits)?;
    let multivariant = match playlist {
        Playlist::Media(playlist) => return Ok(OpenedPlaylist::new(location, playlist)),
        Playlist::Multivariant(multivariant) => multivariant,
    };
    let name = location.to_string();
    let failed = |error: PlaylistFailure| ClipError::Playlist {
        playlist: name.clone(),
        error,
    };
    let variant = request
        .variant
        .choose(&multivariant)
        .map_err(|error| failed(error.into()))?;
    let chosen = locate(&location, &variant.uri, request.allow_outside)
        .map_err(|error| failed(error.into()))?;
    let variables = &multivariant.variables;
    let read = open_playlist_with(source, &chosen, &request.limits, variables);
    let read = read.map_err(|error| ClipError::Variant {
        playlist: name.clone(),
        variant: variant.to_string(),
        error: Box::new(error),
        others: failure::others(&multivariant.variants, variant),
    });
    let mut opened = match read? {
        (location, Playlist::Media(playlist)) => OpenedPlaylist::new(location, playlist),
        (location, Playlist::Multivariant(_)) => {
            return Err(ClipError::Unsupported {
                what: location.to_string(),
                feature: "a multivariant playlist inside another".to_owned(),
            });
        }
    };
    if let Some(group) = &variant.subtitles
        && request.subtitles != SubtitleChoice::None
    {
        for one in multivariant.group(RenditionKind::Subtitles, group) {
            let Some(uri) = &one.uri else { continue };
            let location = locate(&location, uri, request.allow_outside);
            let location = location.map_err(|error| failed(error.into()))?;
            match open_rendition(source, one, location, one.default, request, variables) {
                Ok(rendition) => opened.subtitles.push(OpenedSubtitles {
                    name: rendition.name,
                    language: rendition.language,
                    default: rendition.default,
                    items: rendition.items,
                }),
                Err(error) => {
                    let warning = format!("subtitles {:?} are left out: {error}", one.name);
                    opened.warnings.push(warning);
                }
            }
        }
    }
    let Some(group) = &variant.audio else {
        return Ok(opened);
    };
    let group = multivariant.group(RenditionKind::Audio, group);
    let wanted = request.audio.choose(group.clone());
    if let AudioChoice::Language(asked) = &request.audio
        && wanted.is_empty()
    {
        let names = group.iter().map(|one| match &one.language {
            Some(language) => format!("{language} ({})", one.name),
            None => one.name.clone(),
        });
        return Err(ClipError::NoAudio {
            playlist: name.clone(),
            wanted: asked.clone(),
            found: names.collect::<Vec<_>>().join(", "),
        });
    }
    let mut default = true;
    for one in wanted {
        // One without a URI is in the variant's own segments (RFC 8216, 4.3.4.2.1).
        let Some(uri) = &one.uri else {
            default = false;
            continue;
        };
        let location = locate(&location, uri, request.allow_outside);
        let location = location.map_err(|error| failed(error.into()))?;
        match open_rendition(source, one, location, default, request, variables) {
            Ok(rendition) => {
                default = false;
                opened.renditions.push(rendition);
            }
            Err(error) => {
                let warning = format!("audio rendition {:?} is left out: {error}", one.name);
                opened.warnings.push(warning);
            }
        }
    }
    Ok(opened)
}

fn open_rendition(
    source: &dyn SegmentSource,
    rendition: &Rendition,
    location: Location,
    default: bool,
    request: &ClipRequest,
    variables: &Variables,
) -> Result<OpenedRendition, ClipError> {
    match open_playlist_with(source, &location, &request.limits, variables)? {
        (location, Playlist::Media(playlist)) => Ok(OpenedRendition {
            name: rendition.name.clone(),
            language: Language::from_tag(rendition.language.as_deref().unwrap_or_default()),
            default,
            items: items(&OpenedPlaylist::new(location, playlist), request)?,
        }),
        (location, Playlist::Multivariant(_)) => Err(ClipError::Unsupported {
            what: location.to_string(),
            feature: "a multivariant playlist inside another".to_owned(),
        }),
    }
}

pub(crate) fn open_playlist(
    source: &dyn SegmentSource,
    location: &Location,
    limits: &Limits,
) -> Result<(Location, Playlist), ClipError> {
    open_playlist_with(source, location, limits, &Variables::new())
}

/// The same; it may import variables of the multivariant playlist that it belongs to, and the
/// parameters of its own URL (`EXT-X-DEFINE`, rfc8216bis, 4.4.2.3).
pub(crate) fn open_playlist_with(
    source: &dyn SegmentSource,
    location: &Location,
    limits: &Limits,
    variables: &Variables,
) -> Result<(Location, Playlist), ClipError> {
    let (bytes, location) = source.read_playlist(location, limits.playlist_bytes)?;
    let mut imports = variables.clone();
    if let Location::Url(url) = &location {
        imports.extend(url.query_pairs().into_owned());
    }
    let playlist_limits = PlaylistLimits {
        bytes: limits.playlist_bytes,
        lines: limits.playlist_lines,
        segments: limits.playlist_segments,
        ..PlaylistLimits::default()
    };
    let playlist = Playlist::parse_with(&bytes, &playlist_limits, &imports).map_err(|error| {
        let foreign = match &error {
            PlaylistError::NotM3u8 { .. } => not_a_playlist(&bytes),
            _ => None,
        };
        ClipError::Playlist {
            playlist: location.to_string(),
            error: foreign.map_or(error.into(), PlaylistFailure::Foreign),
        }
    })?;
    Ok((location, playlist))
}

pub(crate) fn items(
    opened: &OpenedPlaylist,
    request: &ClipRequest,
) -> Result<Vec<Item>, ClipError> {
    // As far as a live one has come: the last of them is not complete yet.
    let playlist = opened.playlist.clone().with_parts();
    let segments = playlist.segments.iter();
    let items: Result<Vec<Item>, ClipError> = segments
        .map(|segment| {
            let keys = request.keys.is_some();
            let item = Item::from_segment(segment, &opened.location, request.allow_outside, keys);
            item.map_err(|error| ClipError::Playlist {
                playlist: opened.location.to_string(),
                error: error.into(),
            })
        })
        .collect();
    let mut items = items?;
    if let Some(last) = items.last_mut() {
        last.last = playlist.ended;
    }
    Ok(items)
}

fn window_begins(window: &WindowRequest) -> bool {
    window.from.is_some() || window.last.is_some() || window.duration.is_some()
}

/// Reads and indexes as many segments as a window needs: from one with a sync sample at or before
/// its beginning, to one that decides its end.
pub(crate) struct Loader<'a> {
    source: &'a dyn SegmentSource,
    /// The playlist, for messages.
    name: String,
    items: Vec<Item>,
    window: Window,
    /// Whether a beginning was asked for, wherever it lies.
    asked_from: bool,
    request: &'a ClipRequest,
    feed: Feed<'a>,
    renditions: Vec<OpenedRendition>,
    subtitles: Vec<OpenedSubtitles>,
    /// How far each of the audio renditions is read.
    rendition_feeds: Vec<RenditionFeed<'a>>,
    timeline: Timeline,
    /// Which item became the segment of which number on the timeline.
    placed: Vec<(usize, u64)>,
    /// What the playlist itself gave reason to say.
    warnings: Vec<String>,
    /// Segments that gave nothing: where in the playlist, their names, and why.
    lost: Vec<(usize, String, Option<SegmentError>)>,
    first: usize,
    next: usize,
    /// How many segments before the window's first it began.
    back: usize,
    /// Whether the segment last read was pushed.
    pushed: bool,
    /// It could not be told whether something that was read repeats what came before.
    unsure: bool,
    /// Segments read since the end of the window was known.
    beyond: Option<usize>,
}

impl<'a> Loader<'a> {
    /// Reads the playlist and finds the window in it.
    pub(crate) fn open(
        source: &'a dyn SegmentSource,
        playlist: &Location,
        request: &'a ClipRequest,
    ) -> Result<Self, ClipError> {
        let opened = open_media_playlist(source, playlist, request)?;
        let name = opened.location.to_string();
        let window = request
            .window
            .resolve(&opened.playlist.clone().with_parts())
            .map_err(|error| ClipError::Playlist {
                playlist: name.clone(),
                error: error.into(),
            })?;
        let items = items(&opened, request)?;
        let warnings = opened.playlist.warnings.iter();
        let warnings = warnings
            .map(|warning| format!("{name}: {warning}"))
            .collect();
        let mut loader = Self::new(source, name, items, opened.renditions, window, request);
        let dates = request.window.ends().is_ok_and(|(from, to)| {
            let ends = [from, to].into_iter().flatten();
            ends.into_iter().any(|end| matches!(end, TimeSpec::At(_)))
        });
        let back = dates.then(|| window.dates_going_back(&opened.playlist));
        loader.warnings = warnings;
        loader.warnings.extend(back.flatten());
        loader.warnings.extend(opened.warnings);
        loader.subtitles = opened.subtitles;
        Ok(loader)
    }

    /// Takes files, whole.
    pub(crate) fn of_files(
        source: &'a dyn SegmentSource,
        files: &[Location],
        request: &'a ClipRequest,
    ) -> Self {
        let mut items: Vec<Item> = files.iter().cloned().map(Item::from_file).collect();
        if let Some(last) = items.last_mut() {
            last.last = true;
        }
        let name = files.first().map_or_else(String::new, Location::to_string);
        Self::new(source, name, items, Vec::new(), Window::default(), request)
    }

    fn new(
        source: &'a dyn SegmentSource,
        name: String,
        items: Vec<Item>,
        renditions: Vec<OpenedRendition>,
        window: Window,
        request: &'a ClipRequest,
    ) -> Self {
        let mut loader = Self {
            source,
            name,
            items,
            window,
            asked_from: window_begins(&request.window),
            request,
            feed: Feed::new(
                source,
                request.program,
                &request.limits,
                request.keys.as_deref(),
            ),
            renditions,
            subtitles: Vec::new(),
            rendition_feeds: Vec::new(),
            timeline: Timeline::new(),
            placed: Vec::new(),
            warnings: Vec::new(),
            lost: Vec::new(),
            first: 0,
            next: 0,
            // Sound of the window's first moments may lie one segment earlier.
            back: 1,
            pushed: false,
            unsure: false,
            beyond: None,
        };
        loader.restart();
        loader
    }

    /// Begins anew.
    pub(crate) fn restart(&mut self) {
        let request = self.request;
        let keys = request.keys.as_deref();
        let feed = || Feed::new(self.source, request.program, &request.limits, keys);
        self.feed = feed();
        let labels = self.renditions.iter().map(OpenedRendition::label);
        self.timeline = Timeline::with_labels(labels.collect());
        self.placed.clear();
        self.lost.clear();
        let from = self.window.from.map_or(0, |from| from.segment);
        self.first = from.saturating_sub(self.back);
        self.next = self.first;
        let pictures = self.items.get(self.first);
        let renditions = self.renditions.iter().zip(1..);
        self.rendition_feeds = renditions
            .map(|(opened, number)| RenditionFeed::new(number, opened, feed(), pictures))
            .collect();
        self.pushed = false;
        self.unsure = false;
        self.beyond = None;
    }

    /// Whether something may be in the clip twice, as it could not be compared with what was
    /// written.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Whether the clip holds what is in playlists of its own.
    pub(crate) fn has_renditions(&self) -> bool {
        let text = self.request.subtitles == SubtitleChoice::Track && !self.subtitles.is_empty();
        text || !self.renditions.is_empty()
    }

    /// The same, to the end of the playlist.
    pub(crate) fn without_end(mut self) -> Self {
        self.window.to = None;
        self
    }

    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(crate) fn timeline_mut(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    /// Whether the segment last read lies at least `margin` segments before the one in which the
    /// window ends.
    pub(crate) fn is_settled(&self, margin: usize) -> bool {
        let end = self.window.to.map(|to| to.segment);
        end.is_none_or(|end| self.next + margin <= end + 1)
    }

    /// How many times longer the window is than the part of it that has come, which lasts
    /// `read_ms`.
    pub(crate) fn growth(&self, read_ms: u64) -> f64 {
        let end = self.window.to.map_or(self.items.len(), |to| to.segment + 1);
        let all = &self.items[self.first..end.clamp(self.next, self.items.len())];
        if all.iter().any(|item| item.duration.is_zero()) {
            return all.len() as f64 / (self.next - self.first).max(1) as f64;
        }
        let all: f64 = all.iter().map(|item| item.duration.as_secs_f64()).sum();
        all * 1000.0 / read_ms.max(1) as f64
    }

    /// Number on the timeline and bytes of the segment last read; `None` when it gave nothing.
    pub(crate) fn last_pushed(&self) -> Option<(u64, Bytes)> {
        let last = self.timeline.segments().back().filter(|_| self.pushed)?;
        Some((last.number, self.feed.bytes()))
    }

    /// Whether what the beginning of the window needs has come.
    pub(crate) fn covers_start(&self) -> bool {
        self.window
            .from
            .is_none_or(|from| self.next > from.segment + 1)
    }

    /// The window on the timeline.
    pub(crate) fn bounds(&self) -> Bounds {
        // A beginning that lies before the playlist is still an edge that sound is cut at.
        let from_start = self.asked_from.then(|| {
            let segments = self.timeline.segments().iter();
            segments
                .filter_map(|segment| segment.first_presented)
                .next()
        });
        let place = |position: Option<Position>| position.and_then(|at| self.place(at));
        Bounds {
            from: place(self.window.from).or(from_start.flatten()),
            to: place(self.window.to),
        }
    }

    /// The same for one that goes on to the end of the playlist.
    pub(crate) fn bounds_without_end(&self) -> Bounds {
        Bounds {
            to: None,
            ..self.bounds()
        }
    }

    fn place(&self, position: Position) -> Option<Ticks> {
        if position.segment >= self.items.len() {
            return self.timeline.end();
        }
        // By the place in the playlist: parts of one segment share its sequence number.
        let from = self
            .placed
            .partition_point(|(item, _)| *item < position.segment);
        let (item, number) = self.placed.get(from)?;
        let Some(start) = self.timeline.at_number(*number) else {
            // It gave nothing that was not there already.
            return self.timeline.end();
        };
        // Of a segment that is missing, counted back from the next one that is there.
        let listed = |number: usize| self.items.get(number).map(|item| item.start);
        let missing = listed(*item)?.saturating_sub(listed(position.segment)?);
        let from_start = duration_ticks(position.offset).saturating_sub(duration_ticks(missing));
        Some(start.saturating_add(from_start))
    }

    /// Reads one more segment. `None` when no more are needed; else how many are done, of how
    /// many.
    pub(crate) fn advance(&mut self) -> Result<Option<(usize, usize)>, ClipError> {
        if self.beyond.is_some_and(|beyond| beyond > 1) {
            return Ok(None);
        }
        let number = self.next;
        let Some(item) = self.items.get(number) else {
            return Ok(None);
        };
        let fed = self.feed.next(item);
        self.next += 1;
        self.pushed = fed.is_ok();
        match fed {
            Ok((info, index)) => self.push(number, info, index)?,
            Err(why) => self.lost.push((number, item.name(), why)),
        }
        let begins_here = self.window.from.filter(|from| from.segment == number);
        if let Some(from) = begins_here
            && self.first > 0
            && (self.lacks_parameter_sets()
                || self.request.cut == Cut::Exact && !self.decodable_at(from))
        {
            self.back *= 2;
            self.restart();
        } else if let Some(to) = self.window.to
            && number >= to.segment
        {
            // Sound of the window's last moments may lie one segment later.
            self.beyond = match (self.beyond, self.request.cut) {
                (Some(beyond), _) => Some(beyond + 1),
                (None, Cut::Segment) => Some(if self.rendition_feeds.is_empty() {
                    2
                } else {
                    1
                }),
                (None, _) => self.reached(to).then_some(1),
            };
        }
        let last = match self.window.to {
            Some(to) => (to.segment + 1).clamp(self.next, self.items.len()),
            None => self.items.len(),
        };
        Ok(Some((self.next - self.first, last - self.first)))
    }

    /// Puts a segment on the line, and the sound that belongs to it.
    fn push(
        &mut self,
        number: usize,
        info: SegmentInfo,
        index: SegmentIndex,
    ) -> Result<(), ClipError> {
        let mut lost = Vec::new();
        let mut parts = vec![PushedSegment {
            source: 0,
            info,
            index: Arc::new(index),
        }];
        if let Some(item) = self.items.get(number) {
            let next = self.items.get(number + 1);
            let last =
                next.is_none_or(|next| next.discontinuity_sequence != item.discontinuity_sequence);
            let renditions = self.renditions.iter();
            for (feed, opened) in self.rendition_feeds.iter_mut().zip(renditions) {
                let index = Arc::clone(&parts[0].index);
                let ends = (last, next.is_none());
                parts.extend(feed.segments_for(opened, item, &index, ends, &mut lost));
            }
        }
        let mut comparison = Comparison::new(self.source, Some(self.feed.bytes()));
        let first = self.timeline.push_together_once(parts, &mut comparison);
        self.unsure |= comparison.is_unsure();
        self.placed.push((number, first));
        self.check_duration()?;
        let lost = lost.into_iter().map(|(name, why)| (number, name, why));
        self.lost.extend(lost);
        Ok(())
    }

    fn check_duration(&self) -> Result<(), LimitExceeded> {
        let mut segments = self.timeline.segments().iter();
        let first = segments.find_map(|segment| segment.first_presented);
        let lasts = first.zip(self.timeline.end());
        let lasts = lasts.map_or(0, |(first, end)| end.saturating_sub(first).max(0));
        let seconds = u64::try_from(lasts).unwrap_or(0) / u64::from(CLOCK_90K);
        let limit = self.request.limits.clip_duration.as_secs();
        LimitExceeded::check("length of the clip in seconds", seconds, limit)
    }

    /// Whether the pictures of the segment last read need what an earlier one has.
    fn lacks_parameter_sets(&self) -> bool {
        let last = self.timeline.segments().back().filter(|_| self.pushed);
        last.is_some_and(|segment| segment.index.lacks_parameter_sets)
    }

    /// Whether a sync sample lies at or before a position.
    fn decodable_at(&self, position: Position) -> bool {
        let (Some(lead), Some(at)) = (self.timeline.leading_track(), self.place(position)) else {
            return false;
        };
        let clock = self.timeline.tracks()[lead].timing.clock();
        let mut entrance = Entrance::at(at);
        for (number, sample) in self.timeline.samples(lead, 0).enumerate() {
            let pts = to_ticks(sample.pts, clock);
            entrance.pass(number, sample.sample.random_access, pts);
        }
        entrance.is_in_time()
    }

    /// Whether the end of the window is known: something lies at or after it.
    fn reached(&self, position: Position) -> bool {
        let (Some(lead), Some(at)) = (self.timeline.leading_track(), self.place(position)) else {
            return false;
        };
        let clock = self.timeline.tracks()[lead].timing.clock();
        let any = self.request.cut == Cut::Exact;
        let last = self.timeline.segments().len().saturating_sub(1);
        let mut samples = self.timeline.samples(lead, last);
        samples.any(|s| (any || s.sample.random_access.is_sync()) && to_ticks(s.pts, clock) >= at)
    }

    /// Reads all that is needed, and makes the clip.
    pub(crate) fn finish(mut self, observer: Observer<'_>) -> Result<Clip, ClipError> {
        self.read_all(observer)?;
        self.clip()
    }

    /// Reads all that is needed.
    pub(crate) fn read_all(&mut self, observer: Observer<'_>) -> Result<(), ClipError> {
        while let Some((done, total)) = self.advance()? {
            if observer(Progress::Indexing { done, total }) == ControlFlow::Break(()) {
                return Err(ClipError::Cancelled);
            }
        }
        Ok(())
    }

    /// Makes the clip of what was read.
    pub(crate) fn clip(&mut self) -> Result<Clip, ClipError> {
        let Some(mut clip) = Clip::new(&self.timeline, self.bounds(), self.request.cut) else {
            return Err(self.failure());
        };
        let lost: Vec<_> = std::mem::take(&mut self.lost)
            .into_iter()
            .filter(|(number, ..)| self.concerns(&clip, *number))
            .map(|(number, name, why)| match why {
                Some(error) => (number, format!("{name}: {error}")),
                None => (number, format!("{name}: marked as a gap")),
            })
            .collect();
        self.explain(&mut clip, &lost);
        clip.lost_segments = lost.len() as u64;
        let lost = lost.into_iter().map(|(_, error)| error);
        clip.warnings
            .splice(0..0, self.warnings.iter().cloned().chain(lost));
        if let Some(missing) = self.request.ended_early {
            clip.ends_early(missing, &self.name);
        }
        self.subtitle(&mut clip)?;
        Ok(clip)
    }

    /// Says of the gaps of a clip which segments are missing there, and declares that at its end.
    fn explain(&self, clip: &mut Clip, lost: &[(usize, String)]) {
        let all = |from: usize, to: usize| {
            let mut own = lost.iter().filter(|(n, _)| (from..to).contains(n));
            let (_, first) = own.next()?;
            Some(match own.count() {
                0 => first.clone(),
                more => format!("{first} (and {more} more)"),
            })
        };
        for gap in &mut clip.gaps {
            let placed = self
                .placed
                .iter()
                .map(|(item, number)| (item, Some(*number)));
            let at = placed.clone().position(|(_, number)| number == gap.behind);
            let Some(&(item, _)) = at.and_then(|at| self.placed.get(at)) else {
                continue;
            };
            let before = at.and_then(|at| self.placed.get(at.checked_sub(1)?));
            let from = before.map_or(0, |(before, _)| before + 1);
            if let Some(reason) = all(from, item) {
                gap.reason = reason;
            }
        }
        let behind = self.placed.last().map_or(0, |(item, _)| item + 1);
        if let Some(reason) = all(behind, usize::MAX) {
            let gone = lost.iter().filter(|(number, _)| *number >= behind);
            let items = gone.filter_map(|(number, _)| self.items.get(*number));
            let length = items.map(|item| duration_ticks(item.duration)).sum();
            clip.lacks_end(&self.timeline, length, reason);
        }
    }

    /// Reads the subtitles of a clip, and makes tracks of them.
    fn subtitle(&self, clip: &mut Clip) -> Result<(), ClipError> {
        if self.subtitles.is_empty() {
            return Ok(());
        }
        let last = clip.first_number + clip.segments().len() as u64;
        let numbers = clip.first_number..last;
        let inside = self.placed.iter().filter(|one| numbers.contains(&one.1));
        let anchors: Vec<_> = inside
            .filter_map(|&(item, number)| {
                let (line, timestamp) = self.timeline.anchor(number)?;
                let item = self.items.get(item)?;
                Some(AnchorSegment {
                    item,
                    line,
                    timestamp,
                })
            })
            .collect();
        let begins: Vec<_> = numbers
            .map(|number| Some(self.timeline.anchor(number)?.0))
            .collect();
        let (span, limits) = ((clip.start, clip.end), &self.request.limits);
        for opened in &self.subtitles {
            let mut warnings = Vec::new();
            let keys = self.request.keys.as_deref();
            let feed = Feed::new(self.source, None, limits, keys);
            let read = read_subtitles(opened, &anchors, span, feed, limits, &mut warnings);
            clip.warnings.append(&mut warnings);
            if self.request.subtitles == SubtitleChoice::Track {
                let added = clip.add_subtitles(&read, &begins, limits);
                added.map_err(|error| ClipError::Segment {
                    segment: format!("subtitles {:?}", opened.name),
                    error: error.into(),
                })?;
            }
            clip.subtitles.push(read);
        }
        Ok(())
    }

    /// Whether a segment is one of those that a clip was to be made of: segments around its window
    /// are read only to find its edges.
    fn concerns(&self, clip: &Clip, number: usize) -> bool {
        let after_start = self.window.from.is_none_or(|from| number >= from.segment);
        let before_end = self
            .window
            .to
            .is_none_or(|to| number < to.segment || (number == to.segment && !to.offset.is_zero()));
        let sequence = self.items.get(number).map(|item| item.sequence);
        let mut used = clip.segments().iter().map(|segment| segment.info.sequence);
        let inside = used.next().zip(used.next_back()).zip(sequence);
        let between =
            inside.is_some_and(|((first, last), sequence)| (first..=last).contains(&sequence));
        between || (after_start && before_end)
    }
}
