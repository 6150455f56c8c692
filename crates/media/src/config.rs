use bytes::Bytes;

use crate::codec::hdr::{DolbyVision, HdrMetadata};

/// What sort of media a track holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Subtitles.
    Text,
}

/// A ratio of two whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rational {
    /// Numerator.
    pub num: u32,
    /// Denominator, never zero.
    pub den: u32,
}

/// Chroma sampling, with the values of `chroma_format_idc` (Rec. ITU-T H.264, 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum Chroma {
    /// Luma only.
    Monochrome = 0,
    /// 4:2:0.
    #[default]
    Yuv420 = 1,
    /// 4:2:2.
    Yuv422 = 2,
    /// 4:4:4.
    Yuv444 = 3,
}

/// Colour description, with the code points of Rec. ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Colour {
    /// `colour_primaries`, 2 when unspecified.
    pub primaries: u8,
    /// `transfer_characteristics`, 2 when unspecified.
    pub transfer: u8,
    /// `matrix_coefficients`, 2 when unspecified.
    pub matrix: u8,
    /// Whether samples use the whole range of values.
    pub full_range: bool,
}

/// What the pictures of a video track look like.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct VideoFormat {
    /// Width in luma samples, after cropping.
    pub width: u32,
    /// Height in luma samples of a frame (not of a field), after cropping.
    pub height: u32,
    /// Sample aspect ratio; `None` when unspecified.
    pub sample_aspect_ratio: Option<Rational>,
    /// Colour description; `None` when the stream has none.
    pub colour: Option<Colour>,
    /// Frames per second, as the stream's headers state it; `None` when they do not.
    pub frame_rate: Option<Rational>,
    /// Chroma sampling.
    pub chroma: Chroma,
    /// Bits of a luma sample.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample.
    pub bit_depth_chroma: u8,
    /// How many frames may precede a frame in decode order and follow it in output order;
    /// `None` when the stream does not say.
    pub reorder_depth: Option<u8>,
    /// What is known of their dynamic range.
    pub hdr: HdrMetadata,
    /// The configuration of Dolby Vision, where the container has one.
    pub dolby_vision: Option<DolbyVision>,
    /// By how many degrees players turn them clockwise: 0, 90, 180 or 270.
    pub rotation: u16,
}

impl VideoFormat {
    /// Takes from `other` what is not known here and can be known without the codec's headers.
    pub fn fill(&mut self, other: &Self) {
        self.sample_aspect_ratio = self.sample_aspect_ratio.or(other.sample_aspect_ratio);
        self.colour = self.colour.or(other.colour);
        self.hdr = other.hdr.updated(self.hdr);
        self.dolby_vision = self.dolby_vision.or(other.dolby_vision);
        if self.rotation == 0 {
            self.rotation = other.rotation;
        }
    }
}

/// H.264: parameter sets without start codes, each beginning with its NAL unit header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct H264Config {
    /// Sequence parameter sets, ordered by their identifier. Never empty.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, ordered by their identifier.
    pub pps: Vec<Bytes>,
    /// Sequence parameter set extensions (NAL unit type 13).
    pub sps_extensions: Vec<Bytes>,
    /// `profile_idc` of the first SPS.
    pub profile_idc: u8,
    /// The byte of `constraint_set*_flag`s of the first SPS.
    pub constraint_flags: u8,
    /// `level_idc` of the first SPS.
    pub level_idc: u8,
    /// The pictures, as the first SPS describes them.
    pub video: VideoFormat,
}

/// H.265: parameter sets without start codes, each beginning with its two-byte NAL unit header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct H265Config {
    /// Video parameter sets.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets. Never empty.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets.
    pub pps: Vec<Bytes>,
    /// `general_profile_space`, 2 bits.
    pub general_profile_space: u8,
    /// `general_tier_flag`.
    pub general_tier_flag: bool,
    /// `general_profile_idc`, 5 bits.
    pub general_profile_idc: u8,
    /// `general_profile_compatibility_flag[0..32]`, first flag in the highest bit.
    pub general_profile_compatibility_flags: u32,
    /// The 48 constraint bits that follow, right-aligned.
    pub general_constraint_indicator_flags: u64,
    /// `general_level_idc`.
    pub general_level_idc: u8,
    /// `min_spatial_segmentation_idc`, 12 bits, 0 when unknown.
    pub min_spatial_segmentation_idc: u16,
    /// `parallelismType` of `hvcC`, 0 when unknown.
    pub parallelism_type: u8,
    /// `sps_max_sub_layers_minus1 + 1`.
    pub temporal_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub temporal_id_nested: bool,
    /// The pictures, as the first SPS describes them.
    pub video: VideoFormat,
}

