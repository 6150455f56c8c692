//! Sample entries (ISO/IEC 14496-12, 8.5.2 and 12; ISO/IEC 14496-14 and -15; ETSI TS 102 366).

use super::{Box, Faults, Reader, TrackFacts};

/// Reads `stsd`: how many entries it has.
pub(super) fn check(stsd: &Box<'_>, track: &TrackFacts, faults: &mut Faults) -> u32 {
    let mut fields = Reader::full(stsd);
    let count = fields.u32();
    let entries = faults.children("stsd", fields.rest(), 0);
    faults.demand(count as usize == entries.len() && count > 0, || {
        format!("stsd counts {count} entries and has {}", entries.len())
    });
    for entry in &entries {
        let name = format!("track {}, {}", track.id, entry.name());
        let mut fields = Reader::plain(name.clone(), entry.body);
        fields.bytes(6);
        faults.demand(fields.u16() == 1, || {
            format!("{name}: data reference is not 1")
        });
        if track.video {
            visual(entry, &name, fields, faults);
        } else if sound_kind(entry).is_some() {
            sound(entry, &name, track, fields, faults);
        }
    }
    count
}

/// `VisualSampleEntry` (12.1.3).
fn visual(entry: &Box<'_>, name: &str, mut fields: Reader<'_>, faults: &mut Faults) {
    faults.demand(fields.bytes(16).iter().all(|byte| *byte == 0), || {
        format!("{name}: reserved fields are set")
    });
    let (width, height) = (fields.u16(), fields.u16());
    faults.demand(width > 0 && height > 0, || {
        format!("{name}: {width} by {height}")
    });
    let (h, v) = (fields.u32(), fields.u32());
    faults.demand((h, v) == (0x48_0000, 0x48_0000), || {
        format!("{name}: {h:x} by {v:x} dpi")
    });
    fields.u32();
    faults.demand(fields.u16() == 1, || {
        format!("{name}: several frames per sample")
    });
    let compressor = fields.bytes(32);
    faults.demand(compressor.first().is_some_and(|len| *len < 32), || {
        format!(
            "{name}: a compressor's name of {:?} bytes",
            compressor.first()
        )
    });
    let depth = fields.u16();
    faults.demand(depth == 0x18, || format!("{name}: depth {depth}"));
    faults.demand(fields.u16() == 0xffff, || {
        format!("{name}: pre_defined is not -1")
    });
    let boxes = faults.children(name, fields.rest(), 0);
    let config = match &entry.kind {
        b"avc1" | b"avc3" => "avcC",
        b"hvc1" | b"hev1" => "hvcC",
        b"av01" => "av1C",
        b"vp09" | b"vp08" => "vpcC",
        b"mp4v" => "esds",
        other => return faults.add(format!("{name}: an entry {other:?}")),
    };
    let Some(one) = faults.one(name, &boxes, config) else {
        return;
    };
    match config {
        "avcC" => avc(&one, name, entry.is("avc1"), faults),
        "hvcC" => hevc(&one, name, entry.is("hvc1"), faults),
        "esds" => elementary_stream(&one, name, 0x11, faults),
        _ => {}
    }
    if let Some(pasp) = faults.at_most_one(name, &boxes, "pasp") {
        let mut fields = Reader::plain("pasp", pasp.body);
        let (h, v) = (fields.u32(), fields.u32());
        fields.end(faults);
        faults.demand(h > 0 && v > 0, || format!("{name}: pixels of {h} by {v}"));
    }
    for colr in boxes.iter().filter(|one| one.is("colr")) {
        let nclx = colr.body.get(..4) == Some(b"nclx") && colr.body.len() == 11;
        faults.demand(nclx, || format!("{name}: colr is no nclx"));
    }
    if let Some(mdcv) = faults.at_most_one(name, &boxes, "mdcv") {
        faults.demand(mdcv.body.len() == 24, || {
            format!("{name}: mdcv of another length")
        });
    }
    if let Some(clli) = faults.at_most_one(name, &boxes, "clli") {
        faults.demand(clli.body.len() == 4, || {
            format!("{name}: clli of another length")
        });
    }
    rates(name, &boxes, faults);
}

