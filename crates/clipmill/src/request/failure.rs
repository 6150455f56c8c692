//! Why a job ends without a clip, in one line: what there was, and why it was of no use.

use chrono::SecondsFormat;
use clipmill_playlist::{TimeSpec, Variant};

use super::Loader;
use crate::cut::Cut;
use crate::error::ClipError;
use crate::timeline::{PlacedSegment, Ticks, to_ticks};

/// Variants that a message lists.
const LISTED: usize = 8;

/// The variants of a playlist that are not `chosen`.
pub(super) fn others(variants: &[Variant], chosen: &Variant) -> Vec<String> {
    let others = variants.iter().filter(|one| one.uri != chosen.uri);
    others.take(LISTED).map(ToString::to_string).collect()
}

impl Loader<'_> {
    /// Why there is no clip: what was wrong with the segments of the window, else what there is
    /// elsewhere.
    pub(super) fn failure(&mut self) -> ClipError {
        let lost = std::mem::take(&mut self.lost);
        let nothing = !self.has_samples();
        let inside = lost.iter().any(|(number, ..)| self.is_inside(*number));
        let concerned = lost
            .into_iter()
            .filter(|(number, ..)| self.is_inside(*number) || (nothing && !inside));
        let (mut count, mut first) = (0, None);
        for (_, segment, why) in concerned {
            count += 1;
            first = first.or(why.map(|error| (segment, error)));
        }
        match first {
            Some((segment, error)) if count == 1 => ClipError::Segment { segment, error },
            Some((segment, error)) => ClipError::Segments {
                segment,
                error,
                count,
            },
            None => ClipError::Empty {
                playlist: self.name.clone(),
                why: match count {
                    0 => self.elsewhere(),
                    1 => "its only segment is marked as a gap (EXT-X-GAP)".to_owned(),
                    all => format!("all of its {all} segments are marked as gaps (EXT-X-GAP)"),
                },
                missing: count > 0,
            },
        }
    }

    /// Whether a segment is one of those that the window lies in.
    fn is_inside(&self, number: usize) -> bool {
        let begins = self.window.from.map_or(0, |from| from.segment);
        let ends = self.window.to.map_or(usize::MAX, |to| match to.offset {
            offset if offset.is_zero() => to.segment.saturating_sub(1),
            _ => to.segment,
        });
        (begins..=ends.max(begins)).contains(&number)
    }

    fn has_samples(&self) -> bool {
        let mut segments = self.timeline.segments().iter();
        segments.any(|segment| segment.first_presented.is_some())
    }

    /// What there is, where it is not what was asked for.
    fn elsewhere(&self) -> String {
        let segments = self.timeline.segments();
        let first = segments.iter().find_map(|segment| segment.first_presented);
        let (Some(first), Some(end), Some(lead)) =
            (first, self.timeline.end(), self.timeline.leading_track())
        else {
            return segments
                .front()
                .map_or("there is no segment in it".to_owned(), without_samples);
        };
        let bounds = self.bounds();
        let from = bounds.from.unwrap_or(Ticks::MIN);
        let overlaps = from < end && bounds.to.is_none_or(|to| to > first);
        if overlaps && self.request.cut == Cut::Keyframe {
            let clock = self.timeline.tracks()[lead].timing.clock();
            let (mut before, mut after) = (None, None);
            for sample in self.timeline.samples(lead, 0) {
                let pts = to_ticks(sample.pts, clock);
                if !sample.sample.random_access.is_sync() {
                    continue;
                }
                if pts < from {
                    before = before.max(Some(pts));
                } else {
                    after = after.or(Some(pts));
                }
            }
            let syncs: Vec<String> = [before, after]
                .into_iter()
                .flatten()
                .map(|pts| self.shown(pts))
                .collect();
            return match syncs.as_slice() {
                [] => "no sync sample has come, and --cut keyframe begins with one".to_owned(),
                syncs => format!(
                    "no sync sample lies in it, and --cut keyframe begins with one; the nearest: {}",
                    syncs.join(", ")
                ),
            };
        }
        let (first, end) = (self.shown(first), self.shown(end));
        format!("the media of its segments lies from {first} to {end}")
    }

    /// An instant of the line as it would be asked for.
    fn shown(&self, at: Ticks) -> String {
        let window = &self.request.window;
        let dated = [window.from, window.to]
            .iter()
            .any(|spec| matches!(spec, Some(TimeSpec::At(_))));
        if let Some(time) = self.timeline.time_at(at).filter(|_| dated) {
            return time.to_rfc3339_opts(SecondsFormat::Millis, true);
        }
        let placed = self.placed.iter().filter_map(|&(item, number)| {
            let begins = self.timeline.at_number(number)?;
            let listed = self.items.get(item)?.start;
            Some((begins, listed))
        });
        let known = placed.take_while(|(begins, _)| *begins <= at).last();
        let (begins, listed) = known.unwrap_or_default();
        let millis = i64::try_from(listed.as_millis()).unwrap_or(i64::MAX);
        let millis = millis.saturating_add(at.saturating_sub(begins) / 90);
        format!("{:+}s", millis as f64 / 1000.0)
    }
}

/// What a segment is that gives no sample, and no error.
fn without_samples(segment: &PlacedSegment) -> String {
    let (name, index) = (segment.info.name(), &segment.index);
    if index.lacks_parameter_sets {
        return format!("{name} has pictures, and no parameter sets that they can be decoded with");
    }
    if let Some(damage) = index.damage.kept().first() {
        return format!("{name} is damaged {damage}");
    }
    let codecs: Vec<&str> = index
        .tracks
        .iter()
        .flat_map(|track| track.configs().first())
        .map(|config| config.name())
        .collect();
    if codecs.is_empty() {
        return format!("{name} holds no pictures and no sound");
    }
    format!(
        "{name} announces {} and holds none: it is an initialization segment, which segments with \
         media must follow",
        codecs.join(" and ")
    )
}
