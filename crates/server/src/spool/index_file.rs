//! The indexes of the segments of a chunk, in one file beside them: so that a window of hours is chosen without a look at
//! its media, also after a restart.
//!
//! ```text
//! record: format u32 | length u32 | number u64 | digest u64 | index, in the form of postcard
//! ```
//!
//! Records are appended, and never changed. What cannot be read, as it was cut off by a crash, or written by another
//! version, is read from the media instead.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use clipmill::SegmentIndex;

/// Its name in the folder of a chunk.
const NAME: &str = "indexes";

/// Of records. To be counted up when anything in an index changes: a test tells.
const FORMAT: u32 = 1;

/// Before the index itself, in bytes.
const HEAD: usize = 24;

/// The longest record, in bytes: that of a segment takes a few thousand.
const LONGEST: usize = 64 << 20;

/// Appends the index of a segment to the file of its chunk.
pub(super) fn append(chunk: &Path, number: u64, index: &SegmentIndex) -> io::Result<()> {
    let content = postcard::to_allocvec(index).map_err(io::Error::other)?;
    let Some(len) = u32::try_from(content.len())
        .ok()
        .filter(|_| content.len() <= LONGEST)
    else {
        return Ok(());
    };
    let mut record = Vec::with_capacity(HEAD + content.len());
    record.extend(FORMAT.to_be_bytes());
    record.extend(len.to_be_bytes());
    record.extend(number.to_be_bytes());
    record.extend(digest(number, &content).to_be_bytes());
    record.extend(content);
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(chunk.join(NAME))?;
    // At once, as two workers may do so.
    file.write_all(&record)
}

/// The indexes of a chunk, as far as they can be read.
#[derive(Debug, Default)]
pub(super) struct IndexFile {
    content: Vec<u8>,
    /// Where in the content the index of each segment lies.
    places: HashMap<u64, (usize, usize)>,
}

impl IndexFile {
    pub(super) fn read(chunk: &Path) -> Self {
        let content = fs::read(chunk.join(NAME)).unwrap_or_default();
        let mut places = HashMap::new();
        let mut at = 0;
        while let Some((number, from, to)) = record(&content, at) {
            places.insert(number, (from, to));
            at = to;
        }
        Self { content, places }
    }

    /// The index of a segment.
    pub(super) fn get(&self, number: u64) -> Option<Arc<SegmentIndex>> {
        let (from, to) = *self.places.get(&number)?;
        let content = self.content.get(from..to)?;
        let known = self.content.get(from.checked_sub(8)?..from)?;
        if known != digest(number, content).to_be_bytes() {
            return None;
        }
        postcard::from_bytes(content).ok().map(Arc::new)
    }
}

/// The number of the record that begins there, and where its index lies.
fn record(content: &[u8], at: usize) -> Option<(u64, usize, usize)> {
    let head: &[u8; HEAD] = content.get(at..)?.first_chunk()?;
    let (format, rest) = head.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (number, _) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let from = at.checked_add(HEAD)?;
    let to = from.checked_add(len)?;
    let is_whole = u32::from_be_bytes(*format) == FORMAT && to <= content.len();
    is_whole.then_some((u64::from_be_bytes(*number), from, to))
}

fn digest(number: u64, content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(number);
    hasher.write(content);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use clipmill::{Limits, ReadSegment, SegmentReader};

    use super::*;

    fn index() -> SegmentIndex {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo");
        let bytes = fs::read(fixtures.join("seg01.ts")).unwrap();
        let read = ReadSegment {
            file: None,
            bytes: bytes.into(),
            key: None,
            init: None,
        };
        SegmentReader::new(None, &Limits::default())
            .index(&read)
            .unwrap()
    }

    #[test]
    fn what_is_written_down_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let index = index();
        assert!(IndexFile::read(folder.path()).get(0).is_none());
        for number in [7, 9] {
            append(folder.path(), number, &index).unwrap();
        }
        let file = IndexFile::read(folder.path());
        assert_eq!(file.get(7).as_deref(), Some(&index));
        assert_eq!(file.get(9).as_deref(), Some(&index));
        assert!(file.get(8).is_none());
    }

    #[test]
    fn what_is_damaged_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let index = index();
        for number in 0..3 {
            append(folder.path(), number, &index).unwrap();
        }
        let path = folder.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        let one = whole.len() / 3;
        // Cut off.
        for len in [0, 3, HEAD, one + 1, 2 * one + HEAD + 1] {
            fs::write(&path, &whole[..len]).unwrap();
            let file = IndexFile::read(folder.path());
            for number in 0..3 {
                let is_whole = (number as usize + 1) * one <= len;
                assert_eq!(
                    file.get(number).is_some(),
                    is_whole,
                    "{number} of {len} bytes"
                );
            }
        }
        // Another content.
        let mut other = whole.clone();
        other[one + HEAD + 20] ^= 1;
        fs::write(&path, &other).unwrap();
        let file = IndexFile::read(folder.path());
        assert!(file.get(0).is_some() && file.get(1).is_none() && file.get(2).is_some());
        // Of another version.
        let mut other = whole;
        other[3] ^= 1;
        fs::write(&path, &other).unwrap();
        assert!(IndexFile::read(folder.path()).get(0).is_none());
    }

    /// Where this fails, what is written down has another form: count [`FORMAT`] up, and put the new digest here.
    #[test]
    fn the_form_is_that_of_this_format() {
        let content = postcard::to_allocvec(&index()).unwrap();
        let fnv = content
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        assert_eq!(
            (FORMAT, fnv),
            (1, 13_351_875_838_623_122_332),
            "{} bytes",
            content.len()
        );
    }
}
