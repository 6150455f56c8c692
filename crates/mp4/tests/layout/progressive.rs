//! A progressive file holds the samples that went in, as independent parsers see it.

use std::io::Cursor;
use std::sync::Arc;

use clipmill_media::{CodecConfig, RandomAccess};
use clipmill_mp4::{Edit, Layout, LayoutError, Movie, MovieSample, Run, Span, find_metadata};

use super::common;
use super::common::judge::{self, Read};
use super::common::{SampleSpec, TrackSpec, World};

fn expected(world: &World) -> Vec<Vec<Read>> {
    world.read(world.payloads(), |_| 0)
}

fn rendered(world: &World) -> (Layout, Vec<u8>) {
    let layout = Layout::progressive(world.movie.clone()).unwrap();
    let file = world.render(&layout, 0..layout.len());
    assert_eq!(file.len() as u64, layout.len());
    (layout, file)
}

#[test]
fn mp4_atom_reads_the_same_samples() {
    let world = World::new(&common::picture_and_sound());
    let (_, file) = rendered(&world);
    assert_eq!(judge::progressive(&file), expected(&world));
    let kinds: Vec<String> = judge::top_level(&file).into_iter().map(|b| b.0).collect();
    assert_eq!(kinds, ["ftyp", "uuid", "moov", "mdat"]);
    assert_eq!(find_metadata(&file), Some(&b"{\"clip\":1}"[..]));
}

#[test]
fn the_mp4_crate_reads_the_same_samples() {
    let world = World::new(&common::picture_and_sound());
    let (_, file) = rendered(&world);
    let mut reader = mp4::Mp4Reader::read_header(Cursor::new(&file), file.len() as u64).unwrap();
    for (track, samples) in (1u32..).zip(expected(&world)) {
        assert_eq!(reader.sample_count(track).unwrap() as usize, samples.len());
        for (number, sample) in (1u32..).zip(samples) {
            let read = reader.read_sample(track, number).unwrap().unwrap();
            assert_eq!(read.bytes, sample.bytes);
            assert_eq!(read.start_time, sample.time);
            assert_eq!(read.duration, sample.duration);
            assert_eq!(read.rendering_offset, sample.composition_offset);
            // It takes every sample of a track without `stss` for dependent.
            if track == 1 {
                assert_eq!(read.is_sync, sample.sync);
            }
        }
    }
}

#[test]
fn the_movie_box_is_as_reviewed() {
    let world = World::new(&common::picture_and_sound());
    let (_, file) = rendered(&world);
    insta::assert_snapshot!(judge::dump(&file));
}

#[test]
fn sample_entries_are_as_reviewed() {
    let kinds: [(&str, CodecConfig); 8] = [
        ("h264", common::h264()),
        ("h265", common::h265()),
        ("mpeg2", common::mpeg2_video()),
        ("aac", common::aac()),
        ("mp3", common::mpeg_audio(22_050)),
        ("ac3", common::ac3()),
        ("eac3", common::eac3()),
        ("opus", common::opus()),
    ];
    for (name, config) in kinds {
        let spec = TrackSpec {
            configs: vec![config],
            timescale: 48_000,
            edits: Vec::new(),
            start: 0,
            segments: vec![
                (0..100)
                    .map(|at| SampleSpec::of(80 + at % 3, 960))
                    .collect(),
            ],
        };
        let (_, file) = rendered(&World::new(&[spec]));
        let at = file.windows(4).position(|kind| kind == b"stsd").unwrap() - 4;
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let dump = judge::hex(&file[at..at + size]);
        let trak = judge::moov(&file).trak.remove(0);
        let stbl = &trak.mdia.minf.stbl;
        let parsed = format!(
            "{dump}\n{:#?}\n{:#?}\n{:#?}",
            stbl.stsd, stbl.sgpd, stbl.sbgp
        );
        insta::assert_snapshot!(name, parsed);
    }
}

