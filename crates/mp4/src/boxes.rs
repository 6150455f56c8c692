//! Writing boxes (ISO/IEC 14496-12, 4.2) into one buffer.
//!
//! The boxes with an intricate body are encoded by `mp4-atom`, which is named in this module and
//! in [`entries`](crate::entries) alone; tables and containers are written by hand.

use mp4_atom::{Encode, FixedPoint, FourCC};

use crate::LayoutError;

type Result<T> = std::result::Result<T, LayoutError>;

/// Boxes, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Boxes {
    out: Vec<u8>,
}

impl Boxes {
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn zeros(&mut self, count: usize) {
        self.out.resize(self.out.len().saturating_add(count), 0);
    }

    /// What was written from byte `at` on, by four bytes each.
    pub(crate) fn words_from(&mut self, at: usize) -> impl Iterator<Item = &mut [u8; 4]> {
        let (words, _) = self.out.get_mut(at..).unwrap_or_default().as_chunks_mut();
        words.iter_mut()
    }

    /// A 32-bit count of items.
    pub(crate) fn count(&mut self, count: usize, what: &'static str) -> Result<()> {
        self.u32(u32::try_from(count).map_err(|_| LayoutError::TooLarge { what })?);
        Ok(())
    }

    /// Writes over 4 bytes that were written before.
    pub(crate) fn set_u32(&mut self, at: usize, value: u32) {
        self.set(at, &value.to_be_bytes());
    }

    /// Writes over bytes that were written before.
    pub(crate) fn set(&mut self, at: usize, bytes: &[u8]) {
        let end = at.saturating_add(bytes.len());
        if let Some(place) = self.out.get_mut(at..end) {
            place.copy_from_slice(bytes);
        }
    }

    /// A box with the body that `body` writes.
    pub(crate) fn boxed(
        &mut self,
        kind: &[u8; 4],
        body: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let start = self.out.len();
        self.u32(0);
        self.bytes(kind);
        body(self)?;
        let size = self.out.len().saturating_sub(start);
        let size = u32::try_from(size).map_err(|_| LayoutError::TooLarge { what: "a box" })?;
        self.set_u32(start, size);
        Ok(())
    }

    /// A box that begins with a version and flags.
    pub(crate) fn full(
        &mut self,
        kind: &[u8; 4],
        version: u8,
        flags: u32,
        body: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.boxed(kind, |b| {
            b.u32((u32::from(version) << 24) | (flags & 0x00ff_ffff));
            body(b)
        })
    }

    /// A table: a full box of version and flags 0 with an entry count that is filled in here.
    /// `body` writes the entries and says how many.
    pub(crate) fn table(
        &mut self,
        kind: &[u8; 4],
        version: u8,
        body: impl FnOnce(&mut Self) -> Result<u32>,
    ) -> Result<()> {
        self.full(kind, version, 0, |b| {
            let at = b.len();
            b.u32(0);
            let count = body(b)?;
            b.set_u32(at, count);
            Ok(())
        })
    }

    /// A box of `mp4-atom`.
    pub(crate) fn atom(&mut self, atom: &impl Encode, what: &'static str) -> Result<()> {
        atom.encode(&mut self.out)
            .map_err(|_| LayoutError::TooLarge { what })
    }
}

/// `ftyp` (ISO/IEC 14496-12, 4.3); the first brand is the major one.
pub(crate) fn file_type(b: &mut Boxes, minor: u32, brands: &[[u8; 4]]) -> Result<()> {
    let compatible: Vec<FourCC> = brands.iter().map(FourCC::new).collect();
    let major = compatible.first().copied().unwrap_or(FourCC::new(b"isom"));
    let atom = mp4_atom::Ftyp {
        major_brand: major,
        minor_version: minor,
        compatible_brands: compatible,
    };
    b.atom(&atom, "ftyp")
}

/// `styp` (8.16.2).
pub(crate) fn segment_type(b: &mut Boxes) -> Result<()> {
    let atom = mp4_atom::Styp {
        major_brand: FourCC::new(b"msdh"),
        minor_version: 0,
        compatible_brands: vec![FourCC::new(b"msdh"), FourCC::new(b"iso6")],
    };
    b.atom(&atom, "styp")
}

/// `hdlr` (8.4.3).
pub(crate) fn handler(b: &mut Boxes, kind: &[u8; 4], name: &str) -> Result<()> {
    // A null ends the string, so none can be inside.
    let name = name.split('\0').next().unwrap_or_default().to_owned();
    let handler = FourCC::new(kind);
    b.atom(&mp4_atom::Hdlr { handler, name }, "hdlr")
}

/// `elst` (8.6.6), in the version that its values need.
pub(crate) fn edit_list(b: &mut Boxes, edits: &[crate::Edit]) -> Result<()> {
    let entries = edits
        .iter()
        .map(|edit| mp4_atom::ElstEntry {
            segment_duration: edit.duration,
            media_time: edit.media_time,
            media_rate: FixedPoint::from(1),
        })
        .collect();
    b.atom(&mp4_atom::Elst { entries }, "an edit's media time")
}

/// `mehd` (8.8.2).
pub(crate) fn movie_extends_header(b: &mut Boxes, duration: u64) -> Result<()> {
    let fragment_duration = duration;
    b.atom(&mp4_atom::Mehd { fragment_duration }, "mehd")
}

