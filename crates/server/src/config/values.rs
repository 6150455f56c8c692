//! How single values are written, in the file and in variables alike.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clipmill::source::Reach;
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::WebhookContentType;
use super::units::{parse_age, parse_size};

/// Reads a text, a number or a truth value by its text; says in the error what it should be.
struct ByText<F>(F, &'static str);

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for ByText<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

fn by_text<'de, D: Deserializer<'de>, T>(
    from: D,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    from.deserialize_any(ByText(parse, expected))
}

/// `30d`.
pub(super) fn age<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    by_text(from, "a length of time such as \"30d\"", parse_age)
}

pub(super) fn some_age<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    age(from).map(Some)
}

/// Whole seconds, from one up; in variables and flags also `1m30s`.
pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    by_text(from, "a number of seconds from 1 up", |text| {
        let whole = parse_at_least_one(text).map(Duration::from_secs);
        let written = |wrong| match parse_age(text) {
            Ok(age) => Ok(Duration::from_secs(age.as_secs().max(1))),
            Err(_) => Err(wrong),
        };
        whole.or_else(written)
    })
}

/// `500GB`.
pub(super) fn size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    by_text(from, "a size such as \"500GB\"", parse_size)
}

pub(super) fn some_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    size(from).map(Some)
}

fn parse_at_least_one<T: FromStr + PartialEq + Default>(text: &str) -> Result<T, String> {
    match text.trim().parse::<T>() {
        Ok(number) if number != T::default() => Ok(number),
        _ => Err(format!("`{text}` is not a whole number from 1 up")),
    }
}

pub(super) fn at_least_one<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    by_text(from, "a whole number from 1 up", parse_at_least_one)
}

pub(super) fn some_at_least_one<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<usize>, D::Error> {
    at_least_one(from).map(Some)
}

/// `true` or `false`; variables also say `1`, `yes`, `0` and `no`.
pub(super) fn truth<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    struct Truth;

    impl Visitor<'_> for Truth {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true or false")
        }

        fn visit_bool<E: de::Error>(self, value: bool) -> Result<bool, E> {
            Ok(value)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
            match text {
                "true" | "1" | "yes" => Ok(true),
                "false" | "0" | "no" => Ok(false),
                _ => Err(E::custom(format!("`{text}` is neither true nor false"))),
            }
        }
    }

    from.deserialize_any(Truth)
}

/// Whether URLs of others may lead to private addresses.
pub(super) fn reach<'de, D: Deserializer<'de>>(from: D) -> Result<Reach, D::Error> {
    Ok(match truth(from)? {
        true => Reach::Anywhere,
        false => Reach::PublicAndLoopback,
    })
}

/// A text; an empty one takes back what an earlier source said.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A program; an empty name takes back what an earlier source said.
pub(super) fn program<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let named = text(from)?.map(PathBuf::from);
    Ok(named.map(|program| std::path::absolute(&program).unwrap_or(program)))
}

/// `HOST:PORT`, or an IPv6 address in brackets and a port.
pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    by_text(from, "HOST:PORT", |text| {
        let wrong = || format!("`{text}` is not HOST:PORT");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let named = !host.is_empty() && !host.contains([':', '/', ' ', '[', ']']);
        let good = match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => named,
        };
        match port.parse::<u16>() {
            Ok(_) if good => Ok(text.to_owned()),
            _ => Err(wrong()),
        }
    })
}

/// An address of the web; an empty one takes back what an earlier source said.
pub(super) fn web_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    by_text(from, "an http(s) address", |text| {
        if text.is_empty() {
            return Ok(None);
        }
        match url::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(Some(text.to_owned()))
            }
            _ => Err(format!("`{text}` is not an http(s) address")),
        }
    })
}

/// The content type of webhooks.
pub(super) fn content_type<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<WebhookContentType, D::Error> {
    by_text(from, "a content type", |text| match text {
        "application/json" => Ok(WebhookContentType::Json),
        "application/x-www-form-urlencoded" => Ok(WebhookContentType::Form),
        _ => Err(format!(
            "`{text}` is neither application/json nor application/x-www-form-urlencoded"
        )),
    })
}
