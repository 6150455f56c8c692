//! A range of a clip, block by block, for those who send it on as fast as it is taken.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::ClipError;
use crate::render::{ClipLayout, Renderer};
use crate::source::SegmentSource;

/// Reads a range of a [`ClipLayout`]. It keeps the segment that it read last, as the next block is
/// likely to lie in it too.
#[derive(Debug)]
pub struct ClipReader {
    layout: Arc<ClipLayout>,
    range: Range<u64>,
    last: Option<(usize, Bytes)>,
}

impl ClipReader {
    /// A reader of `range`; what lies past the end of the file is left out.
    #[must_use]
    pub fn new(layout: Arc<ClipLayout>, range: Range<u64>) -> Self {
        let end = range.end.min(layout.len());
        Self {
            range: range.start.min(end)..end,
            layout,
            last: None,
        }
    }

    /// How many bytes are still to come.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The next block: about `wanted` bytes, as media is gathered by the chunk; fewer at the end
    /// of the range, and none behind it. What lies in a segment in one piece is passed on as it lies
    /// there.
    ///
    /// # Errors
    /// When a segment can no longer be read.
    pub fn next_block(
        &mut self,
        source: &dyn SegmentSource,
        wanted: usize,
    ) -> Result<Bytes, ClipError> {
        let most = usize::try_from(self.remaining()).unwrap_or(usize::MAX);
        let mut block = Vec::with_capacity(most.min(wanted + wanted / 4));
        let mut whole = None;
        let mut renderer = Renderer::resumed(self.layout.segments(), source, self.last.take());
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
