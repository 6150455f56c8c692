//! Timestamps become durations.

use std::sync::Arc;

use clipmill_media::{CodecConfig, Sample, TrackTiming};
use clipmill_mp4::{Edit, MovieSample, Run};

use super::{count, edit_list, is_presented, number, samples_of};
use crate::cut::{Chosen, Shortened};
use crate::timeline::{LineSample, LineTrack, Ticks, Timeline, rescale, to_ticks};

/// So many pictures, in decode order, are looked at for the next that is shown: more than any
/// decoder holds back.
const REORDERED: usize = 17;

/// Turns samples of the line into samples of a movie: timestamps become durations.
#[derive(Debug)]
pub(crate) struct TrackWriter {
    pub(super) timing: TrackTiming,
    pub(super) timescale: u32,
    pub(crate) configs: Vec<Arc<CodecConfig>>,
    pub(crate) samples: Vec<MovieSample>,
    /// Their segments as the timeline numbers them.
    pub(crate) runs: Vec<Run>,
    /// How many random access points have come.
    sync_samples: u64,
    /// Whether a sample has been added; whoever writes them may have taken it since.
    begun: bool,
    /// When the first sample is decoded in the clip.
    pub(super) first_dts: i64,
    shortened: Option<Shortened>,
    /// How much of a first sample that is shortened lies ahead of the clip, in the track's clock.
    left_out: i64,
    /// Least presentation timestamp of those that are presented.
    pub(super) first_pts: i64,
    /// Greatest presentation timestamp.
    pub(super) last_pts: i64,
    /// Decoding timestamp of the last sample as written, in the track's clock.
    last_dts: i64,
    /// Sound: where the next sample lies in the movie, in the movie's timescale.
    position: i64,
    /// Duration of the last sample as the stream states it, in the movie's timescale.
    stated: i64,
}

impl TrackWriter {
    /// Begins with the first of the chosen samples; `None` when there are none. The clip begins in the
    /// middle of the one that is `shortened`.
    pub(crate) fn new(
        timeline: &Timeline,
        line_track: &LineTrack,
        chosen: &[Chosen],
        shortened: Option<Shortened>,
    ) -> Option<Self> {
        let (local, shift, first) = samples_of(timeline, chosen).next()?;
        let timescale = match line_track.timing {
            TrackTiming::Exact { timescale } => timescale,
            TrackTiming::Rounded { .. } => local
                .configs()
                .get(usize::from(first.config))?
                .sample_rate()?,
        };
        let first_dts = first_dts(timeline, line_track, chosen, shortened)?;
        Some(Self {
            timing: line_track.timing,
            timescale,
            configs: Vec::new(),
            samples: Vec::with_capacity(count(chosen)),
            runs: Vec::with_capacity(chosen.len()),
            begun: false,
            first_dts,
            left_out: shortened.map_or(0, |_| first_dts - (first.dts + shift)),
            shortened,
            sync_samples: 0,
            first_pts: i64::MAX,
            last_pts: i64::MIN,
            last_dts: 0,
            position: 0,
            stated: 0,
        })
    }

    /// Decoding timestamp of the first sample, in the timescale of the durations.
    pub(crate) fn start(&self) -> i64 {
        rescale(self.first_dts, self.timing.clock(), self.timescale)
    }

    /// Ticks per second of the samples' durations.
    pub(crate) fn timescale(&self) -> u32 {
        self.timescale
    }

    /// The edit list of the track in a movie that is presented from `start` on, but for when it
    /// ends; its first frame is presented at `first_shown`.
    pub(crate) fn open_edits(&self, start: Ticks, first_shown: Ticks) -> Vec<Edit> {
        let first_dts = to_ticks(self.first_dts, self.timing.clock());
        let from = first_shown.max(start).max(first_dts);
        edit_list(start, from..from, first_dts, self.timescale)
    }

    /// Adds samples of one segment.
    pub(crate) fn push_part(&mut self, timeline: &Timeline, part: &Chosen) {
        let placed = &timeline.segments()[part.segment];
        let local = &placed.index.tracks[part.local];
        // Which configuration came last, in the segment and in the movie, and its sampling rate.
        let mut last: Option<(u16, u16, u32)> = None;
        // Not a loop over them, which is slower: see the iterator.
        local
            .samples()
            .range(part.samples.clone())
            .iter()
            .for_each(|sample| {
                let known = last.filter(|(known, ..)| *known == sample.config);
                let found = known.or_else(|| {
                    let config = local.configs().get(usize::from(sample.config))?;
                    let rate = config.sample_rate().unwrap_or(self.timescale);
                    Some((sample.config, self.config(config), rate))
                });
                last = found;
                if let Some((_, config, rate)) = found {
                    self.push(&sample, part.shift, config, rate);
                }
            });
        let narrow = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        self.runs.push(Run {
            segment: number(placed.number),
            track: narrow(part.local),
            first_sample: narrow(part.samples.start),
            count: narrow(part.samples.len()),
        });
    }

