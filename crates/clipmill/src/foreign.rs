//! What bytes are that should be a segment or a playlist and are not, by how they begin: an error
//! page, an image, a file of another kind. So the message can say what there is instead of what
//! there is not.

use clipmill_mp4::looks_like_mp4;
use clipmill_ts::{PackedAudio, looks_like_ts};

/// As much of a text as a message shows.
const SHOWN: usize = 40;

/// Beginnings that leave no doubt, and what has them.
const MAGIC: [(&[u8], &str); 24] = [
    (b"#EXTM3U", "an HLS playlist"),
    (b"WEBVTT", "WebVTT subtitles"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard-compressed data"),
    (b"BZh", "bzip2-compressed data"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    (b"OggS", "an Ogg file"),
    (b"fLaC", "a FLAC file"),
    (b"FLV\x01", "an FLV file"),
    (b"\0\0\x01\xba", "an MPEG program stream"),
    (b"\0\0\x01\xb3", "a bare MPEG video stream"),
    (b"\0\0\0\x01", "a bare H.264 or H.265 stream"),
    (b"\0\0\x01\x09", "a bare H.264 stream"),
    (b"\0\0\x01\x67", "a bare H.264 stream"),
    (b"\0\0\x01\x40", "a bare H.265 stream"),
    (b"DKIF", "an IVF file"),
    (b"\x30\x26\xb2\x75", "an ASF or WMV file"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file that it stands for",
    ),
];

/// What `bytes`, which are no media that can be read, are; `None` where nothing is known of them.
pub(crate) fn not_media(bytes: &[u8]) -> Option<String> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let known = MAGIC.iter().find(|(magic, _)| text.starts_with(magic));
    if let Some((_, what)) = known {
        return Some((*what).to_owned());
    }
    if let [b'R', b'I', b'F', b'F', _, _, _, _, kind @ ..] = bytes {
        let what = match kind.get(..4) {
            Some(b"WEBP") => "a WebP image",
            Some(b"WAVE") => "a WAV file",
            Some(b"AVI ") => "an AVI file",
            _ => "a RIFF file",
        };
        return Some(what.to_owned());
    }
    shown_text(text)
}

/// Text, by its beginning.
fn shown_text(bytes: &[u8]) -> Option<String> {
    let begins = bytes.trim_ascii_start();
    let begins = begins.get(..SHOWN).unwrap_or(begins);
    let readable = |&byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if begins.len() < 2 || !begins.iter().all(readable) {
        return None;
    }
    let lower = begins.to_ascii_lowercase();
    let has = |tag: &[u8]| lower.starts_with(tag);
    if has(b"<!doctype html") || has(b"<html") || has(b"<head") || has(b"<body") {
        return Some("an HTML page".to_owned());
    }
    if has(b"<mpd") || has(b"<?xml") && bytes.windows(4).take(1024).any(|four| four == b"<MPD") {
        return Some("a DASH manifest".to_owned());
    }
    if has(b"<?xml") {
        return Some("an XML document".to_owned());
    }
    let line = begins.split(|&byte| byte == b'\n').next()?.trim_ascii();
    let line = String::from_utf8_lossy(line);
    Some(format!("text that begins with {line:?}"))
}

/// What `bytes` are, where they should be a playlist and are none.
pub(crate) fn not_a_playlist(bytes: &[u8]) -> Option<String> {
    let media = if looks_like_ts(bytes) {
        "an MPEG-TS segment"
    } else if looks_like_mp4(bytes) {
        "an MP4 file or segment"
    } else if PackedAudio::looks_like(bytes) {
        "a segment of packed audio"
    } else {
        // Of text the message shows the beginning anyhow.
        return not_media(bytes).filter(|what| !what.starts_with("text"));
    };
    Some(format!("{media}, which clipmill remux and probe take"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_media_is_named() {
        for (bytes, what) in [
            (&b"<!DOCTYPE html>\n<html>"[..], "an HTML page"),
            (b"\r\n  <HTML><head>", "an HTML page"),
            (
                b"\xef\xbb\xbf#EXTM3U\n#EXTINF:2,\na.ts\n",
                "an HLS playlist",
            ),
            (b"WEBVTT\n\n", "WebVTT subtitles"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
            (b"\x1f\x8b\x08\0", "gzip-compressed data"),
            (b"RIFF\x10\0\0\0WAVEfmt ", "a WAV file"),
            (b"<?xml version=\"1.0\"?>\n<MPD xmlns=", "a DASH manifest"),
            (b"<?xml version=\"1.0\"?>\n<Error>", "an XML document"),
            (
                b"404 page not found\n",
                "text that begins with \"404 page not found\"",
            ),
            (
                b"{\"error\":\"expired\"}",
                "text that begins with \"{\\\"error\\\":\\\"expired\\\"}\"",
            ),
        ] {
            assert_eq!(not_media(bytes).as_deref(), Some(what));
        }
        for bytes in [&b""[..], b"G", b"\x80\x81\x82\x83", b"ab\x01\x02"] {
            assert_eq!(not_media(bytes), None, "{bytes:?}");
        }
    }
}
