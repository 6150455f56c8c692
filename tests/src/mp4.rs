//! A plain reader of MP4 (ISO/IEC 14496-12), progressive and fragmented, and what must hold in any.

/// A whole file.
#[derive(Debug, Clone, Default)]
pub struct Movie {
    /// Ticks per second of edit durations.
    pub timescale: u32,
    /// `mvhd` duration.
    pub duration: u64,
    /// Types of the boxes at the top, in order.
    pub boxes: Vec<String>,
    /// The tracks.
    pub tracks: Vec<Track>,
    mdat: Vec<(u64, u64)>,
}

/// One track.
#[derive(Debug, Clone, Default)]
pub struct Track {
    /// `track_ID`.
    pub id: u32,
    /// `vide` or `soun`.
    pub handler: String,
    /// Ticks per second.
    pub timescale: u32,
    /// ISO 639-2/T.
    pub language: String,
    /// Sample entry types.
    pub entries: Vec<String>,
    /// The edit list.
    pub edits: Vec<Edit>,
    /// The samples in decode order.
    pub samples: Vec<Sample>,
    defaults: [u32; 4],
}

/// One entry of an edit list.
#[derive(Debug, Clone, Copy)]
pub struct Edit {
    /// Length in the movie's ticks.
    pub duration: u64,
    /// Where it begins in the track; -1 for nothing.
    pub media_time: i64,
}

/// One sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Decoding time.
    pub dts: i64,
    /// Presentation time.
    pub pts: i64,
    /// How long it lasts.
    pub duration: u32,
    /// Where it lies in the file.
    pub offset: u64,
    /// Its length.
    pub size: u32,
    /// Whether decoding can start at it.
    pub sync: bool,
    /// Its sample entry, from 1.
    pub description: u32,
}

impl Track {
    /// The bytes of a sample.
    ///
    /// # Panics
    /// When it does not lie in the file.
    #[must_use]
    pub fn data<'a>(&self, file: &'a [u8], sample: usize) -> &'a [u8] {
        let sample = &self.samples[sample];
        let start = usize::try_from(sample.offset).unwrap();
        &file[start..start + sample.size as usize]
    }

    /// Where a media time comes out on the movie's timeline, in seconds; `None` when it is hidden.
    #[must_use]
    pub fn presented(&self, media_time: i64, movie_timescale: u32) -> Option<f64> {
        let media = f64::from(self.timescale);
        let movie = f64::from(movie_timescale);
        if self.edits.is_empty() {
            return Some(media_time as f64 / media);
        }
        let mut at = 0.0;
        for edit in &self.edits {
            let seconds = edit.duration as f64 / movie;
            let since = (media_time - edit.media_time) as f64 / media;
            let open = edit.duration == 0;
            if edit.media_time >= 0 && since >= 0.0 && (open || since < seconds) {
                return Some(at + since);
            }
            at += seconds;
        }
        None
    }

    /// Whether it is sound.
    #[must_use]
    pub fn is_audio(&self) -> bool {
        self.handler == "soun"
    }

    /// Whether it is pictures.
    #[must_use]
    pub fn is_video(&self) -> bool {
        self.handler == "vide"
    }
}

/// Reads a file.
///
/// # Errors
/// A sentence, when it is not a sound MP4.
pub fn read(file: &[u8]) -> Result<Movie, String> {
    let mut movie = Movie::default();
    for (kind, at, body) in boxes(file, 0)? {
        movie.boxes.push(kind.clone());
        match kind.as_str() {
            "moov" => read_moov(&mut movie, body)?,
            "moof" => read_moof(&mut movie, at, body)?,
            "mdat" => movie
                .mdat
                .push(((at + header_len(file, at)) as u64, body.len() as u64)),
            _ => {}
        }
    }
    if movie.tracks.is_empty() {
        return Err("no track".to_owned());
    }
    Ok(movie)
}

impl Movie {
    /// What is wrong with it, were it a clip of Clipmill's: nothing, in the end. What the standard
    /// demands is looked for by [`iso`](crate::iso).
    #[must_use]
    pub fn faults(&self, file: &[u8]) -> Vec<String> {
        let mut faults = crate::iso::faults(file);
        faults.extend(self.sample_faults(file));
        faults
    }

