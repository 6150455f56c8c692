//! Sample entries (ISO/IEC 14496-12, 8.5.2, 12.1.3 and 12.2.3): what a decoder must know.
//!
//! H.264 and H.265: ISO/IEC 14496-15, 5.4 and 8.4, with the parameter sets here alone. AAC, MPEG
//! audio and MPEG-2 video: ISO/IEC 14496-14, 5.6. AC-3 and E-AC-3: ETSI TS 102 366, annex F.
//! DTS: ETSI TS 102 114, annex E. Opus, AV1, VP9 and FLAC: their own bindings to the format, named with each.

use bytes::Bytes;
use clipmill_media::{
    AacConfig, Ac3Config, Av1Config, Chroma, CodecConfig, Colour, DtsConfig, Eac3Config,
    FlacConfig, H264Config, H265Config, Mpeg2VideoConfig, MpegAudioConfig, OpusConfig, VideoFormat,
    Vp9Config, WebVttConfig,
};
use mp4_atom::esds::{DecoderConfig, DecoderSpecific, EsDescriptor, SLConfig};
use mp4_atom::{
    Ac3SpecificBox, Audio, Avcc, AvccExt, Btrt, Colr, Dops, Encode, Esds, FixedPoint, HvcCArray,
    Hvcc, OpusChannelMapping, Pasp, Visual,
};

use crate::boxes::Boxes;
use crate::tables::BitRate;

type Result<T> = std::result::Result<T, &'static str>;

/// One sample entry. `rate` is what `btrt` and `esds` state, where it is known.
pub(crate) fn sample_entry(
    b: &mut Boxes,
    config: &CodecConfig,
    rate: Option<BitRate>,
) -> Result<()> {
    match config {
        CodecConfig::H264(c) => {
            let avcc = avc_configuration(c)?;
            visual(
                b,
                entry_name(b"avc1", b"dva1", &c.video),
                &c.video,
                rate,
                "AVC Coding",
                |b| atom(b, &avcc),
            )
        }
        CodecConfig::H265(c) => {
            let hvcc = hevc_configuration(c)?;
            visual(
                b,
                entry_name(b"hvc1", b"dvh1", &c.video),
                &c.video,
                rate,
                "HEVC Coding",
                |b| atom(b, &hvcc),
            )
        }
        CodecConfig::Mpeg2Video(c) => mpeg2_video(b, c, rate),
        CodecConfig::Aac(c) => aac(b, c, rate),
        CodecConfig::MpegAudio(c) => mpeg_audio(b, c, rate),
        CodecConfig::Ac3(c) => ac3(b, c, rate),
        CodecConfig::Eac3(c) => eac3(b, c, rate),
        CodecConfig::Dts(c) => dts(b, c, rate),
        CodecConfig::Opus(c) => opus(b, c, rate),
        CodecConfig::Av1(c) => av1(b, c, rate),
        CodecConfig::Vp9(c) => vp9(b, c, rate),
        CodecConfig::Flac(c) => flac(b, c, rate),
        CodecConfig::WebVtt(c) => webvtt(b, c, rate),
        _ => Err("this codec has no sample entry yet"),
    }
}

/// `wvtt` (ISO/IEC 14496-30, 7.5): a `PlainTextSampleEntry` with the header of the text in `vttC`.
fn webvtt(b: &mut Boxes, config: &WebVttConfig, rate: Option<BitRate>) -> Result<()> {
    boxed(b, b"wvtt", |b| {
        b.zeros(6);
        b.u16(1); // data_reference_index
        boxed(b, b"vttC", |b| {
            b.bytes(config.header.as_bytes());
            Ok(())
        })?;
        bit_rate(b, rate)
    })
}

/// The parameter sets of a video configuration, each behind its length in four bytes: what a
/// sample begins with when its sample entry cannot hold them. `None` for other codecs.
pub(crate) fn in_band(config: &CodecConfig) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut put = |sets: &[Bytes]| {
        for set in sets {
            let len = u32::try_from(set.len()).ok()?;
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(set);
        }
        Some(())
    };
    match config {
        CodecConfig::H264(c) => {
            put(&c.sps)?;
            put(&c.sps_extensions)?;
            put(&c.pps)?;
        }
        CodecConfig::H265(c) => {
            put(&c.vps)?;
            put(&c.sps)?;
            put(&c.pps)?;
        }
        // The sequence header is repeated in the stream itself.
        CodecConfig::Mpeg2Video(_) => {}
        // Every key frame of AV1 comes with its sequence header, and VP9 has none.
        CodecConfig::Av1(_) | CodecConfig::Vp9(_) => {}
        _ => return None,
    }
    Some(out)
}

