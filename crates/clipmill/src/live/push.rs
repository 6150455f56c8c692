//! A recorder for those who have the segments themselves: a small driver of [`Recorder`] that blocks.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use clipmill_media::Limits;
use clipmill_playlist::{ByteRange, Location, Segment};
use tempfile::TempDir;

use super::{
    Action, ClipId, Command, CutJob, Event, Failure, Fetch, FetchFrom, Indexed, Listed, Listing,
    Moment, Purpose, Recorder, Refusal, SegmentId, Settings, Timeouts, Version, Window,
};
use crate::clip::Clip;
use crate::clip_reader::ClipReader;
use crate::cut::Cut;
use crate::error::{ClipError, SegmentError};
use crate::indexer::Indexer;
use crate::render::Format;
use crate::source::{SegmentSource, SourceError, part};

/// Where a pushed segment is.
#[derive(Debug, Clone)]
enum Data {
    Bytes(Bytes),
    File(PathBuf),
}

/// A segment that is pushed: MPEG-TS, fragmented MP4 or packed audio.
#[derive(Debug, Clone)]
pub struct Pushed {
    data: Data,
    duration: Duration,
    start_time: Option<DateTime<Utc>>,
    discontinuity: bool,
    init: Option<Bytes>,
}

impl Pushed {
    fn new(data: Data, duration: Duration) -> Self {
        Self {
            data,
            duration,
            start_time: None,
            discontinuity: false,
            init: None,
        }
    }

    /// The bytes of a segment, and how long it is (`EXTINF`).
    pub fn bytes(bytes: impl Into<Bytes>, duration: Duration) -> Self {
        Self::new(Data::Bytes(bytes.into()), duration)
    }

    /// A file that holds a segment, and how long that is. It is read when it is pushed, and may go
    /// then.
    pub fn file(path: impl Into<PathBuf>, duration: Duration) -> Self {
        Self::new(Data::File(path.into()), duration)
    }

    /// When it begins (`EXT-X-PROGRAM-DATE-TIME`); by its arrival without this.
    #[must_use]
    pub fn at(mut self, start_time: DateTime<Utc>) -> Self {
        self.start_time = Some(start_time);
        self
    }

    /// Its timestamps do not go on where the segment before ended (`EXT-X-DISCONTINUITY`).
    #[must_use]
    pub fn after_discontinuity(mut self) -> Self {
        self.discontinuity = true;
        self
    }

    /// What has to be known to read it (`EXT-X-MAP`): the `moov` of fragmented MP4.
    #[must_use]
    pub fn with_init(mut self, init: impl Into<Bytes>) -> Self {
        self.init = Some(init.into());
        self
    }
}

/// Records the segments that are pushed: gives periodic clips, and any window that is at hand.
///
/// Nothing outlives it: whoever has to go on after a crash drives a [`Recorder`].
#[derive(Debug)]
pub struct Live {
    recorder: Recorder,
    indexer: Indexer,
    begun: Instant,
    folder: Option<Arc<TempDir>>,
    /// The segment that is pushed.
    pushed: Option<Pushed>,
    error: Option<SegmentError>,
    /// What is at hand, by the name that timelines call it.
    kept: HashMap<SegmentId, Arc<Kept>>,
    periodic: Vec<LiveClip>,
    asked: Option<Result<LiveClip, Refusal>>,
    sequence: u64,
}

