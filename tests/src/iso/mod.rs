//! What ISO/IEC 14496-12 demands of a file, read strictly: every box in its place, every table as
//! long as it says, every duration the sum of what it sums up. It shares nothing with what writes the
//! files, nor with the plain reader in [`mp4`](crate::mp4), which only wants to find the samples.

mod descriptions;
mod fragments;
mod movie;
mod tables;

/// What is wrong with a file: nothing, in the end.
#[must_use]
pub fn faults(file: &[u8]) -> Vec<String> {
    let mut faults = Faults::default();
    let boxes = faults.children("the file", file, 0);
    check_top(file, &boxes, &mut faults);
    faults.list
}

/// A box: its type, where it begins in its file or parent, and its content.
#[derive(Debug, Clone, Copy)]
struct Box<'a> {
    kind: [u8; 4],
    /// Of its first byte, in what was parsed.
    at: usize,
    /// Header included.
    size: usize,
    body: &'a [u8],
}

impl Box<'_> {
    fn is(&self, kind: &str) -> bool {
        self.kind == kind.as_bytes()
    }

    fn name(&self) -> String {
        String::from_utf8_lossy(&self.kind).into_owned()
    }
}

/// Collects what is wrong.
#[derive(Debug, Default)]
struct Faults {
    list: Vec<String>,
}

impl Faults {
    fn add(&mut self, fault: impl Into<String>) {
        // One mistake in a loop is enough.
        if self.list.len() < 50 {
            self.list.push(fault.into());
        }
    }

    fn demand(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.add(fault());
        }
    }

    /// The boxes that `data` is made of, without a byte left over.
    fn children<'a>(&mut self, parent: &str, data: &'a [u8], from: usize) -> Vec<Box<'a>> {
        let mut found = Vec::new();
        let mut at = from;
        while at < data.len() {
            let Some(one) = read_box(data, at) else {
                self.add(format!("{parent}: no whole box at byte {at}"));
                break;
            };
            at += one.size;
            found.push(one);
        }
        found
    }

    /// The one box of a kind.
    fn one<'a>(&mut self, parent: &str, boxes: &[Box<'a>], kind: &str) -> Option<Box<'a>> {
        let found = self.at_most_one(parent, boxes, kind);
        self.demand(found.is_some(), || format!("{parent} has no {kind}"));
        found
    }

    fn at_most_one<'a>(&mut self, parent: &str, boxes: &[Box<'a>], kind: &str) -> Option<Box<'a>> {
        let mut found = boxes.iter().filter(|one| one.is(kind));
        let first = found.next().copied();
        self.demand(found.next().is_none(), || {
            format!("{parent} has more than one {kind}")
        });
        first
    }

    /// Every box must be of one of these kinds.
    fn only(&mut self, parent: &str, boxes: &[Box<'_>], kinds: &[&str]) {
        for one in boxes {
            self.demand(kinds.iter().any(|kind| one.is(kind)), || {
                format!("{parent} holds a {}", one.name())
            });
        }
    }
}

fn read_box(data: &[u8], at: usize) -> Option<Box<'_>> {
    let short = be(data.get(at..at + 4)?);
    let kind = data.get(at + 4..at + 8)?.try_into().ok()?;
    let (header, size) = match short {
        1 => (16, be(data.get(at + 8..at + 16)?)),
        // To the end of the file: 4.2 allows it, but nobody who knows the length needs it.
        0 => return None,
        size => (8, size),
    };
    let size = usize::try_from(size).ok()?;
    let body = data.get(at + header..at.checked_add(size)?)?;
    Some(Box {
        kind,
        at,
        size,
        body,
    })
}

/// Any number of bytes as a number.
fn be(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Fields one after the other; what is missing reads as 0 and is told at the end.
#[derive(Debug)]
struct Reader<'a> {
    name: String,
    data: &'a [u8],
    at: usize,
    version: u8,
    flags: u32,
}

impl<'a> Reader<'a> {
    fn plain(name: impl Into<String>, data: &'a [u8]) -> Self {
        Self {
            name: name.into(),
            data,
            at: 0,
            version: 0,
            flags: 0,
        }
    }

