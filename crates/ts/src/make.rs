//! Which assembler takes which coding.

use clipmill_media::Limits;

use crate::assemble::Assemble;
use crate::audio::{AudioAssembler, AudioKind};
use crate::stream_type::{Coding, Elementary};
use crate::video::{Av1Assembler, H264Assembler, H265Assembler, Mpeg2Assembler};

/// The assembler of a stream that is coded as `coding`.
pub(crate) fn assembler(entry: &Elementary, coding: Coding, limits: &Limits) -> Box<dyn Assemble> {
    if let Some(kind) = audio_kind(coding) {
        return Box::new(AudioAssembler::new(entry.pid, kind, entry.language, limits));
    }
    match coding {
        Coding::H265 => Box::new(H265Assembler::new(entry.pid, limits)),
        Coding::Mpeg2Video => Box::new(Mpeg2Assembler::new(entry.pid, limits)),
        Coding::Av1 => Box::new(Av1Assembler::new(entry.pid, limits)),
        _ => Box::new(H264Assembler::new(entry.pid, limits)),
    }
}

/// How the frames of `coding` are framed, where it is one of sound.
pub(crate) fn audio_kind(coding: Coding) -> Option<AudioKind> {
    Some(match coding {
        Coding::H264 | Coding::H265 | Coding::Mpeg2Video | Coding::Av1 => return None,
        Coding::Adts => AudioKind::Adts,
        Coding::Latm => AudioKind::Latm,
        Coding::MpegAudio => AudioKind::MpegAudio,
        Coding::Ac3 => AudioKind::Ac3,
        Coding::Dts => AudioKind::Dts,
        Coding::Opus {
            channel_config_code,
        } => AudioKind::Opus {
            channel_config_code,
        },
    })
}
