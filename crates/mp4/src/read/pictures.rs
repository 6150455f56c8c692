//! Sample entries of pictures (ISO/IEC 14496-12, 12.1; ISO/IEC 14496-15, 5.4 and 8.4; the AV1 and VP
//! bindings).

use std::sync::Arc;

use bytes::Bytes;
use clipmill_media::codec::bits::BitReader;
use clipmill_media::codec::hdr::{DolbyVision, HdrMetadata};
use clipmill_media::{
    Av1Config, Chroma, CodecConfig, Colour, H264Config, H265Config, Limits, Rational, VideoFormat,
    Vp9Config,
};

use super::entry::Entry;
use super::nal::{NalCodec, NalFormat, ParameterSets};
use super::walk::{BoxAt, Fields};

/// Fields of a `VisualSampleEntry` before the boxes inside it (12.1.3).
pub(super) const FIELDS: usize = 78;

fn child<'a>(entry: &BoxAt<'a>, kind: &[u8; 4]) -> Option<BoxAt<'a>> {
    entry.children(FIELDS).find(|one| one.kind == *kind)
}

/// What the entry itself says of the pictures.
fn video(entry: &BoxAt<'_>) -> Option<VideoFormat> {
    let mut fields = entry.fields();
    fields.skip(24)?;
    let mut video = VideoFormat {
        width: fields.u16()?.into(),
        height: fields.u16()?.into(),
        bit_depth_luma: 8,
        bit_depth_chroma: 8,
        ..VideoFormat::default()
    };
    complete(&mut video, entry);
    Some(video)
}

/// Adds what the entry says, where the codec's own headers say nothing.
fn complete(video: &mut VideoFormat, entry: &BoxAt<'_>) {
    video.fill(&stated(entry));
}

/// What `pasp` (12.1.4), `colr` (12.1.5), `mdcv` and `clli` (12.1.7 and 12.1.6) and the boxes of
/// Dolby Vision say.
fn stated(entry: &BoxAt<'_>) -> VideoFormat {
    let aspect = || {
        let mut fields = child(entry, b"pasp")?.fields();
        let (num, den) = (fields.u32()?, fields.u32()?);
        (num > 0 && den > 0).then_some(Rational { num, den })
    };
    let colour = || {
        let boxes = entry.children(FIELDS);
        let mut found = boxes.filter(|one| one.kind == *b"colr").filter_map(|colr| {
            let mut fields = colr.fields();
            let kind: [u8; 4] = fields.array()?;
            if !matches!(&kind, b"nclx" | b"nclc") {
                return None;
            }
            let mut code = || fields.u16().and_then(|code| u8::try_from(code).ok());
            let (primaries, transfer, matrix) = (code()?, code()?, code()?);
            let full_range = fields.u8().is_some_and(|range| range & 0x80 != 0);
            Some(Colour {
                primaries,
                transfer,
                matrix,
                full_range,
            })
        });
        found.next()
    };
    let vision = |kind: &[u8; 4]| {
        let record = child(entry, kind)?.fields().array()?;
        Some(DolbyVision {
            kind: *kind,
            record,
        })
    };
    let kinds = [b"dvcC", b"dvvC", b"dvwC"];
    VideoFormat {
        sample_aspect_ratio: aspect(),
        colour: colour(),
        hdr: HdrMetadata {
            mastering_display: child(entry, b"mdcv").and_then(|mdcv| mdcv.fields().array()),
            content_light: child(entry, b"clli").and_then(|clli| clli.fields().array()),
        },
        dolby_vision: kinds.into_iter().find_map(vision),
        ..VideoFormat::default()
    }
}

/// Reads `count` parameter sets, each behind its length in two bytes.
fn sets(fields: &mut Fields<'_>, count: usize, limits: &Limits) -> Option<Vec<Bytes>> {
    let mut sets = Vec::new();
    for _ in 0..count {
        let len = usize::from(fields.u16()?);
        let set = fields.take(len)?;
        if len > limits.parameter_set_bytes {
            return None;
        }
        if !set.is_empty() {
            sets.push(Bytes::copy_from_slice(set));
        }
    }
    Some(sets)
}

