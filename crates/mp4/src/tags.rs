//! Title, comment, date, and the bytes that Clipmill keeps for itself.

use crate::boxes::{self, Boxes};
use crate::{LayoutError, Movie};

type Result<T> = std::result::Result<T, LayoutError>;

/// `usertype` of the `uuid` box (ISO/IEC 14496-12, 4.2.2) that holds
/// [`Movie::metadata`](crate::Movie::metadata).
pub const METADATA_UUID: [u8; 16] = [
    0x6b, 0x1d, 0x3f, 0x0a, 0x52, 0xc4, 0x4e, 0x8f, 0x9b, 0x27, 0xc1, 0x19, 0x4d, 0x11, 0x7a, 0x5e,
];

/// `udta` with `meta` and `ilst`: the tags as QuickTime and iTunes write them, which every player
/// reads, and what `chapters` writes. There is no public standard for `ilst`.
pub(crate) fn user_data(
    b: &mut Boxes,
    movie: &Movie,
    chapters: impl FnOnce(&mut Boxes) -> Result<()>,
) -> Result<()> {
    let day = movie.creation_time.map(date);
    let tool = concat!("Clipmill ", env!("CARGO_PKG_VERSION"));
    let tags = [
        (b"\xa9nam", movie.title.as_deref()),
        (b"\xa9cmt", movie.comment.as_deref()),
        (b"\xa9day", day.as_deref()),
        (b"\xa9too", Some(tool)),
    ];
    b.boxed(b"udta", |b| {
        b.full(b"meta", 0, 0, |b| {
            // 8.11.1: as `hdlr` of a track, but with a manufacturer where QuickTime looks for one.
            b.full(b"hdlr", 0, 0, |b| {
                b.u32(0);
                b.bytes(b"mdirappl");
                b.zeros(9);
                Ok(())
            })?;
            b.boxed(b"ilst", |b| {
                for (kind, text) in tags {
                    if let Some(text) = text.filter(|text| !text.is_empty()) {
                        tag(b, kind, text)?;
                    }
                }
                Ok(())
            })
        })?;
        chapters(b)
    })
}

fn tag(b: &mut Boxes, kind: &[u8; 4], text: &str) -> Result<()> {
    b.boxed(kind, |b| {
        b.boxed(b"data", |b| {
            b.u32(1); // UTF-8
            b.u32(0); // any locale
            b.bytes(text.as_bytes());
            Ok(())
        })
    })
}

/// The box of [`Movie::metadata`](crate::Movie::metadata), nothing where there is none.
pub(crate) fn metadata(b: &mut Boxes, movie: &Movie) -> Result<()> {
    let Some(bytes) = &movie.metadata else {
        return Ok(());
    };
    b.boxed(b"uuid", |b| {
        b.bytes(&METADATA_UUID);
        b.bytes(bytes);
        Ok(())
    })
}

/// Finds [`Movie::metadata`](crate::Movie::metadata) again in the first bytes of a file that
/// Clipmill wrote: it lies between `ftyp` and `moov`, so the first `64 + 24 + length` bytes are
/// enough. `None` where there is none, or `head` ends before it does.
#[must_use]
pub fn find_metadata(mut head: &[u8]) -> Option<&[u8]> {
    loop {
        let (size, rest) = head.split_first_chunk::<4>()?;
        let (kind, _) = rest.split_first_chunk::<4>()?;
        let size = usize::try_from(u32::from_be_bytes(*size)).ok()?;
        match kind {
            b"moov" | b"mdat" | b"moof" => return None,
            b"uuid" => {
                let content = head.get(8..size)?;
                if let Some(metadata) = content.strip_prefix(&METADATA_UUID) {
                    return Some(metadata);
                }
            }
            _ => {}
        }
        // Sizes 0 and 1 announce a box to the end and a 64-bit size: neither comes before `moov`.
        head = head.get(size.max(8)..)?;
    }
}

/// Seconds since the Unix epoch as ISO 8601: `2026-11-22T20:15:00Z`.
fn date(unix: u64) -> String {
    const DAY: u64 = 86_400;
    // Years of the proleptic Gregorian calendar repeat every 400 years of 146,097 days; counted
    // from 1 March the leap day is the last of its year.
    let days = unix.checked_div(DAY).unwrap_or_default();
    let second = unix.checked_rem(DAY).unwrap_or_default();
    let [day, month, year] = civil(days);
    let part = |unit: u64, base: u64| {
        let value = second.checked_div(unit).unwrap_or_default();
        value.checked_rem(base).unwrap_or_default()
    };
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        part(3_600, 24),
        part(60, 60),
        part(1, 60)
    )
}

/// Day, month and year of a day counted from 1 January 1970.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a count of days is below 2^48, and every divisor a constant"
)]
fn civil(days: u64) -> [u64; 3] {
    // The 1 March of the year 0 was 719,468 days earlier.
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    [day, month, era * 400 + year_of_era + next]
}

/// The brands of a file (4.3), the first of them the major one.
pub(crate) fn brands(b: &mut Boxes, brands: &[[u8; 4]]) -> Result<()> {
    boxes::file_type(b, 0x200, brands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(date(1_795_378_500), "2026-11-22T20:15:00Z");
        // No value that a caller could give stops it.
        assert!(date(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn metadata_is_found_again() {
        let movie = Movie {
            metadata: Some("{\"clip\":1}".into()),
            ..Default::default()
        };
        let mut b = Boxes::default();
        brands(&mut b, &[*b"isom"]).unwrap();
        metadata(&mut b, &movie).unwrap();
        let bytes = b.into_bytes();
        assert_eq!(find_metadata(&bytes), Some(&b"{\"clip\":1}"[..]));
        assert_eq!(find_metadata(&bytes[..bytes.len() - 1]), None);
        assert_eq!(find_metadata(&[]), None);
        assert_eq!(find_metadata(&[0; 64]), None);
    }
}
