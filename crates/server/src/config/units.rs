//! `500GB` and `30d`.

use std::time::Duration;

/// Bytes: a number with `B`, `KB`, `MB`, `GB`, `TB` (powers of 1000) or `KiB` … `TiB` (powers of
/// 1024), or alone.
///
/// # Errors
/// In words, when it is none.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => {
            return Err(format!(
                "`{text}` is not a size such as 500GB, 64MiB or 1024"
            ));
        }
    };
    scaled(number, factor as f64)
        .ok_or_else(|| format!("`{text}` is not a size such as 500GB, 64MiB or 1024"))
}

/// A length of time: `500ms`, `5s`, `10m`, `24h`, `30d`, `2w`, and their sums (`1h30m`).
///
/// # Errors
/// In words, when it is none.
pub fn parse_age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a length of time such as 30d, 24h, 1h30m or 500ms");
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (number, tail) = split(rest);
        let end = tail.find(|c: char| !c.is_ascii_alphabetic());
        let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
        let millis: u32 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(wrong()),
        };
        let part = scaled(number, f64::from(millis)).ok_or_else(wrong)?;
        sum = sum
            .checked_add(Duration::from_millis(part))
            .ok_or_else(wrong)?;
        rest = tail;
    }
    if sum.is_zero() { Err(wrong()) } else { Ok(sum) }
}

/// A length of time as [`parse_age`] reads it, in as few units as say it exactly, down to milliseconds.
#[must_use]
pub fn format_age(age: Duration) -> String {
    use std::fmt::Write;
    let mut rest = age.as_millis();
    let mut text = String::new();
    for (unit, millis) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ] {
        if rest >= millis {
            let _ = write!(text, "{}{unit}", rest / millis);
            rest %= millis;
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    (number, unit.trim())
}

fn scaled(number: &str, factor: f64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor as u64);
    }
    let value: f64 = number.parse().ok()?;
    let scaled = value * factor;
    (scaled.is_finite() && scaled < 2f64.powi(63)).then_some(scaled as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_read_as_people_write_them() {
        assert_eq!(parse_size("500GB"), Ok(500_000_000_000));
        assert_eq!(parse_size("64 MiB"), Ok(64 << 20));
        assert_eq!(parse_size("1.5k"), Ok(1500));
        assert_eq!(parse_size("17"), Ok(17));
        for bad in ["", "GB", "1XB", "-1", "99999999999TB", "1e9"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_age("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_age("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "5", "s", "0s", "5y", "1h30", "99999999999999999999d"] {
            assert!(parse_age(bad).is_err(), "{bad}");
        }
        for text in ["4h", "1h30m", "30d", "1d2h3m4s5ms", "500ms"] {
            assert_eq!(format_age(parse_age(text).unwrap()), text);
        }
        assert_eq!(format_age(Duration::ZERO), "0s");
    }
}
