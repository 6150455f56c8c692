//! The real binary, and what it made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clipmill_tests::server::{self, PATIENCE, Receiver, Setup};
use clipmill_tests::{es, mp4, ts};
use serde_json::Value;

/// Segments that a server may be behind a producer that keeps only so many: fewer than any window.
const BEHIND: u64 = 2;

/// A server in a folder of its own.
pub(crate) struct Server {
    pub(crate) folder: tempfile::TempDir,
    /// Where clips go; beside the playlists by default.
    pub(crate) clips: PathBuf,
    top: String,
    /// What runs it: a program and its arguments, or nothing.
    under: Vec<String>,
    settings: String,
    process: Option<server::Server>,
    hooks: Receiver,
    /// Segments that were played to this process.
    played: AtomicU64,
}

/// A clip and its entry.
#[derive(Debug, Clone)]
pub(crate) struct MadeClip {
    pub(crate) vod: Value,
    /// Each picture: its NAL units that carry content.
    pub(crate) video: Vec<Vec<Vec<u8>>>,
    /// Each frame of sound.
    pub(crate) audio: Vec<Vec<u8>>,
}

impl Server {
    /// Starts a server on the app `live`. `settings` are further lines of its table.
    pub(crate) fn start(settings: &str) -> Self {
        Self::start_with("", settings).once_ready()
    }

