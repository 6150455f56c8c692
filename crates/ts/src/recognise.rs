//! What an elementary stream is, by its payload: for streams whose program map says nothing of it, or
//! something else than what comes.
//!
//! Each coding is given a score, in bits: how unlikely it is that bytes of any other kind look like
//! that. A coding that the map names needs next to nothing to be believed, and one that it does not
//! name as much as no chance gives. What the syntax of a coding is, the modules know:
//! [`audio`] follows frames from header to header (ISO/IEC 14496-3, 1.A and 1.7; ISO/IEC 11172-3, 2.4;
//! ETSI TS 102 366; ETSI TS 102 114; ETSI TS 103 491), [`video`] takes pictures apart at their start codes
//! (Rec. ITU-T H.264, annex B; H.265, annex B; H.262, 6.2; "Carriage of AV1 in MPEG-2 TS").

mod audio;
#[cfg(test)]
mod tests;
mod video;

use std::ops::Range;

use crate::make::audio_kind;
use crate::stream_type::Coding;

/// Bits that a coding needs which the map does not name.
const SURE: u32 = 64;
/// Bits with which the one that it names is believed.
const FITS: u32 = 32;
/// Bits from which on it is worth waiting for more.
const PROMISING: u32 = 24;
/// Bytes that are looked at. Parameter sets come first in them, however large the picture.
const MOST_BYTES: usize = 64 << 10;
/// PES packets that are looked at.
const MOST_STARTS: usize = 64;

/// All codings that can be recognised.
const CODINGS: [Coding; 10] = [
    Coding::H264,
    Coding::H265,
    Coding::Mpeg2Video,
    Coding::Av1,
    Coding::Adts,
    Coding::Latm,
    Coding::MpegAudio,
    Coding::Ac3,
    Coding::Dts,
    Coding::Opus {
        channel_config_code: None,
    },
];

/// What the payload says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is what was expected.
    AsExpected,
    /// It is this, beyond doubt.
    Found(Coding),
    /// More must come to tell.
    Open,
}

/// The first payload of a stream.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    bytes: Vec<u8>,
    /// Where PES packets begin in them.
    starts: Vec<usize>,
    /// Where bytes are missing between them.
    losses: Vec<usize>,
}

impl Evidence {
    /// A PES packet begins.
    pub(crate) fn pes(&mut self) {
        self.starts.push(self.bytes.len());
    }

    /// More of its payload.
    pub(crate) fn payload(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Payload is missing here.
    pub(crate) fn lost(&mut self) {
        let at = self.bytes.len();
        if self.losses.last() != Some(&at) {
            self.losses.push(at);
        }
    }

    /// All payload.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many PES packets have begun.
    pub(crate) fn count(&self) -> usize {
        self.starts.len()
    }

    /// Whether what has not been recognised by now never will be.
    pub(crate) fn is_full(&self) -> bool {
        let many = self.starts.len() >= MOST_STARTS || self.losses.len() >= MOST_STARTS;
        self.bytes.len() >= MOST_BYTES || many
    }

    /// Whether something may come of it.
    pub(crate) fn is_promising(&self) -> bool {
        CODINGS
            .iter()
            .any(|&coding| self.score(coding) >= PROMISING)
    }

    /// What it says of a stream that is expected to be coded as `expected`.
    pub(crate) fn verdict(&self, expected: Option<Coding>) -> Verdict {
        let own = expected.map_or(0, |expected| self.score(expected));
        if own >= FITS {
            return Verdict::AsExpected;
        }
        let others = CODINGS
            .iter()
            .filter(|coding| !expected.is_some_and(|expected| expected.is_same(**coding)));
        let best = others
            .map(|&coding| (self.score(coding), coding))
            .max_by_key(|&(score, _)| score);
        match best {
            Some((score, coding)) if score >= SURE && own.saturating_mul(4) <= score => {
                Verdict::Found(coding)
            }
            _ => Verdict::Open,
        }
    }

    /// The best that any stretch without a loss says for `coding`.
    fn score(&self, coding: Coding) -> u32 {
        let kind = audio_kind(coding);
        let scores = self.stretches().map(|range| {
            let bytes = self.bytes.get(range.clone()).unwrap_or_default();
            let starts: Vec<usize> = self
                .starts
                .iter()
                .filter(|start| range.contains(start))
                .map(|start| start.saturating_sub(range.start))
                .collect();
            match kind {
                Some(kind) => audio::score(kind, bytes, &starts),
                None => video::score(coding, bytes, &starts),
            }
        });
        scores.max().unwrap_or_default()
    }

    fn stretches(&self) -> impl Iterator<Item = Range<usize>> {
        let begins = std::iter::once(0).chain(self.losses.iter().copied());
        let ends = self.losses.iter().copied().chain([self.bytes.len()]);
        begins.zip(ends).map(|(begin, end)| begin..end)
    }
}

/// Whether a PES packet whose payload begins with `payload` may be worth a look.
pub(crate) fn begins_like_media(payload: &[u8]) -> bool {
    let begins = |&coding: &Coding| first_look(coding, payload) == Some(true);
    CODINGS.iter().any(begins)
}

/// Whether a PES packet whose payload begins with `payload` is coded as `expected`, so far that nothing
/// else need be thought of; `None` where more must come to tell.
pub(crate) fn first_look(expected: Coding, payload: &[u8]) -> Option<bool> {
    match audio_kind(expected) {
        Some(kind) => audio::first_look(kind, payload),
        None => video::first_look(expected, payload),
    }
}
