//! Access units of NAL units: the byte stream format of annex B (Rec. ITU-T H.264, B.1; Rec. ITU-T
//! H.265, B.2) and the order of NAL units (7.4.1.2.3; 7.4.2.4.4).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use clipmill_media::codec::hdr::{HdrMetadata, has_captions};
use clipmill_media::{
    CLOCK_90K, CodecConfig, Damage, DamageKind, DamageLog, LimitExceeded, Limits, RandomAccess,
    TrackBuilder, TrackIndex, TrackKind, TrackTiming,
};

use super::ahead::{Ahead, Carried, NalStart};
use super::believed::Stamp;
use super::pictures::{Picture, Pictures};
use super::scan::Scanner;
use super::stamps::{Claim, Pes, Stamps};
use super::syntax::{Relation, Role, Syntax};
use crate::assemble::{Assemble, PesStart};
use crate::packet::Run;

/// Enough for the beginning of any slice header.
const SLICE_BYTES: usize = 64;
/// Enough for a recovery point message, even behind closed captions.
const SEI_BYTES: usize = 4096;
/// What may wait for the first parameter sets.
const HELD_BYTES: usize = 16 << 20;

/// What waits for the first parameter sets: without them no slice header can be read.
#[derive(Debug)]
enum Waiting {
    Nal {
        nal: Begun,
        end: u64,
        head: Box<[u8]>,
        cut: bool,
    },
    Lost,
}

/// A NAL unit that has begun.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// Position of its first byte.
    start: u64,
    place: NalStart,
}

/// An access unit of which slices have come.
#[derive(Debug)]
struct Open<S> {
    picture: Picture,
    first_slice: S,
    last_slice: S,
    second_field: bool,
    /// It has the timestamps of this PES packet, although it begins in an earlier one.
    lent: Option<Pes>,
}

/// See the types in the parent module.
#[derive(Debug)]
pub(crate) struct NalAssembler<S: Syntax> {
    pid: u16,
    limits: Limits,
    syntax: S,
    track: Option<TrackBuilder>,
    scanner: Scanner,
    stamps: Stamps,
    nal: Option<Begun>,
    /// The first bytes of the NAL unit: as many as are `wanted`.
    head: Vec<u8>,
    wanted: usize,
    /// Position and place of the first byte that belongs to no NAL unit.
    stray: Option<(u64, u64)>,
    holding: bool,
    held: Vec<Waiting>,
    held_bytes: usize,
    ahead: Ahead,
    carried: Carried,
    /// Nothing follows the segment.
    ends: bool,
    open: Option<Open<S::Slice>>,
    sequence: u32,
    pictures: Pictures,
    config: Option<Arc<CodecConfig>>,
    /// What SEI has said so far.
    hdr: HdrMetadata,
    /// A parameter set has come that `config` does not hold.
    stale: bool,
}

impl<S: Syntax> NalAssembler<S> {
    pub(crate) fn new(pid: u16, limits: &Limits) -> Self {
        Self {
            pid,
            limits: limits.clone(),
            syntax: S::default(),
            track: None,
            scanner: Scanner::new(),
            stamps: Stamps::default(),
            nal: None,
            head: Vec::new(),
            wanted: 0,
            stray: None,
            holding: true,
            held: Vec::new(),
            held_bytes: 0,
            ahead: Ahead::default(),
            carried: Carried::default(),
            ends: false,
            open: None,
            sequence: 0,
            pictures: Pictures::default(),
            config: None,
            hdr: HdrMetadata::default(),
            stale: false,
        }
    }

    fn position(&self) -> u64 {
        self.track.as_ref().map_or(0, TrackBuilder::position)
    }

    fn damaged(&self, damage: &mut DamageLog, offset: u64, kind: DamageKind) {
        damage.push(Damage {
            offset,
            pid: Some(self.pid),
            kind,
        });
    }

    fn dropped(&self, damage: &mut DamageLog, offset: u64, dropped: u64) {
        if dropped > 0 {
            self.damaged(damage, offset, DamageKind::LostBytes { dropped });
        }
    }

