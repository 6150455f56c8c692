use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use clipmill_playlist::{Playlist, PlaylistLimits};
use proptest::prelude::*;

use super::*;

/// Files by name. Each is what its number says, and begins with it.
#[derive(Default)]
struct World {
    files: HashMap<String, Version>,
    heads: HashMap<String, u64>,
    taken: Taken,
    /// What was taken, in order: the name and the version of each.
    all: Vec<(String, u64)>,
}

impl SegmentFiles for (&HashMap<String, Version>, &HashMap<String, u64>) {
    fn version(&mut self, segment: &Segment) -> Option<Version> {
        self.0.get(&segment.uri).copied()
    }

    fn head(&mut self, segment: &Segment) -> Option<u64> {
        self.1.get(&segment.uri).copied()
    }
}

fn mark(version: u64, len: u64) -> Version {
    Version { len, tag: version }
}

/// A list of these names, numbered from `first` on. A name that begins with `!` has a discontinuity
/// before it.
fn named(first: u64, names: &[String], dates: Option<&str>) -> Vec<Segment> {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    if let Some(date) = dates {
        writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{date}").unwrap();
    }
    for name in names {
        if name.starts_with('!') {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let name = name.trim_start_matches('!');
        writeln!(text, "#EXTINF:2,\n{name}").unwrap();
    }
    match Playlist::parse(text.as_bytes(), &PlaylistLimits::default()).unwrap() {
        Playlist::Media(media) => media.segments,
        Playlist::Multivariant(_) => unreachable!(),
    }
}

fn list(first: u64, count: u64, dates: Option<&str>) -> Vec<Segment> {
    let names: Vec<_> = (first..first + count).map(name).collect();
    named(first, &names, dates)
}

fn name(number: u64) -> String {
    format!("seg{number}.ts")
}

fn new(from: usize, missing: u64) -> Seen {
    Seen::New {
        from,
        missing,
        shift: 0,
    }
}

impl World {
    fn write(&mut self, numbers: std::ops::Range<u64>, version: u64) {
        for number in numbers {
            self.write_one(&name(number), version + number);
        }
    }

    fn write_one(&mut self, name: &str, version: u64) {
        self.files.insert(name.to_owned(), mark(version, 188));
        self.heads.insert(name.to_owned(), version);
    }

    /// As a recorder does.
    fn look(&mut self, listed: &[Segment]) -> Seen {
        let mut listed = listed.to_vec();
        let files = &mut (&self.files, &self.heads);
        let seen = self.taken.observe(&listed, files);
        let from = match seen {
            Seen::New { from, shift, .. } => {
                self.taken.renumber(shift, &mut listed);
                from
            }
            Seen::StartedOver { from } => {
                self.taken.start_over();
                self.taken.passed(&listed[..from], files);
                // Nothing of it is there yet: that changes nothing.
                let again = self.taken.observe(&listed, files);
                assert_eq!(again, new(from, 0));
                from
            }
            Seen::Nothing => listed.len(),
        };
        for segment in &listed[from..] {
            let mark = files.version(segment);
            let repeats = self.taken.repeats(segment, mark);
            let head = files.head(segment);
            self.taken.saw(segment, mark, head, segment.start_time);
            if !repeats {
                let version = mark.map_or(0, |mark| mark.tag);
                self.all.push((segment.uri.clone(), version));
            }
        }
        seen
    }

    /// The server starts anew, with what was written down.
    fn restart(&mut self) {
        let written = self.taken.tail(Taken::WRITTEN).written(u64::MAX);
        self.taken = Taken::read(&written);
    }

    fn taken_names(&self) -> Vec<&str> {
        self.all.iter().map(|(name, _)| name.as_str()).collect()
    }
}

#[test]
fn a_window_slides() {
    let mut world = World::default();
    world.write(0..20, 1000);
    assert_eq!(world.look(&list(0, 3, None)), new(0, 0));
    assert_eq!(world.look(&list(0, 3, None)), Seen::Nothing);
    assert_eq!(world.look(&list(1, 3, None)), new(2, 0));
    assert_eq!(world.look(&list(3, 4, None)), new(1, 0));
    assert_eq!(world.look(&list(9, 4, None)), new(0, 2));
    assert_eq!(world.taken.next(), Some(13));
}

#[test]
fn half_written_and_shorter_playlists_are_nothing_new() {
    let mut world = World::default();
    world.write(0..3000, 1000);
    world.look(&list(0, 3000, None));
    for count in [0, 1, 10, 2999] {
        assert_eq!(world.look(&list(0, count, None)), Seen::Nothing);
    }
    // The oldest files may be gone by now.
    world.files.clear();
    assert_eq!(world.look(&list(0, 10, None)), Seen::Nothing);
    assert_eq!(world.look(&list(2990, 5, None)), Seen::Nothing);
}

#[test]
fn an_encoder_restarts_under_the_same_names() {
    for caught in [1, 2, 3, 5, 9] {
        for over in [false, true] {
            let mut world = World::default();
            world.write(0..4, 1000);
            world.look(&list(0, 4, None));
            if over {
                world.taken.end();
            }
            world.write(0..caught, 5000);
            assert_eq!(
                world.look(&list(0, caught, None)),
                Seen::StartedOver { from: 0 },
                "{caught}"
            );
            assert_eq!(world.taken.next(), Some(caught));
            assert_eq!(world.all.len() as u64, 4 + caught);
        }
    }
}

#[test]
fn a_sequence_that_starts_over_far_below() {
    let mut world = World::default();
    world.look(&list(100, 4, None));
    assert_eq!(world.look(&list(0, 2, None)), Seen::StartedOver { from: 0 });
    assert_eq!(world.look(&list(1, 2, None)), new(1, 0));
}

#[test]
fn dates_tell_a_restart_without_files() {
    let mut world = World::default();
    world.look(&list(0, 4, Some("2026-11-22T14:00:00Z")));
    let same = list(0, 4, Some("2026-11-22T14:00:00.400Z"));
    assert_eq!(world.look(&same), Seen::Nothing);
    let later = list(0, 4, Some("2026-11-22T15:00:00Z"));
    assert_eq!(world.look(&later), Seen::StartedOver { from: 0 });
    // The sequence goes on and time does not.
    let back = list(4, 4, Some("2026-11-22T12:00:00Z"));
    assert_eq!(world.look(&back), Seen::StartedOver { from: 0 });
    // A pause is no new beginning.
    let pause = list(8, 1, Some("2026-11-22T12:30:00Z"));
    assert!(matches!(world.look(&pause), Seen::New { .. }));
}

#[test]
fn a_clock_that_is_set_makes_no_new_media() {
    let mut world = World::default();
    world.write(0..6, 1000);
    world.look(&list(0, 4, Some("2026-11-22T14:00:00Z")));
    let set = list(0, 4, Some("2026-11-22T15:00:00Z"));
    assert_eq!(world.look(&set), Seen::Nothing);
    let set = list(1, 5, Some("2026-11-22T15:00:02Z"));
    world.look(&set);
    assert_eq!(
        world.taken_names(),
        [
            "seg0.ts", "seg1.ts", "seg2.ts", "seg3.ts", "seg4.ts", "seg5.ts"
        ]
    );
}

#[test]
fn a_segment_listed_too_early_grows() {
    let mut world = World::default();
    world.write(0..3, 1000);
    world.look(&list(0, 3, None));
    let grown = |world: &mut World| world.files.insert(name(2), mark(2000, 376));
    grown(&mut world);
    assert_eq!(world.look(&list(0, 3, None)), Seen::Nothing);
    // Not so when it begins with something else, is shorter, or the stream was over.
    world.heads.insert(name(2), 7);
    assert_eq!(world.look(&list(0, 3, None)), Seen::StartedOver { from: 2 });
    world.files.insert(name(2), mark(3000, 94));
    assert_eq!(world.look(&list(0, 3, None)), Seen::StartedOver { from: 2 });
    world.taken.end();
    world.files.insert(name(2), mark(4000, 376));
    assert_eq!(world.look(&list(0, 3, None)), Seen::StartedOver { from: 2 });
}

/// nginx with `hls_continuous`, ffmpeg with `append_list`: the list goes on where it was.
#[test]
fn a_sender_that_returns_goes_on_behind_what_was_taken() {
    for restarted in [false, true] {
        let mut world = World::default();
        world.write(0..12, 1000);
        world.look(&list(2, 5, None));
        world.taken.end();
        if restarted {
            world.restart();
        }
        assert_eq!(world.look(&list(2, 5, None)), Seen::Nothing);
        assert_eq!(world.look(&list(3, 5, None)), new(4, 0));
        assert_eq!(world.look(&list(5, 7, None)), new(3, 0));
        assert_eq!(world.all.len(), 10);
    }
}

#[test]
fn the_last_name_is_used_again() {
    for restarted in [false, true] {
        let mut world = World::default();
        world.write(0..10, 1000);
        world.look(&list(5, 5, None));
        world.taken.end();
        if restarted {
            world.restart();
        }
        world.write(9..12, 5000);
        assert_eq!(world.look(&list(6, 4, None)), Seen::StartedOver { from: 3 });
        assert_eq!(world.look(&list(6, 6, None)), new(4, 0));
        assert_eq!(world.all.len(), 8);
    }
}

#[test]
fn numbers_start_over_and_names_do_not() {
    for restarted in [false, true] {
        for (count, at) in [(4, 3_u64), (3, 900), (5, 0)] {
            let mut world = World::default();
            world.write(0..20, 1000);
            world.look(&list(5, 5, None));
            if restarted {
                world.restart();
            }
            // Some of what was taken is listed yet, and something new.
            let names: Vec<_> = (10 - count..11).map(name).collect();
            let seen = world.look(&named(at, &names, None));
            assert!(matches!(seen, Seen::New { missing: 0, .. }), "{seen:?}");
            let names: Vec<_> = (9..13).map(name).collect();
            let seen = world.look(&named(at + count - 1, &names, None));
            assert!(matches!(seen, Seen::New { missing: 0, .. }), "{seen:?}");
            assert_eq!(world.all.len(), 8);
            assert_eq!(world.taken.next(), Some(13));
        }
    }
}

#[test]
fn numbers_that_never_change() {
    let mut world = World::default();
    world.write(0..100, 1000);
    for first in 0..90 {
        let names: Vec<_> = (first..first + 5).map(name).collect();
        world.look(&named(1, &names, None));
    }
    let names: Vec<_> = (0..94).map(name).collect();
    assert_eq!(world.taken_names(), names);
}

#[test]
fn a_playlist_that_overlaps_the_one_before() {
    let mut world = World::default();
    world.write(0..8, 1000);
    world.look(&list(0, 8, None));
    for other in 0..3 {
        world.write_one(&format!("other{other}.ts"), 2000 + other);
    }
    // It parted from the other one a while ago.
    let names = ["seg3.ts", "seg4.ts", "other0.ts", "other1.ts"].map(str::to_owned);
    assert_eq!(
        world.look(&named(3, &names, None)),
        Seen::StartedOver { from: 2 }
    );
    // And back again: all of that was taken, in whichever session.
    assert_eq!(world.look(&list(2, 6, None)), Seen::Nothing);
    let names = ["seg4.ts", "other0.ts", "other1.ts", "other2.ts"].map(str::to_owned);
    world.look(&named(4, &names, None));
    let taken = world.taken_names();
    assert_eq!(taken.len(), 11, "{taken:?}");
    assert_eq!(taken[8..], ["other0.ts", "other1.ts", "other2.ts"]);
}

#[test]
fn repetitions_and_loops() {
    let mut world = World::default();
    world.write(0..9, 1000);
    let names = |text: &str| -> Vec<_> {
        text.split(' ')
            .map(|n| n.replace('s', "seg") + ".ts")
            .collect()
    };
    world.look(&named(0, &names("s0 s1 s1 s2"), None));
    world.look(&named(1, &names("s1 s1 s2 s3 s2 s3"), None));
    assert_eq!(
        world.taken_names(),
        ["seg0.ts", "seg1.ts", "seg2.ts", "seg3.ts"]
    );
    // A loop says so, and goes on for as long as it likes.
    for first in 7..40 {
        let names: Vec<_> = (first..first + 3)
            .map(|n| format!("!loop{}.ts", n % 2))
            .collect();
        for n in 0..2 {
            world.write_one(&format!("loop{n}.ts"), 3000 + n);
        }
        world.look(&named(first, &names, None));
    }
    assert_eq!(world.all.len(), 4 + 35);
    // Even when some of it was never seen.
    let names: Vec<_> = (80..83).map(|n| format!("!loop{}.ts", n % 2)).collect();
    assert!(matches!(
        world.look(&named(80, &names, None)),
        Seen::New { .. }
    ));
    assert_eq!(world.all.len(), 4 + 35 + 3);
}

/// Two segments change places, and the one that was listed twice is where it was.
#[test]
fn a_repetition_is_no_loop() {
    for ended in [false, true] {
        let mut world = World::default();
        world.write(0..2, 1000);
        let swapped = [name(1), name(0), name(1)];
        assert_eq!(world.look(&named(0, &swapped, None)), new(0, 0));
        assert_eq!(world.taken_names(), ["seg1.ts", "seg0.ts"]);
        if ended {
            world.taken.end();
        }
        let listed = [name(0), name(1), name(1)];
        assert_eq!(world.look(&named(0, &listed, None)), Seen::Nothing);
        assert_eq!(world.all.len(), 2);
        // With other numbers it goes on behind the repetition.
        world.write_one("seg2.ts", 5000);
        let listed = [name(1), name(1), name(2)];
        let continues = Seen::New {
            from: 2,
            missing: 0,
            shift: -7,
        };
        assert_eq!(world.look(&named(8, &listed, None)), continues);
        assert_eq!(world.all.len(), 3);
    }
}

/// What was given up and is not there now is as old as what was taken before it.
#[test]
fn a_list_that_ends_with_what_was_never_there_is_found_again() {
    let mut world = World::default();
    world.write(0..2, 1000);
    world.write(3..4, 1000);
    world.look(&list(1, 3, None));
    let short: Vec<_> = (1..3).map(name).collect();
    assert_eq!(world.look(&named(0, &short, None)), Seen::Nothing);
    let all: Vec<_> = (1..4).map(name).collect();
    assert_eq!(world.look(&named(0, &all, None)), Seen::Nothing);
    assert_eq!(world.all.len(), 3);
    // It is new once it is there.
    world.write(2..3, 5000);
    assert_eq!(
        world.look(&named(0, &short, None)),
        Seen::StartedOver { from: 1 }
    );
}

/// The numbers of an old list happen to go on from those of the session of now.
#[test]
fn an_old_list_that_goes_on_from_the_numbers_of_now_is_old() {
    let mut world = World::default();
    world.write(0..3, 1000);
    world.look(&list(0, 3, None));
    // The encoder restarts under the same names.
    world.write(0..1, 5000);
    assert_eq!(world.look(&list(0, 1, None)), Seen::StartedOver { from: 0 });
    assert_eq!(world.look(&list(0, 3, None)), Seen::Nothing);
    world.write(1..2, 5000);
    assert_eq!(world.look(&list(0, 2, None)), new(1, 0));
    assert_eq!(world.look(&list(0, 3, None)), Seen::Nothing);
    world.write(2..4, 5000);
    assert_eq!(world.look(&list(0, 4, None)), new(2, 0));
    assert_eq!(world.all.len(), 7);
}

/// Not so where a loop comes back to what was taken before the numbers began anew.
#[test]
fn a_loop_goes_on_through_what_was_taken_before() {
    let mut world = World::default();
    world.write(0..6, 1000);
    world.look(&list(0, 3, None));
    world.taken.start_over();
    let names = |all: &[u64]| -> Vec<_> { all.iter().map(|number| name(*number)).collect() };
    world.look(&named(0, &names(&[2, 3]), None));
    world.look(&named(0, &names(&[2, 3, 4, 5]), None));
    let again = |name: String| format!("!{name}");
    let round = [name(4), name(5), again(name(0)), name(1)];
    assert_eq!(world.look(&named(2, &round, None)), new(2, 0));
    let round = [again(name(0)), name(1), name(2), name(3)];
    assert_eq!(world.look(&named(4, &round, None)), new(2, 0));
    assert_eq!(world.all.len(), 3 + 3 + 4);
}

/// A source that tells no content from another: the date does.
#[test]
fn dates_tell_what_was_taken_where_nothing_else_does() {
    let date = "2026-11-22T14:00:00Z";
    let mut world = World::default();
    world.look(&list(5, 4, Some(date)));
    world.taken.end();
    world.taken.start_over();
    let names: Vec<_> = (7..10).map(name).collect();
    let listed = named(0, &names, Some("2026-11-22T14:00:04Z"));
    assert_eq!(world.look(&listed), new(2, 0));
    assert_eq!(world.all.len(), 5);
    let mut world = World::default();
    world.look(&list(5, 4, Some(date)));
    world.taken.end();
    world.taken.start_over();
    let listed = named(0, &names, Some("2026-11-22T15:00:00Z"));
    assert_eq!(world.look(&listed), new(0, 0));
    assert_eq!(world.all.len(), 7);
}

/// Whoever remembers what is listed before it is read learns later what that was.
#[test]
fn a_segment_that_was_not_there_yet_is_known_when_it_is_taken() {
    let mut world = World::default();
    world.write(0..2, 1000);
    world.look(&list(0, 3, None));
    world.write(2..3, 1000);
    world.taken.took(2, world.files[&name(2)]);
    world.taken.start_over();
    assert_eq!(world.look(&list(0, 3, None)), Seen::Nothing);
    world.write(2..3, 5000);
    assert_eq!(world.look(&list(0, 3, None)), new(2, 0));
}

#[test]
fn names_that_go_round() {
    let mut world = World::default();
    for first in 0..50_u64 {
        world.write_one(&name((first + 4) % 6), 1000 + first + 4);
        if first == 0 {
            world.write(0..4, 1000);
        }
        let names: Vec<_> = (first..first + 5).map(|n| name(n % 6)).collect();
        world.look(&named(first, &names, None));
    }
    let versions: Vec<_> = world.all.iter().map(|(_, version)| *version).collect();
    assert_eq!(versions, (1000..1054).collect::<Vec<_>>());
}

#[test]
fn one_file_that_holds_all() {
    let listed = |first: u64, count: u64| {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for n in 0..count {
            writeln!(
                text,
                "#EXTINF:2,\n#EXT-X-BYTERANGE:188@{}\nall.ts",
                188 * (n + 7)
            )
            .unwrap();
        }
        match Playlist::parse(text.as_bytes(), &PlaylistLimits::default()).unwrap() {
            Playlist::Media(media) => media.segments,
            Playlist::Multivariant(_) => unreachable!(),
        }
    };
    let mut world = World::default();
    assert_eq!(world.look(&listed(7, 3)), new(0, 0));
    assert_eq!(world.look(&listed(7, 4)), new(3, 0));
    let shifted = Seen::New {
        from: 4,
        missing: 0,
        shift: 7,
    };
    assert_eq!(world.look(&listed(0, 5)), shifted);
    assert_eq!(world.all.len(), 5);
}

#[cfg(feature = "serde")]
#[test]
fn what_is_written_down_is_small() {
    let mut world = World::default();
    world.write(0..3000, 1000);
    world.look(&list(0, 3000, None));
    let written = world.taken.tail(usize::MAX).written(2990);
    assert_eq!(written.len(), Taken::WRITTEN);
    assert_eq!(written.last().map(|last| last.sequence), Some(Some(2990)));
    let text = serde_json::to_string(&written).unwrap();
    assert!(text.len() < 1000, "{text}");
    let again: Vec<TakenSegment> = serde_json::from_str(&text).unwrap();
    assert_eq!(again, written);
    // What came after a boundary is taken again from there.
    world.taken = Taken::read(&again);
    assert_eq!(world.look(&list(2980, 20, None)), new(11, 0));
}

/// Numbers that were passed over say nothing of what is listed under them later.
#[test]
fn numbers_that_go_back_to_what_was_never_listed_are_not_believed() {
    let mut world = World::default();
    world.write_one("seg0.ts", 1);
    assert_eq!(world.look(&named(0, &[name(0)], None)), new(0, 0));
    world.write_one("seg0.ts", 2);
    assert_eq!(world.look(&named(32, &[name(0)], None)), new(0, 31));
    world.write_one("seg1.ts", 3);
    let both = named(1, &[name(0), name(1)], None);
    let continues = Seen::New {
        from: 1,
        missing: 0,
        shift: 31,
    };
    assert_eq!(world.look(&both), continues);
    assert_eq!(world.look(&both), Seen::Nothing);
}

/// The same where the name comes back as well, and nothing that is listed was taken.
#[test]
fn what_is_written_anew_under_numbers_that_were_never_listed_is_new() {
    let mut world = World::default();
    for (version, number) in [(1, 0), (2, 18), (3, 1), (4, 7)] {
        world.write_one("seg0.ts", version);
        world.look(&named(number, &[name(0)], None));
    }
    let versions: Vec<_> = world.all.iter().map(|(_, version)| *version).collect();
    assert_eq!(versions, [1, 2, 3, 4]);
}

#[test]
fn memory_is_bounded() {
    let mut taken = Taken::default();
    let [segment] = list(0, 1, None).try_into().unwrap();
    for sequence in [0, 5, 99_999, 100_005, u64::MAX - 3] {
        let mut segment = segment.clone();
        segment.sequence = sequence;
        taken.saw(&segment, None, None, None);
        assert!(taken.known.len() <= REMEMBERED && taken.before.len() <= BEFORE);
        assert_eq!(taken.next(), Some(sequence + 1));
    }
    assert_eq!(size_of::<Known>(), 24);
}

/// What a sender and a server may do.
#[derive(Debug, Clone)]
enum Event {
    /// Segments come, and some of them are seen.
    Grow(u64),
    /// The sender is gone; its session ends.
    Pause,
    /// It goes on counting from another number.
    Renumber(u64),
    /// It starts anew: names and numbers from 0.
    Anew,
    /// It returns, and writes the last name again.
    Rewrite,
    /// The playlist is caught half-written, or is an old one.
    Short(usize),
    /// The server starts anew after the session's last clip.
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (1..4_u64).prop_map(Event::Grow),
        2 => Just(Event::Pause),
        1 => (0..40_u64).prop_map(Event::Renumber),
        1 => Just(Event::Anew),
        1 => Just(Event::Rewrite),
        2 => (1..5_usize).prop_map(Event::Short),
        1 => Just(Event::Restart),
    ];
    proptest::collection::vec(event, 1..40)
}

