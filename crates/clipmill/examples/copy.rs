//! Copies files into one, a mebibyte at a time: the yardstick of `docs/performance.md`.
//!
//!     copy OUT IN...
//!
//! The buffer begins on a page. With `COPY_OFFSET=16` it begins where an allocator's large blocks
//! do, as that of most programs does.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};

const BLOCK: usize = 1 << 20;
const PAGE: usize = 4096;

fn main() -> io::Result<()> {
    let offset = env::var("COPY_OFFSET").ok().and_then(|it| it.parse().ok());
    let mut room = vec![1; BLOCK + 2 * PAGE];
    let start = room.as_ptr().align_offset(PAGE) + offset.unwrap_or(0) % PAGE;
    let buffer = &mut room[start..start + BLOCK];

    let mut names = env::args_os().skip(1);
    let mut out = File::create(names.next().unwrap_or_default())?;
    for name in names {
        let mut file = File::open(name)?;
        loop {
            let read = file.read(buffer)?;
            if read == 0 {
                break;
            }
            out.write_all(&buffer[..read])?;
        }
    }
    Ok(())
}