impl Live {
    /// Keeps segments in memory.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        // Whoever pushes says when the stream is over.
        let settings = Settings {
            timeouts: Timeouts {
                silence: Duration::MAX,
                ..settings.timeouts
            },
            ..settings
        };
        Self {
            recorder: Recorder::new(settings),
            indexer: Indexer::new(None, &Limits::default()),
            begun: Instant::now(),
            folder: None,
            pushed: None,
            error: None,
            kept: HashMap::new(),
            periodic: Vec::new(),
            asked: None,
            sequence: 0,
        }
    }

    /// Keeps segments in a folder of its own below `parent`, which goes with the last clip that needs
    /// it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn in_folder(settings: Settings, parent: &Path) -> io::Result<Self> {
        Ok(Self {
            folder: Some(Arc::new(tempfile::tempdir_in(parent)?)),
            ..Self::new(settings)
        })
    }

    /// The next segment of the stream is there.
    ///
    /// # Errors
    /// When it cannot be read, indexed or kept: it is missing from the clips then, and recording goes
    /// on.
    pub fn push(&mut self, segment: Pushed) -> Result<(), SegmentError> {
        let mut one = Segment::default();
        one.uri = self.sequence.to_string();
        one.sequence = self.sequence;
        one.duration = segment.duration;
        one.start_time = segment.start_time;
        one.discontinuity = segment.discontinuity;
        let version = Some(Version {
            tag: self.sequence,
            len: 0,
        });
        self.sequence += 1;
        let target = segment.duration;
        self.pushed = Some(segment);
        self.tell(Event::Playlist(Listing {
            playlist: "pushed".into(),
            segments: vec![Listed {
                segment: one,
                version,
            }],
            target,
            ended: false,
            age: Duration::ZERO,
        }));
        self.pushed = None;
        self.error.take().map_or(Ok(()), Err)
    }

    /// The periodic clips that were finished since this was asked last.
    pub fn take_clips(&mut self) -> Vec<LiveClip> {
        std::mem::take(&mut self.periodic)
    }

    /// A clip of what is at hand. It moves no boundary. `None` when there is no media in the window.
    ///
    /// # Errors
    /// When the window cannot be had, and why.
    pub fn clip(&mut self, window: Window, cut: Cut) -> Result<Option<LiveClip>, Refusal> {
        let clip = ClipId(self.sequence);
        self.tell(Event::Command(Command::Clip { clip, window, cut }));
        // What is still to come is not waited for.
        self.tell(Event::Command(Command::Stop(clip)));
        self.asked.take().transpose()
    }

    /// Periodic clips from now on of this interval; `None`: no more.
    pub fn set_periodic(&mut self, interval: Option<Duration>) {
        let command = interval.map_or(Command::NoPeriodic, Command::Periodic);
        self.tell(Event::Command(command));
    }

    /// The stream is over: the last periodic clip is made of the remainder. More segments begin
    /// another session.
    pub fn end(&mut self) {
        self.tell(Event::Command(Command::End));
    }

    /// The machine that does it.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    fn tell(&mut self, event: Event) {
        self.recorder.handle(event, now(self.begun));
        while let Some(action) = self.recorder.next_action() {
            let answer = match action {
                Action::Fetch(fetch) => Some(self.fetch(&fetch)),
                Action::Keep(keep) => Some(Event::Done(keep.action)),
                Action::Release { action, segment } => {
                    self.kept.remove(&segment);
                    Some(Event::Done(action))
                }
                Action::Cut(job) => Some(self.cut(*job)),
                Action::Persist { action, .. } => Some(Event::Done(action)),
                Action::Refuse { reason, .. } => {
                    self.asked = Some(Err(reason));
                    None
                }
                _ => None,
            };
            if let Some(answer) = answer {
                self.recorder.handle(answer, now(self.begun));
            }
        }
    }

    fn fetch(&mut self, fetch: &Fetch) -> Event {
        match self.read(fetch) {
            Ok(indexed) => Event::Indexed(Box::new(indexed)),
            Err(error) => {
                self.error = Some(error);
                Event::Unavailable {
                    segment: fetch.segment,
                    may_come: false,
                }
            }
        }
    }

    /// Keeps and indexes the segment that is pushed.
    fn read(&mut self, fetch: &Fetch) -> Result<Indexed, SegmentError> {
        let FetchFrom::Listed(listed) = &fetch.from else {
            return Err(not_found(&fetch.segment));
        };
        let pushed = self.pushed.take();
        let pushed = pushed.ok_or_else(|| not_found(&fetch.segment))?;
        let failed = |path: &Path| {
            let location = path.display().to_string();
            move |error| SegmentError::from(SourceError::Io { location, error })
        };
        let bytes = match pushed.data {
            Data::Bytes(bytes) => bytes,
            Data::File(path) => fs::read(&path).map_err(failed(&path))?.into(),
        };
        if !fetch.continues {
            self.indexer.discontinuity();
        }
        if let Some(init) = &pushed.init {
            self.indexer.init(init)?;
        }
        let index = Arc::new(self.indexer.index(&bytes)?);
        let name = PathBuf::from(fetch.segment.0.to_string());
        let (path, kept) = match &self.folder {
            None => (name, Kept::Bytes(bytes)),
            Some(folder) => {
                let path = folder.path().join(name);
                fs::write(&path, &bytes).map_err(failed(&path))?;
                (path.clone(), Kept::File(path, Arc::clone(folder)))
            }
        };
        self.kept.insert(fetch.segment, Arc::new(kept));
        Ok(Indexed {
            segment: fetch.segment,
            index,
            location: Location::File(path),
            byte_range: None,
            key: None,
            version: listed.version,
            written: None,
        })
    }

    fn cut(&mut self, job: CutJob) -> Event {
        let Some(clip) = Clip::new(&job.timeline, job.bounds, job.cut) else {
            return Event::Failed(job.action, Failure::Nothing);
        };
        let wanted = clip
            .segments()
            .iter()
            .filter_map(|one| match &one.info.location {
                Location::File(path) => Some(path.clone()),
                Location::Url(_) => None,
            });
        let held = wanted.filter_map(|path| {
            let number = path.file_name()?.to_str()?.parse().ok()?;
            Some((path, Arc::clone(self.kept.get(&SegmentId(number))?)))
        });
        let made = LiveClip {
            source: KeptSource(held.collect()),
            clip,
        };
        match job.purpose {
            Purpose::Periodic { .. } => self.periodic.push(made),
            Purpose::OnDemand { .. } => self.asked = Some(Ok(made)),
        }
        Event::Done(job.action)
    }
}

