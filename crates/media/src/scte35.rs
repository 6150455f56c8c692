//! Digital programme insertion cueing messages (ANSI/SCTE 35): `splice_info_section`s, which say where on the line of
//! presentation timestamps a programme is left and come back to.
//!
//! What clips and markers need is read: the command and the segmentation descriptors. All else is passed over.

use bytes::Bytes;

use crate::codec::bits::BitReader;

/// `table_id` of a `splice_info_section` (9.6).
const TABLE_ID: u8 = 0xfc;

/// Presentation timestamps have 33 bits.
const PTS_MASK: u64 = (1 << 33) - 1;

/// `splice_command_length` where nobody says how long the command is (9.6.1).
const UNKNOWN_LENGTH: u16 = 0xfff;

/// `identifier` of the descriptors of this standard (10.2): `CUEI`.
const CUEI: u32 = 0x4355_4549;

/// `splice_descriptor_tag` of a `segmentation_descriptor` (10.1).
const SEGMENTATION: u8 = 0x02;

/// A `splice_info_section` (9.6).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpliceInfo {
    /// What it wants done.
    pub command: SpliceCommand,
    /// Its `segmentation_descriptor`s (10.3.3), in order.
    pub segmentations: Vec<Segmentation>,
}

/// `splice_command` (9.7). Timestamps are presentation timestamps of 33 bits, in 90 kHz ticks, `pts_adjustment` added.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpliceCommand {
    /// `splice_null`: nothing.
    Null,
    /// `splice_insert`.
    Insert(SpliceInsert),
    /// `time_signal`: what is due then stands in the descriptors. `None`: at once.
    TimeSignal(Option<u64>),
    /// Another one, with its `splice_command_type`.
    Other(u8),
    /// It is encrypted, as are the descriptors, of which none is read then.
    Encrypted,
}

/// `splice_insert` (9.7.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SpliceInsert {
    /// `splice_event_id`.
    pub event_id: u32,
    /// `splice_event_cancel_indicator`: what was announced is not done.
    pub cancelled: bool,
    /// `out_of_network_indicator`: the programme is left; else it is come back to.
    pub out: bool,
    /// When; `None`: at once. Where components have times of their own, that of the first.
    pub pts: Option<u64>,
    /// `break_duration`, in 90 kHz ticks.
    pub duration: Option<u64>,
    /// `auto_return`: the programme is come back to when that is over, without another word.
    pub auto_return: bool,
}

/// `segmentation_descriptor` (10.3.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Segmentation {
    /// `segmentation_event_id`.
    pub event_id: u32,
    /// `segmentation_event_cancel_indicator`: what was announced is not done.
    pub cancelled: bool,
    /// `segmentation_duration`, in 90 kHz ticks.
    pub duration: Option<u64>,
    /// `segmentation_upid_type`.
    pub upid_type: u8,
    /// `segmentation_upid`.
    pub upid: Bytes,
    /// `segmentation_type_id`.
    pub type_id: u8,
}

/// Why a section is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpliceError {
    /// It is another one: `table_id` is not 0xFC.
    NotSplice,
    /// It ends early: what was read at this bit is not all there.
    Truncated(usize),
    /// Its check sum is wrong.
    Damaged,
}

impl std::fmt::Display for SpliceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSplice => f.write_str("no splice_info_section"),
            Self::Truncated(bit) => write!(f, "splice_info_section: ends at bit {bit}"),
            Self::Damaged => f.write_str("splice_info_section: wrong check sum"),
        }
    }
}

impl std::error::Error for SpliceError {}

impl SpliceInfo {
    /// Reads a section, from `table_id` to `CRC_32`; what follows is left alone.
    ///
    /// # Errors
    /// When it is none, or damaged.
    pub fn parse(section: &[u8]) -> Result<Self, SpliceError> {
        let whole = whole(section)?;
        if crc32(whole) != 0 {
            return Err(SpliceError::Damaged);
        }
        Self::of(whole)
    }

    /// Reads a section without a look at its check sum.
    fn of(whole: &[u8]) -> Result<Self, SpliceError> {
        let content = whole.get(..whole.len().saturating_sub(4));
        let mut bits = BitReader::new(content.unwrap_or_default());
        read(&mut bits).ok_or(SpliceError::Truncated(bits.position()))
    }

