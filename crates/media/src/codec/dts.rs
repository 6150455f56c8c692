//! DTS Coherent Acoustics: ETSI TS 102 114, 5.3 (the header of a core frame), 7.5.2 (extension
//! substreams) and annex E (the fields of MP4).

use super::bits::{BitReader, BitWriter};
use crate::DtsConfig;

/// Sampling rates by `SFREQ` (table 5-5).
const SAMPLE_RATES: [u32; 14] = [
    0, 8_000, 16_000, 32_000, 0, 0, 11_025, 22_050, 44_100, 0, 0, 12_000, 24_000, 48_000,
];

/// Channels by `AMODE` (table 5-4).
const CHANNELS: [u16; 16] = [1, 2, 2, 2, 2, 3, 3, 4, 4, 5, 6, 6, 6, 7, 8, 8];

/// `ChannelLayout` (table E.5) by `AMODE`: centre 1, left and right 2, surrounds 4, rear centre 16.
const LAYOUTS: [u16; 10] = [1, 2, 2, 2, 2, 3, 18, 19, 6, 7];
const LAYOUT_LFE: u16 = 8;

/// What an extension substream holds, by its syncword, and the `StreamConstruction` (table E.2) that
/// it makes together with a core.
const EXTENSIONS: [([u8; 4], u8); 4] = [
    ([0x41, 0xa2, 0x95, 0x47], 14), // XLL
    ([0x65, 0x5e, 0x31, 0x5e], 6),  // XBR
    ([0x47, 0x00, 0x4a, 0x03], 5),  // XXCH
    ([0x1d, 0x95, 0xf2, 0x62], 9),  // X96
];

/// A core frame, or an extension substream behind one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DtsHeader {
    /// A core frame: an access unit begins.
    Core(DtsCore),
    /// An extension substream, which belongs to the core frame before it.
    Extension {
        /// Bytes of the whole substream.
        len: u32,
    },
}

/// The header of a core frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DtsCore {
    /// Bytes of the frame: `FSIZE + 1`.
    pub frame_len: u16,
    /// PCM samples per channel: `(NBLKS + 1) * 32`.
    pub samples: u16,
    /// `AMODE`.
    pub amode: u8,
    /// Whether there is a low frequency effects channel (`LFF`).
    pub lfe: bool,
    /// Sampling rate in Hz.
    pub sample_rate: u32,
    /// Bits of a source sample (`PCMR`).
    pub pcm_depth: u8,
    /// `EXT_AUDIO_ID`, where there is such an extension inside the core frame.
    pub extension: Option<u8>,
}

impl DtsHeader {
    /// Bytes that [`parse`](Self::parse) looks at, at most.
    pub const LEN: usize = 16;
    /// The first byte of a core frame.
    pub const SYNC_CORE: u8 = 0x7f;
    /// The first byte of an extension substream.
    pub const SYNC_EXTENSION: u8 = 0x64;

    /// Reads the header at the start of `bytes`; `None` where there is none, or not all of it.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(bytes.get(..Self::LEN)?);
        match bits.u(32)? {
            0x7ffe_8001 => core(&mut bits).map(Self::Core),
            0x6458_2025 => {
                bits.skip(10)?;
                let (header, size) = if bits.flag()? { (12, 20) } else { (8, 16) };
                bits.skip(header)?;
                let len = bits.u(size)?.saturating_add(1);
                (len > 10).then_some(Self::Extension { len })
            }
            _ => None,
        }
    }

    /// Bytes of the frame or substream.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Core(core) => core.frame_len.into(),
            Self::Extension { len } => usize::try_from(*len).unwrap_or(usize::MAX),
        }
    }

    /// Never: see [`len`](Self::len).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `other` can be of the same stream without a change of configuration.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Core(a), Self::Core(b)) => {
                let kept = |core: &DtsCore| DtsCore {
                    frame_len: 0,
                    ..*core
                };
                kept(a) == kept(b)
            }
            _ => true,
        }
    }
}

fn core(bits: &mut BitReader<'_>) -> Option<DtsCore> {
    // FTYPE and SHORT.
    bits.skip(6)?;
    let checked = bits.flag()?;
    let blocks = bits.u16(7)?.saturating_add(1);
    let frame_len = bits.u16(14)?.saturating_add(1);
    let amode = bits.u8(6)?;
    let sample_rate = *SAMPLE_RATES.get(usize::from(bits.u8(4)?))?;
    // RATE, a fixed bit, DYNF, TIMEF, AUXF, HDCD.
    bits.skip(10)?;
    let (extension, extended) = (bits.u8(3)?, bits.flag()?);
    // ASPF, LFF, HFLAG.
    bits.skip(1)?;
    let lff = bits.u8(2)?;
    bits.skip(1)?;
    if checked {
        bits.skip(16)?;
    }
    // FILTS, VERNUM, CHIST.
    bits.skip(7)?;
    let pcm_depth = match bits.u8(3)? {
        0 | 1 => 16,
        2 | 3 => 20,
        _ => 24,
    };
    let sound = sample_rate > 0 && lff < 3 && blocks >= 6 && frame_len >= 96;
    (sound && usize::from(amode) < CHANNELS.len()).then_some(DtsCore {
        frame_len,
        samples: blocks.saturating_mul(32),
        amode,
        lfe: lff > 0,
        sample_rate,
        pcm_depth,
        extension: extended.then_some(extension),
    })
}

