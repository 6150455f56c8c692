//! AAC in LATM: ISO/IEC 14496-3, 1.7.2 (`AudioSyncStream`, which LOAS is) and 1.7.3
//! (`AudioMuxElement`, `StreamMuxConfig`).
//!
//! What broadcasting uses is carried: one program of one layer, whose frames tell their length.

use std::ops::Range;

use bytes::Bytes;

use super::aac;
use super::bits::{BitReader, copy};
use crate::AacConfig;

/// Bytes of syncword and `audioMuxLengthBytes`.
const SYNC_LEN: usize = 3;

/// Bytes that an `AudioSpecificConfig` may have. It has two to eight, but for program config elements.
const MAX_CONFIG: usize = 64;

/// One frame of LOAS: an `AudioSyncStream` with its `AudioMuxElement`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoasFrame {
    /// Bytes of the whole frame.
    pub frame_len: u16,
    mux: Mux,
    /// Bits of the frame before its first `PayloadLengthInfo`.
    payload_at: usize,
}

/// What a frame says of its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mux {
    /// Nothing, as its end has not come yet.
    Unread,
    /// It is the one of the frame before (`useSameStreamMux`).
    Same,
    /// This one.
    Stated(StreamMux),
}

/// A `StreamMuxConfig`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StreamMux {
    /// The `AudioSpecificConfig`, aligned.
    config: [u8; MAX_CONFIG],
    config_len: u8,
    sample_rate: u32,
    frame_samples: u16,
    /// `numSubFrames + 1`.
    frames: u8,
}

impl LoasFrame {
    /// Bytes that tell whether a frame begins.
    pub const LEN: usize = SYNC_LEN;

    /// Reads the frame at the start of `bytes`, which may end before it does; `None` where there is
    /// none, or one whose configuration is not carried.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(bytes.get(..SYNC_LEN)?);
        if bits.u16(11)? != 0x2b7 {
            return None;
        }
        let len = usize::from(bits.u16(13)?);
        let frame_len = SYNC_LEN.saturating_add(len);
        let mut frame = Self {
            frame_len: u16::try_from(frame_len).ok().filter(|_| len > 0)?,
            mux: Mux::Unread,
            payload_at: 0,
        };
        if let Some(whole) = bytes.get(..frame_len) {
            let mut bits = BitReader::new(whole);
            bits.skip(SYNC_LEN.saturating_mul(8))?;
            frame.mux = if bits.flag()? {
                Mux::Same
            } else {
                Mux::Stated(StreamMux::read(whole, &mut bits)?)
            };
            frame.payload_at = bits.position();
        }
        Some(frame)
    }

    /// The frame with the configuration of the one before it, where it has none of its own.
    #[must_use]
    pub fn after(mut self, before: Option<&Self>) -> Self {
        if let (Mux::Same, Some(Mux::Stated(known))) = (self.mux, before.map(|frame| frame.mux)) {
            self.mux = Mux::Stated(known);
        }
        self
    }

    /// Whether `other` can be of the same stream without a change of configuration.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        match (&self.mux, &other.mux) {
            (Mux::Stated(own), Mux::Stated(other)) => own == other,
            _ => true,
        }
    }

    /// Sampling rate of the core in Hz; 0 while no configuration is known.
    #[must_use]
    pub fn sample_rate(&self) -> u32 {
        self.stated().map_or(0, |mux| mux.sample_rate)
    }

    /// PCM samples per channel of one access unit.
    #[must_use]
    pub fn unit_samples(&self) -> u32 {
        self.stated().map_or(0, |mux| mux.frame_samples.into())
    }

    /// The access units in `frame`, each moved to a byte boundary; `None` where no configuration is
    /// known, or their lengths lie.
    #[must_use]
    pub fn units(&self, frame: &[u8]) -> Option<Vec<Vec<u8>>> {
        let places = self.places(frame)?;
        let unit = |place: Range<usize>| copy(frame, place.start, place.len());
        places.into_iter().map(unit).collect()
    }

    /// How many access units there are in `frame`, as [`units`](Self::units) has it.
    #[must_use]
    pub fn count(&self, frame: &[u8]) -> Option<u32> {
        u32::try_from(self.places(frame)?.len()).ok()
    }

    /// Where each access unit lies, in bits.
    fn places(&self, frame: &[u8]) -> Option<Vec<Range<usize>>> {
        let frames = self.stated()?.frames;
        let mut bits = BitReader::new(frame.get(..usize::from(self.frame_len))?);
        bits.skip(self.payload_at)?;
        let mut places = Vec::new();
        for _ in 0..frames {
            let mut len = 0usize;
            loop {
                let more = bits.u8(8)?;
                len = len.saturating_add(more.into());
                if more != 255 {
                    break;
                }
            }
            let (start, len) = (bits.position(), len.saturating_mul(8));
            bits.skip(len)?;
            if len > 0 {
                places.push(start..start.saturating_add(len));
            }
        }
        (!places.is_empty()).then_some(places)
    }

    /// The configuration that is in force.
    #[must_use]
    pub fn config(&self) -> Option<AacConfig> {
        let config = self.stated()?.audio_specific_config();
        AacConfig::from_audio_specific_config(Bytes::copy_from_slice(config), 0)
    }

    fn stated(&self) -> Option<&StreamMux> {
        match &self.mux {
            Mux::Stated(mux) => Some(mux),
            Mux::Unread | Mux::Same => None,
        }
    }
}