    /// Reads a section as `SCTE35-OUT`, `SCTE35-IN` and `SCTE35-CMD` of `EXT-X-DATERANGE` have it (RFC 8216, 4.3.2.7.1):
    /// `0x` and hexadecimal digits. Its check sum is not looked at: a text is not damaged on its way, and examples
    /// have zeros there.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_hex(text: &str) -> Result<Self, SpliceError> {
        let digits = text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix("0X"))
            .ok_or(SpliceError::NotSplice)?;
        let mut section = Vec::with_capacity(digits.len() >> 1);
        for pair in digits.as_bytes().chunks(2) {
            let pair = std::str::from_utf8(pair).map_err(|_| SpliceError::NotSplice)?;
            let is_hex = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            let byte = u8::from_str_radix(pair, 16).ok().filter(|_| is_hex);
            section.push(byte.ok_or(SpliceError::NotSplice)?);
        }
        Self::of(whole(&section)?)
    }

    /// When it is due: a presentation timestamp of 33 bits, `pts_adjustment` added; `None`: at once.
    #[must_use]
    pub fn pts(&self) -> Option<u64> {
        match &self.command {
            SpliceCommand::Insert(insert) => insert.pts,
            SpliceCommand::TimeSignal(pts) => *pts,
            SpliceCommand::Null | SpliceCommand::Other(_) | SpliceCommand::Encrypted => None,
        }
    }
}

/// A section without what follows it.
fn whole(section: &[u8]) -> Result<&[u8], SpliceError> {
    if section.first() != Some(&TABLE_ID) {
        return Err(SpliceError::NotSplice);
    }
    let length = match section {
        [_, high, low, ..] => u16::from_be_bytes([high & 0x0f, *low]),
        _ => return Err(SpliceError::Truncated(8)),
    };
    let whole = section.get(..usize::from(length).saturating_add(3));
    whole.ok_or(SpliceError::Truncated(section.len().saturating_mul(8)))
}

fn read(bits: &mut BitReader<'_>) -> Option<SpliceInfo> {
    // table_id to protocol_version.
    bits.skip(32)?;
    let encrypted = bits.flag()?;
    // encryption_algorithm
    bits.skip(6)?;
    let adjustment = bits.u64(33)?;
    // cw_index, tier
    bits.skip(20)?;
    let length = bits.u16(12)?;
    if encrypted {
        // Where it begins: splice_command_type is encrypted, too.
        return Some(SpliceInfo {
            command: SpliceCommand::Encrypted,
            segmentations: Vec::new(),
        });
    }
    let kind = bits.u8(8)?;
    let begin = bits.position();
    let command = match kind {
        0x00 => SpliceCommand::Null,
        0x05 => SpliceCommand::Insert(insert(bits, adjustment)?),
        0x06 => SpliceCommand::TimeSignal(splice_time(bits, adjustment)?),
        other => SpliceCommand::Other(other),
    };
    let read = bits.position().saturating_sub(begin);
    let declared = usize::from(length).saturating_mul(8).checked_sub(read);
    let declared = declared.filter(|_| length != UNKNOWN_LENGTH);
    let behind = |skipped: usize| {
        let mut bits = bits.clone();
        bits.skip(skipped)?;
        segmentations(&mut bits)
    };
    let is_known = !matches!(command, SpliceCommand::Other(_));
    // There are encoders that are wrong about how long their commands are.
    let found = declared
        .and_then(behind)
        .or_else(|| is_known.then(|| behind(0)).flatten());
    Some(SpliceInfo {
        command,
        segmentations: found.unwrap_or_default(),
    })
}

/// `splice_time` (9.8.1): `None` inside where there is no time.
#[allow(clippy::option_option)]
fn splice_time(bits: &mut BitReader<'_>, adjustment: u64) -> Option<Option<u64>> {
    if !bits.flag()? {
        bits.skip(7)?;
        return Some(None);
    }
    bits.skip(6)?;
    Some(Some(bits.u64(33)?.wrapping_add(adjustment) & PTS_MASK))
}

