//! One elementary stream: continuity, PES packets, and the assembler behind them.

use clipmill_media::{Damage, DamageKind, DamageLog, LimitExceeded, TrackIndex};
use mpeg2ts_reader::packet::AdaptationField;

use crate::assemble::PesStart;
use crate::clock::Clock;
use crate::habits::{Ending, Habits};
use crate::packet::{self, Header, PACKET_LEN, Packets, Run};
use crate::pes::{self, MAX_HEADER_LEN, Parsed, PesHeader};
use crate::probing::Assembler;
use crate::scrambling::Census;

/// Damages that are remembered of a stream that may be no media.
const MOST_QUIET: usize = 16;

/// What the packets of all streams share.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    /// The segment that is being indexed.
    pub(crate) segment: &'a [u8],
    /// The program's clock.
    pub(crate) clock: &'a mut Clock,
    /// Where damage is recorded.
    pub(crate) damage: &'a mut DamageLog,
}

/// Where a stream is in its PES packets.
#[derive(Debug, Clone, Copy)]
enum State {
    /// No PES packet has begun: payload belongs to nothing.
    Unbegun,
    /// Inside a header.
    Header,
    /// Inside a payload, of which this much is to come where that is known.
    Payload { left: Option<usize> },
    /// Inside a packet of no interest.
    Ignored,
}

/// One elementary stream and its assembler.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) pid: u16,
    /// Whether the program lists it. One that is listed no more is kept until the segment ends.
    pub(crate) listed: bool,
    pub(crate) assembler: Assembler,
    state: State,
    header: HeaderBytes,
    /// `continuity_counter` of the last packet with payload.
    continuity: Option<u8>,
    /// Where that packet lies, if it is in this segment.
    last_packet: Option<usize>,
    /// It has been seen twice.
    repeated: bool,
    /// A `discontinuity_indicator` allows the next counter to be any.
    forgiven: bool,
    /// Inside a run of scrambled packets.
    scrambled: bool,
    /// How much of it is scrambled.
    census: Census,
    /// Payload that belongs to no PES packet: where it begins and how much it is.
    orphaned: Option<(usize, u64)>,
    /// The `stream_id` of the PES packet at hand is one of pictures.
    pictures: bool,
    /// Damage of a stream that may be no media.
    quiet: DamageLog,
    /// The last packet is full to its end with payload.
    full: bool,
    /// The PES packet at hand has begun in this segment.
    begun: bool,
    habits: Habits,
    /// Packets are missing between the segment before and this one.
    follows_loss: bool,
}

/// A PES packet header that comes in several packets.
#[derive(Debug)]
struct HeaderBytes {
    bytes: Vec<u8>,
    offset: u64,
    random_access: bool,
}

impl Stream {
    pub(crate) fn new(pid: u16, assembler: Assembler) -> Self {
        Self {
            pid,
            listed: true,
            assembler,
            state: State::Unbegun,
            header: HeaderBytes {
                bytes: Vec::new(),
                offset: 0,
                random_access: false,
            },
            continuity: None,
            last_packet: None,
            repeated: false,
            forgiven: false,
            scrambled: false,
            census: Census::default(),
            orphaned: None,
            pictures: false,
            quiet: DamageLog::with_capacity(MOST_QUIET),
            full: false,
            begun: false,
            habits: Habits::default(),
            follows_loss: false,
        }
    }

    /// Begins a segment.
    pub(crate) fn begin_segment(&mut self, len: u64, stride: u16) -> Result<(), LimitExceeded> {
        self.last_packet = None;
        self.repeated = false;
        self.scrambled = false;
        self.census = Census::default();
        self.begun = false;
        self.follows_loss = false;
        self.header.offset = 0;
        self.quiet = DamageLog::with_capacity(MOST_QUIET);
        self.assembler.begin_segment(len, stride)
    }

    /// What comes does not follow what came.
    pub(crate) fn discontinuity(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.state = State::Unbegun;
        self.header.bytes.clear();
        self.continuity = None;
        self.forgiven = false;
        self.assembler.look_again();
        if self.assembler.is_unknown() {
            return self.assembler.lost(&mut self.quiet);
        }
        self.assembler.lost(damage)
    }