/// The configuration that an access unit needs: a core frame with the extension substreams behind it.
#[must_use]
pub fn config(unit: &[u8]) -> Option<DtsConfig> {
    let Some(DtsHeader::Core(core)) = DtsHeader::parse(unit) else {
        return None;
    };
    let behind = unit.get(usize::from(core.frame_len)..).unwrap_or_default();
    let stream_construction = match (behind, core.extension) {
        ([], Some(0)) => 2,
        ([], Some(2)) => 4,
        ([], Some(6)) => 3,
        ([], _) => 1,
        (behind, _) => {
            let holds = |sync: &[u8; 4]| behind.windows(4).any(|four| four == sync);
            let found = EXTENSIONS.iter().find(|(sync, _)| holds(sync));
            // 0 leaves it to the decoder.
            found.map_or(0, |(_, construction)| *construction)
        }
    };
    let frame_duration: u32 = match core.samples {
        0..=512 => 0,
        513..=1024 => 1,
        1025..=2048 => 2,
        _ => 3,
    };
    let layout = LAYOUTS.get(usize::from(core.amode)).copied().unwrap_or(0);
    let lfe = if core.lfe { LAYOUT_LFE } else { 0 };
    let mut fields = BitWriter::default();
    for (value, count) in [
        (frame_duration, 2),
        (u32::from(stream_construction), 5),
        (u32::from(core.lfe), 1),
        (u32::from(core.amode), 6),
        (u32::from(core.frame_len.saturating_sub(1)), 14),
        // StereoDownmix and RepresentationType.
        (0, 4),
        (u32::from(layout | lfe), 16),
        // MultiAssetFlag, LBRDurationMod, ReservedBoxPresent, Reserved.
        (0, 8),
    ] {
        fields.push(value, count);
    }
    let channels = *CHANNELS.get(usize::from(core.amode))?;
    Some(DtsConfig {
        sample_rate: core.sample_rate,
        channels: channels.saturating_add(u16::from(core.lfe)),
        frame_samples: core.samples,
        pcm_depth: if core.pcm_depth > 16 { 24 } else { 16 },
        stream_construction,
        has_extension: !behind.is_empty(),
        fields: fields.into_bytes().try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What FFmpeg's encoder writes: 48 kHz, stereo, 512 samples in 1024 bytes.
    const FFMPEG: [u8; 16] = [
        0x7f, 0xfe, 0x80, 0x01, 0xfc, 0x3c, 0x3f, 0xf0, 0xb5, 0xe0, 0x01, 0x38, 0x00, 0x03, 0xef,
        0x7f,
    ];

    #[test]
    fn a_core_frame() {
        let Some(DtsHeader::Core(core)) = DtsHeader::parse(&FFMPEG) else {
            panic!("no core");
        };
        assert_eq!((core.frame_len, core.samples), (1024, 512));
        assert_eq!((core.sample_rate, core.amode), (48_000, 2));
        let mut unit = FFMPEG.to_vec();
        unit.resize(1024, 0);
        let alone = config(&unit).unwrap();
        assert_eq!((alone.channels, alone.stream_construction), (2, 1));
        // 512 samples, construction 1, no LFE; stereo, 1023 bytes; left and right.
        assert_eq!(alone.fields, [0x02, 0x08, 0x3f, 0xf0, 0x00, 0x02, 0x00]);
        assert_eq!(alone.entry(), *b"dtsc");
        unit.extend([0x64, 0x58, 0x20, 0x25, 0, 0, 0, 0]);
        unit.extend([0x41, 0xa2, 0x95, 0x47]);
        let lossless = config(&unit).unwrap();
        assert_eq!(
            (lossless.stream_construction, lossless.entry()),
            (14, *b"dtsh")
        );
    }

    #[test]
    fn an_extension_substream() {
        // A short header of 32 bytes, 256 bytes in all.
        let mut bits = BitWriter::default();
        for (value, count) in [
            (0x6458_2025, 32),
            (0, 10),
            (0, 1),
            (31, 8),
            (255, 16),
            (0, 32),
        ] {
            bits.push(value, count);
        }
        let mut bytes = bits.into_bytes();
        bytes.resize(16, 0);
        assert_eq!(
            DtsHeader::parse(&bytes),
            Some(DtsHeader::Extension { len: 256 })
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, extension: bool) {
            let sync = if extension { 0x6458_2025u32 } else { 0x7ffe_8001 };
            if let Some(start) = bytes.first_chunk_mut() {
                *start = sync.to_be_bytes();
            }
            if let Some(header) = DtsHeader::parse(&bytes) {
                prop_assert!(!header.is_empty() && header.agrees(&header));
                let _ = config(&bytes);
            }
        }
    }
}
