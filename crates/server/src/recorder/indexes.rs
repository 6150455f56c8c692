//! What was found in segments that no recorder has in mind any more, but that are still listed: who
//! asks for the same stretch again, or for one beside it, does not wait until its media is read.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clipmill::SegmentIndex;

use super::shared::lock;
use crate::sources::session::FileMark;

/// Bytes that are kept, of all streams together: half a day of one stream with sound.
const LIMIT: usize = 64 << 20;

/// What an entry takes besides its samples.
const OVERHEAD: usize = 1 << 10;

/// Indexes of whole files, those that were used last.
#[derive(Debug, Default)]
pub(crate) struct Indexes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: HashMap<PathBuf, Entry>,
    /// Least recently used first.
    order: BTreeMap<u64, PathBuf>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    mark: FileMark,
    index: Arc<SegmentIndex>,
    bytes: usize,
    used: u64,
}

impl Indexes {
    /// What was found in the file at `path`, if it still is the same file.
    pub(crate) fn get(&self, path: &Path) -> Option<(FileMark, Arc<SegmentIndex>)> {
        let (mark, index) = {
            let mut state = lock(&self.0);
            state.use_again(path)?
        };
        let now = std::fs::metadata(path).ok().map(|now| FileMark::of(&now));
        if now != Some(mark) {
            lock(&self.0).remove(path);
            return None;
        }
        Some((mark, index))
    }

    /// Keeps what was found in a file that looked like `mark`.
    pub(crate) fn put(&self, path: &Path, mark: FileMark, index: &Arc<SegmentIndex>) {
        let samples: usize = index.tracks.iter().map(|track| track.heap_bytes()).sum();
        let bytes = samples + 2 * path.as_os_str().len() + OVERHEAD;
        let mut state = lock(&self.0);
        state.remove(path);
        state.uses += 1;
        let used = state.uses;
        let entry = Entry {
            mark,
            index: Arc::clone(index),
            bytes,
            used,
        };
        state.bytes += bytes;
        state.order.insert(used, path.to_owned());
        state.known.insert(path.to_owned(), entry);
        while state.bytes > LIMIT
            && let Some((_, oldest)) = state.order.pop_first()
        {
            state.remove(&oldest);
        }
    }
}

impl State {
    fn use_again(&mut self, path: &Path) -> Option<(FileMark, Arc<SegmentIndex>)> {
        let entry = self.known.get_mut(path)?;
        self.uses += 1;
        let before = std::mem::replace(&mut entry.used, self.uses);
        if let Some(path) = self.order.remove(&before) {
            self.order.insert(self.uses, path);
        }
        Some((entry.mark, Arc::clone(&entry.index)))
    }

    fn remove(&mut self, path: &Path) {
        if let Some(entry) = self.known.remove(path) {
            self.order.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(path: &Path) -> FileMark {
        FileMark::of(&std::fs::metadata(path).unwrap())
    }

    #[test]
    fn a_file_that_has_changed_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ts");
        std::fs::write(&path, "one").unwrap();
        let (indexes, index) = (Indexes::default(), Arc::new(SegmentIndex::default()));
        assert!(indexes.get(&path).is_none());
        indexes.put(&path, mark(&path), &index);
        assert_eq!(
            indexes.get(&path).map(|(found, _)| found),
            Some(mark(&path))
        );
        std::fs::write(&path, "three").unwrap();
        assert!(indexes.get(&path).is_none());
        std::fs::write(&path, "one").unwrap();
        indexes.put(&path, mark(&path), &index);
        std::fs::remove_file(&path).unwrap();
        assert!(indexes.get(&path).is_none());
        assert_eq!(lock(&indexes.0).bytes, 0);
    }

    #[test]
    fn what_was_used_last_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (indexes, index) = (Indexes::default(), Arc::new(SegmentIndex::default()));
        let path = |n: usize| folder.path().join(format!("{n}.ts"));
        std::fs::write(path(0), "").unwrap();
        let mark = mark(&path(0));
        let many = LIMIT / OVERHEAD;
        indexes.put(&path(0), mark, &index);
        for n in 1..many {
            indexes.put(&path(n), mark, &index);
            assert!(indexes.get(&path(0)).is_some());
        }
        let state = lock(&indexes.0);
        assert!(state.bytes <= LIMIT);
        assert!(!state.known.contains_key(&path(1)));
        assert!(state.known.contains_key(&path(many - 1)));
        assert_eq!(state.known.len(), state.order.len());
    }
}
