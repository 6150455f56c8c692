//! What the server counted: Prometheus' text format.

use std::collections::BTreeMap;

use clipmill_tests::server::Server;

/// Values by name and labels.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics(Vec<(String, String, f64)>);

impl Metrics {
    pub(super) fn of(server: &Server) -> Self {
        Self::parse(&super::client::text(server.address, "/metrics").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((
                name.to_owned(),
                labels.trim_end_matches('}').to_owned(),
                value.parse().ok()?,
            ))
        });
        Self(values.collect())
    }

    /// The sum of a name's series whose labels hold this text.
    pub(super) fn sum(&self, name: &str, label: &str) -> f64 {
        let of_name = self
            .0
            .iter()
            .filter(|(known, labels, _)| known == name && labels.contains(label));
        of_name.map(|(_, _, value)| value).sum()
    }

    /// All that counts something that should not be, and has grown since: failures, by name and
    /// labels.
    pub(super) fn errors_since(&self, before: &Self) -> BTreeMap<String, f64> {
        let bad = self.0.iter().filter(|(name, labels, value)| {
            let failing =
                name.contains("failed") || name.contains("error") || name.contains("dropped");
            let refused = name.ends_with("http_requests_total") && labels.contains("status=\"5");
            *value > 0.0 && (failing || refused)
        });
        let grown = bad.filter_map(|(name, labels, value)| {
            let mut known = before.0.iter();
            let known = known.find(|(other, of, _)| other == name && of == labels);
            let since = value - known.map_or(0.0, |(_, _, value)| *value);
            (since > 0.0).then(|| (format!("{name}{{{labels}}}"), since))
        });
        grown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE clips_made_total counter\n\
        clips_made_total{app=\"live\",kind=\"periodic\"} 12\n\
        clips_made_total{app=\"live\",kind=\"on_demand\"} 3\n\
        clips_failed_total{app=\"live\"} 0\n\
        tries_failed_total{app=\"live\"} 2\n\
        http_requests_total{route=\"/a b\",status=\"503\"} 1\n\
        http_requests_total{route=\"/\",status=\"200\"} 5\n\
        spool_bytes 1.5e3\n";

    #[test]
    fn series_are_summed_by_label() {
        let metrics = Metrics::parse(TEXT);
        assert_eq!(metrics.sum("clips_made_total", ""), 15.0);
        assert_eq!(metrics.sum("clips_made_total", "periodic"), 12.0);
        assert_eq!(metrics.sum("spool_bytes", ""), 1500.0);
        assert_eq!(metrics.sum("none", ""), 0.0);
    }

    #[test]
    fn only_what_went_wrong_since_is_an_error() {
        let before = Metrics::parse("a_failed_total 7\ntries_failed_total{app=\"live\"} 1\n");
        let text = format!("{TEXT}a_failed_total 7\n");
        let errors = Metrics::parse(&text).errors_since(&before);
        assert!(errors.values().all(|count| *count == 1.0), "{errors:?}");
        let names: Vec<_> = errors.keys().map(String::as_str).collect();
        let expected = [
            "http_requests_total{route=\"/a b\",status=\"503\"}",
            "tries_failed_total{app=\"live\"}",
        ];
        assert_eq!(names, expected);
    }
}
