//! Segment indexes of which no recorder holds the segments any more, but which are still listed: who
//! asks for the same window again, or for one next to it, does not wait until its media is read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clipmill::SegmentIndex;
use lru::LruCache;

use super::shared::lock;
use crate::sources::session::FileMark;

/// Bytes that are kept, of all streams together: half a day of one stream with sound.
const LIMIT: usize = 64 << 20;

/// What an entry takes besides its samples, in bytes.
const OVERHEAD: usize = 1 << 10;

/// Indexes of whole files: those that were used last, as many as [`LIMIT`] has room for.
#[derive(Debug, Default)]
pub(crate) struct Indexes(Mutex<Cache>);

#[derive(Debug)]
struct Cache {
    entries: LruCache<PathBuf, Entry>,
    /// What the entries take together.
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    mark: FileMark,
    index: Arc<SegmentIndex>,
    bytes: usize,
}

impl Indexes {
    /// The index of the file at `path`, if it still is the same file.
    pub(crate) fn get(&self, path: &Path) -> Option<(FileMark, Arc<SegmentIndex>)> {
        let (mark, index) = {
            let mut cache = lock(&self.0);
            let entry = cache.entries.get(path)?;
            (entry.mark, Arc::clone(&entry.index))
        };
        let now = std::fs::metadata(path).ok().map(|now| FileMark::of(&now));
        if now != Some(mark) {
            lock(&self.0).remove(path);
            return None;
        }
        Some((mark, index))
    }

    /// Keeps the index of a file that looked like `mark`.
    pub(crate) fn put(&self, path: &Path, mark: FileMark, index: &Arc<SegmentIndex>) {
        let samples: usize = index.tracks.iter().map(|track| track.heap_bytes()).sum();
        let entry = Entry {
            mark,
            index: Arc::clone(index),
            bytes: samples + path.as_os_str().len() + OVERHEAD,
        };
        let mut cache = lock(&self.0);
        cache.bytes += entry.bytes;
        if let Some(former) = cache.entries.put(path.to_owned(), entry) {
            cache.bytes -= former.bytes;
        }
        while cache.bytes > LIMIT
            && let Some((_, oldest)) = cache.entries.pop_lru()
        {
            cache.bytes -= oldest.bytes;
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            entries: LruCache::unbounded(),
            bytes: 0,
        }
    }
}

impl Cache {
    fn remove(&mut self, path: &Path) {
        if let Some(entry) = self.entries.pop(path) {
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
    fn an_index_of_a_file_that_has_changed_is_not_given() {
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
            // Again, which must not count twice.
            indexes.put(&path(n), mark, &index);
            assert!(indexes.get(&path(0)).is_some());
        }
        let cache = lock(&indexes.0);
        assert!(cache.bytes <= LIMIT && cache.bytes > LIMIT / 100 * 99);
        assert!(!cache.entries.contains(&path(1)));
        assert!(cache.entries.contains(&path(many - 1)));
        let all = cache.entries.iter().map(|(_, entry)| entry.bytes);
        assert_eq!(all.sum::<usize>(), cache.bytes);
    }
}
