//! What a clip's file says of its catalog entry.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::catalog::Boundary;
use crate::model::Vod;

/// The version that is written.
const VERSION: u32 = 1;

/// How many bytes of a file are looked at first: enough for any but the longest metadata.
const FIRST: u64 = 16 << 10;

/// A record is not longer than this.
const LONGEST: u64 = 4 << 20;

/// What makes a clip's catalog entry, kept in the clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipRecord {
    version: u32,
    /// The application.
    pub app: String,
    /// The entry. Its `fileSize` is that of the file: it cannot be known inside it.
    pub vod: Vod,
    /// Where the stream's periodic clips went on, where this is one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<Boundary>,
}

impl ClipRecord {
    /// A record.
    #[must_use]
    pub fn new(app: &str, vod: &Vod, boundary: Option<&Boundary>) -> Self {
        Self {
            version: VERSION,
            app: app.to_owned(),
            vod: Vod {
                file_size: 0,
                ..vod.clone()
            },
            boundary: boundary.cloned(),
        }
    }

    /// As it is given to `Clip::set_metadata`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The record of a clip, its `fileSize` filled in. `None` where the file has none that we can
/// read: it is not ours, or a later version's.
///
/// # Errors
/// When the file cannot be read.
pub fn read_record(path: &Path) -> io::Result<Option<ClipRecord>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut head = Vec::new();
    (&mut file).take(FIRST).read_to_end(&mut head)?;
    if clipmill_mp4::find_metadata(&head).is_none() && len > FIRST {
        file.take(LONGEST).read_to_end(&mut head)?;
    }
    let Some(metadata) = clipmill_mp4::find_metadata(&head) else {
        return Ok(None);
    };
    let record = serde_json::from_slice::<ClipRecord>(metadata).ok();
    Ok(record.filter(|r| r.version == VERSION).map(|mut record| {
        record.vod.file_size = i64::try_from(len).unwrap_or(i64::MAX);
        record
    }))
}
