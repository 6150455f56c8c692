//! What differs between the audio codecs: how a frame announces itself, and what it needs.

use std::ops::Range;

use clipmill_media::CodecConfig;
use clipmill_media::codec::aac::AdtsHeader;
use clipmill_media::codec::ac3::{self, SyncframeHeader, UNIT_BLOCKS};
use clipmill_media::codec::dts::{self, DtsHeader};
use clipmill_media::codec::latm::LoasFrame;
use clipmill_media::codec::mpeg_audio::MpegAudioHeader;
use clipmill_media::codec::opus::{self, ControlHeader, ControlHeaderError};

use super::tags;

/// How the frames of an audio stream are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AudioKind {
    /// AAC in ADTS.
    Adts,
    /// AAC in LATM, with the syncwords of LOAS.
    Latm,
    /// MPEG audio layers I to III.
    MpegAudio,
    /// AC-3 and E-AC-3: labels are unreliable, the `bsid` of each syncframe is not.
    Ac3,
    /// DTS: core frames, and extension substreams behind them.
    Dts,
    /// Opus with control headers; the code of its descriptor, where there is one.
    Opus { channel_config_code: Option<u8> },
}

/// Whether bytes begin with the header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// There are too few bytes to tell.
    Short,
    /// They do not.
    Nothing,
    /// They do.
    Header(Header),
    /// They begin with a tag of this many bytes, which is no part of any frame.
    Tag(usize),
}