/// MPEG-2 video (Rec. ITU-T H.262), or MPEG-1 video (ISO/IEC 11172-2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Mpeg2VideoConfig {
    /// Sequence header with its extensions, start codes included: the `DecoderSpecificInfo`.
    pub sequence_header: Bytes,
    /// `objectTypeIndication` of the `esds`: 0x60 to 0x65 for MPEG-2, 0x6a for MPEG-1.
    pub object_type: u8,
    /// The pictures.
    pub video: VideoFormat,
}

/// AAC with its `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AacConfig {
    /// The `AudioSpecificConfig`, whole.
    pub audio_specific_config: Bytes,
    /// `audioObjectType` of the core: 2 for AAC LC.
    pub object_type: u8,
    /// Sampling rate of the core in Hz: half of what is heard where SBR is in use.
    pub sample_rate: u32,
    /// Channels of the core; 0 when the stream leaves it to a program config element that could
    /// not be read.
    pub channels: u16,
    /// PCM samples per channel in one frame: 1024, or 960.
    pub frame_samples: u16,
}

/// MPEG audio (ISO/IEC 11172-3, ISO/IEC 13818-3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MpegAudioConfig {
    /// 1, 2 or 3.
    pub layer: u8,
    /// Sampling rate in Hz.
    pub sample_rate: u32,
    /// Channels: 1 or 2.
    pub channels: u16,
    /// PCM samples per channel in one frame: 384, 576 or 1152.
    pub frame_samples: u16,
}

/// AC-3: the fields of `dac3` (ETSI TS 102 366, F.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ac3Config {
    /// Sampling rate in Hz.
    pub sample_rate: u32,
    /// Channels, the low frequency effects channel included.
    pub channels: u16,
    /// `fscod`.
    pub fscod: u8,
    /// `bsid`.
    pub bsid: u8,
    /// `bsmod`.
    pub bsmod: u8,
    /// `acmod`.
    pub acmod: u8,
    /// `lfeon`.
    pub lfeon: bool,
    /// `frmsizecod >> 1`.
    pub bit_rate_code: u8,
}

/// One independent substream of E-AC-3, as `dec3` lists it (ETSI TS 102 366, F.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Eac3Substream {
    /// `fscod`.
    pub fscod: u8,
    /// `bsid`.
    pub bsid: u8,
    /// `asvc`: an associated service.
    pub asvc: bool,
    /// `bsmod`.
    pub bsmod: u8,
    /// `acmod`.
    pub acmod: u8,
    /// `lfeon`.
    pub lfeon: bool,
    /// How many dependent substreams follow it.
    pub num_dep_sub: u8,
    /// `chan_loc` of the dependent substreams, 9 bits.
    pub chan_loc: u16,
}

/// E-AC-3: the fields of `dec3` (ETSI TS 102 366, F.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Eac3Config {
    /// Sampling rate in Hz.
    pub sample_rate: u32,
    /// Channels of the first program, its dependent substreams included.
    pub channels: u16,
    /// Data rate in kbit/s.
    pub data_rate: u16,
    /// Independent substreams, at least one.
    pub substreams: Vec<Eac3Substream>,
    /// `complexity_index_type_a` where Joint Object Coding (Dolby Atmos) is signalled.
    pub joc_complexity: Option<u8>,
}

/// DTS: the fields of `ddts` (ETSI TS 102 114, annex E).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DtsConfig {
    /// Sampling rate in Hz.
    pub sample_rate: u32,
    /// Channels of the core, the low frequency effects channel included.
    pub channels: u16,
    /// PCM samples per channel in one frame.
    pub frame_samples: u16,
    /// `pcmSampleDepth`: 16 or 24.
    pub pcm_depth: u8,
    /// `StreamConstruction`; 0 leaves it to the decoder.
    pub stream_construction: u8,
    /// Whether extension substreams follow the core frames.
    pub has_extension: bool,
    /// The fields behind `pcmSampleDepth`, from `FrameDuration` on.
    pub fields: [u8; 7],
}

impl DtsConfig {
    /// The sample entry (table E.1).
    #[must_use]
    pub fn entry(&self) -> [u8; 4] {
        match self.stream_construction {
            1..=4 => *b"dtsc",
            17 => *b"dtsl",
            18 => *b"dtse",
            0 if !self.has_extension => *b"dtsc",
            _ => *b"dtsh",
        }
    }
}