    fn end_assembler(
        &mut self,
        ends: bool,
        damage: &mut DamageLog,
    ) -> Result<TrackIndex, LimitExceeded> {
        if !self.assembler.is_unknown() {
            self.report_orphans(damage);
            if ends {
                self.assembler.end_of_stream(damage)?;
            }
            return self.assembler.end_segment(damage);
        }
        let mut quiet = std::mem::take(&mut self.quiet);
        self.report_orphans(&mut quiet);
        if ends {
            self.assembler.end_of_stream(&mut quiet)?;
        }
        let track = self.assembler.end_segment(&mut quiet);
        self.quiet = quiet;
        self.speak(damage);
        track
    }

    /// Says what was damaged, if the stream has turned out to be media.
    fn speak(&mut self, damage: &mut DamageLog) {
        if !self.assembler.is_unknown() {
            let quiet = std::mem::take(&mut self.quiet);
            quiet
                .kept()
                .iter()
                .cloned()
                .for_each(|one| damage.push(one));
        }
    }

    /// Whether it is of no use in this segment, because it is scrambled.
    pub(crate) fn is_scrambled(&self) -> bool {
        self.census.is_scrambled()
    }

    /// Ends the segment, and the stream where nothing follows it. `torn` is the packet within which the
    /// segment ends.
    pub(crate) fn end_segment(
        &mut self,
        ends: bool,
        torn: Option<Header>,
        damage: &mut DamageLog,
    ) -> Result<TrackIndex, LimitExceeded> {
        let mut track = self.end_assembler(ends, damage)?;
        if self.follows_loss {
            track.set_follows_loss();
        }
        if self.is_video() && track.reaches_end() {
            match self.ending(torn) {
                Ending::Whole => {}
                Ending::Open => track.set_open_ended(),
                Ending::CutOff => {
                    track.drop_last_sample();
                    damage.push(Damage {
                        offset: self.header.offset,
                        pid: Some(self.pid),
                        kind: DamageKind::CutOffPicture,
                    });
                }
            }
        }
        Ok(track)
    }

    fn is_video(&self) -> bool {
        let coding = self.assembler.coding();
        coding.map_or(self.pictures, |coding| coding.is_video())
    }

    /// How the PES packet at hand ends, if nothing follows it.
    fn ending(&self, torn: Option<Header>) -> Ending {
        let torn = torn.filter(|torn| torn.pid() == self.pid);
        match self.state {
            _ if torn.is_some_and(Header::unit_start) => Ending::Whole,
            State::Payload { left: Some(0) } => Ending::Whole,
            State::Payload { left: Some(_) } if self.habits.lengths_are_right() => Ending::CutOff,
            State::Payload { .. } if torn.is_some() => Ending::CutOff,
            State::Payload { .. } if self.full && self.habits.stuffs() => Ending::Open,
            _ => Ending::Whole,
        }
    }

    /// Another PES packet begins: what the end of the last one tells of the muxer.
    fn note_end(&mut self, damage: &mut DamageLog) {
        if !std::mem::take(&mut self.begun) {
            return;
        }
        let video = self.is_video();
        let habits = &mut self.habits;
        let add = |count: &mut u32| *count = count.saturating_add(1);
        match self.state {
            State::Payload { left: None } => {
                add(&mut habits.open);
                if self.full {
                    add(&mut habits.unstuffed);
                }
            }
            State::Payload { left: Some(0) } => add(&mut habits.exact),
            State::Payload { left: Some(_) } => {
                let unusual = habits.lengths_are_right() && video;
                add(&mut habits.short);
                if unusual {
                    damage.push(Damage {
                        offset: self.header.offset,
                        pid: Some(self.pid),
                        kind: DamageKind::TruncatedAccessUnit,
                    });
                }
            }
            State::Unbegun | State::Header | State::Ignored => {}
        }
    }

