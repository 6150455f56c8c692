//! Memory that segments are read into.
//!
//! It is used again and again, as fresh memory costs a page fault for every four kilobytes. And it
//! begins on a cache line: where it does not, and an allocator's large blocks do not, the copy out
//! of the page cache (`rep movsb`) takes three times as long on some processors.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// How many unused buffers are kept: as many as a job has in use at a time.
const KEPT: usize = 4;

/// The largest buffer that is kept.
const LARGEST: usize = 16 << 20;

/// Buffers grow in steps, so that one fits segments of about the same size.
const STEP: usize = 256 << 10;

/// Smaller reads are left to the allocator, which keeps such memory at hand itself.
const SMALLEST: usize = 64 << 10;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Unused buffers.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// Reads up to `len` bytes; fewer where the file ends.
    pub(super) fn read(&self, file: &File, len: usize) -> io::Result<Bytes> {
        let mut bytes = if len < SMALLEST {
            Vec::new()
        } else {
            self.take()
        };
        let capacity = len.saturating_add(LINE);
        let capacity = if len < SMALLEST {
            capacity
        } else {
            capacity.checked_next_multiple_of(STEP).unwrap_or(capacity)
        };
        bytes
            .try_reserve_exact(capacity)
            .map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
        let start = bytes.as_ptr().align_offset(LINE).min(LINE);
        bytes.resize(start, 0);
        fill(file, &mut bytes, start.saturating_add(len))?;
        let bytes = Used {
            bytes,
            start,
            buffers: self.clone(),
        };
        Ok(Bytes::from_owner(bytes))
    }

    fn take(&self) -> Vec<u8> {
        let mut unused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unused.pop().unwrap_or_default()
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        let mut unused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.len() < KEPT && (SMALLEST..=LARGEST).contains(&bytes.capacity()) {
            bytes.clear();
            unused.push(bytes);
        }
    }
}

/// A buffer in use.
struct Used {
    bytes: Vec<u8>,
    /// Where what was read begins.
    start: usize,
    buffers: Buffers,
}

impl AsRef<[u8]> for Used {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        self.buffers.give_back(std::mem::take(&mut self.bytes));
    }
}

/// Reads until there are `end` bytes, in calls as large as can be, into memory that need not be
/// zeroed first.
#[cfg(unix)]
fn fill(file: &File, bytes: &mut Vec<u8>, end: usize) -> io::Result<()> {
    use rustix::buffer::spare_capacity;
    while bytes.len() < end {
        match rustix::io::read(file, spare_capacity(bytes)) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The buffer may have had room for more.
    bytes.truncate(end);
    Ok(())
}

#[cfg(not(unix))]
fn fill(file: &File, bytes: &mut Vec<u8>, end: usize) -> io::Result<()> {
    use std::io::Read;
    let len = end.saturating_sub(bytes.len());
    file.take(len as u64).read_to_end(bytes).map(|_| ())
}
