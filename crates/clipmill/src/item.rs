//! A segment that is listed and has not been read yet, and how messages name it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use clipmill_media::Limits;
use clipmill_playlist::{ByteRange, Key, Location, LocationError, Map, Segment};

use crate::decrypt::{KeyPlace, NoKey, SegmentKey};
use crate::error::ClipError;
use crate::named::{file_name, locate};
use crate::source::SegmentSource;
use crate::timeline::{SegmentInfo, Ticks, duration_ticks};

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

    pub(crate) fn info(
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
            duration: duration_ticks(self.duration),
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
