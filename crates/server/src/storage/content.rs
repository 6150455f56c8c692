//! The bytes of a clip, wherever they lie.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

/// The bytes of a clip.
pub trait ClipContent: Debug + Send + Sync {
    /// How many there are.
    ///
    /// # Errors
    /// When the store does not answer.
    fn size(&self) -> io::Result<u64>;

    /// Opens some of them, to be read one block after the other: one request where they lie elsewhere.
    ///
    /// # Errors
    /// When the store does not answer.
    fn open_range(&self, range: Range<u64>) -> io::Result<Box<dyn Blocks>>;
}

/// Bytes that are read block by block.
pub trait Blocks: Debug + Send {
    /// The next block, of `most` bytes at most; an empty one at the end.
    ///
    /// # Errors
    /// When it cannot be read, or the clip is shorter than it was.
    fn next(&mut self, most: usize) -> io::Result<Bytes>;
}

/// The bytes of a file. An open file stays whole whatever becomes of its name.
#[derive(Debug)]
pub struct FileContent(Arc<File>);

impl FileContent {
    /// Those of this file.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self::shared(Arc::new(file))
    }

    /// Those of a file that somebody else has, too.
    #[must_use]
    pub fn shared(file: Arc<File>) -> Self {
        Self(file)
    }
}

impl ClipContent for FileContent {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn open_range(&self, range: Range<u64>) -> io::Result<Box<dyn Blocks>> {
        Ok(Box::new(FileBlocks {
            file: Arc::clone(&self.0),
            range,
        }))
    }
}

#[derive(Debug)]
struct FileBlocks {
    file: Arc<File>,
    /// What is still to be read.
    range: Range<u64>,
}

impl Blocks for FileBlocks {
    fn next(&mut self, most: usize) -> io::Result<Bytes> {
        let left = self.range.end.saturating_sub(self.range.start);
        let len = usize::try_from(left).unwrap_or(most).min(most);
        if len == 0 {
            return Ok(Bytes::new());
        }
        // Memory that need not be zeroed first.
        let mut bytes = Vec::with_capacity(len);
        let room = rustix::buffer::spare_capacity(&mut bytes);
        let count = rustix::io::pread(&*self.file, room, self.range.start)?;
        if count == 0 {
            // Cut short while it was being read.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // There may have been room for more.
        bytes.truncate(len);
        self.range.start += bytes.len() as u64;
        Ok(Bytes::from(bytes))
    }
}

/// A clip's bytes as `Read` and `Seek`.
#[derive(Debug)]
pub struct Seekable {
    content: Arc<dyn ClipContent>,
    len: u64,
    at: u64,
}

impl Seekable {
    /// From the first byte on.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn new(content: Arc<dyn ClipContent>) -> io::Result<Self> {
        let len = content.size()?;
        Ok(Self {
            content,
            len,
            at: 0,
        })
    }
}

impl Read for Seekable {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let end = self.len.min(self.at.saturating_add(into.len() as u64));
        if end <= self.at {
            return Ok(0);
        }
        let bytes = self.content.open_range(self.at..end)?.next(into.len())?;
        let Some(room) = into.get_mut(..bytes.len()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        room.copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl Seek for Seekable {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
