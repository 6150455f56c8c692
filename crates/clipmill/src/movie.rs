//! A whole MP4 file that somebody else made: that it is one, and how long it is presented
//! (ISO/IEC 14496-12, 4.2 and 8.2.2).

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use clipmill_media::{LimitExceeded, Limits};
use clipmill_mp4::{MovieDuration, ReadError};

/// So many boxes a file may have side by side: for each there is something to read.
const MOST_BOXES: u64 = 1_000_000;

/// Why a file is no MP4 that can be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MovieError {
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It begins as something else.
    #[error("no MP4: it does not begin with an ftyp or moov box")]
    NotMp4,
    /// Its end is missing.
    #[error("cut off: box {kind} at byte {offset} reaches past the end of the file")]
    CutOff {
        /// The box that is not there whole.
        kind: String,
        /// Where it begins, in bytes.
        offset: u64,
    },
    /// Nothing says what it holds.
    #[error("no MP4 that can be played: there is no moov box")]
    NoMovie,
    /// Nothing is to be played.
    #[error("no MP4 that can be played: it holds no media")]
    NoMedia,
    /// A box makes no sense.
    #[error(transparent)]
    Box(#[from] ReadError),
    /// Something is larger than allowed.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How long an MP4 file is presented, fragmented or not. Every box of it has to be there whole; of its media
/// nothing is read.
///
/// # Errors
/// When the file cannot be read, or is no MP4 that can be played.
pub fn movie_duration<F: Read + Seek>(
    file: &mut F,
    limits: &Limits,
) -> Result<Duration, MovieError> {
    let len = file.seek(SeekFrom::End(0))?;
    if len == 0 {
        return Err(MovieError::Empty);
    }
    let (mut at, mut boxes, mut media) = (0, 0, false);
    let mut movie: Option<MovieDuration> = None;
    while at < len {
        boxes += 1;
        LimitExceeded::check("boxes of a file", boxes, MOST_BOXES)?;
        let next = next_box(file, at, len)?;
        match &next.kind {
            b"mdat" => media |= next.size > next.header,
            b"moov" if movie.is_none() => {
                let bytes = next.bytes(file, at, limits)?;
                movie = Some(MovieDuration::of(&bytes, limits)?);
            }
            b"moof" => {
                let bytes = next.bytes(file, at, limits)?;
                if let Some(movie) = &mut movie {
                    movie.fragment(&bytes)?;
                }
            }
            _ => {}
        }
        at += next.size;
    }
    let duration = movie.ok_or(MovieError::NoMovie)?.get();
    if duration.is_zero() || !media {
        return Err(MovieError::NoMedia);
    }
    Ok(duration)
}

struct BoxHeader {
    kind: [u8; 4],
    header: u64,
    /// With the header.
    size: u64,
}

/// The box that begins `at` a byte of a file that is `len` bytes long.
fn next_box<F: Read + Seek>(file: &mut F, at: u64, len: u64) -> Result<BoxHeader, MovieError> {
    let mut head = [0; 16];
    let there = usize::try_from(len - at).unwrap_or(usize::MAX).min(16);
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut head[..there])?;
    let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _] = head;
    let kind: [u8; 4] = kind;
    let (header, size) = match u32::from_be_bytes([a, b, c, d]) {
        // To the end of the file.
        0 => (8, len - at),
        1 => {
            let [.., e, f, g, h, i, j, k, l] = head;
            (16, u64::from_be_bytes([e, f, g, h, i, j, k, l]))
        }
        short => (8, u64::from(short)),
    };
    // What begins as something else was never an MP4, wherever it ends.
    let begins_one = matches!(&kind, b"ftyp" | b"moov" | b"wide" | b"free" | b"skip");
    if at == 0 && (!begins_one || there < 8) {
        return Err(MovieError::NotMp4);
    }
    if (there as u64) < header || size > len - at {
        return Err(MovieError::CutOff {
            kind: kind.escape_ascii().to_string(),
            offset: at,
        });
    }
    if size < header {
        return Err(MovieError::Box(ReadError::Box {
            path: "(top)",
            offset: at,
            what: "is shorter than its own header",
        }));
    }
    Ok(BoxHeader { kind, header, size })
}

