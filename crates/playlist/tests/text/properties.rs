//! What must hold for any text, and for any playlist that follows the rules.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clipmill_playlist::{
    ByteRange, Location, MediaPlaylist, Playlist, PlaylistLimits, Position, TimeSpec,
    VariantChoice, WindowRequest, candidates, parse_duration, resolve,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Spec {
    millis: u64,
    uri: String,
    title: Option<String>,
    discontinuity: bool,
    gap: bool,
    date: Option<i64>,
    range: Option<(u64, Option<u64>)>,
    key: Option<Option<u32>>,
    map: Option<u32>,
}

fn spec() -> impl Strategy<Value = Spec> {
    let timing = (
        1u64..12_000,
        prop::option::weighted(0.3, 0i64..2_000_000_000_000),
    );
    let range = prop::option::weighted(0.3, (1u64..100_000, prop::option::of(0u64..1_000_000)));
    let texts = (
        "[a-z]{1,8}/[a-z0-9 %]{0,8}x\\.ts",
        prop::option::of("[a-z][a-z, ]{0,8}[a-z]"),
    );
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.1));
    let carried = (
        prop::option::weighted(0.2, prop::option::of(0u32..4)),
        prop::option::weighted(0.2, 0u32..4),
    );
    (timing, range, texts, flags, carried).prop_map(
        |((millis, date), range, (uri, title), (discontinuity, gap), (key, map))| Spec {
            millis,
            uri,
            title,
            discontinuity,
            gap,
            date,
            range,
            key,
            map,
        },
    )
}

fn date(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap()
}

/// The tags of a segment in any order, as the specification allows, after `EXTINF` or before it.
fn written(specs: &[Spec], sequence: u64, line_end: &str, inf_first: bool) -> String {
    let mut text = format!(
        "#EXTM3U{line_end}#EXT-X-TARGETDURATION:12{line_end}#EXT-X-MEDIA-SEQUENCE:{sequence}{line_end}"
    );
    for spec in specs {
        let title = spec.title.as_deref().unwrap_or("");
        let inf = format!(
            "#EXTINF:{}.{:03},{title}",
            spec.millis / 1000,
            spec.millis % 1000
        );
        let mut tags = Vec::new();
        match spec.key {
            Some(Some(number)) => tags.push(format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k{number}\"")),
            Some(None) => tags.push("#EXT-X-KEY:METHOD=NONE".to_owned()),
            None => {}
        }
        if let Some(number) = spec.map {
            tags.push(format!("#EXT-X-MAP:URI=\"m{number}\""));
        }
        if spec.discontinuity {
            tags.push("#EXT-X-DISCONTINUITY".to_owned());
        }
        if let Some(millis) = spec.date {
            let text = date(millis).format("%FT%T%.3f+0000");
            tags.push(format!("#EXT-X-PROGRAM-DATE-TIME:{text}"));
        }
        if spec.gap {
            tags.push("#EXT-X-GAP".to_owned());
        }
        match spec.range {
            Some((length, Some(offset))) => {
                tags.push(format!("#EXT-X-BYTERANGE:{length}@{offset}"));
            }
            Some((length, None)) => tags.push(format!("#EXT-X-BYTERANGE:{length}")),
            None => {}
        }
        tags.insert(if inf_first { 0 } else { tags.len() }, inf);
        tags.push(spec.uri.clone());
        for tag in tags {
            let _ = write!(text, "{tag}{line_end}");
        }
    }
    text
}

fn media(text: &[u8]) -> MediaPlaylist {
    match Playlist::parse(text, &PlaylistLimits::default()) {
        Ok(Playlist::Media(media)) => media,
        other => panic!("{other:?}"),
    }
}

