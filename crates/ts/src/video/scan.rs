//! Start codes in an elementary stream that comes in pieces (Rec. ITU-T H.264, annex B;
//! Rec. ITU-T H.262, 5.2.1).

use memchr::memmem::Finder;

use crate::packet::Run;

/// `00 00 01`, found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StartCode {
    /// Index in the piece of the byte that follows the start code.
    pub(super) after: usize,
    /// Position in the elementary stream at which what came before it ends, zero bytes in between
    /// left out.
    pub(super) content_end: u64,
}

/// Finds start codes, also those that lie across pieces. Positions count the bytes of all pieces.
#[derive(Debug)]
pub(super) struct Scanner {
    finder: Finder<'static>,
    /// Zero bytes at the end of what came before the piece at hand, at most two.
    zeros: usize,
    /// Position behind the last byte that is not zero, or behind the last start code.
    content_end: u64,
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            finder: Finder::new(&[0, 0, 1]),
            zeros: 0,
            content_end: 0,
        }
    }

    /// Forgets what came before `position`.
    pub(super) fn restart(&mut self, position: u64) {
        self.zeros = 0;
        self.content_end = position;
    }

    /// Position behind the last byte that is not zero, or behind the last start code.
    pub(super) fn content_end(&self) -> u64 {
        self.content_end
    }

    /// The first start code of `piece` that ends behind index `from`: 0, or what the code found
    /// before has as `after`. Call it until it gives `None`, before the next piece comes.
    pub(super) fn next(&mut self, position: u64, piece: &[u8], from: usize) -> Option<StartCode> {
        let rest = piece.get(from..)?;
        let code = match (self.zeros, rest) {
            (2, [1, ..]) if from == 0 => Some((0, 1)),
            (1 | 2, [0, 1, ..]) if from == 0 => Some((0, 2)),
            _ => self
                .finder
                .find(rest)
                .map(|at| (at, from.saturating_add(at).saturating_add(3))),
        };
        let Some((content, after)) = code else {
            self.end_piece(position, rest, from);
            return None;
        };
        let content = rest.get(..content).unwrap_or_default();
        self.note_content(position, content, from);
        let found = StartCode {
            after,
            content_end: self.content_end,
        };
        self.zeros = 0;
        self.content_end = position.saturating_add(after as u64);
        Some(found)
    }

    /// How many packets of `run` come before one in which a start code ends, or may end: to the
    /// scanner, their payload is one piece, at `position`, in which there is nothing to find.
    pub(super) fn pass(&mut self, position: u64, run: &Run<'_>) -> usize {
        let mut last_is_zero = self.zeros > 0;
        let mut apart = 0usize;
        for payload in run.payloads() {
            let &[first, .., last] = payload;
            // A start code across packets is left to `next`.
            if last_is_zero && first <= 1 {
                break;
            }
            last_is_zero = last == 0;
            apart = apart.saturating_add(1);
        }
        let (before, _) = run.split_at(apart);
        let count = before.find(&self.finder).unwrap_or(apart);
        let (passed, _) = before.split_at(count);
        let mut end = position.saturating_add(passed.payload_len());
        let mut is_last = true;
        for payload in passed.payloads().rev() {
            let begin = end.saturating_sub(Run::PAYLOAD_LEN as u64);
            if is_last {
                self.zeros = trailing_zeros(payload).min(2);
                is_last = false;
            }
            if self.note_content(begin, payload, 0) {
                break;
            }
            end = begin;
        }
        count
    }

    fn end_piece(&mut self, position: u64, rest: &[u8], from: usize) {
        let zeros = trailing_zeros(rest);
        self.zeros = if zeros == rest.len() {
            self.zeros.saturating_add(zeros).min(2)
        } else {
            zeros.min(2)
        };
        self.note_content(position, rest, from);
    }

    /// Whether there is anything but zeros.
    fn note_content(&mut self, position: u64, content: &[u8], from: usize) -> bool {
        let last = content.iter().rposition(|&byte| byte != 0);
        if let Some(last) = last {
            self.content_end = position
                .saturating_add(from as u64)
                .saturating_add(last as u64)
                .saturating_add(1);
        }
        last.is_some()
    }
}

