//! Segments read one by one as a live playlist lists them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use clipmill_media::{Limits, SegmentIndex};
use clipmill_playlist::{ByteRange, Key, Location, Segment};

use crate::decrypt::{KeyPlace, KeyRing, SegmentKey};
use crate::error::SegmentError;
use crate::indexer::Indexer;
use crate::named::locate;
use crate::source::SegmentSource;

/// `EXT-X-MAP`s kept at once.
const MAPS: usize = 64;

/// The content of a segment.
#[derive(Debug, Clone)]
pub struct ReadSegment {
    /// Where in its file it begins, if it is a part of one.
    pub file: Option<u64>,
    /// Its bytes, decrypted.
    pub bytes: Bytes,
    /// What it was encrypted with.
    pub key: Option<Arc<SegmentKey>>,
    /// What must be known to index it (`EXT-X-MAP`), decrypted.
    pub init: Option<Bytes>,
}

/// Reads and indexes the segments of one playlist, one after the other, for those who follow a live
/// one and keep a [`Timeline`](crate::Timeline) of their own.
#[derive(Debug)]
pub struct SegmentReader {
    indexer: Indexer,
    limits: Limits,
    keys: KeyRing,
    /// Where the key of the segment last read is.
    last_key: Option<KeyPlace>,
    maps: HashMap<(Location, Option<ByteRange>), Bytes>,
    /// What the indexer was given last.
    init: Option<Bytes>,
}

impl SegmentReader {
    /// A reader that has seen nothing. `program` is the one to take of a transport stream with
    /// several; that with pictures by default.
    #[must_use]
    pub fn new(program: Option<u16>, limits: &Limits) -> Self {
        Self {
            indexer: Indexer::new(program, limits),
            limits: limits.clone(),
            keys: KeyRing::of(None, limits),
            last_key: None,
            maps: HashMap::new(),
            init: None,
        }
    }

    /// Reads a segment that the playlist at `playlist` lists, and what belongs to it: its key and
    /// its `EXT-X-MAP`, each of which is read once; a key that does not fit is read again. A playlist on disk may name files of its own
    /// folder and below.
    ///
    /// # Errors
    /// When something cannot be read, or is of a kind that is not supported.
    pub fn read(
        &mut self,
        source: &dyn SegmentSource,
        segment: &Segment,
        playlist: &Location,
    ) -> Result<ReadSegment, SegmentError> {
        let place = key_place(segment.key.as_ref(), segment.sequence, playlist)?;
        let limit = self.limits.segment_bytes;
        let location = locate(playlist, &segment.uri, false)?;
        let read = || {
            let read = source.read(&location, segment.byte_range, limit);
            read.map_err(SegmentError::from)
        };
        let (bytes, key) = match &place {
            Some(place) => {
                let (bytes, key) = self.keys.read_segment(source, place, read)?;
                (bytes, Some(key))
            }
            None => (read()?, None),
        };
        self.last_key = place;
        let init = self.init(source, segment, playlist)?;
        Ok(ReadSegment {
            file: segment.byte_range.map(|range| range.offset),
            bytes,
            key: key.map(Arc::new),
            init,
        })
    }

    fn init(
        &mut self,
        source: &dyn SegmentSource,
        segment: &Segment,
        playlist: &Location,
    ) -> Result<Option<Bytes>, SegmentError> {
        let Some(map) = &segment.map else {
            return Ok(None);
        };
        let place = (locate(playlist, &map.uri, false)?, map.byte_range);
        if let Some(known) = self.maps.get(&place) {
            return Ok(Some(known.clone()));
        }
        let read = source.read(&place.0, place.1, self.limits.init_bytes);
        let mut bytes = read.map_err(SegmentError::NoMap)?;
        if let Some(key) = key_place(map.key.as_ref(), segment.sequence, playlist)? {
            bytes = self.keys.get(source, &key)?.decrypt(bytes)?;
        }
        if self.maps.len() >= MAPS {
            self.maps.clear();
        }
        self.maps.insert(place, bytes.clone());
        Ok(Some(bytes))
    }

    /// Tells that the next segment does not follow the last one: a segment is missing, or the
    /// playlist says `EXT-X-DISCONTINUITY`.
    pub fn discontinuity(&mut self) {
        self.indexer.discontinuity();
        // What they name may have been written anew.
        self.maps.clear();
    }

    /// Indexes the next segment.
    ///
    /// # Errors
    /// When it cannot be indexed.
    pub fn index(&mut self, segment: &ReadSegment) -> Result<SegmentIndex, SegmentError> {
        if let Some(init) = &segment.init
            && self.init.as_ref() != Some(init)
        {
            self.init = None;
            self.indexer.init(init)?;
            self.init = Some(init.clone());
        }
        self.indexer
            .index_at(&segment.bytes, segment.file)
            .map_err(|error| {
                // Padding that is right by chance.
                let wrong = segment.key.as_ref().filter(|_| error.is_no_container());
                if let Some(place) = self.last_key.as_ref().filter(|_| wrong.is_some()) {
                    self.keys.forget(place);
                }
                wrong.map_or(error, |key| key.wrong().into())
            })
    }
}

fn key_place(
    key: Option<&Arc<Key>>,
    sequence: u64,
    playlist: &Location,
) -> Result<Option<KeyPlace>, SegmentError> {
    let Some(key) = key else {
        return Ok(None);
    };
    Ok(Some(KeyPlace::new(key, sequence, playlist, false)?))
}
