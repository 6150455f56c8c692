//! Reading a file back with other people's parsers, down to the bytes of each sample.

use mp4_atom::{Any, Atom, Decode, DecodeMaybe, Moof, Moov, Trak};

/// A sample as a file tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) bytes: Vec<u8>,
    pub(crate) time: u64,
    pub(crate) duration: u32,
    pub(crate) composition_offset: i32,
    pub(crate) description: u32,
    pub(crate) sync: bool,
}

/// The boxes at the top of a file, and where each begins.
pub(crate) fn top_level(file: &[u8]) -> Vec<(String, usize, usize)> {
    let mut boxes = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let kind = String::from_utf8_lossy(&file[at + 4..at + 8]).into_owned();
        let size = match size {
            1 => u64::from_be_bytes(file[at + 8..at + 16].try_into().unwrap()) as usize,
            size => size,
        };
        assert!(size >= 8 && at + size <= file.len(), "{kind} fits");
        boxes.push((kind, at, size));
        at += size;
    }
    boxes
}

pub(crate) fn find(file: &[u8], kind: &str) -> Vec<(usize, usize)> {
    let boxes = top_level(file).into_iter();
    let found = boxes.filter(|(found, ..)| found == kind);
    found.map(|(_, at, size)| (at, size)).collect()
}

pub(crate) fn moov(file: &[u8]) -> Moov {
    let (at, size) = find(file, "moov")[0];
    Moov::decode(&mut &file[at..at + size]).unwrap()
}

/// The samples of a progressive file, track by track, with `mp4-atom`.
pub(crate) fn progressive(file: &[u8]) -> Vec<Vec<Read>> {
    let moov = moov(file);
    moov.trak.iter().map(|trak| track(file, trak)).collect()
}

fn track(file: &[u8], trak: &Trak) -> Vec<Read> {
    let stbl = &trak.mdia.minf.stbl;
    let sizes: Vec<u32> = match &stbl.stsz.samples {
        mp4_atom::StszSamples::Identical { count, size } => vec![*size; *count as usize],
        mp4_atom::StszSamples::Different { sizes } => sizes.clone(),
    };
    let durations = stbl.stts.entries.iter();
    let durations: Vec<u32> = durations
        .flat_map(|e| vec![e.sample_delta; e.sample_count as usize])
        .collect();
    let offsets: Vec<i32> = match &stbl.ctts {
        None => vec![0; sizes.len()],
        Some(ctts) => ctts
            .entries
            .iter()
            .flat_map(|e| vec![i32::try_from(e.sample_offset).unwrap(); e.sample_count as usize])
            .collect(),
    };
    let chunks: Vec<u64> = match (&stbl.stco, &stbl.co64) {
        (Some(stco), None) => stco.entries.iter().map(|&at| at.into()).collect(),
        (None, Some(co64)) => co64.entries.clone(),
        _ => panic!("either stco or co64"),
    };
    assert_eq!(durations.len(), sizes.len());
    assert_eq!(offsets.len(), sizes.len());
    let mut samples = Vec::new();
    let mut time = 0;
    for (number, &offset) in (1u32..).zip(&chunks) {
        let entries = &stbl.stsc.entries;
        let entry = entries.iter().rfind(|e| e.first_chunk <= number).unwrap();
        let mut at = offset as usize;
        for _ in 0..entry.samples_per_chunk {
            let index = samples.len();
            let size = sizes[index] as usize;
            samples.push(Read {
                bytes: file[at..at + size].to_vec(),
                time,
                duration: durations[index],
                composition_offset: offsets[index],
                description: entry.sample_description_index,
                sync: stbl
                    .stss
                    .as_ref()
                    .is_none_or(|stss| stss.entries.contains(&(index as u32 + 1))),
            });
            time += u64::from(durations[index]);
            at += size;
        }
    }
    assert_eq!(samples.len(), sizes.len());
    samples
}

/// The samples of a fragmented file, by track, with `mp4-atom`.
pub(crate) fn fragmented(file: &[u8]) -> Vec<Vec<Read>> {
    let moov = moov(file);
    let mut tracks: Vec<Vec<Read>> = moov.trak.iter().map(|_| Vec::new()).collect();
    for (at, size) in find(file, "moof") {
        let moof = Moof::decode(&mut &file[at..at + size]).unwrap();
        for traf in &moof.traf {
            let head = &traf.tfhd;
            assert!(head.default_base_is_moof && head.base_data_offset.is_none());
            let track = moov
                .trak
                .iter()
                .position(|trak| trak.tkhd.track_id == head.track_id)
                .unwrap();
            let mut time = traf.tfdt.as_ref().unwrap().base_media_decode_time;
            for trun in &traf.trun {
                let mut offset = at + trun.data_offset.unwrap() as usize;
                for entry in &trun.samples {
                    let size = entry.size.or(head.default_sample_size).unwrap() as usize;
                    let duration = entry.duration.or(head.default_sample_duration).unwrap();
                    let flags = entry.flags.or(head.default_sample_flags).unwrap();
                    tracks[track].push(Read {
                        bytes: file[offset..offset + size].to_vec(),
                        time,
                        duration,
                        composition_offset: entry.cts.unwrap_or(0) as i32,
                        description: head.sample_description_index.unwrap_or(1),
                        sync: flags & 0x1_0000 == 0,
                    });
                    offset += size;
                    time += u64::from(duration);
                }
            }
        }
    }
    tracks
}

/// Every box of `file` but those of media, as text.
pub(crate) fn dump(file: &[u8]) -> String {
    let mut text = String::new();
    for (kind, at, size) in top_level(file) {
        if kind == "mdat" {
            text.push_str(&format!("mdat {size} bytes at {at}\n"));
            continue;
        }
        let any = Any::decode_maybe(&mut &file[at..at + size])
            .unwrap()
            .unwrap();
        text.push_str(&format!("{kind} {size} bytes at {at}\n{any:#?}\n"));
    }
    text
}

/// Bytes as rows of 16, in numbers and as text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let rows = bytes.chunks(16).map(|row| {
        let hex: String = row.iter().map(|byte| format!("{byte:02x} ")).collect();
        let text = row.iter().map(|&byte| match byte {
            0x20..0x7f => char::from(byte),
            _ => '.',
        });
        format!("{hex:<48} {}\n", text.collect::<String>())
    });
    rows.collect()
}

/// The boxes of the kind that a path ends with, with their headers: those in the boxes that it leads
/// through.
pub(crate) fn at_path<'a>(file: &'a [u8], path: &[&str]) -> Vec<&'a [u8]> {
    let [kind, rest @ ..] = path else {
        return Vec::new();
    };
    let found = find(file, kind).into_iter();
    let found = found.map(|(at, size)| &file[at..at + size]);
    match rest {
        [] => found.collect(),
        rest => found.flat_map(|outer| at_path(&outer[8..], rest)).collect(),
    }
}

/// Decodes one box of a kind from bytes that are nothing else.
pub(crate) fn decode<T: Atom>(bytes: &[u8]) -> T {
    T::decode(&mut &*bytes).unwrap()
}
