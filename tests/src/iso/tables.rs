//! Sample tables (ISO/IEC 14496-12, 8.6, 8.7 and 8.9).

use super::{Box, Faults, Reader, TrackFacts, read_box};

/// What the tables of a track say of its samples.
#[derive(Debug, Default)]
pub(super) struct Table {
    durations: Vec<u32>,
    offsets: Vec<i64>,
}

impl Table {
    pub(super) fn samples(&self) -> u64 {
        self.durations.len() as u64
    }

    pub(super) fn lasting(&self) -> u64 {
        self.durations.iter().map(|one| u64::from(*one)).sum()
    }

    /// When the samples are shown.
    fn composed(&self) -> impl Iterator<Item = i64> + '_ {
        let mut time = 0;
        self.durations.iter().enumerate().map(move |(n, duration)| {
            let shown = time + self.offsets.get(n).copied().unwrap_or_default();
            time += i64::from(*duration);
            shown
        })
    }

    /// When the last of them ends at the latest: how long it is shown no table says, as the one that
    /// is decoded behind it need not be the one that is shown behind it.
    pub(super) fn presented_until(&self) -> i64 {
        let longest = self.durations.iter().max().copied().unwrap_or_default();
        let last = self.composed().max().unwrap_or_default();
        last + i64::from(longest)
    }
}

const ONCE: [&str; 4] = ["stsd", "stts", "stsc", "stsz"];
const ALL: [&str; 12] = [
    "stsd", "stts", "ctts", "cslg", "stss", "sdtp", "sgpd", "sbgp", "stsc", "stsz", "stco", "co64",
];

