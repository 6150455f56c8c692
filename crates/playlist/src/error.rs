/// Sizes that a playlist may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaylistLimits {
    /// Bytes of the text, and of everything that its variables expand to. Default 64 MiB.
    pub bytes: u64,
    /// Lines of the text. Default 8,000,000.
    pub lines: usize,
    /// Segments, parts, variants and renditions, each counted for itself. Default 1,000,000.
    pub segments: usize,
    /// Warnings kept; further ones are dropped. Default 256.
    pub warnings: usize,
}

impl Default for PlaylistLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            lines: 8_000_000,
            segments: 1_000_000,
            warnings: 256,
        }
    }
}

/// Why a text gives no playlist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaylistError {
    /// The first line is not `#EXTM3U` (RFC 8216, 4.3.1.1).
    #[error("not an M3U8 playlist: it does not begin with #EXTM3U{}", shown(.found))]
    NotM3u8 {
        /// How the text begins, shortened and without control characters.
        found: String,
    },
    /// The text is longer than [`PlaylistLimits::bytes`].
    #[error("the playlist has {actual} bytes, over the limit of {limit}")]
    TooLong {
        /// Its size in bytes.
        actual: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// There is more of one thing than [`PlaylistLimits::segments`] or [`PlaylistLimits::lines`].
    #[error("line {line}: more than {limit} {what} in one playlist")]
    TooMany {
        /// What was counted: `segments`.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// Line number, from 1.
        line: usize,
    },
}

fn shown(found: &str) -> String {
    if found.is_empty() {
        " (it is empty)".to_owned()
    } else {
        format!(" but with {found:?}")
    }
}
