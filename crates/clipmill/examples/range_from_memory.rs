//! Any byte range of a clip that is stored nowhere, cut from segments in memory: what an HTTP server
//! needs to answer a `Range` request.
//!
//!     cargo run --example range_from_memory -- FIRST LAST SEGMENT...

use std::io::{self, Read, Seek, SeekFrom, Write};

use bytes::Bytes;
use clipmill::source::MemorySource;
use clipmill::{ClipRequest, Format, Input};

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [first, last, segments @ ..] = arguments.as_slice() else {
        return Err("usage: range_from_memory FIRST LAST SEGMENT...".into());
    };
    let segments: Result<Vec<_>, _> = segments.iter().map(std::fs::read).collect();
    let segments = segments?.into_iter().map(Bytes::from);
    let range = answer(segments, first.parse()?, last.parse()?)?;
    io::stdout().write_all(&range)?;
    Ok(())
}

/// The bytes from `first` to `last`, both included, as RFC 9110, 14.1.2, counts them.
pub(crate) fn answer(
    segments: impl Iterator<Item = Bytes>,
    first: u64,
    last: u64,
) -> Outcome<Vec<u8>> {
    let mut source = MemorySource::new();
    let mut names = Vec::new();
    for (number, segment) in segments.enumerate() {
        let name = format!("{number}.ts");
        source.insert(name.as_str(), segment);
        names.push(name);
    }
    let input = Input::files(names.iter().map(String::as_str)).with_source(source);
    let mut file = input.clip(&ClipRequest::default())?.reader(Format::Mp4)?;
    eprintln!("bytes {first}-{last}/{}", file.layout().len());
    file.seek(SeekFrom::Start(first))?;
    let mut range = Vec::new();
    file.take((last + 1).saturating_sub(first))
        .read_to_end(&mut range)?;
    Ok(range)
}