/// Width and height of the picture as shown, in 16.16: `tkhd` (ISO/IEC 14496-12, 8.3.2).
pub(crate) fn display_size(video: &VideoFormat) -> Option<(u32, u32)> {
    let (mut num, mut den) = (1, 1);
    if let Some(ratio) = video.sample_aspect_ratio
        && ratio.num != 0
        && ratio.den != 0
    {
        (num, den) = (u64::from(ratio.num), u64::from(ratio.den));
    }
    let width = (u64::from(video.width) << 16)
        .checked_mul(num)?
        .checked_div(den)?;
    let height = u64::from(video.height) << 16;
    Some((u32::try_from(width).ok()?, u32::try_from(height).ok()?))
}

fn atom(b: &mut Boxes, atom: &impl Encode) -> Result<()> {
    b.atom(atom, "").map_err(|_| "a field is out of range")
}

fn boxed(b: &mut Boxes, kind: &[u8; 4], body: impl FnOnce(&mut Boxes) -> Result<()>) -> Result<()> {
    let mut inner = Ok(());
    b.boxed(kind, |b| {
        inner = body(b);
        Ok(())
    })
    .map_err(|_| "the sample entry is too large")?;
    inner
}

fn raw(b: &mut Boxes, kind: &[u8; 4], content: &[u8]) -> Result<()> {
    boxed(b, kind, |b| {
        b.bytes(content);
        Ok(())
    })
}

/// The sample entry of Dolby Vision, where its base layer is of no use by itself ("Dolby Vision
/// Streams Within the ISO Base Media File Format", 3.2).
fn entry_name<'a>(base: &'a [u8; 4], dolby: &'a [u8; 4], video: &VideoFormat) -> &'a [u8; 4] {
    match video.dolby_vision {
        Some(vision) if !vision.has_base_layer() => dolby,
        _ => base,
    }
}

/// A `VisualSampleEntry` (ISO/IEC 14496-12, 12.1.3) with `colr` (12.1.5), `mdcv` and `clli`
/// (12.1.7 and 12.1.6), `pasp` (12.1.4) and `btrt` (8.5.2.2).
fn visual(
    b: &mut Boxes,
    kind: &[u8; 4],
    video: &VideoFormat,
    rate: Option<BitRate>,
    compressor: &str,
    codec: impl FnOnce(&mut Boxes) -> Result<()>,
) -> Result<()> {
    let size = |value: u32| u16::try_from(value).map_err(|_| "the picture is too large");
    let entry = Visual {
        data_reference_index: 1,
        width: size(video.width)?,
        height: size(video.height)?,
        compressor: compressor.into(),
        ..Default::default()
    };
    boxed(b, kind, |b| {
        atom(b, &entry)?;
        codec(b)?;
        if let Some(vision) = video.dolby_vision {
            raw(b, &vision.kind, &vision.record)?;
        }
        if let Some(colour) = video.colour {
            atom(b, &colour_information(colour))?;
        }
        if let Some(display) = video.hdr.mastering_display {
            raw(b, b"mdcv", &display)?;
        }
        if let Some(light) = video.hdr.content_light {
            raw(b, b"clli", &light)?;
        }
        if let Some(ratio) = video.sample_aspect_ratio
            && ratio.num != 0
            && ratio.den != 0
        {
            let (h_spacing, v_spacing) = (ratio.num, ratio.den);
            atom(
                b,
                &Pasp {
                    h_spacing,
                    v_spacing,
                },
            )?;
        }
        bit_rate(b, rate)
    })
}

