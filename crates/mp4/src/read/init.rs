//! What a `moov` says of its tracks (ISO/IEC 14496-12, 8.2, 8.3, 8.4, 8.5.2 and 8.8.3).

use clipmill_media::{
    DeclineCause, DeclinedStream, Language, LimitExceeded, Limits, StreamPlace, TrackKind,
};

use super::ReadError;
use super::edits;
use super::entry::Entry;
use super::sample_entry::sample_entry;
use super::walk::{BoxAt, Boxes, four};

/// Tracks whose clock is finer are measured in [`COARSE`]: 64-bit arithmetic on timestamps must
/// have room. Nothing in use comes near it but nanoseconds.
const FINEST: u32 = 1 << 28;
const COARSE: u32 = 10_000_000;

/// An initialization segment: the tracks of the media segments that follow it.
#[derive(Debug, Clone, PartialEq)]
pub struct InitSegment {
    pub(super) tracks: Vec<InitTrack>,
    pub(super) declined: Vec<DeclinedStream>,
    /// There is an `mvex`, so that fragments may follow.
    pub(super) fragmented: bool,
    /// Samples are listed in the `moov` itself.
    pub(super) listed_samples: bool,
}

/// A track that is carried.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InitTrack {
    pub(super) id: u32,
    pub(super) kind: TrackKind,
    pub(super) language: Language,
    /// Ticks per second of its timestamps.
    pub(super) timescale: u32,
    /// Ticks per second in which they are told.
    pub(super) out_timescale: u32,
    /// What to add to its timestamps.
    pub(super) shift: i64,
    /// Its sample entries; the message of one that cannot be carried.
    pub(super) entries: Vec<Result<Entry, String>>,
    pub(super) defaults: Defaults,
}

/// `trex` (8.8.3), and what `tfhd` (8.8.7) has in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Defaults {
    pub(super) description: u32,
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) flags: u32,
}

impl InitSegment {
    /// Reads the `moov` in `bytes`, which may have other boxes around it.
    ///
    /// # Errors
    /// When there is none, it makes no sense, or it is larger than `limits` allow. Tracks that
    /// cannot be carried are no error.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, ReadError> {
        if bytes.is_empty() {
            return Err(ReadError::Empty);
        }
        let moov = Boxes::new(bytes).find(|one| one.kind == *b"moov");
        Self::of(&moov.ok_or(ReadError::NoInit)?, limits)
    }

    pub(super) fn of(moov: &BoxAt<'_>, limits: &Limits) -> Result<Self, ReadError> {
        if moov.cut {
            return Err(moov.error("moov", "reaches past the end of its segment"));
        }
        let movie_timescale = match moov.child(b"mvhd") {
            Some(mvhd) => movie_timescale(&mvhd).ok_or_else(|| mvhd.short("moov/mvhd"))?,
            None => 0,
        };
        let mut init = Self {
            tracks: Vec::new(),
            declined: Vec::new(),
            fragmented: false,
            listed_samples: false,
        };
        for trak in moov.children(0).filter(|one| one.kind == *b"trak") {
            let known = init.tracks.len().saturating_add(init.declined.len()) as u64;
            let limit = limits.tracks as u64;
            LimitExceeded::check("tracks of a segment", known.saturating_add(1), limit)?;
            init.track(&trak, movie_timescale, limits)?;
        }
        if let Some(mvex) = moov.child(b"mvex") {
            init.fragmented = true;
            for trex in mvex.children(0).filter(|one| one.kind == *b"trex") {
                let (id, defaults) = defaults(&trex).ok_or_else(|| trex.short("moov/mvex/trex"))?;
                for track in init.tracks.iter_mut().filter(|track| track.id == id) {
                    track.defaults = defaults;
                }
            }
        }
        Ok(init)
    }

    fn track(
        &mut self,
        trak: &BoxAt<'_>,
        movie_timescale: u32,
        limits: &Limits,
    ) -> Result<(), ReadError> {
        let missing = |path, what| trak.error(path, what);
        let tkhd = trak.child(b"tkhd");
        let id = tkhd.and_then(|tkhd| track_id(&tkhd));
        let id = id.ok_or_else(|| missing("moov/trak", "has no track identifier"))?;
        let mdia = trak
            .child(b"mdia")
            .ok_or_else(|| missing("moov/trak", "has no mdia box"))?;
        let handler = mdia.child(b"hdlr").and_then(|hdlr| handler(&hdlr));
        let handler = handler.unwrap_or(*b"\0\0\0\0");
        let stbl = mdia.child(b"minf").and_then(|minf| minf.child(b"stbl"));
        let stsd = stbl.and_then(|stbl| stbl.child(b"stsd"));
        let stsd = stsd.ok_or_else(|| missing("moov/trak/mdia", "has no stsd box"))?;
        let sizes = stbl.and_then(|stbl| stbl.child(b"stsz").or(stbl.child(b"stz2")));
        let listed = sizes.and_then(|sizes| {
            let mut fields = sizes.fields();
            fields.skip(8)?;
            fields.u32()
        });
        self.listed_samples |= listed.is_some_and(|count| count > 0);

        let entries = stsd.children(8).take(limits.configs);
        let kind = match &handler {
            b"vide" | b"pict" => TrackKind::Video,
            b"soun" => TrackKind::Audio,
            _ => {
                let first = entries.map(|entry| entry.kind).next();
                self.decline(id, not_carried(first.unwrap_or(handler)));
                return Ok(());
            }
        };
        let mdhd = mdia.child(b"mdhd");
        let mdhd = mdhd.ok_or_else(|| missing("moov/trak/mdia", "has no mdhd box"))?;
        let (timescale, language) =
            media_header(&mdhd).ok_or_else(|| mdhd.short("moov/trak/mdia/mdhd"))?;
        if timescale == 0 {
            return Err(mdhd.error("moov/trak/mdia/mdhd", "has a timescale of 0"));
        }
        let old = stsd.body.first() == Some(&0);
        let rotation = tkhd.and_then(|tkhd| rotation(&tkhd)).unwrap_or(0);
        let entries: Vec<_> = entries
            .map(|entry| sample_entry(&entry, kind, old, limits))
            .map(|entry| entry.map(|entry| entry.rotated(rotation)))
            .collect();
        if !entries.iter().any(Result::is_ok) {
            let first = entries.into_iter().find_map(Result::err);
            self.decline(
                id,
                first.unwrap_or_else(|| "a track without a codec".into()),
            );
            return Ok(());
        }
        self.tracks.push(InitTrack {
            id,
            kind,
            language,
            timescale,
            out_timescale: if timescale > FINEST {
                COARSE
            } else {
                timescale
            },
            shift: edits::shift(trak, movie_timescale, timescale)?,
            entries,
            defaults: Defaults {
                description: 1,
                ..Defaults::default()
            },
        });
        Ok(())
    }

    fn decline(&mut self, id: u32, what: String) {
        self.declined.push(DeclinedStream {
            place: StreamPlace::Track(id),
            what,
            cause: DeclineCause::NotCarried,
        });
    }
}

