//! Edit lists of initialization segments (ISO/IEC 14496-12, 8.6.6): when a track begins.

use super::ReadError;
use super::walk::BoxAt;

const PATH: &str = "moov/trak/edts/elst";

/// What to add to the composition times of a track, in its own timescale: the first edit that
/// shows media, and the empty ones before it. Later edits have no meaning for fragments.
pub(super) fn shift(
    trak: &BoxAt<'_>,
    movie_timescale: u32,
    timescale: u32,
) -> Result<i64, ReadError> {
    let list = trak.child(b"edts").and_then(|edts| edts.child(b"elst"));
    let Some(list) = list else { return Ok(0) };
    read(&list, movie_timescale, timescale).ok_or_else(|| list.short(PATH))
}

fn read(list: &BoxAt<'_>, movie_timescale: u32, timescale: u32) -> Option<i64> {
    let mut fields = list.fields();
    let (version, _) = fields.version()?;
    let mut empty = 0u64;
    for _ in 0..fields.u32()? {
        let duration = fields.sized(version == 1)?;
        let raw = fields.sized(version == 1)?;
        fields.skip(4)?;
        // -1 shows nothing.
        let nothing = if version == 1 {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        if raw == nothing {
            empty = empty.saturating_add(duration);
            continue;
        }
        let media = i64::try_from(raw).unwrap_or(i64::MAX);
        let scaled = u128::from(empty)
            .saturating_mul(u128::from(timescale))
            .checked_div(u128::from(movie_timescale))
            .unwrap_or_default();
        let delay = i64::try_from(scaled).unwrap_or(i64::MAX);
        return Some(delay.saturating_sub(media));
    }
    Some(0)
}