/// `btrt` (8.5.2.2).
fn rates(name: &str, boxes: &[Box<'_>], faults: &mut Faults) {
    if let Some(btrt) = faults.at_most_one(name, boxes, "btrt") {
        let mut fields = Reader::plain("btrt", btrt.body);
        let (_, most, average) = (fields.u32(), fields.u32(), fields.u32());
        fields.end(faults);
        faults.demand(average <= most, || {
            format!("{name}: {average} bit/s at the average, {most} at the most")
        });
    }
}

/// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1).
fn avc(one: &Box<'_>, name: &str, sets_here: bool, faults: &mut Faults) {
    let mut fields = Reader::plain("avcC", one.body);
    faults.demand(fields.u8() == 1, || format!("{name}: version of avcC"));
    let profile = [fields.u8(), fields.u8(), fields.u8()];
    let length = fields.u8();
    faults.demand(length == 0xff, || {
        format!("{name}: lengths are marked {length:#x}")
    });
    let count = fields.u8();
    faults.demand(count >> 5 == 7, || format!("{name}: reserved bits of avcC"));
    let count = count & 31;
    faults.demand(count > 0 || !sets_here, || format!("{name}: no SPS"));
    let mut profiles = Vec::new();
    for _ in 0..count {
        let len = fields.u16() as usize;
        let set = fields.bytes(len);
        faults.demand(set.first().is_some_and(|byte| byte & 0x9f == 7), || {
            format!("{name}: an SPS that is none")
        });
        profiles.push(set.get(1..4).unwrap_or_default());
    }
    // Where they are of several profiles, no one of them is all of the stream's.
    faults.demand(count == 0 || profiles.contains(&profile.as_slice()), || {
        format!("{name}: profile {profile:?}, and none such of {profiles:?}")
    });
    let count = fields.u8();
    faults.demand(count > 0 || !sets_here, || format!("{name}: no PPS"));
    for _ in 0..count {
        let len = fields.u16() as usize;
        let set = fields.bytes(len);
        faults.demand(set.first().is_some_and(|byte| byte & 0x9f == 8), || {
            format!("{name}: a PPS that is none")
        });
    }
    // 5.3.3.1.2: the record goes on for these, and for these alone.
    if matches!(profile[0], 100 | 110 | 122 | 144) || !fields.rest().is_empty() {
        let [chroma, luma, depth] = [fields.u8(), fields.u8(), fields.u8()];
        faults.demand(
            chroma >> 2 == 63 && luma >> 3 == 31 && depth >> 3 == 31,
            || format!("{name}: reserved bits of avcC"),
        );
        for _ in 0..fields.u8() {
            let len = fields.u16() as usize;
            fields.bytes(len);
        }
    }
    fields.end(faults);
}

/// `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 8.3.2.1).
fn hevc(one: &Box<'_>, name: &str, sets_here: bool, faults: &mut Faults) {
    let mut fields = Reader::plain("hvcC", one.body);
    faults.demand(fields.u8() == 1, || format!("{name}: version of hvcC"));
    fields.bytes(12);
    faults.demand(fields.u16() >> 12 == 15, || {
        format!("{name}: reserved bits of hvcC")
    });
    for bits in [2, 2, 3, 3] {
        let byte = fields.u8();
        faults.demand(byte >> bits == 0xff >> bits, || {
            format!("{name}: reserved bits of hvcC")
        });
    }
    fields.u16();
    let layers = fields.u8();
    faults.demand(layers & 3 == 3, || {
        format!("{name}: lengths are marked {layers:#x}")
    });
    let mut found = Vec::new();
    for _ in 0..fields.u8() {
        let head = fields.u8();
        let kind = head & 0x3f;
        faults.demand(head & 0x80 != 0 || !sets_here, || {
            format!("{name}: hvc1 whose array of type {kind} is not complete")
        });
        found.push(kind);
        for _ in 0..fields.u16() {
            let len = fields.u16() as usize;
            let set = fields.bytes(len);
            faults.demand(
                set.first().is_some_and(|byte| byte >> 1 & 0x3f == kind),
                || format!("{name}: a set in the array of type {kind} that is none"),
            );
        }
    }
    fields.end(faults);
    faults.demand(
        !sets_here || [32, 33, 34].iter().all(|kind| found.contains(kind)),
        || format!("{name}: hvc1 with sets of the types {found:?} alone"),
    );
}

fn sound_kind(entry: &Box<'_>) -> Option<&'static str> {
    Some(match &entry.kind {
        b"mp4a" => "esds",
        b"ac-3" => "dac3",
        b"ec-3" => "dec3",
        b"Opus" => "dOps",
        b"fLaC" => "dfLa",
        b"dtsc" | b"dtsh" | b"dtsl" | b"dtse" => "ddts",
        _ => return None,
    })
}

/// `AudioSampleEntry` (12.2.3).
fn sound(
    entry: &Box<'_>,
    name: &str,
    track: &TrackFacts,
    mut fields: Reader<'_>,
    faults: &mut Faults,
) {
    let version = fields.u16();
    faults.demand(version == 0, || format!("{name}: version {version}"));
    fields.bytes(6);
    let channels = fields.u16();
    faults.demand(channels > 0, || format!("{name}: no channel"));
    let bits = fields.u16();
    faults.demand(bits == 16 || entry.is("fLaC"), || {
        format!("{name}: {bits} bits")
    });
    fields.u32();
    let rate = fields.u32();
    faults.demand(rate & 0xffff == 0, || format!("{name}: rate {rate:#x}"));
    let rate = rate >> 16;
    // 12.2.3.1: the timescale is the rate, or of a rate of which it is a multiple or a part; one that
    // does not fit is 0 here.
    let scale = track.timescale;
    let related = rate == 0
        || scale.is_multiple_of(rate)
        || rate.is_multiple_of(scale)
        || track.descriptions != 1;
    faults.demand(related || scale == 90_000, || {
        format!("{name}: sampled at {rate}, counted in {scale}")
    });
    let boxes = faults.children(name, fields.rest(), 0);
    let Some(one) = sound_kind(entry).and_then(|kind| faults.one(name, &boxes, kind)) else {
        return;
    };
    if one.is("esds") {
        elementary_stream(&one, name, 0x15, faults);
    }
    rates(name, &boxes, faults);
}

/// `esds` (ISO/IEC 14496-14, 5.6) and its descriptors (ISO/IEC 14496-1, 7.2.6). `stream` is the
/// stream type with the bits around it.
fn elementary_stream(one: &Box<'_>, name: &str, stream: u8, faults: &mut Faults) {
    let mut fields = Reader::full(one);
    let whole = descriptor(&mut fields, 3, name, faults);
    fields.end(faults);
    let mut es = Reader::plain("ES_Descriptor", whole);
    let id = es.u16();
    faults.demand(id == 0, || {
        format!("{name}: ES_ID {id}, where a file has 0")
    });
    let flags = es.u8();
    faults.demand(flags & 0xe0 == 0, || {
        format!("{name}: flags {flags:#x} of ES_Descriptor")
    });
    let config = descriptor(&mut es, 4, name, faults);
    let sync = descriptor(&mut es, 6, name, faults);
    es.end(faults);
    faults.demand(sync == [2], || {
        format!("{name}: SLConfig {sync:?} instead of [2]")
    });
    let mut config = Reader::plain("DecoderConfigDescriptor", config);
    let object = config.u8();
    let found = config.u8();
    faults.demand(found == stream, || {
        format!("{name}: stream type {found:#x}")
    });
    config.bytes(3);
    let (most, average) = (config.u32(), config.u32());
    faults.demand(average <= most, || {
        format!("{name}: {average} bit/s at the average, {most} at the most")
    });
    if config.rest().is_empty() {
        // MPEG audio and video describe themselves.
        faults.demand(object != 0x40, || format!("{name}: no AudioSpecificConfig"));
    } else {
        let specific = descriptor(&mut config, 5, name, faults);
        faults.demand(!specific.is_empty(), || {
            format!("{name}: an empty DecoderSpecificInfo")
        });
    }
    config.end(faults);
}

/// The content of the next descriptor, which must have this tag (ISO/IEC 14496-1, 8.3.3).
fn descriptor<'a>(fields: &mut Reader<'a>, tag: u8, name: &str, faults: &mut Faults) -> &'a [u8] {
    let found = fields.u8();
    faults.demand(found == tag, || {
        format!("{name}: descriptor {found} instead of {tag}")
    });
    let mut length = 0;
    for _ in 0..4 {
        let byte = fields.u8();
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    fields.bytes(length)
}
