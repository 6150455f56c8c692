//! NAL units in samples (ISO/IEC 14496-15, 5.3.2 and 8.3.3): where they lie, whether decoding can
//! begin with them, and parameter sets among them (`avc3`, `hev1`).

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use clipmill_media::codec::bits::{BitReader, rbsp};
use clipmill_media::codec::h265::NalType;
use clipmill_media::codec::{h264, h265};
use clipmill_media::{CodecConfig, H264Config, H265Config, Leading, RandomAccess};

/// SEI messages are looked at up to here: recovery points come first.
const SEI_BYTES: usize = 4096;
/// Enough for the first two numbers of a slice header.
const SLICE_BYTES: usize = 16;

/// How NAL units lie in the samples of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NalFormat {
    pub(super) codec: NalCodec,
    /// Bytes of the length in front of each.
    pub(super) length_size: usize,
    /// Parameter sets may be among them.
    pub(super) in_band: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NalCodec {
    H264,
    H265,
}

/// Where a NAL unit lies in its sample.
pub(super) type Nal = Range<usize>;

impl NalFormat {
    /// Whether samples can be passed on as they are: lengths in four bytes, and no parameter sets.
    pub(super) fn is_plain(&self) -> bool {
        self.length_size == 4 && !self.in_band
    }

    /// The NAL units of a sample; an error where the lengths do not fit it, with those that do.
    pub(super) fn nals(&self, sample: &[u8]) -> Result<Vec<Nal>, Vec<Nal>> {
        let mut found = Vec::new();
        let mut at = 0usize;
        while at < sample.len() {
            let start = at.saturating_add(self.length_size);
            let Some(length) = sample.get(at..start) else {
                return Err(found);
            };
            let len = length
                .iter()
                .fold(0usize, |len, &byte| (len << 8) | usize::from(byte));
            let end = start.saturating_add(len);
            if end > sample.len() {
                return Err(found);
            }
            if len > 0 {
                found.push(start..end);
            }
            at = end;
        }
        Ok(found)
    }
}

impl NalCodec {
    /// Whether a NAL unit is a parameter set: what belongs into the sample entry.
    pub(super) fn is_parameter_set(self, nal: &[u8]) -> bool {
        match (self, nal.first()) {
            (Self::H264, Some(&header)) => matches!(h264::nal_type(header), 7 | 8 | 13),
            (Self::H265, Some(&header)) => matches!(NalType::of(header).number(), 32..=34),
            (_, None) => false,
        }
    }

    /// Whether decoding can begin at a sample, by its own NAL units; `flagged` is what the
    /// container says of it.
    pub(super) fn random_access(
        self,
        sample: &[u8],
        nals: &[Nal],
        flagged: bool,
    ) -> (RandomAccess, Leading) {
        let mut sei = None;
        for nal in nals {
            let nal = sample.get(nal.clone()).unwrap_or_default();
            let Some(&header) = nal.first() else { continue };
            match self {
                Self::H264 => match h264::nal_type(header) {
                    5 => return (RandomAccess::Closed, Leading::No),
                    1 | 2 => {
                        let access = match recovery(sei, h264::recovery_point) {
                            // Muxers flag I pictures of an open group of pictures, too.
                            None if flagged && is_intra(nal) => RandomAccess::Open,
                            None => RandomAccess::None,
                            Some(0) => RandomAccess::Open,
                            Some(frames) => RandomAccess::Gradual(frames),
                        };
                        return (access, Leading::No);
                    }
                    6 => sei = sei.or(Some(nal)),
                    _ => {}
                },
                Self::H265 => {
                    let kind = NalType::of(header);
                    if kind.is_slice() {
                        return Self::h265(kind, sei);
                    }
                    if kind.number() == 39 {
                        sei = sei.or(Some(nal));
                    }
                }
            }
        }
        (RandomAccess::None, Leading::No)
    }

