//! A clip for programs that run on tokio.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::clip_reader::ClipReader;
use crate::error::ClipError;
use crate::source::SegmentSource;

/// Read at a time: large, as each block costs a change of threads.
const BLOCK: usize = 1 << 20;

/// The bytes of a [`ClipReader`] as a [`Stream`] of blocks, or as an [`AsyncRead`] (feature `tokio`).
///
/// Segments are read on tokio's threads for blocking work, a block at a time and none ahead of what is
/// asked for. To be polled within a runtime of tokio.
///
/// ```no_run
/// use clipmill::source::FileSource;
/// use clipmill::{ClipReader, ClipRequest, Format, Input};
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let input = Input::playlist("live/index.m3u8");
/// let layout = input.clip(&ClipRequest::default())?.clip().layout(Format::Mp4)?;
/// let mut body = ClipReader::new(layout, FileSource::default()).into_async();
/// tokio::io::copy(&mut body, &mut tokio::io::stdout()).await?;
/// # Ok(())
/// # }
/// ```
pub struct AsyncClipReader<S> {
    state: State<S>,
    /// What [`AsyncRead`] has not given yet of the last block.
    block: Bytes,
}

type Read<S> = (ClipReader<S>, Result<Bytes, ClipError>);

enum State<S> {
    Idle(ClipReader<S>),
    Reading(JoinHandle<Read<S>>),
    /// All has been read, or something failed.
    Over,
}

impl<S> fmt::Debug for AsyncClipReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncClipReader").finish_non_exhaustive()
    }
}

/// The reader is moved between threads, and is not pinned.
impl<S> Unpin for AsyncClipReader<S> {}

impl<S: SegmentSource + 'static> ClipReader<S> {
    /// The same, without blocking whoever reads (feature `tokio`).
    pub fn into_async(self) -> AsyncClipReader<S> {
        AsyncClipReader {
            state: State::Idle(self),
            block: Bytes::new(),
        }
    }
}

impl<S: SegmentSource + 'static> Stream for AsyncClipReader<S> {
    type Item = Result<Bytes, ClipError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.block.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.block))));
        }
        loop {
            self.state = match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Idle(reader) if reader.remaining() == 0 => return Poll::Ready(None),
                State::Idle(mut reader) => State::Reading(spawn_blocking(move || {
                    let block = reader.next_block(BLOCK);
                    (reader, block)
                })),
                State::Reading(mut task) => {
                    let Poll::Ready(read) = Pin::new(&mut task).poll(context) else {
                        self.state = State::Reading(task);
                        return Poll::Pending;
                    };
                    return Poll::Ready(Some(match read {
                        Ok((reader, Ok(block))) => {
                            self.state = State::Idle(reader);
                            Ok(block)
                        }
                        Ok((_, Err(error))) => Err(error),
                        Err(task) if task.is_panic() => {
                            std::panic::resume_unwind(task.into_panic())
                        }
                        // The runtime is being shut down.
                        Err(_) => Err(ClipError::Cancelled),
                    }));
                }
            };
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.state {
            State::Idle(reader) => (usize::from(reader.remaining() > 0), None),
            State::Reading(_) => (1, None),
            State::Over => (0, Some(usize::from(!self.block.is_empty()))),
        }
    }
}

impl<S: SegmentSource + 'static> AsyncRead for AsyncClipReader<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.block.is_empty() {
            match ready!(self.as_mut().poll_next(context)) {
                Some(Ok(block)) => self.block = block,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let len = self.block.len().min(out.remaining());
        out.put_slice(self.block.get(..len).unwrap_or_default());
        self.block.advance(len);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use bytes::Bytes;
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::source::{FileSource, MemorySource};
    use crate::{ClipLayout, ClipRequest, Format, Input};

    fn layout() -> ClipLayout {
        let input = Input::playlist("../../fixtures/demo/index.m3u8");
        let clip = input.clip(&ClipRequest::default()).unwrap();
        clip.clip().layout(Format::Mp4).unwrap()
    }

    async fn next<S: SegmentSource + 'static>(
        reader: &mut AsyncClipReader<S>,
    ) -> Option<Result<Bytes, ClipError>> {
        std::future::poll_fn(|context| Pin::new(&mut *reader).poll_next(context)).await
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(future)
    }

    #[test]
    fn it_gives_what_the_other_reader_gives() {
        let layout = layout();
        let mut expected = Vec::new();
        let reader =
            || ClipReader::new(layout.clone(), FileSource::default()).within(1_000..700_000);
        reader().read_to_end(&mut expected).unwrap();
        block_on(async {
            let mut blocks = reader().into_async();
            let mut all = Vec::new();
            while let Some(block) = next(&mut blocks).await {
                all.extend_from_slice(&block.unwrap());
            }
            assert!(all == expected);
            let mut mixed = reader().into_async();
            let mut all = vec![0; 10];
            mixed.read_exact(&mut all).await.unwrap();
            all.extend_from_slice(&next(&mut mixed).await.unwrap().unwrap());
            mixed.read_to_end(&mut all).await.unwrap();
            assert!(all == expected);
        });
    }

    #[test]
    fn what_is_gone_is_an_error_and_the_end() {
        block_on(async {
            let mut reader = ClipReader::new(layout(), MemorySource::new()).into_async();
            let mut first = None;
            while let Some(block) = next(&mut reader).await {
                first = block.err();
            }
            assert!(first.unwrap().to_string().contains("not found"));
            assert!(next(&mut reader).await.is_none());
        });
    }
}
