//! The movie box and the headers of its tracks (ISO/IEC 14496-12, 8.2 to 8.6).

use super::tables::{self, Table};
use super::{Box, Faults, MovieFacts, Reader, TrackFacts, descriptions};

/// Reads `moov`; `media` are the boxes that samples may lie in.
pub(super) fn check(moov: &Box<'_>, media: &[Box<'_>], faults: &mut Faults) -> MovieFacts {
    let mut movie = MovieFacts::default();
    let boxes = faults.children("moov", moov.body, 0);
    faults.only("moov", &boxes, &["mvhd", "trak", "mvex", "udta", "meta"]);
    let Some(mvhd) = faults.one("moov", &boxes, "mvhd") else {
        return movie;
    };
    faults.demand(boxes.first().is_some_and(|one| one.is("mvhd")), || {
        "moov does not begin with mvhd".to_owned()
    });
    movie.fragmented = faults.at_most_one("moov", &boxes, "mvex").is_some();

    let mut head = Reader::full(&mvhd);
    let (created, modified) = (head.sized(), head.sized());
    faults.demand(created <= modified, || {
        "mvhd: modified before made".to_owned()
    });
    movie.timescale = head.u32();
    let duration = head.sized();
    faults.demand(head.u32() == 0x1_0000, || "mvhd: rate is not 1".to_owned());
    faults.demand(head.u16() == 0x100, || "mvhd: volume is not 1".to_owned());
    faults.demand(head.bytes(10).iter().all(|byte| *byte == 0), || {
        "mvhd: reserved fields are set".to_owned()
    });
    check_matrix(&mut head, faults);
    head.bytes(24);
    let next_id = head.u32();
    head.end(faults);
    faults.demand(movie.timescale > 0, || "mvhd: timescale is 0".to_owned());

    let mut longest = 0;
    for trak in boxes.iter().filter(|one| one.is("trak")) {
        let (track, lasting) = check_track(trak, &movie, media, faults);
        longest = longest.max(lasting);
        faults.demand(track.id > 0 && track.id < next_id, || {
            format!("track {} where the next is {next_id}", track.id)
        });
        faults.demand(movie.tracks.iter().all(|one| one.id != track.id), || {
            format!("two tracks are number {}", track.id)
        });
        movie.tracks.push(track);
    }
    faults.demand(!movie.tracks.is_empty(), || "moov has no trak".to_owned());
    // 8.2.2: that of the longest track.
    faults.demand(duration == longest, || {
        format!("mvhd: lasts {duration}, its longest track {longest}")
    });
    if let Some(mvex) = boxes.iter().find(|one| one.is("mvex")) {
        check_extends(mvex, &mut movie, faults);
    }
    check_overlaps(&boxes, media, faults);
    movie
}

/// No two samples may claim the same bytes, and no byte of media is left over.
fn check_overlaps(boxes: &[Box<'_>], media: &[Box<'_>], faults: &mut Faults) {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for trak in boxes.iter().filter(|one| one.is("trak")) {
        spans.extend(tables::chunk_spans(trak.body));
    }
    if spans.is_empty() {
        return;
    }
    spans.sort_unstable();
    for pair in spans.windows(2) {
        faults.demand(pair[0].1 <= pair[1].0, || {
            format!("chunks overlap at byte {}", pair[1].0)
        });
    }
    let held: u64 = spans.iter().map(|(start, end)| end - start).sum();
    let room: u64 = media.iter().map(|mdat| mdat.body.len() as u64).sum();
    faults.demand(held == room, || {
        format!("mdat holds {room} bytes, the chunks {held}")
    });
}

fn check_matrix(head: &mut Reader<'_>, faults: &mut Faults) {
    let matrix: Vec<u32> = (0..9).map(|_| head.u32()).collect();
    // Turns by quarters are all that there is; u, v and w are always 0, 0 and 1.
    let unit = |at: usize| matches!(matrix[at], 0 | 0x1_0000 | 0xffff_0000);
    let turn = unit(0) && unit(1) && unit(3) && unit(4);
    let rest = matrix[2] == 0 && matrix[5] == 0 && matrix[8] == 0x4000_0000;
    faults.demand(turn && rest, || {
        format!("{}: a strange matrix {matrix:x?}", head.name)
    });
}