    /// What is wrong with its samples alone, in a file by anybody.
    #[must_use]
    pub fn sample_faults(&self, file: &[u8]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for track in &self.tracks {
            let name = format!("track {}", track.id);
            if track.samples.is_empty() {
                faults.push(format!("{name} has no samples"));
            }
            for pair in track.samples.windows(2) {
                if pair[1].dts <= pair[0].dts {
                    faults.push(format!(
                        "{name}: decode time {} after {}",
                        pair[1].dts, pair[0].dts
                    ));
                }
            }
            for (n, sample) in track.samples.iter().enumerate() {
                let end = sample.offset + u64::from(sample.size);
                let held = self
                    .mdat
                    .iter()
                    .any(|(start, len)| sample.offset >= *start && end <= start + len);
                if !held || sample.size == 0 {
                    faults.push(format!("{name}: sample {n} lies outside mdat, or is empty"));
                    continue;
                }
                spans.push((sample.offset, end));
                let described = sample.description as usize;
                if described == 0 || described > track.entries.len() {
                    faults.push(format!("{name}: sample {n} has no sample entry"));
                }
                let is_nal = matches!(
                    track.entries.first().map(String::as_str),
                    Some("avc1" | "hvc1")
                );
                if is_nal && crate::es::length_prefixed(track.data(file, n)).is_none() {
                    faults.push(format!("{name}: sample {n} is no list of NAL units"));
                }
            }
        }
        spans.sort_unstable();
        if spans.windows(2).any(|pair| pair[1].0 < pair[0].1) {
            faults.push("samples overlap".to_owned());
        }
        let media: u64 = spans.iter().map(|(start, end)| end - start).sum();
        let room: u64 = self.mdat.iter().map(|(_, len)| len).sum();
        if media != room {
            faults.push(format!("mdat holds {room} bytes, the samples {media}"));
        }
        faults
    }
}

type Boxes<'a> = Vec<(String, usize, &'a [u8])>;

fn boxes(data: &[u8], mut at: usize) -> Result<Boxes<'_>, String> {
    let mut found = Vec::new();
    while at < data.len() {
        let short = || format!("a box at byte {at} does not fit");
        let mut size = u64::from(be32(data, at).ok_or_else(short)?);
        let kind = data.get(at + 4..at + 8).ok_or_else(short)?;
        let header = header_len(data, at);
        if size == 1 {
            let large = data.get(at + 8..at + 16).ok_or_else(short)?;
            size = u64::from_be_bytes(large.try_into().unwrap_or_default());
        }
        let end = at.checked_add(usize::try_from(size).map_err(|_| short())?);
        let body = end
            .and_then(|end| data.get(at + header..end))
            .ok_or_else(short)?;
        found.push((String::from_utf8_lossy(kind).into_owned(), at, body));
        at = end.unwrap_or(usize::MAX);
    }
    Ok(found)
}

fn header_len(data: &[u8], at: usize) -> usize {
    if be32(data, at) == Some(1) { 16 } else { 8 }
}

fn be32(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().unwrap_or_default()))
}

/// Reads numbers one after the other.
struct Fields<'a> {
    data: &'a [u8],
    at: usize,
    name: &'a str,
}

impl<'a> Fields<'a> {
    fn new(name: &'a str, data: &'a [u8]) -> Self {
        Self { data, at: 0, name }
    }

    fn u32(&mut self) -> Result<u32, String> {
        let value =
            be32(self.data, self.at).ok_or_else(|| format!("{} is too short", self.name))?;
        self.at += 4;
        Ok(value)
    }

