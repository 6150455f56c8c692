//! Start codes in an elementary stream that comes in pieces (Rec. ITU-T H.264, annex B;
//! Rec. ITU-T H.262, 5.2.1).

use memchr::memmem::Finder;

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

    fn end_piece(&mut self, position: u64, rest: &[u8], from: usize) {
        let zeros = match rest {
            [.., last] if *last != 0 => 0,
            [.., last, 0] if *last != 0 => 1,
            [.., 0, 0] => 2,
            [0] => self.zeros.saturating_add(1).min(2),
            _ => self.zeros,
        };
        self.zeros = zeros;
        self.note_content(position, rest, from);
    }

    fn note_content(&mut self, position: u64, content: &[u8], from: usize) {
        if let Some(last) = content.iter().rposition(|&byte| byte != 0) {
            self.content_end = position
                .saturating_add(from as u64)
                .saturating_add(last as u64)
                .saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    proptest! {
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
