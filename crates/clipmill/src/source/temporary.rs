//! What came over the network, kept until the clip is written.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use clipmill_playlist::{ByteRange, Location};

/// Segments in an unnamed temporary file, which the system removes with the process.
///
/// A clip reads each segment twice, to index and to copy; a live server may have dropped it in
/// between, and the network is slow.
#[derive(Debug, Default)]
pub(crate) struct TemporaryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    len: u64,
    kept: HashMap<Key, (u64, usize)>,
}

type Key = (Location, Option<ByteRange>);

impl TemporaryStore {
    /// What was kept under `key`.
    pub(crate) fn get(&self, key: &Key) -> Option<Bytes> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let &(offset, len) = state.kept.get(key)?;
        let file = state.file.as_mut()?;
        let mut bytes = vec![0; len];
        file.seek(SeekFrom::Start(offset)).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Some(bytes.into())
    }

    /// Keeps `bytes`, if there is room: without, they will be fetched again.
    pub(crate) fn put(&self, key: Key, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(offset) = state.append(bytes) {
            state.kept.insert(key, (offset, bytes.len()));
        }
    }
}

impl State {
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.len;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_it_was_given() {
        let store = TemporaryStore::default();
        let key = |name: &str| (Location::File(name.into()), None);
        store.put(key("a"), b"first");
        store.put(key("b"), b"second");
        assert_eq!(store.get(&key("b")).unwrap(), "second");
        assert_eq!(store.get(&key("a")).unwrap(), "first");
        assert_eq!(store.get(&key("c")), None);
    }
}
