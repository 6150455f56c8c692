//! Fragments hold the samples that went in, wherever they are cut, and their indexes tell where.

use std::io::Cursor;
use std::sync::Arc;

use clipmill_media::{CodecConfig, RandomAccess};
use clipmill_mp4::{
    FragmentOptions, FragmentTrack, Fragmenter, Layout, LayoutError, OwnedSpan, Span,
};

use super::common;
use super::common::judge::{self, Read};
use super::common::{SampleSpec, TrackSpec, World};

fn expected(world: &World) -> Vec<Vec<Read>> {
    world.read(world.fragment_payloads(), |track| track.start)
}

fn one_second() -> FragmentOptions {
    FragmentOptions {
        duration: 90_000,
        ..Default::default()
    }
}

fn rendered(world: &World, options: FragmentOptions) -> Vec<u8> {
    let layout = Layout::fragmented(world.movie.clone(), options).unwrap();
    let file = world.render(&layout, 0..layout.len());
    assert_eq!(file.len() as u64, layout.len());
    file
}

/// References of the `sidx` point at fragments, one behind the other; `mfra` at every `moof`.
fn check_indexes(file: &[u8]) {
    let (at, size) = judge::find(file, "sidx")[0];
    let sidx: mp4_atom::Sidx = judge::decode(&file[at..at + size]);
    let mut begin = at + size + sidx.first_offset as usize;
    let starts = judge::top_level(file);
    let moofs = judge::find(file, "moof");
    assert_eq!(sidx.references.len(), moofs.len());
    for reference in &sidx.references {
        let (kind, ..) = starts.iter().find(|b| b.1 == begin).unwrap();
        assert!(kind == "moof" || kind == "styp");
        begin += reference.referenced_size as usize;
    }
    let (mfra, mfra_size) = judge::find(file, "mfra")[0];
    assert_eq!(begin, mfra);
    let index: mp4_atom::Mfra = judge::decode(&file[mfra..mfra + mfra_size]);
    assert_eq!(index.mfro.parent_size as usize, mfra_size);
    let points = sidx.references.iter().filter(|r| r.starts_with_sap).count();
    assert_eq!(index.tfra[0].entries.len(), points);
    for entry in &index.tfra[0].entries {
        assert!(moofs.iter().any(|moof| moof.0 as u64 == entry.moof_offset));
    }
}

#[test]
fn mp4_atom_reads_the_same_samples() {
    let mut specs = common::picture_and_sound();
    specs[0].start = 1 << 40;
    specs[1].start = 77;
    let world = World::new(&specs);
    for segment_types in [false, true] {
        let file = rendered(
            &world,
            FragmentOptions {
                segment_types,
                ..one_second()
            },
        );
        assert_eq!(judge::fragmented(&file), expected(&world));
        assert_eq!(judge::find(&file, "moof").len(), 4);
        check_indexes(&file);
    }
}

#[test]
fn the_mp4_crate_reads_the_same_samples() {
    let world = World::new(&common::picture_and_sound());
    let file = rendered(&world, FragmentOptions::default());
    let reader = mp4::Mp4Reader::read_header(Cursor::new(&file), file.len() as u64).unwrap();
    assert!(reader.is_fragmented());
    for (track, samples) in (1u32..).zip(expected(&world)) {
        assert_eq!(reader.sample_count(track).unwrap() as usize, samples.len());
    }
}

#[test]
fn the_boxes_are_as_reviewed() {
    let mut specs = common::picture_and_sound();
    for spec in &mut specs {
        spec.segments.truncate(1);
        spec.segments[0].truncate(30);
    }
    let world = World::new(&specs);
    insta::assert_snapshot!(judge::dump(&rendered(&world, one_second())));
}

#[test]
fn fragments_begin_at_random_access_points_and_keep_to_their_segment() {
    let world = World::new(&common::picture_and_sound());
    let layout = Layout::fragmented(world.movie.clone(), one_second()).unwrap();
    let mut fragments: Vec<Vec<(u32, u32, u32)>> = Vec::new();
    for span in layout.spans(0..layout.len()) {
        match span {
            Span::Bytes(_) => fragments.push(Vec::new()),
            Span::Media(media) => {
                let last = fragments.last_mut().unwrap();
                last.push((media.segment, media.track, media.samples.start - 2));
            }
        }
    }
    let starts: Vec<_> = fragments.into_iter().filter(|f| !f.is_empty()).collect();
    // Video begins at frames 0 and 25 of each segment, and comes first.
    let video: Vec<_> = starts.iter().map(|f| f[0]).collect();
    assert_eq!(video, [(0, 0, 0), (0, 0, 25), (1, 0, 0), (1, 0, 25)]);
    for fragment in starts {
        assert!(fragment.iter().all(|piece| piece.0 == fragment[0].0));
    }
}

