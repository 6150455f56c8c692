//! ID3 tags between frames, as tools leave them that put streams together: ID3v2
//! (<https://id3.org/id3v2.4.0-structure>, 3.1 and 3.4) and ID3v1.

/// Bytes of the header of an ID3v2 tag.
pub(crate) const HEADER_LEN: usize = 10;
/// Bytes of a footer, which repeats the header.
pub(crate) const FOOTER_LEN: usize = 10;
/// Bytes of an ID3v1 tag.
const OLD_LEN: usize = 128;

/// What stands where a tag may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TagStart {
    /// Too few bytes to tell.
    Short,
    /// No tag.
    Nothing,
    /// A tag of this many bytes.
    Tag(usize),
}

/// Whether a tag may begin with this byte, with which no frame does.
pub(super) fn may_begin(first: u8) -> bool {
    matches!(first, b'I' | b'T')
}

/// Looks for a tag at the start of `bytes`.
pub(crate) fn find(bytes: &[u8]) -> TagStart {
    match bytes {
        [b'T', b'A', b'G', ..] => TagStart::Tag(OLD_LEN),
        [b'I', b'D', b'3', version, revision, flags, a, b, c, d, ..] => {
            let size = [a, b, c, d];
            let sane = *version != 0xff && *revision != 0xff && flags & 0x0f == 0;
            if !sane || size.iter().any(|&&byte| byte >= 0x80) {
                return TagStart::Nothing;
            }
            let size = size
                .into_iter()
                .fold(0usize, |size, &byte| (size << 7) | usize::from(byte));
            let footer = if flags & 0x10 == 0 { 0 } else { FOOTER_LEN };
            TagStart::Tag(HEADER_LEN.saturating_add(size).saturating_add(footer))
        }
        _ if bytes.len() < HEADER_LEN && begins_like(bytes) => TagStart::Short,
        _ => TagStart::Nothing,
    }
}

fn begins_like(bytes: &[u8]) -> bool {
    let head = bytes.get(..3).unwrap_or(bytes);
    b"ID3".starts_with(head) || b"TAG".starts_with(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_what_only_looks_like_them() {
        let tag = b"ID3\x04\0\0\0\0\x01\x05rest";
        assert_eq!(find(tag), TagStart::Tag(10 + 133));
        for len in 0..10 {
            assert_eq!(find(&tag[..len]), TagStart::Short, "{len} bytes");
        }
        assert_eq!(
            find(b"ID3\x04\0\x10\0\0\0\0"),
            TagStart::Tag(20),
            "a footer"
        );
        assert_eq!(find(b"ID3\x04\0\x01\0\0\0\0"), TagStart::Nothing);
        assert_eq!(find(b"ID3\x04\0\0\0\0\0\x80"), TagStart::Nothing);
        assert_eq!(find(b"ID3\xff\0\0\0\0\0\0"), TagStart::Nothing);
        assert_eq!(find(b"IDA"), TagStart::Nothing);
        assert_eq!(find(b"TAGnoname"), TagStart::Tag(128));
    }
}
