use super::*;
use crate::ingest::Ingest;

struct Site {
    ingest: Ingest,
    app: AppSettings,
    streams: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let streams = tempfile::tempdir().unwrap();
        Self {
            ingest: Ingest::default(),
            app: AppSettings::new("live", streams.path()),
            streams,
        }
    }

    fn stream(&self) -> Arc<PushedStream> {
        self.ingest.stream(&self.app, "cam").unwrap()
    }

    fn begin(&self, path: &str) -> Result<Arrival, Refusal> {
        self.stream().begin(&MediaPath::parse(path).unwrap(), false)
    }

    fn put(&self, path: &str, content: &str) -> Result<bool, Refusal> {
        let name = MediaPath::parse(path).unwrap();
        if name.is_playlist() {
            let base = Base {
                app: "live",
                stream: "cam",
                path: &name,
                hosts: &[],
            };
            let pushed = Pushed::read(content.as_bytes(), &base).unwrap();
            return self.stream().put_playlist(&name, pushed, false);
        }
        let mut arrival = self.begin(path)?;
        arrival.write(content.as_bytes())?;
        arrival.finish()
    }

    fn delete(&self, path: &str) -> bool {
        let path = MediaPath::parse(path).unwrap();
        self.stream().delete(&path, false).unwrap()
    }

    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.streams.path().join(path)).ok()
    }

    fn has(&self, path: &str) -> bool {
        self.streams.path().join(path).exists()
    }

    /// As if the server had been started again.
    fn restart(&mut self) {
        self.ingest = Ingest::default();
    }

    /// Makes a file look as if it had changed so long ago.
    fn age(&self, path: &str, seconds: u64) {
        let file = fs::File::options()
            .write(true)
            .open(self.streams.path().join(path));
        let then = SystemTime::now() - Duration::from_secs(seconds);
        file.unwrap().set_modified(then).unwrap();
    }
}

fn media(segments: &[&str]) -> String {
    let listed = segments.iter().map(|name| format!("#EXTINF:2,\n{name}\n"));
    let listed: String = listed.collect();
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{listed}")
}

#[test]
fn half_a_file_is_nothing() {
    let site = Site::new();
    let mut arrival = site.begin("a.ts").unwrap();
    arrival.write(b"half").unwrap();
    assert!(!site.has("cam/a.ts"));
    drop(arrival);
    assert_eq!(site.stream().folder.contents().unwrap().temporary, 0);
    assert!(site.stream().lock().coming.is_empty());
    assert!(site.put("a.ts", "whole").unwrap());
    assert_eq!(site.text("cam/a.ts").as_deref(), Some("whole"));
}

#[test]
fn a_stream_comes_goes_and_is_found_again() {
    let mut site = Site::new();
    assert!(
        !site.delete("a.ts") && !site.has("cam"),
        "nothing is made for what is not there"
    );
    site.put("a.ts", "a").unwrap();
    assert!(site.put("x.m3u8", &media(&["a.ts"])).unwrap());
    assert!(!site.has("cam.m3u8"));
    assert!(!site.put("x.m3u8", &media(&["a.ts", "b.ts"])).unwrap());
    assert_eq!(site.text("cam.m3u8").unwrap(), media(&["cam/a.ts"]));
    site.put("b.ts", "b").unwrap();
    assert_eq!(
        site.text("cam.m3u8").unwrap(),
        media(&["cam/a.ts", "cam/b.ts"])
    );

    site.restart();
    site.put("c.ts", "c").unwrap();
    let listed: Vec<String> = site
        .stream()
        .lock()
        .playlists
        .files()
        .map(str::to_owned)
        .collect();
    assert_eq!(
        listed,
        ["a.ts", "b.ts"],
        "it is known what the playlist lists"
    );
    assert!(!site.put("x.m3u8", &media(&["b.ts", "c.ts"])).unwrap());
    assert_eq!(
        site.text("cam.m3u8").unwrap(),
        media(&["cam/b.ts", "cam/c.ts"])
    );
    assert!(site.delete("a.ts") && !site.delete("a.ts"));

    // It ends for those who read it, and goes a while later, also after a restart.
    assert!(site.delete("x.m3u8") && !site.delete("x.m3u8"));
    assert!(site.text("cam.m3u8").unwrap().ends_with("#EXT-X-ENDLIST\n"));
    site.restart();
    let begun = Instant::now();
    site.stream().sweep(begun).unwrap();
    assert!(site.has("cam.m3u8"));
    site.age("cam.m3u8", 31);
    site.stream().sweep(begun).unwrap();
    assert!(!site.has("cam.m3u8"));
    for segment in ["cam/b.ts", "cam/c.ts"] {
        site.age(segment, 1000);
    }
    site.stream()
        .sweep(begun + KEEP + Duration::from_secs(100))
        .unwrap();
    assert!(!site.has("cam/b.ts"));
    site.stream()
        .sweep(begun + KEEP + Duration::from_secs(101))
        .unwrap();
    assert!(!site.has("cam"), "nothing is left of it");
    site.put("a.ts", "a").unwrap();
    assert!(site.has("cam/a.ts"));
}

