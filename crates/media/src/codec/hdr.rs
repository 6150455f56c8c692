//! What SEI says of high dynamic range: Rec. ITU-T H.265, D.2.28 (mastering display colour volume) and
//! D.2.35 (content light level), which H.264 has in the same form (D.1.29, D.1.31); and the
//! configuration of Dolby Vision ("Dolby Vision Streams Within the ISO Base Media File Format", 3).

use super::bits::rbsp;
use super::nal::sei_messages;

/// Metadata of high dynamic range, as it is written into files: the messages and the boxes `mdcv` and
/// `clli` (ISO/IEC 14496-12, 12.1.6 and 12.1.7) have the same fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HdrMetadata {
    /// `mdcv`: primaries and white point in units of 0.00002, luminance of 0.0001 cd/m2.
    pub mastering_display: Option<[u8; 24]>,
    /// `clli`: `max_content_light_level` and `max_pic_average_light_level`.
    pub content_light: Option<[u8; 4]>,
}

impl HdrMetadata {
    /// Reads the messages of an SEI NAL unit whose header has `header_len` bytes.
    #[must_use]
    pub fn of_sei(nal: &[u8], header_len: usize) -> Self {
        let mut found = Self::default();
        let payload = nal.get(header_len..).unwrap_or_default();
        sei_messages(&rbsp(payload, usize::MAX), |kind, payload| match kind {
            137 => found.mastering_display = payload.first_chunk().copied(),
            144 => found.content_light = payload.first_chunk().copied(),
            _ => {}
        });
        found
    }

    /// With what `newer` says in place of what was known.
    #[must_use]
    pub fn updated(self, newer: Self) -> Self {
        Self {
            mastering_display: newer.mastering_display.or(self.mastering_display),
            content_light: newer.content_light.or(self.content_light),
        }
    }
}

/// Whether an SEI NAL unit whose header has `header_len` bytes holds closed captions: CEA-608 or
/// CEA-708 (ATSC A/72 part 1, 6.4.2; ANSI/CTA-708, 4.3), and not only the room for them.
#[must_use]
pub fn has_captions(nal: &[u8], header_len: usize) -> bool {
    // itu_t_t35_country_code, provider code, "GA94", user_data_type_code of cc_data.
    const CC_DATA: [u8; 8] = [0xb5, 0, 0x31, b'G', b'A', b'9', b'4', 3];
    let payload = nal.get(header_len..).unwrap_or_default();
    let mut found = false;
    sei_messages(&rbsp(payload, usize::MAX), |kind, payload| {
        let Some(data) = payload.strip_prefix(&CC_DATA).filter(|_| kind == 4) else {
            return;
        };
        // process_cc_data_flag and cc_count, em_data, then three bytes for each, with cc_valid.
        let count = data.first().map_or(0, |&flags| usize::from(flags & 0x1f));
        let pairs = data
            .get(2..)
            .unwrap_or_default()
            .chunks_exact(3)
            .take(count);
        found |= pairs
            .into_iter()
            .any(|pair| pair.first().is_some_and(|first| first & 4 != 0));
    });
    found
}

/// A `DOVIDecoderConfigurationRecord`, with the box that it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DolbyVision {
    /// `dvcC`, `dvvC` or `dvwC`.
    pub kind: [u8; 4],
    /// The record.
    pub record: [u8; 24],
}

impl DolbyVision {
    /// `dv_profile`.
    #[must_use]
    pub fn profile(&self) -> u8 {
        let [_, _, profile, ..] = self.record;
        profile >> 1
    }

    /// `dv_bl_signal_compatibility_id`: 0 where the base layer is of no use by itself.
    #[must_use]
    pub fn compatibility(&self) -> u8 {
        let [_, _, _, _, compatibility, ..] = self.record;
        compatibility >> 4
    }

    /// Whether players that know no Dolby Vision show something sensible.
    #[must_use]
    pub fn has_base_layer(&self) -> bool {
        self.profile() != 5 && (self.profile() != 10 || self.compatibility() != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What x265 writes for `master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)
    /// L(10000000,50)` and `max-cll=1000,400`.
    #[test]
    fn messages_are_read_as_the_boxes_have_them() {
        let display = [
            0x33, 0xc2, 0x86, 0xc4, 0x1d, 0x4c, 0x0b, 0xb8, 0x84, 0xd0, 0x3e, 0x80, 0x3d, 0x13,
            0x40, 0x42, 0x00, 0x98, 0x96, 0x80, 0x00, 0x00, 0x00, 0x32,
        ];
        let mut nal = vec![0x4e, 0x01, 137, 24];
        nal.extend_from_slice(&display[..22]);
        // Emulation prevention.
        nal.extend([0x03, 0x00, 0x32, 144, 4, 0x03, 0xe8, 0x01, 0x90, 0x80]);
        let found = HdrMetadata::of_sei(&nal, 2);
        assert_eq!(found.mastering_display, Some(display));
        assert_eq!(found.content_light, Some([0x03, 0xe8, 0x01, 0x90]));
        assert_eq!(HdrMetadata::default().updated(found), found);
        assert_eq!(found.updated(HdrMetadata::default()), found);
        assert_eq!(
            HdrMetadata::of_sei(&[0x4e, 0x01, 137, 4, 1, 2, 3, 4], 2),
            HdrMetadata::default()
        );
    }

    #[test]
    fn captions() {
        let sei = |valid: u8| {
            let mut nal = vec![0x06, 4, 14, 0xb5, 0, 0x31, b'G', b'A', b'9', b'4', 3];
            nal.extend([0x41, 0xff, 0xf8 | valid, 0x80, 0x80, 0xff, 0x80]);
            nal
        };
        assert!(has_captions(&sei(4), 1));
        assert!(!has_captions(&sei(0), 1), "room alone");
        let mut other = sei(4);
        other[7] = b'X';
        assert!(!has_captions(&other, 1));
    }

    #[test]
    fn profiles() {
        let of = |profile: u8, compatibility: u8| {
            let mut record = [1, 0, profile << 1, 0, compatibility << 4, 0].to_vec();
            record.resize(24, 0);
            DolbyVision {
                kind: *b"dvvC",
                record: record.try_into().unwrap_or([0; 24]),
            }
        };
        assert_eq!((of(8, 1).profile(), of(8, 1).compatibility()), (8, 1));
        assert!(of(8, 1).has_base_layer() && of(10, 4).has_base_layer());
        assert!(!of(5, 0).has_base_layer() && !of(10, 0).has_base_layer());
    }
}