fn now(begun: Instant) -> Moment {
    Moment {
        elapsed: begun.elapsed(),
        wall: Utc::now(),
    }
}

fn not_found(segment: &SegmentId) -> SegmentError {
    let location = format!("segment {}", segment.0);
    SourceError::NotFound { location }.into()
}

/// A clip with all that it takes to write it.
#[derive(Debug, Clone)]
pub struct LiveClip {
    clip: Clip,
    source: KeptSource,
}

impl LiveClip {
    /// What is known of it.
    #[must_use]
    pub fn clip(&self) -> &Clip {
        &self.clip
    }

    /// Its bytes, to be read as they are wanted.
    ///
    /// # Errors
    /// When its samples do not fit an MP4.
    pub fn reader(
        &self,
        format: Format,
    ) -> Result<ClipReader<impl SegmentSource + use<>>, ClipError> {
        Ok(ClipReader::new(
            self.clip.layout(format)?,
            self.source.clone(),
        ))
    }

    /// Writes it as an MP4 file: whole or not at all.
    ///
    /// # Errors
    /// When its samples do not fit an MP4, or it cannot be written.
    pub fn write_to_path(&self, path: impl AsRef<Path>) -> Result<(), ClipError> {
        let layout = self.clip.layout(Format::Mp4)?;
        layout.write_to_path(&self.source, path.as_ref(), &mut |_| {
            ControlFlow::Continue(())
        })
    }
}

/// A segment that is kept. A file goes with the last one who needs it.
#[derive(Debug)]
enum Kept {
    Bytes(Bytes),
    /// In that folder.
    File(
        PathBuf,
        #[expect(dead_code, reason = "it is there to be dropped")] Arc<TempDir>,
    ),
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Self::File(path, _) = self {
            // The folder goes too, some time.
            let _ = fs::remove_file(path);
        }
    }
}

/// Reads what is kept.
#[derive(Debug, Clone)]
struct KeptSource(HashMap<PathBuf, Arc<Kept>>);