fn insert(bits: &mut BitReader<'_>, adjustment: u64) -> Option<SpliceInsert> {
    let mut insert = SpliceInsert {
        event_id: bits.u(32)?,
        cancelled: bits.flag()?,
        ..SpliceInsert::default()
    };
    bits.skip(7)?;
    if insert.cancelled {
        return Some(insert);
    }
    insert.out = bits.flag()?;
    let (program, lasting, immediate) = (bits.flag()?, bits.flag()?, bits.flag()?);
    bits.skip(4)?;
    if program && !immediate {
        insert.pts = splice_time(bits, adjustment)?;
    }
    if !program {
        for _ in 0..bits.u8(8)? {
            // component_tag
            bits.skip(8)?;
            if !immediate {
                insert.pts = insert.pts.or(splice_time(bits, adjustment)?);
            }
        }
    }
    if lasting {
        insert.auto_return = bits.flag()?;
        bits.skip(6)?;
        insert.duration = Some(bits.u64(33)?);
    }
    // unique_program_id, avail_num, avails_expected
    bits.skip(32)?;
    Some(insert)
}

fn segmentations(bits: &mut BitReader<'_>) -> Option<Vec<Segmentation>> {
    let length = usize::from(bits.u16(16)?).saturating_mul(8);
    let end = bits.position().saturating_add(length);
    if length > bits.left() {
        return None;
    }
    let mut found = Vec::new();
    while bits.position() < end {
        let tag = bits.u8(8)?;
        let length = usize::from(bits.u8(8)?).saturating_mul(8);
        let own_end = bits.position().saturating_add(length);
        if own_end > end {
            return None;
        }
        if tag == SEGMENTATION && length >= 32 && bits.u(32)? == CUEI {
            let segmentation = segmentation(bits)?;
            if bits.position() > own_end {
                return None;
            }
            found.push(segmentation);
        }
        bits.skip(own_end.saturating_sub(bits.position()))?;
    }
    Some(found)
}

fn segmentation(bits: &mut BitReader<'_>) -> Option<Segmentation> {
    let mut one = Segmentation {
        event_id: bits.u(32)?,
        cancelled: bits.flag()?,
        ..Segmentation::default()
    };
    bits.skip(7)?;
    if one.cancelled {
        return Some(one);
    }
    let (program, lasting) = (bits.flag()?, bits.flag()?);
    // delivery_not_restricted_flag and what it says
    bits.skip(6)?;
    if !program {
        let components = bits.u8(8)?;
        bits.skip(usize::from(components).saturating_mul(48))?;
    }
    if lasting {
        one.duration = Some(bits.u64(40)?);
    }
    one.upid_type = bits.u8(8)?;
    let upid = (0..bits.u8(8)?).map(|_| bits.u8(8));
    one.upid = upid.collect::<Option<Vec<u8>>>()?.into();
    one.type_id = bits.u8(8)?;
    Some(one)
}

impl Segmentation {
    /// What `segmentation_type_id` stands for (10.3.3.1, table 23), without its `Start` or `End`.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        // Starts are even, and the type behind each is its end.
        let of_pair = if self.is_end() || self.is_start() {
            self.type_id & !1
        } else {
            self.type_id
        };
        Some(match of_pair {
            0x01 => "Content Identification",
            0x02 => "Call Ad Server",
            0x10 => "Program",
            0x12 => "Program Early Termination",
            0x13 => "Program Breakaway",
            0x14 => "Program Resumption",
            0x15 => "Program Runover Planned",
            0x16 => "Program Runover Unplanned",
            0x17 => "Program Overlap",
            0x18 => "Program Blackout Override",
            0x19 => "Program Join",
            0x20 => "Chapter",
            0x22 => "Break",
            0x24 => "Opening Credit",
            0x26 => "Closing Credit",
            0x30 => "Provider Advertisement",
            0x32 => "Distributor Advertisement",
            0x34 => "Provider Placement Opportunity",
            0x36 => "Distributor Placement Opportunity",
            0x38 => "Provider Overlay Placement Opportunity",
            0x3a => "Distributor Overlay Placement Opportunity",
            0x3c => "Provider Promo",
            0x3e => "Distributor Promo",
            0x40 => "Unscheduled Event",
            0x42 => "Alternate Content Opportunity",
            0x44 => "Provider Ad Block",
            0x46 => "Distributor Ad Block",
            0x50 => "Network",
            _ => return None,
        })
    }

    /// Whether it begins something that another one with the same `segmentation_event_id` may end.
    #[must_use]
    pub fn is_start(&self) -> bool {
        is_pair(self.type_id) && self.type_id & 1 == 0
    }

    /// Whether it ends what another one with the same `segmentation_event_id` began.
    #[must_use]
    pub fn is_end(&self) -> bool {
        is_pair(self.type_id) && self.type_id & 1 == 1
    }

    /// The `segmentation_type_id` of what it begins or ends.
    #[must_use]
    pub fn start_type(&self) -> u8 {
        match self.type_id {
            // Program Early Termination ends a program as well.
            0x12 => 0x10,
            own if is_pair(own) => own & !1,
            own => own,
        }
    }
}