/// `avcC` (ISO/IEC 14496-15, 5.3.3.1).
pub(super) fn avc(entry: &BoxAt<'_>, limits: &Limits) -> Option<Entry> {
    let mut fields = child(entry, b"avcC")?.fields();
    fields.skip(4)?;
    let length_size = usize::from(fields.u8()? & 3).saturating_add(1);
    let count = usize::from(fields.u8()? & 31);
    let sps = sets(&mut fields, count, limits)?;
    let count = usize::from(fields.u8()?);
    let pps = sets(&mut fields, count, limits)?;
    // chroma_format, two bit depths, then the extensions; many writers leave all of it out.
    let extensions = fields
        .skip(3)
        .and_then(|()| fields.u8())
        .and_then(|count| sets(&mut fields, usize::from(count), limits))
        .unwrap_or_default();
    let in_band = matches!(&entry.kind, b"avc3" | b"dvav");
    let config = H264Config::from_parameter_sets(sps.clone(), pps.clone(), extensions.clone());
    if config.is_none() && !in_band {
        return None;
    }
    let codec = NalCodec::H264;
    Some(Entry {
        config: config.map(|mut config| {
            complete(&mut config.video, entry);
            Arc::new(CodecConfig::H264(config))
        }),
        nal: Some(NalFormat {
            codec,
            length_size,
            in_band,
        }),
        stated: stated(entry),
        sets: ParameterSets::of(codec, sps.iter().chain(&extensions).chain(&pps)),
    })
}

/// `hvcC` (ISO/IEC 14496-15, 8.3.2.1).
pub(super) fn hevc(entry: &BoxAt<'_>, limits: &Limits) -> Option<Entry> {
    let mut fields = child(entry, b"hvcC")?.fields();
    fields.skip(21)?;
    let length_size = usize::from(fields.u8()? & 3).saturating_add(1);
    let (mut vps, mut sps, mut pps) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..fields.u8()? {
        let kind = fields.u8()? & 0x3f;
        let count = usize::from(fields.u16()?);
        let found = sets(&mut fields, count, limits)?;
        match kind {
            32 => vps.extend(found),
            33 => sps.extend(found),
            34 => pps.extend(found),
            _ => {}
        }
    }
    let in_band = matches!(&entry.kind, b"hev1" | b"dvhe");
    let config = H265Config::from_parameter_sets(vps.clone(), sps.clone(), pps.clone());
    if config.is_none() && !in_band {
        return None;
    }
    let codec = NalCodec::H265;
    Some(Entry {
        config: config.map(|mut config| {
            complete(&mut config.video, entry);
            Arc::new(CodecConfig::H265(config))
        }),
        nal: Some(NalFormat {
            codec,
            length_size,
            in_band,
        }),
        stated: stated(entry),
        sets: ParameterSets::of(codec, vps.iter().chain(&sps).chain(&pps)),
    })
}

/// `av1C` ("AV1 Codec ISO Media File Format Binding", 2.3.3).
pub(super) fn av1(entry: &BoxAt<'_>) -> Option<Entry> {
    let record = child(entry, b"av1C")?.body;
    let mut bits = BitReader::new(record);
    // marker and version.
    bits.skip(8)?;
    let (profile, level, high_tier) = (bits.u8(3)?, bits.u8(5)?, bits.flag()?);
    let (high, twelve, mono) = (bits.flag()?, bits.flag()?, bits.flag()?);
    let (half_width, half_height) = (bits.flag()?, bits.flag()?);
    bits.skip(10)?;
    let depth = match (high, twelve) {
        (true, true) => 12,
        (true, false) => 10,
        _ => 8,
    };
    let video = VideoFormat {
        chroma: match (mono, half_width, half_height) {
            (true, ..) => Chroma::Monochrome,
            (_, true, true) => Chroma::Yuv420,
            (_, true, false) => Chroma::Yuv422,
            _ => Chroma::Yuv444,
        },
        bit_depth_luma: depth,
        bit_depth_chroma: depth,
        ..video(entry)?
    };
    Some(Entry::of(CodecConfig::Av1(Av1Config {
        record: Bytes::copy_from_slice(record),
        profile,
        level,
        high_tier,
        video,
    })))
}

/// `vpcC` ("VP Codec ISO Media File Format Binding", "VP Codec Configuration Record").
pub(super) fn vp9(entry: &BoxAt<'_>) -> Option<Entry> {
    let mut fields = child(entry, b"vpcC")?.fields();
    fields.version()?;
    let record = fields.rest();
    let (profile, level) = (fields.u8()?, fields.u8()?);
    let packed = fields.u8()?;
    let (primaries, transfer, matrix) = (fields.u8()?, fields.u8()?, fields.u8()?);
    fields.u16()?;
    let depth = packed >> 4;
    let colour = Colour {
        primaries,
        transfer,
        matrix,
        full_range: packed & 1 != 0,
    };
    let own = video(entry)?;
    let video = VideoFormat {
        colour: own.colour.or((primaries != 2).then_some(colour)),
        chroma: match (packed >> 1) & 7 {
            0 | 1 => Chroma::Yuv420,
            2 => Chroma::Yuv422,
            _ => Chroma::Yuv444,
        },
        bit_depth_luma: depth,
        bit_depth_chroma: depth,
        ..own
    };
    Some(Entry::of(CodecConfig::Vp9(Vp9Config {
        record: Bytes::copy_from_slice(record),
        profile,
        level,
        video,
    })))
}
