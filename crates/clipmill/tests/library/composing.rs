//! Sound that is listed in playlists of its own, put into the segments of the pictures.

use std::collections::BTreeMap;
use std::path::Path;

use clipmill::source::MemorySource;
use clipmill::{AudioRendition, Composer, Language, Limits, Location, SegmentReader, TrackKind};
use clipmill_playlist::{Playlist, PlaylistLimits, Segment};

fn fixture(name: &str) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    std::fs::read(fixtures.join(name)).unwrap()
}

fn location(name: &str) -> Location {
    Location::File(name.into())
}

fn listing(names: &[&str]) -> String {
    let segments: String = names
        .iter()
        .map(|name| format!("#EXTINF:2,\n{name}\n"))
        .collect();
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{segments}")
}

fn segments(names: &[&str]) -> Vec<Segment> {
    match Playlist::parse(listing(names).as_bytes(), &PlaylistLimits::default()) {
        Ok(Playlist::Media(media)) => media.segments,
        other => panic!("{other:?}"),
    }
}

/// Which track of a composed segment has the sound of which language.
fn sounds(composer: &mut Composer, source: &MemorySource, number: usize) -> BTreeMap<String, u32> {
    let listed = segments(&["seg00.ts", "seg01.ts"]);
    let pictures = SegmentReader::new(None, &Limits::default())
        .read(source, &listed[number], &location("index.m3u8"))
        .unwrap();
    let (mut warnings, now_or_never) = (Vec::new(), (false, false));
    let composed = composer
        .compose(
            source,
            &listed[number],
            &pictures,
            false,
            now_or_never,
            &mut warnings,
        )
        .unwrap()
        .unwrap();
    let index = SegmentReader::new(None, &Limits::default())
        .index(&composed)
        .unwrap();
    let of_renditions = index.tracks.iter().filter(|track| {
        track.kind() == TrackKind::Audio && track.language() != Language::UNDETERMINED
    });
    of_renditions
        .map(|track| (track.language().to_string(), track.id()))
        .collect()
}

#[test]
fn sound_keeps_its_track_whichever_rendition_comes_first() {
    let rendition = |name: &str, language: &[u8; 3]| AudioRendition {
        playlist: location(&format!("{name}.m3u8")),
        name: name.to_owned(),
        language: Language::from_bytes(language),
        default: false,
    };
    let renditions = vec![rendition("english", b"eng"), rendition("german", b"deu")];
    let mut source = MemorySource::new();
    for number in 0..2 {
        let segment = fixture(&format!("demo/seg0{number}.ts"));
        for name in ["seg", "english", "german"] {
            source.insert(location(&format!("{name}0{number}.ts")), segment.clone());
        }
    }
    let lists = |source: &mut MemorySource, name: &str| {
        let names = [format!("{name}00.ts"), format!("{name}01.ts")];
        let text = listing(&[&names[0], &names[1]]);
        source.insert(location(&format!("{name}.m3u8")), text.into_bytes());
    };
    // That of the second is there at once, that of the first comes later.
    lists(&mut source, "german");
    let mut before = Composer::new(renditions.clone(), &Limits::default());
    let first = sounds(&mut before, &source, 0);
    assert_eq!(first.keys().collect::<Vec<_>>(), ["deu"]);
    lists(&mut source, "english");
    let second = sounds(&mut before, &source, 1);
    // One that knows nothing of it, as after a restart.
    let mut after = Composer::new(renditions, &Limits::default());
    let again = sounds(&mut after, &source, 1);
    assert_eq!(second.keys().collect::<Vec<_>>(), ["deu", "eng"]);
    assert_eq!(second, again);
    assert_eq!(first["deu"], second["deu"]);
}