fn trailing_zeros(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|&&byte| byte == 0).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Framing, Packets};
    use proptest::prelude::*;

    /// Position behind each start code, and where the content before it ends.
    fn scan(pieces: &[&[u8]]) -> Vec<(u64, u64)> {
        let mut scanner = Scanner::new();
        let mut position = 0u64;
        let mut found = Vec::new();
        for piece in pieces {
            let mut from = 0;
            while let Some(code) = scanner.next(position, piece, from) {
                found.push((position + code.after as u64, code.content_end));
                from = code.after;
            }
            position += piece.len() as u64;
        }
        found
    }

    fn naive(stream: &[u8]) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        let mut begin = 0;
        let mut at = 0;
        while at + 3 <= stream.len() {
            if stream[at..at + 3] == [0, 0, 1] {
                let content = &stream[begin..at];
                let len = content.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
                found.push((at as u64 + 3, (begin + len) as u64));
                at += 3;
                begin = at;
            } else {
                at += 1;
            }
        }
        found
    }

    #[test]
    fn finds_codes_of_three_and_four_bytes() {
        let stream = [0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65, 0, 0, 3, 0, 0, 0, 1, 7];
        assert_eq!(scan(&[&stream]), [(4, 0), (9, 6), (17, 13)]);
    }

    /// The same for a stream that comes in packets of payload alone.
    fn scan_packets(stream: &[u8], stride: usize, between: u8) -> Vec<(u64, u64)> {
        let mut segment = Vec::new();
        for (number, payload) in stream.chunks_exact(Run::PAYLOAD_LEN).enumerate() {
            let counter = number as u8 & 0x0f;
            segment.extend([0x47, 0, 0, 0x10 | counter]);
            segment.extend(payload);
            segment.resize((number + 1) * stride, between);
        }
        let framing = Framing {
            start: 0,
            stride: stride as u16,
        };
        let mut packets = Packets::new(&segment, framing);
        let mut scanner = Scanner::new();
        let (mut position, mut counter) = (0u64, 0u8);
        let mut found = Vec::new();
        while position < stream.len() as u64 {
            let run = packets.run(0, counter & 0x0f, 5);
            packets.pass(&run);
            counter = counter.wrapping_add(run.count() as u8);
            let mut rest = run;
            while let Some(payload) = rest.payloads().next() {
                let passed = scanner.pass(position, &rest);
                if passed == 0 {
                    let mut from = 0;
                    while let Some(code) = scanner.next(position, payload, from) {
                        found.push((position + code.after as u64, code.content_end));
                        from = code.after;
                    }
                }
                rest = rest.split_at(passed.max(1)).1;
                position += (passed.max(1) * Run::PAYLOAD_LEN) as u64;
            }
        }
        found
    }

    proptest! {
        #[test]
        fn packets_make_no_difference(
            filler in prop::sample::select(vec![0u8, 7]),
            bytes in prop::collection::vec((0usize..184 * 12, prop::sample::select(vec![0u8, 1, 7])), 0..200),
            codes in prop::collection::vec(0usize..184 * 12 - 3, 0..12),
            stride in prop::sample::select(vec![188usize, 192, 204]),
            between in 0u8..2,
        ) {
            let mut stream = vec![filler; 184 * 12];
            for (at, byte) in bytes {
                stream[at] = byte;
            }
            for at in codes {
                stream[at..at + 3].copy_from_slice(&[0, 0, 1]);
            }
            prop_assert_eq!(scan_packets(&stream, stride, between), naive(&stream));
        }

        #[test]
        fn pieces_make_no_difference(
            stream in prop::collection::vec(prop::sample::select(vec![0u8, 0, 0, 1, 7]), 0..80),
            lens in prop::collection::vec(1usize..6, 80),
        ) {
            let mut pieces = Vec::new();
            let mut rest = stream.as_slice();
            for len in lens {
                let (piece, after) = rest.split_at(len.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(scan(&pieces), naive(&stream));
        }
    }
}
