//! The walk over a segment's packets, and what is kept between segments.

use std::collections::BTreeMap;

use clipmill_media::{
    Damage, DamageKind, DamageLog, DeclinedStream, LimitExceeded, Limits, SegmentIndex, TimedEvent,
    TrackIndex, TrackKind,
};

use crate::assemble::Make;
use crate::clock::Clock;
use crate::error::IndexError;
use crate::events::EventStream;
use crate::packet::{Framing, Header, PACKET_LEN, Packets, Step};
use crate::probe;
use crate::probing::Assembler;
use crate::programs::{self, Choice, ProgramNote};
use crate::psi::{NULL_PID, PAT_PID, Pat, Program, Sections, Unusable};
use crate::sdt::{self, SDT_PID};
use crate::stream::{Shared, Stream};
use crate::stream_type::Elementary;

/// How often in one segment a program that disappears is looked for ahead.
const MAX_LOOKS: u8 = 8;

/// What to demultiplex, and how much of it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DemuxOptions {
    /// The number of the program; `None` for the one with video and the most streams that can be
    /// carried and are not scrambled.
    pub program: Option<u16>,
    /// Every size that comes from outside.
    pub limits: Limits,
}

/// Indexes the segments of one MPEG transport stream, one after the other.
///
/// What a segment does not repeat is kept from those before it: the tables, parameter sets, the
/// continuity counters, the first part of an audio frame that ends in the next segment, and the
/// clock. Timestamps are unrolled: the first one stands as it is, from there on they pass 2^33
/// instead of wrapping.
#[derive(Debug)]
pub struct Demuxer {
    options: DemuxOptions,
    make: Make,
    pat: Pat,
    pat_sections: Sections,
    pmt_sections: Sections,
    program: Option<Program>,
    /// The program was recognised without tables.
    guessed: bool,
    /// Samples of the program have come.
    proven: bool,
    /// Why other programs were not taken.
    passed_over: Option<ProgramNote>,
    streams: Vec<Stream>,
    /// Streams of timed metadata.
    events: Vec<EventStream>,
    sdt_sections: Sections,
    /// What the service description table calls the program.
    service: Option<String>,
    routes: Routes,
    clock: Clock,
    discontinuous: bool,
    ends: bool,
}

impl Demuxer {
    /// A demultiplexer that has seen nothing.
    #[must_use]
    pub fn new(options: DemuxOptions) -> Self {
        Self::with_assemblers(options, crate::make::assembler)
    }

    pub(crate) fn with_assemblers(options: DemuxOptions, make: Make) -> Self {
        Self {
            options,
            make,
            pat: Pat::default(),
            pat_sections: Sections::default(),
            pmt_sections: Sections::default(),
            program: None,
            guessed: false,
            proven: false,
            passed_over: None,
            streams: Vec::new(),
            events: Vec::new(),
            sdt_sections: Sections::default(),
            service: None,
            routes: Routes::none(),
            clock: Clock::default(),
            discontinuous: false,
            ends: false,
        }
    }

    /// Indexes the next segment of the stream.
    ///
    /// Damage inside the segment is no error: it is listed in [`SegmentIndex::damage`], and what
    /// can be saved around it is. A valid transport stream without a sample in it gives an index
    /// without samples. Video tracks come first, then audio, both in the order of the program map;
    /// a track is left out where neither a sample nor its configuration is known. Where the map
    /// changes the coding of a PID in the middle of the segment, that PID has two tracks.
    ///
    /// # Errors
    /// When the segment is no transport stream, no program can be found in it, none of the
    /// program's streams can be carried, all that could be are scrambled, or a limit is exceeded.
    pub fn index(&mut self, segment: &[u8]) -> Result<SegmentIndex, IndexError> {
        if segment.is_empty() {
            return Err(IndexError::Empty);
        }
        let len = segment.len() as u64;
        let limit = self.options.limits.segment_bytes.min(u64::from(u32::MAX));
        LimitExceeded::check("segment size in bytes", len, limit)?;
        let framing = Framing::find(segment).ok_or(IndexError::NoSync { searched: len })?;
        if self.program.is_none() || self.guessed || self.discontinuous {
            self.find_program(segment, framing)?;
        }
        let mut walk = Walk {
            segment,
            framing,
            damage: DamageLog::with_capacity(self.options.limits.damages),
            declined: BTreeMap::new(),
            events: Vec::new(),
            looks: 0,
        };
        match self.walk(&mut walk) {
            Ok(tracks) => self.finish(walk, tracks),
            Err(error) => {
                // Assemblers stopped in the middle of a segment are of no use for the next.
                self.streams.clear();
                if let Some(program) = self.program.take() {
                    self.install(program, None)?;
                }
                Err(error.into())
            }
        }
    }