    fn begin_nal(&mut self, start: u64, offset: u64) {
        let pes = self.stamps.at(start.saturating_sub(3));
        self.nal = Some(Begun {
            start,
            place: NalStart { offset, pes },
        });
        self.head.clear();
        self.wanted = S::HEADER_BYTES;
    }

    /// Keeps as much of the NAL unit's beginning as its type asks for.
    fn keep_head(&mut self, bytes: &[u8]) {
        if self.head.len() >= self.wanted || self.nal.is_none() {
            return;
        }
        let mut rest = bytes;
        if self.head.len() < S::HEADER_BYTES {
            let missing = S::HEADER_BYTES.saturating_sub(self.head.len());
            let Some((header, after)) = rest.split_at_checked(missing) else {
                self.head.extend_from_slice(rest);
                return;
            };
            self.head.extend_from_slice(header);
            rest = after;
            self.wanted = match S::role(&self.head) {
                Some(Role::Slice) => SLICE_BYTES,
                Some(Role::Sei | Role::Prefix) => SEI_BYTES,
                Some(Role::ParameterSet) => self.limits.parameter_set_bytes.saturating_add(1),
                _ => S::HEADER_BYTES,
            };
        }
        let take = self.wanted.saturating_sub(self.head.len()).min(rest.len());
        self.head
            .extend_from_slice(rest.get(..take).unwrap_or_default());
    }

    /// Whether there is nothing to do with the next bytes unless they hold a start code.
    fn takes_bytes_as_they_come(&self) -> bool {
        match self.nal {
            Some(_) => self.head.len() >= self.wanted,
            None => self.stray.is_some(),
        }
    }

    /// Ends the NAL unit in the making at `end`; `cut` where what follows is missing.
    fn end_nal(
        &mut self,
        end: u64,
        cut: bool,
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        let Some(nal) = self.nal.take() else {
            if let Some((from, offset)) = self.stray.take() {
                self.dropped(damage, offset, end.saturating_sub(from));
            }
            return Ok(());
        };
        let len = end.saturating_sub(nal.start);
        // The beginning of the next start code may be in it.
        self.head
            .truncate(usize::try_from(len).unwrap_or(usize::MAX));
        let mut head = std::mem::take(&mut self.head);
        let done = self.take_or_hold(nal, end, &head, cut, damage);
        head.clear();
        self.head = head;
        done
    }

    fn take_or_hold(
        &mut self,
        nal: Begun,
        end: u64,
        head: &[u8],
        cut: bool,
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        if !self.holding {
            return self.take_nal(nal, end, head, cut, damage);
        }
        let role = S::role(head);
        // The first slice behind the first parameter sets has all sets of its access unit
        // before it.
        if self.held_bytes > HELD_BYTES || role == Some(Role::Slice) && self.syntax.is_ready() {
            self.release_held(damage)?;
            return self.take_nal(nal, end, head, cut, damage);
        }
        if !cut && role == Some(Role::ParameterSet) {
            self.syntax.parameter_set(head);
        }
        self.held_bytes = self
            .held_bytes
            .saturating_add(head.len())
            .saturating_add(size_of::<Waiting>());
        self.held.push(Waiting::Nal {
            nal,
            end,
            head: head.into(),
            cut,
        });
        Ok(())
    }

    /// Takes what was held as if it came now.
    fn release_held(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.holding = false;
        for held in std::mem::take(&mut self.held) {
            match held {
                Waiting::Nal {
                    nal,
                    end,
                    head,
                    cut,
                } => self.take_nal(nal, end, &head, cut, damage)?,
                Waiting::Lost => self.note_loss(),
            }
        }
        Ok(())
    }

    fn note_loss(&mut self) {
        self.syntax.lost();
        self.ahead.lost |= !self.ahead.is_empty();
    }