#[test]
fn sound_alone_is_a_cmaf_track_file() {
    let mut specs = common::picture_and_sound();
    specs.remove(0);
    let world = World::new(&specs);
    let file = rendered(&world, one_second());
    assert_eq!(judge::fragmented(&file), expected(&world));
    check_indexes(&file);
    let (at, size) = judge::find(&file, "ftyp")[0];
    assert!(file[at..at + size].windows(4).any(|brand| brand == b"cmfc"));
}

#[test]
fn sample_groups_lie_in_the_fragment_that_needs_them() {
    let spec = TrackSpec {
        configs: vec![common::opus()],
        timescale: 48_000,
        edits: Vec::new(),
        start: 0,
        segments: vec![
            (0..100)
                .map(|at| SampleSpec::of(80 + at % 3, 960))
                .collect(),
        ],
    };
    let world = World::new(&[spec]);
    let file = rendered(&world, one_second());
    assert_eq!(judge::fragmented(&file), expected(&world));
    for (at, size) in judge::find(&file, "moof") {
        let moof: mp4_atom::Moof = judge::decode(&file[at..at + size]);
        assert_eq!(moof.traf[0].sgpd.len(), 1);
        let groups = &moof.traf[0].sbgp[0].entries;
        assert_eq!(groups[0].group_description_index, 0x1_0001);
    }
}

/// Streams `world` segment by segment, the header made from the first `known` configurations.
fn streamed(world: &World, known: usize) -> Result<Vec<u8>, LayoutError> {
    let mut header = world.movie.clone();
    for track in &mut header.tracks {
        track.samples.clear();
        track.runs.clear();
        track.configs.truncate(known);
    }
    let mut fragmenter = Fragmenter::new(header, FragmentOptions::default())?;
    let mut file = fragmenter.init().to_vec();
    let mut next: Vec<(usize, u64)> = world.movie.tracks.iter().map(|t| (0, t.start)).collect();
    for segment in 0..world.segments.len() as u32 {
        let mut parts = Vec::new();
        let tracks = world.movie.tracks.iter().enumerate();
        for ((at, track), (first, start)) in tracks.zip(&mut next) {
            let begin = track
                .runs
                .iter()
                .position(|r| r.segment == segment)
                .unwrap();
            let runs = &track.runs[begin..begin + 2];
            let count: u32 = runs.iter().map(|run| run.count).sum();
            let samples = &track.samples[*first..*first + count as usize];
            parts.push(FragmentTrack {
                track: at,
                start: *start,
                configs: &track.configs,
                samples,
                runs,
                restarts: &[],
            });
            *first += count as usize;
            *start += samples.iter().map(|s| u64::from(s.duration)).sum::<u64>();
        }
        let fragment = fragmenter.fragment(&parts)?;
        file.extend(world.render_fragment(&fragment));
    }
    Ok(file)
}

#[test]
fn a_stream_holds_the_same_samples() {
    let mut specs = common::picture_and_sound();
    specs[0].configs.push(common::h264_with(0x1f));
    specs[0].segments[0]
        .iter_mut()
        .skip(25)
        .for_each(|s| s.config = 1);
    let world = World::new(&specs);
    let file = streamed(&world, 2).unwrap();
    assert_eq!(judge::fragmented(&file), expected(&world));
}

#[test]
fn late_parameter_sets_go_in_band() {
    let mut specs = common::picture_and_sound();
    specs[0].configs.push(common::h264_with(0x1f));
    // The second configuration from frame 25 to frame 75; frames 0, 25, 50 and 75 are IDR.
    specs[0].segments[0]
        .iter_mut()
        .skip(25)
        .for_each(|s| s.config = 1);
    specs[0].segments[1]
        .iter_mut()
        .take(25)
        .for_each(|s| s.config = 1);
    let world = World::new(&specs);
    let file = streamed(&world, 1).unwrap();
    let read = judge::fragmented(&file);
    let expected = expected(&world);
    assert_eq!(read[1], expected[1]);
    let payloads = world.payloads().remove(0);
    let samples = read[0].iter().zip(&expected[0]).zip(payloads);
    for (at, ((read, expected), payload)) in samples.enumerate() {
        let mut bytes = match at {
            25 | 50 => common::in_band(&common::h264_with(0x1f)),
            // Back to the first, which a decoder has forgotten by now.
            75 => common::in_band(&common::h264()),
            _ => Vec::new(),
        };
        bytes.extend(payload);
        assert_eq!(read.bytes, bytes, "sample {at}");
        assert_eq!(read.time, expected.time);
        assert_eq!(read.description, 1);
    }
}

