//! Frames of sound: each tells where the next one must begin.

use memchr::memchr_iter;

use crate::audio::{AudioKind, Probe};

/// Frames of a chain that are followed.
const LONGEST: u32 = 8;
/// PES packets that a chain may begin with.
const MOST_STARTS: usize = 16;
/// Other places where it may.
const MOST_PLACES: usize = 512;
/// How DTS begins, whose first bits are those of an Opus control header.
const DTS_CORE: [u8; 4] = [0x7f, 0xfe, 0x80, 0x01];

/// Bits of the first header of a chain, of each further one, and of a frame that ends with its PES packet
/// where that is asked for.
fn bits(kind: AudioKind) -> (u32, u32, u32) {
    match kind {
        AudioKind::Adts => (16, 24, 0),
        AudioKind::Latm => (24, 14, 0),
        AudioKind::MpegAudio => (12, 16, 0),
        AudioKind::Ac3 => (20, 22, 0),
        AudioKind::Dts => (32, 32, 0),
        // Its headers have eleven bits that are known.
        AudioKind::Opus { .. } => (10, 10, 10),
    }
}

/// Bits that speak for frames of `kind` in `bytes`; PES packets begin at `starts`.
pub(super) fn score(kind: AudioKind, bytes: &[u8], starts: &[usize]) -> u32 {
    let aligned = starts.iter().take(MOST_STARTS);
    let aligned = aligned.map(|&at| chain(kind, bytes, at, starts));
    let (first, ..) = bits(kind);
    // Wherever a header is looked for, one of that kind is no wonder.
    let places = memchr_iter(kind.sync_byte(), bytes).take(MOST_PLACES);
    let found = places.map(|at| chain(kind, bytes, at, starts).saturating_sub(first));
    aligned.chain(found).max().unwrap_or_default()
}

/// Bits of the frames that follow one another from `at` on.
fn chain(kind: AudioKind, bytes: &[u8], mut at: usize, starts: &[usize]) -> u32 {
    let (first, further, ends) = bits(kind);
    let mut known = None;
    let mut score = 0u32;
    for _ in 0..LONGEST {
        let rest = bytes.get(at..).unwrap_or_default();
        let Probe::Header(header) = kind.probe(rest) else {
            break;
        };
        let header = header.after(known.as_ref());
        let bits = match &known {
            None => first,
            Some(known) if known.agrees(&header) || !header.begins_unit() => further,
            Some(_) => break,
        };
        if rest.starts_with(&DTS_CORE) && kind != AudioKind::Dts {
            break;
        }
        let frame = rest.get(..header.frame_len());
        if frame.is_some_and(|frame| header.samples(frame).is_none()) {
            break;
        }
        score = score.saturating_add(bits);
        let Some(frame) = frame else { break };
        at = at.saturating_add(frame.len());
        if starts.binary_search(&at).is_ok() {
            score = score.saturating_add(ends);
        }
        known.get_or_insert(header);
    }
    score
}

/// Whether `payload` begins with a frame.
pub(super) fn first_look(kind: AudioKind, payload: &[u8]) -> Option<bool> {
    match kind.probe(payload) {
        // What lies behind a tag will tell.
        Probe::Short | Probe::Tag(_) => None,
        Probe::Nothing => Some(false),
        Probe::Header(_) if kind != AudioKind::Dts && payload.starts_with(&DTS_CORE) => Some(false),
        Probe::Header(header) => {
            let behind = payload.get(header.frame_len()..).unwrap_or_default();
            match kind.probe(behind) {
                Probe::Header(next) => Some(header.agrees(&next) || !next.begins_unit()),
                Probe::Nothing => Some(false),
                Probe::Short | Probe::Tag(_) => Some(true),
            }
        }
    }
}
