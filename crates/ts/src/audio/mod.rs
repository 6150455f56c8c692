//! Audio frames out of PES payload (ISO/IEC 13818-1, 2.4.3.7 and 2.14), whatever their codec.

mod framing;
pub(crate) mod tags;
mod timeline;
mod window;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use clipmill_media::{
    CLOCK_90K, CodecConfig, Damage, DamageKind, DamageLog, Language, Leading, LimitExceeded,
    Limits, RandomAccess, Sample, TrackBuilder, TrackIndex, TrackKind, TrackTiming,
};

pub(crate) use framing::{AudioKind, Probe};
use framing::{Header, Payload};
use timeline::{Timeline, ticks};
use window::Window;

use crate::assemble::{Assemble, PesStart};

/// Bytes that a unit may gather from several frames. Six blocks of the sixteen substreams that
/// E-AC-3 allows fit in.
const MAX_UNIT: u64 = 1 << 20;

/// PES packets beginning inside one frame that are looked at: an honest frame spans a few at most,
/// and a crafted stream must not buy much work with little payload.
const MAX_MARKS: usize = 16;

/// Finds the frames of one audio stream by their headers, and when they are due.
///
/// A frame is believed when it begins where one must begin (behind the last one, or with a PES
/// packet) or when another header, or a tag, stands where its length says that it ends; a change of
/// configuration needs the latter, or the end of the stream. So the search for a first header may look into payload that
/// imitates one, and a damaged header costs no more than its own frame.
#[derive(Debug)]
pub(crate) struct AudioAssembler {
    pid: u16,
    kind: AudioKind,
    language: Language,
    limits: Limits,
    track: Option<TrackBuilder>,
    window: Window,
    /// Position up to which everything is decided.
    at: u64,
    /// Where the next frame must begin: `at`, unless that is unknown.
    in_sync: bool,
    /// The last header with which a unit began.
    known: Option<Header>,
    config: Option<Arc<CodecConfig>>,
    unit: Option<OpenUnit>,
    /// Frames of the last unit that was whole.
    frames_per_unit: u32,
    timeline: Timeline,
    held: VecDeque<UndatedSample>,
    dropped: Option<Dropped>,
}

/// A unit that may not be over.
#[derive(Debug)]
struct OpenUnit {
    start: u64,
    header: Header,
    frames: u32,
    samples: u32,
    pts: Option<i64>,
}

/// A sample that waits for the next timestamp, to be counted back from it.
#[derive(Debug)]
struct UndatedSample {
    place: SampleBytes,
    samples: u32,
    rate: u32,
    config: Arc<CodecConfig>,
    offset: u64,
}

/// Where the bytes of a sample are.
#[derive(Debug)]
enum SampleBytes {
    /// In the stream.
    Stream(Range<u64>),
    /// Here.
    Copied(Vec<u8>),
}

/// Bytes that belong to no frame.
#[derive(Debug)]
struct Dropped {
    offset: u64,
    count: u64,
}

/// Why nothing follows the bytes at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may come in the next segment.
    Segment,
    /// What comes next does not follow.
    Loss,
}

/// What is thought of a header and the bytes behind it.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    /// It needs more bytes.
    Wait,
    /// It is a frame, and this is what stands behind it.
    Frame { samples: u32, next: Probe },
    /// It is none.
    Imitation,
    /// It is one whose end is missing: the next one begins here.
    CutShort(u64),
}

impl AudioAssembler {
    /// An assembler for the stream `pid`, which is framed as `kind` says.
    pub(crate) fn new(pid: u16, kind: AudioKind, language: Language, limits: &Limits) -> Self {
        Self {
            pid,
            kind,
            language,
            limits: limits.clone(),
            track: None,
            window: Window::default(),
            at: 0,
            in_sync: false,
            known: None,
            config: None,
            unit: None,
            frames_per_unit: 1,
            timeline: Timeline::default(),
            held: VecDeque::new(),
            dropped: None,
        }
    }

    /// Whether bytes wait for more of their frame.
    pub(crate) fn is_pending(&self) -> bool {
        !self.window.from(self.at).is_empty()
    }