#[test]
fn what_nobody_lists_goes_after_a_while() {
    let site = Site::new();
    for name in ["a.ts", "b.ts", "v/c.ts", "early.ts"] {
        site.put(name, name).unwrap();
    }
    site.put("x.m3u8", &media(&["a.ts", "b.ts", "v/c.ts"]))
        .unwrap();
    site.put("x.m3u8", &media(&["b.ts", "v/c.ts"])).unwrap();
    for name in ["a.ts", "b.ts", "v/c.ts"] {
        site.age(&format!("cam/{name}"), 1000);
    }
    let begun = Instant::now();
    let sweep = |after: u64| {
        site.stream()
            .sweep(begun + Duration::from_secs(after))
            .unwrap();
    };
    sweep(0);
    // Five minutes, and as long as the playlist lasts.
    sweep(304);
    assert!(site.has("cam/a.ts"));
    sweep(305);
    assert!(!site.has("cam/a.ts") && site.has("cam/b.ts") && site.has("cam/v/c.ts"));
    assert!(
        site.has("cam/early.ts"),
        "it came a moment ago: a playlist may follow"
    );
    assert_eq!(site.stream().lock().media, 3);
}

#[test]
fn what_a_playlist_listed_that_was_removed_goes_too() {
    let site = Site::new();
    site.put("a.ts", "a").unwrap();
    site.put("x.m3u8", &format!("{}{ENDLIST}\n", media(&["a.ts"])))
        .unwrap();
    site.age("cam/a.ts", 1000);
    let begun = Instant::now();
    let sweep = |after: u64| {
        let now = begun + Duration::from_secs(after);
        site.stream().sweep(now).unwrap();
    };
    sweep(2000);
    assert!(site.has("cam/a.ts"), "it has ended, and can be played");
    fs::remove_file(site.streams.path().join("cam.m3u8")).unwrap();
    for after in [2030, 2331, 2332] {
        sweep(after);
    }
    assert!(!site.has("cam"));
    // It may come again.
    site.put("a.ts", "a").unwrap();
    site.put("x.m3u8", &format!("{}{ENDLIST}\n", media(&["a.ts"])))
        .unwrap();
    assert!(site.has("cam.m3u8"));
}

#[test]
fn a_multivariant_stream_ends_with_its_variants() {
    let site = Site::new();
    site.put("v0/a.ts", "a").unwrap();
    site.put("v0/x.m3u8", &media(&["a.ts"])).unwrap();
    assert!(!site.has("cam/v0/x.m3u8"));
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv0/x.m3u8\n";
    assert!(site.put("m.m3u8", master).unwrap());
    assert!(site.text("cam.m3u8").unwrap().contains("\ncam/v0/x.m3u8\n"));
    assert_eq!(site.text("cam/v0/x.m3u8").unwrap(), media(&["a.ts"]));
    assert!(site.delete("m.m3u8"));
    assert!(site.text("cam/v0/x.m3u8").unwrap().contains(ENDLIST));
    assert!(!site.text("cam.m3u8").unwrap().contains(ENDLIST));
    site.age("cam.m3u8", 31);
    site.stream().sweep(Instant::now()).unwrap();
    assert!(!site.has("cam.m3u8") && !site.has("cam/v0/x.m3u8"));
}

#[test]
fn the_stream_of_another_source_is_left_alone() {
    let site = Site::new();
    fs::write(site.streams.path().join("cam.m3u8"), "theirs").unwrap();
    assert!(matches!(site.put("a.ts", "x"), Err(Refusal::Taken)));
    assert!(matches!(
        site.put("x.m3u8", &media(&["a.ts"])),
        Err(Refusal::Taken)
    ));
    assert_eq!(site.text("cam.m3u8").as_deref(), Some("theirs"));
    // Its playlist may be called otherwise.
    let path = MediaPath::parse("a.ts").unwrap();
    let other = site.ingest.stream(&site.app, "other").unwrap();
    assert!(matches!(other.begin(&path, true), Err(Refusal::Taken)));
    assert!(other.begin(&path, false).is_ok());
    assert!(other.begin(&path, true).is_ok(), "it is ours, and live");
}

#[test]
fn a_folder_that_is_not_there_is_not_made() {
    let mut site = Site::new();
    site.app.streams_dir = site.streams.path().join("absent");
    assert!(matches!(site.put("a.ts", "x"), Err(Refusal::NoFolder)));
    site.restart();
    site.app.owns_streams_dir = true;
    assert!(site.put("a.ts", "x").is_ok());
}