    /// Takes one packet of this stream.
    #[inline]
    pub(crate) fn packet(
        &mut self,
        offset: usize,
        packet: &[u8; PACKET_LEN],
        shared: &mut Shared<'_>,
    ) -> Result<(), LimitExceeded> {
        if self.assembler.is_unknown() {
            return self.unknown_packet(offset, packet, shared);
        }
        self.take(offset, packet, shared)
    }

    /// What may be no media is not damaged aloud, and moves no clock.
    #[cold]
    fn unknown_packet(
        &mut self,
        offset: usize,
        packet: &[u8; PACKET_LEN],
        shared: &mut Shared<'_>,
    ) -> Result<(), LimitExceeded> {
        let mut quiet = std::mem::take(&mut self.quiet);
        let mut clock = shared.clock.clone();
        let mut apart = Shared {
            segment: shared.segment,
            clock: &mut clock,
            damage: &mut quiet,
        };
        let taken = self.take(offset, packet, &mut apart);
        self.quiet = quiet;
        if !self.assembler.is_unknown() {
            *shared.clock = clock;
            self.speak(shared.damage);
        }
        taken
    }

    #[inline]
    fn take(
        &mut self,
        offset: usize,
        packet: &[u8; PACKET_LEN],
        shared: &mut Shared<'_>,
    ) -> Result<(), LimitExceeded> {
        let header = Header::of(packet);
        let field = match packet::adaptation_field(packet) {
            Some([]) | None => None,
            Some(field) => Some(AdaptationField::new(field)),
        };
        if field.as_ref().is_some_and(|f| f.discontinuity_indicator()) {
            self.forgiven = true;
        }
        let Some(start) = packet::payload_start(packet) else {
            return Ok(());
        };
        let Some(payload) = packet.get(start..) else {
            return Ok(());
        };
        if !self.follows(offset, header, payload, shared)? {
            return Ok(());
        }
        if header.scrambled() {
            self.census.scrambled();
            return self.scrambled_at(offset, shared.damage);
        }
        self.scrambled = false;
        self.census.clear(1);
        let at = offset.saturating_add(start);
        if !header.unit_start() {
            self.full = !packet::is_stuffed(packet);
            return self.payload(at, payload, shared);
        }
        self.note_end(shared.damage);
        self.full = !packet::is_stuffed(packet);
        self.report_orphans(shared.damage);
        let random_access = field.is_some_and(|f| f.random_access_indicator());
        self.begin_pes(offset, at, payload, random_access, shared)
    }

    /// Takes the packets that follow the one last taken as long as they hold nothing but more of
    /// its payload: nearly all packets do, and what has to be thought of for each of the others
    /// would cost more than all else together.
    #[inline]
    pub(crate) fn run(
        &mut self,
        packets: &mut Packets<'_>,
        shared: &mut Shared<'_>,
    ) -> Result<(), LimitExceeded> {
        let (State::Payload { left }, Some(counter), false) =
            (self.state, self.continuity, self.forgiven)
        else {
            return Ok(());
        };
        let most = left.map_or(usize::MAX, |left| {
            left.checked_div(Run::PAYLOAD_LEN).unwrap_or_default()
        });
        let run = packets.run(self.pid, counter.wrapping_add(1) & 0x0f, most);
        let Some(last) = run.count().checked_sub(1) else {
            return Ok(());
        };
        self.scrambled = false;
        self.census.clear(run.count());
        self.repeated = false;
        self.full = true;
        self.last_packet = Some(run.split_at(last).1.offset());
        // As many as the counter counts make no difference to it.
        let passed = u8::try_from(run.count() & 0x0f).unwrap_or_default();
        self.continuity = Some(counter.wrapping_add(passed) & 0x0f);
        if let State::Payload { left: Some(left) } = &mut self.state {
            *left = left.saturating_sub(run.count().saturating_mul(Run::PAYLOAD_LEN));
        }
        packets.pass(&run);
        let was_unknown = self.assembler.is_unknown();
        self.assembler.run(run, shared.damage)?;
        if was_unknown {
            self.speak(shared.damage);
        }
        Ok(())
    }