    /// Takes frames off the window as long as there are any.
    fn run(&mut self, end: Option<End>, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        while self.step(end, damage)? {}
        let kept = self.unit.as_ref().map_or(self.at, |unit| unit.start);
        self.window.drop_before(kept);
        Ok(())
    }

    /// Decides about the bytes at `at`; `false` when there are too few to decide.
    fn step(&mut self, end: Option<End>, damage: &mut DamageLog) -> Result<bool, LimitExceeded> {
        let rest = self.window.from(self.at);
        if rest.is_empty() {
            return Ok(false);
        }
        // Tags are looked for where a frame must begin, not among bytes that belong to none.
        let astray = rest.first().is_some_and(|&first| tags::may_begin(first))
            && !self.in_sync
            && !self.window.is_marked(self.at);
        let probed = match self.kind.probe(rest) {
            _ if astray => Probe::Nothing,
            probed => probed,
        };
        let header = match probed {
            Probe::Short => return Ok(false),
            Probe::Nothing => {
                self.skip()?;
                return Ok(true);
            }
            Probe::Tag(len) => return self.pass_tag(len, end),
            Probe::Header(header) => header.after(self.known.as_ref()),
        };
        match self.judge(&header, rest, end) {
            Verdict::Wait => return Ok(false),
            Verdict::Frame { samples, next } => {
                self.accept(header, samples, next, end, damage)?;
            }
            Verdict::Imitation => self.skip()?,
            Verdict::CutShort(next) => {
                self.lose_sync()?;
                self.report_dropped(damage);
                self.damaged(self.at, DamageKind::TruncatedAccessUnit, damage);
                self.at = next;
            }
        }
        Ok(true)
    }

    fn judge(&self, header: &Header, rest: &[u8], end: Option<End>) -> Verdict {
        let Some((frame, behind)) = rest.split_at_checked(header.frame_len()) else {
            return Verdict::Wait;
        };
        let Some(samples) = header.samples(frame) else {
            return Verdict::Imitation;
        };
        let next = self.kind.probe(behind);
        if next == Probe::Short && end.is_none() {
            return Verdict::Wait;
        }
        let believed = Verdict::Frame { samples, next };
        let confirmed = match &next {
            Probe::Header(next) => header.agrees(next),
            Probe::Tag(_) => true,
            Probe::Short | Probe::Nothing => false,
        };
        if confirmed {
            return believed;
        }
        let span = self.at..self.at.saturating_add(frame.len() as u64);
        for mark in self.window.marks_within(span).take(MAX_MARKS) {
            // A frame that begins with a PES packet, where this one should go on: its end got lost
            // with nobody noticing, as between segments that do not follow each other.
            match self.kind.probe(self.window.from(mark)) {
                Probe::Short if end.is_none() => return Verdict::Wait,
                Probe::Header(found) if header.agrees(&found) => return Verdict::CutShort(mark),
                _ => {}
            }
        }
        let in_place = self.in_sync || self.window.is_marked(self.at);
        let familiar = match &self.known {
            Some(known) => known.agrees(header),
            // The first frame of all has no other witness than what follows it.
            None => next != Probe::Nothing,
        };
        let familiar = familiar || (end == Some(End::Loss) && behind.is_empty());
        match (in_place && familiar, next, end) {
            (true, ..) => believed,
            (false, Probe::Short, Some(End::Segment)) => Verdict::Wait,
            (false, ..) => Verdict::Imitation,
        }
    }

    /// Passes over a tag, unless what follows it shows that it is none.
    fn pass_tag(&mut self, len: usize, end: Option<End>) -> Result<bool, LimitExceeded> {
        let next = match self.window.from(self.at).get(len..) {
            Some(behind) => self.kind.probe(behind),
            // Of one that is cut off nothing tells how much there is before the next frame.
            None if end.is_some() => Probe::Nothing,
            None => Probe::Short,
        };
        match next {
            Probe::Short if end.is_none() => Ok(false),
            Probe::Nothing => {
                self.skip()?;
                Ok(true)
            }
            Probe::Short | Probe::Header(_) | Probe::Tag(_) => {
                // A unit is one stretch of the stream.
                self.close(false)?;
                self.at = self.at.saturating_add(len as u64);
                self.in_sync = true;
                Ok(true)
            }
        }
    }

