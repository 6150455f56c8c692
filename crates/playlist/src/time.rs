//! Instants and durations as people type them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Datelike, SecondsFormat, Utc};

use crate::date::parse_date;

/// One end of a window, as it was asked for.
///
/// ```
/// use clipmill_playlist::TimeSpec;
///
/// let same: TimeSpec = "1795356300000".parse()?;
/// assert_eq!(same, "2026-11-22T14:05:00Z".parse()?);
/// assert_eq!(same, "2026-11-22T17:05:00+0300".parse()?);
/// assert_eq!("+1m30s".parse::<TimeSpec>()?, "+90s".parse()?);
/// assert!("14:05".parse::<TimeSpec>().is_err());
/// # Ok::<(), clipmill_playlist::TimeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeSpec {
    /// `2026-11-22T14:05:00Z`, or milliseconds since 1970.
    At(DateTime<Utc>),
    /// `+90s`: from the start of the playlist.
    FromStart(Duration),
    /// `-30s`: from its end.
    FromEnd(Duration),
    /// This long after the beginning of the segment with this media sequence number. Nobody types
    /// it: it is how a place in one playlist is found in another one of the same stream.
    InSegment {
        /// The media sequence number (RFC 8216, 3).
        sequence: u64,
        /// From the beginning of that segment.
        offset: Duration,
    },
}

impl FromStr for TimeSpec {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Some(after) = text.strip_prefix('+') {
            return parse_duration(after).map(Self::FromStart);
        }
        if let Some(before) = text.strip_prefix('-') {
            return parse_duration(before).map(Self::FromEnd);
        }
        if let Some(millis) = epoch_millis(text) {
            return Ok(Self::At(millis));
        }
        match parse_date(text) {
            Some(date) if date.has_offset => Ok(Self::At(date.utc)),
            Some(_) => Err(TimeError::NoOffset(text.to_owned())),
            None => Err(TimeError::NotATime(text.to_owned())),
        }
    }
}

impl fmt::Display for TimeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(instant) => f.write_str(&shown_instant(*instant)),
            Self::FromStart(after) => write!(f, "+{}", shown_duration(*after)),
            Self::FromEnd(before) => write!(f, "-{}", shown_duration(*before)),
            Self::InSegment { sequence, offset } => {
                write!(f, "segment {sequence} +{}", shown_duration(*offset))
            }
        }
    }
}

/// A text is no instant or duration; the message shows what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Nothing that can be taken for an instant.
    #[error(
        "{0:?} is not a time: write 2026-11-22T14:05:00Z, milliseconds since 1970, \
         +90s (from the start of the playlist) or -30s (from its end)"
    )]
    NotATime(String),
    /// An instant of no particular time zone.
    #[error("{0:?} does not say which time zone it is in: add Z for UTC, or an offset like +03:00")]
    NoOffset(String),
    /// Nothing that can be taken for a duration.
    #[error("{0:?} is not a duration: write 30s, 1m30s, 2h or 1500ms")]
    NotADuration(String),
    /// A number that could be seconds or milliseconds.
    #[error("{0:?} has no unit: write {0}s for seconds, or 1m30s, 2h, 1500ms")]
    NoUnit(String),
}

/// Reads `30s`, `1m30s`, `2h`, `1500ms`, `1.5s`: numbers with a unit of `d`, `h`, `m`, `s` or `ms`,
/// larger units first.
///
/// A bare number is refused: beside epoch milliseconds, nobody can tell what `30` means.
///
/// # Errors
/// When `text` is anything else, with examples.
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    let text = text.trim();
    let wrong = || TimeError::NotADuration(text.to_owned());
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut last_unit = Duration::MAX;
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|next: char| next.is_ascii_digit() || next == '.');
        let number = rest.strip_suffix(after).unwrap_or_default();
        let next = after.trim_start_matches(|next: char| next.is_ascii_alphabetic());
        let unit = match after.strip_suffix(next).unwrap_or_default() {
            "d" => Duration::from_secs(86_400),
            "h" => Duration::from_secs(3_600),
            "m" | "min" => Duration::from_secs(60),
            "s" => Duration::from_secs(1),
            "ms" => Duration::from_millis(1),
            "" if !number.is_empty() && next.is_empty() => {
                return Err(TimeError::NoUnit(text.to_owned()));
            }
            _ => return Err(wrong()),
        };
        if unit >= last_unit {
            return Err(wrong());
        }
        let amount = times(number, unit).ok_or_else(wrong)?;
        total = total.checked_add(amount).ok_or_else(wrong)?;
        last_unit = unit;
        rest = next.trim_start();
    }
    // No longer than a number of seconds may be.
    if last_unit == Duration::MAX || total > Duration::from_secs(u32::MAX.into()) {
        return Err(wrong());
    }
    Ok(total)
}

