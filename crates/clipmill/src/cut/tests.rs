use super::*;
use crate::testing::{FRAME, Picture, audio, info, pictures_of, segment, video};

fn line() -> Timeline {
    let mut timeline = Timeline::new();
    for number in 0..4 {
        let start = number * 50 * FRAME;
        timeline.push(
            info(number as u64),
            segment([video(start, 50, 25), audio(start + 300, 83)]),
        );
    }
    timeline
}

fn bounds(from: Ticks, to: Ticks) -> Bounds {
    Bounds {
        from: Some(from),
        to: Some(to),
    }
}

fn count(selection: &Selection, track: usize) -> usize {
    let chosen = selection.tracks[track].iter();
    chosen.map(|chosen| chosen.samples.len()).sum()
}

#[test]
fn exact_begins_on_the_sync_sample_before() {
    let timeline = line();
    let selection = select(&timeline, bounds(30 * FRAME, 60 * FRAME), Cut::Exact).unwrap();
    assert_eq!(selection.tracks[0][0].samples, 25..50);
    assert_eq!(count(&selection, 0), 35);
    assert_eq!(selection.start, Some(30 * FRAME));
    assert_eq!(selection.end, Some(60 * FRAME));
}

#[test]
fn a_millisecond_of_rounding_does_not_cost_a_frame() {
    let timeline = line();
    let asked = bounds(30 * FRAME + 44, 60 * FRAME + 44);
    let selection = select(&timeline, asked, Cut::Exact).unwrap();
    assert_eq!(selection.start, Some(30 * FRAME));
    assert_eq!(selection.end, Some(60 * FRAME));
}

/// A gradual refresh is over only some frames behind its beginning.
#[test]
fn exact_begins_where_all_is_right_in_time() {
    let picture = |n: i64| Picture {
        dts: n * FRAME,
        random_access: match n % 25 {
            0 => RandomAccess::Gradual(24),
            _ => RandomAccess::None,
        },
        ..Picture::default()
    };
    let mut timeline = Timeline::new();
    timeline.push(info(0), segment([pictures_of((0..100).map(picture))]));
    for (from, begin) in [(48, 0), (60, 0), (73, 0), (74, 25), (98, 25), (99, 50)] {
        let bounds = bounds(from * FRAME, 100 * FRAME);
        let selection = select(&timeline, bounds, Cut::Exact).unwrap();
        assert_eq!(selection.tracks[0][0].samples.start, begin, "from {from}");
        assert_eq!(selection.start, Some(from * FRAME));
    }
}

#[test]
fn keyframe_windows_partition_both_tracks() {
    let timeline = line();
    let edges = [
        None,
        Some(10),
        Some(40),
        Some(75),
        Some(76),
        Some(150),
        None,
    ];
    let mut seen = [0, 0];
    for pair in edges.windows(2) {
        let bounds = Bounds {
            from: pair[0].map(|frame| frame * FRAME),
            to: pair[1].map(|frame| frame * FRAME),
        };
        if let Some(selection) = select(&timeline, bounds, Cut::Keyframe) {
            seen[0] += count(&selection, 0);
            seen[1] += count(&selection, 1);
        }
    }
    assert_eq!(seen, [200, 332]);
}

#[test]
fn segment_takes_what_the_window_touches() {
    let timeline = line();
    let selection = select(&timeline, bounds(60 * FRAME, 110 * FRAME), Cut::Segment).unwrap();
    assert_eq!(count(&selection, 0), 100);
    assert_eq!(count(&selection, 1), 166);
}

#[test]
fn outside_there_is_nothing() {
    let timeline = line();
    for cut in [Cut::Keyframe, Cut::Exact, Cut::Segment] {
        assert_eq!(
            select(&timeline, bounds(300 * FRAME, 400 * FRAME), cut),
            None
        );
    }
}