/// Tracks that are neither pictures nor sound, by their sample entry or handler.
fn not_carried(kind: [u8; 4]) -> String {
    let what = match &kind {
        b"wvtt" => "WebVTT subtitles",
        b"stpp" => "TTML subtitles",
        b"tx3g" | b"text" | b"sbtl" | b"subt" => "text",
        b"c608" | b"c708" | b"clcp" => "closed captions",
        b"tmcd" => "a time code",
        b"meta" | b"mett" | b"metx" | b"mebx" | b"urim" => "timed metadata",
        b"hint" => "hints for a server",
        _ => "a track of an unknown kind",
    };
    format!("{what} ({})", four(kind))
}

fn movie_timescale(mvhd: &BoxAt<'_>) -> Option<u32> {
    let mut fields = mvhd.fields();
    let (version, _) = fields.version()?;
    fields.skip(if version == 1 { 16 } else { 8 })?;
    fields.u32()
}

pub(super) fn track_id(tkhd: &BoxAt<'_>) -> Option<u32> {
    let mut fields = tkhd.fields();
    let (version, _) = fields.version()?;
    fields.skip(if version == 1 { 16 } else { 8 })?;
    fields.u32()
}

/// By how many degrees clockwise the matrix turns pictures (8.3.2); 0 for all else that it may do.
fn rotation(tkhd: &BoxAt<'_>) -> Option<u16> {
    let mut fields = tkhd.fields();
    let (version, _) = fields.version()?;
    fields.skip(if version == 1 { 48 } else { 36 })?;
    let mut matrix = [0; 5];
    for value in &mut matrix {
        *value = fields.u32()?;
    }
    const ONE: u32 = 1 << 16;
    const LESS: u32 = ONE.wrapping_neg();
    Some(match matrix {
        [0, ONE, _, LESS, 0] => 90,
        [LESS, 0, _, 0, LESS] => 180,
        [0, LESS, _, ONE, 0] => 270,
        _ => 0,
    })
}

fn handler(hdlr: &BoxAt<'_>) -> Option<[u8; 4]> {
    let mut fields = hdlr.fields();
    fields.skip(8)?;
    fields.array()
}

/// `mdhd` (8.4.2): timescale and language.
pub(super) fn media_header(mdhd: &BoxAt<'_>) -> Option<(u32, Language)> {
    let mut fields = mdhd.fields();
    let (version, _) = fields.version()?;
    fields.skip(if version == 1 { 16 } else { 8 })?;
    let timescale = fields.u32()?;
    fields.sized(version == 1)?;
    let packed = fields.u16()?;
    let letter = |shift: u16| {
        let five = packed.checked_shr(shift.into()).unwrap_or_default() & 0x1f;
        u8::try_from(five).unwrap_or_default() | 0x60
    };
    Some((
        timescale,
        Language::from_bytes(&[letter(10), letter(5), letter(0)]),
    ))
}

pub(super) fn defaults(trex: &BoxAt<'_>) -> Option<(u32, Defaults)> {
    let mut fields = trex.fields();
    fields.version()?;
    let id = fields.u32()?;
    let defaults = Defaults {
        description: fields.u32()?,
        duration: fields.u32()?,
        size: fields.u32()?,
        flags: fields.u32()?,
    };
    Some((id, defaults))
}