    fn push(&mut self, sample: &Sample, shift: i64, config: u16, rate: u32) {
        let mut pts = sample.pts() + shift;
        let mut dts = sample.dts + shift;
        if let Some(shortened) = self.shortened
            && shortened.pts == pts
        {
            pts = shortened.from;
        }
        if !self.begun {
            dts = self.first_dts;
        }
        let composition_offset = match self.timing {
            TrackTiming::Exact { .. } => {
                let dts = if !self.begun {
                    dts
                } else {
                    // A decoding time that does not move on is moved on; what is presented when
                    // stays as it is.
                    let dts = dts.max(self.last_dts + 1);
                    self.end_last(dts - self.last_dts);
                    dts
                };
                self.last_dts = dts;
                clamp_i32(pts - dts)
            }
            TrackTiming::Rounded { clock } => {
                if self.begun {
                    self.follow(pts - self.first_dts, clock);
                }
                0
            }
        };
        self.begun = true;
        self.stated = self.stated_duration(sample, rate);
        // Sound is in the order of its times, or is put into it.
        let is_least =
            matches!(self.timing, TrackTiming::Exact { .. }) || self.first_pts == i64::MAX;
        if is_presented(sample, &mut self.sync_samples) && is_least {
            self.first_pts = self.first_pts.min(pts);
        }
        self.last_pts = self.last_pts.max(pts);
        self.samples.push(MovieSample {
            size: sample.size,
            duration: 0,
            composition_offset,
            config,
            random_access: sample.random_access,
            leading: sample.leading,
        });
    }

    /// Ends the last frame of sound where the next one is due, `passed` after the first in `clock`.
    /// Timestamps are rounded and the frames' lengths are exact, so the lengths are believed until
    /// the two are more than half a frame apart.
    fn follow(&mut self, passed: i64, clock: u32) {
        let next = self.position + self.stated;
        let step = if is_near(passed, clock, next, self.timescale, self.stated) {
            self.stated
        } else {
            let due = rescale(passed, clock, self.timescale);
            if (due - next).abs() * 2 <= self.stated {
                self.stated
            } else if due > self.position {
                due - self.position
            } else {
                self.position -= self.make_room(self.position + 1 - due);
                1
            }
        };
        self.end_last(step);
        self.position += step;
    }

    /// Shortens the frames before the last one by `excess` in all, the latest first, and says by how
    /// much it could. So sound that overlaps what came before it is on time, with the pictures that
    /// came with it; what it overlaps lasts for a tick.
    fn make_room(&mut self, excess: i64) -> i64 {
        let mut left = excess;
        for sample in self.samples.iter_mut().rev().skip(1) {
            if left == 0 {
                break;
            }
            let taken = left.min(i64::from(sample.duration) - 1).max(0);
            sample.duration -= u32::try_from(taken).unwrap_or_default();
            left -= taken;
        }
        excess - left
    }

    fn end_last(&mut self, duration: i64) {
        if let Some(last) = self.samples.last_mut() {
            last.duration = u32::try_from(duration).unwrap_or(u32::MAX);
        }
    }

