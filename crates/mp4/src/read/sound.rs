//! Sample entries of sound (ISO/IEC 14496-12, 12.2; ISO/IEC 14496-14, 5.6; ETSI TS 102 366, annex
//! F; the Opus and FLAC bindings).

use bytes::Bytes;
use clipmill_media::codec::bits::BitReader;
use clipmill_media::{
    AacConfig, Ac3Config, CodecConfig, DtsConfig, Eac3Config, Eac3Substream, FlacConfig,
    MpegAudioConfig, OpusConfig,
};

use super::entry::Entry;
use super::walk::{BoxAt, Boxes, Fields, four};

/// Fields of an `AudioSampleEntry` before the boxes inside it (12.2.3).
pub(super) const FIELDS: usize = 28;

/// What the entry itself says.
struct Sound<'a> {
    boxes: Boxes<'a>,
    channels: u16,
    sample_rate: u32,
}

impl<'a> Sound<'a> {
    fn of(entry: &BoxAt<'a>, old: bool) -> Option<Self> {
        let mut fields = entry.fields();
        fields.skip(8)?;
        let version = fields.u16()?;
        fields.skip(6)?;
        let channels = fields.u16()?;
        fields.skip(6)?;
        let sample_rate = fields.u32()? >> 16;
        // QuickTime File Format, "Sound Sample Description (Version 1)" and "(Version 2)".
        let more = match (old, version) {
            (true, 1) => 16,
            (true, 2) => 36,
            _ => 0,
        };
        Some(Self {
            boxes: entry.children(FIELDS.saturating_add(more)),
            channels,
            sample_rate,
        })
    }

    fn child(&self, kind: &[u8; 4]) -> Option<BoxAt<'a>> {
        self.boxes.clone().find(|one| one.kind == *kind)
    }
}

/// Reads a sample entry; what it is, in words, where it cannot be carried.
pub(super) fn sample_entry(entry: &BoxAt<'_>, old: bool) -> Result<Entry, String> {
    let name = four(entry.kind);
    let unreadable = || format!("a sample entry that cannot be read ({name})");
    let sound = Sound::of(entry, old).ok_or_else(unreadable)?;
    let config = match &entry.kind {
        b"mp4a" => return mpeg4(&sound).ok_or_else(unreadable)?.map(Entry::of),
        b"ac-3" => ac3(&sound),
        b"ec-3" => eac3(&sound),
        b"dtsc" | b"dtsh" | b"dtsl" | b"dtse" => dts(&sound),
        b"Opus" => opus(&sound),
        b"fLaC" => flac(&sound),
        b".mp3" => Some(mpeg_audio(&sound)),
        b"ac-4" => return Err("AC-4 (ac-4)".to_owned()),
        b"mhm1" | b"mha1" | b"mhm2" | b"mha2" => return Err(format!("MPEG-H 3D Audio ({name})")),
        b"dtsx" | b"dtsy" => return Err(format!("DTS:X ({name})")),
        b"alac" => return Err("Apple Lossless (alac)".to_owned()),
        _ => return Err(format!("a codec that is not known ({name})")),
    };
    config.map(Entry::of).ok_or_else(unreadable)
}

