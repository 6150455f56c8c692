//! What the playlist said about a segment that is kept, as the name of its file.

use chrono::{DateTime, TimeDelta, Utc};
use clipmill::Ticks;

const SUFFIX: &str = ".seg";

/// What the playlist says about a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) sequence: u64,
    /// `EXTINF` in 90 kHz ticks.
    pub(crate) duration: Ticks,
    pub(crate) start_time: Option<DateTime<Utc>>,
    pub(crate) discontinuity: bool,
    /// Length of the segments missing before it, in 90 kHz ticks.
    pub(crate) missing_before: Ticks,
    /// Which of the session's `EXT-X-MAP`s it needs.
    pub(crate) init: Option<u64>,
    /// It is not the media server's file byte for byte: it was decrypted, or is a part of it.
    pub(crate) changed: bool,
    /// Which file of the media server it is: see [`Taken::file`](clipmill::live::Taken::file).
    pub(crate) file: (u32, u32),
}

impl Label {
    /// When it ends, by its date and duration.
    pub(crate) fn end(&self) -> Option<DateTime<Utc>> {
        let micros = self.duration.saturating_mul(100) / 9;
        self.start_time?
            .checked_add_signed(TimeDelta::microseconds(micros))
    }

    pub(super) fn file_name(&self) -> String {
        let start = self.start_time.map_or_else(
            || "x".to_owned(),
            |time| time.timestamp_micros().to_string(),
        );
        format!(
            "{:020}_{}_{start}_{}_{}_{:x}_{:x}-{:x}{SUFFIX}",
            self.sequence,
            self.duration,
            u8::from(self.discontinuity) | (u8::from(self.changed) << 1),
            self.missing_before,
            self.init.unwrap_or_default(),
            self.file.0,
            self.file.1,
        )
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut fields = name.strip_suffix(SUFFIX)?.split('_');
        let sequence = fields.next()?.parse().ok()?;
        let duration = fields.next()?.parse().ok()?;
        let start_time = match fields.next()? {
            "x" => None,
            micros => Some(DateTime::from_timestamp_micros(micros.parse().ok()?)?),
        };
        let flags: u8 = fields.next()?.parse().ok()?;
        let missing_before = fields.next()?.parse().ok()?;
        let init = u64::from_str_radix(fields.next()?, 16).ok()?;
        // Earlier versions did not write it.
        let hex = |text| u32::from_str_radix(text, 16).ok();
        let file = match fields.next() {
            Some(file) => {
                let (name, version) = file.split_once('-')?;
                (hex(name)?, hex(version)?)
            }
            None => (0, 0),
        };
        Some(Self {
            sequence,
            duration,
            start_time,
            discontinuity: flags & 1 != 0,
            missing_before,
            init: Some(init).filter(|init| *init != 0),
            changed: flags & 2 != 0,
            file,
        })
    }
}

/// The name of a segment, read and written anew.
#[cfg(feature = "fuzzing")]
pub(crate) fn rewritten(name: &str) -> Option<String> {
    Label::parse(name).map(|label| label.file_name())
}
