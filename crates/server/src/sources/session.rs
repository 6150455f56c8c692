//! What tells two files of one name apart, and whether a stream still lives.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clipmill::live::{Timeouts, Version};

/// What tells two files of the same name apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileMark {
    pub(crate) len: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub(crate) modified_ns: i128,
}

impl FileMark {
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        let since = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            len: metadata.len(),
            modified_ns: since.map_or(0, |since| since.as_nanos() as i128),
        }
    }

    /// As it tells two contents apart.
    pub(crate) fn version(self) -> Version {
        Version {
            tag: u64::try_from(self.modified_ns).unwrap_or(0),
            len: self.len,
        }
    }

    /// The time of the last change.
    pub(crate) fn modified(&self) -> SystemTime {
        let since = u64::try_from(self.modified_ns.max(0)).unwrap_or(u64::MAX);
        UNIX_EPOCH + Duration::from_nanos(since)
    }
}

/// Whether a file may only have been appended to since it looked like `then`.
pub(crate) fn has_grown(then: Version, now: Version) -> bool {
    now.len > then.len && now.tag >= then.tag
}

/// When a stream that stays silent has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pulse {
    grown: Instant,
    silence: Duration,
}

impl Pulse {
    pub(crate) fn new(grown: Instant, target_duration: Duration) -> Self {
        Self {
            grown,
            silence: Timeouts::default().silence(target_duration),
        }
    }

    /// How long ago the last segment came.
    pub(crate) fn passed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.grown)
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.grown + self.silence
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.deadline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_of_three_target_durations() {
        let begun = Instant::now();
        let pulse = Pulse::new(begun, Duration::from_secs(10));
        assert!(!pulse.is_over(begun + Duration::from_secs(29)));
        assert!(pulse.is_over(begun + Duration::from_secs(30)));
        let short = Pulse::new(begun, Duration::from_secs(1));
        assert_eq!(short.deadline(), begun + Duration::from_secs(6));
    }
}
