//! Whatever the movie: ranges add up, and parsers read back what went in.

use clipmill_media::{CodecConfig, Leading, RandomAccess};
use clipmill_mp4::{Edit, FragmentOptions, Layout, LayoutError};
use proptest::prelude::*;

use super::common;
use super::common::judge;
use super::common::{SampleSpec, TrackSpec, World};

fn random_access() -> impl Strategy<Value = RandomAccess> {
    prop_oneof![
        4 => Just(RandomAccess::None),
        2 => Just(RandomAccess::Closed),
        1 => Just(RandomAccess::Open),
        1 => any::<u16>().prop_map(RandomAccess::Gradual),
    ]
}

fn sample(configs: u16) -> impl Strategy<Value = SampleSpec> {
    let leading = prop_oneof![
        6 => Just(Leading::No),
        1 => Just(Leading::Decodable),
        1 => Just(Leading::Skipped),
    ];
    // Mostly of sensible length; sometimes of none, sometimes of an hour.
    let duration = prop_oneof![
        6 => Just(3_600u32),
        2 => 0..10_000u32,
        1 => any::<u32>(),
    ];
    (
        prop::collection::vec(0..40u16, 0..4),
        duration,
        prop_oneof![3 => Just(0), 2 => -9_000..9_000i32, 1 => any::<i32>()],
        0..configs,
        random_access(),
        leading,
    )
        .prop_map(
            |(units, duration, composition_offset, config, random_access, leading)| SampleSpec {
                units,
                duration,
                composition_offset,
                config,
                random_access,
                leading,
            },
        )
}

fn configs() -> impl Strategy<Value = Vec<CodecConfig>> {
    prop_oneof![
        Just(vec![common::h264()]),
        Just(vec![common::h264(), common::h264_with(0x1f)]),
        Just(vec![common::h265()]),
        Just(vec![common::mpeg2_video()]),
        Just(vec![common::aac()]),
        Just(vec![common::ac3(), common::eac3()]),
        Just(vec![common::mpeg_audio(44_100)]),
        Just(vec![common::opus()]),
    ]
}

fn track() -> impl Strategy<Value = TrackSpec> {
    let edit = (0..1u64 << 33, prop::option::of(0..1u64 << 33));
    let edits = prop::collection::vec(edit, 0..3);
    let head = (configs(), 1..100_000u32, edits, 0..1u64 << 50);
    head.prop_flat_map(|(configs, timescale, edits, start)| {
        let segment = prop::collection::vec(sample(configs.len() as u16), 0..30);
        prop::collection::vec(segment, 1..4).prop_map(move |segments| TrackSpec {
            configs: configs.clone(),
            timescale,
            edits: edits
                .iter()
                .map(|&(duration, media_time)| Edit {
                    duration,
                    media_time,
                })
                .collect(),
            start,
            segments,
        })
    })
}

/// `None` where a random movie has no sample at all.
fn layouts(world: &World) -> Option<[Layout; 2]> {
    let options = FragmentOptions {
        duration: 20_000,
        segment_types: world.movie.tracks.len().is_multiple_of(2),
        ..Default::default()
    };
    let layouts = [
        Layout::progressive(world.movie.clone()),
        Layout::fragmented(world.movie.clone(), options),
    ];
    match layouts {
        [Ok(progressive), Ok(fragmented)] => Some([progressive, fragmented]),
        [Err(LayoutError::Empty), Err(LayoutError::Empty)] => None,
        // A fragment that lasts longer than a sidx can say.
        [Ok(progressive), Err(LayoutError::TooLarge { .. })] => {
            Some([progressive.clone(), progressive])
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..Default::default() })]

    #[test]
    fn any_partition_of_ranges_renders_the_same(
        specs in prop::collection::vec(track(), 1..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let world = World::new(&specs);
        for layout in layouts(&world).into_iter().flatten() {
            let len = layout.len();
            let whole = world.render(&layout, 0..len);
            prop_assert_eq!(whole.len() as u64, len);
            let mut cuts: Vec<u64> = cuts.iter().map(|cut| cut.index(len as usize) as u64).collect();
            cuts.extend([0, len]);
            cuts.sort_unstable();
            let mut joined = Vec::new();
            for pair in cuts.windows(2) {
                joined.extend(world.render(&layout, pair[0]..pair[1]));
            }
            prop_assert_eq!(&joined, &whole);
            prop_assert_eq!(layout.spans(len..len + 10).count(), 0);
            prop_assert_eq!(layout.spans(len / 2..len / 2).count(), 0);
            prop_assert_eq!(world.render(&layout, len - 1..u64::MAX), &whole[whole.len() - 1..]);
        }
    }

    #[test]
    fn parsers_read_back_what_went_in(specs in prop::collection::vec(track(), 1..4)) {
        let world = World::new(&specs);
        let payloads = [world.payloads(), world.fragment_payloads()];
        for layout in layouts(&world).into_iter().flatten() {
            let file = world.render(&layout, 0..layout.len());
            let fragmented = !judge::find(&file, "moof").is_empty();
            let read = if fragmented {
                judge::fragmented(&file)
            } else {
                judge::progressive(&file)
            };
            let tracks = world.movie.tracks.iter().zip(&payloads[usize::from(fragmented)]);
            let tracks: Vec<_> = tracks.filter(|(track, _)| !track.samples.is_empty()).collect();
            prop_assert_eq!(read.len(), tracks.len());
            for (read, (track, payloads)) in read.iter().zip(tracks) {
                let mut time = if fragmented { track.start } else { 0 };
                prop_assert_eq!(read.len(), payloads.len());
                for ((read, sample), payload) in read.iter().zip(&track.samples).zip(payloads) {
                    prop_assert_eq!(&read.bytes, payload);
                    prop_assert_eq!(read.time, time);
                    prop_assert_eq!(read.duration, sample.duration);
                    prop_assert_eq!(read.composition_offset, sample.composition_offset);
                    prop_assert_eq!(read.description, u32::from(sample.config) + 1);
                    prop_assert_eq!(read.sync, sample.random_access.is_sync());
                    time += u64::from(sample.duration);
                }
            }
        }
    }
}
