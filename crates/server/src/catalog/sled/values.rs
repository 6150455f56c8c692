//! Keys and values: how they are written, and what they mean to each other.

use std::borrow::Cow;

use ::sled::IVec;
use ::sled::transaction::{
    ConflictableTransactionError, TransactionalTree, UnabortableTransactionError,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Boundary, CatalogError, OpenRecording, PeriodicState, Result};
use crate::domain::{ClipEntry, Delivery, Marker, PullSource, RecordedWindow, StreamEntry};

/// The version of the values.
pub(super) const VERSION: u32 = 1;

pub(super) type Abort = ConflictableTransactionError<CatalogError>;

/// A value with its version.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    value: T,
}

/// A clip entry and its place in the order of creation.
#[derive(Serialize, Deserialize)]
pub(super) struct Entry<'a> {
    pub(super) place: u64,
    #[serde(rename = "vod")]
    pub(super) clip: Cow<'a, ClipEntry>,
}

impl Entry<'_> {
    pub(super) fn into_clip(self) -> ClipEntry {
        self.clip.into_owned()
    }
}

/// A marker, or that it was removed.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredMarker<'a> {
    pub(super) removed: bool,
    pub(super) marker: Cow<'a, Marker>,
}

impl<'a> StoredMarker<'a> {
    pub(super) fn of(marker: &'a Marker) -> Self {
        Self {
            removed: false,
            marker: Cow::Borrowed(marker),
        }
    }
}

/// The key of a marker; without an id what those of its stream begin with. No id of a stream has a zero in it.
pub(super) fn marker_key(app: &str, stream_id: &str, id: &str) -> Vec<u8> {
    let rest = [stream_id.as_bytes(), &[0], id.as_bytes()].concat();
    key(b'k', app, &rest)
}

pub(super) fn add_clip(tree: &TransactionalTree, app: &str, clip: &ClipEntry) -> Result<(), Abort> {
    let place = count_up(tree, b"cvod")?;
    let id = clip.id.as_bytes();
    let entry = Entry {
        place,
        clip: Cow::Borrowed(clip),
    };
    put(tree, key(b'v', app, id), &entry)?;
    tree.insert(key(b'o', app, &place.to_be_bytes()), id)?;
    Ok(())
}

pub(super) fn add_hooks(tree: &TransactionalTree, hooks: &[Delivery]) -> Result<(), Abort> {
    for hook in hooks {
        // Counted inside the transaction, so that places become visible in their order.
        let place = count_up(tree, b"chook")?;
        put(tree, numbered(b'h', place), hook)?;
    }
    Ok(())
}

fn count_up(
    tree: &TransactionalTree,
    counter: &[u8],
) -> std::result::Result<u64, UnabortableTransactionError> {
    let before = tree.get(counter)?;
    let before = before.and_then(|value| value.as_ref().try_into().ok());
    let next = before.map_or(0, u64::from_be_bytes) + 1;
    tree.insert(counter, &next.to_be_bytes())?;
    Ok(next)
}

pub(super) fn put<T: Serialize>(
    tree: &TransactionalTree,
    key: Vec<u8>,
    value: &T,
) -> Result<(), Abort> {
    tree.insert(key, encode(value).map_err(Abort::Abort)?)?;
    Ok(())
}

pub(super) fn key(kind: u8, app: &str, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(app.len() + rest.len() + 2);
    key.push(kind);
    key.extend(app.as_bytes());
    key.push(0);
    key.extend(rest);
    key
}

pub(super) fn numbered(kind: u8, place: u64) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(place.to_be_bytes());
    key
}

pub(super) fn place_of(key: &[u8]) -> u64 {
    let number = key.get(1..).and_then(|bytes| bytes.try_into().ok());
    number.map_or(0, u64::from_be_bytes)
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let versioned = Versioned { v: VERSION, value };
    serde_json::to_vec(&versioned).map_err(|error| CatalogError::Entry {
        key: "new".to_owned(),
        error,
    })
}

pub(super) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T> {
    let unreadable = |error| CatalogError::Entry {
        key: name(key),
        error,
    };
    let read: Versioned<T> = serde_json::from_slice(value).map_err(unreadable)?;
    if read.v > VERSION {
        let newer = format!("it was written by a later version ({})", read.v);
        return Err(unreadable(serde::de::Error::custom(newer)));
    }
    Ok(read.value)
}

/// Whether an entry can be read.
#[cfg(feature = "fuzzing")]
pub(crate) fn is_readable(key: &[u8], value: &[u8]) -> bool {
    check(key, &IVec::from(value)).is_ok()
}

/// Whether an entry can be read.
pub(super) fn check(key: &[u8], value: &IVec) -> Result<()> {
    match key {
        [b'v', ..] => decode::<Entry<'_>>(key, value).map(drop),
        [b'd', ..] => decode::<ClipEntry>(key, value).map(drop),
        b"!format" => Ok(()),
        [b'f' | b'h', ..] => decode::<Delivery>(key, value).map(drop),
        [b'b', ..] => decode::<StreamEntry>(key, value).map(drop),
        [b's', ..] => decode::<PullSource>(key, value).map(drop),
        [b'k', ..] => decode::<StoredMarker<'_>>(key, value).map(drop),
        [b'm', ..] => decode::<Boundary>(key, value).map(drop),
        [b'r', ..] => decode::<Vec<OpenRecording>>(key, value).map(drop),
        [b'w', ..] => decode::<RecordedWindow>(key, value).map(drop),
        [b'p', ..] => decode::<PeriodicState>(key, value).map(drop),
        _ => Ok(()),
    }
}

/// A key as people can read it.
pub(super) fn name(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}
