//! Timed metadata on the line.

use clipmill_media::{Sample, TimedEvent};

use super::{PlacedSegment, Ticks, Timeline, to_ticks};

/// The timed metadata of a segment, its time counted from `start` of the line. It is shifted as the
/// samples are that are presented with it.
pub(crate) fn events_of<'a>(
    timeline: &'a Timeline,
    segment: &'a PlacedSegment,
    start: Ticks,
) -> impl Iterator<Item = TimedEvent> + 'a {
    let stretches = match segment.index.events.is_empty() {
        true => &[],
        false => segment.stretches.as_slice(),
    };
    let shifts: Vec<(Ticks, Ticks)> = stretches
        .iter()
        .filter_map(|stretch| {
            let clock = timeline.tracks()[stretch.track].timing.clock();
            let samples = segment.index.tracks[stretch.local].samples();
            let own = samples.range(stretch.samples.clone());
            let first = own.iter().map(Sample::pts).min()?;
            Some((to_ticks(first, clock), to_ticks(stretch.shift, clock)))
        })
        .collect();
    segment.index.events.iter().filter_map(move |event| {
        let begun = shifts.iter().filter(|(first, _)| *first <= event.time);
        let shift = begun.max_by_key(|(first, _)| *first).or(shifts.first());
        Some(TimedEvent {
            time: event.time + shift?.1 - start,
            ..event.clone()
        })
    })
}
