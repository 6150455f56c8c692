//! What lies beside a clip and makes its catalog entry.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::local::Unnamed;
use crate::domain::{Boundary, ClipEntry};

/// The version that is written.
const VERSION: u32 = 1;

/// How many bytes of a clip are looked at first for a record inside it: enough for any but the
/// longest metadata.
const FIRST: u64 = 16 << 10;

/// A record is not longer than this.
const LONGEST: u64 = 4 << 20;

/// What makes a clip's catalog entry, kept beside the clip as `{clipId}.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipRecord {
    version: u32,
    /// The application.
    pub app: String,
    /// The entry.
    #[serde(rename = "vod")]
    pub entry: ClipEntry,
    /// Where the stream's periodic clips went on, where this is one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<Boundary>,
}

impl ClipRecord {
    /// A record.
    #[must_use]
    pub fn new(app: &str, entry: &ClipEntry, boundary: Option<&Boundary>) -> Self {
        Self {
            version: VERSION,
            app: app.to_owned(),
            entry: entry.clone(),
            boundary: boundary.cloned(),
        }
    }

    /// Whether it is that of a certain clip. A copy under another name, or another application's, is
    /// nobody's.
    #[must_use]
    pub fn is_of(&self, app: &str, clip_id: &str) -> bool {
        self.app == app && self.entry.id == clip_id
    }
}

/// Where the record of the clip at `path` lies.
pub(super) fn record_path(path: &Path) -> PathBuf {
    path.with_extension("json")
}

/// Puts the record of the clip that will lie at `path` beside it, whole and synced.
pub(super) fn write_record(path: &Path, record: &ClipRecord) -> io::Result<()> {
    let path = record_path(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = Unnamed::new(folder, &format!(".{name}.part"))?;
    file.file()
        .as_ref()
        .write_all(&serde_json::to_vec(record)?)?;
    file.file().sync_data()?;
    file.link(&path)
}

/// The record at `path`; `None` where it is none that we can read: not ours, or a later version's.
pub(super) fn read(path: &Path) -> io::Result<Option<ClipRecord>> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(parse(&text))
}

pub(crate) fn parse(text: &[u8]) -> Option<ClipRecord> {
    let record = serde_json::from_slice::<ClipRecord>(text).ok();
    record.filter(|record| record.version == VERSION)
}

/// The record of the clip at `path`, its `fileSize` that of the file. Clips of the first versions
/// carry it inside. `None` where there is none.
pub(super) fn of_clip(path: &Path) -> io::Result<Option<ClipRecord>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let beside = match read(&record_path(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        read => read.ok().flatten(),
    };
    let record = match beside {
        Some(record) => Some(record),
        None => inside(&mut file, len)?,
    };
    Ok(record.map(|mut record| {
        record.entry.bytes = len;
        record
    }))
}

fn inside(file: &mut File, len: u64) -> io::Result<Option<ClipRecord>> {
    let mut head = Vec::new();
    file.take(FIRST).read_to_end(&mut head)?;
    if clipmill_mp4::find_metadata(&head).is_none() && len > FIRST {
        file.take(LONGEST).read_to_end(&mut head)?;
    }
    Ok(clipmill_mp4::find_metadata(&head).and_then(parse))
}
