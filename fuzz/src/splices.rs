//! Splices (ANSI/SCTE 35) whose length and check sum are right, whatever they say.

use clipmill_media::scte35::{SpliceCommand, SpliceInfo};

/// A `splice_info_section` but for its `CRC_32`.
pub fn splice(data: &[u8]) {
    // As it is, too: most are damaged.
    let _ = SpliceInfo::parse(data);
    let _ = SpliceInfo::from_hex(&String::from_utf8_lossy(data));
    let mut section = data.to_vec();
    section.truncate(4_000);
    if section.len() < 3 {
        return;
    }
    let length = section.len() + 1;
    section[0] = 0xfc;
    section[1] = section[1] & 0xf0 | (length >> 8) as u8;
    section[2] = length as u8;
    section.extend(crc(&section).to_be_bytes());
    let Ok(info) = SpliceInfo::parse(&section) else {
        return;
    };
    assert!(info.pts().is_none_or(|pts| pts < 1 << 33));
    if info.command == SpliceCommand::Encrypted {
        assert!(info.segmentations.is_empty(), "nothing of it can be read");
    }
    for one in &info.segmentations {
        assert!(!(one.is_start() && one.is_end()));
        assert!(one.upid.len() <= 255 && one.duration.is_none_or(|ticks| ticks < 1 << 40));
        assert!(one.name().is_none_or(|name| !name.is_empty()));
    }
    // It says the same whatever follows.
    section.extend([1, 2, 3]);
    assert_eq!(SpliceInfo::parse(&section), Ok(info));
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = (crc << 1) ^ ((crc >> 31) * 0x04c1_1db7);
        }
    }
    crc
}
