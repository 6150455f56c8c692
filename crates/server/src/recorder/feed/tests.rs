use std::cell::RefCell;
use std::fs::File;
use std::sync::Mutex;

use clipmill::live::SegmentFiles;
use clipmill::source::MemorySource;
use clipmill::{Language, SegmentReader, SegmentSource, TrackKind};
use clipmill_playlist::{Playlist, PlaylistLimits};

use super::*;
use crate::config::AppSettings;
use crate::recorder::intake::{Intake, Look};
use crate::recorder::testing::shared;
use crate::sources::Listing;
use crate::sources::playlists::Serving;

/// The segments of a playlist that lists these files.
fn listed(names: &[&str]) -> Vec<Segment> {
    match Playlist::parse(playlist(names).as_bytes(), &PlaylistLimits::default()) {
        Ok(Playlist::Media(media)) => media.segments,
        other => panic!("{other:?}"),
    }
}

fn playlist(names: &[&str]) -> String {
    let segments = names.iter().map(|name| format!("#EXTINF:2,\n{name}\n"));
    let segments: String = segments.collect();
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{segments}")
}

#[tokio::test]
async fn pictures_are_read_once_however_late_their_sound_is() {
    let folder = tempfile::tempdir().unwrap();
    let (streams, data) = (folder.path().join("streams"), folder.path().join("data"));
    std::fs::create_dir(&streams).unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo/seg00.ts");
    let pictures = streams.join("cam0.ts");
    std::fs::copy(&demo, &pictures).unwrap();
    let mut settings = AppSettings::new("live", &streams);
    settings.segment_patience = Duration::from_secs(3600);
    let (app, shared) = (App::new(Arc::new(settings)), shared(&data));
    let came = RefCell::new(Vec::new());
    let tell = |one| came.borrow_mut().push(one);
    let place = Place::new(&app, &shared, "cam", &tell);
    let mut feed = Feed::new(
        "0-0".to_owned(),
        shared.spool.session("live", "cam", "0-0"),
        app.root().join("cam.m3u8").into(),
        None,
        Duration::from_secs(2),
    );
    let sound = app.root().join("sound.m3u8");
    feed.add_sound(&[AudioRendition {
        playlist: Location::File(sound.clone()),
        name: "any".to_owned(),
        language: Language::UNDETERMINED,
        default: true,
    }]);
    let (mut taken, segments) = (Taken::default(), listed(&["cam0.ts"]));
    feed.lists(&taken, 0);
    let mut take = || {
        let length = segments[0].duration;
        feed.take(&mut taken, &segments[0], false, length, &place)
    };
    assert_eq!(take(), Took::Later(LATE));
    // What lies there now cannot be told from what was read, but by reading it.
    let metadata = pictures.metadata().unwrap();
    let rubbish = vec![0; usize::try_from(metadata.len()).unwrap()];
    std::fs::write(&pictures, rubbish).unwrap();
    let file = File::options().write(true).open(&pictures).unwrap();
    file.set_modified(metadata.modified().unwrap()).unwrap();
    assert_eq!(take(), Took::Later(LATE));
    std::fs::copy(&demo, app.root().join("sound0.ts")).unwrap();
    let text = playlist(&["sound0.ts"]) + "#EXT-X-ENDLIST\n";
    std::fs::write(&sound, text).unwrap();
    assert_eq!(take(), Took::Done);
    let came = came.take();
    let [Came::Segment(arrived)] = came.as_slice() else {
        panic!("{came:?}");
    };
    let mut video = arrived.index.tracks.iter();
    let video = video
        .find(|track| track.kind() == TrackKind::Video)
        .unwrap();
    assert_eq!(video.samples().len(), 50);
    assert_eq!(arrived.label.sequence, 0);
    assert!(arrived.file.holding.is_some());
}

/// Streams that come from nowhere on this disk: what was fetched lies in a folder.
struct Elsewhere {
    playlist: Location,
    lists: Mutex<String>,
    media: Mutex<MemorySource>,
    fetched: tempfile::TempDir,
}

impl StreamSource for Elsewhere {
    fn serving(&self, _: &str, _: Option<&Location>) -> Option<Serving> {
        Some(Serving {
            playlist: self.playlist.clone(),
            sub_folder: None,
            sound: Vec::new(),
        })
    }

    fn is_of_another(&self, _: &Location, _: &str) -> bool {
        false
    }

    fn is_there(&self, _: &Location) -> bool {
        true
    }

