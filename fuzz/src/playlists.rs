//! Playlists: cut from, resolved to windows, and read again and again.

use std::path::{Component, Path};
use std::sync::LazyLock;

use bytes::Bytes;
use clipmill::{ClipRequest, Location, TimeSpec, WindowRequest, parse_duration};
use clipmill_playlist::{
    Playlist, PlaylistLimits, VariantChoice, WindowRequest as Request, candidates, resolve,
};
use clipmill_server::fuzzing::Reloads;
use clipmill_tests::writer::Plan;

use crate::{Memory, check};

/// Where the playlists of these targets lie.
const PLACE: &str = "/streams/live/index.m3u8";

/// A playlist whose every segment is the same small one.
pub fn playlist(data: &[u8]) {
    static SEGMENT: LazyLock<Bytes> = LazyLock::new(|| {
        let plan = Plan {
            groups: 1,
            group: 2,
            ..Plan::default()
        };
        plan.segments().remove(0).bytes.into()
    });
    let memory = Memory::new([("index.m3u8", data.to_vec())]).with_other(SEGMENT.clone());
    check::clip(&memory, check::cut(&memory, &ClipRequest::default()));
}

/// A request of one line, `from|to|last|duration|variant`, and a playlist: what the playlist says of
/// its segments makes sense, its URIs lead nowhere outside, and the window lies in it.
pub fn window(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (line, text) = data.split_at(end.unwrap_or(0));
    let line = String::from_utf8_lossy(line);
    let mut fields = line.split('|');
    let mut spec = || fields.next().and_then(|text| text.parse::<TimeSpec>().ok());
    let (from, to) = (spec(), spec());
    for spec in [from, to].into_iter().flatten() {
        // What is shown can be typed.
        assert_eq!(spec.to_string().parse().ok(), Some(spec), "{spec}");
    }
    let mut duration = || fields.next().and_then(|text| parse_duration(text).ok());
    let request: Request = WindowRequest {
        from,
        to,
        last: duration(),
        duration: duration(),
    };
    let variant = fields
        .next()
        .and_then(|text| text.parse::<VariantChoice>().ok());
    let limits = PlaylistLimits {
        bytes: 1 << 20,
        segments: 10_000,
        ..PlaylistLimits::default()
    };
    let text = text.strip_prefix(b"\n").unwrap_or(text);
    let media = match Playlist::parse(text, &limits) {
        Ok(Playlist::Media(media)) => media,
        Ok(Playlist::Multivariant(all)) => {
            all.variants.iter().for_each(|variant| leads(&variant.uri));
            match variant.unwrap_or_default().choose(&all) {
                Ok(chosen) => assert!(all.variants.iter().any(|one| one.uri == chosen.uri)),
                Err(error) => check::one_line(&error.to_string()),
            }
            return;
        }
        Err(error) => return check::one_line(&error.to_string()),
    };
    assert!(media.segments.len() <= limits.segments && media.warnings.len() <= limits.warnings);
    for pair in media.segments.windows(2) {
        assert!(
            pair[1].start == pair[0].end(),
            "segments follow one another"
        );
        assert!(pair[1].line > pair[0].line && pair[1].sequence > pair[0].sequence);
    }
    for segment in &media.segments {
        leads(&segment.uri);
        let _ = (
            segment.end_time(),
            segment.byte_range.map(|range| range.end()),
        );
    }
    match request.resolve(&media) {
        Ok(window) => {
            let range = window.segments_overlapping(&media);
            assert!(
                range.start <= range.end && range.end <= media.segments.len(),
                "{range:?}"
            );
        }
        Err(error) => check::one_line(&error.to_string()),
    }
}

/// A URI of a playlist in a folder stays in the folder.
fn leads(uri: &str) {
    let base = Location::File(PLACE.into());
    let folder = Path::new(PLACE).parent();
    let all = candidates(&base, uri, folder);
    for location in all
        .into_iter()
        .flatten()
        .chain(resolve(&base, uri, false).ok())
    {
        match location {
            Location::File(path) => {
                let up = path.components().any(|part| part == Component::ParentDir);
                let inside = folder.is_some_and(|folder| path.starts_with(folder));
                assert!(inside && !up, "{uri:?} leads to {}", path.display());
            }
            Location::Url(url) => assert!(matches!(url.scheme(), "http" | "https"), "{url}"),
        }
    }
    // Nothing that came over the web names a file.
    let Ok(web) = "https://example.com/live/index.m3u8".parse::<Location>();
    if let Ok(Location::File(path)) = resolve(&web, uri, true) {
        panic!("{uri:?} leads from the web to {}", path.display());
    }
}

/// Playlists parted by lines of `%%`: one after the other in the same place. What a look calls new was
/// not seen before, and the same playlist a second time shows nothing new.
pub fn reload(data: &[u8]) {
    let mut reloads = Reloads::default();
    let mut rest = data;
    for _ in 0..32 {
        let end = rest.windows(4).position(|window| window == b"\n%%\n");
        let (text, tail) = rest.split_at(end.unwrap_or(rest.len()));
        // Twice, as a slow look and a report of the system may both come.
        if let Some(first) = reloads.look(text) {
            assert!(first.new <= first.listed);
            let again = reloads.look(text);
            assert_eq!(again.map(|again| again.new), Some(0), "seen twice");
        }
        assert!(reloads.remembered() <= 100_000);
        match tail.get(4..) {
            Some(tail) => rest = tail,
            None => break,
        }
    }
}
