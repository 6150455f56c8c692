//! What must hold of whatever came out.

use std::io::Read;

use clipmill::{Clip, ClipError, ClipReader, ClipRequest, Format, Input, SegmentIndex};
use clipmill_tests::mp4;

use crate::Memory;

/// Bytes of index that one byte of segment may cost: NAL units of one byte each, the smallest that
/// there are, cost twelve for every four, and a list grows by doubling.
const INDEX_PER_BYTE: usize = 32;

/// What an index may cost whatever the segment.
const INDEX_FLOOR: usize = 1 << 20;

/// Checks the index of a segment against the segment.
///
/// # Panics
/// When a sample does not lie in the segment, or the index costs more memory than it may.
pub(crate) fn index(segment: &[u8], index: &SegmentIndex) {
    assert_eq!(index.segment_len, segment.len() as u64);
    let mut heap = 0usize;
    for track in &index.tracks {
        let samples = track.samples();
        heap += track.heap_bytes();
        let mut payload = Vec::new();
        track
            .gather(segment, 0..samples.len(), &mut payload)
            .expect("every sample lies in its segment");
        assert_eq!(
            payload.len() as u64,
            track.gathered_len(0..samples.len()),
            "an index knows what its samples hold"
        );
        for sample in samples {
            assert!(sample.size > 0, "a sample holds something");
            assert!(
                usize::from(sample.config) < track.configs().len(),
                "a sample is described"
            );
        }
    }
    let bound = segment.len().saturating_mul(INDEX_PER_BYTE) + INDEX_FLOOR;
    assert!(heap <= bound, "{heap} bytes of index, over {bound}");
    assert!(index.damage.kept().len() <= 256, "damage is bounded");
}

/// The bytes of a clip; none of one that no MP4 can hold.
///
/// # Panics
/// When it is no sound MP4, or its ranges are not those of the whole.
#[must_use]
pub fn sound_file(memory: &Memory, clip: &Clip, format: Format) -> Vec<u8> {
    let layout = match clip.layout(format) {
        // Some durations and sizes no MP4 can hold.
        Err(ClipError::Layout(error)) => {
            one_line(&error.to_string());
            return Vec::new();
        }
        layout => layout.unwrap(),
    };
    let len = layout.len();
    let read = |range| {
        let mut bytes = Vec::new();
        let mut reader = ClipReader::new(layout.clone(), memory).within(range);
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let file = read(0..len);
    assert_eq!(file.len() as u64, len, "a layout knows its length");
    let (third, half) = (len / 3, len / 2);
    let range = read(third..half);
    assert!(
        range == file[third as usize..half as usize],
        "a range is a part of the whole"
    );
    let movie = mp4::read(&file).unwrap();
    let mut faults = movie.faults(&file);
    if clip.is_damaged() {
        // Samples of fragmented MP4 are passed on as they are.
        faults.retain(|fault| !fault.ends_with("is no list of NAL units"));
    }
    // Where timestamps jump by hours, what `mehd`, `tfra` and edits say of the whole is not exact.
    faults.retain(|fault| {
        let inexact = fault.starts_with("mehd lasts") || fault.starts_with("tfra: ");
        !inexact && !fault.contains(": an edit ends at ")
    });
    // Configurations of fragmented MP4 are passed on as they are, sizes of pictures too, and a stream
    // may lack a set.
    faults.retain(|fault| {
        let none = fault.ends_with(" that is none") || fault.ends_with(": no PPS");
        let flat = fault.ends_with(" by 0") || fault.contains(" 0 by ");
        !none && !flat && !fault.ends_with(": no SPS") && !fault.ends_with(" alone")
    });
    assert_eq!(faults, [""; 0], "{format:?}");
    let told = clip.tracks.iter().map(|track| track.samples as usize);
    assert!(
        told.eq(movie.tracks.iter().map(|track| track.samples.len())),
        "a clip tells how many samples it has"
    );
    file
}

/// A clip, or why there is none.
pub(crate) fn clip(memory: &Memory, clip: Result<Clip, ClipError>) {
    match clip {
        Ok(clip) => {
            for format in [Format::Mp4, Format::Fmp4] {
                let _ = sound_file(memory, &clip, format);
            }
        }
        Err(error) => one_line(&error.to_string()),
    }
}

/// What is said of a failure.
pub(crate) fn one_line(text: &str) {
    assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
}

/// A clip of the playlist `index.m3u8`.
///
/// # Errors
/// As [`Input::clip`].
pub fn cut(memory: &Memory, request: &ClipRequest) -> Result<Clip, ClipError> {
    let input = Input::playlist("index.m3u8").with_source(memory);
    Ok(input.clip(request)?.into_clip())
}

/// A clip of the files of these names, one after the other.
pub(crate) fn join(memory: &Memory, names: &[&str]) -> Result<Clip, ClipError> {
    let input = Input::files(names.iter().copied()).with_source(memory);
    Ok(input.clip(&ClipRequest::default())?.into_clip())
}
