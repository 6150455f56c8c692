//! From lines to the model (RFC 8216, 4.1): each line by itself, in the order in which it stands.

use quick_m3u8::HlsLine;
use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::custom_parsing::line;

use crate::build::Builder;
use crate::error::{PlaylistError, PlaylistLimits};
use crate::media::MediaPlaylist;
use crate::playlist::Playlist;
use crate::variables::Variables;

impl Playlist {
    /// Reads a playlist that imports no variable.
    ///
    /// # Errors
    /// When the text is no M3U8 playlist, or larger than `limits` allows. Anything less is a
    /// warning in the playlist.
    pub fn parse(bytes: &[u8], limits: &PlaylistLimits) -> Result<Self, PlaylistError> {
        Self::parse_with(bytes, limits, &Variables::new())
    }

    /// Reads a playlist that may import `imports` with `EXT-X-DEFINE:IMPORT` or `QUERYPARAM`: the
    /// variables of the multivariant playlist, or the query parameters of its own URL.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_with(
        bytes: &[u8],
        limits: &PlaylistLimits,
        imports: &Variables,
    ) -> Result<Self, PlaylistError> {
        Self::parse_update(bytes, limits, imports, None)
    }

    /// Reads a playlist that may be a delta update (rfc8216bis, 6.2.5.1) of `previous`: the segments
    /// that it leaves out are taken from there. Where `previous` does not have all of them, they are
    /// left out of the result as well, see [`MediaPlaylist::skipped_segments`].
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_update(
        bytes: &[u8],
        limits: &PlaylistLimits,
        imports: &Variables,
        previous: Option<&MediaPlaylist>,
    ) -> Result<Self, PlaylistError> {
        let actual = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if actual > limits.bytes {
            return Err(PlaylistError::TooLong {
                actual,
                limit: limits.bytes,
            });
        }
        // One bad byte in a title must not cost the segments behind it.
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        check_header(text)?;
        let mut padded = None;

        // Each tag is told apart here and its value read by hand: one that the typed reader would
        // refuse as a whole may still hold what is needed.
        let options = ParsingOptionsBuilder::new().build();
        let mut builder = Builder::new(limits, imports, previous);
        let mut lines = lines(text).map(str::trim).enumerate().peekable();
        while let Some((index, content)) = lines.next() {
            let number = index.saturating_add(1);
            // A file that was given its length before its content, or lost its end in a crash.
            let content = if content.starts_with('\0') || content.ends_with('\0') {
                padded.get_or_insert(number);
                content.trim_matches(is_padding)
            } else {
                content
            };
            if number > limits.lines {
                return Err(PlaylistError::TooMany {
                    what: "lines",
                    limit: limits.lines,
                    line: number,
                });
            }
            let complete = lines.peek().is_some();
            match line::parse(content, &options).map(|slice| slice.parsed) {
                Ok(HlsLine::UnknownTag(tag)) => {
                    let value = tag.value().map_or(&b""[..], |value| value.0);
                    let value = std::str::from_utf8(value).unwrap_or_default();
                    builder.tag(number, tag.name(), value.trim())?;
                }
                Ok(HlsLine::Uri(uri)) => builder.uri(number, &uri, complete)?,
                // With no tag registered, none is known; comments and blank lines say nothing.
                Ok(HlsLine::KnownTag(_) | HlsLine::Comment(_) | HlsLine::Blank) => {}
                Err(_) => builder.warn(number, "a tag without a name"),
            }
        }
        if let Some(line) = padded {
            builder.warn(line, "NUL bytes around what is there, ignored");
        }
        Ok(builder.finish())
    }
}

/// The lines of a text: LF ends one, or CRLF, or CR as systems of long ago have it.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let has_feeds = text.contains('\n');
    text.split('\n').flat_map(move |line| {
        let line = match line.strip_suffix('\r') {
            Some(bare) if has_feeds => bare,
            _ => line,
        };
        line.split('\r')
    })
}

pub(crate) fn is_padding(one: char) -> bool {
    one == '\0' || one.is_whitespace()
}

/// The first tag of all (RFC 8216, 4.3.1.1). Blank lines and comments before it are let pass, as
/// some players do.
fn check_header(text: &str) -> Result<(), PlaylistError> {
    let mut lines = lines(text).map(|line| line.trim_matches(is_padding));
    let is_content = |line: &&str| {
        let is_comment = line.starts_with('#') && !line.starts_with("#EXT");
        !line.is_empty() && !is_comment
    };
    let first = lines.find(is_content).unwrap_or_default();
    let rest = first.strip_prefix("#EXTM3U");
    // `#EXTM3U url-tvg="…"` is common in channel lists.
    if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', ':'])) {
        return Ok(());
    }
    let printable = first.chars().filter(|one| !one.is_control());
    Err(PlaylistError::NotM3u8 {
        found: printable.take(40).collect(),
    })
}
