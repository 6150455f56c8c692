//! Instants as parameters name them: by the clock, or by a marker of the stream.

use clipmill::TimeSpec;

use super::Web;
use super::fault::Fault;

/// Numbers below this count seconds: as milliseconds they would lie before March 1973, as seconds they
/// reach beyond the year 5000.
const SECONDS_BELOW: i64 = 100_000_000_000;

/// What stands before the id of a marker.
const MARKER: &str = "marker:";

/// An instant as a parameter names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// In milliseconds since the Unix epoch.
    At(i64),
    /// The begin or the end of the marker with this id.
    Marker(String),
}

/// Which end of a window a parameter names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// That of a marker is its beginning.
    Begin,
    /// That of a marker is its end.
    End,
}

/// Reads an instant. `name` is that of the parameter.
pub(super) fn parse(name: &str, text: &str) -> Result<Named, Fault> {
    if let Some(named) = marker(name, text) {
        return named;
    }
    // The plus sign of an offset is a space in a query, unless it is escaped.
    let text = text.trim().replace(' ', "+");
    if let Ok(seconds) = text.parse::<i64>()
        && (0..SECONDS_BELOW).contains(&seconds)
        && !text.starts_with('+')
    {
        return Ok(Named::At(seconds * 1000));
    }
    match text.parse() {
        Ok(TimeSpec::At(instant)) => Ok(Named::At(instant.timestamp_millis())),
        _ => Err(Fault::bad(format!(
            "{name} is not an instant: write 2026-11-22T14:05:00Z, seconds or milliseconds since 1970, \
             or marker:ID"
        ))),
    }
}

/// A marker, where a parameter names one.
pub(super) fn marker(name: &str, text: &str) -> Option<Result<Named, Fault>> {
    let id = text.trim().strip_prefix(MARKER)?;
    Some(match id {
        "" => Err(Fault::bad(format!("{name}: marker: has no id behind it"))),
        id => Ok(Named::Marker(id.to_owned())),
    })
}

impl Named {
    /// Where it lies on a stream, in milliseconds since the Unix epoch.
    pub(super) async fn resolve(
        &self,
        web: &Web,
        app: &str,
        stream: &str,
        side: Side,
    ) -> Result<i64, Fault> {
        let id = match self {
            Self::At(ms) => return Ok(*ms),
            Self::Marker(id) => id,
        };
        let marker = web.catalog.marker(app, stream, id).await?;
        let marker = marker.ok_or_else(|| no_marker(id))?;
        match side {
            Side::Begin => Ok(marker.from_ms),
            Side::End => marker
                .to_ms
                .ok_or_else(|| Fault::bad(format!("The marker {id} has not ended yet"))),
        }
    }
}

/// Where an instant lies on a stream that a parameter names, in milliseconds since the Unix epoch.
pub(super) async fn find(
    web: &Web,
    (app, stream): (&str, &str),
    (name, text): (&str, &str),
    side: Side,
) -> Result<i64, Fault> {
    parse(name, text)?.resolve(web, app, stream, side).await
}

/// An instant that no stream is named for, in milliseconds since the Unix epoch.
pub(super) fn by_the_clock(name: &str, text: &str) -> Result<i64, Fault> {
    match parse(name, text)? {
        Named::At(ms) => Ok(ms),
        Named::Marker(_) => Err(Fault::bad(format!("{name} cannot be a marker here"))),
    }
}

/// The stream has no such marker.
pub(super) fn no_marker(id: &str) -> Fault {
    Fault::missing(format!("The stream has no marker {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_as_people_and_programs_write_them() {
        let at = |text| match parse("start", text) {
            Ok(Named::At(ms)) => Some(ms),
            _ => None,
        };
        assert_eq!(at("1795356300000"), Some(1_795_356_300_000));
        assert_eq!(at("1795356300"), Some(1_795_356_300_000));
        assert_eq!(at("2026-11-22T14:05:00Z"), Some(1_795_356_300_000));
        assert_eq!(at("2026-11-22T17:05:00.5 03:00"), Some(1_795_356_300_500));
        for bad in [
            "",
            "soon",
            "-30s",
            "+5s",
            "2026-11-22T14:05:00",
            "marker:",
            "marker",
        ] {
            assert_eq!(at(bad), None, "{bad}");
        }
        let named = parse("start", " marker:ad 1 ").ok();
        assert_eq!(named, Some(Named::Marker("ad 1".to_owned())));
        assert!(parse("start", "marker:").is_err());
    }
}