    /// Tells that the next segment does not follow the last one: a segment is missing, or the
    /// playlist says `EXT-X-DISCONTINUITY`.
    ///
    /// Forgets partial frames and continuity counters; keeps tables, parameter sets and the clock.
    pub fn discontinuity(&mut self) {
        self.discontinuous = true;
    }

    /// Tells that nothing follows the next segment: a frame of sound that it does not hold to its end
    /// is cut off.
    pub fn end_of_stream(&mut self) {
        self.ends = true;
    }

    /// Whether a program association table and a program map table have been read.
    #[must_use]
    pub fn has_tables(&self) -> bool {
        self.program.is_some() && !self.guessed
    }

    /// The number of the program that is demultiplexed, once tables have been read.
    #[must_use]
    pub fn program(&self) -> Option<u16> {
        let program = self.program.as_ref()?;
        (!self.guessed).then_some(program.number)
    }

    /// Looks for the tables before the walk begins.
    fn find_program(&mut self, segment: &[u8], framing: Framing) -> Result<(), IndexError> {
        let wanted = self.options.program;
        let mut found = programs::look_ahead(segment, framing, wanted);
        if let Some(wanted) = wanted
            && !found.listed.is_empty()
            && !found.listed.iter().any(|&(number, _)| number == wanted)
        {
            let mut found: Vec<u16> = found.listed.iter().map(|&(number, _)| number).collect();
            found.sort_unstable();
            found.dedup();
            return Err(IndexError::ProgramNotFound { wanted, found });
        }
        // A program of which nothing has come yet is no better than another.
        let last = self.program().filter(|_| self.proven).or(wanted);
        let choice = found.choose(last, segment, framing);
        let choice = choice.or_else(|| found.choose(wanted, segment, framing));
        if let Some(choice) = choice {
            self.pat = found.pat;
            self.guessed = false;
            self.take(choice, None)?;
        } else if self.program.is_none() {
            let guess = probe::guess(segment, framing).filter(|_| wanted.is_none());
            let Some(guess) = guess else {
                let wanted = |&(number, _): &(u16, u16)| wanted.is_none_or(|one| one == number);
                return Err(IndexError::NoProgram {
                    listed: found.listed.into_iter().filter(wanted).collect(),
                    seen: probe::seen(segment, framing),
                });
            };
            self.guessed = true;
            self.install(guess, None)?;
        }
        Ok(())
    }

    fn walk(&mut self, walk: &mut Walk<'_>) -> Result<Vec<TrackIndex>, LimitExceeded> {
        self.begin(walk)?;
        let mut packets = Packets::new(walk.segment, walk.framing);
        let mut torn = None;
        while let Some(step) = packets.next() {
            match step {
                Step::Packet { offset, bytes } => {
                    let header = Header::of(bytes);
                    let pid = header.pid();
                    let route = self.routes.of(pid);
                    if route == Routes::NOWHERE {
                        continue;
                    }
                    if header.transport_error() {
                        let stream = self.streams.get(Routes::stream(route));
                        let stream = stream.filter(|_| route >= Routes::FIRST_STREAM);
                        if !stream.is_some_and(|stream| stream.assembler.is_unknown()) {
                            walk.damaged(offset, Some(pid), DamageKind::TransportError);
                        }
                        continue;
                    }
                    match route {
                        Routes::PAT => self.pat_packet(offset, bytes, walk)?,
                        Routes::PMT => self.pmt_packet(offset, bytes, walk)?,
                        Routes::SDT => self.sdt_packet(bytes),
                        Routes::EVENTS => {
                            let stream = self.events.iter_mut().find(|s| s.pid == pid);
                            if let Some(stream) = stream {
                                stream.packet(bytes, &mut self.clock, &mut walk.events);
                            }
                        }
                        _ => {
                            if let Some(stream) = self.streams.get_mut(Routes::stream(route)) {
                                let mut shared = Shared {
                                    segment: walk.segment,
                                    clock: &mut self.clock,
                                    damage: &mut walk.damage,
                                };
                                stream.packet(offset, bytes, &mut shared)?;
                                stream.run(&mut packets, &mut shared)?;
                            }
                        }
                    }
                }
                Step::Lost { offset, skipped } => {
                    let skipped = skipped as u64;
                    walk.damaged(offset, None, DamageKind::LostSync { skipped });
                }
                Step::Truncated { offset } => {
                    walk.damaged(offset, None, DamageKind::TruncatedPacket);
                    let head = walk.segment.get(offset..);
                    torn = head.and_then(|head| head.first_chunk()).copied();
                }
            }
        }
        for stream in &mut self.events {
            stream.end(&mut self.clock, &mut walk.events);
        }
        let ends = std::mem::take(&mut self.ends);
        let mut tracks = Vec::new();
        for stream in &mut self.streams {
            let track = stream.end_segment(ends, torn.map(Header), &mut walk.damage)?;
            tracks.append(&mut stream.assembler.ended());
            tracks.push(track);
        }
        Ok(tracks)
    }