impl AudioKind {
    /// How `bytes` are framed that begin with a frame; of those framings that stand alone.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let all = [Self::Adts, Self::MpegAudio, Self::Ac3];
        all.into_iter()
            .find(|kind| matches!(kind.probe(bytes), Probe::Header(_)))
    }

    pub(crate) fn probe(self, bytes: &[u8]) -> Probe {
        let begins = |first: u8| {
            first == self.sync_byte() || (self == Self::Dts && first == DtsHeader::SYNC_EXTENSION)
        };
        if let Some(&first) = bytes.first()
            && !begins(first)
        {
            return match tags::may_begin(first).then(|| tags::find(bytes)) {
                Some(tags::TagStart::Tag(len)) => Probe::Tag(len),
                Some(tags::TagStart::Short) => Probe::Short,
                Some(tags::TagStart::Nothing) | None => Probe::Nothing,
            };
        }
        let (header, len) = match self {
            Self::Adts => (AdtsHeader::parse(bytes).map(Header::Adts), AdtsHeader::LEN),
            Self::Latm => (LoasFrame::parse(bytes).map(Header::Latm), LoasFrame::LEN),
            Self::MpegAudio => (
                MpegAudioHeader::parse(bytes).map(Header::MpegAudio),
                MpegAudioHeader::LEN,
            ),
            Self::Ac3 => (
                SyncframeHeader::parse(bytes).map(Header::Ac3),
                SyncframeHeader::LEN,
            ),
            Self::Dts => (DtsHeader::parse(bytes).map(Header::Dts), DtsHeader::LEN),
            Self::Opus { .. } => {
                return match ControlHeader::parse(bytes) {
                    Ok(header) => Probe::Header(Header::Opus(header)),
                    Err(ControlHeaderError::Truncated) => Probe::Short,
                    Err(ControlHeaderError::Invalid) => Probe::Nothing,
                };
            }
        };
        match header {
            Some(header) => Probe::Header(header),
            None if bytes.len() < len => Probe::Short,
            None => Probe::Nothing,
        }
    }

    /// The byte with which every header begins.
    pub(crate) fn sync_byte(self) -> u8 {
        match self {
            Self::Adts | Self::MpegAudio => 0xff,
            Self::Latm => 0x56,
            Self::Ac3 => 0x0b,
            Self::Dts => DtsHeader::SYNC_CORE,
            Self::Opus { .. } => 0x7f,
        }
    }

    /// Whether access units are not found in the stream as they are, so that they are copied out of
    /// it: LATM has them at any bit.
    pub(super) fn is_copied(self) -> bool {
        self == Self::Latm
    }

    /// PCM samples that a unit may gather from several frames. Only E-AC-3 does so: an MP4 sample
    /// holds six blocks of all substreams (ETSI TS 102 366, annex F).
    pub(super) fn unit_samples(self) -> u32 {
        match self {
            Self::Ac3 => UNIT_BLOCKS.saturating_mul(256),
            _ => 0,
        }
    }

    /// The configuration that a unit with this first header needs. `known` is the one in force,
    /// and `steady` says that the header gives no reason to think that it has changed.
    pub(super) fn config(
        self,
        header: &Header,
        unit: &[u8],
        known: Option<&CodecConfig>,
        steady: bool,
    ) -> Option<CodecConfig> {
        match header {
            Header::Adts(header) => {
                let body = unit.get(usize::from(header.header_len)..);
                let config = header.config(body.unwrap_or_default());
                // The program config element need not be repeated in every frame.
                let silent = steady && header.channel_configuration == 0 && config.channels == 0;
                known
                    .filter(|_| silent)
                    .cloned()
                    .or(Some(CodecConfig::Aac(config)))
            }
            Header::Latm(frame) => frame.config().map(CodecConfig::Aac),
            Header::MpegAudio(header) => Some(CodecConfig::MpegAudio(header.config())),
            Header::Ac3(_) => ac3::config(unit).map(|new| match known {
                Some(known) if steady && same_eac3(known, &new) => known.clone(),
                _ => new,
            }),
            Header::Dts(_) => dts::config(unit).map(CodecConfig::Dts),
            Header::Opus(header) => {
                let packet = unit.get(header.header_len..).unwrap_or_default();
                let code = match self {
                    Self::Opus {
                        channel_config_code: Some(code),
                    } => code,
                    _ => 0x81,
                };
                // Only the trim at the very start is the encoder's delay, which pre_skip is for
                // (RFC 7845, 4.2); later ones belong to splices. A stream that is joined in the
                // middle has none: all that it decodes to is heard. One stays in force for the
                // stream's life, as a new sample entry in the middle of a track would stop players.
                opus::config(code, header.start_trim)
                    .map_or_else(
                        || {
                            // Without a usable descriptor the packet itself tells mono from stereo.
                            let channels = if opus::packet_is_stereo(packet) { 2 } else { 1 };
                            opus::config(channels, header.start_trim)
                        },
                        Some,
                    )
                    .map(CodecConfig::Opus)
            }
        }
    }
}

/// Whether two E-AC-3 configurations differ in what varies from unit to unit alone: the data rate,
/// and whether the object metadata happens to be announced.
fn same_eac3(known: &CodecConfig, new: &CodecConfig) -> bool {
    let (CodecConfig::Eac3(known), CodecConfig::Eac3(new)) = (known, new) else {
        return false;
    };
    known.sample_rate == new.sample_rate
        && known.substreams == new.substreams
        && known.channels == new.channels
        && (new.joc_complexity.is_none() || known.joc_complexity == new.joc_complexity)
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    Adts(AdtsHeader),
    Latm(LoasFrame),
    MpegAudio(MpegAudioHeader),
    Ac3(SyncframeHeader),
    Dts(DtsHeader),
    Opus(ControlHeader),
}

/// Where an access unit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payload {
    /// In its unit.
    At(Range<usize>),
    /// Taken out of it.
    Copied(Vec<u8>),
}

impl Header {
    /// With what the frames before have told, where it is not told again.
    pub(crate) fn after(self, known: Option<&Self>) -> Self {
        match (self, known) {
            (Self::Latm(frame), Some(Self::Latm(known))) => Self::Latm(frame.after(Some(known))),
            (header, _) => header,
        }
    }