/// A decimal number of units, exactly, digits below the nanosecond cut off.
fn times(number: &str, unit: Duration) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() {
        return None;
    }
    let mut total = unit.checked_mul(whole.parse().ok()?)?;
    let mut share = unit;
    for digit in fraction.chars() {
        share = share.checked_div(10)?;
        total = total.checked_add(share.checked_mul(digit.to_digit(10)?)?)?;
    }
    Some(total)
}

fn epoch_millis(text: &str) -> Option<DateTime<Utc>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let instant = DateTime::from_timestamp_millis(text.parse().ok()?)?;
    // As far as dates can be written.
    (instant.year() <= 9999).then_some(instant)
}

/// `2026-11-22T14:05:00.123Z`; with more digits where there are any.
pub(crate) fn shown_instant(instant: DateTime<Utc>) -> String {
    let exact = instant.timestamp_subsec_nanos().is_multiple_of(1_000_000);
    let digits = if exact {
        SecondsFormat::Millis
    } else {
        SecondsFormat::AutoSi
    };
    instant.to_rfc3339_opts(digits, true)
}

/// `90.5s`, to the last digit.
pub(crate) fn shown_duration(duration: Duration) -> String {
    let exact = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    let short = exact.trim_end_matches('0').trim_end_matches('.');
    format!("{short}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by `window`: 1.953 s was shown as 1.9529999999999998 s, which is another.
    #[test]
    fn what_is_shown_of_a_duration_is_all_of_it() {
        for (nanos, shown) in [
            (1_953_000_000, "1.953s"),
            (90_000_000_000, "90s"),
            (1, "0.000000001s"),
            (0, "0s"),
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(shown_duration(duration), shown);
            assert_eq!(parse_duration(shown).unwrap(), duration);
        }
    }

    /// Found by `window`: minutes and seconds that only together are too many for either.
    #[test]
    fn durations_that_cannot_be_typed_in_seconds_are_none() {
        assert!(parse_duration("4294967295s").is_ok());
        for text in ["4294967295s1ms", "3333333333m333s", "60000d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            ("90m", 5_400_000),
            ("2h", 7_200_000),
            ("1500ms", 1_500),
            ("1.5s", 1_500),
            ("0.25h", 900_000),
            ("1h2m3s4ms", 3_723_004),
            ("1d", 86_400_000),
            ("0s", 0),
            (" 5s ", 5_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "30s1m",
            "1s1s",
            "1.s",
            ".5s",
            "1..5s",
            "-1s",
            "1x",
            "1e3s",
            "ten",
            "99999999999999999999s",
            "9999999999d",
        ] {
            assert!(
                matches!(parse_duration(text), Err(TimeError::NotADuration(_))),
                "{text}"
            );
        }
        assert_eq!(
            parse_duration("30").unwrap_err().to_string(),
            r#""30" has no unit: write 30s for seconds, or 1m30s, 2h, 1500ms"#
        );
    }

    #[test]
    fn instants() {
        let parse = |text: &str| text.parse::<TimeSpec>().map(|spec| spec.to_string());
        for (text, shown) in [
            ("2026-11-22T14:05:00Z", "2026-11-22T14:05:00.000Z"),
            ("2026-11-22T17:05:00+0300", "2026-11-22T14:05:00.000Z"),
            ("2026-11-22T17:05:00.25+03:00", "2026-11-22T14:05:00.250Z"),
            // Found by `window`.
            (
                "2026-11-22T17:00:00.0000011+0300",
                "2026-11-22T14:00:00.000001100Z",
            ),
            ("1727644047000", "2024-09-29T21:07:27.000Z"),
            ("+90s", "+90s"),
            ("+1m30.5s", "+90.5s"),
            ("-30s", "-30s"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(shown), "{text}");
        }
        assert!(matches!(
            parse("2026-11-22T14:05:00"),
            Err(TimeError::NoOffset(_))
        ));
        assert!(matches!(parse("+90"), Err(TimeError::NoUnit(_))));
        for text in ["", "now", "14:05", "99999999999999999999", "2026-11-22"] {
            assert!(matches!(parse(text), Err(TimeError::NotATime(_))), "{text}");
        }
    }
}