/// An `AudioSampleEntry` of version 0 (ISO/IEC 14496-12, 12.2.3).
fn audio(
    b: &mut Boxes,
    kind: &[u8; 4],
    channels: u16,
    sample_rate: u32,
    rate: Option<BitRate>,
    codec: impl FnOnce(&mut Boxes) -> Result<()>,
) -> Result<()> {
    let entry = Audio {
        data_reference_index: 1,
        // Zero where a program config element holds them; the field has no such value.
        channel_count: if channels == 0 { 2 } else { channels },
        sample_size: 16,
        // 16.16 holds no more than 65,535 Hz; beyond that the codec's own box tells.
        sample_rate: FixedPoint::from(u16::try_from(sample_rate).unwrap_or(0)),
    };
    boxed(b, kind, |b| {
        atom(b, &entry)?;
        codec(b)?;
        bit_rate(b, rate)
    })
}

fn bit_rate(b: &mut Boxes, rate: Option<BitRate>) -> Result<()> {
    let Some(rate) = rate else { return Ok(()) };
    let btrt = Btrt {
        buffer_size_db: rate.buffer,
        max_bitrate: rate.max,
        avg_bitrate: rate.average,
    };
    atom(b, &btrt)
}

fn colour_information(colour: Colour) -> Colr {
    Colr::Nclx {
        colour_primaries: colour.primaries.into(),
        transfer_characteristics: colour.transfer.into(),
        matrix_coefficients: colour.matrix.into(),
        full_range_flag: colour.full_range,
    }
}

/// Sets that each have a 16-bit length, no more than `most` of them.
fn parameter_sets(sets: &[Bytes], most: usize) -> Result<Vec<Vec<u8>>> {
    if sets.len() > most {
        return Err("there are too many parameter sets");
    }
    if sets.iter().any(|set| set.len() > usize::from(u16::MAX)) {
        return Err("a parameter set is too large");
    }
    Ok(sets.iter().map(|set| set.to_vec()).collect())
}

/// `avcC` (ISO/IEC 14496-15, 5.3.3.1).
fn avc_configuration(c: &H264Config) -> Result<Avcc> {
    if c.sps.is_empty() {
        return Err("there is no sequence parameter set");
    }
    // The profiles for which 5.3.3.1.2 has the record go on.
    let extended = matches!(c.profile_idc, 100 | 110 | 122 | 144 | 244 | 44);
    let ext = extended.then(|| {
        Ok(AvccExt {
            chroma_format: c.video.chroma as u8,
            bit_depth_luma: c.video.bit_depth_luma.max(8),
            bit_depth_chroma: c.video.bit_depth_chroma.max(8),
            sequence_parameter_sets_ext: parameter_sets(&c.sps_extensions, 255)?,
        })
    });
    Ok(Avcc {
        configuration_version: 1,
        avc_profile_indication: c.profile_idc,
        profile_compatibility: c.constraint_flags,
        avc_level_indication: c.level_idc,
        length_size: 4,
        sequence_parameter_sets: parameter_sets(&c.sps, 31)?,
        picture_parameter_sets: parameter_sets(&c.pps, 255)?,
        ext: ext.transpose()?,
    })
}

/// `hvcC` (ISO/IEC 14496-15, 8.3.2.1).
fn hevc_configuration(c: &H265Config) -> Result<Hvcc> {
    if c.sps.is_empty() {
        return Err("there is no sequence parameter set");
    }
    let array = |nal_unit_type, sets: &[Bytes]| {
        Ok(HvcCArray {
            // `hvc1`: no further parameter set is in the samples.
            completeness: true,
            nal_unit_type,
            nalus: parameter_sets(sets, usize::from(u16::MAX))?,
        })
    };
    let arrays = [(32, &c.vps), (33, &c.sps), (34, &c.pps)]
        .into_iter()
        .filter(|(_, sets)| !sets.is_empty())
        .map(|(kind, sets)| array(kind, sets))
        .collect::<Result<Vec<_>>>()?;
    let [_, _, constraints @ ..] = c.general_constraint_indicator_flags.to_be_bytes();
    Ok(Hvcc {
        configuration_version: 1,
        general_profile_space: c.general_profile_space,
        general_tier_flag: c.general_tier_flag,
        general_profile_idc: c.general_profile_idc,
        general_profile_compatibility_flags: c.general_profile_compatibility_flags.to_be_bytes(),
        general_constraint_indicator_flags: constraints,
        general_level_idc: c.general_level_idc,
        min_spatial_segmentation_idc: c.min_spatial_segmentation_idc,
        parallelism_type: c.parallelism_type,
        chroma_format_idc: c.video.chroma as u8,
        bit_depth_luma_minus8: c.video.bit_depth_luma.saturating_sub(8),
        bit_depth_chroma_minus8: c.video.bit_depth_chroma.saturating_sub(8),
        // Unspecified.
        avg_frame_rate: 0,
        constant_frame_rate: 0,
        num_temporal_layers: c.temporal_layers,
        temporal_id_nested: c.temporal_id_nested,
        length_size_minus_one: 3,
        arrays,
    })
}