/// Whether a type is the start or the end of something.
fn is_pair(type_id: u8) -> bool {
    matches!(type_id, 0x10 | 0x11 | 0x20..=0x27 | 0x30..=0x47 | 0x50 | 0x51)
}

/// The check sum of a section with its `CRC_32` (ISO/IEC 13818-1, annex A): 0 where that is right.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            let carry = crc & 0x8000_0000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x04c1_1db7;
            }
        }
    }
    crc
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    /// Samples of ANSI/SCTE 35, clause 14.
    const PLACEMENT_START: &str = "0xFC3034000000000000FFFFF00506FE72BD0050001E021C435545494800008E7FCF0001A599B00808000000002CA0A18A3402009AC9D17E";
    const SPLICE_INSERT: &str = "0xFC302F000000000000FFFFF014054800008F7FEFFE7369C02EFE0052CCF500000000000A0008435545490000013562DBA30A";

    fn with_crc(mut section: Vec<u8>) -> Vec<u8> {
        let len = section.len() + 4 - 3;
        section[1] = section[1] & 0xf0 | (len >> 8) as u8;
        section[2] = len as u8;
        let crc = crc32(&section);
        section.extend(crc.to_be_bytes());
        section
    }

    #[test]
    fn the_samples_of_the_standard_are_read() {
        let start = SpliceInfo::from_hex(PLACEMENT_START).unwrap();
        assert_eq!(start.command, SpliceCommand::TimeSignal(Some(0x72bd_0050)));
        let [one] = start.segmentations.as_slice() else {
            panic!("{start:?}");
        };
        assert_eq!((one.event_id, one.type_id), (0x4800_008e, 0x34));
        assert_eq!(one.duration, Some(0x01a5_99b0));
        assert_eq!((one.upid_type, one.upid.len()), (8, 8));
        assert_eq!(one.name(), Some("Provider Placement Opportunity"));
        assert!(one.is_start() && !one.is_end());

        let insert = SpliceInfo::from_hex(SPLICE_INSERT).unwrap();
        let SpliceCommand::Insert(one) = &insert.command else {
            panic!("{insert:?}");
        };
        assert_eq!((one.event_id, one.out), (0x4800_008f, true));
        assert_eq!(one.pts, Some(0x7369_c02e));
        assert_eq!((one.duration, one.auto_return), (Some(0x0052_ccf5), true));
        assert_eq!(
            insert.segmentations,
            [],
            "an avail_descriptor is passed over"
        );

        let end = Segmentation {
            type_id: 0x35,
            ..Segmentation::default()
        };
        assert!(end.is_end() && end.start_type() == 0x34 && end.name() == one_name(0x34));
        let early = one_name(0x12);
        assert_eq!(early, Some("Program Early Termination"));
    }

    #[test]
    fn the_check_sum_of_a_text_is_not_looked_at() {
        let wrong = SPLICE_INSERT.replace("62DBA30A", "00000000");
        assert_eq!(
            SpliceInfo::from_hex(&wrong),
            SpliceInfo::from_hex(SPLICE_INSERT)
        );
        let digits = wrong.strip_prefix("0x").unwrap();
        let bytes: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        assert_eq!(SpliceInfo::parse(&bytes), Err(SpliceError::Damaged));
    }

    fn one_name(type_id: u8) -> Option<&'static str> {
        let one = Segmentation {
            type_id,
            ..Segmentation::default()
        };
        one.name()
    }

    #[test]
    fn timestamps_wrap_when_they_are_adjusted() {
        let mut bytes = vec![0xfc, 0x30, 0, 0, 0, 0, 0, 0, 100, 0, 0xff, 0xf0, 5, 6];
        // 2^33 - 1, and 100 more.
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        let info = SpliceInfo::parse(&with_crc(bytes)).unwrap();
        assert_eq!(info.pts(), Some(99));
    }

    #[test]
    fn what_is_encrypted_or_unknown_is_said_to_be_so() {
        let mut bytes = vec![
            0xfc, 0x30, 0, 0, 0x82, 0, 0, 0, 0, 0, 0xff, 0xf0, 5, 9, 9, 9, 9,
        ];
        let info = SpliceInfo::parse(&with_crc(bytes.clone())).unwrap();
        assert_eq!(info.command, SpliceCommand::Encrypted);
        bytes[4] = 0;
        bytes[12] = 0;
        bytes.truncate(13);
        bytes.extend([0xff, 0, 0]);
        let info = SpliceInfo::parse(&with_crc(bytes.clone())).unwrap();
        assert_eq!(info.command, SpliceCommand::Other(0xff));
        // Nobody says how long it is.
        (bytes[11], bytes[12]) = (0xff, 0xff);
        let info = SpliceInfo::parse(&with_crc(bytes)).unwrap();
        assert_eq!(info.command, SpliceCommand::Other(0xff));
    }

    #[test]
    fn a_command_that_is_not_as_long_as_it_says_is_read_all_the_same() {
        let digits = PLACEMENT_START.strip_prefix("0x").unwrap();
        let bytes: Vec<u8> = (0..digits.len() / 2 - 4)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let right = SpliceInfo::parse(&with_crc(bytes.clone())).unwrap();
        for length in [0, 3, 9, 0xff] {
            let mut wrong = bytes.clone();
            wrong[12] = length;
            assert_eq!(SpliceInfo::parse(&with_crc(wrong)), Ok(right.clone()));
        }
        // Descriptors that make no sense are none.
        let mut wrong = bytes;
        let at = wrong.len() - 32;
        wrong[at] = 0xff;
        let info = SpliceInfo::parse(&with_crc(wrong)).unwrap();
        assert_eq!(
            (&info.command, info.segmentations.len()),
            (&right.command, 0)
        );
    }

    #[test]
    fn what_is_damaged_or_ends_early_is_an_error_wherever_that_is() {
        for sample in [PLACEMENT_START, SPLICE_INSERT] {
            let digits = sample.strip_prefix("0x").unwrap();
            let bytes: Vec<u8> = (0..digits.len() / 2)
                .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            assert!(SpliceInfo::parse(&bytes).is_ok());
            for len in 0..bytes.len() {
                assert!(SpliceInfo::parse(&bytes[..len]).is_err(), "{len}");
                let mut flipped = bytes.clone();
                flipped[len] ^= 0x10;
                assert!(SpliceInfo::parse(&flipped).is_err(), "{len}");
                // Cut with a good check sum it may make sense, and never more than that.
                if len > 14 {
                    let cut = with_crc(bytes[..len.min(bytes.len() - 4)].to_vec());
                    let _ = SpliceInfo::parse(&cut);
                }
            }
        }
        for text in ["", "0x", "FC30", "0xF", "0xFC3", "0xXX", "0x+C"] {
            assert!(SpliceInfo::from_hex(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_in_a_section_it_is_read_or_refused(
            content in proptest::collection::vec(proptest::num::u8::ANY, 11..200),
            kind in proptest::sample::select(vec![0x00_u8, 0x04, 0x05, 0x06, 0x07, 0xff]),
        ) {
            let mut bytes = vec![0xfc, 0x30, 0];
            bytes.extend(content);
            bytes[4] &= 0x7f;
            bytes[13] = kind;
            if let Ok(info) = SpliceInfo::parse(&with_crc(bytes)) {
                proptest::prop_assert!(info.pts().is_none_or(|pts| pts <= PTS_MASK));
            }
        }
    }
}