#[test]
fn each_configuration_has_its_sample_entry() {
    let mut specs = common::picture_and_sound();
    specs[0].configs.push(common::h264_with(0x1f));
    specs[0].segments[1]
        .iter_mut()
        .skip(10)
        .for_each(|s| s.config = 1);
    let world = World::new(&specs);
    let (_, file) = rendered(&world);
    assert_eq!(judge::progressive(&file), expected(&world));
    let moov = judge::moov(&file);
    assert_eq!(moov.trak[0].mdia.minf.stbl.stsd.codecs.len(), 2);
}

#[test]
fn tracks_have_the_identifiers_that_they_are_given() {
    let world = World::new(&common::picture_and_sound());
    let mut movie = world.movie.clone();
    movie.tracks[0].id = Some(7);
    let layout = Layout::progressive(movie.clone()).unwrap();
    let moov = judge::moov(&world.render(&layout, 0..layout.len()));
    let identifiers: Vec<_> = moov.trak.iter().map(|trak| trak.tkhd.track_id).collect();
    assert_eq!(identifiers, [7, 8]);
    assert_eq!(moov.mvhd.next_track_id, 9);
    for (first, second) in [(Some(0), None), (Some(3), Some(3)), (Some(u32::MAX), None)] {
        movie.tracks[0].id = first;
        movie.tracks[1].id = second;
        let refused = Layout::progressive(movie.clone());
        assert!(
            matches!(refused, Err(LayoutError::Track { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn random_access_points_of_every_kind_are_told() {
    let mut specs = common::picture_and_sound();
    let samples = &mut specs[0].segments[0];
    samples[0].random_access = RandomAccess::Open;
    samples[20].random_access = RandomAccess::Gradual(12);
    samples[30].random_access = RandomAccess::Gradual(3);
    samples[2].leading = clipmill_media::Leading::Skipped;
    samples[3].leading = clipmill_media::Leading::Decodable;
    let world = World::new(&specs);
    let (_, file) = rendered(&world);
    assert_eq!(judge::progressive(&file), expected(&world));
    let stbl = judge::moov(&file).trak.remove(0).mdia.minf.stbl;
    insta::assert_snapshot!(format!(
        "{:#?}\n{:#?}\n{:#?}",
        stbl.stss, stbl.sgpd, stbl.sbgp
    ));
    let at = file.windows(4).position(|kind| kind == b"sdtp").unwrap() + 8;
    assert_eq!(
        file[at..at + 5],
        [
            0b1010_0000,
            0b1001_0000,
            0b0101_0000,
            0b1101_0000,
            0b1001_0000
        ]
    );
}

#[test]
fn chunks_are_short_and_lie_segment_by_segment() {
    let world = World::new(&common::picture_and_sound());
    let layout = Layout::progressive(world.movie.clone()).unwrap();
    let media = layout.spans(0..layout.len()).filter_map(|span| match span {
        Span::Media(media) => Some(media),
        Span::Bytes(_) => None,
    });
    let mut last = (0, 0);
    for span in media {
        assert!(span.segment >= last.0, "segments never go backwards");
        // Half a second and a sample, of either track.
        let most = if span.track == 0 { 13 } else { 24 };
        assert!(span.samples.len() <= most, "{span:?}");
        last = (span.segment, span.track);
    }
    assert_eq!(last.0, 1);
}

/// One track of audio with `count` samples of `size` bytes; its segment does not exist.
fn imaginary(count: usize, size: u32, sources: u32) -> Movie {
    let sample = MovieSample {
        size,
        duration: 24_000,
        composition_offset: 0,
        config: 0,
        random_access: RandomAccess::Closed,
        leading: clipmill_media::Leading::No,
    };
    let track = clipmill_mp4::Track {
        id: None,
        kind: clipmill_media::TrackKind::Audio,
        timescale: 48_000,
        language: clipmill_media::Language::UNDETERMINED,
        name: None,
        enabled: true,
        configs: vec![Arc::new(common::aac())],
        edits: Vec::new(),
        samples: vec![sample; count],
        runs: vec![Run {
            segment: 0,
            track: 0,
            first_sample: 0,
            count: count as u32,
        }],
        restarts: Vec::new(),
        start: 0,
    };
    Movie {
        tracks: vec![track; sources as usize],
        ..Default::default()
    }
}

fn head(layout: &Layout) -> Vec<u8> {
    match layout.spans(0..layout.len()).next() {
        Some(Span::Bytes(bytes)) => bytes.to_vec(),
        other => panic!("{other:?} is no head"),
    }
}

#[test]
fn offsets_widen_exactly_when_they_must() {
    // Two samples of half a second: two chunks. The second begins at head + size.
    let head_len = head(&Layout::progressive(imaginary(2, 1000, 1)).unwrap()).len() as u64;
    let fits = u32::MAX as u64 - head_len;
    // The mdat, larger than 4 GiB by then, has a header of 16 bytes.
    for (size, large) in [
        (fits - 9, true),
        (fits - 8, true),
        (fits - 7, true),
        (1 << 30, false),
    ] {
        let layout = Layout::progressive(imaginary(2, size as u32, 1)).unwrap();
        let head = head(&layout);
        let (at, stored) = (head.len() as u64, &head);
        let moov = stored.windows(4).position(|kind| kind == b"moov").unwrap() - 4;
        let moov: mp4_atom::Moov = {
            let size = u32::from_be_bytes(head[moov..moov + 4].try_into().unwrap()) as usize;
            judge::decode(&head[moov..moov + size])
        };
        let stbl = &moov.trak[0].mdia.minf.stbl;
        let offsets: Vec<u64> = match (&stbl.stco, &stbl.co64) {
            (Some(stco), None) => stco.entries.iter().map(|&at| at.into()).collect(),
            (None, Some(co64)) => co64.entries.clone(),
            _ => panic!("either stco or co64"),
        };
        assert_eq!(offsets, [at, at + size]);
        assert_eq!(layout.len(), at + 2 * size);
        let second_fits = u32::try_from(head_len + 8 + size).is_ok();
        assert_eq!(stbl.stco.is_some(), second_fits, "size {size}");
        if !large {
            assert_eq!(&head[head.len() - 4..], b"mdat");
        } else {
            assert_eq!(&head[head.len() - 12..head.len() - 8], b"mdat");
            let len = u64::from_be_bytes(head[head.len() - 8..].try_into().unwrap());
            assert_eq!(len, 2 * size + 16);
        }
    }
}

#[test]
fn terabytes_have_a_layout_too() {
    let layout = Layout::progressive(imaginary(3_000, u32::MAX, 3)).unwrap();
    assert!(layout.len() > 9_000 * u64::from(u32::MAX));
    let last = layout.len() - 1;
    let spans: Vec<Span<'_>> = layout.spans(last..last + 100).collect();
    let [Span::Media(media)] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    assert_eq!(media.samples, 2_999..3_000);
    assert_eq!((media.skip, media.len), (u64::from(u32::MAX) - 1, 1));
}

#[test]
fn long_durations_take_version_1() {
    let mut movie = imaginary(200_000, 1, 1);
    movie.tracks[0].edits = vec![Edit {
        duration: 1 << 33,
        media_time: Some(1 << 32),
    }];
    let layout = Layout::progressive(movie).unwrap();
    let head = head(&layout);
    for kind in [b"mvhd", b"tkhd", b"mdhd", b"elst"] {
        let at = head.windows(4).position(|found| found == kind).unwrap();
        assert_eq!(head[at + 4], 1, "{}", String::from_utf8_lossy(kind));
    }
}

#[test]
fn nonsense_is_an_error() {
    let error = |change: fn(&mut Movie)| {
        let mut movie = imaginary(4, 10, 1);
        change(&mut movie);
        Layout::progressive(movie).unwrap_err().to_string()
    };
    assert_eq!(
        Layout::progressive(Movie::default()).unwrap_err(),
        LayoutError::Empty
    );
    let errors = [
        error(|m| m.tracks.clear()),
        error(|m| m.tracks[0].samples.clear()),
        error(|m| m.tracks[0].timescale = 0),
        error(|m| m.tracks[0].configs.clear()),
        error(|m| m.tracks[0].kind = clipmill_media::TrackKind::Video),
        error(|m| m.tracks[0].samples[2].config = 1),
        error(|m| m.tracks[0].runs[0].count = 3),
        error(|m| m.tracks[0].runs[0].count = u32::MAX),
        error(|m| m.tracks[0].runs[0].first_sample = u32::MAX),
        error(|m| {
            m.tracks[0].runs = vec![
                Run {
                    segment: 1,
                    track: 0,
                    first_sample: 0,
                    count: 2,
                },
                Run {
                    segment: 0,
                    track: 0,
                    first_sample: 2,
                    count: 2,
                },
            ];
        }),
        error(|m| {
            let edit = Edit {
                duration: u64::MAX,
                media_time: Some(0),
            };
            m.tracks[0].edits = vec![edit, edit];
        }),
        error(|m| {
            m.tracks[0].edits = vec![Edit {
                duration: 1,
                media_time: Some(u64::MAX),
            }];
        }),
        error(|m| {
            let CodecConfig::Aac(mut config) = common::aac() else {
                return;
            };
            config.audio_specific_config = bytes::Bytes::new();
            m.tracks[0].configs = vec![Arc::new(CodecConfig::Aac(config))];
        }),
    ];
    insta::assert_snapshot!(errors.join("\n"));
}

/// The first picture of what is joined is marked, and all ranges are what they were.
#[test]
fn a_restart_is_told_to_those_who_render_it() {
    let mut specs = common::picture_and_sound();
    specs[0].configs = vec![common::h265()];
    let restart = specs[0].segments[0].len();
    let mut world = World::new(&specs);
    let (_, plain) = rendered(&world);
    world.movie.tracks[0].restarts = vec![restart as u32];
    let (layout, file) = rendered(&world);
    assert!(file == plain);
    for from in (0..file.len()).step_by(997) {
        let to = (from + 1_500).min(file.len());
        let part = world.render(&layout, from as u64..to as u64);
        assert!(part == file[from..to], "{from}..{to}");
    }
    let size = u64::from(world.movie.tracks[0].samples[restart].size);
    let fragmented = Layout::fragmented(world.movie.clone(), Default::default()).unwrap();
    for layout in [&layout, &fragmented] {
        let spans = layout.spans(0..layout.len());
        let marked = spans.filter(|span| matches!(span, Span::Media(media) if media.restart));
        assert_eq!(marked.map(|span| span.len()).collect::<Vec<_>>(), [size]);
    }
    let file = world.render(&fragmented, 0..fragmented.len());
    let samples = judge::fragmented(&file);
    let read = samples[0].iter().map(|sample| &sample.bytes);
    assert!(read.eq(&world.payloads()[0]));
}

#[test]
fn a_cra_picture_becomes_one_with_a_broken_link() {
    // SEI, two slices of a CRA picture, and a length that is not true.
    let mut sample = [
        &[0, 0, 0, 3, 0x4e, 1, 9][..],
        &[0, 0, 0, 2, 0x2a, 1],
        &[0, 0, 0, 3, 0x2a, 1, 7],
    ]
    .concat();
    sample.extend([0, 0, 1, 0, 0x2a]);
    let mut expected = sample.clone();
    (expected[11], expected[17]) = (0x20, 0x20);
    clipmill_mp4::restart_coding(&mut sample);
    assert_eq!(sample, expected);
    clipmill_mp4::restart_coding(&mut sample);
    assert_eq!(sample, expected);
}