/// One `trak`, and how long it says that it is presented.
fn check_track(
    trak: &Box<'_>,
    movie: &MovieFacts,
    media: &[Box<'_>],
    faults: &mut Faults,
) -> (TrackFacts, u64) {
    let mut track = TrackFacts::default();
    let boxes = faults.children("trak", trak.body, 0);
    faults.only("trak", &boxes, &["tkhd", "edts", "mdia", "tref", "udta"]);
    let (Some(tkhd), Some(mdia)) = (
        faults.one("trak", &boxes, "tkhd"),
        faults.one("trak", &boxes, "mdia"),
    ) else {
        return (track, 0);
    };
    let mut head = Reader::full(&tkhd);
    head.sized();
    head.sized();
    track.id = head.u32();
    let name = format!("track {}", track.id);
    head.u32();
    let lasting = head.sized();
    head.bytes(8);
    head.u16();
    head.u16();
    let volume = head.u16();
    head.u16();
    check_matrix(&mut head, faults);
    let (width, height) = (head.u32(), head.u32());
    head.end(faults);

    let inside = faults.children("mdia", mdia.body, 0);
    faults.only("mdia", &inside, &["mdhd", "hdlr", "minf", "elng"]);
    let handler = faults
        .one("mdia", &inside, "hdlr")
        .map(|hdlr| check_handler(&hdlr, faults));
    track.video = handler.as_deref() == Some("vide");
    let sound = handler.as_deref() == Some("soun");
    faults.demand((width > 0 && height > 0) == track.video, || {
        format!("{name}: is {handler:?} and {width} by {height}")
    });
    faults.demand(volume == if sound { 0x100 } else { 0 }, || {
        format!("{name}: is {handler:?} and has volume {volume}")
    });
    let media_lasting = faults
        .one("mdia", &inside, "mdhd")
        .map(|mdhd| check_media_header(&mdhd, &mut track, faults));
    let table = faults.one("mdia", &inside, "minf").and_then(|minf| {
        check_media_information(&minf, &mut track, handler.as_deref(), media, faults)
    });
    let Some(table) = table else {
        return (track, lasting);
    };
    track.samples = table.samples();
    let media_lasting = media_lasting.unwrap_or_default();
    let sum = table.lasting();
    faults.demand(media_lasting == sum, || {
        format!("{name}: mdhd lasts {media_lasting}, the samples {sum}")
    });
    let edits = faults.at_most_one("trak", &boxes, "edts");
    match edits {
        Some(edts) => {
            let inside = faults.children("edts", edts.body, 0);
            faults.only("edts", &inside, &["elst"]);
            if let Some(elst) = faults.one("edts", &inside, "elst") {
                let sum = check_edits(&elst, &name, &table, &mut track, movie, faults);
                // In a file of fragments the edits may count these, and `tkhd` must not (ISO/IEC 23000-19,
                // 7.5.4).
                let open = movie.fragmented && lasting == 0;
                faults.demand(sum == lasting || open, || {
                    format!("{name}: tkhd lasts {lasting}, its edits {sum}")
                });
            }
        }
        None => {
            let whole = u128::from(sum) * u128::from(movie.timescale);
            let whole = (whole.div_ceil(u128::from(track.timescale.max(1)))) as u64;
            faults.demand(lasting.abs_diff(whole) <= 1, || {
                format!("{name}: tkhd lasts {lasting}, its media {whole}")
            });
        }
    }
    (track, lasting)
}

/// `hdlr` (8.4.3).
fn check_handler(one: &Box<'_>, faults: &mut Faults) -> String {
    let mut fields = Reader::full(one);
    faults.demand(fields.u32() == 0, || "hdlr: pre_defined is set".to_owned());
    let kind = String::from_utf8_lossy(fields.bytes(4)).into_owned();
    faults.demand(fields.bytes(12).iter().all(|byte| *byte == 0), || {
        "hdlr: reserved fields are set".to_owned()
    });
    let name = fields.rest();
    let text = name.strip_suffix(&[0]).unwrap_or(&[0]);
    faults.demand(
        !text.contains(&0) && std::str::from_utf8(text).is_ok(),
        || format!("hdlr: {name:?} is no name that ends with a null"),
    );
    kind
}

/// `mdhd` (8.4.2).
fn check_media_header(one: &Box<'_>, track: &mut TrackFacts, faults: &mut Faults) -> u64 {
    let mut fields = Reader::full(one);
    fields.sized();
    fields.sized();
    track.timescale = fields.u32();
    let lasting = fields.sized();
    let language = fields.u16();
    let letters = [10, 5, 0].map(|shift| language >> shift & 31);
    faults.demand(
        letters.iter().all(|letter| (1..=26).contains(letter)),
        || format!("mdhd: language {language:#x}"),
    );
    fields.u16();
    fields.end(faults);
    faults.demand(track.timescale > 0, || "mdhd: timescale is 0".to_owned());
    lasting
}

fn check_media_information(
    minf: &Box<'_>,
    track: &mut TrackFacts,
    handler: Option<&str>,
    media: &[Box<'_>],
    faults: &mut Faults,
) -> Option<Table> {
    let boxes = faults.children("minf", minf.body, 0);
    let header = match handler {
        Some("vide") => "vmhd",
        Some("soun") => "smhd",
        Some("subt") => "sthd",
        // QuickTime's, of the text track that chapters are.
        Some("text") if boxes.iter().any(|one| one.is("gmhd")) => "gmhd",
        _ => "nmhd",
    };
    faults.only("minf", &boxes, &[header, "dinf", "stbl"]);
    let one = faults.one("minf", &boxes, header);
    if let Some(one) = one.filter(|one| one.is("gmhd")) {
        let inside = faults.children(header, one.body, 0);
        faults.only(header, &inside, &["gmin", "text"]);
        faults.one(header, &inside, "gmin");
    } else if let Some(one) = one {
        let fields = Reader::full(&one);
        faults.demand(fields.flags == u32::from(header == "vmhd"), || {
            format!("{header}: flags {}", fields.flags)
        });
    }
    if let Some(dinf) = faults.one("minf", &boxes, "dinf") {
        let inside = faults.children("dinf", dinf.body, 0);
        if let Some(dref) = faults.one("dinf", &inside, "dref") {
            let mut fields = Reader::full(&dref);
            let count = fields.u32();
            let entries = faults.children("dref", fields.rest(), 0);
            let here = |one: &Box<'_>| one.is("url ") && Reader::full(one).flags == 1;
            faults.demand(
                count == 1 && entries.len() == 1 && entries.iter().all(here),
                || "dref does not say that the media is in this file".to_owned(),
            );
        }
    }
    let stbl = faults.one("minf", &boxes, "stbl")?;
    let inside = faults.children("stbl", stbl.body, 0);
    track.descriptions = faults
        .one("stbl", &inside, "stsd")
        .map_or(0, |stsd| descriptions::check(&stsd, track, faults));
    tables::check(&inside, track, media, faults)
}

/// `elst` (8.6.6): its sum.
fn check_edits(
    one: &Box<'_>,
    name: &str,
    table: &Table,
    track: &mut TrackFacts,
    movie: &MovieFacts,
    faults: &mut Faults,
) -> u64 {
    let mut fields = Reader::full(one);
    let count = fields.u32();
    let (mut sum, mut last_empty, mut shift) = (0, false, None);
    let mut before = 0i64;
    for _ in 0..count {
        let duration = fields.sized();
        let begin = if fields.version == 1 {
            fields.number(8).cast_signed()
        } else {
            i64::from(fields.u32().cast_signed())
        };
        faults.demand(fields.u32() == 0x1_0000, || {
            format!("{name}: an edit's rate is not 1")
        });
        faults.demand(begin >= -1, || format!("{name}: an edit begins at {begin}"));
        last_empty = begin == -1;
        let media = |ticks: u64| {
            (u128::from(ticks) * u128::from(track.timescale) / u128::from(movie.timescale.max(1)))
                as i64
        };
        if last_empty {
            faults.demand(duration > 0, || {
                format!("{name}: an empty edit of no length")
            });
            before += media(duration);
        } else {
            shift = shift.or(Some(before - begin));
            let open = movie.fragmented && duration == 0;
            faults.demand(open || duration > 0, || {
                format!("{name}: an edit of no length")
            });
            if !movie.fragmented {
                // One tick of the movie may be many of the media.
                let slack = i64::from(track.timescale / movie.timescale.max(1)) + 1;
                let end = begin + media(duration);
                faults.demand(end <= table.presented_until() + slack, || {
                    let until = table.presented_until();
                    format!("{name}: an edit ends at {end}, the media at {until}")
                });
                faults.demand(begin < table.presented_until(), || {
                    format!("{name}: an edit begins behind the media")
                });
            }
        }
        sum += duration;
    }
    fields.end(faults);
    faults.demand(count > 0 && !last_empty, || {
        format!("{name}: the last edit shows nothing")
    });
    track.shift = shift.unwrap_or_default();
    sum
}

/// `mvex` (8.8.1).
fn check_extends(mvex: &Box<'_>, movie: &mut MovieFacts, faults: &mut Faults) {
    let boxes = faults.children("mvex", mvex.body, 0);
    faults.only("mvex", &boxes, &["mehd", "trex"]);
    if let Some(mehd) = faults.at_most_one("mvex", &boxes, "mehd") {
        let mut fields = Reader::full(&mehd);
        movie.fragment_duration = Some(fields.sized());
        fields.end(faults);
    }
    let mut described = Vec::new();
    for trex in boxes.iter().filter(|one| one.is("trex")) {
        let mut fields = Reader::full(trex);
        let (id, description) = (fields.u32(), fields.u32());
        let defaults = [fields.u32(), fields.u32(), fields.u32()];
        fields.end(faults);
        described.push(id);
        let Some(track) = movie.tracks.iter_mut().find(|track| track.id == id) else {
            faults.add(format!("trex for track {id}, which is not there"));
            continue;
        };
        track.defaults = defaults;
        let known = track.descriptions;
        faults.demand((1..=known).contains(&description), || {
            format!("trex: track {id} has no sample entry {description}")
        });
    }
    let mut ids: Vec<u32> = movie.tracks.iter().map(|track| track.id).collect();
    ids.sort_unstable();
    described.sort_unstable();
    faults.demand(ids == described, || {
        format!("tracks {ids:?}, trex for {described:?}")
    });
}