    /// Behind the version and flags of a full box (4.2).
    fn full(one: &Box<'a>) -> Self {
        let mut reader = Self::plain(one.name(), one.body);
        let word = reader.u32();
        reader.version = (word >> 24) as u8;
        reader.flags = word & 0xff_ffff;
        reader
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let found = self.data.get(self.at..self.at + count).unwrap_or_default();
        self.at += count;
        found
    }

    fn number(&mut self, bytes: usize) -> u64 {
        be(self.bytes(bytes))
    }

    fn u8(&mut self) -> u8 {
        self.number(1) as u8
    }

    fn u16(&mut self) -> u16 {
        self.number(2) as u16
    }

    fn u32(&mut self) -> u32 {
        self.number(4) as u32
    }

    /// 32 or 64 bits, by the version.
    fn sized(&mut self) -> u64 {
        self.number(if self.version == 1 { 8 } else { 4 })
    }

    fn rest(&self) -> &'a [u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    /// The box must end here.
    fn end(&self, faults: &mut Faults) {
        let (at, len) = (self.at, self.data.len());
        faults.demand(at == len, || {
            format!("{} has {len} bytes where its fields take {at}", self.name)
        });
    }
}

fn check_top(file: &[u8], boxes: &[Box<'_>], faults: &mut Faults) {
    faults.only(
        "the file",
        boxes,
        &[
            "ftyp", "moov", "mdat", "free", "uuid", "styp", "sidx", "moof", "mfra", "emsg",
        ],
    );
    faults.demand(boxes.first().is_some_and(|one| one.is("ftyp")), || {
        "the file does not begin with ftyp".to_owned()
    });
    let brands = faults
        .one("the file", boxes, "ftyp")
        .map(|one| check_brands(&one, faults));
    let Some(moov) = faults.one("the file", boxes, "moov") else {
        return;
    };
    let media: Vec<Box<'_>> = boxes.iter().filter(|one| one.is("mdat")).copied().collect();
    faults.demand(media.iter().all(|mdat| mdat.at > moov.at), || {
        "media comes before moov".to_owned()
    });
    let mut movie = movie::check(&moov, &media, faults);
    let fragments = boxes.iter().any(|one| one.is("moof"));
    faults.demand(!fragments || movie.fragmented, || {
        "there are fragments, and no mvex".to_owned()
    });
    if movie.fragmented {
        fragments::check(file, boxes, &mut movie, faults);
    }
    let brands = brands.unwrap_or_default();
    let has = |brand: &[u8; 4]| brands.iter().any(|one| one == brand);
    // Signed composition offsets came with iso4, sample groups in fragments with iso6 (annex E).
    faults.demand(has(b"iso6") || has(b"cmfc"), || {
        "no brand allows what the file uses".to_owned()
    });
    let unread = movie.tracks.iter().filter(|track| track.samples == 0);
    for track in unread.filter(|_| !movie.fragmented) {
        faults.add(format!("track {} has no samples", track.id));
    }
}

/// `ftyp` (4.3).
fn check_brands(one: &Box<'_>, faults: &mut Faults) -> Vec<[u8; 4]> {
    let brands: Vec<[u8; 4]> = one
        .body
        .chunks_exact(4)
        .filter_map(|brand| brand.try_into().ok())
        .collect();
    faults.demand(
        one.body.len() >= 12 && one.body.len().is_multiple_of(4),
        || "ftyp lists no compatible brand".to_owned(),
    );
    let compatible = brands.get(2..).unwrap_or_default().to_vec();
    faults.demand(
        brands
            .first()
            .is_some_and(|major| compatible.contains(major)),
        || "the major brand is not among the compatible ones".to_owned(),
    );
    compatible
}

/// What the boxes of a movie say, as far as others must agree with it.
#[derive(Debug, Default)]
struct MovieFacts {
    timescale: u32,
    fragmented: bool,
    /// `mehd`.
    fragment_duration: Option<u64>,
    tracks: Vec<TrackFacts>,
}

#[derive(Debug, Default)]
struct TrackFacts {
    id: u32,
    video: bool,
    timescale: u32,
    descriptions: u32,
    samples: u64,
    /// Media time at which the next fragment must begin.
    next: Option<u64>,
    /// Until when samples of fragments are shown, in media time.
    shown_until: i64,
    /// `trex`: duration, size, flags.
    defaults: [u32; 3],
    /// What the edit list adds to media time, in the track's timescale.
    shift: i64,
}