/// `esds` (ISO/IEC 14496-14, 5.6; ISO/IEC 14496-1, 7.2.6).
fn mpeg4(sound: &Sound<'_>) -> Option<Result<CodecConfig, String>> {
    let wave = || sound.child(b"wave")?.child(b"esds");
    let mut fields = sound.child(b"esds").or_else(wave)?.fields();
    fields.version()?;
    let stream = descriptor(&mut fields, 3)?;
    let mut fields = Fields::of(stream);
    fields.skip(2)?;
    let flags = fields.u8()?;
    if flags & 0x80 != 0 {
        fields.skip(2)?;
    }
    if flags & 0x40 != 0 {
        let len = fields.u8()?;
        fields.skip(len.into())?;
    }
    if flags & 0x20 != 0 {
        fields.skip(2)?;
    }
    let mut decoder = Fields::of(descriptor(&mut fields, 4)?);
    let object_type = decoder.u8()?;
    decoder.skip(12)?;
    Some(match object_type {
        0x40 | 0x66..=0x68 => {
            let specific = descriptor(&mut decoder, 5)?;
            let specific = Bytes::copy_from_slice(specific);
            let config = AacConfig::from_audio_specific_config(specific, sound.channels)?;
            Ok(CodecConfig::Aac(config))
        }
        0x69 | 0x6b => Ok(mpeg_audio(sound)),
        other => Err(format!("MPEG-4 audio of object type {other:#04x} (mp4a)")),
    })
}

/// The content of the next descriptor that has this tag.
fn descriptor<'a>(fields: &mut Fields<'a>, wanted: u8) -> Option<&'a [u8]> {
    loop {
        let tag = fields.u8()?;
        let mut len = 0usize;
        for _ in 0..4 {
            let byte = fields.u8()?;
            len = (len << 7) | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
        // Some writers count bytes that are not there.
        let content = fields.take(len.min(fields.rest().len()))?;
        if tag == wanted {
            return Some(content);
        }
    }
}

fn mpeg_audio(sound: &Sound<'_>) -> CodecConfig {
    // What the frames would tell. In files, MPEG audio is layer III but for curiosities.
    CodecConfig::MpegAudio(MpegAudioConfig {
        layer: 3,
        sample_rate: sound.sample_rate.max(1),
        channels: sound.channels.clamp(1, 2),
        frame_samples: if sound.sample_rate < 32_000 {
            576
        } else {
            1152
        },
    })
}

/// Channels by `acmod` (ETSI TS 102 366, table 4.3).
fn channels(acmod: u8, lfeon: bool) -> u16 {
    let full = [2, 1, 2, 3, 3, 4, 4, 5];
    let count = full.get(usize::from(acmod)).copied().unwrap_or(2u16);
    count.saturating_add(lfeon.into())
}

fn rate(fscod: u8, sound: &Sound<'_>) -> u32 {
    match fscod {
        0 => 48_000,
        1 => 44_100,
        2 => 32_000,
        // Half rates: `dec3` does not tell which.
        _ => sound.sample_rate.max(1),
    }
}

/// `dac3` (ETSI TS 102 366, F.4).
fn ac3(sound: &Sound<'_>) -> Option<CodecConfig> {
    let mut bits = BitReader::new(sound.child(b"dac3")?.body);
    let (fscod, bsid, bsmod) = (bits.u8(2)?, bits.u8(5)?, bits.u8(3)?);
    let (acmod, lfeon, bit_rate_code) = (bits.u8(3)?, bits.flag()?, bits.u8(5)?);
    Some(CodecConfig::Ac3(Ac3Config {
        sample_rate: rate(fscod, sound),
        channels: channels(acmod, lfeon),
        fscod,
        bsid,
        bsmod,
        acmod,
        lfeon,
        bit_rate_code,
    }))
}

