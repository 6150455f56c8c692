//! Packed audio: frames of sound without any container, behind an ID3 tag that tells when the first
//! one is due (RFC 8216, 3.4; ID3v2.4 structure and frames, <https://id3.org/id3v2.4.0-structure>).

use clipmill_media::{DamageLog, LimitExceeded, Limits, SegmentIndex, TrackIndex};

use crate::assemble::{Assemble, PesStart};
use crate::audio::{AudioAssembler, AudioKind, tags};
use crate::clock::Clock;
use crate::error::IndexError;

/// The owner of the `PRIV` frame that holds the timestamp.
const OWNER: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";

/// How much is given to the assembler at once: it keeps a copy of what is not decided.
const CHUNK: usize = 1 << 16;

/// The stride of contiguous payload: the longest piece of an extent, so that pieces join.
const STRIDE: u16 = u16::MAX;

/// Indexes segments of packed audio, one after the other: AAC in ADTS, MPEG audio, AC-3 or E-AC-3.
///
/// Timestamps are those of MPEG-TS, unrolled in the same way. A first segment without one begins at
/// 0, a later one where the last segment ended.
#[derive(Debug)]
pub struct PackedAudio {
    limits: Limits,
    clock: Clock,
    stream: Option<(AudioKind, AudioAssembler)>,
    discontinuous: bool,
    ends: bool,
}

impl PackedAudio {
    /// An indexer that has seen nothing.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            clock: Clock::default(),
            stream: None,
            discontinuous: false,
            ends: false,
        }
    }

    /// Whether `segment` begins like packed audio.
    #[must_use]
    pub fn looks_like(segment: &[u8]) -> bool {
        AudioKind::of(Tags::of(segment).rest).is_some()
    }

    /// Whether the last segment ended inside a frame: the next one may begin with the rest of it.
    #[must_use]
    pub fn is_inside_frame(&self) -> bool {
        let pending = self.stream.as_ref().map(|(_, stream)| stream.is_pending());
        pending.unwrap_or_default() && !self.discontinuous
    }

    /// Tells that the next segment does not follow the last one.
    pub fn discontinuity(&mut self) {
        self.discontinuous = true;
    }

    /// Tells that nothing follows the next segment: a frame that it does not hold to its end is cut
    /// off.
    pub fn end_of_stream(&mut self) {
        self.ends = true;
    }

    /// Indexes the next segment. Damage inside it is no error.
    ///
    /// # Errors
    /// When it does not begin with a frame or the rest of one, behind the tags that it may have, or a
    /// limit is exceeded.
    pub fn index(&mut self, segment: &[u8]) -> Result<SegmentIndex, IndexError> {
        if segment.is_empty() {
            return Err(IndexError::Empty);
        }
        let len = segment.len() as u64;
        let limit = self.limits.segment_bytes.min(u64::from(u32::MAX));
        LimitExceeded::check("segment size in bytes", len, limit)?;
        let tags = Tags::of(segment);
        let continued = self.stream.as_ref().map(|(kind, _)| *kind);
        let kind = AudioKind::of(tags.rest)
            .or(continued.filter(|_| self.is_inside_frame()))
            .ok_or(IndexError::NoFrame)?;
        let mut damage = DamageLog::with_capacity(self.limits.damages);
        let result = self.frames(segment, kind, &tags, &mut damage);
        if result.is_err() {
            // Stopped in the middle of a segment, it is of no use for the next.
            self.stream = None;
        }
        let track = result?;
        damage.forget_pids();
        Ok(SegmentIndex {
            segment_len: len,
            tracks: vec![track],
            events: Vec::new(),
            service: None,
            declined: Vec::new(),
            notes: Vec::new(),
            left_scrambled: false,
            damage,
            lacks_parameter_sets: false,
        })
    }

    fn frames(
        &mut self,
        segment: &[u8],
        kind: AudioKind,
        tags: &Tags<'_>,
        damage: &mut DamageLog,
    ) -> Result<TrackIndex, LimitExceeded> {
        let stated = tags.timestamp.map(|raw| self.clock.single(raw));
        let known = self.stream.take().filter(|(known, _)| *known == kind);
        let (pts, mut assembler) = match known {
            Some((_, assembler)) => (stated, assembler),
            None => {
                let language = clipmill_media::Language::UNDETERMINED;
                let new = AudioAssembler::new(0, kind, language, &self.limits);
                (stated.or(Some(0)), new)
            }
        };
        assembler.begin_segment(segment.len() as u64, STRIDE)?;
        if std::mem::take(&mut self.discontinuous) {
            assembler.lost(damage)?;
        }
        let mut offset = segment.len().saturating_sub(tags.rest.len()) as u64;
        if pts.is_some() {
            let start = PesStart {
                pts,
                aligned: true,
                offset,
                ..PesStart::default()
            };
            assembler.pes(start, damage)?;
        }
        for chunk in tags.rest.chunks(CHUNK) {
            assembler.payload(offset, chunk, damage)?;
            offset = offset.saturating_add(chunk.len() as u64);
        }
        if std::mem::take(&mut self.ends) {
            assembler.end_of_stream(damage)?;
        }
        let track = assembler.end_segment(damage)?;
        self.stream = Some((kind, assembler));
        Ok(track)
    }
}

