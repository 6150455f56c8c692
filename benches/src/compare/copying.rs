//! The yardstick: a loop of reads and writes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Size of a read.
const BLOCK: usize = 1 << 20;
const PAGE: usize = 4096;

/// Copies files one after the other into one, a mebibyte at a time, through a buffer that begins so
/// many bytes behind a page: 0 is the fastest there is, 16 is where allocators put large blocks and
/// so what most programs do.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy(out: &Path, files: &[PathBuf], offset: usize) -> io::Result<()> {
    let mut room = vec![1; BLOCK + 2 * PAGE];
    let start = room.as_ptr().align_offset(PAGE) + offset % PAGE;
    let buffer = &mut room[start..start + BLOCK];
    let mut out = File::create(out)?;
    for name in files {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_follow_one_another_whatever_the_offset() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let large: Vec<u8> = (0..BLOCK + 777).map(|n| (n % 251) as u8).collect();
        std::fs::write(&a, &large).unwrap();
        std::fs::write(&b, "end").unwrap();
        for offset in [0, 16, 5000] {
            let out = folder.path().join("out");
            copy(&out, &[a.clone(), b.clone()], offset).unwrap();
            let copied = std::fs::read(&out).unwrap();
            assert!(copied == [&large[..], b"end"].concat());
        }
    }
}
