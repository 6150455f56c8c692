//! What H.264 and H.265 have in common: the beginning of the video usability information
//! (Rec. ITU-T H.264, E.1.1; Rec. ITU-T H.265, E.2.1) and SEI messages (7.3.2.3.1; 7.3.5).

use crate::codec::bits::BitReader;
use crate::{Colour, Rational};

/// The beginning of `vui_parameters()`, down to the chroma sample locations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct VuiStart {
    pub(crate) sample_aspect_ratio: Option<Rational>,
    pub(crate) colour: Option<Colour>,
}

impl VuiStart {
    /// Reads as far as it can: what was read before the data end is kept in `self`.
    pub(crate) fn read(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        if bits.flag()? {
            self.sample_aspect_ratio = sample_aspect_ratio(bits)?;
        }
        if bits.flag()? {
            bits.skip(1)?;
        }
        if bits.flag()? {
            bits.skip(3)?;
            let full_range = bits.flag()?;
            let described = bits.flag()?;
            let mut code = |unspecified: u8| {
                if described {
                    bits.u8(8)
                } else {
                    Some(unspecified)
                }
            };
            let colour = Colour {
                primaries: code(2)?,
                transfer: code(2)?,
                matrix: code(2)?,
                full_range,
            };
            // A signal type that says nothing but "limited range" says nothing at all.
            if described || full_range {
                self.colour = Some(colour);
            }
        }
        if bits.flag()? {
            bits.ue()?;
            bits.ue()?;
        }
        Some(())
    }
}

/// Table E-1. The outer `None` is the end of the data, the inner one "unspecified".
fn sample_aspect_ratio(bits: &mut BitReader<'_>) -> Option<Option<Rational>> {
    let (num, den) = match bits.u8(8)? {
        1 => (1, 1),
        2 => (12, 11),
        3 => (10, 11),
        4 => (16, 11),
        5 => (40, 33),
        6 => (24, 11),
        7 => (20, 11),
        8 => (32, 11),
        9 => (80, 33),
        10 => (18, 11),
        11 => (15, 11),
        12 => (64, 33),
        13 => (160, 99),
        14 => (4, 3),
        15 => (3, 2),
        16 => (2, 1),
        255 => (bits.u(16)?, bits.u(16)?),
        _ => (0, 0),
    };
    Some((num != 0 && den != 0).then_some(Rational { num, den }))
}

/// Calls `found` with the type and the payload of each SEI message of an RBSP (NAL unit header
/// excluded) that is whole; a message that is cut off ends it.
pub(crate) fn sei_messages<'a>(rbsp: &'a [u8], mut found: impl FnMut(u32, &'a [u8])) {
    let mut rest = rbsp;
    // The last byte alone is the trailing bits.
    while rest.len() > 2 {
        let Some(kind) = sei_number(&mut rest) else {
            return;
        };
        let Some(size) = sei_number(&mut rest) else {
            return;
        };
        let Some((payload, after)) = rest.split_at_checked(size as usize) else {
            return;
        };
        found(kind, payload);
        rest = after;
    }
}

fn sei_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0u32;
    loop {
        let (&byte, after) = bytes.split_first()?;
        *bytes = after;
        value = value.checked_add(u32::from(byte))?;
        if byte != 0xff {
            return Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_sei_messages() {
        let mut long = vec![6, 1, 0x84, 0xff, 0x01, 0xff, 0x02];
        long.extend([7; 257]);
        long.push(0x80);
        let mut seen = Vec::new();
        sei_messages(&long, |kind, payload| seen.push((kind, payload.len())));
        assert_eq!(seen, [(6, 1), (256, 257)]);
    }

    #[test]
    fn a_message_that_is_cut_off_is_none() {
        sei_messages(&[5, 9, 1, 2, 3], |_, _| panic!("not whole"));
        sei_messages(&[0xff, 0xff, 0xff], |_, _| panic!("not whole"));
    }
}
