//! Boxes, one after the other (ISO/IEC 14496-12, 4.2), and the fields inside them.

use super::ReadError;

/// One box, or as much of it as there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoxAt<'a> {
    pub(super) kind: [u8; 4],
    /// Where its header begins, counted from the start of the segment.
    pub(super) offset: u64,
    /// Where its body begins.
    pub(super) body_offset: u64,
    pub(super) body: &'a [u8],
    /// The bytes end before the box does.
    pub(super) cut: bool,
}

impl<'a> BoxAt<'a> {
    /// The boxes inside it, behind `skip` bytes of fields.
    pub(super) fn children(&self, skip: usize) -> Boxes<'a> {
        Boxes {
            bytes: self.body.get(skip..).unwrap_or_default(),
            offset: self.body_offset.saturating_add(skip as u64),
        }
    }

    /// The first box of a kind inside it.
    pub(super) fn child(&self, kind: &[u8; 4]) -> Option<Self> {
        self.children(0).find(|one| one.kind == *kind)
    }

    pub(super) fn fields(&self) -> Fields<'a> {
        Fields { bytes: self.body }
    }

    pub(super) fn error(&self, path: &'static str, what: &'static str) -> ReadError {
        ReadError::Box {
            path,
            offset: self.offset,
            what,
        }
    }

    /// What is wrong with a box whose fields could not all be read.
    pub(super) fn short(&self, path: &'static str) -> ReadError {
        self.error(path, "ends early")
    }
}

/// Walks boxes until the bytes end or make no sense.
#[derive(Debug, Clone)]
pub(super) struct Boxes<'a> {
    bytes: &'a [u8],
    offset: u64,
}

impl<'a> Boxes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes behind the last box that are none.
    pub(super) fn rest(&self) -> (u64, usize) {
        (self.offset, self.bytes.len())
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = BoxAt<'a>;

    fn next(&mut self) -> Option<BoxAt<'a>> {
        let mut fields = Fields { bytes: self.bytes };
        let short = fields.u32()?;
        let kind = fields.array()?;
        let (header, size) = match short {
            // To the end of the file.
            0 => (8, self.bytes.len()),
            1 => (16, usize::try_from(fields.u64()?).unwrap_or(usize::MAX)),
            size => (8, usize::try_from(size).unwrap_or(usize::MAX)),
        };
        if size < header {
            return None;
        }
        let end = size.min(self.bytes.len());
        let body = self.bytes.get(header..end)?;
        let found = BoxAt {
            kind,
            offset: self.offset,
            body_offset: self.offset.saturating_add(header as u64),
            body,
            cut: size > self.bytes.len(),
        };
        self.bytes = self.bytes.get(end..).unwrap_or_default();
        self.offset = self.offset.saturating_add(end as u64);
        Some(found)
    }
}

/// Numbers, highest byte first; `None` where they end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(head)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A number of 32 bits, or in later versions of a box of 64.
    pub(super) fn sized(&mut self, wide: bool) -> Option<u64> {
        if wide {
            self.u64()
        } else {
            self.u32().map(u64::from)
        }
    }

    /// Version and flags of a `FullBox`.
    pub(super) fn version(&mut self) -> Option<(u8, u32)> {
        let [version, flags @ ..] = self.array::<4>()?;
        let [a, b, c] = flags;
        Some((version, u32::from_be_bytes([0, a, b, c])))
    }
}

/// Whether `bytes` begin like a fragmented MP4, an initialization segment, or a media segment.
#[must_use]
pub fn looks_like_mp4(bytes: &[u8]) -> bool {
    let mut fields = Fields::of(bytes);
    let size = fields.u32();
    let kind: Option<[u8; 4]> = fields.array();
    let known = matches!(
        kind.as_ref(),
        Some(
            b"ftyp"
                | b"styp"
                | b"moov"
                | b"moof"
                | b"sidx"
                | b"emsg"
                | b"prft"
                | b"mdat"
                | b"free"
                | b"skip"
                | b"uuid"
                | b"ssix"
                | b"pdin"
                | b"meta"
        )
    );
    known && size.is_some_and(|size| !(2..8).contains(&size))
}

/// Four characters as messages show them.
pub(super) fn four(kind: [u8; 4]) -> String {
    kind.escape_ascii().to_string()
}