    fn take_nal(
        &mut self,
        nal: Begun,
        end: u64,
        head: &[u8],
        cut: bool,
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        let unit = nal.start..end;
        let len = end.saturating_sub(nal.start);
        let role = match S::role(head) {
            Some(role) if head.len() >= S::HEADER_BYTES => role,
            _ => {
                self.dropped(damage, nal.place.offset, len);
                return Ok(());
            }
        };
        if cut && role != Role::Slice {
            self.dropped(damage, nal.place.offset, len);
            return Ok(());
        }
        match role {
            Role::Delimiter => {
                if self.ahead.lost {
                    // Whatever waited for a slice has lost it.
                    let waiting = std::mem::take(&mut self.ahead);
                    self.drop_ahead(&waiting, damage);
                }
                self.ahead.boundary = true;
                self.ahead.place.get_or_insert(nal.place);
                self.ahead.delimiter = Some(nal.place);
            }
            Role::EndOfSequence => {
                self.syntax.end_of_sequence();
                self.add_behind(nal.place, unit, head)?;
                self.ahead.boundary = true;
            }
            Role::Filler => {}
            Role::ParameterSet => {
                let set = if head.len() as u64 == len {
                    self.syntax.parameter_set(head)
                } else {
                    None
                };
                match &set {
                    None => {
                        self.damaged(damage, nal.place.offset, DamageKind::BadParameterSet);
                    }
                    Some(set) => {
                        let held = self
                            .config
                            .as_ref()
                            .is_some_and(|config| S::holds(config, set));
                        self.stale |= !held;
                    }
                }
                self.ahead.add(nal.place, unit, head, set);
            }
            Role::Sei => {
                if let Some(recovery) = S::recovery(head) {
                    self.ahead.recovery = Some(recovery);
                }
                let hdr = self.hdr.updated(HdrMetadata::of_sei(head, S::HEADER_BYTES));
                self.stale |= hdr != self.hdr;
                self.hdr = hdr;
                if let Some(track) = &mut self.track
                    && has_captions(head, S::HEADER_BYTES)
                {
                    track.set_captions();
                }
                self.ahead.add(nal.place, unit, head, None);
            }
            Role::Prefix => self.ahead.add(nal.place, unit, head, None),
            Role::Suffix => self.add_behind(nal.place, unit, head)?,
            Role::Slice => match self.syntax.slice(head) {
                Some(slice) => self.take_slice(nal.place, unit, slice)?,
                None => self.dropped(damage, nal.place.offset, len),
            },
        }
        Ok(())
    }

    /// Adds a NAL unit to the picture that has come, unless the next one has begun.
    fn add_behind(
        &mut self,
        place: NalStart,
        unit: Range<u64>,
        head: &[u8],
    ) -> Result<(), LimitExceeded> {
        if self.open.is_some() && self.ahead.is_empty() {
            return self.pictures.add_unit(unit, &self.limits);
        }
        self.ahead.add(place, unit, head, None);
        Ok(())
    }

    fn drop_ahead(&self, ahead: &Ahead, damage: &mut DamageLog) {
        self.dropped(damage, ahead.offset(), ahead.len());
    }

    /// Sees to what waits for a slice when the segment ends: it belongs to the first picture of the
    /// next one. What is too long to be carried there stays with the last picture of this one, as
    /// does everything where there is no next one.
    fn carry(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let ahead = std::mem::take(&mut self.ahead);
        match ahead.carried().filter(|_| !self.ends) {
            Some(carried) => self.carried = carried,
            None if self.open.is_some() && !ahead.lost => {
                for waiting in ahead.units {
                    if waiting.set.is_none() {
                        self.pictures.add_unit(waiting.unit, &self.limits)?;
                    }
                }
            }
            None => self.drop_ahead(&ahead, damage),
        }
        Ok(())
    }

