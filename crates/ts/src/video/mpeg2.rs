//! MPEG-2 and MPEG-1 video in access units (ISO/IEC 13818-1, 2.1.1: a coded picture with all the
//! headers before it; Rec. ITU-T H.262, 6.1.1 and 6.2). The two fields of a frame are one sample.
//!
//! There are no NAL units: a sample is a stretch of the stream, start codes included.

use std::sync::Arc;

use bytes::Bytes;
use clipmill_media::codec::mpeg2video::{
    GroupHeader, PictureHeader, PictureStructure, PictureType, is_sequence_extension, start_code,
};
use clipmill_media::{
    CLOCK_90K, CodecConfig, Damage, DamageKind, DamageLog, Leading, LimitExceeded, Limits,
    Mpeg2VideoConfig, RandomAccess, TrackBuilder, TrackIndex, TrackKind, TrackTiming,
};

use super::believed::Stamp;
use super::pictures::{Picture, Pictures};
use super::scan::Scanner;
use super::stamps::{Claim, Pes, Stamps};
use crate::assemble::{Assemble, PesStart};

/// A start code and what follows it, as far as it has come.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// Position of the start code.
    start: u64,
    /// Byte offset in the segment, about there.
    offset: u64,
    pes: Pes,
    /// The slice that it begins has been seen to.
    sliced: bool,
}

/// Headers that wait for their first slice.
#[derive(Debug, Default)]
struct Ahead {
    /// Position at which the access unit begins, and its offset in the segment.
    begin: Option<(u64, u64)>,
    /// Where the bytes end of which more were lost.
    cut: Option<u64>,
    /// Sequence header with its extensions.
    sequence: Vec<u8>,
    group: Option<GroupHeader>,
    picture: Option<(PictureHeader, Pes)>,
    structure: PictureStructure,
}

/// An access unit of which slices have come.
#[derive(Debug)]
struct Open {
    picture: Picture,
    /// Position of the first byte that is not yet a unit; `None` after a loss.
    from: Option<u64>,
    header: PictureHeader,
    structure: PictureStructure,
    second_field: bool,
    last_slice: u8,
}

/// The first I-picture of the group of pictures at hand.
#[derive(Debug, Clone, Copy)]
struct GroupStart {
    temporal_reference: u16,
    closed: bool,
}

/// Access units of MPEG-2 video, and of MPEG-1 video.
#[derive(Debug)]
pub(crate) struct Mpeg2Assembler {
    pid: u16,
    limits: Limits,
    track: Option<TrackBuilder>,
    scanner: Scanner,
    stamps: Stamps,
    code: Option<Begun>,
    head: Vec<u8>,
    wanted: usize,
    ahead: Ahead,
    open: Option<Open>,
    /// Bytes were lost since the last slice.
    lost: bool,
    /// Bytes that belong to no access unit: how many, and where the first one is.
    stray: Option<(u64, u64)>,
    groups: u32,
    group_start: Option<GroupStart>,
    pictures: Pictures,
    config: Option<Arc<CodecConfig>>,
}

impl Mpeg2Assembler {
    pub(crate) fn new(pid: u16, limits: &Limits) -> Self {
        Self {
            pid,
            limits: limits.clone(),
            track: None,
            scanner: Scanner::new(),
            stamps: Stamps::default(),
            code: None,
            head: Vec::new(),
            wanted: 0,
            ahead: Ahead::default(),
            open: None,
            lost: false,
            stray: None,
            groups: 0,
            group_start: None,
            pictures: Pictures::default(),
            config: None,
        }
    }

    fn position(&self) -> u64 {
        self.track.as_ref().map_or(0, TrackBuilder::position)
    }

    fn keep_head(&mut self, bytes: &[u8]) {
        if self.head.len() >= self.wanted || self.code.is_none() {
            return;
        }
        if let (true, Some(&code)) = (self.head.is_empty(), bytes.first()) {
            self.wanted = match code {
                // Two matrices of 64 bytes behind eight of parameters.
                start_code::SEQUENCE => 140,
                start_code::EXTENSION => 16,
                start_code::PICTURE | start_code::GROUP => 8,
                _ => 1,
            };
        }
        let take = self.wanted.saturating_sub(self.head.len()).min(bytes.len());
        self.head
            .extend_from_slice(bytes.get(..take).unwrap_or_default());
    }

