//! H.264 in access units: Rec. ITU-T H.264, 7.4.1.2.3 and 7.4.1.2.4.

use std::collections::BTreeMap;

use bytes::Bytes;
use clipmill_media::codec::h264::{
    OrderCounter, Pps, SliceHeader, Sps, nal_ref_idc, nal_type, recovery_point, sps_extension_id,
};
use clipmill_media::{CodecConfig, H264Config, RandomAccess};

use super::syntax::{PictureFacts, Relation, Role, Syntax};

/// The parameter sets last received, and the state of what counts pictures.
#[derive(Debug, Default)]
pub(crate) struct H264 {
    sps: BTreeMap<u8, (Bytes, Sps)>,
    pps: BTreeMap<u8, (Bytes, Pps)>,
    sps_extensions: BTreeMap<u8, Bytes>,
    /// Identifiers of the sequence parameter sets in the configuration.
    active: Vec<u8>,
    order: OrderCounter,
    /// Whether the bottom field comes first, where pairs of fields have been seen.
    bottom_first: Option<bool>,
    /// The field of the picture at hand has lost its partner.
    widowed: bool,
    lost: bool,
}

/// A slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    /// `None` where its parameter sets are not known.
    header: Option<SliceHeader>,
    first_mb: u32,
    pps_id: u8,
    idr: bool,
    reference: bool,
}

impl H264 {
    fn sets_of(&self, pps_id: u8) -> Option<(&Sps, &Pps)> {
        let (_, pps) = self.pps.get(&pps_id)?;
        let (_, sps) = self.sps.get(&pps.sps_id)?;
        Some((sps, pps))
    }
}

impl Syntax for H264 {
    const HEADER_BYTES: usize = 1;
    type Slice = Slice;

    fn role(header: &[u8]) -> Option<Role> {
        let &header = header.first()?;
        if header & 0x80 != 0 {
            return None;
        }
        Some(match nal_type(header) {
            1 | 2 | 5 => Role::Slice,
            6 => Role::Sei,
            7 | 8 | 13 => Role::ParameterSet,
            9 => Role::Delimiter,
            10 | 11 => Role::EndOfSequence,
            12 => Role::Filler,
            14..=18 => Role::Prefix,
            _ => Role::Suffix,
        })
    }

    fn is_ready(&self) -> bool {
        self.pps
            .values()
            .any(|(_, pps)| self.sps.contains_key(&pps.sps_id))
    }

    fn parameter_set(&mut self, nal: &[u8]) -> Option<Bytes> {
        let kind = nal_type(*nal.first()?);
        // The same set again, as with every random access point, is not read again.
        let known = match kind {
            7 => self.sps.values().find(|(set, _)| set == nal).map(|s| &s.0),
            8 => self.pps.values().find(|(set, _)| set == nal).map(|s| &s.0),
            _ => self.sps_extensions.values().find(|&set| set == nal),
        };
        if let Some(known) = known {
            return Some(known.clone());
        }
        let set = Bytes::copy_from_slice(nal);
        match kind {
            7 => {
                let sps = Sps::parse(nal)?;
                self.sps.insert(sps.id, (set.clone(), sps));
            }
            8 => {
                let pps = Pps::parse(nal)?;
                self.pps.insert(pps.id, (set.clone(), pps));
            }
            _ => {
                let id = sps_extension_id(nal)?;
                self.sps_extensions.insert(id, set.clone());
            }
        }
        Some(set)
    }

    fn config(&mut self, own: &[Bytes], slice: &Slice) -> Option<CodecConfig> {
        let mut active: Vec<u8> = self
            .sps
            .iter()
            .filter(|(_, (set, _))| own.contains(set))
            .map(|(&id, _)| id)
            .collect();
        if active.is_empty() {
            active.clone_from(&self.active);
        }
        if let Some((sps, _)) = self.sets_of(slice.pps_id) {
            active.push(sps.id);
        }
        active.sort_unstable();
        active.dedup();
        let sps = active.iter().filter_map(|id| self.sps.get(id));
        let pps = self
            .pps
            .values()
            .filter(|(_, pps)| active.contains(&pps.sps_id));
        let extensions = active.iter().filter_map(|id| self.sps_extensions.get(id));
        let sps: Vec<_> = sps.map(|(set, _)| set.clone()).collect();
        let pps: Vec<_> = pps.map(|(set, _)| set.clone()).collect();
        if pps.is_empty() {
            return None;
        }
        let config = H264Config::from_parameter_sets(sps, pps, extensions.cloned().collect())?;
        self.active = active;
        Some(CodecConfig::H264(config))
    }

    fn holds(config: &CodecConfig, set: &Bytes) -> bool {
        let CodecConfig::H264(config) = config else {
            return false;
        };
        config.sps.contains(set) || config.pps.contains(set) || config.sps_extensions.contains(set)
    }

    fn recovery(sei: &[u8]) -> Option<RandomAccess> {
        recovery_point(sei).map(|frames| match frames {
            0 => RandomAccess::Open,
            frames => RandomAccess::Gradual(frames),
        })
    }

    fn slice(&self, nal: &[u8]) -> Option<Slice> {
        let (first_mb, pps_id) = SliceHeader::peek(nal)?;
        let &header = nal.first()?;
        Some(Slice {
            header: self
                .sets_of(pps_id)
                .and_then(|(sps, pps)| SliceHeader::parse(nal, sps, pps)),
            first_mb,
            pps_id,
            idr: nal_type(header) == 5,
            reference: nal_ref_idc(header) != 0,
        })
    }

    fn relation(&self, previous: &Slice, next: &Slice) -> Relation {
        let begins = match (&previous.header, &next.header) {
            (Some(previous), Some(next)) if next.completes(previous) && !self.widowed => {
                return Relation::SecondField;
            }
            (Some(previous), Some(next)) => next.begins_picture_after(previous),
            _ => {
                next.first_mb == 0
                    || next.idr != previous.idr
                    || next.reference != previous.reference
            }
        };
        if begins {
            Relation::NewPicture
        } else {
            Relation::SamePicture
        }
    }

    fn picture(&mut self, slice: &Slice, recovery: Option<RandomAccess>) -> PictureFacts {
        let order = self.count(slice);
        let field = slice.header.filter(|header| header.field);
        self.widowed = match (self.lost, self.bottom_first, field) {
            (true, Some(bottom_first), Some(field)) => field.bottom != bottom_first,
            _ => false,
        };
        self.lost = false;
        PictureFacts {
            order,
            begins_sequence: slice.idr,
            random_access: if slice.idr {
                RandomAccess::Closed
            } else {
                recovery.unwrap_or_default()
            },
            leading: None,
        }
    }

    fn is_intra(slice: &Slice) -> bool {
        // I and SI (table 7-6).
        slice
            .header
            .is_some_and(|header| matches!(header.slice_type % 5, 2 | 4))
    }

    fn second_field(&mut self, first: &Slice, second: &Slice) {
        self.count(second);
        self.bottom_first = first.header.map(|header| header.bottom);
    }

    fn lost(&mut self) {
        self.lost = true;
    }
}

impl H264 {
    fn count(&mut self, slice: &Slice) -> Option<i64> {
        let header = slice.header?;
        let (_, pps) = self.pps.get(&header.pps_id)?;
        let (_, sps) = self.sps.get(&pps.sps_id)?;
        Some(self.order.next(sps, &header))
    }
}