/// The `esds` of ISO/IEC 14496-14, 5.6, with the descriptors of ISO/IEC 14496-1, 7.2.6.
fn elementary_stream(
    object_type: u8,
    stream_type: u8,
    rate: Option<BitRate>,
    specific: Option<&Bytes>,
) -> Esds {
    let rate = rate.unwrap_or_default();
    let [_, buffer @ ..] = rate.buffer.min(0x00ff_ffff).to_be_bytes();
    Esds {
        es_desc: EsDescriptor {
            // Zero in a file: the track identifier tells (ISO/IEC 14496-14, 3.1.2).
            es_id: 0,
            dec_config: DecoderConfig {
                object_type_indication: object_type,
                stream_type,
                up_stream: 0,
                buffer_size_db: buffer.into(),
                max_bitrate: rate.max,
                avg_bitrate: rate.average,
                dec_specific: specific.map(|raw| DecoderSpecific {
                    raw: raw.to_vec(),
                    ..Default::default()
                }),
            },
            sl_config: SLConfig {},
            ..Default::default()
        },
    }
}

const VISUAL_STREAM: u8 = 4;
const AUDIO_STREAM: u8 = 5;

fn mpeg2_video(b: &mut Boxes, c: &Mpeg2VideoConfig, rate: Option<BitRate>) -> Result<()> {
    if c.sequence_header.is_empty() {
        return Err("there is no sequence header");
    }
    let esds = elementary_stream(c.object_type, VISUAL_STREAM, rate, Some(&c.sequence_header));
    visual(b, b"mp4v", &c.video, rate, "MPEG Video", |b| atom(b, &esds))
}

fn aac(b: &mut Boxes, c: &AacConfig, rate: Option<BitRate>) -> Result<()> {
    if c.audio_specific_config.is_empty() {
        return Err("there is no AudioSpecificConfig");
    }
    let esds = elementary_stream(0x40, AUDIO_STREAM, rate, Some(&c.audio_specific_config));
    audio(b, b"mp4a", c.channels, c.sample_rate, rate, |b| {
        atom(b, &esds)
    })
}

fn mpeg_audio(b: &mut Boxes, c: &MpegAudioConfig, rate: Option<BitRate>) -> Result<()> {
    // The half rates are those of MPEG-2, ISO/IEC 13818-3.
    let object_type = if c.sample_rate < 32_000 { 0x69 } else { 0x6b };
    let esds = elementary_stream(object_type, AUDIO_STREAM, rate, None);
    audio(b, b"mp4a", c.channels, c.sample_rate, rate, |b| {
        atom(b, &esds)
    })
}

/// ETSI TS 102 366, F.3 and F.4.
fn ac3(b: &mut Boxes, c: &Ac3Config, rate: Option<BitRate>) -> Result<()> {
    let dac3 = Ac3SpecificBox {
        fscod: c.fscod & 3,
        bsid: c.bsid & 31,
        bsmod: c.bsmod & 7,
        acmod: c.acmod & 7,
        lfeon: c.lfeon,
        bit_rate_code: c.bit_rate_code & 31,
    };
    audio(b, b"ac-3", c.channels, c.sample_rate, rate, |b| {
        atom(b, &dac3)
    })
}