/// `trex` (8.8.3): every default is spelled out in each fragment but the first sample entry.
pub(crate) fn track_extends(b: &mut Boxes, track_id: u32) -> Result<()> {
    let atom = mp4_atom::Trex {
        track_id,
        default_sample_description_index: 1,
        ..Default::default()
    };
    b.atom(&atom, "trex")
}

/// `mfhd` (8.8.5).
pub(crate) fn fragment_header(b: &mut Boxes, sequence_number: u32) -> Result<()> {
    b.atom(&mp4_atom::Mfhd { sequence_number }, "mfhd")
}

/// What `tfhd` states for a whole track fragment (8.8.7).
#[derive(Debug, Clone, Copy)]
pub(crate) struct FragmentDefaults {
    pub(crate) track_id: u32,
    /// Counts from 1.
    pub(crate) description: u32,
    pub(crate) duration: Option<u32>,
    pub(crate) size: Option<u32>,
    pub(crate) flags: Option<u32>,
}

/// `tfhd` (8.8.7) and `tfdt` (8.8.12).
pub(crate) fn track_fragment_header(
    b: &mut Boxes,
    defaults: FragmentDefaults,
    decode_time: u64,
) -> Result<()> {
    let header = mp4_atom::Tfhd {
        track_id: defaults.track_id,
        base_data_offset: None,
        sample_description_index: Some(defaults.description),
        default_sample_duration: defaults.duration,
        default_sample_size: defaults.size,
        default_sample_flags: defaults.flags,
        duration_is_empty: false,
        default_base_is_moof: true,
    };
    b.atom(&header, "tfhd")?;
    let base_media_decode_time = decode_time;
    b.atom(
        &mp4_atom::Tfdt {
            base_media_decode_time,
        },
        "tfdt",
    )
}

/// One reference of a `sidx` (8.16.3).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reference {
    pub(crate) size: u64,
    pub(crate) duration: u64,
    /// `SAP_type`, 0 when it does not start with one.
    pub(crate) sap_type: u8,
}

/// `sidx` (8.16.3) of a track, for media that follows at once.
pub(crate) fn segment_index(
    b: &mut Boxes,
    track_id: u32,
    timescale: u32,
    earliest: u64,
    references: &[Reference],
) -> Result<()> {
    let references = references
        .iter()
        .map(|reference| {
            let too_large = |what| LayoutError::TooLarge { what };
            Ok(mp4_atom::SegmentReference {
                reference_type: false,
                referenced_size: u32::try_from(reference.size)
                    .map_err(|_| too_large("a fragment's size"))?,
                subsegment_duration: u32::try_from(reference.duration)
                    .map_err(|_| too_large("a fragment's duration"))?,
                starts_with_sap: reference.sap_type != 0,
                sap_type: reference.sap_type,
                sap_delta_time: 0,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let atom = mp4_atom::Sidx {
        reference_id: track_id,
        timescale,
        earliest_presentation_time: earliest,
        first_offset: 0,
        references,
    };
    b.atom(&atom, "sidx")
}

/// `mfra` (8.8.9) of a track whose random access points begin fragments: their presentation time
/// in the track's timescale, and where the `moof` lies.
pub(crate) fn random_access(b: &mut Boxes, track_id: u32, points: &[(u64, u64)]) -> Result<()> {
    let start = b.len();
    b.boxed(b"mfra", |b| {
        let entries = points
            .iter()
            .map(|&(time, moof_offset)| mp4_atom::FragmentInfo {
                time,
                moof_offset,
                traf_number: 1,
                trun_number: 1,
                sample_delta: 1,
            })
            .collect();
        b.atom(&mp4_atom::Tfra { track_id, entries }, "tfra")?;
        // It closes the box with the size of the whole: its own 16 bytes and all before.
        let parent_size = b.len().saturating_sub(start).saturating_add(16);
        let parent_size =
            u32::try_from(parent_size).map_err(|_| LayoutError::TooLarge { what: "mfra" })?;
        b.atom(&mp4_atom::Mfro { parent_size }, "mfro")
    })
}

/// `matrix`: unity (8.2.2.2).
pub(crate) const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// Whether a header needs version 1: 64-bit times.
pub(crate) fn version(created: u64, duration: u64) -> u8 {
    u8::from(created.max(duration) > u64::from(u32::MAX))
}

/// A field of 32 or 64 bits, by the version of its box.
pub(crate) fn wide(b: &mut Boxes, version: u8, value: u64) {
    match u32::try_from(value) {
        Ok(value) if version == 0 => b.u32(value),
        _ => b.u64(value),
    }
}

/// The header of an `mdat` (8.1.1) with `size` bytes: 8 bytes long, or 16 (4.2.2).
pub(crate) fn media_data_header(b: &mut Boxes, size: u64) -> Option<()> {
    let short = size.checked_add(8)?;
    let long = size.checked_add(16)?;
    if let Ok(short) = u32::try_from(short) {
        b.u32(short);
        b.bytes(b"mdat");
    } else {
        b.u32(1);
        b.bytes(b"mdat");
        b.u64(long);
    }
    Some(())
}
