//! H.265 in access units: Rec. ITU-T H.265, 7.4.2.4.4 and 7.4.2.4.5. Each field of interlaced video
//! is a picture, and an access unit, of its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use clipmill_media::codec::h265::{
    NalType, OrderCounter, Pps, SliceHeader, Sps, Vps, layer_id, recovery_point,
};
use clipmill_media::{CodecConfig, H265Config, Leading, RandomAccess};

use super::syntax::{PictureFacts, Relation, Role, Syntax};

const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;

/// The parameter sets last received, and the state of what counts pictures.
#[derive(Debug, Default)]
pub(crate) struct H265 {
    vps: BTreeMap<u8, Bytes>,
    sps: BTreeMap<u8, (Bytes, Sps)>,
    pps: BTreeMap<u8, (Bytes, Pps)>,
    /// Identifiers of the sequence parameter sets in the configuration.
    active: Vec<u8>,
    order: OrderCounter,
}

/// A slice segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    /// `None` where its parameter sets are not known.
    header: Option<SliceHeader>,
    nal_type: NalType,
    first_in_picture: bool,
    pps_id: u8,
}

impl H265 {
    fn sets_of(&self, pps_id: u8) -> Option<(&Sps, &Pps)> {
        let (_, pps) = self.pps.get(&pps_id)?;
        let (_, sps) = self.sps.get(&pps.sps_id)?;
        Some((sps, pps))
    }
}

impl Syntax for H265 {
    const HEADER_BYTES: usize = 2;
    type Slice = Slice;

    fn role(header: &[u8]) -> Option<Role> {
        let &first = header.first()?;
        if first & 0x80 != 0 {
            return None;
        }
        let kind = NalType::of(first);
        let base_layer = layer_id(header)? == 0;
        Some(match kind.number() {
            0..=31 if kind.is_slice() && base_layer => Role::Slice,
            VPS..=PPS if base_layer => Role::ParameterSet,
            39 if base_layer => Role::Sei,
            35 => Role::Delimiter,
            36 | 37 if base_layer => Role::EndOfSequence,
            38 => Role::Filler,
            VPS..=PPS | 39 | 41..=44 | 48..=55 => Role::Prefix,
            _ => Role::Suffix,
        })
    }

    fn is_ready(&self) -> bool {
        self.pps
            .values()
            .any(|(_, pps)| self.sps.contains_key(&pps.sps_id))
    }

    fn parameter_set(&mut self, nal: &[u8]) -> Option<Bytes> {
        let kind = NalType::of(*nal.first()?).number();
        // The same set again, as with every random access point, is not read again.
        let known = match kind {
            VPS => self.vps.values().find(|&set| set == nal),
            SPS => self.sps.values().find(|(set, _)| set == nal).map(|s| &s.0),
            _ => self.pps.values().find(|(set, _)| set == nal).map(|s| &s.0),
        };
        if let Some(known) = known {
            return Some(known.clone());
        }
        let set = Bytes::copy_from_slice(nal);
        match kind {
            VPS => {
                self.vps.insert(Vps::parse(nal)?.id, set.clone());
            }
            SPS => {
                let sps = Sps::parse(nal)?;
                self.sps.insert(sps.id, (set.clone(), sps));
            }
            _ => {
                let pps = Pps::parse(nal)?;
                self.pps.insert(pps.id, (set.clone(), pps));
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
        let chosen: Vec<_> = active.iter().filter_map(|id| self.sps.get(id)).collect();
        let vps: Vec<_> = self
            .vps
            .iter()
            .filter(|&(&id, _)| chosen.iter().any(|(_, sps)| sps.vps_id == id))
            .map(|(_, set)| set.clone())
            .collect();
        let sps = chosen.iter().map(|(set, _)| set.clone()).collect();
        let pps: Vec<_> = self
            .pps
            .values()
            .filter(|(_, pps)| active.contains(&pps.sps_id))
            .map(|(set, _)| set.clone())
            .collect();
        if pps.is_empty() {
            return None;
        }
        let config = H265Config::from_parameter_sets(vps, sps, pps)?;
        self.active = active;
        Some(CodecConfig::H265(config))
    }

    fn holds(config: &CodecConfig, set: &Bytes) -> bool {
        let CodecConfig::H265(config) = config else {
            return false;
        };
        config.vps.contains(set) || config.sps.contains(set) || config.pps.contains(set)
    }

    fn recovery(sei: &[u8]) -> Option<RandomAccess> {
        recovery_point(sei).map(|pictures| match u16::try_from(pictures) {
            Ok(0) | Err(_) => RandomAccess::Open,
            Ok(pictures) => RandomAccess::Gradual(pictures),
        })
    }

    fn slice(&self, nal: &[u8]) -> Option<Slice> {
        let (first_in_picture, pps_id) = SliceHeader::peek(nal)?;
        Some(Slice {
            header: self
                .sets_of(pps_id)
                .and_then(|(sps, pps)| SliceHeader::parse(nal, sps, pps)),
            nal_type: NalType::of(*nal.first()?),
            first_in_picture,
            pps_id,
        })
    }

    fn relation(&self, previous: &Slice, next: &Slice) -> Relation {
        let begins = match (&previous.header, &next.header) {
            (Some(previous), Some(next)) => next.begins_picture_after(previous),
            _ => next.first_in_picture || next.nal_type != previous.nal_type,
        };
        if begins {
            Relation::NewPicture
        } else {
            Relation::SamePicture
        }
    }

    fn picture(&mut self, slice: &Slice, recovery: Option<RandomAccess>) -> PictureFacts {
        let kind = slice.nal_type;
        let begins_sequence = match &slice.header {
            Some(header) => self.order.begins_sequence(header),
            None => kind.is_idr() || kind.is_bla(),
        };
        let order = slice.header.and_then(|header| {
            let (_, pps) = self.pps.get(&slice.pps_id)?;
            let (_, sps) = self.sps.get(&pps.sps_id)?;
            Some(self.order.next(sps, &header))
        });
        PictureFacts {
            order,
            begins_sequence,
            random_access: if kind.is_idr() || kind.is_bla() {
                RandomAccess::Closed
            } else if kind.is_cra() {
                RandomAccess::Open
            } else {
                recovery.unwrap_or_default()
            },
            leading: Some(if kind.is_rasl() {
                Leading::Skipped
            } else if kind.is_radl() {
                Leading::Decodable
            } else {
                Leading::No
            }),
        }
    }

    fn second_field(&mut self, _first: &Slice, _second: &Slice) {}

    fn end_of_sequence(&mut self) {
        self.order.end_sequence();
    }
}
