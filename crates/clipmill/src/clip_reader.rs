//! The bytes of a laid-out clip, read as they are wanted.

use std::fmt;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::error::ClipError;
use crate::render::{BLOCK, ClipLayout, Renderer};
use crate::source::SegmentSource;

/// Reads a [`ClipLayout`], or a range of it, from its segments: block by block, or as any
/// [`Read`] and [`Seek`].
///
/// It keeps the segment that it read last, as the next block is likely to lie in it too, and no more
/// than that.
///
/// ```
/// use std::io::{Read, Seek, SeekFrom};
/// use clipmill::{ClipReader, ClipRequest, Format, Input};
///
/// let input = Input::playlist("../../fixtures/demo/index.m3u8");
/// let mut file = input.clip(&ClipRequest::default())?.reader(Format::Mp4)?;
/// let mut kind = [0; 4];
/// file.seek(SeekFrom::Start(4))?;
/// file.read_exact(&mut kind)?;
/// assert_eq!(&kind, b"ftyp");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ClipReader<S> {
    layout: Arc<ClipLayout>,
    source: S,
    /// What it is confined to.
    whole: Range<u64>,
    /// What is still to come.
    range: Range<u64>,
    last: Option<(usize, Bytes)>,
    /// What `Read` has not given yet of the last block. The range begins behind it.
    block: Bytes,
}

impl<S> fmt::Debug for ClipReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ClipReader");
        shown.field("whole", &self.whole);
        shown.field("position", &self.position());
        shown.finish_non_exhaustive()
    }
}

impl<S: SegmentSource> ClipReader<S> {
    /// A reader of the whole file, whose segments are read from `source`.
    pub fn new(layout: impl Into<Arc<ClipLayout>>, source: S) -> Self {
        let layout = layout.into();
        let whole = 0..layout.len();
        Self {
            range: whole.clone(),
            whole,
            layout,
            source,
            last: None,
            block: Bytes::new(),
        }
    }

    /// A reader of `range` of the file alone, which stands at its beginning; what lies past the end of
    /// the file is left out. Positions go on counting from the beginning of the file.
    #[must_use]
    pub fn within(mut self, range: Range<u64>) -> Self {
        let end = range.end.min(self.layout.len());
        self.whole = range.start.min(end)..end;
        self.range = self.whole.clone();
        self.block = Bytes::new();
        self
    }

    /// How many bytes are still to come.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.range.end - self.position()
    }

    /// The layout that is read.
    #[must_use]
    pub fn layout(&self) -> &Arc<ClipLayout> {
        &self.layout
    }

    /// The next block: about `wanted` bytes, as media is gathered by the chunk; fewer at the end
    /// of the range, and none behind it. What lies in a segment in one piece is passed on as it lies
    /// there.
    ///
    /// # Errors
    /// When a segment can no longer be read.
    pub fn next_block(&mut self, wanted: usize) -> Result<Bytes, ClipError> {
        if !self.block.is_empty() {
            return Ok(std::mem::take(&mut self.block));
        }
        let most = usize::try_from(self.remaining()).unwrap_or(usize::MAX);
        let mut block = Vec::with_capacity(most.min(wanted.saturating_add(wanted / 4)));
        let mut whole = None;
        let last = self.last.take();
        let mut renderer = Renderer::resumed(self.layout.segments(), &self.source, last);
        for span in self.layout.spans(self.range.clone()) {
            let room = wanted.saturating_sub(block.len());
            if room == 0 {
                break;
            }
            match span {
                // A `moov` can be large, and parts anywhere.
                clipmill_mp4::Span::Bytes(bytes) => {
                    block.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                }
                span => match renderer.piece(&span)? {
                    None => renderer.render(&span, &mut block)?,
                    Some(piece) => {
                        if block.is_empty() {
                            whole = Some(piece);
                        }
                        break;
                    }
                },
            }
        }
        self.last = renderer.into_last();
        let block = whole.unwrap_or_else(|| Bytes::from(block));
        self.range.start += block.len() as u64;
        Ok(block)
    }
}

impl<S> ClipReader<S> {
    /// Where it stands in the file.
    fn position(&self) -> u64 {
        self.range.start - self.block.len() as u64
    }

    fn go_to(&mut self, position: u64) {
        let begin = self.position();
        // Nearby, what has been gathered is not gathered again.
        match usize::try_from(position.wrapping_sub(begin)) {
            Ok(ahead) if ahead <= self.block.len() => self.block.advance(ahead),
            _ => {
                self.block = Bytes::new();
                self.range = position.min(self.whole.end)..self.whole.end;
            }
        }
    }
}