    fn i32(&mut self) -> Result<i32, String> {
        self.u32().map(u32::cast_signed)
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    /// 32 or 64 bits, by the version.
    fn sized(&mut self, version: u8) -> Result<u64, String> {
        if version == 1 {
            self.u64()
        } else {
            self.u32().map(u64::from)
        }
    }

    fn version_and_flags(&mut self) -> Result<(u8, u32), String> {
        let word = self.u32()?;
        Ok(((word >> 24) as u8, word & 0x00ff_ffff))
    }

    fn table<T>(
        &mut self,
        mut row: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let rows = self.u32()?;
        (0..rows).map(|_| row(self)).collect()
    }
}

fn read_moov(movie: &mut Movie, moov: &[u8]) -> Result<(), String> {
    let children = boxes(moov, 0)?;
    for (kind, _, body) in &children {
        match kind.as_str() {
            "mvhd" => {
                let mut fields = Fields::new("mvhd", body);
                let (version, _) = fields.version_and_flags()?;
                fields.at += if version == 1 { 16 } else { 8 };
                movie.timescale = fields.u32()?;
                movie.duration = fields.sized(version)?;
            }
            "trak" => movie.tracks.push(read_trak(body)?),
            _ => {}
        }
    }
    for (_, _, mvex) in children.iter().filter(|(kind, ..)| kind == "mvex") {
        for (_, _, body) in boxes(mvex, 0)?.iter().filter(|(kind, ..)| kind == "trex") {
            let mut fields = Fields::new("trex", body);
            fields.u32()?;
            let id = fields.u32()?;
            let defaults = [fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?];
            if let Some(track) = movie.tracks.iter_mut().find(|track| track.id == id) {
                track.defaults = defaults;
            }
        }
    }
    Ok(())
}

fn read_trak(trak: &[u8]) -> Result<Track, String> {
    let mut track = Track::default();
    let mut tables = Tables::default();
    let mut inside = boxes(trak, 0)?;
    while !inside.is_empty() {
        let mut deeper = Vec::new();
        for (kind, _, body) in inside {
            let mut fields = Fields::new("a box of a trak", body);
            match kind.as_str() {
                "mdia" | "minf" | "stbl" | "edts" => deeper.extend(boxes(body, 0)?),
                "tkhd" => {
                    let (version, _) = fields.version_and_flags()?;
                    fields.at += if version == 1 { 16 } else { 8 };
                    track.id = fields.u32()?;
                }
                "elst" => {
                    let (version, _) = fields.version_and_flags()?;
                    track.edits = fields.table(|row| {
                        let duration = row.sized(version)?;
                        let media_time = if version == 1 {
                            row.u64()?.cast_signed()
                        } else {
                            i64::from(row.i32()?)
                        };
                        row.u32()?;
                        Ok(Edit {
                            duration,
                            media_time,
                        })
                    })?;
                }
                "mdhd" => {
                    let (version, _) = fields.version_and_flags()?;
                    fields.at += if version == 1 { 16 } else { 8 };
                    track.timescale = fields.u32()?;
                    fields.sized(version)?;
                    let code = fields.u32()? >> 16;
                    let letter = |shift: u32| char::from((code >> shift & 31) as u8 + 0x60);
                    track.language = [letter(10), letter(5), letter(0)].iter().collect();
                }
                "hdlr" => {
                    let name = body.get(8..12).unwrap_or_default();
                    track.handler = String::from_utf8_lossy(name).into_owned();
                }
                "stsd" => {
                    let entries = boxes(body.get(8..).unwrap_or_default(), 0)?;
                    track.entries = entries.into_iter().map(|(kind, ..)| kind).collect();
                }
                "stts" => {
                    fields.u32()?;
                    tables.durations = fields.table(|row| Ok((row.u32()?, row.u32()?)))?;
                }
                "ctts" => {
                    let (version, _) = fields.version_and_flags()?;
                    tables.offsets = fields.table(|row| {
                        let count = row.u32()?;
                        let value = row.u32()?;
                        let signed = i64::from(value.cast_signed());
                        Ok((
                            count,
                            if version == 1 {
                                signed
                            } else {
                                i64::from(value)
                            },
                        ))
                    })?;
                }
                "stsz" => {
                    fields.u32()?;
                    let all = fields.u32()?;
                    tables.sizes = if all == 0 {
                        fields.table(Fields::u32)?
                    } else {
                        vec![all; fields.u32()? as usize]
                    };
                }
                "stsc" => {
                    fields.u32()?;
                    tables.chunks = fields.table(|row| Ok([row.u32()?, row.u32()?, row.u32()?]))?;
                }
                "stco" => {
                    fields.u32()?;
                    tables.starts = fields.table(|row| row.u32().map(u64::from))?;
                }
                "co64" => {
                    fields.u32()?;
                    tables.starts = fields.table(Fields::u64)?;
                }
                "stss" => {
                    fields.u32()?;
                    tables.sync = Some(fields.table(Fields::u32)?);
                }
                _ => {}
            }
        }
        inside = deeper;
    }
    track.samples = tables.samples()?;
    Ok(track)
}

#[derive(Default)]
struct Tables {
    durations: Vec<(u32, u32)>,
    offsets: Vec<(u32, i64)>,
    sizes: Vec<u32>,
    chunks: Vec<[u32; 3]>,
    starts: Vec<u64>,
    sync: Option<Vec<u32>>,
}

impl Tables {
    fn samples(&self) -> Result<Vec<Sample>, String> {
        let count = self.sizes.len();
        let durations = spread(&self.durations);
        if durations.len() != count {
            return Err(format!(
                "stts is about {} samples, stsz about {count}",
                durations.len()
            ));
        }
        let offsets = spread(&self.offsets);
        if !offsets.is_empty() && offsets.len() != count {
            return Err(format!(
                "ctts is about {} samples, stsz about {count}",
                offsets.len()
            ));
        }
        let places = self.places()?;
        if places.len() != count {
            return Err(format!(
                "stsc is about {} samples, stsz about {count}",
                places.len()
            ));
        }
        let mut dts = 0i64;
        let samples = (0..count).map(|n| {
            let sample = Sample {
                dts,
                pts: dts + offsets.get(n).copied().unwrap_or_default(),
                duration: durations[n],
                offset: places[n].0,
                size: self.sizes[n],
                sync: self
                    .sync
                    .as_ref()
                    .is_none_or(|sync| sync.binary_search(&(n as u32 + 1)).is_ok()),
                description: places[n].1,
            };
            dts += i64::from(durations[n]);
            sample
        });
        Ok(samples.collect())
    }