#[test]
fn late_audio_is_an_error() {
    let mut specs = common::picture_and_sound();
    specs[1].configs.push(common::mpeg_audio(48_000));
    specs[1].segments[1][3].config = 1;
    let world = World::new(&specs);
    let error = streamed(&world, 1).unwrap_err();
    assert_eq!(
        error,
        LayoutError::LateAudioConfig {
            track: 1,
            config: 1
        }
    );
    assert!(streamed(&world, 2).is_ok());
}

#[test]
fn another_codec_cannot_go_in_band() {
    let mut specs = common::picture_and_sound();
    specs[0].configs.push(common::h265());
    specs[0].segments[1][0].config = 1;
    let error = streamed(&World::new(&specs), 1).unwrap_err();
    assert!(matches!(
        error,
        LayoutError::Config {
            track: 0,
            config: 1,
            ..
        }
    ));
}

#[test]
fn nothing_is_an_error() {
    let world = World::new(&common::picture_and_sound());
    let mut header = world.movie.clone();
    header
        .tracks
        .iter_mut()
        .for_each(|track| track.samples.clear());
    let empty = Layout::fragmented(header.clone(), FragmentOptions::default());
    assert_eq!(empty.unwrap_err(), LayoutError::Empty);
    let mut fragmenter = Fragmenter::new(header, FragmentOptions::default()).unwrap();
    assert_eq!(fragmenter.fragment(&[]).unwrap_err(), LayoutError::Empty);
    let unknown = FragmentTrack {
        track: 7,
        start: 0,
        configs: &[],
        samples: &[],
        runs: &[],
        restarts: &[],
    };
    assert!(fragmenter.fragment(&[unknown]).is_err());
    header = clipmill_mp4::Movie::default();
    assert!(Fragmenter::new(header, FragmentOptions::default()).is_err());
}

#[test]
fn media_of_two_segments_is_read_segment_by_segment() {
    let world = World::new(&common::picture_and_sound());
    let mut header = world.movie.clone();
    header
        .tracks
        .iter_mut()
        .for_each(|track| track.samples.clear());
    let mut fragmenter = Fragmenter::new(header, FragmentOptions::default()).unwrap();
    let tracks = world.movie.tracks.iter().enumerate();
    let parts: Vec<FragmentTrack<'_>> = tracks
        .map(|(at, track)| FragmentTrack {
            track: at,
            start: 0,
            configs: &[],
            samples: &track.samples,
            runs: &track.runs,
            restarts: &[],
        })
        .collect();
    let fragment = fragmenter.fragment(&parts).unwrap();
    let mut file = fragmenter.init().to_vec();
    file.extend(world.render_fragment(&fragment));
    assert_eq!(judge::fragmented(&file), expected(&world));
    let segments: Vec<u32> = fragment
        .content
        .iter()
        .filter_map(|piece| match piece {
            OwnedSpan::Media(media) => Some(media.segment),
            OwnedSpan::Bytes(_) => None,
        })
        .collect();
    assert!(segments.is_sorted(), "{segments:?}");
}

#[test]
fn random_access_is_told_in_the_index() {
    let mut specs = common::picture_and_sound();
    let kinds = [
        (0, RandomAccess::Open),
        (25, RandomAccess::Gradual(4)),
        (50, RandomAccess::None),
    ];
    let video = specs[0].segments.concat();
    for (at, kind) in kinds {
        specs[0].segments[at / 50][at % 50].random_access = kind;
    }
    assert_eq!(video[75].random_access, RandomAccess::Closed);
    let file = rendered(&World::new(&specs), one_second());
    let (at, size) = judge::find(&file, "sidx")[0];
    let sidx: mp4_atom::Sidx = judge::decode(&file[at..at + size]);
    let kinds: Vec<u8> = sidx.references.iter().map(|r| r.sap_type).collect();
    // Frame 50 is none, and frame 75 the first to be shown of its own.
    assert_eq!(kinds, [3, 4, 0, 1]);
    let total: u64 = sidx
        .references
        .iter()
        .map(|r| u64::from(r.subsegment_duration))
        .sum();
    assert_eq!(total, 360_000);
}

#[test]
fn another_configuration_begins_a_fragment() {
    let mut specs = common::picture_and_sound();
    specs[0].configs.push(common::h264_with(0x1f));
    specs[0].segments[0]
        .iter_mut()
        .skip(31)
        .for_each(|s| s.config = 1);
    specs[0].segments[1].iter_mut().for_each(|s| s.config = 1);
    let world = World::new(&specs);
    let file = rendered(&world, FragmentOptions::default());
    assert_eq!(judge::fragmented(&file), expected(&world));
    for (at, size) in judge::find(&file, "moof") {
        let moof: mp4_atom::Moof = judge::decode(&file[at..at + size]);
        assert_eq!(moof.traf.len(), 2, "one track fragment of each track");
    }
    let configs: Vec<Arc<CodecConfig>> = world.movie.tracks[0].configs.clone();
    assert_eq!(configs.len(), 2);
}