/// The ID3 tags at the start of a segment.
pub(crate) struct Tags<'a> {
    /// 33 bits.
    timestamp: Option<u64>,
    /// What follows them.
    pub(crate) rest: &'a [u8],
}

impl<'a> Tags<'a> {
    pub(crate) fn of(segment: &'a [u8]) -> Self {
        let mut tags = Self {
            timestamp: None,
            rest: segment,
        };
        while let Some((version, body, rest)) = tag(tags.rest) {
            tags.timestamp = tags.timestamp.or_else(|| timestamp(version, body));
            tags.rest = rest;
        }
        tags
    }
}

/// Major version and body of the tag at the start of `bytes`, and what follows it (structure, 3.1). Tags of
/// the first version have no frames.
fn tag(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let tags::TagStart::Tag(len) = tags::find(bytes) else {
        return None;
    };
    let (tag, rest) = bytes.split_at_checked(len)?;
    let &[b'I', b'D', b'3', version, _, flags, ..] = tag else {
        return Some((1, &[], rest));
    };
    let footer = if flags & 0x10 == 0 {
        0
    } else {
        tags::FOOTER_LEN
    };
    let body = tag.get(tags::HEADER_LEN..tag.len().checked_sub(footer)?)?;
    Some((version, body, rest))
}

/// Seven bits in each byte (structure, 6.2).
fn syncsafe(bytes: [u8; 4]) -> u32 {
    let join = |value: u32, byte: u8| (value << 7) | u32::from(byte & 0x7f);
    bytes.into_iter().fold(0, join)
}