    fn config(&mut self, config: &Arc<CodecConfig>) -> u16 {
        let known = self.configs.iter().rposition(|known| known == config);
        let at = known.unwrap_or_else(|| {
            self.configs.push(Arc::clone(config));
            self.configs.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// 0 when the stream does not say.
    fn stated_duration(&self, sample: &Sample, rate: u32) -> i64 {
        match self.timing {
            TrackTiming::Exact { .. } => i64::from(sample.duration),
            TrackTiming::Rounded { .. } => {
                rescale(i64::from(sample.duration), rate, self.timescale)
            }
        }
    }

    /// Ends the last sample; gives the end of the last frame in presentation order, in ticks.
    pub(crate) fn finish(&mut self) -> Ticks {
        self.finish_before(std::iter::empty())
    }

    /// The same where the track goes on: how long a picture lasts only the next one tells.
    pub(super) fn finish_before(
        &mut self,
        mut following: impl Iterator<Item = LineSample>,
    ) -> Ticks {
        let next = following.next();
        let mut duration = match next {
            _ if self.stated > 0 => self.stated,
            Some(next) if next.dts > self.last_dts => next.dts - self.last_dts,
            _ => self.usual_duration(),
        };
        let end = match self.timing {
            TrackTiming::Exact { timescale } => {
                // The next in decode order need not be the next that is shown.
                let shown = next.into_iter().chain(following.take(REORDERED));
                let shown = shown
                    .map(|next| next.pts)
                    .filter(|pts| *pts > self.last_pts);
                if let Some(shown) = shown.min().filter(|_| self.stated == 0) {
                    duration = duration.max(shown - self.last_pts);
                    to_ticks(shown, timescale)
                } else {
                    to_ticks(self.last_pts + duration, timescale)
                }
            }
            TrackTiming::Rounded { clock } => {
                to_ticks(self.first_dts, clock) + to_ticks(self.position + duration, self.timescale)
            }
        };
        self.end_last(duration);
        self.configs.shrink_to_fit();
        end
    }

    /// Decode time of the first of `samples`, counted from the first sample that ever was, in the
    /// movie's timescale.
    pub(crate) fn first_start(&self) -> u64 {
        let last = match self.timing {
            TrackTiming::Exact { .. } => self.last_dts - self.first_dts,
            TrackTiming::Rounded { .. } => self.position,
        };
        let before = self
            .samples
            .split_last()
            .map_or(&[][..], |(_, before)| before);
        let before: i64 = before.iter().map(|sample| i64::from(sample.duration)).sum();
        u64::try_from(last - before).unwrap_or_default()
    }

    /// How long the last sample lasts, as far as that can be said before the next one comes; in the movie's timescale.
    pub(crate) fn likely_duration(&self) -> i64 {
        match self.stated {
            stated if stated > 0 => stated,
            _ => self.usual_duration(),
        }
    }

    /// The duration of the sample before, else what the headers say, else a 25th of a second.
    fn usual_duration(&self) -> i64 {
        match self.samples.as_slice() {
            [first, _] => return i64::from(first.duration) + self.left_out,
            [.., before, _] => return i64::from(before.duration),
            _ => {}
        }
        let rate = self
            .configs
            .first()
            .and_then(|config| config.video()?.frame_rate);
        let timescale = i64::from(self.timescale);
        match rate {
            Some(rate) if rate.num > 0 => timescale * i64::from(rate.den) / i64::from(rate.num),
            _ => timescale / 25,
        }
        .max(1)
    }
}

/// When the first of the chosen samples is decoded: as late as it is presented, if the clip begins in
/// the middle of it, and before anything that is presented, also where decoding runs late.
fn first_dts(
    timeline: &Timeline,
    line_track: &LineTrack,
    chosen: &[Chosen],
    shortened: Option<Shortened>,
) -> Option<i64> {
    let mut samples = samples_of(timeline, chosen);
    let (_, shift, first) = samples.next()?;
    let dts = first.dts + shift;
    if matches!(line_track.timing, TrackTiming::Rounded { .. }) {
        return Some(dts);
    }
    let next = samples.next().map(|(_, shift, next)| next.dts + shift);
    let own = shortened.filter(|shortened| shortened.pts == first.pts() + shift);
    if let Some(Shortened { pts, from }) = own {
        let latest = next.map_or(i64::MAX, |next| next - 1);
        return Some((dts + from - pts).min(latest).max(dts));
    }
    let mut points = 0;
    let shown = samples_of(timeline, chosen)
        .take(REORDERED)
        .filter(|(_, _, sample)| is_presented(sample, &mut points))
        .map(|(_, shift, sample)| sample.pts() + shift);
    Some(shown.min().map_or(dts, |shown| dts.min(shown)))
}

/// Whether `a`, in units of 1/`a_clock` s, is surely no more than half of `length` away from `b`, also
/// when it is rounded to the units of `b` and `length`, 1/`b_clock` s. Nearly all frames of sound are,
/// and to find that out takes no division.
fn is_near(a: i64, a_clock: u32, b: i64, b_clock: u32, length: i64) -> bool {
    let (a_clock, b_clock) = (i64::from(a_clock), i64::from(b_clock));
    let apart = || {
        let apart = a
            .checked_mul(b_clock)?
            .checked_sub(b.checked_mul(a_clock)?)?;
        apart.checked_abs()?.checked_mul(2)?.checked_add(a_clock)
    };
    let allowed = length.checked_mul(a_clock);
    apart()
        .zip(allowed)
        .is_some_and(|(apart, allowed)| apart <= allowed)
}

fn clamp_i32(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}
