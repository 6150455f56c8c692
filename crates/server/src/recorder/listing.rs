//! Where in a playlist a recorder begins.

use std::path::PathBuf;
use std::time::Duration;

use clipmill::Ticks;
use clipmill::live::{Seen, SegmentFiles, Taken, TakenSegment};
use clipmill_playlist::{Location, Segment, candidates};

use super::line::ticks;
use crate::catalog::Boundary;
use crate::spool::Label;

/// So much of what a playlist lists already is recorded when it is first seen, or an interval
/// where that is longer: an event playlist may list days.
const HISTORY: Duration = Duration::from_secs(600);

/// Position of the first segment that is not among those that were written down as taken, nor listed
/// before one of them.
pub(crate) fn first_new(
    written: &[TakenSegment],
    listed: &[Segment],
    files: &mut dyn SegmentFiles,
) -> usize {
    match Taken::read(written).observe(listed, files) {
        Seen::Nothing => listed.len(),
        Seen::New { from, .. } | Seen::StartedOver { from } => from,
    }
}

/// Position of the first segment that is recorded of a playlist that is seen for the first time.
pub(crate) fn history(listed: &[Segment], interval: Option<Duration>) -> usize {
    let most = HISTORY.max(interval.unwrap_or_default());
    let mut length = Duration::ZERO;
    let wanted = listed.iter().rev().take_while(|segment| {
        length = length.saturating_add(segment.duration);
        length <= most
    });
    listed.len() - wanted.count()
}

/// Position of the segment with which a session goes on that ended its last clip at `lost`, and
/// two more before it. `None` when it is not listed.
pub(crate) fn place_of(
    lost: &Boundary,
    listed: &[Segment],
    files: &mut dyn SegmentFiles,
) -> Option<usize> {
    let here = Location::File(PathBuf::from("playlist.m3u8"));
    // The file's name, however the playlist spells it.
    let is_named = |segment: &Segment| {
        let readings = candidates(&here, &segment.uri, None).unwrap_or_default();
        readings.iter().any(|reading| match reading {
            Location::File(path) => path.file_name().is_some_and(|name| *name == *lost.segment),
            Location::Url(_) => false,
        })
    };
    let same = |segment: &Segment| segment.sequence == lost.sequence && is_named(segment);
    let place = listed.iter().position(same)?;
    // Its file may be gone, which does no harm; it may not be another one.
    let taken = Taken::read(&lost.taken);
    let segment = listed.get(place)?;
    let other = files.version(segment).is_some() && taken.has_other(segment, files);
    (!other).then(|| place.saturating_sub(2))
}

/// How long the segments were that nobody saw: what the dates say, else as many as are missing of
/// the usual length. `before` is the last segment that was taken, and `unseen` the length of those that
/// are missing since, in 90 kHz ticks.
pub(crate) fn missing_length(
    before: Option<&Label>,
    unseen: Ticks,
    listed: &[Segment],
    from: usize,
    missing: u64,
) -> Ticks {
    let now = listed.get(from).and_then(|segment| segment.start_time);
    if let (Some(before), Some(now)) = (before, now)
        && let Some(then) = before.start_time
    {
        let elapsed = (now - then).num_microseconds().unwrap_or(0) * 9 / 100;
        return (elapsed - before.duration - unseen).max(0);
    }
    let total: Duration = listed.iter().map(|segment| segment.duration).sum();
    let usual = ticks(total) / i64::try_from(listed.len().max(1)).unwrap_or(1);
    usual.saturating_mul(i64::try_from(missing).unwrap_or(i64::MAX))
}
