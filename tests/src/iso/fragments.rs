//! Movie fragments and their indexes (ISO/IEC 14496-12, 8.8 and 8.16).

use super::{Box, Faults, MovieFacts, Reader, TrackFacts, tables};

/// Reads every `moof`, `sidx` and `mfra`.
pub(super) fn check(file: &[u8], boxes: &[Box<'_>], movie: &mut MovieFacts, faults: &mut Faults) {
    let mut sequence = 0;
    let mut begins: Vec<(usize, Vec<Shown>)> = Vec::new();
    for (n, one) in boxes.iter().enumerate().filter(|(_, one)| one.is("moof")) {
        let Some(mdat) = boxes.get(n + 1).filter(|next| next.is("mdat")) else {
            faults.add(format!("the moof at byte {} has no mdat behind it", one.at));
            continue;
        };
        // A segment may begin with its type and an index of its own.
        let styp = n.checked_sub(1).and_then(|before| boxes.get(before));
        let begin = styp
            .filter(|one| one.is("styp"))
            .map_or(one.at, |styp| styp.at);
        let shown = check_fragment(one, mdat, &mut sequence, movie, faults);
        begins.push((begin, shown));
    }
    for sidx in boxes.iter().filter(|one| one.is("sidx")) {
        check_index(sidx, &begins, file.len(), boxes, movie, faults);
    }
    if let Some(mfra) = faults.at_most_one("the file", boxes, "mfra") {
        check_random_access(&mfra, boxes, faults);
    }
    if let Some(duration) = movie.fragment_duration {
        let scale = u128::from(movie.timescale);
        let ends = movie.tracks.iter().map(|track| {
            let end = track.shown_until.saturating_add(track.shift.max(0));
            u128::from(end.max(0).unsigned_abs()) * scale / u128::from(track.timescale.max(1))
        });
        let longest = ends.max().unwrap_or_default();
        // Edits may hide the rest of the media.
        faults.demand(u128::from(duration) <= longest + scale, || {
            format!("mehd lasts {duration}, the fragments {longest}")
        });
    }
}

/// From when to when a track is shown in a fragment, in its timescale, and whether its first sample is
/// a sync sample.
#[derive(Debug, Clone, Copy)]
struct Shown {
    track: u32,
    from: i64,
    to: i64,
    sync: bool,
}

fn check_fragment(
    moof: &Box<'_>,
    mdat: &Box<'_>,
    sequence: &mut u32,
    movie: &mut MovieFacts,
    faults: &mut Faults,
) -> Vec<Shown> {
    let boxes = faults.children("moof", moof.body, 0);
    faults.only("moof", &boxes, &["mfhd", "traf"]);
    if let Some(mfhd) = faults.one("moof", &boxes, "mfhd") {
        let mut fields = Reader::full(&mfhd);
        let number = fields.u32();
        fields.end(faults);
        faults.demand(number > *sequence, || {
            format!("fragment {number} follows {sequence}")
        });
        *sequence = number;
    }
    let mut spans: Vec<(u64, u64)> = Vec::new();
    let mut shown: Vec<Shown> = Vec::new();
    for traf in boxes.iter().filter(|one| one.is("traf")) {
        let inside = faults.children("traf", traf.body, 0);
        faults.only(
            "traf",
            &inside,
            &["tfhd", "tfdt", "trun", "sgpd", "sbgp", "subs"],
        );
        let Some(tfhd) = faults.one("traf", &inside, "tfhd") else {
            continue;
        };
        let mut head = Reader::full(&tfhd);
        let id = head.u32();
        let Some(track) = movie.tracks.iter_mut().find(|track| track.id == id) else {
            faults.add(format!("a traf of track {id}, which is not there"));
            continue;
        };
        shown.extend(check_track_fragment(
            head, &inside, moof.at, track, &mut spans, faults,
        ));
    }
    // ISO/IEC 23000-19, 7.5.17 has one traf per track; more is sound, but each track goes on.
    spans.sort_unstable();
    let begin = (mdat.at + mdat.size - mdat.body.len()) as u64;
    let mut at = begin;
    for (start, end) in spans {
        faults.demand(start == at, || {
            format!(
                "the moof at byte {}: samples at {start} follow those to {at}",
                moof.at
            )
        });
        at = end;
    }
    let end = (mdat.at + mdat.size) as u64;
    faults.demand(at == end, || {
        format!(
            "the moof at byte {}: samples to {at}, mdat to {end}",
            moof.at
        )
    });
    shown
}

fn check_track_fragment(
    mut head: Reader<'_>,
    boxes: &[Box<'_>],
    moof_at: usize,
    track: &mut TrackFacts,
    spans: &mut Vec<(u64, u64)>,
    faults: &mut Faults,
) -> Option<Shown> {
    let name = format!("track {}", track.id);
    let flags = head.flags;
    faults.demand(flags & 0x02_0001 == 0x02_0000, || {
        format!("{name}: tfhd flags {flags:#x}: offsets do not count from moof")
    });
    let mut optional = |flag: u32, default: u32| {
        if flags & flag != 0 {
            head.u32()
        } else {
            default
        }
    };
    let description = optional(2, 1);
    let [duration, size, sample_flags] = track.defaults;
    let (duration, size) = (optional(8, duration), optional(0x10, size));
    let sample_flags = optional(0x20, sample_flags);
    head.end(faults);
    let known = track.descriptions;
    faults.demand((1..=known).contains(&description), || {
        format!("{name}: sample entry {description} of {known}")
    });
    let mut tfdt = Reader::full(&faults.one(&name, boxes, "tfdt")?);
    let mut time = tfdt.sized();
    tfdt.end(faults);
    let expected = track.next.unwrap_or(time);
    // The last sample lasts until then (8.8.12.1).
    faults.demand(time >= expected, || {
        format!("{name}: a fragment begins at {time}, the one before ends at {expected}")
    });
    let (mut samples, mut first_sync) = (0usize, None);
    let (mut from, mut to) = (i64::MAX, i64::MIN);
    for trun in boxes.iter().filter(|one| one.is("trun")) {
        let mut fields = Reader::full(trun);
        let (version, flags) = (fields.version, fields.flags);
        let count = fields.u32();
        faults.demand(flags & 1 != 0, || {
            format!("{name}: a trun without data offset")
        });
        let offset = if flags & 1 != 0 { fields.u32() } else { 0 };
        let mut at = (moof_at as u64).saturating_add(offset.into());
        let begin = at;
        faults.demand(flags & 0x404 != 0x404, || {
            format!("{name}: trun with both kinds of flags")
        });
        let first_flags = (flags & 4 != 0).then(|| fields.u32());
        for n in 0..count.min(1 << 24) {
            let mut optional = |flag: u32, default: u32| {
                if flags & flag != 0 {
                    fields.u32()
                } else {
                    default
                }
            };
            let duration = optional(0x100, duration);
            let size = optional(0x200, size);
            let usual = first_flags.filter(|_| n == 0).unwrap_or(sample_flags);
            let own = optional(0x400, usual);
            let shift = optional(0x800, 0);
            faults.demand(size > 0, || {
                format!("{name}: an empty sample in a fragment")
            });
            faults.demand(version == 1 || shift.cast_signed() >= 0, || {
                format!("{name}: trun of version 0 with a negative offset")
            });
            check_flags(&name, own, faults);
            first_sync = first_sync.or(Some(own & 0x1_0000 == 0));
            let shown = time.cast_signed() + i64::from(shift.cast_signed());
            from = from.min(shown);
            to = to.max(shown + i64::from(duration));
            time += u64::from(duration);
            at += u64::from(size);
            samples += 1;
        }
        fields.end(faults);
        spans.push((begin, at));
    }
    faults.demand(samples > 0, || format!("{name}: a fragment of no samples"));
    check_groups(&name, boxes, samples, faults);
    track.next = Some(time);
    track.shown_until = track.shown_until.max(to);
    track.samples += samples as u64;
    Some(Shown {
        track: track.id,
        from,
        to,
        sync: first_sync?,
    })
}

/// Sample flags (8.8.3.1).
fn check_flags(name: &str, flags: u32, faults: &mut Faults) {
    let [leading, depends] = [26, 24].map(|shift| flags >> shift & 3);
    let sync = flags & 0x1_0000 == 0;
    faults.demand(flags >> 28 == 0 && depends < 3, || {
        format!("{name}: sample flags {flags:#x}")
    });
    faults.demand(!sync || (depends != 1 && !matches!(leading, 1 | 3)), || {
        format!("{name}: a sync sample that depends on others: {flags:#x}")
    });
}

fn check_groups(name: &str, boxes: &[Box<'_>], samples: usize, faults: &mut Faults) {
    let described: Vec<_> = boxes
        .iter()
        .filter(|one| one.is("sgpd"))
        .map(|one| tables::group_description(one, faults))
        .collect();
    for one in boxes.iter().filter(|one| one.is("sbgp")) {
        let (kind, indexes) = tables::group_assignment(one, samples, true, faults);
        let known = described.iter().find(|(known, _)| *known == kind);
        let most = known.map_or(0, |(_, count)| *count);
        faults.demand(indexes.iter().all(|index| *index <= most), || {
            format!("{name}: sbgp reaches past its {most} descriptions")
        });
    }
}

/// `sidx` (8.16.3): its references are whole fragments, and together they are all that follows.
fn check_index(
    sidx: &Box<'_>,
    begins: &[(usize, Vec<Shown>)],
    end: usize,
    boxes: &[Box<'_>],
    movie: &MovieFacts,
    faults: &mut Faults,
) {
    let mut fields = Reader::full(sidx);
    let (id, timescale) = (fields.u32(), fields.u32());
    let Some(track) = movie.tracks.iter().find(|track| track.id == id) else {
        return faults.add(format!("sidx of track {id}, which is not there"));
    };
    faults.demand(timescale == track.timescale, || {
        format!(
            "sidx counts in {timescale}, its track in {}",
            track.timescale
        )
    });
    let earliest = fields.sized();
    let first = fields.sized();
    fields.u16();
    let count = fields.u16();
    let mut at = sidx.at + sidx.size + first as usize;
    let mut time = earliest;
    let end = boxes
        .iter()
        .find(|one| one.is("mfra"))
        .map_or(end, |mfra| mfra.at);
    let mut last = 0;
    for n in 0..count {
        let size = fields.u32();
        let duration = fields.u32();
        let access = fields.u32();
        faults.demand(size >> 31 == 0, || "sidx refers to another sidx".to_owned());
        let fragment = begins.iter().find(|(begin, _)| *begin == at);
        let Some((_, shown)) = fragment else {
            return faults.add(format!(
                "sidx: reference {n} to byte {at}, where no fragment begins"
            ));
        };
        if let Some(shown) = shown.iter().find(|shown| shown.track == id) {
            // What comes later may be shown earlier, and a reference lasts for no less than nothing.
            let later = begins.iter().filter(|(begin, _)| *begin >= at);
            let own = later.flat_map(|(_, shown)| shown).filter(|s| s.track == id);
            let from = own.map(|shown| shown.from).min().unwrap_or(shown.from);
            let from = (from + track.shift).max(0).unsigned_abs();
            faults.demand(from == time, || {
                format!("sidx: reference {n} is shown from {from}, it says {time}")
            });
            let starts = access >> 31 == 1 && matches!(access >> 28 & 7, 1 | 2);
            faults.demand(!starts || shown.sync, || {
                format!("sidx: reference {n} is said to begin with a sync sample")
            });
            last = (shown.to + track.shift).max(0).unsigned_abs();
        }
        time += u64::from(duration);
        at += (size & 0x7fff_ffff) as usize;
    }
    fields.end(faults);
    faults.demand(at == end, || {
        format!("sidx: references to byte {at} of {end}")
    });
    faults.demand(time >= last, || {
        format!("sidx: lasts to {time}, the media to {last}")
    });
}

/// `mfra` (8.8.9).
fn check_random_access(mfra: &Box<'_>, boxes: &[Box<'_>], faults: &mut Faults) {
    let inside = faults.children("mfra", mfra.body, 0);
    faults.only("mfra", &inside, &["tfra", "mfro"]);
    for tfra in inside.iter().filter(|one| one.is("tfra")) {
        let mut fields = Reader::full(tfra);
        fields.u32();
        let lengths = fields.u32();
        let count = fields.u32();
        let mut before = None;
        for _ in 0..count {
            let (time, offset) = (fields.sized(), fields.sized() as usize);
            for shift in [4, 2, 0] {
                fields.number((lengths >> shift & 3) as usize + 1);
            }
            let begins = boxes.iter().any(|one| one.is("moof") && one.at == offset);
            faults.demand(begins, || format!("tfra: no moof at byte {offset}"));
            faults.demand(before < Some(time), || {
                format!("tfra: {time} follows {before:?}")
            });
            before = Some(time);
        }
        fields.end(faults);
    }
    if let Some(mfro) = faults.one("mfra", &inside, "mfro") {
        let mut fields = Reader::full(&mfro);
        let size = fields.u32() as usize;
        fields.end(faults);
        faults.demand(size == mfra.size, || {
            format!("mfro says {size} bytes of {}", mfra.size)
        });
    }
}