    fn places(&self) -> Result<Vec<(u64, u32)>, String> {
        let mut places = Vec::new();
        for (chunk, start) in self.starts.iter().enumerate() {
            let row = self
                .chunks
                .iter()
                .rev()
                .find(|row| row[0] as usize <= chunk + 1)
                .ok_or("stsc does not begin at chunk 1")?;
            let mut at = *start;
            for _ in 0..row[1] {
                let size = self
                    .sizes
                    .get(places.len())
                    .ok_or("stsc has more samples than stsz")?;
                places.push((at, row[2]));
                at += u64::from(*size);
            }
        }
        Ok(places)
    }
}

fn spread<T: Copy>(runs: &[(u32, T)]) -> Vec<T> {
    runs.iter()
        .flat_map(|(count, value)| std::iter::repeat_n(*value, *count as usize))
        .collect()
}

fn read_moof(movie: &mut Movie, moof_at: usize, moof: &[u8]) -> Result<(), String> {
    for (_, _, traf) in boxes(moof, 0)?.iter().filter(|(kind, ..)| kind == "traf") {
        let mut track: Option<&mut Track> = None;
        let mut defaults = [0; 4];
        let mut base = moof_at as u64;
        let mut dts = 0i64;
        for (kind, _, body) in boxes(traf, 0)? {
            let mut fields = Fields::new("a box of a traf", body);
            let (version, flags) = match kind.as_str() {
                "tfhd" | "tfdt" | "trun" => fields.version_and_flags()?,
                _ => continue,
            };
            if kind == "tfhd" {
                let id = fields.u32()?;
                let found = movie.tracks.iter_mut().find(|track| track.id == id);
                defaults = found.as_ref().map_or(defaults, |track| track.defaults);
                track = found;
                if flags & 1 != 0 {
                    base = fields.u64()?;
                }
                for (n, flag) in [2, 8, 0x10, 0x20].into_iter().enumerate() {
                    if flags & flag != 0 {
                        defaults[n] = fields.u32()?;
                    }
                }
                continue;
            }
            if kind == "tfdt" {
                dts = fields.sized(version)?.cast_signed();
                continue;
            }
            let track = track.as_mut().ok_or("a traf for no track")?;
            let count = fields.u32()?;
            let mut offset = base;
            if flags & 1 != 0 {
                offset = base.wrapping_add_signed(i64::from(fields.i32()?));
            }
            let first_flags = if flags & 4 != 0 {
                Some(fields.u32()?)
            } else {
                None
            };
            for n in 0..count {
                let mut pick = |flag: u32, default: u32| {
                    if flags & flag != 0 {
                        fields.u32()
                    } else {
                        Ok(default)
                    }
                };
                let duration = pick(0x100, defaults[1])?;
                let size = pick(0x200, defaults[2])?;
                let default_flags = first_flags.filter(|_| n == 0).unwrap_or(defaults[3]);
                let sample_flags = pick(0x400, default_flags)?;
                let shift = pick(0x800, 0)?;
                let shift = if version == 1 {
                    i64::from(shift.cast_signed())
                } else {
                    i64::from(shift)
                };
                track.samples.push(Sample {
                    dts,
                    pts: dts + shift,
                    duration,
                    offset,
                    size,
                    sync: sample_flags & 0x0001_0000 == 0,
                    description: defaults[0],
                });
                dts += i64::from(duration);
                offset += u64::from(size);
            }
            base = offset;
        }
    }
    Ok(())
}