    fn h265(kind: NalType, sei: Option<&[u8]>) -> (RandomAccess, Leading) {
        if kind.is_idr() || kind.is_bla() {
            return (RandomAccess::Closed, Leading::No);
        }
        if kind.is_cra() {
            return (RandomAccess::Open, Leading::No);
        }
        let leading = if kind.is_rasl() {
            Leading::Skipped
        } else if kind.is_radl() {
            Leading::Decodable
        } else {
            Leading::No
        };
        let count = |sei: &[u8]| {
            let count = h265::recovery_point(sei)?;
            u16::try_from(count).ok()
        };
        let access = match recovery(sei, count) {
            None => RandomAccess::None,
            Some(0) => RandomAccess::Open,
            Some(pictures) => RandomAccess::Gradual(pictures),
        };
        (access, leading)
    }
}

fn recovery(sei: Option<&[u8]>, read: impl Fn(&[u8]) -> Option<u16>) -> Option<u16> {
    let sei = sei?;
    read(sei.get(..SEI_BYTES).unwrap_or(sei))
}

/// Whether the slice that begins an H.264 picture is an I or SI slice (Rec. ITU-T H.264, 7.4.3).
fn is_intra(nal: &[u8]) -> bool {
    let data = rbsp(nal.get(1..).unwrap_or_default(), SLICE_BYTES);
    let mut bits = BitReader::new(&data);
    bits.ue();
    matches!(bits.ue(), Some(2 | 4 | 7 | 9))
}

/// The parameter sets in force, by kind and identifier, kind being the type of the NAL unit.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ParameterSets {
    sets: BTreeMap<(u8, u8), Bytes>,
}

impl ParameterSets {
    pub(super) fn of<'a>(codec: NalCodec, sets: impl Iterator<Item = &'a Bytes>) -> Self {
        let mut all = Self::default();
        for set in sets {
            all.put(codec, set);
        }
        all
    }

    /// Takes a parameter set; says whether it is another one than before, `None` where it cannot
    /// be read.
    pub(super) fn put(&mut self, codec: NalCodec, nal: &[u8]) -> Option<bool> {
        let &header = nal.first()?;
        let key = match codec {
            NalCodec::H264 => {
                let kind = h264::nal_type(header);
                let id = match kind {
                    7 => h264::Sps::parse(nal)?.id,
                    8 => h264::Pps::parse(nal)?.id,
                    _ => h264::sps_extension_id(nal)?,
                };
                (kind, id)
            }
            NalCodec::H265 => {
                let kind = NalType::of(header).number();
                let id = match kind {
                    32 => h265::Vps::parse(nal)?.id,
                    33 => h265::Sps::parse(nal)?.id,
                    _ => h265::Pps::parse(nal)?.id,
                };
                (kind, id)
            }
        };
        if self.sets.get(&key).is_some_and(|known| known == nal) {
            return Some(false);
        }
        self.sets.insert(key, Bytes::copy_from_slice(nal));
        Some(true)
    }

    fn kind(&self, kind: u8) -> Vec<Bytes> {
        let of_kind = self.sets.range((kind, 0)..=(kind, u8::MAX));
        of_kind.map(|(_, set)| set.clone()).collect()
    }

    /// The configuration that they make, if they are complete.
    pub(super) fn config(&self, codec: NalCodec) -> Option<CodecConfig> {
        match codec {
            NalCodec::H264 => {
                let (sps, pps) = (self.kind(7), self.kind(8));
                if pps.is_empty() {
                    return None;
                }
                H264Config::from_parameter_sets(sps, pps, self.kind(13)).map(CodecConfig::H264)
            }
            NalCodec::H265 => {
                let pps = self.kind(34);
                if pps.is_empty() {
                    return None;
                }
                let (vps, sps) = (self.kind(32), self.kind(33));
                H265Config::from_parameter_sets(vps, sps, pps).map(CodecConfig::H265)
            }
        }
    }
}