    fn begin(&mut self, walk: &mut Walk<'_>) -> Result<(), LimitExceeded> {
        let skipped = walk.framing.skipped() as u64;
        if skipped > 0 {
            walk.damaged(0, None, DamageKind::LostSync { skipped });
        }
        let discontinuous = std::mem::take(&mut self.discontinuous);
        if discontinuous {
            self.pat_sections = Sections::default();
            self.pmt_sections = Sections::default();
        }
        for stream in &mut self.streams {
            stream.begin_segment(walk.segment.len() as u64, walk.framing.stride)?;
            if discontinuous {
                stream.discontinuity(&mut walk.damage)?;
            }
        }
        if let Some(program) = &self.program {
            walk.decline(program);
        }
        Ok(())
    }

    fn finish(
        &mut self,
        mut walk: Walk<'_>,
        mut tracks: Vec<TrackIndex>,
    ) -> Result<SegmentIndex, IndexError> {
        for stream in self.streams.iter().filter(|s| !s.assembler.is_unknown()) {
            walk.declined.remove(&stream.pid);
        }
        let contradictions = self
            .streams
            .iter()
            .filter_map(|s| s.assembler.contradiction());
        let passed_over = self.passed_over.iter().map(|note| note.text.clone());
        let notes = passed_over.chain(contradictions).collect();
        let mut declined: Vec<DeclinedStream> = walk.declined.into_values().collect();
        let number = self.program.as_ref().map_or(0, |program| program.number);
        let nothing =
            |stream: &Stream| stream.assembler.is_unknown() && !stream.assembler.is_promising();
        if self.streams.iter().all(nothing) {
            let listed = self.program.iter().flat_map(|program| &program.streams);
            declined.extend(listed.filter_map(Elementary::metadata));
            return Err(IndexError::NothingCarried {
                program: number,
                declined,
            });
        }
        let scrambled = self.drop_scrambled(&mut tracks);
        self.streams.retain(|stream| stream.listed);
        self.routes.lay(self.program.as_ref(), &self.streams);
        let is_known =
            |track: &TrackIndex| !track.samples().is_empty() || !track.configs().is_empty();
        let lacks_parameter_sets = tracks
            .iter()
            .any(|track| track.kind() == TrackKind::Video && !is_known(track) && track.has_bytes());
        tracks.retain(is_known);
        tracks.sort_by_key(|track| track.kind() != TrackKind::Video);
        let has_samples = tracks.iter().any(|track| !track.samples().is_empty());
        self.proven |= has_samples;
        if !scrambled.is_empty() && !has_samples && !lacks_parameter_sets {
            return Err(IndexError::Scrambled {
                program: (!self.guessed).then_some(number),
                streams: scrambled,
                declined,
            });
        }
        declined.extend(scrambled);
        Ok(SegmentIndex {
            segment_len: walk.segment.len() as u64,
            tracks,
            events: walk.events,
            service: self.service.clone(),
            declined,
            notes,
            left_scrambled: self.passed_over.as_ref().is_some_and(|note| note.is_loss),
            damage: walk.damage,
            lacks_parameter_sets,
        })
    }