    /// Checks the continuity counter (2.4.3.3); whether the packet is news.
    fn follows(
        &mut self,
        offset: usize,
        header: Header,
        payload: &[u8],
        shared: &mut Shared<'_>,
    ) -> Result<bool, LimitExceeded> {
        let counter = header.continuity_counter();
        let forgiven = std::mem::take(&mut self.forgiven);
        let last_packet = self.last_packet.replace(offset);
        let Some(last) = self.continuity.replace(counter) else {
            return Ok(true);
        };
        if last.wrapping_add(1) & 0x0f == counter {
            if last_packet.is_none() {
                self.habits.counted_on = self.habits.counted_on.saturating_add(1);
            }
            self.repeated = false;
            return Ok(true);
        }
        if last == counter && !forgiven && !self.repeated {
            let same = last_packet.and_then(|at| {
                let before = shared.segment.get(at..)?.first_chunk()?;
                before.get(packet::payload_start(before)?..)
            });
            if same == Some(payload) {
                self.repeated = true;
                return Ok(false);
            }
        }
        self.repeated = false;
        // Many segmenters count from 0 in every segment: nothing is known to be missing where the
        // first packet of a segment also begins a PES packet.
        let begins_anew = last_packet.is_none() && header.unit_start();
        if last_packet.is_none() {
            self.follows_loss = std::mem::take(&mut self.habits.counted_on) > 0 && !forgiven;
        }
        if !forgiven && !begins_anew {
            shared.damage.push(Damage {
                offset: offset as u64,
                pid: Some(self.pid),
                kind: DamageKind::ContinuityGap,
            });
        }
        self.gap(shared.damage)?;
        Ok(true)
    }

    /// Packets are missing here.
    fn gap(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.state = match self.state {
            // How much of the packet is left cannot be known, nor whether it is the same packet.
            State::Payload { .. } => State::Payload { left: None },
            State::Header | State::Unbegun => State::Unbegun,
            State::Ignored => State::Ignored,
        };
        self.header.bytes.clear();
        self.assembler.lost(damage)
    }

    fn scrambled_at(&mut self, offset: usize, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        if self.scrambled {
            return Ok(());
        }
        self.scrambled = true;
        damage.push(Damage {
            offset: offset as u64,
            pid: Some(self.pid),
            kind: DamageKind::Scrambled,
        });
        self.gap(damage)
    }

    fn begin_pes(
        &mut self,
        offset: usize,
        at: usize,
        payload: &[u8],
        random_access: bool,
        shared: &mut Shared<'_>,
    ) -> Result<(), LimitExceeded> {
        if matches!(self.state, State::Header) {
            self.bad_header(shared.damage)?;
        }
        self.header.bytes.clear();
        self.header.offset = offset as u64;
        self.header.random_access = random_access;
        match pes::parse(payload) {
            Parsed::Header(header) => self.begun(header, at, payload, header.len, shared),
            Parsed::Incomplete => {
                self.header.bytes.extend_from_slice(payload);
                self.state = State::Header;
                Ok(())
            }
            Parsed::NoMedia => {
                self.state = State::Ignored;
                Ok(())
            }
            Parsed::Bad => self.bad_header(shared.damage),
        }
    }

    /// More of a header that did not fit into the packet that began it.
    fn more_header(
        &mut self,
        at: usize,
        payload: &[u8],
        shared: &mut Shared<'_>,
    ) -> Result<(), LimitExceeded> {
        let had = self.header.bytes.len();
        let room = MAX_HEADER_LEN.saturating_sub(had);
        let more = payload.get(..room).unwrap_or(payload);
        self.header.bytes.extend_from_slice(more);
        match pes::parse(&self.header.bytes) {
            Parsed::Header(header) => {
                let skip = header.len.saturating_sub(had);
                self.begun(header, at, payload, skip, shared)
            }
            Parsed::Incomplete => Ok(()),
            Parsed::NoMedia => {
                self.state = State::Ignored;
                Ok(())
            }
            Parsed::Bad => self.bad_header(shared.damage),
        }
    }

