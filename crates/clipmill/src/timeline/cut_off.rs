//! Pictures that are cut off by the end of their segment. A segment alone seldom tells: a PES packet of
//! unknown length (ISO/IEC 13818-1, 2.4.3.7) ends with the next one, and the last one may just end where
//! the segment does. That time is missing behind it, or that packets are, tells.

use std::sync::Arc;

use clipmill_media::{CLOCK_90K, Damage, DamageKind, SegmentIndex, TrackKind};

use super::pieces::last_duration;
use super::{PushedSegment, Ticks, Timeline, to_ticks};

/// A step of so many usual ones behind a picture shows that others are missing.
const STEPS: Ticks = 3;

/// The least that is missing.
const SHORTEST: Ticks = CLOCK_90K as Ticks / 10;

/// What a playlist may be wrong by, where it was right before.
const ROUNDING: Ticks = CLOCK_90K as Ticks / 10;

impl Timeline {
    /// Leaves out the last picture of the segment pushed last, where what comes now shows that it was
    /// cut off, and that of what comes now, where its `EXTINF` does.
    pub(super) fn leave_out_cut_off(&mut self, parts: &mut [PushedSegment]) {
        let Some(first) = parts.first_mut() else {
            return;
        };
        self.leave_out_last(first);
        if self.is_cut_off_by_duration(first) {
            leave_out(&mut first.index);
        }
    }

    /// The position of the segment of the pictures that was pushed last.
    fn last_with_pictures(&self) -> Option<usize> {
        // Sound of other playlists may lie behind it.
        let near = self.segments.len().saturating_sub(16);
        let found = self.segments.iter().skip(near).rposition(|segment| {
            let mut own = segment.stretches.iter();
            own.any(|stretch| self.tracks[stretch.track].kind == TrackKind::Video)
        });
        Some(near + found?)
    }

    fn leave_out_last(&mut self, next: &PushedSegment) {
        let Some(at) = self.last_with_pictures() else {
            return;
        };
        let Some((local, _)) = open_ended(&self.segments[at].index) else {
            return;
        };
        let place = self.segments[at]
            .stretches
            .iter()
            .rposition(|stretch| stretch.local == local);
        let Some(place) = place else { return };
        let stretch = self.segments[at].stretches[place].clone();
        let pictures = next.index.tracks.iter();
        let mut pictures = pictures.filter(|track| track.kind() == TrackKind::Video);
        let Some(behind) = pictures.next().filter(|track| !track.samples().is_empty()) else {
            return;
        };
        let track = &self.tracks[stretch.track];
        let (least, greatest) = (
            to_ticks(stretch.pts.0, track.timing.clock()),
            to_ticks(stretch.pts.1, track.timing.clock()),
        );
        let usual = match stretch.samples.len() as Ticks - 1 {
            0 => track.last_duration,
            steps => (greatest - least) / steps,
        };
        let clock = behind.timing().clock();
        let times = behind.samples().iter().map(|sample| sample.pts());
        let begins = times.min().map_or(0, |pts| to_ticks(pts, clock)) + self.shift;
        let step = begins - greatest - next.info.missing_before;
        let hole = !next.info.discontinuity && step > (STEPS * usual).max(SHORTEST);
        if !hole && !behind.follows_loss() {
            return;
        }
        let segment = &mut self.segments[at];
        leave_out(&mut segment.index);
        let index = &segment.index.tracks[local];
        segment.stretches[place].samples.end -= 1;
        let left = index
            .samples()
            .range(segment.stretches[place].samples.clone());
        let times = left.iter().map(|sample| sample.pts() + stretch.shift);
        match (times.clone().min(), times.max()) {
            (Some(least), Some(greatest)) => segment.stretches[place].pts = (least, greatest),
            _ => {
                segment.stretches.remove(place);
            }
        }
        let (index, stretches) = (Arc::clone(&segment.index), segment.stretches.clone());
        let presented = self.first_presented(&index, &stretches);
        self.segments[at].first_presented = presented;
        self.find_end(stretch.track);
    }

    /// Finds anew where a track ends.
    fn find_end(&mut self, track: usize) {
        let clock = self.tracks[track].timing.clock();
        let last = self.segments.iter().rev().find_map(|segment| {
            let stretch = segment.stretches.iter().rfind(|s| s.track == track)?;
            let local = &segment.index.tracks[stretch.local];
            let own = local.samples().range(stretch.samples.clone());
            let dts = own.last()?.dts + stretch.shift;
            Some((stretch.pts.1, dts, last_duration(local, own)))
        });
        let track = &mut self.tracks[track];
        let Some((greatest, dts, duration)) = last else {
            track.end = None;
            track.last_dts = Ticks::MIN;
            return;
        };
        track.last_duration = duration.unwrap_or(track.last_duration);
        track.last_dts = to_ticks(dts, clock);
        track.end = Some(to_ticks(greatest, clock) + track.last_duration);
    }

    /// Whether the last picture of a segment is cut off, as there is less of the segment than its
    /// `EXTINF` says; that of the segment before was right.
    fn is_cut_off_by_duration(&self, part: &PushedSegment) -> bool {
        let Some((_, pictures)) = open_ended(&part.index) else {
            return false;
        };
        let before = self
            .last_with_pictures()
            .and_then(|at| self.segments.get(at));
        let Some((before, begun)) = before.and_then(|b| Some((b, b.first_presented?))) else {
            return false;
        };
        if part.info.discontinuity || part.info.duration == 0 || part.info.missing_before > 0 {
            return false;
        }
        let (clock, samples) = (pictures.timing().clock(), pictures.samples());
        let ticks = |pts: i64| to_ticks(pts, clock);
        let times = samples.iter().map(|sample| ticks(sample.pts()));
        let Some((least, greatest)) = times.clone().min().zip(times.max()) else {
            return false;
        };
        let steps = samples.len() as Ticks - 1;
        let usual = match (steps, last_duration(pictures, samples)) {
            (0, usual) => usual.unwrap_or(SHORTEST),
            (steps, _) => (greatest - least) / steps,
        };
        let right = before.info.duration - (least + self.shift - begun);
        let lacking = part.info.duration - (greatest + usual - least);
        right.abs() <= ROUNDING && lacking > (STEPS * usual).max(SHORTEST).max(2 * ROUNDING)
    }
}

/// The track of pictures whose last sample may be cut off.
fn open_ended(index: &SegmentIndex) -> Option<(usize, &clipmill_media::TrackIndex)> {
    let mut tracks = index.tracks.iter().enumerate();
    tracks.find(|(_, track)| track.kind() == TrackKind::Video && track.is_open_ended())
}

fn leave_out(index: &mut Arc<SegmentIndex>) {
    let index = Arc::make_mut(index);
    let tracks = index.tracks.iter_mut();
    let mut open = tracks.filter(|track| track.is_open_ended());
    let Some(track) = open.next() else { return };
    track.drop_last_sample();
    let pid = u16::try_from(track.id()).ok();
    index.damage.push(Damage {
        offset: index.segment_len,
        pid,
        kind: DamageKind::CutOffPicture,
    });
}
