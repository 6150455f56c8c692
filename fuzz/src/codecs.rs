//! Codec headers, one by one: the first byte says which.

use bytes::Bytes;
use clipmill_media::codec::aac::AdtsHeader;
use clipmill_media::codec::ac3::SyncframeHeader;
use clipmill_media::codec::mpeg_audio::MpegAudioHeader;
use clipmill_media::codec::{ac3, bits, h264, h265, mpeg2video, opus};
use clipmill_media::{
    AacConfig, CodecConfig, H264Config, H265Config, Language, Mpeg2VideoConfig, VideoFormat,
};

/// The first byte chooses the codec; the rest is its header, or several NAL units behind their lengths.
pub fn codec_headers(data: &[u8]) {
    let Some((&which, header)) = data.split_first() else {
        return;
    };
    match which % 10 {
        0 => adts(header),
        1 => ac3(header),
        2 => mpeg_audio(header),
        3 => opus(header),
        4 => mpeg2(header),
        5 => h264(&nals(header)),
        6 => h265(&nals(header)),
        7 => raw_bits(header),
        8 => {
            let language = Language::from_tag(&String::from_utf8_lossy(header));
            assert!(
                language
                    .as_str()
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase())
            );
            let packed = Language::from_bytes(header).packed();
            assert!(packed < 1 << 15);
        }
        _ => {
            let channels = u16::from(which / 10);
            let config = AacConfig::from_audio_specific_config(header.to_vec().into(), channels);
            if let Some(config) = config {
                assert!(config.sample_rate > 0);
            }
        }
    }
}

/// NAL units, each behind its length in one byte; the last takes what is left.
fn nals(data: &[u8]) -> Vec<&[u8]> {
    let mut rest = data;
    let mut found = Vec::new();
    while let Some((&len, tail)) = rest.split_first() {
        let (nal, tail) = tail.split_at(usize::from(len).min(tail.len()));
        found.push(nal);
        rest = tail;
    }
    found
}

fn adts(header: &[u8]) {
    let Some(read) = AdtsHeader::parse(header) else {
        return;
    };
    assert!(read.frame_len > u16::from(read.header_len) && read.sample_rate > 0);
    assert!(read.agrees(&read));
    let frame = header.get(..usize::from(read.frame_len));
    let units = read.units(frame.unwrap_or(header));
    let mut end = usize::from(read.header_len);
    for (unit, samples) in &units {
        assert!(
            unit.start >= end && unit.end > unit.start && *samples > 0,
            "{unit:?}"
        );
        end = unit.end;
    }
    assert!(
        end <= usize::from(read.frame_len),
        "units lie in their frame"
    );
    let config = read.config(header.get(7..).unwrap_or_default());
    assert!(config.sample_rate > 0);
    // What we make of it is understood by ourselves.
    let asc = Bytes::copy_from_slice(&config.audio_specific_config);
    assert!(AacConfig::from_audio_specific_config(asc, config.channels).is_some());
}

fn ac3(header: &[u8]) {
    if let Some(read) = SyncframeHeader::parse(header) {
        assert!(read.frame_len() > 0 && read.sample_rate() > 0);
        assert!(read.samples() <= 6 * 256 && read.agrees(&read));
    }
    if let Some(CodecConfig::Ac3(config)) = ac3::config(header) {
        assert!(config.sample_rate > 0 && config.channels > 0);
    }
}

fn mpeg_audio(header: &[u8]) {
    if let Some(read) = MpegAudioHeader::parse(header) {
        assert!(read.frame_len > 0 && read.sample_rate > 0 && read.agrees(&read));
        assert!(read.config().sample_rate > 0);
    }
}

fn opus(header: &[u8]) {
    if let Ok(read) = opus::ControlHeader::parse(header) {
        assert!(read.header_len <= header.len());
    }
    if let Some(samples) = opus::packet_samples(header) {
        // 120 ms at 48 kHz (RFC 6716, 3.2.5).
        assert!((1..=5760).contains(&samples), "{samples}");
    }
    let _ = opus::packet_is_stereo(header);
    if let &[code, low, high, ..] = header {
        let _ = opus::config(code, u16::from_le_bytes([low, high]));
    }
}