    /// Takes out the tracks of streams that are scrambled, and tells what these are.
    fn drop_scrambled(&self, tracks: &mut Vec<TrackIndex>) -> Vec<DeclinedStream> {
        let mut scrambled: Vec<DeclinedStream> = Vec::new();
        tracks.retain(|track| {
            let of_track = |stream: &&Stream| u32::from(stream.pid) == track.id();
            let stream = self.streams.iter().find(of_track);
            let Some(stream) = stream.filter(|stream| stream.is_scrambled()) else {
                return true;
            };
            let listed = self.program.iter().flat_map(|program| &program.streams);
            let mut listed = listed.filter(|entry| entry.pid == stream.pid);
            let found = listed.find_map(Elementary::scrambled);
            scrambled.extend(found.filter(|found| !scrambled.contains(found)));
            false
        });
        scrambled
    }

    fn pat_packet(
        &mut self,
        offset: usize,
        packet: &[u8; PACKET_LEN],
        walk: &mut Walk<'_>,
    ) -> Result<(), LimitExceeded> {
        let (mut changed, mut bad) = (false, false);
        let pat = &mut self.pat;
        self.pat_sections
            .push(packet, |section| match pat.update(section) {
                Ok(new) => changed |= new,
                Err(reason) => bad |= reason == Unusable::BadCrc,
            });
        if bad {
            walk.damaged(offset, Some(PAT_PID), DamageKind::BadSectionCrc);
        }
        if !changed || !self.pat.is_complete() {
            return Ok(());
        }
        let Some(program) = &mut self.program else {
            return Ok(());
        };
        let listed = self.pat.programs();
        if listed.contains(&(program.number, program.pmt_pid)) {
            return Ok(());
        }
        let moved = listed.iter().find(|(number, _)| *number == program.number);
        if let Some(&(_, pmt_pid)) = moved {
            program.pmt_pid = pmt_pid;
            self.pmt_sections = Sections::default();
            self.routes.lay(self.program.as_ref(), &self.streams);
            return Ok(());
        }
        // Another program from here on, whose map is yet to come. How often that is looked for is
        // bounded, because each look may go to the segment's end.
        if self.options.program.is_some() || walk.looks >= MAX_LOOKS {
            return Ok(());
        }
        walk.looks = walk.looks.saturating_add(1);
        let from = Framing {
            start: offset,
            ..walk.framing
        };
        let mut found = programs::look_ahead(walk.segment, from, None);
        if let Some(choice) = found.choose(None, walk.segment, from) {
            self.guessed = false;
            self.pmt_sections = Sections::default();
            self.take(choice, Some(walk))?;
        }
        Ok(())
    }

    fn sdt_packet(&mut self, packet: &[u8; PACKET_LEN]) {
        let Some(program) = &self.program else { return };
        let service = &mut self.service;
        self.sdt_sections.push(packet, |section| {
            if let Some(name) = sdt::service_name(section, program.number) {
                *service = Some(name);
            }
        });
    }

    fn pmt_packet(
        &mut self,
        offset: usize,
        packet: &[u8; PACKET_LEN],
        walk: &mut Walk<'_>,
    ) -> Result<(), LimitExceeded> {
        let Some(program) = &self.program else {
            return Ok(());
        };
        let (mut new, mut bad) = (None, false);
        let pid = program.pmt_pid;
        self.pmt_sections.push(packet, |section| {
            if section == program.section {
                return;
            }
            match Program::parse(section, pid, program.number) {
                Ok(Some(parsed)) => new = Some(parsed),
                Ok(None) => {}
                Err(reason) => bad |= reason == Unusable::BadCrc,
            }
        });
        if bad {
            walk.damaged(offset, Some(pid), DamageKind::BadSectionCrc);
        }
        match new {
            Some(program) => self.install(program, Some(walk)),
            None => Ok(()),
        }
    }

    /// Goes over to a program.
    fn take(&mut self, choice: Choice, walk: Option<&mut Walk<'_>>) -> Result<(), LimitExceeded> {
        if self.program() != Some(choice.program.number) {
            self.passed_over = choice.passed_over;
            self.proven = false;
        }
        self.install(choice.program, walk)
    }

