use std::time::Duration;

/// Every size that comes from outside, in one place.
///
/// The defaults are generous: no honest stream meets them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one media segment. Offsets inside a segment are 32-bit, so no more than
    /// `u32::MAX` is of use. Default 1 GiB.
    pub segment_bytes: u64,
    /// Bytes of one initialization section (`EXT-X-MAP`). Default 64 MiB.
    pub init_bytes: u64,
    /// Bytes of one key, as a server sends it. Default 1 KiB.
    pub key_bytes: u64,
    /// Bytes of one playlist. Default 64 MiB.
    pub playlist_bytes: u64,
    /// Lines of one playlist. Default 8,000,000.
    pub playlist_lines: usize,
    /// Segments of one playlist. Default 1,000,000.
    pub playlist_segments: usize,
    /// Tracks of one segment. Default 64.
    pub tracks: usize,
    /// Samples of one track in one segment. Default 4,000,000.
    pub samples: usize,
    /// Codec configurations of one track in one segment. Default 1,024.
    pub configs: usize,
    /// Bytes of one parameter set. Default 64 KiB.
    pub parameter_set_bytes: usize,
    /// Damages kept with their place; further ones are only counted. Default 256.
    pub damages: usize,
    /// HTTP redirects followed for one resource. Default 5.
    pub redirects: usize,
    /// How long the media of one clip may last. Default 31 days.
    pub clip_duration: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            init_bytes: 64 << 20,
            key_bytes: 1 << 10,
            playlist_bytes: 64 << 20,
            playlist_lines: 8_000_000,
            playlist_segments: 1_000_000,
            tracks: 64,
            samples: 4_000_000,
            configs: 1_024,
            parameter_set_bytes: 64 << 10,
            damages: 256,
            redirects: 5,
            clip_duration: Duration::from_secs(31 * 24 * 3600),
        }
    }
}

/// A size that came from outside is larger than [`Limits`] allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {actual}, over the limit of {limit}")]
pub struct LimitExceeded {
    /// What was measured, in words: `segment size in bytes`.
    pub what: &'static str,
    /// Its size.
    pub actual: u64,
    /// The limit that it exceeds.
    pub limit: u64,
}

impl LimitExceeded {
    /// An error unless `actual` is at most `limit`.
    ///
    /// # Errors
    /// When `actual` is greater than `limit`.
    pub fn check(what: &'static str, actual: u64, limit: u64) -> Result<(), Self> {
        if actual <= limit {
            return Ok(());
        }
        Err(Self {
            what,
            actual,
            limit,
        })
    }
}