    /// Passes over bytes up to the next one that can begin a header.
    fn skip(&mut self) -> Result<(), LimitExceeded> {
        self.lose_sync()?;
        let rest = self.window.from(self.at);
        let count = rest
            .get(1..)
            .and_then(|rest| memchr::memchr(self.kind.sync_byte(), rest))
            .map_or(rest.len(), |found| found.saturating_add(1)) as u64;
        self.drop_bytes(count);
        Ok(())
    }

    fn drop_bytes(&mut self, count: u64) {
        let offset = self.window.offset_of(self.at);
        let dropped = self.dropped.get_or_insert(Dropped { offset, count: 0 });
        dropped.count = dropped.count.saturating_add(count);
        self.at = self.at.saturating_add(count);
    }

    /// No frame begins at `at`, though one should.
    fn lose_sync(&mut self) -> Result<(), LimitExceeded> {
        if std::mem::take(&mut self.in_sync) {
            self.close(false)?;
            self.window.take_mark(self.at);
            self.timeline.lose();
        }
        Ok(())
    }

    /// Takes the frame at `at`, whose header is `header`.
    fn accept(
        &mut self,
        header: Header,
        samples: u32,
        next: Probe,
        end: Option<End>,
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        if header.begins_unit() && self.is_full(samples) {
            self.close(true)?;
        }
        let len = header.frame_len() as u64;
        let pts = self.window.take_mark(self.at);
        if !header.begins_unit() && self.unit.is_none() {
            // A substream whose program is missing.
            self.timeline.lose();
            self.drop_bytes(len);
            self.in_sync = true;
            return Ok(());
        }
        self.report_dropped(damage);
        // The timestamp of a dependent substream is that of its program, which has passed.
        if let Some(pts) = pts.filter(|_| samples > 0) {
            self.timeline.set(pts);
            if let Some(unit) = &mut self.unit {
                let passed = ticks(u64::from(unit.samples), header.sample_rate());
                unit.pts = unit.pts.or(Some(pts.saturating_sub(passed)));
            }
        }
        let unit = self.unit.get_or_insert(OpenUnit {
            start: self.at,
            header,
            frames: 0,
            samples: 0,
            pts: self.timeline.now(),
        });
        unit.frames = unit.frames.saturating_add(1);
        unit.samples = unit.samples.saturating_add(samples);
        let unit_len = self.at.saturating_sub(unit.start).saturating_add(len);
        self.timeline.advance(samples, header.sample_rate());
        self.at = self.at.saturating_add(len);
        self.in_sync = true;
        match next {
            _ if unit_len > MAX_UNIT => self.close(false),
            Probe::Header(next) => {
                let full = self.is_full(next.samples(&[]).unwrap_or_default());
                if next.begins_unit() && full {
                    return self.close(true);
                }
                Ok(())
            }
            Probe::Nothing => self.close(false),
            Probe::Tag(_) => self.close(self.is_full(1)),
            Probe::Short => match end {
                Some(End::Segment) if self.may_grow() => Ok(()),
                Some(End::Segment) => self.close(true),
                _ => self.close(false),
            },
        }
    }

    /// Whether the open unit has no room for a frame of `samples`.
    fn is_full(&self, samples: u32) -> bool {
        self.unit
            .as_ref()
            .is_some_and(|unit| unit.samples.saturating_add(samples) > self.kind.unit_samples())
    }

    /// Whether the open unit can be expected to get more frames.
    fn may_grow(&self) -> bool {
        self.unit.as_ref().is_some_and(|unit| {
            unit.samples < self.kind.unit_samples() || unit.frames < self.frames_per_unit
        })
    }