    /// Puts a program map in force. Streams that it lists as before keep their assemblers; `walk`
    /// is the segment that has begun, if one has.
    fn install(
        &mut self,
        program: Program,
        mut walk: Option<&mut Walk<'_>>,
    ) -> Result<(), LimitExceeded> {
        for stream in &mut self.streams {
            stream.listed = false;
        }
        for entry in &program.streams {
            if !entry.may_be_media() {
                continue;
            }
            let known = self
                .streams
                .iter_mut()
                .find(|stream| stream.pid == entry.pid);
            if let Some(stream) = known {
                stream.listed = true;
                let damage = match &mut walk {
                    Some(walk) => &mut walk.damage,
                    None => &mut DamageLog::default(),
                };
                stream.assembler.declare(entry, damage)?;
                continue;
            }
            let unknown = |stream: &&Stream| stream.assembler.is_unknown();
            let limit = self.options.limits.tracks;
            let count = match entry.coding {
                Ok(_) => self
                    .streams
                    .iter()
                    .filter(|stream| !unknown(stream))
                    .count(),
                Err(_) => self.streams.iter().filter(unknown).count(),
            };
            if count >= limit && entry.coding.is_err() {
                continue;
            }
            LimitExceeded::check(
                "tracks of a segment",
                (count as u64).saturating_add(1),
                limit as u64,
            )?;
            let assembler = Assembler::new(entry, self.make, &self.options.limits);
            let mut stream = Stream::new(entry.pid, assembler);
            if let Some(walk) = &mut walk {
                stream.begin_segment(walk.segment.len() as u64, walk.framing.stride)?;
            }
            self.streams.push(stream);
        }
        let before = std::mem::take(&mut self.events);
        let mut before: BTreeMap<u16, EventStream> = before
            .into_iter()
            .map(|stream| (stream.pid, stream))
            .collect();
        for entry in &program.streams {
            if let Some(coding) = entry.events {
                let kept = before
                    .remove(&entry.pid)
                    .filter(|kept| kept.coding == coding);
                let stream = kept.unwrap_or_else(|| EventStream::new(entry.pid, coding));
                self.events.push(stream);
            }
        }
        match walk {
            Some(walk) => walk.decline(&program),
            None => self.streams.retain(|stream| stream.listed),
        }
        self.routes.lay(Some(&program), &self.streams);
        let same = |known: &Program| known.number == program.number;
        if !self.program.as_ref().is_some_and(same) {
            self.service = None;
        }
        self.program = Some(program);
        Ok(())
    }
}

/// What belongs to the segment that is being indexed.
struct Walk<'a> {
    segment: &'a [u8],
    framing: Framing,
    damage: DamageLog,
    declined: BTreeMap<u16, DeclinedStream>,
    events: Vec<TimedEvent>,
    looks: u8,
}

impl Walk<'_> {
    fn damaged(&mut self, offset: usize, pid: Option<u16>, kind: DamageKind) {
        self.damage.push(Damage {
            offset: offset as u64,
            pid,
            kind,
        });
    }

    fn decline(&mut self, program: &Program) {
        for entry in &program.streams {
            if let Some(declined) = entry.declined() {
                self.declined.entry(entry.pid).or_insert(declined);
            }
        }
    }
}

/// Where the packets of each PID go: a flat table, because it is asked of every packet.
#[derive(Debug)]
struct Routes(Vec<u16>);

impl Routes {
    const NOWHERE: u16 = 0;
    const PAT: u16 = 1;
    const PMT: u16 = 2;
    const EVENTS: u16 = 3;
    const SDT: u16 = 4;
    const FIRST_STREAM: u16 = 5;

    fn none() -> Self {
        Self(vec![Self::NOWHERE; usize::from(NULL_PID).saturating_add(1)])
    }

    #[inline]
    fn of(&self, pid: u16) -> u16 {
        self.0.get(usize::from(pid)).copied().unwrap_or_default()
    }

    fn stream(route: u16) -> usize {
        usize::from(route.saturating_sub(Self::FIRST_STREAM))
    }

    fn set(&mut self, pid: u16, route: u16) {
        if let Some(slot) = self.0.get_mut(usize::from(pid)) {
            *slot = route;
        }
    }

    fn lay(&mut self, program: Option<&Program>, streams: &[Stream]) {
        self.0.fill(Self::NOWHERE);
        self.set(SDT_PID, Self::SDT);
        let listed = program.into_iter().flat_map(|program| &program.streams);
        for entry in listed.filter(|entry| entry.events.is_some()) {
            self.set(entry.pid, Self::EVENTS);
        }
        for (route, stream) in (Self::FIRST_STREAM..).zip(streams) {
            if stream.listed {
                self.set(stream.pid, route);
            }
        }
        if let Some(program) = program {
            self.set(program.pmt_pid, Self::PMT);
        }
        self.set(PAT_PID, Self::PAT);
        self.set(NULL_PID, Self::NOWHERE);
    }
}

#[cfg(test)]
mod tests;