/// The timestamp among the frames of a tag (frames, 4.27).
fn timestamp(version: u8, mut frames: &[u8]) -> Option<u64> {
    loop {
        let &[ref id @ .., a, b, c, d, _, _] = frames.first_chunk::<10>()?;
        let size = match version {
            4 => syncsafe([a, b, c, d]),
            _ => u32::from_be_bytes([a, b, c, d]),
        };
        let (body, rest) = frames
            .get(10..)?
            .split_at_checked(usize::try_from(size).ok()?)?;
        if id == b"PRIV"
            && let Some(value) = body.strip_prefix(OWNER)
        {
            let value = u64::from_be_bytes(*value.first_chunk()?);
            return Some(value & 0x1_ffff_ffff);
        }
        frames = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id3(timestamp: u64) -> Vec<u8> {
        let mut out = b"ID3\x04\0\0\0\0\0\x3fPRIV\0\0\0\x35\0\0".to_vec();
        out.extend_from_slice(OWNER);
        out.extend(timestamp.to_be_bytes());
        out
    }

    /// AAC LC, 48 kHz, stereo, 40 bytes with the header.
    fn adts(fill: u8) -> Vec<u8> {
        let mut out = vec![0xff, 0xf1, 0x4c, 0x80, 0x05, 0x1f, 0xfc];
        out.extend([fill; 33]);
        out
    }

    fn segment(timestamp: Option<u64>, frames: u8) -> Vec<u8> {
        let mut out = timestamp.map_or(Vec::new(), id3);
        out.extend((0..frames).flat_map(adts));
        out
    }

    fn indexer() -> PackedAudio {
        PackedAudio::new(&Limits::default())
    }

    fn times(index: &SegmentIndex) -> Vec<i64> {
        let samples = index.tracks[0].samples().iter();
        samples.map(|sample| sample.dts).collect()
    }

    #[test]
    fn frames_begin_at_the_timestamp() {
        let mut audio = indexer();
        let first = segment(Some(900_000), 3);
        let index = audio.index(&first).unwrap();
        assert_eq!(times(&index), [900_000, 901_920, 903_840]);
        let mut out = Vec::new();
        index.tracks[0].gather(&first, 1..2, &mut out).unwrap();
        assert_eq!(out, [1; 33]);
        // No timestamp: behind the last one. A wrap is unrolled.
        assert_eq!(times(&audio.index(&segment(None, 1)).unwrap()), [905_760]);
        let mut late = indexer();
        let last = (1 << 33) - 1_920;
        late.index(&segment(Some(last), 1)).unwrap();
        let after = late.index(&segment(Some(0), 1)).unwrap();
        assert_eq!(times(&after), [1 << 33]);
        assert!(after.damage.is_empty());
    }

    #[test]
    fn a_first_segment_without_a_timestamp_begins_at_zero() {
        assert_eq!(
            times(&indexer().index(&segment(None, 2)).unwrap()),
            [0, 1_920]
        );
    }

    #[test]
    fn long_segments_come_in_chunks() {
        let long = segment(Some(0), 250);
        let many: Vec<u8> = [id3(0), (0..5_000).flat_map(|n| adts(n as u8)).collect()].concat();
        assert!(many.len() > 2 * CHUNK && long.len() < CHUNK);
        let index = indexer().index(&many).unwrap();
        assert_eq!(index.tracks[0].samples().len(), 5_000);
        let mut out = Vec::new();
        index.tracks[0].gather(&many, 0..5_000, &mut out).unwrap();
        assert_eq!(out.len(), 5_000 * 33);
        assert!(index.damage.is_empty());
    }

    #[test]
    fn tags_between_frames_and_a_last_frame_that_is_cut_off() {
        let tag = b"ID3\x04\0\0\0\0\0\x0aTXXX\0\0\0\0\0\0";
        let mut parts = vec![tag.to_vec(), adts(1), tag.to_vec(), adts(2), adts(3)];
        parts.push(id3(7));
        parts.push(adts(4));
        let whole = parts.concat();
        let mut audio = indexer();
        audio.end_of_stream();
        let index = audio.index(&whole).unwrap();
        assert_eq!(times(&index), [0, 1_920, 3_840, 5_760]);
        assert!(index.damage.is_empty(), "{:?}", index.damage);
        let cut = &whole[..whole.len() - 11];
        let index = audio.index(cut).unwrap();
        assert!(index.damage.is_empty(), "it may go on");
        let mut audio = indexer();
        audio.end_of_stream();
        let index = audio.index(cut).unwrap();
        assert_eq!(index.tracks[0].samples().len(), 3);
        let [damage] = index.damage.kept() else {
            panic!("{:?}", index.damage)
        };
        let (offset, kind) = (damage.offset, damage.kind.to_string());
        assert_eq!(offset, whole.len() as u64 - 40);
        assert_eq!(
            kind,
            "frame cut off and left out, 29 of its 40 bytes are there"
        );
    }

    /// What is a tag, and how long it is, is the same at the beginning of a segment and between frames.
    #[test]
    fn tags_ahead_of_the_timestamp() {
        let old = [b"TAG".as_slice(), &[b' '; 125]].concat();
        let footer = b"ID3\x04\0\x10\0\0\0\x0aTXXX\0\0\0\0\0\x003DI\x04\0\x10\0\0\0\x0a";
        for ahead in [old.as_slice(), footer] {
            let bytes = [ahead, &segment(Some(900_000), 2)].concat();
            assert!(PackedAudio::looks_like(&bytes));
            assert_eq!(times(&indexer().index(&bytes).unwrap()), [900_000, 901_920]);
        }
        // A length that is none: no tag.
        let mut insane = segment(Some(900_000), 2);
        insane[6] |= 0x80;
        assert!(!PackedAudio::looks_like(&insane));
    }

    #[test]
    fn what_is_none_is_an_error() {
        assert_eq!(indexer().index(&[]), Err(IndexError::Empty));
        assert_eq!(indexer().index(b"WEBVTT\n\n"), Err(IndexError::NoFrame));
        assert_eq!(indexer().index(&id3(7)), Err(IndexError::NoFrame));
        assert!(!PackedAudio::looks_like(&[0x47; 188]));
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        ) {
            let mut bytes = segment(Some(5), 20);
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let mut audio = indexer();
            for _ in 0..2 {
                if let Ok(index) = audio.index(&bytes) {
                    let track = &index.tracks[0];
                    let mut out = Vec::new();
                    track.gather(&bytes, 0..track.samples().len(), &mut out).unwrap();
                }
            }
        }
    }
}