impl BoxHeader {
    /// All of it.
    fn bytes<F: Read + Seek>(
        &self,
        file: &mut F,
        at: u64,
        limits: &Limits,
    ) -> Result<Vec<u8>, MovieError> {
        let what = "bytes of a moov or moof box";
        LimitExceeded::check(what, self.size, limits.init_bytes)?;
        file.seek(SeekFrom::Start(at))?;
        let mut bytes = Vec::new();
        file.take(self.size).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + 8).unwrap();
        [&size.to_be_bytes(), &kind[..], body].concat()
    }

    /// The header of a movie or of media: 5 s.
    fn header(kind: &[u8; 4]) -> Vec<u8> {
        let times = [0, 0, 0, 1000_u32, 5000].map(u32::to_be_bytes).concat();
        boxed(kind, &[times, vec![0; 80]].concat())
    }

    fn moov() -> Vec<u8> {
        let tkhd = boxed(b"tkhd", &[0, 0, 0, 1_u32].map(u32::to_be_bytes).concat());
        let trak = boxed(b"trak", &[tkhd, boxed(b"mdia", &header(b"mdhd"))].concat());
        boxed(b"moov", &[header(b"mvhd"), trak].concat())
    }

    fn read(parts: &[&[u8]]) -> Result<u64, String> {
        let mut file = Cursor::new(parts.concat());
        let read = movie_duration(&mut file, &Limits::default());
        read.map(|duration| duration.as_secs())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn boxes_of_every_length() {
        let (ftyp, moov, mdat) = (boxed(b"ftyp", b"isom"), moov(), boxed(b"mdat", b"media"));
        let long = [
            &1_u32.to_be_bytes()[..],
            b"mdat",
            &20_u64.to_be_bytes(),
            b"data",
        ]
        .concat();
        let open = [&[0; 4][..], b"mdat", b"to the end of the file"].concat();
        for media in [&mdat, &long, &open] {
            assert_eq!(read(&[&ftyp, &moov, media]), Ok(5));
        }
        // Media first, and QuickTime's filling.
        assert_eq!(read(&[&ftyp, &boxed(b"wide", b""), &mdat, &moov]), Ok(5));
        assert_eq!(read(&[&moov, &mdat]), Ok(5));
        let cut = |what: &str, at: usize| {
            Err(format!(
                "cut off: box {what} at byte {at} reaches past the end of the file"
            ))
        };
        let behind = ftyp.len() + moov.len();
        assert_eq!(read(&[&ftyp, &moov, &mdat[..12]]), cut("mdat", behind));
        assert_eq!(read(&[&ftyp, &moov, &long[..15]]), cut("mdat", behind));
        assert_eq!(read(&[&ftyp, &moov[..80]]), cut("moov", ftyp.len()));
        let tiny = [&7_u32.to_be_bytes()[..], b"mdat", b"data"].concat();
        let why = read(&[&ftyp, &moov, &tiny]).unwrap_err();
        assert!(why.contains("shorter than its own header"), "{why}");
        // A length of nearly all that 64 bits can say.
        let huge = [&1_u32.to_be_bytes()[..], b"mdat", &[0xff; 8], b"data"].concat();
        assert_eq!(read(&[&ftyp, &moov, &huge]), cut("mdat", behind));
    }

    #[test]
    fn what_is_no_movie_says_why() {
        let (ftyp, moov) = (boxed(b"ftyp", b"isom"), moov());
        for (parts, why) in [
            (vec![], "the file is empty"),
            (vec![b"RIFF....AVI LIST"], "does not begin with"),
            (vec![b"\0"], "does not begin with"),
            (vec![ftyp.as_slice()], "there is no moov box"),
            (vec![&ftyp, &moov], "it holds no media"),
            (vec![&ftyp, b"\0\0\0\x08mdat", &moov], "it holds no media"),
        ] as [(Vec<&[u8]>, &str); 6]
        {
            let said = read(&parts).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        let mut limits = Limits::default();
        limits.init_bytes = moov.len() as u64 - 1;
        let mut file = Cursor::new([ftyp, moov].concat());
        let refused = movie_duration(&mut file, &limits).unwrap_err();
        assert!(matches!(refused, MovieError::Limit(_)), "{refused}");
    }

    proptest! {
        #[test]
        fn damaged_files_never_panic(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        ) {
            let parts = [boxed(b"ftyp", b"isom"), moov(), boxed(b"mdat", b"media")];
            let mut bytes = parts.concat();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = read(&[&bytes]);
        }
    }
}
