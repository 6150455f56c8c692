//! When each segment begins (RFC 8216, 4.3.2.6 and 6.3.3).

use crate::date::earlier;
use crate::media::Segment;

/// Carries the written dates over to the segments that have none: inside a discontinuity run from
/// the date before, else from the one after; runs without any date take it from the run before
/// them, or the first ones from the run after.
///
/// A date is not carried across a discontinuity while the run has one of its own: the clock may
/// have been set there.
pub(crate) fn date_segments(segments: &mut [Segment]) {
    let mut carried = None;
    for run in segments.chunk_by_mut(|_, next| !next.discontinuity) {
        for segment in run.iter_mut() {
            segment.start_time = segment.program_date_time;
        }
        if run.iter().any(|segment| segment.start_time.is_some()) {
            carried = None;
        }
        for segment in run.iter_mut() {
            segment.start_time = segment.start_time.or(carried);
            carried = segment.end_time();
        }
        backwards(run);
        carried = run.last().and_then(Segment::end_time);
    }
    backwards(segments);
}

fn backwards(segments: &mut [Segment]) {
    let mut next = None;
    for segment in segments.iter_mut().rev() {
        if segment.start_time.is_none() {
            segment.start_time = next.and_then(|next| earlier(next, segment.duration));
        }
        next = segment.start_time;
    }
}
