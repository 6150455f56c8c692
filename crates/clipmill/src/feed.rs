//! Segments, one after the other: read, indexed, and told what lies between them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use clipmill_media::{Limits, SegmentIndex};
use clipmill_playlist::{ByteRange, Key, Location, LocationError, Map, Segment};

use crate::decrypt::{KeyPlace, NoKey, SegmentKey};
use crate::error::{ClipError, SegmentError};
use crate::named::locate;
use crate::reader::SegmentReader;
use crate::source::SegmentSource;
use crate::timeline::{SegmentInfo, Ticks};

/// A part of what lies at a location, or all of it.
pub(crate) type Resource = (Location, Option<ByteRange>);

/// A segment that has not been read yet.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) location: Location,
    pub(crate) byte_range: Option<ByteRange>,
    /// What must be read before it (`EXT-X-MAP`).
    pub(crate) map: Option<Resource>,
    /// What that is encrypted with.
    pub(crate) map_key: Option<KeyPlace>,
    /// What it is encrypted with.
    pub(crate) key: Option<KeyPlace>,
    pub(crate) sequence: u64,
    /// Whether `sequence` is a media sequence number that a person may know.
    pub(crate) in_playlist: bool,
    pub(crate) duration: Duration,
    pub(crate) start_time: Option<DateTime<Utc>>,
    pub(crate) discontinuity: bool,
    pub(crate) discontinuity_sequence: u64,
    /// Where it begins, by the sum of all durations before it.
    pub(crate) start: Duration,
    pub(crate) gap: bool,
    /// Nothing will ever follow it.
    pub(crate) last: bool,
    /// Why it cannot be decrypted, whatever its bytes are.
    pub(crate) no_key: Option<NoKey>,
}

impl Item {
    pub(crate) fn from_segment(
        segment: &Segment,
        base: &Location,
        allow_outside: bool,
        keys_at_hand: bool,
    ) -> Result<Self, LocationError> {
        let mut no_key = None;
        let mut place_of = |key: &Option<Arc<Key>>| {
            let Some(key) = key else { return Ok(None) };
            // Where a key would be matters only if it is read there.
            let anywhere = allow_outside || keys_at_hand;
            match KeyPlace::new(key, segment.sequence, base, anywhere) {
                Ok(place) => Ok(Some(place)),
                // It is there, and may be asked for.
                Err(NoKey::Location(error @ LocationError::Outside { .. })) => Err(error),
                Err(why) => {
                    no_key = Some(why);
                    Ok(None)
                }
            }
        };
        let key = place_of(&segment.key)?;
        let map_key = match &segment.map {
            Some(map) => place_of(&map.key)?,
            None => None,
        };
        let place = |map: &Map| {
            let location = locate(base, &map.uri, allow_outside)?;
            Ok((location, map.byte_range))
        };
        Ok(Self {
            location: locate(base, &segment.uri, allow_outside)?,
            byte_range: segment.byte_range,
            map: segment.map.as_deref().map(place).transpose()?,
            map_key,
            key,
            sequence: segment.sequence,
            in_playlist: true,
            duration: segment.duration,
            start_time: segment.start_time,
            discontinuity: segment.discontinuity,
            discontinuity_sequence: segment.discontinuity_sequence,
            start: segment.start,
            gap: segment.gap,
            last: false,
            no_key,
        })
    }

    pub(crate) fn from_file(location: Location) -> Self {
        Self {
            location,
            byte_range: None,
            map: None,
            map_key: None,
            key: None,
            sequence: 0,
            in_playlist: false,
            duration: Duration::ZERO,
            start_time: None,
            discontinuity: false,
            discontinuity_sequence: 0,
            start: Duration::ZERO,
            gap: false,
            last: false,
            no_key: None,
        }
    }

    pub(crate) fn name(&self) -> String {
        name(&self.location, self.in_playlist.then_some(self.sequence))
    }

    fn info(
        &self,
        key: Option<Arc<SegmentKey>>,
        discontinuity: bool,
        missing_before: Ticks,
    ) -> SegmentInfo {
        SegmentInfo {
            location: self.location.clone(),
            byte_range: self.byte_range,
            key,
            sequence: self.sequence,
            in_playlist: self.in_playlist,
            duration: ticks(self.duration),
            start_time: self.start_time,
            discontinuity,
            missing_before,
        }
    }
}

