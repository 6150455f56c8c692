//! Reading a sample entry, whatever it is of (ISO/IEC 14496-12, 8.5.2).

use clipmill_media::{Limits, TrackKind};

use super::entry::Entry;
use super::walk::{BoxAt, four};
use super::{pictures, sound};

/// Reads a sample entry; what it is, in words, where it cannot be carried. `old` says that it is in
/// an `stsd` of version 0, as QuickTime's extensions are.
pub(super) fn sample_entry(
    entry: &BoxAt<'_>,
    kind: TrackKind,
    old: bool,
    limits: &Limits,
) -> Result<Entry, String> {
    let name = four(entry.kind);
    let read = match (kind, &entry.kind) {
        (_, b"encv" | b"enca") => return Err(encrypted(entry)),
        (TrackKind::Video, b"avc1" | b"avc3" | b"dva1" | b"dvav") => pictures::avc(entry, limits),
        (TrackKind::Video, b"hvc1" | b"hev1" | b"dvh1" | b"dvhe") => pictures::hevc(entry, limits),
        (TrackKind::Video, b"av01" | b"dav1") => pictures::av1(entry),
        (TrackKind::Video, b"vp09") => pictures::vp9(entry),
        (TrackKind::Audio, _) => return sound::sample_entry(entry, old),
        _ => return Err(format!("a codec that is not known ({name})")),
    };
    read.ok_or_else(|| format!("a sample entry that cannot be read ({name})"))
}

/// Common encryption (ISO/IEC 23001-7, 4.1): the scheme, and what would have been inside.
fn encrypted(entry: &BoxAt<'_>) -> String {
    let fields = if entry.kind == *b"encv" {
        pictures::FIELDS
    } else {
        sound::FIELDS
    };
    let sinf = entry.children(fields).find(|one| one.kind == *b"sinf");
    let scheme = sinf.and_then(|sinf| {
        let mut fields = sinf.child(b"schm")?.fields();
        fields.skip(4)?;
        fields.array()
    });
    let coding = sinf.and_then(|sinf| sinf.child(b"frma")?.fields().array());
    let scheme = scheme.map_or_else(|| "unknown scheme".to_owned(), four);
    let coding = coding.map_or_else(String::new, |coding| format!(" of {}", four(coding)));
    format!("encrypted samples{coding} (DRM, {scheme})")
}
