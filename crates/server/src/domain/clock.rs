//! Instants.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// This machine's clock, in milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}

/// An instant as messages name it: RFC 3339 in UTC.
pub struct Instant(pub i64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            // Beyond the calendar.
            None => write!(f, "{} ms", self.0),
        }
    }
}