    /// Bytes of the frame, the header included.
    pub(crate) fn frame_len(&self) -> usize {
        match self {
            Self::Adts(h) => usize::from(h.frame_len),
            Self::Latm(h) => usize::from(h.frame_len),
            Self::MpegAudio(h) => usize::from(h.frame_len),
            Self::Ac3(h) => usize::from(h.frame_len()),
            Self::Dts(h) => h.len(),
            Self::Opus(h) => h.header_len.saturating_add(h.packet_len),
        }
    }

    /// Whether `next` can follow without a change of configuration.
    pub(crate) fn agrees(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Adts(a), Self::Adts(b)) => a.agrees(b),
            (Self::Latm(a), Self::Latm(b)) => a.agrees(b),
            (Self::MpegAudio(a), Self::MpegAudio(b)) => a.agrees(b),
            (Self::Ac3(a), Self::Ac3(b)) => a.agrees(b),
            (Self::Dts(a), Self::Dts(b)) => a.agrees(b),
            // The configuration is the descriptor's; the control header has none.
            (Self::Opus(_), Self::Opus(_)) => true,
            _ => false,
        }
    }

    /// Whether a unit can begin with this frame.
    pub(crate) fn begins_unit(&self) -> bool {
        match self {
            Self::Ac3(h) => h.is_first_program(),
            Self::Dts(h) => matches!(h, DtsHeader::Core(_)),
            _ => true,
        }
    }

    /// Whether two frames whose headers agree always need the same configuration.
    pub(super) fn tells_all(&self) -> bool {
        match self {
            Self::Adts(h) => h.channel_configuration != 0,
            Self::Latm(_) | Self::MpegAudio(_) | Self::Opus(_) => true,
            // Substreams may follow.
            Self::Ac3(_) | Self::Dts(_) => false,
        }
    }

    /// Samples per second.
    pub(super) fn sample_rate(&self) -> u32 {
        match self {
            Self::Adts(h) => h.sample_rate,
            Self::Latm(h) => h.sample_rate(),
            Self::MpegAudio(h) => h.sample_rate,
            Self::Ac3(h) => h.sample_rate(),
            Self::Dts(DtsHeader::Core(core)) => core.sample_rate,
            Self::Dts(DtsHeader::Extension { .. }) => 0,
            Self::Opus(_) => 48_000,
        }
    }

    /// PCM samples per channel that `frame` adds to its unit; `None` when it is no frame after all.
    pub(crate) fn samples(&self, frame: &[u8]) -> Option<u32> {
        match self {
            Self::Adts(h) => Some(u32::from(h.blocks).saturating_mul(1024)),
            Self::Latm(h) => Some(h.count(frame)?.saturating_mul(h.unit_samples())),
            Self::MpegAudio(h) => Some(u32::from(h.samples)),
            Self::Ac3(h) => Some(h.samples()),
            Self::Dts(DtsHeader::Core(core)) => Some(u32::from(core.samples)),
            Self::Dts(DtsHeader::Extension { .. }) => Some(0),
            // Trims are the player's to make: the packet decodes to all of its samples.
            Self::Opus(h) => opus::packet_samples(frame.get(h.header_len..)?),
        }
    }

    /// The access units in `unit`, which lasts `samples`: what of it is kept, and for how long.
    pub(super) fn parts(&self, unit: &[u8], samples: u32) -> Vec<(Payload, u32)> {
        let whole = |range| vec![(Payload::At(range), samples)];
        match self {
            Self::Adts(h) => {
                let units = h.units(unit).into_iter();
                units
                    .map(|(at, samples)| (Payload::At(at), samples))
                    .collect()
            }
            Self::Latm(h) => {
                let units = h.units(unit).unwrap_or_default().into_iter();
                units
                    .map(|unit| (Payload::Copied(unit), h.unit_samples()))
                    .collect()
            }
            Self::MpegAudio(_) | Self::Ac3(_) | Self::Dts(_) => whole(0..unit.len()),
            Self::Opus(h) => whole(h.header_len..unit.len()),
        }
    }
}