pub(super) fn check(
    boxes: &[Box<'_>],
    track: &TrackFacts,
    media: &[Box<'_>],
    faults: &mut Faults,
) -> Option<Table> {
    let name = format!("track {}", track.id);
    faults.only("stbl", boxes, &ALL);
    for kind in ONCE {
        faults.one(&name, boxes, kind);
    }
    let sizes = sizes(&faults.one(&name, boxes, "stsz")?, faults);
    let count = sizes.len();
    for (n, size) in sizes.iter().enumerate() {
        faults.demand(*size > 0, || format!("{name}: sample {n} is empty"));
    }
    let mut table = Table {
        durations: runs(&faults.one(&name, boxes, "stts")?, count, faults)
            .into_iter()
            .map(|(value, _)| value)
            .collect(),
        offsets: Vec::new(),
    };
    let before_last = table.durations.len().saturating_sub(1);
    let still = table
        .durations
        .iter()
        .take(before_last)
        .position(|one| *one == 0);
    faults.demand(still.is_none(), || {
        format!("{name}: sample {still:?} lasts for no time")
    });
    if let Some(ctts) = faults.at_most_one(&name, boxes, "ctts") {
        let entries = runs(&ctts, count, faults);
        table.offsets = entries
            .into_iter()
            .map(|(value, version)| {
                let signed = i64::from(value.cast_signed());
                faults.demand(version == 1 || signed >= 0, || {
                    format!("{name}: ctts of version 0 with offset {signed}")
                });
                signed
            })
            .collect();
    }
    check_shift(&name, boxes, &table, faults);
    let chunks = chunks(&faults.one(&name, boxes, "stsc")?, faults);
    let offsets = chunk_offsets(&name, boxes, faults);
    check_places(&name, track, &sizes, &chunks, &offsets, media, faults);
    let sync = check_sync(&name, boxes, count, faults);
    check_dependencies(&name, boxes, count, &sync, faults);
    check_groups(&name, boxes, count, faults);
    Some(table)
}

/// `stsz` (8.7.3).
fn sizes(one: &Box<'_>, faults: &mut Faults) -> Vec<u32> {
    let mut fields = Reader::full(one);
    let (all, count) = (fields.u32(), fields.u32() as usize);
    let listed = fields.rest().len() / 4;
    let sizes = if all > 0 {
        vec![all; count.min(1 << 24)]
    } else {
        (0..count.min(listed + 1)).map(|_| fields.u32()).collect()
    };
    fields.end(faults);
    sizes
}

/// `stts` (8.6.1.2) or `ctts` (8.6.1.3), spread out: the value and the version of the table.
fn runs(one: &Box<'_>, samples: usize, faults: &mut Faults) -> Vec<(u32, u8)> {
    let mut fields = Reader::full(one);
    let entries = fields.u32();
    let mut all = Vec::new();
    for _ in 0..entries {
        let (count, value) = (fields.u32() as usize, fields.u32());
        faults.demand(count > 0, || {
            format!("{}: an entry of no samples", one.name())
        });
        all.extend(std::iter::repeat_n(
            (value, fields.version),
            count.min(samples + 1),
        ));
    }
    fields.end(faults);
    faults.demand(all.len() == samples, || {
        format!(
            "{} is about {} samples, stsz about {samples}",
            one.name(),
            all.len()
        )
    });
    all
}

/// `cslg` (8.6.1.4).
fn check_shift(name: &str, boxes: &[Box<'_>], table: &Table, faults: &mut Faults) {
    let Some(one) = faults.at_most_one(name, boxes, "cslg") else {
        return;
    };
    let mut fields = Reader::full(&one);
    let mut signed = || {
        if fields.version == 1 {
            fields.number(8).cast_signed()
        } else {
            i64::from(fields.u32().cast_signed())
        }
    };
    let found = [signed(), signed(), signed(), signed(), signed()];
    fields.end(faults);
    let least = table.offsets.iter().min().copied().unwrap_or_default();
    let greatest = table.offsets.iter().max().copied().unwrap_or_default();
    let starts = table.composed().min().unwrap_or_default();
    let wanted = [found[0], least, greatest, starts, found[4]];
    let ends = found[4] >= starts && found[4] <= table.presented_until();
    faults.demand(found == wanted && ends && found[0] + least >= 0, || {
        format!("{name}: cslg says {found:?} of {wanted:?}")
    });
}

/// `stsc` (8.7.4): first chunk, samples per chunk, sample entry.
fn chunks(one: &Box<'_>, faults: &mut Faults) -> Vec<[u32; 3]> {
    let mut fields = Reader::full(one);
    let entries = fields.u32();
    let rows: Vec<[u32; 3]> = (0..entries.min(1 << 24))
        .map(|_| [fields.u32(), fields.u32(), fields.u32()])
        .collect();
    fields.end(faults);
    faults.demand(rows.first().is_none_or(|row| row[0] == 1), || {
        "stsc does not begin with chunk 1".to_owned()
    });
    faults.demand(rows.windows(2).all(|pair| pair[0][0] < pair[1][0]), || {
        "stsc: chunks go backwards".to_owned()
    });
    faults.demand(rows.iter().all(|row| row[1] > 0), || {
        "stsc: a chunk without samples".to_owned()
    });
    rows
}

/// `stco` or `co64` (8.7.5).
fn chunk_offsets(name: &str, boxes: &[Box<'_>], faults: &mut Faults) -> Vec<u64> {
    let tables: Vec<_> = boxes
        .iter()
        .filter(|one| one.is("stco") || one.is("co64"))
        .collect();
    let [one] = tables[..] else {
        faults.add(format!("{name}: {} tables of chunk offsets", tables.len()));
        return Vec::new();
    };
    let mut fields = Reader::full(one);
    let width = if one.is("co64") { 8 } else { 4 };
    let entries = fields.u32();
    let offsets = (0..entries.min(1 << 24))
        .map(|_| fields.number(width))
        .collect();
    fields.end(faults);
    offsets
}

/// Every chunk lies in the media, and chunks and sizes are about the same samples.
fn check_places(
    name: &str,
    track: &TrackFacts,
    sizes: &[u32],
    chunks: &[[u32; 3]],
    offsets: &[u64],
    media: &[Box<'_>],
    faults: &mut Faults,
) {
    let last = chunks.last().map_or(0, |row| row[0] as usize);
    faults.demand(last <= offsets.len(), || {
        format!("{name}: stsc is about chunk {last} of {}", offsets.len())
    });
    let mut sample = 0usize;
    for (chunk, offset) in offsets.iter().enumerate() {
        let Some(row) = chunks.iter().rfind(|row| row[0] as usize <= chunk + 1) else {
            return faults.add(format!("{name}: chunk {} is of no entry", chunk + 1));
        };
        let known = track.descriptions;
        faults.demand((1..=known).contains(&row[2]), || {
            format!("{name}: sample entry {} of {known}", row[2])
        });
        let end = sample + row[1] as usize;
        let Some(own) = sizes.get(sample..end) else {
            return faults.add(format!(
                "{name}: chunks of more than {} samples",
                sizes.len()
            ));
        };
        sample = end;
        let len: u64 = own.iter().map(|size| u64::from(*size)).sum();
        let inside = media.iter().any(|mdat| {
            let begin = (mdat.at + mdat.size - mdat.body.len()) as u64;
            *offset >= begin && offset + len <= (mdat.at + mdat.size) as u64
        });
        faults.demand(inside, || {
            format!("{name}: chunk {} lies outside mdat", chunk + 1)
        });
    }
    faults.demand(sample == sizes.len(), || {
        format!(
            "{name}: chunks of {sample} samples, sizes of {}",
            sizes.len()
        )
    });
}

/// From where to where the chunks of a `trak` lie, for what must hold across tracks.
pub(super) fn chunk_spans(trak: &[u8]) -> Vec<(u64, u64)> {
    let mut quiet = Faults::default();
    let Some(stbl) = find(trak, &["mdia", "minf", "stbl"]) else {
        return Vec::new();
    };
    let boxes = quiet.children("stbl", stbl.body, 0);
    let (Some(stsz), Some(stsc)) = (quiet.one("", &boxes, "stsz"), quiet.one("", &boxes, "stsc"))
    else {
        return Vec::new();
    };
    let (sizes, rows) = (sizes(&stsz, &mut quiet), chunks(&stsc, &mut quiet));
    let mut sample = 0usize;
    let offsets = chunk_offsets("", &boxes, &mut quiet);
    let spans = offsets.iter().enumerate().map(|(chunk, offset)| {
        let row = rows.iter().rfind(|row| row[0] as usize <= chunk + 1);
        let end = sample + row.map_or(0, |row| row[1] as usize);
        let own = sizes.get(sample..end).unwrap_or_default();
        sample = end;
        let len: u64 = own.iter().map(|size| u64::from(*size)).sum();
        (*offset, offset + len)
    });
    spans.collect()
}

fn find<'a>(mut data: &'a [u8], path: &[&str]) -> Option<Box<'a>> {
    let mut found = None;
    for kind in path {
        let mut at = 0;
        loop {
            let one = read_box(data, at)?;
            if one.is(kind) {
                data = one.body;
                found = Some(one);
                break;
            }
            at += one.size;
        }
    }
    found
}

/// `stss` (8.6.2): which samples are sync samples.
fn check_sync(name: &str, boxes: &[Box<'_>], samples: usize, faults: &mut Faults) -> Vec<bool> {
    let Some(one) = faults.at_most_one(name, boxes, "stss") else {
        return vec![true; samples];
    };
    let mut sync = vec![false; samples];
    let mut fields = Reader::full(&one);
    let entries = fields.u32();
    let mut before = 0;
    for _ in 0..entries {
        let number = fields.u32();
        faults.demand(number > before, || format!("{name}: stss goes backwards"));
        before = number;
        match sync.get_mut((number as usize).wrapping_sub(1)) {
            Some(flag) => *flag = true,
            None => faults.add(format!("{name}: stss names sample {number} of {samples}")),
        }
    }
    fields.end(faults);
    faults.demand(entries as usize != samples, || {
        format!("{name}: stss names every sample, which its absence says")
    });
    sync
}

/// `sdtp` (8.6.4).
fn check_dependencies(
    name: &str,
    boxes: &[Box<'_>],
    samples: usize,
    sync: &[bool],
    faults: &mut Faults,
) {
    let Some(one) = faults.at_most_one(name, boxes, "sdtp") else {
        return;
    };
    let mut fields = Reader::full(&one);
    for n in 0..samples {
        let entry = fields.u8();
        let [leading, depends, depended, redundant] = [6, 4, 2, 0].map(|shift| entry >> shift & 3);
        faults.demand(depends < 3 && depended < 3 && redundant < 3, || {
            format!("{name}: sdtp of sample {n} is {entry:#x}")
        });
        let is_sync = sync.get(n) == Some(&true);
        faults.demand(
            !is_sync || (depends != 1 && !matches!(leading, 1 | 3)),
            || format!("{name}: sync sample {n} depends on others, says sdtp"),
        );
    }
    fields.end(faults);
}

/// `sgpd` and `sbgp` (8.9).
fn check_groups(name: &str, boxes: &[Box<'_>], samples: usize, faults: &mut Faults) {
    let mut described: Vec<([u8; 4], u32)> = Vec::new();
    for one in boxes.iter().filter(|one| one.is("sgpd")) {
        let (kind, entries) = group_description(one, faults);
        faults.demand(described.iter().all(|(known, _)| *known != kind), || {
            format!("{name}: two sgpd of {kind:?}")
        });
        described.push((kind, entries));
    }
    for one in boxes.iter().filter(|one| one.is("sbgp")) {
        let (kind, entries) = group_assignment(one, samples, false, faults);
        let text = String::from_utf8_lossy(&kind).into_owned();
        let known = described.iter().find(|(known, _)| *known == kind);
        let most = known.map_or(0, |(_, count)| *count);
        faults.demand(entries.iter().all(|index| *index <= most), || {
            format!("{name}: sbgp of {text} reaches past its {most} descriptions")
        });
    }
}

/// `sgpd` (8.9.3): its type and how many entries it has.
pub(super) fn group_description(one: &Box<'_>, faults: &mut Faults) -> ([u8; 4], u32) {
    let mut fields = Reader::full(one);
    let kind: [u8; 4] = fields.bytes(4).try_into().unwrap_or_default();
    faults.demand(fields.version == 1, || {
        "sgpd is not of version 1".to_owned()
    });
    let (length, entries) = (fields.u32() as usize, fields.u32());
    for _ in 0..entries {
        let entry = fields.bytes(length);
        match &kind {
            // 10.1: it never rolls by nothing.
            b"roll" | b"prol" => faults.demand(length == 2 && entry != [0, 0], || {
                format!("sgpd: a roll distance of {entry:?}")
            }),
            b"rap " => faults.demand(length == 1, || format!("sgpd: rap of {length} bytes")),
            _ => {}
        }
    }
    fields.end(faults);
    (kind, entries)
}

/// `sbgp` (8.9.2): its type and its indexes, those of a fragment's own descriptions without their
/// mark.
pub(super) fn group_assignment(
    one: &Box<'_>,
    samples: usize,
    in_fragment: bool,
    faults: &mut Faults,
) -> ([u8; 4], Vec<u32>) {
    let mut fields = Reader::full(one);
    let kind: [u8; 4] = fields.bytes(4).try_into().unwrap_or_default();
    let entries = fields.u32();
    let (mut sum, mut indexes) = (0usize, Vec::new());
    for _ in 0..entries {
        let (count, index) = (fields.u32() as usize, fields.u32());
        faults.demand(count > 0, || "sbgp: an entry of no samples".to_owned());
        sum = sum.saturating_add(count);
        let local = in_fragment && index > 0x1_0000;
        indexes.push(if local { index - 0x1_0000 } else { index });
    }
    fields.end(faults);
    faults.demand(sum <= samples, || {
        format!("sbgp is about {sum} of {samples} samples")
    });
    (kind, indexes)
}