/// ETSI TS 102 366, F.5 and F.6; the extension for Joint Object Coding: ETSI TS 103 420, 8.3.
/// By hand, as `mp4-atom` lacks that extension.
fn eac3(b: &mut Boxes, c: &Eac3Config, rate: Option<BitRate>) -> Result<()> {
    let more = match c.substreams.len() {
        count @ 1..=8 => u16::try_from(count.saturating_sub(1)).unwrap_or_default(),
        _ => return Err("E-AC-3 has one to eight independent substreams"),
    };
    if c.data_rate >= 1 << 13 {
        return Err("the data rate is too high");
    }
    audio(b, b"ec-3", c.channels, c.sample_rate, rate, |b| {
        boxed(b, b"dec3", |b| {
            b.u16((c.data_rate << 3) | more);
            for s in &c.substreams {
                b.u8(((s.fscod & 3) << 6) | ((s.bsid & 31) << 1));
                let [asvc, lfeon] = [s.asvc, s.lfeon].map(u8::from);
                b.u8((asvc << 7) | ((s.bsmod & 7) << 4) | ((s.acmod & 7) << 1) | lfeon);
                let dependents = u16::from(s.num_dep_sub & 15);
                if dependents > 0 {
                    b.u16((dependents << 9) | (s.chan_loc & 0x1ff));
                } else {
                    b.u8(0);
                }
            }
            if let Some(complexity) = c.joc_complexity {
                b.u8(1);
                b.u8(complexity);
            }
            Ok(())
        })
    })
}

/// ETSI TS 102 114, E.2 and E.3.
fn dts(b: &mut Boxes, c: &DtsConfig, rate: Option<BitRate>) -> Result<()> {
    audio(b, &c.entry(), c.channels, c.sample_rate, rate, |b| {
        boxed(b, b"ddts", |b| {
            let rate = rate.unwrap_or_default();
            b.u32(c.sample_rate);
            b.u32(rate.max);
            b.u32(rate.average);
            b.u8(c.pcm_depth);
            b.bytes(&c.fields);
            Ok(())
        })
    })
}

/// "AV1 Codec ISO Media File Format Binding", 2.2 and 2.3.
fn av1(b: &mut Boxes, c: &Av1Config, rate: Option<BitRate>) -> Result<()> {
    if c.record.len() < 4 {
        return Err("the AV1 configuration is too short");
    }
    visual(
        b,
        entry_name(b"av01", b"dav1", &c.video),
        &c.video,
        rate,
        "AOM Coding",
        |b| {
            boxed(b, b"av1C", |b| {
                b.bytes(&c.record);
                Ok(())
            })
        },
    )
}

/// "VP Codec ISO Media File Format Binding", "VP Codec Configuration Box".
fn vp9(b: &mut Boxes, c: &Vp9Config, rate: Option<BitRate>) -> Result<()> {
    if c.record.len() < 8 {
        return Err("the VP9 configuration is too short");
    }
    visual(b, b"vp09", &c.video, rate, "VPC Coding", |b| {
        boxed(b, b"vpcC", |b| {
            b.u32(1 << 24);
            b.bytes(&c.record);
            Ok(())
        })
    })
}

/// "Encapsulation of FLAC in ISO Base Media File Format", 3.3.1 and 3.3.2.
fn flac(b: &mut Boxes, c: &FlacConfig, rate: Option<BitRate>) -> Result<()> {
    audio(b, b"fLaC", c.channels, c.sample_rate, rate, |b| {
        boxed(b, b"dfLa", |b| {
            b.u32(0);
            b.bytes(&c.metadata);
            Ok(())
        })
    })
}

/// "Encapsulation of Opus in ISO Base Media File Format", 4.3.
fn opus(b: &mut Boxes, c: &OpusConfig, rate: Option<BitRate>) -> Result<()> {
    let channel_mapping = match (c.mapping_family, &*c.mapping) {
        (0, _) => None,
        (family, &[stream_count, coupled_count, ref mapping @ ..]) => Some(OpusChannelMapping {
            family,
            stream_count,
            coupled_count,
            channel_mapping: mapping.to_vec(),
        }),
        _ => return Err("the channel mapping is missing"),
    };
    let dops = Dops {
        output_channel_count: c.channels,
        pre_skip: c.pre_skip,
        input_sample_rate: c.input_sample_rate,
        output_gain: c.output_gain,
        channel_mapping,
    };
    audio(b, b"Opus", c.channels.into(), 48_000, rate, |b| {
        atom(b, &dops)
    })
}

// The values go into the boxes as they are.
const _: () = assert!(Chroma::Yuv444 as u8 == 3);
