//! A live stream made from bundled media, for those who want to see clips before they have a
//! media server.
//!
//! Ten segments of two seconds are played over and over as an encoder would write them: at the pace
//! of the clock, a window of a few segments, media sequence and dates going on for ever. Where the
//! loop begins anew, timestamps start over, and the playlist says so (`EXT-X-DISCONTINUITY`).

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::{ServeError, serve};
use crate::config::{AppSettings, Settings};

/// The application of the demo.
pub const APP: &str = "live";

/// Its stream.
pub const STREAM: &str = "demo";

/// How long its periodic clips are.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// How long a bundled segment is.
const SEGMENT: Duration = Duration::from_secs(2);

/// So many segments are listed.
const WINDOW: u64 = 6;

/// So many are there from the start: a player wants three target durations.
const HEAD_START: u64 = 4;

/// Test pattern and beeps: see `fixtures/README.md`.
const SEGMENTS: [&[u8]; 10] = [
    include_bytes!("../../../fixtures/demo/seg00.ts"),
    include_bytes!("../../../fixtures/demo/seg01.ts"),
    include_bytes!("../../../fixtures/demo/seg02.ts"),
    include_bytes!("../../../fixtures/demo/seg03.ts"),
    include_bytes!("../../../fixtures/demo/seg04.ts"),
    include_bytes!("../../../fixtures/demo/seg05.ts"),
    include_bytes!("../../../fixtures/demo/seg06.ts"),
    include_bytes!("../../../fixtures/demo/seg07.ts"),
    include_bytes!("../../../fixtures/demo/seg08.ts"),
    include_bytes!("../../../fixtures/demo/seg09.ts"),
];

/// A demo in a folder that goes with it.
#[derive(Debug)]
pub struct Demo {
    folder: tempfile::TempDir,
    settings: Arc<Settings>,
}

impl Demo {
    /// Prepares a demo.
    ///
    /// # Errors
    /// When it cannot listen there, or there is no place for temporary files.
    pub fn new(listen: &str) -> Result<Self, ServeError> {
        // Before anything is promised. A port of 0 becomes one that is free.
        let bound = TcpListener::bind(listen).and_then(|free| free.local_addr());
        let listen = bound.map_err(|error| ServeError::Listen {
            listen: listen.to_owned(),
            error,
        })?;
        Self::prepare(listen).map_err(|error| ServeError::Data {
            folder: std::env::temp_dir(),
            error,
        })
    }