/// Opus (RFC 7845, and ETSI TS 103 491 for MPEG-TS).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OpusConfig {
    /// Output channels.
    pub channels: u8,
    /// Samples at 48 kHz to drop at the start of decoding.
    pub pre_skip: u16,
    /// Sampling rate of the original input in Hz; informative, 48,000 when unknown.
    pub input_sample_rate: u32,
    /// Output gain in 1/256 dB.
    pub output_gain: i16,
    /// Channel mapping family.
    pub mapping_family: u8,
    /// Streams, coupled streams and the mapping of each channel; empty for family 0.
    pub mapping: Bytes,
}

/// AV1: the `av1C` record ("AV1 Codec ISO Media File Format Binding", 2.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Av1Config {
    /// The `AV1CodecConfigurationRecord`, whole: four bytes of fields, then OBUs.
    pub record: Bytes,
    /// `seq_profile`, 3 bits.
    pub profile: u8,
    /// `seq_level_idx_0`, 5 bits.
    pub level: u8,
    /// `seq_tier_0`: the high tier.
    pub high_tier: bool,
    /// The pictures.
    pub video: VideoFormat,
}

/// VP9: the `vpcC` record ("VP Codec ISO Media File Format Binding", "VP Codec Configuration
/// Record").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Vp9Config {
    /// The `VPCodecConfigurationRecord`, whole, without version and flags.
    pub record: Bytes,
    /// `profile`, 0 to 3.
    pub profile: u8,
    /// `level`, ten times the level.
    pub level: u8,
    /// The pictures.
    pub video: VideoFormat,
}

/// FLAC ("Encapsulation of FLAC in ISO Base Media File Format", 3.3.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FlacConfig {
    /// The metadata blocks of `dfLa`, each with its header; the first is `STREAMINFO`.
    pub metadata: Bytes,
    /// Sampling rate in Hz.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u16,
    /// Bits of a sample.
    pub bits: u8,
}

/// WebVTT (ISO/IEC 14496-30, 7.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WebVttConfig {
    /// What stands before the first cue. It begins with `WEBVTT`.
    pub header: String,
}

/// What a decoder must know before the first sample: the content of a sample entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the codec that it names")]
pub enum CodecConfig {
    H264(H264Config),
    H265(H265Config),
    Mpeg2Video(Mpeg2VideoConfig),
    Aac(AacConfig),
    MpegAudio(MpegAudioConfig),
    Ac3(Ac3Config),
    Eac3(Eac3Config),
    Dts(DtsConfig),
    Opus(OpusConfig),
    Av1(Av1Config),
    Vp9(Vp9Config),
    Flac(FlacConfig),
    WebVtt(WebVttConfig),
}

impl CodecConfig {
    /// Pictures, sound or subtitles.
    #[must_use]
    pub fn kind(&self) -> TrackKind {
        match self {
            Self::H264(_) | Self::H265(_) | Self::Mpeg2Video(_) | Self::Av1(_) | Self::Vp9(_) => {
                TrackKind::Video
            }
            Self::Aac(_)
            | Self::MpegAudio(_)
            | Self::Ac3(_)
            | Self::Eac3(_)
            | Self::Dts(_)
            | Self::Opus(_)
            | Self::Flac(_) => TrackKind::Audio,
            Self::WebVtt(_) => TrackKind::Text,
        }
    }

    /// The picture format, of a video configuration.
    #[must_use]
    pub fn video(&self) -> Option<&VideoFormat> {
        match self {
            Self::H264(c) => Some(&c.video),
            Self::H265(c) => Some(&c.video),
            Self::Mpeg2Video(c) => Some(&c.video),
            Self::Av1(c) => Some(&c.video),
            Self::Vp9(c) => Some(&c.video),
            _ => None,
        }
    }

    /// The picture format, of a video configuration.
    pub fn video_mut(&mut self) -> Option<&mut VideoFormat> {
        match self {
            Self::H264(c) => Some(&mut c.video),
            Self::H265(c) => Some(&mut c.video),
            Self::Mpeg2Video(c) => Some(&mut c.video),
            Self::Av1(c) => Some(&mut c.video),
            Self::Vp9(c) => Some(&mut c.video),
            _ => None,
        }
    }

    /// Sampling rate in Hz, of an audio configuration.
    #[must_use]
    pub fn sample_rate(&self) -> Option<u32> {
        match self {
            Self::Aac(c) => Some(c.sample_rate),
            Self::MpegAudio(c) => Some(c.sample_rate),
            Self::Ac3(c) => Some(c.sample_rate),
            Self::Eac3(c) => Some(c.sample_rate),
            Self::Dts(c) => Some(c.sample_rate),
            // Opus always decodes at 48 kHz (RFC 7845, 5.1).
            Self::Opus(_) => Some(48_000),
            Self::Flac(c) => Some(c.sample_rate),
            _ => None,
        }
    }

