//! Segments read one by one as a live playlist lists them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use clipmill_media::{Limits, SegmentIndex};
use clipmill_playlist::{Location, Segment};

use crate::decrypt::{KeyPlace, KeyRing, SegmentKey};
use crate::error::SegmentError;
use crate::indexer::Indexer;
use crate::item::{Item, Resource};
use crate::source::SegmentSource;

/// `EXT-X-MAP`s that are kept at once: playlists go back and forth between few.
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
    /// Where the `EXT-X-MAP` of the segment last read is.
    last_map: Option<Location>,
    maps: HashMap<Resource, Bytes>,
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
            last_map: None,
            maps: HashMap::new(),
            init: None,
        }
    }

    /// Looks for keys in a folder first.
    pub(crate) fn with_keys(mut self, folder: Option<&Path>) -> Self {
        self.keys = KeyRing::of(folder, &self.limits);
        self
    }

    /// Reads a segment that the playlist at `playlist` lists, and what belongs to it: its key and
    /// its `EXT-X-MAP`, each of which is read once; a key that does not fit is read again. A playlist
    /// on disk may name files of its own folder and below.
    ///
    /// # Errors
    /// When something cannot be read, or is of a kind that is not supported.
    pub fn read(
        &mut self,
        source: &dyn SegmentSource,
        segment: &Segment,
        playlist: &Location,
    ) -> Result<ReadSegment, SegmentError> {
        let item = Item::from_segment(segment, playlist, false, false)?;
        self.read_item(source, &item)
    }

    /// The same for what has been looked up already.
    pub(crate) fn read_item(
        &mut self,
        source: &dyn SegmentSource,
        item: &Item,
    ) -> Result<ReadSegment, SegmentError> {
        if let Some(why) = &item.no_key {
            return Err(why.clone().into());
        }
        let limit = self.limits.segment_bytes;
        let read = || {
            let read = source.read(&item.location, item.byte_range, limit);
            read.map_err(SegmentError::from)
        };
        let (bytes, key) = match &item.key {
            Some(place) => {
                let (bytes, key) = self.keys.read_segment(source, place, read)?;
                (bytes, Some(key))
            }
            None => (read()?, None),
        };
        self.last_key.clone_from(&item.key);
        self.last_map = item.map.as_ref().map(|(location, _)| location.clone());
        let init = match &item.map {
            Some(map) => Some(self.read_map(source, map, item.map_key.as_ref())?),
            None => None,
        };
        Ok(ReadSegment {
            file: item.byte_range.map(|range| range.offset),
            bytes,
            key: key.map(Arc::new),
            init,
        })
    }

    fn read_map(
        &mut self,
        source: &dyn SegmentSource,
        map: &Resource,
        key: Option<&KeyPlace>,
    ) -> Result<Bytes, SegmentError> {
        if let Some(known) = self.maps.get(map) {
            return Ok(known.clone());
        }
        let read = source.read(&map.0, map.1, self.limits.init_bytes);
        let mut bytes = read.map_err(SegmentError::NoMap)?;
        if let Some(key) = key {
            bytes = self.keys.get(source, key)?.decrypt(bytes)?;
        }
        if self.maps.len() >= MAPS {
            self.maps.clear();
        }
        self.maps.insert(map.clone(), bytes.clone());
        Ok(bytes)
    }

    /// Tells that the next segment does not follow the last one, in a playlist of which no name is
    /// used again.
    pub(crate) fn interrupted(&mut self) {
        self.indexer.discontinuity();
    }

    /// Tells that nothing follows the next segment.
    pub(crate) fn end_of_stream(&mut self) {
        self.indexer.end_of_stream();
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
            self.indexer
                .init(init)
                .map_err(|error| match &self.last_map {
                    Some(map) => SegmentError::Map {
                        map: map.to_string(),
                        error: Box::new(error),
                    },
                    None => error,
                })?;
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
