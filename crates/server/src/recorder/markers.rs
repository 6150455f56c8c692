//! Markers that the media brings: date ranges of its playlists (`EXT-X-DATERANGE`, RFC 8216, 4.3.2.7), cues in them
//! (`EXT-X-CUE-OUT`, `EXT-X-CUE-IN`) and splices in its segments (ANSI/SCTE 35). What is set by calls lies beside them in the catalog.
//!
//! Where something begins and where it ends is said by two splices, which may lie minutes and a restart apart: the end
//! is written to what the catalog has.

use std::collections::HashMap;
use std::time::Duration;

use clipmill::Timeline;
use clipmill_media::SCTE35_SCHEME;
use clipmill_media::scte35::{Segmentation, SpliceCommand, SpliceInfo};
use clipmill_playlist::{Cue, DateRange, Segment};

use super::app::App;
use super::shared::Shared;
use super::state::State;
use super::task::Task;
use crate::catalog::{Catalog, CatalogError};
use crate::domain::{Marker, MarkerOrigin, SpliceEvent, now_ms};

/// Date ranges of one playlist that are followed at once.
const MOST_RANGES: usize = 4096;

/// So many markers wait at most while the catalog does not answer.
const MOST_NEWS: usize = 4096;

/// The same splice is announced again and again. Where it is due comes out a little different each time that the
/// timeline begins anew.
const SAME_MS: i64 = 500;

/// Breaks last longer than was announced by no more than this: what ends later is another one.
const CUE_LATE_MS: i64 = 10_000;

/// How long markers of a stream without a DVR window are kept behind its live edge.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// What breaks are about that cues in the playlist tell of: they have no name.
const CUE: SpliceEvent = SpliceEvent {
    type_id: Some(0),
    event_id: 0,
};

/// What the media says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// There is a marker, or it is another now.
    Put(Marker),
    /// Something begins at this instant, in milliseconds since 1970, and lasts as long as that, if nobody says otherwise.
    Begins {
        event: SpliceEvent,
        name: String,
        at_ms: i64,
        length_ms: Option<i64>,
    },
    /// It ends.
    Ends { event: SpliceEvent, at_ms: i64 },
    /// It does not happen, unless it has begun already.
    Cancelled { event_id: u32, at_ms: i64 },
}

/// What a stream's playlist marks, as it was when it was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    ranges: HashMap<String, Marker>,
    cues: Vec<(i64, Cue)>,
}

impl Listed {
    /// What is new or changed.
    pub(crate) fn news(&mut self, ranges: &[DateRange], segments: &[Segment]) -> Vec<News> {
        let ranges = self.ranges(ranges).into_iter().map(News::Put);
        ranges.chain(self.cues(segments)).collect()
    }

    /// The breaks that begin or end with a segment.
    fn cues(&mut self, segments: &[Segment]) -> Vec<News> {
        let cues = segments
            .iter()
            .filter_map(|segment| Some((segment.start_time?.timestamp_millis(), segment.cue?)));
        let known = std::mem::replace(&mut self.cues, cues.collect());
        let new = self.cues.iter().filter(|cue| !known.contains(cue));
        // Packagers write both for one break: the range says more.
        let is_ranged = |at_ms: i64| {
            let mut ranges = self.ranges.values();
            ranges.any(|range| range.from_ms.saturating_sub(at_ms).saturating_abs() <= SAME_MS)
        };
        let new = new.filter(|(at_ms, cue)| *cue == Cue::In || !is_ranged(*at_ms));
        let news = new.map(|(at_ms, cue)| match cue {
            Cue::Out(length) => News::Begins {
                event: CUE,
                name: "Break".to_owned(),
                at_ms: *at_ms,
                length_ms: length.and_then(|length| length.as_millis().try_into().ok()),
            },
            Cue::In => News::Ends {
                event: CUE,
                at_ms: *at_ms,
            },
        });
        news.collect()
    }

