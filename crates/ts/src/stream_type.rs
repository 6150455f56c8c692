//! What an elementary stream is, by its `stream_type` and descriptors.
//!
//! ISO/IEC 13818-1, table 2-34 and 2.6; ETSI EN 300 468, table 12 (DVB descriptors); ATSC A/52,
//! annex A, and A/53 part 3; the Blu-ray application format; Apple's "MPEG-2 Stream Encryption
//! Format for HTTP Live Streaming"; ETSI TS 103 491 and the Opus-in-TS convention of FFmpeg.

use std::fmt;

use clipmill_media::{DeclineCause, DeclinedStream, Language, StreamPlace, TrackKind};
use mpeg2ts_reader::descriptor::{Descriptor, DescriptorError};
use mpeg2ts_reader::psi::pmt::StreamInfo;

/// Names of streams whose payload may tell what they are.
const PRIVATE_DATA: &str = "private data";
const UNKNOWN: &str = "unknown stream";
const MPEG4_VIDEO: &str = "MPEG-4 part 2 video";
const MPEG4_AUDIO: &str = "MPEG-4 audio without transport syntax";

/// PES packets with private data: what DVB carries everything newer than MPEG-2 in.
const PRIVATE_PES: u8 = 0x06;

/// A coding that can be carried into an MP4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Rec. ITU-T H.264.
    H264,
    /// Rec. ITU-T H.265.
    H265,
    /// AV1.
    Av1,
    /// MPEG-1 or MPEG-2 video.
    Mpeg2Video,
    /// AAC in ADTS.
    Adts,
    /// AAC in LATM.
    Latm,
    /// MPEG audio, layers I to III.
    MpegAudio,
    /// AC-3 or E-AC-3: the frames tell which.
    Ac3,
    /// DTS.
    Dts,
    /// Opus, with the code of its extension descriptor where there is one.
    Opus {
        /// `channel_config_code`.
        channel_config_code: Option<u8>,
    },
}

impl Coding {
    pub(crate) fn is_video(self) -> bool {
        matches!(self, Self::H264 | Self::H265 | Self::Av1 | Self::Mpeg2Video)
    }

    /// Whether one assembler serves for both.
    pub(crate) fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (
                Self::Opus {
                    channel_config_code: Some(own),
                },
                Self::Opus {
                    channel_config_code: Some(other),
                },
            ) => own == other,
            _ => std::mem::discriminant(&self) == std::mem::discriminant(&other),
        }
    }

    /// What it is called where it matters how it is framed.
    pub(crate) fn framing(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::Av1 => "AV1",
            Self::Mpeg2Video => "MPEG-1 or MPEG-2 video",
            Self::Adts => "AAC in ADTS",
            Self::Latm => "AAC in LATM",
            Self::MpegAudio => "MPEG audio",
            Self::Ac3 => "AC-3 or E-AC-3",
            Self::Dts => "DTS",
            Self::Opus { .. } => "Opus",
        }
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mpeg2Video => "MPEG-2 video",
            Self::Adts | Self::Latm => "AAC",
            Self::Ac3 => "AC-3",
            other => other.framing(),
        }
    }

    /// The sample entry type that it has in an MP4.
    fn sample_entry(self) -> &'static str {
        match self {
            Self::H264 => "avc1",
            Self::H265 => "hvc1",
            Self::Av1 => "av01",
            Self::Mpeg2Video => "mp4v",
            Self::Adts | Self::Latm | Self::MpegAudio => "mp4a",
            Self::Ac3 => "ac-3",
            Self::Dts => "dtsc",
            Self::Opus { .. } => "Opus",
        }
    }
}

/// How a stream of timed metadata is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventCoding {
    Id3,
    Scte35,
}

/// An elementary stream as the program map lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elementary {
    /// Its PID.
    pub(crate) pid: u16,
    /// Its `stream_type`; 0 where it was recognised without tables.
    pub(crate) stream_type: u8,
    /// How it is coded, or why it cannot be carried.
    pub(crate) coding: Result<Coding, Unsupported>,
    /// How it is coded as timed metadata, where it is such.
    pub(crate) events: Option<EventCoding>,
    /// Its language.
    pub(crate) language: Language,
}

