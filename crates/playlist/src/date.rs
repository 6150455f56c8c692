//! Dates as playlists and people write them (RFC 3339, ISO 8601; RFC 8216, 4.3.2.6).

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// An instant as it was written.
pub(crate) struct ParsedDate {
    /// The instant, taken as UTC when the offset is missing.
    pub(crate) utc: DateTime<Utc>,
    /// Whether an offset was written.
    pub(crate) has_offset: bool,
}

/// Reads `2026-11-22T14:05:00.123+03:00` and its relatives: a fraction of any length after a dot or
/// comma, `Z`, `+03:00`, `+0300` (as ffmpeg and Ant Media write it), `+03`, or no offset at all; a
/// space or a small `t` between date and time.
pub(crate) fn parse_date(text: &str) -> Option<ParsedDate> {
    let mut cursor = Cursor(text.trim());
    let year = cursor.digits(4)?;
    cursor.one_of("-")?;
    let month = cursor.digits(2)?;
    cursor.one_of("-")?;
    let day = cursor.digits(2)?;
    cursor.one_of("Tt ")?;
    let hour = cursor.digits(2)?;
    cursor.one_of(":")?;
    let minute = cursor.digits(2)?;
    let second = match cursor.one_of(":") {
        Some(_) => cursor.digits(2)?,
        None => 0,
    };
    // 60 is a leap second (RFC 3339, 5.7), counted as the first of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let nanos = match cursor.one_of(".,") {
        Some(_) => cursor.fraction()?,
        None => 0,
    };
    let (offset, has_offset) = cursor.offset()?;
    let clock = i64::from(hour)
        .checked_mul(3600)?
        .checked_add(i64::from(minute).checked_mul(60)?)?
        .checked_add(i64::from(second))?
        .checked_sub(offset)?;
    let utc = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?
        .and_hms_opt(0, 0, 0)?
        .and_utc()
        .checked_add_signed(TimeDelta::new(clock, nanos)?)?;
    Some(ParsedDate { utc, has_offset })
}

/// The instant `by` after `instant`, unless no calendar reaches that far.
pub(crate) fn later(instant: DateTime<Utc>, by: Duration) -> Option<DateTime<Utc>> {
    instant.checked_add_signed(TimeDelta::from_std(by).ok()?)
}

/// The instant `by` before `instant`, unless no calendar reaches that far.
pub(crate) fn earlier(instant: DateTime<Utc>, by: Duration) -> Option<DateTime<Utc>> {
    instant.checked_sub_signed(TimeDelta::from_std(by).ok()?)
}

struct Cursor<'a>(&'a str);

impl Cursor<'_> {
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (head, tail) = self.0.split_at_checked(count)?;
        if !head.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.0 = tail;
        head.parse().ok()
    }

    fn one_of(&mut self, allowed: &str) -> Option<char> {
        let mut chars = self.0.chars();
        let next = chars.next().filter(|&next| allowed.contains(next))?;
        self.0 = chars.as_str();
        Some(next)
    }

    /// Nanoseconds; digits beyond the ninth are cut off.
    fn fraction(&mut self) -> Option<u32> {
        let tail = self
            .0
            .trim_start_matches(|next: char| next.is_ascii_digit());
        let digits = self.0.strip_suffix(tail)?;
        self.0 = tail;
        if digits.is_empty() {
            return None;
        }
        let mut padded = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
        padded.try_fold(0u32, |sum, digit| {
            sum.checked_mul(10)?
                .checked_add(u32::from(digit.checked_sub(b'0')?))
        })
    }

    /// Seconds east of UTC, and whether they were written; the text must end here.
    fn offset(mut self) -> Option<(i64, bool)> {
        self.0 = self.0.trim_start();
        if self.0.is_empty() {
            return Some((0, false));
        }
        if matches!(self.0, "Z" | "z") {
            return Some((0, true));
        }
        // U+2212, the typographic minus, is what ISO 8601 prefers.
        let sign = self.one_of("+-\u{2212}")?;
        let hours = self.digits(2)?;
        let minutes = if self.0.is_empty() {
            0
        } else {
            self.one_of(":");
            self.digits(2)?
        };
        if !self.0.is_empty() || hours > 23 || minutes > 59 {
            return None;
        }
        let seconds = i64::from(hours)
            .checked_mul(60)?
            .checked_add(i64::from(minutes))?
            .checked_mul(60)?;
        let seconds = if sign == '+' {
            seconds
        } else {
            seconds.checked_neg()?
        };
        Some((seconds, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &str) -> Option<String> {
        parse_date(input).map(|date| {
            let offset = if date.has_offset { "" } else { " (no offset)" };
            format!("{}{offset}", date.utc.to_rfc3339())
        })
    }

    #[test]
    fn forms_found_in_playlists() {
        let same = "2024-09-29T21:07:27.342+00:00";
        for form in [
            "2024-09-30T00:07:27.342+0300",
            "2024-09-30T00:07:27.342+03:00",
            "2024-09-30T00:07:27.342+03",
            "2024-09-29T21:07:27.342Z",
            "2024-09-29T21:07:27.342+0000",
            "2024-09-29t21:07:27,342z",
            "2024-09-29 21:07:27.342 +00:00",
            "2024-09-29T15:37:27.342-0530",
            " 2024-09-29T21:07:27.342000000999Z ",
        ] {
            assert_eq!(text(form).as_deref(), Some(same), "{form}");
        }
        assert_eq!(
            text("2024-09-29T21:07:27").as_deref(),
            Some("2024-09-29T21:07:27+00:00 (no offset)")
        );
        assert_eq!(
            text("2016-12-31T23:59:60Z").as_deref(),
            Some("2017-01-01T00:00:00+00:00")
        );
        assert_eq!(
            text("2024-09-29T21:07Z").as_deref(),
            Some("2024-09-29T21:07:00+00:00")
        );
    }

    #[test]
    fn anything_else_is_no_date() {
        for wrong in [
            "",
            "2024",
            "2024-13-01T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:61Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+3",
            "2024-01-01T00:00:00+03:00x",
            "2024-01-01T00:00:00 Europe/Paris",
            "२०२४-01-01T00:00:00Z",
        ] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
    }
}
