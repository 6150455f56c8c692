use std::cell::RefCell;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use clipmill::{Language, Location, TrackKind};
use clipmill_playlist::{Playlist, PlaylistLimits};

use super::*;
use crate::catalog::SledCatalog;
use crate::config::AppSettings;
use crate::recorder::indexes::Indexes;
use crate::recorder::shared::Troubles;
use crate::recorder::virtual_clip::VirtualClips;
use crate::schedule::Pool;
use crate::scripts::Scripts;
use crate::spool::Spool;
use crate::storage::LocalStore;

fn shared(data: &Path) -> Arc<Shared> {
    Arc::new(Shared {
        runtime: tokio::runtime::Handle::current(),
        pool: Pool::new(2).unwrap(),
        spool: Arc::new(Spool::open(data, u64::MAX).unwrap()),
        catalog: Arc::new(SledCatalog::open(data).unwrap().catalog),
        store: Arc::new(LocalStore::default()),
        troubles: Troubles::default(),
        draining: AtomicBool::new(false),
        making: AtomicUsize::new(0),
        virtual_clips: VirtualClips::default(),
        indexes: Indexes::default(),
        scripts: Scripts::start().unwrap(),
    })
}

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
        place.root.join("cam.m3u8"),
        None,
        Duration::from_secs(2),
    );
    let sound = place.root.join("sound.m3u8");
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
    std::fs::copy(&demo, place.root.join("sound0.ts")).unwrap();
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
    assert!(arrived.held.holding.is_some());
}