    /// Ends the open unit. It is `whole` when what follows it is known to be another one.
    fn close(&mut self, whole: bool) -> Result<(), LimitExceeded> {
        let Some(unit) = self.unit.take() else {
            return Ok(());
        };
        let bytes = self.window.get(unit.start..self.at);
        let Some(config) = self.config_of(&unit, bytes, whole) else {
            return Ok(());
        };
        if whole {
            self.frames_per_unit = unit.frames;
        }
        let parts = unit.header.parts(bytes, unit.samples);
        let rate = unit.header.sample_rate();
        self.known = Some(unit.header);
        self.config = Some(Arc::clone(&config));
        let mut passed = 0u64;
        for (payload, samples) in parts {
            let position = |at: usize| unit.start.saturating_add(at as u64);
            let held = UndatedSample {
                place: match payload {
                    Payload::At(at) => SampleBytes::Stream(position(at.start)..position(at.end)),
                    Payload::Copied(bytes) => SampleBytes::Copied(bytes),
                },
                samples,
                rate,
                config: Arc::clone(&config),
                offset: self.window.offset_of(unit.start),
            };
            match unit.pts {
                Some(pts) => {
                    let pts = pts.saturating_add(ticks(passed, rate));
                    self.place_held_before(pts)?;
                    self.push(&held, pts)?;
                }
                None => self.hold(held)?,
            }
            passed = passed.saturating_add(u64::from(samples));
        }
        Ok(())
    }

    /// The configuration of a unit, the one in force where nothing has changed.
    fn config_of(&self, unit: &OpenUnit, bytes: &[u8], whole: bool) -> Option<Arc<CodecConfig>> {
        let header = &unit.header;
        let steady = matches!(&self.known, Some(known) if known.agrees(header));
        if let (Some(config), true) = (&self.config, steady) {
            // A unit that lacks substreams does not mean that the stream has none.
            if !whole || header.tells_all() {
                return Some(Arc::clone(config));
            }
        }
        let known = self.config.as_deref();
        let new = self.kind.config(header, bytes, known, steady)?;
        match &self.config {
            Some(config) if **config == new => Some(Arc::clone(config)),
            _ => Some(Arc::new(new)),
        }
    }

    fn hold(&mut self, sample: UndatedSample) -> Result<(), LimitExceeded> {
        LimitExceeded::check(
            "samples of a track",
            (self.held.len() as u64).saturating_add(1),
            self.limits.samples as u64,
        )?;
        self.held.push_back(sample);
        Ok(())
    }

    /// Places the samples that wait, so that the last one ends at `end`.
    fn place_held_before(&mut self, mut end: i64) -> Result<(), LimitExceeded> {
        let (mut passed, mut rate) = (0u64, 0);
        let mut times = Vec::with_capacity(self.held.len());
        for sample in self.held.iter().rev() {
            if sample.rate != rate {
                end = end.saturating_sub(ticks(passed, rate));
                (passed, rate) = (0, sample.rate);
            }
            passed = passed.saturating_add(u64::from(sample.samples));
            times.push(end.saturating_sub(ticks(passed, rate)));
        }
        while let (Some(sample), Some(time)) = (self.held.pop_front(), times.pop()) {
            self.push(&sample, time)?;
        }
        Ok(())
    }

    /// Places the samples that wait behind what came before them, since no timestamp of their own
    /// will come.
    fn place_held_after(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let (Some(first), before) = (self.held.front(), self.timeline.before()) else {
            return Ok(());
        };
        let Some(before) = before else {
            damage.push(Damage {
                offset: first.offset,
                pid: Some(self.pid),
                kind: DamageKind::NoTimestamp,
            });
            self.held.clear();
            return Ok(());
        };
        let mut line = Timeline::default();
        line.set(before);
        while let Some(sample) = self.held.pop_front() {
            self.push(&sample, line.now().unwrap_or(before))?;
            line.advance(sample.samples, sample.rate);
        }
        self.timeline.set_before(line.now().unwrap_or(before));
        Ok(())
    }