    /// The date ranges that are new or changed.
    fn ranges(&mut self, listed: &[DateRange]) -> Vec<Marker> {
        let newest = listed.len().saturating_sub(MOST_RANGES);
        let markers = markers_of(listed.get(newest..).unwrap_or_default());
        // What is listed no more is followed no more.
        let mut before = std::mem::take(&mut self.ranges);
        let mut news = Vec::new();
        for marker in markers {
            if before.remove(&marker.id).as_ref() != Some(&marker) {
                news.push(marker.clone());
            }
            self.ranges.insert(marker.id.clone(), marker);
        }
        news
    }
}

/// The markers that date ranges are.
fn markers_of(ranges: &[DateRange]) -> Vec<Marker> {
    let dated = ranges
        .iter()
        .filter(|range| range.id.len() <= Marker::LONGEST_ID);
    let dated = dated.filter_map(|range| Some((range, range.start?.timestamp_millis())));
    let marker = |(range, from_ms): (&DateRange, i64)| {
        let attribute = |name: &str| {
            let mut all = range.attributes.iter();
            all.find(|(own, _)| own == name)
                .map(|(_, value)| value.as_str())
        };
        let splices = ["SCTE35-OUT", "SCTE35-CMD", "SCTE35-IN"];
        let splice = splices.into_iter().find_map(|name| {
            let info = SpliceInfo::from_hex(attribute(name)?).ok()?;
            name_of(&info)
        });
        let lasts = range.duration.map(|length| {
            from_ms.saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
        });
        // It ends where the next one of its class begins.
        let next = || {
            let alike = ranges
                .iter()
                .filter(|other| other.class == range.class && other.class.is_some());
            let begins = alike.filter_map(|other| Some(other.start?.timestamp_millis()));
            begins.filter(|begins| *begins > from_ms).min()
        };
        let to_ms = match range.end {
            Some(end) => Some(end.timestamp_millis().max(from_ms)),
            None if range.end_on_next => next(),
            None if lasts.is_some() => lasts,
            // It is left, and not come back to yet.
            None if attribute("SCTE35-OUT").is_some() && attribute("SCTE35-IN").is_none() => None,
            None => Some(from_ms),
        };
        Marker {
            id: range.id.clone(),
            name: splice,
            class: range.class.clone(),
            from_ms,
            to_ms,
            origin: MarkerOrigin::DateRange,
            set_ms: 0,
            event: None,
        }
    };
    dated.map(marker).collect()
}

/// What the splices in the newest segment say.
pub(crate) fn splices_of(timeline: &Timeline) -> Vec<News> {
    let Some(newest) = timeline.segments().back() else {
        return Vec::new();
    };
    let events = timeline.events(newest.number);
    let splices = events
        .into_iter()
        .filter(|event| event.scheme == SCTE35_SCHEME);
    let dated = splices.filter_map(|event| {
        let at = timeline.time_at(event.time)?;
        let info = SpliceInfo::parse(&event.data).ok()?;
        Some(news_of(&info, at.timestamp_millis()))
    });
    dated.flatten().collect()
}

/// What a splice says that is due at an instant, in milliseconds since 1970.
fn news_of(info: &SpliceInfo, at_ms: i64) -> Vec<News> {
    match &info.command {
        SpliceCommand::Insert(insert) => {
            let event = SpliceEvent {
                type_id: None,
                event_id: insert.event_id,
            };
            let event_id = insert.event_id;
            vec![if insert.cancelled {
                News::Cancelled { event_id, at_ms }
            } else if insert.out {
                News::Begins {
                    event,
                    name: format!("Splice {event_id}"),
                    at_ms,
                    length_ms: insert.duration.map(millis),
                }
            } else {
                News::Ends { event, at_ms }
            }]
        }
        SpliceCommand::TimeSignal(_) => {
            let segmentations = info.segmentations.iter();
            segmentations.map(|one| news_of_one(one, at_ms)).collect()
        }
        // Nothing of an encrypted one can be read but that it is there. It stays in the media as it is.
        _ => Vec::new(),
    }
}

