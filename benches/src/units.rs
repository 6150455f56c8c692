//! How amounts are written on the command line and in tables.

/// Bits per second: `1.5M`, `800k`, `1500000`.
///
/// # Errors
/// A sentence.
pub fn bits_per_second(text: &str) -> Result<u64, String> {
    scaled(text, &[("k", 1e3), ("M", 1e6), ("G", 1e9)])
        .filter(|bits| *bits >= 50e3)
        .map(|bits| bits.round() as u64)
        .ok_or_else(|| format!("{text}: a bit rate is 50k at least, as in 1.5M or 800k"))
}

/// Seconds: `90`, `90s`, `10m`, `1h`.
///
/// # Errors
/// A sentence.
pub fn seconds(text: &str) -> Result<u64, String> {
    scaled(text, &[("s", 1.0), ("m", 60.0), ("h", 3_600.0)])
        .filter(|seconds| *seconds >= 1.0 && *seconds <= 7.0 * 86_400.0)
        .map(|seconds| seconds.round() as u64)
        .ok_or_else(|| format!("{text}: a duration is 1s at least, as in 90s, 10m or 1h"))
}

/// Bytes: `10GB`, `500MB`.
///
/// # Errors
/// A sentence.
pub fn bytes(text: &str) -> Result<u64, String> {
    scaled(text, &[("MB", 1e6), ("GB", 1e9), ("TB", 1e12)])
        .filter(|bytes| *bytes >= 1e6)
        .map(|bytes| bytes.round() as u64)
        .ok_or_else(|| format!("{text}: 1MB at least, as in 500MB or 10GB"))
}

fn scaled(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let unit = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.unwrap_or((text, 1.0));
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && number > 0.0).then_some(number * factor)
}

/// A duration, three digits of it: `0.153 s`, `3.51 ms`.
#[must_use]
pub fn time(seconds: f64) -> String {
    if seconds == 0.0 {
        // The kernel counts in steps, and may have seen none.
        return "0".to_owned();
    }
    let (value, unit) = if seconds < 0.1 {
        (seconds * 1e3, "ms")
    } else {
        (seconds, "s")
    };
    format!("{} {unit}", digits(value))
}

/// A number of which three digits matter.
#[must_use]
pub fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_written() {
        assert_eq!(bits_per_second("1.5M"), Ok(1_500_000));
        assert_eq!(bits_per_second("800k"), Ok(800_000));
        assert_eq!(bits_per_second("64000"), Ok(64_000));
        assert_eq!(seconds("1h"), Ok(3_600));
        assert_eq!(seconds("1.5m"), Ok(90));
        assert_eq!(seconds("20"), Ok(20));
        assert_eq!(bytes("1.5GB"), Ok(1_500_000_000));
        for wrong in ["", "M", "-1M", "0", "1.5X", "NaN", "infM"] {
            assert!(bits_per_second(wrong).is_err(), "{wrong}");
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn three_digits_are_shown() {
        assert_eq!(time(0.003_512), "3.51 ms");
        assert_eq!(time(0.1534), "0.153 s");
        assert_eq!(time(47.23), "47.2 s");
        assert_eq!(time(177.4), "177 s");
        assert_eq!(time(0.0), "0");
    }
}