/// `dec3` (ETSI TS 102 366, F.6), and its extension for Joint Object Coding (ETSI TS 103 420, 8.3).
fn eac3(sound: &Sound<'_>) -> Option<CodecConfig> {
    let mut bits = BitReader::new(sound.child(b"dec3")?.body);
    let data_rate = bits.u16(13)?;
    let more = bits.u8(3)?;
    let mut substreams = Vec::new();
    for _ in 0..=more {
        let (fscod, bsid) = (bits.u8(2)?, bits.u8(5)?);
        bits.skip(1)?;
        let (asvc, bsmod) = (bits.flag()?, bits.u8(3)?);
        let (acmod, lfeon) = (bits.u8(3)?, bits.flag()?);
        bits.skip(3)?;
        let num_dep_sub = bits.u8(4)?;
        let chan_loc = if num_dep_sub > 0 {
            bits.u16(9)?
        } else {
            bits.skip(1)?;
            0
        };
        substreams.push(Eac3Substream {
            fscod,
            bsid,
            asvc,
            bsmod,
            acmod,
            lfeon,
            num_dep_sub,
            chan_loc,
        });
    }
    let joc_complexity = bits
        .skip(7)
        .and_then(|()| bits.flag())
        .filter(|&extended| extended)
        .and_then(|_| bits.u8(8));
    let first = substreams.first()?;
    // Lc/Rc, Lrs/Rrs, Lsd/Rsd, Lw/Rw and Lvh/Rvh are pairs (table F.6.1).
    let pairs = (first.chan_loc & 0b0_0111_0011).count_ones();
    let further = first.chan_loc.count_ones().saturating_add(pairs);
    let further = u16::try_from(further).unwrap_or_default();
    Some(CodecConfig::Eac3(Eac3Config {
        sample_rate: rate(first.fscod, sound),
        channels: channels(first.acmod, first.lfeon).saturating_add(further),
        data_rate,
        substreams,
        joc_complexity,
    }))
}

/// `ddts` (ETSI TS 102 114, E.3).
fn dts(sound: &Sound<'_>) -> Option<CodecConfig> {
    let mut fields = sound.child(b"ddts")?.fields();
    let sample_rate = fields.u32()?;
    fields.skip(8)?;
    let pcm_depth = fields.u8()?;
    let rest: [u8; 7] = fields.array()?;
    let mut bits = BitReader::new(&rest);
    let (duration, stream_construction) = (bits.u8(2)?, bits.u8(5)?);
    (sample_rate > 0).then_some(CodecConfig::Dts(DtsConfig {
        sample_rate,
        channels: sound.channels,
        frame_samples: 512u16.checked_shl(duration.into())?,
        pcm_depth,
        stream_construction,
        has_extension: !matches!(stream_construction, 1..=4),
        fields: rest,
    }))
}

/// `dOps` ("Encapsulation of Opus in ISO Base Media File Format", 4.3.2).
fn opus(sound: &Sound<'_>) -> Option<CodecConfig> {
    let mut fields = sound.child(b"dOps")?.fields();
    fields.skip(1)?;
    let channels = fields.u8()?;
    let pre_skip = fields.u16()?;
    let input_sample_rate = fields.u32()?;
    let output_gain = i16::from_be_bytes(fields.array()?);
    let mapping_family = fields.u8()?;
    let mapping = match mapping_family {
        0 => &[],
        _ => fields.take(usize::from(channels).saturating_add(2))?,
    };
    Some(CodecConfig::Opus(OpusConfig {
        channels,
        pre_skip,
        input_sample_rate,
        output_gain,
        mapping_family,
        mapping: Bytes::copy_from_slice(mapping),
    }))
}

/// `dfLa` ("Encapsulation of FLAC in ISO Base Media File Format", 3.3.2), whose first block is
/// `STREAMINFO` (RFC 9639, 8.2).
fn flac(sound: &Sound<'_>) -> Option<CodecConfig> {
    let mut fields = sound.child(b"dfLa")?.fields();
    fields.version()?;
    let metadata = fields.rest();
    let mut bits = BitReader::new(metadata);
    bits.skip(1)?;
    if bits.u8(7)? != 0 || bits.u(24)? < 34 {
        return None;
    }
    // Block sizes and frame sizes.
    bits.skip(80)?;
    let sample_rate = bits.u(20)?;
    let channels = bits.u16(3)?.saturating_add(1);
    let depth = bits.u8(5)?.saturating_add(1);
    (sample_rate > 0).then(|| {
        CodecConfig::Flac(FlacConfig {
            metadata: Bytes::copy_from_slice(metadata),
            sample_rate,
            channels,
            bits: depth,
        })
    })
}
