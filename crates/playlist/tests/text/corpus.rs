//! Playlists made by others, against what their makers say is in them.
//!
//! The playlists are not part of this repository. They are looked for in the folder that
//! `CLIPMILL_CORPUS` names, or in `shared/corpus` beside the repository.

use std::fs;
use std::path::{Path, PathBuf};

use clipmill_playlist::{MediaPlaylist, Playlist, PlaylistKind, PlaylistLimits, Segment};
use serde_json::Value;

fn corpus() -> Option<PathBuf> {
    let named = std::env::var_os("CLIPMILL_CORPUS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let found = named.unwrap_or(beside);
    if found.is_dir() {
        return Some(found);
    }
    eprintln!(
        "SKIPPED: no corpus at {} (set CLIPMILL_CORPUS)",
        found.display()
    );
    None
}

fn playlists(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|one| one.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            playlists(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "m3u8") {
            found.push(path);
        }
    }
}

fn parse(path: &Path) -> Result<Playlist, clipmill_playlist::PlaylistError> {
    Playlist::parse(&fs::read(path).unwrap(), &PlaylistLimits::default())
}

#[test]
fn every_playlist_is_read() {
    let Some(corpus) = corpus() else { return };
    let mut all = Vec::new();
    playlists(&corpus, &mut all);
    let (mut media_count, mut multivariant_count, mut segments) = (0, 0, 0);
    for path in &all {
        let bytes = fs::read(path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_start_matches('\u{feff}');
        let shown = path.display();
        match parse(path) {
            Ok(Playlist::Media(media)) => {
                media_count += 1;
                segments += media.segments.len();
                let uris = text
                    .lines()
                    .filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
                // In a playlist that is both, a variant's URI is no segment.
                let variants = text.matches("#EXT-X-STREAM-INF:").count();
                assert_eq!(media.segments.len(), uris.count() - variants, "{shown}");
                assert_eq!(media.ended, text.contains("#EXT-X-ENDLIST"), "{shown}");
                let dated = text.contains("#EXT-X-PROGRAM-DATE-TIME");
                assert_eq!(
                    media.has_dates(),
                    dated && !media.segments.is_empty(),
                    "{shown}"
                );
            }
            Ok(Playlist::Multivariant(multivariant)) => {
                multivariant_count += 1;
                let count = text.matches("#EXT-X-STREAM-INF:").count();
                let without_uri = multivariant
                    .warnings
                    .iter()
                    .filter(|one| one.contains("no URI"));
                assert_eq!(
                    multivariant.variants.len() + without_uri.count(),
                    count,
                    "{shown}"
                );
                assert!(
                    multivariant.variants.iter().all(|one| !one.uri.is_empty()),
                    "{shown}"
                );
            }
            Err(error) => assert!(!text.contains("#EXTM3U"), "{shown}: {error}"),
        }
    }
    eprintln!(
        "{} playlists: {media_count} media with {segments} segments, {multivariant_count} multivariant",
        all.len()
    );
    assert!(all.len() > 50, "{}", all.len());
}

/// Where the peer's leniency and ours differ, and why ours is meant.
const DIFFERENT: [(&str, &str); 4] = [
    (
        "llhls-byte-range.m3u8",
        "a range without offset goes on in another resource there, which RFC 8216 forbids",
    ),
    (
        "manifestNoExtM3u.m3u8",
        "the header is missing, which is an error here",
    ),
    (
        "start.m3u8",
        "the header is missing, which is an error here",
    ),
    ("extinf.m3u8", "a malformed duration is a title there"),
];

#[test]
fn models_of_another_parser() {
    let Some(corpus) = corpus() else { return };
    let mut all = Vec::new();
    playlists(&corpus.join("dev/playlists/m3u8-parser"), &mut all);
    let (mut compared, mut wrong) = (0, Vec::new());
    for path in &all {
        let golden = path.with_extension("m3u8.golden.json");
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if DIFFERENT.iter().any(|(other, _)| *other == name) {
            continue;
        }
        let Ok(golden) = fs::read(&golden) else {
            continue;
        };
        let golden: Value = serde_json::from_slice(&golden).unwrap();
        let difference = match parse(path) {
            Ok(Playlist::Media(media)) => compare_media(&media, &golden["expect"]),
            Ok(Playlist::Multivariant(multivariant)) => {
                let theirs = golden["expect"]["playlists"].as_array();
                let theirs: Vec<_> = theirs.unwrap().iter().map(variant_summary).collect();
                let ours: Vec<_> = multivariant
                    .variants
                    .iter()
                    .map(|one| {
                        let size = one.resolution.map(|size| (size.width, size.height));
                        (one.uri.clone(), one.bandwidth, size)
                    })
                    .collect();
                differ("variants", &ours, &theirs)
            }
            Err(error) => Some(error.to_string()),
        };
        compared += 1;
        wrong.extend(difference.map(|what| format!("{name}: {what}")));
    }
    eprintln!("{compared} models compared, {} set aside", DIFFERENT.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 20, "{compared}");
}

fn differ<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, theirs: &T) -> Option<String> {
    (ours != theirs).then(|| format!("{what}: {ours:?}, not {theirs:?}"))
}

