//! The assembler behind a stream, once it is known which it must be.
//!
//! That is what the program map says (ISO/IEC 13818-1, table 2-34), unless the payload contradicts
//! it beyond doubt: there are multiplexers that write another `stream_type` than what they carry, or
//! none that says anything. The first payload of a stream is looked at ([`recognise`]): mostly its
//! first bytes are what was said, and nothing more is done. Otherwise what comes is held, no more
//! than [`Evidence`] takes, until it is known what it is, and then given to the assembler as if it came
//! now. What is not known when the segment ends is believed to be what was said, for that segment.

use clipmill_media::{
    CLOCK_90K, Damage, DamageKind, DamageLog, LimitExceeded, Limits, TrackBuilder, TrackIndex,
    TrackKind, TrackTiming,
};

use crate::assemble::{Assemble, Make, PesStart};
use crate::packet::Run;
use crate::recognise::{self, Evidence, Verdict};
use crate::stream_type::{Coding, Elementary};

/// Bytes after which what was held is looked at; twice as many each time.
const FIRST_LOOK: usize = 1 << 10;

/// The assembler of one stream, which may have to be found.
#[derive(Debug)]
pub(crate) struct Assembler {
    entry: Elementary,
    make: Make,
    limits: Limits,
    /// What is expected unless the payload contradicts it.
    expected: Option<Coding>,
    known: Option<(Coding, Box<dyn Assemble>)>,
    probe: Option<Box<Probe>>,
    /// Samples have come out of it, as it is coded now.
    proven: bool,
    /// Length and stride of the segment at hand.
    segment: (u64, u16),
    /// Tracks of codings that ended inside the segment.
    ended: Vec<TrackIndex>,
}

/// Payload that is held while it is not known what it is.
#[derive(Debug, Default)]
struct Probe {
    evidence: Evidence,
    /// What came in segments before this one, and in this one.
    before: Vec<Call>,
    calls: Vec<Call>,
    /// A PES packet has begun: everything is held from there on.
    begun: bool,
    /// It was given up, until a PES packet comes that begins like media.
    rests: bool,
    /// A PES packet of which nothing has come but its header, while it rests.
    waiting: Option<PesStart>,
    /// Bytes of the segment that nothing was made of.
    passed: u64,
    /// When to look again.
    next_look: usize,
}

/// A call that an assembler missed. The bytes of payload are in the evidence, in order.
#[derive(Debug, Clone, Copy)]
enum Call {
    Pes(PesStart),
    Payload { offset: u64, len: usize },
    Lost,
}

impl Assembler {
    pub(crate) fn new(entry: &Elementary, make: Make, limits: &Limits) -> Self {
        let expected = entry.coding.ok();
        Self {
            entry: entry.clone(),
            make,
            limits: limits.clone(),
            expected,
            known: None,
            probe: Some(Box::default()),
            proven: false,
            segment: (0, 0),
            ended: Vec::new(),
        }
    }

    /// The coding that was found or is expected; `None` while nothing is known of it.
    pub(crate) fn coding(&self) -> Option<Coding> {
        let known = self.known.as_ref().map(|(coding, _)| *coding);
        known.or(self.expected)
    }

    /// Whether nothing is known of the stream: it may be no media at all.
    pub(crate) fn is_unknown(&self) -> bool {
        self.coding().is_none()
    }

    /// Whether a stream of which nothing is known looks like media so far.
    pub(crate) fn is_promising(&self) -> bool {
        let probe = self.probe.as_ref().filter(|probe| !probe.rests);
        probe.is_some_and(|probe| probe.evidence.is_promising())
    }