    fn prepare(listen: SocketAddr) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("clipmill-demo-")
            .tempdir()?;
        let streams = folder.path().join("streams");
        fs::create_dir(&streams)?;
        let app = AppSettings {
            interval: INTERVAL,
            ..AppSettings::new(APP, &streams)
        };
        let settings = Settings {
            listen: listen.to_string(),
            data_dir: folder.path().join("data"),
            public_base_url: format!("http://{listen}"),
            max_connections: 256,
            header_timeout: Duration::from_secs(10),
            workers: None,
            spool_max_bytes: 1 << 30,
            apps: vec![Arc::new(app)],
        };
        Ok(Self {
            folder,
            settings: Arc::new(settings),
        })
    }

    /// Where the live playlist can be had.
    #[must_use]
    pub fn playlist_url(&self) -> String {
        let base = &self.settings.public_base_url;
        format!("{base}/{APP}/streams/{STREAM}.m3u8")
    }

    /// Where the calls of the contract are.
    #[must_use]
    pub fn rest_url(&self) -> String {
        format!("{}/{APP}/rest", self.settings.public_base_url)
    }

    /// Plays and serves until `shutdown` is ready; then removes everything. `on_clip` is told the
    /// URL of each clip.
    ///
    /// # Errors
    /// When the server cannot start, or a segment cannot be written.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
        mut on_clip: impl FnMut(String) + Send + 'static,
    ) -> Result<(), ServeError> {
        let (sender, settings) = watch::channel(Arc::clone(&self.settings));
        let streams = self.folder.path().join("streams");
        let playing = tokio::spawn(play(streams.clone()));
        let base = format!("{}/{APP}/streams", self.settings.public_base_url);
        let looking = tokio::spawn(async move {
            let mut known = BTreeSet::new();
            loop {
                for name in clips(&streams) {
                    if known.insert(name.clone()) {
                        on_clip(format!("{base}/{name}"));
                    }
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        });
        let served = tokio::select! {
            served = serve(settings, shutdown) => served,
            played = playing => Err(match played {
                Ok(error) => ServeError::Broken(format!("the demo stream stopped: {error}")),
                Err(error) => ServeError::Broken(error.to_string()),
            }),
        };
        looking.abort();
        drop(sender);
        if let Err(error) = self.folder.close() {
            tracing::warn!(%error, "the demo's folder could not be removed entirely");
        }
        served
    }
}

/// Writes the stream at the pace of the clock, until that fails.
async fn play(folder: PathBuf) -> io::Error {
    let begun = Instant::now();
    let head_start = SEGMENT * u32::try_from(HEAD_START).unwrap_or(1);
    let date = SystemTime::now() - head_start;
    let mut sequence = 0_u64;
    loop {
        if let Err(error) = publish(&folder, sequence, date) {
            return error;
        }
        sequence += 1;
        let after = u32::try_from(sequence.saturating_sub(HEAD_START)).unwrap_or(u32::MAX);
        // A segment is written when it has been played to its end.
        let due = if sequence < HEAD_START {
            begun
        } else {
            begun + SEGMENT * (after + 1)
        };
        tokio::time::sleep_until(due).await;
    }
}

/// Writes a segment, lists it, and deletes the one that is no longer listed.
fn publish(folder: &Path, sequence: u64, date: SystemTime) -> io::Result<()> {
    let name = |sequence: u64| format!("{STREAM}{sequence:06}.ts");
    let number = |sequence: u64| usize::try_from(sequence % SEGMENTS.len() as u64).unwrap_or(0);
    let bytes = SEGMENTS.get(number(sequence)).copied().unwrap_or_default();
    fs::write(folder.join(name(sequence)), bytes)?;
    let first = (sequence + 1).saturating_sub(WINDOW);
    let passed = (first / SEGMENTS.len() as u64) + u64::from(number(first) > 0);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
        SEGMENT.as_secs(),
        passed.saturating_sub(1)
    );
    for listed in first..=sequence {
        let begins = date + SEGMENT * u32::try_from(listed).unwrap_or(u32::MAX);
        let begins = DateTime::<Utc>::from(begins).to_rfc3339_opts(SecondsFormat::Millis, true);
        if number(listed) == 0 && listed > 0 {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let _ = write!(
            text,
            "#EXT-X-PROGRAM-DATE-TIME:{begins}\n#EXTINF:{:.6},\n{}\n",
            SEGMENT.as_secs_f64(),
            name(listed)
        );
    }
    let partial = folder.join(format!("{STREAM}.m3u8.tmp"));
    fs::write(&partial, text)?;
    fs::rename(&partial, folder.join(format!("{STREAM}.m3u8")))?;
    match first.checked_sub(1) {
        Some(gone) => fs::remove_file(folder.join(name(gone))),
        None => Ok(()),
    }
}

fn clips(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| name.ends_with(".mp4") && !name.starts_with('.'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clipmill_playlist::{Playlist, PlaylistLimits};

    #[test]
    fn the_window_slides_over_the_loop() {
        let folder = tempfile::tempdir().unwrap();
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_356_000);
        for sequence in 0..23 {
            publish(folder.path(), sequence, date).unwrap();
        }
        let text = fs::read(folder.path().join("demo.m3u8")).unwrap();
        let Ok(Playlist::Media(media)) = Playlist::parse(&text, &PlaylistLimits::default()) else {
            panic!("no media playlist");
        };
        assert!(media.warnings.is_empty(), "{:?}", media.warnings);
        assert_eq!(media.media_sequence, 17);
        assert_eq!(media.segments.len(), 6);
        let joins: Vec<_> = media.segments.iter().map(|one| one.discontinuity).collect();
        assert_eq!(joins, [false, false, false, true, false, false]);
        assert_eq!(media.discontinuity_sequence, 1);
        let (begin, end) = media.date_range().unwrap();
        assert_eq!(begin.timestamp(), 1_795_356_000 + 34);
        assert_eq!(end.timestamp(), 1_795_356_000 + 46);
        for segment in &media.segments {
            assert!(folder.path().join(&segment.uri).is_file());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 7);
    }
}
