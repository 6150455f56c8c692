//! Variable substitution (rfc8216bis, 4.3).

use std::collections::BTreeMap;

/// Names and values of `EXT-X-DEFINE` (rfc8216bis, 4.4.2.3).
pub type Variables = BTreeMap<String, String>;

/// Replaces each `{$name}` that is defined; one that is not stays as it is.
///
/// `None` when the result would use up more bytes than are `left`: values may be long and be named
/// often, and together grow far beyond the text that they come from.
pub(crate) fn substitute(text: &str, defined: &Variables, left: &mut u64) -> Option<String> {
    let mut output = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{$") {
        output.push_str(before);
        let value = after
            .split_once('}')
            .and_then(|(name, tail)| Some((defined.get(name)?, tail)));
        if let Some((value, tail)) = value {
            *left = left.checked_sub(u64::try_from(value.len()).ok()?)?;
            output.push_str(value);
            rest = tail;
        } else {
            output.push_str("{$");
            rest = after;
        }
    }
    output.push_str(rest);
    Some(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_what_is_defined_and_nothing_else() {
        let defined = Variables::from([("host".to_owned(), "a.example".to_owned())]);
        let mut left = 100;
        let expand = |text, left: &mut u64| substitute(text, &defined, left);
        assert_eq!(
            expand("http://{$host}/{$nope}/{$host}/{$", &mut left).as_deref(),
            Some("http://a.example/{$nope}/a.example/{$")
        );
        assert_eq!(left, 82);
        assert_eq!(expand("{$host}", &mut 8), None);
    }
}
