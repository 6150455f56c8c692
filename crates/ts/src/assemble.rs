//! The seam between transport and codecs: PES payload in, access units out.

use std::fmt::Debug;

use clipmill_media::{DamageLog, LimitExceeded, Limits, TrackIndex};

use crate::packet::Run;
use crate::stream_type::{Coding, Elementary};

/// Makes the assembler of a stream.
pub(crate) type Make = fn(&Elementary, Coding, &Limits) -> Box<dyn Assemble>;

/// The header of a PES packet, as far as access units depend on it (ISO/IEC 13818-1, 2.4.3.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PesStart {
    /// Presentation timestamp of the first access unit that begins in this packet, in 90 kHz
    /// ticks, unrolled.
    pub(crate) pts: Option<i64>,
    /// Its decoding timestamp, in 90 kHz ticks, unrolled; absent where it equals `pts`.
    pub(crate) dts: Option<i64>,
    /// `random_access_indicator` of the transport packet that begins it.
    pub(crate) random_access: bool,
    /// `data_alignment_indicator`: the payload begins with an access unit (or a NAL unit of it).
    pub(crate) aligned: bool,
    /// Byte offset in the segment of the transport packet that begins it.
    pub(crate) offset: u64,
}

/// Turns the PES payload of one elementary stream into the samples of a track.
///
/// One value lives as long as its stream: what outlives a segment (parameter sets, the first part
/// of an audio frame whose rest is in the next segment) stays in it. For each segment the calls are
/// `begin_segment`, then any number of `pes`, `payload` and `lost` in the order of the packets,
/// `end_of_stream` where there is no other, then `end_segment`.
pub(crate) trait Assemble: Debug + Send {
    /// Begins a segment of `segment_len` bytes whose packets are `stride` bytes apart.
    fn begin_segment(&mut self, segment_len: u64, stride: u16) -> Result<(), LimitExceeded>;

    /// A PES packet begins; the payload that follows is its own.
    fn pes(&mut self, start: PesStart, damage: &mut DamageLog) -> Result<(), LimitExceeded>;

    /// Payload of the PES packet last begun: `bytes` are found at byte `offset` of the segment.
    fn payload(
        &mut self,
        offset: u64,
        bytes: &[u8],
        damage: &mut DamageLog,
    ) -> Result<(), LimitExceeded>;

    /// The same for the payload of several packets, which lies where they do.
    fn run(&mut self, run: Run<'_>, damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        let mut rest = run;
        while let Some(payload) = rest.payloads().next() {
            self.payload(rest.payload_offset() as u64, payload, damage)?;
            rest = rest.split_at(1).1;
        }
        Ok(())
    }

    /// Payload is missing between what came before and what comes now.
    fn lost(&mut self, damage: &mut DamageLog) -> Result<(), LimitExceeded>;

    /// Nothing follows the segment that is about to end: what waits for the next one will never be
    /// whole. What waits for the next picture stays with the last one.
    fn end_of_stream(&mut self, _damage: &mut DamageLog) -> Result<(), LimitExceeded> {
        Ok(())
    }

    /// Ends the segment. Video: the access unit in the making ends here. Audio: a frame of which
    /// only a part has come is kept for the next segment.
    fn end_segment(&mut self, damage: &mut DamageLog) -> Result<TrackIndex, LimitExceeded>;
}
