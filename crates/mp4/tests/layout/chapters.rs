//! Chapters are written where players look for them.

use clipmill_media::TimedEvent;
use clipmill_mp4::{Chapter, FragmentOptions, Fragmenter, Layout, Movie};

use super::common::judge;
use super::common::{self, World};

fn with_chapters(chapters: impl IntoIterator<Item = (u64, String)>) -> World {
    let mut world = World::new(&common::picture_and_sound());
    world.movie.chapters = chapters
        .into_iter()
        .map(|(at, title)| Chapter { at, title })
        .collect();
    world
}

/// The second begins on a tick that is no whole number of 100 ns.
fn two() -> World {
    with_chapters([
        (0, "Anpfiff".to_owned()),
        (45_001, "Tor für Köln".to_owned()),
    ])
}

fn progressive(world: &World) -> Vec<u8> {
    let layout = Layout::progressive(world.movie.clone()).unwrap();
    world.render(&layout, 0..layout.len())
}

fn be(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// What `stco` of a track says of its only chunk.
fn chunk(trak: &[u8]) -> usize {
    let stco = judge::at_path(&trak[8..], &["mdia", "minf", "stbl", "stco"])[0];
    assert_eq!(be(stco, 12), 1);
    be(stco, 16) as usize
}

#[test]
fn a_progressive_file_has_them_in_both_forms() {
    let mut world = two();
    let event = TimedEvent {
        time: 9_000,
        duration: 0,
        scheme: "urn:x".to_owned(),
        value: String::new(),
        id: 0,
        data: b"event".as_slice().into(),
    };
    world.movie.events.push(event);
    let file = progressive(&world);
    let traks = judge::at_path(&file, &["moov", "trak"]);
    assert_eq!(traks.len(), 4, "pictures, sound, timed metadata, chapters");
    let mut dump = String::new();
    for trak in &traks[..2] {
        let reference = judge::at_path(&trak[8..], &["tref"])[0];
        dump += &judge::hex(reference);
    }
    assert!(judge::at_path(&traks[2][8..], &["tref"]).is_empty());
    dump += &judge::hex(traks[3]);
    let titles = chunk(traks[3]);
    dump += &judge::hex(&file[titles..titles + 14 + 7 + 14 + 14]);
    dump += &judge::hex(judge::at_path(&file, &["moov", "udta", "chpl"])[0]);
    insta::assert_snapshot!(dump);
    assert_eq!(file[chunk(traks[2])..][..5], *b"event");
    let moov = judge::at_path(&file, &["moov"])[0];
    let mvhd = judge::at_path(&moov[8..], &["mvhd"])[0];
    assert_eq!(be(mvhd, mvhd.len() - 4), 5, "the next identifier");
}

#[test]
fn a_fragmented_file_has_a_list() {
    let world = two();
    let layout = Layout::fragmented(world.movie.clone(), FragmentOptions::default()).unwrap();
    let file = world.render(&layout, 0..layout.len());
    let path = ["moov", "udta", "chpl"];
    let progressive = progressive(&world);
    let list = judge::at_path(&progressive, &path);
    assert_eq!(judge::at_path(&file, &path), list);
    assert!(judge::at_path(&file, &["moov", "trak", "tref"]).is_empty());
    assert_eq!(judge::at_path(&file, &["moov", "trak"]).len(), 2);
    let fragmenter = Fragmenter::new(world.movie.clone(), FragmentOptions::default()).unwrap();
    assert_eq!(judge::at_path(&fragmenter.init(), &path), list);
}

/// A `chpl` counts to 255; who reads it first must not miss the others.
#[test]
fn more_chapters_than_a_list_holds_are_in_the_track_alone() {
    let many = |count: u64| with_chapters((0..count).map(|n| (n * 90, n.to_string())));
    let path = ["moov", "udta", "chpl"];
    assert_eq!(judge::at_path(&progressive(&many(255)), &path).len(), 1);
    let world = many(256);
    let file = progressive(&world);
    assert!(judge::at_path(&file, &path).is_empty());
    let traks = judge::at_path(&file, &["moov", "trak"]);
    let sizes = judge::at_path(&traks[2][8..], &["mdia", "minf", "stbl", "stsz"])[0];
    assert_eq!(be(sizes, 16), 256);
    let layout = Layout::fragmented(world.movie.clone(), FragmentOptions::default()).unwrap();
    let file = world.render(&layout, 0..layout.len());
    assert_eq!(judge::at_path(&file, &path)[0][16], 255);
}

#[test]
fn a_movie_without_chapters_has_none_of_it() {
    let mut world = World::new(&common::picture_and_sound());
    let without = progressive(&world);
    for path in [&["moov", "udta", "chpl"], &["moov", "trak", "tref"]] {
        assert!(judge::at_path(&without, path).is_empty());
    }
    // Nor one whose chapters begin when it is over.
    world.movie.chapters = vec![Chapter {
        at: u64::MAX,
        title: "never".to_owned(),
    }];
    assert_eq!(progressive(&world), without);
    assert_eq!(Movie::default().chapters, []);
}
