//! What a playlist of another server lists, under names that stay the same from one look to the next.

use std::collections::HashSet;
use std::collections::hash_map::HashMap;

use clipmill::live::{SegmentFiles, Taken, Version};
use clipmill_playlist::Segment;

/// The segments of a list as they are told apart: servers put tokens into queries and hosts into URLs that
/// change with each look. A query stays where nothing else tells two segments apart.
pub(super) fn recognisable(listed: &[Segment]) -> Vec<Segment> {
    let mut seen = HashSet::new();
    let unique = listed
        .iter()
        .all(|one| seen.insert((path_of(&one.uri), one.byte_range)));
    let same = |one: &Segment| {
        let mut same = one.clone();
        same.uri = match unique {
            true => path_of(&one.uri).to_owned(),
            false => without_host(&one.uri).to_owned(),
        };
        same
    };
    listed.iter().map(same).collect()
}

fn without_host(uri: &str) -> &str {
    let Some((_, rest)) = uri.split_once("//").filter(|(scheme, _)| {
        let bare = scheme.trim_end_matches(':');
        bare.is_empty() || bare.eq_ignore_ascii_case("http") || bare.eq_ignore_ascii_case("https")
    }) else {
        return uri;
    };
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
}

fn path_of(uri: &str) -> &str {
    let uri = without_host(uri);
    uri.split(['?', '#']).next().unwrap_or(uri)
}

/// What is known of the files that segments are, by their names.
#[derive(Debug, Default)]
pub(super) struct Looks(pub(super) HashMap<u32, Version>);

impl Looks {
    pub(super) fn add(&mut self, segment: &Segment, version: Option<Version>) {
        if let Some(version) = version {
            self.0.insert(Taken::file(segment, None).0, version);
        }
    }
}

impl SegmentFiles for Looks {
    fn version(&mut self, segment: &Segment) -> Option<Version> {
        self.0.get(&Taken::file(segment, None).0).copied()
    }

    fn head(&mut self, _: &Segment) -> Option<u64> {
        None
    }
}

/// The lines about date ranges of a playlist, as they stand.
pub(super) fn ranges(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(str::trim);
    let wanted = lines.filter(|line| line.starts_with("#EXT-X-DATERANGE:"));
    wanted.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(uris: &[&str]) -> Vec<String> {
        let listed: Vec<Segment> = uris
            .iter()
            .map(|uri| {
                let mut segment = Segment::default();
                segment.uri = (*uri).to_owned();
                segment
            })
            .collect();
        recognisable(&listed)
            .into_iter()
            .map(|one| one.uri)
            .collect()
    }

    #[test]
    fn tokens_and_hosts_are_no_part_of_a_name() {
        assert_eq!(names(&["a.ts?t=1", "b.ts?t=2"]), ["a.ts", "b.ts"]);
        assert_eq!(
            names(&["https://x:81/l/a.ts?t#f", "//y/l/b.ts"]),
            ["/l/a.ts", "/l/b.ts"]
        );
        assert_eq!(names(&["s?n=1", "http://h/s?n=2"]), ["s", "/s"]);
        // Nothing but the query tells these apart.
        assert_eq!(
            names(&["http://h/s?n=1", "http://h/s?n=2"]),
            ["/s?n=1", "/s?n=2"]
        );
        assert_eq!(names(&["dir//a.ts"]), ["dir//a.ts"]);
    }

    #[test]
    fn date_ranges_are_passed_on_as_they_stand() {
        let text = "#EXTM3U\r\n#EXT-X-DATERANGE:ID=\"a\",X-Y=\"1\"\r\n#EXTINF:1,\na.ts\n";
        assert_eq!(
            ranges(text.as_bytes()),
            ["#EXT-X-DATERANGE:ID=\"a\",X-Y=\"1\""]
        );
    }
}