    /// What the map says and what was found instead.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let (coding, _) = self.known.as_ref()?;
        // Without tables, nothing was said.
        if self.entry.stream_type == 0 {
            return None;
        }
        let declared = match self.entry.coding {
            Ok(declared) if declared.is_same(*coding) => return None,
            Ok(declared) => format!(
                "{} (stream type {:#04x})",
                declared.framing(),
                self.entry.stream_type
            ),
            Err(unsupported) => unsupported.to_string(),
        };
        Some(format!(
            "PID {:#06x} is declared as {declared} and holds {}: taken for what it holds",
            self.entry.pid,
            coding.framing()
        ))
    }

    /// Takes what another map says of the stream.
    pub(crate) fn declare(
        &mut self,
        entry: &Elementary,
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        let same = self.entry.coding.ok() == entry.coding.ok();
        if !same && self.holds() && self.expected.is_some() {
            // What has come was declared as before.
            self.look(damage)?;
            self.believe(damage)?;
            self.probe = None;
        }
        self.entry = entry.clone();
        if same {
            return Ok(());
        }
        if let Ok(declared) = entry.coding {
            self.expected = Some(declared);
            let known = self.known.as_ref();
            if known.is_some_and(|(coding, _)| coding.is_same(declared)) {
                return Ok(());
            }
        }
        self.look_again();
        Ok(())
    }

    /// Looks at the next PES packet as at the first, since it may be of another stream.
    pub(crate) fn look_again(&mut self) {
        self.probe.get_or_insert_default();
        self.proven = false;
    }

    pub(crate) fn begin_segment(&mut self, len: u64, stride: u16) -> Result<(), LimitExceeded> {
        self.segment = (len, stride);
        if let Some(probe) = &mut self.probe {
            probe.rests = false;
            probe.waiting = None;
            probe.passed = 0;
        }
        match &mut self.known {
            Some((_, assembler)) => assembler.begin_segment(len, stride),
            None => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn pes(
        &mut self,
        start: PesStart,
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        if self.probe.is_some() {
            return self.hold_pes(start, damage);
        }
        match &mut self.known {
            Some((_, assembler)) => assembler.pes(start, damage),
            None => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn payload(
        &mut self,
        offset: u64,
        bytes: &[u8],
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        if self.probe.is_some() {
            return self.hold_payload(offset, bytes, damage);
        }
        match &mut self.known {
            Some((_, assembler)) => assembler.payload(offset, bytes, damage),
            None => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn run(
        &mut self,
        run: Run<'_>,
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        if self.probe.is_some() {
            let mut rest = run;
            while let Some(payload) = rest.payloads().next() {
                self.payload(rest.payload_offset() as u64, payload, damage)?;
                rest = rest.split_at(1).1;
            }
            return Ok(());
        }
        match &mut self.known {
            Some((_, assembler)) => assembler.run(run, damage),
            None => Ok(()),
        }
    }

    pub(crate) fn lost(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.holds()) {
            probe.evidence.lost();
            if !matches!(probe.calls.last(), Some(Call::Lost)) {
                probe.calls.push(Call::Lost);
            }
            return self.stop_when_full(damage);
        }
        self.let_wait_no_more(damage)?;
        match &mut self.known {
            Some((_, assembler)) => assembler.lost(damage),
            None => Ok(()),
        }
    }

    /// Nothing follows the segment that is about to end.
    pub(crate) fn end_of_stream(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.decide(damage)?;
        match &mut self.known {
            Some((_, assembler)) => assembler.end_of_stream(damage),
            None => Ok(()),
        }
    }

    /// What is held waits for nothing any more.
    fn decide(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        if self.holds() {
            self.look(damage)?;
        }
        if self.holds() {
            self.believe(damage)?;
        }
        self.let_wait_no_more(damage)
    }

    /// The track of the segment; those of other codings that it began with are in [`Self::ended`].
    pub(crate) fn end_segment(
        &mut self,
        damage: &mut DamageLog,
    ) -> Result<TrackIndex, LimitExceeded> {
        self.decide(damage)?;
        let track = match &mut self.known {
            Some((_, assembler)) => assembler.end_segment(damage)?,
            None => return Ok(self.track_of(self.segment)?.finish()),
        };
        if track.samples().is_empty() {
            if track.has_bytes() && !self.proven {
                self.look_again();
            }
        } else {
            // Nothing that is something else makes samples.
            self.proven = true;
            self.probe = None;
        }
        Ok(track)
    }

    /// Tracks that ended inside the segment, because the stream went over to another coding.
    pub(crate) fn ended(&mut self) -> Vec<TrackIndex> {
        std::mem::take(&mut self.ended)
    }

    #[inline]
    fn holds(&self) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.holds())
    }

    fn hold_pes(&mut self, start: PesStart, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.let_wait_no_more(damage)?;
        if self.holds()
            && self
                .probe
                .as_ref()
                .is_some_and(|p| p.evidence.count().is_power_of_two())
        {
            self.look(damage)?;
        }
        let Some(probe) = &mut self.probe else {
            return self.pes(start, damage);
        };
        if probe.rests {
            probe.waiting = Some(start);
            return Ok(());
        }
        probe.begin(start);
        self.stop_when_full(damage)
    }

    fn hold_payload(
        &mut self,
        offset: u64,
        bytes: &[u8],
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        let Some(probe) = &mut self.probe else {
            return Ok(());
        };
        if let Some(start) = probe.waiting
            && recognise::begins_like_media(bytes)
        {
            probe.waiting = None;
            probe.rests = false;
            probe.begin(start);
        }
        if !probe.holds() {
            probe.passed = probe.passed.saturating_add(bytes.len() as u64);
            self.let_wait_no_more(damage)?;
            return match &mut self.known {
                Some((_, assembler)) => assembler.payload(offset, bytes, damage),
                None => Ok(()),
            };
        }
        probe.evidence.payload(bytes);
        probe.calls.push(Call::Payload {
            offset,
            len: bytes.len(),
        });
        let held = probe.evidence.bytes();
        if probe.evidence.count() == 1 && held.len() < FIRST_LOOK {
            let known = self.known.as_ref().map(|(coding, _)| *coding);
            let fits = |coding: &Coding| recognise::first_look(*coding, held) == Some(true);
            if let Some(coding) = self.expected.into_iter().chain(known).find(fits) {
                return self.settle(coding, damage);
            }
        }
        if held.len() >= probe.next_look.max(FIRST_LOOK) {
            probe.next_look = held.len().saturating_mul(2);
            self.look(damage)?;
        }
        self.stop_when_full(damage)
    }

    /// What waited while nothing was held belongs to the assembler that is in use.
    fn let_wait_no_more(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let waiting = self.probe.as_mut().and_then(|probe| probe.waiting.take());
        match (waiting, &mut self.known) {
            (Some(start), Some((_, assembler))) => assembler.pes(start, damage),
            _ => Ok(()),
        }
    }

    fn stop_when_full(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let is_full = |probe: &Probe| probe.holds() && probe.evidence.is_full();
        if !self.probe.as_deref().is_some_and(is_full) {
            return Ok(());
        }
        self.look(damage)?;
        if self.probe.is_some() {
            self.give_up(damage)?;
        }
        Ok(())
    }

    /// Looks at what is held.
    fn look(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let Some(probe) = &self.probe else {
            return Ok(());
        };
        match (probe.evidence.verdict(self.expected), self.expected) {
            (Verdict::AsExpected, Some(expected)) => self.settle(expected, damage),
            (Verdict::Found(found), _) => self.settle(found, damage),
            _ => Ok(()),
        }
    }

    /// Nothing was recognised, and no more is held: it is what was said, or nothing, until a PES packet
    /// comes that begins like media.
    fn give_up(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let Some(probe) = self.probe.take() else {
            return Ok(());
        };
        if let Some(expected) = self.expected {
            self.assemble_as(expected, damage)?;
            self.replay(probe.held(), &probe.calls, damage)?;
        }
        let passed = probe.passed.saturating_add(probe.held().len() as u64);
        self.probe = Some(Box::new(Probe {
            rests: true,
            passed,
            ..Probe::default()
        }));
        Ok(())
    }

    /// The segment ends: what is held is given to the assembler that is expected, and remembered in case
    /// that the next one says otherwise.
    fn believe(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let Some(mut probe) = self.probe.take() else {
            return Ok(());
        };
        if let Some(expected) = self.expected {
            self.assemble_as(expected, damage)?;
            self.replay(probe.held(), &probe.calls, damage)?;
        }
        probe.before.append(&mut probe.calls);
        self.probe = Some(probe);
        Ok(())
    }

    /// What is held is coded as `coding`.
    fn settle(&mut self, coding: Coding, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let Some(probe) = self.probe.take() else {
            return Ok(());
        };
        let was_unknown = self.is_unknown();
        self.expected = Some(coding);
        if self.assemble_as(coding, damage)? && !probe.before.is_empty() {
            self.begin_with(&probe, damage)?;
        }
        if was_unknown && probe.passed > 0 {
            damage.push(Damage {
                offset: 0,
                pid: Some(self.entry.pid),
                kind: DamageKind::LostBytes {
                    dropped: probe.passed,
                },
            });
        }
        self.replay(probe.held(), &probe.calls, damage)
    }

    /// Sees to it that the assembler is one of `coding`; whether it is new.
    fn assemble_as(
        &mut self,
        coding: Coding,
        damage: &mut DamageLog,
    ) -> Result<bool, LimitExceeded> {
        if self
            .known
            .as_ref()
            .is_some_and(|(known, _)| known.is_same(coding))
        {
            return Ok(false);
        }
        if let Some((_, mut other)) = self.known.take() {
            let track = other.end_segment(damage)?;
            if !track.samples().is_empty() {
                self.ended.push(track);
            }
        }
        let mut assembler = (self.make)(&self.entry, coding, &self.limits);
        let (len, stride) = self.segment;
        assembler.begin_segment(len, stride)?;
        self.known = Some((coding, assembler));
        Ok(true)
    }

    /// Gives the assembler what came in segments before this one, so that a frame that began there is
    /// whole. What was whole there has missed its segment.
    fn begin_with(&mut self, probe: &Probe, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let before = probe.evidence.bytes();
        let before = before.get(..probe.held_from()).unwrap_or_default();
        let mut calls = probe.before.clone();
        let mut at = 0u64;
        for call in &mut calls {
            if let Call::Payload { offset, len } = call {
                *offset = at;
                at = at.saturating_add(*len as u64);
            }
        }
        let Some((_, assembler)) = &mut self.known else {
            return Ok(());
        };
        let mut unsaid = DamageLog::default();
        assembler.begin_segment(before.len() as u64, u16::MAX)?;
        self.replay(before, &calls, &mut unsaid)?;
        let Some((_, assembler)) = &mut self.known else {
            return Ok(());
        };
        let missed = assembler.end_segment(&mut unsaid)?;
        let dropped = missed.gathered_len(0..missed.samples().len());
        if dropped > 0 {
            damage.push(Damage {
                offset: 0,
                pid: Some(self.entry.pid),
                kind: DamageKind::LostBytes { dropped },
            });
        }
        let (len, stride) = self.segment;
        assembler.begin_segment(len, stride)
    }

    fn replay(
        &mut self,
        mut bytes: &[u8],
        calls: &[Call],
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        let Some((_, assembler)) = &mut self.known else {
            return Ok(());
        };
        for call in calls {
            match *call {
                Call::Pes(start) => assembler.pes(start, damage)?,
                Call::Payload { offset, len } => {
                    let (payload, rest) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
                    assembler.payload(offset, payload, damage)?;
                    bytes = rest;
                }
                Call::Lost => assembler.lost(damage)?,
            }
        }
        Ok(())
    }

    fn track_of(&self, (len, stride): (u64, u16)) -> Result<TrackBuilder, LimitExceeded> {
        TrackBuilder::new(
            u32::from(self.entry.pid),
            TrackKind::Audio,
            TrackTiming::Rounded { clock: CLOCK_90K },
            len,
            stride,
            false,
            &self.limits,
        )
    }
}

impl Probe {
    fn begin(&mut self, start: PesStart) {
        self.begun = true;
        self.evidence.pes();
        self.calls.push(Call::Pes(start));
    }

    fn holds(&self) -> bool {
        self.begun && !self.rests
    }

    /// Where the payload of this segment begins in the evidence.
    fn held_from(&self) -> usize {
        let len = |call: &Call| match call {
            Call::Payload { len, .. } => *len,
            _ => 0,
        };
        self.before.iter().map(len).sum()
    }

    fn held(&self) -> &[u8] {
        let from = self.held_from();
        self.evidence.bytes().get(from..).unwrap_or_default()
    }
}