fn news_of_one(one: &Segmentation, at_ms: i64) -> News {
    let event_id = one.event_id;
    let event = SpliceEvent {
        type_id: Some(one.start_type()),
        event_id,
    };
    let length_ms = one.duration.map(millis);
    if one.cancelled {
        News::Cancelled { event_id, at_ms }
    } else if one.is_end() || one.start_type() != one.type_id {
        News::Ends { event, at_ms }
    } else if one.is_start() {
        News::Begins {
            event,
            name: called(one),
            at_ms,
            length_ms,
        }
    } else {
        News::Put(Marker {
            id: id_of(event, at_ms),
            name: Some(called(one)),
            class: None,
            from_ms: at_ms,
            to_ms: Some(at_ms.saturating_add(length_ms.unwrap_or(0))),
            origin: MarkerOrigin::Splice,
            set_ms: 0,
            event: Some(event),
        })
    }
}

/// What people call it.
fn name_of(info: &SpliceInfo) -> Option<String> {
    match &info.command {
        SpliceCommand::Insert(insert) => Some(format!("Splice {}", insert.event_id)),
        _ => info.segmentations.first().map(called),
    }
}

fn called(one: &Segmentation) -> String {
    match one.name() {
        Some(name) => format!("{name} {}", one.event_id),
        None => format!("Segmentation 0x{:02x} {}", one.type_id, one.event_id),
    }
}

fn id_of(event: SpliceEvent, at_ms: i64) -> String {
    let event_id = event.event_id;
    match event.type_id {
        _ if event == CUE => format!("cue-{at_ms}"),
        Some(type_id) => format!("scte35-{type_id:02x}-{event_id}-{at_ms}"),
        None => format!("scte35-{event_id}-{at_ms}"),
    }
}

/// 90 kHz ticks, to the nearest millisecond.
fn millis(ticks: u64) -> i64 {
    i64::try_from(ticks.saturating_add(45) / 90).unwrap_or(i64::MAX)
}

/// Writes down what the media says.
async fn write(
    catalog: &dyn Catalog,
    app: &str,
    stream: &str,
    news: &News,
) -> Result<(), CatalogError> {
    let now = now_ms();
    let put = async |marker: Marker| {
        let marker = Marker {
            set_ms: now,
            ..marker
        };
        catalog.put_marker(app, stream, &marker).await.map(drop)
    };
    let of_event = async |event: SpliceEvent| {
        // Those that were removed, too: they are not begun anew.
        let all = catalog.markers(app, stream, true).await?;
        let own = all.into_iter().filter(|one| one.event == Some(event));
        Ok::<Vec<Marker>, CatalogError>(own.collect())
    };
    let is_near =
        |one: &Marker, at_ms: i64| one.from_ms.saturating_sub(at_ms).saturating_abs() <= SAME_MS;
    match news {
        News::Put(marker) => {
            if let Some(event) = marker.event {
                let known = of_event(event).await?;
                if known.iter().any(|one| is_near(one, marker.from_ms)) {
                    return Ok(());
                }
            }
            put(marker.clone()).await
        }
        News::Begins {
            event,
            name,
            at_ms,
            length_ms,
        } => {
            let known = of_event(*event).await?;
            let planned = length_ms.map(|length| at_ms.saturating_add(length));
            if let Some(same) = known.iter().find(|one| is_near(one, *at_ms)) {
                // An end that was said is not taken back by what was planned.
                return match (same.to_ms, planned) {
                    (None, Some(_)) => {
                        put(Marker {
                            to_ms: planned,
                            ..same.clone()
                        })
                        .await
                    }
                    _ => Ok(()),
                };
            }
            // One whose end was never said ends here.
            let open = known
                .iter()
                .filter(|one| one.to_ms.is_none() && one.from_ms < *at_ms);
            for one in open {
                put(Marker {
                    to_ms: Some(*at_ms),
                    ..one.clone()
                })
                .await?;
            }
            put(Marker {
                id: id_of(*event, *at_ms),
                name: Some(name.clone()),
                class: None,
                from_ms: *at_ms,
                to_ms: planned,
                origin: MarkerOrigin::Splice,
                set_ms: 0,
                event: Some(*event),
            })
            .await
        }
        News::Ends { event, at_ms } => {
            let known = of_event(*event).await?;
            // A break without a name that is long over is another.
            let is_other = |one: &Marker| {
                let latest = at_ms.saturating_sub(CUE_LATE_MS);
                *event == CUE && one.to_ms.is_some_and(|to| to < latest)
            };
            let begun = known
                .into_iter()
                .filter(|one| one.from_ms <= *at_ms && !is_other(one));
            match begun.max_by_key(|one| one.from_ms) {
                Some(one) if one.to_ms != Some(*at_ms) => {
                    put(Marker {
                        to_ms: Some(*at_ms),
                        ..one
                    })
                    .await
                }
                _ => Ok(()),
            }
        }
        News::Cancelled { event_id, at_ms } => {
            let all = catalog.markers(app, stream, false).await?;
            let of_event =
                |one: &Marker| one.event.is_some_and(|event| event.event_id == *event_id);
            let ahead = all
                .into_iter()
                .filter(|one| of_event(one) && one.from_ms > *at_ms);
            let ids: Vec<String> = ahead.map(|one| one.id).collect();
            catalog.forget_markers(app, stream, &ids).await
        }
    }
}

