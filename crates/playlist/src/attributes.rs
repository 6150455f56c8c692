//! Attribute lists (RFC 8216, 4.2).

use std::time::Duration;

use quick_m3u8::tag::{AttributeValue, TagValue};

/// The attributes of one tag, in the order in which they stand.
pub(crate) struct Attributes<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Attributes<'a> {
    /// Reads what can be read: a malformed attribute does not cost the others.
    pub(crate) fn parse(value: &'a str) -> Self {
        let strict = TagValue(value.as_bytes()).try_as_ordered_attribute_list();
        let Ok(list) = strict else {
            return Self(split_leniently(value));
        };
        let trimmed = list.into_iter().map(|(name, value)| {
            let value = match value {
                AttributeValue::Quoted(text) => text,
                AttributeValue::Unquoted(raw) => raw.try_as_utf_8().unwrap_or_default().trim(),
            };
            (name.trim(), value)
        });
        Self(trimmed.collect())
    }

    /// The value of the first attribute of that name, without its quotes. Names are in upper case
    /// (RFC 8216, 4.2); whoever writes them otherwise means the same.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let mut all = self.0.iter();
        let found = all.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }

    /// Those whose name begins so.
    pub(crate) fn beginning<'b>(
        &'b self,
        prefix: &'b str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + 'b {
        let own = self.0.iter().copied();
        own.filter(move |(name, _)| {
            let head = name.get(..prefix.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(prefix))
        })
    }

    pub(crate) fn yes(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("YES"))
    }

    pub(crate) fn integer(&self, name: &str) -> Option<u64> {
        self.get(name)?.trim().parse().ok()
    }

    pub(crate) fn seconds(&self, name: &str) -> Option<Duration> {
        seconds(self.get(name)?)
    }
}

/// A decimal-floating-point count of seconds, to the nanosecond.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let value = TagValue(text.trim().as_bytes())
        .try_as_decimal_floating_point()
        .ok()?;
    Duration::try_from_secs_f64(value).ok()
}

/// Encoders put spaces around the signs and leave quotes away; the strict reader gives up on them.
fn split_leniently(mut rest: &str) -> Vec<(&str, &str)> {
    let mut list = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        // A name that holds a comma follows something without a value, which is dropped.
        let name = name.rsplit(',').next().unwrap_or(name).trim();
        let after = after.trim_start();
        let value = if let Some(quoted) = after.strip_prefix('"') {
            let (value, tail) = quoted.split_once('"').unwrap_or((quoted, ""));
            rest = tail.split_once(',').map_or("", |(_, next)| next);
            value
        } else {
            let (value, next) = after.split_once(',').unwrap_or((after, ""));
            rest = next;
            value.trim()
        };
        if !name.is_empty() {
            list.push((name, value));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_specification_allows() {
        let list = Attributes::parse(r#"BANDWIDTH=1280000,CODECS="a,b=c",RESOLUTION=1x2"#);
        assert_eq!(list.get("BANDWIDTH"), Some("1280000"));
        assert_eq!(list.get("CODECS"), Some("a,b=c"));
        assert_eq!(list.get("RESOLUTION"), Some("1x2"));
        assert_eq!(list.get("NAME"), None);
    }

    #[test]
    fn reads_what_encoders_write() {
        let list = Attributes::parse(r#"METHOD=AES-128 , URI = "k?a=b,c" , IV=0x1,,junk,X=,Y=2"#);
        assert_eq!(list.get("METHOD"), Some("AES-128"));
        assert_eq!(list.get("URI"), Some("k?a=b,c"));
        assert_eq!(list.get("IV"), Some("0x1"));
        assert_eq!(list.get("X"), Some(""));
        assert_eq!(list.integer("Y"), Some(2));
    }

    #[test]
    fn an_open_quote_ends_with_the_line() {
        let list = Attributes::parse(r#"METHOD=AES-128,URI="half"#);
        assert_eq!(list.get("URI"), Some("half"));
    }

    #[test]
    fn seconds_are_exact_to_the_digits_given() {
        assert_eq!(seconds("9.009"), Some(Duration::from_millis(9009)));
        assert_eq!(seconds("2"), Some(Duration::from_secs(2)));
        for wrong in ["-1", "NaN", "inf", "", "1e300", "x"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
