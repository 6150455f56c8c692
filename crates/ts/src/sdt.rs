//! The name of a service: the service description table (ETSI EN 300 468, 5.2.3 and 6.2.33) and its
//! text (annex A).

use mpeg2ts_reader::mpegts_crc;

/// The PID of the table.
pub(crate) const SDT_PID: u16 = 0x11;
/// `service_description_section` of the transport stream that it is in.
const TABLE_ID: u8 = 0x42;
const SERVICE_DESCRIPTOR: u8 = 0x48;
/// From `table_id` to `reserved_future_use` behind `original_network_id`.
const HEADER_LEN: usize = 11;
const CRC_LEN: usize = 4;

/// The name that a section gives to `program`; `None` where it is damaged, another table, or says
/// nothing of it.
pub(crate) fn service_name(section: &[u8], program: u16) -> Option<String> {
    if section.first() != Some(&TABLE_ID) || mpegts_crc::sum32(section) != 0 {
        return None;
    }
    let end = section.len().checked_sub(CRC_LEN)?;
    let mut rest = section.get(HEADER_LEN..end)?;
    while let Some((&[id_high, id_low, _, high, low], behind)) = rest.split_first_chunk::<5>() {
        let len = usize::from(u16::from_be_bytes([high & 0x0f, low]));
        let (descriptors, next) = behind.split_at_checked(len)?;
        if u16::from_be_bytes([id_high, id_low]) == program {
            return named(descriptors);
        }
        rest = next;
    }
    None
}

fn named(mut descriptors: &[u8]) -> Option<String> {
    while let &[tag, len, ref behind @ ..] = descriptors {
        let (body, next) = behind.split_at_checked(len.into())?;
        if tag == SERVICE_DESCRIPTOR {
            // service_type, then the provider's name and the service's, each behind its length.
            let (&provider_len, rest) = body.get(1..)?.split_first()?;
            let rest = rest.get(provider_len.into()..)?;
            let (&len, rest) = rest.split_first()?;
            let name = text(rest.get(..len.into())?)?;
            // What FFmpeg writes where nobody has named anything.
            let is_default = name == "Service01";
            return (!is_default && !name.trim().is_empty()).then_some(name);
        }
        descriptors = next;
    }
    None
}

/// Text of annex A, of those of its tables that are in use beyond the letters that all share.
fn text(bytes: &[u8]) -> Option<String> {
    let text = match bytes {
        [0x15, utf8 @ ..] => String::from_utf8(utf8.to_vec()).ok()?,
        [0x11, ucs2 @ ..] => {
            let units = ucs2.chunks_exact(2).map(|pair| match *pair {
                [high, low] => u16::from_be_bytes([high, low]),
                _ => 0,
            });
            String::from_utf16(&units.collect::<Vec<u16>>()).ok()?
        }
        // Selects one of ISO/IEC 8859, whose first half is ASCII.
        [0x10, _, _, single @ ..] => ascii(single)?,
        [0x01..=0x0b, single @ ..] => ascii(single)?,
        // ISO/IEC 6937 by the standard; some write UTF-8 without saying so.
        other => String::from_utf8(other.to_vec()).ok()?,
    };
    // Emphasis and line breaks are control codes (annex A.1).
    let shown = text
        .chars()
        .filter(|c| !c.is_control() && !('\u{80}'..='\u{9f}').contains(c));
    Some(shown.collect())
}

fn ascii(bytes: &[u8]) -> Option<String> {
    bytes
        .is_ascii()
        .then(|| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::long_section;

    fn section(provider: &[u8], name: &[u8]) -> Vec<u8> {
        let mut descriptor = vec![1, provider.len() as u8];
        descriptor.extend_from_slice(provider);
        descriptor.push(name.len() as u8);
        descriptor.extend_from_slice(name);
        // The original network, then a service without a name in front of the one that is meant.
        let mut body = vec![0, 1, 0xff, 0, 1, 0xfc, 0x80, 0, 0, 2, 0xfc, 0x80];
        body.push(descriptor.len() as u8 + 2);
        body.extend([SERVICE_DESCRIPTOR, descriptor.len() as u8]);
        body.extend(descriptor);
        long_section(TABLE_ID, 1, 0, &body)
    }

    #[test]
    fn names() {
        let name = |provider: &[u8], name: &[u8]| service_name(&section(provider, name), 2);
        assert_eq!(name(b"A", b"News 24").as_deref(), Some("News 24"));
        assert_eq!(
            name(b"", b"\x15Z\xc3\xbcrich").as_deref(),
            Some("Z\u{fc}rich")
        );
        assert_eq!(name(b"", b"\x11\0Z\0\xfc").as_deref(), Some("Z\u{fc}"));
        assert_eq!(name(b"", b"\x05One").as_deref(), Some("One"));
        assert_eq!(name(b"", b"\x05\xe4"), None, "a table that is not read");
        assert_eq!(name(b"FFmpeg", b"Service01"), None, "nobody's name");
        assert_eq!(name(b"", b" "), None);
        assert_eq!(service_name(&section(b"A", b"News"), 1), None);
        let mut damaged = section(b"A", b"News");
        damaged[20] ^= 1;
        assert_eq!(service_name(&damaged, 2), None);
    }
}