    fn push(&mut self, sample: &UndatedSample, pts: i64) -> Result<(), LimitExceeded> {
        let Some(track) = &mut self.track else {
            return Ok(());
        };
        let config = track.config(&sample.config)?;
        match &sample.place {
            SampleBytes::Stream(range) => track.push_unit(range.clone())?,
            SampleBytes::Copied(bytes) => {
                let start = track.position();
                track.push_literal(bytes)?;
                track.push_unit(start..track.position())?;
            }
        }
        track.push_sample(Sample {
            dts: pts,
            composition_offset: 0,
            duration: sample.samples,
            size: 0,
            config,
            random_access: RandomAccess::Closed,
            leading: Leading::No,
        })
    }

    fn track_of(&self, segment_len: u64, stride: u16) -> Result<TrackBuilder, LimitExceeded> {
        let mut track = TrackBuilder::new(
            u32::from(self.pid),
            TrackKind::Audio,
            TrackTiming::Rounded { clock: CLOCK_90K },
            segment_len,
            stride,
            false,
            &self.limits,
        )?;
        track.set_language(self.language);
        Ok(track)
    }

    fn damaged(&self, position: u64, kind: DamageKind, damage: &mut DamageLog) {
        damage.push(Damage {
            offset: self.window.offset_of(position),
            pid: Some(self.pid),
            kind,
        });
    }

    fn report_dropped(&mut self, damage: &mut DamageLog) {
        if let Some(Dropped { offset, count }) = self.dropped.take() {
            damage.push(Damage {
                offset,
                pid: Some(self.pid),
                kind: DamageKind::LostBytes { dropped: count },
            });
        }
    }
}

impl Assemble for AudioAssembler {
    fn begin_segment(&mut self, segment_len: u64, stride: u16) -> Result<(), LimitExceeded> {
        let mut track = self.track_of(segment_len, stride)?;
        if !self.kind.is_copied() {
            track.push_literal(self.window.bytes())?;
        }
        let shift = self.window.rebase();
        self.at = self.at.saturating_sub(shift);
        if let Some(unit) = &mut self.unit {
            unit.start = unit.start.saturating_sub(shift);
        }
        self.track = Some(track);
        Ok(())
    }

    fn pes(&mut self, start: PesStart, _: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.window.mark(start.pts);
        Ok(())
    }

    fn payload(
        &mut self,
        offset: u64,
        bytes: &[u8],
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        let Some(track) = &mut self.track else {
            return Ok(());
        };
        if !self.kind.is_copied() {
            track.push_piece(offset, bytes.len())?;
        }
        self.window.push(offset, bytes);
        self.run(None, damage)
    }

    fn lost(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.run(Some(End::Loss), damage)?;
        self.close(false)?;
        let rest = self.window.from(self.at);
        if !rest.is_empty() {
            let in_place = self.in_sync || self.window.is_marked(self.at);
            let found = rest.len() as u64;
            let cut_off = match self.kind.probe(rest) {
                Probe::Header(header) => Some(DamageKind::CutOffFrame {
                    found,
                    wanted: header.frame_len() as u64,
                }),
                Probe::Short => Some(DamageKind::TruncatedAccessUnit),
                Probe::Nothing | Probe::Tag(_) => None,
            };
            if let Some(kind) = cut_off.filter(|_| in_place) {
                self.report_dropped(damage);
                self.damaged(self.at, kind, damage);
            } else {
                self.drop_bytes(rest.len() as u64);
            }
        }
        self.report_dropped(damage);
        self.at = self.window.end();
        self.window.clear();
        self.in_sync = false;
        self.timeline.lose();
        // A timestamp on the other side of the loss cannot be counted back across it.
        self.place_held_after(damage)
    }

    fn end_of_stream(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.lost(damage)
    }

    fn end_segment(&mut self, damage: &mut DamageLog) -> Result<TrackIndex, LimitExceeded> {
        self.run(Some(End::Segment), damage)?;
        self.place_held_after(damage)?;
        self.report_dropped(damage);
        let mut track = match self.track.take() {
            Some(track) => track,
            None => self.track_of(0, 188)?,
        };
        if let (Some(config), []) = (&self.config, track.samples()) {
            track.config(config)?;
        }
        Ok(track.finish())
    }
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