/// A stream that cannot be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsupported {
    name: &'static str,
    stream_type: u8,
}

impl Unsupported {
    /// Whether it is not known what the stream holds, so that its payload may tell: nothing is said
    /// of it, or it is said to be a kind of pictures or sound that is hardly ever sent.
    pub(crate) fn is_open(self) -> bool {
        [PRIVATE_DATA, UNKNOWN, MPEG4_VIDEO, MPEG4_AUDIO].contains(&self.name)
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (stream type {:#04x})", self.name, self.stream_type)
    }
}

/// A `format_identifier`, as in `HDMV` or `CUEI` (2.6.8).
pub(crate) type Registration = [u8; 4];

/// Any descriptor, unread.
pub(crate) struct RawDescriptor<'a> {
    tag: u8,
    data: &'a [u8],
}

impl<'a> Descriptor<'a> for RawDescriptor<'a> {
    fn from_bytes(bytes: &'a [u8]) -> Result<Self, DescriptorError> {
        match bytes {
            &[tag, _, ref data @ ..] => Ok(Self { tag, data }),
            _ => Err(DescriptorError::BufferTooShort {
                buflen: bytes.len(),
            }),
        }
    }
}

mod tag {
    pub(super) const REGISTRATION: u8 = 0x05;
    pub(super) const LANGUAGE: u8 = 0x0a;
    pub(super) const METADATA: u8 = 0x26;
    pub(super) const TELETEXT: u8 = 0x56;
    pub(super) const SUBTITLING: u8 = 0x59;
    pub(super) const AC3: u8 = 0x6a;
    pub(super) const EAC3: u8 = 0x7a;
    pub(super) const DTS: u8 = 0x7b;
    pub(super) const EXTENSION: u8 = 0x7f;
    pub(super) const ATSC_AC3: u8 = 0x81;
    pub(super) const ATSC_EAC3: u8 = 0xcc;
}

mod extension {
    pub(super) const DTS_HD: u8 = 0x0e;
    pub(super) const AC4: u8 = 0x15;
    pub(super) const TTML: u8 = 0x20;
    /// User defined: where FFmpeg puts the channel configuration of Opus.
    pub(super) const OPUS: u8 = 0x80;
}

/// The first registration among `descriptors`.
pub(crate) fn registration<'a>(
    descriptors: impl Iterator<Item = Result<RawDescriptor<'a>, DescriptorError>>,
) -> Option<Registration> {
    descriptors
        .flatten()
        .find(|descriptor| descriptor.tag == tag::REGISTRATION)
        .and_then(|descriptor| descriptor.data.first_chunk().copied())
}

impl Elementary {
    /// Reads an entry of a program map whose program is registered as `context`.
    pub(crate) fn of(info: &StreamInfo<'_>, context: Option<Registration>) -> Self {
        let descriptors: Vec<RawDescriptor<'_>> = info.descriptors().flatten().collect();
        let language = descriptors
            .iter()
            .find(|descriptor| descriptor.tag == tag::LANGUAGE)
            .and_then(|descriptor| descriptor.data.get(..3))
            .map_or(Language::UNDETERMINED, Language::from_bytes);
        Self {
            pid: u16::from(info.elementary_pid()),
            stream_type: info.stream_type().0,
            coding: classify(info.stream_type().0, &descriptors, context),
            events: events(info.stream_type().0, &descriptors, context),
            language,
        }
    }

    /// Whether an assembler is to be had for it, or may be found.
    pub(crate) fn may_be_media(&self) -> bool {
        match &self.coding {
            Ok(_) => true,
            Err(unsupported) => self.events.is_none() && unsupported.is_open(),
        }
    }

    /// The stream as a declined one, where it is.
    pub(crate) fn declined(&self) -> Option<DeclinedStream> {
        let what = self
            .coding
            .as_ref()
            .err()
            .filter(|_| self.events.is_none())?;
        Some(DeclinedStream {
            place: StreamPlace::Pid(self.pid),
            what: what.to_string(),
            cause: DeclineCause::NotCarried,
        })
    }