    /// A slice need not have ended for its picture to have begun.
    fn begin_slice(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let (Some(code), Some(&number)) = (self.code.as_mut(), self.head.first()) else {
            return Ok(());
        };
        if code.sliced || !(1..=start_code::LAST_SLICE).contains(&number) {
            return Ok(());
        }
        code.sliced = true;
        let code = *code;
        if self.ahead.picture.is_some() {
            self.begin_picture(damage)?;
        }
        let lost = std::mem::take(&mut self.lost);
        match self.open.as_mut() {
            // The header of the picture to which it belongs was among what was lost.
            Some(open) if lost && number <= open.last_slice => {
                self.end_picture(None)?;
                self.note_stray(code.start, code.offset);
            }
            Some(open) => {
                open.from.get_or_insert(code.start);
                open.last_slice = number;
                self.report_stray(code.start, damage);
            }
            None => self.note_stray(code.start, code.offset),
        }
        Ok(())
    }

    /// Ends what began with the last start code, at the next one or at the end of the data.
    fn end_code(
        &mut self,
        end: u64,
        cut: bool,
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded> {
        self.begin_slice(damage)?;
        let Some(code) = self.code.take() else {
            return Ok(());
        };
        let len = end.saturating_sub(code.start).saturating_sub(3);
        self.head
            .truncate(usize::try_from(len).unwrap_or(usize::MAX));
        let head = std::mem::take(&mut self.head);
        if !cut {
            self.take_header(code, &head);
        }
        self.head = head;
        self.head.clear();
        Ok(())
    }

    fn take_header(&mut self, code: Begun, head: &[u8]) {
        let begin = (code.start, code.offset);
        match head.first() {
            Some(&start_code::SEQUENCE) => {
                self.ahead.begin.get_or_insert(begin);
                self.ahead.sequence.clear();
                self.ahead.sequence.extend_from_slice(&[0, 0, 1]);
                self.ahead.sequence.extend_from_slice(head);
            }
            Some(&start_code::EXTENSION) => {
                if self.ahead.picture.is_none() && is_sequence_extension(head) {
                    if !self.ahead.sequence.is_empty() {
                        self.ahead.sequence.extend_from_slice(&[0, 0, 1]);
                        self.ahead.sequence.extend_from_slice(head);
                    }
                } else if let Some(structure) = PictureStructure::parse(head) {
                    self.ahead.structure = structure;
                }
            }
            Some(&start_code::GROUP) => {
                self.ahead.begin.get_or_insert(begin);
                self.ahead.group = GroupHeader::parse(head);
            }
            Some(&start_code::PICTURE) => {
                self.ahead.begin.get_or_insert(begin);
                self.ahead.structure = PictureStructure::Frame;
                self.ahead.picture = PictureHeader::parse(head).map(|header| (header, code.pes));
            }
            _ => {}
        }
    }

    fn begin_picture(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let ahead = std::mem::take(&mut self.ahead);
        let (Some((header, pes)), Some((start, offset))) = (ahead.picture, ahead.begin) else {
            return Ok(());
        };
        self.report_stray(start, damage);
        let Claim { pts, dts, .. } = self.stamps.claim(pes);
        if let Some(open) = self.open.as_mut()
            && open.is_completed_by(&ahead)
        {
            open.second_field = true;
            open.last_slice = 0;
            if let Some(cut) = ahead.cut {
                let from = open.from.take().unwrap_or(start);
                self.pictures.add_unit(from..cut, &self.limits)?;
            } else {
                open.from.get_or_insert(start);
            }
            return Ok(());
        }
        self.end_picture(Some(start))?;
        if !ahead.sequence.is_empty() {
            self.set_config(ahead.sequence);
        }
        if ahead.group.is_some() {
            self.groups = self.groups.wrapping_add(1);
            self.group_start = None;
        }
        let mut picture = Picture {
            stamp: Stamp {
                pts,
                dts,
                order: Some((self.groups, i64::from(header.temporal_reference))),
            },
            offset,
            ..Picture::default()
        };
        self.classify(&mut picture, header, ahead.group);
        if let Some(cut) = ahead.cut {
            self.pictures.add_unit(start..cut, &self.limits)?;
        }
        self.open = Some(Open {
            picture,
            from: ahead.cut.is_none().then_some(start),
            header,
            structure: ahead.structure,
            second_field: false,
            last_slice: 0,
        });
        Ok(())
    }

    fn classify(
        &mut self,
        picture: &mut Picture,
        header: PictureHeader,
        group: Option<GroupHeader>,
    ) {
        match header.picture_type {
            PictureType::I => {
                let closed = group.is_some_and(|group| group.closed && !group.broken_link);
                self.group_start = Some(GroupStart {
                    temporal_reference: header.temporal_reference,
                    closed,
                });
                // Even a closed group may begin with pictures that are displayed before this one.
                picture.random_access = if closed && header.temporal_reference == 0 {
                    RandomAccess::Closed
                } else {
                    RandomAccess::Open
                };
            }
            PictureType::B => {
                let decodable = self.group_start.is_some_and(|start| {
                    start.closed && header.temporal_reference < start.temporal_reference
                });
                picture.leading = decodable.then_some(Leading::Decodable);
            }
            PictureType::P | PictureType::D => {}
        }
    }

    fn set_config(&mut self, sequence: Vec<u8>) {
        let same = match self.config.as_deref() {
            Some(CodecConfig::Mpeg2Video(config)) => config.sequence_header == sequence,
            _ => false,
        };
        if same {
            return;
        }
        if let Some(config) = Mpeg2VideoConfig::from_sequence_header(Bytes::from(sequence)) {
            self.config = Some(Arc::new(CodecConfig::Mpeg2Video(config)));
        }
    }

    /// Ends the access unit in the making; its last bytes end at `end`, if they are not yet a unit.
    fn end_picture(&mut self, end: Option<u64>) -> Result<(), LimitExceeded> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        if let (Some(from), Some(end)) = (open.from, end) {
            self.pictures.add_unit(from..end, &self.limits)?;
        }
        self.pictures
            .end(open.picture, self.config.as_ref(), &self.limits)
    }

