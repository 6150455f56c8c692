//! Says which periodic clips were made, and when: from the catalog's entries and the files
//! themselves, not from what the server counts.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use clipmill_tests::server::Server;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::publish::{Arrivals, Published};
use super::{Options, SEGMENT, client};
use crate::stats::Spread;

/// The most entries that one call lists.
const PAGE: usize = 250;

/// How far a clip's times may be from what is expected, in milliseconds: a frame or two.
const NEAR_MS: i64 = 100;

/// Periodic clips.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Clips {
    /// That should be there: those whose last segment came before the end.
    pub expected: usize,
    /// That are there.
    pub made: usize,
    /// That are not.
    pub missed: usize,
    /// That came later than one segment after they could.
    pub late: usize,
    /// Places where a clip does not begin where the one before it ended.
    pub torn: usize,
    /// Seconds from the listing of the segment that ended a clip to the file in its place.
    pub lateness: Spread,
    /// The same, counted: up to 0.1, 0.25, 0.5, 1, 2, 4, 8 s, and more.
    pub histogram: [usize; 8],
}

/// Upper bounds of the histogram's classes but the last, in seconds.
pub(super) const CLASSES: [f64; 7] = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// Gives the last clips the time that they may take.
pub(super) fn settle(options: &Options) {
    let spread = (options.interval as f64 / 10.0).min(10.0);
    let most = Duration::from_secs_f64(spread + 3.0 * SEGMENT as f64);
    let _ = crate::interrupt::sleep_until(Instant::now() + most);
}

/// One entry of the catalog.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start_ms: i64,
    end_ms: i64,
    /// When its file got its place.
    placed_ms: Option<i64>,
}

/// Compares what is there with what was played until `end_ms`.
pub(super) fn judge(
    server: &Server,
    folder: &Path,
    options: &Options,
    published: &Published,
    asked: &[String],
    end_ms: i64,
) -> Clips {
    let asked: HashSet<&str> = asked.iter().map(String::as_str).collect();
    let mut by_stream: HashMap<String, Vec<Entry>> = HashMap::new();
    let mut seen = HashSet::new();
    for vod in entries(server) {
        let text = |name: &str| vod[name].as_str().unwrap_or_default();
        let number = |name: &str| vod[name].as_i64().unwrap_or_default();
        if asked.contains(text("vodId")) || !seen.insert(text("vodId").to_owned()) {
            continue;
        }
        let file = folder.join(text("filePath")).metadata().ok();
        let placed = file.map(|file| file.ctime() * 1000 + file.ctime_nsec() / 1_000_000);
        by_stream
            .entry(text("streamId").to_owned())
            .or_default()
            .push(Entry {
                start_ms: number("startTime"),
                end_ms: number("startTime") + number("duration"),
                placed_ms: placed,
            });
    }
    let mut clips = Clips::default();
    let mut lateness = Vec::new();
    for arrivals in &published.streams {
        let entries = by_stream.entry(arrivals.id.clone()).or_default();
        compare(
            &mut clips,
            &mut lateness,
            arrivals,
            entries,
            options,
            end_ms,
        );
    }
    for late in &lateness {
        let class = CLASSES.iter().position(|bound| late <= bound);
        clips.histogram[class.unwrap_or(CLASSES.len())] += 1;
    }
    clips.late = lateness
        .iter()
        .filter(|late| **late > SEGMENT as f64)
        .count();
    clips.lateness = Spread::of(&lateness);
    clips
}

/// All entries.
fn entries(server: &Server) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let path = format!("/live/rest/v2/vods/list/{}/{PAGE}", all.len());
        let text = client::text(server.address, &path).unwrap_or_default();
        let page: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return all;
        }
    }
}

fn compare(
    clips: &mut Clips,
    lateness: &mut Vec<f64>,
    arrivals: &Arrivals,
    entries: &mut [Entry],
    options: &Options,
    end_ms: i64,
) {
    entries.sort_by_key(|entry| entry.start_ms);
    let torn = entries
        .windows(2)
        .filter(|pair| (pair[1].start_ms - pair[0].end_ms).abs() > 1);
    clips.torn += torn.count();
    let interval_ms = (options.interval * 1000) as i64;
    for turn in 1.. {
        // The segment in which the next clip begins ends this one.
        let closing = (turn * options.interval).div_ceil(SEGMENT) as usize;
        let listed = arrivals.listed_ms.get(closing).copied();
        let Some(listed) = listed.filter(|listed| *listed <= end_ms) else {
            return;
        };
        clips.expected += 1;
        let start = arrivals.begins_ms + (turn as i64 - 1) * interval_ms;
        let is_it = |entry: &&Entry| (entry.start_ms - start).abs() <= NEAR_MS;
        let Some(entry) = entries.iter().find(is_it) else {
            clips.missed += 1;
            continue;
        };
        clips.made += 1;
        if let Some(placed) = entry.placed_ms {
            lateness.push((placed - listed).max(0) as f64 / 1e3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            streams: 1,
            seconds: 60,
            interval: 10,
            bits: 1_000_000,
            on_demand: 0.0,
            playlists: super::super::PlaylistKind::Sliding,
            spread: 0.0,
            pull: false,
            history: 0,
            probes: 0,
            keep_bytes: None,
        }
    }

    fn entry(start_ms: i64, placed_ms: i64) -> Entry {
        Entry {
            start_ms,
            end_ms: start_ms + 10_000,
            placed_ms: Some(placed_ms),
        }
    }

    fn judged(mut entries: Vec<Entry>) -> (Clips, Vec<f64>) {
        let arrivals = Arrivals {
            id: "s".into(),
            begins_ms: 1_000_000,
            // Segment n comes at its end.
            listed_ms: (1..=17).map(|n| 1_000_000 + n * 2_000).collect(),
        };
        let (mut clips, mut lateness) = (Clips::default(), Vec::new());
        let end = 1_000_000 + 33_000;
        compare(
            &mut clips,
            &mut lateness,
            &arrivals,
            &mut entries,
            &options(),
            end,
        );
        (clips, lateness)
    }

    #[test]
    fn clips_are_expected_once_the_segment_behind_them_has_come() {
        // Segment 5 comes at 12 s, 10 at 22 s, 15 at 32 s.
        let (clips, lateness) = judged(vec![
            entry(1_010_000, 1_025_500),
            entry(1_000_000, 1_012_250),
            entry(1_020_000, 1_032_000),
        ]);
        assert_eq!((clips.expected, clips.made, clips.missed), (3, 3, 0));
        assert_eq!(clips.torn, 0);
        assert_eq!(lateness, [0.25, 3.5, 0.0]);
    }

    #[test]
    fn a_clip_that_is_not_there_is_missed_and_leaves_a_tear() {
        let (clips, _) = judged(vec![
            entry(1_000_000, 1_012_000),
            entry(1_020_000, 1_032_000),
        ]);
        assert_eq!((clips.expected, clips.made, clips.missed), (3, 2, 1));
        assert_eq!(clips.torn, 1);
        let (clips, _) = judged(Vec::new());
        assert_eq!(clips.missed, 3);
    }
}