    /// Channels, of an audio configuration.
    #[must_use]
    pub fn channels(&self) -> Option<u16> {
        match self {
            Self::Aac(c) => Some(c.channels),
            Self::MpegAudio(c) => Some(c.channels),
            Self::Ac3(c) => Some(c.channels),
            Self::Eac3(c) => Some(c.channels),
            Self::Dts(c) => Some(c.channels),
            Self::Opus(c) => Some(u16::from(c.channels)),
            Self::Flac(c) => Some(c.channels),
            _ => None,
        }
    }

    /// The codec's name in words: `H.264`, `AAC`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::H264(_) => "H.264",
            Self::H265(_) => "H.265",
            Self::Mpeg2Video(c) if c.object_type == 0x6a => "MPEG-1 video",
            Self::Mpeg2Video(_) => "MPEG-2 video",
            Self::Aac(_) => "AAC",
            Self::MpegAudio(c) => match c.layer {
                1 => "MPEG audio layer I",
                2 => "MPEG audio layer II",
                _ => "MP3",
            },
            Self::Ac3(_) => "AC-3",
            Self::Eac3(_) => "E-AC-3",
            Self::Dts(c) if c.entry() == *b"dtsc" => "DTS",
            Self::Dts(c) if c.entry() == *b"dtse" => "DTS Express",
            Self::Dts(_) => "DTS-HD",
            Self::Opus(_) => "Opus",
            Self::Av1(_) => "AV1",
            Self::Vp9(_) => "VP9",
            Self::Flac(_) => "FLAC",
            Self::WebVtt(_) => "WebVTT",
        }
    }

    /// The `codecs` parameter of RFC 6381, as in `avc1.64001f`, `hvc1.1.6.L93.B0`, `mp4a.40.2`.
    #[must_use]
    pub fn rfc6381(&self) -> String {
        match self {
            Self::H264(c) => format!(
                "avc1.{:02x}{:02x}{:02x}",
                c.profile_idc, c.constraint_flags, c.level_idc
            ),
            Self::H265(c) => h265_rfc6381(c),
            Self::Mpeg2Video(c) => format!("mp4v.{:02x}", c.object_type),
            Self::Aac(c) => format!("mp4a.40.{}", c.object_type),
            // 0x69 is MPEG-2 part 3 (the half rates), 0x6b is MPEG-1 part 3.
            Self::MpegAudio(c) if c.sample_rate < 32_000 => "mp4a.69".to_owned(),
            // Chromium compares these with case, and knows them in this one.
            Self::MpegAudio(_) => "mp4a.6B".to_owned(),
            Self::Ac3(_) => "ac-3".to_owned(),
            Self::Eac3(_) => "ec-3".to_owned(),
            Self::Dts(c) => c.entry().escape_ascii().to_string(),
            // As MP4RA registers the sample entry; Safari takes no other case.
            Self::Opus(_) => "Opus".to_owned(),
            // The short form of section 5 of the binding: what follows has its default values.
            Self::Av1(c) => format!(
                "av01.{}.{:02}{}.{:02}",
                c.profile,
                c.level,
                if c.high_tier { 'H' } else { 'M' },
                c.video.bit_depth_luma
            ),
            Self::Vp9(c) => format!(
                "vp09.{:02}.{:02}.{:02}",
                c.profile, c.level, c.video.bit_depth_luma
            ),
            Self::Flac(_) => "fLaC".to_owned(),
            Self::WebVtt(_) => "wvtt".to_owned(),
        }
    }
}

/// ISO/IEC 14496-15, annex E.3.
fn h265_rfc6381(config: &H265Config) -> String {
    let space = match config.general_profile_space {
        1 => "A",
        2 => "B",
        3 => "C",
        _ => "",
    };
    let tier = if config.general_tier_flag { 'H' } else { 'L' };
    let mut text = format!(
        "hvc1.{space}{}.{:X}.{tier}{}",
        config.general_profile_idc,
        config.general_profile_compatibility_flags.reverse_bits(),
        config.general_level_idc
    );
    let [_, _, constraints @ ..] = config.general_constraint_indicator_flags.to_be_bytes();
    let kept = constraints
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last.saturating_add(1));
    for byte in constraints.iter().take(kept) {
        text.push_str(&format!(".{byte:X}"));
    }
    text
}