    /// The stream as one that is there and scrambled, where it would be carried.
    pub(crate) fn scrambled(&self) -> Option<DeclinedStream> {
        let coding = *self.coding.as_ref().ok()?;
        let (name, stream_type) = (coding.name(), self.stream_type);
        Some(DeclinedStream {
            place: StreamPlace::Pid(self.pid),
            what: format!("{name} (stream type {stream_type:#04x})"),
            cause: DeclineCause::Scrambled {
                kind: match coding.is_video() {
                    true => TrackKind::Video,
                    false => TrackKind::Audio,
                },
                name: name.into(),
                codec: coding.sample_entry().into(),
            },
        })
    }

    /// The stream as timed metadata, where it is such.
    pub(crate) fn metadata(&self) -> Option<DeclinedStream> {
        self.events.as_ref()?;
        let stream_type = self.stream_type;
        let what = match &self.coding {
            Ok(_) => format!("timed metadata (stream type {stream_type:#04x})"),
            Err(what) => what.to_string(),
        };
        Some(DeclinedStream {
            place: StreamPlace::Pid(self.pid),
            what,
            cause: DeclineCause::NotCarried,
        })
    }
}

/// Timed metadata: SCTE-35 by its stream type, ID3 by the format of its metadata descriptor (ISO/IEC
/// 13818-1, 2.6.60) or its registration.
fn events(
    stream_type: u8,
    descriptors: &[RawDescriptor<'_>],
    context: Option<Registration>,
) -> Option<EventCoding> {
    let is_id3 = |descriptor: &RawDescriptor<'_>| match descriptor.tag {
        tag::REGISTRATION => descriptor.data.starts_with(b"ID3 "),
        tag::METADATA => descriptor.data.windows(4).any(|four| four == b"ID3 "),
        _ => false,
    };
    match stream_type {
        0x86 if context != Some(*b"HDMV") => Some(EventCoding::Scte35),
        0x15 | PRIVATE_PES if descriptors.iter().any(is_id3) => Some(EventCoding::Id3),
        0x15 if descriptors.is_empty() => Some(EventCoding::Id3),
        _ => None,
    }
}