    fn take_slice(
        &mut self,
        place: NalStart,
        unit: Range<u64>,
        slice: S::Slice,
    ) -> Result<(), LimitExceeded> {
        let ahead = std::mem::take(&mut self.ahead);
        let relation = match &self.open {
            None => Relation::NewPicture,
            Some(open) => match self.syntax.relation(&open.last_slice, &slice) {
                Relation::SecondField if open.second_field => Relation::NewPicture,
                Relation::SamePicture if ahead.boundary => Relation::NewPicture,
                relation => relation,
            },
        };
        let start = match ahead.place {
            // What comes after a loss need not belong to what came before it.
            Some(first) if !ahead.lost || first.pes.is(place.pes) => first,
            _ => place,
        };
        // What comes ahead of a delimiter has no timestamps of its own.
        let begin = match ahead.delimiter {
            Some(delimiter) if !ahead.lost => delimiter,
            _ => start,
        };
        match relation {
            Relation::NewPicture => {
                let (claim, lent) = self.claim(begin.pes, place.pes);
                self.begin_picture(start.offset, claim, lent, &ahead, &slice)?;
            }
            Relation::SecondField => {
                let _ = self.stamps.claim(begin.pes);
                if let Some(open) = self.open.as_mut() {
                    self.syntax.second_field(&open.first_slice, &slice);
                    open.second_field = true;
                }
            }
            Relation::SamePicture => {}
        }
        if let Some(open) = self.open.as_mut() {
            open.last_slice = slice;
        }
        for waiting in &ahead.units {
            let held = match (&self.config, &waiting.set) {
                (Some(config), Some(set)) => S::holds(config, set),
                _ => false,
            };
            if !held {
                self.pictures.add_unit(waiting.unit.clone(), &self.limits)?;
            }
        }
        self.ahead.reuse(ahead);
        self.pictures.add_unit(unit, &self.limits)
    }

    /// The timestamps of a picture that begins in one PES packet and has its first slice in another:
    /// those of the first, unless it has none for it, as where only SEI is left of the picture in the
    /// packet of the one before. Those of the second are then lent, until a picture begins in it that
    /// they belong to.
    fn claim(&mut self, begin: Pes, slice: Pes) -> (Claim, Option<Pes>) {
        let lent = self
            .open
            .as_mut()
            .filter(|open| open.lent.is_some_and(|lent| lent.is(begin)));
        let taken = match lent {
            Some(open) if slice.is(begin) => {
                open.picture.stamp.pts = None;
                open.picture.stamp.dts = None;
                false
            }
            Some(_) => true,
            None => self.stamps.is_claimed(begin),
        };
        if !taken {
            return (self.stamps.claim(begin), None);
        }
        if slice.is(begin) {
            return (Claim::default(), None);
        }
        (self.stamps.look(slice), Some(slice))
    }

    fn begin_picture(
        &mut self,
        offset: u64,
        claim: Claim,
        lent: Option<Pes>,
        ahead: &Ahead,
        slice: &S::Slice,
    ) -> Result<(), LimitExceeded> {
        self.end_picture()?;
        let mut facts = self.syntax.picture(slice, ahead.recovery);
        // 2.4.3.5: nothing else says so in streams whose encoder sends no recovery point messages.
        if facts.random_access == RandomAccess::None && claim.random_access && S::is_intra(slice) {
            facts.random_access = RandomAccess::Open;
        }
        if facts.begins_sequence {
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.update_config(ahead, slice, facts.random_access);
        self.open = Some(Open {
            picture: Picture {
                stamp: Stamp {
                    pts: claim.pts,
                    dts: claim.dts,
                    order: facts.order.map(|order| (self.sequence, order)),
                },
                random_access: facts.random_access,
                leading: facts.leading,
                offset,
            },
            first_slice: *slice,
            last_slice: *slice,
            second_field: false,
            lent,
        });
        Ok(())
    }

    /// A configuration begins at a random access point alone: before the next one, what it does
    /// not hold stays in the samples.
    fn update_config(&mut self, ahead: &Ahead, slice: &S::Slice, random_access: RandomAccess) {
        let own: Vec<Bytes> = ahead
            .units
            .iter()
            .filter_map(|waiting| waiting.set.clone())
            .collect();
        let due = random_access.is_sync() && (self.stale || !own.is_empty());
        if !due && self.config.is_some() {
            return;
        }
        if let Some(mut config) = self.syntax.config(&own, slice) {
            if let Some(video) = config.video_mut() {
                video.hdr = self.hdr;
            }
            if self.config.as_deref() != Some(&config) {
                self.config = Some(Arc::new(config));
            }
            self.stale = false;
        }
    }

    fn end_picture(&mut self) -> Result<(), LimitExceeded> {
        match self.open.take() {
            Some(open) => self
                .pictures
                .end(open.picture, self.config.as_ref(), &self.limits),
            None => Ok(()),
        }
    }
}

impl<S: Syntax> Assemble for NalAssembler<S> {
    fn begin_segment(&mut self, segment_len: u64, stride: u16) -> Result<(), LimitExceeded> {
        self.track = Some(TrackBuilder::new(
            u32::from(self.pid),
            TrackKind::Video,
            TrackTiming::Exact {
                timescale: CLOCK_90K,
            },
            segment_len,
            stride,
            true,
            &self.limits,
        )?);
        self.stamps.restart();
        self.nal = None;
        self.stray = None;
        self.open = None;
        self.holding = !self.syntax.is_ready();
        self.held.clear();
        self.held_bytes = 0;
        self.ahead = Ahead::default();
        self.ends = false;
        self.pictures.clear();
        if let Some(track) = &mut self.track {
            self.ahead.take_carried(&mut self.carried, track)?;
        }
        self.scanner.restart(self.position());
        Ok(())
    }