/// A segment as messages call it: `segment live12.ts (sequence 1012)`.
pub(crate) fn name(location: &Location, sequence: Option<u64>) -> String {
    let file = file_name(location);
    match sequence {
        Some(sequence) => format!("segment {file} (sequence {sequence})"),
        None => location.to_string(),
    }
}

/// The last part of a location's path.
pub(crate) fn file_name(location: &Location) -> String {
    let name = match location {
        Location::File(path) => path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned()),
        Location::Url(url) => url
            .path_segments()
            .and_then(|mut parts| parts.next_back())
            .map(str::to_owned),
    };
    name.unwrap_or_else(|| location.to_string())
}

/// The longest that a segment is taken to last, three years: as many of them as a playlist may list
/// still add up.
const LONGEST: Ticks = Ticks::MAX / 1_000_000;

/// A duration in 90 kHz ticks.
pub(crate) fn ticks(duration: Duration) -> Ticks {
    i64::try_from(duration.as_micros()).map_or(LONGEST, |micros| {
        let ticks = micros.saturating_mul(9).saturating_add(50) / 100;
        ticks.min(LONGEST)
    })
}

/// Reads and indexes segments in order, and keeps account of those that are missing.
pub(crate) struct Feed<'a> {
    source: &'a dyn SegmentSource,
    reader: SegmentReader,
    missing: Ticks,
    discontinuity: bool,
    bytes: Bytes,
}

/// An indexed segment; or nothing, with the reason unless the playlist says that it is a gap.
pub(crate) type Fed = Result<(SegmentInfo, SegmentIndex), Option<SegmentError>>;

impl<'a> Feed<'a> {
    /// A feed that looks for keys in `keys` first.
    pub(crate) fn new(
        source: &'a dyn SegmentSource,
        program: Option<u16>,
        limits: &Limits,
        keys: Option<&Path>,
    ) -> Self {
        Self {
            source,
            reader: SegmentReader::new(program, limits).with_keys(keys),
            missing: 0,
            discontinuity: false,
            bytes: Bytes::new(),
        }
    }

    /// The segment that was indexed last.
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Reads and indexes the next segment. That this cannot be done is no error of the whole, as the
    /// clip goes on without it.
    pub(crate) fn next(&mut self, item: &Item) -> Fed {
        self.discontinuity |= item.discontinuity;
        if item.gap {
            self.miss(item);
            return Err(None);
        }
        self.bytes = Bytes::new();
        self.read_and_index(item).map_err(|error| {
            self.miss(item);
            Some(error)
        })
    }

    fn read_and_index(&mut self, item: &Item) -> Result<(SegmentInfo, SegmentIndex), SegmentError> {
        let read = self.reader.read_item(self.source, item)?;
        if self.discontinuity || self.missing > 0 {
            self.reader.interrupted();
        }
        if item.last {
            self.reader.end_of_stream();
        }
        let index = self.reader.index(&read)?;
        self.bytes = read.bytes;
        let info = item.info(
            read.key,
            std::mem::take(&mut self.discontinuity),
            std::mem::take(&mut self.missing),
        );
        Ok((info, index))
    }

    /// Reads a segment, and decrypts it.
    pub(crate) fn read(&mut self, item: &Item) -> Result<Bytes, SegmentError> {
        Ok(self.reader.read_item(self.source, item)?.bytes)
    }

    fn miss(&mut self, item: &Item) {
        self.missing = self.missing.saturating_add(ticks(item.duration));
    }
}

impl SegmentInfo {
    /// The segment as messages call it: `segment live12.ts (sequence 1012)`.
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.location, self.in_playlist.then_some(self.sequence))
    }

    /// Reads the segment again, decrypted.
    ///
    /// # Errors
    /// When it can no longer be read.
    pub fn read(&self, source: &dyn SegmentSource) -> Result<Bytes, ClipError> {
        let limit = Limits::default().segment_bytes;
        let bytes = source.read(&self.location, self.byte_range, limit)?;
        match &self.key {
            None => Ok(bytes),
            Some(key) => key.decrypt(bytes).map_err(|error| ClipError::Segment {
                segment: self.name(),
                error: error.into(),
            }),
        }
    }
}