impl State {
    /// The media says something.
    pub(crate) fn marked(&mut self, news: impl IntoIterator<Item = News>) {
        self.markers.extend(news);
        let over = self.markers.len().saturating_sub(MOST_NEWS);
        self.markers.drain(..over);
    }
}

impl Task {
    /// Writes down what the media has said. What cannot be written now is tried again later.
    pub(crate) async fn write_markers(&mut self) {
        while let Some(news) = self.state.markers.front() {
            let catalog = &*self.shared.catalog;
            if let Err(error) = write(catalog, self.app.name(), &self.stream, news).await {
                let (app, stream) = (self.app.name(), &*self.stream);
                tracing::warn!(app, stream, %error, "a marker is not written down yet");
                return;
            }
            self.state.markers.pop_front();
        }
    }
}

/// Whether the time of a marker is over: the stream's live edge is there, and so much is kept of it, in milliseconds.
fn is_over(marker: &Marker, edge_ms: Option<i64>, kept_ms: i64, now_ms: i64) -> bool {
    match edge_ms {
        Some(edge_ms) => marker.known_end_ms() < edge_ms.saturating_sub(kept_ms),
        // Nothing has come of the stream since the start: it is as old as its markers.
        None => marker.set_ms < now_ms.saturating_sub(kept_ms),
    }
}

impl App {
    /// Forgets the markers of streams whose time is over: those of which no clip can be made any more.
    pub(crate) fn forget_markers(&self, shared: &Shared) {
        for (stream, edge) in self.edges() {
            let kept = self.dvr_window(&stream).unwrap_or(KEPT_FOR);
            let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
            let is_over = |marker: &Marker| is_over(marker, edge, kept, now_ms());
            let forgotten = shared.wait(async {
                let all = shared.catalog.markers(self.name(), &stream, true).await?;
                let over: Vec<String> = all
                    .into_iter()
                    .filter(is_over)
                    .map(|marker| marker.id)
                    .collect();
                if over.is_empty() {
                    return Ok(());
                }
                shared
                    .catalog
                    .forget_markers(self.name(), &stream, &over)
                    .await
            });
            if let Err(error) = forgotten {
                tracing::warn!(app = self.name(), stream, %error, "markers are not forgotten");
            }
        }
    }
}

#[cfg(test)]
mod tests;