fn classify(
    stream_type: u8,
    descriptors: &[RawDescriptor<'_>],
    context: Option<Registration>,
) -> Result<Coding, Unsupported> {
    let registered = descriptors
        .iter()
        .filter(|descriptor| descriptor.tag == tag::REGISTRATION)
        .find_map(|descriptor| descriptor.data.first_chunk::<4>().copied());
    let blu_ray = [registered, context].contains(&Some(*b"HDMV"));
    let declined = |name| Err(Unsupported { name, stream_type });
    match stream_type {
        0x01 | 0x02 => Ok(Coding::Mpeg2Video),
        0x03 | 0x04 => Ok(Coding::MpegAudio),
        0x0f => Ok(Coding::Adts),
        0x11 => Ok(Coding::Latm),
        0x1b => Ok(Coding::H264),
        0x24 => Ok(Coding::H265),
        0x81 | 0x87 => Ok(Coding::Ac3),
        0x84 | 0xa1 if blu_ray => Ok(Coding::Ac3),
        0x85 | 0x86 if blu_ray => Ok(Coding::Dts),
        // As Blu-ray has it, and as FFmpeg writes it; American cable has subtitles there, registered.
        0x82 if blu_ray || registered.is_none() => Ok(Coding::Dts),
        0x8a => Ok(Coding::Dts),
        0x06 | 0x80..=0xff => match private(stream_type, registered, descriptors) {
            Some(Ok(coding)) => Ok(coding),
            Some(Err(what)) => declined(what),
            None => declined(named(stream_type, blu_ray)),
        },
        _ => declined(named(stream_type, blu_ray)),
    }
}

/// Streams whose type says no more than "private", by their descriptors.
fn private(
    stream_type: u8,
    registered: Option<Registration>,
    descriptors: &[RawDescriptor<'_>],
) -> Option<Result<Coding, &'static str>> {
    let extension = |wanted: u8| {
        descriptors
            .iter()
            .filter(|descriptor| descriptor.tag == tag::EXTENSION)
            .find_map(|descriptor| match descriptor.data {
                &[extension, ref data @ ..] if extension == wanted => Some(data),
                _ => None,
            })
    };
    let has = |tag: u8| descriptors.iter().any(|descriptor| descriptor.tag == tag);
    let by_registration = registered.and_then(|registered| match &registered {
        b"AC-3" | b"EAC3" => Some(Ok(Coding::Ac3)),
        b"HEVC" => Some(Ok(Coding::H265)),
        b"Opus" => Some(Ok(Coding::Opus {
            channel_config_code: extension(extension::OPUS).and_then(|data| data.first().copied()),
        })),
        b"AC-4" => Some(Err("Dolby AC-4 audio")),
        b"DTS1" | b"DTS2" | b"DTS3" => Some(Ok(Coding::Dts)),
        b"BSSD" => Some(Err("SMPTE 302M PCM audio")),
        b"AV01" => Some(Ok(Coding::Av1)),
        b"VC-1" => Some(Err("VC-1 video")),
        b"drac" => Some(Err("Dirac video")),
        b"KLVA" => Some(Err("KLV metadata")),
        b"ID3 " => Some(Err("timed ID3 metadata")),
        b"CUEI" => Some(Err("SCTE-35 splice information")),
        _ => None,
    });
    if by_registration.is_some() || stream_type != PRIVATE_PES {
        return by_registration;
    }
    if has(tag::AC3) || has(tag::EAC3) || has(tag::ATSC_AC3) || has(tag::ATSC_EAC3) {
        return Some(Ok(Coding::Ac3));
    }
    if let Some(code) = extension(extension::OPUS) {
        return Some(Ok(Coding::Opus {
            channel_config_code: code.first().copied(),
        }));
    }
    if has(tag::DTS) || extension(extension::DTS_HD).is_some() {
        return Some(Ok(Coding::Dts));
    }
    let what = if has(tag::SUBTITLING) {
        "DVB subtitles"
    } else if has(tag::TELETEXT) {
        "DVB teletext"
    } else if extension(extension::AC4).is_some() {
        "Dolby AC-4 audio"
    } else if extension(extension::TTML).is_some() {
        "TTML subtitles"
    } else {
        return None;
    };
    Some(Err(what))
}

/// The name of a stream type that cannot be carried.
fn named(stream_type: u8, blu_ray: bool) -> &'static str {
    match (stream_type, blu_ray) {
        (0x80, true) => "Blu-ray LPCM audio",
        (0xa2, true) => "DTS Express audio",
        (0x83, true) => "Dolby TrueHD audio",
        (0x90, true) => "Blu-ray presentation graphics",
        (0x91, true) => "Blu-ray interactive graphics",
        (0x92, true) => "Blu-ray text subtitles",
        (0x05, _) => "private sections",
        (0x06, _) => PRIVATE_DATA,
        (0x08, _) | (0x0a..=0x0d, _) | (0x14, _) => "DSM-CC data",
        (0x10, _) => MPEG4_VIDEO,
        (0x12 | 0x13, _) => "MPEG-4 systems data",
        (0x15, _) => "timed ID3 metadata",
        (0x16..=0x19, _) => "metadata",
        (0x1c, _) => MPEG4_AUDIO,
        (0x1d, _) => "timed text",
        (0x1e, _) => "auxiliary video",
        (0x1f | 0x20 | 0x22 | 0x23 | 0x26, _) => "further layer or view of H.264 video",
        (0x21 | 0x32, _) => "JPEG 2000 or JPEG XS video",
        (0x25, _) | (0x28..=0x2b, _) | (0x31, _) => "further layer of H.265 video",
        (0x27, _) => "timeline metadata",
        (0x2d | 0x2e, _) => "MPEG-H 3D audio",
        (0x33 | 0x34, _) => "H.266 video",
        (0x35, _) => "EVC video",
        (0x42 | 0xd2 | 0xd4, _) => "AVS video",
        (0x86, _) => "SCTE-35 splice information",
        (0x82, _) => "SCTE-27 subtitles",
        (0xc1, _) => "AC-3 encrypted with SAMPLE-AES",
        (0xc2, _) => "E-AC-3 encrypted with SAMPLE-AES",
        (0xcf, _) => "AAC encrypted with SAMPLE-AES",
        (0xd1, _) => "Dirac video",
        (0xdb, _) => "H.264 encrypted with SAMPLE-AES",
        (0xea, _) => "VC-1 video",
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stream_type: u8, descriptors: &[(u8, &[u8])]) -> Result<Coding, String> {
        let descriptors: Vec<RawDescriptor<'_>> = descriptors
            .iter()
            .map(|&(tag, data)| RawDescriptor { tag, data })
            .collect();
        classify(stream_type, &descriptors, None).map_err(|unsupported| unsupported.to_string())
    }

    #[test]
    fn what_is_carried() {
        for (stream_type, coding) in [
            (0x01, Coding::Mpeg2Video),
            (0x02, Coding::Mpeg2Video),
            (0x1b, Coding::H264),
            (0x24, Coding::H265),
            (0x03, Coding::MpegAudio),
            (0x04, Coding::MpegAudio),
            (0x0f, Coding::Adts),
            (0x11, Coding::Latm),
            (0x81, Coding::Ac3),
            (0x87, Coding::Ac3),
            (0x82, Coding::Dts),
            (0x8a, Coding::Dts),
        ] {
            assert_eq!(of(stream_type, &[]), Ok(coding));
        }
    }

    #[test]
    fn private_streams_are_known_by_their_descriptors() {
        for descriptor in [
            (0x6a, &[0u8][..]),
            (0x7a, &[0]),
            (0x05, b"AC-3"),
            (0x05, b"EAC3"),
            (0x81, &[0]),
        ] {
            assert_eq!(of(0x06, &[(0x52, &[1]), descriptor]), Ok(Coding::Ac3));
        }
        assert_eq!(of(0x06, &[(0x05, b"HEVC")]), Ok(Coding::H265));
        let opus = |channel_config_code| {
            Ok(Coding::Opus {
                channel_config_code,
            })
        };
        assert_eq!(of(0x06, &[(0x05, b"Opus")]), opus(None));
        let both = [(0x05, &b"Opus"[..]), (0x7f, &[0x80, 2])];
        assert_eq!(of(0x06, &both), opus(Some(2)));
        // The supplementary audio descriptor beside E-AC-3 is not Opus.
        let ad = [(0x7f, &[0x06, 0x82][..]), (0x7a, &[0])];
        assert_eq!(of(0x06, &ad), Ok(Coding::Ac3));
    }

    #[test]
    fn what_is_declined_says_what_it_is() {
        for (stream_type, descriptors, what) in [
            (
                0x06,
                &[(0x59, &b"eng"[..])][..],
                "DVB subtitles (stream type 0x06)",
            ),
            (0x06, &[(0x56, b"eng")], "DVB teletext (stream type 0x06)"),
            (
                0x06,
                &[(0x7f, &[0x15])],
                "Dolby AC-4 audio (stream type 0x06)",
            ),
            (
                0x06,
                &[(0x05, b"BSSD")],
                "SMPTE 302M PCM audio (stream type 0x06)",
            ),
            (0x06, &[], "private data (stream type 0x06)"),
            (
                0x15,
                &[(0x26, b"")],
                "timed ID3 metadata (stream type 0x15)",
            ),
            (0x86, &[], "SCTE-35 splice information (stream type 0x86)"),
            (
                0x80,
                &[(0x05, b"HDMV")],
                "Blu-ray LPCM audio (stream type 0x80)",
            ),
            (0x80, &[], "unknown stream (stream type 0x80)"),
            (
                0xdb,
                &[],
                "H.264 encrypted with SAMPLE-AES (stream type 0xdb)",
            ),
        ] {
            assert_eq!(of(stream_type, descriptors), Err(what.to_owned()));
        }
    }

    #[test]
    fn any_type_with_any_descriptor_is_something() {
        for stream_type in 0..=255 {
            for tag in 0..=255 {
                for data in [&b""[..], &[0], b"HDMV", b"Opus"] {
                    let _ = of(stream_type, &[(tag, data)]);
                }
            }
        }
    }
}
