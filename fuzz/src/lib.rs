//! The bodies of the fuzz targets, as plain functions: each takes any bytes and panics when
//! something that must hold does not.
//!
//! - [`ts_segment`]: bytes as one MPEG-TS segment;
//! - [`ts_sequence`]: bytes as what happens to a sound stream on its way;
//! - [`playlist`]: bytes as a playlist.
//!
//! The tests replay `fuzz/seeds` through them; `fuzz_targets` puts libFuzzer in front.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a target reports"
)]

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::LazyLock;

use bytes::Bytes;
use clipmill::{
    ByteRange, Clip, ClipError, ClipRequest, Cut, Format, Location, SegmentSource, SourceError,
};
use clipmill_tests::mp4;
use clipmill_tests::writer::{Plan, Segment};

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder in `fuzz/seeds`.
pub const TARGETS: &[(&str, Target)] = &[
    ("ts_segment", ts_segment),
    ("ts_sequence", ts_sequence),
    ("playlist", playlist),
];

/// Files in memory.
#[derive(Debug, Default)]
pub struct Memory {
    files: HashMap<PathBuf, Bytes>,
    /// What any other name gives.
    other: Option<Bytes>,
}

impl Memory {
    /// Files by their names.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Self {
        let files = files.into_iter();
        Self {
            files: files
                .map(|(name, bytes)| (name.into(), bytes.into()))
                .collect(),
            other: None,
        }
    }

    /// The segments of a plan, and their playlist.
    #[must_use]
    pub fn stream(plan: &Plan, segments: &[Segment]) -> Self {
        let mut memory = Self::new([("index.m3u8", plan.playlist(segments).into_bytes())]);
        for (n, segment) in segments.iter().enumerate() {
            memory
                .files
                .insert(format!("{n}.ts").into(), segment.bytes.clone().into());
        }
        memory
    }
}

impl SegmentSource for Memory {
    fn read(
        &self,
        location: &Location,
        range: Option<ByteRange>,
        max_bytes: u64,
    ) -> Result<Bytes, SourceError> {
        let file = match location {
            Location::File(path) => self.files.get(path).or(self.other.as_ref()),
            Location::Url(_) => self.other.as_ref(),
        };
        let location = location.to_string();
        let Some(file) = file else {
            return Err(SourceError::NotFound { location });
        };
        let (offset, length) = range.map_or((0, file.len() as u64), |r| (r.offset, r.length));
        let end = offset.saturating_add(length).min(file.len() as u64);
        if offset >= end && range.is_some() {
            return Err(SourceError::Range {
                location,
                offset,
                end,
            });
        }
        if end - offset > max_bytes {
            return Err(SourceError::TooLarge {
                location,
                limit: max_bytes,
            });
        }
        Ok(file.slice(offset as usize..end as usize))
    }
}

/// A clip of the playlist `index.m3u8`.
///
/// # Errors
/// As [`Clip::from_playlist`].
pub fn cut(memory: &Memory, request: &ClipRequest) -> Result<Clip, ClipError> {
    let playlist = Location::File("index.m3u8".into());
    Clip::from_playlist(memory, &playlist, request, &mut |_| {
        ControlFlow::Continue(())
    })
}

/// The bytes of a clip.
///
/// # Panics
/// When it is no sound MP4, or its ranges are not those of the whole.
#[must_use]
pub fn sound_file(memory: &Memory, clip: &Clip, format: Format) -> Vec<u8> {
    let layout = clip.layout(format).unwrap();
    let len = layout.len();
    let file = layout.read_range(memory, 0..len).unwrap();
    assert_eq!(file.len() as u64, len, "a layout knows its length");
    let (third, half) = (len / 3, len / 2);
    let range = layout.read_range(memory, third..half).unwrap();
    assert!(
        range == file[third as usize..half as usize],
        "a range is a part of the whole"
    );
    let movie = mp4::read(&file).unwrap();
    assert_eq!(movie.faults(&file), [""; 0], "{format:?}");
    let told = clip.tracks.iter().map(|track| track.samples as usize);
    assert!(
        told.eq(movie.tracks.iter().map(|track| track.samples.len())),
        "a clip tells how many samples it has"
    );
    file
}

fn check(memory: &Memory, clip: Result<Clip, ClipError>) {
    match clip {
        Ok(clip) => {
            for format in [Format::Mp4, Format::Fmp4] {
                let _ = sound_file(memory, &clip, format);
            }
        }
        Err(error) => {
            let line = error.to_string();
            assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
        }
    }
}

/// One segment: it becomes a sound MP4, or an error of one line.
pub fn ts_segment(data: &[u8]) {
    let memory = Memory::new([("a.ts", data.to_vec())]);
    let files = [Location::File("a.ts".into())];
    let request = ClipRequest::default();
    check(
        &memory,
        Clip::from_files(
            &memory,
            &files,
            &request,
            &mut |_| ControlFlow::Continue(()),
        ),
    );
}

/// A sound stream to which things happen: each four bytes are one accident. Whatever is left becomes
/// a sound MP4, or an error of one line.
pub fn ts_sequence(data: &[u8]) {
    static STREAM: LazyLock<(Plan, Vec<Segment>)> = LazyLock::new(|| {
        let plan = Plan {
            groups: 3,
            group: 5,
            ..Plan::default()
        };
        let segments = plan.segments();
        (plan, segments)
    });
    let (plan, segments) = &*STREAM;
    let mut segments = segments.clone();
    let (mode, accidents) = data.split_first().unwrap_or((&0, &[]));
    for accident in accidents.chunks_exact(4).take(64) {
        let segment = usize::from(accident[1]) % segments.len();
        let bytes = &mut segments[segment].bytes;
        if bytes.len() < 188 {
            continue;
        }
        let packet = usize::from(accident[2]) % (bytes.len() / 188) * 188;
        match accident[0] % 8 {
            0 => drop(bytes.drain(packet..packet + 188)),
            1 => {
                let copy = bytes[packet..packet + 188].to_vec();
                bytes.splice(packet..packet, copy);
            }
            2 => bytes[packet + usize::from(accident[3]) % 188] ^= 0xff,
            3 => bytes.truncate(packet + usize::from(accident[3])),
            4 => bytes.clear(),
            5 => drop(bytes.splice(packet..packet, vec![accident[3]; usize::from(accident[3])])),
            6 => bytes[packet + 1] |= 0x80,
            _ => bytes[packet + 3] ^= accident[3],
        }
    }
    let memory = Memory::stream(plan, &segments);
    let request = ClipRequest {
        cut: match mode % 3 {
            0 => Cut::Exact,
            1 => Cut::Keyframe,
            _ => Cut::Segment,
        },
        ..ClipRequest::default()
    };
    check(&memory, cut(&memory, &request));
}

/// A playlist whose every segment is the same small one.
pub fn playlist(data: &[u8]) {
    static SEGMENT: LazyLock<Bytes> = LazyLock::new(|| {
        let plan = Plan {
            groups: 1,
            group: 2,
            ..Plan::default()
        };
        plan.segments().remove(0).bytes.into()
    });
    let mut memory = Memory::new([("index.m3u8", data.to_vec())]);
    memory.other = Some(SEGMENT.clone());
    check(&memory, cut(&memory, &ClipRequest::default()));
}