impl StreamMux {
    fn audio_specific_config(&self) -> &[u8] {
        let len = usize::from(self.config_len);
        self.config.get(..len).unwrap_or_default()
    }

    /// `StreamMuxConfig()` (1.7.3.1, table 1.42); `bits` reads `frame`.
    fn read(frame: &[u8], bits: &mut BitReader<'_>) -> Option<Self> {
        let version = bits.flag()?;
        if version && bits.flag()? {
            // audioMuxVersionA is for what is not defined yet.
            return None;
        }
        if version {
            // taraBufferFullness.
            value(bits)?;
        }
        let same_framing = bits.flag()?;
        let frames = bits.u8(6)?.saturating_add(1);
        let (programs, layers) = (bits.u8(4)?, bits.u8(3)?);
        if !same_framing || programs > 0 || layers > 0 {
            return None;
        }
        let stated = match version {
            true => Some(usize::try_from(value(bits)?).ok()?),
            false => None,
        };
        let rest = copy(frame, bits.position(), bits.left() & !7)?;
        // Without a length there is no telling where extensions end, so there are none.
        let len = match stated {
            Some(len) => len,
            None => aac::specific_config_len(&rest)?,
        };
        let whole = copy(frame, bits.position(), len)?;
        bits.skip(len)?;
        if bits.u8(3)? != 0 {
            // Frames of a fixed length are those of speech codecs.
            return None;
        }
        // latmBufferFullness.
        bits.skip(8)?;
        if bits.flag()? {
            if version {
                value(bits)?;
            } else {
                while bits.flag()? {
                    bits.skip(8)?;
                }
                bits.skip(8)?;
            }
        }
        if bits.flag()? {
            // crcCheckSum.
            bits.skip(8)?;
        }
        let config = AacConfig::from_audio_specific_config(Bytes::copy_from_slice(&whole), 0)?;
        let mut mux = Self {
            config: [0; MAX_CONFIG],
            config_len: u8::try_from(whole.len()).ok()?,
            sample_rate: config.sample_rate,
            frame_samples: config.frame_samples,
            frames,
        };
        mux.config.get_mut(..whole.len())?.copy_from_slice(&whole);
        Some(mux)
    }
}

/// `LatmGetValue()`.
fn value(bits: &mut BitReader<'_>) -> Option<u32> {
    let bytes = u32::from(bits.u8(2)?).saturating_add(1);
    bits.u(bytes.saturating_mul(8))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame as FFmpeg's LATM muxer writes it: 48 kHz, mono, LC, `fill` as payload.
    fn frame(same: bool, payload: &[u8]) -> Vec<u8> {
        let mut out = super::super::bits::BitWriter::default();
        out.push(u32::from(same), 1);
        if !same {
            // Version 0, same framing, one frame, program and layer.
            for (value, count) in [(0, 1), (1, 1), (0, 6), (0, 4), (0, 3)] {
                out.push(value, count);
            }
            out.push(0x1188, 16);
            // Length type, fullness, no other data, no CRC.
            for (value, count) in [(0, 3), (0xff, 8), (0, 1), (0, 1)] {
                out.push(value, count);
            }
        }
        for _ in 0..payload.len() / 255 {
            out.push(255, 8);
        }
        out.push((payload.len() % 255) as u32, 8);
        for &byte in payload {
            out.push(byte.into(), 8);
        }
        let body = out.into_bytes();
        let mut whole = vec![0x56, 0xe0 | (body.len() >> 8) as u8, body.len() as u8];
        whole.extend(body);
        whole
    }

    #[test]
    fn units_are_moved_to_byte_boundaries() {
        let payload: Vec<u8> = (0..=255).chain(0..=99).collect();
        let bytes = frame(false, &payload);
        let first = LoasFrame::parse(&bytes).unwrap();
        assert_eq!(usize::from(first.frame_len), bytes.len());
        assert_eq!(first.units(&bytes), Some(vec![payload.clone()]));
        let config = first.config().unwrap();
        assert_eq!(&config.audio_specific_config[..], [0x11, 0x88]);
        assert_eq!((config.sample_rate, config.channels), (48_000, 1));

        let bytes = frame(true, &payload);
        let second = LoasFrame::parse(&bytes).unwrap();
        assert_eq!(second.units(&bytes), None, "no configuration yet");
        let second = second.after(Some(&first));
        assert_eq!(second.units(&bytes), Some(vec![payload]));
        assert!(first.agrees(&second));
        assert_eq!(second.config(), first.config());
    }

    #[test]
    fn a_part_of_a_frame_tells_its_length() {
        let bytes = frame(false, &[7; 40]);
        for len in SYNC_LEN..bytes.len() {
            let part = LoasFrame::parse(&bytes[..len]).unwrap();
            assert_eq!(usize::from(part.frame_len), bytes.len());
            assert_eq!(part.config(), None);
        }
        assert_eq!(LoasFrame::parse(&bytes[..2]), None);
        assert_eq!(LoasFrame::parse(&bytes[1..]), None);
    }

    #[test]
    fn lengths_that_lie() {
        let mut bytes = frame(false, &[7; 40]);
        let parsed = LoasFrame::parse(&bytes).unwrap();
        bytes.truncate(30);
        assert_eq!(parsed.units(&bytes), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>) {
            if let [first, second, third, ..] = bytes.as_mut_slice() {
                (*first, *second) = (0x56, 0xe0);
                *third %= 64;
            }
            if let Some(found) = LoasFrame::parse(&bytes) {
                let _ = (found.units(&bytes), found.config(), found.count(&bytes));
            }
        }
    }
}