/// What must hold for any media playlist, whatever it was read from.
fn check_invariants(media: &MediaPlaylist) {
    let mut start = Duration::ZERO;
    let mut before: Option<&clipmill_playlist::Segment> = None;
    let dated = media
        .segments
        .iter()
        .any(|one| one.program_date_time.is_some());
    for segment in &media.segments {
        assert_eq!(segment.start, start);
        start = segment.end();
        if let Some(before) = before {
            assert!(segment.sequence > before.sequence || segment.sequence == u64::MAX);
            assert!(segment.discontinuity_sequence >= before.discontinuity_sequence);
            assert!(segment.line > before.line);
        }
        if let Some(date) = segment.program_date_time {
            assert_eq!(segment.start_time, Some(date));
        }
        assert!(dated || segment.start_time.is_none());
        assert!(segment.byte_range.is_none_or(|range| range.end().is_some()));
        before = Some(segment);
    }
    assert_eq!(media.duration(), start);
    assert_eq!(media.has_dates(), dated);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_give_a_playlist_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Playlist::parse(&bytes, &PlaylistLimits::default());
    }

    #[test]
    fn any_tags_give_a_playlist(
        lines in prop::collection::vec(
            prop_oneof![
                "#EXT(INF|-X-(KEY|MAP|BYTERANGE|PART|SKIP|DEFINE|START|MEDIA|STREAM-INF|GAP|ENDLIST\
                 |PROGRAM-DATE-TIME|TARGETDURATION|MEDIA-SEQUENCE|DISCONTINUITY|PRELOAD-HINT\
                 |DISCONTINUITY-SEQUENCE|BITRATE)):?[0-9A-Z@.,=\"-]{0,24}",
                "#EXT-X-(KEY|MAP|PART|MEDIA|STREAM-INF|DEFINE|START|SKIP):\
                 ((METHOD|URI|IV|BYTERANGE|DURATION|NAME|VALUE|TYPE|RESOLUTION|TIME-OFFSET\
                 |SKIPPED-SEGMENTS)=\"?[0-9a-zA-Z@.xY{$}-]{0,20}\"?,?){0,4}",
                "#EXTINF:-?[0-9]{0,25}(\\.[0-9]{0,12})?,?",
                "#EXT-X-PROGRAM-DATE-TIME:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\
                 (\\.[0-9]{1,10})?(Z|\\+[0-9]{2}:?[0-9]{2})",
                "[a-z{$}]{1,5}",
                "\\PC{0,20}",
            ],
            0..40,
        )
    ) {
        let text = format!("#EXTM3U\n{}", lines.join("\n"));
        let parsed = Playlist::parse(text.as_bytes(), &PlaylistLimits::default()).unwrap();
        if let Playlist::Media(media) = &parsed {
            check_invariants(media);
        }
    }

    #[test]
    fn a_playlist_gives_what_it_was_made_from(
        specs in prop::collection::vec(spec(), 0..30),
        sequence in 0u64..1_000_000_000_000,
        crlf: bool,
        inf_first: bool,
    ) {
        let text = written(&specs, sequence, if crlf { "\r\n" } else { "\n" }, inf_first);
        let media = media(text.as_bytes());
        check_invariants(&media);
        prop_assert!(media.warnings.is_empty(), "{:?}", media.warnings);
        prop_assert_eq!(media.segments.len(), specs.len());
        let (mut key, mut map, mut discontinuities) = (None, None, 0);
        let mut range_end: Option<(&str, u64)> = None;
        for (number, (segment, spec)) in media.segments.iter().zip(&specs).enumerate() {
            prop_assert_eq!(&segment.uri, &spec.uri);
            prop_assert_eq!(segment.duration, Duration::from_millis(spec.millis));
            prop_assert_eq!(&segment.title, &spec.title);
            prop_assert_eq!(segment.sequence, sequence + number as u64);
            prop_assert_eq!(segment.discontinuity, spec.discontinuity);
            discontinuities += u64::from(spec.discontinuity);
            prop_assert_eq!(segment.discontinuity_sequence, discontinuities);
            prop_assert_eq!(segment.gap, spec.gap);
            prop_assert_eq!(segment.program_date_time, spec.date.map(date));
            key = spec.key.unwrap_or(key);
            let key_uri = key.map(|number| format!("k{number}"));
            prop_assert_eq!(segment.key.as_ref().and_then(|key| key.uri.clone()), key_uri);
            map = spec.map.or(map);
            let map_uri = map.map(|number| format!("m{number}"));
            prop_assert_eq!(segment.map.as_ref().map(|map| map.uri.clone()), map_uri);
            let range = spec.range.map(|(length, offset)| {
                let implied = range_end.filter(|(uri, _)| *uri == spec.uri);
                let offset = offset.unwrap_or(implied.map_or(0, |(_, end)| end));
                ByteRange { offset, length }
            });
            prop_assert_eq!(segment.byte_range, range);
            range_end = range.map(|range| (spec.uri.as_str(), range.offset + range.length));
        }
    }

    /// Dates inside a run without dates of its own come from the neighbours, by `EXTINF`.
    #[test]
    fn dates_are_carried(specs in prop::collection::vec(spec(), 1..20)) {
        let media = media(written(&specs, 0, "\n", false).as_bytes());
        for pair in media.segments.windows(2) {
            let [one, next] = pair else { continue };
            if next.program_date_time.is_none() && !next.discontinuity {
                prop_assert_eq!(next.start_time, one.end_time());
            }
        }
    }

    /// Against an independent parser, on what both understand.
    #[test]
    fn agrees_with_another_parser(specs in prop::collection::vec(spec(), 0..20)) {
        // It takes what follows a comma in a title for the URI of another segment.
        let mut specs = specs;
        for spec in &mut specs {
            spec.title = spec.title.take().map(|title| title.replace(',', ";"));
        }
        let text = written(&specs, 7, "\n", false)
            // It refuses `METHOD=NONE`, and does not read dates with such an offset.
            .replace("#EXT-X-KEY:METHOD=NONE\n", "")
            .replace("+0000\n", "Z\n");
        let ours = media(text.as_bytes());
        let theirs = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
        prop_assert_eq!(ours.media_sequence, theirs.media_sequence);
        prop_assert_eq!(ours.target_duration.as_secs(), theirs.target_duration);
        prop_assert_eq!(ours.segments.len(), theirs.segments.len());
        for (one, other) in ours.segments.iter().zip(&theirs.segments) {
            prop_assert_eq!(&one.uri, &other.uri);
            prop_assert!((one.duration.as_secs_f32() - other.duration).abs() < 0.001);
            prop_assert_eq!(one.discontinuity, other.discontinuity);
            let theirs = other.program_date_time.map(|date| date.to_utc());
            prop_assert_eq!(one.program_date_time, theirs);
            let length = other.byte_range.as_ref().map(|range| range.length);
            prop_assert_eq!(one.byte_range.map(|range| range.length), length);
        }
    }

    /// A position lies where it says, and each instant of a playlist has one.
    #[test]
    fn positions_are_inside_their_segment(
        specs in prop::collection::vec(spec(), 1..20),
        share in 0.0f64..1.0,
    ) {
        let media = media(written(&specs, 0, "\n", false).as_bytes());
        let after = media.duration().mul_f64(share);
        let window = WindowRequest { from: Some(TimeSpec::FromStart(after)), ..Default::default() }
            .resolve(&media)
            .unwrap();
        let Position { segment, offset } = window.from.unwrap_or(Position {
            segment: 0,
            offset: Duration::ZERO,
        });
        prop_assert!(offset < media.segments[segment].duration);
        prop_assert_eq!(media.segments[segment].start + offset, after);
        prop_assert_eq!(window.segments_overlapping(&media), segment..media.segments.len());

        if let Some((first, last)) = media.date_range() {
            let length = (last - first).num_milliseconds() as f64;
            let instant = first + TimeDelta::milliseconds((length * share) as i64);
            let at = TimeSpec::At(instant);
            let begins = WindowRequest { from: Some(at), ..Default::default() }.resolve(&media);
            let ends = WindowRequest { to: Some(at), ..Default::default() }.resolve(&media);
            if let (Ok(begins), Ok(ends)) = (begins, ends) {
                prop_assert_eq!(begins.from, ends.to);
                let overlap = begins.segments_overlapping(&media).start
                    ..ends.segments_overlapping(&media).end;
                prop_assert!(overlap.len() <= 1);
            }
        }
    }

    #[test]
    fn any_text_is_a_time_or_an_error(text in "\\PC{0,30}", digits in "[-+]?[0-9.]{0,30}[a-zTZ]{0,3}") {
        for text in [text, digits] {
            let _ = text.parse::<TimeSpec>();
            let _ = parse_duration(&text);
            let _ = text.parse::<VariantChoice>();
        }
    }

    #[test]
    fn times_are_read_as_they_are_shown(millis in 0i64..4_000_000_000_000) {
        let at = TimeSpec::At(date(millis));
        prop_assert_eq!(at.to_string().parse(), Ok(at));
        let after = TimeSpec::FromStart(Duration::from_millis(millis.unsigned_abs()));
        prop_assert_eq!(after.to_string().parse(), Ok(after));
    }

    #[test]
    fn no_uri_leads_out_of_the_folder(
        uri in prop_oneof![
            "(\\.\\.|\\.|/|%2e|%2F|%5c|a|\\?|#|file:|//|C:|\\\\){0,10}",
            "\\PC{0,30}",
        ],
        base in prop_oneof![
            Just("/s/live/x.m3u8"), Just("x.m3u8"), Just("../x.m3u8"), Just("a/../b/x.m3u8"),
        ],
    ) {
        let base = Location::File(base.into());
        let folder = base.folder().unwrap().to_owned();
        for found in candidates(&base, &uri, Some(&folder)).unwrap_or_default() {
            let Location::File(path) = found else { continue };
            let below = path.strip_prefix(&folder).unwrap();
            prop_assert!(
                !below.components().any(|one| one.as_os_str() == ".."),
                "{} from {uri}", path.display()
            );
            prop_assert!(below != Path::new("/etc"));
        }
        let web = "http://h/live/x.m3u8".parse().unwrap();
        prop_assert!(!matches!(resolve(&web, &uri, true), Ok(Location::File(_))));
    }
}
