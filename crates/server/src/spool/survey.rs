//! What is kept on the disk, for those who look after it: listed, verified, trimmed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clipmill::{Limits, SegmentReader};

use super::{Dvr, Label, names, read};
use crate::sources::session::FileMark;

/// What is kept of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptStream {
    /// Its application.
    pub app: String,
    /// Its identifier.
    pub stream: String,
    /// Segments that clips to come need.
    pub needed: u64,
    /// Segments of the DVR window.
    pub in_window: u64,
    /// Of all of them.
    pub bytes: u64,
    /// When the first of them begins.
    pub from: Option<DateTime<Utc>>,
    /// When the last of them ends.
    pub to: Option<DateTime<Utc>>,
}

/// What was found when everything was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments that are whole.
    pub whole: u64,
    /// Files that are not what was kept, and why.
    pub damaged: Vec<(PathBuf, String)>,
}

/// What went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A segment on the disk.
struct Found {
    app: String,
    stream: String,
    in_window: bool,
    label: Label,
    path: PathBuf,
}

/// Lists what is kept in a data folder, by application and stream.
///
/// # Errors
/// When the data folder cannot be read.
pub fn list(data_dir: &Path) -> io::Result<Vec<KeptStream>> {
    let mut streams: BTreeMap<(String, String), KeptStream> = BTreeMap::new();
    for found in segments(data_dir)? {
        let key = (found.app.clone(), found.stream.clone());
        let stream = streams.entry(key).or_insert_with(|| KeptStream {
            app: found.app,
            stream: found.stream,
            ..KeptStream::default()
        });
        let len = fs::metadata(&found.path).map_or(0, |metadata| metadata.len());
        *(if found.in_window {
            &mut stream.in_window
        } else {
            &mut stream.needed
        }) += 1;
        stream.bytes += len;
        stream.from = stream.from.into_iter().chain(found.label.start_time).min();
        stream.to = stream.to.into_iter().chain(found.label.end()).max();
    }
    Ok(streams.into_values().collect())
}

/// Reads everything that is kept in a data folder; `progress` is told how many segments were read, of how many.
///
/// # Errors
/// When the data folder cannot be read.
pub fn verify(data_dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> io::Result<Verified> {
    let all = segments(data_dir)?;
    let (mut done, mut verified) = (0, Verified::default());
    for found in &all {
        match found.check() {
            Ok(()) => verified.whole += 1,
            // The server let go of it meanwhile.
            Err(_) if !found.path.exists() => {}
            Err(reason) => verified.damaged.push((found.path.clone(), reason)),
        }
        done += 1;
        progress(done, all.len() as u64);
    }
    Ok(verified)
}

/// Removes what lies further back than `keep` in the DVR windows of a data folder, and then what lies furthest back
/// until no more than `max_bytes` are kept. No server may run on it.
///
/// # Errors
/// When the data folder cannot be read.
pub fn trim(
    data_dir: &Path,
    keep: Option<Duration>,
    max_bytes: Option<u64>,
) -> io::Result<Trimmed> {
    fs::read_dir(data_dir)?;
    let dvr = Dvr::new(data_dir);
    let mut needed = 0;
    for stream in list(data_dir)? {
        if stream.in_window == 0 {
            needed += stream.bytes;
        } else {
            dvr.stream(&stream.app, &stream.stream);
        }
    }
    let (mut trimmed, before) = (Trimmed::default(), dvr.bytes());
    for stream in list(data_dir)?.iter().filter(|stream| stream.in_window > 0) {
        let window = dvr.stream(&stream.app, &stream.stream);
        if let Some(keep) = keep {
            trimmed.segments += dvr.trim(&window, keep) as u64;
        }
    }
    let over = max_bytes.map_or(0, |most| (needed + dvr.bytes()).saturating_sub(most));
    if over > 0 {
        trimmed.segments += dvr.make_room(None, over, 0).segments;
    }
    trimmed.bytes = before.saturating_sub(dvr.bytes());
    Ok(trimmed)
}

impl Found {
    /// Whether it is what was kept.
    fn check(&self) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        let metadata = fs::metadata(&self.path).map_err(text)?;
        let mark = FileMark::of(&metadata).version().digest();
        let known = self.label.file.1;
        if !self.label.changed && known != 0 && known != mark {
            return Err("it was written to since it was kept".to_owned());
        }
        let read = read(&self.path, &self.label).map_err(text)?;
        let mut reader = SegmentReader::new(None, &Limits::default());
        let index = reader.index(&read);
        index.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// All segments that are kept, of each stream in order.
fn segments(data_dir: &Path) -> io::Result<Vec<Found>> {
    fs::read_dir(data_dir)?;
    let mut all = Vec::new();
    for (root, in_window) in [("dvr", true), ("spool", false)] {
        let root = data_dir.join(root);
        for app in names(&root) {
            for stream in names(&root.join(&app)) {
                let folder = root.join(&app).join(&stream);
                let mut add = |folder: &Path| {
                    for name in names(folder) {
                        let Some(label) = Label::parse(&name) else {
                            continue;
                        };
                        all.push(Found {
                            app: app.clone(),
                            stream: stream.clone(),
                            in_window,
                            label,
                            path: folder.join(name),
                        });
                    }
                };
                for session in names(&folder) {
                    let session = folder.join(session);
                    add(&session);
                    for chunk in names(&session).iter().filter(|_| in_window) {
                        add(&session.join(chunk));
                    }
                }
            }
        }
    }
    Ok(all)
}
