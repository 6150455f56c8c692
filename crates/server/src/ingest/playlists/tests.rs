use std::collections::BTreeSet;

use super::*;

/// The files that are there, and those that are coming.
#[derive(Debug, Default)]
struct Disk {
    there: BTreeSet<String>,
    coming: BTreeSet<String>,
}

impl Files for Disk {
    fn is_there(&self, path: &str) -> bool {
        self.there.contains(path)
    }

    fn is_coming(&self, path: &str) -> bool {
        self.coming.contains(path)
    }

    fn any_coming(&self) -> bool {
        !self.coming.is_empty()
    }
}

struct Stream {
    playlists: Playlists,
    disk: Disk,
    now: Instant,
}

fn path(path: &str) -> MediaPath {
    MediaPath::parse(path).unwrap()
}

fn read(name: &str, text: &str) -> Result<Pushed, PlaylistFault> {
    let path = path(name);
    let base = Base {
        app: "live",
        stream: "cam",
        path: &path,
        hosts: &[],
    };
    Pushed::read(text.as_bytes(), &base)
}

/// Lists these segments of two seconds.
fn media(segments: &str) -> String {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for segment in segments.split_whitespace() {
        match segment {
            "END" => text.push_str("#EXT-X-ENDLIST\n"),
            segment => text.push_str(&format!("#EXTINF:2,\n{segment}.ts\n")),
        }
    }
    text
}

fn multivariant(variants: &str) -> String {
    let mut text = "#EXTM3U\n".to_owned();
    for variant in variants.split_whitespace() {
        text.push_str(&format!("#EXT-X-STREAM-INF:BANDWIDTH=1000\n{variant}\n"));
    }
    text
}

impl Stream {
    fn new() -> Self {
        Self {
            playlists: Playlists::default(),
            disk: Disk::default(),
            now: Instant::now(),
        }
    }

    fn there(&mut self, segments: &str) {
        let names = segments.split_whitespace().map(|name| format!("{name}.ts"));
        self.disk.there.extend(names);
    }

    /// Each output as `kind path segments`, the segments as they are named.
    fn due(&mut self) -> Vec<String> {
        let names = |text: &str| {
            let mut names: Vec<_> = text
                .lines()
                .filter_map(|line| line.strip_suffix(".ts"))
                .collect();
            names.extend(text.contains("ENDLIST").then_some("END"));
            names.join(" ")
        };
        let outputs = self.playlists.due(&self.disk, self.now).into_iter();
        let told = outputs.map(|output| match output {
            Output::Main(main) => format!("main {}", main.path),
            Output::Beside(text) => format!("beside {}", names(&text)).trim_end().to_owned(),
            Output::Within(path, text) => format!("within {} {}", path.as_str(), names(&text)),
            Output::Remove(path) => format!("remove {path}"),
        });
        told.collect()
    }

    fn put(&mut self, name: &str, text: &str) -> Vec<String> {
        self.playlists
            .put(&path(name), read(name, text).unwrap(), self.now);
        self.due()
    }

    fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

#[test]
fn a_media_playlist_is_the_streams_when_it_comes_again() {
    let mut cam = Stream::new();
    cam.there("a b c");
    assert!(cam.put("index.m3u8", &media("a")).is_empty());
    assert!(cam.playlists.is_waiting());
    assert_eq!(
        cam.put("index.m3u8", &media("a b")),
        ["main index.m3u8", "beside a b"]
    );
    assert!(!cam.playlists.is_waiting());
    assert_eq!(cam.put("index.m3u8", &media("a b c")), ["beside a b c"]);
    // One that says that it has ended will not come again; neither will one that nothing follows.
    let mut other = Stream::new();
    other.there("a");
    assert_eq!(
        other.put("x.m3u8", &media("a END")),
        ["main x.m3u8", "beside a END"]
    );
    let mut alone = Stream::new();
    alone.there("a");
    assert!(alone.put("x.m3u8", &media("a")).is_empty());
    alone.later(11);
    assert_eq!(alone.due(), ["main x.m3u8", "beside a"]);
}

#[test]
fn variants_wait_for_their_multivariant_playlist() {
    let mut cam = Stream::new();
    cam.there("a b c");
    for name in ["v0.m3u8", "v1.m3u8", "stray.m3u8"] {
        assert!(cam.put(name, &media("a")).is_empty());
    }
    let master = multivariant("v0.m3u8 v1.m3u8");
    assert_eq!(
        cam.put("master.m3u8", &master),
        [
            "main master.m3u8",
            "beside",
            "within v0.m3u8 a",
            "within v1.m3u8 a"
        ]
    );
    assert_eq!(cam.put("v1.m3u8", &media("a b")), ["within v1.m3u8 a b"]);
    // What it does not list would be taken for a stream.
    assert!(cam.put("stray.m3u8", &media("a b")).is_empty());
    assert!(cam.put("stray.m3u8", &media("a b c")).is_empty());
    // It lists it later, and another no more.
    assert_eq!(
        cam.put("master.m3u8", &multivariant("v0.m3u8 stray.m3u8")),
        [
            "main master.m3u8",
            "remove v1.m3u8",
            "beside",
            "within stray.m3u8 a b c"
        ]
    );
    assert_eq!(
        cam.put("master.m3u8", &multivariant("v0.m3u8 stray.m3u8")),
        ["beside"]
    );
}

#[test]
fn a_multivariant_playlist_that_is_late_takes_its_place() {
    let mut cam = Stream::new();
    cam.there("a b");
    cam.put("v0.m3u8", &media("a"));
    assert_eq!(
        cam.put("v0.m3u8", &media("a b")),
        ["main v0.m3u8", "beside a b"]
    );
    assert!(cam.put("v1.m3u8", &media("a b")).is_empty());
    assert_eq!(
        cam.put("m.m3u8", &multivariant("v0.m3u8 v1.m3u8")),
        [
            "main m.m3u8",
            "beside",
            "within v0.m3u8 a b",
            "within v1.m3u8 a b"
        ]
    );
}

#[test]
fn another_playlist_takes_over_when_the_first_is_over() {
    for ended in [true, false] {
        let mut cam = Stream::new();
        cam.there("a b c d");
        cam.put("one.m3u8", &media("a"));
        cam.put("one.m3u8", &media("a b"));
        cam.put("two.m3u8", &media("c"));
        assert!(cam.put("two.m3u8", &media("c d")).is_empty());
        if ended {
            assert_eq!(cam.put("one.m3u8", &media("a b END")), ["beside a b END"]);
        } else {
            cam.later(7);
        }
        assert_eq!(
            cam.put("two.m3u8", &media("c d")),
            ["main two.m3u8", "beside c d"]
        );
    }
    // After a restart nobody knows how long a segment of the other is.
    let main = Main {
        path: "one.m3u8".into(),
        lists: None,
    };
    let mut cam = Stream::new();
    cam.there("a");
    cam.playlists = Playlists::restored(Some(main), cam.now);
    assert!(cam.playlists.knows("one.m3u8") && !cam.playlists.knows("two.m3u8"));
    assert_eq!(cam.put("one.m3u8", &media("a")), ["beside a"]);
}

#[test]
fn a_playlist_is_published_as_far_as_its_segments_are_there() {
    let mut cam = Stream::new();
    cam.put("x.m3u8", &media("a"));
    // Nothing is there, so nothing is said.
    assert_eq!(cam.put("x.m3u8", &media("a b c")), ["main x.m3u8"]);
    cam.there("a");
    assert_eq!(cam.due(), ["beside a"]);
    assert!(cam.due().is_empty());
    cam.there("b c");
    assert_eq!(cam.due(), ["beside a b c"]);
    // One that did not come is not waited for when what follows it is there.
    cam.there("e");
    assert_eq!(cam.put("x.m3u8", &media("b c d e f")), ["beside b c d e"]);
    // But it is while it is coming.
    cam.disk.coming.insert("g.ts".into());
    cam.there("f h");
    assert_eq!(cam.put("x.m3u8", &media("e f g h i END")), ["beside e f"]);
    cam.disk.coming.clear();
    cam.there("g");
    assert_eq!(cam.due(), ["beside e f g h"]);
    assert!(cam.playlists.is_waiting());
    cam.later(10);
    assert_eq!(cam.due(), ["beside e f g h i END"]);
    // One that comes again is taken for what it was.
    cam.disk.coming.insert("h.ts".into());
    assert_eq!(cam.put("x.m3u8", &media("g h i END")), ["beside g h"]);
}

#[test]
fn a_playlist_of_which_nothing_ever_comes_is_published_all_the_same() {
    let mut cam = Stream::new();
    cam.put("x.m3u8", &media("a"));
    assert_eq!(cam.put("x.m3u8", &media("a b")), ["main x.m3u8"]);
    for listed in ["b c", "c d", "d e", "e f"] {
        cam.later(2);
        assert!(cam.put("x.m3u8", &media(listed)).is_empty());
    }
    // Its segments may be called otherwise than it says: whoever records it tells of that.
    cam.later(2);
    assert_eq!(cam.put("x.m3u8", &media("f g")), ["beside f g"]);
    cam.there("h");
    assert_eq!(cam.put("x.m3u8", &media("g h i")), ["beside g h"]);
}

#[test]
fn playlists_that_wait_in_vain_are_forgotten() {
    let mut cam = Stream::new();
    cam.there("a b");
    cam.put("m.m3u8", &multivariant("v.m3u8"));
    assert_eq!(cam.put("v.m3u8", &media("a")), ["within v.m3u8 a"]);
    for number in 0..200 {
        cam.later(1);
        let name = format!("stray{number}.m3u8");
        assert!(cam.playlists.make_room(&name));
        assert!(cam.put(&name, &media("b")).is_empty());
    }
    assert!(cam.playlists.knows("stray199.m3u8") && !cam.playlists.knows("stray99.m3u8"));
    let listed = |cam: &Stream| {
        cam.playlists
            .files()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    assert!(listed(&cam).contains("b.ts"));
    cam.later(301);
    cam.playlists.expire(Duration::from_secs(300), cam.now);
    assert_eq!(listed(&cam), BTreeSet::from(["a.ts".to_owned()]));
    // Where all are the stream's there is room for no more.
    let many: Vec<_> = (0..MOST_PLAYLISTS)
        .map(|number| format!("v{number}.m3u8"))
        .collect();
    cam.put("m.m3u8", &multivariant(&many.join(" ")));
    for name in &many[..MOST_PLAYLISTS - 1] {
        assert!(cam.playlists.make_room(name));
        cam.put(name, &media("a"));
    }
    assert!(!cam.playlists.make_room(&many[MOST_PLAYLISTS - 1]));
}

#[test]
fn a_segment_is_there_when_its_map_is() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2,\na.ts\n\
                #EXT-X-GAP\n#EXTINF:2,\nnever.ts\n#EXT-X-ENDLIST";
    let mut cam = Stream::new();
    cam.there("a");
    assert_eq!(cam.put("x.m3u8", text), ["main x.m3u8"]);
    cam.disk.there.insert("init.mp4".into());
    assert_eq!(cam.due(), ["beside a never END"]);
    let listed: BTreeSet<_> = cam.playlists.files().collect();
    assert_eq!(listed, BTreeSet::from(["a.ts", "init.mp4"]));
    assert_eq!(cam.playlists.longest(), Duration::from_secs(4));
}

#[test]
fn what_could_not_be_written_is_due_again() {
    let mut cam = Stream::new();
    cam.there("a");
    cam.put("x.m3u8", &media("a END"));
    cam.playlists.failed();
    assert_eq!(cam.due(), ["main x.m3u8", "beside a END"]);
    cam.playlists.forget("x.m3u8");
    assert!(!cam.playlists.knows("x.m3u8") && cam.due().is_empty());
}

#[test]
fn playlists_that_are_refused() {
    let refused = |name: &str, text: &str| read(name, text).unwrap_err();
    assert!(matches!(
        refused("a.m3u8", "<html>"),
        PlaylistFault::Parse(_)
    ));
    assert!(matches!(refused("a.m3u8", ""), PlaylistFault::Parse(_)));
    assert!(matches!(
        refused("a.m3u8", &media("../../x")),
        PlaylistFault::Uri(_)
    ));
    assert!(matches!(
        refused("v/a.m3u8", &media("../x")),
        PlaylistFault::Upward(_)
    ));
    let delta =
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:2,\na.ts\n";
    assert_eq!(refused("a.m3u8", delta), PlaylistFault::Delta);
    // Its own may lie in another folder, and variants anywhere in the stream's.
    assert!(read("m/a.m3u8", &multivariant("../v/b.m3u8")).is_ok());
    assert!(read("m/a.m3u8", &multivariant("../../b.m3u8")).is_err());
}