fn variant_summary(variant: &Value) -> (String, u64, Option<(u64, u64)>) {
    let attributes = &variant["attributes"];
    let size = &attributes["RESOLUTION"];
    let size = size["width"].as_u64().zip(size["height"].as_u64());
    let uri = variant["uri"].as_str().unwrap_or_default();
    let bandwidth = attributes["BANDWIDTH"].as_u64();
    (uri.to_owned(), bandwidth.unwrap_or(0), size)
}

fn compare_media(media: &MediaPlaylist, expected: &Value) -> Option<String> {
    let theirs = expected["segments"].as_array()?;
    let kind = match media.kind {
        Some(PlaylistKind::Event) => Some("EVENT"),
        Some(PlaylistKind::Vod) => Some("VOD"),
        None => None,
    };
    let target = expected["targetDuration"].as_f64();
    differ("segments", &media.segments.len(), &theirs.len())
        .or_else(|| {
            let sequence = expected["mediaSequence"].as_u64().unwrap_or(0);
            differ("media sequence", &media.media_sequence, &sequence)
        })
        .or_else(|| {
            let ended = expected["endList"].as_bool().unwrap_or(false);
            differ("ended", &media.ended, &ended)
        })
        .or_else(|| differ("kind", &kind, &expected["playlistType"].as_str()))
        .or_else(|| {
            let ours = media.target_duration.as_secs_f64();
            target.and_then(|target| differ("target duration", &ours, &target))
        })
        .or_else(|| {
            let mut pairs = media.segments.iter().zip(theirs);
            pairs.find_map(|(one, other)| {
                let what = compare_segment(one, other)?;
                Some(format!("line {}: {what}", one.line))
            })
        })
}

fn compare_segment(one: &Segment, expected: &Value) -> Option<String> {
    let range = &expected["byterange"];
    let range = range["offset"].as_u64().zip(range["length"].as_u64());
    let map = &expected["map"];
    differ("uri", &Some(one.uri.as_str()), &expected["uri"].as_str())
        .or_else(|| {
            let theirs = expected["duration"].as_f64()?;
            differ("duration", &one.duration.as_secs_f64(), &theirs)
        })
        .or_else(|| {
            let theirs = expected["title"]
                .as_str()
                .map(str::trim)
                .filter(|one| !one.is_empty());
            differ("title", &one.title.as_deref(), &theirs)
        })
        .or_else(|| {
            let theirs = expected["timeline"].as_u64().unwrap_or(0);
            differ(
                "discontinuity sequence",
                &one.discontinuity_sequence,
                &theirs,
            )
        })
        .or_else(|| {
            let ours = one.byte_range.map(|range| (range.offset, range.length));
            differ("byte range", &ours, &range)
        })
        .or_else(|| {
            let ours = one.map.as_ref().map(|map| map.uri.as_str());
            differ("map", &ours, &map["uri"].as_str())
        })
        .or_else(|| {
            let ours = one.key.as_ref().and_then(|key| key.uri.as_deref());
            differ("key", &ours, &expected["key"]["uri"].as_str())
        })
        .or_else(|| {
            let theirs = expected["programDateTime"].as_i64()?;
            let ours = one.start_time.map(|date| date.timestamp_millis());
            differ("date", &ours, &Some(theirs))
        })
}