impl<S: SegmentSource> BufRead for ClipReader<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.block.is_empty() {
            self.block = self.next_block(BLOCK).map_err(io::Error::other)?;
        }
        Ok(&self.block)
    }

    fn consume(&mut self, amount: usize) {
        self.block.advance(amount.min(self.block.len()));
    }
}

impl<S: SegmentSource> Read for ClipReader<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

/// Positions are those of the whole file. A position past the end is taken for the end, as there is
/// nothing to read there either way.
impl<S> Seek for ClipReader<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.whole.end.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position().checked_add_signed(offset),
        };
        let position = position.filter(|position| *position >= self.whole.start);
        let position = position
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "before the beginning"))?;
        self.go_to(position);
        Ok(self.position())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::FileSource;
    use crate::{Clip, ClipRequest, Cut, Format, Input};

    fn clip(cut: Cut) -> Clip {
        let request = ClipRequest::last(std::time::Duration::from_millis(5_300)).with_cut(cut);
        let input = Input::playlist("../../fixtures/demo/index.m3u8");
        input.clip(&request).unwrap().into_clip()
    }

    #[test]
    fn positions_and_ends() {
        let layout = clip(Cut::Keyframe).layout(Format::Mp4).unwrap();
        let len = layout.len();
        let mut reader = ClipReader::new(layout, FileSource::default());
        assert_eq!(reader.remaining(), len);
        assert_eq!(reader.seek(SeekFrom::End(-5)).unwrap(), len - 5);
        let mut last = Vec::new();
        assert_eq!(reader.read_to_end(&mut last).unwrap(), 5);
        assert_eq!(reader.next_block(1000).unwrap(), "");
        assert_eq!(reader.seek(SeekFrom::End(1)).unwrap(), len);
        assert!(reader.seek(SeekFrom::Current(-1 - len as i64)).is_err());
        let mut within = reader.within(len - 3..u64::MAX);
        assert_eq!(within.remaining(), 3);
        let mut part = [0; 2];
        within.read_exact(&mut part).unwrap();
        assert_eq!(part, last[2..4]);
        assert!(within.rewind().is_err(), "before what it is confined to");
        assert_eq!(within.seek(SeekFrom::Current(-1)).unwrap(), len - 2);
        // What `Read` has gathered is not lost to those who take blocks.
        assert_eq!(within.next_block(1).unwrap(), last[3..]);
    }

    #[test]
    fn a_range_ends_where_it_ends_wherever_the_reader_stood() {
        let layout = Arc::new(clip(Cut::Keyframe).layout(Format::Mp4).unwrap());
        let source = FileSource::default();
        let reader = || ClipReader::new(Arc::clone(&layout), &source);
        let mut file = Vec::new();
        reader().read_to_end(&mut file).unwrap();
        for (stood, range) in [(0, 0..5), (3, 3..9), (3, 5..9), (9, 0..5)] {
            let mut before = reader();
            before.read_exact(&mut vec![0; stood]).unwrap();
            let mut within = before.within(range.start as u64..range.end as u64);
            assert_eq!(within.remaining(), range.len() as u64);
            let mut part = Vec::new();
            within.read_to_end(&mut part).unwrap();
            assert_eq!(part, file[range.clone()], "{range:?} from {stood}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever is read in which order, it is what stands there in the file.
        #[test]
        fn every_read_gives_what_stands_there(
            reads in prop::collection::vec((0u64..2_000_000, 0usize..40_000), 1..20),
            fragmented: bool,
        ) {
            let format = if fragmented { Format::Fmp4 } else { Format::Mp4 };
            let layout = clip(Cut::Exact).layout(format).unwrap();
            let source = FileSource::default();
            let mut file = Vec::new();
            layout.write_to(&source, "memory".as_ref(), &mut file).unwrap();
            let mut reader = ClipReader::new(layout, &source);
            for (to, len) in reads {
                let at = usize::try_from(to).unwrap() % file.len();
                reader.seek(SeekFrom::Start(at as u64)).unwrap();
                let mut read = Vec::new();
                reader.by_ref().take(len as u64).read_to_end(&mut read).unwrap();
                let expected = &file[at..(at + len).min(file.len())];
                prop_assert!(read == expected, "{len} bytes at {at}");
                prop_assert_eq!(reader.stream_position().unwrap(), (at + expected.len()) as u64);
            }
        }
    }
}
