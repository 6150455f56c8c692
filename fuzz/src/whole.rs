//! The whole of `cut`: a playlist that is edited, segments to which things happen, and a window.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use clipmill::{ClipRequest, Input, TimeSpec, WindowRequest};
use clipmill_tests::mp4;
use clipmill_tests::writer::{Plan, Segment};

use crate::transport::{cut_of, happen};
use crate::{Memory, check};

/// Lines that an edit may put into the playlist.
const LINES: [&str; 16] = [
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-GAP",
    "#EXT-X-ENDLIST",
    "#EXT-X-MEDIA-SEQUENCE:18446744073709551615",
    "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T15:00:00Z",
    "#EXT-X-PROGRAM-DATE-TIME:1969-12-31T23:59:59.999-2359",
    "#EXT-X-BYTERANGE:188@0",
    "#EXT-X-BYTERANGE:100",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"",
    "#EXT-X-KEY:METHOD=NONE",
    "#EXT-X-MAP:URI=\"0.ts\"",
    "#EXTINF:0,\n1.ts",
    "#EXTINF:1000000000000,\n2.ts",
    "#EXTINF:0.48,\nmissing.ts",
    "#EXT-X-PART:DURATION=0.2,URI=\"0.ts\"",
    "#EXTM3U",
];

/// A job.
#[derive(Debug, Arbitrary)]
struct Job {
    cut: u8,
    from: Option<Place>,
    to: Option<Place>,
    last: Option<u16>,
    edits: Vec<Edit>,
    /// Segment, kind, packet, value.
    accidents: Vec<(u8, u8, u8, u8)>,
    plan: u8,
}

/// An instant of a window.
#[derive(Debug, Arbitrary)]
enum Place {
    /// Milliseconds from the start.
    Start(u16),
    /// Milliseconds before the end.
    End(u16),
    /// Milliseconds from the first date, minus the largest `i16`.
    At(u16),
}

/// A change of the playlist's lines.
#[derive(Debug, Arbitrary)]
enum Edit {
    Remove(u8),
    Double(u8),
    Swap(u8, u8),
    Insert(u8, u8),
    /// One byte of a line becomes another.
    Byte(u8, u8, u8),
    /// The text ends here.
    Cut(u8),
}

impl Place {
    fn spec(&self) -> TimeSpec {
        let millis = |number: u16| Duration::from_millis(u64::from(number));
        match *self {
            Self::Start(at) => TimeSpec::FromStart(millis(at)),
            Self::End(at) => TimeSpec::FromEnd(millis(at)),
            // 2026-11-22T14:00:00Z, which the playlist begins with.
            Self::At(at) => (1_795_356_000_000 + i64::from(at) - i64::from(i16::MAX))
                .to_string()
                .parse()
                .unwrap(),
        }
    }
}

/// The whole of `cut`: whatever is left becomes a sound MP4, laid out or streamed, or an error of one
/// line.
pub fn cut(data: &[u8]) {
    static STREAMS: LazyLock<[(Plan, Vec<Segment>); 3]> = LazyLock::new(|| {
        let small = Plan {
            groups: 4,
            group: 3,
            weight: 4,
            ..Plan::default()
        };
        let wraps = Plan {
            start: (1 << 33) - 20_000,
            sound_delay: 4_000,
            ..small.clone()
        };
        let silent = Plan {
            sound: false,
            reorder: false,
            slices: 2,
            ..small.clone()
        };
        [small, wraps, silent].map(|plan| {
            let segments = plan.segments();
            (plan, segments)
        })
    });
    let Ok(job) = Job::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let (plan, segments) = &STREAMS[usize::from(job.plan) % 3];
    let mut segments = segments.clone();
    for &(segment, kind, packet, value) in job.accidents.iter().take(32) {
        let segment = usize::from(segment) % segments.len();
        happen(&mut segments[segment].bytes, kind, packet, value);
    }
    let mut memory = Memory::stream(plan, &segments);
    memory.put("key", vec![7; 16]);
    memory.put("index.m3u8", edited(&plan.playlist(&segments), &job.edits));
    let request = ClipRequest::new(WindowRequest {
        from: job.from.as_ref().map(Place::spec),
        to: job.to.as_ref().map(Place::spec),
        last: job
            .last
            .map(|millis| Duration::from_millis(u64::from(millis))),
        duration: None,
    });
    let request = request.with_cut(cut_of(job.cut));
    check::clip(&memory, check::cut(&memory, &request));
    let mut out = Vec::new();
    let input = Input::playlist("index.m3u8").with_source(&memory);
    let streamed = input.stream(&request, Path::new("-"), &mut out);
    match streamed {
        Ok(_) => {
            let movie = mp4::read(&out).unwrap();
            assert_eq!(movie.faults(&out), [""; 0], "streamed");
        }
        Err(error) => check::one_line(&error.to_string()),
    }
}

fn edited(playlist: &str, edits: &[Edit]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = playlist
        .lines()
        .map(|line| line.as_bytes().to_vec())
        .collect();
    for edit in edits.iter().take(16) {
        let count = lines.len();
        if count == 0 {
            break;
        }
        let at = |line: u8| usize::from(line) % count;
        match *edit {
            Edit::Remove(line) => drop(lines.remove(at(line))),
            Edit::Double(line) => lines.insert(at(line), lines[at(line)].clone()),
            Edit::Swap(one, other) => lines.swap(at(one), at(other)),
            Edit::Insert(line, text) => {
                let text = LINES[usize::from(text) % LINES.len()];
                lines.insert(at(line), text.into());
            }
            Edit::Byte(line, column, value) => {
                let line = &mut lines[at(line)];
                let len = line.len().max(1);
                if let Some(byte) = line.get_mut(usize::from(column) % len) {
                    *byte = value;
                }
            }
            Edit::Cut(line) => lines.truncate(at(line)),
        }
    }
    lines.join(&b'\n')
}