/// What the files made for one trap each must give, whatever else is tolerated.
#[test]
fn traps() {
    let Some(corpus) = corpus() else { return };
    let folder = corpus.join("gen/playlists");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no {}", folder.display());
        return;
    }
    let media = |name: &str| match parse(&folder.join(format!("{name}.m3u8"))) {
        Ok(Playlist::Media(media)) => media,
        other => panic!("{name}: {other:?}"),
    };
    for name in ["empty", "html_error_page", "missing_extm3u"] {
        assert!(
            parse(&folder.join(format!("{name}.m3u8"))).is_err(),
            "{name}"
        );
    }
    for (name, segments, seconds, ended) in [
        ("rfc8216_8_1_simple_media", 3, 21.021, true),
        ("rfc8216_8_2_live_https", 3, 23.891, false),
        ("extinf_integer_no_comma", 2, 7.0, true),
        ("extinf_title_commas", 1, 4.0, true),
        ("many_segments_20000", 20_000, 80_000.0, true),
    ] {
        let media = media(name);
        assert_eq!(media.segments.len(), segments, "{name}");
        assert_eq!(media.ended, ended, "{name}");
        let off = media.duration().as_secs_f64() - seconds;
        assert!(off.abs() < 1e-6, "{name}: {:?}", media.duration());
    }
    assert_eq!(media("rfc8216_8_2_live_https").segments[2].sequence, 2682);
    let encrypted = media("rfc8216_8_3_encrypted");
    let key = encrypted.segments[0].key.clone().unwrap();
    let mut iv = [0; 16];
    iv[14..].copy_from_slice(&[0x1e, 0x72]);
    assert_eq!(key.iv_for(encrypted.segments[0].sequence), iv);
    let durations = |media: &MediaPlaylist| -> Vec<f64> {
        media
            .segments
            .iter()
            .map(|one| one.duration.as_secs_f64())
            .collect()
    };
    assert_eq!(durations(&media("extinf_comma_decimal")), [3.0, 2.0]);
    let ranges = |media: &MediaPlaylist| -> Vec<_> {
        let ranges = media.segments.iter().map(|one| one.byte_range.unwrap());
        ranges
            .map(|range| (range.offset, range.offset + range.length - 1))
            .collect()
    };
    let continued = ranges(&media("byterange_continued"));
    assert_eq!(continued[..2], [(188, 2067), (2068, 3007)]);
    assert_eq!(ranges(&media("map_byterange")), [(700, 1699)]);
    let huge = media("media_sequence_huge");
    assert_eq!(huge.media_sequence, u64::MAX);
    let numbers = huge.segments.iter().map(|one| one.sequence);
    let count = huge.segments.len() as u64;
    assert!(numbers.eq(u64::MAX - count..u64::MAX));
    let edges = media("discontinuity_edges");
    let sequences: Vec<_> = edges
        .segments
        .iter()
        .map(|one| one.discontinuity_sequence)
        .collect();
    assert_eq!(sequences.len(), 3);
    assert_eq!(sequences[0], 10);
    assert_eq!(sequences[2], 12);
    let dates = media("pdt_forms");
    assert_eq!(dates.segments.len(), 6);
    assert!(dates.segments.iter().all(|one| one.start_time.is_some()));
    let gaps: Vec<_> = media("gap_and_bitrate")
        .segments
        .iter()
        .map(|one| one.gap)
        .collect();
    assert_eq!(gaps, [false, true, false]);
}