proptest! {
    /// Whatever happens: each file that was written is taken once, in order, and none twice.
    #[test]
    fn nothing_twice_and_nothing_lost(events in events(), window in 3..8_usize) {
        let mut world = World::default();
        let mut version = 1000;
        let mut next_name = 0;
        let mut first = 0;
        let mut names: Vec<String> = Vec::new();
        let mut written: Vec<(String, u64)> = Vec::new();
        for event in events {
            match event {
                // No more at a time than the list has room for.
                Event::Grow(count) => for _ in 0..count.min(window as u64 - 1) {
                    let name = name(next_name);
                    next_name += 1;
                    version += 1;
                    world.write_one(&name, version);
                    written.push((name.clone(), version));
                    names.push(name);
                    while names.len() > window {
                        names.remove(0);
                        first += 1;
                    }
                },
                Event::Pause => world.taken.end(),
                Event::Renumber(number) => first = number,
                Event::Anew => {
                    (next_name, first) = (0, 0);
                    names.clear();
                }
                Event::Rewrite if names.len() > 1 => {
                    version += 1;
                    let last = names.last().unwrap();
                    world.write_one(last, version);
                    written.push((last.clone(), version));
                }
                Event::Rewrite => {}
                Event::Short(less) => {
                    let short = &names[..names.len().saturating_sub(less)];
                    world.look(&named(first, short, None));
                }
                Event::Restart => {
                    world.taken.end();
                    // All that was taken is written down with the last clip.
                    world.restart();
                }
            }
            world.look(&named(first, &names, None));
        }
        let mut times: BTreeMap<&(String, u64), usize> = BTreeMap::new();
        for one in &world.all {
            *times.entry(one).or_default() += 1;
        }
        prop_assert!(times.values().all(|times| *times == 1), "{:?}", world.all);
        prop_assert_eq!(&world.all, &written);
    }
}