    fn note_stray(&mut self, position: u64, offset: u64) {
        self.stray.get_or_insert((position, offset));
    }

    fn report_stray(&mut self, end: u64, damage: &mut DamageLog) {
        if let Some((from, offset)) = self.stray.take() {
            let dropped = end.saturating_sub(from);
            if dropped > 0 {
                damage.push(Damage {
                    offset,
                    pid: Some(self.pid),
                    kind: DamageKind::LostBytes { dropped },
                });
            }
        }
    }
}

impl Open {
    /// Whether what waits is the other field of this frame.
    fn is_completed_by(&self, ahead: &Ahead) -> bool {
        let opposite = matches!(
            (self.structure, ahead.structure),
            (PictureStructure::TopField, PictureStructure::BottomField)
                | (PictureStructure::BottomField, PictureStructure::TopField)
        );
        let same_frame = ahead
            .picture
            .is_some_and(|(header, _)| header.temporal_reference == self.header.temporal_reference);
        let alone = ahead.sequence.is_empty() && ahead.group.is_none();
        opposite && same_frame && alone && !self.second_field
    }
}

impl Assemble for Mpeg2Assembler {
    fn begin_segment(&mut self, segment_len: u64, stride: u16) -> Result<(), LimitExceeded> {
        self.track = Some(TrackBuilder::new(
            u32::from(self.pid),
            TrackKind::Video,
            TrackTiming::Exact {
                timescale: CLOCK_90K,
            },
            segment_len,
            stride,
            false,
            &self.limits,
        )?);
        self.scanner.restart(0);
        self.stamps.restart();
        self.code = None;
        self.ahead = Ahead::default();
        self.open = None;
        self.lost = false;
        self.stray = None;
        self.pictures.clear();
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
        if self.code.is_none() {
            self.note_stray(position, offset);
        }
        let mut from = 0;
        while let Some(code) = self.scanner.next(position, bytes, from) {
            let start = position.saturating_add(code.after as u64).saturating_sub(3);
            self.keep_head(bytes.get(from..code.after).unwrap_or_default());
            self.end_code(start, false, damage)?;
            self.code = Some(Begun {
                start,
                offset: offset.saturating_add(code.after as u64),
                pes: self.stamps.at(start),
                sliced: false,
            });
            self.wanted = 1;
            from = code.after;
        }
        self.keep_head(bytes.get(from..).unwrap_or_default());
        Ok(())
    }

    fn lost(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let position = self.position();
        if let Some(code) = self.code {
            damage.push(Damage {
                offset: code.offset,
                pid: Some(self.pid),
                kind: DamageKind::TruncatedAccessUnit,
            });
        }
        self.end_code(position, true, damage)?;
        let end = self.ahead.begin.map_or(position, |(begin, _)| begin);
        if let Some(from) = self.open.as_mut().and_then(|open| open.from.take()) {
            self.pictures.add_unit(from..end, &self.limits)?;
        }
        if self.ahead.begin.is_some() {
            self.ahead.cut.get_or_insert(position);
        }
        self.scanner.restart(position);
        self.lost = true;
        Ok(())
    }

    fn end_segment(&mut self, damage: &mut DamageLog) -> Result<TrackIndex, LimitExceeded> {
        let position = self.position();
        self.end_code(position, false, damage)?;
        let end = self.ahead.begin.map_or(position, |(begin, _)| begin);
        self.end_picture(Some(end))?;
        if let Some((begin, offset)) = self.ahead.begin {
            self.note_stray(begin, offset);
        }
        self.report_stray(position, damage);
        let Some(track) = self.track.take() else {
            self.begin_segment(0, 188)?;
            return self.end_segment(damage);
        };
        self.pictures
            .finish(track, self.pid, self.config.as_ref(), damage)
    }
}