fn mpeg2(header: &[u8]) {
    let _ = mpeg2video::PictureHeader::parse(header);
    let _ = mpeg2video::PictureStructure::parse(header);
    let _ = mpeg2video::GroupHeader::parse(header);
    let _ = mpeg2video::is_sequence_extension(header);
    let config = Mpeg2VideoConfig::from_sequence_header(Bytes::copy_from_slice(header));
    if let Some(config) = config {
        picture(&config.video);
    }
}

fn h264(nals: &[&[u8]]) {
    let (mut sps, mut pps) = (Vec::new(), Vec::new());
    let mut order = h264::OrderCounter::default();
    let mut slices = Vec::new();
    for nal in nals {
        match nal.first().map_or(0, |header| h264::nal_type(*header)) {
            6 => drop(h264::recovery_point(nal)),
            7 => sps.extend(h264::Sps::parse(nal).map(|read| (read, *nal))),
            8 => pps.extend(h264::Pps::parse(nal).map(|read| (read, *nal))),
            _ => {
                let _ = h264::SliceHeader::peek(nal);
                if let (Some((sps, _)), Some((pps, _))) = (sps.last(), pps.last())
                    && let Some(slice) = h264::SliceHeader::parse(nal, sps, pps)
                {
                    let _ = order.next(sps, &slice);
                    slices.push(slice);
                }
            }
        }
        let _ = h264::sps_extension_id(nal);
    }
    for pair in slices.windows(2) {
        let _ = pair[1].begins_picture_after(&pair[0]) || pair[1].completes(&pair[0]);
    }
    let owned = |all: Vec<&[u8]>| all.into_iter().map(Bytes::copy_from_slice).collect();
    let config = H264Config::from_parameter_sets(
        owned(sps.into_iter().map(|(_, nal)| nal).collect()),
        owned(pps.into_iter().map(|(_, nal)| nal).collect()),
        Vec::new(),
    );
    if let Some(config) = config {
        picture(&config.video);
    }
}

fn h265(nals: &[&[u8]]) {
    let (mut vps, mut sps, mut pps) = (Vec::new(), Vec::new(), Vec::new());
    let mut order = h265::OrderCounter::default();
    let mut slices = Vec::new();
    for nal in nals {
        match nal
            .first()
            .map_or(0, |header| h265::NalType::of(*header).number())
        {
            32 => vps.extend(h265::Vps::parse(nal).map(|_| *nal)),
            33 => sps.extend(h265::Sps::parse(nal).map(|read| (read, *nal))),
            34 => pps.extend(h265::Pps::parse(nal).map(|read| (read, *nal))),
            39 => drop(h265::recovery_point(nal)),
            _ => {
                let _ = (
                    h265::SliceHeader::peek(nal),
                    h265::layer_id(nal),
                    h265::temporal_id(nal),
                );
                if let (Some((sps, _)), Some((pps, _))) = (sps.last(), pps.last())
                    && let Some(slice) = h265::SliceHeader::parse(nal, sps, pps)
                {
                    let _ = order.begins_sequence(&slice);
                    let _ = order.next(sps, &slice);
                    slices.push(slice);
                }
            }
        }
    }
    for pair in slices.windows(2) {
        let _ = pair[1].begins_picture_after(&pair[0]);
    }
    let owned = |all: Vec<&[u8]>| all.into_iter().map(Bytes::copy_from_slice).collect();
    let config = H265Config::from_parameter_sets(
        owned(vps),
        owned(sps.into_iter().map(|(_, nal)| nal).collect()),
        owned(pps.into_iter().map(|(_, nal)| nal).collect()),
    );
    if let Some(config) = config {
        picture(&config.video);
    }
}

fn picture(format: &VideoFormat) {
    assert!(format.width > 0 && format.height > 0, "{format:?}");
}

fn raw_bits(data: &[u8]) {
    let plain = bits::rbsp(data, 64);
    assert!(plain.len() <= data.len().min(64));
    let mut reader = bits::BitReader::new(data);
    let total = reader.left();
    for byte in data {
        let before = reader.position();
        let read = match byte % 6 {
            0 => reader.ue().is_some(),
            1 => reader.se().is_some(),
            2 => reader.u64(u32::from(byte / 6)).is_some(),
            3 => reader.skip(usize::from(*byte)).is_some(),
            4 => reader.flag().is_some(),
            _ => {
                reader.align();
                true
            }
        };
        assert!(reader.position() >= before && reader.position() + reader.left() == total);
        if !read {
            break;
        }
    }
}