impl SegmentSource for KeptSource {
    fn read(
        &self,
        location: &Location,
        range: Option<ByteRange>,
        max_bytes: u64,
    ) -> Result<Bytes, SourceError> {
        let name = location.to_string();
        let kept = match location {
            Location::File(path) => self.0.get(path),
            Location::Url(_) => None,
        };
        let bytes = match kept.map(Arc::as_ref) {
            Some(Kept::Bytes(bytes)) => bytes.clone(),
            Some(Kept::File(path, _)) => fs::read(path)
                .map_err(|error| SourceError::Io {
                    location: name.clone(),
                    error,
                })?
                .into(),
            None => return Err(SourceError::NotFound { location: name }),
        };
        part(&bytes, range, max_bytes, || name.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const SEGMENT: Duration = Duration::from_secs(2);

    fn demo(number: usize) -> PathBuf {
        let name = format!("../../fixtures/demo/seg{number:02}.ts");
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    fn settings() -> Settings {
        Settings {
            periodic: Some(Duration::from_secs(5)),
            window: Some(Duration::from_secs(60)),
            ..Settings::default()
        }
    }

    #[test]
    fn what_is_pushed_is_in_one_periodic_clip_each() {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = Live::in_folder(settings(), folder.path()).unwrap();
        let mut written = Vec::new();
        for mut live in [Live::new(settings()), in_folder] {
            for number in 0..10 {
                let segment = match number % 2 {
                    0 => Pushed::file(demo(number), SEGMENT),
                    _ => Pushed::bytes(fs::read(demo(number)).unwrap(), SEGMENT),
                };
                live.push(segment).unwrap();
            }
            live.end();
            let clips = live.take_clips();
            // Clips can be written though nothing is recorded any more.
            drop(live);
            let pictures = clips.iter().map(|clip| clip.clip().tracks[0].samples);
            assert_eq!(pictures.sum::<u64>(), 500);
            assert_eq!(clips.len(), 4);
            let bytes = clips.iter().map(|clip| {
                let mut bytes = Vec::new();
                let mut reader = clip.reader(Format::Mp4).unwrap();
                reader.read_to_end(&mut bytes).unwrap();
                bytes
            });
            written.push(bytes.collect::<Vec<_>>());
            // But for when the clip was made, which is by the arrival of its segments.
            let lengths = written.last().unwrap().iter().map(Vec::len);
            assert!(lengths.min() > Some(10_000));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn any_window_that_is_at_hand() {
        let mut live = Live::new(Settings {
            periodic: None,
            ..settings()
        });
        let asked = live.clip(Window::Last(SEGMENT), Cut::Exact);
        assert_eq!(asked.map(drop), Err(Refusal::NoMedia));
        let start: DateTime<Utc> = "2026-11-22T14:00:00Z".parse().unwrap();
        for number in 0..10 {
            let at = start + SEGMENT * u32::try_from(number).unwrap();
            live.push(Pushed::file(demo(number), SEGMENT).at(at))
                .unwrap();
        }
        let second = |number| start + Duration::from_secs(number);
        let window = Window::Range {
            from: second(3),
            to: second(7),
        };
        let clip = live.clip(window, Cut::Exact).unwrap().unwrap();
        assert_eq!(clip.clip().duration_ms, 4000);
        assert_eq!(clip.clip().start_time, Some(second(3)));
        // What is yet to come is not waited for.
        let window = Window::Range {
            from: second(18),
            to: second(70),
        };
        let clip = live.clip(window, Cut::Exact).unwrap().unwrap();
        // The sound is a little longer than the pictures.
        assert!((2000..2050).contains(&clip.clip().duration_ms));
        assert!(live.take_clips().is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_missing() {
        let mut live = Live::new(settings());
        for number in 0..10 {
            let pushed = match number {
                4 => live.push(Pushed::bytes(&b"nothing of the kind"[..], SEGMENT)),
                5 => live.push(Pushed::file("is not there", SEGMENT)),
                _ => live.push(Pushed::file(demo(number), SEGMENT)),
            };
            assert_eq!(pushed.is_err(), (4..6).contains(&number), "{number}");
        }
        live.end();
        let clips = live.take_clips();
        let pictures = clips.iter().map(|clip| clip.clip().tracks[0].samples);
        assert_eq!(pictures.sum::<u64>(), 400);
        let gaps = clips.iter().map(|clip| clip.clip().gaps.len());
        assert_eq!(gaps.sum::<usize>(), 1);
    }
}