    fn pes(&mut self, start: PesStart, _damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.stamps.begin(self.position(), start);
        Ok(())
    }

    fn payload(
        &mut self,
        offset: u64,
        bytes: &[u8],
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        let Some(track) = self.track.as_mut() else {
            return Ok(());
        };
        let position = track.position();
        track.push_piece(offset, bytes.len())?;
        if self.nal.is_none() {
            self.stray.get_or_insert((position, offset));
        }
        let mut from = 0;
        while let Some(code) = self.scanner.next(position, bytes, from) {
            self.keep_head(bytes.get(from..code.after).unwrap_or_default());
            self.end_nal(code.content_end, false, damage)?;
            let after = code.after as u64;
            self.begin_nal(position.saturating_add(after), offset.saturating_add(after));
            from = code.after;
        }
        self.keep_head(bytes.get(from..).unwrap_or_default());
        Ok(())
    }

    fn run(&mut self, run: Run<'_>, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let mut rest = run;
        while let Some(payload) = rest.payloads().next() {
            let position = self.position();
            let passed = if self.takes_bytes_as_they_come() {
                self.scanner.pass(position, &rest)
            } else {
                0
            };
            let offset = rest.payload_offset() as u64;
            if passed == 0 {
                self.payload(offset, payload, damage)?;
            } else if let Some(track) = self.track.as_mut() {
                // 184, and no more than the longest run.
                track.push_pieces(offset, Run::PAYLOAD_LEN as u16, passed as u16)?;
            }
            rest = rest.split_at(passed.max(1)).1;
        }
        Ok(())
    }

    fn lost(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        if let Some(nal) = self.nal {
            self.damaged(damage, nal.place.offset, DamageKind::TruncatedAccessUnit);
        }
        let position = self.position();
        self.end_nal(position, true, damage)?;
        self.scanner.restart(position);
        if self.ahead.place.is_none() {
            // What was carried here belongs to a picture that is missing.
            let waiting = std::mem::take(&mut self.ahead);
            self.drop_ahead(&waiting, damage);
        }
        if self.holding {
            self.held.push(Waiting::Lost);
        } else {
            self.note_loss();
        }
        Ok(())
    }

    fn end_of_stream(&mut self, _: &mut DamageLog) -> Result<(), LimitExceeded> {
        self.ends = true;
        Ok(())
    }

    fn end_segment(&mut self, damage: &mut DamageLog) -> Result<TrackIndex, LimitExceeded> {
        self.end_nal(self.scanner.content_end(), false, damage)?;
        self.release_held(damage)?;
        self.carry(damage)?;
        self.end_picture()?;
        let Some(track) = self.track.take() else {
            self.begin_segment(0, 188)?;
            return self.end_segment(damage);
        };
        self.pictures
            .finish(track, self.pid, self.config.as_ref(), damage)
    }
}