    /// The same, with lines at the top level too.
    pub(crate) fn start_with(top: &str, settings: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), top, settings)
    }

    /// As [`start`](Self::start), run by another program.
    pub(crate) fn start_under(under: Vec<String>, settings: &str) -> Self {
        Self::launch(tempfile::tempdir().unwrap(), under, "", settings)
    }

    /// As [`start`](Self::start), in a folder that is there already.
    pub(crate) fn start_in(folder: tempfile::TempDir, top: &str, settings: &str) -> Self {
        Self::launch(folder, Vec::new(), top, settings)
    }

    fn launch(folder: tempfile::TempDir, under: Vec<String>, top: &str, settings: &str) -> Self {
        let hooks = Receiver::new(Vec::new(), None);
        let mut server = Self {
            clips: folder.path().join("streams"),
            top: top.to_owned(),
            settings: hooks.told_by(settings),
            folder,
            under,
            process: None,
            hooks,
            played: AtomicU64::new(0),
        };
        server.run();
        server
    }

    pub(crate) fn streams(&self) -> PathBuf {
        self.folder.path().join("streams")
    }

    /// Starts the process, again if need be, and waits until it is ready.
    pub(crate) fn run(&mut self) {
        let setup = Setup {
            top: &self.top,
            app: &self.settings,
            under: &self.under,
            ..Setup::default()
        };
        self.process = Some(server::Server::launch(self.folder.path(), &setup));
    }

    /// As the power supply would.
    pub(crate) fn kill(&mut self) {
        self.played.store(0, Ordering::Relaxed);
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// As a service manager would.
    pub(crate) fn stop(&mut self) {
        let Some(process) = self.process.take() else {
            return;
        };
        self.played.store(0, Ordering::Relaxed);
        assert_eq!(process.stop(), Some(0), "{}", self.log());
    }

    /// What the process has open, as the system names it.
    pub(crate) fn open_files(&self) -> Vec<String> {
        let all = fs::read_dir(format!("/proc/{}/fd", self.id()))
            .unwrap()
            .flatten();
        all.filter_map(|entry| fs::read_link(entry.path()).ok())
            .map(|path| path.to_string_lossy().into_owned())
            .collect()
    }

    /// A number that is counted, added up over all labels.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        let (_, text) = self.get("/metrics").unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(name));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        values.sum()
    }

    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub(crate) fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            if begun.elapsed() > PATIENCE {
                panic!("never {what}\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `None` when there is no answer.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, Vec<u8>)> {
        self.ask("GET", path)
    }

    /// A connection that is given up after a while.
    pub(crate) fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.process().address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.process().address
    }

    fn process(&self) -> &server::Server {
        self.process.as_ref().unwrap()
    }

    /// The same, and waits until it can do its work.
    pub(crate) fn once_ready(self) -> Self {
        self.wait_until_ready();
        self
    }

    pub(crate) fn wait_until_ready(&self) {
        self.wait("ready", || matches!(self.get("/readyz"), Some((200, _))));
    }

    /// A call with a body.
    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> server::Answer {
        self.process().send(method, path, &[], body)
    }

    /// Changes its settings and has it read them.
    pub(crate) fn reconfigure(&self, settings: &str) {
        self.process().reconfigure(&self.hooks.told_by(settings));
    }

    /// `None` when there is no answer.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Option<(u16, Vec<u8>)> {
        let answer = self.process.as_ref()?.try_send(method, path)?;
        Some((answer.status, answer.body))
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).unwrap_or_else(|| panic!("{}", self.log()));
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// All entries, in the order of what they show.
    pub(crate) fn vods(&self) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let page = self.json(&format!("/live/rest/v2/vods/list/{}/50", all.len()));
            let page = page.as_array().unwrap().clone();
            let more = page.len() == 50;
            all.extend(page);
            if !more {
                break;
            }
        }
        all.sort_by_key(|vod| vod["startTime"].as_i64());
        all
    }

    /// All clips of a stream, in the order of what they show, read from the disk; each must be
    /// sound.
    pub(crate) fn clips(&self, stream: &str) -> Vec<MadeClip> {
        let all = self.vods().into_iter();
        all.filter(|vod| vod["streamId"] == stream)
            .map(|vod| {
                let path = self.path_of(&vod);
                let file = fs::read(&path).unwrap_or_else(|error| {
                    panic!("{}: {error}\n{}", path.display(), self.log());
                });
                assert_eq!(vod["fileSize"].as_i64(), Some(file.len() as i64));
                read_clip(&file, vod)
            })
            .collect()
    }

    /// Every entry has its file, every file its entry, every webhook came, and nothing is left of
    /// clips that were never finished.
    pub(crate) fn assert_all_or_nothing(&self) {
        let entries: BTreeMap<String, ()> = self
            .vods()
            .iter()
            .map(|vod| (vod["vodName"].as_str().unwrap().to_owned(), ()))
            .collect();
        let (mut files, mut records) = (BTreeSet::new(), BTreeSet::new());
        for name in names(&self.clips) {
            assert!(!name.starts_with('.'), "{name} is left");
            // Clips have names of 24 characters; others may lie there too.
            if name.strip_suffix(".mp4").is_some_and(|id| id.len() == 24) {
                files.insert(name);
            } else if let Some(id) = name.strip_suffix(".json").filter(|id| id.len() == 24) {
                records.insert(format!("{id}.mp4"));
            }
        }
        assert_eq!(files, records, "{}", self.log());
        let entries: BTreeSet<String> = entries.into_keys().collect();
        assert_eq!(entries, files, "{}", self.log());
        let told = || {
            let ready = self.hooks.seen_of("vodReady").into_iter();
            let ids = ready.map(|hook| format!("{}.mp4", hook.json()["vodId"].as_str().unwrap()));
            ids.collect::<BTreeSet<_>>()
        };
        self.wait("told of every clip", || told() == entries);
    }

    /// The file of a clip.
    pub(crate) fn path_of(&self, vod: &Value) -> PathBuf {
        let path = vod["filePath"].as_str().unwrap();
        self.clips.join(path.strip_prefix("streams/").unwrap())
    }

    /// How often a webhook of this kind came for a stream.
    pub(crate) fn told(&self, stream: &str, action: &str) -> usize {
        let of_kind = self.hooks.seen_of(action).into_iter();
        of_kind.filter(|hook| hook.json()["id"] == stream).count()
    }

    pub(crate) fn status(&self, stream: &str) -> Value {
        self.json(&format!("/live/rest/v2/broadcasts/{stream}"))["status"].clone()
    }

    /// Waits until so many segments were taken in since the process began.
    pub(crate) fn wait_for_segments(&self, count: u64) {
        self.wait("taken in", || {
            self.counted("clipmill_segments_indexed_total") >= count
        });
    }

    /// Waits until a segment can be published without another one being deleted that was not taken in
    /// yet: media runs faster here than any machine must be.
    pub(crate) fn keep_up(&self) {
        let played = self.played.fetch_add(1, Ordering::Relaxed);
        if self.process.is_some() {
            self.wait_for_segments(played.saturating_sub(BEHIND));
        }
    }

    /// Its process, while it runs.
    pub(crate) fn id(&self) -> u32 {
        self.process().id()
    }

    /// The number of the newest segment that is kept, of any stream.
    pub(crate) fn newest_kept(data: &Path) -> Option<u64> {
        let entries = fs::read_dir(data).ok()?.flatten();
        let numbers = entries.filter_map(|entry| match entry.path() {
            path if path.is_dir() => Self::newest_kept(&path),
            path if path.extension().is_some_and(|suffix| suffix == "seg") => {
                path.file_name()?.to_str()?.get(..20)?.parse().ok()
            }
            _ => None,
        });
        numbers.max()
    }

    /// Segments that are kept for clips to come.
    pub(crate) fn kept(&self) -> usize {
        self.segments_in("spool")
    }

    /// Segments in a folder of the data folder.
    pub(crate) fn segments_in(&self, folder: &str) -> usize {
        fn count(folder: &Path) -> usize {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.path() {
                    path if path.is_dir() => count(&path),
                    path => usize::from(path.extension().is_some_and(|e| e == "seg")),
                })
                .sum()
        }
        count(&self.folder.path().join("data").join(folder))
    }
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

pub(crate) fn read_clip(file: &[u8], vod: Value) -> MadeClip {
    let movie = mp4::read(file).unwrap();
    let faults = movie.faults(file);
    assert!(faults.is_empty(), "{faults:?}");
    let mut clip = MadeClip {
        vod,
        video: Vec::new(),
        audio: Vec::new(),
    };
    for track in &movie.tracks {
        for sample in 0..track.samples.len() {
            let data = track.data(file, sample);
            if track.is_video() {
                let units = es::length_prefixed(data).unwrap();
                let content = units
                    .into_iter()
                    .filter(|unit| es::is_content(ts::Kind::H264, unit));
                clip.video.push(content.map(<[u8]>::to_vec).collect());
            } else {
                clip.audio.push(data.to_vec());
            }
        }
    }
    clip
}