    fn bad_header(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        damage.push(Damage {
            offset: self.header.offset,
            pid: Some(self.pid),
            kind: DamageKind::BadPesHeader,
        });
        self.state = State::Ignored;
        self.header.bytes.clear();
        self.assembler.lost(damage)
    }

    /// A header is whole; the payload begins `skip` bytes into `bytes`, which lie at `at`.
    fn begun(
        &mut self,
        header: PesHeader,
        at: usize,
        bytes: &[u8],
        skip: usize,
        shared: &mut Shared<'_>,
    ) -> Result<(), LimitExceeded> {
        self.header.bytes.clear();
        self.pictures = header.pictures;
        self.census.pes(header.scrambled);
        if header.scrambled {
            self.state = State::Ignored;
            shared.damage.push(Damage {
                offset: self.header.offset,
                pid: Some(self.pid),
                kind: DamageKind::Scrambled,
            });
            return self.assembler.lost(shared.damage);
        }
        let (pts, dts) = match (header.pts, header.dts) {
            (Some(pts), Some(dts)) => {
                let (pts, dts) = shared.clock.pair(pts, dts);
                (Some(pts), Some(dts).filter(|&dts| dts != pts))
            }
            (Some(pts), None) => (Some(shared.clock.single(pts)), None),
            (None, _) => (None, None),
        };
        let start = PesStart {
            pts,
            dts,
            random_access: self.header.random_access,
            aligned: header.aligned,
            offset: self.header.offset,
        };
        self.assembler.pes(start, shared.damage)?;
        self.begun = true;
        self.state = State::Payload {
            left: header.payload_len,
        };
        match bytes.get(skip..) {
            Some(payload) if !payload.is_empty() => {
                self.payload(at.saturating_add(skip), payload, shared)
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn payload(
        &mut self,
        at: usize,
        payload: &[u8],
        shared: &mut Shared<'_>,
    ) -> Result<(), LimitExceeded> {
        match &mut self.state {
            State::Payload { left: None } => {
                self.assembler.payload(at as u64, payload, shared.damage)
            }
            State::Payload { left: Some(left) } => {
                let taken = payload.len().min(*left);
                *left = left.saturating_sub(taken);
                let (payload, excess) = payload.split_at_checked(taken).unwrap_or((payload, &[]));
                if !payload.is_empty() {
                    self.assembler.payload(at as u64, payload, shared.damage)?;
                }
                if excess.is_empty() {
                    return Ok(());
                }
                self.excess(at.saturating_add(taken), excess, shared)
            }
            State::Header => self.more_header(at, payload, shared),
            State::Unbegun => {
                let len = payload.len() as u64;
                let (_, orphaned) = self.orphaned.get_or_insert((at, 0));
                *orphaned = orphaned.saturating_add(len);
                Ok(())
            }
            State::Ignored => Ok(()),
        }
    }

    /// Payload beyond the `PES_packet_length`: stuffing. The lengths of video are believed less,
    /// because 16 bits are too few for many pictures and muxers exist that let them overflow.
    fn excess(
        &mut self,
        at: usize,
        excess: &[u8],
        shared: &mut Shared<'_>,
    ) -> Result<(), LimitExceeded> {
        let filler = |byte: u8| excess.iter().all(|&found| found == byte);
        if filler(0xff) || filler(0) {
            return Ok(());
        }
        if self.is_video() {
            self.state = State::Payload { left: None };
            return self.assembler.payload(at as u64, excess, shared.damage);
        }
        let len = excess.len() as u64;
        let (_, orphaned) = self.orphaned.get_or_insert((at, 0));
        *orphaned = orphaned.saturating_add(len);
        Ok(())
    }

    fn report_orphans(&mut self, damage: &mut DamageLog) {
        if let Some((offset, dropped)) = self.orphaned.take() {
            damage.push(Damage {
                offset: offset as u64,
                pid: Some(self.pid),
                kind: DamageKind::LostBytes { dropped },
            });
        }
    }
}