    fn list(&self, playlist: &Location) -> Listing {
        assert_eq!(*playlist, self.playlist);
        let text = self.lists.lock().unwrap();
        match Playlist::parse(text.as_bytes(), &PlaylistLimits::default()) {
            Ok(Playlist::Media(media)) => Listing::Media {
                playlist: Box::new(media),
                age: Duration::ZERO,
            },
            _ => Listing::Unclear,
        }
    }

    fn files<'a>(&'a self, _: &'a Location) -> Box<dyn SegmentFiles + 'a> {
        Box::new(Numbered)
    }

    fn fetch(
        &self,
        playlist: &Location,
        segment: &Segment,
        _: bool,
        _: Option<Fetched>,
        reader: &mut SegmentReader,
    ) -> Result<Fetched, NotFetched> {
        let media = self.media.lock().unwrap().clone();
        let read = reader.read(&media, segment, playlist);
        let read = read.map_err(|error| NotFetched::Missing(error.to_string(), LATE))?;
        let path = self.fetched.path().join(segment.sequence.to_string());
        std::fs::write(&path, &read.bytes).unwrap();
        Ok(Fetched {
            mark: FileMark::of(&path.metadata().unwrap()),
            path,
            read,
            version: Numbered.version(segment),
            whole_file: true,
            composed: false,
        })
    }

    fn file(&self, _: &Location, _: &Segment) -> Option<PathBuf> {
        None
    }

    fn anywhere(&self) -> Box<dyn SegmentSource> {
        Box::new(self.media.lock().unwrap().clone())
    }
}

/// Of segments that are never written anew.
struct Numbered;

impl SegmentFiles for Numbered {
    fn version(&mut self, segment: &Segment) -> Option<Version> {
        Some(Version {
            tag: segment.sequence,
            len: 1,
        })
    }

    fn head(&mut self, _: &Segment) -> Option<u64> {
        None
    }
}

#[tokio::test]
async fn a_stream_that_is_in_no_folder_is_taken_in_too() {
    let data = tempfile::tempdir().unwrap();
    let mut settings = AppSettings::new("live", &data.path().join("no streams"));
    settings.segment_patience = Duration::from_secs(3600);
    let (app, shared) = (App::new(Arc::new(settings)), shared(data.path()));
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo");
    let origin = "http://origin.example/live/";
    let segment = |number: usize| {
        let bytes = std::fs::read(demo.join(format!("seg{number:02}.ts"))).unwrap();
        (format!("{origin}{number}.ts"), bytes)
    };
    let with = |source: MemorySource, number| {
        let (name, bytes) = segment(number);
        source.with(name.as_str(), bytes)
    };
    let elsewhere = Elsewhere {
        playlist: Location::from(format!("{origin}cam.m3u8").as_str()),
        lists: Mutex::new(playlist(&["0.ts", "1.ts"])),
        media: Mutex::new(with(with(MemorySource::new(), 0), 1)),
        fetched: tempfile::tempdir().unwrap(),
    };
    // A third segment is listed before it is there.
    let late = with(elsewhere.media.lock().unwrap().clone(), 2);
    let looks = tokio::task::spawn_blocking(move || {
        let came = RefCell::new(Vec::new());
        let tell = |one| came.borrow_mut().push(one);
        let place = Place {
            source: &elsewhere,
            ..Place::new(&app, &shared, "cam", &tell)
        };
        let mut intake = Intake::default();
        let first = intake.look(&place);
        *elsewhere.lists.lock().unwrap() = playlist(&["0.ts", "1.ts", "2.ts"]);
        let second = intake.look(&place);
        *elsewhere.media.lock().unwrap() = late;
        let third = intake.look(&place);
        *elsewhere.lists.lock().unwrap() += "#EXT-X-ENDLIST\n";
        let last = intake.look(&place);
        let came: Vec<_> = came
            .take()
            .into_iter()
            .map(|one| match one {
                Came::Began(begun) => format!("{} begins", begun.playlist),
                Came::Segment(arrived) => arrived.label.sequence.to_string(),
                Came::Ended => "ends".to_owned(),
                other => panic!("{other:?}"),
            })
            .collect();
        ([first, second, third, last], came)
    });
    let (looks, came) = looks.await.unwrap();
    assert_eq!(
        looks,
        [Look::Done, Look::Again(LATE), Look::Done, Look::Done]
    );
    let begins = format!("{origin}cam.m3u8 begins");
    assert_eq!(came, [begins.as_str(), "0", "1", "2", "ends"]);
}
