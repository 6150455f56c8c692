//! Which assembler takes which coding.

use clipmill_media::Limits;

use crate::assemble::Assemble;
use crate::audio::{AudioAssembler, AudioKind};
use crate::stream_type::{Coding, Elementary};

/// The assembler of a stream that is coded as `coding`.
pub(crate) fn assembler(entry: &Elementary, coding: Coding, limits: &Limits) -> Box<dyn Assemble> {
    let audio = |kind| -> Box<dyn Assemble> {
        Box::new(AudioAssembler::new(entry.pid, kind, entry.language, limits))
    };
    match coding {
        Coding::H264 | Coding::H265 | Coding::Mpeg2Video => {
            crate::testing::recorder(entry, coding, limits)
        }
        Coding::Adts => audio(AudioKind::Adts),
        Coding::MpegAudio => audio(AudioKind::MpegAudio),
        Coding::Ac3 => audio(AudioKind::Ac3),
        Coding::Opus {
            channel_config_code,
        } => audio(AudioKind::Opus {
            channel_config_code,
        }),
    }
}
